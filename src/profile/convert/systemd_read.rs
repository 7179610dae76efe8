//! Settings of a unit that are values, names and lists: users, capabilities, calls, namespaces, limits.
//! Those that hide and protect are in `systemd_protect`.

use crate::error::{Error, Result, quote};
use crate::names::CAPABILITIES;
use crate::profile::compare::Direction::Different;
use crate::profile::format::{Groups, OnConflict};
use crate::profile::values::{Quantity, RlimitBound};
use crate::spec::NamespaceType;

use super::calls::Calls;
use super::systemd_calls::{
    ARCHITECTURES, FAMILIES, NAMESPACES, NO_PERSONALITY, NO_REALTIME, NO_WRITE_EXECUTE, errno,
};
use super::systemd_protect::{protect_home, protect_system};
use super::systemd_unit::{Sign, Unit};
use super::values::{amount, capability_of};

pub(super) fn wrong<T>(value: &str, expected: &str) -> Result<T> {
    Err(Error::new(quote(value), format!("not {expected}")))
}

pub(super) fn switch(value: &str) -> Result<bool> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "yes" | "y" | "true" | "t" | "on" => Ok(true),
        "0" | "no" | "n" | "false" | "f" | "off" => Ok(false),
        _ => wrong(value, "yes or no"),
    }
}

pub(super) fn no_new_privileges(unit: &mut Unit, value: &str) -> Result<()> {
    unit.profile.process.no_new_privileges |= switch(value)?;
    Ok(())
}

/// A list without a sign adds, one with `~` takes away; the first one says from what.
pub(super) fn bounding(unit: &mut Unit, value: &str) -> Result<()> {
    let (sign, names) = match value.strip_prefix('~') {
        Some(names) => (Sign::Not, names),
        None => (Sign::Only, value),
    };
    let mut named = Vec::new();
    for name in names.split_whitespace() {
        match capability_of(name) {
            Some(name) => named.push(name),
            None => return wrong(name, "a capability"),
        }
    }
    let all = || CAPABILITIES.map(str::to_owned).to_vec();
    let held = match unit.state.bounding.take() {
        _ if value.is_empty() => Vec::new(),
        _ if value == "~" => all(),
        Some(held) => held,
        None if sign == Sign::Not => all(),
        None => Vec::new(),
    };
    let held = held.into_iter().filter(|name| !named.contains(name));
    let mut held: Vec<String> = held.collect();
    if sign == Sign::Only {
        held.extend(named);
    }
    held.sort_unstable();
    held.dedup();
    unit.state.bounding = Some(held);
    Ok(())
}

pub(super) fn user(unit: &mut Unit, value: &str) -> Result<()> {
    match value.parse() {
        Ok(id) => unit.user("User", id),
        Err(_) if value == "root" => {}
        Err(_) => unit
            .losses
            .looser("User", "which id a name has, only the host knows"),
    }
    Ok(())
}

/// Ids of such users, and what goes with them.
pub(super) fn dynamic_user(unit: &mut Unit, value: &str) -> Result<()> {
    if !switch(value)? {
        return Ok(());
    }
    unit.user("DynamicUser", 61_184);
    unit.profile.process.no_new_privileges = true;
    unit.profile.identity.additional_groups = Groups::Drop;
    set_id(unit, "yes")?;
    protect_system(unit, "strict")?;
    protect_home(unit, "read-only")
}

pub(super) fn filter(unit: &mut Unit, value: &str) -> Result<()> {
    unit.state.listed.assign(value);
    Ok(())
}

pub(super) fn error_number(unit: &mut Unit, value: &str) -> Result<()> {
    unit.state.error = Some(errno(value).unwrap_or_else(|answer| {
        let why = format!("EPERM stands in for {}", quote(value));
        unit.losses.add("SystemCallErrorNumber", Different, why);
        answer
    }));
    Ok(())
}

pub(super) fn architectures(unit: &mut Unit, value: &str) -> Result<()> {
    let list = &mut unit.state.calls.architectures;
    for word in value.split_whitespace() {
        let Some((_, name)) = ARCHITECTURES.iter().find(|(known, _)| *known == word) else {
            return wrong(word, "an architecture that a profile has");
        };
        // Any list has the native one.
        for name in ["native", name] {
            if !list.iter().any(|other| other == name) {
                list.push(name.to_owned());
            }
        }
    }
    Ok(())
}

pub(super) fn namespaces(unit: &mut Unit, value: &str) -> Result<()> {
    let all = NAMESPACES.iter().fold(0, |all, (_, bit)| all | bit);
    if value.is_empty() {
        unit.state.namespaces = 0;
        return Ok(());
    }
    if let Ok(value) = switch(value) {
        unit.state.namespaces = if value { all } else { 0 };
        return Ok(());
    }
    let names = value.strip_prefix('~').unwrap_or(value);
    let mut bits = 0;
    for word in names.split_whitespace() {
        match NAMESPACES.iter().find(|(known, _)| *known == word) {
            Some((_, bit)) => bits |= bit,
            None => return wrong(word, "a kind of namespaces"),
        }
    }
    let before = unit.state.namespaces;
    unit.state.namespaces = match (value.starts_with('~'), before) {
        (true, before) => before | bits,
        (false, 0) => all & !bits,
        (false, before) => before & !bits,
    };
    Ok(())
}

pub(super) fn families(unit: &mut Unit, value: &str) -> Result<()> {
    if value.is_empty() {
        unit.state.families = None;
        return Ok(());
    }
    if value == "none" {
        unit.state.families = Some((Sign::Only, Vec::new()));
        return Ok(());
    }
    let (sign, names) = match value.strip_prefix('~') {
        Some(names) => (Sign::Not, names),
        None => (Sign::Only, value),
    };
    let (mode, list) = unit.state.families.get_or_insert((sign, Vec::new()));
    for word in names.split_whitespace() {
        let same = [("AF_LOCAL", "AF_UNIX"), ("AF_ROUTE", "AF_NETLINK")];
        let word = same
            .iter()
            .find(|(other, _)| *other == word)
            .map_or(word, |(_, name)| name);
        let Some((_, number)) = FAMILIES.iter().find(|(known, _)| *known == word) else {
            return wrong(word, "an address family that is known here");
        };
        list.retain(|other| other != number);
        if *mode == sign {
            list.push(*number);
        }
    }
    Ok(())
}

pub(super) fn when(unit: &mut Unit, value: &str, limit: fn(&mut Calls)) -> Result<()> {
    if switch(value)? {
        unit.state.limits.push(limit);
    }
    Ok(())
}

pub(super) fn realtime(unit: &mut Unit, value: &str) -> Result<()> {
    when(unit, value, |calls| calls.only(NO_REALTIME))
}

pub(super) fn set_id(unit: &mut Unit, value: &str) -> Result<()> {
    when(unit, value, Calls::restrict_set_id)
}

pub(super) fn personality(unit: &mut Unit, value: &str) -> Result<()> {
    when(unit, value, |calls| calls.only(NO_PERSONALITY))
}

pub(super) fn write_execute(unit: &mut Unit, value: &str) -> Result<()> {
    when(unit, value, |calls| calls.limit(NO_WRITE_EXECUTE))
}

pub(super) fn require(unit: &mut Unit, kind: NamespaceType) {
    let require = &mut unit.profile.namespaces.require;
    if !require.contains(&kind) {
        require.push(kind);
    }
}

pub(super) fn own(unit: &mut Unit, value: &str, kind: NamespaceType) -> Result<()> {
    if switch(value)? {
        require(unit, kind);
    }
    Ok(())
}

pub(super) fn private_network(unit: &mut Unit, value: &str) -> Result<()> {
    own(unit, value, NamespaceType::Network)
}

pub(super) fn private_ipc(unit: &mut Unit, value: &str) -> Result<()> {
    own(unit, value, NamespaceType::Ipc)
}

pub(super) fn private_pids(unit: &mut Unit, value: &str) -> Result<()> {
    own(unit, value, NamespaceType::Pid)
}

pub(super) fn private_mounts(unit: &mut Unit, value: &str) -> Result<()> {
    own(unit, value, NamespaceType::Mount)
}

const BYTES: [(&str, u64); 7] = [
    ("", 1),
    ("B", 1),
    ("K", 1 << 10),
    ("M", 1 << 20),
    ("G", 1 << 30),
    ("T", 1 << 40),
    ("P", 1 << 50),
];

/// A size; of `infinity` and of a share of what the host has, `None`.
pub(super) fn bytes(unit: &mut Unit, field: &str, value: &str) -> Result<Option<u64>> {
    if value == "infinity" {
        return Ok(None);
    }
    if value.ends_with('%') {
        let why = "a profile has no shares of what the host has";
        unit.losses.looser(field, why);
        return Ok(None);
    }
    match amount(value, &BYTES) {
        Some(bytes) => Ok(Some(bytes)),
        None => wrong(value, "a size such as 512M"),
    }
}

pub(super) fn memory(unit: &mut Unit, value: &str) -> Result<()> {
    let bytes = bytes(unit, "MemoryMax", value)?;
    unit.profile.limits.memory.maximum = bytes.map(Quantity::Number);
    Ok(())
}

pub(super) fn swap(unit: &mut Unit, value: &str) -> Result<()> {
    let bytes = bytes(unit, "MemorySwapMax", value)?;
    unit.profile.limits.swap.maximum = bytes.map(Quantity::Number);
    Ok(())
}

pub(super) fn tasks(unit: &mut Unit, value: &str) -> Result<()> {
    let tasks = bytes(unit, "TasksMax", value)?;
    unit.profile.limits.pids.maximum = tasks.map(Quantity::Number);
    Ok(())
}

pub(super) fn cpu_quota(unit: &mut Unit, value: &str) -> Result<()> {
    let percent = value
        .strip_suffix('%')
        .and_then(|value| amount(value, &[("", 10_000_000)]));
    let Some(billionths) = percent else {
        return wrong(value, "a share such as 20%");
    };
    let (percent, is_more) = super::values::percent_of(billionths);
    unit.profile.limits.cpu_percent.maximum = Some(Quantity::Number(percent));
    if is_more {
        let why = format!("rounded up to {percent} percent of a CPU");
        unit.losses.looser("CPUQuota", why);
    }
    Ok(())
}

/// Seconds and microseconds are read only as plain numbers.
pub(super) fn rlimit(unit: &mut Unit, kind: &str, value: &str) -> Result<()> {
    let (soft, hard) = value.split_once(':').unwrap_or((value, value));
    let field = kind.replace("RLIMIT_", "Limit");
    if soft != hard {
        let why = "a profile has one number for soft and hard: the hard one";
        unit.losses.looser(&field, why);
    }
    if hard == "infinity" {
        return Ok(());
    }
    let Some(maximum) = amount(hard, &BYTES) else {
        let why = format!("{}: only plain numbers are read", quote(hard));
        unit.losses.looser(field, why);
        return Ok(());
    };
    let on_conflict = OnConflict::Tighten;
    let bound = RlimitBound {
        maximum,
        on_conflict,
    };
    unit.profile.rlimits.insert(kind.to_owned(), bound);
    Ok(())
}
