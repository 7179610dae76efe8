//! What the process of a hook in the runtime namespace does between fork and exec.
//! Hooks inside the container are run by `init`, which needs nothing of this.
#![allow(
    unsafe_code,
    reason = "std's pre_exec is unsafe: the closure runs in a forked child"
)]

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal, setsid};

use super::attributes::close_on_exec_from;

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
            // The caller may have left some to us.
            Ok(close_on_exec_from(3)?)
        })
    }
}
