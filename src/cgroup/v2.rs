//! `linux.resources`, which speaks cgroup v1, in the files of cgroup v2 (kernel documentation, admin-guide/cgroup-v2).
//! cpuset, pids and rdma have the same files in both and are in `v1`.

use super::settings::{Write, refuse, set};
use super::v1;
use crate::error::Result;
use crate::spec::Resources;

pub(super) fn cpu(resources: &Resources) -> Result<Vec<Write>> {
    let Some(cpu) = &resources.cpu else {
        return Ok(Vec::new());
    };
    v1::check_cpu(cpu)?;
    for (is_set, field) in [
        (set(cpu.realtime_runtime).is_some(), "cpu.realtimeRuntime"),
        (set(cpu.realtime_period).is_some(), "cpu.realtimePeriod"),
    ] {
        if is_set {
            return Err(refuse(
                field,
                "cgroup v2 has no limits of real-time scheduling",
            ));
        }
    }
    let mut writes = Vec::new();
    if let Some(shares) = v1::shares(cpu)? {
        writes.push(Write::new(
            "cpu",
            "cpu.weight",
            cpu_weight(shares),
            "cpu.shares",
        ));
    }
    let (quota, period) = (set(cpu.quota), set(cpu.period));
    if quota.is_some() || period.is_some() {
        let field = if quota.is_some() {
            "cpu.quota"
        } else {
            "cpu.period"
        };
        let quota = quota
            .filter(|q| *q > 0)
            .map_or("max".to_owned(), |quota| quota.to_string());
        let value = period.map_or(quota.clone(), |period| format!("{quota} {period}"));
        writes.push(Write::new("cpu", "cpu.max", value, field));
    }
    if let Some(burst) = cpu.burst {
        writes.push(Write::new("cpu", "cpu.max.burst", burst, "cpu.burst"));
    }
    if let Some(idle) = cpu.idle {
        writes.push(Write::new("cpu", "cpu.idle", idle, "cpu.idle"));
    }
    Ok(writes)
}

/// Shares (2 to 262144, usually 1024) as a weight (1 to 10000, usually 100): the quadratic curve in the logarithm
/// through (2, 1), (1024, 100) and (262144, 10000), which current runtimes share, so that a config means the same
/// under each.
fn cpu_weight(shares: u64) -> u64 {
    match shares {
        ..=2 => 1,
        262_144.. => 10_000,
        shares => {
            let log = (shares as f64).log2();
            let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
            10f64.powf(exponent).ceil() as u64
        }
    }
}

pub(super) fn memory(resources: &Resources) -> Result<Vec<Write>> {
    let Some(memory) = &resources.memory else {
        return Ok(Vec::new());
    };
    v1::check_memory(memory)?;
    let tcp = set(memory.kernel_tcp).filter(|tcp| *tcp > 0);
    if tcp.is_some_and(|tcp| !v1::within_limit(memory, tcp)) {
        return Err(
            refuse("memory.kernelTCP", "cgroup v2 has no limit of TCP buffers")
                .hint("leave the field out: memory.limit includes TCP buffers"),
        );
    }
    if memory.swappiness.is_some() {
        return Err(refuse("memory.swappiness", "cgroup v2 has no swappiness"));
    }
    if memory.disable_oom_killer == Some(true) {
        return Err(refuse(
            "memory.disableOOMKiller",
            "cgroup v2 cannot disable the OOM killer",
        ));
    }
    let mut writes = Vec::new();
    if let Some(swap) = v1::swap(memory) {
        // v2 counts swap alone; `check_memory` has seen that it is not below the limit.
        let alone = if swap < 0 {
            swap
        } else {
            swap - memory.limit.unwrap_or(0)
        };
        writes.push(Write::new(
            "memory",
            "memory.swap.max",
            bytes(alone),
            "memory.swap",
        ));
    }
    if let Some(limit) = set(memory.limit) {
        writes.push(Write::new(
            "memory",
            "memory.max",
            bytes(limit),
            "memory.limit",
        ));
    }
    if let Some(reservation) = set(memory.reservation) {
        // No limit at all on v1; on v2 it would protect everything.
        let low = reservation.max(0);
        writes.push(Write::new(
            "memory",
            "memory.low",
            low,
            "memory.reservation",
        ));
    }
    Ok(writes)
}

fn bytes(value: i64) -> String {
    if value < 0 {
        "max".to_owned()
    } else {
        value.to_string()
    }
}

pub(super) fn io(resources: &Resources) -> Result<Vec<Write>> {
    let Some(block) = &resources.block_io else {
        return Ok(Vec::new());
    };
    v1::check_weights(block)?;
    let mut writes = Vec::new();
    if let Some(weight) = set(block.weight) {
        writes.push(
            Write::new("io", "io.bfq.weight", weight, "blockIO.weight")
                .or("io.weight", io_weight(weight)),
        );
    }
    for (index, device) in block.weight_device.iter().enumerate() {
        let Some(weight) = set(device.weight) else {
            continue;
        };
        let (number, field) = (
            format!("{}:{}", device.major, device.minor),
            format!("blockIO.weightDevice[{index}]"),
        );
        writes.push(
            Write::new("io", "io.bfq.weight", format!("{number} {weight}"), &field)
                .or("io.weight", format!("{number} {}", io_weight(weight))),
        );
    }
    for (name, _, key) in v1::THROTTLES {
        for (index, device) in v1::throttles(block, name).iter().enumerate() {
            let rate = if device.rate == 0 {
                "max".to_owned()
            } else {
                device.rate.to_string()
            };
            let value = format!("{}:{} {key}={rate}", device.major, device.minor);
            writes.push(Write::new(
                "io",
                "io.max",
                value,
                &format!("blockIO.{name}[{index}]"),
            ));
        }
    }
    Ok(writes)
}

/// BFQ's weight (10 to 1000) as that of the io controller (1 to 10000), linearly.
fn io_weight(weight: u16) -> u64 {
    1 + (u64::from(weight) - 10) * 9999 / 990
}

pub(super) fn hugetlb(resources: &Resources) -> Result<Vec<Write>> {
    v1::page_limits(resources, "max")
}

pub(super) fn net_cls(_: &Resources) -> Result<Vec<Write>> {
    Err(refuse(
        "network.classID",
        "cgroup v2 has no network classes",
    ))
}

pub(super) fn net_prio(_: &Resources) -> Result<Vec<Write>> {
    Err(refuse(
        "network.priorities",
        "cgroup v2 has no network priorities",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::settings::tests::{lines, refusal, v1_layout, v2_layout};

    #[test]
    fn docker_limits_are_these_files() {
        let resources = r#"{"memory":{"limit":268435456,"swap":536870912,"reservation":1048576},
            "cpu":{"shares":1024,"quota":50000,"period":100000,"cpus":"0-1","mems":"0"},"pids":{"limit":64}}"#;
        assert_eq!(
            lines(&v1_layout(), resources),
            [
                "cpuset.cpus = 0-1",
                "cpuset.mems = 0",
                "cpu.shares = 1024",
                "cpu.cfs_period_us = 100000",
                "cpu.cfs_quota_us = 50000",
                "memory.limit_in_bytes = 268435456",
                "memory.memsw.limit_in_bytes = 536870912",
                "memory.soft_limit_in_bytes = 1048576",
                "pids.max = 64",
            ]
        );
        assert_eq!(
            lines(&v2_layout(), resources),
            [
                "cpuset.cpus = 0-1",
                "cpuset.mems = 0",
                "cpu.weight = 100",
                "cpu.max = 50000 100000",
                "memory.swap.max = 268435456",
                "memory.max = 268435456",
                "memory.low = 1048576",
                "pids.max = 64",
            ]
        );
    }

    #[test]
    fn weights_are_monotonic_and_keep_their_ends() {
        assert_eq!([2, 1024, 262_144].map(cpu_weight), [1, 100, 10_000]);
        assert!((2..5000).all(|shares| cpu_weight(shares) <= cpu_weight(shares + 1)));
        assert_eq!([10, 500, 1000].map(io_weight), [1, 4950, 10_000]);
    }

    #[test]
    fn zero_is_unset_except_for_pids() {
        let zeros = r#"{"memory":{"limit":0,"swap":0,"reservation":0,"kernel":0},
            "cpu":{"shares":0,"quota":0,"period":0,"cpus":"","mems":""},"blockIO":{"weight":0}}"#;
        assert!(lines(&v1_layout(), zeros).is_empty());
        assert!(lines(&v2_layout(), zeros).is_empty());
        assert_eq!(
            lines(&v2_layout(), r#"{"pids":{"limit":0}}"#),
            ["pids.max = 1"]
        );
        assert_eq!(
            lines(&v1_layout(), r#"{"pids":{"limit":-1}}"#),
            ["pids.max = max"]
        );
    }

    #[test]
    fn no_memory_limit_lifts_swap_too() {
        assert_eq!(
            lines(&v1_layout(), r#"{"memory":{"limit":-1}}"#),
            [
                "memory.limit_in_bytes = -1",
                "memory.memsw.limit_in_bytes = -1"
            ]
        );
        assert_eq!(
            lines(&v2_layout(), r#"{"memory":{"limit":-1}}"#),
            ["memory.swap.max = max", "memory.max = max"]
        );
    }

    #[test]
    fn idle_groups_have_no_shares() {
        let idle = r#"{"cpu":{"idle":1,"shares":1024}}"#;
        assert_eq!(lines(&v2_layout(), idle), ["cpu.idle = 1"]);
        assert_eq!(lines(&v1_layout(), idle), ["cpu.idle = 1"]);
    }

    #[test]
    fn what_v2_lacks_is_refused_by_field() {
        for (resources, message) in [
            (
                r#"{"memory":{"kernelTCP":1}}"#,
                "memory.kernelTCP: cgroup v2 has no limit of TCP buffers",
            ),
            (
                r#"{"memory":{"swappiness":0}}"#,
                "memory.swappiness: cgroup v2 has no swappiness",
            ),
            (
                r#"{"memory":{"disableOOMKiller":true}}"#,
                "memory.disableOOMKiller: cgroup v2 cannot disable the OOM killer",
            ),
            (
                r#"{"cpu":{"realtimeRuntime":5}}"#,
                "cpu.realtimeRuntime: cgroup v2 has no limits of real-time scheduling",
            ),
            (
                r#"{"network":{"classID":1}}"#,
                "network.classID: cgroup v2 has no network classes",
            ),
        ] {
            assert_eq!(
                refusal(&v2_layout(), resources),
                format!("linux.resources.{message}")
            );
        }
    }

    #[test]
    fn memory_settings_that_no_kernel_takes_are_refused_by_field() {
        for (resources, message) in [
            (
                r#"{"memory":{"kernel":1}}"#,
                "memory.kernel: 1: Linux no longer limits kernel memory apart from memory.limit",
            ),
            (
                r#"{"memory":{"useHierarchy":false}}"#,
                "memory.useHierarchy: Linux always accounts memory hierarchically",
            ),
            (
                r#"{"memory":{"limit":9,"swap":8}}"#,
                "memory.swap: 8 is below memory.limit, 9",
            ),
            (
                r#"{"memory":{"swap":8}}"#,
                "memory.swap: 8 needs a memory.limit",
            ),
            (
                r#"{"memory":{"limit":-2}}"#,
                "memory.limit: -2 is neither a size in bytes nor -1",
            ),
            (
                r#"{"memory":{"swappiness":101}}"#,
                "memory.swappiness: 101 is not within 0 to 100",
            ),
        ] {
            assert_eq!(
                refusal(&v1_layout(), resources),
                format!("linux.resources.{message}")
            );
        }
    }

    #[test]
    fn a_kernel_memory_limit_is_taken_where_the_memory_limit_holds_it() {
        let both = r#"{"memory":{"limit":8,"kernel":8,"kernelTCP":9}}"#;
        let v1 = [
            "memory.limit_in_bytes = 8",
            "memory.kmem.tcp.limit_in_bytes = 9",
        ];
        assert_eq!(lines(&v1_layout(), both), v1);
        assert_eq!(lines(&v2_layout(), both), ["memory.max = 8"]);
        for limit in [-1, 0, 9] {
            let kernel = format!(r#"{{"memory":{{"limit":{limit},"kernel":8}}}}"#);
            let refused = "linux.resources.memory.kernel: 8: Linux no longer limits kernel memory apart from memory.limit";
            assert_eq!(refusal(&v1_layout(), &kernel), refused);
            assert_eq!(refusal(&v2_layout(), &kernel), refused);
        }
        assert_eq!(
            refusal(&v2_layout(), r#"{"memory":{"limit":9,"kernelTCP":8}}"#),
            "linux.resources.memory.kernelTCP: cgroup v2 has no limit of TCP buffers"
        );
    }

    #[test]
    fn other_settings_that_no_kernel_takes_are_refused_by_field() {
        for (resources, message) in [
            (r#"{"cpu":{"idle":2}}"#, "cpu.idle: 2 is neither 0 nor 1"),
            (
                r#"{"cpu":{"quota":1000,"burst":1001}}"#,
                "cpu.burst: 1001 is above cpu.quota, 1000",
            ),
            (
                r#"{"cpu":{"shares":1}}"#,
                "cpu.shares: 1 is not within 2 to 262144",
            ),
            (
                r#"{"cpu":{"cpus":"0;1"}}"#,
                "cpu.cpus: \"0;1\" is not a list such as \"0-3,7\"",
            ),
            (
                r#"{"blockIO":{"weight":9}}"#,
                "blockIO.weight: 9 is not within 10 to 1000",
            ),
            (
                r#"{"blockIO":{"leafWeight":10}}"#,
                "blockIO.leafWeight: Linux has no leaf weights since 5.0",
            ),
            (
                r#"{"hugepageLimits":[{"pageSize":"../x","limit":1}]}"#,
                "hugepageLimits[0].pageSize: \"../x\" is not a page size such as \"2MB\"",
            ),
            (
                r#"{"rdma":{"a b":{"hcaHandles":1}}}"#,
                "rdma[\"a b\"]: is not the name of a device",
            ),
            (
                r#"{"rdma":{"a":{}}}"#,
                "rdma[\"a\"]: has neither hcaHandles nor hcaObjects",
            ),
        ] {
            assert_eq!(
                refusal(&v1_layout(), resources),
                format!("linux.resources.{message}")
            );
        }
    }

    #[test]
    fn block_io_is_converted() {
        let resources = r#"{"blockIO":{"weight":500,"weightDevice":[{"major":8,"minor":0,"weight":10}],
            "throttleReadBpsDevice":[{"major":8,"minor":0,"rate":600}],
            "throttleWriteIOPSDevice":[{"major":8,"minor":16,"rate":0}]}}"#;
        assert_eq!(
            lines(&v1_layout(), resources),
            [
                "blkio.weight = 500",
                "blkio.weight_device = 8:0 10",
                "blkio.throttle.read_bps_device = 8:0 600",
                "blkio.throttle.write_iops_device = 8:16 0",
            ]
        );
        assert_eq!(
            lines(&v2_layout(), resources),
            [
                "io.bfq.weight = 500",
                "io.bfq.weight = 8:0 10",
                "io.max = 8:0 rbps=600",
                "io.max = 8:16 wiops=max"
            ]
        );
    }
}
