//! Published attacks through descriptors, the runtime's own binary, identities and capabilities.
//! Not here: the same for `exec`, which docs/attacks.md lists with the reason.

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::cell::{Cell, has_helper};
use crate::harness::{Call, is_foreign, runtime, skip};

#[test]
fn cve_2016_3697_numeric_user_name_in_the_image_is_not_looked_up() {
    let mut cell = Cell::new().set("/process/user", json!({"uid": 1000, "gid": 1000}));
    fs::write(
        cell.root("etc/passwd"),
        "1000:x:0:0::/:/bin/sh\nroot:x:0:0::/:/bin/sh\n",
    )
    .unwrap();
    let out = cell.sh("id -u; id -g");
    assert_eq!(out.ok(), "1000\n1000\n");
}

#[test]
fn cve_2016_8867_capabilities_do_not_survive_the_change_of_user() {
    let cell = Cell::new().all_capabilities();
    let mut cell = cell.set("/process/user", json!({"uid": 1000, "gid": 1000}));
    let out = cell.sh("grep -E '^Cap(Inh|Prm|Eff|Amb)' /proc/self/status");
    let zero = "0000000000000000";
    assert_eq!(
        out.ok(),
        format!("CapInh:\t{zero}\nCapPrm:\t{zero}\nCapEff:\t{zero}\nCapAmb:\t{zero}\n")
    );
}

#[test]
fn cve_2022_29162_inheritable_set_is_empty_unless_asked() {
    let out = Cell::new()
        .all_capabilities()
        .sh("grep -E '^Cap(Inh|Amb)' /proc/self/status");
    assert_eq!(
        out.ok(),
        "CapInh:\t0000000000000000\nCapAmb:\t0000000000000000\n"
    );
}

#[test]
fn cve_2019_5736_the_runtimes_binary_cannot_be_written_from_inside() {
    let binary = runtime();
    let before = fs::read(&binary).unwrap();
    let mut cell = Cell::new().all_capabilities();
    if !has_helper(&cell) {
        return;
    }
    let out = cell.run(&["/helper", "write-exe", "write-init-exe"]);
    assert_eq!(out.ok(), "write-exe: ETXTBSY\nwrite-init-exe: ETXTBSY\n");

    // The runtime itself, started again by the name that it gave away.
    let mut cell = Cell::new().all_capabilities();
    let out = cell.run(&["/proc/self/exe", "--version"]);
    assert!(!out.stderr.contains("panicked"), "{out:?}");
    assert!(
        fs::read(&binary).unwrap() == before,
        "the binary was changed"
    );
}

#[test]
fn cve_2019_5736_the_runtimes_binary_is_not_reachable_while_init_waits() {
    let mut cell = Cell::new();
    cell.bundle.config["process"]["args"] = json!(["/bin/true"]);
    cell.bundle.create().ok();
    let exe = format!("/proc/{}/exe", cell.bundle.pid());
    let mounted = rustix::fs::statvfs(&exe).unwrap().f_flag;
    assert!(
        mounted.contains(rustix::fs::StatVfsMountFlags::RDONLY),
        "what init executes is on a writable mount"
    );
    let opened = fs::OpenOptions::new().write(true).open(exe);
    let refused = opened.expect_err("the binary of a waiting init is writable");
    // ETXTBSY, EROFS, EPERM or EACCES.
    assert!(
        matches!(refused.raw_os_error(), Some(26 | 30 | 1 | 13)),
        "{refused}"
    );
    cell.bundle.delete_by_force().ok();
}

/// Whoever enters the container, or shares its pid namespace, and has CAP_SYS_PTRACE opens what it has open.
#[test]
fn cve_2016_9962_init_that_waits_has_nothing_of_the_host_open() {
    let mut cell = Cell::new();
    cell.bundle.config["process"]["args"] = json!(["/bin/true"]);
    cell.bundle.create().ok();
    let directory = format!("/proc/{}/fd", cell.bundle.pid());
    let numbers = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    // The caller's streams are the test's.
    let own = numbers.filter(|entry| {
        !["0", "1", "2"]
            .iter()
            .any(|stream| entry.file_name() == **stream)
    });
    let targets = own.map(|entry| fs::read_link(entry.path()).unwrap());
    let paths: Vec<_> = targets.filter(|target| target.is_absolute()).collect();
    cell.bundle.delete_by_force().ok();
    assert_eq!(paths, [std::path::Path::new("/")], "its own root alone");
}

#[test]
fn cve_2019_5736_the_runtimes_binary_stays_read_only_when_nobody_executes_it() {
    if is_foreign() {
        return skip("other runtimes have other ways");
    }
    let mut cell = Cell::new();
    cell.bundle.config["process"]["args"] = json!(["/bin/true"]);
    cell.bundle.create().ok();
    // ETXTBSY protects the file only as long as it is executed; a descriptor outlives that.
    let exe = fs::File::open(format!("/proc/{}/exe", cell.bundle.pid())).unwrap();
    let flags = rustix::fs::fstatvfs(&exe).unwrap().f_flag;
    let seals = rustix::fs::fcntl_get_seals(&exe);
    assert!(
        flags.contains(rustix::fs::StatVfsMountFlags::RDONLY)
            || seals.is_ok_and(|seals| seals.contains(rustix::fs::SealFlags::WRITE)),
        "neither on a read-only mount nor a sealed file"
    );
    cell.bundle.delete_by_force().ok();
    let again = format!("/proc/self/fd/{}", exe.as_raw_fd());
    fs::OpenOptions::new()
        .write(true)
        .open(again)
        .expect_err("the binary can be written");
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
        let out = cell.sh("pwd");
        if out.code == 0 {
            assert_eq!(out.stdout, "/\n", "a working directory outside the root");
        }
    }
}

#[test]
fn cve_2024_21626_inherited_descriptors_do_not_reach_the_container() {
    let cell = Cell::new();
    let bundle = cell.bundle.args(&["/bin/ls", "/proc/self/fd"]);
    bundle.write();
    let out = Call::new("sh", &bundle.temp().join("calls"))
        .args(["-c", "exec 9</etc 8</proc; exec \"$@\"", "sh"])
        .arg(runtime())
        .arg("--root")
        .arg(bundle.state_dir())
        .args(["run", "--bundle"])
        .arg(bundle.path())
        .arg(bundle.id())
        .output();
    // 3 is the directory that ls reads.
    assert_eq!(out.lines(), ["0", "1", "2", "3"]);
}

/// What init still has open, by the paths that lead from there to a program of the host: one descriptor for each cgroup
/// hierarchy and more, so that the numbers are not small.
fn ways_out(cell: &Cell) -> impl Iterator<Item = String> + use<> {
    let host = cell.bundle.outside("host");
    fs::copy(cell.root("bin/busybox"), host.join("busybox")).unwrap();
    (3..=48).map(move |fd| format!("/proc/self/fd/{fd}/..{}/busybox", host.display()))
}

#[test]
fn cve_2024_21626_program_through_a_descriptor_is_not_executed() {
    let mut cell = Cell::new();
    for program in ways_out(&cell) {
        let out = cell.run(&[&program, "echo", "of the host"]);
        assert_eq!(out.stdout, "", "{program}");
        out.fails(127, &[&format!("execute \"{program}\"")]);
    }
}

#[test]
fn cve_2024_21626_interpreter_through_a_descriptor_is_not_executed() {
    let mut cell = Cell::new();
    let script = cell.root("script");
    for interpreter in ways_out(&cell) {
        fs::write(&script, format!("#!{interpreter} echo\n")).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        let out = cell.run(&["/script"]);
        assert_eq!(out.stdout, "", "{interpreter}");
        // ENOTDIR where the descriptor is a socket.
        assert!([126, 127].contains(&out.code), "{out:?}");
    }
}

#[test]
fn cve_2024_21626_hook_in_the_container_is_not_executed_through_a_descriptor() {
    let mut cell = Cell::new();
    for program in ways_out(&cell) {
        let hook = json!([{"path": program, "args": ["busybox", "true"]}]);
        cell = cell.set("/hooks", json!({"startContainer": hook}));
        cell.run(&["/bin/true"])
            .refused(&["hooks.startContainer[0]", "127"]);
    }
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
    let out = cell.sh("grep ^Groups /proc/self/status");
    assert_eq!(out.ok().trim_end().trim_end_matches([' ', '\t']), "Groups:");
}
