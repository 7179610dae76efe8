//! The foreground: signals that reach the runtime are passed on, and the program's end is the runtime's.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::signal::{SigSet, Signal as NixSignal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, poll};

use super::child::{exit_code, reap};
use super::console::{Relay, Stream};
use crate::error::{Doing, Result};
use crate::sys::signal;

/// All signals of this process, blocked and readable.
pub(super) struct Forwarded {
    signals: SignalFd,
    patience: Patience,
}

/// What a second request to end means. The first process of a pid namespace does not get a signal that it has no handler
/// for, so that one request may well do nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// Passed on like the first.
    Endless,
    /// The process is killed.
    Once,
}

impl Forwarded {
    /// Blocks before the clone, so that no signal is lost between the two. The child unblocks its own.
    pub(super) fn block(patience: Patience) -> Result<Self> {
        let mut set = SigSet::all();
        // A fault must end the process rather than be queued.
        for fault in [
            NixSignal::SIGSEGV,
            NixSignal::SIGBUS,
            NixSignal::SIGILL,
            NixSignal::SIGFPE,
            NixSignal::SIGABRT,
        ] {
            set.remove(fault);
        }
        set.thread_block()
            .map_err(io::Error::from)
            .doing(|| "block signals")?;
        let signals = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK);
        Ok(Self {
            signals: signals.map_err(io::Error::from).doing(|| "read signals")?,
            patience,
        })
    }

    /// Passes signals on until the process behind `pidfd` ends, and what its terminal says and is told; its exit code.
    pub(super) fn wait(&self, pidfd: BorrowedFd<'_>, mut relay: Option<Relay>) -> Result<i32> {
        let mut requests = 0;
        loop {
            let mut fds = vec![
                PollFd::from_borrowed_fd(pidfd, PollFlags::IN),
                PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN),
            ];
            let mut streams = Vec::new();
            if let Some(relay) = &relay {
                relay.watch(&mut fds, &mut streams);
            }
            rustix::io::retry_on_intr(|| poll(&mut fds, None))
                .doing(|| "wait for the container")?;
            let has_ended = !fds[0].revents().is_empty();
            let mut events = fds.iter().skip(2).map(|fd| !fd.revents().is_empty());
            streams.retain(|_| events.next() == Some(true));
            drop(fds);
            if has_ended {
                if let Some(relay) = relay {
                    relay.finish();
                }
                return Ok(reap(pidfd)?.as_ref().map_or(1, exit_code));
            }
            self.forward(pidfd, &mut requests, relay.as_mut())?;
            if let Some(relay) = &mut relay {
                for stream in streams {
                    relay.carry(stream);
                    if stream == Stream::Input && relay.lost_an_interrupt() {
                        requests += 1;
                        if self.is_over(requests) {
                            let _ = signal::send(pidfd, libc::SIGKILL);
                        }
                    }
                }
            }
        }
    }

    fn forward(
        &self,
        pidfd: BorrowedFd<'_>,
        requests: &mut u32,
        mut relay: Option<&mut Relay>,
    ) -> Result<()> {
        while let Some(received) = self
            .signals
            .read_signal()
            .map_err(io::Error::from)
            .doing(|| "read a signal")?
        {
            let number = received.ssi_signo as i32;
            // SIGCHLD is about our child; SIGPIPE and SIGURG are about our own descriptors.
            if [libc::SIGCHLD, libc::SIGPIPE, libc::SIGURG].contains(&number) {
                continue;
            }
            match (&mut relay, number) {
                // The kernel tells the container's processes, once their terminal has the new size.
                (Some(relay), libc::SIGWINCH) => {
                    relay.resize();
                    continue;
                }
                (Some(relay), libc::SIGCONT) => relay.resume(),
                _ => {}
            }
            *requests += u32::from([libc::SIGINT, libc::SIGTERM, libc::SIGQUIT].contains(&number));
            let is_over = self.is_over(*requests);
            // The program may have ended meanwhile.
            let _ = signal::send(pidfd, if is_over { libc::SIGKILL } else { number });
        }
        Ok(())
    }

    fn is_over(&self, requests: u32) -> bool {
        self.patience == Patience::Once && requests > 1
    }
}
