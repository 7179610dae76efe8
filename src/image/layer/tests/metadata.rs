//! Owners, modes, attributes, times and devices. Most of it needs root, and says so when it is not.

use super::*;

fn as_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("skipped: needs root");
    }
    is_root
}

fn keep() -> Options {
    Options {
        privileges: Privileges::Keep,
        ..Options::for_caller("")
    }
}

/// `VFS_CAP_REVISION_2` with `cap_net_raw` permitted and effective.
const CAPABILITY: [u8; 20] = [
    1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];

fn owned(uid: u64, gid: u64, mode: u32) -> Layer {
    let records: &[(&str, &[u8])] = &[("SCHILY.xattr.security.capability", &CAPABILITY)];
    Layer::new()
        .pax(records)
        .entry(EntryType::Regular, "f", b"x", |header| {
            header.set_uid(uid);
            header.set_gid(gid);
            header.set_mode(mode);
        })
}

fn capability(place: &Place) -> Option<usize> {
    let mut value = [0; 64];
    rustix::fs::lgetxattr(place.path("f"), "security.capability", &mut value[..]).ok()
}

#[test]
fn set_id_bits_and_capabilities_survive_the_change_of_owner() {
    // [B69: containerd d2f30150b]
    if !as_root() {
        return;
    }
    let place = Place::new();
    let applied = place.apply_as(&owned(5, 6, 0o6755), &keep()).unwrap();
    assert_eq!(applied.warnings, Vec::<String>::new());
    let file = fs::metadata(place.path("f")).unwrap();
    assert_eq!(
        (file.uid(), file.gid(), file.mode() & 0o7777),
        (5, 6, 0o6755)
    );
    assert_eq!(capability(&place), Some(20));
}

#[test]
fn set_id_bits_and_capabilities_are_dropped_unless_kept() {
    // [U10]
    let place = Place::new();
    let layer = owned(0, 0, 0o6755).entry(EntryType::Directory, "d", b"", |h| h.set_mode(0o2775));
    let applied = place.apply(&layer).unwrap();
    assert_eq!(applied.stripped, 2);
    let mode = |name| fs::metadata(place.path(name)).unwrap().mode() & 0o7777;
    assert_eq!((mode("f"), mode("d")), (0o755, 0o2775));
    assert_eq!(capability(&place), None);
}

#[test]
fn large_ids_are_kept_and_impossible_ones_refused() {
    // [B69]
    if !as_root() {
        return;
    }
    let place = Place::new();
    place
        .apply(&owned(2_147_483_646, 4_294_967_294, 0o644))
        .unwrap();
    let file = fs::metadata(place.path("f")).unwrap();
    assert_eq!((file.uid(), file.gid()), (2_147_483_646, 4_294_967_294));
    for id in [4_294_967_295, 1 << 33] {
        let error = place.error(&owned(id, 0, 0o644));
        assert_eq!(
            error,
            format!("unpack \"f\": the uid {id} does not exist on Linux")
        );
    }
}

#[test]
fn ids_go_through_ranges_and_unmapped_ones_are_named() {
    // [B69: umoci#166, #169]
    if !as_root() {
        return;
    }
    let place = Place::new();
    let range = Range {
        inside: 0,
        outside: 100_000,
        length: 65536,
    };
    let mapped = Options {
        ids: Ids::Ranges {
            uids: vec![range],
            gids: vec![range],
        },
        ..keep()
    };
    place.apply_as(&owned(1, 65535, 0o644), &mapped).unwrap();
    let file = fs::metadata(place.path("f")).unwrap();
    assert_eq!((file.uid(), file.gid()), (100_001, 165_535));
    let error = place
        .apply_as(&owned(200_001, 0, 0o644), &mapped)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "unpack \"f\": the uid 200001 is in no mapped range"
    );
    assert_eq!(
        error.try_this(),
        Some("map more ids: the layer needs at least uid 200001")
    );
}

#[test]
fn everything_can_be_one_owners() {
    let place = Place::new();
    let (uid, gid) = (
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    );
    let options = Options {
        ids: Ids::Everything { uid, gid },
        ..Options::for_caller("")
    };
    place.apply_as(&owned(1 << 40, 7, 0o644), &options).unwrap();
    assert_eq!(fs::metadata(place.path("f")).unwrap().uid(), uid);
}

#[test]
fn attributes_of_the_building_host_are_dropped_and_unknown_ones_warned_of() {
    // [U10, B69: umoci#304, #252]
    let place = Place::new();
    let records: &[(&str, &[u8])] = &[
        ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
        ("SCHILY.xattr.user.overlay.redirect", b"/x"),
        ("SCHILY.xattr.security.selinux", b"label"),
        ("SCHILY.xattr.com.apple.quarantine", b"x"),
        ("SCHILY.xattr.user.kept", b"a=b\nc"),
    ];
    let applied = place.apply(&Layer::new().pax(records).dir("d")).unwrap();
    assert_eq!(applied.dropped, 3);
    let warning = "\"d\": attribute \"com.apple.quarantine\" is of an unknown namespace";
    assert_eq!(applied.warnings, [warning]);
    let mut list = [0; 1024];
    let length = rustix::fs::listxattr(place.path("d"), &mut list[..]).unwrap();
    assert_eq!(&list[..length], b"user.kept\0");

    // The next layer's entry says all there is.
    place.apply(&Layer::new().dir("d")).unwrap();
    assert_eq!(rustix::fs::listxattr(place.path("d"), &mut list[..]), Ok(0));
}

#[test]
fn times_before_1970_and_after_2100_are_kept() {
    // [B69]
    let place = Place::new();
    let time = |name: &str, time: &str| {
        let records: &[(&str, &[u8])] = &[("mtime", time.as_bytes())];
        Layer::new().pax(records).dir(name).bytes
    };
    let mut layer = Layer::new();
    layer.bytes = [
        time("a", "-5"),
        time("b", "99999999999"),
        time("c", "-4.25"),
    ]
    .concat();
    let layer = layer.entry(EntryType::Symlink, "d", b"", |header| {
        header.set_link_name_literal("x").unwrap();
        header.as_old_mut().mtime = [0xff; 12];
    });
    place.apply(&layer.file("a/x", "")).unwrap();
    let time = |name| {
        let stat = fs::symlink_metadata(place.path(name)).unwrap();
        (stat.mtime(), stat.mtime_nsec())
    };
    assert_eq!(time("a"), (-5, 0));
    // ext4 ends in 2446.
    assert!(
        matches!(time("b").0, 99_999_999_999 | 15_032_385_535),
        "{:?}",
        time("b")
    );
    assert_eq!(time("c"), (-5, 750_000_000));
    assert_eq!(time("d"), (-1, 0));
}

#[test]
fn directories_have_their_times_though_later_entries_are_in_them() {
    let place = Place::new();
    place
        .apply(
            &Layer::new()
                .dir("d")
                .dir("d/e")
                .file("d/e/x", "")
                .file("d/y", ""),
        )
        .unwrap();
    let time = |name| fs::metadata(place.path(name)).unwrap().mtime();
    assert_eq!((time("d"), time("d/e")), (1_600_000_000, 1_600_000_000));
    // A layer that does not list them leaves them as they were.
    place
        .apply(&Layer::new().file("d/e/z", "").file("d/.wh.y", ""))
        .unwrap();
    assert_eq!((time("d"), time("d/e")), (1_600_000_000, 1_600_000_000));
    assert_eq!(place.names("d"), ["e"]);
}

#[test]
fn directories_without_write_permission_fill_and_keep_their_mode() {
    // Also for a caller without privileges, as Fedora's /usr/bin is.
    let place = Place::new();
    let dir = |layer: Layer| {
        layer.entry(EntryType::Directory, "d", b"", |header| {
            header.set_mode(0o555);
        })
    };
    place.apply(&dir(Layer::new()).file("d/x", "")).unwrap();
    let mode = || fs::metadata(place.path("d")).unwrap().mode() & 0o7777;
    assert_eq!(mode(), 0o555);
    place
        .apply(&Layer::new().file("d/y", "").file("d/.wh.x", ""))
        .unwrap();
    assert_eq!((mode(), place.names("d")), (0o555, vec!["y".to_owned()]));
    place.apply(&dir(Layer::new()).file("d/z", "")).unwrap();
    assert_eq!(mode(), 0o555);
    place.apply(&Layer::new().file(".wh.d", "")).unwrap();
    assert!(!place.exists("d"));
    place.apply(&dir(Layer::new()).file("d/x", "")).unwrap();
    place.apply(&Layer::new().file("d", "")).unwrap();
    assert_eq!(place.text("d"), "");
}

#[test]
fn devices_are_made_skipped_or_refused_and_never_opened() {
    // [U9]
    let device = |kind, major, minor| {
        Layer::new().file("n", "").entry(kind, "n", b"", |header| {
            header.set_device_major(major).unwrap();
            header.set_device_minor(minor).unwrap();
            header.set_mode(0o666);
        })
    };
    let with = |nodes| Options {
        nodes,
        ..Options::for_caller("")
    };
    for (kind, what) in [
        (EntryType::Char, "a character device"),
        (EntryType::Block, "a block device"),
        (EntryType::Fifo, "a FIFO"),
    ] {
        let place = Place::new();
        let layer = device(kind, 1, 3);
        let error = place.apply_as(&layer, &with(Nodes::Refuse)).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("unpack \"n\": {what}, and none are to be made")
        );
        assert_eq!(
            place.apply_as(&layer, &with(Nodes::Skip)).unwrap().skipped,
            1
        );
        assert!(!place.exists("n"));
        if as_root() {
            place.apply_as(&layer, &with(Nodes::Make)).unwrap();
            let node = fs::symlink_metadata(place.path("n")).unwrap();
            assert_eq!(node.mode() & 0o7777, 0o666);
            let number = if kind == EntryType::Fifo {
                0
            } else {
                rustix::fs::makedev(1, 3)
            };
            assert_eq!((node.rdev(), node.mtime()), (number, 1_600_000_000));
        }
    }
}

#[test]
fn devices_that_cannot_be_are_refused() {
    // [B69: containerd 0205398ac]
    let make = Options {
        nodes: Nodes::Make,
        ..Options::for_caller("")
    };
    let place = Place::new();
    let layer = |major: [u8; 8]| {
        Layer::new().entry(EntryType::Char, "n", b"", |header| {
            header.as_gnu_mut().unwrap().dev_major = major;
        })
    };
    let error = place
        .apply_as(&layer([0x80, 0, 0, 2, 0, 0, 0, 0]), &make)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "unpack \"n\": the device 8589934592:0 cannot exist on Linux"
    );
    let error = place.apply_as(&layer([0; 8]), &make).unwrap_err();
    let expected = "unpack \"n\": the device c 0:0, which overlay file systems take for a whiteout";
    assert_eq!(error.to_string(), expected);
}
