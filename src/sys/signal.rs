//! pidfd_send_signal(2) with any signal number: rustix knows no real-time signals and no 0. And what SIGCHLD does.
#![allow(unsafe_code, reason = "raw system calls")]

use std::os::fd::{AsRawFd, BorrowedFd};

use super::{SysResult, check};

/// Gives SIGCHLD its default disposition: a caller may leave it ignored, and then the ends of children are lost (wait(2)).
pub fn keep_ends_of_children() {
    // SAFETY: SIG_DFL installs no code.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
}

/// Sends `signal` (0 to 64; 0 only asks whether that is possible) to the process that `pidfd` refers to.
///
/// # Errors
/// `ESRCH` when the process has ended, `EINVAL` for a number that is no signal.
pub fn send(pidfd: BorrowedFd<'_>, signal: i32) -> SysResult<()> {
    let information: *const libc::siginfo_t = std::ptr::null();
    // SAFETY: without information the kernel fills it in as for kill(2); no other pointer.
    check(unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            information,
            0,
        )
    })
    .map(drop)
}
