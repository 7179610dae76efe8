//! `kill`: sends a signal to a container.

use clap::Args;

use super::{ExitCode, Global};
use crate::container::{Whom, kill};
use crate::error::{Error, Result, quote};
use crate::names;

/// Arguments of `kill`.
#[derive(Debug, Clone, Args)]
pub struct Kill {
    /// Id of the container
    #[arg(value_name = "CONTAINER")]
    pub id: String,
    /// Signal by name or number: TERM, SIGKILL, 9, SIGRTMIN+3
    #[arg(default_value = "SIGTERM")]
    pub signal: String,
    /// Send it to every process of the container
    #[arg(long, short)]
    pub all: bool,
}

/// Sends the signal.
///
/// # Errors
/// The signal is unknown, or the container is not running.
pub fn run(global: &Global, args: &Kill) -> Result<ExitCode> {
    let signal = names::signal(&args.signal).ok_or_else(|| {
        Error::new(
            format!("kill container {}", quote(&args.id)),
            format!("no signal {}", quote(&args.signal)),
        )
        .hint("a name of signal(7) such as TERM or SIGRTMIN+3, or a number from 0 to 64")
    })?;
    let entry = global.store()?.load(&args.id)?;
    kill(
        &entry,
        signal,
        if args.all { Whom::All } else { Whom::Init },
    )?;
    Ok(ExitCode::Done)
}
