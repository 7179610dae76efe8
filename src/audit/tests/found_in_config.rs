//! What the checks of config.json find, by severity, place and words: the cases that a check has to tell apart.

use super::of_config::{
    bind, findings, hook, join, lines, linux, map_root_to, permit, process, resources, sysctl,
};
use crate::spec::{Device, DeviceRule, Hook, NamespaceType, Resources};

#[test]
fn root_counts_by_what_it_is_outside() {
    let root = |id: Option<u32>| {
        lines("CFG-001", |scene| {
            process(scene).user.uid = 0;
            if let Some(id) = id {
                map_root_to(scene, id);
            }
        })
    };
    assert_eq!(
        root(None),
        ["high /process/user/uid: the program is root of the host"]
    );
    assert_eq!(
        root(Some(0)),
        ["high /process/user/uid: the program is root of the host"]
    );
    assert_eq!(
        root(Some(100_000)),
        ["medium /process/user/uid: the program is root of its user namespace"]
    );
    let mapped = lines("CFG-001", |scene| {
        map_root_to(scene, 0);
        linux(scene).uid_mappings[0].container_id = 1000;
    });
    assert_eq!(
        mapped,
        ["high /process/user/uid: user 1000 is root of the host, by linux.uidMappings"]
    );
}

#[test]
fn a_group_is_told_by_what_its_members_own() {
    let scratch = tempfile::tempdir().unwrap();
    std::fs::create_dir(scratch.path().join("etc")).unwrap();
    std::fs::write(
        scratch.path().join("etc/group"),
        "docker:x:998:\nusers:x:100:\n",
    )
    .unwrap();
    let found = lines("CFG-002", |scene| {
        scene.root = Some(scratch.path().to_owned());
        let user = &mut process(scene).user;
        user.gid = 0;
        user.additional_gids = vec![0, 998, 100, 6];
    });
    assert_eq!(
        found,
        [
            "medium /process/user/gid: user 1000 has root's group",
            "high /process/user/additionalGids/0: root's group",
            "high /process/user/additionalGids/1: group 998 is docker",
            "high /process/user/additionalGids/3: group 6 is that of disks",
        ]
    );
}

#[test]
fn a_capability_counts_where_the_program_can_get_at_it() {
    let bounding = |gains: bool| {
        lines("CFG-005", |scene| {
            let process = process(scene);
            process.no_new_privileges = !gains;
            process.capabilities.as_mut().unwrap().bounding =
                ["CAP_NET_RAW", "CAP_CHOWN", "CAP_SYS_PTRACE"]
                    .map(str::to_owned)
                    .to_vec();
        })
    };
    assert_eq!(bounding(false), [""; 0]);
    assert_eq!(
        bounding(true),
        [
            "medium /process/capabilities/bounding: CAP_NET_RAW is more than ordinary containers need",
            "high /process/capabilities/bounding: CAP_SYS_PTRACE leads out of the container",
        ]
    );
    let mapped = lines("CFG-005", |scene| {
        map_root_to(scene, 100_000);
        permit(scene, "CAP_SYS_ADMIN");
    });
    assert_eq!(
        mapped,
        ["medium /process/capabilities/permitted: CAP_SYS_ADMIN leads out of the container"]
    );
    let absent = lines("CFG-005", |scene| process(scene).capabilities = None);
    assert_eq!(
        absent,
        [
            "high /process/capabilities: is not there: some runtimes then leave the program all that root has"
        ]
    );
}

#[test]
fn namespaces_are_compared_by_inode() {
    let own = |path: &str| lines("CFG-008", |scene| join(scene, path));
    assert_eq!(
        own("/proc/1/ns/net"),
        [
            "high /linux/namespaces/1/path: \"/proc/1/ns/net\" is the host's network namespace: the host's interfaces and abstract sockets are within reach"
        ]
    );
    assert_eq!(own("/proc/self/ns/net").len(), 1);
    // Any other inode stands for a pod's.
    assert_eq!(own("/dev/null"), [""; 0]);
    let gone = findings("CFG-008", |scene| join(scene, "/nowhere"));
    let reasons: Vec<&str> = gone
        .unanswered
        .iter()
        .map(|(_, reason)| reason.as_str())
        .collect();
    assert_eq!(
        reasons,
        [
            "linux.namespaces[1].path cannot be compared with the host's: \"/nowhere\": no such file or directory (ENOENT)"
        ]
    );
    let none = lines("CFG-008", |scene| {
        linux(scene)
            .namespaces
            .retain(|one| one.kind != NamespaceType::Uts);
    });
    assert_eq!(
        none,
        ["medium /linux/namespaces: there is no uts namespace: the host's name can be changed"]
    );
}

#[test]
fn mounts_are_told_by_what_they_bring_in() {
    let bound =
        |source: &str, options: &[&str]| lines("CFG-009", |scene| bind(scene, source, options));
    assert_eq!(
        bound("/etc", &["rbind"]),
        ["critical /mounts/8/source: \"/etc\" of the host is mounted on \"/mnt\""]
    );
    assert_eq!(
        bound("/run/docker.sock", &["bind", "ro"]),
        ["critical /mounts/8/source: \"/run/docker.sock\" of the host is mounted on \"/mnt\""]
    );
    assert_eq!(
        bound("../var", &["bind", "ro"]),
        [
            "high /mounts/8/source: \"../var\", which is above /var/lib/containerd of the host, is mounted on \"/mnt\""
        ]
    );
    let typed = |kind: &'static str, options: &'static [&'static str]| {
        lines("CFG-009", |scene| {
            bind(scene, kind, options);
            scene.config.mounts.last_mut().unwrap().kind = Some(kind.to_owned());
        })
    };
    assert_eq!(
        typed("devtmpfs", &[]),
        ["critical /mounts/8/type: devtmpfs on \"/mnt\" is the kernel of the host"]
    );
    assert_eq!(
        typed("cgroup2", &[]),
        ["high /mounts/8/type: cgroup2 on \"/mnt\" is writable"]
    );
    assert_eq!(typed("cgroup2", &["ro"]), [""; 0]);
    assert_eq!(typed("tmpfs", &[]), [""; 0]);
}

#[test]
fn mounts_of_data_are_told_by_their_options() {
    let found = lines("CFG-010", |scene| {
        process(scene).no_new_privileges = false;
        bind(scene, "/srv", &["rbind", "rshared"]);
        bind(scene, "/opt", &["rbind", "ro"]);
        // A file is bound for itself.
        bind(scene, "/etc/passwd", &["bind"]);
        linux(scene).rootfs_propagation = Some("rshared".to_owned());
    });
    assert_eq!(
        found,
        [
            "medium /mounts/8/options: \"/mnt\" is shared: mounts below it appear on the host",
            "medium /mounts/8/options: \"/mnt\" is mounted without nosuid, nodev, noexec",
            "low /mounts/9/options: \"/mnt\" is mounted without nosuid, nodev",
            "medium /linux/rootfsPropagation: mounts of the container appear on the host",
        ]
    );
}

#[test]
fn paths_that_are_not_hidden_are_listed_once() {
    let found = lines("CFG-012", |scene| {
        let linux = linux(scene);
        linux.masked_paths = vec!["/sys".to_owned()];
        linux.readonly_paths = vec!["/proc".to_owned()];
        bind(scene, "proc", &[]);
        scene.config.mounts.last_mut().unwrap().kind = Some("proc".to_owned());
    });
    assert_eq!(
        found,
        [
            "high /linux/maskedPaths: without /proc/acpi /proc/asound /proc/kcore /proc/keys /proc/latency_stats /proc/sched_debug /proc/scsi /proc/timer_list /proc/timer_stats",
            "high /mounts/8/destination: a second /proc is mounted on \"/mnt\", where nothing is hidden",
        ]
    );
    let without_proc = lines("CFG-012", |scene| {
        scene
            .config
            .mounts
            .retain(|mount| mount.destination != "/proc");
        linux(scene).masked_paths.clear();
    });
    assert_eq!(
        without_proc,
        ["medium /linux/maskedPaths: without /sys/firmware"]
    );
}

#[test]
fn devices_are_told_by_the_last_rules() {
    let rule =
        |allow: bool, kind: Option<&str>, major: Option<i64>, minor: Option<i64>, access: &str| {
            DeviceRule {
                allow,
                kind: kind.map(str::to_owned),
                major,
                minor,
                access: Some(access.to_owned()),
            }
        };
    let of =
        |rules: Vec<DeviceRule>| lines("CFG-013", |scene| resources(scene).devices = rules.clone());
    let deny = || rule(false, None, None, None, "rwm");
    assert_eq!(
        of(vec![]),
        ["high /linux/resources/devices: no rule denies all devices before others allow some"]
    );
    assert_eq!(
        of(vec![rule(true, Some("a"), None, None, "rwm"), deny()]),
        [""; 0]
    );
    // Making nodes alone is what other runtimes allow by default.
    assert_eq!(
        of(vec![
            deny(),
            rule(true, Some("c"), None, Some(-1), "m"),
            rule(true, Some("b"), None, None, "m")
        ]),
        [""; 0]
    );
    assert_eq!(
        of(vec![
            deny(),
            rule(true, None, None, None, "rwm"),
            rule(true, Some("b"), Some(8), Some(0), "r"),
            rule(true, Some("c"), Some(1), Some(1), "w"),
            rule(true, Some("c"), Some(1), Some(3), "rwm"),
        ]),
        [
            "high /linux/resources/devices/1: every device may be read and written and made",
            "high /linux/resources/devices/2: block device 8:0 may be read",
            "high /linux/resources/devices/3: /dev/mem may be written",
        ]
    );
    let node = lines("CFG-013", |scene| {
        linux(scene).devices = vec![Device {
            path: "/dev/sda".to_owned(),
            kind: "b".to_owned(),
            major: 8,
            ..Device::default()
        }];
    });
    assert_eq!(node, ["high /linux/devices/0: block device 8:0"]);
}

#[test]
fn limits_count_where_they_limit() {
    let memory = |limit: Option<i64>, swap: Option<i64>| {
        lines("CFG-015", |scene| {
            let memory = resources(scene).memory.as_mut().unwrap();
            (memory.limit, memory.swap) = (limit, swap);
        })
    };
    assert_eq!(
        memory(Some(-1), None),
        ["high /linux/resources/memory/limit: is not set"]
    );
    assert_eq!(
        memory(Some(1 << 20), Some(-1)),
        [
            "medium /linux/resources/memory/limit: 1048576 bytes are less than a program needs to start",
            "medium /linux/resources/memory/swap: swap is not limited: what is over the limit goes there",
        ]
    );
    assert_eq!(
        memory(Some(1 << 35), None),
        [
            "high /linux/resources/memory/limit: 34359738368 bytes are no limit here: this host has 17179869184"
        ]
    );
    for (id, key, value) in [
        ("CFG-015", "memory.max", "1G"),
        ("CFG-016", "cpu.max", "50000 100000"),
        ("CFG-017", "pids.max", "100"),
    ] {
        let unified = |value: &str| {
            lines(id, |scene| {
                *resources(scene) = Resources::default();
                resources(scene)
                    .unified
                    .insert(key.to_owned(), value.to_owned());
            })
        };
        assert_eq!(unified(value), [""; 0]);
        assert_eq!(unified("max").len(), 1);
    }
}

#[test]
fn secrets_are_told_without_their_values() {
    let found = lines("CFG-019", |scene| {
        let process = process(scene);
        process.args = [
            "app",
            "--password",
            "kJ8s-2hdQ1",
            "--token=kJ8s-2hdQ1",
            "-v",
            "postgres://a:kJ8s-2@db",
        ]
        .map(str::to_owned)
        .to_vec();
        process.env.push("API_KEY=kJ8s-2hdQ1".to_owned());
    });
    assert_eq!(
        found,
        [
            "high /process/env/2: \"API_KEY\" holds a secret by its name",
            "high /process/args/2: argument 2 holds a secret by its name, by \"--password\"",
            "high /process/args/3: argument 3 holds a secret by its name, by \"--token\"",
            "high /process/args/5: argument 5 holds a URL with a password",
        ]
    );
}

#[test]
fn hooks_are_told_by_where_they_are() {
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path().join("root");
    let found = lines("CFG-020", |scene| {
        scene.root = Some(root.clone());
        let path = root.join("hook");
        hook(scene, path.to_str().unwrap());
        let hooks = scene.config.hooks.as_mut().unwrap();
        hooks.start_container = vec![Hook {
            path: "/hook".to_owned(),
            ..Hook::default()
        }];
    });
    let name = root.join("hook").display().to_string();
    assert_eq!(
        found,
        [
            format!("high /hooks/poststop/0/path: \"{name}\" is in the root filesystem, and the container can replace it"),
            "low /hooks/startContainer/0/timeout: \"/hook\" has no timeout: a hook that hangs holds the container up"
                .to_owned(),
        ]
    );
}

#[test]
fn annotations_and_parameters_reach_beyond_the_container() {
    let found = lines("CFG-021", |scene| {
        for name in [
            "org.systemd.property.DeviceAllow",
            "org.example/x",
            "run.oci.handler",
        ] {
            scene
                .config
                .annotations
                .insert(name.to_owned(), String::new());
        }
        join(scene, "/dev/null");
        sysctl(scene, "net.ipv4.tcp_syncookies");
        sysctl(scene, "kernel.shmmax");
    });
    assert_eq!(
        found,
        [
            "medium /annotations/org.systemd.property.DeviceAllow: \"org.systemd.property.DeviceAllow\": it sets a property of the unit in systemd, which runs as root",
            "medium /annotations/run.oci.handler: \"run.oci.handler\": crun changes what it does by it, confinement among that",
            "medium /linux/sysctl/kernel.shmmax: \"kernel.shmmax\" is not among the parameters that are known to be safe",
            "medium /linux/sysctl/net.ipv4.tcp_syncookies: \"net.ipv4.tcp_syncookies\" changes a network namespace that is not the container's alone",
        ]
    );
}
