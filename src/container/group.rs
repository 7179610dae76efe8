//! The container's cgroup, as far as the lifecycle verbs need it.
//! Not here: how cgroups are made and limited (`cgroup`).

use std::os::fd::AsFd;

use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::cgroup::{Cgroup, Location};
use crate::error::Result;
use crate::sys;

/// Sends a signal to every process in the cgroup and below; whether there was any.
pub(super) fn signal(cgroup: Option<&Location>, signal: i32) -> Result<bool> {
    let Some(location) = cgroup else {
        return Ok(false);
    };
    let mut was_any = false;
    for pid in Cgroup::open(location)?.processes()? {
        let pidfd = Pid::from_raw(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        // A process may end between the reading of the list and here.
        was_any |= pidfd.is_some_and(|pidfd| sys::signal::send(pidfd.as_fd(), signal).is_ok());
    }
    Ok(was_any)
}

/// Kills every process in the cgroup and below (`cgroup.kill` on v2), waits for their end and removes the cgroup;
/// one that is gone already is fine.
pub(super) fn remove(cgroup: Option<&Location>) -> Result<()> {
    let Some(location) = cgroup else {
        return Ok(());
    };
    let cgroup = Cgroup::open(location)?;
    cgroup.kill()?;
    cgroup.remove()
}

/// Whether the cgroup is frozen, by `pause` or from outside.
pub(super) fn is_frozen(cgroup: Option<&Location>) -> bool {
    cgroup.is_some_and(|location| {
        Cgroup::open(location)
            .and_then(|cgroup| cgroup.is_frozen())
            .unwrap_or(false)
    })
}
