//! Every blob of an image against the digests, sizes and diffIDs that name it, without unpacking anything.
//! Names inside the layers' archives are not looked at: unpacking does that.

use std::io::Read;

use super::layer::{Limits, decompress_within};
use super::{Algorithm, Digest, Hasher, Image, Layer};
use crate::error::{Error, Result, quote_path};

/// One thing that was checked and is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// `index`, `manifest`, `config` or `layer 0`.
    pub what: String,
    /// What was compared; `None` where nothing says it.
    pub digest: Option<Digest>,
    /// Of what is stored, in bytes.
    pub size: u64,
    /// Of the uncompressed layer.
    pub diff_id: Option<Digest>,
    /// Of a layer, in bytes.
    pub uncompressed: Option<u64>,
    /// By the manifest.
    pub media_type: Option<String>,
}

/// Checks all of an image, and tells each part that is right before the next one is read.
///
/// # Errors
/// The first part that is wrong, or that cannot be checked; what `tell` returns.
pub fn check(
    image: &Image,
    limits: &Limits,
    mut tell: impl FnMut(Checked) -> Result<()>,
) -> Result<()> {
    if image.config_digest.is_none() {
        let cause = format!(
            "a {} has no digests, so that nothing can be checked",
            image.form.name()
        );
        return Err(Error::new(
            format!("image {}", quote_path(&image.path)),
            cause,
        ));
    }
    for digest in &image.through {
        tell(document(image, "index", digest)?)?;
    }
    if let Some(digest) = &image.digest {
        tell(document(image, "manifest", digest)?)?;
    }
    tell(config(image)?)?;
    let mut left = limits.bytes;
    for (index, described) in image.layers.iter().enumerate() {
        let checked = layer(image, index, described, limits, left)?;
        left -= checked.uncompressed.unwrap_or_default();
        tell(checked)?;
    }
    Ok(())
}

fn document(image: &Image, what: &str, digest: &Digest) -> Result<Checked> {
    let blobs = image.blobs().ok_or_else(|| gone(image))?;
    let bytes = blobs.named_by(digest)?;
    Ok(Checked {
        what: what.to_owned(),
        digest: Some(digest.clone()),
        size: bytes.len() as u64,
        diff_id: None,
        uncompressed: None,
        media_type: None,
    })
}

/// Of an old docker archive, the configuration was checked against its own name when the image was opened.
fn config(image: &Image) -> Result<Checked> {
    let blobs = image.blobs().ok_or_else(|| gone(image))?;
    let descriptor = image.manifest.as_ref().map(|manifest| &manifest.config);
    if let Some(descriptor) = descriptor {
        blobs.small_blob(descriptor)?;
    }
    Ok(Checked {
        what: "config".to_owned(),
        digest: image.config_digest.clone(),
        size: image.config_size,
        diff_id: None,
        uncompressed: None,
        media_type: descriptor.map(|descriptor| descriptor.media_type.clone()),
    })
}

fn layer(
    image: &Image,
    index: usize,
    described: &Layer,
    limits: &Limits,
    left: u64,
) -> Result<Checked> {
    let name = described.digest.as_ref().or(described.diff_id.as_ref());
    let name = name.map_or_else(|| index.to_string(), ToString::to_string);
    let doing = || format!("layer {name} of image {}", quote_path(&image.path));
    let failed = |cause: std::io::Error| match cause.downcast::<Error>() {
        Ok(error) => error,
        Err(cause) => Error::new(doing(), cause),
    };
    let expected = described
        .diff_id
        .as_ref()
        .ok_or_else(|| Error::new(doing(), "nothing says what it unpacks to"))?;
    // An image could otherwise name a digest here that unpacking does not compute.
    if expected.algorithm() != Algorithm::Sha256 {
        return Err(Error::new(
            doing(),
            format!("its diffID {expected} is not of sha256"),
        ));
    }
    let stored = described.size.unwrap_or_default();
    let most = left.min(stored.saturating_mul(limits.ratio).max(limits.ratio_from));
    let mut stream = decompress_within(image.read_layer(index)?, limits.window)?;
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let mut buffer = vec![0; 128 << 10];
    let mut length = 0;
    loop {
        let count = stream.read(&mut buffer).map_err(failed)?;
        if count == 0 {
            break;
        }
        length += count as u64;
        if length > most {
            let limit = if most == left { "bytes" } else { "ratio" };
            return Err(Error::new(
                doing(),
                format!("more than {most} uncompressed bytes (limit `{limit}`)"),
            ));
        }
        hasher.update(&buffer[..count]);
    }
    let found = hasher.finish();
    if found != *expected {
        let cause = format!("unpacks to {found}, the image's configuration says {expected}");
        return Err(Error::new(doing(), cause));
    }
    Ok(Checked {
        what: format!("layer {index}"),
        digest: described.digest.clone(),
        size: stored,
        diff_id: Some(found),
        uncompressed: Some(length),
        media_type: described.media_type.clone(),
    })
}

fn gone(image: &Image) -> Error {
    Error::new(format!("image {}", quote_path(&image.path)), "has no blobs")
}
