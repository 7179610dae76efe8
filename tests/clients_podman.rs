//! Podman with stockade as a runtime below conmon; runc does the same beside it.
//! Its containers have no network beyond their own loopback, so that the host's network stays as it is.

mod systemd;

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use rustix::process::{Pid, Signal, kill_process};

use crate::clients::{
    self, Check, Engine, Excuse, IMAGE, Lane, Place, REFUSES, Verdict, same, soon,
};
use crate::harness::rootfs::{copy_program, give};
use crate::harness::{cgroups_named, skip};

/// The user and the group nobody of Debian.
const NOBODY: u32 = 65534;

#[test]
fn podman_runs_containers_with_stockade_as_with_runc() {
    if !clients::are_installed(&["podman", "conmon"]) {
        return;
    }
    let place = Place::new("podman");
    let lanes = clients::lanes(&place, &["stockade-none", "stockade"]);
    configure(place.path(), &lanes);
    let place = Arc::new(place);
    let engines: Vec<_> = lanes.iter().map(|lane| engine(&place, lane)).collect();
    let archive = place.text("images.tar");
    let loaded = engines[0].1.call(&["load", "--input", &archive]);
    loaded.ok().unwrap();
    clients::hold(
        "podman",
        &[clients::ENGINE_CHECKS, CHECKS].concat(),
        &engines,
        EXCUSES,
    );
}

#[test]
fn podman_without_root_runs_containers_with_stockade() {
    if !clients::are_installed(&["podman", "conmon", "setpriv"]) {
        return;
    }
    let place = Arc::new(Place::new("rootless"));
    let mut lanes = clients::lanes(&place, &["stockade-none", "stockade"]);
    lanes.retain(|lane| lane.name != REFUSES);
    // The build directory may be closed to other users.
    let copy = place.path().join("bin/copy");
    copy_program(&crate::harness::runtime(), &copy);
    for lane in lanes.iter().filter(|lane| lane.name != "runc") {
        fs::remove_file(&lane.runtime).unwrap();
        symlink(&copy, &lane.runtime).unwrap();
    }
    let user = User::new(&place);
    configure(&user.home, &lanes);
    let mut outcomes = Vec::new();
    for lane in &lanes {
        let engine = user.engine(&place, lane);
        let outcome = without_root(&engine);
        if let (Err(why), "runc") = (&outcome, lane.name) {
            return skip(&format!(
                "podman without root does not work with runc: {why}"
            ));
        }
        outcomes.push((lane.name, outcome));
    }
    assert!(
        outcomes.iter().all(|(_, outcome)| outcome.is_ok()),
        "{outcomes:#?}"
    );
}

/// What a container of a user's can do.
fn without_root(engine: &Engine) -> Verdict {
    engine
        .run(&[], "echo $(id -u); exit 5")
        .exits(5)?
        .prints("0")?;
    engine.command(&[], &["/nothing"]).exits(127)?;
    let container = engine.listening(&[])?;
    container
        .exec(&[], &["sh", "-c", "echo here; exit 7"])
        .exits(7)?
        .prints("here")?;
    container.call("stop", &["--time", "10"], &[]).ok()?;
    same(container.inspect(".State.ExitCode")?.as_str(), "3")?;
    container.call("rm", &[], &[]).ok().map(drop)
}

/// The user nobody, with a home below the place. The process that keeps the user's namespaces ends with it.
struct User {
    home: PathBuf,
}

impl User {
    fn new(place: &Place) -> Self {
        let home = place.directory("home");
        give(&home, NOBODY, NOBODY);
        Self { home }
    }

    fn engine(&self, place: &Arc<Place>, lane: &Lane) -> Engine {
        let home = self.home.to_str().unwrap();
        let conf = format!("{home}/containers.conf");
        // One id is all there is, so files of others in an image become the user's.
        let global = format!(
            "--reuid={NOBODY} --regid={NOBODY} --clear-groups env -C {home} HOME={home} XDG_RUNTIME_DIR={home} \
             CONTAINERS_CONF={conf} podman --root {home}/root --runroot {home}/run --tmpdir {home}/tmp \
             --storage-driver vfs --storage-opt vfs.ignore_chown_errors=true --runtime {}",
            lane.name
        );
        let engine = Engine {
            place: Arc::clone(place),
            lane: lane.clone(),
            program: "setpriv",
            global: global.split_whitespace().map(str::to_owned).collect(),
            creation: ["--network", "none"].map(str::to_owned).to_vec(),
            next: AtomicU32::new(0),
        };
        engine.call(&["load", "--input", &place.text("images.tar")]);
        engine
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let pid = fs::read_to_string(self.home.join("tmp/pause.pid")).unwrap_or_default();
        if let Some(pid) = pid.trim().parse().ok().and_then(Pid::from_raw) {
            // It may have ended meanwhile.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

fn engine(place: &Arc<Place>, lane: &Lane) -> (&'static str, Engine) {
    let conf = format!("CONTAINERS_CONF={}", place.text("containers.conf"));
    let (root, run) = (place.text("root"), place.text("run"));
    let global = [
        &conf,
        "podman",
        "--root",
        &root,
        "--runroot",
        &run,
        "--storage-driver",
        "vfs",
        "--runtime",
        lane.name,
    ];
    let parent = format!("/{}", place.name());
    let engine = Engine {
        place: Arc::clone(place),
        lane: lane.clone(),
        program: "/usr/bin/env",
        global: global.map(str::to_owned).to_vec(),
        creation: ["--network", "none", "--cgroup-parent", &parent]
            .map(str::to_owned)
            .to_vec(),
        next: AtomicU32::new(0),
    };
    (lane.name, engine)
}

/// Limits that need no CAP_SYS_RESOURCE, and locks in files, since those in shared memory are one set for the host.
fn configure(directory: &Path, lanes: &[Lane]) {
    let names: Vec<_> = lanes
        .iter()
        .map(|lane| format!("\"{}\"", lane.name))
        .collect();
    let names = names.join(", ");
    let mut text = format!(
        r#"[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
tmp_dir = "{0}/tmp"
static_dir = "{0}/libpod"
volume_path = "{0}/volumes"
runtime_supports_json = [{names}]
[engine.runtimes]
"#,
        directory.display()
    );
    for lane in lanes {
        writeln!(text, "{} = [\"{}\"]", lane.name, lane.runtime.display()).unwrap();
    }
    fs::write(directory.join("containers.conf"), text).unwrap();
}

const CHECKS: &[Check<Engine>] = &[
    Check {
        claim: "a health check runs in the container",
        holds: |e| {
            let container = e.sleeping(&["--health-cmd", "test -e /proc/self"])?;
            e.call(&["healthcheck", "run", container.name()])
                .ok()
                .map(drop)
        },
    },
    Check {
        claim: "containers of a pod share what a pod shares",
        holds: |e| {
            let pod = format!("pod-{}", e.lane.name);
            let parent = format!("/{}", e.place.name());
            let create = [
                "pod",
                "create",
                "--network",
                "none",
                "--cgroup-parent",
                &parent,
            ];
            let infra = ["--infra-image", IMAGE, "--infra-command", "/bin/sleep 100"];
            let name = ["--share", "uts,ipc,net", "--name", &pod];
            let id = e.call(&[&create[..], &infra, &name].concat()).ok()?.text();
            let shared = share(e, &pod);
            e.call(&["pod", "rm", "--force", "--time", "0", &pod])
                .ok()?;
            if e.lane.name == "runc" {
                // Podman removes a pod's cgroup where it limits something; runc makes it in every hierarchy.
                for directory in cgroups_named(&id).iter().rev() {
                    fs::remove_dir(directory).map_err(|e| e.to_string())?;
                }
            }
            shared
        },
    },
    Check {
        claim: "a build runs its commands",
        holds: |e| {
            let directory = e.place.directory(&format!("build-{}", e.lane.name));
            let file = format!("FROM {IMAGE}\nRUN echo built by $(id -u) >/built\n");
            fs::write(directory.join("Dockerfile"), file).unwrap();
            let tag = format!("built-{}", e.lane.name);
            let path = directory.to_str().unwrap();
            let runtime = e.lane.runtime.to_str().unwrap();
            // What a build calls the parent is the cgroup itself.
            let parent = format!("/{}/build-{}", e.place.name(), e.lane.name);
            let flags = [
                "build",
                "--runtime",
                runtime,
                "--isolation",
                "oci",
                "--network",
                "none",
                "--cgroup-parent",
                &parent,
                "--no-cache",
                "--tag",
                &tag,
                path,
            ];
            e.call(&flags).ok()?;
            let parent = format!("/{}", e.place.name());
            let run = [
                "run",
                "--rm",
                "--network",
                "none",
                "--cgroup-parent",
                &parent,
                &tag,
            ];
            let said = e.call(&[&run[..], &["cat", "/built"]].concat());
            said.ok()?.prints("built by 0")
        },
    },
    Check {
        claim: "the client knows the runtime by its name",
        holds: |e| {
            e.run(&[], "true").ok()?;
            let template = "{{.Host.OCIRuntime.Name}} {{.Host.OCIRuntime.Path}}";
            let said = e.call(&["info", "--format", template]).ok()?;
            said.prints(&format!("{} {}", e.lane.name, e.lane.runtime.display()))
        },
    },
];

/// Two containers of one pod: the second sees the first one's shared memory and host name.
fn share(e: &Engine, pod: &str) -> Result<(), String> {
    let first = e.call(&[
        "run",
        "--detach",
        "--pod",
        pod,
        IMAGE,
        "sh",
        "-c",
        "echo shared >/dev/shm/file; sleep 100",
    ]);
    first.ok()?;
    let run = ["run", "--rm", "--pod", pod, IMAGE, "sh", "-c"];
    soon("the file of the other container", || {
        let said = e.call(&[&run[..], &["cat /dev/shm/file"]].concat());
        said.text() == "shared"
    })?;
    let said = e.call(&[&run[..], &["hostname"]].concat()).ok()?;
    same(said.text().as_str(), pod)
}

const EXCUSES: &[Excuse] = &[];
