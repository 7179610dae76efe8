//! The section `[Service]` of a unit of systemd (systemd.exec(5), systemd.resource-control(5)) as a profile that permits
//! what the service has. Writing one is in `systemd`, what filters system calls in `systemd_calls`.

use crate::error::{Error, Result, quote};
use crate::names::CAPABILITIES;
use crate::profile::compare::Direction::Different;
use crate::profile::format::{Capabilities, Flag, OnConflict, Profile, Verdict};

use super::calls::{Calls, EPERM};
use super::systemd_calls::Listed;
use super::systemd_protect::devices;
use super::systemd_settings::{
    APART,
    Counts::{Each, Last},
    Directive, TABLE,
};
use super::{
    Converted,
    Fate::{self, Lost, Reads},
    Losses, Reading, finish, nothing,
};

/// What settings say together.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) calls: Calls,
    pub(super) listed: Listed,
    pub(super) error: Option<super::calls::Answer>,
    /// `CapabilityBoundingSet`; all until it is assigned.
    pub(super) bounding: Option<Vec<String>>,
    pub(super) without: Vec<&'static str>,
    pub(super) refused_groups: Vec<&'static str>,
    pub(super) refused_calls: Vec<&'static str>,
    pub(super) families: Option<(Sign, Vec<u64>)>,
    pub(super) namespaces: u64,
    pub(super) limits: Vec<fn(&mut Calls)>,
    pub(super) device_allow: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    Only,
    Not,
}

pub(super) type Unit = Reading<Seen>;

/// Reads a unit's file, or a drop-in.
///
/// # Errors
/// A line that is no section and no assignment; a value that systemd would not take.
pub fn from_systemd(name: &str, text: &str) -> Result<Converted<Profile>> {
    let mut unit = Unit::new(service(), Seen::default());
    let assignments = assignments(text)?;
    let mut seen: Vec<&str> = Vec::new();
    for (key, _) in &assignments {
        if seen.contains(&key.as_str()) {
            continue;
        }
        seen.push(key);
        let all = assignments.iter().filter(|(other, _)| other == key);
        let all: Vec<&str> = all.map(|(_, value)| value.as_str()).collect();
        let from = all.iter().rposition(|value| value.is_empty()).unwrap_or(0);
        read(&mut unit, key, &all[from..])?;
    }
    together(&mut unit);
    let Unit {
        mut profile,
        losses,
        state,
    } = unit;
    profile.seccomp = state.calls.rules();
    finish(name, "a unit of systemd", profile, losses)
}

/// A service without a setting: the kernel's filesystems are as systemd mounts them for the host.
fn service() -> Profile {
    let mut profile = nothing();
    profile.namespaces.net_devices = Verdict::Refuse;
    profile.mounts.kernel.add = vec![Flag::Nosuid, Flag::Nodev, Flag::Noexec];
    profile
}

/// Keys and values of `[Service]`, with lines that go on joined.
fn assignments(text: &str) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    let mut section = String::new();
    let mut lines = text.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|line| line.strip_suffix(']'))
        {
            name.clone_into(&mut section);
            continue;
        }
        let mut whole = line.to_owned();
        while whole.ends_with('\\') {
            whole.truncate(whole.len() - 1);
            let next = lines.find(|(_, line)| !line.trim_start().starts_with(['#', ';']));
            let Some((_, next)) = next else { break };
            whole.push(' ');
            whole.push_str(next.trim());
        }
        let Some((key, value)) = whole.split_once('=') else {
            let doing = format!("read a unit: line {}", at + 1);
            return Err(Error::new(
                doing,
                format!("{} is no assignment", quote(&whole)),
            ));
        };
        if section == "Service" {
            found.push((key.trim().to_owned(), value.trim().to_owned()));
        }
    }
    if !text.contains("[Service]") {
        return Err(Error::new("read a unit", "it has no section [Service]"));
    }
    Ok(found)
}

fn read(unit: &mut Unit, key: &str, values: &[&str]) -> Result<()> {
    let Some(Directive(_, counts, fate)) = TABLE.iter().find(|known| known.0 == key) else {
        let is_apart = APART.iter().any(|known| match known.strip_suffix('*') {
            Some(start) => key.starts_with(start),
            None => key == *known,
        });
        if !is_apart {
            unit.losses
                .add(key, Different, "not a setting that is known here");
        }
        return Ok(());
    };
    let last = values.last().copied().unwrap_or_default();
    match (fate, counts) {
        (Fate::Apart, _) => Ok(()),
        (Lost(direction, why), _) => {
            if !values.iter().all(|value| is_off(value)) {
                unit.losses.add(key, *direction, *why);
            }
            Ok(())
        }
        (Reads(_), Last) if last.is_empty() => Ok(()),
        (Reads(read), Last) => read(unit, last).map_err(|cause| of(key, cause)),
        (Reads(read), Each) => values
            .iter()
            .try_for_each(|value| read(unit, value))
            .map_err(|cause| of(key, cause)),
    }
}

fn of(key: &str, cause: Error) -> Error {
    Error::new(format!("Service.{key}"), cause)
}

fn is_off(value: &str) -> bool {
    [
        "", "no", "false", "off", "0", "n", "f", "infinity", "default", "inherit",
    ]
    .contains(&value)
}

fn together(unit: &mut Unit) {
    let Seen {
        calls,
        listed,
        error,
        families,
        limits,
        refused_groups,
        refused_calls,
        namespaces,
        ..
    } = &mut unit.state;
    let listed = std::mem::take(listed);
    told(&mut unit.losses, &listed);
    listed.apply(calls, *error);
    for limit in limits.iter() {
        limit(calls);
    }
    for name in refused_groups.iter() {
        calls.refuse_group(name);
    }
    for name in refused_calls.iter() {
        calls.refuse(name, EPERM);
    }
    calls.restrict_namespaces(*namespaces);
    match families.take() {
        Some((Sign::Only, families)) => calls.allow_families(&families),
        Some((Sign::Not, families)) => calls.refuse_families(&families),
        None => {}
    }
    if unit.state.bounding.is_some() || !unit.state.without.is_empty() {
        let all = || CAPABILITIES.map(str::to_owned).to_vec();
        let mut allow = unit.state.bounding.take().unwrap_or_else(all);
        allow.retain(|name| !unit.state.without.contains(&name.as_str()));
        unit.profile.capabilities = Some(Capabilities {
            allow,
            on_conflict: OnConflict::Tighten,
        });
    }
    devices(unit);
}

fn told(losses: &mut Losses, listed: &Listed) {
    for name in &listed.unknown {
        let why = format!("{}: no such group is known here", quote(name));
        losses.add("SystemCallFilter", Different, why);
    }
    for error in &listed.errors {
        let why = format!("EPERM stands in for {}", quote(error));
        losses.add("SystemCallFilter", Different, why);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::filter::filter as compiled;
    use crate::profile::region::answers;
    use crate::spec::SeccompAction;

    fn of(settings: &str) -> Converted<Profile> {
        from_systemd("x", &format!("[Service]\n{settings}\n")).unwrap()
    }

    /// `allow`, an error or `kill`, or `by arguments`.
    fn answer(settings: &str, call: &str) -> String {
        let rules = of(settings).result.seccomp;
        let filter = rules.as_ref().map(compiled);
        match answers(filter.as_ref(), call).unwrap()[..] {
            [((SeccompAction::Allow, _), _)] => "allow".to_owned(),
            [((_, Some(errno)), _)] => errno.to_string(),
            [((_, None), _)] => "kill".to_owned(),
            _ => "by arguments".to_owned(),
        }
    }

    #[test]
    fn lists_add_up_and_are_reset_by_an_empty_assignment() {
        let allow = |settings: &str| {
            of(settings)
                .result
                .capabilities
                .map(|section| section.allow)
        };
        assert_eq!(allow("CapabilityBoundingSet="), Some(Vec::new()));
        let two = "CapabilityBoundingSet=CAP_CHOWN \\\n  CAP_KILL\nCapabilityBoundingSet=~CAP_KILL";
        assert_eq!(allow(two), Some(vec!["CAP_CHOWN".to_owned()]));
        let reset = "CapabilityBoundingSet=CAP_KILL\nCapabilityBoundingSet=\nCapabilityBoundingSet=CAP_CHOWN";
        assert_eq!(allow(reset), Some(vec!["CAP_CHOWN".to_owned()]));
        assert_eq!(allow("CapabilityBoundingSet=~CAP_KILL").unwrap().len(), 40);
        assert_eq!(allow("PrivateDevices=yes").unwrap().len(), 39);
        assert_eq!(allow("NoNewPrivileges=yes"), None);
    }

    #[test]
    fn filters_answer_as_systemd_s() {
        let listed = "SystemCallFilter=@system-service\nSystemCallFilter=~@privileged chmod:EACCES\nSystemCallErrorNumber=EPERM";
        assert_eq!(answer(listed, "read"), "allow");
        assert_eq!(answer(listed, "chmod"), "13");
        assert_eq!(answer(listed, "setuid"), "1");
        assert_eq!(answer(listed, "mount"), "1");
        assert_eq!(answer("SystemCallFilter=read", "mount"), "kill");
        assert_eq!(answer("SystemCallFilter=read", "execve"), "allow");
        assert_eq!(answer("SystemCallFilter=~mount:ENOSYS", "mount"), "38");
        assert_eq!(answer("SystemCallFilter=~mount", "read"), "allow");
        assert_eq!(
            answer("SystemCallFilter=read\nSystemCallFilter=\n", "mount"),
            "allow"
        );
    }

    #[test]
    fn settings_about_arguments_are_kept_in_both_kinds_of_filters() {
        for filter in ["", "SystemCallFilter=@system-service"] {
            for (setting, call) in [
                ("MemoryDenyWriteExecute=yes", "mmap"),
                ("RestrictSUIDSGID=yes", "openat"),
                ("LockPersonality=yes", "personality"),
                ("RestrictNamespaces=yes", "clone"),
                ("RestrictAddressFamilies=AF_UNIX", "socket"),
                ("RestrictAddressFamilies=~AF_ALG", "socket"),
                ("RestrictRealtime=yes", "sched_setscheduler"),
            ] {
                let settings = format!("{filter}\n{setting}");
                assert_eq!(answer(&settings, call), "by arguments", "{settings}");
            }
        }
        assert_eq!(answer("RestrictNamespaces=yes", "setns"), "1");
        assert_eq!(answer("RestrictNamespaces=yes", "clone3"), "38");
        assert_eq!(answer("RestrictAddressFamilies=none", "socket"), "1");
        assert_eq!(
            answer(
                "SystemCallFilter=~socket\nRestrictAddressFamilies=AF_UNIX",
                "socket"
            ),
            "kill"
        );
    }

    #[test]
    fn what_is_not_carried_over_is_said() {
        let losses = |settings: &str| -> Vec<String> {
            let losses = of(settings).losses;
            losses.iter().map(ToString::to_string).collect()
        };
        assert_eq!(
            losses("ExecStart=/bin/true\nMemoryHigh=infinity\nKeyringMode="),
            Vec::<String>::new()
        );
        assert_eq!(
            losses(
                "MemoryHigh=1G\nPrivateFoo=yes\nSystemCallErrorNumber=EUCLEAN\nDeviceAllow=/dev/fuse rw"
            ),
            [
                "not carried over: MemoryHigh: looser: a profile has no soft limits",
                "not carried over: PrivateFoo: different: not a setting that is known here",
                "not carried over: SystemCallErrorNumber: different: EPERM stands in for \"EUCLEAN\"",
                "not carried over: DeviceAllow: stricter: \"/dev/fuse\": its number is not known here, so it is not allowed",
            ]
        );
    }

    #[test]
    fn wrong_values_are_errors_with_their_setting() {
        let refused = |settings: &str| {
            let unit = format!("[Service]\n{settings}\n");
            from_systemd("x", &unit).unwrap_err().to_string()
        };
        assert_eq!(
            refused("NoNewPrivileges=maybe"),
            "Service.NoNewPrivileges: \"maybe\": not yes or no"
        );
        assert_eq!(
            refused("Restart"),
            "read a unit: line 2: \"Restart\" is no assignment"
        );
        assert_eq!(
            from_systemd("x", "[Unit]\n").unwrap_err().to_string(),
            "read a unit: it has no section [Service]"
        );
    }
}
