//! What a tool checked and what came of it: one model for every tool, and its writers for people and for programs.
//!
//! What is checked, and what ought to come of it, is the tool's: `probe`, `profile check`.

pub(super) mod json;
mod junit;
mod sarif;
mod tap;
pub(super) mod text;

#[cfg(test)]
mod tests;

use std::io::Write;

use serde::Serialize;

use super::{Appearance, Fact, Severity};
use crate::error::{Doing, Result};

/// Everything that one run of a tool checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checks {
    /// The tool's name, one word: `probe`.
    pub tool: &'static str,
    /// What was looked at, for a reader: `profile "restricted"`.
    pub subject: String,
    /// In the order in which they are shown; those of one group stand together.
    pub checks: Vec<Check>,
    /// What else there is to say of the whole, such as a score.
    pub facts: Vec<Fact>,
}

/// One thing that was checked. Every text may come from outside: the writers escape it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// A stable name, words joined by hyphens, unique in its tool; several checks may share one when it is of a rule
    /// that is broken in several places.
    pub id: String,
    /// The heading that it is shown under.
    pub group: &'static str,
    /// What it is, in one line.
    pub title: String,
    /// How much it matters when it fails.
    pub severity: Severity,
    /// What came of it.
    pub outcome: Outcome,
    /// What ought to be, in a few words; empty where the title says it.
    pub wanted: String,
    /// What was found, in a few words.
    pub got: String,
    /// Where, if it has a place.
    pub place: Option<Place>,
    /// Why it matters or what to do about it, as one sentence.
    pub help: String,
    /// What else the tool says of it, for programs.
    pub facts: Vec<Fact>,
}

/// What came of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is as it ought to be.
    Pass,
    /// It is not.
    Fail,
    /// It was not looked at, for this reason.
    Skip(String),
    /// It could not be found out, for this reason. That counts as a failure.
    Error(String),
}

impl Outcome {
    /// One word in lower case.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Skip(_) => "skip",
            Self::Error(_) => "error",
        }
    }

    /// Whether it is neither as it ought to be nor left out.
    pub fn is_bad(&self) -> bool {
        matches!(self, Self::Fail | Self::Error(_))
    }

    /// Why there is no answer.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Skip(reason) | Self::Error(reason) => Some(reason),
            Self::Pass | Self::Fail => None,
        }
    }
}

/// Where something was found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// A path, or the name of what was looked at.
    pub file: String,
    /// From 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// A JSON pointer or the key in a TOML file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
}

impl Place {
    /// A file as a whole.
    pub fn file(file: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            ..Self::default()
        }
    }

    /// Something in a JSON document.
    pub fn pointer(file: impl Into<String>, pointer: impl Into<String>) -> Self {
        Self {
            pointer: Some(pointer.into()),
            ..Self::file(file)
        }
    }

    /// `FILE:LINE: POINTER`, as far as there is one; not yet escaped.
    fn shown(&self) -> String {
        let mut shown = self.file.clone();
        if let Some(line) = self.line {
            shown.push_str(&format!(":{line}"));
        }
        if let Some(pointer) = &self.pointer {
            shown.push_str(&format!(": {pointer}"));
        }
        shown
    }
}

/// What checks are written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Aligned text for a reader.
    #[default]
    Text,
    /// One JSON object.
    Json,
    /// The Test Anything Protocol, version 14.
    Tap,
    /// The XML that continuous integration takes for test results.
    Junit,
    /// The Static Analysis Results Interchange Format, version 2.1.0.
    Sarif,
}

/// How many checks there are of each outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Tally {
    /// All.
    pub checks: usize,
    /// As they ought to be.
    pub passed: usize,
    /// Not so.
    pub failed: usize,
    /// Left out.
    pub skipped: usize,
    /// Without an answer.
    pub errors: usize,
}

impl Checks {
    /// Writes them to `out`; `appearance` is for text alone.
    ///
    /// # Errors
    /// A failure of `out`.
    pub fn write(&self, out: &mut dyn Write, format: Format, appearance: Appearance) -> Result<()> {
        let text = match format {
            Format::Text => text::text(self, appearance),
            Format::Json => json::text(self)?,
            Format::Tap => tap::text(self),
            Format::Junit => junit::text(self),
            Format::Sarif => sarif::text(self)?,
        };
        out.write_all(text.as_bytes())
            .and_then(|()| out.flush())
            .doing(|| "write the report")
    }

    /// Counts them.
    pub fn tally(&self) -> Tally {
        let mut tally = Tally {
            checks: self.checks.len(),
            ..Tally::default()
        };
        for check in &self.checks {
            *match check.outcome {
                Outcome::Pass => &mut tally.passed,
                Outcome::Fail => &mut tally.failed,
                Outcome::Skip(_) => &mut tally.skipped,
                Outcome::Error(_) => &mut tally.errors,
            } += 1;
        }
        tally
    }

    /// Those that are not as they ought to be, of this severity or above.
    pub fn bad(&self, least: Severity) -> impl Iterator<Item = &Check> {
        let is_bad = move |check: &&Check| check.outcome.is_bad() && check.severity >= least;
        self.checks.iter().filter(is_bad)
    }
}
