//! Why one entry cannot be unpacked; the loop over the entries adds which one.
//! Not the error type: see `error`.

use std::fmt;
use std::io;

use crate::error::Error;
use crate::sys::{Errno, SysResult};

/// The second half of an [`Error`], with what the user can do about it.
#[derive(Debug)]
pub(super) struct Cause {
    text: String,
    hint: Option<String>,
}

/// The result of everything that happens to one entry.
pub(super) type Step<T> = Result<T, Cause>;

impl Cause {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            hint: None,
        }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(super) fn while_doing(self, doing: impl Into<String>) -> Error {
        let error = Error::new(doing, self.text);
        match self.hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Cause {}

/// What the stream reports: a failing read, damaged compression, a limit.
impl From<io::Error> for Cause {
    fn from(error: io::Error) -> Self {
        let error = match error.downcast::<Self>() {
            Ok(cause) => return cause,
            Err(error) => error,
        };
        match error.raw_os_error() {
            Some(number) => Self::new(format!("read: {}", crate::error::errno_words(number))),
            None => Self::new(error.to_string()),
        }
    }
}

/// Names the call that an errno came from.
pub(super) trait Called<T> {
    /// The errno as a cause: `mkdirat: permission denied (EACCES)`.
    fn called(self, call: &str) -> Step<T>;
}

impl<T> Called<T> for SysResult<T> {
    fn called(self, call: &str) -> Step<T> {
        self.map_err(|errno: Errno| {
            Cause::new(format!(
                "{call}: {}",
                crate::error::errno_words(errno.raw_os_error())
            ))
        })
    }
}
