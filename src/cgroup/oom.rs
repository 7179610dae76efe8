//! Out of memory: whether the kernel has killed for it, and when it does.
//! `memory.events` on v2, `memory.oom_control` on v1 (kernel documentation, admin-guide/cgroup-v2 and cgroup-v1/memory).

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::event::{EventfdFlags, PollFlags, eventfd};

use super::filesystem::{self, error, value_of};
use super::group::Cgroup;
use crate::error::{Error, Result, quote_path};
use crate::sys::{Errno, SysResult};

impl Cgroup {
    /// Whether the kernel has killed a process in it for want of memory.
    ///
    /// # Errors
    /// When the count cannot be read.
    pub fn oom_killed(&self) -> Result<bool> {
        let Some((group, _)) = self.of("memory") else {
            return Ok(false);
        };
        // v2: there is no file where the controller is not enabled for it.
        let text = self.text("memory", events_file(group.v2))?;
        Ok(value_of(&text.unwrap_or_default(), "oom_kill").is_some_and(|count| count > 0))
    }

    /// Which of its limits were hit so far, in words: `memory` where the kernel has killed for it, `pids` where it has refused
    /// another process.
    ///
    /// # Errors
    /// When a count cannot be read.
    pub fn limits_hit(&self) -> Result<Vec<&'static str>> {
        let mut hit = Vec::new();
        if self.oom_killed()? {
            hit.push("memory");
        }
        let refused = self.text("pids", "pids.events")?.unwrap_or_default();
        if value_of(&refused, "max").is_some_and(|count| count > 0) {
            hit.push("pids");
        }
        Ok(hit)
    }

    /// Begins to watch for the kernel killing in it for want of memory.
    ///
    /// # Errors
    /// When no memory controller watches over it, or the kernel refuses.
    pub fn watch_memory(&self) -> Result<MemoryWatch> {
        let doing = "watch for the end of memory";
        let (group, directory) = self
            .of("memory")
            .ok_or_else(|| Error::new(doing, "this host has no \"memory\" cgroup controller"))?;
        let watch = if group.v2 {
            MemoryWatch::of_v2(directory)
        } else {
            MemoryWatch::of_v1(directory)
        };
        watch.map_err(|errno| {
            let path = quote_path(&group.directory().join(events_file(group.v2)));
            error(format!("{doing} by {path}"), errno)
        })
    }
}

fn events_file(v2: bool) -> &'static str {
    if v2 {
        "memory.events"
    } else {
        "memory.oom_control"
    }
}

/// A descriptor to poll, and how to read from it what happened.
#[derive(Debug)]
pub struct MemoryWatch {
    source: Source,
}

#[derive(Debug)]
enum Source {
    /// An eventfd(2) that the kernel adds to.
    Counter(OwnedFd),
    /// `memory.events`, and its last count of kills.
    Events(OwnedFd, u64),
}

impl MemoryWatch {
    /// The line is the eventfd's number and that of the file to watch.
    fn of_v1(directory: BorrowedFd<'_>) -> SysResult<Self> {
        let counter = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let watched = filesystem::to_read(directory, "memory.oom_control")?;
        let line = format!("{} {}", counter.as_raw_fd(), watched.as_raw_fd());
        filesystem::write(directory, "cgroup.event_control", &line)?;
        let source = Source::Counter(counter);
        Ok(Self { source })
    }

    fn of_v2(directory: BorrowedFd<'_>) -> SysResult<Self> {
        let events = filesystem::to_read(directory, "memory.events")?;
        let kills = kills(&events)?;
        let source = Source::Events(events, kills);
        Ok(Self { source })
    }

    /// What to poll, and for what.
    pub fn to_poll(&self) -> (BorrowedFd<'_>, PollFlags) {
        match &self.source {
            Source::Counter(counter) => (counter.as_fd(), PollFlags::IN),
            Source::Events(events, _) => (events.as_fd(), PollFlags::PRI),
        }
    }

    /// Whether memory has run out since the last call. The removal of the cgroup does not count.
    ///
    /// # Errors
    /// When the descriptor cannot be read.
    pub fn has_run_out(&mut self, cgroup: &Cgroup) -> Result<bool> {
        let answer = match &mut self.source {
            Source::Counter(counter) => match rustix::io::read(&*counter, &mut [0; 8]) {
                // The kernel adds to the counter at the cgroup's removal as well.
                Ok(_) => return cgroup.holds("memory", "memory.oom_control"),
                Err(Errno::AGAIN) => Ok(false),
                Err(errno) => Err(errno),
            },
            Source::Events(events, before) => kills(events).map(|now| {
                let has_grown = now > *before;
                *before = now;
                has_grown
            }),
        };
        match answer {
            Ok(answer) => Ok(answer),
            // Removed.
            Err(Errno::NODEV) => Ok(false),
            Err(errno) => Err(error("read the memory events", errno)),
        }
    }
}

fn kills(events: &OwnedFd) -> SysResult<u64> {
    let mut text = [0u8; 1024];
    let length = rustix::io::pread(events, &mut text, 0)?;
    Ok(value_of(&String::from_utf8_lossy(&text[..length]), "oom_kill").unwrap_or(0))
}
