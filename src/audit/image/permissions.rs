//! What files of an image give to whoever executes, opens or writes them: set-id bits, capabilities, devices, permissions
//! for everybody. The same rules for entries of a layer and for what is in a directory.

use rustix::fs::FileType;

use super::found::{Found, Gathered, Spot};
use super::walk::{Content, Object, name};
use crate::report::Severity;

/// Programs that distributions install with set-id bits.
const USUAL: &[&[u8]] = &[
    b"chage",
    b"chfn",
    b"chsh",
    b"dbus-daemon-launch-helper",
    b"expiry",
    b"fusermount",
    b"fusermount3",
    b"gpasswd",
    b"mount",
    b"newgidmap",
    b"newgrp",
    b"newuidmap",
    b"pam_extrausers_chkpwd",
    b"passwd",
    b"ping",
    b"ping6",
    b"polkit-agent-helper-1",
    b"ssh-agent",
    b"ssh-keysign",
    b"su",
    b"sudo",
    b"umount",
    b"unix_chkpwd",
    b"utempter",
    b"wall",
    b"write",
    b"write.ul",
];

/// Where they are.
const PLACES: &[&[u8]] = &[
    b"bin/",
    b"sbin/",
    b"usr/bin/",
    b"usr/sbin/",
    b"usr/lib/",
    b"usr/lib64/",
    b"usr/libexec/",
];

/// The devices that every container has anyway: numbers, and the name below `dev`.
const PLAIN: &[((u64, u64), &[u8])] = &[
    ((1, 3), b"null"),
    ((1, 5), b"zero"),
    ((1, 7), b"full"),
    ((1, 8), b"random"),
    ((1, 9), b"urandom"),
    ((5, 0), b"tty"),
    ((5, 1), b"console"),
    ((5, 2), b"ptmx"),
];

/// Whether a program can gain privileges by execve(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NewPrivileges {
    /// `no_new_privs` will be set.
    No,
    /// It will not.
    Yes,
    /// Nothing says it: of an image alone.
    #[default]
    Unknown,
}

/// IMG-010: of a regular file.
pub(super) fn set_id(
    spot: Spot,
    path: &[u8],
    mode: u32,
    owner: (u64, u64),
    new: NewPrivileges,
) -> Option<Found> {
    let is_set_uid = mode & 0o4000 != 0;
    // Without the group's execute bit it is a mark for locks, no privilege (chmod(2), fcntl(2)).
    let is_set_gid = mode & 0o2010 == 0o2010;
    let who = match (is_set_uid, is_set_gid) {
        (true, true) => format!("user {} and group {}", owner.0, owner.1),
        (true, false) => format!("user {}", owner.0),
        (false, true) => format!("group {}", owner.1),
        (false, false) => return None,
    };
    let is_usual =
        USUAL.contains(&name(path)) && PLACES.iter().any(|place| path.starts_with(place));
    let effect = match new {
        NewPrivileges::No => ", without effect since no_new_privs is set",
        _ if is_usual => ", as usual of this program",
        _ => "",
    };
    let found = Found::new(spot, format!("whoever executes it becomes {who}{effect}"));
    let is_low = is_usual || new == NewPrivileges::No;
    Some(if is_low {
        found.severity(Severity::Low)
    } else {
        found
    })
}

/// Which bits of the permitted set a `security.capability` gives (capabilities(7), `struct vfs_ns_cap_data`).
fn permitted(value: &[u8]) -> Option<u64> {
    let word = |at: usize| Some(u32::from_le_bytes(value.get(at..at + 4)?.try_into().ok()?));
    let version = word(0)? >> 24;
    let low = u64::from(word(4)?) | u64::from(word(8)?);
    match version {
        1 => Some(low),
        2 | 3 => Some(low | u64::from(word(12)? | word(16)?) << 32),
        _ => None,
    }
}

/// IMG-011: of a regular file with a `security.capability`.
pub(super) fn capabilities(
    spot: Spot,
    path: &[u8],
    value: &[u8],
    new: NewPrivileges,
) -> Option<Found> {
    let Some(bits) = permitted(value) else {
        return Some(Found::new(
            spot,
            "its capabilities are in no form that is known",
        ));
    };
    if bits == 0 {
        return None;
    }
    let names: Vec<String> = (0..64)
        .filter(|bit| bits >> bit & 1 != 0)
        .map(capability)
        .collect();
    let is_ping = matches!(name(path), b"ping" | b"ping4" | b"ping6") && names == ["CAP_NET_RAW"];
    let found = Found::new(
        spot,
        format!("whoever executes it gets {}", names.join(", ")),
    );
    let is_low = is_ping || new == NewPrivileges::No;
    Some(if is_low {
        found.severity(Severity::Low)
    } else {
        found
    })
}

fn capability(bit: u32) -> String {
    let name = u8::try_from(bit)
        .ok()
        .and_then(crate::names::capability_name);
    name.map_or_else(|| format!("capability {bit}"), ToString::to_string)
}

/// IMG-012: of what is neither a file nor a directory nor a symlink.
pub(super) fn node(spot: Spot, path: &[u8], kind: FileType, device: (u64, u64)) -> Option<Found> {
    let (major, minor) = device;
    let what = match kind {
        FileType::CharacterDevice if device == (0, 0) => {
            "character device 0:0, which overlay file systems take for a whiteout".to_owned()
        }
        FileType::CharacterDevice => format!("character device {major}:{minor}"),
        FileType::BlockDevice => format!("block device {major}:{minor}"),
        FileType::Fifo => "FIFO".to_owned(),
        FileType::Socket => "socket".to_owned(),
        _ => return None,
    };
    let of_dev = path.strip_prefix(b"dev/");
    let is_plain = PLAIN
        .iter()
        .any(|(number, name)| *number == device && Some(*name) == of_dev);
    let found = Found::new(spot, what);
    let is_low = kind == FileType::CharacterDevice && is_plain;
    Some(if is_low {
        found.severity(Severity::Low)
    } else {
        found
    })
}

/// IMG-010 to IMG-012 of what is in a directory.
pub(super) fn of_object(
    object: &Object<'_>,
    content: &mut Content<'_>,
    new: NewPrivileges,
    gathered: &mut Gathered,
) {
    let path = object.path;
    let spot = || Spot::Path(path.to_vec());
    if object.is_file() {
        let owner = (object.stat.st_uid.into(), object.stat.st_gid.into());
        if let Some(found) = set_id(spot(), path, object.mode(), owner, new) {
            gathered.add("IMG-010", found);
        }
        if object.is_program()
            && let Some(value) = content.attribute("security.capability")
            && let Some(found) = capabilities(spot(), path, &value, new)
        {
            gathered.add("IMG-011", found);
        }
        return;
    }
    let number = object.stat.st_rdev;
    let device = (
        rustix::fs::major(number).into(),
        rustix::fs::minor(number).into(),
    );
    if let Some(found) = node(spot(), path, object.kind, device) {
        gathered.add("IMG-012", found);
    }
}

/// IMG-013. `declared` are paths that are meant to be written, without a slash at their start.
pub(super) fn writable(object: &Object<'_>, declared: &[Vec<u8>], gathered: &mut Gathered) {
    let is_meant = |place: &[u8]| {
        let rest = object.path.strip_prefix(place);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    };
    let is_sticky = object.kind == FileType::Directory && object.mode() & 0o1000 != 0;
    if object.mode() & 0o002 == 0
        || is_sticky
        || !matches!(object.kind, FileType::RegularFile | FileType::Directory)
        || [&b"tmp"[..], b"var/tmp"].into_iter().any(is_meant)
        || declared.iter().any(|place| is_meant(place))
    {
        return;
    }
    let what = if object.is_file() {
        "everybody may write it"
    } else {
        "everybody may put, replace and remove what is in it"
    };
    gathered.add(
        "IMG-013",
        Found::at(object.path, format!("{what}: mode {:04o}", object.mode())),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn severity(found: Option<Found>) -> Option<Option<Severity>> {
        found.map(|found| found.severity)
    }

    #[test]
    fn set_id_bits_matter_by_program_and_by_no_new_privs() {
        let of = |path: &str, mode, new| {
            severity(set_id(Spot::Image, path.as_bytes(), mode, (0, 0), new))
        };
        use NewPrivileges::{No, Unknown, Yes};
        assert_eq!(of("usr/bin/su", 0o4755, Yes), Some(Some(Severity::Low)));
        assert_eq!(of("srv/su", 0o4755, Unknown), Some(None));
        assert_eq!(of("usr/bin/helper", 0o2755, Yes), Some(None));
        assert_eq!(of("usr/bin/helper", 0o2755, No), Some(Some(Severity::Low)));
        assert_eq!(of("usr/bin/helper", 0o2644, Yes), None);
        assert_eq!(of("usr/bin/helper", 0o1755, Yes), None);
        let text = set_id(Spot::Image, b"x", 0o6755, (7, 8), Yes)
            .unwrap()
            .message;
        assert_eq!(text, "whoever executes it becomes user 7 and group 8");
    }

    #[test]
    fn capabilities_are_told_by_name() {
        let value = |low: u32, high: u32| {
            let words = [0x0200_0001, low, 0, high, 0];
            words
                .iter()
                .flat_map(|word| word.to_le_bytes())
                .collect::<Vec<u8>>()
        };
        let of = |path: &str, value: &[u8]| {
            capabilities(Spot::Image, path.as_bytes(), value, NewPrivileges::Unknown)
        };
        let found = of("srv/x", &value(1 << 13 | 1 << 21, 1 << 7)).unwrap();
        assert_eq!(
            found.message,
            "whoever executes it gets CAP_NET_RAW, CAP_SYS_ADMIN, CAP_BPF"
        );
        assert_eq!(found.severity, None);
        let ping = of("usr/bin/ping", &value(1 << 13, 0)).unwrap();
        assert_eq!(ping.severity, Some(Severity::Low));
        assert_eq!(of("x", &value(0, 0)), None);
        assert_eq!(
            of("x", b"\x01").unwrap().message,
            "its capabilities are in no form that is known"
        );
    }

    #[test]
    fn devices_that_every_container_has_matter_less() {
        let of =
            |path: &str, kind, device| severity(node(Spot::Image, path.as_bytes(), kind, device));
        use FileType::{BlockDevice, CharacterDevice, Directory, Fifo};
        assert_eq!(
            of("dev/null", CharacterDevice, (1, 3)),
            Some(Some(Severity::Low))
        );
        assert_eq!(of("srv/null", CharacterDevice, (1, 3)), Some(None));
        assert_eq!(of("dev/null", BlockDevice, (1, 3)), Some(None));
        assert_eq!(of("dev/mem", CharacterDevice, (1, 1)), Some(None));
        assert_eq!(of("x", Fifo, (0, 0)), Some(None));
        assert_eq!(of("x", Directory, (0, 0)), None);
    }
}
