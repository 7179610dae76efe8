//! `exec`: a process enters a running container and is held to everything that the container is held to.
//! Where the container is, is in `target`; what the process is, in `entrant`; the order of confinement, in `plan`.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::rc::Rc;

use super::child::{Child, Listening, descriptors, kept};
use super::console::{Console, Presence, Streams, socket};
use super::create::{deliver, verify_filters, write_pid_file};
use super::entrant::{Entrant, Wanted};
use super::prepare::own_limits;
use super::signals::{First, Forwarded, Patience};
use super::target::{Target, doing, gone};
use super::{Attachment, Confinement, Entry, State, Status, group, process};
use crate::cgroup::{Cgroup, Entrance, Layout, Sub};
use crate::error::{Doing, Error, Result, quote};
use crate::host;
use crate::image::read_inside;
use crate::init::{self, Release};
use crate::plan::{self, Inputs, Joining, Options, Plan, RootOf};
use crate::profile::{self, Change, Facts, Tightened};
use crate::spec::{Bundle, Config, NamespaceType, Process};
use crate::sys::Errno;
use crate::sys::clone::{Side, clone3};

/// What `exec` is asked for.
#[derive(Debug, Clone)]
pub struct Execution {
    /// The process.
    pub wanted: Wanted,
    /// Cgroups below the container's that it enters.
    pub cgroups: Vec<Sub>,
    /// Socket that gets the master end of its terminal.
    pub console_socket: Option<PathBuf>,
    /// Where to write its process id.
    pub pid_file: Option<PathBuf>,
    /// Socket that gets a pidfd of it.
    pub pidfd_socket: Option<PathBuf>,
    /// Descriptors after standard error that it inherits.
    pub preserve_fds: u32,
    /// Whether it is waited for.
    pub attachment: Attachment,
    /// Whether a paused container is entered, to wait there for its resumption.
    pub paused: Paused,
    /// An open file to execute in place of the first argument, by the number of its descriptor.
    pub program: Option<i32>,
    /// Open files in place of the caller's standard streams, by the numbers of their descriptors, above 2.
    pub streams: Option<[i32; 3]>,
}

/// What a paused container means to `exec`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paused {
    /// An error.
    Refused,
    /// The process waits until the container goes on.
    Awaited,
}

/// Runs a process in a container; the exit code of its program, or 0 when detached.
///
/// # Errors
/// The container is not one to enter, or the step that failed; nothing is left of the process then.
pub fn exec(entry: &Entry, request: &Execution) -> Result<i32> {
    let mut state = entry.state()?;
    check_status(entry, &state, request.paused)?;
    let target = Target::open(&state)?;
    let cgroup = state.cgroup.as_ref();
    let cgroup = cgroup.map(|cgroup| group::own(Some(cgroup), &doing(&state.id)));
    let cgroup = cgroup.transpose()?;
    let mut entrance = match &cgroup {
        Some(cgroup) => cgroup.entrance(&request.cgroups)?,
        None if request.cgroups.is_empty() => Entrance::default(),
        None => return Err(Error::new("use --cgroup", "the container has no cgroup")),
    };
    let joining = joining(&state, &target, cgroup.as_ref(), &entrance)?;
    let plan = Rc::new(plan(entry, &mut state, &target, request, &joining)?);
    let presence = match request.attachment {
        Attachment::Detached => Presence::Leaves,
        Attachment::Foreground | Attachment::Keep => Presence::Stays,
    };
    let streams = Streams::of(state.config.process.as_ref());
    let mut console = Console::open(streams, request.console_socket.as_deref(), presence)?;
    let pidfd_socket = socket::pidfd_socket(socket::Use::Exec, request.pidfd_socket.as_deref())?;
    let mut signals = match presence {
        Presence::Leaves => None,
        Presence::Stays => Some(Forwarded::block(Patience::Endless)?),
    };
    let (link, mut fds) = descriptors(&plan, std::mem::take(&mut entrance.tasks), Release::Link)?;
    fds.container = Some(target.for_child()?);
    fds.keep = kept(&plan, &fds, request.preserve_fds);
    if plan.is_moved {
        entrance.directory = None;
    }
    let cloned = clone_into(cgroup.as_ref(), &entrance, &target, request);
    let cloned = match cloned.map_err(|error| explain_clone(error, &state.id, &target))? {
        Side::Child => init::enter(&plan, &mut fds),
        Side::Parent(pid, pidfd) => (pid, pidfd),
    };
    drop(fds);
    let mut child = Child::entering(&plan, cloned, link);
    let moved = child.moved(|pid| match &cgroup {
        Some(cgroup) => cgroup.move_in(pid, &request.cgroups, &target.cgroups()?),
        None => Ok(()),
    });
    let signalled = signals.as_mut();
    let settled =
        moved.and_then(|()| settle(&mut child, &plan, &state, &target, signalled, &mut console));
    if let Err(error) = settled {
        child.give_up();
        return Err(error);
    }
    if joining.namespaces & libc::CLONE_NEWPID == 0 {
        check_outlived(&child, &state.id, &target)?;
    }
    announce(&child, request, pidfd_socket)?;
    let relay = console.relay()?;
    let pidfd = child.release();
    signals.map_or(Ok(0), |signals| {
        signals.wait(pidfd.as_fd(), relay, None, None)
    })
}

/// What a container's config and profile come to, for whoever wants to know what is promised inside.
///
/// # Errors
/// State that cannot be read.
pub fn confined(entry: &Entry) -> Result<Tightened> {
    let state = entry.state()?;
    let profile = Confinement::read(entry)?.profile;
    let facts = Facts::of_process()?.with_kernel(&profile);
    let mut tightened = profile::tighten(&state.config, &profile, &facts)?;
    // It was tightened when it was created, on the facts of that time.
    tightened.config = state.config;
    Ok(tightened)
}

/// Tells the caller which process it is, by the two ways that there are.
fn announce(child: &Child, request: &Execution, socket: Option<OwnedFd>) -> Result<()> {
    if let Some(socket) = socket {
        socket::send(socket::Use::Exec, socket.as_fd(), child.pidfd.as_fd())?;
    }
    match &request.pid_file {
        Some(path) => write_pid_file(path, child.pid),
        None => Ok(()),
    }
}

/// What the plan has to know of the container.
fn joining(
    state: &State,
    target: &Target,
    cgroup: Option<&Cgroup>,
    entrance: &Entrance,
) -> Result<Joining> {
    let namespaces = target.namespaces(&state.id, &state.config)?;
    let differs = |flag: i32| namespaces & flag != 0;
    Ok(Joining {
        namespaces,
        denies_setgroups: differs(libc::CLONE_NEWUSER) && target.denies_setgroups()?,
        has_v1_cgroups: !entrance.tasks.is_empty(),
        is_moved: cgroup.is_some_and(|cgroup| !cgroup.is_in_reach()),
        root: root_of(&state.config),
    })
}

/// The texts are those of runc, which its callers know.
fn check_status(entry: &Entry, state: &State, paused: Paused) -> Result<()> {
    let refuse = |cause: &str| Err(Error::new(doing(&state.id), cause));
    match state.status(entry) {
        Status::Created | Status::Running => Ok(()),
        Status::Paused if paused == Paused::Awaited => Ok(()),
        Status::Paused => refuse("cannot exec in a paused container")
            .map_err(|error: Error| error.hint("resume it, or wait for that by --ignore-paused")),
        Status::Stopped => refuse("cannot exec in a stopped container"),
        Status::Creating => refuse("it is being created"),
    }
}

/// A mount namespace that was joined by path has a root of its own, and the container was put elsewhere by chroot(2).
fn root_of(config: &Config) -> RootOf {
    let mut namespaces = config.linux.iter().flat_map(|linux| &linux.namespaces);
    let is_joined = namespaces
        .any(|namespace| namespace.kind == NamespaceType::Mount && namespace.path.is_some());
    if is_joined {
        RootOf::Process
    } else {
        RootOf::Namespace
    }
}

/// Reads the process, holds it to the container's profile and computes the plan. The state's config becomes the one that
/// the plan is of.
fn plan(
    entry: &Entry,
    state: &mut State,
    target: &Target,
    request: &Execution,
    joining: &Joining,
) -> Result<Plan> {
    let confinement = Confinement::read(entry)?;
    let root = target.root();
    let entrant = Entrant::read(&request.wanted, state, &root)?;
    entrant
        .warnings
        .iter()
        .for_each(|warning| log::warn!("{warning}"));
    let tightened = tighten(entrant.process, state, &confinement, &request.wanted)?;
    state.config.process.clone_from(&tightened.config.process);
    state.config.hooks = None;
    let home = tightened
        .config
        .process
        .as_ref()
        .and_then(|process| home(process, &root));
    let bundle = Bundle {
        path: state.bundle.clone(),
        file: entrant.file,
        config: tightened.config,
        warnings: Vec::new(),
    };
    let plan = plan::exec(
        &Inputs {
            bundle: &bundle,
            config: &state.config,
            habits: confinement.profile.habits(),
            profile_filter: tightened.filter.as_ref(),
            landlock: tightened.landlock.as_ref(),
            hardening: tightened.hardening,
            host: &host::Facts::read()?,
            layout: &Layout::default(),
            location: None,
            home,
            limits: own_limits(&state.config)?,
            system_mounts: Vec::new(),
            options: Options {
                keyring: confinement.keyring,
                preserve_fds: request.preserve_fds,
                program: request.program,
                streams: request.streams,
                ..Options::default()
            },
            id: &state.id,
        },
        joining,
    )?;
    tell(&plan);
    Ok(plan)
}

fn tell(plan: &Plan) {
    let warnings = plan.warnings.iter();
    warnings.for_each(|warning| log::warn!("{warning}"));
    if log::log_enabled!(log::Level::Debug) {
        let lines = plan.debug_lines();
        lines.iter().for_each(|line| log::debug!("{line}"));
    }
}

/// Holds a process to the container's profile, by the rules for any config.
fn tighten(
    process: Process,
    state: &State,
    confinement: &Confinement,
    wanted: &Wanted,
) -> Result<Tightened> {
    let asked = Config {
        oci_version: state.oci_version.clone(),
        process: Some(process),
        root: None,
        hostname: None,
        domainname: None,
        mounts: Vec::new(),
        hooks: None,
        annotations: state.annotations.clone(),
        linux: None,
    };
    let facts = Facts::of_process()?.with_kernel(&confinement.profile);
    let tightened = profile::tighten_process(&asked, &confinement.profile, &facts)
        .map_err(|refusal| advise(refusal, &asked, confinement, &facts))?;
    tightened
        .warnings
        .iter()
        .for_each(|warning| log::warn!("{warning}"));
    match wanted {
        // Whoever types a flag should learn that it had no effect.
        Wanted::Command(_) => tightened
            .changes
            .iter()
            .filter(|change| change.is_of_config())
            .for_each(|change| log::warn!("{change}")),
        Wanted::Document(_) => tightened.changes.iter().for_each(Change::log),
    }
    Ok(tightened)
}

/// What to do about a refusal: a container keeps the profile that it was created under.
fn advise(refusal: Error, asked: &Config, confinement: &Confinement, facts: &Facts) -> Error {
    match profile::accepting(&confinement.profile, asked, facts) {
        Some(name) => {
            let name = quote(name);
            refusal.hint_too(format!(
                "a container keeps the profile that it was created under; profile {name} accepts this"
            ))
        }
        None => refusal,
    }
}

/// HOME of the user by the container's passwd(5), where the environment has none.
fn home(process: &Process, root: &std::path::Path) -> Option<String> {
    if plan::has_home(&process.env) {
        return None;
    }
    let text = String::from_utf8(read_inside(root, c"etc/passwd")?).ok()?;
    plan::home_of(process.user.uid, &text)
}

/// Clones into the v2 cgroup. Where that cannot hold processes any more, since the container has divided it, the process
/// goes where the container's first one is; unless the caller has named a cgroup.
fn clone_into(
    cgroup: Option<&Cgroup>,
    entrance: &Entrance,
    target: &Target,
    request: &Execution,
) -> Result<Side> {
    let doing = || "clone a process into the container";
    let cloned = clone3(0, entrance.directory.as_ref().map(AsFd::as_fd));
    match (cloned, cgroup) {
        (Err(Errno::BUSY | Errno::OPNOTSUPP), Some(cgroup)) if request.cgroups.is_empty() => {
            let directory: Option<OwnedFd> = cgroup.directory_of(&target.cgroups()?)?;
            clone3(0, directory.as_ref().map(AsFd::as_fd)).doing(doing)
        }
        (cloned, _) => cloned.doing(doing),
    }
}

/// A pid namespace whose first process has ended takes no more, and neither does a cgroup that is gone.
fn explain_clone(error: Error, id: &str, target: &Target) -> Error {
    match target.is_alive() {
        Ok(false) => gone(id),
        _ => error,
    }
}

/// Messages 1 to 5, and a look at what only shows from outside.
fn settle(
    child: &mut Child,
    plan: &Plan,
    state: &State,
    target: &Target,
    mut signals: Option<&mut Forwarded>,
    console: &mut Console,
) -> Result<()> {
    hear(child, state, signals.as_deref_mut())?;
    let followed = child.follow();
    if followed.is_ok() && plan.joins_first {
        hear(child, state, signals)?;
    }
    let child = &*child;
    let deliver = |listener: std::os::fd::BorrowedFd<'_>| deliver(state, child.pid, listener);
    let waited = followed
        .and_then(|()| take_terminal(child, console))
        .and_then(|()| child.wait_for_program(&target.root(), Listening::Agent(&deliver)));
    let started = process::start_time_of_child(child.pid).unwrap_or(0);
    // A container that ends takes the process along, at whatever step it is.
    let is_over = |error: Error| {
        if target.is_alive().unwrap_or(true) {
            error
        } else {
            gone(&state.id)
        }
    };
    waited.map_err(|error| match error.what_kind() {
        crate::error::Kind::Failed => is_over(error),
        _ => error,
    })?;
    if process::never_executed(child.pid, started) {
        let error = Error::new(
            doing(&state.id),
            "the process was killed before it executed the program",
        )
        .hint("a seccomp filter that kills on execve does this, and so does a memory limit");
        return Err(is_over(error));
    }
    verify_filters(child.pid, plan.filters.len())
}

/// Waits until the process has something to say or has ended, or the caller wants an end.
fn hear(child: &Child, state: &State, signals: Option<&mut Forwarded>) -> Result<()> {
    if let Some(signals) = signals
        && let First::End(number) = signals.wait_to_read(child.link(), child.pidfd.as_fd())?
    {
        let cause = format!("signal {number} came before the program ran");
        return Err(Error::new(doing(&state.id), cause));
    }
    Ok(())
}

/// Messages 3 and 4: the terminal has its size, or its new owner, before the program can look.
fn take_terminal(child: &Child, console: &mut Console) -> Result<()> {
    match console {
        Console::None => Ok(()),
        _ => {
            console.take(child.terminal()?)?;
            child.send_proceed()
        }
    }
}

/// Without a pid namespace of its own a container ends without those that entered it; `delete` kills whom it finds in the
/// cgroup, which may have been just before this process was there.
fn check_outlived(child: &Child, id: &str, target: &Target) -> Result<()> {
    if target.is_alive()? || process::wait(&child.pidfd, 0)? {
        Ok(())
    } else {
        Err(gone(id))
    }
}
