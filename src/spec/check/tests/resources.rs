//! Rules of `linux.resources`.

use serde_json::json;

use super::{accepted, refused};

#[test]
#[rustfmt::skip]
fn resource_rules_name_their_field() {
    let rows = [
        ("devices", json!([{"allow": true, "type": "x", "access": "r"}]), "devices[0].type: \"x\" is not one of a, b, c"),
        ("devices", json!([{"allow": true, "major": -2, "access": "r"}]), "devices[0].major: -2 is not from -1 to 4095"),
        ("devices", json!([{"allow": true, "access": "rx"}]), "devices[0].access: \"rx\" is not made of r, w and m"),
        ("devices", json!([{"allow": true, "access": "rwa"}]), "devices[0].access: \"rwa\" is not made of r, w and m"),
        ("devices", json!([{"allow": true}]), "devices[0].access: \"\" is not made of r, w and m"),
        ("memory/limit", json!(-2), "memory.limit: -2 is negative, only -1 (no limit) may be"),
        ("memory/kernelTCP", json!(-2), "memory.kernelTCP: -2 is negative, only -1 (no limit) may be"),
        ("memory", json!({"limit": 2, "swap": 1}), "memory.swap: 1 is memory and swap together and below limit, 2"),
        ("memory", json!({"limit": -1, "swap": 1}), "memory.swap: is limited and limit, a part of it, is not"),
        ("memory/swappiness", json!(101), "memory.swappiness: 101 is not from 0 to 100"),
        ("cpu/quota", json!(-2), "cpu.quota: -2 is negative, only -1 (no limit) may be"),
        ("cpu/quota", json!(999), "cpu.quota: 999 is below the kernel's 1000 microseconds"),
        ("cpu/period", json!(1_000_001), "cpu.period: 1000001 is not from 1000 to 1000000 microseconds"),
        ("cpu", json!({"quota": 1000, "burst": 1001}), "cpu.burst: 1001 is above quota, 1000"),
        ("cpu/idle", json!(2), "cpu.idle: 2 is not 0 or 1"),
        ("cpu/cpus", json!("a"), "cpu.cpus: \"a\" is not a list such as 0-3,7"),
        ("cpu/mems", json!("0,"), "cpu.mems: \"0,\" is not a list such as 0-3,7"),
        ("pids/limit", json!(-2), "pids.limit: -2 is negative, only -1 (no limit) may be"),
        ("blockIO/weight", json!(9), "blockIO.weight: 9 is not from 10 to 1000"),
        ("blockIO/weightDevice", json!([{"major": 8, "minor": 0}]), "blockIO.weightDevice[0]: has neither weight nor leafWeight"),
        ("blockIO/weightDevice", json!([{"major": 8, "minor": 0, "weight": 1001}]), "blockIO.weightDevice[0].weight: 1001 is not from 10 to 1000"),
        ("blockIO/throttleReadIOPSDevice", json!([{"major": 8, "minor": -1, "rate": 1}]), "blockIO.throttleReadIOPSDevice[0].minor: -1 is not from 0 to 1048575"),
        ("hugepageLimits", json!([{"pageSize": "64kB", "limit": 1}]), "hugepageLimits[0].pageSize: \"64kB\" is not a size such as 64KB, 2MB or 1GB"),
        ("hugepageLimits", json!([{"pageSize": "../2MB", "limit": 1}]), "hugepageLimits[0].pageSize: \"../2MB\" is not a size such as 64KB, 2MB or 1GB"),
        ("network/priorities", json!([{"name": "a b", "priority": 1}]), "network.priorities[0].name: \"a b\" is not the name of an interface"),
        ("rdma", json!({"mlx": {}}), "rdma[\"mlx\"]: has neither hcaHandles nor hcaObjects"),
        ("unified", json!({"../memory.max": "1"}), "unified[\"../memory.max\"]: is not a file name such as memory.high"),
        ("unified", json!({"memory": "1"}), "unified[\"memory\"]: is not a file name such as memory.high"),
        ("unified", json!({"cgroup.procs": "1"}), "unified[\"cgroup.procs\"]: is written by the runtime alone"),
    ];
    for (field, value, error) in rows {
        let pointer = format!("/linux/resources/{field}");
        let error = format!("linux.resources.{error}");
        refused(vec![(&pointer, value, &error)]);
    }
    accepted(vec![
        ("/linux/resources/memory", json!({"limit": 0, "swap": -1, "reservation": 5})),
        ("/linux/resources/cpu", json!({"quota": 0, "period": 0, "shares": 0, "cpus": ""})),
        ("/linux/resources/pids/limit", json!(0)),
        ("/linux/resources/unified", json!({"io.max": "a\nb", "cgroup.max.depth": "3"})),
    ]);
}
