//! The entries of a tar stream with their extensions, as Go's archive/tar (the reader of every registry client) lists
//! them; what readers disagree on is refused.
//! Not the tar crate's `Entries`: they hold extension headers of any length in memory, split pax records at newlines, and
//! give directories and links a body that Go's reader does not see. Its block layouts are used.

use std::io::BufRead;

use tar::{EntryType, GnuExtSparseHeader, Header};

use super::budget::{Limits, over};
use super::cause::{Cause, Step};
use super::decompress::only_padding;
use super::header::{self, BLOCK, number, signed};
use super::pax::{self, Extensions, Time};
use super::sparse::{Sparse, gnu_spans, malformed};
use crate::error::quote;

/// What an entry makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
    Symlink,
    HardLink,
    Character,
    Block,
    Fifo,
}

/// One entry; its body, if it is a file, is the archive's to read.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) path: Vec<u8>,
    /// The target of a link, as the archive has it.
    pub(super) target: Vec<u8>,
    pub(super) kind: Kind,
    /// Permission, set-id and sticky bits.
    pub(super) mode: u32,
    pub(super) uid: u64,
    pub(super) gid: u64,
    pub(super) mtime: Time,
    pub(super) atime: Option<Time>,
    /// Major and minor number.
    pub(super) device: (u64, u64),
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) sparse: Option<Sparse>,
}

/// The stream between two entries, or inside the body of one.
pub(super) struct Archive<'a> {
    stream: &'a mut dyn BufRead,
    limits: &'a Limits,
    /// Bytes of the current body that nobody has read.
    body: u64,
    /// NUL bytes between the body and the next header.
    padding: u64,
    /// The path of the entry that is being read or was read last.
    path: Vec<u8>,
    is_named: bool,
    /// The beginning of the current body as far as it was read, for whoever watches.
    head: Head,
}

/// Keeps the first bytes of each body that goes by.
struct Head {
    most: usize,
    bytes: Vec<u8>,
}

/// Headers that describe the next entry.
#[derive(Default)]
struct Ahead {
    long_path: Option<Vec<u8>>,
    long_target: Option<Vec<u8>>,
    pax: Option<Extensions>,
}

impl<'a> Archive<'a> {
    pub(super) fn new(stream: &'a mut dyn BufRead, limits: &'a Limits) -> Self {
        Self {
            stream,
            limits,
            body: 0,
            padding: 0,
            path: Vec::new(),
            is_named: true,
            head: Head {
                most: 0,
                bytes: Vec::new(),
            },
        }
    }

    /// Keeps the first `most` bytes of each body from now on.
    pub(super) fn keep_heads(&mut self, most: usize) {
        self.head.most = most;
    }

    /// The first bytes of the current body, as far as they were asked for and read.
    pub(super) fn head(&self) -> &[u8] {
        &self.head.bytes
    }

    /// Which entry an error is about, in words.
    pub(super) fn place(&self) -> String {
        match (self.is_named, self.path.is_empty()) {
            (true, _) => quote(&self.path),
            (false, true) => "the first entry".to_owned(),
            (false, false) => format!("the entry after {}", quote(&self.path)),
        }
    }

    /// The next entry, or none at the end of the archive, with or without its two blocks of NUL bytes. After the end
    /// only NUL bytes may follow: other readers would find entries there.
    pub(super) fn next_entry(&mut self) -> Step<Option<Entry>> {
        self.is_named = false;
        let mut ahead = Ahead::default();
        loop {
            self.skip_body()?;
            let Some(header) = self.header()? else {
                return self.end(&ahead);
            };
            let size = number(&header.as_old().size, "size")?;
            match header.entry_type() {
                EntryType::GNULongName => {
                    let name = self.long_name(size)?;
                    once(&mut ahead.long_path, name, "long names")?;
                }
                EntryType::GNULongLink => {
                    let name = self.long_name(size)?;
                    once(&mut ahead.long_target, name, "long link targets")?;
                }
                EntryType::XHeader => {
                    let records = Extensions::read(&self.extension(size)?)?;
                    once(&mut ahead.pax, records, "pax headers")?;
                }
                EntryType::XGlobalHeader => pax::check_global(&self.extension(size)?)?,
                kind => return self.entry(&header, kind, size, ahead).map(Some),
            }
        }
    }

    /// The rest of the current file's body; reading stops at its end.
    pub(super) fn body(&mut self) -> Step<&[u8]> {
        if self.body == 0 {
            return Ok(&[]);
        }
        let ready = self.stream.fill_buf()?;
        if ready.is_empty() {
            return Err(ended());
        }
        let most = usize::try_from(self.body).unwrap_or(usize::MAX);
        Ok(&ready[..ready.len().min(most)])
    }

    /// Bytes of the current body that are still to read.
    pub(super) fn body_left(&self) -> u64 {
        self.body
    }

    /// Marks bytes of the body as read.
    pub(super) fn consume(&mut self, count: usize) {
        let wanted = self.head.most - self.head.bytes.len();
        if wanted > 0
            && let Ok(ready) = self.stream.fill_buf()
        {
            let kept = &ready[..count.min(wanted).min(ready.len())];
            self.head.bytes.extend_from_slice(kept);
        }
        self.stream.consume(count);
        self.body -= count as u64;
    }

    fn end(&mut self, ahead: &Ahead) -> Step<Option<Entry>> {
        if ahead.long_path.is_some() || ahead.long_target.is_some() || ahead.pax.is_some() {
            return Err(Cause::new("an extension header describes no entry"));
        }
        only_padding(&mut self.stream, "bytes after the end of the archive")?;
        Ok(None)
    }

    /// Writers that do not end their archive leave out the padding of the last body: to Go's reader that is the end.
    fn skip_body(&mut self) -> Step<()> {
        while self.body > 0 {
            let count = self.body()?.len();
            self.consume(count);
        }
        let mut padding = std::mem::take(&mut self.padding) as usize;
        while padding > 0 {
            let count = self.stream.fill_buf()?.len().min(padding);
            if count == 0 {
                return Ok(());
            }
            self.stream.consume(count);
            padding -= count;
        }
        Ok(())
    }

    fn set_body(&mut self, size: u64) -> Step<()> {
        let padding = size.wrapping_neg() % BLOCK as u64;
        // So that the sum with the padding cannot overflow.
        if i64::try_from(size).is_err() {
            return Err(Cause::new(format!("the size {size} is too large")));
        }
        self.body = size;
        self.padding = padding;
        self.head.bytes.clear();
        Ok(())
    }

    /// The next header block, or none at the end.
    fn header(&mut self) -> Step<Option<Header>> {
        let mut header = Header::new_old();
        if !self.block(header.as_mut_bytes())? {
            return Ok(None);
        }
        if header.as_bytes().iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        if !header::is_sum_right(&header)? {
            return Err(Cause::new("no tar header: its checksum is wrong"));
        }
        Ok(Some(header))
    }

    /// Fills one block; false at the end of the stream.
    fn block(&mut self, block: &mut [u8; BLOCK]) -> Step<bool> {
        if self.stream.fill_buf()?.is_empty() {
            return Ok(false);
        }
        self.stream.read_exact(block).map_err(|error| {
            if error.kind() == std::io::ErrorKind::UnexpectedEof {
                ended()
            } else {
                error.into()
            }
        })?;
        Ok(true)
    }

    /// The body of an extension header.
    fn extension(&mut self, size: u64) -> Step<Vec<u8>> {
        if size > self.limits.extension {
            let what = "bytes in an extension header";
            return Err(over("extension", what, self.limits.extension));
        }
        self.set_body(size)?;
        let mut data = Vec::new();
        while self.body > 0 {
            let ready = self.body()?;
            data.extend_from_slice(ready);
            let count = ready.len();
            self.consume(count);
        }
        Ok(data)
    }

    /// A GNU long name, up to its first NUL.
    fn long_name(&mut self, size: u64) -> Step<Vec<u8>> {
        let mut name = self.extension(size)?;
        if let Some(end) = name.iter().position(|byte| *byte == 0) {
            if name[end..].iter().any(|byte| *byte != 0) {
                return Err(Cause::new("a long name goes on after a NUL byte"));
            }
            name.truncate(end);
        }
        if name.is_empty() {
            return Err(Cause::new("an empty long name"));
        }
        Ok(name)
    }

    fn entry(&mut self, header: &Header, tag: EntryType, size: u64, ahead: Ahead) -> Step<Entry> {
        let mut pax = ahead.pax.unwrap_or_default();
        let path = ahead.long_path.or(pax.sparse.name.take());
        let path = path.or(pax.path.take());
        self.path = path.unwrap_or_else(|| header.path_bytes().into_owned());
        self.is_named = true;
        let old = header.as_old();
        let kind = kind(old.linkflag[0], &self.path, tag)?;
        let size = if kind == Kind::File {
            pax.size.unwrap_or(size)
        } else {
            0
        };
        self.set_body(size)?;
        let sparse = match kind {
            Kind::File => self.sparse(header, tag, &pax)?,
            _ => None,
        };
        let target = ahead.long_target.or(pax.linkpath);
        let or =
            |given: Option<u64>, field: &[u8], what| given.map_or_else(|| number(field, what), Ok);
        Ok(Entry {
            path: self.path.clone(),
            target: target
                .unwrap_or_else(|| header.link_name_bytes().unwrap_or_default().into_owned()),
            kind,
            mode: (number(&old.mode, "mode")? & 0o7777) as u32,
            uid: or(pax.uid, &old.uid, "uid")?,
            gid: or(pax.gid, &old.gid, "gid")?,
            mtime: match pax.mtime {
                Some(time) => time,
                None => Time {
                    seconds: signed(&old.mtime, "mtime")?,
                    nanoseconds: 0,
                },
            },
            atime: pax.atime,
            device: device(header, kind)?,
            xattrs: pax.xattrs,
            sparse,
        })
    }

    fn sparse(
        &mut self,
        header: &Header,
        tag: EntryType,
        pax: &Extensions,
    ) -> Step<Option<Sparse>> {
        let sparse = if tag == EntryType::GNUSparse {
            self.gnu_sparse(header)?
        } else if pax.sparse.is_map_in_data()? {
            let numbers = self.map_in_data()?;
            pax.sparse.in_data(&numbers)?
        } else {
            match pax.sparse.in_records()? {
                Some(sparse) => sparse,
                None => return Ok(None),
            }
        };
        sparse.check(self.body).map(Some)
    }

    /// The spans in the header and in the blocks between it and the body.
    fn gnu_sparse(&mut self, header: &Header) -> Step<Sparse> {
        let gnu = header.as_gnu().ok_or_else(malformed)?;
        let size = number(&gnu.realsize, "sparse size")?;
        let mut spans = Vec::new();
        gnu_spans(&gnu.sparse, &mut spans)?;
        let mut goes_on = gnu.is_extended();
        while goes_on {
            let mut more = GnuExtSparseHeader::new();
            if !self.block(more.as_mut_bytes())? {
                return Err(ended());
            }
            gnu_spans(&more.sparse, &mut spans)?;
            goes_on = more.is_extended();
            // 16 bytes a span in memory.
            if spans.len() as u64 > self.limits.extension / 16 {
                let what = "bytes in the map of a sparse file";
                return Err(over("extension", what, self.limits.extension));
            }
        }
        Ok(Sparse { size, spans })
    }

    /// The numbers at the start of the body, a line each, filled up to a block.
    fn map_in_data(&mut self) -> Step<Vec<u64>> {
        let mut read = 0;
        let count = self.line(&mut read)?;
        let most = self.limits.extension / 16;
        if count > most {
            let what = "bytes in the map of a sparse file";
            return Err(over("extension", what, self.limits.extension));
        }
        let numbers = (0..count * 2)
            .map(|_| self.line(&mut read))
            .collect::<Step<_>>()?;
        while read % BLOCK != 0 {
            self.byte(&mut read)?;
        }
        Ok(numbers)
    }

    fn line(&mut self, read: &mut usize) -> Step<u64> {
        let mut digits = Vec::new();
        loop {
            match self.byte(read)? {
                b'\n' => return pax::decimal(&digits).ok_or_else(malformed),
                _ if digits.len() > 20 => return Err(malformed()),
                digit => digits.push(digit),
            }
        }
    }

    fn byte(&mut self, read: &mut usize) -> Step<u8> {
        let byte = self.body()?.first().copied().ok_or_else(malformed)?;
        self.consume(1);
        *read += 1;
        Ok(byte)
    }
}

/// The seventh edition had no directories: a name ending in a slash was one. For type `0` readers disagree.
fn kind(byte: u8, path: &[u8], tag: EntryType) -> Step<Kind> {
    let has_slash = path.ends_with(b"/");
    Ok(match tag {
        EntryType::Regular if byte == 0 && has_slash => Kind::Directory,
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse if has_slash => {
            return Err(Cause::new("a file whose name ends in a slash"));
        }
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => Kind::File,
        EntryType::Directory => Kind::Directory,
        EntryType::Symlink => Kind::Symlink,
        EntryType::Link => Kind::HardLink,
        EntryType::Char => Kind::Character,
        EntryType::Block => Kind::Block,
        EntryType::Fifo => Kind::Fifo,
        _ => {
            return Err(Cause::new(format!("unknown entry type {}", quote([byte]))));
        }
    })
}

fn device(header: &Header, kind: Kind) -> Step<(u64, u64)> {
    if !matches!(kind, Kind::Character | Kind::Block) {
        return Ok((0, 0));
    }
    let (major, minor) = match (header.as_ustar(), header.as_gnu()) {
        (Some(ustar), _) => (&ustar.dev_major, &ustar.dev_minor),
        (_, Some(gnu)) => (&gnu.dev_major, &gnu.dev_minor),
        _ => return Err(Cause::new("a device without a number")),
    };
    Ok((
        number(major, "major number")?,
        number(minor, "minor number")?,
    ))
}

fn once<T>(slot: &mut Option<T>, value: T, what: &str) -> Step<()> {
    if slot.replace(value).is_some() {
        return Err(Cause::new(format!("two {what} for one entry")));
    }
    Ok(())
}

fn ended() -> Cause {
    Cause::new("the archive ends in the middle")
}
