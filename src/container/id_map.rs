//! Id maps: of a new user namespace (user_namespaces(7)) and of a mount (mount_setattr(2), `MOUNT_ATTR_IDMAP`).
//! Not here: the programs that write a map for a user without privileges (`map_program`).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::process::{Signal, pidfd_send_signal};

use super::child::reap;
use super::map_program::{NEWGIDMAP, NEWUIDMAP};
use crate::error::{Doing, Error, Result};
use crate::plan::{IdMapText, MapWriter};
use crate::sys::clone::{Side, clone3};
use crate::sys::mount::{self, Reach};
use crate::sys::{prctl, program};

/// Writes the maps of the user namespace of `pid`, a child that waits for them. One write each: the kernel takes a map only
/// once and whole.
pub(super) fn write(pid: i32, maps: &IdMapText) -> Result<()> {
    if maps.denies_setgroups() {
        write_file(pid, "setgroups", "deny", "linux.gidMappings")?;
    }
    match maps.gid_by {
        MapWriter::Program => NEWGIDMAP.map(pid, &maps.gid),
        _ => write_file(pid, "gid_map", &maps.gid, "linux.gidMappings"),
    }?;
    match maps.uid_by {
        MapWriter::Program => NEWUIDMAP.map(pid, &maps.uid),
        _ => write_file(pid, "uid_map", &maps.uid, "linux.uidMappings"),
    }
}

fn write_file(pid: i32, file: &str, text: &str, field: &str) -> Result<()> {
    std::fs::write(format!("/proc/{pid}/{file}"), text).map_err(|cause| {
        Error::new(format!("{field}: write {file}"), cause)
            .hint("without privileges only one's own id can be mapped, in one line of size 1")
    })
}

/// Maps the ids of a detached mount. The map is that of a user namespace, so one is made for as long as it takes.
pub(super) fn map_mount(tree: BorrowedFd<'_>, maps: &IdMapText, recursive: bool) -> Result<()> {
    map_mount_as(tree, user_namespace(maps)?.as_fd(), recursive)
}

/// Maps the ids of a detached mount as a user namespace does.
pub(super) fn map_mount_as(
    tree: BorrowedFd<'_>,
    user: BorrowedFd<'_>,
    recursive: bool,
) -> Result<()> {
    let reach = if recursive { Reach::Tree } else { Reach::Mount };
    mount::map_ids(tree, user, reach).map_err(|errno| {
        Error::new("map the ids of a mount", errno)
            .hint("the filesystem may not support idmapped mounts")
    })
}

/// A new user namespace with these maps.
pub(super) fn user_namespace(maps: &IdMapText) -> Result<OwnedFd> {
    let parent = rustix::process::getpid();
    let (pid, pidfd) =
        match clone3(libc::CLONE_NEWUSER as u64, None).doing(|| "clone a user namespace")? {
            Side::Child => {
                let is_tied = prctl::signal_on_parent_death(libc::SIGKILL).is_ok();
                // The parent may have ended before that took effect.
                if !is_tied || rustix::process::getppid() != Some(parent) {
                    program::exit_now(1);
                }
                program::pause()
            }
            Side::Parent(pid, pidfd) => (pid, pidfd),
        };
    let opened = write(pid, maps).and_then(|()| {
        openat(
            CWD,
            format!("/proc/{pid}/ns/user"),
            OFlags::RDONLY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .doing(|| "open a user namespace")
    });
    pidfd_send_signal(&pidfd, Signal::KILL).doing(|| "end the holder of a user namespace")?;
    reap(pidfd.as_fd())?;
    opened
}
