//! Limits of cgroups, and devices: what a config may ask for, and what it gets where it asks for nothing.
//! What a change of limits may ask for later is in `update`.

use super::change::{Rules, short};
use super::{Bound, DeviceSet, Limits, OnConflict, Profile, Quantity, RlimitBound};
use crate::error::{Result, quote};
use crate::spec::{DeviceRule, Linux, Resources};

/// Microseconds in which `cpu-percent` is a quota: the kernel's default period.
pub(super) const PERIOD: u64 = 100_000;

/// The file of cgroup v2 that has all processes of a group killed together.
pub(super) const OOM_GROUP: &str = "memory.oom.group";

impl Profile {
    /// The same profile for a host where no cgroup can be made: the limits that have a counterpart among the resource
    /// limits are set there, by process instead of by container.
    #[must_use]
    pub fn without_cgroup_limits(&self) -> Self {
        let mut profile = self.clone();
        let limits = std::mem::take(&mut profile.limits);
        profile.limits.time = limits.time;
        let as_rlimits = [
            ("RLIMIT_DATA", limits.memory),
            ("RLIMIT_NPROC", limits.pids),
        ];
        for (kind, bound) in as_rlimits {
            if let Some(Quantity::Number(maximum)) = bound.default.or(bound.maximum) {
                let on_conflict = OnConflict::Tighten;
                let bound = RlimitBound {
                    maximum,
                    on_conflict,
                };
                let own = profile.rlimits.entry(kind.into()).or_insert(bound);
                own.maximum = own.maximum.min(maximum);
            }
        }
        profile
    }
}

/// A quota in a period as percent of one CPU, rounded up.
pub(super) fn percent(quota: i64, period: u64) -> i64 {
    let percent = (quota as u64).saturating_mul(100).div_ceil(period);
    i64::try_from(percent).unwrap_or(i64::MAX)
}

impl Rules<'_> {
    pub(super) fn limits(&mut self, linux: &mut Linux) -> Result<()> {
        let limits = self.profile.limits.clone();
        let mut resources = linux.resources.clone().unwrap_or_default();
        self.oom_group(&limits, &mut resources)?;
        self.unified(&limits, &mut resources)?;
        self.memory(&limits, &mut resources)?;
        self.pids(&limits.pids, &mut resources)?;
        self.cpu(&limits.cpu_percent, &mut resources)?;
        if resources != Resources::default() || linux.resources.is_some() {
            linux.resources = Some(resources);
        }
        Ok(())
    }

    /// A file of cgroup v2; v1 has nothing like it.
    fn oom_group(&mut self, limits: &Limits, resources: &mut Resources) -> Result<()> {
        let before = resources.unified.get(OOM_GROUP).cloned();
        if !limits.oom_group || before.as_deref() == Some("1") {
            return Ok(());
        }
        if !self.host.kernel.has_memory_v2 {
            let name = quote(&self.profile.name);
            self.warnings.push(format!(
                "limits.oom-group of profile {name} needs cgroup v2 for memory: it is left out"
            ));
            return Ok(());
        }
        let after = "1".to_owned();
        resources
            .unified
            .insert(OOM_GROUP.to_owned(), after.clone());
        self.conflict(
            "limits.oom-group",
            OnConflict::Tighten,
            &format!("/linux/resources/unified/{OOM_GROUP}"),
            before.as_ref(),
            Some(&after),
        )
    }

    /// `unified` is written over the other fields, so what stands there is held against the same bounds: `max` is no
    /// limit and goes, a number must be within.
    fn unified(&mut self, limits: &Limits, resources: &mut Resources) -> Result<()> {
        let bounds = [
            ("memory.max", "limits.memory", &limits.memory),
            ("memory.swap.max", "limits.swap", &limits.swap),
            ("pids.max", "limits.pids", &limits.pids),
            ("cpu.max", "limits.cpu-percent", &limits.cpu_percent),
        ];
        for (key, rule, bound) in bounds {
            let Some(value) = resources.unified.get(key).cloned() else {
                continue;
            };
            let Some(value_if_unlimited) = self.quantities(bound).0 else {
                continue;
            };
            let pointer = format!("/linux/resources/unified/{key}");
            if value.split_whitespace().next() == Some("max") {
                resources.unified.remove(key);
                self.conflict(
                    rule,
                    bound.on_conflict,
                    &pointer,
                    Some(&value),
                    None::<&String>,
                )?;
                continue;
            }
            let maximum = self.quantities(bound).1;
            let asked = unified_number(key, &value);
            if asked.is_none_or(|asked| asked > maximum.unwrap_or(i64::MAX)) {
                let hint =
                    format!("the profile sets {value_if_unlimited} where nothing is asked for");
                return Err(self
                    .refusal(rule, &pointer, &short(Some(&value)))
                    .hint(hint));
            }
        }
        Ok(())
    }

    fn memory(&mut self, limits: &Limits, resources: &mut Resources) -> Result<()> {
        if resources.unified.contains_key("memory.max") {
            return self.unified_swap(&limits.swap, resources);
        }
        let before = resources.memory.clone().unwrap_or_default();
        let mut after = before.clone();
        let pointer = "/linux/resources/memory";
        let swap = before.swap.filter(|swap| *swap > 0);
        if let Some((limit, on_conflict)) = self.bounded(&limits.memory, positive(before.limit)) {
            // A config that limits memory and swap together has limited memory, too.
            after.limit = Some(limit.min(swap.unwrap_or(i64::MAX)));
            let pointer = format!("{pointer}/limit");
            self.conflict(
                "limits.memory",
                on_conflict,
                &pointer,
                before.limit.as_ref(),
                after.limit.as_ref(),
            )?;
        }
        // Of memory and swap together all may be swap, so that a bound of swap needs one of memory.
        let (unlimited, most) = self.quantities(&limits.swap);
        if let (None, Some(both), Some(_)) = (positive(after.limit), swap, unlimited) {
            after.limit = Some(both);
            let on_conflict = match most {
                Some(most) if both > most => limits.swap.on_conflict,
                _ => OnConflict::Tighten,
            };
            let pointer = format!("{pointer}/limit");
            let (before, after) = (before.limit.as_ref(), after.limit.as_ref());
            self.conflict("limits.swap", on_conflict, &pointer, before, after)?;
        }
        // The field counts memory and swap together.
        if let Some(limit) = positive(after.limit) {
            let beyond = swap.map(|swap| (swap - limit).max(0));
            let on_conflict = match self.bounded(&limits.swap, beyond) {
                Some((beyond, on_conflict)) => {
                    after.swap = Some(limit.saturating_add(beyond));
                    on_conflict
                }
                None => OnConflict::Tighten,
            };
            if after.swap != before.swap {
                let pointer = format!("{pointer}/swap");
                self.conflict(
                    "limits.swap",
                    on_conflict,
                    &pointer,
                    before.swap.as_ref(),
                    after.swap.as_ref(),
                )?;
            }
        }
        if after != before {
            resources.memory = Some(after);
        }
        Ok(())
    }

    /// Swap beside a limit of memory that is in `unified`, where nothing is said of swap.
    fn unified_swap(&mut self, bound: &Bound, resources: &mut Resources) -> Result<()> {
        let key = "memory.swap.max";
        if resources.unified.contains_key(key) {
            return Ok(());
        }
        let memory = resources.memory.clone().unwrap_or_default();
        // Of the two fields only the difference is left.
        let asked = match (positive(memory.limit), positive(memory.swap)) {
            (Some(limit), Some(swap)) => Some((swap - limit).max(0)),
            _ => None,
        };
        let Some((swap, on_conflict)) = self.bounded(bound, asked) else {
            return Ok(());
        };
        let after = swap.to_string();
        let pointer = format!("/linux/resources/unified/{key}");
        self.conflict("limits.swap", on_conflict, &pointer, None, Some(&after))?;
        resources.unified.insert(key.to_owned(), after);
        Ok(())
    }

    fn pids(&mut self, bound: &Bound, resources: &mut Resources) -> Result<()> {
        if resources.unified.contains_key("pids.max") {
            return Ok(());
        }
        let before = resources.pids.as_ref().and_then(|pids| pids.limit);
        // 0 is a limit of its own, the strictest.
        let asked = before.filter(|limit| *limit >= 0);
        if let Some((limit, on_conflict)) = self.bounded(bound, asked) {
            resources.pids.get_or_insert_default().limit = Some(limit);
            let pointer = "/linux/resources/pids/limit";
            self.conflict(
                "limits.pids",
                on_conflict,
                pointer,
                before.as_ref(),
                Some(&limit),
            )?;
        }
        Ok(())
    }

    fn cpu(&mut self, bound: &Bound, resources: &mut Resources) -> Result<()> {
        if resources.unified.contains_key("cpu.max") {
            return Ok(());
        }
        let before = resources.cpu.clone().unwrap_or_default();
        let given = before.period.filter(|period| *period > 0);
        let period = given.unwrap_or(PERIOD);
        let percent = positive(before.quota).map(|quota| percent(quota, period));
        let Some((percent, on_conflict)) = self.bounded(bound, percent) else {
            return Ok(());
        };
        let quota = (percent as u64 * period / 100) as i64;
        let cpu = resources.cpu.get_or_insert_default();
        cpu.quota = Some(quota);
        cpu.period = Some(period);
        let (rule, pointer) = ("limits.cpu-percent", "/linux/resources/cpu");
        if before.period != Some(period) {
            let pointer = format!("{pointer}/period");
            self.conflict(
                rule,
                OnConflict::Tighten,
                &pointer,
                before.period.as_ref(),
                Some(&period),
            )?;
        }
        self.conflict(
            rule,
            on_conflict,
            &format!("{pointer}/quota"),
            before.quota.as_ref(),
            Some(&quota),
        )
    }

    /// What is set where nothing is asked for, and the most that may be asked for.
    pub(super) fn quantities(&self, bound: &Bound) -> (Option<i64>, Option<i64>) {
        let number = |quantity: Quantity| quantity.number(self.host.memory_total);
        let (default, maximum) = (bound.default.map(number), bound.maximum.map(number));
        // All that the host has may be more than the maximum.
        let default = default.map(|default| default.min(maximum.unwrap_or(i64::MAX)));
        (default.or(maximum), maximum)
    }

    /// The new value where `asked` (none being unlimited) is not within the bound, and whether that may be.
    fn bounded(&self, bound: &Bound, asked: Option<i64>) -> Option<(i64, OnConflict)> {
        match (asked, self.quantities(bound)) {
            (Some(asked), (_, Some(maximum))) if asked > maximum => {
                Some((maximum, bound.on_conflict))
            }
            (None, (Some(value), _)) => Some((value, OnConflict::Tighten)),
            _ => None,
        }
    }

    pub(super) fn devices(&mut self, linux: &mut Linux) -> Result<()> {
        let devices = &self.profile.devices;
        if let Some(resources) = &mut linux.resources
            && devices.deny_all
        {
            let before = resources.devices.clone();
            resources
                .devices
                .retain(|rule| !rule.allow || is_allowed(rule, devices.allow.as_deref()));
            if resources.devices != before {
                let pointer = "/linux/resources/devices";
                let after = resources.devices.clone();
                self.conflict(
                    "devices.allow",
                    OnConflict::Tighten,
                    pointer,
                    Some(&before),
                    Some(&after),
                )?;
            }
        }
        let Some(nodes) = &devices.nodes else {
            return Ok(());
        };
        let before = linux.devices.clone();
        linux.devices.retain(|device| nodes.contains(&device.path));
        if linux.devices == before {
            return Ok(());
        }
        let after = linux.devices.clone();
        self.conflict(
            "devices.nodes",
            devices.on_conflict,
            "/linux/devices",
            Some(&before),
            Some(&after),
        )
    }
}

/// Of these fields everything that is not above 0 means no limit.
pub(super) fn positive(limit: Option<i64>) -> Option<i64> {
    limit.filter(|limit| *limit > 0)
}

/// A value of a cgroup v2 file in the unit of its bound: bytes, tasks, percent of one CPU.
pub(super) fn unified_number(key: &str, value: &str) -> Option<i64> {
    if key != "cpu.max" {
        return value.trim().parse().ok();
    }
    // Each line is a write of its own, and the last one holds.
    if value.trim().contains('\n') {
        return None;
    }
    let mut words = value.split_whitespace();
    let quota: i64 = words.next()?.parse().ok()?;
    let period: u64 = words
        .next()
        .map_or(Some(PERIOD), |word| word.parse().ok())?;
    (quota >= 0 && period > 0).then(|| percent(quota, period))
}

/// Whether a rule that allows something allows no more than the sets do; without sets, anything but everything.
fn is_allowed(rule: &DeviceRule, sets: Option<&[DeviceSet]>) -> bool {
    let kind = rule.kind.as_deref().unwrap_or("a");
    let number = |number: Option<i64>| number.filter(|number| *number >= 0);
    let access = rule
        .access
        .as_deref()
        .filter(|access| !access.is_empty())
        .unwrap_or("rwm");
    let Some(sets) = sets else {
        let is_any = kind == "a" || number(rule.major).is_none() && access != "m";
        return !is_any;
    };
    sets.iter().any(|set| {
        kind.chars().eq([set.kind])
            && (set.major.is_none() || set.major == number(rule.major))
            && (set.minor.is_none() || set.minor == number(rule.minor))
            && access.chars().all(|letter| set.access.contains(letter))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_cpu_max_with_a_second_line_is_no_number() {
        assert_eq!(unified_number("cpu.max", "50000 100000\n"), Some(50));
        assert_eq!(unified_number("cpu.max", "50000 100000\nmax 100000"), None);
        assert_eq!(unified_number("cpu.max", "max"), None);
        assert_eq!(unified_number("memory.max", "1\n2"), None);
    }

    #[test]
    fn the_stricter_of_two_limits_remains_without_a_cgroup() {
        let text = "name = \"x\"\ndescription = \"x\"\n[limits]\npids = { maximum = 5 }\n\
            memory = { maximum = 9 }\n[rlimits]\nRLIMIT_NPROC = { maximum = 7 }\nRLIMIT_DATA = { maximum = 3 }\n";
        let profile: Profile = toml::from_str(text).unwrap();
        let reduced = profile.without_cgroup_limits();
        let maximum = |kind: &str| reduced.rlimits[kind].maximum;
        assert_eq!((maximum("RLIMIT_NPROC"), maximum("RLIMIT_DATA")), (5, 3));
        assert_eq!(reduced.limits, Limits::default());
    }

    #[test]
    fn a_quota_of_any_size_stays_a_positive_percentage() {
        assert_eq!(percent(i64::MAX, 1), i64::MAX);
        assert_eq!(percent(50_000, PERIOD), 50);
    }
}
