//! Warnings and errors: to the file of `--log`, in the two formats of runc that clients parse, and to standard error.
//! Without a file, warnings go to standard error; with one, only the error that ends the program does.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::SystemTime;

use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::cmd::LogFormat;
use crate::container::timestamp;
use crate::error::{Doing, Error, Result, quote, quote_path};

/// Sets up the log of this process, once.
///
/// # Errors
/// The file cannot be opened.
pub(super) fn open(path: Option<&Path>, format: LogFormat, debug: bool) -> Result<()> {
    // An empty path means none, as for other runtimes.
    let path = path.filter(|path| !path.as_os_str().is_empty());
    let file = path.map(append_to).transpose()?;
    let level = if debug {
        LevelFilter::Debug
    } else {
        LevelFilter::Warn
    };
    // It fails only the second time, when the first log goes on.
    if log::set_boxed_logger(Box::new(Logger { file, format })).is_ok() {
        log::set_max_level(level);
    }
    Ok(())
}

fn append_to(path: &Path) -> Result<File> {
    // Not blocking, for a FIFO without a reader must not hang the client.
    let mut options = OpenOptions::new();
    options
        .append(true)
        .create(true)
        .mode(0o644)
        .custom_flags(libc::O_NONBLOCK);
    options
        .open(path)
        .doing(|| format!("open log {}", quote_path(path)))
}

/// Writes the error that ends the program: one line, and a second one, `try: …`, for what the user can do.
pub(super) fn report(error: &Error) {
    match error.try_this() {
        Some(hint) => log::error!("{error} ({hint})"),
        None => log::error!("{error}"),
    }
    let hint = error
        .try_this()
        .map(|hint| format!("\ntry: {hint}"))
        .unwrap_or_default();
    // With standard error gone there is nobody left to tell.
    let _ = writeln!(std::io::stderr(), "error: {error}{hint}");
}

struct Logger {
    file: Option<File>,
    format: LogFormat,
}

impl Log for Logger {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let text = record.args().to_string();
        let level = word(record.level());
        // A log that cannot be written must not change what the program does.
        let _ = match &self.file {
            Some(file) => {
                let line = line(self.format, level, &text, SystemTime::now());
                (&mut &*file).write_all(line.as_bytes())
            }
            // `report` writes it.
            None if record.level() == Level::Error => Ok(()),
            // Details are for scripts rather than people, who look for the level.
            None if record.level() == Level::Debug => {
                let line = line(LogFormat::Text, level, &text, SystemTime::now());
                std::io::stderr().write_all(line.as_bytes())
            }
            None => writeln!(std::io::stderr(), "{level}: {text}"),
        };
    }

    fn flush(&self) {}
}

fn word(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warning",
        Level::Info => "info",
        Level::Debug | Level::Trace => "debug",
    }
}

/// One record, as a whole line for one write.
fn line(format: LogFormat, level: &str, text: &str, time: SystemTime) -> String {
    let time = timestamp(time);
    match format {
        LogFormat::Text => format!("time=\"{time}\" level={level} msg={}\n", quote(text)),
        LogFormat::Json => {
            let text = serde_json::Value::from(text);
            format!("{{\"level\":\"{level}\",\"msg\":{text},\"time\":\"{time}\"}}\n")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_have_the_shape_that_clients_parse() {
        let at = std::time::UNIX_EPOCH;
        let json = line(LogFormat::Json, "error", "open \"/x\": no\n", at);
        let time = "1970-01-01T00:00:00.000000000Z";
        assert_eq!(
            json,
            format!(r#"{{"level":"error","msg":"open \"/x\": no\n","time":"{time}"}}"#) + "\n"
        );
        let text = line(LogFormat::Text, "warning", "a \"b\"", at);
        assert_eq!(
            text,
            format!(r#"time="{time}" level=warning msg="a \"b\"""#) + "\n"
        );
    }
}
