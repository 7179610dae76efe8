//! A Pod of Kubernetes, or what makes pods, as a profile that permits what its container has. Only what confines is read:
//! the two of `securityContext`, `host…` of the pod, and limits (v1.33 of the API). Writing one is in `kubernetes`.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::error::{Error, Result, quote};
use crate::profile::compare::Direction::{Different, Looser};
use crate::profile::format::{Capabilities, Groups, OnConflict, Profile, Propagation, Verdict};
use crate::profile::values::Quantity;
use crate::spec::{NamespaceType, Seccomp};

use super::values::{ENGINE_CAPABILITIES, amount, capability_of, engine_profile, percent_of};
use super::{Converted, Losses, finish, oci, stand_in};

/// A pod on its way into a profile.
struct Pod<'a> {
    profile: Profile,
    losses: Losses,
    /// The filter of the node's file that the pod refers to.
    filter: Option<&'a Seccomp>,
}

/// What becomes of a member.
enum Fate {
    Reads(fn(&mut Pod<'_>, &str, &Value) -> Result<()>),
    Apart,
    Lost(super::Direction, &'static str),
}

use Fate::{Apart, Lost, Reads};

/// Members of `securityContext`, the pod's and the container's.
const CONTEXT: &[(&str, Fate)] = &[
    ("allowPrivilegeEscalation", Reads(escalation)),
    ("appArmorProfile", Reads(app_armor)),
    ("capabilities", Reads(capabilities)),
    ("fsGroup", Apart),
    ("fsGroupChangePolicy", Apart),
    ("privileged", Reads(privileged)),
    ("procMount", Reads(proc_mount)),
    ("readOnlyRootFilesystem", Reads(readonly)),
    (
        "runAsGroup",
        Lost(Looser, "a profile does not choose groups"),
    ),
    ("runAsNonRoot", Reads(non_root)),
    ("runAsUser", Reads(user)),
    ("seLinuxChangePolicy", Apart),
    (
        "seLinuxOptions",
        Lost(
            Looser,
            "a profile does not choose labels of security modules",
        ),
    ),
    ("seccompProfile", Reads(seccomp)),
    ("supplementalGroups", Apart),
    ("supplementalGroupsPolicy", Reads(groups)),
    ("sysctls", Lost(Different, "a profile sets no sysctls")),
    ("windowsOptions", Apart),
];

/// Members of a pod's `spec` that confine; the others do not.
const SPEC: &[(&str, Fate)] = &[
    ("hostIPC", Reads(host_ipc)),
    ("hostNetwork", Reads(host_network)),
    ("hostPID", Reads(host_pid)),
    ("hostUsers", Reads(host_users)),
    ("runtimeClassName", Apart),
];

/// Members of `resources.limits`.
const LIMITS: &[(&str, Fate)] = &[
    ("cpu", Reads(cpu)),
    ("memory", Reads(memory)),
    (
        "ephemeral-storage",
        Lost(Looser, "a profile does not limit the root filesystem"),
    ),
];

/// Reads YAML or JSON. `container` is which of several; `filter` what the file holds that `localhostProfile` names.
///
/// # Errors
/// Text that is neither; a document without a pod; a container that is not there; `privileged`; a wrong value.
pub fn from_kubernetes(
    name: &str,
    text: &str,
    container: Option<&str>,
    filter: Option<&Seccomp>,
) -> Result<Converted<Profile>> {
    let document = super::yaml::read(text)?;
    let spec = pod_spec(&document)?;
    let container = chosen(spec, container)?;
    let mut profile = engine_profile();
    profile.namespaces.require.push(NamespaceType::Cgroup);
    let mut pod = Pod {
        profile,
        losses: Losses::default(),
        filter,
    };
    let none = serde_json::Map::new();
    let of = |value: &'_ Value| value.as_object().cloned().unwrap_or_else(|| none.clone());
    for (key, value) in of(spec) {
        if let Some((_, fate)) = SPEC.iter().find(|(known, _)| *known == key) {
            one(&mut pod, fate, &format!("spec.{key}"), &value)?;
        }
    }
    contexts(
        &mut pod,
        &of(&spec["securityContext"]),
        &of(&container["securityContext"]),
    )?;
    let mounts = container["volumeMounts"].as_array();
    for mount in mounts.into_iter().flatten() {
        volume_mount(&mut pod, mount);
    }
    for (key, value) in of(&container["resources"]["limits"]) {
        let field = format!("resources.limits.{key}");
        known(&mut pod, LIMITS, &key, &field, &value)?;
    }
    finish(name, "a pod of Kubernetes", pod.profile, pod.losses)
}

/// The container's members stand for the pod's of the same name.
fn contexts(
    pod: &mut Pod<'_>,
    all: &serde_json::Map<String, Value>,
    own: &serde_json::Map<String, Value>,
) -> Result<()> {
    let mut members: BTreeMap<&String, (String, &Value)> = BTreeMap::new();
    for (key, value) in all {
        members.insert(key, (format!("spec.securityContext.{key}"), value));
    }
    for (key, value) in own {
        members.insert(key, (format!("securityContext.{key}"), value));
    }
    for (key, (field, value)) in members {
        known(pod, CONTEXT, key, &field, value)?;
    }
    Ok(())
}

fn known(
    pod: &mut Pod<'_>,
    table: &[(&str, Fate)],
    key: &str,
    field: &str,
    value: &Value,
) -> Result<()> {
    match table.iter().find(|(known, _)| *known == key) {
        Some((_, fate)) => one(pod, fate, field, value),
        None => {
            pod.losses
                .add(field, Different, "not a member that is known here");
            Ok(())
        }
    }
}

fn one(pod: &mut Pod<'_>, fate: &Fate, field: &str, value: &Value) -> Result<()> {
    if value.is_null() {
        return Ok(());
    }
    match fate {
        Apart => Ok(()),
        Reads(read) => read(pod, field, value),
        Lost(direction, why) => {
            pod.losses.add(field, *direction, *why);
            Ok(())
        }
    }
}

/// Of a Pod, of what makes pods, or of a CronJob.
fn pod_spec(document: &Value) -> Result<&Value> {
    let places = [
        "/spec/jobTemplate/spec/template/spec",
        "/spec/template/spec",
        "/template/spec",
        "/spec",
    ];
    let specs = places.iter().filter_map(|place| document.pointer(place));
    let mut pods = specs.filter(|spec| spec["containers"].is_array());
    pods.next().ok_or_else(|| {
        Error::new("read a pod", "it has no spec.containers")
            .hint("give a Pod, or what makes pods, such as a Deployment; one document alone")
    })
}

fn chosen<'a>(spec: &'a Value, wanted: Option<&str>) -> Result<&'a Value> {
    let of = |key: &str| spec[key].as_array().map_or(&[][..], Vec::as_slice);
    let (containers, first) = (of("containers"), of("initContainers"));
    let name = |container: &Value| container["name"].as_str().unwrap_or_default().to_owned();
    if let Some(wanted) = wanted {
        let mut all = containers.iter().chain(first);
        return all
            .find(|container| name(container) == wanted)
            .ok_or_else(|| {
                Error::new(
                    "spec.containers",
                    format!("none is called {}", quote(wanted)),
                )
            });
    }
    match containers {
        [one] => Ok(one),
        [] => Err(Error::new("spec.containers", "it is empty")),
        all => {
            let names: Vec<String> = all.iter().map(|container| quote(name(container))).collect();
            let cause = format!("these are several: {}", names.join(", "));
            Err(Error::new("spec.containers", cause).hint("choose one by --container NAME"))
        }
    }
}

/// A mount adds something; only what it takes away is lost.
fn volume_mount(pod: &mut Pod<'_>, mount: &Value) {
    if mount["readOnly"] == true {
        let why = "a profile does not make single mounts read-only";
        pod.losses.looser("volumeMounts.readOnly", why);
    }
    let widest = match mount["mountPropagation"].as_str() {
        Some("Bidirectional") => Propagation::Shared,
        Some("HostToContainer") => Propagation::Slave,
        _ => Propagation::Private,
    };
    let propagation = &mut pod.profile.mounts.propagation;
    *propagation = (*propagation).max(Some(widest));
}

fn switch(field: &str, value: &Value) -> Result<bool> {
    value
        .as_bool()
        .ok_or_else(|| wrong(field, value, "true or false"))
}

fn wrong(field: &str, value: &Value, expected: &str) -> Error {
    let value = crate::error::escape(value.to_string()).replace("\\\"", "\"");
    Error::new(field, format!("{value} is not {expected}"))
}

fn text<'a>(field: &str, value: &'a Value) -> Result<&'a str> {
    value.as_str().ok_or_else(|| wrong(field, value, "text"))
}

fn escalation(pod: &mut Pod<'_>, field: &str, value: &Value) -> Result<()> {
    pod.profile.process.no_new_privileges = !switch(field, value)?;
    Ok(())
}

fn app_armor(pod: &mut Pod<'_>, field: &str, value: &Value) -> Result<()> {
    if value["type"] != "Unconfined" {
        let why = "a profile does not choose labels of security modules";
        pod.losses.looser(field, why);
    }
    Ok(())
}

/// What is added counts more than what is dropped.
fn capabilities(pod: &mut Pod<'_>, field: &str, value: &Value) -> Result<()> {
    let list = |key: &str| -> Result<Vec<String>> {
        let field = format!("{field}.{key}");
        let mut names = Vec::new();
        for item in value[key].as_array().into_iter().flatten() {
            let name = text(&field, item)?;
            names.push(match name {
                "ALL" => "ALL".to_owned(),
                name => capability_of(name).ok_or_else(|| wrong(&field, item, "a capability"))?,
            });
        }
        Ok(names)
    };
    let (added, dropped) = (list("add")?, list("drop")?);
    let is = |list: &[String], name: &str| list.iter().any(|item| item == name);
    let mut allow: Vec<String> = match (is(&added, "ALL"), is(&dropped, "ALL")) {
        (true, _) => crate::names::CAPABILITIES.map(str::to_owned).to_vec(),
        (false, true) => Vec::new(),
        (false, false) => ENGINE_CAPABILITIES.map(str::to_owned).to_vec(),
    };
    allow.retain(|name| !is(&dropped, name));
    allow.extend(added.into_iter().filter(|name| name != "ALL"));
    allow.sort_unstable();
    allow.dedup();
    pod.profile.capabilities = Some(Capabilities {
        allow,
        on_conflict: OnConflict::Tighten,
    });
    Ok(())
}

fn privileged(_: &mut Pod<'_>, field: &str, value: &Value) -> Result<()> {
    match switch(field, value)? {
        true => Err(Error::new(
            field,
            "a profile cannot give all that this takes from the confinement",
        )
        .hint("use profile \"none\", which demands nothing")),
        false => Ok(()),
    }
}

fn proc_mount(pod: &mut Pod<'_>, field: &str, value: &Value) -> Result<()> {
    match text(field, value)? {
        "Default" => {}
        "Unmasked" => pod.profile.paths = super::nothing().paths,
        _ => return Err(wrong(field, value, "Default or Unmasked")),
    }
    Ok(())
}

fn readonly(pod: &mut Pod<'_>, field: &str, value: &Value) -> Result<()> {
    pod.profile.root.readonly = switch(field, value)?;
    Ok(())
}

fn non_root(pod: &mut Pod<'_>, field: &str, value: &Value) -> Result<()> {
    if switch(field, value)? {
        pod.profile.identity.non_root = Verdict::Refuse;
    }
    Ok(())
}

fn user(pod: &mut Pod<'_>, field: &str, value: &Value) -> Result<()> {
    let id = value.as_u64().and_then(|id| u32::try_from(id).ok());
    let id = id.ok_or_else(|| wrong(field, value, "a user id"))?;
    if id > 0 {
        pod.profile.identity.non_root = Verdict::Refuse;
        pod.profile.identity.minimum_uid = id;
        let why = "a profile does not choose the user: it refuses root, and ids below";
        pod.losses.looser(field, why);
    }
    Ok(())
}

fn groups(pod: &mut Pod<'_>, field: &str, value: &Value) -> Result<()> {
    if text(field, value)? == "Strict" {
        pod.profile.identity.additional_groups = Groups::Drop;
        let why = "groups that supplementalGroups lists are dropped, too";
        pod.losses.stricter(field, why);
    }
    Ok(())
}

fn seccomp(pod: &mut Pod<'_>, field: &str, value: &Value) -> Result<()> {
    match value["type"].as_str() {
        Some("Unconfined") => pod.profile.seccomp = None,
        Some("RuntimeDefault") => {
            pod.profile.seccomp = stand_in();
            let why = "the engine's own filter is not known here; that of profile \"baseline\" is in its place";
            pod.losses.stricter(field, why);
        }
        Some("Localhost") => match pod.filter {
            Some(filter) => pod.profile.seccomp = Some(oci::from_oci(filter)?),
            None => {
                let why = "the file is on the node; --seccomp FILE says where it is here";
                pod.losses.looser(field, why);
            }
        },
        _ => {
            return Err(wrong(
                field,
                &value["type"],
                "Unconfined, RuntimeDefault or Localhost",
            ));
        }
    }
    Ok(())
}

fn shares(pod: &mut Pod<'_>, kind: NamespaceType, is_host: bool) {
    if is_host {
        let require = &mut pod.profile.namespaces.require;
        require.retain(|other| *other != kind);
    }
}

fn host_ipc(pod: &mut Pod<'_>, field: &str, value: &Value) -> Result<()> {
    shares(pod, NamespaceType::Ipc, switch(field, value)?);
    Ok(())
}

/// A pod in the host's network has the host's name, too.
fn host_network(pod: &mut Pod<'_>, field: &str, value: &Value) -> Result<()> {
    let is_host = switch(field, value)?;
    shares(pod, NamespaceType::Network, is_host);
    shares(pod, NamespaceType::Uts, is_host);
    Ok(())
}

fn host_pid(pod: &mut Pod<'_>, field: &str, value: &Value) -> Result<()> {
    shares(pod, NamespaceType::Pid, switch(field, value)?);
    Ok(())
}

fn host_users(pod: &mut Pod<'_>, field: &str, value: &Value) -> Result<()> {
    if !switch(field, value)? {
        let why = "a profile cannot add a user namespace; require it with on-conflict = \"refuse\"";
        pod.losses.add(field, Looser, why);
    }
    Ok(())
}

/// Units of amounts (resource.Quantity); with `m`, thousandths.
const UNITS: [(&str, u64); 11] = [
    ("", 1),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
    ("P", 1_000_000_000_000_000),
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("Pi", 1 << 50),
];

fn written(field: &str, value: &Value) -> Result<String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        value => Err(wrong(field, value, "an amount")),
    }
}

fn memory(pod: &mut Pod<'_>, field: &str, value: &Value) -> Result<()> {
    let bytes = amount(&written(field, value)?, &UNITS);
    let bytes = bytes.ok_or_else(|| wrong(field, value, "a size such as 512Mi"))?;
    pod.profile.limits.memory.maximum = Some(Quantity::Number(bytes));
    Ok(())
}

fn cpu(pod: &mut Pod<'_>, field: &str, value: &Value) -> Result<()> {
    let units = [("", 1_000_000_000), ("m", 1_000_000)];
    let billionths = amount(&written(field, value)?, &units);
    let billionths = billionths.ok_or_else(|| wrong(field, value, "an amount such as 500m"))?;
    let (percent, is_more) = percent_of(billionths);
    pod.profile.limits.cpu_percent.maximum = Some(Quantity::Number(percent));
    if is_more {
        let why = format!("rounded up to {percent} percent of a CPU");
        pod.losses.looser(field, why);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(context: &str) -> String {
        format!("spec:\n  containers:\n  - name: app\n    securityContext: {context}\n")
    }

    fn losses(context: &str) -> Vec<String> {
        let converted = from_kubernetes("x", &pod(context), None, None).unwrap();
        converted.losses.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn members_become_keys() {
        let context = "{runAsNonRoot: true, allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, \
                       capabilities: {drop: [ALL], add: [CHOWN]}, procMount: Unmasked}";
        let text = pod(context) + "    resources: {limits: {memory: 512Mi, cpu: 1500m}}\n";
        let profile = from_kubernetes("x", &text, None, None).unwrap().result;
        assert_eq!(profile.identity.non_root, Verdict::Refuse);
        assert!(profile.process.no_new_privileges && profile.root.readonly);
        assert_eq!(profile.capabilities.unwrap().allow, ["CAP_CHOWN"]);
        assert_eq!(profile.paths, crate::profile::convert::nothing().paths);
        assert_eq!(
            profile.limits.memory.maximum,
            Some(Quantity::Number(512 << 20))
        );
        assert_eq!(
            profile.limits.cpu_percent.maximum,
            Some(Quantity::Number(150))
        );
        assert_eq!(profile.seccomp, None);
    }

    #[test]
    fn the_container_s_member_stands_for_the_pod_s() {
        let text = format!(
            "kind: Deployment\nspec:\n  template:\n    {}",
            pod("{runAsUser: 7}").replace('\n', "\n    ")
        );
        let text = text + "  securityContext: {runAsUser: 5, runAsNonRoot: true}\n";
        let profile = from_kubernetes("x", &text, None, None).unwrap().result;
        assert_eq!(profile.identity.minimum_uid, 7);
    }

    #[test]
    fn each_loss_says_its_direction() {
        assert_eq!(
            losses("{privileged: false, procMount: Default}"),
            Vec::<String>::new()
        );
        assert_eq!(
            losses(
                "{runAsUser: 5, newThing: 1, seccompProfile: {type: Localhost, localhostProfile: x}}"
            ),
            [
                "not carried over: securityContext.newThing: different: not a member that is known here",
                "not carried over: securityContext.runAsUser: looser: a profile does not choose the user: it refuses root, and ids below",
                "not carried over: securityContext.seccompProfile: looser: the file is on the node; --seccomp FILE says where it is here",
            ]
        );
    }

    #[test]
    fn wrong_pods_are_errors() {
        let refused = |text: &str| {
            from_kubernetes("x", text, None, None)
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            refused(&pod("{privileged: true}")),
            "securityContext.privileged: a profile cannot give all that this takes from the confinement"
        );
        assert_eq!(
            refused(&pod("{runAsNonRoot: \"yes\"}")),
            "securityContext.runAsNonRoot: \"yes\" is not true or false"
        );
        assert_eq!(
            refused("kind: Service"),
            "read a pod: it has no spec.containers"
        );
        let two = "spec: {containers: [{name: a}, {name: b}]}";
        assert_eq!(
            refused(two),
            "spec.containers: these are several: \"a\", \"b\""
        );
    }
}
