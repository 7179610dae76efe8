//! Images as people have them: image layouts, their archives, `docker save` archives, root filesystems. Read only, without
//! a daemon or a registry, and nothing in them is believed: every blob is checked against the digest that names it.
//! What becomes of the configuration is not here.
//!
//! ```text
//! mod        Image::open: form, manifest, configuration, layers
//! form       which of the five forms a path holds
//! choose     from an index to one manifest: platform, name
//! manifest   index, manifest, descriptor, media types
//! docker     manifest.json of docker save
//! config     the image configuration
//! layer      a layer's archive onto a root filesystem
//! unpack     the layers of an image, together or apart
//! progress   how far that has come
//! store      layers unpacked once, for overlay mounts
//! users      names of users and groups by the root filesystem
//! convert    the image configuration as a config.json
//! layout     named files and blobs, of a directory or an archive
//! archive    the index of a tar archive, reading by offset
//! platform   linux/arm64/v8
//! digest     sha256:…, streams checked against one
//! check      every blob of an image, without unpacking
//! signature  who has signed an image
//! policy     which images are let in
//! ```

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result, quote, quote_path};

mod archive;
mod check;
mod choose;
mod config;
mod convert;
mod digest;
mod docker;
mod form;
pub mod inside;
pub mod layer;
mod layout;
mod manifest;
mod platform;
mod policy;
mod progress;
pub mod signature;
pub mod store;
#[cfg(test)]
mod tests;
mod unpack;
mod users;

pub use check::{Checked, check};
pub use convert::{Overrides, convert};
pub use unpack::{Unpacked, Watch, discard, unpack, unpack_apart, unpack_watched};
pub use users::{Ids, Users, open_inside, read_inside};

pub use config::{Execution, ImageConfig, MOST_LAYERS};
pub use digest::{Algorithm, Digest, Hasher, Verified};
pub use form::Form;
pub use layout::{Blobs, LONGEST_DOCUMENT, Stored};
pub use manifest::{Compression, Descriptor, Document, Index, Manifest, Media};
pub use platform::Platform;
pub use policy::{Policy, Rule};
pub use progress::Progress;

/// An image: what it says, and where its layers are.
#[derive(Debug)]
pub struct Image {
    /// Where it is, as given; a root filesystem's directory.
    pub path: PathBuf,
    /// What the path holds.
    pub form: Form,
    /// Of the manifest; `None` where there is none: root filesystems and old docker archives.
    pub digest: Option<Digest>,
    /// Of the indexes that led to the manifest, outermost first: who pins or signs one of them means this image too.
    pub through: Vec<Digest>,
    /// Of the configuration, which Docker calls the image's id; `None` of a root filesystem.
    pub config_digest: Option<Digest>,
    /// Of the configuration, in bytes; none of a root filesystem.
    pub config_size: u64,
    /// What the image says of the process; empty of a root filesystem.
    pub config: ImageConfig,
    /// Lowest first; none of a directory, one of a root filesystem's archive.
    pub layers: Vec<Layer>,
    /// What the archive or layout calls the image: a claim that nothing has checked, to be quoted before it is shown.
    pub names: Vec<String>,
    /// The manifest; `None` where `digest` is.
    pub manifest: Option<Manifest>,
    blobs: Option<Blobs>,
}

/// One layer as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Of the stored bytes; `None` where nothing says it: compressed layers of old docker archives, root filesystems.
    pub digest: Option<Digest>,
    /// Of the uncompressed archive, by the configuration; `None` of a root filesystem's archive.
    pub diff_id: Option<Digest>,
    /// Of the stored bytes, in bytes.
    pub size: Option<u64>,
    /// By media type and content, which agree.
    pub compression: Compression,
    /// By the manifest; `None` where there is none.
    pub media_type: Option<String>,
    entry: String,
}

impl Image {
    /// Opens the image at `path`, of an index the manifest for `platform`. The manifest and the configuration have been
    /// checked when this returns, the layers' content not yet: their sizes and compression have.
    ///
    /// # Errors
    /// `path` holds none of the forms; something is wrong in the image, and the error names file, field and limit; there
    /// is nothing for `platform`, or there is more than one image.
    pub fn open(path: &Path, platform: &Platform) -> Result<Self> {
        Self::open_named(path, platform, None)
    }

    /// As [`Image::open`], of several images the one called `name`: an `org.opencontainers.image.ref.name`, or a tag of
    /// docker save.
    ///
    /// # Errors
    /// As [`Image::open`]; no image has the name, or a root filesystem was asked for one.
    pub fn open_named(path: &Path, platform: &Platform, name: Option<&str>) -> Result<Self> {
        let (form, blobs) = form::open(path)?;
        match (form, blobs) {
            (Form::DockerArchive, Some(blobs)) if !blobs.has("oci-layout") => {
                Self::saved(path, blobs, platform, name)
            }
            (Form::Layout | Form::OciArchive | Form::DockerArchive, Some(blobs)) => {
                Self::indexed(path, form, blobs, platform, name)
            }
            (_, blobs) => Self::bare(path, form, blobs, name),
        }
    }

    /// The files of a layout or an archive, for signatures and attestations; `None` of a root filesystem's directory.
    pub fn blobs(&self) -> Option<&Blobs> {
        self.blobs.as_ref()
    }

    /// The stored bytes of a layer. Where its digest is known, reading to the end succeeds only if digest and size are
    /// right and nothing follows; a reader that stops before has checked nothing. Not buffered: each read is a system
    /// call. Several layers may be read at once.
    ///
    /// # Errors
    /// There is no such layer, or its file is gone.
    pub fn read_layer(&self, index: usize) -> Result<Box<dyn Read + Send>> {
        let layer = self.layers.get(index);
        let (Some(layer), Some(blobs)) = (layer, &self.blobs) else {
            let image = format!("image {}", quote_path(&self.path));
            return Err(Error::new(image, format!("has no layer {index}")));
        };
        let stored = blobs.stored(&layer.entry)?;
        let (Some(digest), Some(size)) = (&layer.digest, layer.size) else {
            return Ok(Box::new(stored));
        };
        let what = quote(blobs.name_of(&format!("layer {index}, {}", layer.entry)));
        Ok(Box::new(Verified::new(stored, what, digest.clone(), size)))
    }

    fn indexed(
        path: &Path,
        form: Form,
        blobs: Blobs,
        platform: &Platform,
        name: Option<&str>,
    ) -> Result<Self> {
        let chosen = choose::choose(&blobs, platform, name)?;
        let manifest = chosen.manifest;
        let file = blobs.name_of(&format!("blob {}", chosen.descriptor.digest));
        let compressions = manifest.compressions(&file)?;
        let config = read_config(&blobs, &manifest)?;
        check_platform(&blobs, &config, platform)?;
        let mut layers = Vec::new();
        for (i, compression) in compressions.into_iter().enumerate() {
            let diff_id = config.diff_ids[i].clone();
            layers.push(layer(&blobs, &manifest.layers[i], diff_id, compression)?);
        }
        let mut names = chosen.names;
        if form == Form::DockerArchive {
            names.extend(docker::agreed(&blobs, &manifest)?);
        }
        Ok(Self {
            path: path.to_owned(),
            form,
            digest: Some(chosen.descriptor.digest),
            through: chosen.through,
            config_digest: Some(manifest.config.digest.clone()),
            config_size: manifest.config.size,
            config,
            layers,
            names,
            manifest: Some(manifest),
            blobs: Some(blobs),
        })
    }

    fn saved(path: &Path, blobs: Blobs, platform: &Platform, name: Option<&str>) -> Result<Self> {
        let loaded = docker::load(&blobs, name)?;
        check_platform(&blobs, &loaded.config, platform)?;
        Ok(Self {
            path: path.to_owned(),
            form: Form::DockerArchive,
            digest: None,
            through: Vec::new(),
            config_digest: Some(loaded.config_digest),
            config_size: loaded.config_size,
            config: loaded.config,
            layers: loaded.layers,
            names: loaded.names,
            manifest: None,
            blobs: Some(blobs),
        })
    }

    fn bare(path: &Path, form: Form, blobs: Option<Blobs>, name: Option<&str>) -> Result<Self> {
        if let Some(name) = name {
            let image = format!("image {}", quote_path(path));
            let cause = format!("a {} has no {}", form.name(), quote(name));
            return Err(Error::new(image, cause));
        }
        let mut layers = Vec::new();
        if let Some(blobs) = &blobs {
            layers.push(Layer {
                digest: None,
                diff_id: None,
                size: Some(blobs.stored("")?.left()),
                compression: compression_of(blobs, "")?,
                media_type: None,
                entry: String::new(),
            });
        }
        Ok(Self {
            path: path.to_owned(),
            form,
            digest: None,
            through: Vec::new(),
            config_digest: None,
            config_size: 0,
            config: ImageConfig::default(),
            layers,
            names: Vec::new(),
            manifest: None,
            blobs,
        })
    }
}

fn read_config(blobs: &Blobs, manifest: &Manifest) -> Result<ImageConfig> {
    let text = blobs.small_blob(&manifest.config)?;
    let file = blobs.name_of(&format!("blob {}", manifest.config.digest));
    ImageConfig::parse(&text, &file, manifest.layers.len())
}

/// The variant is the index's word: many configurations leave it out.
fn check_platform(blobs: &Blobs, config: &ImageConfig, platform: &Platform) -> Result<()> {
    let Some(own) = config.platform() else {
        return Ok(());
    };
    if own.os == platform.os && own.architecture == platform.architecture {
        return Ok(());
    }
    let image = format!("image {}", quote(blobs.path()));
    let cause = format!("is made for {own}, not for {platform}");
    Err(Error::new(image, cause).hint(format!("choose it with --platform {own}")))
}

fn layer(
    blobs: &Blobs,
    descriptor: &Descriptor,
    diff_id: Digest,
    compression: Compression,
) -> Result<Layer> {
    // Compares the sizes.
    blobs.blob(descriptor)?;
    let entry = descriptor.digest.blob_path();
    let found = compression_of(blobs, &entry)?;
    if found != compression {
        let file = quote(blobs.name_of(&format!("blob {}", descriptor.digest)));
        let said = quote(&descriptor.media_type);
        let cause = format!("its content is {}, its media type {said}", found.name());
        return Err(Error::new(file, cause));
    }
    Ok(Layer {
        digest: Some(descriptor.digest.clone()),
        diff_id: Some(diff_id),
        size: Some(descriptor.size),
        compression,
        media_type: Some(descriptor.media_type.clone()),
        entry,
    })
}

fn compression_of(blobs: &Blobs, entry: &str) -> Result<Compression> {
    let mut start = Vec::new();
    let read = blobs.stored(entry)?.take(4).read_to_end(&mut start);
    read.map_err(|e| archive::read_error(&blobs.name_of(entry), &e))?;
    Ok(Compression::of_content(&start))
}
