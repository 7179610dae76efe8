//! `create`, and the first half of `run`: state directory, cgroup, clone, handshake, hooks.
//! Whatever fails, everything that was made is unmade; the guard at the end of the file does it.

use std::cell::Cell;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use super::child::{CgroupFds, Child, Listening};
use super::claim::{self, Claimant};
use super::console::{Console, Presence, Streams, socket};
use super::kill::{Whom, kill};
use super::net_devices::NetDevices;
use super::prepare::Prepared;
use super::signals::{Deadline, Patience};
use super::whole::write_whole;
use super::{
    Entry, Phase, State, Status, Store, delete, group, hooks, owner, process, signals, start,
    timestamp,
};
use crate::cgroup::{Cgroup, Location, Mark};
use crate::error::{Doing, Error, Result, quote, quote_path};
use crate::init::Release;
use crate::seccomp::{Watch, notify};
use crate::spec::Hooks;
use crate::watch::Supervisor;

/// What `create` and `run` are asked for beside the bundle.
#[derive(Debug, Default, Clone)]
pub struct Request {
    /// Container id.
    pub id: String,
    /// Socket that gets the master end of the process's terminal.
    pub console_socket: Option<PathBuf>,
    /// Where to write the process id.
    pub pid_file: Option<PathBuf>,
    /// Socket that gets a pidfd of the process.
    pub pidfd_socket: Option<PathBuf>,
    /// Descriptors after standard error that the program inherits.
    pub preserve_fds: u32,
    /// Name of the profile that was applied.
    pub profile: String,
    /// Whether a person waits for it, who may ask twice for its end.
    pub is_interactive: bool,
}

impl Request {
    fn patience(&self) -> Patience {
        if self.is_interactive {
            Patience::Once
        } else {
            Patience::Endless
        }
    }
}

/// Makes a container and leaves it waiting for `start`.
///
/// # Errors
/// The step that failed; nothing is left of the container then.
pub fn create(store: &Store, prepared: Prepared, request: &Request) -> Result<()> {
    refuse_time(&prepared)?;
    let mut console = console(&prepared, request, Presence::Leaves)?;
    let entry = store.reserve(&request.id)?;
    let listener = start::listen(&entry)?;
    let mut making = Making::begin(store, entry, prepared, request, Release::Connect(listener))?;
    making.handshake(request, &mut console)?;
    making.finish().map(drop)
}

/// How `run` treats the container once it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attachment {
    /// Wait for it, forward signals, delete it.
    Foreground,
    /// The same, but keep it once it has stopped.
    Keep,
    /// Leave it alone.
    Detached,
}

/// The exit code of what SIGKILL ended.
const KILLED: i32 = 128 + libc::SIGKILL;

/// The exit code of a container that ran longer than its profile allows; that of timeout(1).
const OUT_OF_TIME: i32 = 124;

/// Makes and starts a container in one go; the exit code of its program, or 0 when detached. Where the plan has system calls
/// watched, `supervisor` is who is asked about them, as long as the program runs. One that watches nothing learns which limits
/// were hit.
///
/// # Errors
/// The step that failed; nothing is left of the container then.
pub fn run(
    store: &Store,
    prepared: Prepared,
    request: &Request,
    attachment: Attachment,
    mut supervisor: Option<&mut Supervisor>,
) -> Result<i32> {
    let presence = match attachment {
        Attachment::Detached => Presence::Leaves,
        Attachment::Foreground | Attachment::Keep => Presence::Stays,
    };
    if presence == Presence::Leaves {
        refuse_time(&prepared)?;
    }
    let mut console = console(&prepared, request, presence)?;
    let signals = match presence {
        Presence::Leaves => None,
        Presence::Stays => Some(signals::Forwarded::block(request.patience())?),
    };
    let entry = store.reserve(&request.id)?;
    let mut making = Making::begin(store, entry, prepared, request, Release::Link)?;
    making.handshake(request, &mut console)?;
    making.start(supervisor.as_deref_mut())?;
    let relay = console.relay()?;
    let (entry, state, pidfd) = making.finish()?;
    let Some(signals) = signals else { return Ok(0) };
    let (time, is_over) = (state.limits.time, Cell::new(false));
    let end = || {
        is_over.set(true);
        end_all(&entry)
    };
    let at = time.and_then(|time| Instant::now().checked_add(Duration::from_secs(time.seconds)));
    let deadline = at.map(|at| Deadline { at, end: &end });
    let mut code = signals.wait(pidfd.as_fd(), relay, supervisor.as_deref_mut(), deadline)?;
    if let (Some(supervisor), Some(location)) = (supervisor, &state.cgroup) {
        supervisor.read_peaks(location);
        supervisor.read_limits(location);
    }
    if let (true, Some(time)) = (is_over.get(), time) {
        log::warn!("the time limit ({time}) was reached: the container was killed");
        code = OUT_OF_TIME;
    } else if code == KILLED
        && let Some(limit) = group::memory_that_ran_out(&state)
    {
        log::warn!("the memory limit{limit} was reached: killed by the kernel");
    }
    if attachment == Attachment::Foreground {
        let _lock = entry.lock()?;
        delete::destroy(&entry, &state)?;
    }
    Ok(code)
}

/// All processes of a container, whatever they do about it.
fn end_all(entry: &Entry) -> Result<()> {
    let ended = kill(entry, libc::SIGKILL, Whom::Init);
    match entry.state()?.status(entry) {
        // It was faster.
        Status::Stopped => Ok(()),
        _ => ended,
    }
}

/// Nobody would be there when the time is over.
fn refuse_time(prepared: &Prepared) -> Result<()> {
    let Some(time) = prepared.limits.time else {
        return Ok(());
    };
    let name = quote(&prepared.confinement.profile.name);
    let doing = format!("limits.time of profile {name}");
    let cause =
        format!("nothing of stockade waits for a detached container to end it after {time}");
    Err(Error::new(doing, cause)
        .hint("run it in the foreground, by launch or run, or under a profile without limits.time"))
}

/// Where the terminal goes, if the config wants one.
fn console(prepared: &Prepared, request: &Request, presence: Presence) -> Result<Console> {
    let process = prepared.tightened.config.process.as_ref();
    let streams = Streams::of(process);
    Console::open(streams, request.console_socket.as_deref(), presence)
}

/// A container while it is being made. Dropped before `finish`, it takes everything back.
struct Making {
    child: Option<Child>,
    net_devices: Option<NetDevices>,
    cgroup: Option<Cgroup>,
    entry: Option<Entry>,
    prepared: Prepared,
    state: State,
    pidfd_socket: Option<OwnedFd>,
    hooks_began: bool,
}

impl Making {
    fn begin(
        store: &Store,
        entry: Entry,
        prepared: Prepared,
        request: &Request,
        release: Release,
    ) -> Result<Self> {
        let mut state = first_state(&prepared, request, &entry)?;
        let pidfd_socket =
            socket::pidfd_socket(socket::Use::Init, request.pidfd_socket.as_deref())?;
        if let Some(wanted) = &prepared.plan.cgroup {
            check_cgroup(store, &entry, &wanted.location)?;
            check_default_cgroup(&prepared, &wanted.location)?;
            if let Some(location) = state.cgroup.as_mut().filter(|own| own.unit.is_none()) {
                location.made = Cgroup::missing(location);
            }
        }
        let mut making = Self {
            child: None,
            net_devices: None,
            cgroup: None,
            entry: Some(entry),
            prepared,
            state,
            pidfd_socket,
            hooks_began: false,
        };
        // Written before anything else is made: `delete --force` finds the cgroup even if this process is killed.
        making.write_state()?;
        let entry = making.entry.as_ref().expect("kept until finish");
        making.prepared.confinement.write(entry)?;
        let fds = making.make_cgroup()?;
        let child = Child::spawn(&making.prepared.plan, fds, release, request.preserve_fds)?;
        making.state.pid = child.pid;
        making.state.start_time = process::start_time(child.pid).unwrap_or(0);
        making.child = Some(child);
        making.start_scope()?;
        making.move_net_devices()?;
        making.write_state()?;
        Ok(making)
    }

    fn move_net_devices(&mut self) -> Result<()> {
        let devices = &self.prepared.plan.net_devices;
        if let (false, Some(child)) = (devices.is_empty(), &mut self.child) {
            self.net_devices = Some(NetDevices::enter(devices, child.network_namespace()?)?);
        }
        Ok(())
    }

    /// systemd takes a scope only with a process in it, so that this comes after the clone; the child waits for message 1.
    fn start_scope(&mut self) -> Result<()> {
        let wanted = self.prepared.plan.cgroup.as_ref();
        let Some(wanted) = wanted.filter(|wanted| wanted.location.unit.is_some()) else {
            return Ok(());
        };
        let started = Cgroup::start_scope(&wanted.location, &wanted.properties, self.state.pid)?;
        let started = self.state.cgroup.insert(started);
        let cgroup = Cgroup::limit_scope(started, &wanted.writes, &wanted.devices)?;
        if let Some(owner) = wanted.owner {
            cgroup.give_to(owner)?;
        }
        self.cgroup = Some(cgroup);
        Ok(())
    }

    fn make_cgroup(&mut self) -> Result<CgroupFds> {
        let Some(wanted) = &self.prepared.plan.cgroup else {
            return Ok(CgroupFds::default());
        };
        // A failure has taken back what was made; what is there then is not ours to remove.
        let location = self.state.cgroup.take();
        if wanted.location.unit.is_some() {
            return Ok(CgroupFds::default());
        }
        let location = location.as_ref().unwrap_or(&wanted.location);
        let cgroup = Cgroup::create(location, &wanted.writes, &wanted.devices)?;
        let cgroup = self.cgroup.insert(cgroup);
        self.state.cgroup = Some(cgroup.location().clone());
        if let Some(owner) = wanted.owner {
            cgroup.give_to(owner)?;
        }
        Ok(CgroupFds {
            tasks: cgroup.task_files()?,
            directory: cgroup.directory()?,
        })
    }

    /// Messages 1 to 4 with the hooks between them.
    fn handshake(&mut self, request: &Request, console: &mut Console) -> Result<()> {
        let terminal = self.explained(|making| making.child().proceed())?; // 1, 2
        console.take(terminal)?;
        self.hooks_began = true;
        let document = self.state.for_hooks(Status::Creating);
        let hooks = self.hooks();
        let process = Some(self.child().pidfd.as_fd());
        hooks::run(&hooks.prestart, "prestart", &document, process)?;
        hooks::run(&hooks.create_runtime, "createRuntime", &document, process)?;
        self.explained(|making| making.child().proceed())?; // 3, 4
        if let (Some(cgroup), Some(wanted)) = (&self.cgroup, &self.prepared.plan.cgroup) {
            cgroup.verify(&wanted.writes)?;
        }
        self.state.phase = Phase::Created;
        self.write_state()?;
        if let Some(socket) = self.pidfd_socket.take() {
            let pidfd = self.child().pidfd.as_fd();
            socket::send(socket::Use::Init, socket.as_fd(), pidfd)?;
        }
        if let Some(path) = &request.pid_file {
            write_pid_file(path, self.state.pid)?;
        }
        Ok(())
    }

    /// Messages 5 and 6.
    fn start(&mut self, mut supervisor: Option<&mut Supervisor>) -> Result<()> {
        // Whatever the program makes of a device, the host does not take it back.
        self.leave_net_devices();
        self.explained(|making| {
            let state = &making.state;
            let deliver = |listener: BorrowedFd<'_>| deliver(state, state.pid, listener);
            let listening = match supervisor.take() {
                Some(supervisor) if supervisor.watch() != Watch::Nothing => {
                    Listening::Own(supervisor)
                }
                // A listener there is the config's.
                _ => Listening::Agent(&deliver),
            };
            making.child().start(&state.root, listening)
        })?;
        after_start(&self.state)
    }

    fn child(&self) -> &Child {
        self.child.as_ref().expect("cloned by begin")
    }

    fn hooks(&self) -> Hooks {
        self.state.config.hooks.clone().unwrap_or_default()
    }

    fn leave_net_devices(&mut self) {
        if let Some(devices) = self.net_devices.take() {
            devices.leave();
        }
    }

    fn write_state(&self) -> Result<()> {
        self.entry
            .as_ref()
            .expect("kept until finish")
            .write(&self.state)
    }

    /// A failure while the memory limit was hit is a failure of the limit.
    fn explained<T>(&self, act: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        act(self).map_err(|error| {
            let ran_out = self.cgroup.as_ref().is_some_and(|cgroup| cgroup.oom_killed().unwrap_or(false));
            if !ran_out {
                return error;
            }
            error.hint("the memory limit is below what a container needs to start: raise linux.resources.memory.limit")
        })
    }

    /// The container stays.
    fn finish(mut self) -> Result<(Entry, State, Rc<OwnedFd>)> {
        self.entry.as_mut().expect("kept until here").keep()?;
        self.leave_net_devices();
        let entry = self.entry.take().expect("kept until here");
        let pidfd = self.child.take().expect("cloned by begin").release();
        Ok((entry, self.state.clone(), pidfd))
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        let Some(entry) = self.entry.take() else {
            return;
        };
        // The process first, then what it lived in.
        drop(self.child.take());
        drop(self.net_devices.take());
        self.state.pid = 0;
        if !self.hooks_began {
            self.state.config.hooks = None;
        }
        if let Err(error) = delete::destroy(&entry, &self.state) {
            log::warn!("{error}");
        }
    }
}

/// Whoever clears a container away kills what is in its cgroup, so that no two may name the same; those of another state
/// directory are known by their claim on it. What has lost its container is taken away. An empty cgroup that no container
/// has made is taken as it is, with the limits that somebody may have given it.
fn check_cgroup(store: &Store, entry: &Entry, location: &Location) -> Result<()> {
    let found = Cgroup::check_free(location)?;
    if !found.is_any {
        return Ok(());
    }
    for claimant in &found.claimants {
        match claim::look(claimant, entry.path()) {
            Claimant::Here(path) => return Err(taken(&path)),
            Claimant::Elsewhere(path) => return Err(taken_elsewhere(&path, location)),
            Claimant::Gone => {}
        }
    }
    if !found.claimants.is_empty() {
        return Cgroup::remove_claimed(location, &found.claimants);
    }
    let names_it = |other: &Entry| {
        let cgroup = other.remains().and_then(|remains| remains.cgroup);
        other.id() != entry.id() && cgroup.is_some_and(|cgroup| cgroup.groups == location.groups)
    };
    match store.list()?.iter().find(|other| names_it(other)) {
        None => Ok(()),
        Some(other) => Err(taken(other.path())),
    }
}

/// A cgroup that the config does not name is no one else's: others may have one by the name of a container, and what is set
/// there holds for all below.
fn check_default_cgroup(prepared: &Prepared, location: &Location) -> Result<()> {
    let linux = prepared.tightened.config.linux.as_ref();
    let path = linux.and_then(|linux| linux.cgroups_path.as_deref());
    if path.is_some_and(|path| !path.is_empty()) || !Cgroup::check_free(location)?.has_children {
        return Ok(());
    }
    let cause =
        "container's cgroup is not empty: there are cgroups below the one that is called by the id";
    Err(Error::new("linux.cgroupsPath", cause)
        .hint("choose another id, or a linux.cgroupsPath of the container's own"))
}

/// By the state directory of the container that has the cgroup.
fn taken(path: &Path) -> Error {
    let id = path.file_name().unwrap_or_default().as_encoded_bytes();
    let root = quote_path(path.parent().unwrap_or(path));
    let cause = format!("it is the cgroup of container {}, --root {root}", quote(id));
    Error::new("linux.cgroupsPath", cause).hint("choose another, or delete that container first")
}

/// The same where that directory cannot be seen.
fn taken_elsewhere(path: &Path, location: &Location) -> Error {
    let path = quote_path(path);
    let cause = format!("a container claims it whose state, {path}, is not to be seen from here");
    let groups = location.groups.iter();
    let groups: Vec<String> = groups.map(|group| quote_path(&group.directory())).collect();
    Error::new("linux.cgroupsPath", cause).hint(format!(
        "choose another, or, if that container is gone: rmdir {}",
        groups.join(" ")
    ))
}

/// What is known before anything is made.
fn first_state(prepared: &Prepared, request: &Request, entry: &Entry) -> Result<State> {
    let config = &prepared.tightened.config;
    let root = config.root.as_ref().map_or("", |root| root.path.as_str());
    let mark = Mark::Claimed(claim::of(entry)?);
    Ok(State {
        oci_version: config.oci_version.clone(),
        id: request.id.clone(),
        bundle: prepared.bundle.path.clone(),
        pid: 0,
        start_time: 0,
        phase: Phase::Creating,
        created: timestamp(SystemTime::now()),
        annotations: config.annotations.clone(),
        owner: owner(rustix::process::geteuid().as_raw()),
        root: prepared.bundle.path.join(root),
        config: config.clone(),
        cgroup: prepared.plan.cgroup.as_ref().map(|cgroup| Location {
            mark,
            ..cgroup.location.clone()
        }),
        plan: prepared.plan.subjects(),
        filters: prepared.plan.filters.len(),
        profile: request.profile.clone(),
        limits: prepared.limits.clone(),
        chosen_by: prepared.origin,
        changes: prepared.tightened.changes.clone(),
    })
}

/// What follows a successful start: the parent looks at what only it can see, and the poststart hooks run.
pub(super) fn after_start(state: &State) -> Result<()> {
    if process::never_executed(state.pid, state.start_time) {
        return Err(Error::new(
            "start the container",
            "init was killed before it executed the program",
        )
        .hint("a seccomp filter that kills on execve does this, and so does a memory limit"));
    }
    verify_filters(state.pid, state.filters)?;
    let document = state.for_hooks(Status::Running);
    let hooks = state.config.hooks.clone().unwrap_or_default();
    // They have their end whether the program is a short one or not.
    hooks::run(&hooks.poststart, "poststart", &document, None)
}

/// The last part of the read-back: that the filters are in force can only be seen from outside, once the program runs.
pub(super) fn verify_filters(pid: i32, filters: usize) -> Result<()> {
    // A program may have ended already; what it was is then no longer there to be read.
    let Ok(text) = std::fs::read_to_string(format!("/proc/{pid}/status")) else {
        return Ok(());
    };
    let number = |key: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(key)?.trim().parse().ok())
    };
    let found: usize = number("Seccomp_filters:").unwrap_or(0);
    let has_ended = text
        .lines()
        .any(|line| line.starts_with("State:\tZ") || line.starts_with("State:\tX"));
    if found >= filters || has_ended {
        return Ok(());
    }
    let cause = format!("{found} seccomp filters are in force, {filters} were installed");
    Err(Error::new("verify what the kernel says", cause))
}

/// The container process state with the listener (config-linux.md, "The Container Process State"), for the filters of `pid`.
pub(super) fn deliver(state: &State, pid: i32, listener: BorrowedFd<'_>) -> Result<()> {
    let seccomp = state
        .config
        .linux
        .as_ref()
        .and_then(|linux| linux.seccomp.as_ref());
    let path = seccomp.and_then(|seccomp| seccomp.listener_path.as_deref());
    let path = path.ok_or_else(|| {
        Error::new(
            "linux.seccomp.listenerPath",
            "a filter that notifies needs it",
        )
    })?;
    let metadata = seccomp
        .and_then(|seccomp| seccomp.listener_metadata.clone())
        .unwrap_or_default();
    let status = if pid == state.pid {
        Status::Created
    } else {
        Status::Running
    };
    let document = serde_json::json!({
        "ociVersion": state.config.oci_version,
        "fds": ["seccompFd"],
        "pid": pid,
        "metadata": metadata,
        "state": state.for_hooks(status),
    });
    notify::deliver(Path::new(path), &document.to_string(), listener)
}

/// Whoever waits for the file reads it at once.
pub(super) fn write_pid_file(path: &Path, pid: i32) -> Result<()> {
    write_whole(path, &pid.to_string()).doing(|| format!("write the pid file {}", quote_path(path)))
}
