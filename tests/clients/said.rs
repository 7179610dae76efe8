//! What a client said, and the claims of a check about it: a claim that does not hold is the check's failure, in words.
//! Not here: how the client is called.

use crate::harness::Output;

/// The outcome of one check; the error says what was wrong.
pub(crate) type Verdict = Result<(), String>;

/// The end of one call of a client.
#[derive(Debug, Clone)]
pub(crate) struct Said(pub(crate) Output);

impl Said {
    /// Ended with this code.
    pub(crate) fn exits(self, code: i32) -> Result<Self, String> {
        if self.0.code == code {
            Ok(self)
        } else {
            Err(self.but(&format!("exit code {code} was expected")))
        }
    }

    /// Succeeded.
    pub(crate) fn ok(self) -> Result<Self, String> {
        self.exits(0)
    }

    /// Did not succeed.
    pub(crate) fn fails(self) -> Result<Self, String> {
        if self.0.code == 0 {
            return Err(self.but("a failure was expected"));
        }
        Ok(self)
    }

    /// Wrote exactly these lines to standard output; the line ends of a terminal count as such.
    pub(crate) fn prints(self, lines: &str) -> Verdict {
        if self.text() == lines {
            Ok(())
        } else {
            Err(self.but(&format!("{lines:?} was expected")))
        }
    }

    /// Has one of these texts on either stream.
    pub(crate) fn says(self, texts: &[&str]) -> Verdict {
        let both = format!("{}{}", self.0.stdout, self.0.stderr);
        if texts.iter().any(|text| both.contains(text)) {
            Ok(())
        } else {
            Err(self.but(&format!("one of {texts:?} was expected")))
        }
    }

    /// Standard output without the line ends around it and the characters that a terminal adds.
    pub(crate) fn text(&self) -> String {
        let text = self.0.stdout.replace('\r', "");
        // script(1) echoes the end of its own input.
        text.trim_start_matches("^@")
            .trim_start_matches("^D")
            .replace('\u{8}', "")
            .trim()
            .to_owned()
    }

    fn but(&self, wrong: &str) -> String {
        let Output {
            code,
            stdout,
            stderr,
        } = &self.0;
        format!("{wrong}: exit code {code}, said {stdout:?} and {stderr:?}")
    }
}
