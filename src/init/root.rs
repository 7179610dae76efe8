//! Paths inside the root: resolved by openat2(2) from the root's descriptor, so that no symbolic link, `..` or magic
//! link of a hostile image leads out. A component that is missing is made, and nothing else.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, mkdirat, openat2, readlinkat_raw};

use super::{Call, Difference, Fault, In, Outcome};
use crate::sys::{Errno, SysResult};

/// Longest path, as for the kernel.
const PATH_MAX: usize = 4096;
/// Most symbolic links in one path, as for the kernel.
const MAX_LINKS: u32 = 40;
/// The kernel answers EAGAIN when something was renamed meanwhile; a hostile sibling may do that for ever.
const MAX_RETRIES: u32 = 128;

/// What to do with a last component that is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// Make a directory.
    Directory,
    /// Make an empty file.
    File,
}

/// Opens `path` in `root`, following links inside it; never leaves it.
pub(super) fn open(root: BorrowedFd<'_>, path: &CStr, flags: OFlags) -> SysResult<OwnedFd> {
    open_by(root, path, flags, ResolveFlags::NO_MAGICLINKS)
}

/// The same by another rule for links.
pub(super) fn open_by(
    root: BorrowedFd<'_>,
    path: &CStr,
    flags: OFlags,
    links: ResolveFlags,
) -> SysResult<OwnedFd> {
    let resolve = ResolveFlags::IN_ROOT | links;
    for _ in 0..MAX_RETRIES {
        match openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
    Err(Errno::AGAIN)
}

/// Opens `path` as a place (`O_PATH`).
pub(super) fn place(root: BorrowedFd<'_>, path: &CStr) -> SysResult<OwnedFd> {
    open(root, path, OFlags::PATH)
}

/// Opens `path` as a place, and makes what is missing of it.
pub(super) fn make(root: BorrowedFd<'_>, path: &CStr, last: Missing) -> Outcome<OwnedFd> {
    match place(root, path) {
        Err(Errno::NOENT) => {}
        other => return other.in_call(Call::Openat2),
    }
    let mut walk = Walk::new(path)?;
    walk.make_all(root, last)?;
    place(root, walk.done()).in_call(Call::Openat2)
}

/// The directory of `path` (made if missing) and its last component, for calls that create by name.
pub(super) fn parent<'a>(root: BorrowedFd<'_>, path: &'a CStr) -> Outcome<(OwnedFd, &'a CStr)> {
    let bytes = path.to_bytes();
    let slash = bytes.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    let mut directory = Buffer::new();
    directory.push(if slash == 0 { b"/" } else { &bytes[..slash] })?;
    let name = CStr::from_bytes_with_nul(&path.to_bytes_with_nul()[slash + 1..])
        .expect("the end of a C string is one");
    Ok((make(root, directory.text(), Missing::Directory)?, name))
}

/// Opens the file of `path` itself, a link as a link; an empty one is made if there is nothing.
pub(super) fn file(root: BorrowedFd<'_>, path: &CStr) -> Outcome<OwnedFd> {
    let (directory, name) = parent(root, path)?;
    let open = || {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(&directory, name, flags, Mode::empty())
    };
    match open() {
        Err(Errno::NOENT) => {
            create(directory.as_fd(), name, Missing::File)?;
            open().in_call(Call::Open)
        }
        other => other.in_call(Call::Open),
    }
}

/// Opens a directory that the path names without a symbolic link, what /proc and /sys must be; made if missing. Anything
/// else is refused.
pub(super) fn ordinary_directory(root: BorrowedFd<'_>, path: &CStr) -> Outcome<OwnedFd> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
    let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::DIRECTORY;
    let open = || openat2(root, path, flags, Mode::empty(), resolve);
    let opened = match open() {
        Err(Errno::NOENT) => {
            make(root, path, Missing::Directory)?;
            open()
        }
        other => other,
    };
    match opened {
        Err(Errno::LOOP | Errno::NOTDIR) => Err(Fault::differs(Difference::NotDirectory, 0)),
        other => other.in_call(Call::Openat2),
    }
}

/// A C string of bounded length on the stack.
struct Buffer {
    bytes: [u8; PATH_MAX],
    length: usize,
}

impl Buffer {
    fn new() -> Self {
        Self {
            bytes: [0; PATH_MAX],
            length: 0,
        }
    }

    fn push(&mut self, more: &[u8]) -> Outcome {
        if self.length + more.len() >= PATH_MAX {
            return Err(Errno::NAMETOOLONG).in_call(Call::Openat2);
        }
        self.bytes[self.length..self.length + more.len()].copy_from_slice(more);
        self.length += more.len();
        self.bytes[self.length] = 0;
        Ok(())
    }

    fn truncate(&mut self, length: usize) {
        self.length = length;
        self.bytes[length] = 0;
    }

    fn slice(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    fn text(&self) -> &CStr {
        CStr::from_bytes_with_nul(&self.bytes[..=self.length])
            .expect("terminated, and without NUL inside")
    }
}

/// A walk along a path with missing parts: `resolved` is free of links and exists, `rest` is still to come.
struct Walk {
    resolved: Buffer,
    rest: Buffer,
    links: u32,
}

impl Walk {
    fn new(path: &CStr) -> Outcome<Self> {
        let mut walk = Self {
            resolved: Buffer::new(),
            rest: Buffer::new(),
            links: 0,
        };
        walk.rest.push(path.to_bytes())?;
        Ok(walk)
    }

    fn done(&self) -> &CStr {
        if self.resolved.length == 0 {
            c"/"
        } else {
            self.resolved.text()
        }
    }

    fn make_all(&mut self, root: BorrowedFd<'_>, last: Missing) -> Outcome {
        let mut component = Buffer::new();
        while self.next_component(&mut component)? {
            match component.slice() {
                b"." => {}
                b".." => self.step_up(),
                _ => {
                    let missing = if self.rest.length == 0 {
                        last
                    } else {
                        Missing::Directory
                    };
                    self.enter(root, &component, missing)?;
                }
            }
        }
        Ok(())
    }

    /// Moves the next component of `rest` to `component`; false at the end.
    fn next_component(&mut self, component: &mut Buffer) -> Outcome<bool> {
        let rest = self.rest.slice();
        let Some(start) = rest.iter().position(|byte| *byte != b'/') else {
            return Ok(false);
        };
        let end = rest[start..]
            .iter()
            .position(|byte| *byte == b'/')
            .map_or(rest.len(), |at| start + at);
        component.truncate(0);
        component.push(&rest[start..end])?;
        let left = rest[end..]
            .iter()
            .position(|byte| *byte != b'/')
            .map_or(rest.len(), |at| end + at);
        self.rest.bytes.copy_within(left..self.rest.length, 0);
        self.rest.truncate(self.rest.length - left);
        Ok(true)
    }

    fn step_up(&mut self) {
        let up = self
            .resolved
            .slice()
            .iter()
            .rposition(|byte| *byte == b'/')
            .unwrap_or(0);
        self.resolved.truncate(up);
    }

    /// Goes into a component: as it is, along the link that it is, or made.
    fn enter(&mut self, root: BorrowedFd<'_>, component: &Buffer, missing: Missing) -> Outcome {
        let directory = place(root, self.done()).in_call(Call::Openat2)?;
        let mut target = [0; PATH_MAX];
        match readlinkat_raw(&directory, component.text(), &mut target[..]) {
            Ok(length) => return self.follow(&target[..length]),
            Err(Errno::INVAL) => {}
            Err(Errno::NOENT) => create(directory.as_fd(), component.text(), missing)?,
            Err(errno) => return Err(errno).in_call(Call::Readlink),
        }
        self.resolved.push(b"/")?;
        self.resolved.push(component.slice())
    }

    fn follow(&mut self, target: &[u8]) -> Outcome {
        self.links += 1;
        if self.links > MAX_LINKS {
            return Err(Errno::LOOP).in_call(Call::Readlink);
        }
        let mut rest = Buffer::new();
        rest.push(target)?;
        rest.push(b"/")?;
        rest.push(self.rest.slice())?;
        if target.first() == Some(&b'/') {
            self.resolved.truncate(0);
        }
        let length = rest
            .slice()
            .iter()
            .rposition(|byte| *byte != b'/')
            .map_or(0, |at| at + 1);
        rest.truncate(length);
        self.rest = rest;
        Ok(())
    }
}

/// Makes one component; another process may have been faster.
fn create(directory: BorrowedFd<'_>, name: &CStr, missing: Missing) -> Outcome {
    let made = match missing {
        Missing::Directory => mkdirat(directory, name, Mode::from_raw_mode(0o755)),
        Missing::File => rustix::fs::openat(
            directory,
            name,
            OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::WRONLY,
            Mode::from_raw_mode(0o644),
        )
        .map(drop),
    };
    match made {
        Err(Errno::EXIST) => Ok(()),
        other => other.in_call(if missing == Missing::File {
            Call::Open
        } else {
            Call::Mkdir
        }),
    }
}

/// The type of what `fd` refers to.
pub(super) fn file_type(fd: BorrowedFd<'_>) -> Outcome<FileType> {
    Ok(FileType::from_raw_mode(
        rustix::fs::fstat(fd).in_call(Call::Fstat)?.st_mode,
    ))
}

/// Whether `name` in `directory` exists, without following it.
pub(super) fn stat_at(directory: BorrowedFd<'_>, name: &CStr) -> SysResult<rustix::fs::Stat> {
    rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)
}
