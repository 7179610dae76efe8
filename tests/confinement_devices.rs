//! The default devices, `linux.devices` and the device cgroup, as they are inside.
//! Not here: hostile files in their places (`escape_devices`).

use serde_json::json;

use crate::cell::{Cell, has_helper};

#[test]
fn default_devices_are_made() {
    let out = Cell::new().sh(
        "cd /dev; stat -c '%n %t:%T %a %u:%g %F' null zero full random urandom tty; \
         for l in fd stdin stdout stderr ptmx; do echo $l $(readlink $l); done",
    );
    let kind = "666 0:0 character special file";
    let mut lines = Vec::new();
    for (name, number) in [
        ("null", "1:3"),
        ("zero", "1:5"),
        ("full", "1:7"),
        ("random", "1:8"),
        ("urandom", "1:9"),
        ("tty", "5:0"),
    ] {
        lines.push(format!("{name} {number} {kind}"));
    }
    for (name, to) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("ptmx", "pts/ptmx"),
    ] {
        lines.push(format!("{name} {to}"));
    }
    assert_eq!(out.lines(), lines);
}

#[test]
fn linux_devices_are_made_with_type_number_mode_and_owner() {
    let mut cell = Cell::new().set(
        "/linux/devices",
        json!([
            {"path": "/dev/char", "type": "c", "major": 10, "minor": 229, "fileMode": 0o640, "uid": 5, "gid": 6},
            {"path": "/dev/sub/block", "type": "b", "major": 7, "minor": 1, "fileMode": 0o600},
            {"path": "/dev/pipe", "type": "p", "fileMode": 0o622, "uid": 7, "gid": 8},
            {"path": "/dev/unbuffered", "type": "u", "major": 1, "minor": 3, "fileMode": 0o666},
        ]),
    );
    let out = cell.sh("umask 0; cd /dev; stat -c '%n %t:%T %a %u:%g %F' char sub/block unbuffered; stat -c '%n %a %u:%g %F' pipe");
    assert_eq!(
        out.lines(),
        [
            "char a:e5 640 5:6 character special file",
            "sub/block 7:1 600 0:0 block special file",
            "unbuffered 1:3 666 0:0 character special file",
            "pipe 622 7:8 fifo",
        ]
    );
}

#[test]
fn linux_device_of_an_unknown_type_is_refused() {
    let mut cell = Cell::new().set("/linux/devices", json!([{"path": "/dev/x", "type": "z"}]));
    cell.sh("true").refused(&["linux.devices[0].type"]);
}

#[test]
fn device_rules_decide_what_can_be_opened() {
    let mut cell = Cell::new().all_capabilities().set(
        "/linux/resources/devices",
        json!([{"allow": false, "access": "rwm"},
               {"allow": true, "type": "c", "major": 10, "minor": 231, "access": "m"}]),
    );
    let out = cell.sh("mknod /made c 10 231 && echo MADE; (: < /made) 2>&1; \
         echo x > /dev/null && echo NULL; head -c 1 /dev/zero | wc -c");
    let lines = out.lines();
    assert_eq!(lines.first(), Some(&"MADE"), "{out:#?}");
    assert!(lines[1].contains("Operation not permitted"), "{out:#?}");
    assert_eq!(lines[2..], ["NULL", "1"]);
}

#[test]
fn device_rules_may_allow_reading_alone() {
    let mut cell = Cell::new().all_capabilities().set(
        "/linux/resources/devices",
        json!([{"allow": false, "access": "rwm"},
               {"allow": true, "type": "c", "major": 1, "minor": 11, "access": "rm"}]),
    );
    let out = cell.sh("mknod /kmsg c 1 11; (: < /kmsg) && echo READ; (: > /kmsg) 2>&1; true");
    assert!(out.ok().contains("READ"), "{out:#?}");
    assert!(out.ok().contains("not permitted"), "{out:#?}");
}

#[test]
fn device_rules_that_allow_all_allow_a_disk() {
    let mut cell = Cell::new().all_capabilities().set(
        "/linux/resources/devices",
        json!([{"allow": true, "access": "rwm"}]),
    );
    if has_helper(&cell) {
        let out = cell.run(&["/helper", "make-disk", "open-disk"]);
        assert!(out.ok().starts_with("make-disk: ok\n"), "{out:#?}");
        assert!(!out.ok().contains("EPERM"), "{out:#?}");
    }
}
