//! Hooks that run in the runtime namespace: prestart, createRuntime, poststart, poststop (config.md, "POSIX-platform Hooks").
//! Those of the container namespace are steps of the plan. Whether a failure is fatal is the caller's to say.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{MemfdFlags, SeekFrom, memfd_create, seek};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use super::StateDocument;
use crate::error::{Doing, Error, Result, quote};
use crate::names;
use crate::spec::Hook;
use crate::sys::time_left;

/// How much of a hook's standard error is kept for the error, in bytes.
const KEPT: usize = 4096;

/// Runs the hooks of one kind in order, each with the state on its standard input, and stops at the first that fails.
/// `name` is the kind's name in config.json. `process` is a pidfd of the container's process, where a hook is of no use
/// without it: it is killed as soon as that process ends, and `delete --force` need not wait for a hook that hangs.
///
/// # Errors
/// Names the hook by kind, index and path: it cannot be run, fails, is killed or takes longer than its timeout.
pub fn run(
    hooks: &[Hook],
    name: &'static str,
    state: &StateDocument,
    process: Option<BorrowedFd<'_>>,
) -> Result<()> {
    hooks
        .iter()
        .enumerate()
        .try_for_each(|(index, hook)| run_one(hook, name, index, state, process))
}

/// Runs all the hooks of one kind in order whether they fail or not, as poststop wants it (runtime.md, "Lifecycle", 13),
/// and logs the failures as warnings.
pub fn run_all(hooks: &[Hook], name: &'static str, state: &StateDocument) {
    for (index, hook) in hooks.iter().enumerate() {
        if let Err(error) = run_one(hook, name, index, state, None) {
            log::warn!("{error}");
        }
    }
}

fn run_one(
    hook: &Hook,
    name: &'static str,
    index: usize,
    state: &StateDocument,
    process: Option<BorrowedFd<'_>>,
) -> Result<()> {
    let doing = || format!("run hooks.{name}[{index}] {}", quote(&hook.path));
    let (output, end) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).doing(doing)?;
    let child = spawn(hook, state, &end).doing(doing)?;
    drop(end);
    let mut running = Running {
        child,
        output,
        text: Vec::new(),
    };
    let end = running.wait(hook.timeout, process).doing(doing)?;
    // The words that callers of other runtimes look for.
    let failed = |how: String| {
        let cause = format!("error running {name} hook #{index}: {how}");
        Err(Error::new(doing(), cause + &running.first_line()))
    };
    match end {
        End::Own(status) if status.success() => Ok(()),
        End::Own(status) => failed(ended(status)),
        End::TimedOut => {
            let seconds = hook.timeout.unwrap_or_default();
            failed(format!("still running after {seconds} s, killed"))
        }
        End::Orphaned => failed("the container's process has ended, killed".to_owned()),
    }
}

fn spawn(hook: &Hook, state: &StateDocument, output: &OwnedFd) -> std::io::Result<Child> {
    let mut command = Command::new(&hook.path);
    let mut arguments = hook.args.iter();
    if let Some(zeroth) = arguments.next() {
        command.arg0(zeroth);
    }
    command.args(arguments);
    // Without `env` it inherits, as under other runtimes: PATH at least is what such hooks count on.
    if let Some(env) = &hook.env {
        let variables = env.iter().filter_map(|entry| entry.split_once('='));
        command.env_clear().envs(variables);
    }
    // The bundle may be gone when poststop hooks run.
    command.current_dir(if state.bundle.is_dir() {
        state.bundle.as_path()
    } else {
        "/".as_ref()
    });
    command.stdin(state_file(state)?);
    command.stdout(Stdio::null()).stderr(blocking(output)?);
    crate::sys::hook::confine(&mut command).spawn()
}

/// The state in memory that reads like a file: a hook that does not read it cannot block us, as it could with a pipe.
fn state_file(state: &StateDocument) -> std::io::Result<Stdio> {
    let mut file = std::fs::File::from(memfd_create(c"state", MemfdFlags::CLOEXEC)?);
    serde_json::to_writer(&mut file, state)?;
    seek(&file, SeekFrom::Start(0))?;
    Ok(file.into())
}

/// The hook's end of the pipe; a program expects that writing to it blocks.
fn blocking(end: &OwnedFd) -> std::io::Result<Stdio> {
    let copy = end.try_clone()?;
    rustix::io::ioctl_fionbio(&copy, false)?;
    Ok(copy.into())
}

/// Runs another program of the host for at most so many seconds; how it ended, and the first line of what it wrote to
/// standard error, for the end of an error. Without a status it was killed.
pub(super) fn run_within(
    command: &mut Command,
    seconds: i64,
) -> std::io::Result<(Option<ExitStatus>, String)> {
    let (output, end) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    command.stdout(Stdio::null()).stderr(blocking(&end)?);
    let child = crate::sys::hook::confine(command).spawn()?;
    // The command holds an end, too, which nothing waits for.
    drop(end);
    let mut running = Running {
        child,
        output,
        text: Vec::new(),
    };
    let status = match running.wait(Some(seconds), None)? {
        End::Own(status) => Some(status),
        End::TimedOut | End::Orphaned => None,
    };
    Ok((status, running.first_line()))
}

/// How a hook came to its end.
enum End {
    /// By itself.
    Own(ExitStatus),
    /// It was killed when its time was over.
    TimedOut,
    /// It was killed because the container's process had ended.
    Orphaned,
}

struct Running {
    child: Child,
    output: OwnedFd,
    text: Vec<u8>,
}

impl Running {
    /// Waits for the end, and kills the hook with its whole process group where the timeout or the end of `process` comes
    /// first. Descendants that keep the pipe open, such as a daemon, are not waited for.
    fn wait(
        &mut self,
        timeout: Option<i64>,
        process: Option<BorrowedFd<'_>>,
    ) -> std::io::Result<End> {
        let seconds = timeout.map(|seconds| u64::try_from(seconds).unwrap_or(0));
        let deadline =
            seconds.and_then(|seconds| Instant::now().checked_add(Duration::from_secs(seconds)));
        let pidfd = pidfd_open(Pid::from_child(&self.child), PidfdFlags::empty())?;
        let mut open = true;
        loop {
            let timeout = deadline.map(time_left);
            let watched = |fd| PollFd::from_borrowed_fd(fd, PollFlags::IN);
            let mut fds = vec![watched(pidfd.as_fd())];
            fds.extend(process.map(watched));
            if open {
                fds.push(watched(self.output.as_fd()));
            }
            let ready = rustix::io::retry_on_intr(|| poll(&mut fds, timeout.as_ref()))?;
            let has_ended = fds[0].revents().contains(PollFlags::IN);
            let is_orphaned = process.is_some() && fds[1].revents().contains(PollFlags::IN);
            open = open && self.drain()?;
            if has_ended {
                return self.child.wait().map(End::Own);
            }
            if is_orphaned {
                return self.kill(End::Orphaned);
            }
            if ready == 0 {
                return self.kill(End::TimedOut);
            }
        }
    }

    fn kill(&mut self, end: End) -> std::io::Result<End> {
        kill_process_group(Pid::from_child(&self.child), Signal::KILL)?;
        self.child.wait()?;
        Ok(end)
    }

    /// Reads what there is; `false` once the other end is closed.
    fn drain(&mut self) -> std::io::Result<bool> {
        let mut part = [0; 4096];
        // Bounded, so that a hook that never stops writing cannot keep us from its timeout.
        for _ in 0..16 {
            match rustix::io::retry_on_intr(|| rustix::io::read(&self.output, &mut part)) {
                Ok(0) => return Ok(false),
                Ok(length) => {
                    let room = KEPT.saturating_sub(self.text.len()).min(length);
                    self.text.extend_from_slice(&part[..room]);
                }
                Err(Errno::AGAIN) => return Ok(true),
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(true)
    }

    /// The first line that the hook wrote to standard error, for the end of an error.
    fn first_line(&self) -> String {
        let mut lines = self
            .text
            .split(|&byte| byte == b'\n')
            .map(<[u8]>::trim_ascii);
        lines
            .find(|line| !line.is_empty())
            .map(|line| format!(": {}", quote(line)))
            .unwrap_or_default()
    }
}

/// How a program ended, for an error.
pub(super) fn ended(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with {code}"),
        (None, Some(signal)) => format!("killed by {}", names::signal_words(signal)),
        (None, None) => "ended without a status".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::container::state::tests::sample;
    use crate::container::{Status, process};

    /// A hook that runs `script` by the shell, with the directory for its output.
    fn hook(script: &str) -> (tempfile::TempDir, Hook) {
        let directory = tempfile::tempdir().unwrap();
        let hook = Hook {
            path: "/bin/sh".into(),
            args: vec!["hook".into(), "-c".into(), script.into()],
            env: Some(vec![format!(
                "OUT={}",
                directory.path().join("out").display()
            )]),
            timeout: None,
        };
        (directory, hook)
    }

    fn run_it(hook: Hook) -> Result<()> {
        run(
            &[hook],
            "prestart",
            &sample("a").for_hooks(Status::Creating),
            None,
        )
    }

    #[test]
    fn a_hook_gets_the_state_its_arguments_and_nothing_of_our_environment() {
        let (directory, hook) =
            hook("{ echo \"$0\"; cat; echo; tr '\\0' ' ' </proc/self/environ; } >$OUT");
        let out = hook.env.clone().unwrap().concat();
        run_it(hook).unwrap();
        let found = fs::read_to_string(directory.path().join("out")).unwrap();
        let state = serde_json::to_string(&sample("a").for_hooks(Status::Creating)).unwrap();
        assert!(found.starts_with(&format!("hook\n{state}\n")), "{found}");
        assert!(found.contains(&out) && !found.contains("CARGO"), "{found}");
    }

    #[test]
    fn a_failing_hook_is_named_with_its_first_line() {
        let error = run_it(hook("echo chatter; echo 'bad \"thing\"' >&2; echo more >&2; exit 3").1)
            .unwrap_err();
        let expected = r#"run hooks.prestart[0] "/bin/sh": error running prestart hook #0: exited with 3: "bad \"thing\"""#;
        assert_eq!(error.to_string(), expected);
        let error = run_it(hook("kill -9 $$").1).unwrap_err();
        assert_eq!(
            error.to_string(),
            r#"run hooks.prestart[0] "/bin/sh": error running prestart hook #0: killed by signal 9 (SIGKILL)"#
        );
    }

    #[test]
    fn a_missing_hook_is_an_error() {
        let missing = Hook {
            path: "/nonexistent/hook".into(),
            ..Hook::default()
        };
        let error = run_it(missing).unwrap_err().to_string();
        assert!(
            error.starts_with(r#"run hooks.prestart[0] "/nonexistent/hook": no such file"#),
            "{error}"
        );
    }

    #[test]
    fn a_timeout_kills_the_hook_and_its_children() {
        let (directory, mut hook) = hook("sleep 60 & echo $! >$OUT; wait");
        hook.timeout = Some(3);
        let begin = Instant::now();
        let error = run_it(hook).unwrap_err();
        assert_eq!(
            error.to_string(),
            r#"run hooks.prestart[0] "/bin/sh": error running prestart hook #0: still running after 3 s, killed"#
        );
        assert!(begin.elapsed() < Duration::from_secs(30));
        let child: i32 = fs::read_to_string(directory.path().join("out"))
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        // Killed together with the hook, but nobody of ours reaps it: its end comes a moment later.
        let Some(started) = process::start_time(child) else {
            return;
        };
        let pidfd = process::open(child, started).unwrap();
        assert!(pidfd.is_none_or(|pidfd| process::wait(&pidfd, 30).unwrap()));
    }

    #[test]
    fn a_hook_ends_with_the_process_that_it_is_for() {
        let mut process = Command::new("true").spawn().unwrap();
        let pidfd = pidfd_open(Pid::from_child(&process), PidfdFlags::empty()).unwrap();
        let state = sample("a").for_hooks(Status::Creating);
        let hanging = [hook("sleep 60").1];
        let begin = Instant::now();
        let error = run(&hanging, "createRuntime", &state, Some(pidfd.as_fd())).unwrap_err();
        process.wait().unwrap();
        assert_eq!(
            error.to_string(),
            r#"run hooks.createRuntime[0] "/bin/sh": error running createRuntime hook #0: the container's process has ended, killed"#
        );
        assert!(begin.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_daemon_of_a_hook_is_not_waited_for() {
        let begin = Instant::now();
        run_it(hook("(trap '' HUP; sleep 30) & exit 0").1).unwrap();
        assert!(begin.elapsed() < Duration::from_secs(25));
    }

    #[test]
    fn a_hook_that_ignores_a_large_state_or_writes_much_is_fine() {
        let mut state = sample("a").for_hooks(Status::Creating);
        state.annotations.insert("big".into(), "x".repeat(200_000));
        let hook = hook("exec <&-; head -c 300000 /dev/zero; exit 0").1;
        run(&[hook], "prestart", &state, None).unwrap();
    }

    #[test]
    fn no_descriptor_of_ours_reaches_a_hook() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"secret").unwrap();
        rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).unwrap();
        let (directory, hook) = hook("ls /proc/self/fd >$OUT");
        run_it(hook).unwrap();
        let found = fs::read_to_string(directory.path().join("out")).unwrap();
        // The fourth is that of ls on the directory.
        assert_eq!(found, "0\n1\n2\n3\n");
    }

    #[test]
    fn a_hook_that_cannot_be_executed_is_an_error() {
        let (directory, _) = hook("");
        let path = directory.path().join("plain");
        fs::write(&path, "exit 0\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let plain = Hook {
            path: path.to_str().unwrap().into(),
            ..Hook::default()
        };
        assert!(
            run_it(plain)
                .unwrap_err()
                .to_string()
                .contains("permission denied (EACCES)")
        );
    }
}
