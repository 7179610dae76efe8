//! Rules of `process`.

use serde_json::json;

use super::{accepted, refused, with};

#[test]
#[rustfmt::skip]
fn process_rules_name_their_field() {
    refused(vec![
        ("/root/path", json!(""), "root.path: is empty"),
        ("/annotations", json!({"": "x"}), "annotations: has an empty key"),
        ("/process/args", json!([]), "process.args: is empty, there is nothing to run"),
        ("/process/args", json!([""]), "process.args[0]: is empty, there is nothing to run"),
        ("/process/cwd", json!("tmp"), "process.cwd: \"tmp\" is not an absolute path"),
        ("/process/env", json!(["A=1", "NOEQ"]), "process.env[1]: \"NOEQ\" is not NAME=VALUE"),
        ("/process/env", json!(["=x"]), "process.env[0]: \"=x\" is not NAME=VALUE"),
        ("/process/user/uid", json!(u32::MAX), "process.user.uid: 4294967295 is no id, the kernel takes it for \"leave unchanged\""),
        ("/process/user/gid", json!(u32::MAX), "process.user.gid: 4294967295 is no id, the kernel takes it for \"leave unchanged\""),
        ("/process/user/additionalGids", json!([10, u32::MAX]), "process.user.additionalGids[1]: 4294967295 is no id, the kernel takes it for \"leave unchanged\""),
        ("/process/user/umask", json!(512), "process.user.umask: 512 is more than 511 (octal 777)"),
        ("/process/oomScoreAdj", json!(1001), "process.oomScoreAdj: 1001 is not from -1000 to 1000"),
        ("/process/execCPUAffinity", json!({"initial": "0-"}), "process.execCPUAffinity.initial: \"0-\" is not a list such as 0-3,7"),
        ("/process/ioPriority", json!({"class": "x", "priority": 0}), "process.ioPriority.class: \"x\" is not one of IOPRIO_CLASS_RT, IOPRIO_CLASS_BE, IOPRIO_CLASS_IDLE"),
        ("/process/ioPriority", json!({"class": "IOPRIO_CLASS_BE", "priority": 8}), "process.ioPriority.priority: 8 is not from 0 to 7"),
    ]);
    accepted(vec![
        ("/process/user/additionalGids", json!([10, 10, 11])),
        ("/process/env", json!(["A=1", "A=2", "B="])),
        ("/process/oomScoreAdj", json!(-1000)),
        ("/process/execCPUAffinity", json!({"initial": "0-3,7", "final": ""})),
    ]);
}

#[test]
fn rlimit_rules_name_their_field() {
    let limit =
        |kind: &str, soft: u64, hard: u64| json!({"type": kind, "soft": soft, "hard": hard});
    refused(vec![
        (
            "/process/rlimits",
            json!([limit("NOFILE", 1, 1)]),
            "process.rlimits[0].type: \"NOFILE\" is not one of RLIMIT_CPU, RLIMIT_FSIZE, RLIMIT_DATA, RLIMIT_STACK, RLIMIT_CORE, RLIMIT_RSS, RLIMIT_NPROC, RLIMIT_NOFILE, RLIMIT_MEMLOCK, RLIMIT_AS, RLIMIT_LOCKS, RLIMIT_SIGPENDING, RLIMIT_MSGQUEUE, RLIMIT_NICE, RLIMIT_RTPRIO, RLIMIT_RTTIME",
        ),
        (
            "/process/rlimits",
            json!([limit("RLIMIT_CPU", 1, 1), limit("RLIMIT_CPU", 1, 1)]),
            "process.rlimits[1].type: \"RLIMIT_CPU\" is there twice",
        ),
        (
            "/process/rlimits",
            json!([limit("RLIMIT_CPU", 2, 1)]),
            "process.rlimits[0].soft: 2 is above hard, 1",
        ),
    ]);
    accepted(vec![(
        "/process/rlimits",
        json!([limit("RLIMIT_CPU", u64::MAX, u64::MAX)]),
    )]);
}

#[test]
fn unknown_capabilities_are_taken_out_with_a_warning() {
    let sets = json!({
        "bounding": ["cap_chown", "CAP_KILL", "CAP_NOT_REAL"],
        "permitted": ["CAP_KILL"], "effective": ["CAP_KILL", "CAP_NOT_REAL"]
    });
    let (config, warnings) = with(&[("/process/capabilities", sets)]).unwrap();
    let sets = config.process.unwrap().capabilities.unwrap();
    assert_eq!(sets.bounding, ["CAP_KILL"]);
    assert_eq!(sets.effective, ["CAP_KILL"]);
    assert_eq!(
        warnings,
        [
            "\"f\": process.capabilities: ignoring unknown or unavailable capabilities: [CAP_NOT_REAL cap_chown]",
        ]
    );
}

#[test]
fn what_other_runtimes_let_out_has_its_usual_value() {
    let rows = [
        ("/process/user", json!({"uid": 7})),
        ("/process/ioPriority", json!({"class": "IOPRIO_CLASS_IDLE"})),
        ("/linux/namespaces/1", json!({"type": "pid", "path": ""})),
        (
            "/linux/resources/hugepageLimits",
            json!([{"pagesize": "2MB", "limit": 1}]),
        ),
    ];
    let (config, warnings) = with(&rows).unwrap();
    let process = config.process.unwrap();
    assert_eq!((process.user.uid, process.user.gid), (7, 0));
    assert_eq!(process.io_priority.unwrap().priority, 0);
    let linux = config.linux.unwrap();
    assert_eq!(linux.namespaces[1].path, None);
    let limits = linux.resources.unwrap().hugepage_limits;
    assert_eq!(limits[0].page_size, "2MB");
    assert_eq!(warnings, Vec::<String>::new());
}

#[test]
fn capabilities_that_the_kernel_would_not_grant_are_taken_out_with_a_warning() {
    let sets = json!({
        "effective": ["CAP_KILL", "CAP_CHOWN"], "permitted": ["CAP_CHOWN", "CAP_MKNOD"],
        "inheritable": ["CAP_CHOWN", "CAP_KILL"],
        "ambient": ["CAP_CHOWN", "CAP_KILL", "CAP_MKNOD", "CAP_BPF"]
    });
    let (config, warnings) = with(&[("/process/capabilities", sets)]).unwrap();
    let sets = config.process.unwrap().capabilities.unwrap();
    assert_eq!(sets.effective, ["CAP_CHOWN"]);
    assert_eq!(sets.ambient, ["CAP_CHOWN"]);
    assert_eq!(
        warnings,
        [
            "\"f\": process.capabilities.effective: can't raise effective capability CAP_KILL: not in permitted too, ignored",
            "\"f\": process.capabilities.ambient: can't raise ambient capability CAP_KILL, CAP_BPF: not in permitted too, ignored",
            "\"f\": process.capabilities.ambient: can't raise ambient capability CAP_MKNOD: not in inheritable too, ignored",
        ]
    );
}

#[test]
#[rustfmt::skip]
fn scheduler_rules_name_their_field() {
    let rows = [
        (json!({"policy": "FIFO"}), "policy: \"FIFO\" is not one of SCHED_OTHER, SCHED_FIFO, SCHED_RR, SCHED_BATCH, SCHED_ISO, SCHED_IDLE, SCHED_DEADLINE"),
        (json!({"policy": "SCHED_ISO"}), "policy: \"SCHED_ISO\" is reserved, Linux does not have it"),
        (json!({"policy": "SCHED_OTHER", "nice": 20}), "nice: 20 is not from -20 to 19"),
        (json!({"policy": "SCHED_FIFO"}), "priority: 0 is not from 1 to 99, as SCHED_FIFO needs"),
        (json!({"policy": "SCHED_BATCH", "priority": 1}), "priority: 1 is not 0, as SCHED_BATCH needs"),
        (json!({"policy": "SCHED_OTHER", "flags": ["x"]}), "flags[0]: \"x\" is not one of SCHED_FLAG_RESET_ON_FORK, SCHED_FLAG_RECLAIM, SCHED_FLAG_DL_OVERRUN, SCHED_FLAG_KEEP_POLICY, SCHED_FLAG_KEEP_PARAMS, SCHED_FLAG_UTIL_CLAMP_MIN, SCHED_FLAG_UTIL_CLAMP_MAX"),
        (json!({"policy": "SCHED_OTHER", "period": 1}), "period: is only for SCHED_DEADLINE"),
        (json!({"policy": "SCHED_DEADLINE"}), "runtime: 0 is below 1024 nanoseconds"),
        (json!({"policy": "SCHED_DEADLINE", "runtime": 5000, "deadline": 4000}), "runtime: 5000 is above deadline, 4000"),
        (json!({"policy": "SCHED_DEADLINE", "runtime": 5000, "deadline": 6000, "period": 5500}), "deadline: 6000 is above period, 5500"),
    ];
    for (value, error) in rows {
        let error = format!("process.scheduler.{error}");
        refused(vec![("/process/scheduler", value, &error)]);
    }
    let deadline = json!({"policy": "SCHED_DEADLINE", "runtime": 5000, "deadline": 6000});
    accepted(vec![("/process/scheduler", deadline)]);
}

#[test]
fn missing_user_is_root_and_warned_about() {
    let process = json!({"cwd": "/", "args": ["sh"]});
    assert_eq!(
        with(&[("/process", process)]).unwrap().1,
        ["\"f\": process.user: is missing, which means uid 0 and gid 0"]
    );
}
