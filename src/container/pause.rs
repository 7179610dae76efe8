//! `pause` and `resume`: the container's cgroup frozen and thawed.
//! Clients read the errors' text: `container not running`, `container not paused`.

use super::{Entry, State, Status, group};
use crate::cgroup::Cgroup;
use crate::error::{Error, Result, quote};

/// Stops every process of a created or running container, and waits until all have stopped.
///
/// # Errors
/// The container is not running, has no cgroup, or there is no freezer; it then runs on.
pub fn pause(entry: &Entry) -> Result<()> {
    let doing = format!("pause container {}", quote(entry.id()));
    let _lock = entry.lock()?;
    let state = entry.state()?;
    match state.status(entry) {
        Status::Running | Status::Created => frozen(&state, &doing),
        Status::Paused => Err(Error::new(doing, "container not running: it is paused")),
        _ => Err(Error::new(doing, "container not running")),
    }
}

/// Lets the processes of a paused container go on.
///
/// # Errors
/// The container is not paused, or is kept frozen from above.
pub fn resume(entry: &Entry) -> Result<()> {
    let doing = format!("resume container {}", quote(entry.id()));
    let _lock = entry.lock()?;
    let state = entry.state()?;
    if state.status(entry) != Status::Paused {
        return Err(Error::new(doing, "container not paused"));
    }
    let cgroup = group::own(state.cgroup.as_ref(), &doing)?;
    cgroup.thaw().map_err(|cause| Error::new(&doing, cause))?;
    if cgroup.is_frozen()? {
        return Err(
            Error::new(doing, "a cgroup above the container's is frozen")
                .hint("thaw that one; the container then runs"),
        );
    }
    Ok(())
}

fn frozen(state: &State, doing: &str) -> Result<()> {
    let cgroup: Cgroup = group::own(state.cgroup.as_ref(), doing)?;
    cgroup.freeze().map_err(|cause| {
        let error = Error::new(doing, &cause);
        match cause.try_this() {
            Some(hint) => error.hint(hint),
            None => error,
        }
    })
}
