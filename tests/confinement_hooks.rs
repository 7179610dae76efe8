//! Hooks of the six kinds: their order, arguments, environment, input and time limit.
//! Not here: what hooks must not get from a hostile image (`escape_paths`).

use std::fs;

use serde_json::{Value, json};

use crate::cell::Cell;

/// A hook that appends its name and its arguments to a file.
fn hook(name: &str, log: &str) -> Value {
    let script =
        format!("read -r state; echo {name} $0 $1 $A >> {log}; echo \"$state\" > {log}.{name}");
    json!({"path": "/bin/sh", "args": ["sh", "-c", script, "zero", "one"], "env": ["A=1", "PATH=/bin:/usr/bin"],
           "timeout": 10})
}

#[test]
fn hooks_of_the_six_kinds_run_in_order_with_the_state_as_input() {
    let mut cell = Cell::new();
    let log = cell.bundle.temp().join("log");
    let log = log.to_str().unwrap();
    let host = |name: &str| json!([hook(name, log)]);
    cell = cell.set(
        "/hooks",
        json!({
            "prestart": host("prestart"),
            "createRuntime": host("createRuntime"),
            "createContainer": host("createContainer"),
            "startContainer": [hook("startContainer", "/log")],
            "poststart": host("poststart"),
            "poststop": host("poststop"),
        }),
    );
    cell.bundle.config["process"]["args"] = json!(["/bin/sh", "-c", "cat /log"]);
    cell.bundle.create().ok();
    let lines = |text: &str| -> Vec<String> { text.lines().map(str::to_owned).collect() };
    let one = |name: &str| format!("{name} zero one 1");
    assert_eq!(
        lines(&fs::read_to_string(log).unwrap()),
        ["prestart", "createRuntime", "createContainer"].map(one)
    );
    assert!(!cell.root("log").exists());
    cell.bundle.start().ok();
    cell.bundle.becomes("stopped");
    cell.bundle.delete().ok();
    assert_eq!(
        lines(&fs::read_to_string(log).unwrap()),
        [
            "prestart",
            "createRuntime",
            "createContainer",
            "poststart",
            "poststop"
        ]
        .map(one)
    );
    assert_eq!(
        fs::read_to_string(cell.root("log")).unwrap().trim(),
        one("startContainer")
    );
    check_states(log, cell.bundle.id());
}

/// The specification calls the status "created" from the end of its step 2 on, before the hooks.
fn check_states(log: &str, id: &str) {
    for (name, statuses) in [
        ("prestart", ["creating", "created"]),
        ("createRuntime", ["creating", "created"]),
        ("poststop", ["stopped", "stopped"]),
    ] {
        let text = fs::read_to_string(format!("{log}.{name}")).unwrap();
        let state: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(state["id"], id, "{name}");
        assert!(
            statuses.iter().any(|status| state["status"] == *status),
            "{name}: {state}"
        );
    }
}

#[test]
fn a_hook_that_outlives_its_timeout_is_killed_and_the_container_is_not_made() {
    for kind in ["prestart", "createRuntime", "createContainer"] {
        let mut cell = Cell::new().set(
            &format!("/hooks/{kind}"),
            json!([{"path": "/bin/sleep", "args": ["sleep", "20"], "timeout": 1}]),
        );
        cell.sh("true").refused(&[&format!("hooks.{kind}[0]")]);
    }
}

#[test]
fn a_hook_that_fails_stops_the_creation() {
    for kind in [
        "prestart",
        "createRuntime",
        "createContainer",
        "startContainer",
    ] {
        let mut cell = Cell::new().set(&format!("/hooks/{kind}"), json!([{"path": "/bin/false"}]));
        cell.sh("echo ran").refused(&[&format!("hooks.{kind}[0]")]);
    }
}

#[test]
fn a_hook_of_the_image_is_confined_like_its_program() {
    let script = "grep -E 'NoNewPrivs|Seccomp:' /proc/self/status >/tmp/seen";
    let mut cell = Cell::new()
        .set(
            "/hooks/startContainer",
            json!([{"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin"]}]),
        )
        .set(
            "/linux/seccomp",
            json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
                {"names": ["getcpu"], "action": "SCMP_ACT_ERRNO"}]}),
        );
    let out = cell.sh("cat /tmp/seen");
    assert_eq!(out.ok(), "NoNewPrivs:\t1\nSeccomp:\t2\n");
}
