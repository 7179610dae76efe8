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

pub use rustix::io::Errno;

/// The result of a system call.
pub type SysResult<T> = Result<T, Errno>;

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
