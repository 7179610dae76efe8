//! Field by field, what it is to be at most as permissive as a config, and as a profile: read off docs/profiles.md and the
//! specification, and with nothing of the rules that tighten.

use std::collections::BTreeMap;

use serde_json::Value;

use super::mounts::{at_most_options, within_class};
use crate::profile::{Facts, Groups, Profile, Quantity, Verdict, WhenMissing};
use crate::spec::{Config, DeviceRule, Linux, Mount, NamespaceType, Process, Resources};

pub(super) type Checked = Result<(), String>;

pub(super) fn ensure(holds: bool, what: impl Into<String>) -> Checked {
    if holds { Ok(()) } else { Err(what.into()) }
}

fn subset<T: PartialEq>(inner: &[T], outer: &[T], what: &str) -> Checked {
    ensure(inner.iter().all(|item| outer.contains(item)), what)
}

/// Where a profile may change something at all; everything else must stay.
const TOUCHED: [&str; 16] = [
    "/process/env",
    "/process/apparmorProfile",
    "/process/user/additionalGids",
    "/process/capabilities/",
    "/process/noNewPrivileges",
    "/process/rlimits",
    "/root/readonly",
    "/mounts",
    "/linux/namespaces",
    "/linux/sysctl/vm.memfd_noexec",
    "/linux/maskedPaths",
    "/linux/readonlyPaths",
    "/linux/devices",
    "/linux/resources/devices",
    "/linux/resources/unified",
    "/linux/resources/pids",
];
const TOUCHED_LIMITS: [&str; 4] = [
    "/linux/resources/memory/limit",
    "/linux/resources/memory/swap",
    "/linux/resources/cpu/quota",
    "/linux/resources/cpu/period",
];

/// The places of all values, of which lists are one.
fn leaves(at: &str, value: &Value, into: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                leaves(&format!("{at}/{key}"), value, into);
            }
        }
        value => {
            into.insert(at.to_owned(), value.clone());
        }
    }
}

fn untouched(new: &Config, old: &Config) -> Checked {
    let of = |config: &Config| {
        let mut all = BTreeMap::new();
        leaves("", &serde_json::to_value(config).unwrap(), &mut all);
        all
    };
    let (new, old) = (of(new), of(old));
    let is_touched = |at: &str| {
        TOUCHED
            .iter()
            .chain(&TOUCHED_LIMITS)
            .any(|place| at.starts_with(place))
    };
    for at in new.keys().chain(old.keys()).filter(|at| !is_touched(at)) {
        ensure(new.get(at) == old.get(at), format!("{at} has changed"))?;
    }
    Ok(())
}

/// `new` permits nothing that `old` does not.
pub(super) fn at_most_config(new: &Config, old: &Config, host: &Facts) -> Checked {
    untouched(new, old)?;
    let (process, was) = (new.process.as_ref().unwrap(), old.process.as_ref().unwrap());
    subset(
        &process.user.additional_gids,
        &was.user.additional_gids,
        "groups",
    )?;
    subset(&process.env, &was.env, "env")?;
    ensure(
        process.apparmor_profile == was.apparmor_profile
            || !is_confining(&was.apparmor_profile) && is_confining(&process.apparmor_profile),
        "apparmorProfile",
    )?;
    for (new, old) in sets(process).iter().zip(sets(was)) {
        subset(new, &old, "capabilities")?;
    }
    ensure(
        process.no_new_privileges || !was.no_new_privileges,
        "noNewPrivileges",
    )?;
    for kind in [
        "RLIMIT_NOFILE",
        "RLIMIT_CORE",
        "RLIMIT_NPROC",
        "RLIMIT_DATA",
    ] {
        let ((hard, soft), (had_hard, had_soft)) =
            (rlimit(process, kind, host), rlimit(was, kind, host));
        ensure(hard <= had_hard && soft <= had_soft, kind)?;
    }
    let readonly = |config: &Config| config.root.as_ref().unwrap().readonly;
    ensure(readonly(new) || !readonly(old), "readonly")?;
    at_most_mounts(&new.mounts, &old.mounts)?;
    let none = Linux::default();
    at_most_linux(
        new.linux.as_ref().unwrap_or(&none),
        old.linux.as_ref().unwrap_or(&none),
    )
}

fn is_confining(profile: &Option<String>) -> bool {
    profile
        .as_deref()
        .is_some_and(|name| !matches!(name, "" | "unconfined"))
}

fn sets(process: &Process) -> [Vec<String>; 5] {
    let all = process.capabilities.clone().unwrap_or_default();
    [
        all.bounding,
        all.effective,
        all.inheritable,
        all.permitted,
        all.ambient,
    ]
}

/// Hard and soft; what the config leaves out is the host's.
fn rlimit(process: &Process, kind: &str, host: &Facts) -> (u64, u64) {
    let mut all = process.rlimits.iter().chain(&host.rlimits);
    let found = all.find(|limit| limit.kind == kind);
    found.map_or((u64::MAX, u64::MAX), |limit| (limit.hard, limit.soft))
}

fn at_most_mounts(new: &[Mount], old: &[Mount]) -> Checked {
    let identity = |mount: &Mount| {
        (
            mount.destination.clone(),
            mount.kind.clone(),
            mount.source.clone(),
        )
    };
    let mut rest = old.iter();
    for mount in new {
        let mut reason = format!("{} is new", mount.destination);
        let is_found = rest.by_ref().any(|old| {
            let result = ensure(identity(old) == identity(mount), "")
                .and_then(|()| at_most_options(mount, old));
            result.map_err(|cause| reason = cause).is_ok()
        });
        ensure(is_found, format!("mounts: {reason}"))?;
    }
    Ok(())
}

fn at_most_linux(new: &Linux, old: &Linux) -> Checked {
    for space in &old.namespaces {
        let kept = new.namespaces.iter().find(|other| other.kind == space.kind);
        ensure(
            kept.is_some_and(|kept| kept.path.is_none() || kept.path == space.path),
            "namespaces",
        )?;
    }
    for space in &new.namespaces {
        let had = old.namespaces.iter().any(|other| other.kind == space.kind);
        ensure(had || space.path.is_none(), "a namespace that is joined")?;
    }
    subset(&old.masked_paths, &new.masked_paths, "maskedPaths")?;
    subset(&old.readonly_paths, &new.readonly_paths, "readonlyPaths")?;
    subset(&new.devices, &old.devices, "devices")?;
    let memfd = |linux: &Linux| {
        let value = linux.sysctl.get("vm.memfd_noexec");
        value.map_or(0, |value| value.parse::<u32>().unwrap())
    };
    ensure(memfd(new) >= memfd(old), "vm.memfd_noexec")?;
    let none = Resources::default();
    let (new, old) = (
        new.resources.as_ref().unwrap_or(&none),
        old.resources.as_ref().unwrap_or(&none),
    );
    let group = |resources: &Resources| resources.unified.get("memory.oom.group").cloned();
    ensure(
        group(new) == group(old) || group(new).as_deref() == Some("1"),
        "memory.oom.group",
    )?;
    for device in DEVICES {
        ensure(
            !is_allowed(&new.devices, device) || is_allowed(&old.devices, device),
            format!("{device:?}"),
        )?;
    }
    let (limit, limits) = (Effective::of(new), Effective::of(old));
    ensure(limit.memory <= limits.memory, "memory")?;
    ensure(
        limit.memory.saturating_add(limit.swap) <= limits.memory.saturating_add(limits.swap),
        "swap",
    )?;
    ensure(limit.pids <= limits.pids, "pids")?;
    ensure(limit.cpu <= limits.cpu, "cpu")?;
    let other = |resources: &Resources| resources.unified.get("memory.high").cloned();
    ensure(other(new) == other(old), "unified")
}

/// What the files of a cgroup have in the end; none is the largest number. CPU time is in millionths of a processor.
struct Effective {
    memory: u128,
    swap: u128,
    pids: u128,
    cpu: u128,
}

const NONE: u128 = u128::MAX / 4;

impl Effective {
    /// `unified` is written last.
    fn of(resources: &Resources) -> Self {
        let above_zero =
            |limit: Option<i64>| limit.filter(|limit| *limit > 0).map(|limit| limit as u128);
        let memory = resources.memory.clone().unwrap_or_default();
        let (limit, both) = (above_zero(memory.limit), above_zero(memory.swap));
        let swap = match (limit, both) {
            (Some(limit), Some(both)) => both.saturating_sub(limit),
            (None, Some(both)) => both,
            _ => NONE,
        };
        let pids = resources.pids.as_ref().and_then(|pids| pids.limit);
        let cpu = resources.cpu.clone().unwrap_or_default();
        let period = cpu.period.filter(|period| *period > 0).unwrap_or(100_000);
        let share = above_zero(cpu.quota).map(|quota| quota * 1_000_000 / u128::from(period));
        let file = |name: &str| {
            resources
                .unified
                .get(name)
                .map(|text| text.split_whitespace().collect::<Vec<_>>())
        };
        let number = |name: &str| file(name).map(|words| words[0].parse().unwrap_or(NONE));
        let cpu_file = file("cpu.max").map(|words| {
            let period: u128 = words.get(1).map_or(100_000, |word| word.parse().unwrap());
            words[0]
                .parse()
                .map_or(NONE, |quota: u128| quota * 1_000_000 / period)
        });
        Self {
            memory: number("memory.max").or(limit).or(both).unwrap_or(NONE),
            swap: number("memory.swap.max").unwrap_or(swap),
            pids: number("pids.max").unwrap_or(match pids {
                Some(0) => 1,
                pids => above_zero(pids).unwrap_or(NONE),
            }),
            cpu: cpu_file.or(share).unwrap_or(NONE),
        }
    }
}

type Device = (char, i64, i64, char);

const DEVICES: [Device; 10] = [
    ('c', 1, 3, 'r'),
    ('c', 1, 3, 'w'),
    ('c', 1, 3, 'm'),
    ('c', 1, 8, 'r'),
    ('b', 8, 0, 'r'),
    ('b', 8, 0, 'w'),
    ('b', 8, 0, 'm'),
    ('c', 250, 7, 'r'),
    ('c', 250, 7, 'm'),
    ('b', 250, 7, 'w'),
];

/// The last rule that is about the device decides; without one it is denied.
fn is_allowed(rules: &[DeviceRule], (kind, major, minor, access): Device) -> bool {
    let number = |wanted: Option<i64>, number: i64| {
        wanted.is_none_or(|wanted| wanted < 0 || wanted == number)
    };
    let is_about = |rule: &&DeviceRule| {
        let own = rule.kind.as_deref().unwrap_or("a");
        let words = rule
            .access
            .as_deref()
            .filter(|words| !words.is_empty())
            .unwrap_or("rwm");
        (own == "a"
            || own.chars().eq([kind]) && number(rule.major, major) && number(rule.minor, minor))
            && words.contains(access)
    };
    rules
        .iter()
        .rev()
        .find(is_about)
        .is_some_and(|rule| rule.allow)
}

/// `new` has what the profile demands of `old`.
pub(super) fn meets(new: &Config, old: &Config, profile: &Profile, host: &Facts) -> Checked {
    let process = new.process.as_ref().unwrap();
    let (identity, uid) = (&profile.identity, process.user.uid);
    ensure(
        identity.non_root != Verdict::Refuse || uid != 0,
        "identity.non-root",
    )?;
    ensure(
        uid == 0 || uid >= identity.minimum_uid,
        "identity.minimum-uid",
    )?;
    let keeps = identity.additional_groups == Groups::Keep;
    ensure(
        keeps || process.user.additional_gids.is_empty(),
        "identity.additional-groups",
    )?;
    if let Some(bound) = &profile.capabilities {
        for set in sets(process) {
            subset(&set, &bound.allow, "capabilities.allow")?;
        }
    }
    let flags = &profile.process;
    ensure(
        process.no_new_privileges || !flags.no_new_privileges,
        "process.no-new-privileges",
    )?;
    ensure(
        !process.terminal || flags.terminal != Verdict::Refuse,
        "process.terminal",
    )?;
    meets_names(process, profile, host)?;
    for (kind, bound) in &profile.rlimits {
        let (hard, soft) = rlimit(process, kind, host);
        ensure(
            hard <= bound.maximum && soft <= bound.maximum,
            format!("rlimits.{kind}"),
        )?;
    }
    ensure(
        new.root.as_ref().unwrap().readonly || !profile.root.readonly,
        "root.readonly",
    )?;
    for mount in &new.mounts {
        within_class(mount, &profile.mounts).map_err(|cause| format!("{cause} of {mount:?}"))?;
    }
    let none = Linux::default();
    let old = old.linux.as_ref().unwrap_or(&none);
    meets_linux(new.linux.as_ref().unwrap_or(&none), old, profile, host)
}

/// Variables, and the profile of AppArmor.
fn meets_names(process: &Process, profile: &Profile, host: &Facts) -> Checked {
    if let Some(environment) = &profile.environment {
        let is_listed = |variable: &String| {
            let name = variable.split('=').next().unwrap();
            environment
                .allow
                .iter()
                .any(|pattern| match pattern.strip_suffix('*') {
                    Some(prefix) => name.starts_with(prefix),
                    None => name == pattern,
                })
        };
        ensure(process.env.iter().all(is_listed), "environment.allow")?;
    }
    if let Some(apparmor) = &profile.apparmor {
        let is_loaded = host.kernel.apparmor_profiles.contains(&apparmor.profile);
        ensure(
            is_confining(&process.apparmor_profile)
                || process.selinux_label.is_some()
                || !is_loaded && apparmor.when_missing == WhenMissing::Ignore,
            "apparmor.profile",
        )?;
    }
    Ok(())
}

fn meets_linux(new: &Linux, old: &Linux, profile: &Profile, host: &Facts) -> Checked {
    for kind in &profile.namespaces.require {
        let own = |path: &Option<String>| {
            path.as_ref()
                .is_none_or(|path| !host.own_namespaces.contains(path))
        };
        let found = new.namespaces.iter().find(|space| space.kind == *kind);
        ensure(
            found.is_some_and(|space| own(&space.path)),
            format!("namespaces.require: {kind:?}"),
        )?;
    }
    let refuses = profile.namespaces.net_devices == Verdict::Refuse;
    ensure(
        !refuses || new.net_devices.is_empty(),
        "namespaces.net-devices",
    )?;
    meets_memory(new, profile)?;
    let paths = &profile.paths;
    subset(&paths.mask, &new.masked_paths, "paths.mask")?;
    subset(&paths.readonly, &new.readonly_paths, "paths.readonly")?;
    if paths.mask_thermal_throttle {
        subset(
            &host.thermal_throttle,
            &new.masked_paths,
            "paths.mask-thermal-throttle",
        )?;
    }
    if let Some(nodes) = &profile.devices.nodes {
        let all: Vec<String> = new
            .devices
            .iter()
            .map(|device| device.path.clone())
            .collect();
        subset(&all, nodes, "devices.nodes")?;
    }
    let none = Resources::default();
    let (new, old) = (
        new.resources.as_ref().unwrap_or(&none),
        old.resources.as_ref().unwrap_or(&none),
    );
    meets_devices(&new.devices, profile)?;
    ensure(
        !profile.limits.oom_group
            || new
                .unified
                .get("memory.oom.group")
                .is_some_and(|value| value == "1"),
        "limits.oom-group",
    )?;
    // What `unified` takes back is asked for in the other fields.
    let mut asked = old.clone();
    asked.unified.retain(|_, value| !value.starts_with("max"));
    meets_limits(&Effective::of(new), &Effective::of(&asked), profile, host)
}

fn meets_memory(new: &Linux, profile: &Profile) -> Checked {
    if profile
        .memory
        .as_ref()
        .is_some_and(|rules| rules.memfd_noexec)
    {
        let of_its_own = |space: &crate::spec::Namespace| {
            space.kind == NamespaceType::Pid && space.path.is_none()
        };
        let is_set = new
            .sysctl
            .get("vm.memfd_noexec")
            .is_some_and(|value| value == "2");
        ensure(
            is_set || !new.namespaces.iter().any(of_its_own),
            "memory.memfd-noexec",
        )?;
    }
    Ok(())
}

/// Where everything is denied that no rule allows.
fn meets_devices(rules: &[DeviceRule], profile: &Profile) -> Checked {
    if !profile.devices.deny_all {
        return Ok(());
    }
    for (kind, major, minor, access) in DEVICES {
        let listed = profile.devices.allow.as_ref().is_none_or(|sets| {
            sets.iter().any(|set| {
                let has =
                    |wanted: Option<i64>, number| wanted.is_none_or(|wanted| wanted == number);
                set.kind == kind
                    && has(set.major, major)
                    && has(set.minor, minor)
                    && set.access.contains(access)
            })
        });
        // Of a major number that nothing names only making nodes can be allowed.
        let is_unnamed = major == 250 && access != 'm';
        let device = (kind, major, minor, access);
        let is_allowed = is_allowed(rules, device);
        ensure(
            !is_allowed || listed && !(is_unnamed && profile.devices.allow.is_none()),
            format!("devices: {device:?}"),
        )?;
    }
    Ok(())
}

fn meets_limits(new: &Effective, old: &Effective, profile: &Profile, host: &Facts) -> Checked {
    let limits = &profile.limits;
    // Swap is counted together with the memory: where that has no limit, the config has no place for it.
    let swap = if new.memory == NONE { 0 } else { new.swap };
    let all = [
        ("memory", &limits.memory, new.memory, old.memory, 1),
        ("swap", &limits.swap, swap, old.swap, 1),
        ("pids", &limits.pids, new.pids, old.pids, 1),
        ("cpu-percent", &limits.cpu_percent, new.cpu, old.cpu, 10_000),
    ];
    for (key, bound, new, old, unit) in all {
        let number = |quantity: Quantity| match quantity {
            Quantity::Number(number) => u128::from(number) * unit,
            Quantity::Host => u128::from(host.memory_total),
        };
        let most = bound.maximum.map_or(NONE, number);
        ensure(new <= most, format!("limits.{key}: {new} is above {most}"))?;
        let default = bound.default.map_or(most, number);
        let had_none = old == NONE;
        ensure(
            !had_none || new <= default,
            format!("limits.{key}: {new} is above the default {default}"),
        )?;
    }
    Ok(())
}
