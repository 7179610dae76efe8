//! Links of the documentation: the file is there, and the heading in it. Not here: addresses of other hosts.

use std::fs;
use std::path::Path;

use super::page::{crate_dir, names};

#[test]
fn links_of_the_documentation_lead_to_files_and_headings_that_exist() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for name in names().iter().map(String::as_str).chain(["CHANGELOG.md"]) {
        let path = crate_dir().join(name);
        let text = fs::read_to_string(&path).unwrap();
        for link in links(&prose(&text)) {
            count += 1;
            if !leads_somewhere(&path, &link) {
                wrong.push(format!("{name}: {link}"));
            }
        }
    }
    assert!(count > 30, "only {count} links were found");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn leads_somewhere(page: &Path, link: &str) -> bool {
    if link.contains("://") {
        return true;
    }
    let (file, heading) = link.split_once('#').unwrap_or((link, ""));
    let target = match file {
        "" => page.to_owned(),
        file => page.parent().unwrap().join(file),
    };
    match fs::read_to_string(&target) {
        Ok(text) => heading.is_empty() || headings(&text).any(|anchor| anchor == heading),
        Err(_) => target.is_dir() && heading.is_empty(),
    }
}

/// The text without fenced blocks and without code in lines.
fn prose(text: &str) -> String {
    let outside: Vec<&str> = text.split("\n```").step_by(2).collect();
    let words: Vec<&str> = outside
        .iter()
        .flat_map(|t| t.split('`').step_by(2))
        .collect();
    words.concat()
}

fn links(text: &str) -> Vec<String> {
    let ends = text.split("](").skip(1);
    ends.filter_map(|rest| Some(rest.split_once(')')?.0.to_owned()))
        .collect()
}

/// The anchors that GitHub gives headings.
fn headings(text: &str) -> impl Iterator<Item = String> {
    let lines = text.lines().filter(|line| line.starts_with('#'));
    lines.map(|line| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = title
            .chars()
            .filter(|&c| c.is_alphanumeric() || " -_".contains(c));
        kept.collect::<String>().replace(' ', "-")
    })
}
