//! Every file of the fuzzing corpus through the function that fuzzing calls: what was found once stays fixed.

use std::fs;
use std::path::Path;

#[path = "fuzz/inputs.rs"]
mod inputs;

/// Runs `check` on each file of one corpus; a panic is the failure.
#[track_caller]
fn each(corpus: &str, check: impl Fn(&[u8])) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fuzz/corpus")
        .join(corpus);
    let mut count = 0;
    for entry in fs::read_dir(dir).unwrap() {
        let mut bytes = fs::read(entry.unwrap().path()).unwrap();
        check(&bytes);
        inputs::repair(&mut bytes);
        check(&bytes);
        count += 1;
    }
    assert!(count > 4, "{count} files");
}

#[test]
fn layers_of_the_corpus_change_nothing_outside() {
    each("layer", inputs::layer);
}

#[test]
fn images_of_the_corpus_are_read_or_refused() {
    each("image", inputs::image);
}

#[test]
fn documents_of_the_corpus_are_read_or_refused() {
    each("documents", inputs::documents);
}
