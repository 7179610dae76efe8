//! What in a profile is allowed by the format and hardly meant: words that are misspelt, rules that never decide anything,
//! comparisons of the wrong width, sections that contradict. What is an error is `check`'s; rules of system calls are
//! `lint_calls`'s.

use std::fmt;

use serde::Serialize;

use super::format::*;
use super::lint_calls;
use super::near::nearest;
use super::place::Lines;
use super::written::Section;
use crate::error::{Result, escape, quote};
use crate::names;
use crate::report::Severity;

/// One thing in a profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lint {
    /// A stable name, words joined by hyphens.
    pub id: &'static str,
    /// How grave it is.
    pub severity: Severity,
    /// As in the file: `seccomp.rules[2].names`.
    pub key: String,
    /// Of the key in the file, from 1.
    pub line: Option<usize>,
    /// What is so.
    pub found: String,
    /// What to do about it.
    pub mend: String,
}

impl Lint {
    pub(super) fn new(
        id: &'static str,
        severity: Severity,
        key: impl Into<String>,
        found: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self {
            id,
            severity,
            key: key.into(),
            line: None,
            found: found.into(),
            mend: mend.into(),
        }
    }
}

/// `medium: dead-rule: seccomp.rules[3]: what is so; what to do`.
impl fmt::Display for Lint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            id,
            severity,
            key,
            found,
            mend,
            ..
        } = self;
        write!(f, "{severity}: {id}: {}: {found}; {mend}", escape(key))
    }
}

/// Reads a profile as strictly as for running, and looks for what is hardly meant; `origin` is for messages. A built-in
/// profile's name is no error here: this is how its own file is looked at.
///
/// # Errors
/// Text that is not a profile: with its line and key.
pub fn lint(origin: &str, text: &str) -> Result<Vec<Lint>> {
    let profile = super::parse(origin, text)?;
    let mut lints = Vec::new();
    identity(&profile, &mut lints);
    words(&profile, &mut lints);
    paths(&profile, &mut lints);
    limits(&profile, &mut lints);
    if let (Some(rules), Some(section)) = (&profile.seccomp, Section::of(origin, text)?) {
        let mut found = Vec::new();
        lint_calls::lint(rules, &mut found);
        for lint in &mut found {
            lint.key = section.key(&lint.key, call(rules, &lint.key));
        }
        lints.extend(found);
        in_vain(&section, &mut lints);
    }
    let lines = Lines::of(text);
    for lint in &mut lints {
        lint.line = lines.line(&lint.key);
    }
    lints.sort_by_key(|lint| lint.line);
    Ok(lints)
}

/// The call that `seccomp.rules[2].names[0]` is.
fn call<'a>(rules: &'a SeccompRules, key: &str) -> Option<&'a str> {
    let (rule, name) = key.strip_prefix("seccomp.rules[")?.split_once("].names[")?;
    let rule = rules.rules.get(rule.parse::<usize>().ok()?)?;
    let name = name.strip_suffix(']')?.parse::<usize>().ok()?;
    rule.names.get(name).map(String::as_str)
}

/// What is allowed and denied as well.
fn in_vain(section: &Section, lints: &mut Vec<Lint>) {
    for (at, name) in section.allowed_in_vain() {
        lints.push(Lint::new(
            "allowed-and-denied",
            Severity::Medium,
            format!("seccomp.allow[{at}]"),
            format!("{} is denied as well, and deny comes first", quote(name)),
            "leave it out of one of the lists",
        ));
    }
}

fn identity(profile: &Profile, lints: &mut Vec<Lint>) {
    let Identity {
        non_root,
        minimum_uid,
        ..
    } = &profile.identity;
    if *non_root != Verdict::Refuse && *minimum_uid > 0 {
        lints.push(Lint::new(
            "root-below-minimum",
            Severity::Medium,
            "identity.minimum-uid",
            format!(
                "user ids 1 to {} are refused and root is not",
                minimum_uid.saturating_sub(1)
            ),
            "set non-root = \"refuse\"",
        ));
    }
    if *non_root == Verdict::Refuse && *minimum_uid == 0 {
        lints.push(Lint::new(
            "system-users",
            Severity::Low,
            "identity.non-root",
            "root is refused and the ids of system users are not",
            "set minimum-uid = 1000",
        ));
    }
    let allowed = profile
        .capabilities
        .iter()
        .flat_map(|section| &section.allow);
    let may_change = allowed.into_iter().any(|name| name == "CAP_SETUID");
    if *non_root == Verdict::Refuse && may_change {
        lints.push(Lint::new(
            "root-by-capability",
            Severity::Medium,
            "capabilities.allow",
            "root is refused, and CAP_SETUID lets the program become root",
            "leave CAP_SETUID out",
        ));
    }
}

/// Names of capabilities and limits that the kernel does not have.
fn words(profile: &Profile, lints: &mut Vec<Lint>) {
    let mend = |found: Option<&str>| match found {
        Some(found) => format!("did you mean {}?", quote(found)),
        None => "leave it out".to_owned(),
    };
    let allowed = profile
        .capabilities
        .iter()
        .flat_map(|section| &section.allow);
    for (at, name) in allowed.enumerate() {
        if names::capability(name).is_none() {
            lints.push(Lint::new(
                "unknown-capability",
                Severity::Medium,
                format!("capabilities.allow[{at}]"),
                format!("no capability is called {}", quote(name)),
                mend(nearest(name, names::CAPABILITIES)),
            ));
        }
    }
    for name in profile.rlimits.keys() {
        if names::rlimit(name).is_none() {
            let known = names::RLIMITS.iter().map(|(name, _)| *name);
            lints.push(Lint::new(
                "unknown-rlimit",
                Severity::High,
                format!("rlimits.{name}"),
                format!("no limit is called {}", quote(name)),
                mend(nearest(name, known)),
            ));
        }
    }
}

fn paths(profile: &Profile, lints: &mut Vec<Lint>) {
    let Paths { mask, readonly, .. } = &profile.paths;
    for (at, path) in readonly.iter().enumerate() {
        let is_below = |masked: &&String| {
            path.strip_prefix(masked.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if let Some(masked) = mask.iter().find(is_below) {
            lints.push(Lint::new(
                "readonly-and-masked",
                Severity::Low,
                format!("paths.readonly[{at}]"),
                format!("{} is masked by {} already", quote(path), quote(masked)),
                "leave it out here",
            ));
        }
    }
    let lists = [("paths.mask", mask), ("paths.readonly", readonly)];
    for (key, list) in lists {
        for (at, path) in list.iter().enumerate() {
            if list[..at].contains(path) {
                lints.push(Lint::new(
                    "listed-twice",
                    Severity::Low,
                    format!("{key}[{at}]"),
                    format!("{} is there twice", quote(path)),
                    "leave one out",
                ));
            }
        }
    }
}

/// A limit with which no program starts.
fn limits(profile: &Profile, lints: &mut Vec<Lint>) {
    let zero = Some(super::Quantity::Number(0));
    let bounds = [
        ("limits.memory", &profile.limits.memory),
        ("limits.pids", &profile.limits.pids),
    ];
    for (key, bound) in bounds {
        if bound.maximum == zero || bound.default == zero {
            lints.push(Lint::new(
                "nothing-runs",
                Severity::High,
                key,
                "no program runs with a limit of 0",
                "set a number, or leave the limit out",
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        let lints = lint("x", &format!("name = \"x\"\ndescription = \"\"\n{text}")).unwrap();
        lints
            .iter()
            .map(|lint| format!("{} {lint}", lint.line.unwrap_or(0)))
            .collect()
    }

    #[test]
    fn sections_that_contradict_are_found() {
        assert_eq!(
            lines("[identity]\nminimum-uid = 1000"),
            [
                "4 medium: root-below-minimum: identity.minimum-uid: user ids 1 to 999 are refused and root is not; set non-root = \"refuse\""
            ]
        );
        assert_eq!(
            lines("[identity]\nnon-root = \"refuse\"\n[capabilities]\nallow = [\"CAP_SETUID\"]"),
            [
                "4 low: system-users: identity.non-root: root is refused and the ids of system users are not; set minimum-uid = 1000",
                "6 medium: root-by-capability: capabilities.allow: root is refused, and CAP_SETUID lets the program become root; leave CAP_SETUID out",
            ]
        );
        assert_eq!(
            lines(
                "[paths]\nmask = [\"/proc/acpi\"]\nreadonly = [\"/proc/acpi/x\", \"/proc/acpis\"]"
            ),
            [
                "5 low: readonly-and-masked: paths.readonly[0]: \"/proc/acpi/x\" is masked by \"/proc/acpi\" already; leave it out here"
            ]
        );
    }

    #[test]
    fn misspelt_names_are_found_with_the_nearest() {
        assert_eq!(
            lines(
                "[capabilities]\nallow = [\"CAP_CHWON\", \"CAP_CHOWN\"]\n[rlimits]\nRLIMIT_NOFIL = { maximum = 1 }\nRLIMIT_SOMETHING = { maximum = 1 }"
            ),
            [
                "4 medium: unknown-capability: capabilities.allow[0]: no capability is called \"CAP_CHWON\"; did you mean \"CAP_CHOWN\"?",
                "6 high: unknown-rlimit: rlimits.RLIMIT_NOFIL: no limit is called \"RLIMIT_NOFIL\"; did you mean \"RLIMIT_NOFILE\"?",
                "7 high: unknown-rlimit: rlimits.RLIMIT_SOMETHING: no limit is called \"RLIMIT_SOMETHING\"; leave it out",
            ]
        );
    }

    const FILTER: &str = "[seccomp]\ndefault-action = \"errno\"\narchitectures = [\"native\"]\n";

    #[test]
    fn findings_in_rules_with_groups_are_where_the_file_has_them() {
        let text = format!(
            "{FILTER}allow = [\n\"execve\",\n\"exit_group\",\n\"@mount\",\n\"raed\",\n]\ndeny = [\"@swap\"]\n\
             [[seccomp.rules]]\nnames = [\"@swap\"]\naction = \"allow\"\nreason = \"\"\n\
             [[seccomp.rules]]\nnames = [\n\"@namespace\",\n\"wirte\",\n]\naction = \"log\"\nreason = \"\"\n"
        );
        let found = lines(&text);
        let at = |words: &str| {
            let found = found.iter().find(|line| line.contains(words));
            found
                .unwrap_or_else(|| panic!("no {words} in {found:#?}"))
                .clone()
        };
        assert!(
            at("chroot is for").starts_with("9 medium: runtime-only: seccomp.allow[2]: "),
            "{}",
            at("chroot is for")
        );
        assert!(at("\"raed\"").starts_with("10 medium: unknown-system-call: seccomp.allow[3]: "));
        assert!(
            at("setns is for").starts_with("19 medium: runtime-only: seccomp.rules[1].names[0]: ")
        );
        assert!(
            at("\"wirte\"")
                .starts_with("20 medium: unknown-system-call: seccomp.rules[1].names[1]: ")
        );
        assert!(at("repeats-default").starts_with("12 low: repeats-default: seccomp.deny: "));
    }

    #[test]
    fn findings_in_what_a_file_extends_are_where_it_says_so() {
        let text = "extends = \"restricted\"\n[[seccomp.rules.add]]\nnames = [\"raed\"]\naction = \"allow\"\nreason = \"\"\n";
        let text = format!("name = \"x\"\n{text}");
        let found = lint("x", &text).unwrap();
        let own = found
            .iter()
            .find(|lint| lint.id == "unknown-system-call")
            .unwrap();
        assert_eq!(
            (&*own.key, own.line),
            ("seccomp.rules.add[0].names[0]", Some(4))
        );
        let others = found.iter().filter(|lint| lint.key == "extends");
        assert!(
            others.clone().count() > 0 && others.clone().all(|lint| lint.line == Some(2)),
            "{found:#?}"
        );
    }

    #[test]
    fn what_is_allowed_and_denied_is_found() {
        let lists = "allow = [\"execve\", \"exit_group\", \"mount\", \"@swap\", \"@namespace\"]\ndeny = [\"@mount\", \"swapon\", \"swapoff\", \"setns\"]\n";
        let found = lines(&format!("{FILTER}{lists}"));
        let found: Vec<&String> = found
            .iter()
            .filter(|line| line.contains("allowed-and-denied"))
            .collect();
        assert_eq!(
            found,
            [
                "6 medium: allowed-and-denied: seccomp.allow[2]: \"mount\" is denied as well, and deny comes first; leave it out of one of the lists",
                "6 medium: allowed-and-denied: seccomp.allow[3]: \"@swap\" is denied as well, and deny comes first; leave it out of one of the lists",
            ]
        );
    }
}
