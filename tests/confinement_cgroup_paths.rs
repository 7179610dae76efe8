//! `linux.cgroupsPath`: where a container's cgroup is, and whose it is when others come to the same place.
//! Not here: the limits in it (`confinement_cgroups`).

use std::fs;

use serde_json::{Value, json};

use crate::cell::Cell;
use crate::harness::{Bundle, cgroups_named};

#[test]
fn cgroups_path_is_where_the_container_is() {
    let mut cell = Cell::new();
    let path = format!("parent-{}/leaf", cell.bundle.id());
    cell = cell.set("/linux/cgroupsPath", json!(path));
    cell.bundle.config["process"]["args"] = json!(["/bin/true"]);
    cell.bundle.create().ok();
    let pid = cell.bundle.pid();
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    assert!(text.lines().any(|line| line.ends_with(&path)), "{text}");
    cell.bundle.delete_by_force().ok();
    // The parent was made for this container alone, but it is the caller's to remove.
    for group in cgroups_named(cell.bundle.id()).iter().rev() {
        fs::remove_dir(group).unwrap();
    }
}

#[test]
fn cgroups_path_that_holds_processes_is_refused_and_they_live_on() {
    let mut first = Cell::new();
    let path = format!("shared-{}", first.bundle.id());
    first = first.set("/linux/cgroupsPath", json!(path));
    first.bundle.config["process"]["args"] = json!(["/bin/sleep", "60"]);
    first.bundle.create().ok();
    first.bundle.start().ok();
    let mut second = Cell::new().set("/linux/cgroupsPath", json!(path));
    second.sh("echo ran").refused(&["linux.cgroupsPath"]);
    let mut above = Cell::new().set("/linux/cgroupsPath", json!(format!("{path}/below/..")));
    above.sh("echo ran").refused(&["linux.cgroupsPath"]);
    assert_eq!(first.bundle.status(), "running");
    first.bundle.kill("KILL").ok();
    first.bundle.becomes("stopped");
    // It is still the first one's to remove, with all that is in it then.
    let state = first.bundle.state_dir();
    second.bundle.write();
    let call = first.bundle.call(&["run", "--bundle"]);
    let out = call.arg(second.bundle.path()).arg("other").output();
    out.refused(&["linux.cgroupsPath", first.bundle.id()]);
    assert!(!state.join("other").exists());
    first.bundle.delete().ok();
}

/// Two bundles of different state directories whose containers have one cgroup.
fn of_one_path() -> (Bundle, Bundle) {
    let first = Bundle::new();
    let path = format!("/two-roots-{}", first.id());
    let of = |bundle: Bundle| {
        let bundle = bundle.args(&["/bin/sleep", "60"]);
        bundle.set("/linux/cgroupsPath", path.as_str())
    };
    (of(first), of(Bundle::new()))
}

/// Creates and starts a container and ends it, not deleted.
fn end(bundle: &Bundle) {
    bundle.create().ok();
    bundle.start().ok();
    bundle.kill("KILL").ok();
    bundle.becomes("stopped");
}

#[test]
fn cgroup_of_a_stopped_container_is_refused_to_another_state_directory() {
    if crate::harness::is_foreign() {
        return;
    }
    let (first, second) = of_one_path();
    end(&first);
    let root = first.state_dir().display().to_string();
    let cause = format!(
        "linux.cgroupsPath: it is the cgroup of container \"{}\", --root \"{root}\"",
        first.id()
    );
    let said = ["try: choose another, or delete that container first"];
    second.create().refused(&[&cause, said[0]]);
    first.delete().ok();
    second.create().ok();
    second.delete_by_force().ok();
    assert!(cgroups_named(first.id()).is_empty());
}

#[test]
fn processes_of_another_container_at_the_same_path_outlive_a_deletion() {
    if crate::harness::is_foreign() {
        return;
    }
    for verbs in [
        [["kill", "--all"].as_slice(), ["delete"].as_slice()],
        [["kill"].as_slice(), ["delete", "--force"].as_slice()],
    ] {
        let (first, second) = of_one_path();
        end(&first);
        // Somebody tidies up, and the name is free again.
        for group in cgroups_named(first.id()) {
            fs::remove_dir(group).unwrap();
        }
        second.create().ok();
        second.start().ok();
        for verb in verbs {
            let call = first.call(verb).arg(first.id());
            // Of a stopped container, kill says that there is nothing to kill.
            let signal = ["KILL"].iter().filter(|_| verb[0] == "kill");
            drop(call.args(signal).output());
        }
        assert!(!first.state_dir().join(first.id()).exists());
        assert_eq!(second.status(), "running");
        assert!(!cgroups_named(first.id()).is_empty());
        second.delete_by_force().ok();
        assert!(cgroups_named(first.id()).is_empty());
    }
}

#[test]
fn cgroup_that_has_lost_its_container_is_taken_away_and_made_anew() {
    if crate::harness::is_foreign() {
        return;
    }
    let (first, second) = of_one_path();
    end(&first);
    let inode = |bundle: &Bundle| {
        use std::os::unix::fs::MetadataExt;
        fs::metadata(&cgroups_named(bundle.id())[0]).unwrap().ino()
    };
    let before = inode(&first);
    fs::remove_dir_all(first.state_dir().join(first.id())).unwrap();
    second.create().ok();
    assert_ne!(inode(&first), before);
    second.delete_by_force().ok();
}

#[test]
fn empty_cgroup_that_no_container_has_made_is_taken_as_it_is() {
    if crate::harness::is_foreign() {
        return;
    }
    let (first, second) = of_one_path();
    first.create().ok();
    let groups = cgroups_named(first.id());
    first.delete_by_force().ok();
    let pids = groups
        .iter()
        .find(|group| group.starts_with("/sys/fs/cgroup/pids"));
    let Some(pids) = pids else {
        return crate::harness::skip("no v1 pids hierarchy");
    };
    fs::create_dir(pids).unwrap();
    fs::write(pids.join("pids.max"), "77").unwrap();
    second.create().ok();
    assert_eq!(fs::read_to_string(pids.join("pids.max")).unwrap(), "77\n");
    second.delete_by_force().ok();
}

/// Changes the record of the cgroup in both files of a container's state.
fn edit_record(bundle: &Bundle, change: impl Fn(&mut Value)) {
    for name in ["state.json", "remains.json"] {
        let path = bundle.state_dir().join(bundle.id()).join(name);
        let mut state: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        change(&mut state["cgroup"]);
        fs::write(&path, state.to_string()).unwrap();
    }
}

#[test]
fn container_of_an_earlier_boot_is_deleted_and_what_is_in_its_place_is_left_alone() {
    if crate::harness::is_foreign() {
        return;
    }
    let bundle = Bundle::new().args(&["/bin/sleep", "60"]);
    end(&bundle);
    edit_record(&bundle, |cgroup| {
        cgroup["mark"]["made"]["boot"] = json!("another");
    });
    let groups = cgroups_named(bundle.id());
    let delete = bundle.delete();
    delete.ok();
    assert!(
        delete
            .stderr
            .contains("is not the container's, and is left alone"),
        "{delete:?}"
    );
    assert_eq!(cgroups_named(bundle.id()), groups);
    for group in groups {
        fs::remove_dir(group).unwrap();
    }
}

#[test]
fn container_of_a_version_without_marks_is_known_by_its_first_process() {
    if crate::harness::is_foreign() {
        return;
    }
    let forget = |cgroup: &mut Value| drop(cgroup.as_object_mut().unwrap().remove("mark"));
    let bundle = Bundle::new().args(&["/bin/sleep", "60"]);
    bundle.create().ok();
    bundle.start().ok();
    edit_record(&bundle, forget);
    bundle.call(&["pause", bundle.id()]).output().ok();
    bundle.call(&["resume", bundle.id()]).output().ok();
    bundle.delete_by_force().ok();
    assert!(cgroups_named(bundle.id()).is_empty());
    let (first, second) = of_one_path();
    end(&first);
    edit_record(&first, forget);
    for group in cgroups_named(first.id()) {
        fs::remove_dir(group).unwrap();
    }
    second.create().ok();
    first.delete_by_force().ok();
    assert_eq!(second.status(), "created");
    second.delete_by_force().ok();
}

#[test]
fn cgroups_path_that_climbs_is_refused_or_stays_below() {
    let mut cell = Cell::new();
    let path = format!("../../../../{}", cell.bundle.id());
    cell = cell.set("/linux/cgroupsPath", json!(path));
    let out = cell.sh("echo ran");
    if out.code != 0 {
        out.refused(&["linux.cgroupsPath"]);
    }
}
