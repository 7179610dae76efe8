//! Reading the rules of a profile: checking them, and saying what in them has no effect.
//! What they mean on one architecture is in `policy`. config-linux.md, "Seccomp", rules; where it is silent, libseccomp
//! and the runtimes that use it do.

use super::Warning;
use super::action::{self, answer};
use crate::error::{Error, Result, quote};
use crate::names::syscalls::{Syscall, named};
use crate::spec::{Seccomp, SeccompAction, SeccompArg, SeccompOp, SyscallRule};

/// One rule, checked.
pub(super) struct Rule {
    /// Its place in `linux.seccomp.syscalls`.
    pub(super) at: usize,
    /// The calls that this program knows.
    pub(super) calls: Vec<Syscall>,
    /// What the filter answers.
    pub(super) action: u32,
    /// Any of these must match; within one all must. A rule without conditions has one empty alternative.
    pub(super) alternatives: Vec<Vec<SeccompArg>>,
}

/// The rules in order. Texts for the log go to `warnings`.
///
/// # Errors
/// Naming the field: no names, an index above 5, an errno that the action does not take, a notify rule that cannot work.
pub(super) fn read(seccomp: &Seccomp, warnings: &mut Vec<Warning>) -> Result<Vec<Rule>> {
    let rules = seccomp.syscalls.iter().enumerate();
    rules
        .map(|(at, rule)| read_one(at, rule, warnings))
        .collect()
}

fn read_one(at: usize, rule: &SyscallRule, warnings: &mut Vec<Warning>) -> Result<Rule> {
    let field = format!("linux.seccomp.syscalls[{at}]");
    if rule.names.is_empty() {
        return Err(Error::new(
            format!("{field}.names"),
            "at least one name is needed",
        ));
    }
    let action = answer(rule.action, rule.errno_ret, &format!("{field}.errnoRet"))?;
    check_indices(&field, &rule.args)?;
    let mut calls = Vec::with_capacity(rule.names.len());
    let mut unknown = Vec::new();
    for (i, name) in rule.names.iter().enumerate() {
        if rule.action == SeccompAction::Notify && name == "sendmsg" {
            let cause = "SCMP_ACT_NOTIFY on \"sendmsg\" would stop the runtime before it can hand over the listener";
            return Err(Error::new(format!("{field}.names[{i}]"), cause));
        }
        match named(name) {
            Some(call) => calls.push(call),
            None => unknown.push(quote(name)),
        }
    }
    if !unknown.is_empty() {
        let unknown = unknown.join(", ");
        warnings.push(Warning::Mistake(format!(
            "{field}.names: unknown system calls are ignored: {unknown}"
        )));
    }
    warn_of_wide_values(&field, rule, &calls, warnings);
    let alternatives = alternatives(&field, &rule.args, warnings);
    Ok(Rule {
        at,
        calls,
        action,
        alternatives,
    })
}

fn check_indices(field: &str, args: &[SeccompArg]) -> Result<()> {
    match args.iter().position(|arg| arg.index > 5) {
        Some(i) => Err(Error::new(
            format!("{field}.args[{i}].index"),
            format!("{} is not 0 to 5", args[i].index),
        )),
        None => Ok(()),
    }
}

/// All conditions of a rule must match. But where one argument is compared twice, each condition stands alone and any
/// suffices: the specification is silent, libseccomp takes one comparison an argument, and the runtimes that use it
/// agreed on this, for the profiles that were written so.
fn alternatives(
    field: &str,
    args: &[SeccompArg],
    warnings: &mut Vec<Warning>,
) -> Vec<Vec<SeccompArg>> {
    let twice = args.iter().enumerate().any(|(i, arg)| {
        let earlier = &args[..i];
        earlier.iter().any(|other| other.index == arg.index)
    });
    if !twice {
        return vec![args.to_vec()];
    }
    warnings.push(Warning::Usual(format!(
        "{field}.args: one argument is compared more than once, so any one of the conditions suffices"
    )));
    args.iter().map(|arg| vec![arg.clone()]).collect()
}

fn warn_of_wide_values(
    field: &str,
    rule: &SyscallRule,
    calls: &[Syscall],
    warnings: &mut Vec<Warning>,
) {
    for (i, arg) in rule.args.iter().enumerate() {
        if arg.op == SeccompOp::MaskedEqual && arg.value_two & !arg.value != 0 {
            warnings.push(Warning::Usual(format!(
                "{field}.args[{i}].valueTwo: bits outside the mask {:#x} are ignored",
                arg.value
            )));
        }
        let narrow = calls.iter().find(|call| {
            let bits = call.argument_bits(arg.index as usize);
            !fits(arg.value, bits) || !fits(arg.value_two, bits)
        });
        if let Some(call) = narrow {
            warnings.push(Warning::Usual(format!(
                "{field}.args[{i}]: the kernel reads {} bits of argument {} of {}, higher bits are ignored",
                call.argument_bits(arg.index as usize).count_ones(),
                arg.index,
                call.name(),
            )));
        }
    }
}

/// Whether a value is a number of that width, or a negative one, sign-extended.
fn fits(value: u64, bits: u64) -> bool {
    value & !bits == 0 || value | bits == u64::MAX
}

/// Checks what concerns the profile as a whole; true if it needs a listener.
///
/// # Errors
/// SCMP_ACT_NOTIFY as default or without listenerPath, listenerMetadata without listenerPath.
pub(super) fn check_listener(seccomp: &Seccomp) -> Result<bool> {
    let has_path = seccomp
        .listener_path
        .as_ref()
        .is_some_and(|path| !path.is_empty());
    if seccomp.default_action == SeccompAction::Notify {
        let cause = format!(
            "{} cannot be the default",
            action::word(SeccompAction::Notify)
        );
        return Err(Error::new("linux.seccomp.defaultAction", cause));
    }
    if seccomp.listener_metadata.is_some() && !has_path {
        let cause = "it needs linux.seccomp.listenerPath";
        return Err(Error::new("linux.seccomp.listenerMetadata", cause));
    }
    let notify = seccomp
        .syscalls
        .iter()
        .position(|rule| rule.action == SeccompAction::Notify);
    match notify {
        Some(at) if !has_path => Err(Error::new(
            format!("linux.seccomp.syscalls[{at}].action"),
            "SCMP_ACT_NOTIFY needs linux.seccomp.listenerPath",
        )),
        found => Ok(found.is_some()),
    }
}
