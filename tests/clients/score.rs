//! Runs the same checks with every runtime side by side, counts, and compares with the reference.
//! Not here: the checks.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{REFUSES, Verdict};

/// One check of a client, with whichever runtime.
pub(crate) struct Check<C> {
    /// The claim.
    pub(crate) claim: &'static str,
    /// Tries it.
    pub(crate) holds: fn(&C) -> Verdict,
}

impl<C> Clone for Check<C> {
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}

/// A check that a runtime may fail although the reference passes, and why that is right.
pub(crate) struct Excuse {
    /// The lane's name.
    pub(crate) lane: &'static str,
    /// The claim of the check.
    pub(crate) claim: &'static str,
    /// The reason.
    #[expect(dead_code, reason = "for the reader")]
    pub(crate) why: &'static str,
}

/// The failures of one lane: claim and reason.
type Failures = BTreeMap<&'static str, String>;

/// Runs every check in every lane and prints the counts. Stockade must pass what the reference, the first lane, passes;
/// the runtime that always fails must pass nothing.
#[track_caller]
pub(crate) fn hold<C: Sync>(
    client: &str,
    checks: &[Check<C>],
    lanes: &[(&'static str, C)],
    excuses: &[Excuse],
) {
    let failures = std::thread::scope(|scope| {
        let run = |(name, of): &'_ (&str, C)| failures(name, checks, of, excuses);
        let threads: Vec<_> = lanes
            .iter()
            .map(|lane| scope.spawn(move || run(lane)))
            .collect();
        let ends = threads.into_iter().map(|thread| thread.join().unwrap());
        ends.collect::<Vec<_>>()
    });
    let mut line = format!("{client}:");
    for ((name, _), failures) in lanes.iter().zip(&failures) {
        let passed = checks.len() - failures.len();
        write!(line, " {name} {passed} of {};", checks.len()).unwrap();
    }
    let line = line.trim_end_matches(';');
    tell(line);
    let reference = &failures[0];
    for (claim, why) in reference {
        tell(&format!("not here with {}: {claim}: {why}", lanes[0].0));
    }
    let mut wrong = Vec::new();
    if reference.len() > checks.len() / 5 {
        wrong.push(format!("{}: fails too much to compare with", lanes[0].0));
    }
    for ((name, _), failures) in lanes.iter().zip(&failures) {
        wrong.extend(judged(name, checks, failures, reference, excuses));
    }
    assert!(wrong.is_empty(), "{line}\n{}", wrong.join("\n"));
}

/// Writes a line to the real standard error: `eprint!` would be captured and shown for failed tests only.
fn tell(line: &str) {
    let line = format!("{line}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

/// What is wrong with one lane.
fn judged<C>(
    lane: &str,
    checks: &[Check<C>],
    failures: &Failures,
    reference: &Failures,
    excuses: &[Excuse],
) -> Vec<String> {
    let mut wrong = Vec::new();
    for Check { claim, .. } in checks {
        let failure = failures.get(claim);
        let excused = is_excused(lane, claim, excuses);
        let words = match failure {
            None if lane == REFUSES => "passes with a runtime that always fails",
            None if excused => "is excused and passes",
            Some(why) if lane != REFUSES && !excused && !reference.contains_key(claim) => why,
            _ => continue,
        };
        wrong.push(format!("{lane}: {claim}: {words}"));
    }
    wrong
}

/// A client under load loses the output of a short program or the word that memory ran out, now and then and with every
/// runtime: containerd 1.6 that of 9 in 250 `ctr tasks exec` with runc. So what fails is tried again, and told.
const TRIES: usize = 3;

fn failures<C>(lane: &str, checks: &[Check<C>], of: &C, excuses: &[Excuse]) -> Failures {
    let mut failures = Failures::new();
    for check in checks {
        for left in (0..TRIES).rev() {
            let Err(why) = tried(check, of) else { break };
            let may_pass = lane != REFUSES && !is_excused(lane, check.claim, excuses);
            if left > 0 && may_pass {
                tell(&format!("again with {lane}: {}: {why}", check.claim));
            } else {
                failures.insert(check.claim, why);
                break;
            }
        }
    }
    failures
}

fn is_excused(lane: &str, claim: &str, excuses: &[Excuse]) -> bool {
    excuses
        .iter()
        .any(|excuse| excuse.lane == lane && excuse.claim == claim)
}

fn tried<C>(check: &Check<C>, of: &C) -> Verdict {
    let verdict = catch_unwind(AssertUnwindSafe(|| (check.holds)(of)));
    verdict.unwrap_or_else(|_| Err("it panicked, see above".into()))
}
