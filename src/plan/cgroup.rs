//! The cgroup part of a plan: place, limits, device rules, owner.
//! How limits become files is in `cgroup`; the owner follows config-linux.md, "Cgroup ownership".

use super::Cgroup;
use super::create::Inputs;
use crate::cgroup::{Mode, Write, default_name};
use crate::error::Result;
use crate::spec::{Config, IdMapping, Linux, NamespaceType};

pub(super) fn cgroup(inputs: &Inputs<'_>, linux: &Linux) -> Result<Option<Cgroup>> {
    let resources = linux.resources.clone().unwrap_or_default();
    let Some(location) = inputs.location.clone() else {
        return Ok(None);
    };
    let writes: Vec<Write> = crate::cgroup::settings(inputs.layout, &resources)?;
    let asks_for_rules = !resources.devices.is_empty();
    let devices = if asks_for_rules || may_restrict_devices(inputs) {
        crate::cgroup::device_rules(&resources.devices, &linux.devices)
    } else {
        Vec::new()
    };
    let annotations = &inputs.config.annotations;
    let properties = crate::cgroup::systemd::properties(&location, &writes, &devices, annotations)?;
    let name = linux.cgroups_path.clone().filter(|path| !path.is_empty());
    let name = name.unwrap_or_else(|| default_name(inputs.habits, inputs.id));
    // v1 cannot be given away safely.
    let is_v2 = inputs.layout.mode() == Mode::V2;
    Ok(Some(Cgroup {
        name,
        location,
        properties,
        writes,
        devices,
        owner: is_v2.then(|| owner(inputs.config, linux)).flatten(),
    }))
}

/// Attaching a device program takes privileges in the initial user namespace. Without them the default rules have no
/// one to hold back: in another user namespace nobody can make a device node or mount one that opens (mknod(2)).
fn may_restrict_devices(inputs: &Inputs<'_>) -> bool {
    let host = inputs.host;
    let is_privileged = host.has_capability("CAP_SYS_ADMIN") && !host.user_namespace;
    is_privileged || inputs.layout.holds("devices").is_some()
}

/// The host's id of the program's user, where the container can write its own cgroup file system; none for root.
fn owner(config: &Config, linux: &Linux) -> Option<u32> {
    let new = |kind| {
        let mut namespaces = linux.namespaces.iter();
        namespaces.any(|namespace| namespace.kind == kind && namespace.path.is_none())
    };
    let is_writable = config.mounts.iter().any(|mount| {
        mount.destination == "/sys/fs/cgroup"
            && mount.source.as_deref() == Some("cgroup")
            && !mount.options.iter().any(|option| option == "ro")
    });
    if !is_writable || !new(NamespaceType::Cgroup) {
        return None;
    }
    let user = config.process.as_ref()?.user.uid;
    let mut all = linux.namespaces.iter();
    let uid = if all.any(|namespace| namespace.kind == NamespaceType::User) {
        on_host(&linux.uid_mappings, user)?
    } else {
        user
    };
    (uid != 0).then_some(uid)
}

fn on_host(maps: &[IdMapping], id: u32) -> Option<u32> {
    maps.iter().find_map(|map| {
        let offset = id.checked_sub(map.container_id)?;
        (offset < map.size).then(|| map.host_id.checked_add(offset))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner_of(namespaces: &str, options: &str, uid: u32) -> Option<u32> {
        let text = format!(
            r#"{{"ociVersion":"1.0.2","process":{{"user":{{"uid":{uid},"gid":0}},"cwd":"/","args":["a"]}},
            "mounts":[{{"destination":"/sys/fs/cgroup","type":"cgroup","source":"cgroup","options":[{options}]}}],
            "linux":{{"namespaces":[{namespaces}],
            "uidMappings":[{{"containerID":0,"hostID":100000,"size":10}},{{"containerID":20,"hostID":7,"size":1}}]}}}}"#
        );
        let config: Config = serde_json::from_str(&text).unwrap();
        owner(&config, config.linux.as_ref().unwrap())
    }

    const BOTH: &str = r#"{"type":"user"},{"type":"cgroup"}"#;

    #[test]
    fn writable_cgroup_belongs_to_the_programs_user_on_the_host() {
        assert_eq!(owner_of(BOTH, "", 0), Some(100_000));
        assert_eq!(owner_of(BOTH, r#""rw""#, 20), Some(7));
        assert_eq!(owner_of(r#"{"type":"cgroup"}"#, "", 1000), Some(1000));
    }

    #[test]
    fn other_cgroups_keep_their_owner() {
        assert_eq!(owner_of(BOTH, r#""ro""#, 0), None, "read-only");
        assert_eq!(owner_of(BOTH, "", 15), None, "no such id");
        assert_eq!(owner_of(r#"{"type":"user"}"#, "", 0), None, "the host's");
        let joined = r#"{"type":"user"},{"type":"cgroup","path":"/proc/1/ns/cgroup"}"#;
        assert_eq!(owner_of(joined, "", 0), None, "another's");
        assert_eq!(owner_of(r#"{"type":"cgroup"}"#, "", 0), None, "root's");
    }
}
