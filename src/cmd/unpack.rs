//! `unpack`: an image becomes a bundle: its layers in `rootfs`, its configuration as config.json, tightened by the profile.
//! The bundle appears whole or not at all.

use std::fs;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::HumanBytes;
use rustix::fs::Mode;

use super::image::{StoreFlag, WhichImage};
use super::output::pretty;
use super::partial::Partial;
use super::plan::Format;
use super::unpacking::{Map, Unpacking};
use super::{ExitCode, Global, print};
use crate::configuration::{Configuration, signed_by_all};
use crate::container::{self, Files, Ranges};
use crate::error::{Doing, Error, Result, quote_path};
use crate::image::layer::Limits;
use crate::image::store::ImageStore;
use crate::image::{self, Form, Image, Overrides, Progress, Unpacked, Users};
use crate::profile::{self, Face, Facts};
use crate::spec::{self, Config, IdMapping};
use crate::terminal;

/// Arguments of `unpack`.
#[derive(Debug, Clone, Args)]
pub struct Unpack {
    /// Image: an image layout, an archive of one, a docker save archive, or a tar archive of a root filesystem
    #[arg(value_name = "IMAGE")]
    pub image: PathBuf,
    /// Directory to make, with config.json and rootfs in it
    #[arg(value_name = "BUNDLE")]
    pub bundle: PathBuf,
    /// Which image there.
    #[command(flatten)]
    pub which: WhichImage,
    /// Without root, whose the files are: all one's own, or, by a range of /etc/subuid, of the owners that the image names;
    /// config.json maps the same ids [default: single]
    #[arg(long, value_enum, value_name = "IDS")]
    pub map: Option<Map>,
    /// Mount the image's layers from the store on rootfs instead of unpacking them; umount BUNDLE/rootfs ends it
    #[arg(long)]
    pub overlay: bool,
    /// Where they are kept.
    #[command(flatten)]
    pub store: StoreFlag,
    /// What it may cost, and whether it is shown.
    #[command(flatten)]
    pub unpacking: Unpacking,
    /// Format of the summary
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Public key in PEM that must have signed the image, besides what the configuration demands
    #[arg(long, value_name = "FILE")]
    pub key: Vec<PathBuf>,
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
    let start = Instant::now();
    let image = arguments.which.open(&arguments.image)?;
    if image.form == Form::Directory {
        return Err(Error::new(
            format!("unpack {}", quote_path(&arguments.image)),
            "it is a directory",
        )
        .hint("`stockade launch` takes it as it is; `stockade spec` writes a config.json for it"));
    }
    let configuration = global.configuration()?;
    let policy = signed_by_all(configuration.policy()?, &arguments.key)?;
    for line in policy.admit(&image)? {
        log::debug!("{line}");
    }
    // What is made gets the modes that are meant: the program of an image is rarely root.
    rustix::process::umask(Mode::from_raw_mode(0o022));
    if arguments.overlay && !rustix::process::geteuid().is_root() {
        return Err(
            Error::new("unpack --overlay", "only root may mount on the host")
                .hint("`stockade launch` mounts where the host does not see it"),
        );
    }
    let own = own_ids();
    let ranges = match arguments.map {
        Some(map) => map.request().ranges(Files::Unpacked)?,
        None => None,
    };
    // Before any thread, and before anything is made.
    if let Some(ranges) = &ranges {
        ranges.enter()?;
    }
    let partial = Partial::beside(&arguments.bundle)?;
    let limits = arguments.unpacking.limits(configuration.limits.clone());
    let unpacked = terminal::watch(arguments.unpacking.shown(), |progress| {
        if arguments.overlay {
            mount(&partial, &image, &arguments.store, &limits, progress)
        } else {
            unpack(&partial.inside(), &image, &limits, progress)
        }
    })?;
    let config = converted(&partial.inside(), &image, own, ranges.as_ref())?;
    configure(&partial.inside(), &config, own, global, &configuration)?;
    fs::rename(&partial.path, &arguments.bundle).doing(|| format!("make the bundle {shown}"))?;
    drop(partial);
    for warning in &unpacked.warnings {
        log::warn!("{warning}");
    }
    report(arguments, &unpacked, start.elapsed())?;
    Ok(ExitCode::Done)
}

/// One line for people, unless they want none; an object for programs.
fn report(arguments: &Unpack, unpacked: &Unpacked, took: Duration) -> Result<()> {
    let Unpacked {
        layers,
        entries,
        bytes,
        ..
    } = *unpacked;
    let seconds = took.as_secs_f64();
    match arguments.format {
        Format::Json => {
            let document = serde_json::json!({
                "layers": layers,
                "entries": entries,
                "bytes": bytes,
                "seconds": (seconds * 1000.0).round() / 1000.0,
                "warnings": unpacked.warnings,
            });
            print(&pretty(&document, "  ")?)
        }
        Format::Text if arguments.unpacking.quiet => Ok(()),
        Format::Text => print(&format!(
            "{layers} {}, {entries} {}, {} in {seconds:.1} s",
            if layers == 1 { "layer" } else { "layers" },
            if entries == 1 { "entry" } else { "entries" },
            HumanBytes(bytes),
        )),
    }
}

/// The layers into `rootfs`.
fn unpack(bundle: &Path, image: &Image, limits: &Limits, progress: &Progress) -> Result<Unpacked> {
    let root = bundle.join("rootfs");
    fs::DirBuilder::new()
        .mode(0o755)
        .create(&root)
        .doing(|| "make a root filesystem")?;
    image::unpack(image, &root, limits.clone(), progress)
}

/// The layers as they are in the store, on `rootfs`.
fn mount(
    partial: &Partial,
    image: &Image,
    store: &StoreFlag,
    limits: &Limits,
    progress: &Progress,
) -> Result<Unpacked> {
    if ImageStore::key(image).is_none() {
        let image = format!("mount {}", quote_path(&image.path));
        let cause = "it says no digests of its layers' content";
        return Err(Error::new(image, cause).hint("unpack it without --overlay"));
    }
    let store = store.find()?;
    let record =
        container::mount_bundle(&store, image, partial.directory.as_fd(), limits, progress)?;
    Ok(Unpacked {
        layers: record.layers.len(),
        entries: record.entries,
        bytes: record.bytes,
        warnings: Vec::new(),
    })
}

/// The caller's user and group, which a config without root maps; none of root, whose config has no user namespace.
fn own_ids() -> Option<(u32, u32)> {
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    (!uid.is_root()).then_some((uid.as_raw(), gid.as_raw()))
}

/// The image's configuration, as a config.json. The one id that there is without root is that of the image's user.
fn converted(
    bundle: &Path,
    image: &Image,
    own: Option<(u32, u32)>,
    ranges: Option<&Ranges>,
) -> Result<Config> {
    let root = bundle.join("rootfs");
    let mut ids = Users::read(&root).ids(&image.config.config.user, |_| 0)?;
    if own.is_some() && ranges.is_none() {
        ids.leave_out_groups();
    }
    let mut base = spec::hardened_default(own);
    if let Some(root) = &mut base.root {
        root.readonly = false;
    }
    if let Some(linux) = &mut base.linux {
        (linux.uid_mappings, linux.gid_mappings) = match (ranges, own) {
            (Some(ranges), _) => ranges.outside(),
            (None, Some((uid, gid))) => (only(ids.uid, uid), only(ids.gid, gid)),
            (None, None) => Default::default(),
        };
    }
    let mut overrides = Overrides::default();
    let execution = &image.config.config;
    if execution.entrypoint.is_empty() && execution.cmd.is_empty() {
        // Nothing there says what to run; whoever takes the bundle up can.
        overrides.command = vec!["sh".into()];
    }
    image::convert(base, &image.config, &ids, &overrides)
}

/// The map of one id.
fn only(container_id: u32, host_id: u32) -> Vec<IdMapping> {
    let size = 1;
    vec![IdMapping {
        container_id,
        host_id,
        size,
    }]
}

/// Writes config.json, as the profile leaves it.
fn configure(
    bundle: &Path,
    config: &Config,
    own: Option<(u32, u32)>,
    global: &Global,
    configuration: &Configuration,
) -> Result<()> {
    let mut choice =
        global.profile(configuration, &std::collections::BTreeMap::new(), Face::Oci)?;
    if own.is_some() {
        // What this user may not have a cgroup for would keep the bundle from running; `run` adds it where it can.
        choice.profile = choice.profile.without_cgroup_limits();
    }
    let facts = Facts::read()?.with_kernel(&choice.profile);
    let tightened = profile::tighten(config, &choice.profile, &facts)
        .map_err(|refusal| choice.advise(refusal, config, &facts))?;
    let file = bundle.join("config.json");
    fs::File::create_new(file)
        .and_then(|mut file| file.write_all(spec::to_text(&tightened.config).as_bytes()))
        .doing(|| "write config.json")
}
