//! The table of checks: what each looks for, why, and what to do about it. The checks of one kind of subject are rows of a
//! file here; the documentation's table derives from these. How a check looks is not here.

mod config;
mod image;

use crate::audit::config::Asked;
use crate::report::Severity;

/// One check. All texts are single lines.
#[derive(Debug)]
pub struct Check {
    /// Stable: `CFG-004`.
    pub id: &'static str,
    /// What ought to be so.
    pub title: &'static str,
    /// Why it matters, as one sentence.
    pub why: &'static str,
    /// Which practice it serves.
    pub practice: Practice,
    /// How much it matters; a single finding may matter less or more, and `why` then says when.
    pub severity: Severity,
    /// The closest checks of others: CIS Docker Benchmark 1.6 (`5.26`), dockle (`CIS-DI-0001`, `DKL-…`), hadolint
    /// (`DL3002`), checkov (`CKV_DOCKER_8`), kube-linter (words with hyphens). May be empty.
    pub closest: &'static [&'static str],
    /// What to do, as one sentence.
    pub fix: &'static str,
    /// What it looks at.
    pub stages: &'static [Stage],
    /// How it looks.
    pub look: Look,
}

/// How a check is made.
#[derive(Debug, Clone, Copy)]
pub enum Look {
    /// By a config.json.
    Config(fn(&mut Asked)),
    /// By an image, or by a root filesystem where its stages say so: many checks share one walk.
    Image,
}

/// The id says which it is.
impl PartialEq for Check {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Check {}

/// What a check looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The image's documents and digests.
    Verify,
    /// The entries of every layer.
    Unpack,
    /// The merged root filesystem.
    Root,
    /// The program that is run, in the merged root filesystem.
    Program,
    /// config.json.
    Config,
    /// This host.
    Host,
}

impl Stage {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Verify => "image",
            Self::Unpack => "layers",
            Self::Root => "root filesystem",
            Self::Program => "program",
            Self::Config => "config.json",
            Self::Host => "this host",
        }
    }
}

/// The ten practices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Practice {
    /// Nothing in the image that the program does not need.
    MinimalImage,
    /// From who is trusted.
    TrustedSource,
    /// A specified user other than root.
    NonRoot,
    /// Signed, and checked by digest.
    Verified,
    /// Looked at for known vulnerabilities.
    Scanned,
    /// No secrets inside.
    NoSecrets,
    /// Limits of memory, processes and processors.
    ResourceLimits,
    /// No privilege that the program does not need.
    LimitedPrivileges,
    /// No tools of building in what runs.
    MultiStage,
    /// What is written is written with care.
    SecureCoding,
}

impl Practice {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::MinimalImage => "Minimal image",
            Self::TrustedSource => "Trusted source",
            Self::NonRoot => "A user other than root",
            Self::Verified => "Verified image",
            Self::Scanned => "Scanned for vulnerabilities",
            Self::NoSecrets => "No secrets inside",
            Self::ResourceLimits => "Resource limits",
            Self::LimitedPrivileges => "Limited privileges",
            Self::MultiStage => "No build tools",
            Self::SecureCoding => "Secure coding",
        }
    }
}

/// Every check, by id.
pub fn checks() -> impl Iterator<Item = &'static Check> {
    config::CHECKS.iter().chain(image::CHECKS)
}

/// The check of this id.
pub fn check(id: &str) -> Option<&'static Check> {
    checks().find(|check| check.id == id)
}
