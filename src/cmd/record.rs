//! `record`: launches a program, watches what it does, and writes the profile that allows just that.
//! How calls are watched and what the profile says is `watch`'s.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::Args;

use super::launch::{Launch, launch};
use super::output::pretty;
use super::{ExitCode, Global};
use crate::container::{timestamp, write_whole};
use crate::error::{Doing, Result, escape, quote, quote_path};
use crate::profile::{Face, Profile, compare, is_at_most, to_toml};
use crate::seccomp::{Openings, Watch};
use crate::watch::{Recording, Supervisor, made_under};

/// How a line of the file begins that says what was recorded.
const RUN: &str = "# recorded ";

/// Arguments of `record`.
#[derive(Debug, Clone, Args)]
pub struct Record {
    /// File for the profile
    #[arg(long, short, value_name = "FILE.toml")]
    pub output: PathBuf,
    /// Keep what an earlier recording allows; the output may be the same file
    #[arg(long, value_name = "FILE.toml")]
    pub merge: Option<PathBuf>,
    /// File for the files that were used, as JSON
    #[arg(long, value_name = "FILE.json")]
    pub report: Option<PathBuf>,
    /// Let pass what the profile's filter denies: for programs that you trust, to see what they want
    #[arg(long)]
    pub permissive: bool,
    /// What is launched, and how.
    #[command(flatten)]
    pub launch: Launch,
}

/// Carries `record` out; its exit code is the program's.
///
/// # Errors
/// Whatever keeps the program from running, or the files from being read or written.
pub fn run(global: &Global, arguments: &Record) -> Result<ExitCode> {
    let old = arguments.merge.as_deref().map(Old::read).transpose()?;
    if let Some(old) = &old {
        let configuration = global.configuration()?;
        let choice = global.profile(&configuration, &BTreeMap::new(), Face::Launch)?;
        made_under(&old.profile, &choice.profile)?;
    }
    // What is passed without a question is passed whatever the profile says of it, where it is to be let pass.
    let openings = match (&arguments.report, arguments.permissive) {
        (None, false) => Openings::Passed,
        _ => Openings::Asked,
    };
    let watch = match arguments.permissive {
        true => Watch::Permissive(openings),
        false => Watch::Everything(openings),
    };
    let mut supervisor = Supervisor::new(watch)?;
    let (code, base) = launch(global, &arguments.launch, Some(&mut supervisor))?;
    if arguments.launch.explaining.explain.is_some() {
        eprint!("{}", supervisor.denials().text());
    }
    let (recording, denied) = supervisor.into_recording();
    write(arguments, recording, &denied, &base, old.as_ref())?;
    Ok(code)
}

/// An earlier recording.
struct Old {
    profile: Profile,
    /// What its file says was recorded.
    runs: Vec<String>,
}

impl Old {
    fn read(path: &Path) -> Result<Self> {
        // By its path, whatever it is called: never a built-in profile.
        let name = Path::new(".").join(path);
        let profile = Profile::load(&name.to_string_lossy())?;
        let doing = || format!("read {}", quote_path(path));
        let text = fs::read_to_string(path).doing(doing)?;
        let runs = text.lines().filter(|line| line.starts_with(RUN));
        Ok(Self {
            profile,
            runs: runs.map(str::to_owned).collect(),
        })
    }
}

fn write(
    arguments: &Record,
    mut recording: Recording,
    denied: &[String],
    base: &Profile,
    old: Option<&Old>,
) -> Result<()> {
    if let Some(path) = &arguments.report {
        let text = pretty(&recording.report(), "  ")? + "\n";
        fs::write(path, text).doing(|| format!("write {}", quote_path(path)))?;
    }
    if let Some(old) = old {
        recording.merge(&old.profile)?;
    }
    let name = arguments.output.file_stem().unwrap_or_default();
    let profile = recording.profile(base, &name.to_string_lossy(), old.map(|old| &old.profile))?;
    let calls_alone = Profile {
        seccomp: profile.seccomp.clone(),
        ..base.clone()
    };
    if !is_at_most(&compare(base, &calls_alone)?) {
        log::warn!(
            "the recording allows system calls that profile {} does not: see `stockade profile diff`",
            quote(&base.name)
        );
    }
    let mut text =
        String::from("# Written by `stockade record`: look it through before you rely on it.\n");
    for run in old.iter().flat_map(|old| &old.runs) {
        text.push_str(&format!("{run}\n"));
    }
    text.push_str(&told(arguments, &recording, denied));
    text.push_str(&to_toml(&profile)?);
    // The old one may be what is being merged.
    let output = &arguments.output;
    write_whole(output, &text).doing(|| format!("write {}", quote_path(output)))
}

/// What was recorded, as comments: in one line each, whatever the words hold.
fn told(arguments: &Record, recording: &Recording, denied: &[String]) -> String {
    let command = match &arguments.launch.command[..] {
        [] => "the image's command".to_owned(),
        words => words.iter().map(escape).collect::<Vec<_>>().join(" "),
    };
    let peaks = recording.peaks();
    let number =
        |peak: Option<u64>| peak.map_or_else(|| "unknown".to_owned(), |peak| peak.to_string());
    let mut text = format!(
        "{RUN}{}: {command}; at most {} bytes of memory, {} processes\n",
        timestamp(SystemTime::now()),
        number(peaks.memory),
        number(peaks.pids),
    );
    for line in denied {
        text.push_str(&format!("# denied meanwhile: {line}\n"));
    }
    text.push('\n');
    text
}
