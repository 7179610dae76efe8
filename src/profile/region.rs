//! What a filter answers to one system call, by the values of its arguments: exact, as sets that do not overlap.
//! Written over the rules that `filter` makes, whose tests are all masked comparisons. How rules combine is as in the
//! module `seccomp`, which is above this one.

use super::format::SeccompRules;
use crate::names::syscalls::{Syscall, named};
use crate::spec::{Seccomp, SeccompAction, SeccompArg};

/// More sets than this are not looked at: rules that need them are not of this world, and each could double them.
const MOST: usize = 20_000;

/// An action, and the error of `errno`.
pub(super) type Answer = (SeccompAction, Option<u32>);

/// The values that have certain bits, for each of the six arguments: (mask, bits).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cube([(u64, u64); 6]);

impl Cube {
    /// All arguments whatsoever.
    pub(super) const ALL: Self = Self([(0, 0); 6]);

    /// Of one argument, below 6, these bits of those in the mask; all of the others.
    pub(super) fn of(index: usize, mask: u64, bits: u64) -> Self {
        let mut cube = Self::ALL;
        cube.0[index] = (mask, bits);
        cube
    }

    /// What it demands of each argument: (mask, bits).
    pub(super) fn demands(&self) -> [(u64, u64); 6] {
        self.0
    }

    /// Both at once; none where they contradict.
    pub(super) fn and(self, other: Self) -> Option<Self> {
        let mut both = self;
        for (own, (mask, bits)) in both.0.iter_mut().zip(other.0) {
            if (own.1 ^ bits) & own.0 & mask != 0 {
                return None;
            }
            *own = (own.0 | mask, own.1 | bits);
        }
        Some(both)
    }

    /// This without the other, as sets that do not overlap: one for each bit that the other demands besides.
    fn without(self, other: Self, left: &mut Vec<Self>) {
        if self.and(other).is_none() {
            left.push(self);
            return;
        }
        let mut rest = self;
        for (index, (mask, bits)) in other.0.into_iter().enumerate() {
            let mut more = mask & !self.0[index].0;
            while more != 0 {
                let bit = more & more.wrapping_neg();
                more ^= bit;
                let mut piece = rest;
                piece.0[index].0 |= bit;
                piece.0[index].1 |= !bits & bit;
                left.push(piece);
                rest.0[index].0 |= bit;
                rest.0[index].1 |= bits & bit;
            }
        }
    }
}

/// What is in none of `others`; `None` if that takes too many sets.
pub(super) fn minus(cubes: &[Cube], others: &[Cube]) -> Option<Vec<Cube>> {
    let mut rest = cubes.to_vec();
    for other in others {
        let mut left = Vec::new();
        for cube in rest {
            cube.without(*other, &mut left);
            if left.len() > MOST {
                return None;
            }
        }
        rest = left;
    }
    Some(rest)
}

/// One rule of a filter for one call.
#[derive(Debug, Clone)]
pub(super) struct Part {
    /// The rule's place in the filter.
    pub(super) at: usize,
    pub(super) answer: Answer,
    pub(super) cubes: Vec<Cube>,
    /// Without tests.
    pub(super) is_always: bool,
}

/// The rules of a filter for the call of that name, as written; `at` is the place in `filter.syscalls`.
pub(super) fn parts(filter: &Seccomp, name: &str) -> Vec<Part> {
    let call = named(name);
    let rules = filter.syscalls.iter().enumerate();
    let of_call = rules.filter(|(_, rule)| rule.names.iter().any(|other| other == name));
    of_call
        .map(|(at, rule)| Part {
            at,
            answer: (rule.action, rule.errno_ret),
            cubes: cube(&rule.args, call).into_iter().collect(),
            is_always: rule.args.is_empty(),
        })
        .collect()
}

/// The values that all tests of a rule take; none where it contradicts itself.
pub(super) fn cube(args: &[SeccompArg], call: Option<Syscall>) -> Option<Cube> {
    let mut tests = args.iter().filter_map(|arg| {
        let index = arg.index as usize;
        let bits = call.map_or(u64::MAX, |call| call.argument_bits(index));
        let mask = arg.value & bits;
        let mut cube = Cube::ALL;
        *cube.0.get_mut(index)? = (mask, arg.value_two & mask);
        Some(cube)
    });
    tests.try_fold(Cube::ALL, Cube::and)
}

/// The answer to calls that no rule matches.
pub(super) fn default(filter: &Seccomp) -> Answer {
    (filter.default_action, filter.default_errno_ret)
}

/// How much an answer permits.
pub(super) fn rank(answer: Answer) -> u8 {
    match answer.0 {
        SeccompAction::Allow => 3,
        SeccompAction::Log => 2,
        SeccompAction::Errno => 1,
        _ => 0,
    }
}

/// The answers to a call and where they are given, without overlaps; `None` if that takes too many sets.
pub(super) fn answers(filter: Option<&Seccomp>, name: &str) -> Option<Vec<(Answer, Vec<Cube>)>> {
    let Some(filter) = filter else {
        return Some(vec![((SeccompAction::Allow, None), vec![Cube::ALL])]);
    };
    let default = default(filter);
    let mut parts = parts(filter, name);
    parts.retain(|part| part.answer != default);
    if let Some(always) = parts.iter().find(|part| part.is_always) {
        return Some(vec![(always.answer, vec![Cube::ALL])]);
    }
    parts.sort_by_key(|part| rank(part.answer));
    let mut answers: Vec<(Answer, Vec<Cube>)> = Vec::new();
    let mut rest = vec![Cube::ALL];
    for part in &parts {
        let mut cubes = Vec::new();
        for cube in &part.cubes {
            cubes.extend(rest.iter().filter_map(|free| free.and(*cube)));
        }
        rest = minus(&rest, &part.cubes)?;
        match answers
            .iter_mut()
            .find(|(answer, _)| *answer == part.answer)
        {
            Some((_, known)) => known.extend(cubes),
            None => answers.push((part.answer, cubes)),
        }
    }
    answers.push((default, rest));
    answers.retain(|(_, cubes)| !cubes.is_empty());
    Some(answers)
}

/// The filter's rules, each with the place of the profile's rule that it came from.
pub(super) fn origins(rules: &SeccompRules) -> Vec<usize> {
    let one = |at: usize| SeccompRules {
        rules: vec![rules.rules[at].clone()],
        ..rules.clone()
    };
    (0..rules.rules.len())
        .flat_map(|at| {
            let many = super::filter::filter(&one(at)).syscalls.len();
            std::iter::repeat_n(at, many)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cube(mask: u64, bits: u64) -> Cube {
        let mut cube = Cube::ALL;
        cube.0[0] = (mask, bits);
        cube
    }

    #[test]
    fn what_is_left_covers_each_value_once() {
        let others = [cube(6, 2), cube(5, 5), cube(8, 8)];
        let rest = minus(&[Cube::ALL], &others).unwrap();
        for x in 0..32u64 {
            let has = |cube: &&Cube| x & cube.0[0].0 == cube.0[0].1;
            let expected = usize::from(!others.iter().any(|other| has(&other)));
            assert_eq!(rest.iter().filter(has).count(), expected, "{x}");
        }
    }

    #[test]
    fn a_set_without_itself_is_empty() {
        assert_eq!(minus(&[cube(7, 3)], &[cube(3, 3)]), Some(Vec::new()));
        assert_eq!(cube(1, 1).and(cube(1, 0)), None);
    }
}
