//! One row for each rule: what is set in a good config, and the whole error.

mod linux;
mod mounts;
mod process;
mod resources;

use serde_json::{Value, json};

use crate::error::Error;
use crate::spec::{Config, check_runnable, parse};

/// A config in which every rule can be broken by setting fields.
fn good() -> Value {
    json!({
        "ociVersion": "1.3.0",
        "process": {"cwd": "/", "args": ["sh"], "user": {"uid": 0, "gid": 0}},
        "root": {"path": "rootfs"},
        "mounts": [{"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"}],
        "hooks": {},
        "linux": {
            "namespaces": [
                {"type": "mount"}, {"type": "pid"}, {"type": "uts"}, {"type": "ipc"},
                {"type": "network"}, {"type": "user"}, {"type": "time"}
            ],
            "uidMappings": [{"containerID": 0, "hostID": 1000, "size": 10}],
            "gidMappings": [{"containerID": 0, "hostID": 1000, "size": 10}],
            "resources": {"memory": {}, "cpu": {}, "pids": {}, "blockIO": {}, "network": {}}
        }
    })
}

/// Sets the value at a JSON pointer.
fn set(document: &mut Value, pointer: &str, value: Value) {
    let (object, key) = pointer.rsplit_once('/').unwrap();
    let object = document.pointer_mut(object).expect(pointer);
    match object {
        Value::Array(array) => array[key.parse::<usize>().unwrap()] = value,
        _ => object[key] = value,
    }
}

fn with(changes: &[(&str, Value)]) -> Result<(Config, Vec<String>), Error> {
    let mut document = good();
    for (pointer, value) in changes {
        set(&mut document, pointer, value.clone());
    }
    parse(document.to_string().as_bytes(), "f")
}

/// Each row: pointer, value, and the error without the name of the file.
fn refused(rows: Vec<(&str, Value, &str)>) {
    for (pointer, value, error) in rows {
        let got = with(&[(pointer, value.clone())]).map(|_| ());
        let got = got.expect_err(&format!("{pointer} = {value}")).to_string();
        assert_eq!(got, format!("\"f\": {error}"), "{pointer} = {value}");
    }
}

fn accepted(rows: Vec<(&str, Value)>) {
    for (pointer, value) in rows {
        let (_, warnings) = with(&[(pointer, value.clone())]).expect(pointer);
        assert_eq!(warnings, Vec::<String>::new(), "{pointer} = {value}");
    }
}

#[test]
fn good_config_is_accepted_and_runnable() {
    let (config, warnings) = with(&[]).unwrap();
    assert_eq!(warnings, Vec::<String>::new());
    check_runnable(&config, "f").unwrap();
}

#[test]
fn version_must_be_one_and_newer_minors_are_warned_about() {
    for version in [
        "", "1", "1.0", "v1.0.0", "1.0.x", "1.0.00", "1.0.0-", "1.0.0+ü",
    ] {
        let error = with(&[("/ociVersion", json!(version))]).unwrap_err();
        let expected = format!("\"f\": ociVersion: \"{version}\" is not a version such as 1.3.0");
        assert_eq!(error.to_string(), expected);
    }
    accepted(vec![
        ("/ociVersion", json!("1.0.2-dev")),
        ("/ociVersion", json!("1.2.1-rc.1+dev")),
        ("/ociVersion", json!("9.9.9")),
    ]);
    assert_eq!(
        with(&[("/ociVersion", json!("1.4.0"))]).unwrap().1,
        ["\"f\": ociVersion: 1.4.0 is newer than 1.3, fields it adds are ignored"]
    );
}

#[test]
fn running_needs_version_1_process_root_linux_and_a_mount_namespace() {
    let error_of = |change: &dyn Fn(&mut Config)| {
        let (mut config, _) = with(&[]).unwrap();
        change(&mut config);
        check_runnable(&config, "f").unwrap_err().to_string()
    };
    assert_eq!(
        error_of(&|c| c.oci_version = "9.9.9".to_owned()),
        "\"f\": ociVersion: \"9.9.9\" is not a 1.x version"
    );
    assert_eq!(
        error_of(&|c| c.process = None),
        "\"f\": process: is missing"
    );
    assert_eq!(error_of(&|c| c.root = None), "\"f\": root: is missing");
    assert_eq!(error_of(&|c| c.linux = None), "\"f\": linux: is missing");
    assert_eq!(
        error_of(&|c| c.linux.as_mut().unwrap().namespaces.clear()),
        "\"f\": linux.namespaces: has no \"mount\", without which the container would change the host's mounts"
    );
}

#[test]
fn host_names_need_a_uts_namespace() {
    for field in ["hostname", "domainname"] {
        let pointer = format!("/{field}");
        let joined = ("/linux/namespaces/2", json!({"type": "cgroup"}));
        let error = with(&[joined, (&pointer, json!("h"))]).unwrap_err();
        let cause = "needs a \"uts\" namespace in linux.namespaces";
        assert_eq!(error.to_string(), format!("\"f\": {field}: {cause}"));
        let long = "h".repeat(65);
        let error = format!("{field}: \"{long}\" is longer than 64 bytes");
        refused(vec![(&pointer, json!(long), &error)]);
        accepted(vec![(&pointer, json!("h".repeat(64)))]);
    }
}

#[test]
#[rustfmt::skip]
fn hook_rules_name_kind_and_index() {
    for kind in [
        "prestart",
        "createRuntime",
        "createContainer",
        "startContainer",
        "poststart",
        "poststop",
    ] {
        let rows = [
            (json!({"path": "bin/x"}), "path: \"bin/x\" is not an absolute path"),
            (json!({"path": "/x", "timeout": 0}), "timeout: 0 is not above 0"),
            (json!({"path": "/x", "timeout": -1}), "timeout: -1 is not above 0"),
            (json!({"path": "/x", "env": ["X"]}), "env[0]: \"X\" is not NAME=VALUE"),
        ];
        for (hook, error) in rows {
            let pointer = format!("/hooks/{kind}");
            let error = format!("hooks.{kind}[1].{error}");
            refused(vec![(&pointer, json!([{"path": "/ok"}, hook]), &error)]);
        }
    }
}
