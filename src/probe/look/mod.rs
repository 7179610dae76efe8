//! The probes that look around instead of making one call. Each leaves nothing behind.

pub(super) mod execution;
pub(super) mod identity;
pub(super) mod paths;
pub(super) mod surroundings;

use std::fs::OpenOptions;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use super::words;

/// The name of an error of the system.
fn errno(error: &std::io::Error) -> String {
    error
        .raw_os_error()
        .map_or_else(|| error.to_string(), words::errno)
}

/// Opens for writing and writes nothing. A masked file shows the null device, which anybody may write.
fn can_write(path: &Path) -> bool {
    let file = OpenOptions::new()
        .write(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path);
    file.is_ok_and(|file| !is_null(&file))
}

/// Whether it can be opened and there is something to read, or it is a directory with something in it.
fn can_read(path: &Path) -> bool {
    use std::io::Read;
    if path.is_dir() {
        return std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some());
    }
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path);
    file.is_ok_and(|mut file| !is_null(&file) && file.read(&mut [0; 1]).is_ok_and(|read| read == 1))
}

/// Whether a device can be opened; it is not read, which might wait or do something.
fn can_open(path: &Path) -> bool {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path);
    file.is_ok_and(|file| !is_null(&file))
}

fn is_null(file: &std::fs::File) -> bool {
    file.metadata().is_ok_and(|metadata| {
        metadata.file_type().is_char_device() && metadata.rdev() == rustix::fs::makedev(1, 3)
    })
}

/// Those of the paths that pass.
fn which(paths: &[&str], passes: fn(&Path) -> bool) -> Vec<String> {
    let paths = paths.iter().filter(|path| passes(Path::new(path)));
    paths.map(|&path| path.to_owned()).collect()
}
