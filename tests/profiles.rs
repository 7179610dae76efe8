//! The built-in profiles: their filters, and their files. What a user learns of a profile: what it changed, in the log and
//! in the annotations, and what to do about a refusal.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::{Value, json};
use stockade::profile::{Facts, Profile, tighten};
use stockade::seccomp::{self, Warning};
use stockade::spec::hardened_default;

use crate::harness::{Bundle, Output, Pty, is_foreign, runtime};

#[test]
fn every_filter_of_a_profile_compiles_without_a_warning() {
    for name in Profile::names() {
        let profile = Profile::builtin(name).unwrap();
        let tightened =
            tighten(&hardened_default(None), &profile, &Facts::read().unwrap()).unwrap();
        if let Some(filter) = tightened.filter {
            assert_eq!(
                seccomp::compile(&filter).unwrap().warnings,
                Vec::<Warning>::new(),
                "{name}"
            );
        }
    }
}

#[test]
fn profiles_in_the_tree_are_those_in_the_binary() {
    for name in Profile::names() {
        let path = format!("{}/profiles/{name}.toml", env!("CARGO_MANIFEST_DIR"));
        assert_eq!(
            fs::read_to_string(path).unwrap(),
            Profile::builtin_text(name).unwrap()
        );
    }
}

const TIGHTENED: &str = "org.stockade.tightened";

/// A container that `baseline` has something to change in.
fn loose() -> Bundle {
    Bundle::new()
        .profile(Some("baseline"))
        .args(&["sleep", "1000"])
        .set("/process/noNewPrivileges", false)
}

/// One that `restricted` lets pass, which is called by this name.
fn called(name: &str) -> Bundle {
    let bundle = Bundle::new()
        .no_mount("/sys")
        .no_mount("/sys/fs/cgroup")
        .set("/process/user", json!({"uid": 1000, "gid": 1000}));
    let link = bundle.temp().join(name);
    symlink(runtime(), &link).unwrap();
    bundle.by(link)
}

#[test]
fn state_and_list_say_the_profile_and_what_it_changed_whatever_the_config_claims() {
    if is_foreign() {
        return;
    }
    let lies =
        json!({"org.example": "kept", TIGHTENED: "[]", "org.stockade.tightened.omitted": "9"});
    let bundle = loose().set("/annotations", lies);
    bundle.create().ok();
    let annotations = bundle.state().json()["annotations"].clone();
    let list = bundle.call(&["list", "--format", "json"]).output().json();
    assert_eq!(list[0]["annotations"], annotations);
    let names: Vec<&String> = annotations.as_object().unwrap().keys().collect();
    assert_eq!(names, ["org.example", "org.stockade.profile", TIGHTENED]);
    assert_eq!(annotations["org.stockade.profile"], "baseline");
    let told: Value = serde_json::from_str(annotations[TIGHTENED].as_str().unwrap()).unwrap();
    let told = told.as_array().unwrap();
    for expected in [
        json!({"pointer": "/process/noNewPrivileges", "rule": "process.no-new-privileges", "before": false, "after": true}),
        json!({"pointer": "/process/capabilities/bounding", "rule": "capabilities.allow", "removed": ["CAP_AUDIT_WRITE"]}),
        json!({"pointer": "/linux/resources/pids/limit", "rule": "limits.pids", "after": 1024}),
    ] {
        assert!(told.contains(&expected), "no {expected} in {told:#?}");
    }
    bundle.delete_by_force().ok();
}

#[test]
fn every_verb_that_plans_a_container_tells_each_warning_of_the_profile_once() {
    if is_foreign() {
        return;
    }
    let bundle = Bundle::new()
        .set("/process/user", json!({"uid": 0, "gid": 0}))
        .args(&["true"]);
    let profile = bundle.temp().join("warns.toml");
    // Of the second only hosts without the memory controller of cgroup v2 warn.
    let text = "name = \"warns\"\ndescription = \"\"\nidentity.non-root = \"warn\"\nlimits.oom-group = true\n";
    fs::write(&profile, text).unwrap();
    let bundle = bundle.profile(profile.to_str());
    let told = |output: &Output| {
        let is_profiles = |line: &&str| line.contains("profile \"warns\" ");
        let lines = output.stderr.lines().filter(is_profiles);
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let launch = bundle.call(&["launch", "--user", "0"]).arg(bundle.rootfs());
    let plan = bundle.call(&["plan"]).arg(bundle.path());
    let of_run = bundle.launch("run", &[]).output();
    let root = "warning: process.user.uid: profile \"warns\" advises against 0 (identity.non-root)";
    let expected = told(&of_run);
    assert_eq!(expected[0], root);
    let oom_group =
        "warning: limits.oom-group of profile \"warns\" needs cgroup v2 for memory: it is left out";
    assert!(expected[1..].iter().all(|line| line == oom_group) && expected.len() <= 2);
    for output in [
        bundle.create(),
        launch.args(["--", "true"]).output(),
        plan.output(),
    ] {
        output.ok();
        assert_eq!(told(&output), expected, "{output:?}");
    }
    bundle.delete_by_force().ok();
    bundle.assert_clean();
}

#[test]
fn the_log_has_a_record_with_fields_for_each_change_and_the_terminal_has_none() {
    if is_foreign() {
        return;
    }
    let bundle = loose();
    let log = bundle.temp().join("log");
    let flags = ["--log", log.to_str().unwrap(), "--log-format", "json"];
    let output = bundle.launch("create", &flags).output();
    output.ok();
    assert_eq!(output.stderr, "");
    let text = fs::read_to_string(&log).unwrap();
    let records: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|record: &Value| record["level"] == "info")
        .collect();
    let plan = bundle
        .call(&["plan", "--format", "json"])
        .arg(bundle.path());
    let plan = plan.output().json();
    let made = |of: &[Value]| -> Vec<[Value; 3]> {
        let parts = |one: &Value| ["pointer", "rule", "profile"].map(|name| one[name].clone());
        of.iter().map(parts).collect()
    };
    assert_eq!(made(&records), made(plan["changes"].as_array().unwrap()));
    let record = records
        .iter()
        .find(|record| record["pointer"] == "/process/noNewPrivileges");
    let mut record = record.unwrap().clone();
    record.as_object_mut().unwrap().remove("time");
    let expected = json!({
        "level": "info",
        "msg": "process.noNewPrivileges: false -> true: process.no-new-privileges of profile \"baseline\"",
        "pointer": "/process/noNewPrivileges",
        "before": "false",
        "after": "true",
        "rule": "process.no-new-privileges",
        "profile": "baseline",
    });
    assert_eq!(record, expected);
    bundle.delete_by_force().ok();
}

#[test]
fn a_terminal_gets_one_line_about_all_changes_and_debug_each_of_them() {
    if is_foreign() {
        return;
    }
    let warnings = |flags: &[&str]| {
        let bundle = loose().args(&["true"]);
        let mut pty = Pty::new();
        let running = bundle.launch("run", flags).terminal(&pty.end).spawn();
        let said = pty.all_of(&running);
        running.wait().ok();
        said
    };
    let plain = warnings(&[]);
    let line = "warning: profile \"baseline\" has tightened the config (";
    assert_eq!(plain.matches(line).count(), 1, "{plain}");
    assert_eq!(plain.matches("noNewPrivileges").count(), 0, "{plain}");
    let debug = warnings(&["--debug"]);
    assert_eq!(debug.matches(line).count(), 0, "{debug}");
    let line = "info: process.noNewPrivileges: false -> true: process.no-new-privileges of profile";
    assert_eq!(debug.matches(line).count(), 1, "{debug}");
}

/// The last record of level error, which is what a client shows of a failure.
fn last_error(bundle: &Bundle) -> String {
    let log = bundle.temp().join("log");
    let flags = ["--log", log.to_str().unwrap(), "--log-format", "json"];
    let output = bundle.launch("create", &flags).output();
    assert_eq!(output.code, 1, "{output:#?}");
    let text = fs::read_to_string(&log).unwrap();
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(last["level"], "error");
    last["msg"].as_str().unwrap().to_owned()
}

#[test]
fn a_refusal_says_field_rule_profile_and_what_to_use_instead_in_the_line_that_clients_show() {
    if is_foreign() {
        return;
    }
    let baseline =
        r#"use the handler "stockade" or --profile baseline: profile "baseline" accepts this"#;
    let refused = |cause: &str| format!("{cause} is refused by profile \"restricted\"");
    let root = called("stockade-restricted").set("/process/user/uid", 0);
    let cause = refused("process.user.uid: 0");
    let expected = format!("{cause} (identity.non-root) ({baseline})");
    assert_eq!(last_error(&root), expected);

    let system = called("stockade-restricted").set("/process/user/uid", 33);
    let cause = refused("process.user.uid: 33");
    let expected = format!("{cause} (identity.minimum-uid) ({baseline})");
    assert_eq!(last_error(&system), expected);

    let half = called("stockade-restricted").mount("/x", "tmpfs", "x", &["size=50%"]);
    let at = half.config["mounts"].as_array().unwrap().len() - 1;
    let cause = refused(&format!("mounts[{at}].options: size \"50%\""));
    let how = "write size as a number, for bytes with k, m or g";
    let expected = format!("{cause} (mounts.tmpfs) ({how}; {baseline})");
    assert_eq!(last_error(&half), expected);

    let files = json!({"pids.max": "\u{1b}[2Jmany"});
    let many = called("stockade").set("/linux/resources/unified", files);
    let expected = concat!(
        r#"linux.resources.unified.pids.max: "\u001b[2Jmany" is refused by profile "baseline" (limits.pids) "#,
        r#"(the profile sets 1024 where nothing is asked for; "#,
        r#"use the handler "stockade-none" or --profile none: profile "none" accepts this)"#,
    );
    assert_eq!(last_error(&many), expected);
}

#[test]
fn what_a_refusal_recommends_is_accepted() {
    if is_foreign() {
        return;
    }
    let root = called("stockade-restricted").set("/process/user/uid", 0);
    root.create().refused(&["the handler \"stockade\""]);
    let root = called("stockade").set("/process/user/uid", 0);
    root.create().ok();
    root.delete_by_force().ok();
}

#[test]
fn a_refusal_after_a_flag_or_an_annotation_names_those() {
    if is_foreign() {
        return;
    }
    let by_flag = Bundle::new().profile(Some("restricted")).create();
    by_flag.refused(&["try: use --profile baseline, which accepts this\n"]);
    let annotated = called("stockade")
        .set("/process/user/uid", 0)
        .set("/annotations/org.stockade.profile", "restricted");
    annotated.create().refused(&[
        r#"try: leave out the annotation "org.stockade.profile": profile "baseline" accepts this"#,
    ]);
}

#[test]
fn a_refused_exec_says_that_the_profile_stays() {
    if is_foreign() {
        return;
    }
    let bundle = called("stockade-restricted").args(&["sleep", "1000"]);
    bundle.create().ok();
    bundle.start().ok();
    let exec = bundle.call(&["exec", "--user", "0", bundle.id(), "true"]);
    exec.output().fails(
        255,
        &[
            "process.user.uid: 0 is refused by profile \"restricted\" (identity.non-root)\n",
            "try: a container keeps the profile that it was created under; profile \"baseline\" accepts this\n",
        ],
    );
    bundle.delete_by_force().ok();
}
