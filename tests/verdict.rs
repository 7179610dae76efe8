//! `test`: cases of a file are held against what they ought to do, in every format, and leave nothing behind.
//! Not here: what confinement a profile brings (confinement_*.rs), how a recording is compared (unit tests).

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use serde_json::json;

use crate::harness::{Bundle, Call, Output, is_foreign, runtime, skip};

/// A bundle whose root filesystem lies beside the files of cases.
fn ready() -> Option<Bundle> {
    if is_foreign() {
        skip("other runtimes have no test");
        return None;
    }
    let bundle = Bundle::new().profile(None);
    fs::create_dir(bundle.temp().join("tmp")).unwrap();
    Some(bundle)
}

fn file(bundle: &Bundle, text: &str) -> PathBuf {
    let path = bundle.path().join("cases.toml");
    fs::write(&path, text).unwrap();
    path
}

fn call(bundle: &Bundle, flags: &[&str]) -> Call {
    let temporary = bundle.temp().join("tmp");
    bundle
        .bare_call()
        .env("TMPDIR", temporary.to_str().unwrap())
        .directory(&bundle.path())
        .arg("test")
        .args(flags)
}

fn tested(bundle: &Bundle, text: &str, flags: &[&str]) -> Output {
    file(bundle, text);
    let output = call(bundle, flags).arg("cases.toml").output();
    assert_clean(bundle);
    output
}

fn assert_clean(bundle: &Bundle) {
    let left: Vec<_> = fs::read_dir(bundle.temp().join("tmp")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    bundle.assert_clean();
}

#[test]
fn the_example_of_a_confined_root_passes_whatever_the_number_of_jobs() {
    let Some(bundle) = ready() else { return };
    let text = include_str!("cases/restricted.toml");
    for jobs in ["1", "3"] {
        let output = tested(&bundle, text, &["--jobs", jobs]);
        assert!(
            output
                .ok()
                .ends_with("\n  10 checks: 10 passed, 0 failed\n"),
            "{output:?}"
        );
        assert_eq!(output.stderr, "");
    }
}

/// Cases that fail, each for another reason.
const FAILING: &str = r#"
[[case]]
name = "wrong exit"
root = "rootfs"
command = ["/bin/sh", "-c", "echo so long >&2; exit 3"]
[[case]]
name = "wrong output"
root = "rootfs"
command = ["/bin/printf", "one\ntwo"]
[case.expect]
stdout = "one\ntwo\n"
stderr-contains = ["three"]
[[case]]
name = "unexpected denial"
root = "rootfs"
command = ["/bin/hostname", "other"]
[case.expect]
exit = 1
no-denials = true
[[case]]
name = "no denial"
root = "rootfs"
command = ["/bin/true"]
[case.expect]
denied = ["mount"]
limits-hit = ["pids"]
[[case]]
name = "no root"
root = "nothing"
command = ["/bin/true"]
"#;

/// What is said of them.
const FAILURES: &str = r#"TAP version 14
1..5
# test: cases.toml
not ok 1 - wrong-exit: wrong exit
  ---
  severity: "high"
  wanted: "exit 0"
  got: "exit 3"
  at: "cases.toml:3"
  help: "stderr ends with \"so long\""
  ...
not ok 2 - wrong-output: wrong output
  ---
  severity: "high"
  wanted: "stdout line 2: \"two\"; \"three\" in stderr"
  got: "stdout line 2: \"two\" without an end of line; stderr is \"\""
  at: "cases.toml:7"
  ...
not ok 3 - unexpected-denial: unexpected denial
  ---
  severity: "high"
  wanted: "no denials"
  got: "denied sethostname"
  at: "cases.toml:14"
  help: "denied 1x: sethostname(\"other\", 5) by \"/bin/busybox\": EPERM, by seccomp.rules[1], allowed by seccomp.allow = [\"sethostname\"]"
  ...
not ok 4 - no-denial: no denial
  ---
  severity: "high"
  wanted: "denied mount; limits hit: pids"
  got: "none denied; no limit hit"
  at: "cases.toml:21"
  ...
not ok 5 - no-root: no root
  ---
  severity: "high"
  got: "exit 125"
  reason: "open image \"nothing\": no such file or directory (ENOENT)"
  at: "cases.toml:28"
  ...
"#;

#[test]
fn what_was_wanted_and_what_there_was_is_told() {
    let Some(bundle) = ready() else { return };
    let output = tested(&bundle, FAILING, &["--format", "tap"]);
    assert_eq!(output.exits(1), FAILURES);
    assert_eq!(output.stderr, "");
}

#[test]
fn the_limits_that_were_hit_are_known_without_a_filter_of_system_calls() {
    let Some(bundle) = ready() else { return };
    let many = "i=0; while [ $i -lt 20 ]; do sleep 9 & i=$((i+1)); done; true";
    let bundle = bundle
        .set("/linux/resources/pids", json!({"limit": 8}))
        .remove("/linux/seccomp")
        .shell(many);
    bundle.write();
    let text = format!(
        r#"
profile = "none"
[[case]]
name = "launched"
root = "rootfs"
command = ["/bin/sh", "-c", "{many}"]
pids = 8
expect = {{ exit = 2, limits-hit = ["pids"] }}
[[case]]
name = "run"
bundle = "."
expect = {{ exit = 2, limits-hit = ["pids"] }}
[[case]]
name = "none is hit"
root = "rootfs"
command = ["/bin/true"]
pids = 8
expect.limits-hit = []
[[case]]
name = "one is hit for all that"
bundle = "."
expect = {{ exit = 2, limits-hit = [] }}
"#
    );
    let output = tested(&bundle, &text, &["--format", "tap"]);
    let expected = r#"TAP version 14
1..4
# test: cases.toml
ok 1 - launched: launched
ok 2 - run: run
ok 3 - none-is-hit: none is hit
not ok 4 - one-is-hit-for-all-that: one is hit for all that
  ---
  severity: "high"
  wanted: "no limit hit"
  got: "limits hit: pids"
  at: "cases.toml:20"
  help: "stderr ends with \"/bin/sh: can't fork: Resource temporarily unavailable\""
  ...
"#;
    assert_eq!(output.exits(1), expected);
    assert_eq!(output.stderr, "");
}

#[test]
fn a_case_that_takes_too_long_is_killed_and_the_next_one_runs() {
    let Some(bundle) = ready() else { return };
    let bundle = bundle.shell("trap '' TERM; sleep 60; true");
    bundle.write();
    let text = r#"
[[case]]
name = "launched"
root = "rootfs"
command = ["/bin/sh", "-c", "trap '' TERM; sleep 60; true"]
timeout = "700ms"
[[case]]
name = "run"
bundle = "."
timeout = "700ms"
[[case]]
name = "quick"
bundle = "."
profile = "none"
command = ["/bin/id", "-u"]
[case.expect]
stdout = "0\n"
"#;
    let output = tested(
        &bundle,
        text,
        &["--format", "junit", "--profile", "baseline"],
    );
    let expected = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="stockade test" tests="3" failures="2" errors="0">
  <testsuite name="cases.toml" tests="3" failures="2" errors="0" skipped="0">
    <testcase classname="stockade.test.launched" name="launched">
      <failure type="high" message="none by then">cases.toml:3: none by then; wanted: an end within 700ms. </failure>
    </testcase>
    <testcase classname="stockade.test.run" name="run">
      <failure type="high" message="none by then">cases.toml:8: none by then; wanted: an end within 700ms. </failure>
    </testcase>
    <testcase classname="stockade.test.quick" name="quick"/>
  </testsuite>
</testsuites>
"#;
    assert_eq!(output.exits(1), expected);
}

#[test]
fn one_that_is_asked_to_end_puts_its_case_down_first() {
    let Some(bundle) = ready() else { return };
    let text = "[[case]]\nname = \"long\"\nroot = \"rootfs\"\ncommand = [\"/bin/sleep\", \"60\"]\n";
    file(&bundle, text);
    let running = call(&bundle, &["cases.toml"]).spawn();
    let temporary = bundle.temp().join("tmp");
    crate::harness::eventually("a case runs", || {
        fs::read_dir(&temporary).unwrap().next().is_some()
    });
    running.signal(rustix::process::Signal::TERM);
    let output = running.wait();
    assert_eq!((output.code, output.stdout.as_str()), (143, ""));
    assert_clean(&bundle);
}

#[test]
fn a_file_that_is_none_is_an_error_with_its_case_and_key() {
    let Some(bundle) = ready() else { return };
    let cases = [
        (
            "commnd = []",
            "read cases \"cases.toml\": line 4: case[0].commnd: unknown field `commnd`",
        ),
        (
            "",
            "read case \"a\" of \"cases.toml\": command: a root filesystem needs one",
        ),
        (
            "image = \"b\"",
            "read case \"a\" of \"cases.toml\": it takes one of",
        ),
        (
            "timeout = \"1\"",
            "read cases \"cases.toml\": line 4: case[0].timeout: a time is a number",
        ),
        (
            "expect = { denied = [\"fly\"] }",
            "case[0].expect.denied: there is no system call \"fly\"",
        ),
        (
            "expect = { exit = 1, signal = \"SIGKILL\" }",
            "expect: exit and signal exclude each other",
        ),
        (
            "profile = \"restrictd\"",
            "load profile \"restrictd\": no such profile",
        ),
    ];
    for (key, told) in cases {
        let command = if key.is_empty() {
            ""
        } else {
            "command = [\"x\"]\n"
        };
        let text = format!("[[case]]\nname = \"a\"\nroot = \"rootfs\"\n{key}\n{command}");
        let output = tested(&bundle, &text, &[]);
        assert_eq!(output.exits(2), "", "{key}");
        assert!(output.stderr.contains(told), "{key}: {}", output.stderr);
    }
}

#[test]
fn cases_are_listed_and_chosen_by_name() {
    let Some(bundle) = ready() else { return };
    let text = include_str!("cases/restricted.toml");
    let output = tested(&bundle, text, &["--list", "--filter", "memory"]);
    let lines = output.lines();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(
        lines[1].starts_with("its memory ends   restricted   cases.toml:"),
        "{lines:?}"
    );
    let output = tested(&bundle, text, &["--filter", "nothing of this"]);
    assert_eq!(output.exits(2), "");
}

#[test]
fn a_recording_that_needs_more_than_the_profile_allows_fails() {
    let Some(bundle) = ready() else { return };
    let recorded = bundle.path().join("recorded.toml");
    let base = fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/profiles/restricted.toml"
    ));
    let text = base
        .unwrap()
        .replacen("name = \"restricted\"", "name = \"recorded\"", 1);
    fs::write(&recorded, text).unwrap();
    let flags = ["--against-recording", "recorded.toml", "--profile"];
    let held = |profile| call(&bundle, &flags).arg(profile).output();
    held("restricted").ok();
    let stricter = "extends = \"restricted\"\nname = \"stricter\"\ndescription = \"\"\n[limits]\npids = { default = 5, maximum = 5 }\n";
    fs::write(bundle.path().join("stricter.toml"), stricter).unwrap();
    let output = held("./stricter.toml");
    assert!(output.exits(1).contains("limits.pids"), "{output:?}");
    assert_clean(&bundle);
}

/// The lines below the first one that ends in `key`, as far as they are indented more than it.
fn below(text: &str, key: &str) -> String {
    let depth = |line: &str| line.len() - line.trim_start().len();
    let mut lines = text.lines().skip_while(|line| !line.ends_with(key));
    let outer = depth(lines.next().unwrap());
    let block: Vec<&str> = lines.take_while(|line| depth(line) > outer).collect();
    block.join("\n")
}

/// Runs a script as the runners of both services do, beside a file of cases with one that passes and one that fails.
fn by_a_runner(bundle: &Bundle, script: &str, variables: &[(&str, &str)]) -> Option<i32> {
    let programs = bundle.temp().join("programs");
    fs::create_dir_all(&programs).unwrap();
    let _ = symlink(runtime(), programs.join("stockade"));
    let path = std::env::var("PATH").unwrap();
    let status = Command::new("timeout")
        .args([
            "60",
            "bash",
            "--noprofile",
            "--norc",
            "-eo",
            "pipefail",
            "-c",
            script,
        ])
        .env("PATH", format!("{}:{path}", programs.display()))
        .env("TMPDIR", bundle.temp().join("tmp"))
        .envs(variables.iter().copied())
        .current_dir(bundle.path())
        .status();
    assert_clean(bundle);
    status.unwrap().code()
}

const ONE_OF_TWO: &str = r#"
[[case]]
name = "right"
root = "rootfs"
command = ["/bin/true"]

[[case]]
name = "wrong"
root = "rootfs"
command = ["/bin/false"]
"#;

#[test]
fn the_action_and_the_pipeline_of_the_docs_write_their_results_and_fail_with_a_case() {
    let Some(bundle) = ready() else { return };
    fs::create_dir(bundle.path().join("tests")).unwrap();
    fs::write(
        bundle.path().join("tests/cases.toml"),
        ONE_OF_TWO.replace("rootfs", "../rootfs"),
    )
    .unwrap();
    let action = include_str!("../.github/actions/test/action.yml");
    let script = below(action, "run: |");
    let variables = [
        ("FILES", "tests/cases.toml"),
        ("OUTPUT", "stockade-test.xml"),
    ];
    assert_eq!(by_a_runner(&bundle, &script, &variables), Some(1));
    for (name, _) in variables {
        let input = format!("{name}: ${{{{ inputs.{} }}}}", name.to_lowercase());
        assert!(action.contains(&input), "{input}");
    }
    let page = include_str!("../docs/test.md");
    let script = page
        .lines()
        .find_map(|line| line.trim().strip_prefix("script: "))
        .unwrap();
    assert_eq!(by_a_runner(&bundle, script, &[]), Some(1));
    for results in ["stockade-test.xml", "results.xml"] {
        let text = fs::read_to_string(bundle.path().join(results)).unwrap();
        assert!(text.contains("tests=\"2\" failures=\"1\""), "{text}");
    }
}
