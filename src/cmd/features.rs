//! `features`: what the runtime knows and supports, as JSON (features.md, features-linux.md).

use clap::Args;
use serde_json::{Value, json};

use super::{ExitCode, Global, output, print};
use crate::error::Result;
use crate::sys::landlock;
use crate::{names, seccomp};

/// The oldest and the newest version of the specification that are understood.
const VERSIONS: (&str, &str) = ("1.0.0", "1.3.0");

/// Arguments of `features`: none.
#[derive(Debug, Clone, Args)]
pub struct Features {}

/// Prints the features document.
///
/// # Errors
/// Standard output cannot be written.
pub fn run(_global: &Global, _args: &Features) -> Result<ExitCode> {
    print(&output::pretty(&document(), "    ")?)?;
    Ok(ExitCode::Done)
}

fn document() -> Value {
    json!({
        "ociVersionMin": VERSIONS.0,
        "ociVersionMax": VERSIONS.1,
        "hooks": [
            "prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop",
        ],
        "mountOptions": names::mount::known(),
        "linux": linux(),
        // The version of Landlock that profiles can use here; 0 for none.
        "annotations": { "org.stockade.landlock.abi": landlock::abi().to_string() },
        "potentiallyUnsafeConfigAnnotations": [],
    })
}

fn linux() -> Value {
    let seccomp = seccomp::supported();
    json!({
        "namespaces": ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"],
        "capabilities": names::CAPABILITIES[..],
        "cgroup": { "v1": true, "v2": true, "systemd": true, "systemdUser": true, "rdma": true },
        "seccomp": {
            "enabled": true,
            "actions": seccomp.actions,
            "operators": seccomp.operators,
            "archs": seccomp.archs,
            "knownFlags": seccomp.known_flags,
            "supportedFlags": seccomp.flags,
        },
        "apparmor": { "enabled": true },
        "selinux": { "enabled": true },
        "intelRdt": { "enabled": false, "schemata": false, "monitoring": false },
        "memoryPolicy": {
            "modes": words(names::MEMORY_POLICY_MODES),
            "flags": words(names::MEMORY_POLICY_FLAGS),
        },
        "mountExtensions": { "idmap": { "enabled": true } },
        "netDevices": { "enabled": true },
    })
}

fn words<N>(table: &[(&'static str, N)]) -> Vec<&'static str> {
    table.iter().map(|(word, _)| *word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_one_that_oci_spec_reads() {
        let features: oci_spec::runtime::Features = serde_json::from_value(document()).unwrap();
        assert_eq!(features.oci_version_max(), "1.3.0");
        let linux = features.linux().as_ref().unwrap();
        assert_eq!(linux.namespaces().as_ref().unwrap().len(), 8);
        assert_eq!(linux.capabilities().as_ref().unwrap()[0], "CAP_CHOWN");
    }
}
