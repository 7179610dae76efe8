//! create, start, state, kill, delete, list and run, as a caller of runc uses them.
//! Not here: hooks (hooks.rs), odd input from the field (fields_lifecycle.rs).

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{Bundle, cgroups_named, ends, installed, skip};

/// A program that ends at SIGTERM, with a code of its own.
const UNTIL_TERM: &str = "trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.02; done";

/// A bundle whose container is created, started and sleeping.
fn running() -> Bundle {
    let bundle = Bundle::new().args(&["sleep", "1000"]);
    bundle.create().ok();
    bundle.start().ok();
    bundle
}

/// A bundle whose container has ended, not deleted.
fn stopped() -> Bundle {
    let bundle = Bundle::new();
    bundle.create().ok();
    bundle.start().ok();
    bundle.becomes("stopped");
    bundle
}

#[test]
fn created_container_does_not_run_its_program_before_start() {
    let bundle = Bundle::new().shell("echo ran > /ran; sleep 1000");
    bundle.create().ok();
    assert_eq!(bundle.status(), "created");
    assert!(!bundle.rootfs().join("ran").exists());
    bundle.start().ok();
    assert_eq!(bundle.status(), "running");
    crate::harness::eventually("the program runs", || bundle.rootfs().join("ran").exists());
    bundle.kill("KILL").ok();
    bundle.becomes("stopped");
    bundle.delete().ok();
    bundle.assert_clean();
}

#[test]
fn state_has_the_fields_of_the_specification() {
    let bundle = running();
    let state = bundle.state().json();
    assert_eq!(state["id"], bundle.id());
    assert_eq!(state["status"], "running");
    assert_eq!(state["bundle"], bundle.path().to_str().unwrap());
    assert!(state["ociVersion"].as_str().unwrap().starts_with("1."));
    let pid = state["pid"].as_u64().unwrap();
    let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    assert_eq!(command, "sleep\0".to_owned() + "1000\0");
    bundle.delete_by_force().ok();
}

#[test]
fn state_has_the_annotations() {
    let bundle = Bundle::new().set("/annotations/org.example.a", "b");
    bundle.create().ok();
    assert_eq!(bundle.state().json()["annotations"]["org.example.a"], "b");
    bundle.delete_by_force().ok();
}

#[test]
fn state_of_a_stopped_container_has_pid_0() {
    let bundle = stopped();
    assert_eq!(bundle.state().json()["pid"], 0);
    bundle.delete().ok();
}

#[test]
fn state_and_list_have_the_shape_of_runc() {
    let Some(runc) = installed("runc") else {
        return skip("runc is not installed");
    };
    let shapes = [Bundle::new(), Bundle::new().by(runc)].map(|bundle| {
        let bundle = bundle.set("/annotations/a", "b");
        bundle.create().ok();
        let state = bundle.state().json();
        let list = bundle.call(&["list", "--format", "json"]).output().json();
        bundle.delete_by_force().ok();
        (shape(&state), shape(&list))
    });
    assert_eq!(shapes[0], shapes[1]);
}

/// Every key with the type of its value.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| (key.clone(), shape(value)))
            .collect(),
        Value::Array(list) => list.iter().map(shape).collect(),
        Value::Null => json!("null"),
        Value::Bool(_) => json!("boolean"),
        Value::Number(_) => json!("number"),
        Value::String(_) => json!("string"),
    }
}

#[test]
fn state_directory_is_for_its_owner_only() {
    let bundle = running();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&bundle.state_dir().join(bundle.id())) & 0o077, 0);
    bundle.delete_by_force().ok();
}

#[test]
fn list_shows_every_container_in_json_table_and_quiet_form() {
    let bundle = running();
    let list = bundle.call(&["list", "--format", "json"]).output().json();
    assert_eq!(list[0]["id"], bundle.id());
    assert_eq!(list[0]["status"], "running");
    assert_eq!(list[0]["pid"], bundle.pid());
    let table = bundle.call(&["list"]).output();
    let rows = table.lines();
    assert_eq!(
        rows[0].split_whitespace().collect::<Vec<_>>(),
        ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]
    );
    assert!(rows[1].starts_with(bundle.id()), "{rows:?}");
    let quiet = bundle.call(&["list", "-q"]).output();
    assert_eq!(quiet.ok(), format!("{}\n", bundle.id()));
    bundle.delete_by_force().ok();
}

#[test]
fn list_without_containers_is_empty() {
    let bundle = Bundle::new();
    fs::create_dir(bundle.state_dir()).unwrap();
    fs::set_permissions(bundle.state_dir(), fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(bundle.call(&["list", "-q"]).output().ok(), "");
    let list = bundle.call(&["list", "-f", "json"]).output().json();
    assert!(list.is_null() || list == json!([]), "{list}");
}

#[test]
fn pid_file_has_the_pid_of_init_and_no_newline() {
    let bundle = Bundle::new().args(&["sleep", "1000"]);
    let file = bundle.temp().join("pid");
    let flags = ["--pid-file", file.to_str().unwrap()];
    bundle.launch("create", &flags).output().ok();
    assert_eq!(fs::read_to_string(&file).unwrap(), bundle.pid().to_string());
    bundle.delete_by_force().ok();
}

#[test]
fn ids_that_are_no_file_names_are_refused() {
    let bundle = Bundle::new();
    bundle.write();
    for id in [
        "",
        ".",
        "..",
        "a/b",
        "../x",
        "/x",
        "a b",
        "a\nb",
        "-x",
        &"x".repeat(2000),
    ] {
        let call = bundle
            .call(&["run", "--bundle"])
            .arg(bundle.path())
            .args(["--", id]);
        let output = call.output();
        assert!(output.code > 0 && output.code < 128, "{id:?}: {output:?}");
        assert!(!output.stderr.contains("panicked"), "{output:?}");
        assert!(!output.stderr.contains('\u{1b}') && output.stderr.lines().count() < 20);
    }
    assert!(!bundle.temp().join("x").exists());
}

#[test]
fn ids_of_every_allowed_character_work() {
    let bundle = Bundle::new();
    let id = format!("{}+a_B.9-", bundle.id());
    bundle.write();
    bundle
        .call(&["run", "--bundle"])
        .arg(bundle.path())
        .arg(&id)
        .output()
        .ok();
}

#[test]
fn taken_id_is_refused_and_the_first_container_lives_on() {
    let bundle = running();
    bundle.create().refused(&[bundle.id(), "exist"]);
    assert_eq!(bundle.status(), "running");
    bundle.delete_by_force().ok();
}

#[test]
fn missing_id_does_not_exist_for_every_verb() {
    let bundle = Bundle::new();
    for verb in [["state"].as_slice(), &["start"], &["kill"], &["delete"]] {
        let output = bundle.call(verb).arg(bundle.id()).output();
        output.refused(&[bundle.id()]);
        assert!(
            output.stderr.contains("does not exist"),
            "{verb:?}: {output:?}"
        );
    }
    bundle.delete_by_force().ok();
}

#[test]
fn start_is_refused_for_a_running_and_for_a_stopped_container() {
    let bundle = running();
    bundle.start().refused(&[bundle.id()]);
    bundle.delete_by_force().ok();
    let bundle = stopped();
    bundle.start().refused(&[bundle.id(), "stopped"]);
    bundle.delete().ok();
}

#[test]
fn delete_of_a_running_container_is_refused() {
    let bundle = running();
    bundle.delete().refused(&[bundle.id(), "running"]);
    assert_eq!(bundle.status(), "running");
    bundle.delete_by_force().ok();
    bundle.assert_clean();
}

#[test]
fn delete_takes_a_created_container_that_was_never_started() {
    let bundle = Bundle::new();
    bundle.create().ok();
    let pid = bundle.pid();
    let output = bundle.delete();
    if output.code != 0 {
        output.refused(&["created"]);
        bundle.delete_by_force().ok();
    }
    assert!(ends(pid));
    bundle.assert_clean();
}

#[test]
fn delete_by_force_ends_every_process_of_the_container() {
    let bundle = Bundle::new().shell("sleep 1000 & setsid sleep 1000 & wait");
    bundle.create().ok();
    bundle.start().ok();
    bundle.delete_by_force().ok();
    bundle.assert_clean();
}

#[test]
fn kill_takes_names_numbers_and_real_time_signals() {
    for (signal, code) in [("TERM", 15), ("SIGUSR1", 10), ("9", 9), ("SIGRTMIN+3", 37)] {
        let bundle = Bundle::new().set("/linux/namespaces", shared_pid_namespace());
        let bundle = bundle.args(&["sleep", "1000"]);
        let file = bundle.temp().join("pid");
        let run = bundle
            .launch("run", &["--pid-file", file.to_str().unwrap()])
            .spawn();
        crate::harness::eventually("it runs", || {
            bundle.state().code == 0 && bundle.status() == "running"
        });
        bundle.kill(signal).ok();
        run.wait().exits(128 + code);
    }
}

/// Without a pid namespace init is no pid 1, so that unhandled signals end it.
fn shared_pid_namespace() -> Value {
    json!([{"type": "mount"}, {"type": "ipc"}, {"type": "uts"}, {"type": "network"}])
}

#[test]
fn kill_sends_term_by_default() {
    let bundle = Bundle::new().shell(UNTIL_TERM);
    let run = bundle.launch("run", &[]).spawn();
    run.says("ready");
    bundle.call(&["kill", bundle.id()]).output().ok();
    assert_eq!(run.wait().exits(7), "ready\nbye\n");
}

#[test]
fn kill_all_reaches_every_process() {
    let bundle = Bundle::new()
        .set("/linux/namespaces", shared_pid_namespace())
        .shell("sleep 1000 & echo $! > /child; wait");
    bundle.create().ok();
    bundle.start().ok();
    let child = || fs::read_to_string(bundle.rootfs().join("child")).unwrap_or_default();
    crate::harness::eventually("the child runs", || child().ends_with('\n'));
    bundle
        .call(&["kill", "--all", bundle.id(), "KILL"])
        .output()
        .ok();
    assert!(ends(child().trim().parse().unwrap()));
    bundle.becomes("stopped");
    bundle.delete().ok();
}

#[test]
fn kill_of_a_stopped_container_says_so_in_words_that_clients_know() {
    let bundle = stopped();
    let output = bundle.kill("TERM");
    output.refused(&[]);
    let known = ["container not running", "process already finished"];
    assert!(
        known.iter().any(|words| output.stderr.contains(words)),
        "{output:?}"
    );
    bundle.delete().ok();
}

#[test]
fn kill_of_a_created_container_ends_it() {
    let bundle = Bundle::new();
    bundle.create().ok();
    bundle.kill("KILL").ok();
    bundle.becomes("stopped");
    bundle.delete().ok();
}

#[test]
fn run_passes_the_exit_code_and_the_streams_on() {
    for code in [0, 1, 42, 125, 126, 127, 255] {
        let output = Bundle::new()
            .shell(&format!("echo out; echo err >&2; exit {code}"))
            .run();
        assert_eq!(output.exits(code), "out\n");
        assert_eq!(output.stderr, "err\n");
    }
}

#[test]
fn run_passes_standard_input_on() {
    let bundle = Bundle::new().args(&["cat"]);
    fs::write(bundle.temp().join("input"), "through\n").unwrap();
    let input = fs::File::open(bundle.temp().join("input")).unwrap();
    assert_eq!(
        bundle.launch("run", &[]).stdin(input).output().ok(),
        "through\n"
    );
}

#[test]
fn run_forwards_signals_to_the_program() {
    let bundle = Bundle::new().shell(UNTIL_TERM);
    let run = bundle.launch("run", &[]).spawn();
    run.says("ready");
    run.signal(Signal::TERM);
    assert_eq!(run.wait().exits(7), "ready\nbye\n");
}

#[test]
fn run_detached_returns_while_the_program_runs() {
    let bundle = Bundle::new().args(&["sleep", "1000"]);
    let file = bundle.temp().join("pid");
    bundle
        .launch("run", &["--detach", "--pid-file", file.to_str().unwrap()])
        .output()
        .ok();
    assert_eq!(bundle.status(), "running");
    assert_eq!(fs::read_to_string(&file).unwrap(), bundle.pid().to_string());
    bundle.kill("KILL").ok();
    bundle.becomes("stopped");
    bundle.delete().ok();
}

#[test]
fn run_keeps_the_container_when_asked() {
    let bundle = Bundle::new();
    let output = bundle.launch("run", &["--keep"]).output();
    if crate::harness::is_foreign() && output.code != 0 {
        return skip("this runtime has no run --keep");
    }
    output.ok();
    assert_eq!(bundle.status(), "stopped");
    bundle.delete().ok();
}

#[test]
fn run_takes_the_bundle_from_the_current_directory() {
    let bundle = Bundle::new().args(&["echo", "here"]);
    bundle.write();
    let call = bundle.call(&["run", bundle.id()]).directory(&bundle.path());
    assert_eq!(call.output().ok(), "here\n");
}

#[test]
fn killed_run_leaves_a_container_that_delete_removes() {
    let bundle = Bundle::new().shell("echo ready; sleep 1000");
    let run = bundle.launch("run", &[]).spawn();
    run.says("ready");
    run.signal(Signal::KILL);
    run.wait();
    bundle.delete_by_force().ok();
    bundle.assert_clean();
}

#[test]
fn failed_create_leaves_nothing() {
    let bundle = Bundle::new().mount("/mnt", "nosuchfs", "none", &[]);
    bundle.create().refused(&["nosuchfs", "/mnt"]);
    bundle.assert_clean();
    let bundle = Bundle::new().args(&["/no/such/program"]);
    bundle.run().fails(127, &["/no/such/program"]);
    bundle.assert_clean();
}

#[test]
fn container_has_its_own_cgroup_until_it_is_deleted() {
    let bundle = running();
    let pid = bundle.pid().to_string();
    let cgroups = cgroups_named(bundle.id());
    let has_pid = |dir: &std::path::PathBuf| {
        let procs = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
        procs.lines().any(|line| line == pid)
    };
    assert!(cgroups.iter().any(has_pid), "{cgroups:?}");
    bundle.delete_by_force().ok();
    assert_eq!(cgroups_named(bundle.id()), Vec::<std::path::PathBuf>::new());
}

#[test]
fn two_creates_of_one_id_make_one_container() {
    let bundle = Bundle::new().args(&["sleep", "1000"]);
    let first = bundle.launch("create", &[]).spawn();
    let second = bundle.launch_as_written("create", &[]).spawn();
    let mut codes = [first.wait().code, second.wait().code];
    codes.sort_unstable();
    assert_eq!(codes, [0, 1]);
    assert_eq!(bundle.status(), "created");
    bundle.delete_by_force().ok();
}

#[test]
fn bundle_from_runc_spec_behaves_as_under_runc() {
    let Some(runc) = installed("runc") else {
        return skip("runc is not installed");
    };
    let script = "id; pwd; env | sort; hostname; ls /; grep -E '^(Cap|NoNew|Seccomp:)' /proc/self/status; exit 5";
    let outputs = [Bundle::new(), Bundle::new().by(runc.clone())].map(|mut bundle| {
        fs::remove_dir(bundle.path().join("nothing")).unwrap_err();
        let spec = Bundle::new().by(runc.clone());
        spec.bare_call()
            .args(["spec", "--bundle"])
            .arg(spec.path())
            .output()
            .ok();
        let text = fs::read_to_string(spec.path().join("config.json")).unwrap();
        bundle.config = serde_json::from_str(&text).unwrap();
        let bundle = bundle.set("/process/terminal", false).shell(script);
        let output = bundle.run();
        output.exits(5);
        output
    });
    assert_eq!(outputs[0].stdout, outputs[1].stdout);
}

#[test]
fn spec_writes_a_configuration_that_runs() {
    let bundle = Bundle::new();
    bundle
        .call(&["spec", "--bundle"])
        .arg(bundle.path())
        .output()
        .ok();
    let text = fs::read_to_string(bundle.path().join("config.json")).unwrap();
    let mut bundle = bundle;
    bundle.config = serde_json::from_str(&text).unwrap();
    let bundle = bundle
        .set("/process/terminal", false)
        .args(&["echo", "it runs"]);
    assert_eq!(bundle.run().ok(), "it runs\n");
    let again = bundle
        .call(&["spec", "--bundle"])
        .arg(bundle.path())
        .output();
    again.refused(&["config.json", "exist"]);
}

#[test]
fn features_prints_one_json_document() {
    let bundle = Bundle::new();
    let features = bundle.call(&["features"]).output().json();
    assert_eq!(
        features["ociVersionMin"]
            .as_str()
            .unwrap()
            .split('.')
            .next(),
        Some("1")
    );
    for kind in [
        "prestart",
        "createRuntime",
        "createContainer",
        "startContainer",
        "poststart",
        "poststop",
    ] {
        assert!(
            features["hooks"].as_array().unwrap().contains(&json!(kind)),
            "{kind}"
        );
    }
    assert!(
        features["mountOptions"]
            .as_array()
            .unwrap()
            .contains(&json!("rro"))
    );
    assert_eq!(features["linux"]["seccomp"]["enabled"], true);
}
