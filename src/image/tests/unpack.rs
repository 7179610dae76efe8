//! The layers of an image unpacked together and apart: what is shared, and what ends when one of them fails.

use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;

use super::*;
use crate::image::layer::{Budget, Limits, Whiteouts};

/// An archive of empty files.
fn empty_files(names: impl IntoIterator<Item = String>) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for name in names {
        append(&mut tar, &name, b"");
    }
    tar.into_inner().unwrap()
}

/// An image of these layers in `dir`, and an empty directory for each.
fn image_of(dir: &Path, layers: &[Vec<u8>]) -> (Image, Vec<PathBuf>) {
    let mut files = Files::new();
    let layers: Vec<_> = layers.iter().map(|layer| (LAYER, &layer[..])).collect();
    let manifest = files.image("amd64", &layers);
    files.index(&[manifest]);
    let image = open(&files.write_directory(&dir.join("image"))).unwrap();
    let places: Vec<_> = (0..layers.len())
        .map(|index| dir.join(format!("{index}")))
        .collect();
    places.iter().for_each(|path| fs::create_dir(path).unwrap());
    (image, places)
}

fn apart(
    image: &Image,
    places: &[PathBuf],
    limits: Limits,
    progress: &Progress,
) -> Result<Vec<layer::Applied>> {
    let roots: Vec<_> = places
        .iter()
        .map(|path| fs::File::open(path).unwrap())
        .collect();
    let layers: Vec<_> = roots.iter().map(AsFd::as_fd).enumerate().collect();
    let budget = Budget::new(limits);
    unpack_apart(image, &layers, Whiteouts::Overlay, &budget, progress)
}

fn count(dir: &Path) -> usize {
    fs::read_dir(dir).unwrap().count()
}

#[test]
fn layers_apart_keep_their_whiteouts_and_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let lower = empty_files(["a".into(), "b".into()]);
    let upper = empty_files([".wh.a".into()]);
    let (image, places) = image_of(dir.path(), &[lower.clone(), upper.clone()]);
    let progress = Progress::default();
    let applied = apart(&image, &places, Limits::default(), &progress).unwrap();
    let entries: Vec<_> = applied.iter().map(|applied| applied.entries).collect();
    assert_eq!(entries, [2, 1]);
    let whiteout = fs::symlink_metadata(places[1].join("a")).unwrap();
    assert!(whiteout.file_type().is_char_device());
    assert!(places[0].join("a").is_file());
    let stored = (lower.len() + upper.len()) as u64;
    assert_eq!((progress.layers(), progress.of_layers()), (2, 2));
    assert_eq!((progress.bytes(), progress.of_bytes()), (stored, stored));
    // A store that has the lower layer already.
    let again = dir.path().join("again");
    fs::create_dir(&again).unwrap();
    let again = fs::File::open(again).unwrap();
    let only = [(1, again.as_fd())];
    let (budget, whiteouts) = (Budget::default(), Whiteouts::Overlay);
    let applied = unpack_apart(&image, &only, whiteouts, &budget, &Progress::default()).unwrap();
    assert_eq!((applied.len(), applied[0].entries), (1, 1));
}

#[test]
fn a_hundred_layers_apart_are_all_there() {
    let dir = tempfile::tempdir().unwrap();
    let layers: Vec<_> = (0..100)
        .map(|number| empty_files([format!("f{number}")]))
        .collect();
    let (image, places) = image_of(dir.path(), &layers);
    let applied = apart(&image, &places, Limits::default(), &Progress::default()).unwrap();
    assert_eq!(applied.len(), 100);
    for (number, place) in places.iter().enumerate() {
        assert_eq!(count(place), 1);
        assert!(place.join(format!("f{number}")).exists());
    }
}

#[test]
fn layers_apart_share_one_budget() {
    let dir = tempfile::tempdir().unwrap();
    let layers = ["a", "b"].map(|name| empty_files((0..50).map(|n| format!("{name}{n}"))));
    let (image, places) = image_of(dir.path(), &layers);
    let mut limits = Limits::default();
    limits.set("entries", "99").unwrap();
    let error = apart(&image, &places, limits, &Progress::default()).unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with("unpack \"") && text.contains("of layer \"sha256:"),
        "{text}"
    );
    assert!(
        text.ends_with("more than 99 entries (limit `entries`)"),
        "{text}"
    );
    assert_eq!(
        error.try_this(),
        Some("raise `entries` if the image is to be trusted")
    );
}

#[test]
fn first_failure_ends_the_other_layers() {
    let dir = tempfile::tempdir().unwrap();
    let slow = empty_files((0..60_000).map(|number| format!("f{number}")));
    let damaged = empty_files(["a".into()]);
    let (image, places) = image_of(dir.path(), &[slow, damaged.clone()]);
    let digest = Digest::sha256(&damaged);
    let mut wrong = damaged;
    wrong[0] ^= 1;
    let path = dir.path().join("image").join(digest.blob_path());
    fs::write(path, wrong).unwrap();
    let error = apart(&image, &places, Limits::default(), &Progress::default()).unwrap_err();
    let text = error.to_string();
    let expected = format!("unpack the first entry of layer \"{digest}\": ");
    assert!(text.starts_with(&expected), "{text}");
    assert!(count(&places[0]) < 60_000);
}
