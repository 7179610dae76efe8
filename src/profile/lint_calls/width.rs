//! Tests of arguments that compare other bits than the kernel reads.

use crate::names::syscalls::named;
use crate::profile::format::*;
use crate::profile::lint::Lint;
use crate::report::Severity;

/// Tests that match everything, or compare other bits than the kernel reads.
pub(super) fn tests_of(rule: &SeccompRule, at: usize, default: Action, lints: &mut Vec<Lint>) {
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
