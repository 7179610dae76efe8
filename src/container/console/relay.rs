//! The relay between stockade's own streams and the master end: bytes both ways, sizes, hang-ups.
//! Waiting is the business of `signals`, which asks what to wait for and says what came.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer};
use rustix::termios::{SpecialCodeIndex, isatty, tcgetattr};

use super::{Own, interrupt};
use crate::error::{Doing, Result};
use crate::sys::{Errno, SysResult};

/// Bytes that are read at once.
const SIZE: usize = 4096;
/// How often what a process left in its terminal is read once it has ended: more than a terminal holds.
const LAST_READS: usize = 64;
/// Seconds that a reader of our output may take before what is left is given up.
const LAST_PATIENCE: i64 = 5;

/// A terminal that is being relayed. Dropped, stockade's own terminal is as it was found, and the container's is hung up.
#[derive(Debug)]
pub(in crate::container) struct Relay {
    own: Own,
    /// None once it is hung up.
    master: Option<OwnedFd>,
    /// The process's end as well, so that the master end does not report a hang-up when a program closes its streams to open
    /// the terminal again.
    end: OwnedFd,
    /// Standard output, by a description of our own where there can be one.
    output: OwnedFd,
    to_output: Buffer,
    to_master: Buffer,
    input: Input,
    /// The character that ends the input of a terminal.
    end_of_file: u8,
}

/// Standard input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Input {
    Open,
    /// Nothing comes any more, or not while another job has the terminal.
    Ended,
}

/// What there is to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::container) enum Stream {
    Master,
    Input,
    Output,
}

impl Relay {
    pub(super) fn begin(mut own: Own, master: OwnedFd) -> Result<Self> {
        let doing = || "relay the terminal";
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let end = ioctl_tiocgptpeer(&master, flags).doing(doing)?;
        // The description is ours alone: init has closed its own descriptor of it.
        rustix::fs::fcntl_setfl(&master, OFlags::RDWR | OFlags::NONBLOCK).doing(doing)?;
        let end_of_file = tcgetattr(&end).doing(doing)?.special_codes[SpecialCodeIndex::VEOF];
        let output = output().doing(doing)?;
        own.make_raw()?;
        Ok(Self {
            own,
            master: Some(master),
            end,
            output,
            to_output: Buffer::new(),
            to_master: Buffer::new(),
            input: Input::Open,
            end_of_file,
        })
    }

    /// Adds what has to be waited for; `wanted` says in the same order what it is.
    pub(in crate::container) fn watch<'a>(
        &'a self,
        fds: &mut Vec<PollFd<'a>>,
        wanted: &mut Vec<Stream>,
    ) {
        let Some(master) = &self.master else { return };
        let mut add = |fd: BorrowedFd<'a>, flags: PollFlags, stream: Stream| {
            if !flags.is_empty() {
                fds.push(PollFd::from_borrowed_fd(fd, flags));
                wanted.push(stream);
            }
        };
        let mut on_master = PollFlags::empty();
        on_master.set(PollFlags::IN, self.to_output.is_empty());
        on_master.set(PollFlags::OUT, !self.to_master.is_empty());
        add(master.as_fd(), on_master, Stream::Master);
        if !self.to_output.is_empty() {
            add(self.output.as_fd(), PollFlags::OUT, Stream::Output);
        }
        if self.input == Input::Open && self.to_master.is_empty() {
            add(rustix::stdio::stdin(), PollFlags::IN, Stream::Input);
        }
    }

    /// Moves what can be moved on a stream that is ready. Failures are ends: a terminal goes away without notice.
    pub(in crate::container) fn carry(&mut self, ready: Stream) {
        let Some(master) = &self.master else { return };
        let outcome = match ready {
            Stream::Master => self
                .to_master
                .drain(master.as_fd())
                .and_then(|()| self.to_output.fill(master.as_fd()).map(drop)),
            Stream::Output => self.to_output.drain(self.output.as_fd()),
            Stream::Input => {
                self.read_input();
                Ok(())
            }
        };
        if outcome.is_err() {
            // With nobody to show it to, the program's terminal is gone as well: the kernel tells it (SIGHUP).
            self.master = None;
        }
    }

    fn read_input(&mut self) {
        match self.to_master.fill(rustix::stdio::stdin()) {
            Ok(true) => return,
            Ok(false) if Own::is_typed_at() => {}
            Ok(false) => self.to_master.end(self.end_of_file),
            // EIO: another job has the terminal, or it is gone.
            Err(_) => {}
        }
        self.input = Input::Ended;
    }

    /// Whether what was typed last asks the program to end, and the kernel keeps that from it.
    pub(in crate::container) fn lost_an_interrupt(&self) -> bool {
        let keys = &self.to_master.bytes[self.to_master.sent..];
        self.master
            .as_ref()
            .is_some_and(|master| interrupt::is_lost(master.as_fd(), self.end.as_fd(), keys))
    }

    /// SIGWINCH: the size of stockade's own terminal.
    pub(in crate::container) fn resize(&self) {
        if let Some(master) = &self.master {
            // A terminal that is gone has no size.
            drop(self.own.copy_size(master.as_fd()));
        }
    }

    /// SIGCONT: whoever had the terminal meanwhile may have left it in other modes.
    pub(in crate::container) fn resume(&mut self) {
        // What failed for a terminal that is gone shows when it is read.
        drop(self.own.make_raw());
        self.resize();
        if Own::is_typed_at() {
            self.input = Input::Open;
        }
    }

    /// The process has ended: what it left in its terminal is still shown.
    pub(in crate::container) fn finish(mut self) {
        let Some(master) = self.master.take() else {
            return;
        };
        for _ in 0..LAST_READS {
            while !self.to_output.is_empty() {
                if !self.is_output_ready() || self.to_output.drain(self.output.as_fd()).is_err() {
                    return;
                }
            }
            // Never waits: nothing, an end and a failure leave the buffer empty.
            if self.to_output.fill(master.as_fd()).is_err() || self.to_output.is_empty() {
                return;
            }
        }
    }

    fn is_output_ready(&self) -> bool {
        let limit = Timespec {
            tv_sec: LAST_PATIENCE,
            tv_nsec: 0,
        };
        let mut fds = [PollFd::from_borrowed_fd(
            self.output.as_fd(),
            PollFlags::OUT,
        )];
        rustix::io::retry_on_intr(|| poll(&mut fds, Some(&limit))) == Ok(1)
    }
}

/// Standard output, opened anew where that gives the same thing, so that O_NONBLOCK is not set for others that share it.
/// Where it cannot be, a write may wait, and signals with it.
fn output() -> SysResult<OwnedFd> {
    let stdout = rustix::stdio::stdout();
    let stat = rustix::fs::fstat(stdout)?;
    let can_be_reopened = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Fifo => true,
        // The multiplexer would be another terminal.
        FileType::CharacterDevice => isatty(stdout) && stat.st_rdev != rustix::fs::makedev(5, 2),
        _ => false,
    };
    if can_be_reopened {
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        // Denied for a terminal of another user.
        if let Ok(own) = rustix::fs::open(c"/proc/self/fd/1", flags, Mode::empty()) {
            return Ok(own);
        }
    }
    rustix::io::fcntl_dupfd_cloexec(stdout, 3)
}

/// Bytes on their way in one direction: filled when empty, drained in as many pieces as it takes.
#[derive(Debug)]
struct Buffer {
    bytes: Vec<u8>,
    sent: usize,
}

impl Buffer {
    fn new() -> Self {
        Self {
            bytes: Vec::new(),
            sent: 0,
        }
    }

    fn is_empty(&self) -> bool {
        self.sent == self.bytes.len()
    }

    /// Reads once, if there is room; false at the end.
    fn fill(&mut self, from: BorrowedFd<'_>) -> SysResult<bool> {
        if !self.is_empty() {
            return Ok(true);
        }
        self.sent = 0;
        self.bytes.resize(SIZE, 0);
        let outcome = rustix::io::retry_on_intr(|| rustix::io::read(from, &mut self.bytes[..]));
        let length = outcome.unwrap_or(0);
        self.bytes.truncate(length);
        match outcome {
            Err(Errno::AGAIN) => Ok(true),
            Err(errno) => Err(errno),
            Ok(length) => Ok(length > 0),
        }
    }

    /// Writes once what is left.
    fn drain(&mut self, to: BorrowedFd<'_>) -> SysResult<()> {
        if self.is_empty() {
            return Ok(());
        }
        match rustix::io::retry_on_intr(|| rustix::io::write(to, &self.bytes[self.sent..])) {
            Err(Errno::AGAIN) => Ok(()),
            Err(errno) => Err(errno),
            Ok(written) => {
                self.sent += written;
                Ok(())
            }
        }
    }

    /// Ends the input of a terminal: on an empty line at once, else the first time ends the line only.
    fn end(&mut self, end_of_file: u8) {
        self.sent = 0;
        self.bytes = vec![end_of_file, end_of_file];
    }
}
