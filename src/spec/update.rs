//! Resources that change others: what holds afterwards, and which fields must be applied together.
//! As in what clients send, a 0 where 0 makes no sense means that the field is not given (see `cgroup::settings`).

use super::read::without_nulls;
use super::{
    At, BlockIo, Cpu, Memory, NetworkClass, Resources, ThrottleDevice, WeightDevice, check,
};
use crate::error::Result;

/// Reads and checks a `linux.resources` by itself; `file` is its name for messages.
///
/// # Errors
/// `"FILE": FIELD: cause` for the first thing that is wrong.
pub fn parse_resources(text: &[u8], file: &str) -> Result<Resources> {
    let (_, resources) = without_nulls::<Resources>(text, file)?;
    check::resources(&resources, &At::top(file))?;
    Ok(resources)
}

impl Resources {
    /// What holds once `change` is applied; what it does not give stays, and so do device rules.
    #[must_use]
    pub fn changed_by(&self, change: &Self) -> Self {
        let mut all = self.clone();
        if let Some(new) = &change.memory {
            memory(all.memory.get_or_insert_default(), new);
        }
        if let Some(new) = &change.cpu {
            cpu(all.cpu.get_or_insert_default(), new);
        }
        if let Some(new) = change.pids.as_ref().and_then(|pids| pids.limit) {
            all.pids.get_or_insert_default().limit = Some(new);
        }
        if let Some(new) = &change.block_io {
            block_io(all.block_io.get_or_insert_default(), new);
        }
        if let Some(new) = &change.network {
            network(all.network.get_or_insert_default(), new);
        }
        for new in &change.hugepage_limits {
            put(&mut all.hugepage_limits, new, |a, b| {
                a.page_size == b.page_size
            });
        }
        all.rdma.extend(change.rdma.clone());
        all.unified.extend(change.unified.clone());
        all
    }

    /// `self` as a change that leads to `all`, with the fields that the kernel can only take, or that only mean something,
    /// together with those that are given.
    #[must_use]
    pub fn with_companions(&self, all: &Self) -> Self {
        let mut change = self.clone();
        change.devices.clear();
        if let (Some(new), Some(all)) = (&mut change.memory, &all.memory)
            && (given(new.limit) || given(new.swap))
        {
            (new.limit, new.swap) = (all.limit, all.swap);
        }
        if let (Some(new), Some(all)) = (&mut change.cpu, &all.cpu) {
            cpu_companions(new, all);
        }
        change
    }
}

fn given<N: PartialEq + From<u8>>(number: Option<N>) -> bool {
    number.is_some_and(|number| number != N::from(0))
}

fn replace<N: PartialEq + From<u8> + Copy>(old: &mut Option<N>, new: Option<N>) {
    if given(new) {
        *old = new;
    }
}

fn replace_any<T: Clone>(old: &mut Option<T>, new: Option<&T>) {
    if new.is_some() {
        *old = new.cloned();
    }
}

/// Replaces the one that is about the same, else adds.
fn put<T: Clone>(list: &mut Vec<T>, new: &T, is_same: impl Fn(&T, &T) -> bool) {
    match list.iter_mut().find(|old| is_same(old, new)) {
        Some(old) => *old = new.clone(),
        None => list.push(new.clone()),
    }
}

fn memory(old: &mut Memory, new: &Memory) {
    replace(&mut old.limit, new.limit);
    replace(&mut old.swap, new.swap);
    // Memory is a part of what swap limits: without a limit of the one there is none of the other.
    if new.limit == Some(-1) && !given(new.swap) {
        old.swap = None;
    }
    replace(&mut old.reservation, new.reservation);
    replace(&mut old.kernel, new.kernel);
    replace(&mut old.kernel_tcp, new.kernel_tcp);
    replace_any(&mut old.swappiness, new.swappiness.as_ref());
    replace_any(&mut old.disable_oom_killer, new.disable_oom_killer.as_ref());
    replace_any(&mut old.use_hierarchy, new.use_hierarchy.as_ref());
}

fn cpu(old: &mut Cpu, new: &Cpu) {
    replace(&mut old.shares, new.shares);
    replace(&mut old.quota, new.quota);
    replace(&mut old.period, new.period);
    replace(&mut old.realtime_runtime, new.realtime_runtime);
    replace(&mut old.realtime_period, new.realtime_period);
    replace_any(&mut old.burst, new.burst.as_ref());
    replace_any(&mut old.idle, new.idle.as_ref());
    let list = |list: &Option<String>| list.clone().filter(|list| !list.is_empty());
    replace_any(&mut old.cpus, list(&new.cpus).as_ref());
    replace_any(&mut old.mems, list(&new.mems).as_ref());
}

/// v2 has quota and period in one file; a burst is within its quota; an idle group has no shares.
fn cpu_companions(new: &mut Cpu, all: &Cpu) {
    if given(new.quota) || given(new.period) || new.burst.is_some() {
        (new.quota, new.period, new.burst) = (all.quota, all.period, all.burst);
    }
    if given(new.realtime_runtime) || given(new.realtime_period) {
        new.realtime_runtime = all.realtime_runtime;
        new.realtime_period = all.realtime_period;
    }
    if given(new.shares) || new.idle.is_some() {
        (new.shares, new.idle) = (all.shares, all.idle);
    }
}

fn block_io(old: &mut BlockIo, new: &BlockIo) {
    replace(&mut old.weight, new.weight);
    replace(&mut old.leaf_weight, new.leaf_weight);
    let is_same = |a: &WeightDevice, b: &WeightDevice| (a.major, a.minor) == (b.major, b.minor);
    for device in &new.weight_device {
        put(&mut old.weight_device, device, is_same);
    }
    let is_same = |a: &ThrottleDevice, b: &ThrottleDevice| (a.major, a.minor) == (b.major, b.minor);
    for (old, new) in [
        (
            &mut old.throttle_read_bps_device,
            &new.throttle_read_bps_device,
        ),
        (
            &mut old.throttle_write_bps_device,
            &new.throttle_write_bps_device,
        ),
        (
            &mut old.throttle_read_iops_device,
            &new.throttle_read_iops_device,
        ),
        (
            &mut old.throttle_write_iops_device,
            &new.throttle_write_iops_device,
        ),
    ] {
        new.iter().for_each(|device| put(old, device, is_same));
    }
}

fn network(old: &mut NetworkClass, new: &NetworkClass) {
    replace_any(&mut old.class_id, new.class_id.as_ref());
    for priority in &new.priorities {
        put(&mut old.priorities, priority, |a, b| a.name == b.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resources(text: &str) -> Resources {
        parse_resources(text.as_bytes(), "test").unwrap()
    }

    /// What holds and what is applied, as JSON.
    fn update(before: &str, change: &str) -> (String, String) {
        let change = resources(change);
        let all = resources(before).changed_by(&change);
        let json = |resources: &Resources| serde_json::to_string(resources).unwrap();
        (json(&all), json(&change.with_companions(&all)))
    }

    #[test]
    fn what_is_not_given_or_zero_stays() {
        let before =
            r#"{"memory":{"limit":8192,"swap":16384},"cpu":{"shares":512},"pids":{"limit":5}}"#;
        let zeros = r#"{"memory":{"limit":0,"swap":0},"cpu":{"shares":0,"quota":0,"cpus":""},"blockIO":{"weight":0}}"#;
        let (all, _) = update(before, zeros);
        assert_eq!(
            all,
            r#"{"memory":{"limit":8192,"swap":16384},"cpu":{"shares":512},"pids":{"limit":5},"blockIO":{}}"#
        );
        assert_eq!(update(before, "{}"), (before.to_owned(), "{}".to_owned()));
    }

    #[test]
    fn memory_and_swap_are_applied_together() {
        let before = r#"{"memory":{"limit":8192,"swap":16384,"reservation":4096}}"#;
        let (all, applied) = update(before, r#"{"memory":{"limit":12288}}"#);
        assert_eq!(
            all,
            r#"{"memory":{"limit":12288,"reservation":4096,"swap":16384}}"#
        );
        assert_eq!(applied, r#"{"memory":{"limit":12288,"swap":16384}}"#);
        let (all, applied) = update(before, r#"{"memory":{"limit":-1}}"#);
        assert_eq!(all, r#"{"memory":{"limit":-1,"reservation":4096}}"#);
        assert_eq!(applied, r#"{"memory":{"limit":-1}}"#);
        let (_, applied) = update(before, r#"{"memory":{"reservation":1024}}"#);
        assert_eq!(applied, r#"{"memory":{"reservation":1024}}"#);
    }

    #[test]
    fn quota_and_period_are_applied_together() {
        let before = r#"{"cpu":{"shares":512,"quota":50000,"period":100000,"idle":1}}"#;
        let (all, applied) = update(before, r#"{"cpu":{"period":200000}}"#);
        assert_eq!(
            all,
            r#"{"cpu":{"shares":512,"quota":50000,"period":200000,"idle":1}}"#
        );
        assert_eq!(applied, r#"{"cpu":{"quota":50000,"period":200000}}"#);
        let (_, applied) = update(before, r#"{"cpu":{"idle":0}}"#);
        assert_eq!(applied, r#"{"cpu":{"shares":512,"idle":0}}"#);
        let (_, applied) = update(before, r#"{"cpu":{"shares":100}}"#);
        assert_eq!(applied, r#"{"cpu":{"shares":100,"idle":1}}"#);
    }

    #[test]
    fn lists_are_changed_entry_by_entry() {
        let before = r#"{"devices":[{"allow":false,"access":"rwm"}],
            "blockIO":{"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":1}]},"unified":{"memory.high":"1"}}"#;
        let change = r#"{"devices":[{"allow":true,"access":"rwm"}],"blockIO":{"throttleReadBpsDevice":[
            {"major":8,"minor":0,"rate":2},{"major":8,"minor":16,"rate":3}]},"unified":{"memory.low":"2"}}"#;
        let (all, applied) = update(before, change);
        assert_eq!(
            all,
            concat!(
                r#"{"devices":[{"allow":false,"access":"rwm"}],"blockIO":{"throttleReadBpsDevice":["#,
                r#"{"major":8,"minor":0,"rate":2},{"major":8,"minor":16,"rate":3}]},"#,
                r#""unified":{"memory.high":"1","memory.low":"2"}}"#
            )
        );
        assert!(!applied.contains("devices\""), "{applied}");
    }

    #[test]
    fn wrong_resources_are_refused_by_field() {
        let error = |text: &str| {
            parse_resources(text.as_bytes(), "-")
                .unwrap_err()
                .to_string()
        };
        let expected = r#""-": memory.limit: -2 is negative, only -1 (no limit) may be"#;
        assert_eq!(error(r#"{"memory":{"limit":-2}}"#), expected);
        assert_eq!(error(""), r#""-": is empty"#);
    }
}
