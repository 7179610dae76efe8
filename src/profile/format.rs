//! The TOML format of a profile, as types; docs/profiles.md is its reference.
//! What the values do to a config is in `tighten`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::landlock::{Landlock, OnOldKernel};
use super::values::{Bound, DeviceSet, RlimitBound, Time};
use crate::spec::NamespaceType;

/// A profile; a section that is absent demands nothing.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Profile {
    /// One word, shown in every refusal and change.
    pub name: String,
    /// One sentence.
    pub description: String,
    /// Who may run.
    #[serde(default)]
    pub identity: Identity,
    /// Which capabilities may be held.
    #[serde(default)]
    pub capabilities: Option<Capabilities>,
    /// Flags of the process.
    #[serde(default)]
    pub process: ProcessRules,
    /// Which variables the process may have.
    #[serde(default)]
    pub environment: Option<Environment>,
    /// What the process may execute of its own memory, beside the config.
    #[serde(default)]
    pub memory: Option<MemoryRules>,
    /// The AppArmor profile of a process whose config names none.
    #[serde(default)]
    pub apparmor: Option<AppArmor>,
    /// Which namespaces must not be the host's.
    #[serde(default)]
    pub namespaces: Namespaces,
    /// The root filesystem.
    #[serde(default)]
    pub root: Root,
    /// Options of mounts.
    #[serde(default)]
    pub mounts: Mounts,
    /// Paths to hide or to make read-only.
    #[serde(default)]
    pub paths: Paths,
    /// Which devices may be used.
    #[serde(default)]
    pub devices: Devices,
    /// cgroup limits.
    #[serde(default)]
    pub limits: Limits,
    /// Resource limits by name, `RLIMIT_CORE`.
    #[serde(default)]
    pub rlimits: BTreeMap<String, RlimitBound>,
    /// What the process may do with files and ports, beside the config.
    #[serde(default)]
    pub landlock: Option<Landlock>,
    /// A system-call filter, stacked on the config's.
    #[serde(default)]
    pub seccomp: Option<SeccompRules>,
}

/// What happens when a config asks for more than the profile allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum OnConflict {
    /// The value is cut, and the change recorded.
    #[default]
    Tighten,
    /// The container is not created.
    Refuse,
}

/// What happens when a config asks for one particular thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Nothing.
    #[default]
    Allow,
    /// A warning.
    Warn,
    /// The container is not created.
    Refuse,
}

/// Who may run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Identity {
    /// What happens when `process.user.uid` is 0.
    #[serde(default)]
    pub non_root: Verdict,
    /// A user id below this one, other than 0, is refused.
    #[serde(default)]
    pub minimum_uid: u32,
    /// What happens to `process.user.additionalGids`.
    #[serde(default)]
    pub additional_groups: Groups,
}

/// What happens to supplementary groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Groups {
    /// They stay.
    #[default]
    Keep,
    /// They are removed, and the change recorded.
    Drop,
    /// The container is not created.
    Refuse,
}

/// Which capabilities may be held, in any of the five sets.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Capabilities {
    /// Names such as `CAP_CHOWN`.
    pub allow: Vec<String>,
    /// For a capability that is not listed.
    #[serde(default)]
    pub on_conflict: OnConflict,
}

/// Flags of the process.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ProcessRules {
    /// Whether `process.noNewPrivileges` must be true.
    #[serde(default)]
    pub no_new_privileges: bool,
    /// What happens when `process.terminal` is true.
    #[serde(default)]
    pub terminal: Verdict,
    /// Whether user id 0 alone gives no capabilities, now and for good: securebits(7), all of them locked.
    #[serde(default)]
    pub lock_securebits: bool,
    /// For `no-new-privileges`.
    #[serde(default)]
    pub on_conflict: OnConflict,
}

/// Which variables the process may have. The caller's own environment is never passed on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Environment {
    /// Names of `process.env` that stay; `LC_*` is every name that begins so.
    pub allow: Vec<String>,
    /// For a variable that is not listed.
    #[serde(default)]
    pub on_conflict: OnConflict,
}

/// What the process may execute of its own memory; a config has no place for it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct MemoryRules {
    /// Whether no memory is writable and executable, or becomes executable later (`PR_SET_MDWE`, Linux 6.3).
    #[serde(default)]
    pub deny_write_execute: bool,
    /// Whether files in memory, memfd_create(2), cannot be executed (`vm.memfd_noexec`, Linux 6.6); only in a pid namespace
    /// of the container's own, made by root.
    #[serde(default)]
    pub memfd_noexec: bool,
    /// What happens where it cannot be had.
    #[serde(default)]
    pub on_old_kernel: OnOldKernel,
}

/// The AppArmor profile of a process whose config names none.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct AppArmor {
    /// Its name, as the kernel has it.
    pub profile: String,
    /// What happens on a host without AppArmor, or where the profile is not loaded.
    #[serde(default)]
    pub when_missing: WhenMissing,
}

/// What happens where the host does not have what is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum WhenMissing {
    /// The container is not created.
    #[default]
    Refuse,
    /// It is left out.
    Ignore,
}

/// Which namespaces must not be the host's.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Namespaces {
    /// Kinds that a config must have, new or joined by path; a missing one is added as new.
    #[serde(default)]
    pub require: Vec<NamespaceType>,
    /// For a missing one.
    #[serde(default)]
    pub on_conflict: OnConflict,
    /// What happens when `linux.netDevices` takes network devices from the host.
    #[serde(default)]
    pub net_devices: Verdict,
}

/// The root filesystem.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Root {
    /// Whether `root.readonly` must be true.
    #[serde(default)]
    pub readonly: bool,
    /// For a writable root.
    #[serde(default)]
    pub on_conflict: OnConflict,
}

/// Options of mounts, by class of mount.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Mounts {
    /// The most permissive propagation.
    #[serde(default)]
    pub propagation: Option<Propagation>,
    /// Filesystem types of the kernel's own (`sysfs`) that are left out.
    #[serde(default)]
    pub drop: Vec<String>,
    /// Bind mounts, and filesystems of no other class.
    #[serde(default)]
    pub bind: BindMounts,
    /// tmpfs.
    #[serde(default)]
    pub tmpfs: TmpfsMounts,
    /// proc, sysfs, cgroup and the kernel's other interfaces.
    #[serde(default)]
    pub kernel: KernelMounts,
    /// For all of the above.
    #[serde(default)]
    pub on_conflict: OnConflict,
}

/// Propagation of mounts (mount_namespaces(7)), the strictest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Propagation {
    /// Neither way.
    Private,
    /// From the host into the container.
    Slave,
    /// Both ways.
    Shared,
}

/// A mount option that takes something away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Flag {
    /// Read-only.
    Ro,
    /// Set-user-id and file capabilities have no effect.
    Nosuid,
    /// Device nodes cannot be opened.
    Nodev,
    /// Nothing can be executed.
    Noexec,
}

/// Bind mounts, and filesystems of no other class.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct BindMounts {
    /// Options that must be set; on a recursive bind mount, on everything below too.
    #[serde(default)]
    pub add: Vec<Flag>,
    /// Whether a read-only recursive bind mount is read-only all the way down (`rro`).
    #[serde(default)]
    pub readonly_recursive: bool,
    /// Whether a bind mount from below `/dev` to below `/dev` is spared `nodev`: the way to pass one device.
    #[serde(default)]
    pub device_nodes: bool,
}

/// tmpfs. The one on `/dev` is always spared `nodev`, as it holds the container's devices.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TmpfsMounts {
    /// Options that must be set.
    #[serde(default)]
    pub add: Vec<Flag>,
    /// Size of each, in bytes.
    #[serde(default)]
    pub size: Bound,
    /// Number of files of each.
    #[serde(default)]
    pub inodes: Bound,
}

/// The kernel's own filesystems. devpts is always spared `nodev`, as it holds terminals.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct KernelMounts {
    /// Options that must be set.
    #[serde(default)]
    pub add: Vec<Flag>,
    /// Types that must be mounted read-only.
    #[serde(default)]
    pub readonly: Vec<String>,
    /// Whether proc hides the processes of other users (`hidepid=invisible`, Linux 5.8).
    #[serde(default)]
    pub proc_invisible: bool,
    /// Whether proc shows processes only (`subset=pid`, Linux 5.8).
    #[serde(default)]
    pub proc_only_pids: bool,
}

/// Paths to hide or to make read-only.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Paths {
    /// Added to `linux.maskedPaths`.
    #[serde(default)]
    pub mask: Vec<String>,
    /// Added to `linux.readonlyPaths`.
    #[serde(default)]
    pub readonly: Vec<String>,
    /// Whether the `thermal_throttle` directory of every CPU is masked.
    #[serde(default)]
    pub mask_thermal_throttle: bool,
}

/// Which devices may be used.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Devices {
    /// Whether everything is denied that no rule allows, and a rule that allows everything is removed.
    #[serde(default)]
    pub deny_all: bool,
    /// What the config's rules may allow, `c 1:3 rwm`, with `*` for any number; absent: anything but all devices.
    #[serde(default)]
    pub allow: Option<Vec<DeviceSet>>,
    /// Nodes that `linux.devices` may ask for; absent: any.
    #[serde(default)]
    pub nodes: Option<Vec<String>>,
    /// For a node that is not listed. A rule of the cgroup is always tightened: engines send more than they need.
    #[serde(default)]
    pub on_conflict: OnConflict,
}

/// cgroup limits.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Limits {
    /// Bytes.
    #[serde(default)]
    pub memory: Bound,
    /// Bytes of swap beyond the memory.
    #[serde(default)]
    pub swap: Bound,
    /// Tasks.
    #[serde(default)]
    pub pids: Bound,
    /// CPU time, in percent of one CPU.
    #[serde(default)]
    pub cpu_percent: Bound,
    /// Whether all processes are killed together when the memory is used up (`memory.oom.group`, cgroup v2 only).
    #[serde(default)]
    pub oom_group: bool,
    /// How long a container runs that `run` or `launch` waits for: seconds, or a time such as `"10m"`.
    #[serde(default)]
    pub time: Option<Time>,
}

/// A system-call filter. A file may have groups of calls, and `allow` and `deny` on top of the rules: `groups` makes rules
/// of them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", try_from = "super::groups::Written")]
pub struct SeccompRules {
    /// For a call that no rule matches.
    pub default_action: Action,
    /// The error of the default action, and of rules that name none.
    pub default_errno: ErrnoName,
    /// `native`, or names such as `SCMP_ARCH_X86_64`; a call of any other architecture kills the process.
    pub architectures: Vec<String>,
    /// In no order: no two of them may match the same call.
    pub rules: Vec<SeccompRule>,
}

/// What the filter does with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// The call is made.
    Allow,
    /// The call fails.
    Errno,
    /// The call is made, and logged by the kernel.
    Log,
    /// The process is killed (SIGSYS).
    KillProcess,
}

/// The error of a refused call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "UPPERCASE")]
pub enum ErrnoName {
    /// Refused.
    #[default]
    Eperm,
    /// As if the kernel did not have it, so that programs fall back.
    Enosys,
    /// Refused, for file accesses.
    Eacces,
}

/// System calls and what happens to them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SeccompRule {
    /// Names of system calls; one that the architecture lacks is passed over.
    pub names: Vec<String>,
    /// What happens.
    pub action: Action,
    /// For `errno`, where it is not the default one.
    #[serde(default)]
    pub errno: Option<ErrnoName>,
    /// All must match.
    #[serde(default)]
    pub args: Vec<ArgRule>,
    /// Why.
    pub reason: String,
}

/// What the kernel reads of an `int` argument, whatever the register holds above.
pub const INT: u64 = 0xffff_ffff;

/// A test of one argument, of its low 32 bits (`mask` aside): the high ones never slip past it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ArgRule {
    /// From 0.
    pub index: u32,
    /// Which bits are compared.
    #[serde(default)]
    pub mask: Option<u64>,
    /// Matches any of these.
    #[serde(default)]
    pub one_of: Option<Vec<u64>>,
    /// Matches anything but these.
    #[serde(default)]
    pub none_of: Option<Vec<u64>>,
}

impl ArgRule {
    /// The bits of the argument that are compared.
    pub fn bits(&self) -> u64 {
        self.mask.unwrap_or(INT)
    }

    /// Whether an argument of this value passes the test.
    pub fn matches(&self, value: u64) -> bool {
        let value = value & self.bits();
        match (&self.one_of, &self.none_of) {
            (Some(values), _) => values.contains(&value),
            (None, Some(values)) => !values.contains(&value),
            (None, None) => false,
        }
    }
}
