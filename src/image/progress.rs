//! How far the unpacking of an image has come: counters that one thread raises and another reads.
//! Not how it is shown: see `cmd`.

use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Raised while layers are unpacked; everything starts at 0.
#[derive(Debug, Default)]
pub struct Progress {
    layers: AtomicUsize,
    of_layers: AtomicUsize,
    bytes: AtomicU64,
    of_bytes: AtomicU64,
}

impl Progress {
    /// Layers that are unpacked.
    pub fn layers(&self) -> usize {
        self.layers.load(Ordering::Relaxed)
    }

    /// Layers to unpack, those that are unpacked included.
    pub fn of_layers(&self) -> usize {
        self.of_layers.load(Ordering::Relaxed)
    }

    /// Bytes read, as they are stored.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Bytes to read, those that are read included.
    pub fn of_bytes(&self) -> u64 {
        self.of_bytes.load(Ordering::Relaxed)
    }

    pub(super) fn expect(&self, bytes: u64) {
        self.of_layers.fetch_add(1, Ordering::Relaxed);
        self.of_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn finish_layer(&self) {
        self.layers.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts what is read.
    pub(super) fn count<R>(&self, inner: R) -> Counted<'_, R> {
        let progress = self;
        Counted { inner, progress }
    }
}

pub(super) struct Counted<'a, R> {
    inner: R,
    progress: &'a Progress,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let bytes = &self.progress.bytes;
        bytes.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}
