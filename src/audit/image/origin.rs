//! The image as a whole: whether it is what its digests say (IMG-001), is pinned (IMG-002) and signed (IMG-003), is made for
//! this host (IMG-005) and no larger than it is meant to be (IMG-006). Nothing is asked of a network.

use super::found::{Found, Gathered, Spot};
use super::{Size, Terms};
use crate::audit::finding::Findings;
use crate::audit::table::Stage;
use crate::error::{Error, Result, quote};
use crate::image::layer::Limits;
use crate::image::{self, Image, Platform};
use crate::report::Severity;

/// How large an image may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Bytes of the files in its root filesystem.
    pub bytes: u64,
    /// Files, directories and whatever else there is in its root filesystem.
    pub objects: u64,
    /// Layers.
    pub layers: u64,
}

impl Default for Budget {
    /// What no image of a program alone needs.
    fn default() -> Self {
        Self {
            bytes: 1 << 30,
            objects: 50_000,
            layers: 50,
        }
    }
}

impl Budget {
    /// What its parts are called.
    pub const NAMES: [&str; 3] = ["bytes", "objects", "layers"];

    /// Sets the part called `name`; false if there is none.
    pub fn set(&mut self, name: &str, most: u64) -> bool {
        let part = match name {
            "bytes" => &mut self.bytes,
            "objects" => &mut self.objects,
            "layers" => &mut self.layers,
            _ => return false,
        };
        *part = most;
        true
    }
}

fn add(check: &'static str, about: &str, message: String, gathered: &mut Gathered) {
    gathered.add(check, Found::new(Spot::Image, message).about(about));
}

/// Looks at what needs no layer to be read.
pub(super) fn look(image: &Image, terms: &Terms, gathered: &mut Gathered) {
    if image.config_digest.is_none() {
        let message = format!(
            "a {} has no digests: nothing says whether it is whole",
            image.form.name()
        );
        let found = Found::new(Spot::Image, message)
            .about("no digests")
            .severity(Severity::Low);
        gathered.add("IMG-001", found);
    }
    admitted(image, terms, gathered);
    let host = Platform::host();
    match image.config.platform() {
        Some(own) if own.os != host.os || own.architecture != host.architecture => {
            add(
                "IMG-005",
                "platform",
                format!("it is made for {own}, this host is {host}"),
                gathered,
            );
        }
        Some(_) => {}
        None => {
            let message = "it does not say what it is made for".to_owned();
            gathered.add(
                "IMG-005",
                Found::new(Spot::Image, message)
                    .about("platform")
                    .severity(Severity::Low),
            );
        }
    }
}

/// IMG-002 and IMG-003: by the policy of this host, and by its names where there is none.
fn admitted(image: &Image, terms: &Terms, gathered: &mut Gathered) {
    let policy = &terms.policy;
    let admitted = policy.admit(image);
    if policy.names_signers() {
        if let Err(error) = &admitted {
            add("IMG-003", "", error.to_string(), gathered);
        }
    } else {
        let message =
            "no key and no policy says who must have signed it, and no signature was looked at";
        let found = Found::new(Spot::Image, message).about("no key");
        gathered.add("IMG-003", found.severity(Severity::Low));
    }
    match admitted {
        Err(error) if !policy.names_signers() => add("IMG-002", "", error.to_string(), gathered),
        Ok(_) if policy.is_empty() => {
            if let Some(name) = image.names.iter().find(|name| moves(name)) {
                let name = quote(name);
                let message = format!(
                    "it is called {name}, which is another image tomorrow, and pinned by no digest"
                );
                add("IMG-002", "name", message, gathered);
            }
        }
        _ => {}
    }
}

/// Whether a name has the tag `latest`, or none, which is the same.
fn moves(name: &str) -> bool {
    if name.contains('@') {
        return false;
    }
    let last = name.rsplit('/').next().unwrap_or(name);
    match last.split_once(':') {
        Some((_, tag)) => tag == "latest",
        // A layout's name may be a tag alone.
        None => last == "latest" || name.contains('/'),
    }
}

/// IMG-001 of an image that is not unpacked.
pub(super) fn whole(image: &Image, limits: &Limits, gathered: &mut Gathered) {
    if image.config_digest.is_none() {
        return;
    }
    if let Err(error) = image::check(image, limits, |_| Ok(())) {
        add("IMG-001", "", error.to_string(), gathered);
    }
}

/// An image that cannot be unpacked: either it is not what its digests say, or its archives are not made as they are to be.
///
/// # Errors
/// What this host lacks says nothing of the image.
pub(super) fn not_unpacked(
    image: &Image,
    limits: &Limits,
    error: Error,
    findings: &Findings,
    gathered: &mut Gathered,
) -> Result<()> {
    if is_of_the_host(&error) {
        return Err(error);
    }
    let is_whole = image.config_digest.is_none() || image::check(image, limits, |_| Ok(())).is_ok();
    let check = if is_whole { "IMG-022" } else { "IMG-001" };
    add(check, "", error.to_string(), gathered);
    for check in &findings.checks {
        let is_of_root = check
            .stages
            .iter()
            .any(|stage| matches!(stage, Stage::Root | Stage::Program));
        if is_of_root && check.id.starts_with("IMG-") {
            gathered.unanswered(check.id, "its layers cannot be unpacked");
        }
    }
    Ok(())
}

/// Whether a system call failed: errors end in its number's name then.
fn is_of_the_host(error: &Error) -> bool {
    let text = error.to_string();
    let name = text
        .strip_suffix(')')
        .and_then(|text| text.rsplit_once(" (E"));
    name.is_some_and(|(_, name)| {
        name.bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
    })
}

/// IMG-006.
pub(super) fn budget(budget: &Budget, layers: usize, size: Size, gathered: &mut Gathered) {
    let Size { objects, bytes } = size;
    for (about, is, most, many) in [
        ("bytes", bytes, budget.bytes, "bytes"),
        ("objects", objects, budget.objects, "files and directories"),
        ("layers", layers as u64, budget.layers, "layers"),
    ] {
        if is > most {
            let message = format!("{is} {many}, {most} are in its budget");
            add("IMG-006", about, message, gathered);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_move_are_those_without_a_tag_or_with_latest() {
        for name in [
            "latest",
            "example.org/a:latest",
            "library/nginx",
            "example.org:5000/a",
        ] {
            assert!(moves(name), "{name}");
        }
        for name in [
            "1.2",
            "nginx",
            "example.org/a:1.2",
            "example.org/a@sha256:00",
            "example.org:5000/a:3",
        ] {
            assert!(!moves(name), "{name}");
        }
    }

    #[test]
    fn what_the_host_lacks_is_told_from_what_the_image_is() {
        let of = |cause: &str| is_of_the_host(&Error::new("unpack \"x\"", cause));
        assert!(of("write: no space left on device (ENOSPC)"));
        assert!(!of("a path with \"..\""));
        assert!(!of("more than 5 bytes (limit `bytes`)"));
        assert!(!of("a hard link to \"(ENOSPC)\""));
    }
}
