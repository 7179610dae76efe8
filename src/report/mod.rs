//! What a tool of stockade found: facts in sections, and checks; and the writers that turn them into text or JSON.
//!
//! What is looked for, and what ought to be found, is not here but in `probe` and `profile`.

pub mod checks;
mod json;
mod page;
mod severity;
mod text;

use std::fmt;

use serde::Serialize;

use checks::Checks;
pub use json::write as write_json;
pub use severity::Severity;
pub use text::write as write_text;

/// What the output is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Aligned text for a reader.
    #[default]
    Text,
    /// One JSON object with the same content.
    Json,
}

/// Whether text may hold colours. The caller decides, by the terminal, `--color` and NO_COLOR.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Appearance {
    /// Text only.
    #[default]
    Plain,
    /// With SGR colour sequences.
    Coloured,
}

/// A whole report: facts in sections, then checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What the report is about, as a heading.
    pub title: String,
    /// The facts.
    pub sections: Vec<Section>,
    /// The checks.
    pub checks: Checks,
}

/// Facts under one heading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// The heading in text.
    pub heading: &'static str,
    /// The member name in JSON.
    pub key: &'static str,
    /// The facts, or why there are none.
    pub body: Body,
}

/// What a section holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// Named values.
    Facts(Vec<Fact>),
    /// Rows under column names; each row has as many cells as there are columns.
    Table {
        /// The column names.
        columns: &'static [&'static str],
        /// The cells.
        rows: Vec<Vec<String>>,
    },
    /// Nothing could be read, for this reason.
    NotVisible(String),
}

/// One named value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// The name, a few words in lower case.
    pub name: String,
    /// The value.
    pub value: Value,
}

/// A value of a [`Fact`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// One value as text.
    One(String),
    /// Any number of them; text says `none` where there are none.
    Many(Vec<String>),
}

impl Fact {
    /// A fact with one value.
    pub fn one(name: impl Into<String>, value: impl fmt::Display) -> Self {
        Self {
            name: name.into(),
            value: Value::One(value.to_string()),
        }
    }

    /// A fact with any number of values.
    pub fn many(name: impl Into<String>, values: Vec<String>) -> Self {
        Self {
            name: name.into(),
            value: Value::Many(values),
        }
    }
}
