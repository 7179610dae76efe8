//! The eight namespaces: which they are, whether they are the host's, and what is seen of each.
//!
//! namespaces(7) rules. The initial namespaces have fixed numbers (linux/nsfs.h), the mount and network one since
//! Linux 6.18; an older kernel's cannot be told from others.

use super::seen::{self, Seen};
use crate::report::{Body, Section};

/// The numbers of the initial namespaces.
const INITIAL: [(&str, u64); 8] = [
    ("user", 0xefff_fffd),
    ("pid", 0xefff_fffc),
    ("mnt", 0xefff_fff8),
    ("net", 0xefff_fff9),
    ("ipc", 0xefff_ffff),
    ("uts", 0xefff_fffe),
    ("cgroup", 0xefff_fffb),
    ("time", 0xefff_fffa),
];

/// A row for each kind, with the number of mounts from the caller.
pub(super) fn section(mounts: &Seen<usize>) -> Section {
    let fixed = NumbersFixed::of_release(&seen::text("/proc/sys/kernel/osrelease"));
    let rows = INITIAL.map(|(kind, initial)| {
        let id = seen::link(format!("/proc/self/ns/{kind}")).map(|link| id(&link));
        let whose = match &id {
            Ok(Some(id)) => owner(kind, *id, initial, fixed),
            _ => "not visible",
        };
        let id = match id {
            Ok(Some(id)) => id.to_string(),
            _ => "-".to_owned(),
        };
        vec![
            kind.to_owned(),
            id,
            whose.to_owned(),
            sight(kind, mounts).unwrap_or_else(|reason| reason),
        ]
    });
    let body = Body::Table {
        columns: &["kind", "id", "whose", "what is seen"],
        rows: rows.into(),
    };
    seen::section("Namespaces", "namespaces", Ok(body))
}

/// Which initial namespaces have fixed numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum NumbersFixed {
    All,
    NotMountAndNet,
}

impl NumbersFixed {
    fn of_release(release: &Seen<String>) -> Self {
        let mut numbers = release
            .iter()
            .flat_map(|release| release.split(['.', '-']))
            .map_while(|number| number.parse::<u32>().ok());
        match (numbers.next(), numbers.next()) {
            (Some(major), Some(minor)) if (major, minor) >= (6, 18) => Self::All,
            _ => Self::NotMountAndNet,
        }
    }
}

fn owner(kind: &str, id: u64, initial: u64, fixed: NumbersFixed) -> &'static str {
    if id == initial {
        "the host's"
    } else if fixed == NumbersFixed::All || !matches!(kind, "mnt" | "net") {
        "not the host's"
    } else {
        "unknown"
    }
}

/// The number in `pid:[4026531836]`.
fn id(link: &str) -> Option<u64> {
    link.split_once(":[")?.1.strip_suffix(']')?.parse().ok()
}

fn sight(kind: &str, mounts: &Seen<usize>) -> Seen<String> {
    match kind {
        "user" => Ok(format!(
            "uids: {}; gids: {}",
            id_map(&seen::text("/proc/self/uid_map")?),
            id_map(&seen::text("/proc/self/gid_map")?)
        )),
        "pid" => Ok(processes(std::process::id(), visible_processes())),
        "mnt" => mounts
            .as_ref()
            .map(|count| format!("{count} mounts"))
            .map_err(Clone::clone),
        "net" => seen::text("/proc/self/net/dev").map(|dev| interfaces(&dev)),
        "uts" => nix::unistd::gethostname()
            .map(|name| format!("hostname {}", name.to_string_lossy()))
            .map_err(|errno| errno.to_string()),
        "cgroup" => seen::text("/proc/self/cgroup").map(|cgroup| groups(&cgroup)),
        "time" => seen::text("/proc/self/timens_offsets").map(|text| offsets(&text)),
        _ => Ok(String::new()),
    }
}

fn visible_processes() -> Option<usize> {
    let entries = std::fs::read_dir("/proc").ok()?;
    let is_pid = |name: std::ffi::OsString| name.to_str().is_some_and(|n| n.parse::<u32>().is_ok());
    let pids = entries.filter_map(Result::ok).map(|e| e.file_name());
    Some(pids.filter(|name| is_pid(name.clone())).count()).filter(|&count| count > 0)
}

fn processes(own: u32, visible: Option<usize>) -> String {
    match visible {
        Some(1) => format!("this is pid {own}, no other process visible"),
        Some(count) => format!("this is pid {own}, {count} processes visible"),
        None => format!("this is pid {own}"),
    }
}

/// The lines of user_namespaces(7), `inside outside count`, as ranges.
fn id_map(map: &str) -> String {
    let ranges: Vec<String> = map.lines().filter_map(id_range).collect();
    if ranges.is_empty() {
        return "none mapped".to_owned();
    }
    ranges.join(", ")
}

fn id_range(line: &str) -> Option<String> {
    let mut numbers = line.split_whitespace().map(str::parse::<u64>);
    let mut next = || numbers.next()?.ok();
    let (inside, outside, count) = (next()?, next()?, next()?);
    let range = |first: u64| match count {
        1 => first.to_string(),
        _ => format!("{first}-{}", first.saturating_add(count) - 1),
    };
    if (inside, outside, count) == (0, 0, 0xffff_ffff) {
        return Some("all as outside".to_owned());
    }
    Some(format!("{} = {} outside", range(inside), range(outside)))
}

/// The interfaces of /proc/net/dev, which begins with two lines of headings.
fn interfaces(dev: &str) -> String {
    let names: Vec<&str> = dev
        .lines()
        .skip(2)
        .filter_map(|line| Some(line.split_once(':')?.0.trim()))
        .collect();
    match names.len() {
        0 => "no interfaces".to_owned(),
        1 => format!("interface {}", names[0]),
        _ => format!("interfaces {}", names.join(" ")),
    }
}

/// The distinct paths of cgroups(7), which are / where the group is the namespace's root.
fn groups(cgroup: &str) -> String {
    let mut paths: Vec<&str> = cgroup
        .lines()
        .filter_map(|line| line.splitn(3, ':').nth(2))
        .collect();
    paths.sort_unstable();
    paths.dedup();
    format!("group {}", paths.join(" "))
}

fn offsets(text: &str) -> String {
    let shifted: Vec<String> = text.lines().filter_map(offset).collect();
    if shifted.is_empty() {
        return "no offsets".to_owned();
    }
    shifted.join(", ")
}

fn offset(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    let (clock, seconds, nanoseconds) = (words.next()?, words.next()?, words.next()?);
    ((seconds, nanoseconds) != ("0", "0"))
        .then(|| format!("{clock} shifted by {seconds} s {nanoseconds} ns"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn initial_namespaces_are_told_by_number() {
        let initial = id("pid:[4026531836]").unwrap();
        assert_eq!(initial, 0xefff_fffc);
        assert_eq!(
            owner("pid", initial, initial, NumbersFixed::All),
            "the host's"
        );
        assert_eq!(
            owner("pid", 7, initial, NumbersFixed::NotMountAndNet),
            "not the host's"
        );
        assert_eq!(
            owner("net", 7, initial, NumbersFixed::NotMountAndNet),
            "unknown"
        );
        assert_eq!(
            owner("net", 7, initial, NumbersFixed::All),
            "not the host's"
        );
    }

    #[test]
    fn fixed_numbers_depend_on_the_release() {
        let of = |release: &str| NumbersFixed::of_release(&Ok(release.to_owned()));
        assert_eq!(of("6.18.44-fc"), NumbersFixed::All);
        assert_eq!(of("7.0-rc1"), NumbersFixed::All);
        assert_eq!(of("6.1.0-32-amd64"), NumbersFixed::NotMountAndNet);
        assert_eq!(
            NumbersFixed::of_release(&Err(String::new())),
            NumbersFixed::NotMountAndNet
        );
    }

    #[test]
    fn id_maps_read_as_ranges() {
        assert_eq!(id_map("         0          0 4294967295"), "all as outside");
        assert_eq!(
            id_map("0 1000 1\n1 100000 65536"),
            "0 = 1000 outside, 1-65536 = 100000-165535 outside"
        );
        assert_eq!(id_map(""), "none mapped");
    }

    #[test]
    fn interfaces_come_from_net_dev() {
        let heads = "Inter-|   Receive   |  Transmit\n face |bytes    packets\n";
        assert_eq!(
            interfaces(&format!("{heads}    lo:   1 2\n  eth0: 3 4")),
            "interfaces lo eth0"
        );
        assert_eq!(interfaces(&format!("{heads}    lo:   1 2")), "interface lo");
        assert_eq!(interfaces(heads), "no interfaces");
    }

    #[test]
    fn offsets_are_told_only_where_there_are_some() {
        assert_eq!(offsets("monotonic  0  0\nboottime  0  0"), "no offsets");
        assert_eq!(
            offsets("monotonic  5  0\nboottime  0  0"),
            "monotonic shifted by 5 s 0 ns"
        );
    }

    #[test]
    fn equal_group_paths_are_told_once() {
        assert_eq!(groups("2:memory:/\n1:cpu:/\n0::/"), "group /");
        assert_eq!(groups("2:memory:/a:b\n0::/"), "group / /a:b");
    }

    #[test]
    fn every_kind_has_a_row() {
        let Body::Table { rows, .. } = section(&Ok(3)).body else {
            panic!("no table");
        };
        assert_eq!(rows.len(), 8);
        assert!(rows.iter().all(|row| row.len() == 4));
        assert_eq!(rows[2][3], "3 mounts");
    }
}
