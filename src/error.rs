//! One error type, `doing: cause`, the kernel's error numbers in words, and the quoting of text that came from outside.
//! Which exit code an error becomes is `cmd::exit`'s.

use std::path::Path;
use std::{fmt, io};

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
    /// The command line asks for what does not go together, and only the verb could see it.
    Usage,
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
    /// `doing` names the act and its object (`open "/x/config.json"`), `cause` the reason. A cause that ends in an error
    /// of the system, in the words of the standard library or of rustix, gets those of [`errno_words`].
    pub fn new(doing: impl Into<String>, cause: impl fmt::Display) -> Self {
        Self {
            doing: doing.into(),
            cause: with_errno_words(cause.to_string()),
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

    /// Adds one more thing that the user can do, after what is there.
    #[must_use]
    pub fn hint_too(self, hint: impl fmt::Display) -> Self {
        let hint = match &self.hint {
            Some(first) => format!("{first}; {hint}"),
            None => hint.to_string(),
        };
        self.hint(hint)
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

/// An error number in words and with its name (errno(3)): `no such file or directory (ENOENT)`.
pub fn errno_words(number: i32) -> String {
    let sentence = sentence(number);
    // Of "RFS specific error" and its like the first letter is not that of a word.
    let is_word = sentence.chars().nth(1).is_none_or(char::is_lowercase);
    let sentence = match sentence.chars().next() {
        Some(first) if is_word => {
            format!("{}{}", first.to_lowercase(), &sentence[first.len_utf8()..])
        }
        _ => sentence,
    };
    match nix::errno::Errno::from_raw(number) {
        nix::errno::Errno::UnknownErrno => format!("{sentence} (errno {number})"),
        name => format!("{sentence} ({name:?})"),
    }
}

/// The name of an error number alone: `ENOENT`.
pub fn errno_name(number: i32) -> String {
    match nix::errno::Errno::from_raw(number) {
        nix::errno::Errno::UnknownErrno => format!("errno {number}"),
        name => format!("{name:?}"),
    }
}

/// `No such file or directory`.
fn sentence(number: i32) -> String {
    let text = io::Error::from_raw_os_error(number).to_string();
    match text.rsplit_once(" (os error ") {
        Some((sentence, _)) => sentence.to_owned(),
        None => text,
    }
}

/// `No such file or directory (os error 2)` at the end becomes `no such file or directory (ENOENT)`.
fn with_errno_words(cause: String) -> String {
    let said = cause
        .strip_suffix(')')
        .and_then(|text| text.rsplit_once(" (os error "));
    let Some((text, number)) = said.and_then(|(text, number)| Some((text, number.parse().ok()?)))
    else {
        return cause;
    };
    match text.strip_suffix(&sentence(number)) {
        Some(before) => format!("{before}{}", errno_words(number)),
        None => cause,
    }
}

/// A path in quotes, as [`quote`] has them.
pub fn quote_path(path: &Path) -> String {
    quote(path.as_os_str().as_encoded_bytes())
}

/// Puts untrusted text in double quotes, escaped, so that it can neither reach a terminal raw nor span a line.
pub fn quote(untrusted: impl AsRef<[u8]>) -> String {
    format!("\"{}\"", escape(untrusted))
}

/// Whether a terminal might obey a character instead of showing it: control characters, and those that turn the direction
/// of text or end its lines.
pub fn is_steering(c: char) -> bool {
    c.is_control()
        || ('\u{2028}'..='\u{202e}').contains(&c)
        || ('\u{2066}'..='\u{2069}').contains(&c)
}

/// Escapes control characters, those that turn the direction of text, quotes and backslashes in untrusted text.
pub fn escape(untrusted: impl AsRef<[u8]>) -> String {
    let text = String::from_utf8_lossy(untrusted.as_ref());
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\\' => escaped.extend(['\\', c]),
            c if is_steering(c) => escaped.extend(c.escape_default()),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Escapes in a JSON document what a terminal might obey, as `\u009b`: to whoever reads JSON that is the same text. JSON has
/// all but the first 32 control characters raw, and can only have them inside of text.
pub fn escape_json(text: String) -> String {
    let is_raw = |c: char| c > '\u{1f}' && is_steering(c);
    if !text.contains(is_raw) {
        return text;
    }
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if is_raw(c) {
            // All of them are of 16 bits.
            escaped.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            escaped.push(c);
        }
    }
    escaped
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
    fn errors_of_the_system_are_worded_alike_wherever_they_come_from() {
        let words = "no such file or directory (ENOENT)";
        assert_eq!(errno_words(libc::ENOENT), words);
        let text = |cause: &dyn fmt::Display| Error::new("x", cause).to_string();
        assert_eq!(
            text(&io::Error::from_raw_os_error(libc::ENOENT)),
            format!("x: {words}")
        );
        assert_eq!(text(&rustix::io::Errno::NOENT), format!("x: {words}"));
        let nested = format!("y: {}", rustix::io::Errno::NOENT);
        assert_eq!(text(&nested), format!("x: y: {words}"));
        assert_eq!(text(&"not it (os error 2)"), "x: not it (os error 2)");
        assert_eq!(errno_words(4000), "unknown error 4000 (errno 4000)");
        assert_eq!(
            errno_words(libc::ELIBSCN),
            ".lib section in a.out corrupted (ELIBSCN)"
        );
    }

    #[test]
    fn error_is_one_line_doing_and_cause() {
        let error = Error::new("open \"/x\"", "no such file or directory").hint("create it");
        assert_eq!(error.to_string(), "open \"/x\": no such file or directory");
        assert_eq!(error.try_this(), Some("create it"));
    }
}
