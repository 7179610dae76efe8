//! From a bundle's directory to a checked config. The rules are in `check` and `check_linux`.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags};

use super::check::{check, check_runnable};
use super::config::Config;
use super::strict;
use crate::error::{Doing, Error, Result, quote};

/// Largest config.json in bytes.
const LARGEST: u64 = 16 << 20;

/// A bundle: a directory with a config.json (bundle.md).
#[derive(Debug, Clone)]
pub struct Bundle {
    /// The directory, absolute and without symbolic links.
    pub path: PathBuf,
    /// The config's path as the user gave it, for messages.
    pub file: String,
    /// The config.
    pub config: Config,
    /// What is odd about it and allowed, one line each.
    pub warnings: Vec<String>,
}

impl Bundle {
    /// Loads the config.json of a directory and checks that it describes a container that can run.
    ///
    /// # Errors
    /// What is missing or wrong: the file, the field and the value.
    pub fn load(directory: &Path) -> Result<Self> {
        let shown = quote(directory.to_string_lossy().as_bytes());
        let doing = || format!("open the bundle {shown}");
        let path = std::fs::canonicalize(directory)
            .map_err(|cause| Error::new(doing(), lower(&cause)).hint("--bundle names a directory with a config.json"))?;
        if !path.is_dir() {
            return Err(Error::new(doing(), "not a directory").hint("--bundle names a directory with a config.json"));
        }
        let file = directory.join("config.json").to_string_lossy().into_owned();
        let text = read(&path.join("config.json"), &file)?;
        let (config, warnings) = parse(&text, &file)?;
        check_runnable(&config, &file)?;
        Ok(Self { path, file, config, warnings })
    }
}

fn lower(cause: &std::io::Error) -> String {
    let text = cause.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_lowercase().chain(characters).collect())
}

/// Reads a regular file of bounded size, never waiting for the other end of a FIFO.
fn read(path: &Path, shown: &str) -> Result<Vec<u8>> {
    let doing = || format!("open {}", quote(shown));
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(CWD, path, flags, Mode::empty()).map_err(|errno| {
        let error = Error::new(doing(), lower(&errno.into()));
        if errno == crate::sys::Errno::NOENT { error.hint("`stockade spec` writes one") } else { error }
    })?;
    let stat = rustix::fs::fstat(&fd).doing(doing)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Error::new(doing(), "not a regular file"));
    }
    let mut text = Vec::new();
    File::from(fd).take(LARGEST + 1).read_to_end(&mut text).doing(|| format!("read {}", quote(shown)))?;
    if text.len() as u64 > LARGEST {
        return Err(Error::new(format!("read {}", quote(shown)), format!("larger than {} MiB", LARGEST >> 20)));
    }
    Ok(text)
}

/// Parses and checks the text of a config.json; `file` is its name for messages. Returns the config and the warnings.
///
/// # Errors
/// The field, what it holds, and what is wrong with that.
pub fn parse(text: &[u8], file: &str) -> Result<(Config, Vec<String>)> {
    let front = quote(file);
    if text.starts_with(b"\xef\xbb\xbf") {
        return Err(Error::new(front, "starts with a byte order mark, which JSON does not allow"));
    }
    if text.iter().all(u8::is_ascii_whitespace) {
        return Err(Error::new(front, "is empty"));
    }
    strict::check(text).map_err(|(field, cause)| at(&front, &field, &cause))?;
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let mut config: Config = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let field = error.path().to_string();
        at(&front, if field == "." { "" } else { &field }, &plain(&error.inner().to_string()))
    })?;
    normalise(&mut config);
    let warnings = check(&config).map_err(|(field, cause)| at(&front, &field, &cause))?;
    let warnings = warnings.into_iter().map(|(field, cause)| format!("{front}: {field}: {cause}")).collect();
    Ok((config, warnings))
}

fn at(front: &str, field: &str, cause: &str) -> Error {
    if field.is_empty() { Error::new(front, cause) } else { Error::new(format!("{front}: {field}"), cause) }
}

/// The library's text quotes what it found; control characters in that must not reach a terminal.
fn plain(message: &str) -> String {
    let quoted = quote(message.replace('"', "\u{1}"));
    quoted[1..quoted.len() - 1].replace("\\u{1}", "\"")
}

/// An empty namespace path means a new namespace: several clients write it so.
fn normalise(config: &mut Config) {
    for namespace in config.linux.iter_mut().flat_map(|linux| &mut linux.namespaces) {
        namespace.path = namespace.path.take().filter(|path| !path.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        parse(text.as_bytes(), "b/config.json").unwrap_err().to_string()
    }

    #[test]
    fn degenerate_documents_are_refused_with_the_file() {
        for (text, start) in [
            ("", "\"b/config.json\": is empty"),
            ("null", "\"b/config.json\": invalid type: null"),
            ("[]", "\"b/config.json\": invalid type: sequence"),
            ("\u{feff}{}", "\"b/config.json\": starts with a byte order mark"),
            ("{\"ociVersion\":\"1.0.0\",}", "\"b/config.json\": trailing comma at line 1"),
            ("{} {}", "\"b/config.json\": trailing characters"),
            ("{}", "\"b/config.json\": missing field `ociVersion`"),
        ] {
            let refusal = refusal(text);
            assert!(refusal.starts_with(start), "{text:?}: {refusal}");
        }
    }

    #[test]
    fn wrong_values_are_refused_with_the_field() {
        for (text, start) in [
            (r#"{"ociVersion":"1.0.0","linux":null}"#, "\"b/config.json\": linux: invalid type: null"),
            (
                r#"{"ociVersion":"1.0.0","linux":{"namespaces":[{"type":"pid"},{"type":"x\u001b"}]}}"#,
                "\"b/config.json\": linux.namespaces[1].type: unknown variant `x\\u{1b}`",
            ),
            (r#"{"ociVersion":"1.0.0","hostname":"a","hostname":"b"}"#, "\"b/config.json\": hostname: duplicate key"),
            (r#"{"ociVersion":"1.0.0","x":{"a":1,"a":2}}"#, "\"b/config.json\": x.a: duplicate key"),
            (r#"{"ociVersion":"1.0.0","hostname":"a\u0000b"}"#, "\"b/config.json\": hostname: holds a NUL"),
            (r#"{"ociVersion":"2.0.0"}"#, "\"b/config.json\": ociVersion: \"2.0.0\""),
        ] {
            let refusal = refusal(text);
            assert!(refusal.starts_with(start), "{text}: {refusal}");
        }
    }

    #[test]
    fn unknown_fields_and_newer_minor_versions_are_tolerated() {
        let (_, warnings) = parse(br#"{"ociVersion":"1.99.0-dev","future":{"x":null}}"#, "c").unwrap();
        assert_eq!(warnings, ["\"c\": ociVersion: \"1.99.0-dev\" is newer than 1.3.0, which is what stockade follows"]);
    }
}
