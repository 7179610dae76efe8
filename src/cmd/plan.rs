//! `plan`: what `create` and `start` would do, step by step, without doing it.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{ExitCode, Global, output, print};
use crate::container;
use crate::error::Result;
use crate::plan::{Line, Options};
use crate::profile::Face;
use crate::spec::Bundle;

/// Arguments of `plan`.
#[derive(Debug, Clone, Args)]
pub struct Plan {
    /// Directory that holds config.json
    #[arg(value_name = "BUNDLE", default_value = ".")]
    pub bundle: PathBuf,
    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// How a human verb writes its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// Carries `plan` out.
///
/// # Errors
/// What would keep `create` from computing the same plan.
pub fn run(global: &Global, arguments: &Plan) -> Result<ExitCode> {
    let bundle = Bundle::load(&arguments.bundle)?;
    let annotations = &bundle.config.annotations;
    let choice = global.profile(&global.configuration()?, annotations, Face::Oci)?;
    let options = Options {
        cgroups: global.driver(),
        ..Options::default()
    };
    let prepared = container::prepare(bundle, "plan", &choice, options)?;
    let lines = prepared.plan.lines();
    match arguments.format {
        Format::Text => print(
            &lines
                .iter()
                .map(Line::to_string)
                .collect::<Vec<_>>()
                .join("\n"),
        )?,
        Format::Json => {
            let document = serde_json::json!({
                "profile": choice.profile.name,
                "changes": prepared.tightened.changes,
                "steps": lines.iter().map(Line::to_json).collect::<Vec<_>>(),
            });
            print(&output::pretty(&document, "  ")?)?;
        }
    }
    Ok(ExitCode::Done)
}
