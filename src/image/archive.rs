//! Tar archives that hold an image: an index of their entries, made by one walk over the headers, and reading by offset.
//! Stricter than a tar reader must be, since few programs write these: where two readers could differ it refuses. The
//! archives inside, the layers, are not read here. POSIX pax(1) "ustar" and "pax Interchange Format"; GNU tar's `L`, `K`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use tar::{EntryType, Header};

use crate::error::{Error, Result, quote};

const BLOCK: u64 = 512;
/// The most entries of an archive that holds an image.
pub(super) const MOST_ENTRIES: usize = 1 << 16;
/// The longest name, in bytes: the index of the most entries takes 32 MiB at most.
const LONGEST_NAME: usize = 512;
/// The most bytes of an extended header.
const LONGEST_EXTENSION: u64 = 1 << 16;
/// The most zero bytes behind the end: tar pads to its blocking factor.
const LONGEST_PADDING: u64 = 1 << 20;

/// An archive and where its entries are.
#[derive(Debug)]
pub(super) struct Archive {
    file: Arc<File>,
    path: String,
    entries: BTreeMap<String, Entry>,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    /// A regular file's content: offset and length in the archive.
    File { offset: u64, length: u64 },
    /// A symbolic link. It is never followed; one form of docker save has one meaning for it.
    Symlink(String),
    /// Anything else, in words.
    Other(&'static str),
}

/// A part of a file, read at its own offset, so that many can be read at once.
#[derive(Debug, Clone)]
pub(super) struct Section {
    file: Arc<File>,
    offset: u64,
    left: u64,
}

impl Archive {
    /// Makes the index of `file`, whose name for messages is `path`.
    pub(super) fn index(file: Arc<File>, path: &str) -> Result<Self> {
        let mut entries = BTreeMap::new();
        let mut walk = Walk::new(&file, path)?;
        while let Some((name, entry)) = walk.next()? {
            let refuse = |cause: String| Err(entry_error(path, &name, cause));
            if entries.len() == MOST_ENTRIES {
                return refuse(format!(
                    "is one more than the {MOST_ENTRIES} entries allowed"
                ));
            }
            let is_directory = entry == Entry::Other("a directory");
            match entries.get(&name) {
                Some(earlier) if !is_directory || *earlier != entry => {
                    return refuse("is there twice".to_owned());
                }
                _ => entries.insert(name, entry),
            };
        }
        Ok(Self {
            file,
            path: path.to_owned(),
            entries,
        })
    }

    /// What is called `name`.
    pub(super) fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }

    /// The content of the regular file `name`.
    pub(super) fn section(&self, name: &str) -> Result<Section> {
        let refuse = |cause: String| Err(entry_error(&self.path, name, cause));
        match self.get(name) {
            Some(&Entry::File { offset, length }) => {
                Ok(Section::new(Arc::clone(&self.file), offset, length))
            }
            Some(Entry::Symlink(_)) => refuse("is a symbolic link, not a file".to_owned()),
            Some(Entry::Other(what)) => refuse(format!("is {what}, not a file")),
            None => refuse("is not there".to_owned()),
        }
    }
}

impl Section {
    pub(super) fn new(file: Arc<File>, offset: u64, length: u64) -> Self {
        Self {
            file,
            offset,
            left: length,
        }
    }

    /// How many bytes are still to be read.
    pub(super) fn left(&self) -> u64 {
        self.left
    }
}

impl Read for Section {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let length = self.file.read_at(&mut buffer[..most], self.offset)?;
        self.offset += length as u64;
        self.left -= length as u64;
        Ok(length)
    }
}

/// Goes over the headers of an archive.
pub(super) struct Walk<'a> {
    file: &'a File,
    path: &'a str,
    length: u64,
    offset: u64,
    next: Extension,
}

/// What extended headers say of the entry that follows them.
#[derive(Debug, Default)]
struct Extension {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    is_pending: bool,
}

impl<'a> Walk<'a> {
    pub(super) fn new(file: &'a File, path: &'a str) -> Result<Self> {
        let metadata = file.metadata().map_err(|e| read_error(path, &e))?;
        Ok(Self {
            file,
            path,
            length: metadata.len(),
            offset: 0,
            next: Extension::default(),
        })
    }

    /// The next entry: its name, without `./` before and `/` behind, and what it is.
    pub(super) fn next(&mut self) -> Result<Option<(String, Entry)>> {
        loop {
            let Some(header) = self.header()? else {
                return Ok(None);
            };
            let own = own_size(&header).ok_or_else(|| self.wrong("a size that is no number"))?;
            match header.entry_type() {
                EntryType::XHeader => self.pax(own)?,
                EntryType::GNULongName => {
                    let name = self.long_text(own)?;
                    self.set_once("name", |next| &mut next.name, name)?;
                }
                EntryType::GNULongLink => {
                    let link = self.long_text(own)?;
                    self.set_once("link name", |next| &mut next.link, link)?;
                }
                EntryType::XGlobalHeader => self.global(own)?,
                _ => {
                    if let Some(found) = self.entry(&header, own)? {
                        return Ok(Some(found));
                    }
                }
            }
        }
    }

    /// The header block at the current offset; `None` at the end of the archive.
    fn header(&mut self) -> Result<Option<Header>> {
        if self.offset == self.length && self.offset > 0 {
            // Without the two zero blocks: some programs leave them out.
            return self.end();
        }
        let mut header = Header::new_old();
        self.exactly(header.as_mut_bytes())?;
        if header.as_bytes().iter().all(|byte| *byte == 0) {
            return self.end();
        }
        if !has_right_checksum(&header) {
            return Err(self.wrong("a header with a wrong checksum"));
        }
        Ok(Some(header))
    }

    /// Nothing but zeros may follow the end: other readers go on behind it.
    fn end(&mut self) -> Result<Option<Header>> {
        if self.next.is_pending {
            return Err(self.wrong("an extended header that no entry follows"));
        }
        let mut left = self.length - self.offset;
        if left > LONGEST_PADDING {
            let cause = format!("{left} bytes behind the end of the archive");
            return Err(self.wrong(&cause));
        }
        let mut block = [0; BLOCK as usize];
        while left > 0 {
            let length = left.min(BLOCK) as usize;
            self.exactly(&mut block[..length])?;
            if block[..length].iter().any(|byte| *byte != 0) {
                return Err(self.wrong("data behind the end of the archive"));
            }
            left = self.length - self.offset;
        }
        Ok(None)
    }

    fn entry(&mut self, header: &Header, own: u64) -> Result<Option<(String, Entry)>> {
        let extension = std::mem::take(&mut self.next);
        let raw = extension
            .name
            .unwrap_or_else(|| header.path_bytes().into_owned());
        let kind = header.entry_type();
        // Some readers take a size of zero beside pax's, none another one (CVE-2025-62518 and its like).
        let size = extension.size.unwrap_or(own);
        if own != size && own != 0 {
            return Err(self.refuse(&raw, format!("its size is {own} and {size}")));
        }
        if !has_content(kind) && size != 0 {
            return Err(self.refuse(&raw, format!("has {size} bytes and no content")));
        }
        if kind.is_gnu_sparse() {
            return Err(self.refuse(&raw, "is sparse".to_owned()));
        }
        let offset = self.offset;
        self.skip(size).map_err(|cause| self.refuse(&raw, cause))?;
        let is_directory = kind.is_dir() || raw.ends_with(b"/");
        let name = plain_name(&raw).map_err(|cause| self.refuse(&raw, cause))?;
        if name.is_empty() {
            let cause = "is not a directory".to_owned();
            return match is_directory {
                true => Ok(None),
                false => Err(self.refuse(&raw, cause)),
            };
        }
        let entry = match kind {
            _ if is_directory => Entry::Other("a directory"),
            EntryType::Regular | EntryType::Continuous => Entry::File {
                offset,
                length: size,
            },
            EntryType::Symlink => {
                let link = extension.link;
                let link = link.or_else(|| header.link_name_bytes().map(Cow::into_owned));
                Entry::Symlink(String::from_utf8_lossy(&link.unwrap_or_default()).into_owned())
            }
            EntryType::Link => Entry::Other("a hard link"),
            EntryType::Char | EntryType::Block => Entry::Other("a device"),
            EntryType::Fifo => Entry::Other("a FIFO"),
            _ => Entry::Other("of an unknown type"),
        };
        Ok(Some((name, entry)))
    }

    /// The records of a pax header for one entry.
    fn pax(&mut self, size: u64) -> Result<()> {
        for (key, value) in self.records(size)? {
            match &*key {
                b"path" => self.set_once("path", |next| &mut next.name, value)?,
                b"linkpath" => self.set_once("linkpath", |next| &mut next.link, value)?,
                b"size" => {
                    let size = decimal(&value)
                        .ok_or_else(|| self.wrong("a pax size that is no number"))?;
                    self.set_once("size", |next| &mut next.size, size)?;
                }
                key if key.starts_with(b"GNU.sparse.") => {
                    return Err(self.wrong("a sparse file"));
                }
                _ => {}
            }
        }
        self.next.is_pending = true;
        Ok(())
    }

    /// A global pax header may not change what later entries are called or how long they are.
    fn global(&mut self, size: u64) -> Result<()> {
        let steering: [&[u8]; 3] = [b"path", b"linkpath", b"size"];
        for (key, _) in self.records(size)? {
            if steering.contains(&&*key) || key.starts_with(b"GNU.") {
                return Err(self.wrong("a global pax header that changes entries"));
            }
        }
        Ok(())
    }

    fn records(&mut self, size: u64) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let text = self.extension(size)?;
        pax_records(&text).ok_or_else(|| self.wrong("a malformed pax record"))
    }

    /// The content of a GNU `L` or `K` entry: text that ends with one NUL.
    fn long_text(&mut self, size: u64) -> Result<Vec<u8>> {
        let mut text = self.extension(size)?;
        if text.last() == Some(&0) {
            text.pop();
        }
        if text.is_empty() || text.contains(&0) {
            return Err(self.wrong("a malformed long name"));
        }
        self.next.is_pending = true;
        Ok(text)
    }

    fn extension(&mut self, size: u64) -> Result<Vec<u8>> {
        if size > LONGEST_EXTENSION {
            let cause = format!("an extended header of {size} bytes, {LONGEST_EXTENSION} allowed");
            return Err(self.wrong(&cause));
        }
        let start = self.offset;
        self.skip(size).map_err(|cause| self.wrong(&cause))?;
        let mut text = vec![0; size as usize];
        let read = self.file.read_exact_at(&mut text, start);
        read.map_err(|e| read_error(self.path, &e))?;
        Ok(text)
    }

    fn set_once<T>(
        &mut self,
        what: &str,
        field: impl Fn(&mut Extension) -> &mut Option<T>,
        value: T,
    ) -> Result<()> {
        if field(&mut self.next).replace(value).is_some() {
            return Err(self.wrong(&format!("a second {what} for one entry")));
        }
        Ok(())
    }

    /// Goes past content and its padding; the cause where the archive ends before.
    fn skip(&mut self, size: u64) -> std::result::Result<(), String> {
        let left = self.length - self.offset;
        if size > left {
            return Err(format!("is cut off: {left} of {size} bytes"));
        }
        // The last padding may be missing: then the end follows.
        let padded = size.div_ceil(BLOCK) * BLOCK;
        self.offset += padded.min(left);
        Ok(())
    }

    fn exactly(&mut self, buffer: &mut [u8]) -> Result<()> {
        match self.file.read_exact_at(buffer, self.offset) {
            Ok(()) => self.offset += buffer.len() as u64,
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(self.wrong("a block that is cut off"));
            }
            Err(e) => return Err(read_error(self.path, &e)),
        }
        Ok(())
    }

    fn refuse(&self, name: &[u8], cause: String) -> Error {
        entry_error(self.path, String::from_utf8_lossy(name), cause)
    }

    fn wrong(&self, what: &str) -> Error {
        let doing = format!("read archive {}", quote(self.path));
        Error::new(doing, format!("{what}, before byte {}", self.offset))
    }
}

fn entry_error(path: &str, name: impl AsRef<str>, cause: String) -> Error {
    let name: String = name.as_ref().chars().take(200).collect();
    let doing = format!("read archive {}: entry {}", quote(path), quote(name));
    Error::new(doing, cause)
}

pub(super) fn read_error(path: &str, error: &io::Error) -> Error {
    let number = error.raw_os_error();
    let cause = number.map_or_else(|| error.to_string(), crate::error::errno_words);
    Error::new(format!("read {}", quote(path)), cause)
}

/// The name as a path inside the archive: no `..`, no absolute path, no empty or `.` component but a leading `./`.
fn plain_name(raw: &[u8]) -> std::result::Result<String, String> {
    let name = std::str::from_utf8(raw).map_err(|_| "its name is not UTF-8".to_owned())?;
    if name.len() > LONGEST_NAME {
        return Err(format!(
            "its name has {} bytes, {LONGEST_NAME} allowed",
            name.len()
        ));
    }
    if name.contains(char::is_control) {
        return Err("its name has a control character".to_owned());
    }
    let name = name.strip_prefix("./").unwrap_or(name);
    let name = name.strip_suffix('/').unwrap_or(name);
    let is_odd = |part| matches!(part, "" | "." | "..");
    if matches!(name, "" | ".") && !raw.starts_with(b"/") && !raw.is_empty() {
        return Ok(String::new());
    }
    if name.split('/').any(is_odd) {
        return Err("its name is not a plain path".to_owned());
    }
    Ok(name.to_owned())
}

/// Readers differ in whether a link's or directory's size is skipped.
fn has_content(kind: EntryType) -> bool {
    !matches!(
        kind,
        EntryType::Link
            | EntryType::Symlink
            | EntryType::Char
            | EntryType::Block
            | EntryType::Directory
            | EntryType::Fifo
    )
}

/// The size field: octal digits, or a positive number in base 256 (GNU).
fn own_size(header: &Header) -> Option<u64> {
    let field = &header.as_old().size;
    if field[0] & 0x80 != 0 {
        // 0xff would be negative.
        let is_small = field[0] == 0x80 && field[1..4].iter().all(|byte| *byte == 0);
        let bytes = field[4..]
            .try_into()
            .expect("eight bytes of twelve are left");
        return is_small
            .then(|| u64::from_be_bytes(bytes))
            .filter(|size| *size <= i64::MAX as u64);
    }
    octal(field)
}

pub(super) fn has_right_checksum(header: &Header) -> bool {
    let sum = |(i, byte): (usize, &u8)| match i {
        148..156 => u64::from(b' '),
        _ => u64::from(*byte),
    };
    let found: u64 = header.as_bytes().iter().enumerate().map(sum).sum();
    octal(&header.as_old().cksum) == Some(found)
}

/// Digits, with spaces before and spaces and NULs behind.
fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?;
    let text = text.trim_start_matches(' ').trim_end_matches([' ', '\0']);
    if text.is_empty() {
        return Some(0);
    }
    let is_plain = text.bytes().all(|c| (b'0'..=b'7').contains(&c));
    is_plain.then(|| u64::from_str_radix(text, 8).ok())?
}

fn decimal(text: &[u8]) -> Option<u64> {
    let is_plain = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let number: u64 = is_plain.then(|| std::str::from_utf8(text).ok()?.parse().ok())??;
    (number <= i64::MAX as u64).then_some(number)
}

/// Records `LENGTH KEY=VALUE\n`, where LENGTH counts all of it (a value may hold newlines).
fn pax_records(mut text: &[u8]) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut records = Vec::new();
    while !text.is_empty() {
        let space = text.iter().take(20).position(|byte| *byte == b' ')?;
        let length = usize::try_from(decimal(&text[..space])?).ok()?;
        let record = text.get(space + 1..length)?.strip_suffix(b"\n")?;
        let equals = record.iter().position(|byte| *byte == b'=')?;
        let (key, value) = (&record[..equals], &record[equals + 1..]);
        if key.is_empty() || value.contains(&0) && (key == b"path" || key == b"linkpath") {
            return None;
        }
        records.push((key.to_vec(), value.to_vec()));
        text = &text[length..];
    }
    Some(records)
}
