//! A page of the documentation: its fenced blocks, the commands in them, and what it shows of their output.
//! A block `console` has commands after `$ ` (and `> `, where one goes on) with their output below; `sh` has commands
//! alone; other languages have no commands. A comment on the line above a block says how it is run:
//! `<!-- as anna -->`, or `<!-- not run: REASON -->`, which may go on with `; instead: COMMAND`.

use std::fs;
use std::path::{Path, PathBuf};

/// A page, and where its blocks are.
pub(crate) struct Page {
    /// Its path below the crate.
    pub(crate) name: String,
    pub(crate) blocks: Vec<Block>,
}

/// A fenced block.
pub(crate) struct Block {
    /// The line of its fence, from 1.
    pub(crate) line: usize,
    pub(crate) language: String,
    pub(crate) text: Vec<String>,
    pub(crate) order: Order,
}

/// How a block is run.
#[derive(Clone)]
pub(crate) enum Order {
    Run,
    /// By this user.
    As(String),
    Not {
        reason: String,
        instead: Option<String>,
    },
}

/// One command, and what the page shows of its output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Command {
    /// Its line, from 1.
    pub(crate) line: usize,
    /// What a shell reads.
    pub(crate) text: String,
    /// The lines that are shown; `None` where none are meant to be.
    pub(crate) shown: Option<Vec<String>>,
}

/// The languages of blocks without commands.
pub(crate) const DATA: [&str; 4] = ["json", "text", "toml", "yaml"];

/// The crate's directory.
pub(crate) fn crate_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// README.md and the pages in docs.
pub(crate) fn names() -> Vec<String> {
    let entries = fs::read_dir(crate_dir().join("docs")).unwrap();
    let files = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let pages = files.filter(|file| PathBuf::from(file).extension().is_some_and(|e| e == "md"));
    let mut names: Vec<String> = pages.map(|file| format!("docs/{file}")).collect();
    names.push("README.md".into());
    names.sort();
    names
}

impl Page {
    pub(crate) fn read(name: &str) -> Self {
        let text = fs::read_to_string(crate_dir().join(name)).unwrap();
        Self {
            name: name.to_owned(),
            blocks: blocks(&text),
        }
    }
}

fn blocks(text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut inside = false;
    let mut above = "";
    for (number, line) in (1..).zip(text.lines()) {
        let fence = line.strip_prefix("```");
        match (fence, inside) {
            (Some(_), true) => inside = false,
            (Some(language), false) => {
                inside = true;
                blocks.push(Block {
                    line: number,
                    language: language.to_owned(),
                    text: Vec::new(),
                    order: Order::of(above),
                });
            }
            (None, true) => blocks.last_mut().unwrap().text.push(line.to_owned()),
            (None, false) => {}
        }
        above = line;
    }
    assert!(!inside, "the last block has no end");
    blocks
}

impl Order {
    fn of(above: &str) -> Self {
        let comment = above.strip_prefix("<!-- ");
        let Some(words) = comment.and_then(|comment| comment.strip_suffix(" -->")) else {
            return Self::Run;
        };
        if let Some(user) = words.strip_prefix("as ") {
            return Self::As(user.to_owned());
        }
        let words = words.strip_prefix("not run: ");
        let words = words.unwrap_or_else(|| panic!("an order is expected in {above:?}"));
        match words.split_once("; instead: ") {
            Some((reason, instead)) => Self::Not {
                reason: reason.to_owned(),
                instead: Some(instead.to_owned()),
            },
            None => Self::Not {
                reason: words.to_owned(),
                instead: None,
            },
        }
    }
}

impl Block {
    /// Its commands; none where its language has none.
    pub(crate) fn commands(&self) -> Vec<Command> {
        match self.language.as_str() {
            "console" => self.of_console(),
            "sh" => self.of_sh(),
            _ => Vec::new(),
        }
    }

    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (self.line + 1..).zip(self.text.iter().map(String::as_str))
    }

    fn of_console(&self) -> Vec<Command> {
        let mut commands: Vec<Command> = Vec::new();
        for (line, text) in self.lines() {
            if let Some(text) = text.strip_prefix("$ ") {
                commands.push(Command {
                    line,
                    text: text.to_owned(),
                    shown: Some(Vec::new()),
                });
                continue;
            }
            let last = commands.last_mut().expect("a command comes first");
            let shown = last.shown.as_mut().expect("of a console");
            let more = text.strip_prefix('>');
            match more.and_then(|more| more.strip_prefix(' ').or(more.is_empty().then_some(more))) {
                Some(more) if shown.is_empty() => last.text = format!("{}\n{more}", last.text),
                _ => shown.push(text.to_owned()),
            }
        }
        commands
    }

    fn of_sh(&self) -> Vec<Command> {
        let mut commands: Vec<Command> = Vec::new();
        let mut until = None;
        let mut goes_on = false;
        for (line, text) in self.lines() {
            if goes_on || until.is_some() {
                let last = commands.last_mut().expect("it goes on");
                last.text = format!("{}\n{text}", last.text);
                if until.as_deref() == Some(text) {
                    until = None;
                }
            } else if !text.is_empty() && !text.starts_with('#') {
                until = here_document(text);
                commands.push(Command {
                    line,
                    text: text.to_owned(),
                    shown: None,
                });
            }
            goes_on = until.is_none() && text.ends_with('\\');
        }
        commands
    }
}

/// The last line of a here-document that begins in this line.
fn here_document(line: &str) -> Option<String> {
    let (_, word) = line.split_once("<<")?;
    let word = word.split_whitespace().next()?;
    Some(word.trim_matches('\'').to_owned())
}

mod tests {
    use super::*;

    #[test]
    fn commands_of_a_page_are_found_with_what_is_shown() {
        let page = "# A\n```console\n$ a \\\n> b\none\n\ntwo\n$ c\n```\n\
            ```sh\n# words\na \\\n  b\ncat <<'E' >f\nx\nE\n\nd\n```\n```toml\n$ no\n```\n";
        let blocks = blocks(page);
        let commands: Vec<Vec<Command>> = blocks.iter().map(Block::commands).collect();
        let command = |line, text: &str, shown: Option<&[&str]>| Command {
            line,
            text: text.to_owned(),
            shown: shown.map(|lines| lines.iter().map(|&line| line.to_owned()).collect()),
        };
        let console = vec![
            command(3, "a \\\nb", Some(&["one", "", "two"])),
            command(8, "c", Some(&[])),
        ];
        let sh = vec![
            command(12, "a \\\n  b", None),
            command(14, "cat <<'E' >f\nx\nE", None),
            command(18, "d", None),
        ];
        assert_eq!(commands, [console, sh, vec![]]);
    }
}
