//! What is known of one container: [`State`] on disk, [`Status`] as found, [`StateDocument`] as the specification shows it
//! (runtime.md, "State").

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::{Entry, group, process};
use crate::cgroup::Location;
use crate::profile::{Change, Limits, Origin};
use crate::spec::Config;

/// The socket on which a created container waits for `start`, in its state directory.
pub const START_SOCKET: &str = "start.sock";

/// How far `create` has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// `create` is at work, or was killed.
    Creating,
    /// `create` has finished.
    Created,
}

/// state.json: everything the later verbs need, none of it read from the bundle again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// Version of the specification.
    pub oci_version: String,
    /// The container's id.
    pub id: String,
    /// The bundle, absolute.
    pub bundle: PathBuf,
    /// Process id of the container's init in our pid namespace; 0 before the clone.
    pub pid: i32,
    /// When that process started, in clock ticks since boot.
    pub start_time: u64,
    /// How far `create` has come.
    pub phase: Phase,
    /// When `create` began, by RFC 3339 in UTC.
    pub created: String,
    /// Annotations: those of the config, and what they say of the profile (`profile::annotate`).
    pub annotations: BTreeMap<String, String>,
    /// Who created it: a user's name, or `#` and the id.
    pub owner: String,
    /// The root filesystem, absolute.
    pub root: PathBuf,
    /// The configuration as applied.
    pub config: Config,
    /// Where the container's cgroup is.
    pub cgroup: Option<Location>,
    /// The plan's lines, so that `start` can name a failing step.
    pub plan: Vec<String>,
    /// How many seccomp filters the plan installs.
    pub filters: usize,
    /// The profile's name.
    pub profile: String,
    /// The profile's limits: what `update` may raise them to.
    pub limits: Limits,
    /// How the profile was chosen.
    pub chosen_by: Origin,
    /// What the profile changed, as far as `update` has not changed it since.
    pub changes: Vec<Change>,
}

/// The container's status (runtime.md, "State"); `Paused` is an addition that runc's clients know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// `create` is at work.
    Creating,
    /// Waiting for `start`.
    Created,
    /// The program runs.
    Running,
    /// The process has ended.
    Stopped,
    /// The process is frozen, be it the program or still waiting for `start`.
    Paused,
}

impl Status {
    /// The specification's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Paused => "paused",
        }
    }
}

impl State {
    /// What the container is doing right now.
    pub fn status(&self, entry: &Entry) -> Status {
        let alive = process::is_alive(self.pid, self.start_time);
        match self.phase {
            // A creator holds the lock; without one its child has lost the socket and is about to end.
            Phase::Creating if entry.is_locked() => Status::Creating,
            Phase::Creating => Status::Stopped,
            Phase::Created if !alive => Status::Stopped,
            Phase::Created if group::is_frozen(self.cgroup.as_ref()) => Status::Paused,
            Phase::Created if entry.holds(START_SOCKET) => Status::Created,
            Phase::Created => Status::Running,
        }
    }

    /// The state as hooks get it: the specification's members alone.
    pub fn for_hooks(&self, status: Status) -> StateDocument {
        StateDocument {
            oci_version: self.oci_version.clone(),
            id: self.id.clone(),
            pid: if status == Status::Stopped {
                0
            } else {
                self.pid
            },
            status,
            bundle: self.bundle.clone(),
            rootfs: None,
            created: None,
            annotations: self.annotations.clone(),
            owner: None,
        }
    }

    /// The state as `state` and `list` print it.
    pub fn document(&self, status: Status) -> StateDocument {
        StateDocument {
            rootfs: Some(self.root.clone()),
            created: Some(self.created.clone()),
            owner: Some(self.owner.clone()),
            ..self.for_hooks(status)
        }
    }
}

/// The specification's state document, with runc's additions, in runc's order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StateDocument {
    /// Version of the specification.
    pub oci_version: String,
    /// The container's id.
    pub id: String,
    /// Process id; 0 when stopped.
    pub pid: i32,
    /// The status.
    pub status: Status,
    /// The bundle, absolute.
    pub bundle: PathBuf,
    /// The root filesystem, absolute; not for hooks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rootfs: Option<PathBuf>,
    /// When `create` began; not for hooks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Who created it; not for hooks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}

/// Formats a time by RFC 3339 in UTC with nanoseconds: `2026-11-25T12:36:41.000000001Z`.
pub fn timestamp(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, seconds) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let nanoseconds = since.subsec_nanos();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanoseconds:09}Z")
}

/// Year, month and day of a day counted from 1970-01-01. Years begin in March here, which puts the leap day last, and
/// 719,468 days lie between 0000-03-01 and 1970-01-01.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // From March on, months come in runs of five with 153 days.
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::*;

    pub(in crate::container) fn sample(id: &str) -> State {
        State {
            oci_version: "1.3.0".into(),
            id: id.into(),
            bundle: "/bundle".into(),
            pid: 0,
            start_time: 0,
            phase: Phase::Created,
            created: timestamp(UNIX_EPOCH),
            annotations: BTreeMap::from([("a".into(), "b".into())]),
            owner: "root".into(),
            root: "/bundle/rootfs".into(),
            config: serde_json::from_str(r#"{"ociVersion":"1.3.0"}"#).unwrap(),
            cgroup: None,
            plan: vec!["mount".into()],
            filters: 0,
            profile: "none".into(),
            limits: Limits::default(),
            chosen_by: Origin::Default,
            changes: Vec::new(),
        }
    }

    #[test]
    fn state_survives_a_round_trip() {
        let state = sample("a");
        let text = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<State>(&text).unwrap(), state);
    }

    #[test]
    fn the_document_has_the_members_in_the_order_of_runc() {
        let text = serde_json::to_string(&sample("a").document(Status::Stopped)).unwrap();
        let expected = concat!(
            r#"{"ociVersion":"1.3.0","id":"a","pid":0,"status":"stopped","bundle":"/bundle","#,
            r#""rootfs":"/bundle/rootfs","created":"1970-01-01T00:00:00.000000000Z","#,
            r#""annotations":{"a":"b"},"owner":"root"}"#
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn hooks_get_the_members_of_the_specification_alone() {
        let text = serde_json::to_string(&sample("a").for_hooks(Status::Creating)).unwrap();
        let expected = concat!(
            r#"{"ociVersion":"1.3.0","id":"a","pid":0,"status":"creating","bundle":"/bundle","#,
            r#""annotations":{"a":"b"}}"#
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn timestamps_know_leap_years() {
        let at = |seconds| timestamp(UNIX_EPOCH + Duration::new(seconds, 5));
        assert_eq!(at(0), "1970-01-01T00:00:00.000000005Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00.000000005Z");
        assert_eq!(at(1_709_251_199), "2024-02-29T23:59:59.000000005Z");
        assert_eq!(at(1_709_251_200), "2024-03-01T00:00:00.000000005Z");
        assert_eq!(at(4_107_542_399), "2100-02-28T23:59:59.000000005Z");
        assert_eq!(at(4_107_542_400), "2100-03-01T00:00:00.000000005Z");
    }
}
