//! What the checks of an image have found, held to a bound: an image may be made so that everything in it is a finding.
//! Not what becomes of findings: that is the audit's, for every kind of subject.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use crate::report::Severity;

/// The most findings of one check that are kept; of more, those whose paths come first.
pub(super) const MOST: usize = 200;

/// One finding of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// Where.
    pub(super) place: Spot,
    /// The check's own where it says nothing.
    pub(super) severity: Option<Severity>,
    /// What of the place; may be empty.
    pub(super) about: String,
    /// What is so: text of the image is quoted in it.
    pub(super) message: String,
}

/// Where something was found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Spot {
    /// The image as a whole.
    Image,
    /// A member of the image's configuration, by RFC 6901.
    Config(String),
    /// A path of the root filesystem, without a slash at its start.
    Path(Vec<u8>),
    /// An entry of a layer, counted from 0.
    Layer(usize, Vec<u8>),
}

impl Found {
    pub(super) fn new(place: Spot, message: impl Into<String>) -> Self {
        Self {
            place,
            severity: None,
            about: String::new(),
            message: message.into(),
        }
    }

    pub(super) fn at(path: &[u8], message: impl Into<String>) -> Self {
        Self::new(Spot::Path(path.to_vec()), message)
    }

    #[must_use]
    pub(super) fn about(mut self, about: impl Into<String>) -> Self {
        self.about = about.into();
        self
    }

    #[must_use]
    pub(super) fn severity(mut self, severity: Severity) -> Self {
        self.severity = Some(severity);
        self
    }

    /// Those that matter less than their check come last.
    fn key(&self) -> (bool, &Spot, &str, &str) {
        let is_low = self.severity == Some(Severity::Low);
        (is_low, &self.place, &self.about, &self.message)
    }
}

impl Ord for Found {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for Found {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The findings of every check.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    kept: BTreeMap<&'static str, Kept>,
    /// Checks without a whole answer, and why.
    pub(super) unanswered: Vec<(&'static str, String)>,
}

#[derive(Debug, Default)]
struct Kept {
    found: BTreeSet<Found>,
    omitted: u64,
}

impl Gathered {
    pub(super) fn add(&mut self, check: &'static str, found: Found) {
        let kept = self.kept.entry(check).or_default();
        kept.found.insert(found);
        if kept.found.len() > MOST {
            kept.found.pop_last();
            kept.omitted += 1;
        }
    }

    /// Counts findings that were found and not kept.
    pub(super) fn omit(&mut self, check: &'static str, count: u64) {
        self.kept.entry(check).or_default().omitted += count;
    }

    /// Says why a check has no answer, or not a whole one.
    pub(super) fn unanswered(&mut self, check: &'static str, reason: impl Into<String>) {
        self.unanswered.push((check, reason.into()));
    }

    /// All findings in order; after those of a check one that says how many were left out, if any were.
    pub(super) fn into_found(self) -> impl Iterator<Item = (&'static str, Found)> {
        self.kept.into_iter().flat_map(|(check, kept)| {
            let more = (kept.omitted > 0).then(|| {
                let message = format!("{} more of this check are not listed", kept.omitted);
                // A baseline that knows of so many does not know of one more.
                Found::new(Spot::Image, message).about(format!("{} more", kept.omitted))
            });
            let all = kept.found.into_iter().chain(more);
            all.map(move |found| (check, found))
        })
    }
}

/// `1 file`, `2 files`.
pub(super) fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_bounded_in_order_and_the_rest_is_counted() {
        let mut gathered = Gathered::default();
        for i in (0..MOST + 50).rev() {
            gathered.add("IMG-000", Found::at(format!("{i:04}").as_bytes(), "x"));
        }
        gathered.add("IMG-000", Found::at(b"0000", "x").severity(Severity::Low));
        let all: Vec<_> = gathered.into_found().collect();
        assert_eq!(all.len(), MOST + 1);
        assert_eq!(all[0].1.place, Spot::Path(b"0000".to_vec()));
        assert_eq!(all[MOST - 1].1.place, Spot::Path(b"0199".to_vec()));
        assert_eq!(all[MOST].1.message, "51 more of this check are not listed");
    }
}
