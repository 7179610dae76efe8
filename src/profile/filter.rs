//! A profile's system-call rules as the specification's `linux.seccomp`.
//! Compiling them to BPF is not here; neither is the config's own filter, which stays as it is.

use super::format::{Action, ArgRule, ErrnoName, INT, SeccompRule, SeccompRules};
use crate::error::quote;
use crate::spec::{Arch, Seccomp, SeccompAction, SeccompArg, SeccompOp, SyscallRule};

/// The filter; a rule with alternatives becomes one rule for each.
pub(super) fn filter(rules: &SeccompRules) -> Seccomp {
    Seccomp {
        default_action: action(rules.default_action),
        default_errno_ret: (rules.default_action == Action::Errno)
            .then(|| number(rules.default_errno)),
        architectures: rules
            .architectures
            .iter()
            .filter_map(|name| arch(name))
            .collect(),
        flags: None,
        listener_path: None,
        listener_metadata: None,
        syscalls: rules
            .rules
            .iter()
            .flat_map(|rule| alternatives(rule, rules.default_errno))
            .collect(),
    }
}

/// What the types of the format cannot say.
pub(super) fn check(rules: &SeccompRules) -> Result<(), String> {
    if rules.architectures.is_empty() {
        return Err(
            "seccomp.architectures: nothing is listed, so every call would be killed".into(),
        );
    }
    if let Some(name) = rules.architectures.iter().find(|name| arch(name).is_none()) {
        return Err(format!("seccomp.architectures: {} is unknown", quote(name)));
    }
    let mut all = rules.rules.iter().enumerate();
    all.try_for_each(|(at, rule)| check_rule(rule, &format!("seccomp.rules[{at}]")))
}

/// The same of one rule; `key` is where it stands.
pub(super) fn check_rule(rule: &SeccompRule, key: &str) -> Result<(), String> {
    if rule.errno.is_some() && rule.action != Action::Errno {
        return Err(format!("{key}.errno: only the action \"errno\" has one"));
    }
    for (at, arg) in rule.args.iter().enumerate() {
        if arg.index > 5 {
            return Err(format!("{key}.args[{at}].index: {} is above 5", arg.index));
        }
        if arg.one_of.is_some() == arg.none_of.is_some() {
            return Err(format!("{key}.args[{at}]: either one-of or none-of"));
        }
        if arg.none_of.is_some() && arg.mask.is_some() {
            return Err(format!("{key}.args[{at}]: none-of has no mask"));
        }
        if rule.args[..at].iter().any(|other| other.index == arg.index) {
            // As rules of a config either test would be enough (`seccomp`).
            let index = arg.index;
            return Err(format!("{key}.args[{at}].index: {index} is tested twice"));
        }
        let mask = arg.bits();
        let values = arg.one_of.iter().chain(&arg.none_of).flatten();
        if values.clone().next().is_none() {
            return Err(format!("{key}.args[{at}]: without values it never matches"));
        }
        if let Some(value) = values.into_iter().find(|value| **value & !mask != 0) {
            return Err(format!(
                "{key}.args[{at}]: {value:#x} has bits outside of {mask:#x}"
            ));
        }
    }
    Ok(())
}

fn alternatives(rule: &SeccompRule, default_errno: ErrnoName) -> Vec<SyscallRule> {
    let mut all: Vec<Vec<SeccompArg>> = vec![Vec::new()];
    for arg in &rule.args {
        let tests = tests(arg);
        all = all
            .iter()
            .flat_map(|args| {
                tests
                    .iter()
                    .map(|test| [&args[..], std::slice::from_ref(test)].concat())
            })
            .collect();
    }
    let errno_ret =
        (rule.action == Action::Errno).then(|| number(rule.errno.unwrap_or(default_errno)));
    let one = |args| SyscallRule {
        names: rule.names.clone(),
        action: action(rule.action),
        errno_ret,
        args,
    };
    all.into_iter().map(one).collect()
}

/// The test of one argument as masked comparisons, any of which is enough.
fn tests(arg: &ArgRule) -> Vec<SeccompArg> {
    let masked = |mask, wanted| SeccompArg {
        index: arg.index,
        value: mask,
        value_two: wanted,
        op: SeccompOp::MaskedEqual,
    };
    let wanted = arg
        .one_of
        .iter()
        .flatten()
        .map(|value| masked(arg.bits(), *value));
    let others = arg.none_of.iter().flat_map(|values| everything_but(values));
    wanted
        .chain(others.map(|(mask, value)| masked(mask, value)))
        .collect()
}

/// All 32-bit numbers but `values`, as disjoint sets of those that begin with the same bits: (mask, bits).
///
/// A rule that names what is refused and allows the rest would depend on which of two matching rules wins; libseccomp
/// and runtimes differ there. Sets that do not overlap mean the same everywhere.
fn everything_but(values: &[u64]) -> Vec<(u64, u64)> {
    let mut sets = Vec::new();
    for length in 1..=32 {
        let mask = INT & !(INT >> length);
        let mut begins: Vec<u64> = values
            .iter()
            .map(|value| value & (mask << 1 & INT))
            .collect();
        begins.sort_unstable();
        begins.dedup();
        let bit = 1 << (32 - length);
        let free = |begin: &u64| !values.iter().any(|value| value & mask == *begin);
        sets.extend(
            begins
                .iter()
                .flat_map(|begin| [*begin, begin | bit])
                .filter(free)
                .map(|begin| (mask, begin)),
        );
    }
    sets
}

fn action(action: Action) -> SeccompAction {
    match action {
        Action::Allow => SeccompAction::Allow,
        Action::Errno => SeccompAction::Errno,
        Action::Log => SeccompAction::Log,
        Action::KillProcess => SeccompAction::KillProcess,
    }
}

/// errno(3); these three have the same number on every architecture that stockade runs on.
pub(super) fn number(errno: ErrnoName) -> u32 {
    match errno {
        ErrnoName::Eperm => 1,
        ErrnoName::Eacces => 13,
        ErrnoName::Enosys => 38,
    }
}

fn arch(name: &str) -> Option<Arch> {
    if name != "native" {
        return serde_json::from_value(name.into()).ok();
    }
    Some(if cfg!(target_arch = "x86_64") {
        Arch::X8664
    } else if cfg!(target_arch = "aarch64") {
        Arch::Aarch64
    } else if cfg!(target_arch = "riscv64") {
        Arch::Riscv64
    } else if cfg!(target_arch = "s390x") {
        Arch::S390x
    } else if cfg!(target_arch = "powerpc64") {
        Arch::Ppc64le
    } else {
        return None;
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_but_covers_each_other_value_exactly_once() {
        let values = [0x5412, 0x541c, 0x5423];
        let sets = everything_but(&values);
        let covers = |x: u64| {
            sets.iter()
                .filter(|(mask, begin)| x & mask == *begin)
                .count()
        };
        for x in (0..0x10000).chain([INT, INT - 1, 0x8000_5412, 0x4000_0000]) {
            assert_eq!(covers(x), usize::from(!values.contains(&x)), "{x:#x}");
        }
    }

    #[test]
    fn tests_that_would_not_mean_what_they_say_are_refused() {
        let refused = |args: &str| {
            let text = format!(
                "default-action = \"errno\"\narchitectures = [\"native\"]\n[[rules]]\nnames = [\"clone\"]\n\
                 action = \"allow\"\nreason = \"\"\nargs = [{args}]\n"
            );
            check(&toml::from_str(&text).unwrap()).unwrap_err()
        };
        assert_eq!(
            refused("{ index = 0, mask = 1, one-of = [1] }, { index = 0, mask = 2, one-of = [2] }"),
            "seccomp.rules[0].args[1].index: 0 is tested twice"
        );
        assert_eq!(
            refused("{ index = 0, none-of = [] }"),
            "seccomp.rules[0].args[0]: without values it never matches"
        );
    }

    #[test]
    fn everything_but_nothing_is_everything() {
        assert_eq!(everything_but(&[7]).len(), 32);
        let sets = everything_but(&[]);
        assert!(sets.is_empty(), "a rule needs a value to exclude: {sets:?}");
    }
}
