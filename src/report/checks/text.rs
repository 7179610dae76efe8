//! Checks as aligned text: a line for each under the heading of its group, a second below what is not as it ought to be.

use super::{Check, Checks, Outcome, Tally};
use crate::report::page::{Page, Style, plain, widest};
use crate::report::{Appearance, Value};

pub(super) fn text(checks: &Checks, appearance: Appearance) -> String {
    let mut page = Page::new(appearance);
    let title = page.styled(Style::Heading, &plain(&checks.subject));
    page.line(&title);
    all(&mut page, checks);
    page.into_text()
}

/// Everything but the title.
pub(in crate::report) fn all(page: &mut Page, checks: &Checks) {
    let width = widest(checks.checks.iter().map(|check| check.title.as_str()));
    let mut group = "";
    for check in &checks.checks {
        if check.group != group {
            group = check.group;
            page.heading(group);
        }
        line(page, check, width);
    }
    page.heading("Summary");
    for fact in &checks.facts {
        let value = match &fact.value {
            Value::One(value) => plain(value),
            Value::Many(values) => plain(&values.join(" ")),
        };
        page.line(&format!("  {}: {value}", fact.name));
    }
    let tally = checks.tally();
    let style = match tally.failed + tally.errors {
        0 => Style::Good,
        _ => Style::Bad,
    };
    let counted = page.styled(style, &counted(&tally));
    page.line(&format!("  {counted}"));
}

fn line(page: &mut Page, check: &Check, width: usize) {
    let (word, style) = match &check.outcome {
        Outcome::Pass => ("ok", Style::Good),
        Outcome::Fail => ("FAIL", Style::Bad),
        Outcome::Error(_) => ("ERROR", Style::Bad),
        Outcome::Skip(_) => ("-", Style::Faint),
    };
    let mark = if check.outcome.is_bad() { '!' } else { ' ' };
    let word = page.styled(style, &format!("{word:5}"));
    let place = check.place.as_ref().map(super::Place::shown);
    let place = place.map_or(String::new(), |place| format!("{}: ", plain(&place)));
    let said = plain(check.outcome.reason().unwrap_or(&check.got));
    page.line(&format!(
        "{mark} {word}  {:width$}  {place}{said}",
        plain(&check.title)
    ));
    if check.outcome.is_bad() {
        let wanted = match check.wanted.as_str() {
            "" => String::new(),
            wanted => format!("wanted: {}", plain(wanted)),
        };
        let parts = [wanted, plain(&check.help)];
        let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        let (severity, id, colon) = (
            check.severity,
            plain(&check.id),
            if parts.is_empty() { "" } else { ": " },
        );
        let parts = parts.join("; ");
        page.line(&format!("         {severity} ({id}){colon}{parts}"));
    }
}

fn counted(tally: &Tally) -> String {
    let Tally {
        checks,
        passed,
        failed,
        skipped,
        errors,
    } = tally;
    let plural = if *checks == 1 { "" } else { "s" };
    let mut text = format!("{checks} check{plural}: {passed} passed, {failed} failed");
    if *errors > 0 {
        text.push_str(&format!(", {errors} without an answer"));
    }
    if *skipped > 0 {
        text.push_str(&format!(", {skipped} skipped"));
    }
    text
}
