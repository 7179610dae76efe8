//! A container's cgroup: made in every hierarchy with its limits and device rules, or opened again by its record.
//! What happens to it later (kill, freeze, remove) is in `life`.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use super::filesystem::{self, error, shown};
use super::location::{Group, Location};
use super::settings::Write;
use super::{devices, readback};
use crate::error::{Error, Result, quote};
use crate::spec::DeviceRule;
use crate::sys::{Errno, bpf};

/// A container's cgroup in every hierarchy, by descriptor.
#[derive(Debug)]
pub struct Cgroup {
    pub(super) location: Location,
    /// As `location.groups`; none where the directory is gone.
    pub(super) directories: Vec<Option<OwnedFd>>,
}

impl Cgroup {
    /// Makes the cgroup in every hierarchy, writes the limits, and the device rules unless there are none; v2 without a
    /// v1 devices hierarchy gets a program. On failure everything that was made is removed again.
    ///
    /// # Errors
    /// When a cgroup that exists holds processes or is frozen, when a controller cannot be enabled, and when a limit
    /// or device rule cannot be applied, naming its field.
    pub fn create(location: &Location, writes: &[Write], devices: &[DeviceRule]) -> Result<Self> {
        let mut made = Made::default();
        let mut directories = Vec::new();
        for group in &location.groups {
            directories.push(Some(make(
                group,
                &enabled_for(location, group, writes),
                &mut made,
            )?));
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
        let cgroup = Self {
            location,
            directories,
        };
        cgroup.check_fit()?;
        cgroup.apply(writes)?;
        if !devices.is_empty() {
            cgroup.apply_devices(devices)?;
        }
        made.directories.clear();
        Ok(cgroup)
    }

    /// Opens the cgroup of an existing container; directories that are gone count as empty.
    ///
    /// # Errors
    /// When a directory exists and cannot be opened.
    pub fn open(location: &Location) -> Result<Self> {
        let open = |group: &Group| match filesystem::directory(&group.directory()) {
            Ok(directory) => Ok(Some(directory)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(error(format!("open {}", shown(&group.directory())), errno)),
        };
        Ok(Self {
            location: location.clone(),
            directories: location.groups.iter().map(open).collect::<Result<_>>()?,
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
                        format!("open {}", shown(&group.directory().join("tasks"))),
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
        let doing = || format!("open {}", shown(&self.location.groups[at].directory()));
        let directory = self.directories[at]
            .as_ref()
            .ok_or_else(|| error(doing(), Errno::NOENT))?;
        directory
            .try_clone()
            .map(Some)
            .map_err(|cause| Error::new(doing(), cause))
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

    /// Writes limits, also later ones. Some depend on each other (memory and swap, quota and period), and what the
    /// order must be depends on what was there: whatever the kernel calls invalid is tried again after the rest.
    ///
    /// # Errors
    /// For the first limit that cannot be applied, naming its field.
    pub fn apply(&self, writes: &[Write]) -> Result<()> {
        let mut again = Vec::new();
        for write in writes {
            match self.write(write) {
                Err((_, Errno::INVAL)) => again.push(write),
                result => result.map_err(|(file, errno)| self.unapplied(write, &file, errno))?,
            }
        }
        for write in again {
            self.write(write)
                .map_err(|(file, errno)| self.unapplied(write, &file, errno))?;
        }
        Ok(())
    }

    /// Writes to the first of the files that this kernel has; the error has the last file tried.
    fn write(&self, write: &Write) -> std::result::Result<(), (String, Errno)> {
        let Some((_, directory)) = self.of(&write.controller) else {
            return Err((write.file.clone(), Errno::NOENT));
        };
        let mut last = (write.file.clone(), Errno::NOENT);
        for (file, value) in write.candidates() {
            match filesystem::write(directory, file, value) {
                Ok(()) => return Ok(()),
                // EOPNOTSUPP: `io.bfq.weight` of a device that BFQ does not schedule.
                Err(errno @ (Errno::NOENT | Errno::OPNOTSUPP)) => last = (file.to_owned(), errno),
                Err(errno) => return Err((file.to_owned(), errno)),
            }
        }
        if last.1 == Errno::NOENT && write.is_absent_by_nature() {
            Ok(())
        } else {
            Err(last)
        }
    }

    fn unapplied(&self, write: &Write, file: &str, errno: Errno) -> Error {
        let path = self
            .of(&write.controller)
            .map(|(group, _)| group.directory().join(file));
        let path = path.map_or_else(|| quote(file), |path| shown(&path));
        if errno == Errno::NOENT {
            return Error::new(&write.field, format!("this kernel has no {path}"))
                .hint("leave the field out, or enable the feature in the kernel");
        }
        error(
            format!("{}: write {} to {path}", write.field, quote(&write.value)),
            errno,
        )
    }

    /// Reads every limit back and compares, knowing how the kernel rounds and prints.
    ///
    /// # Errors
    /// For the first that differs, naming its field.
    pub fn verify(&self, writes: &[Write]) -> Result<()> {
        for (at, write) in writes.iter().enumerate() {
            // A later write to the same line has replaced this one.
            let replaced = |later: &Write| readback::replaces(later, write);
            if writes[at + 1..].iter().any(replaced) {
                continue;
            }
            self.verify_one(write)?;
        }
        Ok(())
    }

    fn verify_one(&self, write: &Write) -> Result<()> {
        let Some((_, directory)) = self.of(&write.controller) else {
            return Err(self.unapplied(write, &write.file, Errno::NOENT));
        };
        let mut found = None;
        for (file, value) in write.candidates() {
            match filesystem::read(directory, file) {
                Ok(text) if readback::holds(file, value, &text) => return Ok(()),
                Ok(text) => {
                    found.get_or_insert((file, text));
                }
                Err(Errno::NOENT) => {}
                // Files that can only be written have nothing to compare.
                Err(Errno::INVAL | Errno::ACCESS) if !readback::is_known(file) => return Ok(()),
                Err(errno) => return Err(self.unapplied(write, file, errno)),
            }
        }
        match found {
            Some((file, text)) => Err(Error::new(
                &write.field,
                format!(
                    "{file} reads {} after {}",
                    quote(text.trim_end()),
                    quote(&write.value)
                ),
            )),
            None if write.is_absent_by_nature() => Ok(()),
            None => Err(self.unapplied(write, &write.file, Errno::NOENT)),
        }
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

    /// A cgroup that was there before may belong to someone else.
    fn check_fit(&self) -> Result<()> {
        for (group, directory) in self
            .location
            .groups
            .iter()
            .zip(self.directories.iter().flatten())
        {
            let name = shown(&group.directory());
            let processes = filesystem::processes(directory.as_fd())
                .map_err(|errno| error(format!("read the processes of {name}"), errno))?;
            if !processes.is_empty() {
                let cause = format!("{name} already holds {} processes", processes.len());
                return Err(Error::new("linux.cgroupsPath", cause)
                    .hint("choose a linux.cgroupsPath of the container's own"));
            }
        }
        if self.is_frozen()? {
            return Err(
                Error::new("linux.cgroupsPath", "the cgroup exists and is frozen")
                    .hint("thaw or remove it, or choose another linux.cgroupsPath"),
            );
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
        attach(directory, &program).map_err(|errno| {
            let path = shown(&group.directory());
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
            let path = shown(&group.directory().join(file));
            error(
                format!("linux.resources.devices: write {} to {path}", quote(line)),
                errno,
            )
        })?;
    }
    let text = filesystem::read(directory, "devices.list").map_err(|errno| {
        error(
            format!("read {}", shown(&group.directory().join("devices.list"))),
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

/// What was made so far; dropped before it is cleared, it removes that again, last first.
#[derive(Default)]
struct Made {
    directories: Vec<PathBuf>,
}

impl Drop for Made {
    fn drop(&mut self) {
        for path in self.directories.iter().rev() {
            match filesystem::remove(path) {
                // Busy: another container uses the parent by now.
                Ok(()) | Err(Errno::NOENT | Errno::BUSY | Errno::NOTEMPTY) => {}
                Err(errno) => log::warn!("remove {}: {errno}", shown(path)),
            }
        }
    }
}

/// v2 controllers to enable for a group: those with limits and, on v2 alone, those that statistics come from.
struct Enabled<'a> {
    needed: Vec<&'a str>,
    wanted: Vec<&'a str>,
}

fn enabled_for<'a>(location: &Location, group: &'a Group, writes: &[Write]) -> Enabled<'a> {
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
fn make(group: &Group, enabled: &Enabled<'_>, made: &mut Made) -> Result<OwnedFd> {
    let doing = |path: &str| format!("make cgroup {}", shown(&group.mountpoint.join(path)));
    let mount = filesystem::directory(&group.mountpoint)
        .map_err(|errno| error(format!("open {}", shown(&group.mountpoint)), errno))?;
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
            let path = shown(&group.mountpoint.join(&path));
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
