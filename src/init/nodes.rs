//! Device nodes, FIFOs and links in the root, made from the descriptor of their directory.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Stat, Uid};
use rustix::mount::{OpenTreeFlags, open_tree};

use super::root::{self, Missing};
use super::{Call, Child, Difference, Fault, In, Outcome, mounts};
use crate::plan::{Kind, Node};
use crate::sys::Errno;

impl Child<'_> {
    /// Makes a node; one that exists already must be the same.
    pub(super) fn node(&self, node: &Node) -> Outcome {
        let (directory, name) = root::parent(self.root(), &node.path)?;
        let kind = match node.kind {
            Kind::Character => FileType::CharacterDevice,
            Kind::Block => FileType::BlockDevice,
            Kind::Fifo => FileType::Fifo,
        };
        let mode = Mode::from_raw_mode(node.mode);
        match rustix::fs::mknodat(&directory, name, kind, mode, node.number) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno).in_call(Call::Mknod),
        }
        let made = open_node(directory.as_fd(), name)?;
        let stat = rustix::fs::fstat(&made).in_call(Call::Fstat)?;
        let is_device = node.kind != Kind::Fifo;
        if FileType::from_raw_mode(stat.st_mode) != kind || is_device && stat.st_rdev != node.number
        {
            return Err(Fault::differs(Difference::Exists, stat.st_rdev));
        }
        own(made.as_fd(), &stat, node)
    }

    /// Binds the runtime namespace's device of the same path: a user namespace cannot make one (mknod(2), EPERM).
    pub(super) fn bind_node(&self, path: &CStr, number: u64) -> Outcome {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let tree = open_tree(CWD, path, flags).in_call(Call::OpenTree)?;
        let stat = rustix::fs::fstat(&tree).in_call(Call::Fstat)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::CharacterDevice
            || stat.st_rdev != number
        {
            return Err(Fault::differs(Difference::Device, stat.st_rdev));
        }
        let target = root::make(self.root(), path, Missing::File)?;
        mounts::attach(tree.as_fd(), target.as_fd()).in_call(Call::MoveMount)
    }

    /// Makes a symbolic link; whatever is there already stays, since the image or a mount brought it.
    pub(super) fn symbolic_link(&self, path: &CStr, target: &CStr) -> Outcome {
        let (directory, name) = root::parent(self.root(), path)?;
        match rustix::fs::symlinkat(target, &directory, name) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(errno) => Err(errno).in_call(Call::Symlink),
        }
    }
}

fn open_node(directory: BorrowedFd<'_>, name: &CStr) -> Outcome<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(directory, name, flags, Mode::empty()).in_call(Call::Open)
}

/// Owner first: chown(2) clears set-id bits. The mode needs no second look, since the umask is 0 until `Step::Umask`;
/// only a node that was there before has another.
fn own(fd: BorrowedFd<'_>, stat: &Stat, node: &Node) -> Outcome {
    if (stat.st_uid, stat.st_gid) != (node.uid, node.gid) {
        let owner = (Some(Uid::from_raw(node.uid)), Some(Gid::from_raw(node.gid)));
        rustix::fs::chownat(fd, c"", owner.0, owner.1, AtFlags::EMPTY_PATH).in_call(Call::Chown)?;
    }
    Ok(())
}
