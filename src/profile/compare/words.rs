//! A change as one line.

use std::fmt;

use serde_json::Value;

use super::{Direction, FieldChange};
use crate::error::{escape, quote};

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stricter => "stricter",
            Self::Looser => "looser",
            Self::Different => "different",
        })
    }
}

/// One line.
impl fmt::Display for FieldChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            field,
            direction,
            a,
            b,
            calls,
            ..
        } = self;
        write!(f, "{}: {direction}: ", escape(field))?;
        if let (Value::Array(a), Value::Array(b)) = (a, b) {
            let without = |from: &[Value], other: &[Value], sign: char| {
                let rest = from.iter().filter(|item| !other.contains(item));
                rest.map(|item| format!("{sign}{}", plain(item)))
                    .collect::<Vec<_>>()
            };
            let items = [without(a, b, '-'), without(b, a, '+')].concat();
            return f.write_str(&items.join(" "));
        }
        write!(f, "{} -> {}", plain(a), plain(b))?;
        if calls.is_empty() {
            return Ok(());
        }
        write!(f, ": {}", calls.join(" "))
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "anything".to_owned(),
        Value::String(text) if escape(text) == *text => text.clone(),
        Value::String(text) => quote(text),
        Value::Array(items) if items.is_empty() => "none".to_owned(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(" "),
        value => value.to_string(),
    }
}
