//! Values of config.json that are odd, rare or easily misread, as people report them: each is honoured exactly or refused.
//! Not here: the plain cases of each field (confinement_*.rs), broken files (bad_input.rs). docs/odd-inputs.md lists them.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;

use crate::harness::{Bundle, is_foreign, skip};

#[test]
fn unknown_capability_is_warned_about_and_not_an_error() {
    let bundle = Bundle::new()
        .set("/process/capabilities/bounding/-", "CAP_NOT_REAL")
        .shell("echo runs; grep CapBnd /proc/self/status");
    let output = bundle.run();
    // AUDIT_WRITE 29, KILL 5, NET_BIND_SERVICE 10.
    assert_eq!(output.exits(0), "runs\nCapBnd:\t0000000020000420\n");
    if !is_foreign() {
        assert!(output.stderr.contains("CAP_NOT_REAL"), "{output:?}");
    }
}

#[test]
fn home_is_the_configured_one_else_the_containers_else_the_root() {
    let home = |uid: u32, env: &[&str]| {
        let env: Vec<&str> = ["PATH=/bin"].iter().chain(env).copied().collect();
        let bundle = Bundle::new()
            .set("/process/user", json!({"uid": uid, "gid": uid}))
            .set("/process/env", json!(env))
            .shell("echo $HOME");
        let passwd = bundle.rootfs().join("etc/passwd");
        fs::write(
            passwd,
            "root:x:0:0::/root:/bin/sh\nmine:x:2000:2000::/inside:/bin/sh\n",
        )
        .unwrap();
        bundle.run().ok().trim_end().to_owned()
    };
    assert_eq!(home(0, &[]), "/root");
    assert_eq!(home(2000, &[]), "/inside");
    assert_eq!(home(1234, &[]), "/");
    assert_eq!(home(2000, &["HOME=/mine"]), "/mine");
    if !is_foreign() {
        assert_eq!(home(2000, &["HOME="]), "/inside");
        assert_eq!(home(2000, &["HOME=/a", "HOME=/b"]), "/b");
    }
}

#[test]
fn passwd_that_is_no_regular_file_does_not_hang_the_start() {
    if is_foreign() {
        return skip("other runtimes wait for a FIFO's writer");
    }
    for kind in ["fifo", "directory", "host"] {
        let bundle = Bundle::new()
            .set("/process/user", json!({"uid": 5, "gid": 5}))
            .shell("echo $HOME");
        let passwd = bundle.rootfs().join("etc/passwd");
        fs::remove_file(&passwd).unwrap();
        match kind {
            "fifo" => nix::unistd::mkfifo(&passwd, nix::sys::stat::Mode::S_IRWXU).unwrap(),
            "directory" => fs::create_dir(&passwd).unwrap(),
            // A path of the host, which is none inside.
            _ => symlink("/../../../etc/passwd-of-the-host", &passwd).unwrap(),
        }
        assert_eq!(bundle.run().ok(), "/\n", "{kind}");
    }
}

#[test]
fn additional_gid_of_all_ones_is_refused() {
    let bundle = Bundle::new().set(
        "/process/user/additionalGids",
        json!([10, 4_294_967_295_u64]),
    );
    if is_foreign() {
        return skip("other runtimes leave it to the kernel");
    }
    bundle.run().refused(&["process.user.additionalGids"]);
}

#[test]
fn every_1_x_version_is_accepted_and_other_words_are_not() {
    for version in ["1.0.0", "1.0.2-dev", "1.3.0", "1.2.1", "1.99.0"] {
        let bundle = Bundle::new().set("/ociVersion", version);
        bundle.run().ok();
    }
    if is_foreign() {
        return;
    }
    for version in ["", "v1.0", "2.0.0", "9.9.9", "1", "one"] {
        let bundle = Bundle::new().set("/ociVersion", version);
        bundle.run().refused(&["ociVersion"]);
    }
}

#[test]
fn environment_entry_without_a_name_or_equals_sign_is_refused_by_index() {
    if is_foreign() {
        return skip("other runtimes pass it on");
    }
    for (entry, index) in [("NOEQ", 1), ("=x", 1), ("", 1)] {
        let bundle = Bundle::new().set("/process/env", json!(["PATH=/bin", entry]));
        bundle.run().refused(&[&format!("process.env[{index}]")]);
    }
}

#[test]
fn of_two_variables_of_one_name_the_last_one_counts() {
    let bundle = Bundle::new()
        .set(
            "/process/env",
            json!(["PATH=/nope", "A=1", "A=2", "PATH=/bin"]),
        )
        .args(&["sh", "-c", "echo $A $PATH"]);
    assert_eq!(bundle.run().ok(), "2 /bin\n");
}

#[test]
fn hidden_program_in_path_is_found() {
    let bundle = Bundle::new().args(&[".hidden", "-c", "echo found"]);
    let program = bundle.rootfs().join("bin/.hidden");
    fs::write(&program, "#!/bin/sh\necho found\n").unwrap();
    fs::set_permissions(
        &program,
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    assert_eq!(bundle.run().ok(), "found\n");
}

#[test]
fn program_without_a_path_to_look_in_is_found_in_the_default_or_named() {
    let bundle = Bundle::new()
        .set("/process/env", json!(["A=1"]))
        .args(&["no-such-program"]);
    bundle.run().fails(127, &["no-such-program"]);
}

#[test]
fn program_that_is_killed_ends_run_with_128_and_the_signal() {
    for (signal, code) in [("9", 137), ("15", 143), ("11", 139)] {
        let script = format!("sh -c 'kill -{signal} $$'; exit $?");
        assert_eq!(Bundle::new().shell(&script).run().exits(code), "");
    }
}

#[test]
fn pids_limit_of_minus_one_is_none_and_zero_is_a_limit() {
    let bundle = Bundle::new()
        .set("/linux/resources/pids", json!({"limit": -1}))
        .shell("true | true && echo many");
    assert_eq!(bundle.run().ok(), "many\n");
    if is_foreign() {
        return skip("for other runtimes 0 is no limit");
    }
    let bundle = Bundle::new()
        .set("/linux/resources/pids", json!({"limit": 0}))
        .shell("/bin/true || exit 3; exec /bin/echo more");
    let output = bundle.run();
    assert!(!output.stdout.contains("more"), "{output:?}");
}

#[test]
fn memory_limit_too_small_to_start_is_named() {
    if is_foreign() {
        return skip("other runtimes are killed without a word");
    }
    let bundle = Bundle::new().set("/linux/resources/memory", json!({"limit": 4096}));
    let output = bundle.run();
    output.refused(&["memory"]);
    bundle.assert_clean();
}

#[test]
fn smallest_limit_of_open_files_leaves_room_to_start() {
    let limit = json!([{"type": "RLIMIT_NOFILE", "soft": 3, "hard": 3}]);
    let bundle = Bundle::new()
        .set("/process/rlimits", limit)
        .args(&["/bin/sh", "-c", "ulimit -n"]);
    let output = bundle.run();
    if output.code == 0 {
        assert_eq!(output.ok(), "3\n");
    } else {
        output.refused(&["NOFILE"]);
    }
    bundle.assert_clean();
}

#[test]
fn rule_like_the_default_action_is_accepted() {
    let filter = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["bdflush", "getppid"], "action": "SCMP_ACT_ALLOW"}],
    });
    Bundle::new().set("/linux/seccomp", filter).run().ok();
}

#[test]
fn argument_index_beyond_5_is_refused_by_its_number() {
    let rule = json!({
        "names": ["getppid"], "action": "SCMP_ACT_ERRNO",
        "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}],
    });
    let filter = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]});
    let bundle = Bundle::new().set("/linux/seccomp", filter);
    bundle.run().refused(&["index", "6"]);
    let bundle = Bundle::new().set("/linux/seccomp", json!({"syscalls": []}));
    if !is_foreign() {
        bundle.run().refused(&["defaultAction"]);
    }
}

#[test]
fn calls_newer_than_the_filter_names_are_enosys_and_older_ones_its_errno() {
    if is_foreign() {
        return skip("other runtimes make more calls under the filter");
    }
    let names = "execve write exit exit_group read openat2 getpid";
    let names: Vec<&str> = names.split(' ').collect();
    let filter = json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{"names": names, "action": "SCMP_ACT_ALLOW"}],
    });
    let bundle = Bundle::new().set("/linux/seccomp", filter);
    // getppid, and futex_waitv, which is newer than openat2.
    let output = crate::harness::calls(bundle, &[&[110], &[449, 0, 0, 0, 0, 0]]).run();
    assert_eq!(output.ok(), "-1\n-38\n");
}

#[test]
fn filter_that_refuses_execve_is_named_as_the_cause() {
    let filter = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["execve", "execveat"], "action": "SCMP_ACT_ERRNO"}],
    });
    let bundle = Bundle::new().set("/linux/seccomp", filter);
    let output = bundle.run();
    if is_foreign() {
        return assert_ne!(output.code, 0);
    }
    assert!([1, 126].contains(&output.code), "{output:?}");
    assert!(output.error().contains("seccomp"), "{output:?}");
    bundle.assert_clean();
}

#[test]
fn filter_needs_to_name_nothing_that_the_runtime_calls() {
    let filter = json!({
        "defaultAction": "SCMP_ACT_KILL_PROCESS",
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{"names": ["execve", "write", "exit_group"], "action": "SCMP_ACT_ALLOW"}],
    });
    if is_foreign() {
        return skip("other runtimes need more");
    }
    let bundle = Bundle::new()
        .set("/process/noNewPrivileges", true)
        .set("/linux/seccomp", filter);
    // The only call: write to standard output nothing.
    let output = crate::harness::calls(bundle, &[&[1, 1, 0, 0]]).run();
    assert_eq!(output.ok(), "0\n");
}
