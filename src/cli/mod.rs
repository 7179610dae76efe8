//! The command line: which verbs there are, and the way from the arguments to the exit code.
//! Flags and their meaning are in `cmd`, one file per verb.

mod help;
mod log;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{ArgAction, Command, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::cmd::exit::Promise;
use crate::cmd::{self, ExitCode, Global, LogFormat};
use crate::container;
use crate::error::Result;
use crate::sys::signal;

/// What `--version` prints after the program's name; clients look for these words.
const VERSION: &str = concat!("version ", env!("CARGO_PKG_VERSION"), "\nspec: 1.3.0");

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "stockade",
    version = VERSION,
    about = "Runs programs confined: an OCI runtime and a sandbox",
    disable_version_flag = true,
    subcommand_required = true,
    max_term_width = 100
)]
pub struct CommandLine {
    /// Flags of every verb.
    #[command(flatten)]
    pub global: Global,
    /// Print the version
    #[arg(long, short, action = ArgAction::Version)]
    version: Option<bool>,
    /// The verb.
    #[command(subcommand)]
    pub verb: Verb,
}

/// The verbs; `help` has the groups they are shown in.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Create a container from a bundle, ready to start
    Create(cmd::create::Creation),
    /// Run the program of a created container
    Start(cmd::start::Start),
    /// Print the state of a container
    State(cmd::state::StateOf),
    /// Send a signal to a container
    Kill(cmd::kill::Kill),
    /// Change the limits of a container
    Update(Box<cmd::update::Update>),
    /// Remove a stopped container
    Delete(cmd::delete::Delete),
    /// List the processes of a container
    Ps(cmd::ps::Ps),
    /// Print what a container uses and when its memory runs out
    Events(cmd::events::Events),
    /// Stop all processes of a container until resume
    Pause(cmd::pause::Pausing),
    /// Let a paused container go on
    Resume(cmd::pause::Pausing),
    /// List containers
    List(cmd::list::List),
    /// Create, start, wait for and delete a container
    Run(cmd::run::Running),
    /// Run a command in a directory, confined, or look around in an embedded sandbox
    Launch(Box<cmd::launch::Launch>),
    /// Run another process in a running container
    Exec(Box<cmd::exec::Exec>),
    /// Say what the profile of a container tightened, and why
    Explain(cmd::explain::Explain),
    /// Launch a program and write the profile that allows what it did
    Record(Box<cmd::record::Record>),
    /// Print what create and start would do, step by step
    Plan(cmd::plan::Plan),
    /// Try what a confined program must not do, and say how much of it is open
    Probe(Box<cmd::probe::Probing>),
    /// Run the cases of a file confined, and say which went as they ought to
    Test(cmd::test::Test),
    /// Say what of an image, a bundle or a container does not keep to the ten practices
    Audit(Box<cmd::audit::Audit>),
    /// List, show, check, compare and convert profiles
    Profile(cmd::profile::Profiles),
    /// Turn an image into a bundle
    Unpack(cmd::unpack::Unpack),
    /// List and remove the images whose layers are kept
    Image(cmd::image::Images),
    /// Check an image's digests and signatures
    Verify(Box<cmd::verify::Verify>),
    /// Write a hardened config.json
    Spec(cmd::spec::Spec),
    /// Make a client such as containerd know stockade
    Install(cmd::install::Install),
    /// Say what of this host stands in the way
    Doctor(cmd::doctor::Doctor),
    /// Print what this runtime supports
    Features(cmd::features::Features),
    /// Not supported
    #[command(hide = true)]
    Checkpoint(Box<cmd::checkpoint::Checkpoint>),
    /// Not supported
    #[command(hide = true)]
    Restore(Box<cmd::checkpoint::Checkpoint>),
    /// Report on the sandbox from inside it
    #[command(hide = true)]
    Inside(cmd::inside::Inside),
}

impl Verb {
    fn promise(&self) -> Promise {
        match self {
            Self::Launch(_) | Self::Record(_) => Promise::Sandbox,
            Self::Run(_) => Promise::Program,
            Self::Exec(_) => Promise::Entry,
            Self::Profile(_) | Self::Probe(_) | Self::Test(_) => Promise::Comparison,
            Self::Audit(_) => Promise::Audit,
            _ => Promise::Plain,
        }
    }

    /// The verbs that make or enter a container seal the binary first; the others have nothing to protect it from.
    fn seal(&self) -> Result<()> {
        match self {
            Self::Create(_) | Self::Run(_) | Self::Launch(_) | Self::Record(_) | Self::Exec(_) => {
                container::seal::ensure()
            }
            Self::Probe(args) if args.enters() => container::seal::ensure(),
            _ => Ok(()),
        }
    }

    fn run(&self, global: &Global) -> Result<ExitCode> {
        signal::keep_ends_of_children();
        match self {
            Self::State(args) => cmd::state::run(global, args),
            Self::Kill(args) => cmd::kill::run(global, args),
            Self::Delete(args) => cmd::delete::run(global, args),
            Self::Ps(args) => cmd::ps::run(global, args),
            Self::Update(args) => cmd::update::run(global, args),
            Self::Events(args) => cmd::events::run(global, args),
            Self::Pause(args) => cmd::pause::pause(global, args),
            Self::Resume(args) => cmd::pause::resume(global, args),
            Self::Checkpoint(args) => cmd::checkpoint::checkpoint(global, args),
            Self::Restore(args) => cmd::checkpoint::restore(global, args),
            Self::List(args) => cmd::list::run(global, args),
            Self::Unpack(args) => cmd::unpack::run(global, args),
            Self::Image(args) => cmd::image::run(args),
            Self::Verify(args) => cmd::verify::run(global, args),
            Self::Spec(args) => cmd::spec::run(global, args),
            Self::Install(args) => cmd::install::run(global, args),
            Self::Doctor(args) => cmd::doctor::run(global, args),
            Self::Features(args) => cmd::features::run(global, args),
            Self::Create(args) => cmd::create::run(global, args),
            Self::Start(args) => cmd::start::run(global, args),
            Self::Run(args) => cmd::run::run(global, args),
            Self::Exec(args) => cmd::exec::run(global, args),
            Self::Launch(args) => cmd::launch::run(global, args),
            Self::Explain(args) => cmd::explain::run(global, args),
            Self::Record(args) => cmd::record::run(global, args),
            Self::Plan(args) => cmd::plan::run(global, args),
            Self::Probe(args) => cmd::probe::run(global, args),
            Self::Test(args) => cmd::test::run(global, args),
            Self::Audit(args) => cmd::audit::run(global, args),
            Self::Profile(args) => cmd::profile::run(global, args),
            Self::Inside(args) => cmd::inside::run(global, args),
        }
    }
}

/// The command line as clap's description of it: for parsing, and for what derives from it.
pub fn command() -> Command {
    let command = CommandLine::command();
    let text = help::grouped(&command);
    command.help_template(text)
}

/// Parses the arguments, the program's name among them, carries the verb out and reports a failure.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    match parse(&arguments) {
        Ok(line) => carry_out(&line),
        Err(error) => usage(&error, &arguments),
    }
}

/// Parses the arguments, the program's name among them.
///
/// # Errors
/// clap's, which is also how it asks for help or the version to be printed.
pub fn parse(arguments: &[OsString]) -> std::result::Result<CommandLine, clap::Error> {
    let mut matches = command().try_get_matches_from(arguments)?;
    CommandLine::from_arg_matches_mut(&mut matches)
}

fn carry_out(line: &CommandLine) -> ExitCode {
    let global = &line.global;
    let result = log::open(global.log.as_deref(), global.log_format, global.debug)
        .and_then(|()| line.verb.seal())
        .and_then(|()| line.verb.run(global));
    result.unwrap_or_else(|error| {
        log::report(&error);
        ExitCode::of(&error, line.verb.promise())
    })
}

/// Prints help or a usage error; the latter reaches the log too, since that is what clients show.
fn usage(error: &clap::Error, arguments: &[OsString]) -> ExitCode {
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    ) {
        let printed = cmd::print(error.render().to_string().trim_end());
        return if printed.is_ok() {
            ExitCode::Done
        } else {
            ExitCode::Failed
        };
    }
    let text = error.render().to_string();
    let first = text.lines().next().unwrap_or_default();
    let first = first.strip_prefix("error: ").unwrap_or(first);
    let (file, format) = log_flags(arguments);
    if file.is_some() && log::open(file.as_deref(), format, false).is_ok() {
        ::log::error!("read the command line: {first}");
    }
    // With standard error gone there is nobody left to tell.
    let _ = std::io::stderr().write_all(text.as_bytes());
    let verb = arguments
        .iter()
        .skip(1)
        .find(|word| command().find_subcommand(word).is_some());
    match verb.and_then(|verb| verb.to_str()) {
        Some("launch" | "record") => ExitCode::NotLaunched,
        Some("exec") => ExitCode::NotEntered,
        Some("audit" | "profile" | "probe") => ExitCode::NotCompared,
        _ => ExitCode::Failed,
    }
}

/// `--log` and `--log-format` of a command line that is wrong elsewhere.
fn log_flags(arguments: &[OsString]) -> (Option<PathBuf>, LogFormat) {
    let value = |name: &str| {
        let mut rest = arguments.iter();
        while let Some(word) = rest.next().map(|word| word.to_string_lossy()) {
            if word == name {
                return rest.next().cloned();
            }
            if let Some(value) = word
                .strip_prefix(name)
                .and_then(|rest| rest.strip_prefix('='))
            {
                return Some(value.into());
            }
        }
        None
    };
    let json = value("--log-format").is_some_and(|format| format == "json");
    (
        value("--log").map(PathBuf::from),
        if json {
            LogFormat::Json
        } else {
            LogFormat::Text
        },
    )
}

#[cfg(test)]
mod tests;
