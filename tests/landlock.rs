//! The Landlock rules of a profile, tried with real calls inside.
//! Not here: what becomes of a section on an older kernel, which is pure and tested beside it.

use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::{SocketAddr, UnixListener};

use serde_json::json;
use stockade::sys::landlock;

use crate::cell::{Cell, has_helper};
use crate::harness::{Bundle, FOREVER, Inside, is_foreign, raw_calls, skip};

/// The bundle under a profile with this section and nothing else; `None` where it cannot be tried.
fn under(bundle: Bundle, section: &str) -> Option<Bundle> {
    if is_foreign() {
        skip("other runtimes have no profiles");
        return None;
    }
    if landlock::abi() < landlock::NEWEST {
        skip("this kernel lacks a part of Landlock");
        return None;
    }
    let file = bundle.temp().join("walled.toml");
    let text = format!("name = \"walled\"\ndescription = \"x\"\n[landlock]\n{section}\n");
    fs::write(&file, text).unwrap();
    Some(bundle.profile(Some(file.to_str().unwrap())))
}

/// The results of calls, one a line, under this section, with files of the root that exist before.
#[track_caller]
fn results(section: &str, calls: &[String]) -> Option<Vec<String>> {
    let bundle = under(Bundle::new(), section)?;
    for path in ["etc/kept", "home/kept"] {
        fs::write(bundle.rootfs().join(path), "kept").unwrap();
    }
    for path in ["home/bin", "home/lib"] {
        fs::create_dir(bundle.rootfs().join(path)).unwrap();
    }
    symlink("/etc", bundle.rootfs().join("out")).unwrap();
    let out = raw_calls(bundle, &calls.join(" , ")).run();
    Some(out.ok().lines().map(str::to_owned).collect())
}

const HERE: i32 = libc::AT_FDCWD;
const NEW: i32 = libc::O_WRONLY | libc::O_CREAT;

fn open(path: &str, flags: i32) -> String {
    format!("{} {HERE} ={path} {flags} 420", libc::SYS_openat)
}

fn rename(from: &str, to: &str) -> String {
    format!("{} {HERE} ={from} {HERE} ={to} 0", libc::SYS_renameat2)
}

#[test]
fn landlock_write_outside_of_the_allowed_tree_is_eacces() {
    let calls = [
        open("/home/new", NEW),
        open("/etc/new", NEW),
        open("/etc/kept", libc::O_WRONLY),
        open("/etc/kept", libc::O_RDONLY),
        format!("{} ={} 0", libc::SYS_truncate, "/etc/kept"),
        format!("{} {HERE} =/etc/kept 0", libc::SYS_unlinkat),
        format!("{} {HERE} =/etc/dir 493", libc::SYS_mkdirat),
        format!("{} =/kept {HERE} =/etc/link", libc::SYS_symlinkat),
        format!("{} {HERE} =/home/dir 493", libc::SYS_mkdirat),
    ];
    if let Some(results) = results("write = [\"/home\"]", &calls) {
        let expected = ["3", "-13", "-13", "4", "-13", "-13", "-13", "-13", "0"];
        assert_eq!(results, expected);
    }
}

#[test]
fn landlock_read_outside_of_the_allowed_tree_is_eacces() {
    let calls = [
        open("/etc/kept", libc::O_RDONLY),
        open("/etc", libc::O_RDONLY),
        open("/home/kept", libc::O_RDONLY),
        open("/home", libc::O_RDONLY),
        open("/etc/new", NEW),
        rename("/etc/new", "/home/new"),
    ];
    let section = "read = [\"/home\"]\nexecute = [\"/call\"]";
    if let Some(results) = results(section, &calls) {
        // The last would make readable what is not.
        assert_eq!(results, ["-13", "-13", "3", "4", "5", "-18"]);
    }
}

#[test]
fn landlock_rename_needs_both_ends_and_never_adds_rights() {
    let calls = [
        rename("/home/kept", "/home/lib/kept"),
        rename("/home/lib/kept", "/etc/moved"),
        rename("/etc/kept", "/home/moved"),
        rename("/home/lib/kept", "/home/bin/kept"),
    ];
    let section = "write = [\"/home\"]\nexecute = [\"/home/bin\", \"/call\"]";
    if let Some(results) = results(section, &calls) {
        assert_eq!(results, ["0", "-13", "-13", "-18"]);
    }
}

#[test]
fn landlock_path_by_a_link_of_the_image_allows_nothing() {
    let calls = [open("/etc/new", NEW), open("/out/new", NEW)];
    let section = "write = [\"/out\", \"/out/below\", \"/missing\", \"/call/x\"]";
    if let Some(results) = results(section, &calls) {
        assert_eq!(results, ["-13", "-13"]);
    }
}

#[test]
fn landlock_file_in_a_list_stands_for_itself() {
    let calls = [
        open("/etc/kept", libc::O_WRONLY),
        open("/etc/new", NEW),
        format!("{} {HERE} =/etc/kept 0", libc::SYS_unlinkat),
    ];
    if let Some(results) = results("write = [\"/etc/kept\"]", &calls) {
        assert_eq!(results, ["3", "-13", "-13"]);
    }
}

#[test]
fn landlock_ioctl_on_a_device_that_is_not_listed_is_eacces() {
    let tcgets = |fd: u32| format!("{} {fd} {} 0", libc::SYS_ioctl, libc::TCGETS);
    let calls = [
        open("/dev/null", libc::O_RDONLY),
        tcgets(3),
        open("/dev/zero", libc::O_RDONLY),
        tcgets(4),
    ];
    if let Some(results) = results("ioctl = [\"/dev/zero\"]", &calls) {
        assert_eq!(results, ["3", "-13", "4", "-25"]);
    }
}

#[test]
fn landlock_execute_outside_of_the_allowed_tree_is_eacces() {
    let script = "cp /bin/busybox /home/sh; /home/sh true; echo $?; /bin/true; echo $?";
    let section = "execute = [\"/bin\"]";
    let Some(bundle) = under(Bundle::new().shell(script), section) else {
        return;
    };
    let out = bundle.run();
    assert_eq!(out.ok(), "126\n0\n");
    assert_eq!(out.stderr, "/bin/sh: /home/sh: Permission denied\n");
}

#[test]
fn landlock_refusal_of_the_program_itself_says_what_must_be_allowed() {
    let section = "execute = [\"/usr\"]";
    let Some(bundle) = under(Bundle::new().args(&["/bin/true"]), section) else {
        return;
    };
    let hint = "the profile's landlock.execute and landlock.read must allow the program and what runs it, by paths \
                without symbolic links: the interpreter of a #! line, and the dynamic linker";
    let expected =
        format!("error: execute \"/bin/true\": permission denied (EACCES)\ntry: {hint}\n");
    bundle.run().fails(126, &[&expected]);
    bundle.create().ok();
    bundle.start().fails(1, &[&expected]);
    bundle.delete_by_force().ok();
}

#[test]
fn landlock_ports_that_are_not_listed_are_eacces() {
    let script = "
        busybox nc 127.0.0.1 443
        busybox nc -l -p 81
        busybox nc 127.0.0.1 8081
        busybox nc -l -p 8080 < /dev/null > /dev/null &
        until busybox nc 127.0.0.1 8080 < /dev/null 2> /dev/null; do :; done
        echo reached";
    let section = "bind-tcp = [8080]\nconnect-tcp = [8080, 8081]";
    let Some(bundle) = under(Bundle::new().shell(script), section) else {
        return;
    };
    let out = bundle.run();
    assert_eq!(out.ok(), "reached\n");
    let expected = [
        "nc: can't connect to remote host (127.0.0.1): Permission denied",
        "nc: bind: Permission denied",
        "nc: can't connect to remote host (127.0.0.1): Connection refused",
    ];
    assert_eq!(out.stderr.lines().collect::<Vec<_>>(), expected);
}

/// What a program in the host's network namespace gets from an abstract socket of ours.
fn abstract_socket(section: &str) -> Option<String> {
    let bundle = under(Bundle::new(), section)?.edit(|config| {
        let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|space| space["type"] != "network");
    });
    let name = format!("stockade-{}", bundle.id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let _listener = UnixListener::bind_addr(&address).unwrap();
    let mut cell = Cell::of(bundle).set("/process/env", json!([format!("ABSTRACT={name}")]));
    has_helper(&cell).then(|| cell.run(&["/helper", "connect-abstract"]).ok().to_owned())
}

#[test]
fn landlock_scope_keeps_from_abstract_sockets_outside() {
    let section = "scope = [\"abstract-unix-socket\"]";
    for (section, expected) in [(section, "EPERM"), ("scope = [\"signal\"]", "ok")] {
        if let Some(out) = abstract_socket(section) {
            assert_eq!(out, format!("connect-abstract: {expected}\n"));
        }
    }
}

/// A running container under this section.
fn inside(section: &str) -> Option<Inside> {
    Some(Inside::of(under(Bundle::new().args(FOREVER), section)?))
}

#[test]
fn landlock_scope_keeps_signals_inside() {
    let script = "kill -0 1; echo $?; sleep 9 & kill $! && echo own";
    let Some(walled) = inside("scope = [\"signal\"]") else {
        return;
    };
    let out = walled.shell(script);
    // A process that enters is under rules of its own, outside of those of the first.
    assert_eq!(out.ok(), "1\nown\n");
    assert_eq!(
        out.stderr,
        "sh: can't kill pid 1: Operation not permitted\n"
    );
    let Some(open) = inside("read = [\"/\"]") else {
        return;
    };
    assert_eq!(open.shell(script).ok(), "0\nown\n");
}

#[test]
fn landlock_holds_a_process_that_enters_to_the_same_rules() {
    let section = "write = [\"/home\"]\nexecute = [\"/bin\"]\nbind-tcp = []";
    let Some(walled) = inside(section) else {
        return;
    };
    let script = "cp /bin/busybox /home/sh; /home/sh; echo x > /etc/new; busybox nc -l -p 81; echo x > /home/new";
    let out = walled.shell(script);
    out.ok();
    let expected = [
        "sh: /home/sh: Permission denied",
        "sh: can't create /etc/new: Permission denied",
        "nc: bind: Permission denied",
    ];
    assert_eq!(out.stderr.lines().collect::<Vec<_>>(), expected);
    assert!(walled.0.rootfs().join("home/new").exists());
    let out = walled.exec(&[], &["/home/sh"]);
    out.fails(
        126,
        &["error: execute \"/home/sh\": permission denied (EACCES)"],
    );
}

#[test]
fn landlock_rules_bind_a_hook_that_is_a_program_of_the_image() {
    let script = "echo x > /home/hook; echo x > /etc/hook; exit 0";
    let hook = json!([{"path": "/bin/sh", "args": ["sh", "-c", script]}]);
    let bundle = Bundle::new().set("/hooks/startContainer", hook);
    let Some(bundle) = under(bundle, "write = [\"/home\"]") else {
        return;
    };
    bundle.run().ok();
    let made = ["home/hook", "etc/hook"].map(|path| bundle.rootfs().join(path).exists());
    assert_eq!(made, [true, false]);
}

#[test]
fn landlock_rules_hold_for_whoever_the_program_is_and_however_little_it_may_open() {
    let script = "echo x > /home/new && echo written; echo x > /etc/new";
    let section = "write = [\"/home\"]";
    let cases = [
        Bundle::new().set("/process/user", json!({"uid": 1000, "gid": 1000})),
        Bundle::new().user_namespace(),
        Bundle::new().set("/process/noNewPrivileges", false),
        Bundle::new().set(
            "/process/rlimits",
            json!([{"type": "RLIMIT_NOFILE", "hard": 11, "soft": 11}]),
        ),
    ];
    for bundle in cases {
        let Some(bundle) = under(bundle.shell(script), section) else {
            return;
        };
        for directory in ["home", "etc"] {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
            fs::set_permissions(bundle.rootfs().join(directory), mode).unwrap();
        }
        let out = bundle.run();
        assert_eq!(out.stdout, "written\n", "{out:?}");
        let expected = "/bin/sh: can't create /etc/new: Permission denied\n";
        assert_eq!(out.stderr, expected);
    }
}

#[test]
fn landlock_without_no_new_privileges_leaves_the_program_no_more_capabilities() {
    let bundle = || {
        Bundle::new().set("/process/noNewPrivileges", false).args(&[
            "grep",
            "Cap",
            "/proc/self/status",
        ])
    };
    let Some(walled) = under(bundle(), "write = []") else {
        return;
    };
    assert_eq!(walled.run().ok(), bundle().run().ok());
}
