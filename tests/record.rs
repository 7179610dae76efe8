//! `record`: the profile that a run leaves lets the same run through and nothing else.
//! Not here: how rules are put together and merged (unit tests), `--explain` (explain.rs).

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::harness::{Bundle, Call, Output, is_foreign, raw_calls, skip};

const WORK: &str = "ls / >/dev/null; echo hello > /tmp/x; cat /tmp/x; mkdir /tmp/d";

fn ready() -> Option<Bundle> {
    if is_foreign() {
        skip("other runtimes record nothing");
        return None;
    }
    Some(raw_calls(Bundle::new().profile(None), "39"))
}

fn record(bundle: &Bundle, flags: &[&str], script: &str) -> (Output, PathBuf) {
    let profile = bundle.temp().join("mine.toml");
    let output = bundle
        .call(&["record", "-o"])
        .arg(&profile)
        .args(flags)
        .arg(bundle.rootfs())
        .args(["--", "/bin/sh", "-c", script])
        .output();
    (output, profile)
}

/// Runs a script under a profile and tells what was denied.
fn explained(bundle: &Bundle, profile: &Path, script: &str) -> Output {
    let call = bundle.bare_call().arg("--profile").arg(profile);
    let call = call.args(["launch", "--explain"]).arg(bundle.rootfs());
    call.args(["--", "/bin/sh", "-c", script]).output()
}

#[test]
fn a_recorded_profile_lets_the_same_run_through_and_names_anything_else() {
    let Some(bundle) = ready() else { return };
    let report = bundle.temp().join("report.json");
    let (output, profile) = record(&bundle, &["--report", report.to_str().unwrap()], WORK);
    assert_eq!(output.ok(), "hello\n");
    assert_eq!(output.stderr, "");
    let again = explained(&bundle, &profile, WORK);
    assert_eq!(again.ok(), "hello\n");
    assert_eq!(again.stderr, "no system call was denied\n");
    let other = explained(&bundle, &profile, "rmdir /tmp/none");
    assert!(
        other
            .stderr
            .contains("denied 1x: rmdir(\"/tmp/none\") by \"/bin/busybox\""),
        "{other:?}"
    );
    let check = bundle.bare_call().args(["profile", "check"]).arg(&profile);
    assert_ne!(check.output().code, 2);
    let diff = bundle.bare_call().args(["profile", "diff", "restricted"]);
    let diff = diff.arg(&profile).args(["--format", "json"]).output();
    assert!(!diff.stdout.contains("\"permitsMore\": true"), "{diff:?}");
    let report: Value = serde_json::from_slice(&fs::read(report).unwrap()).unwrap();
    let has = |kind: &str, path: &str| {
        let files = report["files"][kind].as_array().unwrap();
        assert!(files.contains(&path.into()), "no {path} in {report}");
    };
    has("written", "/tmp/x");
    has("read", "/tmp/x");
    has("executed", "/bin/sh");
    bundle.assert_clean();
}

#[test]
fn a_merged_recording_lets_both_runs_through() {
    let Some(bundle) = ready() else { return };
    let (output, profile) = record(&bundle, &[], "mkdir /tmp/d; true");
    output.ok();
    let path = profile.to_str().unwrap();
    let (output, profile) = record(&bundle, &["--merge", path], "ln -s a /tmp/b; true");
    output.ok();
    let both = explained(&bundle, &profile, "mkdir /tmp/d; ln -s a /tmp/b; true");
    assert_eq!(both.ok(), "");
    assert_eq!(both.stderr, "no system call was denied\n");
    let text = fs::read_to_string(&profile).unwrap();
    let runs = text.lines().filter(|line| line.starts_with("# recorded "));
    assert_eq!(runs.count(), 2);
    bundle.assert_clean();
}

#[test]
fn a_recording_denies_what_the_profile_denies_unless_it_is_permissive() {
    let Some(bundle) = ready() else { return };
    // personality(ADDR_NO_RANDOMIZE), then what it is now.
    let script = "/call 135 262144 , 135 4294967295";
    let (output, profile) = record(&bundle, &[], script);
    assert_eq!(output.ok(), "-1\n0\n");
    let text = fs::read_to_string(&profile).unwrap();
    assert!(
        text.contains("# denied meanwhile: 1x personality(0x40000): EPERM\n"),
        "{text}"
    );
    let (output, profile) = record(&bundle, &["--permissive"], script);
    assert_eq!(output.ok(), "0\n262144\n");
    let again = explained(&bundle, &profile, script);
    assert_eq!(again.ok(), "0\n262144\n");
    bundle.assert_clean();
}

#[test]
fn recording_takes_no_privileges_and_passes_the_exit_code_on() {
    let Some(bundle) = ready() else { return };
    let scratch = bundle.home_of_nobody();
    let as_user = |call: Call| call.nobody(&scratch);
    if !bundle.runs_without_root(as_user) {
        return;
    }
    let profile = scratch.join("mine.toml");
    let call = bundle.bare_call().args(["record", "-o"]).arg(&profile);
    let call = call.arg(bundle.rootfs());
    let output = as_user(call.args(["--", "/bin/sh", "-c", "ls / >/dev/null; exit 9"])).output();
    output.exits(9);
    assert!(fs::read_to_string(&profile).unwrap().contains("\"openat\""));
    bundle.assert_clean();
}

#[test]
fn what_cannot_be_merged_is_said_before_anything_runs() {
    let Some(bundle) = ready() else { return };
    let (output, _) = record(&bundle, &["--merge", "/no/such.toml"], "echo ran");
    output.fails(125, &["/no/such.toml"]);
    assert_eq!(output.stdout, "");
    let (output, profile) = record(&bundle, &[], "true");
    output.ok();
    let call = bundle.bare_call().args(["--profile", "paranoid", "record"]);
    let call = call.arg("-o").arg(bundle.temp().join("other.toml"));
    let call = call.arg("--merge").arg(&profile).arg(bundle.rootfs());
    let output = call.args(["--", "/bin/sh", "-c", "echo ran"]).output();
    let cause = "it was made under profile \"restricted\", and this run is under \"paranoid\"";
    output.fails(
        125,
        &[
            "merge the recording",
            cause,
            "record under profile \"restricted\", or without --merge",
        ],
    );
    assert_eq!(output.stdout, "");
    assert!(!bundle.temp().join("other.toml").exists());
    bundle.assert_clean();
}
