//! A directory on its way into the store. Who fills it locks it, so that one without a lock was left by a process that
//! was killed; its name says what it is to become, so that nobody unpacks the same beside it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, FlockOperation, Mode, flock, fstat, mkdirat, openat, renameat, statat, unlinkat,
};
use rustix::io::Errno;

use super::record::{self, Unit, UnitRecord};
use super::{DIRECTORY, ImageStore};
use crate::error::{Doing, Result};
use crate::image::layer;
use crate::sys::SysResult;

/// Made and locked; gone again when dropped, unless it was placed.
pub(super) struct Incoming<'a> {
    store: &'a ImageStore,
    pub(super) unit: Unit,
    directory: OwnedFd,
    /// The root of what is unpacked.
    root: OwnedFd,
    is_placed: bool,
}

/// What a wish to fill a unit leads to.
pub(super) enum Wish<'a> {
    /// It is there.
    There(UnitRecord),
    /// It is the caller's to fill.
    Ours(Incoming<'a>),
}

/// Whether to wait for whoever fills a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// Ask later.
    None,
    /// Until it is there, or the other has failed.
    Wait,
}

impl ImageStore {
    /// The unit if it is there, else a place to unpack it to; `None` while somebody else is filling it.
    pub(super) fn wish(&self, unit: &Unit, patience: Patience) -> Result<Option<Wish<'_>>> {
        let doing = || format!("make a place for layer {}", unit.digest);
        loop {
            if let Some(found) = self.unit(unit)? {
                return Ok(Some(Wish::There(found)));
            }
            let incoming = self.open_below("incoming").doing(doing)?;
            let name = unit.incoming();
            match mkdirat(&incoming, &name, Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno).doing(doing),
            }
            let directory = match openat(&incoming, &name, DIRECTORY, Mode::empty()) {
                Err(Errno::NOENT) => continue,
                other => other.doing(doing)?,
            };
            match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) if patience == Patience::None => return Ok(None),
                Err(Errno::WOULDBLOCK) => {
                    log::info!("waiting for layer {}, which is being unpacked", unit.digest);
                    let lock = || flock(&directory, FlockOperation::LockExclusive);
                    rustix::io::retry_on_intr(lock).doing(doing)?;
                }
                Err(errno) => return Err(errno).doing(doing),
            }
            // It may have become the layer, or gone, before the lock was ours.
            if !is_still(incoming.as_fd(), &name, &directory) {
                continue;
            }
            // Somebody may have begun and ended between the first look and the lock.
            let Some(found) = self.unit(unit)? else {
                return self
                    .ours(unit, directory)
                    .map(|ours| Some(Wish::Ours(ours)));
            };
            remove(incoming.as_fd(), &name, directory.as_fd())?;
            return Ok(Some(Wish::There(found)));
        }
    }

    fn ours(&self, unit: &Unit, directory: OwnedFd) -> Result<Incoming<'_>> {
        let doing = || format!("make a place for layer {}", unit.digest);
        // What a killed process left.
        layer::clear(directory.as_fd())?;
        mkdirat(&directory, "fs", Mode::RWXU).doing(doing)?;
        let root = openat(&directory, "fs", DIRECTORY, Mode::empty()).doing(doing)?;
        // Whatever the umask; an image that does not describe its root has this one.
        rustix::fs::fchmod(&root, Mode::from_raw_mode(0o755)).doing(doing)?;
        Ok(Incoming {
            store: self,
            unit: unit.clone(),
            directory,
            root,
            is_placed: false,
        })
    }

    /// Removes what killed processes left in `incoming` or `scratch`; how many directories.
    pub(super) fn sweep(&self, place: &str) -> Result<usize> {
        let doing = || format!("clear {place} of the image store");
        let parent = self.open_below(place).doing(doing)?;
        let mut swept = 0;
        for name in super::names(&parent).doing(doing)? {
            let directory = match openat(&parent, &name, DIRECTORY, Mode::empty()) {
                Err(Errno::NOENT) => continue,
                other => other.doing(doing)?,
            };
            match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) if is_still(parent.as_fd(), &name, &directory) => {
                    remove(parent.as_fd(), &name, directory.as_fd())?;
                    swept += 1;
                }
                Ok(()) | Err(Errno::WOULDBLOCK) => {}
                Err(errno) => return Err(errno).doing(doing),
            }
        }
        Ok(swept)
    }
}

impl Incoming<'_> {
    pub(super) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Writes what unpacking said; the content is complete and checked.
    pub(super) fn describe(&self, found: &UnitRecord) -> Result<()> {
        let doing = || format!("store layer {}", self.unit.digest);
        record::write(&self.directory, record::LAYER, found, doing)
    }

    /// Gives it its name among the layers.
    pub(super) fn place(mut self) -> Result<()> {
        let doing = || format!("store layer {}", self.unit.digest);
        let incoming = self.store.open_below("incoming").doing(doing)?;
        let (from, to) = (self.unit.incoming(), self.unit.path());
        renameat(&incoming, &from, &self.store.directory, &to).doing(doing)?;
        self.is_placed = true;
        Ok(())
    }
}

impl Drop for Incoming<'_> {
    fn drop(&mut self) {
        if !self.is_placed {
            let removed = self.store.open_below("incoming").doing(|| "clear incoming");
            let removed = removed.and_then(|incoming| {
                remove(
                    incoming.as_fd(),
                    &self.unit.incoming(),
                    self.directory.as_fd(),
                )
            });
            if let Err(error) = removed {
                log::warn!("{error}");
            }
        }
        // As of the store's lock. After a rename others may still wait for it.
        let _ = flock(&self.directory, FlockOperation::Unlock);
    }
}

/// Removes a directory of which `directory` is the descriptor.
pub(super) fn remove(parent: BorrowedFd<'_>, name: &str, directory: BorrowedFd<'_>) -> Result<()> {
    layer::clear(directory)?;
    unlinkat(parent, name, AtFlags::REMOVEDIR).doing(|| format!("remove {name} of the image store"))
}

/// Whether the name still leads to what was opened by it.
fn is_still(parent: BorrowedFd<'_>, name: &str, opened: &OwnedFd) -> bool {
    let same = || -> SysResult<bool> {
        let (now, then) = (
            statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?,
            fstat(opened)?,
        );
        Ok((now.st_dev, now.st_ino) == (then.st_dev, then.st_ino))
    };
    same().unwrap_or(false)
}
