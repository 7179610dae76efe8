//! The uncompressed stream of a layer, read and hashed by one thread while another unpacks it.
//! Not what is in it: see `archive`.

use std::io::{self, BufRead, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

use sha2::{Digest, Sha256};

use super::budget::{Budget, Limits, over};
use super::cause::Step;
use super::decompress::decompress_within;

/// Bytes handed over at once.
const CHUNK: usize = 256 << 10;

/// Chunks that may wait: enough to ride out a slow file, and about a megabyte.
const WAITING: usize = 4;

/// Both ends: the feed goes to a thread of its own.
pub(super) fn stream() -> (Feed, Stream) {
    let (full, chunks) = sync_channel(WAITING);
    let (spare, empty) = channel();
    let stream = Stream {
        chunks,
        spare,
        chunk: Vec::new(),
        at: 0,
    };
    (Feed { full, empty }, stream)
}

/// The reading, decompressing and hashing end.
pub(super) struct Feed {
    full: SyncSender<io::Result<Vec<u8>>>,
    empty: Receiver<Vec<u8>>,
}

/// What the feed saw of a stream that it read to the end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whole {
    pub(super) diff_id: [u8; 32],
    pub(super) bytes: u64,
}

impl Feed {
    /// Reads `blob` to its end, or until the other end is gone, or fails, which the other end then reads. The uncompressed
    /// bytes are taken from `budget`.
    pub(super) fn run(self, blob: impl Read + Send, budget: &Budget) -> Option<Whole> {
        match self.pump(blob, budget) {
            Ok(whole) => whole,
            Err(error) => {
                // Nobody listens any more: the unpacking end has failed first.
                drop(self.full.send(Err(error)));
                None
            }
        }
    }

    fn pump(&self, blob: impl Read + Send, budget: &Budget) -> io::Result<Option<Whole>> {
        let limits = budget.limits();
        let compressed = AtomicU64::new(0);
        let counted = Counted {
            blob,
            count: &compressed,
        };
        let mut reader = decompress_within(counted, limits.window).map_err(io::Error::other)?;
        let mut hash = Sha256::new();
        let mut bytes = 0;
        loop {
            let mut chunk = self.empty.try_recv().unwrap_or_default();
            chunk.clear();
            reader.by_ref().take(CHUNK as u64).read_to_end(&mut chunk)?;
            if chunk.is_empty() {
                let diff_id = hash.finalize().into();
                return Ok(Some(Whole { diff_id, bytes }));
            }
            hash.update(&chunk);
            bytes += chunk.len() as u64;
            let taken = budget.take_bytes(chunk.len() as u64);
            taken
                .and_then(|()| check_ratio(limits, bytes, compressed.load(Ordering::Relaxed)))
                .map_err(io::Error::other)?;
            if self.full.send(Ok(chunk)).is_err() {
                return Ok(None);
            }
        }
    }
}

fn check_ratio(limits: &Limits, bytes: u64, compressed: u64) -> Step<()> {
    if bytes > limits.ratio_from && bytes > compressed.saturating_mul(limits.ratio) {
        return Err(over("ratio", "times as large as compressed", limits.ratio));
    }
    Ok(())
}

struct Counted<'a, R> {
    blob: R,
    count: &'a AtomicU64,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.blob.read(buffer)?;
        self.count.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// The end that unpacks.
pub(super) struct Stream {
    chunks: Receiver<io::Result<Vec<u8>>>,
    spare: Sender<Vec<u8>>,
    chunk: Vec<u8>,
    at: usize,
}

impl BufRead for Stream {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at == self.chunk.len() {
            let next = match self.chunks.recv() {
                Ok(next) => next?,
                // The feed is gone without an error: this is the end.
                Err(_) => Vec::new(),
            };
            let used = std::mem::replace(&mut self.chunk, next);
            self.at = 0;
            if used.capacity() > 0 {
                // A feed that has ended needs no more buffers.
                drop(self.spare.send(used));
            }
        }
        Ok(&self.chunk[self.at..])
    }

    fn consume(&mut self, amount: usize) {
        self.at += amount;
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let ready = self.fill_buf()?;
        let count = ready.len().min(buffer.len());
        buffer[..count].copy_from_slice(&ready[..count]);
        self.consume(count);
        Ok(count)
    }
}
