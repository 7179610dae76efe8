//! What tells a container's own cgroup from another one at the same place: which directories it is, and the name of its
//! container on each. What tells a scope from another one is `Unit::invocation`.

use std::ffi::CStr;
use std::fs;
use std::io::ErrorKind;
use std::os::fd::BorrowedFd;

use rustix::fs::{XattrFlags, fgetxattr, fremovexattr, fsetxattr, fstat};
use serde::{Deserialize, Serialize};

use crate::error::{Doing, Error, Result};
use crate::sys::{Errno, SysResult};

/// Which of the cgroups that come to be at a place is the container's. Its path alone does not say: once the container has
/// ended, whoever likes may remove the cgroup and make one of the same name, be it another runtime or another state
/// directory.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Mark {
    /// Not known: not made yet, or of a state file from before there were marks.
    #[default]
    Unknown,
    /// About to be made for the container with this claim, which names its state directory; what a killed `create` has left says so.
    Claimed(String),
    /// Made.
    Made(Directories),
}

impl Mark {
    /// Whether it says nothing.
    pub fn is_unknown(&self) -> bool {
        *self == Self::Unknown
    }

    /// Whether what it was given to may still be there.
    ///
    /// # Errors
    /// Which boot this is cannot be read.
    pub(super) fn is_of_this_boot(&self) -> Result<bool> {
        match self {
            Self::Unknown | Self::Claimed(_) => Ok(true),
            Self::Made(directories) => Ok(directories.boot == boot()?),
        }
    }

    /// Whether this directory, that of the group at this position, is the one.
    ///
    /// # Errors
    /// The directory cannot be looked at.
    pub(super) fn is_on(&self, position: usize, directory: BorrowedFd<'_>) -> SysResult<bool> {
        match self {
            Self::Unknown => Ok(false),
            Self::Claimed(claimant) => Ok(claim(directory)?.as_ref() == Some(claimant)),
            Self::Made(made) => {
                let known = made.inodes.get(position).copied().flatten();
                Ok(known.is_some() && known == Some(inode(directory)?))
            }
        }
    }
}

/// Directories by what the kernel gives to no other one before the next boot: device, and an inode number of 64 bits that
/// counts up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directories {
    /// Which boot it was: the next one gives the same numbers again.
    boot: String,
    /// One for each group; none where there is no directory.
    inodes: Vec<Option<(u64, u64)>>,
}

impl Directories {
    pub(super) fn of<'a>(all: impl Iterator<Item = Option<BorrowedFd<'a>>>) -> Result<Self> {
        let inodes = all.map(|directory| directory.map(inode).transpose());
        Ok(Self {
            boot: boot()?,
            inodes: inodes
                .collect::<SysResult<_>>()
                .doing(|| "mark the cgroup")?,
        })
    }
}

/// Empty where /proc does not show it, which holds for as long as the same /proc is looked at.
fn boot() -> Result<String> {
    const BOOT: &str = "/proc/sys/kernel/random/boot_id";
    let hidden = [
        ErrorKind::NotFound,
        ErrorKind::NotADirectory,
        ErrorKind::PermissionDenied,
    ];
    match fs::read_to_string(BOOT) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(error) if hidden.contains(&error.kind()) => Ok(String::new()),
        Err(error) => Err(Error::new(format!("read {BOOT}"), error)),
    }
}

fn inode(directory: BorrowedFd<'_>) -> SysResult<(u64, u64)> {
    let found = fstat(directory)?;
    Ok((found.st_dev, found.st_ino))
}

/// Where a claim is: the first takes privileges over the host, the second is for all others (xattr(7); cgroup file systems
/// have had it since Linux 5.7).
const CLAIMS: [&CStr; 2] = [c"trusted.stockade", c"user.stockade"];
/// The longest claim, two numbers and a path.
const LONGEST: usize = libc::PATH_MAX as usize + 64;

/// The claim of the container that a cgroup is made for. A text that others may have written: it decides who
/// is refused a cgroup, and never who is killed.
///
/// # Errors
/// Other than that there is none, or that the file system has no such attributes for this user.
pub(super) fn claim(directory: BorrowedFd<'_>) -> SysResult<Option<String>> {
    let mut text = [0u8; LONGEST];
    for name in CLAIMS {
        match fgetxattr(directory, name, &mut text[..]) {
            Ok(length) => return Ok(Some(String::from_utf8_lossy(&text[..length]).into_owned())),
            Err(Errno::NODATA | Errno::PERM | Errno::ACCESS | Errno::OPNOTSUPP) => {}
            // No runtime of this name has written it.
            Err(Errno::RANGE) => return Ok(Some(String::new())),
            Err(errno) => return Err(errno),
        }
    }
    Ok(None)
}

/// Claims a cgroup that nobody has claimed. Where no attribute can be set, nothing is claimed, and the inode has to do.
///
/// # Errors
/// `EEXIST` when it is claimed already.
pub(super) fn set_claim(directory: BorrowedFd<'_>, claimant: &str) -> SysResult<()> {
    for name in CLAIMS {
        match fsetxattr(directory, name, claimant.as_bytes(), XattrFlags::CREATE) {
            Err(Errno::PERM | Errno::ACCESS | Errno::OPNOTSUPP) => {}
            other => return other,
        }
    }
    Ok(())
}

/// Takes back a claim.
pub(super) fn clear_claim(directory: BorrowedFd<'_>) {
    for name in CLAIMS {
        match fremovexattr(directory, name) {
            Ok(()) | Err(Errno::NODATA | Errno::PERM | Errno::ACCESS | Errno::OPNOTSUPP) => {}
            Err(errno) => log::debug!("take back the claim on a cgroup: {errno}"),
        }
    }
}
