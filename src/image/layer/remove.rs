//! Removing what whiteouts and replacements take away, whatever its depth.
//! Not the choice of it: see `place`.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Mode};

use super::attributes::change_mode_at;
use super::budget::over;
use super::cause::{Called, Cause, Step};
use super::tree::{READABLE, Tree, id, open_child};
use crate::sys::Errno;

/// Directories held open at once; what is deeper is moved up first.
const HELD: usize = 64;

/// Removes `name` in `directory` with all that is below it. Nothing there is fine.
pub(super) fn remove(directory: BorrowedFd<'_>, name: &[u8]) -> Step<()> {
    for _ in 0..HELD {
        match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::ISDIR | Errno::PERM) => {}
            Err(errno) => return Err(errno).called("unlinkat"),
        }
        // Gone, or no directory any more: the next round sees.
        let Some(fd) = open_to_clear(directory, name)? else {
            continue;
        };
        empty(fd.as_fd())?;
        match rustix::fs::unlinkat(directory, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::NOTDIR | Errno::NOTEMPTY) => {}
            Err(errno) => return Err(errno).called("unlinkat"),
        }
    }
    Err(Cause::new("what is to be removed keeps changing"))
}

/// Removes everything in a directory.
pub(super) fn empty(top: BorrowedFd<'_>) -> Step<()> {
    let mut moved = 0u64;
    loop {
        let before = moved;
        clear(top, top, 0, &mut moved)?;
        // What was moved up may have come after the reading began.
        if moved == before {
            return Ok(());
        }
    }
}

/// Clears `here`, `depth` levels below `top`. Recursion ends at `HELD`: a deeper directory is moved into `top`.
fn clear(here: BorrowedFd<'_>, top: BorrowedFd<'_>, depth: usize, moved: &mut u64) -> Step<()> {
    for name in Names::of(here)? {
        let name = name?;
        match rustix::fs::unlinkat(here, &name[..], AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => continue,
            Err(Errno::ISDIR | Errno::PERM) => {}
            Err(errno) => return Err(errno).called("unlinkat"),
        }
        let Some(child) = open_to_clear(here, &name)? else {
            *moved += 1;
            continue;
        };
        if depth == HELD {
            *moved += 1;
            let to = format!(".removed-{}-{moved}", std::process::id());
            rustix::fs::renameat(here, &name[..], top, to.as_str()).called("renameat")?;
            continue;
        }
        clear(child.as_fd(), top, depth + 1, moved)?;
        rustix::fs::unlinkat(here, &name[..], AtFlags::REMOVEDIR).called("unlinkat")?;
    }
    Ok(())
}

/// Opens a directory to be cleared; a caller without privileges may have to let itself in first. None if there is none.
fn open_to_clear(here: BorrowedFd<'_>, name: &[u8]) -> Step<Option<OwnedFd>> {
    let mut opened = open_child(here, name, READABLE);
    if matches!(opened, Err(Errno::ACCESS)) {
        change_mode_at(here, name, 0o700)?;
        opened = open_child(here, name, READABLE);
    }
    let fd = match opened {
        Ok(fd) => fd,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
        Err(errno) => return Err(errno).called("openat2"),
    };
    if !rustix::process::geteuid().is_root() {
        rustix::fs::fchmod(&fd, Mode::RWXU).called("fchmod")?;
    }
    Ok(Some(fd))
}

/// What a pruning has left of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    Nothing,
    Something,
}

impl Tree<'_> {
    /// Removes what the layers below have in `directory`, and leaves what this one has put there.
    pub(super) fn prune(&self, directory: BorrowedFd<'_>) -> Step<()> {
        self.prune_below(directory, 0).map(drop)
    }

    /// Removes what the layers below have at `name`, itself and below.
    pub(super) fn prune_name(&self, directory: BorrowedFd<'_>, name: &[u8]) -> Step<()> {
        let stat = rustix::fs::fstat(directory).called("fstat")?;
        self.prune_one(directory, id(&stat), name, 0).map(drop)
    }

    fn prune_below(&self, here: BorrowedFd<'_>, depth: u64) -> Step<Left> {
        if depth > self.limits().depth {
            return Err(over(
                "depth",
                "directories below each other",
                self.limits().depth,
            ));
        }
        let id = id(&rustix::fs::fstat(here).called("fstat")?);
        let mut left = Left::Nothing;
        for name in Names::of(here)? {
            if self.prune_one(here, id, &name?, depth)? == Left::Something {
                left = Left::Something;
            }
        }
        Ok(left)
    }

    fn prune_one(
        &self,
        here: BorrowedFd<'_>,
        id: super::tree::Id,
        name: &[u8],
        depth: u64,
    ) -> Step<Left> {
        let is_own = self.is_of_this_layer(id, name);
        let stat = match rustix::fs::statat(here, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(Left::Nothing),
            Err(errno) => return Err(errno).called("fstatat"),
        };
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            if is_own {
                return Ok(Left::Something);
            }
            remove(here, name)?;
            return Ok(Left::Nothing);
        }
        let Some(child) = open_to_clear(here, name)? else {
            return Err(Cause::new("what is to be removed keeps changing"));
        };
        let left = self.prune_below(child.as_fd(), depth + 1)?;
        if is_own || left == Left::Something {
            if !rustix::process::geteuid().is_root() {
                let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
                rustix::fs::fchmod(&child, mode).called("fchmod")?;
            }
            return Ok(Left::Something);
        }
        remove(here, name)?;
        Ok(Left::Nothing)
    }
}

/// The names in a directory but `.` and `..`.
struct Names(Dir);

impl Names {
    fn of(directory: BorrowedFd<'_>) -> Step<Self> {
        let fd = rustix::fs::openat(directory, c".", READABLE, Mode::empty()).called("openat")?;
        Dir::new(fd).called("fdopendir").map(Self)
    }
}

impl Iterator for Names {
    type Item = Step<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let entry = match self.0.read()? {
                Ok(entry) => entry,
                Err(errno) => return Some(Err(errno).called("getdents64")),
            };
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                return Some(Ok(name.to_owned()));
            }
        }
    }
}
