//! Annotations that other runtimes act on, and kernel parameters of the container's namespaces.

use super::namespaces::{Which, which};
use super::{Asked, part};
use crate::error::quote;
use crate::names;
use crate::spec::NamespaceType;

/// What these runtimes call potentially unsafe (features.md, "Unsafe annotations in config.json").
const ANNOTATIONS: [(&str, &str); 5] = [
    (
        "io.katacontainers.config.",
        "Kata Containers takes settings of the virtual machine from it",
    ),
    (
        "org.criu.config",
        "runc takes a configuration of CRIU from it",
    ),
    (
        "org.systemd.property.",
        "it sets a property of the unit in systemd, which runs as root",
    ),
    (
        "run.oci.",
        "crun changes what it does by it, confinement among that",
    ),
    (
        "module.wasm.image/",
        "crun runs the image by another program",
    ),
];

/// Parameters that a container may change without reaching beyond itself, by those that Kubernetes calls safe.
const SAFE: [&str; 14] = [
    "kernel/domainname",
    "kernel/hostname",
    "kernel/shm_rmid_forced",
    "net/ipv4/ip_local_port_range",
    "net/ipv4/ip_local_reserved_ports",
    "net/ipv4/ip_unprivileged_port_start",
    "net/ipv4/ping_group_range",
    "net/ipv4/tcp_fin_timeout",
    "net/ipv4/tcp_keepalive_intvl",
    "net/ipv4/tcp_keepalive_probes",
    "net/ipv4/tcp_keepalive_time",
    "net/ipv4/tcp_rmem",
    "net/ipv4/tcp_syncookies",
    "net/ipv4/tcp_wmem",
];

/// Restricts what memfd_create(2) gives.
const RESTRICTING: &str = "vm/memfd_noexec";

pub(in crate::audit) fn beyond(asked: &mut Asked) {
    let scene = asked.scene;
    for name in scene.config.annotations.keys() {
        if let Some((_, effect)) = ANNOTATIONS
            .iter()
            .find(|(prefix, _)| name.starts_with(prefix))
        {
            let message = format!("{}: {effect}", quote(name));
            asked.add(
                asked
                    .finding(format!("/annotations/{}", part(name)), message)
                    .about(name),
            );
        }
    }
    let Some(linux) = scene.linux() else {
        return;
    };
    for key in linux.sysctl.keys() {
        let Some(file) = names::sysctl_file(key) else {
            continue;
        };
        let is_of_network = file.starts_with("net/");
        let message =
            if is_of_network && !matches!(which(scene, NamespaceType::Network), Which::New) {
                format!(
                    "{} changes a network namespace that is not the container's alone",
                    quote(key)
                )
            } else if SAFE.contains(&file.as_str()) || file == RESTRICTING {
                continue;
            } else {
                format!(
                    "{} is not among the parameters that are known to be safe",
                    quote(key)
                )
            };
        asked.add(
            asked
                .finding(format!("/linux/sysctl/{}", part(key)), message)
                .about(key),
        );
    }
}
