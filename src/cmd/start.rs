//! `start`: lets a created container run its program.

use clap::Args;

use super::{ExitCode, Global};
use crate::container;
use crate::error::Result;

/// Arguments of `start`.
#[derive(Debug, Clone, Args)]
pub struct Start {
    /// Id of the container
    #[arg(value_name = "CONTAINER")]
    pub id: String,
}

/// Carries `start` out.
///
/// # Errors
/// There is no such container, it is not created, or its program cannot run.
pub fn run(global: &Global, arguments: &Start) -> Result<ExitCode> {
    container::start(&global.store()?.load(&arguments.id)?)?;
    Ok(ExitCode::Done)
}
