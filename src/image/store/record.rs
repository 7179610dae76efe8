//! What the store knows: of an image, which directories make it; of a directory, what unpacking it said.
//! Each is a small JSON file that appears whole. Not what the image itself says, which is read from the image each time.

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{
    AtFlags, FlockOperation, Mode, OFlags, Timespec, Timestamps, UTIME_NOW, flock, fstat, openat,
    renameat, statat, unlinkat, utimensat,
};
use rustix::io::Errno;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{DIRECTORY, Held, ImageStore, is_sha256, names};
use crate::error::{Doing, Error, Result};
use crate::image::Digest;
use crate::sys::SysResult;

/// The file of an image.
pub(super) const IMAGE: &str = "image.json";
/// The file of a directory of layers.
pub(super) const LAYER: &str = "layer.json";
/// More than a record of the most layers has, in bytes.
const LONGEST: u64 = 1 << 20;

/// An image in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// What names it: of its manifest, or of its configuration where there is no manifest.
    pub digest: Digest,
    /// What its source called it: claims, to be quoted.
    pub names: Vec<String>,
    /// `linux/amd64`.
    pub platform: String,
    /// The diffIDs of its layers, lowest first.
    pub layers: Vec<Digest>,
    /// The directories that are mounted on one another, lowest first.
    pub units: Vec<Unit>,
    /// Which of `units` says what the root is like; the highest that does.
    pub root: Option<usize>,
    /// Uncompressed bytes of the layers.
    pub bytes: u64,
    /// Entries of the layers.
    pub entries: u64,
    /// When it was stored, in seconds since 1970.
    pub stored: u64,
}

/// A directory with one layer, or with several on one another.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Unit {
    /// Which.
    pub kind: UnitKind,
    /// The diffID, or the chainID.
    pub digest: Digest,
}

/// What a [`Unit`] holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum UnitKind {
    /// One layer, with its whiteouts.
    Layer,
    /// An image's lowest layers, applied to one another.
    Stack,
}

impl UnitKind {
    /// The directory of all of them.
    pub(super) fn directory(self) -> &'static str {
        match self {
            Self::Layer => "layers/sha256",
            Self::Stack => "stacks/sha256",
        }
    }
}

impl Unit {
    pub(super) fn layer(diff_id: &Digest) -> Self {
        Self {
            kind: UnitKind::Layer,
            digest: diff_id.clone(),
        }
    }

    /// Below the store.
    pub(super) fn path(&self) -> String {
        format!("{}/{}", self.kind.directory(), self.digest.encoded())
    }

    /// Below `incoming`.
    pub(super) fn incoming(&self) -> String {
        self.path().replace('/', "-")
    }
}

/// What unpacking a unit said.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UnitRecord {
    pub(super) bytes: u64,
    pub(super) entries: u64,
    /// It shows the right thing only where nothing is below it.
    pub(super) needs_bottom: bool,
    pub(super) describes_root: bool,
}

/// An image for `image list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Listed {
    /// What it is.
    #[serde(flatten)]
    pub record: Record,
    /// When a sandbox of it began last, in seconds since 1970.
    pub used: u64,
    /// Whether one runs now, or a bundle has its layers mounted.
    pub in_use: bool,
}

impl ImageStore {
    /// All images, by digest. What cannot be read is warned about and passed over: `prune` removes it.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn list(&self) -> Result<Vec<Listed>> {
        let doing = || "read the images of the store";
        let _lock = self.lock(FlockOperation::LockShared)?;
        let mut all = Vec::new();
        for name in names(self.open_below("images/sha256").doing(doing)?).doing(doing)? {
            let Ok(digest) = format!("sha256:{name}").parse::<Digest>() else {
                continue;
            };
            match self.listed(&digest) {
                Ok(Some(listed)) => all.push(listed),
                Ok(None) => {}
                Err(error) => log::warn!("{error}"),
            }
        }
        Ok(all)
    }

    fn listed(&self, digest: &Digest) -> Result<Option<Listed>> {
        let doing = || format!("read image {digest} of the store");
        let Some((directory, record)) = self.record(digest)? else {
            return Ok(None);
        };
        let used = statat(&directory, IMAGE, AtFlags::SYMLINK_NOFOLLOW).doing(doing)?;
        Ok(Some(Listed {
            record,
            used: u64::try_from(used.st_mtime).unwrap_or(0),
            in_use: user(&directory, digest).is_some(),
        }))
    }

    /// The record of an image, and its directory.
    pub(super) fn record(&self, digest: &Digest) -> Result<Option<(OwnedFd, Record)>> {
        let doing = || format!("read image {digest} of the store");
        let path = format!("images/sha256/{}", digest.encoded());
        if !is_sha256(digest) {
            return Ok(None);
        }
        let directory = match self.open_below(&path) {
            Err(Errno::NOENT) => return Ok(None),
            other => other.doing(doing)?,
        };
        let record: Option<Record> = read(&directory, IMAGE, doing)?;
        let Some(record) = record else {
            return Ok(None);
        };
        if record.digest != *digest || record.root.is_some_and(|at| at >= record.units.len()) {
            return Err(damaged(doing(), "it does not fit its name"));
        }
        Ok(Some((directory, record)))
    }

    /// The image, if it is there whole; notes that it is used now. The caller holds the store's lock.
    pub(super) fn hold(&self, digest: &Digest) -> Result<Option<Held>> {
        let doing = || format!("take image {digest} from the store");
        let Some((lease, record)) = self.record(digest)? else {
            return Ok(None);
        };
        flock(&lease, FlockOperation::LockShared).doing(doing)?;
        let mut layers = Vec::with_capacity(record.units.len());
        for unit in &record.units {
            match self.open_below(&format!("{}/fs", unit.path())) {
                Ok(fd) => layers.push(fd),
                Err(Errno::NOENT) => return Ok(None),
                Err(errno) => return Err(Error::new(doing(), errno)),
            }
        }
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_NOW,
        };
        let times = Timestamps {
            last_access: now,
            last_modification: now,
        };
        utimensat(&lease, IMAGE, &times, AtFlags::SYMLINK_NOFOLLOW).doing(doing)?;
        Ok(Some(Held {
            record,
            layers,
            lease,
        }))
    }

    /// The record of a unit, if it is there.
    pub(super) fn unit(&self, unit: &Unit) -> Result<Option<UnitRecord>> {
        let doing = || format!("read layer {} of the store", unit.digest);
        match self.open_below(&unit.path()) {
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(Error::new(doing(), errno)),
            Ok(directory) => read(&directory, LAYER, doing),
        }
    }
}

/// Who needs an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum User {
    /// A `launch` that runs.
    Sandbox,
    /// A bundle on whose `rootfs` its layers are mounted.
    Bundle,
}

/// Who needs the image of which this is the directory.
pub(super) fn user(directory: &OwnedFd, digest: &Digest) -> Option<User> {
    let open = || openat(directory, ".", DIRECTORY, Mode::empty());
    let is_leased = open().is_ok_and(|other| {
        flock(&other, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK)
    });
    if is_leased {
        return Some(User::Sandbox);
    }
    // Who unpacked the bundle has ended, so that no lock tells of it: the mount itself does, wherever it was moved.
    let Ok(mounts) = std::fs::read("/proc/self/mountinfo") else {
        // Nobody can say, and what is in use must not be removed.
        return Some(User::Bundle);
    };
    is_mounted(&mounts, digest).then_some(User::Bundle)
}

/// Whether a mountinfo(5) has the layers of an image. Any user may have mounts there whose paths are not UTF-8.
fn is_mounted(mounts: &[u8], digest: &Digest) -> bool {
    let wanted = format!(" - overlay {} ", mount_source(digest));
    let mut lines = mounts.split(|byte| *byte == b'\n');
    lines.any(|line| {
        line.windows(wanted.len())
            .any(|part| part == wanted.as_bytes())
    })
}

/// What an overlay mount of a bundle has as its source.
pub fn mount_source(digest: &Digest) -> String {
    format!("stockade:{digest}")
}

/// Now, in seconds since 1970.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.as_ref().map_or(0, Duration::as_secs)
}

fn read<T: DeserializeOwned>(
    directory: &OwnedFd,
    name: &str,
    doing: impl Fn() -> String,
) -> Result<Option<T>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = match openat(directory, name, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(None),
        other => other.doing(&doing)?,
    };
    let size = fstat(&file).doing(&doing)?.st_size as u64;
    if size > LONGEST {
        return Err(damaged(doing(), "it is too long"));
    }
    let mut text = Vec::new();
    let read = std::fs::File::from(file)
        .take(LONGEST)
        .read_to_end(&mut text);
    read.doing(&doing)?;
    let parsed = serde_json::from_slice(&text);
    parsed
        .map(Some)
        .map_err(|cause| damaged(doing(), &cause.to_string()))
}

fn damaged(doing: String, cause: &str) -> Error {
    Error::new(doing, format!("it is damaged: {cause}"))
        .hint("stockade image prune --all removes what is damaged")
}

/// Writes a record as a whole or not at all.
pub(super) fn write<T: Serialize>(
    directory: impl AsFd,
    name: &str,
    record: &T,
    doing: impl Fn() -> String,
) -> Result<()> {
    let mut text = serde_json::to_vec(record).doing(&doing)?;
    text.push(b'\n');
    if text.len() as u64 > LONGEST {
        // What cannot be read again must not be written: nothing could be removed beside it.
        return Err(Error::new(doing(), "its record would be too long"));
    }
    let temporary = format!(".{name}.{}", std::process::id());
    let flags =
        OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR;
    let written = openat(&directory, &temporary, flags, mode)
        .map_err(std::io::Error::from)
        .and_then(|fd| {
            let mut file = std::fs::File::from(fd);
            file.write_all(&text)?;
            file.sync_data()
        })
        .doing(&doing)
        .and_then(|()| renameat(&directory, &temporary, &directory, name).doing(&doing));
    if written.is_err() {
        // The error says what is wrong; a file of this name is overwritten the next time.
        let _: SysResult<()> = unlinkat(&directory, &temporary, AtFlags::empty());
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_seen_beside_paths_that_are_not_text() {
        let [own, other] = ["a", "b"].map(|text| Digest::sha256(text.as_bytes()));
        let line = format!("30 25 0:9 / /b/rootfs rw - overlay stockade:{own} rw,lowerdir=x\n");
        let mounts = [
            &b"29 25 0:8 / /home/x/\xff rw - fuse x rw\n"[..],
            line.as_bytes(),
        ]
        .concat();
        assert!(is_mounted(&mounts, &own));
        assert!(!is_mounted(&mounts, &other));
    }

    #[test]
    fn what_could_not_be_read_again_is_not_written() {
        let directory = tempfile::tempdir().unwrap();
        let opened = std::fs::File::open(directory.path()).unwrap();
        let long = "x".repeat(1 << 20);
        let written = write(&opened, IMAGE, &long, || "store".to_owned());
        assert_eq!(
            written.unwrap_err().to_string(),
            "store: its record would be too long"
        );
        assert_eq!(directory.path().read_dir().unwrap().count(), 0);
    }
}
