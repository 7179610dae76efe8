//! Unpacks layers into directories of the store, each checked against the digests that name it.
//! Not which directories there are to be: see `fill`.

use std::os::fd::BorrowedFd;

use super::incoming::Incoming;
use super::record::UnitRecord;
use crate::error::Result;
use crate::image::layer::{self, Applied, Budget, Options, Whiteouts};
use crate::image::{Image, unpack};

/// What a layer in a directory of its own turned out to be.
pub(super) enum Alone {
    /// It shows what it should on whatever is below.
    Stands(UnitRecord),
    /// It must be unpacked onto the layers below.
    Leans,
}

/// Unpacks one layer alone, with the whiteouts of this user's overlay mounts.
pub(super) fn alone(
    image: &Image,
    index: usize,
    incoming: &Incoming<'_>,
    budget: &mut Budget,
) -> Result<Alone> {
    let whiteouts = if rustix::process::geteuid().is_root() {
        Whiteouts::Overlay
    } else {
        Whiteouts::OverlayUser
    };
    let applied = one(image, index, incoming.root(), whiteouts, budget)?;
    let needs_bottom = applied.parents_made > 0;
    if applied.links_left_out > 0 || (needs_bottom && index > 0) {
        return Ok(Alone::Leans);
    }
    Ok(Alone::Stands(UnitRecord {
        bytes: applied.bytes,
        entries: applied.entries,
        needs_bottom,
        describes_root: applied.describes_root,
    }))
}

/// Unpacks the layers up to `last` onto one another.
pub(super) fn together(
    image: &Image,
    last: usize,
    incoming: &Incoming<'_>,
    budget: &mut Budget,
) -> Result<UnitRecord> {
    let mut all = UnitRecord {
        needs_bottom: true,
        ..UnitRecord::default()
    };
    for index in 0..=last {
        let applied = one(image, index, incoming.root(), Whiteouts::Remove, budget)?;
        all.bytes += applied.bytes;
        all.entries += applied.entries;
        all.describes_root |= applied.describes_root;
    }
    Ok(all)
}

fn one(
    image: &Image,
    index: usize,
    root: BorrowedFd<'_>,
    whiteouts: Whiteouts,
    budget: &mut Budget,
) -> Result<Applied> {
    let described = &image.layers[index];
    let name = unpack::name_of(described, index);
    let options = Options {
        whiteouts,
        ..Options::for_caller(name.clone())
    };
    let applied = layer::apply(image.read_layer(index)?, root, &options, budget)?;
    unpack::check(described.diff_id.as_ref(), &applied.diff_id, &name)?;
    for warning in unpack::warnings(&applied, &name) {
        log::debug!("{warning}");
    }
    Ok(applied)
}
