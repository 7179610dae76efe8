//! The child, from clone to execve(2): it carries a plan out and reports a failure as numbers.
//! No allocation, parsing, formatting, environment or logging here; what needs computing is in the plan already.

mod copy;
mod exec;
mod hooks;
mod landlock;
mod mounts;
mod nodes;
mod process;
mod root;
mod shared_mounts;
mod step;
mod terminal;
mod verify;

use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

use crate::link::{self, Message};
use crate::plan::{Call, Difference, Failure, Plan, Step};
use crate::sys::clone::Side;
use crate::sys::{Errno, alloc, attributes, clone, prctl, program, signal};

/// Exit status of a child that could not go on; the reason went over the link.
const GAVE_UP: i32 = 125;

/// What `start` is waited for on.
#[derive(Debug)]
pub enum Release {
    /// The listening socket of `create`: `start` connects.
    Connect(OwnedFd),
    /// The link itself, in `run`.
    Link,
}

/// The descriptors that the child is born with.
#[derive(Debug)]
pub struct Descriptors {
    /// The child's end of the link.
    pub link: OwnedFd,
    /// How `start` arrives.
    pub release: Release,
    /// The runtime's own /proc, as long as nobody of the container can come to it: CAP_SYS_PTRACE opens what a process has
    /// open.
    pub proc: Option<OwnedFd>,
    /// `tasks` files of the container's cgroups.
    pub tasks: Vec<OwnedFd>,
    /// Namespaces to join, by slot.
    pub namespaces: Vec<OwnedFd>,
    /// Detached mount trees, by number.
    pub trees: Vec<OwnedFd>,
    /// The container that the child enters, where it does not make one.
    pub container: Option<Container>,
    /// The numbers of all these and of what the program inherits, sorted; everything else is closed.
    pub keep: Vec<i32>,
}

/// A running container, by its first process.
#[derive(Debug)]
pub struct Container {
    /// A pidfd of that process.
    pub process: OwnedFd,
    /// Its root.
    pub root: OwnedFd,
}

/// What the child knows while it works.
struct Child<'a> {
    plan: &'a Plan,
    fds: &'a mut Descriptors,
    /// The socket that reports go to: the link, later the connection of `start`.
    report: Option<OwnedFd>,
    /// The root filesystem.
    root: Option<OwnedFd>,
    /// The host's /dev/null, for masks; opened when the first is needed.
    null: Option<OwnedFd>,
    /// The empty, read-only tmpfs of masked directories, shared by all of them.
    empty: Option<OwnedFd>,
    /// What the kernel shows of itself (proc, sysfs), by where it was mounted. A container that shares the root filesystem
    /// can rename that place; the mount goes with it, a path does not.
    systems: Vec<(&'a CStr, OwnedFd)>,
    /// Mounts that are made read-only later, and places of mounts that come later; as many slots as the plan says.
    kept: Vec<Option<OwnedFd>>,
    /// Whether the working directory is process.cwd.
    is_in_workdir: bool,
    /// Which candidate is the program.
    candidate: usize,
    /// What a failed hook wrote.
    evidence: Option<OwnedFd>,
}

/// A failure inside a step: the call, and an errno or a [`Difference`] in its place.
#[derive(Debug, Clone, Copy)]
struct Fault {
    call: Call,
    errno: i32,
    detail: u64,
}

impl Fault {
    fn differs(difference: Difference, detail: u64) -> Self {
        Self {
            call: Call::Compare,
            errno: difference as i32,
            detail,
        }
    }
}

type Outcome<T = ()> = Result<T, Fault>;

/// Names the call that a result came from.
trait In<T> {
    fn in_call(self, call: Call) -> Outcome<T>;
}

impl<T> In<T> for Result<T, Errno> {
    fn in_call(self, call: Call) -> Outcome<T> {
        self.map_err(|errno| Fault {
            call,
            errno: errno.raw_os_error(),
            detail: 0,
        })
    }
}

/// Runs the plan of a new container in the process that the parent has just cloned. Never returns.
pub fn run(plan: &Plan, fds: &mut Descriptors) -> ! {
    carry_out(plan, fds, Child::phases)
}

/// Runs the plan of a process that enters a container, in the process that the parent has just cloned. Never returns.
pub fn enter(plan: &Plan, fds: &mut Descriptors) -> ! {
    carry_out(plan, fds, Child::phases_of_exec)
}

fn carry_out<'a>(
    plan: &'a Plan,
    fds: &'a mut Descriptors,
    phases: fn(&mut Child<'a>) -> Result<Never, Failure>,
) -> ! {
    // Room for the slots is made before allocation ends.
    let kept = (0..plan.kept).map(|_| None).collect();
    let systems = Vec::with_capacity(plan.setup.len());
    alloc::forbid();
    let mut child = Child {
        plan,
        fds,
        report: None,
        root: None,
        null: None,
        empty: None,
        systems,
        kept,
        is_in_workdir: false,
        candidate: 0,
        evidence: None,
    };
    let failure = match take_streams(plan).and_then(|()| phases(&mut child)) {
        Ok(never) => match never {},
        Err(failure) => failure,
    };
    let socket = child.report.as_ref().unwrap_or(&child.fds.link);
    // Nobody left to tell: the exit status says it.
    let _ = match &child.evidence {
        Some(evidence) => {
            link::send_with(socket.as_fd(), Message::Failed(failure), evidence.as_fd())
        }
        None => link::send(socket.as_fd(), Message::Failed(failure)),
    };
    program::exit_now(GAVE_UP)
}

/// Before anything of the container is near, which could look at the caller's.
fn take_streams(plan: &Plan) -> Result<(), Failure> {
    let Some(files) = plan.streams else {
        return Ok(());
    };
    attributes::take_streams(files)
        .in_call(Call::Dup)
        .map_err(|fault| at(0, fault))
}

/// A value that cannot exist: the phases end in another program or in a failure.
enum Never {}

impl<'a> Child<'a> {
    /// The protocol, numbered as in `link`.
    fn phases(&mut self) -> Result<Never, Failure> {
        let plan = self.plan;
        let [setup, enter, start] = plan.offsets();
        // The parent's ends: its link, its lock, whatever else it has open.
        attributes::close_others(&self.fds.keep)
            .in_call(Call::CloseRange)
            .map_err(|fault| at(setup, fault))?;
        // Before anything is joined whose processes could look at this one (CVE-2016-9962). With id maps still to come that
        // has to wait for a runtime without privileges: they are written through files of /proc, which belong to root of
        // the namespace that the runtime was executed in when the process is not dumpable, and newuidmap(1) serves only
        // the owner of those. A runtime that has entered a namespace since is not that root, whatever its capabilities.
        if plan
            .id_maps
            .as_ref()
            .is_none_or(|maps| plan.joins_first && !maps.needs_dumpable())
        {
            prctl::clear_dumpable()
                .in_call(Call::Prctl)
                .map_err(|fault| at(setup, fault))?;
        }
        if plan.joins_first {
            self.steps(&plan.joins, 0)?;
            self.fork_on()?;
        }
        // Modes are given in full until `Step::Umask`.
        rustix::process::umask(rustix::fs::Mode::empty());
        // 1: the id maps are written.
        self.wait_to_proceed(setup)?;
        prctl::clear_dumpable()
            .in_call(Call::Prctl)
            .map_err(|fault| at(setup, fault))?;
        attributes::reset_signals();
        if !plan.joins_first {
            self.steps(&plan.joins, 0)?;
        }
        self.steps(&plan.setup, setup)?;
        self.tell(Message::Done, setup)?; // 2
        self.wait_to_proceed(enter)?; // 3
        self.steps(&plan.enter, enter)?;
        self.put_down();
        if let Release::Connect(_) = &self.fds.release {
            // Before it is told: whoever knows of a created container may ask it to end.
            signal::end_when_asked();
        }
        self.tell(Message::Done, enter)?; // 4
        self.wait_for_start(start)?; // 5
        self.steps(&plan.start, start)?; // 6
        Err(self.not_executed(start))
    }

    /// Closes what only the making of the container needed, before a wait for `start` that may be long: what is not open
    /// cannot be taken over.
    fn put_down(&mut self) {
        self.fds.proc = None;
        self.fds.tasks.clear();
        self.fds.namespaces.clear();
        self.fds.trees.clear();
        self.null = None;
        self.empty = None;
        self.systems.clear();
        self.kept.iter_mut().for_each(|mount| *mount = None);
    }

    /// The last step returns only by failing.
    fn not_executed(&self, start: usize) -> Failure {
        at(
            start + self.plan.start.len() - 1,
            Fault {
                call: Call::Execve,
                errno: libc::ENOEXEC,
                detail: 0,
            },
        )
    }

    fn steps(&mut self, steps: &'a [Step], first: usize) -> Result<(), Failure> {
        for (index, step) in steps.iter().enumerate() {
            self.carry_out(step)
                .map_err(|fault| at(first + index, fault))?;
        }
        Ok(())
    }

    /// Forks into the namespaces that only a child enters; this process ends here, its child goes on as a sibling.
    fn fork_on(&mut self) -> Result<(), Failure> {
        let flags = self.plan.new_namespaces | clone::PARENT;
        let side = clone::clone3(flags, None)
            .in_call(Call::Clone)
            .map_err(|fault| at(0, fault))?;
        if let Side::Parent(pid, _) = side {
            self.tell(Message::Cloned(pid), 0)?;
            program::exit_now(0);
        }
        Ok(())
    }

    fn tell(&self, message: Message, step: usize) -> Result<(), Failure> {
        link::send(self.fds.link.as_fd(), message)
            .in_call(Call::Send)
            .map_err(|fault| at(step, fault))
    }

    fn wait_to_proceed(&self, step: usize) -> Result<(), Failure> {
        let received = link::receive(&self.fds.link)
            .in_call(Call::Receive)
            .map_err(|fault| at(step, fault))?;
        match received {
            Some((Message::Proceed, _)) => Ok(()),
            _ => Err(at(step, Fault::differs(Difference::ParentGone, 0))),
        }
    }

    fn wait_for_start(&mut self, step: usize) -> Result<(), Failure> {
        let Release::Connect(listener) = &self.fds.release else {
            return self.wait_to_proceed(step);
        };
        let connection = rustix::io::retry_on_intr(|| {
            rustix::net::accept_with(listener, rustix::net::SocketFlags::CLOEXEC)
        })
        .in_call(Call::Accept)
        .map_err(|fault| at(step, fault))?;
        self.report = Some(connection);
        Ok(())
    }
}

fn at(step: usize, fault: Fault) -> Failure {
    Failure {
        step: step as u32,
        call: fault.call as u32,
        errno: fault.errno,
        detail: fault.detail,
    }
}
