//! Checks as the XML of JUnit, in the schema of Jenkins' xUnit plugin (junit-10.xsd): a test suite, a test case for each.

use std::fmt::Write as _;

use super::{Check, Checks, Outcome};
use crate::error::is_steering;
use crate::report::Value;

pub(super) fn text(checks: &Checks) -> String {
    let tally = checks.tally();
    let counts = format!(
        "tests=\"{}\" failures=\"{}\" errors=\"{}\"",
        tally.checks, tally.failed, tally.errors
    );
    let mut text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned();
    let name = xml(&format!("stockade {}", checks.tool));
    let _ = writeln!(text, "<testsuites name=\"{name}\" {counts}>");
    let suite = xml(&checks.subject);
    let skipped = tally.skipped;
    let _ = writeln!(
        text,
        "  <testsuite name=\"{suite}\" {counts} skipped=\"{skipped}\">"
    );
    text.push_str(&properties(checks));
    for check in &checks.checks {
        text.push_str(&case(checks.tool, check));
    }
    text.push_str("  </testsuite>\n</testsuites>\n");
    text
}

/// The schema takes the element only with something in it.
fn properties(checks: &Checks) -> String {
    if checks.facts.is_empty() {
        return String::new();
    }
    let mut text = "    <properties>\n".to_owned();
    for fact in &checks.facts {
        let value = match &fact.value {
            Value::One(value) => value.clone(),
            Value::Many(values) => values.join(" "),
        };
        let (name, value) = (xml(&fact.name), xml(&value));
        let _ = writeln!(text, "      <property name=\"{name}\" value=\"{value}\"/>");
    }
    text.push_str("    </properties>\n");
    text
}

fn case(tool: &str, check: &Check) -> String {
    let class = xml(&format!("stockade.{tool}.{}", check.id));
    let start = format!(
        "    <testcase classname=\"{class}\" name=\"{}\"",
        xml(&check.title)
    );
    let kind = check.severity.word();
    match &check.outcome {
        Outcome::Pass => format!("{start}/>\n"),
        Outcome::Skip(reason) => format!(
            "{start}>\n      <skipped message=\"{}\"/>\n    </testcase>\n",
            xml(reason)
        ),
        Outcome::Error(reason) => format!(
            "{start}>\n      <error type=\"{kind}\" message=\"{}\"/>\n    </testcase>\n",
            xml(reason)
        ),
        Outcome::Fail => format!(
            "{start}>\n      <failure type=\"{kind}\" message=\"{}\">{}</failure>\n    </testcase>\n",
            xml(&check.got),
            xml(&body(check))
        ),
    }
}

fn body(check: &Check) -> String {
    let place = check.place.as_ref().map(super::Place::shown);
    let place = place.map_or(String::new(), |place| format!("{place}: "));
    if check.wanted.is_empty() {
        return format!("{place}{}. {}", check.got, check.help);
    }
    let (got, wanted, help) = (&check.got, &check.wanted, &check.help);
    format!("{place}{got}; wanted: {wanted}. {help}")
}

/// XML 1.0 has no way to write most control characters, not even escaped.
fn xml(untrusted: &str) -> String {
    let mut text = String::with_capacity(untrusted.len());
    for c in untrusted.chars() {
        match c {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '"' => text.push_str("&quot;"),
            '\'' => text.push_str("&apos;"),
            c if is_steering(c) || matches!(c, '\u{fffe}' | '\u{ffff}') => {
                text.extend(c.escape_default());
            }
            c => text.push(c),
        }
    }
    text
}
