//! Unpacks layers into directories of the store, each checked against the digests that name it.
//! Not which directories there are to be: see `fill`.

use super::incoming::Incoming;
use super::record::UnitRecord;
use crate::error::Result;
use crate::image::layer::{Applied, Budget, Caller, Whiteouts};
use crate::image::{Image, Progress, unpack};

/// What a layer in a directory of its own turned out to be.
pub(super) enum Alone {
    /// It shows what it should on whatever is below.
    Stands(UnitRecord),
    /// It must be unpacked onto the layers below.
    Leans(UnitRecord),
}

/// Unpacks layers, each alone, with the whiteouts of this user's overlay mounts.
pub(super) fn apart(
    image: &Image,
    layers: &[(usize, Incoming<'_>)],
    budget: &Budget,
    progress: &Progress,
) -> Result<Vec<Alone>> {
    let whiteouts = Caller::find().whiteouts();
    let roots: Vec<_> = layers
        .iter()
        .map(|(index, incoming)| (*index, incoming.root()))
        .collect();
    let applied = unpack::unpack_apart(image, &roots, whiteouts, budget, progress)?;
    let all = layers.iter().zip(&applied);
    Ok(all
        .map(|((index, _), applied)| {
            note(image, *index, applied);
            alone(*index, applied)
        })
        .collect())
}

fn alone(index: usize, applied: &Applied) -> Alone {
    let found = UnitRecord {
        bytes: applied.bytes + applied.holes,
        entries: applied.entries,
        needs_bottom: applied.parents_made > 0,
        describes_root: applied.describes_root,
    };
    if applied.links_left_out > 0 || (found.needs_bottom && index > 0) {
        Alone::Leans(found)
    } else {
        Alone::Stands(found)
    }
}

/// Unpacks the layers up to `last` onto one another.
pub(super) fn together(
    image: &Image,
    last: usize,
    incoming: &Incoming<'_>,
    budget: &Budget,
    progress: &Progress,
) -> Result<UnitRecord> {
    let mut all = UnitRecord {
        needs_bottom: true,
        ..UnitRecord::default()
    };
    for index in 0..=last {
        let root = incoming.root();
        let applied = unpack::apply(image, index, root, Whiteouts::Remove, budget, progress)?;
        note(image, index, &applied);
        all.bytes += applied.bytes + applied.holes;
        all.entries += applied.entries;
        all.describes_root |= applied.describes_root;
    }
    Ok(all)
}

fn note(image: &Image, index: usize, applied: &Applied) {
    let name = unpack::name(&image.layers[index], index);
    for warning in unpack::warnings(applied, &name) {
        log::debug!("{warning}");
    }
}
