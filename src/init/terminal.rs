//! The terminal of the process: made in the container's own devpts, so that it belongs to the container alone.
//! Nothing is opened by a path that the image or a process of the container could exchange meanwhile (CVE-2025-52565).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, Uid, fchown, openat2};
use rustix::mount::{OpenTreeFlags, open_tree};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::{Call, Child, Difference, Fault, In, Outcome, mounts, root};
use crate::link::{self, Message};
use crate::plan::{Console, Terminal};
use crate::sys::Errno;

/// `DEVPTS_SUPER_MAGIC` (statfs(2)).
const DEVPTS: i64 = 0x1cd1;

impl Child<'_> {
    /// Makes the pair, gives the master end to the parent, and takes the other as streams and controlling terminal. The
    /// process leads its session by now.
    pub(super) fn terminal(&self, terminal: Terminal) -> Outcome {
        let master = self.multiplexer()?;
        unlockpt(&master).in_call(Call::Ioctl)?;
        // Linux 4.13. By its number in /dev/pts it could be another.
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let end = ioctl_tiocgptpeer(&master, flags).in_call(Call::Ioctl)?;
        if let Some((rows, columns)) = terminal.size {
            resize(master.as_fd(), rows, columns)?;
        }
        own(end.as_fd(), terminal.uid)?;
        if terminal.console == Console::Bound {
            self.bind_console(end.as_fd())?;
        }
        link::send_with(self.fds.link.as_fd(), Message::Terminal, master.as_fd())
            .in_call(Call::Send)?;
        rustix::stdio::dup2_stdin(&end).in_call(Call::Dup)?;
        rustix::stdio::dup2_stdout(&end).in_call(Call::Dup)?;
        rustix::stdio::dup2_stderr(&end).in_call(Call::Dup)?;
        rustix::process::ioctl_tiocsctty(&end).in_call(Call::Ioctl)
    }

    /// Opens the multiplexer of the devpts. Wherever `/dev/pts` leads, it must be a devpts: the kernel lets nobody make,
    /// rename or link in there.
    fn multiplexer(&self) -> Outcome<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let directory = match root::open(self.root(), c"/dev/pts", flags) {
            Err(Errno::NOENT | Errno::NOTDIR) => Err(Fault::differs(Difference::NoDevpts, 0)),
            other => other.in_call(Call::Openat2),
        }?;
        let kind = rustix::fs::fstatfs(&directory)
            .in_call(Call::Fstatfs)?
            .f_type;
        if kind != DEVPTS {
            return Err(Fault::differs(Difference::NoDevpts, kind as u64));
        }
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        // Nor may something be mounted on it.
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        let master =
            openat2(&directory, c"ptmx", flags, Mode::empty(), resolve).in_call(Call::Openat2)?;
        let number = rustix::fs::fstat(&master).in_call(Call::Fstat)?.st_rdev;
        if number == rustix::fs::makedev(5, 2) {
            Ok(master)
        } else {
            Err(Fault::differs(Difference::Device, number))
        }
    }

    /// Mounts the terminal on /dev/console, which may be missing but not a link.
    fn bind_console(&self, end: BorrowedFd<'_>) -> Outcome {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_EMPTY_PATH;
        let tree = open_tree(end, c"", flags).in_call(Call::OpenTree)?;
        let target = root::file(self.root(), c"/dev/console")?;
        match root::file_type(target.as_fd())? {
            FileType::RegularFile | FileType::CharacterDevice => {}
            _ => return Err(Fault::differs(Difference::NotFile, 0)),
        }
        mounts::attach(tree.as_fd(), target.as_fd()).in_call(Call::MoveMount)
    }
}

fn resize(master: BorrowedFd<'_>, rows: u16, columns: u16) -> Outcome {
    let size = Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(master, size).in_call(Call::Ioctl)
}

/// The program must be able to open it again.
fn own(end: BorrowedFd<'_>, uid: u32) -> Outcome {
    if rustix::fs::fstat(end).in_call(Call::Fstat)?.st_uid == uid {
        return Ok(());
    }
    fchown(end, Some(Uid::from_raw(uid)), None).in_call(Call::Chown)
}
