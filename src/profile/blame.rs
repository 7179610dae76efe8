//! Which rule of a profile denies a call, and the smallest rule that would allow it.
//! What a filter answers on the whole, its rules together, is `seccomp`'s.

use super::format::{Action, ArgRule, INT, SeccompRule, SeccompRules};
use crate::names::syscalls::named;

/// The rule that denies the call with these registers, and its place; none where the default action does.
pub fn blame<'a>(
    rules: &'a SeccompRules,
    name: &str,
    registers: &[u64; 6],
) -> Option<(usize, &'a SeccompRule)> {
    let denies = |rule: &SeccompRule| {
        matches!(rule.action, Action::Errno | Action::KillProcess)
            && rule.names.iter().any(|other| other == name)
            && rule
                .args
                .iter()
                .all(|arg| arg.matches(register(name, arg.index, registers)))
    };
    rules
        .rules
        .iter()
        .enumerate()
        .find(|(_, rule)| denies(rule))
}

/// Whether the rules let the call be made with these registers. How they combine is as in the module `seccomp`: the first
/// rule without tests decides, else the strictest of those that match.
pub fn permits(rules: &SeccompRules, name: &str, registers: &[u64; 6]) -> bool {
    let makes = |action: Action| matches!(action, Action::Allow | Action::Log);
    let of_call = || {
        let all = rules.rules.iter();
        all.filter(|rule| rule.names.iter().any(|other| other == name))
    };
    if let Some(always) = of_call().find(|rule| rule.args.is_empty()) {
        return makes(always.action);
    }
    let mut matching = of_call()
        .filter(|rule| {
            rule.args
                .iter()
                .all(|arg| arg.matches(register(name, arg.index, registers)))
        })
        .peekable();
    match matching.peek() {
        None => makes(rules.default_action),
        Some(_) => matching.all(|rule| makes(rule.action)),
    }
}

/// The rule that allows the call with those of its registers that the profile looks at where it denies it.
pub fn allowing(rules: &SeccompRules, name: &str, registers: &[u64; 6]) -> SeccompRule {
    let of_call = || {
        rules
            .rules
            .iter()
            .filter(|rule| rule.names.iter().any(|other| other == name))
    };
    let tests = || of_call().flat_map(|rule| &rule.args);
    let mut indices: Vec<u32> = match blame(rules, name, registers) {
        Some((_, rule)) => rule.args.iter().map(|arg| arg.index).collect(),
        None => tests().map(|arg| arg.index).collect(),
    };
    indices.sort_unstable();
    indices.dedup();
    let test = |index: u32| {
        // All bits that any rule for the call looks at: the others that a masked test leaves out may be forbidden, too.
        let of_index = tests().filter(|arg| arg.index == index);
        let mask = of_index.fold(0, |mask, arg| mask | arg.bits());
        ArgRule {
            index,
            mask: (mask != INT).then_some(mask),
            one_of: Some(vec![register(name, index, registers) & mask]),
            none_of: None,
        }
    };
    SeccompRule {
        names: vec![name.to_owned()],
        action: Action::Allow,
        errno: None,
        args: indices.into_iter().map(test).collect(),
        reason: "needed".to_owned(),
    }
}

/// As much of a register as the kernel reads.
fn register(name: &str, index: u32, registers: &[u64; 6]) -> u64 {
    let bits = named(name).map_or(u64::MAX, |call| call.argument_bits(index as usize));
    registers
        .get(index as usize)
        .map_or(0, |value| value & bits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Profile;
    use crate::profile::write::allowance_to_toml;

    fn told(name: &str, registers: &[u64; 6]) -> (String, String) {
        let rules = Profile::builtin("restricted").unwrap().seccomp.unwrap();
        let reason = blame(&rules, name, registers).map_or("", |(_, rule)| &rule.reason);
        let allow = allowance_to_toml(&allowing(&rules, name, registers)).unwrap();
        let allow = allow.strip_prefix("[seccomp]\nallow = [").unwrap();
        (
            reason.to_owned(),
            allow.strip_suffix("]\n").unwrap().to_owned(),
        )
    }

    #[test]
    fn the_rule_and_the_least_against_it_are_named() {
        let cases = [
            (
                ("socket", [38 | 1 << 40, 5, 0, 0, 0, 0]),
                "families with a history of holes, AF_ALG first",
                r#"{ names = ["socket"], args = [{ index = 0, one-of = [0x26] }] }"#,
            ),
            (
                ("socket", [16, 3, 12, 0, 0, 0]),
                "the rest of netlink changes the kernel",
                r#"{ names = ["socket"], args = [{ index = 0, one-of = [0x10] }, { index = 2, one-of = [0xc] }] }"#,
            ),
            (
                ("clone", [0x1000_0011, 0, 0, 0, 0, 0]),
                "a new user namespace",
                r#"{ names = ["clone"], args = [{ index = 0, mask = 0x7e020000, one-of = [0x10000000] }] }"#,
            ),
            (
                ("unshare", [0x1000_0000, 0, 0, 0, 0, 0]),
                "known, and not for this profile; what is not listed at all is ENOSYS",
                r#""unshare""#,
            ),
            (("clone3", [1, 88, 0, 0, 0, 0]), "", r#""clone3""#),
        ];
        for ((name, registers), reason, rule) in cases {
            assert_eq!(
                told(name, &registers),
                (reason.to_owned(), rule.to_owned()),
                "{name}"
            );
        }
    }
}
