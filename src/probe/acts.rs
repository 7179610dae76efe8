//! One forbidden call: trying it, and what its answer means.
//!
//! How each call is made without doing harm is in `sys::attempt`. seccomp(2) rules who answers first.

use std::time::Duration;

use super::answer::{Answer, Outcome};
use super::words;
use crate::sys::attempt::{Attempt, Catch, Ending, alone, end_after};

/// Far more than a call that fails at once needs.
const LIMIT: Duration = Duration::from_secs(2);
/// How long a call that nobody refuses is let hang, to be told from one that a filter answers.
const PATIENCE: Duration = Duration::from_millis(200);

/// Makes the call in a process of its own.
pub(super) fn try_out(attempt: &Attempt) -> Answer {
    try_out_with(attempt, IMPOSSIBLE)
}

/// The same with the errnos that say it got through.
pub(super) fn try_out_with(attempt: &Attempt, passing: &[i32]) -> Answer {
    if !attempt.exists() {
        return Answer::skipped("this architecture has no such call");
    }
    match alone(LIMIT, &|| encode(attempt.make())) {
        Ok(ending) => judge(&ending, passing, |errno| refuser(attempt, errno)),
        Err(error) => Answer::new(Outcome::Unanswered, format!("no process for it: {error}")),
    }
}

/// Who answered a call with an errno.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refuser {
    Filter,
    Kernel,
    /// No filter may be added here to find out.
    Unknown,
}

fn judge(ending: &Ending, passing: &[i32], refuser: impl Fn(i32) -> Refuser) -> Answer {
    let unanswered = |why: String| Answer::new(Outcome::Unanswered, why);
    match ending {
        Ending::Killed(libc::SIGSYS) => Answer::new(Outcome::Filtered, "killed by SIGSYS"),
        // What int 0x80 meets on a kernel without 32-bit calls.
        Ending::Killed(libc::SIGSEGV) => Answer::skipped("SIGSEGV, the kernel has no such entry"),
        Ending::Killed(signal) => unanswered(format!("killed by {}", words::signal(*signal))),
        Ending::Exited(code) => unanswered(format!("exited with {code}")),
        Ending::Answered(answer) => match decode(answer) {
            Some(Ok(_)) => Answer::open("succeeded"),
            Some(Err(errno)) if passing.contains(&errno) => {
                Answer::open(format!("reached the kernel ({})", words::errno(errno)))
            }
            Some(Err(errno)) => refused(errno, refuser(errno)),
            None => unanswered("an answer that makes no sense".to_owned()),
        },
    }
}

/// What the kernel finds wrong with the arguments of an [`Attempt`] after it let the call in.
const IMPOSSIBLE: &[i32] = &[
    libc::EFAULT,
    libc::EBADF,
    libc::EINVAL,
    libc::ESRCH,
    libc::ENOEXEC,
    libc::ENOKEY,
];

/// The same of a change of ids, where an id that the user namespace does not map is EINVAL (user_namespaces(7)).
pub(super) const IMPOSSIBLE_FOR_IDS: &[i32] = &[libc::EFAULT];

/// What a kernel says that was built without something.
fn is_absent(errno: i32) -> bool {
    matches!(
        errno,
        libc::ENOSYS
            | libc::EAFNOSUPPORT
            | libc::EPROTONOSUPPORT
            | libc::ESOCKTNOSUPPORT
            | libc::EOPNOTSUPP
    )
}

fn refused(errno: i32, refuser: Refuser) -> Answer {
    let name = words::errno(errno);
    match refuser {
        Refuser::Filter => Answer::new(Outcome::Filtered, name),
        Refuser::Kernel if is_absent(errno) => {
            Answer::skipped(format!("{name}: the kernel has no such thing"))
        }
        Refuser::Kernel => Answer::denied(name),
        Refuser::Unknown => Answer::denied(format!("{name}, by a filter or the kernel")),
    }
}

/// Puts a filter of our own behind those that are there, and sees whether the call gets that far.
fn refuser(attempt: &Attempt, errno: i32) -> Refuser {
    // Our filter's own answer is ENOSYS, so for that errno it waits instead.
    let (catch, limit) = match errno {
        libc::ENOSYS => (Catch::Wait, PATIENCE),
        _ => (Catch::Fail, LIMIT),
    };
    let ending = alone(LIMIT, &|| match attempt.catch(catch) {
        // Of the call alone: on a busy machine the process may have come to it late.
        Ok(()) if end_after(limit).is_ok() => encode(attempt.make()),
        _ => NO_FILTER.to_vec(),
    });
    match ending {
        Ok(Ending::Answered(answer)) if answer == NO_FILTER => Refuser::Unknown,
        Ok(Ending::Answered(answer)) if decode(&answer) == Some(Err(errno)) => Refuser::Filter,
        Ok(Ending::Answered(answer)) if decode(&answer) == Some(Err(libc::ENOSYS)) => {
            Refuser::Kernel
        }
        Ok(Ending::Killed(libc::SIGALRM)) if catch == Catch::Wait => Refuser::Kernel,
        _ => Refuser::Unknown,
    }
}

const NO_FILTER: &[u8] = b"no filter";

fn encode(answer: Result<i64, i32>) -> Vec<u8> {
    match answer {
        Ok(value) => format!("ok {value}").into_bytes(),
        Err(errno) => format!("errno {errno}").into_bytes(),
    }
}

fn decode(answer: &[u8]) -> Option<Result<i64, i32>> {
    let (kind, number) = std::str::from_utf8(answer).ok()?.split_once(' ')?;
    match kind {
        "ok" => Some(Ok(number.parse().ok()?)),
        "errno" => Some(Err(number.parse().ok()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::attempt;

    fn judged(answer: Result<i64, i32>, refuser: Refuser) -> Answer {
        judge(&Ending::Answered(encode(answer)), IMPOSSIBLE, |_| refuser)
    }

    #[test]
    fn answers_are_judged_by_who_gave_them() {
        assert_eq!(judged(Ok(3), Refuser::Kernel), Answer::open("succeeded"));
        assert_eq!(
            judged(Err(libc::EFAULT), Refuser::Kernel),
            Answer::open("reached the kernel (EFAULT)")
        );
        assert_eq!(
            judged(Err(libc::EPERM), Refuser::Filter),
            Answer::new(Outcome::Filtered, "EPERM")
        );
        assert_eq!(
            judged(Err(libc::EPERM), Refuser::Kernel),
            Answer::denied("EPERM")
        );
        assert_eq!(
            judged(Err(libc::ENOSYS), Refuser::Kernel),
            Answer::skipped("ENOSYS: the kernel has no such thing")
        );
        assert_eq!(
            judged(Err(libc::EPERM), Refuser::Unknown),
            Answer::denied("EPERM, by a filter or the kernel")
        );
    }

    #[test]
    fn a_kill_counts_as_refused_only_by_sigsys() {
        let answer = |signal| judge(&Ending::Killed(signal), IMPOSSIBLE, |_| Refuser::Unknown);
        assert_eq!(
            answer(libc::SIGSYS),
            Answer::new(Outcome::Filtered, "killed by SIGSYS")
        );
        assert_eq!(
            answer(libc::SIGALRM),
            Answer::new(Outcome::Unanswered, "killed by SIGALRM")
        );
    }

    #[test]
    fn harmless_attempts_reach_the_kernel_of_this_host() {
        let open = try_out(&attempt::SETNS);
        assert_eq!(open, Answer::open("reached the kernel (EBADF)"));
        assert_eq!(try_out(&attempt::SOCKET_UNIX), Answer::open("succeeded"));
    }

    /// Refuses setns with EPERM and clone3 with ENOSYS, and kills for calls of another architecture.
    fn sandbox() -> seccompiler::BpfProgram {
        let filter = |call, errno| {
            let filter = seccompiler::SeccompFilter::new(
                [(call, Vec::new())].into(),
                seccompiler::SeccompAction::Allow,
                seccompiler::SeccompAction::Errno(errno),
                std::env::consts::ARCH
                    .try_into()
                    .expect("a known architecture"),
            );
            seccompiler::BpfProgram::try_from(filter.expect("a valid filter")).expect("it compiles")
        };
        seccompiler::apply_filter(&filter(libc::SYS_setns, libc::EPERM as u32)).expect("allowed");
        filter(libc::SYS_clone3, libc::ENOSYS as u32)
    }

    fn tried_in_sandbox(attempt: Attempt) -> String {
        let ending = alone(Duration::from_secs(5), &|| {
            seccompiler::apply_filter(&sandbox()).expect("allowed");
            let answer = try_out(&attempt);
            format!("{:?}: {}", answer.outcome, answer.why).into_bytes()
        });
        match ending.expect("fork works") {
            Ending::Answered(answer) => String::from_utf8(answer).expect("it is text"),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn a_filter_is_told_from_the_kernel() {
        assert_eq!(tried_in_sandbox(attempt::SETNS), "Filtered: EPERM");
        assert_eq!(tried_in_sandbox(attempt::CLONE3), "Filtered: ENOSYS");
        assert_eq!(
            tried_in_sandbox(attempt::UMOUNT),
            "Open: reached the kernel (EFAULT)"
        );
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn a_call_that_kills_is_filtered() {
        assert_eq!(
            tried_in_sandbox(attempt::INT80_GETPID),
            "Filtered: killed by SIGSYS"
        );
    }
}
