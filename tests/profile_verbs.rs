//! `stockade profile`: whole outputs and exit codes, and that a filter converted there and back answers as before.

use std::fs;

use proptest::prelude::*;
use serde_json::{Value, json};
use stockade::names::syscalls::{Abi, named};
use stockade::profile::{Profile, from_oci, read_oci, to_oci};
use stockade::seccomp::bpf::{Data, evaluate};
use stockade::seccomp::compile;
use stockade::spec::Seccomp;

use crate::harness::{Call, Output, runtime};

fn profile(arguments: &[&str]) -> Output {
    within(tempfile::tempdir().unwrap().path(), arguments)
}

fn within(directory: &std::path::Path, arguments: &[&str]) -> Output {
    let none = directory.join("config.toml");
    if !none.exists() {
        fs::write(&none, "").unwrap();
    }
    Call::new(runtime(), directory)
        .directory(directory)
        .args(["--config", "config.toml", "profile"])
        .args(arguments)
        .output()
}

#[test]
fn list_has_the_built_in_ones_and_the_configured_one() {
    let expected = "\
NAME         STRICTNESS   SOURCE     DESCRIPTION
none         0            built in   Nothing is changed: the config decides
baseline     1            built in   Ordinary containers keep working; what they never need is taken away
restricted   2            built in   A program that needs no privilege, on a read-only root, within limits
paranoid     3            built in   Untrusted code that computes: no terminal, no TCP, hardly a system call to spare
";
    assert_eq!(profile(&["list"]).ok(), expected);
    let directory = tempfile::tempdir().unwrap();
    fs::write(
        directory.path().join("config.toml"),
        "profile = \"./own.toml\"",
    )
    .unwrap();
    fs::write(
        directory.path().join("own.toml"),
        "name = \"own\"\ndescription = \"Mine\"",
    )
    .unwrap();
    let listed = within(directory.path(), &["list", "--format", "json"]).json();
    assert_eq!(
        listed[4],
        json!({"name": "own", "strictness": null, "source": "./own.toml", "description": "Mine"})
    );
}

#[test]
fn what_show_prints_is_the_same_profile() {
    let directory = tempfile::tempdir().unwrap();
    let shown = within(directory.path(), &["show", "restricted"]);
    let text = shown.ok().replacen("\"restricted\"", "\"own\"", 1);
    fs::write(directory.path().join("own.toml"), text).unwrap();
    let same = within(directory.path(), &["diff", "restricted", "own.toml"]);
    assert_eq!(same.ok(), "\"own\" permits what \"restricted\" permits\n");
    let json = within(directory.path(), &["show", "none", "--format", "json"]).json();
    assert_eq!(json["name"], "none");
    assert_eq!(json["seccomp"], Value::Null);
}

#[test]
fn built_in_profiles_have_no_finding_above_low() {
    for name in Profile::names() {
        let output = profile(&["check", name]);
        let lines: Vec<&str> = output.ok().lines().collect();
        let (last, findings) = lines.split_last().unwrap();
        assert_eq!(
            *last,
            format!("findings: {}, medium or above: 0", findings.len())
        );
        // Names for other architectures, and rules that are there for the reader.
        let is_explained = |line: &&&str| {
            [
                "foreign-system-call",
                "repeats-default",
                "readonly-and-masked",
            ]
            .iter()
            .any(|id| line.contains(id))
        };
        assert_eq!(
            findings.iter().filter(is_explained).count(),
            findings.len(),
            "{findings:#?}"
        );
    }
}

#[test]
fn check_names_the_line_and_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let text = "name = \"own\"\ndescription = \"\"\n\n[identity]\nminimum-uid = 1000\n\n[capabilities]\nallow = [\n    \"CAP_CHWON\",\n]\n";
    fs::write(directory.path().join("own.toml"), text).unwrap();
    let output = within(directory.path(), &["check", "own.toml"]);
    let expected = "\
own.toml:5: medium: root-below-minimum: identity.minimum-uid: user ids 1 to 999 are refused and root is not; set non-root = \"refuse\"
own.toml:9: medium: unknown-capability: capabilities.allow[0]: no capability is called \"CAP_CHWON\"; did you mean \"CAP_CHOWN\"?
findings: 2, medium or above: 2
";
    assert_eq!(output.exits(1), expected);
    assert_eq!(
        within(
            directory.path(),
            &["check", "--fail-on", "high", "own.toml"]
        )
        .code,
        0
    );
    let json = within(directory.path(), &["check", "--format", "json", "own.toml"]);
    let json: Value = serde_json::from_str(json.exits(1)).unwrap();
    assert_eq!(
        json[0]["findings"][1],
        json!({
            "id": "unknown-capability",
            "severity": "medium",
            "key": "capabilities.allow[0]",
            "line": 9,
            "found": "no capability is called \"CAP_CHWON\"",
            "mend": "did you mean \"CAP_CHOWN\"?",
        })
    );
}

#[test]
fn a_misspelt_key_is_an_error_with_its_line_and_the_nearest() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(
        directory.path().join("own.toml"),
        "name = \"own\"\ndescription = \"\"\n[root]\nreadnoly = true\n",
    )
    .unwrap();
    let output = within(directory.path(), &["check", "own.toml"]);
    let expected = "error: load profile \"own.toml\": line 4: root.readnoly: unknown field `readnoly`, expected `readonly` or `on-conflict`\n\
                    try: did you mean \"readonly\"?\n";
    assert_eq!((output.code, output.stderr.as_str()), (2, expected));
    assert_eq!(profile(&["check"]).code, 2);
    assert_eq!(
        profile(&["show", "nothing"]).error(),
        "error: load profile \"nothing\": no such profile\n\
        try: use one of none, baseline, restricted, paranoid, or the path of a .toml file\n"
    );
}

#[test]
fn diff_says_what_is_stricter_and_what_is_looser() {
    let directory = tempfile::tempdir().unwrap();
    let own = |pids: u32, root: bool| {
        format!(
            "name = \"own\"\ndescription = \"\"\nroot.readonly = {root}\nlimits.pids.maximum = {pids}\ncapabilities.allow = [\"CAP_CHOWN\"]\n"
        )
    };
    fs::write(directory.path().join("a.toml"), own(10, false)).unwrap();
    fs::write(directory.path().join("b.toml"), own(20, true)).unwrap();
    let output = within(directory.path(), &["diff", "a.toml", "b.toml"]);
    let expected = "\
limits.pids.maximum: looser: 10 -> 20
root.readonly: stricter: false -> true
\"own\" permits more than \"own\" in places
";
    assert_eq!(output.exits(1), expected);
    let output = within(directory.path(), &["diff", "none", "a.toml"]);
    let expected = "\
capabilities.allow: stricter: anything -> CAP_CHOWN
limits.pids.maximum: stricter: anything -> 10
\"own\" is at most as permissive as \"none\"
";
    assert_eq!(output.exits(1), expected);
    let json = within(
        directory.path(),
        &["diff", "--format", "json", "none", "a.toml"],
    );
    let json: Value = serde_json::from_str(json.exits(1)).unwrap();
    assert_eq!(json["atMostAsPermissive"], true);
    assert_eq!(
        json["changes"][0],
        json!({
            "field": "capabilities.allow",
            "direction": "stricter",
            "permitsMore": false,
            "a": null,
            "b": ["CAP_CHOWN"],
        })
    );
}

#[test]
fn built_in_filters_answer_alike_there_and_back() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["baseline", "restricted", "paranoid"] {
        let there = within(directory.path(), &["convert", "--to", "oci-seccomp", name]);
        fs::write(directory.path().join("filter.json"), there.ok()).unwrap();
        let back = within(
            directory.path(),
            &[
                "convert",
                "--from",
                "oci-seccomp",
                "--name",
                "own",
                "filter.json",
            ],
        );
        fs::write(directory.path().join("own.toml"), back.ok()).unwrap();
        let own = directory.path().join("own.toml");
        let own = Profile::load(own.to_str().unwrap()).unwrap();
        let own = own
            .seccomp
            .map(|rules| Profile::of_rules("own", rules).unwrap())
            .unwrap();
        let first = to_oci(&Profile::builtin(name).unwrap()).unwrap();
        assert_same_answers(
            &first,
            &to_oci(&own).unwrap(),
            &[0, 1, 3, 16, 38, 0x5412, 0x1000_0011, u64::MAX],
        );
    }
    profile(&["convert", "--to", "oci-seccomp", "none"]).fails(
        2,
        &["convert profile \"none\": it has no section \"seccomp\""],
    );
}

#[test]
fn docker_s_filter_answers_alike_as_a_profile() {
    let first = read_oci(include_str!("golden/docker-seccomp.json")).unwrap();
    let own = Profile::of_rules("docker", from_oci(&first).unwrap()).unwrap();
    let second = to_oci(&own).unwrap();
    assert_same_answers(
        &first,
        &second,
        &[0, 1, 8, 40, 0x2_0000, 0x1000_0011, u64::MAX, 0xffff_ffff],
    );
}

/// Every call on every architecture of this machine, with each of these values for all arguments and for the first alone.
#[track_caller]
fn assert_same_answers(a: &Seccomp, b: &Seccomp, values: &[u64]) {
    let (a, b) = (compile(a).unwrap().program, compile(b).unwrap().program);
    for abi in [Abi::X8664, Abi::X86, Abi::X32] {
        for nr in 0..500 {
            for value in values {
                for args in [
                    [*value; 6],
                    [*value, 0, 0, 0, 0, 0],
                    [1, *value, 2, 0, 0, 0],
                ] {
                    let nr = if abi == Abi::X32 {
                        nr | 0x4000_0000
                    } else {
                        nr
                    };
                    let call = Data {
                        nr,
                        arch: abi.audit_arch(),
                        args,
                        ..Data::default()
                    };
                    assert_eq!(
                        evaluate(&a, &call).unwrap(),
                        evaluate(&b, &call).unwrap(),
                        "{call:?}"
                    );
                }
            }
        }
    }
}

const CALLS: [&str; 5] = ["read", "socket", "clone", "chmod", "prctl"];

fn value() -> impl Strategy<Value = u64> {
    prop_oneof![
        0u64..4,
        Just(0xffff),
        Just(0xffff_ffff),
        Just(0x1_0000_0002),
        Just(u64::MAX),
        any::<u64>()
    ]
}

prop_compose! {
    fn arg()(
        index in 0u32..2,
        op in proptest::sample::select(vec!["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"]),
        value in value(),
        two in value(),
    ) -> Value {
        json!({"index": index, "op": format!("SCMP_CMP_{op}"), "value": value, "valueTwo": two})
    }
}

prop_compose! {
    fn rule()(
        names in proptest::sample::subsequence(&CALLS[..], 1..=3),
        action in proptest::sample::select(vec![
            ("SCMP_ACT_ALLOW", None), ("SCMP_ACT_ERRNO", Some(38)), ("SCMP_ACT_ERRNO", None), ("SCMP_ACT_KILL_PROCESS", None),
        ]),
        args in proptest::collection::vec(arg(), 0..2),
    ) -> Value {
        let mut rule = json!({"names": names, "action": action.0, "args": args});
        if let Some(errno) = action.1 {
            rule["errnoRet"] = json!(errno);
        }
        rule
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_filter_answers_alike_as_a_profile(
        rules in proptest::collection::vec(rule(), 1..5),
        calls in proptest::collection::vec((proptest::sample::select(&CALLS[..]), value(), value()), 40),
    ) {
        let text = json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules}).to_string();
        let first = read_oci(&text).unwrap();
        let Ok(before) = compile(&first) else { return Ok(()) };
        let own = Profile::of_rules("own", from_oci(&first).unwrap()).unwrap();
        // Two rules whose tests overlap may have parts that are the same, with another action.
        let Ok(after) = compile(&to_oci(&own).unwrap()) else { return Ok(()) };
        for (name, one, two) in calls {
            let nr = named(name).and_then(|call| call.number(Abi::X8664)).unwrap();
            let call = Data { nr, arch: Abi::X8664.audit_arch(), args: [one, two, 0, 0, 0, 0], ..Data::default() };
            prop_assert_eq!(
                evaluate(&before.program, &call).unwrap(),
                evaluate(&after.program, &call).unwrap(),
                "{} {:?}", name, call
            );
        }
    }
}
