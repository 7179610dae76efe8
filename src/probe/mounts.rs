//! The mounts of this mount namespace.
//!
//! proc_pid_mountinfo(5) rules.

use super::seen::{self, Seen};
use crate::report::{Body, Section};

/// A line of mountinfo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    /// The directory of the file system that is mounted.
    pub(super) root: String,
    /// Where.
    pub(super) path: String,
    /// The options of this mount.
    pub(super) options: String,
    /// `shared:1 master:2`, empty where private.
    pub(super) propagation: Vec<String>,
    /// The type of the file system.
    pub(super) kind: String,
    /// What is mounted.
    pub(super) source: String,
    /// The options of the file system.
    pub(super) superblock: String,
}

/// All mounts, in the order of the kernel.
pub(super) fn read() -> Seen<Vec<Mount>> {
    seen::text("/proc/self/mountinfo").map(|text| text.lines().filter_map(mount).collect())
}

fn mount(line: &str) -> Option<Mount> {
    let (here, file_system) = line.split_once(" - ")?;
    let here: Vec<&str> = here.split(' ').collect();
    let mut file_system = file_system.split(' ');
    Some(Mount {
        root: unescaped(here.get(3)?),
        path: unescaped(here.get(4)?),
        options: (*here.get(5)?).to_owned(),
        propagation: here.iter().skip(6).map(|&field| field.to_owned()).collect(),
        kind: file_system.next()?.to_owned(),
        source: unescaped(file_system.next()?),
        superblock: file_system.next().unwrap_or_default().to_owned(),
    })
}

/// The kernel writes white space, backslash and # as three octal digits.
fn unescaped(field: &str) -> String {
    let mut pieces = field.split('\\');
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let code = piece
            .get(..3)
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(byte) => {
                bytes.push(byte);
                bytes.extend_from_slice(&piece.as_bytes()[3..]);
            }
            None => {
                bytes.push(b'\\');
                bytes.extend_from_slice(piece.as_bytes());
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A row for each mount.
pub(super) fn section(mounts: &Seen<Vec<Mount>>) -> Section {
    let body = mounts
        .as_ref()
        .map_err(Clone::clone)
        .map(|mounts| Body::Table {
            columns: &["mounted on", "type", "flags", "source"],
            rows: mounts.iter().map(row).collect(),
        });
    seen::section("Mounts", "mounts", body)
}

fn row(mount: &Mount) -> Vec<String> {
    let mut flags = vec![mount.options.clone()];
    let is_read_only = |options: &str| options.split(',').any(|option| option == "ro");
    if is_read_only(&mount.superblock) && !is_read_only(&mount.options) {
        flags.push("(file system ro)".to_owned());
    }
    flags.extend(mount.propagation.iter().cloned());
    let source = if mount.root == "/" {
        mount.source.clone()
    } else {
        format!("{}[{}]", mount.source, mount.root)
    };
    vec![
        mount.path.clone(),
        mount.kind.clone(),
        flags.join(" "),
        source,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mountinfo_lines_become_rows() {
        let text = "36 35 98:0 /mnt1 /a\\040b rw,noatime master:1 shared:7 - ext3 /dev/root ro,errors=continue\n\
                    22 27 0:21 / /proc ro,nosuid - proc proc rw";
        let mounts = Ok(text.lines().filter_map(mount).collect());
        let Body::Table { rows, .. } = section(&mounts).body else {
            panic!("no table");
        };
        assert_eq!(
            rows,
            [
                [
                    "/a b",
                    "ext3",
                    "rw,noatime (file system ro) master:1 shared:7",
                    "/dev/root[/mnt1]"
                ],
                ["/proc", "proc", "ro,nosuid", "proc"],
            ]
        );
    }

    #[test]
    fn octal_escapes_are_undone_and_others_kept() {
        assert_eq!(unescaped("a\\134b\\012"), "a\\b\n");
        assert_eq!(unescaped("a\\9"), "a\\9");
        assert_eq!(unescaped("\\303\\244"), "ä");
    }
}
