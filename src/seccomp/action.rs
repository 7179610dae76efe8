//! Actions, flags and operators: the specification's words and the kernel's numbers.
//! seccomp(2) rules; which of them a profile may use where is in `rules`.

use crate::error::{Error, Result};
use crate::spec::{Arch, SeccompAction, SeccompFlag};

/// The kernel's largest errno (`MAX_ERRNO`); the answer of SCMP_ACT_ERRNO is cut to it.
const MAX_ERRNO: u32 = 4095;

/// Every action, with its word and the kernel's number.
pub(super) const ACTIONS: [(SeccompAction, &str, u32); 9] = [
    (
        SeccompAction::Kill,
        "SCMP_ACT_KILL",
        libc::SECCOMP_RET_KILL_THREAD,
    ),
    (
        SeccompAction::KillProcess,
        "SCMP_ACT_KILL_PROCESS",
        libc::SECCOMP_RET_KILL_PROCESS,
    ),
    (
        SeccompAction::KillThread,
        "SCMP_ACT_KILL_THREAD",
        libc::SECCOMP_RET_KILL_THREAD,
    ),
    (SeccompAction::Trap, "SCMP_ACT_TRAP", libc::SECCOMP_RET_TRAP),
    (
        SeccompAction::Errno,
        "SCMP_ACT_ERRNO",
        libc::SECCOMP_RET_ERRNO,
    ),
    (
        SeccompAction::Trace,
        "SCMP_ACT_TRACE",
        libc::SECCOMP_RET_TRACE,
    ),
    (
        SeccompAction::Allow,
        "SCMP_ACT_ALLOW",
        libc::SECCOMP_RET_ALLOW,
    ),
    (SeccompAction::Log, "SCMP_ACT_LOG", libc::SECCOMP_RET_LOG),
    (
        SeccompAction::Notify,
        "SCMP_ACT_NOTIFY",
        libc::SECCOMP_RET_USER_NOTIF,
    ),
];

/// Every flag, with its word and the kernel's number.
pub(super) const FLAGS: [(SeccompFlag, &str, u32); 4] = [
    (SeccompFlag::TSync, "SECCOMP_FILTER_FLAG_TSYNC", 1),
    (SeccompFlag::Log, "SECCOMP_FILTER_FLAG_LOG", 1 << 1),
    (
        SeccompFlag::SpecAllow,
        "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
        1 << 2,
    ),
    (
        SeccompFlag::WaitKillableRecv,
        "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
        crate::sys::seccomp::WAIT_KILLABLE_RECV,
    ),
];

/// The comparisons, as the specification spells them.
pub(super) const OPERATORS: [&str; 7] = [
    "SCMP_CMP_NE",
    "SCMP_CMP_LT",
    "SCMP_CMP_LE",
    "SCMP_CMP_EQ",
    "SCMP_CMP_GE",
    "SCMP_CMP_GT",
    "SCMP_CMP_MASKED_EQ",
];

/// The kernel's number of an action, without data.
pub(super) fn number(action: SeccompAction) -> u32 {
    row(action).2
}

/// The specification's word for an action.
pub(super) fn word(action: SeccompAction) -> &'static str {
    row(action).1
}

/// The kernel's number of a flag.
pub(super) fn flag(flag: SeccompFlag) -> (&'static str, u32) {
    let found = FLAGS.iter().find(|row| row.0 == flag);
    let row = found.expect("FLAGS lists every flag");
    (row.1, row.2)
}

fn row(action: SeccompAction) -> (SeccompAction, &'static str, u32) {
    let found = ACTIONS.iter().find(|row| row.0 == action);
    *found.expect("ACTIONS lists every action")
}

/// A filter's answer: the action with its errno, EPERM where none is given. `field` is where the errno stands.
///
/// # Errors
/// An errno for an action that carries none (config-linux.md: "MUST"), or one out of range.
pub(super) fn answer(action: SeccompAction, errno: Option<u32>, field: &str) -> Result<u32> {
    let limit = match action {
        SeccompAction::Errno => MAX_ERRNO,
        SeccompAction::Trace => libc::SECCOMP_RET_DATA,
        _ if errno.is_none() => return Ok(number(action)),
        _ => {
            return Err(Error::new(
                field,
                format!("{} takes no errno", word(action)),
            ));
        }
    };
    let errno = errno.unwrap_or(libc::EPERM.unsigned_abs());
    if errno > limit {
        let cause = format!("{errno} is not 0 to {limit}");
        return Err(Error::new(field, cause));
    }
    Ok(number(action) | errno)
}

/// How strict an answer is: the kernel takes the least, read as signed, when two filters differ (seccomp(2)).
pub(super) fn strictness(answer: u32) -> i32 {
    (answer & libc::SECCOMP_RET_ACTION_FULL).cast_signed()
}

/// The specification's word for an architecture.
pub(super) fn architecture_word(arch: Arch) -> String {
    let word = serde_json::to_value(arch).ok();
    word.and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_else(|| format!("{arch:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errno_defaults_to_eperm_and_other_actions_take_none() {
        assert_eq!(
            answer(SeccompAction::Errno, None, "f").unwrap(),
            0x0005_0001
        );
        assert_eq!(
            answer(SeccompAction::Trace, Some(7), "f").unwrap(),
            0x7ff0_0007
        );
        let error = answer(
            SeccompAction::Allow,
            Some(1),
            "linux.seccomp.defaultErrnoRet",
        )
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            "linux.seccomp.defaultErrnoRet: SCMP_ACT_ALLOW takes no errno"
        );
        assert!(answer(SeccompAction::Errno, Some(4096), "f").is_err());
    }

    #[test]
    fn strictness_is_the_kernel_s_order() {
        use SeccompAction as A;
        let order = [
            A::KillProcess,
            A::Kill,
            A::Trap,
            A::Errno,
            A::Notify,
            A::Trace,
            A::Log,
            A::Allow,
        ];
        assert!(
            order
                .windows(2)
                .all(|w| strictness(number(w[0])) < strictness(number(w[1])))
        );
    }

    #[test]
    fn architectures_are_spelt_as_in_the_specification() {
        assert_eq!(architecture_word(Arch::X8664), "SCMP_ARCH_X86_64");
    }
}
