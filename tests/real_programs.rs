//! Programs of Debian's packages, unchanged, under `restricted`, one under `paranoid`: they start, serve, store and stop as
//! anywhere.
//! Not here: what `restricted` refuses (confinement_restricted.rs). What is run is in real_programs/, a file each.

mod root;

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Bundle, Call, is_foreign, patience, skip};

/// What redis.sh says.
const REDIS: &[&str] = &[
    "OK",
    "Background append only file rewriting started",
    "42",
    "OK",
    "appendonlydir",
    "dump.rdb",
];

/// The root, if there is one, and where state is.
fn ready() -> Option<(&'static Path, Bundle)> {
    if is_foreign() {
        skip("other runtimes have no launch");
        return None;
    }
    match root::root() {
        Ok(root) => Some((root, Bundle::new().profile(None))),
        Err(reason) => {
            skip(&reason);
            None
        }
    }
}

/// `VERB ROOT -- COMMAND`, with the scripts in /mnt.
fn call(bundle: &Bundle, root: &Path, verb: &[&str], command: &[&str]) -> Call {
    let here = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/real_programs");
    bundle
        .call(verb)
        .args(["--bind", &format!("{here}:/mnt:ro")])
        .arg(root)
        .arg("--")
        .args(command)
        .limit(patience(Duration::from_secs(120)))
}

/// It ends well with nothing but these lines as its output.
#[track_caller]
fn says(call: Call, lines: &[&str]) {
    let output = call.output();
    let all: String = lines.iter().map(|line| format!("{line}\n")).collect();
    assert_eq!(
        (output.code, &*output.stdout, &*output.stderr),
        (0, &*all, "")
    );
}

/// Runs under `restricted`.
#[track_caller]
fn runs(interpreter: &str, file: &str, lines: &[&str]) {
    if let Some((root, bundle)) = ready() {
        let command = [interpreter, &format!("/mnt/{file}")];
        says(call(&bundle, root, &["launch"], &command), lines);
    }
}

/// Runs under the profile that is recorded of it as under `restricted`, and a call that was not recorded is named.
#[track_caller]
fn runs_as_recorded(interpreter: &str, file: &str, lines: &[&str]) {
    let Some((root, bundle)) = ready() else {
        return;
    };
    let command = [interpreter, &format!("/mnt/{file}")];
    let profile = bundle.temp().join("recorded.toml");
    let profile = profile.to_str().unwrap();
    let recording = call(&bundle, root, &["record", "-o", profile], &command).output();
    let all: String = lines.iter().map(|line| format!("{line}\n")).collect();
    assert_eq!((recording.code, &*recording.stdout), (0, &*all));

    let denials = bundle.temp().join("denials.json");
    let explain = format!("--explain={}", denials.to_str().unwrap());
    let verb = ["--profile", profile, "launch", &explain];
    says(call(&bundle, root, &verb, &command), lines);
    let told: Value = serde_json::from_slice(&fs::read(&denials).unwrap()).unwrap();
    // `restricted` has no clone3, whose flags no filter can read: the C library tries it for each thread, then takes clone.
    let denials = told["denials"].as_array().unwrap();
    let others = denials.iter().filter(|denial| denial["call"] != "clone3");
    assert_eq!(others.count(), 0, "{told}");

    let verb = ["--profile", profile, "launch", "--explain"];
    let other = call(&bundle, root, &verb, &["/usr/bin/mkfifo", "/tmp/fifo"]).output();
    assert_eq!(other.code, 1, "{}", other.stderr);
    assert!(other.stderr.contains("mknod"), "{}", other.stderr);
}

#[test]
fn busybox_serves_and_archives() {
    let lines = ["page", "www/", "www/index.html", "5050"];
    runs("/bin/sh", "busybox.sh", &lines);
}

#[test]
fn python_serves_tls_on_threads_and_shares_memory() {
    runs("/usr/bin/python3", "python.py", &["over TLS", "55"]);
}

#[test]
fn node_serves_and_has_workers_and_children() {
    let lines = ["served", "42", "child", "a9ad8392"];
    runs("/usr/bin/node", "node.js", &lines);
}

#[test]
fn perl_has_pipes_signals_and_files() {
    let lines = ["child", "alarm", "pair", "kept"];
    runs("/usr/bin/perl", "perl.pl", &lines);
}

#[test]
fn sqlite_has_a_write_ahead_log() {
    runs("/bin/sh", "sqlite.sh", &["wal", "3", "ok"]);
}

#[test]
fn redis_serves_and_stores() {
    runs("/bin/sh", "redis.sh", REDIS);
}

#[test]
fn nginx_serves_reloads_and_stops() {
    runs("/bin/sh", "nginx.sh", &["200", "200", "404", "200"]);
}

#[test]
fn postgres_makes_a_cluster_and_answers_queries() {
    runs("/bin/sh", "postgres.sh", &["500500", "500"]);
}

#[test]
fn git_commits_and_clones() {
    runs("/bin/sh", "git.sh", &["first"]);
}

#[test]
fn java_makes_keys_on_threads() {
    let lines = ["PrivateKeyEntry", "OpenJDK 64-Bit Server VM"];
    runs("/bin/sh", "java.sh", &lines);
}

#[test]
fn postgres_as_its_system_user_needs_one_line_of_a_profile() {
    let Some((root, bundle)) = ready() else {
        return;
    };
    let command = ["/bin/sh", "/mnt/postgres.sh"];
    let refused = call(&bundle, root, &["launch", "--user", "postgres"], &command).output();
    let rule = "is refused by profile \"restricted\" (identity.minimum-uid)";
    refused.fails(125, &["process.user.uid: ", rule]);

    let profile = bundle.temp().join("system-users.toml");
    let line = "name = \"system-users\"\nextends = \"restricted\"\n[identity]\nminimum-uid = 100\n";
    fs::write(&profile, line).unwrap();
    let verb = [
        "--profile",
        profile.to_str().unwrap(),
        "launch",
        "--user",
        "postgres",
    ];
    says(call(&bundle, root, &verb, &command), &["500500", "500"]);
}

#[test]
fn recorded_nginx_serves_and_nothing_else() {
    runs_as_recorded("/bin/sh", "nginx.sh", &["200", "200", "404", "200"]);
}

#[test]
fn recorded_redis_serves_and_nothing_else() {
    runs_as_recorded("/bin/sh", "redis.sh", REDIS);
}

#[test]
fn recorded_python_serves_and_nothing_else() {
    runs_as_recorded("/usr/bin/python3", "python.py", &["over TLS", "55"]);
}

#[test]
fn paranoid_lets_python_compute_and_start_threads_and_programs() {
    let Some((root, bundle)) = ready() else {
        return;
    };
    let script = "import subprocess, threading
thread = threading.Thread(target=lambda: print(6 * 7, flush=True)); thread.start(); thread.join()
open('/tmp/a', 'w').write('kept'); subprocess.run(['/bin/cat', '/tmp/a'], check=True); print()";
    let verb = ["--profile", "paranoid", "launch"];
    let command = ["/usr/bin/python3", "-c", script];
    let output = call(&bundle, root, &verb, &command).output();
    assert_eq!((output.code, &*output.stdout), (0, "42\nkept\n"));
    // What this host lacks for the profile is told.
    let mut lines = output.stderr.lines();
    let is_told = |line: &str| line.starts_with("warning: ") && line.contains("\"paranoid\"");
    assert!(lines.all(is_told), "{}", output.stderr);
}
