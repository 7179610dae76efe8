//! What the checks of system calls find in filters.

use super::of_config::{facts, lines, linux};
use super::*;
use crate::profile::{Profile, tighten};
use crate::spec::{Seccomp, SeccompAction, SeccompArg, SeccompOp, SyscallRule, hardened_default};

fn filter(default_action: SeccompAction, syscalls: Vec<SyscallRule>) -> Seccomp {
    Seccomp {
        default_action,
        default_errno_ret: None,
        architectures: Vec::new(),
        flags: None,
        listener_path: None,
        listener_metadata: None,
        syscalls,
    }
}

fn rule(names: &[&str], action: SeccompAction, args: Vec<SeccompArg>) -> SyscallRule {
    SyscallRule {
        names: names.iter().map(|&name| name.to_owned()).collect(),
        action,
        errno_ret: None,
        args,
    }
}

/// Argument 0 has none of these bits.
fn without(bits: u64) -> Vec<SeccompArg> {
    vec![SeccompArg {
        index: 0,
        value: bits,
        value_two: 0,
        op: SeccompOp::MaskedEqual,
    }]
}

fn found(id: &str, filter: &Seccomp) -> Vec<String> {
    lines(id, |scene| linux(scene).seccomp = Some(filter.clone()))
}

use SeccompAction::{Allow, Errno};

#[test]
fn the_filters_of_the_profiles_let_nothing_risky_through() {
    for name in ["baseline", "restricted", "paranoid"] {
        let profile = Profile::builtin(name).unwrap();
        let filter = tighten(&hardened_default(None), &profile, &facts())
            .unwrap()
            .filter;
        let found = lines("CFG-006", |scene| {
            linux(scene).seccomp = None;
            scene.filters = filter.clone().into_iter().collect();
        });
        assert_eq!(found, [""; 0], "{name}");
    }
}

#[test]
fn calls_are_told_by_what_the_program_answers() {
    let allowed = filter(Errno, vec![rule(&["read", "keyctl", "bpf"], Allow, vec![])]);
    assert_eq!(
        found("CFG-006", &allowed),
        [
            "medium /linux/seccomp/syscalls: bpf is let through: programs are loaded into the kernel",
            "high /linux/seccomp/syscalls: keyctl is let through: keys of the kernel are not parted by namespaces",
        ]
    );
    // Only with some arguments.
    let sometimes = filter(Errno, vec![rule(&["keyctl"], Allow, without(!1))]);
    assert_eq!(found("CFG-006", &sometimes).len(), 1);
    let open = filter(
        Allow,
        vec![rule(
            &["keyctl", "add_key", "request_key", "bpf"],
            Errno,
            vec![],
        )],
    );
    assert_eq!(
        found("CFG-006", &open),
        [
            "high /linux/seccomp/defaultAction: calls that no rule names are let through, among them delete_module finit_module init_module io_uring_setup kexec_file_load kexec_load open_by_handle_at perf_event_open pivot_root userfaultfd"
        ]
    );
}

#[test]
fn the_stricter_of_two_filters_decides() {
    let open = filter(Allow, vec![]);
    let closed = filter(Errno, vec![rule(&["read"], Allow, vec![])]);
    let both = lines("CFG-006", |scene| {
        linux(scene).seccomp = Some(open.clone());
        scene.filters = vec![closed.clone()];
    });
    assert_eq!(both, [""; 0]);
}

#[test]
fn new_user_namespaces_are_told_by_every_way_to_them() {
    let wide = filter(
        Errno,
        vec![rule(&["clone", "clone3", "unshare"], Allow, vec![])],
    );
    assert_eq!(
        found("CFG-006", &wide),
        [
            "high /linux/seccomp/syscalls: new user namespaces are within reach, by clone with CLONE_NEWUSER and by unshare with CLONE_NEWUSER and by clone3, whose flags no filter sees"
        ]
    );
    let narrow = filter(
        Errno,
        vec![rule(&["clone", "unshare"], Allow, without(0x7e02_0000))],
    );
    assert_eq!(found("CFG-006", &narrow), [""; 0]);
}

#[test]
fn rules_that_do_not_mean_what_they_say_are_told() {
    let twice = vec![
        SeccompArg {
            index: 1,
            value: 1,
            value_two: 0,
            op: SeccompOp::NotEqual,
        },
        SeccompArg {
            index: 1,
            value: 2,
            value_two: 0,
            op: SeccompOp::NotEqual,
        },
    ];
    let rules = vec![
        rule(&["read", "opennat"], Allow, vec![]),
        rule(&["write"], Errno, vec![]),
        rule(&["ioctl"], Allow, twice),
        rule(&["riscv_flush_icache"], Allow, vec![]),
    ];
    assert_eq!(
        found("CFG-007", &filter(Errno, rules)),
        [
            "medium /linux/seccomp/syscalls/0/names/1: no system call is called \"opennat\": openat may be meant",
            "low /linux/seccomp/syscalls/1: the rule for \"write\" says what the default says",
            "medium /linux/seccomp/syscalls/2/args: one argument is compared more than once, so any one of the conditions suffices",
        ]
    );
}

#[test]
fn a_filter_that_cannot_be_run_or_is_not_known_has_no_answer() {
    let reasons = |change: &dyn Fn(&mut config::Scene)| {
        let findings = of_config::findings("CFG-006", change);
        assert_eq!(findings.found, []);
        findings
            .unanswered
            .into_iter()
            .map(|(_, reason)| reason)
            .collect::<Vec<_>>()
    };
    let mut wrong = filter(Errno, vec![rule(&["read"], Allow, without(1))]);
    wrong.syscalls[0].args[0].index = 9;
    assert_eq!(
        reasons(&|scene| linux(scene).seccomp = Some(wrong.clone())),
        ["linux.seccomp.syscalls[0].args[0].index: 9 is not 0 to 5"]
    );
    assert_eq!(
        reasons(&|scene| scene.unknown_filter = Some("own".to_owned())),
        ["profile \"own\" has a filter of its own, and its file is not known"]
    );
}
