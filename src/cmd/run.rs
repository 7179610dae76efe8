//! `run`: `create`, `start`, wait and `delete` in one.

use clap::Args;

use super::create::Creation;
use super::explaining::{Explaining, Report};
use super::{ExitCode, Global};
use crate::container::{self, Attachment};
use crate::error::Result;
use crate::seccomp::Watch;

/// Flags of `run`.
#[derive(Debug, Clone, Args)]
pub struct Running {
    #[command(flatten)]
    /// What `create` takes.
    pub creation: Creation,
    /// Return as soon as the program runs
    #[arg(long, short, conflicts_with = "explain")]
    pub detach: bool,
    /// Keep the container's state after its end
    #[arg(long)]
    pub keep: bool,
    /// Whether denied system calls are told.
    #[command(flatten)]
    pub explaining: Explaining,
    /// Accepted for callers of other runtimes: orphans of the container always go to the system's reaper
    #[arg(long)]
    pub no_subreaper: bool,
}

/// Carries `run` out; its exit code is the program's.
///
/// # Errors
/// Whatever keeps the program from running; nothing is left of the container then.
pub fn run(global: &Global, arguments: &Running) -> Result<ExitCode> {
    let mut report = arguments.explaining.report()?;
    let watch = report.as_ref().map_or(Watch::Nothing, Report::watch);
    let (store, prepared, request) = arguments.creation.prepare(global, watch)?;
    let attachment = match (arguments.detach, arguments.keep) {
        (true, _) => Attachment::Detached,
        (false, true) => Attachment::Keep,
        (false, false) => Attachment::Foreground,
    };
    let mut supervisor = report.as_mut().map(Report::supervisor);
    if let Some(supervisor) = &mut supervisor {
        supervisor.begin(&prepared.plan, &prepared.confinement.profile);
    }
    let ended = container::run(&store, prepared, &request, attachment, supervisor);
    report.map_or(Ok(()), |report| report.tell(&ended))?;
    let code = ended?;
    Ok(ExitCode::Program(u8::try_from(code).unwrap_or(u8::MAX)))
}
