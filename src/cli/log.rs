//! What happened: to the file of `--log`, in the two formats of runc that clients parse, and to standard error.
//! Without a file, warnings go to standard error; with one, only the error that ends the program does. What a profile
//! changed is of the level info: in the file, and on standard error only with `--debug`.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::SystemTime;

use log::kv::{Key, Value, VisitSource};
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
    let level = match (debug, &file) {
        (true, _) => LevelFilter::Debug,
        (false, Some(_)) => LevelFilter::Info,
        (false, None) => LevelFilter::Warn,
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
        let whole = |format| line(format, level, &text, SystemTime::now(), &fields(record));
        // A log that cannot be written must not change what the program does.
        let _ = match &self.file {
            Some(file) => (&mut &*file).write_all(whole(self.format).as_bytes()),
            // `report` writes it.
            None if record.level() == Level::Error => Ok(()),
            // Details are for scripts rather than people, who look for the level.
            None if record.level() == Level::Debug => {
                std::io::stderr().write_all(whole(LogFormat::Text).as_bytes())
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

/// What a record says beside its sentence, each by its name.
type Fields = Vec<(String, String)>;

fn fields(record: &Record<'_>) -> Fields {
    struct All(Fields);
    impl<'a> VisitSource<'a> for All {
        fn visit_pair(
            &mut self,
            key: Key<'a>,
            value: Value<'a>,
        ) -> std::result::Result<(), log::kv::Error> {
            self.0.push((key.to_string(), value.to_string()));
            Ok(())
        }
    }
    let mut all = All(Vec::new());
    // Ours never fails.
    let _ = record.key_values().visit(&mut all);
    all.0
}

/// One record, as a whole line for one write. Fields come last, under other names than the three that clients read.
fn line(
    format: LogFormat,
    level: &str,
    text: &str,
    time: SystemTime,
    fields: &[(String, String)],
) -> String {
    let time = timestamp(time);
    let mut line = match format {
        LogFormat::Text => format!("time=\"{time}\" level={level} msg={}", quote(text)),
        LogFormat::Json => {
            let text = serde_json::Value::from(text);
            format!("{{\"level\":\"{level}\",\"msg\":{text},\"time\":\"{time}\"")
        }
    };
    for (name, value) in fields {
        line.push_str(&match format {
            LogFormat::Text => format!(" {name}={}", quote(value)),
            LogFormat::Json => {
                let value = serde_json::Value::from(value.as_str());
                format!(",\"{name}\":{value}")
            }
        });
    }
    line.push_str(match format {
        LogFormat::Text => "\n",
        LogFormat::Json => "}\n",
    });
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_have_the_shape_that_clients_parse() {
        let at = std::time::UNIX_EPOCH;
        let json = line(LogFormat::Json, "error", "open \"/x\": no\n", at, &[]);
        let time = "1970-01-01T00:00:00.000000000Z";
        assert_eq!(
            json,
            format!(r#"{{"level":"error","msg":"open \"/x\": no\n","time":"{time}"}}"#) + "\n"
        );
        let text = line(LogFormat::Text, "warning", "a \"b\"", at, &[]);
        assert_eq!(
            text,
            format!(r#"time="{time}" level=warning msg="a \"b\"""#) + "\n"
        );
    }

    #[test]
    fn fields_of_a_record_stand_behind_what_clients_read() {
        let (pointer, before) = ("/process/noNewPrivileges", "[\"a\"]");
        let pairs = [("pointer", pointer), ("before", before)];
        let record = Record::builder().key_values(&pairs).build();
        let fields = fields(&record);
        let at = std::time::UNIX_EPOCH;
        let time = "1970-01-01T00:00:00.000000000Z";
        assert_eq!(
            line(LogFormat::Json, "info", "x", at, &fields),
            format!(
                r#"{{"level":"info","msg":"x","time":"{time}","pointer":"{pointer}","before":"[\"a\"]"}}"#
            ) + "\n"
        );
        assert_eq!(
            line(LogFormat::Text, "info", "x", at, &fields),
            format!(r#"time="{time}" level=info msg="x" pointer="{pointer}" before="[\"a\"]""#)
                + "\n"
        );
    }
}
