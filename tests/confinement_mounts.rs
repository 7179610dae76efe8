//! Mounts, their options, the root and what is masked in it, as mountinfo shows them inside.
//! Not here: hostile mount points (`escape_paths`) and devices (`confinement_devices`).

use std::fs;

use serde_json::json;

use crate::cell::Cell;
use crate::harness::{Bundle, skip};

/// One line of mountinfo (proc_pid_mountinfo(5)): options of the mount, its propagation, options of the filesystem.
#[derive(Debug)]
struct Line {
    options: Vec<String>,
    propagation: String,
    data: Vec<String>,
}

impl Line {
    /// The last mount on this point.
    #[track_caller]
    fn of(mountinfo: &str, point: &str) -> Self {
        let line = mountinfo
            .lines()
            .rfind(|line| line.split(' ').nth(4) == Some(point))
            .unwrap_or_else(|| panic!("no mount on {point} in {mountinfo}"));
        let (mount, filesystem) = line.split_once(" - ").unwrap();
        let words: Vec<&str> = mount.split(' ').collect();
        let list = |text: &str| text.split(',').map(str::to_owned).collect();
        Self {
            options: list(words[5]),
            propagation: words[6..].join(" "),
            data: list(filesystem.rsplit(' ').next().unwrap()),
        }
    }

    fn has(&self, option: &str) -> bool {
        self.options.iter().any(|found| found == option)
    }
}

/// Every pair is a list of options, and those that the mount has or (with `!`) has not.
const FLAGS: [(&str, &str); 28] = [
    ("ro", "ro"),
    ("rw", "rw"),
    ("ro,rw", "rw"),
    ("nosuid", "nosuid"),
    ("nosuid,suid", "!nosuid"),
    ("nodev", "nodev"),
    ("nodev,dev", "!nodev"),
    ("noexec", "noexec"),
    ("noexec,exec", "!noexec"),
    ("noatime", "noatime"),
    ("noatime,atime", "!noatime"),
    ("nodiratime", "nodiratime"),
    ("nodiratime,diratime", "!nodiratime"),
    ("relatime", "relatime"),
    ("strictatime", "!relatime"),
    ("strictatime", "!noatime"),
    ("strictatime,nostrictatime", "relatime"),
    ("nosymfollow", "nosymfollow"),
    ("nosymfollow,symfollow", "!nosymfollow"),
    ("defaults", "rw"),
    ("noiversion", "rw"),
    ("nolazytime", "rw"),
    ("silent", "rw"),
    ("loud", "rw"),
    ("async", "rw"),
    ("nomand", "rw"),
    ("norelatime", "rw"),
    ("nodiratime,norelatime", "nodiratime"),
];

#[test]
fn mount_flag_options_reach_the_kernel() {
    let mut cell = Cell::new();
    for (number, (options, _)) in FLAGS.iter().enumerate() {
        let options: Vec<&str> = options.split(',').collect();
        cell = cell.mount(
            json!({"destination": format!("/mnt/{number}"), "type": "tmpfs",
            "source": "tmpfs", "options": options}),
        );
    }
    let out = cell.sh("cat /proc/self/mountinfo");
    for (number, (options, expected)) in FLAGS.iter().enumerate() {
        let line = Line::of(out.ok(), &format!("/mnt/{number}"));
        match expected.strip_prefix('!') {
            Some(absent) => assert!(!line.has(absent), "{options}: {line:?}"),
            None => assert!(line.has(expected), "{options}: {line:?}"),
        }
    }
}

#[test]
fn mount_options_of_the_filesystem_reach_the_kernel() {
    for option in ["sync", "dirsync", "lazytime"] {
        let mut cell = Cell::new().mount(json!({"destination": "/mnt/a", "type": "tmpfs",
            "source": "tmpfs", "options": [option]}));
        let out = cell.sh("cat /proc/self/mountinfo");
        let line = Line::of(out.ok(), "/mnt/a");
        assert!(
            line.data.iter().any(|found| found == option),
            "{option}: {line:?}"
        );
    }
}

#[test]
fn mount_data_reaches_the_filesystem() {
    let mut cell = Cell::new().mount(json!({"destination": "/mnt/a", "type": "tmpfs",
        "source": "tmpfs", "options": ["size=1m", "mode=1770", "nr_inodes=100"]}));
    let out = cell.sh("cat /proc/self/mountinfo");
    let line = Line::of(out.ok(), "/mnt/a");
    for option in ["size=1024k", "mode=1770", "nr_inodes=100"] {
        assert!(
            line.data.iter().any(|found| found == option),
            "{option}: {line:?}"
        );
    }
}

#[test]
fn mount_option_that_no_filesystem_knows_is_refused() {
    let mut cell = Cell::new().mount(json!({"destination": "/mnt/a", "type": "tmpfs",
        "source": "tmpfs", "options": ["sizee=1m"]}));
    cell.sh("true").refused(&["sizee"]);
}

#[test]
fn mount_of_an_unknown_filesystem_is_refused() {
    let mut cell = Cell::new().mount(json!({"destination": "/mnt/a", "type": "nosuchfs",
        "source": "x"}));
    cell.sh("true").refused(&["nosuchfs", "/mnt/a"]);
}

#[test]
fn bind_mount_shows_its_source() {
    let mut cell = Cell::new();
    let source = cell.target();
    cell = cell
        .mount(
            json!({"destination": "/mnt/dir", "type": "bind", "source": source,
            "options": ["bind", "ro", "nosuid", "nodev", "noexec"]}),
        )
        .mount(
            json!({"destination": "/mnt/file", "source": source.join("canary"),
            "options": ["bind"]}),
        );
    let out = cell.sh("cat /mnt/dir/canary /mnt/file; touch /mnt/dir/x 2>/dev/null || echo; cat /proc/self/mountinfo");
    assert!(out.ok().starts_with("untoucheduntouched\n"), "{out:#?}");
    let line = Line::of(out.ok(), "/mnt/dir");
    for flag in ["ro", "nosuid", "nodev", "noexec"] {
        assert!(line.has(flag), "{flag}: {line:?}");
    }
}

#[test]
fn bind_mount_source_may_be_relative_to_the_bundle() {
    let mut cell = Cell::new();
    fs::create_dir(cell.bundle.path().join("beside")).unwrap();
    fs::write(cell.bundle.path().join("beside/file"), "beside").unwrap();
    cell = cell.mount(
        json!({"destination": "/mnt/a", "type": "bind", "source": "beside",
        "options": ["bind"]}),
    );
    assert_eq!(cell.sh("cat /mnt/a/file").ok(), "beside");
}

/// A directory with a second filesystem mounted in it, both made by the prelude.
fn tree(cell: &Cell, options: &str) -> (std::path::PathBuf, String) {
    let tree = cell.bundle.outside("tree");
    let at = tree.display();
    let prelude = format!(
        "mount -t tmpfs -o {options} top {at}; mount -o remount,rw {at}; mkdir {at}/sub; \
         mount -t tmpfs -o {options} sub {at}/sub; mount -o remount,{options} {at}"
    );
    (tree, prelude)
}

#[test]
fn bind_mount_keeps_the_flags_of_the_host_but_those_that_an_option_takes_off_unless_under_none() {
    const HOST: [&str; 4] = ["ro", "nosuid", "nodev", "noexec"];
    // With what is left in our way, and in runc's.
    let cases: [(&[&str], &[&str], &[&str]); 4] = [
        (&["rbind"], &HOST, &HOST),
        (&["rbind", "ro"], &HOST, &["ro"]),
        (&["rbind", "exec"], &["ro", "nosuid", "nodev"], &[]),
        (&["rbind", "rw", "suid", "dev", "exec"], &[], &[]),
    ];
    for (options, ours, runcs) in cases {
        for (cell, left) in [(Cell::new().in_our_way(), ours), (Cell::new(), runcs)] {
            let (tree, prelude) = tree(&cell, &HOST.join(","));
            let mut cell = cell.mount(json!({"destination": "/mnt/a", "type": "bind",
                "source": tree, "options": options}));
            let out = cell.sh_after(&prelude, "cat /proc/self/mountinfo");
            let line = Line::of(out.ok(), "/mnt/a");
            let found: Vec<_> = HOST.into_iter().filter(|flag| line.has(flag)).collect();
            assert_eq!(found, left, "{options:?}");
        }
    }
}

#[test]
fn bind_mount_in_a_user_namespace_keeps_the_flags_that_are_locked() {
    const LOCKED: [&str; 4] = ["ro", "nosuid", "nodev", "noexec"];
    for option in ["ro", "nosuid", "symfollow"] {
        let bundle = Bundle::new().no_mount("/sys").no_mount("/sys/fs/cgroup");
        let cell = Cell::of(bundle.user_namespace());
        let (tree, prelude) = tree(&cell, "ro,nosuid,nodev,noexec,nosymfollow");
        let mut cell = cell.mount(json!({"destination": "/mnt/a", "type": "bind",
            "source": tree, "options": ["rbind", option]}));
        let out = cell.sh_after(&prelude, "cat /proc/self/mountinfo");
        let line = Line::of(out.ok(), "/mnt/a");
        for flag in LOCKED {
            assert!(line.has(flag), "{option}: {line:?}");
        }
        assert!(!line.has("nosymfollow"), "{option}: {line:?}");
    }
}

#[test]
fn bind_mount_in_a_user_namespace_is_refused_where_it_would_take_a_flag_of_the_host_off() {
    let bundle = Bundle::new().no_mount("/sys").no_mount("/sys/fs/cgroup");
    let cell = Cell::of(bundle.user_namespace());
    let (tree, prelude) = tree(&cell, "noexec");
    let mut cell = cell.mount(json!({"destination": "/mnt/a", "type": "bind",
        "source": tree, "options": ["rbind", "exec"]}));
    cell.sh_after(&prelude, "true").refused(&[
        "on \"/mnt/a\": mount_setattr: operation not permitted (EPERM)",
        "in a user namespace the flags that a mount came with are locked",
    ]);
}

#[test]
fn recursive_mount_options_reach_submounts() {
    let cases = [
        ("rro", "ro"),
        ("rnosuid", "nosuid"),
        ("rnodev", "nodev"),
        ("rnoexec", "noexec"),
        ("rnoatime", "noatime"),
        ("rnodiratime", "nodiratime"),
        ("rnosymfollow", "nosymfollow"),
        ("rstrictatime", "!relatime"),
        ("rrelatime", "relatime"),
    ];
    for (option, expected) in cases {
        let cell = Cell::new();
        let (tree, prelude) = tree(&cell, "rw");
        let mut cell = cell.mount(json!({"destination": "/mnt/a", "type": "bind",
            "source": tree, "options": ["rbind", option]}));
        let out = cell.sh_after(&prelude, "cat /proc/self/mountinfo");
        for point in ["/mnt/a", "/mnt/a/sub"] {
            let line = Line::of(out.ok(), point);
            match expected.strip_prefix('!') {
                Some(absent) => assert!(!line.has(absent), "{option}: {line:?}"),
                None => assert!(line.has(expected), "{option}: {line:?}"),
            }
        }
    }
}

#[test]
fn recursive_mount_options_clear_the_flags_of_submounts() {
    let cases = [
        ("rrw", "ro"),
        ("rsuid", "nosuid"),
        ("rdev", "nodev"),
        ("rexec", "noexec"),
        ("ratime", "noatime"),
        ("rdiratime", "nodiratime"),
        ("rsymfollow", "nosymfollow"),
    ];
    for (option, absent) in cases {
        let cell = Cell::new();
        let (tree, prelude) = tree(&cell, absent);
        let mut cell = cell.mount(json!({"destination": "/mnt/a", "type": "bind",
            "source": tree, "options": ["rbind", option]}));
        let out = cell.sh_after(&prelude, "cat /proc/self/mountinfo");
        for point in ["/mnt/a", "/mnt/a/sub"] {
            let line = Line::of(out.ok(), point);
            assert!(!line.has(absent), "{option}: {line:?}");
        }
    }
}

#[test]
fn plain_ro_of_a_recursive_bind_is_the_top_mounts_only() {
    let cell = Cell::new();
    let (tree, prelude) = tree(&cell, "rw");
    let mut cell = cell.mount(json!({"destination": "/mnt/a", "type": "bind",
        "source": tree, "options": ["rbind", "ro"]}));
    let out = cell.sh_after(&prelude, "cat /proc/self/mountinfo");
    assert!(Line::of(out.ok(), "/mnt/a").has("ro"), "{out:#?}");
    assert!(Line::of(out.ok(), "/mnt/a/sub").has("rw"), "{out:#?}");
}

#[test]
fn mount_propagation_options_are_applied() {
    let cases = [
        ("shared", "shared:", ""),
        ("rshared", "shared:", "shared:"),
        ("slave", "master:", "shared:"),
        ("rslave", "master:", "master:"),
        ("unbindable", "unbindable", "shared:"),
        ("runbindable", "unbindable", "unbindable"),
        ("private", "", "shared:"),
        ("rprivate", "", ""),
    ];
    for (option, top, sub) in cases {
        let cell = Cell::new();
        let (tree, prelude) = tree(&cell, "rw");
        let prelude = if option.ends_with("shared") {
            prelude
        } else {
            format!("{prelude}; mount --make-rshared {}", tree.display())
        };
        let mut cell = cell.mount(json!({"destination": "/mnt/a", "type": "bind",
            "source": tree, "options": ["rbind", option]}));
        let out = cell.sh_after(&prelude, "cat /proc/self/mountinfo");
        for (point, expected) in [("/mnt/a", top), ("/mnt/a/sub", sub)] {
            let found = Line::of(out.ok(), point).propagation;
            // What the mount was before the option is the rootfs propagation's choice.
            if expected.is_empty() {
                assert!(!found.contains("unbindable"), "{option} {point}: {found:?}");
            } else if point == "/mnt/a" || option.starts_with('r') {
                assert!(found.contains(expected), "{option} {point}: {found:?}");
            }
        }
    }
}

#[test]
fn tmpcopyup_copies_the_directory_below() {
    let mut cell = Cell::new().mount(json!({"destination": "/etc", "type": "tmpfs",
        "source": "tmpfs", "options": ["tmpcopyup"]}));
    let before = fs::read_to_string(cell.root("etc/passwd")).unwrap();
    fs::create_dir(cell.root("etc/dir")).unwrap();
    std::os::unix::fs::symlink("../passwd", cell.root("etc/dir/link")).unwrap();
    let out = cell.sh("cat /etc/passwd; readlink /etc/dir/link; echo evil > /etc/passwd");
    assert_eq!(out.ok(), format!("{before}../passwd\n"));
    assert_eq!(fs::read_to_string(cell.root("etc/passwd")).unwrap(), before);
}

#[test]
fn remount_changes_an_existing_mount() {
    let mut cell = Cell::new()
        .mount(json!({"destination": "/mnt/a", "type": "tmpfs", "source": "tmpfs"}))
        .mount(
            json!({"destination": "/mnt/a", "type": "tmpfs", "source": "tmpfs",
            "options": ["remount", "ro"]}),
        );
    let out = cell.sh("touch /mnt/a/x 2>&1; true");
    assert!(out.ok().contains("Read-only file system"), "{out:#?}");
}

#[test]
fn idmapped_mount_shows_mapped_owners() {
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
    for (option, prelude) in [("idmap", ":"), ("ridmap", "")] {
        let cell = Cell::new();
        let (source, tree_prelude) = tree(&cell, "rw");
        let prelude = if prelude.is_empty() {
            tree_prelude
        } else {
            prelude.to_owned()
        };
        let mut cell = cell.mount(json!({"destination": "/mnt/a", "type": "bind",
            "source": source, "options": ["rbind", option], "uidMappings": map,
            "gidMappings": map}));
        let script = if option == "ridmap" {
            "stat -c %u:%g /mnt/a /mnt/a/sub"
        } else {
            "stat -c %u:%g /mnt/a /mnt/a"
        };
        let out = cell.sh_after(&prelude, script);
        if option == "ridmap" && out.stderr.contains("may not support idmapped mounts") {
            return skip("this kernel does not map ids of a tmpfs (Linux 6.3)");
        }
        assert_eq!(out.ok(), "100000:100000\n100000:100000\n", "{option}");
    }
}

#[test]
fn idmapped_mount_takes_the_user_namespaces_map_by_default() {
    let bundle = Bundle::new().no_mount("/sys").no_mount("/sys/fs/cgroup");
    let mut cell = Cell::of(bundle.user_namespace());
    let source = cell.target();
    cell = cell.mount(
        json!({"destination": "/mnt/a", "type": "bind", "source": source,
        "options": ["bind", "idmap"]}),
    );
    assert_eq!(cell.sh("stat -c %u:%g /mnt/a/canary").ok(), "0:0\n");
}

#[test]
fn idmapped_mount_without_any_map_is_refused() {
    let mut cell = Cell::new();
    let source = cell.target();
    cell = cell.mount(
        json!({"destination": "/mnt/a", "type": "bind", "source": source,
        "options": ["bind", "idmap"]}),
    );
    cell.sh("true").refused(&["mounts[5]"]);
}

#[test]
fn mounts_are_made_in_the_listed_order() {
    let mut cell = Cell::new();
    let source = cell.target();
    cell = cell
        .mount(json!({"destination": "/mnt/a", "type": "tmpfs", "source": "tmpfs"}))
        .mount(json!({"destination": "/mnt/a/b/c", "type": "bind", "source": source, "options": ["bind"]}));
    assert_eq!(cell.sh("cat /mnt/a/b/c/canary").ok(), "untouched");
}

#[test]
fn cgroup_mount_shows_the_containers_groups_only() {
    let mut cell = Cell::of(Bundle::new()).set("/linux/namespaces/-", json!({"type": "cgroup"}));
    let out = cell.sh("grep cgroup /proc/self/mountinfo | cut -d' ' -f4 | sort -u; cut -d: -f3 /proc/self/cgroup | sort -u");
    let mut lines = out.lines();
    lines.retain(|line| *line != "/");
    assert!(lines.is_empty(), "{out:#?}");
}

#[test]
fn masked_file_does_not_let_root_change_the_hosts_null_device() {
    let mut cell = Cell::new()
        .all_capabilities()
        .set("/linux/maskedPaths", json!(["/secret"]));
    fs::write(cell.root("secret"), "secret").unwrap();
    // The host's own mode and owner: a failure of this test must not break the host.
    let out = cell.sh(
        "chmod 666 /secret && echo MODE; chown 0:0 /secret && echo OWNER; touch /secret && echo TIME; \
         echo x > /secret && cat /secret && echo NULL",
    );
    assert_eq!(out.stdout, "NULL\n", "{out:?}");
}

#[test]
fn masked_paths_are_empty_and_refuse_writes() {
    let mut cell = Cell::new().set(
        "/linux/maskedPaths",
        json!(["/secret", "/hidden", "/missing"]),
    );
    fs::write(cell.root("secret"), "secret").unwrap();
    fs::create_dir(cell.root("hidden")).unwrap();
    fs::write(cell.root("hidden/file"), "secret").unwrap();
    let out = cell.sh("cat /secret; ls -A /hidden; touch /hidden/x 2>/dev/null && echo WRITTEN; ls /missing 2>/dev/null; echo END");
    assert_eq!(out.ok(), "END\n");
}

#[test]
fn readonly_paths_refuse_writes() {
    let mut cell = Cell::new().set(
        "/linux/readonlyPaths",
        json!(["/etc", "/proc/sys", "/missing"]),
    );
    let out = cell.sh("touch /etc/x 2>&1; cat /proc/self/mountinfo");
    assert!(out.ok().contains("Read-only file system"), "{out:#?}");
    for point in ["/etc", "/proc/sys"] {
        assert!(Line::of(out.ok(), point).has("ro"), "{point}: {out:#?}");
    }
}

#[test]
fn readonly_root_refuses_writes() {
    let mut cell = Cell::new()
        .set("/root/readonly", json!(true))
        .all_capabilities();
    let out = cell.sh("touch /x 2>&1; true");
    assert!(out.ok().contains("Read-only file system"), "{out:#?}");
    assert!(!cell.root("x").exists());
}

#[test]
fn root_path_may_be_absolute_or_relative() {
    let mut cell = Cell::new();
    assert_eq!(cell.sh("echo relative").ok(), "relative\n");
    let path = cell.bundle.rootfs();
    let mut cell = cell.set("/root/path", json!(path));
    assert_eq!(cell.sh("echo absolute").ok(), "absolute\n");
    let mut cell = cell.set("/root/path", json!("nowhere"));
    cell.sh("true").refused(&["root.path"]);
}

#[test]
fn no_pivot_changes_the_root() {
    let mut cell = Cell::new().all_capabilities();
    cell.bundle.config["process"]["args"] = json!([
        "/bin/sh",
        "-c",
        "ls -d /bin/busybox; ls -d /../../bundle /proc/1/root/bundle 2>/dev/null; cut -d' ' -f5 /proc/self/mountinfo"
    ]);
    let out = cell.bundle.launch("run", &["--no-pivot"]).output();
    let lines = out.lines();
    assert_eq!(lines[0], "/bin/busybox");
    assert!(!out.ok().contains("/bundle"), "{out:#?}");
    assert!(lines.contains(&"/proc"), "{out:#?}");
}

#[test]
fn nothing_of_the_host_is_mounted_after_the_pivot() {
    let out = Cell::new().sh("cut -d' ' -f5 /proc/self/mountinfo | grep -vE '^/(proc|dev)(/|$)'");
    assert_eq!(out.ok(), "/\n");
}

#[test]
fn mounts_in_a_user_namespace_stay_off_a_host_whose_mounts_are_shared() {
    let mut cell = Cell::of(
        Bundle::new()
            .no_mount("/sys")
            .no_mount("/sys/fs/cgroup")
            .user_namespace()
            .capabilities(&["CAP_SYS_ADMIN"]),
    );
    let (target, bundle) = (cell.target(), cell.bundle.path());
    cell = cell.mount(
        json!({"destination": "/data", "type": "bind", "source": target,
        "options": ["rbind"]}),
    );
    let table = |name: &str| cell.bundle.temp().join(name);
    let (before, after) = (table("before"), table("after"));
    let prelude = format!(
        "for d in {} {}; do mount --bind $d $d; mount --make-shared $d; done
        cat /proc/self/mountinfo >{}; \"$@\"; cat /proc/self/mountinfo >{}; exit",
        bundle.display(),
        target.display(),
        before.display(),
        after.display()
    );
    let out = cell.sh_after(&prelude, "mount -t tmpfs none /data && echo mounted");
    assert_eq!(out.ok(), "mounted\n");
    // Others may mount things of their own meanwhile.
    let read = |path| {
        let mounts = fs::read_to_string(path).unwrap();
        let places = [bundle.display().to_string(), target.display().to_string()];
        let is_ours = |line: &&str| places.iter().any(|place| line.contains(place));
        mounts
            .lines()
            .filter(is_ours)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert!(!read(&before).is_empty());
    assert_eq!(read(&after), read(&before), "the host's mounts changed");
}

#[test]
fn rootfs_propagation_is_applied() {
    for (word, expected) in [
        ("shared", "shared:"),
        ("slave", "master:"),
        ("unbindable", "unbindable"),
    ] {
        let mut cell = Cell::new().set("/linux/rootfsPropagation", json!(word));
        let out = cell.sh_after("mount --make-rshared /", "cat /proc/self/mountinfo");
        let found = Line::of(out.ok(), "/").propagation;
        assert!(found.contains(expected), "{word}: {found:?}");
        // Nothing of the host comes in through a shared root.
        let is_slave = found.contains("master:");
        assert_eq!(is_slave, word == "slave", "{word}: {found:?}");
    }
    let mut cell = Cell::new().set("/linux/rootfsPropagation", json!("private"));
    let out = cell.sh_after("mount --make-rshared /", "cat /proc/self/mountinfo");
    assert_eq!(Line::of(out.ok(), "/").propagation, "");
}

#[test]
fn unknown_rootfs_propagation_is_refused() {
    let mut cell = Cell::new().set("/linux/rootfsPropagation", json!("sometimes"));
    cell.sh("true").refused(&["linux.rootfsPropagation"]);
}
