//! `create`: a container that waits for `start`.

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::Args;

use super::{ExitCode, Global};
use crate::container::{self, Prepared, Request, Store};
use crate::error::{Error, Result, quote};
use crate::plan::{ChangeOfRoot, Keyring, Options};
use crate::profile::{Change, Face};
use crate::seccomp::Watch;
use crate::spec::Bundle;

/// Flags of `create`, which `run` takes too.
#[derive(Debug, Clone, Args)]
pub struct Creation {
    /// Id of the new container
    #[arg(value_name = "CONTAINER")]
    pub id: String,
    /// Directory that holds config.json
    #[arg(long, short, value_name = "DIR", default_value = ".")]
    pub bundle: PathBuf,
    /// Socket that gets the terminal's master end
    #[arg(long, value_name = "SOCKET")]
    pub console_socket: Option<PathBuf>,
    /// Socket that gets a pidfd of the container's process
    #[arg(long, value_name = "SOCKET")]
    pub pidfd_socket: Option<PathBuf>,
    /// File to write the process id to
    #[arg(long, value_name = "FILE")]
    pub pid_file: Option<PathBuf>,
    /// Change the root without pivot_root(2), for roots on a ramdisk
    #[arg(long)]
    pub no_pivot: bool,
    /// Keep the caller's session keyring
    #[arg(long)]
    pub no_new_keyring: bool,
    /// Pass descriptors 3 to N+2 on, after those of $LISTEN_FDS
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub preserve_fds: u32,
}

impl Creation {
    /// The state directory, the container ready to be made, and the rest of what `create` and `run` need.
    ///
    /// # Errors
    /// A bundle that cannot run, or a flag that cannot be honoured.
    pub(super) fn prepare(
        &self,
        global: &Global,
        watch: Watch,
    ) -> Result<(Store, Prepared, Request)> {
        container::id::check(&self.id)?;
        let preserve_fds = preserved(self.preserve_fds)?;
        let bundle = Bundle::load(&self.bundle)?;
        let choice = global.profile(
            &global.configuration()?,
            &bundle.config.annotations,
            Face::Oci,
        )?;
        let options = self.options(global, preserve_fds, watch);
        let store = global.store()?;
        let prepared = container::prepare(bundle, &self.id, &choice, options)?;
        tell(global, &choice.profile.name, &prepared.tightened.changes);
        if global.debug {
            let lines = prepared.plan.debug_lines();
            lines.iter().for_each(|line| log::debug!("{line}"));
        }
        let request = Request {
            id: self.id.clone(),
            console_socket: self.console_socket.clone(),
            pid_file: self.pid_file.clone(),
            pidfd_socket: self.pidfd_socket.clone(),
            preserve_fds,
            profile: choice.profile.name.clone(),
            is_interactive: false,
        };
        Ok((store, prepared, request))
    }

    fn options(&self, global: &Global, preserve_fds: u32, watch: Watch) -> Options {
        Options {
            root: if self.no_pivot {
                ChangeOfRoot::Move
            } else {
                ChangeOfRoot::Pivot
            },
            keyring: if self.no_new_keyring {
                Keyring::Inherited
            } else {
                Keyring::New
            },
            preserve_fds,
            cgroups: global.driver(),
            watch,
            ..Options::default()
        }
    }
}

/// Logs what the profile changed. Nobody at a terminal wants it line by line each time, but ought to know of it.
fn tell(global: &Global, profile: &str, changes: &[Change]) {
    changes.iter().for_each(Change::log);
    let is_told = global.debug || global.log.is_some();
    if !changes.is_empty() && !is_told && std::io::stderr().is_terminal() {
        let (profile, count) = (quote(profile), changes.len());
        log::warn!(
            "profile {profile} has tightened the config ({count} changes): --debug lists them"
        );
    }
}

/// Carries `create` out.
///
/// # Errors
/// Whatever keeps the container from being made; nothing is left of it then.
pub fn run(global: &Global, arguments: &Creation) -> Result<ExitCode> {
    let (store, prepared, request) = arguments.prepare(global, Watch::Nothing)?;
    container::create(&store, prepared, &request)?;
    Ok(ExitCode::Done)
}

/// Descriptors after standard error that the program inherits: those of systemd's socket activation first
/// (sd_listen_fds(3)), then the flag's. Each must be open.
pub(super) fn preserved(preserve_fds: u32) -> Result<u32> {
    let listen = match std::env::var("LISTEN_FDS") {
        Err(_) => 0,
        Ok(text) => text.parse().unwrap_or_else(|_| {
            log::warn!("LISTEN_FDS={} is not a number", quote(&text));
            0
        }),
    };
    let count = u32::saturating_add(listen, preserve_fds);
    for fd in (3..3 + u64::from(count)).take(4096) {
        if !std::path::Path::new(&format!("/proc/self/fd/{fd}")).exists() {
            return Err(Error::new(
                "pass descriptors on",
                format!("descriptor {fd} is not open"),
            )
            .hint("--preserve-fds and $LISTEN_FDS count from descriptor 3"));
        }
    }
    Ok(count)
}
