//! Under which profile a recording was made: two are merged only if that is the same one, since what the recording does not
//! have itself is the profile's. Which of its rules a recording keeps is `kept`'s.

use crate::error::{Error, Result, quote};
use crate::profile::{Action, Profile, SeccompRules, compare};

const UNDER: &str = "Recorded under ";
const SEEN: &str = ": what was seen, and no more";

/// The description of a recording that was made under `base`.
pub(super) fn description(base: &Profile) -> String {
    format!("{UNDER}{}{SEEN}", base.name)
}

/// The default action of a recording that was made under rules with this one.
pub(super) fn default_action(base: &SeccompRules) -> Action {
    match base.default_action {
        Action::KillProcess => Action::KillProcess,
        _ => Action::Errno,
    }
}

/// Checks that `old` was made under `base`, and that nobody has changed it since but where a recording has its own.
///
/// # Errors
/// Another profile, by its name or by what it demands.
pub fn made_under(old: &Profile, base: &Profile) -> Result<()> {
    let doing = || format!("merge the recording {}", quote(&old.name));
    let name = quote(&base.name);
    let under = old.description.strip_prefix(UNDER);
    let under = under.and_then(|rest| rest.strip_suffix(SEEN));
    if let Some(other) = under.filter(|other| *other != base.name) {
        let other = quote(other);
        let cause = format!("it was made under profile {other}, and this run is under {name}");
        return Err(Error::new(doing(), cause)
            .hint(format!("record under profile {other}, or without --merge")));
    }
    let wanted = without_own(base, default_action);
    let found = without_own(old, |rules| rules.default_action);
    match compare(&wanted, &found)?.first() {
        None => Ok(()),
        Some(change) => {
            let cause = format!("what it demands is not what profile {name} does: {change}");
            Err(Error::new(doing(), cause).hint("record without --merge"))
        }
    }
}

/// A profile without what a recording has of its own.
fn without_own(profile: &Profile, default: impl Fn(&SeccompRules) -> Action) -> Profile {
    let mut profile = profile.clone();
    profile.limits.memory.default = None;
    profile.limits.pids.default = None;
    if let Some(rules) = &mut profile.seccomp {
        rules.default_action = default(rules);
        rules.rules = Vec::new();
    }
    profile
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::Recording;

    fn recorded(base: &str) -> Profile {
        let base = Profile::builtin(base).unwrap();
        Recording::default().profile(&base, "old", None).unwrap()
    }

    #[test]
    fn a_recording_is_merged_under_its_own_profile_alone() {
        for base in ["baseline", "restricted", "paranoid"] {
            made_under(&recorded(base), &Profile::builtin(base).unwrap()).unwrap();
        }
        let error = made_under(
            &recorded("baseline"),
            &Profile::builtin("restricted").unwrap(),
        );
        let error = error.unwrap_err();
        assert_eq!(
            error.to_string(),
            "merge the recording \"old\": it was made under profile \"baseline\", and this run is under \"restricted\""
        );
        assert_eq!(
            error.try_this(),
            Some("record under profile \"baseline\", or without --merge")
        );
    }

    #[test]
    fn a_recording_that_demands_something_else_than_its_profile_is_not_merged() {
        let base = Profile::builtin("restricted").unwrap();
        let refused = |change: fn(&mut Profile)| {
            let mut old = recorded("restricted");
            change(&mut old);
            made_under(&old, &base).unwrap_err().to_string()
        };
        let demands = "merge the recording \"old\": what it demands is not what profile \"restricted\" does: ";
        assert_eq!(
            refused(|old| old.root.readonly = false),
            format!("{demands}root.readonly: looser: true -> false")
        );
        assert_eq!(
            refused(|old| old.limits.pids.maximum = Some(crate::profile::Quantity::Number(9))),
            format!("{demands}limits.pids.maximum: stricter: anything -> 9")
        );
        assert!(
            refused(|old| old.seccomp.as_mut().unwrap().default_action = Action::Allow)
                .starts_with(&format!("{demands}seccomp"))
        );
    }

    #[test]
    fn its_own_limits_and_its_name_do_not_matter() {
        let mut old = recorded("restricted");
        old.name = "other".to_owned();
        old.limits.memory.default = Some(crate::profile::Quantity::Number(1));
        made_under(&old, &Profile::builtin("restricted").unwrap()).unwrap();
    }
}
