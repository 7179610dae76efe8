//! What a probe is, and running one or all of them. The rows themselves are in `rows`.
//!
//! Each is run in a process of its own, ended by an alarm: whatever it does happens to nobody else.

use std::time::Duration;

use super::answer::{Answer, Outcome};
use super::promise::{Asked, Want};
use super::scene::Scene;
use super::{acts, words};
use crate::report::Severity;
use crate::sys::attempt::{Attempt, Ending, alone};

/// Far more than looking at a few files needs.
const LIMIT: Duration = Duration::from_secs(5);

/// One thing that a confined program ought not to be able to do.
#[derive(Debug)]
pub struct Probe {
    /// From 1, without gaps: the place in the table.
    pub number: u8,
    /// Words joined by hyphens.
    pub id: &'static str,
    /// The heading that it is shown under.
    pub group: &'static str,
    /// How much it matters where it is open.
    pub severity: Severity,
    /// What is tried, in one line.
    pub title: &'static str,
    /// Why it matters, in one sentence.
    pub why: &'static str,
    pub(super) how: How,
    pub(super) promised: Promised,
}

/// What a probe does.
#[derive(Debug)]
pub(super) enum How {
    /// Makes system calls, of which the most open one counts.
    Calls(&'static [(&'static str, Attempt)]),
    /// The same of changes of ids.
    Ids(&'static [(&'static str, Attempt)]),
    /// The same, but every one must be let through: confinement must not break it.
    Needed(&'static [(&'static str, Attempt)]),
    /// Looks around.
    Look(fn(&Scene) -> Answer),
}

/// How it follows from a config and a profile whether an act may be open.
#[derive(Debug)]
pub(super) enum Promised {
    /// By what the filters say of the calls.
    ByFilters,
    /// By something else.
    By(fn(&Asked<'_>) -> Want),
    /// By the filters, and where they let it pass, by something else.
    ByFiltersAnd(fn(&Asked<'_>) -> Want),
}

impl Probe {
    /// Tries it, in a process of its own.
    pub(super) fn run(&self, scene: &Scene) -> Answer {
        match self.how {
            How::Calls(calls) => most_open(each(calls, acts::try_out)),
            How::Ids(calls) => {
                let try_out = |call: &Attempt| acts::try_out_with(call, acts::IMPOSSIBLE_FOR_IDS);
                most_open(each(calls, try_out))
            }
            How::Needed(calls) => least_open(calls),
            How::Look(look) => looked(look, scene),
        }
    }

    /// Whether confinement ought to let it be.
    pub(super) fn is_needed(&self) -> bool {
        matches!(self.how, How::Needed(_))
    }

    pub(super) fn calls(&self) -> &'static [(&'static str, Attempt)] {
        match self.how {
            How::Calls(calls) | How::Ids(calls) | How::Needed(calls) => calls,
            How::Look(_) => &[],
        }
    }
}

fn most_open(answers: impl Iterator<Item = Answer>) -> Answer {
    let openness = |answer: &Answer| match answer.outcome {
        Outcome::Skipped => 0,
        Outcome::Filtered => 1,
        Outcome::Denied => 2,
        Outcome::Unanswered => 3,
        Outcome::Open => 4,
    };
    let mut worst: Option<Answer> = None;
    for answer in answers {
        if worst
            .as_ref()
            .is_none_or(|worst| openness(&answer) > openness(worst))
        {
            worst = Some(answer);
        }
    }
    worst.unwrap_or_else(|| Answer::skipped("nothing to try"))
}

fn least_open(calls: &'static [(&'static str, Attempt)]) -> Answer {
    let mut answers = each(calls, acts::try_out);
    let stopped = answers.find(|answer| answer.outcome != Outcome::Open);
    stopped.unwrap_or_else(|| Answer::open("succeeded"))
}

/// Which call it was is told where there are several.
fn each(
    calls: &'static [(&'static str, Attempt)],
    try_out: impl Fn(&Attempt) -> Answer,
) -> impl Iterator<Item = Answer> {
    calls.iter().map(move |(name, attempt)| {
        let mut answer = try_out(attempt);
        if calls.len() > 1 {
            answer.why = format!("{}: {}", name.to_ascii_lowercase(), answer.why);
        }
        answer
    })
}

fn looked(look: fn(&Scene) -> Answer, scene: &Scene) -> Answer {
    let ending = alone(LIMIT, &|| {
        serde_json::to_vec(&look(scene)).unwrap_or_default()
    });
    let unanswered = |why: String| Answer::new(Outcome::Unanswered, why);
    match ending {
        Ok(Ending::Answered(bytes)) => serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| unanswered("an answer that makes no sense".to_owned())),
        Ok(Ending::Exited(code)) => unanswered(format!("exited with {code}")),
        Ok(Ending::Killed(libc::SIGSYS)) => Answer::new(Outcome::Filtered, "killed by SIGSYS"),
        Ok(Ending::Killed(signal)) => unanswered(format!("killed by {}", words::signal(signal))),
        Err(error) => unanswered(format!("no process for it: {error}")),
    }
}
