//! The read-back: what the kernel says of this process against what the plan wants of it.
//! A difference ends the launch; that is the promise. The cgroup files and `Seccomp:` are the parent's to read.

use super::{Call, Child, Difference, Fault, In, Outcome, process};
use crate::plan::Expectation;
use crate::profile::Hardening;
use crate::sys::{Errno, attributes, prctl};

impl Child<'_> {
    pub(super) fn verify(&self, expected: &Expectation) -> Outcome {
        ids(expected)?;
        if let Some(expected) = &expected.groups {
            groups(expected)?;
        }
        capabilities(expected)?;
        if prctl::no_new_privileges().in_call(Call::Prctl)? != expected.no_new_privileges {
            return Err(Fault::differs(Difference::NoNewPrivileges, 0));
        }
        hardening(expected.hardening)?;
        if expected.readonly_root && !process::is_readonly(self.root())? {
            return Err(Fault::differs(Difference::ReadonlyRoot, 0));
        }
        limits(&expected.limits)
    }
}

fn ids(expected: &Expectation) -> Outcome {
    let uids = nix::unistd::getresuid()
        .map_err(errno)
        .in_call(Call::Compare)?;
    for uid in [uids.real, uids.effective, uids.saved] {
        if uid.as_raw() != expected.uid {
            return Err(Fault::differs(Difference::Uid, u64::from(uid.as_raw())));
        }
    }
    let gids = nix::unistd::getresgid()
        .map_err(errno)
        .in_call(Call::Compare)?;
    for gid in [gids.real, gids.effective, gids.saved] {
        if gid.as_raw() != expected.gid {
            return Err(Fault::differs(Difference::Gid, u64::from(gid.as_raw())));
        }
    }
    Ok(())
}

fn errno(errno: nix::errno::Errno) -> Errno {
    Errno::from_raw_os_error(errno as i32)
}

/// Most groups that a process can have (`NGROUPS_MAX`).
const MANY: usize = 65536;

fn groups(expected: &[u32]) -> Outcome {
    let mut few = [0; 64];
    let found = match attributes::groups(&mut few) {
        Ok(count) => &few[..count],
        Err(Errno::INVAL) => return many_groups(expected),
        Err(errno) => return Err(errno).in_call(Call::Getgroups),
    };
    same(found, expected)
}

fn many_groups(expected: &[u32]) -> Outcome {
    let mut many = [0; MANY];
    let count = attributes::groups(&mut many).in_call(Call::Getgroups)?;
    same(&many[..count], expected)
}

/// The kernel keeps groups sorted, and a group given twice twice.
fn same(found: &[u32], expected: &[u32]) -> Outcome {
    let stray = found
        .iter()
        .find(|group| expected.binary_search(group).is_err());
    let missing = expected.iter().find(|group| !found.contains(group));
    match stray.or(missing) {
        None => Ok(()),
        Some(group) => Err(Fault::differs(Difference::Groups, u64::from(*group))),
    }
}

fn capabilities(expected: &Expectation) -> Outcome {
    let found = attributes::capabilities().in_call(Call::Capget)?;
    if found != expected.capabilities {
        return Err(Fault::differs(Difference::Capabilities, found.permitted));
    }
    for capability in 0..=expected.last_capability {
        let wanted = |set: u64| set >> capability & 1 == 1;
        if prctl::is_in_bounding(capability).in_call(Call::Prctl)? != wanted(expected.bounding) {
            return Err(Fault::differs(Difference::Bounding, u64::from(capability)));
        }
        if prctl::is_ambient(capability).in_call(Call::Prctl)? != wanted(expected.ambient) {
            return Err(Fault::differs(Difference::Ambient, u64::from(capability)));
        }
    }
    Ok(())
}

fn hardening(expected: Hardening) -> Outcome {
    if expected.lock_securebits && !prctl::has_locked_securebits().in_call(Call::Prctl)? {
        return Err(Fault::differs(Difference::Securebits, 0));
    }
    if expected.deny_write_execute && !prctl::denies_write_execute().in_call(Call::Prctl)? {
        return Err(Fault::differs(Difference::WriteExecute, 0));
    }
    Ok(())
}

fn limits(expected: &[(u32, u64, u64)]) -> Outcome {
    for (resource, soft, hard) in expected {
        if attributes::limit(*resource).in_call(Call::Prlimit)? != (*soft, *hard) {
            return Err(Fault::differs(Difference::Limit, u64::from(*resource)));
        }
    }
    Ok(())
}
