//! What a hook's process does between fork and exec.
#![allow(
    unsafe_code,
    reason = "std's pre_exec is unsafe: the closure runs in a forked child"
)]

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal, setsid};

/// Puts the command into a session of its own, ends it with us, and lets no descriptor but the first three into it.
pub fn confine(command: &mut Command) -> &mut Command {
    let parent: Option<Pid> = Some(rustix::process::getpid());
    // SAFETY: the closure makes system calls only; it neither allocates nor takes a lock.
    unsafe {
        command.pre_exec(move || {
            setsid()?;
            set_parent_process_death_signal(Some(Signal::KILL))?;
            if getppid() != parent {
                // The parent ended before the line above took effect.
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
            close_on_exec()
        })
    }
}

/// close_range(2) with `CLOSE_RANGE_CLOEXEC` (Linux 5.11) from descriptor 3 on: the caller may have left some to us.
fn close_on_exec() -> io::Result<()> {
    // SAFETY: no pointers; descriptors stay open until execve(2).
    let result = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            3,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
