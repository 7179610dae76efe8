//! The root filesystem of an image in the store: its layers, with a directory for what is written over them, as an overlay
//! mount. That of a `launch` is in a mount namespace of its process: the host never has it, and it goes with the process.
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
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, unmount};

use super::scratch::Scratch;
use crate::error::{Doing, Error, Result};
use crate::image::layer::{Caller, Limits};
use crate::image::store::{Held, ImageStore, Record, mount_source};
use crate::image::{Image, Progress};
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
    mount_all(&[lower], scratch.directory(), None, Life::Short, "stockade")
}

/// Mounts the layers of an image, highest first, below a directory in `scratch`; the path of the mount.
///
/// # Errors
/// What the kernel said.
pub(super) fn mount(held: &Held, scratch: &Scratch) -> Result<PathBuf> {
    let root = held.root();
    mount_all(
        &held.layers,
        scratch.directory(),
        root,
        Life::Short,
        "stockade",
    )?;
    Ok(scratch.rootfs())
}

/// Mounts the layers of an image on `rootfs` in the open directory of a bundle, on this host; what is written goes to `upper`
/// there. Root alone may.
///
/// # Errors
/// The store cannot take the image; what the kernel said of the mount.
pub fn mount_bundle(
    store: &Path,
    image: &Image,
    bundle: BorrowedFd<'_>,
    limits: &Limits,
    progress: &Progress,
) -> Result<Record> {
    let images = ImageStore::open(store)?;
    let held = match images.find(image, limits)? {
        Some(held) => held,
        None => images.fill(image, limits, progress)?,
    };
    let source = mount_source(&held.record.digest);
    mount_all(&held.layers, bundle, held.root(), Life::Long, &source)?;
    Ok(held.record)
}

/// Takes the mount on `rootfs` in this directory away; that there is none is fine. By descriptor: under the path of the
/// directory another one may stand by now, with a mount of somebody else.
///
/// # Errors
/// umount2(2) fails.
pub(super) fn unmount_below(directory: BorrowedFd<'_>) -> Result<()> {
    let rootfs = format!("/proc/self/fd/{}/rootfs", directory.as_raw_fd());
    match unmount(rootfs, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
        // Nothing is mounted there, there is nothing, or nobody but root may ask.
        Ok(()) | Err(Errno::INVAL | Errno::NOENT | Errno::PERM) => Ok(()),
        Err(errno) => Err(errno).doing(|| "unmount the root filesystem"),
    }
}

/// How long what is written is to stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    /// As long as the mount, so that none of it need reach the disk.
    Short,
    /// Longer.
    Long,
}

/// Mounts `layers` on `rootfs` in `place`, and makes that with `upper` and `work` beside it.
fn mount_all(
    layers: &[OwnedFd],
    place: BorrowedFd<'_>,
    root: Option<BorrowedFd<'_>>,
    life: Life,
    source: &str,
) -> Result<()> {
    let upper = make(place, "upper")?;
    let work = make(place, "work")?;
    let target = make(place, "rootfs")?;
    dress(upper.as_fd(), root)?;
    let options = options(layers, &upper, &work, life);
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    rustix::mount::mount(source, by_fd(&target), c"overlay", flags, &*options)
        .doing(|| "mount the layers of the image")
}

fn options(layers: &[OwnedFd], upper: &OwnedFd, work: &OwnedFd, life: Life) -> CString {
    let lower: Vec<String> = layers.iter().rev().map(by_fd).collect();
    // No layer has a redirect or a copy without data, and none would be followed. `volatile` came with Linux 5.10,
    // `userxattr`, which is for mounts without root, with 5.11.
    let volatile = if life == Life::Short { ",volatile" } else { "" };
    let user = match Caller::find() {
        Caller::Root => "",
        Caller::User | Caller::Mapped => ",userxattr",
    };
    let text = format!(
        "lowerdir={},upperdir={},workdir={},index=off,metacopy=off,redirect_dir=nofollow{volatile}{user}",
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
