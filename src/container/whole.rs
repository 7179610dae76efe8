//! A file of the caller's that is there whole or not at all.
//! Not here: files of clients, which keep a copy of the old one, their owner and their mode (`cmd::install`).

use std::fs::{self, File};
use std::io::{Result, Write as _};
use std::path::Path;

/// Writes a file, or replaces one. Never through a link: others may write to the directory.
///
/// # Errors
/// It cannot be written; what was there stays.
pub fn write_whole(path: &Path, text: &str) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{}", std::process::id()));
    // One that a killed process left.
    drop(fs::remove_file(&temporary));
    File::create_new(&temporary)?
        .write_all(text.as_bytes())
        .and_then(|()| fs::rename(&temporary, path))
        .inspect_err(|_| drop(fs::remove_file(&temporary)))
}
