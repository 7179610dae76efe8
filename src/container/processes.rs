//! The processes of a container: everything in its cgroup and below.

use super::{Entry, group};
use crate::error::{Result, quote};

/// The process ids of a container, sorted, as this pid namespace numbers them; none when it has stopped.
///
/// # Errors
/// The container has no cgroup, or that cannot be read.
pub fn processes(entry: &Entry) -> Result<Vec<i32>> {
    let doing = format!("list the processes of container {}", quote(entry.id()));
    group::open(entry.state()?.cgroup.as_ref(), &doing)?.processes()
}
