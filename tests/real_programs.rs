//! Programs of Debian's packages, unchanged, under `restricted`: they start, serve, store and stop as anywhere.
//! Not here: what `restricted` refuses (confinement_restricted.rs). What is run is in real_programs/, a file each.

mod root;

use std::time::Duration;

use crate::harness::{Bundle, Call, is_foreign, patience, skip};

/// `launch FLAGS ROOT -- INTERPRETER FILE`, if there is a root.
fn launch(flags: &[&str], interpreter: &str, file: &str) -> Option<(Bundle, Call)> {
    if is_foreign() {
        skip("other runtimes have no launch");
        return None;
    }
    let root = match root::root() {
        Ok(root) => root,
        Err(reason) => {
            skip(&reason);
            return None;
        }
    };
    let here = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/real_programs");
    let bundle = Bundle::new().profile(None);
    let call = bundle
        .call(&["launch"])
        .args(["--bind", &format!("{here}:/mnt:ro")])
        .args(flags)
        .arg(root)
        .args(["--", interpreter, &format!("/mnt/{file}")])
        .limit(patience(Duration::from_secs(120)));
    Some((bundle, call))
}

/// Runs under `restricted` with nothing but these lines as its output.
#[track_caller]
fn runs(interpreter: &str, file: &str, lines: &[&str]) {
    let Some((_bundle, call)) = launch(&[], interpreter, file) else {
        return;
    };
    let output = call.output();
    let all: String = lines.iter().map(|line| format!("{line}\n")).collect();
    assert_eq!(
        (output.code, &*output.stdout, &*output.stderr),
        (0, &*all, "")
    );
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
    let lines = ["served", "42", "child", "3dbf8bb5"];
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
    let lines = [
        "OK",
        "Background append only file rewriting started",
        "42",
        "OK",
        "appendonlydir",
        "dump.rdb",
    ];
    runs("/bin/sh", "redis.sh", &lines);
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
    let flags = ["--user", "postgres"];
    let Some((_bundle, call)) = launch(&flags, "/bin/sh", "postgres.sh") else {
        return;
    };
    let refused = call.output();
    assert!(
        refused
            .stderr
            .ends_with(" is refused by profile \"restricted\" (identity.minimum-uid)\ntry: use --profile baseline, which accepts this\n"),
        "{}",
        refused.stderr
    );
}
