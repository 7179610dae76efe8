//! Where cgroups are made, and what a user without root has not been given there.
//! Sources: cgroups(7), "Cgroups delegation"; systemd.resource-control(5), `Delegate=`.

use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::{Finding, Host};
use crate::cgroup::{Mode, systemd};
use crate::container::Place;
use crate::error::{Error, quote_path};

const ID: &str = "cgroup-directory";

/// May groups be made?
pub(super) fn cgroup_directory(host: &Host) -> Finding {
    if host.facts.uid == 0 {
        return of_root(host);
    }
    match Place::find(&host.layout) {
        Ok(place) if place.is_delegated() => {
            let shown = quote_path(&place.parent);
            Finding::ok(
                ID,
                format!("groups are made in {shown}, which is delegated"),
            )
        }
        Ok(place) => {
            let found = format!(
                "groups belong in {}: {}",
                quote_path(&place.parent),
                lacks(&place)
            );
            Finding::warn(ID, found, mend(host, &place))
        }
        Err(error) => not_visible(&error),
    }
}

fn of_root(host: &Host) -> Finding {
    let layout = &host.layout;
    let hierarchy = layout.holds("memory").or_else(|| layout.unified());
    let parent = match (layout.mode(), hierarchy) {
        (Mode::V2, _) => Place::find(layout).ok().map(|place| place.parent),
        (_, Some(hierarchy)) => hierarchy
            .own_below_mount()
            .map(|own| hierarchy.mountpoint.join(own)),
        (_, None) => None,
    };
    let Some(parent) = parent else {
        return not_visible(&Error::new("cgroups", "our own is not visible"));
    };
    let shown = quote_path(&parent);
    if access(&parent, Access::WRITE_OK).is_ok() {
        return Finding::ok(ID, format!("groups are made in {shown}"));
    }
    let mend = "mount -o remount,rw /sys/fs/cgroup";
    Finding::fail(ID, format!("groups cannot be made in {shown}"), mend)
}

fn not_visible(error: &Error) -> Finding {
    let mend = "mount the hierarchy from its root, or give the container a cgroup namespace";
    Finding::warn(ID, error.to_string(), error.try_this().unwrap_or(mend))
}

/// What the place lacks, in words.
fn lacks(place: &Place) -> String {
    let name = |path: &PathBuf| match path.file_name() {
        _ if *path == place.parent => "the directory".to_owned(),
        Some(name) => name.to_string_lossy().into_owned(),
        None => quote_path(path),
    };
    let closed: Vec<String> = place.closed.iter().map(name).collect();
    let mut words = Vec::new();
    if !closed.is_empty() {
        words.push(format!("not this user's are {}", closed.join(", ")));
    }
    if !place.controllers.is_empty() {
        words.push(format!(
            "without the controllers {}",
            place.controllers.join(", ")
        ));
    }
    format!("{}; limits of a cgroup are refused", words.join("; "))
}

/// Who has to give what: a user's own systemd, the host's, or root by hand.
fn mend(host: &Host, place: &Place) -> String {
    if !systemd::is_running() {
        return "as root: make a cgroup, give it with its cgroup.procs and cgroup.subtree_control to this user, and start \
            stockade in a group below it"
            .into();
    }
    let own = host.layout.unified().map(|unified| Path::new(&unified.own));
    let unit = own
        .and_then(Path::file_name)
        .map(|unit| unit.to_string_lossy());
    let is_of_user = own.is_some_and(|own| own.starts_with("/user.slice"));
    match (unit, systemd::delegation(&host.layout, &host.facts)) {
        (_, Ok(delegation)) if !delegation.has_all(&place.controllers) => delegation.mend().into(),
        (Some(unit), _) if !is_of_user && unit.ends_with(".service") => format!(
            "systemctl edit {unit}, and there: [Service] Delegate=yes DelegateSubgroup=stockade (systemd 254)"
        ),
        _ => "systemd-run --user --scope --property Delegate=yes stockade …; launch has a scope made by itself".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_delegated_is_said_in_words() {
        let place = Place {
            parent: "/sys/fs/cgroup/a".into(),
            closed: vec![
                "/sys/fs/cgroup/a".into(),
                "/sys/fs/cgroup/a/cgroup.procs".into(),
            ],
            controllers: vec!["cpu"],
        };
        assert_eq!(
            lacks(&place),
            "not this user's are the directory, cgroup.procs; without the controllers cpu; limits of a cgroup are refused"
        );
    }
}
