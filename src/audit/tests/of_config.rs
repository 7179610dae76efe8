//! Fixtures of the checks of config.json: a hardened config is quiet, and one change makes a check fire.

use super::fixtures::Fixture;
use super::*;
use crate::audit::config::{Host, Scene};
use crate::profile::{Facts, Profile, tighten};
use crate::spec::{
    DeviceRule, Hook, Hooks, Linux, Mount, NamespaceType, Process, Resources, Rlimit,
    hardened_default,
};

pub(super) fn fixtures() -> Vec<Fixture> {
    let mut all = of_process();
    all.extend(of_linux());
    all.extend(of_surroundings());
    all
}

fn of_process() -> Vec<Fixture> {
    vec![
        pair("CFG-001", |scene| process(scene).user.uid = 0, |_| {}),
        pair(
            "CFG-002",
            |scene| process(scene).user.additional_gids = vec![6],
            |scene| process(scene).user.additional_gids = vec![7, 1000],
        ),
        pair(
            "CFG-004",
            |scene| process(scene).no_new_privileges = false,
            |_| {},
        ),
        pair(
            "CFG-005",
            |scene| permit(scene, "CAP_SYS_ADMIN"),
            |scene| permit(scene, "CAP_NET_BIND_SERVICE"),
        ),
        pair(
            "CFG-014",
            |scene| scene.host.apparmor = true,
            |scene| {
                scene.host.apparmor = true;
                process(scene).apparmor_profile = Some("app".to_owned());
            },
        ),
        pair(
            "CFG-018",
            |scene| rlimit(scene, 1 << 30),
            |scene| rlimit(scene, 1 << 20),
        ),
        pair(
            "CFG-019",
            |scene| process(scene).env.push("DB_PASSWORD=kJ8s-2hdQ1".to_owned()),
            |scene| {
                process(scene)
                    .env
                    .push("DB_PASSWORD_FILE=/run/secrets/db".to_owned());
            },
        ),
    ]
}

fn of_linux() -> Vec<Fixture> {
    vec![
        pair("CFG-006", |scene| linux(scene).seccomp = None, |_| {}),
        pair(
            "CFG-007",
            |scene| rule(scene, "keyctll"),
            // Of another architecture.
            |scene| rule(scene, "s390_pci_mmio_read"),
        ),
        pair("CFG-008", |scene| join(scene, "/proc/1/ns/net"), |_| {}),
        pair(
            "CFG-012",
            |scene| {
                linux(scene)
                    .masked_paths
                    .retain(|path| path != "/proc/kcore");
            },
            |scene| {
                linux(scene)
                    .masked_paths
                    .retain(|path| path != "/proc/interrupts");
            },
        ),
        pair(
            "CFG-013",
            |scene| allow(scene, Some("b"), Some(8)),
            |scene| allow(scene, Some("c"), Some(195)),
        ),
        pair("CFG-015", |scene| resources(scene).memory = None, |_| {}),
        pair(
            "CFG-016",
            |scene| resources(scene).cpu = None,
            |scene| {
                let cpu = resources(scene).cpu.as_mut().unwrap();
                (cpu.quota, cpu.shares) = (None, Some(512));
            },
        ),
        pair("CFG-017", |scene| resources(scene).pids = None, |_| {}),
        pair(
            "CFG-021",
            |scene| sysctl(scene, "net.core.somaxconn"),
            |scene| sysctl(scene, "net.ipv4.ip_unprivileged_port_start"),
        ),
    ]
}

fn of_surroundings() -> Vec<Fixture> {
    vec![
        pair(
            "CFG-009",
            |scene| bind(scene, "/etc", &["bind", "ro"]),
            |scene| bind(scene, "/etc/hosts", &["bind"]),
        ),
        pair(
            "CFG-010",
            |scene| bind(scene, "/srv", &["rbind", "nosuid"]),
            |scene| bind(scene, "/srv", &["rbind", "nosuid", "nodev", "noexec"]),
        ),
        pair(
            "CFG-011",
            |scene| scene.config.root.as_mut().unwrap().readonly = false,
            |_| {},
        ),
        pair(
            "CFG-020",
            |scene| hook(scene, "/bundle/hook"),
            |scene| hook(scene, "/bin/true"),
        ),
    ]
}

/// A config with which nothing is wrong, without a root filesystem, on a host without security modules.
pub(super) fn clean() -> Scene {
    let mut config = hardened_default(None);
    let restricted = Profile::builtin("restricted").unwrap();
    let tightened = tighten(&config, &restricted, &facts()).unwrap();
    config.linux.as_mut().unwrap().seccomp = tightened.filter;
    Scene {
        config,
        document: "config.json".to_owned(),
        bundle: "/bundle".into(),
        root: None,
        filters: Vec::new(),
        unknown_filter: None,
        host: Host {
            memory: Some(1 << 34),
            ..Host::default()
        },
    }
}

/// A config in which the check fires, and one that comes close.
fn pair(id: &'static str, fires: fn(&mut Scene), close: fn(&mut Scene)) -> Fixture {
    let audited = move |change: fn(&mut Scene)| move || findings(id, change);
    Fixture {
        id,
        fires: Box::new(audited(fires)),
        quiet: Box::new(audited(close)),
    }
}

/// What one check finds in the clean config, changed.
pub(super) fn findings(id: &str, change: impl Fn(&mut Scene)) -> Findings {
    let mut scene = clean();
    change(&mut scene);
    let subject = Subject {
        config: Some(scene),
        ..Subject::default()
    };
    let wanted = Wanted {
        only: vec![id.to_owned()],
        skip: Vec::new(),
    };
    audit(subject, &wanted).unwrap()
}

/// The same, a line each: severity, JSON pointer, message.
pub(super) fn lines(id: &str, change: impl Fn(&mut Scene)) -> Vec<String> {
    let findings = findings(id, change);
    assert_eq!(findings.unanswered, []);
    let line = |finding: &Finding| match &finding.place {
        Place::Pointer { pointer, .. } => {
            format!("{} {pointer}: {}", finding.severity, finding.message)
        }
        place => panic!("{place:?}"),
    };
    findings.found.iter().map(line).collect()
}

pub(super) fn process(scene: &mut Scene) -> &mut Process {
    scene.config.process.as_mut().unwrap()
}

pub(super) fn linux(scene: &mut Scene) -> &mut Linux {
    scene.config.linux.as_mut().unwrap()
}

pub(super) fn resources(scene: &mut Scene) -> &mut Resources {
    linux(scene).resources.as_mut().unwrap()
}

pub(super) fn permit(scene: &mut Scene, name: &str) {
    let sets = process(scene).capabilities.as_mut().unwrap();
    sets.permitted.push(name.to_owned());
    sets.bounding.push(name.to_owned());
}

pub(super) fn rlimit(scene: &mut Scene, number: u64) {
    process(scene).rlimits = vec![Rlimit {
        kind: "RLIMIT_NOFILE".to_owned(),
        hard: number,
        soft: number,
    }];
}

pub(super) fn rule(scene: &mut Scene, name: &str) {
    let filter = linux(scene).seccomp.as_mut().unwrap();
    filter.syscalls[0].names.push(name.to_owned());
}

pub(super) fn join(scene: &mut Scene, path: &str) {
    let mut namespaces = linux(scene).namespaces.iter_mut();
    let network = namespaces.find(|one| one.kind == NamespaceType::Network);
    network.unwrap().path = Some(path.to_owned());
}

pub(super) fn allow(scene: &mut Scene, kind: Option<&str>, major: Option<i64>) {
    resources(scene).devices.push(DeviceRule {
        allow: true,
        kind: kind.map(str::to_owned),
        major,
        minor: None,
        access: Some("rw".to_owned()),
    });
}

pub(super) fn sysctl(scene: &mut Scene, key: &str) {
    linux(scene).sysctl.insert(key.to_owned(), "1".to_owned());
}

pub(super) fn bind(scene: &mut Scene, source: &str, options: &[&str]) {
    scene.config.mounts.push(Mount {
        destination: "/mnt".to_owned(),
        source: Some(source.to_owned()),
        options: options.iter().map(|&option| option.to_owned()).collect(),
        ..Mount::default()
    });
}

pub(super) fn hook(scene: &mut Scene, path: &str) {
    scene.config.hooks = Some(Hooks {
        poststop: vec![Hook {
            path: path.to_owned(),
            timeout: Some(5),
            ..Hook::default()
        }],
        ..Hooks::default()
    });
}

/// New user namespace in which 0 is this id outside.
pub(super) fn map_root_to(scene: &mut Scene, id: u32) {
    let of_user = hardened_default(Some((id, id))).linux.unwrap();
    let linux = linux(scene);
    linux.uid_mappings = of_user.uid_mappings;
    linux.gid_mappings = of_user.gid_mappings;
    linux.namespaces = of_user.namespaces;
}

#[test]
fn a_clean_config_has_no_finding() {
    let subject = Subject {
        config: Some(clean()),
        ..Subject::default()
    };
    let findings = audit(subject, &Wanted::default()).unwrap();
    assert_eq!((findings.found, findings.unanswered), (vec![], vec![]));
}

pub(super) fn facts() -> Facts {
    Facts {
        memory_total: 1 << 34,
        ..Facts::default()
    }
}
