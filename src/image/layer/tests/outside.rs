//! Attempts to reach what is outside the root.

use super::*;

#[test]
fn dot_dot_is_refused_and_a_leading_slash_is_the_roots() {
    // [U1: zip-slip, CVE-2014-6407]
    for path in ["../e", "a/../../e", "..", "a/..", "/../e"] {
        let place = Place::new();
        let error = place.error(&Layer::new().file(path, "x"));
        assert_eq!(error, format!("unpack \"{path}\": a path with \"..\""));
        place.assert_outside_is_untouched();
    }
    let place = Place::new();
    place.apply(&Layer::new().file("/e", "x")).unwrap();
    assert_eq!(place.text("e"), "x");
    assert!(!Path::new("/e").exists());
}

#[test]
fn symlinked_parents_stay_in_the_root() {
    // [U2, B65: RUSTSEC-2018-0002, RUSTSEC-2021-0080, CVE-2025-47290]
    let place = Place::new();
    let out = place.out();
    let inside = out.strip_prefix("/").unwrap().to_owned();
    let one_layer = Layer::new().symlink("a", &out).file("a/x", "in");
    place.apply(&one_layer).unwrap();
    assert_eq!(
        fs::read_to_string(place.root().join(&inside).join("x")).unwrap(),
        "in"
    );
    place.assert_outside_is_untouched();

    let two_layers = Layer::new().file("a/y", "in").dir("a/d");
    place.apply(&two_layers).unwrap();
    assert_eq!(names(&place.root().join(inside)), ["d", "x", "y"]);
    place.assert_outside_is_untouched();
}

#[test]
fn symlinks_of_dots_go_no_higher_than_the_root() {
    // [U2]
    for target in ["../../../../out", "..", ".", "/..", "b/../../.."] {
        let place = Place::new();
        let layer = Layer::new().dir("b").symlink("a", target).file("a/x", "in");
        place.apply(&layer).unwrap();
        place.assert_outside_is_untouched();
    }
    let place = Place::new();
    let chain = Layer::new()
        .symlink("a", ".")
        .symlink("a/b", "a/..")
        .symlink("a/b/c", "b/../../out")
        .file("a/b/c/x", "in");
    place.apply(&chain).unwrap();
    assert_eq!(place.text("out/x"), "in");
    place.assert_outside_is_untouched();
}

#[test]
fn symlink_loops_are_an_error() {
    // [U2]
    let place = Place::new();
    let error = place.error(
        &Layer::new()
            .symlink("a", "b")
            .symlink("b", "a")
            .file("a/x", ""),
    );
    assert_eq!(error, "unpack \"a/x\": more than 40 symlinks in the path");
}

#[test]
fn parents_behind_dangling_symlinks_are_made_in_the_root() {
    let place = Place::new();
    place
        .apply(
            &Layer::new()
                .dir("var")
                .symlink("var/run", "/run")
                .file("var/run/lock/x", "in"),
        )
        .unwrap();
    assert_eq!(place.text("run/lock/x"), "in");
}

#[test]
fn directory_entry_replaces_a_symlink_and_changes_nothing_behind_it() {
    // [U4: CVE-2026-33056, CVE-2021-32760]
    let place = Place::new();
    let layer = Layer::new()
        .symlink("d", place.out())
        .pax(&[("SCHILY.xattr.user.x", b"1"), ("mtime", b"5")]);
    let layer = layer.entry(EntryType::Directory, "d", b"", |header| {
        header.set_mode(0o777);
        header.set_uid(5);
        header.set_gid(5);
    });
    place.apply(&layer).unwrap();
    assert!(fs::symlink_metadata(place.path("d")).unwrap().is_dir());
    place.assert_outside_is_untouched();
}

#[test]
fn file_entry_replaces_a_symlink_and_writes_nothing_through_it() {
    let place = Place::new();
    let target = place.out().join("v");
    place
        .apply(&Layer::new().symlink("d", &target).file("d", "in"))
        .unwrap();
    assert_eq!(place.text("d"), "in");
    place.apply(&Layer::new().symlink("d", target)).unwrap();
    place.apply(&Layer::new().file("d", "in")).unwrap();
    place.assert_outside_is_untouched();
}

#[test]
fn root_can_only_be_a_directory() {
    // [U5, B65: CVE-2021-29136]
    for path in ["", ".", "/", "./"] {
        let place = Place::new();
        let link = Layer::new().symlink(path, place.out()).file("v", "in");
        let expected = format!("unpack \"{path}\": the root as something else than a directory");
        assert_eq!(place.error(&link), expected);
        let fifo = Layer::new().entry(EntryType::Fifo, path, b"", |_| {});
        assert_eq!(place.error(&fifo), expected);
        place.assert_outside_is_untouched();
    }
    for path in [".", "./", "/"] {
        let place = Place::new();
        let layer = Layer::new().entry(EntryType::Directory, path, b"", |h| h.set_mode(0o711));
        place.apply(&layer).unwrap();
        let root = fs::metadata(place.root()).unwrap();
        assert_eq!((root.mode() & 0o7777, root.mtime()), (0o711, 1_600_000_000));
    }
}

#[test]
fn whiteouts_remove_nothing_outside() {
    // [U6, B65]
    let place = Place::new();
    place
        .apply(
            &Layer::new()
                .symlink("a", place.out())
                .symlink("b", "../out"),
        )
        .unwrap();
    for whiteout in [
        "a/.wh.v",
        "a/.wh..wh..opq",
        "b/.wh.v",
        "b/.wh..wh..opq",
        ".wh.a",
    ] {
        place.apply(&Layer::new().file(whiteout, "")).unwrap();
        place.assert_outside_is_untouched();
    }
    assert_eq!(place.names(""), ["b"]);
}

#[test]
fn mounts_in_the_way_are_refused() {
    let place = Place::new();
    fs::create_dir(place.path("m")).unwrap();
    let mounted = rustix::mount::mount(
        "tmpfs",
        place.path("m"),
        "tmpfs",
        rustix::mount::MountFlags::empty(),
        None::<&std::ffi::CStr>,
    );
    if mounted.is_err() {
        eprintln!("skipped: mounting needs privileges");
        return;
    }
    let error = place.error(&Layer::new().file("m/x", ""));
    rustix::mount::unmount(place.path("m"), rustix::mount::UnmountFlags::empty()).unwrap();
    assert_eq!(error, "unpack \"m/x\": a mount is in the way of the path");
}
