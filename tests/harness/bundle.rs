//! A bundle with a busybox root filesystem, its own state directory, and a configuration that a test edits.
//! When it is dropped, nothing of its containers may be left: that is a claim of every test.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::rootfs::{give, make, make_directory};
use super::{Call, Output, SOON, becomes, is_foreign, leftovers, patience, runtime, skip};

/// The first host id of [`Bundle::user_namespace`].
pub(crate) const FIRST_HOST_ID: u32 = 100_000;

/// One bundle and the containers made of it.
pub(crate) struct Bundle {
    /// config.json as it will be written.
    pub(crate) config: Value,
    temp: TempDir,
    id: String,
    runtime: PathBuf,
    profile: Option<String>,
}

impl Bundle {
    /// A bundle that runs `true` as root under the profile `none`; like the configuration of `runc spec`.
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        assert!(
            rustix::process::geteuid().is_root(),
            "these tests make containers: run them as root"
        );
        let temp = tempfile::Builder::new()
            .prefix("bundle-")
            .tempdir()
            .unwrap();
        make_directory(temp.path(), 0o755);
        make_directory(&temp.path().join("calls"), 0o755);
        make_directory(&temp.path().join("bundle"), 0o755);
        make(&temp.path().join("bundle/rootfs"));
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // No id is the beginning of another one.
        let id = format!("test-{}-{number}-x", std::process::id());
        leftovers::keep(&id, temp.path());
        Self {
            config: first_config(),
            id,
            temp,
            runtime: runtime(),
            profile: Some("none".to_owned()),
        }
    }

    /// Runs the containers by another runtime.
    pub(crate) fn by(mut self, runtime: PathBuf) -> Self {
        self.runtime = runtime;
        self.profile = None;
        self
    }

    /// Runs the containers under another profile; `None` leaves the choice to the runtime.
    pub(crate) fn profile(mut self, profile: Option<&str>) -> Self {
        self.profile = profile.map(str::to_owned);
        self
    }

    /// Sets the value at a JSON pointer; objects on the way are made, `-` appends to an array.
    pub(crate) fn set(mut self, pointer: &str, value: impl Into<Value>) -> Self {
        let mut at = &mut self.config;
        for part in pointer.split('/').skip(1) {
            at = step(at, part);
        }
        *at = value.into();
        self
    }

    /// Removes the value at a JSON pointer of object keys.
    pub(crate) fn remove(mut self, pointer: &str) -> Self {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let parent = self.config.pointer_mut(parent).unwrap();
        parent.as_object_mut().unwrap().remove(key);
        self
    }

    /// Changes the configuration by hand.
    pub(crate) fn edit(mut self, change: impl FnOnce(&mut Value)) -> Self {
        change(&mut self.config);
        self
    }

    /// The program and its arguments.
    pub(crate) fn args(self, args: &[&str]) -> Self {
        self.set("/process/args", json!(args))
    }

    /// A shell script as the program.
    pub(crate) fn shell(self, script: &str) -> Self {
        self.args(&["/bin/sh", "-c", script])
    }

    /// One more mount, after the standard ones.
    pub(crate) fn mount(
        self,
        destination: &str,
        kind: &str,
        source: &str,
        options: &[&str],
    ) -> Self {
        let mount =
            json!({"destination": destination, "type": kind, "source": source, "options": options});
        self.set("/mounts/-", mount)
    }

    /// One more bind mount, after the standard ones.
    pub(crate) fn bind(self, source: &Path, destination: &str, options: &[&str]) -> Self {
        let options = [&["rbind"], options].concat();
        self.mount(destination, "bind", source.to_str().unwrap(), &options)
    }

    /// Takes out the standard mount on this destination.
    pub(crate) fn no_mount(self, destination: &str) -> Self {
        self.edit(|config| {
            let mounts = config["mounts"].as_array_mut().unwrap();
            mounts.retain(|mount| mount["destination"] != destination);
        })
    }

    /// All five sets but ambient and inheritable become these.
    pub(crate) fn capabilities(self, names: &[&str]) -> Self {
        let sets = json!({"bounding": names, "effective": names, "permitted": names});
        self.set("/process/capabilities", sets)
    }

    /// Puts the container into a user namespace of 65536 ids and gives it the root filesystem.
    pub(crate) fn user_namespace(self) -> Self {
        give(&self.rootfs(), FIRST_HOST_ID, FIRST_HOST_ID);
        let map = json!([{"containerID": 0, "hostID": FIRST_HOST_ID, "size": 65536}]);
        self.set("/linux/namespaces/-", json!({"type": "user"}))
            .set("/linux/uidMappings", map.clone())
            .set("/linux/gidMappings", map)
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// The directory of everything here; leftover mounts are looked for below it.
    pub(crate) fn temp(&self) -> &Path {
        self.temp.path()
    }

    /// The bundle directory.
    pub(crate) fn path(&self) -> PathBuf {
        self.temp.path().join("bundle")
    }

    pub(crate) fn rootfs(&self) -> PathBuf {
        self.path().join("rootfs")
    }

    /// The state directory, `--root`.
    pub(crate) fn state_dir(&self) -> PathBuf {
        self.temp.path().join("state")
    }

    /// The image store.
    pub(crate) fn image_store(&self) -> PathBuf {
        self.temp.path().join("store")
    }

    /// A file or directory outside the root filesystem, with the mode 0755.
    pub(crate) fn outside(&self, name: &str) -> PathBuf {
        let path = self.temp.path().join(name);
        make_directory(&path, 0o755);
        path
    }

    /// Writes config.json.
    pub(crate) fn write(&self) {
        let text = serde_json::to_vec_pretty(&self.config).unwrap();
        self.write_raw(&text);
    }

    /// Writes config.json, whatever it is.
    pub(crate) fn write_raw(&self, text: &[u8]) {
        fs::write(self.path().join("config.json"), text).unwrap();
    }

    /// A call of the runtime with its global flags and these arguments.
    pub(crate) fn call(&self, args: &[&str]) -> Call {
        self.bare_call()
            .arg("--root")
            .arg(self.state_dir())
            .args(self.profile_flag())
            .args(args)
    }

    /// A call of the runtime without any flag.
    pub(crate) fn bare_call(&self) -> Call {
        let store = self.image_store();
        Call::new(&self.runtime, &self.temp.path().join("calls"))
            .env("STOCKADE_STORE", store.to_str().unwrap())
    }

    /// Whether the runtime can be tried by a user without root, whose calls `as_user` makes; says why not.
    pub(crate) fn runs_without_root(&self, as_user: impl Fn(Call) -> Call) -> bool {
        if as_user(self.bare_call().arg("--version")).spawn_fails() {
            skip("the runtime under test is in a directory that other users may not enter");
            return false;
        }
        let unshare = Call::new("unshare", &self.temp.path().join("calls"));
        if as_user(unshare.args(["-Ur", "true"])).output().code != 0 {
            skip("this host allows no user namespace without root");
            return false;
        }
        true
    }

    /// A directory of the user of [`Call::nobody`].
    pub(crate) fn home_of_nobody(&self) -> PathBuf {
        let home = self.outside("scratch");
        chown(&home, Some(65534), Some(65534)).unwrap();
        home
    }

    /// `VERB --bundle DIR FLAGS ID` with the configuration written.
    pub(crate) fn launch(&self, verb: &str, flags: &[&str]) -> Call {
        self.write();
        self.launch_as_written(verb, flags)
    }

    /// The same, leaving config.json as [`Bundle::write_raw`] wrote it.
    pub(crate) fn launch_as_written(&self, verb: &str, flags: &[&str]) -> Call {
        self.call(&[verb, "--bundle"])
            .arg(self.path())
            .args(flags)
            .arg(&self.id)
    }

    #[track_caller]
    pub(crate) fn run(&self) -> Output {
        self.launch("run", &[]).output()
    }

    #[track_caller]
    pub(crate) fn create(&self) -> Output {
        self.launch("create", &[]).output()
    }

    #[track_caller]
    pub(crate) fn start(&self) -> Output {
        self.call(&["start", &self.id]).output()
    }

    #[track_caller]
    pub(crate) fn state(&self) -> Output {
        self.call(&["state", &self.id]).output()
    }

    #[track_caller]
    pub(crate) fn status(&self) -> String {
        let state = self.state().json();
        state["status"].as_str().unwrap().to_owned()
    }

    /// The init process, by `state`.
    #[track_caller]
    pub(crate) fn pid(&self) -> u32 {
        let state = self.state().json();
        u32::try_from(state["pid"].as_u64().unwrap()).unwrap()
    }

    #[track_caller]
    pub(crate) fn kill(&self, signal: &str) -> Output {
        self.call(&["kill", &self.id, signal]).output()
    }

    #[track_caller]
    pub(crate) fn delete(&self) -> Output {
        self.call(&["delete", &self.id]).output()
    }

    #[track_caller]
    pub(crate) fn delete_by_force(&self) -> Output {
        self.call(&["delete", "--force", &self.id]).output()
    }

    /// Waits until `state` says this.
    #[track_caller]
    pub(crate) fn becomes(&self, status: &str) {
        super::eventually(&format!("the status {status}"), || self.status() == status);
    }

    /// Nothing is left now; dropping the bundle says the same.
    #[track_caller]
    pub(crate) fn assert_clean(&self) {
        let left = self.left();
        assert!(left.is_empty(), "left behind: {left:#?}");
    }

    /// What is left of its containers, in words. Killed processes and their cgroups may take a moment to go.
    pub(crate) fn left(&self) -> Vec<String> {
        let mut left = Vec::new();
        becomes(patience(SOON), || {
            left = leftovers::found(&self.id, self.temp.path(), &self.state_dir());
            left.is_empty()
        });
        left
    }

    fn profile_flag(&self) -> Vec<&str> {
        match &self.profile {
            Some(profile) if !is_foreign() => vec!["--profile", profile],
            _ => Vec::new(),
        }
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        if std::thread::panicking() {
            leftovers::remove(&self.id, self.temp.path());
            return;
        }
        let left = self.left();
        if !left.is_empty() {
            leftovers::remove(&self.id, self.temp.path());
            panic!("left behind: {left:#?}");
        }
    }
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
    match part.parse::<usize>() {
        Ok(index) => &mut at[index],
        Err(_) => &mut at[part],
    }
}

fn first_config() -> Value {
    let capabilities = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];
    let namespaces = ["pid", "network", "ipc", "uts", "mount"].map(|kind| json!({"type": kind}));
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": {"uid": 0, "gid": 0},
            "args": ["/bin/true"],
            "env": ["PATH=/bin:/usr/bin"],
            "cwd": "/",
            "capabilities": {
                "bounding": capabilities,
                "effective": capabilities,
                "permitted": capabilities,
            },
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": true,
        },
        "root": {"path": "rootfs", "readonly": false},
        "hostname": "stockade",
        "mounts": standard_mounts(),
        "linux": {
            "resources": {"devices": [{"allow": false, "access": "rwm"}]},
            "namespaces": namespaces,
            "maskedPaths": ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    })
}

fn standard_mounts() -> Value {
    let mounts: [(&str, &str, &str, &[&str]); 7] = [
        ("/proc", "proc", "proc", &[]),
        (
            "/dev",
            "tmpfs",
            "tmpfs",
            &["nosuid", "strictatime", "mode=755", "size=65536k"],
        ),
        (
            "/dev/pts",
            "devpts",
            "devpts",
            &[
                "nosuid",
                "noexec",
                "newinstance",
                "ptmxmode=0666",
                "mode=0620",
            ],
        ),
        (
            "/dev/shm",
            "tmpfs",
            "shm",
            &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
        ),
        (
            "/dev/mqueue",
            "mqueue",
            "mqueue",
            &["nosuid", "noexec", "nodev"],
        ),
        (
            "/sys",
            "sysfs",
            "sysfs",
            &["nosuid", "noexec", "nodev", "ro"],
        ),
        (
            "/sys/fs/cgroup",
            "cgroup",
            "cgroup",
            &["nosuid", "noexec", "nodev", "relatime", "ro"],
        ),
    ];
    mounts
        .map(|(destination, kind, source, options)| {
            json!({"destination": destination, "type": kind, "source": source, "options": options})
        })
        .to_vec()
        .into()
}
