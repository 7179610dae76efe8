//! The checks of config.json: what of it gives the program more than it needs. Each check is one function in a file by
//! subject; which there are is `table`'s.

pub(super) mod annotations;
pub(super) mod capabilities;
pub(super) mod devices;
pub(super) mod hooks;
pub(super) mod mounts;
pub(super) mod namespaces;
pub(super) mod process;
pub(super) mod resources;
pub(super) mod root;
pub(super) mod seccomp;
pub(super) mod sources;
pub(super) mod user;

use std::path::PathBuf;

use super::finding::{Finding, Findings, Place};
use super::table::{Check, Look};
use crate::host::Facts;
use crate::spec::{Config, Linux, Process, Resources, Seccomp};

/// A config.json, and what it is run with.
#[derive(Debug)]
pub struct Scene {
    /// The document.
    pub config: Config,
    /// What it is called in findings: its path, as the user gave it.
    pub document: String,
    /// The bundle: absolute.
    pub bundle: PathBuf,
    /// Where the root filesystem is, if it is there.
    pub root: Option<PathBuf>,
    /// Filters that are installed beside that of the config: the kernel takes the strictest answer.
    pub filters: Vec<Seccomp>,
    /// The profile that has added one more filter, of which nothing else is known.
    pub unknown_filter: Option<String>,
    /// Where it is run.
    pub host: Host,
}

/// What of this host some checks depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Host {
    /// Whether AppArmor is in force.
    pub apparmor: bool,
    /// Whether SELinux is in force.
    pub selinux: bool,
    /// Memory in bytes; none where that cannot be read.
    pub memory: Option<u64>,
}

impl Host {
    /// As far as it can be read: what cannot is taken for absent.
    pub fn read() -> Self {
        let facts = Facts::read().ok();
        Self {
            apparmor: facts.as_ref().is_some_and(|facts| facts.apparmor),
            selinux: facts.as_ref().is_some_and(|facts| facts.selinux),
            memory: crate::profile::Facts::read()
                .ok()
                .map(|facts| facts.memory_total),
        }
    }
}

impl Scene {
    fn process(&self) -> Option<&Process> {
        self.config.process.as_ref()
    }

    fn linux(&self) -> Option<&Linux> {
        self.config.linux.as_ref()
    }

    fn resources(&self) -> Option<&Resources> {
        self.linux()?.resources.as_ref()
    }

    /// A value of `linux.resources.unified`, unless it means that there is no limit.
    fn unified(&self, key: &str) -> Option<&str> {
        let value = self.resources()?.unified.get(key)?.trim();
        (!value.is_empty() && !value.starts_with("max")).then_some(value)
    }
}

/// One check at work on one config.
#[derive(Debug)]
pub struct Asked<'a> {
    /// What it looks at.
    pub scene: &'a Scene,
    check: &'static Check,
    findings: &'a mut Findings,
}

impl Asked<'_> {
    /// Adds what was found at a JSON pointer (RFC 6901).
    fn found(&mut self, pointer: impl Into<String>, message: impl Into<String>) {
        let finding = self.finding(pointer, message);
        self.add(finding);
    }

    /// A finding that is yet to be added: there is more to say of it.
    fn finding(&self, pointer: impl Into<String>, message: impl Into<String>) -> Finding {
        let place = Place::Pointer {
            document: self.scene.document.clone(),
            pointer: pointer.into(),
        };
        Finding::new(self.check, place, message)
    }

    fn add(&mut self, finding: Finding) {
        self.findings.add(finding);
    }

    fn unanswered(&mut self, reason: impl Into<String>) {
        self.findings.unanswered(self.check, reason);
    }
}

/// Makes the checks of config.json that `findings` has.
pub(super) fn look(scene: &Scene, findings: &mut Findings) {
    for check in findings.checks.clone() {
        if let Look::Config(look) = check.look {
            look(&mut Asked {
                scene,
                check,
                findings,
            });
        }
    }
}

/// One member's name as a part of a JSON pointer (RFC 6901).
pub(super) fn part(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
