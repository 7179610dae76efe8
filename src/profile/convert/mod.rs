//! Profiles from and to what other programs confine by: `linux.seccomp`, Docker's flags, Kubernetes' securityContext,
//! units of systemd. Each has a table of what it says by what; how the tables are walked is here.
//!
//! A profile says the most that a config may have, the others say what is. So the most becomes what is, and what is
//! becomes the most. What has no counterpart is a [`Loss`], never silence.

mod calls;
mod docker;
mod docker_flags;
mod docker_read;
mod docker_table;
mod kubernetes;
mod kubernetes_pod;
mod oci;
mod systemd;
mod systemd_calls;
mod systemd_protect;
mod systemd_read;
mod systemd_settings;
mod systemd_unit;
mod values;
mod yaml;

pub(crate) use values::{ENGINE_MASKED, ENGINE_READONLY};

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::compare::Direction;
use super::format::{Profile, SeccompRules};
use super::values::{Bound, Quantity};
use crate::error::{Doing, Error, Result, escape, quote};

pub use docker::to_docker;
pub use docker_flags::from_docker;
pub use kubernetes::to_kubernetes;
pub use kubernetes_pod::from_kubernetes;
pub use oci::{from_oci, read_oci, to_oci};
pub use systemd::to_systemd;
pub use systemd_unit::from_systemd;

/// What a conversion could not carry over as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Loss {
    /// As the source spells it: `limits.pids.maximum`, `--sysctl`, `MemoryHigh`.
    pub field: String,
    /// What the result permits in this against the source.
    pub direction: Direction,
    /// Why, and what became of it.
    pub why: String,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            field,
            direction,
            why,
        } = self;
        write!(f, "not carried over: {}: {direction}: {why}", escape(field))
    }
}

/// What came of a conversion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Converted<T> {
    /// It.
    pub result: T,
    /// What is not in it, or not as it was.
    pub losses: Vec<Loss>,
}

impl<T> Converted<T> {
    fn map<U>(self, to: impl FnOnce(T) -> U) -> Converted<U> {
        Converted {
            result: to(self.result),
            losses: self.losses,
        }
    }
}

/// Losses as they come.
#[derive(Debug, Default)]
struct Losses(Vec<Loss>);

impl Losses {
    fn add(&mut self, field: impl Into<String>, direction: Direction, why: impl Into<String>) {
        let loss = Loss {
            field: field.into(),
            direction,
            why: why.into(),
        };
        if !self.0.contains(&loss) {
            self.0.push(loss);
        }
    }

    fn looser(&mut self, field: impl Into<String>, why: impl Into<String>) {
        self.add(field, Direction::Looser, why);
    }

    fn stricter(&mut self, field: impl Into<String>, why: impl Into<String>) {
        self.add(field, Direction::Stricter, why);
    }
}

/// What becomes of a key of a profile in another format.
enum Way<O> {
    /// It is said, or as much of it as can be.
    Says(fn(&mut Writing<'_, O>)),
    /// It is so there without being said.
    Holds,
    /// There is nothing like it.
    Looser(&'static str),
}

/// The key, or the section, and what becomes of it.
type Row<O> = (&'static str, Way<O>);

/// A profile on its way into another format.
struct Writing<'a, O> {
    profile: &'a Profile,
    /// How the file of the system-call filter is called there; none if nobody writes it.
    filter: Option<&'a str>,
    out: O,
    losses: Losses,
}

impl<O> Writing<'_, O> {
    /// The number that a limit is there; `None` for none, and for all that the host has.
    fn limit(&mut self, field: &str, bound: &Bound) -> Option<u64> {
        let Some(Quantity::Number(number)) = bound.default.or(bound.maximum) else {
            return None;
        };
        if bound.default.is_some() && bound.default != bound.maximum {
            let why = format!("{number} is the most there; a config may ask for more");
            self.losses.stricter(format!("{field}.maximum"), why);
        }
        Some(number)
    }
}

/// Takes every demand of the profile through the table; one that it does not know is a loss.
///
/// # Errors
/// None that is known: a profile is plain data.
fn carry<O: Default>(
    profile: &Profile,
    filter: Option<&str>,
    format: &str,
    table: &[Row<O>],
) -> Result<Converted<O>> {
    let demands = demands(profile)?;
    let mut writing = Writing {
        profile,
        filter,
        out: O::default(),
        losses: Losses::default(),
    };
    for (field, way) in table {
        if !demands.iter().any(|demand| is_of(demand, field)) {
            continue;
        }
        match way {
            Way::Says(say) => say(&mut writing),
            Way::Holds => {}
            Way::Looser(why) => writing.losses.looser(*field, *why),
        }
    }
    for demand in &demands {
        if table.iter().any(|(field, _)| is_of(demand, field)) {
            continue;
        }
        if demand.ends_with("on-conflict") {
            let why = "what asks for more is cut there, not refused";
            writing.losses.looser(demand, why);
        } else {
            let why = format!("{format} has nothing like it");
            writing.losses.looser(demand, why);
        }
    }
    Ok(Converted {
        result: writing.out,
        losses: writing.losses.0,
    })
}

fn is_of(demand: &str, field: &str) -> bool {
    let rest = demand.strip_prefix(field);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The keys of a profile that demand anything: those that differ from a profile without any.
fn demands(profile: &Profile) -> Result<Vec<String>> {
    let tree = |profile: &Profile| serde_json::to_value(profile).doing(|| "convert a profile");
    let mut found = Vec::new();
    differing("", &tree(profile)?, &tree(&nothing())?, &mut found);
    found.retain(|field| !["name", "description"].contains(&field.as_str()));
    Ok(found)
}

fn differing(path: &str, value: &Value, none: &Value, found: &mut Vec<String>) {
    // Cutting what is too much is what is not said otherwise.
    // Of a section that is absent there, what is not demanded is the same.
    let is_none = value == none || *value == Value::Bool(false) && none.is_null();
    if is_none || path.ends_with("on-conflict") && value == "tighten" {
        return;
    }
    let Some(members) = value.as_object().filter(|_| path != "seccomp") else {
        if !value.is_null() {
            found.push(path.to_owned());
        }
        return;
    };
    for (key, value) in members {
        let path = match path {
            "" => key.clone(),
            path => format!("{path}.{key}"),
        };
        differing(&path, value, &none[key], found);
    }
}

/// A profile that demands nothing.
fn nothing() -> Profile {
    Profile::builtin("none").expect("it is built in")
}

/// What becomes of a setting of another format in a profile.
enum Fate<S> {
    /// It is read, or as much of it as a profile can say.
    Reads(fn(&mut Reading<S>, &str) -> Result<()>),
    /// It confines nothing.
    Apart,
    /// A profile has nothing like it.
    Lost(Direction, &'static str),
}

/// Another format on its way into a profile.
struct Reading<S> {
    profile: Profile,
    losses: Losses,
    /// What can be said only when everything is read.
    state: S,
}

impl<S> Reading<S> {
    fn new(profile: Profile, state: S) -> Self {
        Self {
            profile,
            losses: Losses::default(),
            state,
        }
    }

    /// Who is one user there, and anybody from that id on in a profile.
    fn user(&mut self, field: &str, id: u32) {
        if id == 0 {
            return;
        }
        self.profile.identity.non_root = super::Verdict::Refuse;
        self.profile.identity.minimum_uid = id;
        let why = "a profile does not choose the user: it refuses root, and ids below";
        self.losses.looser(field, why);
    }
}

/// The profile, once its name and its rules are found to be right.
fn finish(
    name: &str,
    from: &str,
    mut profile: Profile,
    losses: Losses,
) -> Result<Converted<Profile>> {
    let doing = || format!("make profile {}", quote(name));
    if Profile::builtin(name).is_some() {
        return Err(Error::new(doing(), "a built-in profile has this name"));
    }
    name.clone_into(&mut profile.name);
    profile.description = format!("Converted from {from}");
    let memory = &mut profile.limits.memory;
    if memory.maximum.is_none() {
        memory.default = Some(Quantity::Host);
    }
    profile
        .check()
        .map_err(|cause| Error::new(doing(), cause))?;
    Ok(Converted {
        result: profile,
        losses: losses.0,
    })
}

/// The filter that stands in for that of an engine, which is known only to the engine.
fn stand_in() -> Option<SeccompRules> {
    Profile::builtin("baseline").and_then(|profile| profile.seccomp)
}

/// The only format that says system calls and nothing else: what else the profile demands, in one loss.
///
/// # Errors
/// A profile without system-call rules.
pub fn to_oci_seccomp(profile: &Profile) -> Result<Converted<crate::spec::Seccomp>> {
    let result = to_oci(profile)?;
    let mut sections: Vec<String> = Vec::new();
    for demand in demands(profile)? {
        let section = demand.split('.').next().unwrap_or_default().to_owned();
        if section != "seccomp" && !sections.contains(&section) {
            sections.push(section);
        }
    }
    let mut losses = Losses::default();
    if !sections.is_empty() {
        let why = "linux.seccomp has rules of system calls alone";
        losses.looser(sections.join(", "), why);
    }
    Ok(Converted {
        result,
        losses: losses.0,
    })
}
