//! Layers built by code, unpacked beside a directory that nothing may touch.
//! The tests are named after what they claim and, in brackets of their comments, the attack or bug they come from.

mod format;
mod limits;
mod links;
mod metadata;
mod others;
mod outside;
mod property;
mod race;
mod whiteouts;

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tar::{EntryType, Header};

use super::*;

/// A root to unpack into, and beside it `out`, with one file that must stay as it is.
struct Place {
    dir: tempfile::TempDir,
}

const SECRET: &str = "not of the image";

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("root")).unwrap();
        fs::create_dir(dir.path().join("out")).unwrap();
        fs::set_permissions(dir.path().join("out"), fs::Permissions::from_mode(0o750)).unwrap();
        fs::write(dir.path().join("out/v"), SECRET).unwrap();
        Self { dir }
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    /// The absolute path of the directory outside.
    fn out(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    fn path(&self, below: &str) -> PathBuf {
        self.root().join(below)
    }

    fn apply(&self, layer: &Layer) -> Result<Applied> {
        self.apply_as(layer, &Options::for_caller(""))
    }

    fn apply_as(&self, layer: &Layer, options: &Options) -> Result<Applied> {
        self.apply_bytes(&layer.end(), options, &Budget::default())
    }

    fn apply_bytes(&self, bytes: &[u8], options: &Options, budget: &Budget) -> Result<Applied> {
        let root = File::open(self.root()).unwrap();
        apply(bytes, root.as_fd(), options, budget)
    }

    fn error(&self, layer: &Layer) -> String {
        self.apply(layer).unwrap_err().to_string()
    }

    fn text(&self, below: &str) -> String {
        fs::read_to_string(self.path(below)).unwrap()
    }

    fn exists(&self, below: &str) -> bool {
        fs::symlink_metadata(self.path(below)).is_ok()
    }

    /// The names in a directory below the root, sorted.
    fn names(&self, below: &str) -> Vec<String> {
        names(&self.path(below))
    }

    /// Asserts that nothing outside the root has changed.
    fn assert_outside_is_untouched(&self) {
        assert_eq!(names(self.dir.path()), ["out", "root"]);
        assert_eq!(names(&self.out()), ["v"]);
        assert_eq!(fs::read_to_string(self.out().join("v")).unwrap(), SECRET);
        let file = fs::metadata(self.out().join("v")).unwrap();
        assert_eq!(file.nlink(), 1);
        let out = fs::metadata(self.out()).unwrap();
        assert_eq!(out.mode() & 0o7777, 0o750);
        assert_eq!(out.uid(), rustix::process::geteuid().as_raw());
        assert!(out.mtime() > 1_000_000_000, "{}", out.mtime());
    }
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// An archive being written, block by block, so that it can be as wrong as a test wants.
#[derive(Default, Clone)]
struct Layer {
    bytes: Vec<u8>,
}

impl Layer {
    fn new() -> Self {
        Self::default()
    }

    fn file(self, path: impl AsRef<Path>, content: &str) -> Self {
        self.entry(EntryType::Regular, path, content.as_bytes(), |_| {})
    }

    fn dir(self, path: impl AsRef<Path>) -> Self {
        self.entry(EntryType::Directory, path, b"", |header| {
            header.set_mode(0o755);
        })
    }

    fn symlink(self, path: impl AsRef<Path>, target: impl AsRef<Path>) -> Self {
        self.link(EntryType::Symlink, path, target)
    }

    fn hard_link(self, path: impl AsRef<Path>, target: impl AsRef<Path>) -> Self {
        self.link(EntryType::Link, path, target)
    }

    fn link(self, kind: EntryType, path: impl AsRef<Path>, target: impl AsRef<Path>) -> Self {
        let target = bytes(target.as_ref()).to_owned();
        let records: Vec<(&str, &[u8])> = if target.len() > 100 {
            vec![("linkpath", &target)]
        } else {
            vec![]
        };
        let layer = if records.is_empty() {
            self
        } else {
            self.pax(&records)
        };
        let short = &target[..target.len().min(100)];
        layer.entry(kind, path, b"", |header| {
            header.set_link_name_literal(short).unwrap();
        })
    }

    fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut data = Vec::new();
        for (key, value) in records {
            data.extend(record(key, value));
        }
        self.entry(EntryType::XHeader, "pax", &data, |_| {})
    }

    /// Any entry; `change` comes before the checksum.
    fn entry(
        mut self,
        kind: EntryType,
        path: impl AsRef<Path>,
        content: &[u8],
        change: impl FnOnce(&mut Header),
    ) -> Self {
        let path = bytes(path.as_ref());
        let mut header = Header::new_gnu();
        assert!(path.len() <= 100, "use pax for long paths");
        header.as_old_mut().name[..path.len()].copy_from_slice(path);
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        header.set_mtime(1_600_000_000);
        header.set_uid(0);
        header.set_gid(0);
        change(&mut header);
        header.set_cksum();
        self.bytes.extend(header.as_bytes());
        self.bytes.extend(content);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
        self
    }

    /// The archive with the two blocks that end it.
    fn end(&self) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        bytes.resize(bytes.len() + 1024, 0);
        bytes
    }
}

/// One pax record, whose length counts itself.
fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    let mut record = format!("{length} {key}=").into_bytes();
    record.extend(value);
    record.push(b'\n');
    record
}

fn bytes(path: &Path) -> &[u8] {
    std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str())
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    writer.write_all(data).unwrap();
    writer.finish().unwrap()
}

fn sha256(data: &[u8]) -> [u8; 32] {
    use sha2::Digest;
    sha2::Sha256::digest(data).into()
}

#[test]
fn layers_stack() {
    let place = Place::new();
    let lower = Layer::new()
        .dir("etc")
        .file("etc/a", "one")
        .file("etc/b", "two");
    let upper = Layer::new()
        .dir("etc")
        .file("etc/a", "three")
        .symlink("etc/b", "a");
    let first = place.apply(&lower).unwrap();
    assert_eq!(first.entries, 3);
    assert_eq!(first.diff_id, sha256(&lower.end()));
    assert_eq!(first.bytes, lower.end().len() as u64);
    place.apply(&upper).unwrap();
    assert_eq!(place.names("etc"), ["a", "b"]);
    assert_eq!(place.text("etc/b"), "three");
}

#[test]
fn each_type_replaces_each_other() {
    let types: [fn(Layer) -> Layer; 4] = [
        |layer| layer.file("x", "file"),
        |layer| layer.dir("x").file("x/below", ""),
        |layer| layer.symlink("x", "other"),
        |layer| layer.entry(EntryType::Fifo, "x", b"", |_| {}),
    ];
    let options = Options {
        nodes: Nodes::Make,
        ..Options::for_caller("")
    };
    for first in types {
        for second in types {
            let (place, alone) = (Place::new(), Place::new());
            place.apply_as(&first(Layer::new()), &options).unwrap();
            place.apply_as(&second(Layer::new()), &options).unwrap();
            alone.apply_as(&second(Layer::new()), &options).unwrap();
            let kind = |place: &Place| fs::symlink_metadata(place.path("x")).unwrap().file_type();
            assert_eq!(kind(&place), kind(&alone));
        }
    }
}

#[test]
fn errors_name_layer_and_entry() {
    let place = Place::new();
    let options = Options::for_caller("sha256:1234");
    let layer = Layer::new().file("a\n/../e", "");
    let error = place.apply_as(&layer, &options).unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"unpack "a\n/../e" of layer "sha256:1234": a path with "..""#
    );
}
