//! The headers of an ELF file (elf(5)), as far as a loader reads them: for whom it is, what it needs, how it is hardened.
//! Every number in it may be a lie: what is read is bounded, and what does not fit is no ELF file. Not what is wrong with
//! one: see `entry`.

pub(super) mod entry;
mod search;

use std::fs::File;
use std::os::unix::fs::FileExt;

/// Program headers that are read.
const MOST_HEADERS: u64 = 256;

/// Bytes of the dynamic section that are read.
const LONGEST_DYNAMIC: u64 = 64 << 10;

/// Bytes of one string or note.
const LONGEST_TEXT: usize = 4096;

/// Libraries that one file may need.
const MOST_NEEDED: usize = 512;

/// What a loader sees of a program or a library.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Elf {
    /// `EM_…`.
    pub(super) machine: u16,
    /// 32 or 64.
    pub(super) bits: u8,
    /// A shared object, which an executable at any address is too; not an executable at one address.
    pub(super) is_shared: bool,
    /// The loader, with its path.
    pub(super) interpreter: Option<Vec<u8>>,
    /// Whether there is a dynamic section.
    pub(super) is_dynamic: bool,
    /// Libraries by the names that it asks for.
    pub(super) needed: Vec<Vec<u8>>,
    /// Directories of libraries, separated by colons: `DT_RUNPATH`, or `DT_RPATH` where there is none.
    pub(super) run_path: Option<Vec<u8>>,
    /// Whether the stack is not to be executed; nothing says it where `PT_GNU_STACK` is missing.
    pub(super) has_plain_stack: Option<bool>,
    /// Whether some of its data becomes read-only once it is relocated.
    pub(super) has_relro: bool,
    /// Whether Go's linker made it.
    pub(super) is_go: bool,
}

const PT_LOAD: u64 = 1;
const PT_DYNAMIC: u64 = 2;
const PT_INTERP: u64 = 3;
const PT_NOTE: u64 = 4;
const PT_GNU_STACK: u64 = 0x6474_e551;
const PT_GNU_RELRO: u64 = 0x6474_e552;
const PF_X: u64 = 1;
const DT_NEEDED: u64 = 1;
const DT_STRTAB: u64 = 5;
const DT_RPATH: u64 = 15;
const DT_RUNPATH: u64 = 29;

/// Reads the numbers of one file.
struct Reader<'a> {
    file: &'a File,
    is_big_endian: bool,
    is_64: bool,
}

/// One program header.
struct Segment {
    kind: u64,
    flags: u64,
    offset: u64,
    address: u64,
    size: u64,
}

impl Elf {
    /// Reads the headers of `file`; none where they are not those of an executable or a library.
    pub(super) fn read(file: &File) -> Option<Self> {
        let mut start = [0; 64];
        let length = read_at(file, &mut start, 0);
        let (b"\x7fELF", &[class, order, ..]) = start.split_at_checked(4)? else {
            return None;
        };
        let reader = Reader {
            file,
            is_big_endian: order == 2,
            is_64: class == 2,
        };
        if !matches!(class, 1 | 2) || !matches!(order, 1 | 2) || length < reader.pick(52, 64) {
            return None;
        }
        let half = |at: usize| reader.number(&start[at..at + 2]);
        let kind = half(16);
        if !matches!(kind, 2 | 3) {
            return None;
        }
        let table = reader.word(&start, reader.pick(28, 32));
        let (size, count) = (half(reader.pick(42, 54)), half(reader.pick(44, 56)));
        if size != reader.pick(32, 56) as u64 || count > MOST_HEADERS {
            return None;
        }
        let mut elf = Self {
            machine: u16::try_from(half(18)).ok()?,
            bits: if reader.is_64 { 64 } else { 32 },
            is_shared: kind == 3,
            ..Self::default()
        };
        let segments = reader.segments(table, count)?;
        for segment in &segments {
            elf.take(segment, &segments, &reader);
        }
        Some(elf)
    }

    fn take(&mut self, segment: &Segment, all: &[Segment], reader: &Reader<'_>) {
        match segment.kind {
            PT_INTERP => self.interpreter = reader.text(segment.offset),
            PT_DYNAMIC if !self.is_dynamic => {
                self.is_dynamic = true;
                self.dynamic(segment, all, reader);
            }
            // The note of Go's build id: a name of four bytes, of type 4.
            PT_NOTE => {
                let mut note = [0; 16];
                read_at(reader.file, &mut note, segment.offset);
                self.is_go |= note[12..] == *b"Go\0\0";
            }
            PT_GNU_STACK => self.has_plain_stack = Some(segment.flags & PF_X == 0),
            PT_GNU_RELRO => self.has_relro = true,
            _ => {}
        }
    }

    fn dynamic(&mut self, segment: &Segment, all: &[Segment], reader: &Reader<'_>) {
        let mut bytes = vec![0; segment.size.min(LONGEST_DYNAMIC) as usize];
        let length = read_at(reader.file, &mut bytes, segment.offset);
        let width = reader.pick(4, 8);
        let pairs = bytes[..length].chunks_exact(width * 2);
        let tag_and_value =
            |pair: &[u8]| (reader.number(&pair[..width]), reader.number(&pair[width..]));
        let pairs: Vec<(u64, u64)> = pairs
            .map(tag_and_value)
            .take_while(|(tag, _)| *tag != 0)
            .collect();
        let strings = pairs.iter().find(|(tag, _)| *tag == DT_STRTAB);
        let Some(strings) = strings.and_then(|(_, address)| offset_of(*address, all)) else {
            return;
        };
        let text = |at: u64| reader.text(strings.checked_add(at)?);
        let needed = pairs.iter().filter(|(tag, _)| *tag == DT_NEEDED);
        let needed = needed.take(MOST_NEEDED).filter_map(|(_, at)| text(*at));
        self.needed.extend(needed);
        let last = |wanted| pairs.iter().rfind(|(tag, _)| *tag == wanted);
        let own = last(DT_RUNPATH).or_else(|| last(DT_RPATH));
        self.run_path = own.and_then(|(_, at)| text(*at));
    }
}

/// Where in the file what is loaded at `address` is.
fn offset_of(address: u64, all: &[Segment]) -> Option<u64> {
    let holds = |segment: &&Segment| {
        segment.kind == PT_LOAD
            && address
                .checked_sub(segment.address)
                .is_some_and(|at| at < segment.size)
    };
    let segment = all.iter().find(holds)?;
    segment.offset.checked_add(address - segment.address)
}

impl Reader<'_> {
    fn pick(&self, narrow: usize, wide: usize) -> usize {
        if self.is_64 { wide } else { narrow }
    }

    fn number(&self, bytes: &[u8]) -> u64 {
        let add = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        if self.is_big_endian {
            bytes.iter().fold(0, add)
        } else {
            bytes.iter().rev().fold(0, add)
        }
    }

    /// An address, an offset or a size.
    fn word(&self, bytes: &[u8], at: usize) -> u64 {
        self.number(&bytes[at..at + self.pick(4, 8)])
    }

    fn segments(&self, table: u64, count: u64) -> Option<Vec<Segment>> {
        let size = self.pick(32, 56);
        let mut bytes = vec![0; size * usize::try_from(count).ok()?];
        if read_at(self.file, &mut bytes, table) < bytes.len() {
            return None;
        }
        let segment = |header: &[u8]| Segment {
            kind: self.number(&header[..4]),
            flags: self.number(&header[self.pick(24, 4)..][..4]),
            offset: self.word(header, self.pick(4, 8)),
            address: self.word(header, self.pick(8, 16)),
            size: self.word(header, self.pick(16, 32)),
        };
        Some(bytes.chunks_exact(size).map(segment).collect())
    }

    /// A string up to its NUL; none that is empty or too long.
    fn text(&self, offset: u64) -> Option<Vec<u8>> {
        let mut bytes = vec![0; LONGEST_TEXT];
        let length = read_at(self.file, &mut bytes, offset);
        let end = bytes[..length].iter().position(|byte| *byte == 0)?;
        bytes.truncate(end);
        (end > 0).then_some(bytes)
    }
}

/// As many bytes as there are, and says how many.
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> usize {
    let mut length = 0;
    while length < buffer.len() {
        match file.read_at(&mut buffer[length..], offset.saturating_add(length as u64)) {
            Ok(count) if count > 0 => length += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Ok(_) | Err(_) => break,
        }
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Option<Elf> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        Elf::read(&File::open(file.path()).unwrap())
    }

    #[test]
    fn this_test_is_read_as_it_was_linked() {
        let own = Elf::read(&File::open("/proc/self/exe").unwrap()).unwrap();
        assert_eq!(own.bits, 64);
        assert!(own.is_shared && own.has_relro && !own.is_go);
        assert_eq!(own.has_plain_stack, Some(true));
    }

    #[test]
    fn damage_is_no_elf_file_and_no_panic() {
        let whole = std::fs::read("/bin/true").unwrap();
        assert!(read(&whole).is_some_and(|elf| !elf.needed.is_empty()));
        for length in [0, 4, 63, 100] {
            assert_eq!(read(&whole[..length]), None);
        }
        let copy = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(copy.path(), &whole).unwrap();
        let file = File::options()
            .read(true)
            .write(true)
            .open(copy.path())
            .unwrap();
        for at in 16..1024 {
            for value in [0, 1, 0x7f, 0xff] {
                file.write_all_at(&[value], at).unwrap();
                Elf::read(&file);
            }
            file.write_all_at(&whole[at as usize..][..1], at).unwrap();
        }
    }
}
