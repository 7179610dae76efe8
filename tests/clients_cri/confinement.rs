//! What containers of pods may do and see: users, files, capabilities, filters, and the namespaces of a pod.
//! Not here: their life (life.rs).

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use super::{NOTHING, namespaces, on_the_host, says, security};
use crate::clients::{Check, Container, Node, Pod, Verdict, same, soon};

pub(super) const CHECKS: &[Check<Node>] = &[
    Check {
        claim: "user and group are the asked ones",
        holds: |n| {
            let pod = n.shared()?;
            let fields = json!({"run_as_user": {"value": 2000}, "run_as_group": {"value": 3000}});
            let said = pod.run(security(fields), "id -u; id -g")?;
            same(said.as_str(), "2000\n3000")
        },
    },
    Check {
        claim: "a user is found by its name",
        holds: |n| {
            let pod = n.shared()?;
            let fields = json!({"run_as_username": "nobody"});
            same(pod.run(security(fields), "id -u")?.as_str(), "65534")
        },
    },
    Check {
        claim: "supplemental groups are the asked ones",
        holds: |n| {
            let pod = n.shared()?;
            let fields =
                json!({"run_as_user": {"value": 2000}, "supplemental_groups": [4000, 5000]});
            same(pod.run(security(fields), "id -G")?.as_str(), "0 4000 5000")
        },
    },
    Check {
        claim: "a read-only root cannot be written to, a volume in it can",
        holds: |n| {
            let pod = n.shared()?;
            let mut fields = security(json!({"readonly_rootfs": true}));
            fields["mounts"] = json!([{"container_path": "/mnt", "host_path": shared(n)}]);
            let script = "echo 1 2>&1 >/tmp/file || echo 2 >/mnt/file; cat /mnt/file";
            let said = pod.run(fields, script)?;
            same(
                said.contains("Read-only file system") && said.ends_with('2'),
                true,
            )
        },
    },
    Check {
        claim: "a root that is not read-only can be written to",
        holds: |n| {
            let pod = n.shared()?;
            same(
                pod.run(NOTHING, "echo 1 >/tmp/file; cat /tmp/file")?
                    .as_str(),
                "1",
            )
        },
    },
    Check {
        claim: "a read-only volume is",
        holds: |n| {
            let pod = n.shared()?;
            let mounts =
                json!([{"container_path": "/mnt", "host_path": shared(n), "readonly": true}]);
            let said = pod.run(
                json!({"mounts": mounts}),
                "echo 1 2>/dev/null >/mnt/other || echo refused",
            )?;
            same(said.as_str(), "refused")
        },
    },
    Check {
        claim: "masked and read-only paths are the asked ones",
        holds: |n| {
            let pod = n.shared()?;
            let fields =
                json!({"masked_paths": ["/proc/version", "/etc"], "readonly_paths": ["/dev/shm"]});
            let script = "wc -c </proc/version; ls /etc | wc -l; touch /dev/shm/file 2>/dev/null || echo refused";
            same(pod.run(security(fields), script)?.as_str(), "0\n0\nrefused")
        },
    },
    Check {
        claim: "all capabilities are dropped",
        holds: |n| {
            let pod = n.shared()?;
            let fields = json!({"capabilities": {"drop_capabilities": ["ALL"]}});
            let said = pod.run(security(fields), "grep CapBnd /proc/self/status | cut -f 2")?;
            same(said.as_str(), "0000000000000000")
        },
    },
    Check {
        claim: "a capability is kept of all",
        holds: |n| {
            let pod = n.shared()?;
            let fields = json!({"capabilities": {"drop_capabilities": ["ALL"], "add_capabilities": ["NET_BIND_SERVICE"]}});
            let said = pod.run(security(fields), "grep CapBnd /proc/self/status | cut -f 2")?;
            same(said.as_str(), "0000000000000400")
        },
    },
    Check {
        claim: "a capability is added",
        holds: |n| {
            let pod = n.shared()?;
            let fields = json!({"capabilities": {"add_capabilities": ["SYS_PTRACE"]}});
            let said = pod.run(security(fields), "grep CapBnd /proc/self/status | cut -f 2")?;
            same(said.as_str(), "00000000a80c25fb")
        },
    },
    Check {
        claim: "the filter of the client is in force",
        holds: |n| {
            let pod = n.shared()?;
            let fields = json!({"seccomp": {"profile_type": "RuntimeDefault"}});
            let said = pod.run(security(fields), "grep Seccomp: /proc/self/status | cut -f 2; unshare -U true 2>/dev/null || echo refused")?;
            same(said.as_str(), "2\nrefused")
        },
    },
    Check {
        claim: "a container without a filter has none",
        holds: |n| {
            let pod = n.shared()?;
            let fields = json!({"seccomp": {"profile_type": "Unconfined"}});
            let said = pod.run(
                security(fields),
                "grep Seccomp: /proc/self/status | cut -f 2",
            )?;
            same(said.as_str(), "0")
        },
    },
    Check {
        claim: "new privileges are forbidden where that is asked",
        holds: |n| {
            let pod = n.shared()?;
            let fields = json!({"no_new_privs": true});
            let said = pod.run(
                security(fields),
                "grep NoNewPrivs: /proc/self/status | cut -f 2",
            )?;
            same(said.as_str(), "1")
        },
    },
    Check {
        claim: "new privileges are allowed where nothing is asked",
        holds: |n| {
            let pod = n.shared()?;
            let said = pod.run(NOTHING, "grep NoNewPrivs: /proc/self/status | cut -f 2")?;
            same(said.as_str(), "0")
        },
    },
    Check {
        claim: "containers of a pod share its network",
        holds: |n| {
            let pod = n.pod(NOTHING)?;
            let _server = pod.start(NOTHING, SERVER)?;
            fetches(&pod, "127.0.0.1")
        },
    },
    Check {
        claim: "pods talk over their network",
        holds: |n| {
            let server = n.pod(NOTHING)?;
            let _server = server.start(NOTHING, SERVER)?;
            let pod = n.shared()?;
            fetches(&pod, &server.address()?)
        },
    },
    Check {
        claim: "containers of a pod share its memory and not their roots",
        holds: |n| {
            let pod = n.shared()?;
            let first = pod.sleeping(NOTHING)?;
            let second = pod.sleeping(NOTHING)?;
            first
                .exec(&["sh", "-c", "echo here >/dev/shm/mark"])?
                .prints("")?;
            second.exec(&["cat", "/dev/shm/mark"])?.prints("here")?;
            first.exec(&["rm", "/dev/shm/mark"])?.prints("")?;
            let link = |container: &Container, kind: &str| {
                let path = format!("/proc/self/ns/{kind}");
                container.exec(&["readlink", &path]).map(|ran| ran.stdout)
            };
            same(link(&first, "ipc")?, link(&second, "ipc")?)?;
            same(link(&first, "uts")?, link(&second, "uts")?)?;
            same(link(&first, "pid")? == link(&second, "pid")?, false)?;
            same(link(&first, "mnt")? == link(&second, "mnt")?, false)
        },
    },
    Check {
        claim: "a container of its own pid namespace is its first process",
        holds: |n| {
            let pod = n.shared()?;
            let container = pod.sleeping(NOTHING)?;
            container.exec(&["cat", "/proc/1/comm"])?.prints("sh")
        },
    },
    Check {
        claim: "containers of a pod share its processes where that is asked",
        holds: |n| {
            let shared = namespaces(json!({"pid": "POD"}));
            let pod = n.pod(shared.clone())?;
            let _first = pod.start(shared.clone(), "exec tail -f /dev/null")?;
            let second = pod.sleeping(shared)?;
            second.exec(&["cat", "/proc/1/comm"])?.prints("pause")?;
            let script = "grep -q ^tail$ /proc/[0-9]*/comm";
            soon("the other's process", || {
                let ran = second.exec(&["sh", "-c", script]);
                ran.is_ok_and(|ran| ran.code == 0)
            })
        },
    },
    Check {
        claim: "a container joins the processes of another one",
        holds: |n| {
            let pod = n.shared()?;
            let target = pod.ready(NOTHING, "echo ready; exec tail -f /dev/null")?;
            let join = namespaces(json!({"pid": "TARGET", "target_id": target.id()}));
            let script = "while grep -q ^sh$ /proc/1/comm; do sleep 0.1; done; cat /proc/1/comm";
            same(pod.run(join, script)?.as_str(), "tail")
        },
    },
    Check {
        claim: "sysctls of the pod are set",
        holds: |n| {
            let sysctls = json!({"net.ipv4.ip_unprivileged_port_start": "80"});
            let pod = n.pod(json!({"linux": {"sysctls": sysctls}}))?;
            let script = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start";
            same(pod.run(NOTHING, script)?.as_str(), "80")
        },
    },
    Check {
        claim: "name servers of the pod are in its resolv.conf",
        holds: |n| {
            let pod = n.pod(json!({"dns_config": {"servers": ["10.10.10.10"]}}))?;
            let said = pod.run(NOTHING, "cat /etc/resolv.conf")?;
            same(said.as_str(), "nameserver 10.10.10.10")
        },
    },
    Check {
        claim: "a device of the host is there",
        holds: |n| {
            let pod = n.shared()?;
            let devices = json!([{"container_path": "/dev/one", "host_path": "/dev/full", "permissions": "rwm"}]);
            let script = "stat -c %t:%T /dev/one; head -c 1 /dev/one | wc -c";
            let said = pod.run(json!({"devices": devices}), script)?;
            same(said.as_str(), "1:7\n1")
        },
    },
    Check {
        claim: "a pod of the host's network sees its interfaces",
        holds: |n| {
            let host = namespaces(json!({"network": "NODE"}));
            let pod = n.pod(on_the_host(&host))?;
            says(&pod.run(host, "cat /proc/net/dev")?, "pods:")
        },
    },
    Check {
        claim: "a pod of the host's processes sees them",
        holds: |n| {
            let host = namespaces(json!({"pid": "NODE"}));
            let pod = n.pod(host.clone())?;
            let said = pod.run(host, "cat /proc/[0-9]*/comm 2>/dev/null; true")?;
            says(&said, "containerd")
        },
    },
    Check {
        claim: "a privileged container has the host's devices",
        holds: |n| {
            let privileged = security(json!({"privileged": true}));
            let pod = n.pod(privileged.clone())?;
            let said = pod.run(privileged, "test -c /dev/kmsg && echo here")?;
            same(said.as_str(), "here")
        },
    },
];

const SERVER: &str = "exec busybox httpd -f -p 8080 -h /etc";

/// A container of the pod gets the server's page.
fn fetches(pod: &Pod, address: &str) -> Verdict {
    let page = format!("http://{address}:8080/group");
    let container = pod.sleeping(NOTHING)?;
    soon("the page", || {
        let ran = container.exec(&["busybox", "wget", "-q", "-O", "-", &page]);
        ran.is_ok_and(|ran| ran.stdout.starts_with("root:x:0:"))
    })
}

/// A directory of the host that every user may write to, as a path.
fn shared(node: &Node) -> String {
    let path = node.place.directory(&format!("shared-{}", node.handler));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
    path.to_str().unwrap().to_owned()
}
