//! Which profile applies: `--profile`, else the config's annotation, else the name of the binary, else the
//! host's configuration, else what the verb defaults to. Reading that is `configuration`'s; what to choose instead where a
//! profile refuses is `advice`'s.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

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

/// Where the choice of a profile came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// `--profile`.
    Flag,
    /// The annotation [`ANNOTATION`].
    Annotation,
    /// The name that the binary was called by.
    Handler,
    /// The host's configuration.
    Configuration,
    /// What the verb defaults to.
    Default,
}

/// A profile, and how it came to be the one.
#[derive(Debug, Clone)]
pub struct Choice {
    /// The profile.
    pub profile: Profile,
    /// Where it came from.
    pub origin: Origin,
    /// The profile that would apply without the annotation, by name.
    pub(super) standing: String,
    /// The profile behind the plain handler, `stockade`: a name, or a path.
    pub(super) plain: String,
    /// Which verbs asked.
    pub(super) face: Face,
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
) -> Result<Choice> {
    let (standing, origin) = match flag {
        Some(name) => (Profile::load(name)?, Origin::Flag),
        None => standing(program, configured, face)?,
    };
    let mut choice = Choice {
        standing: standing.name.clone(),
        profile: standing,
        origin,
        plain: configured.unwrap_or("baseline").to_owned(),
        face,
    };
    if let (None, Some(name)) = (flag, annotations.get(ANNOTATION)) {
        choice.annotated(name);
    }
    Ok(choice)
}

impl Choice {
    /// Only by name: an annotation comes with the image or from whoever may start containers, and must not open files.
    fn annotated(&mut self, name: &str) {
        let asked = Profile::builtin(name);
        match (
            asked.as_ref().and_then(Profile::strictness),
            self.profile.strictness(),
        ) {
            (Some(asked_for), Some(standing)) if asked_for > standing => {
                self.profile = asked.expect("its strictness is known");
                self.origin = Origin::Annotation;
            }
            (Some(asked_for), Some(standing)) if asked_for == standing => {}
            _ => {
                let (name, standing) = (quote(name), quote(&self.profile.name));
                log::warn!(
                    "annotations[\"{ANNOTATION}\"]: {name} is not stricter than {standing}, which applies"
                );
            }
        }
    }
}

/// What applies without a flag and an annotation.
fn standing(program: &str, configured: Option<&str>, face: Face) -> Result<(Profile, Origin)> {
    if let Some(profile) = program.strip_prefix("stockade-").and_then(Profile::builtin) {
        return Ok((profile, Origin::Handler));
    }
    if let Some(name) = configured {
        return Ok((Profile::load(name)?, Origin::Configuration));
    }
    let name = match face {
        Face::Oci => "baseline",
        Face::Launch => "restricted",
    };
    let profile = Profile::builtin(name).expect("built in");
    Ok((profile, Origin::Default))
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
            .profile
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
                .profile
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
        let stricter = |name| chosen(None, Some(name), "stockade-restricted", Face::Oci);
        assert_eq!(
            ["baseline", "paranoid"].map(stricter),
            ["restricted", "paranoid"]
        );
        assert_eq!(
            chosen(None, Some("/etc/passwd"), "stockade", Face::Oci),
            "baseline"
        );
    }
}
