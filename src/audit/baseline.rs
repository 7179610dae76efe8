//! The baseline: findings that were there when somebody began to look, so that only new ones fail a build. A JSON file that
//! is kept beside the sources.

use serde::{Deserialize, Serialize};

use super::finding::Finding;
use crate::error::{Doing, Error, Result, escape_json, quote};
use crate::report::Severity;
use crate::spec;

/// Of the file.
const VERSION: u32 = 1;

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Baseline {
    version: u32,
    findings: Vec<Known>,
}

/// A finding by what it is known by; its words may change.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Known {
    id: String,
    place: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    about: String,
    severity: String,
}

impl Baseline {
    /// Reads a file's text; `file` is for messages.
    ///
    /// # Errors
    /// What is no such file.
    pub fn parse(text: &[u8], file: &str) -> Result<Self> {
        let (_, baseline) = spec::typed::<Self>(text, file)?;
        if baseline.version != VERSION {
            let cause = format!("version: {} is not {VERSION}", baseline.version);
            return Err(Error::new(quote(file), cause));
        }
        let unknown = |known: &&Known| Severity::of_word(&known.severity).is_none();
        if let Some(known) = baseline.findings.iter().find(unknown) {
            let cause = format!("findings: {} is no severity", quote(&known.severity));
            return Err(Error::new(quote(file), cause));
        }
        Ok(baseline)
    }

    /// These findings, in an order that depends on nothing else.
    pub fn of<'a>(findings: impl IntoIterator<Item = &'a Finding>) -> Self {
        let mut findings: Vec<Known> = findings.into_iter().map(Known::of).collect();
        findings.sort_unstable();
        findings.dedup();
        Self {
            version: VERSION,
            findings,
        }
    }

    /// As text, with a final newline.
    ///
    /// # Errors
    /// None that can be caused.
    pub fn text(&self) -> Result<String> {
        let text = serde_json::to_string_pretty(self).doing(|| "write the baseline")?;
        Ok(escape_json(text) + "\n")
    }

    /// Whether it was there, and mattered as much then.
    pub fn has(&self, finding: &Finding) -> bool {
        let now = Known::of(finding);
        let is_it = |known: &Known| {
            (&known.id, &known.place, &known.about) == (&now.id, &now.place, &now.about)
                && Severity::of_word(&known.severity).is_some_and(|then| then >= finding.severity)
        };
        self.findings.iter().any(is_it)
    }
}

impl Known {
    fn of(finding: &Finding) -> Self {
        Self {
            id: finding.check.id.to_owned(),
            place: finding.place.stable(),
            about: finding.about.clone(),
            severity: finding.severity.word().to_owned(),
        }
    }
}
