//! What runtimes got wrong with filters in the field, row by row of docs/odd-inputs.md, with real calls inside.
//! Not here: every word of the specification (`confinement_seccomp`), what filters answer on paper (`src/seccomp/tests`).

use std::fs;

use serde_json::{Value, json};

use crate::harness::{Bundle, is_foreign, raw_calls, skip};

fn with(filter: Value) -> Bundle {
    Bundle::new()
        .set("/process/noNewPrivileges", true)
        .set("/linux/seccomp", filter)
}

fn only(names: &[&str], default: &str) -> Value {
    json!({"defaultAction": default, "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{"names": names, "action": "SCMP_ACT_ALLOW"}]})
}

#[test]
fn b47_masked_eq_decides_real_clone_and_unshare() {
    let docker: Value = serde_json::from_str(include_str!("golden/docker-seccomp.json")).unwrap();
    // clone of a thread without what one needs, which only the kernel refuses; of a user, a mount and a network namespace;
    // the same with a bit above the 32 that a filter of 32 bits would see; unshare of a user namespace and of a mount
    // namespace.
    let calls = "56 65536 0 0 0 0 , 56 268500992 0 0 0 0 , 56 196608 0 0 0 0 , 56 1073807360 0 0 0 0 , \
                 56 4563468288 0 0 0 0 , 272 268435456 , 272 131072";
    let output = raw_calls(with(docker), calls).run();
    assert_eq!(output.ok(), "-22\n-1\n-1\n-1\n-1\n-1\n-1\n");
}

#[test]
fn b48_rule_equal_to_the_default_action_is_skipped() {
    // The second rule for a call would be void, did the first one count.
    let filter = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["bdflush", "getppid"], "action": "SCMP_ACT_ALLOW"},
        {"names": ["getppid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 77},
    ]});
    if is_foreign() {
        return skip("other runtimes take the first rule for a call");
    }
    assert_eq!(raw_calls(with(filter), "110").run().ok(), "-77\n");
}

#[test]
fn b49_unknown_words_are_errors_with_the_list_of_valid_ones() {
    let refused = |filter: Value, words: &[&str]| {
        let output = with(filter).run();
        output.refused(words);
    };
    let rule = |rule: Value| json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]});
    if is_foreign() {
        return skip("other runtimes have other words");
    }
    refused(
        json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_PDP11"]}),
        &[
            "linux.seccomp.architectures[0]",
            "SCMP_ARCH_PDP11",
            "SCMP_ARCH_X86_64",
            "SCMP_ARCH_AARCH64",
        ],
    );
    refused(
        json!({"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_X"]}),
        &[
            "linux.seccomp.flags[0]",
            "SECCOMP_FILTER_FLAG_X",
            "SECCOMP_FILTER_FLAG_LOG",
            "SECCOMP_FILTER_FLAG_TSYNC",
        ],
    );
    refused(json!({"syscalls": []}), &["linux.seccomp", "defaultAction"]);
    let sixth = json!({"names": ["getppid"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]});
    refused(
        rule(sixth),
        &["linux.seccomp.syscalls[0].args[0].index: 6 is not"],
    );
    // A list that is null is none.
    with(json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": null}))
        .run()
        .ok();
}

#[test]
fn b49_unknown_calls_are_warned_of_and_findings_of_profile_check() {
    if is_foreign() {
        return skip("other runtimes have other words");
    }
    let rule = |rule: Value| json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]});
    let unknown = json!({"names": ["no_such_call", "getppid"], "action": "SCMP_ACT_ERRNO"});
    let bundle = raw_calls(with(rule(unknown)), "110");
    let output = bundle.run();
    assert_eq!(output.ok(), "-1\n");
    assert!(
        output
            .stderr
            .contains("unknown system calls are ignored: \"no_such_call\""),
        "{output:?}"
    );
    let file = bundle.temp().join("own.toml");
    fs::write(
        &file,
        "name = \"own\"\nextends = \"restricted\"\n[[seccomp.rules.add]]\nnames = [\"no_such_call\"]\naction = \"allow\"\nreason = \"\"\n",
    )
    .unwrap();
    let output = bundle
        .bare_call()
        .args(["profile", "check"])
        .arg(&file)
        .output();
    assert!(
        output
            .exits(1)
            .contains(":4: medium: unknown-system-call: seccomp.rules.add[0].names[0]: "),
        "{output:?}"
    );
}

#[test]
fn b51_calls_above_the_newest_known_are_enosys_and_those_below_eperm() {
    if is_foreign() {
        return skip("other runtimes make more calls under the filter");
    }
    // clone3 (435) and openat2 (437) are as new as the filter, futex_waitv (449) and 4000 are newer.
    let names = ["execve", "write", "exit", "exit_group", "openat2"];
    let calls = "110 , 435 0 0 , 449 0 0 0 0 0 , 4000";
    let output = raw_calls(with(only(&names, "SCMP_ACT_ERRNO")), calls).run();
    assert_eq!(output.ok(), "-1\n-1\n-38\n-38\n");
}

#[test]
fn b52_filter_needs_nothing_that_the_runtime_calls_and_one_without_execve_is_named() {
    if is_foreign() {
        return skip("other runtimes make more calls under the filter");
    }
    let names = ["execve", "write", "exit_group"];
    let bundle = raw_calls(with(only(&names, "SCMP_ACT_KILL_PROCESS")), "1 1 0 0");
    assert_eq!(bundle.run().ok(), "0\n");

    let rule = json!({"names": ["execve"], "action": "SCMP_ACT_ERRNO"});
    let bundle = with(json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}));
    let output = bundle.run();
    output.fails(
        126,
        &["denied by the seccomp filter of linux.seccomp: execve: "],
    );
    assert!(output.stderr.contains("allow execve there"), "{output:?}");
    bundle.assert_clean();
    // Without exit_group it cannot even end to say so.
    let bundle = with(only(&["write"], "SCMP_ACT_ERRNO"));
    bundle.run().refused(&[
        "start the container",
        "a seccomp filter that kills on execve",
    ]);
    bundle.assert_clean();
}
