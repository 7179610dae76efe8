//! The files of cgroup v2 that count, in the words of v1 (kernel documentation, admin-guide/cgroup-v2).

use std::collections::BTreeMap;

use super::read::{self, Files, number, odd};
use super::{
    Blkio, BlkioEntry, Cpu, CpuUsage, Hugetlb, Memory, MemoryEntry, Pressure, Stall, Throttling,
};
use crate::error::Result;

/// `cpu.stat` belongs to the core: its first three lines are there without the controller.
pub(super) fn cpu(files: &Files<'_>) -> Result<Cpu> {
    let stat = files.keys("cgroup", "cpu.stat")?;
    let value = |key: &str| stat.get(key).copied().unwrap_or(0);
    let nanoseconds = |key: &str| value(key).saturating_mul(1000);
    Ok(Cpu {
        usage: CpuUsage {
            total: nanoseconds("usage_usec"),
            kernel: nanoseconds("system_usec"),
            user: nanoseconds("user_usec"),
            ..CpuUsage::default()
        },
        throttling: Throttling {
            periods: value("nr_periods"),
            throttled_periods: value("nr_throttled"),
            throttled_time: nanoseconds("throttled_usec"),
        },
        psi: pressure(files, "cpu.pressure")?,
    })
}

/// Swap is counted apart on v2 and together with memory on v1.
pub(super) fn memory(files: &Files<'_>) -> Result<Memory> {
    let raw = files.keys("memory", "memory.stat")?;
    let count = |file: &str| files.count("memory", file);
    let usage = MemoryEntry {
        limit: count("memory.max")?,
        usage: count("memory.current")?,
        max: count("memory.peak")?,
        failcnt: 0,
    };
    let swap = match files.number("memory", "memory.swap.current")? {
        None => MemoryEntry {
            usage: usage.usage,
            ..MemoryEntry::default()
        },
        Some(swapped) => MemoryEntry {
            limit: count("memory.swap.max")?.saturating_add(usage.limit),
            usage: usage.usage.saturating_add(swapped),
            ..MemoryEntry::default()
        },
    };
    Ok(Memory {
        cache: raw.get("file").copied().unwrap_or(0),
        usage,
        swap,
        raw,
        psi: pressure(files, "memory.pressure")?,
        ..Memory::default()
    })
}

pub(super) fn blkio(files: &Files<'_>) -> Result<Blkio> {
    let text = files.text("io", "io.stat")?.unwrap_or_default();
    let (bytes, operations) = io(&text)?;
    Ok(Blkio {
        io_service_bytes_recursive: bytes,
        io_serviced_recursive: operations,
        psi: pressure(files, "io.pressure")?,
        ..Blkio::default()
    })
}

/// `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6`: bytes, then operations.
pub(super) fn io(text: &str) -> Result<(Vec<BlkioEntry>, Vec<BlkioEntry>)> {
    let file = "io.stat";
    let (mut bytes, mut operations) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let device = words.next().unwrap_or_default();
        // A device that is gone can leave a line without a number.
        let Some((major, minor)) = read::device_number(device) else {
            continue;
        };
        for word in words {
            let (key, value) = word.split_once('=').ok_or_else(|| odd(file, line))?;
            let (list, op) = match key {
                "rbytes" => (&mut bytes, "Read"),
                "wbytes" => (&mut bytes, "Write"),
                "rios" => (&mut operations, "Read"),
                "wios" => (&mut operations, "Write"),
                _ => continue,
            };
            list.push(BlkioEntry {
                major,
                minor,
                op: op.to_owned(),
                value: number(file, value)?,
            });
        }
    }
    Ok((bytes, operations))
}

pub(super) fn hugetlb(files: &Files<'_>) -> Result<BTreeMap<String, Hugetlb>> {
    let mut all = BTreeMap::new();
    for size in read::page_sizes() {
        let of = |what: &str| files.number("hugetlb", &format!("hugetlb.{size}.{what}"));
        let Some(usage) = of("rsvd.current")?.map_or_else(|| of("current"), |n| Ok(Some(n)))?
        else {
            continue;
        };
        let events = files.keys("hugetlb", &format!("hugetlb.{size}.events"))?;
        let pages = Hugetlb {
            usage,
            max: 0,
            failcnt: events.get("max").copied().unwrap_or(0),
        };
        all.insert(size, pages);
    }
    Ok(all)
}

/// Pressure is the core's; there is none where it is switched off (`cgroup.pressure`, psi=0).
fn pressure(files: &Files<'_>, file: &str) -> Result<Option<Pressure>> {
    match files.text("cgroup", file) {
        Ok(Some(text)) => stalls(file, &text).map(Some),
        // EOPNOTSUPP where the kernel was booted without it.
        Ok(None) | Err(_) => Ok(None),
    }
}

/// `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`, and the same with `full`.
pub(super) fn stalls(file: &str, text: &str) -> Result<Pressure> {
    let mut pressure = Pressure::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let stall = match words.next() {
            Some("some") => &mut pressure.some,
            Some("full") => &mut pressure.full,
            _ => continue,
        };
        *stall = stall_of(words).ok_or_else(|| odd(file, line))?;
    }
    Ok(pressure)
}

fn stall_of<'a>(words: impl Iterator<Item = &'a str>) -> Option<Stall> {
    let mut stall = Stall::default();
    for word in words {
        match word.split_once('=')? {
            ("avg10", value) => stall.avg10 = value.parse().ok()?,
            ("avg60", value) => stall.avg60 = value.parse().ok()?,
            ("avg300", value) => stall.avg300 = value.parse().ok()?,
            ("total", value) => stall.total = value.parse().ok()?,
            _ => {}
        }
    }
    Some(stall)
}
