//! Files of a root filesystem, which is hostile: paths are resolved in it as its container would, and what is there is looked
//! at by a descriptor that only names it before anything is opened, since a device or a FIFO must not even be.

use std::fs::File;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, openat, openat2};
use rustix::path::Arg;

use crate::sys::SysResult;

/// How a path is resolved: absolute symlinks and `..` stay below the root.
pub const INSIDE: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS);

/// What a path of the root leads to, by a descriptor that only names it, and what it is.
///
/// # Errors
/// ENOENT where there is nothing; others of openat2(2).
pub fn named(root: BorrowedFd<'_>, path: impl Arg) -> SysResult<(OwnedFd, Stat)> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let named = openat2(root, path, flags, Mode::empty(), INSIDE)?;
    let stat = fstat(&named)?;
    Ok((named, stat))
}

/// Whether it is a regular file.
pub fn is_file(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
}

/// What a descriptor only names, opened for reading: under its path another object may stand by now.
///
/// # Errors
/// Those of openat(2).
pub fn reopen(named: BorrowedFd<'_>) -> SysResult<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let by_descriptor = format!("/proc/self/fd/{}", named.as_raw_fd());
    openat(CWD, by_descriptor, flags, Mode::empty()).map(File::from)
}
