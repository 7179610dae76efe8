//! For each check one subject in which it fires and one in which it is quiet; those of one kind of check are in a file.

use super::*;

/// The two subjects of one check, audited.
pub(super) struct Fixture {
    pub id: &'static str,
    /// At least one finding of the check.
    pub fires: Box<dyn Fn() -> Findings>,
    /// None of it.
    pub quiet: Box<dyn Fn() -> Findings>,
}

/// Of every check.
pub(super) fn fixtures() -> impl Iterator<Item = Fixture> {
    of_config::fixtures()
        .into_iter()
        .chain(of_image::fixtures())
}
