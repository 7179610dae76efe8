//! The parent's side of a process's terminal: what becomes of the master end that init sends between messages 1 and 2.
//! How the terminal is made is in `init::terminal`; how it is relayed in `relay`.
//!
//! `create`, `run` and `exec` use it alike:
//! ```text
//! Console::open(..)          before anything is made: checks the flags, connects, finds stockade's own terminal
//! child.proceed()?           messages 1 and 2; returns the master end, if one came
//! console.take(master)?      checks it, sends it away or sets its size
//! .. messages 3 to 6 ..
//! console.relay()?           own terminal: raw mode, for as long as the value lives
//! signals.wait(pidfd, relay) passes bytes, sizes and signals on until the process ends
//! ```

mod interrupt;
mod own;
mod relay;
pub(super) mod socket;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

pub(super) use own::Own;
pub(super) use relay::{Relay, Stream};

use crate::error::{Doing, Error, Result};
use crate::spec::Process;

/// Where the master end of a process's terminal goes.
#[derive(Debug)]
pub(super) enum Console {
    /// The process has no terminal.
    None,
    /// To whoever listens on the console socket; connected, and nothing is sent yet.
    Socket(OwnedFd),
    /// It stays here: stockade relays between it and its own terminal.
    Own(Own, Option<OwnedFd>),
}

/// Whether stockade stays for as long as the process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    /// `run`, and `exec` without `--detach`.
    Stays,
    /// `create`, and `--detach`.
    Leaves,
}

/// Whether the process gets a terminal (config.md, `process.terminal`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Streams {
    /// It gets one.
    Terminal,
    /// It has stockade's streams.
    Inherited,
}

impl Streams {
    /// What the config, or the process document of `exec`, asks for.
    pub(super) fn of(process: Option<&Process>) -> Self {
        match process {
            Some(process) if process.terminal => Self::Terminal,
            _ => Self::Inherited,
        }
    }
}

impl Console {
    /// Checks that the flags fit each other, and reaches the console socket or finds stockade's own terminal. Called before
    /// anything is made.
    ///
    /// # Errors
    /// Flags that do not go together, in the words that callers of other runtimes know; a socket that nobody listens
    /// on; no terminal to relay to.
    pub(super) fn open(
        streams: Streams,
        socket: Option<&Path>,
        presence: Presence,
    ) -> Result<Self> {
        match (streams, presence, socket) {
            (Streams::Inherited, _, None) => Ok(Self::None),
            (Streams::Terminal, Presence::Leaves, Some(path)) => {
                socket::connect(socket::Use::Console, path).map(Self::Socket)
            }
            (Streams::Terminal, Presence::Stays, None) => {
                Own::find().map(|own| Self::Own(own, None))
            }
            (Streams::Terminal, Presence::Leaves, None) => Err(Error::new(
                "process.terminal",
                "cannot allocate tty if stockade will detach without setting console socket",
            )
            .hint("pass --console-socket, or set process.terminal to false")),
            (_, _, Some(_)) => Err(Error::new(
                "--console-socket",
                "cannot use console socket if stockade will not detach or allocate tty",
            )
            .hint("it goes with process.terminal, and with create or --detach")),
        }
    }

    /// Takes what came with the handshake: sends it to the socket, or keeps it and gives it the size of stockade's own
    /// terminal.
    ///
    /// # Errors
    /// What came is no master end, or nothing came; a socket whose other end is gone or does not read.
    pub(super) fn take(&mut self, master: Option<OwnedFd>) -> Result<()> {
        match (self, master) {
            (Self::None, None) => Ok(()),
            (Self::Socket(socket), Some(master)) => {
                check(master.as_fd())?;
                socket::send(socket::Use::Console, socket.as_fd(), master.as_fd())
            }
            (Self::Own(own, kept), Some(master)) => {
                check(master.as_fd())?;
                own.copy_size(master.as_fd())?;
                Own::keep_line_ends(master.as_fd())?;
                *kept = Some(master);
                Ok(())
            }
            _ => Err(Error::new(
                "hear from init",
                "a terminal is missing, or one too many",
            )),
        }
    }

    /// Begins to relay where that is what this is: stockade's terminal is raw from here on, until the relay is dropped.
    ///
    /// # Errors
    /// The errno of a terminal call, by what it was for.
    pub(super) fn relay(self) -> Result<Option<Relay>> {
        match self {
            Self::Own(own, Some(master)) => Relay::begin(own, master).map(Some),
            _ => Ok(None),
        }
    }
}

/// Looks whether this is the master end of a pseudo-terminal, before anything is done with it.
fn check(master: BorrowedFd<'_>) -> Result<()> {
    let doing = || "look at the terminal's master end";
    let number = rustix::fs::fstat(master).doing(doing)?.st_rdev;
    if number != rustix::fs::makedev(5, 2) {
        return Err(Error::new(doing(), "it is another device"));
    }
    // TIOCGPTN, which only a master end knows.
    rustix::pty::ptsname(master, Vec::new())
        .doing(doing)
        .map(drop)
}
