//! An image into the store: which directories it is made of, and the making of those that are missing.
//!
//! A layer gets a directory of its own where that shows, mounted on those below, what unpacking all of them onto one
//! another would. It does if it lists the parents of everything in it and holds the targets of its hard links. Where it
//! does not, it and all below it are unpacked into one directory, which other images share that begin with the same
//! layers. Not the mount: see `container`.

use std::collections::{HashMap, HashSet};

use rustix::fs::{FlockOperation, Mode, OFlags, flock, mkdirat, openat, syncfs};
use rustix::io::Errno;

use super::incoming::{Incoming, Patience, Wish};
use super::record::{self, Record, Unit, UnitKind, UnitRecord};
use super::unpacked::{self, Alone};
use super::{DIRECTORY, Held, ImageStore};
use crate::error::{Doing, Error, Result};
use crate::image::layer::{Budget, Limits};
use crate::image::{Digest, Image, Platform, Progress};

/// The most directories of one mount: the options of mount(2) are one page, and each is up to 20 bytes of it.
const MOST_UNITS: usize = 128;

impl ImageStore {
    /// The image, if it is there already; noted as used. No layer of `image` is read.
    ///
    /// # Errors
    /// The store is damaged or cannot be read; what is there exceeds `limits`.
    pub fn find(&self, image: &Image, limits: &Limits) -> Result<Option<Held>> {
        let Some(key) = Self::key(image) else {
            return Ok(None);
        };
        let _lock = self.lock(FlockOperation::LockShared)?;
        let held = match self.hold(key) {
            Ok(Some(held)) => held,
            Ok(None) => return Ok(None),
            // Whoever fills writes it anew.
            Err(error) => {
                log::warn!("{error}");
                return Ok(None);
            }
        };
        if !held.record.layers.iter().eq(diff_ids(image)) {
            return Ok(None);
        }
        let budget = Budget::new(limits.clone());
        budget.take_unpacked(&key.to_string(), held.record.bytes, held.record.entries)?;
        let names = merged(&held.record.names, &image.names);
        let is_new = |name: &String| !held.record.names.contains(name);
        if names.iter().any(is_new) {
            let mut renamed = held.record.clone();
            renamed.names = names;
            record::write(&held.lease, record::IMAGE, &renamed, || {
                format!("store image {key}")
            })?;
        }
        Ok(Some(held))
    }

    /// Unpacks what is missing of the image, all of it within `limits`, and takes it.
    ///
    /// # Errors
    /// A layer that is not what its digests say, that is damaged, or that exceeds a limit; a full disk. Nothing of a layer
    /// that failed stays.
    pub fn fill(&self, image: &Image, limits: &Limits, progress: &Progress) -> Result<Held> {
        let missing = || {
            Error::new(
                "store the image",
                "it says no digests of its layers' content",
            )
        };
        let key = Self::key(image).ok_or_else(missing)?;
        self.sweep("incoming")?;
        self.sweep("scratch")?;
        let _lock = self.lock(FlockOperation::LockShared)?;
        let mut filling = Filling {
            store: self,
            image,
            progress,
            budget: Budget::new(limits.clone()),
            alone: HashMap::new(),
            ready: Vec::new(),
            units: Vec::new(),
        };
        filling.run().map_err(|error| with_space_hint(&error))?;
        let units = filling.units;
        let record = describe(image, key, units);
        self.enter(&record)?;
        let lost = || Error::new(format!("store image {key}"), "it was removed at once");
        self.hold(key)?.ok_or_else(lost)
    }

    /// Writes down which directories make an image.
    fn enter(&self, record: &Record) -> Result<()> {
        let doing = || format!("store image {}", record.digest);
        let images = self.open_below("images/sha256").doing(doing)?;
        let name = record.digest.encoded();
        match mkdirat(&images, name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno).doing(doing),
        }
        let flags = DIRECTORY | OFlags::NOFOLLOW;
        let directory = openat(&images, name, flags, Mode::empty()).doing(doing)?;
        flock(&directory, FlockOperation::LockShared).doing(doing)?;
        record::write(&directory, record::IMAGE, record, doing)
    }
}

/// An image on its way into the store.
struct Filling<'a> {
    store: &'a ImageStore,
    image: &'a Image,
    progress: &'a Progress,
    budget: Budget,
    /// What layers turned out to be that were unpacked alone.
    alone: HashMap<Unit, Alone>,
    /// Unpacked and checked, not yet placed.
    ready: Vec<Incoming<'a>>,
    /// From the highest down.
    units: Vec<(Unit, UnitRecord)>,
}

impl<'a> Filling<'a> {
    /// From the highest layer down: below one that leans, none is needed alone.
    fn run(&mut self) -> Result<()> {
        self.ahead()?;
        let mut seen = HashSet::new();
        for index in (0..self.image.layers.len()).rev() {
            let unit = Unit::layer(self.diff_id(index));
            // The highest of several equal layers says it all, and overlayfs takes none twice.
            if seen.contains(&unit) {
                continue;
            }
            let is_full = self.units.len() == MOST_UNITS && index > 0;
            if is_full || !self.stands(index, &unit)? {
                self.forget_others();
                self.together(index)?;
                break;
            }
            seen.insert(unit);
        }
        self.place()
    }

    /// Unpacks at once, each alone, the layers that are missing and that nobody else is unpacking. Most images have none
    /// that leans.
    fn ahead(&mut self) -> Result<()> {
        let mut seen = HashSet::new();
        let mut missing = Vec::new();
        for index in (0..self.image.layers.len()).rev().take(MOST_UNITS) {
            let unit = Unit::layer(self.diff_id(index));
            if seen.insert(unit.clone())
                && let Some(Wish::Ours(incoming)) = self.store.wish(&unit, Patience::None)?
            {
                missing.push((index, incoming));
            }
        }
        // Whoever watches expects the lowest first.
        missing.reverse();
        self.unpack(missing)
    }

    fn unpack(&mut self, missing: Vec<(usize, Incoming<'a>)>) -> Result<()> {
        let found = unpacked::apart(self.image, &missing, &self.budget, self.progress)?;
        for ((_, incoming), alone) in missing.into_iter().zip(found) {
            let unit = incoming.unit.clone();
            match &alone {
                Alone::Stands(found) => {
                    incoming.describe(found)?;
                    self.ready.push(incoming);
                }
                Alone::Leans(found) => {
                    log::debug!("layer {} is stored with those below it", unit.digest);
                    self.budget.give_back(found.bytes, found.entries);
                }
            }
            self.alone.insert(unit, alone);
        }
        Ok(())
    }

    /// Whether the layer is there in a directory of its own.
    fn stands(&mut self, index: usize, unit: &Unit) -> Result<bool> {
        if !self.alone.contains_key(unit) {
            match self.wish(unit)? {
                Wish::There(found) if found.needs_bottom && index > 0 => return Ok(false),
                Wish::There(found) => return self.take(unit, found).map(|()| true),
                // Whoever was unpacking it has failed.
                Wish::Ours(incoming) => self.unpack(vec![(index, incoming)])?,
            }
        }
        match self.alone.remove(unit) {
            Some(Alone::Stands(found)) if index == 0 || !found.needs_bottom => {
                self.units.push((unit.clone(), found));
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Drops what was unpacked alone and is not needed so.
    fn forget_others(&mut self) {
        for (unit, alone) in self.alone.drain() {
            if let Alone::Stands(found) = alone {
                self.budget.give_back(found.bytes, found.entries);
            }
            self.ready.retain(|incoming| incoming.unit != unit);
        }
    }

    fn together(&mut self, last: usize) -> Result<()> {
        let unit = Unit {
            kind: UnitKind::Stack,
            digest: chain_id(diff_ids(self.image).take(last + 1)),
        };
        let incoming = match self.wish(&unit)? {
            Wish::There(found) => return self.take(&unit, found),
            Wish::Ours(incoming) => incoming,
        };
        let found = unpacked::together(self.image, last, &incoming, &self.budget, self.progress)?;
        incoming.describe(&found)?;
        self.ready.push(incoming);
        self.units.push((unit, found));
        Ok(())
    }

    /// Waits for others only while holding nothing that they may wait for.
    fn wish(&mut self, unit: &Unit) -> Result<Wish<'a>> {
        loop {
            if let Some(wish) = self.store.wish(unit, Patience::None)? {
                return Ok(wish);
            }
            self.place()?;
            if let Some(wish) = self.store.wish(unit, Patience::Wait)? {
                return Ok(wish);
            }
        }
    }

    fn take(&mut self, unit: &Unit, found: UnitRecord) -> Result<()> {
        let name = unit.digest.to_string();
        self.budget
            .take_unpacked(&name, found.bytes, found.entries)?;
        self.units.push((unit.clone(), found));
        Ok(())
    }

    /// Gives what is ready its names. On the disk first: after a loss of power, what has a name is whole.
    fn place(&mut self) -> Result<()> {
        if !self.ready.is_empty() {
            syncfs(&self.store.directory).doing(|| "write the layers to the disk")?;
        }
        self.ready.drain(..).try_for_each(Incoming::place)
    }

    fn diff_id(&self, index: usize) -> &Digest {
        let diff_id = self.image.layers[index].diff_id.as_ref();
        diff_id.expect("an image with a key has them")
    }
}

fn describe(image: &Image, key: &Digest, mut units: Vec<(Unit, UnitRecord)>) -> Record {
    units.reverse();
    let platform = image.config.platform();
    let platform = platform.unwrap_or_else(Platform::host).to_string();
    Record {
        digest: key.clone(),
        names: merged(&[], &image.names),
        platform: platform.chars().take(LONGEST_PLATFORM).collect(),
        layers: diff_ids(image).cloned().collect(),
        root: units.iter().rposition(|(_, found)| found.describes_root),
        bytes: units.iter().map(|(_, found)| found.bytes).sum(),
        entries: units.iter().map(|(_, found)| found.entries).sum(),
        units: units.into_iter().map(|(unit, _)| unit).collect(),
        stored: record::now(),
    }
}

fn diff_ids(image: &Image) -> impl Iterator<Item = &Digest> {
    image
        .layers
        .iter()
        .filter_map(|layer| layer.diff_id.as_ref())
}

/// What names layers that were applied to one another (image-spec config.md, "Layer ChainID").
fn chain_id<'a>(diff_ids: impl Iterator<Item = &'a Digest>) -> Digest {
    diff_ids
        .cloned()
        .reduce(|chain, next| Digest::sha256(format!("{chain} {next}").as_bytes()))
        .expect("an image with a key has layers")
}

/// At most this many names are kept of an image: they are claims, and nothing depends on them.
const MOST_NAMES: usize = 32;

/// Longer names, in bytes, are not kept: a record must not become too long to be read.
const LONGEST_NAME: usize = 512;

/// As many characters of a platform are kept: its variant is any text.
const LONGEST_PLATFORM: usize = 80;

fn merged(known: &[String], more: &[String]) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let is_kept = |name: &&String| name.len() <= LONGEST_NAME;
    for name in more.iter().filter(is_kept).chain(known) {
        if !all.contains(name) && all.len() < MOST_NAMES {
            all.push(name.clone());
        }
    }
    all
}

fn with_space_hint(error: &Error) -> Error {
    let text = error.to_string();
    if error.try_this().is_none() && (text.contains("(ENOSPC)") || text.contains("(EDQUOT)")) {
        return error.clone().hint(
            "make room by `stockade image prune --all`, or choose another place by --store DIR",
        );
    }
    error.clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chain_id_is_that_of_the_image_specification() {
        let [a, b, c] = ["a", "b", "c"].map(|text| Digest::sha256(text.as_bytes()));
        assert_eq!(chain_id([&a].into_iter()), a);
        let ab = Digest::sha256(format!("{a} {b}").as_bytes());
        assert_eq!(chain_id([&a, &b].into_iter()), ab);
        let abc = Digest::sha256(format!("{ab} {c}").as_bytes());
        assert_eq!(chain_id([&a, &b, &c].into_iter()), abc);
    }
}
