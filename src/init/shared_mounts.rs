//! Mounts that are shared with the host. What is attached to one is attached on the host too, so nothing may be but what
//! the container mounts there itself. Which mounts these are is `plan::shared_mounts`' business.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, StatxFlags, statx};

use super::mounts::{apply, attach, propagate};
use super::{Call, Child, Difference, Fault, In, Outcome};
use crate::plan::Attributes;

impl Child<'_> {
    /// Finds the place of a mount that is to be shared with the host, and keeps it. A link of the image can make two places
    /// one, and the second mount would be attached to the first.
    pub(super) fn shared_place(&mut self, slot: usize, tree: usize, path: &CStr) -> Outcome {
        let place = self.bind_target(self.fds.trees[tree].as_fd(), path)?;
        let itself = identity(place.as_fd())?;
        for other in self.kept.iter().flatten() {
            if identity(other.as_fd())? == itself {
                return Err(Fault::differs(Difference::SharedTwice, 0));
            }
        }
        self.kept[slot] = Some(place);
        Ok(())
    }

    /// Attaches the parent's clone, which is a peer of the host's mount. This process's own would be its slave.
    pub(super) fn share(&mut self, slot: usize, tree: usize, attributes: &Attributes) -> Outcome {
        let place = self.kept[slot]
            .take()
            .expect("a plan finds the place first");
        let tree = self.fds.trees[tree].as_fd();
        apply(tree, attributes)?;
        attach(tree, place.as_fd()).in_call(Call::MoveMount)?;
        propagate(tree, attributes)
    }
}

/// The mount, and the inode in it.
fn identity(place: BorrowedFd<'_>) -> Outcome<(u64, u64)> {
    let wanted = StatxFlags::MNT_ID | StatxFlags::INO;
    let found = statx(place, c"", AtFlags::EMPTY_PATH, wanted).in_call(Call::Fstat)?;
    Ok((found.stx_mnt_id, found.stx_ino))
}
