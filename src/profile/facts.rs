//! What of the host a profile depends on.
//! What a plan depends on is `host::Facts`; the two share nothing.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;

use rustix::fs::{Access, AtFlags, CWD, accessat};

use super::Profile;
use crate::error::{Doing, Error, Result};
use crate::names;
use crate::spec::{Config, Rlimit};
use crate::sys::{attributes, landlock, prctl};

/// What of the host a profile depends on; the default is a host that says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// Memory of the host in bytes.
    pub memory_total: u64,
    /// The `thermal_throttle` directories that exist, absolute.
    pub thermal_throttle: Vec<String>,
    /// The limits that this process has, which a container inherits where its config is silent.
    pub rlimits: Vec<Rlimit>,
    /// Namespace paths of the config that lead to where this process is itself: the host, not another container.
    pub own_namespaces: Vec<String>,
    /// What the kernel can do.
    pub kernel: Kernel,
}

/// What the kernel can do of what profiles may demand; nothing where nobody has asked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Kernel {
    /// The version of Landlock, 0 for none.
    pub landlock_abi: u32,
    /// Whether there is `PR_SET_MDWE`.
    pub denies_write_execute: bool,
    /// Whether `vm.memfd_noexec` is there and may be written.
    pub memfd_noexec: bool,
    /// The AppArmor profiles that are loaded and enforced.
    pub apparmor_profiles: Vec<String>,
    /// The others that are loaded, each with its mode: what they forbid is made all the same.
    pub apparmor_unenforced: Vec<(String, String)>,
    /// Whether memory is limited by cgroup v2.
    pub has_memory_v2: bool,
}

impl Kernel {
    /// Asks for no more than this profile depends on.
    fn asked_for(profile: &Profile) -> Self {
        let memory = profile.memory.clone().unwrap_or_default();
        let (enforced, unenforced) = match profile.apparmor {
            Some(_) => apparmor_profiles(),
            None => Default::default(),
        };
        Self {
            landlock_abi: profile.landlock.as_ref().map_or(0, |_| landlock::abi()),
            denies_write_execute: memory.deny_write_execute && prctl::has_deny_write_execute(),
            memfd_noexec: memory.memfd_noexec && has_memfd_noexec(),
            apparmor_profiles: enforced,
            apparmor_unenforced: unenforced,
            has_memory_v2: profile.limits.oom_group && has_memory_v2(),
        }
    }
}

impl Facts {
    /// Looks where the namespaces lead that a config joins by path.
    #[must_use]
    pub fn with_joins(mut self, config: &Config) -> Self {
        let identity = |path: &str| {
            fs::metadata(path)
                .ok()
                .map(|found| (found.dev(), found.ino()))
        };
        let own: Vec<_> = fs::read_dir("/proc/self/ns")
            .into_iter()
            .flatten()
            .filter_map(|entry| identity(entry.ok()?.path().to_str()?))
            .collect();
        let joined = config.linux.iter().flat_map(|linux| &linux.namespaces);
        self.own_namespaces = joined
            .filter_map(|namespace| namespace.path.clone())
            .filter(|path| identity(path).is_some_and(|found| own.contains(&found)))
            .collect();
        self
    }

    /// Asks the kernel for what a profile depends on.
    #[must_use]
    pub fn with_kernel(mut self, profile: &Profile) -> Self {
        self.kernel = Kernel::asked_for(profile);
        self
    }

    /// What the rules for a process alone depend on.
    ///
    /// # Errors
    /// The errno of prlimit(2).
    pub fn of_process() -> Result<Self> {
        Ok(Self {
            rlimits: rlimits()?,
            ..Self::default()
        })
    }

    /// Of the host that this process runs on.
    ///
    /// # Errors
    /// An unreadable or unexpected `/proc/meminfo`, or the errno of prlimit(2).
    pub fn read() -> Result<Self> {
        Ok(Self {
            memory_total: memory_total()?,
            thermal_throttle: thermal_throttle(),
            rlimits: rlimits()?,
            own_namespaces: Vec::new(),
            kernel: Kernel::default(),
        })
    }
}

/// Before Linux 6.6 the strictest value refused every program that says nothing about executing.
const MEMFD_NOEXEC_SINCE: (u32, u32) = (6, 6);

/// The file asks who writes it and not for capabilities (kernel/pid_sysctl.h): root of the host's user namespace.
fn has_memfd_noexec() -> bool {
    let release = rustix::system::uname();
    let release = release.release().to_string_lossy();
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map_while(|part| part.parse::<u32>().ok());
    let version = numbers.next().zip(numbers.next());
    let (path, by) = ("/proc/sys/vm/memfd_noexec", AtFlags::EACCESS);
    // Inside of another runtime's container the mount over it is read-only, and it is written through that.
    let is_writable = accessat(CWD, path, Access::WRITE_OK, by).is_ok();
    version.is_some_and(|version| version >= MEMFD_NOEXEC_SINCE) && is_writable
}

/// Only root reads the file.
fn apparmor_profiles() -> (Vec<String>, Vec<(String, String)>) {
    by_mode(&fs::read_to_string("/sys/kernel/security/apparmor/profiles").unwrap_or_default())
}

/// Those that hold a process to what they say, and the others with their modes. `NAME (MODE)` in each line; the modes
/// are `enforce`, `kill`, `complain`, `unconfined` and `user` (aa-status(8)).
fn by_mode(text: &str) -> (Vec<String>, Vec<(String, String)>) {
    let (mut enforced, mut others) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let Some((name, mode)) = line
            .strip_suffix(')')
            .and_then(|line| line.rsplit_once(" ("))
        else {
            continue;
        };
        match mode {
            "enforce" | "kill" => enforced.push(name.to_owned()),
            mode => others.push((name.to_owned(), mode.to_owned())),
        }
    }
    (enforced, others)
}

fn has_memory_v2() -> bool {
    let text = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
    text.split_whitespace().any(|name| name == "memory")
}

/// `MemTotal:  2035472 kB` (proc_meminfo(5)).
fn memory_total() -> Result<u64> {
    let path = "/proc/meminfo";
    let text = fs::read_to_string(path).doing(|| format!("read \"{path}\""))?;
    text.lines()
        .find_map(|line| {
            line.strip_prefix("MemTotal:")?
                .split_whitespace()
                .next()?
                .parse()
                .ok()
        })
        .and_then(|kibibytes: u64| kibibytes.checked_mul(1024))
        .ok_or_else(|| Error::new(format!("read \"{path}\""), "no MemTotal"))
}

/// A CPU that cannot be throttled has no such directory, and a host may have no sysfs: nothing to mask then.
fn thermal_throttle() -> Vec<String> {
    let Ok(cpus) = fs::read_dir("/sys/devices/system/cpu") else {
        return Vec::new();
    };
    let mut found: Vec<String> = cpus
        .filter_map(|entry| {
            entry
                .ok()?
                .path()
                .join("thermal_throttle")
                .to_str()
                .map(String::from)
        })
        // Beside those of the CPUs there are plain files.
        .filter(|path| {
            fs::exists(path).unwrap_or_else(|error| error.kind() != ErrorKind::NotADirectory)
        })
        .collect();
    found.sort();
    found
}

fn rlimits() -> Result<Vec<Rlimit>> {
    let own = |(name, number): &(&str, u32)| {
        let (soft, hard) = attributes::limit(*number).doing(|| format!("read {name}"))?;
        Ok(Rlimit {
            kind: (*name).into(),
            hard,
            soft,
        })
    };
    names::RLIMITS.iter().map(own).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_apparmor_profile_counts_in_a_mode_that_enforces_it() {
        let text = "a (enforce)\nb (complain)\n/bin/c d (1) (kill)\ne (unconfined)\nf (user)\ng\n";
        let others = [("b", "complain"), ("e", "unconfined"), ("f", "user")];
        let others = others.map(|(name, mode)| (name.to_owned(), mode.to_owned()));
        let enforced = ["a", "/bin/c d (1)"].map(str::to_owned);
        assert_eq!(by_mode(text), (enforced.to_vec(), others.to_vec()));
    }

    #[test]
    fn facts_of_this_host_are_complete() {
        let facts = Facts::read().unwrap();
        assert!(facts.memory_total > 1 << 20);
        let files = facts.thermal_throttle.iter();
        assert_eq!(files.filter(|path| !fs::exists(path).unwrap()).count(), 0);
        assert_eq!(facts.rlimits.len(), names::RLIMITS.len());
    }
}
