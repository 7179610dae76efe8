//! Which cgroup hierarchies are mounted, what controls each, and where this process is in them.
//! Decided from proc_pid_mountinfo(5) and cgroups(7), never from a directory's existence.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Doing, Error, Result, quote};

/// How the host mounts its cgroup hierarchies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// One or more v1 hierarchies and no v2; also a host without any hierarchy.
    V1,
    /// v1 hierarchies that hold the controllers, and v2 beside them.
    Hybrid,
    /// v2 alone.
    V2,
}

/// One mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// What it controls: v1 names such as `cpu`, `name=systemd`; for v2 the controllers that can be enabled in it.
    pub controllers: Vec<String>,
    /// Where it is mounted.
    pub mountpoint: PathBuf,
    /// The cgroup that the mount shows at its top: `/`, or a deeper one in a container without a cgroup namespace.
    pub root: String,
    /// This process's cgroup, as in /proc/self/cgroup.
    pub own: String,
    /// Whether it is the v2 hierarchy.
    pub v2: bool,
    /// Symbolic links beside the mount point that name it, such as `cpu` for `cpu,cpuacct`.
    pub links: Vec<String>,
}

impl Hierarchy {
    /// This process's cgroup relative to the mount point, without a leading slash; `None` where the mount does not
    /// show it.
    pub fn own_below_mount(&self) -> Option<&str> {
        let below = match self.root.as_str() {
            "/" => self.own.strip_prefix('/'),
            root => self
                .own
                .strip_prefix(root)
                .filter(|rest| rest.is_empty() || rest.starts_with('/'))
                .map(|rest| rest.trim_start_matches('/')),
        };
        below.filter(|path| !path.split('/').any(|part| part == ".."))
    }
}

/// Every hierarchy that this process can see.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Layout {
    hierarchies: Vec<Hierarchy>,
}

impl Layout {
    /// Reads /proc/self/mountinfo and /proc/self/cgroup, and of each hierarchy what these do not say.
    ///
    /// # Errors
    /// When one of the files cannot be read.
    pub fn discover() -> Result<Self> {
        let read = |path: &str| fs::read_to_string(path).doing(|| format!("read {}", quote(path)));
        let mut layout = Self::parse(&read("/proc/self/mountinfo")?, &read("/proc/self/cgroup")?);
        for hierarchy in &mut layout.hierarchies {
            hierarchy.links = links(hierarchy);
        }
        let Some(unified) = layout.unified() else {
            return Ok(layout);
        };
        let list = read(
            &unified
                .mountpoint
                .join("cgroup.controllers")
                .to_string_lossy(),
        )?;
        Ok(layout.with_v2_controllers(&list))
    }

    /// From the two texts: the v2 hierarchy has no controllers yet, and no hierarchy its links.
    pub fn parse(mountinfo: &str, cgroup: &str) -> Self {
        let mounts: Vec<CgroupMount> = mountinfo.lines().filter_map(cgroup_mount).collect();
        let hierarchies = cgroup
            .lines()
            .filter_map(|line| {
                let mut fields = line.splitn(3, ':');
                let (number, names, own) = (fields.next()?, fields.next()?, fields.next()?);
                hierarchy(number == "0" && names.is_empty(), names, own, &mounts)
            })
            .collect();
        Self { hierarchies }
    }

    /// With the v2 hierarchy's controllers, as its `cgroup.controllers` lists them.
    #[must_use]
    pub fn with_v2_controllers(mut self, list: &str) -> Self {
        for hierarchy in self.hierarchies.iter_mut().filter(|hierarchy| hierarchy.v2) {
            hierarchy.controllers = list.split_whitespace().map(str::to_owned).collect();
        }
        self
    }

    /// The hierarchies in the order of /proc/self/cgroup.
    pub fn hierarchies(&self) -> &[Hierarchy] {
        &self.hierarchies
    }

    /// v1, v2 or both.
    pub fn mode(&self) -> Mode {
        let v1 = self.hierarchies.iter().any(|hierarchy| !hierarchy.v2);
        match (v1, self.unified().is_some()) {
            (_, false) => Mode::V1,
            (true, true) => Mode::Hybrid,
            (false, true) => Mode::V2,
        }
    }

    /// The v2 hierarchy.
    pub fn unified(&self) -> Option<&Hierarchy> {
        self.hierarchies.iter().find(|hierarchy| hierarchy.v2)
    }

    /// The hierarchy that holds `controller`; v1 names also find their v2 successors (`blkio` and `io`).
    pub fn holds(&self, controller: &str) -> Option<&Hierarchy> {
        let v2_name = match controller {
            "blkio" => "io",
            name => name,
        };
        self.hierarchies.iter().find(|hierarchy| {
            let wanted = if hierarchy.v2 { v2_name } else { controller };
            hierarchy.controllers.iter().any(|name| name == wanted)
        })
    }

    /// As [`Self::holds`], or an error that names the config's `field`.
    pub(super) fn require(&self, controller: &str, field: &str) -> Result<&Hierarchy> {
        self.holds(controller).ok_or_else(|| {
            Error::new(
                field,
                format!("this host has no {} cgroup controller", quote(controller)),
            )
            .hint("mount the controller's hierarchy (cgroups(7)) or leave the field out")
        })
    }
}

struct CgroupMount {
    root: String,
    mountpoint: PathBuf,
    v2: bool,
    options: BTreeSet<String>,
}

/// One line of mountinfo, if it is a cgroup mount: `id parent dev root mountpoint options [tags] - type source super`.
fn cgroup_mount(line: &str) -> Option<CgroupMount> {
    let (before, after) = line.split_once(" - ")?;
    let mut after = after.split(' ');
    let v2 = match after.next()? {
        "cgroup" => false,
        "cgroup2" => true,
        _ => return None,
    };
    let mut before = before.split(' ').skip(3);
    Some(CgroupMount {
        root: unescape(before.next()?),
        mountpoint: PathBuf::from(unescape(before.next()?)),
        v2,
        options: after.nth(1)?.split(',').map(str::to_owned).collect(),
    })
}

/// The hierarchy of one line of /proc/self/cgroup, by the best of its mounts: one that shows our own cgroup, then one at
/// the usual place, then the last made, which is the one that is not covered.
fn hierarchy(v2: bool, names: &str, own: &str, mounts: &[CgroupMount]) -> Option<Hierarchy> {
    let controllers: Vec<String> = if v2 {
        Vec::new()
    } else {
        names.split(',').map(str::to_owned).collect()
    };
    mounts
        .iter()
        .filter(|mount| mount.v2 == v2 && controllers.iter().all(|c| mount.options.contains(c)))
        .map(|mount| Hierarchy {
            controllers: controllers.clone(),
            mountpoint: mount.mountpoint.clone(),
            root: mount.root.clone(),
            own: own.to_owned(),
            v2,
            links: Vec::new(),
        })
        .max_by_key(|h| {
            (
                h.own_below_mount().is_some(),
                h.mountpoint.starts_with("/sys/fs/cgroup"),
            )
        })
}

/// Names of single controllers beside a shared mount point that are links to it.
fn links(hierarchy: &Hierarchy) -> Vec<String> {
    let Some(directory) = hierarchy.mountpoint.parent() else {
        return Vec::new();
    };
    let names = |controller: &String| {
        fs::read_link(directory.join(controller))
            .is_ok_and(|target| target.file_name() == hierarchy.mountpoint.file_name())
    };
    hierarchy
        .controllers
        .iter()
        .filter(|c| is_plain_name(c) && names(c))
        .cloned()
        .collect()
}

fn is_plain_name(controller: &str) -> bool {
    Path::new(controller).components().count() == 1
}

/// Undoes mountinfo's octal escapes (`\040` is a space).
pub(crate) fn unescape(field: &str) -> String {
    let mut parts = field.split('\\');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part
            .get(..3)
            .and_then(|digits| u8::from_str_radix(digits, 8).ok())
        {
            Some(byte) if byte.is_ascii() => {
                text.push(char::from(byte));
                text.push_str(&part[3..]);
            }
            _ => {
                text.push('\\');
                text.push_str(part);
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYSTEMD_V1: &str = "\
24 1 8:1 / / rw,relatime shared:1 - ext4 /dev/root rw
30 24 0:26 / /sys/fs/cgroup ro,nosuid shared:9 - tmpfs tmpfs ro,mode=755
31 30 0:27 / /sys/fs/cgroup/systemd rw,nosuid shared:10 - cgroup cgroup rw,xattr,name=systemd
32 30 0:30 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:15 - cgroup cgroup rw,cpu,cpuacct
33 30 0:31 / /sys/fs/cgroup/memory rw,nosuid shared:16 - cgroup cgroup rw,memory
";
    const SYSTEMD_V1_SELF: &str = "\
4:memory:/user.slice/user-0.slice
3:cpu,cpuacct:/user.slice
1:name=systemd:/user.slice/user-0.slice/session-1.scope
";

    fn names(layout: &Layout) -> Vec<(String, &Path, &str)> {
        let hierarchies = layout.hierarchies().iter();
        hierarchies
            .map(|h| {
                (
                    h.controllers.join(","),
                    h.mountpoint.as_path(),
                    h.own.as_str(),
                )
            })
            .collect()
    }

    #[test]
    fn v1_hierarchies_are_found_with_their_controllers() {
        let layout = Layout::parse(SYSTEMD_V1, SYSTEMD_V1_SELF);
        assert_eq!(layout.mode(), Mode::V1);
        let memory = Path::new("/sys/fs/cgroup/memory");
        assert_eq!(
            names(&layout)[0],
            ("memory".into(), memory, "/user.slice/user-0.slice")
        );
        assert_eq!(
            layout.holds("cpuacct").map(|h| h.mountpoint.as_path()),
            Some(Path::new("/sys/fs/cgroup/cpu,cpuacct"))
        );
        assert_eq!(layout.holds("pids"), None);
    }

    #[test]
    fn v1_with_v2_beside_it_is_hybrid() {
        let mountinfo = format!(
            "{SYSTEMD_V1}40 30 0:40 / /sys/fs/cgroup/unified rw shared:20 - cgroup2 cgroup2 rw,nsdelegate\n"
        );
        let layout = Layout::parse(&mountinfo, &format!("{SYSTEMD_V1_SELF}0::/user.slice\n"));
        assert_eq!(layout.mode(), Mode::Hybrid);
        let unified = layout.unified().unwrap();
        assert_eq!(unified.mountpoint, Path::new("/sys/fs/cgroup/unified"));
        assert_eq!(unified.own_below_mount(), Some("user.slice"));
    }

    #[test]
    fn v2_alone_is_v2() {
        let mountinfo =
            "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
        let layout = Layout::parse(
            mountinfo,
            "0::/user.slice/user-1000.slice/session-2.scope\n",
        );
        assert_eq!(layout.mode(), Mode::V2);
        let own = layout.hierarchies()[0].own_below_mount();
        assert_eq!(own, Some("user.slice/user-1000.slice/session-2.scope"));
    }

    #[test]
    fn v2_controllers_are_not_found_in_a_v2_hierarchy_that_v1_has_emptied() {
        let mountinfo = "30 24 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        let mut layout = Layout::parse(mountinfo, "0::/\n");
        assert_eq!(layout.holds("memory"), None);
        layout = layout.with_v2_controllers("io");
        assert!(layout.holds("blkio").is_some());
    }

    #[test]
    fn nested_mount_root_is_cut_from_the_own_path() {
        let mountinfo =
            "50 49 0:31 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
        let at = |own: &str| {
            let layout = Layout::parse(mountinfo, &format!("4:memory:{own}\n"));
            layout.hierarchies()[0].own_below_mount().map(str::to_owned)
        };
        assert_eq!(at("/docker/abc"), Some(String::new()));
        assert_eq!(at("/docker/abc/x/y"), Some("x/y".into()));
        assert_eq!(at("/docker/abcd"), None);
    }

    #[test]
    fn cgroup_namespace_root_is_the_mount_point() {
        let mountinfo = "60 59 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup rw,nsdelegate\n";
        let layout = Layout::parse(mountinfo, "0::/\n");
        assert_eq!(layout.hierarchies()[0].own_below_mount(), Some(""));
        let outside = Layout::parse(mountinfo, "0::/../other\n");
        assert_eq!(outside.hierarchies()[0].own_below_mount(), None);
    }

    #[test]
    fn second_mount_of_a_hierarchy_at_an_odd_place_is_not_taken() {
        let mountinfo = "\
33 30 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
70 30 0:31 /x /var/lib/x/memory rw - cgroup cgroup rw,memory
71 30 0:31 / /mnt/my\\040cgroup rw - cgroup cgroup rw,memory
";
        let layout = Layout::parse(mountinfo, "4:memory:/\n");
        assert_eq!(
            layout.hierarchies()[0].mountpoint,
            Path::new("/sys/fs/cgroup/memory")
        );
        assert_eq!(unescape("/mnt/my\\040cgroup"), "/mnt/my cgroup");
    }

    #[test]
    fn controller_that_is_not_mounted_is_named_by_field() {
        let layout = Layout::parse(SYSTEMD_V1, SYSTEMD_V1_SELF);
        let error = layout
            .require("pids", "linux.resources.pids.limit")
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "linux.resources.pids.limit: this host has no \"pids\" cgroup controller"
        );
    }
}
