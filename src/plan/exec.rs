//! The plan of a process that enters a running container: shorter than `create`, and from the change of ids on the same.
//! Which namespaces differ and where the container's root is was found out before (`container::target`).

use super::create::{Inputs, Keyring, become_the_user, c_string, field, filters, start};
use super::namespaces::{Namespaces, ids_to_take};
use super::{Console, Expectation, Plan, Step, environment, process};
use crate::error::Result;
use crate::spec::{Linux, Process};

/// What is known of the container that is entered.
#[derive(Debug, Clone, Copy)]
pub struct Joining {
    /// `CLONE_NEW*` of the namespaces that the container's first process does not share with the runtime.
    pub namespaces: i32,
    /// Whether its user namespace has given up setgroups(2) (user_namespaces(7)).
    pub denies_setgroups: bool,
    /// Whether there are v1 hierarchies to enter.
    pub has_v1_cgroups: bool,
    /// Whether systemd has to move it into the cgroup, since this process may not.
    pub is_moved: bool,
    /// Where its root is.
    pub root: RootOf,
}

/// Where the root of a container is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RootOf {
    /// It is that of its mount namespace.
    Namespace,
    /// Its first process has it alone.
    Process,
}

/// Computes the plan of a process that enters a container: `inputs.config` is the container's, with this process in it
/// and without hooks.
///
/// # Errors
/// A field that cannot be honoured on this host, by its name.
pub fn exec(inputs: &Inputs<'_>, joining: &Joining) -> Result<Plan> {
    let (linux, process) = inputs.linux_and_process()?;
    let denies_setgroups = joining.denies_setgroups || inputs.host.denies_setgroups;
    let spaces = Namespaces::of_container(denies_setgroups);
    let filters = filters(inputs, linux)?;
    let mut warnings = Vec::new();
    let privileges = process::Privileges::of(inputs, process, &filters, &mut warnings);
    let limits = process::limits(inputs, process)?;
    let raised = only_hard(process::raised(&limits, &inputs.limits), inputs);
    let setup = setup(inputs, linux, process, joining)?;
    let enter = become_the_user(inputs, linux, process, &spaces, &privileges)?;
    let mut start = start(
        inputs,
        process,
        &spaces,
        &privileges,
        &limits,
        filters.len(),
    )?;
    start.iter_mut().for_each(forget_the_root);
    let groups = if joining.denies_setgroups && inputs.host.has_capability("CAP_SETGID") {
        start.iter_mut().for_each(expect_no_groups);
        CallersGroups::Dropped
    } else {
        CallersGroups::Untouched
    };
    let program = environment::program(process, inputs.home.as_deref());
    Ok(Plan {
        cgroup: None,
        new_namespaces: 0,
        id_maps: None,
        oom_score: None,
        raised_limits: Vec::new(),
        is_moved: joining.is_moved,
        net_devices: Vec::new(),
        joins_first: joining.namespaces & libc::CLONE_NEWPID != 0,
        joins: joins(inputs, process, joining, &raised, groups)?,
        setup,
        enter,
        start,
        filters,
        watched: Vec::new(),
        landlock: inputs.landlock.cloned(),
        candidates: program.candidates,
        program: inputs.options.program,
        streams: inputs.options.streams,
        arguments: program.arguments,
        environment: program.environment,
        trees: Vec::new(),
        kept: 0,
        warnings,
    })
}

/// Only the hard ones yet: a soft limit would bind what is still to be done.
fn only_hard(limits: Vec<process::Limit>, inputs: &Inputs<'_>) -> Vec<process::Limit> {
    let own_soft = |resource: u32| inputs.limits.get(&resource).map(|own| own.0);
    let limits = limits.into_iter();
    limits
        .map(|(resource, soft, hard)| (resource, own_soft(resource).unwrap_or(soft), hard))
        .collect()
}

/// What becomes of the runtime's own supplementary groups on the way in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum CallersGroups {
    /// The process sets its own behind the door, or nobody may.
    Untouched,
    /// Given up before the door: behind it setgroups(2) is denied, and the host's groups would stay for good.
    Dropped,
}

/// Right behind the door: what the process needs of the container before it becomes one of its own.
fn setup(
    inputs: &Inputs<'_>,
    linux: &Linux,
    process: &Process,
    joining: &Joining,
) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    if joining.namespaces & libc::CLONE_NEWUSER != 0 {
        let (uid, gid) = ids_to_take(inputs, linux);
        steps.push(Step::TakeMappedIds { uid, gid });
    }
    steps.push(Step::NewSession);
    if inputs.options.keyring == Keyring::New {
        steps.push(Step::NewKeyring);
    }
    steps.push(match joining.root {
        RootOf::Namespace => Step::FindRoot,
        RootOf::Process => Step::TakeRoot,
    });
    let at = |name: &str| field(inputs, name);
    steps.extend(process::terminal(process, Console::Untouched, at)?);
    Ok(steps)
}

/// With the rights and in the place of the runtime: what lies outside the container, then the way in. The process must be
/// undumpable before it is where processes of the container could look at it (CVE-2016-9962), but a runtime without
/// privileges can write its own oom_score_adj only until then. CAP_SYS_PTRACE looks all the same, so nothing of the host is
/// left to see by then.
fn joins(
    inputs: &Inputs<'_>,
    process: &Process,
    joining: &Joining,
    raised: &[process::Limit],
    groups: CallersGroups,
) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    let score = process
        .oom_score_adj
        .map(|score| c_string(&score.to_string()));
    steps.extend(score.map(Step::OomScore));
    steps.extend(raised.iter().map(|(resource, soft, hard)| Step::Limit {
        resource: *resource,
        soft: *soft,
        hard: *hard,
    }));
    steps.push(Step::Undumpable);
    let affinity = process.exec_cpu_affinity.as_ref();
    let initial = affinity.and_then(|affinity| affinity.initial.as_deref());
    steps.extend(affinity_step("initial", initial));
    if joining.has_v1_cgroups {
        steps.push(Step::EnterCgroups);
    }
    match affinity {
        Some(affinity) => steps.extend(affinity_step("final", affinity.r#final.as_deref())),
        None => steps.push(Step::EveryCpu),
    }
    if groups == CallersGroups::Dropped {
        steps.push(Step::Groups(Vec::new()));
    }
    steps.extend(process::label(inputs, process)?);
    if joining.namespaces != 0 {
        let namespaces = joining.namespaces;
        steps.push(Step::JoinContainer { namespaces });
    }
    Ok(steps)
}

/// A list such as `0-3,7`, as loading checked it; an empty one asks for nothing.
fn affinity_step(field: &'static str, list: Option<&str>) -> Option<Step> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        // The kernel's masks end at the CPUs that it knows; 1023 is the last that fits one here.
        Some((first.parse().ok()?, last.parse::<usize>().ok()?.min(1023)))
    };
    let cpus = list
        .filter(|list| !list.is_empty())?
        .split(',')
        .filter_map(range);
    Some(Step::Affinity {
        field,
        cpus: cpus.collect(),
    })
}

/// How the root is mounted was verified when the container was made, and may be changed by whoever in it has the right.
fn forget_the_root(step: &mut Step) {
    if let Step::Verify(expectation) = step {
        let Expectation { readonly_root, .. } = &mut **expectation;
        *readonly_root = false;
    }
}

fn expect_no_groups(step: &mut Step) {
    if let Step::Verify(expectation) = step {
        expectation.groups = Some(Vec::new());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpus(list: &str) -> Option<Vec<(usize, usize)>> {
        match affinity_step("final", Some(list)) {
            Some(Step::Affinity { cpus, .. }) => Some(cpus),
            _ => None,
        }
    }

    #[test]
    fn cpu_list_becomes_ranges() {
        assert_eq!(cpus("0-3,7"), Some(vec![(0, 3), (7, 7)]));
        assert_eq!(cpus("5000-9000"), Some(vec![(5000, 1023)]));
        assert_eq!(cpus(""), None);
    }
}
