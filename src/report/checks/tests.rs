//! Whole outputs of every writer, with texts that want escaping.

use super::*;

fn check(id: &str, outcome: Outcome) -> Check {
    Check {
        id: id.to_owned(),
        group: "Calls",
        title: format!("call <{id}>"),
        severity: Severity::High,
        outcome,
        wanted: "refused".to_owned(),
        got: "open \u{1b}[2J".to_owned(),
        place: None,
        help: "It is a way out.".to_owned(),
        facts: Vec::new(),
    }
}

fn checks() -> Checks {
    let mut failed = check("b", Outcome::Fail);
    failed.place = Some(Place {
        line: Some(7),
        ..Place::pointer("a b.json", "/x")
    });
    failed.facts = vec![Fact::one("answer", "open")];
    let mut skipped = check("c", Outcome::Skip("no # call".to_owned()));
    skipped.group = "Files";
    skipped.severity = Severity::Low;
    Checks {
        tool: "probe",
        subject: "profile \"x\"".to_owned(),
        checks: vec![
            check("a", Outcome::Pass),
            failed,
            skipped,
            check("d", Outcome::Error("killed by SIGALRM".to_owned())),
        ],
        facts: vec![Fact::one("exposure", "2.5")],
    }
}

fn written(format: Format) -> String {
    let mut out = Vec::new();
    checks()
        .write(&mut out, format, Appearance::Plain)
        .expect("memory takes it");
    String::from_utf8(out).expect("it is text")
}

#[test]
fn text_is_grouped_and_says_what_is_wrong() {
    let mut checks = checks();
    checks.checks.truncate(3);
    let mut out = Vec::new();
    checks
        .write(&mut out, Format::Text, Appearance::Plain)
        .unwrap();
    let expected = r#"profile "x"

Calls
  ok     call <a>  "open \u{1b}[2J"
! FAIL   call <b>  a b.json:7: /x: "open \u{1b}[2J"
         high (b): wanted: refused; It is a way out.

Files
  -      call <c>  no # call

Summary
  exposure: 2.5
  3 checks: 1 passed, 1 failed, 1 skipped
"#;
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn colours_only_where_asked_for() {
    let mut out = Vec::new();
    checks()
        .write(&mut out, Format::Text, Appearance::Coloured)
        .unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("! \u{1b}[31mFAIL \u{1b}[0m"));
    assert!(!text.contains("\u{1b}[2J") && !written(Format::Text).contains('\u{1b}'));
}

#[test]
fn json_holds_everything() {
    let json: serde_json::Value = serde_json::from_str(&written(Format::Json)).unwrap();
    let expected = serde_json::json!({
        "id": "b", "group": "Calls", "title": "call <b>", "severity": "high", "outcome": "fail",
        "wanted": "refused", "got": "open \u{1b}[2J", "help": "It is a way out.", "answer": "open",
        "where": { "file": "a b.json", "line": 7, "pointer": "/x" },
    });
    assert_eq!(json["checks"][1], expected);
    assert_eq!(json["checks"][3]["reason"], "killed by SIGALRM");
    let summary =
        serde_json::json!({ "checks": 4, "passed": 1, "failed": 1, "skipped": 1, "errors": 1 });
    assert_eq!(
        (&json["summary"], &json["exposure"]),
        (&summary, &"2.5".into())
    );
}

#[test]
fn tap_has_a_line_for_each_and_yaml_for_the_bad() {
    let expected = r#"TAP version 14
1..4
# probe: profile \"x\"
ok 1 - a: call <a>
not ok 2 - b: call <b>
  ---
  severity: "high"
  wanted: "refused"
  got: "open \u001b[2J"
  at: "a b.json:7: /x"
  help: "It is a way out."
  ...
ok 3 - c: call <c> # SKIP no \# call
not ok 4 - d: call <d>
  ---
  severity: "high"
  wanted: "refused"
  got: "open \u001b[2J"
  reason: "killed by SIGALRM"
  help: "It is a way out."
  ...
# exposure: 2.5
"#;
    assert_eq!(written(Format::Tap), expected);
}

#[test]
fn junit_counts_and_escapes() {
    let expected = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="stockade probe" tests="4" failures="1" errors="1">
  <testsuite name="profile &quot;x&quot;" tests="4" failures="1" errors="1" skipped="1">
    <properties>
      <property name="exposure" value="2.5"/>
    </properties>
    <testcase classname="stockade.probe.a" name="call &lt;a&gt;"/>
    <testcase classname="stockade.probe.b" name="call &lt;b&gt;">
      <failure type="high" message="open \u{1b}[2J">a b.json:7: /x: open \u{1b}[2J; wanted: refused. It is a way out.</failure>
    </testcase>
    <testcase classname="stockade.probe.c" name="call &lt;c&gt;">
      <skipped message="no # call"/>
    </testcase>
    <testcase classname="stockade.probe.d" name="call &lt;d&gt;">
      <error type="high" message="killed by SIGALRM"/>
    </testcase>
  </testsuite>
</testsuites>
"#;
    assert_eq!(written(Format::Junit), expected);
}

#[test]
fn sarif_lists_what_is_wrong_and_a_rule_for_each_id() {
    let json: serde_json::Value = serde_json::from_str(&written(Format::Sarif)).unwrap();
    let run = &json["runs"][0];
    assert_eq!(json["version"], "2.1.0");
    assert_eq!(
        run["tool"]["driver"]["rules"].as_array().map(Vec::len),
        Some(4)
    );
    let expected = serde_json::json!([
        {
            "ruleId": "b", "ruleIndex": 1, "kind": "fail", "level": "error",
            "message": { "text": "call <b>: open \u{1b}[2J; wanted: refused" },
            "locations": [{
                "physicalLocation": { "artifactLocation": { "uri": "a%20b.json" }, "region": { "startLine": 7 } },
                "logicalLocations": [{ "fullyQualifiedName": "/x" }],
            }],
        },
        {
            "ruleId": "d", "ruleIndex": 3, "kind": "open", "level": "none",
            "message": { "text": "call <d>: killed by SIGALRM; wanted: refused" },
        },
    ]);
    assert_eq!(run["results"], expected);
}

#[test]
fn what_is_bad_is_found_by_severity() {
    let mut checks = checks();
    checks.checks[3].severity = Severity::Medium;
    let ids = |least| {
        checks
            .bad(least)
            .map(|check| check.id.as_str())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(Severity::Low), ["b", "d"]);
    assert_eq!(ids(Severity::High), ["b"]);
}
