//! The parent's end of the handshake: clone, id maps, messages 1 to 6 as drawn in `link`.
//! What the child does with them is in `init`.

use std::ffi::CStr;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::mount::{OpenTreeFlags, open_tree};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::{id_map, process};
use crate::error::{Doing, Error, Result, quote};
use crate::image::open_inside;
use crate::init::{self, Descriptors, Release};
use crate::link::{self, Message};
use crate::plan::{Call, Failure, MountIds, Plan, Step};
use crate::spec::NamespaceType;
use crate::sys::clone::{Side, clone3};
use crate::sys::mount::{Change, Reach, change};
use crate::sys::{Errno, SysResult, attributes};
use crate::watch::Supervisor;

/// A cloned init and the way to talk to it. Dropped, it kills what it cloned; `release` lets it live.
#[derive(Debug)]
pub(super) struct Child {
    /// Process id in the runtime's pid namespace.
    pub(super) pid: i32,
    /// The same process, whatever becomes of its id.
    pub(super) pidfd: Rc<OwnedFd>,
    link: OwnedFd,
    plan: Rc<Plan>,
    /// What it is about to do, for errors.
    doing: &'static str,
    is_ours: bool,
    /// The network namespace that it joins by its path, if network devices go there.
    network: Option<OwnedFd>,
}

/// The descriptors of the cgroup, as the plan needs them.
#[derive(Debug, Default)]
pub(super) struct CgroupFds {
    pub(super) tasks: Vec<OwnedFd>,
    pub(super) directory: Option<OwnedFd>,
}

impl Child {
    /// Clones init and brings it to the point where it waits for the first message; maps its ids.
    pub(super) fn spawn(
        plan: &Rc<Plan>,
        cgroup: CgroupFds,
        release: Release,
        preserve: u32,
    ) -> Result<Self> {
        let (ours, mut fds) = descriptors(plan, cgroup.tasks, release)?;
        fds.keep = kept(plan, &fds, preserve);
        let network = joined_network(plan, &fds.namespaces)?;
        let flags = if plan.joins_first {
            0
        } else {
            plan.new_namespaces
        };
        let cloned = clone3(flags, cgroup.directory.as_ref().map(AsFd::as_fd));
        let (pid, pidfd) = match cloned.map_err(|errno| clone_failed(plan, errno))? {
            Side::Child => init::run(plan, &mut fds),
            Side::Parent(pid, pidfd) => (pid, pidfd),
        };
        drop(fds);
        let mut child = Self {
            pid,
            pidfd: Rc::new(pidfd),
            link: ours,
            plan: Rc::clone(plan),
            doing: "start the container",
            is_ours: true,
            network,
        };
        if plan.joins_first {
            child.follow_fork()?;
        }
        child.map_ids(plan)?;
        Ok(child)
    }

    /// Takes over a process that was cloned to enter a container.
    pub(super) fn entering(plan: &Rc<Plan>, (pid, pidfd): (i32, OwnedFd), link: OwnedFd) -> Self {
        Self {
            pid,
            pidfd: Rc::new(pidfd),
            link,
            plan: Rc::clone(plan),
            doing: "enter the container",
            is_ours: true,
            network: None,
        }
    }

    /// Has the process moved into its cgroup, if it waits for that.
    pub(super) fn moved(&mut self, mover: impl FnOnce(i32) -> Result<()>) -> Result<()> {
        if self.plan.is_moved {
            mover(self.pid)?;
            self.send_proceed()?; // 0
        }
        Ok(())
    }

    /// Follows the process where it forks once more, and lets the new one go on.
    pub(super) fn follow(&mut self) -> Result<()> {
        if self.plan.joins_first {
            self.follow_fork()?; // 1
            self.send_proceed()?; // 2
        }
        Ok(())
    }

    /// The process in between ends; the one that it cloned is our child too (`CLONE_PARENT`).
    fn follow_fork(&mut self) -> Result<()> {
        let pid = match self.message_or_end()? {
            Some((Message::Cloned(pid), _)) => pid,
            other => return Err(self.broken(other)),
        };
        reap(self.pidfd.as_fd())?;
        let new =
            Pid::from_raw(pid).ok_or_else(|| Error::new("clone", "no process id came back"))?;
        self.pid = pid;
        let pidfd = pidfd_open(new, PidfdFlags::empty()).doing(|| "open the new process")?;
        self.pidfd = Rc::new(pidfd);
        Ok(())
    }

    fn map_ids(&self, plan: &Plan) -> Result<()> {
        if let Some(maps) = &plan.id_maps {
            id_map::write(self.pid, maps)?;
        }
        if let Some(score) = plan.oom_score {
            std::fs::write(
                format!("/proc/{}/oom_score_adj", self.pid),
                score.to_string(),
            )
            .map_err(|cause| {
                Error::new("process.oomScoreAdj", cause).hint("lowering it takes CAP_SYS_RESOURCE")
            })?;
        }
        for (resource, soft, hard) in &plan.raised_limits {
            attributes::set_limit_of(self.pid, *resource, *soft, *hard).map_err(|errno| {
                let name = crate::names::rlimit_name(*resource).unwrap_or("a limit");
                Error::new(
                    format!("process.rlimits: raise the hard limit {name} to {hard}"),
                    errno,
                )
                .hint("only CAP_SYS_RESOURCE raises a hard limit")
            })?;
        }
        Ok(())
    }

    /// The network namespace that the container will be in: that which it joins only after message 1, or its own already.
    pub(super) fn network_namespace(&mut self) -> Result<OwnedFd> {
        if let Some(joined) = self.network.take() {
            return Ok(joined);
        }
        let path = format!("/proc/{}/ns/net", self.pid);
        openat(CWD, &path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .doing(|| format!("open {}", quote(&path)))
    }

    /// Messages 1 and 2, or 3 and 4; the master end of the process's terminal, if it came meanwhile.
    pub(super) fn proceed(&self) -> Result<Option<OwnedFd>> {
        self.send_proceed()?;
        let mut terminal = None;
        loop {
            match self.next_message()? {
                Some((Message::Done, _)) => return Ok(terminal),
                Some((Message::Terminal, Some(master))) if terminal.is_none() => {
                    terminal = Some(master);
                }
                other => return Err(self.broken(other)),
            }
        }
    }

    /// Messages 5 and 6 on the link.
    pub(super) fn start(&self, root: &Path, listening: Listening<'_>) -> Result<()> {
        self.send_proceed()?;
        self.wait_for_program(root, listening)
    }

    /// The end of the handshake.
    pub(super) fn wait_for_program(&self, root: &Path, listening: Listening<'_>) -> Result<()> {
        let explain = |failure: &Failure, said: Option<&str>| {
            let candidate = self.plan.candidates.get(failure.detail as usize);
            let interpreter = candidate.and_then(|program| interpreter(failure, root, program));
            self.plan.explain(failure, said.or(interpreter.as_deref()))
        };
        wait_for_program(self.link.as_fd(), explain, listening)
    }

    /// Where the messages come from.
    pub(super) fn link(&self) -> BorrowedFd<'_> {
        self.link.as_fd()
    }

    /// The master end of the terminal of a process that enters a container, which comes before anything else does.
    pub(super) fn terminal(&self) -> Result<Option<OwnedFd>> {
        match self.next_message()? {
            Some((Message::Terminal, master)) => Ok(master),
            other => Err(self.broken(other)),
        }
    }

    pub(super) fn send_proceed(&self) -> Result<()> {
        match link::send(self.link.as_fd(), Message::Proceed) {
            // Gone already; what it said before it went is still to be read.
            Ok(()) | Err(Errno::PIPE) => Ok(()),
            Err(errno) => Err(Error::new("talk to init", errno)),
        }
    }

    fn next_message(&self) -> Result<Option<(Message, Option<OwnedFd>)>> {
        link::receive(&self.link).doing(|| "hear from init")
    }

    /// The next message; none where this very process has ended without one. What it has cloned holds the link open.
    fn message_or_end(&self) -> Result<Option<(Message, Option<OwnedFd>)>> {
        let mut fds = [
            PollFd::new(&self.link, PollFlags::IN),
            PollFd::new(&self.pidfd, PollFlags::IN),
        ];
        let doing = || "wait for init";
        rustix::io::retry_on_intr(|| poll(&mut fds, None)).doing(doing)?;
        if fds[0].revents().is_empty() {
            // It may have spoken between the looks at the one and the other.
            let now = Timespec::default();
            let spoke = rustix::io::retry_on_intr(|| poll(&mut fds[..1], Some(&now)));
            if spoke.doing(doing)? == 0 {
                return Ok(None);
            }
        }
        self.next_message()
    }

    fn broken(&self, message: Option<(Message, Option<OwnedFd>)>) -> Error {
        match message {
            Some((Message::Failed(failure), evidence)) => {
                self.plan.explain(&failure, said(evidence).as_deref())
            }
            Some((other, _)) => {
                Error::new("hear from init", format!("unexpected message {other:?}"))
            }
            None => died(self.doing, self.pidfd.as_fd()),
        }
    }

    /// Kills the process without waiting long: in a frozen cgroup it may end only later.
    pub(super) fn give_up(mut self) {
        // Fails only for a process that is gone already.
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
        self.is_ours = process::wait(&self.pidfd, 1).unwrap_or(false);
    }

    /// From here on the process outlives this value.
    pub(super) fn release(mut self) -> Rc<OwnedFd> {
        self.is_ours = false;
        Rc::clone(&self.pidfd)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.is_ours {
            // Fails only for a process that is gone already.
            let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
            drop(reap(self.pidfd.as_fd()));
        }
    }
}

/// Message 6: the end of the connection is the program running. A kill ends it as well; `after_start` looks for that.
/// A seccomp listener is delivered as soon as it comes: the filter may stop execve(2) until its agent answers.
pub(super) fn wait_for_program(
    socket: BorrowedFd<'_>,
    explain: impl Fn(&Failure, Option<&str>) -> Error,
    mut listening: Listening<'_>,
) -> Result<()> {
    loop {
        listening.wait_to_read(socket)?;
        match link::receive(socket).doing(|| "hear from init")? {
            Some((Message::Failed(failure), evidence)) => {
                return Err(explain(&failure, said(evidence).as_deref()));
            }
            Some((Message::Listener, Some(fd))) => listening.take(fd)?,
            Some((other, _)) => {
                return Err(Error::new(
                    "hear from init",
                    format!("unexpected message {other:?}"),
                ));
            }
            None => return Ok(()),
        }
    }
}

/// Who gets a seccomp listener.
pub(super) enum Listening<'a> {
    /// The agent that the config names.
    Agent(&'a dyn Fn(BorrowedFd<'_>) -> Result<()>),
    /// This process: it answers what is asked while it waits.
    Own(&'a mut Supervisor),
}

impl Listening<'_> {
    fn take(&mut self, listener: OwnedFd) -> Result<()> {
        match self {
            Self::Agent(deliver) => deliver(listener.as_fd()),
            Self::Own(supervisor) => {
                supervisor.take(listener);
                Ok(())
            }
        }
    }

    fn wait_to_read(&mut self, socket: BorrowedFd<'_>) -> Result<()> {
        match self {
            Self::Agent(_) => Ok(()),
            Self::Own(supervisor) => supervisor.wait_to_read(socket),
        }
    }
}

/// The last line that a failed hook wrote.
fn said(evidence: Option<OwnedFd>) -> Option<String> {
    let evidence = evidence?;
    let mut text = [0; 1024];
    let size = rustix::fs::fstat(&evidence).ok()?.st_size as u64;
    let from = size.saturating_sub(text.len() as u64);
    let length = rustix::io::pread(&evidence, &mut text, from).ok()?;
    let line = text[..length]
        .rsplit(|byte| *byte == b'\n')
        .find(|line| !line.is_empty())?;
    Some(String::from_utf8_lossy(line).into_owned())
}

/// The interpreter that a script of the image names, when executing it failed for lack of one.
pub(super) fn interpreter(failure: &Failure, root: &Path, program: &CStr) -> Option<String> {
    if failure.errno != libc::ENOENT || failure.call != Call::Execve as u32 {
        return None;
    }
    let mut text = [0; 256];
    let length = open_inside(root, program)?.read(&mut text).ok()?;
    let line = text[..length]
        .split(|byte| *byte == b'\n')
        .next()?
        .strip_prefix(b"#!")?;
    let words = String::from_utf8_lossy(line).into_owned();
    words.split_whitespace().next().map(str::to_owned)
}

/// Why a child without a last word is gone.
fn died(doing: &str, pidfd: BorrowedFd<'_>) -> Error {
    match reap(pidfd) {
        Ok(Some(status)) => match status.terminating_signal() {
            Some(libc::SIGKILL) => Error::new(doing, "init was killed (SIGKILL)")
                .hint("a memory limit below what a container needs to start does this: raise linux.resources.memory.limit"),
            Some(signal) => Error::new(doing, format!("init was killed by signal {signal}")),
            None => Error::new(doing, "init ended without a word"),
        },
        _ => Error::new(doing, "init is gone"),
    }
}

/// Waits for a child of ours to end, and lets it go.
pub(super) fn reap(pidfd: BorrowedFd<'_>) -> Result<Option<WaitIdStatus>> {
    rustix::io::retry_on_intr(|| {
        rustix::process::waitid(
            rustix::process::WaitId::PidFd(pidfd),
            rustix::process::WaitIdOptions::EXITED,
        )
    })
    .doing(|| "wait for init")
}

pub(super) use rustix::process::WaitIdStatus;

/// Our end of a new link, and what a child by this plan is born with.
pub(super) fn descriptors(
    plan: &Plan,
    tasks: Vec<OwnedFd>,
    release: Release,
) -> Result<(OwnedFd, Descriptors)> {
    let (ours, theirs) = link::pair().doing(|| "make a socket pair")?;
    let proc = openat(
        CWD,
        c"/proc",
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .doing(|| "open \"/proc\"")?;
    check_proc(proc.as_fd())?;
    let namespaces = open_namespaces(plan)?;
    let fds = Descriptors {
        link: theirs,
        release,
        proc: Some(proc),
        tasks,
        trees: open_trees(plan, &namespaces)?,
        namespaces,
        container: None,
        keep: Vec::new(),
    };
    Ok((ours, fds))
}

/// Sorted numbers of what the child keeps.
pub(super) fn kept(plan: &Plan, fds: &Descriptors, preserve: u32) -> Vec<i32> {
    let mut keep: Vec<i32> = (3..3 + preserve as i32).collect();
    keep.push(fds.link.as_raw_fd());
    keep.extend(plan.program);
    keep.extend(fds.proc.as_ref().map(AsRawFd::as_raw_fd));
    if let Release::Connect(listener) = &fds.release {
        keep.push(listener.as_raw_fd());
    }
    if let Some(container) = &fds.container {
        keep.extend([container.process.as_raw_fd(), container.root.as_raw_fd()]);
    }
    let more = [&fds.tasks, &fds.namespaces, &fds.trees];
    keep.extend(more.into_iter().flatten().map(AsRawFd::as_raw_fd));
    keep.sort_unstable();
    keep.dedup();
    keep
}

/// Writes below /proc must reach the kernel and nothing that was mounted in its place.
fn check_proc(proc: BorrowedFd<'_>) -> Result<()> {
    let kind = rustix::fs::fstatfs(proc)
        .doing(|| "look at \"/proc\"")?
        .f_type;
    if kind == rustix::fs::PROC_SUPER_MAGIC {
        Ok(())
    } else {
        Err(Error::new("look at \"/proc\"", "not a proc filesystem"))
    }
}

fn clone_failed(plan: &Plan, errno: Errno) -> Error {
    let error = Error::new("clone init", errno);
    match errno {
        Errno::PERM if plan.id_maps.is_none() => {
            error.hint("new namespaces take CAP_SYS_ADMIN, or a user namespace among them")
        }
        Errno::PERM | Errno::USERS | Errno::NOSPC => {
            error.hint("user namespaces may be switched off or used up: see /proc/sys/user/max_user_namespaces")
        }
        Errno::INVAL => error.hint("this kernel lacks one of the namespaces"),
        _ => error,
    }
}

fn open_namespaces(plan: &Plan) -> Result<Vec<OwnedFd>> {
    let mut namespaces = Vec::new();
    for step in &plan.joins {
        let Step::Join(join) = step else { continue };
        let doing = || join.subject();
        let fd = openat(
            CWD,
            &join.path,
            OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK,
            Mode::empty(),
        )
        .doing(doing)?;
        let kind = rustix::fs::fstatfs(&fd).doing(doing)?.f_type;
        if kind != libc::NSFS_MAGIC {
            return Err(Error::new(doing(), "not a namespace"));
        }
        namespaces.push(fd);
    }
    Ok(namespaces)
}

fn joined_network(plan: &Plan, namespaces: &[OwnedFd]) -> Result<Option<OwnedFd>> {
    if plan.net_devices.is_empty() {
        return Ok(None);
    }
    let joined = joined(plan, namespaces, NamespaceType::Network);
    let copy = joined.map(|fd| rustix::io::fcntl_dupfd_cloexec(fd, 3));
    copy.transpose().doing(|| "keep the network namespace")
}

/// The namespace of a kind that the container joins by its path.
fn joined<'a>(
    plan: &Plan,
    namespaces: &'a [OwnedFd],
    kind: NamespaceType,
) -> Option<BorrowedFd<'a>> {
    plan.joins.iter().find_map(|step| match step {
        Step::Join(join) if join.kind == kind => Some(namespaces[join.slot].as_fd()),
        _ => None,
    })
}

fn open_trees(plan: &Plan, namespaces: &[OwnedFd]) -> Result<Vec<OwnedFd>> {
    let user = joined(plan, namespaces, NamespaceType::User);
    plan.trees
        .iter()
        .map(|tree| {
            let depth = if tree.recursive {
                OpenTreeFlags::AT_RECURSIVE
            } else {
                OpenTreeFlags::empty()
            };
            let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | depth;
            let doing = || format!("open the mount source {}", quote(tree.path.to_bytes()));
            let fd = open_tree(CWD, &tree.path, flags).doing(doing)?;
            propagate(fd.as_fd(), tree.propagation).doing(doing)?;
            match (&tree.id_maps, user) {
                (Some((MountIds::Mapped(maps), recursive)), _) => {
                    id_map::map_mount(fd.as_fd(), maps, *recursive)?;
                }
                (Some((MountIds::Joined, recursive)), Some(user)) => {
                    id_map::map_mount_as(fd.as_fd(), user, *recursive)?;
                }
                (Some((MountIds::Joined, _)), None) | (None, _) => {}
            }
            Ok(fd)
        })
        .collect()
}

/// A clone of a shared mount is its peer: what the container mounts on it appears on the host unless that is cut.
fn propagate(tree: BorrowedFd<'_>, propagation: u64) -> SysResult<()> {
    change(tree, Change::propagation(propagation), Reach::Tree)
}

/// Whether `wait` said that it ended, and how: the shell's way to put it in one number.
pub(super) fn exit_code(status: &WaitIdStatus) -> i32 {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => 128 + signal,
        (None, None) => 1,
    }
}
