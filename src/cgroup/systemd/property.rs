//! Limits as properties of the scope (systemd.resource-control(5)), from the v2 files that they end up in.
//! systemd writes what it is told, and writes it again whenever it reloads; the files are written and read back all the
//! same (`limits`), so that what is exact there stays exact.

use std::fmt;

use super::unit::Unit;
use super::wire::Value;
use crate::cgroup::readback;
use crate::cgroup::settings::Write;
use crate::error::quote;

/// The first systemd that keeps an idle group idle, by a weight of 0.
const IDLE: u32 = 252;
/// The weight of a group that nobody has given one.
const USUAL_WEIGHT: u64 = 100;
/// systemd's quotas are whole percents of a CPU in the end: microseconds in each second.
const PERCENT: u64 = 10_000;
/// The most CPUs or memory nodes that a mask is made for; the kernel has at most 8192.
const MOST_BITS: u32 = 8192;

/// A property of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property {
    name: String,
    value: Value,
}

impl Property {
    pub(super) fn new(name: &str, value: Value) -> Self {
        Self {
            name: name.to_owned(),
            value,
        }
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn value(&self) -> &Value {
        &self.value
    }
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = ", self.name)?;
        match &self.value {
            Value::Bool(is_set) => write!(f, "{is_set}"),
            Value::Int(number) => write!(f, "{number}"),
            Value::Number(u64::MAX) => write!(f, "infinity"),
            Value::Number(number) => write!(f, "{number}"),
            Value::Text(text) => write!(f, "{}", quote(text)),
            Value::Bits(bytes) => write!(f, "{}", bits_as_list(bytes)),
            Value::Processes(pids) => write!(f, "{pids:?}"),
            Value::Devices(list) => {
                let rules = list
                    .iter()
                    .map(|(device, access)| format!("{device} {access}"));
                write!(f, "{}", rules.collect::<Vec<_>>().join(", "))
            }
        }
    }
}

/// What these writes are as properties. A setting that systemd has no property for, or that it keeps its hands off, is in
/// its file alone.
pub(super) fn of_writes(unit: &Unit, writes: &[Write]) -> Vec<Property> {
    let mut properties: Vec<Property> = Vec::new();
    for (name, value) in writes.iter().flat_map(|write| of_write(unit, write)) {
        // A later write wins, as it does in the file.
        properties.retain(|property| property.name != name);
        properties.push(Property::new(name, value));
    }
    let wakes = writes
        .iter()
        .any(|write| write.file == "cpu.idle" && write.value == "0");
    let has_weight = properties
        .iter()
        .any(|property| property.name == "CPUWeight");
    if wakes && !has_weight && unit.version >= IDLE {
        properties.push(Property::new("CPUWeight", Value::Number(USUAL_WEIGHT)));
    }
    properties
}

fn of_write(unit: &Unit, write: &Write) -> Vec<(&'static str, Value)> {
    let value = write.value.trim();
    let one = |name, value: Option<u64>| {
        let property = value.map(|value| (name, Value::Number(value)));
        property.into_iter().collect()
    };
    match write.file.as_str() {
        "cpu.max" => quota(value),
        "cpu.weight" => one("CPUWeight", value.parse().ok()),
        "cpu.idle" if value == "1" && unit.version >= IDLE => one("CPUWeight", Some(0)),
        "cpuset.cpus" => bits("AllowedCPUs", value),
        "cpuset.mems" => bits("AllowedMemoryNodes", value),
        "io.weight" | "io.bfq.weight" => one("IOWeight", io_weight(write)),
        "memory.max" => one("MemoryMax", size(value)),
        "memory.high" => one("MemoryHigh", size(value)),
        "memory.low" => one("MemoryLow", size(value)),
        "memory.min" => one("MemoryMin", size(value)),
        "memory.swap.max" => one("MemorySwapMax", size(value)),
        "pids.max" => one("TasksMax", size(value)),
        _ => Vec::new(),
    }
}

/// `max` or a number, with the kernel's suffixes.
fn size(text: &str) -> Option<u64> {
    match text {
        "max" => Some(u64::MAX),
        text => readback::bytes(text),
    }
}

/// `quota period`: time in each period becomes time in each second, rounded up to what systemd can keep.
fn quota(text: &str) -> Vec<(&'static str, Value)> {
    let mut words = text.split_whitespace();
    let quota = words.next().unwrap_or_default();
    let period = words.next().map(str::parse::<u64>);
    let Ok(period) = period.transpose() else {
        return Vec::new();
    };
    let in_second = match quota {
        "max" => Some(u64::MAX),
        number => number.parse::<u64>().ok().and_then(|number| {
            let in_second = number
                .checked_mul(1_000_000)?
                .checked_div(period.unwrap_or(100_000))?;
            in_second.checked_next_multiple_of(PERCENT)
        }),
    };
    let Some(in_second) = in_second else {
        return Vec::new();
    };
    let quota = ("CPUQuotaPerSecUSec", Value::Number(in_second));
    let period = period.map(|period| ("CPUQuotaPeriodUSec", Value::Number(period)));
    std::iter::once(quota).chain(period).collect()
}

fn bits(name: &'static str, list: &str) -> Vec<(&'static str, Value)> {
    let Some(ranges) =
        readback::ranges(list).filter(|ranges| ranges.iter().all(|(_, last)| *last < MOST_BITS))
    else {
        return Vec::new();
    };
    let mut bytes = Vec::new();
    for number in ranges.iter().flat_map(|(first, last)| *first..=*last) {
        let at = number as usize / 8;
        bytes.resize(bytes.len().max(at + 1), 0);
        bytes[at] |= 1 << (number % 8);
    }
    vec![(name, Value::Bits(bytes))]
}

fn bits_as_list(bytes: &[u8]) -> String {
    let is_set = |number: &usize| bytes[number / 8] >> (number % 8) & 1 == 1;
    let numbers = (0..bytes.len() * 8)
        .filter(is_set)
        .map(|number| number.to_string());
    numbers.collect::<Vec<_>>().join(",")
}

/// The weight of a group as the io controller has it, 1 to 10000. What BFQ alone says, 1 to 1000, systemd derives from
/// that: the same up to 100, and evenly from there on.
fn io_weight(write: &Write) -> Option<u64> {
    let plain = |text: &str| {
        text.trim()
            .trim_start_matches("default")
            .trim()
            .parse::<u64>()
            .ok()
    };
    let found = write.candidates().find(|(file, _)| *file == "io.weight");
    match found {
        Some((_, value)) => plain(value),
        None => plain(&write.value).map(|weight| match weight {
            ..=100 => weight,
            _ => 100 + (weight - 100) * 9900 / 900,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::settings::tests::v2_layout;
    use crate::cgroup::systemd::unit::Whose;

    fn unit(version: u32) -> Unit {
        Unit::parse(None, "c1", (Whose::System, version)).unwrap()
    }

    fn lines(resources: &str) -> Vec<String> {
        let resources = serde_json::from_str(resources).unwrap();
        let writes = crate::cgroup::settings(&v2_layout(), &resources).unwrap();
        let properties = of_writes(&unit(252), &writes);
        properties.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn limits_of_docker_are_these_properties() {
        let resources = r#"{"memory":{"limit":268435456,"swap":536870912,"reservation":1048576},
            "cpu":{"shares":1024,"quota":50000,"period":100000,"cpus":"0-1,9","mems":"0"},"pids":{"limit":64},
            "blockIO":{"weight":500}}"#;
        assert_eq!(
            lines(resources),
            [
                "AllowedCPUs = 0,1,9",
                "AllowedMemoryNodes = 0",
                "CPUWeight = 100",
                "CPUQuotaPerSecUSec = 500000",
                "CPUQuotaPeriodUSec = 100000",
                "MemorySwapMax = 268435456",
                "MemoryMax = 268435456",
                "MemoryLow = 1048576",
                "TasksMax = 64",
                "IOWeight = 4950",
            ]
        );
    }

    #[test]
    fn files_of_unified_are_properties_too() {
        let resources = r#"{"pids":{"limit":5},"unified":{"memory.high":"1M","memory.min":"4096","pids.max":"max",
            "cpu.max":"max 50000","io.weight":"default 7","memory.oom.group":"1","io.max":"8:0 rbps=1","hugetlb.2MB.max":"0"}}"#;
        assert_eq!(
            lines(resources),
            [
                "CPUQuotaPerSecUSec = infinity",
                "CPUQuotaPeriodUSec = 50000",
                "IOWeight = 7",
                "MemoryHigh = 1048576",
                "MemoryMin = 4096",
                "TasksMax = infinity",
            ]
        );
    }

    #[test]
    fn quotas_are_rounded_up_to_whole_percents() {
        let quota = |quota: u64, period: u64| {
            lines(&format!(
                r#"{{"cpu":{{"quota":{quota},"period":{period}}}}}"#
            ))
            .remove(0)
        };
        assert_eq!(quota(1000, 1_000_000), "CPUQuotaPerSecUSec = 10000");
        assert_eq!(quota(33_333, 100_000), "CPUQuotaPerSecUSec = 340000");
        assert_eq!(quota(250_000, 100_000), "CPUQuotaPerSecUSec = 2500000");
        assert_eq!(
            lines(r#"{"cpu":{"quota":-1}}"#),
            ["CPUQuotaPerSecUSec = infinity"]
        );
    }

    #[test]
    fn an_idle_group_is_one_without_weight_where_systemd_knows_that() {
        let idle = Write::new("cpu", "cpu.idle", 1, "cpu.idle");
        let of = |version| of_writes(&unit(version), std::slice::from_ref(&idle));
        let weight = |weight| [Property::new("CPUWeight", Value::Number(weight))];
        assert_eq!(of(252), weight(0));
        assert_eq!(of(251), []);
        let awake = Write::new("cpu", "cpu.idle", 0, "cpu.idle");
        assert_eq!(
            of_writes(&unit(252), std::slice::from_ref(&awake)),
            weight(100)
        );
        let weighed = Write::new("cpu", "cpu.weight", 5, "cpu.shares");
        assert_eq!(of_writes(&unit(252), &[weighed, awake]), weight(5));
    }

    #[test]
    fn what_was_read_from_a_file_leads_back() {
        let of = |file: &str, value: &str| {
            let write = Write::new("x", file, value, "x");
            let properties = of_writes(&unit(252), &[write]);
            properties
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(of("cpuset.cpus", "\n"), "AllowedCPUs = ");
        assert_eq!(
            of("cpu.max", "max 100000"),
            "CPUQuotaPerSecUSec = infinity CPUQuotaPeriodUSec = 100000"
        );
        assert_eq!(of("io.weight", "default 100"), "IOWeight = 100");
        assert_eq!(of("io.bfq.weight", "default 1000"), "IOWeight = 10000");
        assert_eq!(of("io.weight", "8:0 100"), "");
        assert_eq!(of("memory.max", "nonsense"), "");
        assert_eq!(of("cpuset.cpus", "0-99999999"), "");
    }
}
