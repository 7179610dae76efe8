//! What to do about a refusal: the strictest looser profile that takes the config, and the way to choose it.
//! A client shows its user one line of ours, so the way out must be in it.

use super::choose::{ANNOTATION, Choice, Face, Origin};
use super::facts::Facts;
use super::{BUILTIN, Profile, tighten};
use crate::error::{Error, quote};
use crate::spec::Config;

impl Choice {
    /// Adds the way out to a refusal of `config` by the chosen profile.
    #[must_use]
    pub fn advise(&self, refusal: Error, config: &Config, host: &Facts) -> Error {
        match accepting(&self.profile, config, host) {
            Some(name) => refusal.hint_too(self.way_to(name)),
            None => refusal,
        }
    }

    /// How whoever made this choice gets the profile of that name instead.
    fn way_to(&self, name: &str) -> String {
        let (annotation, profile) = (quote(ANNOTATION), quote(name));
        let place = |name: &str| Profile::names().iter().position(|other| *other == name);
        let by_flag = self.origin == Origin::Flag || self.face == Face::Launch;
        if by_flag {
            return format!("use --profile {name}, which accepts this");
        }
        if self.origin == Origin::Annotation && name == self.standing {
            return format!(
                "leave out the annotation {annotation}: profile {profile} accepts this"
            );
        }
        if self.origin == Origin::Annotation && place(name) > place(&self.standing) {
            return format!("set the annotation {annotation} to {profile}, which accepts this");
        }
        let handler = if name == self.plain {
            "stockade".to_owned()
        } else {
            format!("stockade-{name}")
        };
        format!(
            "use the handler {} or --profile {name}: profile {profile} accepts this",
            quote(handler)
        )
    }
}

/// The strictest of the built-in profiles looser than `profile` that refuses nothing of `config`; a file of one's own
/// counts as stricter than all of them.
pub(crate) fn accepting(profile: &Profile, config: &Config, host: &Facts) -> Option<&'static str> {
    let looser = profile.strictness().unwrap_or(BUILTIN.len());
    let accepts = |name: &&&str| {
        Profile::builtin(name).is_some_and(|profile| tighten(config, &profile, host).is_ok())
    };
    Profile::names()[..looser]
        .iter()
        .rev()
        .find(accepts)
        .copied()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::profile::choose;
    use crate::spec::{Resources, hardened_default};

    /// A config with root as its user.
    fn as_root() -> Config {
        let mut config = hardened_default(None);
        config.process.as_mut().unwrap().user.uid = 0;
        config
    }

    struct Case<'a> {
        flag: Option<&'a str>,
        annotation: Option<&'a str>,
        program: &'a str,
        configured: Option<&'a str>,
        face: Face,
    }

    const CALLED: Case<'_> = Case {
        flag: None,
        annotation: None,
        program: "stockade-restricted",
        configured: None,
        face: Face::Oci,
    };

    /// The hint of the refusal of a config.
    fn hint(case: &Case<'_>, config: &Config) -> String {
        let annotations: BTreeMap<_, _> = case
            .annotation
            .map(|name| (ANNOTATION.to_owned(), name.to_owned()))
            .into_iter()
            .collect();
        let Case {
            flag,
            program,
            configured,
            face,
            ..
        } = *case;
        let choice = choose(flag, &annotations, program, configured, face).unwrap();
        let host = Facts::default();
        let refusal = tighten(config, &choice.profile, &host).unwrap_err();
        let error = choice.advise(refusal, config, &host);
        error.try_this().unwrap_or_default().to_owned()
    }

    #[test]
    fn a_refusal_names_the_way_to_a_profile_by_how_this_one_was_chosen() {
        let by_handler =
            r#"use the handler "stockade" or --profile baseline: profile "baseline" accepts this"#;
        assert_eq!(hint(&CALLED, &as_root()), by_handler);
        let case = Case {
            configured: Some("restricted"),
            ..CALLED
        };
        assert_eq!(
            hint(&case, &as_root()),
            r#"use the handler "stockade-baseline" or --profile baseline: profile "baseline" accepts this"#
        );
        let case = Case {
            flag: Some("restricted"),
            ..CALLED
        };
        let by_flag = "use --profile baseline, which accepts this";
        assert_eq!(hint(&case, &as_root()), by_flag);
        let case = Case {
            program: "stockade",
            face: Face::Launch,
            ..CALLED
        };
        assert_eq!(hint(&case, &as_root()), by_flag);
        let case = Case {
            annotation: Some("restricted"),
            program: "stockade",
            ..CALLED
        };
        assert_eq!(
            hint(&case, &as_root()),
            r#"leave out the annotation "org.stockade.profile": profile "baseline" accepts this"#
        );
        let case = Case {
            annotation: Some("restricted"),
            program: "stockade-none",
            ..CALLED
        };
        assert_eq!(
            hint(&case, &as_root()),
            r#"set the annotation "org.stockade.profile" to "baseline", which accepts this"#
        );
    }

    #[test]
    fn the_profile_that_is_named_is_one_that_accepts() {
        // Not a number to any profile with a default for it.
        let mut config = as_root();
        let unified = [("pids.max".to_owned(), "many".to_owned())].into();
        config.linux.as_mut().unwrap().resources = Some(Resources {
            unified,
            ..Resources::default()
        });
        let case = Case {
            annotation: Some("restricted"),
            program: "stockade",
            ..CALLED
        };
        assert_eq!(
            hint(&case, &config),
            r#"use the handler "stockade-none" or --profile none: profile "none" accepts this"#
        );
        let restricted = Profile::builtin("restricted").unwrap();
        let own = Profile {
            name: "own".into(),
            ..restricted.clone()
        };
        let host = Facts::default();
        assert_eq!(accepting(&own, &as_root(), &host), Some("baseline"));
        assert_eq!(accepting(&restricted, &config, &host), Some("none"));
    }
}
