//! The container's cgroup, as far as the lifecycle verbs need it.
//! Not here: how cgroups are made and limited (`cgroup`).

use crate::cgroup::{Cgroup, Location};
use crate::error::{Error, Result};

/// Opens the cgroup for a verb that is nothing without one.
pub(super) fn open(cgroup: Option<&Location>, doing: &str) -> Result<Cgroup> {
    match cgroup {
        Some(location) => Cgroup::open(location),
        None => Err(Error::new(doing, "the container has no cgroup")
            .hint("create it as root, or with a delegated cgroup that linux.cgroupsPath names")),
    }
}

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

/// Lets frozen processes go on; one that is gone already is fine.
pub(super) fn thaw(cgroup: Option<&Location>) -> Result<()> {
    match cgroup {
        Some(location) => Cgroup::open(location)?.thaw(),
        None => Ok(()),
    }
}
