//! What all probes look at, read once before the first of them runs.

use super::descriptors;
use super::mounts::{self, Mount};
use super::seen::{self, Seen};

/// The place that a process finds itself in.
#[derive(Debug)]
pub(super) struct Scene {
    /// The numbers of the open descriptors, and what they are.
    pub(super) descriptors: Seen<Vec<(u32, String)>>,
    /// /proc/self/status.
    pub(super) status: Seen<String>,
    /// The mounts.
    pub(super) mounts: Seen<Vec<Mount>>,
}

impl Scene {
    pub(super) fn read() -> Self {
        Self {
            // First, while nothing else is open.
            descriptors: descriptors::open(),
            status: seen::text("/proc/self/status"),
            mounts: mounts::read(),
        }
    }

    /// A field of /proc/self/status.
    pub(super) fn status(&self, field: &str) -> Option<&str> {
        let lines = self.status.as_deref().ok()?.lines();
        let mut fields = lines.filter_map(|line| line.split_once(':'));
        fields
            .find(|(name, _)| *name == field)
            .map(|(_, value)| value.trim())
    }

    /// The mount that a path is on: of several at one place the last.
    pub(super) fn mount_of(&self, path: &str) -> Option<&Mount> {
        let mounts = self.mounts.as_ref().ok()?.iter();
        let above = mounts.filter(|mount| is_below(path, &mount.path));
        above.max_by_key(|mount| mount.path.len())
    }
}

/// Whether `path` is `directory` or below it.
pub(super) fn is_below(path: &str, directory: &str) -> bool {
    let directory = directory.trim_end_matches('/');
    path.strip_prefix(directory)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
