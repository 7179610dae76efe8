//! What whoever watches an unpacking is told of each entry: where it went, whose it is, how it begins.
//! Not what to make of it: that is the watcher's, and nothing that it does changes what is unpacked.

use super::archive::{Entry, Kind};
use super::budget::Limits;
use super::name::{Name, Role};

/// The most bytes of a file's beginning that a watcher is shown.
pub const HEAD: usize = 64 << 10;

/// Called for each entry once it is in its place, in the order of the archive.
pub type Watch<'w> = dyn FnMut(&Seen<'_>) + 'w;

/// One entry of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen<'a> {
    /// The path as the archive spells it.
    pub written: &'a [u8],
    /// The path below the root, without `.`, doubled slashes and a slash at its start; empty: the root. Of a whiteout what it
    /// hides. Symlinks on the way are not resolved.
    pub path: &'a [u8],
    /// What is there.
    pub what: What,
    /// Permission, set-id and sticky bits as the archive has them, whatever was kept of them.
    pub mode: u32,
    /// The owner in the archive.
    pub uid: u64,
    /// The group in the archive.
    pub gid: u64,
    /// Major and minor number of a device.
    pub device: (u64, u64),
    /// Extended attributes as the archive has them, whatever was kept of them.
    pub attributes: &'a [(Vec<u8>, Vec<u8>)],
    /// Of a file, in bytes, holes included.
    pub size: u64,
    /// The first [`HEAD`] bytes that the archive has of a file; of a sparse one without its holes.
    pub head: &'a [u8],
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symlink.
    Symlink,
    /// Another name of a file.
    HardLink,
    /// A character device.
    Character,
    /// A block device.
    Block,
    /// A FIFO.
    Fifo,
    /// The layers below have nothing at this path any more.
    Whiteout,
    /// The layers below have nothing in this directory any more.
    Opaque,
}

/// Tells of an entry that was placed; one that aufs kept for itself is nobody's concern.
pub(super) fn tell(
    watch: &mut Watch<'_>,
    entry: &Entry,
    stored: u64,
    head: &[u8],
    limits: &Limits,
) {
    let Ok(name) = Name::of(&entry.path, limits) else {
        return;
    };
    let (path, what) = match name {
        None => (Vec::new(), What::Directory),
        Some(name) => match name.role() {
            Ok(Role::Object) => (below(&name.parent, &name.last), what(entry.kind)),
            Ok(Role::Whiteout(hidden)) => (below(&name.parent, &hidden), What::Whiteout),
            Ok(Role::Opaque) => (name.parent, What::Opaque),
            Ok(Role::Bookkeeping) | Err(_) => return,
        },
    };
    let sparse = entry.sparse.as_ref().map(|sparse| sparse.size);
    watch(&Seen {
        written: &entry.path,
        path: &path,
        what,
        mode: entry.mode,
        uid: entry.uid,
        gid: entry.gid,
        device: entry.device,
        attributes: &entry.xattrs,
        size: sparse.unwrap_or(stored),
        head,
    });
}

fn below(parent: &[u8], name: &[u8]) -> Vec<u8> {
    match parent {
        [] => name.to_vec(),
        _ => [parent, name].join(&b'/'),
    }
}

fn what(kind: Kind) -> What {
    match kind {
        Kind::File => What::File,
        Kind::Directory => What::Directory,
        Kind::Symlink => What::Symlink,
        Kind::HardLink => What::HardLink,
        Kind::Character => What::Character,
        Kind::Block => What::Block,
        Kind::Fifo => What::Fifo,
    }
}
