//! `stockade audit`: what is taken for what, exit codes, formats, waivers and the baseline, on real bundles; and that the page
//! of the documentation has every check as it is.
//! Not here: what each check finds, which is tested beside it.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use stockade::audit::table;

use crate::harness::{Bundle, Call, Output, runtime};

/// A directory with a bundle of `stockade spec`, in which one thing is wrong: the root filesystem is writable.
fn scene() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir_all(directory.path().join("bundle/rootfs")).unwrap();
    stockade(directory.path(), &["spec", "--bundle", "bundle"]).ok();
    edit(directory.path(), |config| {
        config["root"]["readonly"] = json!(false);
    });
    directory
}

fn edit(directory: &Path, change: impl FnOnce(&mut Value)) {
    let file = directory.join("bundle/config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    change(&mut config);
    fs::write(file, config.to_string()).unwrap();
}

fn stockade(directory: &Path, arguments: &[&str]) -> Output {
    let none = directory.join("config.toml");
    if !none.exists() {
        fs::write(&none, "").unwrap();
    }
    Call::new(runtime(), directory)
        .directory(directory)
        .args(["--config", "config.toml"])
        .args(arguments)
        .output()
}

fn audit(directory: &Path, arguments: &[&str]) -> Output {
    let mut all = vec!["audit"];
    all.extend(arguments);
    stockade(directory, &all)
}

#[test]
fn a_bundle_is_audited_as_written_and_as_a_profile_leaves_it() {
    let directory = scene();
    let written = audit(directory.path(), &["bundle", "--only", "CFG-006,CFG-011"]);
    let expected = "\
bundle \"bundle\"

Limited privileges
! FAIL   A filter lets through only system calls that programs need  bundle/config.json: /linux/seccomp: there is no filter: every system call of the kernel is within reach
         high (CFG-006): Let linux.seccomp deny by default and leave these calls out of its rules.
! FAIL   The root filesystem is read-only                            bundle/config.json: /root/readonly: is not true
         medium (CFG-011): Set root.readonly to true, and mount a tmpfs or a volume where the program writes.

Summary
  2 checks: 0 passed, 2 failed
";
    assert_eq!(written.exits(1), expected);
    let tightened = audit(
        directory.path(),
        &["bundle", "--profile", "restricted", "--skip", "CFG-014"],
    );
    let lines = tightened.lines();
    assert_eq!(
        lines[0],
        "bundle \"bundle\", as profile \"restricted\" leaves it"
    );
    // The root filesystem is empty, and answers nothing.
    let all = table::checks()
        .filter(|check| check.id.starts_with("CFG-"))
        .count()
        - 1;
    assert_eq!(
        *lines.last().unwrap(),
        format!("  {all} checks: {all} passed, 0 failed")
    );
}

#[test]
fn exit_codes_say_what_happened() {
    let directory = scene();
    let one = ["bundle", "--only", "CFG-011"];
    let code = |arguments: &[&str]| audit(directory.path(), arguments).code;
    let with = |flags: &[&'static str]| code(&[&one[..], flags].concat());
    assert_eq!(with(&[]), 1);
    assert_eq!(with(&["--fail-on", "low"]), 1);
    assert_eq!(with(&["--fail-on", "high"]), 0);
    assert_eq!(with(&["--fail-on", "critical"]), 0);
    assert_eq!(with(&["--fail-on", "never"]), 0);
    assert_eq!(code(&["bundle", "--only", "CFG-004"]), 0);
    // A wrong command line.
    for wrong in [
        &[][..],
        &["bundle", "--only", "CFG-999"],
        &["bundle", "--fail-on", "x"],
        &["bundle", "--container", "x"],
        &["bundle", "--name", "x"],
        &["bundle", "--platform", "linux/arm64"],
        &["bundle/rootfs", "--profile", "none"],
        &["--list", "--format", "tap"],
    ] {
        assert_eq!(code(wrong), 2, "{wrong:?}");
    }
}

#[test]
fn what_cannot_be_checked_is_an_error_of_its_own() {
    let directory = scene();
    let path = directory.path();
    audit(path, &["nothing"]).fails(
        3,
        &["open image \"nothing\": no such file or directory (ENOENT)"],
    );
    audit(
        path,
        &["bundle", "--only", "CFG-011", "--waivers", "none.toml"],
    )
    .fails(3, &["read \"none.toml\": no such file"]);
    audit(path, &["bundle", "--profile", "none.toml"]).fails(3, &["none.toml"]);
    fs::write(path.join("base.json"), "{}").unwrap();
    audit(path, &["bundle", "--baseline", "base.json"])
        .fails(3, &["\"base.json\": missing field `version`"]);
    audit(path, &["--container", "nothing", "--root", "state"])
        .fails(3, &["find container \"nothing\""]);
    audit(path, &["bundle/rootfs", "--only", "CFG-011"])
        .fails(3, &["audit root filesystem \"bundle/rootfs\": none of the checks that are wanted looks at it"]);
    // One check without an answer.
    edit(path, |config| {
        config["linux"]["namespaces"][0] = json!({"type": "pid", "path": "/nowhere"});
    });
    let unknown = audit(path, &["bundle", "--only", "CFG-008"]);
    assert!(
        unknown
            .exits(3)
            .contains("! ERROR  The namespaces are the container's own"),
        "{unknown:#?}"
    );
    assert_eq!(
        audit(path, &["bundle", "--only", "CFG-008,CFG-011"]).code,
        1
    );
}

#[test]
fn a_damaged_config_is_one_error_line() {
    let directory = scene();
    let file = directory.path().join("bundle/config.json");
    for (text, words) in [
        ("{", "EOF while parsing"),
        ("", "is empty"),
        ("[]", "expected"),
        ("{\"ociVersion\": \"1.0.0\"}", "process: is missing"),
        (
            "{\"ociVersion\": \"1.0.0\", \"process\": {\"args\": [\"a\"], \"cwd\": \"/\", \"user\": {\"uid\": 4294967295}}}",
            "process.user.uid",
        ),
    ] {
        fs::write(&file, text).unwrap();
        audit(directory.path(), &["bundle"]).fails(3, &[words]);
    }
}

/// Two checks with one waiver of a check, which says more by these lines.
fn waived(directory: &Path, id: &str, more: &str) -> Output {
    let text = format!("[[waiver]]\nid = \"{id}\"\nreason = \"it writes\"\n{more}\n");
    fs::write(directory.join("waivers.toml"), text).unwrap();
    audit(
        directory,
        &[
            "bundle",
            "--only",
            "CFG-004,CFG-011",
            "--waivers",
            "waivers.toml",
        ],
    )
}

#[test]
fn a_waiver_needs_a_reason_and_ends_on_its_day() {
    let directory = scene();
    let path = directory.path();
    let waived = |id, more| waived(path, id, more);
    let text = waived("CFG-011", "place = \"/root/*\"\nexpires = 9999-12-31")
        .ok()
        .to_owned();
    let line = text
        .lines()
        .find(|line| line.starts_with("  -      The root filesystem"));
    let told =
        "bundle/config.json: /root/readonly: is not true; waived until 9999-12-31: \"it writes\"";
    assert!(line.is_some_and(|line| line.ends_with(told)), "{text}");
    assert!(
        text.ends_with("  2 checks: 1 passed, 0 failed, 1 skipped\n"),
        "{text}"
    );
    // Another place, another thing, a day that is gone.
    let elsewhere = waived("CFG-011", "place = \"/mounts/*\"\nexpires = 9999-12-31");
    assert!(
        elsewhere
            .exits(1)
            .contains("  unused waivers: CFG-011 at \"/mounts/*\"\n"),
        "{elsewhere:#?}"
    );
    assert_eq!(
        waived("CFG-011", "about = \"x\"\nexpires = 9999-12-31").code,
        1
    );
    let expired = waived("CFG-011", "expires = 2026-01-01")
        .exits(1)
        .to_owned();
    for line in [
        "! FAIL   The root filesystem is read-only",
        "waivers.toml: CFG-011 expired on 2026-01-01: \"it writes\"\n",
        "medium (expired-waiver): Look at it again: mend it, or give a reason and a later day.\n",
    ] {
        assert!(expired.contains(line), "{line}: {expired}");
    }
    // What is not looked for is neither used nor unused.
    assert!(
        !waived("CFG-017", "expires = 9999-12-31")
            .exits(1)
            .contains("unused")
    );
    waived("CFG-011", "expires = \"soon\"").fails(
        3,
        &["waiver 1: expires: \"soon\" is no day such as 2027-03-31"],
    );
}

#[test]
fn with_a_baseline_only_new_findings_fail() {
    let directory = scene();
    let path = directory.path();
    edit(path, |config| {
        let mount = json!({"destination": "/data", "source": "rootfs", "options": ["bind", "nosuid", "nodev"]});
        config["mounts"].as_array_mut().unwrap().push(mount);
    });
    let checks = ["--only", "CFG-010,CFG-011"];
    let call = |flags: &[&'static str]| audit(path, &[&["bundle"][..], &checks, flags].concat());
    assert_eq!(call(&[]).code, 1);
    let written = call(&["--write-baseline", "base.json"]);
    assert!(
        written.ok().contains("is not true; in the baseline\n"),
        "{written:#?}"
    );
    let base: Value = serde_json::from_slice(&fs::read(path.join("base.json")).unwrap()).unwrap();
    let expected = json!({
        "version": 1,
        "findings": [
            {"id": "CFG-010", "place": "/mounts/*/options", "about": "/data", "severity": "medium"},
            {"id": "CFG-011", "place": "/root/readonly", "severity": "medium"},
        ],
    });
    assert_eq!(base, expected);
    assert_eq!(call(&["--baseline", "base.json"]).code, 0);
    // The same one in another place is known, another one in the same place is not.
    edit(path, |config| {
        let mounts = config["mounts"].as_array_mut().unwrap();
        let last = mounts.pop().unwrap();
        mounts.insert(0, last);
    });
    assert_eq!(call(&["--baseline", "base.json"]).code, 0);
    edit(path, |config| {
        config["mounts"][0]["destination"] = json!("/other");
    });
    let new = call(&["--baseline", "base.json"]);
    assert!(
        new.exits(1)
            .ends_with("2 checks: 0 passed, 1 failed, 1 skipped\n"),
        "{new:#?}"
    );
    // Nobody overwrites by accident what is compared with.
    assert_eq!(
        call(&["--baseline", "base.json", "--write-baseline", "base.json"]).code,
        2
    );
}

#[test]
fn formats_are_for_programs() {
    let directory = scene();
    let call = |format: &str| {
        audit(
            directory.path(),
            &["bundle", "--only", "CFG-004,CFG-011", "--format", format],
        )
    };
    let document: Value = serde_json::from_str(call("json").exits(1)).unwrap();
    assert_eq!(
        document["summary"],
        json!({"checks": 2, "passed": 1, "failed": 1, "skipped": 0, "errors": 0})
    );
    assert_eq!(
        document["checks"][1],
        json!({
            "id": "CFG-011",
            "group": "Limited privileges",
            "title": "The root filesystem is read-only",
            "severity": "medium",
            "outcome": "fail",
            "wanted": "",
            "got": "is not true",
            "where": {"file": "bundle/config.json", "pointer": "/root/readonly"},
            "help": "Set root.readonly to true, and mount a tmpfs or a volume where the program writes.",
            "practice": "Limited privileges",
            "closest": ["5.13", "no-read-only-root-fs"],
        })
    );
    let sarif: Value = serde_json::from_str(call("sarif").exits(1)).unwrap();
    let result = &sarif["runs"][0]["results"];
    assert_eq!(result.as_array().map(Vec::len), Some(1));
    assert_eq!(result[0]["ruleId"], "CFG-011");
    assert_eq!(
        result[0]["locations"],
        json!([{
            "physicalLocation": {"artifactLocation": {"uri": "bundle/config.json"}},
            "logicalLocations": [{"fullyQualifiedName": "/root/readonly"}],
        }])
    );
    let junit = call("junit");
    assert!(junit.exits(1).contains("<failure type=\"medium\" message=\"is not true\">bundle/config.json: /root/readonly: is not true. Set root.readonly"));
    let tap = call("tap");
    assert!(
        tap.exits(1)
            .starts_with("TAP version 14\n1..2\n# audit: bundle \\\"bundle\\\"\nok 1 - CFG-004: "),
        "{tap:#?}"
    );
    assert!(tap.stdout.contains("\nnot ok 2 - CFG-011: "), "{tap:#?}");
}

#[test]
fn a_critical_finding_is_one_everywhere() {
    let directory = scene();
    edit(directory.path(), |config| {
        let mount = json!({"destination": "/mnt", "source": "/etc", "options": ["rbind", "nosuid", "nodev", "noexec"]});
        config["mounts"].as_array_mut().unwrap().push(mount);
    });
    let call = |flags: &[&'static str]| {
        audit(
            directory.path(),
            &[&["bundle", "--only", "CFG-009"][..], flags].concat(),
        )
    };
    assert_eq!(call(&["--fail-on", "critical"]).code, 1);
    let sarif: Value = serde_json::from_str(call(&["--format", "sarif"]).exits(1)).unwrap();
    let rule = &sarif["runs"][0]["tool"]["driver"]["rules"][0];
    assert_eq!(rule["properties"]["security-severity"], "9.5");
    assert_eq!(rule["defaultConfiguration"]["level"], "error");
    assert!(call(&[]).exits(1).contains("critical (CFG-009): "));
}

#[test]
fn a_container_is_audited_by_what_is_applied() {
    let bundle = Bundle::new().shell("sleep 60").profile(Some("baseline"));
    bundle.create().ok();
    bundle.start().ok();
    let audited = bundle
        .bare_call()
        .arg("--root")
        .arg(bundle.state_dir())
        .args([
            "audit",
            "--only",
            "CFG-001,CFG-004,CFG-006",
            "--container",
            bundle.id(),
        ])
        .output();
    let text = audited.exits(1);
    let id = bundle.id();
    assert!(text.starts_with(&format!("container \"{id}\"\n")), "{text}");
    // Root, of a config that no longer can gain privileges, with the profile's filter.
    assert!(
        text.contains(&format!(
            "container {id}: /process/user/uid: the program is root of the host\n"
        )),
        "{text}"
    );
    assert!(text.ends_with("3 checks: 2 passed, 1 failed\n"), "{text}");
    bundle.delete_by_force().ok();
    bundle.assert_clean();
}

#[test]
fn the_checks_are_listed_and_explained() {
    let directory = tempfile::tempdir().unwrap();
    let listed = audit(directory.path(), &["--list"]);
    let ids: Vec<&str> = listed.lines()[1..].iter().map(|line| &line[..7]).collect();
    assert_eq!(
        ids,
        table::checks().map(|check| check.id).collect::<Vec<_>>()
    );
    let document = audit(directory.path(), &["--list", "--format", "json"]).json();
    assert_eq!(document.as_array().map(Vec::len), Some(ids.len()));
    let expected = "\
CFG-011: The root filesystem is read-only

What can be written can be replaced: a program that was taken over stays so, and tools can be brought along.

severity:  medium
practice:  Limited privileges
looks at:  config.json
closest:   5.13, no-read-only-root-fs
fix:       Set root.readonly to true, and mount a tmpfs or a volume where the program writes.
";
    assert_eq!(
        audit(directory.path(), &["--explain", "CFG-011"]).ok(),
        expected
    );
    assert_eq!(
        audit(directory.path(), &["--explain", "CFG-011", "bundle"]).code,
        2
    );
}

#[test]
fn the_page_has_every_check_as_it_is() {
    let mut rows = String::from(
        "| id | severity | what ought to be so | looks at | closest |\n|---|---|---|---|---|\n",
    );
    for check in table::checks() {
        let stages: Vec<&str> = check.stages.iter().map(|stage| stage.words()).collect();
        let (stages, closest) = (stages.join(", "), check.closest.join(", "));
        let (id, severity, title) = (check.id, check.severity, check.title);
        writeln!(
            rows,
            "| {id} | {severity} | {title} | {stages} | {closest} |"
        )
        .unwrap();
    }
    let page =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/audit.md")).unwrap();
    assert!(page.contains(&rows), "docs/audit.md must have:\n{rows}");
}
