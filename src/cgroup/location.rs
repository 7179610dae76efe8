//! Where a container's cgroup is in each hierarchy: config-linux.md "Cgroups Path".
//! Nothing is made here; the record goes to the state file.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::layout::{Hierarchy, Layout, Mode};
use super::mark::Mark;
use super::systemd::Unit;
use crate::error::{Error, Result, quote};
use crate::profile::Habits;

const FIELD: &str = "linux.cgroupsPath";

/// Who makes a container's cgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Driver {
    /// stockade, by files.
    #[default]
    Files,
    /// systemd, as a scope.
    Systemd,
}

/// A container's cgroup in every hierarchy.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Location {
    /// One for each hierarchy of the host.
    pub groups: Vec<Group>,
    /// Parent directories that were made for this container, outermost first; they go with it if empty then. While it is
    /// being made, all that were not there before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub made: Vec<PathBuf>,
    /// The scope whose cgroup it is, where systemd makes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
    /// Which cgroup there it is.
    #[serde(default, skip_serializing_if = "Mark::is_unknown")]
    pub mark: Mark,
}

/// A container's cgroup in one hierarchy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// The hierarchy's controllers, as in [`Hierarchy::controllers`].
    pub controllers: Vec<String>,
    /// Where the hierarchy is mounted.
    pub mountpoint: PathBuf,
    /// The cgroup, relative to the mount point: names joined by single slashes.
    pub path: String,
    /// Whether it is the v2 hierarchy.
    pub v2: bool,
}

impl Group {
    /// The cgroup's directory.
    pub fn directory(&self) -> PathBuf {
        self.mountpoint.join(&self.path)
    }
}

/// The name of the cgroup of container `id` where the config has no path for it. stockade's own names are never those of
/// another runtime's containers.
pub fn default_name(habits: Habits, id: &str) -> String {
    match habits {
        Habits::Own => format!("stockade-{id}"),
        Habits::Runc => id.to_owned(),
    }
}

/// Where a container goes. An absolute `cgroups_path` starts at each hierarchy's mount point; a relative one, or
/// `default` for none, at the caller's own cgroup. On v2 alone that is its parent: a v2 cgroup that holds
/// processes, as the caller's does, cannot have children with controllers (cgroups(7), "no internal processes").
///
/// # Errors
/// For a path that is no plain path (`..`, systemd's `slice:prefix:name`, the root itself), and where a mount does
/// not show the caller's own cgroup.
pub fn location(layout: &Layout, cgroups_path: Option<&str>, default: &str) -> Result<Location> {
    let (start_at_own, names) = match cgroups_path.filter(|path| !path.is_empty()) {
        None => (true, plain(&default.replace('/', "_"))?),
        Some(path) => (!path.starts_with('/'), plain(path)?),
    };
    let place = |hierarchy: &Hierarchy| {
        let below = if start_at_own {
            own(layout, hierarchy)?
        } else {
            ""
        };
        Ok(Group {
            controllers: hierarchy.controllers.clone(),
            mountpoint: hierarchy.mountpoint.clone(),
            path: [below, &names]
                .into_iter()
                .filter(|s| !s.is_empty())
                .collect::<Vec<_>>()
                .join("/"),
            v2: hierarchy.v2,
        })
    };
    Ok(Location {
        groups: layout
            .hierarchies()
            .iter()
            .map(place)
            .collect::<Result<_>>()?,
        made: Vec::new(),
        unit: None,
        mark: Mark::Unknown,
    })
}

/// The cgroup that relative paths start at.
fn own<'a>(layout: &Layout, hierarchy: &'a Hierarchy) -> Result<&'a str> {
    let own = hierarchy.own_below_mount().ok_or_else(|| {
        Error::new(
            FIELD,
            format!(
                "our own cgroup {} is not below {}, which {} shows",
                quote(&hierarchy.own),
                quote(&hierarchy.root),
                quote(hierarchy.mountpoint.to_string_lossy().as_ref())
            ),
        )
        .hint("give an absolute linux.cgroupsPath")
    })?;
    Ok(match layout.mode() {
        Mode::V2 => own.rsplit_once('/').map_or("", |(parent, _)| parent),
        Mode::V1 | Mode::Hybrid => own,
    })
}

/// The path's names joined by single slashes.
fn plain(path: &str) -> Result<String> {
    let refuse = |cause: &str| Error::new(FIELD, format!("{} {cause}", quote(path)));
    if !path.starts_with('/') && path.matches(':').count() == 2 {
        return Err(refuse("is a systemd path (slice:prefix:name)")
            .hint("use --systemd-cgroup, or give a file path such as \"/stockade/name\""));
    }
    let names: Vec<&str> = path
        .split('/')
        .filter(|name| !matches!(*name, "" | "."))
        .collect();
    if names.contains(&"..") {
        return Err(refuse("contains \"..\""));
    }
    // The kernel refuses a newline in a cgroup's name; no other control character belongs in one either.
    if path.chars().any(char::is_control) {
        return Err(refuse("contains a control character"));
    }
    if names.is_empty() {
        return Err(refuse("is the root cgroup, which cannot be limited"));
    }
    Ok(names.join("/"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn hybrid() -> Layout {
        Layout::parse(
            "33 30 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
             40 30 0:40 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
            "4:memory:/outer/inner\n0::/\n",
        )
    }

    fn v2(own: &str) -> Layout {
        Layout::parse(
            "30 24 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
            &format!("0::{own}\n"),
        )
    }

    fn directories(layout: &Layout, path: Option<&str>) -> Vec<PathBuf> {
        let location = location(layout, path, "stockade-c1").unwrap();
        location.groups.iter().map(Group::directory).collect()
    }

    #[test]
    fn absolute_path_starts_at_every_mount_point() {
        assert_eq!(
            directories(&hybrid(), Some("//a/./b/")),
            [
                Path::new("/sys/fs/cgroup/memory/a/b"),
                Path::new("/sys/fs/cgroup/unified/a/b")
            ]
        );
    }

    #[test]
    fn relative_and_absent_paths_start_at_the_callers_own_cgroup() {
        assert_eq!(
            directories(&hybrid(), Some("a")),
            [
                Path::new("/sys/fs/cgroup/memory/outer/inner/a"),
                Path::new("/sys/fs/cgroup/unified/a")
            ]
        );
        for absent in [None, Some("")] {
            let first = directories(&hybrid(), absent).remove(0);
            assert_eq!(
                first,
                Path::new("/sys/fs/cgroup/memory/outer/inner/stockade-c1")
            );
        }
    }

    #[test]
    fn name_without_a_path_is_told_from_those_of_other_runtimes_unless_runcs_is_wanted() {
        assert_eq!(default_name(Habits::Own, "c1"), "stockade-c1");
        assert_eq!(default_name(Habits::Runc, "c1"), "c1");
    }

    #[test]
    fn on_v2_a_relative_path_is_a_sibling_of_the_callers_own_cgroup() {
        let path = Path::new("/sys/fs/cgroup/system.slice/stockade-c1");
        assert_eq!(
            directories(&v2("/system.slice/docker.service"), None),
            [path]
        );
        assert_eq!(
            directories(&v2("/"), Some("x")),
            [Path::new("/sys/fs/cgroup/x")]
        );
    }

    #[test]
    fn paths_that_are_no_plain_path_are_refused() {
        let message = |path: &str| {
            location(&hybrid(), Some(path), "c1")
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            message("/a/../b"),
            "linux.cgroupsPath: \"/a/../b\" contains \"..\""
        );
        assert_eq!(
            message("system.slice:stockade:c1"),
            "linux.cgroupsPath: \"system.slice:stockade:c1\" is a systemd path (slice:prefix:name)"
        );
        assert_eq!(
            message("/"),
            "linux.cgroupsPath: \"/\" is the root cgroup, which cannot be limited"
        );
        assert_eq!(
            message("/a\nb"),
            "linux.cgroupsPath: \"/a\\nb\" contains a control character"
        );
    }

    #[test]
    fn location_survives_the_state_file() {
        let location = location(&hybrid(), None, "c1").unwrap();
        let text = serde_json::to_string(&location).unwrap();
        assert_eq!(serde_json::from_str::<Location>(&text).unwrap(), location);
    }
}
