//! The property can fail: what `tighten` makes is loosened by hand in one place at a time, and each time the oracle of
//! `property` says so.

use serde_json::json;

use super::property::{holds, host};
use crate::profile::{Profile, Tightened, tighten};
use crate::spec::{
    Config, DeviceRule, Linux, Mount, NamespaceType, Process, Resources, SeccompAction, parse,
};
use crate::sys::landlock::{SIGNAL, WRITE_FILE};

/// A config that asks for more than `paranoid` allows, in every section, and for nothing that it refuses.
fn greedy() -> Config {
    let all = ["CAP_CHOWN", "CAP_SYS_ADMIN"];
    let document = json!({
        "ociVersion": "1.2.0",
        "process": {
            "user": {"uid": 1000, "gid": 7, "additionalGids": [3]}, "cwd": "/", "args": ["a"],
            "env": ["PATH=/bin", "SECRET=x"], "noNewPrivileges": false, "apparmorProfile": "unconfined",
            "capabilities": {"bounding": all, "effective": all, "inheritable": all, "permitted": all, "ambient": all},
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 4000, "soft": 4000}],
        },
        "root": {"path": "r"},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs"},
            {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["size=1g"]},
            {"destination": "/data", "type": "bind", "source": "/y", "options": ["rbind", "shared"]},
        ],
        "linux": {
            "namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "ipc", "path": "/proc/1/ns/pid"}],
            "maskedPaths": ["/x"],
            "resources": {
                "memory": {"limit": 1_i64 << 40}, "pids": {"limit": 100_000}, "cpu": {"quota": 900_000, "period": 100_000},
                "devices": [{"allow": true, "access": "rwm"}],
            },
            "seccomp": {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]},
        },
    });
    parse(document.to_string().as_bytes(), "f").unwrap().0
}

fn process(of: &mut Tightened) -> &mut Process {
    of.config.process.as_mut().unwrap()
}

fn linux(of: &mut Tightened) -> &mut Linux {
    of.config.linux.as_mut().unwrap()
}

fn resources(of: &mut Tightened) -> &mut Resources {
    linux(of).resources.as_mut().unwrap()
}

fn mount<'a>(of: &'a mut Tightened, destination: &str) -> &'a mut Mount {
    let mut mounts = of.config.mounts.iter_mut();
    mounts
        .find(|mount| mount.destination == destination)
        .unwrap()
}

/// Options of a mount that begin so are gone.
fn without(of: &mut Tightened, destination: &str, option: &str) {
    let options = &mut mount(of, destination).options;
    options.retain(|other| !other.starts_with(option) && !other.starts_with(&format!("r{option}")));
}

type Mutation = (&'static str, fn(&mut Tightened));

const LOOSENED: &[Mutation] = &[
    ("user id 0", |of| process(of).user.uid = 0),
    ("a group comes back", |of| {
        process(of).user.additional_gids.push(3);
    }),
    ("a capability comes back", |of| {
        let sets = process(of).capabilities.as_mut().unwrap();
        sets.ambient.push("CAP_SYS_ADMIN".into());
    }),
    ("no_new_privs is off", |of| {
        process(of).no_new_privileges = false;
    }),
    ("a terminal", |of| process(of).terminal = true),
    ("a variable comes back", |of| {
        process(of).env.push("SECRET=x".into());
    }),
    ("no AppArmor profile", |of| {
        process(of).apparmor_profile = None;
    }),
    ("a resource limit is raised", |of| {
        process(of).rlimits[0].hard = 257;
    }),
    ("a resource limit is gone", |of| {
        process(of).rlimits.clear();
    }),
    ("the root is writable", |of| {
        of.config.root.as_mut().unwrap().readonly = false;
    }),
    ("a bind mount without nosuid", |of| {
        without(of, "/data", "nosuid");
    }),
    ("a bind mount is writable", |of| without(of, "/data", "ro")),
    ("a bind mount is shared", |of| {
        mount(of, "/data").options.push("rshared".into());
    }),
    ("a tmpfs executes", |of| without(of, "/tmp", "noexec")),
    ("a tmpfs is large", |of| {
        mount(of, "/tmp").options.push("size=2g".into());
    }),
    ("proc shows all", |of| without(of, "/proc", "subset")),
    ("sysfs comes back", |of| {
        of.config.mounts.push(greedy().mounts[1].clone());
    }),
    ("the host's network", |of| {
        let spaces = &mut linux(of).namespaces;
        spaces.retain(|space| space.kind != NamespaceType::Network);
    }),
    ("a namespace of the host", |of| {
        let mut spaces = linux(of).namespaces.iter_mut();
        let ipc = spaces.find(|space| space.kind == NamespaceType::Ipc);
        ipc.unwrap().path = Some("/proc/1/ns/pid".into());
    }),
    ("a path of the config is not masked", |of| {
        linux(of).masked_paths.retain(|path| path != "/x");
    }),
    ("a path of the profile is not masked", |of| {
        linux(of).masked_paths.retain(|path| path != "/proc/kcore");
    }),
    ("a path is not read-only", |of| {
        linux(of).readonly_paths.pop();
    }),
    ("all devices", |of| {
        let all = DeviceRule {
            allow: true,
            access: Some("rwm".into()),
            ..DeviceRule::default()
        };
        resources(of).devices.push(all);
    }),
    ("one more task", |of| {
        let limit = resources(of).pids.as_mut().unwrap();
        limit.limit = Some(100_001);
    }),
    ("no limit on tasks", |of| resources(of).pids = None),
    ("more memory", |of| {
        resources(of).memory.as_mut().unwrap().limit = Some(2 << 40);
    }),
    ("swap", |of| {
        resources(of).memory.as_mut().unwrap().swap = Some(-1);
    }),
    ("no limit on CPU time", |of| resources(of).cpu = None),
    ("files in memory are executed", |of| {
        linux(of).sysctl.clear();
    }),
    ("the config's filter allows all", |of| {
        linux(of).seccomp.as_mut().unwrap().default_action = SeccompAction::Allow;
    }),
    ("the profile's filter allows what it does not list", |of| {
        of.filter.as_mut().unwrap().default_action = SeccompAction::Allow;
    }),
    ("a rule of the profile's filter allows", |of| {
        let mut rules = of.filter.as_mut().unwrap().syscalls.iter_mut();
        let socket =
            rules.find(|rule| rule.names == ["socket"] && rule.action != SeccompAction::Allow);
        socket.unwrap().action = SeccompAction::Allow;
    }),
    ("the profile's filter is gone", |of| of.filter = None),
    ("no Landlock rules", |of| of.landlock = None),
    ("Landlock lets write everywhere", |of| {
        let rules = of.landlock.as_mut().unwrap();
        let mut root = rules.trees[0].clone();
        (root.path, root.rights) = (c"/".into(), WRITE_FILE);
        rules.trees.push(root);
    }),
    ("signals leave the Landlock rules", |of| {
        of.landlock.as_mut().unwrap().scopes &= !SIGNAL;
    }),
    ("written memory is executed", |of| {
        of.hardening.deny_write_execute = false;
    }),
    ("securebits are not locked", |of| {
        of.hardening.lock_securebits = false;
    }),
];

#[test]
fn every_loosening_of_what_the_profile_made_is_seen() {
    let (config, mut host) = (greedy(), host(7));
    host.kernel.apparmor_profiles = vec!["stockade-container".into()];
    let profile = Profile::builtin("paranoid").unwrap();
    let found = tighten(&config, &profile, &host).unwrap();
    assert_eq!(holds(&found, &config, &profile, &host), Ok(()));
    let is_unseen = |(_, loosen): &&Mutation| {
        let mut loosened = found.clone();
        loosen(&mut loosened);
        loosened == found || holds(&loosened, &config, &profile, &host).is_ok()
    };
    let unseen: Vec<&str> = LOOSENED
        .iter()
        .filter(is_unseen)
        .map(|(name, _)| *name)
        .collect();
    assert_eq!(unseen, [""; 0]);
}
