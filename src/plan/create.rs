//! The order of confinement: `create`, and the three phases of the child below it. What each part consists of is in the
//! files beside this one.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;

use serde::{Deserialize, Serialize};

use super::mounts::Mounts;
use super::namespaces::Namespaces;
use super::{
    Console, Filter, HookCall, HookConfinement, NetDevice, Plan, Step, Tree, cgroup, devices,
    environment, process,
};
use crate::cgroup::{Driver, Layout, Location, Mode};
use crate::error::{Error, Result, quote};
use crate::host::Facts;
use crate::names;
use crate::profile::{Habits, Hardening, Ruleset};
use crate::seccomp::{self, Warning, Watch};
use crate::spec::{
    self, Bundle, Config, Hook, Linux, NamespaceType, Process, Seccomp, SeccompFlag,
};
use crate::sys::program::Vector;

/// Everything that a plan depends on. What is read from the host or the image was read before.
#[derive(Debug)]
pub struct Inputs<'a> {
    /// Where the config came from.
    pub bundle: &'a Bundle,
    /// The config, after the profile.
    pub config: &'a Config,
    /// How what the specification leaves open is done.
    pub habits: Habits,
    /// The profile's own filter.
    pub profile_filter: Option<&'a Seccomp>,
    /// The profile's Landlock rules.
    pub landlock: Option<&'a Ruleset>,
    /// What else the profile demands beside the config.
    pub hardening: Hardening,
    /// The host.
    pub host: &'a Facts,
    /// The cgroup hierarchies.
    pub layout: &'a Layout,
    /// The container's cgroup; none for a container without limits where none can be made.
    pub location: Option<Location>,
    /// HOME of the user, where the environment lacks it.
    pub home: Option<String>,
    /// The resource limits that the runtime has: resource, soft, hard.
    pub limits: BTreeMap<u32, (u64, u64)>,
    /// Where proc and sysfs are mounted whole in the runtime namespace, in the order of mounting; for
    /// [`ChangeOfRoot::Move`] alone.
    pub system_mounts: Vec<String>,
    /// What the caller asked for beside the config.
    pub options: Options,
    /// Container id, for the state that hooks get.
    pub id: &'a str,
}

impl<'a> Inputs<'a> {
    /// The two parts of the config without which there is no plan.
    pub(super) fn linux_and_process(&self) -> Result<(&'a Linux, &'a Process)> {
        let missing = |name| Error::new(field(self, name), "a container needs it");
        let linux = self.config.linux.as_ref();
        let process = self.config.process.as_ref();
        Ok((
            linux.ok_or_else(|| missing("linux"))?,
            process.ok_or_else(|| missing("process"))?,
        ))
    }
}

/// Flags of `create` and `run` that change the plan.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// How the old root is left.
    pub root: ChangeOfRoot,
    /// Which keyring the container gets.
    pub keyring: Keyring,
    /// Descriptors after standard error that the program inherits.
    pub preserve_fds: u32,
    /// Who makes the cgroup.
    pub cgroups: Driver,
    /// On which CPUs the program starts.
    pub cpus: Cpus,
    /// An open file to execute in place of the first argument, by the number of its descriptor.
    pub program: Option<i32>,
    /// Open files in place of the caller's standard streams, by the numbers of their descriptors, above 2.
    pub streams: Option<[i32; 3]>,
    /// Which system calls a listener of the runtime is asked about.
    pub watch: Watch,
}

/// On which CPUs a container's first process starts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Cpus {
    /// Every one of its cgroup: the runtime may itself be bound to those that a host keeps for its services.
    #[default]
    All,
    /// The caller's, who may have chosen them (taskset(1)).
    Inherited,
}

/// How the old root is left behind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ChangeOfRoot {
    /// pivot_root(2).
    #[default]
    Pivot,
    /// Move over `/` and chroot(2), where pivot_root(2) cannot work.
    Move,
}

/// Which session keyring the container gets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Keyring {
    /// A new one.
    #[default]
    New,
    /// The runtime's.
    Inherited,
}

/// The parameter of a pid namespace.
const MEMFD_NOEXEC: &str = "vm/memfd_noexec";

/// Computes the plan of a container.
///
/// # Errors
/// A field that cannot be honoured on this host, by its name.
pub fn create(inputs: &Inputs<'_>) -> Result<Plan> {
    let (linux, process) = inputs.linux_and_process()?;
    refuse_what_is_not_there(inputs, linux)?;
    let spaces = Namespaces::of(inputs, linux);
    let (filters, watched) = watched(inputs, filters(inputs, linux)?)?;
    let mut warnings = Vec::new();
    let privileges = process::Privileges::of(inputs, process, &filters, &mut warnings);
    let mut mounts = Mounts::of(inputs, linux, &spaces)?;
    let setup = setup(inputs, linux, process, &spaces, &mut mounts)?;
    let enter = enter(inputs, linux, process, &spaces, &privileges, &mut mounts)?;
    let limits = process::limits(inputs, process)?;
    let start = start(
        inputs,
        process,
        &spaces,
        &privileges,
        &limits,
        filters.len(),
    )?;
    let program = environment::program(process, inputs.home.as_deref());
    Ok(Plan {
        cgroup: cgroup::cgroup(inputs, linux)?,
        new_namespaces: spaces.new,
        id_maps: spaces.maps,
        oom_score: process.oom_score_adj,
        raised_limits: process::raised(&limits, &inputs.limits),
        is_moved: false,
        net_devices: net_devices(inputs, linux)?,
        joins_first: spaces.joins_first,
        joins: spaces.joins,
        setup,
        enter,
        start,
        filters,
        watched,
        landlock: inputs.landlock.cloned(),
        candidates: program.candidates,
        program: inputs.options.program,
        streams: inputs.options.streams,
        arguments: program.arguments,
        environment: program.environment,
        trees: mounts.trees,
        kept: mounts.kept,
        warnings,
    })
}

/// Messages 1 to 2: cgroups, namespaces, everything that is mounted or made in the root. The runtime's root is still there.
fn setup(
    inputs: &Inputs<'_>,
    linux: &Linux,
    process: &Process,
    spaces: &Namespaces,
    mounts: &mut Mounts,
) -> Result<Vec<Step>> {
    let config = inputs.config;
    let mut steps = Vec::new();
    // The kernel asks the writer for the host's root, which no id of a user namespace is any more.
    let (by_owner, sysctls): (Vec<_>, Vec<_>) = linux
        .sysctl
        .iter()
        .partition(|(key, _)| names::sysctl_file(key).as_deref() == Some(MEMFD_NOEXEC));
    steps.extend(by_owner.into_iter().map(|(key, value)| sysctl(key, value)));
    steps.extend(
        spaces
            .take_ids
            .map(|(uid, gid)| Step::TakeMappedIds { uid, gid }),
    );
    if inputs.location.is_some() && inputs.layout.mode() != Mode::V2 {
        steps.push(Step::EnterCgroups);
    }
    if inputs.options.cpus == Cpus::All {
        steps.push(Step::EveryCpu);
    }
    if spaces.new_cgroup {
        steps.push(Step::NewCgroupNamespace);
    }
    steps.push(Step::NewSession);
    if inputs.options.keyring == Keyring::New {
        steps.push(Step::NewKeyring);
    }
    if spaces.is_new(libc::CLONE_NEWNET) {
        steps.push(Step::LoopbackUp);
    }
    steps.append(&mut mounts.steps);
    steps.extend(devices::steps(inputs, linux, spaces)?);
    let at = |name: &str| field(inputs, name);
    steps.extend(process::terminal(process, Console::Bound, at)?);
    steps.extend(config.hostname.as_deref().map(c_string).map(Step::Hostname));
    steps.extend(
        config
            .domainname
            .as_deref()
            .map(c_string)
            .map(Step::Domainname),
    );
    steps.extend(sysctls.into_iter().map(|(key, value)| sysctl(key, value)));
    steps.push(Step::Directory(c_string(&process.cwd)));
    Ok(steps)
}

/// Messages 3 to 4: read-only and hidden paths, the change of root, ids and capabilities. There is no way back.
fn enter(
    inputs: &Inputs<'_>,
    linux: &Linux,
    process: &Process,
    spaces: &Namespaces,
    privileges: &process::Privileges,
    mounts: &mut Mounts,
) -> Result<Vec<Step>> {
    let mut steps = hooks(
        inputs,
        "createContainer",
        &inputs.bundle.path.to_string_lossy(),
    );
    steps.extend(
        linux
            .readonly_paths
            .iter()
            .map(|path| Step::ReadonlyPath(c_string(&super::mounts::clean(path)))),
    );
    steps.append(&mut mounts.seals);
    // A second mask would lie on the first.
    let mut masked = BTreeSet::new();
    let paths = linux
        .masked_paths
        .iter()
        .map(|path| super::mounts::clean(path));
    let paths = paths.filter(|path| masked.insert(path.clone()));
    steps.extend(paths.map(|path| Step::MaskedPath(c_string(&path))));
    steps.append(&mut mounts.shared);
    if inputs
        .config
        .root
        .as_ref()
        .is_some_and(|root| root.readonly)
    {
        steps.push(Step::ReadonlyRoot);
    }
    match (spaces.is_new(libc::CLONE_NEWNS), inputs.options.root) {
        (false, _) => steps.push(Step::ChangeRoot),
        (true, ChangeOfRoot::Pivot) => steps.push(Step::PivotRoot),
        (true, ChangeOfRoot::Move) => {
            // The innermost first.
            let mounts = inputs.system_mounts.iter().rev();
            steps.extend(mounts.map(|path| Step::Unmount(c_string(path))));
            steps.push(Step::MoveRoot);
        }
    }
    steps.extend(super::mounts::root_propagation(inputs, linux)?);
    // The last that takes the host's /proc, which must not be open when others of the container may come.
    steps.extend(process::label(inputs, process)?);
    steps.extend(become_the_user(inputs, linux, process, spaces, privileges)?);
    Ok(steps)
}

/// Ids, capabilities and what goes with them, in the container's root: the same for its first process and for those that
/// enter it.
pub(super) fn become_the_user(
    inputs: &Inputs<'_>,
    linux: &Linux,
    process: &Process,
    spaces: &Namespaces,
    privileges: &process::Privileges,
) -> Result<Vec<Step>> {
    let mut steps = process::scheduling(inputs, process, linux)?;
    steps.extend(process::stdio(process));
    // Callers give directories that are the user's by name only, such as a home with mode 0700. Being in one is no right
    // to anything in it.
    steps.push(Step::WorkdirFirst(c_string(&process.cwd)));
    steps.push(Step::Bound {
        keep: privileges.bounding,
        last: inputs.host.last_capability,
    });
    steps.extend(process::identity(inputs, process, spaces)?);
    steps.push(Step::Workdir(c_string(&process.cwd)));
    steps.push(Step::Capabilities {
        sets: privileges.sets,
        ambient: privileges.ambient,
        lock_securebits: inputs.hardening.lock_securebits,
    });
    // With the rights that execve(2) will ask for.
    steps.push(Step::FindProgram);
    Ok(steps)
}

/// Messages 5 to 6: what comes right before the program. Limits and filters last: they bind the runtime too.
pub(super) fn start(
    inputs: &Inputs<'_>,
    process: &Process,
    spaces: &Namespaces,
    privileges: &process::Privileges,
    limits: &[process::Limit],
    filters: usize,
) -> Result<Vec<Step>> {
    let mut steps = hooks(inputs, "startContainer", "/");
    steps.push(Step::Umask(process.user.umask.unwrap_or(0o022)));
    if process.no_new_privileges {
        steps.push(Step::NoNewPrivileges);
    }
    if inputs.hardening.deny_write_execute {
        steps.push(Step::DenyWriteExecute);
    }
    // Paths are opened here for the last time, which a limit may forbid.
    steps.extend(inputs.landlock.map(|_| Step::Landlock));
    steps.extend(limits.iter().map(|(resource, soft, hard)| Step::Limit {
        resource: *resource,
        soft: *soft,
        hard: *hard,
    }));
    steps.push(Step::Verify(Box::new(process::expectation(
        inputs, process, privileges, limits, spaces,
    ))));
    // The last that needs a descriptor is done; a filter may refuse close_range(2).
    steps.push(Step::CloseFrom {
        first: 3 + inputs.options.preserve_fds,
    });
    steps.extend((0..filters).map(|filter| Step::Seccomp { filter }));
    steps.push(Step::Execute);
    Ok(steps)
}

/// A field's name with the file it stands in, for the front of an error.
pub(super) fn field(inputs: &Inputs<'_>, name: &str) -> String {
    format!("{}: {name}", quote(&inputs.bundle.file))
}

/// Text of a loaded config: loading refuses NUL.
pub(super) fn c_string(text: &str) -> CString {
    CString::new(text).expect("loading refuses NUL in strings")
}

/// A field whose subject stockade does not have. Ignoring it would run a container that is not the one asked for.
fn refuse_what_is_not_there(inputs: &Inputs<'_>, linux: &Linux) -> Result<()> {
    match linux.intel_rdt {
        Some(_) => Err(Error::new(
            field(inputs, "linux.intelRdt"),
            "Intel RDT is not supported yet",
        )),
        None => Ok(()),
    }
}

/// The devices that move, each with the name that it gets.
fn net_devices(inputs: &Inputs<'_>, linux: &Linux) -> Result<Vec<NetDevice>> {
    let mut namespaces = linux.namespaces.iter();
    let is_separate = namespaces.any(|namespace| namespace.kind == NamespaceType::Network);
    if !linux.net_devices.is_empty() && !is_separate {
        return Err(Error::new(
            field(inputs, "linux.netDevices"),
            "needs a \"network\" namespace in linux.namespaces",
        ));
    }
    let devices = linux.net_devices.iter();
    let device = |(name, device): (&String, &spec::NetDevice)| NetDevice {
        name: name.clone(),
        new_name: device.new_name(name).to_owned(),
    };
    Ok(devices.map(device).collect())
}

fn sysctl(key: &str, value: &str) -> Step {
    let path = names::sysctl_file(key).expect("loading refuses other keys");
    Step::Sysctl {
        file: c_string(&format!("sys/{path}")),
        value: c_string(value),
    }
}

fn hooks(inputs: &Inputs<'_>, name: &str, directory: &str) -> Vec<Step> {
    let Some(hooks) = &inputs.config.hooks else {
        return Vec::new();
    };
    let (list, status) = match name {
        "createContainer" => (&hooks.create_container, "creating"),
        _ => (&hooks.start_container, "created"),
    };
    list.iter()
        .enumerate()
        .map(|(index, hook)| {
            hook_step(
                inputs,
                format!("hooks.{name}[{index}]"),
                hook,
                status,
                directory,
            )
        })
        .collect()
}

fn hook_step(
    inputs: &Inputs<'_>,
    name: String,
    hook: &Hook,
    status: &str,
    directory: &str,
) -> Step {
    let path = c_string(&hook.path);
    let arguments: Vec<CString> = if hook.args.is_empty() {
        vec![path.clone()]
    } else {
        hook.args
            .iter()
            .map(|argument| c_string(argument))
            .collect()
    };
    Step::Hook(Box::new(HookCall {
        name,
        path,
        arguments: Vector::new(arguments),
        directory: c_string(directory),
        environment: hook_environment(inputs, hook, status),
        timeout: hook.timeout.and_then(|seconds| u64::try_from(seconds).ok()),
        confinement: (status == "created").then(|| HookConfinement {
            no_new_privileges: inputs
                .config
                .process
                .as_ref()
                .is_some_and(|process| process.no_new_privileges),
            deny_write_execute: inputs.hardening.deny_write_execute,
        }),
        state: state_around_pid(inputs, status),
    }))
}

/// Without `env`, a startContainer hook has that of the program, which it is confined like; a createContainer hook has
/// none: it still has the rights of the runtime, and the image may have set the variables (CVE-2025-23266).
fn hook_environment(inputs: &Inputs<'_>, hook: &Hook, status: &str) -> Vector {
    let process = inputs.config.process.as_ref();
    let variables = match (&hook.env, process) {
        (Some(env), _) => env.clone(),
        (None, Some(process)) if status == "created" => {
            environment::complete(&process.env, inputs.home.as_deref())
        }
        (None, _) => Vec::new(),
    };
    Vector::new(
        variables
            .iter()
            .map(|variable| c_string(variable))
            .collect(),
    )
}

/// The state document in two halves, the process id missing between them.
fn state_around_pid(inputs: &Inputs<'_>, status: &str) -> (String, String) {
    let text = |value: &str| serde_json::Value::from(value).to_string();
    let annotations = serde_json::to_string(&inputs.config.annotations).expect("keys are strings");
    (
        format!(
            "{{\"ociVersion\":{},\"id\":{},\"status\":{},\"pid\":",
            text(&inputs.config.oci_version),
            text(inputs.id),
            text(status)
        ),
        format!(
            ",\"bundle\":{},\"annotations\":{annotations}}}",
            text(&inputs.bundle.path.to_string_lossy())
        ),
    )
}

/// The config's filter and the profile's: the kernel asks both and takes the stricter answer.
pub(super) fn filters(inputs: &Inputs<'_>, linux: &Linux) -> Result<Vec<Filter>> {
    let sources = [
        ("linux.seccomp", linux.seccomp.as_ref()),
        ("profile", inputs.profile_filter),
    ];
    let mut filters = Vec::new();
    for (origin, source) in sources {
        if let Some(source) = source {
            let compiled = seccomp::compile(&with_usual_flags(inputs, source))?;
            for warning in &compiled.warnings {
                match warning {
                    Warning::Usual(text) => log::debug!("{text}"),
                    Warning::Mistake(text) => log::warn!("{text}"),
                }
            }
            filters.push(Filter {
                origin,
                program: compiled.program,
                flags: compiled.flags,
            });
        }
    }
    Ok(filters)
}

/// Where a filter has no `flags`, not even an empty list, runc lets the program speculate as it would without a filter.
fn with_usual_flags<'a>(inputs: &Inputs<'_>, filter: &'a Seccomp) -> Cow<'a, Seccomp> {
    if filter.flags.is_some() || inputs.habits == Habits::Own {
        return Cow::Borrowed(filter);
    }
    let flags = Some(vec![SeccompFlag::SpecAllow]);
    Cow::Owned(Seccomp {
        flags,
        ..filter.clone()
    })
}

/// The filters to install, and those that whoever listens answers in the place of.
fn watched(inputs: &Inputs<'_>, filters: Vec<Filter>) -> Result<(Vec<Filter>, Vec<Filter>)> {
    let watch = inputs.options.watch;
    if watch == Watch::Nothing {
        return Ok((filters, Vec::new()));
    }
    if let Some(hooks) = &inputs.config.hooks {
        if !hooks.start_container.is_empty() {
            let cause = "nobody answers for the system calls of a hook when those of the program are watched";
            return Err(Error::new(field(inputs, "hooks.startContainer"), cause));
        }
        if !hooks.poststart.is_empty() {
            let cause = "nobody answers for the system calls of the program while this hook runs, when they are watched";
            return Err(Error::new(field(inputs, "hooks.poststart"), cause));
        }
    }
    let programs: Vec<_> = filters
        .iter()
        .map(|filter| (&filter.program[..], filter.flags))
        .collect();
    let (program, flags) = seccomp::watching(&programs, watch)?;
    let asking = Filter {
        origin: "linux.seccomp and the profile, watched",
        program,
        flags,
    };
    let watched = if matches!(watch, Watch::Permissive(_)) {
        Vec::new()
    } else {
        filters
    };
    Ok((vec![asking], watched))
}

/// Adds a tree that the parent opens, and returns its number.
pub(super) fn add_tree(trees: &mut Vec<Tree>, tree: Tree) -> usize {
    trees.push(tree);
    trees.len() - 1
}
