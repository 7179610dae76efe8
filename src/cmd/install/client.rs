//! What each client calls a runtime, and where: the text that its configuration needs, and whether it has it.
//! Sources: containerd docs/cri/config.md, dockerd(8), containers.conf(5), crio.conf.d(5), Kubernetes RuntimeClass.

use std::fmt::Write;
use std::path::Path;

use clap::ValueEnum;

use super::{json, tables};
use crate::error::Result;

/// A client of an OCI runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Client {
    /// containerd, through its CRI plugin
    Containerd,
    /// Docker Engine
    Docker,
    /// Podman, and what else reads containers.conf
    Podman,
    /// CRI-O
    Crio,
    /// Kubernetes: the RuntimeClass of each handler
    Kubernetes,
}

/// A name that a client calls stockade by; the name chooses the profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handler {
    /// The handler, and the name of the binary.
    pub name: &'static str,
    /// The profile.
    pub profile: &'static str,
}

/// Every handler.
pub const HANDLERS: [Handler; 4] = [
    Handler {
        name: "stockade",
        profile: "baseline",
    },
    Handler {
        name: "stockade-restricted",
        profile: "restricted",
    },
    Handler {
        name: "stockade-paranoid",
        profile: "paranoid",
    },
    Handler {
        name: "stockade-none",
        profile: "none",
    },
];

/// The runtimes that Podman expects to write JSON logs by default; a list in a drop-in replaces them (containers.conf(5)).
const JSON_LOGS: [&str; 6] = ["crun", "runc", "kata", "runsc", "youki", "krun"];

/// The first line of files that are ours alone.
const OURS: &str = "# Written by `stockade install`; it may be removed as a whole.\n";

impl Client {
    /// Where the client looks for its configuration.
    pub fn file(self) -> Option<&'static str> {
        match self {
            Self::Containerd => Some("/etc/containerd/config.toml"),
            Self::Docker => Some("/etc/docker/daemon.json"),
            Self::Podman => Some("/etc/containers/containers.conf.d/50-stockade.conf"),
            Self::Crio => Some("/etc/crio/crio.conf.d/50-stockade.conf"),
            Self::Kubernetes => None,
        }
    }

    /// The program whose presence means that the client is installed.
    pub fn program(self) -> &'static str {
        match self {
            Self::Containerd => "containerd",
            Self::Docker => "dockerd",
            Self::Podman => "podman",
            Self::Crio => "crio",
            Self::Kubernetes => "kubectl",
        }
    }

    /// The command after which the client knows a changed configuration, where it takes one.
    pub(super) fn reload(self) -> Option<&'static str> {
        match self {
            Self::Containerd => Some("systemctl restart containerd"),
            Self::Docker => Some("systemctl reload docker"),
            Self::Crio => Some("systemctl restart crio"),
            Self::Podman | Self::Kubernetes => None,
        }
    }

    /// What the configuration needs, for binaries in this directory.
    pub(super) fn fragment(self, handlers: &[Handler], directory: &Path) -> String {
        match self {
            Self::Containerd => tables::containerd(tables::Version::Two, handlers, directory),
            Self::Docker => json::fragment(handlers, directory),
            Self::Podman => podman(handlers, directory),
            Self::Crio => crio(handlers, directory),
            Self::Kubernetes => classes(handlers),
        }
    }

    /// The configuration with what it needs in it, given what it is now.
    ///
    /// # Errors
    /// What is there cannot be read, or says something else of a handler.
    pub(super) fn merged(
        self,
        old: Option<&str>,
        handlers: &[Handler],
        directory: &Path,
    ) -> Result<String> {
        match self {
            Self::Containerd => tables::merged(old, handlers, directory),
            Self::Docker => json::merged(old, handlers, directory),
            Self::Podman | Self::Crio | Self::Kubernetes => Ok(self.fragment(handlers, directory)),
        }
    }

    /// Whether a configuration knows a handler of ours.
    pub fn knows_stockade(self, configuration: &str) -> bool {
        // All forms name the handler as a key of its own.
        configuration.contains("runtimes.stockade")
            || configuration.contains("\"stockade\"")
            || configuration.contains("\nstockade = ")
    }
}

fn podman(handlers: &[Handler], directory: &Path) -> String {
    let ours = handlers.iter().map(|handler| handler.name);
    let names: Vec<_> = JSON_LOGS.into_iter().chain(ours).map(quoted).collect();
    let mut text = format!(
        "{OURS}[engine]\nruntime_supports_json = [{}]\n\n[engine.runtimes]\n",
        names.join(", ")
    );
    for handler in handlers {
        let path = path(directory, handler);
        let _ = writeln!(text, "{} = [{path}]", handler.name);
    }
    text
}

fn crio(handlers: &[Handler], directory: &Path) -> String {
    let mut text = OURS.to_owned();
    for handler in handlers {
        let (name, path) = (handler.name, path(directory, handler));
        let _ = write!(
            text,
            "\n[crio.runtime.runtimes.{name}]\nruntime_path = {path}\nruntime_type = \"oci\"\nruntime_root = \"/run/stockade\"\n"
        );
    }
    text
}

fn classes(handlers: &[Handler]) -> String {
    let class = |handler: &Handler| {
        let name = handler.name;
        format!(
            "apiVersion: node.k8s.io/v1\nkind: RuntimeClass\nmetadata:\n  name: {name}\nhandler: {name}\n"
        )
    };
    let all: Vec<String> = handlers.iter().map(class).collect();
    all.join("---\n")
}

/// The handler's binary as a string of JSON, which is one of TOML too.
pub(super) fn path(directory: &Path, handler: &Handler) -> String {
    quoted(&directory.join(handler.name).to_string_lossy())
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_our_own_are_what_their_clients_read() {
        let text = Client::Podman.fragment(&HANDLERS[..1], Path::new("/usr/local/bin"));
        let expected = "# Written by `stockade install`; it may be removed as a whole.\n\
            [engine]\n\
            runtime_supports_json = [\"crun\", \"runc\", \"kata\", \"runsc\", \"youki\", \"krun\", \"stockade\"]\n\n\
            [engine.runtimes]\n\
            stockade = [\"/usr/local/bin/stockade\"]\n";
        assert_eq!(text, expected);
        let text = Client::Crio.fragment(&HANDLERS[..1], Path::new("/usr/local/bin"));
        let expected = "# Written by `stockade install`; it may be removed as a whole.\n\n\
            [crio.runtime.runtimes.stockade]\n\
            runtime_path = \"/usr/local/bin/stockade\"\n\
            runtime_type = \"oci\"\n\
            runtime_root = \"/run/stockade\"\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_runtime_class_names_its_handler() {
        let text = Client::Kubernetes.fragment(&HANDLERS[..2], Path::new("/"));
        let expected = "apiVersion: node.k8s.io/v1\nkind: RuntimeClass\nmetadata:\n  name: stockade\nhandler: stockade\n\
            ---\n\
            apiVersion: node.k8s.io/v1\nkind: RuntimeClass\nmetadata:\n  name: stockade-restricted\nhandler: stockade-restricted\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn each_client_knows_what_it_was_told() {
        for client in Client::value_variants() {
            let text = client.fragment(&HANDLERS, Path::new("/usr/local/bin"));
            assert!(
                *client == Client::Kubernetes || client.knows_stockade(&text),
                "{text}"
            );
            assert!(!client.knows_stockade("version = 2\n"));
        }
    }
}
