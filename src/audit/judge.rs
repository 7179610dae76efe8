//! From findings to a report: what is waived or was there before does not fail, and is told with its reason.

use super::baseline::Baseline;
use super::date::Date;
use super::finding::{Finding, Findings};
use super::table::Check;
use super::waiver::{Waiver, Waivers};
use crate::error::quote;
use crate::report::checks::{self, Checks, Outcome, Place};
use crate::report::{Fact, Severity};

/// What does not fail.
#[derive(Debug, Clone, Copy)]
pub struct Accepted<'a> {
    /// Findings that somebody answers for.
    pub waivers: &'a Waivers,
    /// Findings that were there before.
    pub baseline: Option<&'a Baseline>,
    /// Decides which waivers hold.
    pub today: Date,
}

/// Findings, and what of them is accepted.
#[derive(Debug)]
pub struct Judged<'a> {
    findings: &'a Findings,
    accepted: Accepted<'a>,
}

impl<'a> Judged<'a> {
    /// Judges them; nothing is looked at again.
    pub fn new(findings: &'a Findings, accepted: Accepted<'a>) -> Self {
        Self { findings, accepted }
    }

    /// Whether some check has no answer.
    pub fn is_incomplete(&self) -> bool {
        !self.findings.unanswered.is_empty()
    }

    /// What nobody answers for: what a new baseline holds.
    pub fn unwaived(&self) -> impl Iterator<Item = &'a Finding> + '_ {
        self.findings
            .found
            .iter()
            .filter(|finding| self.waiver(finding).is_none())
    }

    /// As checks of a report about `subject`: those of one practice together.
    pub fn checks(&self, subject: &str) -> Checks {
        let mut looked = self.findings.checks.clone();
        looked.sort_by_key(|check| (check.practice, check.id));
        let mut all: Vec<checks::Check> = looked
            .into_iter()
            .flat_map(|check| self.of_check(check))
            .collect();
        all.extend(self.expired());
        Checks {
            tool: "audit",
            subject: subject.to_owned(),
            checks: all,
            facts: self.facts(),
        }
    }

    fn of_check(&self, check: &'static Check) -> Vec<checks::Check> {
        let mut rows = Vec::new();
        for finding in self
            .findings
            .found
            .iter()
            .filter(|finding| finding.check.id == check.id)
        {
            rows.push(checks::Check {
                severity: finding.severity,
                outcome: self.outcome(finding),
                got: finding.message.clone(),
                place: Some(finding.place.shown()),
                facts: facts(check, Some(finding)),
                ..row(check)
            });
        }
        for (_, reason) in self
            .findings
            .unanswered
            .iter()
            .filter(|(one, _)| one.id == check.id)
        {
            rows.push(checks::Check {
                outcome: Outcome::Error(reason.clone()),
                ..row(check)
            });
        }
        if rows.is_empty() {
            rows.push(row(check));
        }
        rows
    }

    fn outcome(&self, finding: &Finding) -> Outcome {
        if let Some(waiver) = self.waiver(finding) {
            let Waiver {
                expires, reason, ..
            } = waiver;
            return Outcome::Skip(format!(
                "{}; waived until {expires}: {}",
                finding.message,
                quote(reason)
            ));
        }
        if self
            .accepted
            .baseline
            .is_some_and(|baseline| baseline.has(finding))
        {
            return Outcome::Skip(format!("{}; in the baseline", finding.message));
        }
        Outcome::Fail
    }

    /// The waiver that holds for it today.
    fn waiver(&self, finding: &Finding) -> Option<&'a Waiver> {
        let Accepted { waivers, today, .. } = self.accepted;
        let holds = |waiver: &&Waiver| waiver.is_of(finding) && !waiver.has_expired(today);
        waivers.all.iter().find(holds)
    }

    /// A waiver whose day is gone is a finding of its own: somebody has to look again, or take it away.
    fn expired(&self) -> impl Iterator<Item = checks::Check> + '_ {
        let Accepted { waivers, today, .. } = self.accepted;
        let expired = waivers
            .all
            .iter()
            .filter(move |waiver| waiver.has_expired(today));
        expired.map(|waiver| checks::Check {
            id: "expired-waiver".to_owned(),
            group: "Waivers",
            title: "No waiver has expired".to_owned(),
            severity: Severity::Medium,
            outcome: Outcome::Fail,
            wanted: String::new(),
            got: format!(
                "{} expired on {}: {}",
                waiver.words(),
                waiver.expires,
                quote(&waiver.reason)
            ),
            place: Some(Place::file(&waivers.file)),
            help: "Look at it again: mend it, or give a reason and a later day.".to_owned(),
            facts: Vec::new(),
        })
    }

    /// A waiver of a check that was not made is neither used nor unused.
    fn facts(&self) -> Vec<Fact> {
        let Accepted { waivers, today, .. } = self.accepted;
        let is_unused = |waiver: &&Waiver| {
            self.findings.wanted(&waiver.id).is_some()
                && !waiver.has_expired(today)
                && !self
                    .findings
                    .found
                    .iter()
                    .any(|finding| waiver.is_of(finding))
        };
        let unused: Vec<String> = waivers
            .all
            .iter()
            .filter(is_unused)
            .map(Waiver::words)
            .collect();
        if unused.is_empty() {
            return Vec::new();
        }
        vec![Fact::many("unused waivers", unused)]
    }
}

/// As it is when nothing was found.
fn row(check: &'static Check) -> checks::Check {
    checks::Check {
        id: check.id.to_owned(),
        group: check.practice.words(),
        title: check.title.to_owned(),
        severity: check.severity,
        outcome: Outcome::Pass,
        wanted: String::new(),
        got: String::new(),
        place: None,
        help: check.fix.to_owned(),
        facts: facts(check, None),
    }
}

fn facts(check: &Check, finding: Option<&Finding>) -> Vec<Fact> {
    let mut facts = vec![Fact::one("practice", check.practice.words())];
    if !check.closest.is_empty() {
        facts.push(Fact::many(
            "closest",
            check.closest.iter().map(|&id| id.to_owned()).collect(),
        ));
    }
    if let Some(finding) = finding.filter(|finding| !finding.about.is_empty()) {
        facts.push(Fact::one("about", &finding.about));
    }
    facts
}
