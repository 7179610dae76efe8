//! What the specification leaves open is done in the way of runc under the profile `none`, and in ours under any other.
//! Where an installed runc can be asked it is the oracle. Not here: flags of bind mounts without runc (`confinement_mounts`).

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::cell::demanding_nothing;
use crate::harness::{Bundle, Call, Output, cgroups_named, installed, runtime, skip};

/// One bundle for each way: stockade's under `none`, runc's.
fn pair() -> Option<[(Bundle, PathBuf); 2]> {
    let Some(runc) = installed("runc") else {
        skip("runc is not installed");
        return None;
    };
    let theirs = Bundle::new().by(runc.clone());
    Some([(Bundle::new(), runtime()), (theirs, runc)])
}

/// A bundle under a profile that demands nothing.
fn in_our_way() -> Bundle {
    let bundle = Bundle::new();
    let file = demanding_nothing(&bundle);
    bundle.profile(file.to_str())
}

/// Runs the bundle by a runtime that is started in a mount namespace of its own, after `prelude`.
fn run_after(bundle: &Bundle, runtime: &Path, prelude: &str) -> Output {
    bundle.write();
    let is_ours = runtime.file_stem().is_some_and(|name| name != "runc");
    let profile: &[&str] = if is_ours { &["--profile", "none"] } else { &[] };
    let shell = format!("set -e; {prelude}; exec \"$@\"");
    Call::new("unshare", &bundle.temp().join("calls"))
        .args(["-m", "sh", "-c", &shell, "sh"])
        .arg(runtime)
        .arg("--root")
        .arg(bundle.state_dir())
        .args(profile)
        .args(["run", "--bundle"])
        .arg(bundle.path())
        .arg(bundle.id())
        .output()
}

#[test]
fn options_of_a_bind_mount_leave_the_flags_that_they_leave_under_runc() {
    let cases: [&[&str]; 9] = [
        &[],
        &["ro"],
        &["nosuid", "noexec"],
        &["ro", "exec"],
        &["ro", "rw", "nodev"],
        &["ro", "atime"],
        &["noatime"],
        &["relatime", "nosuid"],
        &["nodiratime"],
    ];
    for options in cases {
        let Some(pair) = pair() else { return };
        let seen = pair.map(|(bundle, runtime)| {
            let source = bundle.outside("source");
            let bundle = bundle.bind(&source, "/mnt", options);
            let bundle = bundle.shell("grep ' /mnt ' /proc/self/mounts | cut -d' ' -f4");
            let at = source.display();
            let flags = "ro,nosuid,nodev,noexec,noatime,nodiratime";
            let prelude = format!("mount -t tmpfs x {at}; mount -o remount,bind,{flags} {at}");
            run_after(&bundle, &runtime, &prelude).ok().to_owned()
        });
        let flags = |line: &str| -> Vec<String> {
            // The size of the tmpfs aside, which the kernel says after the flags.
            let words = line.trim().split(',').map(str::to_owned);
            words.filter(|word| !word.contains('=')).collect()
        };
        let [ours, theirs] = seen.map(|line| flags(&line));
        assert_eq!(ours, theirs, "{options:?}");
    }
}

#[test]
fn shared_root_filesystem_has_the_propagation_that_it_has_under_runc() {
    let Some(pair) = pair() else { return };
    let [ours, theirs] = pair.map(|(bundle, runtime)| {
        let bundle = bundle.set("/linux/rootfsPropagation", "shared").shell(
            "grep ' / / ' /proc/self/mountinfo | grep -oE '(shared|master|unbindable)' || true",
        );
        let tested = run_after(&bundle, &runtime, "mount --make-rshared /");
        tested.ok().to_owned()
    });
    assert_eq!(ours, theirs);
}

#[test]
fn destination_below_the_path_of_the_root_filesystem_is_inside_of_it_under_none_as_under_runc() {
    let Some([(ours, _), (theirs, _)]) = pair() else {
        return;
    };
    let script = |bundle: &Bundle| {
        let long = bundle.rootfs().join("place/file");
        let long = long.display().to_string();
        format!("cat /place/file 2>&1; cat {long} 2>&1; true").replace(&long, "\"$LONG\"")
    };
    let run = |bundle: Bundle| {
        let source = bundle.outside("source");
        fs::write(source.join("file"), "found\n").unwrap();
        let place = bundle.rootfs().join("place");
        fs::create_dir(&place).unwrap();
        let long = format!("LONG={}", place.join("file").display());
        let script = script(&bundle);
        let bundle = bundle
            .set("/process/env/-", long.clone())
            .bind(&source, place.to_str().unwrap(), &[])
            .shell(&script);
        let output = bundle.run();
        bundle.assert_clean();
        output
            .ok()
            .replace(long.trim_start_matches("LONG="), "LONG")
    };
    let [ours, theirs] = [ours, theirs].map(run);
    assert!(ours.starts_with("found\n"), "{ours}");
    assert_eq!(ours, theirs);
    assert!(run(in_our_way()).ends_with("\nfound\n"));
}

#[test]
fn cgroup_without_a_path_is_called_by_the_id_under_none_as_under_runc() {
    let Some([(ours, _), (theirs, _)]) = pair() else {
        return;
    };
    let names = |bundle: Bundle| {
        bundle.create().ok();
        let name = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.replace(bundle.id(), "ID")
        };
        let mut names: Vec<String> = cgroups_named(bundle.id()).iter().map(name).collect();
        names.dedup();
        bundle.delete_by_force().ok();
        bundle.assert_clean();
        names
    };
    assert_eq!(names(ours), ["ID"]);
    assert_eq!(names(theirs), ["ID"]);
    assert_eq!(names(in_our_way()), ["stockade-ID"]);
}

#[test]
fn cgroup_of_others_by_the_id_of_a_container_is_refused_and_left_alone() {
    let bundle = Bundle::new();
    bundle.create().ok();
    let places = cgroups_named(bundle.id());
    bundle.delete_by_force().ok();
    let below = places[0].join("below");
    fs::create_dir_all(&below).unwrap();
    bundle.create().refused(&[
        "linux.cgroupsPath: container's cgroup is not empty: there are cgroups below",
        "try: choose another id",
    ]);
    assert_eq!(
        cgroups_named(bundle.id()),
        [places[0].clone(), below.clone()]
    );
    fs::remove_dir(below).unwrap();
    fs::remove_dir(&places[0]).unwrap();
    bundle.assert_clean();
}

#[test]
fn relative_read_only_path_is_taken_from_the_root_as_under_runc() {
    let Some([(ours, _), (theirs, _)]) = pair() else {
        return;
    };
    let [ours, theirs] = [ours, theirs].map(|bundle| {
        fs::create_dir(bundle.rootfs().join("data")).unwrap();
        let bundle = bundle
            .set("/linux/readonlyPaths", json!(["data", "missing"]))
            .shell("touch /data/x 2>&1; touch /y; ls /data");
        bundle.run().ok().to_owned()
    });
    assert_eq!(ours, "touch: /data/x: Read-only file system\n");
    assert_eq!(ours, theirs);
}

#[test]
fn filter_without_flags_leaves_speculation_alone_under_none_only() {
    let filter = json!({"defaultAction": "SCMP_ACT_ALLOW"});
    let empty = json!({"defaultAction": "SCMP_ACT_ALLOW", "flags": []});
    for (bundle, filter, flags) in [
        (Bundle::new(), &filter, 4),
        (Bundle::new(), &empty, 0),
        (in_our_way(), &filter, 0),
    ] {
        let bundle = bundle.set("/linux/seccomp", filter.clone());
        bundle.write();
        let call = bundle.call(&["--debug", "run", "--bundle"]);
        let output = call.arg(bundle.path()).arg(bundle.id()).output();
        let line = format!("seccomp filter flags: {flags}\"");
        assert!(output.stderr.contains(&line), "{line}: {}", output.stderr);
    }
}
