//! The config.json that `stockade spec` writes: little is allowed, and the user adds what the program needs.
//! It holds no seccomp filter: the profile brings its own.

use std::collections::BTreeMap;

use super::*;

/// A hardened config for `rootfs` beside it. With ids, one that runs without root: a user namespace maps root inside to
/// these ids outside, and no cgroup limit is asked for, since an unprivileged user may not be able to set one.
pub fn hardened_default(rootless: Option<(u32, u32)>) -> Config {
    Config {
        oci_version: "1.3.0".to_owned(),
        process: Some(process(rootless)),
        root: Some(Root {
            path: "rootfs".to_owned(),
            readonly: true,
        }),
        hostname: Some("stockade".to_owned()),
        domainname: None,
        mounts: mounts(rootless),
        hooks: None,
        annotations: BTreeMap::new(),
        linux: Some(linux(rootless)),
    }
}

/// The document as text: indented, with a final newline.
pub fn to_text(config: &Config) -> String {
    let mut text =
        serde_json::to_string_pretty(config).expect("the specification's types are plain JSON");
    text.push('\n');
    text
}

fn process(rootless: Option<(u32, u32)>) -> Process {
    // Without root only one id is mapped, and inside it is 0.
    let id = if rootless.is_some() { 0 } else { 1000 };
    Process {
        terminal: false,
        console_size: None,
        user: User {
            uid: id,
            gid: id,
            umask: Some(0o022),
            additional_gids: Vec::new(),
            username: None,
        },
        args: words(&["sh"]),
        env: words(&[
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "TERM=xterm",
        ]),
        cwd: "/".to_owned(),
        capabilities: Some(Capabilities::default()),
        rlimits: vec![Rlimit {
            kind: "RLIMIT_NOFILE".to_owned(),
            hard: 1024,
            soft: 1024,
        }],
        no_new_privileges: true,
        apparmor_profile: None,
        oom_score_adj: None,
        scheduler: None,
        selinux_label: None,
        io_priority: None,
        exec_cpu_affinity: None,
    }
}

fn mounts(rootless: Option<(u32, u32)>) -> Vec<Mount> {
    // Group 5 (tty) is not mapped without root.
    let pts: &[&str] = match rootless {
        None => &[
            "nosuid",
            "noexec",
            "newinstance",
            "ptmxmode=0666",
            "mode=0620",
            "gid=5",
        ],
        Some(_) => &[
            "nosuid",
            "noexec",
            "newinstance",
            "ptmxmode=0666",
            "mode=0620",
        ],
    };
    let closed = ["nosuid", "nodev", "noexec"];
    let mut mounts = vec![
        mount("/proc", "proc", "proc", &closed),
        mount(
            "/dev",
            "tmpfs",
            "tmpfs",
            &["nosuid", "noexec", "strictatime", "mode=755", "size=65536k"],
        ),
        mount("/dev/pts", "devpts", "devpts", pts),
        mount(
            "/dev/shm",
            "tmpfs",
            "shm",
            &["nosuid", "nodev", "noexec", "mode=1777", "size=65536k"],
        ),
        mount("/dev/mqueue", "mqueue", "mqueue", &closed),
        mount(
            "/sys",
            "sysfs",
            "sysfs",
            &["nosuid", "nodev", "noexec", "ro"],
        ),
        mount(
            "/tmp",
            "tmpfs",
            "tmpfs",
            &["nosuid", "nodev", "noexec", "mode=1777", "size=65536k"],
        ),
    ];
    if rootless.is_none() {
        let options = ["nosuid", "nodev", "noexec", "relatime", "ro"];
        mounts.insert(6, mount("/sys/fs/cgroup", "cgroup", "cgroup", &options));
    }
    mounts
}

fn mount(destination: &str, kind: &str, source: &str, options: &[&str]) -> Mount {
    Mount {
        destination: destination.to_owned(),
        kind: Some(kind.to_owned()),
        source: Some(source.to_owned()),
        options: words(options),
        ..Mount::default()
    }
}

fn linux(rootless: Option<(u32, u32)>) -> Linux {
    use NamespaceType::{Cgroup, Ipc, Mount, Network, Pid, User, Uts};
    let mut kinds = vec![Pid, Network, Ipc, Uts, Mount, Cgroup];
    kinds.extend(rootless.map(|_| User));
    let map = |id| {
        vec![IdMapping {
            container_id: 0,
            host_id: id,
            size: 1,
        }]
    };
    Linux {
        uid_mappings: rootless.map(|(uid, _)| map(uid)).unwrap_or_default(),
        gid_mappings: rootless.map(|(_, gid)| map(gid)).unwrap_or_default(),
        resources: rootless.is_none().then(resources),
        namespaces: kinds
            .into_iter()
            .map(|kind| Namespace { kind, path: None })
            .collect(),
        masked_paths: words(MASKED),
        readonly_paths: words(READONLY),
        ..Linux::default()
    }
}

fn resources() -> Resources {
    Resources {
        devices: vec![DeviceRule {
            access: Some("rwm".to_owned()),
            ..DeviceRule::default()
        }],
        memory: Some(Memory {
            limit: Some(512 << 20),
            ..Memory::default()
        }),
        cpu: Some(Cpu {
            quota: Some(100_000),
            period: Some(100_000),
            ..Cpu::default()
        }),
        pids: Some(Pids { limit: Some(256) }),
        ..Resources::default()
    }
}

/// Files that show or change the host: kernel memory, keys, ACPI, timers, interrupts, firmware, power.
const MASKED: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// Directories of /proc that a process may read and must not write.
const READONLY: &[&str] = &[
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

pub(super) fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hardened_default_reads_back_without_a_warning() {
        for rootless in [None, Some((1000, 100))] {
            let config = hardened_default(rootless);
            let text = to_text(&config);
            assert!(text.ends_with("}\n"));
            assert_eq!(
                parse(text.as_bytes(), "f").unwrap(),
                (config.clone(), Vec::new())
            );
            check_runnable(&config, "f").unwrap();
        }
    }

    #[test]
    fn hardened_default_without_root_maps_root_to_the_given_ids() {
        let linux = hardened_default(Some((1000, 100))).linux.unwrap();
        let map = |host_id| {
            vec![IdMapping {
                container_id: 0,
                host_id,
                size: 1,
            }]
        };
        assert_eq!(linux.uid_mappings, map(1000));
        assert_eq!(linux.gid_mappings, map(100));
        assert_eq!(linux.resources, None);
    }
}
