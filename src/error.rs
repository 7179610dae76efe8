//! One error type, `doing: cause`, and the quoting of text that came from outside.

use std::fmt;

/// The result of everything that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// What kind of failure it is; it decides the exit code (docs/exit-codes.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// Anything that has no kind of its own.
    #[default]
    Failed,
    /// The program to run does not exist, or its interpreter does not.
    NotFound,
    /// The program to run exists and cannot be executed.
    NotExecutable,
}

/// A failure as one line, `doing: cause`, with an optional second one saying what the user can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    doing: String,
    cause: String,
    hint: Option<String>,
    kind: Kind,
}

impl Error {
    /// `doing` names the act and its object (`open "/x/config.json"`), `cause` the reason.
    pub fn new(doing: impl Into<String>, cause: impl fmt::Display) -> Self {
        Self {
            doing: doing.into(),
            cause: cause.to_string(),
            hint: None,
            kind: Kind::Failed,
        }
    }

    /// Adds what the user can do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Sets the kind, which decides the exit code.
    #[must_use]
    pub fn kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// The second line, if there is one.
    pub fn try_this(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The kind of failure.
    pub fn what_kind(&self) -> Kind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.doing, self.cause)
    }
}

impl std::error::Error for Error {}

/// Puts untrusted text in double quotes with control characters, quotes and backslashes escaped, so that it can neither
/// reach a terminal raw nor span a line.
pub fn quote(untrusted: impl AsRef<[u8]>) -> String {
    let text = String::from_utf8_lossy(untrusted.as_ref());
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control()
                || ('\u{2028}'..='\u{202e}').contains(&c)
                || ('\u{2066}'..='\u{2069}').contains(&c) =>
            {
                quoted.extend(c.escape_default());
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Adds `doing` to any failure of the system or of a library.
pub trait Doing<T> {
    /// `doing` is called only on failure.
    ///
    /// # Errors
    /// The original failure, as the cause.
    fn doing<S: Into<String>>(self, doing: impl FnOnce() -> S) -> Result<T>;
}

impl<T, E: fmt::Display> Doing<T> for std::result::Result<T, E> {
    fn doing<S: Into<String>>(self, doing: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|cause| Error::new(doing(), cause))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_leaves_no_control_character() {
        assert_eq!(quote("a\"b\\c\n\u{1b}[31m"), r#""a\"b\\c\n\u{1b}[31m""#);
    }

    #[test]
    fn error_is_one_line_doing_and_cause() {
        let error = Error::new("open \"/x\"", "no such file or directory").hint("create it");
        assert_eq!(error.to_string(), "open \"/x\": no such file or directory");
        assert_eq!(error.try_this(), Some("create it"));
    }
}
