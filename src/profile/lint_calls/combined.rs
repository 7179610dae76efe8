//! Rules that other rules make void, or answer differently.

use crate::names::syscalls::named;
use crate::profile::format::*;
use crate::profile::lint::Lint;
use crate::profile::region::{self, Cube, Part, minus};
use crate::report::Severity;
use crate::spec::Seccomp;

/// Rules that never decide, that repeat the default, or that answer the same call differently.
pub(super) fn combined(
    rules: &SeccompRules,
    filter: &Seccomp,
    origins: &[usize],
    lints: &mut Vec<Lint>,
) {
    let default = region::default(filter);
    for (at, rule) in rules.rules.iter().enumerate() {
        let own = |part: &&Part| origins[part.at] == at;
        let names = rule.names.iter().filter(|name| named(name).is_some());
        let (mut dead, mut contradicted, mut repeats) = (Vec::new(), Vec::new(), 0);
        for name in names.clone() {
            let parts = region::parts(filter, name);
            let (own, mut others): (Vec<&Part>, Vec<&Part>) = parts.iter().partition(own);
            if own.iter().all(|part| part.answer == default) && !own.is_empty() {
                repeats += 1;
                continue;
            }
            others.retain(|part| part.answer != default);
            match fate(&own, &others) {
                Fate::Decides => {}
                Fate::Dead => dead.push(name.as_str()),
                Fate::Contradicted => contradicted.push(name.as_str()),
            }
        }
        let key = format!("seccomp.rules[{at}]");
        if repeats > 0 && repeats == names.count() {
            lints.push(Lint::new(
                "repeats-default",
                Severity::Low,
                &key,
                "the rule does what the default does",
                "leave it, if it is there for the reader",
            ));
        }
        if !dead.is_empty() {
            let found = format!("other rules decide first for {}", dead.join(", "));
            lints.push(Lint::new(
                "dead-rule",
                Severity::Medium,
                &key,
                found,
                "leave these names out, or the other rules",
            ));
        }
        if !contradicted.is_empty() {
            let found = format!(
                "another rule has another answer to the same calls: {}",
                contradicted.join(", ")
            );
            lints.push(Lint::new(
                "contradicting-rules",
                Severity::Medium,
                &key,
                found,
                "make the tests exclude each other",
            ));
        }
    }
}

enum Fate {
    Decides,
    Dead,
    Contradicted,
}

/// The rule without tests wins, the first of several; else the strictest answer.
fn fate(own: &[&Part], others: &[&Part]) -> Fate {
    let Some(first) = own.first() else {
        return Fate::Decides;
    };
    if others
        .iter()
        .any(|other| other.is_always && (!first.is_always || other.at < first.at))
    {
        return Fate::Dead;
    }
    if first.is_always {
        return Fate::Decides;
    }
    let cubes = |parts: &[&Part]| {
        parts
            .iter()
            .flat_map(|part| part.cubes.clone())
            .collect::<Vec<Cube>>()
    };
    let mine = cubes(own);
    let (rank, answer) = (region::rank(first.answer), first.answer);
    let before: Vec<&Part> = others
        .iter()
        .filter(|other| {
            let theirs = region::rank(other.answer);
            theirs < rank || theirs == rank && other.at < first.at
        })
        .copied()
        .collect();
    if !mine.is_empty() && minus(&mine, &cubes(&before)).is_some_and(|left| left.is_empty()) {
        return Fate::Dead;
    }
    let otherwise: Vec<&Part> = others
        .iter()
        .filter(|other| other.answer != answer)
        .copied()
        .collect();
    let meets = cubes(&otherwise)
        .iter()
        .any(|cube| mine.iter().any(|own| own.and(*cube).is_some()));
    // Said once, of the later one.
    if meets && otherwise.iter().any(|other| other.at < first.at) {
        Fate::Contradicted
    } else {
        Fate::Decides
    }
}
