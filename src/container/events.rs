//! `events`: what a container uses, once or again and again, and when its memory runs out, until its end.
//! What is counted and how is in `cgroup::stats`; how it is written is the caller's business.

use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use serde::Serialize;

use super::{Entry, Status, group, process};
use crate::cgroup::{Cgroup, MemoryWatch, Stats};
use crate::error::{Doing, Error, Result, quote};
use crate::sys::time_left;

/// One event, as clients of runc read it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Event {
    /// Which kind.
    #[serde(rename = "type")]
    pub kind: EventKind,
    /// The container's id.
    pub id: String,
    /// What it uses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Box<Stats>>,
}

/// The kinds of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    /// What the container uses.
    Stats,
    /// The kernel has killed for want of memory.
    Oom,
}

/// What a container uses right now.
///
/// # Errors
/// It is not running, has no cgroup, or that cannot be read.
pub fn stats(entry: &Entry) -> Result<Event> {
    let (cgroup, _) = running(entry)?;
    counted(entry, &cgroup)
}

/// Calls `tell` with what the container uses at every interval, and whenever its memory has run out. Ends with the container,
/// when `tell` says so, or when nobody reads `output` any more.
///
/// # Errors
/// As [`stats`]; and whatever `tell` fails with.
pub fn watch(
    entry: &Entry,
    interval: Duration,
    output: BorrowedFd<'_>,
    mut tell: impl FnMut(&Event) -> Result<ControlFlow<()>>,
) -> Result<()> {
    let (cgroup, process) = running(entry)?;
    let mut memory = cgroup.watch_memory()?;
    let mut next = Instant::now() + interval;
    loop {
        let seen = wait(&process, &memory, output, next)?;
        // Before the end is looked at: it may be what ended the container.
        if memory.has_run_out(&cgroup)? && tell(&out_of_memory(entry))?.is_break() {
            return Ok(());
        }
        if seen.has_ended || seen.nobody_reads {
            return Ok(());
        }
        if Instant::now() < next {
            continue;
        }
        next += interval;
        match counted(entry, &cgroup) {
            Ok(event) if tell(&event)?.is_break() => return Ok(()),
            Ok(_) => {}
            Err(_) if entry.is_gone() => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// The cgroup and the process of a container that has not stopped.
fn running(entry: &Entry) -> Result<(Cgroup, OwnedFd)> {
    let doing = format!("read the events of container {}", quote(entry.id()));
    let not_running = || Error::new(&doing, "container not running");
    let state = entry.state()?;
    if matches!(state.status(entry), Status::Stopped | Status::Creating) {
        return Err(not_running());
    }
    let process = process::open(state.pid, state.start_time)?.ok_or_else(not_running)?;
    Ok((group::own(state.cgroup.as_ref(), &doing)?, process))
}

fn counted(entry: &Entry, cgroup: &Cgroup) -> Result<Event> {
    Ok(Event {
        kind: EventKind::Stats,
        id: entry.id().to_owned(),
        data: Some(Box::new(cgroup.stats()?)),
    })
}

fn out_of_memory(entry: &Entry) -> Event {
    Event {
        kind: EventKind::Oom,
        id: entry.id().to_owned(),
        data: None,
    }
}

struct Seen {
    has_ended: bool,
    nobody_reads: bool,
}

/// Waits for any event, or until `next`.
fn wait(
    process: &OwnedFd,
    memory: &MemoryWatch,
    output: BorrowedFd<'_>,
    next: Instant,
) -> Result<Seen> {
    let (events, flags) = memory.to_poll();
    let mut fds = [
        PollFd::from_borrowed_fd(process.as_fd(), PollFlags::IN),
        PollFd::from_borrowed_fd(events, flags),
        // Asked for nothing: only that the other end of a pipe is closed is told.
        PollFd::from_borrowed_fd(output, PollFlags::empty()),
    ];
    match poll(&mut fds, Some(&time_left(next))) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        failed => drop(failed.doing(|| "wait for events")?),
    }
    Ok(Seen {
        has_ended: !fds[0].revents().is_empty(),
        nobody_reads: fds[2]
            .revents()
            .intersects(PollFlags::ERR | PollFlags::NVAL),
    })
}
