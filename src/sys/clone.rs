//! clone3(2), which neither nix nor rustix wraps in a form that fits a fork with namespaces.
#![allow(unsafe_code, reason = "raw system calls")]

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::{SysResult, check};

/// `CLONE_NEWTIME`, valid for clone3(2) and unshare(2) only (Linux 5.6).
pub const NEWTIME: u64 = 0x80;
/// `CLONE_CLEAR_SIGHAND` (Linux 5.5): handlers become defaults, ignored signals stay ignored.
const CLEAR_SIGHAND: u64 = 0x1_0000_0000;
/// `CLONE_INTO_CGROUP` (Linux 5.7).
const INTO_CGROUP: u64 = 0x2_0000_0000;
/// `CLONE_PIDFD`.
const PIDFD: u64 = 0x1000;
/// `CLONE_PARENT`: the child becomes a sibling of the caller.
pub const PARENT: u64 = 0x8000;

/// What the two sides of a clone see.
#[derive(Debug)]
pub enum Side {
    /// In the new process.
    Child,
    /// In the caller: the child's process id and a descriptor of it.
    Parent(i32, OwnedFd),
}

/// Creates a process with the namespaces in `flags`, in the cgroup v2 directory `cgroup` if one is given.
/// It shares no memory; the caller must be single-threaded, since only the calling thread goes on in the child.
///
/// # Errors
/// The errno of clone3(2).
pub fn clone3(flags: u64, cgroup: Option<BorrowedFd<'_>>) -> SysResult<Side> {
    let mut pidfd: libc::c_int = -1;
    // With CLONE_PARENT the exit signal is the caller's own and must be 0.
    let exit_signal = if flags & PARENT == 0 {
        libc::SIGCHLD as u64
    } else {
        0
    };
    let arguments = libc::clone_args {
        flags: flags | PIDFD | CLEAR_SIGHAND | if cgroup.is_some() { INTO_CGROUP } else { 0 },
        pidfd: std::ptr::from_mut(&mut pidfd) as u64,
        child_tid: 0,
        parent_tid: 0,
        exit_signal,
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: cgroup.map_or(0, |fd| fd.as_raw_fd() as u64),
    };
    // SAFETY: without CLONE_VM the child has its own copy of memory and stack, as after fork(2); `arguments` and
    // `pidfd` outlive the call.
    let pid = check(unsafe {
        libc::syscall(
            libc::SYS_clone3,
            &raw const arguments,
            size_of::<libc::clone_args>(),
        )
    })?;
    if pid == 0 {
        return Ok(Side::Child);
    }
    // SAFETY: the kernel has just put a new descriptor there that nothing else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Side::Parent(pid as i32, pidfd))
}

/// unshare(2) with the `CLONE_NEW*` in `flags`.
///
/// # Errors
/// The errno of the call.
pub fn unshare(flags: libc::c_int) -> SysResult<()> {
    // SAFETY: no pointers; the process is single-threaded.
    check(unsafe { libc::syscall(libc::SYS_unshare, flags) }).map(drop)
}

/// setns(2): joins the namespace that `fd` refers to, which must be of the type `flag`; with a pidfd, the namespaces of all
/// types in `flag` that the process is in (Linux 5.8), all or none.
///
/// # Errors
/// The errno of the call.
pub fn join(fd: BorrowedFd<'_>, flag: libc::c_int) -> SysResult<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::syscall(libc::SYS_setns, fd.as_raw_fd(), flag) }).map(drop)
}
