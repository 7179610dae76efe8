//! Limits of cgroups, and devices: what a config may ask for, and what it gets where it asks for nothing.

use super::change::Rules;
use super::{Bound, DeviceSet, Limits, OnConflict, Profile, Quantity, RlimitBound};
use crate::error::Result;
use crate::spec::{DeviceRule, Linux, Resources};

/// Microseconds in which `cpu-percent` is a quota: the kernel's default period.
const PERIOD: u64 = 100_000;

impl Profile {
    /// The same profile for a host where no cgroup can be made: the limits that have a counterpart among the resource
    /// limits are set there, by process instead of by container.
    #[must_use]
    pub fn without_cgroup_limits(&self) -> Self {
        let mut profile = self.clone();
        let limits = std::mem::take(&mut profile.limits);
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
                profile.rlimits.entry(kind.into()).or_insert(bound);
            }
        }
        profile
    }
}

impl Rules<'_> {
    pub(super) fn limits(&mut self, linux: &mut Linux) -> Result<()> {
        let limits = self.profile.limits.clone();
        let mut resources = linux.resources.clone().unwrap_or_default();
        self.memory(&limits, &mut resources)?;
        self.pids(&limits.pids, &mut resources)?;
        self.cpu(&limits.cpu_percent, &mut resources)?;
        if resources != Resources::default() || linux.resources.is_some() {
            linux.resources = Some(resources);
        }
        Ok(())
    }

    fn memory(&mut self, limits: &Limits, resources: &mut Resources) -> Result<()> {
        let memory = resources.memory.clone().unwrap_or_default();
        let mut after = memory.clone();
        let pointer = "/linux/resources/memory";
        if let Some(limit) = self.bounded(
            "limits.memory",
            &limits.memory,
            &format!("{pointer}/limit"),
            memory.limit,
        )? {
            // A config that limits memory and swap together has limited memory, too.
            let most = memory.swap.filter(|swap| *swap > 0).unwrap_or(i64::MAX);
            after.limit = Some(limit.min(most));
        }
        // The field counts memory and swap together.
        if let Some(limit) = after.limit.filter(|limit| *limit > 0) {
            let beyond = memory
                .swap
                .filter(|swap| *swap > 0)
                .map(|swap| (swap - limit).max(0));
            let unlimited = memory.swap.is_none_or(|swap| swap <= 0);
            let asked = if unlimited { None } else { beyond };
            let swap = self.bounded(
                "limits.swap",
                &limits.swap,
                &format!("{pointer}/swap"),
                asked,
            )?;
            match swap {
                Some(swap) => after.swap = Some(limit.saturating_add(swap)),
                // A lower limit with the old sum would leave more swap than before.
                None if !unlimited && after.limit != memory.limit => {
                    after.swap = memory.swap.map(|swap| swap.max(limit));
                }
                None => {}
            }
        }
        if after != memory {
            resources.memory = Some(after);
        }
        Ok(())
    }

    fn pids(&mut self, bound: &Bound, resources: &mut Resources) -> Result<()> {
        let asked = resources.pids.as_ref().and_then(|pids| pids.limit);
        // 0 is a limit of its own, the strictest.
        let asked = if asked == Some(0) { Some(1) } else { asked };
        if let Some(limit) =
            self.bounded("limits.pids", bound, "/linux/resources/pids/limit", asked)?
        {
            resources.pids.get_or_insert_default().limit = Some(limit);
        }
        Ok(())
    }

    fn cpu(&mut self, bound: &Bound, resources: &mut Resources) -> Result<()> {
        let cpu = resources.cpu.clone().unwrap_or_default();
        let period = cpu.period.filter(|period| *period > 0).unwrap_or(PERIOD);
        let quota = cpu.quota.filter(|quota| *quota > 0);
        let percent = quota.map(|quota| (quota as u64 * 100).div_ceil(period) as i64);
        if let Some(percent) = self.bounded(
            "limits.cpu-percent",
            bound,
            "/linux/resources/cpu/quota",
            percent,
        )? {
            let cpu = resources.cpu.get_or_insert_default();
            cpu.period = Some(period);
            cpu.quota = Some((percent as u64 * period / 100) as i64);
        }
        Ok(())
    }

    /// The new value where `asked` (none, or not above 0, being unlimited) is not within the bound.
    fn bounded(
        &mut self,
        rule: &str,
        bound: &Bound,
        pointer: &str,
        asked: Option<i64>,
    ) -> Result<Option<i64>> {
        let number = |quantity: Quantity| match quantity {
            Quantity::Number(number) => number,
            Quantity::Host => self.host.memory_total,
        };
        let number = |quantity| i64::try_from(number(quantity)).unwrap_or(i64::MAX);
        let (default, maximum) = (bound.default.map(number), bound.maximum.map(number));
        let asked = asked.filter(|asked| *asked > 0 || rule == "limits.swap" && *asked == 0);
        match (asked, default.or(maximum), maximum) {
            (Some(asked), _, Some(maximum)) if asked > maximum => {
                self.conflict(
                    rule,
                    bound.on_conflict,
                    pointer,
                    Some(&asked),
                    Some(&maximum),
                )?;
                Ok(Some(maximum))
            }
            (None, Some(value), _) => {
                self.conflict(
                    rule,
                    OnConflict::Tighten,
                    pointer,
                    None::<&i64>,
                    Some(&value),
                )?;
                Ok(Some(value))
            }
            _ => Ok(None),
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
