//! `delete`: undoes what `create` made, then runs the poststop hooks (runtime.md, "Lifecycle", 12 and 13).

use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::store::Lock;
use super::{Entry, Remains, State, Status, Store, group, hooks, process};
use crate::error::{Doing, Error, Result, quote};
use crate::sys;

/// How long a killed process may take to end, in seconds. It can be held up by the kernel, not by itself.
const PATIENCE: i64 = 10;

/// How long whoever works on a container may go on once it is to be deleted by force. What is killed under a `create` ends
/// that; a poststart hook, which nothing ends, may hang for ever.
const PATIENCE_WITH_OTHERS: Duration = Duration::from_secs(30);

/// When `delete` refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unless {
    /// The container has not stopped, or does not exist.
    Stopped,
    /// Never: what runs is killed, and what is missing is fine.
    Forced,
}

/// Deletes a container.
///
/// # Errors
/// It is not stopped, or something of it cannot be removed; what is left can be deleted again.
pub fn delete(store: &Store, id: &str, unless: Unless) -> Result<()> {
    let entry = match store.load(id) {
        Err(_) if unless == Unless::Forced && super::id::check(id).is_ok() && !store.holds(id) => {
            return Ok(());
        }
        other => other?,
    };
    let lock = match unless {
        Unless::Stopped => {
            refuse_running(&entry, &entry.state())?;
            entry.lock()
        }
        Unless::Forced => take_away(&entry, PATIENCE_WITH_OTHERS),
    };
    let _lock = match lock {
        Err(_) if unless == Unless::Forced && !store.holds(id) => return Ok(()),
        other => other?,
    };
    // Whoever held the lock may have changed it.
    let state = entry.state();
    if unless == Unless::Stopped {
        refuse_running(&entry, &state)?;
    }
    remove(&entry, state.ok().as_ref())
}

/// Kills what is left of a container, removes its cgroup and its state, and runs the poststop hooks. The caller holds
/// the lock, or reserved the entry. Does nothing when the container was deleted already.
///
/// # Errors
/// Something of it cannot be removed.
pub fn destroy(entry: &Entry, state: &State) -> Result<()> {
    remove(entry, Some(state))
}

/// Takes the lock from whoever has it. A `create` that holds it gives up when its child dies; as it may have none yet, or
/// may be about to clone one, that is looked for until the lock is free.
fn take_away(entry: &Entry, patience: Duration) -> Result<Lock<'_>> {
    let until = Instant::now() + patience;
    loop {
        end(entry.remains().as_ref())?;
        if let Some(lock) = entry.try_lock()? {
            return Ok(lock);
        }
        if Instant::now() >= until {
            let doing = format!("delete container {}", quote(entry.id()));
            let seconds = patience.as_secs();
            let cause = format!("another stockade is still at work on it after {seconds} s");
            return Err(Error::new(doing, cause)
                .hint("a hook of the container may hang: end it, then delete again"));
        }
        thread::sleep(Duration::from_millis(10));
    }
}

fn remove(entry: &Entry, state: Option<&State>) -> Result<()> {
    if entry.is_gone() {
        return Ok(());
    }
    let remains = match state {
        Some(state) => Some(Remains::of(state)),
        None => entry.remains(),
    };
    end(remains.as_ref())?;
    if let Some(remains) = &remains {
        group::remove(remains.cgroup.as_ref())?;
    }
    entry.remove()?;
    if let Some((state, hooks)) =
        state.and_then(|state| Some((state, state.config.hooks.as_ref()?)))
    {
        hooks::run_all(
            &hooks.poststop,
            "poststop",
            &state.for_hooks(Status::Stopped),
        );
    }
    Ok(())
}

fn refuse_running(entry: &Entry, state: &Result<State>) -> Result<()> {
    let state = match state {
        Ok(state) => state,
        // A killed `create` left no state: there is nothing that could run.
        Err(_) if !entry.holds("state.json") && !entry.is_locked() => return Ok(()),
        Err(error) => return Err(error.clone()),
    };
    match state.status(entry) {
        // containerd deletes a task that it never started without --force, and runc ends it then.
        Status::Stopped | Status::Created => Ok(()),
        status => {
            let cause = format!("container is not stopped: {}", status.word());
            Err(
                Error::new(format!("delete container {}", quote(entry.id())), cause).hint(format!(
                    "kill it first, or: stockade delete --force {}",
                    entry.id()
                )),
            )
        }
    }
}

/// Kills the container's process and waits for its end.
fn end(remains: Option<&Remains>) -> Result<()> {
    let Some(remains) = remains else {
        return Ok(());
    };
    let doing = || format!("kill process {}", remains.pid);
    let Some(pidfd) = process::open(remains.pid, remains.start_time)? else {
        return Ok(());
    };
    match sys::signal::send(pidfd.as_fd(), libc::SIGKILL) {
        Err(Errno::SRCH) => return Ok(()),
        other => other.doing(doing)?,
    }
    // A frozen process ends only when its cgroup is killed or thawed; that is `group`'s work.
    if group::is_frozen(remains.cgroup.as_ref()) {
        group::remove(remains.cgroup.as_ref())?;
    }
    if process::wait(&pidfd, PATIENCE)? {
        return Ok(());
    }
    Err(Error::new(
        doing(),
        format!("still there after {PATIENCE} s"),
    ))
}

#[cfg(test)]
mod tests;
