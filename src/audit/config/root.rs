//! The root filesystem and the paths in it that are hidden or read-only.

use super::Asked;
use super::namespaces::has_ids_of_host;
use crate::error::quote;
use crate::profile::{ENGINE_MASKED, ENGINE_READONLY};
use crate::report::Severity;

/// Those of both through which the host is read or changed at once.
const GRAVE: [&str; 4] = [
    "/proc/kcore",
    "/proc/keys",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

pub(in crate::audit) fn readonly(asked: &mut Asked) {
    if asked
        .scene
        .config
        .root
        .as_ref()
        .is_some_and(|root| !root.readonly)
    {
        asked.found("/root/readonly", "is not true");
    }
}

pub(in crate::audit) fn paths(asked: &mut Asked) {
    let Some(linux) = asked.scene.linux() else {
        return;
    };
    let (masked, readonly) = (&linux.masked_paths, &linux.readonly_paths);
    missing(asked, "/linux/maskedPaths", &ENGINE_MASKED, &[masked]);
    missing(
        asked,
        "/linux/readonlyPaths",
        &ENGINE_READONLY,
        &[readonly, masked],
    );
    for (at, mount) in asked.scene.config.mounts.iter().enumerate() {
        let place = match mount.kind.as_deref() {
            Some("proc") => "/proc",
            Some("sysfs") => "/sys",
            _ => continue,
        };
        if mount.destination.trim_end_matches('/') != place {
            let message = format!(
                "a second {place} is mounted on {}, where nothing is hidden",
                quote(&mount.destination)
            );
            asked.add(
                asked
                    .finding(format!("/mounts/{at}/destination"), message)
                    .about(&mount.destination),
            );
        }
    }
}

fn missing(asked: &mut Asked, pointer: &str, standard: &[&str], lists: &[&Vec<String>]) {
    let is_covered = |path: &str| {
        lists
            .iter()
            .any(|list| list.iter().any(|above| is_at_or_below(path, above)))
    };
    let mut missing = standard.to_vec();
    missing.retain(|path| is_visible(asked, path) && !is_covered(path));
    if missing.is_empty() {
        return;
    }
    let is_grave = missing.iter().any(|path| GRAVE.contains(path));
    let severity = match (is_grave, has_ids_of_host(asked.scene)) {
        (true, true) => Severity::High,
        (true, false) | (false, true) => Severity::Medium,
        (false, false) => Severity::Low,
    };
    let missing = missing.join(" ");
    let finding = asked.finding(pointer, format!("without {missing}"));
    asked.add(finding.about(missing).severity(severity));
}

/// Whether the container has such a path at all: only where its /proc or /sys is mounted.
fn is_visible(asked: &Asked, path: &str) -> bool {
    let above = if path.starts_with("/proc") {
        "/proc"
    } else {
        "/sys"
    };
    let mut mounts = asked.scene.config.mounts.iter();
    mounts.any(|mount| mount.destination.trim_end_matches('/') == above)
}

fn is_at_or_below(path: &str, above: &str) -> bool {
    let rest = path.strip_prefix(above.trim_end_matches('/'));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
