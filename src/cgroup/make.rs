//! Making a cgroup's directory in one hierarchy, with its parents, v2 controllers and v1 cpusets on the way.
//! Nothing here knows of limits.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use super::filesystem::{self, error};
use super::location::{Group, Location};
use super::mark;
use super::settings::Write;
use crate::error::{Error, Result, quote, quote_path};
use crate::sys::Errno;

/// What was made so far; dropped before it is kept, it removes that again, last first.
#[derive(Default)]
pub(super) struct Made {
    pub(super) directories: Vec<PathBuf>,
    /// What was there and got a claim.
    pub(super) claimed: Vec<OwnedFd>,
}

impl Made {
    /// It stays.
    pub(super) fn keep(&mut self) {
        self.directories.clear();
        self.claimed.clear();
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        for directory in &self.claimed {
            mark::clear_claim(directory.as_fd());
        }
        for path in self.directories.iter().rev() {
            match filesystem::remove(path) {
                // Busy: another container uses the parent by now.
                Ok(()) | Err(Errno::NOENT | Errno::BUSY | Errno::NOTEMPTY) => {}
                Err(errno) => {
                    log::warn!("{}", error(format!("remove {}", quote_path(path)), errno));
                }
            }
        }
    }
}

/// v2 controllers to enable for a group: those with limits and, on v2 alone, those that statistics come from.
pub(super) struct Enabled<'a> {
    needed: Vec<&'a str>,
    wanted: Vec<&'a str>,
}

pub(super) fn enabled_for<'a>(
    location: &Location,
    group: &'a Group,
    writes: &[Write],
) -> Enabled<'a> {
    let v2_alone = location.groups.iter().all(|group| group.v2);
    let own = group
        .controllers
        .iter()
        .map(String::as_str)
        .filter(|_| group.v2);
    let is_needed = |name: &&str| writes.iter().any(|write| write.controller == **name);
    let (needed, rest): (Vec<_>, Vec<_>) = own.partition(|name| is_needed(name));
    let counts = |name: &&str| v2_alone && ["cpu", "cpuset", "io", "memory", "pids"].contains(name);
    Enabled {
        needed,
        wanted: rest.into_iter().filter(counts).collect(),
    }
}

/// Makes one group's directory and its missing parents, each ready for what is below it.
pub(super) fn make(group: &Group, enabled: &Enabled<'_>, made: &mut Made) -> Result<OwnedFd> {
    let doing = |path: &str| format!("make cgroup {}", quote_path(&group.mountpoint.join(path)));
    let mount = filesystem::directory(&group.mountpoint)
        .map_err(|errno| error(format!("open {}", quote_path(&group.mountpoint)), errno))?;
    let names: Vec<&str> = group.path.split('/').collect();
    // A parent that is there can vanish with the container it was made for: then start again.
    for _ in 0..16 {
        match make_path(group, mount.as_fd(), &names, enabled, made) {
            Ok(()) => {}
            Err((_, Errno::NOENT)) => continue,
            Err((error, _)) => return Err(error),
        }
        match filesystem::directory(&group.directory()) {
            Ok(directory) => return Ok(directory),
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(error(doing(&group.path), errno)),
        }
    }
    Err(error(doing(&group.path), Errno::NOENT))
}

/// Claims the cgroup for a container, so that no other one of any state directory takes it for free between this one's end
/// and its deletion.
pub(super) fn claim(
    group: &Group,
    directory: &OwnedFd,
    claimant: &str,
    made: &mut Made,
) -> Result<()> {
    let path = group.directory();
    let is_new = made.directories.contains(&path);
    match mark::set_claim(directory.as_fd(), claimant) {
        Ok(()) if is_new => Ok(()),
        Ok(()) => {
            let copy = directory.try_clone();
            let copy =
                copy.map_err(|cause| Error::new(format!("open {}", quote_path(&path)), cause))?;
            made.claimed.push(copy);
            Ok(())
        }
        // Another one was quicker, and it is that one's to remove.
        Err(Errno::EXIST) => {
            made.directories.retain(|made| *made != path);
            let cause = format!("another container has just taken {}", quote_path(&path));
            Err(Error::new("linux.cgroupsPath", cause)
                .hint("choose a linux.cgroupsPath of the container's own"))
        }
        Err(errno) => Err(error(format!("claim {}", quote_path(&path)), errno)),
    }
}

fn make_path(
    group: &Group,
    mount: BorrowedFd<'_>,
    names: &[&str],
    enabled: &Enabled<'_>,
    made: &mut Made,
) -> std::result::Result<(), (Error, Errno)> {
    let is_cpuset = !group.v2 && group.controllers.iter().any(|name| name == "cpuset");
    let mut parent = ".".to_owned();
    for depth in 1..=names.len() {
        let path = names[..depth].join("/");
        let failed = |doing: &str, errno| {
            let path = quote_path(&group.mountpoint.join(&path));
            (error(format!("{doing} {path}"), errno), errno)
        };
        if group.v2 {
            enable(mount, &parent, enabled).map_err(|(name, errno)| {
                failed(
                    &format!("enable the {} controller for cgroup", quote(name)),
                    errno,
                )
            })?;
        }
        match filesystem::make(mount, &path) {
            Ok(()) => made.directories.push(group.mountpoint.join(&path)),
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(failed("make cgroup", errno)),
        }
        if is_cpuset {
            inherit_cpuset(mount, &parent, &path)
                .map_err(|errno| failed("inherit the CPUs and memory nodes of cgroup", errno))?;
        }
        parent = path;
    }
    Ok(())
}

/// Enables controllers for the children of `parent`, one by one where all at once fail.
fn enable<'a>(
    mount: BorrowedFd<'_>,
    parent: &str,
    enabled: &Enabled<'a>,
) -> std::result::Result<(), (&'a str, Errno)> {
    let file = format!("{parent}/cgroup.subtree_control");
    let there = match filesystem::read(mount, &file) {
        Ok(there) => there,
        Err(errno) => {
            return enabled
                .needed
                .first()
                .map_or(Ok(()), |name| Err((*name, errno)));
        }
    };
    let is_missing = |name: &&&str| !there.split_whitespace().any(|word| word == **name);
    let missing: Vec<&str> = enabled
        .needed
        .iter()
        .chain(&enabled.wanted)
        .filter(is_missing)
        .copied()
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let all: Vec<String> = missing.iter().map(|name| format!("+{name}")).collect();
    if filesystem::write(mount, &file, &all.join(" ")).is_ok() {
        return Ok(());
    }
    for name in missing {
        match filesystem::write(mount, &file, &format!("+{name}")) {
            Err(errno) if enabled.needed.contains(&name) => return Err((name, errno)),
            // Only for statistics.
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// A v1 cpuset starts empty, and no task can enter an empty one.
fn inherit_cpuset(
    mount: BorrowedFd<'_>,
    parent: &str,
    path: &str,
) -> std::result::Result<(), Errno> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if filesystem::read(mount, &format!("{path}/{file}"))?
            .trim()
            .is_empty()
        {
            let inherited = filesystem::read(mount, &format!("{parent}/{file}"))?;
            filesystem::write(mount, &format!("{path}/{file}"), inherited.trim())?;
        }
    }
    Ok(())
}
