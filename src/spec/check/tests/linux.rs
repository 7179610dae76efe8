//! Rules of `linux` without resources and id maps.

use serde_json::{Value, json};

use super::{accepted, refused, with};

#[test]
#[rustfmt::skip]
fn namespace_rules_name_their_field() {
    refused(vec![
        ("/linux/namespaces/1", json!({"type": "mount"}), "linux.namespaces[1].type: \"mount\" is there twice"),
        ("/linux/namespaces/1", json!({"type": "pid", "path": "proc/1/ns/pid"}), "linux.namespaces[1].path: \"proc/1/ns/pid\" is not an absolute path"),
        ("/linux/namespaces/1", json!({"type": "pid", "path": "x"}), "linux.namespaces[1].path: \"x\" is not an absolute path"),
        ("/linux/timeOffsets", json!({"realtime": {"secs": 1}}), "linux.timeOffsets: \"realtime\" is not one of monotonic, boottime"),
        ("/linux/timeOffsets", json!({"boottime": {"nanosecs": 1_000_000_000}}), "linux.timeOffsets.boottime.nanosecs: 1000000000 is above 999999999"),
    ]);
    let offsets = ("/linux/timeOffsets", json!({"monotonic": {"secs": -1}}));
    let cases = [
        (json!({"type": "time", "path": "/t"}), "cannot be set in a time namespace that is joined by its path"),
        (json!({"type": "cgroup"}), "needs a \"time\" namespace in linux.namespaces"),
    ];
    for (namespace, cause) in cases {
        let error = with(&[("/linux/namespaces/6", namespace), offsets.clone()]).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("\"f\": linux.timeOffsets: {cause}")
        );
    }
    accepted(vec![offsets]);
}

#[test]
#[rustfmt::skip]
fn sysctls_must_belong_to_a_namespace_of_the_container() {
    let bad = [
        "",
        "/net/x",
        "net.../x",
        "net/../kernel/x",
        "net.x\n",
        "net.x y",
    ];
    for key in bad {
        let error = with(&[("/linux/sysctl", json!({key: "1"}))]).unwrap_err();
        let field = format!("linux.sysctl[{}]", crate::error::quote(key));
        let cause = "is not a key such as net.core.somaxconn";
        assert_eq!(error.to_string(), format!("\"f\": {field}: {cause}"));
    }
    refused(vec![
        ("/linux/sysctl", json!({"kernel.panic": "1"}), "linux.sysctl[\"kernel.panic\"]: belongs to no namespace, it would change the whole host"),
        ("/linux/sysctl", json!({"kernel.shmmaxx": "1"}), "linux.sysctl[\"kernel.shmmaxx\"]: belongs to no namespace, it would change the whole host"),
        ("/linux/sysctl", json!({"net": "1"}), "linux.sysctl[\"net\"]: belongs to no namespace, it would change the whole host"),
        ("/linux/sysctl", json!({"net.x": "1\n2"}), "linux.sysctl[\"net.x\"]: \"1\\n2\" has more than one line"),
    ]);
    let needs = [
        (4, "network", "net/ipv4/ip_forward"),
        (3, "ipc", "kernel.shmmax"),
        (3, "ipc", "kernel.msgmni"),
        (3, "ipc", "kernel.sem"),
        (3, "ipc", "fs.mqueue.msg_max"),
        (2, "uts", "kernel.domainname"),
        (2, "uts", "kernel.hostname"),
    ];
    for (index, kind, key) in needs {
        let sysctl = ("/linux/sysctl", json!({key: "1"}));
        accepted(vec![sysctl.clone()]);
        let without = format!("/linux/namespaces/{index}");
        let error = with(&[(&without, json!({"type": "cgroup"})), sysctl]).unwrap_err();
        let cause = format!("needs a \"{kind}\" namespace in linux.namespaces");
        assert_eq!(
            error.to_string(),
            format!("\"f\": linux.sysctl[\"{key}\"]: {cause}")
        );
    }
}

#[test]
#[rustfmt::skip]
fn device_rules_name_their_field() {
    let device = |changes: Value| {
        let mut device = json!({"path": "/dev/x", "type": "c", "major": 1, "minor": 3});
        for (key, value) in changes.as_object().unwrap() {
            device[key] = value.clone();
        }
        json!([device])
    };
    refused(vec![
        ("/linux/devices", device(json!({"path": "x"})), "linux.devices[0].path: \"x\" is not an absolute path"),
        ("/linux/devices", device(json!({"type": "a"})), "linux.devices[0].type: \"a\" is not one of b, c, u, p"),
        ("/linux/devices", device(json!({"major": -1})), "linux.devices[0].major: -1 is not from 0 to 4095"),
        ("/linux/devices", device(json!({"minor": 1_048_576})), "linux.devices[0].minor: 1048576 is not from 0 to 1048575"),
        ("/linux/devices", json!([{"path": "/x", "type": "c", "minor": 1}]), "linux.devices[0].major: is missing"),
        ("/linux/devices", json!([{"path": "/x", "type": "b", "major": 1}]), "linux.devices[0].minor: is missing"),
        ("/linux/devices", device(json!({"fileMode": 65536})), "linux.devices[0].fileMode: 65536 is more than 65535 (octal 177777)"),
        ("/linux/devices", device(json!({"uid": u32::MAX})), "linux.devices[0].uid: 4294967295 is no id, the kernel takes it for \"leave unchanged\""),
        ("/linux/devices", device(json!({"gid": u32::MAX})), "linux.devices[0].gid: 4294967295 is no id, the kernel takes it for \"leave unchanged\""),
    ]);
    accepted(vec![(
        "/linux/devices",
        json!([{"path": "/fifo", "type": "p"}]),
    )]);
}

#[test]
#[rustfmt::skip]
fn paths_and_words_of_linux_name_their_field() {
    refused(vec![
        ("/linux/maskedPaths", json!(["/a", "b"]), "linux.maskedPaths[1]: \"b\" is not an absolute path"),
        ("/linux/readonlyPaths", json!([""]), "linux.readonlyPaths[0]: \"\" is not an absolute path"),
        ("/linux/cgroupsPath", json!(""), "linux.cgroupsPath: is empty"),
        ("/linux/cgroupsPath", json!("/a/../b"), "linux.cgroupsPath: \"/a/../b\" is not a path without \"..\""),
        ("/linux/rootfsPropagation", json!("bogus"), "linux.rootfsPropagation: \"bogus\" is not one of shared, slave, private, unbindable"),
        ("/linux/personality", json!({"domain": "BSD"}), "linux.personality.domain: \"BSD\" is not one of LINUX, LINUX32"),
        ("/linux/personality", json!({"domain": "LINUX", "flags": ["x"]}), "linux.personality.flags[0]: \"x\" is not supported, the specification has none"),
        ("/linux/memoryPolicy", json!({"mode": "x"}), "linux.memoryPolicy.mode: invalid memory policy mode: \"x\" is not one of MPOL_DEFAULT, MPOL_PREFERRED, MPOL_BIND, MPOL_INTERLEAVE, MPOL_LOCAL, MPOL_PREFERRED_MANY, MPOL_WEIGHTED_INTERLEAVE"),
        ("/linux/memoryPolicy", json!({"mode": "MPOL_LOCAL", "nodes": "0"}), "linux.memoryPolicy.nodes: MPOL_LOCAL mode requires 0 nodes but got 1"),
        ("/linux/memoryPolicy", json!({"mode": "MPOL_BIND"}), "linux.memoryPolicy.nodes: is missing, MPOL_BIND needs some"),
        ("/linux/memoryPolicy", json!({"mode": "MPOL_BIND", "nodes": "3-1"}), "linux.memoryPolicy.nodes: invalid memory policy nodes: \"3-1\" is not a list such as 0-3,7"),
        ("/linux/memoryPolicy", json!({"mode": "MPOL_DEFAULT", "flags": ["x"]}), "linux.memoryPolicy.flags[0]: invalid memory policy flag: \"x\" is not one of MPOL_F_NUMA_BALANCING, MPOL_F_RELATIVE_NODES, MPOL_F_STATIC_NODES"),
        ("/linux/memoryPolicy", json!({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES"]}), "linux.memoryPolicy.flags: MPOL_F_RELATIVE_NODES and MPOL_F_STATIC_NODES exclude each other"),
    ]);
    accepted(vec![
        ("/linux/cgroupsPath", json!("user.slice:docker:1234")),
        ("/linux/rootfsPropagation", json!("rshared")),
    ]);
}

#[test]
#[rustfmt::skip]
fn seccomp_rules_name_their_field() {
    let rule = |rule: Value| json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]});
    let rows = [
        (json!({"defaultAction": "SCMP_ACT_NOTIFY"}), "defaultAction: SCMP_ACT_NOTIFY cannot be the default, passing its descriptor on would wait for itself"),
        (json!({"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1}), "defaultErrnoRet: 1 is only for SCMP_ACT_ERRNO and SCMP_ACT_TRACE"),
        (json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 4096}), "defaultErrnoRet: 4096 is above 4095"),
        (json!({"defaultAction": "SCMP_ACT_TRACE", "defaultErrnoRet": 65536}), "defaultErrnoRet: 65536 is above 65535"),
        (rule(json!({"names": [], "action": "SCMP_ACT_ERRNO"})), "syscalls[0].names: is empty"),
        (rule(json!({"names": ["read", ""], "action": "SCMP_ACT_ERRNO"})), "syscalls[0].names[1]: is empty"),
        (rule(json!({"names": ["read"], "action": "SCMP_ACT_KILL", "errnoRet": 1})), "syscalls[0].errnoRet: 1 is only for SCMP_ACT_ERRNO and SCMP_ACT_TRACE"),
        (rule( json!({"names": ["read"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]})), "syscalls[0].args[0].index: 6 is not from 0 to 5"),
        (rule(json!({"names": ["read"], "action": "SCMP_ACT_NOTIFY"})), "listenerPath: is missing, SCMP_ACT_NOTIFY needs it"),
        (json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "s"}), "listenerPath: \"s\" is not an absolute path"),
        (json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerMetadata": "m"}), "listenerMetadata: needs listenerPath"),
    ];
    for (value, error) in rows {
        let error = format!("linux.seccomp.{error}");
        refused(vec![("/linux/seccomp", value, &error)]);
    }
}

#[test]
#[rustfmt::skip]
fn network_devices_have_names_that_the_kernel_takes() {
    let of = |name: &str, new: &str| ("/linux/netDevices", json!({name: {"name": new}}));
    let rule = "is not a name of 1 to 15 bytes without white space, \"/\", \":\" and \"%\" (but \"%d\" at the end of a new one)";
    let bad = ["..", ".", "a/b", "a:b", "a b", "a\tb", "sixteen-is-more-", "%d%d", "%s", "a%d0"];
    for name in bad {
        let error = with(&[of("v0", name)]).unwrap_err().to_string();
        let name = crate::error::quote(name);
        assert_eq!(error, format!("\"f\": linux.netDevices[\"v0\"].name: {name} {rule}"));
    }
    let error = with(&[of("v%d", "v0")]).unwrap_err().to_string();
    assert_eq!(error, format!("\"f\": linux.netDevices[\"v%d\"]: {rule}"));
    let twice = ("/linux/netDevices", json!({"a": {"name": "c"}, "b": {"name": "c"}}));
    let error = with(&[twice]).unwrap_err().to_string();
    assert_eq!(error, "\"f\": linux.netDevices[\"b\"].name: \"c\" is also that of \"a\"");
    accepted(vec![of("v0", ""), of("v0", "fifteen-is-most"), of("v0", "eth%d")]);
}
