//! The file of cases (docs/test.md): its types, and what is checked before anything runs. Running them is `case`'s.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use crate::cmd::values;
use crate::error::{Doing, Error, Result, quote, quote_path};
use crate::names::{self, syscalls};
use crate::profile::{Profile, from_toml};

/// How long a case may take that does not say it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A case with all that its file says for it.
#[derive(Debug)]
pub(super) struct Case {
    /// As it was named on the command line.
    pub(super) file: PathBuf,
    /// From 1.
    pub(super) line: usize,
    pub(super) name: String,
    pub(super) place: Place,
    /// By name or path, as `--profile` takes it; none for the one that a launch has by itself.
    pub(super) profile: Option<String>,
    /// Whether there is a filter of system calls that can be asked.
    pub(super) has_filter: bool,
    pub(super) text: CaseText,
}

/// What a case is run in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// A root filesystem or an image, for `launch`.
    Source(PathBuf),
    /// For `run`.
    Bundle(PathBuf),
}

/// The file.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct File {
    profile: Option<String>,
    #[serde(default)]
    case: Vec<CaseText>,
}

/// A case as it is written.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct CaseText {
    name: Spanned<String>,
    profile: Option<String>,
    root: Option<PathBuf>,
    image: Option<PathBuf>,
    bundle: Option<PathBuf>,
    #[serde(default)]
    pub(super) command: Vec<String>,
    #[serde(default, deserialize_with = "variables")]
    pub(super) env: Vec<String>,
    #[serde(default, deserialize_with = "user")]
    pub(super) user: Option<String>,
    /// Relative sources are so to the file.
    #[serde(default, deserialize_with = "binds")]
    pub(super) binds: Vec<String>,
    /// Bytes.
    #[serde(default, deserialize_with = "memory")]
    pub(super) memory: Option<i64>,
    pub(super) pids: Option<u32>,
    pub(super) stdin: Option<String>,
    #[serde(default = "patience", deserialize_with = "timeout")]
    pub(super) timeout: Duration,
    #[serde(default)]
    pub(super) expect: Expect,
}

/// What ought to come of a case.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Expect {
    pub(super) exit: Option<u8>,
    #[serde(default, deserialize_with = "signal")]
    pub(super) signal: Option<i32>,
    pub(super) stdout: Option<String>,
    #[serde(default)]
    pub(super) stdout_contains: Vec<String>,
    pub(super) stderr: Option<String>,
    #[serde(default)]
    pub(super) stderr_contains: Vec<String>,
    /// What stockade itself says in the place of running the program.
    #[serde(default)]
    pub(super) error_contains: Vec<String>,
    #[serde(default, deserialize_with = "calls")]
    pub(super) denied: Vec<String>,
    #[serde(default)]
    pub(super) only_denied: bool,
    #[serde(default)]
    pub(super) no_denials: bool,
    /// Exactly these.
    pub(super) limits_hit: Option<Vec<Limit>>,
}

/// A limit of a cgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Limit {
    Memory,
    Pids,
}

impl Limit {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Pids => "pids",
        }
    }
}

impl Expect {
    /// Whether only the report of denials can tell.
    pub(super) fn asks_for_denials(&self) -> bool {
        !self.denied.is_empty() || self.only_denied || self.no_denials
    }
}

/// Reads a file; `profile` stands in the place of every profile that it names.
///
/// # Errors
/// The file, the line and the key that are wrong; a profile that cannot be loaded.
pub(super) fn read(path: &Path, profile: Option<&str>) -> Result<Vec<Case>> {
    let text = fs::read_to_string(path).doing(|| format!("read cases {}", quote_path(path)))?;
    let file: File = from_toml("read cases", &path.to_string_lossy(), &text)?;
    if file.case.is_empty() {
        let doing = format!("read cases {}", quote_path(path));
        return Err(Error::new(doing, "it has no [[case]]"));
    }
    let directory = path.parent().unwrap_or(Path::new(""));
    let mut cases: Vec<Case> = Vec::new();
    for written in file.case {
        let line = text[..written.name.span().start].matches('\n').count() + 1;
        let name = written.name.get_ref().clone();
        let doing = || format!("read case {} of {}", quote(&name), quote_path(path));
        if cases.iter().any(|case| case.name == name) {
            return Err(Error::new(doing(), "another one has this name"));
        }
        let place = place(&written, directory).map_err(|cause| Error::new(doing(), cause))?;
        check(&written, &place).map_err(|cause| Error::new(doing(), cause))?;
        let own = written.profile.as_ref().or(file.profile.as_ref());
        let profile = match (profile, own) {
            (Some(given), _) => Some(given.to_owned()),
            (None, own) => own.map(|own| beside(directory, own)),
        };
        let has_filter = match &profile {
            Some(profile) => {
                let told = |error: Error| {
                    let hint = error.try_this().map(str::to_owned);
                    let error = Error::new(doing(), error);
                    hint.into_iter().fold(error, Error::hint)
                };
                Profile::load(profile).map_err(told)?.seccomp.is_some()
            }
            None => true,
        };
        cases.push(Case {
            file: path.to_owned(),
            line,
            place,
            profile,
            has_filter,
            text: written,
            name,
        });
    }
    Ok(cases)
}

/// A profile by its path is beside the file; a name is a name.
fn beside(directory: &Path, profile: &str) -> String {
    let is_path = profile.contains('/') || profile.ends_with(".toml");
    if is_path {
        directory.join(profile).to_string_lossy().into_owned()
    } else {
        profile.to_owned()
    }
}

fn place(written: &CaseText, directory: &Path) -> std::result::Result<Place, &'static str> {
    match (&written.root, &written.image, &written.bundle) {
        (Some(path), None, None) | (None, Some(path), None) => {
            Ok(Place::Source(directory.join(path)))
        }
        (None, None, Some(path)) => Ok(Place::Bundle(directory.join(path))),
        _ => Err("it takes one of \"root\", \"image\" and \"bundle\""),
    }
}

fn check(written: &CaseText, place: &Place) -> std::result::Result<(), String> {
    let is_set = [
        ("env", !written.env.is_empty()),
        ("user", written.user.is_some()),
        ("binds", !written.binds.is_empty()),
        ("memory", written.memory.is_some()),
        ("pids", written.pids.is_some()),
    ];
    let set = is_set.into_iter().find(|(_, is_set)| *is_set);
    if let (Place::Bundle(_), Some((key, _))) = (place, set) {
        return Err(format!("{key}: a bundle has its own in config.json"));
    }
    if matches!(place, Place::Source(_)) && written.root.is_some() && written.command.is_empty() {
        return Err("command: a root filesystem needs one".to_owned());
    }
    if written.pids == Some(0) {
        return Err("pids: a number above 0".to_owned());
    }
    let expect = &written.expect;
    let excluding = [
        (
            "exit",
            expect.exit.is_some(),
            "signal",
            expect.signal.is_some(),
        ),
        (
            "denied",
            !expect.denied.is_empty(),
            "no-denials",
            expect.no_denials,
        ),
    ];
    match excluding
        .into_iter()
        .find(|(_, one, _, other)| *one && *other)
    {
        Some((one, _, other, _)) => Err(format!("expect: {one} and {other} exclude each other")),
        None => Ok(()),
    }
}

fn patience() -> Duration {
    PATIENCE
}

fn variables<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<Vec<String>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    let checked = texts.iter().map(|text| values::variable(text));
    checked
        .collect::<std::result::Result<_, _>>()
        .map_err(D::Error::custom)
}

fn binds<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<Vec<String>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    for text in &texts {
        values::bind(text).map_err(D::Error::custom)?;
    }
    Ok(texts)
}

fn user<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<Option<String>, D::Error> {
    let text = String::deserialize(from)?;
    values::user(&text).map(Some).map_err(D::Error::custom)
}

fn memory<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<Option<i64>, D::Error> {
    let text = String::deserialize(from)?;
    values::bytes(&text).map(Some).map_err(D::Error::custom)
}

fn timeout<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    values::duration(&text).map_err(D::Error::custom)
}

fn signal<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<Option<i32>, D::Error> {
    let text = String::deserialize(from)?;
    match names::signal(&text) {
        Some(number) if number > 0 => Ok(Some(number)),
        _ => Err(D::Error::custom(
            "a signal is a name of signal(7) such as SIGKILL",
        )),
    }
}

fn calls<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<Vec<String>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    match texts.iter().find(|text| syscalls::named(text).is_none()) {
        Some(text) => {
            let message = format!("there is no system call {}", quote(text));
            Err(D::Error::custom(message))
        }
        None => Ok(texts),
    }
}
