//! Archives that are wrong as tar: refused by entry and cause, since other readers would see other files.

use std::sync::Arc;

use tar::{EntryType, Header};

use super::*;
use crate::image::archive::{Archive, Entry};

/// A tar made block by block.
#[derive(Default)]
struct Raw(Vec<u8>);

impl Raw {
    fn entry(self, kind: EntryType, name: &str, content: &[u8]) -> Self {
        self.sized(kind, name, content.len() as u64, content)
    }

    fn sized(self, kind: EntryType, name: &str, size: u64, content: &[u8]) -> Self {
        let mut header = header(kind, name);
        header.set_size(size);
        self.raw(header, content)
    }

    fn raw(mut self, mut header: Header, content: &[u8]) -> Self {
        header.set_cksum();
        self.0.extend(header.as_bytes());
        self.0.extend(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn file(self, name: &str, content: &[u8]) -> Self {
        self.entry(EntryType::Regular, name, content)
    }

    fn pax(self, records: &[(&str, &str)]) -> Self {
        let text: String = records
            .iter()
            .map(|(key, value)| record(key, value))
            .collect();
        self.entry(EntryType::XHeader, "pax", text.as_bytes())
    }

    fn end(mut self) -> Vec<u8> {
        self.0.extend([0; 1024]);
        self.0
    }
}

fn header(kind: EntryType, name: &str) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    let length = name.len().min(100);
    header.as_old_mut().name[..length].copy_from_slice(&name.as_bytes()[..length]);
    header
}

fn record(key: &str, value: &str) -> String {
    let rest = format!(" {key}={value}\n");
    let digits = |length: usize| length.to_string().len();
    let mut length = rest.len() + digits(rest.len());
    length = rest.len() + digits(length);
    format!("{length}{rest}")
}

fn index(tar: &[u8]) -> Result<Archive> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(tar).unwrap();
    Archive::index(Arc::new(file), "a.tar")
}

fn cause(tar: &[u8]) -> String {
    let error = index(tar).unwrap_err().to_string();
    let start = "read archive \"a.tar\": ";
    error.strip_prefix(start).expect(&error).to_owned()
}

fn content(archive: &Archive, name: &str) -> Vec<u8> {
    let mut all = Vec::new();
    archive
        .section(name)
        .unwrap()
        .read_to_end(&mut all)
        .unwrap();
    all
}

#[test]
fn entries_are_found_by_offset() {
    let long = format!("blobs/sha512/{}", "0".repeat(128));
    let tar = Raw::default()
        .entry(
            EntryType::XGlobalHeader,
            "g",
            record("comment", "x").as_bytes(),
        )
        .entry(EntryType::Directory, "./", b"")
        .entry(EntryType::Directory, "./blobs/", b"")
        .entry(EntryType::Directory, "blobs", b"")
        .file("./a", b"one")
        .pax(&[("mtime", "1.5"), ("path", &long), ("note", "a\nb")])
        .file("short", b"two")
        .entry(EntryType::GNULongName, "././@LongLink", b"from/gnu\0")
        .file("short", &[7; 1000])
        .pax(&[("size", "4")])
        .sized(EntryType::Regular, "big", 0, b"four")
        .entry(EntryType::Symlink, "link", b"")
        .file("empty", b"")
        .end();
    let archive = index(&tar).unwrap();
    assert_eq!(content(&archive, "a"), b"one");
    assert_eq!(content(&archive, &long), b"two");
    assert_eq!(content(&archive, "from/gnu"), [7; 1000]);
    assert_eq!(content(&archive, "big"), b"four");
    assert_eq!(content(&archive, "empty"), b"");
    assert_eq!(archive.get("blobs"), Some(&Entry::Other("a directory")));
    assert_eq!(archive.get("link"), Some(&Entry::Symlink(String::new())));
    assert_eq!(archive.get("short"), None);
}

#[test]
fn size_in_base_256_is_read_and_a_negative_one_refused() {
    let sized = |bytes: [u8; 12]| {
        let mut header = header(EntryType::Regular, "a");
        header.as_old_mut().size = bytes;
        Raw::default().raw(header, b"abc").end()
    };
    let three = index(&sized([0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3])).unwrap();
    assert_eq!(content(&three, "a"), b"abc");
    for odd in [
        [0xff; 12],
        [0x80, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0],
        [0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3],
        *b"-0000000003\0",
        *b"+0000000003\0",
        *b"00000000009\0",
        *b"000 0000003\0",
    ] {
        assert_eq!(
            cause(&sized(odd)),
            "a size that is no number, before byte 512"
        );
    }
    let huge = cause(&sized([
        0x80, 0, 0, 0, 0x7f, 255, 255, 255, 255, 255, 255, 255,
    ]));
    assert!(
        huge.starts_with("entry \"a\": is cut off: 1536 of "),
        "{huge}"
    );
}

#[test]
fn odd_names_are_refused() {
    let plain = "its name is not a plain path";
    for odd in [
        "../e",
        "/e",
        "a/../../e",
        "a/./b",
        "a//b",
        "..",
        "/",
        "././a",
        "a/.",
        ".//a",
    ] {
        let found = cause(&Raw::default().file(odd, b"").end());
        assert_eq!(found, format!("entry \"{odd}\": {plain}"));
    }
    assert_eq!(
        cause(&Raw::default().file(".", b"").end()),
        "entry \".\": is not a directory"
    );
    assert_eq!(
        cause(&Raw::default().file("", b"").end()),
        format!("entry \"\": {plain}")
    );
    let found = cause(&Raw::default().file("a\nb", b"").end());
    assert_eq!(found, r#"entry "a\nb": its name has a control character"#);
    let long = "x".repeat(60_000);
    let found = cause(&Raw::default().pax(&[("path", &long)]).file("a", b"").end());
    assert!(
        found.ends_with("its name has 60000 bytes, 512 allowed"),
        "{found}"
    );
    let deep = "d/".repeat(40_000);
    let found = cause(&Raw::default().pax(&[("path", &deep)]).file("a", b"").end());
    assert!(found.starts_with("an extended header of 80"), "{found}");
    assert!(found.contains(" bytes, 65536 allowed"), "{found}");
    let mut header = header(EntryType::Regular, "");
    header.as_old_mut().name[..2].copy_from_slice(&[0xff, 0xfe]);
    let found = cause(&Raw::default().raw(header, b"").end());
    assert!(found.ends_with("its name is not UTF-8"), "{found}");
}

#[test]
fn names_that_differ_only_by_case_are_different() {
    let archive = index(&Raw::default().file("a", b"1").file("A", b"2").end()).unwrap();
    assert_eq!(content(&archive, "a"), b"1");
    assert_eq!(content(&archive, "A"), b"2");
}

#[test]
fn a_name_twice_is_refused() {
    let twice = |second: &str| Raw::default().file("a", b"1").file(second, b"2").end();
    assert_eq!(cause(&twice("a")), "entry \"a\": is there twice");
    assert_eq!(
        cause(&twice("./a")),
        "entry \"./a\": is there twice".replace("./", "")
    );
    let other = Raw::default()
        .file("a", b"")
        .entry(EntryType::Directory, "a/", b"");
    assert_eq!(cause(&other.end()), "entry \"a\": is there twice");
}

#[test]
fn only_regular_files_are_read() {
    for (kind, what) in [
        (EntryType::Symlink, "a symbolic link"),
        (EntryType::Link, "a hard link"),
        (EntryType::Char, "a device"),
        (EntryType::Block, "a device"),
        (EntryType::Fifo, "a FIFO"),
        (EntryType::Directory, "a directory"),
        (EntryType::new(b'Z'), "of an unknown type"),
    ] {
        let archive = index(&Raw::default().entry(kind, "a", b"").end()).unwrap();
        let error = archive.section("a").unwrap_err().to_string();
        assert_eq!(
            error,
            format!("read archive \"a.tar\": entry \"a\": is {what}, not a file")
        );
    }
    let sized = Raw::default().entry(EntryType::Link, "a", &[0; 512]).end();
    assert_eq!(cause(&sized), "entry \"a\": has 512 bytes and no content");
    let sparse = Raw::default().entry(EntryType::GNUSparse, "a", b"").end();
    assert_eq!(cause(&sparse), "entry \"a\": is sparse");
    let sparse = Raw::default()
        .pax(&[("GNU.sparse.major", "1")])
        .file("a", b"")
        .end();
    assert!(cause(&sparse).starts_with("a sparse file, "));
}

#[test]
fn sizes_that_two_readers_take_differently_are_refused() {
    let differ = Raw::default()
        .pax(&[("size", "1")])
        .file("a", &[0; 600])
        .end();
    assert_eq!(cause(&differ), "entry \"a\": its size is 600 and 1");
    let differ = Raw::default().pax(&[("size", "600")]).file("a", b"1").end();
    assert_eq!(cause(&differ), "entry \"a\": its size is 1 and 600");
    let twice = Raw::default()
        .pax(&[("size", "1"), ("size", "2")])
        .file("a", b"1")
        .end();
    assert!(cause(&twice).starts_with("a second size for one entry"));
    let twice = Raw::default()
        .pax(&[("path", "x")])
        .pax(&[("path", "y")])
        .file("a", b"")
        .end();
    assert!(cause(&twice).starts_with("a second path for one entry"));
    for odd in ["-1", "+1", "1e3", "", " 1", "0x1", "99999999999999999999"] {
        let odd = Raw::default().pax(&[("size", odd)]).file("a", b"1").end();
        assert!(cause(&odd).starts_with("a pax size that is no number"));
    }
    let global = Raw::default()
        .entry(
            EntryType::XGlobalHeader,
            "g",
            record("size", "1").as_bytes(),
        )
        .file("a", b"1");
    assert!(cause(&global.end()).starts_with("a global pax header that changes entries"));
}

#[test]
fn malformed_extended_headers_are_refused() {
    for odd in [
        "5 a=b\n",
        "7 a=b\n",
        "6 a=b",
        "6 =ab\n",
        "6 abc\n",
        "x a=b\n",
        " a=b\n",
        "0 a=b\n",
        "1 ",
        "99999999999999999999999 a=b\n",
        "2 \n",
    ] {
        let tar = Raw::default()
            .entry(EntryType::XHeader, "pax", odd.as_bytes())
            .file("a", b"");
        assert!(
            cause(&tar.end()).starts_with("a malformed pax record"),
            "{odd:?}"
        );
    }
    let nul = Raw::default().pax(&[("path", "a\0b")]).file("a", b"");
    assert!(cause(&nul.end()).starts_with("a malformed pax record"));
    for odd in [&b""[..], b"\0", b"a\0b\0"] {
        let tar = Raw::default()
            .entry(EntryType::GNULongName, "L", odd)
            .file("a", b"");
        assert!(
            cause(&tar.end()).starts_with("a malformed long name"),
            "{odd:?}"
        );
    }
    let last = Raw::default().pax(&[("path", "a")]).end();
    assert!(cause(&last).starts_with("an extended header that no entry follows"));
    let huge = Raw::default()
        .sized(EntryType::XHeader, "pax", 1 << 40, b"")
        .end();
    assert!(cause(&huge).starts_with("an extended header of 1099511627776 bytes, 65536 allowed"));
}

#[test]
fn archive_ends_where_it_says() {
    let entry = || Raw::default().file("a", b"abc");
    assert!(index(&entry().0).is_ok(), "without the end marker");
    assert!(index(&entry().0[..515]).is_ok(), "without padding");
    let found = cause(&entry().0[..514]);
    assert_eq!(found, "entry \"a\": is cut off: 2 of 3 bytes");
    let found = cause(&[entry().end(), vec![0; 20], b"x".to_vec()].concat());
    assert!(
        found.starts_with("data behind the end of the archive"),
        "{found}"
    );
    let found = cause(&[entry().end(), entry().end()].concat());
    assert!(
        found.starts_with("data behind the end of the archive"),
        "{found}"
    );
    let found = cause(&[entry().end(), vec![0; (1 << 20) + 1]].concat());
    assert!(
        found.contains("bytes behind the end of the archive"),
        "{found}"
    );
    let found = cause(&[&entry().0[..], &[1; 100]].concat());
    assert!(found.starts_with("a block that is cut off"), "{found}");
    let found = cause(&[&entry().0[..], &[1; 512]].concat());
    assert!(
        found.starts_with("a header with a wrong checksum"),
        "{found}"
    );
    assert!(index(b"").is_err());
}

#[test]
fn entries_have_a_limit() {
    let mut tar = Raw::default();
    for i in 0..=65_536 {
        tar = tar.file(&format!("{i}"), b"");
    }
    assert_eq!(
        cause(&tar.end()),
        "entry \"65536\": is one more than the 65536 entries allowed"
    );
}

#[test]
fn any_bytes_are_an_answer_and_no_panic() {
    let (files, _) = one_layer();
    let tar = files.tar();
    let scratch = tempfile::NamedTempFile::new().unwrap();
    let mut state = 1_u64;
    for _ in 0..500 {
        let mut changed = tar.clone();
        for _ in 0..4 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let at = (state >> 33) as usize % changed.len();
            changed[at] = (state >> 24) as u8;
        }
        fs::write(scratch.path(), &changed).unwrap();
        if let Ok(image) = open(scratch.path()) {
            for i in 0..image.layers.len() {
                let _answer = read(&image, i);
            }
        }
    }
}
