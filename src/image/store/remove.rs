//! Removing from the store: an image, and layers that no image is made of. Whoever removes holds the store's lock alone,
//! so that nobody takes or adds meanwhile; what runs holds a lock on its image.

use std::collections::BTreeSet;
use std::iter::Sum;
use std::os::fd::AsFd;

use rustix::fs::{FlockOperation, Mode, openat, renameat};
use rustix::io::Errno;

use super::incoming::remove;
use super::record::{Unit, UnitKind, User, user};
use super::{DIRECTORY, ImageStore, names};
use crate::error::{Doing, Error, Result, quote};
use crate::image::Digest;

/// What a removal has removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Images, by their digests.
    pub images: Vec<Digest>,
    /// Layers, and stacks of them.
    pub units: Vec<Unit>,
    /// Uncompressed bytes of those.
    pub bytes: u64,
    /// Directories that killed processes left.
    pub leftovers: usize,
}

impl Sum for Pruned {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |mut sum, next| {
            sum.images.extend(next.images);
            sum.units.extend(next.units);
            sum.bytes += next.bytes;
            sum.leftovers += next.leftovers;
            sum
        })
    }
}

/// What [`ImageStore::prune`] removes beside what nobody refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prune {
    /// Nothing.
    Unreferenced,
    /// Every image that no sandbox uses.
    AllImages,
}

/// How much of a digest names an image at least: fewer digits are rather a name.
const SHORTEST_PREFIX: usize = 4;

impl ImageStore {
    /// Removes the images that `words` name, by a digest, the beginning of one, or a name, and the layers that no image is
    /// made of then.
    ///
    /// # Errors
    /// A word that names none or several, an image that a sandbox uses; no image is removed then.
    pub fn remove(&self, words: &[String]) -> Result<Pruned> {
        let mut wanted = BTreeSet::new();
        for word in words {
            wanted.insert(self.named(word)?);
        }
        let _lock = self.lock(FlockOperation::LockExclusive)?;
        self.sweep("incoming")?;
        for digest in &wanted {
            self.check_unused(digest)?;
        }
        let mut pruned = Pruned::default();
        for digest in wanted {
            self.remove_image(&digest)?;
            pruned.images.push(digest);
        }
        self.remove_unreferenced(&mut pruned)?;
        Ok(pruned)
    }

    /// Removes layers that no image is made of, images that cannot be read, and what killed processes left.
    ///
    /// # Errors
    /// Something cannot be removed; it can be pruned again.
    pub fn prune(&self, what: Prune) -> Result<Pruned> {
        let _lock = self.lock(FlockOperation::LockExclusive)?;
        let mut pruned = Pruned {
            leftovers: self.sweep("incoming")? + self.sweep("scratch")?,
            ..Pruned::default()
        };
        for digest in self.digests("images/sha256")? {
            let is_whole = self.record(&digest).is_ok_and(|found| found.is_some());
            if (what == Prune::AllImages || !is_whole) && self.check_unused(&digest).is_ok() {
                self.remove_image(&digest)?;
                pruned.images.push(digest);
            }
        }
        self.remove_unreferenced(&mut pruned)?;
        Ok(pruned)
    }

    /// Whether a word names an image here, or several.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn has(&self, word: &str) -> Result<bool> {
        Ok(!self.all_named(word)?.is_empty())
    }

    /// The images that a word names.
    fn all_named(&self, word: &str) -> Result<Vec<Digest>> {
        let hex = word.strip_prefix("sha256:").unwrap_or(word);
        let is_prefix = hex.len() >= SHORTEST_PREFIX && hex.bytes().all(|c| c.is_ascii_hexdigit());
        let mut found: Vec<Digest> = Vec::new();
        for listed in self.list()? {
            let record = listed.record;
            let by_digest = is_prefix && record.digest.encoded().starts_with(hex);
            if by_digest || record.names.iter().any(|name| name == word) {
                found.push(record.digest);
            }
        }
        Ok(found)
    }

    /// The one image that a word names.
    fn named(&self, word: &str) -> Result<Digest> {
        let mut found = self.all_named(word)?;
        let doing = || format!("find image {}", quote(word));
        match found.len() {
            1 => Ok(found.remove(0)),
            0 => Err(Error::new(doing(), "there is no such image in the store")
                .hint("stockade image list")),
            several => Err(Error::new(doing(), format!("{several} images have it"))
                .hint("say more of its digest: stockade image list")),
        }
    }

    fn check_unused(&self, digest: &Digest) -> Result<()> {
        let doing = || format!("remove image {digest}");
        let path = format!("images/sha256/{}", digest.encoded());
        let directory = match self.open_below(&path) {
            Err(Errno::NOENT) => return Ok(()),
            other => other.doing(doing)?,
        };
        match user(&directory, digest) {
            None => Ok(()),
            Some(User::Sandbox) => {
                let cause = "image is being used by a running sandbox";
                Err(Error::new(doing(), cause).hint("end the launch that uses it first"))
            }
            Some(User::Bundle) => {
                let cause = "image is being used by a bundle, as the mount on its rootfs";
                Err(Error::new(doing(), cause).hint("umount the rootfs of that bundle first"))
            }
        }
    }

    fn remove_image(&self, digest: &Digest) -> Result<()> {
        self.remove_below("images/sha256", digest.encoded())
    }

    /// Takes the name away first: what is half removed must not be found by it.
    fn remove_below(&self, place: &str, name: &str) -> Result<()> {
        let doing = || format!("remove {name} of the image store");
        let incoming = self.open_below("incoming").doing(doing)?;
        let removed = format!("removed-{}-{name}", place.replace('/', "-"));
        match renameat(
            &self.directory,
            format!("{place}/{name}"),
            &incoming,
            &removed,
        ) {
            Ok(()) => {}
            Err(Errno::NOENT) => return Ok(()),
            Err(errno) => return Err(errno).doing(doing),
        }
        let directory = openat(&incoming, &removed, DIRECTORY, Mode::empty()).doing(doing)?;
        remove(incoming.as_fd(), &removed, directory.as_fd())
    }

    fn remove_unreferenced(&self, pruned: &mut Pruned) -> Result<()> {
        let mut used = BTreeSet::new();
        for digest in self.digests("images/sha256")? {
            // Of an image that cannot be read and is in use, nothing is known; its sandbox has its layers mounted, which
            // a removal would empty.
            match self.record(&digest)? {
                Some((_, record)) => used.extend(record.units),
                None => continue,
            }
        }
        for kind in [UnitKind::Layer, UnitKind::Stack] {
            for digest in self.digests(kind.directory())? {
                let unit = Unit { kind, digest };
                if used.contains(&unit) {
                    continue;
                }
                pruned.bytes += self
                    .unit(&unit)
                    .ok()
                    .flatten()
                    .map_or(0, |found| found.bytes);
                self.remove_below(kind.directory(), unit.digest.encoded())?;
                pruned.units.push(unit);
            }
        }
        Ok(())
    }

    fn digests(&self, place: &str) -> Result<Vec<Digest>> {
        let doing = || format!("read {place} of the image store");
        let directory = self.open_below(place).doing(doing)?;
        let named = names(directory).doing(doing)?;
        let digests = named.iter().map(|name| format!("sha256:{name}").parse());
        Ok(digests.filter_map(std::result::Result::ok).collect())
    }
}
