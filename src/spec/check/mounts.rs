//! `mounts` (config.md, "Mounts") and id maps, of mounts and of the user namespace (user_namespaces(7)).

use super::At;
use crate::error::{Result, quote};
use crate::names::mount::{self, MountOptions};
use crate::spec::{Config, IdMapping, Mount, NamespaceType};

/// The most entries of one map that the kernel takes (user_namespaces(7), since 4.15).
const MOST_RANGES: usize = 340;

pub(super) fn mounts(config: &Config, at: &At, warnings: &mut Vec<String>) -> Result<()> {
    let linux = config.linux.iter();
    let mut namespaces = linux.flat_map(|l| &l.namespaces);
    let user_namespace = namespaces.any(|n| n.kind == NamespaceType::User);
    for (i, mount) in config.mounts.iter().enumerate() {
        let at = at.within(format!("mounts[{i}]"));
        destination(&mount.destination, &at, warnings)?;
        if mount.options.iter().any(String::is_empty) {
            return Err(at.refuse("options", "\"\" is not a mount option"));
        }
        let options = mount::parse(&mount.options);
        match options.bind {
            Some(_) => bind(mount, &options, &at)?,
            None if options.remount => {}
            None => filesystem(mount, &at)?,
        }
        if options.copy_up && mount.kind.as_deref() != Some("tmpfs") {
            return Err(at.refuse("options", "\"tmpcopyup\" is only for the type \"tmpfs\""));
        }
        id_maps_of_mount(mount, &at)?;
        if options.id_map.is_some() && mount.uid_mappings.is_empty() && !user_namespace {
            let cause = "an idmapped mount needs uidMappings and gidMappings, or a user namespace";
            return Err(at.refuse("options", cause));
        }
    }
    Ok(())
}

fn destination(destination: &str, at: &At, warnings: &mut Vec<String>) -> Result<()> {
    if destination.is_empty() {
        return Err(at.refuse("destination", "is empty"));
    }
    if !destination.starts_with('/') {
        let cause = format!("{} is relative, \"/\" is put before it", quote(destination));
        at.warn(warnings, "destination", cause);
    }
    Ok(())
}

/// A bind mount has no superblock of its own: the kernel would silently drop what is meant for one.
fn bind(mount: &Mount, options: &MountOptions, at: &At) -> Result<()> {
    if mount.source.as_deref().unwrap_or("").is_empty() {
        return Err(at.refuse("source", "is missing, a bind mount needs one"));
    }
    let data = options.data.iter().map(|(key, _)| key);
    if let Some(word) = data.chain(&options.flags).next() {
        let cause = format!("{} has no effect on a bind mount", quote(word));
        return Err(at.refuse("options", cause));
    }
    Ok(())
}

fn filesystem(mount: &Mount, at: &At) -> Result<()> {
    match mount.kind.as_deref() {
        None | Some("") => {
            let error = at.refuse("type", "is missing");
            Err(error.hint("name the filesystem, or add \"bind\" or \"rbind\" to options"))
        }
        Some(kind @ ("bind" | "rbind" | "none")) => {
            let cause = format!("{} is no filesystem", quote(kind));
            Err(at
                .refuse("type", cause)
                .hint("add \"bind\" or \"rbind\" to options"))
        }
        Some(_) => Ok(()),
    }
}

fn id_maps_of_mount(mount: &Mount, at: &At) -> Result<()> {
    match (mount.uid_mappings.is_empty(), mount.gid_mappings.is_empty()) {
        (true, true) => return Ok(()),
        (false, true) => return Err(at.refuse("gidMappings", "is missing beside uidMappings")),
        (true, false) => return Err(at.refuse("uidMappings", "is missing beside gidMappings")),
        (false, false) => {}
    }
    id_map(&mount.uid_mappings, "uidMappings", at)?;
    id_map(&mount.gid_mappings, "gidMappings", at)
}

/// The kernel's own rules for a map, so that the field can be named.
pub(super) fn id_map(map: &[IdMapping], field: &str, at: &At) -> Result<()> {
    if map.len() > MOST_RANGES {
        let cause = format!(
            "{} ranges are more than the kernel's {MOST_RANGES}",
            map.len()
        );
        return Err(at.refuse(field, cause));
    }
    let overlap = |a: u32, a_size: u32, b: u32, b_size: u32| {
        u64::from(a) < u64::from(b) + u64::from(b_size)
            && u64::from(b) < u64::from(a) + u64::from(a_size)
    };
    for (i, range) in map.iter().enumerate() {
        let at = at.within(format!("{field}[{i}]"));
        if range.size == 0 {
            return Err(at.refuse("size", "is 0"));
        }
        for (name, first) in [
            ("containerID", range.container_id),
            ("hostID", range.host_id),
        ] {
            // The last id that exists is 4294967294.
            if first.checked_add(range.size).is_none() {
                let cause = format!("{first} and {} ids go beyond 4294967294", range.size);
                return Err(at.refuse(name, cause));
            }
        }
        for (j, other) in map[..i].iter().enumerate() {
            let inside = (range.container_id, other.container_id);
            let outside = (range.host_id, other.host_id);
            for (name, (a, b)) in [("containerID", inside), ("hostID", outside)] {
                if overlap(a, range.size, b, other.size) {
                    let cause = format!("overlaps that of {field}[{j}]");
                    return Err(at.refuse(name, cause));
                }
            }
        }
    }
    Ok(())
}
