//! What the property over random profiles has found, each as it was.

use serde_json::{Value, json};

use crate::profile::{Facts, parse, tighten};
use crate::spec;

/// The document with what the profile makes of it; `linux` and `mounts` are the config's.
fn tightened(profile: &str, linux: Value, mounts: &Value) -> Value {
    let text = format!("name = \"own\"\ndescription = \"\"\n{profile}");
    let profile = parse("own.toml", &text).unwrap();
    let mut document = json!({"ociVersion": "1.2.0", "process": {"user": {}, "cwd": "/", "args": ["a"]}, "root": {"path": "r"},
        "mounts": mounts});
    if !linux.is_null() {
        document["linux"] = linux;
    }
    let (config, _) = spec::parse(document.to_string().as_bytes(), "f").unwrap();
    let host = Facts {
        memory_total: 1 << 30,
        ..Facts::default()
    };
    serde_json::to_value(tighten(&config, &profile, &host).unwrap().config).unwrap()
}

fn resources(profile: &str, resources: &Value) -> Value {
    tightened(profile, json!({"resources": resources}), &json!([]))["linux"]["resources"].take()
}

#[test]
fn swap_beside_a_limit_of_memory_in_unified_is_limited() {
    let unified = json!({"unified": {"memory.max": "1000"}});
    let found = resources("limits.swap.default = 0", &unified);
    assert_eq!(
        found["unified"],
        json!({"memory.max": "1000", "memory.swap.max": "0"})
    );
    let both = json!({"memory": {"limit": 5, "swap": 7}, "unified": {"memory.max": "1000"}});
    let found = resources("limits.swap = { default = 0, maximum = 1 }", &both);
    assert_eq!(
        found["unified"],
        json!({"memory.max": "1000", "memory.swap.max": "1"})
    );
}

#[test]
fn memory_and_swap_limited_together_are_not_all_swap() {
    let found = resources(
        "limits.swap.maximum = 3",
        &json!({"memory": {"swap": 1000}}),
    );
    assert_eq!(found["memory"], json!({"limit": 1000, "swap": 1000}));
}

#[test]
fn cpu_time_above_the_maximum_by_less_than_a_percent_is_above_it() {
    let text = "name = \"own\"\ndescription = \"\"\nlimits.cpu-percent.maximum = 50";
    let profile = parse("own.toml", text).unwrap();
    let document = json!({"ociVersion": "1.2.0", "linux": {"resources": {"unified": {"cpu.max": "50999 100000"}}}});
    let (config, _) = spec::parse(document.to_string().as_bytes(), "f").unwrap();
    let error = tighten(&config, &profile, &Facts::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "linux.resources.unified.cpu.max: \"50999 100000\" is refused by profile \"own\" (limits.cpu-percent)"
    );
}

#[test]
fn all_that_the_host_has_is_no_more_than_the_maximum() {
    let found = resources(
        "limits.memory = { default = \"host\", maximum = 1000 }",
        &json!({}),
    );
    assert_eq!(found["memory"]["limit"], 1000);
}

#[test]
fn config_without_linux_gets_what_is_required() {
    let profile = "namespaces.require = [\"pid\"]\nlimits.pids.default = 4";
    let found = tightened(profile, Value::Null, &json!([]));
    assert_eq!(
        found["linux"],
        json!({"namespaces": [{"type": "pid"}], "resources": {"pids": {"limit": 4}}})
    );
    let found = tightened("", Value::Null, &json!([]));
    assert_eq!(found.get("linux"), None);
}

#[test]
fn option_of_the_tree_does_not_undo_one_of_the_mount() {
    let mounts =
        json!([{"destination": "/a", "type": "tmpfs", "options": ["rdev", "rsuid", "nosuid"]}]);
    let found = tightened(
        "mounts.tmpfs.add = [\"nodev\", \"nosuid\"]",
        Value::Null,
        &mounts,
    );
    assert_eq!(
        found["mounts"][0]["options"],
        json!(["rdev", "rsuid", "nosuid", "rnodev", "rnosuid"])
    );
}
