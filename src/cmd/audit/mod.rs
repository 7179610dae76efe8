//! `audit`: what of a bundle, a root filesystem, an image or a container keeps to the ten practices. Nothing is run and
//! nothing of the target is changed. What the checks are is `audit`'s.

mod target;
mod terms;
mod words;

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::{Args, ValueEnum};

use super::checks::{CheckFormat, write};
use super::image::WhichImage;
use super::{ExitCode, Global};
use crate::audit::{
    self, Accepted, Baseline, Check, Date, Judged, Subject, Waivers, Wanted, table,
};
use crate::configuration::read_small;
use crate::container::{timestamp, write_whole};
use crate::error::{Doing, Error, Kind, Result, quote_path};
use crate::report::Severity;
use crate::report::checks::Outcome;

/// Arguments of `audit`.
#[derive(Debug, Clone, Args)]
pub struct Audit {
    /// Bundle, root filesystem, image layout, or an archive of an image
    #[arg(value_name = "TARGET", required_unless_present_any = ["container", "list", "explain"])]
    pub target: Option<PathBuf>,
    /// Container: its configuration as applied, and its root filesystem
    #[arg(long, value_name = "ID", conflicts_with = "target")]
    pub container: Option<String>,
    /// Which image there.
    #[command(flatten)]
    pub which: WhichImage,
    /// Public key in PEM that must have signed the image, besides what the configuration demands
    #[arg(long, value_name = "FILE")]
    pub key: Vec<PathBuf>,
    /// Most that IMG-006 lets an image have: bytes, objects, layers; may be repeated
    #[arg(long, value_name = "NAME=NUMBER", value_parser = terms::budget)]
    pub budget: Vec<(String, u64)>,
    /// Make these checks alone
    #[arg(long, value_name = "ID", value_delimiter = ',', value_parser = check)]
    pub only: Vec<&'static Check>,
    /// Leave these checks out
    #[arg(long, value_name = "ID", value_delimiter = ',', value_parser = check)]
    pub skip: Vec<&'static Check>,
    /// Findings that somebody answers for, with a reason and until a day
    #[arg(long, value_name = "FILE")]
    pub waivers: Option<PathBuf>,
    /// Findings that were there before: only others count
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
    /// Write what is found as the baseline; it counts as accepted from now on
    #[arg(long, value_name = "FILE", conflicts_with = "baseline")]
    pub write_baseline: Option<PathBuf>,
    /// Exit with 1 if something of this severity or above is found
    #[arg(long, value_enum, default_value = "medium", value_name = "SEVERITY")]
    pub fail_on: FailOn,
    /// For people, or for programs
    #[arg(long, value_enum, default_value_t)]
    pub format: CheckFormat,
    /// List the packages that dpkg or apk has installed, with the sources they were built of, instead of making checks
    #[arg(long, conflicts_with_all = ["only", "skip", "waivers", "baseline", "write_baseline", "key", "budget"])]
    pub packages: bool,
    /// List the checks
    #[arg(long, conflicts_with_all = ["target", "container", "explain", "packages"])]
    pub list: bool,
    /// Say what a check looks for, why, and what to do
    #[arg(long, value_name = "ID", conflicts_with_all = ["target", "container", "packages"], value_parser = check)]
    pub explain: Option<&'static Check>,
}

/// The value of `--fail-on`; no other tool has critical findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    /// Any.
    Low,
    /// What helps an attacker, or is hardly meant.
    Medium,
    /// A way out.
    High,
    /// The host, or a secret, is there for the taking.
    Critical,
    /// None.
    Never,
}

impl FailOn {
    fn least(self) -> Option<Severity> {
        match self {
            Self::Low => Some(Severity::Low),
            Self::Medium => Some(Severity::Medium),
            Self::High => Some(Severity::High),
            Self::Critical => Some(Severity::Critical),
            Self::Never => None,
        }
    }
}

/// A check of the table.
fn check(id: &str) -> std::result::Result<&'static Check, String> {
    table::check(id).ok_or_else(|| "`stockade audit --list` lists the checks".to_owned())
}

/// Carries `audit` out.
///
/// # Errors
/// A target, waivers or a baseline that cannot be read; a target that no wanted check looks at.
pub fn run(global: &Global, arguments: &Audit) -> Result<ExitCode> {
    if arguments.list {
        return words::list(arguments.format);
    }
    if let Some(check) = arguments.explain {
        return words::explain(check, arguments.format);
    }
    let mut subject = target::subject(global, arguments)?;
    if arguments.packages {
        return packages(global, arguments, &mut subject);
    }
    let wanted = Wanted {
        only: ids(&arguments.only),
        skip: ids(&arguments.skip),
    };
    let waivers = match &arguments.waivers {
        Some(file) => Waivers::parse(&text(file)?, &file.to_string_lossy())?,
        None => Waivers::default(),
    };
    let baseline = match &arguments.baseline {
        Some(file) => Some(Baseline::parse(
            &read_small(file)?,
            &file.to_string_lossy(),
        )?),
        None => None,
    };
    let today = Date::parse(&timestamp(SystemTime::now())[..10]);
    let mut accepted = Accepted {
        waivers: &waivers,
        baseline: baseline.as_ref(),
        today: today.expect("a timestamp begins with a day"),
    };
    let scratch = terms::hold(global, arguments, &mut subject)?;
    let words = subject.words.clone();
    let findings = audit::audit(subject, &wanted)?;
    drop(scratch);
    let written = Baseline::of(Judged::new(&findings, accepted).unwaived());
    if let Some(file) = &arguments.write_baseline {
        write_whole(file, &written.text()?).doing(|| format!("write {}", quote_path(file)))?;
        accepted.baseline = Some(&written);
    }
    let judged = Judged::new(&findings, accepted);
    let checks = judged.checks(&words);
    write(&checks, arguments.format)?;
    let least = arguments.fail_on.least();
    let mut failed = checks
        .checks
        .iter()
        .filter(|check| check.outcome == Outcome::Fail);
    Ok(
        if failed.any(|check| least.is_some_and(|least| check.severity >= least)) {
            ExitCode::Failed
        } else if judged.is_incomplete() {
            ExitCode::NotAudited
        } else {
            ExitCode::Done
        },
    )
}

fn packages(global: &Global, arguments: &Audit, subject: &mut Subject) -> Result<ExitCode> {
    let scratch = terms::hold(global, arguments, subject)?;
    let packages = audit::image::packages(subject)?;
    drop(scratch);
    words::packages(&packages, arguments.format)
}

fn ids(checks: &[&'static Check]) -> Vec<String> {
    checks.iter().map(|check| check.id.to_owned()).collect()
}

fn text(file: &Path) -> Result<String> {
    String::from_utf8(read_small(file)?).doing(|| format!("read {}", quote_path(file)))
}

/// A command line of which only this verb can see that it is wrong.
fn usage(doing: &str, cause: &str) -> Error {
    Error::new(doing, cause).kind(Kind::Usage)
}
