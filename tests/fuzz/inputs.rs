//! What each fuzz target does with its input. The tests do the same with every file of the corpus, so that what was found
//! once stays fixed. Not here: making inputs.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use stockade::image::layer::{self, Budget, Limits, Options};
use stockade::image::{Document, Image, ImageConfig, Overrides, Users, convert};
use tempfile::TempDir;

const SECRET: &str = "not of the image";

/// Unpacks `bytes` as a layer on what a first layer has left; nothing outside may change, and all of it can be removed.
pub(super) fn layer(bytes: &[u8]) {
    thread_local! {
        static PLACE: Place = Place::new();
    }
    PLACE.with(|place| {
        let root = File::open(place.root()).unwrap();
        place.fill();
        let budget = Budget::new(limits());
        for _ in 0..2 {
            // Twice: an entry of the first round is in the way of the second.
            let applied = layer::apply(bytes, root.as_fd(), &Options::for_caller("fuzz"), &budget);
            if applied.is_err() {
                break;
            }
        }
        place.assert_outside_is_untouched();
        layer::clear(root.as_fd()).unwrap();
        assert_eq!(fs::read_dir(place.root()).unwrap().count(), 0);
        place.assert_outside_is_untouched();
    });
}

fn limits() -> Limits {
    Limits {
        bytes: 1 << 20,
        entries: 500,
        file_size: 1 << 19,
        depth: 32,
        ratio_from: 1 << 18,
        extension: 1 << 14,
        remembered: 1 << 16,
        window: 1 << 20,
        ..Limits::default()
    }
}

/// A root to unpack into, and beside it what must stay as it is. In memory where that is possible.
struct Place {
    dir: TempDir,
}

impl Place {
    fn new() -> Self {
        let parent = Some(Path::new("/dev/shm")).filter(|shm| shm.is_dir());
        let parent = parent.map_or_else(std::env::temp_dir, Path::to_owned);
        let dir = TempDir::with_prefix_in("stockade-fuzz-", parent).unwrap();
        fs::create_dir(dir.path().join("root")).unwrap();
        fs::create_dir(dir.path().join("out")).unwrap();
        fs::write(dir.path().join("out/v"), SECRET).unwrap();
        Self { dir }
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    /// What a layer below might have: ways out, and something of each kind.
    fn fill(&self) {
        let root = self.root();
        fs::create_dir_all(root.join("d/e")).unwrap();
        fs::write(root.join("d/f"), "f").unwrap();
        fs::hard_link(root.join("d/f"), root.join("h")).unwrap();
        for (name, target) in [("s", "d"), ("o", "../out"), ("a", "../out/v"), ("l", "l")] {
            std::os::unix::fs::symlink(target, root.join(name)).unwrap();
        }
        let out = self.dir.path().join("out");
        std::os::unix::fs::symlink(out, root.join("q")).unwrap();
    }

    fn assert_outside_is_untouched(&self) {
        let mut names: Vec<_> = fs::read_dir(self.dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["out", "root"]);
        let out = self.dir.path().join("out");
        assert_eq!(fs::read_dir(&out).unwrap().count(), 1);
        assert_eq!(fs::read_to_string(out.join("v")).unwrap(), SECRET);
        let dir = fs::metadata(&out).unwrap();
        let file = fs::metadata(out.join("v")).unwrap();
        assert_eq!(file.nlink(), 1);
        assert_eq!((dir.mode() & 0o7022, file.mode() & 0o7133), (0, 0));
        for (uid, time) in [(dir.uid(), dir.mtime()), (file.uid(), file.mtime())] {
            assert_eq!(uid, rustix::process::geteuid().as_raw());
            assert!(time > 1_600_000_000, "{time}");
        }
    }
}

/// Opens `bytes` as an image in a file, reads its layers, and makes a config.json of it.
pub(super) fn image(bytes: &[u8]) {
    thread_local! {
        static FILE: TempDir = TempDir::with_prefix("stockade-fuzz-").unwrap();
    }
    FILE.with(|dir| {
        let path = dir.path().join("image");
        fs::write(&path, bytes).unwrap();
        let Ok(image) = Image::open(&path, &"linux/amd64".parse().unwrap()) else {
            return;
        };
        for index in 0..image.layers.len() {
            if let Ok(mut layer) = image.read_layer(index) {
                let mut buffer = [0; 4096];
                while matches!(layer.read(&mut buffer), Ok(length) if length > 0) {}
            }
        }
        to_config(&image.config, dir.path());
    });
}

/// Reads `bytes` as an index, a manifest and a configuration.
pub(super) fn documents(bytes: &[u8]) {
    for media_type in [
        None,
        Some("application/vnd.oci.image.index.v1+json"),
        Some("application/vnd.oci.image.manifest.v1+json"),
    ] {
        if let Ok(Document::Manifest(manifest)) = Document::parse(bytes, "fuzz", media_type) {
            let _ = manifest.compressions("fuzz");
        }
    }
    for layers in 0..3 {
        if let Ok(config) = ImageConfig::parse(bytes, "fuzz", layers) {
            to_config(&config, Path::new("/nonexistent"));
        }
    }
}

fn to_config(image: &ImageConfig, root: &Path) {
    if let Ok(ids) = Users::read(root).ids(&image.config.user, |_| 0) {
        let base = stockade::spec::hardened_default(None);
        let config = convert(base, image, &ids, &Overrides::default());
        if let Ok(config) = config {
            let text = stockade::spec::to_text(&config);
            // What the image says may be refused there, but never be something else than a config.
            let _ = stockade::spec::parse(text.as_bytes(), "fuzz");
        }
    }
}

/// Gives each header of a tar archive its right checksum; leaves what is compressed as it is.
pub(super) fn repair(archive: &mut [u8]) {
    let is_plain = archive.get(257..262) == Some(b"ustar");
    let mut at = 0;
    while is_plain && at + 512 <= archive.len() {
        let header = &mut archive[at..at + 512];
        if header.iter().all(|byte| *byte == 0) {
            return;
        }
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let size = std::str::from_utf8(&header[124..135]).unwrap_or("0");
        let size = usize::from_str_radix(size.trim_matches(['\0', ' ']), 8).unwrap_or(0);
        at = at
            .saturating_add(512)
            .saturating_add(size.min(1 << 30).next_multiple_of(512));
    }
}
