//! What a tool of stockade found: one model, and the writers that turn it into text or JSON.
//!
//! What is looked for, and what ought to be found, is not here but in `probe`.

pub mod checks;
mod json;
mod page;
mod severity;
mod text;

use std::fmt;

use serde::Serialize;

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

/// A whole report: facts in sections, then findings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// What the report is about, as a heading.
    pub title: String,
    /// The facts.
    pub sections: Vec<Section>,
    /// The findings, in groups with a heading each.
    pub groups: Vec<Group>,
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

/// Findings under one heading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The heading in text, the group in JSON.
    pub heading: &'static str,
    /// The findings.
    pub findings: Vec<Finding>,
}

/// One thing that was looked for or tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// A stable name, words joined by hyphens.
    pub id: &'static str,
    /// How much it matters when the outcome is not the expected one.
    pub severity: Severity,
    /// What it is, in one line.
    pub title: &'static str,
    /// What came of it.
    pub outcome: Outcome,
    /// Where: a path, where the finding has one.
    #[serde(rename = "where", skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// Why the outcome is what it is: an errno, a signal, a value.
    pub why: String,
    /// What was expected.
    pub want: Want,
    /// Whether the outcome is the expected one.
    pub met: bool,
}

/// What came of an act or a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The act was stopped by a seccomp filter, before the kernel looked at it.
    Filtered,
    /// The act was refused by the kernel.
    Denied,
    /// The act succeeded, or got as far as the kernel's own code.
    Open,
    /// The act makes no sense here.
    Skipped,
    /// The act gave no answer, by a crash or a time limit.
    NoAnswer,
    /// A condition is fulfilled.
    Holds,
    /// A condition is not fulfilled.
    Broken,
}

/// What is expected of an act or a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Want {
    /// Filtered or denied.
    Refused,
    /// Open: confinement must not break it.
    Open,
    /// The condition holds.
    Holds,
}

impl Want {
    /// Whether `outcome` is what was wanted; what could not be tried breaks no expectation.
    pub fn is_met_by(self, outcome: Outcome) -> bool {
        match outcome {
            Outcome::Skipped => true,
            Outcome::NoAnswer | Outcome::Broken => false,
            Outcome::Filtered | Outcome::Denied => self == Self::Refused,
            Outcome::Open => self == Self::Open,
            Outcome::Holds => self == Self::Holds,
        }
    }
}

/// The numbers of a report.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tally {
    /// Acts that ought to be refused and were tried.
    pub forbidden: usize,
    /// Those of them that were refused.
    pub refused: usize,
    /// Acts tried: filtered, denied, open and unanswered ones.
    pub acts: usize,
    /// Stopped by a filter.
    pub filtered: usize,
    /// Refused by the kernel.
    pub denied: usize,
    /// Let through.
    pub open: usize,
    /// The titles of those that are open as they must be.
    pub expected_open: Vec<&'static str>,
    /// Not tried.
    pub skipped: usize,
    /// Gave no answer.
    pub unanswered: usize,
    /// Conditions looked at.
    pub checks: usize,
    /// Conditions that hold.
    pub held: usize,
    /// The ids of the findings that are not as expected.
    pub failed: Vec<&'static str>,
}

impl Report {
    /// All findings in order.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.groups.iter().flat_map(|group| &group.findings)
    }

    /// Counts the findings.
    pub fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for finding in self.findings() {
            tally.add(finding);
        }
        tally.acts = tally.filtered + tally.denied + tally.open + tally.unanswered;
        tally
    }
}

impl Tally {
    fn add(&mut self, finding: &Finding) {
        match finding.outcome {
            Outcome::Filtered => self.filtered += 1,
            Outcome::Denied => self.denied += 1,
            Outcome::Open => self.open += 1,
            Outcome::Skipped => self.skipped += 1,
            Outcome::NoAnswer => self.unanswered += 1,
            Outcome::Holds => {
                self.checks += 1;
                self.held += 1;
            }
            Outcome::Broken => self.checks += 1,
        }
        if finding.want == Want::Refused && finding.outcome != Outcome::Skipped {
            self.forbidden += 1;
            self.refused += usize::from(finding.met);
        }
        if finding.outcome == Outcome::Open && finding.met {
            self.expected_open.push(finding.title);
        }
        if !finding.met {
            self.failed.push(finding.id);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn finding(id: &'static str, outcome: Outcome, want: Want) -> Finding {
        Finding {
            id,
            severity: Severity::High,
            title: id,
            outcome,
            place: None,
            why: "EPERM".to_owned(),
            want,
            met: want.is_met_by(outcome),
        }
    }

    #[test]
    fn tally_counts_acts_and_checks_apart_and_names_the_failed() {
        let findings = vec![
            finding("a", Outcome::Filtered, Want::Refused),
            finding("b", Outcome::Denied, Want::Refused),
            finding("c", Outcome::Open, Want::Refused),
            finding("d", Outcome::Open, Want::Open),
            finding("e", Outcome::Denied, Want::Open),
            finding("f", Outcome::Skipped, Want::Refused),
            finding("g", Outcome::NoAnswer, Want::Refused),
            finding("h", Outcome::Holds, Want::Holds),
            finding("i", Outcome::Broken, Want::Holds),
        ];
        let groups = vec![Group {
            heading: "All",
            findings,
        }];
        let report = Report {
            groups,
            ..Report::default()
        };
        let expected = Tally {
            forbidden: 4,
            refused: 2,
            acts: 6,
            filtered: 1,
            denied: 2,
            open: 2,
            expected_open: vec!["d"],
            skipped: 1,
            unanswered: 1,
            checks: 2,
            held: 1,
            failed: vec!["c", "e", "g", "i"],
        };
        assert_eq!(report.tally(), expected);
    }
}
