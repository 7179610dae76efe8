//! Where this process may write: directories, mounted files, and settings of the kernel.
//!
//! access(2) tells, so nothing is written. Permissions inside directories are not walked.

use std::collections::BTreeSet;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat};

use super::mounts::Mount;
use super::seen::{self, Seen};
use crate::report::{Body, Fact, Section};

/// Directories that programs commonly write to, beside those in the root directory.
const COMMON: [&str; 5] = [
    "/dev/shm",
    "/dev/mqueue",
    "/run/lock",
    "/var/tmp",
    "/var/run",
];

/// Files by which the kernel can be made to act for whoever writes them.
const SETTINGS: [&str; 8] = [
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/modprobe",
    "/proc/sys/vm/panic_on_oom",
    "/proc/sys/fs/binfmt_misc/register",
    "/proc/sysrq-trigger",
    "/sys/kernel/uevent_helper",
    "/sys/power/state",
    "/dev/kmsg",
];

/// What can be written, of the mount points, the directories in the root and the commonly written ones.
pub(super) fn section(mounts: &Seen<Vec<Mount>>) -> Section {
    let (directories, others): (Vec<PathBuf>, Vec<PathBuf>) = places(mounts)
        .into_iter()
        .filter(|path| is_writable(path))
        .partition(|path| path.is_dir());
    let files = others.into_iter().filter(|path| !is_device(path));
    let settings = SETTINGS
        .iter()
        .map(PathBuf::from)
        .filter(|path| is_writable(path) && !is_null(path));
    let facts = vec![
        Fact::many("directories", shown(directories)),
        Fact::many("mounted files", shown(files)),
        Fact::many("kernel settings", shown(settings)),
    ];
    seen::section("Writable", "writable", Ok(Body::Facts(facts)))
}

fn places(mounts: &Seen<Vec<Mount>>) -> BTreeSet<PathBuf> {
    let mut places: BTreeSet<PathBuf> = COMMON.iter().map(PathBuf::from).collect();
    places.insert(PathBuf::from("/"));
    places.extend(std::env::current_dir());
    places.extend(
        std::env::var_os("HOME")
            .map(PathBuf::from)
            .filter(|home| home.is_absolute()),
    );
    places.extend(
        mounts
            .iter()
            .flatten()
            .map(|mount| PathBuf::from(&mount.path)),
    );
    let in_root = std::fs::read_dir("/")
        .into_iter()
        .flatten()
        .filter_map(Result::ok);
    // Symbolic links only give a second name to what is there already.
    let in_root = in_root.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    places.extend(in_root.map(|entry| entry.path()));
    places
}

fn is_writable(path: &Path) -> bool {
    accessat(CWD, path, Access::WRITE_OK, AtFlags::EACCESS).is_ok()
}

/// The standard devices are writable and keep nothing.
fn is_device(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|metadata| metadata.file_type().is_char_device())
}

/// A masked file shows the null device.
fn is_null(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| {
        metadata.file_type().is_char_device() && metadata.rdev() == rustix::fs::makedev(1, 3)
    })
}

fn shown(paths: impl IntoIterator<Item = PathBuf>) -> Vec<String> {
    paths
        .into_iter()
        .map(|path| path.to_string_lossy().into_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_of_our_own_is_writable_and_a_missing_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        assert!(is_writable(directory.path()));
        assert!(!is_writable(&directory.path().join("missing")));
        assert!(is_device(Path::new("/dev/null")));
    }

    #[test]
    fn a_masked_setting_is_none() {
        assert!(is_null(Path::new("/dev/null")));
        assert!(!is_null(Path::new("/dev/zero")));
        assert!(!is_null(Path::new("/proc/sys/kernel/core_pattern")));
    }
}
