//! Mounts, attached by descriptor (fsopen(2), open_tree(2), move_mount(2)), never by a path that the image controls.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, FileType, StatVfsMountFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};

use super::root::{self, Missing};
use super::{Call, Child, Difference, Fault, In, Outcome, copy};
use crate::names::mount::LOCKABLE;
use crate::plan::{Attributes, Filesystem, Mount, Source};
use crate::sys::mount::{Change, RDONLY, Reach, change};
use crate::sys::{Errno, SysResult};

/// A clone of a tree, or of one mount.
const CLONE: OpenTreeFlags = OpenTreeFlags::OPEN_TREE_CLONE.union(OpenTreeFlags::OPEN_TREE_CLOEXEC);

impl<'a> Child<'a> {
    pub(super) fn root(&self) -> BorrowedFd<'_> {
        self.root
            .as_ref()
            .expect("a plan attaches the root before it uses it")
            .as_fd()
    }

    /// Cuts propagation on the whole mount namespace.
    pub(super) fn isolate(propagation: u64) -> Outcome {
        let slash =
            open_tree(CWD, c"/", OpenTreeFlags::OPEN_TREE_CLOEXEC).in_call(Call::OpenTree)?;
        change(slash.as_fd(), Change::propagation(propagation), Reach::Tree)
            .in_call(Call::MountSetattr)
    }

    /// The root's propagation. A mount that becomes shared stays a slave of the host's where it was one, and this one was
    /// cloned from there: events of the host would go on through it.
    pub(super) fn propagate_root(&self, propagation: u64, recursive: bool) -> Outcome {
        let reach = if recursive { Reach::Tree } else { Reach::Mount };
        if propagation == libc::MS_SHARED {
            let private = Change::propagation(libc::MS_PRIVATE);
            change(self.root(), private, Reach::Mount).in_call(Call::MountSetattr)?;
        }
        change(self.root(), Change::propagation(propagation), reach).in_call(Call::MountSetattr)
    }

    /// Attaches a clone of the root filesystem, over itself or over `/`, which makes it a mount to pivot to.
    pub(super) fn attach_root(&mut self, path: &CStr, tree: Option<usize>) -> Outcome {
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        if let Some(number) = tree {
            let tree = self.tree(number)?;
            must_be_directory(tree.as_fd())?;
            move_mount(&tree, c"", CWD, c"/", flags).in_call(Call::MoveMount)?;
            self.root = Some(tree);
            return Ok(());
        }
        let tree =
            open_tree(CWD, path, CLONE | OpenTreeFlags::AT_RECURSIVE).in_call(Call::OpenTree)?;
        must_be_directory(tree.as_fd())?;
        // The path may be a symbolic link: a bundle is the caller's own.
        let flags = flags | MoveMountFlags::MOVE_MOUNT_T_SYMLINKS;
        move_mount(&tree, c"", CWD, path, flags).in_call(Call::MoveMount)?;
        self.root = Some(tree);
        Ok(())
    }

    /// A tree that the parent opened. Where this process can open it as well, it does: in its own mount namespace the flags
    /// that the host gave to a mount are locked (mount_namespaces(7)), so that no capability of the container clears them.
    fn tree(&self, number: usize) -> Outcome<OwnedFd> {
        let (wanted, prepared) = (&self.plan.trees[number], &self.fds.trees[number]);
        if wanted.id_maps.is_none() {
            let flags = CLONE | depth(wanted.recursive);
            // A path such as /proc/self/fd/7 is something else here.
            if let Ok(tree) = open_tree(CWD, wanted.path.as_c_str(), flags)
                && identity(tree.as_fd())? == identity(prepared.as_fd())?
            {
                return Ok(tree);
            }
        }
        rustix::io::fcntl_dupfd_cloexec(prepared, 3).in_call(Call::Open)
    }

    /// Makes one mount of the plan.
    pub(super) fn mount(&mut self, mount: &'a Mount) -> Outcome {
        let (tree, target) = match &mount.source {
            Source::Filesystem(filesystem) => self.new_filesystem(mount, filesystem)?,
            Source::Bind { path, recursive } => {
                let tree = open_tree(CWD, path.as_c_str(), CLONE | depth(*recursive))
                    .in_call(Call::OpenTree)?;
                let target = self.bind_target(tree.as_fd(), &mount.destination)?;
                (tree, target)
            }
            Source::Inside { path, recursive } => {
                let place = root::place(self.root(), path).in_call(Call::OpenTree)?;
                let flags = CLONE | depth(*recursive) | OpenTreeFlags::AT_EMPTY_PATH;
                let tree = open_tree(&place, c"", flags).in_call(Call::OpenTree)?;
                let target = self.bind_target(tree.as_fd(), &mount.destination)?;
                (tree, target)
            }
            Source::Tree(number) => {
                let tree = self.tree(*number)?;
                let target = self.bind_target(tree.as_fd(), &mount.destination)?;
                (tree, target)
            }
            Source::Existing => return self.change_existing(mount),
        };
        let fd = tree.as_fd();
        apply(fd, &mount.attributes)?;
        attach(fd, target.as_fd()).in_call(Call::MoveMount)?;
        propagate(fd, &mount.attributes)?;
        // What is mounted over a place hides it.
        self.systems
            .retain(|(path, _)| below(path, &mount.destination).is_none());
        match (&mount.source, mount.seal, tree) {
            (_, Some(slot), tree) => self.kept[slot] = Some(tree),
            (Source::Filesystem(filesystem), None, tree) if filesystem.is_system() => {
                self.systems.push((&mount.destination, tree));
            }
            _ => {}
        }
        Ok(())
    }

    /// A place in the root, or nothing where there is nothing; other failures are failures. What the kernel shows of itself
    /// is found by its mount.
    fn existing(&self, path: &CStr) -> Outcome<Option<OwnedFd>> {
        let system = self.systems.iter().rev().find_map(|(at, mount)| {
            below(path, at)
                .filter(|rest| !rest.is_empty())
                .map(|rest| (mount.as_fd(), rest))
        });
        let (from, path) = system.unwrap_or((self.root(), path));
        match root::place(from, path) {
            Ok(place) => Ok(Some(place)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(errno) => Err(errno).in_call(Call::Openat2),
        }
    }

    /// `remount`: other attributes for a mount that was made before.
    fn change_existing(&self, mount: &Mount) -> Outcome {
        let place = root::place(self.root(), &mount.destination).in_call(Call::Openat2)?;
        apply(place.as_fd(), &mount.attributes)?;
        propagate(place.as_fd(), &mount.attributes)
    }

    /// A bind mount's target is of its source's type.
    pub(super) fn bind_target(&self, tree: BorrowedFd<'_>, destination: &CStr) -> Outcome<OwnedFd> {
        let missing = match root::file_type(tree)? {
            FileType::Directory => Missing::Directory,
            _ => Missing::File,
        };
        root::make(self.root(), destination, missing)
    }

    fn new_filesystem(
        &self,
        mount: &Mount,
        filesystem: &Filesystem,
    ) -> Outcome<(OwnedFd, OwnedFd)> {
        let existed = root::place(self.root(), &mount.destination).is_ok();
        let target = if filesystem.is_system() {
            root::ordinary_directory(self.root(), &mount.destination)?
        } else {
            root::make(self.root(), &mount.destination, Missing::Directory)?
        };
        let context = fsopen(filesystem.kind.as_c_str(), FsOpenFlags::FSOPEN_CLOEXEC)
            .in_call(Call::Fsopen)?;
        configure(context.as_fd(), filesystem)?;
        if filesystem.inherit_mode && existed {
            inherit_mode(context.as_fd(), target.as_fd())?;
        }
        fsconfig_create(context.as_fd()).in_call(Call::FsconfigCreate)?;
        let attributes = MountAttrFlags::from_bits_retain(mount.attributes.mount.set as u32);
        let tree = fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
            .in_call(Call::Fsmount)?;
        if filesystem.copy_up && existed {
            copy::directory(target.as_fd(), tree.as_fd())?;
        }
        Ok((tree, target))
    }

    /// Makes a kept mount read-only, now that everything in it is made.
    pub(super) fn seal(&mut self, slot: usize) -> Outcome {
        let tree = self.kept[slot].take().expect("a plan seals what it kept");
        change(tree.as_fd(), Change::set(RDONLY), Reach::Mount).in_call(Call::MountSetattr)?;
        confirm(tree.as_fd(), RDONLY)
    }

    /// Puts a read-only copy of a tree over itself.
    pub(super) fn readonly_path(&self, path: &CStr) -> Outcome {
        let Some(place) = self.existing(path)? else {
            return Ok(());
        };
        let flags = CLONE | OpenTreeFlags::AT_RECURSIVE | OpenTreeFlags::AT_EMPTY_PATH;
        let tree = open_tree(&place, c"", flags).in_call(Call::OpenTree)?;
        change(tree.as_fd(), Change::set(RDONLY), Reach::Tree).in_call(Call::MountSetattr)?;
        attach(tree.as_fd(), place.as_fd()).in_call(Call::MoveMount)?;
        confirm(tree.as_fd(), RDONLY)
    }

    /// Hides a path: a directory under one empty read-only tmpfs that all share, anything else under /dev/null.
    pub(super) fn masked_path(&mut self, path: &CStr) -> Outcome {
        let Some(place) = self.existing(path)? else {
            return Ok(());
        };
        if root::file_type(place.as_fd())? == FileType::Directory {
            return self.mask_directory(place.as_fd());
        }
        if self.null.is_none() {
            self.null = Some(host_null()?);
        }
        let null = self.null.as_ref().expect("opened above");
        let tree =
            open_tree(null, c"", CLONE | OpenTreeFlags::AT_EMPTY_PATH).in_call(Call::OpenTree)?;
        // The node is the host's own: root in a container could change its mode. A device can be written all the same.
        let change_nothing = Change {
            set: RDONLY,
            propagation: libc::MS_PRIVATE,
            ..Change::default()
        };
        change(tree.as_fd(), change_nothing, Reach::Mount).in_call(Call::MountSetattr)?;
        attach(tree.as_fd(), place.as_fd()).in_call(Call::MoveMount)?;
        confirm(tree.as_fd(), RDONLY)
    }

    fn mask_directory(&mut self, place: BorrowedFd<'_>) -> Outcome {
        if let Some(empty) = &self.empty {
            let tree = open_tree(empty, c"", CLONE | OpenTreeFlags::AT_EMPTY_PATH)
                .in_call(Call::OpenTree)?;
            return attach(tree.as_fd(), place).in_call(Call::MoveMount);
        }
        let context = fsopen(c"tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).in_call(Call::Fsopen)?;
        fsconfig_set_string(context.as_fd(), c"nr_blocks", c"1").in_call(Call::Fsconfig)?;
        fsconfig_set_string(context.as_fd(), c"nr_inodes", c"1").in_call(Call::Fsconfig)?;
        fsconfig_create(context.as_fd()).in_call(Call::FsconfigCreate)?;
        let tree = fsmount(
            context.as_fd(),
            FsMountFlags::FSMOUNT_CLOEXEC,
            MountAttrFlags::MOUNT_ATTR_RDONLY,
        )
        .in_call(Call::Fsmount)?;
        attach(tree.as_fd(), place).in_call(Call::MoveMount)?;
        confirm(tree.as_fd(), RDONLY)?;
        self.empty = Some(tree);
        Ok(())
    }
}

/// Whether submounts come along.
fn depth(recursive: bool) -> OpenTreeFlags {
    if recursive {
        OpenTreeFlags::AT_RECURSIVE
    } else {
        OpenTreeFlags::empty()
    }
}

/// Device and inode.
fn identity(fd: BorrowedFd<'_>) -> Outcome<(u64, u64)> {
    let stat = rustix::fs::fstat(fd).in_call(Call::Fstat)?;
    Ok((stat.st_dev, stat.st_ino))
}

fn must_be_directory(tree: BorrowedFd<'_>) -> Outcome {
    match root::file_type(tree)? {
        FileType::Directory => Ok(()),
        _ => Err(Fault::differs(Difference::NotDirectory, 0)),
    }
}

/// The rest of `path` below `directory`, both absolute and clean, empty where they are the same.
fn below<'p>(path: &'p CStr, directory: &CStr) -> Option<&'p CStr> {
    let directory = directory.to_bytes();
    let directory = directory.strip_suffix(b"/").unwrap_or(directory);
    let rest = path.to_bytes_with_nul().get(directory.len()..)?;
    let is_below = path.to_bytes().starts_with(directory) && matches!(rest.first(), Some(b'/' | 0));
    let rest = CStr::from_bytes_with_nul(rest).ok()?;
    is_below.then_some(rest)
}

/// The runtime namespace's /dev/null, if it is what it should be (CVE-2025-31133).
pub(super) fn host_null() -> Outcome<OwnedFd> {
    let null =
        open_tree(CWD, c"/dev/null", OpenTreeFlags::OPEN_TREE_CLOEXEC).in_call(Call::OpenTree)?;
    let stat = rustix::fs::fstat(&null).in_call(Call::Fstat)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::CharacterDevice
        || stat.st_rdev != rustix::fs::makedev(1, 3)
    {
        return Err(Fault::differs(Difference::Device, stat.st_rdev));
    }
    Ok(null)
}

pub(super) fn attach(tree: BorrowedFd<'_>, target: BorrowedFd<'_>) -> SysResult<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(tree, c"", target, c"", flags)
}

fn configure(context: BorrowedFd<'_>, filesystem: &Filesystem) -> Outcome {
    if let Some(source) = &filesystem.source {
        fsconfig_set_string(context, c"source", source.as_c_str()).in_call(Call::FsconfigSource)?;
    }
    let numbered = |number: usize, result: SysResult<()>| {
        result.in_call(Call::Fsconfig).map_err(|fault| Fault {
            detail: number as u64,
            ..fault
        })
    };
    for (number, flag) in filesystem.flags.iter().enumerate() {
        numbered(number, fsconfig_set_flag(context, flag.as_c_str()))?;
    }
    for (number, (key, value)) in filesystem.values.iter().enumerate() {
        let number = filesystem.flags.len() + number;
        numbered(
            number,
            fsconfig_set_string(context, key.as_c_str(), value.as_c_str()),
        )?;
    }
    Ok(())
}

/// Sets `mode=` to that of the directory below, sticky and set-id bits included.
fn inherit_mode(context: BorrowedFd<'_>, below: BorrowedFd<'_>) -> Outcome {
    let mode = rustix::fs::fstat(below).in_call(Call::Fstat)?.st_mode & 0o7777;
    let digit = |shift: u32| b'0' + (mode >> shift & 7) as u8;
    let text = [digit(9), digit(6), digit(3), digit(0), 0];
    let text = CStr::from_bytes_with_nul(&text).expect("four digits and a NUL");
    fsconfig_set_string(context, c"mode", text).in_call(Call::Fsconfig)
}

/// Applies attributes before the mount can be seen, and reads them back.
pub(super) fn apply(tree: BorrowedFd<'_>, attributes: &Attributes) -> Outcome {
    if attributes.implied != 0 {
        change_all(tree, attributes).in_call(Call::MountSetattr)?;
    } else if attributes.mount != Change::default() {
        change(tree, attributes.mount, Reach::Mount).in_call(Call::MountSetattr)?;
    }
    if attributes.tree != Change::default() {
        change(tree, attributes.tree, Reach::Tree).in_call(Call::MountSetattr)?;
    }
    confirm(tree, attributes.mount.set | attributes.tree.set)
}

/// Clears what the options imply too; of that, flags that are locked stay (mount_namespaces(7)).
fn change_all(tree: BorrowedFd<'_>, attributes: &Attributes) -> SysResult<()> {
    let clearing = |implied: u64| Change {
        clear: attributes.mount.clear | implied,
        ..attributes.mount
    };
    match change(tree, clearing(attributes.implied), Reach::Mount) {
        Err(Errno::PERM) => {
            let free = attributes.implied & !LOCKABLE;
            change(tree, clearing(free), Reach::Mount)
        }
        other => other,
    }
}

/// Propagation is a matter of attached mounts.
pub(super) fn propagate(tree: BorrowedFd<'_>, attributes: &Attributes) -> Outcome {
    for (propagation, recursive) in &attributes.propagation {
        let reach = if *recursive {
            Reach::Tree
        } else {
            Reach::Mount
        };
        change(tree, Change::propagation(*propagation), reach).in_call(Call::MountSetattr)?;
    }
    Ok(())
}

/// Refuses a mount that lacks a restriction that was asked for.
fn confirm(tree: BorrowedFd<'_>, set: u64) -> Outcome {
    let wanted = [
        (RDONLY, StatVfsMountFlags::RDONLY),
        (libc::MOUNT_ATTR_NOSUID, StatVfsMountFlags::NOSUID),
        (
            libc::MOUNT_ATTR_NODEV,
            StatVfsMountFlags::from_bits_retain(libc::ST_NODEV),
        ),
        (
            libc::MOUNT_ATTR_NOEXEC,
            StatVfsMountFlags::from_bits_retain(libc::ST_NOEXEC),
        ),
    ];
    if wanted.iter().all(|(attribute, _)| set & attribute == 0) {
        return Ok(());
    }
    let flags = rustix::fs::fstatvfs(tree).in_call(Call::Fstatvfs)?.f_flag;
    for (attribute, flag) in wanted {
        if set & attribute != 0 && !flags.contains(flag) {
            return Err(Fault::differs(Difference::MountFlags, flags.bits()));
        }
    }
    Ok(())
}
