//! `launch`: a directory's root filesystem, or none, becomes a bundle; the bundle runs and everything goes again.
//! How it runs is `create`'s business; nothing here is a second way to start a container.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::Store;
use super::create::{self, Attachment, Request};
use super::prepare::{self, prepare};
use super::{destroy, keeper};
use crate::error::{Doing, Error, Result, quote};
use crate::plan::Options;
use crate::profile::Profile;
use crate::spec::{
    self, Bundle, Capabilities, Config, Cpu, IdMapping, Linux, Memory, Mount, Namespace,
    NamespaceType, Pids, Process, Resources, Root, User,
};

/// Where the embedded root filesystem has its only program.
const EMBEDDED_PROGRAM: &str = "/stockade";

/// What a launch is asked for.
#[derive(Debug, Clone, Default)]
pub struct Launch {
    /// The root filesystem; none for the embedded default.
    pub directory: Option<PathBuf>,
    /// The command; empty only with the embedded default.
    pub command: Vec<String>,
    /// `K=V`.
    pub environment: Vec<String>,
    /// Bind mounts.
    pub binds: Vec<Bind>,
    /// Working directory; `/` by default.
    pub workdir: Option<String>,
    /// User inside, and group where it is not the user's own.
    pub user: Option<(Identity, Option<Identity>)>,
    /// Which network there is.
    pub network: Network,
    /// Bytes.
    pub memory: Option<i64>,
    /// CPU time as microseconds in each period of 100 000.
    pub cpu_quota: Option<i64>,
    /// Number of processes.
    pub pids: Option<i64>,
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
    let scratch = Scratch::make(store)?;
    let root = match &request.directory {
        Some(directory) => fs::canonicalize(directory).doing(|| {
            format!(
                "open the root filesystem {}",
                quote(directory.to_string_lossy().as_bytes())
            )
        })?,
        None => scratch.embedded_root()?,
    };
    let privileged = rustix::process::geteuid().is_root();
    let config = config(request, &root, ids(request, &root)?, privileged);
    let bundle = bundle(&scratch, &config)?;
    let id = scratch.id.clone();
    let mut profile = profile.clone();
    if !privileged && !has_limits(request) {
        profile = profile.without_cgroup_limits();
        log::warn!(
            "without root or a delegated cgroup, limits are per process (rlimits), and none is on CPU time"
        );
    }
    if request.network == Network::Host {
        // Asked for by whoever launches; a profile guards against what a config brings along.
        profile
            .namespaces
            .require
            .retain(|kind| *kind != NamespaceType::Network);
    }
    let prepared = prepare(bundle, &id, &profile, Options::default())?;
    let request = Request {
        id: id.clone(),
        profile: profile.name.clone(),
        is_interactive: true,
        ..Request::default()
    };
    // If this process is killed, the keeper cleans up in its place.
    let keeper = keeper::start(store, &id, &scratch.path)?;
    let outcome = create::run(store, prepared, &request, Attachment::Keep);
    if outcome.is_ok() {
        let entry = store.load(&id)?;
        let _lock = entry.lock()?;
        destroy(&entry, &entry.state()?)?;
    }
    drop(scratch);
    keeper.dismiss();
    outcome
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
    fn make(store: &Store) -> Result<Self> {
        let random = rustix_random()?;
        let id = format!("launch-{random:016x}");
        let path = store.path().join(format!(".{id}"));
        fs::DirBuilder::new()
            .mode(0o711)
            .create(&path)
            .doing(|| "make a scratch directory")?;
        Ok(Self { id, path })
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
        if let Err(cause) = fs::remove_dir_all(&self.path) {
            let doing = format!("remove {}", quote(self.path.to_string_lossy().as_bytes()));
            log::warn!("{}", Error::new(doing, cause));
        }
    }
}

fn rustix_random() -> Result<u64> {
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

fn config(request: &Launch, root: &Path, (uid, gid): (u32, u32), privileged: bool) -> Config {
    let (command, environment) = command_and_environment(request);
    Config {
        oci_version: "1.3.0".into(),
        process: Some(Process {
            user: User {
                uid,
                gid,
                ..User::default()
            },
            args: command,
            env: environment,
            cwd: request.workdir.clone().unwrap_or_else(|| "/".into()),
            capabilities: Some(Capabilities::default()),
            no_new_privileges: true,
            ..process()
        }),
        root: Some(Root {
            path: root.to_string_lossy().into_owned(),
            readonly: true,
        }),
        hostname: Some("stockade".into()),
        domainname: None,
        mounts: mounts(request, privileged),
        hooks: None,
        annotations: BTreeMap::new(),
        linux: Some(linux(request, (uid, gid), privileged)),
    }
}

fn process() -> Process {
    let hardened = spec::hardened_default(None);
    hardened.process.expect("the default config has a process")
}

fn command_and_environment(request: &Launch) -> (Vec<String>, Vec<String>) {
    let mut environment =
        vec!["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()];
    environment.extend(request.environment.iter().cloned());
    if request.command.is_empty() {
        let mut command = vec![EMBEDDED_PROGRAM.to_owned(), "inside".to_owned()];
        command.extend(request.report_flags.iter().cloned());
        return (command, environment);
    }
    (request.command.clone(), environment)
}

fn linux(request: &Launch, (uid, gid): (u32, u32), privileged: bool) -> Linux {
    let kinds = [
        NamespaceType::Mount,
        NamespaceType::Pid,
        NamespaceType::Ipc,
        NamespaceType::Uts,
        NamespaceType::Cgroup,
    ];
    let mut namespaces: Vec<Namespace> = kinds.map(|kind| Namespace { kind, path: None }).to_vec();
    if request.network == Network::None {
        namespaces.push(Namespace {
            kind: NamespaceType::Network,
            path: None,
        });
    }
    let (mut uid_mappings, mut gid_mappings) = (Vec::new(), Vec::new());
    if !privileged {
        namespaces.push(Namespace {
            kind: NamespaceType::User,
            path: None,
        });
        let map = |inside: u32, outside: u32| {
            vec![IdMapping {
                container_id: inside,
                host_id: outside,
                size: 1,
            }]
        };
        uid_mappings = map(uid, rustix::process::geteuid().as_raw());
        gid_mappings = map(gid, rustix::process::getegid().as_raw());
    }
    let hardened = spec::hardened_default(None).linux.unwrap_or_default();
    Linux {
        namespaces,
        uid_mappings,
        gid_mappings,
        resources: resources(request),
        masked_paths: hardened.masked_paths,
        readonly_paths: hardened.readonly_paths,
        ..Linux::default()
    }
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

/// Those of the hardened config, and the binds.
fn mounts(request: &Launch, privileged: bool) -> Vec<Mount> {
    let mut mounts = spec::hardened_default((!privileged).then_some((0, 0))).mounts;
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
    mounts
}

/// A user or group, by number or by its name in the root filesystem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// By number.
    Number(u32),
    /// By name.
    Name(String),
}

/// The ids of the user; by default 1000, or whatever a user without privileges is.
fn ids(request: &Launch, root: &Path) -> Result<(u32, u32)> {
    let Some((user, group)) = &request.user else {
        return Ok((1000, 1000));
    };
    let read = |path: &std::ffi::CStr| -> String {
        let mut text = String::new();
        let file = prepare::open_in_image(root, path);
        // Text that is not there has no names; the error below says so.
        drop(file.map(|file| file.take(1 << 20).read_to_string(&mut text)));
        text
    };
    let missing = |what: &str, name: &str| {
        Error::new(
            format!("--user {}", quote(name)),
            format!("no such {what} in the root filesystem"),
        )
    };
    let line = |text: &str, name: &str| -> Option<Vec<String>> {
        let fields = text
            .lines()
            .map(|line| line.split(':').map(str::to_owned).collect::<Vec<_>>());
        fields
            .into_iter()
            .find(|fields| fields.first().is_some_and(|first| first == name) && fields.len() > 3)
    };
    let number = |text: &str| text.parse::<u32>().ok().filter(|id| *id != u32::MAX);
    let (uid, own_group) = match user {
        Identity::Number(number) => (*number, *number),
        Identity::Name(name) => {
            let fields = line(&read(c"etc/passwd"), name).ok_or_else(|| missing("user", name))?;
            number(&fields[2])
                .zip(number(&fields[3]))
                .ok_or_else(|| missing("user", name))?
        }
    };
    let gid = match group {
        None => own_group,
        Some(Identity::Number(number)) => *number,
        Some(Identity::Name(name)) => {
            let fields = line(&read(c"etc/group"), name).ok_or_else(|| missing("group", name))?;
            number(&fields[2]).ok_or_else(|| missing("group", name))?
        }
    };
    Ok((uid, gid))
}
