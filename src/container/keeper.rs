//! The keeper of a `launch` or an `unpack`: a process that waits for the other's end and, if that came without a farewell,
//! cleans up in its place. A killed process cannot tidy up after itself.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;

use rustix::fs::{fstat, lstat, rmdir};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, WaitOptions, waitpid};

use super::scratch::Scratch;
use super::{Store, Unless, delete, overlay};
use crate::error::{Doing, Result, quote_path};
use crate::image;
use crate::sys::{attributes, program};

/// The side of whoever is kept.
#[derive(Debug)]
pub struct Keeper {
    farewell: OwnedFd,
    pid: i32,
}

/// Forks the keeper of the container that runs in `scratch`. It keeps `lease` open, and so what that locks.
pub(super) fn start(
    store: &Store,
    scratch: &Scratch,
    lease: Option<BorrowedFd<'_>>,
) -> Result<Keeper> {
    let mut descriptors = vec![
        store.directory().as_raw_fd(),
        scratch.directory().as_raw_fd(),
    ];
    descriptors.extend(lease.map(|lease| lease.as_raw_fd()));
    // Nobody is left to be told.
    fork(&descriptors, || {
        drop(delete(store, scratch.id(), Unless::Forced));
        drop(scratch.remove());
    })
}

/// Forks the keeper of a bundle that is being made, with what is mounted in it: `directory`, which was opened at `path`.
/// The process must have one thread.
///
/// # Errors
/// No pipe or no process can be had.
pub fn keep_bundle(path: &Path, directory: BorrowedFd<'_>) -> Result<Keeper> {
    // Nobody is left to be told.
    fork(&[directory.as_raw_fd()], || {
        drop(discard_bundle(path, directory));
    })
}

/// Removes a bundle that is being made, and what is mounted in it. Where `path` no longer leads to it, it was given its
/// name or somebody has moved it, and it stays.
///
/// # Errors
/// A call fails.
pub fn discard_bundle(path: &Path, directory: BorrowedFd<'_>) -> Result<()> {
    let doing = || format!("remove {}", quote_path(path));
    let now = match lstat(path) {
        Err(Errno::NOENT) => return Ok(()),
        other => other.doing(doing)?,
    };
    let then = fstat(directory).doing(doing)?;
    if (now.st_dev, now.st_ino) != (then.st_dev, then.st_ino) {
        return Ok(());
    }
    overlay::unmount_below(directory)?;
    image::discard(directory)?;
    rmdir(path).doing(doing)
}

fn fork(descriptors: &[RawFd], clean_up: impl FnOnce()) -> Result<Keeper> {
    let (end, farewell) = pipe_with(PipeFlags::CLOEXEC).doing(|| "make a pipe")?;
    let pid = program::fork().doing(|| "fork the keeper")?;
    if pid == 0 {
        drop(farewell);
        keep(descriptors, &end, clean_up);
    }
    Ok(Keeper { farewell, pid })
}

impl Keeper {
    /// Everything is cleaned up already.
    pub fn dismiss(self) {
        // If it is gone there is nobody to dismiss.
        let _ = rustix::io::write(&self.farewell, b".");
        if let Some(pid) = Pid::from_raw(self.pid) {
            let _ = rustix::io::retry_on_intr(|| waitpid(Some(pid), WaitOptions::empty()));
        }
    }
}

/// In the keeper: a byte is the farewell, the end without one is the other's death.
fn keep(descriptors: &[RawFd], end: &OwnedFd, clean_up: impl FnOnce()) -> ! {
    // Signals for the other's group, such as an interrupt from a terminal, are not for the keeper; and whoever waits
    // for the end of the other's output must not wait for the keeper.
    let _ = rustix::process::setsid();
    let mut keep = [&[end.as_raw_fd()], descriptors].concat();
    keep.sort_unstable();
    let _ = attributes::close_others(&keep);
    attributes::silence();
    let mut byte = [0];
    let farewell = rustix::io::retry_on_intr(|| rustix::io::read(end.as_fd(), &mut byte));
    if farewell != Ok(1) {
        clean_up();
    }
    program::exit_now(0)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_bundle_that_was_renamed_stays_and_so_does_what_has_its_path_now() {
        let place = tempfile::tempdir().unwrap();
        let [path, renamed] = ["partial", "bundle"].map(|name| place.path().join(name));
        fs::create_dir_all(path.join("rootfs/a")).unwrap();
        let directory = OwnedFd::from(fs::File::open(&path).unwrap());
        fs::rename(&path, &renamed).unwrap();
        discard_bundle(&path, directory.as_fd()).unwrap();
        fs::create_dir_all(path.join("rootfs/b")).unwrap();
        discard_bundle(&path, directory.as_fd()).unwrap();
        assert!(renamed.join("rootfs/a").exists() && path.join("rootfs/b").exists());
        fs::remove_dir_all(&path).unwrap();
        fs::rename(&renamed, &path).unwrap();
        discard_bundle(&path, directory.as_fd()).unwrap();
        assert!(!path.exists());
    }
}
