//! The audit: what of an image, a root filesystem or a config.json keeps to the ten practices, looked at without running
//! anything. Which checks there are is one table; how findings are shown and when they fail a build is the caller's.
//!
//! ```text
//! table      every check: id, title, why, practice, severity, closest others, fix, stages
//! finding    one thing that was found: where, and in which words
//! config     the checks of config.json (CFG-…)
//! image      the checks of images and root filesystems (IMG-…)
//! waiver     findings that somebody has answered for, until a day
//! baseline   findings that were there before
//! judge      findings, waivers and baseline as checks of a report
//! secret     what looks like a secret in a short text
//! date       days of the calendar
//! ```

mod baseline;
pub mod config;
mod date;
mod finding;
pub mod image;
mod judge;
mod secret;
pub mod table;
#[cfg(test)]
mod tests;
mod waiver;

use std::fs;
use std::path::PathBuf;

pub use baseline::Baseline;
pub use date::Date;
pub use finding::{Finding, Findings, Place};
pub use judge::{Accepted, Judged};
pub use table::{Check, Look, Practice, Stage};
pub use waiver::Waivers;

use crate::error::{Error, Result};
use crate::image::Image;

/// What is audited: as much of it as there is.
#[derive(Debug, Default)]
pub struct Subject {
    /// What it was taken for, in words, for the head of a report.
    pub words: String,
    /// A config.json and what it is run with.
    pub config: Option<config::Scene>,
    /// A root filesystem: a directory on this host.
    pub root: Option<PathBuf>,
    /// An image that has layers.
    pub image: Option<Image>,
    /// What an image is held to.
    pub terms: image::Terms,
}

impl Subject {
    /// Whether a check can be made of it.
    pub fn has(&self, check: &Check) -> bool {
        let has = |stage: &Stage| match stage {
            Stage::Verify | Stage::Unpack => self.image.is_some(),
            Stage::Root => self.image.is_some() || self.root.is_some(),
            Stage::Program => self.names_program(),
            Stage::Config | Stage::Host => false,
        };
        match check.look {
            Look::Config(_) => self.config.is_some(),
            Look::Image => check.stages.iter().any(has),
        }
    }

    /// Whether there is a program to run, and a root filesystem to look for it in.
    fn names_program(&self) -> bool {
        let of_image = self.image.as_ref().map(|image| &image.config.config);
        let process = self
            .config
            .as_ref()
            .and_then(|scene| scene.config.process.as_ref());
        of_image.is_some_and(|of| !of.entrypoint.is_empty() || !of.cmd.is_empty())
            || self.root.is_some() && process.is_some_and(|process| !process.args.is_empty())
    }
}

/// Which checks are wanted: ids of the table.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// These alone; all where it is empty.
    pub only: Vec<String>,
    /// Not these.
    pub skip: Vec<String>,
}

impl Wanted {
    fn takes(&self, check: &Check) -> bool {
        let names = |ids: &[String]| ids.iter().any(|id| id == check.id);
        (self.only.is_empty() || names(&self.only)) && !names(&self.skip)
    }
}

/// Makes every wanted check that the subject has something for.
///
/// # Errors
/// None of the wanted checks has anything to look at; this host cannot read or unpack the subject.
pub fn audit(mut subject: Subject, wanted: &Wanted) -> Result<Findings> {
    // An empty root filesystem is yet to be filled, or it is mounted where only the container sees it.
    let is_empty = |root: &PathBuf| fs::read_dir(root).is_ok_and(|mut all| all.next().is_none());
    subject.root.take_if(|root| is_empty(root));
    let subject = &subject;
    let checks = table::checks().filter(|check| wanted.takes(check) && subject.has(check));
    let mut findings = Findings::of(checks);
    if findings.checks.is_empty() {
        let doing = format!("audit {}", subject.words);
        let error = Error::new(doing, "none of the checks that are wanted looks at it");
        return Err(error.hint("`stockade audit --list` says what each check looks at"));
    }
    if let Some(scene) = &subject.config {
        config::look(scene, &mut findings);
    }
    image::look(subject, &mut findings)?;
    Ok(findings)
}
