//! `stockade profile convert` with formats of other programs: what comes back is looser only where it was said, and the
//! other programs take what is written.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use stockade::profile::{Profile, compare};

use crate::harness::{Call, Output, runtime, skip};

fn convert(directory: &Path, arguments: &[&str]) -> Output {
    fs::write(directory.join("config.toml"), "").unwrap();
    Call::new(runtime(), directory)
        .directory(directory)
        .args(["--config", "config.toml", "profile", "convert"])
        .args(arguments)
        .output()
}

/// The result, and the fields of what was said to be looser.
fn with_losses(directory: &Path, arguments: &[&str]) -> (String, Vec<String>) {
    let arguments = [arguments, &["--format", "json"]].concat();
    let document = convert(directory, &arguments).json();
    let losses = document["notCarriedOver"].as_array().unwrap();
    let fields = losses
        .iter()
        .filter(|loss| loss["direction"] != "stricter")
        .map(|loss| loss["field"].as_str().unwrap().to_owned());
    let fields = fields.collect();
    (document["result"].as_str().unwrap().to_owned(), fields)
}

#[test]
fn what_comes_back_is_looser_only_where_it_was_said() {
    for name in ["baseline", "restricted", "paranoid"] {
        for format in ["docker", "kubernetes", "systemd"] {
            let directory = tempfile::tempdir().unwrap();
            let directory = directory.path();
            let filter: &[&str] = if format == "systemd" {
                &[]
            } else {
                &["--seccomp", "filter.json"]
            };
            let there = [&["--to", format], filter, &[name]].concat();
            let (text, said) = with_losses(directory, &there);
            fs::write(directory.join("there"), text).unwrap();
            let back = match format {
                "kubernetes" => [&["--from", format], filter, &["there"]].concat(),
                _ => vec!["--from", format, "there"],
            };
            let (text, said_back) = with_losses(directory, &back);
            fs::write(directory.join("back.toml"), text).unwrap();
            let path = directory.join("back.toml");
            let back = Profile::load(path.to_str().unwrap()).unwrap();
            let changes = compare(&Profile::builtin(name).unwrap(), &back).unwrap();
            let unsaid = changes.iter().filter(|change| {
                let is_of = |field: &String| change.field.starts_with(field.as_str());
                change.permits_more && !said.iter().any(is_of)
            });
            let unsaid: Vec<String> = unsaid.map(ToString::to_string).collect();
            assert!(
                unsaid.is_empty(),
                "{name} {format}: {unsaid:#?}\n{said:#?} {said_back:#?}"
            );
        }
    }
}

#[test]
fn strict_writes_nothing_where_anything_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let arguments = ["--to", "docker", "--strict", "-o", "out", "restricted"];
    let output = convert(directory, &arguments);
    assert_eq!(output.code, 1);
    let line = "warning: not carried over: mounts.bind: looser: each --volume has its own options";
    assert!(
        output.stderr.lines().any(|said| said == line),
        "{output:#?}"
    );
    assert!(!directory.join("out").exists());
    fs::write(
        directory.join("own.toml"),
        "name = \"own\"\ndescription = \"\"\nroot.readonly = true\n",
    )
    .unwrap();
    let arguments = ["--to", "docker", "--strict", "own.toml"];
    assert_eq!(convert(directory, &arguments).ok(), "--read-only\n");
}

#[test]
fn flags_are_taken_from_a_file_from_standard_input_and_from_the_command_line() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    fs::write(directory.join("flags"), "--read-only\n--cap-drop ALL\n").unwrap();
    let file = convert(directory, &["--from", "docker", "flags"]);
    let line = convert(
        directory,
        &["--from", "docker", "--", "--read-only", "--cap-drop", "ALL"],
    );
    assert_eq!(file.ok(), line.ok());
    assert!(
        line.ok().contains("\n[capabilities]\nallow = []\n"),
        "{line:#?}"
    );
}

fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output();
    found.is_ok_and(|output| output.status.success())
}

/// The client reads all flags before it asks for the daemon.
#[test]
fn docker_takes_the_flags() {
    if !has("docker") {
        return skip("docker is not there");
    }
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    for name in ["baseline", "restricted", "paranoid"] {
        let arguments = ["--to", "docker", "--seccomp", "filter.json", name];
        let flags = convert(directory, &arguments).ok().trim().to_owned();
        let line = format!("docker -H unix:///nonexistent/socket create {flags} image");
        let output = Command::new("sh")
            .args(["-c", &line])
            .current_dir(directory)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            said.contains("Cannot connect to the Docker daemon"),
            "{said}"
        );
    }
}

/// Names of system calls that are newer than systemd's library are passed over there.
#[test]
fn systemd_takes_the_unit() {
    if !has("systemd-analyze") {
        return skip("systemd-analyze is not there");
    }
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    for name in ["baseline", "restricted", "paranoid"] {
        let unit = convert(directory, &["--to", "systemd", name])
            .ok()
            .to_owned();
        let file = directory.join(format!("{name}.service"));
        fs::write(&file, format!("{unit}ExecStart=/bin/true\n")).unwrap();
        let output = Command::new("systemd-analyze")
            .arg("verify")
            .arg(&file)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let path = file.to_str().unwrap();
        let wrong = said.lines().filter(|line| {
            line.starts_with(path) && !line.contains("Failed to parse system call, ignoring")
        });
        assert_eq!(wrong.collect::<Vec<_>>(), Vec::<&str>::new());
    }
}

/// Every member that is written, where the API reference (v1.33, PodSpec and Container) has it, and its type.
const MEMBERS: [(&str, &str); 21] = [
    ("/apiVersion", "string"),
    ("/kind", "string"),
    ("/metadata/name", "string"),
    ("/spec/hostIPC", "boolean"),
    ("/spec/hostNetwork", "boolean"),
    ("/spec/hostPID", "boolean"),
    ("/spec/securityContext/runAsNonRoot", "boolean"),
    ("/spec/securityContext/runAsUser", "number"),
    (
        "/spec/securityContext/seccompProfile/localhostProfile",
        "string",
    ),
    ("/spec/securityContext/seccompProfile/type", "string"),
    ("/spec/securityContext/supplementalGroups", "array"),
    ("/spec/securityContext/supplementalGroupsPolicy", "string"),
    ("/spec/containers/0/image", "string"),
    ("/spec/containers/0/name", "string"),
    ("/spec/containers/0/resources/limits/cpu", "string"),
    ("/spec/containers/0/resources/limits/memory", "string"),
    (
        "/spec/containers/0/securityContext/allowPrivilegeEscalation",
        "boolean",
    ),
    ("/spec/containers/0/securityContext/capabilities", "object"),
    ("/spec/containers/0/securityContext/privileged", "boolean"),
    ("/spec/containers/0/securityContext/procMount", "string"),
    (
        "/spec/containers/0/securityContext/readOnlyRootFilesystem",
        "boolean",
    ),
];

#[test]
fn the_pod_is_yaml_with_members_of_the_api() {
    let script = "import json, sys, yaml; print(json.dumps(yaml.safe_load(sys.stdin)))";
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let arguments = [
        "--to",
        "kubernetes",
        "--seccomp",
        "filter.json",
        "-o",
        "pod.yaml",
        "restricted",
    ];
    convert(directory, &arguments).ok();
    let output = Command::new("python3")
        .args(["-c", script])
        .stdin(fs::File::open(directory.join("pod.yaml")).unwrap())
        .output();
    let Ok(output) = output.as_ref().map(|output| &output.stdout) else {
        return skip("python3 is not there");
    };
    let Ok(pod) = serde_json::from_slice::<Value>(output) else {
        return skip("python3 has no yaml");
    };
    let mut members = Vec::new();
    walk("", &pod, &mut members);
    members.sort_unstable();
    let mut expected = MEMBERS.map(|(path, kind)| (path.to_owned(), kind)).to_vec();
    expected.sort_unstable();
    assert_eq!(members, expected);
}

fn walk(path: &str, value: &Value, members: &mut Vec<(String, &'static str)>) {
    let kind = match value {
        Value::Object(inner) if !path.ends_with("capabilities") => {
            for (key, value) in inner {
                walk(&format!("{path}/{key}"), value, members);
            }
            return;
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for (at, value) in items.iter().enumerate() {
                walk(&format!("{path}/{at}"), value, members);
            }
            return;
        }
        Value::Object(_) => "object",
        Value::Array(_) => "array",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Null => "null",
    };
    members.push((path.to_owned(), kind));
}
