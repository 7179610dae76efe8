//! mount_setattr(2) (Linux 5.12), which rustix does not wrap.
#![allow(unsafe_code, reason = "raw system calls")]

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::{SysResult, check};

/// `MOUNT_ATTR_RDONLY`.
pub const RDONLY: u64 = libc::MOUNT_ATTR_RDONLY;
/// `MOUNT_ATTR_IDMAP` (Linux 5.12).
const IDMAP: u64 = libc::MOUNT_ATTR_IDMAP;

/// What mount_setattr(2) is to change; masks of `MOUNT_ATTR_*`, propagation one of `MS_SHARED` and its kin or 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Change {
    /// Attributes to set.
    pub set: u64,
    /// Attributes to clear.
    pub clear: u64,
    /// New propagation type.
    pub propagation: u64,
}

impl Change {
    /// Sets attributes and nothing else.
    pub const fn set(set: u64) -> Self {
        Self {
            set,
            clear: 0,
            propagation: 0,
        }
    }

    /// Sets the propagation type and nothing else.
    pub const fn propagation(propagation: u64) -> Self {
        Self {
            set: 0,
            clear: 0,
            propagation,
        }
    }
}

/// How far a change of attributes reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// The one mount.
    Mount,
    /// The mount and all below it.
    Tree,
}

/// Changes attributes of the mount that `fd` refers to.
///
/// # Errors
/// The errno of mount_setattr(2).
pub fn change(fd: BorrowedFd<'_>, change: Change, reach: Reach) -> SysResult<()> {
    setattr(
        fd,
        &libc::mount_attr {
            attr_set: change.set,
            attr_clr: change.clear,
            propagation: change.propagation,
            userns_fd: 0,
        },
        reach,
    )
}

/// Maps the ids of the detached mount `fd` by the user namespace `user`.
///
/// # Errors
/// The errno of mount_setattr(2).
pub fn map_ids(fd: BorrowedFd<'_>, user: BorrowedFd<'_>, reach: Reach) -> SysResult<()> {
    setattr(
        fd,
        &libc::mount_attr {
            attr_set: IDMAP,
            attr_clr: 0,
            propagation: 0,
            userns_fd: user.as_raw_fd() as u64,
        },
        reach,
    )
}

fn setattr(fd: BorrowedFd<'_>, attributes: &libc::mount_attr, reach: Reach) -> SysResult<()> {
    let empty: &CStr = c"";
    let flags = match reach {
        Reach::Mount => libc::AT_EMPTY_PATH,
        Reach::Tree => libc::AT_EMPTY_PATH | libc::AT_RECURSIVE,
    };
    // SAFETY: the path and the attributes outlive the call, and the size is theirs.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            fd.as_raw_fd(),
            empty.as_ptr(),
            flags as libc::c_uint,
            std::ptr::from_ref(attributes),
            size_of::<libc::mount_attr>(),
        )
    })
    .map(drop)
}
