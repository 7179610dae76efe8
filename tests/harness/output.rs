//! What a call of the runtime left: its exit code and its two streams, and the claims that many tests make of them.
//! Not here: how the call is made.

use serde_json::Value;

use super::is_foreign;

/// The end of one call. `code` is the exit code, or minus the signal's number if the runtime itself was killed.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Output {
    /// Standard output of a call that must have succeeded.
    #[track_caller]
    pub(crate) fn ok(&self) -> &str {
        assert_eq!(self.code, 0, "{self:#?}");
        &self.stdout
    }

    /// Standard output of a call that must have ended with this code.
    #[track_caller]
    pub(crate) fn exits(&self, code: i32) -> &str {
        assert_eq!(self.code, code, "{self:#?}");
        &self.stdout
    }

    /// Standard output as lines, of a call that must have succeeded.
    #[track_caller]
    pub(crate) fn lines(&self) -> Vec<&str> {
        self.ok().lines().collect()
    }

    /// Standard output as JSON, of a call that must have succeeded.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(self.ok()).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    /// The runtime refused with exit code 1 and one error line that has all these words.
    #[track_caller]
    pub(crate) fn refused(&self, words: &[&str]) {
        self.fails(1, words);
    }

    /// The runtime failed with this code and one error line (and at most a hint) that has all these words.
    #[track_caller]
    pub(crate) fn fails(&self, code: i32, words: &[&str]) {
        if is_foreign() {
            assert_ne!(self.code, 0, "{self:#?}");
            return;
        }
        let error = self.error();
        for word in words {
            assert!(has(&error, word), "no {word:?} in {error:?}");
        }
        assert_eq!(self.code, code, "{self:#?}");
    }

    /// The error line of a failed call; asserts that standard error holds nothing more than it and one hint.
    #[track_caller]
    pub(crate) fn error(&self) -> String {
        assert_ne!(self.code, 0, "must fail: {self:#?}");
        assert!(self.code > 0, "the runtime was killed: {self:#?}");
        let lines: Vec<&str> = self.stderr.lines().collect();
        let is_clean = match lines.as_slice() {
            [error] => error.starts_with("error: "),
            [error, hint] => error.starts_with("error: ") && hint.starts_with("try: "),
            _ => false,
        };
        assert!(is_clean, "not one error line: {self:#?}");
        self.stderr.clone()
    }
}

/// Has the text the word, or the word's other spelling (`process.env[1]` is also `/process/env/1`)?
fn has(text: &str, word: &str) -> bool {
    let pointer = format!("/{}", word.replace(['.', '['], "/").replace(']', ""));
    text.contains(word) || text.contains(&pointer)
}
