//! Indexes, manifests and their descriptors (image-spec image-index.md, manifest.md, descriptor.md) and Docker's schema 2
//! documents of the same shape. Which manifest of an index is taken is not here. Annotations are words without effect.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::config::{MOST_LAYERS, exact_case, field_error};
use super::digest::Digest;
use super::platform::Platform;
use crate::error::{Error, Result, quote};

/// The most manifests that an index may list.
pub(super) const MOST_MANIFESTS: usize = 4096;

/// How a blob is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all.
    None,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

impl Compression {
    /// By the first bytes of the content; four are enough.
    pub fn of_content(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            // A frame, or a skippable one (RFC 8878 section 3.1.2).
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            _ => Self::None,
        }
    }

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "not compressed",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// What a media type says a blob is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Media {
    /// A list of manifests.
    Index,
    /// One image.
    Manifest,
    /// An image configuration.
    Config,
    /// A layer.
    Layer(Compression),
    /// Anything else.
    Other,
}

impl Media {
    /// Of a media type, exactly as the specification spells it.
    pub fn of(text: &str) -> Self {
        use Compression::{Gzip, None, Zstd};
        match text {
            "application/vnd.oci.image.index.v1+json"
            | "application/vnd.docker.distribution.manifest.list.v2+json" => Self::Index,
            "application/vnd.oci.image.manifest.v1+json"
            | "application/vnd.docker.distribution.manifest.v2+json" => Self::Manifest,
            "application/vnd.oci.image.config.v1+json"
            | "application/vnd.docker.container.image.v1+json" => Self::Config,
            "application/vnd.oci.image.layer.v1.tar"
            | "application/vnd.oci.image.layer.nondistributable.v1.tar"
            | "application/vnd.docker.image.rootfs.diff.tar" => Self::Layer(None),
            "application/vnd.oci.image.layer.v1.tar+gzip"
            | "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
            | "application/vnd.docker.image.rootfs.diff.tar.gzip"
            | "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip" => Self::Layer(Gzip),
            "application/vnd.oci.image.layer.v1.tar+zstd"
            | "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd"
            | "application/vnd.docker.image.rootfs.diff.tar.zstd" => Self::Layer(Zstd),
            _ => Self::Other,
        }
    }
}

/// Names a blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What the blob is.
    pub media_type: String,
    /// Of exactly its bytes.
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
    /// What kind of attachment it is, if it is one.
    pub artifact_type: Option<String>,
    annotations: Option<BTreeMap<String, String>>,
    platform: Option<WrittenPlatform>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct WrittenPlatform {
    os: Option<String>,
    architecture: Option<String>,
    variant: Option<String>,
}

impl Descriptor {
    /// An annotation.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(key).map(String::as_str)
    }

    /// What an index says the manifest is for; `None` where it does not say.
    pub fn platform(&self) -> Option<Platform> {
        let written = self.platform.as_ref()?;
        let word = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let (os, architecture) = (word(&written.os)?, word(&written.architecture)?);
        let variant = word(&written.variant);
        Some(Platform::new(&os, &architecture, variant.as_deref()))
    }

    /// What its media type says.
    pub fn media(&self) -> Media {
        Media::of(&self.media_type)
    }
}

/// A list of manifests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// In the order of the document.
    pub manifests: Vec<Descriptor>,
}

/// One image or attachment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The image configuration; of an attachment anything.
    pub config: Descriptor,
    /// Lowest first; of an attachment anything.
    pub layers: Vec<Descriptor>,
    /// What an attachment (a signature, an attestation) is attached to.
    pub subject: Option<Descriptor>,
    /// What kind of attachment it is.
    pub artifact_type: Option<String>,
    /// Words without effect.
    pub annotations: BTreeMap<String, String>,
}

/// An index or a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// A list of manifests.
    Index(Index),
    /// One image.
    Manifest(Box<Manifest>),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    schema_version: Option<u64>,
    media_type: Option<String>,
    artifact_type: Option<String>,
    manifests: Option<Vec<Descriptor>>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    subject: Option<Descriptor>,
    annotations: Option<BTreeMap<String, String>>,
}

const KEYS: [&str; 8] = [
    "schemaVersion",
    "mediaType",
    "artifactType",
    "manifests",
    "config",
    "layers",
    "subject",
    "annotations",
];
const DESCRIPTOR: [&str; 6] = [
    "mediaType",
    "digest",
    "size",
    "artifactType",
    "annotations",
    "platform",
];
const PLATFORM: [&str; 3] = ["os", "architecture", "variant"];

impl Document {
    /// Reads a document that its descriptor calls `media_type`, or of an unknown one; `file` is its name for messages.
    ///
    /// # Errors
    /// `"FILE": FIELD: cause`: not strict JSON; a schema version other than 2; both `manifests` and `layers` or
    /// `config` (CVE-2021-41190), or neither; a `mediaType` that is not the descriptor's or not one of the document's
    /// kind; more than 4096 manifests.
    pub fn parse(text: &[u8], file: &str, media_type: Option<&str>) -> Result<Self> {
        let (tree, written) = crate::spec::typed::<Written>(text, file)?;
        exact_case(&tree, &KEYS, file)?;
        let single = ["config", "subject"].map(|key| &tree[key]);
        let lists = ["manifests", "layers"].map(|key| tree[key].as_array());
        for descriptor in single
            .into_iter()
            .chain(lists.into_iter().flatten().flatten())
        {
            exact_case(descriptor, &DESCRIPTOR, file)?;
            exact_case(&descriptor["platform"], &PLATFORM, file)?;
        }
        let refuse = |field: &str, cause: String| Err(field_error(file, field, cause));
        if written.schema_version != Some(2) {
            return refuse("schemaVersion", "is not 2".to_owned());
        }
        let own = written.media_type.clone();
        if let (Some(own), Some(given)) = (&own, media_type)
            && own != given
        {
            let cause = format!("{} and not {} as announced", quote(own), quote(given));
            return refuse("mediaType", cause);
        }
        let document = written.document(file)?;
        let wanted = match document {
            Self::Index(_) => Media::Index,
            Self::Manifest(_) => Media::Manifest,
        };
        if let Some(said) = own.as_deref().or(media_type)
            && Media::of(said) != wanted
        {
            let kind = if wanted == Media::Index {
                "an index"
            } else {
                "a manifest"
            };
            return refuse("mediaType", format!("{} for {kind}", quote(said)));
        }
        Ok(document)
    }
}

impl Written {
    fn document(self, file: &str) -> Result<Document> {
        let wrong = |cause: &str| Err(Error::new(quote(file), cause));
        match (self.manifests, self.config, self.layers) {
            (Some(_), _, Some(_)) => wrong("has both manifests and layers"),
            (Some(_), Some(_), None) => wrong("has both manifests and config"),
            (Some(manifests), None, None) if manifests.len() > MOST_MANIFESTS => wrong(&format!(
                "lists {} manifests, {MOST_MANIFESTS} allowed",
                manifests.len()
            )),
            (Some(manifests), None, None) => Ok(Document::Index(Index { manifests })),
            (None, Some(config), Some(layers)) => Ok(Document::Manifest(Box::new(Manifest {
                config,
                layers,
                subject: self.subject,
                artifact_type: self.artifact_type,
                annotations: self.annotations.unwrap_or_default(),
            }))),
            (None, None, Some(_)) => wrong("has layers and no config"),
            (None, _, None) => wrong("has neither manifests nor layers"),
        }
    }
}

impl Manifest {
    /// Whether it is an image rather than an attachment or another artifact.
    pub fn is_image(&self) -> bool {
        self.config.media() == Media::Config && self.subject.is_none()
    }

    /// The compression of each layer by its media type.
    ///
    /// # Errors
    /// The config is not an image's, a layer has another media type, or there are more than 500.
    pub fn compressions(&self, file: &str) -> Result<Vec<Compression>> {
        let refuse = |field: &str, cause: String| Err(field_error(file, field, cause));
        if self.config.media() != Media::Config {
            let cause = format!(
                "{} is no image configuration",
                quote(&self.config.media_type)
            );
            return refuse("config.mediaType", cause);
        }
        if self.layers.len() > MOST_LAYERS {
            let cause = format!("{} layers, {MOST_LAYERS} allowed", self.layers.len());
            return refuse("layers", cause);
        }
        let one = |(i, layer): (usize, &Descriptor)| match layer.media() {
            Media::Layer(compression) => Ok(compression),
            _ => {
                let is_encrypted = layer.media_type.ends_with("+encrypted");
                let what = if is_encrypted {
                    "an encrypted layer"
                } else {
                    "no layer"
                };
                let cause = format!("{} is {what}", quote(&layer.media_type));
                Err(field_error(file, &format!("layers[{i}].mediaType"), cause))
            }
        };
        self.layers.iter().enumerate().map(one).collect()
    }
}
