//! `linux.seccomp` as a BPF program (config-linux.md, "Seccomp").
//! Loading one is `sys::seccomp`, the order of confinement `plan`. Here: `rules` reads, `policy` settles, `assemble`
//! writes BPF, `bpf` evaluates it, `notify` hands a listener over, `watch` has one asked of what filters deny.

mod action;
mod assemble;
pub mod bpf;
mod multiplex;
pub mod notify;
mod policy;
mod rules;
mod watch;

pub use watch::{Openings, Watch, answer, denies, is_denial, is_passed, passed, watching};

use std::fmt::{self, Display, Formatter};

use crate::error::{Error, Result};
use crate::names::syscalls::Abi;
use crate::spec::{Arch, Seccomp, SeccompAction, SeccompFlag};
use crate::sys::seccomp::{NEW_LISTENER, action_available, flag_available};

/// A filter, ready for `sys::seccomp::install`.
#[derive(Debug, Clone)]
pub struct Compiled {
    /// At most [`bpf::MAX_INSTRUCTIONS`]; the same profile always gives the same program.
    pub program: Vec<libc::sock_filter>,
    /// `SECCOMP_FILTER_FLAG_*`, with NEW_LISTENER when a rule notifies.
    pub flags: u32,
    /// Whether installing it yields a listener for `listenerPath`.
    pub listener: bool,
    /// What in the profile has no effect here.
    pub warnings: Vec<Warning>,
}

/// What in a filter has no effect here: one line, for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// Nothing to worry about: filters of engines are for many machines, and have rules that mean something on others.
    Usual(String),
    /// Nothing that any machine has.
    Mistake(String),
}

impl Display for Warning {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (Self::Usual(text) | Self::Mistake(text)) = self;
        f.write_str(text)
    }
}

/// Compiles a profile for this host's architecture.
///
/// The native architecture is always covered; of `architectures` those that run here are added (on x86_64: X86 and X32,
/// on aarch64: ARM). A call on any other is answered with SCMP_ACT_KILL_PROCESS. `policy` says how rules combine.
///
/// # Errors
/// Naming the field that is wrong, such as `linux.seccomp.syscalls[3].args[0].index`.
pub fn compile(seccomp: &Seccomp) -> Result<Compiled> {
    compile_for(seccomp, HOST)
}

fn compile_for(seccomp: &Seccomp, host: Host) -> Result<Compiled> {
    let mut warnings = Vec::new();
    let listener = rules::check_listener(seccomp)?;
    let default = action::answer(
        seccomp.default_action,
        seccomp.default_errno_ret,
        "linux.seccomp.defaultErrnoRet",
    )?;
    let rules = rules::read(seccomp, &mut warnings)?;
    let abis = abis(seccomp, host, &mut warnings);
    let policy = policy::settle(&rules, &abis, default, &mut warnings)?;
    let program = assemble::assemble(&policy);
    if program.len() > bpf::MAX_INSTRUCTIONS {
        let cause = format!(
            "the filter needs {} instructions, the kernel takes {}",
            program.len(),
            bpf::MAX_INSTRUCTIONS
        );
        return Err(Error::new("linux.seccomp.syscalls", cause));
    }
    let flags = flags(seccomp, listener, &mut warnings);
    Ok(Compiled {
        program,
        flags,
        listener,
        warnings,
    })
}

/// Checks that this kernel knows every action and flag that the profile uses.
///
/// # Errors
/// Naming the first field with an unknown one.
pub fn check_kernel(seccomp: &Seccomp) -> Result<()> {
    let unknown =
        |field: String, word: &str| Err(Error::new(field, format!("this kernel has no {word}")));
    let mut fine: Vec<SeccompAction> = Vec::new();
    let default = (
        "linux.seccomp.defaultAction".to_owned(),
        seccomp.default_action,
    );
    let rules = seccomp.syscalls.iter().enumerate();
    let rules = rules.map(|(i, rule)| (format!("linux.seccomp.syscalls[{i}].action"), rule.action));
    for (field, action) in std::iter::once(default).chain(rules) {
        if fine.contains(&action) {
            continue;
        }
        if !action_available(action::number(action)) {
            return unknown(field, action::word(action));
        }
        fine.push(action);
    }
    for (i, &flag) in seccomp.flags.iter().flatten().enumerate() {
        let (word, number) = action::flag(flag);
        if !flag_available(number) {
            return unknown(format!("linux.seccomp.flags[{i}]"), word);
        }
    }
    Ok(())
}

/// What the features document says of seccomp (features-linux.md, "Seccomp").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Supported {
    /// Actions that this program and this kernel know.
    pub actions: Vec<&'static str>,
    /// Comparisons.
    pub operators: Vec<&'static str>,
    /// Architectures that a filter on this host can cover.
    pub archs: Vec<&'static str>,
    /// Flags that this program knows.
    pub known_flags: Vec<&'static str>,
    /// Those of them that this kernel knows as well.
    pub flags: Vec<&'static str>,
}

/// Asks the kernel; the lists are in the specification's order.
pub fn supported() -> Supported {
    let actions = action::ACTIONS.iter().filter(|row| action_available(row.2));
    let flags = action::FLAGS.iter().filter(|row| flag_available(row.2));
    Supported {
        actions: actions.map(|row| row.1).collect(),
        operators: action::OPERATORS.to_vec(),
        archs: match HOST {
            Host::X8664 => vec!["SCMP_ARCH_X86", "SCMP_ARCH_X86_64", "SCMP_ARCH_X32"],
            Host::Aarch64 => vec!["SCMP_ARCH_ARM", "SCMP_ARCH_AARCH64"],
        },
        known_flags: action::FLAGS.iter().map(|row| row.1).collect(),
        flags: flags.map(|row| row.1).collect(),
    }
}

/// The machines that this program filters on.
#[allow(dead_code, reason = "one of them is the host; tests compile for both")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Host {
    X8664,
    Aarch64,
}

#[cfg(target_arch = "x86_64")]
const HOST: Host = Host::X8664;
#[cfg(target_arch = "aarch64")]
const HOST: Host = Host::Aarch64;

/// The ABIs to cover, the native one first; libseccomp too adds it to whatever is listed.
fn abis(seccomp: &Seccomp, host: Host, warnings: &mut Vec<Warning>) -> Vec<Abi> {
    let mut abis = vec![match host {
        Host::X8664 => Abi::X8664,
        Host::Aarch64 => Abi::Aarch64,
    }];
    for (i, &arch) in seccomp.architectures.iter().enumerate() {
        let abi = match (host, arch) {
            (Host::X8664, Arch::X8664) => Abi::X8664,
            (Host::X8664, Arch::X86) => Abi::X86,
            (Host::X8664, Arch::X32) => Abi::X32,
            (Host::Aarch64, Arch::Aarch64) => Abi::Aarch64,
            (Host::Aarch64, Arch::Arm) => Abi::Arm,
            _ => {
                let word = action::architecture_word(arch);
                warnings.push(Warning::Usual(format!(
                    "linux.seccomp.architectures[{i}]: {word} does not run on this host; ignored"
                )));
                continue;
            }
        };
        if !abis.contains(&abi) {
            abis.push(abi);
        }
    }
    abis
}

fn flags(seccomp: &Seccomp, listener: bool, warnings: &mut Vec<Warning>) -> u32 {
    let mut flags = if listener { NEW_LISTENER } else { 0 };
    for (i, &flag) in seccomp.flags.iter().flatten().enumerate() {
        let (word, number) = action::flag(flag);
        if flag == SeccompFlag::WaitKillableRecv && !listener {
            warnings.push(Warning::Usual(format!(
                "linux.seccomp.flags[{i}]: {word} without SCMP_ACT_NOTIFY; ignored"
            )));
            continue;
        }
        // Whoever installs a filter here has one thread, and the kernel takes this flag and a listener only with another.
        if flag != SeccompFlag::TSync {
            flags |= number;
        }
    }
    flags
}

#[cfg(test)]
mod tests;
