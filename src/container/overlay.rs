//! The root filesystem of an image in the store: its layers, with a directory for what is written over them, as an overlay
//! mount in a mount namespace of this process. The host never has the mount, and it goes with the process.
//! kernel: Documentation/filesystems/overlayfs.rst. Not which layers: see `image::store`.
//!
//! All directories go by descriptor, as /proc/self/fd/N: short enough for the options of mount(2), which are one page, and
//! no path is looked up twice. The `lowerdir+` of fsconfig(2) would need Linux 6.7, and 256 bytes are all that a value has
//! there before.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, Timestamps, fchmod, fchown, fstat, mkdirat, openat, utimensat,
};
use rustix::mount::MountFlags;

use super::scratch::Scratch;
use crate::error::{Doing, Error, Result};
use crate::image::store::Held;
use crate::sys::clone::unshare;
use crate::sys::mount::{Change, Reach, change};

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Moves this process to a mount namespace of its own, which hears of the host's mounts and never tells of its own. Without
/// root that takes a user namespace too, in which this user is still who it is and nobody else is there.
///
/// # Errors
/// unshare(2) is refused.
pub(super) fn leave_host() -> Result<()> {
    let uid = rustix::process::geteuid();
    let gid = rustix::process::getegid();
    let mut flags = libc::CLONE_NEWNS;
    if !uid.is_root() {
        flags |= libc::CLONE_NEWUSER;
    }
    unshare(flags).map_err(|errno| {
        Error::new("leave the host's mount namespace", errno)
            .hint("without root this takes user namespaces: see /proc/sys/user/max_user_namespaces")
    })?;
    if !uid.is_root() {
        let (uid, gid) = (uid.as_raw(), gid.as_raw());
        write_map("setgroups", "deny")?;
        write_map("gid_map", &format!("{gid} {gid} 1"))?;
        write_map("uid_map", &format!("{uid} {uid} 1"))?;
    }
    let doing = || "cut the mount namespace off from the host";
    let root = openat(CWD, c"/", DIRECTORY | OFlags::PATH, Mode::empty()).doing(doing)?;
    change(
        root.as_fd(),
        Change::propagation(libc::MS_SLAVE),
        Reach::Tree,
    )
    .doing(doing)
}

fn write_map(file: &str, text: &str) -> Result<()> {
    std::fs::write(format!("/proc/self/{file}"), text)
        .doing(|| format!("map this user: write {file}"))
}

/// Whether overlay mounts can be had there: a directory in `parent` is mounted over another, and goes again.
///
/// # Errors
/// What the kernel said.
pub(super) fn check(parent: &Path) -> Result<()> {
    let scratch = Scratch::make(parent)?;
    let lower = make(scratch.directory(), "lower")?;
    mount_all(&[lower], &scratch, None).map(drop)
}

/// Mounts the layers of an image, highest first, below a directory in `scratch`; the path of the mount.
///
/// # Errors
/// What the kernel said.
pub(super) fn mount(held: &Held, scratch: &Scratch) -> Result<PathBuf> {
    let root = held.record.root.and_then(|index| held.layers.get(index));
    mount_all(&held.layers, scratch, root.map(AsFd::as_fd))
}

fn mount_all(
    layers: &[OwnedFd],
    scratch: &Scratch,
    root: Option<BorrowedFd<'_>>,
) -> Result<PathBuf> {
    let upper = make(scratch.directory(), "upper")?;
    let work = make(scratch.directory(), "work")?;
    let target = make(scratch.directory(), "rootfs")?;
    dress(upper.as_fd(), root)?;
    let options = options(layers, &upper, &work);
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    let mounted = rustix::mount::mount(c"stockade", by_fd(&target), c"overlay", flags, &*options);
    mounted.doing(|| "mount the layers of the image")?;
    Ok(scratch.rootfs())
}

fn options(layers: &[OwnedFd], upper: &OwnedFd, work: &OwnedFd) -> CString {
    let lower: Vec<String> = layers.iter().rev().map(by_fd).collect();
    // Nothing is kept of what is written, so that it need not reach the disk (`volatile`, Linux 5.10). No layer has a
    // redirect or a copy without data, and none would be followed. Without root these two are off with `userxattr`.
    let common = "volatile,index=off,metacopy=off,redirect_dir=nofollow";
    let user = if rustix::process::geteuid().is_root() {
        ""
    } else {
        ",userxattr"
    };
    let text = format!(
        "lowerdir={},upperdir={},workdir={},{common}{user}",
        lower.join(":"),
        by_fd(upper),
        by_fd(work)
    );
    CString::new(text).expect("numbers and words")
}

fn by_fd(fd: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

fn make(parent: BorrowedFd<'_>, name: &str) -> Result<OwnedFd> {
    let doing = || format!("make {name} in the scratch directory");
    mkdirat(parent, name, Mode::RWXU).doing(doing)?;
    openat(parent, name, DIRECTORY, Mode::empty()).doing(doing)
}

/// What the overlay shows as its root is the upper directory: it looks like the root of the highest layer that has one.
fn dress(upper: BorrowedFd<'_>, root: Option<BorrowedFd<'_>>) -> Result<()> {
    let doing = || "make the root filesystem";
    let Some(root) = root else {
        return fchmod(upper, Mode::from_raw_mode(0o755)).doing(doing);
    };
    let found = fstat(root).doing(doing)?;
    let (uid, gid) = (found.st_uid, found.st_gid);
    let owner = (
        rustix::fs::Uid::from_raw(uid),
        rustix::fs::Gid::from_raw(gid),
    );
    fchown(upper, Some(owner.0), Some(owner.1)).doing(doing)?;
    fchmod(upper, Mode::from_raw_mode(found.st_mode & 0o7777)).doing(doing)?;
    let at = |seconds, nanoseconds| rustix::fs::Timespec {
        tv_sec: seconds,
        tv_nsec: nanoseconds,
    };
    let times = Timestamps {
        last_access: at(found.st_atime, found.st_atime_nsec as _),
        last_modification: at(found.st_mtime, found.st_mtime_nsec as _),
    };
    utimensat(upper, c"", &times, AtFlags::EMPTY_PATH).doing(doing)
}
