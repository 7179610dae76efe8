//! Profiles: what a config is tightened to before anything is planned (docs/profiles.md).
//! The types of the file are in `format`, its rules in `check`, the rules that cut a config in `tighten`, the proof
//! obligation in `order`. What was done is told by `change` and `annotations`, what else to do by `advice`.
//! For whoever writes profiles: `lint`, `compare`, `convert`, `write`; they see rules of system calls through `region`.

mod advice;
mod allowance;
mod annotations;
mod blame;
mod change;
mod check;
mod choose;
mod compare;
mod convert;
mod extend;
mod facts;
mod filter;
mod format;
mod groups;
mod hardening;
mod landlock;
mod limits;
mod lint;
mod lint_calls;
mod mounts;
mod near;
pub mod order;
mod place;
mod region;
mod ruleset;
mod schema;
mod tighten;
mod update;
mod values;
mod write;
mod written;

#[cfg(test)]
mod tests;

use std::fs;
use std::path::Path;

use serde::Deserialize;

pub(crate) use advice::accepting;
pub use annotations::{TIGHTENED, annotate};
pub use blame::{allowing, blame, permits};
pub use change::{Change, Difference, Tightened};
pub use choose::{ANNOTATION, Choice, Face, Origin, choose};
pub use compare::{Direction, FieldChange, beyond, compare, is_at_most};
pub use convert::{
    Converted, Loss, from_docker, from_kubernetes, from_oci, from_systemd, read_oci, to_docker,
    to_kubernetes, to_oci, to_oci_seccomp, to_systemd,
};
pub(crate) use convert::{ENGINE_MASKED, ENGINE_READONLY};
pub use facts::{Facts, Kernel};
pub use format::*;
pub use groups::group;
pub use hardening::Hardening;
pub use landlock::{Landlock, OnOldKernel, Scope};
pub use lint::{Lint, lint};
pub(crate) use near::nearest;
pub use ruleset::{Hierarchy, Ruleset};
pub use schema::SCHEMA;
pub use tighten::{tighten, tighten_process};
pub use update::settle;
pub use values::{Bound, DeviceSet, Quantity, RlimitBound, Time};
pub use write::{allowance_to_toml, to_toml};

use crate::error::{Error, Result, quote};

/// The profiles inside the binary, from the most permissive to the strictest.
const BUILTIN: [(&str, &str); 4] = [
    ("none", include_str!("../../profiles/none.toml")),
    ("baseline", include_str!("../../profiles/baseline.toml")),
    ("restricted", include_str!("../../profiles/restricted.toml")),
    ("paranoid", include_str!("../../profiles/paranoid.toml")),
];

/// How what the specification leaves open is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Habits {
    /// The way that gives a container less.
    #[default]
    Own,
    /// The way of runc, which callers of the profile `none` expect.
    Runc,
}

impl Profile {
    /// The names of the profiles inside the binary, from the most permissive to the strictest.
    pub fn names() -> [&'static str; BUILTIN.len()] {
        BUILTIN.map(|(name, _)| name)
    }

    /// The profile of that name inside the binary.
    pub fn builtin(name: &str) -> Option<Self> {
        let text = Self::builtin_text(name)?;
        Some(parse(name, text).expect("a test parses every built-in profile"))
    }

    /// The file of that name inside the binary, comments included.
    pub fn builtin_text(name: &str) -> Option<&'static str> {
        let (_, text) = BUILTIN.iter().find(|(builtin, _)| *builtin == name)?;
        Some(text)
    }

    /// A built-in profile by name, or a file by its path; a path contains a `/` or ends in `.toml`.
    ///
    /// # Errors
    /// An unknown name, an unreadable file, or a file that is not a profile: with its line and key.
    pub fn load(name_or_path: &str) -> Result<Self> {
        if let Some(profile) = Self::builtin(name_or_path) {
            return Ok(profile);
        }
        let doing = format!("load profile {}", quote(name_or_path));
        if !is_path(name_or_path) {
            return Err(unknown(doing, name_or_path));
        }
        let text = fs::read_to_string(name_or_path).map_err(|cause| Error::new(&doing, cause))?;
        let profile = parse(name_or_path, &text)?;
        if Self::builtin_text(&profile.name).is_some() {
            return Err(Error::new(
                doing,
                format!("name: {} is a built-in profile", quote(&profile.name)),
            )
            .hint("give the file a name of its own, so that reports are not mistaken"));
        }
        Ok(profile)
    }

    /// How what the specification leaves open is done under this profile.
    pub fn habits(&self) -> Habits {
        match self.strictness() {
            Some(0) => Habits::Runc,
            _ => Habits::Own,
        }
    }

    /// The place among the built-in profiles, 0 for the most permissive; a file has none.
    pub(crate) fn strictness(&self) -> Option<usize> {
        Self::names().iter().position(|name| *name == self.name)
    }
}

fn is_path(name_or_path: &str) -> bool {
    name_or_path.contains('/')
        || Path::new(name_or_path)
            .extension()
            .is_some_and(|extension| extension == "toml")
}

/// That nothing is called `name`; a misspelt one is named.
fn unknown(doing: String, name: &str) -> Error {
    let names = Profile::names();
    let error = Error::new(doing, "no such profile");
    let list = names.join(", ");
    let error = error.hint(format!("use one of {list}, or the path of a .toml file"));
    match nearest(name, names) {
        Some(found) => error.hint_too(format!("did you mean {}?", quote(found))),
        None => error,
    }
}

/// Reads a profile and all that it extends.
fn parse(origin: &str, text: &str) -> Result<Profile> {
    let profile = extend::read(origin, text, &[])?;
    profile
        .check()
        .map_err(|cause| Error::new(format!("load profile {}", quote(origin)), cause))?;
    Ok(profile)
}

/// Reads TOML strictly; a failure says the file, the line and the key.
pub(crate) fn from_toml<T: for<'de> Deserialize<'de>>(
    doing: &str,
    origin: &str,
    text: &str,
) -> Result<T> {
    let doing = format!("{doing} {}", quote(origin));
    let located = |key: String, cause: &toml::de::Error| {
        let start = cause.span().map_or(0, |span| span.start);
        let line = text[..start].matches('\n').count() + 1;
        let message = cause.message().replace('\n', ", ");
        let error = Error::new(&doing, format!("line {line}: {key}{message}"));
        match near::hint(&message) {
            Some(hint) => error.hint(hint),
            None => error,
        }
    };
    let deserializer =
        toml::Deserializer::parse(text).map_err(|cause| located(String::new(), &cause))?;
    serde_path_to_error::deserialize(deserializer).map_err(|error| {
        let path = error.path().to_string();
        let key = if path == "." {
            String::new()
        } else {
            format!("{path}: ")
        };
        located(key, error.inner())
    })
}
