//! Archives of `docker save`: a manifest.json that names the configuration and the layers by file name. Old ones have a
//! directory a layer (moby image/spec/v1.2.md); new ones are image layouts too, and those are read as such, once both
//! lists agree. Legacy files (`repositories`, `VERSION`, `json`) are not read.

use serde::{Deserialize, Serialize};

use super::archive::Entry;
use super::choose::{is_called, list};
use super::config::{ImageConfig, MOST_LAYERS, exact_case, field_error};
use super::digest::{Algorithm, Digest};
use super::layout::Blobs;
use super::manifest::{Compression, Manifest};
use super::{Layer, compression_of};
use crate::error::{Error, Result, quote};

/// An entry of manifest.json.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Saved {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Option<Vec<String>>,
}

/// What manifest.json leads to.
pub(super) struct Loaded {
    pub(super) config: ImageConfig,
    pub(super) config_digest: Digest,
    pub(super) config_size: u64,
    pub(super) layers: Vec<Layer>,
    pub(super) names: Vec<String>,
}

/// All images that manifest.json lists.
pub(super) fn saved(blobs: &Blobs) -> Result<Vec<Saved>> {
    let text = blobs.document("manifest.json")?;
    let file = blobs.name_of("manifest.json");
    let (tree, all) = crate::spec::typed::<Vec<Saved>>(&text, &file)?;
    for saved in tree.as_array().into_iter().flatten() {
        exact_case(saved, &["Config", "RepoTags", "Layers"], &file)?;
    }
    Ok(all)
}

/// The only image, or the one that has the tag `name`, read by manifest.json alone.
pub(super) fn load(blobs: &Blobs, name: Option<&str>) -> Result<Loaded> {
    let all = saved(blobs)?;
    let saved = pick(blobs, &all, name)?;
    let text = blobs.document(&saved.config)?;
    let config_digest = Digest::sha256(&text);
    if let Some(said) = digest_in(&saved.config)
        && said != config_digest
    {
        let file = blobs.name_of(&saved.config);
        return Err(Error::new(
            quote(file),
            format!("its digest is {config_digest}"),
        ));
    }
    let names = saved.layers();
    if names.len() > MOST_LAYERS {
        let cause = format!("{} layers, {MOST_LAYERS} allowed", names.len());
        return Err(field_error(
            &blobs.name_of("manifest.json"),
            "Layers",
            cause,
        ));
    }
    let config = ImageConfig::parse(&text, &blobs.name_of(&saved.config), names.len())?;
    let both = names.iter().zip(&config.diff_ids);
    let layers = both
        .map(|(name, diff_id)| layer(blobs, name, diff_id))
        .collect::<Result<_>>()?;
    Ok(Loaded {
        config,
        config_digest,
        config_size: text.len() as u64,
        layers,
        names: saved.repo_tags.clone().unwrap_or_default(),
    })
}

/// The tags that manifest.json gives to what the layout's index led to.
///
/// # Errors
/// The two lists disagree: manifest.json does not have the image, or gives it other layers.
pub(super) fn agreed(blobs: &Blobs, manifest: &Manifest) -> Result<Vec<String>> {
    let config = manifest.config.digest.blob_path();
    let layers: Vec<String> = manifest
        .layers
        .iter()
        .map(|l| l.digest.blob_path())
        .collect();
    let refuse = |cause: &str| {
        let file = quote(blobs.name_of("manifest.json"));
        Err(Error::new(file, cause).hint("one of its two lists was changed: do not use it"))
    };
    let mut tags = Vec::new();
    let all = saved(blobs)?;
    let same: Vec<&Saved> = all.iter().filter(|saved| saved.config == config).collect();
    if same.is_empty() {
        return refuse("does not have the image that index.json has");
    }
    for saved in same {
        if saved.layers() != layers {
            return refuse("gives the image other layers than index.json");
        }
        tags.extend(saved.repo_tags.clone().unwrap_or_default());
    }
    Ok(tags)
}

impl Saved {
    fn layers(&self) -> &[String] {
        self.layers.as_deref().unwrap_or_default()
    }
}

fn pick<'a>(blobs: &Blobs, all: &'a [Saved], name: Option<&str>) -> Result<&'a Saved> {
    let tags = |saved: &'a Saved| saved.repo_tags.iter().flatten();
    let is_named = |saved: &&Saved| match name {
        Some(name) => saved
            .repo_tags
            .iter()
            .flatten()
            .any(|own| is_called(own, name)),
        None => true,
    };
    let image = format!("image {}", quote(blobs.path()));
    let known = || list(all.iter().flat_map(tags));
    let found: Vec<&Saved> = all.iter().filter(is_named).collect();
    match (&*found, name) {
        ([one], _) => Ok(one),
        ([], None) => Err(Error::new(image, "its manifest.json lists no image")),
        ([], Some(name)) => {
            let error = Error::new(image, format!("has no {}", quote(name)));
            Err(error.hint(format!("it has {}", known())))
        }
        _ => {
            let error = Error::new(image, "holds more than one image");
            Err(error.hint(format!("name one of {}", known())))
        }
    }
}

fn layer(blobs: &Blobs, name: &str, diff_id: &Digest) -> Result<Layer> {
    let entry = target(blobs, name)?;
    let size = blobs.stored(&entry)?.left();
    let compression = compression_of(blobs, &entry)?;
    // Not compressed, a layer's content is the blob, so that its digest is known.
    let digest = match compression {
        Compression::None => Some(diff_id.clone()),
        _ => digest_in(&entry).filter(|_| entry.starts_with("blobs/")),
    };
    Ok(Layer {
        digest,
        diff_id: Some(diff_id.clone()),
        size: Some(size),
        compression,
        media_type: None,
        entry,
    })
}

/// `docker save` before 25 stores a layer once, and where it is needed again a link to it: from `ID/layer.tar` to
/// `../ID/layer.tar`. That one form is understood, once; no other link is.
fn target(blobs: &Blobs, name: &str) -> Result<String> {
    let entry = blobs.archive().and_then(|archive| archive.get(name));
    let Some(Entry::Symlink(link)) = entry else {
        return Ok(name.to_owned());
    };
    let id = |path: &str| {
        let id = path.strip_suffix("/layer.tar")?;
        Digest::is_encoded(Algorithm::Sha256, id).then_some(())
    };
    let inner = link.strip_prefix("../").unwrap_or_default();
    if id(name).is_none() || id(inner).is_none() {
        let doing = quote(blobs.name_of(name));
        let cause = format!("is a link to {}, not a layer's", quote(link));
        return Err(Error::new(doing, cause));
    }
    Ok(inner.to_owned())
}

/// `<hex>.json`, `<hex>.tar` and `blobs/sha256/<hex>` say what is in them.
fn digest_in(name: &str) -> Option<Digest> {
    let hex = match name.strip_prefix("blobs/sha256/") {
        Some(hex) => hex,
        None => name.strip_suffix(".json").or(name.strip_suffix(".tar"))?,
    };
    format!("sha256:{hex}").parse().ok()
}
