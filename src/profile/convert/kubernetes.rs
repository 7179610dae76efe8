//! A profile as a Pod of Kubernetes: its `securityContext`, that of its container, and limits (v1.33 of the API).
//! Reading pods is in `kubernetes_pod`.

use serde_json::{Map, Value, json};

use crate::error::Result;
use crate::profile::format::{Flag, Groups, Profile, Verdict};
use crate::spec::NamespaceType;

use super::docker::others;
use super::values::{ENGINE_MASKED, ENGINE_READONLY, ENGINE_READONLY_KERNEL};
use super::{Converted, Row, Way, Writing, carry};

/// Members of the pod's `spec`, of its `securityContext`, of the container's, and of its limits.
#[derive(Default)]
struct Pod {
    spec: Map<String, Value>,
    all: Map<String, Value>,
    container: Map<String, Value>,
    limits: Map<String, Value>,
}

const TABLE: &[Row<Pod>] = &[
    ("identity.non-root", Way::Says(user)),
    ("identity.minimum-uid", Way::Says(minimum_uid)),
    ("identity.additional-groups", Way::Says(groups)),
    ("capabilities.allow", Way::Says(capabilities)),
    ("process.no-new-privileges", Way::Says(no_new_privileges)),
    (
        "process.terminal",
        Way::Looser("tty is for each container to say"),
    ),
    ("namespaces.require", Way::Says(namespaces)),
    ("namespaces.net-devices", Way::Holds),
    ("root.readonly", Way::Says(readonly)),
    ("mounts.propagation", Way::Holds),
    (
        "mounts.bind",
        Way::Looser("each of volumeMounts has its own options"),
    ),
    (
        "mounts.tmpfs",
        Way::Looser("each of volumes has its own size"),
    ),
    ("mounts.kernel.add", Way::Says(kernel_options)),
    ("mounts.kernel.readonly", Way::Says(kernel_readonly)),
    ("paths.mask", Way::Says(masked)),
    ("paths.readonly", Way::Says(readonly_paths)),
    ("devices.deny-all", Way::Holds),
    ("devices.allow", Way::Says(device_rules)),
    ("devices.nodes", Way::Says(nodes)),
    ("limits.memory", Way::Says(memory)),
    (
        "limits.swap",
        Way::Looser("the kubelet decides, for all pods"),
    ),
    (
        "limits.pids",
        Way::Looser("the kubelet decides, for all pods: podPidsLimit"),
    ),
    ("limits.cpu-percent", Way::Says(cpu)),
    (
        "rlimits",
        Way::Looser("a pod has no resource limits of processes"),
    ),
    ("seccomp", Way::Says(filter)),
];

/// The profile as a Pod in YAML, with a container that has no image yet; `filter` is the file of its system-call filter
/// below the kubelet's directory `seccomp`.
///
/// # Errors
/// None that is known: a profile is plain data.
pub fn to_kubernetes(profile: &Profile, filter: Option<&str>) -> Result<Converted<String>> {
    let pod = carry(profile, filter, "kubernetes", TABLE)?;
    Ok(pod.map(|pod| super::yaml::write(&document(&profile.name, pod))))
}

fn document(name: &str, pod: Pod) -> Value {
    let Pod {
        mut spec,
        all,
        container,
        limits,
    } = pod;
    let mut app = json!({ "name": "app", "image": "IMAGE" });
    for (key, members) in [
        ("securityContext", Value::from(container)),
        ("resources", json!({ "limits": limits })),
    ] {
        let is_empty = members == json!({}) || members == json!({ "limits": {} });
        if !is_empty {
            app[key] = members;
        }
    }
    if !all.is_empty() {
        spec.insert("securityContext".to_owned(), all.into());
    }
    spec.insert("containers".to_owned(), json!([app]));
    let name = name.to_ascii_lowercase().replace('_', "-");
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name }, "spec": spec })
}

impl Writing<'_, Pod> {
    fn container(&mut self, key: &str, value: impl Into<Value>) {
        self.out.container.insert(key.to_owned(), value.into());
    }

    fn all(&mut self, key: &str, value: impl Into<Value>) {
        self.out.all.insert(key.to_owned(), value.into());
    }
}

fn user(to: &mut Writing<'_, Pod>) {
    let identity = &to.profile.identity;
    if identity.non_root != Verdict::Refuse {
        let why = "Kubernetes does not warn of root";
        return to.losses.looser("identity.non-root", why);
    }
    to.all("runAsNonRoot", true);
    let id = identity.minimum_uid;
    if id > 1 {
        to.all("runAsUser", id);
        let why = format!("the user is {id}, where others above it are allowed, too");
        to.losses.stricter("identity.minimum-uid", why);
    }
}

fn minimum_uid(to: &mut Writing<'_, Pod>) {
    if to.profile.identity.non_root != Verdict::Refuse {
        let why = "Kubernetes has no lowest user id";
        to.losses.looser("identity.minimum-uid", why);
    }
}

/// From version 1.33 on, 1.31 with a feature gate.
fn groups(to: &mut Writing<'_, Pod>) {
    if to.profile.identity.additional_groups != Groups::Keep {
        to.all("supplementalGroupsPolicy", "Strict");
        to.all("supplementalGroups", json!([]));
    }
}

fn capabilities(to: &mut Writing<'_, Pod>) {
    let section = to.profile.capabilities.iter();
    let names = section.flat_map(|section| &section.allow);
    let names: Vec<&str> = names
        .map(|name| name.strip_prefix("CAP_").unwrap_or(name))
        .collect();
    let mut value = json!({ "drop": ["ALL"] });
    if !names.is_empty() {
        value["add"] = json!(names);
    }
    to.container("capabilities", value);
}

fn no_new_privileges(to: &mut Writing<'_, Pod>) {
    to.container("allowPrivilegeEscalation", false);
}

/// All of them are new ones unless the pod says otherwise.
fn namespaces(to: &mut Writing<'_, Pod>) {
    for kind in &to.profile.namespaces.require {
        let key = match kind {
            NamespaceType::Pid => "hostPID",
            NamespaceType::Ipc => "hostIPC",
            NamespaceType::Network => "hostNetwork",
            NamespaceType::User => "hostUsers",
            NamespaceType::Time => {
                let why = "time: Kubernetes has no such namespaces";
                to.losses.looser("namespaces.require", why);
                continue;
            }
            NamespaceType::Mount | NamespaceType::Uts | NamespaceType::Cgroup => continue,
        };
        to.out.spec.insert(key.to_owned(), false.into());
    }
}

fn readonly(to: &mut Writing<'_, Pod>) {
    to.container("readOnlyRootFilesystem", true);
}

fn kernel_options(to: &mut Writing<'_, Pod>) {
    if to.profile.mounts.kernel.add.contains(&Flag::Ro) {
        let why = "ro: /proc stays writable, all but its read-only paths";
        to.losses.looser("mounts.kernel.add", why);
    }
}

fn kernel_readonly(to: &mut Writing<'_, Pod>) {
    let kinds = &to.profile.mounts.kernel.readonly;
    others(
        to,
        "mounts.kernel.readonly",
        kinds,
        &[&ENGINE_READONLY_KERNEL],
    );
}

fn masked(to: &mut Writing<'_, Pod>) {
    to.container("procMount", "Default");
    let paths = &to.profile.paths.mask;
    others(to, "paths.mask", paths, &[&ENGINE_MASKED]);
}

fn readonly_paths(to: &mut Writing<'_, Pod>) {
    to.container("procMount", "Default");
    let paths = &to.profile.paths.readonly;
    others(
        to,
        "paths.readonly",
        paths,
        &[&ENGINE_READONLY, &ENGINE_MASKED],
    );
}

fn device_rules(to: &mut Writing<'_, Pod>) {
    let why = "the rules of the engine's own stay: nodes of any device may be made, by whoever has CAP_MKNOD";
    to.losses.looser("devices.allow", why);
    if to.profile.devices.allow.iter().flatten().next().is_some() {
        let why = "others are given by a device plugin alone";
        to.losses.stricter("devices.allow", why);
    }
}

fn nodes(to: &mut Writing<'_, Pod>) {
    to.container("privileged", false);
    if to.profile.devices.nodes.iter().flatten().next().is_some() {
        let why = "devices are given by a device plugin alone";
        to.losses.stricter("devices.nodes", why);
    }
}

fn memory(to: &mut Writing<'_, Pod>) {
    if let Some(bytes) = to.limit("limits.memory", &to.profile.limits.memory) {
        to.out
            .limits
            .insert("memory".to_owned(), bytes.to_string().into());
    }
}

fn cpu(to: &mut Writing<'_, Pod>) {
    match to.limit("limits.cpu-percent", &to.profile.limits.cpu_percent) {
        Some(0) => to
            .losses
            .looser("limits.cpu-percent", "Kubernetes takes no 0"),
        Some(percent) => {
            let thousandths = format!("{}m", percent.saturating_mul(10));
            to.out.limits.insert("cpu".to_owned(), thousandths.into());
        }
        None => {}
    }
}

fn filter(to: &mut Writing<'_, Pod>) {
    let Some(file) = to.filter else {
        to.all("seccompProfile", json!({ "type": "RuntimeDefault" }));
        let why = "the engine's own filter is in its place; --seccomp FILE writes this one and refers to it";
        return to.losses.looser("seccomp", why);
    };
    to.all(
        "seccompProfile",
        json!({ "type": "Localhost", "localhostProfile": file }),
    );
}
