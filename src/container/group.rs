//! The container's cgroup, as far as the lifecycle verbs need it.
//! Not here: how cgroups are made and limited (`cgroup`).

use super::{State, process};
use crate::cgroup::{Cgroup, Location};
use crate::error::{Error, Result, quote_path};

/// Opens the cgroup for a verb that acts on a running container, and is nothing without one.
pub(super) fn own(cgroup: Option<&Location>, doing: &str) -> Result<Cgroup> {
    let cgroup = open(cgroup, doing)?;
    match cgroup.replaced() {
        None => Ok(cgroup),
        Some(path) => {
            let cause = format!(
                "the container's cgroup is gone, and {} is another one",
                quote_path(path)
            );
            Err(Error::new(doing, cause).hint("delete the container, which leaves that one alone"))
        }
    }
}

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
/// one that is gone already is fine, and another one at its place is left alone.
pub(super) fn remove(cgroup: Option<&Location>) -> Result<()> {
    let Some(location) = cgroup else {
        return Ok(());
    };
    let cgroup = Cgroup::open(location)?;
    if let Some(path) = cgroup.replaced() {
        log::warn!(
            "the cgroup {} is not the container's, and is left alone",
            quote_path(path)
        );
    }
    cgroup.kill()?;
    cgroup.remove()
}

/// Gives a record without a mark the one of what is there. Versions that kept no marks had the container's cgroup at its
/// path as long as nobody else made one there, which nothing tells from here, except for the processes in it: where there
/// are some, and not the container's first one, they may be another's, and are left alone.
pub(super) fn recognise(cgroup: Option<&mut Location>, pid: i32, start_time: u64) {
    let Some(location) = cgroup.filter(|location| location.mark.is_unknown()) else {
        return;
    };
    // A number alone may be another process by now.
    let lives = pid > 0 && matches!(process::open(pid, start_time), Ok(Some(_)));
    match Cgroup::recognise(location, lives.then_some(pid)) {
        Ok(mark) => location.mark = mark,
        Err(error) => log::debug!("{error}"),
    }
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

/// Where the kernel has killed in the container for want of memory: its limit in words, ` (64 MiB)`.
pub(super) fn memory_that_ran_out(state: &State) -> Option<String> {
    let cgroup = Cgroup::open(state.cgroup.as_ref()?).ok()?;
    if !cgroup.oom_killed().ok()? {
        return None;
    }
    let resources = state.config.linux.as_ref()?.resources.as_ref();
    let limit = resources.and_then(|resources| resources.memory.as_ref()?.limit);
    let limit = limit.and_then(|limit| u64::try_from(limit).ok());
    Some(limit.map_or_else(String::new, |limit| format!(" ({})", in_words(limit))))
}

/// Bytes in the largest unit that leaves no fraction.
fn in_words(bytes: u64) -> String {
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let whole = units
        .iter()
        .find(|(_, shift)| bytes > 0 && bytes.is_multiple_of(1 << shift));
    match whole {
        Some((unit, shift)) => format!("{} {unit}", bytes >> shift),
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::in_words;

    #[test]
    fn sizes_are_told_in_the_largest_unit_that_fits() {
        let told = [64 << 20, 1 << 30, 1536 << 10, 5000, 0].map(in_words);
        assert_eq!(
            told,
            ["64 MiB", "1 GiB", "1536 KiB", "5000 bytes", "0 bytes"]
        );
    }
}
