//! What `process` asks for, as /proc/self shows it inside.
//! Not here: the mount namespace, cgroups and system-call filters, which have files of their own.

use std::process::Command;

use serde_json::{Value, json};

use crate::cell::{Cell, bounding_set, has_helper};
use crate::harness::{installed, is_foreign, skip};

/// The value of one line of /proc/self/status, as words.
#[track_caller]
fn status(cell: &mut Cell, name: &str) -> String {
    let out = cell.sh(&format!("grep ^{name}: /proc/self/status"));
    let text = out.ok().split_once(':').unwrap().1;
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn args_env_and_cwd_are_the_programs() {
    let mut cell = Cell::new()
        .set("/process/env", json!(["PATH=/bin", "A=1", "B=two words"]))
        .set("/process/cwd", json!("/tmp"));
    let out = cell.run(&[
        "/bin/sh",
        "-c",
        "pwd; echo \"$0|$1|$A|$B\"",
        "zero",
        "one two",
    ]);
    assert_eq!(out.ok(), "/tmp\nzero|one two|1|two words\n");
    let out = cell.run(&["/bin/env"]);
    let mut lines = out.lines();
    // HOME is the runtime's to add.
    lines.retain(|line| !line.starts_with("HOME="));
    assert_eq!(lines, ["PATH=/bin", "A=1", "B=two words"]);
}

#[test]
fn user_and_group_are_set() {
    let mut cell = Cell::new().user(1234, 5678);
    assert_eq!(status(&mut cell, "Uid"), "1234 1234 1234 1234");
    assert_eq!(status(&mut cell, "Gid"), "5678 5678 5678 5678");
}

#[test]
fn additional_gids_are_set() {
    let mut cell = Cell::new()
        .user(1000, 1000)
        .set("/process/user/additionalGids", json!([20, 10, 10]));
    assert_eq!(status(&mut cell, "Groups"), "10 10 20");
}

#[test]
fn umask_is_set() {
    for (umask, expected) in [(0o027, "0027"), (0, "0000"), (0o777, "0777")] {
        let mut cell = Cell::new().set("/process/user/umask", json!(umask));
        assert_eq!(status(&mut cell, "Umask"), expected);
    }
    assert_eq!(status(&mut Cell::new(), "Umask"), "0022");
}

#[test]
fn username_is_another_platforms_and_changes_nothing() {
    let mut cell = Cell::new().set("/process/user/username", json!("nobody"));
    assert_eq!(status(&mut cell, "Uid"), "0 0 0 0");
}

#[test]
fn five_capability_sets_are_set_for_a_user() {
    // CHOWN 0, KILL 5, NET_RAW 13.
    let mut cell = Cell::new().user(1000, 1000).set(
        "/process/capabilities",
        json!({
            "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"],
            "permitted": ["CAP_CHOWN", "CAP_KILL"],
            "effective": ["CAP_CHOWN", "CAP_KILL"],
            "inheritable": ["CAP_CHOWN", "CAP_KILL"],
            "ambient": ["CAP_KILL"],
        }),
    );
    let mask = |bits: u64| format!("{bits:016x}");
    assert_eq!(status(&mut cell, "CapBnd"), mask(1 | 1 << 5 | 1 << 13));
    assert_eq!(status(&mut cell, "CapInh"), mask(1 | 1 << 5));
    // execve(2) leaves a user only what is ambient (capabilities(7)).
    for name in ["CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(status(&mut cell, name), mask(1 << 5), "{name}");
    }
}

#[test]
fn five_capability_sets_are_set_for_root() {
    let mut cell = Cell::new().set(
        "/process/capabilities",
        json!({"bounding": ["CAP_CHOWN", "CAP_KILL"], "permitted": ["CAP_CHOWN", "CAP_KILL"],
               "effective": ["CAP_CHOWN"]}),
    );
    let mask = format!("{:016x}", 1 | 1 << 5);
    for name in ["CapBnd", "CapPrm", "CapEff"] {
        assert_eq!(status(&mut cell, name), mask, "{name}");
    }
    for name in ["CapInh", "CapAmb"] {
        assert_eq!(status(&mut cell, name), "0000000000000000", "{name}");
    }
}

#[test]
fn absent_capabilities_are_empty_sets() {
    let mut cell = Cell::new().remove("/process/capabilities");
    for name in ["CapBnd", "CapPrm", "CapEff", "CapInh", "CapAmb"] {
        let found = status(&mut cell, name);
        if is_foreign() {
            return skip("an oracle may choose another default");
        }
        assert_eq!(found, "0000000000000000", "{name}");
    }
}

#[test]
fn a_capability_that_this_process_lacks_is_left_out_with_a_warning() {
    let lacking = (0..41).find(|number| bounding_set() & (1 << number) == 0);
    let Some(24) = lacking else {
        return skip("this process has CAP_SYS_RESOURCE to give");
    };
    let names = json!(["CAP_SYS_RESOURCE"]);
    let mut cell = Cell::new().set(
        "/process/capabilities",
        json!({"bounding": names, "permitted": names, "effective": names}),
    );
    let out = cell.sh("grep CapBnd /proc/self/status");
    assert_eq!(out.ok(), "CapBnd:\t0000000000000000\n");
    assert!(
        out.stderr
            .contains("process.capabilities.bounding: cannot be granted"),
        "{out:#?}"
    );
}

#[test]
fn no_new_privileges_is_set() {
    for (value, expected) in [(true, "1"), (false, "0")] {
        let mut cell = Cell::new().set("/process/noNewPrivileges", json!(value));
        assert_eq!(status(&mut cell, "NoNewPrivs"), expected);
    }
}

#[test]
fn oom_score_adj_is_set() {
    for value in [0, 500, 1000] {
        let mut cell = Cell::new().set("/process/oomScoreAdj", json!(value));
        assert_eq!(
            cell.sh("cat /proc/self/oom_score_adj").ok(),
            format!("{value}\n")
        );
    }
    let mut cell = Cell::new().set("/process/oomScoreAdj", json!(1001));
    cell.sh("true").refused(&["process.oomScoreAdj"]);
}

/// A limit's name, its line in /proc/self/limits, and values below a host's usual ones.
const RLIMITS: [(&str, &str, u64, u64); 16] = [
    ("AS", "Max address space", 1 << 33, 1 << 34),
    ("CORE", "Max core file size", 0, 0),
    ("CPU", "Max cpu time", 100, 200),
    ("DATA", "Max data size", 1 << 30, 1 << 31),
    ("FSIZE", "Max file size", 1 << 20, 1 << 21),
    ("LOCKS", "Max file locks", 10, 20),
    ("MEMLOCK", "Max locked memory", 4096, 8192),
    ("MSGQUEUE", "Max msgqueue size", 4096, 8192),
    ("NICE", "Max nice priority", 0, 0),
    ("NOFILE", "Max open files", 100, 200),
    ("NPROC", "Max processes", 300, 400),
    ("RSS", "Max resident set", 1 << 30, 1 << 31),
    ("RTPRIO", "Max realtime priority", 0, 0),
    ("RTTIME", "Max realtime timeout", 1000, 2000),
    ("SIGPENDING", "Max pending signals", 50, 60),
    ("STACK", "Max stack size", 1 << 22, 1 << 23),
];

#[test]
fn rlimits_are_set() {
    let all: Vec<Value> = RLIMITS
        .iter()
        .map(|(name, _, soft, hard)| json!({"type": format!("RLIMIT_{name}"), "soft": soft, "hard": hard}))
        .collect();
    let mut cell = Cell::new().set("/process/rlimits", json!(all));
    let out = cell.sh("cat /proc/self/limits");
    for (name, label, soft, hard) in RLIMITS {
        let line = out
            .ok()
            .lines()
            .find(|line| line.starts_with(label))
            .unwrap();
        let words: Vec<&str> = line[label.len()..].split_whitespace().collect();
        assert_eq!(words[..2], [soft.to_string(), hard.to_string()], "{name}");
    }
}

#[test]
fn rlimits_that_make_no_sense_are_refused() {
    let one = |kind: &str, soft: u64, hard: u64| json!({"type": kind, "soft": soft, "hard": hard});
    let cases = [
        (
            json!([one("RLIMIT_NOSUCH", 1, 1)]),
            "process.rlimits[0].type",
        ),
        (json!([one("RLIMIT_NOFILE", 20, 10)]), "process.rlimits[0]"),
        (
            json!([one("RLIMIT_NOFILE", 5, 10), one("RLIMIT_NOFILE", 6, 10)]),
            "process.rlimits[1]",
        ),
    ];
    for (limits, field) in cases {
        let mut cell = Cell::new().set("/process/rlimits", limits);
        cell.sh("true").refused(&[field]);
    }
}

#[test]
fn personality_is_set() {
    let mut cell = Cell::new().set("/linux/personality", json!({"domain": "LINUX32"}));
    let out = cell.sh("cat /proc/self/personality; uname -m");
    assert_eq!(out.lines()[0], "00000008");
    assert!(!out.ok().contains("x86_64"), "{out:#?}");
    let mut cell = Cell::new().set("/linux/personality", json!({"domain": "LINUX"}));
    assert_eq!(cell.sh("cat /proc/self/personality").ok(), "00000000\n");
}

#[test]
fn personality_flags_are_refused() {
    if is_foreign() {
        return skip("an oracle may ignore the field");
    }
    let mut cell = Cell::new().set(
        "/linux/personality",
        json!({"domain": "LINUX", "flags": ["ADDR_NO_RANDOMIZE"]}),
    );
    cell.sh("true").refused(&["linux.personality.flags"]);
}

#[test]
fn scheduler_policy_and_nice_value_are_set() {
    let mut cell = Cell::new().set(
        "/process/scheduler",
        json!({"policy": "SCHED_BATCH", "nice": 5, "flags": ["SCHED_FLAG_RESET_ON_FORK"]}),
    );
    if has_helper(&cell) {
        let out = cell.run(&["/helper", "scheduler"]);
        assert!(
            out.ok().starts_with("scheduler: policy=3 flags=1 nice=5 "),
            "{out:#?}"
        );
    }
}

#[test]
fn scheduler_priority_is_set_or_refused() {
    let mut cell = Cell::new().set(
        "/process/scheduler",
        json!({"policy": "SCHED_FIFO", "priority": 7}),
    );
    if !has_helper(&cell) {
        return;
    }
    let out = cell.run(&["/helper", "scheduler"]);
    if out.code != 0 {
        // A group without realtime bandwidth cannot have such a process (sched(7)).
        return out.refused(&["process.scheduler"]);
    }
    assert!(out.ok().contains("policy=1 "), "{out:#?}");
    assert!(out.ok().contains(" priority=7 "), "{out:#?}");
}

#[test]
fn scheduler_deadline_is_set_or_refused() {
    let mut cell = Cell::new().set(
        "/process/scheduler",
        json!({"policy": "SCHED_DEADLINE", "runtime": 1_000_000, "deadline": 10_000_000, "period": 20_000_000}),
    );
    if !has_helper(&cell) {
        return;
    }
    let out = cell.run(&["/helper", "scheduler"]);
    if out.code != 0 {
        // Admission control may say no, and a cpuset that does not span its root domain does (sched(7)).
        return out.refused(&["process.scheduler"]);
    }
    let expected =
        "policy=6 flags=0 nice=0 priority=0 runtime=1000000 deadline=10000000 period=20000000";
    assert!(out.ok().contains(expected), "{out:#?}");
}

#[test]
fn scheduler_values_that_make_no_sense_are_refused() {
    if is_foreign() {
        return skip("an oracle that does not know the field ignores it");
    }
    for (scheduler, field) in [
        (
            json!({"policy": "SCHED_NOSUCH"}),
            "process.scheduler.policy",
        ),
        (
            json!({"policy": "SCHED_OTHER", "nice": 20}),
            "process.scheduler.nice",
        ),
        (
            json!({"policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_NOSUCH"]}),
            "process.scheduler.flags",
        ),
    ] {
        let mut cell = Cell::new().set("/process/scheduler", scheduler);
        cell.sh("true").refused(&[field]);
    }
}

#[test]
fn io_priority_is_set() {
    for (priority, number) in [
        (json!({"class": "IOPRIO_CLASS_BE", "priority": 6}), 2),
        (json!({"class": "IOPRIO_CLASS_IDLE", "priority": 6}), 3),
        (json!({"class": "IOPRIO_CLASS_IDLE"}), 3),
    ] {
        let mut cell = Cell::new().set("/process/ioPriority", priority);
        if !has_helper(&cell) {
            return;
        }
        let out = cell.run(&["/helper", "ioprio"]);
        assert!(
            out.ok().starts_with(&format!("ioprio: class={number} ")),
            "{out:#?}"
        );
        if number == 2 {
            assert_eq!(out.ok(), "ioprio: class=2 priority=6\n");
        }
    }
}

#[test]
fn io_priority_that_makes_no_sense_is_refused() {
    if is_foreign() {
        return skip("an oracle that does not know the field ignores it");
    }
    for (value, field) in [
        (
            json!({"class": "IOPRIO_CLASS_NOSUCH", "priority": 1}),
            "process.ioPriority.class",
        ),
        (
            json!({"class": "IOPRIO_CLASS_BE", "priority": 8}),
            "process.ioPriority.priority",
        ),
    ] {
        let mut cell = Cell::new().set("/process/ioPriority", value);
        cell.sh("true").refused(&[field]);
    }
}

#[test]
fn memory_policy_is_set_or_refused() {
    if is_foreign() {
        return skip("an oracle that does not know the field ignores it");
    }
    let mut cell = Cell::new().set(
        "/linux/memoryPolicy",
        json!({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]}),
    );
    if !has_helper(&cell) {
        return;
    }
    let out = cell.run(&["/helper", "mempolicy"]);
    if out.code != 0 {
        return out.refused(&["linux.memoryPolicy"]);
    }
    // MPOL_BIND | MPOL_F_STATIC_NODES (set_mempolicy(2)), node 0.
    assert_eq!(out.ok(), "mempolicy: mode=32770 nodes=1\n");
}

#[test]
fn console_size_without_a_terminal_is_ignored() {
    let mut cell = Cell::new().set("/process/consoleSize", json!({"height": 24, "width": 80}));
    assert_eq!(cell.sh("echo ran").ok(), "ran\n");
}

#[test]
fn exec_cpu_affinity_changes_nothing_of_the_first_process() {
    let script = "grep ^Cpus_allowed_list /proc/self/status";
    let plain = Cell::new().sh(script).ok().to_owned();
    let mut cell = Cell::new().set(
        "/process/execCPUAffinity",
        json!({"initial": "0", "final": "0"}),
    );
    assert_eq!(cell.sh(script).ok(), plain);
}

#[test]
fn labels_are_refused_where_the_host_has_no_such_module() {
    let modules = std::fs::read_to_string("/sys/kernel/security/lsm").unwrap_or_default();
    for (pointer, field, module) in [
        (
            "/process/apparmorProfile",
            "process.apparmorProfile",
            "apparmor",
        ),
        ("/process/selinuxLabel", "process.selinuxLabel", "selinux"),
        ("/linux/mountLabel", "linux.mountLabel", "selinux"),
    ] {
        if modules.contains(module) {
            skip(&format!("this host has {module}"));
            continue;
        }
        if is_foreign() {
            return skip("an oracle may ignore labels");
        }
        let mut cell = Cell::new().set(pointer, json!("system_u:object_r:container_file_t:s0"));
        cell.sh("true").refused(&[field]);
    }
}

#[test]
fn apparmor_profile_holds_inside_and_a_missing_one_is_named() {
    let modules = std::fs::read_to_string("/sys/kernel/security/lsm").unwrap_or_default();
    let Some(parser) = installed("apparmor_parser").filter(|_| modules.contains("apparmor")) else {
        return skip("this host has no AppArmor, or no parser of its profiles");
    };
    let name = format!("stockade-test-{}", std::process::id());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("profile");
    let rules = "file, capability, network, signal, mount, deny /secret r,";
    let text = format!("profile {name} flags=(attach_disconnected) {{ {rules} }}\n");
    std::fs::write(&file, text).unwrap();
    let parse = |flag| Command::new(&parser).arg(flag).arg(&file).status().unwrap();
    assert!(parse("--replace").success());
    let mut cell = Cell::new().set("/process/apparmorProfile", json!(name));
    std::fs::write(cell.root("secret"), "secret").unwrap();
    let out = cell.sh("cat /proc/self/attr/current /secret");
    assert!(parse("--remove").success());
    assert_eq!(out.stdout, format!("{name} (enforce)\n"), "{out:?}");
    assert!(out.stderr.contains("denied"), "{out:?}");
    let out = cell.sh("echo ran");
    out.refused(&["process.apparmorProfile", &name]);
}

#[test]
fn intel_rdt_is_refused() {
    let mut cell = Cell::new().set(
        "/linux/intelRdt",
        json!({"closID": "group", "l3CacheSchema": "L3:0=f"}),
    );
    cell.sh("true").refused(&["linux.intelRdt"]);
}

#[test]
fn annotations_are_shown_by_state() {
    let mut cell = Cell::new().set("/annotations", json!({"org.example.key": "value"}));
    cell.bundle.config["process"]["args"] = json!(["/bin/true"]);
    cell.bundle.create().ok();
    let state = cell.bundle.state().json();
    assert_eq!(state["annotations"]["org.example.key"], "value");
    assert_eq!(state["bundle"], json!(cell.bundle.path()));
    cell.bundle.delete_by_force().ok();
}

#[test]
fn another_major_oci_version_is_refused() {
    if is_foreign() {
        return skip("an oracle may not look at the version");
    }
    for version in ["2.0.0", "", "one"] {
        let mut cell = Cell::new().set("/ociVersion", json!(version));
        cell.sh("true").refused(&["ociVersion"]);
    }
    let mut cell = Cell::new().set("/ociVersion", json!("1.3.0"));
    assert_eq!(cell.sh("echo ran").ok(), "ran\n");
}
