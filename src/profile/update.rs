//! What a profile makes of a change of limits (`update`): a number may go up to the maximum, and no limit never becomes none
//! where the profile gives one by default. The limits that a container begins with are `limits`' business.

use serde_json::Value;

use super::change::{Change, short, value};
use super::limits::{OOM_GROUP, PERIOD, percent, positive, unified_number};
use super::{Bound, Limits};
use crate::error::{Error, Result, quote};
use crate::spec::{Cpu, Memory, Resources};

impl Limits {
    /// Puts a limit where `change` asks for none and the profile has a default without a maximum: what holds before, or the
    /// default where that is more. A container is never cut below what it may use already.
    ///
    /// # Errors
    /// A value of `unified` that is neither a number nor `max`.
    pub fn keep_limits(
        &self,
        profile: &str,
        memory_total: u64,
        change: &Resources,
        before: &Resources,
    ) -> Result<(Resources, Vec<Change>)> {
        let mut keeping = Keeping {
            limits: self,
            profile,
            memory_total,
            changes: Vec::new(),
        };
        let mut change = change.clone();
        if let Some(memory) = &mut change.memory {
            keeping.memory(memory, &before.memory.clone().unwrap_or_default());
        }
        if let Some(limit) = change.pids.as_mut().and_then(|pids| pids.limit.as_mut()) {
            let old = before.pids.as_ref().and_then(|pids| pids.limit);
            keeping.pids(limit, old.filter(|old| *old >= 0));
        }
        if let Some(cpu) = &mut change.cpu {
            keeping.cpu(cpu, &before.cpu.clone().unwrap_or_default());
        }
        keeping.unified(&mut change)?;
        Ok((change, keeping.changes))
    }

    /// Refuses a change of limits beyond the maxima. `all` holds afterwards, `change` is what is asked for of it.
    ///
    /// # Errors
    /// For the first field beyond: the field, the value, the profile, its rule and its maximum.
    pub fn check_update(
        &self,
        profile: &str,
        memory_total: u64,
        change: &Resources,
        all: &Resources,
    ) -> Result<()> {
        let whole = change.unified.get(OOM_GROUP);
        if self.oom_group && whole.is_some_and(|value| value.trim() != "1") {
            let name = quote(profile);
            let cause = format!(
                "{} is refused by profile {name} (limits.oom-group)",
                short(whole)
            );
            let field = format!("linux.resources.unified[{}]", quote(OOM_GROUP));
            return Err(Error::new(field, cause));
        }
        for asked in asked(change, all) {
            let rule = asked.of.rule();
            let Some(maximum) = asked
                .of
                .bound(self)
                .maximum
                .map(|maximum| maximum.number(memory_total))
            else {
                continue;
            };
            if asked.value.is_some_and(|value| value <= maximum) {
                continue;
            }
            let value = asked
                .value
                .map_or("no limit".to_owned(), |value| value.to_string());
            let cause = format!(
                "{value} is refused by profile {} ({rule}): its maximum is {maximum}",
                quote(profile)
            );
            return Err(Error::new(
                format!("linux.resources.{}", asked.field),
                cause,
            ));
        }
        Ok(())
    }
}

/// What a bound is about.
#[derive(Debug, Clone, Copy)]
enum Of {
    Memory,
    Swap,
    Pids,
    CpuPercent,
}

impl Of {
    const ALL: [Self; 4] = [Self::Memory, Self::Swap, Self::Pids, Self::CpuPercent];

    /// The bound's name in a profile.
    fn rule(self) -> &'static str {
        match self {
            Self::Memory => "limits.memory",
            Self::Swap => "limits.swap",
            Self::Pids => "limits.pids",
            Self::CpuPercent => "limits.cpu-percent",
        }
    }

    fn bound(self, limits: &Limits) -> &Bound {
        match self {
            Self::Memory => &limits.memory,
            Self::Swap => &limits.swap,
            Self::Pids => &limits.pids,
            Self::CpuPercent => &limits.cpu_percent,
        }
    }

    /// The field of a config.
    fn pointer(self) -> &'static str {
        match self {
            Self::Memory => "/linux/resources/memory/limit",
            Self::Swap => "/linux/resources/memory/swap",
            Self::Pids => "/linux/resources/pids/limit",
            Self::CpuPercent => "/linux/resources/cpu/quota",
        }
    }

    /// The file of cgroup v2 that stands for the field.
    fn file(self) -> &'static str {
        match self {
            Self::Memory => "memory.max",
            Self::Swap => "memory.swap.max",
            Self::Pids => "pids.max",
            Self::CpuPercent => "cpu.max",
        }
    }
}

/// One field of a change in the unit of its bound; no value is no limit.
struct Asked {
    of: Of,
    field: String,
    value: Option<i64>,
}

/// What a change asks for, of all that a profile bounds.
fn asked(change: &Resources, all: &Resources) -> Vec<Asked> {
    let mut list = Vec::new();
    let mut ask = |of, field: &str, value| {
        let field = field.to_owned();
        list.push(Asked { of, field, value });
    };
    let given = |number: Option<i64>| number.is_some_and(|number| number != 0);
    if let (Some(new), Some(all)) = (&change.memory, &all.memory) {
        let (limit, swap) = (positive(all.limit), positive(all.swap));
        if given(new.limit) {
            ask(Of::Memory, "memory.limit", limit);
        }
        if given(new.limit) || given(new.swap) {
            ask(Of::Swap, "memory.swap", beyond(limit, swap));
        }
    }
    if let Some(limit) = change.pids.as_ref().and_then(|pids| pids.limit) {
        ask(
            Of::Pids,
            "pids.limit",
            Some(limit).filter(|limit| *limit >= 0),
        );
    }
    if let (Some(new), Some(all)) = (&change.cpu, &all.cpu)
        && (given(new.quota) || new.period.is_some_and(|period| period > 0))
    {
        let period = all.period.filter(|period| *period > 0).unwrap_or(PERIOD);
        let percent = positive(all.quota).map(|quota| percent(quota, period));
        ask(Of::CpuPercent, "cpu.quota", percent);
    }
    for of in Of::ALL {
        let file = of.file();
        if let Some(value) = change.unified.get(file) {
            let field = format!("unified[{}]", quote(file));
            ask(of, &field, unified_number(file, value));
        }
    }
    list
}

/// Swap alone, of what a config counts together with memory.
fn beyond(limit: Option<i64>, swap: Option<i64>) -> Option<i64> {
    swap.map(|swap| swap.saturating_sub(limit.unwrap_or(0)).max(0))
}

/// A change of limits on its way through [`Limits::keep_limits`].
struct Keeping<'a> {
    limits: &'a Limits,
    profile: &'a str,
    memory_total: u64,
    changes: Vec<Change>,
}

impl Keeping<'_> {
    /// What there is instead of no limit; a maximum has its own answer, which is to refuse.
    fn default(&self, of: Of) -> Option<i64> {
        let bound = of.bound(self.limits);
        let default = bound.default.filter(|_| bound.maximum.is_none())?;
        Some(default.number(self.memory_total))
    }

    fn record(&mut self, of: Of, pointer: &str, before: Value, after: Option<i64>) {
        self.changes.push(Change {
            pointer: pointer.into(),
            before: Some(before),
            after: after.map(Value::from),
            rule: of.rule().into(),
            profile: self.profile.into(),
        });
    }

    fn limit(&mut self, of: Of, before: i64, after: Option<i64>) {
        self.record(of, of.pointer(), before.into(), after);
    }

    fn memory(&mut self, new: &mut Memory, old: &Memory) {
        let old_limit = positive(old.limit);
        let beyond = beyond(old_limit, positive(old.swap));
        let swap_default = self.default(Of::Swap);
        if let (Some(asked @ ..0), Some(default)) = (new.limit, self.default(Of::Memory)) {
            let limit = old_limit.map_or(default, |old| old.max(default));
            new.limit = Some(limit);
            self.limit(Of::Memory, asked, new.limit);
            // Memory is a part of what swap limits, and without a limit of the one there would be none of the other.
            if new.swap.is_none_or(|swap| swap == 0)
                && let Some(beyond) = beyond
            {
                let bounded = swap_default.map(|_| limit.saturating_add(beyond));
                new.swap = Some(bounded.unwrap_or(-1));
            }
        }
        let limit = positive(new.limit).or(old_limit);
        if let (Some(asked @ ..0), Some(default), Some(limit)) = (new.swap, swap_default, limit) {
            new.swap = Some(limit.saturating_add(beyond.unwrap_or(0).max(default)));
            self.limit(Of::Swap, asked, new.swap);
        }
    }

    fn pids(&mut self, new: &mut i64, old: Option<i64>) {
        if let (asked @ ..0, Some(default)) = (*new, self.default(Of::Pids)) {
            *new = old.unwrap_or(0).max(default);
            self.limit(Of::Pids, asked, Some(*new));
        }
    }

    fn cpu(&mut self, new: &mut Cpu, old: &Cpu) {
        let (Some(asked @ ..0), Some(default)) = (new.quota, self.default(Of::CpuPercent)) else {
            return;
        };
        let given = |period: Option<u64>| period.filter(|period| *period > 0);
        let old_period = given(old.period).unwrap_or(PERIOD);
        let period = given(new.period).unwrap_or(old_period);
        let before = positive(old.quota).map(|quota| (quota, percent(quota, old_period)));
        let quota = match before {
            Some((quota, percent)) if percent >= default && period == old_period => quota,
            before => {
                let percent = before.map_or(default, |(_, percent)| percent.max(default));
                let quota = i128::from(percent) * i128::from(period) / 100;
                i64::try_from(quota).unwrap_or(i64::MAX)
            }
        };
        new.quota = Some(quota);
        self.limit(Of::CpuPercent, asked, new.quota);
    }

    /// `max` is left out: what holds then is never none.
    fn unified(&mut self, change: &mut Resources) -> Result<()> {
        for of in Of::ALL {
            let (file, rule) = (of.file(), of.rule());
            let Some(text) = change.unified.get(file) else {
                continue;
            };
            if self.default(of).is_none() || unified_number(file, text).is_some() {
                continue;
            }
            if text.split_whitespace().next() != Some("max") || text.trim().contains('\n') {
                let profile = quote(self.profile);
                let text = short(Some(text));
                return Err(Error::new(
                    format!("linux.resources.unified[{}]", quote(file)),
                    format!("{text} is refused by profile {profile} ({rule}): it is not a number"),
                ));
            }
            let asked = value(text);
            change.unified.remove(file);
            let pointer = format!("/linux/resources/unified/{file}");
            self.record(of, &pointer, asked, None);
        }
        Ok(())
    }
}

/// Brings the record of what the profile changed up to date: a limit that the caller has `asked` for is the profile's no
/// more, one that follows another is what holds now (`after`), and `new` ones come last.
pub fn settle(changes: &mut Vec<Change>, asked: &Resources, after: &Resources, new: Vec<Change>) {
    let (given, now) = (value(asked), value(after));
    let at = |document: &Value, pointer: &str| {
        let below = pointer.strip_prefix("/linux/resources")?;
        document.pointer(below).cloned()
    };
    // As for the kernel's files, a 0 is not given; but of tasks it is the strictest limit.
    let is_given = |pointer: &str| {
        let by_file = Of::ALL
            .iter()
            .any(|of| of.pointer() == pointer && asked.unified.contains_key(of.file()));
        let found = at(&given, pointer);
        by_file || found.is_some_and(|found| found != 0 || pointer.contains("/pids/"))
    };
    changes.retain(|change| !is_given(&change.pointer));
    for change in changes.iter_mut() {
        if let Some(found) = at(&now, &change.pointer) {
            change.after = Some(found);
        }
    }
    changes.extend(new);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{Profile, Quantity};

    fn limits() -> Limits {
        Profile::builtin("restricted").unwrap().limits
    }

    fn resources(text: &str) -> Resources {
        serde_json::from_str(text).unwrap()
    }

    /// What is left of the change, and the records in words.
    fn kept(limits: &Limits, change: &str, before: &str) -> (Resources, Vec<String>) {
        let (change, before) = (resources(change), resources(before));
        let (kept, changes) = limits.keep_limits("p", 8 << 30, &change, &before).unwrap();
        (kept, changes.iter().map(ToString::to_string).collect())
    }

    const DEFAULTS: &str = r#"{"memory":{"limit":536870912,"swap":536870912},"pids":{"limit":256},
        "cpu":{"quota":100000,"period":100000}}"#;

    #[test]
    fn no_limit_becomes_the_default_of_the_profile() {
        let none = r#"{"memory":{"limit":-1,"swap":-1},"pids":{"limit":-1},"cpu":{"quota":-1}}"#;
        let (kept, words) = kept(&limits(), none, DEFAULTS);
        let expected = r#"{"memory":{"limit":536870912,"swap":536870912},"pids":{"limit":256},
            "cpu":{"quota":100000}}"#;
        assert_eq!(kept, resources(expected));
        assert_eq!(
            words,
            [
                r#"linux.resources.memory.limit: -1 -> 536870912: limits.memory of profile "p""#,
                r#"linux.resources.memory.swap: -1 -> 536870912: limits.swap of profile "p""#,
                r#"linux.resources.pids.limit: -1 -> 256: limits.pids of profile "p""#,
                r#"linux.resources.cpu.quota: -1 -> 100000: limits.cpu-percent of profile "p""#,
            ]
        );
    }

    #[test]
    fn no_limit_never_cuts_below_what_holds() {
        let before = r#"{"memory":{"limit":2147483648,"swap":4294967296},"pids":{"limit":4000},
            "cpu":{"quota":200000,"period":50000}}"#;
        let none = r#"{"memory":{"limit":-1,"swap":-1},"pids":{"limit":-1},"cpu":{"quota":-1}}"#;
        let expected = r#"{"memory":{"limit":2147483648,"swap":4294967296},"pids":{"limit":4000},
            "cpu":{"quota":200000}}"#;
        assert_eq!(kept(&limits(), none, before).0, resources(expected));
        // In another period the quota is as much of a CPU as before.
        let none = r#"{"cpu":{"quota":-1,"period":100000}}"#;
        let expected = r#"{"cpu":{"quota":400000,"period":100000}}"#;
        assert_eq!(kept(&limits(), none, before).0, resources(expected));
    }

    #[test]
    fn numbers_and_what_is_not_given_pass_a_profile_without_a_maximum() {
        let change = r#"{"memory":{"limit":8589934592,"swap":0},"pids":{"limit":100000},"cpu":{"quota":0},
            "unified":{"memory.max":"8589934592"}}"#;
        let (kept, words) = kept(&limits(), change, DEFAULTS);
        assert_eq!((kept, words), (resources(change), vec![]));
    }

    #[test]
    fn no_limit_of_memory_takes_that_of_swap_along_where_the_profile_has_none() {
        let baseline = Profile::builtin("baseline").unwrap().limits;
        let before = r#"{"memory":{"limit":1024,"swap":2048}}"#;
        let (kept, _) = kept(&baseline, r#"{"memory":{"limit":-1}}"#, before);
        let expected = r#"{"memory":{"limit":8589934592,"swap":-1}}"#;
        assert_eq!(kept, resources(expected));
    }

    #[test]
    fn a_maximum_is_not_a_default() {
        let mut limits = limits();
        limits.pids.maximum = Some(Quantity::Number(300));
        let change = r#"{"pids":{"limit":-1}}"#;
        assert_eq!(kept(&limits, change, DEFAULTS).0, resources(change));
        let (change, none) = (resources(change), Resources::default());
        let error = limits.check_update("p", 0, &change, &none.changed_by(&change));
        assert_eq!(
            error.unwrap_err().to_string(),
            r#"linux.resources.pids.limit: no limit is refused by profile "p" (limits.pids): its maximum is 300"#
        );
    }

    #[test]
    fn killing_of_the_whole_group_is_not_taken_back() {
        let limits = Profile::builtin("paranoid").unwrap().limits;
        let asked = |text: &str| {
            let change = resources(text);
            limits.check_update("p", 0, &change, &Resources::default().changed_by(&change))
        };
        let error = asked(r#"{"unified":{"memory.oom.group":"0"}}"#).unwrap_err();
        assert_eq!(
            error.to_string(),
            r#"linux.resources.unified["memory.oom.group"]: "0" is refused by profile "p" (limits.oom-group)"#
        );
        assert!(asked(r#"{"unified":{"memory.oom.group":"1"}}"#).is_ok());
    }

    #[test]
    fn max_of_a_file_is_left_out_and_what_is_no_number_refused() {
        let (kept, words) = kept(&limits(), r#"{"unified":{"pids.max":"max"}}"#, DEFAULTS);
        assert_eq!(kept, Resources::default());
        let expected =
            r#"linux.resources.unified.pids.max: "max" -> absent: limits.pids of profile "p""#;
        assert_eq!(words, [expected]);
        let change = resources(r#"{"unified":{"pids.max":"5\nmax"}}"#);
        let error = limits().keep_limits("p", 0, &change, &Resources::default());
        assert_eq!(
            error.unwrap_err().to_string(),
            r#"linux.resources.unified["pids.max"]: "5\nmax" is refused by profile "p" (limits.pids): it is not a number"#
        );
    }

    #[test]
    fn the_record_of_changes_follows_an_update() {
        let change = |pointer: &str, after: i64| Change {
            pointer: format!("/linux/resources/{pointer}"),
            before: None,
            after: Some(after.into()),
            rule: "r".into(),
            profile: "p".into(),
        };
        let mut changes = vec![
            change("memory/limit", 512),
            change("memory/swap", 512),
            change("pids/limit", 256),
        ];
        let asked = resources(r#"{"memory":{"limit":1024,"swap":0},"unified":{"pids.max":"9"}}"#);
        let after = resources(r#"{"memory":{"limit":1024,"swap":1024},"pids":{"limit":256}}"#);
        settle(&mut changes, &asked, &after, vec![change("cpu/quota", 1)]);
        let expected = [change("memory/swap", 1024), change("cpu/quota", 1)];
        assert_eq!(changes, expected);
    }
}
