//! `state` and `events --stats` have the same members on every kind of host: tests/golden/shape.txt lists them with their
//! types. `scripts/vm` has hosts of the other kinds. Not here: what the numbers are (`control_events`).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::control_events::stats;
use crate::harness::{Bundle, eventually, is_foreign};

/// `COMMAND POINTER TYPE` of every member; an element of a list is `-`, and any name that the kernel chose is `*`.
type Shape = BTreeSet<String>;

/// Members whose names come from the kernel: pages of huge sizes, and the lines of `memory.stat`.
const OF_THE_KERNEL: [&str; 2] = ["/data/hugetlb", "/data/memory/raw"];

fn shape(command: &str, value: &Value, path: &str, found: &mut Shape) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    found.insert(format!("{command} {path} {kind}"));
    if let Value::Array(elements) = value {
        for element in elements {
            shape(command, element, &format!("{path}/-"), found);
        }
    }
    for (name, member) in value.as_object().into_iter().flatten() {
        let name = if OF_THE_KERNEL.contains(&path) {
            "*".to_owned()
        } else {
            name.replace('~', "~0").replace('/', "~1")
        };
        shape(command, member, &format!("{path}/{name}"), found);
    }
}

/// On which hosts a member is there.
struct Expected {
    hosts: String,
    /// A number that is 0 is left out, as runc leaves it out.
    may_be_zero: bool,
}

/// `COMMAND POINTER TYPE all|v1|v2 [zero]` a line.
fn golden() -> BTreeMap<String, Expected> {
    let text = include_str!("golden/shape.txt");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let line = |line: &str| {
        let words: Vec<_> = line.split(' ').collect();
        let expected = Expected {
            hosts: words[3].to_owned(),
            may_be_zero: words.get(4) == Some(&"zero"),
        };
        (words[..3].join(" "), expected)
    };
    lines.map(line).collect()
}

/// What a container's commands tell that is made with these flags.
fn told(flags: &[&str]) -> Shape {
    let limits = json!({"memory": {"limit": 64 << 20}, "pids": {"limit": 32}, "cpu": {"quota": 50_000, "period": 100_000}});
    let work = "dd if=/dev/zero of=/x bs=1M count=4 2>/dev/null; i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done; echo >/done";
    let bundle = Bundle::new()
        .set("/linux/resources", limits)
        .set("/annotations", json!({"org.example.a": "b"}))
        .shell(&format!("{work}; exec sleep 1000"));
    bundle.write();
    let path = bundle.path();
    let create = ["create", "--bundle", path.to_str().unwrap(), bundle.id()];
    bundle.call(flags).args(create).output().ok();
    bundle.start().ok();
    eventually("it has worked", || bundle.rootfs().join("done").exists());
    let mut found = Shape::new();
    let state = bundle.call(&["state", bundle.id()]).output().json();
    shape("state", &state, "", &mut found);
    shape("events", &stats(&bundle), "", &mut found);
    bundle.delete_by_force().ok();
    found
}

#[test]
fn state_and_stats_have_the_members_of_every_other_kind_of_host() {
    if is_foreign() {
        return;
    }
    let is_v2 = fs::exists("/sys/fs/cgroup/cgroup.controllers").unwrap();
    let here = if is_v2 { "v2" } else { "v1" };
    let golden = golden();
    let golden_here = |line: &&String| ["all", here].contains(&golden[*line].hosts.as_str());
    let mut ways: Vec<&[&str]> = vec![&[]];
    if is_v2 && Path::new("/run/systemd/system").is_dir() {
        ways.push(&["--systemd-cgroup"]);
    }
    for way in ways {
        let found = told(way);
        let must = golden.keys().filter(|line| !golden[*line].may_be_zero);
        let missing: Vec<_> = must
            .filter(golden_here)
            .filter(|line| !found.contains(*line))
            .collect();
        let is_known = |line: &&String| golden.contains_key(*line) && golden_here(line);
        let unknown: Vec<_> = found.iter().filter(|line| !is_known(line)).collect();
        assert!(
            missing.is_empty() && unknown.is_empty(),
            "on {here} with {way:?}: missing {missing:#?}, unknown {unknown:#?}"
        );
    }
}
