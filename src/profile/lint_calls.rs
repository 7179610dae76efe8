//! What in a profile's rules of system calls is hardly meant. How rules combine is as in the module `seccomp`.

use super::filter::filter;
use super::format::*;
use super::lint::Lint;
use super::near::nearest;
use super::region::{self, Cube, Part, minus};
use crate::error::quote;
use crate::names::syscalls::{self, Abi, named};
use crate::report::Severity;
use crate::spec::{Arch, Seccomp};

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

/// Tests that match everything, or compare other bits than the kernel reads.
fn tests_of(rule: &SeccompRule, at: usize, default: Action, lints: &mut Vec<Lint>) {
    for (i, arg) in rule.args.iter().enumerate() {
        let key = format!("seccomp.rules[{at}].args[{i}]");
        for name in &rule.names {
            if let Some(lint) = width(name, arg, &key, rule.action, default) {
                lints.push(lint);
                break;
            }
        }
    }
}

fn width(name: &str, arg: &ArgRule, key: &str, action: Action, default: Action) -> Option<Lint> {
    let bits = named(name)?.argument_bits(arg.index as usize);
    let what = format!("argument {} of {name}", arg.index);
    if arg.mask.is_some_and(|mask| mask & !bits != 0) {
        let read = bits.count_ones();
        let found =
            format!("the kernel reads the low {read} bits of {what}, and the mask has others");
        let mend = "leave them out of the mask: a comparison of them is slipped past elsewhere";
        return Some(Lint::new(
            "wide-compare",
            Severity::Medium,
            format!("{key}.mask"),
            found,
            mend,
        ));
    }
    if arg.none_of.is_some() && bits < 0xffff_ffff {
        let found = format!("the kernel reads 16 bits of {what}, so none-of matches every value");
        let mend = "write one-of with a mask";
        return Some(Lint::new(
            "narrow-argument",
            Severity::High,
            key,
            found,
            mend,
        ));
    }
    if arg.mask.is_none() && bits == u64::MAX {
        let permits = |action| matches!(action, Action::Allow | Action::Log);
        let severity = if permits(action) && !permits(default) {
            Severity::Medium
        } else {
            Severity::Low
        };
        let found = format!("the kernel reads all 64 bits of {what}, and the low 32 are compared");
        let mend = "set mask = 0xffffffffffffffff";
        return Some(Lint::new("narrow-compare", severity, key, found, mend));
    }
    None
}

/// Rules that never decide, that repeat the default, or that answer the same call differently.
fn combined(rules: &SeccompRules, filter: &Seccomp, origins: &[usize], lints: &mut Vec<Lint>) {
    let default = region::default(filter);
    for (at, rule) in rules.rules.iter().enumerate() {
        let own = |part: &&Part| origins[part.at] == at;
        let names = rule.names.iter().filter(|name| named(name).is_some());
        let (mut dead, mut contradicted, mut repeats) = (Vec::new(), Vec::new(), 0);
        for name in names.clone() {
            let parts = region::parts(filter, name);
            let (own, others): (Vec<&Part>, Vec<&Part>) = parts.iter().partition(own);
            if own.iter().all(|part| part.answer == default) && !own.is_empty() {
                repeats += 1;
                continue;
            }
            let others: Vec<&Part> = others
                .into_iter()
                .filter(|part| part.answer != default)
                .collect();
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

/// A filter that refuses nothing, or everything.
fn whole(filter: &Seccomp, lints: &mut Vec<Lint>) {
    let permits = |answer| region::rank(answer) >= 2;
    let answers = |name: &str| region::answers(Some(filter), name).unwrap_or_default();
    let is_open = |name: &str| answers(name).iter().all(|(answer, _)| permits(*answer));
    if permits(region::default(filter)) && syscalls::all().all(|call| is_open(call.name())) {
        lints.push(Lint::new(
            "refuses-nothing",
            Severity::High,
            "seccomp",
            "the filter refuses nothing",
            "set default-action = \"errno\" and allow what is needed",
        ));
    }
    for name in ESSENTIAL {
        let all = answers(name);
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

#[cfg(test)]
mod tests {
    use crate::profile::lint;

    const HEAD: &str = "name = \"x\"\ndescription = \"\"\n[seccomp]\ndefault-action = \"errno\"\narchitectures = [\"native\"]\n\
                        [[seccomp.rules]]\nnames = [\"execve\", \"exit_group\"]\naction = \"allow\"\nreason = \"\"\n";

    fn found(rules: &[(&str, &str, &str)]) -> Vec<String> {
        let rule = |(names, action, args): &(&str, &str, &str)| {
            format!(
                "[[seccomp.rules]]\nnames = [{names}]\naction = \"{action}\"\nargs = [{args}]\nreason = \"\"\n"
            )
        };
        let text = HEAD.to_owned() + &rules.iter().map(rule).collect::<String>();
        lint("x", &text)
            .unwrap()
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn misspelt_foreign_and_runtime_s_calls_are_found() {
        assert_eq!(
            found(&[("\"raed\", \"waitpid\", \"pivot_root\"", "allow", "")]),
            [
                "medium: unknown-system-call: seccomp.rules[1].names[0]: no system call is called \"raed\"; did you mean \"read\"?",
                "medium: runtime-only: seccomp.rules[1].names[2]: pivot_root is for a runtime, which makes its calls before the filter is there; leave it out",
                "low: foreign-system-call: seccomp.rules[1].names: no listed architecture has waitpid; leave them, if the profile is for other machines too: they are passed over",
            ]
        );
    }

    #[test]
    fn rules_that_never_decide_are_found() {
        let clone = |one_of: &str| format!("{{ index = 0, mask = 3, one-of = [{one_of}] }}");
        assert_eq!(
            found(&[
                ("\"read\"", "allow", ""),
                ("\"read\"", "kill-process", &clone("1"))
            ]),
            [
                "medium: dead-rule: seccomp.rules[2]: other rules decide first for read; leave these names out, or the other rules",
            ]
        );
        assert_eq!(
            found(&[
                ("\"clone\"", "kill-process", &clone("0, 1, 2")),
                ("\"clone\"", "allow", &clone("1"))
            ]),
            [
                "medium: dead-rule: seccomp.rules[2]: other rules decide first for clone; leave these names out, or the other rules",
            ]
        );
        assert_eq!(
            found(&[
                ("\"clone\"", "kill-process", &clone("0, 1")),
                ("\"clone\"", "allow", &clone("1, 2"))
            ]),
            [
                "medium: contradicting-rules: seccomp.rules[2]: another rule has another answer to the same calls: clone; make the tests exclude each other",
            ]
        );
        assert_eq!(
            found(&[
                ("\"clone\"", "allow", &clone("0, 1")),
                ("\"clone\"", "kill-process", &clone("2"))
            ]),
            Vec::<String>::new()
        );
        assert_eq!(
            found(&[("\"clone\"", "errno", &clone("0"))]),
            [
                "low: repeats-default: seccomp.rules[1]: the rule does what the default does; leave it, if it is there for the reader",
            ]
        );
    }

    #[test]
    fn comparisons_of_the_wrong_width_are_found() {
        let one = |args: &str, name: &str| found(&[(name, "allow", args)]);
        assert_eq!(
            one(
                "{ index = 0, mask = 0xffffffffffffffff, one-of = [1] }",
                "\"socket\""
            ),
            [
                "medium: wide-compare: seccomp.rules[1].args[0].mask: the kernel reads the low 32 bits of argument 0 of socket, and the mask has others; leave them out of the mask: a comparison of them is slipped past elsewhere",
            ]
        );
        assert_eq!(
            one("{ index = 1, one-of = [1] }", "\"prctl\""),
            [
                "medium: narrow-compare: seccomp.rules[1].args[0]: the kernel reads all 64 bits of argument 1 of prctl, and the low 32 are compared; set mask = 0xffffffffffffffff",
            ]
        );
        assert_eq!(
            one("{ index = 1, none-of = [0o4755] }", "\"chmod\""),
            [
                "high: narrow-argument: seccomp.rules[1].args[0]: the kernel reads 16 bits of argument 1 of chmod, so none-of matches every value; write one-of with a mask",
            ]
        );
    }

    #[test]
    fn filters_that_refuse_nothing_or_the_program_are_found() {
        let text = HEAD.replace("default-action = \"errno\"", "default-action = \"allow\"");
        let ids = |text: &str| {
            lint("x", text)
                .unwrap()
                .iter()
                .map(|lint| lint.id)
                .collect::<Vec<_>>()
        };
        assert_eq!(ids(&text), ["refuses-nothing", "repeats-default"]);
        assert_eq!(ids(&HEAD.replace("\"execve\", ", "")), ["nothing-runs"]);
        assert_eq!(
            ids(&HEAD.replace(
                "[\"native\"]",
                "[\"native\", \"SCMP_ARCH_X32\", \"SCMP_ARCH_S390X\"]"
            )),
            ["second-abi", "foreign-architecture"]
        );
    }
}
