//! `process.capabilities`: which the program has, or can get.

use super::Asked;
use super::namespaces::has_ids_of_host;
use crate::names::CAPABILITIES;
use crate::profile::Profile;
use crate::report::Severity;
use crate::spec::{Capabilities, Process};

/// With any of these a program leaves its confinement, or reads what is not its own.
const DANGEROUS: [&str; 16] = [
    "CAP_AUDIT_CONTROL",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
    "CAP_DAC_READ_SEARCH",
    "CAP_MAC_ADMIN",
    "CAP_MAC_OVERRIDE",
    "CAP_NET_ADMIN",
    "CAP_PERFMON",
    "CAP_SYSLOG",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_MODULE",
    "CAP_SYS_PTRACE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
];

/// The profile whose list ordinary containers get along with.
const PROFILE: &str = "baseline";

pub(in crate::audit) fn few(asked: &mut Asked) {
    let Some(process) = asked.scene.process() else {
        return;
    };
    let Some(capabilities) = &process.capabilities else {
        asked.found(
            "/process/capabilities",
            "is not there: some runtimes then leave the program all that root has",
        );
        return;
    };
    let ordinary = Profile::builtin(PROFILE).and_then(|profile| profile.capabilities);
    let ordinary = ordinary.map(|section| section.allow).unwrap_or_default();
    // In a user namespace of its own they reach what belongs to that namespace, and more of the kernel's code.
    let (dangerous, unusual) = match has_ids_of_host(asked.scene) {
        true => (Severity::High, Severity::Medium),
        false => (Severity::Medium, Severity::Low),
    };
    for name in CAPABILITIES {
        let Some(set) = within_reach(process, capabilities, name) else {
            continue;
        };
        let (severity, message) = match (
            DANGEROUS.contains(&name),
            ordinary.iter().any(|one| one == name),
        ) {
            (true, _) => (dangerous, format!("{name} leads out of the container")),
            (false, false) => (
                unusual,
                format!("{name} is more than ordinary containers need"),
            ),
            (false, true) => continue,
        };
        let finding = asked.finding(format!("/process/capabilities/{set}"), message);
        asked.add(finding.about(name).severity(severity));
    }
}

/// The set by which a program gets a capability: without new privileges by execve(2), what is not permitted from the start
/// never will be (capabilities(7), prctl(2) `PR_SET_NO_NEW_PRIVS`).
pub(super) fn within_reach(
    process: &Process,
    capabilities: &Capabilities,
    name: &str,
) -> Option<&'static str> {
    let at_once = [
        ("effective", &capabilities.effective),
        ("permitted", &capabilities.permitted),
        ("ambient", &capabilities.ambient),
    ];
    let by_execve = [
        ("inheritable", &capabilities.inheritable),
        ("bounding", &capabilities.bounding),
    ];
    let by_execve = by_execve.into_iter().filter(|_| !process.no_new_privileges);
    let mut sets = at_once.into_iter().chain(by_execve);
    let found = sets.find(|(_, set)| set.iter().any(|one| one == name));
    found.map(|(set, _)| set)
}
