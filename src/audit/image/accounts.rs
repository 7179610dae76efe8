//! IMG-014: whether passwd(5), group(5) and shadow(5) of a root filesystem can be relied on. Names are resolved elsewhere.

use std::collections::HashMap;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::Errno;

use super::found::{Found, Gathered, MOST};
use crate::error::{errno_words, quote};
use crate::image::inside;
use crate::report::Severity;

const CHECK: &str = "IMG-014";

/// The largest file that is read, in bytes, as whoever resolves a user has it.
const LARGEST: u64 = 1 << 20;

/// Looks at the three files below `root`.
pub(super) fn look(root: BorrowedFd<'_>, gathered: &mut Gathered) {
    let mut read = |path: &str| match text(root, path) {
        Ok(text) => text,
        Err(cause) => {
            gathered.add(CHECK, Found::at(path.as_bytes(), cause));
            None
        }
    };
    let passwd = read("etc/passwd");
    let shadow = read("etc/shadow");
    let group = read("etc/group");
    if let Some(text) = passwd {
        passwords("etc/passwd", &text, gathered);
        ids("etc/passwd", &text, "user", gathered);
    }
    if let Some(text) = shadow {
        passwords("etc/shadow", &text, gathered);
    }
    if let Some(text) = group {
        ids("etc/group", &text, "group", gathered);
    }
}

/// The text of a file, as the container resolves its path; none where there is none.
fn text(root: BorrowedFd<'_>, path: &str) -> Result<Option<String>, String> {
    let (named, stat) = match inside::named(root, path) {
        Ok(found) => found,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        Err(errno) => {
            return Err(format!(
                "cannot be opened: {}",
                errno_words(errno.raw_os_error())
            ));
        }
    };
    let unreadable =
        |errno: Errno| format!("cannot be read: {}", errno_words(errno.raw_os_error()));
    if !inside::is_file(&stat) {
        return Err("is no regular file".to_owned());
    }
    if u64::try_from(stat.st_size).unwrap_or(u64::MAX) > LARGEST {
        return Err(format!("has {} bytes: {LARGEST} are read", stat.st_size));
    }
    let file = match inside::reopen(named.as_fd()) {
        // Of this user nobody says that it may read shadow(5).
        Err(Errno::ACCESS) if path == "etc/shadow" => return Ok(None),
        other => other.map_err(unreadable)?,
    };
    let mut bytes = Vec::new();
    let read = file.take(LARGEST).read_to_end(&mut bytes);
    read.map_err(|error| format!("cannot be read: {error}"))?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// The fields of each line that is one: neither a comment nor of NIS.
fn lines(text: &str) -> impl Iterator<Item = Vec<&str>> {
    let is_entry = |line: &&str| !line.is_empty() && !line.starts_with(['#', '+', '-']);
    text.lines()
        .filter(is_entry)
        .map(|line| line.split(':').collect())
}

/// An empty field lets everybody in; `x`, `*`, `!` and hashes do not.
fn passwords(file: &str, text: &str, gathered: &mut Gathered) {
    for fields in lines(text) {
        if let [name, "", _, ..] = fields[..] {
            let message = format!("{} needs no password", quote(name));
            gathered.add(
                CHECK,
                Found::at(file.as_bytes(), message).about(shown(name)),
            );
        }
    }
}

/// Two names of one id, of which 0 matters most, and one name twice.
fn ids(file: &str, text: &str, what: &str, gathered: &mut Gathered) {
    let mut by_id: HashMap<&str, &str> = HashMap::new();
    let mut names: HashMap<&str, &str> = HashMap::new();
    let mut left = MOST;
    for fields in lines(text) {
        let [name, _, id, ..] = fields[..] else {
            continue;
        };
        let mut add = |message: String, is_root: bool| {
            let found = Found::at(file.as_bytes(), message).about(shown(name));
            let found = if is_root {
                found
            } else {
                found.severity(Severity::Medium)
            };
            gathered.add(CHECK, found);
        };
        if let Some(other) = names.insert(name, id) {
            let id = quote(id);
            add(
                format!("{what} {} is {} and {id}", quote(name), quote(other)),
                false,
            );
        } else if let Some(other) = by_id.insert(id, name) {
            let is_root = what == "user" && id.trim_start_matches('0').is_empty();
            add(
                format!(
                    "{what} {} has the id {} of {}",
                    quote(name),
                    quote(id),
                    quote(other)
                ),
                is_root,
            );
        } else {
            continue;
        }
        left -= 1;
        if left == 0 {
            return;
        }
    }
}

/// A name as part of what a finding is known by.
fn shown(name: &str) -> String {
    name.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(look: impl FnOnce(&mut Gathered)) -> Vec<(String, Option<Severity>)> {
        let mut gathered = Gathered::default();
        look(&mut gathered);
        gathered
            .into_found()
            .map(|(_, found)| (found.message, found.severity))
            .collect()
    }

    #[test]
    fn empty_passwords_let_everybody_in() {
        let text =
            "root::0:0::/:/bin/sh\ndaemon:*:1:1::/:\n+::::::\nx:!:2:2:::\ny:x:3:3:::\nshort:\n";
        let all = found(|gathered| passwords("etc/passwd", text, gathered));
        assert_eq!(all, [("\"root\" needs no password".to_owned(), None)]);
    }

    #[test]
    fn ids_belong_to_one_name() {
        let text = "root:x:0:0::/:\ntoor:x:0:0::/:\na:x:5:5:::\nb:x:5:5:::\na:x:6:6:::\n";
        let all = found(|gathered| ids("etc/passwd", text, "user", gathered));
        let expected = [
            ("user \"a\" is \"5\" and \"6\"", Some(Severity::Medium)),
            (
                "user \"b\" has the id \"5\" of \"a\"",
                Some(Severity::Medium),
            ),
            ("user \"toor\" has the id \"0\" of \"root\"", None),
        ];
        assert_eq!(
            all,
            expected.map(|(text, severity)| (text.to_owned(), severity))
        );
    }
}
