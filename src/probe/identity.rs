//! Who the process is and what it may do: ids, capability sets, seccomp, no_new_privs.
//!
//! proc_pid_status(5) and capabilities(7) rule. Ids come from calls, so that they are known without /proc.

use caps::{CapSet, Capability};

use super::seen::{self, Seen};
use super::words;
use crate::report::{Body, Fact, Section, Value};

/// User, groups, working directory.
pub(super) fn identity() -> Section {
    let facts = ids().map(|mut facts| {
        if let Ok(directory) = std::env::current_dir() {
            facts.push(Fact::one("working directory", directory.to_string_lossy()));
        }
        Body::Facts(facts)
    });
    seen::section("Identity", "identity", facts)
}

fn ids() -> Seen<Vec<Fact>> {
    let refused = |errno: nix::errno::Errno| words::errno(errno as i32);
    let user = nix::unistd::getresuid().map_err(refused)?;
    let group = nix::unistd::getresgid().map_err(refused)?;
    let groups = nix::unistd::getgroups().map_err(refused)?;
    Ok(vec![
        Fact::one(
            "user",
            three([user.real, user.effective, user.saved].map(nix::unistd::Uid::as_raw)),
        ),
        Fact::one(
            "group",
            three([group.real, group.effective, group.saved].map(nix::unistd::Gid::as_raw)),
        ),
        Fact::many(
            "supplementary groups",
            groups.iter().map(ToString::to_string).collect(),
        ),
    ])
}

/// The usual case, three equal ids, as one.
fn three([real, effective, saved]: [u32; 3]) -> String {
    if real == effective && effective == saved {
        return real.to_string();
    }
    format!("real {real}, effective {effective}, saved {saved}")
}

/// The five sets by name, from calls where there is no /proc.
pub(super) fn capabilities(status: Seen<&str>) -> Section {
    let body = match status {
        Ok(status) => sets_of_status(status)
            .ok_or_else(|| "/proc/self/status names no capability sets".to_owned()),
        Err(reason) => sets_of_calls().ok_or(reason),
    };
    seen::section("Capabilities", "capabilities", body.map(Body::Facts))
}

fn sets_of_status(status: &str) -> Option<Vec<Fact>> {
    let sets = [
        ("effective", "CapEff"),
        ("permitted", "CapPrm"),
        ("inheritable", "CapInh"),
        ("bounding", "CapBnd"),
        ("ambient", "CapAmb"),
    ];
    sets.into_iter()
        .map(|(name, field)| Some(Fact::many(name, set(value(status, field)?)?)))
        .collect()
}

fn sets_of_calls() -> Option<Vec<Fact>> {
    let sets = [
        ("effective", CapSet::Effective),
        ("permitted", CapSet::Permitted),
        ("inheritable", CapSet::Inheritable),
        ("bounding", CapSet::Bounding),
        ("ambient", CapSet::Ambient),
    ];
    sets.into_iter()
        .map(|(name, set)| {
            let members = caps::read(None, set).ok()?;
            let mut numbers: Vec<u8> = members.iter().map(Capability::index).collect();
            numbers.sort_unstable();
            Some(Fact::many(
                name,
                numbers.into_iter().map(words::capability).collect(),
            ))
        })
        .collect()
}

/// What is in any of the five sets.
pub(super) fn capability_names(status: Option<&str>) -> Option<Vec<String>> {
    let sets = match status {
        Some(status) => sets_of_status(status),
        None => sets_of_calls(),
    }?;
    let mut names: Vec<String> = sets
        .into_iter()
        .flat_map(|fact| match fact.value {
            Value::One(name) => vec![name],
            Value::Many(names) => names,
        })
        .collect();
    names.sort_unstable();
    names.dedup();
    Some(names)
}

fn set(hexadecimal: &str) -> Option<Vec<String>> {
    let bits = u64::from_str_radix(hexadecimal, 16).ok()?;
    let members = (0..64).filter(|bit| bits >> bit & 1 == 1);
    Some(members.map(words::capability).collect())
}

/// Seccomp, no_new_privs and the label of a security module; without /proc only no_new_privs, which a call tells.
pub(super) fn confinement(status: Seen<&str>, label: Seen<String>) -> Section {
    let body = match status {
        Ok(status) => Ok(facts_of_status(status, label)),
        Err(reason) => match rustix::thread::no_new_privs() {
            Ok(on) => Ok(vec![
                Fact::one("no_new_privs", if on { "on" } else { "off" }),
                Fact::one("seccomp", format!("not visible: {reason}")),
            ]),
            Err(_) => Err(reason),
        },
    };
    seen::section("Confinement", "confinement", body.map(Body::Facts))
}

fn facts_of_status(status: &str, label: Seen<String>) -> Vec<Fact> {
    let shown = |field| value(status, field).unwrap_or("not told by this kernel");
    let mode = match shown("Seccomp") {
        "0" => "off",
        "1" => "strict",
        "2" => "filter",
        other => other,
    };
    let no_new_privs = match shown("NoNewPrivs") {
        "1" => "on",
        "0" => "off",
        other => other,
    };
    vec![
        Fact::one("no_new_privs", no_new_privs),
        Fact::one("seccomp", mode),
        Fact::one("seccomp filters", shown("Seccomp_filters")),
        Fact::one(
            "security label",
            label.unwrap_or_else(|_| "none".to_owned()),
        ),
    ]
}

/// A field of /proc/PID/status.
fn value<'a>(status: &'a str, field: &str) -> Option<&'a str> {
    let mut lines = status.lines().filter_map(|line| line.split_once(':'));
    lines
        .find(|(name, _)| *name == field)
        .map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\tstockade\nUid:\t1000\t1000\t1000\t1000\nCapInh:\t0000000000000000\n\
        CapPrm:\t0000000000000400\nCapEff:\t0000000000000401\nCapBnd:\t8000000000000400\n\
        CapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t2\n";

    #[test]
    fn capability_sets_are_named_and_unknown_bits_kept() {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let expected = vec![
            Fact::many("effective", names(&["CAP_CHOWN", "CAP_NET_BIND_SERVICE"])),
            Fact::many("permitted", names(&["CAP_NET_BIND_SERVICE"])),
            Fact::many("inheritable", Vec::new()),
            Fact::many(
                "bounding",
                names(&["CAP_NET_BIND_SERVICE", "capability 63"]),
            ),
            Fact::many("ambient", Vec::new()),
        ];
        assert_eq!(capabilities(Ok(STATUS)).body, Body::Facts(expected));
    }

    #[test]
    fn seccomp_and_no_new_privs_are_read_from_status() {
        let expected = vec![
            Fact::one("no_new_privs", "on"),
            Fact::one("seccomp", "filter"),
            Fact::one("seccomp filters", 2),
            Fact::one("security label", "none"),
        ];
        let section = confinement(Ok(STATUS), Err("no label".to_owned()));
        assert_eq!(section.body, Body::Facts(expected));
    }

    #[test]
    fn calls_tell_the_capability_sets_without_proc() {
        let status = seen::text("/proc/self/status");
        let by_status = capabilities(status.as_deref().map_err(Clone::clone));
        assert_eq!(capabilities(Err("no /proc".to_owned())), by_status);
    }

    #[test]
    fn without_proc_only_no_new_privs_is_told() {
        let missing = || Err("no /proc".to_owned());
        let section = confinement(Err("no /proc".to_owned()), missing());
        let on = rustix::thread::no_new_privs().unwrap();
        let expected = vec![
            Fact::one("no_new_privs", if on { "on" } else { "off" }),
            Fact::one("seccomp", "not visible: no /proc"),
        ];
        assert_eq!(section.body, Body::Facts(expected));
    }

    #[test]
    fn different_ids_are_all_shown() {
        assert_eq!(three([5, 5, 5]), "5");
        assert_eq!(three([5, 0, 5]), "real 5, effective 0, saved 5");
    }
}
