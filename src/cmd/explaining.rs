//! `--explain` of `launch` and `run`: which system calls were denied, told once the program has ended.
//! The verb `explain`, about a container's profile, is `explain`.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;

use super::output::pretty;
use crate::error::{Doing, Result, quote_path};
use crate::seccomp::Watch;
use crate::watch::Supervisor;

/// The flag.
#[derive(Debug, Clone, Args)]
pub struct Explaining {
    /// Say which system calls were denied, to whom and by which rule; to a file as JSON
    #[arg(
        long,
        value_name = "FILE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "-"
    )]
    pub explain: Option<PathBuf>,
    /// Say in a file, in the same form, which limits were hit and nothing else: for `test`, as it takes no filter
    #[arg(long, value_name = "FILE", hide = true, conflicts_with = "explain")]
    pub limits_hit: Option<PathBuf>,
}

impl Explaining {
    /// The report to be written, if one is asked for.
    ///
    /// # Errors
    /// The file cannot be written, or the kernel has no listeners for filters.
    pub(super) fn report(&self) -> Result<Option<Report>> {
        let (path, watch) = match (&self.explain, &self.limits_hit) {
            (Some(path), _) => (path, Watch::Denials),
            (None, Some(path)) => (path, Watch::Nothing),
            (None, None) => return Ok(None),
        };
        Report::to(path, Supervisor::new(watch)?).map(Some)
    }
}

/// A report of denials that will be written.
#[derive(Debug)]
pub(super) struct Report {
    supervisor: Supervisor,
    /// None for standard error.
    file: Option<(PathBuf, File)>,
}

impl Report {
    fn to(path: &Path, supervisor: Supervisor) -> Result<Self> {
        let file = if path == Path::new("-") {
            None
        } else {
            let file = File::create(path).doing(|| format!("open {}", quote_path(path)))?;
            Some((path.to_owned(), file))
        };
        Ok(Self { supervisor, file })
    }

    /// What it watches.
    pub(super) fn watch(&self) -> Watch {
        self.supervisor.watch()
    }

    /// Who collects.
    pub(super) fn supervisor(&mut self) -> &mut Supervisor {
        &mut self.supervisor
    }

    /// Writes it. Where nothing was denied to what could not be started, that is no news.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn tell<T>(self, outcome: &Result<T>) -> Result<()> {
        let denials = self.supervisor.denials();
        if outcome.is_err() && denials.is_empty() {
            return Ok(());
        }
        match self.file {
            None => {
                // With standard error gone there is nobody left to tell.
                let _ = std::io::stderr().write_all(denials.text().as_bytes());
                Ok(())
            }
            Some((path, mut file)) => {
                let text = pretty(&denials.document(), "  ")? + "\n";
                file.write_all(text.as_bytes())
                    .doing(|| format!("write {}", quote_path(&path)))
            }
        }
    }
}
