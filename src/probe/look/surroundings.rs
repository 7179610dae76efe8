//! What else is within reach: sockets, networks, mounts of the host, programs with rights of their own; and what bounds
//! the process.
//!
//! Nothing is sent: connect(2) of a datagram socket only asks the routing table.

use std::collections::VecDeque;
use std::net::UdpSocket;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::process::{Resource, getrlimit};

use super::errno;
use crate::probe::answer::Answer;
use crate::probe::mounts::Mount;
use crate::probe::scene::Scene;
use crate::probe::{cgroup, seen};

pub(in crate::probe) const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

const SOCKETS: &[&str] = &[
    "/run/docker.sock",
    "/var/run/docker.sock",
    "/run/containerd/containerd.sock",
    "/run/crio/crio.sock",
    "/run/podman/podman.sock",
    "/run/buildkit/buildkitd.sock",
    "/run/dbus/system_bus_socket",
    "/run/systemd/private",
    "/run/systemd/io.systemd.Manager",
    "/run/snapd.socket",
    "/run/libvirt/libvirt-sock",
    "/var/lib/kubelet/pod-resources/kubelet.sock",
    "/var/lib/kubelet/device-plugins/kubelet.sock",
];

pub(in crate::probe) fn null_and_core(_: &Scene) -> Answer {
    let mut found = Vec::new();
    match Path::new("/dev/null").metadata() {
        Ok(null) => {
            let is_null =
                null.file_type().is_char_device() && null.rdev() == rustix::fs::makedev(1, 3);
            if !is_null {
                found.push("/dev/null".to_owned());
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(_) => found.push("/dev/null".to_owned()),
    }
    if getrlimit(Resource::Core).maximum != Some(0) {
        found.push("RLIMIT_CORE".to_owned());
    }
    Answer::of_found(found, "the null device, and no core files")
}

pub(in crate::probe) fn sockets(_: &Scene) -> Answer {
    let is_open = |path: &Path| {
        path.metadata()
            .is_ok_and(|found| found.file_type().is_socket())
            && accessat(CWD, path, Access::WRITE_OK, AtFlags::EACCESS).is_ok()
    };
    let mut found = super::which(SOCKETS, Path::exists);
    found.retain(|path| is_open(Path::new(path)));
    let table = seen::text("/proc/self/net/unix").unwrap_or_default();
    let names = table.lines().filter_map(|line| line.split(' ').next_back());
    let mut names: Vec<String> = names
        .filter(|name| name.starts_with('@'))
        .map(str::to_owned)
        .collect();
    names.sort_unstable();
    names.dedup();
    found.extend(names);
    Answer::of_found(found, "none is within reach")
}

pub(in crate::probe) fn clouds(_: &Scene) -> Answer {
    let mut found = Vec::new();
    let routed =
        UdpSocket::bind("0.0.0.0:0").and_then(|socket| socket.connect("169.254.169.254:80"));
    if routed.is_ok() {
        found.push("a route to 169.254.169.254".to_owned());
    }
    if std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() {
        found.push("KUBERNETES_SERVICE_HOST".to_owned());
    }
    if std::fs::File::open(TOKEN).is_ok() {
        found.push(TOKEN.to_owned());
    }
    let why = routed.map_or_else(|error| errno(&error), |()| String::new());
    Answer::of_found(found, &format!("no route ({why}), no token"))
}

/// File systems that are the kernel's or a container's own.
const OWN: [&str; 12] = [
    "proc",
    "sysfs",
    "tmpfs",
    "devpts",
    "mqueue",
    "cgroup",
    "cgroup2",
    "overlay",
    "devtmpfs",
    "binfmt_misc",
    "ramfs",
    "securityfs",
];

pub(in crate::probe) fn mounts(scene: &Scene) -> Answer {
    let mounts = match &scene.mounts {
        Ok(mounts) => mounts,
        Err(reason) => return Answer::skipped(reason.clone()),
    };
    let is_of_host = |mount: &&Mount| mount.path != "/" && !OWN.contains(&mount.kind.as_str());
    let is_shared = |mount: &Mount| {
        mount
            .propagation
            .iter()
            .any(|tag| tag.starts_with("shared:"))
    };
    let mut found: Vec<String> = mounts
        .iter()
        .filter(|mount| is_of_host(mount) || is_shared(mount))
        .map(|mount| mount.path.clone())
        .collect();
    found.dedup();
    Answer::of_found(found, "none of the host's, none shared")
}

pub(in crate::probe) const LIMITS: [&str; 3] = ["memory", "processes", "cpu quota"];

pub(in crate::probe) fn limits(scene: &Scene) -> Answer {
    let limits = match cgroup::limits(&scene.mounts) {
        Ok(limits) => limits,
        Err(reason) => return Answer::skipped(reason),
    };
    let known = limits.iter().filter(|(name, _)| LIMITS.contains(name));
    let unlimited = known.clone().filter(|(_, value)| value.starts_with("max"));
    let found = unlimited.map(|(name, _)| (*name).to_owned()).collect();
    let all: Vec<String> = known
        .map(|(name, value)| format!("{name} {value}"))
        .collect();
    if all.is_empty() {
        return Answer::skipped("the files of its control group cannot be seen");
    }
    Answer::of_found(found, &all.join(", "))
}

/// As many files are looked at, the nearest to the root first.
const FILES: usize = 20_000;

pub(in crate::probe) fn set_user_id(scene: &Scene) -> Answer {
    if rustix::thread::no_new_privs() == Ok(true) {
        return Answer::denied("no_new_privs leaves them without effect");
    }
    let mut found = Vec::new();
    let mut left = FILES;
    let mut directories = VecDeque::from([PathBuf::from("/")]);
    while let Some(directory) = directories.pop_front() {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            if left == 0 || found.len() == 5 {
                return Answer::of_found(found, "none among the first 20000 files");
            }
            left -= 1;
            let (path, Ok(metadata)) = (entry.path(), entry.metadata()) else {
                continue;
            };
            let name = path.to_string_lossy().into_owned();
            let kept = ["/proc", "/sys", "/dev"].contains(&name.as_str());
            if metadata.is_dir() && !kept {
                directories.push_back(path);
            } else if metadata.is_file() && has_rights(&path, &metadata) && !is_nosuid(scene, &name)
            {
                found.push(name);
            }
        }
    }
    Answer::of_found(found, "there is none")
}

fn has_rights(path: &Path, metadata: &std::fs::Metadata) -> bool {
    let set_user = metadata.mode() & libc::S_ISUID != 0 && metadata.mode() & 0o111 != 0;
    set_user || rustix::fs::lgetxattr(path, "security.capability", &mut [0; 64]).is_ok()
}

fn is_nosuid(scene: &Scene, path: &str) -> bool {
    let mount = scene.mount_of(path);
    mount.is_some_and(|mount| mount.options.split(',').any(|option| option == "nosuid"))
}
