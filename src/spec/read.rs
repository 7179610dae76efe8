//! JSON text to checked documents: strict where two readers could differ (duplicate keys, arrays for objects, NUL),
//! tolerant of fields that the specification does not have.
//! The rules that types cannot say are in `check`.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::check::{self, At};
use super::document::Document;
use super::{Config, Process, null};
use crate::error::{Error, Result, escape, quote};

/// Reads and checks a config.json (config.md, config-linux.md) as a document; `file` is its name for messages.
/// The warnings are complete lines.
///
/// # Errors
/// `"FILE": FIELD: cause` for the first thing that is wrong.
pub fn parse(text: &[u8], file: &str) -> Result<(Config, Vec<String>)> {
    let (raw, mut config) = without_nulls::<Config>(text, file)?;
    let mut warnings = Vec::new();
    check::config(&mut config, &At::top(file), &mut warnings)?;
    check::raw(&raw, &At::top(file), &mut warnings)?;
    Ok((config, warnings))
}

/// Reads and checks a process (config.md, "Process") that stands in a document of its own; `file` is its name for messages.
/// The tree tells what was given from what the types fill in. The warnings are complete lines.
///
/// # Errors
/// `"FILE": FIELD: cause` for the first thing that is wrong.
pub fn parse_process(text: &[u8], file: &str) -> Result<(Value, Process, Vec<String>)> {
    let (raw, mut process) = without_nulls::<Process>(text, file)?;
    let mut warnings = Vec::new();
    check::process(&mut process, &At::top(file), &mut warnings)?;
    Ok((raw, process, warnings))
}

/// Checks a process that was put together from a checked one and flags; `file` is where the first came from.
///
/// # Errors
/// As [`parse_process`].
pub fn check_process(process: &mut Process, file: &str) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    check::process(process, &At::top(file).within("process"), &mut warnings)?;
    Ok(warnings)
}

/// Checks what a config needs to be run here, beyond being a valid document: a 1.x version, `process`, `root`, `linux`
/// and a mount namespace.
///
/// # Errors
/// `"FILE": FIELD: cause` for the first thing that is missing.
pub fn check_runnable(config: &Config, file: &str) -> Result<()> {
    check::runnable(config, &At::top(file))
}

/// Any document as a tree and as a type: without duplicate keys, NUL, or arrays in the place of objects. `file` is its
/// name for messages.
///
/// # Errors
/// `"FILE": FIELD: cause` for the first thing that is wrong.
pub fn typed<T: DeserializeOwned + Serialize>(text: &[u8], file: &str) -> Result<(Value, T)> {
    let text = utf8(text, file)?;
    let Document(raw) = deserialize(text, file)?;
    let typed: T = deserialize(text, file)?;
    shaped(raw, typed, file)
}

/// A document of the OCI runtime as [`typed`] has it; a field that is null is not there.
pub(super) fn without_nulls<T: DeserializeOwned + Serialize>(
    text: &[u8],
    file: &str,
) -> Result<(Value, T)> {
    let text = utf8(text, file)?;
    let Document(mut raw) = deserialize(text, file)?;
    let typed: T = if null::drop_fields(&mut raw) {
        serde_path_to_error::deserialize(&raw).map_err(|e| wrong_at(e.path(), e.inner(), file))?
    } else {
        // From the text, for the places in it that errors name.
        deserialize(text, file)?
    };
    shaped(raw, typed, file)
}

fn shaped<T: Serialize>(raw: Value, typed: T, file: &str) -> Result<(Value, T)> {
    let again = serde_json::to_value(&typed).expect("the specification's types are plain JSON");
    same_shape(&raw, &again, "", file)?;
    Ok((raw, typed))
}

fn utf8<'a>(text: &'a [u8], file: &str) -> Result<&'a str> {
    if text.starts_with(b"\xef\xbb\xbf") {
        let cause = "begins with a byte order mark";
        return Err(Error::new(quote(file), cause).hint("save it as UTF-8 without one"));
    }
    let text = std::str::from_utf8(text).map_err(|e| {
        let cause = format!("is not UTF-8 at byte {}", e.valid_up_to());
        Error::new(quote(file), cause)
    })?;
    if text.trim().is_empty() {
        return Err(Error::new(quote(file), "is empty"));
    }
    Ok(text)
}

fn deserialize<'a, T: Deserialize<'a>>(text: &'a str, file: &str) -> Result<T> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut deserializer)
        .map_err(|e| wrong_at(e.path(), e.inner(), file))?;
    let end = deserializer.end();
    end.map_err(|e| Error::new(quote(file), e))?;
    Ok(value)
}

fn wrong_at(path: &serde_path_to_error::Path, cause: &serde_json::Error, file: &str) -> Error {
    let path = path.to_string();
    // "." is the document, "?" a place that has no name yet, such as after a comma.
    let field = path.trim_end_matches(['.', '?']);
    At::top(file).refuse(printable(field), printable(&cause.to_string()))
}

/// Text of a library that may repeat text of the document: made one short line without control characters.
fn printable(text: &str) -> String {
    const LONGEST: usize = 400;
    let plain = escape(text).replace("\\\"", "\"").replace("\\\\", "\\");
    match plain.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &plain[..at]),
        None => plain,
    }
}

/// serde reads an object from an array too, and a word from an object; another reader of the same file would not.
/// So the typed document, written again, must have the kinds of the original everywhere.
fn same_shape(raw: &Value, typed: &Value, field: &str, file: &str) -> Result<()> {
    let wrong = |expected: &str| {
        let cause = format!("expected {expected}");
        Err(At::top(file).refuse(printable(field), cause))
    };
    match (raw, typed) {
        (Value::Object(raw), Value::Object(typed)) => typed
            .iter()
            .filter_map(|(key, value)| Some((key, raw.get(key)?, value)))
            .try_for_each(|(key, raw, typed)| {
                let dot = if field.is_empty() { "" } else { "." };
                same_shape(raw, typed, &format!("{field}{dot}{key}"), file)
            }),
        (Value::Array(raw), Value::Array(typed)) => {
            raw.iter()
                .zip(typed)
                .enumerate()
                .try_for_each(|(i, (raw, typed))| {
                    same_shape(raw, typed, &format!("{field}[{i}]"), file)
                })
        }
        (_, Value::Object(_)) => wrong("an object"),
        (Value::Object(_) | Value::Array(_), Value::String(_)) => wrong("a string"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
