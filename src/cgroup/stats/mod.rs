//! What a container uses, from the files of its cgroup: in the shape and the units that runc's clients read.
//! Which files these are on cgroup v1 is in `v1`, on v2 in `v2`; a controller that is not there counts nothing.

mod read;
mod v1;
mod v2;

use std::collections::BTreeMap;

use serde::Serialize;

use super::group::Cgroup;
use crate::error::Result;

/// All that is counted. Times are in nanoseconds, sizes in bytes; no limit is the largest number that the file can say.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Stats {
    /// CPU time.
    pub cpu: Cpu,
    /// CPUs and memory nodes.
    pub cpuset: Cpuset,
    /// Memory.
    pub memory: Memory,
    /// Tasks.
    pub pids: Pids,
    /// Block devices.
    pub blkio: Blkio,
    /// Huge pages, by their size such as `2MB`.
    pub hugetlb: BTreeMap<String, Hugetlb>,
    /// Intel's resource director, which is not supported: empty.
    pub intel_rdt: BTreeMap<String, u64>,
    /// Interfaces that the runtime itself has made: it makes none.
    pub network_interfaces: Option<Vec<u64>>,
}

/// CPU time used, and time that a quota took away.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Cpu {
    /// Time used.
    pub usage: CpuUsage,
    /// What the quota did.
    pub throttling: Throttling,
    /// Time that tasks waited for a CPU (v2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Pressure>,
}

/// CPU time in nanoseconds; lists have an entry for each CPU (v1).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct CpuUsage {
    /// All of it.
    #[serde(skip_serializing_if = "is_zero")]
    pub total: u64,
    /// All of it, by CPU.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu: Vec<u64>,
    /// In the kernel, by CPU.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu_kernel: Vec<u64>,
    /// In programs, by CPU.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu_user: Vec<u64>,
    /// In the kernel.
    pub kernel: u64,
    /// In programs.
    pub user: u64,
}

/// Periods with a quota, those in which it was used up, and the nanoseconds lost by that.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Throttling {
    /// Periods that have passed.
    #[serde(skip_serializing_if = "is_zero")]
    pub periods: u64,
    /// Periods in which the quota ran out.
    #[serde(skip_serializing_if = "is_zero")]
    pub throttled_periods: u64,
    /// Nanoseconds that tasks had to wait for that.
    #[serde(skip_serializing_if = "is_zero")]
    pub throttled_time: u64,
}

/// Pressure stall information (kernel documentation, accounting/psi).
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Pressure {
    /// Some tasks had to wait.
    pub some: Stall,
    /// All had to.
    pub full: Stall,
}

/// Percents of the last 10, 60 and 300 seconds, and microseconds altogether.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Stall {
    /// Of the last ten seconds.
    pub avg10: f64,
    /// Of the last minute.
    pub avg60: f64,
    /// Of the last five minutes.
    pub avg300: f64,
    /// Microseconds.
    pub total: u64,
}

/// The v1 cpuset's files, by their names.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[allow(missing_docs, reason = "cpuset(7) describes each")]
pub struct Cpuset {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cpus: Vec<u16>,
    pub cpu_exclusive: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mems: Vec<u16>,
    pub mem_hardwall: u64,
    pub mem_exclusive: u64,
    pub memory_migrate: u64,
    pub memory_spread_page: u64,
    pub memory_spread_slab: u64,
    pub memory_pressure: u64,
    pub sched_load_balance: u64,
    pub sched_relax_domain_level: i64,
}

/// Memory in bytes.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Memory {
    /// Of files.
    #[serde(skip_serializing_if = "is_zero")]
    pub cache: u64,
    /// Memory alone.
    pub usage: MemoryEntry,
    /// Memory and swap together, on v2 as well.
    pub swap: MemoryEntry,
    /// The kernel's for it (v1).
    pub kernel: MemoryEntry,
    /// Of TCP buffers (v1).
    #[serde(rename = "kernelTCP")]
    pub kernel_tcp: MemoryEntry,
    /// `memory.stat`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub raw: BTreeMap<String, u64>,
    /// Time that tasks waited for memory (v2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Pressure>,
}

/// One kind of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct MemoryEntry {
    /// Bytes that are allowed.
    pub limit: u64,
    /// Bytes in use.
    #[serde(skip_serializing_if = "is_zero")]
    pub usage: u64,
    /// Most bytes that ever were.
    #[serde(skip_serializing_if = "is_zero")]
    pub max: u64,
    /// How often the limit was hit (v1).
    pub failcnt: u64,
}

/// Number of tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Pids {
    /// Tasks there are.
    #[serde(skip_serializing_if = "is_zero")]
    pub current: u64,
    /// Tasks there may be; 0 is no limit.
    #[serde(skip_serializing_if = "is_zero")]
    pub limit: u64,
}

/// Block devices, each list with an entry for each device and kind of access.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(
    missing_docs,
    reason = "the files of cgroup-v1/blkio-controller, recursive ones"
)]
pub struct Blkio {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_service_bytes_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_serviced_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_queue_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_service_time_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_wait_time_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_merged_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_time_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sectors_recursive: Vec<BlkioEntry>,
    /// Time that tasks waited for devices (v2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Pressure>,
}

/// One number of one device.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct BlkioEntry {
    /// The device's major number.
    #[serde(skip_serializing_if = "is_zero")]
    pub major: u64,
    /// Its minor number.
    #[serde(skip_serializing_if = "is_zero")]
    pub minor: u64,
    /// `Read`, `Write`, `Sync`, `Async`, `Discard`, `Total`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub op: String,
    /// Bytes, operations, nanoseconds or sectors, by the list.
    #[serde(skip_serializing_if = "is_zero")]
    pub value: u64,
}

/// Huge pages of one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Hugetlb {
    /// Bytes in use or reserved.
    #[serde(skip_serializing_if = "is_zero")]
    pub usage: u64,
    /// Most bytes that ever were (v1).
    #[serde(skip_serializing_if = "is_zero")]
    pub max: u64,
    /// How often the limit was hit.
    pub failcnt: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The most that ever was in use at once; none where this kernel does not count it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Peaks {
    /// Bytes.
    pub memory: Option<u64>,
    /// Tasks.
    pub pids: Option<u64>,
}

impl Cgroup {
    /// Reads what was used at most.
    ///
    /// # Errors
    /// When a file cannot be read, or does not read as its documentation says.
    pub fn peaks(&self) -> Result<Peaks> {
        let files = read::Files(self);
        let memory = if files.are_v2("memory") {
            "memory.peak"
        } else {
            "memory.max_usage_in_bytes"
        };
        Ok(Peaks {
            memory: files.number("memory", memory)?,
            pids: files.number("pids", "pids.peak")?,
        })
    }

    /// Reads what is counted for it.
    ///
    /// # Errors
    /// When a file cannot be read, or does not read as its documentation says.
    pub fn stats(&self) -> Result<Stats> {
        let files = read::Files(self);
        Ok(Stats {
            cpu: if files.are_v2("cpuacct") {
                v2::cpu(&files)?
            } else {
                v1::cpu(&files)?
            },
            cpuset: if files.are_v2("cpuset") {
                Cpuset::default()
            } else {
                v1::cpuset(&files)?
            },
            memory: if files.are_v2("memory") {
                v2::memory(&files)?
            } else {
                v1::memory(&files)?
            },
            pids: read::pids(&files)?,
            blkio: if files.are_v2("blkio") {
                v2::blkio(&files)?
            } else {
                v1::blkio(&files)?
            },
            hugetlb: if files.are_v2("hugetlb") {
                v2::hugetlb(&files)?
            } else {
                v1::hugetlb(&files)?
            },
            ..Stats::default()
        })
    }
}

#[cfg(test)]
mod tests;
