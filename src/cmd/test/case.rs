//! One case: stockade itself as a child, `launch` or `run`, with a state directory of its own that is gone afterwards.
//! What its end is held against is `judge`'s.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::Deserialize;
use serde_json::{Value, json};

use super::file::{Case, Place};
use crate::cmd::Global;
use crate::container::{Entry, Store, Unless, delete};
use crate::error::{Doing, Error, Result, quote_path};
use crate::sys::signal;

/// Of each stream no more than this is kept.
const MOST: u64 = 1 << 20;

/// How long what is asked to end gets for it.
const PATIENCE: Duration = Duration::from_secs(10);

/// How a case came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// By itself.
    Own,
    /// It was killed when its time was over.
    TimedOut,
    /// It was killed because the whole is to end.
    Interrupted,
}

/// What came of a case.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) end: End,
    /// The program's; above 128 by the signal.
    pub(super) code: i32,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
    /// Why the program did not run.
    pub(super) error: Option<String>,
    pub(super) denials: Vec<Denial>,
    /// None where it was not looked at.
    pub(super) limits_hit: Option<Vec<String>>,
    pub(super) took: Duration,
}

/// What `--explain=FILE` says of one kind of denial.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Denial {
    pub(super) call: String,
    pub(super) arguments: String,
    pub(super) program: String,
    pub(super) answer: String,
    pub(super) rule: Option<String>,
    pub(super) allow_with: Option<String>,
    pub(super) count: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    denials: Vec<Denial>,
    limits_hit: Option<Vec<String>>,
}

/// Runs it in `directory`, which is empty and will be again. It is killed as soon as there is something to read from `stop`.
///
/// # Errors
/// The child cannot be started or waited for, or something of it stays behind.
pub(super) fn run(
    global: &Global,
    case: &Case,
    directory: &Path,
    stop: BorrowedFd<'_>,
) -> Result<Ended> {
    let files = Files::of(directory);
    let ran = files.command(global, case).and_then(|mut command| {
        let start = Instant::now();
        let (end, status, [stdout, stderr]) = watched(&mut command, case, &files, stop)?;
        let told = files.told()?;
        let killed = || 128 + status.signal().unwrap_or(0);
        Ok(Ended {
            end,
            code: status.code().unwrap_or_else(killed),
            stdout,
            stderr,
            error: files.error()?,
            denials: told.denials,
            limits_hit: told.limits_hit,
            took: start.elapsed(),
        })
    });
    let cleared = files.clear();
    let ended = ran?;
    cleared.map(|()| ended)
}

/// Where what a case needs lies.
struct Files {
    /// The container's id, which is in the name of its cgroup.
    id: String,
    root: PathBuf,
    bundle: PathBuf,
    config: PathBuf,
    denials: PathBuf,
    log: PathBuf,
    stdin: PathBuf,
}

impl Files {
    fn of(directory: &Path) -> Self {
        let number = directory.file_name().unwrap_or_default();
        Self {
            id: format!("test-{}-{}", std::process::id(), number.display()),
            root: directory.join("root"),
            bundle: directory.join("bundle"),
            config: directory.join("bundle/config.json"),
            denials: directory.join("denials.json"),
            log: directory.join("log.json"),
            stdin: directory.join("stdin"),
        }
    }

    fn command(&self, global: &Global, case: &Case) -> Result<Command> {
        let mut command = Command::new("/proc/self/exe");
        // By its name a program can be told which profile is the default one.
        command.arg0(std::env::args_os().next().unwrap_or_default());
        command.arg("--root").arg(&self.root);
        command
            .arg("--log")
            .arg(&self.log)
            .args(["--log-format", "json"]);
        if let Some(profile) = &case.profile {
            command.args(["--profile", profile]);
        }
        if let Some(config) = &global.config {
            command.arg("--config").arg(config);
        }
        if global.systemd_cgroup {
            command.arg("--systemd-cgroup");
        }
        let report = self.report(case);
        match &case.place {
            Place::Source(source) => {
                command.args(["launch", "--tty=never"]);
                command.args(report);
                flags(&mut command, case)?;
                command.arg(source).arg("--").args(&case.text.command);
            }
            Place::Bundle(bundle) => {
                command.arg("run").args(report);
                self.copy_config(bundle, &case.text.command)?;
                command.arg("--bundle").arg(&self.bundle).arg(&self.id);
            }
        }
        command.stdin(match &case.text.stdin {
            None => Stdio::null(),
            Some(text) => {
                let doing = || format!("write {}", quote_path(&self.stdin));
                fs::write(&self.stdin, text).doing(doing)?;
                File::open(&self.stdin).doing(doing)?.into()
            }
        });
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(command)
    }

    /// The flag for what `told` reads, where the case needs it.
    fn report(&self, case: &Case) -> Option<OsString> {
        let expect = &case.text.expect;
        // What the config of a bundle may have is more than a filter that asks can do.
        let is_explained = match case.place {
            Place::Source(_) => case.has_filter || expect.asks_for_denials(),
            Place::Bundle(_) => expect.asks_for_denials(),
        };
        let mut flag = OsString::from(match (is_explained, &expect.limits_hit) {
            (true, _) => "--explain=",
            (false, Some(_)) => "--limits-hit=",
            (false, None) => return None,
        });
        flag.push(&self.denials);
        Some(flag)
    }

    /// The bundle's config with a command, and without what two containers of it could not share.
    fn copy_config(&self, bundle: &Path, command: &[String]) -> Result<()> {
        let path = bundle.join("config.json");
        let doing = || format!("read {}", quote_path(&path));
        let bundle = std::path::absolute(bundle).doing(doing)?;
        let text = fs::read_to_string(&path).doing(doing)?;
        let mut config: Value = serde_json::from_str(&text).doing(doing)?;
        let whole = |value: &mut Value| {
            if let Some(path) = value.as_str() {
                *value = json!(bundle.join(path));
            }
        };
        if let Some(path) = config.pointer_mut("/root/path") {
            whole(path);
        }
        for mount in config["mounts"].as_array_mut().into_iter().flatten() {
            let is_bind = |option: &Value| option == "bind" || option == "rbind";
            if mount["options"]
                .as_array()
                .is_some_and(|options| options.iter().any(is_bind))
                && let Some(source) = mount.get_mut("source")
            {
                whole(source);
            }
        }
        if let Some(process) = config
            .get_mut("process")
            .filter(|process| process.is_object())
        {
            process["terminal"] = json!(false);
            if !command.is_empty() {
                process["args"] = json!(command);
            }
        }
        if let Some(linux) = config.get_mut("linux").and_then(Value::as_object_mut) {
            linux.remove("cgroupsPath");
        }
        fs::create_dir(&self.bundle).doing(|| format!("make {}", quote_path(&self.bundle)))?;
        fs::write(&self.config, config.to_string())
            .doing(|| format!("write {}", quote_path(&self.config)))
    }

    /// Empty where the program did not run.
    fn told(&self) -> Result<Told> {
        match fs::read_to_string(&self.denials) {
            Ok(text) if !text.is_empty() => {
                serde_json::from_str(&text).doing(|| "read the report of denials")
            }
            _ => Ok(Told::default()),
        }
    }

    /// The last of the log is what clients show.
    fn error(&self) -> Result<Option<String>> {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        for line in text.lines().rev() {
            let record: Value = serde_json::from_str(line).doing(|| "read the log")?;
            if record["level"] == "error" {
                return Ok(record["msg"].as_str().map(str::to_owned));
            }
        }
        Ok(None)
    }

    /// Removes the container, if there still is one, and the files, one by one: below what is not known may be a mount.
    fn clear(&self) -> Result<()> {
        if self.root.exists() {
            let store = Store::open(&self.root)?;
            for entry in store.list()? {
                delete(&store, entry.id(), Unless::Forced)?;
            }
            drop(store);
            self.await_keeper()?;
        }
        for file in [&self.config, &self.denials, &self.log, &self.stdin] {
            gone(file, fs::remove_file(file))?;
        }
        gone(&self.bundle, fs::remove_dir(&self.bundle))
    }

    /// Whoever cleans up in the place of a killed launch does it in its own time.
    fn await_keeper(&self) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        loop {
            match fs::remove_dir(&self.root) {
                Err(error)
                    if error.kind() == std::io::ErrorKind::DirectoryNotEmpty
                        && Instant::now() < until =>
                {
                    thread::sleep(Duration::from_millis(20));
                }
                other => return gone(&self.root, other),
            }
        }
    }
}

fn gone(path: &Path, removed: std::io::Result<()>) -> Result<()> {
    match removed {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other.doing(|| format!("remove {}", quote_path(path))),
    }
}

fn flags(command: &mut Command, case: &Case) -> Result<()> {
    let text = &case.text;
    for variable in &text.env {
        command.args(["--env", variable]);
    }
    for bind in &text.binds {
        let directory = case.file.parent().unwrap_or(Path::new(""));
        let directory = std::env::current_dir()
            .doing(|| "find the directory of the cases")?
            .join(directory);
        let mut whole = directory.join("").into_os_string();
        if bind.starts_with('/') {
            whole.clear();
        }
        whole.push(bind);
        command.arg("--bind").arg(whole);
    }
    let numbers = [
        ("--memory", text.memory),
        ("--pids", text.pids.map(i64::from)),
    ];
    for (flag, number) in numbers {
        if let Some(number) = number {
            command.args([flag, &number.to_string()]);
        }
    }
    if let Some(user) = &text.user {
        command.args(["--user", user]);
    }
    Ok(())
}

type Streams = [Vec<u8>; 2];

fn watched(
    command: &mut Command,
    case: &Case,
    files: &Files,
    stop: BorrowedFd<'_>,
) -> Result<(End, ExitStatus, Streams)> {
    let doing = || "run the case";
    signal::begin_unblocked(command);
    let mut child = command.spawn().doing(doing)?;
    let stdout = child.stdout.take().map(kept);
    let stderr = child.stderr.take().map(kept);
    let end = wait(&mut child, case.text.timeout, stop)?;
    if end != End::Own {
        put_down(&mut child, files)?;
    }
    let status = child.wait().doing(doing)?;
    let streams = [stdout, stderr].map(|reader| {
        let read = reader.map(thread::JoinHandle::join);
        read.and_then(std::result::Result::ok).unwrap_or_default()
    });
    Ok((end, status, streams))
}

/// Reads to the end, so that the writer is never held up, and keeps the beginning.
fn kept(mut stream: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut text = Vec::new();
        // A stream that cannot be read is one that ends early.
        let _ = (&mut stream).take(MOST).read_to_end(&mut text);
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
        text
    })
}

fn wait(child: &mut Child, limit: Duration, stop: BorrowedFd<'_>) -> Result<End> {
    let doing = || "wait for the case";
    let pid = Pid::from_child(child);
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).doing(doing)?;
    let until = Instant::now() + limit;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let left =
            Timespec::try_from(left).map_err(|_| Error::new(doing(), "the time is too long"))?;
        let mut fds = [
            PollFd::new(&pidfd, PollFlags::IN),
            PollFd::from_borrowed_fd(stop, PollFlags::IN),
        ];
        match poll(&mut fds, Some(&left)) {
            Err(rustix::io::Errno::INTR) => continue,
            other => other.doing(doing)?,
        };
        if !fds[0].revents().is_empty() {
            return Ok(End::Own);
        }
        if !fds[1].revents().is_empty() {
            return Ok(End::Interrupted);
        }
        if Instant::now() >= until {
            return Ok(End::TimedOut);
        }
    }
}

/// The program first, so that stockade ends as it always does; then stockade itself.
fn put_down(child: &mut Child, files: &Files) -> Result<()> {
    let doing = || "end the case";
    let pidfd = pidfd_open(Pid::from_child(child), PidfdFlags::empty()).doing(doing)?;
    // For what is not in a container yet, such as an image that is being unpacked. It may have ended meanwhile.
    let _ = signal::send(pidfd.as_fd(), libc::SIGTERM);
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        if child.try_wait().doing(doing)?.is_some() {
            return Ok(());
        }
        if let Ok(store) = Store::open(&files.root) {
            // Before there is something to kill, it would be waited for.
            let known = |entry: &Entry| entry.remains().is_some();
            for entry in store.list().unwrap_or_default().into_iter().filter(known) {
                if let Err(error) = delete(&store, entry.id(), Unless::Forced) {
                    log::debug!("{error}");
                }
            }
        }
        thread::sleep(Duration::from_millis(20));
    }
    child.kill().doing(doing)
}
