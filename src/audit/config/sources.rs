//! Mounts by what they bring in: parts of the host, and filesystems of the kernel.

use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::Asked;
use super::mounts::is_readonly;
use super::namespaces::has_ids_of_host;
use crate::error::quote;
use crate::names::mount;
use crate::report::Severity;
use crate::spec::Mount;

/// Directories with which the host is had, and so it is with what holds one of them.
const DIRECTORIES: [&str; 12] = [
    "/",
    "/boot",
    "/dev",
    "/etc",
    "/proc",
    "/root",
    "/run",
    "/sys",
    "/var/lib/containerd",
    "/var/lib/containers",
    "/var/lib/docker",
    "/var/lib/kubelet",
];

/// Sockets of whoever makes containers as root; read-only they are as good.
const SOCKETS: [&str; 6] = [
    "/run/containerd/containerd.sock",
    "/run/crio/crio.sock",
    "/run/docker.sock",
    "/run/docker/containerd/containerd.sock",
    "/run/podman/podman.sock",
    "/run/systemd/private",
];

/// Files with which it is.
const FILES: [&str; 6] = [
    "/dev/kmem",
    "/dev/mem",
    "/dev/port",
    "/etc/gshadow",
    "/etc/shadow",
    "/etc/sudoers",
];

/// Below these everything is the kernel's: `/proc/sys/kernel/core_pattern`.
const KERNEL: [&str; 2] = ["/proc", "/sys"];

/// Filesystems through which the kernel of the host is looked at and set.
const TYPES: [(&str, Severity); 8] = [
    ("bpf", Severity::High),
    ("configfs", Severity::High),
    ("debugfs", Severity::High),
    ("devtmpfs", Severity::Critical),
    ("efivarfs", Severity::High),
    ("pstore", Severity::High),
    ("securityfs", Severity::High),
    ("tracefs", Severity::High),
];

/// Filesystems that belong into a container, read-only.
const READONLY_TYPES: [&str; 3] = ["cgroup", "cgroup2", "sysfs"];

pub(in crate::audit) fn of_host(asked: &mut Asked) {
    let scene = asked.scene;
    for (at, mount) in scene.config.mounts.iter().enumerate() {
        let options = mount::parse(&mount.options);
        let found = match options.bind {
            Some(_) => bind(asked, mount),
            None if options.remount => None,
            None => filesystem(asked, mount).map(|(severity, message)| ("type", severity, message)),
        };
        if let Some((member, severity, message)) = found {
            let finding = asked.finding(format!("/mounts/{at}/{member}"), message);
            asked.add(finding.about(&mount.destination).severity(severity));
        }
    }
}

fn filesystem(asked: &Asked, mount: &Mount) -> Option<(Severity, String)> {
    let kind = mount.kind.as_deref()?;
    if let Some((_, severity)) = TYPES.iter().find(|(one, _)| *one == kind) {
        return Some((
            *severity,
            format!(
                "{kind} on {} is the kernel of the host",
                quote(&mount.destination)
            ),
        ));
    }
    if !READONLY_TYPES.contains(&kind) || is_readonly(mount) {
        return None;
    }
    let severity = if has_ids_of_host(asked.scene) {
        Severity::High
    } else {
        Severity::Medium
    };
    Some((
        severity,
        format!("{kind} on {} is writable", quote(&mount.destination)),
    ))
}

fn bind(asked: &Asked, mount: &Mount) -> Option<(&'static str, Severity, String)> {
    let source = asked.scene.bundle.join(mount.source.as_deref()?);
    let real = source.canonicalize().unwrap_or_else(|_| plain(&source));
    let found = fs::metadata(&real).ok();
    let (what, is_always) = sensitive(&real, found.as_ref())?;
    let severity = if is_always || !is_readonly(mount) {
        Severity::Critical
    } else {
        Severity::High
    };
    let given = mount.source.as_deref().unwrap_or_default();
    let message = match Path::new(given) == Path::new(&what) {
        true => format!(
            "{} of the host is mounted on {}",
            quote(given),
            quote(&mount.destination)
        ),
        false => format!(
            "{}, which is {what} of the host, is mounted on {}",
            quote(given),
            quote(&mount.destination)
        ),
    };
    Some(("source", severity, message))
}

/// What of the host it is, and whether that is as bad read-only. By inode too: it may be mounted in a second place.
fn sensitive(real: &Path, found: Option<&Metadata>) -> Option<(String, bool)> {
    let identity = |found: &Metadata| (found.dev(), found.ino());
    let is = |path: &&&str| {
        let there = fs::canonicalize(path).unwrap_or_else(|_| PathBuf::from(path));
        let by_inode = || {
            let named = fs::metadata(path).ok();
            found
                .zip(named.as_ref())
                .is_some_and(|(found, named)| identity(found) == identity(named))
        };
        there == real || by_inode()
    };
    if let Some(socket) = SOCKETS.iter().find(is) {
        return Some(((*socket).to_owned(), true));
    }
    if let Some(path) = FILES.iter().chain(&DIRECTORIES).find(is) {
        return Some(((*path).to_owned(), false));
    }
    let below = |above: &&&str| real.starts_with(above);
    if KERNEL.iter().find(below).is_some() {
        return Some((real.to_string_lossy().into_owned(), false));
    }
    if found.is_some_and(|found| found.file_type().is_block_device()) {
        return Some(("a block device".to_owned(), false));
    }
    let mut held = DIRECTORIES.iter().chain(&SOCKETS);
    let held = held.find(|path| Path::new(path).starts_with(real))?;
    Some((format!("above {held}"), false))
}

/// Without the dots, of a path that is not there.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => drop(plain.pop()),
            part => plain.push(part),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(path: &str) -> Option<String> {
        let real = Path::new(path)
            .canonicalize()
            .unwrap_or_else(|_| plain(Path::new(path)));
        sensitive(&real, fs::metadata(&real).ok().as_ref()).map(|(what, _)| what)
    }

    #[test]
    fn a_source_is_told_by_what_it_is_and_not_by_its_name() {
        let scratch = tempfile::tempdir().unwrap();
        let link = scratch.path().join("link");
        std::os::unix::fs::symlink("/etc", &link).unwrap();
        assert_eq!(told(link.to_str().unwrap()).as_deref(), Some("/etc"));
        assert_eq!(told("/").as_deref(), Some("/"));
        assert_eq!(told("/var").as_deref(), Some("above /var/lib/containerd"));
        assert_eq!(
            told("/proc/sys/kernel/core_pattern").as_deref(),
            Some("/proc/sys/kernel/core_pattern")
        );
        assert_eq!(told("/nowhere/../etc/").as_deref(), Some("/etc"));
        for plain in [
            scratch.path().to_str().unwrap(),
            "/etc/hosts",
            "/dev/null",
            "/var/lib/kubelet/pods/a",
            "/usr/share",
        ] {
            assert_eq!(told(plain), None, "{plain}");
        }
    }
}
