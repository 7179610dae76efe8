//! Published attacks through descriptors, the runtime's own binary, identities and capabilities.
//! Not here: the same for `exec`, which docs/attacks.md lists with the reason.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::json;

USE

#[test]
fn cve_2016_3697_numeric_user_name_in_the_image_is_not_looked_up() {
    let mut cell = Cell::new().set("/process/user", json!({"uid": 1000, "gid": 1000}));
    fs::write(
        cell.root("etc/passwd"),
        "1000:x:0:0::/:/bin/sh\nroot:x:0:0::/:/bin/sh\n",
    )
    .unwrap();
    let out = cell.sh("id -u; id -g").ok();
    assert_eq!(out, "1000\n1000\n");
}

#[test]
fn cve_2016_8867_capabilities_do_not_survive_the_change_of_user() {
    let cell = Cell::new().all_capabilities();
    let mut cell = cell.set("/process/user", json!({"uid": 1000, "gid": 1000}));
    let out = cell
        .sh("grep -E '^Cap(Inh|Prm|Eff|Amb)' /proc/self/status")
        .ok();
    let zero = "0000000000000000";
    assert_eq!(
        out,
        format!("CapInh:\t{zero}\nCapPrm:\t{zero}\nCapEff:\t{zero}\nCapAmb:\t{zero}\n")
    );
}

#[test]
fn cve_2022_29162_inheritable_set_is_empty_unless_asked() {
    let out = Cell::new()
        .all_capabilities()
        .sh("grep -E '^Cap(Inh|Amb)' /proc/self/status")
        .ok();
    assert_eq!(
        out,
        "CapInh:\t0000000000000000\nCapAmb:\t0000000000000000\n"
    );
}

#[test]
fn cve_2019_5736_the_runtimes_binary_cannot_be_written_from_inside() {
    let binary = if !is_foreign() {
        env!("CARGO_BIN_EXE_stockade")
    } else {
        "/usr/sbin/runc"
    };
    let before = fs::read(binary).unwrap();
    let mut cell = Cell::new().all_capabilities();
    if with_helper(&cell).is_none() {
        return;
    }
    let out = cell.run(&["/helper", "write-exe", "write-init-exe"]).ok();
    assert_eq!(out, "write-exe: ETXTBSY\nwrite-init-exe: ETXTBSY\n");

    // The runtime itself, started again by the name that it gave away.
    let mut cell = Cell::new().all_capabilities();
    let out = cell.run(&["/proc/self/exe", "--version"]);
    assert!(!out.stderr.contains("panicked"), "{out:?}");
    assert!(
        fs::read(binary).unwrap() == before,
        "the binary was changed"
    );
}

#[test]
fn cve_2019_5736_the_runtimes_binary_is_not_reachable_while_init_waits() {
    let mut cell = Cell::new();
    cell.config["process"]["args"] = json!(["/bin/true"]);
    let created = cell.launch("create");
    assert_eq!(created.code, 0, "{created:?}");
    let state = cell.verb("state", &[&cell.id()]).ok();
    let state: serde_json::Value = serde_json::from_str(&state).unwrap();
    let exe = format!("/proc/{}/exe", state["pid"]);
    let opened = fs::OpenOptions::new().write(true).open(exe);
    let refused = opened.expect_err("the binary of a waiting init is writable");
    assert!(
        matches!(refused.raw_os_error(), Some(26 | 30 | 1 | 13)),
        "{refused}"
    );
    cell.verb("delete", &["--force", &cell.id()]).ok();
}

#[test]
fn cve_2024_21626_working_directory_through_a_descriptor_is_refused() {
    for fd in 3..=20 {
        let mut cell = Cell::new().set("/process/cwd", json!(format!("/proc/self/fd/{fd}")));
        cell.sh("cat /etc/hostname").refused(&["process.cwd"]);
    }
}

#[test]
fn cve_2024_21626_working_directory_through_a_symlink_to_a_descriptor_is_refused() {
    for fd in [3, 5, 7, 8, 9] {
        let mut cell = Cell::new().set("/process/cwd", json!("/link/../.."));
        std::os::unix::fs::symlink(format!("/proc/self/fd/{fd}"), cell.root("link")).unwrap();
        let out = cell.sh("pwd; ls /work /home 2>/dev/null; true");
        if out.code == 0 {
            assert_eq!(
                out.stdout, "/\n",
                "a working directory outside the root"
            );
        }
    }
}

#[test]
fn cve_2024_21626_inherited_descriptors_do_not_reach_the_container() {
    let mut cell = Cell::new();
    cell.config["process"]["args"] =
        json!(["/bin/sh", "-c", "ls /proc/self/fd; exec 9<&9 || echo NONE"]);
    cell.write_config();
    let inner = cell.runtime("run");
    let mut command = Command::new("sh");
    command
        .args(["-c", "exec 9</etc 8</proc; exec \"$@\"", "sh"])
        .arg(inner.get_program())
        .args(inner.get_args())
        .arg("--bundle")
        .arg(cell.bundle.path())
        .arg(cell.id())
        .stdin(Stdio::null());
    let out = finish(&mut command, cell.bundle.path());
    // 3 is the directory that ls reads.
    assert!(out.stdout.starts_with("0\n1\n2\n3\n"), "{out:?}");
    assert!(!out.stdout.contains("\n8\n"), "{out:?}");
    assert!(!out.stdout.contains("\n9\n"), "{out:?}");
}

#[test]
fn cve_2026_30892_ids_that_are_no_ids_are_refused() {
    for bad in [
        json!(-1),
        json!(4_294_967_295_u64),
        json!(4_294_967_296_u64),
        json!("1"),
        json!("0x0"),
        json!(1.5),
    ] {
        for field in ["uid", "gid"] {
            let mut cell = Cell::new().set(&format!("/process/user/{field}"), bad.clone());
            let out = cell.sh("id");
            if !is_foreign() {
                out.refused(&["process.user"]);
            }
        }
    }
}

#[test]
fn cve_2022_36109_groups_are_empty_unless_asked() {
    let mut cell = Cell::new().set("/process/user", json!({"uid": 1000, "gid": 1000}));
    fs::write(
        cell.root("etc/group"),
        "disk:x:6:root,1000\nwheel:x:10:1000\n",
    )
    .unwrap();
    fs::write(cell.root("etc/passwd"), "1000:x:1000:1000::/:/bin/sh\n").unwrap();
    let out = cell.sh("grep ^Groups /proc/self/status").ok();
    assert_eq!(out.trim_end().trim_end_matches([' ', '\t']), "Groups:");
}

#[test]
fn capability_names_are_those_of_this_kernel() {
    let last: usize = fs::read_to_string("/proc/sys/kernel/cap_last_cap")
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    if last + 1 != CAPABILITIES.len() {
        skip("this kernel has other capabilities than the list");
    }
}
