//! Wrong input and broken surroundings: one line, the documented exit code, and nothing left behind.
//! Not here: wrong values of single fields (confinement_*.rs, odd_config.rs), ids (lifecycle.rs).

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use crate::harness::{Bundle, Call, eventually, is_foreign, runtime, skip};

/// Each verb that reads a bundle fails with one line that has these words, and leaves nothing.
#[track_caller]
fn is_refused(bundle: &Bundle, words: &[&str]) {
    for verb in ["create", "run"] {
        let output = bundle.launch_as_written(verb, &[]).output();
        output.refused(words);
        assert_eq!(output.stdout, "", "{verb}");
        bundle.assert_clean();
    }
}

#[test]
fn missing_bundle_is_named() {
    let bundle = Bundle::new();
    for verb in ["create", "run"] {
        let output = bundle
            .call(&[verb, "--bundle", "/no/such/bundle", bundle.id()])
            .output();
        output.refused(&["/no/such/bundle"]);
        bundle.assert_clean();
    }
}

#[test]
fn bundle_without_a_configuration_is_named() {
    let bundle = Bundle::new();
    is_refused(&bundle, &["config.json"]);
}

#[test]
fn bundle_that_is_a_file_is_refused() {
    let bundle = Bundle::new();
    let file = bundle.temp().join("file");
    fs::write(&file, "").unwrap();
    let call = bundle.call(&["run", "--bundle"]).arg(&file);
    call.arg(bundle.id()).output().refused(&["file"]);
}

#[test]
fn bundle_that_its_caller_may_not_read_is_refused() {
    let bundle = Bundle::new();
    bundle.write();
    let reach = bundle.bare_call().arg("--version").user(65534, 65534);
    if reach.spawn_fails() {
        return skip("the runtime under test is in a directory that other users may not enter");
    }
    fs::set_permissions(bundle.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let state = bundle.outside("others-state");
    fs::set_permissions(&state, fs::Permissions::from_mode(0o777)).unwrap();
    let call = bundle.bare_call().arg("--root").arg(&state);
    let call = call.args(["run", "--bundle"]).arg(bundle.path());
    let output = call.arg(bundle.id()).user(65534, 65534).output();
    output.refused(&["config.json", "ermission denied"]);
    let left: Vec<_> = fs::read_dir(&state).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn configuration_that_is_no_regular_file_is_refused_without_waiting() {
    if is_foreign() {
        return skip("other runtimes wait for a FIFO's writer");
    }
    let bundle = Bundle::new();
    let config = bundle.path().join("config.json");
    fs::create_dir(&config).unwrap();
    is_refused(&bundle, &["config.json"]);
    fs::remove_dir(&config).unwrap();
    nix::unistd::mkfifo(&config, nix::sys::stat::Mode::S_IRWXU).unwrap();
    is_refused(&bundle, &["config.json"]);
    fs::remove_file(&config).unwrap();
    symlink("/no/such/file", &config).unwrap();
    is_refused(&bundle, &["config.json"]);
}

#[test]
fn configuration_that_is_no_json_object_is_refused_with_its_place() {
    let deep = "[".repeat(100_000);
    let truncated = &br#"{"ociVersion": "1.0.2", "process": {"#[..];
    let broken: [&[u8]; 11] = [
        b"",
        b" ",
        b"null",
        b"[]",
        b"42",
        b"\xef\xbb\xbf{}",
        b"{\"ociVersion\": \"1.0.2\",}",
        b"{\"ociVersion\": \"\xff\"}",
        b"{} {}",
        truncated,
        deep.as_bytes(),
    ];
    let bundle = Bundle::new();
    for text in broken {
        bundle.write_raw(text);
        is_refused(&bundle, &["config.json"]);
    }
}

#[test]
fn configuration_lacking_what_it_must_have_is_refused() {
    for (pointer, words) in [
        ("/process/args", ["config.json", "args"]),
        ("/process/cwd", ["config.json", "cwd"]),
        ("/root", ["config.json", "root"]),
        ("/root/path", ["config.json", "path"]),
        ("/ociVersion", ["config.json", "ociVersion"]),
    ] {
        let bundle = Bundle::new().remove(pointer);
        bundle.write();
        if is_foreign() {
            continue;
        }
        is_refused(&bundle, &words);
    }
    let bundle = Bundle::new().set("/process/args", json!([]));
    bundle.write();
    is_refused(&bundle, &["config.json", "args"]);
}

#[test]
fn key_that_is_there_twice_is_refused() {
    if is_foreign() {
        return skip("other runtimes take the last one");
    }
    let bundle = Bundle::new();
    let text = bundle.config.to_string();
    let doubled = text.replacen("\"cwd\":", "\"cwd\":\"/tmp\",\"cwd\":", 1);
    assert_ne!(text, doubled);
    bundle.write_raw(doubled.as_bytes());
    is_refused(&bundle, &["config.json", "cwd"]);
}

#[test]
fn missing_root_filesystem_is_named() {
    let bundle = Bundle::new().set("/root/path", "no-such-root");
    bundle.write();
    is_refused(&bundle, &["no-such-root"]);
    let bundle = Bundle::new().set("/root/path", "file");
    fs::write(bundle.path().join("file"), "").unwrap();
    bundle.write();
    is_refused(&bundle, &["file"]);
}

/// `run` of these words ends with the code and one line that has the words, and leaves nothing.
#[track_caller]
fn does_not_execute(bundle: Bundle, args: &[&str], code: i32, words: &[&str]) {
    let bundle = bundle.args(args);
    let output = bundle.run();
    output.fails(code, words);
    assert_eq!(output.stdout, "");
    bundle.assert_clean();
}

fn with_file(name: &str, text: &str, mode: u32) -> Bundle {
    let bundle = Bundle::new();
    let path = bundle.rootfs().join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    bundle
}

#[test]
fn missing_program_is_127_and_named() {
    does_not_execute(Bundle::new(), &["/no/such"], 127, &["/no/such"]);
    does_not_execute(Bundle::new(), &["no-such-word"], 127, &["no-such-word"]);
    does_not_execute(Bundle::new(), &["/bin/true/x"], 127, &["/bin/true/x"]);
}

#[test]
fn missing_interpreter_is_127_and_named() {
    let bundle = with_file("script", "#!/no/interpreter\n", 0o755);
    does_not_execute(bundle, &["/script"], 127, &["/script", "/no/interpreter"]);
}

#[test]
fn directory_as_program_is_126_and_named() {
    does_not_execute(Bundle::new(), &["/etc"], 126, &["/etc", "directory"]);
}

#[test]
fn program_without_the_permission_to_execute_is_126_and_named() {
    let bundle = with_file("plain", "#!/bin/sh\n", 0o644);
    does_not_execute(bundle, &["/plain"], 126, &["/plain", "ermission denied"]);
}

#[test]
fn script_without_an_interpreter_line_is_126_and_no_shell_takes_it() {
    let bundle = with_file("script", "echo hi\n", 0o755);
    does_not_execute(bundle, &["/script"], 126, &["/script", "xec format error"]);
}

#[test]
fn program_on_a_noexec_mount_is_126_and_named() {
    let bundle = with_file("program", "#!/bin/sh\n", 0o755);
    let outside = bundle.outside("noexec");
    fs::copy(bundle.rootfs().join("program"), outside.join("program")).unwrap();
    let bundle = bundle.bind(&outside, "/mnt", &["noexec"]);
    does_not_execute(bundle, &["/mnt/program"], 126, &["/mnt/program"]);
}

#[test]
fn missing_working_directory_is_made_or_named() {
    let bundle = Bundle::new()
        .set("/process/cwd", "/bin/true/x")
        .args(&["pwd"]);
    bundle.run().refused(&["/bin/true/x"]);
    bundle.assert_clean();
}

#[test]
fn run_of_a_taken_id_is_refused_and_the_first_container_lives_on() {
    let bundle = Bundle::new().args(&["sleep", "1000"]);
    bundle.create().ok();
    bundle.run().refused(&[bundle.id(), "exist"]);
    assert_eq!(bundle.status(), "created");
    bundle.delete_by_force().ok();
    bundle.assert_clean();
}

#[test]
fn id_that_is_a_path_is_refused_and_nothing_is_made_there() {
    let bundle = Bundle::new();
    bundle.write();
    for id in ["a/b", "..", "../outside", "/tmp/x", "."] {
        let call = bundle.call(&["run", "--bundle"]).arg(bundle.path());
        call.arg(id).output().refused(&[id]);
        bundle.assert_clean();
    }
    assert!(!bundle.temp().join("outside").exists());
}

#[test]
fn state_directory_that_cannot_be_made_is_named() {
    let bundle = Bundle::new();
    bundle.write();
    let file = bundle.temp().join("file");
    fs::write(&file, "").unwrap();
    for root in [file.clone(), file.join("below"), "/proc/no-such".into()] {
        let call = bundle.bare_call().arg("--root").arg(&root);
        let call = call.args(["run", "--bundle"]).arg(bundle.path());
        call.arg(bundle.id())
            .output()
            .refused(&[root.to_str().unwrap()]);
        bundle.assert_clean();
    }
}

#[test]
fn pid_file_that_cannot_be_written_fails_create_with_nothing_left() {
    let bundle = Bundle::new();
    let flags = ["--pid-file", "/proc/no-such/pid"];
    let output = bundle.launch("create", &flags).output();
    output.refused(&["/proc/no-such/pid"]);
    bundle.assert_clean();
}

/// `VERB` with its state directory on a tmpfs of these options, filled up first; the state it leaves is on stdout.
fn on_a_full_disk(bundle: &Bundle, options: &str, verb: &str) -> crate::harness::Output {
    bundle.write();
    fs::create_dir_all(bundle.state_dir()).unwrap();
    let script = format!(
        "state=$1; shift; mount -t tmpfs -o {options} full \"$state\" || exit 99
        dd if=/dev/zero of=\"$state\"/.filler bs=4096 2>/dev/null
        \"$@\"; code=$?; ls \"$state\"; exit $code"
    );
    let profile: &[&str] = if is_foreign() {
        &[]
    } else {
        &["--profile", "none"]
    };
    Call::new("unshare", &bundle.temp().join("calls"))
        .args(["--mount", "sh", "-c", &script, "sh"])
        .arg(bundle.state_dir())
        .arg(runtime())
        .arg("--root")
        .arg(bundle.state_dir())
        .args(profile)
        .args([verb, "--bundle"])
        .arg(bundle.path())
        .arg(bundle.id())
        .output()
}

#[test]
fn full_disk_fails_with_one_line_and_nothing_left() {
    for options in ["size=64k,mode=700", "size=64k,nr_inodes=2,mode=700"] {
        for verb in ["create", "run"] {
            let bundle = Bundle::new();
            let output = on_a_full_disk(&bundle, options, verb);
            output.refused(&["space left", bundle.id()]);
            assert_eq!(output.stdout, "", "state is left: {options}");
            bundle.assert_clean();
        }
    }
}

/// A bundle whose hook says that it runs and then waits until `let_go`.
fn halted_in_a_hook(kind: &str) -> Bundle {
    let bundle = Bundle::new();
    let go = bundle.temp().join("go");
    fs::write(&go, "").unwrap();
    let script = format!(
        "cat > /dev/null; touch {}; while [ -e {} ]; do sleep 0.02; done",
        bundle.temp().join("halted").display(),
        go.display()
    );
    let hook = json!([{"path": "/bin/sh", "args": ["sh", "-c", script]}]);
    bundle.set(&format!("/hooks/{kind}"), hook)
}

fn let_go(bundle: &Bundle) {
    fs::remove_file(bundle.temp().join("go")).unwrap();
}

#[test]
fn create_that_is_killed_in_a_hook_leaves_what_delete_removes() {
    for kind in ["prestart", "createRuntime"] {
        let bundle = halted_in_a_hook(kind);
        let create = bundle.launch("create", &[]).spawn();
        let halted = bundle.temp().join("halted");
        eventually("the hook runs", || halted.exists());
        create.signal(Signal::KILL);
        create.wait();
        let_go(&bundle);
        let state = bundle.state();
        if state.code == 0 {
            let status = state.json()["status"].as_str().unwrap().to_owned();
            let known = ["creating", "stopped", "created"];
            assert!(known.contains(&status.as_str()), "{status}");
        } else {
            state.refused(&["does not exist"]);
        }
        bundle.delete_by_force().ok();
        bundle.assert_clean();
    }
}

#[test]
fn run_that_is_killed_at_any_time_leaves_what_delete_removes() {
    for milliseconds in [0, 1, 2, 3, 5, 8, 13, 21, 34, 55] {
        let bundle = Bundle::new().args(&["sleep", "1000"]);
        let run = bundle.launch("run", &[]).spawn();
        // The moment is the input here, not an event that one could wait for.
        std::thread::sleep(Duration::from_millis(milliseconds));
        run.signal(Signal::KILL);
        run.wait();
        bundle.delete_by_force().ok();
        bundle.assert_clean();
    }
}

#[test]
fn create_that_is_terminated_in_a_hook_leaves_what_delete_removes() {
    let bundle = halted_in_a_hook("createRuntime");
    let create = bundle.launch("create", &[]).spawn();
    let halted = bundle.temp().join("halted");
    eventually("the hook runs", || halted.exists());
    create.signal(Signal::TERM);
    let_go(&bundle);
    create.wait();
    bundle.delete_by_force().ok();
    bundle.assert_clean();
}

#[test]
fn init_that_is_killed_before_start_is_reported_by_start() {
    let bundle = Bundle::new().args(&["sleep", "1000"]);
    bundle.create().ok();
    let pid = rustix::process::Pid::from_raw(bundle.pid().cast_signed()).unwrap();
    rustix::process::kill_process(pid, Signal::KILL).unwrap();
    bundle.becomes("stopped");
    bundle.start().refused(&[bundle.id()]);
    bundle.delete_by_force().ok();
    bundle.assert_clean();
}

#[test]
fn damaged_state_file_does_not_hide_others_and_delete_removes_it() {
    let bundle = Bundle::new().args(&["sleep", "1000"]);
    bundle.create().ok();
    bundle.start().ok();
    let pid = bundle.pid();
    let file = bundle.state_dir().join(bundle.id()).join("state.json");
    assert!(file.exists(), "no {}", file.display());
    fs::write(&file, "{\"id\": ").unwrap();
    let state = bundle.state();
    state.refused(&[bundle.id()]);
    let second = Bundle::new().args(&["sleep", "1000"]);
    launch_beside(&second, &bundle.state_dir());
    let list = bundle.call(&["list", "--quiet"]).output();
    assert!(list.ok().contains(second.id()), "{list:?}");
    bundle.delete_by_force().ok();
    assert!(crate::harness::ends(pid));
    let delete = bundle.call(&["delete", "--force", second.id()]);
    delete.output().ok();
    bundle.assert_clean();
}

/// Creates the bundle's container in another bundle's state directory.
fn launch_beside(bundle: &Bundle, state: &Path) {
    bundle.write();
    let call = bundle.bare_call().arg("--root").arg(state);
    let call = call.args(["create", "--bundle"]).arg(bundle.path());
    call.arg(bundle.id()).output().ok();
}
