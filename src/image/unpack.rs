//! The layers of an image onto one root filesystem or each into a directory of its own, checked against the digests that
//! name them.
//! Not how one layer is unpacked: see `layer`.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rustix::fs::{CWD, Mode, OFlags, openat};

use super::layer::{self, Ahead, Applied, Budget, Limits, Options, Seen, Whiteouts};
use super::{Digest, Image, Layer, Progress};
use crate::error::{Doing, Error, Result, quote_path};

/// Layers that are unpacked at a time, however many processors there are: a hostile one can take the memory of a zstd
/// window, of what is remembered and of what is read ahead.
const MOST_AT_ONCE: usize = 8;

/// What was unpacked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unpacked {
    /// Layers.
    pub layers: usize,
    /// Entries of all of them, whiteouts included.
    pub entries: u64,
    /// Uncompressed bytes of all of them.
    pub bytes: u64,
    /// What could not be kept or was left out, one line each.
    pub warnings: Vec<String>,
}

/// Applies the layers of `image` to the empty directory `root`, lowest first.
///
/// # Errors
/// A layer that is not what its digests say, that is damaged, or that exceeds a limit. What was unpacked so far stays: the
/// caller unpacks to a place that it can throw away.
pub fn unpack(image: &Image, root: &Path, limits: Limits, progress: &Progress) -> Result<Unpacked> {
    unpack_watched(image, root, limits, progress, None)
}

/// Called with the number of the layer, from 0, and each of its entries once it is in its place.
pub type Watch<'w> = dyn FnMut(usize, &Seen<'_>) + 'w;

/// As [`unpack`], and tells `watch` of what was unpacked. A layer's digests have not been compared when its entries are
/// told.
///
/// # Errors
/// As [`unpack`].
pub fn unpack_watched(
    image: &Image,
    root: &Path,
    limits: Limits,
    progress: &Progress,
    watch: Option<&mut Watch<'_>>,
) -> Result<Unpacked> {
    let root = open(root)?;
    let budget = Budget::new(limits);
    for layer in &image.layers {
        progress.expect(layer.size.unwrap_or_default());
    }
    let blobs = (0..image.layers.len()).map(|index| {
        let blob = image.read_layer(index).map_err(io::Error::other)?;
        Ok(progress.count(blob))
    });
    thread::scope(|scope| {
        let mut ahead = Ahead::read(scope, blobs, &budget);
        let all = unpack_all(image, &root, &mut ahead, progress, watch);
        ahead.end();
        all
    })
}

fn unpack_all(
    image: &Image,
    root: &OwnedFd,
    ahead: &mut Ahead<'_>,
    progress: &Progress,
    mut watch: Option<&mut Watch<'_>>,
) -> Result<Unpacked> {
    let mut all = Unpacked::default();
    for (index, layer) in image.layers.iter().enumerate() {
        let name = name(layer, index);
        let options = Options::for_caller(name.clone());
        let applied = match &mut watch {
            None => ahead.apply_next(root.as_fd(), &options)?,
            Some(watch) => {
                let mut of_layer = |seen: &Seen<'_>| watch(index, seen);
                ahead.apply_next_watched(root.as_fd(), &options, Some(&mut of_layer))?
            }
        };
        check(layer.diff_id.as_ref(), &applied.diff_id, &name)?;
        progress.finish_layer();
        all.layers += 1;
        all.entries += applied.entries;
        all.bytes += applied.bytes;
        all.warnings.extend(warnings(&applied, &name));
    }
    Ok(all)
}

/// Applies layers of `image`, each to an empty directory of its own by its descriptor, as many at a time as there are processors, and eight at most. Those
/// whose whiteouts stay are then to be mounted above each other. The limits are for all of them together.
///
/// # Errors
/// As [`unpack`], and a layer that `image` does not have. The first failure ends the others; all threads have ended when
/// it is returned.
pub fn unpack_apart(
    image: &Image,
    layers: &[(usize, BorrowedFd<'_>)],
    whiteouts: Whiteouts,
    budget: &Budget,
    progress: &Progress,
) -> Result<Vec<Applied>> {
    for (index, _) in layers {
        let layer = image.layers.get(*index);
        progress.expect(layer.and_then(|layer| layer.size).unwrap_or_default());
    }
    let next = AtomicUsize::new(0);
    let done: Vec<OnceLock<Applied>> = layers.iter().map(|_| OnceLock::new()).collect();
    let failure = OnceLock::new();
    let work = || {
        while let Some(at) = take(&next, layers.len()) {
            let (index, root) = layers[at];
            match apply(image, index, root, whiteouts, budget, progress) {
                // Nobody else has taken this layer.
                Ok(applied) => drop(done[at].set(applied)),
                Err(error) => {
                    // The first one counts: those that follow fail because of it.
                    drop(failure.set(error));
                    return budget.close();
                }
            }
        }
    };
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let processors = processors.min(MOST_AT_ONCE);
    thread::scope(|scope| {
        let others = 1..processors.min(layers.len());
        let others: Vec<_> = others.map(|_| scope.spawn(work)).collect();
        work();
        // A scope alone waits for what threads do, not until the kernel has forgotten them.
        others.into_iter().for_each(|thread| drop(thread.join()));
    });
    match failure.into_inner() {
        Some(error) => Err(error),
        None => Ok(done.into_iter().filter_map(OnceLock::into_inner).collect()),
    }
}

/// The next number below `end`.
fn take(next: &AtomicUsize, end: usize) -> Option<usize> {
    Some(next.fetch_add(1, Ordering::Relaxed)).filter(|at| *at < end)
}

fn open(root: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(CWD, root, flags, Mode::empty()).doing(|| format!("open {}", quote_path(root)))
}

/// Applies one layer.
///
/// # Errors
/// As [`unpack`].
pub(super) fn apply(
    image: &Image,
    index: usize,
    root: BorrowedFd<'_>,
    whiteouts: Whiteouts,
    budget: &Budget,
    progress: &Progress,
) -> Result<Applied> {
    let blob = progress.count(image.read_layer(index)?);
    let described = &image.layers[index];
    let name = name(described, index);
    let options = Options {
        whiteouts,
        ..Options::for_caller(name.clone())
    };
    let applied = layer::apply(blob, root, &options, budget)?;
    check(described.diff_id.as_ref(), &applied.diff_id, &name)?;
    progress.finish_layer();
    Ok(applied)
}

/// Removes all in a directory that was unpacked to. Its layers may have made it deeper than there are descriptors, and
/// without permissions for its owner, where `remove_dir_all` of the standard library gives up.
///
/// # Errors
/// A call fails.
pub fn discard(directory: BorrowedFd<'_>) -> Result<()> {
    layer::clear(directory)
}

/// What errors and warnings call a layer.
pub(super) fn name(layer: &Layer, index: usize) -> String {
    let digest = layer.digest.as_ref().or(layer.diff_id.as_ref());
    digest.map_or_else(|| index.to_string(), ToString::to_string)
}

/// What was not kept of a layer of this name, one line each.
pub(super) fn warnings(applied: &Applied, name: &str) -> Vec<String> {
    let mut warnings = applied.warnings.clone();
    for (count, what) in [
        (applied.skipped, "devices and FIFOs were left out"),
        (
            applied.stripped,
            "set-id bits and file capabilities were taken off",
        ),
        (applied.more_warnings, "more warnings"),
    ] {
        if count > 0 {
            warnings.push(format!("layer {name}: {count} {what}"));
        }
    }
    warnings
}

/// The configuration names what a layer unpacks to; what stores it names what it is stored as.
fn check(expected: Option<&Digest>, found: &[u8; 32], layer: &str) -> Result<()> {
    let found = format!(
        "sha256:{}",
        found
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    );
    match expected {
        Some(expected) if expected.to_string() != found => Err(Error::new(
            format!("layer {layer}"),
            format!("unpacks to {found}, the image's configuration says {expected}"),
        )),
        _ => Ok(()),
    }
}
