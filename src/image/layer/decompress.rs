//! Undoing a layer's compression, recognised by content: gzip (RFC 1952), zstd (RFC 8878), or none.
//! Not here: external programs, and the formats that no registry serves (bzip2, xz, lzma), which are refused by name.

use std::io::{self, BufRead, BufReader, Cursor, Read};

use flate2::bufread::GzDecoder;

use super::budget::over;
use crate::error::{Doing, Error, Result};

/// The default of [`super::Limits::window`]: what `zstd --long` writes, and what other readers of images accept.
pub const WINDOW: u64 = 128 << 20;

/// Bytes that tell the formats apart.
const MAGIC: usize = 6;

const BUFFER: usize = 64 << 10;

/// The uncompressed bytes of `reader`, whose first bytes say how it is compressed. Whatever is neither gzip nor zstd is
/// passed on as it is. A zstd frame may look back [`WINDOW`] bytes.
///
/// Reading fails on damage, on an early end, and on bytes after the end; only NUL bytes may follow gzip.
///
/// # Errors
/// The first read fails, or the format is one that image layers do not have.
pub fn decompress<'a>(reader: impl Read + Send + 'a) -> Result<Box<dyn Read + Send + 'a>> {
    decompress_within(reader, WINDOW)
}

/// [`decompress`] with another limit for the window of zstd frames, in bytes, rounded down to a power of two.
///
/// # Errors
/// As [`decompress`].
pub fn decompress_within<'a>(
    mut reader: impl Read + Send + 'a,
    window: u64,
) -> Result<Box<dyn Read + Send + 'a>> {
    let doing = || "decompress";
    let mut head = Vec::with_capacity(MAGIC);
    let mut limited = reader.by_ref().take(MAGIC as u64);
    limited.read_to_end(&mut head).doing(doing)?;
    let format = Format::of(&head);
    let whole = BufReader::with_capacity(BUFFER, Cursor::new(head).chain(reader));
    match format {
        Format::Plain => Ok(Box::new(whole)),
        Format::Gzip => Ok(Box::new(Gzip::new(whole))),
        Format::Zstd => {
            let mut decoder = zstd::Decoder::with_buffer(whole).doing(doing)?;
            let log = window.clamp(1 << 10, 1 << 31).ilog2();
            decoder.window_log_max(log).doing(doing)?;
            let window = 1 << log;
            Ok(Box::new(Zstd { decoder, window }))
        }
        Format::Other(name) => Err(Error::new(
            "decompress",
            format!("compressed with {name}: layers are gzip, zstd or plain"),
        )),
    }
}

enum Format {
    Plain,
    Gzip,
    Zstd,
    Other(&'static str),
}

impl Format {
    fn of(head: &[u8]) -> Self {
        match head {
            [0x1f, 0x8b, ..] => Self::Gzip,
            // A frame, or one of the sixteen skippable kinds, with which estargz-like tools may begin.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Self::Other("bzip2"),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Other("xz"),
            _ => Self::Plain,
        }
    }
}

/// A decoder that names the limit which a frame's window exceeds; the library's words do not.
struct Zstd<'a, R: BufRead> {
    decoder: zstd::Decoder<'a, R>,
    window: u64,
}

/// `ZSTD_getErrorName` of `ZSTD_error_frameParameter_windowTooLarge`.
const TOO_LARGE: &str = "Frame requires too much memory for decoding";

impl<R: BufRead> Read for Zstd<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.decoder.read(buffer).map_err(|error| {
            if error.to_string() == TOO_LARGE {
                let what = "bytes for a zstd frame to look back";
                return io::Error::other(over("window", what, self.window));
            }
            error
        })
    }
}

/// Every member of a gzip file, then NUL padding to the end. flate2's own multi-member reader takes padding for a
/// damaged member.
struct Gzip<R> {
    state: Member<R>,
}

enum Member<R> {
    Inside(Box<GzDecoder<R>>),
    Ended,
}

impl<R: BufRead> Gzip<R> {
    fn new(reader: R) -> Self {
        Self {
            state: Member::Inside(Box::new(GzDecoder::new(reader))),
        }
    }
}

impl<R: BufRead> Read for Gzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let Member::Inside(decoder) = &mut self.state else {
                return Ok(0);
            };
            let count = decoder.read(buffer)?;
            if count > 0 {
                return Ok(count);
            }
            let Member::Inside(decoder) = std::mem::replace(&mut self.state, Member::Ended) else {
                return Ok(0);
            };
            let mut reader = decoder.into_inner();
            if reader.fill_buf()?.first() == Some(&0x1f) {
                self.state = Member::Inside(Box::new(GzDecoder::new(reader)));
            } else {
                only_padding(&mut reader, "bytes after the end of the gzip data")?;
            }
        }
    }
}

/// Reads to the end, where only NUL bytes may be.
pub(super) fn only_padding(reader: &mut impl BufRead, otherwise: &str) -> io::Result<()> {
    loop {
        let rest = reader.fill_buf()?;
        if rest.is_empty() {
            return Ok(());
        }
        if rest.iter().any(|byte| *byte != 0) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, otherwise));
        }
        let length = rest.len();
        reader.consume(length);
    }
}
