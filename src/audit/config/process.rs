//! What else `process` says: privileges by execve, labels, limits, secrets.

use super::Asked;
use crate::audit::secret;
use crate::error::quote;

/// Descriptors that no ordinary program needs; some close every possible one when they start.
const MOST_FILES: u64 = 1 << 20;

pub(in crate::audit) fn no_new_privileges(asked: &mut Asked) {
    if asked
        .scene
        .process()
        .is_some_and(|process| !process.no_new_privileges)
    {
        asked.found("/process/noNewPrivileges", "is not true");
    }
}

/// Where neither is in force there is nothing to confine by.
pub(in crate::audit) fn label(asked: &mut Asked) {
    let scene = asked.scene;
    let Some(process) = scene.process() else {
        return;
    };
    let profile = process.apparmor_profile.as_deref().unwrap_or_default();
    if scene.host.apparmor && matches!(profile, "" | "unconfined") {
        asked.found(
            "/process/apparmorProfile",
            "AppArmor is in force and no profile confines the program",
        );
    }
    let label = process.selinux_label.as_deref().unwrap_or_default();
    let kind = label.split(':').nth(2).unwrap_or_default();
    if scene.host.selinux && matches!(kind, "" | "spc_t" | "unconfined_t") {
        asked.found(
            "/process/selinuxLabel",
            "SELinux is in force and no label confines the program",
        );
    }
}

pub(in crate::audit) fn rlimits(asked: &mut Asked) {
    let rlimits = asked
        .scene
        .process()
        .map(|process| process.rlimits.as_slice());
    for (at, limit) in rlimits.unwrap_or_default().iter().enumerate() {
        let message = match limit.kind.as_str() {
            "RLIMIT_NOFILE" if limit.soft > MOST_FILES => format!(
                "{} open files: programs that close all of them take minutes",
                limit.soft
            ),
            "RLIMIT_CORE" if limit.soft == u64::MAX => {
                "core dumps of any size hold the program's memory".to_owned()
            }
            _ => continue,
        };
        asked.add(
            asked
                .finding(format!("/process/rlimits/{at}"), message)
                .about(&limit.kind),
        );
    }
}

/// Whoever may read /proc, `state` or a hook's input reads them. The value itself is never told.
pub(in crate::audit) fn secrets(asked: &mut Asked) {
    let Some(process) = asked.scene.process() else {
        return;
    };
    for (at, variable) in process.env.iter().enumerate() {
        let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
        if let Some(what) = secret::by_name(name, value) {
            let message = format!("{} holds {what}", quote(name));
            asked.add(
                asked
                    .finding(format!("/process/env/{at}"), message)
                    .about(name),
            );
        }
    }
    let mut before = "";
    for (at, word) in process.args.iter().enumerate() {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) if name.starts_with('-') => (name, value),
            _ if before.starts_with("--") => (before, word.as_str()),
            _ => ("", word.as_str()),
        };
        if let Some(what) = secret::by_name(name, value) {
            let of = if name.is_empty() {
                String::new()
            } else {
                format!(", by {}", quote(name))
            };
            let message = format!("argument {at} holds {what}{of}");
            asked.add(
                asked
                    .finding(format!("/process/args/{at}"), message)
                    .about(name),
            );
        }
        before = word;
    }
}
