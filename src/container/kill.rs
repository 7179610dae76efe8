//! `kill`: a signal to the container's process (runtime.md, "Kill").
//! clients read the error's text: `container not running` tells them that there is nothing left to kill.

use super::{Entry, State, Status, group, process};
use crate::error::{Doing, Error, Result, quote};
use crate::spec::NamespaceType;
use crate::sys;

/// Who gets the signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whom {
    /// The container's process.
    Init,
    /// Every process in the container's cgroup.
    All,
}

/// Sends a signal, 0 to 64, to a created, running or paused container. SIGKILL to a container without a pid namespace of
/// its own is for all its processes, whether its first one lives or not: the kernel ends them with their namespace only.
///
/// # Errors
/// The container is not running, which is no error where all its processes were meant; or may not be signalled.
pub fn kill(entry: &Entry, signal: i32, whom: Whom) -> Result<()> {
    let doing = || format!("kill container {}", quote(entry.id()));
    let not_running = || Error::new(doing(), "container not running");
    let state = entry.state()?;
    let is_for_all = whom == Whom::All || signal == libc::SIGKILL && !has_pid_namespace(&state);
    if is_for_all && group::signal(state.cgroup.as_ref(), signal)? {
        return release(&state, signal);
    }
    if state.status(entry) == Status::Stopped {
        return match whom {
            Whom::All => Ok(()),
            Whom::Init => Err(not_running()),
        };
    }
    let pidfd = process::open(state.pid, state.start_time)?.ok_or_else(not_running)?;
    match sys::signal::send(std::os::fd::AsFd::as_fd(&pidfd), signal) {
        Err(rustix::io::Errno::SRCH) => Err(not_running()),
        other => other.doing(doing),
    }?;
    release(&state, signal)
}

/// Whether the container has a pid namespace that was made for it.
fn has_pid_namespace(state: &State) -> bool {
    let linux = state.config.linux.as_ref();
    let mut namespaces = linux.into_iter().flat_map(|linux| &linux.namespaces);
    namespaces.any(|namespace| namespace.kind == NamespaceType::Pid && namespace.path.is_none())
}

/// What is frozen by the v1 freezer does not even die (kernel documentation, cgroup-v1/freezer-subsystem).
fn release(state: &State, signal: i32) -> Result<()> {
    if signal == libc::SIGKILL {
        group::thaw(state.cgroup.as_ref())?;
    }
    Ok(())
}
