//! Archives that want more than there is.

use std::time::{Duration, Instant};

use super::*;

fn with(change: impl FnOnce(&mut Limits)) -> Budget {
    let mut limits = Limits::default();
    change(&mut limits);
    Budget::new(limits)
}

fn fails(blob: &[u8], budget: &Budget, expected: &str) {
    let place = Place::new();
    let error = place
        .apply_bytes(blob, &Options::for_caller(""), budget)
        .unwrap_err();
    assert_eq!(error.to_string(), expected);
    let root = File::open(place.root()).unwrap();
    clear(root.as_fd()).unwrap();
    assert!(place.names("").is_empty());
}

/// A file of that many MiB of NUL bytes, header and content as gzip members of their own.
fn bomb(mebibytes: u64) -> Vec<u8> {
    let header = Layer::new().entry(EntryType::Regular, "bomb", b"", |header| {
        header.set_size(mebibytes << 20);
    });
    let mut blob = gzip(&header.bytes);
    let member = gzip(&vec![0; 1 << 20]);
    for _ in 0..mebibytes {
        blob.extend(&member);
    }
    blob
}

#[test]
fn gzip_bombs_stop_at_the_ratio() {
    // [U11: docker CVE-2017-14992]
    let budget = with(|limits| limits.ratio_from = 4 << 20);
    let expected = "unpack \"bomb\": more than 200 times as large as compressed (limit `ratio`)";
    fails(&bomb(8), &budget, expected);
}

#[test]
fn layers_stop_at_the_bytes_of_the_image() {
    // [U11]
    let budget = with(|limits| limits.bytes = 5000);
    let place = Place::new();
    let options = Options::for_caller("");
    let layer = Layer::new().file("a", &"x".repeat(2000)).end();
    place.apply_bytes(&layer, &options, &budget).unwrap();
    assert_eq!((budget.bytes(), budget.entries()), (layer.len() as u64, 1));
    let error = place.apply_bytes(&layer, &options, &budget).unwrap_err();
    let expected = "unpack the first entry: more than 5000 uncompressed bytes (limit `bytes`)";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn padding_counts_as_bytes() {
    // [U11]
    let mut blob = Layer::new().file("a", "").end();
    blob.resize(100_000, 0);
    let budget = with(|limits| limits.bytes = 50_000);
    let expected = "unpack the first entry: more than 50000 uncompressed bytes (limit `bytes`)";
    fails(&blob, &budget, expected);
}

#[test]
fn sparse_files_count_with_their_holes() {
    // [U11]
    let records: &[(&str, &[u8])] = &[
        ("GNU.sparse.size", b"9223372036854775807"),
        ("GNU.sparse.map", b"0,1"),
    ];
    let expected = "unpack \"s\": more than 17179869184 bytes a file, and this one has \
                    9223372036854775807 (limit `file-size`)";
    fails(
        &Layer::new().pax(records).file("s", "x").end(),
        &Budget::default(),
        expected,
    );
    let records: &[(&str, &[u8])] = &[("GNU.sparse.size", b"2000000"), ("GNU.sparse.map", b"0,1")];
    let (place, budget) = (Place::new(), Budget::default());
    let layer = Layer::new().pax(records).file("s", "x").end();
    let applied = place
        .apply_bytes(&layer, &Options::for_caller(""), &budget)
        .unwrap();
    assert_eq!(applied.holes, 1_999_999);
    assert_eq!(applied.bytes + applied.holes, budget.bytes());
    let budget = with(|limits| limits.bytes = 1 << 20);
    let expected = "unpack \"s\": more than 1048576 uncompressed bytes (limit `bytes`)";
    fails(
        &Layer::new().pax(records).file("s", "x").end(),
        &budget,
        expected,
    );
}

#[test]
fn zstd_windows_have_an_end() {
    // [U11] A frame that may look back 2 GiB, and an empty last block.
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0, 21 << 3, 1, 0, 0];
    let expected = |window: u64| {
        format!(
            "unpack the first entry: more than {window} bytes for a zstd frame to look back (limit `window`)"
        )
    };
    fails(&frame, &Budget::default(), &expected(128 << 20));
    let accepted = [0x28, 0xb5, 0x2f, 0xfd, 0, 17 << 3, 1, 0, 0];
    let place = Place::new();
    let options = Options::for_caller("");
    place
        .apply_bytes(&accepted, &options, &Budget::default())
        .unwrap();
    let narrow = with(|limits| limits.window = 8 << 20);
    fails(&accepted, &narrow, &expected(8 << 20));
}

#[test]
fn entries_have_an_end() {
    // [U11]
    let layer = (0..101).fold(Layer::new(), |layer, _| layer.file("a", ""));
    let expected = "unpack \"a\": more than 100 entries (limit `entries`)";
    fails(&layer.end(), &with(|limits| limits.entries = 100), expected);
}

#[test]
fn paths_and_trees_have_an_end() {
    // [U7, U11]
    let deep = "x/".repeat(300);
    let layer = Layer::new().pax(&[("path", deep.as_bytes())]).dir("short");
    let expected = format!("unpack \"{deep}\": more than 256 components in a path (limit `depth`)");
    fails(&layer.end(), &Budget::default(), &expected);
    let target = Layer::new().symlink("l", "x".repeat(5000));
    let expected = "unpack \"l\": more than 4095 bytes in a target (limit `path`)";
    fails(&target.end(), &Budget::default(), expected);
}

#[test]
fn extension_headers_have_an_end() {
    // [U8, U11]
    let value = vec![b'x'; 2 << 20];
    let layer = Layer::new().pax(&[("comment", &value)]).file("a", "");
    let expected = "unpack the first entry: more than 1048576 bytes in an extension header (limit `extension`)";
    fails(&layer.end(), &Budget::default(), expected);
    let endless = Layer::new().entry(EntryType::GNULongName, "x", b"", |header| {
        header.set_size(1 << 40);
    });
    fails(&endless.end(), &Budget::default(), expected);
}

#[test]
fn memory_for_directories_has_an_end() {
    // [U11]
    let layer = (0..100).fold(Layer::new(), |layer, number| {
        layer.dir(format!("d{number}"))
    });
    let budget = with(|limits| limits.remembered = 5000);
    let place = Place::new();
    let error = place
        .apply_bytes(&layer.end(), &Options::for_caller(""), &budget)
        .unwrap_err();
    let expected = "more than 5000 bytes of memory for directories (limit `remembered`)";
    assert!(error.to_string().ends_with(expected), "{error}");
}

#[test]
fn trees_deeper_than_paths_can_be_removed() {
    // Each symlink goes on where the last ended. At most 20 of them: a walk that the kernel begins again, since somebody
    // renames something, counts them twice, and 40 are allowed.
    let place = Place::new();
    let mut layer = Layer::new();
    let mut start = String::new();
    for number in 0..20 {
        for depth in 1..=47 {
            layer = layer.dir(format!("{start}{}", "x/".repeat(depth)));
        }
        let end = format!("{start}{}", "x/".repeat(47));
        layer = layer.symlink(format!("s{number}"), end);
        start = format!("s{number}/");
    }
    place.apply(&layer).unwrap();
    let root = File::open(place.root()).unwrap();
    clear(root.as_fd()).unwrap();
    assert!(place.names("").is_empty());
}

#[test]
fn corrupt_layers_leave_no_descriptor_and_no_thread() {
    // [U14: CVE-2026-114236, CVE-2021-20291]
    let place = Place::new();
    let whole = gzip(
        &Layer::new()
            .dir("d")
            .file("d/a", &"x".repeat(3000))
            .symlink("s", "d")
            .end(),
    );
    let options = Options::for_caller("");
    for at in 0..whole.len() {
        let mut blob = whole.clone();
        blob[at] ^= 0x55;
        // A flipped bit in gzip's file time, for one, is no damage.
        drop(place.apply_bytes(&blob, &options, &Budget::default()));
        drop(place.apply_bytes(&whole[..at], &options, &Budget::default()));
    }
    let below = place.dir.path();
    let open = fs::read_dir("/proc/self/fd").unwrap().filter(|entry| {
        let link = fs::read_link(entry.as_ref().unwrap().path());
        link.is_ok_and(|target| target.starts_with(below))
    });
    assert_eq!(open.count(), 0);
    place.assert_outside_is_untouched();
}

/// Open descriptors, threads and KiB in memory of this process.
fn held() -> (usize, usize, u64) {
    let count = |path: &str| fs::read_dir(path).unwrap().count();
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let memory = memory.unwrap().trim().trim_end_matches(" kB");
    (
        count("/proc/self/fd"),
        count("/proc/self/task"),
        memory.parse().unwrap(),
    )
}

#[test]
fn ten_thousand_corrupt_layers_leave_no_descriptor_no_thread_and_no_memory() {
    // [U14] In a process of its own: other tests have descriptors and threads too.
    const NAME: &str = "image::layer::tests::limits::ten_thousand_corrupt_layers_leave_no_descriptor_no_thread_and_no_memory";
    const ALONE: &str = "STOCKADE_TEST_ALONE";
    if std::env::var_os(ALONE).is_none() {
        let out = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", NAME, "--test-threads=1", "--nocapture"])
            .env(ALONE, "1")
            .output()
            .unwrap();
        assert!(out.status.success(), "{out:?}");
        return;
    }
    let place = Place::new();
    let options = Options::for_caller("");
    let plain = Layer::new().dir("d").file("d/a", &"x".repeat(3000)).end();
    let blobs = [
        gzip(&plain),
        zstd::encode_all(&plain[..], 1).unwrap(),
        plain,
    ];
    let corrupt = |count: usize| {
        for number in 0..count {
            let blob = &blobs[number % blobs.len()];
            let end = 1 + number % (blob.len() / 2).min(500);
            place
                .apply_bytes(&blob[..end], &options, &Budget::default())
                .unwrap_err();
        }
    };
    corrupt(500);
    let before = held();
    corrupt(9_500);
    let mut after = held();
    // The kernel lists a thread for a moment longer than it can be waited for.
    let end = Instant::now() + Duration::from_secs(60);
    while after.1 > before.1 && Instant::now() < end {
        thread::sleep(Duration::from_millis(5));
        after = held();
    }
    assert_eq!(before.0, after.0, "descriptors");
    assert!(after.1 <= before.1, "{before:?} {after:?}");
    assert!(after.2 < before.2 + 4096, "{before:?} {after:?}");
}
