//! `explain`: what the profile of a container changed in its config, and why. What was denied to a program is told by
//! `launch --explain` and `run --explain`.

use clap::Args;
use serde_json::json;

use super::output::pretty;
use super::plan::Format;
use super::{ExitCode, Global, print};
use crate::error::{Result, quote};
use crate::profile::{Change, Origin};

/// Arguments of `explain`.
#[derive(Debug, Clone, Args)]
pub struct Explain {
    /// Id of the container
    #[arg(value_name = "CONTAINER")]
    pub id: String,
    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Prints the container's profile, how it was chosen, and each change.
///
/// # Errors
/// There is no such container, or its state is damaged.
pub fn run(global: &Global, arguments: &Explain) -> Result<ExitCode> {
    let entry = global.store()?.load(&arguments.id)?;
    let state = entry.state()?;
    let text = match arguments.format {
        Format::Text => {
            let mut lines = vec![format!(
                "profile {}, {}",
                quote(&state.profile),
                origin(state.chosen_by)
            )];
            lines.extend(state.changes.iter().map(Change::to_string));
            if state.changes.is_empty() {
                lines.push("nothing in the config had to be tightened".to_owned());
            }
            let count = state.filters;
            lines.push(format!(
                "{count} {} of system calls",
                if count == 1 { "filter" } else { "filters" }
            ));
            lines.join("\n")
        }
        Format::Json => pretty(
            &json!({
                "id": state.id,
                "profile": state.profile,
                "chosenBy": state.chosen_by,
                "filters": state.filters,
                "changes": state.changes,
            }),
            "  ",
        )?,
    };
    print(&text)?;
    Ok(ExitCode::Done)
}

fn origin(origin: Origin) -> &'static str {
    match origin {
        Origin::Flag => "chosen by --profile",
        Origin::Annotation => "chosen by the annotation org.stockade.profile",
        Origin::Handler => "chosen by the name that stockade was called by",
        Origin::Configuration => "chosen by the configuration of this host",
        Origin::Default => "the default",
    }
}
