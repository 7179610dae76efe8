//! The checks of images and root filesystems (IMG-…). Everything in them is hostile: nothing is run, no symlink is followed,
//! no device or FIFO is opened, and what is read and remembered has a bound.
//!
//! An image is unpacked into a directory that is thrown away: its layers are looked at on the way, and what comes of them as
//! any root filesystem is, in one walk.
//!
//! ```text
//! origin       the image as a whole: whole, pinned, signed, for this host, within its budget
//! words        variables, labels and history
//! layers       the entries of layers on the way
//! walk         a root filesystem, object by object
//! permissions  set-id bits, capabilities, devices, permissions for everybody
//! accounts     passwd, group and shadow
//! software     package managers, compilers, shells
//! leftovers    repositories, histories, caches
//! secret       what is a secret
//! elf          the program and its libraries
//! packages     what the databases of package managers say is installed
//! found        findings, within a bound
//! ```

mod accounts;
mod elf;
mod found;
mod layers;
mod leftovers;
mod origin;
mod packages;
mod permissions;
mod secret;
mod software;
mod walk;
mod words;

use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};

pub use origin::Budget;
pub use packages::Package;
pub use permissions::NewPrivileges;

use elf::entry::Run;
use found::{Gathered, Spot};
use layers::Layers;
use leftovers::Leftovers;
use software::Software;

use super::finding::{Finding, Findings, Place};
use super::table::Stage;
use super::{Subject, config};
use crate::error::{Doing, Error, Result, quote_path};
use crate::image::layer::{Limits, Seen};
use crate::image::{self, Image, Policy, Progress};

/// What an image is held to, and what it is looked at with.
#[derive(Debug, Default)]
pub struct Terms {
    /// What unpacking it may cost.
    pub limits: Limits,
    /// Which images are let in.
    pub policy: Policy,
    /// How large it may be.
    pub budget: Budget,
    /// An empty directory that an image is unpacked in; whoever made it removes it.
    pub scratch: Option<PathBuf>,
}

impl Terms {
    fn scratch(&self, image: &Image) -> Result<&Path> {
        self.scratch.as_deref().ok_or_else(|| {
            let doing = format!("audit {}", quote_path(&image.path));
            Error::new(doing, "there is no directory to unpack it in")
        })
    }
}

/// Makes the checks of images and root filesystems that `findings` has.
pub(super) fn look(subject: &Subject, findings: &mut Findings) -> Result<()> {
    let mut gathered = Gathered::default();
    let layers = match (&subject.image, &subject.root) {
        (Some(image), _) => of_image(image, &subject.terms, findings, &mut gathered)?,
        (None, Some(root)) if has(findings, &[Stage::Root, Stage::Program]) => {
            let about = About::of_scene(subject.config.as_ref());
            let size = of_root(&open(root)?, &about, &mut gathered)?;
            origin::budget(&subject.terms.budget, 0, size, &mut gathered);
            None
        }
        (None, _) => None,
    };
    let place = |spot| place(spot, subject, layers.as_ref());
    for (id, reason) in std::mem::take(&mut gathered.unanswered) {
        if let Some(check) = findings.wanted(id) {
            findings.unanswered(check, reason);
        }
    }
    for (id, found) in gathered.into_found() {
        if let Some(check) = findings.wanted(id) {
            let finding = Finding::new(check, place(found.place), found.message).about(found.about);
            findings.add(match found.severity {
                Some(severity) => finding.severity(severity),
                None => finding,
            });
        }
    }
    Ok(())
}

/// The packages that the subject's root filesystem says are installed, in order. An image is unpacked for it.
///
/// # Errors
/// There is no root filesystem, it cannot be unpacked, or it has no database, or one that cannot be read.
pub fn packages(subject: &Subject) -> Result<Vec<Package>> {
    let nothing = |cause| Error::new(format!("list the packages of {}", subject.words), cause);
    let root = match (&subject.image, &subject.root) {
        (Some(image), _) => {
            let scratch = subject.terms.scratch(image)?;
            let limits = subject.terms.limits.clone();
            image::unpack(image, scratch, limits, &Progress::default())?;
            scratch
        }
        (None, Some(root)) => root,
        (None, None) => return Err(nothing("it has no root filesystem")),
    };
    packages::of_root(open(root)?.as_fd())?
        .ok_or_else(|| nothing("it has no database of dpkg or apk"))
}

/// Whether a check that is wanted looks at one of these.
fn has(findings: &Findings, stages: &[Stage]) -> bool {
    let of_image = |id: &str| id.starts_with("IMG-");
    let mut wanted = findings.checks.iter().filter(|check| of_image(check.id));
    wanted.any(|check| check.stages.iter().any(|stage| stages.contains(stage)))
}

fn open(root: &Path) -> Result<std::os::fd::OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(CWD, root, flags, Mode::empty()).doing(|| format!("open {}", quote_path(root)))
}

/// What is known of how a root filesystem is run.
#[derive(Debug, Default)]
struct About {
    run: Run,
    new_privileges: NewPrivileges,
    /// Paths that are meant to be written.
    declared: Vec<Vec<u8>>,
    from: From,
}

/// Where privileges and secrets of a root filesystem are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum From {
    /// In itself.
    #[default]
    Root,
    /// In its layers, which were seen already: what was unpacked has no set-id bits.
    Layers,
}

impl About {
    fn of_scene(scene: Option<&config::Scene>) -> Self {
        let Some(process) = scene.and_then(|scene| scene.config.process.as_ref()) else {
            return Self::default();
        };
        let mounts = scene.iter().flat_map(|scene| &scene.config.mounts);
        Self {
            run: Run {
                args: process.args.clone(),
                env: process.env.clone(),
                directory: process.cwd.clone(),
                architecture: image::Platform::host().architecture,
            },
            new_privileges: match process.no_new_privileges {
                true => NewPrivileges::No,
                false => NewPrivileges::Yes,
            },
            declared: mounts
                .map(|mount| without_slashes(&mount.destination))
                .collect(),
            from: From::Root,
        }
    }

    fn of_image(image: &Image) -> Self {
        let execution = &image.config.config;
        Self {
            run: Run {
                args: [&execution.entrypoint[..], &execution.cmd].concat(),
                env: execution.env.clone(),
                directory: execution.working_dir.clone(),
                architecture: image
                    .config
                    .platform()
                    .map_or_else(String::new, |platform| platform.architecture),
            },
            new_privileges: NewPrivileges::Unknown,
            declared: execution
                .volumes
                .iter()
                .map(|path| without_slashes(path))
                .collect(),
            from: From::Layers,
        }
    }
}

fn without_slashes(path: &str) -> Vec<u8> {
    path.trim_matches('/').as_bytes().to_vec()
}

fn of_image(
    image: &Image,
    terms: &Terms,
    findings: &Findings,
    gathered: &mut Gathered,
) -> Result<Option<Layers>> {
    origin::look(image, terms, gathered);
    words::look(&image.config, gathered);
    if !has(findings, &[Stage::Unpack, Stage::Root, Stage::Program]) {
        if findings.wanted("IMG-001").is_some() {
            origin::whole(image, &terms.limits, gathered);
        }
        return Ok(None);
    }
    let scratch = terms.scratch(image)?;
    let about = About::of_image(image);
    let mut layers = Layers::new(about.new_privileges);
    let mut see = |layer: usize, seen: &Seen<'_>| layers.see(layer, seen, gathered);
    let progress = Progress::default();
    match image::unpack_watched(
        image,
        scratch,
        terms.limits.clone(),
        &progress,
        Some(&mut see),
    ) {
        Ok(_) => {
            layers.finish(gathered);
            let size = of_root(&open(scratch)?, &about, gathered)?;
            origin::budget(&terms.budget, image.layers.len(), size, gathered);
        }
        Err(error) => {
            layers.finish(gathered);
            origin::not_unpacked(image, &terms.limits, error, findings, gathered)?;
        }
    }
    Ok(Some(layers))
}

/// How much there is in a root filesystem.
#[derive(Debug, Clone, Copy, Default)]
struct Size {
    /// Files, directories and all else.
    objects: u64,
    /// Of its files.
    bytes: u64,
}

/// The checks that only the walk through a root filesystem makes.
const OF_ROOT: [&str; 6] = [
    "IMG-007", "IMG-008", "IMG-009", "IMG-013", "IMG-018", "IMG-021",
];

/// Looks at everything below `root`, and says how much there is.
fn of_root(root: &impl AsFd, about: &About, gathered: &mut Gathered) -> Result<Size> {
    let root: BorrowedFd<'_> = root.as_fd();
    accounts::look(root, gathered);
    let mut software = Software::default();
    let mut leftovers = Leftovers::default();
    let mut size = Size::default();
    let unreadable = walk::walk(root, |object, content| {
        size.objects += 1;
        if object.is_file() {
            size.bytes = size.bytes.saturating_add(object.size());
        }
        if about.from == From::Root {
            for secret in secret::of_file(object.path, content.head(walk::HEAD)) {
                gathered.add(
                    "IMG-015",
                    secret.found(Spot::Path(object.path.to_vec()), ""),
                );
            }
            permissions::of_object(object, content, about.new_privileges, gathered);
        }
        permissions::writable(object, &about.declared, gathered);
        software.look(object, content);
        leftovers.look(object, content, gathered);
    })?;
    if unreadable > 0 {
        let what = found::counted(unreadable, "file or directory", "files and directories");
        let of_layers: &[&str] = match about.from {
            From::Root => &["IMG-010", "IMG-011", "IMG-012", "IMG-015"],
            From::Layers => &[],
        };
        for check in of_layers.iter().chain(&OF_ROOT) {
            gathered.unanswered(check, format!("{what} cannot be read by this user"));
        }
    }
    // An empty one is yet to be filled.
    let entry = match size.objects {
        0 => software::Entry::Program,
        _ => elf::entry::look(root, &about.run, gathered),
    };
    software.finish(entry, gathered);
    leftovers.finish(gathered);
    Ok(size)
}

fn place(spot: Spot, subject: &Subject, layers: Option<&Layers>) -> Place {
    let shown = |path: &[u8]| format!("/{}", String::from_utf8_lossy(path));
    let of_layer = |layer: usize, path: &[u8]| {
        let image = subject.image.as_ref();
        let described = image.and_then(|image| image.layers.get(layer));
        let digest = described.and_then(|layer| layer.digest.as_ref().or(layer.diff_id.as_ref()));
        Place::Layer {
            layer: digest.map_or_else(|| layer.to_string(), ToString::to_string),
            path: shown(path),
        }
    };
    match spot {
        Spot::Image => Place::Image,
        Spot::Config(pointer) => Place::Pointer {
            document: "the image's configuration".to_owned(),
            pointer,
        },
        Spot::Layer(layer, path) => of_layer(layer, &path),
        Spot::Path(path) => match layers.and_then(|layers| layers.layer_of(&path)) {
            Some(layer) => of_layer(layer, &path),
            None => Place::Path(shown(&path)),
        },
    }
}
