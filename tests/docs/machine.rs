//! A machine of its own on this one, where commands may name the usual places (machine.sh), and what runs in it.
//! Nothing of it is left when it is dropped.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::clients::image;
use crate::harness::{self, Call, leftovers, rootfs};

/// The commands of a page, with its daemon's start, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(240);

/// The exit code of machine.sh where overlayfs does not take the temporary directory.
const NONE: i32 = 77;

/// The images that pages use: busybox, and the same with the user 65534.
const IMAGES: [&str; 2] = [
    "docker.io/library/busybox:latest",
    "docker.io/library/app:1",
];

/// The directory that all of it is in, and the name of its cgroups.
pub(crate) struct Machine {
    temp: TempDir,
    name: String,
}

impl Machine {
    /// With stockade where a build puts it, and the images in `images.tar`, below the home directory of root.
    pub(crate) fn new(name: &str) -> Self {
        let temp = tempfile::Builder::new()
            .prefix(&format!("docs-{name}-"))
            .tempdir()
            .unwrap();
        rootfs::make_directory(temp.path(), 0o755);
        let machine = Self {
            name: format!("docs-{name}-{}", std::process::id()),
            temp,
        };
        leftovers::keep(&machine.name, machine.path());
        let release = "target/x86_64-unknown-linux-gnu/release";
        rootfs::make_directory(&machine.home().join(release), 0o755);
        let binary = machine.home().join(release).join("stockade");
        fs::hard_link(harness::runtime(), &binary)
            .or_else(|_| fs::copy(harness::runtime(), &binary).map(drop))
            .unwrap();
        let profiles = machine.home().join("profiles");
        rootfs::make_directory(&profiles, 0o755);
        for name in [
            "none.toml",
            "baseline.toml",
            "restricted.toml",
            "paranoid.toml",
        ] {
            let file = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("profiles")
                .join(name);
            fs::copy(file, profiles.join(name)).unwrap();
        }
        image::write_as(&machine.home().join("images.tar"), machine.path(), IMAGES);
        fs::write(
            machine.path().join("machine.sh"),
            include_str!("machine.sh"),
        )
        .unwrap();
        machine
    }

    fn path(&self) -> &Path {
        self.temp.path()
    }

    fn home(&self) -> PathBuf {
        self.path().join("disk/root")
    }

    /// Runs a script as root, and returns what it wrote; `None` where there can be no such machine.
    pub(crate) fn run(&self, script: &str) -> Option<String> {
        fs::write(self.home().join(".page"), script).unwrap();
        let setup = self.path().join("machine.sh");
        let call = Call::new("sh", self.path()).arg(setup).arg(&self.name);
        let output = call.arg(self.path()).limit(PATIENCE).output();
        (output.code != NONE).then(|| format!("{}{}", output.stdout, output.stderr))
    }
}

/// A program where the machine looks for it.
pub(crate) fn path_of(program: &str) -> Option<PathBuf> {
    let directories = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    let mut paths = directories
        .map(|dir| Path::new(dir).join(program))
        .into_iter();
    paths.find(|path| path.is_file())
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Its processes are gone with its first one, and the mounts with them; cgroups are not.
        leftovers::remove(&self.name, self.path());
    }
}
