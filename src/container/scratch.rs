//! The scratch directory of a `launch`: made, locked while anybody needs it, and removed with what is mounted in it.
//! Not what is in it: the root filesystem is `launch`'s, the overlay `overlay`'s.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FlockOperation, Mode, OFlags, flock, fstat, mkdirat, openat, unlinkat,
};
use rustix::io::Errno;

use super::overlay;
use crate::error::{Doing, Error, Result, quote_path};
use crate::image::layer;

/// A directory of its own, removed when dropped.
#[derive(Debug)]
pub(super) struct Scratch {
    id: String,
    path: PathBuf,
    directory: OwnedFd,
}

impl Scratch {
    /// Makes it in `parent`, and locks it: one that nobody locks was left by a killed process.
    pub(super) fn make(parent: &Path) -> Result<Self> {
        let doing = || "make a scratch directory";
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        loop {
            let id = format!("launch-{:016x}", random()?);
            let path = parent.join(format!(".stockade-{id}"));
            mkdirat(CWD, &path, Mode::RWXU).doing(doing)?;
            let directory = match openat(CWD, &path, flags, Mode::empty()) {
                Err(Errno::NOENT) => continue,
                other => other.doing(doing)?,
            };
            flock(&directory, FlockOperation::LockExclusive).doing(doing)?;
            // Whoever clears up may have come before the lock.
            if fstat(&directory).doing(doing)?.st_nlink > 0 {
                return Ok(Self {
                    id,
                    path,
                    directory,
                });
            }
        }
    }

    /// The container's id, which is in the directory's name too.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The descriptor that has the lock.
    pub(super) fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// Where the root filesystem is mounted or made.
    pub(super) fn rootfs(&self) -> PathBuf {
        self.path.join("rootfs")
    }

    /// Removes it and what is mounted in it; nothing is fine.
    pub(super) fn remove(&self) -> Result<()> {
        overlay::unmount_below(self.directory())?;
        layer::clear(self.directory.as_fd())?;
        match unlinkat(CWD, &self.path, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(errno).doing(|| format!("remove {}", quote_path(&self.path))),
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            log::warn!("{error}");
        }
    }
}

fn random() -> Result<u64> {
    let mut bytes = [0; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(|errno| Error::new("draw a random id", errno))?;
    Ok(u64::from_ne_bytes(bytes))
}
