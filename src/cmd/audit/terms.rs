//! What an image is held to by flags and configuration, and the directory that it is unpacked in to be looked at.

use rustix::fs::Mode;

use super::Audit;
use crate::audit::Subject;
use crate::audit::image::Budget;
use crate::cmd::Global;
use crate::cmd::partial::Partial;
use crate::configuration::signed_by_all;
use crate::error::{Doing, Result, quote};

/// Sets the terms of an image, and makes the directory for it, which goes when what is returned is dropped.
///
/// # Errors
/// The configuration or a key cannot be read; the directory cannot be made.
pub(super) fn hold(
    global: &Global,
    arguments: &Audit,
    subject: &mut Subject,
) -> Result<Option<Partial>> {
    for (name, most) in &arguments.budget {
        subject.terms.budget.set(name, *most);
    }
    if subject.image.is_none() {
        return Ok(None);
    }
    let configuration = global.configuration()?;
    subject.terms.policy = signed_by_all(configuration.policy()?, &arguments.key)?;
    subject.terms.limits = configuration.limits;
    // What is unpacked gets the modes that are meant.
    rustix::process::umask(Mode::from_raw_mode(0o022));
    let partial = Partial::temporary("audit")?;
    let root = partial.inside().join("rootfs");
    std::fs::create_dir(&root).doing(|| "make a root filesystem")?;
    subject.terms.scratch = Some(root);
    Ok(Some(partial))
}

/// The value of `--budget`.
pub(super) fn budget(text: &str) -> std::result::Result<(String, u64), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or("a budget is NAME=NUMBER, such as layers=10")?;
    let most = value
        .parse()
        .map_err(|_| format!("{} is no number", quote(value)))?;
    if !Budget::default().set(name, most) {
        return Err(format!("the budgets are {}", Budget::NAMES.join(", ")));
    }
    Ok((name.to_owned(), most))
}
