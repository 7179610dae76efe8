//! The flags that every verb takes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, ValueEnum};

use crate::cgroup::Driver;
use crate::configuration::Configuration;
use crate::container::{Store, default_root};
use crate::error::Result;
use crate::host::Facts;
use crate::profile::{self, Choice, Face};

/// Flags before or after any verb.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Options for every verb")]
pub struct Global {
    /// Directory of the containers' state [default: /run/stockade, or below $XDG_RUNTIME_DIR without root]
    #[arg(long, global = true, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Append warnings and errors to a file
    // Its own parser, since clap's for paths refuses an empty one, which means none.
    #[arg(long, global = true, value_name = "FILE",
        value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub log: Option<PathBuf>,
    /// Format of the log
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORMAT"
    )]
    pub log_format: LogFormat,
    /// Log details
    #[arg(long, global = true)]
    pub debug: bool,
    /// Security profile: none, baseline, restricted, paranoid, or the path of a file
    #[arg(long, global = true, value_name = "PROFILE")]
    pub profile: Option<String>,
    /// Configuration of this host [default: /etc/stockade/config.toml, if it exists]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Have systemd make the cgroup, as a scope: linux.cgroupsPath is slice:prefix:name then
    #[arg(long, global = true)]
    pub systemd_cgroup: bool,
    /// Whether to do without what only root may do; found out by itself
    // Before the verb only: `spec` has a flag of this name.
    #[arg(long, value_enum, value_name = "WHEN")]
    pub rootless: Option<Rootless>,
    /// Ignored: there is no checkpoint and no restore
    #[arg(long, global = true, hide = true, value_name = "PATH")]
    pub criu: Option<PathBuf>,
}

/// Format of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum LogFormat {
    /// `time="…" level=error msg="…"`
    #[default]
    Text,
    /// One JSON object a line, with `level`, `msg` and `time`.
    Json,
}

/// The value of `--rootless`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Rootless {
    /// By the user id.
    Auto,
    /// Yes.
    True,
    /// No.
    False,
}

impl Global {
    /// Who makes the cgroup of a new container. For one that is there, its state says.
    pub(super) fn driver(&self) -> Driver {
        if self.systemd_cgroup {
            Driver::Systemd
        } else {
            Driver::Files
        }
    }

    /// The profile for a verb of this face and a config with these annotations.
    ///
    /// # Errors
    /// As [`profile::choose`].
    pub(super) fn profile(
        &self,
        configuration: &Configuration,
        annotations: &BTreeMap<String, String>,
        face: Face,
    ) -> Result<Choice> {
        let program = std::env::args_os().next().unwrap_or_default();
        let program = Path::new(&program).file_name().unwrap_or_default();
        profile::choose(
            self.profile.as_deref(),
            annotations,
            &program.to_string_lossy(),
            configuration.profile.as_deref(),
            face,
        )
    }

    /// Reads the configuration of this host.
    ///
    /// # Errors
    /// As [`Configuration::read`].
    pub(super) fn configuration(&self) -> Result<Configuration> {
        Configuration::read(self.config.as_deref())
    }

    /// Opens the state directory.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn store(&self) -> Result<Store> {
        match &self.root {
            Some(root) => Store::open(root),
            None => Store::open(&default_root(&Facts::read()?)),
        }
    }
}
