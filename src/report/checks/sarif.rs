//! Checks as SARIF 2.1.0 (OASIS): a rule for each id, a result for each check that is not as it ought to be.
//!
//! What passed is counted and not listed: readers of SARIF show every result as a finding.

use serde_json::{Map, Value as Json, json};

use super::{Check, Checks, Outcome, Place};
use crate::error::{Doing, Result, escape_json};
use crate::report::Severity;
use crate::report::json::fact;

pub(super) fn text(checks: &Checks) -> Result<String> {
    let text = serde_json::to_string_pretty(&log(checks)).doing(|| "write the report")?;
    Ok(escape_json(text) + "\n")
}

fn log(checks: &Checks) -> Json {
    let rules = rules(checks);
    let bad = checks.checks.iter().filter(|check| check.outcome.is_bad());
    let results: Json = bad.map(|check| result(check, &rules)).collect();
    let mut properties: Map<String, Json> = checks.facts.iter().map(fact).collect();
    properties.insert("subject".to_owned(), json!(checks.subject));
    properties.insert("summary".to_owned(), json!(checks.tally()));
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": format!("stockade {}", checks.tool),
                "version": env!("CARGO_PKG_VERSION"),
                "informationUri": env!("CARGO_PKG_REPOSITORY"),
                "rules": rules.iter().map(|check| rule(check)).collect::<Json>(),
            } },
            "automationDetails": { "id": format!("stockade/{}/", checks.tool) },
            "results": results,
            "properties": properties,
        }],
    })
}

/// The first check of each id.
fn rules(checks: &Checks) -> Vec<&Check> {
    let mut rules: Vec<&Check> = Vec::new();
    for check in &checks.checks {
        if !rules.iter().any(|rule| rule.id == check.id) {
            rules.push(check);
        }
    }
    rules
}

fn rule(check: &Check) -> Json {
    let mut rule = json!({
        "id": check.id,
        "shortDescription": { "text": check.title },
        "defaultConfiguration": { "level": level(check.severity) },
        // Of 0 to 10, as code scanning reads it.
        "properties": { "tags": ["security"], "security-severity": match check.severity {
            Severity::Low => "3.0",
            Severity::Medium => "6.0",
            Severity::High => "8.5",
            Severity::Critical => "9.5",
        } },
    });
    if !check.help.is_empty() {
        rule["help"] = json!({ "text": check.help });
    }
    rule
}

fn result(check: &Check, rules: &[&Check]) -> Json {
    let is_known = matches!(check.outcome, Outcome::Fail);
    let said = check.outcome.reason().unwrap_or(&check.got);
    let message = if check.wanted.is_empty() {
        format!("{}: {said}", check.title)
    } else {
        format!("{}: {said}; wanted: {}", check.title, check.wanted)
    };
    let mut result = json!({
        "ruleId": check.id,
        "ruleIndex": rules.iter().position(|rule| rule.id == check.id),
        // "open": the rule was evaluated and there was too little to decide by; such a result has no level.
        "kind": if is_known { "fail" } else { "open" },
        "level": if is_known { level(check.severity) } else { "none" },
        "message": { "text": message },
    });
    if let Some(place) = &check.place {
        result["locations"] = json!([location(place)]);
    }
    result
}

fn location(place: &Place) -> Json {
    let mut physical = json!({ "artifactLocation": { "uri": uri(&place.file) } });
    if let Some(line) = place.line {
        physical["region"] = json!({ "startLine": line });
    }
    let mut location = json!({ "physicalLocation": physical });
    if let Some(pointer) = &place.pointer {
        location["logicalLocations"] = json!([{ "fullyQualifiedName": pointer }]);
    }
    location
}

/// A path as a URI reference (RFC 3986): a reader resolves a relative one against the sources.
fn uri(path: &str) -> String {
    let mut uri = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' => {
                uri.push(char::from(byte));
            }
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    if path.starts_with('/') {
        return format!("file://{uri}");
    }
    uri
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Low => "note",
        Severity::Medium => "warning",
        Severity::High | Severity::Critical => "error",
    }
}
