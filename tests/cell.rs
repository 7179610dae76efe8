//! A cell: a bundle for one short look inside, with a host directory beside it for an attack to aim at.
//! Not here: the bundle itself and the calls (`harness`), and claims.

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::harness::rootfs::copy_program;
use crate::harness::{Bundle, Output, compiled, runtime, skip};

/// One bundle whose script and mounts a test changes in place.
pub(crate) struct Cell {
    pub(crate) bundle: Bundle,
    profile: PathBuf,
}

impl Cell {
    /// A bundle of the harness under the profile `none`, without /sys and without cgroup mounts.
    pub(crate) fn new() -> Self {
        Self::of(Bundle::new().no_mount("/sys").no_mount("/sys/fs/cgroup"))
    }

    pub(crate) fn of(bundle: Bundle) -> Self {
        Self {
            bundle,
            profile: "none".into(),
        }
    }

    /// The same under a profile that demands nothing, for claims about what `none` alone does in the way of runc.
    pub(crate) fn in_our_way(mut self) -> Self {
        let file = demanding_nothing(&self.bundle);
        self.bundle = self.bundle.profile(file.to_str());
        self.profile = file;
        self
    }

    /// A cell with nothing mounted but /proc, so that devices are made in the root filesystem itself.
    pub(crate) fn without_dev() -> Self {
        Self::new().set(
            "/mounts",
            json!([{"destination": "/proc", "type": "proc", "source": "proc"}]),
        )
    }

    pub(crate) fn set(mut self, pointer: &str, value: Value) -> Self {
        self.bundle = self.bundle.set(pointer, value);
        self
    }

    pub(crate) fn remove(mut self, pointer: &str) -> Self {
        self.bundle = self.bundle.remove(pointer);
        self
    }

    pub(crate) fn mount(self, mount: Value) -> Self {
        self.set("/mounts/-", mount)
    }

    pub(crate) fn user(self, uid: u32, gid: u32) -> Self {
        self.set("/process/user", json!({"uid": uid, "gid": gid}))
    }

    /// Every capability that this process may give, for claims about what the kernel refuses even to root.
    pub(crate) fn all_capabilities(self) -> Self {
        let own = bounding_set();
        let all: Vec<String> = CAPABILITIES
            .iter()
            .enumerate()
            .filter(|(number, _)| own & (1 << number) != 0)
            .map(|(_, name)| format!("CAP_{name}"))
            .collect();
        self.set(
            "/process/capabilities",
            json!({"bounding": all, "effective": all, "permitted": all}),
        )
    }

    /// A path of the root filesystem, seen from the host.
    pub(crate) fn root(&self, path: &str) -> PathBuf {
        self.bundle.rootfs().join(path.trim_start_matches('/'))
    }

    /// The host directory that an attack aims at, with one file `canary` in it.
    pub(crate) fn target(&self) -> PathBuf {
        let target = self.bundle.temp().join("target");
        if !target.exists() {
            let target = self.bundle.outside("target");
            fs::write(target.join("canary"), "untouched").unwrap();
        }
        target
    }

    /// Nothing was made, changed, removed or mounted in [`Cell::target`].
    #[track_caller]
    pub(crate) fn target_is_untouched(&self) {
        let target = self.target();
        let names: Vec<_> = fs::read_dir(&target)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["canary"], "the host directory was changed");
        let text = fs::read_to_string(target.join("canary")).unwrap();
        assert_eq!(text, "untouched");
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(
            !mounts.contains(target.to_str().unwrap()),
            "mounted on the host"
        );
    }

    /// Runs these words to their end.
    #[track_caller]
    pub(crate) fn run(&mut self, args: &[&str]) -> Output {
        self.bundle.config["process"]["args"] = json!(args);
        self.bundle.run()
    }

    /// Runs a busybox shell script inside.
    #[track_caller]
    pub(crate) fn sh(&mut self, script: &str) -> Output {
        self.run(&["/bin/sh", "-c", script])
    }

    /// Runs a script inside; the runtime is started by `prelude` in a mount namespace of its own.
    #[track_caller]
    pub(crate) fn sh_after(&mut self, prelude: &str, script: &str) -> Output {
        self.bundle.config["process"]["args"] = json!(["/bin/sh", "-c", script]);
        self.bundle.write();
        let mut words: Vec<PathBuf> = vec![runtime(), "--root".into(), self.bundle.state_dir()];
        if !crate::harness::is_foreign() {
            words.extend(["--profile".into(), self.profile.clone()]);
        }
        words.extend(["run".into(), "--bundle".into(), self.bundle.path()]);
        words.push(self.bundle.id().into());
        let shell = format!("set -e; {prelude}; exec \"$@\"");
        crate::harness::Call::new("unshare", &self.bundle.temp().join("calls"))
            .args(["-m", "sh", "-c", &shell, "sh"])
            .args(words)
            .output()
    }
}

/// A profile of the bundle's own that demands nothing of a config.
pub(crate) fn demanding_nothing(bundle: &Bundle) -> PathBuf {
    let file = bundle.temp().join("nothing.toml");
    fs::write(&file, "name = \"nothing\"\ndescription = \"Nothing\"\n").unwrap();
    file
}

/// The bounding set of this process as a bit mask.
pub(crate) fn bounding_set() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("CapBnd:"));
    u64::from_str_radix(line.unwrap().trim(), 16).unwrap()
}

/// Puts the static program of tests/programs/helper.c into a cell as `/helper`; false (and the reason printed) without gcc.
pub(crate) fn has_helper(cell: &Cell) -> bool {
    static HELPER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let built = HELPER.get_or_init(|| compiled("helper"));
    let Some(program) = built else {
        skip("gcc cannot build a static program here");
        return false;
    };
    copy_program(program, &cell.root("helper"));
    true
}

/// The kernel's capabilities by number, without their prefix (capabilities(7)).
const CAPABILITIES: [&str; 41] = [
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
