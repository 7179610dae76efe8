//! Published attacks on device nodes, masked paths and the read-only root.
//! Not here: terminals; `process.terminal` has its own tests.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};

use serde_json::json;

use crate::cell::{Cell, has_helper};

#[test]
fn ghsa_g54h_m393_cpwq_no_device_rules_means_none_is_allowed() {
    let mut cell = Cell::new().all_capabilities().remove("/linux/resources");
    if !has_helper(&cell) {
        return;
    }
    let out = cell.run(&["/helper", "make-disk", "open-disk"]);
    let out = out.ok();
    assert!(out.contains("open-disk: EPERM"), "{out}");
}

#[test]
fn cve_2025_31133_masked_path_is_not_read_through_a_fake_dev_null() {
    let mut cell = Cell::without_dev().set("/linux/maskedPaths", json!(["/secret"]));
    fs::write(cell.root("secret"), "secret").unwrap();
    fs::write(cell.root("etc/decoy"), "decoy").unwrap();
    symlink("/etc/decoy", cell.root("dev/null")).unwrap();
    let out = cell.sh("cat /secret; echo evil > /secret");
    assert!(!out.stdout.contains("decoy"), "{out:?}");
    assert!(!out.stdout.contains("secret"), "{out:?}");
    assert_eq!(fs::read_to_string(cell.root("etc/decoy")).unwrap(), "decoy");
}

#[test]
fn cve_2025_31133_masked_path_is_not_read_through_a_missing_dev_null() {
    let mut cell = Cell::without_dev().set("/linux/maskedPaths", json!(["/secret"]));
    fs::write(cell.root("secret"), "secret").unwrap();
    fs::write(cell.root("dev/null"), "decoy").unwrap();
    let out = cell.sh("cat /secret");
    assert!(!out.stdout.contains("decoy"), "{out:?}");
    assert!(!out.stdout.contains("secret"), "{out:?}");
}

#[test]
fn cve_2026_41579_dev_symlink_to_the_host_gets_no_nodes() {
    let mut cell = Cell::without_dev();
    let target = cell.target();
    fs::remove_dir(cell.root("dev")).unwrap();
    symlink(&target, cell.root("dev")).unwrap();
    cell.sh("true");
    cell.target_is_untouched();
}

#[test]
fn cve_2026_41579_linux_device_below_a_symlink_is_not_made_on_the_host() {
    let mut cell = Cell::new();
    let target = cell.target();
    symlink(&target, cell.root("link")).unwrap();
    cell = cell.set(
        "/linux/devices",
        json!([{"path": "/link/evil", "type": "c", "major": 1, "minor": 3, "fileMode": 438}]),
    );
    cell.sh("true");
    cell.target_is_untouched();
}

#[test]
fn cve_2026_88264_console_symlink_makes_no_file_on_the_host() {
    let mut cell = Cell::without_dev();
    let target = cell.target();
    symlink(target.join("made"), cell.root("dev/console")).unwrap();
    cell.sh("true");
    cell.target_is_untouched();
}

#[test]
fn cve_2026_88265_standard_streams_are_neither_reopened_nor_given_away() {
    let mut cell = Cell::without_dev().set("/process/user", json!({"uid": 1000, "gid": 1000}));
    fs::write(cell.root("dev/null"), "").unwrap();
    let before = fs::metadata(cell.root("dev/null")).unwrap();
    cell.bundle.config["process"]["args"] = json!(["/bin/sh", "-c", "read line; echo got $line"]);
    let input = cell.bundle.temp().join("input");
    fs::write(&input, "hello\n").unwrap();
    let call = cell.bundle.launch("run", &[]);
    let out = call.stdin(fs::File::open(&input).unwrap()).output();
    if out.code == 0 {
        assert_eq!(out.stdout, "got hello\n", "{out:?}");
    }
    let after = fs::metadata(cell.root("dev/null")).unwrap();
    if !after.file_type().is_char_device() {
        assert_eq!((after.uid(), after.gid()), (before.uid(), before.gid()));
    }
}

#[test]
fn cve_2026_115521_read_only_root_holds_without_a_real_proc() {
    let mut cell = Cell::new()
        .all_capabilities()
        .set(
            "/mounts",
            json!([{"destination": "/dev", "type": "tmpfs", "source": "tmpfs"}]),
        )
        .set("/root/readonly", json!(true));
    let target = cell.target();
    fs::create_dir_all(cell.root("proc/self/fd")).unwrap();
    fs::create_dir_all(cell.root("proc/thread-self/fd")).unwrap();
    for fd in 0..64 {
        for of in ["self", "thread-self"] {
            symlink(&target, cell.root(&format!("proc/{of}/fd/{fd}"))).unwrap();
        }
    }
    let out = cell.sh("touch /x 2>&1; true");
    if out.code == 0 {
        assert!(out.stdout.contains("Read-only file system"), "{out:?}");
    }
    assert!(!cell.root("x").exists(), "the root was writable");
    cell.target_is_untouched();
}
