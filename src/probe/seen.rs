//! Reading what may not be there: a text or the reason why it cannot be seen.
//!
//! What a text means is not here. A sandbox may lack /proc and /sys, and a report says so instead of failing.

use std::path::Path;

use super::words;
use crate::error::quote_path;
use crate::report::{Body, Section};

/// Something that was seen, or why it was not.
pub(super) type Seen<T> = Result<T, String>;

/// The content of a file, without the white space at its end.
pub(super) fn text(path: impl AsRef<Path>) -> Seen<String> {
    let path = path.as_ref();
    match std::fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned()),
        Err(error) => Err(unreadable(path, &error)),
    }
}

/// Where a symbolic link points.
pub(super) fn link(path: impl AsRef<Path>) -> Seen<String> {
    let path = path.as_ref();
    match std::fs::read_link(path) {
        Ok(target) => Ok(target.to_string_lossy().into_owned()),
        Err(error) => Err(unreadable(path, &error)),
    }
}

/// `"/proc/x" cannot be read: ENOENT`.
pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> String {
    let reason = error
        .raw_os_error()
        .map_or_else(|| error.to_string(), words::errno);
    format!("{} cannot be read: {reason}", quote_path(path))
}

/// A section with what was seen, or with the reason.
pub(super) fn section(heading: &'static str, key: &'static str, body: Seen<Body>) -> Section {
    Section {
        heading,
        key,
        body: body.unwrap_or_else(Body::NotVisible),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_a_reason_and_no_failure() {
        assert_eq!(
            text("/nonexistent/x"),
            Err(r#""/nonexistent/x" cannot be read: ENOENT"#.to_owned())
        );
        let section = section("X", "x", Err("why".to_owned()));
        assert_eq!(section.body, Body::NotVisible("why".to_owned()));
    }
}
