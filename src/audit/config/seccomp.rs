//! `linux.seccomp`: what the filters let through, found out by running them, and rules that do nothing.

use libc::sock_filter;

use super::Asked;
use super::capabilities::within_reach;
use crate::error::{Result, quote};
use crate::names::syscalls::{self, Abi, Syscall, named};
use crate::profile::nearest;
use crate::report::Severity;
use crate::seccomp::bpf::{self, Data};
use crate::seccomp::compile;
use crate::spec::{Seccomp, SeccompAction};

/// Calls that no ordinary program makes: the capability that they need, if there is one, and what they are good for.
const RISKY: [(&str, Option<&str>, &str); 14] = [
    (
        "add_key",
        None,
        "keys of the kernel are not parted by namespaces",
    ),
    (
        "bpf",
        Some("CAP_BPF"),
        "programs are loaded into the kernel",
    ),
    (
        "delete_module",
        Some("CAP_SYS_MODULE"),
        "modules of the kernel are unloaded",
    ),
    (
        "finit_module",
        Some("CAP_SYS_MODULE"),
        "modules are loaded into the kernel",
    ),
    (
        "init_module",
        Some("CAP_SYS_MODULE"),
        "modules are loaded into the kernel",
    ),
    (
        "io_uring_setup",
        None,
        "what is done by io_uring passes no filter",
    ),
    (
        "kexec_file_load",
        Some("CAP_SYS_BOOT"),
        "another kernel is started",
    ),
    (
        "kexec_load",
        Some("CAP_SYS_BOOT"),
        "another kernel is started",
    ),
    (
        "keyctl",
        None,
        "keys of the kernel are not parted by namespaces",
    ),
    (
        "open_by_handle_at",
        Some("CAP_DAC_READ_SEARCH"),
        "files outside of the root filesystem are opened",
    ),
    (
        "perf_event_open",
        None,
        "the kernel and other processes are measured",
    ),
    (
        "pivot_root",
        Some("CAP_SYS_ADMIN"),
        "the root filesystem is exchanged",
    ),
    (
        "request_key",
        None,
        "keys of the kernel are not parted by namespaces",
    ),
    (
        "userfaultfd",
        None,
        "the kernel is held up in the middle of an access, which wins races",
    ),
];

/// Offsets in `struct seccomp_data` (seccomp(2)).
const NR: u32 = 0;
const ARCH: u32 = 4;

/// Bytes of a name that may be a call's.
const LONGEST_NAME: usize = 32;

/// Unknown names that are compared with every call there is: a hostile config has millions of them.
const MOST_UNKNOWN: usize = 1000;

type Program = Vec<sock_filter>;

pub(in crate::audit) fn filters(asked: &mut Asked) {
    let scene = asked.scene;
    if let Some(profile) = &scene.unknown_filter {
        let cause = "has a filter of its own, and its file is not known";
        return asked.unanswered(format!("profile {} {cause}", quote(profile)));
    }
    let own = scene.linux().and_then(|linux| linux.seccomp.as_ref());
    let all: Vec<&Seccomp> = own.into_iter().chain(&scene.filters).collect();
    if all.is_empty() {
        asked.found(
            "/linux/seccomp",
            "there is no filter: every system call of the kernel is within reach",
        );
        return;
    }
    let programs: Result<Vec<Program>> = all
        .iter()
        .map(|filter| Ok(compile(filter)?.program))
        .collect();
    let programs = match programs {
        Ok(programs) => programs,
        Err(error) => return asked.unanswered(error.to_string()),
    };
    if all.iter().all(|filter| is_open(filter.default_action)) {
        let through = RISKY
            .iter()
            .filter(|(name, ..)| is_reached(&programs, name))
            .map(|(name, ..)| *name);
        let through = through.collect::<Vec<_>>().join(" ");
        let among = if through.is_empty() {
            String::new()
        } else {
            format!(", among them {through}")
        };
        let message = format!("calls that no rule names are let through{among}");
        asked.found("/linux/seccomp/defaultAction", message);
        return;
    }
    risky(asked, &programs);
    user_namespaces(asked, &programs);
}

fn risky(asked: &mut Asked, programs: &[Program]) {
    for (name, needs, effect) in RISKY
        .into_iter()
        .filter(|(name, ..)| is_reached(programs, name))
    {
        let has = |needs| {
            let process = asked.scene.process()?;
            within_reach(process, process.capabilities.as_ref()?, needs)
        };
        let severity = match needs {
            Some(needs) if has(needs).is_none() => Severity::Medium,
            _ => Severity::High,
        };
        let finding = asked.finding(
            "/linux/seccomp/syscalls",
            format!("{name} is let through: {effect}"),
        );
        asked.add(finding.about(name).severity(severity));
    }
}

/// In a user namespace of its own a program has every capability, and the kernel's code behind them within reach.
fn user_namespaces(asked: &mut Asked, programs: &[Program]) {
    let flags = [libc::CLONE_NEWUSER as u64];
    let by_flags = ["clone", "unshare"]
        .into_iter()
        .filter(|name| is_passed(programs, name, &flags));
    let mut ways: Vec<String> = by_flags
        .map(|name| format!("{name} with CLONE_NEWUSER"))
        .collect();
    if is_reached(programs, "clone3") {
        ways.push("clone3, whose flags no filter sees".to_owned());
    }
    if !ways.is_empty() {
        let message = format!(
            "new user namespaces are within reach, by {}",
            ways.join(" and by ")
        );
        asked.add(
            asked
                .finding("/linux/seccomp/syscalls", message)
                .about("CLONE_NEWUSER"),
        );
    }
}

/// Whether a call goes to the kernel, with some arguments and on some ABI of this machine.
fn is_reached(programs: &[Program], name: &str) -> bool {
    calls(name).any(|(arch, nr)| {
        let known = [(NR, nr), (ARCH, arch)];
        programs
            .iter()
            .all(|program| bpf::answers(program, &known).into_iter().any(passes))
    })
}

/// The same with these arguments first, all others being 0.
fn is_passed(programs: &[Program], name: &str, first: &[u64]) -> bool {
    let mut args = [0; 6];
    args[..first.len()].copy_from_slice(first);
    calls(name).any(|(arch, nr)| {
        let call = Data {
            nr,
            arch,
            args,
            ..Data::default()
        };
        programs
            .iter()
            .all(|program| bpf::evaluate(program, &call).is_ok_and(passes))
    })
}

/// A call as the ABIs of this machine number it: architecture and number.
fn calls(name: &str) -> impl Iterator<Item = (u32, u32)> {
    let abis: &[Abi] = if cfg!(target_arch = "aarch64") {
        &[Abi::Aarch64, Abi::Arm]
    } else {
        &[Abi::X8664, Abi::X86, Abi::X32]
    };
    let call = named(name);
    abis.iter()
        .filter_map(move |abi| Some((abi.audit_arch(), call?.number(*abi)?)))
}

/// Whether the kernel goes on with a call. Where a supervisor is asked, that decides.
fn passes(answer: u32) -> bool {
    let action = answer & libc::SECCOMP_RET_ACTION_FULL;
    [
        libc::SECCOMP_RET_ALLOW,
        libc::SECCOMP_RET_LOG,
        libc::SECCOMP_RET_TRACE,
    ]
    .contains(&action)
}

fn is_open(action: SeccompAction) -> bool {
    matches!(action, SeccompAction::Allow | SeccompAction::Log)
}

pub(in crate::audit) fn rules(asked: &mut Asked) {
    let Some(filter) = asked.scene.linux().and_then(|linux| linux.seccomp.as_ref()) else {
        return;
    };
    misspelt(asked, filter);
    for (at, rule) in filter.syscalls.iter().enumerate() {
        let number = |errno: Option<u32>| errno.unwrap_or(libc::EPERM.unsigned_abs());
        let is_default = rule.action == filter.default_action
            && number(rule.errno_ret) == number(filter.default_errno_ret);
        if is_default {
            let names = rule.names.join(" ");
            let message = format!("the rule for {} says what the default says", quote(&names));
            let finding = asked
                .finding(format!("/linux/seccomp/syscalls/{at}"), message)
                .about(names);
            asked.add(finding.severity(Severity::Low));
        }
    }
    // What cannot be compiled cannot be run: that is another check's to say.
    let warnings = compile(filter)
        .map(|compiled| compiled.warnings)
        .unwrap_or_default();
    for warning in warnings {
        if let Some((field, cause)) = warning
            .split_once(": ")
            .filter(|(field, _)| field.contains(".args"))
        {
            asked.found(pointer(field), cause);
        }
    }
}

/// Calls of other architectures are none of ours: only what comes close to one of ours is misspelt.
fn misspelt(asked: &mut Asked, filter: &Seccomp) {
    let names = filter.syscalls.iter().enumerate().flat_map(|(at, rule)| {
        let names = rule.names.iter().enumerate();
        names.map(move |(i, name)| (at, i, name))
    });
    let unknown = names.filter(|(_, _, name)| name.len() <= LONGEST_NAME && named(name).is_none());
    for (at, i, name) in unknown.take(MOST_UNKNOWN) {
        if let Some(meant) = nearest(name, syscalls::all().map(Syscall::name)) {
            let message = format!(
                "no system call is called {}: {meant} may be meant",
                quote(name)
            );
            let pointer = format!("/linux/seccomp/syscalls/{at}/names/{i}");
            asked.add(asked.finding(pointer, message).about(name));
        }
    }
}

/// `linux.seccomp.syscalls[3].args` as a JSON pointer.
fn pointer(field: &str) -> String {
    format!("/{}", field.replace(['.', '['], "/").replace(']', ""))
}
