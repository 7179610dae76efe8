//! One layer of an image onto a root directory: image-spec, layer.md "Applying Changesets".
//! Not here: which layers there are, their digests and the directory's life (it is to be a new one that is renamed when
//! whole), which are `image`'s.
//!
//! The layer is hostile, and so may be whoever else writes in the directory:
//! - Parents of an entry are resolved from the root's descriptor, symlinks followed as the container would follow them, so
//!   never out of the root; `..` in an entry's path is refused. Its last component is never followed or reopened: it is
//!   made anew, exclusively, on its parent's descriptor.
//! - What readers of archives disagree on is refused, or taken as Go's archive/tar does.
//! - Nothing is held in memory that the layer can make large, and all it may use is in [`Limits`].
//!
//! One thread reads and decompresses and one hashes while the caller's unpacks; they have ended when [`apply`] returns.

mod archive;
mod attributes;
mod budget;
mod caller;
mod cause;
mod decompress;
mod header;
mod name;
mod overlay;
mod pax;
mod place;
mod remove;
mod sparse;
mod stream;
mod tree;
mod watch;

#[cfg(test)]
mod tests;

use std::io::{self, Read};
use std::iter;
use std::os::fd::{AsFd, BorrowedFd};
use std::thread::{self, Scope};

pub use budget::{Budget, Limits};
pub use caller::Caller;
pub use decompress::{WINDOW, decompress, decompress_within};
pub use watch::{HEAD, Seen, Watch, What};

use crate::error::{Error, Result, quote};
use archive::Archive;
use cause::{Called, Cause};
use place::Placing;
use stream::{Stream, Whole};
use tree::{READABLE, Tree};

/// How a layer is unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// What errors call the layer, its digest for example; empty: nothing.
    pub layer: String,
    /// Whose the files are.
    pub ids: Ids,
    /// What happens to device and FIFO entries.
    pub nodes: Nodes,
    /// What happens to set-user-id, set-group-id and file capabilities.
    pub privileges: Privileges,
    /// What whiteouts do.
    pub whiteouts: Whiteouts,
}

impl Options {
    /// What this process can keep of a layer: see [`Caller`]. Privileges are dropped, whiteouts remove.
    pub fn for_caller(layer: impl Into<String>) -> Self {
        let caller = Caller::find();
        Self {
            layer: layer.into(),
            ids: caller.ids(),
            nodes: caller.nodes(),
            privileges: Privileges::Drop,
            whiteouts: Whiteouts::Remove,
        }
    }
}

/// The owners on this host of what is owned in the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ids {
    /// The same numbers.
    Keep,
    /// One owner, whatever the archive says.
    Everything {
        /// The user id on this host.
        uid: u32,
        /// The group id on this host.
        gid: u32,
    },
    /// By ranges, as in a user namespace; an id in none of them is an error.
    Ranges {
        /// Of user ids.
        uids: Vec<Range>,
        /// Of group ids.
        gids: Vec<Range>,
    },
}

/// A range of ids, as in user_namespaces(7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The first id in the archive.
    pub inside: u32,
    /// The first id on this host.
    pub outside: u32,
    /// How many.
    pub length: u32,
}

/// What happens to device and FIFO entries. Nothing is ever opened through them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nodes {
    /// They are made.
    Make,
    /// They are left out and counted, and what the layers below have there goes.
    Skip,
    /// The layer is refused.
    Refuse,
}

/// What happens to set-id bits of files and to file capabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privileges {
    /// They stay.
    Keep,
    /// They are taken off and counted. Set-group-id of directories, which is no privilege, stays.
    Drop,
}

/// What whiteouts do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whiteouts {
    /// Remove what the layers below have in the same directory.
    Remove,
    /// Stay, as overlayfs has them, in a directory that holds one layer.
    Overlay,
    /// The same for a mount with `userxattr`, which needs no privileges.
    OverlayUser,
}

/// What was unpacked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// SHA-256 of the whole uncompressed stream, padding included.
    pub diff_id: [u8; 32],
    /// Bytes of that stream.
    pub bytes: u64,
    /// Bytes of the holes of sparse files, which the stream does not hold and the budget counts.
    pub holes: u64,
    /// Entries, whiteouts included.
    pub entries: u64,
    /// Devices and FIFOs left out.
    pub skipped: u64,
    /// Set-id bits and file capabilities taken off.
    pub stripped: u64,
    /// Attributes of the host that made the layer, and aufs' own files, left out.
    pub dropped: u64,
    /// Directories made that the layer has files in and does not list. Below them there may be directories with other
    /// attributes, or symlinks that lead elsewhere.
    pub parents_made: u64,
    /// Hard links left out because the layer does not hold their targets, where whiteouts stay: whoever sees one must
    /// unpack the layer onto those below it.
    pub links_left_out: u64,
    /// Whether the layer says what its root is like.
    pub describes_root: bool,
    /// One line each, about attributes that could not be kept; the first thirty-two.
    pub warnings: Vec<String>,
    /// How many more there were.
    pub more_warnings: u64,
}

const WARNINGS: usize = 32;

impl Applied {
    fn warn(&mut self, warning: String) {
        if self.warnings.len() < WARNINGS {
            self.warnings.push(warning);
        } else {
            self.more_warnings += 1;
        }
    }
}

/// Unpacks a layer, gzip, zstd or plain, onto what the layers below have left in `root`, and takes what it uses from
/// `budget`. `root` is a descriptor of a directory, opened in any way.
///
/// # Errors
/// The archive is damaged or wants what is refused, a limit is reached, or a call fails. Each names the entry. What was
/// unpacked so far stays: see [`clear`].
pub fn apply(
    blob: impl Read + Send,
    root: BorrowedFd<'_>,
    options: &Options,
    budget: &Budget,
) -> Result<Applied> {
    thread::scope(|scope| {
        let mut ahead = Ahead::read(scope, iter::once(Ok(blob)), budget);
        let applied = ahead.apply_next(root, options);
        ahead.end();
        applied
    })
}

/// Layers that threads of their own read, decompress and hash, in turn, ahead of whoever unpacks them: as far as eight
/// megabytes go. The threads end when this is dropped, and have ended after [`Ahead::end`].
pub struct Ahead<'a> {
    stream: Stream<'a>,
    budget: &'a Budget,
}

impl<'a> Ahead<'a> {
    /// Starts to read. One after the other, each of `blobs` is then to be applied.
    pub fn read<R: Read + Send>(
        scope: &'a Scope<'a, '_>,
        blobs: impl Iterator<Item = io::Result<R>> + Send + 'a,
        budget: &'a Budget,
    ) -> Self {
        let stream = stream::stream(scope, blobs, budget);
        Self { stream, budget }
    }

    /// Unpacks the next layer, as [`apply`] does.
    ///
    /// # Errors
    /// As [`apply`]; nothing can be applied after one, nor after the last layer.
    pub fn apply_next(&mut self, root: BorrowedFd<'_>, options: &Options) -> Result<Applied> {
        self.apply_next_watched(root, options, None)
    }

    /// Unpacks the next layer, as [`apply`] does, and tells `watch` of each entry once it is in its place.
    ///
    /// # Errors
    /// As [`Ahead::apply_next`].
    pub fn apply_next_watched(
        &mut self,
        root: BorrowedFd<'_>,
        options: &Options,
        watch: Option<&mut Watch<'_>>,
    ) -> Result<Applied> {
        let mut applied = unpack(&mut self.stream, root, options, self.budget, watch)?;
        let Some(Whole { diff_id, bytes }) = self.stream.finish() else {
            let cause = "reading it was cut short";
            return Err(Error::new(doing("the layer", options), cause));
        };
        applied.diff_id = diff_id;
        applied.bytes = bytes;
        Ok(applied)
    }

    /// Ends the threads, whatever they are at.
    pub fn end(self) {
        self.stream.end();
    }
}

/// Removes everything in `root`, however deep: what an [`apply`] that failed has left.
///
/// # Errors
/// A call fails.
pub fn clear(root: BorrowedFd<'_>) -> Result<()> {
    rustix::fs::openat(root, c".", READABLE, rustix::fs::Mode::empty())
        .called("openat")
        .and_then(|fd| remove::empty(fd.as_fd()))
        .map_err(|cause| cause.while_doing("clear the directory"))
}

fn unpack(
    stream: &mut Stream<'_>,
    root: BorrowedFd<'_>,
    options: &Options,
    budget: &Budget,
    mut watch: Option<&mut Watch<'_>>,
) -> Result<Applied> {
    let limits = budget.limits();
    let mut archive = Archive::new(stream, limits);
    if watch.is_some() {
        archive.keep_heads(HEAD);
    }
    let mut placing = Placing {
        tree: Tree::new(root.as_fd(), options, limits),
        root,
        options,
        applied: Applied::default(),
    };
    loop {
        let entry = match archive.next_entry() {
            Ok(Some(entry)) => entry,
            Ok(None) => break,
            Err(cause) => return Err(failed(cause, &archive, options)),
        };
        let stored = archive.body_left();
        if let Err(cause) = placing.place(&entry, &mut archive, budget) {
            return Err(failed(cause, &archive, options));
        }
        if let Some(watch) = &mut watch {
            watch::tell(watch, &entry, stored, archive.head(), limits);
        }
    }
    placing.applied.parents_made = placing.tree.parents_made();
    let finished = placing.tree.finish();
    finished.map_err(|cause| cause.while_doing(doing("the directories", options)))?;
    Ok(placing.applied)
}

fn failed(cause: Cause, archive: &Archive<'_>, options: &Options) -> Error {
    cause.while_doing(doing(&archive.place(), options))
}

fn doing(place: &str, options: &Options) -> String {
    match options.layer.as_str() {
        "" => format!("unpack {place}"),
        layer => format!("unpack {place} of layer {}", quote(layer)),
    }
}
