//! Podman with stockade as a runtime below conmon; runc does the same beside it.
//! Its containers have no network beyond their own loopback, so that the host's network stays as it is.

use std::fmt::Write as _;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use crate::clients::{self, Check, Engine, Excuse, IMAGE, Lane, Place, same, soon};

#[test]
fn podman_runs_containers_with_stockade_as_with_runc() {
    if !clients::are_installed(&["podman", "conmon"]) {
        return;
    }
    let place = Place::new("podman");
    let lanes = clients::lanes(&place, &["stockade-none", "stockade"]);
    configure(&place, &lanes);
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
fn configure(place: &Place, lanes: &[Lane]) {
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
        place.path().display()
    );
    for lane in lanes {
        writeln!(text, "{} = [\"{}\"]", lane.name, lane.runtime.display()).unwrap();
    }
    fs::write(place.path().join("containers.conf"), text).unwrap();
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
            e.call(&[&create[..], &infra, &name].concat()).ok()?;
            let shared = share(e, &pod);
            e.call(&["pod", "rm", "--force", "--time", "0", &pod])
                .ok()?;
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
