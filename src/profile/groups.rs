//! A section `seccomp` as a file has it: with groups of calls, and with `allow` and `deny` on top of the rules. It becomes
//! rules that name each call, which is all that the rest of the program knows. Which calls a group has is in `names`.
//!
//! - `deny` comes before all else; a call in it fails with EPERM, whatever its arguments.
//! - A call that `allow` names is made, whatever the rules say; with tests of arguments, what these match is made, and the
//!   rules say the rest. A group in `allow` leaves alone what a rule tests the
//!   arguments of: nobody who allows `@network-io` means AF_ALG. So it is with calls that do the same with arguments that no
//!   filter sees: no group allows clone3(2) while a rule tests clone(2) or `deny` names it.
//! - A group in a rule is without the calls that another rule names.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::allowance::{Allowance, spare};
use super::format::{Action, ErrnoName, SeccompRule, SeccompRules};
use super::near::nearest;
use crate::error::quote;
use crate::names::{self, Group, MARK};

/// The section as a file has it.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Written {
    /// For a call that no rule matches.
    pub(super) default_action: Action,
    /// The error of the default action, and of rules that name none.
    #[serde(default)]
    pub(super) default_errno: ErrnoName,
    /// `native`, or names such as `SCMP_ARCH_X86_64`; a call of any other architecture kills the process.
    pub(super) architectures: Vec<String>,
    /// In no order: no two of them may match the same call.
    #[serde(default)]
    pub(super) rules: Vec<SeccompRule>,
    /// System calls and groups of them that are made, whatever the rules say; a group leaves alone the calls whose arguments
    /// a rule tests. `{ names = […], args = […] }` is made with these arguments only.
    #[serde(default)]
    pub(super) allow: Vec<Allowance>,
    /// System calls and groups of them that fail with EPERM, whatever the rules and `allow` say.
    #[serde(default)]
    pub(super) deny: Vec<String>,
}

/// Where a rule came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// The rule at that place.
    Rule(usize),
    Allow,
    Deny,
}

impl TryFrom<Written> for SeccompRules {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let rules = settle(&written)?.into_iter().map(|(_, rule)| rule);
        Ok(Self {
            default_action: written.default_action,
            default_errno: written.default_errno,
            architectures: written.architectures.clone(),
            rules: rules.collect(),
        })
    }
}

/// Rules that name each call, with where they came from.
///
/// # Errors
/// A group that does not exist, with its place.
pub(super) fn settle(written: &Written) -> Result<Vec<(Origin, SeccompRule)>, String> {
    let denied = calls(&written.deny, "deny")?;
    let ruled = ruled(written)?;
    let rules = || written.rules.iter().zip(&ruled);
    let partly = partly(written)?;
    let tested: BTreeSet<&str> = rules()
        .filter(|(rule, _)| !rule.args.is_empty())
        .flat_map(|(_, names)| names.iter().copied())
        .chain(partly.iter().flat_map(|rule| literal(&rule.names)))
        .collect();
    let mut allowed = placed(whole(written), "allow")?;
    let by_name = by_name(written);
    // What is denied by its name is so for a reason, which a way around it must not undo.
    let is_tested = |name: &str| {
        let is_denied = literal(&written.deny).any(|other| other == name);
        is_denied || tested.contains(name) && !by_name.contains(name)
    };
    allowed.retain(|name| {
        let is_left_alone = tested.contains(name) || is_unseen(name, is_tested);
        !denied.contains(name) && (by_name.contains(name) || !is_left_alone)
    });
    let is_left = |name: &&str| !denied.contains(name) && !allowed.contains(name);
    let mut settled = Vec::new();
    for (at, (rule, names)) in rules().enumerate() {
        let names: Vec<&str> = names.iter().copied().filter(is_left).collect();
        if !names.is_empty() || rule.names.is_empty() {
            let spared = spare(of_calls(&names, rule.clone()), &partly);
            settled.extend(spared.into_iter().map(|rule| (Origin::Rule(at), rule)));
        }
    }
    if !allowed.is_empty() {
        let rule = on_top(Action::Allow, None, "allowed on top of the rules");
        settled.push((Origin::Allow, of_calls(&allowed, rule)));
    }
    for rule in partly {
        let names: Vec<&str> = literal(&rule.names).filter(is_left).collect();
        if !names.is_empty() {
            settled.push((Origin::Allow, of_calls(&names, rule.clone())));
        }
    }
    if !denied.is_empty() {
        let errno = Some(ErrnoName::Eperm);
        let rule = on_top(Action::Errno, errno, "denied on top of the rules");
        settled.push((Origin::Deny, of_calls(&denied, rule)));
    }
    Ok(settled)
}

/// The entries of `allow` without tests, with their places.
fn whole(written: &Written) -> impl Iterator<Item = (usize, &str)> {
    let all = written.allow.iter().enumerate();
    all.filter_map(|(at, entry)| Some((at, entry.whole()?)))
}

/// The calls that `allow` has without tests and by their names.
fn by_name(written: &Written) -> BTreeSet<&str> {
    let names = whole(written).map(|(_, name)| name);
    names.filter(|name| !name.starts_with(MARK)).collect()
}

/// The entries of `allow` with tests, as rules.
fn partly(written: &Written) -> Result<Vec<SeccompRule>, String> {
    let all = written.allow.iter().enumerate();
    all.filter_map(|(at, entry)| entry.rule(&format!("allow[{at}]")).transpose())
        .collect()
}

/// Calls that do what others do, with arguments in memory, where no filter sees them.
#[rustfmt::skip]
pub(super) const UNSEEN: [(&str, &[&str]); 5] = [
    ("clone3", &["clone"]),
    ("openat2", &["creat", "open", "openat"]),
    ("sched_setattr", &["sched_setscheduler", "setpriority"]),
    ("ipc", &["msgctl", "msgget", "msgrcv", "msgsnd", "semctl", "semget", "semop", "semtimedop", "shmat", "shmctl", "shmdt",
        "shmget"]),
    ("socketcall", &["accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt", "listen", "recv",
        "recvfrom", "recvmmsg", "recvmsg", "send", "sendmmsg", "sendmsg", "sendto", "setsockopt", "shutdown", "socket",
        "socketpair"]),
];

/// Whether a call does, with arguments that no filter sees, what one does whose arguments are tested.
pub(super) fn is_unseen(call: &str, is_tested: impl Fn(&str) -> bool) -> bool {
    let mut seen = UNSEEN.iter().filter(|(name, _)| *name == call);
    seen.any(|(_, calls)| calls.iter().any(|call| is_tested(call)))
}

/// The calls of each rule: those of a group without what another rule names, and, where the rule allows, without what would
/// undo the tests of another.
fn ruled(written: &Written) -> Result<Vec<Vec<&str>>, String> {
    let by_name = by_name(written);
    let in_part: BTreeSet<&str> = written
        .allow
        .iter()
        .filter(|entry| entry.whole().is_none())
        .flat_map(|entry| literal(entry.names()))
        .collect();
    let mut ruled = Vec::new();
    for (at, rule) in written.rules.iter().enumerate() {
        let mut names = calls(&rule.names, &format!("rules[{at}].names"))?;
        let own: BTreeSet<&str> = literal(&rule.names).collect();
        let others = || {
            let others = written.rules.iter().enumerate();
            others.filter(move |(other, _)| *other != at)
        };
        let named: BTreeSet<&str> = others()
            .flat_map(|(_, rule)| literal(&rule.names))
            .collect();
        let tested: BTreeSet<&str> = others()
            .filter(|(_, rule)| !rule.args.is_empty())
            .flat_map(|(_, rule)| calls(&rule.names, "").unwrap_or_default())
            .chain(in_part.iter().copied())
            .collect();
        let allows = matches!(rule.action, Action::Allow | Action::Log);
        let undoes = |name: &str| {
            allows
                && is_unseen(name, |call| {
                    let is_denied = literal(&written.deny).any(|other| other == call);
                    is_denied || tested.contains(call) && !by_name.contains(call)
                })
        };
        names.retain(|name| own.contains(name) || !named.contains(name) && !undoes(name));
        ruled.push(names);
    }
    Ok(ruled)
}

fn of_calls(names: &[&str], rule: SeccompRule) -> SeccompRule {
    let names = names.iter().copied().map(str::to_owned).collect();
    SeccompRule { names, ..rule }
}

fn on_top(action: Action, errno: Option<ErrnoName>, reason: &str) -> SeccompRule {
    SeccompRule {
        names: Vec::new(),
        action,
        errno,
        args: Vec::new(),
        reason: reason.to_owned(),
    }
}

/// The names of a list that are no groups.
pub(super) fn literal(names: &[String]) -> impl Iterator<Item = &str> {
    let names = names.iter().map(String::as_str);
    names.filter(|name| !name.starts_with(MARK))
}

/// The calls of a list, each once, in its order; those of a group in the place of the group. `key` is for the error.
pub(super) fn calls<'a>(names: &'a [String], key: &str) -> Result<Vec<&'a str>, String> {
    placed(names.iter().map(String::as_str).enumerate(), key)
}

fn placed<'a>(
    names: impl Iterator<Item = (usize, &'a str)>,
    key: &str,
) -> Result<Vec<&'a str>, String> {
    let mut known: BTreeSet<&'a str> = BTreeSet::new();
    let mut all: Vec<&'a str> = Vec::new();
    for (at, name) in names {
        if !name.starts_with(MARK) {
            if known.insert(name) {
                all.push(name);
            }
            continue;
        }
        let group = group(name).map_err(|cause| format!("{key}[{at}]: {cause}"))?;
        for call in group.calls() {
            if known.insert(call) {
                all.push(call);
            }
        }
    }
    Ok(all)
}

/// The group of that name.
///
/// # Errors
/// That there is none, with the nearest name.
pub fn group(name: &str) -> Result<Group, String> {
    names::group(name).ok_or_else(|| {
        let near = nearest(name, names::groups().map(Group::name));
        let near = near.map_or(String::new(), |near| {
            format!("; did you mean {}?", quote(near))
        });
        format!("no group of system calls is called {}{near}", quote(name))
    })
}

#[cfg(test)]
mod tests {
    use crate::profile::parse;
    use crate::profile::write::to_toml;

    const HEAD: &str = "name = \"x\"\ndescription = \"\"\n[seccomp]\ndefault-action = \"errno\"\narchitectures = [\"native\"]\n";

    fn rules(section: &str) -> Result<Vec<String>, String> {
        let profile = parse("x", &format!("{HEAD}{section}")).map_err(|error| error.to_string())?;
        let rules = profile.seccomp.unwrap().rules;
        let rules = rules.iter().map(|rule| {
            format!(
                "{:?} {} {}",
                rule.action,
                rule.args.len(),
                rule.names.join(" ")
            )
        });
        Ok(rules.collect())
    }

    #[test]
    fn a_group_in_a_rule_is_its_calls_without_those_that_another_rule_names() {
        let section = "[[seccomp.rules]]\nnames = [\"read\", \"@swap\", \"read\"]\naction = \"allow\"\nreason = \"\"\n\
                       [[seccomp.rules]]\nnames = [\"swapon\"]\naction = \"log\"\nreason = \"\"\n";
        assert_eq!(
            rules(section).unwrap(),
            ["Allow 0 read swapoff", "Log 0 swapon"]
        );
    }

    #[test]
    fn deny_beats_allow_and_both_beat_the_rules() {
        let rule =
            "[[seccomp.rules]]\nnames = [\"swapon\", \"mount\"]\naction = \"log\"\nreason = \"\"\n";
        let section = format!("allow = [\"@swap\", \"mount\"]\ndeny = [\"swapon\"]\n{rule}");
        assert_eq!(
            rules(&section).unwrap(),
            ["Allow 0 swapoff mount", "Errno 0 swapon"]
        );
    }

    #[test]
    fn a_group_that_is_allowed_leaves_tested_arguments_alone_and_a_name_does_not() {
        let rule = "[[seccomp.rules]]\nnames = [\"unshare\"]\naction = \"allow\"\nreason = \"\"\nargs = [{ index = 0, one-of = [1] }]\n";
        let with = |list: &str| rules(&format!("{list}\n{rule}")).unwrap();
        assert_eq!(
            with("allow = [\"@namespace\"]"),
            ["Allow 1 unshare", "Allow 0 setns"]
        );
        assert_eq!(with("allow = [\"unshare\"]"), ["Allow 0 unshare"]);
        assert_eq!(with("deny = [\"@namespace\"]"), ["Errno 0 setns unshare"]);
    }

    #[test]
    fn no_group_allows_clone3_while_clone_is_tested_or_denied_by_name() {
        let rule = "[[seccomp.rules]]\nnames = [\"clone\"]\naction = \"allow\"\nreason = \"\"\nargs = [{ index = 0, one-of = [1] }]\n";
        let has = |section: &str| {
            let rules = rules(section).unwrap();
            rules.iter().any(|rule| rule.contains("clone3"))
        };
        let with = |list: &str| has(&format!("allow = [{list}]\n{rule}"));
        assert!(!with("\"@process\""));
        assert!(with("\"@process\", \"clone3\""));
        assert!(with("\"@process\", \"clone\""));
        assert!(has("allow = [\"@process\"]"));
        let in_rule = |action: &str| {
            has(&format!(
                "{rule}[[seccomp.rules]]\nnames = [\"@process\"]\naction = \"{action}\"\nreason = \"\"\n"
            ))
        };
        assert!(!in_rule("allow") && !in_rule("log") && in_rule("kill-process"));
        let denied = |list: &str| has(&format!("deny = [\"clone\"]\nallow = [{list}]"));
        assert!(!denied("\"@process\"") && denied("\"@process\", \"clone3\""));
        assert!(!has(
            "deny = [\"clone\"]\n[[seccomp.rules]]\nnames = [\"@process\"]\naction = \"allow\"\nreason = \"\"\n"
        ));
    }

    #[test]
    fn a_group_that_is_allowed_leaves_alone_what_a_group_tests() {
        let section = "allow = [\"@namespace\"]\n[[seccomp.rules]]\nnames = [\"@namespace\"]\naction = \"errno\"\nreason = \"\"\n\
                       args = [{ index = 0, one-of = [1] }]\n[[seccomp.rules]]\nnames = [\"setns\"]\naction = \"log\"\nreason = \"\"\n";
        assert_eq!(
            rules(section).unwrap(),
            ["Errno 1 unshare", "Allow 0 setns"]
        );
    }

    #[test]
    fn what_allow_has_with_arguments_is_taken_from_the_rules_and_they_keep_the_rest() {
        let with = |allow: &str, args: &str| {
            let rule = "names = [\"socket\", \"mount\"]\naction = \"errno\"\nreason = \"\"";
            let section = format!("allow = [{allow}]\n[[seccomp.rules]]\n{rule}\n{args}\n");
            let profile = parse("x", &format!("{HEAD}{section}")).unwrap();
            let text = to_toml(&profile).unwrap();
            let (_, rules) = text.split_once("[[seccomp.rules]]\n").unwrap();
            let rules = rules.split("\n[[seccomp.rules]]\n");
            rules.map(str::to_owned).collect::<Vec<_>>()
        };
        let alg =
            "{ names = [\"socket\"], args = [{ index = 0, one-of = [38] }], reason = \"keys\" }";
        assert_eq!(
            with(alg, "args = [{ index = 0, none-of = [1] }]"),
            [
                "names = [\"mount\"]\naction = \"errno\"\nargs = [{ index = 0, none-of = [1] }]\nreason = \"\"\n",
                "names = [\"socket\"]\naction = \"errno\"\nargs = [{ index = 0, none-of = [1, 0x26] }]\nreason = \"\"\n",
                "names = [\"socket\"]\naction = \"allow\"\nargs = [{ index = 0, one-of = [0x26] }]\nreason = \"keys\"\n",
            ]
        );
        assert_eq!(
            with(&format!("\"socket\", {alg}"), ""),
            [
                "names = [\"mount\"]\naction = \"errno\"\nreason = \"\"\n",
                "names = [\"socket\"]\naction = \"allow\"\nreason = \"allowed on top of the rules\"\n",
            ]
        );
    }

    #[test]
    fn a_group_in_allow_leaves_alone_what_allow_has_with_arguments() {
        let section = "allow = [\"@process\", { names = [\"clone\"], args = [{ index = 0, one-of = [0] }] }]\n";
        let rules = rules(section).unwrap();
        assert_eq!(rules[1], "Allow 1 clone");
        assert!(!rules[0].contains(" clone"), "{rules:?}");
    }

    #[test]
    fn allow_with_arguments_takes_calls_by_name_and_tests_that_mean_something() {
        let refused = |entry: &str| {
            let text = rules(&format!("allow = [\"read\", {entry}]")).unwrap_err();
            let (_, rest) = text.split_once("seccomp").unwrap();
            rest.to_owned()
        };
        assert_eq!(
            refused("{ names = [\"@mount\"], args = [{ index = 0, one-of = [1] }] }"),
            ": allow[1].names[0]: \"@mount\" is a group; arguments are those of one call"
        );
        assert_eq!(
            refused("{ names = [\"mount\"], args = [] }"),
            ": allow[1].args: nothing is tested; name the call alone to allow it whole"
        );
        assert_eq!(
            refused("{ names = [\"mount\"], args = [{ index = 6, one-of = [1] }] }"),
            ": allow[1].args[0].index: 6 is above 5"
        );
        assert_eq!(
            refused("{ name = \"mount\" }"),
            ".allow[1]: neither a name nor a table of names, args and perhaps a reason"
        );
    }

    #[test]
    fn an_unknown_group_is_an_error_with_its_place_and_the_nearest() {
        let error = rules("allow = [\"read\", \"@mont\"]").unwrap_err();
        assert_eq!(
            error,
            "load profile \"x\": line 3: seccomp: allow[1]: no group of system calls is called \"@mont\"; did you mean \"@mount\"?"
        );
    }
}
