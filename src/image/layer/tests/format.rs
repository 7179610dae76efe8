//! What an archive says, read as Go's archive/tar reads it, or refused.

use super::*;

fn pax_size(size: &str) -> Layer {
    Layer::new().pax(&[("size", size.as_bytes())])
}

#[test]
fn pax_size_beats_the_headers_size() {
    // [U8: CVE-2025-62518, CVE-2026-33055]
    let larger = |layer: Layer| layer.entry(EntryType::Regular, "a", b"hello", |h| h.set_size(0));
    let smaller =
        |layer: Layer| layer.entry(EntryType::Regular, "a", b"hello", |h| h.set_size(1024));
    for change in [larger, smaller] {
        let place = Place::new();
        place
            .apply(&change(pax_size("5")).file("b", "after"))
            .unwrap();
        assert_eq!(place.text("a"), "hello");
        assert_eq!(place.names(""), ["a", "b"]);
    }
}

#[test]
fn pax_size_after_a_value_with_newlines_is_seen() {
    // [U8: the tar crate's own reader misses it]
    let place = Place::new();
    let layer = Layer::new()
        .pax(&[
            ("SCHILY.xattr.user.x", b"1\n2\n"),
            ("comment", b"a\n9 b=c\n"),
            ("size", b"5"),
        ])
        .entry(EntryType::Regular, "a", b"hello", |header| {
            header.set_size(0);
        })
        .file("b", "");
    place.apply(&layer).unwrap();
    assert_eq!(place.text("a"), "hello");
    assert_eq!(place.names(""), ["a", "b"]);
}

#[test]
fn last_of_two_size_records_counts() {
    // [U8]
    let place = Place::new();
    let layer = Layer::new().pax(&[("size", b"1000"), ("size", b"5")]);
    place
        .apply(&layer.file("a", "hello").file("b", ""))
        .unwrap();
    assert_eq!(place.text("a"), "hello");
}

#[test]
fn pax_size_is_not_the_size_of_a_long_name() {
    // [U8: RUSTSEC-2026-0112]
    let place = Place::new();
    let layer = pax_size("5")
        .entry(EntryType::GNULongName, "././@LongLink", b"long\0", |_| {})
        .entry(EntryType::Regular, "short", b"hello", |header| {
            header.set_size(0);
        });
    place.apply(&layer.file("b", "")).unwrap();
    assert_eq!(place.text("long"), "hello");
    assert_eq!(place.names(""), ["b", "long"]);
}

#[test]
fn directories_and_links_have_no_body() {
    // [U8: as Go reads them]
    let place = Place::new();
    let layer = Layer::new()
        .entry(EntryType::Directory, "d", b"", |header| {
            header.set_size(512);
        })
        .file("f", "x")
        .entry(EntryType::Link, "l", b"", |header| {
            header.set_size(1024);
            header.set_link_name_literal("f").unwrap();
        })
        .file("g", "");
    place.apply(&layer).unwrap();
    assert_eq!(place.names(""), ["d", "f", "g", "l"]);
}

#[test]
fn bad_pax_records_are_refused() {
    // [U8]
    let records: [&[u8]; 9] = [
        b"12 size=5\n",
        b"8 size=5\n",
        b"10 size=5 ",
        b"10 size\n",
        b"99999999999999999999999 a=b\n",
        b"-1 a=b\n",
        b" 6 a=b\n",
        b"5 =b\n",
        b"0 a=b\n",
    ];
    for data in records {
        let place = Place::new();
        let layer = Layer::new().entry(EntryType::XHeader, "pax", data, |_| {});
        let error = place.error(&layer.file("a", ""));
        assert!(
            error.starts_with("unpack the first entry: malformed pax record \""),
            "{error}"
        );
    }
    for (key, value) in [
        ("size", "-1"),
        ("size", "1e3"),
        ("uid", "x"),
        ("mtime", "1.x"),
        ("path", "a\0b"),
    ] {
        let place = Place::new();
        let layer = Layer::new().pax(&[(key, value.as_bytes())]).file("a", "");
        let error = place.error(&layer);
        let expected = format!("unpack the first entry: the pax record \"{key}\" has a bad value");
        assert!(error.starts_with(&expected), "{error}");
    }
}

#[test]
fn malformed_long_names_are_refused() {
    // [U8]
    let long = |layer: Layer, data: &[u8]| {
        layer.entry(EntryType::GNULongLink, "././@LongLink", data, |_| {})
    };
    let cases = [
        (
            long(Layer::new(), b"a\0b"),
            "a long name goes on after a NUL byte",
        ),
        (long(Layer::new(), b"\0"), "an empty long name"),
        (long(Layer::new(), b""), "an empty long name"),
        (
            long(long(Layer::new(), b"a"), b"b"),
            "two long link targets for one entry",
        ),
    ];
    for (layer, cause) in cases {
        let place = Place::new();
        let layer = layer.symlink("l", "t");
        assert_eq!(
            place.error(&layer),
            format!("unpack the first entry: {cause}")
        );
    }
    let place = Place::new();
    let error = place.error(&long(Layer::new().file("a", ""), b"x"));
    assert_eq!(
        error,
        "unpack the entry after \"a\": an extension header describes no entry"
    );
}

#[test]
fn global_headers_that_readers_understand_differently_are_refused() {
    let place = Place::new();
    let global = |key| {
        Layer::new()
            .entry(EntryType::XGlobalHeader, "g", &record(key, b"5"), |_| {})
            .file("a", "hello")
    };
    place.apply(&global("comment")).unwrap();
    let error = place.error(&global("size"));
    assert!(
        error.contains("a global pax header sets \"size\""),
        "{error}"
    );
}

#[test]
fn numbers_that_are_none_are_refused() {
    // [U8]
    let place = Place::new();
    let size = |field: [u8; 12]| {
        Layer::new().entry(EntryType::Regular, "a", b"", |header| {
            header.as_old_mut().size = field;
        })
    };
    assert!(
        place
            .error(&size([0xff; 12]))
            .contains("the size -1 is negative")
    );
    assert!(
        place
            .error(&size(*b"9\0\0\0\0\0\0\0\0\0\0\0"))
            .contains("the size in the header is no number")
    );
    let mut huge = [0; 12];
    huge[0] = 0x80;
    huge[4] = 0x7f;
    assert!(
        place
            .error(&size(huge))
            .contains("more than 17179869184 bytes a file")
    );
    huge[3] = 1;
    assert!(place.error(&size(huge)).contains("is no number"));
    let blank = Layer::new().entry(EntryType::Regular, "a", b"", |header| {
        header.as_old_mut().uid = [0; 8];
        header.as_old_mut().gid = *b"        ";
        header.as_old_mut().mode = *b" 644 \0x\0";
    });
    place.apply(&blank).unwrap();
}

#[test]
fn names_are_exact_or_refused() {
    // [U7]
    let place = Place::new();
    let longest = "x".repeat(255);
    let layer = Layer::new()
        .file("Case", "1")
        .file("case", "2")
        .pax(&[("path", longest.as_bytes())]);
    place
        .apply(&layer.file("short", "3").file("a\nb\u{1b}", "4"))
        .unwrap();
    assert_eq!(place.names(""), ["Case", "a\nb\u{1b}", "case", &longest]);

    let path = |path: &[u8]| Layer::new().pax(&[("path", path)]).file("short", "");
    let too_long = path(&[b'x'; 256]);
    assert!(
        place
            .error(&too_long)
            .ends_with("a component of more than 255 bytes in the path")
    );
    let long = path("x/".repeat(32 << 10).trim_end_matches('/').as_bytes());
    assert!(
        place
            .error(&long)
            .ends_with("more than 4095 bytes in a path (limit `path`)")
    );
    let slash = Layer::new().file("a/", "");
    assert_eq!(
        place.error(&slash),
        "unpack \"a/\": a file whose name ends in a slash"
    );
    let unknown = Layer::new().entry(EntryType::new(b'V'), "a", b"", |_| {});
    assert_eq!(
        place.error(&unknown),
        "unpack \"a\": unknown entry type \"V\""
    );
}

#[test]
fn seventh_edition_directories_end_in_a_slash() {
    let place = Place::new();
    let layer = Layer::new().entry(EntryType::Regular, "d/", b"", |header| {
        header.as_old_mut().linkflag = [0];
        header.as_ustar_mut();
    });
    place.apply(&layer).unwrap();
    assert!(place.path("d").is_dir());
}

#[test]
fn damaged_archives_are_refused() {
    let place = Place::new();
    let layer = Layer::new().file("a", "hello").file("b", &"x".repeat(2000));
    let whole = layer.end();
    let apply = |bytes: &[u8]| {
        let options = Options::for_caller("");
        place
            .apply_bytes(bytes, &options, &Budget::default())
            .map_err(|error| error.to_string())
    };
    let mut flipped = whole.clone();
    flipped[1024 + 5] ^= 1;
    let wrong = "unpack the entry after \"a\": no tar header: its checksum is wrong";
    assert_eq!(apply(&flipped).unwrap_err(), wrong);
    let ended = |place: &str| format!("unpack {place}: the archive ends in the middle");
    assert_eq!(
        apply(&whole[..1100]).unwrap_err(),
        ended("the entry after \"a\"")
    );
    assert_eq!(apply(&whole[..516]).unwrap_err(), ended("\"a\""));
    assert_eq!(apply(&whole[..1600]).unwrap_err(), ended("\"b\""));
    apply(b"no archive").unwrap_err();
    assert_eq!(apply(b"").unwrap().entries, 0);
}

#[test]
fn end_of_an_archive_may_lack_its_blocks_and_may_be_padded() {
    // [B68]
    let layer = Layer::new().file("a", "hello");
    let mut padded = layer.end();
    padded.resize(10240, 0);
    // Some writers do not even pad the last body.
    let [unpadded, half_padded] = [517, 700].map(|length| layer.bytes[..length].to_vec());
    for bytes in [
        layer.bytes.clone(),
        layer.end(),
        padded,
        unpadded,
        half_padded,
    ] {
        let place = Place::new();
        let applied = place
            .apply_bytes(&bytes, &Options::for_caller(""), &Budget::default())
            .unwrap();
        assert_eq!(applied.diff_id, sha256(&bytes));
        assert_eq!(applied.bytes, bytes.len() as u64);
        assert_eq!(place.names(""), ["a"]);
    }
}

#[test]
fn entries_after_the_end_of_the_archive_are_refused() {
    // [B68]
    let layer = Layer::new().file("a", "");
    let mut hidden = layer.end();
    hidden.extend(Layer::new().file("b", "").end());
    let mut lone = layer.bytes.clone();
    lone.resize(lone.len() + 512, 0);
    lone.extend(Layer::new().file("b", "").end());
    let mut junk = layer.end();
    junk.resize(junk.len() + 1200, b'j');
    for bytes in [hidden, lone, junk] {
        let place = Place::new();
        let error = place
            .apply_bytes(&bytes, &Options::for_caller(""), &Budget::default())
            .unwrap_err();
        let expected = "unpack the entry after \"a\": bytes after the end of the archive";
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn compression_is_told_by_content() {
    // [B68: umoci#178, #179; containerd 6fa9f22fa]
    let tar = Layer::new().file("a", &"hello".repeat(1000)).end();
    let (front, back) = tar.split_at(700);
    let zstd = |data: &[u8]| zstd::encode_all(data, 1).unwrap();
    let skippable = [
        &[0x53, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3][..],
        &zstd(&tar),
    ]
    .concat();
    let blobs = [
        tar.clone(),
        gzip(&tar),
        [gzip(front), gzip(b""), gzip(back)].concat(),
        [gzip(&tar), vec![0; 512]].concat(),
        zstd(&tar),
        [zstd(front), zstd(back)].concat(),
        skippable,
    ];
    for blob in blobs {
        let place = Place::new();
        let applied = place
            .apply_bytes(&blob, &Options::for_caller(""), &Budget::default())
            .unwrap();
        assert_eq!(applied.diff_id, sha256(&tar));
        assert_eq!(place.text("a").len(), 5000);
    }
}

#[test]
fn damaged_compression_is_refused() {
    // [B68]
    let tar = Layer::new().file("a", "hello").end();
    let zstd = zstd::encode_all(&tar[..], 1).unwrap();
    let gz = gzip(&tar);
    let mut checksum = gz.clone();
    let at = checksum.len() - 6;
    checksum[at] ^= 1;
    let blobs = [
        [&gz[..], b"junk"].concat(),
        [&gz[..], &[0; 512], b"junk"].concat(),
        [&gz[..], &[0x1f, 0x8b]].concat(),
        [&zstd[..], b"junk"].concat(),
        gz[..gz.len() - 1].to_owned(),
        gz[..20].to_owned(),
        zstd[..zstd.len() - 1].to_owned(),
        checksum,
        b"BZh91AY&SY".to_vec(),
        b"\xfd7zXZ\0\0".to_vec(),
    ];
    for blob in blobs {
        let place = Place::new();
        let result = place.apply_bytes(&blob, &Options::for_caller(""), &Budget::default());
        result.unwrap_err();
    }
}

#[test]
fn sparse_maps_that_lie_are_refused() {
    let sparse = |size: &str, map: &str, content: &str| {
        let records: &[(&str, &[u8])] = &[
            ("GNU.sparse.size", size.as_bytes()),
            ("GNU.sparse.map", map.as_bytes()),
        ];
        Layer::new().pax(records).file("s", content)
    };
    let place = Place::new();
    place.apply(&sparse("9", "2,2,6,1", "abc")).unwrap();
    assert_eq!(place.text("s"), "\0\0ab\0\0c\0\0");
    for (size, map, content) in [
        ("3", "2,2,6,1", "abc"),
        ("9", "6,1,2,2", "abc"),
        ("9", "2,2", "abc"),
        ("9", "2,2,6", "abc"),
        ("9", "0,18446744073709551615,1,1", "abc"),
        ("9", "x", "abc"),
    ] {
        let error = place.error(&sparse(size, map, content));
        assert!(
            error.ends_with("malformed map of a sparse file"),
            "{map}: {error}"
        );
    }
}
