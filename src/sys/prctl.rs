//! prctl(2): bounding and ambient capabilities, no_new_privs, and what else a process says of itself.
#![allow(unsafe_code, reason = "raw system calls")]

use super::{SysResult, check};

fn prctl(option: libc::c_int, second: u64, third: u64) -> SysResult<libc::c_long> {
    // SAFETY: none of the options used here takes a pointer.
    check(unsafe { libc::syscall(libc::SYS_prctl, option, second, third, 0, 0) })
}

/// Removes a capability from the bounding set; `EPERM` without CAP_SETPCAP.
///
/// # Errors
/// The errno of the call.
pub fn drop_from_bounding(capability: u8) -> SysResult<()> {
    prctl(libc::PR_CAPBSET_DROP, u64::from(capability), 0).map(drop)
}

/// Whether a capability is in the bounding set.
///
/// # Errors
/// `EINVAL` for a number that the kernel does not know.
pub fn is_in_bounding(capability: u8) -> SysResult<bool> {
    Ok(prctl(libc::PR_CAPBSET_READ, u64::from(capability), 0)? == 1)
}

/// Adds a capability to the ambient set; it must be permitted and inheritable.
///
/// # Errors
/// The errno of the call.
pub fn raise_ambient(capability: u8) -> SysResult<()> {
    prctl(
        libc::PR_CAP_AMBIENT,
        libc::PR_CAP_AMBIENT_RAISE as u64,
        u64::from(capability),
    )
    .map(drop)
}

/// Empties the ambient set.
///
/// # Errors
/// The errno of the call.
pub fn clear_ambient() -> SysResult<()> {
    prctl(
        libc::PR_CAP_AMBIENT,
        libc::PR_CAP_AMBIENT_CLEAR_ALL as u64,
        0,
    )
    .map(drop)
}

/// Whether a capability is in the ambient set.
///
/// # Errors
/// `EINVAL` for a number that the kernel does not know.
pub fn is_ambient(capability: u8) -> SysResult<bool> {
    Ok(prctl(
        libc::PR_CAP_AMBIENT,
        libc::PR_CAP_AMBIENT_IS_SET as u64,
        u64::from(capability),
    )? == 1)
}

/// Keeps the permitted set when the user id stops being 0; lasts until execve(2).
///
/// # Errors
/// The errno of the call.
pub fn keep_capabilities() -> SysResult<()> {
    prctl(libc::PR_SET_KEEPCAPS, 1, 0).map(drop)
}

/// execve(2) grants nothing any more.
///
/// # Errors
/// The errno of the call.
pub fn set_no_new_privileges() -> SysResult<()> {
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0).map(drop)
}

/// Whether execve(2) grants nothing any more.
///
/// # Errors
/// The errno of the call.
pub fn no_new_privileges() -> SysResult<bool> {
    Ok(prctl(libc::PR_GET_NO_NEW_PRIVS, 0, 0)? == 1)
}

/// No memory of this process, and of what it executes, is writable and executable at once or becomes executable later;
/// for good. `EINVAL` before Linux 6.3.
///
/// # Errors
/// The errno of the call.
pub fn deny_write_execute() -> SysResult<()> {
    let flags = u64::from(libc::PR_MDWE_REFUSE_EXEC_GAIN);
    prctl(libc::PR_SET_MDWE, flags, 0).map(drop)
}

/// Whether [`deny_write_execute`] is in force.
///
/// # Errors
/// `EINVAL` before Linux 6.3.
pub fn denies_write_execute() -> SysResult<bool> {
    let flags = prctl(libc::PR_GET_MDWE, 0, 0)?;
    Ok(flags & libc::c_long::from(libc::PR_MDWE_REFUSE_EXEC_GAIN) != 0)
}

/// Whether the kernel has [`deny_write_execute`].
pub fn has_deny_write_execute() -> bool {
    denies_write_execute().is_ok()
}

/// Those that take, `SECBIT_NOROOT` and `SECBIT_NO_CAP_AMBIENT_RAISE`, and the locks of all that execve(2) and set*id look at
/// (securebits(7)). `SECBIT_NO_SETUID_FIXUP` and `SECBIT_KEEP_CAPS` are locked while they are off: with either, a program
/// that gives up user id 0 would keep its capabilities.
const LOCKED_SECUREBITS: u64 = 0b1110_1011;

/// User id 0 alone gives no capabilities any more, who gives it up has none left, and no ambient ones are added; for good.
/// `EPERM` without CAP_SETPCAP.
///
/// # Errors
/// The errno of the call.
pub fn lock_securebits() -> SysResult<()> {
    // Those about scripts (Linux 6.14) may be locked already.
    let others = prctl(libc::PR_GET_SECUREBITS, 0, 0)? as u64 & !0xff;
    prctl(libc::PR_SET_SECUREBITS, others | LOCKED_SECUREBITS, 0).map(drop)
}

/// Whether [`lock_securebits`] is in force.
///
/// # Errors
/// The errno of the call.
pub fn has_locked_securebits() -> SysResult<bool> {
    let bits = prctl(libc::PR_GET_SECUREBITS, 0, 0)? as u64;
    Ok(bits & 0xff == LOCKED_SECUREBITS)
}

/// Nobody without CAP_SYS_PTRACE attaches to this process or reads its memory and descriptors.
///
/// # Errors
/// The errno of the call.
pub fn clear_dumpable() -> SysResult<()> {
    prctl(libc::PR_SET_DUMPABLE, 0, 0).map(drop)
}

/// The kernel sends `signal` when the parent thread ends.
///
/// # Errors
/// The errno of the call.
pub fn signal_on_parent_death(signal: i32) -> SysResult<()> {
    prctl(libc::PR_SET_PDEATHSIG, signal as u64, 0).map(drop)
}
