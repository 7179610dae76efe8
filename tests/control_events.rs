//! `events`: the numbers of a container as runc tells them, and the end of memory.

use std::collections::BTreeSet;
use std::fs::File;

use serde_json::{Value, json};

use crate::control::{running, start};
use crate::harness::{Bundle, eventually, installed, is_foreign, skip};

pub(crate) fn stats(bundle: &Bundle) -> Value {
    let output = bundle.call(&["events", "--stats", bundle.id()]).output();
    assert_eq!(output.lines().len(), 1, "{output:?}");
    output.json()
}

/// Every key by its path; those of `raw` and of lists too.
fn keys(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    found.insert(path.to_owned());
    if let Value::Object(map) = value {
        map.iter()
            .for_each(|(key, value)| keys(value, &format!("{path}/{key}"), found));
    }
}

#[test]
fn stats_have_the_keys_and_the_size_of_runc() {
    let Some(runc) = installed("runc") else {
        skip("runc is not installed");
        return;
    };
    let limits = json!({"memory": {"limit": 64 << 20}, "pids": {"limit": 32}, "cpu": {"quota": 50_000, "period": 100_000}});
    let script = "dd if=/dev/zero of=/tmp/x bs=1M count=8 2>/dev/null; cat /tmp/x > /dev/null; i=0; \
        while [ $i -lt 30000 ]; do i=$((i+1)); done; echo > /done; sleep 1000";
    let seen = [Bundle::new(), Bundle::new().by(runc)].map(|bundle| {
        let bundle = start(bundle.set("/linux/resources", limits.clone()).shell(script));
        eventually("it has worked", || bundle.rootfs().join("done").exists());
        let mut event = stats(&bundle);
        bundle.delete_by_force().ok();
        assert_eq!(event["type"], "stats");
        assert_eq!(event["id"], bundle.id());
        let data = event["data"].take();
        let mut found = BTreeSet::new();
        keys(&data, "", &mut found);
        // What is 0 is left out, and what is not depends on the moment; runc 1.1 tells no pressure and no peak of v2.
        let momentary = [
            "/memory/kernelTCP/",
            "/memory/cache",
            "/memory/usage/max",
            "/memory/swap/max",
            "/memory/psi",
            "/cpu/throttling/",
            "/cpu/usage/percpu",
            "/cpu/psi",
            "/blkio/",
            // On a hybrid host v2 has huge pages, where runc does not look, and others may have switched them on.
            "/hugetlb/",
        ];
        found.retain(|key| !momentary.iter().any(|start| key.starts_with(start)));
        (found, data)
    });
    assert_eq!(seen[0].0, seen[1].0);
    let [ours, theirs] = seen.map(|(_, data)| data);
    for exact in [
        "/memory/usage/limit",
        "/pids/current",
        "/pids/limit",
        "/cpuset",
        "/network_interfaces",
    ] {
        assert_eq!(ours.pointer(exact), theirs.pointer(exact), "{exact}");
    }
    // A factor of 1000 would be a wrong unit.
    for near in ["/cpu/usage/total", "/cpu/usage/user", "/memory/usage/usage"] {
        let number = |data: &Value| data.pointer(near).and_then(Value::as_f64).unwrap_or(0.0);
        let (a, b) = (number(&ours).max(1.0), number(&theirs).max(1.0));
        assert!((0.1..10.0).contains(&(a / b)), "{near}: {a} and {b}");
    }
}

#[test]
fn events_tell_at_every_interval_and_end_with_the_container() {
    let bundle = running("sleep 1000");
    let events = bundle
        .call(&["events", "--interval", "50ms", bundle.id()])
        .spawn();
    eventually("three lines", || events.stdout().lines().count() >= 3);
    bundle.kill("KILL").ok();
    bundle.becomes("stopped");
    if !is_foreign() {
        for line in events.wait().lines() {
            let event: Value = serde_json::from_str(line).unwrap();
            assert_eq!(event["type"], "stats");
        }
        let late = bundle.call(&["events", bundle.id()]).output();
        late.refused(&["container not running"]);
        let none = bundle
            .call(&["events", "--interval=0s", bundle.id()])
            .output();
        assert!(none.stderr.contains("a time is a number above 0"));
    }
    bundle.delete().ok();
}

#[test]
fn events_end_quietly_when_nobody_reads_any_more() {
    let bundle = running("sleep 1000");
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let events = std::process::Command::new(crate::harness::runtime())
        .arg("--root")
        .arg(bundle.state_dir())
        .args(["events", "--interval", "1h", bundle.id()])
        .stdout(File::from(writer))
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(reader);
    if is_foreign() {
        // runc notices with the next line only.
        rustix::process::kill_process(
            rustix::process::Pid::from_child(&events),
            rustix::process::Signal::KILL,
        )
        .unwrap();
    }
    assert!(crate::harness::ends(events.id()));
    let output = events.wait_with_output().unwrap();
    if !is_foreign() {
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{output:?}"
        );
    }
    bundle.delete_by_force().ok();
}

/// Fills memory until it is killed, in a process of its own or as the container's own process.
const HOG: &str = "dd if=/dev/zero of=/dev/null bs=64M count=1 2>/dev/null";

fn small(bundle: Bundle) -> Bundle {
    bundle.set(
        "/linux/resources/memory",
        json!({"limit": 16 << 20, "swap": 16 << 20}),
    )
}

#[test]
fn memory_hog_is_killed_and_events_say_so() {
    let bundle = start(small(Bundle::new()).shell(&format!(
        "while [ ! -e /go ]; do sleep 0.02; done; {HOG}; sleep 1000"
    )));
    let events = bundle
        .call(&["events", "--interval", "20ms", bundle.id()])
        .spawn();
    // It watches by then.
    events.says("stats");
    std::fs::write(bundle.rootfs().join("go"), "").unwrap();
    events.says(&format!(
        "{{\"type\":\"oom\",\"id\":\"{}\"}}\n",
        bundle.id()
    ));
    assert_eq!(bundle.status(), "running");
    bundle.delete_by_force().ok();
    if is_foreign() {
        return;
    }
    events.wait().ok();
}

#[test]
fn foreground_run_says_that_the_memory_limit_has_killed_it() {
    if is_foreign() {
        return;
    }
    let bundle = small(Bundle::new()).shell(&format!("exec {HOG}"));
    let output = bundle.run();
    assert_eq!(output.code, 137);
    assert_eq!(
        output.stderr,
        "warning: the memory limit (16 MiB) was reached: killed by the kernel\n"
    );
    let bundle = Bundle::new().shell("exit 137");
    let output = bundle.run();
    assert_eq!((output.code, output.stderr.as_str()), (137, ""));
}
