//! `inside`: what the embedded sandbox of `launch` runs: a report on the place it finds itself in. Not shown in the help.

use std::io::IsTerminal;

use clap::Args;

use super::plan::Format;
use super::{ExitCode, Global};
use crate::error::Result;
use crate::probe::inside;
use crate::report;

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
    let format = match arguments.format {
        Format::Text => report::Format::Text,
        Format::Json => report::Format::Json,
    };
    let mut out = std::io::stdout().lock();
    let coloured = out.is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let appearance = if coloured {
        report::Appearance::Coloured
    } else {
        report::Appearance::Plain
    };
    let all_refused = inside::report(&mut out, format, appearance)?;
    Ok(if all_refused {
        ExitCode::Done
    } else {
        ExitCode::Failed
    })
}
