//! The section `[Service]` of a unit of systemd (systemd.exec(5), systemd.resource-control(5)) as a profile that permits
//! what the service has. Writing one is in `systemd`, what filters system calls in `systemd_calls`.

use crate::error::{Error, Result, quote};
use crate::names::CAPABILITIES;
use crate::profile::compare::Direction::{Different, Looser};
use crate::profile::format::{Capabilities, Flag, OnConflict, Profile, Propagation, Verdict};
use crate::profile::values::{DeviceSet, Quantity, RlimitBound};
use crate::spec::NamespaceType;

use super::calls::{Calls, EPERM};
use super::systemd_calls::{
    ARCHITECTURES, FAMILIES, Listed, NAMESPACES, NO_PERSONALITY, NO_REALTIME, NO_WRITE_EXECUTE,
    errno,
};
use super::values::{amount, capability_of};
use super::{Converted, Fate, Losses, Reading, finish, nothing};

/// What settings say together.
#[derive(Default)]
struct Seen {
    calls: Calls,
    listed: Listed,
    error: Option<super::calls::Answer>,
    /// `CapabilityBoundingSet`; all until it is assigned.
    bounding: Option<Vec<String>>,
    without: Vec<&'static str>,
    refused_groups: Vec<&'static str>,
    refused_calls: Vec<&'static str>,
    families: Option<(Sign, Vec<u64>)>,
    namespaces: u64,
    limits: Vec<fn(&mut Calls)>,
    device_allow: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sign {
    Only,
    Not,
}

type Unit = Reading<Seen>;

/// Which assignments of a setting count.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Counts {
    Last,
    /// From the last empty one on, which is passed on as such.
    Each,
}

struct Directive(&'static str, Counts, Fate<Seen>);

use Counts::{Each, Last};
use Fate::{Lost, Reads};

const NO_EXEC: &str = "a profile has Landlock for what may be executed: write [landlock] execute";
const NO_NETWORK: &str = "a profile does not filter packets";
const NO_SOFT: &str = "a profile has no soft limits";
const NO_WEIGHTS: &str = "a profile does not weigh containers against each other";
const NO_CPUS: &str = "a profile does not choose CPUs";
const NO_LABEL: &str = "a profile does not choose labels of security modules";
const NO_MOUNTS: &str = "a profile adds no mounts";
const NO_USER_NAMESPACE: &str =
    "a profile cannot add a user namespace; require it with on-conflict = \"refuse\"";

/// Every setting that confines; what is not here is looked up in `APART`.
const TABLE: &[Directive] = &[
    Directive("NoNewPrivileges", Last, Reads(no_new_privileges)),
    Directive("CapabilityBoundingSet", Each, Reads(bounding)),
    Directive("User", Last, Reads(user)),
    Directive("DynamicUser", Last, Reads(dynamic_user)),
    Directive(
        "Group",
        Last,
        Lost(Looser, "a profile does not choose groups"),
    ),
    Directive("SystemCallFilter", Each, Reads(filter)),
    Directive("SystemCallErrorNumber", Last, Reads(error_number)),
    Directive("SystemCallArchitectures", Each, Reads(architectures)),
    Directive(
        "SystemCallLog",
        Each,
        Lost(Different, "calls are not logged"),
    ),
    Directive("RestrictNamespaces", Each, Reads(namespaces)),
    Directive("RestrictAddressFamilies", Each, Reads(families)),
    Directive("RestrictRealtime", Last, Reads(realtime)),
    Directive("RestrictSUIDSGID", Last, Reads(set_id)),
    Directive("LockPersonality", Last, Reads(personality)),
    Directive("MemoryDenyWriteExecute", Last, Reads(write_execute)),
    Directive("PrivateNetwork", Last, Reads(private_network)),
    Directive("PrivateIPC", Last, Reads(private_ipc)),
    Directive("PrivatePIDs", Last, Reads(private_pids)),
    Directive("PrivateMounts", Last, Reads(private_mounts)),
    Directive("PrivateUsers", Last, Lost(Looser, NO_USER_NAMESPACE)),
    Directive("PrivateDevices", Last, Reads(private_devices)),
    Directive("PrivateTmp", Last, Lost(Looser, NO_MOUNTS)),
    Directive("ProtectHostname", Last, Reads(protect_hostname)),
    Directive("ProtectKernelTunables", Last, Reads(protect_tunables)),
    Directive("ProtectKernelModules", Last, Reads(protect_modules)),
    Directive("ProtectKernelLogs", Last, Reads(protect_logs)),
    Directive("ProtectClock", Last, Reads(protect_clock)),
    Directive("ProtectControlGroups", Last, Reads(protect_cgroups)),
    Directive("ProtectProc", Last, Reads(protect_proc)),
    Directive("ProcSubset", Last, Reads(proc_subset)),
    Directive("ProtectSystem", Last, Reads(protect_system)),
    Directive("ProtectHome", Last, Reads(protect_home)),
    Directive("ReadOnlyPaths", Each, Reads(readonly_paths)),
    Directive("InaccessiblePaths", Each, Reads(inaccessible_paths)),
    Directive("ReadWritePaths", Each, Reads(writable_paths)),
    Directive("ExecPaths", Each, Lost(Different, NO_EXEC)),
    Directive("NoExecPaths", Each, Lost(Looser, NO_EXEC)),
    Directive("TemporaryFileSystem", Each, Lost(Looser, NO_MOUNTS)),
    Directive("MountFlags", Last, Reads(mount_flags)),
    Directive(
        "RootDirectory",
        Last,
        Lost(Looser, "a profile does not choose the root"),
    ),
    Directive(
        "RootImage",
        Last,
        Lost(Looser, "a profile does not choose the root"),
    ),
    Directive("DevicePolicy", Last, Reads(device_policy)),
    Directive("DeviceAllow", Each, Reads(device_allow)),
    Directive("MemoryMax", Last, Reads(memory)),
    Directive("MemoryLimit", Last, Reads(memory)),
    Directive("MemorySwapMax", Last, Reads(swap)),
    Directive("MemoryZSwapMax", Last, Lost(Looser, NO_SOFT)),
    Directive("MemoryHigh", Last, Lost(Looser, NO_SOFT)),
    Directive("TasksMax", Last, Reads(tasks)),
    Directive("CPUQuota", Last, Reads(cpu_quota)),
    Directive("CPUWeight", Last, Lost(Looser, NO_WEIGHTS)),
    Directive("CPUShares", Last, Lost(Looser, NO_WEIGHTS)),
    Directive("IOWeight", Last, Lost(Looser, NO_WEIGHTS)),
    Directive("AllowedCPUs", Last, Lost(Looser, NO_CPUS)),
    Directive("AllowedMemoryNodes", Last, Lost(Looser, NO_CPUS)),
    Directive("CPUAffinity", Last, Lost(Looser, NO_CPUS)),
    Directive(
        "IOReadBandwidthMax",
        Each,
        Lost(Looser, "a profile has no rates of devices"),
    ),
    Directive(
        "IOWriteBandwidthMax",
        Each,
        Lost(Looser, "a profile has no rates of devices"),
    ),
    Directive(
        "IOReadIOPSMax",
        Each,
        Lost(Looser, "a profile has no rates of devices"),
    ),
    Directive(
        "IOWriteIOPSMax",
        Each,
        Lost(Looser, "a profile has no rates of devices"),
    ),
    Directive("IPAddressDeny", Each, Lost(Looser, NO_NETWORK)),
    Directive("IPAddressAllow", Each, Lost(Different, NO_NETWORK)),
    Directive(
        "SocketBindDeny",
        Each,
        Lost(
            Looser,
            "a profile has Landlock for ports: write [landlock] bind-tcp",
        ),
    ),
    Directive(
        "SocketBindAllow",
        Each,
        Lost(
            Different,
            "a profile has Landlock for ports: write [landlock] bind-tcp",
        ),
    ),
    Directive("RestrictNetworkInterfaces", Each, Lost(Looser, NO_NETWORK)),
    Directive(
        "RestrictFileSystems",
        Each,
        Lost(Looser, "a profile does not filter kinds of filesystems"),
    ),
    Directive("AppArmorProfile", Last, Lost(Looser, NO_LABEL)),
    Directive("SELinuxContext", Last, Lost(Looser, NO_LABEL)),
    Directive("SmackProcessLabel", Last, Lost(Looser, NO_LABEL)),
    Directive(
        "SecureBits",
        Last,
        Lost(Looser, "a profile sets no secure bits"),
    ),
    Directive(
        "KeyringMode",
        Last,
        Lost(Looser, "a profile does not choose keyrings"),
    ),
    Directive(
        "UMask",
        Last,
        Lost(Looser, "a profile sets no mask of files"),
    ),
    Directive(
        "RemoveIPC",
        Last,
        Lost(Looser, "objects of IPC end with their namespace"),
    ),
    Directive(
        "LimitCPU",
        Last,
        Reads(|unit, value| rlimit(unit, "RLIMIT_CPU", value)),
    ),
    Directive(
        "LimitFSIZE",
        Last,
        Reads(|unit, value| rlimit(unit, "RLIMIT_FSIZE", value)),
    ),
    Directive(
        "LimitDATA",
        Last,
        Reads(|unit, value| rlimit(unit, "RLIMIT_DATA", value)),
    ),
    Directive(
        "LimitSTACK",
        Last,
        Reads(|unit, value| rlimit(unit, "RLIMIT_STACK", value)),
    ),
    Directive(
        "LimitCORE",
        Last,
        Reads(|unit, value| rlimit(unit, "RLIMIT_CORE", value)),
    ),
    Directive(
        "LimitRSS",
        Last,
        Reads(|unit, value| rlimit(unit, "RLIMIT_RSS", value)),
    ),
    Directive(
        "LimitNOFILE",
        Last,
        Reads(|unit, value| rlimit(unit, "RLIMIT_NOFILE", value)),
    ),
    Directive(
        "LimitAS",
        Last,
        Reads(|unit, value| rlimit(unit, "RLIMIT_AS", value)),
    ),
    Directive(
        "LimitNPROC",
        Last,
        Reads(|unit, value| rlimit(unit, "RLIMIT_NPROC", value)),
    ),
    Directive(
        "LimitMEMLOCK",
        Last,
        Reads(|unit, value| rlimit(unit, "RLIMIT_MEMLOCK", value)),
    ),
    Directive(
        "LimitLOCKS",
        Last,
        Reads(|unit, value| rlimit(unit, "RLIMIT_LOCKS", value)),
    ),
    Directive(
        "LimitSIGPENDING",
        Last,
        Reads(|unit, value| rlimit(unit, "RLIMIT_SIGPENDING", value)),
    ),
    Directive(
        "LimitMSGQUEUE",
        Last,
        Reads(|unit, value| rlimit(unit, "RLIMIT_MSGQUEUE", value)),
    ),
    Directive(
        "LimitNICE",
        Last,
        Reads(|unit, value| rlimit(unit, "RLIMIT_NICE", value)),
    ),
    Directive(
        "LimitRTPRIO",
        Last,
        Reads(|unit, value| rlimit(unit, "RLIMIT_RTPRIO", value)),
    ),
    Directive(
        "LimitRTTIME",
        Last,
        Reads(|unit, value| rlimit(unit, "RLIMIT_RTTIME", value)),
    ),
];

/// Settings of `[Service]` that confine nothing; one that ends in `*` stands for all that begin so.
const APART: &[&str] = &[
    "AmbientCapabilities",
    "BindPaths",
    "BindReadOnlyPaths",
    "BusName",
    "CacheDirectory*",
    "ConfigurationDirectory*",
    "Delegate",
    "Environment*",
    "Exec*",
    "ExitType",
    "FileDescriptor*",
    "FinalKillSignal",
    "GuessMainPID",
    "IgnoreSIGPIPE",
    "KillMode",
    "KillSignal",
    "Log*",
    "LoadCredential*",
    "ManagedOOM*",
    "Nice",
    "NonBlocking",
    "NotifyAccess",
    "OOMPolicy",
    "OOMScoreAdjust",
    "PAMName",
    "PIDFile",
    "PassEnvironment",
    "PermissionsStartOnly",
    "RemainAfterExit",
    "Restart*",
    "RootDirectoryStartOnly",
    "RuntimeDirectory*",
    "RuntimeMaxSec",
    "RuntimeRandomizedExtraSec",
    "SendSIGHUP",
    "SendSIGKILL",
    "SetCredential*",
    "Slice",
    "Sockets",
    "Standard*",
    "StartLimit*",
    "StateDirectory*",
    "SuccessExitStatus",
    "SupplementaryGroups",
    "Syslog*",
    "TTY*",
    "Timeout*",
    "TimerSlackNSec",
    "Type",
    "USBFunction*",
    "UnsetEnvironment",
    "UtmpIdentifier",
    "UtmpMode",
    "WatchdogSec",
    "WatchdogSignal",
    "WorkingDirectory",
    "LogsDirectory*",
    "MemoryAccounting",
    "TasksAccounting",
    "CPUAccounting",
    "IOAccounting",
    "IPAccounting",
    "MemoryMin",
    "MemoryLow",
    "IOScheduling*",
    "CPUScheduling*",
    "Personality",
    "RestartKillSignal",
    "SocketBind",
    "MountAPIVFS",
];

/// Reads a unit's file, or a drop-in.
///
/// # Errors
/// A line that is no section and no assignment; a value that systemd would not take.
pub fn from_systemd(name: &str, text: &str) -> Result<Converted<Profile>> {
    let mut unit = Unit::new(service(), Seen::default());
    let assignments = assignments(text)?;
    let mut seen: Vec<&str> = Vec::new();
    for (key, _) in &assignments {
        if seen.contains(&key.as_str()) {
            continue;
        }
        seen.push(key);
        let all = assignments.iter().filter(|(other, _)| other == key);
        let all: Vec<&str> = all.map(|(_, value)| value.as_str()).collect();
        let from = all.iter().rposition(|value| value.is_empty()).unwrap_or(0);
        read(&mut unit, key, &all[from..])?;
    }
    together(&mut unit);
    let Unit {
        mut profile,
        losses,
        state,
    } = unit;
    profile.seccomp = state.calls.rules();
    finish(name, "a unit of systemd", profile, losses)
}

/// A service without a setting: the kernel's filesystems are as systemd mounts them for the host.
fn service() -> Profile {
    let mut profile = nothing();
    profile.namespaces.net_devices = Verdict::Refuse;
    profile.mounts.kernel.add = vec![Flag::Nosuid, Flag::Nodev, Flag::Noexec];
    profile
}

/// Keys and values of `[Service]`, with lines that go on joined.
fn assignments(text: &str) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    let mut section = String::new();
    let mut lines = text.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|line| line.strip_suffix(']'))
        {
            name.clone_into(&mut section);
            continue;
        }
        let mut whole = line.to_owned();
        while whole.ends_with('\\') {
            whole.truncate(whole.len() - 1);
            let next = lines.find(|(_, line)| !line.trim_start().starts_with(['#', ';']));
            let Some((_, next)) = next else { break };
            whole.push(' ');
            whole.push_str(next.trim());
        }
        let Some((key, value)) = whole.split_once('=') else {
            let doing = format!("read a unit: line {}", at + 1);
            return Err(Error::new(
                doing,
                format!("{} is no assignment", quote(&whole)),
            ));
        };
        if section == "Service" {
            found.push((key.trim().to_owned(), value.trim().to_owned()));
        }
    }
    if !text.contains("[Service]") {
        return Err(Error::new("read a unit", "it has no section [Service]"));
    }
    Ok(found)
}

fn read(unit: &mut Unit, key: &str, values: &[&str]) -> Result<()> {
    let Some(Directive(_, counts, fate)) = TABLE.iter().find(|known| known.0 == key) else {
        let is_apart = APART.iter().any(|known| match known.strip_suffix('*') {
            Some(start) => key.starts_with(start),
            None => key == *known,
        });
        if !is_apart {
            unit.losses
                .add(key, Different, "not a setting that is known here");
        }
        return Ok(());
    };
    let last = values.last().copied().unwrap_or_default();
    match (fate, counts) {
        (Fate::Apart, _) => Ok(()),
        (Lost(direction, why), _) => {
            if !values.iter().all(|value| is_off(value)) {
                unit.losses.add(key, *direction, *why);
            }
            Ok(())
        }
        (Reads(_), Last) if last.is_empty() => Ok(()),
        (Reads(read), Last) => read(unit, last).map_err(|cause| of(key, cause)),
        (Reads(read), Each) => values
            .iter()
            .try_for_each(|value| read(unit, value))
            .map_err(|cause| of(key, cause)),
    }
}

fn of(key: &str, cause: Error) -> Error {
    Error::new(format!("Service.{key}"), cause)
}

fn is_off(value: &str) -> bool {
    [
        "", "no", "false", "off", "0", "n", "f", "infinity", "default", "inherit",
    ]
    .contains(&value)
}

fn wrong<T>(value: &str, expected: &str) -> Result<T> {
    Err(Error::new(quote(value), format!("not {expected}")))
}

fn switch(value: &str) -> Result<bool> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "yes" | "y" | "true" | "t" | "on" => Ok(true),
        "0" | "no" | "n" | "false" | "f" | "off" => Ok(false),
        _ => wrong(value, "yes or no"),
    }
}

fn together(unit: &mut Unit) {
    let Seen {
        calls,
        listed,
        error,
        families,
        limits,
        refused_groups,
        refused_calls,
        namespaces,
        ..
    } = &mut unit.state;
    let listed = std::mem::take(listed);
    told(&mut unit.losses, &listed);
    listed.apply(calls, *error);
    for limit in limits.iter() {
        limit(calls);
    }
    for name in refused_groups.iter() {
        calls.refuse_group(name);
    }
    for name in refused_calls.iter() {
        calls.refuse(name, EPERM);
    }
    calls.restrict_namespaces(*namespaces);
    match families.take() {
        Some((Sign::Only, families)) => calls.allow_families(&families),
        Some((Sign::Not, families)) => calls.refuse_families(&families),
        None => {}
    }
    if unit.state.bounding.is_some() || !unit.state.without.is_empty() {
        let all = || CAPABILITIES.map(str::to_owned).to_vec();
        let mut allow = unit.state.bounding.take().unwrap_or_else(all);
        allow.retain(|name| !unit.state.without.contains(&name.as_str()));
        unit.profile.capabilities = Some(Capabilities {
            allow,
            on_conflict: OnConflict::Tighten,
        });
    }
    devices(unit);
}

fn told(losses: &mut Losses, listed: &Listed) {
    for name in &listed.unknown {
        let why = format!("{}: no such group is known here", quote(name));
        losses.add("SystemCallFilter", Different, why);
    }
    for error in &listed.errors {
        let why = format!("EPERM stands in for {}", quote(error));
        losses.add("SystemCallFilter", Different, why);
    }
}

fn no_new_privileges(unit: &mut Unit, value: &str) -> Result<()> {
    unit.profile.process.no_new_privileges |= switch(value)?;
    Ok(())
}

/// A list without a sign adds, one with `~` takes away; the first one says from what.
fn bounding(unit: &mut Unit, value: &str) -> Result<()> {
    let (sign, names) = match value.strip_prefix('~') {
        Some(names) => (Sign::Not, names),
        None => (Sign::Only, value),
    };
    let mut named = Vec::new();
    for name in names.split_whitespace() {
        match capability_of(name) {
            Some(name) => named.push(name),
            None => return wrong(name, "a capability"),
        }
    }
    let all = || CAPABILITIES.map(str::to_owned).to_vec();
    let held = match unit.state.bounding.take() {
        _ if value.is_empty() => Vec::new(),
        _ if value == "~" => all(),
        Some(held) => held,
        None if sign == Sign::Not => all(),
        None => Vec::new(),
    };
    let held = held.into_iter().filter(|name| !named.contains(name));
    let mut held: Vec<String> = held.collect();
    if sign == Sign::Only {
        held.extend(named);
    }
    held.sort_unstable();
    held.dedup();
    unit.state.bounding = Some(held);
    Ok(())
}

fn user(unit: &mut Unit, value: &str) -> Result<()> {
    match value.parse() {
        Ok(id) => unit.user("User", id),
        Err(_) if value == "root" => {}
        Err(_) => unit
            .losses
            .looser("User", "which id a name has, only the host knows"),
    }
    Ok(())
}

/// Ids of such users, and what goes with them.
fn dynamic_user(unit: &mut Unit, value: &str) -> Result<()> {
    if !switch(value)? {
        return Ok(());
    }
    unit.user("DynamicUser", 61_184);
    unit.profile.process.no_new_privileges = true;
    unit.profile.identity.additional_groups = crate::profile::Groups::Drop;
    set_id(unit, "yes")?;
    protect_system(unit, "strict")?;
    protect_home(unit, "read-only")
}

fn filter(unit: &mut Unit, value: &str) -> Result<()> {
    unit.state.listed.assign(value);
    Ok(())
}

fn error_number(unit: &mut Unit, value: &str) -> Result<()> {
    unit.state.error = Some(errno(value).unwrap_or_else(|answer| {
        let why = format!("EPERM stands in for {}", quote(value));
        unit.losses.add("SystemCallErrorNumber", Different, why);
        answer
    }));
    Ok(())
}

fn architectures(unit: &mut Unit, value: &str) -> Result<()> {
    let list = &mut unit.state.calls.architectures;
    for word in value.split_whitespace() {
        let Some((_, name)) = ARCHITECTURES.iter().find(|(known, _)| *known == word) else {
            return wrong(word, "an architecture that a profile has");
        };
        // Any list has the native one.
        for name in ["native", name] {
            if !list.iter().any(|other| other == name) {
                list.push(name.to_owned());
            }
        }
    }
    Ok(())
}

fn namespaces(unit: &mut Unit, value: &str) -> Result<()> {
    let all = NAMESPACES.iter().fold(0, |all, (_, bit)| all | bit);
    if value.is_empty() {
        unit.state.namespaces = 0;
        return Ok(());
    }
    if let Ok(value) = switch(value) {
        unit.state.namespaces = if value { all } else { 0 };
        return Ok(());
    }
    let names = value.strip_prefix('~').unwrap_or(value);
    let mut bits = 0;
    for word in names.split_whitespace() {
        match NAMESPACES.iter().find(|(known, _)| *known == word) {
            Some((_, bit)) => bits |= bit,
            None => return wrong(word, "a kind of namespaces"),
        }
    }
    let before = unit.state.namespaces;
    unit.state.namespaces = match (value.starts_with('~'), before) {
        (true, before) => before | bits,
        (false, 0) => all & !bits,
        (false, before) => before & !bits,
    };
    Ok(())
}

fn families(unit: &mut Unit, value: &str) -> Result<()> {
    if value.is_empty() {
        unit.state.families = None;
        return Ok(());
    }
    if value == "none" {
        unit.state.families = Some((Sign::Only, Vec::new()));
        return Ok(());
    }
    let (sign, names) = match value.strip_prefix('~') {
        Some(names) => (Sign::Not, names),
        None => (Sign::Only, value),
    };
    let (mode, list) = unit.state.families.get_or_insert((sign, Vec::new()));
    for word in names.split_whitespace() {
        let same = [("AF_LOCAL", "AF_UNIX"), ("AF_ROUTE", "AF_NETLINK")];
        let word = same
            .iter()
            .find(|(other, _)| *other == word)
            .map_or(word, |(_, name)| name);
        let Some((_, number)) = FAMILIES.iter().find(|(known, _)| *known == word) else {
            return wrong(word, "an address family that is known here");
        };
        list.retain(|other| other != number);
        if *mode == sign {
            list.push(*number);
        }
    }
    Ok(())
}

fn when(unit: &mut Unit, value: &str, limit: fn(&mut Calls)) -> Result<()> {
    if switch(value)? {
        unit.state.limits.push(limit);
    }
    Ok(())
}

fn realtime(unit: &mut Unit, value: &str) -> Result<()> {
    when(unit, value, |calls| calls.only(NO_REALTIME))
}

fn set_id(unit: &mut Unit, value: &str) -> Result<()> {
    when(unit, value, Calls::restrict_set_id)
}

fn personality(unit: &mut Unit, value: &str) -> Result<()> {
    when(unit, value, |calls| calls.only(NO_PERSONALITY))
}

fn write_execute(unit: &mut Unit, value: &str) -> Result<()> {
    when(unit, value, |calls| calls.limit(NO_WRITE_EXECUTE))
}

fn require(unit: &mut Unit, kind: NamespaceType) {
    let require = &mut unit.profile.namespaces.require;
    if !require.contains(&kind) {
        require.push(kind);
    }
}

fn own(unit: &mut Unit, value: &str, kind: NamespaceType) -> Result<()> {
    if switch(value)? {
        require(unit, kind);
    }
    Ok(())
}

fn private_network(unit: &mut Unit, value: &str) -> Result<()> {
    own(unit, value, NamespaceType::Network)
}

fn private_ipc(unit: &mut Unit, value: &str) -> Result<()> {
    own(unit, value, NamespaceType::Ipc)
}

fn private_pids(unit: &mut Unit, value: &str) -> Result<()> {
    own(unit, value, NamespaceType::Pid)
}

fn private_mounts(unit: &mut Unit, value: &str) -> Result<()> {
    own(unit, value, NamespaceType::Mount)
}

/// What `Protect…` has in common: capabilities and calls go, paths are hidden or read-only.
struct Protection {
    capabilities: &'static [&'static str],
    groups: &'static [&'static str],
    calls: &'static [&'static str],
    hidden: &'static [&'static str],
    readonly: &'static [&'static str],
    kernel: &'static [&'static str],
}

const NONE: Protection = Protection {
    capabilities: &[],
    groups: &[],
    calls: &[],
    hidden: &[],
    readonly: &[],
    kernel: &[],
};

fn protect(unit: &mut Unit, value: &str, protection: &Protection) -> Result<bool> {
    if !switch(value)? {
        return Ok(false);
    }
    unit.state.without.extend(protection.capabilities);
    unit.state.refused_groups.extend(protection.groups);
    unit.state.refused_calls.extend(protection.calls);
    let owned =
        |list: &[&str]| -> Vec<String> { list.iter().map(|&item| item.to_owned()).collect() };
    add(&mut unit.profile.paths.mask, owned(protection.hidden));
    add(&mut unit.profile.paths.readonly, owned(protection.readonly));
    add(
        &mut unit.profile.mounts.kernel.readonly,
        owned(protection.kernel),
    );
    if [protection.hidden, protection.readonly, protection.kernel]
        .iter()
        .any(|list| !list.is_empty())
    {
        require(unit, NamespaceType::Mount);
    }
    Ok(true)
}

fn add(list: &mut Vec<String>, items: Vec<String>) {
    for item in items {
        if !list.contains(&item) {
            list.push(item);
        }
    }
}

fn protect_hostname(unit: &mut Unit, value: &str) -> Result<()> {
    let calls = &["sethostname", "setdomainname"];
    if protect(unit, value, &Protection { calls, ..NONE })? {
        require(unit, NamespaceType::Uts);
    }
    Ok(())
}

fn protect_tunables(unit: &mut Unit, value: &str) -> Result<()> {
    let protection = Protection {
        hidden: &["/proc/kallsyms", "/proc/kcore"],
        readonly: &[
            "/proc/acpi",
            "/proc/asound",
            "/proc/bus",
            "/proc/fs",
            "/proc/irq",
            "/proc/latency_stats",
            "/proc/mtrr",
            "/proc/scsi",
            "/proc/sys",
            "/proc/sysrq-trigger",
            "/proc/timer_stats",
        ],
        kernel: &["sysfs"],
        ..NONE
    };
    protect(unit, value, &protection).map(drop)
}

fn protect_modules(unit: &mut Unit, value: &str) -> Result<()> {
    let protection = Protection {
        capabilities: &["CAP_SYS_MODULE"],
        groups: &["@module"],
        hidden: &["/usr/lib/modules"],
        ..NONE
    };
    protect(unit, value, &protection).map(drop)
}

fn protect_logs(unit: &mut Unit, value: &str) -> Result<()> {
    let protection = Protection {
        capabilities: &["CAP_SYSLOG"],
        calls: &["syslog"],
        hidden: &["/proc/kmsg", "/dev/kmsg"],
        ..NONE
    };
    protect(unit, value, &protection).map(drop)
}

fn protect_clock(unit: &mut Unit, value: &str) -> Result<()> {
    let protection = Protection {
        capabilities: &["CAP_SYS_TIME", "CAP_WAKE_ALARM"],
        groups: &["@clock"],
        ..NONE
    };
    if protect(unit, value, &protection)? {
        let why = "writing to clocks of hardware is refused only where devices are";
        unit.losses.looser("ProtectClock", why);
    }
    Ok(())
}

fn protect_cgroups(unit: &mut Unit, value: &str) -> Result<()> {
    let value = match value {
        "private" | "strict" => {
            require(unit, NamespaceType::Cgroup);
            if value == "strict" { "yes" } else { "no" }
        }
        value => value,
    };
    let kernel = &["cgroup", "cgroup2"];
    protect(unit, value, &Protection { kernel, ..NONE }).map(drop)
}

fn protect_proc(unit: &mut Unit, value: &str) -> Result<()> {
    match value {
        "default" => return Ok(()),
        "invisible" | "noaccess" => {}
        "ptraceable" => {
            let why = "processes of other users are hidden, those that cannot be traced are not";
            unit.losses.looser("ProtectProc", why);
        }
        value => return wrong(value, "noaccess, invisible, ptraceable or default"),
    }
    unit.profile.mounts.kernel.proc_invisible = true;
    require(unit, NamespaceType::Mount);
    Ok(())
}

fn proc_subset(unit: &mut Unit, value: &str) -> Result<()> {
    match value {
        "all" => {}
        "pid" => {
            unit.profile.mounts.kernel.proc_only_pids = true;
            require(unit, NamespaceType::Mount);
        }
        value => return wrong(value, "all or pid"),
    }
    Ok(())
}

fn protect_system(unit: &mut Unit, value: &str) -> Result<()> {
    let protection = match value {
        "strict" => {
            unit.profile.root.readonly = true;
            let why = "other filesystems below / are as the config mounts them";
            unit.losses.looser("ProtectSystem", why);
            NONE
        }
        "full" => Protection {
            readonly: &["/boot", "/efi", "/etc", "/usr"],
            ..NONE
        },
        value => {
            let readonly = &["/boot", "/efi", "/usr"];
            return protect(unit, value, &Protection { readonly, ..NONE }).map(drop);
        }
    };
    require(unit, NamespaceType::Mount);
    protect(unit, "yes", &protection).map(drop)
}

fn protect_home(unit: &mut Unit, value: &str) -> Result<()> {
    const HOME: &[&str] = &["/home", "/root", "/run/user"];
    match value {
        "read-only" => protect(
            unit,
            "yes",
            &Protection {
                readonly: HOME,
                ..NONE
            },
        ),
        "tmpfs" => protect(
            unit,
            "yes",
            &Protection {
                hidden: HOME,
                ..NONE
            },
        ),
        value => protect(
            unit,
            value,
            &Protection {
                hidden: HOME,
                ..NONE
            },
        ),
    }
    .map(drop)
}

/// Paths of the service's root; a `-` means that it may be missing, as all of a profile may.
fn paths(value: &str) -> Vec<String> {
    let words = value.split_whitespace();
    words
        .map(|word| {
            word.trim_start_matches(['-', '+'])
                .trim_matches('"')
                .to_owned()
        })
        .collect()
}

fn readonly_paths(unit: &mut Unit, value: &str) -> Result<()> {
    let mut list = paths(value);
    if list.iter().any(|path| path == "/") {
        list.retain(|path| path != "/");
        protect_system(unit, "strict")?;
    }
    hide(unit, "ReadOnlyPaths", &mut list);
    add(&mut unit.profile.paths.readonly, list);
    Ok(())
}

fn inaccessible_paths(unit: &mut Unit, value: &str) -> Result<()> {
    let mut list = paths(value);
    hide(unit, "InaccessiblePaths", &mut list);
    add(&mut unit.profile.paths.mask, list);
    Ok(())
}

/// A path with a specifier or a pattern means something only to systemd.
fn hide(unit: &mut Unit, field: &str, list: &mut Vec<String>) {
    if !list.is_empty() {
        require(unit, NamespaceType::Mount);
    }
    let is_plain = |path: &String| path.starts_with('/') && !path.contains(['*', '%', '\\']);
    for path in list.iter().filter(|path| !is_plain(path)) {
        let why = format!("{}: not a plain path", quote(path));
        unit.losses.looser(field, why);
    }
    list.retain(is_plain);
}

fn writable_paths(unit: &mut Unit, value: &str) -> Result<()> {
    if !value.is_empty() {
        let why = "what is writable on a read-only root are mounts of the config";
        unit.losses.stricter("ReadWritePaths", why);
    }
    Ok(())
}

fn mount_flags(unit: &mut Unit, value: &str) -> Result<()> {
    unit.profile.mounts.propagation = Some(match value {
        "shared" => Propagation::Shared,
        "slave" => Propagation::Slave,
        "private" => Propagation::Private,
        value => return wrong(value, "shared, slave or private"),
    });
    Ok(())
}

fn private_devices(unit: &mut Unit, value: &str) -> Result<()> {
    let protection = Protection {
        capabilities: &["CAP_MKNOD", "CAP_SYS_RAWIO"],
        groups: &["@raw-io"],
        ..NONE
    };
    if protect(unit, value, &protection)? {
        require(unit, NamespaceType::Mount);
        unit.profile.devices.deny_all = true;
        unit.profile.devices.nodes = Some(Vec::new());
    }
    Ok(())
}

fn device_policy(unit: &mut Unit, value: &str) -> Result<()> {
    match value {
        "auto" => {}
        "closed" | "strict" => unit.profile.devices.deny_all = true,
        value => return wrong(value, "auto, closed or strict"),
    }
    Ok(())
}

fn device_allow(unit: &mut Unit, value: &str) -> Result<()> {
    if value.is_empty() {
        unit.state.device_allow.clear();
        return Ok(());
    }
    unit.state.device_allow.push(value.to_owned());
    Ok(())
}

/// Devices by number are carried over, by name only the host knows them.
fn devices(unit: &mut Unit) {
    let allowed = std::mem::take(&mut unit.state.device_allow);
    unit.profile.devices.deny_all |= !allowed.is_empty();
    if !unit.profile.devices.deny_all {
        return;
    }
    let mut sets = Vec::new();
    for value in &allowed {
        let (device, access) = value
            .split_once(char::is_whitespace)
            .unwrap_or((value, "rwm"));
        let set = device_set(device, access.trim());
        match set.and_then(|set| DeviceSet::try_from(set).ok()) {
            Some(set) => sets.push(set),
            None => {
                let why = format!(
                    "{}: its number is not known here, so it is not allowed",
                    quote(device)
                );
                unit.losses.stricter("DeviceAllow", why);
            }
        }
    }
    unit.profile.devices.allow = Some(sets);
}

fn device_set(device: &str, access: &str) -> Option<String> {
    let known = [
        ("char-*", "c *:*"),
        ("block-*", "b *:*"),
        ("char-pts", "c 136:*"),
    ];
    if let Some((_, set)) = known.iter().find(|(name, _)| *name == device) {
        return Some(format!("{set} {access}"));
    }
    let prefixes = [("/dev/char/", "c"), ("/dev/block/", "b")];
    prefixes.iter().find_map(|(prefix, kind)| {
        let numbers = device.strip_prefix(prefix)?;
        Some(format!("{kind} {numbers} {access}"))
    })
}

const BYTES: [(&str, u64); 7] = [
    ("", 1),
    ("B", 1),
    ("K", 1 << 10),
    ("M", 1 << 20),
    ("G", 1 << 30),
    ("T", 1 << 40),
    ("P", 1 << 50),
];

/// A size; of `infinity` and of a share of what the host has, `None`.
fn bytes(unit: &mut Unit, field: &str, value: &str) -> Result<Option<u64>> {
    if value == "infinity" {
        return Ok(None);
    }
    if value.ends_with('%') {
        let why = "a profile has no shares of what the host has";
        unit.losses.looser(field, why);
        return Ok(None);
    }
    match amount(value, &BYTES) {
        Some(bytes) => Ok(Some(bytes)),
        None => wrong(value, "a size such as 512M"),
    }
}

fn memory(unit: &mut Unit, value: &str) -> Result<()> {
    let bytes = bytes(unit, "MemoryMax", value)?;
    unit.profile.limits.memory.maximum = bytes.map(Quantity::Number);
    Ok(())
}

fn swap(unit: &mut Unit, value: &str) -> Result<()> {
    let bytes = bytes(unit, "MemorySwapMax", value)?;
    unit.profile.limits.swap.maximum = bytes.map(Quantity::Number);
    Ok(())
}

fn tasks(unit: &mut Unit, value: &str) -> Result<()> {
    let tasks = bytes(unit, "TasksMax", value)?;
    unit.profile.limits.pids.maximum = tasks.map(Quantity::Number);
    Ok(())
}

fn cpu_quota(unit: &mut Unit, value: &str) -> Result<()> {
    let percent = value
        .strip_suffix('%')
        .and_then(|value| amount(value, &[("", 10_000_000)]));
    let Some(billionths) = percent else {
        return wrong(value, "a share such as 20%");
    };
    let (percent, is_more) = super::values::percent_of(billionths);
    unit.profile.limits.cpu_percent.maximum = Some(Quantity::Number(percent));
    if is_more {
        let why = format!("rounded up to {percent} percent of a CPU");
        unit.losses.looser("CPUQuota", why);
    }
    Ok(())
}

/// Seconds and microseconds are read only as plain numbers.
fn rlimit(unit: &mut Unit, kind: &str, value: &str) -> Result<()> {
    let (soft, hard) = value.split_once(':').unwrap_or((value, value));
    let field = kind.replace("RLIMIT_", "Limit");
    if soft != hard {
        let why = "a profile has one number for soft and hard: the hard one";
        unit.losses.looser(&field, why);
    }
    if hard == "infinity" {
        return Ok(());
    }
    let Some(maximum) = amount(hard, &BYTES) else {
        let why = format!("{}: only plain numbers are read", quote(hard));
        unit.losses.looser(field, why);
        return Ok(());
    };
    let on_conflict = OnConflict::Tighten;
    let bound = RlimitBound {
        maximum,
        on_conflict,
    };
    unit.profile.rlimits.insert(kind.to_owned(), bound);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::filter::filter as compiled;
    use crate::profile::region::answers;
    use crate::spec::SeccompAction;

    fn of(settings: &str) -> Converted<Profile> {
        from_systemd("x", &format!("[Service]\n{settings}\n")).unwrap()
    }

    /// `allow`, an error or `kill`, or `by arguments`.
    fn answer(settings: &str, call: &str) -> String {
        let rules = of(settings).result.seccomp;
        let filter = rules.as_ref().map(compiled);
        match answers(filter.as_ref(), call).unwrap()[..] {
            [((SeccompAction::Allow, _), _)] => "allow".to_owned(),
            [((_, Some(errno)), _)] => errno.to_string(),
            [((_, None), _)] => "kill".to_owned(),
            _ => "by arguments".to_owned(),
        }
    }

    #[test]
    fn lists_add_up_and_are_reset_by_an_empty_assignment() {
        let allow = |settings: &str| {
            of(settings)
                .result
                .capabilities
                .map(|section| section.allow)
        };
        assert_eq!(allow("CapabilityBoundingSet="), Some(Vec::new()));
        let two = "CapabilityBoundingSet=CAP_CHOWN \\\n  CAP_KILL\nCapabilityBoundingSet=~CAP_KILL";
        assert_eq!(allow(two), Some(vec!["CAP_CHOWN".to_owned()]));
        let reset = "CapabilityBoundingSet=CAP_KILL\nCapabilityBoundingSet=\nCapabilityBoundingSet=CAP_CHOWN";
        assert_eq!(allow(reset), Some(vec!["CAP_CHOWN".to_owned()]));
        assert_eq!(allow("CapabilityBoundingSet=~CAP_KILL").unwrap().len(), 40);
        assert_eq!(allow("PrivateDevices=yes").unwrap().len(), 39);
        assert_eq!(allow("NoNewPrivileges=yes"), None);
    }

    #[test]
    fn filters_answer_as_systemd_s() {
        let listed = "SystemCallFilter=@system-service\nSystemCallFilter=~@privileged chmod:EACCES\nSystemCallErrorNumber=EPERM";
        assert_eq!(answer(listed, "read"), "allow");
        assert_eq!(answer(listed, "chmod"), "13");
        assert_eq!(answer(listed, "setuid"), "1");
        assert_eq!(answer(listed, "mount"), "1");
        assert_eq!(answer("SystemCallFilter=read", "mount"), "kill");
        assert_eq!(answer("SystemCallFilter=read", "execve"), "allow");
        assert_eq!(answer("SystemCallFilter=~mount:ENOSYS", "mount"), "38");
        assert_eq!(answer("SystemCallFilter=~mount", "read"), "allow");
        assert_eq!(
            answer("SystemCallFilter=read\nSystemCallFilter=\n", "mount"),
            "allow"
        );
    }

    #[test]
    fn settings_about_arguments_are_kept_in_both_kinds_of_filters() {
        for filter in ["", "SystemCallFilter=@system-service"] {
            for (setting, call) in [
                ("MemoryDenyWriteExecute=yes", "mmap"),
                ("RestrictSUIDSGID=yes", "openat"),
                ("LockPersonality=yes", "personality"),
                ("RestrictNamespaces=yes", "clone"),
                ("RestrictAddressFamilies=AF_UNIX", "socket"),
                ("RestrictAddressFamilies=~AF_ALG", "socket"),
                ("RestrictRealtime=yes", "sched_setscheduler"),
            ] {
                let settings = format!("{filter}\n{setting}");
                assert_eq!(answer(&settings, call), "by arguments", "{settings}");
            }
        }
        assert_eq!(answer("RestrictNamespaces=yes", "setns"), "1");
        assert_eq!(answer("RestrictNamespaces=yes", "clone3"), "38");
        assert_eq!(answer("RestrictAddressFamilies=none", "socket"), "1");
        assert_eq!(
            answer(
                "SystemCallFilter=~socket\nRestrictAddressFamilies=AF_UNIX",
                "socket"
            ),
            "kill"
        );
    }

    #[test]
    fn what_is_not_carried_over_is_said() {
        let losses = |settings: &str| -> Vec<String> {
            let losses = of(settings).losses;
            losses.iter().map(ToString::to_string).collect()
        };
        assert_eq!(
            losses("ExecStart=/bin/true\nMemoryHigh=infinity\nKeyringMode="),
            Vec::<String>::new()
        );
        assert_eq!(
            losses(
                "MemoryHigh=1G\nPrivateFoo=yes\nSystemCallErrorNumber=EUCLEAN\nDeviceAllow=/dev/fuse rw"
            ),
            [
                "not carried over: MemoryHigh: looser: a profile has no soft limits",
                "not carried over: PrivateFoo: different: not a setting that is known here",
                "not carried over: SystemCallErrorNumber: different: EPERM stands in for \"EUCLEAN\"",
                "not carried over: DeviceAllow: stricter: \"/dev/fuse\": its number is not known here, so it is not allowed",
            ]
        );
    }

    #[test]
    fn wrong_values_are_errors_with_their_setting() {
        let refused = |settings: &str| {
            let unit = format!("[Service]\n{settings}\n");
            from_systemd("x", &unit).unwrap_err().to_string()
        };
        assert_eq!(
            refused("NoNewPrivileges=maybe"),
            "Service.NoNewPrivileges: \"maybe\": not yes or no"
        );
        assert_eq!(
            refused("Restart"),
            "read a unit: line 2: \"Restart\" is no assignment"
        );
        assert_eq!(
            from_systemd("x", "[Unit]\n").unwrap_err().to_string(),
            "read a unit: it has no section [Service]"
        );
    }
}
