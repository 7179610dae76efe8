//! The property that profiles stand on: tightening never loosens; here over the profiles of the binary and by the product's
//! own order, in `property` over random profiles and by an order that is only for that.
#![allow(clippy::unwrap_used, reason = "tests")]

mod bounds;
mod configs;
mod found;
mod mounts;
mod mutations;
mod profiles;
mod property;

use proptest::prelude::*;

use super::facts::Kernel;
use super::order::at_most;
use super::{Facts, Profile, tighten};
use crate::spec::{
    Capabilities, Config, Cpu, DeviceRule, Memory, Mount, Namespace, NamespaceType, Pids,
    Resources, Rlimit, hardened_default,
};

fn host() -> Facts {
    let rlimit = Rlimit {
        kind: "RLIMIT_NOFILE".into(),
        hard: 4096,
        soft: 1024,
    };
    Facts {
        memory_total: 8 << 30,
        thermal_throttle: Vec::new(),
        rlimits: vec![rlimit],
        own_namespaces: Vec::new(),
        kernel: Kernel {
            landlock_abi: 7,
            denies_write_execute: true,
            memfd_noexec: true,
            apparmor_profiles: vec!["stockade-container".into()],
            apparmor_unenforced: Vec::new(),
            has_memory_v2: true,
        },
    }
}

fn words(all: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
    proptest::sample::subsequence(all, 0..=all.len())
        .prop_map(|words| words.into_iter().map(str::to_owned).collect())
}

prop_compose! {
    fn mount()(
        kind in proptest::sample::select(vec!["tmpfs", "bind", "proc", "sysfs", "cgroup", "ext4", "devpts"]),
        destination in proptest::sample::select(vec!["/dev", "/dev/x", "/data", "/proc"]),
        options in words(&[
            "bind", "rbind", "ro", "rw", "rro", "suid", "nosuid", "rsuid", "dev", "rnodev", "exec", "shared", "rslave",
            "private", "size=1g", "size=64k", "size=0", "size=5%", "hidepid=0", "mode=755",
        ]).prop_shuffle(),
    ) -> Mount {
        Mount { kind: Some(kind.into()), destination: destination.into(), source: Some("/dev/y".into()), options, ..Mount::default() }
    }
}

prop_compose! {
    fn resources()(
        limit in proptest::option::of(-1i64..1 << 40),
        swap in proptest::option::of(-1i64..1 << 40),
        quota in proptest::option::of(-1i64..1_000_000),
        period in proptest::option::of(1000u64..1_000_000),
        pids in proptest::option::of(-1i64..100_000),
        allow in any::<bool>(),
        kind in proptest::option::of(proptest::sample::select(vec!["a", "b", "c"])),
        major in proptest::option::of(-1i64..300),
    ) -> Resources {
        Resources {
            memory: Some(Memory { limit, swap, ..Memory::default() }),
            cpu: Some(Cpu { quota, period, ..Cpu::default() }),
            pids: Some(Pids { limit: pids }),
            devices: vec![
                DeviceRule { allow: false, access: Some("rwm".into()), ..DeviceRule::default() },
                DeviceRule { allow, kind: kind.map(str::to_owned), major, ..DeviceRule::default() },
            ],
            ..Resources::default()
        }
    }
}

prop_compose! {
    fn beside()(
        env in words(&["PATH=/bin", "LC_ALL=C", "LC_X=a=b", "SECRET=1", "TERM"]),
        apparmor in proptest::option::of(proptest::sample::select(vec!["", "unconfined", "own"])),
        memfd in proptest::option::of(proptest::sample::select(vec!["0", "1", "2"])),
    ) -> (Vec<String>, Option<String>, Option<String>) {
        (env, apparmor.map(str::to_owned), memfd.map(str::to_owned))
    }
}

prop_compose! {
    fn config()(
        uid in proptest::sample::select(vec![0u32, 5, 1000, 70_000]),
        groups in proptest::collection::vec(0u32..50, 0..3),
        bounding in words(&["CAP_CHOWN", "CAP_SYS_ADMIN", "CAP_NET_BIND_SERVICE", "CAP_MKNOD"]),
        no_new_privileges in any::<bool>(),
        hard in proptest::option::of(0u64..100_000),
        readonly in any::<bool>(),
        mounts in proptest::collection::vec(mount(), 0..5),
        resources in proptest::option::of(resources()),
        kinds in proptest::sample::subsequence(vec![
            NamespaceType::Mount, NamespaceType::Pid, NamespaceType::Network, NamespaceType::Ipc,
        ], 0..=4),
        masked in words(&["/proc/kcore", "/x"]),
        beside in beside(),
    ) -> Config {
        let mut config = hardened_default(None);
        let process = config.process.as_mut().unwrap();
        process.user.uid = uid;
        process.user.additional_gids = groups;
        process.no_new_privileges = no_new_privileges;
        process.capabilities = Some(Capabilities { bounding: bounding.clone(), permitted: bounding, ..Capabilities::default() });
        process.rlimits = hard.map(|hard| Rlimit { kind: "RLIMIT_NOFILE".into(), hard, soft: hard / 2 }).into_iter().collect();
        config.root.as_mut().unwrap().readonly = readonly;
        config.mounts = mounts;
        let linux = config.linux.as_mut().unwrap();
        linux.resources = resources;
        linux.namespaces = kinds.into_iter().map(|kind| Namespace { kind, path: None }).collect();
        linux.masked_paths = masked;
        let (env, apparmor, memfd) = beside;
        linux.sysctl.extend(memfd.map(|value| ("vm.memfd_noexec".to_owned(), value)));
        let process = config.process.as_mut().unwrap();
        process.env = env;
        process.apparmor_profile = apparmor;
        config
    }
}

proptest! {
    // Without files of its own beside the sources.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_profile_never_loosens_and_is_done_at_once(config in config()) {
        for name in Profile::names() {
            let profile = Profile::builtin(name).unwrap();
            let Ok(once) = tighten(&config, &profile, &host()) else { continue };
            prop_assert_eq!(at_most(&once.config, &config), Ok(()), "{} {:?}", name, once.changes);
            let twice = tighten(&once.config, &profile, &host()).unwrap();
            // What a config has no place for is told each time.
            let more = twice.changes.iter().find(|change| !change.pointer.is_empty());
            prop_assert_eq!(more, None, "{}", name);
            prop_assert_eq!(&twice.config, &once.config);
        }
    }
}

#[test]
fn none_changes_nothing() {
    let config = hardened_default(None);
    let tightened = tighten(&config, &Profile::builtin("none").unwrap(), &host()).unwrap();
    assert_eq!(tightened.config, config);
    assert!(tightened.changes.is_empty() && tightened.filter.is_none());
}

#[test]
fn restricted_refuses_root_by_field_and_rule() {
    let mut config = hardened_default(None);
    config.process.as_mut().unwrap().user.uid = 0;
    let error = tighten(&config, &Profile::builtin("restricted").unwrap(), &host()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "process.user.uid: 0 is refused by profile \"restricted\" (identity.non-root)"
    );
}

#[test]
fn the_order_sees_a_loosened_field() {
    let strict = hardened_default(None);
    let mut loose = strict.clone();
    loose.root.as_mut().unwrap().readonly = false;
    assert_eq!(
        at_most(&loose, &strict),
        Err("root.readonly: was true".into())
    );
    assert_eq!(at_most(&strict, &loose), Ok(()));
}

fn ordinary() -> Config {
    let mut config = hardened_default(None);
    config.process.as_mut().unwrap().user.uid = 1000;
    config.linux.as_mut().unwrap().resources = None;
    config
}

fn restricted() -> Profile {
    Profile::builtin("restricted").unwrap()
}

/// Every record of a change at a place that exists says what was there and what is there.
fn assert_faithful(config: &Config, profile: &Profile) {
    let tightened = tighten(config, profile, &host()).unwrap();
    let documents = [config, &tightened.config].map(|config| serde_json::to_value(config).unwrap());
    for change in tightened
        .changes
        .iter()
        .filter(|change| !change.pointer.ends_with("/-"))
    {
        let at = |document: &serde_json::Value| document.pointer(&change.pointer).cloned();
        assert_eq!(
            (&change.before, &change.after),
            (&at(&documents[0]), &at(&documents[1])),
            "{}",
            change.pointer
        );
    }
}

#[test]
fn records_say_what_was_and_what_is() {
    assert_faithful(&ordinary(), &restricted());
    let mut profile = restricted();
    profile.limits.cpu_percent.maximum = profile.limits.cpu_percent.default;
    let mut config = ordinary();
    let cpu = Cpu {
        quota: Some(400_000),
        period: Some(50_000),
        ..Cpu::default()
    };
    config.linux.as_mut().unwrap().resources = Some(Resources {
        cpu: Some(cpu),
        ..Resources::default()
    });
    assert_faithful(&config, &profile);
}

#[test]
fn a_tmpfs_size_that_is_not_understood_is_refused_not_replaced() {
    for option in ["size=1%", "size=0x1000", "size=010k", "nr_blocks=16"] {
        let mut config = ordinary();
        config.mounts = vec![Mount {
            kind: Some("tmpfs".into()),
            destination: "/t".into(),
            options: vec![option.into()],
            ..Mount::default()
        }];
        let error = tighten(&config, &restricted(), &host())
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("mounts[0].options: "), "{error}");
    }
}

#[test]
fn the_whole_group_is_killed_by_a_file_of_cgroup_v2_and_without_it_that_is_said() {
    let profile = Profile::builtin("paranoid").unwrap();
    let resources = |facts: &Facts| {
        let tightened = tighten(&ordinary(), &profile, facts).unwrap();
        (
            tightened.config.linux.unwrap().resources.unwrap().unified,
            tightened.warnings,
        )
    };
    let file = [("memory.oom.group".to_owned(), "1".to_owned())];
    assert_eq!(resources(&host()), (file.into(), vec![]));
    let mut facts = host();
    facts.kernel.has_memory_v2 = false;
    let warning =
        "limits.oom-group of profile \"paranoid\" needs cgroup v2 for memory: it is left out";
    assert_eq!(
        resources(&facts),
        (std::collections::BTreeMap::new(), vec![warning.to_owned()])
    );
}

#[test]
fn unified_is_held_against_the_same_limits() {
    let with = |file: &str, value: &str| {
        let mut config = ordinary();
        let unified = [(file.to_owned(), value.to_owned())].into();
        config.linux.as_mut().unwrap().resources = Some(Resources {
            unified,
            ..Resources::default()
        });
        config
    };
    for file in ["memory.max", "pids.max", "cpu.max"] {
        let tightened = tighten(&with(file, "max"), &restricted(), &host())
            .unwrap()
            .config;
        assert!(
            tightened
                .linux
                .unwrap()
                .resources
                .unwrap()
                .unified
                .is_empty(),
            "{file}"
        );
    }
    let mut profile = restricted();
    profile.limits.pids.maximum = profile.limits.pids.default;
    assert!(tighten(&with("pids.max", "10"), &profile, &host()).is_ok());
    assert!(tighten(&with("pids.max", "1000"), &profile, &host()).is_err());
}

#[test]
fn the_hosts_namespace_by_its_path_is_not_a_namespace_of_ones_own() {
    let mut config = ordinary();
    let path = "/proc/1/ns/pid".to_owned();
    let namespaces = &mut config.linux.as_mut().unwrap().namespaces;
    namespaces
        .iter_mut()
        .filter(|space| space.kind == NamespaceType::Pid)
        .for_each(|space| space.path = Some(path.clone()));
    let facts = Facts {
        own_namespaces: vec![path],
        ..host()
    };
    let tightened = tighten(&config, &restricted(), &facts).unwrap();
    assert!(
        tightened
            .config
            .linux
            .unwrap()
            .namespaces
            .iter()
            .all(|space| space.path.is_none())
    );
}

#[test]
fn the_order_sees_a_larger_tmpfs_and_more_tasks() {
    let with = |options: &[&str]| {
        let mut config = ordinary();
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        config.mounts = vec![Mount {
            destination: "/t".into(),
            options,
            ..Mount::default()
        }];
        config
    };
    assert!(at_most(&with(&["size=4k", "size=8g"]), &with(&["size=4k"])).is_err());
    assert!(at_most(&with(&["size=4k", "size=2k"]), &with(&["size=4k"])).is_ok());
    let tasks = |limit| {
        let mut config = ordinary();
        let pids = Some(Pids { limit: Some(limit) });
        config.linux.as_mut().unwrap().resources = Some(Resources {
            pids,
            ..Resources::default()
        });
        config
    };
    assert!(at_most(&tasks(100), &tasks(0)).is_err());
}
