//! One filter that asks a listener where others deny, and what those others answer to a call.
//! Who listens and what becomes of the answers is in the module `watch`.
//!
//! The kernel lets a filter with a listener speak only where no other filter is stricter, and asking is less strict than
//! denying. So the others are not installed beside it: it is made of their programs, one after the other, and whoever
//! listens runs them on the very words that the kernel showed the filter, to give their answer.

use libc::sock_filter;

use super::action::strictness;
use super::bpf::{self, Data, JUMP, RETURN};
use super::{HOST, compile};
use crate::error::{Error, Result};
use crate::names::syscalls::{Abi, named};
use crate::spec::{Seccomp, SeccompAction, SyscallRule};
use crate::sys::seccomp::{NEW_LISTENER, WAIT_KILLABLE_RECV, flag_available};

/// Which calls a listener is asked about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Watch {
    /// None: the filters answer by themselves.
    #[default]
    Nothing,
    /// Those that a filter denies.
    Denials,
    /// Those and all others but the [`passed`] ones.
    Everything(Openings),
    /// All others but the [`passed`] ones; what a filter denies is not denied.
    Permissive(Openings),
}

/// Whether a listener is asked about the opening of files: a server may do it for each request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Openings {
    /// It is asked, and can tell which files there were.
    #[default]
    Asked,
    /// They are passed as what every program does.
    Passed,
}

/// Calls that no profile would refuse a program and that programs make all the time.
const PASSED: [&str; 95] = [
    "_llseek",
    "accept",
    "accept4",
    "access",
    "brk",
    "clock_gettime",
    "clock_gettime64",
    "clock_nanosleep",
    "clock_nanosleep_time64",
    "close",
    "dup",
    "dup2",
    "dup3",
    "epoll_ctl",
    "epoll_pwait",
    "epoll_pwait2",
    "epoll_wait",
    "exit",
    "exit_group",
    "faccessat",
    "faccessat2",
    "fcntl",
    "fcntl64",
    "fstat",
    "fstat64",
    "fstatat64",
    "futex",
    "futex_time64",
    "getcwd",
    "getdents64",
    "getegid",
    "geteuid",
    "getgid",
    "getpeername",
    "getpid",
    "getppid",
    "getrandom",
    "getrusage",
    "getsockname",
    "getsockopt",
    "gettid",
    "gettimeofday",
    "getuid",
    "lseek",
    "lstat",
    "lstat64",
    "madvise",
    "membarrier",
    "mmap",
    "mmap2",
    "mprotect",
    "mremap",
    "munmap",
    "nanosleep",
    "newfstatat",
    "pipe2",
    "poll",
    "ppoll",
    "ppoll_time64",
    "pread64",
    "preadv",
    "pselect6",
    "pselect6_time64",
    "pwrite64",
    "pwritev",
    "read",
    "readv",
    "recvfrom",
    "recvmsg",
    "restart_syscall",
    "rseq",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "rt_sigtimedwait",
    "sched_yield",
    "select",
    "sendfile",
    "sendfile64",
    "sendmsg",
    "sendto",
    "set_robust_list",
    "set_tid_address",
    "setsockopt",
    "shutdown",
    "sigaltstack",
    "stat",
    "stat64",
    "statx",
    "sysinfo",
    "times",
    "uname",
    "wait4",
    "write",
    "writev",
];

const OPENINGS: [&str; 2] = ["open", "openat"];

/// The calls that a listener is never asked about.
pub fn passed<'a>(openings: Openings) -> impl Iterator<Item = &'a str> {
    let openings = OPENINGS
        .into_iter()
        .filter(move |_| openings == Openings::Passed);
    PASSED.into_iter().chain(openings)
}

/// Whether a listener is never asked about the call of that name.
pub fn is_passed(openings: Openings, name: &str) -> bool {
    passed(openings).any(|other| other == name)
}

/// The program of the filter that asks, and its flags. `programs` are the others', in the order of their installation, with
/// their flags.
///
/// # Errors
/// A filter that asks somebody else already, a tracer or a handler of SIGSYS; one that keeps the runtime from handing the
/// listener over; more instructions than the kernel takes.
pub fn watching(
    programs: &[(&[sock_filter], u32)],
    watch: Watch,
) -> Result<(Vec<sock_filter>, u32)> {
    let doing = "watch system calls";
    let mut parts: Vec<Vec<sock_filter>> = Vec::new();
    if !matches!(watch, Watch::Permissive(_)) {
        for (program, _) in programs {
            hand_over(program)?;
            parts.push(asking(program)?);
        }
    }
    if let Watch::Everything(openings) | Watch::Permissive(openings) = watch {
        parts.push(asking(&compile(&passing(openings))?.program)?);
    }
    if parts.is_empty() {
        return Err(Error::new(doing, "there is no filter of system calls")
            .hint("choose a profile with one, such as restricted"));
    }
    let program = chained(parts);
    if program.len() > bpf::MAX_INSTRUCTIONS {
        let cause = format!(
            "the filters need {} instructions together, the kernel takes {}",
            program.len(),
            bpf::MAX_INSTRUCTIONS
        );
        return Err(Error::new(doing, cause));
    }
    let others = programs.iter().fold(0, |flags, (_, own)| flags | own);
    let mut flags = others | NEW_LISTENER;
    if flag_available(WAIT_KILLABLE_RECV) {
        flags |= WAIT_KILLABLE_RECV;
    }
    Ok((program, flags))
}

/// The strictest answer of some programs, the last one's before the first one's: as the kernel asks filters, which are given
/// in the order of their installation.
/// They must be such as the kernel takes: [`bpf::validate`].
pub fn answer(programs: &[Vec<sock_filter>], call: &Data) -> u32 {
    let mut answer = libc::SECCOMP_RET_ALLOW;
    for program in programs.iter().rev() {
        let own = bpf::run(program, call);
        if strictness(own) < strictness(answer) {
            answer = own;
        }
    }
    answer
}

/// Whether an answer denies the call.
pub fn is_denial(answer: u32) -> bool {
    strictness(answer) <= strictness(libc::SECCOMP_RET_ERRNO)
}

/// The calls that are passed, as a filter whose denials will ask.
fn passing(openings: Openings) -> Seccomp {
    Seccomp {
        default_action: SeccompAction::Errno,
        default_errno_ret: None,
        architectures: Vec::new(),
        flags: None,
        listener_path: None,
        listener_metadata: None,
        syscalls: vec![SyscallRule {
            names: passed(openings).map(str::to_owned).collect(),
            action: SeccompAction::Allow,
            errno_ret: None,
            args: Vec::new(),
        }],
    }
}

/// The listener comes to the runtime by sendmsg(2), which nobody could answer yet.
fn hand_over(program: &[sock_filter]) -> Result<()> {
    let abi = own_abi();
    let number = named("sendmsg").and_then(|call| call.number(abi));
    let flags = rustix::net::SendFlags::NOSIGNAL.bits();
    // The descriptor, the address of the message and that of the instruction are known when it is too late.
    let known = [
        (0, number.unwrap_or(0)),
        (4, abi.audit_arch()),
        (32, flags),
        (36, 0),
    ];
    bpf::validate(program)?;
    if bpf::answers(program, &known).into_iter().any(is_denial) {
        let cause = "a filter denies sendmsg, by which the runtime gets to know of calls";
        return Err(Error::new("watch system calls", cause).hint("allow sendmsg for this run"));
    }
    Ok(())
}

fn own_abi() -> Abi {
    match HOST {
        super::Host::X8664 => Abi::X8664,
        super::Host::Aarch64 => Abi::Aarch64,
    }
}

/// Whether a program, such as the kernel takes, denies the native call of that name with all arguments 0.
pub fn denies(program: &[sock_filter], name: &str) -> bool {
    let abi = own_abi();
    let number = named(name).and_then(|call| call.number(abi));
    number.is_some_and(|nr| {
        let call = Data {
            nr,
            arch: abi.audit_arch(),
            ..Data::default()
        };
        is_denial(bpf::run(program, &call))
    })
}

/// The program with a question in the place of every denial.
fn asking(program: &[sock_filter]) -> Result<Vec<sock_filter>> {
    let one = |instruction: &sock_filter| {
        if instruction.code != RETURN {
            return Ok(*instruction);
        }
        match instruction.k & libc::SECCOMP_RET_ACTION_FULL {
            libc::SECCOMP_RET_ALLOW | libc::SECCOMP_RET_LOG => Ok(*instruction),
            libc::SECCOMP_RET_ERRNO
            | libc::SECCOMP_RET_KILL_THREAD
            | libc::SECCOMP_RET_KILL_PROCESS => Ok(sock_filter {
                k: libc::SECCOMP_RET_USER_NOTIF,
                ..*instruction
            }),
            _ => {
                let word = bpf::ret_words(instruction.k);
                let cause = format!("linux.seccomp: a filter with {word} cannot be watched");
                Err(Error::new("watch system calls", cause))
            }
        }
    };
    program.iter().map(one).collect()
}

/// What one lets pass, the next one judges. A call that only an earlier one logs is no longer logged.
fn chained(parts: Vec<Vec<sock_filter>>) -> Vec<sock_filter> {
    let last = parts.len() - 1;
    let mut all = Vec::new();
    for (number, part) in parts.into_iter().enumerate() {
        let length = part.len();
        for (at, instruction) in part.into_iter().enumerate() {
            let passes = instruction.code == RETURN
                && instruction.k != libc::SECCOMP_RET_USER_NOTIF
                && number < last;
            all.push(if passes {
                sock_filter {
                    code: JUMP,
                    jt: 0,
                    jf: 0,
                    k: (length - at - 1) as u32,
                }
            } else {
                instruction
            });
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{Facts, Profile, tighten};
    use crate::spec::hardened_default;

    fn programs() -> Vec<Vec<sock_filter>> {
        ["baseline", "restricted", "paranoid"]
            .map(|name| {
                let profile = Profile::builtin(name).unwrap();
                let tightened =
                    tighten(&hardened_default(None), &profile, &Facts::default()).unwrap();
                compile(&tightened.filter.unwrap()).unwrap().program
            })
            .to_vec()
    }

    fn calls() -> impl Iterator<Item = Data> {
        let arches = [0xc000_003e, 0x4000_0003, 0xc000_00b7];
        let first = [0u64, 1, 5, 16, 38, 0x1000_0000, 0x2_0000];
        let numbers = (0..600).chain([0x4000_0029, u32::MAX]);
        numbers.flat_map(move |nr| {
            arches.into_iter().flat_map(move |arch| {
                first.into_iter().map(move |value| Data {
                    nr,
                    arch,
                    args: [value, value, 0, 0, 0, 0],
                    ..Data::default()
                })
            })
        })
    }

    #[test]
    fn the_filter_asks_of_what_is_denied_and_of_nothing_else() {
        let programs = programs();
        for count in [1, 2] {
            let some = &programs[..count];
            let parts: Vec<_> = some.iter().map(|program| (&program[..], 0)).collect();
            let (program, _) = watching(&parts, Watch::Denials).unwrap();
            for call in calls().step_by(7) {
                let asked = bpf::evaluate(&program, &call).unwrap();
                let denied = is_denial(answer(some, &call));
                let expected = if denied {
                    libc::SECCOMP_RET_USER_NOTIF
                } else {
                    libc::SECCOMP_RET_ALLOW
                };
                assert_eq!(asked, expected, "{call:?}");
            }
        }
    }

    #[test]
    fn of_two_filters_the_stricter_answers_and_of_equals_the_later() {
        let always = |k| {
            vec![sock_filter {
                code: RETURN,
                jt: 0,
                jf: 0,
                k,
            }]
        };
        let both = |first, second| answer(&[always(first), always(second)], &Data::default());
        assert_eq!(both(0x0005_0001, 0x0005_0026), 0x0005_0026);
        assert_eq!(both(0x8000_0000, 0x0005_0026), 0x8000_0000);
        assert_eq!(both(0x7fff_0000, 0x0005_0026), 0x0005_0026);
    }

    #[test]
    fn filters_that_ask_others_or_forbid_the_way_are_refused() {
        let always = |k| {
            [sock_filter {
                code: RETURN,
                jt: 0,
                jf: 0,
                k,
            }]
        };
        let refused = |k| {
            watching(&[(&always(k)[..], 0)], Watch::Denials)
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            refused(libc::SECCOMP_RET_USER_NOTIF),
            "watch system calls: linux.seccomp: a filter with SCMP_ACT_NOTIFY cannot be watched"
        );
        assert_eq!(
            refused(libc::SECCOMP_RET_ERRNO),
            "watch system calls: a filter denies sendmsg, by which the runtime gets to know of calls"
        );
        assert_eq!(
            watching(&[], Watch::Denials).unwrap_err().to_string(),
            "watch system calls: there is no filter of system calls"
        );
    }

    #[test]
    fn a_filter_that_denies_the_way_for_some_arguments_is_refused() {
        let instruction = |code, jt, jf, k| sock_filter { code, jt, jf, k };
        let denies_where = |offset, code, value| {
            let program = [
                instruction(bpf::LOAD, 0, 0, 0),
                instruction(
                    bpf::EQUAL,
                    0,
                    2,
                    named("sendmsg").unwrap().number(own_abi()).unwrap(),
                ),
                instruction(bpf::LOAD, 0, 0, offset),
                instruction(code, 1, 0, value),
                instruction(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
                instruction(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | 1),
            ];
            hand_over(&program).is_err()
        };
        // The descriptor, the upper half of the message's address, the flags.
        assert!(denies_where(16, bpf::GREATER, 5));
        assert!(denies_where(28, bpf::ANY_BIT, 1));
        assert!(denies_where(32, bpf::ANY_BIT, 0x4000));
        assert!(!denies_where(32, bpf::EQUAL, 1));
    }

    #[test]
    fn passed_calls_are_known() {
        for name in passed(Openings::Passed) {
            assert!(named(name).is_some(), "{name}");
        }
    }
}
