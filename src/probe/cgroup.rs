//! The limits of the process's control group, as far as its files are visible.
//!
//! cgroups(7) and the kernel's cgroup-v1 and cgroup-v2 documents rule. Making groups is not here.

use super::mounts::Mount;
use super::seen::{self, Seen};
use crate::report::{Body, Fact, Section};

/// A limit: its name, and the controller and file that hold it in each version.
struct Limit {
    name: &'static str,
    v2: &'static str,
    controller: &'static str,
    v1: &'static str,
}

const LIMITS: [Limit; 6] = [
    Limit::new("memory", "memory.max", "memory", "memory.limit_in_bytes"),
    Limit::new(
        "swap",
        "memory.swap.max",
        "memory",
        "memory.memsw.limit_in_bytes",
    ),
    Limit::new("processes", "pids.max", "pids", "pids.max"),
    Limit::new("cpu quota", "cpu.max", "cpu", "cpu.cfs_quota_us"),
    Limit::new("cpu period", "", "cpu", "cpu.cfs_period_us"),
    Limit::new(
        "cpus",
        "cpuset.cpus.effective",
        "cpuset",
        "cpuset.effective_cpus",
    ),
];

/// The v1 "unlimited": the largest multiple of a page below 2^63.
const NO_V1_LIMIT: u64 = 0x7fff_ffff_ffff_0000;

impl Limit {
    const fn new(
        name: &'static str,
        v2: &'static str,
        controller: &'static str,
        v1: &'static str,
    ) -> Self {
        Self {
            name,
            v2,
            controller,
            v1,
        }
    }
}

/// The limits that can be read.
pub(super) fn section(mounts: &Seen<Vec<Mount>>) -> Section {
    seen::section("Control group", "cgroup", body(mounts))
}

fn body(mounts: &Seen<Vec<Mount>>) -> Seen<Body> {
    let limits = limits(mounts)?.into_iter();
    let facts = limits.map(|(name, value)| Fact::one(name, value));
    Ok(Body::Facts(facts.collect()))
}

/// The name and the value of each limit that can be read; `max` is none.
pub(super) fn limits(mounts: &Seen<Vec<Mount>>) -> Seen<Vec<(&'static str, String)>> {
    let mounts = mounts.as_ref().map_err(Clone::clone)?;
    let membership = seen::text("/proc/self/cgroup")?;
    if !mounts.iter().any(|mount| mount.kind.starts_with("cgroup")) {
        return Err("no control group file system is mounted".to_owned());
    }
    let values = LIMITS
        .iter()
        .map(|limit| (limit.name, value(limit, mounts, &membership)));
    let values: Vec<_> = values
        .filter_map(|(name, value)| Some((name, value?)))
        .collect();
    if values.is_empty() {
        return Err("the files of this process's group are not below any mount".to_owned());
    }
    Ok(values)
}

fn value(limit: &Limit, mounts: &[Mount], membership: &str) -> Option<String> {
    let v2 = || {
        let directory = directory(mounts, membership, "")?;
        seen::text(format!("{directory}/{}", limit.v2)).ok()
    };
    let v1 = || {
        let directory = directory(mounts, membership, limit.controller)?;
        seen::text(format!("{directory}/{}", limit.v1)).ok()
    };
    Some(shown(&v2().or_else(v1)?))
}

/// The directory of the group: of version 2 where `controller` is empty.
fn directory(mounts: &[Mount], membership: &str, controller: &str) -> Option<String> {
    let path = membership.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        controllers
            .split(',')
            .any(|c| c == controller)
            .then_some(path)
    })?;
    let holds = |mount: &&Mount| match controller {
        "" => mount.kind == "cgroup2",
        _ => mount.kind == "cgroup" && mount.superblock.split(',').any(|o| o == controller),
    };
    mounts
        .iter()
        .filter(holds)
        .find_map(|mount| below(mount, path))
}

/// Where the group `path` is below a mount, which may show only part of the hierarchy.
fn below(mount: &Mount, path: &str) -> Option<String> {
    let root = mount.root.trim_end_matches('/');
    let rest = path.strip_prefix(root)?;
    if !rest.is_empty() && !rest.starts_with('/') {
        return None;
    }
    Some(format!("{}{}", mount.path, rest.trim_end_matches('/')))
}

fn shown(value: &str) -> String {
    match value.parse::<u64>() {
        Ok(number) if number >= NO_V1_LIMIT => "max".to_owned(),
        _ if value == "-1" => "max".to_owned(),
        _ => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(root: &str, path: &str, kind: &str, superblock: &str) -> Mount {
        Mount {
            root: root.to_owned(),
            path: path.to_owned(),
            options: "ro".to_owned(),
            propagation: Vec::new(),
            kind: kind.to_owned(),
            source: "cgroup".to_owned(),
            superblock: superblock.to_owned(),
        }
    }

    #[test]
    fn group_is_found_below_its_mount_in_both_versions() {
        let mounts = [
            mount("/", "/sys/fs/cgroup/memory", "cgroup", "rw,memory"),
            mount("/box/a", "/sys/fs/cgroup/cpu", "cgroup", "rw,cpu,cpuacct"),
            mount("/", "/sys/fs/cgroup/unified", "cgroup2", "rw"),
        ];
        let membership = "3:memory:/box/a\n2:cpu,cpuacct:/box/a\n1:pids:/box/a\n0::/u";
        let found = |controller| directory(&mounts, membership, controller);
        assert_eq!(found("memory").unwrap(), "/sys/fs/cgroup/memory/box/a");
        assert_eq!(found("cpu").unwrap(), "/sys/fs/cgroup/cpu");
        assert_eq!(found("").unwrap(), "/sys/fs/cgroup/unified/u");
        assert_eq!(found("pids"), None);
    }

    #[test]
    fn group_outside_a_mount_is_not_guessed() {
        let partial = mount("/box/a", "/sys/fs/cgroup", "cgroup2", "rw");
        assert_eq!(below(&partial, "/box/ab"), None);
        assert_eq!(below(&partial, "/"), None);
        assert_eq!(
            below(&mount("/", "/c", "cgroup2", "rw"), "/").unwrap(),
            "/c"
        );
    }

    #[test]
    fn unlimited_is_max_in_both_versions() {
        assert_eq!(shown("9223372036854771712"), "max");
        assert_eq!(shown("-1"), "max");
        assert_eq!(shown("268435456"), "268435456");
        assert_eq!(shown("50000 100000"), "50000 100000");
    }

    #[test]
    fn without_a_mount_the_section_says_so() {
        let expected = Err("no control group file system is mounted".to_owned());
        assert_eq!(body(&Ok(Vec::new())), expected);
    }
}
