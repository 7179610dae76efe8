//! Sockets that a caller listens on for one descriptor: the console socket for the master end of a terminal, the pidfd
//! socket for the process. One message each, as runc's callers expect it; then the connection is closed.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, OFlags, openat};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType, connect as connect_to, sendmsg, socket_with,
};

use crate::error::{Doing, Error, Result, quote_path};
use crate::sys::Errno;

/// How long a listener may take to accept, and a receiver to make room. Callers listen before they call.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a socket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::container) enum Use {
    /// The master end of a terminal.
    Console,
    /// A pidfd of the container's first process.
    Init,
    /// A pidfd of a process that `exec` runs.
    Exec,
}

impl Use {
    /// The socket in an error's words, and what is sent to it.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Console => ("console socket", "terminal"),
            Self::Init | Self::Exec => ("pidfd socket", "pidfd"),
        }
    }

    /// What goes with the descriptor: receivers take it for the name of the terminal, or of the kind of process.
    fn name(self) -> &'static [u8] {
        match self {
            Self::Console => b"/dev/ptmx",
            Self::Init => b"standard",
            Self::Exec => b"setns",
        }
    }
}

/// Connects to the listener at `path`.
///
/// # Errors
/// There is no socket, nobody listens, or nobody accepts within ten seconds.
pub(in crate::container) fn connect(purpose: Use, path: &Path) -> Result<OwnedFd> {
    let doing = || format!("connect to the {} {}", purpose.words().0, quote_path(path));
    // Through a descriptor, since the path may be longer than `sun_path` (unix(7)).
    let place = openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).doing(doing)?;
    let mode = rustix::fs::fstat(&place).doing(doing)?.st_mode;
    if FileType::from_raw_mode(mode) != FileType::Socket {
        return Err(Error::new(doing(), "it is not a socket"));
    }
    let address =
        SocketAddrUnix::new(format!("/proc/self/fd/{}", place.as_raw_fd())).doing(doing)?;
    let socket = socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )
    .doing(doing)?;
    // The limit for connect(2) too, which waits while the listener's queue is full.
    set_socket_timeout(&socket, Timeout::Send, Some(PATIENCE)).doing(doing)?;
    match rustix::io::retry_on_intr(|| connect_to(&socket, &address)) {
        Ok(()) => Ok(socket),
        Err(Errno::AGAIN) => Err(Error::new(doing(), "nobody accepts the connection")),
        Err(errno) => Err(Error::new(doing(), errno)),
    }
}

/// Connects to the pidfd socket, if the caller has one.
///
/// # Errors
/// As [`connect`].
pub(in crate::container) fn pidfd_socket(
    purpose: Use,
    path: Option<&Path>,
) -> Result<Option<OwnedFd>> {
    path.map(|path| connect(purpose, path)).transpose()
}

/// Sends the descriptor.
///
/// # Errors
/// The receiver is gone, or makes no room for ten seconds.
pub(in crate::container) fn send(
    purpose: Use,
    socket: BorrowedFd<'_>,
    descriptor: BorrowedFd<'_>,
) -> Result<()> {
    let (place, what) = purpose.words();
    let doing = || format!("send the {what} to the {place}");
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [descriptor];
    if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(Error::new(doing(), "no room for the descriptor"));
    }
    let data = [IoSlice::new(purpose.name())];
    let sent =
        rustix::io::retry_on_intr(|| sendmsg(socket, &data, &mut control, SendFlags::NOSIGNAL))
            .doing(doing)?;
    if sent == purpose.name().len() {
        Ok(())
    } else {
        Err(Error::new(doing(), "it was taken in part only"))
    }
}
