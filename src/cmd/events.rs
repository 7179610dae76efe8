//! `events`: what a container uses and when its memory runs out, one JSON object a line.

use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::time::Duration;

use clap::Args;

use super::output::{Audience, print_line};
use super::values::duration;
use super::{ExitCode, Global};
use crate::container::{self, Event};
use crate::error::{Doing, Result};

/// Arguments of `events`.
#[derive(Debug, Clone, Args)]
pub struct Events {
    /// Id of the container
    #[arg(value_name = "CONTAINER")]
    pub id: String,
    /// Time between two lines, such as 500ms, 5s or 1m
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "5s")]
    pub interval: Duration,
    /// Print what it uses now, and no more
    #[arg(long)]
    pub stats: bool,
}

/// Prints one event, or all until the container's end.
///
/// # Errors
/// As [`container::watch`], or standard output cannot be written.
pub fn run(global: &Global, args: &Events) -> Result<ExitCode> {
    let entry = global.store()?.load(&args.id)?;
    if args.stats {
        // Whoever reads it wants no more in any case.
        let _ = tell(&container::stats(&entry)?)?;
    } else {
        let output = std::io::stdout();
        container::watch(&entry, args.interval, output.as_fd(), tell)?;
    }
    Ok(ExitCode::Done)
}

fn tell(event: &Event) -> Result<ControlFlow<()>> {
    let line = serde_json::to_string(event).doing(|| "format an event")?;
    Ok(match print_line(&line)? {
        Audience::There => ControlFlow::Continue(()),
        Audience::Gone => ControlFlow::Break(()),
    })
}
