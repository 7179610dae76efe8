//! Programs against the calls they decide, and against a direct reading of the rules (`direct`).

mod direct;
mod profiles;

use super::bpf::{Data, evaluate, ret_words};
use super::{Compiled, Host, check_kernel, compile, compile_for, supported};
use crate::names::syscalls::{Abi, X32_BIT, named};
use crate::spec::Seccomp;
use serde_json::{Value, json};

/// Of its warnings.
fn texts(filter: &Compiled) -> Vec<String> {
    filter.warnings.iter().map(ToString::to_string).collect()
}

const DOCKER: &str = include_str!("../../tests/golden/docker-seccomp.json");

fn profile(value: Value) -> Seccomp {
    serde_json::from_value(value).unwrap()
}

fn compiled(value: Value) -> Compiled {
    compile_for(&profile(value), Host::X8664).unwrap()
}

fn error(value: Value) -> String {
    compile_for(&profile(value), Host::X8664)
        .unwrap_err()
        .to_string()
}

/// The answer to a call by name, in words.
fn answer(filter: &Compiled, abi: Abi, name: &str, args: &[u64]) -> String {
    let nr = named(name).and_then(|call| call.number(abi)).unwrap();
    numbered(filter, abi, nr, args)
}

fn numbered(filter: &Compiled, abi: Abi, nr: u32, args: &[u64]) -> String {
    let mut call = Data {
        nr,
        arch: abi.audit_arch(),
        ..Data::default()
    };
    call.args[..args.len()].copy_from_slice(args);
    ret_words(evaluate(&filter.program, &call).unwrap())
}

const ALLOW: &str = "SCMP_ACT_ALLOW";
const EPERM: &str = "SCMP_ACT_ERRNO(1)";
const ENOSYS: &str = "SCMP_ACT_ERRNO(38)";
const KILL: &str = "SCMP_ACT_KILL_PROCESS";

#[test]
fn docker_profile_decides_as_documented() {
    let filter = compiled(serde_json::from_str(DOCKER).unwrap());
    let x86_64 = |name, args: &[u64]| answer(&filter, Abi::X8664, name, args);
    assert_eq!(x86_64("read", &[]), ALLOW);
    assert_eq!(x86_64("mount", &[]), EPERM);
    assert_eq!(x86_64("unshare", &[0x1000_0000]), EPERM);
    assert_eq!(x86_64("clone3", &[]), ENOSYS);
    assert_eq!(x86_64("clone", &[0x11]), ALLOW);
    assert_eq!(x86_64("clone", &[0x1000_0011]), EPERM);
    assert_eq!(x86_64("clone", &[0x1_1000_0011]), EPERM);
    assert_eq!(x86_64("socket", &[1, 2, 3]), ALLOW);
    assert_eq!(x86_64("socket", &[40]), EPERM);
    assert_eq!(x86_64("socket", &[(1 << 32) + 40]), EPERM);
    assert_eq!(x86_64("personality", &[8]), ALLOW);
    assert_eq!(x86_64("personality", &[u64::MAX]), ALLOW);
    assert_eq!(x86_64("personality", &[0x4_0000]), EPERM);
    assert_eq!(numbered(&filter, Abi::X8664, 467, &[]), ENOSYS);
    assert_eq!(numbered(&filter, Abi::X8664, u32::MAX, &[]), ENOSYS);
    assert_eq!(answer(&filter, Abi::X32, "read", &[]), ALLOW);
    assert_eq!(answer(&filter, Abi::X32, "mount", &[]), EPERM);
    assert_eq!(answer(&filter, Abi::X86, "socketcall", &[1]), ALLOW);
    assert_eq!(answer(&filter, Abi::X86, "socket", &[40]), EPERM);
    assert_eq!(answer(&filter, Abi::X86, "mount", &[]), EPERM);
    assert_eq!(answer(&filter, Abi::Aarch64, "read", &[]), KILL);
    assert!(filter.program.len() < 600, "{}", filter.program.len());
    let expected = [
        "linux.seccomp.syscalls: on SCMP_ARCH_X86 the arguments of socket cannot be checked through socketcall",
    ];
    assert_eq!(texts(&filter), expected);
}

#[test]
fn docker_profile_compiles_for_aarch64() {
    let filter = compile_for(&serde_json::from_str(DOCKER).unwrap(), Host::Aarch64).unwrap();
    assert_eq!(answer(&filter, Abi::Aarch64, "openat", &[]), ALLOW);
    assert_eq!(answer(&filter, Abi::Aarch64, "mount", &[]), EPERM);
    assert_eq!(answer(&filter, Abi::Arm, "openat", &[]), KILL);
    assert_eq!(
        filter.warnings[0].to_string(),
        "linux.seccomp.architectures[0]: SCMP_ARCH_X86_64 does not run on this host; ignored"
    );
}

#[test]
fn high_bits_of_an_int_argument_do_not_slip_past_a_rule() {
    let filter = compiled(json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["socket"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "value": 38, "op": "SCMP_CMP_EQ"}]},
        {"names": ["ioctl"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 1, "value": 0x5412, "op": "SCMP_CMP_EQ"}]},
        {"names": ["unshare"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "value": 7, "op": "SCMP_CMP_EQ"}]},
    ]}));
    for family in [38, (1 << 32) | 38, (u64::MAX << 32) | 38] {
        assert_eq!(answer(&filter, Abi::X8664, "socket", &[family]), EPERM);
    }
    assert_eq!(answer(&filter, Abi::X8664, "socket", &[39]), ALLOW);
    assert_eq!(
        answer(&filter, Abi::X8664, "ioctl", &[0, (9 << 32) | 0x5412]),
        EPERM
    );
    // unsigned long: the kernel reads all 64 bits and refuses unknown ones itself.
    assert_eq!(
        answer(&filter, Abi::X8664, "unshare", &[(1 << 32) | 7]),
        ALLOW
    );
}

#[test]
fn masked_equality_takes_value_as_mask() {
    let filter = compiled(json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
        {"names": ["clone"], "action": "SCMP_ACT_ALLOW",
         "args": [{"index": 0, "value": 2_114_060_288u32, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]},
    ]}));
    assert_eq!(answer(&filter, Abi::X8664, "clone", &[0x0100_0011]), ALLOW);
    assert_eq!(answer(&filter, Abi::X8664, "clone", &[0x0002_0011]), EPERM);
}

#[test]
fn unlisted_architectures_are_killed() {
    let filter = compiled(json!({"defaultAction": "SCMP_ACT_ALLOW"}));
    assert_eq!(answer(&filter, Abi::X8664, "read", &[]), ALLOW);
    assert_eq!(answer(&filter, Abi::X86, "read", &[]), KILL);
    assert_eq!(answer(&filter, Abi::X32, "read", &[]), KILL);
    assert_eq!(numbered(&filter, Abi::X8664, X32_BIT, &[]), KILL);
    assert_eq!(numbered(&filter, Abi::X8664, u32::MAX - 1, &[]), KILL);
    assert_eq!(numbered(&filter, Abi::X8664, u32::MAX, &[]), ALLOW);
}

#[test]
fn calls_newer_than_the_profile_do_not_exist() {
    let rules = json!([{"names": ["read", "openat2"], "action": "SCMP_ACT_ALLOW"}]);
    let filter = |action: &str| compiled(json!({"defaultAction": action, "syscalls": rules}));
    let denying = filter("SCMP_ACT_ERRNO");
    assert_eq!(answer(&denying, Abi::X8664, "clone3", &[]), EPERM);
    assert_eq!(answer(&denying, Abi::X8664, "pidfd_getfd", &[]), ENOSYS);
    assert_eq!(
        answer(&filter("SCMP_ACT_KILL"), Abi::X8664, "mseal", &[]),
        ENOSYS
    );
    assert_eq!(
        answer(&filter("SCMP_ACT_LOG"), Abi::X8664, "mseal", &[]),
        "SCMP_ACT_LOG"
    );
    let empty = compiled(json!({"defaultAction": "SCMP_ACT_KILL_THREAD"}));
    assert_eq!(
        answer(&empty, Abi::X8664, "mseal", &[]),
        "SCMP_ACT_KILL_THREAD"
    );
}

#[test]
fn first_rule_without_conditions_wins_and_says_so() {
    let filter = compiled(json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
        {"names": ["kill"], "action": "SCMP_ACT_KILL", "args": [{"index": 1, "value": 9, "op": "SCMP_CMP_EQ"}]},
        {"names": ["kill"], "action": "SCMP_ACT_ALLOW"},
        {"names": ["kill"], "action": "SCMP_ACT_TRAP"},
    ]}));
    assert_eq!(answer(&filter, Abi::X8664, "kill", &[1, 9]), ALLOW);
    assert_eq!(
        texts(&filter),
        ["linux.seccomp.syscalls[0]: a rule without conditions for the same call makes it void"]
    );
}

#[test]
fn strictest_of_several_matching_rules_wins_in_any_order() {
    let allow = json!({"names": ["ioctl"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 3, "op": "SCMP_CMP_LT"}]});
    let kill = json!({"names": ["ioctl"], "action": "SCMP_ACT_KILL_PROCESS", "args": [{"index": 1, "value": 5, "op": "SCMP_CMP_EQ"}]});
    for rules in [[&allow, &kill], [&kill, &allow]] {
        let filter = compiled(json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules}));
        assert_eq!(answer(&filter, Abi::X8664, "ioctl", &[0, 5]), KILL);
        assert_eq!(answer(&filter, Abi::X8664, "ioctl", &[0, 6]), ALLOW);
        assert_eq!(answer(&filter, Abi::X8664, "ioctl", &[3, 6]), EPERM);
    }
}

#[test]
fn rule_equal_to_the_default_is_left_out() {
    let filter = compiled(json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["bdflush", "read"], "action": "SCMP_ACT_ALLOW"},
        {"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5},
    ]}));
    assert_eq!(
        answer(&filter, Abi::X8664, "read", &[]),
        "SCMP_ACT_ERRNO(5)"
    );
}

#[test]
fn conditions_on_one_argument_are_alternatives() {
    let filter = compiled(json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
        {"names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": [
            {"index": 0, "value": 0, "op": "SCMP_CMP_EQ"}, {"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}]},
        {"names": ["ioctl"], "action": "SCMP_ACT_ALLOW", "args": [
            {"index": 0, "value": 0, "op": "SCMP_CMP_EQ"}, {"index": 1, "value": 8, "op": "SCMP_CMP_EQ"}]},
    ]}));
    assert_eq!(answer(&filter, Abi::X8664, "personality", &[8]), ALLOW);
    assert_eq!(answer(&filter, Abi::X8664, "ioctl", &[0, 7]), EPERM);
    assert_eq!(answer(&filter, Abi::X8664, "ioctl", &[0, 8]), ALLOW);
    assert_eq!(
        texts(&filter),
        [
            "linux.seccomp.syscalls[0].args: one argument is compared more than once, so any one of the conditions suffices"
        ]
    );
}

#[test]
fn denied_socket_is_denied_through_socketcall_too() {
    let filter = compiled(
        json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86"], "syscalls": [
            {"names": ["connect"], "action": "SCMP_ACT_ERRNO"},
            {"names": ["socket"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "value": 38, "op": "SCMP_CMP_EQ"}]},
            {"names": ["shmget"], "action": "SCMP_ACT_ERRNO"},
        ]}),
    );
    assert_eq!(answer(&filter, Abi::X86, "socketcall", &[3]), EPERM);
    assert_eq!(answer(&filter, Abi::X86, "socketcall", &[1]), EPERM);
    assert_eq!(answer(&filter, Abi::X86, "socketcall", &[4]), ALLOW);
    assert_eq!(answer(&filter, Abi::X86, "ipc", &[0x1_0017]), EPERM);
    assert_eq!(answer(&filter, Abi::X86, "socket", &[1]), ALLOW);
}

#[test]
fn wrong_fields_are_named() {
    let rule = |rule: Value| error(json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}));
    assert_eq!(
        rule(
            json!({"names": ["read"], "action": "SCMP_ACT_KILL", "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]})
        ),
        "linux.seccomp.syscalls[0].args[0].index: 6 is not 0 to 5"
    );
    assert_eq!(
        rule(json!({"names": [], "action": "SCMP_ACT_KILL"})),
        "linux.seccomp.syscalls[0].names: at least one name is needed"
    );
    assert_eq!(
        rule(json!({"names": ["read"], "action": "SCMP_ACT_KILL", "errnoRet": 1})),
        "linux.seccomp.syscalls[0].errnoRet: SCMP_ACT_KILL takes no errno"
    );
    assert_eq!(
        rule(json!({"names": ["read"], "action": "SCMP_ACT_NOTIFY"})),
        "linux.seccomp.syscalls[0].action: SCMP_ACT_NOTIFY needs linux.seccomp.listenerPath"
    );
    assert_eq!(
        error(json!({"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1})),
        "linux.seccomp.defaultErrnoRet: SCMP_ACT_ALLOW takes no errno"
    );
    assert_eq!(
        error(json!({"defaultAction": "SCMP_ACT_NOTIFY", "listenerPath": "/a"})),
        "linux.seccomp.defaultAction: SCMP_ACT_NOTIFY cannot be the default"
    );
    assert_eq!(
        error(json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerMetadata": "x"})),
        "linux.seccomp.listenerMetadata: it needs linux.seccomp.listenerPath"
    );
}

#[test]
fn same_conditions_with_another_action_are_an_error() {
    let args = json!([{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]);
    let text = error(json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
        {"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": args},
        {"names": ["socket"], "action": "SCMP_ACT_TRAP", "args": args},
    ]}));
    assert_eq!(
        text,
        "linux.seccomp.syscalls[1]: the conditions of linux.seccomp.syscalls[0] for \"socket\" with another action"
    );
}

#[test]
fn too_large_a_profile_is_an_error() {
    let rules: Vec<Value> = (0..2100)
        .map(|i| json!({"names": ["unshare"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "value": i, "op": "SCMP_CMP_EQ"}]}))
        .collect();
    let text = error(json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}));
    assert!(
        text.starts_with("linux.seccomp.syscalls: the filter needs "),
        "{text}"
    );
    assert!(
        text.ends_with(" instructions, the kernel takes 4096"),
        "{text}"
    );
}

#[test]
fn jumps_beyond_255_instructions_arrive() {
    let rules: Vec<Value> = (0..900)
        .map(|i| {
            json!({"names": ["unshare"], "action": "SCMP_ACT_ERRNO", "errnoRet": i % 7 + 1,
            "args": [{"index": 0, "value": i, "op": "SCMP_CMP_EQ"}]})
        })
        .collect();
    let filter = compiled(json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}));
    for i in [0, 1, 250, 500, 899] {
        let expected = format!("SCMP_ACT_ERRNO({})", i % 7 + 1);
        assert_eq!(answer(&filter, Abi::X8664, "unshare", &[i]), expected);
    }
    assert_eq!(answer(&filter, Abi::X8664, "unshare", &[900]), ALLOW);
    assert_eq!(answer(&filter, Abi::X8664, "read", &[0]), ALLOW);
}

#[test]
fn unknown_names_and_useless_values_are_warned_about() {
    let filter = compiled(
        json!({"defaultAction": "SCMP_ACT_ERRNO", "flags": ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"],
            "architectures": ["SCMP_ARCH_RISCV64"], "syscalls": [
            {"names": ["read", "no\nsuch"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 1u64 << 33, "op": "SCMP_CMP_EQ"}]},
            {"names": ["unshare"], "action": "SCMP_ACT_ALLOW",
             "args": [{"index": 0, "value": 6, "valueTwo": 9, "op": "SCMP_CMP_MASKED_EQ"}]},
        ]}),
    );
    assert_eq!(filter.flags, 0);
    assert_eq!(
        texts(&filter),
        [
            "linux.seccomp.syscalls[0].names: unknown system calls are ignored: \"no\\nsuch\"",
            "linux.seccomp.syscalls[1].args[0]: the kernel reads 32 bits of argument 0 of socket, higher bits are ignored",
            "linux.seccomp.syscalls[2].args[0].valueTwo: bits outside the mask 0x6 are ignored",
            "linux.seccomp.architectures[0]: SCMP_ARCH_RISCV64 does not run on this host; ignored",
            "linux.seccomp.flags[0]: SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV without SCMP_ACT_NOTIFY; ignored",
        ]
    );
}

#[test]
fn notify_rule_asks_for_a_listener() {
    let filter = compiled(
        json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/agent",
        "flags": ["SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG"],
        "syscalls": [{"names": ["mount"], "action": "SCMP_ACT_NOTIFY"}]}),
    );
    assert!(filter.listener);
    assert_eq!(filter.flags, 0b1010);
    assert_eq!(answer(&filter, Abi::X8664, "mount", &[]), "SCMP_ACT_NOTIFY");
}

#[test]
fn this_kernel_has_what_the_docker_profile_uses() {
    check_kernel(&serde_json::from_str(DOCKER).unwrap()).unwrap();
    let supported = supported();
    assert!(supported.actions.contains(&"SCMP_ACT_NOTIFY"));
    assert_eq!(supported.known_flags.len(), 4);
    assert_eq!(supported.operators.len(), 7);
}

#[test]
fn same_profile_gives_the_same_program() {
    let profile = serde_json::from_str(DOCKER).unwrap();
    let words = |filter: Compiled| -> Vec<_> {
        filter
            .program
            .iter()
            .map(|i| (i.code, i.jt, i.jf, i.k))
            .collect()
    };
    assert_eq!(
        words(compile(&profile).unwrap()),
        words(compile(&profile).unwrap())
    );
}
