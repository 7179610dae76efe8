//! Where a file says what became a rule of its profile: rules name each call and are without those that nothing is left of
//! (`groups`), so that their places are others than in the file. Lines are `place`'s.

use serde::Deserialize;
use serde_json::Value;

use super::allowance::Allowance;
use super::groups::{Origin, Written, calls, settle};
use super::{extend, from_toml};
use crate::error::{Doing, Result, quote};

/// The section `seccomp` of a file, and what its rules were made of.
pub(super) struct Section {
    /// With what the file extends.
    written: Written,
    /// One for each rule of the profile.
    origins: Vec<Origin>,
    own: Own,
}

/// Which of the written rules are the file's own.
enum Own {
    All,
    /// What it adds to those of its base: so many, at the end.
    Added(usize),
}

impl Section {
    /// Of a file that is known to be a profile; none if it has no such section.
    ///
    /// # Errors
    /// It cannot be read once more: a file that it extends has changed.
    pub(super) fn of(origin: &str, text: &str) -> Result<Option<Self>> {
        let doing = || format!("load profile {}", quote(origin));
        let own: Value = from_toml("load profile", origin, text)?;
        let own_rules = &own["seccomp"]["rules"];
        let (tree, own) = match extend::merged(origin, text, &[])? {
            None => (own, Own::All),
            Some(tree) if own_rules.is_array() => (tree, Own::All),
            Some(tree) => {
                let added = own_rules["add"].as_array().map_or(0, Vec::len);
                (tree, Own::Added(added))
            }
        };
        let section = &tree["seccomp"];
        if section.is_null() {
            return Ok(None);
        }
        let written = Written::deserialize(section).doing(doing)?;
        let settled = settle(&written).doing(doing)?;
        Ok(Some(Self {
            origins: settled.into_iter().map(|(origin, _)| origin).collect(),
            written,
            own,
        }))
    }

    /// Entries of `allow` that do nothing, as `deny` has all of their calls, with their places.
    pub(super) fn allowed_in_vain(&self) -> Vec<(usize, String)> {
        let list = |names| calls(names, "").unwrap_or_default();
        let denied = list(&self.written.deny);
        let all = self.written.allow.iter().enumerate();
        let in_vain =
            all.filter(|(_, entry)| list(entry.names()).iter().all(|call| denied.contains(call)));
        in_vain
            .map(|(at, entry)| (at, entry.names().join(", ")))
            .collect()
    }

    /// The key in the file of `seccomp.rules[2].names[0]` of the profile, whose call that is; a rule that it does not have
    /// itself is where it says what it extends. Other keys are the same.
    pub(super) fn key(&self, key: &str, call: Option<&str>) -> String {
        let parsed = key.strip_prefix("seccomp.rules[").and_then(|rest| {
            let (at, rest) = rest.split_once(']')?;
            Some((self.origins.get(at.parse::<usize>().ok()?)?, rest))
        });
        let Some((origin, rest)) = parsed else {
            return key.to_owned();
        };
        let (list, names): (String, Vec<&[String]>) = match *origin {
            Origin::Allow => {
                let allow = self.written.allow.iter();
                (
                    "seccomp.allow".to_owned(),
                    allow.map(Allowance::names).collect(),
                )
            }
            Origin::Deny => ("seccomp.deny".to_owned(), each(&self.written.deny)),
            Origin::Rule(at) => {
                let Some(rule) = self.rule(at) else {
                    return "extends".to_owned();
                };
                if !rest.starts_with(".names") {
                    return rule + rest;
                }
                (rule + ".names", each(&self.written.rules[at].names))
            }
        };
        let place = call.and_then(|call| place(&names, call));
        place.map_or(list.clone(), |place| format!("{list}[{place}]"))
    }

    /// The key of a written rule.
    fn rule(&self, at: usize) -> Option<String> {
        match self.own {
            Own::All => Some(format!("seccomp.rules[{at}]")),
            Own::Added(added) => {
                let base = self.written.rules.len() - added;
                Some(format!("seccomp.rules.add[{}]", at.checked_sub(base)?))
            }
        }
    }
}

/// The names of a list as entries of one name.
fn each(names: &[String]) -> Vec<&[String]> {
    names.iter().map(std::slice::from_ref).collect()
}

/// Where a list has a call: by its name, else in a group.
fn place(entries: &[&[String]], call: &str) -> Option<usize> {
    let by_name = entries
        .iter()
        .position(|names| names.iter().any(|name| name == call));
    by_name.or_else(|| {
        entries.iter().position(|names| {
            let calls = calls(names, "").unwrap_or_default();
            calls.contains(&call)
        })
    })
}
