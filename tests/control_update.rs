//! `update`: the files it writes are those that runc writes; what fails leaves the old limits.

use std::collections::BTreeMap;
use std::fs::{self, File};

use serde_json::json;

use crate::control::start;
use crate::harness::{Bundle, Output, cgroups_named, installed, is_foreign, skip};

/// Files of limits, on v1 and on v2.
const FILES: [&str; 22] = [
    "cpu.shares",
    "cpu.cfs_quota_us",
    "cpu.cfs_period_us",
    "cpu.cfs_burst_us",
    "cpu.idle",
    "cpu.rt_runtime_us",
    "cpu.max",
    "cpu.weight",
    "cpu.max.burst",
    "cpuset.cpus",
    "cpuset.mems",
    "memory.limit_in_bytes",
    "memory.memsw.limit_in_bytes",
    "memory.soft_limit_in_bytes",
    "memory.max",
    "memory.swap.max",
    "memory.low",
    "pids.max",
    "blkio.bfq.weight",
    "blkio.weight",
    "io.bfq.weight",
    "io.weight",
];

/// What the files say, by name.
fn files(bundle: &Bundle) -> BTreeMap<&'static str, String> {
    let groups = cgroups_named(bundle.id());
    let text = |name: &&str| {
        groups
            .iter()
            .find_map(|group| fs::read_to_string(group.join(name)).ok())
    };
    FILES
        .iter()
        .filter_map(|name| Some((*name, text(name)?.trim().to_owned())))
        .collect()
}

#[track_caller]
fn update(bundle: &Bundle, flags: &[&str]) -> Output {
    bundle
        .call(&["update"])
        .args(flags)
        .arg(bundle.id())
        .output()
}

/// The same by JSON on standard input.
#[track_caller]
fn update_by(bundle: &Bundle, resources: &str) -> Output {
    let path = bundle.temp().join("resources.json");
    fs::write(&path, resources).unwrap();
    let call = bundle.call(&["update", "--resources=-", bundle.id()]);
    call.stdin(File::open(&path).unwrap()).output()
}

fn limited() -> Bundle {
    let limits = json!({
        "memory": {"limit": 64 << 20, "swap": 128 << 20},
        "cpu": {"shares": 512, "quota": 50_000, "period": 100_000},
        "pids": {"limit": 64},
    });
    Bundle::new()
        .set("/linux/resources", limits)
        .args(&["sleep", "1000"])
}

/// The files as far as runc 1.1 means the same by them.
fn alike(bundle: &Bundle) -> BTreeMap<&'static str, String> {
    let mut files = files(bundle);
    // It turns shares into a v2 weight by another curve than later ones.
    files.remove("cpu.weight");
    // Without a quota its period means nothing; runc puts it back to the usual one.
    if let Some(max) = files
        .get_mut("cpu.max")
        .filter(|max| max.starts_with("max "))
    {
        "max".clone_into(max);
    }
    files
}

#[test]
fn update_writes_the_files_that_runc_writes() {
    let Some(runc) = installed("runc") else {
        skip("runc is not installed");
        return;
    };
    let [ours, theirs] = [limited(), limited().by(runc)].map(start);
    assert_eq!(alike(&ours), alike(&theirs));
    for flags in [
        &["--memory", "96M"][..],
        &["--memory", "256M", "--memory-swap", "512M"],
        &["--memory", "32M", "--memory-swap", "48m"],
        &["--memory-swap=64MiB"],
        &["--memory-reservation", "16M"],
        &["--cpu-quota", "20000"],
        &["--cpu-period", "50000"],
        &["--cpu-quota", "500000", "--cpu-period", "1000000"],
        &["--cpu-quota", "2000", "--cpu-period", "4000"],
        &["--cpu-share", "200"],
        &["--cpuset-cpus", "0"],
        &["--cpuset-mems", "0"],
        &["--pids-limit", "20"],
        &["--pids-limit=-1"],
        &["--blkio-weight", "300"],
        &["--cpu-quota", "-1"],
        &["--memory-swap", "-1"],
        &["--memory", "-1"],
    ] {
        // runc 1.1 refuses to reckon the swap of v2 without being told the memory again.
        let told = match flags {
            ["--memory-swap=64MiB"] => &["--memory", "32M", "--memory-swap=64MiB"],
            flags => flags,
        };
        let (output, expected) = (update(&ours, flags), update(&theirs, told));
        assert_eq!(output.code, expected.code, "{flags:?}: {output:?}");
        let [ours, mut theirs] = [&ours, &theirs].map(alike);
        // `memory.swap` of the configuration is memory and swap together, also where the kernel counts them apart:
        // runc does not reckon again on v2 when the memory alone changes.
        if let (["--memory", "96M"], Some(swap)) = (flags, theirs.get_mut("memory.swap.max")) {
            *swap = ((128 - 96) << 20).to_string();
        }
        assert_eq!(ours, theirs, "{flags:?}");
    }
    ours.delete_by_force().ok();
    theirs.delete_by_force().ok();
}

#[test]
fn update_by_a_document_writes_the_files_that_runc_writes() {
    let Some(runc) = installed("runc") else {
        skip("runc is not installed");
        return;
    };
    let [ours, theirs] = [limited(), limited().by(runc)].map(start);
    for resources in [
        r#"{"memory":{"limit":134217728,"swap":134217728},"cpu":{"shares":100,"quota":0},"pids":{"limit":30}}"#,
        r#"{"blockIO":{"weight":0},"cpu":{"shares":0,"quota":0,"period":0,"cpus":"","mems":""},
            "memory":{"limit":67108864,"reservation":0,"swap":67108864,"kernel":0}}"#,
        r#"{"cpu":{"quota":30000,"period":60000,"cpus":"0-1"},"devices":[{"allow":true,"access":"rwm"}]}"#,
        "{}",
    ] {
        update_by(&ours, resources).ok();
        update_by(&theirs, resources).ok();
        // runc 1.1 puts the number of tasks back to none where it is not given.
        let without_pids = |mut files: BTreeMap<&'static str, String>| {
            files.remove("pids.max");
            files
        };
        assert_eq!(
            without_pids(alike(&ours)),
            without_pids(alike(&theirs)),
            "{resources}"
        );
    }
    ours.delete_by_force().ok();
    theirs.delete_by_force().ok();
}

#[test]
fn update_of_a_limit_leaves_the_others_and_is_kept_in_the_state() {
    let bundle = start(limited());
    let before = files(&bundle);
    update(&bundle, &["--pids-limit", "33"]).ok();
    let mut after = files(&bundle);
    assert_eq!(after["pids.max"], "33");
    after.insert("pids.max", before["pids.max"].clone());
    assert_eq!(after, before);
    if !is_foreign() {
        let state =
            fs::read_to_string(bundle.state_dir().join(bundle.id()).join("state.json")).unwrap();
        let state: serde_json::Value = serde_json::from_str(&state).unwrap();
        let resources = &state["config"]["linux"]["resources"];
        assert_eq!(resources["pids"], json!({"limit": 33}));
        assert_eq!(
            resources["memory"],
            json!({"limit": 64 << 20, "swap": 128 << 20})
        );
    }
    bundle.delete_by_force().ok();
}

#[test]
fn update_that_fails_half_way_leaves_the_old_limits() {
    if is_foreign() {
        return;
    }
    let bundle = start(limited());
    let before = files(&bundle);
    let output = update_by(
        &bundle,
        r#"{"cpu":{"shares":300,"quota":20000},"memory":{"limit":33554432},"hugepageLimits":[{"pageSize":"3MB","limit":1}]}"#,
    );
    output.refused(&["linux.resources.hugepageLimits"]);
    assert_eq!(files(&bundle), before);
    let output = update(
        &bundle,
        &[
            "--cpu-share",
            "300",
            "--memory",
            "32M",
            "--cpuset-cpus",
            "4000",
        ],
    );
    output.refused(&["linux.resources.cpu.cpus"]);
    assert_eq!(files(&bundle), before);
    // Below what it uses; v2 takes it and kills.
    if files(&bundle).contains_key("memory.limit_in_bytes") {
        let output = update(&bundle, &["--pids-limit", "7", "--memory", "4096"]);
        output.refused(&["linux.resources.memory.limit: write \"4096\"", "EBUSY"]);
        assert_eq!(files(&bundle), before);
    }
    let check = r#"{"memory":{"limit":4096,"checkBeforeUpdate":true}}"#;
    update_by(&bundle, check).refused(&["4096 is below what is in use"]);
    assert_eq!(files(&bundle), before);
    assert_eq!(bundle.status(), "running");
    bundle.delete_by_force().ok();
}

#[test]
fn update_refuses_what_it_cannot_do_by_name() {
    if is_foreign() {
        return;
    }
    let bundle = start(limited());
    for (flags, words) in [
        (
            &["--memory", "256M"][..],
            "linux.resources.memory.swap: 134217728 is below memory.limit, 268435456",
        ),
        (&["--kernel-memory", "5M"], "linux.resources.memory.kernel"),
        (
            &["--l3-cache-schema", "L3:0=f"],
            "use --l3-cache-schema: Intel RDT is not supported",
        ),
        (
            &["--mem-bw-schema", "MB:0=20"],
            "use --mem-bw-schema: Intel RDT is not supported",
        ),
        (
            &["--cpu-share", "1"],
            "linux.resources.cpu.shares: 1 is not within 2 to 262144",
        ),
        (
            &["--resources", "/no/such"],
            "read resources from \"/no/such\": no such file or directory (ENOENT)",
        ),
    ] {
        update(&bundle, flags).refused(&[words]);
    }
    update_by(&bundle, "").refused(&["\"standard input\": is empty"]);
    update_by(&bundle, r#"{"memory":{"limit":"1"}}"#)
        .refused(&["\"standard input\": memory.limit"]);
    bundle.kill("KILL").ok();
    bundle.becomes("stopped");
    update(&bundle, &["--pids-limit", "5"]).refused(&["container not running"]);
    bundle.delete().ok();
}

#[test]
fn update_of_a_burst_and_of_idleness_holds() {
    if is_foreign() {
        return;
    }
    let bundle = start(limited());
    if !files(&bundle).contains_key("cpu.cfs_burst_us")
        && !files(&bundle).contains_key("cpu.max.burst")
    {
        skip("this kernel has no bursts");
        bundle.delete_by_force().ok();
        return;
    }
    let of = |v1: &str, v2: &str| {
        let files = files(&bundle);
        files.get(v1).or(files.get(v2)).cloned().unwrap()
    };
    update(&bundle, &["--cpu-burst", "10000"]).ok();
    assert_eq!(of("cpu.cfs_burst_us", "cpu.max.burst"), "10000");
    update(&bundle, &["--cpu-idle", "1"]).ok();
    assert_eq!(of("cpu.idle", "cpu.idle"), "1");
    let shares = of("cpu.shares", "cpu.weight");
    update(&bundle, &["--cpu-idle", "0"]).ok();
    assert_eq!(of("cpu.idle", "cpu.idle"), "0");
    assert_ne!(of("cpu.shares", "cpu.weight"), shares);
    bundle.delete_by_force().ok();
}

/// A container under a profile of its own, whose file is gone by now: what counts is what it was created by.
fn tight() -> Bundle {
    let text = "name = \"tight\"\ndescription = \"x\"\n[limits]\nmemory = { maximum = \"64MiB\" }\n\
        swap = { maximum = 0 }\npids = { maximum = 64 }\ncpu-percent = { maximum = 50 }\n";
    let bundle = Bundle::new().args(&["sleep", "1000"]).profile(None);
    let profile = bundle.temp().join("tight.toml");
    fs::write(&profile, text).unwrap();
    let flags = ["--profile", profile.to_str().unwrap()];
    bundle.launch("create", &flags).output().ok();
    bundle.start().ok();
    fs::remove_file(&profile).unwrap();
    bundle
}

#[test]
fn update_stays_within_the_maxima_of_the_profile() {
    if is_foreign() {
        return;
    }
    let bundle = tight();
    for (flags, field, value, rule, maximum) in [
        (
            "--memory=128M",
            "memory.limit",
            "134217728",
            "memory",
            "67108864",
        ),
        (
            "--memory=-1",
            "memory.limit",
            "no limit",
            "memory",
            "67108864",
        ),
        (
            "--memory=32M --memory-swap=64M",
            "memory.swap",
            "33554432",
            "swap",
            "0",
        ),
        ("--memory-swap=-1", "memory.swap", "no limit", "swap", "0"),
        ("--pids-limit=65", "pids.limit", "65", "pids", "64"),
        ("--pids-limit=-1", "pids.limit", "no limit", "pids", "64"),
        ("--cpu-quota=60000", "cpu.quota", "60", "cpu-percent", "50"),
        (
            "--cpu-period=10000",
            "cpu.quota",
            "500",
            "cpu-percent",
            "50",
        ),
    ] {
        let flags: Vec<&str> = flags.split(' ').collect();
        let cause = format!(
            "{value} is refused by profile \"tight\" (limits.{rule}): its maximum is {maximum}"
        );
        let expected = format!("error: linux.resources.{field}: {cause}\n");
        assert_eq!(update(&bundle, &flags).error(), expected, "{flags:?}");
    }
    bundle.delete_by_force().ok();
}

#[test]
fn swap_that_the_profile_has_set_follows_the_memory() {
    if is_foreign() {
        return;
    }
    let bundle = tight();
    update(
        &bundle,
        &["--memory=32M", "--pids-limit=10", "--cpu-quota=10000"],
    )
    .ok();
    let files = files(&bundle);
    let memory = files
        .get("memory.limit_in_bytes")
        .or(files.get("memory.max"));
    assert_eq!(memory.unwrap(), "33554432");
    assert_eq!(files["pids.max"], "10");
    if let Some(both) = files.get("memory.memsw.limit_in_bytes") {
        assert_eq!(both, "33554432");
    }
    bundle.delete_by_force().ok();
    bundle.assert_clean();
}

#[test]
fn update_never_takes_away_a_limit_that_the_profile_gave() {
    if is_foreign() {
        return;
    }
    let bundle = Bundle::new().args(&["sleep", "1000"]);
    let bundle = start(bundle.profile(Some("baseline")));
    let limit = |bundle: &Bundle| {
        let files = files(bundle);
        let memory = files
            .get("memory.limit_in_bytes")
            .or(files.get("memory.max"));
        (memory.unwrap().clone(), files["pids.max"].clone())
    };
    let told = || {
        let state = bundle.state().json();
        let text = state["annotations"]["org.stockade.tightened"].clone();
        let told: serde_json::Value = serde_json::from_str(text.as_str().unwrap()).unwrap();
        let told = told.as_array().unwrap().clone().into_iter();
        let of_tasks = |one: &serde_json::Value| one["pointer"] == "/linux/resources/pids/limit";
        told.filter(of_tasks).collect::<Vec<_>>()
    };
    let given = limit(&bundle);
    assert_eq!(given.1, "1024");
    let record =
        json!({"pointer": "/linux/resources/pids/limit", "rule": "limits.pids", "after": 1024});
    assert_eq!(told(), [record]);

    // No limit is the one that was given.
    let output = update(&bundle, &["--pids-limit", "-1", "--memory", "-1"]);
    output.ok();
    let warning =
        "warning: linux.resources.pids.limit: -1 -> 1024: limits.pids of profile \"baseline\"\n";
    assert!(output.stderr.ends_with(warning), "{output:#?}");
    assert_eq!(limit(&bundle), given);
    let record = json!({"pointer": "/linux/resources/pids/limit", "rule": "limits.pids", "before": -1, "after": 1024});
    assert_eq!(told(), [record]);

    // A number is the caller's own, above the default too.
    let output = update(&bundle, &["--pids-limit", "4000", "--memory", "64M"]);
    output.ok();
    assert_eq!(output.stderr, "");
    assert_eq!(limit(&bundle), ((64 << 20).to_string(), "4000".to_owned()));
    assert!(told().is_empty());

    // And never cut by asking for none.
    update(&bundle, &["--pids-limit", "-1", "--memory", "-1"]).ok();
    assert_eq!(limit(&bundle), (given.0, "4000".to_owned()));
    bundle.delete_by_force().ok();
}

/// As a kubelet resizes a pod in place: everything in one document, a 0 where a value stays.
#[test]
fn a_resize_in_place_passes_the_strictest_profile() {
    if is_foreign() {
        return;
    }
    let bundle = Bundle::new()
        .no_mount("/sys")
        .no_mount("/sys/fs/cgroup")
        .args(&["sleep", "1000"])
        .set("/process/user", json!({"uid": 1000, "gid": 1000}));
    let bundle = start(bundle.profile(Some("restricted")));
    let resize = r#"{"memory":{"limit":1073741824,"swap":1073741824},
        "cpu":{"shares":2048,"quota":250000,"period":100000,"cpus":"","mems":""},"unified":{}}"#;
    let output = update_by(&bundle, resize);
    output.ok();
    assert_eq!(output.stderr, "");
    let found = files(&bundle);
    let memory = found
        .get("memory.limit_in_bytes")
        .or(found.get("memory.max"));
    assert_eq!(memory.unwrap(), "1073741824");
    let quota = found.get("cpu.cfs_quota_us").or(found.get("cpu.max"));
    assert_eq!(quota.unwrap().split(' ').next(), Some("250000"));
    assert_eq!(found["pids.max"], "256");
    // Without a limit of CPUs the kubelet sends -1; what holds stays.
    update_by(&bundle, r#"{"cpu":{"quota":-1,"period":100000}}"#).ok();
    assert_eq!(files(&bundle), found);
    bundle.delete_by_force().ok();
}
