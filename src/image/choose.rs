//! From a layout's index to the one manifest that is meant: by platform, by name, past attachments.
//! image-spec image-index.md; the annotations are those of image-spec annotations.md, containerd and cosign.

use std::collections::BTreeSet;

use super::digest::Digest;
use super::layout::Blobs;
use super::manifest::{Descriptor, Document, MOST_MANIFESTS, Manifest, Media};
use super::platform::Platform;
use crate::error::{Error, Result, quote};

/// How many indexes may be nested.
const DEEPEST: usize = 4;

/// A manifest, and what the layout's index calls it.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) descriptor: Descriptor,
    pub(super) manifest: Manifest,
    pub(super) through: Vec<Digest>,
    pub(super) names: Vec<String>,
}

/// A manifest somewhere below the layout's index.
#[derive(Debug, Clone)]
struct Leaf {
    descriptor: Descriptor,
    platform: Option<Platform>,
    /// The place in the layout's index of the entry that leads to it.
    root: usize,
    /// The indexes on the way, outermost first.
    through: Vec<Digest>,
}

/// The manifest for `platform`, below the entry called `name` if one is given.
pub(super) fn choose(blobs: &Blobs, platform: &Platform, name: Option<&str>) -> Result<Chosen> {
    let roots = roots(blobs, name)?;
    let mut leaves = Vec::new();
    let mut seen = BTreeSet::new();
    for (root, (descriptor, _)) in roots.iter().enumerate() {
        flatten(blobs, descriptor, root, &[], &mut seen, &mut leaves)?;
    }
    if leaves.len() > 1 {
        leaves = images(blobs, leaves)?;
    }
    let leaf = best(blobs, &leaves, platform, &roots)?;
    let manifest = blobs.manifest(&leaf.descriptor)?;
    Ok(Chosen {
        descriptor: leaf.descriptor.clone(),
        manifest,
        through: leaf.through.clone(),
        names: roots[leaf.root].1.clone(),
    })
}

/// The index's entries that may be images, each digest once with all its names.
fn roots(blobs: &Blobs, name: Option<&str>) -> Result<Vec<(Descriptor, Vec<String>)>> {
    let mut roots: Vec<(Descriptor, Vec<String>)> = Vec::new();
    for descriptor in blobs.index()?.manifests {
        if is_attachment(&descriptor) {
            continue;
        }
        let names = names_of(&descriptor);
        match roots
            .iter_mut()
            .find(|(root, _)| root.digest == descriptor.digest)
        {
            Some((_, known)) => known.extend(names),
            None => roots.push((descriptor, names)),
        }
    }
    let image = || format!("image {}", quote(blobs.path()));
    if roots.is_empty() {
        return Err(Error::new(image(), "its index.json lists no image"));
    }
    let Some(name) = name else {
        return Ok(roots);
    };
    let all = list(roots.iter().flat_map(|(_, names)| names));
    roots.retain(|(_, names)| names.iter().any(|own| is_called(own, name)));
    if roots.is_empty() {
        let cause = format!("has no {}", quote(name));
        return Err(Error::new(image(), cause).hint(format!("it has {all}")));
    }
    Ok(roots)
}

/// `busybox:1` is `docker.io/library/busybox:1` too.
pub(super) fn is_called(own: &str, name: &str) -> bool {
    let rest = own.strip_suffix(name);
    rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
}

pub(super) fn list<'a>(names: impl Iterator<Item = &'a String>) -> String {
    const MOST: usize = 16;
    let mut quoted: Vec<String> = names.map(quote).collect();
    quoted.sort();
    quoted.dedup();
    let more = quoted.len().saturating_sub(MOST);
    quoted.truncate(MOST);
    let mut text = quoted.join(", ");
    if quoted.is_empty() {
        "no names".clone_into(&mut text);
    }
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

fn names_of(descriptor: &Descriptor) -> Vec<String> {
    [
        "io.containerd.image.name",
        "org.opencontainers.image.ref.name",
    ]
    .iter()
    .filter_map(|key| descriptor.annotation(key))
    .map(str::to_owned)
    .collect()
}

/// Signatures, attestations and the like, as their makers mark them in an index.
fn is_attachment(descriptor: &Descriptor) -> bool {
    let reference = descriptor.annotation("vnd.docker.reference.type");
    let kind = descriptor.annotation("kind").unwrap_or_default();
    let name = descriptor.annotation("org.opencontainers.image.ref.name");
    let platform = descriptor.platform();
    descriptor.artifact_type.is_some()
        || reference.is_some_and(|kind| kind.starts_with("attestation"))
        || kind == "dev.cosignproject.cosign/sigs"
        || kind == "dev.cosignproject.cosign/atts"
        || name.is_some_and(is_attachment_tag)
        || platform.is_some_and(|platform| platform.os == "unknown")
}

/// `sha256-<hex>`, with or without `.sig`, `.att` or `.sbom`: tags made from the digest of what they belong to.
fn is_attachment_tag(name: &str) -> bool {
    let Some(rest) = name
        .strip_prefix("sha256-")
        .or(name.strip_prefix("sha512-"))
    else {
        return false;
    };
    let hex = rest.split('.').next().unwrap_or_default();
    matches!(hex.len(), 64 | 128) && hex.bytes().all(|c| c.is_ascii_hexdigit())
}

/// All manifests below `descriptor`; no document is read twice.
fn flatten(
    blobs: &Blobs,
    descriptor: &Descriptor,
    root: usize,
    through: &[Digest],
    seen: &mut BTreeSet<String>,
    leaves: &mut Vec<Leaf>,
) -> Result<()> {
    let file = || quote(blobs.name_of(&format!("blob {}", descriptor.digest)));
    match descriptor.media() {
        Media::Manifest => {
            let platform = descriptor.platform();
            // One that does not say its platform is read for it: once.
            if platform.is_none() && !seen.insert(descriptor.digest.to_string()) {
                return Ok(());
            }
            leaves.push(Leaf {
                descriptor: descriptor.clone(),
                platform,
                root,
                through: through.to_vec(),
            });
            if leaves.len() > MOST_MANIFESTS {
                let cause = format!("more than {MOST_MANIFESTS} manifests in the indexes");
                return Err(Error::new(file(), cause));
            }
        }
        Media::Index if through.len() == DEEPEST => {
            let cause = format!("is an index inside {DEEPEST} others, the most allowed");
            return Err(Error::new(file(), cause));
        }
        Media::Index if seen.insert(descriptor.digest.to_string()) => {
            let Document::Index(index) = blobs.parsed(descriptor)? else {
                return Err(Error::new(file(), "is a manifest, not an index"));
            };
            let through = [through, std::slice::from_ref(&descriptor.digest)].concat();
            for inner in index.manifests.iter().filter(|inner| !is_attachment(inner)) {
                flatten(blobs, inner, root, &through, seen, leaves)?;
            }
        }
        Media::Index => {}
        // A specification says: ignore what you do not know. Alone, it is what was meant.
        _ => log::debug!(
            "{}: media type {} is passed over",
            file(),
            quote(&descriptor.media_type)
        ),
    }
    Ok(())
}

/// Where an index does not say what an entry is, the entry does: attachments are left out, platforms filled in.
fn images(blobs: &Blobs, leaves: Vec<Leaf>) -> Result<Vec<Leaf>> {
    let mut images = Vec::new();
    for mut leaf in leaves {
        if leaf.platform.is_none() {
            let manifest = blobs.manifest(&leaf.descriptor)?;
            if !manifest.is_image() {
                continue;
            }
            let config = super::read_config(blobs, &manifest)?;
            leaf.platform = config.platform();
        }
        images.push(leaf);
    }
    Ok(images)
}

fn best<'a>(
    blobs: &Blobs,
    leaves: &'a [Leaf],
    platform: &Platform,
    roots: &[(Descriptor, Vec<String>)],
) -> Result<&'a Leaf> {
    let image = || format!("image {}", quote(blobs.path()));
    let distance = |leaf: &Leaf| match &leaf.platform {
        Some(offered) => platform.distance(offered),
        // A single one that does not say: its config is compared later.
        None => Some(0),
    };
    let Some(least) = leaves.iter().filter_map(distance).min() else {
        if leaves.is_empty() {
            return Err(Error::new(image(), "its indexes list no image manifest"));
        }
        return Err(no_platform(&image(), leaves, platform));
    };
    let mut serving = leaves.iter().filter(|leaf| distance(leaf) == Some(least));
    let first = serving.next().expect("the least distance is one's");
    let is_other =
        |leaf: &&Leaf| leaf.root != first.root && leaf.descriptor.digest != first.descriptor.digest;
    if serving.any(|leaf| is_other(&leaf)) {
        let names = list(roots.iter().flat_map(|(_, names)| names));
        let error = Error::new(image(), "holds more than one image");
        return Err(error.hint(format!("name one of {names}")));
    }
    Ok(first)
}

fn no_platform(image: &str, leaves: &[Leaf], platform: &Platform) -> Error {
    let mut offered: Vec<String> = leaves
        .iter()
        .filter_map(|leaf| leaf.platform.as_ref())
        .map(|platform| platform.to_string().chars().take(80).collect())
        .collect();
    offered.sort();
    offered.dedup();
    offered.truncate(32);
    let cause = format!(
        "has nothing for {platform}, only for {}",
        offered.join(", ")
    );
    Error::new(image, cause).hint("choose one with --platform")
}
