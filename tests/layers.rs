//! The shape of the source: imports go down the list in src/lib.rs, files and functions stay short, `unsafe` stays in
//! `sys`. A scanner, not a parser: it knows comments, literals, braces and words, which is enough for these claims.

use std::fs;
use std::path::{Path, PathBuf};

const LONGEST_FILE: usize = 600;
const LONGEST_FUNCTION: usize = 60;

/// One source file: its path below the crate, its text, and the text with comments and literals blanked.
struct Source {
    path: String,
    text: String,
    code: String,
}

#[test]
fn imports_go_down_the_list_in_lib_rs() {
    let layers = layers();
    let mut wrong = Vec::new();
    for source in sources("src") {
        let Some(own) = layer_of(&source.path) else {
            continue;
        };
        let Some(height) = layers.iter().position(|layer| *layer == own) else {
            wrong.push(format!("{}: {own} is not in the list", source.path));
            continue;
        };
        for import in imports(&source.code) {
            match layers.iter().position(|layer| *layer == import) {
                Some(below) if below < height => {
                    wrong.push(format!(
                        "{}: {own} imports {import}, which is above it",
                        source.path
                    ));
                }
                _ => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn nothing_reaches_past_its_parent_module() {
    let found = lines_with(&sources("src"), |line| line.contains("super::super"));
    assert!(found.is_empty(), "write crate:: instead: {found:#?}");
}

#[test]
fn no_file_is_longer_than_600_lines() {
    let long: Vec<String> = all_sources()
        .iter()
        .filter(|source| source.text.lines().count() > LONGEST_FILE)
        .map(|source| format!("{}: {} lines", source.path, source.text.lines().count()))
        .collect();
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn no_function_is_longer_than_60_lines() {
    let mut long = Vec::new();
    for source in all_sources() {
        for (name, line, length) in functions(&source.code) {
            if length > LONGEST_FUNCTION {
                long.push(format!("{}:{line}: {name}: {length} lines", source.path));
            }
        }
    }
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn unsafe_is_in_sys_only() {
    let outside: Vec<Source> = sources("src")
        .into_iter()
        .filter(|source| !source.path.starts_with("src/sys/"))
        .collect();
    let found = lines_with(&outside, |line| words(line).any(|word| word == "unsafe"));
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn nothing_outside_tests_unwraps_or_is_left_to_do() {
    let mut product = sources("src");
    product.retain(|source| !source.path.contains("tests"));
    for source in &mut product {
        source.code = without_tests(&source.code);
    }
    let banned = [".unwrap()", "todo!", "dbg!", "unimplemented!"];
    let found = lines_with(&product, |line| {
        banned.iter().any(|word| line.contains(word))
    });
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn each_direct_dependency_has_a_comment_that_says_what_for() {
    let text = fs::read_to_string(crate_dir().join("Cargo.toml")).unwrap();
    let mut is_dependency = false;
    let mut last = "";
    let mut bare = Vec::new();
    let mut count = 0;
    for line in text.lines() {
        if line.starts_with('[') {
            is_dependency = line.ends_with("dependencies]");
        } else if is_dependency && line.contains(" = ") {
            count += 1;
            // One comment may stand above a group, such as a parser and its data.
            let is_explained = last.starts_with('#') || last.contains(" = ");
            if !is_explained {
                bare.push(line);
            }
        }
        last = line;
    }
    assert!(count > 5, "Cargo.toml was not understood");
    assert!(bare.is_empty(), "no comment: {bare:#?}");
}

#[test]
fn the_scanner_sees_what_it_is_for() {
    let text = "use crate::{spec::Config, plan}; // crate::no\nfn f<'a>(x: &'a [u8; 4]) -> char {\n '{'\n}\n\
                #[cfg(test)]\nmod tests {\n fn g() { x.unwrap() }\n}\nconst S: &str = r#\"unsafe \" {\"#; crate::sys::f();";
    let code = blank(text);
    assert_eq!(imports(&code), ["spec", "plan", "sys"]);
    assert_eq!(
        functions(&code),
        [("f".to_owned(), 2, 3), ("g".to_owned(), 7, 1)]
    );
    assert!(!words(&code).any(|word| word == "unsafe"));
    assert!(code.contains(".unwrap()") && !without_tests(&code).contains(".unwrap()"));
    assert_eq!(code.lines().count(), text.lines().count());
}

/// The list in the doc block of src/lib.rs, top to bottom.
fn layers() -> Vec<String> {
    let text = fs::read_to_string(crate_dir().join("src/lib.rs")).unwrap();
    let list: Vec<String> = text
        .lines()
        .skip_while(|line| *line != "//! ```text")
        .skip(1)
        .take_while(|line| *line != "//! ```")
        .map(|line| line.trim_start_matches("//!").trim().to_owned())
        .collect();
    assert!(list.len() > 10, "src/lib.rs has no list of layers");
    list
}

/// `src/plan/step.rs` is part of `plan`, `src/link.rs` of `link`; lib.rs only declares.
fn layer_of(path: &str) -> Option<String> {
    let first = path.strip_prefix("src/")?.split('/').next()?;
    let layer = first.trim_end_matches(".rs");
    (layer != "lib" && layer != "bin").then(|| layer.to_owned())
}

/// The first word of every path into the crate, also in `crate::{a, b::c}`.
fn imports(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for root in ["crate::", "stockade::"] {
        for (at, _) in code.match_indices(root) {
            let rest = &code[at + root.len()..];
            match rest.strip_prefix('{') {
                Some(group) => found.extend(first_words(group)),
                None => found.extend(words(rest).next().map(str::to_owned)),
            }
        }
    }
    found
}

/// The first word of each member of a `use` group, up to its closing brace.
fn first_words(group: &str) -> Vec<String> {
    let mut depth = 0;
    let mut members = vec![String::new()];
    for c in group.chars() {
        match c {
            '}' if depth == 0 => break,
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => members.push(String::new()),
            _ => {}
        }
        members.last_mut().unwrap().push(c);
    }
    members
        .iter()
        .filter_map(|member| words(member).next().map(str::to_owned))
        .collect()
}

/// Name, line and length in lines of every function with a body.
fn functions(code: &str) -> Vec<(String, usize, usize)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let name = words(&code[at + 3..]).next().unwrap_or_default();
        let is_word = code[..at]
            .chars()
            .next_back()
            .is_none_or(|c| !is_word_char(c));
        let Some(opening) = body_or_end(code, at) else {
            continue;
        };
        if !is_word || name.is_empty() || code[opening..].starts_with(';') {
            continue;
        }
        let end = closing(code, opening);
        let line = |at: usize| code[..at].matches('\n').count() + 1;
        found.push((name.to_owned(), line(at), line(end) - line(at) + 1));
    }
    found
}

/// Where the body of the function at `at` begins, or its semicolon is; `[u8; 4]` in its signature is neither.
fn body_or_end(code: &str, at: usize) -> Option<usize> {
    let mut depth = 0;
    for (offset, c) in code[at..].char_indices() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            '{' | ';' if depth == 0 => return Some(at + offset),
            _ => {}
        }
    }
    None
}

/// The code with the bodies of `#[cfg(test)]` modules blanked.
fn without_tests(code: &str) -> String {
    let mut rest = code.to_owned();
    while let Some(at) = rest.find("#[cfg(test)]") {
        let end = match rest[at..].find(['{', ';']) {
            Some(body) if rest[at + body..].starts_with('{') => closing(&rest, at + body),
            Some(body) => at + body,
            None => rest.len() - 1,
        };
        let blanks: String = rest[at..=end].chars().map(blanked).collect();
        rest.replace_range(at..=end, &blanks);
    }
    rest
}

/// The position of the brace that closes the one at `opening`, or the end of the text.
fn closing(code: &str, opening: usize) -> usize {
    let mut depth = 0;
    for (at, c) in code[opening..].char_indices() {
        depth += match c {
            '{' => 1,
            '}' => -1,
            _ => 0,
        };
        if depth == 0 {
            return opening + at;
        }
    }
    code.len() - 1
}

/// The text with comments and literals as blanks, line by line as long as before.
fn blank(text: &str) -> String {
    let mut code = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let previous = code.chars().next_back();
        match skipped(rest, previous) {
            Some(length) => {
                code.extend(rest[..length].chars().map(blanked));
                rest = &rest[length..];
            }
            None => {
                code.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    code
}

/// The length of the comment or literal that begins here, if one does.
fn skipped(rest: &str, previous: Option<char>) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(block_comment(rest));
    }
    if rest.starts_with('r') && previous.is_none_or(|c| !is_word_char(c) || c == 'b' || c == 'c') {
        let hashes = rest[1..].chars().take_while(|c| *c == '#').count();
        if rest[1 + hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let start = 2 + hashes;
            return Some(
                rest[start..]
                    .find(&end)
                    .map_or(rest.len(), |at| start + at + end.len()),
            );
        }
    }
    if rest.starts_with('"') {
        return Some(quoted(rest, '"'));
    }
    let mut after = rest.strip_prefix('\'')?.chars();
    let is_char = after.next() == Some('\\') || after.next() == Some('\'');
    is_char.then(|| quoted(rest, '\''))
}

fn block_comment(rest: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        let step = match rest.as_bytes()[at..] {
            [b'/', b'*', ..] => {
                depth += 1;
                2
            }
            [b'*', b'/', ..] => {
                depth -= 1;
                2
            }
            _ => 1,
        };
        at += step;
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

/// The length of a literal in these quotes.
fn quoted(rest: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

fn blanked(c: char) -> char {
    if c == '\n' { '\n' } else { ' ' }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c| !is_word_char(c))
        .filter(|word| !word.is_empty())
}

fn is_word_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn lines_with(sources: &[Source], is_found: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources {
        for (index, line) in source.code.lines().enumerate() {
            if is_found(line) {
                found.push(format!("{}:{}: {}", source.path, index + 1, line.trim()));
            }
        }
    }
    found
}

fn all_sources() -> Vec<Source> {
    let mut all = sources("src");
    all.extend(sources("tests"));
    all
}

fn sources(below: &str) -> Vec<Source> {
    let mut files = Vec::new();
    rust_files(&crate_dir().join(below), &mut files);
    let read = |file: PathBuf| {
        let text = fs::read_to_string(&file).unwrap();
        let path = file.strip_prefix(crate_dir()).unwrap();
        Source {
            path: path.to_str().unwrap().to_owned(),
            code: blank(&text),
            text,
        }
    };
    files.into_iter().map(read).collect()
}

fn rust_files(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn crate_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
