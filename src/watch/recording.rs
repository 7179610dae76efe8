//! What a program did, and the profile that lets it do that and no more.
//! Calls that were never asked about (`seccomp::passed`) are in every such profile.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::base::{default_action, description};
use super::files::Use;
use super::kept::{Base, Fate, earlier, is_kept};
use crate::cgroup::Peaks;
use crate::error::{Error, Result, quote};
use crate::names::syscalls::named;
use crate::profile::{
    Action, ArgRule, Bound, ErrnoName, INT, Profile, Quantity, SeccompRule, SeccompRules,
};
use crate::seccomp::{Openings, is_passed, passed};
use crate::sys::notify::Notification;

/// More files than this are only counted.
const MOST_FILES: usize = 20_000;
/// How many combinations of arguments are kept of one call, for each of its outcomes.
const MOST_COMBINATIONS: usize = 200;
/// How many calls are kept; of those that have a name, all.
const MOST_CALLS: usize = 1000;

/// Arguments that decide what a call does: their place, and the bits that count.
const DECISIVE: &[(&str, &[(u32, u64)])] = &[
    ("arch_prctl", &[(0, INT)]),
    ("bpf", &[(0, INT)]),
    ("clone", &[(0, 0x7e02_0000)]),
    ("ioctl", &[(1, INT)]),
    ("keyctl", &[(0, INT)]),
    ("mknod", &[(1, 0xf000)]),
    ("mknodat", &[(2, 0xf000)]),
    ("personality", &[(0, INT)]),
    ("prctl", &[(0, INT)]),
    ("ptrace", &[(0, INT)]),
    ("setns", &[(1, INT)]),
    ("socket", &[(0, INT), (1, 0xf), (2, INT)]),
    ("socketpair", &[(0, INT), (1, 0xf), (2, INT)]),
    ("unshare", &[(0, INT)]),
];

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Passed,
    Refused(i32),
}

/// The values of the decisive arguments.
type Values = Vec<u64>;

/// What was seen of a workload, in one run or several.
#[derive(Debug, Default)]
pub struct Recording {
    calls: BTreeMap<String, BTreeSet<(Outcome, Values)>>,
    files: BTreeMap<PathBuf, BTreeSet<Use>>,
    omitted_files: u64,
    /// What was used at most.
    pub(super) peaks: Peaks,
    /// Whether the opening of files was asked about.
    pub(super) openings: Openings,
    /// Whether what the profile denies was let pass.
    pub(super) is_permissive: bool,
    /// Calls with which that has happened.
    beyond: BTreeSet<String>,
    /// Rules that an earlier recording has kept of the profile that it was made under.
    earlier: BTreeMap<String, Vec<SeccompRule>>,
}

impl Recording {
    pub(super) fn passed(&mut self, name: &str, asked: &Notification, files: Vec<(Use, PathBuf)>) {
        self.add(name, asked, Outcome::Passed);
        for (usage, path) in files {
            if self.files.len() >= MOST_FILES && !self.files.contains_key(&path) {
                self.omitted_files += 1;
                continue;
            }
            self.files.entry(path).or_default().insert(usage);
        }
    }

    /// The profile would have denied it.
    pub(super) fn passed_beyond(&mut self, name: &str) {
        if self.calls.contains_key(name) && !self.beyond.contains(name) {
            self.beyond.insert(name.to_owned());
        }
    }

    pub(super) fn denied(&mut self, name: &str, asked: &Notification, given: u32) {
        if given & libc::SECCOMP_RET_ACTION_FULL == libc::SECCOMP_RET_ERRNO {
            let errno = (given & libc::SECCOMP_RET_DATA).cast_signed();
            self.add(name, asked, Outcome::Refused(errno));
        }
    }

    fn add(&mut self, name: &str, asked: &Notification, outcome: Outcome) {
        let register = |(index, mask): &(u32, u64)| asked.arguments[*index as usize] & mask;
        let values = decisive(name).iter().map(register).collect();
        // Whatever the program makes up, there is an end to what is kept: what is left out is denied later.
        let is_new = !self.calls.contains_key(name);
        if is_new && named(name).is_none() && self.calls.len() >= MOST_CALLS {
            return;
        }
        let seen = self.calls.entry(name.to_owned()).or_default();
        if seen.iter().filter(|(other, _)| *other == outcome).count() < MOST_COMBINATIONS {
            seen.insert((outcome, values));
        }
    }

    /// Adds what a profile from an earlier recording lets pass, and its limits' peaks.
    ///
    /// # Errors
    /// A profile that no recording has written: a rule of it is not one of ours.
    pub fn merge(&mut self, old: &Profile) -> Result<()> {
        let doing = || format!("merge the recording {}", quote(&old.name));
        let rules = old.seccomp.as_ref().map(|seccomp| &seccomp.rules);
        let openings = self.openings;
        self.earlier.extend(earlier(old, openings));
        let rules = rules.into_iter().flatten().enumerate();
        for (at, rule) in rules.filter(|(_, rule)| !is_kept(rule)) {
            let outcome = match (rule.action, rule.errno) {
                (Action::Allow, _) => Outcome::Passed,
                (Action::Errno, Some(errno)) => Outcome::Refused(errno_of(errno)),
                _ => return Err(foreign(doing(), at)),
            };
            for name in rule.names.iter().filter(|name| !is_passed(openings, name)) {
                let values = values_of(name, &rule.args).ok_or_else(|| foreign(doing(), at))?;
                let seen = self.calls.entry(name.clone()).or_default();
                seen.extend(values.into_iter().map(|values| (outcome, values)));
            }
        }
        Ok(())
    }

    /// The profile of that name: everything of `base` but its rules of system calls, and limits from the peaks. The limits
    /// of an older recording are kept where they are higher.
    ///
    /// # Errors
    /// `base` has no rules of system calls.
    pub fn profile(&self, base: &Profile, name: &str, old: Option<&Profile>) -> Result<Profile> {
        let cause = "the profile that it was made under has no rules of system calls";
        let seccomp = base
            .seccomp
            .as_ref()
            .ok_or_else(|| Error::new("write a recording", cause))?;
        let mut profile = base.clone();
        profile.name = name.to_owned();
        profile.description = description(base);
        profile.seccomp = Some(SeccompRules {
            default_action: default_action(seccomp),
            default_errno: seccomp.default_errno,
            architectures: seccomp.architectures.clone(),
            rules: self.rules(seccomp),
        });
        let old = old.map(|old| &old.limits);
        let memory = self.peaks.memory.map(memory_limit);
        let pids = self.peaks.pids.map(|peak| (peak * 2).max(16));
        raise(
            &mut profile.limits.memory,
            memory,
            old.map(|old| &old.memory),
        );
        raise(&mut profile.limits.pids, pids, old.map(|old| &old.pids));
        Ok(profile)
    }

    fn rules(&self, seccomp: &SeccompRules) -> Vec<SeccompRule> {
        let base = Base {
            rules: seccomp,
            beyond: &self.beyond,
            is_permissive: self.is_permissive,
        };
        // What the default action answers needs no rule.
        let default =
            Some(seccomp.default_errno).filter(|_| seccomp.default_action != Action::KillProcess);
        let known = self.calls.iter().map(|(name, seen)| (name.as_str(), seen));
        let known = known.filter(|(name, _)| named(name).is_some());
        let (recorded, as_ruled): (Vec<_>, Vec<_>) =
            known.partition(|(name, _)| base.fate(name, decisive(name)) == Fate::AsRecorded);
        let passed = |fate: Fate| {
            passed(self.openings).filter(move |name| base.fate_of_passed(name) == fate)
        };
        let mut rules = vec![rule(
            passed(Fate::AsRecorded).map(str::to_owned).collect(),
            None,
            Vec::new(),
            "calls that every program makes, never asked about",
        )];
        rules.extend(whatever_arguments(&recorded, default));
        for (name, seen) in recorded.iter().filter(|(name, seen)| !is_plain(name, seen)) {
            rules.extend(by_arguments(name, seen, default));
        }
        let as_ruled: BTreeSet<&str> = as_ruled
            .into_iter()
            .map(|(name, _)| name)
            .chain(passed(Fate::AsRuled))
            .collect();
        let is_passed = |seen: &BTreeSet<(Outcome, Values)>| {
            seen.iter().any(|(outcome, _)| *outcome == Outcome::Passed)
        };
        let allowed = recorded
            .iter()
            .filter(|(_, seen)| is_passed(seen))
            .map(|(name, _)| *name);
        let mut allowed: BTreeSet<&str> = allowed.chain(passed(Fate::AsRecorded)).collect();
        for (name, kept) in &self.earlier {
            let is_plain = allowed.contains(name.as_str()) && decisive(name).is_empty();
            if !as_ruled.contains(name.as_str()) && !is_plain {
                rules.extend(kept.iter().cloned());
                allowed.insert(name);
            }
        }
        rules.extend(base.kept(&as_ruled, &allowed));
        rules.retain(|rule| !rule.names.is_empty());
        rules
    }

    /// Files and peaks, for programs.
    pub fn report(&self) -> Value {
        let of = |usage: Use| -> Vec<String> {
            let files = self.files.iter().filter(|(_, uses)| uses.contains(&usage));
            files.map(|(path, _)| shown(path)).collect()
        };
        let calls: Vec<&String> = self
            .calls
            .iter()
            .filter(|(_, seen)| seen.iter().any(|(outcome, _)| *outcome == Outcome::Passed))
            .map(|(name, _)| name)
            .collect();
        json!({
            "calls": calls,
            "files": {
                "read": of(Use::Read),
                "written": of(Use::Write),
                "executed": of(Use::Execute),
                "omitted": self.omitted_files,
            },
            "peaks": self.peaks,
        })
    }

    /// What was used at most.
    pub fn peaks(&self) -> Peaks {
        self.peaks
    }
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn foreign(doing: String, at: usize) -> Error {
    let cause = format!("seccomp.rules[{at}] is not as a recording writes them");
    Error::new(doing, cause)
}

fn decisive(name: &str) -> &'static [(u32, u64)] {
    let found = DECISIVE.iter().find(|(call, _)| *call == name);
    found.map_or(&[], |(_, arguments)| arguments)
}

/// Whether it was let pass, and that whatever its arguments are.
fn is_plain(name: &str, seen: &BTreeSet<(Outcome, Values)>) -> bool {
    let is_passed = seen.iter().any(|(outcome, _)| *outcome == Outcome::Passed);
    is_passed && decisive(name).is_empty()
}

/// Rules for calls that no argument was recorded of.
fn whatever_arguments(
    recorded: &[(&str, &BTreeSet<(Outcome, Values)>)],
    default: Option<ErrnoName>,
) -> Vec<SeccompRule> {
    let plain = recorded.iter().filter(|(name, seen)| is_plain(name, seen));
    let plain = plain.map(|(name, _)| (*name).to_owned()).collect();
    let mut rules = vec![rule(plain, None, Vec::new(), "recorded")];
    for errno in [ErrnoName::Eperm, ErrnoName::Enosys, ErrnoName::Eacces] {
        let refused = (Outcome::Refused(errno_of(errno)), Vec::new());
        let names = recorded.iter().filter(|(name, seen)| {
            decisive(name).is_empty() && seen.len() == 1 && seen.contains(&refused)
        });
        let names = names.map(|(name, _)| (*name).to_owned()).collect();
        if Some(errno) != default {
            rules.push(rule(
                names,
                Some(errno),
                Vec::new(),
                "refused while recorded",
            ));
        }
    }
    rules
}

/// A rule for each combination; where there is one argument, one for all of its values.
fn by_arguments(
    name: &str,
    seen: &BTreeSet<(Outcome, Values)>,
    default: Option<ErrnoName>,
) -> Vec<SeccompRule> {
    let tests = decisive(name);
    let test = |place: usize, values: Vec<u64>| ArgRule {
        index: tests[place].0,
        mask: (tests[place].1 != INT).then_some(tests[place].1),
        one_of: Some(values),
        none_of: None,
    };
    let mut rules = Vec::new();
    let outcomes: BTreeSet<Outcome> = seen.iter().map(|(outcome, _)| *outcome).collect();
    for outcome in outcomes {
        let (errno, reason) = match outcome {
            Outcome::Passed => (None, "recorded"),
            Outcome::Refused(number) => match errno_named(number) {
                Some(errno) if Some(errno) != default => (Some(errno), "refused while recorded"),
                _ => continue,
            },
        };
        let values = seen
            .iter()
            .filter(|(other, values)| *other == outcome && values.len() == tests.len());
        let names = || vec![name.to_owned()];
        if tests.len() == 1 {
            let values = values.map(|(_, values)| values[0]).collect();
            rules.push(rule(names(), errno, vec![test(0, values)], reason));
        } else if !tests.is_empty() {
            rules.extend(values.map(|(_, values)| {
                let args = values.iter().enumerate();
                let args = args
                    .map(|(place, value)| test(place, vec![*value]))
                    .collect();
                rule(names(), errno, args, reason)
            }));
        }
    }
    rules
}

fn rule(
    names: Vec<String>,
    errno: Option<ErrnoName>,
    args: Vec<ArgRule>,
    reason: &str,
) -> SeccompRule {
    SeccompRule {
        names,
        action: if errno.is_some() {
            Action::Errno
        } else {
            Action::Allow
        },
        errno,
        args,
        reason: reason.to_owned(),
    }
}

/// The combinations of values of a rule that a recording has written; none for any other.
fn values_of(name: &str, args: &[ArgRule]) -> Option<Vec<Values>> {
    let tests = decisive(name);
    if args.is_empty() && tests.is_empty() {
        return Some(vec![Vec::new()]);
    }
    let is_ours = args.len() == tests.len()
        && args.iter().zip(tests).all(|(arg, (index, mask))| {
            arg.index == *index && arg.bits() == *mask && arg.none_of.is_none()
        });
    if !is_ours {
        return None;
    }
    let mut all = vec![Vec::new()];
    for arg in args {
        let values = arg.one_of.as_deref().unwrap_or_default();
        all = all
            .iter()
            .flat_map(|before: &Values| {
                values
                    .iter()
                    .map(move |value| [&before[..], &[*value]].concat())
            })
            .collect();
    }
    Some(all)
}

fn errno_of(errno: ErrnoName) -> i32 {
    match errno {
        ErrnoName::Eperm => libc::EPERM,
        ErrnoName::Enosys => libc::ENOSYS,
        ErrnoName::Eacces => libc::EACCES,
    }
}

fn errno_named(number: i32) -> Option<ErrnoName> {
    let all = [ErrnoName::Eperm, ErrnoName::Enosys, ErrnoName::Eacces];
    all.into_iter().find(|errno| errno_of(*errno) == number)
}

/// Half as much again in whole MiB; below 32 MiB a container hardly starts.
fn memory_limit(peak: u64) -> u64 {
    let mebibytes = (peak.saturating_mul(3) / 2).div_ceil(1 << 20).max(32);
    mebibytes << 20
}

/// Sets a limit, or leaves that of an older recording where it is higher.
fn raise(bound: &mut Bound, wanted: Option<u64>, old: Option<&Bound>) {
    let Some(wanted) = wanted else { return };
    let old = match old.and_then(|old| old.default) {
        Some(Quantity::Number(old)) => old,
        _ => 0,
    };
    bound.default = Some(Quantity::Number(wanted.max(old)));
}
