//! What the process becomes: ids, capabilities, limits, priorities, label; and what must be read back of it.

use std::collections::BTreeMap;

use super::create::{Inputs, c_string, field};
use super::namespaces::Namespaces;
use super::{Console, Expectation, Filter, Step, Terminal};
use crate::error::{Error, Result, quote};
use crate::names;
use crate::spec::{Linux, Process};
use crate::sys::attributes::{Capabilities, Scheduling};

/// Resource, soft, hard.
pub(super) type Limit = (u32, u64, u64);

/// Capability masks as they are to be set.
#[derive(Debug)]
pub(super) struct Privileges {
    pub(super) sets: Capabilities,
    pub(super) ambient: u64,
    pub(super) bounding: u64,
}

impl Privileges {
    /// What of the config can be granted. The rest is left out with a warning, as the specification wants it (config.md,
    /// "Linux Process"): the container gets less than it asked for, never more.
    pub(super) fn of(
        inputs: &Inputs<'_>,
        process: &Process,
        filters: &[Filter],
        warnings: &mut Vec<String>,
    ) -> Self {
        let none = crate::spec::Capabilities::default();
        let wanted = process.capabilities.as_ref().unwrap_or(&none);
        let own = if makes_user_namespace(inputs) {
            u64::MAX
        } else {
            inputs.host.capabilities
        };
        let mut mask = |set: &str, names: &[String], limit: u64, why: &str| {
            mask(inputs, (set, names), limit, why, warnings)
        };
        let lacks = "stockade itself lacks it";
        let bounding = mask("bounding", &wanted.bounding, own, lacks);
        let permitted = mask("permitted", &wanted.permitted, own, lacks);
        let inheritable = mask("inheritable", &wanted.inheritable, own, lacks);
        let effective = mask(
            "effective",
            &wanted.effective,
            permitted,
            "it is not permitted",
        );
        let ambient = mask(
            "ambient",
            &wanted.ambient,
            permitted & inheritable,
            "it is not both permitted and inheritable",
        );
        let mut sets = Capabilities {
            effective,
            permitted,
            inheritable,
        };
        let restricts_itself = !filters.is_empty() || inputs.landlock.is_some();
        if restricts_itself && !process.no_new_privileges {
            // seccomp(2) and landlock_restrict_self(2) ask for CAP_SYS_ADMIN here. execve(2), which follows, computes both sets anew from the
            // bounding, inheritable and ambient ones, so the program does not have it.
            let sys_admin = names::capability("CAP_SYS_ADMIN").map_or(0, |number| 1 << number);
            sets.effective |= sys_admin;
            sets.permitted |= sys_admin;
        }
        Self {
            sets,
            ambient,
            bounding,
        }
    }
}

/// The known names of a set as a mask, as far as `limit` allows.
fn mask(
    inputs: &Inputs<'_>,
    (set, words): (&str, &[String]),
    limit: u64,
    why: &str,
    warnings: &mut Vec<String>,
) -> u64 {
    let mut mask = 0;
    let mut refused = Vec::new();
    for name in words {
        // Names that are no capabilities were warned about when the config was loaded.
        let Some(number) =
            names::capability(name).filter(|number| *number <= inputs.host.last_capability)
        else {
            continue;
        };
        if limit >> number & 1 == 0 {
            refused.push(name.as_str());
        } else {
            mask |= 1 << number;
        }
    }
    if !refused.is_empty() {
        let field = field(inputs, &format!("process.capabilities.{set}"));
        warnings.push(format!(
            "{field}: cannot be granted and left out: {} ({why})",
            refused.join(" ")
        ));
    }
    mask
}

fn makes_user_namespace(inputs: &Inputs<'_>) -> bool {
    let linux = inputs.config.linux.as_ref();
    linux.is_some_and(|linux| {
        linux
            .namespaces
            .iter()
            .any(|namespace| namespace.kind == crate::spec::NamespaceType::User)
    })
}

/// Priorities and execution domain: set while the privilege for them is still there.
pub(super) fn scheduling(
    inputs: &Inputs<'_>,
    process: &Process,
    linux: &Linux,
) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    if let Some(personality) = &linux.personality {
        let persona = names::personality(&personality.domain)
            .ok_or_else(|| unknown(inputs, "linux.personality.domain", &personality.domain))?;
        steps.push(Step::Personality(persona));
    }
    if let Some(scheduler) = &process.scheduler {
        steps.push(Step::Scheduler(scheduling_of(inputs, scheduler)?));
    }
    if let Some(priority) = &process.io_priority {
        let class = names::io_class(&priority.class)
            .ok_or_else(|| unknown(inputs, "process.ioPriority.class", &priority.class))?;
        let level = u8::try_from(priority.priority)
            .ok()
            .filter(|level| *level < 8)
            .ok_or_else(|| {
                Error::new(
                    field(inputs, "process.ioPriority.priority"),
                    "must be from 0 to 7",
                )
            })?;
        steps.push(Step::IoPriority { class, level });
    }
    if let Some(policy) = &linux.memory_policy {
        steps.push(memory_policy(inputs, policy)?);
    }
    Ok(steps)
}

fn unknown(inputs: &Inputs<'_>, name: &str, word: &str) -> Error {
    Error::new(
        field(inputs, name),
        format!("unknown value {}", quote(word)),
    )
}

fn scheduling_of(inputs: &Inputs<'_>, scheduler: &crate::spec::Scheduler) -> Result<Scheduling> {
    let mut flags = 0;
    for (index, flag) in scheduler.flags.iter().enumerate() {
        flags |= names::scheduler_flag(flag)
            .ok_or_else(|| unknown(inputs, &format!("process.scheduler.flags[{index}]"), flag))?;
    }
    let mut scheduling = Scheduling::default();
    scheduling.policy = names::scheduler_policy(&scheduler.policy)
        .ok_or_else(|| unknown(inputs, "process.scheduler.policy", &scheduler.policy))?;
    scheduling.flags = flags;
    scheduling.nice = scheduler.nice.unwrap_or(0);
    scheduling.priority = u32::try_from(scheduler.priority.unwrap_or(0)).map_err(|_| {
        Error::new(
            field(inputs, "process.scheduler.priority"),
            "must not be negative",
        )
    })?;
    scheduling.runtime = scheduler.runtime.unwrap_or(0);
    scheduling.deadline = scheduler.deadline.unwrap_or(0);
    scheduling.period = scheduler.period.unwrap_or(0);
    Ok(scheduling)
}

fn memory_policy(inputs: &Inputs<'_>, policy: &crate::spec::MemoryPolicy) -> Result<Step> {
    let mut mode = names::memory_policy_mode(&policy.mode)
        .ok_or_else(|| unknown(inputs, "linux.memoryPolicy.mode", &policy.mode))?;
    for (index, flag) in policy.flags.iter().enumerate() {
        mode |= names::memory_policy_flag(flag)
            .ok_or_else(|| unknown(inputs, &format!("linux.memoryPolicy.flags[{index}]"), flag))?;
    }
    let list = policy.nodes.as_deref().unwrap_or("");
    let nodes = node_mask(list).ok_or_else(|| unknown(inputs, "linux.memoryPolicy.nodes", list))?;
    Ok(Step::MemoryPolicy {
        mode: mode as i32,
        nodes,
    })
}

/// `0-1,3` as a mask of at most 64 nodes.
fn node_mask(list: &str) -> Option<u64> {
    let mut mask = 0;
    for part in list
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if first > last || last > 63 {
            return None;
        }
        mask |= (first..=last).fold(0, |mask, node| mask | 1u64 << node);
    }
    Some(mask)
}

/// The standard streams, for a user who could not open them again.
pub(super) fn stdio(process: &Process) -> Option<Step> {
    let user = &process.user;
    ((user.uid, user.gid) != (0, 0)).then_some(Step::OwnStdio {
        uid: user.uid,
        gid: user.gid,
    })
}

/// The terminal, if there is to be one. `field` names a field with the file it stands in.
pub(super) fn terminal(
    process: &Process,
    console: Console,
    field: impl Fn(&str) -> String,
) -> Result<Option<Step>> {
    if !process.terminal {
        // config.md, "Process": without a terminal the size means nothing.
        return Ok(None);
    }
    let short = |value: u32, name: &str| {
        u16::try_from(value).map_err(|_| {
            let cause = format!("{value} is more than a terminal's {}", u16::MAX);
            Error::new(field(&format!("process.consoleSize.{name}")), cause)
        })
    };
    let size = match &process.console_size {
        None => None,
        Some(size) => Some((short(size.height, "height")?, short(size.width, "width")?)),
    };
    Ok(Some(Step::Terminal(Terminal {
        uid: process.user.uid,
        size,
        console,
    })))
}

/// Groups and ids, in this order.
pub(super) fn identity(
    inputs: &Inputs<'_>,
    process: &Process,
    spaces: &Namespaces,
) -> Result<Vec<Step>> {
    let user = &process.user;
    let mut steps = Vec::new();
    if !spaces.denies_setgroups() {
        steps.push(Step::Groups(groups(process)));
    } else if !user.additional_gids.is_empty() {
        return Err(Error::new(
            field(inputs, "process.user.additionalGids"),
            "setting groups takes CAP_SETGID, which stockade lacks here",
        ));
    }
    steps.push(Step::Ids {
        uid: user.uid,
        gid: user.gid,
    });
    Ok(steps)
}

/// Supplementary groups, sorted as the kernel keeps them, one given twice twice.
fn groups(process: &Process) -> Vec<u32> {
    let mut groups = process.user.additional_gids.clone();
    groups.sort_unstable();
    groups
}

/// The limits by number.
pub(super) fn limits(inputs: &Inputs<'_>, process: &Process) -> Result<Vec<Limit>> {
    process
        .rlimits
        .iter()
        .enumerate()
        .map(|(index, limit)| {
            let resource = names::rlimit(&limit.kind).ok_or_else(|| {
                unknown(
                    inputs,
                    &format!("process.rlimits[{index}].type"),
                    &limit.kind,
                )
            })?;
            Ok((resource, limit.soft, limit.hard))
        })
        .collect()
}

/// Limits whose hard value is above the runtime's own: only the parent may still have the right to raise them.
pub(super) fn raised(limits: &[Limit], own: &BTreeMap<u32, (u64, u64)>) -> Vec<Limit> {
    limits
        .iter()
        .filter_map(|(resource, _, hard)| {
            let (soft, own_hard) = own.get(resource)?;
            (hard > own_hard).then_some((*resource, *soft, *hard))
        })
        .collect()
}

/// The label that execve(2) applies, by the kernel's security module.
pub(super) fn label(inputs: &Inputs<'_>, process: &Process) -> Result<Option<Step>> {
    let absent = |name: &str, module: &str| {
        Error::new(
            field(inputs, name),
            format!("this kernel has no {module} enabled"),
        )
        .hint("remove the field, or boot with the security module")
    };
    let apparmor = process
        .apparmor_profile
        .as_deref()
        .filter(|name| !name.is_empty());
    let selinux = process
        .selinux_label
        .as_deref()
        .filter(|label| !label.is_empty());
    if let Some(profile) = apparmor {
        if !inputs.host.apparmor {
            return Err(absent("process.apparmorProfile", "AppArmor"));
        }
        let file = c"thread-self/attr/apparmor/exec";
        return Ok(Some(Step::Label {
            field: "apparmorProfile",
            file,
            value: c_string(&format!("exec {profile}")),
        }));
    }
    if let Some(label) = selinux {
        if !inputs.host.selinux {
            return Err(absent("process.selinuxLabel", "SELinux"));
        }
        return Ok(Some(Step::Label {
            field: "selinuxLabel",
            file: c"thread-self/attr/exec",
            value: c_string(label),
        }));
    }
    Ok(None)
}

/// What init has to find when it asks the kernel.
pub(super) fn expectation(
    inputs: &Inputs<'_>,
    process: &Process,
    privileges: &Privileges,
    limits: &[Limit],
    spaces: &Namespaces,
) -> Expectation {
    Expectation {
        uid: process.user.uid,
        gid: process.user.gid,
        groups: (!spaces.denies_setgroups()).then(|| groups(process)),
        capabilities: privileges.sets,
        ambient: privileges.ambient,
        bounding: privileges.bounding,
        last_capability: inputs.host.last_capability,
        no_new_privileges: process.no_new_privileges,
        hardening: inputs.hardening,
        readonly_root: inputs
            .config
            .root
            .as_ref()
            .is_some_and(|root| root.readonly),
        limits: limits.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_list_becomes_a_mask() {
        assert_eq!(node_mask("0-1,3"), Some(0b1011));
        assert_eq!(node_mask(""), Some(0));
        assert_eq!(node_mask("64"), None);
        assert_eq!(node_mask("2-1"), None);
        assert_eq!(node_mask("x"), None);
    }

    #[test]
    fn only_a_higher_hard_limit_is_raised_by_the_parent() {
        let own = BTreeMap::from([(7, (1024, 4096)), (8, (10, 10))]);
        assert_eq!(raised(&[(7, 1, 8192), (8, 5, 5)], &own), [(7, 1024, 8192)]);
    }
}
