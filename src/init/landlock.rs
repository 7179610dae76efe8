//! The Landlock rules: what each path is, in the container's root, is found out here, right before the program.
//! Afterwards this process, too, opens nothing that the rules do not allow.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, OFlags, ResolveFlags};

use super::{Call, Child, Fault, In, Outcome, root};
use crate::profile::Hierarchy;
use crate::sys::{Errno, SysResult, landlock};

impl Child<'_> {
    pub(super) fn landlock(&self) -> Outcome {
        let Some(rules) = &self.plan.landlock else {
            return Ok(());
        };
        let ruleset = landlock::create(rules.files, rules.ports, rules.scopes)
            .in_call(Call::LandlockCreateRuleset)?;
        for (number, tree) in rules.trees.iter().enumerate() {
            allow(ruleset.as_fd(), self.root(), tree).map_err(|fault| Fault {
                detail: number as u64,
                ..fault
            })?;
        }
        for (port, rights) in &rules.allowed_ports {
            landlock::allow_port(ruleset.as_fd(), *port, *rights).in_call(Call::LandlockAddRule)?;
        }
        landlock::restrict(ruleset.as_fd()).in_call(Call::LandlockRestrictSelf)
    }
}

fn allow(ruleset: BorrowedFd<'_>, root: BorrowedFd<'_>, tree: &Hierarchy) -> Outcome {
    let place = match place(root, &tree.path) {
        // Nothing is there, or nothing that this user comes to by that path: there is nothing to allow.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ACCESS) => return Ok(()),
        other => other.in_call(Call::Openat2)?,
    };
    let rights = match root::file_type(place.as_fd())? {
        FileType::Directory => tree.rights,
        _ => tree.rights & landlock::OF_FILES,
    };
    if rights == 0 {
        return Ok(());
    }
    landlock::allow_below(ruleset, place.as_fd(), rights).in_call(Call::LandlockAddRule)
}

/// Without a symbolic link anywhere: the image would say with it what the profile allows.
fn place(root: BorrowedFd<'_>, path: &CStr) -> SysResult<OwnedFd> {
    root::open_by(root, path, OFlags::PATH, ResolveFlags::NO_SYMLINKS)
}
