//! Where signatures are in an image layout: under the tag `sha256-….sig`, marked as cosign's, or in a manifest whose
//! `subject` is the image, listed in the layout's index or under the referrers tag `sha256-…` (distribution-spec,
//! "Referrers tag schema"). What is found is a claim of whoever made the layout.

use std::collections::BTreeSet;

use super::Subject;
use super::{bundle, cosign};
use crate::error::{Error, Result, quote};
use crate::image::{Blobs, Descriptor, Digest, Document, Index, Manifest, Media};

/// How many indexes and manifests are read.
const MOST_DOCUMENTS: usize = 1024;

/// How many signatures are tried.
const MOST_SIGNATURES: usize = 256;

/// Bytes of all signatures together: each is kept in memory until all are found.
const MOST_BYTES: u64 = 32 << 20;

const DEEPEST: usize = 4;

/// A blob that should be a signature.
pub(super) struct Found {
    /// Its name for messages.
    pub(super) name: String,
    pub(super) layer: Descriptor,
    /// The content, if it is what the descriptor says.
    pub(super) content: Result<Vec<u8>>,
}

/// Everything in the layout that claims to be a signature of one of the subjects.
///
/// # Errors
/// The layout's index cannot be read, or there is more than is looked at.
pub(super) fn find(blobs: &Blobs, subjects: &[Subject]) -> Result<Vec<Found>> {
    let mut search = Search {
        blobs,
        subjects,
        seen: BTreeSet::new(),
        found: Vec::new(),
        bytes: 0,
    };
    search.index(&blobs.index()?, 0)?;
    Ok(search.found)
}

struct Search<'a> {
    blobs: &'a Blobs,
    subjects: &'a [Subject],
    seen: BTreeSet<Digest>,
    found: Vec<Found>,
    bytes: u64,
}

impl Search<'_> {
    fn index(&mut self, index: &Index, depth: usize) -> Result<()> {
        for descriptor in &index.manifests {
            let is_image = descriptor
                .platform()
                .is_some_and(|platform| platform.os != "unknown");
            let is_read = matches!(descriptor.media(), Media::Index | Media::Manifest);
            if is_image || !is_read || !self.seen.insert(descriptor.digest.clone()) {
                continue;
            }
            if self.seen.len() > MOST_DOCUMENTS {
                let cause =
                    format!("more than {MOST_DOCUMENTS} documents in which to look for signatures");
                return Err(Error::new(quote(self.blobs.path()), cause));
            }
            match self.blobs.parsed(descriptor) {
                Ok(Document::Index(inner)) if depth < DEEPEST => self.index(&inner, depth + 1)?,
                Ok(Document::Index(_)) => {}
                Ok(Document::Manifest(manifest)) => self.manifest(descriptor, &manifest)?,
                Err(error) if self.is_marked(descriptor) => self.add(Found {
                    name: self.blobs.name_of(&format!("blob {}", descriptor.digest)),
                    layer: descriptor.clone(),
                    content: Err(error),
                })?,
                // Of an image for another platform, which need not be here.
                Err(error) => log::debug!("looking for signatures: {error}"),
            }
        }
        Ok(())
    }

    fn manifest(&mut self, descriptor: &Descriptor, manifest: &Manifest) -> Result<()> {
        let subject = manifest.subject.as_ref().map(|subject| &subject.digest);
        let is_attached = self.subjects.iter().any(|own| Some(&own.digest) == subject);
        if !is_attached && !self.is_marked(descriptor) {
            return Ok(());
        }
        for layer in &manifest.layers {
            if layer.media_type == cosign::MEDIA_TYPE || bundle::is_media_type(&layer.media_type) {
                self.bytes = self.bytes.saturating_add(layer.size);
                if self.bytes > MOST_BYTES {
                    let cause = format!("more than {MOST_BYTES} bytes of signatures");
                    return Err(Error::new(quote(self.blobs.path()), cause));
                }
                self.add(Found {
                    name: self.blobs.name_of(&format!("blob {}", layer.digest)),
                    layer: layer.clone(),
                    content: self.blobs.small_blob(layer),
                })?;
            }
        }
        Ok(())
    }

    /// By its tag, or by the mark that cosign leaves where there are no tags.
    fn is_marked(&self, descriptor: &Descriptor) -> bool {
        let name = descriptor.annotation("org.opencontainers.image.ref.name");
        // Some tools write the whole reference there.
        let tag = name.map(|name| name.rsplit(':').next().unwrap_or(name));
        let is_tag = |digest: &Digest| {
            let own = format!("{}-{}.sig", digest.algorithm().name(), digest.encoded());
            tag == Some(own.as_str())
        };
        descriptor.annotation("kind") == Some("dev.cosignproject.cosign/sigs")
            || self.subjects.iter().any(|subject| is_tag(&subject.digest))
    }

    fn add(&mut self, found: Found) -> Result<()> {
        if self.found.len() == MOST_SIGNATURES {
            let cause = format!("more than {MOST_SIGNATURES} signatures");
            return Err(Error::new(quote(self.blobs.path()), cause));
        }
        self.found.push(found);
        Ok(())
    }
}
