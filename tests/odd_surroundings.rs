//! Odd mounts, streams, descriptors, signals and logs, as people report them: each is handled exactly or refused.
//! Not here: odd values of other fields (odd_config.rs). docs/odd-inputs.md lists them.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use serde_json::{Value, json};

use crate::harness::{Bundle, Call, is_foreign, runtime, skip};

/// The flag for no profile, which an oracle does not have.
fn no_profile() -> &'static [&'static str] {
    if is_foreign() {
        &[]
    } else {
        &["--profile", "none"]
    }
}

fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn tmpfs_takes_the_mode_of_the_directory_below_unless_told() {
    for (below, option, expected) in [
        (0o710, "size=1m", "710"),
        (0o1777, "size=1m", "1777"),
        (0o710, "mode=1500", "1500"),
        (0o700, "mode=0755", "755"),
    ] {
        if is_foreign() && option.starts_with("mode=") {
            skip("other runtimes lose the mode that was asked for");
            continue;
        }
        let bundle = Bundle::new()
            .mount("/mnt", "tmpfs", "tmpfs", &[option])
            .args(&["stat", "-c", "%a", "/mnt"]);
        let dir = bundle.rootfs().join("mnt");
        fs::set_permissions(&dir, fs::Permissions::from_mode(below)).unwrap();
        assert_eq!(bundle.run().ok().trim(), expected, "{below:o} {option}");
        assert_eq!(mode(&dir), below, "the directory below was changed");
    }
    let bundle = Bundle::new()
        .mount("/made", "tmpfs", "tmpfs", &[])
        .args(&["stat", "-c", "%a", "/made"]);
    let made = bundle.run();
    assert!(["1777\n", "755\n"].contains(&made.ok()), "{made:?}");
}

#[test]
fn read_only_is_never_lost() {
    let bundle = Bundle::new()
        .mount("/mnt", "tmpfs", "tmpfs", &["ro"])
        .edit(|config| {
            let mounts = config["mounts"].as_array_mut().unwrap();
            let dev = mounts.iter_mut().find(|m| m["destination"] == "/dev");
            dev.unwrap()["options"].as_array_mut().unwrap().push("ro".into());
        })
        .shell("for d in /mnt /dev; do touch $d/x 2>/dev/null && echo writable $d; done; : > /dev/null && echo ok");
    assert_eq!(bundle.run().ok(), "ok\n");
}

#[test]
fn bind_is_decided_by_the_options_and_the_type_alone_gets_a_hint() {
    for kind in ["none", "ext4", "bind"] {
        let bundle = Bundle::new().shell("cat /mnt/file");
        let outside = bundle.outside("outside");
        fs::write(outside.join("file"), "bound\n").unwrap();
        let source = outside.to_str().unwrap().to_owned();
        let bundle = bundle.mount("/mnt", kind, &source, &["rbind"]);
        assert_eq!(bundle.run().ok(), "bound\n", "{kind}");
    }
    if is_foreign() {
        return;
    }
    let bundle = Bundle::new().mount("/mnt", "bind", "/etc", &["ro"]);
    let output = bundle.run();
    output.refused(&["bind"]);
    assert!(output.stderr.contains("options"), "{output:?}");
}

#[test]
fn options_that_a_filesystem_lacks_are_refused_with_the_mount() {
    for option in ["bogusopt", "acl"] {
        let bundle = Bundle::new().mount("/mnt", "tmpfs", "tmpfs", &[option]);
        let output = bundle.run();
        if output.code != 0 {
            output.refused(&[option]);
        } else {
            assert_eq!(option, "acl");
        }
        bundle.assert_clean();
    }
}

#[test]
fn linked_mount_points_are_made_inside_the_root() {
    for (link, to, destination) in [
        ("conf", "/real/conf", "/conf/stack"),
        ("link", "/target", "/link"),
        ("up", "../../../../up-there", "/up"),
    ] {
        let bundle = Bundle::new();
        symlink(to, bundle.rootfs().join(link)).unwrap();
        let outside = bundle.outside("outside");
        fs::write(outside.join("file"), "bound\n").unwrap();
        let file = format!("{destination}/file");
        let bundle = bundle
            .bind(&outside, destination, &["ro"])
            .args(&["cat", &file]);
        let output = bundle.run();
        if output.code != 0 && !is_foreign() {
            output.refused(&[destination]);
        }
        let name = to.trim_start_matches(['/', '.']);
        assert!(
            !std::path::Path::new("/").join(name).exists(),
            "{to} on the host"
        );
    }
}

#[test]
fn destinations_are_cleaned_before_they_are_used() {
    let bundle = Bundle::new()
        .mount("/a/../../../escape", "tmpfs", "tmpfs", &["size=1m"])
        .shell("grep -q ' /escape ' /proc/self/mountinfo && echo inside; ls -d /dev/null");
    assert_eq!(bundle.run().ok(), "inside\n/dev/null\n");
    assert!(!std::path::Path::new("/escape").exists());
    let bundle = Bundle::new()
        .no_mount("/dev")
        .no_mount("/dev/pts")
        .no_mount("/dev/shm")
        .no_mount("/dev/mqueue")
        .mount("/dev/", "tmpfs", "tmpfs", &["mode=755"])
        .shell("ls /dev/null /dev/zero && readlink /dev/fd");
    assert_eq!(bundle.run().ok(), "/dev/null\n/dev/zero\n/proc/self/fd\n");
}

/// In a user namespace, a bind of a host tmpfs that is nosuid, nodev and noexec, with these options.
fn locked(options: &[&str]) -> crate::harness::Output {
    let bundle = Bundle::new().user_namespace().no_mount("/sys");
    let outside = bundle.outside("outside");
    let bundle = bundle
        .no_mount("/sys/fs/cgroup")
        .bind(&outside, "/mnt", options)
        .shell("grep ' /mnt ' /proc/self/mountinfo | cut -d' ' -f6");
    bundle.write();
    let prelude = "mount -t tmpfs -o nosuid,nodev,noexec,mode=755 t \"$1\"; shift; exec \"$@\"";
    Call::new("unshare", &bundle.temp().join("calls"))
        .args(["--mount", "sh", "-c", prelude, "sh"])
        .arg(&outside)
        .arg(runtime())
        .arg("--root")
        .arg(bundle.state_dir())
        .args(no_profile())
        .args(["run", "--bundle"])
        .arg(bundle.path())
        .arg(bundle.id())
        .output()
}

/// Shared mounts are what systemd makes of a host.
#[test]
fn a_user_namespace_on_a_host_with_shared_mounts_mounts_nothing_on_the_host() {
    let bundle = Bundle::new().user_namespace().no_mount("/sys");
    let outside = bundle.outside("outside");
    let bundle = bundle
        .no_mount("/sys/fs/cgroup")
        .bind(&outside, "/mnt", &[])
        .shell("grep -c shared: /proc/self/mountinfo; exit 5");
    bundle.write();
    // Others may have mounted things of their own, which this mount namespace then begins with.
    let own = bundle.temp().display();
    let script = format!("\"$@\"; echo $?; grep -cF {own}/ /proc/self/mountinfo; true");
    let output = Call::new("unshare", &bundle.temp().join("calls"))
        .args(["--mount", "--propagation", "shared"])
        .args(["sh", "-c", &script, "sh"])
        .arg(runtime())
        .arg("--root")
        .arg(bundle.state_dir())
        .args(no_profile())
        .args(["run", "--bundle"])
        .arg(bundle.path())
        .arg(bundle.id())
        .output();
    assert_eq!(output.ok(), "0\n5\n0\n", "{output:?}");
}

#[test]
fn flags_that_a_user_namespace_locks_are_kept_cleared_as_asked_or_named() {
    if is_foreign() {
        return skip("other runtimes fail here");
    }
    let output = locked(&["ro"]);
    let flags: Vec<&str> = output.ok().trim().split(',').collect();
    for flag in ["ro", "nosuid", "nodev", "noexec"] {
        assert!(flags.contains(&flag), "{flags:?}");
    }
    let output = locked(&["rw", "suid", "dev", "exec"]);
    if output.code == 0 {
        // A mount that is made before the user namespace is entered has no locked flags.
        assert_eq!(output.ok(), "rw,relatime\n");
    } else {
        output.refused(&["/mnt"]);
    }
}

#[test]
fn flags_of_the_host_cannot_be_cleared_from_a_user_namespace() {
    let bundle = Bundle::new()
        .user_namespace()
        .capabilities(&["CAP_SYS_ADMIN"])
        .no_mount("/sys")
        .no_mount("/sys/fs/cgroup");
    let outside = bundle.outside("outside");
    let bundle = bundle
        .bind(&outside, "/mnt", &[])
        .shell("mount -o remount,bind,rw,exec,suid,dev /mnt; touch /mnt/made; grep ' /mnt ' /proc/self/mountinfo | cut -d' ' -f6");
    bundle.write();
    let prelude = "mount -t tmpfs -o mode=777 t \"$1\"; mount -o remount,bind,ro,nosuid,nodev,noexec \"$1\"; shift; \"$@\"";
    let output = Call::new("unshare", &bundle.temp().join("calls"))
        .args(["--mount", "sh", "-c", prelude, "sh"])
        .arg(&outside)
        .arg(runtime())
        .arg("--root")
        .arg(bundle.state_dir())
        .args(no_profile())
        .args(["run", "--bundle"])
        .arg(bundle.path())
        .arg(bundle.id())
        .output();
    let flags: Vec<&str> = output.ok().trim().split(',').collect();
    for flag in ["ro", "nosuid", "nodev", "noexec"] {
        assert!(flags.contains(&flag), "{flags:?}");
    }
}

#[test]
fn mount_over_the_root_is_refused() {
    if is_foreign() {
        return skip("an oracle may ignore it");
    }
    for destination in ["/", "/a/.."] {
        let bundle = Bundle::new().mount(destination, "tmpfs", "tmpfs", &[]);
        bundle.run().refused(&["mounts[7].destination"]);
    }
}

#[test]
fn masked_paths_may_repeat_nest_miss_and_be_many() {
    let mut paths: Vec<Value> = ["/etc/passwd", "/etc", "/nope", "/etc/passwd"]
        .map(Value::from)
        .into();
    paths.extend((0..500).map(|number| json!(format!("/many/{number}"))));
    let bundle = Bundle::new()
        .set("/linux/maskedPaths", paths)
        .shell("ls /etc | wc -l; cat /many/0 /many/499 | wc -c");
    fs::create_dir(bundle.rootfs().join("many")).unwrap();
    for number in 0..500 {
        fs::write(bundle.rootfs().join(format!("many/{number}")), "secret").unwrap();
    }
    assert_eq!(bundle.run().ok(), "0\n0\n");
}

#[test]
fn user_can_reopen_its_standard_output_and_devices_keep_their_owner() {
    let before = fs::metadata("/dev/null").unwrap();
    let bundle = Bundle::new()
        .set("/process/user", json!({"uid": 1000, "gid": 1000}))
        .shell("echo reopened > /proc/self/fd/1");
    bundle.write();
    let shell = "\"$@\" | cat";
    let output = Call::new("sh", &bundle.temp().join("calls"))
        .args(["-c", shell, "sh"])
        .arg(runtime())
        .arg("--root")
        .arg(bundle.state_dir())
        .args(no_profile())
        .args(["run", "--bundle"])
        .arg(bundle.path())
        .arg(bundle.id())
        .output();
    assert_eq!(output.ok(), "reopened\n", "{output:?}");
    let after = fs::metadata("/dev/null").unwrap();
    assert_eq!((before.uid(), before.mode()), (after.uid(), after.mode()));
}

#[test]
fn file_on_standard_input_stays_its_owners_and_read_only() {
    if is_foreign() {
        return skip("other runtimes give it away");
    }
    let bundle = Bundle::new()
        .set("/process/user", json!({"uid": 1000, "gid": 1000}))
        .shell("echo changed > /proc/self/fd/0; cat");
    let input = bundle.temp().join("input");
    fs::write(&input, "secret\n").unwrap();
    fs::set_permissions(&input, fs::Permissions::from_mode(0o600)).unwrap();
    let call = bundle.launch("run", &[]);
    let output = call.stdin(fs::File::open(&input).unwrap()).output();
    assert_eq!(output.stdout, "secret\n", "{output:?}");
    let after = fs::metadata(&input).unwrap();
    assert_eq!((after.uid(), mode(&input)), (0, 0o600));
    assert_eq!(fs::read_to_string(&input).unwrap(), "secret\n");
}

#[test]
fn passwd_of_the_image_with_an_odd_home_is_no_failure() {
    let bundle = Bundle::new()
        .set("/process/user", json!({"uid": 1000, "gid": 1000}))
        .shell("echo $HOME");
    let passwd = "app:x:1000:1000::/ho\0me:/bin/sh\n";
    fs::write(bundle.rootfs().join("etc/passwd"), passwd).unwrap();
    assert_eq!(bundle.run().ok(), "/\n");
}

#[test]
fn ignored_child_signal_is_no_failure_and_nothing_is_left() {
    let bundle = Bundle::new().shell("grep SigIgn /proc/self/status; exit 7");
    bundle.write();
    let output = Call::new("env", &bundle.temp().join("calls"))
        .arg("--ignore-signal=CHLD")
        .arg(runtime())
        .arg("--root")
        .arg(bundle.state_dir())
        .args(no_profile())
        .args(["run", "--bundle"])
        .arg(bundle.path())
        .arg(bundle.id())
        .output();
    assert_eq!(output.code, 7, "{output:?}");
    let ignored = output.stdout.trim().trim_start_matches("SigIgn:\t");
    let ignored = u64::from_str_radix(ignored, 16).unwrap();
    assert_eq!(ignored >> 16 & 1, 0, "SIGCHLD is ignored inside");
}

#[test]
fn closed_standard_streams_become_dev_null() {
    if is_foreign() {
        return skip("other runtimes give the program a pipe of their own");
    }
    let bundle =
        Bundle::new().shell("ls -l /proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2 > /fds; exit 6");
    bundle.write();
    let output = Call::new("sh", &bundle.temp().join("calls"))
        .args(["-c", "\"$@\" <&- >&- 2>&-", "sh"])
        .arg(runtime())
        .arg("--root")
        .arg(bundle.state_dir())
        .args(no_profile())
        .args(["run", "--bundle"])
        .arg(bundle.path())
        .arg(bundle.id())
        .output();
    assert_eq!(output.code, 6, "{output:?}");
    let text = fs::read_to_string(bundle.rootfs().join("fds")).unwrap();
    assert!(
        text.lines().next().unwrap().ends_with("/dev/null"),
        "{text}"
    );
}

#[test]
fn bad_listen_fds_is_no_failure_and_preserved_descriptors_must_be_open() {
    let bundle = Bundle::new().args(&["echo", "runs"]);
    let call = bundle.launch("run", &[]).env("LISTEN_FDS", "abc");
    assert_eq!(call.output().ok(), "runs\n");
    let output = bundle.launch("run", &["--preserve-fds", "5"]).output();
    if output.code == 0 {
        assert_eq!(output.ok(), "runs\n");
    } else {
        output.refused(&["preserve-fds"]);
    }
    bundle.assert_clean();
}

#[test]
fn kill_takes_every_spelling_of_a_signal_and_refuses_others() {
    let bundle = Bundle::new().shell("trap : WINCH; while :; do sleep 0.02; done");
    bundle.create().ok();
    bundle.start().ok();
    // The first process of a pid namespace ignores what it does not handle.
    for signal in [
        "0",
        "WINCH",
        "SIGWINCH",
        "winch",
        "28",
        "SIGRTMIN+3",
        "RTMIN+3",
        "rtmin+3",
        "37",
    ] {
        let output = bundle.kill(signal);
        if !is_foreign() {
            output.ok();
        }
    }
    for signal in ["65", "BOGUS", "SIGRTMIN+99", ""] {
        if !is_foreign() {
            bundle.kill(signal).refused(&["signal"]);
        }
    }
    bundle.delete_by_force().ok();
}

#[test]
fn log_in_json_has_the_error_that_clients_look_for() {
    let bundle = Bundle::new();
    let log = bundle.temp().join("log");
    for verb in [["state"], ["delete"]] {
        let call = bundle.call(&["--log", log.to_str().unwrap(), "--log-format", "json"]);
        let output = call.args(verb).arg(bundle.id()).output();
        assert_ne!(output.code, 0);
        let text = fs::read_to_string(&log).unwrap();
        let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        assert_eq!(last["level"], "error");
        let message = last["msg"].as_str().unwrap();
        assert!(message.contains("does not exist"), "{message}");
        assert!(last["time"].as_str().unwrap().contains('T'), "{last}");
    }
}

#[test]
fn run_of_a_program_that_ends_at_once_never_hangs() {
    let bundle = Bundle::new();
    for _ in 0..25 {
        bundle.run().ok();
    }
}
