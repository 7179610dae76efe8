//! What tightening did: the record of changes, and the refusal.

use std::fmt;

use serde::Serialize;

use super::facts::Facts;
use super::format::{OnConflict, Profile};
use crate::error::{Error, Result, quote};
use crate::spec::{Config, Seccomp};

/// A config at most as permissive as the one that came in, and what was done to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tightened {
    /// The config to plan from. Its own seccomp filter is unchanged.
    pub config: Config,
    /// Every difference to the config that came in, in the order of its sections.
    pub changes: Vec<Change>,
    /// What the profile would rather not see and lets pass, one line each.
    pub warnings: Vec<String>,
    /// The profile's filter, to be installed on top of the config's: the kernel takes the stricter answer of the two.
    pub filter: Option<Seccomp>,
}

/// One value that the profile changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Where in the config that came in (RFC 6901).
    pub pointer: String,
    /// The value there as JSON, or `absent`.
    pub before: String,
    /// The value now as JSON, or `absent`.
    pub after: String,
    /// The rule and the profile.
    pub why: String,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            pointer,
            before,
            after,
            why,
        } = self;
        write!(f, "{pointer}: {before} -> {after}: {why}")
    }
}

/// The profile at work on one config.
pub(super) struct Rules<'a> {
    pub(super) profile: &'a Profile,
    pub(super) host: &'a Facts,
    pub(super) changes: Vec<Change>,
    pub(super) warnings: Vec<String>,
}

impl Rules<'_> {
    /// Records that `pointer` goes from `before` to `after` by `rule`, or refuses it.
    pub(super) fn conflict<T: Serialize>(
        &mut self,
        rule: &str,
        on_conflict: OnConflict,
        pointer: &str,
        before: Option<&T>,
        after: Option<&T>,
    ) -> Result<()> {
        let (before, after) = (json(before), json(after));
        if on_conflict == OnConflict::Refuse {
            return Err(self
                .refusal(rule, pointer, &before)
                .hint(format!("the profile allows {after} here")));
        }
        let why = format!("{rule} of profile {}", quote(&self.profile.name));
        self.changes.push(Change {
            pointer: pointer.into(),
            before,
            after,
            why,
        });
        Ok(())
    }

    /// `process.user.uid: 0 is refused by profile "restricted" (identity.non-root)`.
    pub(super) fn refusal(&self, rule: &str, pointer: &str, value: &str) -> Error {
        let name = quote(&self.profile.name);
        Error::new(
            field(pointer),
            format!("{value} is refused by profile {name} ({rule})"),
        )
    }

    /// The same as a warning.
    pub(super) fn warn(&mut self, rule: &str, pointer: &str, value: &str) {
        let name = quote(&self.profile.name);
        let field = field(pointer);
        self.warnings.push(format!(
            "{field}: profile {name} advises against {value} ({rule})"
        ));
    }
}

/// The value as JSON on one line, without characters that a terminal acts on (JSON itself escapes only some).
pub(super) fn json<T: Serialize>(value: Option<&T>) -> String {
    let Some(value) = value else {
        return "absent".into();
    };
    let text = serde_json::to_string(value).expect("values of a config have string keys only");
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\u{7f}'..='\u{9f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                escaped.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => escaped.push(c),
        }
    }
    escaped
}

/// `/linux/namespaces/2/type` as `linux.namespaces[2].type`.
fn field(pointer: &str) -> String {
    let mut field = String::new();
    for part in pointer.split('/').skip(1) {
        if part.bytes().all(|byte| byte.is_ascii_digit()) {
            field.push_str(&format!("[{part}]"));
        } else {
            if !field.is_empty() {
                field.push('.');
            }
            field.push_str(&part.replace("~1", "/").replace("~0", "~"));
        }
    }
    field
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointer_becomes_a_field_as_spelled_in_the_config() {
        assert_eq!(
            field("/linux/namespaces/2/type"),
            "linux.namespaces[2].type"
        );
    }

    #[test]
    fn json_of_a_value_is_safe_on_a_terminal() {
        assert_eq!(
            json(Some(&"a\u{1b}\u{202e}\u{9b}")),
            r#""a\u001b\u202e\u009b""#
        );
    }
}
