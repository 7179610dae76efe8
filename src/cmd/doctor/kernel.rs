//! What the kernel offers: calls that a filter around us may refuse, cgroup hierarchies, file systems.

use std::fs;
use std::path::PathBuf;

use rustix::fs::{CWD, Mode as FileMode, OFlags, ResolveFlags};
use rustix::mount::{FsOpenFlags, OpenTreeFlags};
use rustix::process::PidfdFlags;

use super::{Finding, Host};
use crate::cgroup::Mode;

/// The controllers that limits need.
const CONTROLLERS: [&str; 3] = ["memory", "cpu", "pids"];

/// Calls that are newer than most filters.
pub(super) fn calls(host: &Host) -> Finding {
    let mut refused = Vec::new();
    let mut tried = |name: &str, errno: Option<rustix::io::Errno>| {
        if let Some(errno) = errno {
            let words = crate::error::errno_words(errno.raw_os_error());
            refused.push(format!("{name}: {words}"));
        }
    };
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let opened = rustix::fs::openat2(CWD, "/", flags, FileMode::empty(), ResolveFlags::IN_ROOT);
    tried("openat2", opened.err());
    let own = rustix::process::getpid();
    let pidfd = rustix::process::pidfd_open(own, PidfdFlags::empty());
    tried("pidfd_open", pidfd.err());
    let tree = rustix::mount::open_tree(CWD, "/", OpenTreeFlags::OPEN_TREE_CLOEXEC);
    tried("open_tree", tree.err());
    // The kernel asks for the capability before it looks at the name (fsopen(2)).
    if host.facts.has_capability("CAP_SYS_ADMIN") {
        let opened = rustix::mount::fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC);
        tried("fsopen", opened.err());
    }
    if refused.is_empty() {
        return Finding::ok(
            "system-calls",
            "those that mounts and processes need are there",
        );
    }
    let mend = "let the container or service around stockade allow these system calls";
    Finding::fail("system-calls", refused.join("; "), mend)
}

/// Which hierarchies there are, and what can be limited.
pub(super) fn cgroups(host: &Host) -> Finding {
    const ID: &str = "cgroups";
    if host.layout.hierarchies().is_empty() {
        let mend = "mount -t cgroup2 none /sys/fs/cgroup";
        return Finding::fail(ID, "no hierarchy is mounted", mend);
    }
    let mode = match host.layout.mode() {
        Mode::V1 => "v1",
        Mode::Hybrid => "v1, and v2 beside it",
        Mode::V2 => "v2",
    };
    let missing: Vec<&str> = CONTROLLERS
        .into_iter()
        .filter(|controller| host.layout.holds(controller).is_none())
        .collect();
    if missing.is_empty() {
        return Finding::ok(ID, format!("{mode}, with {}", CONTROLLERS.join(", ")));
    }
    let found = format!(
        "{mode}, without {}: limits that need it are refused",
        missing.join(", ")
    );
    Finding::warn(
        ID,
        found,
        "boot with cgroup_enable=memory, or let systemd delegate the controllers",
    )
}

/// What clients stack layers with.
pub(super) fn overlay(_: &Host) -> Finding {
    const ID: &str = "overlay";
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let has_module = || {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let directory = PathBuf::from("/lib/modules").join(release.trim());
        directory.join("kernel/fs/overlayfs").exists()
    };
    if known.lines().any(|line| line.ends_with("\toverlay")) {
        // Linux 5.11 and newer.
        Finding::ok(ID, "overlayfs is there, in user namespaces too")
    } else if has_module() {
        Finding::ok(ID, "overlayfs is a module that is loaded on use")
    } else {
        Finding::warn(ID, "no overlayfs: clients copy layers", "modprobe overlay")
    }
}
