//! The open descriptors of the process.
//!
//! proc_pid_fd(5) and proc_pid_fdinfo(5) rule.

use std::path::Path;

use super::seen::{self, Seen};
use crate::report::{Body, Section};

const DIRECTORY: &str = "/proc/self/fd";

/// A row for each descriptor.
pub(super) fn section() -> Section {
    let body = numbers().map(|numbers| Body::Table {
        columns: &["number", "access", "what it is"],
        // The descriptor by which the directory was listed is closed by now and has no link any more.
        rows: numbers.into_iter().filter_map(row).collect(),
    });
    seen::section("Open descriptors", "descriptors", body)
}

/// The numbers and what they are.
pub(super) fn open() -> Seen<Vec<(u32, String)>> {
    let target = |number| Some((number, seen::link(format!("{DIRECTORY}/{number}")).ok()?));
    Ok(numbers()?.into_iter().filter_map(target).collect())
}

fn numbers() -> Seen<Vec<u32>> {
    let entries = std::fs::read_dir(DIRECTORY)
        .map_err(|error| seen::unreadable(Path::new(DIRECTORY), &error))?;
    let names = entries
        .filter_map(Result::ok)
        .map(|entry| entry.file_name());
    let mut numbers: Vec<u32> = names
        .filter_map(|name| name.to_str()?.parse().ok())
        .collect();
    numbers.sort_unstable();
    Ok(numbers)
}

fn row(number: u32) -> Option<Vec<String>> {
    let target = seen::link(format!("{DIRECTORY}/{number}")).ok()?;
    let info = seen::text(format!("/proc/self/fdinfo/{number}")).unwrap_or_default();
    Some(vec![number.to_string(), access(&info).to_owned(), target])
}

/// The access mode in the octal `flags:` of fdinfo.
fn access(info: &str) -> &'static str {
    let flags = info
        .lines()
        .find_map(|line| line.strip_prefix("flags:"))
        .and_then(|flags| i32::from_str_radix(flags.trim(), 8).ok());
    match flags {
        None => "unknown",
        Some(flags) if flags & libc::O_PATH != 0 => "path only",
        Some(flags) => match flags & libc::O_ACCMODE {
            libc::O_RDONLY => "read",
            libc::O_WRONLY => "write",
            _ => "read, write",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_mode_comes_from_fdinfo() {
        assert_eq!(access("pos:\t0\nflags:\t0100000\nmnt_id:\t15\n"), "read");
        assert_eq!(access("pos:\t0\nflags:\t0100001"), "write");
        assert_eq!(access("pos:\t0\nflags:\t02100002"), "read, write");
        assert_eq!(access("flags:\t010000000"), "path only");
        assert_eq!(access(""), "unknown");
    }

    #[test]
    fn an_open_file_is_listed_and_the_listing_itself_is_not() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_string_lossy().into_owned();
        let Body::Table { rows, .. } = section().body else {
            panic!("no table");
        };
        assert!(
            rows.iter()
                .any(|row| row[1] == "read, write" && row[2] == path)
        );
    }
}
