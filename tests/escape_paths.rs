//! Published attacks on paths of the root filesystem: symlinks where a directory or a file was expected.
//! Not here: descriptors and identity (`escape_fds`), devices (`escape_devices`), races (`escape_races`).

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;

use crate::cell::Cell;

/// Replaces a directory of the root filesystem by a symlink to `to`.
fn swap_for_link(cell: &Cell, path: &str, to: &std::path::Path) {
    let path = cell.root(path);
    if path.exists() {
        fs::remove_dir_all(&path).unwrap();
    }
    symlink(to, path).unwrap();
}

#[test]
fn cve_2015_3627_symlinked_proc_sys_and_dev_are_refused() {
    for name in ["proc", "sys"] {
        let mut cell = Cell::new();
        swap_for_link(&cell, name, &cell.target());
        if name == "sys" {
            cell = cell.mount(
                json!({"destination": "/sys", "type": "sysfs", "source": "sysfs",
                "options": ["ro", "nosuid", "noexec", "nodev"]}),
            );
        }
        cell.sh("true").refused(&[name]);
        cell.target_is_untouched();
    }
    let mut cell = Cell::new();
    swap_for_link(&cell, "dev", &cell.target());
    cell.sh("true");
    cell.target_is_untouched();
}

#[test]
fn cve_2015_3630_bind_mount_below_proc_is_refused() {
    let cell = Cell::new();
    let target = cell.target();
    for destination in [
        "/proc/self",
        "/proc/sys/kernel",
        "/proc/1/attr",
        "/proc/self/../sys",
    ] {
        let mut cell = Cell::new();
        cell = cell.mount(
            json!({"destination": destination, "type": "bind", "source": target,
            "options": ["bind"]}),
        );
        cell.sh("true").refused(&["proc"]);
    }
    cell.target_is_untouched();
}

#[test]
fn cve_2019_16884_bind_mount_over_proc_is_refused_with_a_label() {
    let mut cell = Cell::new()
        .set(
            "/mounts",
            json!([{"destination": "/proc", "type": "tmpfs", "source": "tmpfs"}]),
        )
        .set("/process/apparmorProfile", json!("strict"));
    cell.sh("true").refused(&[]);
}

#[test]
fn cve_2019_18837_last_component_symlink_stays_in_root() {
    let mut cell = Cell::new();
    let target = cell.target();
    swap_for_link(&cell, "data", &target);
    cell = cell.mount(json!({"destination": "/data", "type": "tmpfs", "source": "tmpfs"}));
    cell.sh("touch /data/made 2>/dev/null; true");
    cell.target_is_untouched();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(
        !mounts.contains(target.to_str().unwrap()),
        "mounted on the host"
    );
}

#[test]
fn cve_2019_19921_proc_symlink_is_refused() {
    let mut cell = Cell::new();
    fs::create_dir(cell.root("realproc")).unwrap();
    swap_for_link(&cell, "proc", "/realproc".as_ref());
    cell.sh("true").refused(&["proc"]);
}

#[test]
fn cve_2023_27561_relative_proc_symlink_is_refused() {
    let mut cell = Cell::new();
    fs::create_dir(cell.root("realproc")).unwrap();
    swap_for_link(&cell, "proc", "realproc".as_ref());
    cell.sh("true").refused(&["proc"]);
}

#[test]
fn cve_2023_28642_symlinked_parent_of_proc_is_refused() {
    let mut cell = Cell::new();
    swap_for_link(&cell, "proc", "data/../data".as_ref());
    cell.sh("true").refused(&["proc"]);
}

#[test]
fn cve_2024_45310_mount_point_is_not_made_through_a_symlink() {
    let mut cell = Cell::new();
    let target = cell.target();
    swap_for_link(&cell, "data", &target);
    let source = cell.bundle.path().join("config.json");
    cell = cell
        .mount(json!({"destination": "/data/sub/dir", "type": "tmpfs", "source": "tmpfs"}))
        .mount(
            json!({"destination": "/data/file", "type": "bind", "source": source,
            "options": ["bind", "ro"]}),
        );
    cell.sh("true");
    cell.target_is_untouched();
}

#[test]
fn cve_2024_45310_mount_point_is_not_made_through_dot_dot() {
    let mut cell = Cell::new();
    cell.target();
    cell = cell
        .mount(json!({"destination": "/../../target/made", "type": "tmpfs", "source": "tmpfs"}));
    cell.sh("true");
    cell.target_is_untouched();
}

#[test]
fn cve_2021_43784_mappings_beyond_64_kib_are_an_error_not_an_overflow() {
    let many: Vec<_> = (0..5000)
        .map(|n| json!({"containerID": n, "hostID": 100_000 + n, "size": 1}))
        .collect();
    let mut cell = Cell::new()
        .set("/linux/namespaces/-", json!({"type": "user"}))
        .set("/linux/uidMappings", json!(many))
        .set("/linux/gidMappings", json!(many));
    cell.sh("true").refused(&["linux.uidMappings"]);
}

#[test]
fn cve_2021_43784_namespace_path_beyond_64_kib_is_an_error() {
    let long = format!("/proc/self/ns/{}", "a".repeat(70_000));
    let mut cell = Cell::new().set(
        "/linux/namespaces",
        json!([{"type": "mount"}, {"type": "uts"}, {"type": "ipc", "path": long}]),
    );
    cell.sh("true").refused(&["linux.namespaces[2].path"]);
}

#[test]
fn cve_2023_25809_cgroup_without_its_namespace_is_read_only() {
    let mut cell = Cell::new()
        .all_capabilities()
        .mount(
            json!({"destination": "/sys", "type": "sysfs", "source": "sysfs",
            "options": ["ro", "nosuid", "noexec", "nodev"]}),
        )
        .mount(
            json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
            "options": ["ro", "nosuid", "noexec", "nodev", "relatime"]}),
        );
    let out = cell.sh(
        "for f in $(find /sys/fs/cgroup -maxdepth 3 -name cgroup.procs | head -n 20); do \
         (echo $$ > $f) 2>/dev/null && echo WROTE $f; done; echo END",
    );
    assert_eq!(out.ok(), "END\n");
}

#[test]
fn cve_2025_24965_files_that_the_runtime_writes_do_not_follow_symlinks() {
    let mut cell = Cell::new()
        .remove("/process/env")
        .set("/process/env", json!(["PATH=/bin", "container=oci"]));
    let canary = cell.target().join("canary");
    for name in [
        ".krun_config.json",
        ".stockade",
        "etc/mtab",
        "etc/hostname",
        "etc/resolv.conf",
        "run",
    ] {
        symlink(&canary, cell.root(name)).unwrap();
    }
    cell.sh("true").ok();
    cell.target_is_untouched();
}

#[test]
fn cve_2026_1386_paths_made_beforehand_as_links_are_not_followed() {
    let mut cell = Cell::new().remove("/mounts").set(
        "/mounts",
        json!([{"destination": "/proc", "type": "proc", "source": "proc"}]),
    );
    let canary = cell.target().join("canary");
    for name in ["null", "zero", "full", "random", "urandom", "tty"] {
        fs::hard_link(&canary, cell.root("dev").join(name)).unwrap();
    }
    for name in ["ptmx", "fd", "stdin", "stdout", "stderr", "core", "console"] {
        symlink(&canary, cell.root("dev").join(name)).unwrap();
    }
    cell.sh("true");
    cell.target_is_untouched();
}

#[test]
fn cve_2025_52881_sysctl_is_not_written_into_a_fake_proc() {
    let mut cell = Cell::new().remove("/mounts").set(
        "/mounts",
        json!([{"destination": "/proc", "type": "tmpfs", "source": "tmpfs"},
               {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"}]),
    );
    let canary = cell.target().join("canary");
    fs::create_dir_all(cell.root("proc/sys/net/ipv4")).unwrap();
    symlink(&canary, cell.root("proc/sys/net/ipv4/ip_forward")).unwrap();
    cell = cell.set("/linux/sysctl", json!({"net.ipv4.ip_forward": "1"}));
    cell.sh("true");
    cell.target_is_untouched();
}

#[test]
fn cve_2025_52881_sysctl_key_with_dot_dot_is_refused() {
    for key in [
        "net/../kernel/panic",
        "net.ipv4/../../kernel/panic",
        "net/../../sysrq-trigger",
    ] {
        let mut cell = Cell::new().set("/linux/sysctl", json!({key: "1"}));
        cell.sh("true").refused(&["linux.sysctl"]);
    }
}

#[test]
fn cve_2022_0811_joined_sysctls_are_refused() {
    let bad = [
        ("net.ipv4.ip_forward+kernel.core_pattern", "1"),
        ("net.ipv4.ip_forward=1\nkernel.panic", "1"),
        ("net.ipv4..ip_forward", "1"),
        ("kernel.core_pattern", "|/bin/evil"),
        ("", "1"),
    ];
    for (key, value) in bad {
        let mut cell = Cell::new().set("/linux/sysctl", json!({key: value}));
        cell.sh("true").refused(&["linux.sysctl"]);
    }
}

#[test]
fn ghsa_c5pj_mqfh_rvc3_annotations_reach_no_interpreter() {
    let canary = {
        let cell = Cell::new();
        let canary = cell.target().join("canary");
        let line = format!("['/bin/sh','-c','echo x > {}']", canary.display());
        let mut cell = cell.set(
            "/annotations",
            json!({
                "org.systemd.property.ExecStartPre": line,
                "org.systemd.property.TimeoutStopUSec": "uint64 1",
                "run.oci.handler": "krun",
                "run.oci.hooks.stdout": canary,
            }),
        );
        cell.sh("true").ok();
        cell.target_is_untouched();
        canary
    };
    assert!(!canary.exists(), "the scratch directory went with its cell");
}

#[test]
fn cve_2026_84042_programs_are_not_looked_up_in_the_root() {
    let mut cell = Cell::new();
    let marks = cell.root("tmp/ran");
    for name in [
        "passt",
        "newuidmap",
        "newgidmap",
        "criu",
        "modprobe",
        "runc",
        "sh2",
    ] {
        let path = cell.root("bin").join(name);
        let _ = fs::remove_file(&path);
        fs::write(&path, "#!/bin/sh\necho ran > /tmp/ran\n").unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    cell.sh("true").ok();
    assert!(!marks.exists(), "a program of the image ran");
}

#[test]
fn nvidia_cve_2024_0132_hooks_get_neither_the_containers_environment_nor_its_root() {
    let mut cell = Cell::new().set(
        "/process/env",
        json!(["PATH=/bin", "LD_PRELOAD=/evil.so", "LD_LIBRARY_PATH=/"]),
    );
    let seen = cell.bundle.path().join("seen");
    let script = format!("cat >/dev/null; env > {0}; pwd >> {0}", seen.display());
    cell = cell.set(
        "/hooks",
        json!({"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", script],
            "env": ["PATH=/usr/bin:/bin"]}]}),
    );
    cell.sh("true").ok();
    let text = fs::read_to_string(seen).unwrap();
    assert!(!text.contains("LD_"), "{text}");
    assert!(!text.contains("rootfs"), "{text}");
}
