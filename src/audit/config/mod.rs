//! The checks of config.json: what of it gives the program more than it needs. Each check is one function in a file by
//! subject; which there are is `table`'s.
//!
//! A config is taken as written: what a profile would tighten in it when it is run is not looked at.

pub(super) mod process;
pub(super) mod resources;
pub(super) mod root;

use std::path::PathBuf;

use super::finding::{Finding, Findings, Place};
use super::table::{Check, Look};
use crate::spec::Config;

/// A config.json, and what it is run with.
#[derive(Debug)]
pub struct Scene {
    /// The document.
    pub config: Config,
    /// What it is called in findings: its path, as the user gave it.
    pub document: String,
    /// The bundle: absolute.
    pub bundle: PathBuf,
    /// Where the root filesystem is, if it is there.
    pub root: Option<PathBuf>,
}

/// One check at work on one config.
#[derive(Debug)]
pub struct Asked<'a> {
    /// What it looks at.
    pub scene: &'a Scene,
    check: &'static Check,
    findings: &'a mut Findings,
}

impl Asked<'_> {
    /// Adds what was found at a JSON pointer (RFC 6901).
    fn found(&mut self, pointer: impl Into<String>, message: impl Into<String>) -> &mut Finding {
        let place = Place::Pointer {
            document: self.scene.document.clone(),
            pointer: pointer.into(),
        };
        self.findings.add(Finding::new(self.check, place, message));
        self.findings.found.last_mut().expect("one was just added")
    }
}

/// Makes the checks of config.json that `findings` has.
pub(super) fn look(scene: &Scene, findings: &mut Findings) {
    for check in findings.checks.clone() {
        if let Look::Config(look) = check.look {
            look(&mut Asked {
                scene,
                check,
                findings,
            });
        }
    }
}
