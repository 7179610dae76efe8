//! What a recording keeps of the rules that it was made under: answers that kill, and tests of arguments that it does not
//! record. A call with such tests is answered as it was, and not let pass whatever its arguments are.

use std::collections::{BTreeMap, BTreeSet};

use crate::profile::{Action, Profile, SeccompRule, SeccompRules, permits};
use crate::seccomp::{Openings, is_passed};

/// How the reason of a kept rule begins, by which a later recording knows it.
const KEPT: &str = "kept: ";

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// What was recorded of it is all that there is to know.
    AsRecorded,
    /// It is ruled as it was.
    AsRuled,
    /// It is denied, without a rule of its own.
    Denied,
}

/// The rules that a recording was made under.
#[derive(Debug, Clone, Copy)]
pub(super) struct Base<'a> {
    pub(super) rules: &'a SeccompRules,
    /// Calls that the recording has let pass although the rules deny them.
    pub(super) beyond: &'a BTreeSet<String>,
    /// Whether calls that are never asked about were let pass although the rules deny them.
    pub(super) is_permissive: bool,
}

impl<'a> Base<'a> {
    fn of_call(self, name: &'a str) -> impl Iterator<Item = &'a SeccompRule> {
        let rules = self.rules.rules.iter();
        rules.filter(move |rule| rule.names.iter().any(|other| other == name))
    }

    /// Of a call of which those arguments are recorded, by their places and bits.
    pub(super) fn fate(self, name: &str, recorded: &[(u32, u64)]) -> Fate {
        let is_recorded = |index: u32, bits: u64| {
            let mut known = recorded.iter();
            known.any(|(other, mask)| *other == index && bits & !mask == 0)
        };
        let mut tests = self.of_call(name).flat_map(|rule| &rule.args);
        let is_known = tests.all(|arg| is_recorded(arg.index, arg.bits()));
        match self.beyond.contains(name) || is_known {
            true => Fate::AsRecorded,
            false => Fate::AsRuled,
        }
    }

    /// Of a call that is never asked about.
    pub(super) fn fate_of_passed(self, name: &str) -> Fate {
        match self.fate(name, &[]) {
            _ if self.is_permissive => Fate::AsRecorded,
            Fate::AsRecorded if !permits(self.rules, name, &[0; 6]) => Fate::Denied,
            fate => fate,
        }
    }

    /// The rules for calls that are ruled as they were, and those that kill whoever makes another call than those that are
    /// `allowed`.
    pub(super) fn kept(
        self,
        as_ruled: &BTreeSet<&str>,
        allowed: &BTreeSet<&str>,
    ) -> Vec<SeccompRule> {
        let is_kept = |rule: &SeccompRule, name: &str| {
            let is_excepted = rule.args.is_empty() || self.beyond.contains(name);
            let kills = rule.action == Action::KillProcess;
            as_ruled.contains(name) || kills && !(allowed.contains(name) && is_excepted)
        };
        let mut kept = Vec::new();
        for rule in &self.rules.rules {
            let names = rule.names.iter().filter(|name| is_kept(rule, name));
            let names: Vec<String> = names.cloned().collect();
            if !names.is_empty() {
                kept.push(marked(rule, names));
            }
        }
        kept
    }
}

fn marked(rule: &SeccompRule, names: Vec<String>) -> SeccompRule {
    let reason = match rule.reason.strip_prefix(KEPT) {
        Some(_) => rule.reason.clone(),
        None => format!("{KEPT}{}", rule.reason),
    };
    SeccompRule {
        names,
        reason,
        ..rule.clone()
    }
}

pub(super) fn is_kept(rule: &SeccompRule) -> bool {
    rule.reason.starts_with(KEPT)
}

/// The rules that an earlier recording has kept, by the calls that it let pass by them; none of calls that are not asked about.
pub(super) fn earlier(old: &Profile, openings: Openings) -> BTreeMap<String, Vec<SeccompRule>> {
    let rules = old.seccomp.iter().flat_map(|seccomp| &seccomp.rules);
    let mut calls: BTreeMap<String, Vec<SeccompRule>> = BTreeMap::new();
    for rule in rules.filter(|rule| is_kept(rule)) {
        for name in rule.names.iter().filter(|name| !is_passed(openings, name)) {
            let own = calls.entry(name.clone()).or_default();
            own.push(marked(rule, vec![name.clone()]));
        }
    }
    calls.retain(|_, rules| rules.iter().any(|rule| rule.action != Action::KillProcess));
    calls
}
