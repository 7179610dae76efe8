//! Amounts as other formats write them, names of capabilities, and what an engine's containers have without being asked.
//! Amounts of a profile's own file are in `profile::values`.

use crate::names::capability;
use crate::profile::format::{Capabilities, Flag, OnConflict, Profile, Propagation, Verdict};
use crate::profile::values::DeviceSet;
use crate::spec::NamespaceType;

/// The capabilities that Docker, containerd and CRI-O give where nothing is said.
pub(super) const ENGINE_CAPABILITIES: [&str; 14] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// What all of them hide: kernel memory, keys, timers, firmware; Docker hides more.
pub(crate) const ENGINE_MASKED: [&str; 10] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/firmware",
];

/// What Docker hides besides, from version 28 on; with the `thermal_throttle` of every CPU.
pub(super) const DOCKER_MASKED: [&str; 2] = ["/proc/interrupts", "/sys/devices/virtual/powercap"];

/// What all of them make read-only.
pub(crate) const ENGINE_READONLY: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// What all of them let the devices cgroup allow.
pub(super) const ENGINE_DEVICES: [&str; 11] = [
    "c *:* m",
    "b *:* m",
    "c 1:3 rwm",
    "c 1:5 rwm",
    "c 1:7 rwm",
    "c 1:8 rwm",
    "c 1:9 rwm",
    "c 5:0 rwm",
    "c 5:1 rwm",
    "c 5:2 rwm",
    "c 136:* rwm",
];

/// Filesystems of the kernel that all of them mount read-only.
pub(super) const ENGINE_READONLY_KERNEL: [&str; 3] = ["sysfs", "cgroup", "cgroup2"];

/// What a container has in every one of these engines where nothing is said.
pub(super) fn engine_profile() -> Profile {
    let mut profile = super::nothing();
    profile.capabilities = Some(Capabilities {
        allow: ENGINE_CAPABILITIES.map(str::to_owned).to_vec(),
        on_conflict: OnConflict::Tighten,
    });
    profile.namespaces.require = vec![
        NamespaceType::Mount,
        NamespaceType::Pid,
        NamespaceType::Ipc,
        NamespaceType::Uts,
        NamespaceType::Network,
    ];
    profile.namespaces.net_devices = Verdict::Refuse;
    profile.mounts.propagation = Some(Propagation::Private);
    profile.mounts.tmpfs.add = vec![Flag::Nosuid, Flag::Nodev];
    let kernel = &mut profile.mounts.kernel;
    kernel.add = vec![Flag::Nosuid, Flag::Nodev, Flag::Noexec];
    kernel.readonly = ENGINE_READONLY_KERNEL.map(str::to_owned).to_vec();
    profile.paths.mask = ENGINE_MASKED.map(str::to_owned).to_vec();
    profile.paths.readonly = ENGINE_READONLY.map(str::to_owned).to_vec();
    profile.devices.deny_all = true;
    let sets = ENGINE_DEVICES.map(|set| DeviceSet::try_from(set.to_owned()));
    profile.devices.allow = Some(sets.into_iter().flatten().collect());
    profile.devices.nodes = Some(Vec::new());
    profile
}

/// `1.5g` by a table of units in which `""` is none; rounded down. `None` if it is not such an amount, or too large.
pub(super) fn amount(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let (_, unit) = units.iter().find(|(name, _)| *name == unit)?;
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() || part.len() > 18 || part.contains('.') {
        return None;
    }
    let mut number = whole.parse::<u128>().ok()?.checked_mul(u128::from(*unit))?;
    if !part.is_empty() {
        number += part.parse::<u128>().ok()? * u128::from(*unit) / 10u128.pow(part.len() as u32);
    }
    u64::try_from(number).ok()
}

/// `NET_ADMIN`, `cap_net_admin` or `CAP_NET_ADMIN` as the kernel's name; `None` if there is none.
pub(super) fn capability_of(name: &str) -> Option<String> {
    let upper = name.to_ascii_uppercase();
    let name = match upper.strip_prefix("CAP_") {
        Some(_) => upper,
        None => format!("CAP_{upper}"),
    };
    capability(&name).map(|_| name)
}

/// Billionths of a CPU as percent, rounded up; and whether that is more.
pub(super) fn percent_of(billionths: u64) -> (u64, bool) {
    const PERCENT: u64 = 10_000_000;
    let percent = billionths.div_ceil(PERCENT).max(1);
    (percent, percent * PERCENT != billionths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact_and_bounded() {
        let units = [("", 1), ("k", 1 << 10), ("g", 1 << 30)];
        let of = |text| amount(text, &units);
        assert_eq!(of("1.5k"), Some(1536));
        assert_eq!(of("512"), Some(512));
        assert_eq!(of("0.1g"), Some(107_374_182));
        for wrong in ["", "k", ".5k", "1.2.3", "1x", "-1", "99999999999999999999g"] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
        assert_eq!(percent_of(1_500_000_000), (150, false));
        assert_eq!(percent_of(1), (1, true));
    }

    #[test]
    fn capabilities_have_one_name() {
        for name in ["net_admin", "NET_ADMIN", "CAP_NET_ADMIN"] {
            assert_eq!(capability_of(name).as_deref(), Some("CAP_NET_ADMIN"));
        }
        assert_eq!(capability_of("CAP_CHWON"), None);
    }
}
