//! An entry of `seccomp.allow`: a name, or calls with tests of their arguments; and what the rules keep of such calls. No two
//! rules of a profile may answer the same call differently, so what is allowed on top is taken out of those that refuse it.

use serde::Deserialize;

use super::filter::{check_rule, filter};
use super::format::{Action, ArgRule, ErrnoName, INT, SeccompRule, SeccompRules};
use super::region::{Cube, cube, minus};
use crate::error::quote;
use crate::names::MARK;

/// An entry of `allow`.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(
    untagged,
    expecting = "neither a name nor a table of names, args and perhaps a reason"
)]
pub(super) enum Allowance {
    /// A system call or a group of them, whatever the arguments.
    Whole(String),
    /// With some arguments only.
    Partly(Partly),
}

/// System calls that are made with some arguments, whatever the rules say.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Partly {
    /// Names of system calls, and no groups.
    names: Vec<String>,
    /// All must match.
    args: Vec<ArgRule>,
    /// Why.
    #[serde(default)]
    reason: Option<String>,
}

impl Allowance {
    /// The name of the call or of the group that is allowed with any arguments.
    pub(super) fn whole(&self) -> Option<&str> {
        match self {
            Self::Whole(name) => Some(name),
            Self::Partly(_) => None,
        }
    }

    /// All names in it.
    pub(super) fn names(&self) -> &[String] {
        match self {
            Self::Whole(name) => std::slice::from_ref(name),
            Self::Partly(partly) => &partly.names,
        }
    }

    /// The rule that an entry with tests is; `key` is where it stands.
    ///
    /// # Errors
    /// A group among the names, or tests that do not mean what they say.
    pub(super) fn rule(&self, key: &str) -> Result<Option<SeccompRule>, String> {
        let Self::Partly(Partly {
            names,
            args,
            reason,
        }) = self
        else {
            return Ok(None);
        };
        if let Some(at) = names.iter().position(|name| name.starts_with(MARK)) {
            let group = quote(&names[at]);
            let cause = "is a group; arguments are those of one call";
            return Err(format!("{key}.names[{at}]: {group} {cause}"));
        }
        if args.is_empty() {
            let cause = "nothing is tested; name the call alone to allow it whole";
            return Err(format!("{key}.args: {cause}"));
        }
        let reason = reason.as_deref().unwrap_or("allowed on top of the rules");
        let rule = SeccompRule {
            names: names.clone(),
            action: Action::Allow,
            errno: None,
            args: args.clone(),
            reason: reason.to_owned(),
        };
        check_rule(&rule, key).map(|()| Some(rule))
    }
}

/// What is left of a rule where `allowed` allows some of its calls with some arguments: rules that do not overlap with those.
pub(super) fn spare(rule: SeccompRule, allowed: &[SeccompRule]) -> Vec<SeccompRule> {
    if matches!(rule.action, Action::Allow | Action::Log) {
        return vec![rule];
    }
    allowed.iter().fold(vec![rule], |left, allowed| {
        let rules = left.into_iter();
        rules.flat_map(|rule| spare_one(rule, allowed)).collect()
    })
}

fn spare_one(mut rule: SeccompRule, allowed: &SeccompRule) -> Vec<SeccompRule> {
    let names = std::mem::take(&mut rule.names);
    let is_meant = |name: &String| allowed.names.contains(name);
    let (meant, others): (Vec<String>, Vec<String>) = names.into_iter().partition(is_meant);
    let with = |names: &[String], args: Vec<ArgRule>| SeccompRule {
        names: names.to_vec(),
        args,
        ..rule.clone()
    };
    if meant.is_empty() {
        return vec![with(&others, rule.args.clone())];
    }
    let mut left = Vec::new();
    if !others.is_empty() {
        left.push(with(&others, rule.args.clone()));
    }
    let pieces = outside(&rule.args, &allowed.args).into_iter();
    left.extend(pieces.map(|args| with(&meant, args)));
    left
}

/// `own` tests without what all of `tests` match, as alternatives that exclude each other.
fn outside(own: &[ArgRule], tests: &[ArgRule]) -> Vec<Vec<ArgRule>> {
    if let Some(pieces) = by_values(own, tests) {
        return pieces;
    }
    match minus(&cubes(own), &cubes(tests)) {
        Some(left) => left.iter().map(args).collect(),
        // More pieces than anybody looks at: the rule refuses as before.
        None => vec![own.to_vec()],
    }
}

/// The same by whole values, as somebody would write it; none where masks overlap in other ways.
fn by_values(own: &[ArgRule], tests: &[ArgRule]) -> Option<Vec<Vec<ArgRule>>> {
    let mut pieces = Vec::new();
    let mut within = own.to_vec();
    for test in tests {
        let at = within.iter().position(|arg| arg.index == test.index);
        let tested = at.map(|at| within.remove(at));
        let with = |arg: ArgRule| {
            let mut args = within.clone();
            args.insert(at.unwrap_or(args.len()), arg);
            args
        };
        let (inside, outside) = split(tested.as_ref(), test)?;
        pieces.extend(outside.map(with));
        match inside.map(with) {
            Some(args) => within = args,
            None => return Some(vec![own.to_vec()]),
        }
    }
    Some(pieces)
}

type Halves = (Option<ArgRule>, Option<ArgRule>);

/// What a test of one argument, if there is one, has in common with another, and what else it matches.
fn split(own: Option<&ArgRule>, test: &ArgRule) -> Option<Halves> {
    let arg = own.unwrap_or(test);
    let one_of = |values: Vec<u64>| {
        (!values.is_empty()).then(|| ArgRule {
            one_of: Some(values),
            none_of: None,
            ..arg.clone()
        })
    };
    let none_of = |values: Vec<u64>| {
        Some(ArgRule {
            one_of: None,
            none_of: Some(values),
            ..arg.clone()
        })
    };
    let Some(own) = own else {
        let rest = match (&test.one_of, &test.none_of) {
            (Some(values), _) if test.mask.is_none() => none_of(values.clone()),
            (None, Some(values)) => one_of(values.clone()),
            _ => return None,
        };
        return Some((Some(test.clone()), rest));
    };
    let union = |values: &[u64], others: &[u64]| [values, &without(others, values)].concat();
    match (&own.one_of, &own.none_of, &test.one_of, &test.none_of) {
        (Some(values), ..) if own.bits() & test.bits() == test.bits() => {
            let (common, rest) = values.iter().partition(|value| test.matches(**value));
            Some((one_of(common), one_of(rest)))
        }
        (Some(_), _, Some(others), _) if own.bits() & test.bits() == own.bits() => {
            let is_apart = !others.iter().any(|other| own.matches(*other));
            is_apart.then(|| (None, Some(own.clone())))
        }
        (_, Some(values), Some(others), _) if test.bits() == INT => Some((
            one_of(without(others, values)),
            none_of(union(values, others)),
        )),
        (_, Some(values), _, Some(others)) => Some((
            none_of(union(values, others)),
            one_of(without(others, values)),
        )),
        _ => None,
    }
}

fn without(values: &[u64], others: &[u64]) -> Vec<u64> {
    let values = values.iter().copied();
    values.filter(|value| !others.contains(value)).collect()
}

/// The values that all of the tests match.
fn cubes(tests: &[ArgRule]) -> Vec<Cube> {
    let rule = SeccompRule {
        names: Vec::new(),
        action: Action::Allow,
        errno: None,
        args: tests.to_vec(),
        reason: String::new(),
    };
    let rules = SeccompRules {
        default_action: Action::Errno,
        default_errno: ErrnoName::Eperm,
        architectures: Vec::new(),
        rules: vec![rule],
    };
    let alternatives = filter(&rules).syscalls;
    let cubes = alternatives.iter().map(|rule| cube(&rule.args, None));
    cubes.flatten().collect()
}

/// The tests that exactly the values of the cube pass.
fn args(cube: &Cube) -> Vec<ArgRule> {
    let tested = (0..).zip(cube.demands());
    let tested = tested.filter(|(_, (mask, _))| *mask != 0);
    let test = |(index, (mask, bits)): (u32, (u64, u64))| ArgRule {
        index,
        mask: (mask != INT).then_some(mask),
        one_of: Some(vec![bits]),
        none_of: None,
    };
    tested.map(test).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(index: u32, mask: Option<u64>, one_of: &[u64], none_of: &[u64]) -> ArgRule {
        let list = |values: &[u64]| (!values.is_empty()).then(|| values.to_vec());
        ArgRule {
            index,
            mask,
            one_of: list(one_of),
            none_of: list(none_of),
        }
    }

    fn rule(args: Vec<ArgRule>) -> SeccompRule {
        SeccompRule {
            names: vec!["clone".to_owned()],
            action: Action::Errno,
            errno: None,
            args,
            reason: String::new(),
        }
    }

    /// Every kind of test of a small argument, alone and with one of another argument.
    fn kinds() -> Vec<Vec<ArgRule>> {
        let of = |index| {
            [
                test(index, None, &[1], &[]),
                test(index, None, &[1, 2, 6], &[]),
                test(index, None, &[], &[1]),
                test(index, None, &[], &[0, 2]),
                test(index, Some(3), &[1], &[]),
                test(index, Some(3), &[0, 2], &[]),
                test(index, Some(4), &[4], &[]),
                test(index, Some(7), &[4, 1], &[]),
            ]
        };
        let alone = of(0).map(|test| vec![test]);
        let both = of(0)
            .into_iter()
            .flat_map(|first| of(1).map(|second| vec![first.clone(), second]));
        alone.into_iter().chain(both).collect()
    }

    #[test]
    fn what_is_left_of_a_rule_is_exactly_what_nobody_allows() {
        let hits = |args: &[ArgRule], values: [u64; 2]| {
            args.iter()
                .all(|arg| arg.matches(values[arg.index as usize]))
        };
        let mut rules = kinds();
        rules.push(Vec::new());
        for own in rules {
            for allowed in kinds() {
                let left = spare(rule(own.clone()), &[rule(allowed.clone())]);
                for first in 0..8 {
                    for second in 0..8 {
                        let values = [first, second];
                        let wanted = hits(&own, values) && !hits(&allowed, values);
                        let found = left.iter().filter(|rule| hits(&rule.args, values));
                        assert_eq!(
                            found.count(),
                            usize::from(wanted),
                            "{own:?} without {allowed:?}: {values:?}"
                        );
                    }
                }
                for rule in left {
                    check_rule(&rule, "left").unwrap();
                }
            }
        }
    }

    #[test]
    fn a_rule_that_makes_its_calls_and_one_for_others_stay() {
        let allowed = [rule(vec![test(0, None, &[1], &[])])];
        let log = SeccompRule {
            action: Action::Log,
            ..rule(Vec::new())
        };
        assert_eq!(spare(log.clone(), &allowed), [log]);
        let other = SeccompRule {
            names: vec!["mount".to_owned()],
            ..rule(Vec::new())
        };
        assert_eq!(spare(other.clone(), &allowed), [other]);
    }
}
