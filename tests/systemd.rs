//! Cgroups through systemd: what the scope says, what the kernel says, and that both go again.
//! Where systemd does not run, only that it is refused; `scripts/vm --systemd` has one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::rootfs::give;
use crate::harness::{Bundle, Call, Output, cgroups_named, is_foreign, skip};

/// Whether there is a systemd to speak to; says why not.
pub(crate) fn is_there() -> bool {
    if is_foreign() {
        return false;
    }
    if !Path::new("/run/systemd/system").is_dir() {
        skip("systemd does not run here");
        return false;
    }
    if !Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        skip("this host has cgroup v1");
        return false;
    }
    true
}

fn limited() -> Bundle {
    let limits = json!({
        "memory": {"limit": 64 << 20, "swap": 128 << 20, "reservation": 16 << 20},
        "cpu": {"shares": 512, "quota": 33_333, "period": 100_000, "cpus": "0", "mems": "0"},
        "pids": {"limit": 64},
        "blockIO": {"weight": 500},
        "devices": [{"allow": false, "access": "rwm"}, {"allow": true, "type": "c", "major": 10, "minor": 200, "access": "rw"}],
        "unified": {"memory.high": "48M", "cgroup.max.depth": "7"},
    });
    Bundle::new()
        .set("/linux/resources", limits)
        .args(&["sleep", "1000"])
}

/// The container's place: a slice of the test's own below another one.
fn placed(bundle: Bundle) -> Bundle {
    let path = format!("stockade-tests.slice:stockade:{}", bundle.id());
    bundle.set("/linux/cgroupsPath", path)
}

fn unit(bundle: &Bundle) -> String {
    format!("stockade-{}.scope", bundle.id())
}

fn directory(bundle: &Bundle) -> PathBuf {
    Path::new("/sys/fs/cgroup/stockade.slice/stockade-tests.slice").join(unit(bundle))
}

#[track_caller]
fn create(bundle: &Bundle) -> Output {
    through_systemd(bundle, "create").output()
}

pub(crate) fn through_systemd(bundle: &Bundle, verb: &str) -> Call {
    bundle.write();
    let path = bundle.path();
    bundle.call(&[
        "--systemd-cgroup",
        verb,
        "--bundle",
        path.to_str().unwrap(),
        bundle.id(),
    ])
}

#[track_caller]
fn running(bundle: Bundle) -> Bundle {
    create(&bundle).ok();
    bundle.start().ok();
    bundle
}

/// Properties of a unit as systemctl(1) shows them, in its order of names.
#[track_caller]
pub(crate) fn shown(unit: &str, names: &str) -> Vec<String> {
    let output = Command::new("systemctl")
        .args(["show", unit, "--property", names])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let mut lines: Vec<String> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect();
    lines.sort();
    lines
}

/// Makes systemd read its files and write its properties again.
#[track_caller]
pub(crate) fn reload() {
    let reload = Command::new("systemctl").arg("daemon-reload").status();
    assert!(reload.unwrap().success());
}

fn text(directory: &Path, file: &str) -> String {
    fs::read_to_string(directory.join(file))
        .unwrap()
        .trim()
        .to_owned()
}

const LIMITS: [(&str, &str); 10] = [
    ("memory.max", "67108864"),
    ("memory.swap.max", "67108864"),
    ("memory.low", "16777216"),
    ("memory.high", "50331648"),
    ("cpu.weight", "59"),
    ("cpu.max", "33333 100000"),
    ("cpuset.cpus", "0"),
    ("cpuset.mems", "0"),
    ("pids.max", "64"),
    ("cgroup.max.depth", "7"),
];

#[test]
fn without_systemd_the_flag_is_refused_in_one_line() {
    if is_foreign() || Path::new("/run/systemd/system").exists() {
        return;
    }
    let bundle = Bundle::new();
    let output = create(&bundle);
    output.fails(
        1,
        &[
            "use --systemd-cgroup: systemd does not run on this host",
            "try: leave the flag out",
        ],
    );
    bundle.assert_clean();
}

#[test]
fn limits_are_properties_of_the_scope_and_files_of_its_cgroup() {
    if !is_there() {
        return;
    }
    let bundle = running(placed(limited()));
    let group = directory(&bundle);
    assert_eq!(text(&group, "cgroup.procs"), bundle.pid().to_string());
    for (file, value) in LIMITS {
        assert_eq!(text(&group, file), value, "{file}");
    }
    let names = "Slice,Delegate,DefaultDependencies,MemoryMax,MemorySwapMax,MemoryLow,MemoryHigh,CPUWeight,\
        CPUQuotaPerSecUSec,AllowedCPUs,AllowedMemoryNodes,TasksMax,IOWeight,DevicePolicy,ActiveState,CollectMode";
    let expected = [
        "ActiveState=active",
        "AllowedCPUs=0",
        "AllowedMemoryNodes=0",
        "CPUQuotaPerSecUSec=340ms",
        "CPUWeight=59",
        "CollectMode=inactive-or-failed",
        "DefaultDependencies=no",
        "Delegate=yes",
        "DevicePolicy=strict",
        "IOWeight=4950",
        "MemoryHigh=50331648",
        "MemoryLow=16777216",
        "MemoryMax=67108864",
        "MemorySwapMax=67108864",
        "Slice=stockade-tests.slice",
        "TasksMax=64",
    ];
    assert_eq!(shown(&unit(&bundle), names), expected);
    bundle.delete_by_force().ok();
    assert_eq!(
        shown(&unit(&bundle), "ActiveState,LoadState"),
        ["ActiveState=inactive", "LoadState=not-found"]
    );
}

#[test]
fn limits_and_device_rules_survive_a_reload_of_systemd() {
    if !is_there() {
        return;
    }
    let devices = json!([
        {"path": "/tmp/null", "type": "c", "major": 1, "minor": 3},
        {"path": "/tmp/kmsg", "type": "c", "major": 1, "minor": 11},
    ]);
    let bundle = placed(limited()).set("/linux/devices", devices);
    create(&bundle).ok();
    reload();
    let group = directory(&bundle);
    // systemd keeps whole percents.
    for (file, value) in LIMITS.iter().filter(|(file, _)| *file != "cpu.max") {
        assert_eq!(text(&group, file), *value, "{file}");
    }
    assert_eq!(text(&group, "cpu.max"), "34000 100000");
    bundle.start().ok();
    let opens = |device: &str| {
        let script = format!("exec <>/tmp/{device}");
        bundle
            .call(&["exec", bundle.id(), "sh", "-c", &script])
            .output()
            .code
            == 0
    };
    assert!(opens("null"));
    assert!(!opens("kmsg"));
    bundle.delete_by_force().ok();
}

#[test]
fn update_changes_scope_and_files_and_takes_both_back_on_failure() {
    if !is_there() {
        return;
    }
    let bundle = running(placed(limited()));
    let group = directory(&bundle);
    let update = |flags: &[&str]| {
        bundle
            .call(&["update"])
            .args(flags)
            .arg(bundle.id())
            .output()
    };
    update(&[
        "--pids-limit",
        "33",
        "--memory",
        "96M",
        "--memory-swap",
        "96M",
        "--cpu-quota",
        "50000",
    ])
    .ok();
    let both = || {
        let mut all = shown(
            &unit(&bundle),
            "TasksMax,MemoryMax,MemorySwapMax,CPUQuotaPerSecUSec",
        );
        all.extend(
            ["pids.max", "memory.max", "memory.swap.max", "cpu.max"].map(|file| text(&group, file)),
        );
        all
    };
    let expected = [
        "CPUQuotaPerSecUSec=500ms",
        "MemoryMax=100663296",
        "MemorySwapMax=0",
        "TasksMax=33",
        "33",
        "100663296",
        "0",
        "50000 100000",
    ];
    assert_eq!(both(), expected);
    // What is wrong shows only once some has been written.
    update(&["--pids-limit", "5", "--cpuset-cpus", "4000"]).refused(&["linux.resources.cpu.cpus"]);
    assert_eq!(both(), expected);
    assert_eq!(shown(&unit(&bundle), "AllowedCPUs"), ["AllowedCPUs=0"]);
    bundle.delete_by_force().ok();
}

#[test]
fn the_other_verbs_find_the_scope_by_the_state() {
    if !is_there() {
        return;
    }
    let bundle = running(placed(limited()));
    let group = directory(&bundle);
    let verb = |words: &[&str]| bundle.call(words).arg(bundle.id()).output();
    let entered = bundle
        .call(&["exec", bundle.id(), "sh", "-c", "cat /proc/self/cgroup"])
        .output();
    assert!(entered.ok().trim().ends_with(&unit(&bundle)), "{entered:?}");
    verb(&["pause"]).ok();
    assert_eq!(text(&group, "cgroup.freeze"), "1");
    assert_eq!(bundle.status(), "paused");
    verb(&["resume"]).ok();
    let stats = verb(&["events", "--stats"]).json();
    assert_eq!(stats["data"]["pids"]["limit"], 64);
    let listed = verb(&["ps", "--format", "json"]).json();
    assert_eq!(listed, json!([bundle.pid()]));
    bundle
        .call(&["kill", "--all", bundle.id(), "KILL"])
        .output()
        .ok();
    bundle.becomes("stopped");
    bundle.delete().ok();
    assert!(!group.exists());
}

#[test]
fn annotations_become_properties_by_a_list() {
    if !is_there() {
        return;
    }
    let annotated = |name: &str, value: &str| {
        let key = format!("org.systemd.property.{name}");
        placed(limited()).set("/annotations", json!({key: value}))
    };
    for (name, value, line) in [
        ("TimeoutStopUSec", "uint64 7000000", "TimeoutStopUSec=7s"),
        ("RuntimeMaxSec", "3600", "RuntimeMaxUSec=1h"),
        ("CollectMode", "'inactive'", "CollectMode=inactive"),
        ("KillSignal", "2", "KillSignal=2"),
        ("DefaultDependencies", "true", "DefaultDependencies=yes"),
    ] {
        let bundle = annotated(name, value);
        create(&bundle).ok();
        assert_eq!(
            shown(&unit(&bundle), line.split('=').next().unwrap()),
            [line]
        );
        bundle.delete_by_force().ok();
    }
    for (name, value) in [
        (
            "ExecStartPre",
            "[('/bin/touch', ['touch', '/tmp/evil'], false)]",
        ),
        ("Conflicts", "['dbus.service']"),
        ("TasksMax", "uint64 999"),
        ("CollectMode", "'inactive'\n[Service]"),
        ("TimeoutStopUSec", "7"),
    ] {
        let bundle = annotated(name, value);
        create(&bundle).refused(&[&format!("annotations[\"org.systemd.property.{name}\"]: ")]);
        assert!(cgroups_named(bundle.id()).is_empty());
    }
}

#[test]
fn paths_are_of_the_form_that_the_flag_says() {
    if !is_there() {
        return;
    }
    let bundle = Bundle::new().set("/linux/cgroupsPath", "/a/b");
    create(&bundle).refused(&["linux.cgroupsPath: \"/a/b\" is not of the form slice:prefix:name"]);
    let bundle = placed(limited());
    bundle.create().fails(
        1,
        &[
            "is a systemd path (slice:prefix:name)",
            "try: use --systemd-cgroup",
        ],
    );
}

#[test]
fn a_container_without_a_path_is_in_system_slice() {
    if !is_there() {
        return;
    }
    let bundle = running(Bundle::new().args(&["sleep", "1000"]));
    assert_eq!(shown(&unit(&bundle), "Slice"), ["Slice=system.slice"]);
    bundle.kill("KILL").ok();
    bundle.becomes("stopped");
    bundle.delete().ok();
}

#[test]
fn what_fails_leaves_no_scope() {
    if !is_there() {
        return;
    }
    let bundle = placed(limited()).args(&["/no/such/program"]);
    assert_ne!(through_systemd(&bundle, "run").output().code, 0);
    assert_eq!(shown(&unit(&bundle), "LoadState"), ["LoadState=not-found"]);
    // The scope is there when this is found out.
    let bundle = placed(limited()).set("/linux/resources/cpu/cpus", "4000");
    create(&bundle).refused(&["linux.resources.cpu.cpus"]);
    assert_eq!(shown(&unit(&bundle), "LoadState"), ["LoadState=not-found"]);
    let bundle = running(placed(limited()));
    let other = limited().set(
        "/linux/cgroupsPath",
        format!("stockade-tests.slice:stockade:{}", bundle.id()),
    );
    let cause = "linux.cgroupsPath: container's cgroup is not empty: 1 process(es) in ";
    create(&other).refused(&[cause]);
    assert_eq!(bundle.status(), "running");
    let elsewhere = limited().set(
        "/linux/cgroupsPath",
        format!("system.slice:stockade:{}", bundle.id()),
    );
    create(&elsewhere).refused(&["start unit ", "systemd refuses: Unit ", "UnitExists"]);
    assert_eq!(bundle.status(), "running");
    bundle.delete_by_force().ok();
}

#[test]
fn one_process_fits_under_a_limit_of_one() {
    if !is_there() {
        return;
    }
    let bundle = running(placed(limited()).set("/linux/resources/pids/limit", 1));
    assert_eq!(text(&directory(&bundle), "pids.max"), "1");
    bundle.delete_by_force().ok();
}

#[test]
fn controllers_that_systemd_does_not_know_are_enabled_for_the_scope() {
    if !is_there() {
        return;
    }
    let controllers = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap();
    if !controllers.split_whitespace().any(|name| name == "hugetlb") {
        skip("this kernel has no hugetlb controller");
        return;
    }
    let limit: Value = json!([{"pageSize": "2MB", "limit": 4 << 20}]);
    let bundle = running(placed(limited()).set("/linux/resources/hugepageLimits", limit));
    assert_eq!(
        text(&directory(&bundle), "hugetlb.2MB.max"),
        (4 << 20).to_string()
    );
    bundle.delete_by_force().ok();
}

/// A user who has a systemd of his own.
pub(crate) fn user() -> Option<u32> {
    let users = fs::read_dir("/run/user").ok()?.flatten();
    let mut found = users.filter(|user| user.path().join("systemd/private").exists());
    found.find_map(|user| {
        user.file_name()
            .to_str()?
            .parse()
            .ok()
            .filter(|uid| *uid != 0)
    })
}

/// A bundle that this user can run.
fn of_user(uid: u32) -> Bundle {
    let map = json!([{"containerID": 0, "hostID": uid, "size": 1}]);
    let limits = json!({"memory": {"limit": 64 << 20}, "pids": {"limit": 20}});
    let bundle = Bundle::new()
        .set("/linux/resources", limits)
        .set("/linux/namespaces/-", json!({"type": "user"}))
        .set("/linux/uidMappings", map.clone())
        .set("/linux/gidMappings", map)
        .args(&["sleep", "1000"]);
    give(&bundle.rootfs(), uid, uid);
    bundle
}

#[test]
fn a_users_own_systemd_makes_the_scope_and_moves_in_who_enters() {
    if !is_there() {
        return;
    }
    let Some(uid) = user() else {
        skip("no user has a systemd of his own here");
        return;
    };
    let bundle = of_user(uid);
    let home = bundle.outside("home");
    give(&home, uid, uid);
    let runtime = format!("/run/user/{uid}");
    let as_user = |call: Call| {
        call.user(uid, uid)
            .env("XDG_RUNTIME_DIR", &runtime)
            .directory(Path::new("/"))
    };
    if !bundle.runs_without_root(as_user) {
        return;
    }
    let call = |words: &[&str]| {
        let call = bundle.bare_call().arg("--root").arg(&home);
        as_user(
            call.args(["--profile", "none"])
                .args(words)
                .arg(bundle.id()),
        )
        .output()
    };
    bundle.write();
    call(&[
        "--systemd-cgroup",
        "create",
        "--bundle",
        bundle.path().to_str().unwrap(),
    ])
    .ok();
    call(&["start"]).ok();
    let path = format!(
        "user.slice/user-{uid}.slice/user@{uid}.service/user.slice/{}",
        unit(&bundle)
    );
    let group = Path::new("/sys/fs/cgroup").join(&path);
    assert_eq!(text(&group, "memory.max"), "67108864");
    assert_eq!(text(&group, "pids.max"), "20");
    call(&["update", "--pids-limit", "30"]).ok();
    assert_eq!(text(&group, "pids.max"), "30");
    let call_exec = bundle.bare_call().arg("--root").arg(&home).args([
        "exec",
        bundle.id(),
        "cat",
        "/proc/self/cgroup",
    ]);
    assert_eq!(as_user(call_exec).output().ok(), format!("0::/{path}\n"));
    call(&["delete", "--force"]).ok();
    assert!(!group.exists());
}
