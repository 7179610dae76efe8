//! Every exit code of the program (docs/exit-codes.md).

use crate::error::{Error, Kind};

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitCode {
    /// 0: done.
    Done,
    /// 1: an OCI verb failed, or was used wrongly.
    Failed,
    /// 2: `profile`, `probe` or `test` itself failed, or was used wrongly; 1 is what it has found. Also of `audit` that was
    /// used wrongly.
    NotCompared,
    /// 3: `audit` could not look at everything; 1 is what it has found.
    NotAudited,
    /// 125: `launch` itself failed, or was used wrongly.
    NotLaunched,
    /// 255: `exec` itself failed, or was used wrongly.
    NotEntered,
    /// 126: the program exists and cannot be executed (`run`, `exec`, `launch`).
    NotExecutable,
    /// 127: the program or its interpreter does not exist (`run`, `exec`, `launch`).
    NotFound,
    /// The program's own: its exit code, or 128 and the signal that ended it (`run`, `exec`, `launch`).
    Program(u8),
}

/// What a verb promises about its exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// 0 and 1, as clients of an OCI runtime expect.
    Plain,
    /// 0 and 1 by what was found, 2 for a failure, as diff(1): `profile`, `probe`, `test`.
    Comparison,
    /// 0 and 1 by what was found, 2 for a wrong command line, 3 for a failure: `audit`.
    Audit,
    /// The program's own, 126 and 127, else 1: `run`.
    Program,
    /// The program's own, 126 and 127, else 255, as for other runtimes: `exec`.
    Entry,
    /// The program's own, 126 and 127, else 125: `launch`.
    Sandbox,
}

impl ExitCode {
    /// The number.
    pub fn number(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::NotCompared => 2,
            Self::NotAudited => 3,
            Self::NotLaunched => 125,
            Self::NotEntered => 255,
            Self::NotExecutable => 126,
            Self::NotFound => 127,
            Self::Program(number) => number,
        }
    }

    /// The code of a failure.
    pub fn of(error: &Error, promise: Promise) -> Self {
        match (promise, error.what_kind()) {
            (Promise::Plain, _) | (Promise::Program, Kind::Failed | Kind::Usage) => Self::Failed,
            (Promise::Comparison, _) | (Promise::Audit, Kind::Usage) => Self::NotCompared,
            (Promise::Audit, _) => Self::NotAudited,
            (Promise::Sandbox, Kind::Failed | Kind::Usage) => Self::NotLaunched,
            (Promise::Entry, Kind::Failed | Kind::Usage) => Self::NotEntered,
            (_, Kind::NotFound) => Self::NotFound,
            (_, Kind::NotExecutable) => Self::NotExecutable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_depend_on_the_verb_and_the_kind() {
        let number =
            |promise, kind| ExitCode::of(&Error::new("a", "b").kind(kind), promise).number();
        assert_eq!(number(Promise::Plain, Kind::NotFound), 1);
        assert_eq!(number(Promise::Comparison, Kind::NotFound), 2);
        assert_eq!(number(Promise::Audit, Kind::Failed), 3);
        assert_eq!(number(Promise::Audit, Kind::Usage), 2);
        assert_eq!(number(Promise::Program, Kind::NotFound), 127);
        assert_eq!(number(Promise::Program, Kind::Failed), 1);
        assert_eq!(number(Promise::Sandbox, Kind::NotExecutable), 126);
        assert_eq!(number(Promise::Sandbox, Kind::Failed), 125);
        assert_eq!(number(Promise::Entry, Kind::Failed), 255);
        assert_eq!(number(Promise::Entry, Kind::NotExecutable), 126);
    }
}
