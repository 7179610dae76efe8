//! Answers held against promises, as checks; and the exposure, one number for the whole.

use serde::{Deserialize, Serialize};

use super::answer::{Answer, Outcome};
use super::promise::{Promise, Want};
use super::rows::ROWS;
use super::scene::is_below;
use super::table::Probe;
use crate::report::checks::{self, Check, Checks};
use crate::report::{Fact, Severity};

/// The answer to a probe, by its id, as one process tells it to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// Of the probe.
    pub id: String,
    /// What came of it.
    pub answer: Answer,
}

/// How an answer stands to what was promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// As promised.
    Ok,
    /// More open.
    Weak,
    /// Less open, which breaks no promise.
    Strict,
    /// Something that ought to work does not.
    Broken,
}

impl Standing {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Weak => "weak",
            Self::Strict => "strict",
            Self::Broken => "broken",
        }
    }
}

/// Checks of what was answered. An id that no probe has is passed over: the answer may come from a hostile place.
pub fn checks(subject: &str, answers: &[Answered], promise: &Promise) -> Checks {
    let known: Vec<(&Probe, &Answer)> = ROWS
        .iter()
        .filter_map(|probe| {
            let found = answers.iter().find(|answered| answered.id == probe.id)?;
            Some((probe, &found.answer))
        })
        .collect();
    let exposure = Exposure::of(&known);
    let each = known
        .iter()
        .map(|(probe, answer)| check(probe, answer, promise.want(probe.id)));
    Checks {
        tool: "probe",
        subject: subject.to_owned(),
        checks: each.collect(),
        facts: vec![
            Fact::one("exposure", exposure),
            Fact::one("rating", exposure.word()),
        ],
    }
}

fn check(probe: &Probe, answer: &Answer, want: &Want) -> Check {
    let standing = standing(probe, answer, want);
    let outcome = match (answer.outcome, standing) {
        (Outcome::Skipped, _) => checks::Outcome::Skip(answer.why.clone()),
        (Outcome::Unanswered, _) => checks::Outcome::Error(answer.why.clone()),
        (_, Standing::Ok | Standing::Strict) => checks::Outcome::Pass,
        (_, Standing::Weak | Standing::Broken) => checks::Outcome::Fail,
    };
    let wanted = match want {
        _ if probe.is_needed() => "open".to_owned(),
        Want::Closed => "refused".to_owned(),
        Want::Open => "open or refused".to_owned(),
        Want::Only(list) => format!("at most {}", list.join(", ")),
    };
    let outcome_word = word(answer.outcome);
    Check {
        id: probe.id.to_owned(),
        group: probe.group,
        title: probe.title.to_owned(),
        severity: probe.severity,
        outcome,
        wanted,
        got: format!("{outcome_word}: {}", answer.why),
        place: None,
        help: probe.why.to_owned(),
        facts: vec![
            Fact::one("number", probe.number),
            Fact::one("answer", outcome_word),
            Fact::one("standing", standing.word()),
        ],
    }
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Filtered => "filtered",
        Outcome::Denied => "denied",
        Outcome::Open => "open",
        Outcome::Skipped => "skipped",
        Outcome::Unanswered => "unanswered",
    }
}

fn standing(probe: &Probe, answer: &Answer, want: &Want) -> Standing {
    let is_open = answer.outcome == Outcome::Open;
    match want {
        _ if probe.is_needed() && is_open => Standing::Ok,
        Want::Open if probe.is_needed() => Standing::Broken,
        Want::Closed if is_open => Standing::Weak,
        Want::Closed => Standing::Ok,
        Want::Only(list) if is_open => {
            let is_listed = |found: &String| list.iter().any(|place| is_below(found, place));
            if !answer.found.is_empty() && answer.found.iter().all(is_listed) {
                Standing::Ok
            } else {
                Standing::Weak
            }
        }
        Want::Open if is_open => Standing::Ok,
        Want::Open | Want::Only(_) => Standing::Strict,
    }
}

/// How much of what was tried is open, each by its severity, from 0 for nothing to 10 for all, in tenths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Exposure(u32);

impl Exposure {
    fn of(answers: &[(&Probe, &Answer)]) -> Self {
        let weigh = |counts: &dyn Fn(Outcome) -> bool| -> u32 {
            let counted = answers
                .iter()
                .filter(|(probe, answer)| !probe.is_needed() && counts(answer.outcome));
            counted.map(|(probe, _)| weight(probe.severity)).sum()
        };
        let all = weigh(&|outcome| !matches!(outcome, Outcome::Skipped | Outcome::Unanswered));
        let open = weigh(&|outcome| outcome == Outcome::Open);
        // Rounded up: what is open is never nothing.
        Self((open * 100).div_ceil(all.max(1)))
    }

    /// One word.
    pub fn word(self) -> &'static str {
        match self.0 {
            0..=25 => "OK",
            26..=50 => "MEDIUM",
            51..=75 => "EXPOSED",
            _ => "UNSAFE",
        }
    }
}

/// `2.5`.
impl std::fmt::Display for Exposure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0 / 10, self.0 % 10)
    }
}

fn weight(severity: Severity) -> u32 {
    match severity {
        Severity::Critical | Severity::High => 10,
        Severity::Medium => 4,
        Severity::Low => 1,
    }
}
