//! Two filters, call by call, by what they answer.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Direction, FieldChange, covers};
use crate::names::syscalls;
use crate::profile::filter::filter;
use crate::profile::format::Profile;
use crate::profile::region::{Answer, Cube, answers, rank};
use crate::spec::{Seccomp, SeccompAction};

pub(super) fn compare_filters(a: &Profile, b: &Profile, changes: &mut Vec<FieldChange>) {
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
