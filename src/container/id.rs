//! The rule for container ids: what is safe as one file name and what other runtimes accept.

use crate::error::{Error, Result, quote};

/// The longest file name on Linux (`NAME_MAX`), since an id is the name of a directory.
const LONGEST: usize = 255;

/// Checks an id: letters, digits, `_`, `+`, `-` and `.`; not `.` or `..`; no `-` first; at most 255 bytes.
///
/// # Errors
/// Names the id and the rule.
pub fn check(id: &str) -> Result<()> {
    let refuse = |cause: &str| {
        let shown: String = id.chars().take(64).collect();
        Err(Error::new(format!("container id {}", quote(shown)), cause)
            .hint("an id of letters, digits, \"_\", \"+\", \"-\" and \".\""))
    };
    match id {
        "" => return refuse("it is empty"),
        "." | ".." => return refuse("it names a directory that exists everywhere"),
        _ => {}
    }
    if id.starts_with('-') {
        return refuse("it begins like a flag");
    }
    if id.len() > LONGEST {
        return refuse("it is longer than 255 bytes");
    }
    let odd = |c: char| !(c.is_ascii_alphanumeric() || "_+-.".contains(c));
    match id.chars().find(|&c| odd(c)) {
        Some(c) => refuse(&format!("{} is not allowed in it", quote(c.to_string()))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_clients_use_are_accepted() {
        let hash = "0123456789abcdef".repeat(4);
        for id in [
            "a",
            "web.1",
            "..a",
            "a+b_c-d",
            hash.as_str(),
            &"x".repeat(255),
        ] {
            assert_eq!(check(id), Ok(()), "{id}");
        }
    }

    #[test]
    fn ids_that_leave_the_state_directory_are_refused() {
        for id in [
            "",
            ".",
            "..",
            "-x",
            "a/b",
            "../a",
            "a\0b",
            "a b",
            "ä",
            "a\n",
            &"x".repeat(256),
        ] {
            assert!(check(id).is_err(), "{id}");
        }
        let error = check("a/b").unwrap_err();
        assert_eq!(
            error.to_string(),
            r#"container id "a/b": "/" is not allowed in it"#
        );
    }
}
