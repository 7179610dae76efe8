//! `launch`: a directory's root filesystem, or none, becomes a bundle; the bundle runs and everything goes again.
//! How it runs is `create`'s business; nothing here is a second way to start a container.

use std::fs;
use std::io::{IsTerminal as _, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::Store;
use super::create::{self, Attachment, Request};
use super::prepare::prepare;
use super::{destroy, keeper};
use crate::error::{Doing, Result, quote_path};
use crate::image::{self, Form, Ids, Image, ImageConfig, Overrides, Platform, Users};
use crate::plan::Options;
use crate::profile::{Profile, Verdict};
use crate::spec::{
    self, Bundle, Config, Cpu, Linux, Memory, Mount, NamespaceType, Pids, Resources,
};

/// Where the embedded root filesystem has its only program.
const EMBEDDED_PROGRAM: &str = "/stockade";

/// What a launch is asked for.
#[derive(Debug, Clone)]
pub struct Launch {
    /// An image, or a root filesystem's directory; none for the embedded default.
    pub source: Option<PathBuf>,
    /// Which of the images that the source holds.
    pub name: Option<String>,
    /// What it was built for.
    pub platform: Platform,
    /// The command; an image has its own, and so has the embedded default.
    pub command: Vec<String>,
    /// `K=V`.
    pub environment: Vec<String>,
    /// Bind mounts.
    pub binds: Vec<Bind>,
    /// Working directory; `/` by default.
    pub workdir: Option<String>,
    /// `USER` or `USER:GROUP` inside, by number or by name; an image has its own.
    pub user: Option<String>,
    /// Which network there is.
    pub network: Network,
    /// Bytes.
    pub memory: Option<i64>,
    /// CPU time as microseconds in each period of 100 000.
    pub cpu_quota: Option<i64>,
    /// Number of processes.
    pub pids: Option<i64>,
    /// Whether the program gets a terminal.
    pub tty: Tty,
    /// Words for the embedded report: its flags.
    pub report_flags: Vec<String>,
}

/// A directory or file of the host in the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind {
    /// On the host, absolute.
    pub source: PathBuf,
    /// Inside, absolute.
    pub destination: String,
    /// Whether it is read-only, with everything below it.
    pub is_readonly: bool,
}

/// When a launch has a terminal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tty {
    /// When all three standard streams are terminals and the profile has nothing against it: the program then has a terminal
    /// of its own in the place of the caller's.
    #[default]
    Auto,
    /// Always; without a terminal to connect it to this is an error.
    Always,
    /// Never: the program has the caller's streams as they are.
    Never,
}

impl Tty {
    fn is_wanted(self, profile: &Profile) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => {
                profile.process.terminal != Verdict::Refuse
                    && std::io::stdin().is_terminal()
                    && std::io::stdout().is_terminal()
                    && std::io::stderr().is_terminal()
            }
        }
    }
}

/// Which network a launch has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Network {
    /// A network namespace with nothing but loopback.
    #[default]
    None,
    /// The host's.
    Host,
}

/// Runs it, and removes everything that it took.
///
/// # Errors
/// What cannot be launched; the exit code of the program otherwise.
pub fn launch(store: &Store, request: &Launch, profile: &Profile) -> Result<i32> {
    let image = match &request.source {
        Some(source) => Some(Image::open_named(
            source,
            &request.platform,
            request.name.as_deref(),
        )?),
        None => None,
    };
    // The store may be in memory, which layers would fill.
    let is_unpacked = image
        .as_ref()
        .is_some_and(|image| image.form != Form::Directory);
    let parent = if is_unpacked {
        Path::new("/var/tmp")
    } else {
        store.path()
    };
    let scratch = Scratch::make(parent)?;
    // If this process is killed, the keeper cleans up in its place.
    let keeper = keeper::start(store, &scratch.id, &scratch.path)?;
    let outcome = launch_in(&scratch, store, request, image.as_ref(), profile);
    drop(scratch);
    keeper.dismiss();
    outcome
}

fn launch_in(
    scratch: &Scratch,
    store: &Store,
    request: &Launch,
    image: Option<&Image>,
    profile: &Profile,
) -> Result<i32> {
    let root = scratch.root(image)?;
    let privileged = rustix::process::geteuid().is_root();
    let mut config = config(request, image, &root, privileged)?;
    if let Some(process) = &mut config.process {
        process.terminal = request.tty.is_wanted(profile);
    }
    let is_root = config
        .process
        .as_ref()
        .is_some_and(|process| process.user.uid == 0);
    let bundle = bundle(scratch, &config)?;
    let profile = profile_for(request, profile, privileged);
    let prepared = prepare(bundle, &scratch.id, &profile, Options::default()).map_err(|error| {
        if is_root && request.user.is_none() {
            error.hint("the image asks for root: choose another user by --user UID:GID")
        } else {
            error
        }
    })?;
    let request = Request {
        id: scratch.id.clone(),
        profile: profile.name.clone(),
        is_interactive: true,
        ..Request::default()
    };
    let code = create::run(store, prepared, &request, Attachment::Keep)?;
    let entry = store.load(&scratch.id)?;
    let _lock = entry.lock()?;
    destroy(&entry, &entry.state()?)?;
    Ok(code)
}

/// The profile without what cannot be had here, and without what the caller has decided by a flag.
fn profile_for(request: &Launch, profile: &Profile, privileged: bool) -> Profile {
    let mut profile = profile.clone();
    if !privileged && !has_limits(request) {
        profile = profile.without_cgroup_limits();
        log::warn!(
            "without root or a delegated cgroup, limits are per process (rlimits), and none is on CPU time"
        );
    }
    if request.network == Network::Host {
        // Asked for by whoever launches; a profile guards against what a config brings along.
        let required = &mut profile.namespaces.require;
        required.retain(|kind| *kind != NamespaceType::Network);
    }
    profile
}

fn has_limits(request: &Launch) -> bool {
    request.memory.is_some() || request.cpu_quota.is_some() || request.pids.is_some()
}

/// A directory of its own beside the containers, removed when dropped.
#[derive(Debug)]
struct Scratch {
    id: String,
    path: PathBuf,
}

impl Scratch {
    fn make(parent: &Path) -> Result<Self> {
        let random = random()?;
        let id = format!("launch-{random:016x}");
        let path = parent.join(format!(".stockade-{id}"));
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .doing(|| "make a scratch directory")?;
        Ok(Self { id, path })
    }

    /// The root filesystem: the one that was named, or one that is made here.
    fn root(&self, image: Option<&Image>) -> Result<PathBuf> {
        match image {
            None => self.embedded_root(),
            Some(image) if image.form == Form::Directory => {
                fs::canonicalize(&image.path).doing(|| {
                    let path = quote_path(&image.path);
                    format!("open the root filesystem {path}")
                })
            }
            Some(image) => self.unpacked_root(image),
        }
    }

    /// The layers of an image.
    fn unpacked_root(&self, image: &Image) -> Result<PathBuf> {
        let root = self.path.join("rootfs");
        fs::DirBuilder::new()
            .mode(0o755)
            .create(&root)
            .doing(|| "make a root filesystem")?;
        // Whatever the umask is: the program of an image is rarely root.
        fs::set_permissions(&root, fs::Permissions::from_mode(0o755))
            .doing(|| "make a root filesystem")?;
        let unpacked = image::unpack(image, &root, image::layer::Limits::default())?;
        for warning in &unpacked.warnings {
            log::debug!("{warning}");
        }
        Ok(root)
    }

    /// A root filesystem that holds this very program and nothing else.
    fn embedded_root(&self) -> Result<PathBuf> {
        let doing = || "make the embedded root filesystem";
        let root = self.path.join("rootfs");
        fs::DirBuilder::new()
            .mode(0o755)
            .create(&root)
            .doing(doing)?;
        fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).doing(doing)?;
        for directory in ["proc", "sys", "dev", "tmp"] {
            fs::DirBuilder::new()
                .mode(0o755)
                .create(root.join(directory))
                .doing(doing)?;
        }
        let mut own = fs::File::open("/proc/self/exe").doing(doing)?;
        let mut copy = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o755)
            .open(root.join(&EMBEDDED_PROGRAM[1..]))
            .doing(doing)?;
        std::io::copy(&mut own, &mut copy).doing(doing)?;
        copy.flush().doing(doing)?;
        Ok(root)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = image::discard(&self.path) {
            log::warn!("{error}");
        }
    }
}

fn random() -> Result<u64> {
    let mut bytes = [0; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .doing(|| "draw a random id")?;
    Ok(u64::from_ne_bytes(bytes))
}

/// The config goes through the same loading as one from a file.
fn bundle(scratch: &Scratch, config: &Config) -> Result<Bundle> {
    let text = serde_json::to_vec(config).expect("a config is strings and numbers");
    let (config, warnings) = spec::parse(&text, "launch")?;
    Ok(Bundle {
        path: scratch.path.clone(),
        file: "launch".into(),
        config,
        warnings,
    })
}

fn config(
    request: &Launch,
    image: Option<&Image>,
    root: &Path,
    privileged: bool,
) -> Result<Config> {
    let ids = ids(request, image, root)?;
    let own = (
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    );
    let mut config = spec::hardened_default((!privileged).then_some(own));
    if let Some(root_of) = &mut config.root {
        root_of.path = root.to_string_lossy().into_owned();
    }
    if let Some(linux) = &mut config.linux {
        adapt_linux(linux, request, &ids);
    }
    adapt_mounts(&mut config.mounts, request, privileged);
    let mut overrides = Overrides {
        command: request.command.clone(),
        environment: request.environment.clone(),
        workdir: request.workdir.clone(),
    };
    if image.is_none() && overrides.command.is_empty() {
        overrides.command = vec![EMBEDDED_PROGRAM.to_owned(), "inside".to_owned()];
        overrides
            .command
            .extend(request.report_flags.iter().cloned());
    }
    let none = ImageConfig::default();
    image::convert(
        config,
        image.map_or(&none, |image| &image.config),
        &ids,
        &overrides,
    )
}

/// The caller's choice, else the image's, else 1000. A user by number alone has a group of the same number, except that
/// images count on group 0.
fn ids(request: &Launch, image: Option<&Image>, root: &Path) -> Result<Ids> {
    let users = Users::read(root);
    match (
        &request.user,
        image.map(|image| (&image.config.config.user, image.form)),
    ) {
        (Some(words), _) => users.ids(words, |uid| uid),
        (None, Some((words, form))) if !matches!(form, Form::Directory | Form::RootTar) => {
            users.ids(words, |_| 0)
        }
        _ => Ok(Ids {
            uid: 1000,
            gid: 1000,
            groups: Vec::new(),
        }),
    }
}

/// The caller's network and limits; of a user namespace, the one id that the program has.
fn adapt_linux(linux: &mut Linux, request: &Launch, ids: &Ids) {
    if request.network == Network::Host {
        let namespaces = &mut linux.namespaces;
        namespaces.retain(|namespace| namespace.kind != NamespaceType::Network);
    }
    for (maps, id) in [
        (&mut linux.uid_mappings, ids.uid),
        (&mut linux.gid_mappings, ids.gid),
    ] {
        maps.iter_mut().for_each(|map| map.container_id = id);
    }
    linux.resources = resources(request);
}

fn resources(request: &Launch) -> Option<Resources> {
    if !has_limits(request) {
        return None;
    }
    let memory = request.memory.map(|bytes| Memory {
        limit: Some(bytes),
        ..Memory::default()
    });
    let cpu = request.cpu_quota.map(|quota| Cpu {
        quota: Some(quota),
        period: Some(100_000),
        ..Cpu::default()
    });
    let pids = request.pids.map(|limit| Pids { limit: Some(limit) });
    Some(Resources {
        memory,
        cpu,
        pids,
        ..Resources::default()
    })
}

/// A /dev that nothing is added to, and the binds.
fn adapt_mounts(mounts: &mut Vec<Mount>, request: &Launch, privileged: bool) {
    // sysfs shows the network namespace it is mounted in, and only its owner may mount it.
    if !privileged && request.network == Network::Host {
        mounts.retain(|mount| mount.kind.as_deref() != Some("sysfs"));
    }
    for mount in mounts
        .iter_mut()
        .filter(|mount| mount.destination == "/dev")
    {
        mount.options.push("ro".into());
    }
    mounts.extend(request.binds.iter().map(|bind| {
        let access = if bind.is_readonly { "rro" } else { "rw" };
        Mount {
            destination: bind.destination.clone(),
            kind: Some("bind".into()),
            source: Some(bind.source.to_string_lossy().into_owned()),
            options: ["rbind", "rprivate", "nosuid", "nodev", access]
                .map(str::to_owned)
                .to_vec(),
            ..Mount::default()
        }
    }));
}
