//! docs/spec-conformance.md, docs/attacks.md and docs/odd-inputs.md against the sources: each claim names a test that exists, no field is missing.
//! Not here: the tests that the tables name.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// One row of a Markdown table: its cells, trimmed.
type Row = Vec<String>;

fn in_crate(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The rows of every table in a document whose first cell starts with a backtick.
fn rows(document: &str) -> Vec<Row> {
    let text = fs::read_to_string(in_crate(document)).unwrap();
    text.lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            let line = line.trim().trim_matches('|');
            line.split('|').map(|cell| cell.trim().to_owned()).collect()
        })
        .collect()
}

/// What is between backticks in a cell.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// Every Rust source below a directory.
fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            found.push(path);
        }
    }
}

/// The names of all functions marked `#[test]` in these directories.
fn tests_below(dirs: &[&str]) -> BTreeSet<String> {
    let mut files = Vec::new();
    for dir in dirs {
        sources(&in_crate(dir), &mut files);
    }
    files.iter().flat_map(|file| tests_in(file)).collect()
}

fn tests_in(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    let mut names = Vec::new();
    let mut marked = false;
    for line in text.lines().map(str::trim) {
        if line == "#[test]" {
            marked = true;
        } else if let Some(rest) = line.strip_prefix("fn ")
            && marked
        {
            names.push(rest.split('(').next().unwrap().to_owned());
            marked = false;
        }
    }
    names
}

#[test]
fn each_row_of_the_conformance_table_has_a_status_and_an_existing_test() {
    let tests = tests_below(&["tests", "src"]);
    let mut seen = BTreeSet::new();
    for row in rows("docs/spec-conformance.md") {
        let [pointer, status, proof, ..] = row.as_slice() else {
            panic!("a row without three cells: {row:?}");
        };
        let known = ["honoured", "refused", "not applicable"];
        assert!(known.contains(&status.as_str()), "{pointer}: {status:?}");
        let named = quoted(proof);
        let may_lack = status == "not applicable";
        assert!(may_lack || !named.is_empty(), "{pointer} names no test");
        for name in named {
            assert!(tests.contains(name), "{pointer}: no test {name}");
        }
        assert!(seen.insert(pointer.clone()), "{pointer} is listed twice");
    }
}

#[test]
fn each_field_that_is_read_has_a_row_in_the_conformance_table() {
    let rows = rows("docs/spec-conformance.md");
    let listed: BTreeSet<&str> = rows.iter().map(|row| quoted(&row[0])[0]).collect();
    let mut structs = BTreeMap::new();
    for entry in fs::read_dir(in_crate("src/spec")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            structs.extend(fields(&fs::read_to_string(path).unwrap()));
        }
    }
    let mut read = BTreeSet::new();
    pointers("Config", "", &structs, &mut read);
    assert!(
        read.len() > 150,
        "the sources were not understood: {read:?}"
    );
    let missing: Vec<_> = read
        .iter()
        .filter(|pointer| !listed.contains(pointer.as_str()))
        .collect();
    assert!(missing.is_empty(), "no row for {missing:?}");
}

/// The fields of each public struct in a source: their JSON names and their types.
fn fields(source: &str) -> BTreeMap<String, Vec<(String, String)>> {
    let mut structs = BTreeMap::new();
    let mut current: Option<(String, Vec<(String, String)>)> = None;
    let mut renamed = None;
    for line in source.lines() {
        if let Some(name) = line.strip_prefix("pub struct ") {
            let name = name.split([' ', '<']).next().unwrap();
            current = Some((name.to_owned(), Vec::new()));
        } else if line == "}" {
            structs.extend(current.take());
        } else if let Some((_, name)) = line.split_once("rename = \"") {
            renamed = Some(name.split('"').next().unwrap().to_owned());
        } else if let Some((_, list)) = &mut current
            && let Some(field) = line.trim().strip_prefix("pub ")
        {
            let (name, kind) = field.trim_end_matches(',').split_once(": ").unwrap();
            let name = renamed.take().unwrap_or_else(|| camel_case(name));
            list.push((name, kind.to_owned()));
        }
    }
    structs
}

fn camel_case(name: &str) -> String {
    let mut words = name.trim_start_matches("r#").split('_');
    let mut result = words.next().unwrap().to_owned();
    for word in words {
        let (first, rest) = word.split_at(1);
        result += &first.to_uppercase();
        result += rest;
    }
    result
}

/// Adds the pointers of all leaves and containers below a type; `[]` is any index, `{}` any key.
fn pointers(
    kind: &str,
    at: &str,
    structs: &BTreeMap<String, Vec<(String, String)>>,
    found: &mut BTreeSet<String>,
) {
    let inner = |prefix: &str| {
        kind.strip_prefix(prefix)
            .and_then(|rest| rest.strip_suffix('>'))
    };
    if let Some(kind) = inner("Option<") {
        pointers(kind, at, structs, found);
    } else if let Some(kind) = inner("Vec<") {
        pointers(kind, &format!("{at}/[]"), structs, found);
    } else if let Some(kind) = inner("BTreeMap<String, ") {
        pointers(kind, &format!("{at}/{{}}"), structs, found);
    } else if let Some(list) = structs.get(kind) {
        for (name, kind) in list {
            let at = format!("{at}/{name}");
            found.insert(at.clone());
            pointers(kind, &at, structs, found);
        }
    }
}

/// Each row of a table of three cells names tests that exist, or says why there is none.
#[track_caller]
fn each_row_is_proved(document: &str) {
    let tests = tests_below(&["tests", "src"]);
    let rows = rows(document);
    assert!(rows.len() > 30, "the table was not understood: {rows:?}");
    for row in rows {
        let [id, _what, proof] = row.as_slice() else {
            panic!("a row without three cells: {row:?}");
        };
        let named = quoted(proof);
        if named.is_empty() {
            assert!(proof.starts_with("not here: "), "{id}: {proof:?}");
        }
        for name in named {
            assert!(tests.contains(name), "{id}: no test {name}");
        }
    }
}

#[test]
fn each_row_of_the_attack_table_has_an_existing_test_or_a_reason() {
    each_row_is_proved("docs/attacks.md");
}

#[test]
fn each_row_of_the_odd_inputs_table_has_an_existing_test_or_a_reason() {
    each_row_is_proved("docs/odd-inputs.md");
}

#[test]
fn each_attack_test_is_in_the_attack_table() {
    let text = fs::read_to_string(in_crate("docs/attacks.md")).unwrap();
    let mut files = Vec::new();
    sources(&in_crate("tests"), &mut files);
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap();
        if name.starts_with("escape_") {
            for test in tests_in(&file) {
                assert!(text.contains(&format!("`{test}`")), "{test} is not listed");
            }
        }
    }
}

#[test]
fn the_sources_reader_understands_renames_and_containers() {
    let source = "pub struct A {\n    #[serde(\n        rename = \"bID\",\n    )]\n    pub b_id: Option<Vec<B>>,\n}\n\
                  pub struct B {\n    pub r#final: u32,\n    pub two_words: BTreeMap<String, C>,\n}\n";
    let mut found = BTreeSet::new();
    pointers("A", "", &fields(source), &mut found);
    let expected = ["/bID", "/bID/[]/final", "/bID/[]/twoWords"];
    assert_eq!(
        found.iter().collect::<Vec<_>>(),
        expected.iter().collect::<Vec<_>>()
    );
}
