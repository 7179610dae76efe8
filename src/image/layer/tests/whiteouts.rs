//! Whiteouts: of the layers below only, whatever the order in the archive.

use super::*;

fn lower(place: &Place) {
    let layer = Layer::new()
        .dir("d")
        .file("d/old", "1")
        .dir("d/sub")
        .file("d/sub/old", "2");
    place.apply(&layer.file("f", "3")).unwrap();
}

#[test]
fn whiteouts_remove_what_is_below() {
    let place = Place::new();
    lower(&place);
    place
        .apply(&Layer::new().file(".wh.f", "").file("d/.wh.sub", ""))
        .unwrap();
    assert_eq!(place.names(""), ["d"]);
    assert_eq!(place.names("d"), ["old"]);
}

#[test]
fn whiteouts_without_a_name_are_refused() {
    // [B61, U6: umoci 635306a3]
    for path in ["d/.wh.", "d/.wh..", "d/.wh...", ".wh.", ".wh..", ".wh..."] {
        let place = Place::new();
        lower(&place);
        let error = place.error(&Layer::new().file(path, ""));
        assert_eq!(
            error,
            format!("unpack \"{path}\": a whiteout without a name")
        );
        assert_eq!(place.names("d"), ["old", "sub"]);
    }
    let place = Place::new();
    let error = place.error(&Layer::new().file(".wh.a/b", ""));
    assert_eq!(error, "unpack \".wh.a/b\": an entry below a whiteout");
    let error = place.error(&Layer::new().dir(".wh.a"));
    assert_eq!(error, "unpack \".wh.a\": a whiteout that is no file");
}

#[test]
fn whiteout_after_its_namesake_spares_this_layers_entries() {
    // [B62: umoci#229, #232, #224]
    let orders = [
        Layer::new().dir("d").file("d/new", "").file(".wh.d", ""),
        Layer::new().file(".wh.d", "").dir("d").file("d/new", ""),
        Layer::new().dir("d").file(".wh.d", "").file("d/new", ""),
        Layer::new().file("d/new", "").file(".wh.d", ""),
    ];
    for layer in orders {
        let place = Place::new();
        lower(&place);
        place.apply(&layer).unwrap();
        assert_eq!(place.names("d"), ["new"]);
    }
    let place = Place::new();
    lower(&place);
    place
        .apply(&Layer::new().file("f", "new").file(".wh.f", ""))
        .unwrap();
    assert_eq!(place.text("f"), "new");
}

#[test]
fn opaque_marker_hides_the_layers_below_in_any_order() {
    // [B62]
    let orders = [
        Layer::new()
            .dir("d")
            .file("d/.wh..wh..opq", "")
            .file("d/sub/new", ""),
        Layer::new()
            .dir("d")
            .file("d/sub/new", "")
            .file("d/.wh..wh..opq", ""),
        Layer::new()
            .dir("d")
            .dir("d/sub")
            .file("d/sub/new", "")
            .file("d/.wh..wh..opq", ""),
    ];
    for layer in orders {
        let place = Place::new();
        lower(&place);
        place.apply(&layer).unwrap();
        assert_eq!(place.names("d"), ["sub"]);
        assert_eq!(place.names("d/sub"), ["new"]);
        assert_eq!(place.names(""), ["d", "f"]);
    }
}

#[test]
fn opaque_root_hides_everything_below() {
    let place = Place::new();
    lower(&place);
    place
        .apply(&Layer::new().file("a", "").file(".wh..wh..opq", ""))
        .unwrap();
    assert_eq!(place.names(""), ["a"]);
}

#[test]
fn whiteouts_of_nothing_are_fine() {
    let place = Place::new();
    let layer = Layer::new()
        .file(".wh.x", "")
        .file("no/such/.wh.x", "")
        .file("no/.wh..wh..opq", "");
    place.apply(&layer).unwrap();
    assert!(place.names("").is_empty());
}

#[test]
fn what_aufs_kept_for_itself_is_left_out() {
    let place = Place::new();
    let layer = Layer::new()
        .file(".wh..wh.aufs", "")
        .dir(".wh..wh.plnk")
        .file(".wh..wh.plnk/1", "");
    assert_eq!(place.apply(&layer).unwrap().dropped, 3);
    assert!(place.names("").is_empty());
}

#[test]
fn overlay_layers_keep_their_whiteouts() {
    let place = Place::new();
    let user = Options {
        whiteouts: Whiteouts::OverlayUser,
        ..Options::for_caller("")
    };
    let layer = Layer::new()
        .file(".wh.gone", "")
        .dir("opaque")
        .file("opaque/.wh..wh..opq", "")
        .file(".wh.again", "")
        .dir("again")
        .dir("first")
        .file(".wh.first", "")
        .file(".wh.bare", "")
        .file("bare/x", "");
    let Ok(_) = place.apply_as(&layer, &user) else {
        eprintln!("skipped: the file system has no user attributes");
        return;
    };
    let gone = fs::symlink_metadata(place.path("gone")).unwrap();
    assert_eq!((gone.mode() & 0o170_000, gone.rdev()), (0o020_000, 0));
    for name in ["opaque", "again", "first", "bare"] {
        let mut value = [0; 2];
        let length = rustix::fs::getxattr(place.path(name), "user.overlay.opaque", &mut value[..]);
        assert_eq!((length, value[0]), (Ok(1), b'y'), "{name}");
    }
}

#[test]
fn overlay_layer_tells_what_it_lacks_of_those_below() {
    let user = Options {
        whiteouts: Whiteouts::OverlayUser,
        ..Options::for_caller("")
    };
    let facts = |layer: &Layer| {
        let applied = Place::new().apply_as(layer, &user).unwrap();
        let (parents, links) = (applied.parents_made, applied.links_left_out);
        (parents, links, applied.describes_root)
    };
    let whole = Layer::new()
        .dir("./")
        .dir("a")
        .file("a/b", "")
        .hard_link("c", "a/b");
    assert_eq!(facts(&whole), (0, 0, true));
    assert_eq!(facts(&Layer::new().file("a/b/c", "")), (2, 0, false));
    assert_eq!(facts(&Layer::new().file("a/.wh.b", "")), (1, 0, false));
    let links = Layer::new().hard_link("c", "a/b").hard_link("d", "e");
    assert_eq!(facts(&links), (0, 2, false));
    let through = Layer::new().symlink("a", "below").file("a/b", "");
    assert_eq!(facts(&through), (1, 0, false));
}

#[test]
fn device_left_out_of_an_overlay_layer_hides_what_is_below() {
    let place = Place::new();
    let skip = Options {
        nodes: Nodes::Skip,
        whiteouts: Whiteouts::OverlayUser,
        ..Options::for_caller("")
    };
    let layer = Layer::new().entry(EntryType::Char, "null", b"", |header| {
        header.set_device_major(1).unwrap();
        header.set_device_minor(3).unwrap();
    });
    assert_eq!(place.apply_as(&layer, &skip).unwrap().skipped, 1);
    let found = fs::symlink_metadata(place.path("null")).unwrap();
    assert_eq!((found.mode() & 0o170_000, found.rdev()), (0o020_000, 0));
}
