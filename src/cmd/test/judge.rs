//! What came of a case against what ought to: one check of a report for each case.

use super::case::{Denial, End, Ended};
use super::file::{Case, Expect, Limit};
use crate::error::{escape, quote};
use crate::names::signal_name;
use crate::report::checks::{Check, Outcome, Place};
use crate::report::{Fact, Severity};

/// What was wanted and what there was in its place.
type Miss = (String, String);

pub(super) fn check(case: &Case, ended: &Ended) -> Check {
    let expect = &case.text.expect;
    let (outcome, misses) = match (&ended.end, &ended.error) {
        (End::TimedOut, _) => {
            let limit = case.text.timeout;
            let miss = (
                format!("an end within {limit:?}"),
                "none by then".to_owned(),
            );
            (Outcome::Fail, vec![miss])
        }
        (End::Interrupted, _) => (Outcome::Error("interrupted".to_owned()), Vec::new()),
        (End::Own, Some(error)) if expect.error_contains.is_empty() => {
            (Outcome::Error(error.clone()), Vec::new())
        }
        (End::Own, _) => {
            let misses = misses(expect, ended);
            match misses.is_empty() {
                true => (Outcome::Pass, misses),
                false => (Outcome::Fail, misses),
            }
        }
    };
    let (wanted, got): (Vec<_>, Vec<_>) = misses.into_iter().unzip();
    let got = match &outcome {
        Outcome::Fail => got.join("; "),
        _ => code(ended.code),
    };
    Check {
        id: id(&case.name),
        group: "Cases",
        title: case.name.clone(),
        severity: Severity::High,
        help: help(&outcome, ended),
        outcome,
        wanted: wanted.join("; "),
        got,
        place: Some(Place {
            line: Some(case.line),
            ..Place::file(case.file.to_string_lossy())
        }),
        facts: vec![
            Fact::one("milliseconds", ended.took.as_millis()),
            Fact::many("denials", ended.denials.iter().map(denial).collect()),
        ],
    }
}

/// Words joined by hyphens.
fn id(name: &str) -> String {
    let lower = name.to_lowercase();
    let words = lower.split(|c: char| !c.is_alphanumeric());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    words.join("-")
}

fn misses(expect: &Expect, ended: &Ended) -> Vec<Miss> {
    let mut misses = Vec::new();
    misses.extend(ending(expect, ended));
    let streams = [
        (
            "stdout",
            &ended.stdout,
            &expect.stdout,
            &expect.stdout_contains,
        ),
        (
            "stderr",
            &ended.stderr,
            &expect.stderr,
            &expect.stderr_contains,
        ),
    ];
    for (name, got, whole, parts) in streams {
        misses.extend(whole.as_ref().and_then(|whole| differing(name, whole, got)));
        misses.extend(parts.iter().filter_map(|part| lacking(name, part, got)));
    }
    let error = ended.error.as_deref().unwrap_or_default();
    let parts = expect.error_contains.iter();
    misses.extend(parts.filter_map(|part| lacking("error", part, error.as_bytes())));
    misses.extend(calls(expect, ended));
    misses.extend(limits(expect, ended));
    misses
}

fn ending(expect: &Expect, ended: &Ended) -> Option<Miss> {
    let wanted = match (expect.exit, expect.signal) {
        (Some(exit), _) => i32::from(exit),
        (None, Some(signal)) => 128 + signal,
        // Of what was refused the code says nothing more.
        (None, None) if !expect.error_contains.is_empty() => return None,
        (None, None) => 0,
    };
    (ended.code != wanted).then(|| (code(wanted), code(ended.code)))
}

/// Above 128 by the signal.
fn code(code: i32) -> String {
    match signal_name(code - 128).filter(|_| code > 128) {
        Some(name) => format!("exit {code} ({name})"),
        None => format!("exit {code}"),
    }
}

/// The first line that is another one.
fn differing(name: &str, wanted: &str, got: &[u8]) -> Option<Miss> {
    if wanted.as_bytes() == got {
        return None;
    }
    let line = |text: Option<&[u8]>| match text {
        None => "no more".to_owned(),
        Some(text) if text.ends_with(b"\n") => shortened(text),
        Some(text) => shortened(text) + " without an end of line",
    };
    let mut wanted = wanted.as_bytes().split_inclusive(|byte| *byte == b'\n');
    let mut got = got.split_inclusive(|byte| *byte == b'\n');
    (1..).find_map(|number| {
        let (wanted, got) = (wanted.next(), got.next());
        let place = format!("{name} line {number}: ");
        (wanted != got).then(|| (place.clone() + &line(wanted), place + &line(got)))
    })
}

fn lacking(name: &str, part: &str, got: &[u8]) -> Option<Miss> {
    let is_there = String::from_utf8_lossy(got).contains(part);
    let wanted = || format!("{} in {name}", quote(part));
    (!is_there).then(|| (wanted(), format!("{name} is {}", shortened(got))))
}

/// Without the end of a line, which would be shown escaped.
fn shortened(text: &[u8]) -> String {
    const MOST: usize = 160;
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    if text.len() <= MOST {
        return quote(text);
    }
    format!("{} and {} bytes", quote(&text[..MOST]), text.len() - MOST)
}

fn calls(expect: &Expect, ended: &Ended) -> Option<Miss> {
    let got = || match ended.denials.is_empty() {
        true => "none denied".to_owned(),
        false => format!("denied {}", names(ended).join(", ")),
    };
    if expect.no_denials && !ended.denials.is_empty() {
        return Some(("no denials".to_owned(), got()));
    }
    let was_denied = |call: &String| ended.denials.iter().any(|denial| denial.call == *call);
    let is_wanted = |denial: &Denial| expect.denied.contains(&denial.call);
    let has_all = expect.denied.iter().all(was_denied);
    let has_more = expect.only_denied && !ended.denials.iter().all(is_wanted);
    let only = if expect.only_denied { "only " } else { "" };
    let wanted = || format!("denied {only}{}", expect.denied.join(", "));
    (!has_all || has_more).then(|| (wanted(), got()))
}

fn names(ended: &Ended) -> Vec<&str> {
    let mut names: Vec<&str> = ended
        .denials
        .iter()
        .map(|denial| denial.call.as_str())
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn limits(expect: &Expect, ended: &Ended) -> Option<Miss> {
    let mut wanted: Vec<&str> = expect
        .limits_hit
        .as_ref()?
        .iter()
        .copied()
        .map(Limit::word)
        .collect();
    wanted.sort_unstable();
    wanted.dedup();
    let words = |limits: &[&str]| match limits {
        [] => "no limit hit".to_owned(),
        limits => format!("limits hit: {}", limits.join(", ")),
    };
    let Some(hit) = &ended.limits_hit else {
        return Some((words(&wanted), "what limits were hit is unknown".to_owned()));
    };
    let mut hit: Vec<&str> = hit.iter().map(String::as_str).collect();
    hit.sort_unstable();
    (hit != wanted).then(|| (words(&wanted), words(&hit)))
}

/// What was denied meanwhile, which is mostly why; else what the program said last.
fn help(outcome: &Outcome, ended: &Ended) -> String {
    if !outcome.is_bad() {
        return String::new();
    }
    if !ended.denials.is_empty() {
        let all: Vec<String> = ended.denials.iter().map(denial).collect();
        return all.join("; ");
    }
    let text = String::from_utf8_lossy(&ended.stderr);
    match text.lines().rfind(|line| !line.trim().is_empty()) {
        Some(line) if ended.error.is_none() => {
            format!("stderr ends with {}", shortened(line.as_bytes()))
        }
        _ => String::new(),
    }
}

/// One line, with the key that would allow it.
fn denial(denial: &Denial) -> String {
    let Denial {
        count,
        call,
        arguments,
        program,
        answer,
        ..
    } = denial;
    let program = quote(program);
    let mut text = format!("denied {count}x: {call}({arguments}) by {program}: {answer}");
    if let Some(rule) = &denial.rule {
        text.push_str(&format!(", by {}", escape(rule)));
    }
    if let Some(allow) = &denial.allow_with {
        let allow = allow.lines().filter(|line| !line.starts_with('['));
        let keys = allow.map(|line| format!("seccomp.{line}"));
        text.push_str(", allowed by ");
        text.extend(keys);
    }
    text
}
