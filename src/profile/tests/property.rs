//! Tightening never loosens, over random configs and random profiles: no field permits more than the config had, and none
//! more than the profile demands. What that is in each field is told by `bounds` and `mounts`, not by the product's order.

use proptest::prelude::*;
use proptest::sample::select;

use super::bounds::{at_most_config, ensure, meets};
use super::configs::config;
use super::profiles::profile;
use crate::profile::facts::Kernel;
use crate::profile::order::at_most;
use crate::profile::{Facts, Landlock, OnOldKernel, Profile, Ruleset, Scope, tighten};
use crate::spec::Rlimit;
use crate::sys::landlock::{
    ABSTRACT_UNIX_SOCKET, BIND_TCP, CONNECT_TCP, EXECUTE, IOCTL_DEV, READ_DIR, SIGNAL, WRITE_FILE,
};

fn host(landlock_abi: u32) -> Facts {
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
fn enforces(rules: &Ruleset, wanted: &Landlock) -> Result<(), String> {
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
        prop_assert_eq!(at_most_config(&once.config, &config, &host), Ok(()), "{}\n{:#?}", text, once.changes);
        prop_assert_eq!(meets(&once.config, &config, &profile, &host), Ok(()), "{}\n{:#?}", text, once.changes);
        prop_assert_eq!(at_most(&once.config, &config), Ok(()), "the order of the product: {}\n{:#?}", text, once.changes);
        let wanted = profile.landlock.clone().unwrap_or_default();
        if wanted.on_old_kernel == OnOldKernel::Refuse || abi == 7 {
            let rules = once.landlock.clone().unwrap_or_default();
            prop_assert_eq!(enforces(&rules, &wanted), Ok(()), "{}\n{:?}", text, rules);
        }
        prop_assert_eq!(once.filter.is_some(), profile.seccomp.is_some());
        let memory = profile.memory.clone().unwrap_or_default();
        prop_assert_eq!(once.hardening.deny_write_execute, memory.deny_write_execute);
        prop_assert_eq!(once.hardening.lock_securebits, profile.process.lock_securebits);

        let twice = tighten(&once.config, &profile, &host).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let more = twice.changes.iter().find(|change| !change.pointer.is_empty());
        prop_assert_eq!(more, None, "{}", text);
        prop_assert_eq!(&twice.config, &once.config);
    }
}
