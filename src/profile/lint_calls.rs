//! What in a profile's rules of system calls is hardly meant: here names, architectures and the filter on the whole; what
//! tests compare is in `width`, how rules combine (as in the module `seccomp`) in `combined`.

mod combined;
#[cfg(test)]
mod tests;
mod width;

use super::filter::filter;
use super::format::*;
use super::groups::UNSEEN;
use super::lint::Lint;
use super::near::nearest;
use super::region;
use crate::error::quote;
use crate::names::syscalls::{self, Abi, named};
use crate::report::Severity;
use crate::spec::{Arch, Seccomp};
use combined::combined;
use width::tests_of;

/// What a container's program has no use for: with them a new root, a mount or another namespace is had.
const OF_THE_RUNTIME: [&str; 19] = [
    "chroot",
    "fsconfig",
    "fsmount",
    "fsopen",
    "fspick",
    "mount",
    "mount_setattr",
    "move_mount",
    "open_tree",
    "open_tree_attr",
    "pivot_root",
    "setdomainname",
    "sethostname",
    "setns",
    "swapoff",
    "swapon",
    "umount",
    "umount2",
    "unshare",
];

/// Without these the program does not even begin, or cannot end.
const ESSENTIAL: [&str; 2] = ["execve", "exit_group"];

pub(super) fn lint(rules: &SeccompRules, lints: &mut Vec<Lint>) {
    let filter = filter(rules);
    architectures(rules, &filter, lints);
    for (at, rule) in rules.rules.iter().enumerate() {
        names_of(rule, at, &filter, lints);
        tests_of(rule, at, rules.default_action, lints);
    }
    let origins = region::origins(rules);
    combined(rules, &filter, &origins, lints);
    ways_around(rules, &filter, lints);
    whole(&filter, lints);
}

fn architectures(rules: &SeccompRules, filter: &Seccomp, lints: &mut Vec<Lint>) {
    let native = if cfg!(target_arch = "aarch64") {
        Arch::Aarch64
    } else {
        Arch::X8664
    };
    if !filter.architectures.contains(&native) {
        lints.push(Lint::new(
            "native-missing",
            Severity::Low,
            "seccomp.architectures",
            "the architecture of this machine is not listed; it is filtered all the same",
            "add \"native\"",
        ));
    }
    for (at, (name, arch)) in rules
        .architectures
        .iter()
        .zip(&filter.architectures)
        .enumerate()
    {
        let key = format!("seccomp.architectures[{at}]");
        let (id, severity, found, mend) = match (native, arch) {
            (Arch::X8664, Arch::X86) => (
                "second-abi",
                Severity::Medium,
                "on 32-bit x86 sockets go through socketcall(2), where a filter does not see the arguments",
                "leave it out, if no program of 32 bits is to run",
            ),
            (Arch::X8664, Arch::X32) => (
                "second-abi",
                Severity::Medium,
                "x32 is a second way to the kernel that hardly any program uses",
                "leave it out: its calls then end the process",
            ),
            (Arch::Aarch64, Arch::Arm) => continue,
            (native, arch) if native != *arch => (
                "foreign-architecture",
                Severity::Low,
                "it does not run on this machine",
                "leave it out, if the profile is for this machine only",
            ),
            _ => continue,
        };
        lints.push(Lint::new(
            id,
            severity,
            key,
            format!("{}: {found}", quote(name)),
            mend,
        ));
    }
}

/// Names that are misspelt, that no listed architecture has, or that no container needs.
fn names_of(rule: &SeccompRule, at: usize, filter: &Seccomp, lints: &mut Vec<Lint>) {
    let key = format!("seccomp.rules[{at}].names");
    if rule.names.is_empty() {
        lints.push(Lint::new(
            "dead-rule",
            Severity::High,
            &key,
            "the rule names no system call",
            "remove it",
        ));
    }
    let mut foreign = Vec::new();
    for (i, name) in rule.names.iter().enumerate() {
        let key = format!("{key}[{i}]");
        let Some(call) = named(name) else {
            let mend = match nearest(name, syscalls::all().map(syscalls::Syscall::name)) {
                Some(found) => format!("did you mean {}?", quote(found)),
                None => "leave it out".to_owned(),
            };
            let found = format!("no system call is called {}", quote(name));
            lints.push(Lint::new(
                "unknown-system-call",
                Severity::Medium,
                key,
                found,
                mend,
            ));
            continue;
        };
        if !abis(filter).iter().any(|abi| call.number(*abi).is_some()) {
            foreign.push(call.name());
        }
        let is_made = matches!(rule.action, Action::Allow | Action::Log);
        if is_made && OF_THE_RUNTIME.contains(&name.as_str()) {
            lints.push(Lint::new(
                "runtime-only",
                Severity::Medium,
                key,
                format!(
                    "{name} is for a runtime, which makes its calls before the filter is there"
                ),
                "leave it out",
            ));
        }
    }
    if !foreign.is_empty() {
        lints.push(Lint::new(
            "foreign-system-call",
            Severity::Low,
            key,
            format!("no listed architecture has {}", foreign.join(", ")),
            "leave them, if the profile is for other machines too: they are passed over",
        ));
    }
}

fn abis(filter: &Seccomp) -> Vec<Abi> {
    let listed = filter.architectures.iter().filter_map(|arch| match arch {
        Arch::X8664 => Some(Abi::X8664),
        Arch::X86 => Some(Abi::X86),
        Arch::X32 => Some(Abi::X32),
        Arch::Aarch64 => Some(Abi::Aarch64),
        Arch::Arm => Some(Abi::Arm),
        _ => None,
    });
    listed.collect()
}

/// Calls that are made, and do with arguments that no filter sees what other calls are refused.
fn ways_around(rules: &SeccompRules, filter: &Seccomp, lints: &mut Vec<Lint>) {
    let exists = |name: &str| {
        let call = named(name);
        let has_number = |abi: &Abi| call.and_then(|call| call.number(*abi)).is_some();
        abis(filter).iter().any(has_number)
    };
    // What nobody listed is refused for no reason that could be undone.
    let is_refused = |name: &str| {
        let answers = answers(filter, name);
        let (open, closed): (Vec<_>, Vec<_>) =
            answers.iter().partition(|(answer, _)| permits(*answer));
        let is_listed = rules
            .rules
            .iter()
            .any(|rule| rule.names.iter().any(|other| other == name));
        !closed.is_empty() && (!open.is_empty() || is_listed)
    };
    for (call, others) in UNSEEN {
        if !exists(call) || !is_open(filter, call) {
            continue;
        }
        let refused = others
            .iter()
            .filter(|other| exists(other) && is_refused(other));
        let refused: Vec<&str> = refused.copied().collect();
        if refused.is_empty() {
            continue;
        }
        let place = |rule: &SeccompRule| rule.names.iter().position(|name| name == call);
        let mut places = rules.rules.iter().enumerate();
        let place = places.find_map(|(at, rule)| Some((at, place(rule)?)));
        let key = match place {
            Some((at, name)) => format!("seccomp.rules[{at}].names[{name}]"),
            None => "seccomp.default-action".to_owned(),
        };
        let refused = refused.join(", ");
        lints.push(Lint::new(
            "way-around",
            Severity::Medium,
            key,
            format!("{call} does what {refused} is refused, with arguments that no filter sees"),
            format!("have {call} fail with ENOSYS, or leave it out where that is the default: programs go on without it"),
        ));
    }
}

fn permits(answer: region::Answer) -> bool {
    region::rank(answer) >= 2
}

fn answers(filter: &Seccomp, name: &str) -> Vec<(region::Answer, Vec<region::Cube>)> {
    region::answers(Some(filter), name).unwrap_or_default()
}

/// Whether it is made with any arguments.
fn is_open(filter: &Seccomp, name: &str) -> bool {
    let answers = answers(filter, name);
    answers.iter().all(|(answer, _)| permits(*answer))
}

/// A filter that refuses nothing, or everything.
fn whole(filter: &Seccomp, lints: &mut Vec<Lint>) {
    if permits(region::default(filter)) && syscalls::all().all(|call| is_open(filter, call.name()))
    {
        lints.push(Lint::new(
            "refuses-nothing",
            Severity::High,
            "seccomp",
            "the filter refuses nothing",
            "set default-action = \"errno\" and allow what is needed",
        ));
    }
    for name in ESSENTIAL {
        let all = answers(filter, name);
        if !all.is_empty() && !all.iter().any(|(answer, _)| permits(*answer)) {
            lints.push(Lint::new(
                "nothing-runs",
                Severity::High,
                "seccomp.rules",
                format!("{name} is refused, and no program does without it"),
                format!("allow {name}"),
            ));
        }
    }
}
