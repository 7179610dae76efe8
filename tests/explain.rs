//! `--explain`: denied system calls are told with their rule, and denied exactly as without; and the verb `explain`.
//! Not here: which rule a call falls under and how arguments are worded (unit tests), recordings (record.rs).

use std::fs;

use serde_json::{Value, json};

use crate::harness::rootfs::copy_program;
use crate::harness::{Bundle, Call, Output, compiled, is_foreign, raw_calls, skip};

/// socket(AF_ALG, SOCK_SEQPACKET, 0) for the program `call`.
const ALG: &str = "41 38 5 0";

fn ready() -> Option<Bundle> {
    if is_foreign() {
        skip("other runtimes explain nothing");
        return None;
    }
    Some(raw_calls(Bundle::new().profile(None), ALG))
}

fn launch(bundle: &Bundle, flags: &[&str], script: &str) -> Output {
    bundle
        .call(&["launch"])
        .args(flags)
        .arg(bundle.rootfs())
        .args(["--", "/bin/sh", "-c", script])
        .output()
}

/// The denials of a launch, as JSON.
fn denials(bundle: &Bundle, script: &str) -> Value {
    let file = bundle.temp().join("denials.json");
    let flag = format!("--explain={}", file.display());
    launch(bundle, &[&flag], script);
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

#[test]
fn a_denied_call_is_told_with_its_rule_and_the_way_to_allow_it() {
    let Some(bundle) = ready() else { return };
    let output = launch(&bundle, &["--explain"], &format!("/call {ALG}; exit 7"));
    assert_eq!(output.exits(7), "-1\n");
    let expected = concat!(
        "denied 1x: socket(AF_ALG, SOCK_SEQPACKET, 0) by \"/call\" [pid 2]: EPERM, by profile \"restricted\", ",
        "seccomp.rules[13]: families with a history of holes, AF_ALG first\n",
        "  allow with this, and take the call out of seccomp.rules[13]:\n",
        "    [[seccomp.rules]]\n",
        "    names = [\"socket\"]\n",
        "    action = \"allow\"\n",
        "    args = [{ index = 0, one-of = [0x26] }]\n",
        "    reason = \"needed\"\n",
    );
    assert_eq!(output.stderr, expected);
    bundle.assert_clean();
}

#[test]
fn every_denial_counts_whoever_of_many_processes_asks() {
    let Some(bundle) = ready() else { return };
    let calls = [ALG; 50].join(" , ");
    let script =
        format!("i=0; while [ $i -lt 20 ]; do /call {calls} >/dev/null & i=$((i+1)); done; wait");
    let told = denials(&bundle, &script);
    let all = told["denials"].as_array().unwrap();
    assert_eq!(all.len(), 1, "{told}");
    assert_eq!(all[0]["count"], 1000);
    bundle.assert_clean();
}

#[test]
fn a_program_is_denied_the_same_with_and_without() {
    let Some(bundle) = ready() else { return };
    // unshare, clone of a user namespace, AF_ALG with a high bit, clone3, a number that nobody has, bpf, keyctl.
    let calls = "272 268435456 , 56 268435473 0 0 0 0 , 41 4294967334 5 0 , 435 0 0 , 999 , 321 0 0 0 , 250 0 , 41 2 1 0";
    let script = format!("/call {calls}");
    let plain = launch(&bundle, &[], &script);
    let explained = launch(&bundle, &["--explain"], &script);
    assert_eq!(plain.ok(), explained.ok());
    assert_eq!(plain.ok(), "-1\n-1\n-1\n-38\n-38\n-1\n-1\n3\n");
    let script = "/call int80 20; echo $?";
    // 128 and SIGSYS, which a listener cannot send as the kernel does.
    assert_eq!(launch(&bundle, &[], script).ok(), "159\n");
    assert_eq!(launch(&bundle, &["--explain"], script).ok(), "137\n");
    bundle.assert_clean();
}

#[test]
fn a_killed_process_is_told_and_was_killed() {
    let Some(bundle) = ready() else { return };
    let profile = bundle.temp().join("killer.toml");
    let text = concat!(
        "name = \"killer\"\ndescription = \"\"\n[seccomp]\ndefault-action = \"allow\"\narchitectures = [\"native\"]\n",
        "[[seccomp.rules]]\nnames = [\"socket\"]\naction = \"kill-process\"\nreason = \"no\\u001b[31m sockets\"\n",
    );
    fs::write(&profile, text).unwrap();
    let call = bundle.bare_call().arg("--profile").arg(&profile);
    let call = call.args(["launch", "--explain"]).arg(bundle.rootfs());
    let output = call.args(["--", "/call", "41", "2", "1", "0"]).output();
    assert_eq!(output.exits(137), "");
    let first = output.stderr.lines().next().unwrap();
    assert_eq!(
        first,
        "denied 1x: socket(AF_INET, SOCK_STREAM, 0) by \"/call\" [pid 1]: killed, by profile \"killer\", \
         seccomp.rules[0]: no\\u{1b}[31m sockets"
    );
    bundle.assert_clean();
}

#[test]
fn a_program_that_does_nothing_is_denied_nothing_and_one_that_is_not_there_is_one_error() {
    let Some(bundle) = ready() else { return };
    let output = launch(&bundle, &["--explain"], "exit 0");
    output.ok();
    assert_eq!(output.stderr, "no system call was denied\n");
    let call = bundle.call(&["launch", "--explain"]).arg(bundle.rootfs());
    let output = call.args(["--", "/no/such/program"]).output();
    assert_eq!(output.stderr.lines().count(), 1, "{output:?}");
    assert_eq!(output.code, 127);
    bundle.assert_clean();
}

#[test]
fn run_explains_too_and_leaves_nothing() {
    let Some(bundle) = ready() else { return };
    let bundle = bundle
        .profile(Some("restricted"))
        .set("/process/user", json!({"uid": 1000, "gid": 1000}));
    let output = bundle.launch("run", &["--explain"]).output();
    assert!(
        output.stderr.contains("denied 1x: socket(AF_ALG"),
        "{output:?}"
    );
    assert_eq!(output.ok(), "-1\n");
    bundle.assert_clean();
}

#[test]
fn what_has_no_filter_or_another_listener_is_not_explained() {
    let Some(bundle) = ready() else { return };
    let call = bundle
        .bare_call()
        .args(["--profile", "none", "launch", "--explain"]);
    let call = call.arg(bundle.rootfs());
    let output = call.args(["--", "/bin/true"]).output();
    output.fails(125, &["there is no filter of system calls"]);
    let filter = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "listenerPath": "/nowhere",
        "syscalls": [{"names": ["getcwd"], "action": "SCMP_ACT_NOTIFY"}],
    });
    let bundle = bundle
        .profile(Some("baseline"))
        .set("/linux/seccomp", filter);
    let output = bundle.launch("run", &["--explain"]).output();
    output.refused(&["SCMP_ACT_NOTIFY cannot be watched"]);
    bundle.assert_clean();
}

#[test]
fn explaining_takes_no_privileges() {
    let Some(bundle) = ready() else { return };
    let scratch = bundle.home_of_nobody();
    let as_user = |call: Call| call.nobody(&scratch);
    if !bundle.runs_without_root(as_user) {
        return;
    }
    let call = bundle.bare_call().args(["launch", "--explain"]);
    let call = call.arg(bundle.rootfs()).args(["--", "/bin/sh", "-c"]);
    let output = as_user(call.arg(format!("/call {ALG}"))).output();
    assert_eq!(output.ok(), "-1\n");
    let told = "denied 1x: socket(AF_ALG, SOCK_SEQPACKET, 0)";
    assert!(output.stderr.contains(told), "{output:?}");
    bundle.assert_clean();
}

#[test]
fn a_container_says_what_its_profile_tightened() {
    let Some(bundle) = ready() else { return };
    let bundle = bundle.profile(Some("baseline"));
    bundle.create().ok();
    let text = bundle.call(&["explain", bundle.id()]).output();
    let lines = text.lines();
    assert_eq!(lines[0], "profile \"baseline\", chosen by --profile");
    assert!(
        lines
            .iter()
            .any(|line| line.contains("of profile \"baseline\"")),
        "{lines:?}"
    );
    assert_eq!(*lines.last().unwrap(), "1 filter of system calls");
    let told = bundle
        .call(&["explain", bundle.id(), "--format", "json"])
        .output()
        .json();
    assert_eq!(told["chosenBy"], "flag");
    assert_eq!(told["changes"].as_array().unwrap().len(), lines.len() - 2);
    bundle.delete_by_force().ok();
    bundle.assert_clean();
}

#[test]
fn a_program_whose_memory_cannot_be_read_holds_nobody_up() {
    let Some(bundle) = ready() else { return };
    let Some(program) = compiled("userfault") else {
        return skip("there is no C compiler");
    };
    copy_program(&program, &bundle.rootfs().join("userfault"));
    let filter = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}],
    });
    // Faults of the kernel, too, are only a privileged program's to handle, unless the host says otherwise.
    let bundle = bundle
        .profile(Some("none"))
        .set("/linux/seccomp", filter)
        .capabilities(&["CAP_SYS_PTRACE"])
        .args(&["/userfault"]);
    let output = bundle.launch("run", &["--explain"]).output();
    if output.code == 77 {
        return skip("this kernel gives no userfaultfd");
    }
    assert_eq!(output.ok(), "38\n".repeat(5));
    assert!(
        output.stderr.starts_with("denied 5x: mkdir(0x"),
        "{output:?}"
    );
    bundle.assert_clean();
}
