//! What tightening did: the record of changes, and the refusal.

use std::fmt;

use log::{Level, Record};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::facts::Facts;
use super::format::{OnConflict, Profile};
use super::hardening::Hardening;
use super::ruleset::Ruleset;
use crate::error::{Error, Result, is_steering, quote};
use crate::spec::{Config, Seccomp};

/// Bytes of a value that a line of the log or of an error has room for.
const LONGEST: usize = 1000;

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
    /// The profile's Landlock rules, as far as this kernel can do them; a config has none.
    pub landlock: Option<Ruleset>,
    /// What else a config has no place for.
    pub hardening: Hardening,
}

/// One value that the profile changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Where in the config that came in (RFC 6901); empty for what a config has no place for, which is added beside it.
    pub pointer: String,
    /// The value there; none where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// The value now; none where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
    /// The key of the profile that demands it.
    pub rule: String,
    /// The profile's name.
    pub profile: String,
}

/// A change in as few words as it takes: of two lists only what is in one of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    removed: Vec<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    added: Vec<Value>,
}

impl Change {
    /// What differs.
    pub fn difference(&self) -> Difference {
        let without = |list: &[Value], other: &[Value]| {
            let rest = list.iter().filter(|item| !other.contains(item));
            rest.cloned().collect()
        };
        match (&self.before, &self.after) {
            (Some(Value::Array(before)), Some(Value::Array(after))) => Difference {
                before: None,
                after: None,
                removed: without(before, after),
                added: without(after, before),
            },
            (before, after) => Difference {
                before: before.clone(),
                after: after.clone(),
                removed: Vec::new(),
                added: Vec::new(),
            },
        }
    }

    /// Whether it is a change of the config, and not something beside it.
    pub fn is_of_config(&self) -> bool {
        !self.pointer.is_empty()
    }

    /// Logs the change as one record: a sentence, and the parts of the change as fields, values as JSON.
    pub fn log(&self) {
        if log::max_level() < Level::Info {
            return;
        }
        let Difference {
            before,
            after,
            removed,
            added,
        } = self.difference();
        let list = |list: Vec<Value>| (!list.is_empty()).then_some(Value::Array(list));
        let values = [
            ("before", before),
            ("after", after),
            ("removed", list(removed)),
            ("added", list(added)),
        ];
        let values = values.map(|(name, value)| (name, value.map(|value| short(Some(&value)))));
        let mut fields = vec![("pointer", self.pointer.as_str())];
        fields.extend(
            values
                .iter()
                .filter_map(|(name, value)| Some((*name, value.as_deref()?))),
        );
        fields.extend([("rule", self.rule.as_str()), ("profile", &self.profile)]);
        let mut record = Record::builder();
        record.level(Level::Info).target(module_path!());
        record.key_values(&fields);
        log::logger().log(&record.args(format_args!("{self}")).build());
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference {
            before,
            after,
            removed,
            added,
        } = self.difference();
        let list = self.pointer.strip_suffix("/-");
        match self.is_of_config() {
            true => write!(f, "{}: ", field(list.unwrap_or(&self.pointer)))?,
            false => f.write_str("beside the config: ")?,
        }
        match (removed.is_empty(), added.is_empty()) {
            (true, true) if list.is_some() || !self.is_of_config() => {
                write!(f, "with {}", short(after.as_ref()))
            }
            (true, true) => write!(f, "{} -> {}", short(before.as_ref()), short(after.as_ref())),
            (false, true) => write!(f, "without {}", short(Some(&removed))),
            (true, false) => write!(f, "with {}", short(Some(&added))),
            (false, false) => {
                let (removed, added) = (short(Some(&removed)), short(Some(&added)));
                write!(f, "without {removed}, with {added}")
            }
        }?;
        write!(f, ": {} of profile {}", self.rule, quote(&self.profile))
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
        if on_conflict == OnConflict::Refuse {
            return Err(self
                .refusal(rule, pointer, &short(before))
                .hint(format!("the profile allows {} here", short(after))));
        }
        self.changes.push(Change {
            pointer: pointer.into(),
            before: before.map(value),
            after: after.map(value),
            rule: rule.into(),
            profile: self.profile.name.clone(),
        });
        Ok(())
    }

    /// `process.user.uid: 0 is refused by profile "restricted" (identity.non-root)`. The value is text of ours, or from
    /// [`short`].
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

/// A value of the config as JSON.
pub(super) fn value<T: Serialize>(of: &T) -> Value {
    serde_json::to_value(of).expect("values of a config have string keys only")
}

/// The value as JSON on one line, without characters that a terminal acts on (JSON itself escapes only some), and cut off
/// where it gets long: a config has room for any text.
pub(super) fn short<T: Serialize>(of: Option<&T>) -> String {
    let Some(of) = of else {
        return "absent".into();
    };
    let text = value(of).to_string();
    let mut escaped = String::new();
    for c in text.chars() {
        if escaped.len() > LONGEST {
            escaped.push('…');
            break;
        }
        if is_steering(c) {
            // All of them are of 16 bits.
            escaped.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// `/linux/namespaces/2/type` as `linux.namespaces[2].type`.
pub(super) fn field(pointer: &str) -> String {
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
    fn a_value_is_safe_on_a_terminal_and_short() {
        assert_eq!(
            short(Some(&"a\u{1b}\u{202e}\u{9b}")),
            r#""a\u001b\u202e\u009b""#
        );
        let long = short(Some(&"\u{9b}".repeat(5000)));
        assert!(long.len() < LONGEST + 16 && long.ends_with('…'), "{long}");
    }

    fn change<T: Serialize>(pointer: &str, before: Option<&T>, after: Option<&T>) -> Change {
        Change {
            pointer: pointer.into(),
            before: before.map(value),
            after: after.map(value),
            rule: "a.rule".into(),
            profile: "p".into(),
        }
    }

    #[test]
    fn a_change_in_words_says_the_field_the_difference_the_rule_and_the_profile() {
        let words = change("/process/noNewPrivileges", Some(&false), Some(&true)).to_string();
        let expected = r#"process.noNewPrivileges: false -> true: a.rule of profile "p""#;
        assert_eq!(words, expected);
        let words = change("/linux/resources/pids/limit", None, Some(&7)).to_string();
        let expected = r#"linux.resources.pids.limit: absent -> 7: a.rule of profile "p""#;
        assert_eq!(words, expected);
        let words = change("/x", Some(&["a", "b"]), Some(&["b", "c"])).to_string();
        let expected = r#"x: without ["a"], with ["c"]: a.rule of profile "p""#;
        assert_eq!(words, expected);
        let words = change("/linux/namespaces/-", None, Some(&"uts")).to_string();
        assert_eq!(
            words,
            r#"linux.namespaces: with "uts": a.rule of profile "p""#
        );
    }

    #[test]
    fn a_change_survives_a_round_trip() {
        let change = change("/linux/resources/pids/limit", None, Some(&7));
        let text = serde_json::to_string(&change).unwrap();
        let expected =
            r#"{"pointer":"/linux/resources/pids/limit","after":7,"rule":"a.rule","profile":"p"}"#;
        assert_eq!(text, expected);
        assert_eq!(serde_json::from_str::<Change>(&text).unwrap(), change);
    }
}
