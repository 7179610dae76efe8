//! The property that profiles stand on: tightening never loosens, over random configs.
#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

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
            "private", "size=1g", "size=64k", "hidepid=0", "mode=755",
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
            prop_assert!(twice.changes.is_empty(), "{}: {:?}", name, twice.changes);
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
