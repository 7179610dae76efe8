//! What the verbs that check something share: `--format`, `--fail-on`, and the exit code that follows.
//! What is checked is theirs.

use std::io::IsTerminal;

use clap::{Args, ValueEnum};

use super::ExitCode;
use crate::error::Result;
use crate::report::checks::{Checks, Format};
use crate::report::{Appearance, Severity};

/// Flags of a verb that checks something.
#[derive(Debug, Clone, Args)]
pub struct CheckFlags {
    /// Exit with 1 if something of this severity or above is not as it ought to be
    #[arg(long, value_enum, default_value = "medium", value_name = "SEVERITY")]
    pub fail_on: FailOn,
    /// For people, or for programs
    #[arg(long, value_enum, default_value_t)]
    pub format: CheckFormat,
}

/// The value of `--fail-on`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    /// Any.
    Low,
    /// What helps an attacker, or is hardly meant.
    Medium,
    /// A way out, or a promise that is not kept.
    High,
    /// None.
    Never,
}

impl FailOn {
    /// The least severity that counts.
    pub fn least(self) -> Option<Severity> {
        match self {
            Self::Low => Some(Severity::Low),
            Self::Medium => Some(Severity::Medium),
            Self::High => Some(Severity::High),
            Self::Never => None,
        }
    }
}

/// The value of `--format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum CheckFormat {
    /// Text for a reader.
    #[default]
    Text,
    /// One JSON object.
    Json,
    /// Test Anything Protocol, version 14.
    Tap,
    /// XML of test results, as continuous integration reads it.
    Junit,
    /// Findings, as code scanning reads them.
    Sarif,
}

impl CheckFormat {
    fn of_report(self) -> Format {
        match self {
            Self::Text => Format::Text,
            Self::Json => Format::Json,
            Self::Tap => Format::Tap,
            Self::Junit => Format::Junit,
            Self::Sarif => Format::Sarif,
        }
    }
}

impl CheckFlags {
    /// Writes the checks to standard output and says how the program ends.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn tell(&self, checks: &Checks) -> Result<ExitCode> {
        write(checks, self.format)?;
        let least = self.fail_on.least();
        let is_failure = least.is_some_and(|least| checks.bad(least).next().is_some());
        Ok(if is_failure {
            ExitCode::Failed
        } else {
            ExitCode::Done
        })
    }
}

/// Writes the checks to standard output.
pub(super) fn write(checks: &Checks, format: CheckFormat) -> Result<()> {
    let mut out = Vec::new();
    checks.write(&mut out, format.of_report(), appearance())?;
    super::print(String::from_utf8_lossy(&out).trim_end_matches('\n'))
}

/// Colours on a terminal, unless NO_COLOR is set (no-color.org).
pub(super) fn appearance() -> Appearance {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if std::io::stdout().is_terminal() && !no_color {
        Appearance::Coloured
    } else {
        Appearance::Plain
    }
}
