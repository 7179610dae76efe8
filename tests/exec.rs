//! `exec`: another process in a running container, as runc has it.
//! Not here: what it is confined by (`exec_confinement`), terminals.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use crate::harness::{Bundle, FOREVER, Inside, becomes, cgroups_named, eventually, skip};

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
    fs::set_permissions(root.join("tmp/script"), fs::Permissions::from_mode(0o755)).unwrap();
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
    // Until then the signal would end it at once.
    eventually("signals are waited for", || {
        blocks(impatient.id(), Signal::TERM)
    });
    let processes = file.with_file_name("cgroup.procs");
    eventually(
        "the container's process and both that enter it are there",
        || fs::read_to_string(&processes).unwrap().lines().count() == 3,
    );
    impatient.signal(Signal::TERM);
    impatient
        .wait()
        .fails(255, &["signal 15 came before the program ran"]);
    fs::write(&file, thaw).unwrap();
    assert_eq!(waiting.wait().ok(), "woken\n");
    assert!(!inside.0.rootfs().join("tmp/never").exists());
}

/// Whether a process has this signal blocked (proc_pid_status(5)).
fn blocks(pid: u32, signal: Signal) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:"));
    let blocked = u64::from_str_radix(blocked.unwrap().trim(), 16).unwrap();
    blocked & 1 << (signal.as_raw() - 1) != 0
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
    let output = running.wait();
    // The container may end before exec has looked whether it outlived the start of the program.
    if output.code != 137 {
        output.fails(255, &["cannot exec in a stopped container"]);
    }
    inside.0.assert_clean();
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
