//! `checkpoint` and `restore`, which clients expect to exist: the flags of other runtimes, and one answer.

use std::path::PathBuf;

use clap::Args;

use super::{ExitCode, Global};
use crate::error::{Error, Result, quote};

/// Flags of `checkpoint` and of `restore`.
#[derive(Debug, Clone, Args)]
#[allow(
    missing_docs,
    clippy::struct_excessive_bools,
    reason = "flags of other runtimes, none of which does anything"
)]
pub struct Checkpoint {
    #[arg(value_name = "CONTAINER")]
    pub id: String,
    #[arg(long)]
    pub image_path: Option<PathBuf>,
    #[arg(long)]
    pub work_path: Option<PathBuf>,
    #[arg(long)]
    pub parent_path: Option<PathBuf>,
    #[arg(long)]
    pub leave_running: bool,
    #[arg(long)]
    pub tcp_established: bool,
    #[arg(long)]
    pub tcp_skip_in_flight: bool,
    #[arg(long)]
    pub link_remap: bool,
    #[arg(long)]
    pub ext_unix_sk: bool,
    #[arg(long)]
    pub shell_job: bool,
    #[arg(long)]
    pub lazy_pages: bool,
    #[arg(long, allow_hyphen_values = true)]
    pub status_fd: Option<String>,
    #[arg(long)]
    pub page_server: Option<String>,
    #[arg(long)]
    pub file_locks: bool,
    #[arg(long)]
    pub pre_dump: bool,
    #[arg(long)]
    pub manage_cgroups_mode: Option<String>,
    #[arg(long)]
    pub empty_ns: Vec<String>,
    #[arg(long)]
    pub auto_dedup: bool,
    #[arg(long)]
    pub console_socket: Option<PathBuf>,
    #[arg(long, short)]
    pub bundle: Option<PathBuf>,
    #[arg(long, short)]
    pub detach: bool,
    #[arg(long)]
    pub pid_file: Option<PathBuf>,
    #[arg(long)]
    pub no_subreaper: bool,
    #[arg(long)]
    pub no_pivot: bool,
    #[arg(long)]
    pub lsm_profile: Option<String>,
    #[arg(long)]
    pub lsm_mount_context: Option<String>,
}

/// Refuses.
///
/// # Errors
/// Always.
pub fn checkpoint(_global: &Global, args: &Checkpoint) -> Result<ExitCode> {
    Err(refusal("checkpoint", &args.id))
}

/// Refuses.
///
/// # Errors
/// Always.
pub fn restore(_global: &Global, args: &Checkpoint) -> Result<ExitCode> {
    Err(refusal("restore", &args.id))
}

fn refusal(verb: &str, id: &str) -> Error {
    let doing = format!("{verb} container {}", quote(id));
    Error::new(doing, format!("{verb} is not supported"))
}
