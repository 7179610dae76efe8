//! Files and directories of a cgroup file system: open, read, write, make, walk, remove.
//! By descriptor and without following links; nothing here knows what a file means.

use std::ffi::{CStr, CString};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, Uid, chownat, mkdirat, openat,
    openat2, unlinkat,
};

use crate::error::Error;
use crate::sys::{Errno, SysResult};

/// `doing: cause`, with what the user can do about the usual causes.
pub(super) fn error(doing: impl Into<String>, errno: Errno) -> Error {
    let error = Error::new(doing, errno);
    match errno {
        Errno::ACCESS | Errno::PERM => error.hint(
            "run as root, or delegate a cgroup to this user (systemd: Delegate=yes) and name it in linux.cgroupsPath",
        ),
        Errno::ROFS => error.hint("the cgroup file system is mounted read-only: remount it writable"),
        Errno::BUSY => error.hint("the cgroup uses more already, or its parent holds processes of its own"),
        Errno::NODEV | Errno::NXIO => error.hint("there is no such device on this host"),
        _ => error,
    }
}

pub(super) fn directory(path: &Path) -> SysResult<OwnedFd> {
    openat(
        CWD,
        path,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
}

fn subdirectory(parent: BorrowedFd<'_>, name: &CStr) -> SysResult<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(parent, name, flags, Mode::empty())
}

/// A directory below another one, by a path of names.
pub(super) fn below(parent: BorrowedFd<'_>, path: &str) -> SysResult<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    openat2(parent, path, flags, Mode::empty(), resolve)
}

pub(super) fn to_write(directory: BorrowedFd<'_>, file: &str) -> SysResult<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(directory, file, flags, Mode::empty())
}

pub(super) fn to_read(directory: BorrowedFd<'_>, file: &str) -> SysResult<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(directory, file, flags, Mode::empty())
}

/// One value in one write(2): the kernel parses each write by itself.
pub(super) fn write(directory: BorrowedFd<'_>, file: &str, value: &str) -> SysResult<()> {
    let fd = to_write(directory, file)?;
    match rustix::io::write(&fd, value.as_bytes())? {
        written if written == value.len() => Ok(()),
        _ => Err(Errno::IO),
    }
}

pub(super) fn read(directory: BorrowedFd<'_>, file: &str) -> SysResult<String> {
    let mut text = String::new();
    std::fs::File::from(to_read(directory, file)?)
        .read_to_string(&mut text)
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    Ok(text)
}

/// The value of `key` in a file of `key value` lines.
pub(super) fn value_of(text: &str, key: &str) -> Option<u64> {
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(name, _)| *name == key)
        .and_then(|(_, value)| value.trim().parse().ok())
}

pub(super) fn make(parent: BorrowedFd<'_>, path: &str) -> SysResult<()> {
    mkdirat(parent, path, Mode::from_raw_mode(0o755))
}

pub(super) fn remove(path: &Path) -> SysResult<()> {
    unlinkat(CWD, path, AtFlags::REMOVEDIR)
}

pub(super) fn change_owner(directory: BorrowedFd<'_>, file: &str, uid: u32) -> SysResult<()> {
    chownat(
        directory,
        file,
        Some(Uid::from_raw(uid)),
        None,
        AtFlags::SYMLINK_NOFOLLOW,
    )
}

/// Calls `leave` for every directory below `top`, children first: the directory, its parent and its name. It holds two
/// descriptors and no path, since a container can nest cgroups deeper than PATH_MAX.
pub(super) fn walk(
    top: BorrowedFd<'_>,
    leave: &mut dyn FnMut(BorrowedFd<'_>, BorrowedFd<'_>, &CStr) -> SysResult<()>,
) -> SysResult<()> {
    let mut current = subdirectory(top, c".")?;
    let mut remaining = vec![children(current.as_fd())?];
    let mut names: Vec<CString> = Vec::new();
    while let Some(siblings) = remaining.last_mut() {
        if let Some(name) = siblings.pop() {
            match subdirectory(current.as_fd(), &name) {
                Ok(child) => current = child,
                Err(Errno::NOENT) => continue,
                Err(errno) => return Err(errno),
            }
            remaining.push(children(current.as_fd())?);
            names.push(name);
            continue;
        }
        remaining.pop();
        let Some(name) = names.pop() else { break };
        let parent = subdirectory(current.as_fd(), c"..")?;
        leave(current.as_fd(), parent.as_fd(), &name)?;
        current = parent;
    }
    Ok(())
}

/// The cgroups right below.
pub(super) fn children(directory: BorrowedFd<'_>) -> SysResult<Vec<CString>> {
    let mut names = Vec::new();
    let mut entries = match Dir::read_from(directory) {
        Ok(entries) => entries,
        // Removed meanwhile.
        Err(Errno::NOENT | Errno::NODEV) => return Ok(names),
        Err(errno) => return Err(errno),
    };
    while let Some(entry) = entries.read() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(Errno::NOENT | Errno::NODEV) => break,
            Err(errno) => return Err(errno),
        };
        let name = entry.file_name();
        if entry.file_type() == FileType::Directory && name != c"." && name != c".." {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// Removes every directory below `top`; `EBUSY` where one holds processes.
pub(super) fn remove_below(top: BorrowedFd<'_>) -> SysResult<()> {
    walk(
        top,
        &mut |_, parent, name| match unlinkat(parent, name, AtFlags::REMOVEDIR) {
            Err(Errno::NOENT) => Ok(()),
            result => result,
        },
    )
}

/// The processes in a cgroup itself. Those of another pid namespace show as 0 and are left out.
pub(super) fn processes_in(directory: BorrowedFd<'_>) -> SysResult<Vec<i32>> {
    match read(directory, "cgroup.procs") {
        Ok(text) => Ok(text
            .lines()
            .filter_map(|l| l.parse().ok())
            .filter(|pid| *pid > 0)
            .collect()),
        // Removed meanwhile, or a threaded v2 cgroup, whose processes its parent lists.
        Err(Errno::NOENT | Errno::NODEV | Errno::OPNOTSUPP) => Ok(Vec::new()),
        Err(errno) => Err(errno),
    }
}

/// The processes in a cgroup and all below it.
pub(super) fn processes(top: BorrowedFd<'_>) -> SysResult<Vec<i32>> {
    let mut found = processes_in(top)?;
    walk(top, &mut |directory, _, _| {
        found.extend(processes_in(directory)?);
        Ok(())
    })?;
    Ok(found)
}
