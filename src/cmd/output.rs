//! Data on standard output.

use std::io::{ErrorKind, Write};

use serde::Serialize;
use serde_json::ser::{PrettyFormatter, Serializer};

use crate::error::{Doing, Error, Result, escape_json};

/// Writes text and a line end to standard output. A reader that has gone away has had enough, which is no failure.
///
/// # Errors
/// Standard output cannot be written.
pub fn print(text: &str) -> Result<()> {
    print_line(text).map(drop)
}

/// Whether anybody reads standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Audience {
    /// As far as can be told.
    There,
    /// The other end of the pipe is closed.
    Gone,
}

/// As [`print()`], for one who has more to say.
pub(super) fn print_line(text: &str) -> Result<Audience> {
    let mut output = std::io::stdout().lock();
    match writeln!(output, "{text}").and_then(|()| output.flush()) {
        Ok(()) => Ok(Audience::There),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Audience::Gone),
        Err(error) => Err(Error::new("write to standard output", error)),
    }
}

/// Formats JSON on several lines, each level indented by `indent`. What a terminal would obey is escaped, as `\u009b`: to
/// whoever reads JSON that is the same text.
pub(super) fn pretty<T: Serialize>(value: &T, indent: &str) -> Result<String> {
    let mut text = Vec::new();
    let formatter = PrettyFormatter::with_indent(indent.as_bytes());
    value
        .serialize(&mut Serializer::with_formatter(&mut text, formatter))
        .doing(|| "format JSON")?;
    String::from_utf8(text)
        .doing(|| "format JSON")
        .map(escape_json)
}

/// Formats JSON on one line, as [`pretty`] escapes it.
pub(super) fn compact<T: Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value)
        .doing(|| "format JSON")
        .map(escape_json)
}

/// Rows of text in columns, the first row being their titles.
pub(super) fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths);
        let cells = cells.map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("   ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_nothing_that_a_terminal_obeys_and_says_the_same() {
        let said = "a\u{1b}[31m\u{9b}31m\u{7f}\u{202e}\u{2066}\u{e9}";
        let text = pretty(&[said], " ").unwrap();
        assert_eq!(
            text,
            "[\n \"a\\u001b[31m\\u009b31m\\u007f\\u202e\\u2066\u{e9}\"\n]"
        );
        let read: Vec<String> = serde_json::from_str(&text).unwrap();
        assert_eq!(read, [said]);
    }
}
