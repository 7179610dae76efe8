//! A report as aligned text with headings.
//!
//! Every value is escaped before it is written: paths and names come from inside a container.

use std::fmt::Write as _;
use std::io::Write;

use super::page::{Page, Style, plain, widest};
use super::{Appearance, Body, Fact, Report, Section, Value, checks};
use crate::error::{Doing, Result};

/// Lists are wrapped at this column.
const WIDTH: usize = 100;

/// Writes `report` to `out`.
///
/// # Errors
/// A failure of `out`.
pub fn write(out: &mut dyn Write, report: &Report, appearance: Appearance) -> Result<()> {
    let mut page = Page::new(appearance);
    page.report(report);
    out.write_all(page.into_text().as_bytes())
        .doing(|| "write the report")
}

impl Page {
    fn report(&mut self, report: &Report) {
        let title = self.styled(Style::Heading, &plain(&report.title));
        self.line(&title);
        for section in &report.sections {
            self.section(section);
        }
        checks::text::all(self, &report.checks);
    }

    fn section(&mut self, section: &Section) {
        self.heading(section.heading);
        match &section.body {
            Body::Facts(facts) => self.facts(facts),
            Body::Table { columns, rows } => self.table(columns, rows),
            Body::NotVisible(reason) => self.line(&format!("  not visible: {}", plain(reason))),
        }
    }

    fn facts(&mut self, facts: &[Fact]) {
        if facts.is_empty() {
            return self.line("  none");
        }
        let width = widest(facts.iter().map(|fact| fact.name.as_str()));
        for fact in facts {
            let mut lines = match &fact.value {
                Value::One(value) => vec![plain(value)],
                Value::Many(values) => wrapped(values, WIDTH.saturating_sub(width + 4)),
            };
            let first = lines.remove(0);
            self.line(&format!("  {:width$}  {first}", plain(&fact.name)));
            for more in lines {
                self.line(&format!("  {:width$}  {more}", ""));
            }
        }
    }

    fn table(&mut self, columns: &[&str], rows: &[Vec<String>]) {
        if rows.is_empty() {
            return self.line("  none");
        }
        let head: Vec<String> = columns.iter().map(|&column| column.to_owned()).collect();
        let cells: Vec<Vec<String>> = rows
            .iter()
            .map(|row| row.iter().map(|cell| plain(cell)).collect())
            .collect();
        let widths: Vec<usize> = (0..columns.len())
            .map(|i| widest([&head].into_iter().chain(&cells).map(|row| row[i].as_str())))
            .collect();
        let head = self.styled(Style::Faint, &aligned(&head, &widths));
        self.line(&format!("  {head}"));
        for row in &cells {
            self.line(&format!("  {}", aligned(row, &widths)));
        }
    }
}

fn aligned(cells: &[String], widths: &[usize]) -> String {
    let mut line = String::new();
    for (cell, width) in cells.iter().zip(widths) {
        let _ = write!(line, "{cell:width$}  ");
    }
    line
}

fn wrapped(values: &[String], width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for value in values.iter().map(|value| plain(value)) {
        let last = lines.last_mut().expect("there is always a line");
        if last.is_empty() {
            last.push_str(&value);
        } else if last.chars().count() + 1 + value.chars().count() <= width {
            last.push(' ');
            last.push_str(&value);
        } else {
            lines.push(value);
        }
    }
    if values.is_empty() {
        lines[0].push_str("none");
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::checks::Checks;

    fn report() -> Report {
        let section = |heading, body| Section {
            heading,
            key: "x",
            body,
        };
        Report {
            title: "Inside".to_owned(),
            sections: vec![
                section(
                    "Identity",
                    Body::Facts(vec![
                        Fact::one("uid", 1000),
                        Fact::many("groups", Vec::new()),
                    ]),
                ),
                section(
                    "Mounts",
                    Body::Table {
                        columns: &["path", "type"],
                        rows: vec![vec!["/a\u{1b}[2J".to_owned(), "tmpfs".to_owned()]],
                    },
                ),
                section("Limits", Body::NotVisible("no /proc".to_owned())),
                section("Environment", Body::Facts(Vec::new())),
            ],
            checks: Checks {
                tool: "probe",
                subject: "here".to_owned(),
                checks: Vec::new(),
                facts: vec![Fact::one("exposure", "0.0")],
            },
        }
    }

    #[test]
    fn text_is_aligned_under_headings() {
        let mut out = Vec::new();
        write(&mut out, &report(), Appearance::Plain).unwrap();
        let expected = r#"Inside

Identity
  uid     1000
  groups  none

Mounts
  path           type
  "/a\u{1b}[2J"  tmpfs

Limits
  not visible: no /proc

Environment
  none

Summary
  exposure: 0.0
  0 checks: 0 passed, 0 failed
"#;
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn colours_only_where_asked_for_and_never_from_values() {
        let mut out = Vec::new();
        write(&mut out, &report(), Appearance::Coloured).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("\u{1b}[1mIdentity\u{1b}[0m"));
        assert!(!text.contains("\u{1b}[2J"));
    }

    #[test]
    fn long_lists_wrap() {
        let values = ["aaa", "bbb", "ccc"].map(str::to_owned);
        assert_eq!(wrapped(&values, 7), ["aaa bbb", "ccc"]);
    }
}
