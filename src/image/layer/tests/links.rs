//! Hard links: inside the root, to what is there already, and never a way to write into another name.

use super::*;

#[test]
fn hard_links_to_outside_are_refused() {
    // [U3]
    let place = Place::new();
    let out = place.out().join("v");
    for target in [Path::new("../../out/v"), &out, Path::new("../out/v")] {
        let layer = Layer::new().hard_link("l", target).file("l", "rewritten");
        place.apply(&layer).unwrap_err();
        place.assert_outside_is_untouched();
    }
    let through = Layer::new().symlink("s", place.out()).hard_link("l", "s/v");
    assert_eq!(
        place.error(&through),
        "unpack \"l\": a hard link to \"s/v\", which does not exist before it"
    );
    place.assert_outside_is_untouched();
}

#[test]
fn hard_link_to_a_symlink_links_the_symlink() {
    // [U3, B66]
    let place = Place::new();
    let layer = Layer::new()
        .symlink("s", place.out().join("v"))
        .hard_link("l", "s")
        .file("l", "rewritten");
    place.apply(&layer).unwrap();
    assert_eq!(place.text("l"), "rewritten");
    place.assert_outside_is_untouched();
    place.apply(&Layer::new().hard_link("m", "s")).unwrap();
    assert_eq!(
        fs::read_link(place.path("m")).unwrap(),
        place.out().join("v")
    );
    place.assert_outside_is_untouched();
}

#[test]
fn hard_links_of_one_layer_share_a_file() {
    // [B66]
    let place = Place::new();
    place
        .apply(&Layer::new().file("d/a", "x").hard_link("b", "/d/a"))
        .unwrap();
    let inode = |name| fs::metadata(place.path(name)).unwrap().ino();
    assert_eq!(inode("d/a"), inode("b"));
}

#[test]
fn overwriting_one_name_leaves_the_other() {
    // [B66: containerd e2269f2ae]
    let place = Place::new();
    place
        .apply(
            &Layer::new()
                .file("a", "old")
                .hard_link("b", "a")
                .hard_link("c", "a"),
        )
        .unwrap();
    place
        .apply(&Layer::new().file("b", "new").file(".wh.c", ""))
        .unwrap();
    assert_eq!(place.text("a"), "old");
    assert_eq!(place.text("b"), "new");
    assert_eq!(place.names(""), ["a", "b"]);
}

#[test]
fn hard_links_reach_the_layers_below() {
    // [B66]
    let place = Place::new();
    place.apply(&Layer::new().file("a", "x")).unwrap();
    place
        .apply(&Layer::new().hard_link("b", "a").file(".wh.a", ""))
        .unwrap();
    assert_eq!(place.names(""), ["b"]);
    assert_eq!(place.text("b"), "x");
}

#[test]
fn hard_links_forward_to_directories_and_to_themselves_are_refused() {
    // [B66]
    let layers = [
        (
            Layer::new().hard_link("l", "later").file("later", ""),
            "a hard link to \"later\", which does not exist before it",
        ),
        (
            Layer::new().dir("d").hard_link("l", "d"),
            "a hard link to \"d\": a directory",
        ),
        (
            Layer::new().file("l", "").hard_link("l", "./l"),
            "a hard link to itself",
        ),
        (
            Layer::new().hard_link("l", "."),
            "a hard link to \".\": the root",
        ),
    ];
    for (layer, cause) in layers {
        let place = Place::new();
        assert_eq!(place.error(&layer), format!("unpack \"l\": {cause}"));
    }
}
