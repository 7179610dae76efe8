//! Thin system-call wrappers: the only unsafe code of the project.
//! Most calls go through `nix` or `rustix`, which are safe already; what is here has no safe wrapper there.

pub mod alloc;
pub mod attempt;
pub mod attributes;
pub mod bpf;
pub mod clone;
pub mod hook;
pub mod landlock;
pub mod mount;
pub mod netlink;
pub mod notify;
pub mod prctl;
pub mod program;
pub mod seccomp;
pub mod signal;

use std::time::Instant;

use rustix::event::Timespec;
pub use rustix::io::Errno;

/// The result of a system call.
pub type SysResult<T> = Result<T, Errno>;

/// What is left until then, for poll(2); nothing where it is over.
pub fn time_left(until: Instant) -> Timespec {
    let left = until.saturating_duration_since(Instant::now());
    Timespec {
        tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: left.subsec_nanos().into(),
    }
}

/// Turns a raw system call's return value into a result.
fn check(value: libc::c_long) -> SysResult<libc::c_long> {
    if value >= 0 {
        return Ok(value);
    }
    Err(last_errno())
}

/// Why the last call failed.
fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}
