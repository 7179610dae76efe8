//! The keeper of a `launch`: a process that waits for the launcher's end and, if that came without a farewell, cleans up
//! in its place. A killed process cannot tidy up after itself.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, WaitOptions, waitpid};

use super::scratch::Scratch;
use super::{Store, Unless, delete};
use crate::error::{Doing, Result};
use crate::sys::{attributes, program};

/// The launcher's side.
#[derive(Debug)]
pub(super) struct Keeper {
    farewell: OwnedFd,
    pid: i32,
}

/// Forks the keeper of the container that runs in `scratch`. It keeps `lease` open, and so what that locks.
pub(super) fn start(
    store: &Store,
    scratch: &Scratch,
    lease: Option<BorrowedFd<'_>>,
) -> Result<Keeper> {
    let (end, farewell) = pipe_with(PipeFlags::CLOEXEC).doing(|| "make a pipe")?;
    let pid = program::fork().doing(|| "fork the keeper")?;
    if pid == 0 {
        drop(farewell);
        keep(store, scratch, lease, &end);
    }
    Ok(Keeper { farewell, pid })
}

impl Keeper {
    /// Everything is cleaned up already.
    pub(super) fn dismiss(self) {
        // If it is gone there is nobody to dismiss.
        let _ = rustix::io::write(&self.farewell, b".");
        if let Some(pid) = Pid::from_raw(self.pid) {
            let _ = rustix::io::retry_on_intr(|| waitpid(Some(pid), WaitOptions::empty()));
        }
    }
}

/// In the keeper: a byte is the farewell, the end without one is the launcher's death.
fn keep(store: &Store, scratch: &Scratch, lease: Option<BorrowedFd<'_>>, end: &OwnedFd) -> ! {
    // Signals for the launcher's group, such as an interrupt from a terminal, are not for the keeper; and whoever waits
    // for the end of the launcher's output must not wait for the keeper.
    let _ = rustix::process::setsid();
    let mut keep = vec![
        end.as_raw_fd(),
        store.directory().as_raw_fd(),
        scratch.directory().as_raw_fd(),
    ];
    keep.extend(lease.map(|lease| lease.as_raw_fd()));
    keep.sort_unstable();
    let _ = attributes::close_others(&keep);
    attributes::silence();
    let mut byte = [0];
    let farewell = rustix::io::retry_on_intr(|| rustix::io::read(end.as_fd(), &mut byte));
    if farewell != Ok(1) {
        if let Err(error) = delete(store, scratch.id(), Unless::Forced) {
            log::warn!("{error}");
        }
        if let Err(error) = scratch.remove() {
            log::warn!("{error}");
        }
    }
    program::exit_now(0)
}
