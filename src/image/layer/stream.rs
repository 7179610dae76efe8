//! The uncompressed streams of layers, one after the other: one thread reads and decompresses, a second hashes, and the
//! caller's unpacks. The first two go on with the next layer while the third is busy.
//! Not what is in the streams: see `archive`.

use std::io::{self, BufRead, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{Scope, ScopedJoinHandle};

use sha2::{Digest, Sha256};

use super::budget::{Budget, Limits, over};
use super::cause::Step;
use super::decompress::decompress_within;

/// Bytes handed over at once: few enough to stay in a processor's cache until they are written.
const CHUNK: usize = 256 << 10;

/// Chunks that may wait for each thread: 8 MiB in all, enough to ride out a directory of small files.
const WAITING: usize = 16;

/// What goes from thread to thread; `T` is known at the end of a layer.
enum Piece<T> {
    Chunk(Vec<u8>),
    End(T),
    /// The last piece.
    Failed(io::Error),
}

/// What was seen of a stream that was read to its end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whole {
    pub(super) diff_id: [u8; 32],
    pub(super) bytes: u64,
}

/// Starts the threads, which end with the last of `blobs`, with a failure, or when the stream is dropped. The uncompressed
/// bytes are taken from `budget`.
pub(super) fn stream<'scope, R: Read + Send>(
    scope: &'scope Scope<'scope, '_>,
    blobs: impl Iterator<Item = io::Result<R>> + Send + 'scope,
    budget: &'scope Budget,
) -> Stream<'scope> {
    let (raw, to_hash) = sync_channel(WAITING);
    let (hashed, pieces) = sync_channel(WAITING);
    let (spare, empty) = channel();
    let feed = Feed { raw, empty };
    let threads = [
        scope.spawn(move || feed.run(blobs, budget)),
        scope.spawn(move || hash(&to_hash, &hashed)),
    ];
    Stream {
        threads,
        pieces,
        spare,
        chunk: Vec::new(),
        at: 0,
        whole: None,
    }
}

/// The reading and decompressing end.
struct Feed {
    raw: SyncSender<Piece<u64>>,
    empty: Receiver<Vec<u8>>,
}

impl Feed {
    fn run<R: Read + Send>(self, blobs: impl Iterator<Item = io::Result<R>>, budget: &Budget) {
        for blob in blobs {
            let end = match blob.and_then(|blob| self.pump(blob, budget)) {
                Ok(bytes) => Piece::End(bytes),
                Err(error) => Piece::Failed(error),
            };
            let is_last = matches!(end, Piece::Failed(_));
            // Nobody listens any more where the unpacking end has failed first.
            if self.raw.send(end).is_err() || is_last {
                return;
            }
        }
    }

    /// Hands on one layer and says how many bytes it has.
    fn pump(&self, blob: impl Read + Send, budget: &Budget) -> io::Result<u64> {
        let compressed = AtomicU64::new(0);
        let counted = Counted {
            blob,
            count: &compressed,
        };
        let limits = budget.limits();
        let mut reader = decompress_within(counted, limits.window).map_err(io::Error::other)?;
        let mut bytes = 0;
        loop {
            let mut chunk = self.empty.try_recv().unwrap_or_default();
            chunk.resize(CHUNK, 0);
            let length = fill(&mut reader, &mut chunk)?;
            if length == 0 {
                return Ok(bytes);
            }
            chunk.truncate(length);
            bytes += length as u64;
            budget
                .take_bytes(length as u64)
                .and_then(|()| check_ratio(limits, bytes, compressed.load(Ordering::Relaxed)))
                .map_err(io::Error::other)?;
            if self.raw.send(Piece::Chunk(chunk)).is_err() {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
        }
    }
}

/// Reads until the buffer is full or the stream ends, and says how much there was.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match reader.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

/// Hands every piece on, and at the end of a layer says what its bytes hash to.
fn hash(from: &Receiver<Piece<u64>>, to: &SyncSender<Piece<Whole>>) {
    let mut hash = Sha256::new();
    for piece in from {
        let piece = match piece {
            Piece::Chunk(chunk) => {
                hash.update(&chunk);
                Piece::Chunk(chunk)
            }
            Piece::End(bytes) => {
                let diff_id = hash.finalize_reset().into();
                Piece::End(Whole { diff_id, bytes })
            }
            Piece::Failed(error) => Piece::Failed(error),
        };
        if to.send(piece).is_err() {
            return;
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

/// The end that unpacks: reading ends with the layer, and [`Stream::finish`] goes on to the next one.
pub(super) struct Stream<'scope> {
    threads: [ScopedJoinHandle<'scope, ()>; 2],
    pieces: Receiver<Piece<Whole>>,
    spare: Sender<Vec<u8>>,
    chunk: Vec<u8>,
    at: usize,
    whole: Option<Whole>,
}

impl Stream<'_> {
    /// What the layer was, if it was read to its end.
    pub(super) fn finish(&mut self) -> Option<Whole> {
        self.whole.take()
    }

    /// Ends the threads. A scope alone waits for what they do, not until the kernel has forgotten them.
    pub(super) fn end(self) {
        let Self {
            threads, pieces, ..
        } = self;
        drop(pieces);
        for thread in threads {
            // They do not panic; a panic would end this process.
            drop(thread.join());
        }
    }
}

impl BufRead for Stream<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at == self.chunk.len() && self.whole.is_none() {
            let cut_short = || io::Error::other("reading it was cut short");
            let next = match self.pieces.recv().map_err(|_| cut_short())? {
                Piece::Chunk(chunk) => chunk,
                Piece::End(whole) => {
                    self.whole = Some(whole);
                    Vec::new()
                }
                Piece::Failed(error) => return Err(error),
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

impl Read for Stream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let ready = self.fill_buf()?;
        let count = ready.len().min(buffer.len());
        buffer[..count].copy_from_slice(&ready[..count]);
        self.consume(count);
        Ok(count)
    }
}
