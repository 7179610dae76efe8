//! `stockade launch`: a command in a directory, or the embedded sandbox, under the profile that is its default.
//! Not here: what a profile refuses call by call (confinement_restricted.rs), and the values of flags (src/cmd/values.rs).

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;

use crate::confinement_cgroups::is_v2_alone;
use crate::harness::{
    Bundle, Call, Output, Running, becomes, cgroups_named, ends, eventually, is_foreign, raw_calls,
    runtime, skip,
};

/// A root filesystem to launch in; `None` for a runtime that has no such verb.
fn ready() -> Option<Bundle> {
    if is_foreign() {
        skip("other runtimes have no launch");
        return None;
    }
    Some(Bundle::new().profile(None))
}

/// `launch FLAGS DIR -- COMMAND`.
fn launch(bundle: &Bundle, flags: &[&str], command: &[&str]) -> Call {
    bundle
        .call(&["launch"])
        .args(flags)
        .arg(bundle.rootfs())
        .arg("--")
        .args(command)
}

/// A shell script as the command.
#[track_caller]
fn sh(bundle: &Bundle, flags: &[&str], script: &str) -> Output {
    launch(bundle, flags, &["/bin/sh", "-c", script]).output()
}

/// The process that runs `/bin/sh -c SCRIPT MARK`.
fn marked(mark: &str) -> Option<u32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.into_iter().find(|pid| {
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words = String::from_utf8_lossy(&words).into_owned();
        words.starts_with("/bin/sh\0") && words.ends_with(&format!("\0{mark}\0"))
    })
}

/// A sandbox that sleeps: the call, its program's pid on the host, and the last word of its cgroup's path.
fn sleeping(bundle: &Bundle, flags: &[&str]) -> (Running, u32, String) {
    let mark = format!("mark-{}", bundle.id());
    // The first process of a pid namespace gets no signal that it does not handle.
    let script = "trap 'exit 3' TERM INT; echo ready; while :; do sleep 0.02; done";
    let run = launch(bundle, flags, &["/bin/sh", "-c", script, &mark]).spawn();
    run.says("ready");
    let pid = marked(&mark).expect("the program runs");
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let own = fs::read_to_string("/proc/self/cgroup").unwrap();
    let new = text
        .lines()
        .find(|line| !own.contains(line) && !line.ends_with(":/"));
    let group = new.and_then(|line| line.rsplit('/').next()).unwrap_or("");
    (run, pid, group.to_owned())
}

/// The first of these files in a cgroup of this name, as one line.
fn limit(group: &str, names: &[&str]) -> String {
    let dirs = cgroups_named(group);
    let file = |name: &&str| {
        let found = dirs.iter().map(|dir| dir.join(name)).find(|p| p.exists())?;
        Some(fs::read_to_string(found).unwrap().trim().to_owned())
    };
    names
        .iter()
        .find_map(file)
        .unwrap_or_else(|| panic!("no {names:?} in {dirs:?}"))
}

#[test]
fn embedded_sandbox_reports_what_it_finds_inside() {
    let Some(bundle) = ready() else { return };
    let output = bundle.call(&["launch"]).output();
    let text = output.ok().to_lowercase();
    for word in ["seccomp", "no_new_privs", "capabilit", "namespace", "mount"] {
        assert!(text.contains(word), "no {word:?} in {text}");
    }
    assert_eq!(output.stderr, "");
    bundle.assert_clean();
}

#[test]
fn embedded_sandbox_reports_in_json() {
    let Some(bundle) = ready() else { return };
    let report = bundle.call(&["launch", "--format", "json"]).output().json();
    assert!(report.is_object() || report.is_array(), "{report}");
}

#[test]
fn launch_passes_the_exit_code_and_the_streams_on() {
    let Some(bundle) = ready() else { return };
    for code in [0, 1, 42, 255] {
        let output = sh(
            &bundle,
            &[],
            &format!("echo out; echo err >&2; exit {code}"),
        );
        assert_eq!(output.exits(code), "out\n");
        assert_eq!(output.stderr, "err\n");
    }
    bundle.assert_clean();
}

#[test]
fn launch_ends_as_the_program_by_a_signal() {
    let Some(bundle) = ready() else { return };
    let out = sh(&bundle, &[], "(kill -9 $$) & wait; sleep 5");
    // The first process of a pid namespace ignores its own signals: it may end by itself.
    assert!([0, 137].contains(&out.code), "{out:?}");
    let out = sh(&bundle, &[], "sh -c 'kill -9 $$'; exit $?");
    out.exits(137);
}

#[test]
fn launch_fails_with_125_126_and_127_as_documented() {
    let Some(bundle) = ready() else { return };
    let missing = launch(&bundle, &[], &["/no/such"]).output();
    missing.fails(127, &["/no/such"]);
    launch(&bundle, &[], &["/etc"])
        .output()
        .fails(126, &["/etc"]);
    let call = bundle.call(&["launch", "/no/such/root", "--", "/bin/true"]);
    call.output().fails(125, &["/no/such/root"]);
    let wrong = sh(&bundle, &["--memory", "much"], "true");
    assert_eq!(wrong.code, 125, "{wrong:?}");
    let wrong = sh(&bundle, &["--profile", "no-such-profile"], "true");
    wrong.fails(125, &["no-such-profile"]);
    bundle.assert_clean();
}

#[test]
fn launch_limits_are_in_the_groups_files() {
    let Some(bundle) = ready() else { return };
    let flags = ["--memory", "64M", "--cpus", "0.5", "--pids", "20"];
    let (run, _, group) = sleeping(&bundle, &flags);
    let memory = limit(&group, &["memory.limit_in_bytes", "memory.max"]);
    assert_eq!(memory, "67108864");
    assert_eq!(limit(&group, &["pids.max"]), "20");
    let cpu = limit(&group, &["cpu.cfs_quota_us", "cpu.max"]);
    assert!(["50000", "50000 100000"].contains(&cpu.as_str()), "{cpu}");
    run.signal(Signal::KILL);
    run.wait();
}

#[test]
fn launch_environment_is_only_what_was_asked_for() {
    let Some(bundle) = ready() else { return };
    let call = launch(&bundle, &["--env", "A=1", "--env", "B=x y"], &["/bin/env"]);
    let output = call.env("SECRET", "of the host").output();
    let lines = output.lines();
    assert!(
        lines.contains(&"A=1") && lines.contains(&"B=x y"),
        "{lines:?}"
    );
    assert!(!output.stdout.contains("SECRET"), "{lines:?}");
}

#[test]
fn launch_binds_are_writable_or_not_as_asked() {
    let Some(bundle) = ready() else { return };
    let outside = bundle.outside("shared");
    fs::set_permissions(&outside, fs::Permissions::from_mode(0o777)).unwrap();
    fs::write(outside.join("file"), "from the host\n").unwrap();
    let source = outside.to_str().unwrap();
    let bind = format!("{source}:/mnt:ro");
    let script = "cat /mnt/file; touch /mnt/new 2>/dev/null || echo refused";
    let out = sh(&bundle, &["--bind", &bind], script);
    assert_eq!(out.ok(), "from the host\nrefused\n");
    assert!(!outside.join("new").exists());
    let bind = format!("{source}:/mnt");
    let out = sh(
        &bundle,
        &["--bind", &bind],
        "echo inside > /mnt/new && echo done",
    );
    assert_eq!(out.ok(), "done\n");
    assert_eq!(fs::read_to_string(outside.join("new")).unwrap(), "inside\n");
    let out = sh(&bundle, &["--bind", "/no/such/source:/mnt"], "true");
    out.fails(125, &["/no/such/source"]);
    bundle.assert_clean();
}

#[test]
fn launch_starts_in_the_directory_asked_for() {
    let Some(bundle) = ready() else { return };
    assert_eq!(sh(&bundle, &[], "pwd").ok(), "/\n");
    assert_eq!(sh(&bundle, &["--workdir", "/usr"], "pwd").ok(), "/usr\n");
}

#[test]
fn launch_user_is_the_one_asked_for_and_never_root_by_itself() {
    let Some(bundle) = ready() else { return };
    assert_ne!(sh(&bundle, &[], "id -u").ok(), "0\n");
    let ids = "id -u; id -g";
    assert_eq!(
        sh(&bundle, &["--user", "1234:567"], ids).ok(),
        "1234\n567\n"
    );
    let out = sh(&bundle, &["--user", "nobody"], ids);
    assert_eq!(out.ok(), "65534\n65534\n");
    sh(&bundle, &["--user", "no-such-user"], ids).fails(125, &["no-such-user"]);
    let out = sh(&bundle, &["--user", "4294967296"], ids);
    assert_eq!(out.code, 125, "{out:?}");
}

#[test]
fn launch_network_is_none_or_the_hosts() {
    let Some(bundle) = ready() else { return };
    let script = "readlink /proc/self/ns/net";
    let host = fs::read_link("/proc/self/ns/net").unwrap();
    let host = format!("{}\n", host.display());
    assert_ne!(sh(&bundle, &[], script).ok(), host);
    assert_ne!(sh(&bundle, &["--network", "none"], script).ok(), host);
    let out = sh(&bundle, &["--network", "host"], script);
    if out.code == 0 {
        assert_eq!(out.ok(), host);
    } else {
        out.fails(125, &["network"]);
    }
    let devices = sh(&bundle, &[], "sed 1,2d /proc/net/dev | cut -d: -f1");
    assert_eq!(devices.ok().trim(), "lo");
}

#[test]
fn launch_leaves_the_root_filesystem_as_it_was() {
    let Some(bundle) = ready() else { return };
    let names = |dir: &Path| {
        let entries = fs::read_dir(dir).unwrap();
        let mut names: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        names.sort();
        names
    };
    let before = names(&bundle.rootfs());
    sh(&bundle, &[], "touch /new 2>/dev/null; true").ok();
    assert_eq!(names(&bundle.rootfs()), before);
    assert!(!bundle.path().join("config.json").exists());
}

/// The launcher ends by this signal while its program sleeps: the program is gone, and its cgroup.
#[track_caller]
fn is_cleaned_up_after(signal: Signal) {
    let Some(bundle) = ready() else { return };
    let (run, pid, group) = sleeping(&bundle, &[]);
    run.signal(signal);
    let output = run.wait();
    assert_ne!(output.code, 0, "{output:?}");
    assert!(ends(pid), "{pid} lives on");
    if !group.is_empty() {
        let is_gone = becomes(Duration::from_secs(2), || cgroups_named(&group).is_empty());
        // Nobody is left after SIGKILL; the next launch finds what the last one could not remove.
        if !is_gone && signal == Signal::KILL {
            sh(&bundle, &[], "true").ok();
        }
        eventually("the cgroup is gone", || cgroups_named(&group).is_empty());
    }
    if signal != Signal::KILL {
        bundle.assert_clean();
        return;
    }
    sh(&bundle, &[], "true").ok();
    bundle.assert_clean();
}

#[test]
fn launch_that_is_killed_leaves_nothing() {
    is_cleaned_up_after(Signal::KILL);
}

#[test]
fn launch_that_is_terminated_leaves_nothing() {
    is_cleaned_up_after(Signal::TERM);
}

#[test]
fn launch_that_is_interrupted_leaves_nothing() {
    is_cleaned_up_after(Signal::INT);
}

#[test]
fn launch_whose_program_does_not_listen_ends_at_the_second_request() {
    let Some(bundle) = ready() else { return };
    let run = launch(
        &bundle,
        &[],
        &["/bin/sh", "-c", "echo ready; while :; do sleep 0.02; done"],
    )
    .spawn();
    run.says("ready");
    run.signal(Signal::TERM);
    run.signal(Signal::INT);
    assert_eq!(run.wait().code, 137);
    bundle.assert_clean();
}

#[test]
fn launch_refuses_the_forbidden_calls() {
    let Some(bundle) = ready() else { return };
    // unshare and clone of a user namespace; socket(AF_ALG), also with a high bit.
    let calls = "272 268435456 , 56 268435473 0 0 0 0 , 41 38 5 0 , 41 4294967334 5 0";
    let bundle = raw_calls(bundle, calls);
    let words = calls.split(' ').collect::<Vec<_>>();
    let out = launch(&bundle, &[], &[&["/call"], words.as_slice()].concat()).output();
    assert_eq!(out.ok(), "-1\n-1\n-1\n-1\n");
    let out = launch(&bundle, &[], &["/call", "int80", "20"]).output();
    // 128 and SIGSYS.
    assert_eq!(out.exits(159), "");
}

#[test]
fn launch_without_root_works_where_user_namespaces_are_allowed() {
    let Some(bundle) = ready() else { return };
    let scratch = bundle.home_of_nobody();
    let as_user = |call: Call| call.nobody(&scratch);
    if !bundle.runs_without_root(as_user) {
        return;
    }
    let call = bundle.bare_call().arg("launch").arg(bundle.rootfs());
    let call = call.args(["--", "/bin/sh", "-c", "id -u; exit 7"]);
    let output = as_user(call).output();
    let uid = output.exits(7);
    assert!(uid.trim().parse::<u32>().is_ok(), "{output:?}");
    let embedded = as_user(bundle.bare_call().arg("launch")).output();
    embedded.ok();
    bundle.assert_clean();
}

/// A cgroup of the user's beside our own one, with one for its processes; removed when dropped.
struct Delegated(PathBuf);

impl Delegated {
    fn to(uid: u32) -> Self {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap();
        let own = own.trim().trim_start_matches("0::/");
        let parent = Path::new("/sys/fs/cgroup").join(own).join("..");
        let group = parent.join(format!("delegated-{}", std::process::id()));
        let processes = group.join("processes");
        fs::write(parent.join("cgroup.subtree_control"), "+cpu +memory +pids").unwrap();
        fs::create_dir_all(&processes).unwrap();
        for directory in [&group, &processes] {
            for file in ["", "cgroup.procs", "cgroup.subtree_control"] {
                chown(directory.join(file), Some(uid), Some(uid)).unwrap();
            }
        }
        Self(group)
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        let _ = fs::remove_dir(self.0.join("processes"));
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn launch_without_root_has_its_limits_in_a_delegated_cgroup() {
    if !is_v2_alone() {
        return skip("cgroups are delegated on v2 alone");
    }
    let Some(bundle) = ready() else { return };
    let scratch = bundle.home_of_nobody();
    let group = Delegated::to(65534);
    let script = format!(
        "echo $$ > {}/processes/cgroup.procs; exec setpriv --reuid=65534 --regid=65534 --clear-groups \"$@\"",
        group.0.display()
    );
    let call = Call::new("sh", &bundle.temp().join("calls"))
        .args(["-c", &script, "sh"])
        .arg(runtime())
        .arg("launch")
        .arg(bundle.rootfs())
        .args(["--", "/bin/sh", "-c", "cat /proc/self/cgroup"])
        .home(&scratch);
    let output = call.output();
    // Limits by process, and the warning of them, are for where there is no cgroup.
    assert_eq!(output.stderr, "");
    assert_eq!(output.ok(), "0::/\n");
    bundle.assert_clean();
}
