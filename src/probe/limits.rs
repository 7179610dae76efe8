//! The resource limits of the process.
//!
//! getrlimit(2) rules; the limits of its control group are in `cgroup`.

use rustix::process::{Resource, Rlimit, getrlimit};

use super::seen;
use super::words;
use crate::report::{Body, Fact, Section};

const ALL: [Resource; 16] = [
    Resource::As,
    Resource::Core,
    Resource::Cpu,
    Resource::Data,
    Resource::Fsize,
    Resource::Locks,
    Resource::Memlock,
    Resource::Msgqueue,
    Resource::Nice,
    Resource::Nofile,
    Resource::Nproc,
    Resource::Rss,
    Resource::Rtprio,
    Resource::Rttime,
    Resource::Sigpending,
    Resource::Stack,
];

/// Every limit that limits, then the names of the others.
pub(super) fn section() -> Section {
    let limits = ALL.map(|resource| (words::limit(resource as u32), getrlimit(resource)));
    seen::section("Limits", "limits", Ok(Body::Facts(facts(&limits))))
}

fn facts(limits: &[(String, Rlimit)]) -> Vec<Fact> {
    let mut facts = Vec::new();
    let mut unlimited = Vec::new();
    for (name, limit) in limits {
        let value = match (limit.current, limit.maximum) {
            (None, _) => {
                unlimited.push(name.clone());
                continue;
            }
            (Some(soft), Some(hard)) if soft == hard => soft.to_string(),
            (Some(soft), Some(hard)) => format!("{soft} (hard {hard})"),
            (Some(soft), None) => format!("{soft} (hard unlimited)"),
        };
        facts.push(Fact::one(name, value));
    }
    facts.push(Fact::many("unlimited", unlimited));
    facts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_limit_come_first() {
        let limit = |name: &str, current, maximum| (name.to_owned(), Rlimit { current, maximum });
        let limits = [
            limit("cpu", None, None),
            limit("core", Some(0), Some(0)),
            limit("nofile", Some(1024), Some(4096)),
            limit("stack", Some(8), None),
        ];
        let expected = [
            Fact::one("core", 0),
            Fact::one("nofile", "1024 (hard 4096)"),
            Fact::one("stack", "8 (hard unlimited)"),
            Fact::many("unlimited", vec!["cpu".to_owned()]),
        ];
        assert_eq!(facts(&limits), expected);
    }
}
