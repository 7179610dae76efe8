//! Docker's daemon.json with more `runtimes`. What else is in it keeps its text and its order.

use std::fmt;
use std::path::Path;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::client::{Handler, path};
use crate::error::{Doing, Error, Result};

/// An object whose members keep their order, and their values' text.
struct Object(Vec<(String, Box<RawValue>)>);

/// A whole configuration for a host without one.
pub(super) fn fragment(handlers: &[Handler], directory: &Path) -> String {
    merged(None, handlers, directory).expect("nothing is there to differ from")
}

/// The configuration with the handlers in its `runtimes`.
///
/// # Errors
/// It is no JSON object, or has a handler of this name that calls something else.
pub(super) fn merged(old: Option<&str>, handlers: &[Handler], directory: &Path) -> Result<String> {
    let text = old.filter(|text| !text.trim().is_empty()).unwrap_or("{}");
    let mut whole = object(text)?;
    let runtimes = whole.value("runtimes").map(RawValue::get);
    let mut runtimes = object(runtimes.unwrap_or("{}"))?;
    let before = runtimes.0.len();
    for handler in handlers {
        let path = path(directory, handler);
        match runtimes.value(handler.name) {
            None => runtimes.0.push((
                handler.name.to_owned(),
                raw(format!("{{\"path\": {path}}}")),
            )),
            Some(there) if calls(there, &directory.join(handler.name)) => {}
            Some(_) => {
                let error = Error::new(
                    format!("runtimes.{}", handler.name),
                    "it is there and calls something else",
                );
                return Err(error);
            }
        }
    }
    if before == runtimes.0.len() {
        return Ok(text.to_owned());
    }
    let runtimes = raw(runtimes.to_text("        ", "    "));
    match whole.0.iter_mut().find(|(name, _)| name == "runtimes") {
        Some((_, value)) => *value = runtimes,
        None => whole.0.push(("runtimes".to_owned(), runtimes)),
    }
    Ok(whole.to_text("    ", "") + "\n")
}

fn calls(runtime: &RawValue, binary: &Path) -> bool {
    let runtime = serde_json::from_str::<Value>(runtime.get()).unwrap_or_default();
    binary.to_str().is_some_and(|path| runtime["path"] == path)
}

fn object(text: &str) -> Result<Object> {
    serde_json::from_str(text).doing(|| "read JSON")
}

fn raw(text: String) -> Box<RawValue> {
    RawValue::from_string(text).expect("made of JSON")
}

impl Object {
    fn value(&self, name: &str) -> Option<&RawValue> {
        let member = self.0.iter().find(|(member, _)| member == name);
        member.map(|(_, value)| value.as_ref())
    }

    fn to_text(&self, indent: &str, end: &str) -> String {
        let members: Vec<String> = self
            .0
            .iter()
            .map(|(name, value)| format!("{indent}{}: {}", Value::from(name.as_str()), value.get()))
            .collect();
        format!("{{\n{}\n{end}}}", members.join(",\n"))
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(
                self,
                mut map: A,
            ) -> std::result::Result<Object, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Object(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cmd::install::client::HANDLERS;

    fn merge(old: &str) -> Result<String> {
        merged(Some(old), &HANDLERS[..1], Path::new("/usr/local/bin"))
    }

    #[test]
    fn other_members_keep_their_text_and_order() {
        let old = r#"{"log-opts": {"max-size":  "1m"}, "runtimes": {"a": {"path": "/a", "runtimeArgs": []}}, "debug": 1e0}"#;
        let expected = r#"{
    "log-opts": {"max-size":  "1m"},
    "runtimes": {
        "a": {"path": "/a", "runtimeArgs": []},
        "stockade": {"path": "/usr/local/bin/stockade"}
    },
    "debug": 1e0
}
"#;
        assert_eq!(merge(old).unwrap(), expected);
        assert_eq!(merge(expected).unwrap(), expected);
    }

    #[test]
    fn a_file_that_is_missing_or_empty_becomes_one() {
        let expected = "{\n    \"runtimes\": {\n        \"stockade\": {\"path\": \"/usr/local/bin/stockade\"}\n    }\n}\n";
        assert_eq!(merge("").unwrap(), expected);
        assert_eq!(merge(" \n").unwrap(), expected);
        assert_eq!(
            fragment(&HANDLERS[..1], Path::new("/usr/local/bin")),
            expected
        );
    }

    #[test]
    fn a_handler_that_calls_something_else_stays() {
        let error = merge(r#"{"runtimes": {"stockade": {"path": "/opt/other"}}}"#).unwrap_err();
        assert_eq!(
            error.to_string(),
            "runtimes.stockade: it is there and calls something else"
        );
        assert!(merge("[]").is_err() && merge("{").is_err());
        assert!(merge(r#"{"runtimes": []}"#).is_err());
    }
}
