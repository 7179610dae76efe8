//! One call of a program with a time limit, its two streams in files.
//! Files, because a container inherits the streams: a pipe would not end before the container does.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

use super::Output;

/// Long enough for a busy machine with two cores, short enough to notice a hang.
const LIMIT: Duration = Duration::from_secs(30);

/// A call that is not made yet.
pub(crate) struct Call {
    command: Command,
    stdout: PathBuf,
    stderr: PathBuf,
    limit: Duration,
}

impl Call {
    /// `scratch` is the directory for the two streams.
    pub(crate) fn new(program: impl AsRef<OsStr>, scratch: &Path) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let stdout = scratch.join(format!("{number}.stdout"));
        let stderr = scratch.join(format!("{number}.stderr"));
        let mut command = Command::new(program);
        command
            .stdin(Stdio::null())
            .stdout(File::create(&stdout).unwrap())
            .stderr(File::create(&stderr).unwrap())
            .env_remove("LISTEN_FDS")
            .env_remove("LISTEN_PID");
        Self {
            command,
            stdout,
            stderr,
            limit: LIMIT,
        }
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    pub(crate) fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn directory(mut self, path: &Path) -> Self {
        self.command.current_dir(path);
        self
    }

    pub(crate) fn stdin(mut self, stdin: impl Into<Stdio>) -> Self {
        self.command.stdin(stdin);
        self
    }

    /// All three streams are this terminal.
    pub(crate) fn terminal(mut self, end: &OwnedFd) -> Self {
        let stream = || Stdio::from(end.try_clone().unwrap());
        self.command
            .stdin(stream())
            .stdout(stream())
            .stderr(stream());
        self
    }

    /// Standard output is this.
    pub(crate) fn to(mut self, stdout: impl Into<Stdio>) -> Self {
        self.command.stdout(stdout);
        self
    }

    /// Makes the call as an unprivileged user.
    pub(crate) fn user(mut self, uid: u32, gid: u32) -> Self {
        self.command.uid(uid).gid(gid);
        self
    }

    /// Makes the call as a user without privileges whose own directory this is.
    pub(crate) fn nobody(self, home: &Path) -> Self {
        self.user(65534, 65534).home(home)
    }

    /// Where whoever is called has its files.
    pub(crate) fn home(self, home: &Path) -> Self {
        let variables = ["XDG_RUNTIME_DIR", "TMPDIR", "HOME"];
        let home_is = |call: Self, name: &&str| call.env(name, home.to_str().unwrap());
        variables
            .iter()
            .fold(self, home_is)
            .directory(Path::new("/"))
    }

    pub(crate) fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Makes the call and waits for its end; fails the test when the limit passes first.
    #[track_caller]
    pub(crate) fn output(self) -> Output {
        self.spawn().wait()
    }

    /// Makes the call and drops it; true where it cannot even begin, for the user or path that it has.
    pub(crate) fn spawn_fails(mut self) -> bool {
        let Ok(mut child) = self.command.spawn() else {
            return true;
        };
        child.wait().unwrap();
        false
    }

    /// Makes the call and lets it run.
    #[track_caller]
    pub(crate) fn spawn(mut self) -> Running {
        let shown = format!("{:?}", self.command);
        let child = self
            .command
            .spawn()
            .unwrap_or_else(|e| panic!("{shown}: {e}"));
        Running {
            child,
            shown,
            stdout: self.stdout,
            stderr: self.stderr,
            limit: self.limit,
        }
    }
}

/// A call that was made; killed if the test drops it early.
pub(crate) struct Running {
    child: Child,
    shown: String,
    stdout: PathBuf,
    stderr: PathBuf,
    limit: Duration,
}

impl Running {
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).unwrap();
    }

    /// Has it ended?
    pub(crate) fn has_ended(&self) -> bool {
        wait_for_exit(self.child.id(), Duration::ZERO)
    }

    /// What it wrote until now.
    pub(crate) fn stdout(&self) -> String {
        read(&self.stdout)
    }

    /// What it wrote to standard error until now.
    pub(crate) fn stderr(&self) -> String {
        read(&self.stderr)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until standard output has this text.
    #[track_caller]
    pub(crate) fn says(&self, text: &str) {
        super::eventually(&format!("{} says {text:?}", self.shown), || {
            self.stdout().contains(text)
        });
    }

    /// Waits for its end; fails the test when the limit passes first.
    #[track_caller]
    pub(crate) fn wait(mut self) -> Output {
        let ended = wait_for_exit(self.child.id(), super::patience(self.limit));
        if !ended {
            self.child.kill().unwrap();
        }
        let status = self.child.wait().unwrap();
        let output = Output {
            code: status
                .code()
                .unwrap_or_else(|| -status.signal().expect("exited or killed")),
            stdout: read(&self.stdout),
            stderr: read(&self.stderr),
        };
        assert!(
            ended,
            "no end after {:?}: {}: {output:#?}",
            self.limit, self.shown
        );
        output
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Fails only after `wait`, which is what is wanted.
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Waits for the end of a process that must end; false where it does not.
pub(crate) fn ends(pid: u32) -> bool {
    wait_for_exit(pid, super::patience(super::SOON))
}

/// Waits for the end of any process; false when the limit passes first.
pub(crate) fn wait_for_exit(pid: u32, limit: Duration) -> bool {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) else {
        return true;
    };
    let end = Instant::now() + limit;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).unwrap();
        let mut fds = [PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN)];
        match poll(&mut fds, Some(&timeout)) {
            Ok(0) => return false,
            Ok(_) => return true,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => panic!("poll a pidfd: {error}"),
        }
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned()
}
