//! `ps`, `pause`, `resume`, `list`, `checkpoint` and `restore`: what clients do with a container that runs.
//! Limits are changed in `control_update`, events read in `control_events`.

use std::fs;
use std::os::unix::fs::chown;
use std::path::PathBuf;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{Bundle, Output, cgroups_named, eventually, installed, is_foreign, skip};

/// A started container that runs this script.
pub(crate) fn running(script: &str) -> Bundle {
    start(Bundle::new().shell(script))
}

pub(crate) fn start(bundle: Bundle) -> Bundle {
    bundle.create().ok();
    bundle.start().ok();
    bundle
}

#[track_caller]
fn verb(bundle: &Bundle, verb: &str) -> Output {
    bundle.call(&[verb, bundle.id()]).output()
}

/// The text of a clock's ticks that the container writes.
fn ticks(bundle: &Bundle) -> u64 {
    fs::metadata(bundle.rootfs().join("ticks")).map_or(0, |found| found.len())
}

const TICKING: &str = "while :; do echo >> /ticks; sleep 0.01; done";

#[test]
fn ps_lists_every_process_of_every_subgroup() {
    let bundle = running("sleep 1000 & sleep 1000 & wait");
    let list = || {
        let output = bundle
            .call(&["ps", "--format", "json", bundle.id()])
            .output();
        output.json()
    };
    eventually("three processes", || list().as_array().unwrap().len() == 3);
    let init = bundle.pid();
    assert!(list().as_array().unwrap().contains(&json!(init)));

    let pids: Vec<u64> = serde_json::from_value(list()).unwrap();
    let moved = pids.iter().find(|pid| **pid != u64::from(init)).unwrap();
    let groups = cgroups_named(bundle.id());
    for group in &groups {
        let below = group.join("below");
        fs::create_dir(&below).unwrap();
        // A v1 cpuset takes no process before it is set.
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if let Ok(text) = fs::read_to_string(group.join(file)) {
                let _ = fs::write(below.join(file), text.trim());
            }
        }
        fs::write(below.join("cgroup.procs"), moved.to_string()).unwrap();
    }
    assert_eq!(list().as_array().unwrap().len(), 3);
    bundle.delete_by_force().ok();
    bundle.assert_clean();
}

#[test]
fn ps_prints_the_rows_that_ps_of_the_host_has_for_the_container() {
    if installed("ps").is_none() {
        skip("ps is not installed");
        return;
    }
    let bundle = running("exec sleep 1000");
    let pid = bundle.pid().to_string();
    eventually("the program runs", || {
        verb(&bundle, "ps").stdout.contains("sleep 1000")
    });
    let words = |line: &str| {
        line.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let table = verb(&bundle, "ps");
    let lines = table.lines();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!(words(lines[0])[..3], ["UID", "PID", "PPID"]);
    assert_eq!(words(lines[1])[1], pid);

    let with = |options: &[&str]| bundle.call(&["ps", bundle.id()]).args(options).output();
    assert_eq!(with(&["-o", "pid,args", "-A"]).lines().len(), 2);
    assert_eq!(words(with(&["ax", "-o", "user,pid"]).lines()[1])[1], pid);
    if !is_foreign() {
        let words: Vec<Vec<String>> = with(&["--", "-eo", "pid"])
            .lines()
            .into_iter()
            .map(words)
            .collect();
        assert_eq!(words, [["PID"], [&pid]]);
        with(&["-eo", "comm"]).refused(&["read what ps says: it has no PID column"]);
        with(&["--no-such-option"]).refused(&["run ps: exit status: 1"]);
    }
    bundle.delete_by_force().ok();
}

#[test]
fn ps_lists_the_same_as_runc() {
    let Some(runc) = installed("runc") else {
        skip("runc is not installed");
        return;
    };
    let shapes = [Bundle::new(), Bundle::new().by(runc)].map(|bundle| {
        let bundle = start(bundle.shell("sleep 1000 & wait"));
        let json = || {
            let output = bundle
                .call(&["ps", "--format", "json", bundle.id()])
                .output();
            output.json().as_array().unwrap().len()
        };
        eventually("two processes", || json() == 2);
        let names = || -> Vec<String> {
            let table = bundle
                .call(&["ps", bundle.id(), "-eo", "pid,comm"])
                .output();
            let last = |line: &&str| line.split_whitespace().last().unwrap().to_owned();
            table.lines().iter().map(last).collect()
        };
        // Until it has become another program, a child is called as its parent.
        eventually("the child is the other program", || {
            names().contains(&"sleep".to_owned())
        });
        let names = names();
        bundle.kill("KILL").ok();
        bundle.becomes("stopped");
        let none = bundle
            .call(&["ps", bundle.id(), "-eo", "pid,comm"])
            .output();
        let none = none.ok().to_owned();
        bundle.delete().ok();
        (names, none)
    });
    assert_eq!(shapes[0], shapes[1]);
}

#[test]
fn paused_container_stands_still_until_it_is_resumed() {
    let bundle = running(TICKING);
    eventually("it ticks", || ticks(&bundle) > 0);
    verb(&bundle, "pause").ok();
    assert_eq!(bundle.status(), "paused");
    let list = bundle.call(&["list"]).output();
    assert!(list.ok().contains("paused"), "{list:?}");
    let before = ticks(&bundle);
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert_eq!(ticks(&bundle), before);
    verb(&bundle, "resume").ok();
    assert_eq!(bundle.status(), "running");
    eventually("it ticks again", || ticks(&bundle) > before);
    bundle.delete_by_force().ok();
}

#[test]
fn container_that_forks_all_the_time_is_paused_all_the_same() {
    let bundle = start(
        Bundle::new()
            .set("/linux/resources/pids", json!({"limit": 64}))
            .shell("for i in 1 2 3 4; do (while :; do /bin/true; done) & done; wait"),
    );
    for _ in 0..5 {
        verb(&bundle, "pause").ok();
        assert_eq!(bundle.status(), "paused");
        verb(&bundle, "resume").ok();
    }
    bundle.delete_by_force().ok();
    bundle.assert_clean();
}

#[test]
fn pause_and_resume_say_what_the_container_is_instead() {
    let bundle = running("sleep 1000");
    verb(&bundle, "resume").refused(&["container not paused"]);
    verb(&bundle, "pause").ok();
    verb(&bundle, "pause").refused(&["container not running: it is paused"]);
    bundle
        .delete()
        .refused(&["container is not stopped: paused"]);
    verb(&bundle, "resume").ok();
    bundle.kill("KILL").ok();
    bundle.becomes("stopped");
    verb(&bundle, "pause").refused(&["container not running"]);
    verb(&bundle, "resume").refused(&["container not paused"]);
    bundle.delete().ok();
    verb(&bundle, "pause").refused(&["container does not exist"]);
}

#[test]
fn created_container_can_be_paused_and_starts_after_resume() {
    let bundle = Bundle::new().shell("sleep 1000");
    bundle.create().ok();
    verb(&bundle, "pause").ok();
    assert_eq!(bundle.status(), "paused");
    bundle
        .start()
        .refused(&["its status is paused, it must be created"]);
    verb(&bundle, "resume").ok();
    assert_eq!(bundle.status(), "created");
    bundle.start().ok();
    bundle.delete_by_force().ok();
}

#[test]
fn paused_container_is_killed_and_deleted_like_any_other() {
    let bundle = running("sleep 1000");
    verb(&bundle, "pause").ok();
    bundle.kill("KILL").ok();
    bundle.becomes("stopped");
    bundle.delete().ok();
    bundle.assert_clean();

    let bundle = running("sleep 1000 & wait");
    verb(&bundle, "pause").ok();
    bundle
        .call(&["kill", "--all", bundle.id(), "9"])
        .output()
        .ok();
    bundle.becomes("stopped");
    bundle.delete().ok();
    bundle.assert_clean();

    let bundle = running("sleep 1000 & wait");
    verb(&bundle, "pause").ok();
    bundle.delete_by_force().ok();
    bundle.assert_clean();
}

/// The freezer's file of the cgroup above this one, v2's where there is one, and how to freeze and thaw by it.
fn freezer_above(name: &str) -> (PathBuf, &'static str, &'static str) {
    let groups = cgroups_named(name);
    let of = |file: &str| {
        let mut above = groups
            .iter()
            .map(|group| group.parent().unwrap().join(file));
        above.find(|path| path.exists())
    };
    match of("cgroup.freeze") {
        Some(path) => (path, "1", "0"),
        None => (of("freezer.state").unwrap(), "FROZEN", "THAWED"),
    }
}

#[test]
fn container_that_is_frozen_from_above_is_paused_and_cannot_be_resumed() {
    let bundle = Bundle::new();
    let path = format!("/stockade-above-{}/{0}-inner", bundle.id());
    let bundle = start(bundle.set("/linux/cgroupsPath", path).shell("sleep 1000"));
    let (file, frozen, thawed) = freezer_above(&format!("{}-inner", bundle.id()));
    fs::write(&file, frozen).unwrap();
    eventually("it is frozen", || bundle.status() == "paused");
    if !is_foreign() {
        verb(&bundle, "resume").refused(&["a cgroup above the container's is frozen"]);
    }
    fs::write(&file, thawed).unwrap();
    eventually("it runs", || bundle.status() == "running");
    bundle.delete_by_force().ok();
    bundle.assert_clean();
}

#[test]
fn list_has_the_fields_of_runc_for_every_status() {
    let Some(runc) = installed("runc") else {
        skip("runc is not installed");
        return;
    };
    let lists = [Bundle::new(), Bundle::new().by(runc)].map(|bundle| {
        let bundle = bundle
            .set("/annotations", json!({"org.example.a": "b"}))
            .shell("sleep 1000");
        bundle.create().ok();
        let mut seen = Vec::new();
        let mut look = || {
            let list = bundle.call(&["list", "--format", "json"]).output().json();
            let mut one = list[0].clone();
            assert_eq!(list.as_array().unwrap().len(), 1);
            assert_eq!(one["id"], bundle.id());
            assert_eq!(one["bundle"], bundle.path().to_str().unwrap());
            assert_eq!(one["rootfs"], bundle.rootfs().to_str().unwrap());
            let pid = one["pid"].as_u64().unwrap() > 0;
            // The version is runc's own there.
            for key in ["ociVersion", "id", "bundle", "rootfs", "created", "pid"] {
                one[key] = Value::Null;
            }
            seen.push((one, pid));
        };
        look();
        bundle.start().ok();
        look();
        verb(&bundle, "pause").ok();
        look();
        verb(&bundle, "resume").ok();
        bundle.kill("KILL").ok();
        bundle.becomes("stopped");
        look();
        let quiet = bundle.call(&["list", "-q"]).output();
        assert_eq!(quiet.ok(), format!("{}\n", bundle.id()));
        let table = bundle.call(&["list"]).output();
        let head: Vec<String> = table.lines()[0]
            .split_whitespace()
            .map(str::to_owned)
            .collect();
        bundle.delete().ok();
        (seen, head)
    });
    assert_eq!(lists[0], lists[1]);
}

#[test]
fn checkpoint_and_restore_are_refused_in_words() {
    if is_foreign() {
        return;
    }
    let bundle = running("sleep 1000");
    let flags = [
        "--image-path",
        "x",
        "--tcp-established",
        "--file-locks",
        "--status-fd",
        "-1",
    ];
    let output = bundle
        .call(&["checkpoint"])
        .args(flags)
        .arg(bundle.id())
        .output();
    output.fails(1, &["checkpoint is not supported"]);
    let flags = [
        "--image-path",
        "x",
        "-d",
        "--pid-file",
        "y",
        "--bundle",
        "z",
        "--no-pivot",
    ];
    let output = bundle.call(&["restore"]).args(flags).arg("other").output();
    output.fails(1, &["restore is not supported"]);
    let help = bundle.bare_call().arg("--help").output();
    assert!(!help.ok().contains("checkpoint"));
    assert_eq!(bundle.status(), "running");
    bundle.delete_by_force().ok();
}

#[test]
fn container_without_a_cgroup_is_told_so_by_every_verb_that_needs_one() {
    if is_foreign() {
        return;
    }
    let ids = json!([{"containerID": 0, "hostID": 65534, "size": 1}]);
    let bundle = Bundle::new()
        .no_mount("/sys/fs/cgroup")
        .no_mount("/dev/pts")
        .set("/linux/namespaces/-", json!({"type": "user"}))
        .set("/linux/uidMappings", ids.clone())
        .set("/linux/gidMappings", ids)
        .remove("/linux/resources")
        .shell("sleep 1000");
    let state = bundle.outside("state");
    chown(&state, Some(65534), Some(65534)).unwrap();
    let as_user = |call: crate::harness::Call| call.user(65534, 65534).directory("/".as_ref());
    if as_user(bundle.bare_call().arg("--version")).spawn_fails() {
        skip("another user cannot execute the binary where it was built");
        return;
    }
    let created = as_user(bundle.launch("create", &[])).output();
    if created
        .stderr
        .contains("user namespaces may be switched off")
    {
        skip("users may not make user namespaces here");
        return;
    }
    created.ok();
    let id = bundle.id();
    for args in [
        &["ps", id][..],
        &["pause", id],
        &["events", "--stats", id],
        &["events", id],
        &["update", "--pids-limit", "5", id],
    ] {
        as_user(bundle.call(args))
            .output()
            .refused(&["the container has no cgroup"]);
    }
    as_user(bundle.call(&["delete", "--force", id]))
        .output()
        .ok();
    fs::remove_dir(&state).unwrap();
    bundle.assert_clean();
}

#[test]
fn interrupted_run_of_a_paused_container_can_still_be_killed() {
    let bundle = Bundle::new().shell("echo ready; sleep 1000");
    let run = bundle.launch("run", &[]).spawn();
    run.says("ready");
    verb(&bundle, "pause").ok();
    run.signal(Signal::TERM);
    bundle.kill("KILL").ok();
    run.wait().exits(137);
    bundle.assert_clean();
}
