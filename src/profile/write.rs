//! A profile as TOML text: every key that has a value, in the order of `format`. Comments of a file are not kept.

use std::fmt::{self, Write};

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::{Profile, SeccompRule};
use crate::error::{self, Doing, is_steering};

/// Longer lines are broken between the items of a list.
const WIDTH: usize = 120;

/// The text of a file that means the same as `profile`.
///
/// # Errors
/// None that is known: a profile is plain data.
pub fn to_toml(profile: &Profile) -> error::Result<String> {
    let json = serde_json::to_string(profile).doing(|| "write a profile")?;
    let node: Node = serde_json::from_str(&json).doing(|| "write a profile")?;
    let mut text = String::new();
    if let Node::Table(members) = node {
        section(&mut text, "", &members);
    }
    Ok(text)
}

/// What a file says to allow what this rule allows, on top of its other rules or those of what it extends.
///
/// # Errors
/// None that is known: a rule is plain data.
pub fn allowance_to_toml(rule: &SeccompRule) -> error::Result<String> {
    let entries = if rule.args.is_empty() {
        let names: Vec<String> = rule.names.iter().map(|name| quoted(name)).collect();
        names.join(", ")
    } else {
        let json = serde_json::to_string(rule).doing(|| "write a rule")?;
        let mut node: Node = serde_json::from_str(&json).doing(|| "write a rule")?;
        if let Node::Table(members) = &mut node {
            members.retain(|(key, _)| ["names", "args"].contains(&key.as_str()));
        }
        inline("allow", &node)
    };
    Ok(format!("[seccomp]\nallow = [{entries}]\n"))
}

/// A value with the members of tables in the order of the types, which serde_json's own tree loses.
enum Node {
    Nothing,
    Bool(bool),
    Number(u64),
    Text(String),
    List(Vec<Node>),
    Table(Vec<(String, Node)>),
}

/// A table under its header: first its own values, then the tables below.
fn section(text: &mut String, path: &str, members: &[(String, Node)]) {
    let is_top = path.is_empty();
    let below = |node: &Node| match node {
        Node::Table(_) => is_top,
        Node::List(items) => !is_top && matches!(items.first(), Some(Node::Table(_))),
        _ => false,
    };
    for (key, node) in members.iter().filter(|(_, node)| !below(node)) {
        member(text, key, node);
    }
    for (key, node) in members.iter().filter(|(_, node)| below(node)) {
        let path = if is_top {
            bare(key)
        } else {
            format!("{path}.{}", bare(key))
        };
        match node {
            Node::Table(members) if has_value(node) => {
                let _ = write!(text, "\n[{path}]\n");
                section(text, &path, members);
            }
            Node::List(items) => items.iter().for_each(|item| array_item(text, &path, item)),
            _ => {}
        }
    }
}

fn array_item(text: &mut String, path: &str, item: &Node) {
    let _ = write!(text, "\n[[{path}]]\n");
    if let Node::Table(members) = item {
        for (key, node) in members {
            member(text, key, node);
        }
    }
}

fn member(text: &mut String, key: &str, node: &Node) {
    let is_left_out = match node {
        // A list of tests that is empty tests nothing; other empty lists permit nothing.
        Node::List(items) => key == "args" && items.is_empty(),
        node => !has_value(node),
    };
    if is_left_out {
        return;
    }
    let line = format!("{} = {}", bare(key), inline(key, node));
    match node {
        Node::List(items) if line.chars().count() > WIDTH => {
            let _ = writeln!(text, "{} = [", bare(key));
            wrapped(text, items.iter().map(|item| inline(key, item)));
            text.push_str("]\n");
        }
        _ => {
            text.push_str(&line);
            text.push('\n');
        }
    }
}

fn wrapped(text: &mut String, items: impl Iterator<Item = String>) {
    let mut line = String::from("   ");
    for item in items {
        if line.chars().count() + item.chars().count() + 2 > WIDTH && line.len() > 3 {
            text.push_str(&line);
            text.push('\n');
            line = String::from("   ");
        }
        let _ = write!(line, " {item},");
    }
    text.push_str(&line);
    text.push('\n');
}

fn has_value(node: &Node) -> bool {
    match node {
        Node::Nothing => false,
        Node::Table(members) => members.iter().any(|(_, node)| has_value(node)),
        _ => true,
    }
}

fn inline(key: &str, node: &Node) -> String {
    match node {
        Node::Nothing => String::new(),
        Node::Bool(value) => value.to_string(),
        // As programs' headers have them.
        Node::Number(value) if *value > 9 && ["mask", "one-of", "none-of"].contains(&key) => {
            format!("{value:#x}")
        }
        Node::Number(value) => value.to_string(),
        Node::Text(value) => quoted(value),
        Node::List(items) => {
            let items: Vec<String> = items.iter().map(|item| inline(key, item)).collect();
            format!("[{}]", items.join(", "))
        }
        Node::Table(members) => {
            let with_value = members.iter().filter(|(_, node)| has_value(node));
            let members: Vec<String> = with_value
                .map(|(key, node)| format!("{} = {}", bare(key), inline(key, node)))
                .collect();
            format!("{{ {} }}", members.join(", "))
        }
    }
}

fn bare(key: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !key.is_empty() && key.chars().all(is_bare) {
        key.to_owned()
    } else {
        quoted(key)
    }
}

/// A basic string of TOML, with nothing in it that a terminal obeys.
fn quoted(value: &str) -> String {
    let mut text = String::from("\"");
    for c in value.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            c if is_steering(c) => {
                let _ = write!(text, "\\u{:04x}", u32::from(c));
            }
            c => text.push(c),
        }
    }
    text.push('"');
    text
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Tree)
    }
}

struct Tree;

impl<'de> Visitor<'de> for Tree {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of a profile")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Nothing)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Node::Table(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::parse;

    #[test]
    fn what_is_written_reads_as_the_same_profile() {
        for name in Profile::names() {
            let profile = Profile::builtin(name).unwrap();
            let text = to_toml(&profile).unwrap();
            assert_eq!(parse("x", &text).unwrap(), profile, "{text}");
            assert!(
                text.lines().all(|line| line.chars().count() <= 160),
                "{text}"
            );
        }
    }

    #[test]
    fn text_and_wide_numbers_survive() {
        let text = "name = \"x\"\ndescription = \"a \\\"b\\\" \\\\ \\u009b\"\n\n[seccomp]\n\
                    default-action = \"allow\"\ndefault-errno = \"EPERM\"\narchitectures = [\"native\"]\n\n\
                    [[seccomp.rules]]\nnames = [\"read\"]\naction = \"errno\"\n\
                    args = [{ index = 1, mask = 0xffffffffffffffff, one-of = [0xfffffffffffffff0] }]\nreason = \"r\"\n";
        let profile = parse("x", text).unwrap();
        let written = to_toml(&profile).unwrap();
        assert!(
            written.ends_with(&text[text.find("[seccomp]").unwrap()..]),
            "{written}"
        );
        assert_eq!(parse("x", &written).unwrap(), profile);
    }
}
