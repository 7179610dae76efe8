//! `state`: the state document on standard output (runtime.md, "Query State").
//! Clients read both outputs as one: nothing but the document may be written on success.

use clap::Args;

use super::{ExitCode, Global, output, print};
use crate::error::Result;

/// Arguments of `state`.
#[derive(Debug, Clone, Args)]
pub struct StateOf {
    /// Id of the container
    #[arg(value_name = "CONTAINER")]
    pub id: String,
}

/// Prints the state of a container.
///
/// # Errors
/// There is no such container, or its state is damaged.
pub fn run(global: &Global, args: &StateOf) -> Result<ExitCode> {
    let entry = global.store()?.load(&args.id)?;
    let state = entry.state()?;
    print(&output::pretty(
        &state.document(state.status(&entry)),
        "  ",
    )?)?;
    Ok(ExitCode::Done)
}
