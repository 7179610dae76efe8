//! The first dozen forbidden acts: what is tried, and what its answer means.
//!
//! How each call is made without doing harm is in `sys::attempt`. seccomp(2) rules who answers first.

use std::time::Duration;

use super::words;
use crate::report::{Finding, Group, Outcome, Severity, Want};
use crate::sys::attempt::{self, Attempt, Catch, Ending, alone};

/// Far more than a call that fails at once needs.
const LIMIT: Duration = Duration::from_secs(2);
/// How long a call that nobody refuses is let hang, to be told from one that a filter answers.
const PATIENCE: Duration = Duration::from_millis(200);

struct Act {
    id: &'static str,
    severity: Severity,
    title: &'static str,
    attempt: Attempt,
}

const fn act(id: &'static str, severity: Severity, title: &'static str, attempt: Attempt) -> Act {
    Act {
        id,
        severity,
        title,
        attempt,
    }
}

use Severity::{High, Medium};

const ACTS: [Act; 12] = [
    act(
        "unshare-user",
        High,
        "unshare(CLONE_NEWUSER)",
        attempt::UNSHARE_USER,
    ),
    act(
        "clone-user-high-bit",
        High,
        "clone(CLONE_NEWUSER | 1<<32)",
        attempt::CLONE_USER_HIGH,
    ),
    act("clone3", High, "clone3()", attempt::CLONE3),
    act("mount", High, "mount()", attempt::MOUNT),
    act(
        "open-by-handle",
        High,
        "open_by_handle_at()",
        attempt::OPEN_BY_HANDLE,
    ),
    act("bpf", High, "bpf(BPF_MAP_CREATE)", attempt::BPF),
    act("io-uring", High, "io_uring_setup()", attempt::IO_URING),
    act(
        "keyctl",
        Medium,
        "keyctl(KEYCTL_GET_KEYRING_ID)",
        attempt::KEYCTL,
    ),
    act("ptrace", Medium, "ptrace(PTRACE_ATTACH)", attempt::PTRACE),
    act("socket-alg", High, "socket(AF_ALG)", attempt::SOCKET_ALG),
    act(
        "socket-alg-high-bit",
        High,
        "socket(AF_ALG | 1<<32)",
        attempt::SOCKET_ALG_HIGH,
    ),
    act(
        "int80",
        High,
        "int 0x80 (32-bit call)",
        attempt::INT80_GETPID,
    ),
];

/// Tries every act, each in a process of its own.
pub(super) fn attempted() -> Group {
    Group {
        heading: "Forbidden acts, attempted",
        findings: ACTS.iter().map(finding).collect(),
    }
}

fn finding(act: &Act) -> Finding {
    let (outcome, why) = try_out(&act.attempt);
    Finding {
        id: act.id,
        severity: act.severity,
        title: act.title,
        outcome,
        place: None,
        why,
        want: Want::Refused,
        met: Want::Refused.is_met_by(outcome),
    }
}

fn try_out(attempt: &Attempt) -> (Outcome, String) {
    if !attempt.exists() {
        return (
            Outcome::Skipped,
            "this architecture has no such call".to_owned(),
        );
    }
    match alone(LIMIT, &|| encode(attempt.make())) {
        Ok(ending) => judge(&ending, |errno| refuser(attempt, errno)),
        Err(error) => (Outcome::NoAnswer, format!("no process for it: {error}")),
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

fn judge(ending: &Ending, refuser: impl Fn(i32) -> Refuser) -> (Outcome, String) {
    match ending {
        Ending::Killed(libc::SIGSYS) => (Outcome::Filtered, "killed by SIGSYS".to_owned()),
        // What int 0x80 meets on a kernel without 32-bit calls.
        Ending::Killed(libc::SIGSEGV) => (
            Outcome::Denied,
            "SIGSEGV, the kernel has no such entry".to_owned(),
        ),
        Ending::Killed(signal) => (
            Outcome::NoAnswer,
            format!("killed by {}", words::signal(*signal)),
        ),
        Ending::Exited(code) => (Outcome::NoAnswer, format!("exited with {code}")),
        Ending::Answered(answer) => match decode(answer) {
            Some(Ok(_)) => (Outcome::Open, "succeeded".to_owned()),
            Some(Err(errno)) if has_passed(errno) => (
                Outcome::Open,
                format!("reached the kernel: {}", words::errno(errno)),
            ),
            Some(Err(errno)) => refused(errno, refuser(errno)),
            None => (
                Outcome::NoAnswer,
                "an answer that makes no sense".to_owned(),
            ),
        },
    }
}

/// What the kernel finds wrong with the arguments of an [`Attempt`] after it let the call in.
fn has_passed(errno: i32) -> bool {
    matches!(
        errno,
        libc::EFAULT | libc::EBADF | libc::EINVAL | libc::ESRCH | libc::ENOEXEC | libc::ENOKEY
    )
}

fn refused(errno: i32, refuser: Refuser) -> (Outcome, String) {
    let name = words::errno(errno);
    match refuser {
        Refuser::Filter => (Outcome::Filtered, name),
        Refuser::Kernel if errno == libc::ENOSYS => (
            Outcome::Denied,
            "ENOSYS, the kernel has no such call".to_owned(),
        ),
        Refuser::Kernel => (Outcome::Denied, name),
        Refuser::Unknown => (
            Outcome::Denied,
            format!("{name}, by a filter or the kernel"),
        ),
    }
}

/// Puts a filter of our own behind those that are there, and sees whether the call gets that far.
fn refuser(attempt: &Attempt, errno: i32) -> Refuser {
    // Our filter's own answer is ENOSYS, so for that errno it waits instead.
    let (catch, limit) = match errno {
        libc::ENOSYS => (Catch::Wait, PATIENCE),
        _ => (Catch::Fail, LIMIT),
    };
    let ending = alone(limit, &|| match attempt.catch(catch) {
        Ok(()) => encode(attempt.make()),
        Err(_) => NO_FILTER.to_vec(),
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

    fn judged(answer: Result<i64, i32>, refuser: Refuser) -> (Outcome, String) {
        judge(&Ending::Answered(encode(answer)), |_| refuser)
    }

    #[test]
    fn answers_are_judged_by_who_gave_them() {
        let judgement = |outcome, why: &str| (outcome, why.to_owned());
        assert_eq!(
            judged(Ok(3), Refuser::Kernel),
            judgement(Outcome::Open, "succeeded")
        );
        assert_eq!(
            judged(Err(libc::EFAULT), Refuser::Kernel),
            judgement(Outcome::Open, "reached the kernel: EFAULT")
        );
        assert_eq!(
            judged(Err(libc::EPERM), Refuser::Filter),
            judgement(Outcome::Filtered, "EPERM")
        );
        assert_eq!(
            judged(Err(libc::EPERM), Refuser::Kernel),
            judgement(Outcome::Denied, "EPERM")
        );
        assert_eq!(
            judged(Err(libc::ENOSYS), Refuser::Kernel),
            judgement(Outcome::Denied, "ENOSYS, the kernel has no such call")
        );
        assert_eq!(
            judged(Err(libc::EPERM), Refuser::Unknown),
            judgement(Outcome::Denied, "EPERM, by a filter or the kernel")
        );
    }

    #[test]
    fn a_kill_counts_as_refused_only_by_sigsys() {
        let outcome = |signal| judge(&Ending::Killed(signal), |_| Refuser::Unknown);
        assert_eq!(
            outcome(libc::SIGSYS),
            (Outcome::Filtered, "killed by SIGSYS".to_owned())
        );
        assert_eq!(
            outcome(libc::SIGALRM),
            (Outcome::NoAnswer, "killed by SIGALRM".to_owned())
        );
    }

    #[test]
    fn harmless_attempts_reach_the_kernel_of_this_host() {
        let (outcome, why) = try_out(&attempt::SETNS);
        assert_eq!(
            (outcome, why.as_str()),
            (Outcome::Open, "reached the kernel: EBADF")
        );
        let (outcome, why) = try_out(&attempt::SOCKET_UNIX);
        assert_eq!((outcome, why.as_str()), (Outcome::Open, "succeeded"));
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
            let (outcome, why) = try_out(&attempt);
            format!("{outcome:?}: {why}").into_bytes()
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
            "Open: reached the kernel: EFAULT"
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

    #[test]
    fn no_two_acts_have_the_same_id() {
        let mut ids: Vec<&str> = ACTS.iter().map(|act| act.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), ACTS.len());
    }
}
