//! What came of trying or looking: who answered, and what was found.
//!
//! Whether that is as it ought to be is `judge`'s.

use serde::{Deserialize, Serialize};

/// Who stopped an act, if anybody did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// A seccomp filter, before the kernel looked at it.
    Filtered,
    /// The kernel, or there is nothing there to act on.
    Denied,
    /// Nobody: it succeeded, or got as far as the kernel's own code.
    Open,
    /// It makes no sense here: the kernel or the processor has no such thing.
    Skipped,
    /// It gave no answer, by a crash or a time limit.
    Unanswered,
}

/// What came of one probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Who stopped it.
    pub outcome: Outcome,
    /// An errno, a signal, a value.
    pub why: String,
    /// What is open, by names that a promise can list; empty where the probe is about one thing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub found: Vec<String>,
}

/// An answer crosses a pipe whole, and a reader wants no more.
const MOST: usize = 24;

impl Answer {
    pub(super) fn new(outcome: Outcome, why: impl Into<String>) -> Self {
        Self {
            outcome,
            why: why.into(),
            found: Vec::new(),
        }
    }

    pub(super) fn open(why: impl Into<String>) -> Self {
        Self::new(Outcome::Open, why)
    }

    pub(super) fn denied(why: impl Into<String>) -> Self {
        Self::new(Outcome::Denied, why)
    }

    pub(super) fn skipped(why: impl Into<String>) -> Self {
        Self::new(Outcome::Skipped, why)
    }

    /// Open by each of these; denied, as `none` says it, where there are none.
    pub(super) fn of_found(mut found: Vec<String>, none: &str) -> Self {
        if found.is_empty() {
            return Self::denied(none);
        }
        let all = found.len();
        found.truncate(MOST);
        let mut why = found.join(", ");
        if all > MOST {
            why.push_str(&format!(" and {} more", all - MOST));
        }
        Self {
            outcome: Outcome::Open,
            why,
            found,
        }
    }
}
