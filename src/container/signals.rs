//! The foreground: signals that reach the runtime are passed on, and the program's end is the runtime's.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use nix::sys::signal::{SigSet, Signal as NixSignal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, poll};

use super::child::{exit_code, reap};
use super::console::{Relay, Stream};
use crate::error::{Doing, Result};
use crate::sys::{signal, time_left};
use crate::watch::Supervisor;

/// All signals of this process, blocked and readable.
pub(super) struct Forwarded {
    signals: SignalFd,
    patience: Patience,
    /// What came before there was a program to pass it on to.
    early: Vec<i32>,
}

/// What came first while a program was awaited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum First {
    /// There is something to read, or the process has ended.
    Message,
    /// Whoever waits is asked to end, by this signal.
    End(i32),
}

/// When a program has to end, and what ends it; by the clock that stands still while the host is suspended.
pub(super) struct Deadline<'a> {
    pub(super) at: Instant,
    pub(super) end: &'a dyn Fn() -> Result<()>,
}

impl Deadline<'_> {
    fn has_passed(&self) -> bool {
        self.at <= Instant::now()
    }
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
            early: Vec::new(),
        })
    }

    /// Waits for something to read from `fd`, or for the end of the process behind `pidfd`. A frozen container may keep it
    /// waiting for ever, so a signal that asks for an end ends that; others are kept for the program.
    pub(super) fn wait_to_read(
        &mut self,
        fd: BorrowedFd<'_>,
        pidfd: BorrowedFd<'_>,
    ) -> Result<First> {
        loop {
            let mut fds = [
                PollFd::from_borrowed_fd(fd, PollFlags::IN),
                PollFd::from_borrowed_fd(pidfd, PollFlags::IN),
                PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN),
            ];
            rustix::io::retry_on_intr(|| poll(&mut fds, None)).doing(|| "wait for the program")?;
            let is_readable = fds[..2].iter().any(|fd| !fd.revents().is_empty());
            while let Some(number) = self.next()? {
                match number {
                    libc::SIGINT | libc::SIGTERM | libc::SIGQUIT | libc::SIGHUP if !is_readable => {
                        return Ok(First::End(number));
                    }
                    _ => self.early.push(number),
                }
            }
            if is_readable {
                return Ok(First::Message);
            }
        }
    }

    /// Passes signals on until the process behind `pidfd` ends, and what its terminal says and is told; its exit code.
    /// A supervisor is asked meanwhile what becomes of system calls. At the deadline the process is killed, and its end is
    /// awaited as any other.
    pub(super) fn wait(
        &self,
        pidfd: BorrowedFd<'_>,
        mut relay: Option<Relay>,
        mut supervisor: Option<&mut Supervisor>,
        mut deadline: Option<Deadline<'_>>,
    ) -> Result<i32> {
        let mut requests = 0;
        for number in &self.early {
            self.pass_on(pidfd, *number, &mut requests, relay.as_mut());
        }
        loop {
            let mut fds = vec![
                PollFd::from_borrowed_fd(pidfd, PollFlags::IN),
                PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN),
            ];
            let mut streams = Vec::new();
            if let Some(relay) = &relay {
                relay.watch(&mut fds, &mut streams);
            }
            // Behind the streams, which are counted from the front.
            if let Some(listener) = supervisor.as_ref().and_then(|own| own.listener()) {
                fds.push(PollFd::from_borrowed_fd(listener, PollFlags::IN));
            }
            let left = deadline.as_ref().map(|deadline| time_left(deadline.at));
            rustix::io::retry_on_intr(|| poll(&mut fds, left.as_ref()))
                .doing(|| "wait for the container")?;
            let has_ended = !fds[0].revents().is_empty();
            let mut events = fds.iter().skip(2).map(|fd| !fd.revents().is_empty());
            streams.retain(|_| events.next() == Some(true));
            drop(fds);
            if let Some(supervisor) = &mut supervisor {
                supervisor.serve();
            }
            if has_ended {
                if let Some(relay) = relay {
                    relay.finish();
                }
                return Ok(reap(pidfd)?.as_ref().map_or(1, exit_code));
            }
            if let Some(passed) = deadline.take_if(|deadline| deadline.has_passed()) {
                (passed.end)()?;
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
        while let Some(number) = self.next()? {
            self.pass_on(pidfd, number, requests, relay.as_deref_mut());
        }
        Ok(())
    }

    fn pass_on(
        &self,
        pidfd: BorrowedFd<'_>,
        number: i32,
        requests: &mut u32,
        relay: Option<&mut Relay>,
    ) {
        match (relay, number) {
            // The kernel tells the container's processes, once their terminal has the new size.
            (Some(relay), libc::SIGWINCH) => return relay.resize(),
            (Some(relay), libc::SIGCONT) => relay.resume(),
            _ => {}
        }
        *requests += u32::from([libc::SIGINT, libc::SIGTERM, libc::SIGQUIT].contains(&number));
        let is_over = self.is_over(*requests);
        // The program may have ended meanwhile.
        let _ = signal::send(pidfd, if is_over { libc::SIGKILL } else { number });
    }

    /// The next signal that is there and is the program's: SIGCHLD is about our child, SIGPIPE and SIGURG about our own
    /// descriptors.
    fn next(&self) -> Result<Option<i32>> {
        loop {
            let received = self.signals.read_signal().map_err(io::Error::from);
            let number = received
                .doing(|| "read a signal")?
                .map(|received| received.ssi_signo as i32);
            if number.is_none_or(|number| {
                ![libc::SIGCHLD, libc::SIGPIPE, libc::SIGURG].contains(&number)
            }) {
                return Ok(number);
            }
        }
    }

    fn is_over(&self, requests: u32) -> bool {
        self.patience == Patience::Once && requests > 1
    }
}
