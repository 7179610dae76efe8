//! Limits of `linux.resources`, read back from the files of the container's control groups.
//! Not here: device rules, which are tried by opening devices (`confinement_devices`).

use std::fs;

use serde_json::{Value, json};

use crate::cell::Cell;
use crate::harness::{Bundle, cgroups_named};

/// The text of the first of these files in a group of the created container.
fn file(cell: &Cell, names: &[&str]) -> Option<String> {
    let groups = cgroups_named(cell.bundle.id());
    groups.iter().find_map(|group| {
        names
            .iter()
            .find_map(|name| fs::read_to_string(group.join(name)).ok())
    })
}

/// Creates a container with one resource and returns what the file says, or `None` if the runtime refused it by name.
#[track_caller]
fn limited(pointer: &str, value: Value, names: &[&str]) -> Option<String> {
    let mut cell = Cell::new().set(&format!("/linux/resources/{pointer}"), value);
    // Limits that the kernel takes only together.
    match pointer {
        "memory/swap" => cell = cell.set("/linux/resources/memory/limit", json!(64 << 20)),
        "cpu/burst" => cell = cell.set("/linux/resources/cpu/quota", json!(50_000)),
        _ => {}
    }
    cell.bundle.config["process"]["args"] = json!(["/bin/true"]);
    let out = cell.bundle.create();
    if out.code != 0 {
        let field = pointer.split('/').next().unwrap();
        out.refused(&[&format!("linux.resources.{field}")]);
        return None;
    }
    let text = file(&cell, names);
    cell.bundle.delete_by_force().ok();
    Some(text.unwrap_or_else(|| panic!("{pointer} was neither written nor refused")))
}

/// A limit that every host of these tests can set.
#[track_caller]
fn is_set(pointer: &str, value: Value, names: &[&str], expected: &[&str]) {
    let text = limited(pointer, value, names).expect("this host can set it");
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(expected.contains(&text.as_str()), "{pointer}: {text:?}");
}

/// A limit whose controller or file not every host has: honoured or an error, never skipped.
#[track_caller]
fn is_set_or_refused(pointer: &str, value: Value, names: &[&str], expected: &str) {
    if let Some(text) = limited(pointer, value, names) {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains(expected), "{pointer}: {text:?}");
    }
}

/// Whether the host has cgroup v2 and no v1 hierarchy.
pub(crate) fn is_v2_alone() -> bool {
    fs::read_to_string("/proc/self/cgroup")
        .is_ok_and(|text| text.lines().count() == 1 && text.starts_with("0::"))
}

#[test]
fn memory_limits_are_in_the_groups_files() {
    is_set(
        "memory/limit",
        json!(64 << 20),
        &["memory.limit_in_bytes", "memory.max"],
        &["67108864"],
    );
    is_set(
        "memory/reservation",
        json!(32 << 20),
        &["memory.soft_limit_in_bytes", "memory.low"],
        &["33554432"],
    );
}

#[test]
fn memory_swap_is_set_or_refused() {
    let files = ["memory.memsw.limit_in_bytes", "memory.swap.max"];
    let Some(text) = limited("memory/swap", json!(96 << 20), &files) else {
        return;
    };
    // v1 counts memory and swap together, v2 swap alone: 64 MiB are memory.
    assert!(["100663296", "33554432"].contains(&text.trim()), "{text:?}");
}

#[test]
fn memory_swappiness_is_set_or_refused() {
    is_set_or_refused("memory/swappiness", json!(10), &["memory.swappiness"], "10");
}

#[test]
fn memory_oom_killer_is_disabled_or_refused() {
    is_set_or_refused(
        "memory/disableOOMKiller",
        json!(true),
        &["memory.oom_control"],
        "oom_kill_disable 1",
    );
}

#[test]
fn memory_hierarchy_is_set_or_refused() {
    if is_v2_alone() {
        // There the hierarchy always counts, so that nothing is written.
        let mut cell = Cell::new().set("/linux/resources/memory", json!({"useHierarchy": true}));
        cell.sh("true").ok();
        return;
    }
    is_set_or_refused(
        "memory/useHierarchy",
        json!(true),
        &["memory.use_hierarchy"],
        "1",
    );
}

#[test]
fn memory_limits_of_the_kernel_are_set_or_refused() {
    is_set_or_refused(
        "memory/kernel",
        json!(64 << 20),
        &["memory.kmem.limit_in_bytes"],
        "",
    );
    is_set_or_refused(
        "memory/kernelTCP",
        json!(32 << 20),
        &["memory.kmem.tcp.limit_in_bytes"],
        "33554432",
    );
}

#[test]
fn memory_check_before_update_is_accepted() {
    let mut cell = Cell::new().set(
        "/linux/resources/memory",
        json!({"limit": 64 << 20, "checkBeforeUpdate": true}),
    );
    assert_eq!(cell.sh("echo ran").ok(), "ran\n");
}

#[test]
fn cpu_time_limits_are_in_the_groups_files() {
    is_set(
        "cpu/shares",
        json!(512),
        &["cpu.shares", "cpu.weight"],
        &["512", "20", "50", "59"],
    );
    is_set(
        "cpu/quota",
        json!(50_000),
        &["cpu.cfs_quota_us", "cpu.max"],
        &["50000", "50000 100000"],
    );
    is_set(
        "cpu/period",
        json!(50_000),
        &["cpu.cfs_period_us", "cpu.max"],
        &["50000", "max 50000"],
    );
}

#[test]
fn cpu_burst_and_idle_are_set_or_refused() {
    is_set_or_refused(
        "cpu/burst",
        json!(10_000),
        &["cpu.cfs_burst_us", "cpu.max.burst"],
        "10000",
    );
    is_set_or_refused("cpu/idle", json!(1), &["cpu.idle"], "1");
}

#[test]
fn cpu_realtime_limits_are_set_or_refused() {
    is_set_or_refused(
        "cpu/realtimePeriod",
        json!(500_000),
        &["cpu.rt_period_us"],
        "500000",
    );
    if is_v2_alone() {
        // 0 is no limit to ask for.
        let limits = json!({"realtimeRuntime": 1000});
        let mut cell = Cell::new().set("/linux/resources/cpu", limits);
        cell.sh("true")
            .refused(&["linux.resources.cpu.realtimeRuntime"]);
        return;
    }
    is_set_or_refused("cpu/realtimeRuntime", json!(0), &["cpu.rt_runtime_us"], "0");
}

#[test]
fn cpu_and_node_sets_are_in_the_groups_files() {
    is_set("cpu/cpus", json!("0"), &["cpuset.cpus"], &["0"]);
    is_set("cpu/mems", json!("0"), &["cpuset.mems"], &["0"]);
}

#[test]
fn cpu_set_holds_inside() {
    let mut cell = Cell::new().set("/linux/resources/cpu", json!({"cpus": "0"}));
    let out = cell.sh("grep ^Cpus_allowed_list /proc/self/status");
    assert_eq!(out.ok(), "Cpus_allowed_list:\t0\n");
}

#[test]
fn pids_limit_is_in_the_groups_files() {
    is_set("pids/limit", json!(64), &["pids.max"], &["64"]);
}

#[test]
fn pids_limit_holds_inside() {
    let mut cell = Cell::new().set("/linux/resources/pids", json!({"limit": 8}));
    // The shell ends where it cannot fork, and all of them with it.
    let out = cell.sh("for i in $(seq 20); do sleep 1000 & done");
    assert!(out.stderr.contains("fork"), "{out:#?}");
}

#[test]
fn memory_limit_holds_inside() {
    let mut cell = Cell::new()
        .set("/linux/resources/memory", json!({"limit": 16 << 20}))
        .mount(json!({"destination": "/mnt", "type": "tmpfs", "source": "tmpfs"}));
    let out = cell
        .sh("dd if=/dev/zero of=/mnt/x bs=1M count=64 2>/dev/null; echo $?; ls -l /mnt/x | wc -l");
    // The group's own killer ends dd, or the whole shell.
    assert!(out.code != 0 || !out.stdout.starts_with("0\n"), "{out:#?}");
}

/// `MAJOR:MINOR` of some disk.
fn disk() -> Option<(i64, i64)> {
    for entry in fs::read_dir("/sys/block").ok()?.flatten() {
        if let Ok(text) = fs::read_to_string(entry.path().join("dev")) {
            let (major, minor) = text.trim().split_once(':')?;
            return Some((major.parse().ok()?, minor.parse().ok()?));
        }
    }
    None
}

#[test]
fn block_io_throttles_are_in_the_groups_files() {
    let Some((major, minor)) = disk() else {
        return crate::harness::skip("this host has no block device");
    };
    let list = json!([{"major": major, "minor": minor, "rate": 1_048_576}]);
    for (field, v1, v2) in [
        (
            "throttleReadBpsDevice",
            "blkio.throttle.read_bps_device",
            "rbps=1048576",
        ),
        (
            "throttleWriteBpsDevice",
            "blkio.throttle.write_bps_device",
            "wbps=1048576",
        ),
        (
            "throttleReadIOPSDevice",
            "blkio.throttle.read_iops_device",
            "riops=1048576",
        ),
        (
            "throttleWriteIOPSDevice",
            "blkio.throttle.write_iops_device",
            "wiops=1048576",
        ),
    ] {
        let text = limited(&format!("blockIO/{field}"), list.clone(), &[v1, "io.max"])
            .expect("this host can set it");
        let v1 = format!("{major}:{minor} 1048576");
        assert!(text.contains(&v1) || text.contains(v2), "{field}: {text:?}");
    }
}

#[test]
fn block_io_weights_are_set_or_refused() {
    let files = [
        "blkio.weight",
        "blkio.bfq.weight",
        "io.bfq.weight",
        "io.weight",
    ];
    is_set_or_refused("blockIO/weight", json!(300), &files, "");
    is_set_or_refused(
        "blockIO/leafWeight",
        json!(300),
        &["blkio.leaf_weight"],
        "300",
    );
    let Some((major, minor)) = disk() else { return };
    let files = [
        "blkio.weight_device",
        "blkio.bfq.weight_device",
        "io.bfq.weight",
        "io.weight",
    ];
    let list = json!([{"major": major, "minor": minor, "weight": 300}]);
    is_set_or_refused("blockIO/weightDevice", list, &files, "300");
    let list = json!([{"major": major, "minor": minor, "leafWeight": 300}]);
    is_set_or_refused(
        "blockIO/weightDevice",
        list,
        &["blkio.leaf_weight_device"],
        "300",
    );
}

#[test]
fn hugepage_limits_are_set_or_refused() {
    let files = ["hugetlb.2MB.limit_in_bytes", "hugetlb.2MB.max"];
    is_set_or_refused(
        "hugepageLimits",
        json!([{"pageSize": "2MB", "limit": 4 << 20}]),
        &files,
        "4194304",
    );
}

#[test]
fn network_class_and_priorities_are_set_or_refused() {
    is_set_or_refused(
        "network/classID",
        json!(0x10_0001),
        &["net_cls.classid"],
        "1048577",
    );
    is_set_or_refused(
        "network/priorities",
        json!([{"name": "lo", "priority": 5}]),
        &["net_prio.ifpriomap"],
        "lo 5",
    );
}

#[test]
fn rdma_limits_are_set_or_refused() {
    is_set_or_refused(
        "rdma",
        json!({"mlx5_1": {"hcaHandles": 3, "hcaObjects": 100}}),
        &["rdma.max"],
        "mlx5_1",
    );
}

#[test]
fn unified_files_are_set_or_refused() {
    is_set_or_refused("unified", json!({"pids.max": "50"}), &["pids.max"], "50");
    for name in ["../cgroup.procs", "no.such.file", "a/b"] {
        let mut cell = Cell::new().set("/linux/resources/unified", json!({name: "1"}));
        cell.sh("true").refused(&["linux.resources.unified"]);
    }
}

#[test]
fn limits_that_the_kernel_refuses_are_errors() {
    for (pointer, value, field) in [
        ("cpu/quota", json!(1), "linux.resources.cpu"),
        ("cpu/cpus", json!("4000"), "linux.resources.cpu"),
        ("cpu/mems", json!("1000"), "linux.resources.cpu"),
        ("memory/swappiness", json!(4000), "linux.resources.memory"),
    ] {
        let mut cell = Cell::new().set(&format!("/linux/resources/{pointer}"), value);
        cell.sh("true").refused(&[field]);
    }
}

#[test]
fn writable_cgroup_of_a_user_namespace_belongs_to_its_root_and_its_limits_do_not() {
    if !is_v2_alone() {
        return crate::harness::skip("cgroup v1 cannot be given away");
    }
    let bundle = Bundle::new()
        .user_namespace()
        .no_mount("/sys/fs/cgroup")
        .mount("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "rw"]);
    let mut cell = Cell::of(bundle).set("/linux/namespaces/-", json!({"type": "cgroup"}));
    let out = cell.sh(
        "cd /sys/fs/cgroup; stat -c %u . cgroup.procs memory.max; mkdir sub && echo MADE; \
         rmdir sub; echo max > pids.max || echo KEPT",
    );
    assert_eq!(out.lines(), ["0", "0", "65534", "MADE", "KEPT"], "{out:?}");
}
