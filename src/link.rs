//! The socket between parent and child: messages of one size, and at most one descriptor with each.
//! No text crosses from the child: a failure is a step, a call and an errno, and the plan has the words.
//!
//! ```text
//! container/create                       init
//! clone3; id maps, network devices       (Cloned before them, when init had to fork once more)
//! 1 Proceed ──────────▶ wait; steps(setup)     cgroup, namespaces, mounts
//!           ◀────────── (Terminal with the master end, where there is one)
//! 2 Done    ◀────────── tell
//! prestart and createRuntime hooks
//! 3 Proceed ──────────▶ wait; steps(enter)     createContainer hooks, pivot, ids, capabilities
//! 4 Done    ◀────────── tell; state.json written; create exits
//! container/start
//! 5 connect ──────────▶ accept; steps(start)   startContainer hooks, read-back, seccomp
//! 6 EOF     ◀────────── execve(2) succeeded (close-on-exec), or Failed
//! ```
//! `run` keeps one socket for all six. `exec` needs fewer, since only a second fork and a terminal wait in the middle of it:
//!
//! ```text
//! container/exec                         init/exec
//! clone3
//! 0 Proceed ──────────▶ (moved by systemd)     joins
//! 1         ◀────────── (Cloned, after a pid namespace: it has forked once more)
//! 2 Proceed ──────────▶ (after Cloned)         setup
//! 3         ◀────────── (Terminal with the master end, where there is one)
//! 4 Proceed ──────────▶ (after a terminal)     enter, start
//! 5 EOF     ◀────────── execve(2) succeeded, or Failed
//! ```
//! Cloned comes from a process that the new one does not wait for: without 2 the new one's first message could overtake it.
//! EOF can also mean that init was killed: ask its pidfd before claiming success.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg,
    sendmsg, socketpair,
};

use crate::plan::Failure;
use crate::sys::{Errno, SysResult};

/// One message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message {
    /// 1, 3: the parent has done its part.
    Proceed,
    /// 2, 4: the child has done its part.
    Done,
    /// The child forked once more; the process id of the one that goes on, in the parent's pid namespace.
    Cloned(i32),
    /// The master end of the process's terminal comes with this message, between 1 and 2 (3 of `exec`).
    Terminal,
    /// The seccomp listener comes with this message.
    Listener,
    /// The child gave up.
    Failed(Failure),
}

/// Bytes of a message: kind, step, call, errno, detail.
const SIZE: usize = 24;

impl Message {
    fn encode(self) -> [u8; SIZE] {
        let none = Failure::default();
        let (kind, failure) = match self {
            Self::Proceed => (1, none),
            Self::Done => (2, none),
            Self::Cloned(pid) => (3, Failure { errno: pid, ..none }),
            Self::Listener => (4, none),
            Self::Failed(failure) => (5u32, failure),
            Self::Terminal => (6, none),
        };
        let mut bytes = [0; SIZE];
        bytes[0..4].copy_from_slice(&kind.to_ne_bytes());
        bytes[4..8].copy_from_slice(&failure.step.to_ne_bytes());
        bytes[8..12].copy_from_slice(&failure.call.to_ne_bytes());
        bytes[12..16].copy_from_slice(&failure.errno.to_ne_bytes());
        bytes[16..24].copy_from_slice(&failure.detail.to_ne_bytes());
        bytes
    }

    fn decode(bytes: [u8; SIZE]) -> Option<Self> {
        let word = |at: usize| {
            u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let mut detail = [0; 8];
        detail.copy_from_slice(&bytes[16..24]);
        Some(match word(0) {
            1 => Self::Proceed,
            2 => Self::Done,
            3 => Self::Cloned(word(12) as i32),
            4 => Self::Listener,
            5 => Self::Failed(Failure {
                step: word(4),
                call: word(8),
                errno: word(12) as i32,
                detail: u64::from_ne_bytes(detail),
            }),
            6 => Self::Terminal,
            _ => return None,
        })
    }
}

/// Two connected ends, both close-on-exec.
///
/// # Errors
/// The errno of socketpair(2).
pub fn pair() -> SysResult<(OwnedFd, OwnedFd)> {
    socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
}

/// Sends a message; a vanished receiver is `EPIPE`, never a signal.
///
/// # Errors
/// The errno of sendmsg(2).
pub fn send(socket: BorrowedFd<'_>, message: Message) -> SysResult<()> {
    send_bytes(socket, message, &mut SendAncillaryBuffer::default())
}

/// Sends a message with a descriptor.
///
/// # Errors
/// The errno of sendmsg(2).
pub fn send_with(socket: BorrowedFd<'_>, message: Message, fd: BorrowedFd<'_>) -> SysResult<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let fds = [fd];
    if !ancillary.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(Errno::NOBUFS);
    }
    send_bytes(socket, message, &mut ancillary)
}

fn send_bytes(
    socket: BorrowedFd<'_>,
    message: Message,
    ancillary: &mut SendAncillaryBuffer<'_, '_, '_>,
) -> SysResult<()> {
    let bytes = message.encode();
    rustix::io::retry_on_intr(|| {
        sendmsg(
            socket,
            &[IoSlice::new(&bytes)],
            ancillary,
            SendFlags::NOSIGNAL,
        )
    })
    .map(drop)
}

/// Receives a message and what came with it; `None` is the end: the other side is gone, or has executed its program.
///
/// # Errors
/// The errno of recvmsg(2), or `EPROTO` for anything that is not a message.
pub fn receive(socket: impl AsFd) -> SysResult<Option<(Message, Option<OwnedFd>)>> {
    let mut bytes = [0; SIZE];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        let mut into = [IoSliceMut::new(&mut bytes)];
        match recvmsg(&socket, &mut into, &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR) => {}
            // A unix socket whose peer died with unread bytes answers this instead of the end.
            Err(Errno::CONNRESET) => return Ok(None),
            other => break other?,
        }
    };
    if received.bytes == 0 {
        return Ok(None);
    }
    if received.bytes != SIZE || received.flags.contains(ReturnFlags::TRUNC) {
        return Err(Errno::PROTO);
    }
    let mut fd = None;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            fd = fds.last();
        }
    }
    let message = Message::decode(bytes).ok_or(Errno::PROTO)?;
    Ok(Some((message, fd)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_survives_the_socket() {
        let failure = Failure {
            step: 7,
            call: 3,
            errno: 13,
            detail: u64::MAX,
        };
        for sent in [
            Message::Proceed,
            Message::Done,
            Message::Cloned(42),
            Message::Listener,
            Message::Terminal,
            Message::Failed(failure),
        ] {
            let (ours, theirs) = pair().unwrap();
            send(ours.as_fd(), sent).unwrap();
            let (received, fd) = receive(&theirs).unwrap().unwrap();
            assert_eq!(received, sent);
            assert!(fd.is_none());
        }
    }

    #[test]
    fn a_closed_peer_is_the_end_and_a_descriptor_travels() {
        let (ours, theirs) = pair().unwrap();
        send_with(ours.as_fd(), Message::Listener, ours.as_fd()).unwrap();
        assert!(receive(&theirs).unwrap().unwrap().1.is_some());
        drop(ours);
        assert_eq!(receive(&theirs).unwrap().map(|(message, _)| message), None);
    }
}
