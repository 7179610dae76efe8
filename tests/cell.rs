//! A cell: one busybox bundle, a configuration that a test edits by JSON pointer, and one run of it.
//! Not here: claims. A test that needs more than `run` calls the runtime's verbs through [`Cell::runtime`].

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(20);
const BUSYBOX: &str = "/bin/busybox";

/// What one command did; `code` is 128 + the signal's number for a killed one.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    /// The output of a run that must succeed.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.stdout
    }

    /// A start that the runtime itself must refuse, with these words in its one error line.
    #[track_caller]
    pub(crate) fn refused(&self, words: &[&str]) {
        assert_ne!(self.code, 0, "must be refused: {self:?}");
        assert!(!self.stdout.contains("STARTED"), "it ran: {self:?}");
        assert!(self.code < 128, "a signal is no refusal: {self:?}");
        assert!(!self.stderr.contains("panicked"), "{self:?}");
        if is_stockade() {
            let first = self.stderr.lines().next().unwrap_or_default();
            assert!(first.starts_with("error: "), "{self:?}");
            for word in words {
                assert!(first.contains(word), "no {word:?} in {first:?}");
            }
        }
    }
}

/// One bundle with its own state directory; everything vanishes with it.
pub(crate) struct Cell {
    dir: TempDir,
    pub(crate) config: Value,
    profile: &'static str,
    flags: Vec<String>,
}

impl Cell {
    pub(crate) fn new() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("cell-")
            .tempdir()
            .expect("a scratch directory");
        make_rootfs(&dir.path().join("rootfs"));
        fs::create_dir(dir.path().join("state")).unwrap();
        Self {
            dir,
            config: first_config(),
            profile: "none",
            flags: Vec::new(),
        }
    }

    pub(crate) fn profile(mut self, name: &'static str) -> Self {
        self.profile = name;
        self
    }

    /// A flag of `run` and `create`.
    pub(crate) fn flag(mut self, flag: &str) -> Self {
        self.flags.push(flag.to_owned());
        self
    }

    /// Sets the value at a JSON pointer; objects on the way are made, `-` appends to an array.
    pub(crate) fn set(mut self, pointer: &str, value: Value) -> Self {
        let mut at = &mut self.config;
        for part in pointer.split('/').skip(1) {
            at = step(at, part);
        }
        *at = value;
        self
    }

    pub(crate) fn unset(mut self, pointer: &str) -> Self {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        if let Some(Value::Object(map)) = self.config.pointer_mut(parent) {
            map.remove(name);
        }
        self
    }

    pub(crate) fn mount(self, mount: Value) -> Self {
        self.set("/mounts/-", mount)
    }

    /// All capabilities, for tests whose subject is what the kernel refuses even to root.
    pub(crate) fn all_capabilities(self) -> Self {
        let all: Vec<String> = CAPABILITIES
            .iter()
            .map(|name| format!("CAP_{name}"))
            .collect();
        self.set(
            "/process/capabilities",
            json!({"bounding": all, "effective": all, "permitted": all}),
        )
    }

    pub(crate) fn bundle(&self) -> &Path {
        self.dir.path()
    }

    /// A path of the root filesystem, seen from the host.
    pub(crate) fn root(&self, path: &str) -> PathBuf {
        self.dir
            .path()
            .join("rootfs")
            .join(path.trim_start_matches('/'))
    }

    /// A host directory outside the root, for an attack to aim at, with one file `canary` in it.
    pub(crate) fn target(&self) -> PathBuf {
        let target = self.dir.path().join("target");
        if !target.exists() {
            fs::create_dir(&target).unwrap();
            fs::write(target.join("canary"), "untouched").unwrap();
        }
        target
    }

    /// Nothing was made, changed or removed in [`Cell::target`].
    #[track_caller]
    pub(crate) fn target_is_untouched(&self) {
        let target = self.target();
        let names: Vec<_> = fs::read_dir(&target)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["canary"], "the host directory was changed");
        assert_eq!(
            fs::read_to_string(target.join("canary")).unwrap(),
            "untouched"
        );
    }

    pub(crate) fn id(&self) -> String {
        let name = self.dir.path().file_name().unwrap().to_str().unwrap();
        name.replace('.', "-")
    }

    pub(crate) fn write_config(&self) {
        let text = serde_json::to_string_pretty(&self.config).unwrap();
        fs::write(self.dir.path().join("config.json"), text).unwrap();
    }

    /// The runtime with its global flags, and a verb.
    pub(crate) fn runtime(&self, verb: &str) -> Command {
        let mut command = Command::new(runtime_path());
        command.arg("--root").arg(self.dir.path().join("state"));
        if is_stockade() {
            command.args(["--profile", self.profile]);
        }
        command.arg(verb).stdin(Stdio::null());
        command
    }

    pub(crate) fn verb(&self, verb: &str, arguments: &[&str]) -> Outcome {
        let mut command = self.runtime(verb);
        command.args(arguments);
        finish(&mut command, self.dir.path())
    }

    /// `create` or `run` of this bundle; the container's id is [`Cell::id`].
    pub(crate) fn launch(&self, verb: &str) -> Outcome {
        self.write_config();
        let mut command = self.runtime(verb);
        command
            .arg("--bundle")
            .arg(self.dir.path())
            .args(&self.flags)
            .arg(self.id());
        finish(&mut command, self.dir.path())
    }

    /// Runs these words to their end; nothing of the container may be left.
    pub(crate) fn run(&mut self, args: &[&str]) -> Outcome {
        self.config["process"]["args"] = json!(args);
        let outcome = self.launch("run");
        let left: Vec<_> = fs::read_dir(self.dir.path().join("state"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .filter(|name| name.to_str() == Some(&self.id()))
            .collect();
        assert!(left.is_empty(), "state is left behind: {outcome:?}");
        outcome
    }

    /// Runs a busybox shell script inside; it first says that it started.
    pub(crate) fn sh(&mut self, script: &str) -> Outcome {
        let mut outcome = self.run(&["/bin/sh", "-c", &format!("echo STARTED; {script}")]);
        if outcome.code != 0 {
            return outcome;
        }
        if let Some(rest) = outcome.stdout.strip_prefix("STARTED\n") {
            outcome.stdout = rest.to_owned();
        }
        outcome
    }
}

impl Drop for Cell {
    fn drop(&mut self) {
        let state = self.dir.path().join("state").join(self.id());
        if state.exists() {
            self.verb("delete", &["--force", &self.id()]);
        }
    }
}

/// Is the runtime under test stockade? Otherwise it is an oracle with the same verbs.
pub(crate) fn is_stockade() -> bool {
    runtime_path().ends_with("stockade")
}

fn runtime_path() -> PathBuf {
    std::env::var_os("STOCKADE_TEST_RUNTIME")
        .map_or_else(|| env!("CARGO_BIN_EXE_stockade").into(), PathBuf::from)
}

/// Says why a test did not run.
pub(crate) fn skip(reason: &str) {
    eprintln!("skipped: {reason}");
}

/// Runs a command with a time limit, its output in files (a pipe would be the container's too).
pub(crate) fn finish(command: &mut Command, scratch: &Path) -> Outcome {
    let out = scratch.join("stdout");
    let err = scratch.join("stderr");
    command
        .stdout(File::create(&out).unwrap())
        .stderr(File::create(&err).unwrap());
    let mut child = command.spawn().expect("the runtime starts");
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if started.elapsed() > LIMIT {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("no end after {LIMIT:?}: {command:?}");
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let code = status.code().unwrap_or_else(|| {
        128 + std::os::unix::process::ExitStatusExt::signal(&status).unwrap_or(0)
    });
    let text = |path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
    Outcome {
        code,
        stdout: text(out),
        stderr: text(err),
    }
}

/// The static helper of tests/programs, copied to `/helper` of a cell; `None` (with the reason printed) without gcc.
pub(crate) fn with_helper(cell: &Cell) -> Option<()> {
    static HELPER: OnceLock<Option<TempDir>> = OnceLock::new();
    let built = HELPER.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/programs/helper.c");
        let status = Command::new("gcc")
            .args(["-static", "-O1", "-w", "-o"])
            .arg(dir.path().join("helper"))
            .arg(source)
            .status();
        status.is_ok_and(|status| status.success()).then_some(dir)
    });
    let Some(dir) = built else {
        skip("gcc cannot build a static program here");
        return None;
    };
    fs::copy(dir.path().join("helper"), cell.root("helper")).unwrap();
    Some(())
}

fn step<'a>(at: &'a mut Value, part: &str) -> &'a mut Value {
    if part == "-" {
        if !at.is_array() {
            *at = json!([]);
        }
        let list = at.as_array_mut().unwrap();
        list.push(Value::Null);
        return list.last_mut().unwrap();
    }
    if let Ok(index) = part.parse::<usize>() {
        return &mut at[index];
    }
    if !at.is_object() {
        *at = json!({});
    }
    &mut at[part]
}

fn make_rootfs(root: &Path) {
    static APPLETS: OnceLock<Vec<String>> = OnceLock::new();
    let applets = APPLETS.get_or_init(|| {
        let output = Command::new("busybox").arg("--list").output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(str::to_owned).collect()
    });
    for dir in ["bin", "dev", "etc", "proc", "sys", "tmp", "mnt", "data"] {
        fs::create_dir_all(root.join(dir)).unwrap();
    }
    fs::copy(BUSYBOX, root.join("bin/busybox")).unwrap();
    for applet in applets.iter().filter(|name| *name != "busybox") {
        symlink("busybox", root.join("bin").join(applet)).unwrap();
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0::/:/bin/sh\n").unwrap();
    fs::write(root.join("etc/group"), "root:x:0:\n").unwrap();
}

fn first_config() -> Value {
    let namespaces: Vec<Value> = ["pid", "mount", "ipc", "uts", "network"]
        .iter()
        .map(|kind| json!({"type": kind}))
        .collect();
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": ["/bin/true"],
            "env": ["PATH=/bin"],
            "cwd": "/",
            "capabilities": {},
        },
        "root": {"path": "rootfs"},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
        ],
        "linux": {"namespaces": namespaces},
    })
}

/// The kernel's capabilities by number, without their prefix (capabilities(7)).
pub(crate) const CAPABILITIES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];
