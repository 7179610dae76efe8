//! Which profile applies: `--profile`, else the config's annotation, else the name of the binary, else the
//! host's configuration, else what the verb defaults to. Reading that is `configuration`'s.

use std::collections::BTreeMap;

use super::Profile;
use crate::error::{Result, quote};

/// The annotation that asks for a stricter profile than the one that would apply.
pub const ANNOTATION: &str = "org.stockade.profile";

/// Which verbs ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Face {
    /// `create` and `run`, for the clients of a runtime.
    Oci,
    /// `launch`, for people.
    Launch,
}

/// Chooses the profile; `program` is the name that the binary was called by, `configured` the profile of the host's
/// configuration.
///
/// # Errors
/// A profile that does not exist or cannot be read, wherever its name came from.
pub fn choose(
    flag: Option<&str>,
    annotations: &BTreeMap<String, String>,
    program: &str,
    configured: Option<&str>,
    face: Face,
) -> Result<Profile> {
    if let Some(name) = flag {
        return Profile::load(name);
    }
    let profile = standing(program, configured, face)?;
    let Some(name) = annotations.get(ANNOTATION) else {
        return Ok(profile);
    };
    // Only by name: an annotation comes with the image or from whoever may start containers, and must not open files.
    let asked = Profile::builtin(name);
    match (
        asked.as_ref().and_then(Profile::strictness),
        profile.strictness(),
    ) {
        (Some(asked_for), Some(standing)) if asked_for > standing => Ok(asked.unwrap_or(profile)),
        (Some(asked_for), Some(standing)) if asked_for == standing => Ok(profile),
        _ => {
            let (name, standing) = (quote(name), quote(&profile.name));
            log::warn!(
                "annotations[\"{ANNOTATION}\"]: {name} is not stricter than {standing}, which applies"
            );
            Ok(profile)
        }
    }
}

/// What applies without a flag and an annotation.
fn standing(program: &str, configured: Option<&str>, face: Face) -> Result<Profile> {
    if let Some(profile) = program.strip_prefix("stockade-").and_then(Profile::builtin) {
        return Ok(profile);
    }
    if let Some(name) = configured {
        return Profile::load(name);
    }
    let name = match face {
        Face::Oci => "baseline",
        Face::Launch => "restricted",
    };
    Ok(Profile::builtin(name).expect("built in"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(flag: Option<&str>, annotation: Option<&str>, program: &str, face: Face) -> String {
        let annotations = annotation
            .map(|name| (ANNOTATION.to_owned(), name.to_owned()))
            .into_iter()
            .collect();
        choose(flag, &annotations, program, None, face)
            .unwrap()
            .name
    }

    #[test]
    fn flag_beats_annotation_beats_name_beats_default() {
        assert_eq!(
            chosen(
                Some("none"),
                Some("restricted"),
                "stockade-baseline",
                Face::Oci
            ),
            "none"
        );
        assert_eq!(
            chosen(None, Some("restricted"), "stockade-baseline", Face::Oci),
            "restricted"
        );
        assert_eq!(
            chosen(None, None, "stockade-restricted", Face::Oci),
            "restricted"
        );
        assert_eq!(
            chosen(None, None, "stockade-unknown", Face::Oci),
            "baseline"
        );
        assert_eq!(chosen(None, None, "stockade", Face::Launch), "restricted");
    }

    #[test]
    fn the_configuration_is_asked_after_the_name_of_the_binary() {
        let chosen = |program: &str| {
            let none = BTreeMap::new();
            choose(None, &none, program, Some("none"), Face::Oci)
                .unwrap()
                .name
        };
        assert_eq!(chosen("stockade"), "none");
        assert_eq!(chosen("stockade-restricted"), "restricted");
    }

    #[test]
    fn an_annotation_never_loosens_and_never_opens_a_file() {
        assert_eq!(
            chosen(None, Some("none"), "stockade", Face::Oci),
            "baseline"
        );
        assert_eq!(
            chosen(None, Some("/etc/passwd"), "stockade", Face::Oci),
            "baseline"
        );
    }
}
