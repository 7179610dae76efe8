//! `launch`: a command in a directory's root filesystem, confined, with nothing to prepare and nothing left behind.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::explaining::{Explaining, Report};
use super::image::{StoreFlag, WhichImage};
use super::plan::Format;
use super::unpacking::{Map, Unpacking};
use super::values::{bind, bytes, cpus, user, variable};
use super::{ExitCode, Global};
use crate::configuration::{Configuration, signed_by_all};
use crate::container::{self, Bind};
use crate::error::{Doing, Error, Result};
use crate::image::Policy;
use crate::probe::Promise;
use crate::profile::{Face, Profile};
use crate::watch::Supervisor;

/// Arguments of `launch`.
#[derive(Debug, Clone, Args)]
pub struct Launch {
    /// Image or root filesystem: an image layout, an archive of one, a docker save archive, a tar archive or a directory
    /// [default: an embedded one that reports what it finds inside]
    #[arg(value_name = "IMAGE|DIR")]
    pub source: Option<PathBuf>,
    /// Which image there.
    #[command(flatten)]
    pub which: WhichImage,
    /// What unpacking may cost, and whether it is shown.
    #[command(flatten)]
    pub unpacking: Unpacking,
    /// Public key in PEM that must have signed the image, besides what the configuration demands
    #[arg(long, value_name = "FILE", requires = "source")]
    pub key: Vec<PathBuf>,
    /// Memory limit in bytes, or with K, M, G
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    pub memory: Option<i64>,
    /// CPU time as a number of CPUs, such as 0.5; kept in thousandths
    #[arg(long, value_name = "NUMBER", value_parser = cpus)]
    pub cpus: Option<u32>,
    /// How many processes and threads there may be
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i64).range(1..))]
    pub pids: Option<i64>,
    /// Environment variable of the program; nothing is taken from here
    #[arg(long, short, value_name = "NAME=VALUE", value_parser = variable)]
    pub env: Vec<String>,
    /// Show a file or directory of the host inside
    #[arg(long, value_name = "SRC:DST[:ro]", value_parser = bind)]
    pub bind: Vec<Bind>,
    /// Directory to start in
    #[arg(long, short, value_name = "DIR")]
    pub workdir: Option<String>,
    /// User and group, by number or by name inside
    #[arg(long, short, value_name = "USER[:GROUP]", value_parser = user)]
    pub user: Option<String>,
    /// Where layers are kept.
    #[command(flatten)]
    pub store: StoreFlag,
    /// Unpack the image for this launch alone and keep nothing
    #[arg(long, conflicts_with = "store")]
    pub no_store: bool,
    /// Without root, which ids there are inside: one's own, or a range by /etc/subuid, which files of an image keep their
    /// owners by [default: range for an image where there is one, else single]
    #[arg(long, value_enum, value_name = "IDS")]
    pub map: Option<Map>,
    /// Network: none, or the host's
    #[arg(long, value_enum, default_value_t)]
    pub network: Network,
    /// Give the program a terminal of its own [default: if standard input, output and error are one]
    #[arg(
        long,
        short,
        value_enum,
        value_name = "WHEN",
        num_args = 0..=1,
        require_equals = true,
        default_value_t,
        default_missing_value = "always",
        hide_default_value = true
    )]
    pub tty: Tty,
    /// Accepted for callers of other launchers: standard input is always connected
    #[arg(long, short, hide = true)]
    pub interactive: bool,
    /// Format of the embedded sandbox's report
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Whether denied system calls are told.
    #[command(flatten)]
    pub explaining: Explaining,
    /// Program and its arguments
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// The value of `--network`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Network {
    /// A namespace with the loopback interface alone.
    #[default]
    None,
    /// The host's network, unconfined.
    Host,
}

/// The value of `--tty`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Tty {
    /// If standard input, output and error are terminals, and the profile allows one.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never: the program has the caller's streams.
    Never,
}

/// Carries `launch` out; its exit code is the program's.
///
/// # Errors
/// Whatever keeps the program from running; nothing is left of the sandbox then.
pub fn run(global: &Global, arguments: &Launch) -> Result<ExitCode> {
    let mut report = arguments.explaining.report()?;
    let launched = launch(global, arguments, report.as_mut().map(Report::supervisor));
    report.map_or(Ok(()), |report| report.tell(&launched))?;
    launched.map(|(code, _)| code)
}

/// Launches, and says under which profile.
pub(super) fn launch(
    global: &Global,
    arguments: &Launch,
    supervisor: Option<&mut Supervisor>,
) -> Result<(ExitCode, Profile)> {
    let is_directory = arguments
        .source
        .as_deref()
        .is_some_and(|source| source.is_dir() && !source.join("oci-layout").exists());
    if is_directory && arguments.command.is_empty() {
        return Err(Error::new("launch", "a directory needs a command")
            .hint("stockade launch DIR -- PROGRAM ARGUMENTS"));
    }
    let configuration = global.configuration()?;
    let choice = global.profile(&configuration, &BTreeMap::new(), Face::Launch)?;
    let code = container::launch(
        &global.store()?,
        &arguments.request(global, &configuration)?,
        &choice,
        &|confined| {
            let promise = Promise::of(confined)?;
            let mut words = vec!["inside".to_owned(), "--promise".to_owned()];
            words.push(serde_json::to_string(&promise).doing(|| "format the promise")?);
            if arguments.format == Format::Json {
                words.extend(["--format", "json"].map(str::to_owned));
            }
            Ok(words)
        },
        supervisor,
    )?;
    let code = ExitCode::Program(u8::try_from(code).unwrap_or(u8::MAX));
    Ok((code, choice.profile))
}

impl Launch {
    fn request(&self, global: &Global, configuration: &Configuration) -> Result<container::Launch> {
        // The embedded sandbox is no image.
        let policy = match self.source {
            Some(_) => configuration.policy()?,
            None => Policy::default(),
        };
        let policy = signed_by_all(policy, &self.key)?;
        Ok(container::Launch {
            source: self.source.clone(),
            name: self.which.name.clone(),
            platform: self.which.platform(),
            limits: self.unpacking.limits(configuration.limits.clone()),
            shown: self.unpacking.shown(),
            command: self.command.clone(),
            environment: self.env.clone(),
            binds: self.bind.clone(),
            workdir: self.workdir.clone(),
            user: self.user.clone(),
            map: self.map.map_or(container::Map::Auto, Map::request),
            network: match self.network {
                Network::None => container::Network::None,
                Network::Host => container::Network::Host,
            },
            memory: self.memory,
            // Thousandths of a period of 100 ms, in microseconds.
            cpu_quota: self.cpus.map(|thousandths| i64::from(thousandths) * 100),
            pids: self.pids,
            streams: None,
            tty: match self.tty {
                Tty::Auto => container::Tty::Auto,
                Tty::Always => container::Tty::Always,
                Tty::Never => container::Tty::Never,
            },
            images: (!self.no_store).then(|| self.store.path()).flatten(),
            policy,
            cgroups: global.driver(),
        })
    }
}
