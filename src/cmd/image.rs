//! `image`: what the image store holds, and removing it. The store fills by `launch`.

use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use clap::{Args, Subcommand};

use super::list::ListFormat;
use super::output::{columns, pretty};
use super::{ExitCode, print};
use crate::container::{Ranges, timestamp};
use crate::error::{Error, Result, escape};
use crate::image::store::{ImageStore, Listed, Prune, Pruned, UnitKind, default_store, of_ranges};
use crate::image::{Image, Platform};

/// Which image it is, where several are in one place.
#[derive(Debug, Clone, Args)]
pub struct WhichImage {
    /// Which image, of several in one archive or layout
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// What the image was built for, such as linux/arm64 [default: this machine]
    #[arg(long, value_name = "OS/ARCH")]
    pub platform: Option<Platform>,
}

impl WhichImage {
    /// What it was built for.
    pub(super) fn platform(&self) -> Platform {
        self.platform.clone().unwrap_or_else(Platform::host)
    }

    /// The image at this path.
    ///
    /// # Errors
    /// [`Image::open_named`]'s.
    pub(super) fn open(&self, path: &Path) -> Result<Image> {
        Image::open_named(path, &self.platform(), self.name.as_deref())
    }

    /// Whether anything is said of it.
    pub(super) fn is_chosen(&self) -> bool {
        self.name.is_some() || self.platform.is_some()
    }
}

/// Where the image store is.
#[derive(Debug, Clone, Args)]
pub struct StoreFlag {
    /// Directory of unpacked layers [default: $STOCKADE_STORE, /var/lib/stockade, or below $XDG_DATA_HOME without root]
    #[arg(long, value_name = "DIR")]
    pub store: Option<PathBuf>,
}

impl StoreFlag {
    /// The directory; `None` where nothing says where home is.
    pub fn path(&self) -> Option<PathBuf> {
        self.store.clone().or_else(default_store)
    }

    /// The directory.
    ///
    /// # Errors
    /// Nothing says where home is.
    pub fn find(&self) -> Result<PathBuf> {
        self.path().ok_or_else(|| {
            let cause = "neither HOME nor XDG_DATA_HOME is set";
            Error::new("find the image store", cause).hint("say where it is by --store DIR")
        })
    }

    /// The store, and that of a user without root whose layers keep their owners by a range of ids, if there is one: this
    /// process then is in a user namespace with that range, where alone it can be read and cleared.
    fn open(&self) -> Result<Vec<ImageStore>> {
        let path = self.find()?;
        let mut stores = vec![ImageStore::open(&path)?];
        let ranged = of_ranges(&path);
        if !rustix::process::geteuid().is_root() && ranged.exists() {
            Ranges::of_caller()?.enter()?;
            stores.push(ImageStore::open(&ranged)?);
        }
        Ok(stores)
    }
}

/// Arguments of `image`.
#[derive(Debug, Clone, Args)]
pub struct Images {
    /// What to do.
    #[command(subcommand)]
    pub act: Act,
}

/// What `image` does.
#[derive(Debug, Clone, Subcommand)]
pub enum Act {
    /// List the images whose layers are kept
    List(ImageList),
    /// Remove images, and the layers that no image is made of then
    Rm(ImageRemoval),
    /// Remove layers that no image is made of, and what killed processes left
    Prune(ImagePrune),
}

/// Arguments of `image list`.
#[derive(Debug, Clone, Args)]
pub struct ImageList {
    /// Where they are.
    #[command(flatten)]
    pub store: StoreFlag,
    /// For people or for programs
    #[arg(long, short, value_enum, default_value_t)]
    pub format: ListFormat,
    /// Print digests only
    #[arg(long, short)]
    pub quiet: bool,
}

/// Arguments of `image rm`.
#[derive(Debug, Clone, Args)]
pub struct ImageRemoval {
    /// Where they are.
    #[command(flatten)]
    pub store: StoreFlag,
    /// Image: its digest, the beginning of it, or a name
    #[arg(value_name = "IMAGE", required = true)]
    pub images: Vec<String>,
}

/// Arguments of `image prune`.
#[derive(Debug, Clone, Args)]
pub struct ImagePrune {
    /// Where they are.
    #[command(flatten)]
    pub store: StoreFlag,
    /// Remove all images that no sandbox uses, too
    #[arg(long, short)]
    pub all: bool,
}

/// Carries `image` out.
///
/// # Errors
/// The store cannot be read; an image that does not exist or is in use.
pub fn run(arguments: &Images) -> Result<ExitCode> {
    match &arguments.act {
        Act::List(list) => {
            let mut images = Vec::new();
            for store in list.store.open()? {
                images.extend(store.list()?);
            }
            print_list(&images, list)?;
        }
        Act::Rm(removal) => remove(&removal.store.open()?, &removal.images)?,
        Act::Prune(prune) => {
            let what = if prune.all {
                Prune::AllImages
            } else {
                Prune::Unreferenced
            };
            let stores = prune.store.open()?;
            let pruned = stores.iter().map(|store| store.prune(what));
            print_removed(&pruned.sum::<Result<Pruned>>()?)?;
        }
    }
    Ok(ExitCode::Done)
}

/// From every store that has it; a word that none has is an error before anything is removed.
fn remove(stores: &[ImageStore], words: &[String]) -> Result<()> {
    let mut wanted = vec![Vec::new(); stores.len()];
    for word in words {
        let mut is_known = false;
        for (store, wanted) in stores.iter().zip(&mut wanted) {
            if store.has(word)? {
                wanted.push(word.clone());
                is_known = true;
            }
        }
        // The first store says that there is none.
        if !is_known {
            wanted[0].push(word.clone());
        }
    }
    let with_words = stores
        .iter()
        .zip(&wanted)
        .filter(|(_, wanted)| !wanted.is_empty());
    let removed = with_words.map(|(store, wanted)| store.remove(wanted));
    print_removed(&removed.sum::<Result<Pruned>>()?)
}

fn print_list(images: &[Listed], arguments: &ImageList) -> Result<()> {
    if arguments.quiet {
        return images
            .iter()
            .try_for_each(|image| print(&image.record.digest.to_string()));
    }
    match arguments.format {
        ListFormat::Json => print(&pretty(&images, "  ")?),
        ListFormat::Table => print(&table(images)),
    }
}

/// Digits of a digest that tell images apart well enough to type.
const SHORT: usize = 12;

fn table(images: &[Listed]) -> String {
    let mut rows = vec![
        [
            "DIGEST", "NAME", "PLATFORM", "LAYERS", "SIZE", "STORED", "USED",
        ]
        .map(str::to_owned),
    ];
    rows.extend(images.iter().map(|image| {
        let record = &image.record;
        let used = if image.in_use {
            "now".to_owned()
        } else {
            date(image.used)
        };
        [
            record.digest.encoded()[..SHORT].to_owned(),
            record.names.first().map_or("-".to_owned(), escape),
            escape(&record.platform),
            record.layers.len().to_string(),
            size(record.bytes),
            date(record.stored),
            used,
        ]
    }));
    columns(&rows)
}

/// Seconds since 1970 as `2026-11-27T12:00:00Z`.
fn date(seconds: u64) -> String {
    let text = timestamp(UNIX_EPOCH + Duration::from_secs(seconds));
    format!("{}Z", text.split('.').next().unwrap_or_default())
}

/// Bytes in the largest unit, powers of 1024, that leaves a whole number before the point.
fn size(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let power = (1..units.len())
        .rev()
        .find(|power| bytes >> (10 * power) > 0)
        .unwrap_or(0);
    if power == 0 {
        return format!("{bytes} B");
    }
    let tenths = u128::from(bytes) * 10 / (1 << (10 * power));
    format!("{}.{} {}", tenths / 10, tenths % 10, units[power])
}

fn print_removed(pruned: &Pruned) -> Result<()> {
    for digest in &pruned.images {
        print(&format!("removed image {digest}"))?;
    }
    for unit in &pruned.units {
        let what = match unit.kind {
            UnitKind::Layer => "layer",
            UnitKind::Stack => "layers",
        };
        print(&format!("removed {what} {}", unit.digest))?;
    }
    if pruned.leftovers > 0 {
        print(&format!(
            "removed {} unfinished directories",
            pruned.leftovers
        ))?;
    }
    print(&format!("freed {}", size(pruned.bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_one_decimal() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(5 << 30), "5.0 GiB");
        assert_eq!(size(u64::MAX), "16777215.9 TiB");
    }

    #[test]
    fn the_table_shows_no_name_raw() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        let text = format!(
            r#"{{"digest":"{digest}","names":["a\u001b[31m"],"platform":"linux/amd64","layers":["{digest}"],
                "units":[{{"kind":"layer","digest":"{digest}"}}],"root":0,"bytes":2048,"entries":3,"stored":0}}"#
        );
        let listed = Listed {
            record: serde_json::from_str(&text).unwrap(),
            used: 86_400,
            in_use: false,
        };
        let expected = "\
DIGEST         NAME          PLATFORM      LAYERS   SIZE      STORED                 USED
0a0a0a0a0a0a   a\\u{1b}[31m   linux/amd64   1        2.0 KiB   1970-01-01T00:00:00Z   1970-01-02T00:00:00Z";
        assert_eq!(table(&[listed]), expected);
    }
}
