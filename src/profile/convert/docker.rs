//! A profile as flags of `docker run` and `docker create`, on top of what Docker does without any (version 28).
//! Reading such flags is in `docker_flags`.

use crate::error::Result;
use crate::profile::format::{Flag, Groups, Profile, Verdict};
use crate::spec::NamespaceType;

use super::values::{DOCKER_MASKED, ENGINE_MASKED, ENGINE_READONLY, ENGINE_READONLY_KERNEL};
use super::{Converted, Row, Way, Writing, carry};

type Flags = Vec<String>;

const TABLE: &[Row<Flags>] = &[
    ("identity.non-root", Way::Says(user)),
    ("identity.minimum-uid", Way::Says(minimum_uid)),
    ("identity.additional-groups", Way::Says(groups)),
    ("capabilities.allow", Way::Says(capabilities)),
    ("process.no-new-privileges", Way::Says(no_new_privileges)),
    (
        "process.terminal",
        Way::Looser("--tty is for each call to say"),
    ),
    ("namespaces.require", Way::Says(namespaces)),
    ("namespaces.net-devices", Way::Holds),
    ("root.readonly", Way::Says(readonly)),
    ("mounts.propagation", Way::Holds),
    (
        "mounts.bind",
        Way::Looser("each --volume has its own options"),
    ),
    (
        "mounts.tmpfs",
        Way::Looser("each --tmpfs has its own options"),
    ),
    ("mounts.kernel.add", Way::Says(kernel_options)),
    ("mounts.kernel.readonly", Way::Says(kernel_readonly)),
    ("paths.mask", Way::Says(masked)),
    ("paths.readonly", Way::Says(readonly_paths)),
    ("paths.mask-thermal-throttle", Way::Holds),
    ("devices.deny-all", Way::Holds),
    ("devices.allow", Way::Says(device_rules)),
    ("devices.nodes", Way::Says(devices)),
    ("limits.memory", Way::Says(memory)),
    ("limits.swap", Way::Says(swap)),
    ("limits.pids", Way::Says(pids)),
    ("limits.cpu-percent", Way::Says(cpus)),
    ("rlimits", Way::Says(ulimits)),
    ("seccomp", Way::Says(filter)),
];

/// The limits that `--ulimit` knows, and their names.
pub(super) const ULIMITS: [(&str, &str); 15] = [
    ("core", "RLIMIT_CORE"),
    ("cpu", "RLIMIT_CPU"),
    ("data", "RLIMIT_DATA"),
    ("fsize", "RLIMIT_FSIZE"),
    ("locks", "RLIMIT_LOCKS"),
    ("memlock", "RLIMIT_MEMLOCK"),
    ("msgqueue", "RLIMIT_MSGQUEUE"),
    ("nice", "RLIMIT_NICE"),
    ("nofile", "RLIMIT_NOFILE"),
    ("nproc", "RLIMIT_NPROC"),
    ("rss", "RLIMIT_RSS"),
    ("rtprio", "RLIMIT_RTPRIO"),
    ("rttime", "RLIMIT_RTTIME"),
    ("sigpending", "RLIMIT_SIGPENDING"),
    ("stack", "RLIMIT_STACK"),
];

/// The profile as arguments, quoted for a shell; `filter` is where the file of its system-call filter is.
///
/// # Errors
/// None that is known: a profile is plain data.
pub fn to_docker(profile: &Profile, filter: Option<&str>) -> Result<Converted<String>> {
    let flags = carry(profile, filter, "docker", TABLE)?;
    Ok(flags.map(|flags| {
        let quoted = flags.iter().map(|flag| quoted(flag));
        quoted.collect::<Vec<_>>().join(" ")
    }))
}

fn quoted(word: &str) -> String {
    // Only a byte of 0 cannot be quoted, and none of our words has one.
    shlex::try_quote(word).map_or_else(|_| String::new(), Into::into)
}

impl Writing<'_, Flags> {
    fn flag<const N: usize>(&mut self, words: [&str; N]) {
        self.out.extend(words.map(str::to_owned));
    }
}

fn user(to: &mut Writing<'_, Flags>) {
    let identity = &to.profile.identity;
    if identity.non_root != Verdict::Refuse {
        let why = "Docker does not warn of root";
        return to.losses.looser("identity.non-root", why);
    }
    let id = identity.minimum_uid.max(1).to_string();
    to.flag(["--user", &format!("{id}:{id}")]);
    let why = format!("the user is {id}, where any but root is allowed");
    to.losses.stricter("identity.non-root", why);
}

fn minimum_uid(to: &mut Writing<'_, Flags>) {
    if to.profile.identity.non_root != Verdict::Refuse {
        let why = "Docker has no lowest user id";
        to.losses.looser("identity.minimum-uid", why);
    }
}

fn groups(to: &mut Writing<'_, Flags>) {
    if to.profile.identity.additional_groups != Groups::Keep {
        let why = "a user gets the groups that the image has for it";
        to.losses.looser("identity.additional-groups", why);
    }
}

fn capabilities(to: &mut Writing<'_, Flags>) {
    to.flag(["--cap-drop", "ALL"]);
    let section = to.profile.capabilities.iter();
    for name in section.flat_map(|section| &section.allow) {
        to.flag(["--cap-add", name]);
    }
}

fn no_new_privileges(to: &mut Writing<'_, Flags>) {
    to.flag(["--security-opt", "no-new-privileges"]);
}

/// Those of mounts, processes, host name and network are new ones unless a flag says otherwise.
fn namespaces(to: &mut Writing<'_, Flags>) {
    for kind in &to.profile.namespaces.require {
        match kind {
            NamespaceType::Ipc => to.flag(["--ipc", "private"]),
            NamespaceType::Cgroup => to.flag(["--cgroupns", "private"]),
            NamespaceType::User => to.losses.looser(
                "namespaces.require",
                "user: set userns-remap for the daemon",
            ),
            NamespaceType::Time => to
                .losses
                .looser("namespaces.require", "time: Docker has no such namespaces"),
            _ => {}
        }
    }
}

fn readonly(to: &mut Writing<'_, Flags>) {
    to.flag(["--read-only"]);
}

fn kernel_options(to: &mut Writing<'_, Flags>) {
    if to.profile.mounts.kernel.add.contains(&Flag::Ro) {
        let why = "ro: /proc stays writable, all but its read-only paths";
        to.losses.looser("mounts.kernel.add", why);
    }
}

fn kernel_readonly(to: &mut Writing<'_, Flags>) {
    let kinds = &to.profile.mounts.kernel.readonly;
    others(
        to,
        "mounts.kernel.readonly",
        kinds,
        &[&ENGINE_READONLY_KERNEL],
    );
}

fn masked(to: &mut Writing<'_, Flags>) {
    let paths = &to.profile.paths.mask;
    others(to, "paths.mask", paths, &[&ENGINE_MASKED, &DOCKER_MASKED]);
}

/// What is hidden is not written to either.
fn readonly_paths(to: &mut Writing<'_, Flags>) {
    let paths = &to.profile.paths.readonly;
    let known: [&[&str]; 3] = [&ENGINE_READONLY, &ENGINE_MASKED, &DOCKER_MASKED];
    others(to, "paths.readonly", paths, &known);
}

/// What is not among what the engine does anyway.
pub(super) fn others<O>(
    to: &mut Writing<'_, O>,
    field: &str,
    wanted: &[String],
    known: &[&[&str]],
) {
    let is_known = |item: &&String| known.iter().any(|known| known.contains(&item.as_str()));
    let rest: Vec<&str> = wanted
        .iter()
        .filter(|item| !is_known(item))
        .map(String::as_str)
        .collect();
    if !rest.is_empty() {
        let why = format!(
            "cannot be added to what the engine does: {}",
            rest.join(" ")
        );
        to.losses.looser(field, crate::error::escape(why));
    }
}

fn device_rules(to: &mut Writing<'_, Flags>) {
    for set in to.profile.devices.allow.iter().flatten() {
        to.flag(["--device-cgroup-rule", &set.to_string()]);
    }
    let why =
        "the rules of Docker's own stay: nodes of any device may be made, by whoever has CAP_MKNOD";
    to.losses.looser("devices.allow", why);
}

fn devices(to: &mut Writing<'_, Flags>) {
    for path in to.profile.devices.nodes.iter().flatten() {
        to.flag(["--device", path]);
    }
}

fn memory(to: &mut Writing<'_, Flags>) {
    if let Some(bytes) = to.limit("limits.memory", &to.profile.limits.memory) {
        to.flag(["--memory", &bytes.to_string()]);
    }
}

/// Docker counts memory and swap together.
fn swap(to: &mut Writing<'_, Flags>) {
    let Some(swap) = to.limit("limits.swap", &to.profile.limits.swap) else {
        return;
    };
    let memory = &to.profile.limits.memory;
    match memory.default.or(memory.maximum) {
        Some(super::Quantity::Number(memory)) => {
            let both = memory.saturating_add(swap).to_string();
            to.flag(["--memory-swap", &both]);
        }
        _ => to.losses.looser(
            "limits.swap",
            "Docker limits swap only where it limits memory",
        ),
    }
}

fn pids(to: &mut Writing<'_, Flags>) {
    match to.limit("limits.pids", &to.profile.limits.pids) {
        // To Docker 0 is no limit.
        Some(0) => to.losses.looser("limits.pids", "0 is no limit to Docker"),
        Some(tasks) => to.flag(["--pids-limit", &tasks.to_string()]),
        None => {}
    }
}

fn cpus(to: &mut Writing<'_, Flags>) {
    match to.limit("limits.cpu-percent", &to.profile.limits.cpu_percent) {
        Some(0) => to
            .losses
            .looser("limits.cpu-percent", "0 is no limit to Docker"),
        Some(percent) => {
            let cpus = format!("{}.{:02}", percent / 100, percent % 100);
            to.flag(["--cpus", &cpus]);
        }
        None => {}
    }
}

fn ulimits(to: &mut Writing<'_, Flags>) {
    for (kind, bound) in &to.profile.rlimits {
        match ULIMITS.iter().find(|(_, known)| known == kind) {
            Some((word, _)) => {
                let maximum = bound.maximum;
                to.flag(["--ulimit", &format!("{word}={maximum}:{maximum}")]);
            }
            None => to
                .losses
                .looser(format!("rlimits.{kind}"), "--ulimit has no such limit"),
        }
    }
}

fn filter(to: &mut Writing<'_, Flags>) {
    match to.filter {
        Some(file) => to.flag(["--security-opt", &format!("seccomp={file}")]),
        None => to.losses.looser(
            "seccomp",
            "Docker's own filter stays in its place; --seccomp FILE writes this one and refers to it",
        ),
    }
}
