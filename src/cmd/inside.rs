//! `inside`: what the embedded sandbox of `launch` and the verb `probe` run where they look: a report on the place it finds
//! itself in, or its answers for whoever judges them elsewhere. Not shown in the help.

use clap::Args;

use super::plan::Format;
use super::{ExitCode, Global, checks, print};
use crate::error::{Doing, Result};
use crate::probe::{self, Promise, inside};
use crate::report;

/// Arguments of `inside`.
#[derive(Debug, Clone, Args)]
pub struct Inside {
    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// What was promised of each probe, as JSON [default: all of them refused]
    #[arg(long, value_name = "JSON", default_value = "{}")]
    pub promise: String,
    /// Print the answers alone, as JSON
    #[arg(long)]
    pub answers: bool,
    /// Only these probes
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub only: Vec<String>,
}

/// Prints the report.
///
/// # Errors
/// Standard output is gone.
pub fn run(_: &Global, arguments: &Inside) -> Result<ExitCode> {
    if arguments.answers {
        let only = &arguments.only;
        let answers = probe::answers(|id| only.is_empty() || only.iter().any(|asked| asked == id));
        print(&serde_json::to_string(&answers).doing(|| "format the answers")?)?;
        return Ok(ExitCode::Done);
    }
    let promise: Promise = serde_json::from_str(&arguments.promise).doing(|| "read --promise")?;
    let format = match arguments.format {
        Format::Text => report::Format::Text,
        Format::Json => report::Format::Json,
    };
    let mut out = std::io::stdout().lock();
    let is_kept = inside::report(&mut out, &promise, format, checks::appearance())?;
    Ok(if is_kept {
        ExitCode::Done
    } else {
        ExitCode::Failed
    })
}
