//! pidfd_send_signal(2) with any signal number: rustix knows no real-time signals and no 0. What SIGCHLD does, and what a program begins with.
#![allow(unsafe_code, reason = "raw system calls")]

use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sys::signal::SigSet;

use super::{SysResult, check};

/// Gives SIGCHLD its default disposition: a caller may leave it ignored, and then the ends of children are lost (wait(2)).
pub fn keep_ends_of_children() {
    // SAFETY: SIG_DFL installs no code.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
}

/// Ends this process with 128 and the number of the signal at SIGHUP, SIGINT and SIGTERM, which the kernel keeps from the
/// first process of a pid namespace that has no handler for them (pid_namespaces(7)). execve(2) takes the handlers away.
pub fn end_when_asked() {
    extern "C" fn end(signal: libc::c_int) {
        // SAFETY: async-signal-safe, and it does not return.
        unsafe { libc::_exit(128 + signal) }
    }
    for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGTERM] {
        let handler = end as extern "C" fn(libc::c_int);
        // SAFETY: the handler calls what a handler may call.
        unsafe { libc::signal(signal, handler as libc::sighandler_t) };
    }
}

/// Has a program begin with no signal blocked, whatever this process blocks: the mask is kept by execve(2).
pub fn begin_unblocked(command: &mut Command) {
    // SAFETY: between fork and exec it makes one system call and allocates nothing.
    unsafe {
        command.pre_exec(|| Ok(SigSet::empty().thread_set_mask()?));
    }
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
