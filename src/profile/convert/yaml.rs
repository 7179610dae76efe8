//! YAML from and to a tree of JSON (YAML 1.2, core schema). Not here: tags, anchors and aliases, keys other than text.
//! An alias is refused, since a few of them stand for more than any memory holds.

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Number, Value};

use crate::error::{Error, Result};

/// A document that is nested more than this is not of this world.
const DEEPEST: usize = 64;

/// The one document of a text.
///
/// # Errors
/// What is not YAML, with its line; several documents; what is said above.
pub(super) fn read(text: &str) -> Result<Value> {
    let mut reading = Reading {
        open: Vec::new(),
        whole: None,
    };
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|cause| Error::new("read YAML", cause))?;
        let line = span.start.line();
        reading
            .event(event)
            .map_err(|cause| Error::new(format!("read YAML: line {line}"), cause))?;
    }
    reading
        .whole
        .ok_or_else(|| Error::new("read YAML", "there is no document"))
}

/// A list or a table that is not closed yet; of a table with the key that waits for its value.
enum Open {
    List(Vec<Value>),
    Table(Map<String, Value>, Option<String>),
}

struct Reading {
    open: Vec<Open>,
    whole: Option<Value>,
}

impl Reading {
    fn event(&mut self, event: Event<'_>) -> std::result::Result<(), &'static str> {
        match event {
            Event::Alias(_) => Err("aliases are not read"),
            Event::Scalar(text, style, anchor, tag) => {
                if anchor != 0 || tag.is_some() {
                    return Err("anchors and tags are not read");
                }
                self.value(scalar(&text, style)?)
            }
            Event::SequenceStart(anchor, tag) => {
                self.start(Open::List(Vec::new()), anchor != 0 || tag.is_some())
            }
            Event::MappingStart(anchor, tag) => {
                self.start(Open::Table(Map::new(), None), anchor != 0 || tag.is_some())
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open::List(items)) => self.value(items.into()),
                Some(Open::Table(members, _)) => self.value(members.into()),
                None => Err("nothing is open"),
            },
            _ => Ok(()),
        }
    }

    fn start(&mut self, open: Open, is_marked: bool) -> std::result::Result<(), &'static str> {
        if is_marked {
            return Err("anchors and tags are not read");
        }
        if self.open.len() >= DEEPEST {
            return Err("it is nested too deep");
        }
        self.open.push(open);
        Ok(())
    }

    fn value(&mut self, value: Value) -> std::result::Result<(), &'static str> {
        match self.open.last_mut() {
            None if self.whole.is_some() => return Err("there is more than one document"),
            None => self.whole = Some(value),
            Some(Open::List(items)) => items.push(value),
            Some(Open::Table(members, key)) => match (key.take(), value) {
                (None, Value::String(text)) if members.contains_key(&text) => {
                    return Err("a key is there twice");
                }
                (None, Value::String(text)) => *key = Some(text),
                (None, _) => return Err("a key is not text"),
                (Some(key), value) => {
                    members.insert(key, value);
                }
            },
        }
        Ok(())
    }
}

/// What a word without quotes means.
fn scalar(text: &str, style: ScalarStyle) -> std::result::Result<Value, &'static str> {
    if style != ScalarStyle::Plain {
        return Ok(text.into());
    }
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => true.into(),
        "false" | "False" | "FALSE" => false.into(),
        // YAML 1.1 takes these for true and false, 1.2 for words.
        "yes" | "Yes" | "YES" | "no" | "No" | "NO" | "on" | "On" | "ON" | "off" | "Off" | "OFF" => {
            return Err("yes, no, on and off mean different things to readers of YAML");
        }
        text => match text.parse::<i64>() {
            Ok(number) if !text.starts_with('+') => number.into(),
            _ => decimal(text).map_or_else(|| text.into(), Value::Number),
        },
    })
}

fn decimal(text: &str) -> Option<Number> {
    let is_decimal = text.starts_with(|c: char| c.is_ascii_digit() || c == '-')
        && text
            .chars()
            .all(|c| c.is_ascii_digit() || "+-.eE".contains(c));
    Number::from_f64(text.parse().ok().filter(|_| is_decimal)?)
}

/// In block style; text is quoted as in JSON, wherever it is not plainly a word.
pub(super) fn write(value: &Value) -> String {
    let mut text = String::new();
    match value {
        Value::Object(members) => table(&mut text, members, 0),
        value => text.push_str(&flow(value)),
    }
    text.truncate(text.trim_end().len());
    text
}

fn table(text: &mut String, members: &Map<String, Value>, depth: usize) {
    for (key, value) in members {
        text.push_str(&"  ".repeat(depth));
        text.push_str(&flow(&key.as_str().into()));
        text.push(':');
        below(text, value, depth);
    }
}

fn below(text: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            text.push('\n');
            table(text, members, depth + 1);
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            text.push('\n');
            for item in items {
                let mut inner = String::new();
                match item {
                    Value::Object(members) => table(&mut inner, members, depth + 1),
                    item => inner = format!("{}{}\n", "  ".repeat(depth + 1), flow(item)),
                }
                let (start, rest) = inner.split_at((depth + 1) * 2);
                text.push_str(&start[2..]);
                text.push_str("- ");
                text.push_str(rest);
            }
        }
        value => {
            text.push(' ');
            text.push_str(&flow(value));
            text.push('\n');
        }
    }
}

/// On one line. JSON is YAML.
fn flow(value: &Value) -> String {
    match value {
        Value::String(word) if is_plain(word) => word.clone(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(flow).collect();
            format!("[{}]", items.join(", "))
        }
        value => value.to_string(),
    }
}

/// A word that no reader takes for anything else.
fn is_plain(word: &str) -> bool {
    let reserved = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"];
    word.starts_with(|c: char| c.is_ascii_alphabetic())
        && word
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c))
        && !reserved.contains(&word.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_written_reads_as_the_same() {
        let value = json!({
            "a": { "b": [], "c": ["x", "y z", "true", "1", 1, -2, true, null], "d": {} },
            "list": [{ "name": "app", "inner": { "k": "v" } }, { "name": "\u{1b}\"" }],
            "on": "500m", "empty": "",
        });
        assert_eq!(read(&write(&value)).unwrap(), value, "{}", write(&value));
    }

    #[test]
    fn what_could_mean_two_things_is_refused() {
        let refused = |text: &str| read(text).unwrap_err().to_string();
        assert_eq!(
            refused("a: &x 1\nb: *x"),
            "read YAML: line 1: anchors and tags are not read"
        );
        assert_eq!(refused("b: *x").split(':').next(), Some("read YAML"));
        assert_eq!(
            refused("a: 1\na: 2"),
            "read YAML: line 2: a key is there twice"
        );
        assert_eq!(
            refused("a: yes"),
            "read YAML: line 1: yes, no, on and off mean different things to readers of YAML"
        );
        assert_eq!(
            refused("a: 1\n---\nb: 2"),
            "read YAML: line 4: there is more than one document"
        );
        assert!(refused(&"[".repeat(200)).starts_with("read YAML: line 1: it is nested too deep"));
        assert_eq!(refused(""), "read YAML: there is no document");
    }
}
