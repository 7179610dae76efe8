//! `linux.resources` in the files of cgroup v1 (kernel documentation, admin-guide/cgroup-v1), and the few files that
//! have the same name on v2 (cpuset, pids, rdma).

use super::settings::{Write, refuse, set};
use crate::error::{Error, Result, quote};
use crate::spec::{BlockIo, Cpu, Memory, Resources, ThrottleDevice};

pub(super) fn cpuset(resources: &Resources) -> Result<Vec<Write>> {
    let Some(cpu) = &resources.cpu else {
        return Ok(Vec::new());
    };
    let mut writes = Vec::new();
    for (file, list, field) in [
        ("cpuset.cpus", &cpu.cpus, "cpu.cpus"),
        ("cpuset.mems", &cpu.mems, "cpu.mems"),
    ] {
        let Some(list) = list.as_deref().filter(|list| !list.is_empty()) else {
            continue;
        };
        if !list
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b",-".contains(&byte))
        {
            return Err(refuse(
                field,
                format!("{} is not a list such as \"0-3,7\"", quote(list)),
            ));
        }
        writes.push(Write::new("cpuset", file, list, field));
    }
    Ok(writes)
}

pub(super) fn cpu(resources: &Resources) -> Result<Vec<Write>> {
    let Some(cpu) = &resources.cpu else {
        return Ok(Vec::new());
    };
    check_cpu(cpu)?;
    let mut writes = Vec::new();
    // Real time first: the kernel checks runtime against period, and both against the parent's.
    if let Some(period) = set(cpu.realtime_period) {
        writes.push(Write::new(
            "cpu",
            "cpu.rt_period_us",
            period,
            "cpu.realtimePeriod",
        ));
    }
    if let Some(runtime) = set(cpu.realtime_runtime) {
        writes.push(Write::new(
            "cpu",
            "cpu.rt_runtime_us",
            runtime,
            "cpu.realtimeRuntime",
        ));
    }
    if let Some(shares) = shares(cpu)? {
        writes.push(Write::new("cpu", "cpu.shares", shares, "cpu.shares"));
    }
    if let Some(period) = set(cpu.period) {
        writes.push(Write::new("cpu", "cpu.cfs_period_us", period, "cpu.period"));
    }
    if let Some(quota) = set(cpu.quota) {
        writes.push(Write::new(
            "cpu",
            "cpu.cfs_quota_us",
            quota.max(-1),
            "cpu.quota",
        ));
    }
    if let Some(burst) = cpu.burst {
        writes.push(Write::new("cpu", "cpu.cfs_burst_us", burst, "cpu.burst"));
    }
    if let Some(idle) = cpu.idle {
        writes.push(Write::new("cpu", "cpu.idle", idle, "cpu.idle"));
    }
    Ok(writes)
}

/// What no kernel accepts, said in the config's words.
pub(super) fn check_cpu(cpu: &Cpu) -> Result<()> {
    if let Some(idle) = cpu.idle.filter(|idle| !matches!(idle, 0 | 1)) {
        return Err(refuse("cpu.idle", format!("{idle} is neither 0 nor 1")));
    }
    let quota = cpu
        .quota
        .and_then(|quota| u64::try_from(quota).ok())
        .filter(|quota| *quota > 0);
    if let (Some(burst), Some(quota)) = (cpu.burst, quota)
        && burst > quota
    {
        return Err(refuse(
            "cpu.burst",
            format!("{burst} is above cpu.quota, {quota}"),
        ));
    }
    Ok(())
}

/// The shares to set; none under `idle`, where the kernel fixes the weight.
pub(super) fn shares(cpu: &Cpu) -> Result<Option<u64>> {
    let Some(shares) = set(cpu.shares).filter(|_| cpu.idle != Some(1)) else {
        return Ok(None);
    };
    if !(2..=262_144).contains(&shares) {
        return Err(refuse(
            "cpu.shares",
            format!("{shares} is not within 2 to 262144"),
        ));
    }
    Ok(Some(shares))
}

pub(super) fn memory(resources: &Resources) -> Result<Vec<Write>> {
    let Some(memory) = &resources.memory else {
        return Ok(Vec::new());
    };
    check_memory(memory)?;
    let mut writes = Vec::new();
    let mut bytes = |file: &str, value: Option<i64>, field: &str| {
        if let Some(value) = set(value) {
            writes.push(Write::new("memory", file, value, field));
        }
    };
    bytes("memory.limit_in_bytes", memory.limit, "memory.limit");
    bytes("memory.memsw.limit_in_bytes", swap(memory), "memory.swap");
    bytes(
        "memory.soft_limit_in_bytes",
        memory.reservation,
        "memory.reservation",
    );
    bytes(
        "memory.kmem.tcp.limit_in_bytes",
        memory.kernel_tcp,
        "memory.kernelTCP",
    );
    if let Some(swappiness) = memory.swappiness {
        writes.push(Write::new(
            "memory",
            "memory.swappiness",
            swappiness,
            "memory.swappiness",
        ));
    }
    if memory.disable_oom_killer == Some(true) {
        writes.push(Write::new(
            "memory",
            "memory.oom_control",
            1,
            "memory.disableOOMKiller",
        ));
    }
    Ok(writes)
}

/// Memory and swap together; no memory limit also lifts that of swap, or the kernel would refuse it.
pub(super) fn swap(memory: &Memory) -> Option<i64> {
    set(memory.swap).or((memory.limit == Some(-1)).then_some(-1))
}

/// What neither version accepts, and what no kernel since 5.14 does.
pub(super) fn check_memory(memory: &Memory) -> Result<()> {
    for (value, field) in [
        (memory.limit, "memory.limit"),
        (memory.swap, "memory.swap"),
        (memory.reservation, "memory.reservation"),
        (memory.kernel, "memory.kernel"),
        (memory.kernel_tcp, "memory.kernelTCP"),
    ] {
        if let Some(value) = value.filter(|value| *value < -1) {
            return Err(refuse(
                field,
                format!("{value} is neither a size in bytes nor -1"),
            ));
        }
    }
    // Since 5.16 the kernel ignores it, and says so nowhere; a limit of all memory that is no higher holds it.
    let kernel = memory.kernel.filter(|kernel| *kernel > 0);
    if let Some(kernel) = kernel.filter(|kernel| !within_limit(memory, *kernel)) {
        return Err(refuse(
            "memory.kernel",
            format!("{kernel}: Linux no longer limits kernel memory apart from memory.limit"),
        )
        .hint("leave the field out: memory.limit includes kernel memory"));
    }
    if let Some(swappiness) = memory.swappiness.filter(|swappiness| *swappiness > 100) {
        return Err(refuse(
            "memory.swappiness",
            format!("{swappiness} is not within 0 to 100"),
        ));
    }
    if memory.use_hierarchy == Some(false) {
        return Err(refuse(
            "memory.useHierarchy",
            "Linux always accounts memory hierarchically",
        ));
    }
    check_swap(memory)
}

/// Whether `memory.limit` alone keeps a part of what it counts within `bytes`.
pub(super) fn within_limit(memory: &Memory, bytes: i64) -> bool {
    set(memory.limit).is_some_and(|limit| (0..=bytes).contains(&limit))
}

fn check_swap(memory: &Memory) -> Result<()> {
    let Some(swap) = set(memory.swap).filter(|swap| *swap > 0) else {
        return Ok(());
    };
    match set(memory.limit) {
        None | Some(-1) => Err(
            refuse("memory.swap", format!("{swap} needs a memory.limit"))
                .hint("memory.swap is memory and swap together"),
        ),
        Some(limit) if swap < limit => Err(refuse(
            "memory.swap",
            format!("{swap} is below memory.limit, {limit}"),
        )
        .hint("memory.swap is memory and swap together")),
        Some(_) => Ok(()),
    }
}

/// A limit of 0 holds as 1: nothing can start in an empty cgroup, and only the task that is there is counted.
pub(super) fn pids(resources: &Resources) -> Result<Vec<Write>> {
    let Some(limit) = resources.pids.as_ref().and_then(|pids| pids.limit) else {
        return Ok(Vec::new());
    };
    let value = match limit {
        ..0 => "max".to_owned(),
        limit => limit.max(1).to_string(),
    };
    Ok(vec![Write::new("pids", "pids.max", value, "pids.limit")])
}

pub(super) fn blkio(resources: &Resources) -> Result<Vec<Write>> {
    let Some(block) = &resources.block_io else {
        return Ok(Vec::new());
    };
    check_weights(block)?;
    let mut writes = Vec::new();
    if let Some(weight) = set(block.weight) {
        writes.push(
            Write::new("blkio", "blkio.weight", weight, "blockIO.weight")
                .or("blkio.bfq.weight", weight),
        );
    }
    for (index, device) in block.weight_device.iter().enumerate() {
        let Some(weight) = set(device.weight) else {
            continue;
        };
        let value = format!("{}:{} {weight}", device.major, device.minor);
        let field = format!("blockIO.weightDevice[{index}]");
        writes.push(
            Write::new("blkio", "blkio.weight_device", &value, &field)
                .or("blkio.bfq.weight_device", &value),
        );
    }
    for (name, file, _) in THROTTLES {
        for (index, device) in throttles(block, name).iter().enumerate() {
            let value = format!("{}:{} {}", device.major, device.minor, device.rate);
            let field = format!("blockIO.{name}[{index}]");
            writes.push(Write::new(
                "blkio",
                &format!("blkio.throttle.{file}"),
                value,
                &field,
            ));
        }
    }
    Ok(writes)
}

/// The config's field, v1's file and v2's key.
pub(super) const THROTTLES: [(&str, &str, &str); 4] = [
    ("throttleReadBpsDevice", "read_bps_device", "rbps"),
    ("throttleWriteBpsDevice", "write_bps_device", "wbps"),
    ("throttleReadIOPSDevice", "read_iops_device", "riops"),
    ("throttleWriteIOPSDevice", "write_iops_device", "wiops"),
];

pub(super) fn throttles<'a>(block: &'a BlockIo, name: &str) -> &'a [ThrottleDevice] {
    match name {
        "throttleReadBpsDevice" => &block.throttle_read_bps_device,
        "throttleWriteBpsDevice" => &block.throttle_write_bps_device,
        "throttleReadIOPSDevice" => &block.throttle_read_iops_device,
        _ => &block.throttle_write_iops_device,
    }
}

/// Leaf weights went with the CFQ scheduler in Linux 5.0; weights are 10 to 1000.
pub(super) fn check_weights(block: &BlockIo) -> Result<()> {
    let gone = |field: &str| refuse(field, "Linux has no leaf weights since 5.0");
    let range = |weight: Option<u16>, field: &str| match set(weight) {
        Some(weight) if !(10..=1000).contains(&weight) => {
            Err(refuse(field, format!("{weight} is not within 10 to 1000")))
        }
        _ => Ok(()),
    };
    if set(block.leaf_weight).is_some() {
        return Err(gone("blockIO.leafWeight"));
    }
    range(block.weight, "blockIO.weight")?;
    for (index, device) in block.weight_device.iter().enumerate() {
        let field = format!("blockIO.weightDevice[{index}]");
        if set(device.leaf_weight).is_some() {
            return Err(gone(&format!("{field}.leafWeight")));
        }
        if device.weight.is_none() && device.leaf_weight.is_none() {
            return Err(refuse(&field, "has neither weight nor leafWeight"));
        }
        range(device.weight, &format!("{field}.weight"))?;
    }
    Ok(())
}

pub(super) fn hugetlb(resources: &Resources) -> Result<Vec<Write>> {
    page_limits(resources, "limit_in_bytes")
}

/// Limits what is used and, where the kernel counts them, what is reserved: `hugetlb.2MB.<suffix>`.
pub(super) fn page_limits(resources: &Resources, suffix: &str) -> Result<Vec<Write>> {
    let mut writes = Vec::new();
    for (index, page) in resources.hugepage_limits.iter().enumerate() {
        let field = format!("hugepageLimits[{index}]");
        let size = &page.page_size;
        if !is_page_size(size) {
            return Err(refuse(
                &format!("{field}.pageSize"),
                format!("{} is not a page size such as \"2MB\"", quote(size)),
            ));
        }
        let used = format!("hugetlb.{size}.{suffix}");
        let reserved = format!("hugetlb.{size}.rsvd.{suffix}");
        writes.push(Write::new("hugetlb", &used, page.limit, &field));
        writes.push(Write::new("hugetlb", &reserved, page.limit, &field).or(&used, page.limit));
    }
    Ok(writes)
}

fn is_page_size(size: &str) -> bool {
    let digits = ["KB", "MB", "GB"]
        .iter()
        .find_map(|unit| size.strip_suffix(unit));
    digits.is_some_and(|digits| {
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}

pub(super) fn rdma(resources: &Resources) -> Result<Vec<Write>> {
    let mut writes = Vec::new();
    for (device, limits) in &resources.rdma {
        let field = format!("rdma[{}]", quote(device));
        if !is_word(device) {
            return Err(refuse(&field, "is not the name of a device"));
        }
        let mut value = device.clone();
        for (key, limit) in [
            ("hca_handle", limits.hca_handles),
            ("hca_object", limits.hca_objects),
        ] {
            if let Some(limit) = limit {
                value += &format!(" {key}={limit}");
            }
        }
        if value == *device {
            return Err(refuse(&field, "has neither hcaHandles nor hcaObjects"));
        }
        writes.push(Write::new("rdma", "rdma.max", value, &field));
    }
    Ok(writes)
}

pub(super) fn net_cls(resources: &Resources) -> Result<Vec<Write>> {
    let class = resources
        .network
        .as_ref()
        .and_then(|network| network.class_id);
    let write = |class| Write::new("net_cls", "net_cls.classid", class, "network.classID");
    Ok(class.map(write).into_iter().collect())
}

pub(super) fn net_prio(resources: &Resources) -> Result<Vec<Write>> {
    let priorities = resources
        .network
        .iter()
        .flat_map(|network| &network.priorities);
    let write = |(index, priority): (usize, &crate::spec::InterfacePriority)| {
        let field = format!("network.priorities[{index}]");
        if !is_word(&priority.name) {
            let cause = format!("{} is not the name of an interface", quote(&priority.name));
            return Err::<Write, Error>(refuse(&format!("{field}.name"), cause));
        }
        let value = format!("{} {}", priority.name, priority.priority);
        Ok(Write::new("net_prio", "net_prio.ifpriomap", value, &field))
    };
    priorities.enumerate().map(write).collect()
}

/// A name that stays one word of the line that it is written into.
fn is_word(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c.is_control())
}
