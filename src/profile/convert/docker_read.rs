//! The values of Docker's flags. Which flag has which is in `docker_table`, what they say together in `docker_flags`.

use std::fs;
use std::path::Path;

use crate::error::{Doing, Error, Result, quote, quote_path};
use crate::profile::format::{Flag, OnConflict, Propagation};
use crate::profile::values::{DeviceSet, Quantity, RlimitBound};
use crate::spec::NamespaceType;

use super::docker::ULIMITS;
use super::docker_flags::{Docker, Filter};
use super::oci;
use super::values::{amount, capability_of, percent_of};

const NO_GROUP: &str = "a profile does not choose groups";

pub(super) fn switch(value: &str) -> Option<bool> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

pub(super) fn wrong(flag: &str, value: &str, expected: &str) -> Error {
    Error::new(
        format!("--{flag}"),
        format!("{} is not {expected}", quote(value)),
    )
}

pub(super) fn cpu_limit(reading: &mut Docker, field: &str, billionths: u64) {
    let (percent, is_more) = percent_of(billionths);
    reading.profile.limits.cpu_percent.maximum = Some(Quantity::Number(percent));
    if is_more {
        let why = format!("rounded up to {percent} percent of a CPU");
        reading.losses.looser(field, why);
    }
}

pub(super) fn named(flag: &str, value: &str) -> Result<String> {
    if value.eq_ignore_ascii_case("ALL") || value.eq_ignore_ascii_case("CAP_ALL") {
        return Ok("ALL".to_owned());
    }
    capability_of(value).ok_or_else(|| wrong(flag, value, "a capability"))
}

pub(super) fn cap_add(reading: &mut Docker, value: &str) -> Result<()> {
    reading.state.added.push(named("cap-add", value)?);
    Ok(())
}

pub(super) fn cap_drop(reading: &mut Docker, value: &str) -> Result<()> {
    reading.state.dropped.push(named("cap-drop", value)?);
    Ok(())
}

pub(super) fn shares(reading: &mut Docker, kind: NamespaceType, value: &str) {
    if value == "host" {
        reading
            .profile
            .namespaces
            .require
            .retain(|other| *other != kind);
    }
}

pub(super) fn cgroup_namespace(reading: &mut Docker, value: &str) -> Result<()> {
    shares(reading, NamespaceType::Cgroup, value);
    Ok(())
}

pub(super) fn ipc_namespace(reading: &mut Docker, value: &str) -> Result<()> {
    shares(reading, NamespaceType::Ipc, value);
    Ok(())
}

pub(super) fn pid_namespace(reading: &mut Docker, value: &str) -> Result<()> {
    shares(reading, NamespaceType::Pid, value);
    Ok(())
}

pub(super) fn uts_namespace(reading: &mut Docker, value: &str) -> Result<()> {
    shares(reading, NamespaceType::Uts, value);
    Ok(())
}

pub(super) fn network(reading: &mut Docker, value: &str) -> Result<()> {
    shares(reading, NamespaceType::Network, value);
    if value == "none" {
        let why = "a profile demands a network of the container's own, not an empty one";
        reading.losses.looser("--network", why);
    }
    Ok(())
}

pub(super) fn whole(flag: &str, value: &str) -> Result<i64> {
    value.parse().map_err(|_| wrong(flag, value, "a number"))
}

pub(super) fn cpu_period(reading: &mut Docker, value: &str) -> Result<()> {
    reading.state.period = u64::try_from(whole("cpu-period", value)?)
        .ok()
        .filter(|period| *period > 0);
    Ok(())
}

pub(super) fn cpu_quota(reading: &mut Docker, value: &str) -> Result<()> {
    reading.state.quota = u64::try_from(whole("cpu-quota", value)?)
        .ok()
        .filter(|quota| *quota > 0);
    Ok(())
}

pub(super) fn cpus(reading: &mut Docker, value: &str) -> Result<()> {
    let billionths = amount(value, &[("", 1_000_000_000)]);
    match billionths.ok_or_else(|| wrong("cpus", value, "a number of CPUs"))? {
        0 => {}
        billionths => cpu_limit(reading, "--cpus", billionths),
    }
    Ok(())
}

/// A size in units of 1024; 0 is no limit.
pub(super) fn bytes(flag: &str, value: &str) -> Result<Option<u64>> {
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

pub(super) fn memory(reading: &mut Docker, value: &str) -> Result<()> {
    reading.state.memory = bytes("memory", value)?;
    Ok(())
}

pub(super) fn memory_swap(reading: &mut Docker, value: &str) -> Result<()> {
    reading.state.swap = match value {
        "-1" => Some(None),
        value => bytes("memory-swap", value)?.map(Some),
    };
    Ok(())
}

pub(super) fn pids_limit(reading: &mut Docker, value: &str) -> Result<()> {
    let limit = u64::try_from(whole("pids-limit", value)?);
    let limit = limit.ok().filter(|limit| *limit > 0);
    reading.profile.limits.pids.maximum = limit.map(Quantity::Number);
    Ok(())
}

pub(super) fn ulimit(reading: &mut Docker, value: &str) -> Result<()> {
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

pub(super) fn user(reading: &mut Docker, value: &str) -> Result<()> {
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

pub(super) fn read_only(reading: &mut Docker, value: &str) -> Result<()> {
    reading.profile.root.readonly = switch(value) == Some(true);
    Ok(())
}

pub(super) fn privileged(_: &mut Docker, value: &str) -> Result<()> {
    match switch(value) {
        Some(true) => Err(Error::new(
            "--privileged",
            "a profile cannot give all that this takes from the confinement",
        )
        .hint("use profile \"none\", which demands nothing")),
        _ => Ok(()),
    }
}

pub(super) fn security_opt(reading: &mut Docker, value: &str) -> Result<()> {
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

pub(super) fn device(reading: &mut Docker, value: &str) -> Result<()> {
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

pub(super) fn device_rule(reading: &mut Docker, value: &str) -> Result<()> {
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
pub(super) fn lost_mount(reading: &mut Docker, field: &str, options: &str) {
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

pub(super) fn volume(reading: &mut Docker, value: &str) -> Result<()> {
    lost_mount(
        reading,
        "--volume",
        value.splitn(3, ':').nth(2).unwrap_or_default(),
    );
    Ok(())
}

pub(super) fn mount(reading: &mut Docker, value: &str) -> Result<()> {
    lost_mount(reading, "--mount", value);
    if value.contains("tmpfs-size=") {
        let why = "a profile has one size for every tmpfs";
        reading.losses.looser("--mount", why);
    }
    Ok(())
}

/// Docker adds `noexec,nosuid,nodev` where they are not turned round.
pub(super) fn tmpfs(reading: &mut Docker, value: &str) -> Result<()> {
    let options = value.split_once(':').map_or("", |(_, options)| options);
    let flags = &mut reading.profile.mounts.tmpfs.add;
    for option in options.split(',') {
        let flag = match option {
            "suid" => Flag::Nosuid,
            "dev" => Flag::Nodev,
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
