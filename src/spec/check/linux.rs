//! `linux` (config-linux.md) without resources, seccomp and the rules of id maps.

use std::collections::BTreeMap;

use super::{At, count, mounts, not_one_of, resources, seccomp};
use crate::error::{Result, quote};
use crate::names;
use crate::spec::{Device, Linux, MemoryPolicy, NamespaceType, Personality, TimeOffset};

pub(super) fn linux(linux: &Linux, at: &At) -> Result<()> {
    namespaces(linux, at)?;
    id_maps(linux, at)?;
    time_offsets(linux, at)?;
    for (i, device) in linux.devices.iter().enumerate() {
        self::device(device, &at.within(format!("devices[{i}]")))?;
    }
    for (key, value) in &linux.sysctl {
        sysctl(linux, key, value, at)?;
    }
    net_devices(linux, at)?;
    for (i, path) in linux.masked_paths.iter().enumerate() {
        at.absolute(format!("maskedPaths[{i}]"), path)?;
    }
    // A relative one is taken from the root, as by runc; the empty one would be all of it.
    let mut readonly = linux.readonly_paths.iter();
    if let Some(i) = readonly.position(String::is_empty) {
        at.absolute(format!("readonlyPaths[{i}]"), "")?;
    }
    if let Some(path) = &linux.cgroups_path {
        cgroups_path(path, at)?;
    }
    if let Some(word) = &linux.rootfs_propagation {
        propagation(word, at)?;
    }
    if let Some(policy) = &linux.memory_policy {
        memory_policy(policy, &at.within("memoryPolicy"))?;
    }
    if let Some(personality) = &linux.personality {
        self::personality(personality, &at.within("personality"))?;
    }
    if let Some(limits) = &linux.resources {
        resources(limits, &at.within("resources"))?;
    }
    if let Some(filter) = &linux.seccomp {
        seccomp::seccomp(filter, &at.within("seccomp"))?;
    }
    Ok(())
}

fn namespaces(linux: &Linux, at: &At) -> Result<()> {
    for (i, namespace) in linux.namespaces.iter().enumerate() {
        let at = at.within(format!("namespaces[{i}]"));
        let mut earlier = linux.namespaces[..i].iter();
        if earlier.any(|other| other.kind == namespace.kind) {
            return Err(at.refuse("type", format!("{} is there twice", word(namespace.kind))));
        }
        if let Some(path) = &namespace.path {
            at.absolute("path", path)?;
        }
    }
    Ok(())
}

/// The word of a kind as config.json spells it, in quotes.
fn word(kind: NamespaceType) -> String {
    serde_json::to_string(&kind).expect("a unit variant is a JSON string")
}

/// `Some(joined)` if the config has a namespace of this kind.
fn namespace(linux: &Linux, kind: NamespaceType) -> Option<bool> {
    let mut all = linux.namespaces.iter();
    all.find(|n| n.kind == kind).map(|n| n.path.is_some())
}

fn id_maps(linux: &Linux, at: &At) -> Result<()> {
    let user = namespace(linux, NamespaceType::User);
    let maps = [
        ("uidMappings", &linux.uid_mappings),
        ("gidMappings", &linux.gid_mappings),
    ];
    for (field, map) in maps {
        match user {
            None if !map.is_empty() => {
                return Err(at.refuse(field, "needs a \"user\" namespace in linux.namespaces"));
            }
            Some(false) if map.is_empty() => {
                let cause = "is missing, a new user namespace needs it";
                return Err(at.refuse(field, cause));
            }
            _ => mounts::id_map(map, field, at)?,
        }
    }
    Ok(())
}

/// Offsets are set before the first process enters (time_namespaces(7)), so never in a namespace that is joined.
fn time_offsets(linux: &Linux, at: &At) -> Result<()> {
    if linux.time_offsets.is_empty() {
        return Ok(());
    }
    match namespace(linux, NamespaceType::Time) {
        None => {
            let cause = "needs a \"time\" namespace in linux.namespaces";
            return Err(at.refuse("timeOffsets", cause));
        }
        Some(true) => {
            let cause = "cannot be set in a time namespace that is joined by its path";
            return Err(at.refuse("timeOffsets", cause));
        }
        Some(false) => {}
    }
    for (clock, TimeOffset { nanosecs, .. }) in &linux.time_offsets {
        if !matches!(clock.as_str(), "monotonic" | "boottime") {
            let cause = not_one_of(clock, ["monotonic", "boottime"]);
            return Err(at.refuse("timeOffsets", cause));
        }
        if *nanosecs > 999_999_999 {
            let cause = format!("{nanosecs} is above 999999999");
            return Err(at.refuse(format!("timeOffsets.{clock}.nanosecs"), cause));
        }
    }
    Ok(())
}

fn device(device: &Device, at: &At) -> Result<()> {
    at.absolute("path", &device.path)?;
    if !matches!(device.kind.as_str(), "b" | "c" | "u" | "p") {
        let cause = not_one_of(&device.kind, ["b", "c", "u", "p"]);
        return Err(at.refuse("type", cause));
    }
    if device.kind != "p" {
        device_number(Some(device.major), Some(device.minor), 0, at)?;
    }
    // Clients pass the whole st_mode, type included.
    if let Some(mode) = device.file_mode.filter(|mode| *mode > 0o177_777) {
        let cause = format!("{mode} is more than 65535 (octal 177777)");
        return Err(at.refuse("fileMode", cause));
    }
    for (field, id) in [("uid", device.uid), ("gid", device.gid)] {
        id.map_or(Ok(()), |id| at.id(field, id))?;
    }
    Ok(())
}

/// Linux has majors of 12 bits and minors of 20 (makedev(3)); `lowest` is -1 where that means all.
pub(super) fn device_number(
    major: Option<i64>,
    minor: Option<i64>,
    lowest: i64,
    at: &At,
) -> Result<()> {
    for (field, number, highest) in [("major", major, 0xfff), ("minor", minor, 0xf_ffff)] {
        if let Some(number) = number.filter(|n| !(lowest..=highest).contains(n)) {
            let cause = format!("{number} is not from {lowest} to {highest}");
            return Err(at.refuse(field, cause));
        }
    }
    Ok(())
}

/// Only parameters that belong to a namespace of the container: any other is the host's.
fn sysctl(linux: &Linux, key: &str, value: &str, at: &At) -> Result<()> {
    let field = format!("sysctl[{}]", quote(key));
    let Some(file) = names::sysctl_file(key) else {
        return Err(at.refuse(field, "is not a key such as net.core.somaxconn"));
    };
    if value.contains('\n') {
        return Err(at.refuse(field, format!("{} has more than one line", quote(value))));
    }
    let kind = match file.as_str() {
        "kernel/hostname" | "kernel/domainname" => NamespaceType::Uts,
        "kernel/msgmax"
        | "kernel/msgmnb"
        | "kernel/msgmni"
        | "kernel/sem"
        | "kernel/shmall"
        | "kernel/shmmax"
        | "kernel/shmmni"
        | "kernel/shm_rmid_forced" => NamespaceType::Ipc,
        _ if file.starts_with("fs/mqueue/") => NamespaceType::Ipc,
        "vm/memfd_noexec" => NamespaceType::Pid,
        _ if file.starts_with("net/") => NamespaceType::Network,
        _ => {
            let cause = "belongs to no namespace, it would change the whole host";
            return Err(at.refuse(field, cause));
        }
    };
    if namespace(linux, kind).is_none() {
        let cause = format!("needs a {} namespace in linux.namespaces", word(kind));
        return Err(at.refuse(field, cause));
    }
    Ok(())
}

/// Names by the kernel's rules (`dev_valid_name`, net/core/dev.c). Two devices of one name cannot be in one namespace.
fn net_devices(linux: &Linux, at: &At) -> Result<()> {
    let mut taken = BTreeMap::new();
    for (name, device) in &linux.net_devices {
        let field = format!("netDevices[{}]", quote(name));
        if !is_device_name(name) || name.contains('%') {
            return Err(at.refuse(field, NOT_A_DEVICE_NAME));
        }
        let new_name = device.new_name(name);
        let stem = new_name.strip_suffix("%d").unwrap_or(new_name);
        if !is_device_name(new_name) || stem.contains('%') {
            let cause = format!("{} {NOT_A_DEVICE_NAME}", quote(new_name));
            return Err(at.refuse(format!("{field}.name"), cause));
        }
        let other = taken.insert(new_name, name);
        if let (Some(other), true) = (other, stem == new_name) {
            let cause = format!("{} is also that of {}", quote(new_name), quote(other));
            return Err(at.refuse(format!("{field}.name"), cause));
        }
    }
    Ok(())
}

const NOT_A_DEVICE_NAME: &str = "is not a name of 1 to 15 bytes without white space, \"/\", \":\" and \"%\" (but \"%d\" at the end of a new one)";

fn is_device_name(name: &str) -> bool {
    (1..libc::IFNAMSIZ).contains(&name.len())
        && !matches!(name, "." | "..")
        && !name.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | ':'))
}

fn cgroups_path(path: &str, at: &At) -> Result<()> {
    if path.is_empty() {
        return Err(at.refuse("cgroupsPath", "is empty"));
    }
    if path.split('/').any(|part| part == "..") || path.contains(char::is_control) {
        let cause = format!("{} is not a path without \"..\"", quote(path));
        return Err(at.refuse("cgroupsPath", cause));
    }
    Ok(())
}

fn propagation(word: &str, at: &At) -> Result<()> {
    const WORDS: [&str; 4] = ["shared", "slave", "private", "unbindable"];
    let plain = word.strip_prefix('r').unwrap_or(word);
    if WORDS.contains(&plain) {
        return Ok(());
    }
    Err(at.refuse("rootfsPropagation", not_one_of(word, WORDS)))
}

/// The rules of set_mempolicy(2).
fn memory_policy(policy: &MemoryPolicy, at: &At) -> Result<()> {
    if names::memory_policy_mode(&policy.mode).is_none() {
        let known = names::MEMORY_POLICY_MODES.iter().map(|(name, _)| *name);
        let cause = not_one_of(&policy.mode, known);
        return Err(at.refuse("mode", format!("invalid memory policy mode: {cause}")));
    }
    let nodes = policy.nodes.as_deref().unwrap_or("");
    let count = match nodes {
        "" => 0,
        nodes => count(nodes)
            .map_err(|cause| at.refuse("nodes", format!("invalid memory policy nodes: {cause}")))?,
    };
    let without = matches!(policy.mode.as_str(), "MPOL_DEFAULT" | "MPOL_LOCAL");
    if without && count > 0 {
        let cause = format!("{} mode requires 0 nodes but got {count}", policy.mode);
        return Err(at.refuse("nodes", cause));
    }
    if !without && count == 0 && policy.mode != "MPOL_PREFERRED" {
        return Err(at.refuse("nodes", format!("is missing, {} needs some", policy.mode)));
    }
    for (i, flag) in policy.flags.iter().enumerate() {
        if names::memory_policy_flag(flag).is_none() {
            let known = names::MEMORY_POLICY_FLAGS.iter().map(|(name, _)| *name);
            let cause = format!("invalid memory policy flag: {}", not_one_of(flag, known));
            return Err(at.refuse(format!("flags[{i}]"), cause));
        }
    }
    let has = |flag: &str| policy.flags.iter().any(|f| f == flag);
    if has("MPOL_F_RELATIVE_NODES") && has("MPOL_F_STATIC_NODES") {
        let cause = "MPOL_F_RELATIVE_NODES and MPOL_F_STATIC_NODES exclude each other";
        return Err(at.refuse("flags", cause));
    }
    Ok(())
}

fn personality(personality: &Personality, at: &At) -> Result<()> {
    if names::personality(&personality.domain).is_none() {
        let known = names::PERSONALITIES.iter().map(|(name, _)| *name);
        return Err(at.refuse("domain", not_one_of(&personality.domain, known)));
    }
    if let Some(flag) = personality.flags.first() {
        let cause = format!(
            "{} is not supported, the specification has none",
            quote(flag)
        );
        return Err(at.refuse("flags[0]", cause));
    }
    Ok(())
}
