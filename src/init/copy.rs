//! `tmpcopyup`: a new tmpfs starts with what the directory below it holds.
//! Sockets are left out: without the process behind them they are nothing. Extended attributes are not copied.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, RawDir, ResolveFlags, Stat, Uid, openat2};

use super::{Call, In, Outcome, root};
use crate::sys::Errno;

/// Deepest directory: each level costs stack.
const MAX_DEPTH: u32 = 64;

/// Copies what is in `from` to `to`.
pub(super) fn directory(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Outcome {
    contents(from, to, MAX_DEPTH)
}

fn contents(from: BorrowedFd<'_>, to: BorrowedFd<'_>, depth: u32) -> Outcome {
    if depth == 0 {
        return Err(Errno::LOOP).in_call(Call::Copy);
    }
    let readable = open_beneath(from, c".", OFlags::RDONLY | OFlags::DIRECTORY)?;
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut entries = RawDir::new(&readable, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry.in_call(Call::Getdents)?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            one(readable.as_fd(), to, name, depth)?;
        }
    }
    Ok(())
}

fn one(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr, depth: u32) -> Outcome {
    let stat = root::stat_at(from, name).in_call(Call::Fstat)?;
    let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => {
            rustix::fs::mkdirat(to, name, Mode::RWXU).in_call(Call::Mkdir)?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY;
            let made = open_beneath(to, name, flags)?;
            contents(
                open_beneath(from, name, flags)?.as_fd(),
                made.as_fd(),
                depth - 1,
            )?;
            own(made.as_fd(), &stat, mode)
        }
        FileType::RegularFile => regular(from, to, name, &stat, mode),
        FileType::Symlink => {
            let mut target = [0; 4096];
            let length = rustix::fs::readlinkat_raw(from, name, &mut target[..4095])
                .in_call(Call::Readlink)?;
            let text = CStr::from_bytes_with_nul(&target[..=length]).map_err(|_| Errno::INVAL);
            rustix::fs::symlinkat(text.in_call(Call::Readlink)?, to, name)
                .in_call(Call::Symlink)?;
            own_link(to, name, &stat)
        }
        FileType::Socket => Ok(()),
        kind => {
            rustix::fs::mknodat(to, name, kind, mode, stat.st_rdev).in_call(Call::Mknod)?;
            own_link(to, name, &stat)
        }
    }
}

fn regular(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    name: &CStr,
    stat: &Stat,
    mode: Mode,
) -> Outcome {
    let source = open_beneath(from, name, OFlags::RDONLY)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let target =
        rustix::fs::openat(to, name, flags, Mode::RUSR | Mode::WUSR).in_call(Call::Open)?;
    loop {
        match rustix::fs::sendfile(&target, &source, None, 1 << 20) {
            Ok(0) => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno).in_call(Call::Copy),
        }
    }
    own(target.as_fd(), stat, mode)
}

/// Owner before mode: chown(2) clears set-id bits.
fn own(fd: BorrowedFd<'_>, stat: &Stat, mode: Mode) -> Outcome {
    let owner = (
        Some(Uid::from_raw(stat.st_uid)),
        Some(Gid::from_raw(stat.st_gid)),
    );
    rustix::fs::fchown(fd, owner.0, owner.1).in_call(Call::Chown)?;
    rustix::fs::fchmod(fd, mode).in_call(Call::Chmod)
}

fn own_link(directory: BorrowedFd<'_>, name: &CStr, stat: &Stat) -> Outcome {
    let owner = (
        Some(Uid::from_raw(stat.st_uid)),
        Some(Gid::from_raw(stat.st_gid)),
    );
    rustix::fs::chownat(directory, name, owner.0, owner.1, AtFlags::SYMLINK_NOFOLLOW)
        .in_call(Call::Chown)
}

/// Opens a name of a directory and nothing that it points to.
fn open_beneath(directory: BorrowedFd<'_>, name: &CStr, flags: OFlags) -> Outcome<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    openat2(
        directory,
        name,
        flags | OFlags::CLOEXEC | OFlags::NONBLOCK,
        Mode::empty(),
        resolve,
    )
    .in_call(Call::Openat2)
}
