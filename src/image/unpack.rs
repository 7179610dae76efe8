//! All layers of an image onto one root filesystem, each checked against the digests that name it.

use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, openat};

use super::layer::{self, Budget, Limits, Options};
use super::{Digest, Image};
use crate::error::{Doing, Error, Result, quote_path};

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
pub fn unpack(image: &Image, root: &Path, limits: Limits) -> Result<Unpacked> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root =
        openat(CWD, root, flags, Mode::empty()).doing(|| format!("open {}", quote_path(root)))?;
    let mut budget = Budget::new(limits);
    let mut all = Unpacked::default();
    for (index, described) in image.layers.iter().enumerate() {
        let named = described.digest.as_ref().or(described.diff_id.as_ref());
        let name = named.map_or_else(|| format!("{index}"), ToString::to_string);
        let options = Options::for_caller(name.clone());
        let applied = layer::apply(
            image.read_layer(index)?,
            root.as_fd(),
            &options,
            &mut budget,
        )?;
        check(described.diff_id.as_ref(), &applied.diff_id, &name)?;
        all.layers += 1;
        all.entries += applied.entries;
        all.bytes += applied.bytes;
        all.warnings.extend(applied.warnings);
        for (count, what) in [
            (applied.skipped, "devices and FIFOs were left out"),
            (
                applied.stripped,
                "set-id bits and file capabilities were taken off",
            ),
            (applied.more_warnings, "more warnings"),
        ] {
            if count > 0 {
                all.warnings.push(format!("layer {name}: {count} {what}"));
            }
        }
    }
    Ok(all)
}

/// Removes a directory that was unpacked to, with all below it. Its layers may have made it deeper than there are
/// descriptors, and without permissions for its owner, where `remove_dir_all` of the standard library gives up.
///
/// # Errors
/// It is no directory, or a call fails.
pub fn discard(directory: &Path) -> Result<()> {
    let doing = || format!("remove {}", quote_path(directory));
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = openat(CWD, directory, flags, Mode::empty()).doing(doing)?;
    layer::clear(opened.as_fd())?;
    std::fs::remove_dir(directory).doing(doing)
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
