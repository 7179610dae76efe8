//! The state directory: one directory per container below a root, reached by descriptor only, never through a link.
//!
//! flock(2) on a container's directory is its lock. Who creates a container holds it from the first moment, so that a
//! directory without state.json and without a lock was left by a killed `create` and can be taken away.

use std::cell::Cell;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::{
    AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, flock, fstat, mkdirat, openat, renameat,
    statat, unlinkat,
};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::{State, group, id};
use crate::cgroup::Location;
use crate::error::{Doing, Error, Result, quote, quote_path};
use crate::host::Facts;

const STATE: &str = "state.json";
const REMAINS: &str = "remains.json";
const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Where state lives without `--root`: /run/stockade for root, else the user's runtime directory, else a directory of
/// the user's below /tmp.
pub fn default_root(facts: &Facts) -> PathBuf {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").filter(|path| !path.is_empty());
    match runtime {
        _ if facts.uid == 0 && !facts.user_namespace => PathBuf::from("/run/stockade"),
        Some(runtime) => Path::new(&runtime).join("stockade"),
        None if facts.uid == 0 => PathBuf::from("/run/stockade"),
        None => PathBuf::from(format!("/tmp/stockade-{}", facts.uid)),
    }
}

/// All containers below one root.
#[derive(Debug)]
pub struct Store {
    root: Rc<OwnedFd>,
    path: PathBuf,
}

impl Store {
    /// Opens the root, and makes it with mode 0700 where it is missing.
    ///
    /// # Errors
    /// The root is a link, belongs to someone else, or others may write to it.
    pub fn open(root: &Path) -> Result<Self> {
        let doing = || format!("open state directory {}", quote_path(root));
        let path = std::path::absolute(root).doing(doing)?;
        let open = || rustix::fs::open(&path, DIRECTORY, Mode::empty());
        let root = match open() {
            Err(Errno::NOENT) => {
                std::fs::DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(&path)
                    .doing(doing)?;
                open()
            }
            other => other,
        };
        let root = root.map_err(|errno| match errno {
            Errno::LOOP | Errno::NOTDIR => Error::new(doing(), "not a directory, or a link to one"),
            errno => Error::new(doing(), errno),
        })?;
        let found = fstat(&root).doing(doing)?;
        if found.st_uid != rustix::process::geteuid().as_raw() {
            let cause = format!("it belongs to user {}", found.st_uid);
            return Err(Error::new(doing(), cause).hint("choose a directory of your own by --root"));
        }
        if found.st_mode & 0o022 != 0 {
            let hint = format!("chmod go-w {}", quote_path(&path));
            return Err(Error::new(doing(), "others may write to it").hint(hint));
        }
        Ok(Self {
            root: Rc::new(root),
            path,
        })
    }

    /// The root's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The root.
    pub fn directory(&self) -> BorrowedFd<'_> {
        (*self.root).as_fd()
    }

    /// Makes the directory of a new container and locks it. It vanishes with the entry unless [`Entry::keep`] is called.
    ///
    /// # Errors
    /// The id is malformed or taken.
    pub fn reserve(&self, id: &str) -> Result<Entry> {
        id::check(id)?;
        let doing = || format!("create container {}", quote(id));
        // Held from mkdir to the lock on the new directory, so that nobody takes it for an abandoned one in between.
        let _root = RootLock::take(&self.root).doing(doing)?;
        match mkdirat(&*self.root, id, Mode::RWXU) {
            Err(Errno::EXIST) => {
                self.reclaim(id)?;
                mkdirat(&*self.root, id, Mode::RWXU).doing(doing)?;
            }
            other => other.doing(doing)?,
        }
        let locked = self.load(id).and_then(|mut entry| {
            flock(&entry.directory, FlockOperation::NonBlockingLockExclusive).doing(doing)?;
            entry.reserved = true;
            Ok(entry)
        });
        if locked.is_err() {
            unlinkat(&*self.root, id, AtFlags::REMOVEDIR).doing(doing)?;
        }
        locked
    }

    /// Opens the directory of a container.
    ///
    /// # Errors
    /// The id is malformed, or there is no such container.
    pub fn load(&self, id: &str) -> Result<Entry> {
        id::check(id)?;
        let directory = match openat(&*self.root, id, DIRECTORY, Mode::empty()) {
            Err(Errno::NOENT) => return Err(missing(id)),
            other => other.doing(|| format!("open state of container {}", quote(id)))?,
        };
        Ok(Entry {
            root: Rc::clone(&self.root),
            id: id.to_owned(),
            path: self.path.join(id),
            directory,
            reserved: false,
            locking: Cell::new(false),
        })
    }

    /// Whether there is a directory for the container.
    pub fn holds(&self, id: &str) -> bool {
        id::check(id).is_ok() && exists(self.root.as_fd(), id)
    }

    /// All containers, by id. What is no container's directory is passed over.
    ///
    /// # Errors
    /// The root cannot be read.
    pub fn list(&self) -> Result<Vec<Entry>> {
        let doing = || format!("read state directory {}", quote_path(&self.path));
        let mut entries = Vec::new();
        for name in names(self.root.as_fd()).doing(doing)? {
            let Some(name) = name.to_str().filter(|name| id::check(name).is_ok()) else {
                continue;
            };
            match self.load(name) {
                Ok(entry) => entries.push(entry),
                Err(error) => log::debug!("{error}"),
            }
        }
        entries.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(entries)
    }

    /// Takes away a directory that a killed `create` left; an error when the container exists.
    fn reclaim(&self, id: &str) -> Result<()> {
        let taken = || {
            Error::new(
                format!("create container {}", quote(id)),
                format!("container with id {} exists", quote(id)),
            )
            .hint(format!(
                "choose another id, or first: stockade delete --force {id}"
            ))
        };
        let entry = self.load(id)?;
        if entry.holds(STATE) || entry.holds(REMAINS) {
            return Err(taken());
        }
        match flock(&entry.directory, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => entry.remove(),
            Err(_) => Err(taken()),
        }
    }
}

/// One container's directory.
#[derive(Debug)]
pub struct Entry {
    root: Rc<OwnedFd>,
    id: String,
    path: PathBuf,
    directory: OwnedFd,
    reserved: bool,
    /// Whether a [`Lock`] of this very entry is alive.
    locking: Cell<bool>,
}

/// What must be cleared away even when state.json is damaged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Remains {
    /// As [`State::pid`].
    pub pid: i32,
    /// As [`State::start_time`].
    pub start_time: u64,
    /// As [`State::cgroup`].
    pub cgroup: Option<Location>,
}

impl Remains {
    /// The part of the state that says what to clear away.
    pub fn of(state: &State) -> Self {
        Self {
            pid: state.pid,
            start_time: state.start_time,
            cgroup: state.cgroup.clone(),
        }
    }
}

impl Entry {
    /// The container's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The directory's path, for messages and for socket addresses.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory.
    pub fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// The directory that holds those of all containers.
    pub fn root(&self) -> BorrowedFd<'_> {
        (*self.root).as_fd()
    }

    /// Whether the directory holds a file of this name.
    pub fn holds(&self, name: &str) -> bool {
        exists(self.directory.as_fd(), name)
    }

    /// Makes a reserved entry outlive this process, and gives up its lock.
    ///
    /// # Errors
    /// flock(2) fails.
    pub fn keep(&mut self) -> Result<()> {
        self.reserved = false;
        // By name, not by closing: the child holds a copy of the descriptor.
        flock(&self.directory, FlockOperation::Unlock).doing(|| self.text("unlock"))
    }

    /// Waits for the lock and takes it. A reserved entry has it already; calling this there gives it up too early.
    ///
    /// # Errors
    /// The container was deleted in the meantime.
    pub fn lock(&self) -> Result<Lock<'_>> {
        rustix::io::retry_on_intr(|| flock(&self.directory, FlockOperation::LockExclusive))
            .doing(|| self.text("lock"))?;
        self.locked()
    }

    /// Takes the lock, as [`Self::lock`], if nobody else has it.
    ///
    /// # Errors
    /// As [`Self::lock`].
    pub fn try_lock(&self) -> Result<Option<Lock<'_>>> {
        match flock(&self.directory, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK | Errno::INTR) => Ok(None),
            other => {
                other.doing(|| self.text("lock"))?;
                self.locked().map(Some)
            }
        }
    }

    fn locked(&self) -> Result<Lock<'_>> {
        self.locking.set(true);
        let lock = Lock(self);
        if self.is_gone() {
            return Err(missing(&self.id));
        }
        Ok(lock)
    }

    /// Whether the container was deleted after this was opened; its id may be another one's by now.
    pub fn is_gone(&self) -> bool {
        fstat(&self.directory).is_ok_and(|found| found.st_nlink == 0)
    }

    /// Whether the container is being created, started or deleted by somebody: the lock is taken, and not by a [`Lock`] of
    /// this entry.
    pub fn is_locked(&self) -> bool {
        !self.locking.get()
            && openat(&self.directory, ".", DIRECTORY, Mode::empty()).is_ok_and(|other| {
                flock(&other, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK)
            })
    }

    /// Reads state.json.
    ///
    /// # Errors
    /// It is damaged, or not there since `create` is at work or was killed.
    pub fn state(&self) -> Result<State> {
        let hint = format!("stockade delete --force {}", self.id);
        let text = match self.read(STATE) {
            Ok(text) => text,
            Err(Errno::NOENT) if self.is_gone() => return Err(missing(&self.id)),
            Err(Errno::NOENT) if self.is_locked() => {
                return Err(Error::new(
                    self.text("read"),
                    "it is being created or deleted",
                ));
            }
            Err(Errno::NOENT) => {
                return Err(Error::new(self.text("read"), "its create was killed").hint(hint));
            }
            Err(errno) => return Err(Error::new(self.text("read"), errno)),
        };
        let mut state: State = serde_json::from_slice(&text).map_err(|cause| {
            Error::new(self.text("read"), format!("state.json is damaged: {cause}")).hint(hint)
        })?;
        group::recognise(state.cgroup.as_mut(), state.pid, state.start_time);
        Ok(state)
    }

    /// What to clear away, from a file of its own; `None` when that is missing or damaged too.
    pub fn remains(&self) -> Option<Remains> {
        let mut remains: Remains = serde_json::from_slice(&self.read(REMAINS).ok()?).ok()?;
        group::recognise(remains.cgroup.as_mut(), remains.pid, remains.start_time);
        Some(remains)
    }

    /// Writes state.json as a whole or not at all. The caller holds the lock.
    ///
    /// # Errors
    /// The file system is full or broken.
    pub fn write(&self, state: &State) -> Result<()> {
        self.replace(
            REMAINS,
            &serde_json::to_vec(&Remains::of(state)).doing(|| self.text("write"))?,
        )?;
        self.replace(
            STATE,
            &serde_json::to_vec(state).doing(|| self.text("write"))?,
        )
    }

    /// Deletes the directory and what is in it, state.json last, so that a killed `delete` can be repeated.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn remove(&self) -> Result<()> {
        self.remove_all().doing(|| self.text("remove"))
    }

    fn remove_all(&self) -> rustix::io::Result<()> {
        if self.is_gone() {
            return Ok(());
        }
        clear(self.directory.as_fd(), STATE)?;
        gone(unlinkat(&self.directory, STATE, AtFlags::empty()))?;
        gone(unlinkat(&*self.root, self.id.as_str(), AtFlags::REMOVEDIR))
    }

    pub(super) fn read(&self, name: &str) -> rustix::io::Result<Vec<u8>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = std::fs::File::from(openat(&self.directory, name, flags, Mode::empty())?);
        let mut text = Vec::new();
        match file.read_to_end(&mut text) {
            Ok(_) => Ok(text),
            Err(error) => Err(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
        }
    }

    pub(super) fn replace(&self, name: &str, text: &[u8]) -> Result<()> {
        let new = format!("{name}.new");
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let written = openat(&self.directory, new.as_str(), flags, mode)
            .map_err(std::io::Error::from)
            .and_then(|file| std::fs::File::from(file).write_all(text))
            .and_then(|()| {
                Ok(renameat(
                    &self.directory,
                    new.as_str(),
                    &self.directory,
                    name,
                )?)
            });
        if written.is_err() {
            // Only tidying: the error to report is the first one, and `remove` takes the file with the rest.
            let _ = unlinkat(&self.directory, new.as_str(), AtFlags::empty());
        }
        written.doing(|| self.text("write"))
    }

    fn text(&self, verb: &str) -> String {
        format!("{verb} state of container {}", quote(&self.id))
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if !self.reserved {
            return;
        }
        if let Err(error) = self.remove() {
            log::warn!("{error}");
        }
    }
}

/// The lock on one container's directory, until it is dropped.
#[derive(Debug)]
pub struct Lock<'a>(&'a Entry);

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        self.0.locking.set(false);
        // Unlocking a descriptor of our own cannot fail, and closing it would unlock too.
        let _ = flock(&self.0.directory, FlockOperation::Unlock);
    }
}

struct RootLock(Rc<OwnedFd>);

impl RootLock {
    fn take(root: &Rc<OwnedFd>) -> rustix::io::Result<Self> {
        rustix::io::retry_on_intr(|| flock(&**root, FlockOperation::LockExclusive))?;
        Ok(Self(Rc::clone(root)))
    }
}

impl Drop for RootLock {
    fn drop(&mut self) {
        // As in `Lock`.
        let _ = flock(&*self.0, FlockOperation::Unlock);
    }
}

fn missing(id: &str) -> Error {
    Error::new(
        format!("find container {}", quote(id)),
        "container does not exist",
    )
}

fn exists(directory: BorrowedFd<'_>, name: &str) -> bool {
    statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
}

fn gone(result: rustix::io::Result<()>) -> rustix::io::Result<()> {
    if result == Err(Errno::NOENT) {
        Ok(())
    } else {
        result
    }
}

fn names(directory: BorrowedFd<'_>) -> rustix::io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(OsString::from_vec(name));
        }
    }
    Ok(names)
}

/// Removes everything below a directory but one name at its top.
fn clear(directory: BorrowedFd<'_>, but: &str) -> rustix::io::Result<()> {
    for name in names(directory)?.into_iter().filter(|name| name != but) {
        let found = statat(directory, &name, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(found.st_mode) == FileType::Directory {
            clear(
                openat(directory, &name, DIRECTORY, Mode::empty())?.as_fd(),
                "",
            )?;
            gone(unlinkat(directory, &name, AtFlags::REMOVEDIR))?;
        } else {
            gone(unlinkat(directory, &name, AtFlags::empty()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
