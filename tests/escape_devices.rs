//! Published attacks on device nodes, masked paths and the read-only root.
//! Not here: terminals; `process.terminal` has its own tests.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::process::Stdio;

use serde_json::json;

use crate::cell::{Cell, finish, with_helper};

/// A cell without a mount on /dev, so that devices are made in the root filesystem itself.
fn without_dev() -> Cell {
    Cell::new().set(
        "/mounts",
        json!([{"destination": "/proc", "type": "proc", "source": "proc"}]),
    )
}

#[test]
fn ghsa_g54h_m393_cpwq_no_device_rules_means_none_is_allowed() {
    let mut cell = Cell::new().all_capabilities();
    if with_helper(&cell).is_none() {
        return;
    }
    let outcome = cell.run(&["/helper", "make-disk", "open-disk"]);
    let out = outcome.ok();
    assert!(out.contains("open-disk: EPERM"), "{out}");
}

#[test]
fn cve_2025_31133_masked_path_is_not_read_through_a_fake_dev_null() {
    let mut cell = without_dev().set("/linux/maskedPaths", json!(["/secret"]));
    fs::write(cell.root("secret"), "secret").unwrap();
    fs::write(cell.root("etc/decoy"), "decoy").unwrap();
    symlink("/etc/decoy", cell.root("dev/null")).unwrap();
    let outcome = cell.sh("cat /secret; echo evil > /secret");
    assert!(!outcome.stdout.contains("decoy"), "{outcome:?}");
    assert!(!outcome.stdout.contains("secret"), "{outcome:?}");
    assert_eq!(fs::read_to_string(cell.root("etc/decoy")).unwrap(), "decoy");
}

#[test]
fn cve_2025_31133_masked_path_is_not_read_through_a_missing_dev_null() {
    let mut cell = without_dev().set("/linux/maskedPaths", json!(["/secret"]));
    fs::write(cell.root("secret"), "secret").unwrap();
    fs::write(cell.root("dev/null"), "decoy").unwrap();
    let outcome = cell.sh("cat /secret");
    assert!(!outcome.stdout.contains("decoy"), "{outcome:?}");
    assert!(!outcome.stdout.contains("secret"), "{outcome:?}");
}

#[test]
fn cve_2026_41579_dev_symlink_to_the_host_gets_no_nodes() {
    let mut cell = without_dev();
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
    let mut cell = without_dev();
    let target = cell.target();
    symlink(target.join("made"), cell.root("dev/console")).unwrap();
    cell.sh("true");
    cell.target_is_untouched();
}

#[test]
fn cve_2026_88265_piped_stdio_is_neither_reopened_nor_given_away() {
    let mut cell = without_dev().set("/process/user", json!({"uid": 1000, "gid": 1000}));
    fs::write(cell.root("dev/null"), "").unwrap();
    let before = fs::metadata(cell.root("dev/null")).unwrap();
    cell.config["process"]["args"] = json!(["/bin/sh", "-c", "read line; echo got $line"]);
    cell.write_config();
    let mut command = cell.runtime("run");
    command.arg("--bundle").arg(cell.bundle()).arg(cell.id());
    let input = cell.bundle().join("input");
    fs::write(&input, "hello\n").unwrap();
    command.stdin(Stdio::from(fs::File::open(&input).unwrap()));
    let outcome = finish(&mut command, cell.bundle());
    if outcome.code == 0 {
        assert_eq!(outcome.stdout, "got hello\n", "{outcome:?}");
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
    let outcome = cell.sh("touch /x 2>&1; true");
    if outcome.code == 0 {
        assert!(
            outcome.stdout.contains("Read-only file system"),
            "{outcome:?}"
        );
    }
    assert!(!cell.root("x").exists(), "the root was writable");
    cell.target_is_untouched();
}
