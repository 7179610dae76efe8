//! Hooks that run in the container's namespaces: createContainer and startContainer (config.md, "POSIX-platform Hooks").
//! Those of the runtime namespace are in `container::hooks`.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, SeekFrom};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, pidfd_open, pidfd_send_signal, waitpid,
};

use super::{Call, Child, Difference, Fault, In, Outcome};
use crate::plan::HookCall;
use crate::sys::{Errno, SysResult, attributes, prctl, program, seccomp};

impl Child<'_> {
    /// Runs a hook with the state on its standard input and waits for it.
    pub(super) fn hook(&mut self, hook: &HookCall) -> Outcome {
        let state = state_file(hook)?;
        let output = rustix::fs::memfd_create(c"hook", MemfdFlags::CLOEXEC).in_call(Call::Open)?;
        let pid = program::fork().in_call(Call::Clone)?;
        if pid == 0 {
            self.become_hook(hook, state.as_fd(), output.as_fd());
        }
        let pid = Pid::from_raw(pid).expect("fork(2) returned a process id");
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).in_call(Call::Pidfd)?;
        let ended = wait_for_end(pidfd.as_fd(), hook.timeout)?;
        if !ended {
            pidfd_send_signal(&pidfd, Signal::KILL).in_call(Call::Hook)?;
        }
        let status = rustix::io::retry_on_intr(|| waitpid(Some(pid), WaitOptions::empty()))
            .in_call(Call::Wait)?
            .map(|(_, status)| status);
        if !ended {
            return Err(Fault::differs(Difference::HookTimeout, 0));
        }
        let detail = match status {
            None => 0,
            Some(status) => match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => code as u64,
                (None, signal) => 256 + signal.unwrap_or(0) as u64,
            },
        };
        if detail == 0 {
            return Ok(());
        }
        // The parent shows the beginning of it.
        self.evidence = Some(output);
        Err(Fault::differs(Difference::HookFailed, detail))
    }

    /// In the forked process: standard input is the state, the output goes to memory.
    fn become_hook(&self, hook: &HookCall, state: BorrowedFd<'_>, output: BorrowedFd<'_>) -> ! {
        let outcome = rustix::stdio::dup2_stdin(state)
            .and_then(|()| rustix::stdio::dup2_stdout(output))
            .and_then(|()| rustix::stdio::dup2_stderr(output))
            .and_then(|()| rustix::process::setsid().map(drop))
            .and_then(|()| rustix::process::chdir(hook.directory.as_c_str()))
            .and_then(|()| self.restrict_hook(hook))
            // Closed, not close-on-exec: execve(2) still has those when it looks for the program (CVE-2024-21626).
            .and_then(|()| attributes::close_others(&[]))
            .and_then(|()| self.filter_hook(hook));
        if outcome.is_ok() {
            let _: Errno = program::execute(&hook.path, &hook.arguments, &hook.environment);
        }
        program::exit_now(127)
    }

    /// What needs the root's descriptor, which is closed after this.
    fn restrict_hook(&self, hook: &HookCall) -> SysResult<()> {
        let Some(confinement) = hook.confinement else {
            return Ok(());
        };
        if confinement.no_new_privileges {
            prctl::set_no_new_privileges()?;
        }
        if confinement.deny_write_execute {
            prctl::deny_write_execute()?;
        }
        self.landlock()
            .map_err(|fault| Errno::from_raw_os_error(fault.errno))
    }

    /// The filters are the program's. Nobody listens to a hook's: what they notify of is ENOSYS.
    fn filter_hook(&self, hook: &HookCall) -> SysResult<()> {
        if hook.confinement.is_none() {
            return Ok(());
        }
        let listening = seccomp::NEW_LISTENER | seccomp::WAIT_KILLABLE_RECV;
        self.plan.filters.iter().try_for_each(|filter| {
            seccomp::install(&filter.program, filter.flags & !listening).map(drop)
        })
    }
}

/// The state in memory that reads like a file: a hook that does not read it cannot block us, as it could with a pipe.
fn state_file(hook: &HookCall) -> Outcome<OwnedFd> {
    let file = rustix::fs::memfd_create(c"state", MemfdFlags::CLOEXEC).in_call(Call::Open)?;
    let mut digits = [0; 10];
    let pid = rustix::process::getpid().as_raw_nonzero().get() as u32;
    for part in [
        hook.state.0.as_bytes(),
        decimal(pid, &mut digits),
        hook.state.1.as_bytes(),
    ] {
        let mut rest = part;
        while !rest.is_empty() {
            let written = rustix::io::write(&file, rest).in_call(Call::Write)?;
            rest = &rest[written..];
        }
    }
    rustix::fs::seek(&file, SeekFrom::Start(0)).in_call(Call::Write)?;
    Ok(file)
}

/// Formats without allocating.
fn decimal(mut number: u32, digits: &mut [u8; 10]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &digits[at..];
        }
    }
}

/// Whether it ended within `timeout` seconds.
fn wait_for_end(pidfd: BorrowedFd<'_>, timeout: Option<u64>) -> Outcome<bool> {
    let timeout = timeout.map(|seconds| Timespec {
        tv_sec: seconds as i64,
        tv_nsec: 0,
    });
    let mut fds = [PollFd::from_borrowed_fd(pidfd, PollFlags::IN)];
    let ready =
        rustix::io::retry_on_intr(|| poll(&mut fds, timeout.as_ref())).in_call(Call::Wait)?;
    Ok(ready == 1)
}
