//! Who answers when the filter of a container asks about a system call: with what the filters that it stands for say, and
//! nothing else. What was denied is kept for a report (`denials`), in a recording also what was let pass (`recording`).
//! How such a filter is made is `seccomp::watch`'s; who waits for it beside the container's end is `container`'s.
//!
//! A call is let go on only where the filters allow it by its number and its registers, which nobody can change while it
//! waits. What pointers lead to is read for the report, and decides nothing.

mod base;
mod caller;
mod denials;
mod files;
mod kept;
mod memory;
mod recording;
mod words;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use libc::sock_filter;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};

use crate::cgroup::{Cgroup, Location};
use crate::error::{Doing, Result};
use crate::names::syscalls::{self, Abi, X32_BIT};
use crate::plan::Plan;
use crate::profile::{Profile, SeccompRules, permits};
use crate::seccomp::bpf::{self, Data};
use crate::seccomp::{Watch, answer, is_denial};
use crate::sys::notify::{Exchange, Notification, is_waiting, wake_at_once};
use crate::sys::{Errno, signal};

pub use base::made_under;
use caller::Caller;
pub use denials::Denials;
use memory::Memory;
pub use recording::Recording;

/// After how long no further call is answered before others have their turn: one may take a while to read.
const LONGEST_TURN: Duration = Duration::from_secs(1);

/// Answers and remembers.
#[derive(Debug)]
pub struct Supervisor {
    watch: Watch,
    listener: Option<OwnedFd>,
    exchange: Exchange,
    memory: Memory,
    /// Those that are answered for, in the order of installation.
    programs: Vec<Vec<sock_filter>>,
    /// What the profile's, the last of them, was made of.
    rules: Option<SeccompRules>,
    denials: Denials,
    recording: Recording,
}

impl Supervisor {
    /// One that has no container yet.
    ///
    /// # Errors
    /// A kernel without listeners.
    pub fn new(watch: Watch) -> Result<Self> {
        Ok(Self {
            watch,
            listener: None,
            exchange: Exchange::new().doing(|| "watch system calls")?,
            memory: Memory::default(),
            programs: Vec::new(),
            rules: None,
            denials: Denials::default(),
            recording: Recording::default(),
        })
    }

    /// What the plan has to watch for it.
    pub fn watch(&self) -> Watch {
        self.watch
    }

    /// Takes over for a plan that has system calls watched, made under `profile`.
    pub fn begin(&mut self, plan: &Plan, profile: &Profile) {
        let programs = plan.watched.iter();
        self.programs = programs.map(|filter| filter.program.clone()).collect();
        self.rules.clone_from(&profile.seccomp);
        self.denials.profile.clone_from(&profile.name);
        self.recording.is_permissive = self.is_permissive();
        if let Watch::Everything(openings) | Watch::Permissive(openings) = self.watch {
            self.recording.openings = openings;
        }
    }

    fn is_permissive(&self) -> bool {
        matches!(self.watch, Watch::Permissive(_))
    }

    /// What was denied so far.
    pub fn denials(&self) -> &Denials {
        &self.denials
    }

    /// What was done, and a line for each kind of call that was denied meanwhile.
    pub fn into_recording(self) -> (Recording, Vec<String>) {
        let denied = self.denials.lines().collect();
        (self.recording, denied)
    }

    /// The listener of the container's filter.
    pub fn take(&mut self, listener: OwnedFd) {
        wake_at_once(listener.as_fd());
        self.listener = Some(listener);
    }

    /// What to wait for; none before there is a program and after the last one has ended.
    pub fn listener(&self) -> Option<BorrowedFd<'_>> {
        self.listener.as_ref().map(AsFd::as_fd)
    }

    /// Answers what is asked until there is something to read from `fd`.
    ///
    /// # Errors
    /// poll(2) fails.
    pub fn wait_to_read(&mut self, fd: BorrowedFd<'_>) -> Result<()> {
        loop {
            let mut fds = vec![PollFd::from_borrowed_fd(fd, PollFlags::IN)];
            if let Some(listener) = self.listener() {
                fds.push(PollFd::from_borrowed_fd(listener, PollFlags::IN));
            }
            rustix::io::retry_on_intr(|| poll(&mut fds, None)).doing(|| "wait for the program")?;
            let is_readable = !fds[0].revents().is_empty();
            drop(fds);
            if is_readable {
                return Ok(());
            }
            self.serve();
        }
    }

    /// Answers what is asked right now. Who listens no more has every such call fail, so that no failure here lets one pass.
    pub fn serve(&mut self) {
        // Others wait as well: signals, the terminal, the container's end. Whoever asks still is heard in the next turn.
        let until = Instant::now() + LONGEST_TURN;
        for _ in 0..64 {
            if Instant::now() >= until {
                return;
            }
            let Some(listener) = self.listener.take() else {
                return;
            };
            let now = Timespec::default();
            let mut fds = [PollFd::new(&listener, PollFlags::IN)];
            let ready = poll(&mut fds, Some(&now));
            let events = fds[0].revents();
            if ready == Ok(1) && !events.contains(PollFlags::IN) {
                // The last process under the filter is gone.
                return;
            }
            if ready == Ok(1)
                && let Err(errno) = self.one(listener.as_fd())
            {
                log::warn!(
                    "system calls are watched no more, and those that would be fail: {errno}"
                );
                return;
            }
            self.listener = Some(listener);
            if ready != Ok(1) {
                return;
            }
        }
    }

    fn one(&mut self, listener: BorrowedFd<'_>) -> std::result::Result<(), Errno> {
        let asked = match self.exchange.receive(listener) {
            // The caller was killed, or a signal came first and it will ask again.
            Err(Errno::NOENT | Errno::INTR) => return Ok(()),
            other => other?,
        };
        let call = Data {
            nr: asked.number.cast_unsigned(),
            arch: asked.arch,
            instruction_pointer: asked.instruction_pointer,
            args: asked.arguments,
        };
        let given = answer(&self.programs, &call);
        if self.watch == Watch::Denials || is_denial(given) {
            self.deny(listener, &asked, &call, given)
        } else {
            self.let_pass(listener, &asked)
        }
    }

    fn deny(
        &mut self,
        listener: BorrowedFd<'_>,
        asked: &Notification,
        call: &Data,
        given: u32,
    ) -> std::result::Result<(), Errno> {
        let caller = Caller::of(asked.thread);
        let name = name_of(asked);
        let arguments = words::arguments(&name, asked, &mut self.memory);
        let is_profiles = self.is_profiles(call, given);
        let rules = self.rules.as_ref().filter(|_| is_profiles);
        if is_waiting(listener, asked.id) {
            if matches!(self.watch, Watch::Everything(_)) {
                self.recording.denied(&name, asked, given);
            }
            self.denials.add(denials::Asked {
                name: &name,
                arguments,
                caller: &caller,
                notification: asked,
                given,
                rules,
            });
        }
        let sent = if given & libc::SECCOMP_RET_ACTION_FULL == libc::SECCOMP_RET_ERRNO {
            let errno = (given & libc::SECCOMP_RET_DATA).cast_signed();
            self.exchange.refuse(listener, asked.id, errno)
        } else {
            if is_waiting(listener, asked.id) && !kill(&caller, asked.thread) {
                // What is to die must not go on with an error: without an answer the call never returns.
                log::warn!(
                    "process {} cannot be killed for {name}, and waits",
                    caller.pid
                );
                return Ok(());
            }
            self.exchange.refuse(listener, asked.id, libc::EPERM)
        };
        gone_is_fine(sent)
    }

    fn let_pass(
        &mut self,
        listener: BorrowedFd<'_>,
        asked: &Notification,
    ) -> std::result::Result<(), Errno> {
        let name = name_of(asked);
        let files = files::touched(&name, asked, &mut self.memory);
        if files.is_empty() || is_waiting(listener, asked.id) {
            self.recording.passed(&name, asked, files);
            let is_permissive = self.is_permissive();
            let rules = self.rules.as_ref().filter(|_| is_permissive);
            if rules.is_some_and(|rules| !permits(rules, &name, &asked.arguments)) {
                self.recording.passed_beyond(&name);
            }
        }
        gone_is_fine(self.exchange.let_go_on(listener, asked.id))
    }

    /// Whether the answer is that of the profile's filter, which is installed last.
    fn is_profiles(&self, call: &Data, given: u32) -> bool {
        let own = self.programs.last();
        self.rules.is_some()
            && own.and_then(|program| bpf::evaluate(program, call).ok()) == Some(given)
    }

    /// Which limits the container has hit, before its cgroup is removed.
    pub fn read_limits(&mut self, location: &Location) {
        match Cgroup::open(location).and_then(|cgroup| cgroup.limits_hit()) {
            Ok(hit) => self.denials.limits_hit = Some(hit),
            Err(error) => log::debug!("{error}"),
        }
    }

    /// What the container used at most of memory and processes, before its cgroup is removed.
    pub fn read_peaks(&mut self, location: &Location) {
        if matches!(self.watch, Watch::Nothing | Watch::Denials) {
            return;
        }
        match Cgroup::open(location).and_then(|cgroup| cgroup.peaks()) {
            Ok(peaks) => self.recording.peaks = peaks,
            Err(error) => log::warn!("no peaks are recorded: {error}"),
        }
    }
}

/// Kills the process whose call waits; whether that is done. By SIGKILL: a handler could catch SIGSYS, and the first process
/// of a pid namespace would not even get it.
fn kill(caller: &Caller, thread: i32) -> bool {
    let by_descriptor = |process: &OwnedFd| signal::send(process.as_fd(), libc::SIGKILL).is_ok();
    // Descriptors may have run out, and /proc may be hidden. While its call waits, the number is the caller's.
    let by_number =
        || Pid::from_raw(thread).is_some_and(|thread| kill_process(thread, Signal::KILL).is_ok());
    caller.process.as_ref().is_some_and(by_descriptor) || by_number()
}

fn gone_is_fine(sent: std::result::Result<(), Errno>) -> std::result::Result<(), Errno> {
    match sent {
        Err(Errno::NOENT) => Ok(()),
        other => other,
    }
}

/// The call's name, or its number where that has none here.
fn name_of(asked: &Notification) -> String {
    let number = asked.number.cast_unsigned();
    let abi = Abi::ALL.into_iter().find(|abi| {
        let is_x32 = number & X32_BIT != 0 && number != u32::MAX;
        abi.audit_arch() == asked.arch
            && (*abi == Abi::X32) == (is_x32 && asked.arch == Abi::X32.audit_arch())
    });
    let name = abi.and_then(|abi| syscalls::name(abi, number));
    name.map_or_else(|| format!("system call {}", asked.number), str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    use super::*;

    #[test]
    fn what_is_to_die_dies_where_no_descriptor_of_it_can_be_had() {
        let mut process = Command::new("sleep").arg("100").spawn().unwrap();
        let caller = Caller {
            process: None,
            pid: 2,
            program: Vec::new(),
        };
        assert!(!kill(&caller, 0));
        assert!(kill(&caller, i32::try_from(process.id()).unwrap()));
        assert_eq!(process.wait().unwrap().signal(), Some(libc::SIGKILL));
    }
}
