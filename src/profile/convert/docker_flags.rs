//! Flags of `docker run` and `docker create` (version 28) as a profile that permits what a container with them has.
//! Writing them is in `docker`.

use std::fs;
use std::path::Path;

use crate::error::{Doing, Error, Result, quote, quote_path};
use crate::profile::compare::Direction::{Different, Looser, Stricter};
use crate::profile::format::{Flag as MountFlag, OnConflict, Profile, Propagation};
use crate::profile::limits::PERIOD;
use crate::profile::values::{DeviceSet, Quantity, RlimitBound};
use crate::spec::NamespaceType;

use super::docker::ULIMITS;
use super::values::{DOCKER_MASKED, ENGINE_CAPABILITIES, amount, capability_of, percent_of};
use super::{Converted, Fate, Reading, finish, oci, stand_in};
use crate::names::CAPABILITIES;

/// What flags say together.
#[derive(Default)]
struct Seen {
    added: Vec<String>,
    dropped: Vec<String>,
    memory: Option<u64>,
    /// Memory and swap; `Some(None)` is no limit.
    swap: Option<Option<u64>>,
    quota: Option<u64>,
    period: Option<u64>,
    filter: Filter,
}

#[derive(Default)]
enum Filter {
    #[default]
    Engine,
    Given,
}

type Docker = Reading<Seen>;

/// Whether a flag is followed by a value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    Nothing,
    Value,
}

struct Flag(&'static str, Option<char>, Takes, Fate<Seen>);

use Fate::{Apart, Lost, Reads};
use Takes::{Nothing, Value};

const NO_WEIGHTS: &str = "a profile does not weigh containers against each other";
const NO_RATES: &str = "a profile has no rates of devices";
const NO_GROUP: &str = "a profile does not choose groups";

/// Every flag.
const TABLE: &[Flag] = &[
    Flag("add-host", None, Value, Apart),
    Flag("annotation", None, Value, Apart),
    Flag("attach", Some('a'), Value, Apart),
    Flag("blkio-weight", None, Value, Lost(Looser, NO_WEIGHTS)),
    Flag("blkio-weight-device", None, Value, Lost(Looser, NO_WEIGHTS)),
    Flag("cap-add", None, Value, Reads(cap_add)),
    Flag("cap-drop", None, Value, Reads(cap_drop)),
    Flag(
        "cgroup-parent",
        None,
        Value,
        Lost(Looser, "a profile does not choose the cgroup"),
    ),
    Flag("cgroupns", None, Value, Reads(cgroup_namespace)),
    Flag("cidfile", None, Value, Apart),
    Flag("cpu-count", None, Value, Apart),
    Flag("cpu-percent", None, Value, Apart),
    Flag("cpu-period", None, Value, Reads(cpu_period)),
    Flag("cpu-quota", None, Value, Reads(cpu_quota)),
    Flag(
        "cpu-rt-period",
        None,
        Value,
        Lost(Different, "a profile does not limit real time"),
    ),
    Flag(
        "cpu-rt-runtime",
        None,
        Value,
        Lost(Different, "a profile does not limit real time"),
    ),
    Flag("cpu-shares", Some('c'), Value, Lost(Looser, NO_WEIGHTS)),
    Flag("cpus", None, Value, Reads(cpus)),
    Flag(
        "cpuset-cpus",
        None,
        Value,
        Lost(Looser, "a profile does not choose CPUs"),
    ),
    Flag(
        "cpuset-mems",
        None,
        Value,
        Lost(Looser, "a profile does not choose nodes of memory"),
    ),
    Flag("detach", Some('d'), Nothing, Apart),
    Flag("detach-keys", None, Value, Apart),
    Flag("device", None, Value, Reads(device)),
    Flag("device-cgroup-rule", None, Value, Reads(device_rule)),
    Flag("device-read-bps", None, Value, Lost(Looser, NO_RATES)),
    Flag("device-read-iops", None, Value, Lost(Looser, NO_RATES)),
    Flag("device-write-bps", None, Value, Lost(Looser, NO_RATES)),
    Flag("device-write-iops", None, Value, Lost(Looser, NO_RATES)),
    Flag("disable-content-trust", None, Nothing, Apart),
    Flag("dns", None, Value, Apart),
    Flag("dns-option", None, Value, Apart),
    Flag("dns-search", None, Value, Apart),
    Flag("domainname", None, Value, Apart),
    Flag("entrypoint", None, Value, Apart),
    Flag("env", Some('e'), Value, Apart),
    Flag("env-file", None, Value, Apart),
    Flag("expose", None, Value, Apart),
    Flag(
        "gpus",
        None,
        Value,
        Lost(
            Stricter,
            "devices of a GPU are not known here, and not allowed",
        ),
    ),
    Flag("group-add", None, Value, Apart),
    Flag("health-cmd", None, Value, Apart),
    Flag("health-interval", None, Value, Apart),
    Flag("health-retries", None, Value, Apart),
    Flag("health-start-interval", None, Value, Apart),
    Flag("health-start-period", None, Value, Apart),
    Flag("health-timeout", None, Value, Apart),
    Flag("hostname", Some('h'), Value, Apart),
    Flag("init", None, Nothing, Apart),
    Flag("interactive", Some('i'), Nothing, Apart),
    Flag("io-maxbandwidth", None, Value, Apart),
    Flag("io-maxiops", None, Value, Apart),
    Flag("ip", None, Value, Apart),
    Flag("ip6", None, Value, Apart),
    Flag("ipc", None, Value, Reads(ipc_namespace)),
    Flag("isolation", None, Value, Apart),
    Flag(
        "kernel-memory",
        None,
        Value,
        Lost(Looser, "a profile counts memory of the kernel as memory"),
    ),
    Flag("label", Some('l'), Value, Apart),
    Flag("label-file", None, Value, Apart),
    Flag("link", None, Value, Apart),
    Flag("link-local-ip", None, Value, Apart),
    Flag("log-driver", None, Value, Apart),
    Flag("log-opt", None, Value, Apart),
    Flag("mac-address", None, Value, Apart),
    Flag("memory", Some('m'), Value, Reads(memory)),
    Flag(
        "memory-reservation",
        None,
        Value,
        Lost(Looser, "a profile has no soft limit of memory"),
    ),
    Flag("memory-swap", None, Value, Reads(memory_swap)),
    Flag(
        "memory-swappiness",
        None,
        Value,
        Lost(Different, "a profile does not choose when to swap"),
    ),
    Flag("mount", None, Value, Reads(mount)),
    Flag("name", None, Value, Apart),
    Flag("net", None, Value, Reads(network)),
    Flag("net-alias", None, Value, Apart),
    Flag("network", None, Value, Reads(network)),
    Flag("network-alias", None, Value, Apart),
    Flag("no-healthcheck", None, Nothing, Apart),
    Flag("oom-kill-disable", None, Nothing, Apart),
    Flag(
        "oom-score-adj",
        None,
        Value,
        Lost(
            Different,
            "a profile does not choose whom the kernel kills first",
        ),
    ),
    Flag("pid", None, Value, Reads(pid_namespace)),
    Flag("pids-limit", None, Value, Reads(pids_limit)),
    Flag("platform", None, Value, Apart),
    Flag("privileged", None, Nothing, Reads(privileged)),
    Flag("publish", Some('p'), Value, Apart),
    Flag("publish-all", Some('P'), Nothing, Apart),
    Flag("pull", None, Value, Apart),
    Flag("quiet", Some('q'), Nothing, Apart),
    Flag("read-only", None, Nothing, Reads(read_only)),
    Flag("restart", None, Value, Apart),
    Flag("rm", None, Nothing, Apart),
    Flag("runtime", None, Value, Apart),
    Flag("security-opt", None, Value, Reads(security_opt)),
    Flag(
        "shm-size",
        None,
        Value,
        Lost(Looser, "a profile has one size for every tmpfs"),
    ),
    Flag("sig-proxy", None, Nothing, Apart),
    Flag("stop-signal", None, Value, Apart),
    Flag("stop-timeout", None, Value, Apart),
    Flag(
        "storage-opt",
        None,
        Value,
        Lost(Looser, "a profile does not limit the root filesystem"),
    ),
    Flag(
        "sysctl",
        None,
        Value,
        Lost(Different, "a profile sets no sysctls"),
    ),
    Flag("tmpfs", None, Value, Reads(tmpfs)),
    Flag("tty", Some('t'), Nothing, Apart),
    Flag("ulimit", None, Value, Reads(ulimit)),
    Flag("use-api-socket", None, Nothing, Apart),
    Flag("user", Some('u'), Value, Reads(user)),
    Flag("userns", None, Value, Apart),
    Flag("uts", None, Value, Reads(uts_namespace)),
    Flag("volume", Some('v'), Value, Reads(volume)),
    Flag("volume-driver", None, Value, Apart),
    Flag("volumes-from", None, Value, Apart),
    Flag("workdir", Some('w'), Value, Apart),
];

/// Reads flags, with or without `docker run` before them and an image after; files that they name are read, too.
///
/// # Errors
/// Words that no shell would take, a flag or a value that Docker does not have, `--privileged`, a filter that a profile
/// cannot say.
pub fn from_docker(name: &str, text: &str) -> Result<Converted<Profile>> {
    let joined = text.replace("\\\r\n", " ").replace("\\\n", " ");
    let lines = joined
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'));
    let words = shlex::split(&lines.collect::<Vec<_>>().join("\n"))
        .ok_or_else(|| Error::new("read flags of docker", "a quote is not closed"))?;
    let mut reading = Docker::new(engine_defaults(), Seen::default());
    let mut words = words.into_iter().peekable();
    for word in ["docker", "container"] {
        words.next_if(|next| next == word);
    }
    words.next_if(|next| ["run", "create"].contains(&next.as_str()));
    while let Some(word) = words.next_if(|word| word.starts_with('-') && word != "-") {
        if word == "--" {
            break;
        }
        read_flag(&mut reading, &word, &mut || words.next())?;
    }
    together(&mut reading);
    finish(name, "flags of docker", reading.profile, reading.losses)
}

/// `--flag value`, `--flag=value`, `-f value`, `-fvalue` and `-it`, as Docker's own parser reads them.
fn read_flag(
    reading: &mut Docker,
    word: &str,
    next: &mut impl FnMut() -> Option<String>,
) -> Result<()> {
    let unknown = |flag: &str| Error::new(quote(flag), "no flag of docker run");
    if let Some(long) = word.strip_prefix("--") {
        let (name, value) = match long.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (long, None),
        };
        let flag = TABLE.iter().find(|flag| flag.0 == name);
        return one(reading, flag.ok_or_else(|| unknown(word))?, value, next);
    }
    for (at, letter) in word.char_indices().skip(1) {
        let flag = TABLE.iter().find(|flag| flag.1 == Some(letter));
        let flag = flag.ok_or_else(|| unknown(word))?;
        let rest = &word[at + letter.len_utf8()..];
        if flag.2 == Value {
            let value = rest.strip_prefix('=').unwrap_or(rest);
            let value = (!value.is_empty()).then(|| value.to_owned());
            return one(reading, flag, value, next);
        }
        if let Some(value) = rest.strip_prefix('=') {
            return one(reading, flag, Some(value.to_owned()), next);
        }
        one(reading, flag, None, next)?;
    }
    Ok(())
}

fn one(
    reading: &mut Docker,
    Flag(name, _, takes, fate): &Flag,
    value: Option<String>,
    next: &mut impl FnMut() -> Option<String>,
) -> Result<()> {
    let value = match (takes, value) {
        (_, Some(value)) => value,
        (Nothing, None) => "true".to_owned(),
        (Value, None) => {
            next().ok_or_else(|| Error::new(format!("--{name}"), "a value is missing"))?
        }
    };
    if *takes == Nothing && switch(&value).is_none() {
        return Err(wrong(name, &value, "true or false"));
    }
    match fate {
        Apart => {}
        Reads(read) => read(reading, &value)?,
        Lost(direction, why) => reading.losses.add(format!("--{name}"), *direction, *why),
    }
    Ok(())
}

fn switch(value: &str) -> Option<bool> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

fn wrong(flag: &str, value: &str, expected: &str) -> Error {
    Error::new(
        format!("--{flag}"),
        format!("{} is not {expected}", quote(value)),
    )
}

/// A container without a flag.
fn engine_defaults() -> Profile {
    let mut profile = super::values::engine_profile();
    profile.paths.mask.extend(DOCKER_MASKED.map(str::to_owned));
    profile.paths.mask_thermal_throttle = true;
    profile.namespaces.require.push(NamespaceType::Cgroup);
    profile
}

fn together(reading: &mut Docker) {
    capabilities(reading);
    let Seen {
        memory,
        swap,
        quota,
        period,
        ..
    } = reading.state;
    if let Some(memory) = memory {
        let limits = &mut reading.profile.limits;
        limits.memory.maximum = Some(Quantity::Number(memory));
        // As much swap as memory is what Docker gives without a flag.
        let both = swap.unwrap_or(Some(memory.saturating_mul(2)));
        limits.swap.maximum = both.map(|both| Quantity::Number(both.saturating_sub(memory)));
    }
    if let Some(quota) = quota {
        let billionths =
            u128::from(quota) * 1_000_000_000 / u128::from(period.unwrap_or(PERIOD).max(1));
        cpu_limit(
            reading,
            "--cpu-quota",
            billionths.try_into().unwrap_or(u64::MAX),
        );
    }
    if matches!(reading.state.filter, Filter::Engine) {
        reading.profile.seccomp = stand_in();
        let why =
            "Docker's own filter is not known here; that of profile \"baseline\" is in its place";
        reading.losses.stricter("--security-opt seccomp", why);
    }
}

fn cpu_limit(reading: &mut Docker, field: &str, billionths: u64) {
    let (percent, is_more) = percent_of(billionths);
    reading.profile.limits.cpu_percent.maximum = Some(Quantity::Number(percent));
    if is_more {
        let why = format!("rounded up to {percent} percent of a CPU");
        reading.losses.looser(field, why);
    }
}

/// As Docker does it: the order of flags does not matter.
fn capabilities(reading: &mut Docker) {
    let Seen { added, dropped, .. } = &reading.state;
    let is = |list: &[String], name: &str| list.iter().any(|item| item == name);
    let mut held: Vec<String> = match (is(added, "ALL"), is(dropped, "ALL")) {
        (true, _) => CAPABILITIES.map(str::to_owned).to_vec(),
        (false, true) => Vec::new(),
        (false, false) => ENGINE_CAPABILITIES.map(str::to_owned).to_vec(),
    };
    held.retain(|name| !is(dropped, name));
    for name in added.iter().filter(|name| *name != "ALL") {
        if !held.contains(name) {
            held.push(name.clone());
        }
    }
    held.sort_unstable();
    if let Some(section) = &mut reading.profile.capabilities {
        section.allow = held;
    }
}

fn named(flag: &str, value: &str) -> Result<String> {
    if value.eq_ignore_ascii_case("ALL") || value.eq_ignore_ascii_case("CAP_ALL") {
        return Ok("ALL".to_owned());
    }
    capability_of(value).ok_or_else(|| wrong(flag, value, "a capability"))
}

fn cap_add(reading: &mut Docker, value: &str) -> Result<()> {
    reading.state.added.push(named("cap-add", value)?);
    Ok(())
}

fn cap_drop(reading: &mut Docker, value: &str) -> Result<()> {
    reading.state.dropped.push(named("cap-drop", value)?);
    Ok(())
}

fn shares(reading: &mut Docker, kind: NamespaceType, value: &str) {
    if value == "host" {
        reading
            .profile
            .namespaces
            .require
            .retain(|other| *other != kind);
    }
}

fn cgroup_namespace(reading: &mut Docker, value: &str) -> Result<()> {
    shares(reading, NamespaceType::Cgroup, value);
    Ok(())
}

fn ipc_namespace(reading: &mut Docker, value: &str) -> Result<()> {
    shares(reading, NamespaceType::Ipc, value);
    Ok(())
}

fn pid_namespace(reading: &mut Docker, value: &str) -> Result<()> {
    shares(reading, NamespaceType::Pid, value);
    Ok(())
}

fn uts_namespace(reading: &mut Docker, value: &str) -> Result<()> {
    shares(reading, NamespaceType::Uts, value);
    Ok(())
}

fn network(reading: &mut Docker, value: &str) -> Result<()> {
    shares(reading, NamespaceType::Network, value);
    if value == "none" {
        let why = "a profile demands a network of the container's own, not an empty one";
        reading.losses.looser("--network", why);
    }
    Ok(())
}

fn whole(flag: &str, value: &str) -> Result<i64> {
    value.parse().map_err(|_| wrong(flag, value, "a number"))
}

fn cpu_period(reading: &mut Docker, value: &str) -> Result<()> {
    reading.state.period = u64::try_from(whole("cpu-period", value)?)
        .ok()
        .filter(|period| *period > 0);
    Ok(())
}

fn cpu_quota(reading: &mut Docker, value: &str) -> Result<()> {
    reading.state.quota = u64::try_from(whole("cpu-quota", value)?)
        .ok()
        .filter(|quota| *quota > 0);
    Ok(())
}

fn cpus(reading: &mut Docker, value: &str) -> Result<()> {
    let billionths = amount(value, &[("", 1_000_000_000)]);
    match billionths.ok_or_else(|| wrong("cpus", value, "a number of CPUs"))? {
        0 => {}
        billionths => cpu_limit(reading, "--cpus", billionths),
    }
    Ok(())
}

/// A size in units of 1024; 0 is no limit.
fn bytes(flag: &str, value: &str) -> Result<Option<u64>> {
    let lower = value.to_ascii_lowercase();
    let plain = lower.strip_suffix('b').unwrap_or(&lower);
    let plain = plain.strip_suffix('i').unwrap_or(plain);
    let units = [
        ("", 1),
        ("k", 1 << 10),
        ("m", 1 << 20),
        ("g", 1 << 30),
        ("t", 1 << 40),
        ("p", 1 << 50),
    ];
    let bytes = amount(plain.trim_end(), &units);
    let bytes = bytes.ok_or_else(|| wrong(flag, value, "a size such as 512m"))?;
    Ok((bytes > 0).then_some(bytes))
}

fn memory(reading: &mut Docker, value: &str) -> Result<()> {
    reading.state.memory = bytes("memory", value)?;
    Ok(())
}

fn memory_swap(reading: &mut Docker, value: &str) -> Result<()> {
    reading.state.swap = match value {
        "-1" => Some(None),
        value => bytes("memory-swap", value)?.map(Some),
    };
    Ok(())
}

fn pids_limit(reading: &mut Docker, value: &str) -> Result<()> {
    let limit = u64::try_from(whole("pids-limit", value)?);
    let limit = limit.ok().filter(|limit| *limit > 0);
    reading.profile.limits.pids.maximum = limit.map(Quantity::Number);
    Ok(())
}

fn ulimit(reading: &mut Docker, value: &str) -> Result<()> {
    let expected = "a limit such as nofile=1024:2048";
    let parts = value.split_once('=').and_then(|(word, numbers)| {
        let (soft, hard) = numbers.split_once(':').unwrap_or((numbers, numbers));
        let (_, kind) = ULIMITS.iter().find(|(known, _)| *known == word)?;
        Some((*kind, soft.parse::<i64>().ok()?, hard.parse::<i64>().ok()?))
    });
    let (kind, soft, hard) = parts.ok_or_else(|| wrong("ulimit", value, expected))?;
    if soft != hard {
        let why = "a profile has one number for soft and hard: the hard one";
        reading.losses.looser(format!("--ulimit {kind}"), why);
    }
    if let Ok(maximum) = u64::try_from(hard) {
        let on_conflict = OnConflict::Tighten;
        let bound = RlimitBound {
            maximum,
            on_conflict,
        };
        reading.profile.rlimits.insert(kind.to_owned(), bound);
    }
    Ok(())
}

fn user(reading: &mut Docker, value: &str) -> Result<()> {
    let (user, group) = value.split_once(':').unwrap_or((value, ""));
    match user.parse() {
        Ok(id) => reading.user("--user", id),
        Err(_) if user == "root" || user.is_empty() => {}
        Err(_) => reading
            .losses
            .looser("--user", "which id a name has, only the image knows"),
    }
    if !group.is_empty() {
        reading.losses.looser("--user", NO_GROUP);
    }
    Ok(())
}

fn read_only(reading: &mut Docker, value: &str) -> Result<()> {
    reading.profile.root.readonly = switch(value) == Some(true);
    Ok(())
}

fn privileged(_: &mut Docker, value: &str) -> Result<()> {
    match switch(value) {
        Some(true) => Err(Error::new(
            "--privileged",
            "a profile cannot give all that this takes from the confinement",
        )
        .hint("use profile \"none\", which demands nothing")),
        _ => Ok(()),
    }
}

fn security_opt(reading: &mut Docker, value: &str) -> Result<()> {
    let (key, value) = value.split_once(['=', ':']).unwrap_or((value, "true"));
    match (key, value) {
        ("no-new-privileges", value) => {
            let value =
                switch(value).ok_or_else(|| wrong("security-opt", value, "true or false"))?;
            reading.profile.process.no_new_privileges = value;
        }
        ("seccomp", "unconfined") => {
            reading.profile.seccomp = None;
            reading.state.filter = Filter::Given;
        }
        ("seccomp", "builtin") => reading.state.filter = Filter::Engine,
        ("seccomp", file) => {
            let text = fs::read_to_string(file)
                .doing(|| format!("read {}", quote_path(Path::new(file))))?;
            reading.profile.seccomp = Some(oci::from_oci(&oci::read_oci(&text)?)?);
            reading.state.filter = Filter::Given;
        }
        ("systempaths", "unconfined") => reading.profile.paths = super::nothing().paths,
        ("writable-cgroups", value) => {
            if switch(value) == Some(true) {
                reading
                    .profile
                    .mounts
                    .kernel
                    .readonly
                    .retain(|kind| kind == "sysfs");
            }
        }
        ("apparmor", "unconfined") | ("label", "disable") => {}
        ("apparmor" | "label", _) => {
            let why = "a profile does not choose labels of security modules";
            reading.losses.looser(format!("--security-opt {key}"), why);
        }
        (key, _) => return Err(wrong("security-opt", key, "an option of Docker")),
    }
    Ok(())
}

fn device(reading: &mut Docker, value: &str) -> Result<()> {
    let mut parts = value.split(':');
    let (source, second) = (parts.next().unwrap_or_default(), parts.next());
    let is_access = |word: &str| !word.is_empty() && word.chars().all(|c| "rwm".contains(c));
    let path = second.filter(|word| !is_access(word)).unwrap_or(source);
    reading
        .profile
        .devices
        .nodes
        .get_or_insert_default()
        .push(path.to_owned());
    if reading.profile.devices.allow.take().is_some() {
        let why = "which number a device has is not known here: the devices cgroup may allow any that is asked for";
        reading.losses.looser("--device", why);
    }
    Ok(())
}

fn device_rule(reading: &mut Docker, value: &str) -> Result<()> {
    if value.starts_with("a ") {
        reading.profile.devices.deny_all = false;
        reading.profile.devices.allow = None;
        return Ok(());
    }
    let set = DeviceSet::try_from(value.to_owned());
    let set = set.map_err(|cause| Error::new("--device-cgroup-rule", cause))?;
    if let Some(allow) = &mut reading.profile.devices.allow {
        allow.push(set);
    }
    Ok(())
}

/// A mount adds something; only what it takes away is lost.
fn lost_mount(reading: &mut Docker, field: &str, options: &str) {
    let options: Vec<&str> = options.split(',').collect();
    let has = |words: &[&str]| options.iter().any(|option| words.contains(option));
    if has(&["ro", "readonly", "readonly=true", "readonly=1"]) {
        let why = "a profile does not make single mounts read-only";
        reading.losses.looser(field, why);
    }
    let widest = &mut reading.profile.mounts.propagation;
    for (words, propagation) in [
        (
            [
                "slave",
                "rslave",
                "bind-propagation=slave",
                "bind-propagation=rslave",
            ],
            Propagation::Slave,
        ),
        (
            [
                "shared",
                "rshared",
                "bind-propagation=shared",
                "bind-propagation=rshared",
            ],
            Propagation::Shared,
        ),
    ] {
        if has(&words) && widest.is_some_and(|widest| widest < propagation) {
            *widest = Some(propagation);
        }
    }
}

fn volume(reading: &mut Docker, value: &str) -> Result<()> {
    lost_mount(
        reading,
        "--volume",
        value.splitn(3, ':').nth(2).unwrap_or_default(),
    );
    Ok(())
}

fn mount(reading: &mut Docker, value: &str) -> Result<()> {
    lost_mount(reading, "--mount", value);
    if value.contains("tmpfs-size=") {
        let why = "a profile has one size for every tmpfs";
        reading.losses.looser("--mount", why);
    }
    Ok(())
}

/// Docker adds `noexec,nosuid,nodev` where they are not turned round.
fn tmpfs(reading: &mut Docker, value: &str) -> Result<()> {
    let options = value.split_once(':').map_or("", |(_, options)| options);
    let flags = &mut reading.profile.mounts.tmpfs.add;
    for option in options.split(',') {
        let flag = match option {
            "suid" => MountFlag::Nosuid,
            "dev" => MountFlag::Nodev,
            _ => continue,
        };
        flags.retain(|other| *other != flag);
    }
    let limits = ["size=", "nr_inodes=", "nr_blocks="];
    let is_limit = |option: &str| limits.iter().any(|limit| option.starts_with(limit));
    if options
        .split(',')
        .any(|option| is_limit(option) || option == "ro")
    {
        let why =
            "a profile has the same options for every tmpfs: size and ro stay with the config";
        reading.losses.looser("--tmpfs", why);
    }
    if !options.split(',').any(|option| option == "exec") {
        let why = "noexec is not demanded of every tmpfs";
        reading.losses.looser("--tmpfs", why);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn losses(text: &str) -> Vec<String> {
        let converted = from_docker("x", text).unwrap();
        converted.losses.iter().map(ToString::to_string).collect()
    }

    fn allowed(text: &str) -> Vec<String> {
        let converted = from_docker("x", text).unwrap();
        converted.result.capabilities.unwrap().allow
    }

    #[test]
    fn capabilities_are_those_that_docker_gives() {
        assert_eq!(allowed(""), ENGINE_CAPABILITIES);
        assert_eq!(
            allowed("--cap-add net_admin --cap-drop=ALL"),
            ["CAP_NET_ADMIN"]
        );
        assert_eq!(allowed("--cap-drop CAP_MKNOD").len(), 13);
        assert_eq!(allowed("--cap-add ALL --cap-drop SYS_ADMIN").len(), 40);
    }

    #[test]
    fn a_whole_command_line_is_read_up_to_the_image() {
        let text = "# comment\ndocker run -it --rm -u 1000 \\\n  --read-only --memory=1.5g -m512m 'image' --privileged\n";
        let profile = from_docker("x", text).unwrap().result;
        assert!(profile.root.readonly);
        assert_eq!(profile.identity.minimum_uid, 1000);
        assert_eq!(
            profile.limits.memory.maximum,
            Some(Quantity::Number(512 << 20))
        );
        assert_eq!(
            profile.limits.swap.maximum,
            Some(Quantity::Number(512 << 20))
        );
    }

    #[test]
    fn each_loss_says_its_direction() {
        let default = "not carried over: --security-opt seccomp: stricter: Docker's own filter is not known here; that of profile \"baseline\" is in its place";
        assert_eq!(losses("--name x"), [default]);
        let off = "--security-opt seccomp=unconfined";
        assert_eq!(losses(off), Vec::<String>::new());
        assert_eq!(
            losses(&format!("{off} --sysctl a=b --network none --cpus 0.501")),
            [
                "not carried over: --sysctl: different: a profile sets no sysctls",
                "not carried over: --network: looser: a profile demands a network of the container's own, not an empty one",
                "not carried over: --cpus: looser: rounded up to 51 percent of a CPU",
            ]
        );
    }

    #[test]
    fn wrong_flags_are_errors() {
        let refused = |text: &str| from_docker("x", text).unwrap_err().to_string();
        assert_eq!(
            refused("--cap-dorp ALL"),
            "\"--cap-dorp\": no flag of docker run"
        );
        assert_eq!(
            refused("--cap-drop CHWON"),
            "--cap-drop: \"CHWON\" is not a capability"
        );
        assert_eq!(refused("--memory"), "--memory: a value is missing");
        assert_eq!(
            refused("--read-only=maybe"),
            "--read-only: \"maybe\" is not true or false"
        );
        assert_eq!(
            refused("--user 'x"),
            "read flags of docker: a quote is not closed"
        );
        assert_eq!(
            refused("--privileged"),
            "--privileged: a profile cannot give all that this takes from the confinement"
        );
    }

    #[test]
    fn flags_are_listed_once_in_order() {
        assert!(TABLE.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn the_filter_that_stands_in_is_no_looser_than_docker_s() {
        let text = include_str!("../../../tests/golden/docker-seccomp.json");
        let docker = oci::from_oci(&oci::read_oci(text).unwrap()).unwrap();
        let of = |rules| Profile::of_rules("x", rules).unwrap();
        let changes = crate::profile::compare(&of(docker), &of(stand_in().unwrap())).unwrap();
        let more: Vec<String> = changes
            .iter()
            .filter(|change| change.permits_more)
            .map(ToString::to_string)
            .collect();
        assert_eq!(more, Vec::<String>::new());
    }
}
