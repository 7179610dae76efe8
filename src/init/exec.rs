//! A process that enters a running container: its phases, and the steps that only it has.
//! What it becomes there is as for the container's first process, by the same steps.

use std::os::fd::AsFd;

use rustix::fs::{Mode, OFlags};
use rustix::net::RecvFlags;
use rustix::thread::{CpuSet, sched_setaffinity};

use super::{Call, Child, Difference, Failure, Fault, In, Never, Outcome, at};
use crate::sys::{Errno, attributes, clone, prctl};

impl Child<'_> {
    /// The protocol of `exec`, numbered as in `link`.
    pub(super) fn phases_of_exec(&mut self) -> Result<Never, Failure> {
        let plan = self.plan;
        let [setup, enter, start] = plan.offsets();
        // The host's descriptors, before anything of the container is near (CVE-2024-21626).
        attributes::close_others(&self.fds.keep)
            .in_call(Call::CloseRange)
            .map_err(|fault| at(0, fault))?;
        attributes::reset_signals();
        if plan.is_moved {
            self.wait_to_proceed(0)?; // 0
        }
        self.steps(&plan.joins, 0)?;
        self.fds.proc = None;
        self.fds.tasks.clear();
        if plan.joins_first {
            self.fork_on()?; // 1
            self.wait_to_proceed(setup)?; // 2
        }
        self.steps(&plan.setup, setup)?; // 3
        if plan.has_terminal() {
            self.wait_to_proceed(enter)?; // 4
        }
        self.steps(&plan.enter, enter)?;
        self.is_awaited().map_err(|fault| at(start, fault))?;
        self.steps(&plan.start, start)?; // 5
        Err(self.not_executed(start))
    }

    /// Whether the parent is still there: a program that nobody is told of must not start.
    fn is_awaited(&self) -> Outcome {
        let mut byte = [0u8];
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        match rustix::net::recv(&self.fds.link, &mut byte[..], flags) {
            Err(Errno::AGAIN) => Ok(()),
            Ok(_) | Err(Errno::CONNRESET) => Err(Fault::differs(Difference::ParentGone, 0)),
            Err(errno) => Err(errno).in_call(Call::Receive),
        }
    }

    /// All at once: the kernel joins the user namespace first and checks the others with what it gives, and a failure
    /// leaves the process where it was (setns(2)).
    pub(super) fn join_container(&self, namespaces: i32) -> Outcome {
        match &self.fds.container {
            Some(container) => {
                clone::join(container.process.as_fd(), namespaces).in_call(Call::Setns)?;
                // The rights that a user namespace gives set it anew, as a change of ids does.
                prctl::clear_dumpable().in_call(Call::Prctl)
            }
            None => Err(Errno::SRCH).in_call(Call::Setns),
        }
    }

    /// setns(2) has made the namespace's root this process's root and working directory.
    pub(super) fn find_root(&mut self) -> Outcome {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(c"/", flags, Mode::empty()).in_call(Call::Open)?;
        self.root = Some(root);
        Ok(())
    }

    /// A mount namespace that the container joined, too, has the root of whoever made it.
    pub(super) fn take_root(&mut self) -> Outcome {
        let container = self.fds.container.as_ref().ok_or(Errno::SRCH);
        let root =
            container.and_then(|container| rustix::io::fcntl_dupfd_cloexec(&container.root, 3));
        self.root = Some(root.in_call(Call::Open)?);
        self.change_root()
    }
}

/// Ranges of CPUs, both ends included.
pub(super) fn set_affinity(cpus: &[(usize, usize)]) -> Outcome {
    let mut set = CpuSet::new();
    for (first, last) in cpus {
        (*first..=*last).for_each(|cpu| set.set(cpu));
    }
    sched_setaffinity(None, &set).in_call(Call::SchedSetaffinity)
}
