//! One entry into the tree. What is there already goes, but for a directory that meets a directory; nothing is opened or
//! changed through it, so that its other names and what a symlink points to stay as they are.
//! Not the resolution of parents: see `tree`.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};

use super::archive::{Archive, Entry, Kind};
use super::attributes;
use super::budget::{Budget, over};
use super::cause::{Called, Cause, Step};
use super::name::{Name, Role};
use super::overlay;
use super::remove::remove;
use super::tree::{Directory, Missing, READABLE, Tree, open_child};
use super::{Applied, Nodes, Options, Whiteouts};
use crate::error::quote;
use crate::sys::{Errno, SysResult};

/// Whoever puts a name back each time that it is removed is given up on.
const TRIES: usize = 1000;

/// A layer on its way into a tree.
pub(super) struct Placing<'a> {
    pub(super) tree: Tree<'a>,
    pub(super) root: BorrowedFd<'a>,
    pub(super) options: &'a Options,
    pub(super) applied: Applied,
}

/// Where an entry goes.
struct Spot<'a> {
    directory: &'a Directory,
    name: &'a Name,
}

impl Placing<'_> {
    pub(super) fn place(
        &mut self,
        entry: &Entry,
        archive: &mut Archive<'_>,
        budget: &Budget,
    ) -> Step<()> {
        budget.take_entry()?;
        self.applied.entries += 1;
        let Some(name) = Name::of(&entry.path, budget.limits())? else {
            return self.root(entry);
        };
        let role = name.role()?;
        match role {
            Role::Object => self.object(&name, entry, archive, budget),
            Role::Bookkeeping => {
                self.applied.dropped += 1;
                Ok(())
            }
            _ if !matches!(entry.kind, Kind::File | Kind::HardLink) => {
                Err(Cause::new("a whiteout that is no file"))
            }
            Role::Whiteout(hidden) => self.whiteout(&name, &hidden),
            Role::Opaque => self.opaque(&name),
        }
    }

    /// The root exists: an entry for it can only describe it.
    fn root(&mut self, entry: &Entry) -> Step<()> {
        if entry.kind != Kind::Directory {
            return Err(Cause::new("the root as something else than a directory"));
        }
        self.applied.describes_root = true;
        let fd = rustix::fs::openat(self.root, c".", READABLE, Mode::empty()).called("openat")?;
        attributes::clear_xattrs(&fd, self.options)?;
        self.describe_directory(&fd, b"", entry)
    }

    fn object(
        &mut self,
        name: &Name,
        entry: &Entry,
        archive: &mut Archive<'_>,
        budget: &Budget,
    ) -> Step<()> {
        let directory = self.tree.directory(&name.parent, Missing::Make)?;
        let directory = directory.ok_or_else(|| Cause::new("its directory does not exist"))?;
        let spot = Spot {
            directory: &directory,
            name,
        };
        match entry.kind {
            Kind::File => self.file(&spot, entry, archive, budget),
            Kind::Directory => self.directory(&spot, entry),
            Kind::Symlink => self.symlink(&spot, entry, budget),
            Kind::HardLink => self.hard_link(&spot, entry, budget),
            Kind::Character | Kind::Block | Kind::Fifo => self.node(&spot, entry),
        }?;
        self.tree.note(directory.id, &name.last);
        Ok(())
    }

    fn file(
        &mut self,
        spot: &Spot<'_>,
        entry: &Entry,
        archive: &mut Archive<'_>,
        budget: &Budget,
    ) -> Step<()> {
        let stored = archive.body_left();
        let size = entry.sparse.as_ref().map_or(stored, |sparse| sparse.size);
        budget.check_file(size)?;
        let holes = size.saturating_sub(stored);
        budget.take_bytes(holes)?;
        self.applied.holes += holes;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let (directory, last) = (spot.fd(), spot.last());
        let mode = attributes::mode(entry, self.options, &mut self.applied);
        let early = Mode::from_raw_mode(self.tree.private_mode(entry, mode)?);
        let open = || rustix::fs::openat(directory, last, flags, early);
        let fd = self.create(spot, "openat", open)?;
        match &entry.sparse {
            None => write(&fd, archive, stored)?,
            Some(sparse) => {
                for (offset, length) in &sparse.spans {
                    let from = rustix::fs::SeekFrom::Start(*offset);
                    rustix::fs::seek(&fd, from).called("lseek")?;
                    write(&fd, archive, *length)?;
                }
                rustix::fs::ftruncate(&fd, sparse.size).called("ftruncate")?;
            }
        }
        attributes::set(fd.as_fd(), entry, mode, self.options, &mut self.applied)?;
        rustix::fs::futimens(&fd, &attributes::times(entry)).called("futimens")
    }

    fn directory(&mut self, spot: &Spot<'_>, entry: &Entry) -> Step<()> {
        let fd = self.open_or_make(spot)?;
        let path = [&spot.name.parent[..], &spot.name.last[..]].join(&b'/');
        self.describe_directory(&fd, &path, entry)
    }

    fn open_or_make(&mut self, spot: &Spot<'_>) -> Step<OwnedFd> {
        let (directory, last) = (spot.fd(), spot.last());
        let mut hides = false;
        for _ in 0..TRIES {
            let is_new = match rustix::fs::mkdirat(directory, last, Mode::RWXU) {
                Ok(()) => true,
                Err(Errno::EXIST) => false,
                Err(errno) => return Err(errno).called("mkdirat"),
            };
            match open_child(directory, last, READABLE) {
                Ok(fd) => {
                    if !is_new {
                        attributes::clear_xattrs(&fd, self.options)?;
                    }
                    if hides {
                        overlay::set_opaque(self.options.whiteouts, fd.as_fd())?;
                    }
                    return Ok(fd);
                }
                Err(Errno::ACCESS) => attributes::change_mode_at(directory, last, 0o700)?,
                Err(Errno::NOENT) => {}
                Err(Errno::NOTDIR | Errno::LOOP) => {
                    // Where whiteouts stay it is of this layer, and hid what is below as the directory does now.
                    hides = true;
                    self.tree.forget();
                    remove(directory, last)?;
                }
                Err(errno) => return Err(errno).called("openat2"),
            }
        }
        Err(changing())
    }

    fn describe_directory(&mut self, fd: &OwnedFd, path: &[u8], entry: &Entry) -> Step<()> {
        let mode = attributes::mode(entry, self.options, &mut self.applied);
        let early = self.tree.early_mode(mode);
        let id = attributes::set(fd.as_fd(), entry, early, self.options, &mut self.applied)?;
        let path = path.strip_prefix(b"/").unwrap_or(path);
        self.tree
            .finish_later(path, id, mode, attributes::times(entry))
    }

    fn symlink(&mut self, spot: &Spot<'_>, entry: &Entry, budget: &Budget) -> Step<()> {
        if entry.target.is_empty() {
            return Err(Cause::new("a symlink to nothing"));
        }
        if entry.target.len() as u64 > budget.limits().path {
            return Err(over("path", "bytes in a target", budget.limits().path));
        }
        let target = &entry.target[..];
        let make = || rustix::fs::symlinkat(target, spot.fd(), spot.last());
        self.create(spot, "symlinkat", make)?;
        attributes::skip_xattrs(entry, self.options, &mut self.applied);
        attributes::set_owner_at(spot.fd(), spot.last(), entry, self.options)?;
        attributes::set_times_at(spot.fd(), spot.last(), entry)
    }

    /// The target is a path below the root that exists already, its last component not followed. The link's own attributes
    /// are not heeded: they are the target's.
    fn hard_link(&mut self, spot: &Spot<'_>, entry: &Entry, budget: &Budget) -> Step<()> {
        let shown = quote(&entry.target);
        let missing = || {
            Cause::new(format!(
                "a hard link to {shown}, which does not exist before it"
            ))
        };
        let wrong = |cause: Cause| Cause::new(format!("a hard link to {shown}: {cause}"));
        let target = Name::of(&entry.target, budget.limits()).map_err(wrong)?;
        let target = target.ok_or_else(|| wrong(Cause::new("the root")))?;
        if target.role().map_err(wrong)? != Role::Object {
            return Err(missing());
        }
        let Some(from) = self.tree.directory(&target.parent, Missing::Leave)? else {
            return self.link_to_below(missing);
        };
        if from.id == spot.directory.id && target.last == spot.name.last {
            return Err(Cause::new("a hard link to itself"));
        }
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        let stat = match rustix::fs::statat(&from.fd, &target.last[..], flags) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return self.link_to_below(missing),
            Err(errno) => return Err(errno).called("fstatat"),
        };
        if overlay::is_whiteout(self.options.whiteouts, &stat) {
            return Err(missing());
        }
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            return Err(wrong(Cause::new("a directory")));
        }
        let (to, last) = (spot.fd(), spot.last());
        let link = || rustix::fs::linkat(&from.fd, &target.last[..], to, last, AtFlags::empty());
        self.create(spot, "linkat", link)
    }

    /// A hard link to what this layer does not hold: in a directory of one layer nobody can say whether it is right.
    fn link_to_below(&mut self, missing: impl Fn() -> Cause) -> Step<()> {
        if self.options.whiteouts == Whiteouts::Remove {
            return Err(missing());
        }
        self.applied.links_left_out += 1;
        Ok(())
    }

    fn node(&mut self, spot: &Spot<'_>, entry: &Entry) -> Step<()> {
        let (kind, what) = match entry.kind {
            Kind::Character => (FileType::CharacterDevice, "a character device"),
            Kind::Block => (FileType::BlockDevice, "a block device"),
            _ => (FileType::Fifo, "a FIFO"),
        };
        match self.options.nodes {
            Nodes::Make => {}
            Nodes::Refuse => return Err(Cause::new(format!("{what}, and none are to be made"))),
            Nodes::Skip => {
                self.applied.skipped += 1;
                self.tree.forget();
                remove(spot.fd(), spot.last())?;
                return match self.options.whiteouts {
                    Whiteouts::Remove => Ok(()),
                    _ => overlay::make_whiteout(spot.fd(), spot.last()),
                };
            }
        }
        let device = device(entry)?;
        let mode = attributes::mode(entry, self.options, &mut self.applied);
        let bits = Mode::from_raw_mode(mode & 0o777);
        let (directory, last) = (spot.fd(), spot.last());
        let make = || rustix::fs::mknodat(directory, last, kind, bits, device);
        self.create(spot, "mknodat", make)?;
        attributes::skip_xattrs(entry, self.options, &mut self.applied);
        attributes::set_owner_at(directory, last, entry, self.options)?;
        attributes::change_mode_at(directory, last, mode)?;
        attributes::set_times_at(directory, last, entry)
    }

    fn whiteout(&mut self, name: &Name, hidden: &[u8]) -> Step<()> {
        let keeps = self.options.whiteouts != Whiteouts::Remove;
        let missing = if keeps { Missing::Make } else { Missing::Leave };
        let Some(directory) = self.tree.directory(&name.parent, missing)? else {
            return Ok(());
        };
        self.tree.forget();
        if !keeps {
            return self.tree.prune_name(directory.fd.as_fd(), hidden);
        }
        if !self.tree.is_of_this_layer(directory.id, hidden) {
            return overlay::make_whiteout(directory.fd.as_fd(), hidden);
        }
        match open_child(directory.fd.as_fd(), hidden, READABLE) {
            Ok(fd) => overlay::set_opaque(self.options.whiteouts, fd.as_fd()),
            // What is no directory hides all by itself.
            Err(Errno::NOTDIR | Errno::LOOP) => Ok(()),
            // Of this layer was what is gone again, with a directory that this one has the inode number of.
            Err(Errno::NOENT) => overlay::make_whiteout(directory.fd.as_fd(), hidden),
            Err(errno) => Err(errno).called("openat2"),
        }
    }

    fn opaque(&mut self, name: &Name) -> Step<()> {
        let keeps = self.options.whiteouts != Whiteouts::Remove;
        let missing = if keeps { Missing::Make } else { Missing::Leave };
        let Some(directory) = self.tree.directory(&name.parent, missing)? else {
            return Ok(());
        };
        self.tree.forget();
        if !keeps {
            return self.tree.prune(directory.fd.as_fd());
        }
        let flags = READABLE;
        let fd = rustix::fs::openat(&directory.fd, c".", flags, Mode::empty()).called("openat")?;
        overlay::set_opaque(self.options.whiteouts, fd.as_fd())
    }

    /// Makes a new object by a call that fails where there is one, and removes that first.
    fn create<T>(
        &mut self,
        spot: &Spot<'_>,
        call: &str,
        make: impl Fn() -> SysResult<T>,
    ) -> Step<T> {
        for _ in 0..TRIES {
            match make() {
                Err(Errno::EXIST) => {
                    self.tree.forget();
                    remove(spot.fd(), spot.last())?;
                }
                result => return result.called(call),
            }
        }
        Err(changing())
    }
}

impl Spot<'_> {
    fn fd(&self) -> BorrowedFd<'_> {
        self.directory.fd.as_fd()
    }

    fn last(&self) -> &[u8] {
        &self.name.last
    }
}

/// The number for mknod(2). The kernel has 12 bits for the major number and 20 for the minor; `c 0:0` is a whiteout to
/// overlayfs.
fn device(entry: &Entry) -> Step<u64> {
    let (major, minor) = entry.device;
    if major >= 1 << 12 || minor >= 1 << 20 {
        return Err(Cause::new(format!(
            "the device {major}:{minor} cannot exist on Linux"
        )));
    }
    if entry.kind == Kind::Character && (major, minor) == (0, 0) {
        return Err(Cause::new(
            "the device c 0:0, which overlay file systems take for a whiteout",
        ));
    }
    Ok(rustix::fs::makedev(major as u32, minor as u32))
}

/// The next `length` bytes of the body into a file.
fn write(fd: &OwnedFd, archive: &mut Archive<'_>, length: u64) -> Step<()> {
    let mut left = length;
    while left > 0 {
        let ready = archive.body()?;
        let most = usize::try_from(left).unwrap_or(usize::MAX);
        let ready = &ready[..ready.len().min(most)];
        let count = match rustix::io::write(fd, ready) {
            Err(Errno::INTR) => continue,
            result => result.called("write")?,
        };
        archive.consume(count);
        left -= count as u64;
    }
    Ok(())
}

fn changing() -> Cause {
    Cause::new("the name is being made again as often as it is removed")
}
