//! A directory tree as facts that can be compared, and what differs between two of them, file by file.
//! Not here: what may differ.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// The objects of a tree by their path below it; the tree itself is the empty one.
pub(crate) type Tree = BTreeMap<PathBuf, Facts>;

/// What is compared of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    /// `file`, `directory`, `symlink`, `character device`, `block device`, `FIFO` or `socket`.
    pub(crate) kind: &'static str,
    /// Permissions and the three bits above them.
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    /// Seconds and nanoseconds.
    pub(crate) mtime: (i64, i64),
    /// Extended attributes.
    pub(crate) attributes: BTreeMap<String, Vec<u8>>,
    /// A file's SHA-256 and length, a link's target, a device's numbers.
    pub(crate) content: String,
    /// All names of what is no directory.
    pub(crate) names: BTreeSet<PathBuf>,
}

/// Reads the tree below `root`.
pub(crate) fn tree(root: &Path) -> Tree {
    let mut all = Tree::new();
    let mut names: HashMap<(u64, u64), BTreeSet<PathBuf>> = HashMap::new();
    let mut inodes = BTreeMap::new();
    let mut to_see = vec![PathBuf::new()];
    while let Some(below) = to_see.pop() {
        let path = root.join(&below);
        let stat = fs::symlink_metadata(&path).unwrap();
        if stat.is_dir() {
            let entries = fs::read_dir(&path).unwrap();
            to_see.extend(entries.map(|entry| below.join(entry.unwrap().file_name())));
        } else {
            let inode = (stat.dev(), stat.ino());
            names.entry(inode).or_default().insert(below.clone());
            inodes.insert(below.clone(), inode);
        }
        all.insert(below, facts(&path, &stat));
    }
    for (path, inode) in inodes {
        all.get_mut(&path).unwrap().names = names[&inode].clone();
    }
    all
}

fn facts(path: &Path, stat: &Metadata) -> Facts {
    let kind = stat.file_type();
    let device = || {
        let (major, minor) = (
            rustix::fs::major(stat.rdev()),
            rustix::fs::minor(stat.rdev()),
        );
        format!("{major}:{minor}")
    };
    let (kind, content) = match kind {
        _ if kind.is_file() => ("file", hash(&fs::read(path).unwrap())),
        _ if kind.is_dir() => ("directory", String::new()),
        _ if kind.is_symlink() => {
            let target = fs::read_link(path).unwrap();
            ("symlink", target.to_str().unwrap().to_owned())
        }
        _ if kind.is_char_device() => ("character device", device()),
        _ if kind.is_block_device() => ("block device", device()),
        _ if kind.is_fifo() => ("FIFO", String::new()),
        _ => ("socket", String::new()),
    };
    Facts {
        kind,
        mode: stat.mode() & 0o7777,
        owner: (stat.uid(), stat.gid()),
        mtime: (stat.mtime(), stat.mtime_nsec()),
        attributes: attributes(path),
        content,
        names: BTreeSet::new(),
    }
}

fn hash(content: &[u8]) -> String {
    let sum = Sha256::digest(content);
    let hex: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{hex} {}", content.len())
}

fn attributes(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut list = [0; 4096];
    let length = rustix::fs::llistxattr(path, &mut list[..]).unwrap_or(0);
    let names = list[..length].split(|byte| *byte == 0);
    names
        .filter(|name| !name.is_empty())
        .map(|name| {
            let mut value = [0; 4096];
            let length = rustix::fs::lgetxattr(path, name, &mut value[..]).unwrap();
            let name = std::ffi::OsStr::from_bytes(name).to_str().unwrap();
            (name.to_owned(), value[..length].to_owned())
        })
        .collect()
}

/// One line for each path that only one of them has or that is not the same in both.
pub(crate) fn differences(ours: &Tree, theirs: &Tree) -> Vec<String> {
    let paths: BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
    let compare = |path: &PathBuf| match (ours.get(path), theirs.get(path)) {
        (Some(ours), Some(theirs)) if ours == theirs => None,
        (Some(ours), Some(theirs)) => Some(format!("{path:?}: {ours:?} and not {theirs:?}")),
        (Some(ours), None) => Some(format!("{path:?}: {ours:?} and not there")),
        (None, theirs) => Some(format!("{path:?}: not there, but {theirs:?}")),
    };
    paths.into_iter().filter_map(compare).collect()
}
