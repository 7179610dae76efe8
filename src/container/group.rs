//! The container's cgroup, as far as the lifecycle verbs need it.
//! Not here: how cgroups are made and limited (`cgroup`).

use crate::cgroup::{Cgroup, Location};
use crate::error::Result;

/// Sends a signal to every process in the cgroup and below; whether there was any.
pub(super) fn signal(cgroup: Option<&Location>, signal: i32) -> Result<bool> {
    match cgroup {
        Some(location) => Cgroup::open(location)?.signal(signal),
        None => Ok(false),
    }
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
