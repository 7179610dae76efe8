//! `launch`: a directory's root filesystem, or none, becomes a bundle; the bundle runs and everything goes again.
//! How it runs is `create`'s business; nothing here is a second way to start a container.

use std::fs;
use std::io::{IsTerminal as _, Write as _};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::Store;
use super::create::{self, Attachment, Request};
use super::delegation::is_delegated;
use super::prepare::prepare;
use super::ranges::{Files, Map, Ranges};
use super::scratch::Scratch;
use super::{destroy, keeper, overlay};
use crate::cgroup::{Driver, Layout, systemd};
use crate::error::{Doing, Result, quote_path};
use crate::host;
use crate::image::layer;
use crate::image::store::{Held, ImageStore, of_ranges};
use crate::image::{self, Form, Ids, Image, ImageConfig, Overrides, Platform, Users};
use crate::plan::{Cpus, Options};
use crate::profile::{self, Change, Choice, Limits, Profile, Tightened, Verdict};
use crate::seccomp::Watch;
use crate::spec::{
    self, Bundle, Config, Cpu, Linux, Memory, Mount, NamespaceType, Pids, Resources,
};
use crate::terminal::{self, Shown};
use crate::watch::Supervisor;

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
    /// What unpacking it may cost.
    pub limits: layer::Limits,
    /// Whether the unpacking shows how far it is.
    pub shown: Shown,
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
    /// Which ids there are, for a user without root.
    pub map: Map,
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
    /// Open files in place of the caller's standard streams, by the numbers of their descriptors, above 2.
    pub streams: Option<[i32; 3]>,
    /// Where layers are kept for the next launch; none to unpack them each time.
    pub images: Option<PathBuf>,
    /// Which images are let in.
    pub policy: image::Policy,
    /// Who makes the cgroup.
    pub cgroups: Driver,
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

/// The arguments of the embedded program, for what a config and its profile come to.
pub type EmbeddedArguments<'a> = &'a dyn Fn(&Tightened) -> Result<Vec<String>>;

/// Runs it, and removes everything that it took. `arguments` are for the embedded program alone,
/// `supervisor` is who is asked about system calls, if any are watched.
///
/// # Errors
/// What cannot be launched; the exit code of the program otherwise.
pub fn launch(
    store: &Store,
    request: &Launch,
    choice: &Choice,
    arguments: EmbeddedArguments<'_>,
    supervisor: Option<&mut Supervisor>,
) -> Result<i32> {
    let image = match &request.source {
        Some(source) => Some(Image::open_named(
            source,
            &request.platform,
            request.name.as_deref(),
        )?),
        None => None,
    };
    if let Some(image) = &image {
        for line in request.policy.admit(image)? {
            log::debug!("{line}");
        }
    }
    let ids = HostIds::enter(request, image.as_ref())?;
    let place = place(store, request, image.as_ref(), &ids)?;
    let scratch = place.scratch()?;
    // If this process is killed, the keeper cleans up in its place.
    let keeper = keeper::start(store, &scratch, place.lease())?;
    let root = scratch.root(image.as_ref(), &place, request);
    let outcome = root.and_then(|root| {
        let mut choice = choice.clone();
        choice.profile = profile_for(request, &choice.profile);
        let mut config = config(request, image.as_ref(), &root, &ids)?;
        let more = match &image {
            None if request.command.is_empty() => arguments(&tightened(&config, &choice.profile)?)?,
            _ => Vec::new(),
        };
        if let Some(process) = &mut config.process {
            process.terminal = request.tty.is_wanted(&choice.profile);
            process.args.extend(more);
        }
        launch_in(&scratch, &config, store, request, &ids, &choice, supervisor)
    });
    drop(scratch);
    keeper.dismiss();
    outcome
}

/// Which ids of the host there are to give.
#[derive(Debug)]
enum HostIds {
    /// All: the caller is root.
    All,
    /// The caller's user and group.
    Own(u32, u32),
    /// A range, in whose user namespace this process is.
    Range(Ranges),
}

impl HostIds {
    /// Before any thread, and before anything is made.
    fn enter(request: &Launch, image: Option<&Image>) -> Result<Self> {
        let files = match image {
            Some(image) if image.form != Form::Directory => Files::Unpacked,
            _ => Files::Found,
        };
        let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
        match request.map.ranges(files)? {
            Some(ranges) => ranges
                .enter()
                .map(|()| Self::Range(ranges))
                .map_err(|error| error.hint_too("or give every file to this user by --map single")),
            None if uid.is_root() => Ok(Self::All),
            None => Ok(Self::Own(uid.as_raw(), gid.as_raw())),
        }
    }
}

/// What the embedded sandbox comes to under a profile, launched by root; nothing is made.
///
/// # Errors
/// What the profile refuses.
pub fn embedded(request: &Launch, profile: &Profile) -> Result<Tightened> {
    tightened(
        &config(request, None, Path::new("/"), &HostIds::All)?,
        profile,
    )
}

fn tightened(config: &Config, profile: &Profile) -> Result<Tightened> {
    // What of the host cannot be seen, as inside of another sandbox, is as if it were not there.
    let facts = profile::Facts::read().unwrap_or_default();
    profile::tighten(config, profile, &facts.with_kernel(profile))
}

/// Where the root filesystem comes from, and the scratch directory's place.
#[derive(Debug)]
enum Place {
    /// As it is, or made in the directory of the containers' state.
    State(PathBuf),
    /// Unpacked to the scratch directory. The state directory may be in memory, which layers would fill.
    Unpacked,
    /// An overlay of the image store's layers.
    Stored {
        /// For the scratch directory.
        parent: PathBuf,
        held: Box<Held>,
    },
}

impl Place {
    fn scratch(&self) -> Result<Scratch> {
        match self {
            Self::State(path) => Scratch::make(path),
            Self::Unpacked => Scratch::make(Path::new("/var/tmp")),
            Self::Stored { parent, .. } => Scratch::make(parent),
        }
    }

    /// What keeps the image in the store.
    fn lease(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Stored { held, .. } => Some(held.lease()),
            _ => None,
        }
    }
}

fn place(store: &Store, request: &Launch, image: Option<&Image>, ids: &HostIds) -> Result<Place> {
    let Some(image) = image.filter(|image| image.form != Form::Directory) else {
        return Ok(Place::State(store.path().to_owned()));
    };
    let (Some(path), Some(_)) = (&request.images, ImageStore::key(image)) else {
        return Ok(Place::Unpacked);
    };
    // Before any thread, and before the store is opened: a process with threads makes no user namespace, and overlayfs
    // takes no directory that was opened in another mount namespace.
    let images = match ids {
        HostIds::Range(_) => ImageStore::open(&of_ranges(path)),
        _ => overlay::leave_host().and_then(|()| ImageStore::open(path)),
    }?;
    let limits = &request.limits;
    let parent = images.scratch();
    let found = images.find(image, limits)?;
    if found.is_none()
        && let Err(error) = overlay::check(&parent)
    {
        log::warn!("the image is unpacked each time: {error}");
        return Ok(Place::Unpacked);
    }
    let held = match found {
        Some(held) => held,
        None => terminal::watch(request.shown, |progress| {
            images.fill(image, limits, progress)
        })?,
    };
    Ok(Place::Stored {
        parent,
        held: Box::new(held),
    })
}

fn launch_in(
    scratch: &Scratch,
    config: &Config,
    store: &Store,
    request: &Launch,
    ids: &HostIds,
    choice: &Choice,
    mut supervisor: Option<&mut Supervisor>,
) -> Result<i32> {
    let is_root = config
        .process
        .as_ref()
        .is_some_and(|process| process.user.uid == 0);
    let bundle = bundle(scratch, config)?;
    let cgroups = cgroups(request, &choice.profile, ids)?;
    let options = Options {
        cpus: Cpus::Inherited,
        cgroups,
        watch: supervisor
            .as_ref()
            .map_or(Watch::Nothing, |own| own.watch()),
        streams: request.streams,
        ..Options::default()
    };
    let prepared = prepare(bundle, scratch.id(), choice, options).map_err(|error| {
        if is_root && request.user.is_none() {
            let first = "the image asks for root: choose another user by --user UID:GID";
            let then = error.try_this().map(str::to_owned);
            let error = error.hint(first);
            match then {
                Some(then) => error.hint_too(then),
                None => error,
            }
        } else {
            error
        }
    })?;
    prepared.tightened.changes.iter().for_each(Change::log);
    let request = Request {
        id: scratch.id().to_owned(),
        profile: choice.profile.name.clone(),
        is_interactive: true,
        ..Request::default()
    };
    if let Some(supervisor) = &mut supervisor {
        supervisor.begin(&prepared.plan, &prepared.confinement.profile);
    }
    let code = create::run(store, prepared, &request, Attachment::Keep, supervisor)?;
    let entry = store.load(scratch.id())?;
    let _lock = entry.lock()?;
    destroy(&entry, &entry.state()?)?;
    Ok(code)
}

/// Who makes the cgroup. A user without root has its limits from its own systemd where no group can be made by files.
fn cgroups(request: &Launch, profile: &Profile, ids: &HostIds) -> Result<Driver> {
    let has_none = !has_limits(request) && profile.limits == Limits::default();
    if request.cgroups == Driver::Systemd || matches!(ids, HostIds::All) || has_none {
        return Ok(request.cgroups);
    }
    let layout = Layout::discover()?;
    if is_delegated(&layout) {
        return Ok(Driver::Files);
    }
    match systemd::delegation(&layout, &host::Facts::read()?) {
        Ok(delegation) if delegation.has_all(&["cpu", "memory", "pids"]) => {
            return Ok(Driver::Systemd);
        }
        Ok(delegation) => log::debug!("{} cannot limit all", delegation.whose.words()),
        Err(error) => log::debug!("{error}"),
    }
    Ok(Driver::Files)
}

/// The profile without what the caller has decided by a flag.
fn profile_for(request: &Launch, profile: &Profile) -> Profile {
    let mut profile = profile.clone();
    if request.network == Network::Host {
        // Asked for by whoever launches; a profile guards against what a config brings along.
        let required = &mut profile.namespaces.require;
        required.retain(|kind| *kind != NamespaceType::Network);
    }
    if let Some(environment) = &mut profile.environment {
        let names = request.environment.iter();
        let names = names.map(|variable| variable.split('=').next().unwrap_or(variable));
        environment.allow.extend(names.map(str::to_owned));
    }
    profile
}

fn has_limits(request: &Launch) -> bool {
    request.memory.is_some() || request.cpu_quota.is_some() || request.pids.is_some()
}

impl Scratch {
    /// The root filesystem: the one that was named, or one that is made here.
    fn root(&self, image: Option<&Image>, place: &Place, request: &Launch) -> Result<PathBuf> {
        match (image, place) {
            (None, _) => self.embedded_root(),
            (Some(image), Place::State(_)) => fs::canonicalize(&image.path).doing(|| {
                let path = quote_path(&image.path);
                format!("open the root filesystem {path}")
            }),
            (Some(_), Place::Stored { held, .. }) => overlay::mount(held, self),
            (Some(image), Place::Unpacked) => self.unpacked_root(image, request),
        }
    }

    /// The layers of an image.
    fn unpacked_root(&self, image: &Image, request: &Launch) -> Result<PathBuf> {
        let root = self.path().join("rootfs");
        fs::DirBuilder::new()
            .mode(0o755)
            .create(&root)
            .doing(|| "make a root filesystem")?;
        // Whatever the umask is: the program of an image is rarely root.
        fs::set_permissions(&root, fs::Permissions::from_mode(0o755))
            .doing(|| "make a root filesystem")?;
        let unpacked = terminal::watch(request.shown, |progress| {
            image::unpack(image, &root, request.limits.clone(), progress)
        })?;
        for warning in &unpacked.warnings {
            log::debug!("{warning}");
        }
        Ok(root)
    }

    /// A root filesystem that holds this very program and nothing else.
    fn embedded_root(&self) -> Result<PathBuf> {
        let doing = || "make the embedded root filesystem";
        let root = self.path().join("rootfs");
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

/// The config goes through the same loading as one from a file.
fn bundle(scratch: &Scratch, config: &Config) -> Result<Bundle> {
    let text = serde_json::to_vec(config).expect("a config is strings and numbers");
    let (config, warnings) = spec::parse(&text, "launch")?;
    Ok(Bundle {
        path: scratch.path().to_owned(),
        file: "launch".into(),
        config,
        warnings,
    })
}

fn config(
    request: &Launch,
    image: Option<&Image>,
    root: &Path,
    host_ids: &HostIds,
) -> Result<Config> {
    let mut ids = ids(request, image, root)?;
    if matches!(host_ids, HostIds::Own(..)) {
        ids.leave_out_groups();
    }
    let mut config = spec::hardened_default(match host_ids {
        HostIds::All => None,
        HostIds::Own(uid, gid) => Some((*uid, *gid)),
        HostIds::Range(_) => Some((0, 0)),
    });
    if let Some(root_of) = &mut config.root {
        root_of.path = root.to_string_lossy().into_owned();
    }
    if let Some(linux) = &mut config.linux {
        map_ids(linux, host_ids, &ids);
        adapt_linux(linux, request);
    }
    adapt_mounts(
        &mut config.mounts,
        request,
        matches!(host_ids, HostIds::All),
    );
    let mut overrides = Overrides {
        command: request.command.clone(),
        environment: request.environment.clone(),
        workdir: request.workdir.clone(),
    };
    if image.is_none() && overrides.command.is_empty() {
        overrides.command = vec![EMBEDDED_PROGRAM.to_owned()];
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

/// Of the user namespace that there is without root: the one id that the program has, or all.
fn map_ids(linux: &mut Linux, host_ids: &HostIds, ids: &Ids) {
    match host_ids {
        HostIds::All => {}
        HostIds::Own(..) => {
            for (maps, id) in [
                (&mut linux.uid_mappings, ids.uid),
                (&mut linux.gid_mappings, ids.gid),
            ] {
                maps.iter_mut().for_each(|map| map.container_id = id);
            }
        }
        HostIds::Range(ranges) => (linux.uid_mappings, linux.gid_mappings) = ranges.inside(),
    }
}

/// The caller's network and limits.
fn adapt_linux(linux: &mut Linux, request: &Launch) {
    if request.network == Network::Host {
        let namespaces = &mut linux.namespaces;
        namespaces.retain(|namespace| namespace.kind != NamespaceType::Network);
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
