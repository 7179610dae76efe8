//! A report as one JSON object: a member per section, then those of the checks.
//!
//! The content is that of the text; names are camelCase, outcomes kebab-case.

use std::io::Write;

use serde_json::{Map, Value as Json, json};

use super::checks::json as checks;
use super::{Body, Fact, Report};
use crate::error::{Doing, Result, escape_json};

/// Writes `report` to `out`, pretty-printed, with a final newline.
///
/// # Errors
/// A failure of `out`.
pub fn write(out: &mut dyn Write, report: &Report) -> Result<()> {
    let text = serde_json::to_string_pretty(&object(report)).doing(|| "write the report")?;
    writeln!(out, "{}", escape_json(text)).doing(|| "write the report")
}

fn object(report: &Report) -> Json {
    let mut object = Map::new();
    object.insert("title".to_owned(), json!(report.title));
    for section in &report.sections {
        object.insert(section.key.to_owned(), body(&section.body));
    }
    if let Json::Object(members) = checks::object(&report.checks) {
        object.extend(members);
    }
    Json::Object(object)
}

fn body(body: &Body) -> Json {
    match body {
        Body::Facts(facts) => Json::Object(facts.iter().map(fact).collect()),
        Body::Table { columns, rows } => rows.iter().map(|row| row_object(columns, row)).collect(),
        Body::NotVisible(reason) => json!({ "notVisible": reason }),
    }
}

pub(super) fn fact(fact: &Fact) -> (String, Json) {
    (camel(&fact.name), json!(fact.value))
}

fn row_object(columns: &[&str], row: &[String]) -> Json {
    let cells = columns.iter().zip(row);
    Json::Object(cells.map(|(c, cell)| (camel(c), json!(cell))).collect())
}

/// `user map` becomes `userMap`; a name without spaces stays as it is.
fn camel(name: &str) -> String {
    let mut words = name.split(' ');
    let mut camel = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        camel.extend(letters.next().map(|c| c.to_ascii_uppercase()));
        camel.extend(letters);
    }
    camel
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Section;
    use crate::report::checks::Checks;

    #[test]
    fn a_report_is_one_object_with_a_member_per_section() {
        let section = |key, body| Section {
            heading: "X",
            key,
            body,
        };
        let facts = vec![
            Fact::one("user map", "0 0 1"),
            Fact::many("groups", Vec::new()),
        ];
        let report = Report {
            title: "T".to_owned(),
            sections: vec![
                section("identity", Body::Facts(facts)),
                section(
                    "mounts",
                    Body::Table {
                        columns: &["mounted on"],
                        rows: vec![vec!["/".to_owned()]],
                    },
                ),
                section("limits", Body::NotVisible("no /proc".to_owned())),
            ],
            checks: Checks {
                tool: "probe",
                subject: "S".to_owned(),
                checks: Vec::new(),
                facts: vec![Fact::one("exposure", "0.0")],
            },
        };
        let expected = json!({
            "title": "T",
            "identity": { "userMap": "0 0 1", "groups": [] },
            "mounts": [{ "mountedOn": "/" }],
            "limits": { "notVisible": "no /proc" },
            "tool": "probe", "subject": "S", "exposure": "0.0", "checks": [],
            "summary": { "checks": 0, "passed": 0, "failed": 0, "skipped": 0, "errors": 0 },
        });
        assert_eq!(object(&report), expected);
    }
}
