//! A report as aligned text with headings.
//!
//! Every value is escaped before it is written: paths and names come from inside a container.

use std::fmt::Write as _;
use std::io::Write;

use super::page::{Page, Style, plain, widest};
use super::{Appearance, Body, Fact, Finding, Outcome, Report, Section, Tally, Value};
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
        let width = widest(report.findings().map(|finding| finding.title));
        for group in &report.groups {
            self.heading(group.heading);
            for finding in &group.findings {
                self.finding(finding, width);
            }
        }
        self.summary(report, &report.tally());
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

    fn finding(&mut self, finding: &Finding, width: usize) {
        let mark = if finding.met { ' ' } else { '!' };
        let style = if finding.met { Style::Good } else { Style::Bad };
        let outcome = self.styled(style, &format!("{:9}", word(finding.outcome)));
        let place = finding
            .place
            .as_deref()
            .map(|place| format!("{}: ", plain(place)));
        self.line(&format!(
            "{mark} {outcome}  {:width$}  {}{}",
            finding.title,
            place.unwrap_or_default(),
            plain(&finding.why)
        ));
    }

    fn summary(&mut self, report: &Report, tally: &Tally) {
        self.heading("Summary");
        self.line(&format!("  {}", acts(tally)));
        if tally.checks > 0 {
            self.line(&format!("  {} checks: {} hold", tally.checks, tally.held));
        }
        self.failed(report, tally);
        let style = if tally.failed.is_empty() {
            Style::Good
        } else {
            Style::Bad
        };
        let Tally {
            refused, forbidden, ..
        } = tally;
        let line = format!("{refused} of {forbidden} forbidden acts were refused");
        let line = self.styled(style, &line);
        self.line("");
        self.line(&line);
    }

    fn failed(&mut self, report: &Report, tally: &Tally) {
        let failed = tally.failed.len();
        if failed == 0 {
            return;
        }
        let plural = if failed == 1 { "" } else { "s" };
        let text = self.styled(Style::Bad, &format!("{failed} expectation{plural} failed:"));
        self.line(&format!("  {text}"));
        for finding in report.findings().filter(|finding| !finding.met) {
            self.line(&format!(
                "    {:6}  {} ({}): {}, {}",
                finding.severity,
                finding.title,
                finding.id,
                word(finding.outcome),
                plain(&finding.why)
            ));
        }
    }
}

fn acts(tally: &Tally) -> String {
    let Tally {
        acts,
        filtered,
        denied,
        open,
        skipped,
        unanswered,
        ..
    } = tally;
    let mut line = format!("{acts} acts tried: {filtered} filtered, {denied} denied, {open} open");
    if !tally.expected_open.is_empty() {
        line.push_str(&format!(
            " (expected open: {})",
            tally.expected_open.join(", ")
        ));
    }
    if *unanswered > 0 {
        line.push_str(&format!(", {unanswered} without an answer"));
    }
    if *skipped > 0 {
        line.push_str(&format!("; {skipped} skipped"));
    }
    line
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Filtered => "FILTERED",
        Outcome::Denied => "DENIED",
        Outcome::Open => "OPEN",
        Outcome::Skipped => "SKIPPED",
        Outcome::NoAnswer => "NO ANSWER",
        Outcome::Holds => "HOLDS",
        Outcome::Broken => "BROKEN",
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
    use crate::report::tests::finding;
    use crate::report::{Group, Want};

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
            groups: vec![Group {
                heading: "Acts",
                findings: vec![
                    finding("mount", Outcome::Filtered, Want::Refused),
                    finding("ptrace", Outcome::Open, Want::Refused),
                    finding("unix", Outcome::Open, Want::Open),
                ],
            }],
        }
    }

    #[test]
    fn text_is_aligned_and_lists_what_failed() {
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

Acts
  FILTERED   mount   EPERM
! OPEN       ptrace  EPERM
  OPEN       unix    EPERM

Summary
  3 acts tried: 1 filtered, 0 denied, 2 open (expected open: unix)
  1 expectation failed:
    high    ptrace (ptrace): OPEN, EPERM

1 of 2 forbidden acts were refused
"#;
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn colours_only_where_asked_for_and_never_from_values() {
        let mut out = Vec::new();
        write(&mut out, &report(), Appearance::Coloured).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("! \u{1b}[31mOPEN     \u{1b}[0m"));
        assert!(!text.contains("\u{1b}[2J"));
    }

    #[test]
    fn long_lists_wrap() {
        let values = ["aaa", "bbb", "ccc"].map(str::to_owned);
        assert_eq!(wrapped(&values, 7), ["aaa bbb", "ccc"]);
    }
}
