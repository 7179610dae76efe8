//! Podman where systemd makes the cgroups: root's in machine.slice, a user's in the user's own systemd.
//! Where systemd does not run the tests are skipped; `scripts/vm --systemd` has one.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use rustix::process::{Pid, Signal, kill_process};

use super::{configure, engine};
use crate::clients::{self, Engine, Lane, Place, REFUSES, Verdict, same, soon};
use crate::harness::rootfs::{copy_program, give};
use crate::harness::{runtime, skip};
use crate::systemd::{is_there, user};

#[test]
fn podman_with_systemd_runs_containers_with_stockade_as_with_runc() {
    if !is_there() || !clients::are_installed(&["podman", "conmon"]) {
        return;
    }
    let place = Place::new("scopes");
    let lanes = clients::lanes(&place, &["stockade-none", "stockade"]);
    configure(place.path(), &lanes);
    let place = Arc::new(place);
    let archive = place.text("images.tar");
    let loaded = engine(&place, &lanes[0])
        .1
        .call(&["load", "--input", &archive]);
    loaded.ok().unwrap();
    for lane in lanes.iter().filter(|lane| lane.name != REFUSES) {
        let (name, mut engine) = engine(&place, lane);
        engine
            .global
            .extend(["--cgroup-manager", "systemd"].map(str::to_owned));
        // A parent would have to be a slice; without one it is machine.slice.
        engine.creation = ["--network", "none"].map(str::to_owned).to_vec();
        through_systemd(&engine, "/machine.slice").unwrap_or_else(|why| panic!("{name}: {why}"));
    }
}

#[test]
fn podman_of_a_user_with_systemd_runs_containers_with_stockade_as_with_runc() {
    let programs = ["podman", "conmon", "setpriv", "newuidmap", "systemd-run"];
    if !is_there() || !clients::are_installed(&programs) {
        return;
    }
    let Some(uid) = user() else {
        return skip("no user has a systemd of his own here");
    };
    let place = Arc::new(Place::new("userscopes"));
    let lanes = clients::lanes(&place, &["stockade-none", "stockade"]);
    // The build directory may be closed to other users.
    let copy = place.path().join("bin/copy");
    copy_program(&runtime(), &copy);
    for lane in lanes
        .iter()
        .filter(|lane| ![REFUSES, "runc"].contains(&lane.name))
    {
        fs::remove_file(&lane.runtime).unwrap();
        symlink(&copy, &lane.runtime).unwrap();
    }
    let home = Home::new(&place, uid);
    configure(&home.0, &lanes);
    let within = format!("/user.slice/user-{uid}.slice/user@{uid}.service/user.slice");
    let first = home.engine(&place, &lanes[0], uid);
    let loaded = first.call(&["load", "--input", &place.text("images.tar")]);
    loaded.ok().unwrap();
    for lane in lanes.iter().filter(|lane| lane.name != REFUSES) {
        let engine = home.engine(&place, lane, uid);
        through_systemd(&engine, &within).unwrap_or_else(|why| panic!("{}: {why}", lane.name));
    }
}

/// What podman, systemd and the kernel agree on about a container in this slice.
fn through_systemd(engine: &Engine, slice: &str) -> Verdict {
    engine.run(&[], "exit 5").exits(5)?;
    let container = engine.listening(&["--memory", "64m", "--pids-limit", "50"])?;
    let id = container.inspect(".Id")?;
    let scope = format!("{slice}/libpod-{id}.scope");
    let pid = container.inspect(".State.Pid")?;
    let found = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    same(found.trim(), format!("0::{scope}").as_str())?;
    let directory = PathBuf::from(format!("/sys/fs/cgroup{scope}"));
    let limit = |file| fs::read_to_string(directory.join(file)).unwrap_or_default();
    same(limit("memory.max").trim(), "67108864")?;
    same(limit("pids.max").trim(), "50")?;
    let said = container.exec(&[], &["sh", "-c", "echo there; exit 7"]);
    said.exits(7)?.prints("there")?;
    let template = "{{.PIDs}} {{.MemUsage}}";
    let stats = container.call("stats", &["--no-stream", "--format", template], &[]);
    let text = stats.ok()?.text();
    same(text.starts_with("2 ") || text.starts_with("1 "), true)?;
    same(text.ends_with("64MiB") || text.ends_with("67.11MB"), true)?;
    container.call("pause", &[], &[]).ok()?;
    same(container.inspect(".State.Status")?.as_str(), "paused")?;
    container.call("unpause", &[], &[]).ok()?;
    container.call("stop", &["--time", "20"], &[]).ok()?;
    same(container.inspect(".State.ExitCode")?.as_str(), "3")?;
    soon("the scope is gone", || !directory.exists())
}

/// A user's home below the place. The process that keeps the user's namespaces ends with it.
struct Home(PathBuf);

impl Home {
    fn new(place: &Place, uid: u32) -> Self {
        let home = place.directory("home");
        give(&home, uid, uid);
        Self(home)
    }

    /// Podman as a session of the user's calls it: in a scope of the user's systemd.
    fn engine(&self, place: &Arc<Place>, lane: &Lane, uid: u32) -> Engine {
        let home = self.0.display();
        let global = format!(
            "--reuid={uid} --regid={uid} --init-groups env -C {home} HOME={home} XDG_RUNTIME_DIR=/run/user/{uid} \
             DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/{uid}/bus CONTAINERS_CONF={home}/containers.conf \
             systemd-run --user --scope --quiet -- podman --root {home}/root --runroot {home}/run \
             --tmpdir {home}/tmp --storage-driver vfs --cgroup-manager systemd --runtime {}",
            lane.name
        );
        Engine {
            place: Arc::clone(place),
            lane: lane.clone(),
            program: "setpriv",
            global: global.split_whitespace().map(str::to_owned).collect(),
            creation: ["--network", "none"].map(str::to_owned).to_vec(),
            next: AtomicU32::new(0),
        }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let path: &Path = &self.0;
        let pid = fs::read_to_string(path.join("tmp/pause.pid")).unwrap_or_default();
        if let Some(pid) = pid.trim().parse().ok().and_then(Pid::from_raw) {
            // It may have ended meanwhile.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}
