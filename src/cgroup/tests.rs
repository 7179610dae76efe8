//! The cgroup module against this machine's kernel, as root, below this process's own cgroups.
//! Without root or without a v1 memory hierarchy each test prints why it is skipped. v2 alone needs another machine.

use std::fs;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::location::Group;
use super::*;
use crate::spec::{DeviceRule, Resources};

fn layout() -> Option<Layout> {
    let layout = Layout::discover().unwrap();
    if !rustix::process::geteuid().is_root() {
        println!("skipped: not root");
        return None;
    }
    if layout.holds("memory").is_none_or(|hierarchy| hierarchy.v2) {
        println!("skipped: no v1 memory hierarchy");
        return None;
    }
    Some(layout)
}

fn place(layout: &Layout, name: &str) -> Location {
    let id = format!("{name}-{}", std::process::id());
    location(layout, Some(&format!("stockade-test-{id}")), &id).unwrap()
}

fn resources(text: &str) -> Resources {
    serde_json::from_str(text).unwrap()
}

fn directories(location: &Location) -> Vec<std::path::PathBuf> {
    location.groups.iter().map(Group::directory).collect()
}

fn leftovers(location: &Location) -> Vec<std::path::PathBuf> {
    directories(location)
        .into_iter()
        .filter(|path| path.exists())
        .collect()
}

/// A shell that enters every hierarchy by itself, says so, and becomes `command`.
fn enter(location: &Location, command: &str) -> Child {
    use std::io::Read;
    let mut script = String::new();
    for group in &location.groups {
        let file = if group.v2 { "cgroup.procs" } else { "tasks" };
        script += &format!("echo 0 > '{}' && ", group.directory().join(file).display());
    }
    script += &format!("echo in && exec {command}");
    let mut child = Command::new("/bin/sh")
        .args(["-c", &script])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = [0u8; 3];
    child
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut said)
        .unwrap();
    child
}

#[test]
fn limits_are_written_read_back_and_removed() {
    let Some(layout) = layout() else { return };
    let place = place(&layout, "limits");
    let wanted = resources(
        r#"{"memory":{"limit":67108865,"swap":134217728,"reservation":33554432,"swappiness":10},
            "cpu":{"shares":512,"quota":50000,"period":100000,"burst":10000,"cpus":"0","mems":"0"},
            "pids":{"limit":64}}"#,
    );
    let writes = settings(&layout, &wanted).unwrap();
    let cgroup = Cgroup::create(&place, &writes, &device_rules(&[], &[])).unwrap();
    cgroup.verify(&writes).unwrap();
    assert_eq!(
        cgroup.task_files().unwrap().len(),
        place.groups.iter().filter(|g| !g.v2).count()
    );
    assert_eq!(
        cgroup.directory().unwrap().is_some(),
        layout.unified().is_some()
    );
    assert_eq!(cgroup.paths()["memory"], layout_path(&place, "memory"));

    let mut wrong = writes.clone();
    wrong
        .iter_mut()
        .find(|write| write.file == "pids.max")
        .unwrap()
        .value = "65".into();
    assert_eq!(
        cgroup.verify(&wrong).unwrap_err().to_string(),
        "linux.resources.pids.limit: pids.max reads \"64\" after \"65\""
    );
    cgroup.remove().unwrap();
    assert!(leftovers(&place).is_empty());
    cgroup.remove().unwrap();
    assert!(
        Cgroup::open(&place)
            .unwrap()
            .processes()
            .unwrap()
            .is_empty()
    );
}

fn layout_path(place: &Location, controller: &str) -> String {
    let group = place
        .groups
        .iter()
        .find(|group| group.controllers.iter().any(|c| c == controller));
    group.unwrap().directory().to_string_lossy().into_owned()
}

#[test]
fn limits_can_be_raised_and_lowered_across_each_other() {
    let Some(layout) = layout() else { return };
    let place = place(&layout, "order");
    let cgroup = Cgroup::create(&place, &[], &[]).unwrap();
    for limits in [
        r#"{"memory":{"limit":33554432,"swap":33554432},"cpu":{"quota":50000,"period":100000}}"#,
        r#"{"memory":{"limit":67108864,"swap":67108864},"cpu":{"quota":2000,"period":4000}}"#,
        r#"{"memory":{"limit":16777216,"swap":16777216},"cpu":{"quota":500000,"period":1000000}}"#,
        r#"{"memory":{"limit":-1}}"#,
    ] {
        let writes = settings(&layout, &resources(limits)).unwrap();
        cgroup.apply(&writes).unwrap();
        cgroup.verify(&writes).unwrap();
    }
    cgroup.remove().unwrap();
}

#[test]
fn killing_reaches_nested_groups_and_removal_waits() {
    let Some(layout) = layout() else { return };
    let place = place(&layout, "kill");
    let cgroup = Cgroup::create(&place, &[], &[]).unwrap();
    let mut nested = place.clone();
    for group in &mut nested.groups {
        group.path += "/a/b";
    }
    let inner = Cgroup::create(&nested, &[], &[]).unwrap();
    assert!(inner.location().made.iter().all(|path| path.ends_with("a")));
    let mut children = [enter(&place, "sleep 60"), enter(&nested, "sleep 60")];
    let mut pids: Vec<i32> = children
        .iter()
        .map(|child| child.id().cast_signed())
        .collect();
    pids.sort_unstable();
    assert_eq!(cgroup.processes().unwrap(), pids);
    assert_eq!(inner.processes().unwrap(), [children[1].id().cast_signed()]);

    cgroup.kill().unwrap();
    cgroup.remove().unwrap();
    assert!(leftovers(&place).is_empty());
    for child in &mut children {
        let status = child.wait().unwrap();
        assert_eq!(
            std::os::unix::process::ExitStatusExt::signal(&status),
            Some(9)
        );
    }
}

#[test]
fn frozen_processes_are_killed_too_by_v1_alone() {
    let Some(layout) = layout() else { return };
    let mut place = place(&layout, "v1");
    place.groups.retain(|group| !group.v2);
    let cgroup = Cgroup::create(&place, &[], &[]).unwrap();
    assert!(cgroup.directory().unwrap().is_none());
    let mut child = enter(&place, "sleep 60");
    assert!(!cgroup.is_frozen().unwrap());
    cgroup.freeze().unwrap();
    assert!(cgroup.is_frozen().unwrap());
    cgroup.kill().unwrap();
    assert!(!cgroup.is_frozen().unwrap());
    cgroup.remove().unwrap();
    assert!(!child.wait().unwrap().success());
}

#[test]
fn freezing_stops_and_thawing_continues() {
    let Some(layout) = layout() else { return };
    let place = place(&layout, "freeze");
    let cgroup = Cgroup::create(&place, &[], &[]).unwrap();
    let mut child = enter(&place, "sleep 60");
    cgroup.freeze().unwrap();
    assert!(cgroup.is_frozen().unwrap());
    assert!(Cgroup::create(&place, &[], &[]).is_err());
    cgroup.thaw().unwrap();
    assert!(!cgroup.is_frozen().unwrap());
    cgroup.freeze().unwrap();
    cgroup.kill().unwrap();
    cgroup.remove().unwrap();
    assert!(!child.wait().unwrap().success());
}

#[test]
fn cgroup_with_processes_is_refused_and_kept() {
    let Some(layout) = layout() else { return };
    let place = place(&layout, "taken");
    let cgroup = Cgroup::create(&place, &[], &[]).unwrap();
    let mut child = enter(&place, "sleep 60");
    let error = Cgroup::create(&place, &[], &[]).unwrap_err().to_string();
    let cause = "linux.cgroupsPath: container's cgroup is not empty: 1 process(es) in ";
    assert!(error.starts_with(cause), "{error}");
    assert_eq!(cgroup.processes().unwrap().len(), 1);
    cgroup.kill().unwrap();
    cgroup.remove().unwrap();
    child.wait().unwrap();
}

#[test]
fn failed_limit_names_its_field_and_leaves_nothing() {
    let Some(layout) = layout() else { return };
    let mut place = place(&layout, "failed");
    for group in &mut place.groups {
        group.path += "/deeper/still";
    }
    let writes = settings(&layout, &resources(r#"{"cpu":{"cpus":"4000"}}"#)).unwrap();
    let error = Cgroup::create(&place, &writes, &[])
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("linux.resources.cpu.cpus: write \"4000\" to "),
        "{error}"
    );
    let tops = place.groups.iter().map(|group| {
        let path = group.path.strip_suffix("/deeper/still").unwrap();
        group.mountpoint.join(path)
    });
    assert!(tops.clone().all(|path| !path.exists()));

    let file = "cpu.no_such_file";
    let absent = Write {
        file: file.into(),
        ..settings_of_pids(&layout)
    };
    let error = Cgroup::create(&place, &[absent], &[])
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("linux.resources.pids.limit: this kernel has no "),
        "{error}"
    );
    assert!(tops.clone().all(|path| !path.exists()));

    let cgroup = Cgroup::create(&place, &[], &[]).unwrap();
    cgroup.remove().unwrap();
    assert!(tops.clone().all(|path| !path.exists()));
}

fn settings_of_pids(layout: &Layout) -> Write {
    settings(layout, &resources(r#"{"pids":{"limit":5}}"#))
        .unwrap()
        .remove(0)
}

#[test]
fn memory_limit_kills_and_is_reported() {
    let Some(layout) = layout() else { return };
    let place = place(&layout, "oom");
    let limit = resources(r#"{"memory":{"limit":8388608,"swap":8388608}}"#);
    let writes = settings(&layout, &limit).unwrap();
    let cgroup = Cgroup::create(&place, &writes, &[]).unwrap();
    assert!(!cgroup.oom_killed().unwrap());
    let mut child = enter(
        &place,
        "dd if=/dev/zero of=/dev/null bs=64M count=1 status=none",
    );
    assert!(!child.wait().unwrap().success());
    assert!(cgroup.oom_killed().unwrap());
    cgroup.remove().unwrap();
}

/// Opens a device in the cgroup; `/dev/mem` needs no data to be read.
fn can_open(place: &Location, device: &str) -> bool {
    enter(place, &format!("/bin/sh -c ': < {device}'"))
        .wait()
        .unwrap()
        .success()
}

#[test]
fn devices_are_denied_by_the_v1_list() {
    let Some(layout) = layout().filter(|layout| layout.holds("devices").is_some()) else {
        return;
    };
    devices_are_denied(&place(&layout, "devices"));
}

#[test]
fn devices_are_denied_by_the_v2_program() {
    let Some(layout) = layout().filter(|layout| layout.unified().is_some()) else {
        return;
    };
    let mut place = place(&layout, "program");
    place.groups.retain(|group| group.v2);
    devices_are_denied(&place);
}

fn devices_are_denied(place: &Location) {
    let node = std::env::temp_dir().join(format!("stockade-node-{}", place.groups.len()));
    fs::remove_file(&node).ok();
    // The kernel's message buffer: there on every machine, and no default rule allows it.
    let made = Command::new("mknod")
        .arg(&node)
        .args(["c", "1", "11"])
        .status()
        .unwrap();
    assert!(made.success());
    let shown = node.to_str().unwrap();
    let cgroup = Cgroup::create(place, &[], &device_rules(&[], &[])).unwrap();
    assert!(can_open(place, "/dev/null"));
    assert!(!can_open(place, shown));
    cgroup.remove().unwrap();

    let kmsg = DeviceRule {
        allow: true,
        kind: Some("c".into()),
        major: Some(1),
        minor: Some(11),
        access: Some("r".into()),
    };
    let cgroup = Cgroup::create(place, &[], &device_rules(&[kmsg], &[])).unwrap();
    assert!(can_open(place, shown));
    cgroup.remove().unwrap();
    fs::remove_file(&node).unwrap();
}

#[test]
fn device_program_is_replaced_by_one_program() {
    let Some(layout) = layout().filter(|layout| layout.unified().is_some()) else {
        return;
    };
    let mut place = place(&layout, "replace");
    place.groups.retain(|group| group.v2);
    let first = Cgroup::create(&place, &[], &device_rules(&[], &[])).unwrap();
    let again = Cgroup::create(&place, &[], &device_rules(&[], &[])).unwrap();
    let directory = again.directory().unwrap().unwrap();
    let programs = crate::sys::bpf::device_programs(directory.as_fd()).unwrap();
    assert_eq!(programs.len(), 1);
    first.remove().unwrap();
}

#[test]
fn hybrid_hosts_take_v2_limits_where_v2_has_the_controller() {
    let Some(layout) = layout() else { return };
    let Some(unified) = layout.holds("hugetlb").filter(|hierarchy| hierarchy.v2) else {
        return println!("skipped: no v2 hugetlb controller");
    };
    let there = fs::read_to_string(unified.mountpoint.join("cgroup.subtree_control")).unwrap();
    if !there.contains("hugetlb") {
        return println!("skipped: the host has not enabled hugetlb");
    }
    let place = place(&layout, "hugetlb");
    let wanted = resources(
        r#"{"hugepageLimits":[{"pageSize":"2MB","limit":5000000}],"unified":{"hugetlb.1GB.max":"0"}}"#,
    );
    let writes = settings(&layout, &wanted).unwrap();
    let cgroup = Cgroup::create(&place, &writes, &[]).unwrap();
    cgroup.verify(&writes).unwrap();
    cgroup.give_to(1000).unwrap();
    cgroup.remove().unwrap();

    let foreign = resources(r#"{"hugepageLimits":[{"pageSize":"3MB","limit":5000000}]}"#);
    let writes = settings(&layout, &foreign).unwrap();
    let error = Cgroup::create(&place, &writes, &[])
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("linux.resources.hugepageLimits[0]: this kernel has no "),
        "{error}"
    );
    assert!(leftovers(&place).is_empty());
}

/// Oracle: the same limits written by another implementation into a sibling read the same.
#[test]
fn limits_read_as_those_of_another_implementation() {
    use cgroups_rs::fs::{MaxValue, cpu::CpuController, memory::MemController, pid::PidController};
    let Some(layout) = layout() else { return };
    let place = place(&layout, "oracle");
    let limits = r#"{"memory":{"limit":67108864},"cpu":{"shares":512,"quota":50000,"period":100000},
        "pids":{"limit":64}}"#;
    let writes = settings(&layout, &resources(limits)).unwrap();
    let ours = Cgroup::create(&place, &writes, &[]).unwrap();
    let mut other = place.clone();
    other
        .groups
        .iter_mut()
        .for_each(|group| group.path += "-theirs");
    let theirs = Cgroup::create(&other, &[], &[]).unwrap();

    let at = |controller: &str| std::path::PathBuf::from(layout_path(&other, controller));
    let root = std::path::PathBuf::from("/sys/fs/cgroup");
    MemController::new(at("memory"), root.clone(), false)
        .set_limit(67_108_864)
        .unwrap();
    let cpu = CpuController::new(at("cpu"), root.clone(), false);
    cpu.set_shares(512).unwrap();
    cpu.set_cfs_quota_and_period(Some(50_000), Some(100_000))
        .unwrap();
    PidController::new(at("pids"), root, false)
        .set_pid_max(MaxValue::Value(64))
        .unwrap();

    theirs.verify(&writes).unwrap();
    for write in &writes {
        let read = |place: &Location| {
            fs::read_to_string(Path::new(&layout_path(place, &write.controller)).join(&write.file))
                .unwrap()
        };
        assert_eq!(read(&place), read(&other), "{write}");
    }
    theirs.remove().unwrap();
    ours.remove().unwrap();
}
