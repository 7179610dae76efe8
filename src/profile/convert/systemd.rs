//! A profile as the section `[Service]` of a unit of systemd: a drop-in (systemd.exec(5), systemd.resource-control(5)).
//! A service has all that the host has, so every demand is said. Reading units is in `systemd_unit`.

use crate::error::Result;
use crate::names::syscalls::{self, Syscall};
use crate::profile::filter::filter as compiled;
use crate::profile::format::{Flag, Groups, Profile, Propagation, Verdict};
use crate::profile::region::{Answer, Cube, answers, minus};
use crate::spec::{NamespaceType, SeccompAction};

use super::docker::others;
use super::systemd_calls::{ARCHITECTURES, FAMILIES, NAMESPACES, NO_PERSONALITY, group};
use super::{Converted, Row, Way, Writing, carry};

type Unit = Vec<(&'static str, String)>;

/// The highest id from which on all ids of `DynamicUser` are.
const DYNAMIC: u32 = 61_184;

/// Longer values go on in another assignment, which adds to the first.
const WIDTH: usize = 100;

const TABLE: &[Row<Unit>] = &[
    ("identity.non-root", Way::Says(user)),
    ("identity.minimum-uid", Way::Says(minimum_uid)),
    ("identity.additional-groups", Way::Says(groups)),
    ("capabilities.allow", Way::Says(capabilities)),
    ("process.no-new-privileges", Way::Says(no_new_privileges)),
    (
        "process.terminal",
        Way::Looser("StandardInput=tty is for each unit to say"),
    ),
    (
        "process.lock-securebits",
        Way::Looser("SecureBits= is for each unit to add"),
    ),
    (
        "environment.allow",
        Way::Looser("variables are for each unit to say"),
    ),
    (
        "memory.deny-write-execute",
        Way::Looser("MemoryDenyWriteExecute=yes is for each unit to add"),
    ),
    (
        "apparmor",
        Way::Looser("AppArmorProfile= is for each unit to add"),
    ),
    ("namespaces.require", Way::Says(namespaces)),
    ("namespaces.net-devices", Way::Holds),
    ("root.readonly", Way::Says(readonly)),
    ("mounts.propagation", Way::Says(propagation)),
    (
        "mounts.bind",
        Way::Looser("mounts of the host have options of their own"),
    ),
    (
        "mounts.tmpfs",
        Way::Looser("mounts of the host have options of their own"),
    ),
    ("mounts.kernel.add", Way::Says(kernel_options)),
    ("mounts.kernel.readonly", Way::Says(kernel_readonly)),
    ("mounts.kernel.proc-invisible", Way::Says(proc_invisible)),
    ("mounts.kernel.proc-only-pids", Way::Says(proc_only_pids)),
    ("paths.mask", Way::Says(masked)),
    ("paths.readonly", Way::Says(readonly_paths)),
    ("devices.deny-all", Way::Says(deny_devices)),
    ("devices.allow", Way::Says(allow_devices)),
    ("devices.nodes", Way::Says(nodes)),
    ("limits.memory", Way::Says(memory)),
    ("limits.swap", Way::Says(swap)),
    ("limits.pids", Way::Says(tasks)),
    ("limits.cpu-percent", Way::Says(cpu_quota)),
    (
        "limits.oom-group",
        Way::Looser("OOMPolicy=kill is for each unit to add"),
    ),
    (
        "limits.time",
        Way::Looser("RuntimeMaxSec= is for each unit to add"),
    ),
    ("rlimits", Way::Says(rlimits)),
    ("seccomp", Way::Says(calls)),
];

/// The profile as a drop-in.
///
/// # Errors
/// None that is known: a profile is plain data.
pub fn to_systemd(profile: &Profile) -> Result<Converted<String>> {
    let unit = carry(profile, None, "systemd", TABLE)?;
    Ok(unit.map(|settings| {
        let mut text = String::from("[Service]");
        for (key, value) in &settings {
            text.push_str(&format!("\n{key}={value}"));
        }
        text
    }))
}

impl Writing<'_, Unit> {
    fn set(&mut self, key: &'static str, value: impl Into<String>) {
        let setting = (key, value.into());
        if !self.out.contains(&setting) {
            self.out.push(setting);
        }
    }

    /// A list in lines that can be read; each adds to the last.
    fn list(&mut self, key: &'static str, sign: &str, words: impl Iterator<Item = String>) {
        let mut line = String::new();
        for word in words {
            if line.len() + word.len() > WIDTH {
                self.set(key, format!("{sign}{line}"));
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(&word);
        }
        if !line.is_empty() {
            self.set(key, format!("{sign}{line}"));
        }
    }
}

fn user(to: &mut Writing<'_, Unit>) {
    let identity = &to.profile.identity;
    if identity.non_root != Verdict::Refuse {
        let why = "systemd does not warn of root";
        return to.losses.looser("identity.non-root", why);
    }
    if identity.minimum_uid <= DYNAMIC {
        to.set("DynamicUser", "yes");
        let why = "the user is one that systemd makes up, and more is protected with it";
        to.losses.stricter("identity.non-root", why);
    } else {
        let id = identity.minimum_uid.to_string();
        let why = format!("the user is {id}, where any but root is allowed");
        to.set("User", id);
        to.losses.stricter("identity.non-root", why);
    }
}

fn minimum_uid(to: &mut Writing<'_, Unit>) {
    if to.profile.identity.non_root != Verdict::Refuse {
        let why = "systemd has no lowest user id";
        to.losses.looser("identity.minimum-uid", why);
    }
}

/// A user that is made up is in no group but its own.
fn groups(to: &mut Writing<'_, Unit>) {
    let is_said = to.out.iter().any(|(key, _)| *key == "DynamicUser");
    if to.profile.identity.additional_groups != Groups::Keep && !is_said {
        let why = "a user gets the groups that the host has for it";
        to.losses.looser("identity.additional-groups", why);
    }
}

fn capabilities(to: &mut Writing<'_, Unit>) {
    let section = to.profile.capabilities.iter();
    let names: Vec<&str> = section
        .flat_map(|section| &section.allow)
        .map(String::as_str)
        .collect();
    to.set("CapabilityBoundingSet", names.join(" "));
}

fn no_new_privileges(to: &mut Writing<'_, Unit>) {
    to.set("NoNewPrivileges", "yes");
}

fn namespaces(to: &mut Writing<'_, Unit>) {
    for kind in &to.profile.namespaces.require {
        match kind {
            NamespaceType::Mount => to.set("PrivateMounts", "yes"),
            NamespaceType::Network => to.set("PrivateNetwork", "yes"),
            NamespaceType::Ipc => to.set("PrivateIPC", "yes"),
            NamespaceType::Uts => to.set("ProtectHostname", "yes"),
            NamespaceType::User => to.set("PrivateUsers", "yes"),
            NamespaceType::Pid => to.losses.looser(
                "namespaces.require",
                "pid: PrivatePIDs=yes is there from systemd 257 on only",
            ),
            NamespaceType::Cgroup => to.losses.looser(
                "namespaces.require",
                "cgroup: ProtectControlGroups=private is there from systemd 257 on only",
            ),
            NamespaceType::Time => to
                .losses
                .looser("namespaces.require", "time: systemd has no such namespaces"),
        }
    }
}

fn readonly(to: &mut Writing<'_, Unit>) {
    to.set("ProtectSystem", "strict");
}

fn propagation(to: &mut Writing<'_, Unit>) {
    let word = match to.profile.mounts.propagation {
        Some(Propagation::Private) => "private",
        Some(Propagation::Slave) => "slave",
        _ => "shared",
    };
    to.set("MountFlags", word);
}

/// systemd mounts them `nosuid`, `nodev` and `noexec` when the host starts.
fn kernel_options(to: &mut Writing<'_, Unit>) {
    if to.profile.mounts.kernel.add.contains(&Flag::Ro) {
        let why = "ro: /proc stays writable, all but its read-only paths";
        to.losses.looser("mounts.kernel.add", why);
    }
}

fn kernel_readonly(to: &mut Writing<'_, Unit>) {
    let kinds = &to.profile.mounts.kernel.readonly;
    for kind in kinds {
        match kind.as_str() {
            "sysfs" => to.set("ProtectKernelTunables", "yes"),
            "cgroup" | "cgroup2" => to.set("ProtectControlGroups", "yes"),
            _ => {}
        }
    }
    let known: [&[&str]; 1] = [&["sysfs", "cgroup", "cgroup2"]];
    others(to, "mounts.kernel.readonly", kinds, &known);
}

fn proc_invisible(to: &mut Writing<'_, Unit>) {
    to.set("ProtectProc", "invisible");
}

fn proc_only_pids(to: &mut Writing<'_, Unit>) {
    to.set("ProcSubset", "pid");
}

/// A path as a word of a list, in which `%` and quotes mean something; `-` since it may be missing.
fn path(path: &str) -> String {
    let escaped = path
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('%', "%%");
    match escaped.contains([' ', '\'', '\t', '"', '\\']) {
        true => format!("\"-{escaped}\""),
        false => format!("-{escaped}"),
    }
}

fn masked(to: &mut Writing<'_, Unit>) {
    let paths = to.profile.paths.mask.iter();
    to.list("InaccessiblePaths", "", paths.map(|item| path(item)));
}

fn readonly_paths(to: &mut Writing<'_, Unit>) {
    let paths = to.profile.paths.readonly.iter();
    to.list("ReadOnlyPaths", "", paths.map(|item| path(item)));
}

fn deny_devices(to: &mut Writing<'_, Unit>) {
    to.set("DevicePolicy", "closed");
}

/// By number; of any number there is only `char-*` and `block-*`, and names of drivers.
fn allow_devices(to: &mut Writing<'_, Unit>) {
    to.set("DevicePolicy", "closed");
    for set in to.profile.devices.allow.iter().flatten() {
        let kind = if set.kind == 'b' { "block" } else { "char" };
        let device = match (set.major, set.minor) {
            (Some(major), Some(minor)) => format!("/dev/{kind}/{major}:{minor}"),
            (None, None) => format!("{kind}-*"),
            (Some(136), None) if set.kind == 'c' => "char-pts".to_owned(),
            _ => {
                let why = format!("{set}: not allowed, since systemd takes no number with a *");
                to.losses.stricter("devices.allow", why);
                continue;
            }
        };
        to.set("DeviceAllow", format!("{device} {}", set.access));
    }
}

fn nodes(to: &mut Writing<'_, Unit>) {
    match to.profile.devices.nodes.as_deref() {
        Some([]) => to.set("PrivateDevices", "yes"),
        _ => to
            .losses
            .looser("devices.nodes", "all nodes of the host are there"),
    }
}

fn memory(to: &mut Writing<'_, Unit>) {
    if let Some(bytes) = to.limit("limits.memory", &to.profile.limits.memory) {
        to.set("MemoryMax", bytes.to_string());
    }
}

fn swap(to: &mut Writing<'_, Unit>) {
    if let Some(bytes) = to.limit("limits.swap", &to.profile.limits.swap) {
        to.set("MemorySwapMax", bytes.to_string());
    }
}

fn tasks(to: &mut Writing<'_, Unit>) {
    match to.limit("limits.pids", &to.profile.limits.pids) {
        Some(0) => to.losses.looser("limits.pids", "systemd takes no 0"),
        Some(tasks) => to.set("TasksMax", tasks.to_string()),
        None => {}
    }
}

fn cpu_quota(to: &mut Writing<'_, Unit>) {
    match to.limit("limits.cpu-percent", &to.profile.limits.cpu_percent) {
        Some(0) => to.losses.looser("limits.cpu-percent", "systemd takes no 0"),
        Some(percent) => to.set("CPUQuota", format!("{percent}%")),
        None => {}
    }
}

/// Names of resource limits there.
const LIMITS: [(&str, &str); 16] = [
    ("LimitCPU", "RLIMIT_CPU"),
    ("LimitFSIZE", "RLIMIT_FSIZE"),
    ("LimitDATA", "RLIMIT_DATA"),
    ("LimitSTACK", "RLIMIT_STACK"),
    ("LimitCORE", "RLIMIT_CORE"),
    ("LimitRSS", "RLIMIT_RSS"),
    ("LimitNOFILE", "RLIMIT_NOFILE"),
    ("LimitAS", "RLIMIT_AS"),
    ("LimitNPROC", "RLIMIT_NPROC"),
    ("LimitMEMLOCK", "RLIMIT_MEMLOCK"),
    ("LimitLOCKS", "RLIMIT_LOCKS"),
    ("LimitSIGPENDING", "RLIMIT_SIGPENDING"),
    ("LimitMSGQUEUE", "RLIMIT_MSGQUEUE"),
    ("LimitNICE", "RLIMIT_NICE"),
    ("LimitRTPRIO", "RLIMIT_RTPRIO"),
    ("LimitRTTIME", "RLIMIT_RTTIME"),
];

fn rlimits(to: &mut Writing<'_, Unit>) {
    for (kind, bound) in &to.profile.rlimits {
        match LIMITS.iter().find(|(_, known)| known == kind) {
            Some((key, _)) => to.set(key, bound.maximum.to_string()),
            None => to
                .losses
                .looser(format!("rlimits.{kind}"), "systemd has no such limit"),
        }
    }
}

/// What one call is answered, as far as systemd can say it.
#[derive(PartialEq, Eq, PartialOrd, Ord, Clone, Copy)]
enum Said {
    Allow,
    Log,
    Refuse(Option<u32>),
}

fn said((action, errno): Answer) -> Said {
    match action {
        SeccompAction::Allow => Said::Allow,
        SeccompAction::Log => Said::Log,
        SeccompAction::Errno => Said::Refuse(errno),
        _ => Said::Refuse(None),
    }
}

fn word(errno: Option<u32>) -> &'static str {
    match errno {
        None => "kill",
        Some(38) => "ENOSYS",
        Some(13) => "EACCES",
        Some(_) => "EPERM",
    }
}

/// Names go into `SystemCallFilter`; what goes by arguments into settings that are about these, or it is a loss.
fn calls(to: &mut Writing<'_, Unit>) {
    let Some(rules) = &to.profile.seccomp else {
        return;
    };
    architectures(to, &rules.architectures);
    let filter = compiled(rules);
    let default = said((filter.default_action, filter.default_errno_ret));
    let mut whole: Vec<(Said, Syscall)> = Vec::new();
    let mut by_arguments = Vec::new();
    for call in syscalls::all() {
        match answers(Some(&filter), call.name()).as_deref() {
            Some([(answer, _)]) => whole.push((said(*answer), call)),
            Some(parts) => {
                if !is_said_otherwise(to, call.name(), parts) {
                    by_arguments.push(call.name());
                }
                whole.push((best(parts), call));
            }
            None => by_arguments.push(call.name()),
        }
    }
    if !by_arguments.is_empty() {
        let calls = by_arguments.join(" ");
        let why = format!("allowed with any arguments, where only some are: {calls}");
        to.losses.looser("seccomp.rules", why);
    }
    write_filter(to, default, &whole);
}

/// The most that any argument is answered.
fn best(parts: &[(Answer, Vec<Cube>)]) -> Said {
    let all = parts.iter().map(|(answer, _)| said(*answer));
    all.min().unwrap_or(Said::Refuse(None))
}

fn write_filter(to: &mut Writing<'_, Unit>, default: Said, whole: &[(Said, Syscall)]) {
    let named = |wanted: Said| -> Vec<String> {
        let those = whole.iter().filter(|(said, _)| *said == wanted);
        those.map(|(_, call)| call.name().to_owned()).collect()
    };
    let logged = named(Said::Log);
    let mut refusals: Vec<Said> = whole.iter().map(|(said, _)| *said).collect();
    refusals.sort_unstable();
    refusals.dedup();
    refusals.retain(|said| matches!(said, Said::Refuse(_)));
    if let Said::Refuse(errno) = default {
        let allowed = [named(Said::Allow), logged.clone()].concat();
        match allowed.is_empty() {
            true => to.set("SystemCallFilter", "@default"),
            false => to.list("SystemCallFilter", "", allowed.into_iter()),
        }
        if errno.is_some() {
            to.set("SystemCallErrorNumber", word(errno));
        }
        // systemd adds these to any list of what is allowed.
        let added = group("@default").unwrap_or_default();
        let removed = named(default).into_iter();
        let removed = removed.filter(|name| added.contains(&name.as_str()));
        to.list("SystemCallFilter", "~", removed);
    } else if default == Said::Log {
        let why = "what is not listed is allowed, and not logged";
        to.losses.looser("seccomp.default-action", why);
    }
    for refusal in refusals.into_iter().filter(|refusal| *refusal != default) {
        let Said::Refuse(errno) = refusal else {
            continue;
        };
        let names = named(refusal).into_iter();
        let named = names.map(|name| format!("{name}:{}", word(errno)));
        to.list("SystemCallFilter", "~", named);
    }
    to.list("SystemCallLog", "", logged.into_iter());
}

fn architectures(to: &mut Writing<'_, Unit>, names: &[String]) {
    let mut words = vec!["native"];
    for name in names {
        match ARCHITECTURES.iter().find(|(_, known)| known == name) {
            Some((word, _)) if !words.contains(word) => words.push(word),
            Some(_) => {}
            None => {
                let why = format!("{name}: systemd cannot name it, so its calls are refused");
                to.losses.stricter("seccomp.architectures", why);
            }
        }
    }
    to.set("SystemCallArchitectures", words.join(" "));
}

/// Whether another setting says what the arguments of this call are held to; it is set then.
fn is_said_otherwise(
    to: &mut Writing<'_, Unit>,
    call: &str,
    parts: &[(Answer, Vec<Cube>)],
) -> bool {
    let of = |is_permitted: bool| -> Vec<Cube> {
        let those = parts
            .iter()
            .filter(|(answer, _)| matches!(said(*answer), Said::Refuse(_)) != is_permitted);
        those.flat_map(|(_, cubes)| cubes.clone()).collect()
    };
    let permitted = of(true);
    match call {
        "clone" => {
            let all = NAMESPACES.iter().fold(0, |all, (_, bit)| all | bit);
            let is_within = minus(&permitted, &[Cube::of(0, all, 0)]);
            let is_exact = is_within.is_some_and(|rest| rest.is_empty());
            if is_exact {
                to.set("RestrictNamespaces", "yes");
            }
            is_exact
        }
        "personality" => {
            let (_, index, values) = NO_PERSONALITY;
            let known: Vec<Cube> = values
                .iter()
                .map(|value| Cube::of(index as usize, 0xffff_ffff, *value))
                .collect();
            let is_exact = minus(&permitted, &known).is_some_and(|rest| rest.is_empty());
            if is_exact {
                to.set("LockPersonality", "yes");
            }
            is_exact
        }
        "socket" => families(to, &permitted, &of(false)),
        _ => false,
    }
}

/// A family that is allowed in part is allowed.
fn families(to: &mut Writing<'_, Unit>, permitted: &[Cube], refused: &[Cube]) -> bool {
    let has = |cubes: &[Cube], family: u64| {
        let family = Cube::of(0, 0xffff_ffff, family);
        cubes.iter().any(|cube| cube.and(family).is_some())
    };
    let allowed: Vec<&(&str, u64)> = FAMILIES
        .iter()
        .filter(|(_, number)| has(permitted, *number))
        .collect();
    match allowed.is_empty() {
        true => to.set("RestrictAddressFamilies", "none"),
        false => {
            let names = allowed.iter().map(|(name, _)| (*name).to_owned());
            to.list("RestrictAddressFamilies", "", names);
        }
    }
    let part: Vec<&str> = allowed
        .iter()
        .filter(|(_, number)| has(refused, *number))
        .map(|(name, _)| *name)
        .collect();
    if !part.is_empty() {
        let why = format!(
            "socket: allowed with any protocol, where only some are: {}",
            part.join(" ")
        );
        to.losses.looser("seccomp.rules", why);
    }
    let known: Vec<Cube> = FAMILIES
        .iter()
        .map(|(_, number)| Cube::of(0, 0xffff_ffff, *number))
        .collect();
    if minus(permitted, &known).is_none_or(|rest| !rest.is_empty()) {
        let why = "socket: address families that have no name here are refused";
        to.losses.stricter("seccomp.rules", why);
    }
    true
}
