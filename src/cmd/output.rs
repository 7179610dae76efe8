//! Data on standard output.

use std::io::{ErrorKind, Write};

use serde::Serialize;
use serde_json::ser::{PrettyFormatter, Serializer};

use crate::error::{Doing, Result};

/// Writes text and a line end to standard output. A reader that has gone away has had enough, which is no failure.
///
/// # Errors
/// Standard output cannot be written.
pub fn print(text: &str) -> Result<()> {
    let mut output = std::io::stdout().lock();
    match writeln!(output, "{text}").and_then(|()| output.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other.doing(|| "write to standard output"),
    }
}

/// Formats JSON on several lines, each level indented by `indent`.
pub(super) fn pretty<T: Serialize>(value: &T, indent: &str) -> Result<String> {
    let mut text = Vec::new();
    let formatter = PrettyFormatter::with_indent(indent.as_bytes());
    value
        .serialize(&mut Serializer::with_formatter(&mut text, formatter))
        .doing(|| "format JSON")?;
    String::from_utf8(text).doing(|| "format JSON")
}
