//! The config.json that `stockade spec` writes under the profile `none`: what `runc spec` writes, field for field where
//! a script may edit or read it. What the other profiles get is in `hardened`.

use super::hardened::words;
use super::*;

/// A config for `rootfs` beside it, as permissive as other runtimes make it: a terminal, root with three capabilities,
/// no limits. With ids, one that runs without root, as in [`hardened_default`]; it stays in the host's network.
/// There is no cgroup namespace: `runc spec` asks for one on hosts with cgroup v2 only.
pub fn plain_default(rootless: Option<(u32, u32)>) -> Config {
    let mut config = hardened_default(rootless);
    if let Some(process) = &mut config.process {
        process.terminal = true;
        process.user = User::default();
        process.capabilities = Some(Capabilities {
            bounding: capabilities(),
            effective: capabilities(),
            permitted: capabilities(),
            ..Capabilities::default()
        });
    }
    config.mounts.retain(|mount| mount.destination != "/tmp");
    for mount in &mut config.mounts {
        match mount.destination.as_str() {
            "/proc" => mount.options.clear(),
            // A user namespace without its own network may not mount sysfs.
            "/sys" if rootless.is_some() => bind_sys(mount),
            _ => {}
        }
    }
    if let Some(linux) = &mut config.linux {
        plain_linux(linux);
    }
    config
}

fn plain_linux(linux: &mut Linux) {
    let rootless = !linux.uid_mappings.is_empty();
    linux.namespaces.retain(|namespace| match namespace.kind {
        // Scripts for cgroup v1 add it, and a second one is refused.
        NamespaceType::Cgroup => false,
        NamespaceType::Network => !rootless,
        _ => true,
    });
    linux.resources = linux.resources.take().map(|hardened| Resources {
        devices: hardened.devices,
        ..Resources::default()
    });
    linux
        .masked_paths
        .retain(|path| path != "/proc/interrupts" && path != "/sys/devices/virtual/powercap");
}

fn bind_sys(mount: &mut Mount) {
    mount.kind = Some("none".to_owned());
    mount.source = Some("/sys".to_owned());
    mount.options.insert(0, "rbind".to_owned());
}

fn capabilities() -> Vec<String> {
    words(&["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{check_runnable, parse, to_text};

    #[test]
    fn plain_default_reads_back_without_a_warning() {
        for rootless in [None, Some((1000, 100))] {
            let config = plain_default(rootless);
            let read = parse(to_text(&config).as_bytes(), "f").unwrap();
            assert_eq!(read, (config.clone(), Vec::new()));
            check_runnable(&config, "f").unwrap();
        }
    }
}
