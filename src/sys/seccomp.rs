//! seccomp(2): loading a filter, and asking the kernel which actions and flags it knows.
//! What a filter says is in `seccomp`. Nothing here allocates, so the child may call it.
#![allow(unsafe_code, reason = "seccomp(2) has no safe wrapper")]

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use super::{Errno, SysResult, last_errno};

/// `SECCOMP_FILTER_FLAG_NEW_LISTENER`.
pub const NEW_LISTENER: u32 = 1 << 3;
/// `SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV`, since Linux 5.19, only together with [`NEW_LISTENER`].
pub const WAIT_KILLABLE_RECV: u32 = 1 << 5;

/// Loads a filter into the calling thread. It needs no_new_privs or CAP_SYS_ADMIN, and cannot be taken back.
///
/// With [`NEW_LISTENER`] among the flags the listener comes back, close-on-exec.
///
/// # Errors
/// EACCES without no_new_privs and CAP_SYS_ADMIN, EINVAL for an invalid program or flag, EBUSY for a second listener,
/// ESRCH when another thread could not be synchronised.
pub fn install(program: &[libc::sock_filter], flags: u32) -> SysResult<Option<OwnedFd>> {
    let len = u16::try_from(program.len()).map_err(|_| Errno::INVAL)?;
    let filter = libc::sock_fprog {
        len,
        filter: program.as_ptr().cast_mut(),
    };
    match seccomp(libc::SECCOMP_SET_MODE_FILTER, flags, &raw const filter) {
        value if value < 0 => Err(last_errno()),
        value if flags & NEW_LISTENER != 0 => own(value).map(Some),
        0 => Ok(None),
        _ => Err(Errno::SRCH),
    }
}

/// Whether the kernel knows a filter's return action (`SECCOMP_RET_*`, data bits zero).
pub fn action_available(action: u32) -> bool {
    seccomp(libc::SECCOMP_GET_ACTION_AVAIL, 0, &raw const action) == 0
}

/// Whether the kernel knows a flag of `SECCOMP_SET_MODE_FILTER`: with no filter a known one ends in EFAULT.
pub fn flag_available(flag: u32) -> bool {
    let needed = if flag == WAIT_KILLABLE_RECV {
        NEW_LISTENER
    } else {
        0
    };
    let none = std::ptr::null::<libc::sock_fprog>();
    seccomp(libc::SECCOMP_SET_MODE_FILTER, flag | needed, none) < 0 && last_errno() == Errno::FAULT
}

/// The raw call; `argument` is what seccomp(2) says for the operation, or null.
fn seccomp<T>(operation: libc::c_uint, flags: u32, argument: *const T) -> libc::c_long {
    // SAFETY: the kernel only reads through `argument`: every caller passes null or a live value of the operation's type.
    unsafe { libc::syscall(libc::SYS_seccomp, operation, flags, argument) }
}

fn own(value: libc::c_long) -> SysResult<OwnedFd> {
    let fd = RawFd::try_from(value).map_err(|_| Errno::BADF)?;
    // SAFETY: the kernel just made this descriptor for us and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_knows_the_old_actions_and_flags_and_no_invented_ones() {
        assert!(action_available(libc::SECCOMP_RET_ERRNO));
        assert!(action_available(libc::SECCOMP_RET_USER_NOTIF));
        assert!(!action_available(0x1234_0000));
        assert!(flag_available(1));
        assert!(!flag_available(1 << 30));
    }

    #[test]
    fn broken_program_is_refused() {
        assert_eq!(install(&[], 0).unwrap_err(), Errno::INVAL);
    }
}
