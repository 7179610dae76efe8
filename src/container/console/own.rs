//! stockade's own terminal: which one it is, its size, its raw mode and the way back.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::termios::{
    OptionalActions, OutputModes, Termios, isatty, tcgetattr, tcgetpgrp, tcgetwinsize, tcsetattr,
    tcsetwinsize,
};

use crate::error::{Doing, Error, Result};

/// The terminal that a person sits at. Dropped, it has the modes back that it was found with.
#[derive(Debug)]
pub(in crate::container) struct Own {
    terminal: OwnedFd,
    found: Termios,
    is_raw: bool,
}

impl Own {
    /// The first of the standard streams that is a terminal, else the controlling terminal.
    pub(super) fn find() -> Result<Self> {
        let doing = || "find stockade's own terminal";
        let streams = [
            rustix::stdio::stdin(),
            rustix::stdio::stdout(),
            rustix::stdio::stderr(),
        ];
        let terminal = match streams.into_iter().find(|stream| isatty(stream)) {
            Some(stream) => rustix::io::fcntl_dupfd_cloexec(stream, 3).doing(doing)?,
            None => controlling()?,
        };
        let found = tcgetattr(&terminal).doing(doing)?;
        Ok(Self {
            terminal,
            found,
            is_raw: false,
        })
    }

    /// Gives a pseudo-terminal the size of this one. A terminal that does not know its size says nothing.
    pub(super) fn copy_size(&self, master: BorrowedFd<'_>) -> Result<()> {
        let size = tcgetwinsize(&self.terminal).doing(|| "read the terminal's size")?;
        if size.ws_row == 0 || size.ws_col == 0 {
            return Ok(());
        }
        tcsetwinsize(master, size).doing(|| "set the terminal's size")
    }

    /// Where standard output is a file or a pipe, a pseudo-terminal must not end its lines with carriage returns. On a
    /// terminal they belong there.
    pub(super) fn keep_line_ends(master: BorrowedFd<'_>) -> Result<()> {
        if isatty(rustix::stdio::stdout()) {
            return Ok(());
        }
        let doing = || "set the modes of the process's terminal";
        let mut modes = tcgetattr(master).doing(doing)?;
        modes.output_modes.remove(OutputModes::ONLCR);
        tcsetattr(master, OptionalActions::Now, &modes).doing(doing)
    }

    /// Passes everything through as it is: lines, echo and signals are the business of the container's terminal. Not while
    /// another job has the terminal.
    pub(super) fn make_raw(&mut self) -> Result<()> {
        let group = tcgetpgrp(&self.terminal);
        // It need not be our controlling terminal.
        if group.is_ok_and(|group| group != rustix::process::getpgrp()) {
            return Ok(());
        }
        let mut raw = self.found.clone();
        raw.make_raw();
        self.is_raw = true;
        tcsetattr(&self.terminal, OptionalActions::Now, &raw)
            .doing(|| "make stockade's own terminal raw")
    }

    /// Whether standard input is this or another terminal.
    pub(super) fn is_typed_at() -> bool {
        isatty(rustix::stdio::stdin())
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        if self.is_raw {
            // A terminal that is gone has no modes.
            let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.found);
        }
    }
}

fn controlling() -> Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    rustix::fs::open(c"/dev/tty", flags, Mode::empty())
        .ok()
        .filter(|terminal| isatty(terminal.as_fd()))
        .ok_or_else(|| {
            let cause = "stockade has no terminal of its own to connect it to";
            Error::new("process.terminal", cause).hint(
                "run it from a terminal, set process.terminal to false, or use --detach with --console-socket",
            )
        })
}
