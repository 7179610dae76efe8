//! `test`: runs the cases of files confined, one child for each, and says which went as they ought to (docs/test.md).
//! What a case is, is `file`'s; how one is run, `case`'s; what ought to come of it, `judge`'s.

mod case;
mod file;
mod judge;
mod recorded;

use std::fs::{self, DirBuilder};
use std::io::{self, IsTerminal, Write as _};
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use clap::Args;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use self::case::End;
use self::file::Case;
use super::checks::CheckFlags;
use super::output::columns;
use super::{ExitCode, Global, print};
use crate::error::{Doing, Error, Result, escape, quote, quote_path};
use crate::report::checks::{Check, Checks};

/// Arguments of `test`.
#[derive(Debug, Clone, Args)]
pub struct Test {
    /// Files of cases; --profile takes the place of every profile in them
    #[arg(
        value_name = "FILE.toml",
        required_unless_present = "against_recording"
    )]
    pub files: Vec<PathBuf>,
    /// Only the cases whose names contain this
    #[arg(long, value_name = "TEXT")]
    pub filter: Option<String>,
    /// List the cases, and run none
    #[arg(long)]
    pub list: bool,
    /// How many cases run at once
    #[arg(long, short, value_name = "NUMBER", default_value = "1")]
    pub jobs: NonZeroUsize,
    /// Also fail where this recording needs what the profile of --profile does not allow
    #[arg(long, value_name = "RECORDED.toml")]
    pub against_recording: Option<PathBuf>,
    /// When it is a failure, and for whom it is written.
    #[command(flatten)]
    pub flags: CheckFlags,
}

/// Runs the cases and prints what came of them.
///
/// # Errors
/// A file that is none, a profile or a recording that cannot be read, or a case that cannot be run or cleared away.
pub fn run(global: &Global, arguments: &Test) -> Result<ExitCode> {
    let cases = cases(global, arguments)?;
    if arguments.list {
        return list(&cases);
    }
    let mut checks = match &arguments.against_recording {
        Some(path) => recorded::checks(global, path)?,
        None => Vec::new(),
    };
    let signals = Signals::block()?;
    checks.extend(in_order(global, arguments.jobs, &cases, &signals)?);
    if let Some(number) = signals.received() {
        return Ok(ExitCode::Program(128 + number));
    }
    arguments.flags.tell(&Checks {
        tool: "test",
        subject: subject(arguments),
        checks,
        facts: Vec::new(),
    })
}

fn cases(global: &Global, arguments: &Test) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for path in &arguments.files {
        cases.extend(file::read(path, global.profile.as_deref())?);
    }
    let Some(text) = &arguments.filter else {
        return Ok(cases);
    };
    cases.retain(|case| case.name.contains(text));
    if cases.is_empty() {
        let cause = format!("no case has {} in its name", quote(text));
        return Err(Error::new("use --filter", cause).hint("--list has their names"));
    }
    Ok(cases)
}

fn list(cases: &[Case]) -> Result<ExitCode> {
    let mut rows = vec![["CASE", "PROFILE", "FILE"].map(str::to_owned)];
    rows.extend(cases.iter().map(|case| {
        let place = format!(
            "{}:{}",
            escape(case.file.to_string_lossy().as_ref()),
            case.line
        );
        let profile = case.profile.as_deref().unwrap_or("-");
        [escape(&case.name), escape(profile), place]
    }));
    print(&columns(&rows))?;
    Ok(ExitCode::Done)
}

fn subject(arguments: &Test) -> String {
    let files = arguments.files.iter().chain(&arguments.against_recording);
    let files: Vec<_> = files.map(|file| file.to_string_lossy()).collect();
    files.join(" ")
}

/// The checks in the order of the cases, however many run at once.
fn in_order(
    global: &Global,
    jobs: NonZeroUsize,
    cases: &[Case],
    signals: &Signals,
) -> Result<Vec<Check>> {
    if cases.is_empty() {
        return Ok(Vec::new());
    }
    let scratch = Scratch::make()?;
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..jobs.get().min(cases.len()) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(case) = cases.get(index) else { return };
                    let result = one(global, case, &scratch.0.join(index.to_string()), signals);
                    tell(case, &result, (index + 1, cases.len()));
                    let is_last = !matches!(result, Ok((End::Own | End::TimedOut, _)));
                    // A panic of another thread is shown by itself.
                    if let Ok(mut results) = results.lock() {
                        results.push((index, result));
                    }
                    if is_last {
                        next.store(cases.len(), Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_default();
    results.sort_by_key(|(index, _)| *index);
    let checks = results.into_iter().map(|(_, result)| Ok(result?.1));
    checks.collect()
}

fn one(global: &Global, case: &Case, directory: &Path, signals: &Signals) -> Result<(End, Check)> {
    let doing = || {
        format!(
            "run case {} of {}",
            quote(&case.name),
            quote_path(&case.file)
        )
    };
    DirBuilder::new()
        .mode(0o700)
        .create(directory)
        .doing(doing)?;
    let ended = case::run(global, case, directory, signals.0.as_fd()).doing(doing)?;
    fs::remove_dir(directory).doing(doing)?;
    Ok((ended.end, judge::check(case, &ended)))
}

/// A line for each case, where somebody watches.
fn tell(case: &Case, result: &Result<(End, Check)>, (number, all): (usize, usize)) {
    if !io::stderr().is_terminal() {
        return;
    }
    let word = match result {
        Ok((_, check)) => check.outcome.word(),
        Err(_) => "error",
    };
    // With standard error gone there is nobody left to tell.
    let _ = writeln!(
        io::stderr(),
        "{number}/{all} {word}: {}",
        escape(&case.name)
    );
}

/// The directory of all that the cases need. It is removed when it is empty: below what is left may be a mount.
struct Scratch(PathBuf);

impl Scratch {
    fn make() -> Result<Self> {
        let doing = || "make a scratch directory";
        let parent = std::path::absolute(std::env::temp_dir()).doing(doing)?;
        let mut number = 0;
        loop {
            let path = parent.join(format!("stockade-test-{}-{number}", std::process::id()));
            match DirBuilder::new().mode(0o700).create(&path) {
                // A process of this number was killed.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                other => return other.map(|()| Self(path)).doing(doing),
            }
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.0) {
            log::warn!("remove {}: {error}", quote_path(&self.0));
        }
    }
}

/// The signals that ask this process to end, blocked and readable: what runs is put down first.
struct Signals(SignalFd);

impl Signals {
    fn block() -> Result<Self> {
        let doing = || "block signals";
        let ends = [
            Signal::SIGINT,
            Signal::SIGTERM,
            Signal::SIGHUP,
            Signal::SIGQUIT,
        ];
        let set: SigSet = ends.into_iter().collect();
        set.thread_block().map_err(io::Error::from).doing(doing)?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let signals = SignalFd::with_flags(&set, flags);
        Ok(Self(signals.map_err(io::Error::from).doing(doing)?))
    }

    fn received(&self) -> Option<u8> {
        let received = self.0.read_signal().ok()??;
        u8::try_from(received.ssi_signo).ok()
    }
}
