//! Whiteouts as overlayfs has them in a layer's own directory, kernel: Documentation/filesystems/overlayfs.rst.
//! Not the archive's whiteouts, which are names: see `name`.

use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, FileType, Mode, Stat, XattrFlags};

use super::Whiteouts;
use super::cause::{Called, Step};
use crate::sys::Errno;

/// The attribute that hides what the layers below have in a directory.
pub(super) fn opaque_name(whiteouts: Whiteouts) -> Option<&'static str> {
    match whiteouts {
        Whiteouts::Remove => None,
        Whiteouts::Overlay => Some("trusted.overlay.opaque"),
        Whiteouts::OverlayUser => Some("user.overlay.opaque"),
    }
}

/// Whether this is a whiteout, and whiteouts are kept as such.
pub(super) fn is_whiteout(whiteouts: Whiteouts, stat: &Stat) -> bool {
    whiteouts != Whiteouts::Remove
        && FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
        && stat.st_rdev == 0
}

/// Hides what the layers below have in a directory.
pub(super) fn set_opaque(whiteouts: Whiteouts, directory: BorrowedFd<'_>) -> Step<()> {
    match opaque_name(whiteouts) {
        Some(name) => {
            rustix::fs::fsetxattr(directory, name, b"y", XattrFlags::empty()).called("fsetxattr")
        }
        None => Ok(()),
    }
}

/// Hides a name of the layers below; needs no privilege since Linux 5.8.
pub(super) fn make_whiteout(directory: BorrowedFd<'_>, name: &[u8]) -> Step<()> {
    let kind = FileType::CharacterDevice;
    match rustix::fs::mknodat(directory, name, kind, Mode::empty(), 0) {
        // Two whiteouts of one name.
        Err(Errno::EXIST) => {
            let stat =
                rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).called("fstatat")?;
            if is_whiteout(Whiteouts::Overlay, &stat) {
                return Ok(());
            }
            Err(Errno::EXIST).called("mknodat")
        }
        result => result.called("mknodat"),
    }
}
