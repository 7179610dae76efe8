//! Settings of a unit that hide and protect paths, filesystems of the kernel and devices.
//! Other settings are in `systemd_read`.

use crate::error::{Result, quote};
use crate::profile::format::Propagation;
use crate::profile::values::DeviceSet;
use crate::spec::NamespaceType;

use super::systemd_read::{require, switch, wrong};
use super::systemd_unit::Unit;

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

pub(super) fn add(list: &mut Vec<String>, items: Vec<String>) {
    for item in items {
        if !list.contains(&item) {
            list.push(item);
        }
    }
}

pub(super) fn protect_hostname(unit: &mut Unit, value: &str) -> Result<()> {
    let calls = &["sethostname", "setdomainname"];
    if protect(unit, value, &Protection { calls, ..NONE })? {
        require(unit, NamespaceType::Uts);
    }
    Ok(())
}

pub(super) fn protect_tunables(unit: &mut Unit, value: &str) -> Result<()> {
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

pub(super) fn protect_modules(unit: &mut Unit, value: &str) -> Result<()> {
    let protection = Protection {
        capabilities: &["CAP_SYS_MODULE"],
        groups: &["@module"],
        hidden: &["/usr/lib/modules"],
        ..NONE
    };
    protect(unit, value, &protection).map(drop)
}

pub(super) fn protect_logs(unit: &mut Unit, value: &str) -> Result<()> {
    let protection = Protection {
        capabilities: &["CAP_SYSLOG"],
        calls: &["syslog"],
        hidden: &["/proc/kmsg", "/dev/kmsg"],
        ..NONE
    };
    protect(unit, value, &protection).map(drop)
}

pub(super) fn protect_clock(unit: &mut Unit, value: &str) -> Result<()> {
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

pub(super) fn protect_cgroups(unit: &mut Unit, value: &str) -> Result<()> {
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

pub(super) fn protect_proc(unit: &mut Unit, value: &str) -> Result<()> {
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

pub(super) fn proc_subset(unit: &mut Unit, value: &str) -> Result<()> {
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

pub(super) fn protect_system(unit: &mut Unit, value: &str) -> Result<()> {
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

pub(super) fn protect_home(unit: &mut Unit, value: &str) -> Result<()> {
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
pub(super) fn paths(value: &str) -> Vec<String> {
    let words = value.split_whitespace();
    words
        .map(|word| {
            word.trim_start_matches(['-', '+'])
                .trim_matches('"')
                .to_owned()
        })
        .collect()
}

pub(super) fn readonly_paths(unit: &mut Unit, value: &str) -> Result<()> {
    let mut list = paths(value);
    if list.iter().any(|path| path == "/") {
        list.retain(|path| path != "/");
        protect_system(unit, "strict")?;
    }
    hide(unit, "ReadOnlyPaths", &mut list);
    add(&mut unit.profile.paths.readonly, list);
    Ok(())
}

pub(super) fn inaccessible_paths(unit: &mut Unit, value: &str) -> Result<()> {
    let mut list = paths(value);
    hide(unit, "InaccessiblePaths", &mut list);
    add(&mut unit.profile.paths.mask, list);
    Ok(())
}

/// A path with a specifier or a pattern means something only to systemd.
pub(super) fn hide(unit: &mut Unit, field: &str, list: &mut Vec<String>) {
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

pub(super) fn writable_paths(unit: &mut Unit, value: &str) -> Result<()> {
    if !value.is_empty() {
        let why = "what is writable on a read-only root are mounts of the config";
        unit.losses.stricter("ReadWritePaths", why);
    }
    Ok(())
}

pub(super) fn mount_flags(unit: &mut Unit, value: &str) -> Result<()> {
    unit.profile.mounts.propagation = Some(match value {
        "shared" => Propagation::Shared,
        "slave" => Propagation::Slave,
        "private" => Propagation::Private,
        value => return wrong(value, "shared, slave or private"),
    });
    Ok(())
}

pub(super) fn private_devices(unit: &mut Unit, value: &str) -> Result<()> {
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

pub(super) fn device_policy(unit: &mut Unit, value: &str) -> Result<()> {
    match value {
        "auto" => {}
        "closed" | "strict" => unit.profile.devices.deny_all = true,
        value => return wrong(value, "auto, closed or strict"),
    }
    Ok(())
}

pub(super) fn device_allow(unit: &mut Unit, value: &str) -> Result<()> {
    if value.is_empty() {
        unit.state.device_allow.clear();
        return Ok(());
    }
    unit.state.device_allow.push(value.to_owned());
    Ok(())
}

/// Devices by number are carried over, by name only the host knows them.
pub(super) fn devices(unit: &mut Unit) {
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

pub(super) fn device_set(device: &str, access: &str) -> Option<String> {
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
