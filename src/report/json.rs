//! A report as one JSON object: a member per section, then `findings`, then `summary`.
//!
//! The content is that of the text; names are camelCase, outcomes kebab-case.

use std::io::Write;

use serde_json::{Map, Value as Json, json};

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
    object.insert("findings".to_owned(), findings(report));
    object.insert("summary".to_owned(), json!(report.tally()));
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

fn findings(report: &Report) -> Json {
    let mut all = Vec::new();
    for group in &report.groups {
        for finding in &group.findings {
            let mut object = json!(finding);
            object["group"] = json!(group.heading);
            all.push(object);
        }
    }
    Json::Array(all)
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
    use crate::report::tests::finding;
    use crate::report::{Group, Outcome, Section, Want};

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
            groups: vec![Group {
                heading: "G",
                findings: vec![finding("a", Outcome::Filtered, Want::Refused)],
            }],
        };
        let expected = json!({
            "title": "T",
            "identity": { "userMap": "0 0 1", "groups": [] },
            "mounts": [{ "mountedOn": "/" }],
            "limits": { "notVisible": "no /proc" },
            "findings": [{
                "group": "G", "id": "a", "severity": "high", "title": "a", "outcome": "filtered",
                "why": "EPERM", "want": "refused", "met": true,
            }],
            "summary": {
                "forbidden": 1, "refused": 1, "acts": 1, "filtered": 1, "denied": 0, "open": 0, "expectedOpen": [], "skipped": 0,
                "unanswered": 0, "checks": 0, "held": 0, "failed": [],
            },
        });
        assert_eq!(object(&report), expected);
    }
}
