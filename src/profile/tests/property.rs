//! Tightening never loosens, over random configs and random profiles: no field permits more than the config had, and none
//! more than the profile demands. What that is in each field is told by `bounds` and `mounts`, not by the product's order.

use proptest::prelude::*;
use proptest::sample::select;

use super::bounds::{Checked, at_most_config, ensure, meets};
use super::configs::config;
use super::profiles::profile;
use crate::names::syscalls::named;
use crate::profile::facts::Kernel;
use crate::profile::order::at_most;
use crate::profile::{
    Facts, Landlock, OnOldKernel, Profile, Ruleset, Scope, SeccompRules, Tightened, permits,
    tighten,
};
use crate::spec::{Config, Rlimit, Seccomp, SeccompAction, SeccompArg, SyscallRule};
use crate::sys::landlock::{
    ABSTRACT_UNIX_SOCKET, BIND_TCP, CONNECT_TCP, EXECUTE, IOCTL_DEV, READ_DIR, SIGNAL, WRITE_FILE,
};

pub(super) fn host(landlock_abi: u32) -> Facts {
    let rlimit = |kind: &str, hard| Rlimit {
        kind: kind.into(),
        hard,
        soft: hard / 2,
    };
    Facts {
        memory_total: 8 << 30,
        thermal_throttle: vec!["/sys/devices/system/cpu/cpu0/thermal_throttle".into()],
        rlimits: vec![rlimit("RLIMIT_NOFILE", 4096), rlimit("RLIMIT_CORE", 1)],
        own_namespaces: vec!["/proc/1/ns/pid".into()],
        kernel: Kernel {
            landlock_abi,
            denies_write_execute: true,
            memfd_noexec: true,
            apparmor_profiles: vec!["stockade".into()],
            apparmor_unenforced: Vec::new(),
            has_memory_v2: true,
        },
    }
}

/// The rules allow nothing that the section does not, by the rights that stand for its lists.
fn enforces(rules: &Ruleset, wanted: &Landlock) -> Checked {
    let is_below = |path: &str, tree: &str| {
        tree == "/" || path == tree || path.starts_with(&format!("{tree}/"))
    };
    let lists = [
        (READ_DIR, &wanted.read),
        (WRITE_FILE, &wanted.write),
        (EXECUTE, &wanted.execute),
        (IOCTL_DEV, &wanted.ioctl),
    ];
    for (right, list) in lists {
        let Some(list) = list else { continue };
        ensure(
            rules.files & right != 0,
            format!("{list:?} is not enforced"),
        )?;
        for path in ["/", "/a", "/a/b", "/a/b/c", "/ab"] {
            let allows = rules.trees.iter().any(|tree| {
                tree.rights & right != 0 && is_below(path, tree.path.to_str().unwrap())
            });
            // Reading goes with executing.
            let listed = list.iter().any(|tree| is_below(path, tree));
            ensure(!allows || listed, format!("{right:#x} in {path}"))?;
        }
    }
    for (right, list) in [
        (BIND_TCP, &wanted.bind_tcp),
        (CONNECT_TCP, &wanted.connect_tcp),
    ] {
        let Some(list) = list else { continue };
        ensure(
            rules.ports & right != 0,
            format!("ports {list:?} are not enforced"),
        )?;
        for (port, rights) in &rules.allowed_ports {
            ensure(
                rights & right == 0 || list.contains(port),
                format!("port {port}"),
            )?;
        }
    }
    for (scope, bit) in [
        (Scope::Signal, SIGNAL),
        (Scope::AbstractUnixSocket, ABSTRACT_UNIX_SOCKET),
    ] {
        ensure(
            !wanted.scope.contains(&scope) || rules.scopes & bit != 0,
            format!("{scope:?}"),
        )?;
    }
    Ok(())
}

/// Whether the filter makes the call with these arguments. As in the module `seccomp`: the first rule without tests
/// decides, else all that match.
fn makes(filter: &Seccomp, name: &str, arguments: [u64; 6]) -> bool {
    let lets = |action| matches!(action, SeccompAction::Allow | SeccompAction::Log);
    let hits = |arg: &SeccompArg| {
        let index = arg.index as usize;
        let bits = named(name).map_or(u64::MAX, |call| call.argument_bits(index));
        arguments[index] & bits & arg.value == arg.value_two & bits
    };
    let has = |rule: &&SyscallRule| rule.names.iter().any(|other| other == name);
    let of_call: Vec<&SyscallRule> = filter.syscalls.iter().filter(has).collect();
    if let Some(always) = of_call.iter().find(|rule| rule.args.is_empty()) {
        return lets(always.action);
    }
    let mut matching = of_call
        .iter()
        .filter(|rule| rule.args.iter().all(hits))
        .peekable();
    match matching.peek() {
        None => lets(filter.default_action),
        Some(_) => matching.all(|rule| lets(rule.action)),
    }
}

/// Arguments that a rule of the filter matches: with nothing besides what it looks at, and with all else.
fn witnesses(rule: &SyscallRule) -> [[u64; 6]; 2] {
    [0, 0xffff_ffff].map(|rest| {
        let mut arguments = [rest; 6];
        for arg in &rule.args {
            arguments[arg.index as usize] = arg.value_two | rest & !arg.value;
        }
        arguments
    })
}

/// The filter makes no call that the section does not permit, by arguments that tell: those of each of its rules that tests
/// some, and a few for what no rule matches.
fn denies(filter: &Seccomp, wanted: &SeccompRules) -> Checked {
    let holds = |name: &str, arguments: [u64; 6]| {
        ensure(
            permits(wanted, name, &arguments) || !makes(filter, name, arguments),
            format!("seccomp: {name} with {arguments:x?}"),
        )
    };
    let tested = filter.syscalls.iter().filter(|rule| !rule.args.is_empty());
    for rule in tested {
        for arguments in witnesses(rule) {
            rule.names
                .iter()
                .try_for_each(|name| holds(name, arguments))?;
        }
    }
    let names = wanted
        .rules
        .iter()
        .flat_map(|rule| rule.names.iter().step_by(40));
    for name in names.map(String::as_str).chain(["no such call"]) {
        for value in [0, 1, 38, 0x2001, 0x1000_0000] {
            holds(name, [value; 6])?;
        }
    }
    Ok(())
}

/// Nothing is permitted beyond the config, or beyond the profile.
pub(super) fn holds(
    found: &Tightened,
    config: &Config,
    profile: &Profile,
    host: &Facts,
) -> Checked {
    at_most_config(&found.config, config, host)?;
    meets(&found.config, config, profile, host)?;
    let wanted = profile.landlock.clone().unwrap_or_default();
    if wanted.on_old_kernel == OnOldKernel::Refuse || host.kernel.landlock_abi == 7 {
        enforces(&found.landlock.clone().unwrap_or_default(), &wanted)?;
    }
    match (&found.filter, &profile.seccomp) {
        (Some(filter), Some(wanted)) => denies(filter, wanted)?,
        (filter, wanted) => ensure(filter.is_none() && wanted.is_none(), "seccomp")?,
    }
    let memory = profile.memory.clone().unwrap_or_default();
    ensure(
        found.hardening.deny_write_execute == memory.deny_write_execute,
        "memory.deny-write-execute",
    )?;
    ensure(
        found.hardening.lock_securebits == profile.process.lock_securebits,
        "process.lock-securebits",
    )
}

/// Whether the profile has anything by which a config can be refused.
fn may_refuse(text: &str, profile: &Profile, error: &str) -> bool {
    text.contains("refuse")
        || text.contains("extends")
        || profile.identity.minimum_uid > 0
        || error.starts_with("mounts[") && error.contains("size")
        || error.starts_with("linux.resources.unified")
        || error.starts_with("landlock.")
        || error.starts_with("memory.")
        || error.starts_with("apparmor.")
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 300, max_shrink_iters: 3000, ..ProptestConfig::default() })]

    #[test]
    fn tightening_permits_no_more_than_the_config_and_the_profile_in_every_field(
        config in config(),
        (text, profile) in profile(),
        abi in select(vec![0u32, 1, 3, 4, 6, 7]),
    ) {
        let host = host(abi);
        let once = match tighten(&config, &profile, &host) {
            Ok(once) => once,
            Err(error) => {
                prop_assert!(may_refuse(&text, &profile, &error.to_string()), "{}\n{}", error, text);
                return Ok(());
            }
        };
        prop_assert_eq!(holds(&once, &config, &profile, &host), Ok(()), "{}\n{:#?}", text, once.changes);
        prop_assert_eq!(at_most(&once.config, &config), Ok(()), "the order of the product: {}\n{:#?}", text, once.changes);

        let twice = tighten(&once.config, &profile, &host).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let more = twice.changes.iter().find(|change| !change.pointer.is_empty());
        prop_assert_eq!(more, None, "{}", text);
        prop_assert_eq!(&twice.config, &once.config);
    }
}
