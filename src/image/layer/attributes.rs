//! Owner, mode, extended attributes and times of what an entry makes, in the order that each survives the next: a change
//! of owner clears set-id bits and file capabilities (chown(2), capabilities(7)).

use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, Gid, Mode, Stat, Timestamps, Uid, XattrFlags};

use super::archive::Entry;
use super::cause::{Called, Cause, Step};
use super::pax::Time;
use super::tree::{Id, id, timespec};
use super::{Applied, Ids, Options, Privileges, Range};
use crate::error::quote;
use crate::sys::Errno;

impl Ids {
    /// The ids on this host for those in an archive.
    pub(super) fn map(&self, uid: u64, gid: u64) -> Step<(u32, u32)> {
        match self {
            Self::Everything { uid, gid } => Ok((*uid, *gid)),
            Self::Keep => Ok((plain(uid, "uid")?, plain(gid, "gid")?)),
            Self::Ranges { uids, gids } => {
                Ok((ranged(uids, uid, "uid")?, ranged(gids, gid, "gid")?))
            }
        }
    }
}

/// 2^32-1 is no id: chown(2) takes it for "no change".
fn plain(id: u64, what: &str) -> Step<u32> {
    u32::try_from(id)
        .ok()
        .filter(|id| *id != u32::MAX)
        .ok_or_else(|| Cause::new(format!("the {what} {id} does not exist on Linux")))
}

fn ranged(ranges: &[Range], id: u64, what: &str) -> Step<u32> {
    let mapped = ranges.iter().find_map(|range| {
        let offset = id.checked_sub(u64::from(range.inside))?;
        let is_in = offset < u64::from(range.length);
        is_in.then(|| u64::from(range.outside) + offset)
    });
    let id_outside = mapped.ok_or_else(|| {
        Cause::new(format!("the {what} {id} is in no mapped range")).hint(format!(
            "map more ids: the layer needs at least {what} {id}"
        ))
    })?;
    plain(id_outside, what)
}

/// The permission bits that an entry gets.
pub(super) fn mode(entry: &Entry, options: &Options, applied: &mut Applied) -> u32 {
    if options.privileges == Privileges::Drop && entry.mode & 0o6000 != 0 {
        // On a directory set-gid is inheritance of the group, no privilege.
        let bits = if entry.kind == super::archive::Kind::Directory {
            0o4000
        } else {
            0o6000
        };
        if entry.mode & bits != 0 {
            applied.stripped += 1;
        }
        return entry.mode & !bits;
    }
    entry.mode
}

/// Owner, mode, attributes of an open file or directory, in this order. Not its times. Says which object it is.
pub(super) fn set(
    fd: BorrowedFd<'_>,
    entry: &Entry,
    mode: u32,
    options: &Options,
    applied: &mut Applied,
) -> Step<Id> {
    let (uid, gid) = options.ids.map(entry.uid, entry.gid)?;
    // To look costs a fraction of a change, which the file system writes to its journal; most files are right already.
    let stat = rustix::fs::fstat(fd).called("fstat")?;
    let is_owned = (stat.st_uid, stat.st_gid) == (uid, gid);
    if !is_owned {
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        rustix::fs::fchown(fd, Some(uid), Some(gid)).called("fchown")?;
    }
    if !is_owned || stat.st_mode & 0o7777 != mode {
        rustix::fs::fchmod(fd, Mode::from_raw_mode(mode)).called("fchmod")?;
    }
    set_xattrs(fd, entry, options, applied);
    Ok(id(&stat))
}

/// Owner of what cannot be opened: a symlink, a device, a FIFO.
pub(super) fn set_owner_at(
    directory: BorrowedFd<'_>,
    name: &[u8],
    entry: &Entry,
    options: &Options,
) -> Step<()> {
    let (uid, gid) = options.ids.map(entry.uid, entry.gid)?;
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    rustix::fs::chownat(directory, name, Some(uid), Some(gid), flags).called("fchownat")
}

/// Times of what cannot be opened.
pub(super) fn set_times_at(directory: BorrowedFd<'_>, name: &[u8], entry: &Entry) -> Step<()> {
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    rustix::fs::utimensat(directory, name, &times(entry), flags).called("utimensat")
}

/// Permissions of what cannot be opened, never those of a symlink's target.
pub(super) fn change_mode_at(directory: BorrowedFd<'_>, name: &[u8], mode: u32) -> Step<()> {
    use nix::sys::stat;
    let mode = stat::Mode::from_bits_truncate(mode);
    // The kernel has this since 6.6, the C library by way of /proc/self/fd before.
    stat::fchmodat(directory, name, mode, stat::FchmodatFlags::NoFollowSymlink)
        .map_err(|errno| Errno::from_raw_os_error(errno as i32))
        .called("fchmodat")
}

/// An entry's times; without an access time that of modification stands in, so that unpacking is reproducible.
pub(super) fn times(entry: &Entry) -> Timestamps {
    let spec = |time: Time| timespec(time.seconds, time.nanoseconds);
    Timestamps {
        last_access: spec(entry.atime.unwrap_or(entry.mtime)),
        last_modification: spec(entry.mtime),
    }
}

/// The times that an object has.
pub(super) fn timestamps_of(stat: &Stat) -> Timestamps {
    Timestamps {
        last_access: timespec(stat.st_atime, stat.st_atime_nsec as u32),
        last_modification: timespec(stat.st_mtime, stat.st_mtime_nsec as u32),
    }
}

/// What becomes of an extended attribute of this name.
enum Fate {
    Set,
    /// Meaningless or dangerous on another host: overlayfs' own, and a label of the policy of the host that built it.
    Drop,
    /// A file capability, and privileges are not kept.
    Strip,
    Unknown,
}

fn fate(name: &[u8], options: &Options) -> Fate {
    let starts = |prefix: &str| name.starts_with(prefix.as_bytes());
    if starts("trusted.overlay.") || starts("user.overlay.") || name == b"security.selinux" {
        Fate::Drop
    } else if name == b"security.capability" && options.privileges == Privileges::Drop {
        Fate::Strip
    } else if starts("user.") || starts("security.") || starts("trusted.") {
        Fate::Set
    } else {
        Fate::Unknown
    }
}

/// Warns of the attributes of what cannot be opened: only by path could they be set.
pub(super) fn skip_xattrs(entry: &Entry, options: &Options, applied: &mut Applied) {
    for (name, _) in &entry.xattrs {
        match fate(name, options) {
            Fate::Drop => applied.dropped += 1,
            Fate::Strip => applied.stripped += 1,
            Fate::Unknown | Fate::Set => applied.warn(format!(
                "{}: attribute {} of what is neither file nor directory",
                quote(&entry.path),
                quote(name)
            )),
        }
    }
}

/// A failure is a warning: file systems differ in what they keep, and `trusted` needs privileges.
fn set_xattrs(fd: BorrowedFd<'_>, entry: &Entry, options: &Options, applied: &mut Applied) {
    for (name, value) in &entry.xattrs {
        match fate(name, options) {
            Fate::Drop => applied.dropped += 1,
            Fate::Strip => applied.stripped += 1,
            Fate::Unknown => applied.warn(format!(
                "{}: attribute {} is of an unknown namespace",
                quote(&entry.path),
                quote(name)
            )),
            Fate::Set => {
                let result = rustix::fs::fsetxattr(fd, &name[..], value, XattrFlags::empty());
                if let Err(cause) = result.called("fsetxattr") {
                    let (path, name) = (quote(&entry.path), quote(name));
                    applied.warn(format!("{path}: attribute {name}: {cause}"));
                }
            }
        }
    }
}

/// Removes the attributes that a directory has from the layers below and that an entry would have set: an entry says all
/// there is.
pub(super) fn clear_xattrs(fd: impl AsFd, options: &Options) -> Step<()> {
    let mut list = vec![0; 64 << 10];
    let length = match rustix::fs::flistxattr(&fd, &mut list[..]) {
        Ok(length) => length,
        Err(Errno::OPNOTSUPP) => return Ok(()),
        Err(errno) => return Err(errno).called("flistxattr"),
    };
    for name in list[..length].split(|byte| *byte == 0) {
        if matches!(fate(name, options), Fate::Set | Fate::Strip) {
            match rustix::fs::fremovexattr(&fd, name) {
                // `security` and `trusted` are not an ordinary caller's to remove.
                Ok(()) | Err(Errno::NODATA | Errno::PERM | Errno::ACCESS) => {}
                Err(errno) => return Err(errno).called("fremovexattr"),
            }
        }
    }
    Ok(())
}
