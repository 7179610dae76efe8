//! Random configs, as documents that loading takes. Fields that no profile touches have values, so that a change shows.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};

use crate::spec::{Config, parse};

/// Some of these words, in their order.
pub(super) fn some(all: &'static [&'static str]) -> impl Strategy<Value = Vec<&'static str>> {
    subsequence(all, 0..=all.len())
}

const CAPABILITIES: &[&str] = &[
    "CAP_CHOWN",
    "CAP_SYS_ADMIN",
    "CAP_NET_BIND_SERVICE",
    "CAP_MKNOD",
    "CAP_KILL",
];

prop_compose! {
    fn process()(
        uid in select(vec![0u32, 5, 999, 1000, 70_000]),
        groups in proptest::collection::vec(0u32..50, 0..3),
        sets in proptest::array::uniform5(some(CAPABILITIES)),
        has_capabilities in any::<bool>(),
        no_new_privileges in any::<bool>(),
        terminal in any::<bool>(),
        limits in some(&["RLIMIT_NOFILE", "RLIMIT_CORE", "RLIMIT_NPROC"]),
        hard in select(vec![0u64, 1, 255, 256, 257, 5000, u64::MAX]),
        env in some(&["A=1", "LANG=C", "LD_PRELOAD=/x", "B"]),
        apparmor in select(vec!["p", "unconfined", ""]),
    ) -> Value {
        let limits = limits.iter().map(|kind| json!({"type": kind, "hard": hard, "soft": hard / 2}));
        let mut process = json!({
            "terminal": terminal, "user": {"uid": uid, "gid": 7, "umask": 18, "additionalGids": groups}, "cwd": "/w",
            "args": ["a", "b"], "env": env, "noNewPrivileges": no_new_privileges, "apparmorProfile": apparmor,
            "oomScoreAdj": 3, "rlimits": limits.collect::<Vec<_>>(),
        });
        if has_capabilities {
            let [bounding, effective, inheritable, permitted, ambient] = sets;
            process["capabilities"] = json!({"bounding": bounding, "effective": effective, "inheritable": inheritable,
                "permitted": permitted, "ambient": ambient});
        }
        process
    }
}

prop_compose! {
    fn mount()(
        kind in select(vec!["tmpfs", "bind", "proc", "sysfs", "cgroup", "mqueue", "ext4", "devpts"]),
        destination in select(vec!["/dev", "/dev/", "/dev/x", "/data", "/proc", "/dev/../x"]),
        source in select(vec!["/dev/y", "/y"]),
        options in some(&[
            "bind", "rbind", "ro", "rw", "rro", "rrw", "suid", "nosuid", "rsuid", "rnosuid", "dev", "nodev", "rdev", "rnodev",
            "exec", "noexec", "rexec", "nosymfollow", "noatime",
        ]).prop_shuffle(),
        propagation in some(&["shared", "rshared", "slave", "rslave", "private", "rprivate"]).prop_shuffle(),
        data in some(&["size=1g", "size=64k", "size=0", "size=5%", "nr_inodes=9", "hidepid=0", "hidepid=4", "subset=pid", "mode=755"])
            .prop_shuffle(),
    ) -> Value {
        let few = |words: Vec<&'static str>, most: usize| words.into_iter().take(most).collect::<Vec<_>>();
        let options = [few(options, 4), few(propagation, 2), few(data, 2)].concat();
        json!({"type": kind, "destination": destination, "source": source, "options": options})
    }
}

/// A rule of the devices cgroup.
fn device() -> impl Strategy<Value = Value> {
    let number = || proptest::option::of(select(vec![-1i64, 1, 3, 8]));
    let kind = proptest::option::of(select(vec!["a", "b", "c"]));
    let access = proptest::option::of(select(vec!["rwm", "r", "m", "rw"]));
    (any::<bool>(), kind, number(), number(), access).prop_map(
        |(allow, kind, major, minor, access)| {
            let mut rule = json!({"allow": allow});
            let fields = [
                ("type", json!(kind)),
                ("major", json!(major)),
                ("minor", json!(minor)),
                ("access", json!(access)),
            ];
            for (key, value) in fields {
                if !value.is_null() {
                    rule[key] = value;
                }
            }
            rule
        },
    )
}

/// Any of the values, or nothing under the key.
fn maybe(
    key: &'static str,
    values: Vec<Value>,
) -> impl Strategy<Value = Option<(&'static str, Value)>> {
    proptest::option::of(select(values).prop_map(move |value| (key, value)))
}

fn object(fields: Vec<Option<(&'static str, Value)>>) -> Value {
    let fields = fields.into_iter().flatten();
    Value::Object(fields.map(|(key, value)| (key.to_owned(), value)).collect())
}

fn limits(values: &[i64]) -> Vec<Value> {
    values.iter().map(|value| json!(value)).collect()
}

prop_compose! {
    fn resources()(
        memory in (
            maybe("limit", limits(&[-1, 0, 1 << 20, 300 << 20, 1 << 40])),
            maybe("swap", limits(&[-1, 0, 1 << 20, 400 << 20, 1 << 40])),
        ),
        cpu in (
            maybe("quota", limits(&[-1, 0, 1_000, 50_999, 100_000, 900_000])),
            maybe("period", limits(&[1_000, 100_000, 33_333])),
        ),
        pids in maybe("limit", limits(&[-1, 0, 1, 63, 64, 65, 100_000])),
        unified in (
            maybe("memory.max", vec![json!("max"), json!("1000000"), json!("99999999999999"), json!("1M")]),
            maybe("memory.swap.max", vec![json!("max"), json!("0"), json!("4096"), json!("99999999999999")]),
            maybe("pids.max", vec![json!("max"), json!("10"), json!("64"), json!("100000")]),
            maybe("cpu.max", vec![json!("max"), json!("max 100000"), json!("100999 100000"), json!("50000"), json!("900000 100000")]),
            maybe("memory.high", vec![json!("max"), json!("5000000")]),
        ),
        has_unified in any::<bool>(),
        devices in proptest::collection::vec(device(), 0..5),
    ) -> Value {
        let unified = vec![unified.0, unified.1, unified.2, unified.3, unified.4];
        json!({
            "memory": object(vec![memory.0, memory.1]), "cpu": object(vec![cpu.0, cpu.1, Some(("shares", json!(5)))]),
            "pids": object(vec![pids]), "devices": devices, "network": {"classID": 5},
            "unified": object(if has_unified { unified } else { Vec::new() }),
        })
    }
}

prop_compose! {
    fn linux()(
        resources in proptest::option::of(resources()),
        namespaces in some(&["pid", "network", "mount", "ipc", "uts", "cgroup"]),
        joined in select(vec!["", "/proc/1/ns/pid", "/other"]),
        masked in some(&["/proc/kcore", "/x"]),
        readonly in some(&["/proc/sys", "/x"]),
        nodes in some(&["/dev/fuse", "/dev/kvm"]),
        net_devices in any::<bool>(),
    ) -> Value {
        let namespaces = namespaces.iter().enumerate().map(|(at, kind)| match at {
            1 if !joined.is_empty() => json!({"type": kind, "path": joined}),
            _ => json!({"type": kind}),
        });
        let nodes = nodes.iter().map(|path| json!({"path": path, "type": "c", "major": 10, "minor": 229}));
        let mut linux = json!({
            "namespaces": namespaces.collect::<Vec<_>>(), "maskedPaths": masked, "readonlyPaths": readonly,
            "devices": nodes.collect::<Vec<_>>(), "cgroupsPath": "/c", "timeOffsets": {},
            "rootfsPropagation": "private", "mountLabel": "l",
            "seccomp": {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]},
        });
        if net_devices {
            linux["netDevices"] = json!({"eth0": {}});
        }
        if let Some(resources) = resources {
            linux["resources"] = resources;
        }
        linux
    }
}

prop_compose! {
    fn document()(
        process in process(),
        mounts in proptest::collection::vec(mount(), 0..4),
        linux in proptest::option::weighted(0.9, linux()),
        readonly in any::<bool>(),
    ) -> Value {
        let mut document = json!({
            "ociVersion": "1.2.0", "process": process, "root": {"path": "r", "readonly": readonly}, "mounts": mounts,
            "annotations": {"a": "b"}, "hooks": {"prestart": [{"path": "/h"}]},
        });
        if let Some(linux) = linux {
            document["linux"] = linux;
        }
        document
    }
}

/// A config that loads.
pub(super) fn config() -> impl Strategy<Value = Config> {
    document().prop_filter_map("it does not load", |document| {
        let (config, _) = parse(document.to_string().as_bytes(), "f").ok()?;
        Some(config)
    })
}
