//! Docker with stockade as a runtime of its daemon; runc does the same beside it.
//! The daemon lives in a network namespace of its own and makes no firewall rule, so that the host's network stays as it is.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use serde_json::{Value, json};

use crate::clients::{self, Check, Engine, Excuse, IMAGE, Lane, Place, REFUSES, Said, same, soon};

/// Debian's; another one may be in front of it in PATH.
const DOCKER: &str = "/usr/bin/docker";
const DAEMON: &str = "/usr/sbin/dockerd";

#[test]
fn docker_runs_containers_with_stockade_as_with_runc() {
    if !clients::are_installed(&["containerd", "containerd-shim-runc-v2", "unshare", "ip"]) {
        return;
    }
    if !fs::exists(DOCKER).unwrap() || !fs::exists(DAEMON).unwrap() {
        return crate::harness::skip("docker.io is not installed");
    }
    let mut place = Place::new("docker");
    let lanes = clients::lanes(&place, &["stockade-none", "stockade"]);
    serve(&mut place, &lanes);
    let place = Arc::new(place);
    let engines: Vec<_> = lanes.iter().map(|lane| engine(&place, lane)).collect();
    clients::hold(
        "docker",
        &[clients::ENGINE_CHECKS, CHECKS].concat(),
        &engines,
        EXCUSES,
    );
    for (name, engine) in engines.iter().filter(|(name, _)| *name == "stockade") {
        assert_eq!(state_tells(engine), Ok(()), "{name}");
    }
    for (name, engine) in &engines {
        let built = build(engine);
        assert_eq!(built.is_ok(), *name != REFUSES, "{name}: {built:?}");
    }
    drop(engines);
    let left = place.left_of(place.name(), &place.path().join("exec/containerd/daemon"));
    assert!(left.is_empty(), "left of containers: {left:#?}");
}

fn engine(place: &Arc<Place>, lane: &Lane) -> (&'static str, Engine) {
    let engine = Engine {
        place: Arc::clone(place),
        lane: lane.clone(),
        program: DOCKER,
        global: global(place),
        creation: vec!["--runtime".into(), lane.name.into()],
        next: AtomicU32::new(0),
    };
    (lane.name, engine)
}

fn global(place: &Place) -> Vec<String> {
    let socket = format!("unix://{}", place.text("docker.sock"));
    let config = place.text("client");
    ["--config", &config, "--host", &socket]
        .map(str::to_owned)
        .to_vec()
}

/// The daemon's configuration with one runtime as the default, which is what builds use.
fn configuration(place: &Place, lanes: &[Lane], default: &str) -> Value {
    let others = lanes.iter().filter(|lane| lane.name != "runc");
    let runtimes: serde_json::Map<_, _> = others
        .map(|lane| (lane.name.to_owned(), json!({"path": lane.runtime})))
        .collect();
    json!({
        "data-root": place.text("data"),
        "exec-root": place.text("exec"),
        "pidfile": place.text("docker.pid"),
        "hosts": [format!("unix://{}", place.text("docker.sock"))],
        "iptables": false,
        "ip-masq": false,
        "userland-proxy": false,
        "bip": "10.213.0.1/24",
        "default-address-pools": [{"base": "10.214.0.0/16", "size": 24}],
        "exec-opts": ["native.cgroupdriver=cgroupfs"],
        "cgroup-parent": format!("/{}", place.name()),
        "default-runtime": default,
        "runtimes": runtimes,
    })
}

fn configure(place: &Place, lanes: &[Lane], default: &str) {
    let text = configuration(place, lanes, default).to_string();
    fs::write(place.path().join("daemon.json"), text).unwrap();
}

fn serve(place: &mut Place, lanes: &[Lane]) {
    configure(place, lanes, "runc");
    let script = "ip link set lo up && exec \"$0\" --config-file \"$1\"";
    let config = place.text("daemon.json");
    let daemon = place.call("unshare");
    let daemon = daemon.args(["--net", "sh", "-c", script, DAEMON, &config]);
    let docker = |place: &Place, args: &[&str]| {
        Said(place.call(DOCKER).args(global(place)).args(args).output())
    };
    place.serve(daemon, |place| docker(place, &["version"]));
    let archive = place.text("images.tar");
    docker(place, &["load", "--input", &archive]).ok().unwrap();
}

/// Builds an image with the engine's runtime as the daemon's default, and looks at what was built.
fn build(engine: &Engine) -> Result<(), String> {
    let place = &engine.place;
    configure(
        place,
        &clients::lanes(place, &["stockade-none", "stockade"]),
        engine.lane.name,
    );
    place.reload();
    soon("the new default", || {
        let said = engine.call(&["info", "--format", "{{.DefaultRuntime}}"]);
        said.text() == engine.lane.name
    })?;
    let directory = place.directory(&format!("build-{}", engine.lane.name));
    let file = format!("FROM {IMAGE}\nRUN echo built by $(id -u) >/built\nRUN test -s /built\n");
    fs::write(directory.join("Dockerfile"), file).unwrap();
    let tag = format!("built-{}", engine.lane.name);
    let path = directory.to_str().unwrap();
    engine
        .call(&["build", "--no-cache", "--tag", &tag, path])
        .ok()?;
    let said = engine.call(&["run", "--rm", &tag, "cat", "/built"]);
    said.ok()?.prints("built by 0")
}

/// The state of a running container says its profile and what that changed.
fn state_tells(engine: &Engine) -> Result<(), String> {
    let container = engine.sleeping(&[])?;
    let id = container.inspect(".Id")?;
    // Of every runtime (dockerd's daemon/runtime_unix.go).
    let root = engine.place.text("exec/runtime-runc/moby");
    let call = engine.place.call(&engine.lane.runtime);
    let said = Said(call.args(["--root", &root, "state", &id]).output()).ok()?;
    said.clone()
        .says(&[r#""org.stockade.profile": "baseline""#])?;
    said.says(&[r#"\"removed\":[\"CAP_MKNOD\","#])
}

const CHECKS: &[Check<Engine>] = &[
    Check {
        claim: "a health check runs in the container",
        holds: |e| {
            let flags = [
                "--health-cmd",
                "test -e /proc/self",
                "--health-interval",
                "1s",
            ];
            let container = e.sleeping(&flags)?;
            soon("the status healthy", || {
                let health = container.inspect(".State.Health.Status");
                health.is_ok_and(|health| health == "healthy")
            })
        },
    },
    Check {
        claim: "two containers talk over a network of their own",
        holds: |e| {
            let network = format!("net-{}", e.lane.name);
            e.call(&["network", "create", &network]).ok()?;
            let talked = talk(e, &network);
            e.call(&["network", "rm", &network]).ok()?;
            talked
        },
    },
    Check {
        claim: "files are copied into and out of a container",
        holds: |e| {
            let container = e.sleeping(&[])?;
            let from = e.place.directory(&format!("copy-{}", e.lane.name));
            fs::write(from.join("file"), "copied").unwrap();
            let (from, name) = (from.display(), container.name());
            e.call(&["cp", &format!("{from}/file"), &format!("{name}:/mnt/file")])
                .ok()?;
            container
                .exec(&[], &["cat", "/mnt/file"])
                .ok()?
                .prints("copied")
        },
    },
    Check {
        claim: "a container is restarted when it fails",
        holds: |e| {
            let container = e.start(&["--restart", "on-failure:2"], "exit 4")?;
            soon("two restarts", || {
                container.inspect(".RestartCount").is_ok_and(|n| n == "2")
            })
        },
    },
];

fn talk(e: &Engine, network: &str) -> Result<(), String> {
    let flags = ["--network", network];
    let server = e.start(&flags, "exec busybox httpd -f -p 80 -h /etc")?;
    let address = server.inspect("range .NetworkSettings.Networks}}{{.IPAddress}}{{end")?;
    let script = format!("busybox wget -q -O - http://{address}/group | head -n 1");
    e.run(&flags, &script).ok()?.prints("root:x:0:")?;
    same(address.is_empty(), false)
}

const EXCUSES: &[Excuse] = &[];
