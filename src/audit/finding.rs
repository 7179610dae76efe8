//! One thing that was found, and all of them together with what could not be found out.

use super::table::{self, Check};
use crate::report::Severity;
use crate::report::checks;

/// One thing that is not as it ought to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which check found it.
    pub check: &'static Check,
    /// How much it matters: the check's severity, unless it knows better.
    pub severity: Severity,
    /// Where.
    pub place: Place,
    /// What of that place, by name, where the place alone is several things or may move: the destination of a mount, a
    /// variable. May be empty. It comes from outside.
    pub about: String,
    /// What is so, in a few words: text from outside is quoted in it.
    pub message: String,
}

/// Where something was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// An entry of a layer.
    Layer {
        /// The layer's digest, or its number where it has none.
        layer: String,
        /// The entry's name, as a path from `/`.
        path: String,
    },
    /// A path in the root filesystem, from `/`.
    Path(String),
    /// A member of a JSON document.
    Pointer {
        /// The document, for a reader: a path, or what it is.
        document: String,
        /// By RFC 6901.
        pointer: String,
    },
    /// The image as a whole.
    Image,
}

impl Place {
    /// What waivers and baselines know it by: a path, or a JSON pointer. It says neither which layer nor which element of a
    /// list (`/mounts/*/options`), since these move when something else is added.
    pub fn stable(&self) -> String {
        match self {
            Self::Layer { path, .. } | Self::Path(path) => path.clone(),
            Self::Pointer { pointer, .. } => {
                let is_index =
                    |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
                let parts = pointer
                    .split('/')
                    .map(|part| if is_index(part) { "*" } else { part });
                parts.collect::<Vec<_>>().join("/")
            }
            Self::Image => "image".to_owned(),
        }
    }

    /// As a report shows it.
    pub(super) fn shown(&self) -> checks::Place {
        match self {
            Self::Layer { layer, path } => {
                checks::Place::pointer(below_root(path), format!("layer {layer}"))
            }
            Self::Path(path) => checks::Place::file(below_root(path)),
            Self::Pointer { document, pointer } => checks::Place::pointer(document, pointer),
            Self::Image => checks::Place::file("image"),
        }
    }
}

/// A path of the root filesystem is none of the host: relative, as readers of reports resolve it.
fn below_root(path: &str) -> &str {
    match path.trim_start_matches('/') {
        "" => ".",
        path => path,
    }
}

impl Finding {
    /// A finding with the check's own severity.
    pub fn new(check: &'static Check, place: Place, message: impl Into<String>) -> Self {
        Self {
            check,
            severity: check.severity,
            place,
            about: String::new(),
            message: message.into(),
        }
    }

    /// Says what of its place it is about.
    #[must_use]
    pub fn about(mut self, about: impl Into<String>) -> Self {
        self.about = about.into();
        self
    }

    /// Says how much this one matters.
    #[must_use]
    pub fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }
}

/// What an audit found out.
#[derive(Debug, Clone, Default)]
pub struct Findings {
    /// The checks that were made, or are to be.
    pub checks: Vec<&'static Check>,
    /// What they found.
    pub found: Vec<Finding>,
    /// Checks without an answer, and why.
    pub unanswered: Vec<(&'static Check, String)>,
}

impl Findings {
    /// Nothing found yet by these checks.
    pub fn of(checks: impl IntoIterator<Item = &'static Check>) -> Self {
        Self {
            checks: checks.into_iter().collect(),
            ..Self::default()
        }
    }

    /// The check of this id, if it is wanted here.
    pub fn wanted(&self, id: &str) -> Option<&'static Check> {
        let check = table::check(id)?;
        self.checks.contains(&check).then_some(check)
    }

    /// Adds a finding.
    pub fn add(&mut self, finding: Finding) {
        self.found.push(finding);
    }

    /// Says that a check has no answer, or not a whole one.
    pub fn unanswered(&mut self, check: &'static Check, reason: impl Into<String>) {
        self.unanswered.push((check, reason.into()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_known_by_what_does_not_move() {
        let pointer = |pointer: &str| Place::Pointer {
            document: "config.json".to_owned(),
            pointer: pointer.to_owned(),
        };
        assert_eq!(pointer("/mounts/13/options").stable(), "/mounts/*/options");
        assert_eq!(
            pointer("/process/noNewPrivileges").stable(),
            "/process/noNewPrivileges"
        );
        assert_eq!(pointer("").stable(), "");
        let layer = Place::Layer {
            layer: "sha256:00".to_owned(),
            path: "/etc/7".to_owned(),
        };
        assert_eq!(layer.stable(), "/etc/7");
        assert_eq!(
            layer.shown(),
            checks::Place::pointer("etc/7", "layer sha256:00")
        );
        assert_eq!(
            Place::Path("/".to_owned()).shown(),
            checks::Place::file(".")
        );
    }
}
