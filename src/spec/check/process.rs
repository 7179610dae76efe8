//! `process` (config.md, "Process", "Linux Process", "User").

use std::collections::BTreeSet;

use super::{At, not_one_of};
use crate::error::{Result, escape, quote};
use crate::names;
use crate::spec::{Capabilities, IoPriority, Process, Rlimit, Scheduler, User};

/// The most supplementary groups of a process (getgroups(2), `NGROUPS_MAX`).
const MOST_GROUPS: usize = 65_536;

/// Checks one `process`; capabilities that do not exist are taken out of it, with a warning.
pub(in crate::spec) fn process(
    process: &mut Process,
    at: &At,
    warnings: &mut Vec<String>,
) -> Result<()> {
    match process.args.first().map(String::as_str) {
        None => return Err(at.refuse("args", "is empty, there is nothing to run")),
        Some("") => return Err(at.refuse("args[0]", "is empty, there is nothing to run")),
        Some(_) => {}
    }
    at.absolute("cwd", &process.cwd)?;
    at.environment("env", &process.env)?;
    user(&process.user, &at.within("user"))?;
    if let Some(capabilities) = &mut process.capabilities {
        self::capabilities(capabilities, &at.within("capabilities"), warnings);
    }
    rlimits(&process.rlimits, at)?;
    if let Some(score) = process.oom_score_adj
        && !(-1000..=1000).contains(&score)
    {
        return Err(at.refuse("oomScoreAdj", format!("{score} is not from -1000 to 1000")));
    }
    if let Some(scheduler) = &process.scheduler {
        self::scheduler(scheduler, &at.within("scheduler"))?;
    }
    if let Some(priority) = &process.io_priority {
        io_priority(priority, &at.within("ioPriority"))?;
    }
    if let Some(affinity) = &process.exec_cpu_affinity {
        let at = at.within("execCPUAffinity");
        for (field, list) in [("initial", &affinity.initial), ("final", &affinity.r#final)] {
            if let Some(list) = list.as_deref().filter(|list| !list.is_empty()) {
                at.number_list(field, list)?;
            }
        }
    }
    Ok(())
}

fn user(user: &User, at: &At) -> Result<()> {
    at.id("uid", user.uid)?;
    at.id("gid", user.gid)?;
    for (i, gid) in user.additional_gids.iter().enumerate() {
        at.id(format!("additionalGids[{i}]"), *gid)?;
    }
    let groups = user.additional_gids.len();
    if groups > MOST_GROUPS {
        let cause = format!("{groups} groups are more than the kernel's {MOST_GROUPS}");
        return Err(at.refuse("additionalGids", cause));
    }
    if let Some(umask) = user.umask.filter(|umask| *umask > 0o777) {
        let cause = format!("{umask} is more than 511 (octal 777)");
        return Err(at.refuse("umask", cause));
    }
    Ok(())
}

/// A capability that does not exist, or that capset(2) or prctl(2) `PR_CAP_AMBIENT_RAISE` would refuse in its set, cannot
/// be granted: by config.md that is a warning, and the process has less. (What `runc spec` writes has such ambient ones.)
fn capabilities(sets: &mut Capabilities, at: &At, warnings: &mut Vec<String>) {
    let each = [
        ("bounding", &mut sets.bounding),
        ("effective", &mut sets.effective),
        ("inheritable", &mut sets.inheritable),
        ("permitted", &mut sets.permitted),
        ("ambient", &mut sets.ambient),
    ];
    let mut unknown = BTreeSet::new();
    for (_, set) in each {
        set.retain(|name| {
            let is_known = names::capability(name).is_some();
            if !is_known {
                unknown.insert(escape(name));
            }
            is_known
        });
    }
    if !unknown.is_empty() {
        let names: Vec<String> = unknown.into_iter().collect();
        let cause = format!(
            "ignoring unknown or unavailable capabilities: [{}]",
            names.join(" ")
        );
        at.warn(warnings, "", cause);
    }
    let Capabilities {
        effective,
        inheritable,
        permitted,
        ambient,
        ..
    } = sets;
    let mut keep = |field: &str, set: &mut Vec<String>, other: &str, allowed: &[String]| {
        let (kept, dropped): (Vec<_>, Vec<_>) =
            set.drain(..).partition(|name| allowed.contains(name));
        *set = kept;
        if !dropped.is_empty() {
            let names = dropped.join(", ");
            let cause =
                format!("can't raise {field} capability {names}: not in {other} too, ignored");
            at.warn(warnings, field, cause);
        }
    };
    keep("effective", effective, "permitted", permitted);
    keep("ambient", ambient, "permitted", permitted);
    keep("ambient", ambient, "inheritable", inheritable);
}

fn rlimits(rlimits: &[Rlimit], at: &At) -> Result<()> {
    for (i, limit) in rlimits.iter().enumerate() {
        let at = at.within(format!("rlimits[{i}]"));
        if names::rlimit(&limit.kind).is_none() {
            let known = names::RLIMITS.iter().map(|(name, _)| *name);
            return Err(at.refuse("type", not_one_of(&limit.kind, known)));
        }
        if rlimits[..i].iter().any(|other| other.kind == limit.kind) {
            return Err(at.refuse("type", format!("{} is there twice", quote(&limit.kind))));
        }
        if limit.soft > limit.hard {
            let cause = format!("{} is above hard, {}", limit.soft, limit.hard);
            return Err(at.refuse("soft", cause));
        }
    }
    Ok(())
}

/// The rules of sched_setattr(2) and sched(7).
fn scheduler(scheduler: &Scheduler, at: &At) -> Result<()> {
    let policy = scheduler.policy.as_str();
    if names::scheduler_policy(policy).is_none() {
        let known = names::SCHEDULER_POLICIES.iter().map(|(name, _)| *name);
        return Err(at.refuse("policy", not_one_of(policy, known)));
    }
    if policy == "SCHED_ISO" {
        return Err(at.refuse(
            "policy",
            "\"SCHED_ISO\" is reserved, Linux does not have it",
        ));
    }
    if let Some(nice) = scheduler.nice.filter(|nice| !(-20..=19).contains(nice)) {
        return Err(at.refuse("nice", format!("{nice} is not from -20 to 19")));
    }
    let priority = scheduler.priority.unwrap_or(0);
    let realtime = matches!(policy, "SCHED_FIFO" | "SCHED_RR");
    if realtime && !(1..=99).contains(&priority) {
        let cause = format!("{priority} is not from 1 to 99, as {policy} needs");
        return Err(at.refuse("priority", cause));
    }
    if !realtime && priority != 0 {
        let cause = format!("{priority} is not 0, as {policy} needs");
        return Err(at.refuse("priority", cause));
    }
    for (i, flag) in scheduler.flags.iter().enumerate() {
        if names::scheduler_flag(flag).is_none() {
            let known = names::SCHEDULER_FLAGS.iter().map(|(name, _)| *name);
            return Err(at.refuse(format!("flags[{i}]"), not_one_of(flag, known)));
        }
    }
    deadline(scheduler, at)
}

fn deadline(scheduler: &Scheduler, at: &At) -> Result<()> {
    let runtime = scheduler.runtime.unwrap_or(0);
    let deadline = scheduler.deadline.unwrap_or(0);
    let period = scheduler.period.unwrap_or(0);
    if scheduler.policy != "SCHED_DEADLINE" {
        let given = [
            ("runtime", runtime),
            ("deadline", deadline),
            ("period", period),
        ];
        return match given.into_iter().find(|(_, value)| *value != 0) {
            Some((field, _)) => Err(at.refuse(field, "is only for SCHED_DEADLINE")),
            None => Ok(()),
        };
    }
    // The kernel counts in units of 1024 ns and refuses less than one.
    if runtime < 1024 {
        return Err(at.refuse("runtime", format!("{runtime} is below 1024 nanoseconds")));
    }
    if runtime > deadline {
        let cause = format!("{runtime} is above deadline, {deadline}");
        return Err(at.refuse("runtime", cause));
    }
    if period != 0 && deadline > period {
        let cause = format!("{deadline} is above period, {period}");
        return Err(at.refuse("deadline", cause));
    }
    Ok(())
}

fn io_priority(priority: &IoPriority, at: &At) -> Result<()> {
    if names::io_class(&priority.class).is_none() {
        let known = names::IO_CLASSES.iter().map(|(name, _)| *name);
        return Err(at.refuse("class", not_one_of(&priority.class, known)));
    }
    if !(0..=7).contains(&priority.priority) {
        let cause = format!("{} is not from 0 to 7", priority.priority);
        return Err(at.refuse("priority", cause));
    }
    Ok(())
}
