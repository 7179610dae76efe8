//! Which files a call names, and whether it reads, writes or executes them. Paths are put together as they are written:
//! symbolic links in them are not followed, and a program that changes its root has them by that root.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use super::memory::Memory;
use crate::sys::notify::Notification;

/// What a call does with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Use {
    Read,
    Write,
    Execute,
}

/// How a call names a file: the argument with the directory, the one with the path, and the use.
type Named = (Option<usize>, usize, Use);

const CALLS: &[(&str, &[Named])] = &[
    ("chmod", &[(None, 0, Use::Write)]),
    ("chown", &[(None, 0, Use::Write)]),
    ("creat", &[(None, 0, Use::Write)]),
    ("execve", &[(None, 0, Use::Execute)]),
    ("execveat", &[(Some(0), 1, Use::Execute)]),
    ("fchmodat", &[(Some(0), 1, Use::Write)]),
    ("fchownat", &[(Some(0), 1, Use::Write)]),
    ("lchown", &[(None, 0, Use::Write)]),
    ("link", &[(None, 0, Use::Read), (None, 1, Use::Write)]),
    (
        "linkat",
        &[(Some(0), 1, Use::Read), (Some(2), 3, Use::Write)],
    ),
    ("mkdir", &[(None, 0, Use::Write)]),
    ("mkdirat", &[(Some(0), 1, Use::Write)]),
    ("mknod", &[(None, 0, Use::Write)]),
    ("mknodat", &[(Some(0), 1, Use::Write)]),
    ("open", &[(None, 0, Use::Read)]),
    ("openat", &[(Some(0), 1, Use::Read)]),
    ("openat2", &[(Some(0), 1, Use::Read)]),
    ("readlink", &[(None, 0, Use::Read)]),
    ("readlinkat", &[(Some(0), 1, Use::Read)]),
    ("rename", &[(None, 0, Use::Write), (None, 1, Use::Write)]),
    (
        "renameat",
        &[(Some(0), 1, Use::Write), (Some(2), 3, Use::Write)],
    ),
    (
        "renameat2",
        &[(Some(0), 1, Use::Write), (Some(2), 3, Use::Write)],
    ),
    ("rmdir", &[(None, 0, Use::Write)]),
    ("symlink", &[(None, 1, Use::Write)]),
    ("symlinkat", &[(Some(1), 2, Use::Write)]),
    ("truncate", &[(None, 0, Use::Write)]),
    ("unlink", &[(None, 0, Use::Write)]),
    ("unlinkat", &[(Some(0), 1, Use::Write)]),
    ("utimensat", &[(Some(0), 1, Use::Write)]),
];

/// The files that the call names.
pub(super) fn touched(
    name: &str,
    asked: &Notification,
    memory: &mut Memory,
) -> Vec<(Use, PathBuf)> {
    let Some((_, named)) = CALLS.iter().find(|(call, _)| *call == name) else {
        return Vec::new();
    };
    let mut file = |(directory, path, usage): &Named| {
        let written = memory.text(asked.thread, asked.arguments[*path])?;
        // An empty path is the descriptor itself, which was opened before.
        let written = Path::new(std::ffi::OsStr::from_bytes(&written));
        if written.as_os_str().is_empty() {
            return None;
        }
        let usage = if opens_to_write(name, asked, memory) {
            Use::Write
        } else {
            *usage
        };
        Some((usage, whole(asked, *directory, written)?))
    };
    named.iter().filter_map(&mut file).collect()
}

fn opens_to_write(name: &str, asked: &Notification, memory: &mut Memory) -> bool {
    let flags = match name {
        "open" => asked.arguments[1],
        "openat" => asked.arguments[2],
        "openat2" => memory
            .bytes::<8>(asked.thread, asked.arguments[2])
            .map_or(0, u64::from_ne_bytes),
        _ => return false,
    };
    let writing = libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC;
    flags & u64::from(writing.cast_unsigned()) != 0
}

fn whole(asked: &Notification, directory: Option<usize>, written: &Path) -> Option<PathBuf> {
    if written.is_absolute() {
        return Some(plain(written));
    }
    let descriptor = directory.map(|index| asked.arguments[index] as i32);
    let link = match descriptor.filter(|fd| *fd != libc::AT_FDCWD) {
        Some(fd) => format!("/proc/{}/fd/{fd}", asked.thread),
        None => format!("/proc/{}/cwd", asked.thread),
    };
    Some(plain(&fs::read_link(link).ok()?.join(written)))
}

/// Without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::ParentDir => {
                plain.pop();
            }
            Component::Normal(name) => plain.push(name),
            _ => {}
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_whole_and_stay_below_the_root() {
        assert_eq!(plain(Path::new("/a/./b/../../../c")), Path::new("/c"));
        assert_eq!(plain(Path::new("/..")), Path::new("/"));
    }
}
