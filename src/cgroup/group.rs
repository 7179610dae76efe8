//! A container's cgroup: made in every hierarchy with its limits and device rules, or opened again by its record.
//! Its directories are made in `make`, its limits are written in `limits`; what happens to it later is in `life`.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::filesystem::{self, error};
use super::location::{Group, Location};
use super::mark::{self, Directories, Mark};
use super::settings::Write;
use super::systemd::{self, Property};
use super::{devices, make};
use crate::error::{Error, Result, quote, quote_path};
use crate::spec::DeviceRule;
use crate::sys::{Errno, SysResult, bpf};

/// A container's cgroup in every hierarchy, by descriptor.
#[derive(Debug)]
pub struct Cgroup {
    pub(super) location: Location,
    /// As `location.groups`; none where the directory is gone, or is another one.
    pub(super) directories: Vec<Option<OwnedFd>>,
    /// A directory at its place that is another one.
    replaced: Option<PathBuf>,
}

/// What is at a place where a cgroup is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Whether there is any directory.
    pub is_any: bool,
    /// The claims of the containers that it is made for.
    pub claimants: BTreeSet<String>,
    /// Whether there are cgroups below.
    pub has_children: bool,
}

impl Cgroup {
    /// Makes the cgroup in every hierarchy, claims it where its mark says for whom, writes the limits, and the device rules unless there are none; v2 without a
    /// v1 devices hierarchy gets a program. On failure everything that was made is removed again.
    ///
    /// # Errors
    /// When a cgroup that exists holds processes or is frozen, when a controller cannot be enabled, and when a limit
    /// or device rule cannot be applied, naming its field.
    pub fn create(location: &Location, writes: &[Write], devices: &[DeviceRule]) -> Result<Self> {
        let mut made = make::Made::default();
        let mut directories = Vec::new();
        for group in &location.groups {
            let enabled = make::enabled_for(location, group, writes);
            let directory = make::make(group, &enabled, &mut made)?;
            if let Mark::Claimed(claimant) = &location.mark {
                make::claim(group, &directory, claimant, &mut made)?;
            }
            directories.push(Some(directory));
        }
        let mut location = location.clone();
        let is_leaf = |path: &PathBuf| {
            location
                .groups
                .iter()
                .any(|group| group.directory() == *path)
        };
        location.made = made
            .directories
            .iter()
            .filter(|path| !is_leaf(path))
            .cloned()
            .collect();
        let cgroup = Self::marked(location, directories)?;
        cgroup.check_fit()?;
        cgroup.apply(writes)?;
        if !devices.is_empty() {
            cgroup.apply_devices(devices)?;
        }
        made.keep();
        Ok(cgroup)
    }

    /// Starts the scope at this place with a process in it, a child of ours that has not begun; the record with what tells
    /// this scope from another one. It has no limits but those of its properties then.
    ///
    /// # Errors
    /// As [`systemd::properties`] says, systemd refuses; nothing is left of the scope.
    pub fn start_scope(location: &Location, properties: &[Property], pid: i32) -> Result<Location> {
        systemd::start(location, properties, pid)
    }

    /// Writes the limits and device rules of a scope that was started; all of them, as [`Self::create`] does, since systemd
    /// has no properties for some and rounds others. On failure the scope stays as it is.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub fn limit_scope(
        location: &Location,
        writes: &[Write],
        devices: &[DeviceRule],
    ) -> Result<Self> {
        let mut made = make::Made::default();
        let mut directories = Vec::new();
        for group in &location.groups {
            let enabled = make::enabled_for(location, group, writes);
            directories.push(Some(make::make(group, &enabled, &mut made)?));
        }
        // It goes with its last process; what was made in its place goes again right here.
        if !made.directories.is_empty() {
            return Err(Error::new("limit the scope", "its process has ended"));
        }
        let cgroup = Self::marked(location.clone(), directories)?;
        if cgroup.location.mark != location.mark {
            return Err(Error::new("limit the scope", "it is another one by now"));
        }
        cgroup.apply(writes)?;
        if !devices.is_empty() {
            cgroup.apply_devices(devices)?;
        }
        Ok(cgroup)
    }

    /// Refuses a place that belongs to someone else already; what there is of it otherwise. Nothing is made.
    ///
    /// # Errors
    /// When a cgroup that is there holds processes or is frozen.
    pub fn check_free(location: &Location) -> Result<Found> {
        let there = Self::open_any(location)?;
        there.check_fit()?;
        let directories = there.directories.iter().flatten();
        let claims = directories.clone();
        let claims = claims.filter_map(|directory| mark::claim(directory.as_fd()).transpose());
        let claimants = claims
            .collect::<SysResult<BTreeSet<String>>>()
            .map_err(|errno| error("read whose the cgroup is", errno))?;
        let mut has_children = false;
        for directory in directories.clone() {
            let children = filesystem::children(directory.as_fd())
                .map_err(|errno| error("read what is below the cgroup", errno))?;
            has_children |= !children.is_empty();
        }
        Ok(Found {
            is_any: directories.count() > 0,
            claimants,
            has_children,
        })
    }

    /// Removes the directories at this place that these have claimed, with all below. Those of others stay: another container
    /// may have come meanwhile, and whoever made one without a claim may have limited it.
    ///
    /// # Errors
    /// When a process is in one by now, or it cannot be removed.
    pub fn remove_claimed(location: &Location, claimants: &BTreeSet<String>) -> Result<()> {
        let mut there = Self::open_any(location)?;
        for directory in &mut there.directories {
            directory.take_if(|directory| {
                let claim = mark::claim(directory.as_fd()).ok().flatten();
                claim.is_none_or(|claim| !claimants.contains(&claim))
            });
        }
        if there.removal_is_held_up()? {
            return Err(Error::new(
                "remove the cgroup that was left over",
                Errno::BUSY,
            ));
        }
        Ok(())
    }

    /// Opens the cgroup of an existing container. Directories that are gone count as empty, and so do those that are not
    /// the container's by its mark: nothing is done to another one that has come to be at the same place. What a killed
    /// creation has made and not claimed yet goes with the parents, if it is empty.
    ///
    /// # Errors
    /// When a directory exists and cannot be opened or looked at.
    pub fn open(location: &Location) -> Result<Self> {
        let mut cgroup = Self::open_any(location)?;
        let is_old = !location.mark.is_of_this_boot()?;
        for (position, group) in location.groups.iter().enumerate() {
            let Some(directory) = &cgroup.directories[position] else {
                continue;
            };
            let path = group.directory();
            let doing = |errno| error(format!("look whose {} is", quote_path(&path)), errno);
            if !is_old
                && location
                    .mark
                    .is_on(position, directory.as_fd())
                    .map_err(doing)?
            {
                continue;
            }
            let claim = mark::claim(directory.as_fd()).map_err(doing)?;
            if is_old || claim.is_some() || !location.made.contains(&path) {
                cgroup.location.made.retain(|made| *made != path);
                cgroup.replaced = Some(path);
            }
            cgroup.directories[position] = None;
        }
        Ok(cgroup)
    }

    /// The directories at this place and above it that are not there, outermost first.
    pub fn missing(location: &Location) -> Vec<PathBuf> {
        let mut missing = Vec::new();
        for group in &location.groups {
            let path = group.directory();
            let above = path.ancestors();
            let gone = above.take_while(|path| access(*path, Access::EXISTS) == Err(Errno::NOENT));
            let gone: Vec<PathBuf> = gone.map(Path::to_owned).collect();
            missing.extend(gone.into_iter().rev());
        }
        missing
    }

    /// Takes the cgroup of a record without a mark for the container's, if it holds its first process, where that lives, or
    /// none at all; the mark then.
    ///
    /// # Errors
    /// As [`Self::open`] and [`Self::processes`].
    pub fn recognise(location: &Location, pid: Option<i32>) -> Result<Mark> {
        let there = Self::open_any(location)?;
        let processes = there.processes()?;
        if processes.is_empty() || pid.is_some_and(|pid| processes.contains(&pid)) {
            return Ok(there.into_marked()?.location.mark);
        }
        Ok(Mark::Unknown)
    }

    /// Where another cgroup has come to be at the container's place.
    pub fn replaced(&self) -> Option<&Path> {
        self.replaced.as_deref()
    }

    /// What was opened at the place is the container's.
    ///
    /// # Errors
    /// They cannot be looked at.
    pub(super) fn into_marked(self) -> Result<Self> {
        Self::marked(self.location, self.directories)
    }

    /// Puts the mark of these directories into the record.
    fn marked(mut location: Location, directories: Vec<Option<OwnedFd>>) -> Result<Self> {
        let all = directories.iter();
        let all = all.map(|directory| directory.as_ref().map(AsFd::as_fd));
        location.mark = Mark::Made(Directories::of(all)?);
        Ok(Self {
            location,
            directories,
            replaced: None,
        })
    }

    /// Whatever is at the place.
    pub(super) fn open_any(location: &Location) -> Result<Self> {
        let open = |group: &Group| match filesystem::directory(&group.directory()) {
            Ok(directory) => Ok(Some(directory)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(error(
                format!("open {}", quote_path(&group.directory())),
                errno,
            )),
        };
        Ok(Self {
            location: location.clone(),
            directories: location.groups.iter().map(open).collect::<Result<_>>()?,
            replaced: None,
        })
    }

    /// The record to keep in the state file: where it is, and which parents were made for it.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// `tasks` of every v1 hierarchy, open for writing: a single-threaded process that writes "0" enters.
    ///
    /// # Errors
    /// When one is gone or cannot be opened.
    pub fn task_files(&self) -> Result<Vec<OwnedFd>> {
        let all = self.location.groups.iter().zip(&self.directories);
        all.filter(|(group, _)| !group.v2)
            .map(|(group, directory)| {
                let open = directory.as_ref().map_or(Err(Errno::NOENT), |directory| {
                    filesystem::to_write(directory.as_fd(), "tasks")
                });
                open.map_err(|errno| {
                    error(
                        format!("open {}", quote_path(&group.directory().join("tasks"))),
                        errno,
                    )
                })
            })
            .collect()
    }

    /// The v2 directory, for CLONE_INTO_CGROUP; on a hybrid host a process enters by it and by the task files.
    ///
    /// # Errors
    /// When it is gone, or on a lack of descriptors.
    pub fn directory(&self) -> Result<Option<OwnedFd>> {
        let Some(at) = self.location.groups.iter().position(|group| group.v2) else {
            return Ok(None);
        };
        let doing = || format!("open {}", quote_path(&self.location.groups[at].directory()));
        let directory = self.directories[at]
            .as_ref()
            .ok_or_else(|| error(doing(), Errno::NOENT))?;
        directory
            .try_clone()
            .map(Some)
            .map_err(|cause| Error::new(doing(), cause))
    }

    /// Gives the v2 cgroup to a user, so that a container with a cgroup namespace and a writable cgroup mount can divide
    /// its own resources (config-linux.md "Cgroup ownership"); limits stay ours. v1 cannot be given away safely.
    ///
    /// # Errors
    /// When an owner cannot be changed.
    pub fn give_to(&self, uid: u32) -> Result<()> {
        let Some((group, directory)) = self.of("cgroup") else {
            return Ok(());
        };
        let list = std::fs::read_to_string("/sys/kernel/cgroup/delegate")
            .unwrap_or_else(|_| "cgroup.procs cgroup.subtree_control cgroup.threads".to_owned());
        for file in std::iter::once(".").chain(list.split_whitespace()) {
            match filesystem::change_owner(directory, file, uid) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => {
                    let path = quote_path(&group.directory().join(file));
                    return Err(error(format!("give {path} to user {uid}"), errno));
                }
            }
        }
        Ok(())
    }

    /// Where it is by controller, as state files and statistics name it; the v2 hierarchy is "".
    pub fn paths(&self) -> BTreeMap<String, String> {
        let path = |group: &Group| group.directory().to_string_lossy().into_owned();
        let names = |group: &Group| match group.v2 {
            true => vec![String::new()],
            false => group.controllers.clone(),
        };
        let groups = self.location.groups.iter();
        groups
            .flat_map(|group| names(group).into_iter().map(|name| (name, path(group))))
            .collect()
    }

    /// The group that holds a controller (`cgroup` is the v2 core) and its directory.
    pub(super) fn of(&self, controller: &str) -> Option<(&Group, BorrowedFd<'_>)> {
        let holds = |group: &Group| match controller {
            // Parts of the v2 core, which no list of controllers names.
            "cgroup" | "irq" => group.v2,
            name => group.controllers.iter().any(|own| own == name),
        };
        let mut all = self.location.groups.iter().zip(&self.directories);
        all.find_map(|(group, directory)| {
            let directory = directory.as_ref().filter(|_| holds(group))?;
            Some((group, directory.as_fd()))
        })
    }

    /// The text of a controller's file; `None` where there is no such file, controller or cgroup.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn text(&self, controller: &str, file: &str) -> Result<Option<String>> {
        let Some((group, directory)) = self.of(controller) else {
            return Ok(None);
        };
        match filesystem::read(directory, file) {
            Ok(text) => Ok(Some(text)),
            Err(Errno::NOENT | Errno::NODEV) => Ok(None),
            Err(errno) => {
                let path = quote_path(&group.directory().join(file));
                Err(error(format!("read {path}"), errno))
            }
        }
    }

    /// Whether a controller has this file for it.
    pub(super) fn holds(&self, controller: &str, file: &str) -> Result<bool> {
        Ok(self.text(controller, file)?.is_some())
    }

    /// A cgroup that was there before may belong to someone else.
    fn check_fit(&self) -> Result<()> {
        for (group, directory) in self.location.groups.iter().zip(&self.directories) {
            let Some(directory) = directory else { continue };
            let name = quote_path(&group.directory());
            let processes = filesystem::processes(directory.as_fd())
                .map_err(|errno| error(format!("read the processes of {name}"), errno))?;
            if !processes.is_empty() {
                let cause = format!(
                    "container's cgroup is not empty: {} process(es) in {name}",
                    processes.len()
                );
                return Err(Error::new("linux.cgroupsPath", cause)
                    .hint("choose a linux.cgroupsPath of the container's own"));
            }
        }
        if self.is_frozen()? {
            return Err(Error::new(
                "linux.cgroupsPath",
                "container's cgroup unexpectedly frozen",
            )
            .hint("thaw or remove it, or choose another linux.cgroupsPath"));
        }
        Ok(())
    }

    fn apply_devices(&self, rules: &[DeviceRule]) -> Result<()> {
        if let Some((group, directory)) = self.of("devices") {
            return apply_list(group, directory, rules);
        }
        let Some((group, directory)) = self.of("cgroup") else {
            return Err(
                Error::new("linux.resources.devices", "this host has no devices cgroup")
                    .hint("mount the devices hierarchy or cgroup v2 (cgroups(7))"),
            );
        };
        let program = devices::device_program(rules)?;
        let attached = match self.location.unit {
            // The program that is there is systemd's, which it puts back whenever it reloads.
            Some(_) => attach_beside(directory, &program),
            None => attach(directory, &program),
        };
        attached.map_err(|errno| {
            let path = quote_path(&group.directory());
            error(
                format!("linux.resources.devices: attach the device program to {path}"),
                errno,
            )
        })
    }
}

fn apply_list(group: &Group, directory: BorrowedFd<'_>, rules: &[DeviceRule]) -> Result<()> {
    let list = devices::device_list(rules)?;
    for (file, line) in &list {
        filesystem::write(directory, file, line).map_err(|errno| {
            let path = quote_path(&group.directory().join(file));
            error(
                format!("linux.resources.devices: write {} to {path}", quote(line)),
                errno,
            )
        })?;
    }
    let text = filesystem::read(directory, "devices.list").map_err(|errno| {
        error(
            format!(
                "read {}",
                quote_path(&group.directory().join("devices.list"))
            ),
            errno,
        )
    })?;
    if devices::is_listed(&list, &text) {
        return Ok(());
    }
    let cause = format!(
        "devices.list reads {} after all rules",
        quote(text.trim_end())
    );
    Err(Error::new("linux.resources.devices", cause))
}

fn attach_beside(
    cgroup: BorrowedFd<'_>,
    instructions: &[bpf::Instruction],
) -> std::result::Result<(), Errno> {
    let program = bpf::load_device_program(instructions)?;
    bpf::attach_device_program(cgroup, program.as_fd(), None)
}

/// Puts the program in force and then takes away what was there. A device must pass all programs, so that at no time
/// more is allowed than by the old or the new ones.
fn attach(
    cgroup: BorrowedFd<'_>,
    instructions: &[bpf::Instruction],
) -> std::result::Result<(), Errno> {
    let program = bpf::load_device_program(instructions)?;
    let before = bpf::device_programs(cgroup)?;
    if let [only] = before.as_slice() {
        return bpf::attach_device_program(cgroup, program.as_fd(), Some(only.as_fd()));
    }
    bpf::attach_device_program(cgroup, program.as_fd(), None)?;
    for old in &before {
        bpf::detach_device_program(cgroup, old.as_fd())?;
    }
    Ok(())
}
