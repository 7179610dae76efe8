//! `inside`: what the embedded sandbox of `launch` runs: a report on the place it finds itself in. Not shown in the help.

use clap::Args;

use super::plan::Format;
use super::{ExitCode, Global};
use crate::error::Result;

/// Arguments of `inside`.
#[derive(Debug, Clone, Args)]
pub struct Inside {
    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Prints the report.
///
/// # Errors
/// Standard output is gone.
pub fn run(_: &Global, arguments: &Inside) -> Result<ExitCode> {
    let _ = arguments;
    Ok(ExitCode::Done)
}
