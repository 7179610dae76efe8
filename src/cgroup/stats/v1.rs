//! The files of cgroup v1 that count (kernel documentation, admin-guide/cgroup-v1).

use std::collections::BTreeMap;

use super::read::{self, Files, number, odd};
use super::{Blkio, BlkioEntry, Cpu, CpuUsage, Cpuset, Hugetlb, Memory, MemoryEntry, Throttling};
use crate::error::Result;

/// `cpuacct.stat` counts in hundredths of a second, whatever the kernel's own tick is (`USER_HZ`).
const NANOSECONDS_PER_TICK: u64 = 10_000_000;

pub(super) fn cpu(files: &Files<'_>) -> Result<Cpu> {
    let stat = files.keys("cpu", "cpu.stat")?;
    let value = |key: &str| stat.get(key).copied().unwrap_or(0);
    Ok(Cpu {
        usage: usage(files)?,
        throttling: Throttling {
            periods: value("nr_periods"),
            throttled_periods: value("nr_throttled"),
            throttled_time: value("throttled_time"),
        },
        psi: None,
    })
}

fn usage(files: &Files<'_>) -> Result<CpuUsage> {
    let text = |file: &str| files.text("cpuacct", file).map(Option::unwrap_or_default);
    let ticks = files.keys("cpuacct", "cpuacct.stat")?;
    let nanoseconds = |key: &str| {
        ticks
            .get(key)
            .map_or(0, |n| n.saturating_mul(NANOSECONDS_PER_TICK))
    };
    let (percpu_kernel, percpu_user) = by_cpu(&text("cpuacct.usage_all")?)?;
    Ok(CpuUsage {
        total: files.count("cpuacct", "cpuacct.usage")?,
        percpu: text("cpuacct.usage_percpu")?
            .split_whitespace()
            .map(|word| number("cpuacct.usage_percpu", word))
            .collect::<Result<_>>()?,
        percpu_kernel,
        percpu_user,
        kernel: nanoseconds("system"),
        user: nanoseconds("user"),
    })
}

/// `cpuacct.usage_all`: a head line `cpu user system`, then a line for each CPU. In the kernel, then in programs.
pub(super) fn by_cpu(text: &str) -> Result<(Vec<u64>, Vec<u64>)> {
    let file = "cpuacct.usage_all";
    let (mut kernel, mut user) = (Vec::new(), Vec::new());
    for line in text.lines().skip(1) {
        let mut words = line.split_whitespace().skip(1);
        let (Some(in_user), Some(in_kernel)) = (words.next(), words.next()) else {
            return Err(odd(file, line));
        };
        user.push(number(file, in_user)?);
        kernel.push(number(file, in_kernel)?);
    }
    Ok((kernel, user))
}

pub(super) fn cpuset(files: &Files<'_>) -> Result<Cpuset> {
    let list = |file: &str| read::list(file, &files.text("cpuset", file)?.unwrap_or_default());
    let count = |file: &str| files.count("cpuset", file);
    let level = files.text("cpuset", "cpuset.sched_relax_domain_level")?;
    Ok(Cpuset {
        cpus: list("cpuset.cpus")?,
        cpu_exclusive: count("cpuset.cpu_exclusive")?,
        mems: list("cpuset.mems")?,
        mem_hardwall: count("cpuset.mem_hardwall")?,
        mem_exclusive: count("cpuset.mem_exclusive")?,
        memory_migrate: count("cpuset.memory_migrate")?,
        memory_spread_page: count("cpuset.memory_spread_page")?,
        memory_spread_slab: count("cpuset.memory_spread_slab")?,
        memory_pressure: count("cpuset.memory_pressure")?,
        sched_load_balance: count("cpuset.sched_load_balance")?,
        sched_relax_domain_level: level
            .and_then(|level| level.trim().parse().ok())
            .unwrap_or(0),
    })
}

pub(super) fn memory(files: &Files<'_>) -> Result<Memory> {
    let raw = files.keys("memory", "memory.stat")?;
    let entry = |name: &str| {
        let count = |what: &str| files.count("memory", &format!("memory.{name}{what}"));
        Ok(MemoryEntry {
            limit: count("limit_in_bytes")?,
            usage: count("usage_in_bytes")?,
            max: count("max_usage_in_bytes")?,
            failcnt: count("failcnt")?,
        })
    };
    Ok(Memory {
        cache: raw.get("cache").copied().unwrap_or(0),
        usage: entry("")?,
        swap: entry("memsw.")?,
        kernel: entry("kmem.")?,
        kernel_tcp: entry("kmem.tcp.")?,
        raw,
        psi: None,
    })
}

/// The files of BFQ where it schedules anything, else those of the throttling layer. BFQ's beyond the first two exist with
/// CONFIG_BFQ_CGROUP_DEBUG only.
pub(super) fn blkio(files: &Files<'_>) -> Result<Blkio> {
    let entries = |file: &str| -> Result<Vec<BlkioEntry>> {
        read::devices(file, &files.text("blkio", file)?.unwrap_or_default())
    };
    let of_bfq = |what: &str| entries(&format!("blkio.bfq.{what}_recursive"));
    let either = |what: &str| match of_bfq(what)? {
        none if none.is_empty() => entries(&format!("blkio.throttle.{what}_recursive")),
        some => Ok(some),
    };
    Ok(Blkio {
        io_service_bytes_recursive: either("io_service_bytes")?,
        io_serviced_recursive: either("io_serviced")?,
        io_queue_recursive: of_bfq("io_queued")?,
        io_service_time_recursive: of_bfq("io_service_time")?,
        io_wait_time_recursive: of_bfq("io_wait_time")?,
        io_merged_recursive: of_bfq("io_merged")?,
        io_time_recursive: of_bfq("time")?,
        sectors_recursive: of_bfq("sectors")?,
        psi: None,
    })
}

pub(super) fn hugetlb(files: &Files<'_>) -> Result<BTreeMap<String, Hugetlb>> {
    let mut all = BTreeMap::new();
    for size in read::page_sizes() {
        for prefix in [format!("hugetlb.{size}.rsvd"), format!("hugetlb.{size}")] {
            let count = |what: &str| files.number("hugetlb", &format!("{prefix}.{what}"));
            let Some(usage) = count("usage_in_bytes")? else {
                continue;
            };
            let pages = Hugetlb {
                usage,
                max: count("max_usage_in_bytes")?.unwrap_or(0),
                failcnt: count("failcnt")?.unwrap_or(0),
            };
            all.insert(size, pages);
            break;
        }
    }
    Ok(all)
}
