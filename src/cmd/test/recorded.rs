//! `--against-recording`: whether a profile allows what a recording has done. How that is compared is `profile::compare`'s.

use std::path::Path;

use crate::cmd::Global;
use crate::error::{Error, Result, quote};
use crate::profile::{FieldChange, Profile, beyond};
use crate::report::Severity;
use crate::report::checks::{Check, Outcome, Place};

/// A check for each field in which the recording needs more; one that passed where there is none.
pub(super) fn checks(global: &Global, path: &Path) -> Result<Vec<Check>> {
    let Some(name) = &global.profile else {
        let error = Error::new(
            "use --against-recording",
            "it needs a profile to hold against it",
        );
        return Err(error.hint("name it with --profile"));
    };
    let profile = Profile::load(name)?;
    // By its path, whatever it is called: never a built-in profile.
    let recorded = Profile::load(&Path::new(".").join(path).to_string_lossy())?;
    let needed = beyond(&recorded, &profile)?;
    let place = Place::file(path.to_string_lossy());
    let passed = Check {
        id: "recording".to_owned(),
        group: "Recording",
        title: format!("profile {} allows what was recorded", quote(&profile.name)),
        severity: Severity::High,
        outcome: Outcome::Pass,
        wanted: String::new(),
        got: "nothing more is needed".to_owned(),
        place: Some(place),
        help: String::new(),
        facts: Vec::new(),
    };
    let failed = |change: &FieldChange| Check {
        title: change.field.clone(),
        outcome: Outcome::Fail,
        wanted: format!("no more than profile {} allows", quote(&profile.name)),
        got: change.to_string(),
        help: "allow it in the profile, or record anew what the program does".to_owned(),
        ..passed.clone()
    };
    Ok(match needed.as_slice() {
        [] => vec![passed],
        needed => needed.iter().map(failed).collect(),
    })
}
