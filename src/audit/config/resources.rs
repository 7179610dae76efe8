//! What `linux.resources` limits: memory, processors, processes.

use super::Asked;
use crate::report::Severity;

/// Below it hardly a program starts; the least that other clients accept.
const LEAST_MEMORY: i64 = 6 << 20;

pub(in crate::audit) fn memory(asked: &mut Asked) {
    let scene = asked.scene;
    let memory = scene
        .resources()
        .and_then(|resources| resources.memory.as_ref());
    let pointer = "/linux/resources/memory/limit";
    let limit = memory
        .and_then(|memory| memory.limit)
        .filter(|limit| *limit > 0);
    match limit {
        None if scene.unified("memory.max").is_some() => {}
        None => asked.found(pointer, "is not set"),
        Some(limit) if limit < LEAST_MEMORY => {
            let message = format!("{limit} bytes are less than a program needs to start");
            asked.add(asked.finding(pointer, message).severity(Severity::Medium));
        }
        Some(limit) => {
            let all = scene
                .host
                .memory
                .filter(|all| u64::try_from(limit).is_ok_and(|limit| limit >= *all));
            if let Some(all) = all {
                asked.found(
                    pointer,
                    format!("{limit} bytes are no limit here: this host has {all}"),
                );
            }
        }
    }
    if memory.and_then(|memory| memory.swap) == Some(-1) {
        let message = "swap is not limited: what is over the limit goes there";
        asked.add(
            asked
                .finding("/linux/resources/memory/swap", message)
                .severity(Severity::Medium),
        );
    }
}

/// Shares, a weight or a set of processors do as well as a quota, which makes some programs slow.
pub(in crate::audit) fn cpu(asked: &mut Asked) {
    let scene = asked.scene;
    let cpu = scene
        .resources()
        .and_then(|resources| resources.cpu.as_ref());
    let is_set = cpu.is_some_and(|cpu| {
        let has_cpus = cpu.cpus.as_ref().is_some_and(|cpus| !cpus.is_empty());
        cpu.quota.is_some_and(|quota| quota > 0)
            || cpu.shares.is_some_and(|shares| shares > 0)
            || has_cpus
    });
    let unified = ["cpu.max", "cpu.weight", "cpuset.cpus"];
    if !is_set && !unified.iter().any(|key| scene.unified(key).is_some()) {
        asked.found("/linux/resources/cpu", "neither quota nor shares are set");
    }
}

pub(in crate::audit) fn pids(asked: &mut Asked) {
    let scene = asked.scene;
    let pids = scene
        .resources()
        .and_then(|resources| resources.pids.as_ref());
    let limit = pids.and_then(|pids| pids.limit);
    let pointer = "/linux/resources/pids/limit";
    match limit {
        Some(limit) if limit >= 0 => {}
        _ if scene.unified("pids.max").is_some() => {}
        Some(limit) => asked.found(pointer, format!("{limit} is no limit")),
        None => asked.found(pointer, "is not set"),
    }
}
