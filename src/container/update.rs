//! `update`: other limits for a container that is there. All of them hold afterwards, or those from before.

use super::{Entry, State, Status, group};
use crate::cgroup::{self, Layout, Write};
use crate::error::{Error, Result, quote};
use crate::profile::{self, Bound};
use crate::spec::Resources;

/// Changes the limits of a created, running or paused container to what `asked` gives; the rest stays. Device rules cannot
/// be changed and are passed over, as other runtimes do. No limit is not had where the profile gives one.
///
/// # Errors
/// The container is not running or has no cgroup; a limit is beyond the profile's maximum, or cannot be applied.
pub fn update(entry: &Entry, asked: &Resources) -> Result<()> {
    let doing = format!("update container {}", quote(entry.id()));
    let _lock = entry.lock()?;
    let mut state = entry.state()?;
    if matches!(state.status(entry), Status::Stopped | Status::Creating) {
        return Err(Error::new(doing, "container not running"));
    }
    if !asked.devices.is_empty() {
        log::debug!("linux.resources.devices: rules of devices stay as they are");
    }
    let cgroup = group::own(state.cgroup.as_ref(), &doing)?;
    let before = resources(&state);
    let memory_total = profile::Facts::read()?.memory_total;
    let (change, changes) =
        state
            .limits
            .keep_limits(&state.profile, memory_total, asked, &before)?;
    changes.iter().for_each(|change| log::warn!("{change}"));
    let change = with_swap(change, &before, &state);
    let mut after = before.changed_by(&change);
    state
        .limits
        .check_update(&state.profile, memory_total, &change, &after)?;
    if let Some(memory) = &change.memory
        && memory.check_before_update == Some(true)
    {
        cgroup.check_memory_use(memory.limit.unwrap_or(0))?;
    }
    let writes = cgroup::settings(&Layout::discover()?, &change.with_companions(&after))?;
    let undo = cgroup.change(&writes)?;
    forget_overwritten(&mut after, &writes);
    profile::settle(&mut state.changes, asked, &after, changes);
    profile::annotate(&mut state.annotations, &state.profile, &state.changes);
    if let Some(linux) = &mut state.config.linux {
        linux.resources = Some(after);
    }
    entry
        .write(&state)
        .map_err(|cause| cgroup.put_back(&undo, cause))
}

fn resources(state: &State) -> Resources {
    let linux = state.config.linux.as_ref();
    linux
        .and_then(|linux| linux.resources.clone())
        .unwrap_or_default()
}

/// Where the profile limits swap, and the caller gives a limit of memory alone, as much swap as before comes on top.
fn with_swap(mut change: Resources, before: &Resources, state: &State) -> Resources {
    let is_limited = state.limits.swap != Bound::default();
    if let (true, Some(new), Some(old)) = (is_limited, &mut change.memory, &before.memory)
        && let (Some(limit), None | Some(0)) = (new.limit.filter(|limit| *limit > 0), new.swap)
        && let (Some(old_limit), Some(old_swap)) = (old.limit, old.swap)
    {
        new.swap = Some(limit.saturating_add((old_swap - old_limit).max(0)));
    }
    change
}

/// A file that `unified` named, and that another field has written now, says what that field says.
fn forget_overwritten(after: &mut Resources, writes: &[Write]) {
    let overwrites = |file: &str| {
        let mut of_file = writes.iter().filter(|write| write.file == file);
        of_file.any(|write| !write.field.starts_with("linux.resources.unified"))
    };
    after.unified.retain(|file, _| !overwrites(file));
}
