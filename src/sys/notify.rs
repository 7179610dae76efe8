//! The listener of a seccomp filter (seccomp_unotify(2)): receiving a call, answering it, and looking at its caller.
//! What is answered is `watch`'s business; how a filter with a listener is loaded, `seccomp`'s.
#![allow(
    unsafe_code,
    reason = "the listener's ioctls and process_vm_readv(2) have no safe wrapper"
)]

use std::os::fd::{AsRawFd, BorrowedFd};

use super::{SysResult, check};

/// `SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP` (linux/seccomp.h), since Linux 6.6.
const SYNC_WAKE_UP: u64 = 1;

/// A call that waits for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notification {
    /// Names the call towards the kernel.
    pub id: u64,
    /// The calling thread, in our pid namespace; 0 if it is not to be seen from there.
    pub thread: i32,
    /// The call's number.
    pub number: i32,
    /// `AUDIT_ARCH_*`.
    pub arch: u32,
    /// Where the call was made.
    pub instruction_pointer: u64,
    /// The six argument registers.
    pub arguments: [u64; 6],
}

/// Room for what the kernel exchanges: its structures may be longer than those that we know.
#[derive(Debug)]
pub struct Exchange {
    received: Vec<u64>,
    answer: Vec<u64>,
}

impl Exchange {
    /// Asks the kernel for the sizes (`SECCOMP_GET_NOTIF_SIZES`).
    ///
    /// # Errors
    /// EINVAL on a kernel without listeners.
    pub fn new() -> SysResult<Self> {
        let mut sizes = libc::seccomp_notif_sizes {
            seccomp_notif: 0,
            seccomp_notif_resp: 0,
            seccomp_data: 0,
        };
        // SAFETY: the kernel writes one structure of this type through the pointer, which is live.
        let asked = unsafe {
            libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_GET_NOTIF_SIZES,
                0,
                &raw mut sizes,
            )
        };
        check(asked)?;
        let words = |size: u16, known: usize| vec![0u64; usize::from(size).max(known).div_ceil(8)];
        Ok(Self {
            received: words(sizes.seccomp_notif, size_of::<libc::seccomp_notif>()),
            answer: words(
                sizes.seccomp_notif_resp,
                size_of::<libc::seccomp_notif_resp>(),
            ),
        })
    }

    /// Takes the next call; it waits for one if there is none.
    ///
    /// # Errors
    /// ENOENT when the caller has gone meanwhile, EINTR.
    pub fn receive(&mut self, listener: BorrowedFd<'_>) -> SysResult<Notification> {
        // The kernel demands zeros.
        self.received.fill(0);
        let into = self.received.as_mut_ptr();
        // SAFETY: the kernel writes as many bytes as it has said, for which there is room.
        let received =
            unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, into) };
        check(received.into())?;
        // SAFETY: the room is aligned, as long as the type, written by the kernel, and any bits are a value of it.
        let raw = unsafe { self.received.as_ptr().cast::<libc::seccomp_notif>().read() };
        Ok(Notification {
            id: raw.id,
            thread: raw.pid.cast_signed(),
            number: raw.data.nr,
            arch: raw.data.arch,
            instruction_pointer: raw.data.instruction_pointer,
            arguments: raw.data.args,
        })
    }

    /// Has the call fail with an error of errno(3).
    ///
    /// # Errors
    /// ENOENT when the caller has gone.
    pub fn refuse(&mut self, listener: BorrowedFd<'_>, id: u64, errno: i32) -> SysResult<()> {
        self.send(
            listener,
            libc::seccomp_notif_resp {
                id,
                val: 0,
                error: -errno,
                flags: 0,
            },
        )
    }

    /// Lets the kernel carry the call out. Whoever decides by what a pointer leads to decides nothing: it may lead elsewhere
    /// by then.
    ///
    /// # Errors
    /// ENOENT when the caller has gone.
    pub fn let_go_on(&mut self, listener: BorrowedFd<'_>, id: u64) -> SysResult<()> {
        self.send(
            listener,
            libc::seccomp_notif_resp {
                id,
                val: 0,
                error: 0,
                flags: libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32,
            },
        )
    }

    fn send(
        &mut self,
        listener: BorrowedFd<'_>,
        answer: libc::seccomp_notif_resp,
    ) -> SysResult<()> {
        let from = self.answer.as_mut_ptr();
        // SAFETY: the room is aligned and at least as long as the type.
        unsafe { from.cast::<libc::seccomp_notif_resp>().write(answer) };
        // SAFETY: the kernel reads as many bytes as it has said, which are all there.
        let sent =
            unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, from) };
        check(sent.into()).map(drop)
    }
}

/// Whether the call still waits: what was read of its caller before was the caller's.
pub fn is_waiting(listener: BorrowedFd<'_>, id: u64) -> bool {
    let id = &raw const id;
    // SAFETY: the kernel reads one number through the pointer, which is live.
    let asked =
        unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ID_VALID, id) };
    asked == 0
}

/// Asks for answers that wake the caller on the processor that answers, which saves half of the time. A kernel before 6.6
/// does without.
pub fn wake_at_once(listener: BorrowedFd<'_>) {
    // SAFETY: the flags are the argument itself, and nothing is read through it.
    unsafe {
        libc::ioctl(
            listener.as_raw_fd(),
            libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS,
            SYNC_WAKE_UP,
        )
    };
}

/// Reads memory of another process from `address` on, at most to the end of the next page; how many bytes came.
///
/// # Errors
/// EFAULT where nothing is mapped, EPERM, ESRCH.
pub fn read_memory(thread: i32, address: u64, into: &mut [u8]) -> SysResult<usize> {
    // A transfer ends between two ranges, never within one: each is of one page.
    const PAGE: u64 = 4096;
    let to_the_end = (PAGE - address % PAGE) as usize;
    let first = to_the_end.min(into.len());
    let second = (into.len() - first).min(PAGE as usize);
    let at = |address: u64, length: usize| libc::iovec {
        iov_base: address as *mut libc::c_void,
        iov_len: length,
    };
    let remote = [
        at(address, first),
        at(address.wrapping_add(first as u64), second),
    ];
    let local = libc::iovec {
        iov_base: into.as_mut_ptr().cast(),
        iov_len: first + second,
    };
    let count = if second == 0 { 1 } else { 2 };
    // SAFETY: the kernel writes at most `first + second` bytes, which `into` has; the remote ranges are the other process's.
    let read =
        unsafe { libc::process_vm_readv(thread, &raw const local, 1, remote.as_ptr(), count, 0) };
    check(read as libc::c_long).map(|length| length as usize)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;
    use crate::sys::Errno;

    #[test]
    fn memory_is_read_up_to_a_page_and_from_nowhere_not_at_all() {
        let text = b"some bytes of this very process";
        let own = i32::try_from(std::process::id()).unwrap();
        let mut into = [0; 10];
        let length = read_memory(own, text.as_ptr() as u64, &mut into).unwrap();
        assert_eq!((length, &into), (10, b"some bytes"));
        assert_eq!(read_memory(own, 8, &mut into), Err(Errno::FAULT));
    }

    #[test]
    fn what_is_no_listener_has_no_calls() {
        let null = std::fs::File::open("/dev/null").unwrap();
        let mut exchange = Exchange::new().unwrap();
        assert_eq!(exchange.receive(null.as_fd()), Err(Errno::NOTTY));
        assert!(!is_waiting(null.as_fd(), 1));
    }
}
