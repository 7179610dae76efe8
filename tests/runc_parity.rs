//! The same bundle under stockade and runc: what the program sees and what a caller is told are the same, line by line.
//! Every difference that is left is in `DIFFERENCES`, with its reason; anything else fails.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::{Bundle, Output, cgroups_named, installed, is_foreign, skip};

/// What may differ: the kind of line, its beginning, and why that is honest.
const DIFFERENCES: &[(&str, &str, &str)] = &[
    ("status", "Pid:", "the number is the kernel's choice"),
    ("status", "PPid:", "as above"),
    ("status", "Tgid:", "as above"),
    ("status", "NStgid:", "as above"),
    ("status", "NSpid:", "as above"),
    ("status", "NSpgid:", "as above"),
    ("status", "NSsid:", "as above"),
    ("status", "Vm", "memory in use at the moment"),
    ("status", "Rss", "as above"),
    ("status", "Hugetlb", "as above"),
    (
        "status",
        "FDSize:",
        "room in the table of descriptors, from before those were closed",
    ),
    (
        "status",
        "SigQ:",
        "signals queued for the user on the whole host",
    ),
    (
        "status",
        "voluntary_ctxt_switches",
        "a counter of the moment",
    ),
    ("status", "nonvoluntary_ctxt_switches", "as above"),
    (
        "status",
        "x86_Thread_features",
        "the processor's, which may be another",
    ),
];

/// Lines of mountinfo that say the same in other words: their beginning, what runc makes of it, what is here, and why.
const OTHER_WORDS: &[(&str, &str, &str, &str)] = &[
    (
        "/sys ",
        "- sysfs sysfs ro",
        "- sysfs sysfs rw",
        "read-only by the mount; the superblock is one for all mounts of a network namespace",
    ),
    (
        "/sys/fs/cgroup rw",
        "/sys/fs/cgroup rw",
        "/sys/fs/cgroup ro",
        "the configuration says ro, for the directory of the hierarchies too",
    ),
    (
        "/sys/fs/cgroup/systemd ",
        "- cgroup systemd ",
        "- cgroup cgroup ",
        "the source is only a name",
    ),
    (
        "/proc/acpi ",
        "- tmpfs tmpfs ro",
        "- tmpfs none rw,size=4k,nr_inodes=1",
        "a masked directory has no room, and is read-only by the mount",
    ),
    (
        "/sys/firmware ",
        "- tmpfs tmpfs ro",
        "- tmpfs none rw,size=4k,nr_inodes=1",
        "as above",
    ),
    (
        "/proc/",
        "rw,nosuid - tmpfs tmpfs rw,size=65536k,mode=755",
        "ro,relatime - devtmpfs devtmpfs rw",
        "a masked file is the host's null device, since the image's could be anything, and keeps its mode and owner",
    ),
];

/// One bundle under stockade, then under runc. runc under test as the oracle shows that the comparisons are stable.
fn pair() -> Option<[Bundle; 2]> {
    let Some(runc) = installed("runc") else {
        skip("runc is not installed");
        return None;
    };
    Some([Bundle::new(), Bundle::new().by(runc)])
}

/// What `runc spec` writes, without its terminal.
fn runc_spec(runc: &Path) -> Value {
    let spec = Bundle::new().by(runc.to_owned());
    let call = spec.bare_call().args(["spec", "--bundle"]).arg(spec.path());
    call.output().ok();
    let text = fs::read_to_string(spec.path().join("config.json")).unwrap();
    let mut config: Value = serde_json::from_str(&text).unwrap();
    config["process"]["terminal"] = json!(false);
    config
}

/// Every key with the type of its value.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(map) => map.iter().map(|(k, v)| (k.clone(), shape(v))).collect(),
        Value::Array(list) => list.iter().map(shape).collect(),
        Value::Null => json!("null"),
        Value::Bool(_) => json!("boolean"),
        Value::Number(_) => json!("number"),
        Value::String(_) => json!("string"),
    }
}

#[test]
fn bundle_of_runc_spec_has_the_same_output_exit_code_and_state() {
    let Some(bundles) = pair() else { return };
    let config = runc_spec(&installed("runc").unwrap());
    // runc links /dev/core, which the specification does not name, to /proc/kcore where the kernel has that.
    let script =
        "id; pwd; env | sort; hostname; ls /; ls /dev | grep -vx core; ulimit -n; umask; exit 5";
    let seen = bundles.map(|mut bundle| {
        bundle.config = config.clone();
        let bundle = bundle.shell(script);
        let output = bundle.run();
        bundle.assert_clean();
        bundle.create().ok();
        let created = bundle.state().json();
        bundle.start().ok();
        bundle.becomes("stopped");
        let stopped = bundle.state().json();
        bundle.delete().ok();
        let states = [shape(&created), shape(&stopped)];
        let words = [created["status"].clone(), stopped["status"].clone()];
        // Standard error may warn of what the configuration asks for and cannot get.
        (output.code, output.stdout, states, words)
    });
    assert_eq!(seen[0].0, 5);
    assert_eq!(seen[0], seen[1]);
}

/// What an engine asks for when its user asks for nothing but limits.
fn docker_like(bundle: Bundle, filter: Value) -> Bundle {
    let capabilities: Vec<String> = "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID \
        SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE"
        .split_whitespace()
        .map(|name| format!("CAP_{name}"))
        .collect();
    let names: Vec<&str> = capabilities.iter().map(String::as_str).collect();
    let kinds = ["pid", "network", "ipc", "uts", "mount", "cgroup"];
    let namespaces = kinds.map(|kind| json!({"type": kind}));
    let masked = "/proc/asound /proc/acpi /proc/kcore /proc/keys /proc/latency_stats /proc/timer_list \
        /proc/timer_stats /proc/sched_debug /proc/scsi /sys/firmware /sys/devices/virtual/powercap";
    let masked: Vec<&str> = masked.split_whitespace().collect();
    let limits = json!({
        "devices": [{"allow": false, "access": "rwm"}],
        "memory": {"limit": 67_108_864, "reservation": 33_554_432},
        "cpu": {"shares": 512, "quota": 50_000, "period": 100_000},
        "pids": {"limit": 64},
    });
    bundle
        .capabilities(&names)
        .set("/process/noNewPrivileges", false)
        .set("/process/oomScoreAdj", 100)
        .set("/linux/namespaces", json!(namespaces))
        .set("/linux/maskedPaths", json!(masked))
        .set("/linux/resources", limits)
        .set("/linux/seccomp", filter)
}

/// The default filter of Docker.
fn docker_filter() -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/docker-seccomp.json");
    let text = fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    serde_json::from_slice(&text).unwrap()
}

/// Both runtimes' output of a script in the docker-like bundle, with a user namespace as the seventh one if asked.
fn docker_like_pair(script: &str, change: impl Fn(Bundle) -> Bundle) -> Option<[Output; 2]> {
    let outputs = pair()?.map(|bundle| {
        let bundle = change(docker_like(bundle, docker_filter())).shell(script);
        let output = bundle.run();
        bundle.assert_clean();
        output
    });
    Some(outputs)
}

/// Is this difference of a line explained?
fn may_differ(kind: &str, line: &str) -> bool {
    let mut listed = DIFFERENCES.iter();
    listed.any(|(of, start, _)| *of == kind && line.starts_with(start))
}

/// A line without what only this machine decides.
fn plain(line: &str) -> String {
    if let Some((mount, _)) = line.split_once(" - devtmpfs ") {
        // Whether the host's /dev is nosuid or relatime stays so; the first word says whether it is read-only.
        let mount = mount.split_once(',').map_or(mount, |(mount, _)| mount);
        return format!("{mount} - devtmpfs devtmpfs rw");
    }
    match line.strip_prefix("SigIgn:\t") {
        // 32 and 33 are the C library's: its callers hand them on ignored, and Go takes one for itself.
        Some(mask) => {
            let mask = u64::from_str_radix(mask, 16).unwrap();
            format!("SigIgn:\t{:016x}", mask & !0x1_8000_0000)
        }
        None => line.to_owned(),
    }
}

/// What a line under runc is here, by `OTHER_WORDS`.
fn in_our_words(line: &str) -> String {
    let mut known = OTHER_WORDS.iter();
    let found = known.find(|(start, from, ..)| line.starts_with(start) && line.contains(from));
    found.map_or_else(
        || line.to_owned(),
        |(_, from, to, _)| line.replacen(from, to, 1),
    )
}

fn is_hierarchy(line: &str) -> bool {
    line.starts_with("/sys/fs/cgroup/")
}

/// Compares line by line, in order.
#[track_caller]
fn lines_are_equal(kind: &str, [ours, theirs]: &[Output; 2]) {
    let kept = |output: &Output| {
        let lines = output.ok().lines();
        let kept = lines.filter(|line| !may_differ(kind, line));
        kept.map(plain).collect::<Vec<_>>()
    };
    let (mut ours, mut theirs) = (kept(ours), kept(theirs));
    if kind == "mountinfo" && !is_foreign() {
        theirs = theirs
            .iter()
            .map(|line| plain(&in_our_words(line)))
            .collect();
    }
    // The hierarchies of cgroups are beside each other: runc takes them in the order of mounting, stockade in that of
    // their numbers.
    for lines in [&mut ours, &mut theirs] {
        if let Some(first) = lines.iter().position(|line| is_hierarchy(line)) {
            let run = lines[first..].iter().take_while(|line| is_hierarchy(line));
            let end = first + run.count();
            lines[first..end].sort();
        }
    }
    assert!(theirs.len() > 1, "nothing to compare: {theirs:?}");
    let only = |these: &[String], those: &[String]| -> Vec<String> {
        let new = these.iter().filter(|line| !those.contains(line));
        new.cloned().collect()
    };
    let missing = only(&theirs, &ours);
    let extra = only(&ours, &theirs);
    assert!(
        missing.is_empty() && extra.is_empty(),
        "{kind}: only under runc: {missing:#?}, only here: {extra:#?}"
    );
    assert_eq!(ours, theirs, "{kind}: another order");
}

#[test]
fn docker_like_status_equals_runcs_line_by_line() {
    let outputs = docker_like_pair("cat /proc/self/status", |bundle| bundle);
    let Some(outputs) = outputs else { return };
    lines_are_equal("status", &outputs);
}

#[test]
fn docker_like_status_of_a_user_equals_runcs_line_by_line() {
    let user = json!({"uid": 1000, "gid": 1000, "additionalGids": [10, 20]});
    let change = |bundle: Bundle| bundle.set("/process/user", user.clone());
    let outputs = docker_like_pair("cat /proc/self/status", change);
    let Some(outputs) = outputs else { return };
    lines_are_equal("status", &outputs);
}

#[test]
fn docker_like_status_with_a_user_namespace_equals_runcs_line_by_line() {
    let outputs = docker_like_pair(
        "cat /proc/self/status /proc/self/uid_map /proc/self/gid_map",
        |bundle| bundle.user_namespace().no_mount("/sys/fs/cgroup"),
    );
    let Some(outputs) = outputs else { return };
    lines_are_equal("status", &outputs);
}

/// A line of mountinfo without what the kernel numbers: ids of mounts, groups and devices, and the bundle's name.
const MOUNTINFO: &str = "sed -E 's,^[0-9]+ [0-9]+ [0-9]+:[0-9]+ [^ ]* ,,; s/(master|shared):[0-9]+/\\1/g' \
    /proc/self/mountinfo";

#[test]
fn docker_like_mounts_equal_runcs_line_by_line() {
    let Some(outputs) = docker_like_pair(MOUNTINFO, |bundle| bundle) else {
        return;
    };
    lines_are_equal("mountinfo", &outputs);
}

#[test]
fn docker_like_mounts_with_a_read_only_root_equal_runcs_line_by_line() {
    let change = |bundle: Bundle| bundle.set("/root/readonly", true);
    let Some(outputs) = docker_like_pair(MOUNTINFO, change) else {
        return;
    };
    lines_are_equal("mountinfo", &outputs);
}

#[test]
fn docker_like_paths_are_masked_as_under_runc() {
    let script = "for path in /proc/kcore /proc/keys /proc/timer_list /proc/acpi /sys/firmware /proc/scsi; do \
        [ -e $path ] && { ls -ld $path | cut -c1-10; cat $path 2>&1 | head -c 20; ls $path | wc -l; }; done; \
        for path in sys/kernel/hostname sysrq-trigger bus irq; do touch /proc/$path 2>&1; done";
    let Some(outputs) = docker_like_pair(script, |bundle| {
        bundle.set("/process/noNewPrivileges", true)
    }) else {
        return;
    };
    let [ours, theirs] = outputs.map(|output| (output.code, output.stdout, output.stderr));
    assert_eq!(ours, theirs);
}

#[test]
fn docker_like_rest_of_proc_equals_runcs() {
    let script = "cat /proc/self/limits /proc/self/oom_score_adj /proc/self/cgroup /proc/self/attr/current; \
        cat /proc/self/personality /proc/self/coredump_filter /proc/self/timens_offsets; \
        ls -l /dev /dev/pts /dev/shm | grep -v kcore | tr -s ' ' | cut -d' ' -f1,3-6,10-; stat -c '%a %u %g' / /dev /proc; \
 ls /proc/self/fd; cat /proc/sys/kernel/hostname; env; true";
    let Some(outputs) = docker_like_pair(script, |bundle| bundle) else {
        return;
    };
    assert_eq!(outputs[0].ok(), outputs[1].ok());
}

/// Counters and lists that the moment decides, and files that say which processes there are.
const MOMENTARY: [&str; 17] = [
    "cgroup.procs",
    "tasks",
    "cgroup.threads",
    "cgroup.event_control",
    "cgroup.clone_children",
    "cgroup.stat",
    "usage",
    "stat",
    "failcnt",
    "pressure",
    "events",
    "current",
    "peak",
    // Bytes and requests that the disk has served: what was in the cache before decides them.
    ".io_service",
    "pids.current",
    "usage_in_bytes",
    "release_agent",
];

/// The list of devices in the order of its lines; runc adds /dev/net/tun, which the specification does not name.
fn devices(text: &str) -> String {
    let mut lines: Vec<&str> = text
        .lines()
        .filter(|line| *line != "c 10:200 rwm")
        .collect();
    lines.sort_unstable();
    lines.join("\n")
}

/// Every file of the container's cgroups that says a setting, by its controller's directory and its name.
fn group_settings(id: &str) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::new();
    let files = |dir: &PathBuf| fs::read_dir(dir).unwrap().flatten().collect::<Vec<_>>();
    for dir in cgroups_named(id) {
        for file in files(&dir) {
            let name = file.file_name().into_string().unwrap();
            let is_momentary = MOMENTARY.iter().any(|word| name.contains(word));
            let text = fs::read_to_string(file.path());
            if let (false, Ok(text)) = (is_momentary, text) {
                let text = match name.as_str() {
                    "devices.list" => devices(&text),
                    // On v2 runc switches on whatever there is, also what the configuration has no limit for.
                    "cgroup.controllers" => continue,
                    _ if ["hugetlb.", "misc.", "rdma."]
                        .iter()
                        .any(|of| name.starts_with(of)) =>
                    {
                        continue;
                    }
                    _ => text,
                };
                let dir = dir.to_str().unwrap().replace(id, "ID");
                settings.insert(format!("{dir}/{name}"), text);
            }
        }
    }
    settings
}

#[test]
fn docker_like_cgroup_files_equal_runcs() {
    let Some(bundles) = pair() else { return };
    let [ours, theirs] = bundles.map(|bundle| {
        let bundle = docker_like(bundle, docker_filter()).args(&["sleep", "1000"]);
        bundle.create().ok();
        bundle.start().ok();
        let settings = group_settings(bundle.id());
        bundle.delete_by_force().ok();
        bundle.assert_clean();
        settings
    });
    let limits = ["memory.limit_in_bytes", "memory.max"];
    let is_limit = |name: &String| limits.iter().any(|limit| name.ends_with(limit));
    assert!(theirs.keys().any(is_limit), "no limits in {theirs:#?}");
    let mut different = Vec::new();
    for name in ours.keys().chain(theirs.keys()) {
        // runc 1.1 converts shares to a weight on a straight line, later ones on the curve that is used here.
        if name.contains("/cpu.weight") {
            continue;
        }
        if ours.get(name) != theirs.get(name) {
            different.push((name, ours.get(name), theirs.get(name)));
        }
    }
    assert!(different.is_empty(), "name, ours, runc's: {different:#?}");
}

#[test]
fn docker_like_filter_decides_calls_as_under_runc() {
    // unshare, clone of a user namespace, clone3, keyctl, io_uring_setup, personality, a number that nobody has,
    // socket(AF_ALG), ptrace.
    let calls = "272 268435456 , 56 268435473 0 0 0 0 , 435 0 0 , 250 0 , 425 1 0 , 135 4294967295 , \
                 135 1 , 9999 , 41 38 5 0 , 101 0 0 0 0 , 313 0 0 0 , 165 0 0 0 0 0";
    let Some(bundles) = pair() else { return };
    let [ours, theirs] = bundles.map(|bundle| {
        let bundle = docker_like(bundle, docker_filter());
        let bundle = crate::harness::raw_calls(bundle, calls);
        let output = bundle.run();
        output.ok().to_owned()
    });
    assert_eq!(ours, theirs);
}
