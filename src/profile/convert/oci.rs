//! System-call rules from and to the specification's `linux.seccomp` (config-linux.md, "Seccomp"). What cannot be said in
//! the other form is refused, never rounded. From a profile to the specification is `filter`'s.

use serde_json::Value;

use crate::error::{Error, Result, quote};
use crate::names::syscalls::named;
use crate::profile::filter::{filter, number};
use crate::profile::format::{Action, ArgRule, ErrnoName, Profile, SeccompRule, SeccompRules};
use crate::spec::{Arch, Seccomp, SeccompAction, SeccompArg, SeccompOp, SyscallRule};

/// A comparison of order becomes as many rules as a number has bits; more than this nobody reads.
const MOST: usize = 2048;

const ROOT: &str = "linux.seccomp";

/// The profile's system-call rules as `linux.seccomp`.
///
/// # Errors
/// A profile without such rules.
pub fn to_oci(profile: &Profile) -> Result<Seccomp> {
    let rules = profile.seccomp.as_ref().ok_or_else(|| {
        let doing = format!("convert profile {}", quote(&profile.name));
        Error::new(doing, "it has no section \"seccomp\"")
    })?;
    Ok(filter(rules))
}

impl Profile {
    /// A profile that demands nothing but these rules.
    ///
    /// # Errors
    /// A name that is no word, or that of a built-in profile; rules that the format does not allow.
    pub fn of_rules(name: &str, rules: SeccompRules) -> Result<Self> {
        let doing = || format!("make profile {}", quote(name));
        if Self::builtin(name).is_some() {
            return Err(Error::new(doing(), "a built-in profile has this name"));
        }
        let none = Self::builtin("none").expect("it is built in");
        let profile = Self {
            name: name.to_owned(),
            description: "System-call rules converted from linux.seccomp".to_owned(),
            seccomp: Some(rules),
            ..none
        };
        profile
            .check()
            .map_err(|cause| Error::new(doing(), cause))?;
        Ok(profile)
    }
}

/// Reads `linux.seccomp` strictly.
///
/// # Errors
/// With the member that is wrong or not known; Docker's own format has such.
pub fn read_oci(text: &str) -> Result<Seccomp> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let seccomp: Seccomp = serde_path_to_error::deserialize(&mut deserializer)
        .map_err(|error| Error::new(format!("{ROOT}.{}", error.path()), error.inner()))?;
    deserializer
        .end()
        .map_err(|cause| Error::new(ROOT, cause))?;
    let value: Value = serde_json::from_str(text).map_err(|cause| Error::new(ROOT, cause))?;
    known(
        &value,
        ROOT,
        &[
            "defaultAction",
            "defaultErrnoRet",
            "architectures",
            "flags",
            "listenerPath",
            "listenerMetadata",
            "syscalls",
        ],
    )?;
    for (at, rule) in list(&value, "syscalls").iter().enumerate() {
        let field = format!("{ROOT}.syscalls[{at}]");
        known(rule, &field, &["names", "action", "errnoRet", "args"])?;
        for (at, arg) in list(rule, "args").iter().enumerate() {
            let field = format!("{field}.args[{at}]");
            known(arg, &field, &["index", "value", "valueTwo", "op"])?;
        }
    }
    Ok(seccomp)
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value
        .get(key)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

fn known(value: &Value, field: &str, keys: &[&str]) -> Result<()> {
    let mut members = value.as_object().into_iter().flatten();
    match members.find(|(key, _)| !keys.contains(&key.as_str())) {
        Some((key, _)) => Err(Error::new(
            format!("{field}.{}", crate::error::escape(key)),
            "no member of linux.seccomp",
        )
        .hint("give the member linux.seccomp of a config.json; Docker's own format is another")),
        None => Ok(()),
    }
}

/// `linux.seccomp` as rules of a profile that give the same answer to every call.
///
/// # Errors
/// With the field of what a profile cannot say: actions other than its four, errors other than its three, flags, a
/// listener, or an order of 64-bit numbers where registers of 32 bits are filtered too.
pub fn from_oci(seccomp: &Seccomp) -> Result<SeccompRules> {
    let Seccomp {
        default_action,
        default_errno_ret,
        architectures,
        flags,
        listener_path,
        listener_metadata,
        syscalls,
    } = seccomp;
    if flags.iter().flatten().next().is_some() {
        return Err(no(format!("{ROOT}.flags"), "flags"));
    }
    if listener_path.is_some() || listener_metadata.is_some() {
        return Err(no(format!("{ROOT}.listenerPath"), "listener"));
    }
    let default = action(*default_action, &format!("{ROOT}.defaultAction"))?;
    let field = format!("{ROOT}.defaultErrnoRet");
    let default_errno = errno(default, *default_errno_ret, &field)?;
    let is_narrow = |arch: &Arch| [Arch::X86, Arch::X32, Arch::Arm].contains(arch);
    let registers = if architectures.iter().any(is_narrow) {
        Registers::Both
    } else {
        Registers::Wide
    };
    let mut rules = Vec::new();
    for (at, rule) in syscalls.iter().enumerate() {
        rules.extend(rules_of(
            rule,
            &format!("{ROOT}.syscalls[{at}]"),
            registers,
            (default, default_errno),
        )?);
        if rules.len() > MOST {
            let cause = format!("as a profile these are more than {MOST} rules");
            return Err(Error::new(format!("{ROOT}.syscalls[{at}]"), cause));
        }
    }
    let names = architectures.iter().map(|arch| word(*arch));
    Ok(SeccompRules {
        default_action: default,
        default_errno: default_errno.unwrap_or_default(),
        architectures: if architectures.is_empty() {
            vec!["native".to_owned()]
        } else {
            names.collect()
        },
        rules,
    })
}

/// Of what width the registers are that a filter sees.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Registers {
    Wide,
    Both,
}

fn no(field: String, what: &str) -> Error {
    Error::new(field, format!("a profile has no {what}"))
}

fn word(arch: Arch) -> String {
    let value = serde_json::to_value(arch).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

fn action(action: SeccompAction, field: &str) -> Result<Action> {
    match action {
        SeccompAction::Allow => Ok(Action::Allow),
        SeccompAction::Errno => Ok(Action::Errno),
        SeccompAction::Log => Ok(Action::Log),
        SeccompAction::KillProcess => Ok(Action::KillProcess),
        _ => Err(Error::new(
            field,
            "a profile has the actions allow, errno, log and kill-process only",
        )),
    }
}

/// Without a number the specification's default is EPERM.
fn errno(action: Action, ret: Option<u32>, field: &str) -> Result<Option<ErrnoName>> {
    if action != Action::Errno {
        return match ret {
            Some(_) => Err(Error::new(field, "only SCMP_ACT_ERRNO has an error")),
            None => Ok(None),
        };
    }
    let ret = ret.unwrap_or(1);
    let names = [ErrnoName::Eperm, ErrnoName::Enosys, ErrnoName::Eacces];
    let found = names.into_iter().find(|name| number(*name) == ret);
    match found {
        Some(name) => Ok(Some(name)),
        None => Err(Error::new(
            field,
            format!("{ret}: a profile has the errors EPERM, ENOSYS and EACCES only"),
        )),
    }
}

/// The calls of one rule may read arguments of different width; for each width a rule of its own.
fn rules_of(
    rule: &SyscallRule,
    field: &str,
    registers: Registers,
    default: (Action, Option<ErrnoName>),
) -> Result<Vec<SeccompRule>> {
    if rule.names.is_empty() {
        return Err(Error::new(
            format!("{field}.names"),
            "at least one name is needed",
        ));
    }
    let action = action(rule.action, &format!("{field}.action"))?;
    let errno = errno(action, rule.errno_ret, &format!("{field}.errnoRet"))?;
    let mut groups: Vec<(Vec<u64>, Vec<String>)> = Vec::new();
    for name in &rule.names {
        let call = named(name);
        let bits =
            |arg: &SeccompArg| call.map_or(u64::MAX, |call| call.argument_bits(arg.index as usize));
        let widths: Vec<u64> = rule.args.iter().map(bits).collect();
        match groups.iter_mut().find(|(known, _)| *known == widths) {
            Some((_, names)) => names.push(name.clone()),
            None => groups.push((widths, vec![name.clone()])),
        }
    }
    let mut rules = Vec::new();
    for (widths, names) in groups {
        let one = |args, (action, errno)| SeccompRule {
            names: names.clone(),
            action,
            errno,
            args,
            reason: "converted".to_owned(),
        };
        let all = alternatives(&rule.args, &widths, field, registers)?;
        if all.is_empty() {
            // Which calls are newer than all that are named depends on names that never match too.
            rules.push(one(Vec::new(), default));
        }
        rules.extend(all.into_iter().map(|args| one(args, (action, errno))));
    }
    Ok(rules)
}

/// Lists of tests, any of which is enough. As in `seccomp`, so are those of an argument that is compared twice.
fn alternatives(
    args: &[SeccompArg],
    widths: &[u64],
    field: &str,
    registers: Registers,
) -> Result<Vec<Vec<ArgRule>>> {
    let mut each = Vec::new();
    for (at, (arg, bits)) in args.iter().zip(widths).enumerate() {
        let field = format!("{field}.args[{at}]");
        if arg.index > 5 {
            return Err(Error::new(
                format!("{field}.index"),
                format!("{} is above 5", arg.index),
            ));
        }
        if registers == Registers::Both && *bits == u64::MAX && is_of_order(arg.op) {
            let cause = "a profile cannot compare a 64-bit argument so where an architecture of 32 bits is filtered too";
            return Err(Error::new(format!("{field}.op"), cause));
        }
        each.push(tests(arg, *bits));
    }
    let is_twice =
        |(at, arg): (usize, &SeccompArg)| args[..at].iter().any(|other| other.index == arg.index);
    if args.iter().enumerate().any(is_twice) {
        let single = each.into_iter().flatten();
        return Ok(single.map(|test| vec![test]).collect());
    }
    let mut all: Vec<Vec<ArgRule>> = vec![Vec::new()];
    for tests in each {
        if all.len() * tests.len() > MOST {
            let cause = format!("as a profile this is more than {MOST} rules");
            return Err(Error::new(format!("{field}.args"), cause));
        }
        let with = |args: &Vec<ArgRule>| -> Vec<Vec<ArgRule>> {
            let with = |test: &ArgRule| [&args[..], std::slice::from_ref(test)].concat();
            tests.iter().map(with).collect()
        };
        all = all.iter().flat_map(with).collect();
    }
    Ok(all)
}

fn is_of_order(op: SeccompOp) -> bool {
    !matches!(op, SeccompOp::Equal | SeccompOp::MaskedEqual)
}

/// Tests of one argument, any of which is enough; without any it never matches.
fn tests(arg: &SeccompArg, bits: u64) -> Vec<ArgRule> {
    let test = |mask: Option<u64>, value: u64| ArgRule {
        index: arg.index,
        mask,
        one_of: Some(vec![value]),
        none_of: None,
    };
    let value = arg.value & bits;
    let equal = test((bits == u64::MAX).then_some(u64::MAX), value);
    let masked = |cubes: Vec<(u64, u64)>| -> Vec<ArgRule> {
        cubes
            .into_iter()
            .map(|(mask, value)| test(Some(mask), value))
            .collect()
    };
    // A value above every number of that width; a negative one, sign-extended, is not.
    let is_above = arg.value & !bits != 0 && arg.value | bits != u64::MAX;
    match arg.op {
        SeccompOp::Equal => vec![equal],
        SeccompOp::MaskedEqual => vec![test(Some(value), arg.value_two & value)],
        SeccompOp::NotEqual if bits == 0xffff_ffff => vec![ArgRule {
            one_of: None,
            none_of: Some(vec![value]),
            ..equal
        }],
        SeccompOp::NotEqual => masked([below(value, bits), above(value, bits)].concat()),
        SeccompOp::GreaterThan | SeccompOp::GreaterEqual if is_above => Vec::new(),
        // Always so, and still a test: a rule without one would win over others.
        SeccompOp::LessThan | SeccompOp::LessEqual if is_above => vec![test(Some(0), 0)],
        SeccompOp::GreaterThan => masked(above(value, bits)),
        SeccompOp::LessThan => masked(below(value, bits)),
        SeccompOp::GreaterEqual => [vec![equal], masked(above(value, bits))].concat(),
        SeccompOp::LessEqual => [vec![equal], masked(below(value, bits))].concat(),
    }
}

/// The numbers above `value`, as sets that begin with the same bits: (mask, bits).
fn above(value: u64, bits: u64) -> Vec<(u64, u64)> {
    prefixes(bits)
        .filter(|(bit, _)| value & bit == 0)
        .map(|(bit, mask)| (mask, value & mask | bit))
        .collect()
}

/// The numbers below `value`.
fn below(value: u64, bits: u64) -> Vec<(u64, u64)> {
    prefixes(bits)
        .filter(|(bit, _)| value & bit != 0)
        .map(|(bit, mask)| (mask, value & mask & !bit))
        .collect()
}

/// Every bit, with the mask of it and all above.
fn prefixes(bits: u64) -> impl Iterator<Item = (u64, u64)> {
    let all = (0..64).map(|at| 1u64 << at);
    all.filter(move |bit| bits & bit != 0)
        .map(move |bit| (bit, bits & !(bit - 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn above_and_below_are_the_numbers_above_and_below() {
        for value in [0u64, 1, 7, 100, 254, 255] {
            let has = |cubes: &[(u64, u64)], x: u64| {
                cubes
                    .iter()
                    .filter(|(mask, bits)| x & mask == *bits)
                    .count()
            };
            for x in 0..256 {
                assert_eq!(
                    has(&above(value, 0xff), x),
                    usize::from(x > value),
                    "{x} {value}"
                );
                assert_eq!(
                    has(&below(value, 0xff), x),
                    usize::from(x < value),
                    "{x} {value}"
                );
            }
        }
    }

    fn refused(text: &str) -> String {
        read_oci(text)
            .and_then(|seccomp| from_oci(&seccomp))
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn what_a_profile_cannot_say_is_refused_with_its_field() {
        let of = |rule: &str| {
            refused(&format!(
                r#"{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{rule}]}}"#
            ))
        };
        assert_eq!(
            of(r#"{"names": ["read"], "action": "SCMP_ACT_TRAP"}"#),
            "linux.seccomp.syscalls[0].action: a profile has the actions allow, errno, log and kill-process only"
        );
        assert_eq!(
            of(r#"{"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 22}"#),
            "linux.seccomp.syscalls[0].errnoRet: 22: a profile has the errors EPERM, ENOSYS and EACCES only"
        );
        assert_eq!(
            of(r#"{"names": ["read"], "action": "SCMP_ACT_ERRNO", "includes": {}}"#),
            "linux.seccomp.syscalls[0].includes: no member of linux.seccomp"
        );
        assert_eq!(
            refused(r#"{"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_LOG"]}"#),
            "linux.seccomp.flags: a profile has no flags"
        );
    }
}
