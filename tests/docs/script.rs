//! The script that a page's commands make, and the comparison of what it wrote with what the page shows.

use std::fmt::Write as _;
use std::fs;

use super::page::{Block, Command, Order, Page, crate_dir};
use super::shown::is_shown;
use crate::harness::skip_part;

/// The script for a page: between its commands it tells their exit codes.
pub(crate) struct Script {
    pub(crate) text: String,
    pub(crate) commands: Vec<Command>,
    /// How many blocks are not run.
    pub(crate) left_out: usize,
}

/// Before the number and the exit code of a command that has ended.
const MARK: char = '\u{1e}';

/// Tells the exit code of the command before it, and is no command itself to `$?`.
const TELL: &str =
    r#"tell() { local code=$?; printf '\036%s %s\n' "$1" "$code"; return "$code"; }"#;

impl Script {
    /// `before` is a script in tests/docs.
    pub(crate) fn of(page: &Page, before: &str) -> Self {
        let before = fs::read_to_string(crate_dir().join("tests/docs").join(before)).unwrap();
        let mut script = Self {
            text: format!("exec 2>&1\n{TELL}\nset -e\n{before}\nset +e\ntell -\n"),
            commands: Vec::new(),
            left_out: 0,
        };
        for block in &page.blocks {
            script.add(page, block);
        }
        script
    }

    fn add(&mut self, page: &Page, block: &Block) {
        match &block.order {
            Order::Run => {
                let lines = self.told(block);
                self.text += &lines;
            }
            Order::As(user) => {
                let lines = self.told(block);
                writeln!(
                    self.text,
                    "cat >/tmp/.lines <<'THE END'\n{TELL}\n{lines}THE END"
                )
                .unwrap();
                writeln!(self.text, "as {user} bash /tmp/.lines").unwrap();
            }
            Order::Not { .. } if block.commands().is_empty() => {}
            Order::Not { reason, instead } => {
                self.left_out += 1;
                skip_part(&format!("{}:{}", page.name, block.line), reason);
                if let Some(instead) = instead {
                    writeln!(self.text, "{instead}").unwrap();
                }
            }
        }
    }

    fn told(&mut self, block: &Block) -> String {
        let mut lines = String::new();
        for command in block.commands() {
            writeln!(lines, "{}\ntell {}", command.text, self.commands.len()).unwrap();
            self.commands.push(command);
        }
        lines
    }

    /// What is wrong, by line.
    pub(crate) fn compare(&self, output: &str) -> Vec<String> {
        let mut parts = output.split(MARK);
        let mut said = parts.next().unwrap_or_default();
        let mut wrong = Vec::new();
        let mut ended = 0;
        for part in parts {
            let (end, rest) = part.split_once('\n').unwrap_or((part, ""));
            let (number, code) = end.split_once(' ').unwrap_or((end, ""));
            if let Ok(number) = number.parse::<usize>() {
                ended += 1;
                let next = self.commands.get(number + 1);
                wrong.extend(self.commands[number].problem(said, code, next));
            }
            said = rest;
        }
        if ended < self.commands.len() {
            let Command { line, text, .. } = &self.commands[ended];
            wrong.push(format!("line {line}: $ {text}\nhas not ended:\n{said}"));
        }
        wrong
    }
}

impl Command {
    /// What is wrong with its end. One that fails shows an error, or the next one shows its exit code.
    fn problem(&self, said: &str, code: &str, next: Option<&Self>) -> Option<String> {
        let shown = self.shown.as_deref();
        let shows = |word: &str| shown.is_some_and(|s| s.iter().any(|line| line.contains(word)));
        let is_told = shows("rror") || next.is_some_and(|next| next.text == "echo $?");
        let is_right = shown.is_none_or(|shown| {
            let shown: Vec<&str> = shown.iter().map(String::as_str).collect();
            is_shown(&said.lines().collect::<Vec<_>>(), &shown)
        });
        if is_right && (code == "0" || is_told) {
            return None;
        }
        let Self { line, text, .. } = self;
        Some(format!(
            "line {line}: $ {text}\nexit code {code}, wrote:\n{said}"
        ))
    }
}

mod tests {
    use super::{Command, Script};

    #[test]
    fn what_differs_fails_or_does_not_end_is_wrong() {
        let command = |line, text: &str, shown: Option<&[&str]>| Command {
            line,
            text: text.to_owned(),
            shown: shown.map(|lines| lines.iter().map(|&line| line.to_owned()).collect()),
        };
        let commands = vec![
            command(1, "a", Some(&["one"])),
            command(2, "b", None),
            command(3, "c", Some(&["error: no"])),
            command(4, "d", Some(&[])),
            command(5, "echo $?", Some(&["3"])),
        ];
        let script = Script {
            text: String::new(),
            commands,
            left_out: 0,
        };
        let wrong = |ends: &[&str]| script.compare(&ends.join("\u{1e}"));
        let right = [
            "",
            "- 0\none\n",
            "0 0\nany",
            "1 0\nerror: no\n",
            "2 1\n",
            "3 3\n3\n",
            "4 0\n",
        ];
        assert!(wrong(&right).is_empty(), "{:?}", wrong(&right));
        let mut ends = right;
        ends[1] = "- 0\ntwo\n";
        ends[3] = "1 1\nerror: no\n";
        let expected = [
            "line 1: $ a\nexit code 0, wrote:\ntwo\n",
            "line 2: $ b\nexit code 1, wrote:\nany",
        ];
        assert_eq!(wrong(&ends), expected);
        let expected = ["line 3: $ c\nhas not ended:\nerror: no\n"];
        assert_eq!(wrong(&right[..4]), expected);
    }
}
