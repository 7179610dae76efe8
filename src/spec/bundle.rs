//! A bundle (bundle.md): a directory with a config.json in it.
//! Where its root filesystem is and whether it exists is asked when it is mounted.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Config, Process, check_runnable, parse, parse_process};
use crate::error::{Doing, Error, Result, quote_path};

/// The most that a config.json may be long, in bytes.
const LONGEST: u64 = 16 << 20;

/// A loaded bundle; its config has been checked and can be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// The directory: absolute and without symbolic links.
    pub path: PathBuf,
    /// The path of config.json as the user gave it, for messages.
    pub file: String,
    /// The document.
    pub config: Config,
    /// What the user should know and does not stop the container: complete lines.
    pub warnings: Vec<String>,
}

impl Bundle {
    /// Loads `dir/config.json`. Never blocks, whatever the file is.
    ///
    /// # Errors
    /// `dir` is no directory, config.json cannot be read, or the config is wrong or cannot be run.
    pub fn load(dir: &Path) -> Result<Self> {
        let path = directory(dir)?;
        let file = dir.join("config.json");
        let text = read(&file)?;
        let file = file.to_string_lossy().into_owned();
        let (config, warnings) = parse(&text, &file)?;
        check_runnable(&config, &file)?;
        Ok(Self {
            path,
            file,
            config,
            warnings,
        })
    }
}

/// Loads a process from a document of its own (config.md, "Process"), as [`parse_process`] returns it. It is the caller's
/// file, and may be a pipe.
///
/// # Errors
/// The file cannot be read, or what is wrong in it.
pub fn load_process(file: &Path) -> Result<(Value, Process, Vec<String>)> {
    let doing = || format!("read {}", quote_path(file));
    let mut text = Vec::new();
    let mut bounded = File::open(file).doing(doing)?.take(LONGEST + 1);
    if bounded.read_to_end(&mut text).doing(doing)? as u64 > LONGEST {
        return Err(Error::new(doing(), "longer than 16 MiB"));
    }
    parse_process(&text, &file.to_string_lossy())
}

fn directory(dir: &Path) -> Result<PathBuf> {
    let name = quote_path(dir);
    let failed = |e: &io::Error| {
        Error::new(format!("open bundle {name}"), e)
            .hint("give the directory that holds config.json with --bundle")
    };
    let path = dir.canonicalize().map_err(|e| failed(&e))?;
    if !path.is_dir() {
        return Err(failed(&io::Error::from_raw_os_error(libc::ENOTDIR)));
    }
    Ok(path)
}

fn read(file: &Path) -> Result<Vec<u8>> {
    let name = quote_path(file);
    let failed = |cause: &dyn Display| Error::new(format!("read {name}"), cause);
    let mut options = File::options();
    // A FIFO or a device must not block the open.
    options
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    let opened = options.open(file).map_err(|e| {
        let error = failed(&e);
        match e.kind() {
            io::ErrorKind::NotFound => error.hint("make one with `stockade spec`"),
            io::ErrorKind::PermissionDenied => error.hint("make it readable for this user"),
            _ => error,
        }
    })?;
    let meta = opened.metadata().map_err(|e| failed(&e))?;
    if !meta.is_file() {
        let error = failed(&"not a regular file");
        return Err(error.hint("make one with `stockade spec`"));
    }
    let mut text = Vec::new();
    let mut bounded = opened.take(LONGEST + 1);
    let length = bounded.read_to_end(&mut text);
    if length.map_err(|e| failed(&e))? as u64 > LONGEST {
        return Err(failed(&"longer than 16 MiB"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(dir: &Path) -> String {
        let error = Bundle::load(dir).unwrap_err();
        let hint = error.try_this().unwrap_or_default();
        format!("{error} | {hint}").replace(&dir.display().to_string(), "DIR")
    }

    #[test]
    fn bundle_that_cannot_be_read_gets_one_clear_line() {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path();
        let config = dir.join("config.json");
        assert_eq!(
            error_of(&dir.join("none")),
            "open bundle \"DIR\": no such file or directory (ENOENT) | \
             give the directory that holds config.json with --bundle"
        );
        assert_eq!(
            error_of(dir),
            "read \"DIR/config.json\": no such file or directory (ENOENT) | make one with `stockade spec`"
        );
        std::fs::create_dir(&config).unwrap();
        assert_eq!(
            error_of(dir),
            "read \"DIR/config.json\": not a regular file | make one with `stockade spec`"
        );
        std::fs::remove_dir(&config).unwrap();
        nix::unistd::mkfifo(&config, nix::sys::stat::Mode::S_IRUSR).unwrap();
        assert_eq!(
            error_of(dir),
            "read \"DIR/config.json\": not a regular file | make one with `stockade spec`"
        );
        std::fs::remove_file(&config).unwrap();
        File::create(&config).unwrap().set_len(LONGEST + 1).unwrap();
        assert_eq!(
            error_of(dir),
            "read \"DIR/config.json\": longer than 16 MiB | "
        );
        assert_eq!(
            error_of(&config),
            "open bundle \"DIR\": not a directory (ENOTDIR) | \
             give the directory that holds config.json with --bundle"
        );
    }

    #[test]
    fn bundle_path_is_canonical_and_file_is_as_given() {
        let scratch = tempfile::tempdir().unwrap();
        let text = crate::spec::to_text(&crate::spec::hardened_default(None));
        std::fs::write(scratch.path().join("config.json"), text).unwrap();
        let given = scratch.path().join(".").join("");
        let bundle = Bundle::load(&given).unwrap();
        assert_eq!(bundle.path, scratch.path().canonicalize().unwrap());
        assert_eq!(bundle.file, given.join("config.json").to_str().unwrap());
        assert_eq!(bundle.warnings, Vec::<String>::new());
    }
}
