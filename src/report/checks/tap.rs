//! Checks as TAP 14 (testanything.org): a line for each, details in YAML below those that are not as they ought to be.

use std::fmt::Write as _;

use super::{Check, Checks, Outcome};
use crate::error::escape;
use crate::report::Value;

pub(super) fn text(checks: &Checks) -> String {
    let mut text = format!("TAP version 14\n1..{}\n", checks.checks.len());
    let _ = writeln!(text, "# {}: {}", checks.tool, escape(&checks.subject));
    for (i, check) in checks.checks.iter().enumerate() {
        let no = if check.outcome.is_bad() { "not " } else { "" };
        let _ = write!(text, "{no}ok {} - {}", i + 1, described(check));
        if let Outcome::Skip(reason) = &check.outcome {
            let _ = write!(text, " # SKIP {}", described_word(reason));
        }
        text.push('\n');
        if check.outcome.is_bad() {
            text.push_str(&details(check));
        }
    }
    for fact in &checks.facts {
        let value = match &fact.value {
            Value::One(value) => value.clone(),
            Value::Many(values) => values.join(" "),
        };
        let _ = writeln!(text, "# {}: {}", fact.name, escape(value));
    }
    text
}

fn described(check: &Check) -> String {
    format!(
        "{}: {}",
        described_word(&check.id),
        described_word(&check.title)
    )
}

/// A `#` would begin a directive.
fn described_word(word: &str) -> String {
    escape(word).replace("\\\"", "\"").replace('#', "\\#")
}

fn details(check: &Check) -> String {
    let place = check.place.as_ref().map(super::Place::shown);
    let rows = [
        ("severity", Some(check.severity.word())),
        ("wanted", Some(check.wanted.as_str())),
        ("got", Some(check.got.as_str())),
        ("reason", check.outcome.reason()),
        ("at", place.as_deref()),
        ("help", Some(check.help.as_str())),
    ];
    let mut text = "  ---\n".to_owned();
    for (name, value) in rows {
        // A JSON text is a YAML one.
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            let value = crate::error::escape_json(serde_json::Value::from(value).to_string());
            let _ = writeln!(text, "  {name}: {value}");
        }
    }
    text.push_str("  ...\n");
    text
}
