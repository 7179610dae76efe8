//! What the image store shows of an image is what unpacking makes, object by object.
//! Not here: what the store keeps and refuses (store.rs).

use crate::harness::Bundle;
use crate::layered::{Image, Layer, base};
use crate::store::{assert_idle, launch};

/// Every object with type, mode, owner, times and target, and what is in the files.
const WALK: &str = "find / -path /proc -prune -o -path /sys -prune -o -path /dev -prune -o -path /tmp -prune \
    -o ! -path / -exec stat -c '%N %f %u %g %Y' {} \\; ; stat -c '%n %f %u %g' /; \
    find / -path /proc -prune -o -path /sys -prune -o -path /dev -prune -o -path /tmp -prune \
    -o -type f -exec sha256sum {} \\;";

#[track_caller]
fn shows_what_unpacking_makes(layers: &[Vec<u8>]) {
    let bundle = Bundle::new();
    let image = Image::new(&bundle, "image", layers);
    let walk = |flags: &[&str]| {
        let out = launch(&bundle, &image, &[&["--user", "0:0"], flags].concat(), WALK).output();
        let lines = out.lines();
        let mut lines: Vec<String> = lines.into_iter().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let flat = walk(&["--no-store"]);
    assert!(flat.len() > 12, "{flat:#?}");
    for time in ["first", "second"] {
        assert_eq!(walk(&[]), flat, "{time}");
    }
    assert_idle(&bundle);
}

#[test]
fn whiteouts_hide_in_the_overlay_what_they_remove_from_a_tree() {
    shows_what_unpacking_makes(&[
        base()
            .file("gone", "x")
            .dir("emptied")
            .file("emptied/a", "a")
            .dir("emptied/below")
            .file("emptied/below/b", "b")
            .dir("replaced")
            .file("replaced/old", "old")
            .file("becomes-dir", "x")
            .dir("becomes-file")
            .file("becomes-file/x", "x")
            .symlink("link", "emptied")
            .end(),
        Layer::new()
            .file(".wh.gone", "")
            .dir("emptied")
            .file("emptied/.wh..wh..opq", "")
            .file("emptied/new", "new")
            .file(".wh.replaced", "")
            .dir("replaced")
            .file("replaced/new", "new")
            .file(".wh.becomes-dir", "")
            .dir("becomes-dir")
            .file("becomes-dir/y", "y")
            .file("becomes-file", "z")
            .dir("link")
            .file("link/z", "z")
            .file(".wh.never-was", "")
            .end(),
        Layer::new()
            .dir_mode("./", 0o711)
            .file("gone", "again")
            .dir_mode("emptied", 0o700)
            .file("emptied/.wh.new", "")
            .hard_link("twice", "gone")
            .end(),
    ]);
}

#[test]
fn a_directory_in_the_place_of_what_is_none_shows_nothing_of_the_layers_below() {
    let below = Layer::new().dir("a").file("a/below", "x").dir("b");
    let below = below.file("b/below", "x").dir("c").file("c/below", "x");
    let layer = Layer::new().file("a", "").dir("a").file("a/own", "x");
    let layer = layer.symlink("b", "a").dir("b").dir("c");
    let layer = layer.file("c", "").dir("c").file("c/own", "x");
    shows_what_unpacking_makes(&[base().end(), below.end(), layer.end()]);
}

#[test]
fn a_whiteout_is_of_what_is_there_not_of_what_was() {
    let below = Layer::new().dir("a").dir("a/b").file("a/b/c", "x");
    let layer = Layer::new().dir("a").dir("a/b").dir("a/b/c");
    let layer = layer.file("a", "").dir("a").dir("a/b").file("a/b/d", "");
    let above = Layer::new().dir("a").dir("a/b").file("a/b/e", "");
    let layer = layer.file("a/b/.wh.c", "");
    shows_what_unpacking_makes(&[base().end(), below.end(), layer.end(), above.end()]);
}

#[test]
fn a_layer_that_leaves_out_parents_shows_those_below_as_they_are() {
    shows_what_unpacking_makes(&[
        base()
            .dir_mode("mode", 0o710)
            .dir("usr")
            .dir("usr/lib")
            .symlink("lib", "usr/lib")
            .file("target", "x")
            .end(),
        Layer::new()
            .file("mode/inside", "a")
            .file("lib/follows-the-link", "b")
            .hard_link("hard", "target")
            .end(),
        Layer::new().dir("mode2").file("mode2/x", "c").end(),
    ]);
}

#[test]
fn equal_layers_are_mounted_once() {
    let twice = Layer::new().file(".wh.x", "").file("y", "y").end();
    shows_what_unpacking_makes(&[
        base().file("x", "x").end(),
        twice.clone(),
        Layer::new().file("x", "again").file(".wh.y", "").end(),
        twice,
    ]);
}

#[test]
fn more_layers_than_fit_the_options_of_a_mount_are_shown_all_the_same() {
    let mut layers = vec![base().end()];
    layers.extend((0..150).map(|i| {
        Layer::new()
            .file(&format!("f{i}"), "x")
            .file("last", &i.to_string())
            .end()
    }));
    shows_what_unpacking_makes(&layers);
}
