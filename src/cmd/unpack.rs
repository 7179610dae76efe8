//! `unpack`: an image becomes a bundle: its layers in `rootfs`, its configuration as config.json, tightened by the profile.
//! The bundle appears whole or not at all.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use clap::Args;
use rustix::fs::Mode;

use super::{ExitCode, Global, print};
use crate::container::{self, Keeper};
use crate::error::{Doing, Error, Result, quote_path};
use crate::image::{self, Form, Image, Overrides, Platform, Unpacked, Users};
use crate::profile::{self, Face, Facts};
use crate::spec;

/// Arguments of `unpack`.
#[derive(Debug, Clone, Args)]
pub struct Unpack {
    /// Image: an image layout, an archive of one, a docker save archive, or a tar archive of a root filesystem
    #[arg(value_name = "IMAGE")]
    pub image: PathBuf,
    /// Directory to make, with config.json and rootfs in it
    #[arg(value_name = "BUNDLE")]
    pub bundle: PathBuf,
    /// Which image, of several in one archive or layout
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// What the image was built for, such as linux/arm64 [default: this machine]
    #[arg(long, value_name = "OS/ARCH")]
    pub platform: Option<Platform>,
}

/// Carries `unpack` out.
///
/// # Errors
/// An image that is not what it says, a limit, a bundle that exists; nothing is left then.
pub fn run(global: &Global, arguments: &Unpack) -> Result<ExitCode> {
    let shown = quote_path(&arguments.bundle);
    if fs::symlink_metadata(&arguments.bundle).is_ok() {
        return Err(Error::new(format!("make the bundle {shown}"), "it exists"));
    }
    let platform = arguments.platform.clone().unwrap_or_else(Platform::host);
    let image = Image::open_named(&arguments.image, &platform, arguments.name.as_deref())?;
    if image.form == Form::Directory {
        return Err(Error::new(
            format!("unpack {}", quote_path(&arguments.image)),
            "it is a directory",
        )
        .hint("`stockade launch` takes it as it is; `stockade spec` writes a config.json for it"));
    }
    // What is made gets the modes that are meant: the program of an image is rarely root.
    rustix::process::umask(Mode::from_raw_mode(0o022));
    let partial = Partial::beside(&arguments.bundle)?;
    let unpacked = fill(&partial.path, &image, global)?;
    fs::rename(&partial.path, &arguments.bundle).doing(|| format!("make the bundle {shown}"))?;
    drop(partial);
    for warning in &unpacked.warnings {
        log::warn!("{warning}");
    }
    let Unpacked {
        layers,
        entries,
        bytes,
        ..
    } = unpacked;
    print(&format!(
        "{layers} layers, {entries} entries, {bytes} bytes"
    ))?;
    Ok(ExitCode::Done)
}

fn fill(bundle: &Path, image: &Image, global: &Global) -> Result<Unpacked> {
    let root = bundle.join("rootfs");
    fs::DirBuilder::new()
        .mode(0o755)
        .create(&root)
        .doing(|| "make a root filesystem")?;
    let unpacked = image::unpack(image, &root, image::layer::Limits::default())?;
    let ids = Users::read(&root).ids(&image.config.config.user, |_| 0)?;
    let effective = (
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    );
    let mut base = spec::hardened_default((effective.0 != 0).then_some(effective));
    if let Some(root) = &mut base.root {
        root.readonly = false;
    }
    let mut overrides = Overrides::default();
    let execution = &image.config.config;
    if execution.entrypoint.is_empty() && execution.cmd.is_empty() {
        // Nothing there says what to run; whoever takes the bundle up can.
        overrides.command = vec!["sh".into()];
    }
    let config = image::convert(base, &image.config, &ids, &overrides)?;
    let profile = global.profile(&std::collections::BTreeMap::new(), Face::Oci)?;
    let tightened = profile::tighten(&config, &profile, &Facts::read()?)?;
    fs::write(bundle.join("config.json"), spec::to_text(&tightened.config))
        .doing(|| "write config.json")?;
    Ok(unpacked)
}

/// A directory beside the one to be made, which goes unless it is renamed, also if this process is killed.
struct Partial {
    path: PathBuf,
    keeper: Option<Keeper>,
}

impl Partial {
    fn beside(bundle: &Path) -> Result<Self> {
        let name = bundle.file_name().unwrap_or_default().to_string_lossy();
        let path = bundle.with_file_name(format!(".{name}.partial-{}", std::process::id()));
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .doing(|| format!("make {}", quote_path(&path)))?;
        let mut partial = Self { path, keeper: None };
        partial.keeper = Some(container::keep_directory(&partial.path)?);
        Ok(partial)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if self.path.exists()
            && let Err(error) = image::discard(&self.path)
        {
            log::warn!("{error}");
        }
        if let Some(keeper) = self.keeper.take() {
            keeper.dismiss();
        }
    }
}
