//! Mounts by their options: what can be done with what is in them.

use std::fs;

use super::Asked;
use crate::error::quote;
use crate::names::mount::{self, MountOptions};
use crate::report::Severity;
use crate::spec::Mount;

/// Attributes that a mount of data has, and their words.
const NOSUID: u64 = libc::MOUNT_ATTR_NOSUID;
const NODEV: u64 = libc::MOUNT_ATTR_NODEV;
const NOEXEC: u64 = libc::MOUNT_ATTR_NOEXEC;

/// `MS_SHARED` (mount(2)).
const SHARED: u64 = libc::MS_SHARED;

pub(in crate::audit) fn options(asked: &mut Asked) {
    let scene = asked.scene;
    for (at, mount) in scene.config.mounts.iter().enumerate() {
        let options = mount::parse(&mount.options);
        let pointer = format!("/mounts/{at}/options");
        let destination = quote(&mount.destination);
        if options.propagation.iter().any(|(kind, _)| *kind == SHARED) {
            let message = format!("{destination} is shared: mounts below it appear on the host");
            asked.add(asked.finding(&pointer, message).about(&mount.destination));
        }
        let missing = missing(asked, mount, &options);
        if !missing.is_empty() {
            let severity = if is_readonly(mount) {
                Severity::Low
            } else {
                Severity::Medium
            };
            let message = format!("{destination} is mounted without {}", missing.join(", "));
            asked.add(
                asked
                    .finding(&pointer, message)
                    .about(&mount.destination)
                    .severity(severity),
            );
        }
    }
    let propagation = scene
        .linux()
        .and_then(|linux| linux.rootfs_propagation.as_deref());
    if matches!(propagation, Some("shared" | "rshared")) {
        asked.found(
            "/linux/rootfsPropagation",
            "mounts of the container appear on the host",
        );
    }
}

/// Only of bind mounts of directories: a file is bound for itself, and what it is can be seen.
fn missing(asked: &Asked, mount: &Mount, options: &MountOptions) -> Vec<&'static str> {
    let source = mount
        .source
        .as_deref()
        .map(|source| asked.scene.bundle.join(source));
    let is_file = source
        .and_then(|source| fs::metadata(source).ok())
        .is_some_and(|found| !found.is_dir());
    if options.bind.is_none() || options.remount || is_file {
        return Vec::new();
    }
    let gains = asked
        .scene
        .process()
        .is_some_and(|process| !process.no_new_privileges);
    let wanted = [
        (NOSUID, "nosuid", gains),
        (NODEV, "nodev", true),
        // What is writable and executable takes tools in.
        (NOEXEC, "noexec", !is_readonly(mount)),
    ];
    let has = options.set | options.tree_set;
    let missing = wanted
        .into_iter()
        .filter(|(flag, _, is_wanted)| *is_wanted && has & flag == 0);
    missing.map(|(_, word, _)| word).collect()
}

/// Whether nothing can be written through it.
pub(super) fn is_readonly(mount: &Mount) -> bool {
    let options = mount::parse(&mount.options);
    (options.set | options.tree_set) & libc::MOUNT_ATTR_RDONLY != 0
}
