//! A process for one act: forked, timed, its answer read from a pipe.
//!
//! Not clone3 of a container (that is `init`): nothing here confines. fork(2), setitimer(2) and waitpid(2) rule.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use libc::c_int;
use nix::sys::wait::{WaitStatus, waitpid};

use super::last_errno;

/// How a process of [`alone`] ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// With these bytes, the answer.
    Answered(Vec<u8>),
    /// Without an answer but with this exit code, as when it has become another program.
    Exited(i32),
    /// By this signal.
    Killed(i32),
}

/// Runs `act` in a process of its own, which the kernel ends after `limit`, and waits for it. The process shares nothing
/// with this one but open files; its answer, at most 4096 bytes, comes back by a pipe.
///
/// # Errors
/// What pipe(2), fork(2), read(2) or waitpid(2) say.
pub fn alone(limit: Duration, act: &dyn Fn() -> Vec<u8>) -> io::Result<Ending> {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let child = fork()?;
    if child == 0 {
        drop(read);
        answer_and_exit(limit, act, &write);
    }
    drop(write);
    let answer = read_all(&read);
    let status = waitpid(nix::unistd::Pid::from_raw(child), None)?;
    match (status, answer?) {
        (WaitStatus::Exited(_, 0), answer) if !answer.is_empty() => Ok(Ending::Answered(answer)),
        (WaitStatus::Exited(_, code), _) => Ok(Ending::Exited(code)),
        (WaitStatus::Signaled(_, signal, _), _) => Ok(Ending::Killed(signal as i32)),
        (other, _) => Err(io::Error::other(format!(
            "unexpected wait status {other:?}"
        ))),
    }
}

/// The exit code of a process of [`alone`] whose act panicked or whose answer could not be sent.
pub const BROKEN: i32 = 113;

fn answer_and_exit(limit: Duration, act: &dyn Fn() -> Vec<u8>, pipe: &OwnedFd) -> ! {
    // An unwinding act must not return into the parent's stack frames, which this process has a copy of.
    let sent = catch_unwind(AssertUnwindSafe(|| {
        end_after(limit).ok()?;
        let answer = act();
        let sent = rustix::io::write(pipe.as_fd(), &answer).ok()?;
        (sent == answer.len()).then_some(())
    }));
    exit(if matches!(sent, Ok(Some(()))) {
        0
    } else {
        BROKEN
    })
}

fn read_all(pipe: &OwnedFd) -> io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    let mut piece = [0; 512];
    loop {
        match rustix::io::read(pipe, &mut piece) {
            Ok(0) => return Ok(answer),
            Ok(n) => answer.extend_from_slice(&piece[..n]),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Has the kernel end this process, which [`alone`] made, `limit` from now and no longer from its begin: by SIGALRM, whatever
/// the parent did to that signal, and without a core file for SIGSYS.
///
/// # Errors
/// The errno of setrlimit(2), signal(2), rt_sigprocmask(2) or setitimer(2).
pub fn end_after(limit: Duration) -> Result<(), i32> {
    let none = rustix::process::Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    rustix::process::setrlimit(rustix::process::Resource::Core, none)
        .map_err(rustix::io::Errno::raw_os_error)?;
    default_signal(libc::SIGALRM)?;
    nix::sys::signal::SigSet::from(nix::sys::signal::Signal::SIGALRM)
        .thread_unblock()
        .map_err(|errno| errno as i32)?;
    let timer = libc::itimerval {
        it_interval: libc::timeval {
            tv_sec: 0,
            tv_usec: 0,
        },
        it_value: libc::timeval {
            tv_sec: limit.as_secs() as i64,
            tv_usec: i64::from(limit.subsec_micros()),
        },
    };
    // SAFETY: reads one itimerval that lives until the call returns, and writes nothing.
    match unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(last_errno()),
    }
}

fn default_signal(signal: c_int) -> Result<(), i32> {
    // SAFETY: SIG_DFL is no function of ours, so nothing can run at a wrong time.
    if unsafe { libc::signal(signal, libc::SIG_DFL) } == libc::SIG_ERR {
        return Err(last_errno());
    }
    Ok(())
}

fn fork() -> io::Result<c_int> {
    // SAFETY: the child runs one act and exits without unwinding; glibc takes the allocator's locks around fork, so it
    // may allocate even where the parent has threads.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        pid => Ok(pid),
    }
}

fn exit(code: c_int) -> ! {
    // SAFETY: ends the process without running exit handlers, which belong to the parent.
    unsafe { libc::_exit(code) }
}
