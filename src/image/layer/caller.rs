//! Who unpacks, which decides whose the files can be and which marks of overlayfs count: root of the host, a user, or root
//! of a user namespace. Not how a namespace is entered: see `container`.

use super::{Ids, Nodes, Range, Whiteouts};
use crate::host;

/// Who unpacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// Root of the host: all ids, all kinds of files.
    Root,
    /// Anybody else: one id, and no devices.
    User,
    /// Root of a user namespace: the ids that it maps, and no devices (user_namespaces(7)).
    Mapped,
}

impl Caller {
    /// Of this process.
    pub fn find() -> Self {
        match rustix::process::geteuid().is_root() {
            true if host::is_in_user_namespace() => Self::Mapped,
            true => Self::Root,
            false => Self::User,
        }
    }

    /// The marks of its overlay mounts: those below `trusted` are of root of the host alone (xattr(7)).
    pub fn whiteouts(self) -> Whiteouts {
        match self {
            Self::Root => Whiteouts::Overlay,
            Self::User | Self::Mapped => Whiteouts::OverlayUser,
        }
    }

    pub(super) fn ids(self) -> Ids {
        match self {
            Self::Root => Ids::Keep,
            Self::User => Ids::Everything {
                uid: rustix::process::geteuid().as_raw(),
                gid: rustix::process::getegid().as_raw(),
            },
            Self::Mapped => Ids::Ranges {
                uids: mapped("/proc/self/uid_map"),
                gids: mapped("/proc/self/gid_map"),
            },
        }
    }

    pub(super) fn nodes(self) -> Nodes {
        match self {
            Self::Root => Nodes::Make,
            Self::User | Self::Mapped => Nodes::Skip,
        }
    }
}

/// The ids that there are in our own user namespace, as themselves; none where the map cannot be read.
fn mapped(path: &str) -> Vec<Range> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(range).collect()
}

/// `inside outside length`, of which the second is another namespace's number.
fn range(line: &str) -> Option<Range> {
    let mut numbers = line.split_whitespace().map(str::parse);
    let (inside, _, length) = (
        numbers.next()?.ok()?,
        numbers.next()?.ok()?,
        numbers.next()?.ok()?,
    );
    Some(Range {
        inside,
        outside: inside,
        length,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_gives_the_ids_inside() {
        let of = |inside, length| Range {
            inside,
            outside: inside,
            length,
        };
        assert_eq!(range("         1     200000        999"), Some(of(1, 999)));
        assert_eq!(
            range("         0          0 4294967295"),
            Some(of(0, u32::MAX))
        );
        assert_eq!(range("1 2"), None);
    }
}
