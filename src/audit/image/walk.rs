//! A root filesystem, object by object. It is hostile and may change meanwhile: everything is opened from its directory's
//! descriptor, no symlink is followed, nothing but regular files and directories is opened, no other mount is entered.
//! What the objects mean is not here.

use std::cell::Cell;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, openat, openat2};
use rustix::io::Errno;

use crate::error::{Error, Result, quote};
use crate::image::inside;

/// Directories below each other, each of which is held open.
const DEEPEST: usize = 256;

/// Objects in all.
const MOST_OBJECTS: u64 = 2_000_000;

/// The most bytes that are read of a file.
pub(super) const HEAD: usize = 64 << 10;

/// One thing in a root filesystem.
pub(super) struct Object<'a> {
    /// From the root, without a slash at its start.
    pub(super) path: &'a [u8],
    pub(super) kind: FileType,
    pub(super) stat: &'a Stat,
    /// The directory that it is in.
    pub(super) directory: BorrowedFd<'a>,
}

impl Object<'_> {
    /// The last component.
    pub(super) fn name(&self) -> &[u8] {
        name(self.path)
    }

    /// Permission, set-id and sticky bits.
    pub(super) fn mode(&self) -> u32 {
        self.stat.st_mode & 0o7777
    }

    pub(super) fn is_file(&self) -> bool {
        self.kind == FileType::RegularFile
    }

    /// A regular file that somebody may execute.
    pub(super) fn is_program(&self) -> bool {
        self.is_file() && self.mode() & 0o111 != 0
    }

    pub(super) fn size(&self) -> u64 {
        u64::try_from(self.stat.st_size).unwrap_or(0)
    }

    /// Device and inode number.
    pub(super) fn id(&self) -> (u64, u64) {
        (self.stat.st_dev, self.stat.st_ino)
    }
}

/// The last component of a path.
pub(super) fn name(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
}

/// The path without its last component.
pub(super) fn parent(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|byte| *byte == b'/');
    &path[..end.unwrap_or(0)]
}

/// The beginning of a regular file, which is opened when it is asked for.
pub(super) struct Content<'a> {
    named: BorrowedFd<'a>,
    is_file: bool,
    file: Option<File>,
    buffer: &'a mut Vec<u8>,
    unreadable: &'a Cell<u64>,
}

impl Content<'_> {
    /// The first `most` bytes, [`HEAD`] at most; nothing of what is no file or cannot be read.
    pub(super) fn head(&mut self, most: usize) -> &[u8] {
        let most = most.min(HEAD);
        if self.buffer.len() < most && self.open() {
            let more = most - self.buffer.len();
            let read = self
                .file
                .as_ref()
                .map(|file| file.take(more as u64).read_to_end(self.buffer));
            if matches!(read, Some(Err(_))) {
                self.fail();
            }
        }
        &self.buffer[..self.buffer.len().min(most)]
    }

    /// An extended attribute; none where there is none to read.
    pub(super) fn attribute(&mut self, name: &str) -> Option<Vec<u8>> {
        if !self.open() {
            return None;
        }
        let mut value = vec![0; 256];
        let length = rustix::fs::fgetxattr(self.file.as_ref()?, name, &mut value[..]).ok()?;
        value.truncate(length);
        Some(value)
    }

    fn open(&mut self) -> bool {
        if self.is_file && self.file.is_none() {
            match inside::reopen(self.named) {
                Ok(file) => self.file = Some(file),
                Err(_) => self.fail(),
            }
        }
        self.file.is_some()
    }

    fn fail(&mut self) {
        self.is_file = false;
        self.file = None;
        add_one(self.unreadable);
    }
}

struct Level {
    entries: Dir,
    /// How long the path was before this directory's name.
    above: usize,
}

/// Calls `look` with everything below `root`, directories before what is in them, in the order of the directories. Says how
/// many directories, and files whose content was asked for, could not be read.
///
/// # Errors
/// A directory cannot be read; there are more than 2,000,000 objects, or directories deeper than 256.
pub(super) fn walk(
    root: BorrowedFd<'_>,
    mut look: impl FnMut(&Object<'_>, &mut Content<'_>),
) -> Result<u64> {
    let mut walk = Walk {
        path: Vec::new(),
        levels: Vec::new(),
        objects: 0,
        unreadable: Cell::new(0),
    };
    let mut buffer = Vec::new();
    let top =
        openat(root, c".", DIRECTORY, Mode::empty()).map_err(|errno| walk.failed("open", errno))?;
    walk.enter(top, 0)?;
    while let Some((named, stat, above)) = walk.next()? {
        let kind = FileType::from_raw_mode(stat.st_mode);
        buffer.clear();
        let mut content = Content {
            named: named.as_fd(),
            is_file: kind == FileType::RegularFile,
            file: None,
            buffer: &mut buffer,
            unreadable: &walk.unreadable,
        };
        let level = walk.levels.last().expect("an object is in a directory");
        let directory = level
            .entries
            .fd()
            .map_err(|errno| walk.failed("read", errno))?;
        let object = Object {
            path: &walk.path,
            kind,
            stat: &stat,
            directory,
        };
        look(&object, &mut content);
        if kind == FileType::Directory {
            match openat2(&named, c".", DIRECTORY, Mode::empty(), INSIDE) {
                Ok(fd) => walk.enter(fd, above)?,
                Err(Errno::ACCESS | Errno::NOENT | Errno::XDEV) => {
                    add_one(&walk.unreadable);
                    walk.path.truncate(above);
                }
                Err(errno) => return Err(walk.failed("open", errno)),
            }
        } else {
            walk.path.truncate(above);
        }
    }
    Ok(walk.unreadable.get())
}

fn add_one(count: &Cell<u64>) {
    count.set(count.get() + 1);
}

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);
const NAMED: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const INSIDE: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_XDEV);

struct Walk {
    /// Of the object that was read last.
    path: Vec<u8>,
    levels: Vec<Level>,
    objects: u64,
    /// Directories, and files whose content was asked for.
    unreadable: Cell<u64>,
}

impl Walk {
    fn enter(&mut self, directory: OwnedFd, above: usize) -> Result<()> {
        if self.levels.len() > DEEPEST {
            let cause = format!("directories deeper than {DEEPEST}");
            return Err(Error::new(self.doing("read"), cause));
        }
        let entries = Dir::new(directory).map_err(|errno| self.failed("read", errno))?;
        self.levels.push(Level { entries, above });
        Ok(())
    }

    /// The next object by a descriptor that only names it, what it is, and how long the path is without its name. What is
    /// gone again is left out, and so is what another file system is mounted on.
    fn next(&mut self) -> Result<Option<(OwnedFd, Stat, usize)>> {
        while let Some(level) = self.levels.last_mut() {
            let entry = match level.entries.read() {
                Some(Ok(entry)) => entry,
                Some(Err(errno)) => return Err(self.failed("read", errno)),
                None => {
                    let above = level.above;
                    self.levels.pop();
                    self.path.truncate(above);
                    continue;
                }
            };
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            let directory = level
                .entries
                .fd()
                .map_err(|errno| Error::new("read a directory", errno))?;
            let named = openat2(directory, name, NAMED, Mode::empty(), INSIDE);
            let above = self.path.len();
            if above > 0 {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(name);
            match named {
                Ok(named) => {
                    self.count()?;
                    let stat = fstat(&named).map_err(|errno| self.failed("fstat", errno))?;
                    return Ok(Some((named, stat, above)));
                }
                Err(Errno::NOENT | Errno::XDEV) => self.path.truncate(above),
                Err(Errno::ACCESS) => {
                    self.count()?;
                    add_one(&self.unreadable);
                    self.path.truncate(above);
                }
                Err(errno) => return Err(self.failed("open", errno)),
            }
        }
        Ok(None)
    }

    fn count(&mut self) -> Result<()> {
        self.objects += 1;
        if self.objects > MOST_OBJECTS {
            let cause = format!("more than {MOST_OBJECTS} objects");
            return Err(Error::new("look through the root filesystem", cause));
        }
        Ok(())
    }

    fn doing(&self, call: &str) -> String {
        let path = [b"/", &self.path[..]].concat();
        format!("{call} {} of the root filesystem", quote(path))
    }

    fn failed(&self, call: &str, errno: Errno) -> Error {
        Error::new(self.doing(call), errno)
    }
}
