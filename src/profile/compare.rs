//! What one profile forbids or permits against another, field by field. What profiles do to a config is `tighten`'s; the
//! order of configs is `order`'s.
//!
//! Fields are compared as the file spells them. One without an order here counts as permitting more, so that a field that
//! is new is never taken for a restriction.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

use super::filter::filter;
use super::format::{Flag, Profile};
use super::region::{Answer, Cube, answers, rank};
use super::values::DeviceSet;
use crate::error::{Doing, Result, escape, quote};
use crate::names::syscalls;
use crate::spec::{Seccomp, SeccompAction};

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

/// How the values of a field are ordered.
enum Order {
    /// The most permissive first, which is also what an absent one means.
    Words(&'static [&'static str]),
    Number(Ordering),
    /// A list of demands: more of them permit less.
    Demands,
    /// A list of what is permitted: more of them permit more, and an absent one everything.
    Permits,
    /// A name of what confines: an absent one permits more, and two different ones tell nothing.
    Name,
    None,
}

#[derive(Clone, Copy)]
enum Ordering {
    /// A limit; an absent one is none.
    AtMost,
    /// The least that is taken.
    AtLeast,
}

fn order(field: &str) -> Order {
    let last = field.rsplit('.').next().unwrap_or_default();
    match field {
        "identity.non-root" | "namespaces.net-devices" | "process.terminal" => {
            Order::Words(&["allow", "warn", "refuse"])
        }
        "identity.additional-groups" => Order::Words(&["keep", "drop", "refuse"]),
        "identity.minimum-uid" => Order::Number(Ordering::AtLeast),
        "mounts.propagation" => Order::Words(&["", "shared", "slave", "private"]),
        "mounts.bind.device-nodes" => Order::Words(&["true", "false"]),
        "process.no-new-privileges"
        | "root.readonly"
        | "mounts.bind.readonly-recursive"
        | "mounts.kernel.proc-invisible"
        | "mounts.kernel.proc-only-pids"
        | "paths.mask-thermal-throttle"
        | "process.lock-securebits"
        | "memory.deny-write-execute"
        | "memory.memfd-noexec"
        | "limits.oom-group"
        | "devices.deny-all" => Order::Words(&["false", "true"]),
        "landlock.on-old-kernel" | "memory.on-old-kernel" => {
            Order::Words(&["best-effort", "refuse"])
        }
        "apparmor.when-missing" => Order::Words(&["ignore", "refuse"]),
        "apparmor.profile" => Order::Name,
        "limits.time" => Order::Number(Ordering::AtMost),
        "capabilities.allow"
        | "environment.allow"
        | "devices.allow"
        | "devices.nodes"
        | "landlock.read"
        | "landlock.write"
        | "landlock.execute"
        | "landlock.ioctl"
        | "landlock.bind-tcp"
        | "landlock.connect-tcp" => Order::Permits,
        "mounts.drop"
        | "mounts.kernel.readonly"
        | "mounts.bind.add"
        | "mounts.tmpfs.add"
        | "mounts.kernel.add"
        | "paths.mask"
        | "paths.readonly"
        | "landlock.scope"
        | "namespaces.require" => Order::Demands,
        _ if last == "on-conflict" => Order::Words(&["tighten", "refuse"]),
        _ if last == "default" || last == "maximum" => Order::Number(Ordering::AtMost),
        _ => Order::None,
    }
}

/// Whether the second permits less, and whether it permits more. All that the host has is more than any number, and less
/// than no limit.
fn numbers(order: Ordering, a: &Value, b: &Value) -> (bool, bool) {
    let number = |value: &Value| match value {
        Value::Null => None,
        Value::String(_) => Some(u128::from(u64::MAX) + 1),
        value => value.as_u64().map(u128::from),
    };
    match order {
        Ordering::AtMost => {
            let number = |value| number(value).unwrap_or(u128::MAX);
            (number(b) < number(a), number(b) > number(a))
        }
        Ordering::AtLeast => (number(b) > number(a), number(b) < number(a)),
    }
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

fn compare_filters(a: &Profile, b: &Profile, changes: &mut Vec<FieldChange>) {
    let of = |profile: &Profile| profile.seccomp.as_ref().map(filter);
    let (a, b) = (of(a), of(b));
    if a == b {
        return;
    }
    compare_architectures(a.as_ref(), b.as_ref(), changes);
    let mut grouped: BTreeMap<(Direction, bool, String, String), Vec<&'static str>> =
        BTreeMap::new();
    for call in syscalls::all() {
        let (old, new) = (
            answers(a.as_ref(), call.name()),
            answers(b.as_ref(), call.name()),
        );
        let Some((direction, more)) = direction(old.as_deref(), new.as_deref()) else {
            continue;
        };
        let key = (direction, more, said(old.as_deref()), said(new.as_deref()));
        grouped.entry(key).or_default().push(call.name());
    }
    for ((direction, permits_more, a, b), calls) in grouped {
        changes.push(FieldChange {
            field: "seccomp.rules".to_owned(),
            direction,
            permits_more,
            a: a.into(),
            b: b.into(),
            calls,
        });
    }
}

fn compare_architectures(a: Option<&Seccomp>, b: Option<&Seccomp>, changes: &mut Vec<FieldChange>) {
    let list = |filter: Option<&Seccomp>| {
        let mut architectures = filter.map(|filter| filter.architectures.clone());
        if let Some(architectures) = &mut architectures {
            architectures.sort_unstable();
            architectures.dedup();
        }
        serde_json::to_value(architectures).unwrap_or_default()
    };
    let (a, b) = (list(a), list(b));
    let (less, more) = match (&a, &b) {
        (Value::Null, _) => (true, false),
        (_, Value::Null) => (false, true),
        _ => (!covers(&b, &a), !covers(&a, &b)),
    };
    let direction = match (less, more) {
        (false, false) => return,
        (true, false) => Direction::Stricter,
        (false, true) => Direction::Looser,
        (true, true) => Direction::Different,
    };
    changes.push(FieldChange {
        field: "seccomp.architectures".to_owned(),
        direction,
        permits_more: more,
        a,
        b,
        calls: Vec::new(),
    });
}

type Answers<'a> = Option<&'a [(Answer, Vec<Cube>)]>;

/// Where the second answers otherwise; `None` if nowhere. Rules that are too many to compare count as permitting more.
fn direction(a: Answers<'_>, b: Answers<'_>) -> Option<(Direction, bool)> {
    let (Some(a), Some(b)) = (a, b) else {
        return Some((Direction::Different, true));
    };
    let meet = |old: &[Cube], new: &[Cube]| {
        old.iter()
            .any(|cube| new.iter().any(|other| cube.and(*other).is_some()))
    };
    let (mut less, mut more, mut other) = (false, false, false);
    for (old, places) in a {
        for (new, new_places) in b {
            if old == new || !meet(places, new_places) {
                continue;
            }
            less |= rank(*new) < rank(*old);
            more |= rank(*new) > rank(*old);
            other |= rank(*new) == rank(*old);
        }
    }
    match (less, more) {
        (true, false) => Some((Direction::Stricter, false)),
        (false, true) => Some((Direction::Looser, true)),
        (true, true) => Some((Direction::Different, true)),
        (false, false) => other.then_some((Direction::Different, false)),
    }
}

fn said(answers: Answers<'_>) -> String {
    match answers {
        Some([(answer, _)]) => word(*answer),
        _ => "by arguments".to_owned(),
    }
}

fn word(answer: Answer) -> String {
    match answer {
        (SeccompAction::Allow, _) => "allow".to_owned(),
        (SeccompAction::Log, _) => "log".to_owned(),
        (SeccompAction::Errno, Some(38)) => "ENOSYS".to_owned(),
        (SeccompAction::Errno, Some(13)) => "EACCES".to_owned(),
        (SeccompAction::Errno, _) => "EPERM".to_owned(),
        _ => "kill-process".to_owned(),
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stricter => "stricter",
            Self::Looser => "looser",
            Self::Different => "different",
        })
    }
}

/// One line.
impl fmt::Display for FieldChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            field,
            direction,
            a,
            b,
            calls,
            ..
        } = self;
        write!(f, "{}: {direction}: ", escape(field))?;
        if let (Value::Array(a), Value::Array(b)) = (a, b) {
            let without = |from: &[Value], other: &[Value], sign: char| {
                let rest = from.iter().filter(|item| !other.contains(item));
                rest.map(|item| format!("{sign}{}", plain(item)))
                    .collect::<Vec<_>>()
            };
            let items = [without(a, b, '-'), without(b, a, '+')].concat();
            return f.write_str(&items.join(" "));
        }
        write!(f, "{} -> {}", plain(a), plain(b))?;
        if calls.is_empty() {
            return Ok(());
        }
        write!(f, ": {}", calls.join(" "))
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "anything".to_owned(),
        Value::String(text) if escape(text) == *text => text.clone(),
        Value::String(text) => quote(text),
        Value::Array(items) if items.is_empty() => "none".to_owned(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(" "),
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::parse;

    fn lines(a: &str, b: &str) -> Vec<String> {
        let of =
            |text: &str| parse("x", &format!("name = \"x\"\ndescription = \"\"\n{text}")).unwrap();
        compare(&of(a), &of(b))
            .unwrap()
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn built_in_profiles_are_in_their_order() {
        let names = Profile::names();
        for pair in names.windows(2) {
            let of = |name| Profile::builtin(name).unwrap();
            let changes = compare(&of(pair[0]), &of(pair[1])).unwrap();
            let more = changes.iter().filter(|change| change.permits_more);
            let more: Vec<String> = more.map(ToString::to_string).collect();
            assert!(more.is_empty(), "{pair:?}: {more:#?}");
            assert!(compare(&of(pair[0]), &of(pair[0])).unwrap().is_empty());
            assert!(!is_at_most(&compare(&of(pair[1]), &of(pair[0])).unwrap()));
        }
    }

    #[test]
    fn each_kind_of_field_has_its_order() {
        let a = "identity = { non-root = \"warn\", minimum-uid = 5 }\nroot.readonly = true\n\
                 devices.allow = [\"c 1:* rw\"]\nlimits.pids = { maximum = 10 }\nmounts.bind = { add = [\"ro\"], device-nodes = true }";
        let b = "identity = { non-root = \"refuse\", minimum-uid = 4 }\ndevices.allow = [\"c 1:3 r\"]\n\
                 limits.pids = { default = 10, maximum = 20 }\nmounts.bind = { add = [\"nodev\"] }\nlimits.memory.default = \"host\"";
        let expected = [
            "devices.allow: stricter: -c 1:* rw +c 1:3 r",
            "identity.minimum-uid: looser: 5 -> 4",
            "identity.non-root: stricter: warn -> refuse",
            "limits.memory.default: stricter: anything -> host",
            "limits.pids.maximum: looser: 10 -> 20",
            "mounts.bind.add: different: -ro +nodev",
            "mounts.bind.device-nodes: stricter: true -> false",
            "root.readonly: looser: true -> false",
        ];
        assert_eq!(lines(a, b), expected);
    }

    #[test]
    fn landlock_rules_are_compared_as_what_they_permit() {
        let a = "[landlock]\nread = [\"/\", \"/a\"]\nbind-tcp = [80]\nscope = [\"signal\"]\n";
        let b =
            "[landlock]\nread = [\"/\"]\nexecute = [\"/bin\"]\non-old-kernel = \"best-effort\"\n";
        let expected = [
            "landlock.bind-tcp: looser: 80 -> anything",
            "landlock.execute: stricter: anything -> /bin",
            "landlock.on-old-kernel: looser: refuse -> best-effort",
            "landlock.read: stricter: -/a",
            "landlock.scope: looser: -signal",
        ];
        assert_eq!(lines(a, b), expected);
        assert_eq!(
            lines("", "[landlock]\nscope = []\n"),
            ["landlock.on-old-kernel: stricter: anything -> refuse"]
        );
    }

    #[test]
    fn filters_are_compared_by_what_they_answer() {
        let with = |rules: &str| {
            format!("[seccomp]\ndefault-action = \"errno\"\narchitectures = [\"native\"]\n{rules}")
        };
        let rule = |name: &str, args: &str| {
            format!(
                "[[seccomp.rules]]\nnames = [\"{name}\"]\naction = \"allow\"\nargs = [{args}]\nreason = \"\"\n"
            )
        };
        let a = with(
            &[
                rule("clone", "{ index = 0, mask = 6, one-of = [0] }"),
                rule("read", ""),
            ]
            .concat(),
        );
        let same = with(
            &[
                rule("clone", "{ index = 0, mask = 7, one-of = [1] }"),
                rule("clone", "{ index = 0, mask = 15, one-of = [0, 8] }"),
                rule("read", ""),
            ]
            .concat(),
        );
        let fewer = with(&rule("clone", "{ index = 0, mask = 7, one-of = [0] }"));
        let others = with(
            &[
                rule("clone", "{ index = 0, mask = 3, one-of = [0] }"),
                rule("read", ""),
            ]
            .concat(),
        );
        assert_eq!(lines(&a, &same), Vec::<String>::new());
        assert_eq!(
            lines(&a, &fewer),
            [
                "seccomp.rules: stricter: allow -> EPERM: read",
                "seccomp.rules: stricter: by arguments -> by arguments: clone",
            ]
        );
        assert_eq!(
            lines(&fewer, &a)[0],
            "seccomp.rules: looser: EPERM -> allow: read"
        );
        assert_eq!(
            lines(&a, &others),
            ["seccomp.rules: different: by arguments -> by arguments: clone"]
        );
    }
}
