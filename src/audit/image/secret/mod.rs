//! Secrets by what a file holds, its first 64 KiB: keys and credentials that let whoever has them in somewhere. A name alone
//! is no secret; forms that cannot be told by content need their file's name besides.
//! Not variables and labels: see `words`.

mod credentials;
mod pem;

use sha2::{Digest, Sha256};

use super::found::{Found, Spot};
use crate::report::Severity;

/// Secrets of one file that are told.
const MOST: usize = 8;

/// One secret, without itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Secret {
    /// In a few words.
    pub(super) what: String,
    /// The start of its SHA-256, in hexadecimal: what it is known by, and nothing that it could be guessed from.
    pub(super) digest: String,
    /// Whether it is of use only to who knows a passphrase too.
    pub(super) is_encrypted: bool,
}

impl Secret {
    fn new(what: impl Into<String>, secret: &[u8]) -> Self {
        let digest = Sha256::digest(secret);
        Self {
            what: what.into(),
            digest: digest[..8]
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
            is_encrypted: false,
        }
    }

    /// As a finding; `more` goes on after what it is.
    pub(super) fn found(&self, spot: Spot, more: &str) -> Found {
        let encrypted = if self.is_encrypted {
            ", encrypted by a passphrase"
        } else {
            ""
        };
        let found = Found::new(spot, format!("{}{encrypted}{more}", self.what));
        let found = found.about(format!("sha256:{}", self.digest));
        if self.is_encrypted {
            found.severity(Severity::High)
        } else {
            found
        }
    }
}

/// What is secret in a file of this path, of which `head` is the beginning.
pub(super) fn of_file(path: &[u8], head: &[u8]) -> Vec<Secret> {
    let mut all = pem::private_keys(head);
    all.extend(credentials::aws(head));
    all.extend(credentials::of_format(super::walk::name(path), head));
    all.truncate(MOST);
    all
}

#[cfg(test)]
mod tests;
