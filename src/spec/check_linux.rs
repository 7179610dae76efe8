//! Rules of config-linux.md that types cannot say.

use std::collections::BTreeSet;

use super::check::{Checked, absolute, not_empty, refuse};
use super::linux::{Device, IdMapping, Linux, Namespace, NamespaceType};
use super::seccomp::{Seccomp, SeccompAction};
use crate::error::quote;
use crate::names;

/// Most lines that the kernel takes in an id map (user_namespaces(7)).
const MOST_MAPS: usize = 340;
/// The largest errno that the kernel passes through as one.
const LARGEST_ERRNO: u32 = 4095;

/// Checks the `linux` section as a document.
pub(super) fn check(linux: &Linux) -> Checked {
    namespaces(&linux.namespaces)?;
    maps("linux.uidMappings", &linux.uid_mappings)?;
    maps("linux.gidMappings", &linux.gid_mappings)?;
    time_offsets(linux)?;
    for (index, device) in linux.devices.iter().enumerate() {
        check_device(&format!("linux.devices[{index}]"), device)?;
    }
    for (key, value) in &linux.sysctl {
        sysctl(key, value)?;
    }
    for (index, path) in linux.masked_paths.iter().enumerate() {
        absolute(&format!("linux.maskedPaths[{index}]"), path)?;
    }
    for (index, path) in linux.readonly_paths.iter().enumerate() {
        absolute(&format!("linux.readonlyPaths[{index}]"), path)?;
    }
    words(linux)?;
    match &linux.seccomp {
        Some(seccomp) => check_seccomp(seccomp),
        None => Ok(()),
    }
}

/// What the section needs to describe a container that can run.
pub(super) fn runnable(linux: &Linux) -> Checked {
    let new = |kind| linux.namespaces.iter().any(|space| space.kind == kind && space.path.is_none());
    let has = |kind| linux.namespaces.iter().any(|space| space.kind == kind);
    if new(NamespaceType::User) {
        for (field, maps) in [("linux.uidMappings", &linux.uid_mappings), ("linux.gidMappings", &linux.gid_mappings)] {
            if maps.is_empty() {
                return refuse(field, "a new user namespace needs it");
            }
        }
    }
    let joined = linux.namespaces.iter().position(|space| space.kind == NamespaceType::User && space.path.is_some());
    if joined.is_some() && !(linux.uid_mappings.is_empty() && linux.gid_mappings.is_empty()) {
        return refuse("linux.uidMappings", "a user namespace that is joined has its maps already");
    }
    if !linux.time_offsets.is_empty() && !new(NamespaceType::Time) {
        return refuse("linux.timeOffsets", "needs a new time namespace in linux.namespaces");
    }
    for key in linux.sysctl.keys() {
        let dotted = key.replace('/', ".");
        let (kind, word) = match sysctl_namespace(&dotted) {
            Some(found) => found,
            None => {
                return refuse(
                    format!("linux.sysctl[{}]", quote(key)),
                    "belongs to no namespace: it would change the host",
                );
            }
        };
        if !has(kind) {
            return refuse(
                format!("linux.sysctl[{}]", quote(key)),
                format!("needs a {word} namespace in linux.namespaces: it would change the host"),
            );
        }
    }
    Ok(())
}

fn namespaces(namespaces: &[Namespace]) -> Checked {
    let mut seen = BTreeSet::new();
    for (index, namespace) in namespaces.iter().enumerate() {
        if !seen.insert(namespace.kind) {
            return refuse(format!("linux.namespaces[{index}].type"), "this type is listed twice");
        }
        if let Some(path) = &namespace.path {
            absolute(&format!("linux.namespaces[{index}].path"), path)?;
        }
    }
    Ok(())
}

/// Ranges of ids: not empty, inside 32 bits, and apart from each other on both sides.
pub(super) fn maps(field: &str, maps: &[IdMapping]) -> Checked {
    if maps.len() > MOST_MAPS {
        return refuse(field, format!("{} entries are more than the {MOST_MAPS} that the kernel takes", maps.len()));
    }
    for (index, map) in maps.iter().enumerate() {
        let entry = format!("{field}[{index}]");
        if map.size == 0 {
            return refuse(format!("{entry}.size"), "must not be 0");
        }
        // The last id, 4294967295, is no id.
        for (name, first) in [("containerID", map.container_id), ("hostID", map.host_id)] {
            if first.checked_add(map.size).is_none() {
                return refuse(format!("{entry}.{name}"), format!("{first} and size {} exceed 32 bits", map.size));
            }
        }
        for other in &maps[..index] {
            let overlaps = |a: u32, b: u32| a < b + other.size && b < a + map.size;
            if overlaps(map.container_id, other.container_id) {
                return refuse(format!("{entry}.containerID"), "overlaps an earlier entry");
            }
            if overlaps(map.host_id, other.host_id) {
                return refuse(format!("{entry}.hostID"), "overlaps an earlier entry");
            }
        }
    }
    Ok(())
}

fn time_offsets(linux: &Linux) -> Checked {
    for (clock, offset) in &linux.time_offsets {
        if clock != "monotonic" && clock != "boottime" {
            return refuse("linux.timeOffsets", format!("unknown clock {}", quote(clock)));
        }
        if offset.nanosecs >= 1_000_000_000 {
            return refuse(format!("linux.timeOffsets.{clock}.nanosecs"), format!("{} is a second or more", offset.nanosecs));
        }
    }
    Ok(())
}

fn check_device(field: &str, device: &Device) -> Checked {
    absolute(&format!("{field}.path"), &device.path)?;
    if !["c", "b", "u", "p"].contains(&device.kind.as_str()) {
        return refuse(format!("{field}.type"), format!("{} is none of c, b, u, p", quote(&device.kind)));
    }
    for (name, number) in [("major", device.major), ("minor", device.minor)] {
        if u32::try_from(number).is_err() {
            return refuse(format!("{field}.{name}"), format!("{number} is not a device number"));
        }
    }
    for (name, id) in [("uid", device.uid), ("gid", device.gid)] {
        if id == Some(u32::MAX) {
            return refuse(format!("{field}.{name}"), "4294967295 is not an id");
        }
    }
    Ok(())
}

/// A key is a path below /proc/sys and nothing else; a value is one line (CVE-2022-0811).
fn sysctl(key: &str, value: &str) -> Checked {
    let field = format!("linux.sysctl[{}]", quote(key));
    let parts: Vec<&str> = key.split(['.', '/']).collect();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_:@".contains(c);
    if key.is_empty() || parts.iter().any(|part| part.is_empty() || !part.chars().all(is_plain)) {
        return refuse(field, "not the name of a kernel parameter");
    }
    if value.contains('\n') {
        return refuse(field, format!("the value {} is more than one line", quote(value)));
    }
    Ok(())
}

/// The namespace that a kernel parameter belongs to; none for those of the whole host.
fn sysctl_namespace(key: &str) -> Option<(NamespaceType, &'static str)> {
    const IPC: [&str; 9] = [
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
        "kernel.auto_msgmni",
    ];
    match key {
        key if IPC.contains(&key) || key.starts_with("fs.mqueue.") => Some((NamespaceType::Ipc, "ipc")),
        key if key.starts_with("net.") => Some((NamespaceType::Network, "network")),
        "kernel.domainname" | "kernel.hostname" => Some((NamespaceType::Uts, "uts")),
        "vm.memfd_noexec" => Some((NamespaceType::Pid, "pid")),
        key if key.starts_with("user.max_") => Some((NamespaceType::User, "user")),
        _ => None,
    }
}

/// Fields whose values are words of a closed set.
fn words(linux: &Linux) -> Checked {
    const PROPAGATION: [&str; 8] =
        ["shared", "slave", "private", "unbindable", "rshared", "rslave", "rprivate", "runbindable"];
    if let Some(word) = linux.rootfs_propagation.as_deref().filter(|word| !word.is_empty())
        && !PROPAGATION.contains(&word)
    {
        return refuse("linux.rootfsPropagation", format!("unknown propagation {}", quote(word)));
    }
    if let Some(personality) = &linux.personality {
        if names::personality(&personality.domain).is_none() {
            return refuse("linux.personality.domain", format!("unknown domain {}", quote(&personality.domain)));
        }
        if let Some(flag) = personality.flags.first() {
            return refuse("linux.personality.flags[0]", format!("{}: the specification knows no flags", quote(flag)));
        }
    }
    if let Some(policy) = &linux.memory_policy {
        if names::memory_policy(&policy.mode).is_none() {
            return refuse("linux.memoryPolicy.mode", format!("unknown mode {}", quote(&policy.mode)));
        }
        for (index, flag) in policy.flags.iter().enumerate() {
            if names::memory_policy_flag(flag).is_none() {
                return refuse(format!("linux.memoryPolicy.flags[{index}]"), format!("unknown flag {}", quote(flag)));
            }
        }
    }
    Ok(())
}

fn check_seccomp(seccomp: &Seccomp) -> Checked {
    let front = "linux.seccomp";
    errno(&format!("{front}.defaultErrnoRet"), seccomp.default_errno_ret)?;
    if seccomp.default_action == SeccompAction::Notify {
        return refuse(format!("{front}.defaultAction"), "SCMP_ACT_NOTIFY as a default would stop the container itself");
    }
    if let Some(path) = &seccomp.listener_path {
        absolute(&format!("{front}.listenerPath"), path)?;
    }
    for (index, rule) in seccomp.syscalls.iter().enumerate() {
        let field = format!("{front}.syscalls[{index}]");
        if rule.names.is_empty() {
            return refuse(format!("{field}.names"), "must name a system call");
        }
        for (place, name) in rule.names.iter().enumerate() {
            not_empty(&format!("{field}.names[{place}]"), name)?;
        }
        errno(&format!("{field}.errnoRet"), rule.errno_ret)?;
        if rule.action == SeccompAction::Notify && seccomp.listener_path.is_none() {
            return refuse(format!("{front}.listenerPath"), format!("{field} notifies, so it is needed"));
        }
        for (place, argument) in rule.args.iter().enumerate() {
            if argument.index > 5 {
                return refuse(
                    format!("{field}.args[{place}].index"),
                    format!("{} is not from 0 to 5", argument.index),
                );
            }
        }
    }
    Ok(())
}

fn errno(field: &str, errno: Option<u32>) -> Checked {
    match errno {
        Some(errno) if errno > LARGEST_ERRNO => refuse(field, format!("{errno} is above {LARGEST_ERRNO}")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(linux: &str) -> String {
        let linux: Linux = serde_json::from_str(linux).unwrap();
        let (field, cause) = check(&linux).and_then(|()| runnable(&linux)).unwrap_err();
        format!("{field}: {cause}")
    }

    #[test]
    fn rules_name_the_field_and_the_value() {
        for (linux, expected) in [
            (r#"{"namespaces":[{"type":"pid"},{"type":"pid"}]}"#, "linux.namespaces[1].type: this type is listed twice"),
            (
                r#"{"namespaces":[{"type":"pid","path":"x"}]}"#,
                r#"linux.namespaces[0].path: "x" is not an absolute path"#,
            ),
            (
                r#"{"uidMappings":[{"containerID":0,"hostID":1,"size":0}]}"#,
                "linux.uidMappings[0].size: must not be 0",
            ),
            (
                r#"{"uidMappings":[{"containerID":0,"hostID":4294967295,"size":1}]}"#,
                "linux.uidMappings[0].hostID: 4294967295 and size 1 exceed 32 bits",
            ),
            (
                r#"{"gidMappings":[{"containerID":0,"hostID":0,"size":9},{"containerID":5,"hostID":50,"size":9}]}"#,
                "linux.gidMappings[1].containerID: overlaps an earlier entry",
            ),
            (r#"{"timeOffsets":{"realtime":{}}}"#, r#"linux.timeOffsets: unknown clock "realtime""#),
            (r#"{"namespaces":[{"type":"user"}]}"#, "linux.uidMappings: a new user namespace needs it"),
            (
                r#"{"sysctl":{"net/../kernel/x":"1"}}"#,
                r#"linux.sysctl["net/../kernel/x"]: not the name of a kernel parameter"#,
            ),
            (
                r#"{"sysctl":{"kernel.pid_max":"1"}}"#,
                r#"linux.sysctl["kernel.pid_max"]: belongs to no namespace: it would change the host"#,
            ),
            (
                r#"{"sysctl":{"net.ipv4.ip_forward":"1"}}"#,
                r#"linux.sysctl["net.ipv4.ip_forward"]: needs a network namespace in linux.namespaces: it would change the host"#,
            ),
            (r#"{"rootfsPropagation":"bogus"}"#, r#"linux.rootfsPropagation: unknown propagation "bogus""#),
            (
                r#"{"seccomp":{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["x"],"action":"SCMP_ACT_ERRNO","args":[{"index":6,"value":0,"op":"SCMP_CMP_EQ"}]}]}}"#,
                "linux.seccomp.syscalls[0].args[0].index: 6 is not from 0 to 5",
            ),
        ] {
            assert_eq!(finding(linux), expected);
        }
    }
}
