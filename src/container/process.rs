//! A process named by pid and start time, so that a recycled pid is never taken for the container's (proc_pid_stat(5)).

use std::fs;
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::error::{Doing, Result};

/// The start time of a process in clock ticks since boot; `None` when it is gone or a zombie.
pub fn start_time(pid: i32) -> Option<u64> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let stat = parse(&stat)?;
    (!stat.ended).then_some(stat.start_time)
}

/// Whether the process is the one that started then, and has not ended.
pub fn is_alive(pid: i32, started: u64) -> bool {
    pid > 0 && start_time(pid) == Some(started)
}

/// The start time of a child that has not been waited for, ended or not.
pub fn start_time_of_child(pid: i32) -> Option<u64> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    Some(parse(&stat)?.start_time)
}

/// Whether the process is still there, be it as a zombie, and has executed nothing since it was cloned.
pub fn never_executed(pid: i32, started: u64) -> bool {
    // `PF_FORKNOEXEC` of the kernel's sched.h, cleared by execve(2) before descriptors are closed.
    const FORKED_WITHOUT_EXEC: u64 = 0x40;
    let stat = fs::read(format!("/proc/{pid}/stat")).ok();
    stat.and_then(|stat| parse(&stat))
        .is_some_and(|stat| stat.start_time == started && stat.flags & FORKED_WITHOUT_EXEC != 0)
}

/// Opens a pidfd of the process that started at `started`; `None` when it has ended.
///
/// # Errors
/// pidfd_open(2) fails for another reason than that the process is gone.
pub fn open(pid: i32, started: u64) -> Result<Option<OwnedFd>> {
    let Some(raw) = Pid::from_raw(pid).filter(|_| pid > 0) else {
        return Ok(None);
    };
    let pidfd = match pidfd_open(raw, PidfdFlags::empty()) {
        // The number may belong to a thread of some other process by now (ENOENT since Linux 6.14).
        Err(Errno::SRCH | Errno::INVAL | Errno::NOENT) => return Ok(None),
        other => other.doing(|| format!("open process {pid}"))?,
    };
    // Only now: the descriptor pins the process, so that a start time read after it is that process's.
    Ok(is_alive(pid, started).then_some(pidfd))
}

/// Waits until the process has ended; `false` if it has not after `seconds`.
///
/// # Errors
/// poll(2) fails.
pub fn wait(pidfd: &OwnedFd, seconds: i64) -> Result<bool> {
    let timeout = Timespec {
        tv_sec: seconds,
        tv_nsec: 0,
    };
    let mut fds = [PollFd::new(pidfd, PollFlags::IN)];
    let ready = rustix::io::retry_on_intr(|| poll(&mut fds, Some(&timeout)))
        .doing(|| "wait for the process to end")?;
    Ok(ready == 1)
}

struct Stat {
    ended: bool,
    /// `PF_*`.
    flags: u64,
    start_time: u64,
}

/// Parses /proc/PID/stat; the name, the second field, may hold anything, so fields count from its last parenthesis.
fn parse(stat: &[u8]) -> Option<Stat> {
    let close = stat.iter().rposition(|&byte| byte == b')')?;
    let rest = std::str::from_utf8(&stat[close + 1..]).ok()?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let threads: u32 = fields.get(17)?.parse().ok()?;
    // The first thread may end before the others: the process has ended only when it was the last.
    let ended = matches!(*fields.first()?, "Z" | "X" | "x") && threads <= 1;
    Some(Stat {
        ended,
        flags: fields.get(6)?.parse().ok()?,
        start_time: fields.get(19)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "42 (a) Z (b) S 1 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 98765 1 2 3";

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = parse(STAT.as_bytes()).unwrap();
        assert_eq!((stat.ended, stat.start_time), (false, 98765));
    }

    #[test]
    fn a_zombie_has_ended_and_a_zombie_with_threads_has_not() {
        assert!(parse(STAT.replace(") S", ") Z").as_bytes()).unwrap().ended);
        assert!(
            !parse(
                STAT.replace(") S", ") Z")
                    .replace(" 0 1 0 98", " 0 2 0 98")
                    .as_bytes()
            )
            .unwrap()
            .ended
        );
    }

    #[test]
    fn damaged_text_is_no_process() {
        for text in ["", "1", "1 (a", "1 (a) S", "1 (a) S 1 2 x"] {
            assert!(parse(text.as_bytes()).is_none(), "{text}");
        }
    }

    #[test]
    fn process_that_was_only_forked_has_never_executed() {
        let flagged = STAT.replace("4194560", "64");
        assert_eq!(parse(flagged.as_bytes()).unwrap().flags, 64);
        let pid = i32::try_from(std::process::id()).unwrap();
        assert!(!never_executed(pid, start_time(pid).unwrap()));
        assert!(!never_executed(0, 0));
    }

    #[test]
    fn another_start_time_is_another_process() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let started = start_time(pid).unwrap();
        assert!(is_alive(pid, started));
        assert!(!is_alive(pid, started + 1));
        assert!(open(pid, started).unwrap().is_some());
        assert!(open(pid, started + 1).unwrap().is_none());
        assert!(open(0, 0).unwrap().is_none());
    }
}
