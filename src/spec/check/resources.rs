//! `linux.resources` (config-linux.md, "Control groups"): ranges of values.
//! Whether the host's cgroups can apply them is `cgroup`'s to say; 0 is left to it too where clients write it for unset.

use super::linux::device_number;
use super::{At, not_one_of};
use crate::error::{Result, quote};
use crate::spec::{BlockIo, Cpu, DeviceRule, Memory, NetworkClass, Resources, ThrottleDevice};

/// Checks one `linux.resources`.
pub(in crate::spec) fn resources(limits: &Resources, at: &At) -> Result<()> {
    for (i, rule) in limits.devices.iter().enumerate() {
        device_rule(rule, &at.within(format!("devices[{i}]")))?;
    }
    if let Some(memory) = &limits.memory {
        self::memory(memory, &at.within("memory"))?;
    }
    if let Some(cpu) = &limits.cpu {
        self::cpu(cpu, &at.within("cpu"))?;
    }
    let pids = limits.pids.as_ref().and_then(|pids| pids.limit);
    not_below_minus_one(&[("pids.limit", pids)], at)?;
    if let Some(block_io) = &limits.block_io {
        self::block_io(block_io, &at.within("blockIO"))?;
    }
    for (i, page) in limits.hugepage_limits.iter().enumerate() {
        page_size(&page.page_size, &at.within(format!("hugepageLimits[{i}]")))?;
    }
    if let Some(network) = &limits.network {
        self::network(network, &at.within("network"))?;
    }
    for (name, limit) in &limits.rdma {
        if limit.hca_handles.is_none() && limit.hca_objects.is_none() {
            let field = format!("rdma[{}]", quote(name));
            return Err(at.refuse(field, "has neither hcaHandles nor hcaObjects"));
        }
    }
    for key in limits.unified.keys() {
        unified(key, at)?;
    }
    Ok(())
}

fn device_rule(rule: &DeviceRule, at: &At) -> Result<()> {
    if let Some(kind) = rule.kind.as_deref()
        && !matches!(kind, "a" | "b" | "c")
    {
        return Err(at.refuse("type", not_one_of(kind, ["a", "b", "c"])));
    }
    device_number(rule.major, rule.minor, -1, at)?;
    let access = rule.access.as_deref().unwrap_or("");
    // runc takes any letter and leaves it without a meaning. In a rule that denies, this one can mean all.
    let is_known = |c| matches!(c, 'r' | 'w' | 'm') || c == 'a' && !rule.allow;
    if access.is_empty() || !access.chars().all(is_known) {
        let cause = format!("{} is not made of r, w and m", quote(access));
        return Err(at.refuse("access", cause));
    }
    Ok(())
}

fn not_below_minus_one(fields: &[(&str, Option<i64>)], at: &At) -> Result<()> {
    for (field, value) in fields {
        if let Some(value) = value.filter(|value| *value < -1) {
            let cause = format!("{value} is negative, only -1 (no limit) may be");
            return Err(at.refuse(field, cause));
        }
    }
    Ok(())
}

fn memory(memory: &Memory, at: &At) -> Result<()> {
    let fields = [
        ("limit", memory.limit),
        ("reservation", memory.reservation),
        ("swap", memory.swap),
        ("kernel", memory.kernel),
        ("kernelTCP", memory.kernel_tcp),
    ];
    not_below_minus_one(&fields, at)?;
    if let (Some(limit), Some(swap)) = (memory.limit, memory.swap)
        && swap > 0
        && limit > swap
    {
        let cause = format!("{swap} is memory and swap together and below limit, {limit}");
        return Err(at.refuse("swap", cause));
    }
    if memory.limit == Some(-1) && memory.swap.is_some_and(|swap| swap > 0) {
        let cause = "is limited and limit, a part of it, is not";
        return Err(at.refuse("swap", cause));
    }
    if let Some(swappiness) = memory.swappiness.filter(|s| *s > 100) {
        let cause = format!("{swappiness} is not from 0 to 100");
        return Err(at.refuse("swappiness", cause));
    }
    Ok(())
}

fn cpu(cpu: &Cpu, at: &At) -> Result<()> {
    let fields = [
        ("quota", cpu.quota),
        ("realtimeRuntime", cpu.realtime_runtime),
    ];
    not_below_minus_one(&fields, at)?;
    if let Some(quota) = cpu.quota.filter(|quota| (1..1000).contains(quota)) {
        let cause = format!("{quota} is below the kernel's 1000 microseconds");
        return Err(at.refuse("quota", cause));
    }
    if let Some(period) = cpu.period
        && period != 0
        && !(1000..=1_000_000).contains(&period)
    {
        let cause = format!("{period} is not from 1000 to 1000000 microseconds");
        return Err(at.refuse("period", cause));
    }
    if let (Some(burst), Some(quota)) = (cpu.burst, cpu.quota)
        && quota > 0
        && burst > quota.unsigned_abs()
    {
        return Err(at.refuse("burst", format!("{burst} is above quota, {quota}")));
    }
    if let Some(idle) = cpu.idle.filter(|idle| !matches!(idle, 0 | 1)) {
        return Err(at.refuse("idle", format!("{idle} is not 0 or 1")));
    }
    for (field, list) in [("cpus", &cpu.cpus), ("mems", &cpu.mems)] {
        if let Some(list) = list.as_deref().filter(|list| !list.is_empty()) {
            at.number_list(field, list)?;
        }
    }
    Ok(())
}

fn block_io(io: &BlockIo, at: &At) -> Result<()> {
    weight("weight", io.weight, at)?;
    weight("leafWeight", io.leaf_weight, at)?;
    for (i, device) in io.weight_device.iter().enumerate() {
        let at = at.within(format!("weightDevice[{i}]"));
        device_number(Some(device.major), Some(device.minor), 0, &at)?;
        if device.weight.is_none() && device.leaf_weight.is_none() {
            return Err(at.refuse("", "has neither weight nor leafWeight"));
        }
        weight("weight", device.weight, &at)?;
        weight("leafWeight", device.leaf_weight, &at)?;
    }
    throttles("throttleReadBpsDevice", &io.throttle_read_bps_device, at)?;
    throttles("throttleWriteBpsDevice", &io.throttle_write_bps_device, at)?;
    throttles("throttleReadIOPSDevice", &io.throttle_read_iops_device, at)?;
    throttles(
        "throttleWriteIOPSDevice",
        &io.throttle_write_iops_device,
        at,
    )
}

fn weight(field: &str, weight: Option<u16>, at: &At) -> Result<()> {
    if let Some(weight) = weight.filter(|w| *w != 0 && !(10..=1000).contains(w)) {
        return Err(at.refuse(field, format!("{weight} is not from 10 to 1000")));
    }
    Ok(())
}

fn throttles(field: &str, devices: &[ThrottleDevice], at: &At) -> Result<()> {
    for (i, device) in devices.iter().enumerate() {
        let at = at.within(format!("{field}[{i}]"));
        device_number(Some(device.major), Some(device.minor), 0, &at)?;
    }
    Ok(())
}

/// `64KB`, `2MB`, `1GB`: a part of the name of a control file.
fn page_size(size: &str, at: &At) -> Result<()> {
    let digits = ["KB", "MB", "GB"].iter().find_map(|u| size.strip_suffix(u));
    let number = |text: &str| !text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit());
    if digits.is_some_and(|text| !text.is_empty() && number(text)) {
        return Ok(());
    }
    let cause = format!("{} is not a size such as 64KB, 2MB or 1GB", quote(size));
    Err(at.refuse("pageSize", cause))
}

fn network(network: &NetworkClass, at: &At) -> Result<()> {
    for (i, entry) in network.priorities.iter().enumerate() {
        let name = entry.name.as_str();
        if name.is_empty() || name.contains(|c: char| c == '/' || c.is_whitespace()) {
            let cause = format!("{} is not the name of an interface", quote(name));
            return Err(at.refuse(format!("priorities[{i}].name"), cause));
        }
    }
    Ok(())
}

/// A key is the name of a file in the container's cgroup, and not of one that moves processes or is the runtime's own.
fn unified(key: &str, at: &At) -> Result<()> {
    let field = format!("unified[{}]", quote(key));
    let (controller, rest) = key.split_once('.').unwrap_or(("", ""));
    if controller.is_empty() || rest.is_empty() || key.contains(['/', '\n']) {
        return Err(at.refuse(field, "is not a file name such as memory.high"));
    }
    const OURS: [&str; 6] = [
        "procs",
        "threads",
        "subtree_control",
        "kill",
        "freeze",
        "type",
    ];
    if controller == "cgroup" && OURS.contains(&rest) {
        return Err(at.refuse(field, "is written by the runtime alone"));
    }
    Ok(())
}
