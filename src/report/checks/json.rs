//! Checks as one JSON object. Names are camelCase, words in values kebab-case.

use serde_json::{Map, Value as Json, json};

use super::{Check, Checks};
use crate::error::{Doing, Result, escape_json};
use crate::report::json::fact;

pub(super) fn text(checks: &Checks) -> Result<String> {
    let text = serde_json::to_string_pretty(&object(checks)).doing(|| "write the report")?;
    Ok(escape_json(text) + "\n")
}

/// The members `tool`, `subject`, `checks`, `summary`, and those of the facts.
pub(in crate::report) fn object(checks: &Checks) -> Json {
    let mut object = Map::new();
    object.insert("tool".to_owned(), json!(checks.tool));
    object.insert("subject".to_owned(), json!(checks.subject));
    object.extend(checks.facts.iter().map(fact));
    let all = checks.checks.iter().map(check);
    object.insert("checks".to_owned(), all.collect());
    object.insert("summary".to_owned(), json!(checks.tally()));
    Json::Object(object)
}

fn check(check: &Check) -> Json {
    let mut object = Map::new();
    let mut set = |name: &str, value: Json| object.insert(name.to_owned(), value);
    set("id", json!(check.id));
    set("group", json!(check.group));
    set("title", json!(check.title));
    set("severity", json!(check.severity));
    set("outcome", json!(check.outcome.word()));
    set("wanted", json!(check.wanted));
    set("got", json!(check.got));
    if let Some(reason) = check.outcome.reason() {
        set("reason", json!(reason));
    }
    if let Some(place) = &check.place {
        set("where", json!(place));
    }
    set("help", json!(check.help));
    object.extend(check.facts.iter().map(fact));
    Json::Object(object)
}
