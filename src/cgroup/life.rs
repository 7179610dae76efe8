//! The life of a container's cgroup: its processes, kill, removal.
//! cgroups(7); `cgroup.kill` of v2 where there is a v2 hierarchy, else the v1 freezer (`freezer`).

use std::collections::BTreeSet;
use std::os::fd::{AsFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::filesystem::{self, error};
use super::group::Cgroup;
use super::mark::Mark;
use super::systemd;
use crate::error::{Error, Result, quote_path};
use crate::sys::{Errno, SysResult, time_left};

/// How long processes get to die or to freeze.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

impl Cgroup {
    /// The processes in it and in all cgroups below, sorted, as this pid namespace numbers them.
    ///
    /// # Errors
    /// When a list cannot be read.
    pub fn processes(&self) -> Result<Vec<i32>> {
        let mut all = BTreeSet::new();
        for (group, directory) in self.location.groups.iter().zip(&self.directories) {
            let Some(directory) = directory else { continue };
            let found = filesystem::processes(directory.as_fd()).map_err(|errno| {
                error(
                    format!("read the processes of {}", quote_path(&group.directory())),
                    errno,
                )
            })?;
            all.extend(found);
        }
        Ok(all.into_iter().collect())
    }

    /// Kills all processes in it; they may still be dying when it returns. No child can escape by being born meanwhile.
    ///
    /// # Errors
    /// When the list cannot be read or a process cannot be signalled.
    pub fn kill(&self) -> Result<()> {
        if let Some((group, directory)) = self.of("cgroup") {
            match filesystem::write(directory, "cgroup.kill", "1") {
                // Gone meanwhile.
                Ok(()) | Err(Errno::NOENT | Errno::NODEV) => {}
                Err(errno) => {
                    let path = quote_path(&group.directory().join("cgroup.kill"));
                    return Err(error(format!("write {path}"), errno));
                }
            }
        }
        // Without v2, and for processes that entered v1 groups only: on the way in, or from outside.
        let killed = self.processes().and_then(|left| match left.as_slice() {
            [] => Ok(()),
            _ => self.kill_one_by_one(),
        });
        // Whatever came of it, nothing stays frozen.
        killed.and(self.thaw())
    }

    /// Under the freezer nothing forks, so that one round finds all; without it the rounds go on until nothing is new.
    fn kill_one_by_one(&self) -> Result<()> {
        let frozen = self.of("freezer").is_some() && self.freeze_v1().is_ok();
        let mut killed = BTreeSet::new();
        loop {
            let listed = self.processes()?;
            let fresh: Vec<i32> = listed
                .into_iter()
                .filter(|pid| !killed.contains(pid))
                .collect();
            if fresh.is_empty() {
                return Ok(());
            }
            self.kill_these(&fresh)?;
            killed.extend(fresh);
            if frozen {
                return Ok(());
            }
        }
    }

    /// Sends a signal, 0 to 64, to all processes in it; whether any could be sent to.
    ///
    /// # Errors
    /// When the list cannot be read.
    pub fn signal(&self, signal: i32) -> Result<bool> {
        let held = self.hold(&self.processes()?)?;
        // One may end between the reading of the list and here.
        let sent = held
            .iter()
            .filter(|(_, process)| crate::sys::signal::send(process.as_fd(), signal).is_ok());
        Ok(sent.count() > 0)
    }

    /// A number read from a list may be another process by now; one that is still listed once a descriptor of it is
    /// held is not.
    fn hold(&self, pids: &[i32]) -> Result<Vec<(i32, OwnedFd)>> {
        let mut held: Vec<(i32, OwnedFd)> = pids
            .iter()
            .filter_map(|pid| Some((*pid, pidfd(*pid)?)))
            .collect();
        let listed: BTreeSet<i32> = self.processes()?.into_iter().collect();
        held.retain(|(pid, _)| listed.contains(pid));
        Ok(held)
    }

    fn kill_these(&self, pids: &[i32]) -> Result<()> {
        for (pid, process) in &self.hold(pids)? {
            match pidfd_send_signal(process, Signal::KILL) {
                Ok(()) | Err(Errno::SRCH) => {}
                Err(errno) => return Err(error(format!("kill process {pid}"), errno)),
            }
        }
        Ok(())
    }

    /// Removes it with all cgroups below, and the parents that were made for it if nothing else is in them; its scope
    /// is stopped before. It waits for processes that are dying, so kill first.
    ///
    /// # Errors
    /// When processes are still there after ten seconds, a directory cannot be removed, or systemd does not stop it.
    pub fn remove(&self) -> Result<()> {
        let is_there = self.directories.iter().any(Option::is_some);
        // By its name alone, only while its cgroup is there: after that the name may be another's.
        if let Some(unit) = &self.location.unit
            && (is_there || unit.invocation.is_some())
        {
            systemd::stop(unit)?;
        }
        let deadline = Instant::now() + PATIENCE;
        let mut pause = Duration::from_micros(200);
        while self.removal_is_held_up()? {
            let processes = self.processes()?;
            if Instant::now() > deadline {
                return Err(Error::new(
                    "remove the cgroup",
                    format!(
                        "processes {processes:?} are still in it after {} s",
                        PATIENCE.as_secs()
                    ),
                ));
            }
            for pid in &processes {
                await_exit(*pid, deadline)
                    .map_err(|errno| error(format!("wait for process {pid}"), errno))?;
            }
            // From a process's end to its leaving the cgroup there is no event.
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(10));
        }
        // At the next boot, parents of these names are another's.
        if !self.location.mark.is_of_this_boot()? {
            return Ok(());
        }
        for parent in self.location.made.iter().rev() {
            match filesystem::remove(parent) {
                Ok(()) | Err(Errno::NOENT | Errno::BUSY | Errno::NOTEMPTY) => {}
                Err(errno) => {
                    let error = error(format!("remove {}", quote_path(parent)), errno);
                    // Of a killed creation it is only known that it was not there before.
                    if !matches!(self.location.mark, Mark::Claimed(_)) {
                        return Err(error);
                    }
                    log::debug!("{error}");
                }
            }
        }
        Ok(())
    }

    /// Removes what can be removed; true while processes hold a directory.
    pub(super) fn removal_is_held_up(&self) -> Result<bool> {
        let mut is_held_up = false;
        for (group, directory) in self.location.groups.iter().zip(&self.directories) {
            let Some(directory) = directory else { continue };
            let path = group.directory();
            let removed = match filesystem::remove_below(directory.as_fd()) {
                Ok(()) | Err(Errno::NOENT | Errno::NODEV) => filesystem::remove(&path),
                busy => busy,
            };
            match removed {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(Errno::BUSY | Errno::NOTEMPTY) => is_held_up = true,
                Err(errno) => return Err(error(format!("remove {}", quote_path(&path)), errno)),
            }
        }
        Ok(is_held_up)
    }
}

fn pidfd(pid: i32) -> Option<OwnedFd> {
    pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()
}

/// Returns when the process has ended or the deadline is over.
fn await_exit(pid: i32, deadline: Instant) -> SysResult<()> {
    match pidfd(pid) {
        Some(process) => wait(&process, PollFlags::IN, deadline).map(drop),
        None => Ok(()),
    }
}

/// Whether the event came before the deadline.
pub(super) fn wait(fd: &OwnedFd, event: PollFlags, deadline: Instant) -> SysResult<bool> {
    loop {
        match poll(&mut [PollFd::new(fd, event)], Some(&time_left(deadline))) {
            Err(Errno::INTR) => {}
            result => return result.map(|ready| ready > 0),
        }
    }
}
