//! What a user without root has been given of the cgroup hierarchy, and what is missing for groups of its own.
//! Not what its systemd would make for it: see `cgroup::systemd`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::cgroup::{self, Group, Layout};
use crate::error::{Error, Result};

/// What limits take.
const CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];

/// Where groups are made when no config says where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The directory that they would be in: on v2 that above our own cgroup.
    pub parent: PathBuf,
    /// What this process may not write there, or what is not there.
    pub closed: Vec<PathBuf>,
    /// Which of the controllers for CPU time, memory and processes it has not been given.
    pub controllers: Vec<&'static str>,
}

impl Place {
    /// In the hierarchy of v2, where it is the only one.
    ///
    /// # Errors
    /// The mount does not show our own cgroup; there are hierarchies of v1, which nobody but root is given.
    pub fn find(layout: &Layout) -> Result<Self> {
        let location = cgroup::location(layout, None, "stockade-new")?;
        match &location.groups[..] {
            [group] if group.v2 => Ok(Self::of(group)),
            _ => Err(Error::new(
                "find the place of new cgroups",
                "cgroup v2 alone is delegated",
            )
            .hint("boot with systemd.unified_cgroup_hierarchy=1")),
        }
    }

    /// Whether groups with limits can be made and processes moved there: it takes the directory and its list of processes
    /// (cgroups(7), "Delegation containment"), and the controllers on the way down.
    pub fn is_delegated(&self) -> bool {
        self.closed.is_empty() && self.controllers.is_empty()
    }

    fn of(group: &Group) -> Self {
        let directory = group.directory();
        let parents = directory.ancestors().skip(1);
        let parent = parents.clone().next().unwrap_or(Path::new("/"));
        let control = |path: &Path| path.join("cgroup.subtree_control");
        let all = [
            parent.to_owned(),
            parent.join("cgroup.procs"),
            control(parent),
        ];
        // The controllers are those of the topmost group that was given.
        let given = parents.take_while(|path| is_writable(&control(path)));
        let top = given.last().unwrap_or(parent);
        let has = fs::read_to_string(top.join("cgroup.controllers")).unwrap_or_default();
        let is_missing = |name: &&str| !has.split_whitespace().any(|word| word == *name);
        Self {
            parent: parent.to_owned(),
            closed: all.into_iter().filter(|path| !is_writable(path)).collect(),
            controllers: CONTROLLERS.into_iter().filter(is_missing).collect(),
        }
    }
}

/// Whether groups of ours, with limits, can be made where they belong without a path.
pub(super) fn is_delegated(layout: &Layout) -> bool {
    Place::find(layout).is_ok_and(|place| place.is_delegated())
}

fn is_writable(path: &Path) -> bool {
    rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(mountpoint: &Path) -> Layout {
        let mount = format!(
            "30 24 0:26 / {} rw - cgroup2 cgroup2 rw\n",
            mountpoint.display()
        );
        Layout::parse(&mount, "0::/given/session\n")
    }

    #[test]
    fn groups_belong_beside_our_own_and_what_is_missing_there_is_named() {
        let temp = tempfile::tempdir().unwrap();
        let parent = temp.path().join("given");
        fs::create_dir_all(parent.join("session")).unwrap();
        let place = Place::find(&layout(temp.path())).unwrap();
        let files = ["cgroup.procs", "cgroup.subtree_control"].map(|name| parent.join(name));
        let expected = Place {
            parent: parent.clone(),
            closed: files.to_vec(),
            controllers: CONTROLLERS.to_vec(),
        };
        assert_eq!(place, expected);
        for file in files {
            fs::write(file, "").unwrap();
        }
        fs::write(parent.join("cgroup.controllers"), "memory pids\n").unwrap();
        let place = Place::find(&layout(temp.path())).unwrap();
        assert_eq!((place.closed, place.controllers), (vec![], vec!["cpu"]));
    }

    #[test]
    fn hierarchies_of_v1_are_delegated_to_nobody() {
        let layout = Layout::parse(
            "33 30 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
            "4:memory:/\n",
        );
        let error = Place::find(&layout).unwrap_err().to_string();
        assert_eq!(
            error,
            "find the place of new cgroups: cgroup v2 alone is delegated"
        );
    }
}
