//! How much a finding matters: one scale for every tool.

use std::fmt;

use serde::Serialize;

/// How much it matters that something is not as it ought to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Untidy: without effect on what is confined.
    Low,
    /// Helps an attacker, or is hardly what was meant.
    Medium,
    /// A way out, or a promise that is not kept.
    High,
    /// The host, or a secret, is there for the taking.
    Critical,
}

const ALL: [Severity; 4] = [
    Severity::Low,
    Severity::Medium,
    Severity::High,
    Severity::Critical,
];

impl Severity {
    /// One word in lower case.
    pub fn word(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// The severity of this word.
    pub fn of_word(word: &str) -> Option<Self> {
        ALL.into_iter().find(|severity| severity.word() == word)
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}
