//! What a config and its profile promise of each probe: refused, open, or open for these things alone.
//!
//! Derived and not listed, so that a user's own profile has its own expectations: the filters are run on the very calls
//! that the probes make; the rest follows from ids, capabilities, namespaces, mounts and limits of the config.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::rows::ROWS;
use super::scene::is_below;
use super::table::{Probe, Promised};
use crate::error::Result;
use crate::profile::{Hardening, Tightened};
use crate::seccomp::{self, bpf};
use crate::spec::{Config, Linux, Mount, NamespaceType, Process, Seccomp};
use crate::sys::attempt::Attempt;

/// What is promised of one probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Want {
    /// Refused.
    Closed,
    /// Nothing: it may be open.
    Open,
    /// Refused but for these, and what is below them.
    Only(Vec<String>),
}

/// What is promised of every probe.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Promise {
    /// By the probe's id; what is not here is to be refused.
    lax: BTreeMap<String, Want>,
}

impl Promise {
    /// What a container of this config has, under the filter that its profile adds.
    ///
    /// # Errors
    /// A filter that does not compile.
    pub fn of(tightened: &Tightened) -> Result<Self> {
        let config = &tightened.config;
        let own = config
            .linux
            .as_ref()
            .and_then(|linux| linux.seccomp.as_ref());
        let filters = own.into_iter().chain(&tightened.filter);
        let filters: Result<Vec<_>> = filters.map(compiled).collect();
        let asked = Asked {
            config,
            filters: filters?,
            hardening: tightened.hardening,
        };
        let wants = ROWS
            .iter()
            .map(|probe| (probe.id.to_owned(), asked.want(probe)));
        Ok(Self {
            lax: wants.filter(|(_, want)| *want != Want::Closed).collect(),
        })
    }

    /// Of a probe by its id.
    pub fn want(&self, id: &str) -> &Want {
        self.lax.get(id).unwrap_or(&Want::Closed)
    }

    /// The same where one more process enters a container: it finds others there.
    #[must_use]
    pub fn of_another_process(mut self) -> Self {
        self.lax.insert("processes".to_owned(), Want::Open);
        self
    }
}

fn compiled(filter: &Seccomp) -> Result<Vec<libc::sock_filter>> {
    Ok(seccomp::compile(filter)?.program)
}

/// A config and its filters, and what follows from them.
pub(super) struct Asked<'a> {
    config: &'a Config,
    filters: Vec<Vec<libc::sock_filter>>,
    hardening: Hardening,
}

impl Asked<'_> {
    fn want(&self, probe: &Probe) -> Want {
        let calls = probe.calls();
        let is_filtered = !calls.is_empty() && calls.iter().all(|(_, call)| self.filters_out(call));
        match probe.promised {
            Promised::ByFilters | Promised::ByFiltersAnd(_) if is_filtered => Want::Closed,
            Promised::ByFilters => Want::Open,
            Promised::By(want) | Promised::ByFiltersAnd(want) => want(self),
        }
    }

    /// Whether one of the filters lets this call not pass.
    pub(super) fn filters_out(&self, call: &Attempt) -> bool {
        let Some((nr, arch, args)) = call.as_filtered() else {
            return true;
        };
        let data = bpf::Data {
            nr,
            arch,
            args,
            instruction_pointer: 0,
        };
        self.filters.iter().any(|filter| {
            let action = bpf::evaluate(filter, &data).unwrap_or(libc::SECCOMP_RET_ALLOW);
            let action = action & libc::SECCOMP_RET_ACTION_FULL;
            // A tracer or a supervisor may let it pass.
            !matches!(
                action,
                libc::SECCOMP_RET_ALLOW
                    | libc::SECCOMP_RET_LOG
                    | libc::SECCOMP_RET_TRACE
                    | libc::SECCOMP_RET_USER_NOTIF
            )
        })
    }

    pub(super) fn has_filter(&self) -> bool {
        !self.filters.is_empty()
    }

    pub(super) fn denies_write_execute(&self) -> bool {
        self.hardening.deny_write_execute
    }

    pub(super) fn has_sysctl(&self, key: &str, value: &str) -> bool {
        let sysctl = self.linux().and_then(|linux| linux.sysctl.get(key));
        sysctl.is_some_and(|found| found == value)
    }

    fn process(&self) -> Option<&Process> {
        self.config.process.as_ref()
    }

    fn linux(&self) -> Option<&Linux> {
        self.config.linux.as_ref()
    }

    pub(super) fn is_root(&self) -> bool {
        self.process().is_none_or(|process| process.user.uid == 0)
    }

    /// Root of the host: of a user namespace it owns nothing of the kernel's.
    pub(super) fn is_host_root(&self) -> bool {
        self.is_root() && !self.is_new(NamespaceType::User)
    }

    pub(super) fn has_no_new_privs(&self) -> bool {
        self.process()
            .is_some_and(|process| process.no_new_privileges)
    }

    /// All names in any of the five sets.
    pub(super) fn capabilities(&self) -> Vec<String> {
        let sets = self
            .process()
            .and_then(|process| process.capabilities.as_ref());
        let mut names: Vec<String> = sets
            .into_iter()
            .flat_map(|sets| {
                [
                    &sets.bounding,
                    &sets.effective,
                    &sets.inheritable,
                    &sets.permitted,
                    &sets.ambient,
                ]
            })
            .flatten()
            .cloned()
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    pub(super) fn has_capability(&self, name: &str) -> bool {
        self.capabilities().iter().any(|held| held == name)
    }

    pub(super) fn is_new(&self, kind: NamespaceType) -> bool {
        let mut namespaces = self.linux().into_iter().flat_map(|linux| &linux.namespaces);
        namespaces.any(|namespace| namespace.kind == kind)
    }

    /// A network namespace that nobody else has put anything into, as far as the config tells.
    pub(super) fn has_no_network(&self) -> bool {
        let mut namespaces = self.linux().into_iter().flat_map(|linux| &linux.namespaces);
        let is_bare = namespaces
            .any(|namespace| namespace.kind == NamespaceType::Network && namespace.path.is_none());
        let has_devices = self
            .linux()
            .is_some_and(|linux| !linux.net_devices.is_empty());
        is_bare && !has_devices && self.config.hooks.is_none()
    }

    pub(super) fn is_readonly_root(&self) -> bool {
        self.config.root.as_ref().is_some_and(|root| root.readonly)
    }

    /// The mount that a path is on, if it is not the root filesystem.
    pub(super) fn mount_of(&self, path: &str) -> Option<&Mount> {
        let above = self.config.mounts.iter();
        let above = above.filter(|mount| is_below(path, &mount.destination));
        above.max_by_key(|mount| mount.destination.len())
    }

    /// Whether programs in this directory are refused: by its mount, or since there is no way to put one there.
    pub(super) fn is_noexec(&self, path: &str) -> bool {
        match self.mount_of(path) {
            Some(mount) => ["noexec", "ro"]
                .iter()
                .any(|word| mount.options.iter().any(|option| option == word)),
            None => self.is_readonly_root(),
        }
    }

    pub(super) fn is_readable(&self, path: &str) -> bool {
        let masked = self
            .linux()
            .into_iter()
            .flat_map(|linux| &linux.masked_paths);
        if masked.into_iter().any(|masked| is_below(path, masked)) {
            return false;
        }
        let has = |mount: &Mount, word: &str| mount.options.iter().any(|option| option == word);
        match self.mount_of(path) {
            None => false,
            Some(mount) => !(path.starts_with("/proc/") && has(mount, "subset=pid")),
        }
    }

    pub(super) fn is_writable(&self, path: &str) -> bool {
        let readonly = self
            .linux()
            .into_iter()
            .flat_map(|linux| &linux.readonly_paths);
        let is_readonly = readonly
            .into_iter()
            .any(|readonly| is_below(path, readonly));
        let mount = self.mount_of(path);
        let is_mounted_readonly = mount.is_none_or(|mount| {
            let options = ["ro", "rro"];
            options
                .iter()
                .any(|word| mount.options.iter().any(|option| option == word))
        });
        self.is_host_root() && self.is_readable(path) && !is_readonly && !is_mounted_readonly
    }

    /// Where the config shows something of the host.
    pub(super) fn binds(&self) -> Vec<String> {
        let is_bind = |mount: &&Mount| {
            let kind = mount.kind.as_deref();
            kind == Some("bind")
                || mount
                    .options
                    .iter()
                    .any(|option| option == "bind" || option == "rbind")
        };
        let mounts = self.config.mounts.iter().filter(is_bind);
        mounts.map(|mount| mount.destination.clone()).collect()
    }

    pub(super) fn devices(&self) -> Vec<String> {
        let devices = self.linux().into_iter().flat_map(|linux| &linux.devices);
        devices.map(|device| device.path.clone()).collect()
    }

    pub(super) fn has_no_core_files(&self) -> bool {
        let mut limits = self
            .process()
            .into_iter()
            .flat_map(|process| &process.rlimits);
        limits.any(|limit| limit.kind == "RLIMIT_CORE" && limit.hard == 0)
    }

    /// What of memory, processes and CPU time is not limited.
    pub(super) fn unlimited(&self) -> Vec<String> {
        let resources = self.linux().and_then(|linux| linux.resources.as_ref());
        let positive = |limit: Option<i64>| limit.is_some_and(|limit| limit > 0);
        let memory = resources
            .and_then(|r| r.memory.as_ref())
            .and_then(|memory| memory.limit);
        let pids = resources
            .and_then(|r| r.pids.as_ref())
            .and_then(|pids| pids.limit);
        let cpu = resources
            .and_then(|r| r.cpu.as_ref())
            .and_then(|cpu| cpu.quota);
        let limits = [
            ("memory", positive(memory)),
            ("processes", positive(pids)),
            ("cpu quota", positive(cpu)),
        ];
        let unlimited = limits.iter().filter(|(_, is_limited)| !is_limited);
        unlimited.map(|(name, _)| (*name).to_owned()).collect()
    }
}
