//! `linux.namespaces` and the id maps of a user namespace: what is new, what is joined, in which order that can be done.
//! namespaces(7), setns(2) and user_namespaces(7) rule.

use super::create::{Inputs, c_string};
use super::{IdMapText, Join, MapWriter, Step};
use crate::spec::{IdMapping, Linux, NamespaceType, TimeOffset};
use crate::sys::clone::NEWTIME;

/// Which namespaces are new, which are joined, and in what order that can be done.
pub(super) struct Namespaces {
    /// `CLONE_NEW*` for the clone.
    pub(super) new: u64,
    pub(super) new_cgroup: bool,
    pub(super) joins: Vec<Step>,
    pub(super) joins_first: bool,
    pub(super) maps: Option<IdMapText>,
    /// Whether the runtime's user namespace has given up setgroups(2), which those made in it inherit.
    inherits_denial: bool,
    /// Whether the container is in a user namespace other than the runtime's.
    pub(super) has_user: bool,
    pub(super) take_ids: Option<(u32, u32)>,
}

impl Namespaces {
    /// Whether the clone makes this namespace, one of `CLONE_NEW*`.
    pub(super) fn is_new(&self, flag: i32) -> bool {
        self.new & flag as u64 != 0
    }

    /// Whether the container joins a user namespace.
    pub(super) fn joins_user(&self) -> bool {
        let is_user =
            |step: &Step| matches!(step, Step::Join(join) if join.kind == NamespaceType::User);
        self.joins.iter().any(is_user)
    }

    /// Whether setgroups(2) is given up.
    pub(super) fn denies_setgroups(&self) -> bool {
        self.inherits_denial || self.maps.as_ref().is_some_and(IdMapText::denies_setgroups)
    }

    /// Those of a running container, which are all there already.
    pub(super) fn of_container(denies_setgroups: bool) -> Self {
        Self {
            new: 0,
            new_cgroup: false,
            joins: Vec::new(),
            joins_first: false,
            maps: None,
            inherits_denial: denies_setgroups,
            has_user: false,
            take_ids: None,
        }
    }

    pub(super) fn of(inputs: &Inputs<'_>, linux: &Linux) -> Self {
        let mut spaces = Self {
            new: 0,
            new_cgroup: false,
            joins: Vec::new(),
            joins_first: false,
            maps: None,
            inherits_denial: inputs.host.denies_setgroups,
            has_user: false,
            take_ids: None,
        };
        let mut joined = Vec::new();
        for (index, namespace) in linux.namespaces.iter().enumerate() {
            let flag = flag_of(namespace.kind);
            spaces.has_user |= namespace.kind == NamespaceType::User;
            match &namespace.path {
                Some(path) => joined.push((index, namespace.kind, flag, path)),
                None if namespace.kind == NamespaceType::Cgroup => spaces.new_cgroup = true,
                None => spaces.new |= flag as u64,
            }
        }
        // Without rights of one's own the user namespace comes first: joining those that it owns takes its capabilities.
        // With them it comes last, since others may be owned by the runtime's, such as a network that was made for it.
        let has_rights = inputs.host.has_capability("CAP_SYS_ADMIN");
        joined.sort_by_key(|(_, kind, ..)| (*kind == NamespaceType::User) == has_rights);
        let offsets = time_offsets(linux);
        if spaces.is_new(libc::CLONE_NEWUSER) {
            spaces.maps = Some(id_maps(inputs, linux));
            spaces.take_ids = Some(ids_to_take(inputs, linux));
        }
        spaces.joins_first = offsets.is_some()
            || spaces.is_new(libc::CLONE_NEWUSER) && !joined.is_empty()
            || joined.iter().any(|(_, kind, ..)| {
                matches!(
                    kind,
                    NamespaceType::User | NamespaceType::Pid | NamespaceType::Time
                )
            });
        for (slot, (index, kind, flag, path)) in joined.into_iter().enumerate() {
            spaces.joins.push(Step::Join(Join {
                kind,
                flag,
                path: c_string(path),
                index,
                slot,
            }));
            if kind == NamespaceType::User {
                spaces.joins.push(Step::TakeMappedIds { uid: 0, gid: 0 });
            }
        }
        if let Some(offsets) = offsets {
            spaces.new &= !NEWTIME;
            spaces.joins.push(Step::TimeNamespace { offsets });
        }
        spaces
    }
}

/// `CLONE_NEW*` of a namespace type.
pub(super) fn flag_of(kind: NamespaceType) -> i32 {
    match kind {
        NamespaceType::Pid => libc::CLONE_NEWPID,
        NamespaceType::Network => libc::CLONE_NEWNET,
        NamespaceType::Mount => libc::CLONE_NEWNS,
        NamespaceType::Ipc => libc::CLONE_NEWIPC,
        NamespaceType::Uts => libc::CLONE_NEWUTS,
        NamespaceType::User => libc::CLONE_NEWUSER,
        NamespaceType::Cgroup => libc::CLONE_NEWCGROUP,
        NamespaceType::Time => NEWTIME as i32,
    }
}

/// Lines for `timens_offsets` (time_namespaces(7)).
fn time_offsets(linux: &Linux) -> Option<String> {
    let line = |(clock, offset): (&String, &TimeOffset)| {
        format!("{clock} {} {}\n", offset.secs, offset.nanosecs)
    };
    (!linux.time_offsets.is_empty()).then(|| linux.time_offsets.iter().map(line).collect())
}

/// The id maps as text, and who writes that of the users and that of the groups.
pub(super) fn map_text(
    uids: &[IdMapping],
    gids: &[IdMapping],
    [uid_by, gid_by]: [MapWriter; 2],
) -> IdMapText {
    let lines = |maps: &[IdMapping]| {
        maps.iter()
            .map(|map| format!("{} {} {}\n", map.container_id, map.host_id, map.size))
            .collect()
    };
    IdMapText {
        uid: lines(uids),
        gid: lines(gids),
        uid_by,
        gid_by,
    }
}

fn id_maps(inputs: &Inputs<'_>, linux: &Linux) -> IdMapText {
    let host = inputs.host;
    let (uids, gids) = (&linux.uid_mappings, &linux.gid_mappings);
    let uid_by = writer(uids, host.uid, host.has_capability("CAP_SETUID"));
    let gid_by = match writer(gids, host.gid, host.has_capability("CAP_SETGID")) {
        // What is denied in our namespace stays denied below it, and newgidmap has nothing to give there.
        MapWriter::Program if host.denies_setgroups => MapWriter::Owner,
        by => by,
    };
    map_text(uids, gids, [uid_by, gid_by])
}

/// Without the capability the kernel takes one's own id alone, in a single line of size 1.
fn writer(maps: &[IdMapping], own: u32, has_capability: bool) -> MapWriter {
    match maps {
        _ if has_capability => MapWriter::Privileged,
        [map] if map.size == 1 && map.host_id == own => MapWriter::Owner,
        _ => MapWriter::Program,
    }
}

/// Root of the new namespace where there is one, else the user of the process.
pub(super) fn ids_to_take(inputs: &Inputs<'_>, linux: &Linux) -> (u32, u32) {
    let maps_zero = |maps: &[IdMapping]| maps.iter().any(|map| map.container_id == 0);
    let user = inputs.config.process.as_ref().map(|process| &process.user);
    let or_user = |zero: bool, id: Option<u32>| if zero { 0 } else { id.unwrap_or(0) };
    (
        or_user(maps_zero(&linux.uid_mappings), user.map(|user| user.uid)),
        or_user(maps_zero(&linux.gid_mappings), user.map(|user| user.gid)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_maps_what_the_kernel_gives_to_nobody_without_the_capability() {
        let map = |host_id, size| IdMapping {
            container_id: 0,
            host_id,
            size,
        };
        assert_eq!(writer(&[map(1000, 1)], 1000, false), MapWriter::Owner);
        assert_eq!(writer(&[map(1000, 2)], 1000, false), MapWriter::Program);
        assert_eq!(writer(&[map(1001, 1)], 1000, false), MapWriter::Program);
        let two = [map(1000, 1), map(100_000, 10)];
        assert_eq!(writer(&two, 1000, false), MapWriter::Program);
        assert_eq!(writer(&two, 1000, true), MapWriter::Privileged);
    }
}
