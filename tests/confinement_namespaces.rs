//! Namespaces new and joined, id maps, names, clocks and sysctls, as the kernel shows them inside.
//! Not here: what the mount namespace holds (`confinement_mounts`).

use std::fs;
use std::process::{Child, Command};

use serde_json::{Value, json};

use crate::cell::Cell;
use crate::harness::{Bundle, eventually};

/// The specification's word, the name in /proc/PID/ns, and the flag of unshare(1).
const KINDS: [(&str, &str, &str); 8] = [
    ("pid", "pid", "--pid"),
    ("network", "net", "--net"),
    ("mount", "mnt", "--mount"),
    ("ipc", "ipc", "--ipc"),
    ("uts", "uts", "--uts"),
    ("user", "user", "--user"),
    ("cgroup", "cgroup", "--cgroup"),
    ("time", "time", "--time"),
];

fn own(name: &str) -> String {
    link(std::process::id(), name).unwrap()
}

fn link(pid: u32, name: &str) -> Option<String> {
    let link = fs::read_link(format!("/proc/{pid}/ns/{name}")).ok()?;
    Some(link.to_str().unwrap().to_owned())
}

#[test]
fn each_new_namespace_differs_from_the_hosts() {
    let mut cell = Cell::of(Bundle::new().no_mount("/sys/fs/cgroup").user_namespace());
    for kind in ["cgroup", "time"] {
        cell = cell.set("/linux/namespaces/-", json!({"type": kind}));
    }
    let out = cell
        .sh("for n in pid net mnt ipc uts user cgroup time; do readlink /proc/self/ns/$n; done");
    for (line, (_, name, _)) in out.lines().iter().zip(KINDS) {
        assert!(line.starts_with(name), "{out:#?}");
        assert_ne!(*line, own(name));
    }
    assert_eq!(out.lines().len(), KINDS.len());
}

#[test]
fn a_namespace_that_is_not_listed_is_the_hosts() {
    let mut cell = Cell::new().remove("/hostname").set(
        "/linux/namespaces",
        json!([{"type": "mount"}, {"type": "pid"}]),
    );
    let out = cell.sh("for n in net ipc uts user cgroup time; do readlink /proc/self/ns/$n; done");
    let names = ["net", "ipc", "uts", "user", "cgroup", "time"];
    assert_eq!(out.lines(), names.map(own));
}

/// A process in one new namespace, and the path of that namespace.
struct Donor {
    child: Child,
    path: String,
    link: String,
}

impl Donor {
    fn new(name: &str, flag: &str) -> Self {
        let child = Command::new("unshare")
            .args([flag, "--fork", "--kill-child", "sleep", "60"])
            .spawn()
            .unwrap();
        let name = match name {
            "pid" => "pid_for_children",
            "time" => "time_for_children",
            name => name,
        };
        let children = format!("/proc/{0}/task/{0}/children", child.id());
        eventually("a donor's child", || {
            fs::read_to_string(&children).is_ok_and(|text| !text.is_empty())
        });
        let link = link(child.id(), name).unwrap();
        Self {
            path: format!("/proc/{}/ns/{name}", child.id()),
            child,
            link,
        }
    }
}

impl Drop for Donor {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Replaces or adds the namespace of this type.
fn join(cell: Cell, kind: &str, path: &str) -> Cell {
    let mut cell = cell;
    let list = cell.bundle.config["linux"]["namespaces"]
        .as_array_mut()
        .unwrap();
    list.retain(|namespace| namespace["type"] != kind);
    list.push(json!({"type": kind, "path": path}));
    cell
}

#[test]
fn each_namespace_is_joined_by_path() {
    for (kind, name, flag) in KINDS {
        if kind == "user" {
            continue;
        }
        let donor = Donor::new(name, flag);
        let mut cell = join(Cell::new(), kind, &donor.path);
        let out = cell.sh(&format!("readlink /proc/self/ns/{name}"));
        assert_eq!(out.code, 0, "{kind}: {out:#?}");
        assert_eq!(out.ok().trim(), donor.link, "{kind}");
    }
}

#[test]
fn a_user_namespace_is_joined_by_path() {
    let mut donor = Cell::of(
        Bundle::new()
            .no_mount("/sys")
            .no_mount("/sys/fs/cgroup")
            .user_namespace(),
    );
    donor.bundle.config["process"]["args"] = json!(["/bin/sleep", "60"]);
    donor.bundle.create().ok();
    let pid = donor.bundle.pid();
    let cell = Cell::of(
        Bundle::new()
            .no_mount("/sys")
            .no_mount("/sys/fs/cgroup")
            .user_namespace(),
    );
    let cell = cell
        .remove("/linux/uidMappings")
        .remove("/linux/gidMappings");
    let mut cell = join(cell, "user", &format!("/proc/{pid}/ns/user"));
    let out = cell.sh("readlink /proc/self/ns/user; cat /proc/self/uid_map");
    let expected = link(pid, "user").unwrap();
    let lines = out.lines();
    assert_eq!(lines[0], expected);
    let words: Vec<_> = lines[1].split_whitespace().collect();
    assert_eq!(words, ["0", "100000", "65536"]);
    donor.bundle.delete_by_force().ok();
}

#[test]
fn a_namespace_path_of_another_type_is_refused() {
    let mut cell = join(Cell::new(), "ipc", "/proc/self/ns/uts");
    cell.sh("true").refused(&["linux.namespaces[4].path"]);
}

#[test]
fn a_namespace_path_that_is_no_namespace_is_refused() {
    for path in ["/etc/passwd", "/nowhere", "relative"] {
        let mut cell = join(Cell::new(), "ipc", path);
        cell.sh("true").refused(&["linux.namespaces[4].path"]);
    }
}

#[test]
fn a_namespace_type_listed_twice_is_refused() {
    let mut cell = Cell::new().set("/linux/namespaces/-", json!({"type": "ipc"}));
    cell.sh("true").refused(&["linux.namespaces[5]"]);
}

#[test]
fn a_user_namespace_has_the_configured_id_maps() {
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 1000},
                     {"containerID": 2000, "hostID": 110_000, "size": 10}]);
    let mut cell = Cell::of(
        Bundle::new()
            .no_mount("/sys")
            .no_mount("/sys/fs/cgroup")
            .user_namespace(),
    )
    .set("/linux/uidMappings", map.clone())
    .set("/linux/gidMappings", map);
    let out = cell.sh("cat /proc/self/uid_map /proc/self/gid_map");
    let words: Vec<_> = out.ok().split_whitespace().collect();
    let one = ["0", "100000", "1000", "2000", "110000", "10"];
    assert_eq!(words, [one, one].concat());
}

#[test]
fn id_maps_without_a_user_namespace_are_refused() {
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 1000}]);
    let mut cell = Cell::new().set("/linux/uidMappings", map);
    cell.sh("true").refused(&["linux.uidMappings"]);
}

#[test]
fn hostname_and_domainname_are_set() {
    let mut cell = Cell::new()
        .set("/hostname", json!("cell-host"))
        .set("/domainname", json!("cell.example"));
    let out = cell.sh("hostname; cat /proc/sys/kernel/domainname");
    assert_eq!(out.lines(), ["cell-host", "cell.example"]);
}

#[test]
fn hostname_without_a_uts_namespace_is_refused() {
    for name in ["hostname", "domainname"] {
        let mut cell = Cell::new().remove("/hostname").set(
            "/linux/namespaces",
            json!([{"type": "mount"}, {"type": "pid"}]),
        );
        cell = cell.set(&format!("/{name}"), json!("would-be-the-hosts"));
        cell.sh("true").refused(&[name]);
    }
}

#[test]
fn time_offsets_are_set() {
    let mut cell = Cell::new()
        .set("/linux/namespaces/-", json!({"type": "time"}))
        .set(
            "/linux/timeOffsets",
            json!({"monotonic": {"secs": 1000, "nanosecs": 5}, "boottime": {"secs": 2000}}),
        );
    let out = cell.sh("cat /proc/self/timens_offsets");
    let words: Vec<_> = out.ok().split_whitespace().collect();
    assert_eq!(words, ["monotonic", "1000", "5", "boottime", "2000", "0"]);
}

#[test]
fn time_offsets_without_a_time_namespace_are_refused() {
    let mut cell = Cell::new().set("/linux/timeOffsets", json!({"boottime": {"secs": 1}}));
    cell.sh("true").refused(&["linux.timeOffsets"]);
}

#[test]
fn sysctls_of_new_namespaces_are_written() {
    let mut cell = Cell::new().set(
        "/linux/sysctl",
        json!({"net.ipv4.ip_forward": "1", "kernel.msgmax": "9000", "kernel/shm_rmid_forced": "1"}),
    );
    let out = cell.sh("cd /proc/sys; cat net/ipv4/ip_forward kernel/msgmax kernel/shm_rmid_forced");
    assert_eq!(out.lines(), ["1", "9000", "1"]);
}

#[test]
fn sysctls_that_would_be_the_hosts_are_refused() {
    let mut cell = Cell::new()
        .remove("/hostname")
        .set(
            "/linux/namespaces",
            json!([{"type": "mount"}, {"type": "pid"}]),
        )
        .set("/linux/sysctl", json!({"kernel.msgmax": "8192"}));
    cell.sh("true").refused(&["linux.sysctl"]);
}

#[test]
fn the_network_of_a_new_namespace_has_its_loopback_only() {
    let out = Cell::new().sh("tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '");
    let mut names = out.lines();
    // Fallback tunnels appear in each namespace of some hosts (net.core.fb_tunnels_only_for_init_net).
    names.retain(|name| !name.ends_with('0'));
    assert_eq!(names, ["lo"]);
}

#[test]
fn a_configuration_without_linux_has_no_namespace_of_its_own() {
    let mut cell = Cell::new().remove("/hostname");
    cell.bundle.config["linux"] = Value::Null;
    let cell = &mut cell;
    cell.sh("true").refused(&["linux"]);
}
