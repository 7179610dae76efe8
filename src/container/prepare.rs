//! From a bundle to a plan: the profile, the host's facts, the cgroup's place. Nothing is made here.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::delegation::is_delegated;
use super::{Confinement, system_mounts};
use crate::cgroup::{self, Driver, Layout, Location};
use crate::error::{Error, Result};
use crate::host;
use crate::image::read_inside;
use crate::names;
use crate::plan::{self, ChangeOfRoot, Inputs, Options, Plan};
use crate::profile::{self, Bound, Choice, Habits, Limits, Origin, Profile, Tightened};
use crate::seccomp;
use crate::spec::{Bundle, Config};
use crate::sys::attributes;

/// A container that is ready to be made.
#[derive(Debug)]
pub struct Prepared {
    /// Where the config came from.
    pub bundle: Bundle,
    /// What the profile made of the config.
    pub tightened: Tightened,
    /// The limits of the profile.
    pub limits: Limits,
    /// How the profile was chosen.
    pub origin: Origin,
    /// What will be done.
    pub plan: Rc<Plan>,
    /// What bounds those who enter the container later.
    pub confinement: Confinement,
}

/// Tightens a config by the chosen profile and computes its plan. What is not as the config or the profile wants it, and is
/// no reason to refuse, goes to the log.
///
/// # Errors
/// What the profile refuses, and the way to one that does not, or what this host cannot honour, by the name of the field.
pub fn prepare(bundle: Bundle, id: &str, choice: &Choice, options: Options) -> Result<Prepared> {
    warn_of(&bundle.warnings);
    let host = host::Facts::read()?;
    let layout = Layout::discover()?;
    let profile = &match options.cgroups {
        Driver::Files => as_far_as_possible(&choice.profile, &bundle.config, &host, &layout),
        Driver::Systemd => Cow::Borrowed(&choice.profile),
    };
    let facts = profile::Facts::read()?;
    let facts = facts.with_joins(&bundle.config).with_kernel(profile);
    let mut tightened = profile::tighten(&bundle.config, profile, &facts)
        .map_err(|refusal| choice.advise(refusal, &bundle.config, &facts))?;
    profile::annotate(
        &mut tightened.config.annotations,
        &profile.name,
        &tightened.changes,
    );
    let config = &tightened.config;
    let filters = config
        .linux
        .as_ref()
        .and_then(|linux| linux.seccomp.as_ref());
    for filter in filters.into_iter().chain(&tightened.filter) {
        seccomp::check_kernel(filter)?;
    }
    let habits = profile.habits();
    let location = location(&layout, config, (id, habits), &host, options.cgroups)?;
    let plan = plan::create(&Inputs {
        bundle: &bundle,
        config,
        habits,
        profile_filter: tightened.filter.as_ref(),
        landlock: tightened.landlock.as_ref(),
        hardening: tightened.hardening,
        host: &host,
        layout: &layout,
        location,
        home: home(&bundle, config),
        limits: own_limits(config)?,
        system_mounts: match options.root {
            ChangeOfRoot::Pivot => Vec::new(),
            ChangeOfRoot::Move => system_mounts::read(&bundle, config)?,
        },
        options,
        id,
    })?;
    warn_of(&tightened.warnings);
    warn_of(&plan.warnings);
    Ok(Prepared {
        bundle,
        tightened,
        limits: profile.limits.clone(),
        origin: choice.origin,
        plan: Rc::new(plan),
        confinement: Confinement {
            profile: Profile::clone(profile),
            keyring: options.keyring,
        },
    })
}

fn warn_of(warnings: &[String]) {
    warnings.iter().for_each(|warning| log::warn!("{warning}"));
}

/// The profile; where no cgroup can be made, with its limits by process.
fn as_far_as_possible<'a>(
    profile: &'a Profile,
    config: &Config,
    host: &host::Facts,
    layout: &Layout,
) -> Cow<'a, Profile> {
    let has_limits = profile.limits != Limits::default();
    if !has_limits || !does_without_cgroup(config, host) || is_delegated(layout) {
        return Cow::Borrowed(profile);
    }
    let bounds = [
        ("swap", &profile.limits.swap),
        ("CPU time", &profile.limits.cpu_percent),
    ];
    let is_set = |(_, bound): &(&str, &Bound)| **bound != Bound::default();
    let lost = bounds.into_iter().filter(is_set).map(|(name, _)| name);
    let lost = match lost.collect::<Vec<_>>().join(" and ") {
        lost if lost.is_empty() => lost,
        lost => format!(", and none is on {lost}"),
    };
    log::warn!(
        "without root or a delegated cgroup, the profile's limits are per process (rlimits){lost}"
    );
    Cow::Owned(profile.without_cgroup_limits())
}

/// Without privileges and without limits there may be no cgroup to make, and none is needed. Podman without root calls
/// as root of a user namespace.
fn does_without_cgroup(config: &Config, host: &host::Facts) -> bool {
    if host.uid == 0 && !host.user_namespace {
        return false;
    }
    let linux = config.linux.as_ref();
    let resources = linux.and_then(|linux| linux.resources.as_ref());
    let has_limits = resources.is_some_and(|resources| {
        let without_devices = crate::spec::Resources {
            devices: Vec::new(),
            ..resources.clone()
        };
        without_devices != crate::spec::Resources::default()
    });
    linux.is_none_or(|linux| linux.cgroups_path.is_none()) && !has_limits
}

fn location(
    layout: &Layout,
    config: &Config,
    (id, habits): (&str, Habits),
    host: &host::Facts,
    driver: Driver,
) -> Result<Option<Location>> {
    let linux = config.linux.as_ref();
    let path = linux.and_then(|linux| linux.cgroups_path.as_deref());
    if driver == Driver::Systemd {
        return cgroup::systemd::location(layout, host, path, id).map(Some);
    }
    if does_without_cgroup(config, host) {
        return Ok(None);
    }
    cgroup::location(layout, path, &cgroup::default_name(habits, id)).map(Some)
}

/// The runtime's own values of the limits that the config sets.
pub(super) fn own_limits(config: &Config) -> Result<BTreeMap<u32, (u64, u64)>> {
    let limits = config.process.iter().flat_map(|process| &process.rlimits);
    limits
        .filter_map(|limit| names::rlimit(&limit.kind))
        .map(|resource| {
            let own = attributes::limit(resource)
                .map_err(|errno| Error::new("read the runtime's limits", errno))?;
            Ok((resource, own))
        })
        .collect()
}

/// HOME of the user by the image's passwd(5), where the config has none. Nothing in an image is worth failing for.
fn home(bundle: &Bundle, config: &Config) -> Option<String> {
    let process = config.process.as_ref()?;
    if plan::has_home(&process.env) {
        return None;
    }
    let root = bundle.path.join(&config.root.as_ref()?.path);
    let text = String::from_utf8(read_inside(&root, c"etc/passwd")?).ok()?;
    plan::home_of(process.user.uid, &text)
}
