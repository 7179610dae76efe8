//! A terminal for a call, and whoever sits at it: types, reads, looks at its modes.
//! Not here: the container's own terminal, which is what the claims are about.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use super::Running;

/// What the harness writes after the last of a call.
const END: &str = "<the end>";

/// A pseudo-terminal: the call gets `end`, the test keeps the rest.
pub(crate) struct Pty {
    master: OwnedFd,
    pub(crate) end: OwnedFd,
    seen: String,
}

impl Pty {
    /// A terminal of 33 rows and 77 columns.
    pub(crate) fn new() -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags).unwrap();
        unlockpt(&master).unwrap();
        let end = ioctl_tiocgptpeer(&master, flags).unwrap();
        let pty = Self::of(master, end);
        pty.resize(33, 77);
        pty
    }

    /// A master end that came from elsewhere, with an end of its own.
    pub(crate) fn received(master: OwnedFd) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let end = ioctl_tiocgptpeer(&master, flags).unwrap();
        Self::of(master, end)
    }

    fn of(master: OwnedFd, end: OwnedFd) -> Self {
        Self {
            master,
            end,
            seen: String::new(),
        }
    }

    pub(crate) fn resize(&self, rows: u16, columns: u16) {
        let size = Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&self.master, size).unwrap();
    }

    pub(crate) fn types(&self, keys: &str) {
        let mut left = keys.as_bytes();
        while !left.is_empty() {
            left = &left[rustix::io::write(&self.master, left).unwrap()..];
        }
    }

    /// Waits until this text has come, and forgets everything up to its end.
    #[track_caller]
    pub(crate) fn says(&mut self, text: &str) -> String {
        let end = Instant::now() + super::patience(super::SOON);
        loop {
            if let Some(at) = self.seen.find(text) {
                let rest = self.seen.split_off(at + text.len());
                return std::mem::replace(&mut self.seen, rest);
            }
            assert!(
                Instant::now() < end,
                "the terminal never said {text:?}, but {:?}",
                self.seen
            );
            self.read(Duration::from_millis(100));
        }
    }

    /// Everything that has come and comes until nothing more does.
    pub(crate) fn all(&mut self) -> String {
        while self.read(Duration::from_millis(100)) {}
        std::mem::take(&mut self.seen)
    }

    /// Everything that has come by the end of a call.
    pub(crate) fn all_of(&mut self, running: &Running) -> String {
        let mut text = String::new();
        while !running.has_ended() {
            text += &self.all();
        }
        text += &self.all();
        // What was written last is on its way in a work queue of the kernel's, and what is written now comes after it.
        rustix::io::write(&self.end, END.as_bytes()).unwrap();
        text += &self.says(END);
        text.truncate(text.len() - END.len());
        text
    }

    fn read(&mut self, limit: Duration) -> bool {
        let timeout = Timespec::try_from(limit).unwrap();
        let mut fds = [PollFd::from_borrowed_fd(self.master.as_fd(), PollFlags::IN)];
        if poll(&mut fds, Some(&timeout)).unwrap() == 0 {
            return false;
        }
        let mut bytes = [0; 4096];
        let Ok(length) = rustix::io::read(&self.master, &mut bytes) else {
            return false;
        };
        self.seen
            .push_str(&String::from_utf8_lossy(&bytes[..length]));
        length > 0
    }

    /// Does it pass keys through as they are?
    pub(crate) fn is_raw(&self) -> bool {
        let modes = tcgetattr(&self.end).unwrap().local_modes;
        !modes.intersects(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
    }

    /// All its modes, to compare.
    pub(crate) fn modes(&self) -> String {
        let modes = tcgetattr(&self.end).unwrap();
        format!(
            "{:?} {:?} {:?} {:?}",
            modes.input_modes, modes.output_modes, modes.control_modes, modes.local_modes
        )
    }
}
