//! The config that `stockade spec` writes: hardened, and a start for one's own.

use super::config::{Capabilities, Config, Mount, Process, Rlimit, Root, User};
use super::linux::{
    Cpu, DeviceRule, IdMapping, Linux, Memory, Namespace, NamespaceType, Pids, Resources,
};

/// What of /proc and /sys tells about the host or reaches it.
pub const MASKED_PATHS: [&str; 11] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];

/// What of /proc may be read and not written.
pub const READONLY_PATHS: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// A hardened config; with `rootless` ids, one that those ids can run without privileges.
pub fn hardened_default(rootless: Option<(u32, u32)>) -> Config {
    let strings = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let id = if rootless.is_some() { 0 } else { 1000 };
    Config {
        oci_version: super::VERSION.into(),
        process: Some(Process {
            terminal: false,
            console_size: None,
            user: User { uid: id, gid: id, ..User::default() },
            args: strings(&["sh"]),
            env: strings(&["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"]),
            cwd: "/".into(),
            capabilities: Some(Capabilities::default()),
            rlimits: vec![
                Rlimit { kind: "RLIMIT_NOFILE".into(), hard: 1024, soft: 1024 },
                Rlimit { kind: "RLIMIT_CORE".into(), hard: 0, soft: 0 },
            ],
            no_new_privileges: true,
            apparmor_profile: None,
            oom_score_adj: None,
            scheduler: None,
            selinux_label: None,
            io_priority: None,
            exec_cpu_affinity: None,
        }),
        root: Some(Root { path: "rootfs".into(), readonly: true }),
        hostname: Some("stockade".into()),
        domainname: None,
        mounts: mounts(rootless.is_some()),
        hooks: None,
        annotations: std::collections::BTreeMap::new(),
        linux: Some(linux(rootless)),
    }
}

fn linux(rootless: Option<(u32, u32)>) -> Linux {
    use NamespaceType::{Cgroup, Ipc, Mount, Network, Pid, User, Uts};
    let mut kinds = vec![Pid, Network, Ipc, Uts, Mount, Cgroup];
    kinds.extend(rootless.map(|_| User));
    let map = |id: u32| vec![IdMapping { container_id: 0, host_id: id, size: 1 }];
    Linux {
        namespaces: kinds.into_iter().map(|kind| Namespace { kind, path: None }).collect(),
        uid_mappings: rootless.map(|(uid, _)| map(uid)).unwrap_or_default(),
        gid_mappings: rootless.map(|(_, gid)| map(gid)).unwrap_or_default(),
        resources: rootless.is_none().then(resources),
        masked_paths: MASKED_PATHS.map(str::to_owned).to_vec(),
        readonly_paths: READONLY_PATHS.map(str::to_owned).to_vec(),
        ..Linux::default()
    }
}

/// Half a GiB, one CPU, 256 tasks, no device beyond the default ones.
fn resources() -> Resources {
    Resources {
        devices: vec![DeviceRule { allow: false, access: Some("rwm".into()), ..DeviceRule::default() }],
        memory: Some(Memory { limit: Some(512 << 20), ..Memory::default() }),
        cpu: Some(Cpu { quota: Some(100_000), period: Some(100_000), ..Cpu::default() }),
        pids: Some(Pids { limit: Some(256) }),
        ..Resources::default()
    }
}

fn mounts(is_rootless: bool) -> Vec<Mount> {
    let mount = |destination: &str, kind: &str, source: &str, options: &[&str]| Mount {
        destination: destination.into(),
        kind: Some(kind.into()),
        source: Some(source.into()),
        options: options.iter().map(|option| (*option).to_owned()).collect(),
        ..Mount::default()
    };
    let mut devpts = vec!["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"];
    if !is_rootless {
        devpts.push("gid=5");
    }
    let mut mounts = vec![
        mount("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "noexec", "strictatime", "mode=755", "size=65536k"]),
        mount("/dev/pts", "devpts", "devpts", &devpts),
        mount("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
        mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        mount("/tmp", "tmpfs", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
    ];
    if !is_rootless {
        mounts.push(mount("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"]));
    }
    mounts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{check_runnable, parse};

    #[test]
    fn hardened_config_passes_its_own_checks() {
        for rootless in [None, Some((1000, 1000))] {
            let text = serde_json::to_vec(&hardened_default(rootless)).unwrap();
            let (config, warnings) = parse(&text, "config.json").unwrap();
            assert_eq!(warnings, Vec::<String>::new());
            check_runnable(&config, "config.json").unwrap();
        }
    }
}
