//! Handing a listener to the seccomp agent at `listenerPath`.
//! The document is written by the caller; config-linux.md, "The Container Process State", rules.

use std::io::{IoSlice, Write};
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use crate::error::{Doing, Error, Result, quote_path};

/// Connects to the agent's socket and sends one container process state (JSON) with the listener beside it; the
/// descriptor goes with the first message only, and the connection is closed afterwards.
///
/// # Errors
/// When the socket cannot be reached or the agent does not take the whole document.
pub fn deliver(listener_path: &Path, state: &str, listener: BorrowedFd<'_>) -> Result<()> {
    let doing = || {
        let path = quote_path(listener_path);
        format!("send the seccomp listener to {path} (linux.seccomp.listenerPath)")
    };
    let mut agent = UnixStream::connect(listener_path).map_err(|cause| {
        let cause = Error::new("failed to connect with seccomp agent", cause);
        Error::new(doing(), cause)
    })?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [listener];
    if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(Error::new(doing(), "no room for the descriptor"));
    }
    let data = [IoSlice::new(state.as_bytes())];
    let sent =
        rustix::io::retry_on_intr(|| sendmsg(&agent, &data, &mut control, SendFlags::NOSIGNAL))
            .doing(doing)?;
    agent.write_all(&state.as_bytes()[sent..]).doing(doing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixListener;

    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

    #[test]
    fn agent_receives_the_document_and_one_descriptor() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.sock");
        let socket = UnixListener::bind(&path).unwrap();
        let document = format!(
            "{{\"fds\":[\"seccompFd\"],\"metadata\":\"{}\"}}",
            "x".repeat(9000)
        );
        let sent = std::fs::File::open("/dev/null").unwrap();
        deliver(&path, &document, sent.as_fd()).unwrap();

        let (mut agent, _) = socket.accept().unwrap();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut first = vec![0; 100];
        let mut data = [std::io::IoSliceMut::new(&mut first)];
        let got = recvmsg(&agent, &mut data, &mut control, RecvFlags::empty()).unwrap();
        let mut descriptors = 0;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                descriptors += fds.count();
            }
        }
        first.truncate(got.bytes);
        agent.read_to_end(&mut first).unwrap();
        assert_eq!(descriptors, 1);
        assert_eq!(first, document.as_bytes());
    }

    #[test]
    fn missing_agent_is_named() {
        let null = std::fs::File::open("/dev/null").unwrap();
        let error = deliver(Path::new("/nonexistent/agent"), "{}", null.as_fd()).unwrap_err();
        assert!(error.to_string().starts_with(
            "send the seccomp listener to \"/nonexistent/agent\" (linux.seccomp.listenerPath): failed to connect with seccomp agent: no such file"
        ), "{error}");
    }
}
