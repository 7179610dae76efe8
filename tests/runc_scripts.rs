//! What scripts and programs written for runc depend on, beyond the verbs and the documents: found by runc's own
//! integration tests. Not here: what is compared with an installed runc (`runc_parity`).

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process, pidfd_send_signal};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde_json::{Value, json};

use crate::harness::rootfs::copy_program;
use crate::harness::{Bundle, FOREVER, Inside, Pty, ends, eventually, installed, skip};
use crate::terminal_socket::receive;

/// A bundle whose processes have pids of the host.
fn without_pid_namespace() -> Bundle {
    let namespaces = ["mount", "ipc", "uts", "network"].map(|kind| json!({"type": kind}));
    Bundle::new().set("/linux/namespaces", json!(namespaces))
}

/// The config that `spec` writes, of this runtime or of an installed runc.
fn spec(bundle: &Bundle) -> Value {
    let call = bundle.call(&["spec", "--bundle"]).arg(bundle.path());
    call.output().ok();
    let text = fs::read_to_string(bundle.path().join("config.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn spec_under_the_profile_none_asks_for_what_runc_asks() {
    let Some(runc) = installed("runc") else {
        return skip("runc is not installed");
    };
    let [ours, theirs] = [Bundle::new(), Bundle::new().by(runc)].map(|bundle| spec(&bundle));
    for field in [
        "/process/terminal",
        "/process/user",
        "/process/args",
        "/process/env",
        "/process/cwd",
        "/process/noNewPrivileges",
        "/process/rlimits",
        "/process/capabilities/bounding",
        "/root",
        "/linux/namespaces",
        "/linux/resources",
        "/linux/readonlyPaths",
    ] {
        assert_eq!(ours.pointer(field), theirs.pointer(field), "{field}");
    }
    let destinations = |config: &Value| -> Vec<String> {
        let mounts = config["mounts"].as_array().unwrap();
        mounts
            .iter()
            .map(|mount| mount["destination"].to_string())
            .collect()
    };
    assert_eq!(destinations(&ours), destinations(&theirs));
}

#[test]
fn sigkill_ends_every_process_where_no_pid_namespace_does() {
    let bundle = without_pid_namespace().shell("sleep 1000 & echo $! > /child; wait");
    bundle.create().ok();
    bundle.start().ok();
    let child = || fs::read_to_string(bundle.rootfs().join("child")).unwrap_or_default();
    eventually("the child runs", || child().ends_with('\n'));
    bundle.kill("KILL").ok();
    assert!(ends(child().trim().parse().unwrap()));
    bundle.becomes("stopped");
    bundle.delete().ok();
}

#[test]
fn sigkill_ends_what_the_first_process_left_behind() {
    let bundle = without_pid_namespace().shell("sleep 1000 & echo $! > /child; wait");
    bundle.create().ok();
    bundle.start().ok();
    let child = || fs::read_to_string(bundle.rootfs().join("child")).unwrap_or_default();
    eventually("the child runs", || child().ends_with('\n'));
    let init = Pid::from_raw(bundle.pid().try_into().unwrap()).unwrap();
    kill_process(init, Signal::KILL).unwrap();
    bundle.becomes("stopped");
    bundle.kill("KILL").ok();
    assert!(ends(child().trim().parse().unwrap()));
    bundle.kill("KILL").refused(&["container not running"]);
    bundle
        .call(&["kill", "--all", bundle.id(), "KILL"])
        .output()
        .ok();
    bundle.delete().ok();
}

#[test]
fn created_container_ends_at_sigterm() {
    let bundle = Bundle::new();
    bundle.create().ok();
    bundle.kill("TERM").ok();
    bundle.becomes("stopped");
    bundle.delete().ok();
}

#[test]
fn created_container_holds_nothing_that_it_does_not_need_any_more() {
    let bundle = Bundle::new();
    bundle.create().ok();
    let directory = format!("/proc/{}/fd", bundle.pid());
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let number: u32 = entry.file_name().to_str().unwrap().parse().unwrap();
        let target = fs::read_link(entry.path()).unwrap();
        let target = target.to_string_lossy();
        let is_needed =
            number < 3 || target.starts_with("socket:") || matches!(&*target, "/" | "/proc");
        assert!(is_needed, "{number} is {target}");
    }
    bundle.delete_by_force().ok();
}

#[test]
fn list_below_a_root_that_does_not_exist_is_an_error() {
    let bundle = Bundle::new();
    let list = bundle
        .bare_call()
        .args(["--root", "/nonexistent/root", "list"]);
    let words =
        "list the containers below \"/nonexistent/root\": no such file or directory (ENOENT)";
    list.output().refused(&[words]);
    assert!(!Path::new("/nonexistent").exists());
}

#[test]
fn path_that_is_masked_twice_has_one_mask() {
    let bundle = Bundle::new()
        .set(
            "/linux/maskedPaths",
            json!(["/proc/keys", "/proc/./keys", "/proc/keys"]),
        )
        .shell("grep -c ' /proc/keys ' /proc/self/mountinfo");
    assert_eq!(bundle.run().ok(), "1\n");
}

#[test]
fn terminal_adds_no_carriage_returns_to_a_file() {
    let pty = Pty::new();
    let bundle = Bundle::new()
        .set("/process/terminal", true)
        .shell("echo a; echo b");
    let path = bundle.temp().join("output");
    let call = bundle.launch("run", &[]).terminal(&pty.end);
    let call = call.to(fs::File::create(&path).unwrap());
    assert_eq!(call.spawn().wait().code, 0);
    assert_eq!(fs::read_to_string(&path).unwrap(), "a\nb\n");
}

#[test]
fn container_uses_every_cpu_whatever_the_caller_is_bound_to() {
    let own = sched_getaffinity(None).unwrap();
    if own.count() < 2 {
        return skip("one CPU");
    }
    let list = |status: &str| {
        let line = status
            .lines()
            .find(|line| line.starts_with("Cpus_allowed_list:"));
        line.unwrap().to_owned()
    };
    let expected = list(&fs::read_to_string("/proc/thread-self/status").unwrap());
    let seen = std::thread::spawn(move || {
        let mut first = CpuSet::new();
        let cpu = (0..CpuSet::MAX_CPU).find(|cpu| own.is_set(*cpu)).unwrap();
        first.set(cpu);
        sched_setaffinity(None, &first).unwrap();
        let bundle = Bundle::new().args(FOREVER);
        bundle.launch("run", &["--detach"]).output().ok();
        let init = fs::read_to_string(format!("/proc/{}/status", bundle.pid())).unwrap();
        let exec = bundle.call(&["exec", bundle.id(), "cat", "/proc/self/status"]);
        let exec = exec.output().ok().to_owned();
        bundle.delete_by_force().ok();
        [list(&init), list(&exec)]
    });
    assert_eq!(seen.join().unwrap(), [expected.clone(), expected]);
}

#[test]
fn working_directory_that_the_user_may_not_enter_is_entered_and_gives_no_right() {
    let bundle = Bundle::new()
        .set("/process/user", json!({"uid": 42, "gid": 42}))
        .set("/process/cwd", "/private")
        .capabilities(&[])
        .shell("pwd; ls . 2>/dev/null || echo refused; cat ../private/secret 2>/dev/null || echo refused");
    let private = bundle.rootfs().join("private");
    fs::create_dir(&private).unwrap();
    fs::write(private.join("secret"), "secret").unwrap();
    fs::set_permissions(&private, fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(bundle.run().ok(), "/private\nrefused\nrefused\n");
}

/// A link is the image's, which must not choose where the runtime's rights lead.
#[test]
fn working_directory_behind_a_link_is_entered_with_the_users_rights_alone() {
    let bundle = Bundle::new()
        .set("/process/user", json!({"uid": 42, "gid": 42}))
        .set("/process/cwd", "/work")
        .capabilities(&[])
        .shell("pwd");
    let private = bundle.rootfs().join("private");
    fs::create_dir_all(private.join("open")).unwrap();
    std::os::unix::fs::symlink("/private/open", bundle.rootfs().join("work")).unwrap();
    assert_eq!(bundle.run().ok(), "/private/open\n");
    fs::set_permissions(&private, fs::Permissions::from_mode(0o700)).unwrap();
    bundle.run().fails(
        1,
        &["enter process.cwd \"/work\" as the user: openat2: permission denied"],
    );
}

#[test]
fn program_that_a_capability_lets_execute_is_executed() {
    let bundle = Bundle::new()
        .set("/process/user", json!({"uid": 1000, "gid": 1000}))
        .args(&["/private/true"]);
    let private = bundle.rootfs().join("private");
    fs::create_dir(&private).unwrap();
    copy_program(&bundle.rootfs().join("bin/busybox"), &private.join("true"));
    fs::set_permissions(private.join("true"), fs::Permissions::from_mode(0o700)).unwrap();
    let bundle = bundle.capabilities(&[]);
    bundle.run().fails(126, &["permission denied"]);
    let bundle = bundle.capabilities(&["CAP_DAC_OVERRIDE"]);
    bundle.run().ok();
}

/// What no path leads to cannot be taken away, and the kernel counts it all the same.
#[test]
fn no_pivot_is_refused_where_a_proc_is_hidden_by_another_mount() {
    let bundle = Bundle::new().args(&["true"]);
    bundle.write();
    let hidden = bundle.temp().join("hidden");
    fs::create_dir(&hidden).unwrap();
    let hidden = hidden.display().to_string();
    let script =
        "set -e; mount -t proc proc \"$1\"; mount -t tmpfs none \"$1\"; shift; exec \"$@\"";
    let call = crate::harness::Call::new("unshare", &bundle.temp().join("calls"));
    call.args(["-m", "sh", "-c", script, "sh", &hidden])
        .arg(crate::harness::runtime())
        .arg("--root")
        .arg(bundle.state_dir())
        .args(["run", "--no-pivot", "--bundle"])
        .arg(bundle.path())
        .arg(bundle.id())
        .output()
        .refused(&[
            "take \"",
            "/hidden\" out of the container's reach: another mount hides it",
        ]);
}

#[test]
fn no_pivot_leaves_no_unmasked_proc_to_mount_from() {
    let inside = |script: &str| {
        let capabilities = ["CAP_SYS_ADMIN", "CAP_SETFCAP", "CAP_SETUID", "CAP_SETGID"];
        let bundle = Bundle::new().capabilities(&capabilities).args(&[
            "/bin/busybox",
            "unshare",
            "-mrpf",
            "/bin/sh",
            "-c",
            script,
        ]);
        bundle.launch("run", &["--no-pivot"]).output()
    };
    inside("true").ok();
    let output = inside("/bin/busybox mount -t proc none /proc");
    assert_ne!(output.code, 0, "{output:?}");
    assert!(output.stderr.contains("permission denied"), "{output:?}");
}

fn pidfd_of(listener: &UnixListener) -> (String, OwnedFd) {
    let (name, mut fds) = receive(listener);
    assert_eq!(fds.len(), 1);
    (name, fds.remove(0))
}

#[test]
fn pidfd_socket_gets_the_containers_process() {
    for verb in ["create", "run"] {
        let bundle = Bundle::new().args(FOREVER);
        let path = bundle.temp().join("pidfd");
        let listener = UnixListener::bind(&path).unwrap();
        let mut flags = vec!["--pidfd-socket", path.to_str().unwrap()];
        flags.extend((verb == "run").then_some("--detach"));
        bundle.launch(verb, &flags).output().ok();
        let (name, pidfd) = pidfd_of(&listener);
        assert_eq!(name, "standard");
        pidfd_send_signal(&pidfd, Signal::KILL).unwrap();
        bundle.becomes("stopped");
        bundle.delete().ok();
    }
}

#[test]
fn pidfd_socket_gets_the_process_of_exec() {
    let bundle = Bundle::new().args(FOREVER);
    bundle.launch("run", &["--detach"]).output().ok();
    let path = bundle.temp().join("pidfd");
    let listener = UnixListener::bind(&path).unwrap();
    let pid_file = bundle.temp().join("pid");
    let call = bundle
        .call(&["exec", "--detach", "--pidfd-socket"])
        .arg(&path);
    let call = call.arg("--pid-file").arg(&pid_file).arg(bundle.id());
    call.args(FOREVER).output().ok();
    let (name, pidfd) = pidfd_of(&listener);
    assert_eq!(name, "setns");
    pidfd_send_signal(&pidfd, Signal::KILL).unwrap();
    let pid = fs::read_to_string(pid_file).unwrap().parse().unwrap();
    assert!(ends(pid));
    assert_eq!(bundle.status(), "running");
    bundle.delete_by_force().ok();
}

#[test]
fn pidfd_socket_without_a_listener_keeps_the_container_from_being_made() {
    let bundle = Bundle::new();
    let create = bundle.launch("create", &["--pidfd-socket", "/nonexistent/socket"]);
    let words =
        "connect to the pidfd socket \"/nonexistent/socket\": no such file or directory (ENOENT)";
    create.output().refused(&[words]);
    bundle.assert_clean();
}

/// A running container in a user namespace and a time namespace of its own, and the paths of the two.
fn in_user_and_time() -> (Bundle, [String; 2]) {
    let bundle = Bundle::new()
        .user_namespace()
        .set("/linux/namespaces/-", json!({"type": "time"}))
        .set("/linux/timeOffsets", json!({"monotonic": {"secs": 7881}}))
        .args(FOREVER);
    bundle.launch("run", &["--detach"]).output().ok();
    let pid = bundle.pid();
    (
        bundle,
        ["user", "time"].map(|kind| format!("/proc/{pid}/ns/{kind}")),
    )
}

/// A bundle that joins a user namespace.
fn joining(user: &str) -> Bundle {
    Bundle::new()
        .user_namespace()
        .remove("/linux/uidMappings")
        .remove("/linux/gidMappings")
        .edit(|config| {
            let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
            namespaces.last_mut().unwrap()["path"] = user.into();
        })
}

#[test]
fn namespaces_that_the_joined_user_namespace_does_not_own_are_joined_too() {
    let (other, [user, time]) = in_user_and_time();
    let network = format!("/proc/{}/ns/net", std::process::id());
    let bundle = joining(&user)
        .set("/linux/namespaces/-", json!({"type": "time", "path": time}))
        .edit(|config| {
            let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
            namespaces.retain(|namespace| namespace["type"] != "network");
            namespaces.push(json!({"type": "network", "path": network}));
        })
        .no_mount("/sys")
        .no_mount("/sys/fs/cgroup")
        .shell("readlink /proc/self/ns/net; cat /proc/self/uid_map /proc/self/timens_offsets");
    let output = bundle.run();
    let lines: Vec<Vec<&str>> = output
        .lines()
        .iter()
        .map(|line| line.split_whitespace().collect())
        .collect();
    let own = fs::read_link(&network).unwrap();
    assert_eq!(lines[0], [own.to_str().unwrap()]);
    assert_eq!(lines[1], ["0", "100000", "65536"]);
    assert_eq!(lines[2], ["monotonic", "7881", "0"]);
    other.delete_by_force().ok();
}

#[test]
fn mount_gets_the_ids_of_the_user_namespace_that_is_joined() {
    let (other, [user, _]) = in_user_and_time();
    let bundle = joining(&user);
    let source = bundle.outside("source");
    fs::write(source.join("file"), "").unwrap();
    let bundle = bundle
        .mount("/mnt", "bind", source.to_str().unwrap(), &["bind", "idmap"])
        .shell("stat -c %u:%g /mnt/file");
    let output = bundle.run();
    other.delete_by_force().ok();
    if output
        .stderr
        .contains("the filesystem may not support idmapped mounts")
    {
        return skip("the filesystem has no idmapped mounts");
    }
    assert_eq!(output.ok(), "0:0\n");
}

#[test]
fn debug_names_the_steps_on_standard_error_and_in_the_log() {
    let bundle = Bundle::new();
    bundle.write();
    let run = |flags: &[&str]| {
        let call = bundle
            .call(&["--debug"])
            .args(flags)
            .args(["run", "--bundle"]);
        call.arg(bundle.path()).arg(bundle.id()).output()
    };
    let step = "level=debug msg=\"step: make a session\"";
    assert!(run(&[]).stderr.contains(step));
    let log = bundle.temp().join("log");
    assert_eq!(run(&["--log", log.to_str().unwrap()]).stderr, "");
    assert!(fs::read_to_string(log).unwrap().contains(step));
}

#[test]
fn debug_names_the_steps_of_exec_and_its_cpus() {
    let affinity = json!({"initial": "0-1", "final": "0"});
    let bundle = Bundle::new()
        .args(FOREVER)
        .set("/process/execCPUAffinity", affinity);
    let inside = Inside::of(bundle);
    let said = inside.0.call(&["--debug", "exec", inside.0.id(), "true"]);
    let said = said.output().stderr;
    for step in [
        "set process.execCPUAffinity.initial, affinity: 0x3",
        "set process.execCPUAffinity.final, affinity: 0x1",
        "verify what the kernel says",
    ] {
        let line = format!("level=debug msg=\"step: {step}\"\n");
        assert!(said.contains(&line), "{said}");
    }
    assert_eq!(inside.exec(&[], &["true"]).stderr, "");
}

#[test]
fn fields_that_are_null_are_as_if_they_were_not_there() {
    let bundle = Bundle::new()
        .args(&["echo", "here"])
        .set("/hostname", Value::Null)
        .set("/process/rlimits", Value::Null)
        .set("/linux/timeOffsets", Value::Null);
    assert_eq!(bundle.run().ok(), "here\n");
}
