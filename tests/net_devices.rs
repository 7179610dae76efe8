//! `linux.netDevices` (config-linux.md, "Network Devices"), with virtual devices in network namespaces of the tests' own,
//! which stand for the host's and for one that others made.

use serde_json::{Value, json};

use crate::harness::{Bundle, Call, Output, installed, is_foreign, runtime, skip};

/// `v0`, with all that a device takes along; its other end is `v1`.
const DEVICE: &str = "
    ip link add v0 address 02:00:00:00:00:07 mtu 1400 type veth peer name v1
    ip link set v1 up
    ip address add 192.0.2.7/24 dev v0
    ip address add 127.0.0.33/32 scope host dev v0
    ip address add 2001:db8::7/64 dev v0 nodad
    ip link set v0 up
";

/// Describes the device `$dev`: flags, MTU, MAC, addresses. LOWER_UP is the carrier; NO-CARRIER is said until the kernel's
/// work queue has come to it, too.
const DESCRIBE: &str = r#"
    ip link show dev $dev | sed -n 's/^[^<]*<\([^>]*\)> mtu \([0-9]*\).*/\1 \2/p; s/ *link.ether \([^ ]*\).*/\1/p' \
        | sed 's/,M-DOWN//; s/^NO-CARRIER,//'
    ip address show dev $dev | sed -n 's/^ *\(inet[^ ]* [^ ]*\).* \(scope [^ ]*\).*/\1 \2/p' | grep -v fe80
"#;

const DESCRIPTION: [&str; 4] = [
    "BROADCAST,MULTICAST,UP,LOWER_UP 1400",
    "02:00:00:00:00:07",
    "inet 192.0.2.7/24 scope global",
    "inet6 2001:db8::7/64 scope global",
];

fn bundle(devices: Value) -> Bundle {
    Bundle::new().set("/linux/netDevices", devices)
}

/// Joins the network namespace that [`run`] names `$NET`.
fn joining(bundle: Bundle) -> Bundle {
    let path = bundle.outside("net").join("namespace");
    std::fs::write(&path, "").unwrap();
    bundle.edit(|config| {
        let all = config["linux"]["namespaces"].as_array_mut().unwrap();
        all.retain(|namespace| namespace["type"] != "network");
        all.push(json!({"type": "network", "path": path}));
    })
}

/// Whether these tests can be; says why not.
fn is_possible() -> bool {
    let can_make = |link: &str| {
        let made = std::process::Command::new("unshare")
            .args(["--net", "ip", "link", "add", "v0", "type", link])
            .output();
        made.is_ok_and(|output| output.status.success())
    };
    if is_foreign() {
        skip("an oracle that does not know the field ignores it");
    } else if installed("ip").is_none() || installed("unshare").is_none() {
        skip("iproute2 or util-linux is not installed");
    } else if !can_make("veth") {
        skip("this kernel makes no veth devices");
    } else {
        return true;
    }
    false
}

/// Runs the container on a host of its own: `before` makes its devices, `after` looks at what became of them.
#[track_caller]
fn run(bundle: &Bundle, before: &str, after: &str) -> Output {
    bundle.write();
    let script = format!("set -e\n{before}\nset +e\n\"$@\"\ncode=$?\n{after}\nexit $code");
    let net = bundle.temp().join("net/namespace");
    Call::new("unshare", bundle.temp())
        .args(["--net", "--mount", "sh", "-c", &script, "sh"])
        .arg(runtime())
        .arg("--root")
        .arg(bundle.state_dir())
        .args(["--profile", "none", "run", "--bundle"])
        .arg(bundle.path())
        .arg(bundle.id())
        .env("NET", net.to_str().unwrap())
        .output()
}

#[test]
fn a_network_device_moves_with_name_addresses_mtu_and_mac_and_is_up() {
    if !is_possible() {
        return;
    }
    let script = format!("dev=ctr0; {DESCRIBE}");
    let plain = bundle(json!({"v0": {"name": "ctr0"}})).shell(&script);
    let mapped = bundle(json!({"v0": {"name": "ctr0"}})).shell(&script);
    for bundle in [plain, mapped.user_namespace()] {
        let out = run(
            &bundle,
            DEVICE,
            "ip link show v0 2>/dev/null && echo still there",
        );
        assert_eq!(out.lines(), DESCRIPTION);
    }
}

#[test]
fn a_device_that_was_down_is_up_in_the_container() {
    if !is_possible() {
        return;
    }
    let before = "ip link add v0 type veth peer name v1; ip link set v1 up";
    let bundle = bundle(json!({"v0": {}})).shell("ip link show v0 | grep -o ,UP");
    assert_eq!(run(&bundle, before, "").lines(), [",UP"]);
}

#[test]
fn a_network_namespace_that_is_joined_keeps_the_device() {
    if !is_possible() {
        return;
    }
    let before = format!("{DEVICE} unshare --net=$NET true");
    let after = "nsenter --net=$NET ip link show eth0 | grep -o mtu.1400";
    let bundle = joining(bundle(json!({"v0": {"name": "eth0"}})));
    assert_eq!(run(&bundle, &before, after).lines(), ["mtu 1400"]);
}

#[test]
fn a_pattern_becomes_the_first_name_that_is_free() {
    if !is_possible() {
        return;
    }
    let before = format!("{DEVICE} unshare --net=$NET ip link add eth0 type veth peer name other");
    let bundle = joining(bundle(json!({"v0": {"name": "eth%d"}})));
    let bundle = bundle.shell(&format!("dev=eth1; {DESCRIBE}"));
    assert_eq!(run(&bundle, &before, "").lines(), DESCRIPTION);
}

#[test]
fn a_device_that_cannot_move_stays_where_it_is() {
    if !is_possible() {
        return;
    }
    let after = format!("dev=v0; {DESCRIBE}");
    let before = format!("{DEVICE} unshare --net=$NET ip link add eth0 type veth peer name v2");
    let taken = joining(bundle(json!({"v0": {"name": "eth0"}})));
    let missing = bundle(json!({"v0": {}, "v9": {}}));
    let own = bundle(json!({"v0": {}})).edit(|config| {
        let all = config["linux"]["namespaces"].as_array_mut().unwrap();
        all.retain(|namespace| namespace["type"] != "network");
        all.push(json!({"type": "network", "path": "/proc/self/ns/net"}));
    });
    let none = bundle(json!({"v0": {}})).edit(|config| {
        let all = config["linux"]["namespaces"].as_array_mut().unwrap();
        all.retain(|namespace| namespace["type"] != "network");
    });
    let no_namespace = format!(
        "error: \"{}\": linux.netDevices: needs a \"network\" namespace in linux.namespaces\n",
        none.path().join("config.json").display()
    );
    let cases = [
        (none, DEVICE, no_namespace.as_str()),
        (
            taken,
            before.as_str(),
            "error: linux.netDevices[\"v0\"]: the container's network namespace has a device \"eth0\" already\n",
        ),
        (
            missing,
            DEVICE,
            "error: linux.netDevices[\"v9\"]: there is no such network device\n",
        ),
        (
            own,
            DEVICE,
            "error: linux.netDevices: the container is in the runtime's own network namespace\n\
               try: give it a \"network\" namespace of its own in linux.namespaces\n",
        ),
    ];
    for (bundle, before, error) in cases {
        let out = run(&bundle, before, &after);
        assert_eq!(out.stderr, error);
        assert_eq!(
            out.exits(1).lines().collect::<Vec<_>>().len(),
            5,
            "{out:#?}"
        );
    }
}

#[test]
fn a_device_comes_back_when_the_container_is_not_made() {
    if !is_possible() {
        return;
    }
    let after = format!("dev=v0; {DESCRIBE}");
    let hook = json!([{"path": "/bin/false"}]);
    let with = |bundle: Bundle| bundle.set("/hooks/createRuntime", hook.clone());
    let new = with(bundle(json!({"v0": {"name": "eth0"}})));
    let joined = with(joining(bundle(json!({"v0": {"name": "eth0"}}))));
    let before = format!("{DEVICE} unshare --net=$NET true");
    for (bundle, before) in [(new, DEVICE), (joined, before.as_str())] {
        let out = run(&bundle, before, &after);
        let lines: Vec<_> = out.exits(1).lines().collect();
        let without_host_scope: Vec<_> = lines
            .into_iter()
            .filter(|line| !line.ends_with("host"))
            .collect();
        assert_eq!(without_host_scope, DESCRIPTION);
    }
}

#[test]
fn the_profile_restricted_refuses_network_devices() {
    let bundle = bundle(json!({"v0": {}})).profile(Some("restricted"));
    let bundle = bundle.set("/process/user", json!({"uid": 1000, "gid": 1000}));
    if is_foreign() {
        return skip("an oracle has no profiles");
    }
    let out = bundle.run();
    assert_eq!(
        out.stderr.lines().next(),
        Some(
            "error: linux.netDevices: [\"v0\"] is refused by profile \"restricted\" (namespaces.net-devices)"
        )
    );
}
