//! `profile`: looking at profiles, comparing and converting them. Nothing is run and nothing is changed.
//! What a finding or a difference is, is `profile`'s.

use std::fs;
use std::path::Path;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::checks::{CheckFlags, CheckFormat};
use super::list::ListFormat;
use super::output::{columns, pretty};
use super::plan::Format;
use super::{ExitCode, Global, print};
use crate::error::{Doing, Result, escape, quote, quote_path};
use crate::names::{self, MARK};
use crate::profile::{self, Lint, Profile, to_toml};
use crate::report::Severity;
use crate::report::checks::{Check, Checks, Outcome, Place};

/// Arguments of `profile`.
#[derive(Debug, Clone, Args)]
pub struct Profiles {
    /// What to do.
    #[command(subcommand)]
    pub act: Act,
}

/// What `profile` does.
#[derive(Debug, Clone, Subcommand)]
pub enum Act {
    /// List the built-in profiles, and the one that the configuration names
    List(ProfileList),
    /// Print a profile with every value that is in force
    Show(ProfileShow),
    /// List the groups of system calls that rules may name
    Groups,
    /// Look for what is hardly meant: misspelt words, rules without effect, contradictions
    Check(ProfileCheck),
    /// Say what a second profile forbids or permits against a first
    Diff(ProfileDiff),
    /// Print the JSON Schema of a profile's file, for editors and other programs
    Schema,
    /// Turn a profile into what another program confines by, or that into a profile
    Convert(super::convert::ProfileConvert),
}

/// Arguments of `profile list`.
#[derive(Debug, Clone, Args)]
pub struct ProfileList {
    /// For people or for programs
    #[arg(long, short, value_enum, default_value_t)]
    pub format: ListFormat,
}

/// Arguments of `profile show`.
#[derive(Debug, Clone, Args)]
pub struct ProfileShow {
    /// Profile: a name, or the path of a file; or a group of system calls, such as @file
    #[arg(value_name = "PROFILE|@GROUP")]
    pub which: String,
    /// As a file of a profile is written, or for programs
    #[arg(long, value_enum, default_value_t)]
    pub format: ShowFormat,
}

/// How `profile show` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ShowFormat {
    /// The format of the file.
    #[default]
    Toml,
    /// The same keys; what demands nothing is null.
    Json,
}

/// Arguments of `profile check`.
#[derive(Debug, Clone, Args)]
pub struct ProfileCheck {
    /// Profile: the path of a file, or a name
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<String>,
    /// When it is a failure, and for whom it is written.
    #[command(flatten)]
    pub flags: CheckFlags,
}

/// Arguments of `profile diff`.
#[derive(Debug, Clone, Args)]
pub struct ProfileDiff {
    /// The first profile: a name, or the path of a file
    #[arg(value_name = "A")]
    pub a: String,
    /// The second, which is described
    #[arg(value_name = "B")]
    pub b: String,
    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Carries `profile` out.
///
/// # Errors
/// A profile or a file that cannot be read, or means nothing in the other format.
pub fn run(global: &Global, arguments: &Profiles) -> Result<ExitCode> {
    match &arguments.act {
        Act::List(list) => print_list(global, list.format),
        Act::Show(show) if show.which.starts_with(MARK) => print_group(show),
        Act::Show(show) => print_profile(show),
        Act::Groups => print_groups(),
        Act::Check(check) => print_findings(check),
        Act::Diff(diff) => print_differences(diff),
        Act::Schema => print_schema(),
        Act::Convert(convert) => super::convert::run(convert),
    }
}

/// The most permissive first; a file has no place among the others.
fn print_list(global: &Global, format: ListFormat) -> Result<ExitCode> {
    let configured = global.configuration()?.profile;
    let mut all: Vec<(Profile, Option<usize>, String)> = Vec::new();
    for (place, name) in Profile::names().into_iter().enumerate() {
        all.push((Profile::load(name)?, Some(place), "built in".to_owned()));
    }
    if let Some(name) = configured.filter(|name| Profile::builtin(name).is_none()) {
        all.push((Profile::load(&name)?, None, name));
    }
    if format == ListFormat::Json {
        let rows = all.iter().map(|(profile, place, source)| {
            json!({
                "name": profile.name,
                "strictness": place,
                "source": source,
                "description": profile.description,
            })
        });
        let rows: Vec<Value> = rows.collect();
        print(&pretty(&rows, "  ")?)?;
        return Ok(ExitCode::Done);
    }
    let mut rows = vec![["NAME", "STRICTNESS", "SOURCE", "DESCRIPTION"].map(str::to_owned)];
    rows.extend(all.iter().map(|(profile, place, source)| {
        let place = place.map_or("-".to_owned(), |place| place.to_string());
        [
            escape(&profile.name),
            place,
            escape(source),
            escape(&profile.description),
        ]
    }));
    print(&columns(&rows))?;
    Ok(ExitCode::Done)
}

fn print_profile(show: &ProfileShow) -> Result<ExitCode> {
    let profile = Profile::load(&show.which)?;
    match show.format {
        ShowFormat::Toml => print(to_toml(&profile)?.trim_end())?,
        ShowFormat::Json => print(&pretty(&profile, "  ")?)?,
    }
    Ok(ExitCode::Done)
}

fn print_group(show: &ProfileShow) -> Result<ExitCode> {
    let doing = || format!("show group {}", quote(&show.which));
    let group = profile::group(&show.which).doing(doing)?;
    let calls: Vec<&str> = group.calls().collect();
    match show.format {
        ShowFormat::Toml => print(&calls.join("\n"))?,
        ShowFormat::Json => print(&pretty(&calls, "  ")?)?,
    }
    Ok(ExitCode::Done)
}

fn print_schema() -> Result<ExitCode> {
    print(profile::SCHEMA.trim_end())?;
    Ok(ExitCode::Done)
}

fn print_groups() -> Result<ExitCode> {
    let mut rows = vec![["GROUP", "CALLS", "DESCRIPTION"].map(str::to_owned)];
    rows.extend(names::groups().map(|group| {
        let calls = group.calls().count().to_string();
        [group.name(), &calls, group.description()].map(str::to_owned)
    }));
    print(&columns(&rows))?;
    Ok(ExitCode::Done)
}

fn print_findings(check: &ProfileCheck) -> Result<ExitCode> {
    let mut found: Vec<(&str, Vec<Lint>)> = Vec::new();
    for file in &check.files {
        let text = match Profile::builtin_text(file) {
            Some(text) => text.to_owned(),
            None => read(file)?,
        };
        found.push((file, profile::lint(file, &text)?));
    }
    let least = check.flags.fail_on.least();
    let all = || found.iter().flat_map(|(_, lints)| lints);
    let is_grave = |lint: &&Lint| least.is_some_and(|least| lint.severity >= least);
    let grave = all().filter(is_grave).count();
    match check.flags.format {
        CheckFormat::Text => {
            for (file, lints) in &found {
                for lint in lints {
                    let line = lint.line.map_or(String::new(), |line| format!(":{line}"));
                    print(&format!("{}{line}: {lint}", escape(file)))?;
                }
            }
            let all = all().count();
            print(&match least {
                Some(least) => format!("findings: {all}, {least} or above: {grave}"),
                None => format!("findings: {all}"),
            })?;
        }
        CheckFormat::Json => {
            let files = found
                .iter()
                .map(|(file, lints)| json!({ "file": file, "findings": lints }));
            print(&pretty(&files.collect::<Vec<Value>>(), "  ")?)?;
        }
        CheckFormat::Tap | CheckFormat::Junit | CheckFormat::Sarif => {
            return check.flags.tell(&as_checks(&found));
        }
    }
    Ok(if grave == 0 {
        ExitCode::Done
    } else {
        ExitCode::Failed
    })
}

/// A finding is a check that failed; a file without any is one that passed.
fn as_checks(found: &[(&str, Vec<Lint>)]) -> Checks {
    let check = |file: &str, lint: &Lint| Check {
        id: lint.id.to_owned(),
        group: "Profiles",
        title: format!("{}: {}", lint.key, lint.id),
        severity: lint.severity,
        outcome: Outcome::Fail,
        wanted: String::new(),
        got: lint.found.clone(),
        place: Some(Place {
            line: lint.line,
            ..Place::pointer(file, &lint.key)
        }),
        help: lint.mend.clone(),
        facts: Vec::new(),
    };
    let clean = |file: &str| Check {
        id: "no-finding".to_owned(),
        group: "Profiles",
        title: format!("{file}: no finding"),
        severity: Severity::Low,
        outcome: Outcome::Pass,
        wanted: String::new(),
        got: String::new(),
        place: Some(Place::file(file)),
        help: String::new(),
        facts: Vec::new(),
    };
    let of_file = |(file, lints): &(&str, Vec<Lint>)| match lints.as_slice() {
        [] => vec![clean(file)],
        lints => lints.iter().map(|lint| check(file, lint)).collect(),
    };
    let files: Vec<&str> = found.iter().map(|(file, _)| *file).collect();
    Checks {
        tool: "profile check",
        subject: files.join(" "),
        checks: found.iter().flat_map(of_file).collect(),
        facts: Vec::new(),
    }
}

fn print_differences(diff: &ProfileDiff) -> Result<ExitCode> {
    let (a, b) = (Profile::load(&diff.a)?, Profile::load(&diff.b)?);
    let changes = profile::compare(&a, &b)?;
    let is_at_most = profile::is_at_most(&changes);
    match diff.format {
        Format::Text => {
            for change in &changes {
                print(&change.to_string())?;
            }
            let (a, b) = (quote(&a.name), quote(&b.name));
            print(&if changes.is_empty() {
                format!("{b} permits what {a} permits")
            } else if is_at_most {
                format!("{b} is at most as permissive as {a}")
            } else {
                format!("{b} permits more than {a} in places")
            })?;
        }
        Format::Json => {
            let document = json!({
                "a": a.name,
                "b": b.name,
                "atMostAsPermissive": is_at_most,
                "changes": changes,
            });
            print(&pretty(&document, "  ")?)?;
        }
    }
    Ok(if changes.is_empty() {
        ExitCode::Done
    } else {
        ExitCode::Failed
    })
}

fn read(file: &str) -> Result<String> {
    fs::read_to_string(file).doing(|| format!("read {}", quote_path(Path::new(file))))
}
