//! `list`: every container below the root, the damaged ones included.

use std::fs;

use super::{Entry, StateDocument, Store};
use crate::error::{Error, Result};

/// One container as found.
#[derive(Debug)]
pub enum Listed {
    /// Its state.
    Whole(Box<StateDocument>),
    /// Its id, and why its state cannot be read.
    Damaged(String, Error),
}

/// Looks at every container, in the order of their ids.
///
/// # Errors
/// The root cannot be read.
pub fn list(store: &Store) -> Result<Vec<Listed>> {
    Ok(store.list()?.iter().filter_map(look).collect())
}

/// `None` for one that came or went while we looked.
fn look(entry: &Entry) -> Option<Listed> {
    match entry.state() {
        Ok(state) => Some(Listed::Whole(Box::new(state.document(state.status(entry))))),
        Err(_) if entry.is_gone() || entry.is_locked() => None,
        Err(error) => Some(Listed::Damaged(entry.id().to_owned(), error)),
    }
}

/// The name of a user by /etc/passwd of the host, or `#` and the id.
pub fn owner(uid: u32) -> String {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    name_of(uid, &users).map_or_else(|| format!("#{uid}"), str::to_owned)
}

/// passwd(5): name, password, uid.
fn name_of(uid: u32, users: &str) -> Option<&str> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, id) = (fields.next()?, fields.nth(1)?);
        (id.parse() == Ok(uid)).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_found_by_number() {
        let users = "root:x:0:0::/:/bin/sh\nbroken\nweb:x:33:33::/:/bin/sh\n";
        assert_eq!(name_of(33, users), Some("web"));
        assert_eq!(name_of(34, users), None);
    }
}
