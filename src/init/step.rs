//! Carrying a step out: one arm each. What takes more than a call is in the file of its subject.

use std::os::fd::{AsFd, AsRawFd};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

use super::exec::set_affinity;
use super::root::{self, Missing};
use super::{Call, Child, In, Outcome};
use crate::link::{self, Message};
use crate::plan::Step;
use crate::sys::mount::{Change, RDONLY, Reach, change};
use crate::sys::{Errno, attributes, clone, prctl, seccomp};

impl<'a> Child<'a> {
    pub(super) fn carry_out(&mut self, step: &'a Step) -> Outcome {
        match step {
            Step::Join(join) => self.join(join),
            Step::JoinContainer { namespaces } => self.join_container(*namespaces),
            Step::FindRoot => self.find_root(),
            Step::TakeRoot => self.take_root(),
            Step::OomScore(score) => self.write_below_proc(c"self/oom_score_adj", score.as_bytes()),
            Step::TimeNamespace { offsets } => self.time_namespace(offsets),
            Step::EnterCgroups => self.enter_cgroups(),
            Step::NewCgroupNamespace => {
                clone::unshare(libc::CLONE_NEWCGROUP).in_call(Call::Unshare)
            }
            Step::TakeMappedIds { uid, gid } => take_ids(*uid, *gid),
            Step::NewSession => rustix::process::setsid().map(drop).in_call(Call::Setsid),
            Step::NewKeyring => attributes::new_session_keyring().in_call(Call::Keyctl),
            Step::LoopbackUp => loopback_up(),
            Step::Hook(hook) => self.hook(hook),
            Step::OwnStdio { uid, gid } => Self::own_stdio(*uid, *gid),
            Step::Bound { keep, last } => Self::bound(*keep, *last),
            Step::Groups(groups) => attributes::set_groups(groups).in_call(Call::Setgroups),
            Step::Ids { uid, gid } => prctl::keep_capabilities()
                .in_call(Call::Prctl)
                .and_then(|()| take_ids(*uid, *gid)),
            Step::WorkdirFirst(path) => self.workdir_first(path),
            Step::Workdir(path) => self.workdir(path),
            Step::FindProgram => self.find_program(),
            Step::Capabilities {
                sets,
                ambient,
                lock_securebits: false,
            } => Self::capabilities(*sets, *ambient),
            Step::Capabilities { sets, ambient, .. } => {
                Self::capabilities_for_good(*sets, *ambient)
            }
            Step::Label { file, value, .. } => self.write_below_proc(file, value.as_bytes()),
            Step::Landlock => self.landlock(),
            Step::Verify(expectation) => self.verify(expectation),
            Step::CloseFrom { first } => self.close_from(*first),
            Step::Seccomp { filter } => self.seccomp(*filter),
            Step::Execute => self.execute(),
            _ => self.carry_out_in_root(step),
        }
    }

    /// Steps that work on the root filesystem and what belongs to its namespaces.
    fn carry_out_in_root(&mut self, step: &'a Step) -> Outcome {
        match step {
            Step::Isolate { propagation } => Self::isolate(*propagation),
            Step::Root { path, tree } => self.attach_root(path, *tree),
            Step::Mount(mount) => self.mount(mount),
            Step::SharedPlace { slot, tree, path } => self.shared_place(*slot, *tree, path),
            Step::Share {
                slot,
                tree,
                attributes,
                ..
            } => self.share(*slot, *tree, attributes),
            Step::Node(node) => self.node(node),
            Step::BindNode { path, number } => self.bind_node(path, *number),
            Step::Terminal(terminal) => self.terminal(*terminal),
            Step::Link { path, target } => self.symbolic_link(path, target),
            Step::Seal { slot, .. } => self.seal(*slot),
            Step::Sysctl { file, value } => self.write_below_proc(file, value.as_bytes()),
            Step::Hostname(name) => {
                rustix::system::sethostname(name.as_bytes()).in_call(Call::Sethostname)
            }
            Step::Domainname(name) => {
                rustix::system::setdomainname(name.as_bytes()).in_call(Call::Setdomainname)
            }
            Step::ReadonlyPath(path) => self.readonly_path(path),
            Step::MaskedPath(path) => self.masked_path(path),
            Step::Directory(path) => root::make(self.root(), path, Missing::Directory).map(drop),
            Step::ReadonlyRoot => {
                change(self.root(), Change::set(RDONLY), Reach::Mount).in_call(Call::MountSetattr)
            }
            Step::PivotRoot => self.pivot_root(),
            Step::MoveRoot => self.move_root(),
            Step::Unmount(path) => Self::unmount(path),
            Step::ChangeRoot => self.change_root(),
            Step::RootPropagation {
                propagation,
                recursive,
            } => self.propagate_root(*propagation, *recursive),
            _ => Self::set_attribute(step),
        }
    }

    /// Attributes of the process that are one call each.
    fn set_attribute(step: &Step) -> Outcome {
        match step {
            Step::Umask(mask) => {
                rustix::process::umask(Mode::from_raw_mode(*mask));
                Ok(())
            }
            Step::Personality(persona) => {
                attributes::set_personality(*persona).in_call(Call::Personality)
            }
            Step::Scheduler(scheduling) => {
                attributes::set_scheduling(*scheduling).in_call(Call::SchedSetattr)
            }
            Step::IoPriority { class, level } => {
                attributes::set_io_priority(*class, *level).in_call(Call::IoprioSet)
            }
            Step::MemoryPolicy { mode, nodes } => {
                attributes::set_memory_policy(*mode, *nodes).in_call(Call::SetMempolicy)
            }
            Step::Limit {
                resource,
                soft,
                hard,
            } => attributes::set_limit(*resource, *soft, *hard).in_call(Call::Prlimit),
            Step::Undumpable => prctl::clear_dumpable().in_call(Call::Prctl),
            Step::Affinity { cpus, .. } => set_affinity(cpus),
            Step::EveryCpu => attributes::use_every_cpu().in_call(Call::SchedSetaffinity),
            Step::NoNewPrivileges => prctl::set_no_new_privileges().in_call(Call::Prctl),
            Step::DenyWriteExecute => prctl::deny_write_execute().in_call(Call::Prctl),
            _ => unreachable!("every other step is carried out above"),
        }
    }

    fn join(&self, join: &crate::plan::Join) -> Outcome {
        clone::join(self.fds.namespaces[join.slot].as_fd(), join.flag).in_call(Call::Setns)
    }

    fn time_namespace(&self, offsets: &str) -> Outcome {
        clone::unshare(clone::NEWTIME as i32).in_call(Call::Unshare)?;
        self.write_below_proc(c"self/timens_offsets", offsets.as_bytes())
    }

    fn enter_cgroups(&self) -> Outcome {
        for tasks in &self.fds.tasks {
            rustix::io::write(tasks, b"0").in_call(Call::Write)?;
        }
        Ok(())
    }

    /// Writes a file of the runtime's own proc, which nothing that the image brings can redirect (CVE-2025-52881).
    pub(super) fn write_below_proc(&self, file: &std::ffi::CStr, value: &[u8]) -> Outcome {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let proc = self.fds.proc.as_ref().ok_or(Errno::BADF);
        let proc = proc.in_call(Call::Open)?;
        let fd = openat2(proc, file, flags, Mode::empty(), resolve).in_call(Call::Open)?;
        let written = rustix::io::write(&fd, value).in_call(Call::Write)?;
        if written == value.len() {
            Ok(())
        } else {
            Err(Errno::IO).in_call(Call::Write)
        }
    }

    /// Closes what leads out of the container. Close-on-exec is too late for that: execve(2) looks for the program, and for
    /// the interpreter that a script names, while /proc/self/fd still has all of them (CVE-2024-21626). A socket leads
    /// nowhere, and its end tells the parent that the program runs. Neither does a program that is a sealed file in memory.
    fn close_from(&self, first: u32) -> Outcome {
        let link = self.fds.link.as_raw_fd();
        let report = self.report.as_ref().map_or(link, AsRawFd::as_raw_fd);
        let mut kept = [link, report, self.plan.program.unwrap_or(link)];
        kept.sort_unstable();
        attributes::close_others_from(first, &kept)
            .and_then(|()| attributes::close_on_exec_from(first))
            .in_call(Call::CloseRange)
    }

    fn seccomp(&self, number: usize) -> Outcome {
        let filter = &self.plan.filters[number];
        let Some(listener) =
            seccomp::install(&filter.program, filter.flags).in_call(Call::Seccomp)?
        else {
            return Ok(());
        };
        let socket = self.report.as_ref().unwrap_or(&self.fds.link);
        link::send_with(socket.as_fd(), Message::Listener, listener.as_fd()).in_call(Call::Send)
    }
}

fn take_ids(uid: u32, gid: u32) -> Outcome {
    attributes::set_gid(gid).in_call(Call::Setresgid)?;
    attributes::set_uid(uid).in_call(Call::Setresuid)?;
    // A change of ids makes the process as dumpable as fs.suid_dumpable says, which may be 1 (proc_sys_fs(5)).
    prctl::clear_dumpable().in_call(Call::Prctl)
}

fn loopback_up() -> Outcome {
    let socket = rustix::net::socket_with(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::DGRAM,
        rustix::net::SocketFlags::CLOEXEC,
        None,
    )
    .in_call(Call::Socket)?;
    attributes::loopback_up(socket.as_fd()).in_call(Call::Ioctl)
}
