//! `exec`: another process in a running container, as runc has it, and held to all that the container is held to.
//! Not here: terminals.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{Bundle, Call, Output, becomes, cgroups_named, eventually, installed, skip};

const FOREVER: &[&str] = &["/bin/sleep", "1000"];

/// A running container, deleted when dropped.
struct Inside(Bundle);

impl Inside {
    #[track_caller]
    fn of(bundle: Bundle) -> Self {
        let inside = Self(bundle);
        inside.0.launch("run", &["--detach"]).output().ok();
        inside
    }

    #[track_caller]
    fn plain() -> Self {
        Self::of(Bundle::new().args(FOREVER))
    }

    fn call(&self, flags: &[&str], command: &[&str]) -> Call {
        self.0
            .call(&["exec"])
            .args(flags)
            .arg(self.0.id())
            .args(command)
    }

    #[track_caller]
    fn exec(&self, flags: &[&str], command: &[&str]) -> Output {
        self.call(flags, command).output()
    }

    #[track_caller]
    fn shell(&self, script: &str) -> Output {
        self.exec(&[], &["sh", "-c", script])
    }

    /// `exec --process` of this document.
    #[track_caller]
    fn process(&self, document: &Value) -> Output {
        let file = self.0.temp().join("process.json");
        fs::write(&file, document.to_string()).unwrap();
        self.exec(&["--process", file.to_str().unwrap()], &[])
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let deleted = self.0.delete_by_force();
        if !std::thread::panicking() {
            deleted.ok();
        }
    }
}

fn document(args: &[&str]) -> Value {
    json!({"user": {"uid": 0, "gid": 0}, "args": args, "cwd": "/", "env": ["PATH=/bin"]})
}

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
    fs::copy(
        first.0.rootfs().join("bin/busybox"),
        first.0.rootfs().join("inner/bin/sleep"),
    )
    .unwrap();
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
fn exec_in_a_created_container_waits_for_nothing() {
    let inside = Inside(Bundle::new().args(FOREVER));
    inside.0.create().ok();
    assert_eq!(
        inside.shell("echo here; tr '\\0' ' ' < /proc/1/comm").ok(),
        "here\nstockade\n"
    );
    inside.0.start().ok();
}

#[test]
fn exit_code_of_the_program_is_that_of_exec() {
    let inside = Inside::plain();
    for (script, code) in [
        ("true", 0),
        ("exit 7", 7),
        ("exit 255", 255),
        ("kill -9 $$", 137),
        ("kill -15 $$", 143),
    ] {
        inside.shell(script).exits(code);
    }
}

#[test]
fn exec_of_a_missing_or_wrong_program_says_so_as_clients_read_it() {
    let inside = Inside::of(Bundle::new().args(FOREVER));
    let root = inside.0.rootfs();
    fs::write(root.join("tmp/plain"), "x").unwrap();
    fs::write(root.join("tmp/script"), "#!/no/such\n").unwrap();
    for path in ["tmp/script"] {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(root.join(path), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let fails =
        |program: &str, code: i32, words: &[&str]| inside.exec(&[], &[program]).fails(code, words);
    fails(
        "nope",
        127,
        &["execute \"nope\"", "executable file not found"],
    );
    fails("/nope", 127, &["no such file or directory"]);
    fails("/tmp", 126, &["permission denied: is a directory"]);
    fails("/tmp/plain", 126, &["permission denied (EACCES)"]);
    fails(
        "/tmp/script",
        127,
        &[
            "its interpreter \"/no/such\" is missing",
            "no such file or directory",
        ],
    );
    inside.exec(&["--cwd", "/no/such"], &["true"]).fails(
        255,
        &["process.cwd \"/no/such\"", "no such file or directory"],
    );
}

#[test]
fn flags_change_the_process() {
    let inside = Inside::of(
        Bundle::new()
            .args(FOREVER)
            .set("/process/env", json!(["PATH=/bin", "A=1"])),
    );
    let said =
        |flags: &[&str], script: &str| inside.exec(flags, &["sh", "-c", script]).ok().to_owned();
    assert_eq!(said(&["--cwd", "/tmp"], "pwd"), "/tmp\n");
    assert_eq!(
        said(&["-e", "A=2", "--env", "B=x=y"], "echo $A $B $HOME"),
        "2 x=y /root\n"
    );
    assert_eq!(
        said(&["-u", "65534"], "id -u; id -g; echo $HOME"),
        "65534\n0\n/nonexistent\n"
    );
    assert_eq!(
        said(
            &["-u", "5:6", "-g", "7", "--additional-gids", "8"],
            "id -u; id -G"
        ),
        "5\n6 7 8\n"
    );
    assert_eq!(
        said(&["--no-new-privs"], "grep NoNew /proc/self/status"),
        "NoNewPrivs:\t1\n"
    );
    let caps = said(&["--cap", "CAP_SYS_ADMIN"], "grep Cap /proc/self/status");
    let expected = "CapInh:\t0000000000000000\nCapPrm:\t0000000020200420\nCapEff:\t0000000020200420\n\
        CapBnd:\t0000000020200420\nCapAmb:\t0000000000000000\n";
    assert_eq!(caps, expected);
}

#[test]
fn arguments_that_look_like_flags_are_the_programs() {
    let inside = Inside::plain();
    let said = inside.exec(&[], &["echo", "-t", "--cwd", "--", "-d", "--help"]);
    assert_eq!(said.ok(), "-t --cwd -- -d --help\n");
    assert_eq!(inside.exec(&[], &["--", "echo", "-n", "x"]).ok(), "x");
}

#[test]
fn names_of_users_are_those_of_the_container() {
    let inside = Inside::plain();
    let etc = inside.0.rootfs().join("etc");
    fs::write(
        etc.join("passwd"),
        "app:x:500:501::/home:/bin/sh\n65:x:0:0::/:/bin/sh\n",
    )
    .unwrap();
    fs::write(etc.join("group"), "extra:x:600:app\nnet:x:700:\n").unwrap();
    let who = |user: &str| inside.exec(&["-u", user], &["sh", "-c", "id -u; id -G; echo $HOME"]);
    assert_eq!(who("app").ok(), "500\n501 600\n/home\n");
    assert_eq!(who("app:net").ok(), "500\n700\n/home\n");
    assert_eq!(
        who("65").ok(),
        "65\n0\n/\n",
        "a number is no name (CVE-2016-3697)"
    );
    who("nobody").fails(255, &["user \"nobody\"", "no user \"nobody\""]);
}

#[test]
fn user_strings_that_other_runtimes_misread_are_refused() {
    let inside = Inside::plain();
    for user in [
        ":2",
        "0x0",
        "1:",
        "-1",
        "4294967295",
        "4294967296",
        "1 ",
        "",
    ] {
        let output = inside.call(&[], &[]).arg("true");
        drop(output);
        let flag = format!("--user={user}");
        inside
            .0
            .call(&["exec", &flag, inside.0.id(), "true"])
            .output()
            .exits(255);
    }
}

#[test]
fn passwd_files_that_lead_out_or_block_are_not_read() {
    let inside = Inside::plain();
    let passwd = inside.0.rootfs().join("etc/passwd");
    let outside = inside.0.temp().join("passwd");
    fs::write(&outside, "evil:x:0:0::/host:/bin/sh\n").unwrap();
    for target in [
        outside.to_str().unwrap().to_owned(),
        format!("../../../../../..{}", outside.display()),
    ] {
        fs::remove_file(&passwd).unwrap();
        symlink(&target, &passwd).unwrap();
        inside
            .exec(&["-u", "evil"], &["id"])
            .fails(255, &["no user \"evil\""]);
        assert_eq!(inside.shell("echo $HOME").ok(), "/\n");
    }
    fs::remove_file(&passwd).unwrap();
    inside.shell("mkfifo /etc/passwd").ok();
    let output = inside.shell("echo $HOME");
    assert_eq!((output.code, output.stdout.as_str()), (0, "/\n"));
    assert!(output.stderr.contains("not a regular file"), "{output:?}");
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
fn malformed_documents_name_the_field() {
    let inside = Inside::plain();
    let file = inside.0.temp().join("process.json");
    let flags = ["--process", file.to_str().unwrap()];
    let refused = |text: &str, words: &[&str]| {
        fs::write(&file, text).unwrap();
        inside.exec(&flags, &[]).fails(255, words);
    };
    refused("", &["process.json\"", "is empty"]);
    refused("{", &["process.json\"", "EOF"]);
    refused(
        r#"{"args":["a"],"cwd":"/","user":{"uid":"x"}}"#,
        &["user.uid", "invalid type"],
    );
    refused(
        r#"{"args":["a"],"cwd":"/","user":{"uid":-1,"gid":0}}"#,
        &["user.uid"],
    );
    refused(
        r#"{"args":["a"],"cwd":"/","user":{"uid":4294967295,"gid":0}}"#,
        &["user.uid", "4294967295 is no id"],
    );
    refused(r#"{"args":[],"cwd":"/"}"#, &["args", "nothing to run"]);
    refused(
        r#"{"args":["a"],"cwd":"x"}"#,
        &["cwd", "not an absolute path"],
    );
    refused(r#"{"args":["a"]}"#, &["cwd"]);
    refused(
        r#"{"args":["a"],"args":["b"],"cwd":"/"}"#,
        &["\"args\" is there twice"],
    );
    refused(r#"{"args":["a\u0000b"],"cwd":"/"}"#, &["contains NUL"]);
    refused(
        r#"{"args":["a"],"cwd":"/","env":["x"]}"#,
        &["env[0]", "NAME=VALUE"],
    );
    refused(
        r#"{"args":["a"],"cwd":"/","rlimits":[{"type":"RLIMIT_X","soft":1,"hard":1}]}"#,
        &["rlimits[0].type"],
    );
    fs::remove_file(&file).unwrap();
    inside
        .exec(&flags, &[])
        .fails(255, &["read", "no such file or directory"]);
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
fn stopped_and_missing_containers_are_not_entered() {
    let inside = Inside::of(Bundle::new());
    inside.0.becomes("stopped");
    inside
        .exec(&[], &["id"])
        .fails(255, &["cannot exec in a stopped container"]);
    let output = inside.0.call(&["exec", "no-such-container", "id"]).output();
    output.fails(255, &["does not exist"]);
}

fn freezer(id: &str) -> Option<(PathBuf, &'static str, &'static str)> {
    let groups = cgroups_named(id);
    let with = |file: &str| {
        groups
            .iter()
            .map(|group| group.join(file))
            .find(|file| file.exists())
    };
    with("cgroup.freeze")
        .map(|file| (file, "1", "0"))
        .or_else(|| with("freezer.state").map(|file| (file, "FROZEN", "THAWED")))
}

#[test]
fn paused_container_is_entered_only_when_asked() {
    let inside = Inside::plain();
    let Some((file, freeze, thaw)) = freezer(inside.0.id()) else {
        return skip("no freezer");
    };
    fs::write(&file, freeze).unwrap();
    inside.0.becomes("paused");
    inside.exec(&[], &["id"]).fails(
        255,
        &["cannot exec in a paused container", "--ignore-paused"],
    );
    let waiting = inside
        .call(&["--ignore-paused"], &["echo", "woken"])
        .spawn();
    assert!(!becomes(Duration::from_millis(300), || waiting
        .stdout()
        .contains("woken")));
    // A caller that loses patience is not held up.
    let impatient = inside
        .call(&["--ignore-paused"], &["touch", "/tmp/never"])
        .spawn();
    std::thread::sleep(Duration::from_millis(200));
    impatient.signal(Signal::TERM);
    impatient
        .wait()
        .fails(255, &["signal 15 came before the program ran"]);
    fs::write(&file, thaw).unwrap();
    assert_eq!(waiting.wait().ok(), "woken\n");
    assert!(!inside.0.rootfs().join("tmp/never").exists());
}

#[test]
fn detached_exec_returns_at_once_and_leaves_a_pid_file() {
    let inside = Inside::plain();
    let file = inside.0.temp().join("pid");
    let flags = ["-d", "--pid-file", file.to_str().unwrap()];
    inside.exec(&flags, &["sleep", "999"]).ok();
    let pid = fs::read_to_string(&file).unwrap();
    let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap();
    assert_eq!(command, b"sleep\x00999\x00");
    fs::remove_file(&file).unwrap();
    inside
        .exec(&flags, &["nope"])
        .fails(127, &["executable file not found"]);
    assert!(!file.exists());
    let nowhere = inside.0.temp().join("no/dir/pid");
    let flags = ["-d", "--pid-file", nowhere.to_str().unwrap()];
    inside
        .exec(&flags, &["sleep", "998"])
        .fails(255, &["write the pid file"]);
    let left = inside.shell("ps -o args | grep -c '^sleep 99[8]'");
    assert_eq!(left.stdout, "0\n", "the process went with the failure");
}

#[test]
fn signals_are_passed_on_in_the_foreground() {
    let inside = Inside::plain();
    let running = inside
        .call(
            &[],
            &[
                "sh",
                "-c",
                "trap 'echo got; exit 9' USR1; echo ready; while :; do sleep 0.05; done",
            ],
        )
        .spawn();
    running.says("ready");
    running.signal(Signal::USR1);
    assert_eq!(running.wait().exits(9), "ready\ngot\n");
}

#[test]
fn killed_runtime_does_not_take_the_container_along() {
    let inside = Inside::plain();
    let running = inside
        .call(&[], &["sh", "-c", "echo ready; exec sleep 1000"])
        .spawn();
    running.says("ready");
    running.signal(Signal::KILL);
    running.wait();
    assert_eq!(inside.0.status(), "running");
    inside.0.delete_by_force().ok();
    inside.0.assert_clean();
}

#[test]
fn exec_ends_with_the_container() {
    let inside = Inside::plain();
    let running = inside
        .call(&[], &["sh", "-c", "echo ready; exec sleep 1000"])
        .spawn();
    running.says("ready");
    inside.0.kill("KILL").ok();
    running.wait().exits(137);
}

#[test]
fn parallel_execs_all_answer() {
    let inside = Inside::plain();
    let running: Vec<_> = (0..50)
        .map(|number| inside.call(&[], &["echo", &number.to_string()]).spawn())
        .collect();
    for (number, running) in running.into_iter().enumerate() {
        assert_eq!(running.wait().ok(), format!("{number}\n"));
    }
}

#[test]
fn exec_while_the_container_is_killed_ends_in_an_answer() {
    for _ in 0..6 {
        let inside = Inside::plain();
        let running: Vec<_> = (0..8)
            .map(|_| inside.call(&[], &["sleep", "1000"]).spawn())
            .collect();
        std::thread::sleep(Duration::from_millis(15));
        inside.0.delete_by_force().ok();
        for running in running {
            let output = running.wait();
            if output.code != 137 {
                output.fails(255, &[]);
            }
        }
        inside.0.assert_clean();
    }
}

#[test]
fn exec_in_a_container_without_a_pid_namespace_is_deleted_with_it() {
    let namespaces = json!([{"type": "mount"}, {"type": "ipc"}]);
    let bundle = Bundle::new().args(FOREVER).remove("/hostname");
    let inside = Inside::of(bundle.set("/linux/namespaces", namespaces));
    let running = inside
        .call(&[], &["sh", "-c", "echo ready; exec sleep 1000"])
        .spawn();
    running.says("ready");
    inside.0.delete_by_force().ok();
    running.wait().exits(137);
    inside.0.assert_clean();
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
fn cve_2016_9962_a_process_on_its_way_in_cannot_be_looked_into() {
    // Everything that root in a container can have, and a program that opens whatever appears.
    let all: Vec<String> = fs::read_to_string("/proc/sys/kernel/cap_last_cap")
        .map(|_| vec!["CAP_KILL".into(), "CAP_DAC_READ_SEARCH".into()])
        .unwrap();
    let watch = "touch /tmp/ready; while :; do for p in /proc/[0-9]*; do \
        case $p in /proc/1) continue;; esac; \
        l=$(readlink $p/exe 2>/dev/null); case $l in *stockade*) echo $l >> /tmp/seen;; esac; \
        ls -l $p/fd 2>/dev/null | grep -E 'socket|/proc$|cgroup' >> /tmp/seen; done; done";
    let bundle = Bundle::new().shell(watch);
    let bundle = ["bounding", "effective", "permitted"]
        .into_iter()
        .fold(bundle, |bundle, set| {
            bundle.set(&format!("/process/capabilities/{set}"), json!(all))
        });
    let inside = Inside::of(bundle);
    eventually("the watcher runs", || {
        inside.0.rootfs().join("tmp/ready").exists()
    });
    for _ in 0..30 {
        inside.exec(&[], &["true"]).ok();
    }
    let seen = fs::read_to_string(inside.0.rootfs().join("tmp/seen")).unwrap_or_default();
    assert_eq!(seen, "");
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
        &["open \"/sys/fs/cgroup/", "no such file or directory"],
    );
    inside
        .exec(&["--cgroup", "nope:below"], &["true"])
        .fails(255, &["no hierarchy has the controller \"nope\""]);
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
fn every_step_is_killed_with_the_container_and_nothing_hangs() {
    let inside = Inside::plain();
    let running: Vec<_> = (0..10)
        .map(|_| inside.call(&["-d"], &["sleep", "1000"]).spawn())
        .collect();
    inside.0.kill("KILL").ok();
    for running in running {
        let output = running.wait();
        assert!([0, 255].contains(&output.code), "{output:?}");
    }
    inside.0.becomes("stopped");
    inside.0.delete().ok();
    inside.0.assert_clean();
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
