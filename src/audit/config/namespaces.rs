//! `linux.namespaces`: which are the container's own.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;

use super::{Asked, Scene};
use crate::error::quote;
use crate::report::Severity;
use crate::spec::{IdMapping, NamespaceType};

/// What each of the host's gives the program, and how much that matters.
const KINDS: [(NamespaceType, Severity, &str); 6] = [
    (
        NamespaceType::Pid,
        Severity::High,
        "the host's processes are seen and can be signalled",
    ),
    (
        NamespaceType::Network,
        Severity::High,
        "the host's interfaces and abstract sockets are within reach",
    ),
    (
        NamespaceType::Mount,
        Severity::High,
        "the host's mounts can be changed",
    ),
    (
        NamespaceType::Ipc,
        Severity::High,
        "the host's shared memory is within reach",
    ),
    (
        NamespaceType::Uts,
        Severity::Medium,
        "the host's name can be changed",
    ),
    (
        NamespaceType::Cgroup,
        Severity::Medium,
        "the paths of the host's cgroups are seen",
    ),
];

pub(in crate::audit) fn own(asked: &mut Asked) {
    for (kind, severity, effect) in KINDS {
        let word = kind.word();
        match which(asked.scene, kind) {
            Which::New | Which::Other => {}
            Which::None => {
                let message = format!("there is no {word} namespace: {effect}");
                asked.add(
                    asked
                        .finding("/linux/namespaces", message)
                        .about(word)
                        .severity(severity),
                );
            }
            Which::Host(at, path) => {
                let message = format!("{} is the host's {word} namespace: {effect}", quote(path));
                let finding = asked.finding(format!("/linux/namespaces/{at}/path"), message);
                asked.add(finding.about(word).severity(severity));
            }
            Which::Unknown(at, path, cause) => {
                let cause = crate::error::Error::new(quote(path), cause);
                asked.unanswered(format!(
                    "linux.namespaces[{at}].path cannot be compared with the host's: {cause}"
                ));
            }
        }
    }
}

/// Whose namespace of a kind a container is in.
pub(super) enum Which<'a> {
    /// The runtime's, since none is asked for.
    None,
    /// A new one.
    New,
    /// One that is there and is not the host's, such as a pod's.
    Other,
    /// The host's, by this element and its path.
    Host(usize, &'a str),
    /// By this element and its path, which cannot be looked at.
    Unknown(usize, &'a str, io::Error),
}

/// Pods share namespaces by their paths: only the inode tells whether one is the host's.
pub(super) fn which(scene: &Scene, kind: NamespaceType) -> Which<'_> {
    let mut namespaces = scene
        .linux()
        .into_iter()
        .flat_map(|linux| linux.namespaces.iter().enumerate());
    let Some((at, namespace)) = namespaces.find(|(_, namespace)| namespace.kind == kind) else {
        return Which::None;
    };
    let Some(path) = &namespace.path else {
        return Which::New;
    };
    if *path == file_of_first(kind) {
        return Which::Host(at, path);
    }
    match (inode(path), of_host(kind)) {
        (Ok(found), Ok(host)) if found == host => Which::Host(at, path),
        (Ok(_), Ok(_)) => Which::Other,
        (Err(cause), _) | (_, Err(cause)) => Which::Unknown(at, path, cause),
    }
}

/// Of the first process; without the right to look at it, one's own.
fn of_host(kind: NamespaceType) -> io::Result<(u64, u64)> {
    let first = file_of_first(kind);
    inode(&first).or_else(|_| inode(&first.replace("/1/", "/self/")))
}

fn file_of_first(kind: NamespaceType) -> String {
    let file = match kind {
        NamespaceType::Network => "net",
        NamespaceType::Mount => "mnt",
        kind => kind.word(),
    };
    format!("/proc/1/ns/{file}")
}

fn inode(path: &str) -> io::Result<(u64, u64)> {
    fs::metadata(path).map(|found| (found.dev(), found.ino()))
}

/// Whether the container's ids are those of the host.
pub(super) fn has_ids_of_host(scene: &Scene) -> bool {
    matches!(
        which(scene, NamespaceType::User),
        Which::None | Which::Host(..)
    )
}

/// What an id of the container is outside; none where it is not known or not mapped.
pub(super) fn outside(scene: &Scene, id: u32, maps: &[IdMapping]) -> Option<u32> {
    match which(scene, NamespaceType::User) {
        Which::None | Which::Host(..) => Some(id),
        Which::Other | Which::Unknown(..) => None,
        Which::New => maps.iter().find_map(|map| {
            let offset = id
                .checked_sub(map.container_id)
                .filter(|offset| *offset < map.size)?;
            map.host_id.checked_add(offset)
        }),
    }
}
