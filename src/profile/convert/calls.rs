//! Rules of system calls that are put together setting by setting, as units of systemd say them.
//! What the settings are is in `systemd_calls`.

use std::collections::BTreeMap;

use crate::profile::format::{Action, ArgRule, ErrnoName, SeccompRule, SeccompRules};

/// An action, and the error of `errno`.
pub(super) type Answer = (Action, Option<ErrnoName>);

pub(super) const ALLOW: Answer = (Action::Allow, None);
pub(super) const EPERM: Answer = (Action::Errno, Some(ErrnoName::Eperm));
pub(super) const ENOSYS: Answer = (Action::Errno, Some(ErrnoName::Enosys));

/// A test of one argument: its index, the bits that are compared (0 for an `int`), and the values.
#[derive(Debug, Clone, Copy)]
pub(super) struct Test {
    pub(super) index: u32,
    pub(super) mask: u64,
    pub(super) values: &'static [u64],
}

/// What is refused of calls, and what is left: both, since a rule for every argument wins over all others.
pub(super) struct Limit {
    pub(super) calls: &'static [&'static str],
    pub(super) allowed: &'static [&'static [Test]],
    pub(super) refused: &'static [&'static [Test]],
}

/// Answers by name, and some by arguments.
#[derive(Debug, Default)]
pub(super) struct Calls {
    default: Option<Answer>,
    answers: BTreeMap<String, Answer>,
    tested: Vec<SeccompRule>,
    /// Empty for those that this machine runs.
    pub(super) architectures: Vec<String>,
}

impl Calls {
    pub(super) fn set_default(&mut self, answer: Answer) {
        self.default = Some(answer);
    }

    pub(super) fn answer(&mut self, name: &str, answer: Answer) {
        self.answers.insert(name.to_owned(), answer);
    }

    fn is_permitted(&self, name: &str) -> bool {
        let default = self.default.unwrap_or(ALLOW);
        let (action, _) = self.answers.get(name).copied().unwrap_or(default);
        matches!(action, Action::Allow | Action::Log)
    }

    /// Refuses what is not refused yet.
    pub(super) fn refuse(&mut self, name: &str, answer: Answer) {
        if self.is_permitted(name) {
            self.answer(name, answer);
        }
    }

    pub(super) fn limit(&mut self, limits: &[Limit]) {
        for limit in limits {
            let rules = |sets: &[&[Test]]| -> Vec<Vec<ArgRule>> {
                let set = |set: &&[Test]| set.iter().map(Test::rule).collect();
                sets.iter().map(set).collect()
            };
            self.restrict(limit.calls, &rules(limit.allowed), &rules(limit.refused));
        }
    }

    /// The same with tests that are only now known.
    pub(super) fn restrict(
        &mut self,
        names: &[&str],
        allowed: &[Vec<ArgRule>],
        refused: &[Vec<ArgRule>],
    ) {
        let names: Vec<String> = names
            .iter()
            .filter(|name| self.is_permitted(name) || self.is_tested(name))
            .map(|name| (*name).to_owned())
            .collect();
        if names.is_empty() {
            return;
        }
        for name in &names {
            self.answers.remove(name);
        }
        let default = self.default.unwrap_or(ALLOW);
        let sets = [(ALLOW, allowed), (EPERM, refused)];
        for (answer, sets) in sets.into_iter().filter(|(answer, _)| *answer != default) {
            self.tested
                .extend(sets.iter().map(|args| rule(names.clone(), answer, args)));
        }
    }

    fn is_tested(&self, name: &str) -> bool {
        let mut names = self.tested.iter().flat_map(|rule| &rule.names);
        names.any(|other| other == name)
    }

    /// The rules; `None` where nothing was asked for.
    pub(super) fn rules(self) -> Option<SeccompRules> {
        let is_nothing = self.default.is_none()
            && self.answers.is_empty()
            && self.tested.is_empty()
            && self.architectures.is_empty();
        if is_nothing {
            return None;
        }
        let default = self.default.unwrap_or(ALLOW);
        let mut grouped: Vec<(Answer, Vec<String>)> = Vec::new();
        for (name, answer) in self
            .answers
            .into_iter()
            .filter(|(_, answer)| *answer != default)
        {
            match grouped.iter_mut().find(|(other, _)| *other == answer) {
                Some((_, names)) => names.push(name),
                None => grouped.push((answer, vec![name])),
            }
        }
        let whole = grouped
            .into_iter()
            .map(|(answer, names)| rule(names, answer, &[]));
        let (default_action, errno) = default;
        Some(SeccompRules {
            default_action,
            default_errno: errno.unwrap_or_default(),
            architectures: if self.architectures.is_empty() {
                every_architecture()
            } else {
                self.architectures
            },
            rules: whole.chain(self.tested).collect(),
        })
    }
}

/// A filter that says nothing of architectures holds for all that the machine runs.
fn every_architecture() -> Vec<String> {
    let names: &[&str] = if cfg!(target_arch = "x86_64") {
        &["native", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]
    } else if cfg!(target_arch = "aarch64") {
        &["native", "SCMP_ARCH_ARM"]
    } else {
        &["native"]
    };
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn rule(names: Vec<String>, (action, errno): Answer, args: &[ArgRule]) -> SeccompRule {
    SeccompRule {
        names,
        action,
        errno,
        args: args.to_vec(),
        reason: "converted".to_owned(),
    }
}

impl Test {
    fn rule(&self) -> ArgRule {
        ArgRule {
            index: self.index,
            mask: (self.mask != 0).then_some(self.mask),
            one_of: Some(self.values.to_vec()),
            none_of: None,
        }
    }
}

/// Any of these values.
pub(super) fn one_of(index: u32, mask: Option<u64>, values: &[u64]) -> Vec<ArgRule> {
    vec![ArgRule {
        index,
        mask,
        one_of: Some(values.to_vec()),
        none_of: None,
    }]
}

/// Any but these values.
pub(super) fn none_of(index: u32, values: &[u64]) -> Vec<ArgRule> {
    vec![ArgRule {
        index,
        mask: None,
        one_of: None,
        none_of: Some(values.to_vec()),
    }]
}
