//! What `linux.resources` limits.

use super::Asked;

pub(in crate::audit) fn pids(asked: &mut Asked) {
    let resources = asked
        .scene
        .config
        .linux
        .as_ref()
        .and_then(|linux| linux.resources.as_ref());
    let limit = resources
        .and_then(|resources| resources.pids.as_ref())
        .and_then(|pids| pids.limit);
    match limit {
        Some(limit) if limit > 0 => {}
        Some(limit) => drop(asked.found(
            "/linux/resources/pids/limit",
            format!("{limit} is no limit"),
        )),
        None => drop(asked.found("/linux/resources/pids/limit", "is not set")),
    }
}
