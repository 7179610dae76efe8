//! `linux.seccomp` (config-linux.md, "Seccomp").
//! Unknown names of system calls are the compiler's to warn about.

use super::At;
use crate::error::{Result, quote};
use crate::spec::{Seccomp, SeccompAction, SyscallRule};

/// The highest error number that a system call can return (`MAX_ERRNO`).
const HIGHEST_ERRNO: u32 = 4095;
/// `SECCOMP_RET_DATA` has 16 bits (seccomp(2)), all of which a tracer sees.
const HIGHEST_TRACE: u32 = 0xffff;

pub(super) fn seccomp(filter: &Seccomp, at: &At) -> Result<()> {
    errno(
        filter.default_action,
        filter.default_errno_ret,
        "defaultErrnoRet",
        at,
    )?;
    if filter.default_action == SeccompAction::Notify {
        let cause = "SCMP_ACT_NOTIFY cannot be the default, passing its descriptor on would wait for itself";
        return Err(at.refuse("defaultAction", cause));
    }
    for (i, rule) in filter.syscalls.iter().enumerate() {
        self::rule(rule, &at.within(format!("syscalls[{i}]")))?;
    }
    listener(filter, at)
}

fn rule(rule: &SyscallRule, at: &At) -> Result<()> {
    if rule.names.is_empty() {
        return Err(at.refuse("names", "is empty"));
    }
    if let Some(i) = rule.names.iter().position(String::is_empty) {
        return Err(at.refuse(format!("names[{i}]"), "is empty"));
    }
    errno(rule.action, rule.errno_ret, "errnoRet", at)?;
    for (i, arg) in rule.args.iter().enumerate() {
        if arg.index > 5 {
            let cause = format!("{} is not from 0 to 5", arg.index);
            return Err(at.refuse(format!("args[{i}].index"), cause));
        }
    }
    Ok(())
}

fn errno(action: SeccompAction, errno: Option<u32>, field: &str, at: &At) -> Result<()> {
    let Some(errno) = errno else { return Ok(()) };
    let highest = match action {
        SeccompAction::Errno => HIGHEST_ERRNO,
        SeccompAction::Trace => HIGHEST_TRACE,
        _ => {
            let cause = format!("{errno} is only for SCMP_ACT_ERRNO and SCMP_ACT_TRACE");
            return Err(at.refuse(field, cause));
        }
    };
    if errno > highest {
        return Err(at.refuse(field, format!("{errno} is above {highest}")));
    }
    Ok(())
}

fn listener(filter: &Seccomp, at: &At) -> Result<()> {
    let mut rules = filter.syscalls.iter();
    let notifies = rules.any(|rule| rule.action == SeccompAction::Notify);
    match filter.listener_path.as_deref().unwrap_or("") {
        "" if notifies => Err(at.refuse("listenerPath", "is missing, SCMP_ACT_NOTIFY needs it")),
        "" if filter
            .listener_metadata
            .as_deref()
            .is_some_and(|m| !m.is_empty()) =>
        {
            Err(at.refuse("listenerMetadata", "needs listenerPath"))
        }
        "" => Ok(()),
        path if !path.starts_with('/') => {
            let cause = format!("{} is not an absolute path", quote(path));
            Err(at.refuse("listenerPath", cause))
        }
        _ => Ok(()),
    }
}
