//! What unpacking may cost: bytes, entries, depth, lengths, ratio.
//! Not the window of a zstd frame, which the decoder holds to.

use super::cause::{Cause, Step};
use crate::error::Result;

/// The limits of one image. Each is named by its field in the error that it causes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Uncompressed bytes of all layers together, the holes of sparse files included.
    pub bytes: u64,
    /// Entries of all layers together, whiteouts and hard links included.
    pub entries: u64,
    /// Bytes of one file, holes included.
    pub file_size: u64,
    /// Components of one path.
    pub depth: usize,
    /// Bytes of one path or link target.
    pub path: usize,
    /// Uncompressed bytes for each compressed one, in one layer. gzip cannot exceed 1032.
    pub ratio: u64,
    /// Uncompressed bytes of a layer up to which the ratio does not count: an empty archive compresses well too.
    pub ratio_from: u64,
    /// Bytes of one extension header: pax records, GNU long names, the map of a sparse file.
    pub extension: u64,
    /// Bytes of memory for the directories whose times are set last.
    pub remembered: usize,
    /// Bytes that a zstd frame may look back, a power of two. The decoder takes as much memory.
    pub window: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 64 << 30,
            entries: 2_000_000,
            file_size: 16 << 30,
            depth: 256,
            path: 4095,
            ratio: 200,
            ratio_from: 64 << 20,
            extension: 1 << 20,
            remembered: 32 << 20,
            window: super::decompress::WINDOW,
        }
    }
}

/// The limits of an image and what its layers have used of them.
#[derive(Debug, Clone, Default)]
pub struct Budget {
    limits: Limits,
    bytes: u64,
    entries: u64,
}

impl Budget {
    /// Nothing used yet.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            bytes: 0,
            entries: 0,
        }
    }

    /// The limits.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Uncompressed bytes used so far, holes included.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Entries used so far.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Uncompressed bytes that are left.
    pub(super) fn bytes_left(&self) -> u64 {
        self.limits.bytes - self.bytes
    }

    /// Charges a layer that was unpacked before.
    ///
    /// # Errors
    /// A limit is reached.
    pub fn take_unpacked(&mut self, layer: &str, bytes: u64, entries: u64) -> Result<()> {
        let doing = || format!("take layer {layer} from the store");
        self.take_bytes(bytes)
            .map_err(|cause| cause.while_doing(doing()))?;
        if entries > self.limits.entries - self.entries {
            let cause = over("entries", "entries", self.limits.entries);
            return Err(cause.while_doing(doing()));
        }
        self.entries += entries;
        Ok(())
    }

    pub(super) fn take_entry(&mut self) -> Step<()> {
        if self.entries == self.limits.entries {
            return Err(over("entries", "entries", self.limits.entries));
        }
        self.entries += 1;
        Ok(())
    }

    pub(super) fn take_bytes(&mut self, bytes: u64) -> Step<()> {
        if bytes > self.bytes_left() {
            return Err(over("bytes", "uncompressed bytes", self.limits.bytes));
        }
        self.bytes += bytes;
        Ok(())
    }

    pub(super) fn check_file(&self, size: u64) -> Step<()> {
        if size > self.limits.file_size {
            let what = format!("bytes a file, and this one has {size}");
            return Err(over("file_size", &what, self.limits.file_size));
        }
        Ok(())
    }
}

/// `name` is the field in [`Limits`], `what` its unit.
pub(super) fn over(name: &str, what: &str, limit: impl std::fmt::Display) -> Cause {
    Cause::new(format!("more than {limit} {what} (limit `{name}`)"))
        .hint(format!("raise `{name}` if the image is to be trusted"))
}
