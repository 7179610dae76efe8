//! What one profile forbids or permits against another, field by field. What profiles do to a config is `tighten`'s; the
//! order of configs is `order`'s.
//!
//! Fields are compared as the file spells them. One without an order here counts as permitting more, so that a field that
//! is new is never taken for a restriction. The orders are in `order`, filters are compared in `filters`.

mod filters;
mod order;
#[cfg(test)]
mod tests;
mod words;

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value};

use super::format::{Flag, Profile};
use super::values::DeviceSet;
use crate::error::{Doing, Result};
use filters::compare_filters;
use order::{Order, numbers, order};

/// What the second profile does against the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// It permits less.
    Stricter,
    /// It permits more.
    Looser,
    /// Neither, or both.
    Different,
}

/// One field in which two profiles differ.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FieldChange {
    /// As in the file: `limits.pids.maximum`.
    pub field: String,
    /// What the second does.
    pub direction: Direction,
    /// Whether the second permits anything that the first does not.
    pub permits_more: bool,
    /// In the first; null where nothing is demanded.
    pub a: Value,
    /// In the second.
    pub b: Value,
    /// The system calls that it is about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<&'static str>,
}

/// Every field in which `b` differs from `a`; the name and the description aside.
///
/// # Errors
/// None that is known: a profile is plain data.
pub fn compare(a: &Profile, b: &Profile) -> Result<Vec<FieldChange>> {
    let (mut old, mut new) = (tree(a)?, tree(b)?);
    hidden_is_readonly(a, b, &mut new);
    hidden_is_readonly(b, a, &mut old);
    let mut changes = Vec::new();
    walk("", &old, &new, &mut changes);
    compare_filters(a, b, &mut changes);
    Ok(changes)
}

/// A profile as the file spells it, without what is compared in other ways or means nothing there.
fn tree(profile: &Profile) -> Result<Value> {
    let mut tree = serde_json::to_value(profile).doing(|| "compare profiles")?;
    if let Value::Object(members) = &mut tree {
        for key in ["name", "description", "seccomp"] {
            members.remove(key);
        }
    }
    // They are spared an option that nothing adds: as good as true.
    if !profile.mounts.bind.add.contains(&Flag::Nodev) {
        tree["mounts"]["bind"]["device-nodes"] = true.into();
    }
    Ok(tree)
}

/// What `other` makes read-only and `own` hides is as good as read-only there.
fn hidden_is_readonly(other: &Profile, own: &Profile, tree: &mut Value) {
    let is_hidden = |path: &str| {
        own.paths.mask.iter().any(|mask| {
            path.strip_prefix(mask.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    };
    let Value::Array(paths) = &mut tree["paths"]["readonly"] else {
        return;
    };
    for path in other.paths.readonly.iter().filter(|path| is_hidden(path)) {
        if !own.paths.readonly.contains(path) {
            paths.push(path.as_str().into());
        }
    }
}

/// What a recording has done that a profile would not permit: the fields in which the recorded profile permits more.
///
/// # Errors
/// As [`compare`].
pub fn beyond(recorded: &Profile, profile: &Profile) -> Result<Vec<FieldChange>> {
    let mut changes = compare(profile, recorded)?;
    changes.retain(|change| change.permits_more);
    Ok(changes)
}

/// Whether the second profile is at most as permissive as the first.
pub fn is_at_most(changes: &[FieldChange]) -> bool {
    !changes.iter().any(|change| change.permits_more)
}

fn walk(path: &str, a: &Value, b: &Value, changes: &mut Vec<FieldChange>) {
    if a == b {
        return;
    }
    if !a.is_object() && !b.is_object() {
        changes.extend(leaf(path, a, b));
        return;
    }
    let members = |value: &Value| value.as_object().cloned().unwrap_or_default();
    let (a, b) = (members(a), members(b));
    let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    for key in keys {
        let path = match path {
            "" => key.clone(),
            path => format!("{path}.{key}"),
        };
        let value = |members: &Map<String, Value>| members.get(key).cloned().unwrap_or_default();
        let (mut old, mut new) = (value(&a), value(&b));
        // Without a default the maximum is set.
        if key == "default" && old.is_null() != new.is_null() {
            let maximum =
                |members: &Map<String, Value>| members.get("maximum").cloned().unwrap_or_default();
            match old.is_null() {
                true => old = maximum(&a),
                false => new = maximum(&b),
            }
        }
        walk(&path, &old, &new, changes);
    }
}

fn leaf(field: &str, a: &Value, b: &Value) -> Option<FieldChange> {
    let (less, more) = match order(field) {
        Order::Words(words) => {
            let place = |value: &Value| {
                words.iter().position(|word| match value {
                    Value::Bool(value) => word == &value.to_string().as_str(),
                    Value::String(value) => word == value,
                    _ => false,
                })
            };
            let (a, b) = (place(a).unwrap_or(0), place(b).unwrap_or(0));
            (b > a, b < a)
        }
        Order::Number(order) => numbers(order, a, b),
        Order::Demands => (!covers(a, b), !covers(b, a)),
        Order::Permits => match (a, b) {
            (Value::Null, _) => (true, false),
            (_, Value::Null) => (false, true),
            _ => (!covers(b, a), !covers(a, b)),
        },
        Order::Name => (!a.is_string() || b.is_string(), a.is_string()),
        Order::None => (true, true),
    };
    let direction = match (less, more) {
        (false, false) => return None,
        (true, false) => Direction::Stricter,
        (false, true) => Direction::Looser,
        (true, true) => Direction::Different,
    };
    Some(FieldChange {
        field: field.to_owned(),
        direction,
        permits_more: more,
        a: a.clone(),
        b: b.clone(),
        calls: Vec::new(),
    })
}

/// Whether every item of `inner` is in `outer`.
fn covers(outer: &Value, inner: &Value) -> bool {
    let items = |value: &'_ Value| value.as_array().cloned().unwrap_or_default();
    let outer = items(outer);
    items(inner).iter().all(|item| {
        outer
            .iter()
            .any(|other| other == item || covers_device(other, item) || covers_name(other, item))
    })
}

/// `LC_*` has `LC_ALL` and `LC_T*`. Of paths, a star is none that stands for anything.
fn covers_name(outer: &Value, inner: &Value) -> bool {
    let (Some(outer), Some(inner)) = (outer.as_str(), inner.as_str()) else {
        return false;
    };
    let begins = |prefix: &str| !prefix.contains('/') && inner.starts_with(prefix);
    outer.strip_suffix('*').is_some_and(begins)
}

/// `c 1:* rwm` has all that `c 1:3 r` has.
fn covers_device(outer: &Value, inner: &Value) -> bool {
    let set = |value: &Value| DeviceSet::try_from(value.as_str()?.to_owned()).ok();
    let (Some(outer), Some(inner)) = (set(outer), set(inner)) else {
        return false;
    };
    outer.kind == inner.kind
        && (outer.major.is_none() || outer.major == inner.major)
        && (outer.minor.is_none() || outer.minor == inner.minor)
        && inner
            .access
            .chars()
            .all(|access| outer.access.contains(access))
}
