//! A private place for one client: its directory, a name for its cgroups, its images, its daemon, and what it leaves.
//! When it is dropped the daemon ends, and nothing may be left: that is a claim of every test.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use super::{Said, image};
use crate::harness::{self, Call, Running, becomes, leftovers};

/// How long a daemon may take to come up.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long it may take to end: it waits for its containers, and unmounts what it has mounted.
const LAST_PATIENCE: Duration = Duration::from_secs(90);

/// One directory for everything that a client keeps.
pub(crate) struct Place {
    temp: TempDir,
    name: String,
    daemon: Option<Running>,
}

impl Place {
    /// A new place; `client` is a word for its names.
    pub(crate) fn new(client: &str) -> Self {
        // Below /tmp by a short path: that of a socket holds 107 bytes (unix(7)).
        let temp = tempfile::Builder::new()
            .prefix(&format!("{client}-"))
            .rand_bytes(4)
            .tempdir()
            .unwrap();
        harness::rootfs::make_directory(temp.path(), 0o755);
        let place = Self {
            name: format!("clients-{client}-{}", std::process::id()),
            temp,
            daemon: None,
        };
        leftovers::keep(&place.name, place.path());
        place.directory("calls");
        image::write(&place.images(), place.path());
        place
    }

    pub(crate) fn path(&self) -> &Path {
        self.temp.path()
    }

    /// A directory in it, made if need be.
    pub(crate) fn directory(&self, name: &str) -> PathBuf {
        let path = self.path().join(name);
        harness::rootfs::make_directory(&path, 0o755);
        path
    }

    /// A path in it as text.
    pub(crate) fn text(&self, name: &str) -> String {
        self.path().join(name).to_str().unwrap().to_owned()
    }

    /// What its cgroups and namespaces are called.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The archive of both images.
    pub(crate) fn images(&self) -> PathBuf {
        self.path().join("images.tar")
    }

    /// An archive of the image of pods' sandboxes.
    pub(crate) fn pause_image(&self) -> PathBuf {
        let archive = self.path().join("pause.tar");
        image::write_pause(&archive, self.path());
        archive
    }

    /// A call of a program, with its streams kept in the place.
    pub(crate) fn call(&self, program: impl AsRef<std::ffi::OsStr>) -> Call {
        // conmon leaves a file where it was started when memory runs out.
        Call::new(program, &self.path().join("calls"))
            .directory(self.path())
            .limit(Duration::from_secs(120))
    }

    /// Starts the daemon and waits until it answers.
    #[track_caller]
    pub(crate) fn serve(&mut self, daemon: Call, mut answers: impl FnMut(&Self) -> Said) {
        self.daemon = Some(daemon.spawn());
        let mut last = None;
        let came_up = becomes(harness::patience(PATIENCE), || {
            let said = answers(self);
            let is_up = said.0.code == 0;
            last = Some(said);
            is_up
        });
        let daemon = self.daemon.as_ref().expect("just set");
        assert!(came_up, "{last:#?}, daemon: {}", daemon.stderr());
    }

    /// What is left of containers: cgroups that have this name, and mounts and processes below the directory `part`.
    pub(crate) fn left_of(&self, name: &str, part: &Path) -> Vec<String> {
        let mut left = Vec::new();
        becomes(harness::patience(harness::SOON), || {
            left = leftovers::found(name, part, &self.path().join("none"));
            left.retain(|line| !self.is_parent(line));
            left.is_empty()
        });
        left
    }

    /// The client's own cgroup, which runtimes leave to whoever asked for it, and that of Podman's monitors in it.
    fn is_parent(&self, line: &str) -> bool {
        let path = line.strip_prefix("cgroup ");
        let path = path.map(|path| path.strip_suffix("/conmon").unwrap_or(path));
        path.is_some_and(|path| path.ends_with(&self.name))
    }

    /// Makes the daemon read its configuration again.
    pub(crate) fn reload(&self) {
        let daemon = self.daemon.as_ref().expect("it serves");
        daemon.signal(Signal::HUP);
    }

    /// The daemon, if it does not end when it is asked to. One that is killed leaves its own mounts.
    fn stop(&mut self) -> Option<String> {
        let daemon = self.daemon.take()?;
        daemon.signal(Signal::TERM);
        let limit = harness::patience(LAST_PATIENCE);
        let has_ended = harness::wait_for_exit(daemon.id(), limit);
        (!has_ended).then(|| format!("daemon {} after {limit:?}", daemon.id()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let daemon = self.stop();
        let mut left = Vec::new();
        if !std::thread::panicking() {
            left.extend(daemon);
            left.extend(self.left_of(&self.name, self.path()));
        }
        leftovers::remove(&self.name, self.path());
        assert!(left.is_empty(), "left behind: {left:#?}");
    }
}
