//! What confines: user namespaces and their sysctls, security modules, seccomp, Landlock.
//! Sources: user_namespaces(7), newuidmap(1), subuid(5), seccomp(2), landlock(7).

use std::fs;
use std::time::Duration;

use super::{Finding, Host};
use crate::container::{NEWGIDMAP, NEWUIDMAP, subordinate, user_name};
use crate::seccomp;
use crate::sys::attempt::{Ending, UNSHARE_USER, alone};
use crate::sys::landlock::{NEWEST, abi};
use crate::sys::prctl;

/// Actions that the profiles use.
const ACTIONS: [&str; 4] = [
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_LOG",
];

/// May a user namespace be made? It is tried, in a process of its own.
pub(super) fn user_namespaces(host: &Host) -> Finding {
    const ID: &str = "user-namespaces";
    let verdict = |found: String, mend: &str| {
        if host.facts.uid == 0 {
            Finding::warn(ID, found, mend)
        } else {
            Finding::fail(ID, found, mend)
        }
    };
    let unshare = || match UNSHARE_USER.make() {
        Ok(_) => vec![0],
        Err(errno) => vec![u8::try_from(errno).unwrap_or(u8::MAX)],
    };
    let ending = alone(Duration::from_secs(5), &unshare);
    let errno = match ending {
        Ok(Ending::Answered(answer)) => answer.first().copied().unwrap_or(u8::MAX),
        _ => u8::MAX,
    };
    if errno != 0 {
        let words = crate::error::errno_words(errno.into());
        return verdict(format!("none can be made: {words}"), hindrance());
    }
    // Made it can be then, but nothing can be done in it.
    if host.facts.uid != 0 && is(APPARMOR, "1") {
        return verdict(
            "AppArmor takes their capabilities away".into(),
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile with `userns,`",
        );
    }
    Finding::ok(ID, "can be made")
}

const APPARMOR: &str = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns";

/// What most likely forbids them.
fn hindrance() -> &'static str {
    if is("/proc/sys/user/max_user_namespaces", "0") {
        "sysctl -w user.max_user_namespaces=15000"
    } else if is("/proc/sys/kernel/unprivileged_userns_clone", "0") {
        "sysctl -w kernel.unprivileged_userns_clone=1"
    } else {
        "let the container or service around stockade allow unshare(CLONE_NEWUSER)"
    }
}

fn is(path: &str, value: &str) -> bool {
    fs::read_to_string(path).is_ok_and(|text| text.trim() == value)
}

/// More than one id in a user namespace that a user makes.
pub(super) fn more_ids(host: &Host) -> Finding {
    const ID: &str = "more-ids";
    if host.facts.uid == 0 {
        return Finding::ok(ID, "root maps any ids");
    }
    let missing: Vec<&str> = [NEWUIDMAP, NEWGIDMAP]
        .into_iter()
        .filter(|program| program.path().is_none())
        .map(|program| program.name)
        .collect();
    if !missing.is_empty() {
        let found = format!("{} not found", missing.join(" and "));
        return Finding::warn(ID, found, "apt-get install uidmap");
    }
    if prctl::no_new_privileges().is_ok_and(|is_set| is_set) {
        let found = "no_new_privs is set: newuidmap and newgidmap have no privileges here";
        return Finding::warn(
            ID,
            found,
            "run it outside of the service or sandbox that sets it",
        );
    }
    let uid = host.facts.uid;
    let [users, groups] = [NEWUIDMAP, NEWGIDMAP].map(|program| subordinate(program, uid));
    let files = [(&users, NEWUIDMAP), (&groups, NEWGIDMAP)];
    let without = files.iter().filter(|(ranges, _)| ranges.is_empty());
    let without: Vec<&str> = without.map(|(_, program)| program.grants()).collect();
    if without.is_empty() {
        let found = format!("users {}, groups {}", shown(&users), shown(&groups));
        return Finding::ok(ID, format!("by newuidmap and newgidmap: {found}"));
    }
    let name = user_name(uid).unwrap_or_else(|| uid.to_string());
    let mend = format!("usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {name}");
    let found = format!("no range in {}", without.join(" and "));
    Finding::warn(ID, found, mend)
}

/// `100000-165535, 200000-200009`.
fn shown(ranges: &[(u32, u32)]) -> String {
    let shown = |(first, count): &(u32, u32)| format!("{first}-{}", first + (count - 1));
    ranges.iter().map(shown).collect::<Vec<_>>().join(", ")
}

/// Which security modules are in force.
pub(super) fn security_modules(host: &Host) -> Finding {
    const ID: &str = "security-modules";
    let mut found = match fs::read_to_string("/sys/kernel/security/lsm") {
        Ok(list) => list.trim().replace(',', ", "),
        Err(_) => "the list is not visible".to_owned(),
    };
    for (name, is_in_force) in [
        ("AppArmor", host.facts.apparmor),
        ("SELinux", host.facts.selinux),
    ] {
        if is_in_force {
            found = format!("{found}; {name} labels can be asked for");
        }
    }
    Finding::ok(ID, found)
}

/// Which version of Landlock profiles can use. No built-in one does, so that lacking it is no failure.
pub(super) fn landlock(_: &Host) -> Finding {
    const ID: &str = "landlock";
    match abi() {
        0 => Finding::warn(
            ID,
            "not started",
            "add landlock to the kernel's security modules (lsm=) for profiles that use it",
        ),
        abi @ NEWEST.. => Finding::ok(ID, format!("ABI {abi}")),
        abi => Finding::ok(ID, format!("ABI {abi}, profiles can use up to {NEWEST}")),
    }
}

/// Whether filters work, and with which actions.
pub(super) fn seccomp(_: &Host) -> Finding {
    let supported = seccomp::supported().actions;
    let missing: Vec<&str> = ACTIONS
        .into_iter()
        .filter(|action| !supported.contains(action))
        .collect();
    if missing.is_empty() {
        return Finding::ok("seccomp", format!("{} actions", supported.len()));
    }
    let found = format!("without {}", missing.join(", "));
    Finding::fail("seccomp", found, "boot a kernel with CONFIG_SECCOMP_FILTER")
}
