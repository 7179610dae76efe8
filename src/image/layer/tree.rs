//! The tree being unpacked into: its directories by descriptor, what this layer has put there, and the directories whose
//! modes and times wait for the end.
//!
//! A path's parents are resolved below the root's descriptor, symlinks included, as the container would see them
//! (`openat2(2)`, `RESOLVE_IN_ROOT`). Its last component is never resolved: calls name it on its parent's descriptor and
//! do not follow it. Not the objects themselves: see `place`.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps, Uid,
};

use super::Options;
use super::archive::Entry;
use super::attributes::timestamps_of;
use super::budget::{Limits, over};
use super::cause::{Called, Cause, Step};
use super::name::components;
use super::overlay;
use crate::sys::{Errno, SysResult};

/// Opens directories for use in other calls: no permission to read them is needed.
pub(super) const DIRECTORY: OFlags = OFlags::PATH
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Opens directories for reading and for changes by descriptor.
pub(super) const READABLE: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// openat2(2) gives `EAGAIN` while something else renames directories; so often in a row only an attack.
const TRIES: usize = 1000;

/// Symlinks in one path, as in the kernel.
const LINKS: usize = 40;

/// What a directory costs in memory besides its path.
const REMEMBERED: u64 = 128;

/// A directory below the root, or the root.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) fd: OwnedFd,
    pub(super) id: Id,
}

/// Device and inode number.
pub(super) type Id = (u64, u64);

/// What to do about parents that do not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    Make,
    Leave,
}

/// What a directory gets once nothing more is written into it.
#[derive(Debug)]
struct Late {
    path: Vec<u8>,
    mode: Option<u32>,
    times: Timestamps,
}

pub(super) struct Tree<'a> {
    root: BorrowedFd<'a>,
    options: &'a Options,
    limits: &'a Limits,
    /// The last parent asked for.
    last: Option<(Vec<u8>, Rc<Directory>)>,
    /// Keyed hashes of directory and name: 8 bytes an entry instead of a path.
    placed: HashSet<u64>,
    keys: RandomState,
    late: HashMap<Id, Late>,
    remembered: u64,
    parents_made: u64,
    /// User and group id of what this process makes.
    caller: (u32, u32),
}

impl<'a> Tree<'a> {
    pub(super) fn new(root: BorrowedFd<'a>, options: &'a Options, limits: &'a Limits) -> Self {
        Self {
            root,
            options,
            limits,
            last: None,
            placed: HashSet::new(),
            keys: RandomState::new(),
            late: HashMap::new(),
            remembered: 0,
            parents_made: 0,
            caller: (
                rustix::process::geteuid().as_raw(),
                rustix::process::getegid().as_raw(),
            ),
        }
    }

    /// The directory at `path`, which has no dots and no doubled slashes. None if it does not exist and stays so.
    pub(super) fn directory(
        &mut self,
        path: &[u8],
        missing: Missing,
    ) -> Step<Option<Rc<Directory>>> {
        if let Some((last, directory)) = &self.last
            && last == path
        {
            return Ok(Some(Rc::clone(directory)));
        }
        let Some(fd) = self.resolve(path, missing)? else {
            return Ok(None);
        };
        let stat = rustix::fs::fstat(&fd).called("fstat")?;
        let directory = Rc::new(Directory { fd, id: id(&stat) });
        self.keep_as_it_was(path, &directory, &stat)?;
        self.last = Some((path.to_owned(), Rc::clone(&directory)));
        Ok(Some(directory))
    }

    /// Forgets which directory a path leads to, because a directory or a symlink has gone or come.
    pub(super) fn forget(&mut self) {
        self.last = None;
    }

    /// Notes that this layer has `name` in `directory`, so that its whiteouts spare it, in whatever order they come.
    pub(super) fn note(&mut self, directory: Id, name: &[u8]) {
        let key = self.keys.hash_one((directory, name));
        self.placed.insert(key);
    }

    pub(super) fn is_of_this_layer(&self, directory: Id, name: &[u8]) -> bool {
        self.placed.contains(&self.keys.hash_one((directory, name)))
    }

    /// The mode that a directory gets while entries are still written into it.
    pub(super) fn early_mode(&self, mode: u32) -> u32 {
        if self.caller.0 == 0 {
            mode
        } else {
            mode | 0o700
        }
    }

    /// The permissions that a file is made with: all of them if it is the caller's anyway, else those of its owner, so
    /// that nobody else may read it before it has its own.
    pub(super) fn private_mode(&self, entry: &Entry, mode: u32) -> Step<u32> {
        let is_own = self.options.ids.map(entry.uid, entry.gid)? == self.caller;
        Ok(mode & if is_own { 0o777 } else { 0o700 })
    }

    /// Gives a directory its mode and times at the end.
    pub(super) fn finish_later(
        &mut self,
        path: &[u8],
        id: Id,
        mode: u32,
        times: Timestamps,
    ) -> Step<()> {
        let is_early = self.early_mode(mode) == mode;
        let late = Late {
            path: path.to_owned(),
            mode: (!is_early).then_some(mode),
            times,
        };
        self.remember(path)?;
        self.late.insert(id, late);
        Ok(())
    }

    /// Sets what was left for the end, the deepest directories first. A directory that is no longer where it was has been
    /// replaced by a later entry.
    pub(super) fn finish(self) -> Step<()> {
        let mut late: Vec<_> = self.late.into_iter().collect();
        late.sort_by(|(_, one), (_, other)| other.path.cmp(&one.path));
        for (id_then, late) in late {
            let fd = match open_below(self.root, &late.path) {
                Ok(fd) => fd,
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
                Err(errno) => return Err(errno).called("openat2"),
            };
            let stat = rustix::fs::fstat(&fd).called("fstat")?;
            if id(&stat) != id_then {
                continue;
            }
            if let Some(mode) = late.mode {
                change_mode(&fd, mode)?;
            }
            rustix::fs::utimensat(&fd, c"", &late.times, AtFlags::EMPTY_PATH)
                .called("utimensat")?;
        }
        Ok(())
    }

    /// A directory of the layers below keeps its times though entries are written into it, and opens to a caller without
    /// privileges until the end.
    fn keep_as_it_was(&mut self, path: &[u8], directory: &Directory, stat: &Stat) -> Step<()> {
        if self.late.contains_key(&directory.id) {
            return Ok(());
        }
        let mode = stat.st_mode & 0o7777;
        if self.early_mode(mode) != mode && stat.st_uid == rustix::process::geteuid().as_raw() {
            change_mode(&directory.fd, self.early_mode(mode))?;
        }
        self.finish_later(path, directory.id, mode, timestamps_of(stat))
    }

    fn remember(&mut self, path: &[u8]) -> Step<()> {
        self.remembered += path.len() as u64 + REMEMBERED;
        if self.remembered > self.limits.remembered {
            let what = "bytes of memory for directories";
            return Err(over("remembered", what, self.limits.remembered));
        }
        Ok(())
    }

    fn resolve(&mut self, path: &[u8], missing: Missing) -> Step<Option<OwnedFd>> {
        match open_below(self.root, path) {
            Ok(fd) => Ok(Some(fd)),
            Err(Errno::NOENT) if missing == Missing::Leave => Ok(None),
            // ELOOP may come early: when the kernel starts a lookup anew, it goes on counting symlinks where it was.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG | Errno::LOOP) => {
                self.walk(path, missing)
            }
            Err(Errno::XDEV) => Err(Cause::new("a mount is in the way of the path")),
            Err(Errno::AGAIN) => Err(Cause::new(
                "directories are being renamed while they are unpacked",
            )),
            Err(errno) => Err(errno).called("openat2"),
        }
    }

    /// Goes component by component, making what is missing, also behind a symlink that leads nowhere yet (`/var/run` to
    /// `/run`). `..` can only come from a symlink's target, and goes no higher than the root.
    fn walk(&mut self, path: &[u8], missing: Missing) -> Step<Option<OwnedFd>> {
        let mut to_go: Vec<Vec<u8>> = components(path).rev().map(<[u8]>::to_vec).collect();
        let mut held: Vec<OwnedFd> = Vec::new();
        let mut links = 0;
        while let Some(name) = to_go.pop() {
            if name == b".." {
                held.pop();
                continue;
            }
            if held.len() as u64 == self.limits.depth {
                return Err(over(
                    "depth",
                    "directories below each other",
                    self.limits.depth,
                ));
            }
            let root = self.root;
            let here = held.last().map_or(root, AsFd::as_fd);
            match self.step(here, &name, missing)? {
                Next::Directory(fd) => held.push(fd),
                Next::Nothing => return Ok(None),
                Next::Symlink(target) => {
                    links += 1;
                    if links > LINKS {
                        return Err(Cause::new("more than 40 symlinks in the path"));
                    }
                    if target.starts_with(b"/") {
                        held.clear();
                    }
                    to_go.extend(components(&target).rev().map(<[u8]>::to_vec));
                }
            }
        }
        match held.pop() {
            Some(fd) => Ok(Some(fd)),
            None => open_below(self.root, b"").called("openat2").map(Some),
        }
    }

    fn step(&mut self, here: BorrowedFd<'_>, name: &[u8], missing: Missing) -> Step<Next> {
        for _ in 0..TRIES {
            match open_child(here, name, DIRECTORY) {
                Ok(fd) => return Ok(Next::Directory(fd)),
                Err(Errno::NOENT) if missing == Missing::Leave => return Ok(Next::Nothing),
                Err(Errno::NOENT) => self.make(here, name)?,
                Err(Errno::NOTDIR | Errno::LOOP) => {
                    if let Some(next) = self.other(here, name, missing)? {
                        return Ok(next);
                    }
                }
                Err(errno) => return Err(errno).called("openat2"),
            }
        }
        Err(Cause::new("the path changes while it is unpacked"))
    }

    /// What to do where no directory is: follow a symlink, or put a directory in the place of this layer's own whiteout.
    fn other(&mut self, here: BorrowedFd<'_>, name: &[u8], missing: Missing) -> Step<Option<Next>> {
        let stat = match rustix::fs::statat(here, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(errno).called("fstatat"),
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink => match rustix::fs::readlinkat(here, name, Vec::new()) {
                Ok(target) => Ok(Some(Next::Symlink(target.into_bytes()))),
                Err(Errno::INVAL | Errno::NOENT) => Ok(None),
                Err(errno) => Err(errno).called("readlinkat"),
            },
            FileType::Directory => Ok(None),
            _ if missing == Missing::Leave => Ok(Some(Next::Nothing)),
            FileType::CharacterDevice if overlay::is_whiteout(self.options.whiteouts, &stat) => {
                rustix::fs::unlinkat(here, name, AtFlags::empty()).called("unlinkat")?;
                self.make(here, name)?;
                let fd = open_child(here, name, READABLE).called("openat2")?;
                overlay::set_opaque(self.options.whiteouts, fd.as_fd())?;
                Ok(None)
            }
            _ => Err(Cause::new(format!(
                "{} above it is no directory",
                crate::error::quote(name)
            ))),
        }
    }

    /// A parent that the layer does not list: root's, and mode 0755.
    fn make(&mut self, here: BorrowedFd<'_>, name: &[u8]) -> Step<()> {
        match rustix::fs::mkdirat(here, name, Mode::from_raw_mode(0o755)) {
            Ok(()) => {}
            Err(Errno::EXIST) => return Ok(()),
            Err(errno) => return Err(errno).called("mkdirat"),
        }
        let fd = open_child(here, name, READABLE).called("openat2")?;
        let (uid, gid) = self.options.ids.map(0, 0)?;
        let owner = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        rustix::fs::fchown(&fd, owner.0, owner.1).called("fchown")?;
        rustix::fs::fchmod(&fd, Mode::from_raw_mode(0o755)).called("fchmod")?;
        let parent = id(&rustix::fs::fstat(here).called("fstat")?);
        self.note(parent, name);
        self.parents_made += 1;
        Ok(())
    }

    /// How many directories were made that the layer does not list.
    pub(super) fn parents_made(&self) -> u64 {
        self.parents_made
    }

    pub(super) fn limits(&self) -> &Limits {
        self.limits
    }
}

enum Next {
    Directory(OwnedFd),
    Symlink(Vec<u8>),
    Nothing,
}

/// Opens a directory below `root` as `DIRECTORY`, symlinks on the way resolved as if `root` were `/`.
pub(super) fn open_below(root: BorrowedFd<'_>, path: &[u8]) -> SysResult<OwnedFd> {
    let path = if path.is_empty() { b"." } else { path };
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
    let flags = DIRECTORY.difference(OFlags::NOFOLLOW);
    let open = || rustix::fs::openat2(root, path, flags, Mode::empty(), resolve);
    let mut result = open();
    for _ in 0..TRIES {
        match result {
            Err(Errno::AGAIN | Errno::INTR) => result = open(),
            done => return done,
        }
    }
    result
}

/// Opens one component in `here`, never through a symlink or into another mount.
pub(super) fn open_child(here: BorrowedFd<'_>, name: &[u8], flags: OFlags) -> SysResult<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    rustix::fs::openat2(here, name, flags, Mode::empty(), resolve)
}

/// fchmod(2) for a descriptor opened as `DIRECTORY`, which needs another one.
fn change_mode(fd: &OwnedFd, mode: u32) -> Step<()> {
    let fd = rustix::fs::openat(fd, c".", READABLE, Mode::empty()).called("openat")?;
    rustix::fs::fchmod(fd, Mode::from_raw_mode(mode)).called("fchmod")
}

pub(super) fn id(stat: &Stat) -> Id {
    (stat.st_dev, stat.st_ino)
}

/// A point in time as the kernel takes it.
pub(super) fn timespec(seconds: i64, nanoseconds: u32) -> Timespec {
    Timespec {
        tv_sec: seconds,
        tv_nsec: i64::from(nanoseconds),
    }
}
