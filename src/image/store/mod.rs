//! The image store: layers unpacked once, for overlay mounts, and which images are made of them.
//! Not here: the mounts (`container`), and whether an image may run at all, which is asked each time before.
//!
//! ```text
//! layers/sha256/HEX/   one layer by its diffID: fs, and layer.json
//! stacks/sha256/HEX/   the lowest layers of an image on one another, by their chainID; the same files
//! images/sha256/HEX/   image.json: which of these make the image that this digest names
//! incoming/            what is being unpacked, each directory locked by who does it
//! scratch/             what running sandboxes write, each directory locked likewise
//! ranges/              a store of its own, of a user without root: layers with the owners that they name
//! of-…                 whose whiteouts and owners the layers have: `form`
//! lock                 shared by who takes or adds, exclusive for who removes
//! ```
//! A name below `layers` and `stacks` is one that was checked when the content came. The directory belongs to one user
//! and nobody else may enter it, so that what was true then is true now; and all in it is unpacked in one way: with the
//! ids that this user may give.

mod fill;
mod form;
mod incoming;
mod record;
mod remove;
mod unpacked;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags, flock, fstat, mkdirat, openat};
use rustix::io::Errno;

use super::{Digest, Image};
use crate::error::{Doing, Error, Result, quote_path};
use crate::sys::SysResult;

pub use record::{Listed, Record, Unit, UnitKind, mount_source};
pub use remove::{Prune, Pruned};

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Where images are kept without `--store`: `$STOCKADE_STORE`, else `/var/lib/stockade` for root, else
/// `$XDG_DATA_HOME/stockade`, else `~/.local/share/stockade`. `None` where nothing says where home is.
pub fn default_store() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(path) = variable("STOCKADE_STORE") {
        return Some(path.into());
    }
    if rustix::process::geteuid().is_root() {
        return Some("/var/lib/stockade".into());
    }
    let data = variable("XDG_DATA_HOME").map(PathBuf::from);
    let home = || variable("HOME").map(|home| Path::new(&home).join(".local/share"));
    data.or_else(home).map(|data| data.join("stockade"))
}

/// Where in a user's store that is whose files keep their owners, by a range of ids: a store of its own, since a user alone
/// could not remove them.
pub fn of_ranges(store: &Path) -> PathBuf {
    store.join("ranges")
}

/// One image store.
#[derive(Debug)]
pub struct ImageStore {
    directory: OwnedFd,
    path: PathBuf,
}

/// An image in the store that cannot be removed while this lives.
#[derive(Debug)]
pub struct Held {
    /// What it is made of.
    pub record: Record,
    /// The directories of its layers, lowest first.
    pub layers: Vec<OwnedFd>,
    lease: OwnedFd,
}

impl Held {
    /// The directory that says what the root is like, if a layer does.
    pub fn root(&self) -> Option<BorrowedFd<'_>> {
        let root = self.layers.get(self.record.root?)?;
        Some(root.as_fd())
    }

    /// The descriptor whose lock keeps the image. A process that inherits it keeps the image too.
    pub fn lease(&self) -> BorrowedFd<'_> {
        self.lease.as_fd()
    }
}

impl ImageStore {
    /// Opens the store at `path`, and makes it with mode 0700 where it is missing.
    ///
    /// # Errors
    /// The path is a link, belongs to someone else, or others may enter it.
    pub fn open(path: &Path) -> Result<Self> {
        let doing = || format!("open image store {}", quote_path(path));
        let path = std::path::absolute(path).doing(doing)?;
        let open = || rustix::fs::open(&path, DIRECTORY, Mode::empty());
        let directory = match open() {
            Err(Errno::NOENT) => {
                let mut builder = std::fs::DirBuilder::new();
                builder.recursive(true).mode(0o700);
                builder.create(&path).map_err(|cause| {
                    Error::new(doing(), cause).hint("choose another place by --store DIR")
                })?;
                open()
            }
            other => other,
        };
        let directory = directory.map_err(|errno| match errno {
            Errno::LOOP | Errno::NOTDIR => Error::new(doing(), "not a directory, or a link to one"),
            errno => Error::new(doing(), errno),
        })?;
        let found = fstat(&directory).doing(doing)?;
        if found.st_uid != rustix::process::geteuid().as_raw() {
            let cause = format!("it belongs to user {}", found.st_uid);
            return Err(
                Error::new(doing(), cause).hint("choose a directory of your own by --store")
            );
        }
        if found.st_mode & 0o077 != 0 {
            let hint = format!("chmod 700 {}", quote_path(&path));
            return Err(Error::new(doing(), "others may enter it").hint(hint));
        }
        let store = Self { directory, path };
        for name in [
            "layers/sha256",
            "stacks/sha256",
            "images/sha256",
            "incoming",
            "scratch",
        ] {
            store.make_below(name).doing(doing)?;
        }
        store.check_form()?;
        Ok(store)
    }

    /// The store's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where sandboxes have what they write: on the file system of the layers, and cleared by [`ImageStore::prune`] when
    /// nobody locks it any more.
    pub fn scratch(&self) -> PathBuf {
        self.path.join("scratch")
    }

    /// The digest that names an image in the store; `None` of what says no digests of its layers' content, which is
    /// unpacked each time.
    pub fn key(image: &Image) -> Option<&Digest> {
        let key = image.digest.as_ref().or(image.config_digest.as_ref())?;
        let is_named = |digest: &Option<Digest>| digest.as_ref().is_some_and(is_sha256);
        let all = image.layers.iter().all(|layer| is_named(&layer.diff_id));
        (all && !image.layers.is_empty() && is_sha256(key)).then_some(key)
    }

    fn make_below(&self, path: &str) -> SysResult<()> {
        let mut at = 0;
        loop {
            at = path[at..].find('/').map_or(path.len(), |next| at + next);
            match mkdirat(&self.directory, &path[..at], Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) if at == path.len() => return Ok(()),
                Ok(()) | Err(Errno::EXIST) => at += 1,
                Err(errno) => return Err(errno),
            }
        }
    }

    fn open_below(&self, path: &str) -> SysResult<OwnedFd> {
        openat(&self.directory, path, DIRECTORY, Mode::empty())
    }

    fn lock(&self, how: FlockOperation) -> Result<Locked> {
        let doing = || format!("lock image store {}", quote_path(&self.path));
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let file = openat(&self.directory, "lock", flags, mode).doing(doing)?;
        rustix::io::retry_on_intr(|| flock(&file, how)).doing(doing)?;
        Ok(Locked(file))
    }
}

/// The store's lock, until it is dropped.
struct Locked(OwnedFd);

impl Drop for Locked {
    fn drop(&mut self) {
        // By name, not by closing: a forked process may hold a copy. Unlocking a descriptor of our own cannot fail.
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

/// What layers are hashed by.
fn is_sha256(digest: &Digest) -> bool {
    digest.algorithm() == super::Algorithm::Sha256
}

/// The names in a directory but `.` and `..`; those that are not UTF-8 are none of the store's.
fn names(directory: impl AsFd) -> SysResult<Vec<String>> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(directory)? {
        let entry = entry?;
        match entry.file_name().to_str() {
            Ok("." | "..") | Err(_) => {}
            Ok(name) => names.push(name.to_owned()),
        }
    }
    names.sort();
    Ok(names)
}
