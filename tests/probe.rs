//! `stockade probe`: promises are kept where a sandbox is made for it, and every row can be open and can be refused.
//! Not here: how an answer stands to a promise, which is pure and tested beside it (src/probe/tests.rs).

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::rootfs::copy_program;
use crate::harness::{
    Bundle, Call, Output, Pty, installed, is_foreign, runtime, say, skip, skip_part,
};

/// A bundle for its places; `None` for a runtime that has no such verb.
fn ready() -> Option<Bundle> {
    if is_foreign() {
        skip("other runtimes have no probe");
        return None;
    }
    Some(Bundle::new().profile(None))
}

fn probe(bundle: &Bundle, profile: Option<&str>, flags: &[&str]) -> Output {
    let call = match profile {
        Some(profile) => bundle.call(&["--profile", profile, "probe"]),
        None => bundle.call(&["probe"]),
    };
    call.args(flags).output()
}

/// The checks of a report in JSON by their ids.
fn checks(report: &Value) -> BTreeMap<String, Value> {
    let checks = report["checks"].as_array().unwrap().iter();
    checks
        .map(|check| (check["id"].as_str().unwrap().to_owned(), check.clone()))
        .collect()
}

fn answered(report: &Value, answer: &str) -> BTreeSet<String> {
    let checks = checks(report).into_iter();
    checks
        .filter(|(_, check)| check["answer"] == answer)
        .map(|(id, _)| id)
        .collect()
}

#[test]
fn every_grave_row_is_refused_under_the_strict_profiles() {
    let Some(bundle) = ready() else { return };
    for profile in ["restricted", "paranoid"] {
        let output = probe(
            &bundle,
            Some(profile),
            &["--format", "json", "--fail-on", "low"],
        );
        let report: Value = serde_json::from_str(output.ok()).unwrap();
        assert_eq!(report["summary"]["checks"], 72);
        assert_eq!(report["summary"]["errors"], 0);
        for (id, check) in checks(&report) {
            assert_ne!(check["outcome"], "fail", "{id}: {check}");
            if check["severity"] == "high" {
                assert_ne!(check["answer"], "open", "{id}: {check}");
            }
        }
    }
    bundle.assert_clean();
}

#[test]
fn promises_of_the_permissive_profiles_are_kept_too() {
    let Some(bundle) = ready() else { return };
    for profile in ["none", "baseline"] {
        let output = probe(&bundle, Some(profile), &["--fail-on", "low"]);
        assert_eq!(output.code, 0, "{profile}: {output:?}");
    }
    bundle.assert_clean();
}

/// Rows that this kind of host can show neither way, by what would have to be there.
const NEEDS: [(&str, &str); 10] = [
    ("modules", "a kernel with modules"),
    ("kexec", "a kernel with kexec"),
    ("ports", "a kernel with ioperm"),
    ("crypto-socket", "a kernel with AF_ALG"),
    ("crypto-socket-high", "a kernel with AF_ALG"),
    ("sysrq", "a kernel with the magic key"),
    ("cloud", "a route beyond this host"),
    ("secret-memory", "a kernel with memfd_secret"),
    ("oom-score", "CAP_SYS_RESOURCE"),
    ("null-and-core", "a hard limit of core files above 0"),
];

#[test]
fn every_row_is_open_somewhere_and_refused_somewhere() {
    let Some(bundle) = ready() else { return };
    let address = format!("stockade-probe-{}", std::process::id());
    let address = rustix::net::SocketAddrUnix::new_abstract_name(address.as_bytes()).unwrap();
    let socket = rustix::net::socket(
        rustix::net::AddressFamily::UNIX,
        rustix::net::SocketType::STREAM,
        None,
    );
    let socket = socket.unwrap();
    rustix::net::bind(&socket, &address).unwrap();
    // A shell that leaves a descriptor open.
    let host = Call::new("sh", &bundle.temp().join("calls"))
        .args(["-c", "exec 7</etc/passwd; exec \"$@\"", "sh"])
        .arg(runtime())
        .args(["probe", "--host", "--format", "json", "--fail-on", "never"])
        .output();
    let host: Value = serde_json::from_str(host.ok()).unwrap();
    let flags = ["--format", "json"];
    let none = probe(&bundle, Some("none"), &flags).json();
    let restricted = probe(&bundle, Some("restricted"), &flags).json();
    let mut open = answered(&host, "open");
    open.extend(answered(&none, "open"));
    let all: BTreeSet<String> = checks(&host).into_keys().collect();
    assert_eq!(all.len(), 72);
    for id in all.difference(&open) {
        let reason = NEEDS.iter().find(|(needing, _)| needing == id);
        let (_, reason) = reason.unwrap_or_else(|| panic!("{id} is open nowhere: {host}"));
        skip_part(id, reason);
    }
    // What programs of every kind need is refused by paranoid alone, if at all.
    let usual = ["sockets-work", "write-and-execute"];
    let usual: BTreeSet<String> = usual.map(str::to_owned).into();
    assert_eq!(answered(&restricted, "open"), usual);
}

#[test]
fn probe_in_a_bundle_runs_nothing_of_it() {
    let Some(bundle) = ready() else { return };
    let trace = bundle.outside("trace");
    let file = trace.join("ran");
    let hook = json!({"path": "/bin/touch", "args": ["touch", file]});
    let bundle = bundle
        .args(&["/bin/touch", "/tmp/ran"])
        .set("/hooks/createRuntime", json!([hook]));
    bundle.write();
    let path = bundle.path();
    let path = path.to_str().unwrap();
    let output = probe(
        &bundle,
        Some("none"),
        &["--bundle", path, "--format", "json"],
    );
    let report: Value = serde_json::from_str(output.ok()).unwrap();
    assert_eq!(
        report["subject"],
        format!("bundle \"{path}\", profile \"none\"")
    );
    assert_eq!(report["summary"]["checks"], 72);
    // It came by a descriptor, and that is closed.
    assert_eq!(checks(&report)["descriptors"]["answer"], "denied");
    assert_eq!(checks(&report)["own-binary"]["answer"], "denied");
    assert!(!file.exists() && !bundle.rootfs().join("tmp/ran").exists());
    let names: Vec<_> = fs::read_dir(bundle.rootfs())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(
        !names
            .iter()
            .any(|name| name.to_string_lossy().contains("stockade"))
    );
    bundle.assert_clean();
}

/// Looks at the streams of the process that comes, and writes to them. Its children have higher numbers.
const WRITES_TO_OTHERS: &str = r"while :; do
    for process in /proc/[0-9] /proc/[0-9][0-9] /proc/[0-9][0-9][0-9] /proc/[0-9][0-9][0-9][0-9]*; do
        [ $process = /proc/1 ] || [ $process = /proc/$$ ] && continue
        case $(readlink $process/exe) in *stockade*) ;; *) continue ;; esac
        for fd in 0 1 2; do echo $fd $(readlink $process/fd/$fd) >>/seen; done
        printf '\033]0;evil\007' 1<>$process/fd/2
        kill -KILL ${process#/proc/}
        exec sleep 1000
    done
done 2>/dev/null";

#[test]
fn a_probe_in_a_container_brings_no_terminal_there() {
    if ready().is_none() {
        return;
    }
    let bundle = Bundle::new().profile(Some("none")).shell(WRITES_TO_OTHERS);
    bundle.launch("run", &["--detach"]).output().ok();
    let mut pty = Pty::new();
    let running = bundle
        .call(&["probe", "--container", bundle.id()])
        .terminal(&pty.end)
        .spawn();
    let said = pty.all_of(&running);
    assert_eq!(running.wait().code, 2, "{said}");
    let expected = concat!(
        "error: collect the answers: the program that probes ended with 137: ",
        r#""\u{1b}]0;evil\u{7}""#
    );
    assert_eq!(said.trim_end(), expected);
    let seen = fs::read_to_string(bundle.rootfs().join("seen")).unwrap();
    let expected = "0 /dev/null\n1 /memfd:answers (deleted)\n2 /memfd:said (deleted)\n";
    assert_eq!(seen, expected);
    bundle.delete_by_force().ok();
}

#[test]
fn probe_in_a_container_has_its_confinements() {
    let Some(bundle) = ready() else { return };
    let bundle = bundle
        .profile(Some("restricted"))
        .args(&["/bin/sleep", "1000"])
        .set("/process/user", json!({"uid": 1000, "gid": 1000}))
        .no_mount("/sys")
        .no_mount("/sys/fs/cgroup");
    bundle.launch("run", &["--detach"]).output().ok();
    let id = bundle.id().to_owned();
    let output = bundle
        .call(&["probe", "--container", &id, "--format", "json"])
        .output();
    let report = output.json();
    assert_eq!(report["subject"], format!("container \"{id}\""));
    let checks = checks(&report);
    assert_eq!(checks.len(), 72);
    for id in [
        "root",
        "mount",
        "user-namespace",
        "clone3",
        "bpf",
        "descriptors",
        "writable-root",
    ] {
        assert_ne!(checks[id]["answer"], "open", "{id}: {}", checks[id]);
    }
    assert_eq!(checks["clone3"]["answer"], "filtered");
    assert_eq!(bundle.status(), "running");
    bundle.delete_by_force().ok();
    bundle.assert_clean();
}

#[test]
fn probe_exits_with_1_where_a_promise_is_broken_and_2_where_it_fails_itself() {
    let Some(bundle) = ready() else { return };
    let host = |flags: &[&str]| {
        let flags = [&["--host", "--only", "root,kernel-facts"], flags].concat();
        probe(&bundle, Some("restricted"), &flags).code
    };
    assert_eq!(host(&[]), 1);
    assert_eq!(host(&["--fail-on", "never"]), 0);
    let low = ["--host", "--only", "kernel-facts", "--fail-on", "high"];
    assert_eq!(probe(&bundle, Some("restricted"), &low).code, 0);
    let unknown = probe(&bundle, None, &["--only", "root,bogus"]);
    unknown.fails(2, &["there is no probe \"bogus\""]);
    let missing = probe(&bundle, None, &["--bundle", "/no/such"]);
    missing.fails(2, &["/no/such"]);
    let gone = probe(&bundle, None, &["--container", "nobody"]);
    gone.fails(2, &["nobody"]);
    assert_eq!(probe(&bundle, None, &["--host", "--list"]).code, 2);
}

#[test]
fn list_has_every_probe_and_why_it_matters() {
    let Some(bundle) = ready() else { return };
    let output = probe(&bundle, None, &["--list"]);
    let lines = output.lines();
    assert_eq!(lines.len(), 73);
    assert!(lines[1].starts_with("root ") && lines[72].starts_with("set-user-id "));
}

#[test]
fn formats_for_machines_say_the_same() {
    let Some(bundle) = ready() else { return };
    let host = |format: &str| {
        let flags = ["--host", "--only", "root,sockets-work", "--format", format];
        probe(&bundle, Some("restricted"), &flags)
    };
    let tap = host("tap");
    let tap = tap.exits(1);
    assert!(tap.starts_with("TAP version 14\n1..2\n"), "{tap}");
    assert!(
        tap.contains("\nnot ok 1 - root: runs as user 0\n  ---\n"),
        "{tap}"
    );
    let junit = host("junit");
    let junit = junit.exits(1);
    assert!(
        junit.contains("tests=\"2\" failures=\"1\" errors=\"0\""),
        "{junit}"
    );
    let sarif: Value = serde_json::from_str(host("sarif").exits(1)).unwrap();
    assert_eq!(sarif["runs"][0]["results"][0]["ruleId"], "root");
    assert_eq!(
        sarif["runs"][0]["results"].as_array().map(Vec::len),
        Some(1)
    );
}

/// What an engine asks of a runtime when its user asks for nothing.
fn docker_like(bundle: Bundle) -> Bundle {
    let names = "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE \
        SYS_CHROOT KILL AUDIT_WRITE";
    let names: Vec<String> = names
        .split_whitespace()
        .map(|name| format!("CAP_{name}"))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let masked = "/proc/asound /proc/acpi /proc/interrupts /proc/kcore /proc/keys /proc/latency_stats \
        /proc/timer_list /proc/timer_stats /proc/sched_debug /proc/scsi /sys/firmware \
        /sys/devices/virtual/powercap";
    let masked: Vec<&str> = masked.split_whitespace().collect();
    let filter: Value = serde_json::from_str(include_str!("golden/docker-seccomp.json")).unwrap();
    bundle
        .capabilities(&names)
        .set("/process/noNewPrivileges", false)
        .set("/linux/maskedPaths", json!(masked))
        .set("/linux/seccomp", filter)
        .set(
            "/linux/resources",
            json!({"devices": [{"allow": false, "access": "rwm"}]}),
        )
}

/// Runs crun where it sees the hierarchies of version 1 alone: it refuses hosts that have both versions.
const CRUN_ON_V1: &str = r#"#!/bin/sh
exec unshare --mount --propagation private sh -ec '
  mounted=$(sed -n "s|.* - cgroup [^ ]* rw,||p" /proc/self/mountinfo)
  mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
  for of in $mounted; do
    mkdir "/sys/fs/cgroup/${of#name=}"
    mount -t cgroup -o "$of" cgroup "/sys/fs/cgroup/${of#name=}"
  done
  exec crun "$@"' crun "$@"
"#;

/// A bundle whose program is this one, held against `restricted`.
fn foreign(runtime: Option<&str>) -> Option<Bundle> {
    let bundle = Bundle::new();
    let is_hybrid = Path::new("/sys/fs/cgroup/unified/cgroup.procs").exists();
    let bundle = match runtime {
        None => bundle,
        Some("crun") if is_hybrid => {
            installed("crun")?;
            let script = bundle.temp().join("crun-v1");
            fs::write(&script, CRUN_ON_V1).unwrap();
            fs::set_permissions(&script, Permissions::from_mode(0o755)).unwrap();
            bundle.by(script)
        }
        Some(name) => bundle.by(installed(name)?),
    };
    copy_program(
        &crate::harness::runtime(),
        &bundle.rootfs().join("stockade"),
    );
    let words = [
        "/stockade",
        "probe",
        "--host",
        "--format",
        "json",
        "--fail-on",
        "never",
    ];
    Some(docker_like(bundle).args(&words))
}

#[test]
fn exposure_falls_from_peers_to_strict_profiles() {
    if is_foreign() {
        return skip("other runtimes have no probe");
    }
    let mut rows: Vec<(String, Value)> = Vec::new();
    for name in ["runc", "crun"] {
        let Some(bundle) = foreign(Some(name)) else {
            skip_part(name, "it is not installed");
            continue;
        };
        let output = bundle.run();
        if output.code != 0 {
            skip_part(name, "it does not run here");
            continue;
        }
        rows.push((format!("{name}, Docker's config"), output.json()));
    }
    for profile in ["none", "baseline"] {
        let bundle = foreign(None).unwrap().profile(Some(profile));
        let row = format!("stockade {profile}, Docker's config");
        rows.push((row, bundle.run().json()));
    }
    let bundle = Bundle::new().profile(None);
    for profile in ["none", "baseline", "restricted", "paranoid"] {
        let output = probe(&bundle, Some(profile), &["--format", "json"]);
        rows.push((format!("stockade launch, {profile}"), output.json()));
    }
    let exposure =
        |report: &Value| -> f64 { report["exposure"].as_str().unwrap().parse().unwrap() };
    for (name, report) in &rows {
        let tally = |answer| answered(report, answer).len();
        let (filtered, denied, open) = (tally("filtered"), tally("denied"), tally("open"));
        let rating = report["rating"].as_str().unwrap();
        say(&format!(
            "| {name} | {:.1} {rating} | {filtered} | {denied} | {open} |",
            exposure(report)
        ));
    }
    let of = |name: &str| {
        let row = rows.iter().find(|(row, _)| row == name);
        row.map(|(_, report)| exposure(report))
    };
    let baseline = of("stockade baseline, Docker's config").unwrap();
    if let Some(runc) = of("runc, Docker's config") {
        assert!(baseline < runc, "{baseline} {runc}");
    }
    assert!(baseline < of("stockade none, Docker's config").unwrap());
    let restricted = of("stockade launch, restricted").unwrap();
    assert!(restricted < of("stockade launch, baseline").unwrap());
    assert!(restricted < 0.5, "{restricted}");
}
