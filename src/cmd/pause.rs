//! `pause` and `resume`: stop all processes of a container, and let them go on.

use clap::Args;

use super::{ExitCode, Global};
use crate::container;
use crate::error::Result;

/// Arguments of `pause` and of `resume`.
#[derive(Debug, Clone, Args)]
pub struct Pausing {
    /// Id of the container
    #[arg(value_name = "CONTAINER")]
    pub id: String,
}

/// Stops the container's processes.
///
/// # Errors
/// As [`container::pause`].
pub fn pause(global: &Global, args: &Pausing) -> Result<ExitCode> {
    container::pause(&global.store()?.load(&args.id)?)?;
    Ok(ExitCode::Done)
}

/// Lets them go on.
///
/// # Errors
/// As [`container::resume`].
pub fn resume(global: &Global, args: &Pausing) -> Result<ExitCode> {
    container::resume(&global.store()?.load(&args.id)?)?;
    Ok(ExitCode::Done)
}
