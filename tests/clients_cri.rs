//! containerd's CRI plugin with stockade as handlers, as a kubelet calls it; runc does the same beside it.
//! Not here: attach, port forwarding and exec with streams, where the runtime's part is that of `ctr` (clients_containerd.rs).

#![expect(
    clippy::needless_pass_by_value,
    reason = "requests are written where they are made"
)]

mod confinement;
mod life;
mod systemd;

use std::fmt::Write;
use std::fs;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::clients::{
    self, CONFIGURED, Excuse, IMAGE, Lane, Node, PAUSE, Place, Said, Verdict, soon,
};
use crate::harness;

/// Debian's plugins of the container network interface.
const NETWORK: &str = "/usr/lib/cni";

#[test]
fn containerd_runs_pods_with_stockade_as_with_runc() {
    if !can_run() {
        return;
    }
    let names = ["stockade-none", "stockade", "stockade-restricted"];
    let (place, handlers) = served(Driver::Files, &names);
    let nodes: Vec<_> = handlers
        .iter()
        .map(|handler| (handler.name, Node::new(&place, handler.name)))
        .collect();
    let checks = [life::CHECKS, confinement::CHECKS].concat();
    clients::hold("cri", &checks, &nodes, EXCUSES);
    for (handler, node) in &nodes {
        assert_eq!(refusals(node), Ok(()), "{handler}");
    }
    drop(nodes);
    let left = place.left_of(place.name(), &place.path().join("state"));
    assert!(left.is_empty(), "left of pods: {left:#?}");
}

/// Is all there that the tests take? If not, says so.
fn can_run() -> bool {
    let programs = [
        "containerd",
        "containerd-shim-runc-v2",
        "ctr",
        "unshare",
        "ip",
        "protoc",
    ];
    if !clients::are_installed(&programs) {
        return false;
    }
    if !clients::has_grpc() {
        harness::skip("python3-grpcio and python3-protobuf are not installed");
        return false;
    }
    if !fs::exists(format!("{NETWORK}/bridge")).unwrap() {
        harness::skip("containernetworking-plugins is not installed");
        return false;
    }
    true
}

/// Who makes the cgroups.
#[derive(Clone, Copy)]
enum Driver {
    /// The runtime.
    Files,
    /// systemd, which the runtime asks.
    Systemd,
}

/// A containerd of its own in a network namespace of its own, with a handler for each runtime and the images in it.
fn served(driver: Driver, names: &[&'static str]) -> (Arc<Place>, Vec<Lane>) {
    let mut place = Place::new("cri");
    let handlers = clients::lanes(&place, names);
    configure(&place, &handlers, driver);
    let script = "ip link set lo up && exec containerd --config \"$0\"";
    let daemon = place.call("unshare");
    let daemon = daemon.args(["--net", "sh", "-c", script, &place.text("config.toml")]);
    let socket = place.text("grpc.sock");
    let ctr = |place: &Place, args: &[&str]| {
        let global = ["--address", &socket, "--namespace", "k8s.io"];
        Said(place.call("ctr").args(global).args(args).output())
    };
    place.serve(daemon, |place| ctr(place, &["version"]));
    for archive in [place.images(), place.pause_image()] {
        let archive = archive.to_str().unwrap();
        ctr(&place, &["images", "import", archive]).ok().unwrap();
    }
    let place = Arc::new(place);
    knows_the_images(&Node::new(&place, "runc")).unwrap();
    (place, handlers)
}

/// The plugin hears of images that others import.
fn knows_the_images(node: &Node) -> Verdict {
    for image in [IMAGE, CONFIGURED, PAUSE] {
        soon(&format!("the image {image}"), || {
            let request = json!({"image": {"image": image}});
            let reply = node.cri.call("ImageStatus", request);
            reply.is_ok_and(|reply| !reply["image"].is_null())
        })?;
    }
    Ok(())
}

/// Writes the configuration of containerd and that of the pods' network, which is a bridge without firewall rules.
/// AppArmor stays off because a profile would be loaded into the host's kernel. The plugins keep what they did to a pod in
/// /var/lib/cni until it is removed.
fn configure(place: &Place, handlers: &[Lane], driver: Driver) {
    let through_systemd = matches!(driver, Driver::Systemd);
    let mut config = format!(
        r#"version = 2
root = "{0}/root"
state = "{0}/state"
disabled_plugins = ["io.containerd.internal.v1.opt"]
[grpc]
address = "{0}/grpc.sock"
[ttrpc]
address = "{0}/ttrpc.sock"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE}"
stream_server_address = "127.0.0.1"
stream_server_port = "0"
netns_mounts_under_state_dir = true
restrict_oom_score_adj = true
disable_apparmor = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{NETWORK}"
conf_dir = "{0}/network"
"#,
        place.path().display()
    );
    for Lane { name, runtime } in handlers {
        write!(
            config,
            r#"[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.{name}]
runtime_type = "io.containerd.runc.v2"
pod_annotations = ["org.stockade.profile"]
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.{name}.options]
BinaryName = "{}"
SystemdCgroup = {through_systemd}
"#,
            runtime.display()
        )
        .unwrap();
    }
    fs::write(place.path().join("config.toml"), config).unwrap();
    let addresses = json!({
        "type": "host-local",
        "ranges": [[{"subnet": "10.215.0.0/16"}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": place.path().join("addresses"),
    });
    let network = json!({
        "cniVersion": "0.4.0",
        "name": place.name(),
        "plugins": [{"type": "bridge", "bridge": "pods", "isGateway": true, "ipam": addresses}],
    });
    let directory = place.directory("network");
    fs::write(directory.join("pods.conflist"), network.to_string()).unwrap();
}

/// What a handler says that refuses root, by its own profile or by that of a pod's annotation.
fn refusals(node: &Node) -> Verdict {
    let annotation = match node.handler {
        "stockade" => json!({"annotations": {"org.stockade.profile": "restricted"}}),
        "stockade-restricted" => NOTHING,
        _ => return Ok(()),
    };
    let pod = node.pod(annotation)?;
    let root = security(json!({"run_as_user": {"value": 0}}));
    let error = refused(pod.start(root, "true"))?;
    let cause = "process.user.uid: 0 is refused by profile \"restricted\" (identity.non-root)";
    says(&error, cause)
}

fn refused<T>(result: Result<T, String>) -> Result<String, String> {
    match result {
        Ok(_) => Err("a refusal was expected".into()),
        Err(error) => Ok(error),
    }
}

fn says(text: &str, part: &str) -> Verdict {
    if text.contains(part) {
        Ok(())
    } else {
        Err(format!("{part:?} was expected in {text:?}"))
    }
}

/// A container's configuration with this security context.
fn security(fields: Value) -> Value {
    json!({"linux": {"security_context": fields}})
}

/// A container's configuration with these resources.
fn resources(fields: Value) -> Value {
    json!({"linux": {"resources": fields}})
}

/// The configuration of a pod, or of a container of it, with these namespaces.
fn namespaces(fields: Value) -> Value {
    security(json!({"namespace_options": fields}))
}

/// A pod of the host's network has the host's name.
fn on_the_host(fields: &Value) -> Value {
    let mut fields = fields.clone();
    fields["hostname"] = json!("");
    fields
}

/// For a pod or a container without wishes.
const NOTHING: Value = Value::Null;

const EXCUSES: &[Excuse] = &[
    Excuse {
        lane: "stockade-restricted",
        claim: "supplemental groups are the asked ones",
        why: "the profile drops them",
    },
    Excuse {
        lane: "stockade-restricted",
        claim: "a root that is not read-only can be written to",
        why: "the profile makes it read-only",
    },
    Excuse {
        lane: "stockade-restricted",
        claim: "a capability is added",
        why: "it is none of the profile's",
    },
    Excuse {
        lane: "stockade",
        claim: "a capability is added",
        why: "it is none of the profile's",
    },
    Excuse {
        lane: "stockade-restricted",
        claim: "a container without a filter has none",
        why: "the profile has one",
    },
    Excuse {
        lane: "stockade",
        claim: "a container without a filter has none",
        why: "the profile has one",
    },
    Excuse {
        lane: "stockade-restricted",
        claim: "new privileges are allowed where nothing is asked",
        why: "the profile forbids them",
    },
    Excuse {
        lane: "stockade",
        claim: "new privileges are allowed where nothing is asked",
        why: "the profile forbids them",
    },
    Excuse {
        lane: "stockade-restricted",
        claim: "a device of the host is there",
        why: "the profile has none",
    },
    Excuse {
        lane: "stockade",
        claim: "a pod of the host's network sees its interfaces",
        why: "the profile gives it a network of its own, and says so in the log",
    },
    Excuse {
        lane: "stockade-restricted",
        claim: "a pod of the host's network sees its interfaces",
        why: "the profile gives it a network of its own, and says so in the log",
    },
    Excuse {
        lane: "stockade",
        claim: "a pod of the host's processes sees them",
        why: "the profile gives it a pid namespace of its own",
    },
    Excuse {
        lane: "stockade-restricted",
        claim: "a pod of the host's processes sees them",
        why: "the profile gives it a pid namespace of its own",
    },
    Excuse {
        lane: "stockade-restricted",
        claim: "containers of a pod share its processes where that is asked",
        why: "the profile hides processes of other users",
    },
    Excuse {
        lane: "stockade-restricted",
        claim: "a privileged container has the host's devices",
        why: "the profile takes all privileges and devices",
    },
];
