//! The Landlock rules of a profile: their format, and what happens on a kernel that cannot do them all. A config has nothing
//! like them, so that they only ever add. The ruleset that they become is in `ruleset`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::OnConflict;
use super::change::{Rules, value};
use super::ruleset::Ruleset;
use crate::error::{Error, Result, quote};
use crate::sys::landlock::{ABSTRACT_UNIX_SOCKET, NEWEST, SIGNAL};

/// What the process may do with files and ports, and whom it reaches (landlock(7)). A list that is absent restricts
/// nothing, an empty one allows nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Landlock {
    /// Files and directories, with what is below, that may be read and listed.
    #[serde(default)]
    pub read: Option<Vec<String>>,
    /// Where files may be written, made, removed and renamed.
    #[serde(default)]
    pub write: Option<Vec<String>>,
    /// Where programs may be, which includes reading them.
    #[serde(default)]
    pub execute: Option<Vec<String>>,
    /// Devices that ioctl(2) may be used on.
    #[serde(default)]
    pub ioctl: Option<Vec<String>>,
    /// Local TCP ports.
    #[serde(default)]
    pub bind_tcp: Option<Vec<u16>>,
    /// Remote TCP ports.
    #[serde(default)]
    pub connect_tcp: Option<Vec<u16>>,
    /// What stays among the processes under these rules.
    #[serde(default)]
    pub scope: Vec<Scope>,
    /// What happens where the kernel cannot do all of it.
    #[serde(default)]
    pub on_old_kernel: OnOldKernel,
}

/// What stays among the processes under the same rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Signals.
    Signal,
    /// Connections to abstract UNIX sockets (unix(7)).
    AbstractUnixSocket,
}

impl Scope {
    pub(super) fn bit(self) -> u64 {
        match self {
            Self::Signal => SIGNAL,
            Self::AbstractUnixSocket => ABSTRACT_UNIX_SOCKET,
        }
    }
}

/// What happens where the kernel cannot do all that a section demands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnOldKernel {
    /// The container is not created.
    #[default]
    Refuse,
    /// What it cannot do is left out, with a warning.
    BestEffort,
}

/// The first release of Linux with a version of Landlock.
fn release(abi: u32) -> &'static str {
    ["5.13", "5.19", "6.2", "6.7", "6.10", "6.12"][(abi.clamp(1, NEWEST) - 1) as usize]
}

/// A key of the section: its name, its value where it restricts something, and the version that does all of it.
struct Demand {
    key: &'static str,
    value: Option<Value>,
    needs: u32,
}

impl Landlock {
    /// The keys, in the order of the format.
    fn demands(&self) -> [Demand; 7] {
        fn json<T: Serialize>(list: Option<&Vec<T>>) -> Option<Value> {
            list.map(value)
        }
        let scope = Some(&self.scope).filter(|scope| !scope.is_empty());
        let demand = |key, value, needs| Demand { key, value, needs };
        [
            demand("read", json(self.read.as_ref()), 1),
            // 3 refuses truncate(2); 2 allows renaming to another directory.
            demand("write", json(self.write.as_ref()), 3),
            demand("execute", json(self.execute.as_ref()), 1),
            demand("ioctl", json(self.ioctl.as_ref()), 5),
            demand("bind-tcp", json(self.bind_tcp.as_ref()), 4),
            demand("connect-tcp", json(self.connect_tcp.as_ref()), 4),
            demand("scope", json(scope), 6),
        ]
    }

    /// The version of Landlock that does all of it; 0 where nothing is demanded.
    pub fn minimum_abi(&self) -> u32 {
        let demanded = self.demands().into_iter();
        let demanded = demanded.filter(|demand| demand.value.is_some());
        demanded.map(|demand| demand.needs).max().unwrap_or(0)
    }

    /// What types cannot say.
    pub(super) fn check(&self) -> std::result::Result<(), String> {
        let lists = [
            ("read", &self.read),
            ("write", &self.write),
            ("execute", &self.execute),
            ("ioctl", &self.ioctl),
        ];
        let paths = lists
            .iter()
            .flat_map(|(key, list)| list.iter().flatten().map(move |path| (key, path)));
        match paths.into_iter().find(|(_, path)| !is_plain(path)) {
            None => Ok(()),
            Some((key, path)) => Err(format!(
                "landlock.{key}: {} is not an absolute path without wildcards, . and ..",
                quote(path)
            )),
        }
    }
}

/// `/`, or a path of names only.
fn is_plain(path: &str) -> bool {
    let is_name = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['*', '\0']);
    path == "/"
        || path
            .strip_prefix('/')
            .is_some_and(|rest| rest.split('/').all(is_name))
}

impl Rules<'_> {
    /// The ruleset for this kernel, and the record of what it is made of.
    pub(super) fn landlock(&mut self) -> Result<Option<Ruleset>> {
        let Some(wanted) = &self.profile.landlock else {
            return Ok(None);
        };
        let abi = self.host.landlock_abi;
        let is_unmet = |demand: &&Demand| demand.value.is_some() && demand.needs > abi;
        let demands = wanted.demands();
        let name = quote(&self.profile.name);
        let unmet = demands.iter().filter(is_unmet);
        match (
            unmet.clone().max_by_key(|demand| demand.needs),
            wanted.on_old_kernel,
        ) {
            (None, _) => {}
            (Some(demand), OnOldKernel::Refuse) => return Err(too_old(demand, &name, abi)),
            (Some(_), OnOldKernel::BestEffort) => {
                self.warnings
                    .extend(unmet.map(|demand| demand.left_out(&name, abi)));
            }
        }
        let ruleset = wanted.ruleset(abi);
        if ruleset.files != 0 && abi == 1 {
            self.warnings.push(format!(
                "landlock: nothing can be renamed to another directory under profile {name}: that needs Linux {}",
                release(2)
            ));
        }
        for demand in demands.iter().filter(|demand| demand.is_applied(abi)) {
            let rule = format!("landlock.{}", demand.key);
            let after = demand.value.as_ref();
            self.conflict(&rule, OnConflict::Tighten, "", None, after)?;
        }
        Ok(Some(ruleset).filter(|ruleset| !ruleset.is_empty()))
    }
}

impl Demand {
    /// Whether the kernel does at least a part of it: of `write` the first version does most.
    fn is_applied(&self, abi: u32) -> bool {
        let first = if self.key == "write" { 1 } else { self.needs };
        self.value.is_some() && abi >= first
    }

    fn needs_in_words(&self, abi: u32) -> String {
        let (needs, since) = (self.needs, release(self.needs));
        let has = match abi {
            0 => "no Landlock".to_owned(),
            abi => format!("ABI {abi}"),
        };
        format!("needs Landlock ABI {needs} (Linux {since}), this kernel has {has}")
    }

    fn left_out(&self, profile: &str, abi: u32) -> String {
        let needs = self.needs_in_words(abi);
        let rest = if self.is_applied(abi) {
            "files can be truncated everywhere"
        } else {
            "it is left out"
        };
        format!("landlock.{} of profile {profile} {needs}: {rest}", self.key)
    }
}

fn too_old(demand: &Demand, profile: &str, abi: u32) -> Error {
    let doing = format!("landlock.{} of profile {profile}", demand.key);
    let error = Error::new(doing, demand.needs_in_words(abi));
    let without = "landlock.on-old-kernel = \"best-effort\" in the profile leaves out what the kernel cannot do";
    if abi == 0 {
        error.hint(format!(
            "start the kernel with landlock among its security modules (lsm=); {without}"
        ))
    } else {
        error.hint(without)
    }
}
