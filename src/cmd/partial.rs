//! A directory in which something is made, and which goes with it unless it is renamed. What is made is the verb's.

use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, fstat};
use rustix::rand::{GetRandomFlags, getrandom};

use crate::container::{self, Keeper};
use crate::error::{Doing, Error, Result, quote_path};

/// A directory beside the one to be made, which goes unless it is renamed, also if this process is killed.
pub(super) struct Partial {
    pub(super) path: PathBuf,
    pub(super) directory: OwnedFd,
    keeper: Option<Keeper>,
}

impl Partial {
    /// Beside the bundle that it becomes.
    pub(super) fn beside(bundle: &Path) -> Result<Self> {
        let name = bundle.file_name().unwrap_or_default().to_string_lossy();
        let path = bundle.with_file_name(format!(".{name}.partial-{}", std::process::id()));
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .doing(|| format!("make {}", quote_path(&path)))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = rustix::fs::open(&path, flags, Mode::empty())
            .doing(|| format!("open {}", quote_path(&path)))?;
        let owner = fstat(&directory).doing(|| format!("open {}", quote_path(&path)))?;
        if owner.st_uid != rustix::process::geteuid().as_raw() {
            let doing = format!("make the bundle {}", quote_path(bundle));
            return Err(Error::new(doing, "somebody else renames beside it"));
        }
        let mut partial = Self {
            path,
            directory,
            keeper: None,
        };
        let keeper = container::keep_bundle(&partial.path, partial.directory.as_fd());
        partial.keeper = Some(keeper?);
        Ok(partial)
    }

    /// In the directory of temporary files, which may be everybody's: under a name that nobody can know before.
    pub(super) fn temporary(what: &str) -> Result<Self> {
        let doing = || "make a directory of temporary files";
        let mut random = [0; 8];
        getrandom(&mut random, GetRandomFlags::empty()).doing(doing)?;
        let place = std::env::var_os("TMPDIR").filter(|place| !place.is_empty());
        // Not /tmp, which is memory on many hosts (file-hierarchy(7)).
        let place = place.map_or_else(|| PathBuf::from("/var/tmp"), PathBuf::from);
        Self::beside(&place.join(format!(
            "stockade-{what}-{:016x}",
            u64::from_ne_bytes(random)
        )))
    }

    /// The directory by its descriptor: whoever may write beside the bundle cannot put another one, or a link, under its
    /// path.
    pub(super) fn inside(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.directory.as_raw_fd()).into()
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if let Err(error) = container::discard_bundle(&self.path, self.directory.as_fd()) {
            log::warn!("{error}");
        }
        if let Some(keeper) = self.keeper.take() {
            keeper.dismiss();
        }
    }
}
