//! The specification's own examples of config.json, good and bad ones, in tests/golden/schema.
//! Not here: single fields and their values (src/spec), and whether the kernel follows (confinement_*.rs).

use std::fs;
use std::path::{Path, PathBuf};

/// Name and text of each file in tests/golden/schema/LABEL, in the order of their names.
fn labelled(label: &str) -> Vec<(String, Vec<u8>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/schema");
    let entries = fs::read_dir(dir.join(label)).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ext| ext == "json"));
    paths.sort();
    let read = |path: PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, fs::read(path).unwrap())
    };
    paths.into_iter().map(read).collect()
}

#[test]
fn schema_examples_that_are_good_are_accepted() {
    let good = labelled("good");
    assert!(good.len() >= 9, "only {} examples", good.len());
    for (name, text) in good {
        if let Err(error) = stockade::spec::parse(&text, &name) {
            panic!("{name} is good, and refused: {error}");
        }
    }
}

#[test]
fn schema_examples_that_are_bad_are_refused_by_name() {
    let bad = labelled("bad");
    assert!(bad.len() >= 5, "only {} examples", bad.len());
    for (name, text) in bad {
        let Err(error) = stockade::spec::parse(&text, &name) else {
            panic!("{name} is bad, and accepted");
        };
        let line = error.to_string();
        assert!(line.contains(&name) && !line.contains('\n'), "{line}");
    }
}
