//! Hooks of all six kinds: when, where, with what, and what a failing one does (config.md, "POSIX-platform Hooks").

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Bundle, Output, eventually, is_foreign, skip};

const KINDS: [&str; 6] = [
    "prestart",
    "createRuntime",
    "createContainer",
    "startContainer",
    "poststart",
    "poststop",
];

/// A hook that runs this script, with no environment of its own.
fn hook(script: &str) -> Value {
    json!({"path": "/bin/sh", "args": ["sh", "-c", script]})
}

/// The directory that hooks write to: inside the root as well, since a startContainer hook sees nothing else.
fn with_log(bundle: &Bundle, kind: &str) -> String {
    match kind {
        "startContainer" => String::new(),
        _ => bundle.rootfs().to_str().unwrap().to_owned(),
    }
}

/// One hook of each kind; `script` gets the kind and the directory to write to.
fn every_kind(bundle: Bundle, script: impl Fn(&str, &str) -> String) -> Bundle {
    KINDS.iter().fold(bundle, |bundle, kind| {
        let script = script(kind, &with_log(&bundle, kind));
        bundle.set(&format!("/hooks/{kind}/-"), hook(&script))
    })
}

fn file(bundle: &Bundle, name: &str) -> String {
    fs::read_to_string(bundle.rootfs().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn hooks_run_in_the_order_of_the_lifecycle() {
    let bundle = every_kind(Bundle::new(), |kind, dir| {
        format!("echo {kind} 1 >> {dir}/log")
    });
    let bundle = every_kind(bundle, |kind, dir| format!("echo {kind} 2 >> {dir}/log"))
        .shell("echo program >> /log; sleep 0.1");
    bundle.run().ok();
    let log = file(&bundle, "log");
    let lines: Vec<&str> = log.lines().filter(|line| *line != "program").collect();
    let expected: Vec<String> = KINDS
        .iter()
        .flat_map(|kind| [format!("{kind} 1"), format!("{kind} 2")])
        .collect();
    assert_eq!(lines, expected);
    let at = |text: &str| log.lines().position(|line| line == text).unwrap();
    assert!(at("startContainer 2") < at("program") && at("program") < at("poststop 1"));
}

#[test]
fn hooks_run_at_create_start_and_delete() {
    let bundle = every_kind(Bundle::new().args(&["sleep", "1000"]), |kind, dir| {
        format!("echo {kind} >> {dir}/log")
    });
    let log = || file(&bundle, "log");
    bundle.create().ok();
    assert_eq!(log(), "prestart\ncreateRuntime\ncreateContainer\n");
    bundle.start().ok();
    assert!(log().ends_with("createContainer\nstartContainer\npoststart\n"));
    bundle.delete_by_force().ok();
    assert!(log().ends_with("poststart\npoststop\n"));
}

#[test]
fn hooks_get_the_annotations_that_state_shows() {
    if is_foreign() {
        return;
    }
    let bundle = Bundle::new().profile(Some("baseline"));
    let bundle = every_kind(bundle.args(&["sleep", "1000"]), |kind, dir| {
        format!("cat > {dir}/{kind}")
    });
    bundle.create().ok();
    let annotations = bundle.state().json()["annotations"].clone();
    assert_eq!(annotations["org.stockade.profile"], "baseline");
    assert!(annotations["org.stockade.tightened"].is_string());
    bundle.start().ok();
    bundle.delete_by_force().ok();
    for kind in KINDS {
        let state: Value = serde_json::from_str(&file(&bundle, kind)).unwrap();
        assert_eq!(state["annotations"], annotations, "{kind}");
    }
}

#[test]
fn b57_hooks_get_the_state_with_the_status_of_their_phase() {
    let bundle = every_kind(Bundle::new().args(&["sleep", "1000"]), |kind, dir| {
        format!("cat > {dir}/{kind}")
    });
    let bundle = bundle.set("/annotations/org.example", "yes");
    bundle.create().ok();
    let pid = bundle.pid();
    bundle.start().ok();
    bundle.delete_by_force().ok();
    let phases = [
        "creating", "creating", "creating", "created", "running", "stopped",
    ];
    for (kind, status) in KINDS.iter().zip(phases) {
        let state: Value = serde_json::from_str(&file(&bundle, kind)).unwrap();
        assert_eq!(state["status"], status, "{kind}");
        assert_eq!(state["id"], bundle.id(), "{kind}");
        assert_eq!(state["bundle"], bundle.path().to_str().unwrap(), "{kind}");
        assert_eq!(state["annotations"]["org.example"], "yes", "{kind}");
        let expected = if *kind == "poststop" { None } else { Some(pid) };
        let seen = state["pid"].as_u64().filter(|pid| *pid != 0);
        if *kind == "startContainer" || *kind == "createContainer" {
            // Seen from the runtime, or from inside the container's pid namespace.
            assert!(
                seen == Some(1) || seen == Some(pid.into()),
                "{kind}: {state}"
            );
        } else {
            assert_eq!(seen, expected.map(u64::from), "{kind}");
        }
    }
}

#[test]
fn b57_hooks_have_exactly_the_configured_environment() {
    let bundle = KINDS.iter().fold(
        Bundle::new().set("/process/env/-", "LD_PRELOAD=/evil.so"),
        |bundle, kind| {
            // Its own, since a createContainer hook is in a pid namespace that /proc does not show yet.
            let script = format!("exec cat /proc/self/environ > {}/{kind}", with_log(&bundle, kind));
            let with = json!({
                "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["A=1", "PATH=/bin:/usr/bin"],
            });
            bundle.set(&format!("/hooks/{kind}/-"), with)
        },
    );
    bundle
        .launch("run", &[])
        .env("STOCKADE_CANARY", "leaked")
        .output()
        .ok();
    for kind in KINDS {
        // A shell adds where it is, and how deep.
        let environment = file(&bundle, kind);
        let variables: Vec<&str> = environment
            .split_terminator('\0')
            .filter(|variable| !variable.starts_with("PWD=") && !variable.starts_with("SHLVL="))
            .collect();
        assert_eq!(variables, ["A=1", "PATH=/bin:/usr/bin"], "{kind}");
    }
}

#[test]
fn hooks_without_env_inherit_that_of_whoever_they_run_as() {
    let bundle = every_kind(
        Bundle::new().set("/process/env/-", "IMAGE=the image's"),
        |kind, dir| format!("echo \"$CANARY,$IMAGE\" > {dir}/{kind}"),
    );
    let run = bundle.launch("run", &[]).env("CANARY", "the runtime's");
    run.output().ok();
    for kind in KINDS {
        let expected = match kind {
            "createContainer" => ",\n",
            "startContainer" => ",the image's\n",
            _ => "the runtime's,\n",
        };
        assert_eq!(file(&bundle, kind), expected, "{kind}");
    }
}

#[test]
fn b57_hooks_of_the_runtime_namespace_run_in_the_bundle() {
    let bundle = every_kind(Bundle::new(), |kind, dir| format!("pwd > {dir}/{kind}"));
    bundle.run().ok();
    for kind in ["prestart", "createRuntime", "poststart", "poststop"] {
        let path = bundle.path();
        assert_eq!(file(&bundle, kind).trim(), path.to_str().unwrap(), "{kind}");
    }
    // CVE-2025-23266: a hook of the host's must not run in a directory that the image fills.
    let rootfs = bundle.rootfs();
    assert!(!file(&bundle, "createContainer").starts_with(rootfs.to_str().unwrap()));
}

#[test]
fn hooks_run_in_their_namespaces() {
    let bundle = every_kind(Bundle::new(), |kind, dir| {
        format!(
            "readlink /proc/self/ns/mnt > {dir}/{kind}; readlink /proc/self/ns/net >> {dir}/{kind}"
        )
    });
    bundle.run().ok();
    let own: String = ["mnt", "net"]
        .map(|kind| {
            let link = fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
            format!("{}\n", link.display())
        })
        .concat();
    for kind in KINDS {
        let is_inside = matches!(kind, "createContainer" | "startContainer");
        assert_eq!(file(&bundle, kind) != own, is_inside, "{kind}");
    }
    assert_eq!(
        file(&bundle, "createContainer"),
        file(&bundle, "startContainer")
    );
}

#[test]
fn b57_hook_arguments_are_argv_with_its_first_word() {
    let bundle = Bundle::new();
    let out = bundle.rootfs().join("argv");
    let script = format!("tr '\\0' ' ' < /proc/$$/cmdline > {}", out.display());
    let with = json!({"path": "/bin/sh", "args": ["zero", "-c", script, "one", "two words"]});
    let bundle = bundle.set("/hooks/createRuntime/-", with);
    bundle.run().ok();
    let argv = file(&bundle, "argv");
    assert!(
        argv.starts_with("zero -c ") && argv.ends_with(" one two words "),
        "{argv}"
    );
}

#[test]
fn b57_create_container_hook_finds_proc_mounted() {
    let bundle = Bundle::new();
    let root = bundle.rootfs();
    let script = format!(
        "test -e {0}/proc/1/status && echo mounted > {0}/seen",
        root.display()
    );
    let bundle = bundle.set("/hooks/createContainer/-", hook(&script));
    bundle.run().ok();
    assert_eq!(file(&bundle, "seen"), "mounted\n");
}

#[test]
fn b57_relative_hook_path_is_refused_up_front() {
    for kind in KINDS {
        let bundle = Bundle::new().set(&format!("/hooks/{kind}/-"), json!({"path": "bin/sh"}));
        let output = bundle.run();
        output.refused(&[&format!("hooks.{kind}[0].path"), "absolute"]);
        bundle.assert_clean();
    }
}

#[test]
fn b57_timeouts_of_nothing_or_less_are_refused_up_front() {
    for timeout in [0, -1] {
        let with = json!({"path": "/bin/true", "timeout": timeout});
        let bundle = Bundle::new().set("/hooks/poststop/-", with);
        bundle.run().refused(&["hooks.poststop[0].timeout"]);
    }
}

#[test]
fn hook_that_outlives_its_timeout_is_killed_and_fails() {
    let with = json!({"path": "/bin/sh", "args": ["sh", "-c", "sleep 100"], "timeout": 1});
    let bundle = Bundle::new().set("/hooks/createRuntime/-", with);
    let started = Instant::now();
    bundle.create().refused(&["createRuntime", "1 s"]);
    assert!(started.elapsed() < Duration::from_secs(20));
    bundle.assert_clean();
}

#[test]
fn b57_failing_hook_of_create_fails_it_and_shows_what_the_hook_said() {
    for kind in ["prestart", "createRuntime", "createContainer"] {
        let failing = hook("echo to-stdout; echo why-it-failed >&2; exit 3");
        let bundle = Bundle::new().set(&format!("/hooks/{kind}/-"), failing);
        bundle
            .create()
            .refused(&[&format!("hooks.{kind}[0]"), "3", "why-it-failed"]);
        bundle.assert_clean();
    }
}

#[test]
fn b57_failing_hook_of_start_fails_it_and_stops_the_container() {
    for kind in ["startContainer", "poststart"] {
        let bundle = Bundle::new()
            .set(&format!("/hooks/{kind}/-"), hook("exit 3"))
            .args(&["sleep", "1000"]);
        bundle.create().ok();
        bundle.start().refused(&[&format!("hooks.{kind}[0]"), "3"]);
        if bundle.state().code == 0 {
            bundle.becomes("stopped");
            bundle.delete_by_force().ok();
        }
        bundle.assert_clean();
    }
}

#[test]
fn b57_failing_hook_fails_run_with_nothing_left() {
    for kind in &KINDS[..5] {
        let bundle = Bundle::new()
            .set(&format!("/hooks/{kind}/-"), hook("exit 3"))
            .args(&["sleep", "1000"]);
        bundle.run().refused(&[&format!("hooks.{kind}[0]")]);
        bundle.assert_clean();
    }
}

#[test]
fn poststop_hooks_run_after_a_failed_start() {
    let bundle = Bundle::new();
    let log = bundle.rootfs().join("log");
    let bundle = bundle.set("/hooks/startContainer/-", hook("exit 3")).set(
        "/hooks/poststop/-",
        hook(&format!("echo stopped > {}", log.display())),
    );
    assert_ne!(bundle.run().code, 0);
    assert_eq!(file(&bundle, "log"), "stopped\n");
}

#[test]
fn failing_poststop_hook_does_not_keep_the_next_one_or_the_container() {
    let bundle = Bundle::new();
    let log = bundle.rootfs().join("log");
    let bundle = bundle.set("/hooks/poststop/-", hook("exit 3")).set(
        "/hooks/poststop/-",
        hook(&format!("echo next > {}", log.display())),
    );
    bundle.create().ok();
    bundle.delete_by_force();
    assert_eq!(file(&bundle, "log"), "next\n");
    bundle.assert_clean();
}

#[test]
fn missing_hook_program_is_named() {
    let bundle = Bundle::new().set("/hooks/createRuntime/-", json!({"path": "/no/such/hook"}));
    bundle
        .create()
        .refused(&["hooks.createRuntime[0]", "/no/such/hook"]);
}

#[test]
fn delete_by_force_ends_a_hook_that_hangs() {
    if is_foreign() {
        return skip("other runtimes have no lock to wait for");
    }
    for kind in ["prestart", "createRuntime"] {
        let bundle = Bundle::new();
        let script = format!("echo > {}/began; sleep 1000", bundle.rootfs().display());
        let bundle = bundle.set(&format!("/hooks/{kind}/-"), hook(&script));
        let creating = bundle.launch("create", &[]).spawn();
        let began = bundle.rootfs().join("began");
        eventually("the hook runs", || began.exists());
        bundle.delete_by_force().ok();
        let error = format!(
            "error: run hooks.{kind}[0] \"/bin/sh\": error running {kind} hook #0: the container's process has ended, killed\n"
        );
        let output = creating.wait();
        assert_eq!((output.code, output.stderr), (1, error));
        bundle.assert_clean();
    }
}

#[test]
fn b57_hook_that_leaves_a_daemon_does_not_hang_create() {
    let bundle = Bundle::new();
    let pid = bundle.temp().join("daemon");
    let script = format!("sleep 60 & echo $! > {}; exit 0", pid.display());
    let bundle = bundle.set("/hooks/createRuntime/-", hook(&script));
    let output = bundle.create();
    let daemon = fs::read_to_string(&pid).unwrap().trim().parse().unwrap();
    let daemon = rustix::process::Pid::from_raw(daemon).unwrap();
    // The runtime may have ended it already.
    let _ = rustix::process::kill_process(daemon, rustix::process::Signal::KILL);
    output.ok();
    bundle.delete_by_force().ok();
}

#[test]
fn b57_large_state_reaches_a_hook_whole() {
    let long = "x".repeat(200_000);
    let bundle = every_kind(
        Bundle::new().set("/annotations/long", long.as_str()),
        |kind, dir| format!("cat > {dir}/{kind}"),
    );
    bundle.run().ok();
    for kind in KINDS {
        let state: Value = serde_json::from_str(&file(&bundle, kind)).unwrap();
        assert_eq!(state["annotations"]["long"], long.as_str(), "{kind}");
    }
}

#[test]
fn b57_hook_that_does_not_read_its_input_is_no_failure() {
    let long = "x".repeat(200_000);
    let bundle = every_kind(Bundle::new().set("/annotations/long", long), |_, _| {
        "exit 0".to_owned()
    });
    bundle.run().ok();
}

#[test]
fn state_during_create_runtime_hook_is_creating() {
    let bundle = Bundle::new();
    let seen = bundle.temp().join("seen");
    let go = bundle.temp().join("go");
    let script = format!(
        "touch {}; while ! test -e {}; do sleep 0.02; done",
        seen.display(),
        go.display()
    );
    let bundle = bundle.set("/hooks/createRuntime/-", hook(&script));
    let create = bundle.launch("create", &[]).spawn();
    eventually("the hook runs", || seen.exists());
    let state: Output = bundle.state();
    fs::write(&go, "").unwrap();
    create.wait().ok();
    if is_foreign() && state.code != 0 {
        skip("this runtime has no state before create ends");
    } else {
        assert_eq!(state.json()["status"], "creating");
    }
    bundle.delete_by_force().ok();
}
