//! `exec` is held to everything that its container is held to, and gives nothing of the host away on its way in.
//! Not here: flags, exit codes and signals (`exec`), terminals.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::rootfs::copy_program;
use crate::harness::{
    Bundle, Call, FOREVER, Inside, cgroups_named, document, eventually, installed, skip,
};

/// Lines of /proc/PID/status that say what confines a process.
fn confinement(status: &str) -> Vec<&str> {
    let keys = [
        "Uid",
        "Gid",
        "Groups",
        "Cap",
        "NoNewPrivs",
        "Seccomp",
        "Cpus_allowed:",
        "Umask",
    ];
    let is_one = |line: &&str| keys.iter().any(|key| line.starts_with(key));
    status.lines().filter(is_one).map(str::trim_end).collect()
}

fn seccomp() -> Value {
    json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{"names": ["keyctl"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}]})
}

fn confined(bundle: Bundle) -> Bundle {
    bundle
        .args(FOREVER)
        .set(
            "/process/user",
            json!({"uid": 7, "gid": 8, "additionalGids": [9, 10], "umask": 63}),
        )
        .set(
            "/process/rlimits/-",
            json!({"type": "RLIMIT_CORE", "soft": 5, "hard": 77}),
        )
        .set("/process/oomScoreAdj", 300)
        .set("/process/capabilities/ambient", json!(["CAP_KILL"]))
        .set("/process/capabilities/inheritable", json!(["CAP_KILL"]))
        .set("/linux/resources/pids", json!({"limit": 50}))
        .set("/linux/seccomp", seccomp())
        .set("/linux/namespaces/-", json!({"type": "cgroup"}))
}

/// What the kernel says of a process inside must be what it says of the container's first one.
#[track_caller]
fn is_confined_like_init(inside: &Inside) {
    let init = inside.0.pid();
    let pid_file = inside.0.temp().join("pid");
    let flags = ["--detach", "--pid-file", pid_file.to_str().unwrap()];
    inside.exec(&flags, &["sleep", "1000"]).ok();
    let entered = fs::read_to_string(&pid_file).unwrap();
    let read = |pid: &str, file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
    let init = init.to_string();
    let (own, status) = (read(&init, "status"), read(&entered, "status"));
    assert_eq!(confinement(&status), confinement(&own));
    for file in [
        "limits",
        "cgroup",
        "mountinfo",
        "oom_score_adj",
        "uid_map",
        "gid_map",
        "setgroups",
        "personality",
        "timens_offsets",
    ] {
        assert_eq!(read(&entered, file), read(&init, file), "{file}");
    }
    for link in [
        "ns/user",
        "ns/mnt",
        "ns/pid",
        "ns/net",
        "ns/ipc",
        "ns/uts",
        "ns/cgroup",
        "ns/time",
        "ns/pid_for_children",
        "root",
        "cwd",
    ] {
        let of = |pid: &str| fs::read_link(format!("/proc/{pid}/{link}")).unwrap();
        assert_eq!(of(&entered), of(&init), "{link}");
    }
    assert_eq!(descriptors(&entered), ["0", "1", "2"]);
}

fn descriptors(pid: &str) -> Vec<String> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[test]
fn exec_is_confined_as_the_containers_first_process() {
    is_confined_like_init(&Inside::of(confined(Bundle::new())));
}

#[test]
fn exec_is_confined_in_a_user_namespace() {
    is_confined_like_init(&Inside::of(confined(Bundle::new().user_namespace())));
}

#[test]
fn exec_is_confined_without_a_profile_and_with_each_of_them() {
    for profile in [Some("none"), None, Some("restricted")] {
        let bundle = confined(Bundle::new()).profile(profile);
        let bundle = bundle.set(
            "/process/user",
            json!({"uid": 1007, "gid": 1008, "umask": 63}),
        );
        is_confined_like_init(&Inside::of(bundle));
    }
}

#[test]
fn exec_follows_namespaces_that_the_container_joined() {
    let first = Inside::plain();
    let pid = first.0.pid();
    let joined = ["pid", "net", "ipc", "uts"].map(|name| {
        let kind = if name == "net" { "network" } else { name };
        json!({"type": kind, "path": format!("/proc/{pid}/ns/{name}")})
    });
    let mut namespaces = joined.to_vec();
    namespaces.push(json!({"type": "mount"}));
    let bundle = Bundle::new().args(FOREVER).remove("/hostname");
    let second = Inside::of(bundle.set("/linux/namespaces", namespaces));
    is_confined_like_init(&second);
}

#[test]
fn exec_enters_the_root_of_a_container_in_anothers_mount_namespace() {
    let first = Inside::plain();
    fs::create_dir_all(first.0.rootfs().join("inner/bin")).unwrap();
    copy_program(
        &first.0.rootfs().join("bin/busybox"),
        &first.0.rootfs().join("inner/bin/sleep"),
    );
    let path = format!("/proc/{}/ns/mnt", first.0.pid());
    let namespaces = json!([{"type": "mount", "path": path}, {"type": "pid"}]);
    let bundle = Bundle::new()
        .args(FOREVER)
        .set("/root/path", "/inner")
        .set("/linux/namespaces", namespaces)
        .set("/linux/maskedPaths", json!([]))
        .set("/linux/readonlyPaths", json!([]))
        .remove("/hostname")
        .set("/mounts", json!([]));
    let second = Inside(bundle);
    let output = second.0.launch("run", &["--detach"]).output();
    if output.code != 0 {
        return skip("a mount namespace cannot be joined with such a root");
    }
    let pid_file = second.0.temp().join("pid");
    second
        .exec(
            &["-d", "--pid-file", pid_file.to_str().unwrap()],
            &["/bin/sleep", "1000"],
        )
        .ok();
    let entered = fs::read_to_string(pid_file).unwrap();
    let root = |pid: &str| fs::read_link(format!("/proc/{pid}/root")).unwrap();
    assert_eq!(root(&entered), root(&second.0.pid().to_string()));
}

#[test]
fn exec_enters_a_container_whose_root_was_moved() {
    let bundle = Bundle::new().args(FOREVER);
    let inside = Inside(bundle);
    inside
        .0
        .launch("run", &["--detach", "--no-pivot"])
        .output()
        .ok();
    is_confined_like_init(&inside);
}

#[test]
fn document_of_a_process_is_honoured_and_inherits_the_rest() {
    let inside = Inside::of(confined(Bundle::new()));
    let mut process = document(&[
        "sh",
        "-c",
        "id -u; id -G; umask; ulimit -c; pwd; grep -E 'NoNew|CapBnd' /proc/self/status",
    ]);
    process["user"] = json!({"uid": 3, "gid": 4, "additionalGids": [5]});
    process["cwd"] = json!("/tmp");
    let said = inside.process(&process);
    let expected = "3\n4 5\n0077\n0\n/tmp\nCapBnd:\t0000000020000420\nNoNewPrivs:\t1\n";
    assert_eq!(said.ok(), expected);
}

#[test]
fn exec_never_loosens_the_profile() {
    let inside = Inside::of(
        Bundle::new()
            .args(FOREVER)
            .profile(None)
            .set("/process/noNewPrivileges", false),
    );
    let state = || {
        inside
            .shell("grep -E 'NoNew|CapBnd|Seccomp' /proc/self/status")
            .ok()
            .to_owned()
    };
    let plain = state();
    assert!(
        plain.contains("NoNewPrivs:\t1"),
        "baseline sets it: {plain}"
    );
    let added = inside.exec(
        &["--cap", "CAP_SYS_ADMIN"],
        &["grep", "CapBnd", "/proc/self/status"],
    );
    assert!(plain.contains(added.ok().trim_end()), "{added:?}");
    assert!(
        added
            .stderr
            .contains("capabilities.allow of profile \"baseline\""),
        "{added:?}"
    );
    let mut process = document(&["grep", "-E", "NoNew|CapBnd|Seccomp", "/proc/self/status"]);
    let all = [
        "CAP_AUDIT_WRITE",
        "CAP_KILL",
        "CAP_NET_BIND_SERVICE",
        "CAP_SYS_ADMIN",
        "CAP_SYS_PTRACE",
    ];
    process["capabilities"] = json!({"bounding": all, "effective": all, "permitted": all});
    process["noNewPrivileges"] = json!(false);
    assert_eq!(inside.process(&process).ok(), plain);
    // The caller's flag is not asked: the container has its profile already.
    let output = inside.0.call(&[
        "--profile",
        "none",
        "exec",
        inside.0.id(),
        "grep",
        "NoNew",
        "/proc/self/status",
    ]);
    assert_eq!(output.output().ok(), "NoNewPrivs:\t1\n");
}

#[test]
fn exec_as_root_is_refused_where_the_profile_refuses_root() {
    let bundle = Bundle::new().args(FOREVER).profile(Some("restricted"));
    let inside = Inside::of(bundle.set("/process/user", json!({"uid": 1000, "gid": 1000})));
    inside.exec(&["-u", "0"], &["id"]).fails(
        255,
        &["process.user.uid", "refused by profile \"restricted\""],
    );
    inside
        .process(&document(&["id"]))
        .fails(255, &["process.user.uid", "identity.non-root"]);
}

/// The first process may be in a user namespace of its own making by then, where setgroups(2) is denied.
#[test]
fn groups_of_the_caller_do_not_follow_into_a_user_namespace_that_denies_setgroups() {
    let Some(setpriv) = installed("setpriv") else {
        return skip("setpriv is not installed");
    };
    let bundle = Bundle::new()
        .args(&[&["/bin/busybox", "unshare", "-r"], FOREVER].concat())
        .set("/process/user", json!({"uid": 1000, "gid": 1000}));
    let inside = Inside::of(bundle);
    let of = |file: &str| fs::read_to_string(format!("/proc/{}/{file}", inside.0.pid())).unwrap();
    // The map of groups is written last; that of the namespace before is not empty either.
    eventually("the user namespace has its maps", || {
        of("setgroups") == "deny\n" && !of("gid_map").is_empty()
    });
    let call = Call::new(setpriv, inside.0.temp())
        .args(["--groups", "0,6,27"])
        .arg(crate::harness::runtime())
        .arg("--root")
        .arg(inside.0.state_dir())
        .args(["exec", "--user", "0:0", inside.0.id()])
        .args(["grep", "-E", "^(Uid|Groups)", "/proc/self/status"]);
    assert_eq!(call.output().ok(), "Uid:\t0\t0\t0\t0\nGroups:\t \n");
}

#[test]
fn exec_without_the_record_of_the_profile_is_refused() {
    let inside = Inside::plain();
    let file = inside
        .0
        .state_dir()
        .join(inside.0.id())
        .join("confinement.json");
    let text = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    inside
        .exec(&[], &["id"])
        .fails(255, &["read the confinement of container"]);
    fs::write(&file, text).unwrap();
    inside.exec(&[], &["id"]).ok();
}

#[test]
fn only_the_descriptors_that_are_asked_for_are_passed_on() {
    let inside = Inside::plain();
    let held = fs::File::open("/etc/hostname").unwrap();
    rustix::io::fcntl_setfd(&held, rustix::io::FdFlags::empty()).unwrap();
    let said = inside.exec(
        &[],
        &["sh", "-c", "ls /proc/self/fd | wc -l; ls /proc/$$/fd; true"],
    );
    assert_eq!(said.lines()[1..], ["0", "1", "2"]);
    let runtime = crate::harness::runtime();
    let call = Call::new("/bin/sh", inside.0.temp());
    let script = r#"exec 3</etc/passwd 4</etc/group; "$0" --root "$1" exec --preserve-fds 1 "$2" sh -c 'ls /proc/$$/fd; true'"#;
    let call = call
        .args(["-c", script])
        .arg(runtime)
        .arg(inside.0.state_dir())
        .arg(inside.0.id());
    assert_eq!(call.output().ok(), "0\n1\n2\n3\n");
    inside
        .exec(&["--preserve-fds", "40"], &["true"])
        .fails(255, &["descriptor", "is not open"]);
}

#[test]
fn working_directory_does_not_lead_out_of_the_container() {
    let inside = Inside::plain();
    for cwd in [
        "/proc/self/fd/3",
        "/proc/self/fd/7",
        "/proc/thread-self/fd/9",
        "/proc/1/cwd",
        "/proc/self/root",
    ] {
        let output = inside.exec(&["--cwd", cwd], &["true"]);
        output.fails(255, &["process.cwd"]);
    }
    symlink("/proc/self/fd/8", inside.0.rootfs().join("out")).unwrap();
    inside
        .exec(&["--cwd", "/out"], &["true"])
        .fails(255, &["process.cwd \"/out\""]);
    symlink("../../../../../../..", inside.0.rootfs().join("up")).unwrap();
    assert_eq!(inside.exec(&["--cwd", "/up"], &["pwd"]).ok(), "/\n");
}

#[test]
fn program_through_a_descriptor_of_exec_is_not_executed() {
    let inside = Inside::plain();
    let host = inside.0.outside("host");
    fs::copy(inside.0.rootfs().join("bin/busybox"), host.join("busybox")).unwrap();
    for fd in 3..=48 {
        let program = format!("/proc/self/fd/{fd}/..{}/busybox", host.display());
        symlink(&program, inside.0.rootfs().join(format!("bin/out{fd}"))).unwrap();
        for program in [program, format!("out{fd}")] {
            let said = inside.exec(&[], &[&program, "echo", "of the host"]);
            assert_eq!(said.stdout, "", "{program}");
            said.fails(127, &["execute", &program]);
        }
    }
}

#[test]
fn cve_2016_9962_a_process_on_its_way_in_cannot_be_looked_into() {
    // As much as root in a container may have and not trace with, and a program that looks at whatever appears.
    let all = [
        "CAP_KILL",
        "CAP_DAC_OVERRIDE",
        "CAP_DAC_READ_SEARCH",
        "CAP_SYS_ADMIN",
    ];
    let watch = "touch /tmp/ready; while :; do for p in /proc/[0-9]*; do \
        case $p in /proc/1) continue;; esac; \
        l=$(readlink $p/exe 2>/dev/null); case $l in *stockade*) echo $l >> /tmp/seen;; esac; \
        ls -l $p/fd 2>/dev/null | grep -E 'socket|/proc$|cgroup' >> /tmp/seen; done; done";
    assert_eq!(seen_by(watch, &all), "");
}

/// What a watcher with these capabilities has written to /tmp/seen of processes that entered beside it.
fn seen_by(watch: &str, capabilities: &[&str]) -> String {
    let bundle = ["bounding", "effective", "permitted"]
        .into_iter()
        .fold(Bundle::new().shell(watch), |bundle, set| {
            bundle.set(&format!("/process/capabilities/{set}"), json!(capabilities))
        });
    let inside = Inside::of(bundle);
    eventually("the watcher runs", || {
        inside.0.rootfs().join("tmp/ready").exists()
    });
    for _ in 0..30 {
        inside.exec(&[], &["true"]).ok();
    }
    fs::read_to_string(inside.0.rootfs().join("tmp/seen")).unwrap_or_default()
}

/// CAP_SYS_PTRACE looks into what is not dumpable, too.
#[test]
fn cve_2016_9962_a_tracer_sees_nothing_of_the_host_in_a_process_on_its_way_in() {
    let watch = "touch /tmp/ready; while :; do for p in /proc/[0-9]*; do \
        case $p in /proc/1) continue;; esac; \
        [ -e $p/root/tmp/ready ] || [ ! -e $p/root/. ] || echo root >> /tmp/seen; \
        ls -l $p/fd 2>/dev/null | grep -E '/proc$|cgroup' >> /tmp/seen; done; done";
    assert_eq!(seen_by(watch, &["CAP_SYS_PTRACE"]), "");
}

#[test]
fn sub_cgroups_are_entered_and_others_are_not() {
    let inside = Inside::plain();
    let pids: Vec<PathBuf> = cgroups_named(inside.0.id());
    let Some(group) = pids
        .iter()
        .find(|path| path.starts_with("/sys/fs/cgroup/pids"))
    else {
        return skip("no pids hierarchy of its own");
    };
    fs::create_dir(group.join("below")).unwrap();
    let said = inside.exec(
        &["--cgroup", "pids:below"],
        &["sh", "-c", "grep -c pids:.*/below$ /proc/self/cgroup"],
    );
    assert_eq!(said.ok(), "1\n");
    inside.exec(&["--cgroup", "/"], &["true"]).ok();
    inside.exec(&["--cgroup", "below"], &["true"]).fails(
        255,
        &[
            "adding pid to \"/sys/fs/cgroup/",
            "no such file or directory",
        ],
    );
    inside
        .exec(&["--cgroup", "nope:below"], &["true"])
        .fails(255, &["unknown controller \"nope\": no hierarchy has it"]);
    inside
        .0
        .call(&["exec", "--cgroup", "../..", inside.0.id(), "true"])
        .output()
        .exits(255);
    fs::remove_dir(group.join("below")).unwrap();
}

#[test]
fn affinity_of_exec_is_set() {
    let bundle = Bundle::new().args(FOREVER).set(
        "/process/execCPUAffinity",
        json!({"initial": "0-1", "final": "0"}),
    );
    let inside = Inside::of(bundle);
    let said = inside.shell("grep Cpus_allowed_list /proc/self/status");
    assert_eq!(said.ok(), "Cpus_allowed_list:\t0\n");
}

#[test]
fn rootless_container_is_entered_by_its_user() {
    let Some(bundle) = rootless() else { return };
    let uid = 4242;
    let call = |verb: &[&str]| {
        bundle
            .call(verb)
            .user(uid, uid)
            .env("XDG_RUNTIME_DIR", "/nonexistent")
    };
    call(&["run", "--detach", "--bundle"])
        .arg(bundle.path())
        .arg(bundle.id())
        .output()
        .ok();
    let said = call(&[
        "exec",
        bundle.id(),
        "sh",
        "-c",
        "id -u; grep -E 'NoNew|CapBnd' /proc/self/status",
    ])
    .output();
    assert_eq!(said.ok(), "0\nCapBnd:\t0000000020000420\nNoNewPrivs:\t1\n");
    let pid = call(&["state", bundle.id()]).output().json()["pid"].clone();
    let pid_file = bundle.outside("pids").join("pid");
    std::os::unix::fs::chown(pid_file.parent().unwrap(), Some(uid), Some(uid)).unwrap();
    call(&[
        "exec",
        "-d",
        "--pid-file",
        pid_file.to_str().unwrap(),
        bundle.id(),
        "sleep",
        "1000",
    ])
    .output()
    .ok();
    let entered = fs::read_to_string(pid_file).unwrap();
    for link in ["user", "mnt", "pid", "net", "ipc", "uts"] {
        let of = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/{link}")).unwrap();
        assert_eq!(of(&entered), of(&pid.to_string()), "{link}");
    }
    call(&["delete", "--force", bundle.id()]).output().ok();
}

/// A bundle that an unprivileged user may run.
fn rootless() -> Option<Bundle> {
    let uid = 4242;
    let map = json!([{"containerID": 0, "hostID": uid, "size": 1}]);
    let bundle = Bundle::new()
        .args(FOREVER)
        .set("/linux/namespaces/-", json!({"type": "user"}))
        .set("/linux/uidMappings", map.clone())
        .set("/linux/gidMappings", map)
        .remove("/linux/resources")
        .edit(|config| {
            let mounts = config["mounts"].as_array_mut().unwrap();
            mounts.retain(|mount| {
                !["/dev/mqueue", "/sys/fs/cgroup"].contains(&mount["destination"].as_str().unwrap())
            });
            config.as_object_mut().unwrap().remove("hostname");
        });
    bundle.write();
    give(bundle.temp(), uid);
    Some(bundle)
}

fn give(path: &Path, uid: u32) {
    std::os::unix::fs::lchown(path, Some(uid), Some(uid)).unwrap();
    if path.symlink_metadata().unwrap().is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            give(&entry.unwrap().path(), uid);
        }
    }
}

#[test]
fn exec_is_what_runc_makes_of_it() {
    let Some(runc) = installed("runc") else {
        return skip("runc is not installed");
    };
    let ours = Inside::of(confined(Bundle::new()));
    let theirs = Inside::of(confined(Bundle::new().by(runc)));
    let report = "id -u; id -G; pwd; env | sort; cat /proc/self/limits /proc/self/oom_score_adj; \
        grep -E '^(Cap|NoNew|Seccomp:)' /proc/self/status; ls /proc/$$/fd; hostname; readlink /proc/self/ns/user";
    let same = |flags: &[&str]| {
        let both = [&ours, &theirs].map(|inside| inside.exec(flags, &["sh", "-c", report]));
        assert_eq!(both[0].ok(), both[1].ok(), "{flags:?}");
    };
    same(&[]);
    same(&["--cwd", "/tmp"]);
    same(&["--user", "1000"]);
    same(&["--user", "1000:50", "-g", "60"]);
    same(&["-e", "X=1", "-e", "PATH=/bin:/x"]);
    same(&["--no-new-privs"]);
    let file = ours.0.temp().join("process.json");
    let mut process = document(&["sh", "-c", report]);
    // Of a document without limits runc makes a process without the container's.
    process["rlimits"] = ours.0.config["process"]["rlimits"].clone();
    fs::write(&file, process.to_string()).unwrap();
    let flags = ["--process", file.to_str().unwrap()];
    let both = [&ours, &theirs].map(|inside| inside.exec(&flags, &[]));
    // Without capabilities in the document runc gives those of the container, as here; no_new_privs it takes for off.
    let expected = both[1].ok().replace("NoNewPrivs:\t0", "NoNewPrivs:\t1");
    assert_eq!(both[0].ok(), expected);
}

/// What is around a container was held to its profile when it was made: an exec has nothing to say of that, and nothing
/// of it can be refused to one.
#[test]
fn exec_is_held_to_its_process_and_not_to_what_a_profile_demands_around_it() {
    let bundle = Bundle::new().args(FOREVER);
    let file = bundle.temp().join("own.toml");
    let text = "name = \"own\"\nextends = \"restricted\"\n[namespaces]\non-conflict = \"refuse\"\n\
                [limits]\nmemory = { default = \"host\", maximum = \"host\" }\n";
    fs::write(&file, text).unwrap();
    for profile in ["baseline", "restricted", file.to_str().unwrap()] {
        let bundle = Bundle::new()
            .args(FOREVER)
            .set("/process/user", json!({"uid": 1000, "gid": 1000}))
            .set("/linux/namespaces/-", json!({"type": "cgroup"}))
            .profile(Some(profile));
        let inside = Inside::of(bundle);
        let output = inside.exec(&[], &["echo", "here"]);
        assert_eq!(
            (output.ok(), output.stderr.as_str()),
            ("here\n", ""),
            "{profile}"
        );
        inside.0.delete_by_force().ok();
    }
}
