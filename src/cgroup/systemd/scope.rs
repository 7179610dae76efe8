//! A container's scope: where its cgroup will be, what it asks for, its start, its change, its end.
//! Its limits are also written by files (`limits`), and its processes are killed by them (`life`).

use std::collections::BTreeMap;

use super::annotation;
use super::calls::{Systemd, processes};
use super::property::{Property, of_writes};
use super::unit::{Unit, Whose};
use super::wire::Value;
use crate::cgroup::devices::allowed;
use crate::cgroup::group::Cgroup;
use crate::cgroup::layout::{Hierarchy, Layout, Mode};
use crate::cgroup::location::{Group, Location};
use crate::cgroup::mark::Mark;
use crate::cgroup::settings::Write;
use crate::error::{Error, Result, quote, quote_path};
use crate::host::Facts as Host;
use crate::spec::DeviceRule;

/// How to give a user's systemd the controllers that are missing.
const DELEGATE: &str = "as root: mkdir -p /etc/systemd/system/user@.service.d && \
    printf '[Service]\\nDelegate=cpu cpuset io memory pids\\n' >/etc/systemd/system/user@.service.d/delegate.conf && \
    systemctl daemon-reload; then log in anew";

/// What systemd has to give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delegation {
    /// Whose systemd it is.
    pub whose: Whose,
    /// Its version.
    pub version: u32,
    /// The controllers that its units can have.
    pub controllers: Vec<String>,
    /// The cgroup that its units are below, relative to the mount point.
    group: String,
}

impl Delegation {
    /// Those of the usual controllers that it does not have.
    pub fn missing(&self) -> Vec<&'static str> {
        let usual = ["cpu", "cpuset", "io", "memory", "pids"];
        let is_missing = |name: &&str| !self.controllers.iter().any(|own| own == name);
        usual.into_iter().filter(is_missing).collect()
    }

    /// Whether it has all of these controllers.
    pub fn has_all(&self, controllers: &[&str]) -> bool {
        let has = |name: &&str| self.controllers.iter().any(|own| own == name);
        controllers.iter().all(has)
    }

    /// How to give it more.
    pub fn mend(&self) -> &'static str {
        match self.whose {
            Whose::User => DELEGATE,
            Whose::System => "boot with the controller enabled (cgroup_disable=, cgroup_enable=)",
        }
    }
}

/// Asks the systemd that serves this process what it has to give.
///
/// # Errors
/// There is none, it cannot be reached, or the host has cgroup v1.
pub fn delegation(layout: &Layout, host: &Host) -> Result<Delegation> {
    let whose = Whose::of(host);
    let mut systemd = Systemd::connect(whose)?;
    let hierarchy = v2_alone(layout)?;
    let group = below_mount(hierarchy, &systemd.control_group()?)?;
    let path = hierarchy.mountpoint.join(&group);
    let list = std::fs::read_to_string(path.join("cgroup.controllers")).map_err(|cause| {
        Error::new(
            format!("read the controllers of {}", quote_path(&path)),
            cause,
        )
    })?;
    Ok(Delegation {
        whose,
        version: systemd.version()?,
        controllers: list.split_whitespace().map(str::to_owned).collect(),
        group,
    })
}

fn v2_alone(layout: &Layout) -> Result<&Hierarchy> {
    layout.unified().filter(|_| layout.mode() == Mode::V2).ok_or_else(|| {
        Error::new("use --systemd-cgroup", "this host has cgroup v1, and only v2 alone is managed through systemd")
            .hint("boot with systemd.unified_cgroup_hierarchy=1, or let the client use the driver \"cgroupfs\"")
    })
}

/// A cgroup as systemd names it, relative to the mount point.
fn below_mount(hierarchy: &Hierarchy, group: &str) -> Result<String> {
    let root = hierarchy.root.trim_matches('/');
    let below = match (root, group.strip_prefix(root)) {
        ("", _) => Some(group),
        (_, Some("")) => Some(""),
        (_, rest) => rest.and_then(|rest| rest.strip_prefix('/')),
    };
    let is_plain = |path: &&str| !path.split('/').any(|name| matches!(name, "." | ".."));
    below.filter(is_plain).map(str::to_owned).ok_or_else(|| {
        let mount = quote_path(&hierarchy.mountpoint);
        Error::new(
            "use --systemd-cgroup",
            format!("systemd's cgroup {} is not below {mount}", quote(group)),
        )
    })
}

/// Where the scope of the container `id` will be: `slice:prefix:name` in `cgroups_path`, or a place by the id.
///
/// # Errors
/// As [`delegation`], and for a path of another form.
pub fn location(
    layout: &Layout,
    host: &Host,
    cgroups_path: Option<&str>,
    id: &str,
) -> Result<Location> {
    let delegation = delegation(layout, host)?;
    let hierarchy = v2_alone(layout)?;
    let unit = Unit::parse(cgroups_path, id, (delegation.whose, delegation.version))?;
    let names = [delegation.group.clone(), unit.path()];
    let names: Vec<String> = names.into_iter().filter(|name| !name.is_empty()).collect();
    Ok(Location {
        groups: vec![Group {
            controllers: delegation.controllers,
            mountpoint: hierarchy.mountpoint.clone(),
            path: names.join("/"),
            v2: true,
        }],
        made: Vec::new(),
        unit: Some(unit),
        mark: Mark::Unknown,
    })
}

/// What the scope at this place is asked for beside its process; nothing for a place that systemd does not manage.
///
/// # Errors
/// A limit whose controller systemd does not have, a malformed device rule, an annotation that is not allowed.
pub fn properties(
    location: &Location,
    writes: &[Write],
    devices: &[DeviceRule],
    annotations: &BTreeMap<String, String>,
) -> Result<Vec<Property>> {
    let Some(unit) = &location.unit else {
        return Ok(Vec::new());
    };
    check_delegated(location, unit, writes)?;
    let on = |name: &str| Property::new(name, Value::Bool(true));
    let text = |name: &str, text: &str| Property::new(name, Value::Text(text.to_owned()));
    let mut properties = vec![
        text("Description", &unit.description()),
        text("Slice", &unit.slice),
        on("Delegate"),
        Property::new("DefaultDependencies", Value::Bool(false)),
        text("CollectMode", "inactive-or-failed"),
        on("CPUAccounting"),
        on("IOAccounting"),
        on("MemoryAccounting"),
        on("TasksAccounting"),
    ];
    // A user's systemd has no right to restrict devices, and does not say so.
    if !devices.is_empty() && unit.whose == Whose::System {
        let list = allowed(devices)?;
        let policy = if list.is_some() { "strict" } else { "auto" };
        properties.push(text("DevicePolicy", policy));
        properties.push(Property::new(
            "DeviceAllow",
            Value::Devices(list.unwrap_or_default()),
        ));
    }
    let wanted = annotation::properties(annotations)?;
    properties.retain(|own| wanted.iter().all(|property| property.name() != own.name()));
    properties.extend(wanted);
    properties.extend(of_writes(unit, writes));
    Ok(properties)
}

/// Whether systemd has the controller for each limit.
fn check_delegated(location: &Location, unit: &Unit, writes: &[Write]) -> Result<()> {
    let controllers = location.groups.iter().flat_map(|group| &group.controllers);
    let controllers: Vec<&str> = controllers
        .map(String::as_str)
        .chain(["cgroup", "irq"])
        .collect();
    let is_missing = |write: &&Write| !controllers.contains(&write.controller.as_str());
    let Some(write) = writes.iter().find(is_missing) else {
        return Ok(());
    };
    let cause = format!(
        "{} has not been given the {} cgroup controller",
        unit.whose.words(),
        quote(&write.controller)
    );
    let error = Error::new(&write.field, cause);
    let is_usual = ["cpu", "cpuset", "io", "memory", "pids"].contains(&write.controller.as_str());
    Err(match unit.whose {
        Whose::User if is_usual => error.hint(DELEGATE),
        _ => error.hint("leave the field out"),
    })
}

/// Starts the scope with a process in it; the record with the marks of this very scope.
///
/// # Errors
/// systemd refuses, or the process is not where it should be then. Nothing is left of the scope.
pub(in crate::cgroup) fn start(
    location: &Location,
    properties: &[Property],
    pid: i32,
) -> Result<Location> {
    let mut location = location.clone();
    let Some(unit) = &mut location.unit else {
        return Ok(location);
    };
    let mut systemd = Systemd::connect(unit.whose)?;
    let mut all = properties.to_vec();
    all.push(processes(pid));
    unit.invocation = Some(systemd.start(unit, &all, pid)?);
    let unit = unit.clone();
    // The process tells whose cgroup it is.
    let opened = Cgroup::open_any(&location).and_then(Cgroup::into_marked);
    let pids = opened
        .as_ref()
        .map_err(Error::clone)
        .and_then(Cgroup::processes);
    match (opened, pids) {
        (Ok(cgroup), Ok(pids)) if pids.contains(&pid) => Ok(cgroup.location().clone()),
        (_, other) => {
            systemd.stop(&unit)?;
            let group = location
                .groups
                .first()
                .map(Group::directory)
                .unwrap_or_default();
            let cause = match other {
                Err(error) => error.to_string(),
                Ok(_) => format!("the process is not in {}", quote_path(&group)),
            };
            Err(Error::new(
                format!("start unit {}", quote(&unit.name)),
                cause,
            ))
        }
    }
}

/// Tells systemd of limits that change.
///
/// # Errors
/// systemd refuses.
pub(in crate::cgroup) fn change(unit: &Unit, writes: &[Write]) -> Result<()> {
    let properties = of_writes(unit, writes);
    if properties.is_empty() {
        return Ok(());
    }
    Systemd::connect(unit.whose)?.set(unit, &properties)
}

/// Moves a process into the scope's cgroup, or into one that it has below that.
///
/// # Errors
/// systemd refuses.
pub(in crate::cgroup) fn move_in(unit: &Unit, path: &str, pid: i32) -> Result<()> {
    let path = if path.is_empty() {
        String::new()
    } else {
        format!("/{path}")
    };
    Systemd::connect(unit.whose)?.attach(unit, &path, pid)
}

/// Stops the scope. Where its systemd is gone, as that of a user who has logged out is, there is nothing to stop.
///
/// # Errors
/// systemd refuses.
pub(in crate::cgroup) fn stop(unit: &Unit) -> Result<()> {
    match Systemd::connect(unit.whose) {
        Ok(mut systemd) => systemd.stop(unit),
        Err(error) => {
            log::warn!("{error}; the scope goes once its cgroup is gone");
            Ok(())
        }
    }
}
