//! `probe`: tries from inside of a sandbox what a confined program must not be able to do, and says how much of it is open.
//! What is tried and what is promised is `probe`'s; here is where it is run.

use std::ffi::CStr;
use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use clap::Args;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

use super::checks::CheckFlags;
use super::output::columns;
use super::{ExitCode, Global, print};
use crate::configuration::Configuration;
use crate::container::{self, Attachment, Execution, Overrides, Paused, Request, Wanted};
use crate::error::{Doing, Error, Result, quote, quote_path};
use crate::image::{Platform, Policy};
use crate::plan::Options;
use crate::probe::{self, Answered, Promise};
use crate::profile::{Change, Choice, Face};
use crate::spec::{Bundle, Process};
use crate::terminal::Shown;

/// Arguments of `probe`.
#[derive(Debug, Clone, Args)]
pub struct Probing {
    /// In a container of this bundle, in place of its program
    #[arg(long, short, value_name = "DIR", group = "place")]
    pub bundle: Option<PathBuf>,
    /// In a running container, beside its program
    #[arg(long, value_name = "ID", group = "place")]
    pub container: Option<String>,
    /// Right here, without a sandbox; held against what --profile promises
    #[arg(long, group = "place")]
    pub host: bool,
    /// Only these probes
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub only: Vec<String>,
    /// List the probes and why they matter, and run none
    #[arg(long, conflicts_with_all = ["place", "only"])]
    pub list: bool,
    /// When it is a failure, and for whom it is written.
    #[command(flatten)]
    pub flags: CheckFlags,
}

impl Probing {
    /// Whether a sandbox is made or entered.
    pub fn enters(&self) -> bool {
        !self.host && !self.list
    }
}

/// Runs the probes and prints what came of them.
///
/// # Errors
/// The sandbox cannot be made or entered, or the probes tell nothing.
pub fn run(global: &Global, arguments: &Probing) -> Result<ExitCode> {
    if arguments.list {
        return list();
    }
    check_ids(&arguments.only)?;
    let configuration = global.configuration()?;
    let (subject, answers, promise) = if let Some(path) = &arguments.bundle {
        in_bundle(global, &configuration, path, &arguments.only)?
    } else if let Some(id) = &arguments.container {
        in_container(global, id, &arguments.only)?
    } else if arguments.host {
        here(global, &configuration, &arguments.only)?
    } else {
        in_embedded(global, &configuration, &arguments.only)?
    };
    arguments
        .flags
        .tell(&probe::checks(&subject, &answers, &promise))
}

fn list() -> Result<ExitCode> {
    let mut rows = vec![["ID", "SEVERITY", "WHAT", "WHY"].map(str::to_owned)];
    rows.extend(probe::ROWS.iter().map(|row| {
        let severity = row.severity.word().to_owned();
        [
            row.id.to_owned(),
            severity,
            row.title.to_owned(),
            row.why.to_owned(),
        ]
    }));
    print(&columns(&rows))?;
    Ok(ExitCode::Done)
}

fn check_ids(ids: &[String]) -> Result<()> {
    let is_known = |id: &&String| probe::ROWS.iter().any(|row| row.id == **id);
    match ids.iter().find(|id| !is_known(id)) {
        None => Ok(()),
        Some(id) => Err(
            Error::new("use --only", format!("there is no probe {}", quote(id)))
                .hint("stockade probe --list has their names"),
        ),
    }
}

type Probed = (String, Vec<Answered>, Promise);

/// What the program that probes is called with.
fn words(only: &[String]) -> Vec<String> {
    let mut words = vec!["inside".to_owned(), "--answers".to_owned()];
    if !only.is_empty() {
        words.extend(["--only".to_owned(), only.join(",")]);
    }
    words
}

fn here(global: &Global, configuration: &Configuration, only: &[String]) -> Result<Probed> {
    let choice = choice(global, configuration)?;
    let confined = container::embedded(&request(global, configuration), &choice.profile)?;
    let subject = format!(
        "this process, against profile {}",
        quote(&choice.profile.name)
    );
    let answers = probe::answers(|id| only.is_empty() || only.iter().any(|asked| asked == id));
    Ok((subject, answers, Promise::of(&confined)?))
}

fn in_embedded(global: &Global, configuration: &Configuration, only: &[String]) -> Result<Probed> {
    let choice = choice(global, configuration)?;
    let promise = std::cell::RefCell::new(Promise::default());
    let store = global.store()?;
    let streams = Streams::new()?;
    let request = container::Launch {
        streams: Some(streams.numbers()),
        ..request(global, configuration)
    };
    let arguments = |confined: &_| {
        *promise.borrow_mut() = Promise::of(confined)?;
        Ok(words(only))
    };
    let code = container::launch(&store, &request, &choice, &arguments, None)?;
    let answers = streams.answers(code)?;
    let subject = format!("profile {}", quote(&choice.profile.name));
    Ok((subject, answers, promise.into_inner()))
}

fn choice(global: &Global, configuration: &Configuration) -> Result<Choice> {
    global.profile(
        configuration,
        &std::collections::BTreeMap::new(),
        Face::Launch,
    )
}

fn request(global: &Global, configuration: &Configuration) -> container::Launch {
    container::Launch {
        source: None,
        name: None,
        platform: Platform::host(),
        limits: configuration.limits.clone(),
        shown: Shown::Never,
        command: Vec::new(),
        environment: Vec::new(),
        binds: Vec::new(),
        workdir: None,
        user: None,
        network: container::Network::None,
        memory: None,
        cpu_quota: None,
        pids: None,
        tty: container::Tty::Never,
        streams: None,
        map: container::Map::Auto,
        images: None,
        policy: Policy::default(),
        cgroups: global.driver(),
    }
}

/// Nothing of the bundle's own runs: not its program, and not its hooks.
fn in_bundle(
    global: &Global,
    configuration: &Configuration,
    path: &Path,
    only: &[String],
) -> Result<Probed> {
    let mut bundle = Bundle::load(path)?;
    let choice = global.profile(configuration, &bundle.config.annotations, Face::Oci)?;
    let program = own_program()?;
    let process = bundle.config.process.as_mut();
    let process: &mut Process = process.ok_or_else(|| {
        Error::new(
            format!("probe in {}", quote_path(path)),
            "the config has no process",
        )
    })?;
    process.args = [vec![by_proc(&program)], words(only)].concat();
    process.terminal = false;
    process.console_size = None;
    "/".clone_into(&mut process.cwd);
    bundle.config.hooks = None;
    if let Some(linux) = &mut bundle.config.linux {
        // A container of this bundle may be running there.
        linux.cgroups_path = None;
    }
    let id = format!("probe-{}", std::process::id());
    let streams = Streams::new()?;
    let options = Options {
        cgroups: global.driver(),
        program: Some(program.as_raw_fd()),
        streams: Some(streams.numbers()),
        ..Options::default()
    };
    let store = global.store()?;
    let prepared = container::prepare(bundle, &id, &choice, options)?;
    prepared.tightened.changes.iter().for_each(Change::log);
    let promise = Promise::of(&prepared.tightened)?;
    let request = Request {
        id,
        profile: choice.profile.name.clone(),
        ..Request::default()
    };
    let code = container::run(&store, prepared, &request, Attachment::Foreground, None)?;
    let answers = streams.answers(code)?;
    let name = quote(&choice.profile.name);
    let subject = format!("bundle {}, profile {name}", quote_path(path));
    Ok((subject, answers, promise))
}

fn in_container(global: &Global, id: &str, only: &[String]) -> Result<Probed> {
    let entry = global.store()?.load(id)?;
    let promise = Promise::of(&container::confined(&entry)?)?.of_another_process();
    let program = own_program()?;
    let streams = Streams::new()?;
    let request = Execution {
        wanted: Wanted::Command(Box::new(Overrides {
            args: [vec![by_proc(&program)], words(only)].concat(),
            cwd: Some("/".to_owned()),
            ..Overrides::default()
        })),
        cgroups: Vec::new(),
        console_socket: None,
        pid_file: None,
        pidfd_socket: None,
        preserve_fds: 0,
        attachment: Attachment::Foreground,
        paused: Paused::Refused,
        program: Some(program.as_raw_fd()),
        streams: Some(streams.numbers()),
    };
    let answers = streams.answers(container::exec(&entry, &request)?)?;
    Ok((format!("container {}", quote(id)), answers, promise))
}

/// This very program as a file that lies in no root filesystem, and that nothing inside can change.
fn own_program() -> Result<OwnedFd> {
    container::seal::copy().doing(|| "copy the program that probes")
}

/// Where a filter refuses execveat(2), the descriptor is still this file.
fn by_proc(program: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", program.as_raw_fd())
}

/// More than all answers are; whoever is in the container may write there, too.
const MOST: u64 = 1 << 20;
/// The same of what the program that probes says when it fails.
const MOST_SAID: u64 = 1 << 16;

/// What a program that probes has for its standard streams: nothing to read, and files in memory to write to. It runs beside
/// programs that may open what it has open. A terminal would obey them, and the caller's files are not theirs to write.
struct Streams {
    input: File,
    answers: File,
    said: File,
}

impl Streams {
    fn new() -> Result<Self> {
        let doing = || "collect the answers";
        Ok(Self {
            input: File::open("/dev/null").doing(doing)?,
            answers: in_memory(c"answers", MOST).doing(doing)?,
            said: in_memory(c"said", MOST_SAID).doing(doing)?,
        })
    }

    fn numbers(&self) -> [i32; 3] {
        [&self.input, &self.answers, &self.said].map(AsRawFd::as_raw_fd)
    }

    /// What the program wrote until it ended with `code`, as answers. They are read as data: what comes from inside reaches
    /// no terminal as it is.
    fn answers(&self, code: i32) -> Result<Vec<Answered>> {
        let doing = || "collect the answers";
        if code != 0 {
            let said = written(&self.said, MOST_SAID).doing(doing)?;
            let mut lines = said.rsplit(|byte| *byte == b'\n');
            let said = lines
                .find(|line| !line.is_empty())
                .map_or_else(String::new, |line| format!(": {}", quote(line)));
            let cause = format!("the program that probes ended with {code}{said}");
            return Err(Error::new(doing(), cause));
        }
        serde_json::from_slice(&written(&self.answers, MOST).doing(doing)?).doing(doing)
    }
}

/// A file that does not grow beyond `most` bytes, whoever writes to it. They are there from the beginning, as zeros.
fn in_memory(name: &CStr, most: u64) -> std::io::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = File::from(memfd_create(name, flags)?);
    file.set_len(most)?;
    fcntl_add_seals(&file, SealFlags::GROW | SealFlags::SEAL)?;
    Ok(file)
}

fn written(file: &File, most: u64) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let mut file = file;
    file.rewind()?;
    file.take(most).read_to_end(&mut text)?;
    let length = text.iter().rposition(|byte| *byte != 0);
    text.truncate(length.map_or(0, |last| last + 1));
    Ok(text)
}
