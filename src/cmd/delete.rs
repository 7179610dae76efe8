//! `delete`: removes a stopped container and all that was made for it.

use clap::Args;

use super::{ExitCode, Global};
use crate::container::{Unless, delete};
use crate::error::Result;

/// Arguments of `delete`.
#[derive(Debug, Clone, Args)]
pub struct Delete {
    /// Id of the container
    #[arg(value_name = "CONTAINER")]
    pub id: String,
    /// Kill it first if it has not stopped; no error if it does not exist
    #[arg(long, short)]
    pub force: bool,
}

/// Deletes the container.
///
/// # Errors
/// It has not stopped, or something of it cannot be removed.
pub fn run(global: &Global, args: &Delete) -> Result<ExitCode> {
    let unless = if args.force {
        Unless::Forced
    } else {
        Unless::Stopped
    };
    delete(&global.store()?, &args.id, unless)?;
    Ok(ExitCode::Done)
}
