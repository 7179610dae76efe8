//! Annotations `org.systemd.property.NAME` as properties of the scope, by a list of names with a type for each.
//! Whatever could start a program, stop another unit or loosen a limit is not on the list (GHSA-c5pj-mqfh-rvc3,
//! CVE-2024-3154); limits are `linux.resources`' business.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::property::Property;
use super::wire::Value;
use crate::error::{Error, Result, quote};

const PREFIX: &str = "org.systemd.property.";
const MICROSECONDS: u64 = 1_000_000;
/// How long a scope may take to stop, in microseconds: systemd takes 0 and the greatest number for no limit at all, and
/// waits for every scope when the host shuts down. Up to a day, since clients pass on how long a pod may take to stop.
const PATIENCE: RangeInclusive<u64> = MICROSECONDS..=86_400 * MICROSECONDS;

/// What a property takes.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Bool,
    /// Microseconds; by the name with `Sec` for `USec`, whole seconds.
    Time,
    /// The same, within [`PATIENCE`].
    Patience,
    Signal,
    /// Nothing but SIGKILL.
    Kill,
    Word(&'static [&'static str]),
}

/// systemd.unit(5), systemd.scope(5), systemd.kill(5) and systemd.resource-control(5).
const ALLOWED: [(&str, Kind); 17] = [
    ("CPUAccounting", Kind::Bool),
    (
        "CollectMode",
        Kind::Word(&["inactive", "inactive-or-failed"]),
    ),
    ("DefaultDependencies", Kind::Bool),
    // What does not end a process for certain would hold up the host's shutdown.
    ("FinalKillSignal", Kind::Kill),
    ("IOAccounting", Kind::Bool),
    ("IPAccounting", Kind::Bool),
    ("KillMode", Kind::Word(&["control-group", "mixed"])),
    ("KillSignal", Kind::Signal),
    ("ManagedOOMMemoryPressure", Kind::Word(&["auto", "kill"])),
    // To be spared when memory runs out is at the cost of all others on the host.
    ("ManagedOOMPreference", Kind::Word(&["none"])),
    ("ManagedOOMSwap", Kind::Word(&["auto", "kill"])),
    ("MemoryAccounting", Kind::Bool),
    ("OOMPolicy", Kind::Word(&["continue", "stop", "kill"])),
    ("RuntimeMaxUSec", Kind::Time),
    ("SendSIGHUP", Kind::Bool),
    ("TasksAccounting", Kind::Bool),
    ("TimeoutStopUSec", Kind::Patience),
];

/// The properties that annotations ask for.
///
/// # Errors
/// For one that is not on the list, or that has a value of another type; by the annotation's name.
pub(super) fn properties(annotations: &BTreeMap<String, String>) -> Result<Vec<Property>> {
    let all = annotations.iter();
    let named = all.filter_map(|(key, value)| Some((key.strip_prefix(PREFIX)?, value)));
    named.map(|(name, value)| property(name, value)).collect()
}

fn property(name: &str, text: &str) -> Result<Property> {
    let refuse = |cause: String| {
        Error::new(
            format!("annotations[{}]", quote(format!("{PREFIX}{name}"))),
            cause,
        )
    };
    let in_seconds = name.strip_suffix("Sec").filter(|name| !name.ends_with('U'));
    let full_name = in_seconds.map_or_else(|| name.to_owned(), |name| format!("{name}USec"));
    let found = ALLOWED.iter().find(|(allowed, _)| *allowed == full_name);
    let Some((name, kind)) = found else {
        let names: Vec<&str> = ALLOWED.iter().map(|(name, _)| *name).collect();
        return Err(
            refuse("a config may not set this property of a unit".into())
                .hint(format!("those it may set are {}", names.join(", "))),
        );
    };
    let value = match kind {
        Kind::Bool => boolean(text),
        Kind::Time => time(text, in_seconds),
        Kind::Patience => time(text, in_seconds)
            .filter(|value| matches!(value, Value::Number(time) if PATIENCE.contains(time))),
        Kind::Signal => signal(text),
        Kind::Kill => signal(text).filter(|value| *value == Value::Int(libc::SIGKILL)),
        Kind::Word(words) => word(text, words),
    };
    let value = value.ok_or_else(|| {
        refuse(format!(
            "{} is not {}",
            quote(text),
            wanted(*kind, in_seconds)
        ))
    })?;
    Ok(Property::new(name, value))
}

/// Values are in GVariant's text format, as other runtimes take them.
fn wanted(kind: Kind, in_seconds: Option<&str>) -> String {
    match kind {
        Kind::Bool => "true or false".into(),
        Kind::Time if in_seconds.is_some() => {
            "a number of whole seconds such as \"uint64 5\"".into()
        }
        Kind::Time => "a number of microseconds such as \"uint64 5000000\"".into(),
        Kind::Patience if in_seconds.is_some() => {
            "a number of whole seconds from 1 to 86400 such as \"uint64 5\"".into()
        }
        Kind::Patience => {
            "a number of microseconds from 1 s to 1 day such as \"uint64 5000000\"".into()
        }
        Kind::Signal => "the number of a signal".into(),
        Kind::Kill => "9, the number of SIGKILL".into(),
        Kind::Word(&[word]) => format!("'{word}' in quotes"),
        Kind::Word(words) => format!("one of '{}' in quotes", words.join("', '")),
    }
}

fn boolean(text: &str) -> Option<Value> {
    match text.trim() {
        "true" => Some(Value::Bool(true)),
        "false" => Some(Value::Bool(false)),
        _ => None,
    }
}

fn time(text: &str, in_seconds: Option<&str>) -> Option<Value> {
    if in_seconds.is_some() {
        return seconds(text);
    }
    let digits = text.trim().strip_prefix("uint64 ")?;
    number(digits).map(Value::Number)
}

fn seconds(text: &str) -> Option<Value> {
    let text = text.trim();
    let digits = text
        .split_once(' ')
        .filter(|(kind, _)| ["uint64", "int64", "uint32", "int32"].contains(kind))
        .map_or(text, |(_, digits)| digits);
    number(digits)?.checked_mul(MICROSECONDS).map(Value::Number)
}

/// Digits alone: no sign, no space.
fn number(text: &str) -> Option<u64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_plain)
}

fn signal(text: &str) -> Option<Value> {
    let text = text.trim();
    let number = number(text.strip_prefix("int32 ").unwrap_or(text))?;
    let number = i32::try_from(number).ok()?;
    (1..=64).contains(&number).then_some(Value::Int(number))
}

fn word(text: &str, words: &[&str]) -> Option<Value> {
    let text = text.trim();
    let inner = ['\'', '"']
        .iter()
        .find_map(|&mark| text.strip_prefix(mark)?.strip_suffix(mark))?;
    words
        .contains(&inner)
        .then(|| Value::Text(inner.to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(name: &str, value: &str) -> Result<Property> {
        let annotations = BTreeMap::from([(format!("{PREFIX}{name}"), value.to_owned())]);
        properties(&annotations).map(|mut all| all.remove(0))
    }

    #[test]
    fn values_have_the_type_of_their_property() {
        for (name, text, full_name, value) in [
            (
                "TimeoutStopUSec",
                "uint64 123456789",
                "TimeoutStopUSec",
                Value::Number(123_456_789),
            ),
            (
                "TimeoutStopSec",
                "uint64 5",
                "TimeoutStopUSec",
                Value::Number(5_000_000),
            ),
            (
                "RuntimeMaxSec",
                "7",
                "RuntimeMaxUSec",
                Value::Number(7_000_000),
            ),
            (
                "CollectMode",
                "'inactive-or-failed'",
                "CollectMode",
                Value::Text("inactive-or-failed".into()),
            ),
            ("KillSignal", "int32 2", "KillSignal", Value::Int(2)),
            ("FinalKillSignal", "9", "FinalKillSignal", Value::Int(9)),
            (
                "ManagedOOMPreference",
                "'none'",
                "ManagedOOMPreference",
                Value::Text("none".into()),
            ),
            (
                "TimeoutStopSec",
                "86400",
                "TimeoutStopUSec",
                Value::Number(86_400_000_000),
            ),
            ("SendSIGHUP", "true", "SendSIGHUP", Value::Bool(true)),
            (
                "OOMPolicy",
                "\"stop\"",
                "OOMPolicy",
                Value::Text("stop".into()),
            ),
        ] {
            assert_eq!(
                one(name, text),
                Ok(Property::new(full_name, value)),
                "{name}"
            );
        }
    }

    #[test]
    fn other_annotations_are_no_properties() {
        let annotations = BTreeMap::from([("org.systemd.propertyX".to_owned(), "x".to_owned())]);
        assert_eq!(properties(&annotations), Ok(Vec::new()));
    }

    #[test]
    fn other_values_are_refused_by_the_annotations_name() {
        let text = |name, value| one(name, value).unwrap_err().to_string();
        assert_eq!(
            text("TimeoutStopUSec", "5"),
            "annotations[\"org.systemd.property.TimeoutStopUSec\"]: \"5\" is not a number of microseconds from 1 s to 1 day such as \"uint64 5000000\""
        );
        assert_eq!(
            text("CollectMode", "'inactive\n[Service]'"),
            "annotations[\"org.systemd.property.CollectMode\"]: \"'inactive\\n[Service]'\" is not one of 'inactive', 'inactive-or-failed' in quotes"
        );
        for (name, value) in [
            ("KillSignal", "0"),
            ("KillSignal", "65"),
            ("KillSignal", "-9"),
            ("KillSignal", "+9"),
            ("TimeoutStopSec", "uint64 18446744073709551615"),
            ("TimeoutStopSec", "5.5"),
            ("SendSIGHUP", "1"),
            ("CollectMode", "inactive"),
            ("CollectMode", "'"),
            ("ManagedOOMPreference", "'omit'"),
            ("ManagedOOMPreference", "'avoid'"),
            ("FinalKillSignal", "18"),
            ("TimeoutStopSec", "0"),
            ("TimeoutStopSec", "86401"),
            ("TimeoutStopUSec", "uint64 0"),
            ("TimeoutStopUSec", "uint64 18446744073709551615"),
            ("TimeoutStopUSec", ""),
        ] {
            assert!(text(name, value).contains(" is not "), "{name} {value}");
        }
    }

    #[test]
    fn properties_that_run_programs_or_touch_other_units_are_refused() {
        for name in [
            "ExecStartPre",
            "ExecStop",
            "Conflicts",
            "BindsTo",
            "Requires",
            "OnFailure",
            "After",
            "Delegate",
            "Slice",
            "PIDs",
            "User",
            "MemoryMax",
            "TasksMax",
            "DeviceAllow",
            "DevicePolicy",
            "Environment",
            "Description",
            "TimeoutStopUSec ",
            "timeoutstopusec",
            "",
            "USec",
            "TimeoutStopUUSec",
        ] {
            let error = one(name, "uint64 1").unwrap_err();
            assert_eq!(
                error.to_string(),
                format!(
                    "annotations[{}]: a config may not set this property of a unit",
                    quote(format!("{PREFIX}{name}"))
                )
            );
            assert!(
                error
                    .try_this()
                    .unwrap()
                    .starts_with("those it may set are CPUAccounting, ")
            );
        }
    }

    proptest! {
        #[test]
        fn no_other_name_and_no_foreign_text_gets_through(name in "[A-Za-z.\\n]{0,20}", value in any::<String>()) {
            if let Ok(property) = one(&name, &value) {
                prop_assert!(ALLOWED.iter().any(|(allowed, _)| *allowed == property.name()));
            }
        }

        #[test]
        fn texts_are_words_of_the_list(at in 0..ALLOWED.len(), value in "['\"]?(inactive|kill|mixed|stop|[a-z\\n;]{0,9})['\"]?") {
            let (name, kind) = ALLOWED[at];
            if let Ok(property) = one(name, &value) {
                match (kind, property.value()) {
                    (Kind::Word(words), Value::Text(text)) => prop_assert!(words.contains(&text.as_str())),
                    (_, found) => prop_assert!(!matches!(found, Value::Text(_))),
                }
            }
        }
    }
}
