//! `process.user`: who the program is, inside and outside.

use super::Asked;
use super::namespaces::{has_ids_of_host, outside};
use crate::image::read_inside;
use crate::report::Severity;

/// Groups whose members own the host: devices of disks, memory, the socket of a daemon that runs as root.
const POWERFUL: [&str; 8] = [
    "containerd",
    "disk",
    "docker",
    "incus-admin",
    "kmem",
    "libvirt",
    "lxd",
    "shadow",
];

/// The number of `disk` in every distribution that has it.
const DISK: u32 = 6;

pub(in crate::audit) fn not_root(asked: &mut Asked) {
    let scene = asked.scene;
    let (Some(process), Some(linux)) = (scene.process(), scene.linux()) else {
        return;
    };
    let uid = process.user.uid;
    let pointer = "/process/user/uid";
    if outside(scene, uid, &linux.uid_mappings) == Some(0) {
        let message = match uid {
            0 => "the program is root of the host".to_owned(),
            uid => format!("user {uid} is root of the host, by linux.uidMappings"),
        };
        asked.found(pointer, message);
    } else if uid == 0 {
        let message = "the program is root of its user namespace";
        asked.add(asked.finding(pointer, message).severity(Severity::Medium));
    }
}

pub(in crate::audit) fn groups(asked: &mut Asked) {
    let scene = asked.scene;
    let (Some(process), Some(linux)) = (scene.process(), scene.linux()) else {
        return;
    };
    let user = &process.user;
    let severity = if has_ids_of_host(scene) {
        Severity::High
    } else {
        Severity::Low
    };
    if user.uid != 0 && outside(scene, user.gid, &linux.gid_mappings) == Some(0) {
        let message = format!("user {} has root's group", user.uid);
        let finding = asked.finding("/process/user/gid", message);
        asked.add(finding.severity(Severity::Medium));
    }
    let names = names_of_groups(asked);
    for (at, gid) in user.additional_gids.iter().enumerate() {
        let pointer = format!("/process/user/additionalGids/{at}");
        let name = names
            .iter()
            .find(|(_, number)| number == gid)
            .map(|(name, _)| name.as_str());
        let message = match (gid, name) {
            // Root is in it anyway.
            (0, _) if user.uid == 0 => continue,
            (0, _) => "root's group".to_owned(),
            (gid, Some(name)) if POWERFUL.contains(&name) => format!("group {gid} is {name}"),
            (&DISK, None) => format!("group {DISK} is that of disks"),
            _ => continue,
        };
        asked.add(
            asked
                .finding(pointer, message)
                .about(gid.to_string())
                .severity(severity),
        );
    }
}

/// By group(5) of the root filesystem.
fn names_of_groups(asked: &Asked) -> Vec<(String, u32)> {
    let root = asked.scene.root.as_deref();
    let text = root
        .and_then(|root| read_inside(root, c"etc/group"))
        .unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let named = text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        Some((fields.next()?.to_owned(), fields.nth(1)?.parse().ok()?))
    });
    named.collect()
}
