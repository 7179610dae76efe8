//! Entries of the transparency log (Rekor, version 1): the log's promise with its time, the proof of inclusion, and that the
//! entry is of this signature. The log itself is not asked. Entries of version 2 have no signed time and are refused.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::bytes::{base64, to_base64, to_hex};
use super::trust::{Log, LogId, TrustedRoot};

/// An entry, as a bundle has it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Written {
    log_index: Value,
    log_id: Option<LogId>,
    integrated_time: Option<Value>,
    inclusion_promise: Option<Promise>,
    inclusion_proof: Option<WrittenProof>,
    canonicalized_body: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Promise {
    signed_entry_timestamp: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenProof {
    log_index: Value,
    root_hash: String,
    tree_size: Value,
    #[serde(default)]
    hashes: Vec<String>,
    checkpoint: Option<Checkpoint>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Checkpoint {
    envelope: String,
}

/// An entry.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) index: u64,
    /// The log's.
    pub(super) log: Vec<u8>,
    /// Seconds since 1970 at which the log took it in; only the promise vouches for it.
    pub(super) time: u64,
    pub(super) promise: Option<Vec<u8>>,
    pub(super) proof: Option<Proof>,
    pub(super) body: Vec<u8>,
}

/// That an entry is in a log of some size.
#[derive(Debug)]
pub(super) struct Proof {
    index: u64,
    root: Vec<u8>,
    size: u64,
    hashes: Vec<Vec<u8>>,
    checkpoint: String,
}

impl Written {
    pub(super) fn read(self) -> Result<Entry, String> {
        let proof = match self.inclusion_proof {
            Some(WrittenProof {
                checkpoint: None, ..
            })
            | None => None,
            Some(proof) => Some(proof.read()?),
        };
        let promise = self.inclusion_promise.map(|promise| {
            let what = "the log's promise";
            base64(&promise.signed_entry_timestamp, what)
        });
        let body = self.canonicalized_body.unwrap_or_default();
        let log = self.log_id.ok_or("the log entry does not name its log")?;
        Ok(Entry {
            index: number(&self.log_index)?,
            log: base64(&log.key_id, "the log's id")?,
            time: self.integrated_time.as_ref().map_or(Ok(0), number)?,
            promise: promise.transpose()?,
            proof,
            body: base64(&body, "the log entry")?,
        })
    }
}

impl WrittenProof {
    fn read(self) -> Result<Proof, String> {
        let hashes = self
            .hashes
            .iter()
            .map(|hash| base64(hash, "a hash of the log"));
        Ok(Proof {
            index: number(&self.log_index)?,
            root: base64(&self.root_hash, "a hash of the log")?,
            size: number(&self.tree_size)?,
            hashes: hashes.collect::<Result<_, _>>()?,
            checkpoint: self.checkpoint.map(|c| c.envelope).unwrap_or_default(),
        })
    }
}

/// Numbers of 64 bits are text in the JSON of protocol buffers; a number is accepted there too.
fn number(value: &Value) -> Result<u64, String> {
    let number = match value {
        Value::String(text) => text.parse().ok(),
        value => value.as_u64(),
    };
    number.ok_or_else(|| "the log entry has an index or a time that is no number".to_owned())
}

impl Entry {
    /// The time at which a log of `root` says that it took the entry in. Whether the entry is of a signature is
    /// `entry`'s to say.
    pub(super) fn time(&self, root: &TrustedRoot) -> Result<u64, String> {
        let mut logs = root.logs.iter().filter(|log| log.id == self.log);
        let log = logs
            .find(|log| log.valid.contains(self.time))
            .ok_or("the log entry is of no log that the trusted root has for its time")?;
        let promise = self.promise.as_ref().ok_or(
            "the log entry has no time that the log has signed: entries without one, as Rekor version 2 makes them, are not supported",
        )?;
        if !log.key.has_signed(self.promised().as_bytes(), promise) {
            return Err("the log did not sign its promise for the log entry".to_owned());
        }
        if let Some(proof) = &self.proof {
            proof.check(&self.body, log)?;
        }
        Ok(self.time)
    }

    /// What the log signs: canonical JSON (RFC 8785), with the keys in this order.
    fn promised(&self) -> String {
        let (body, log) = (to_base64(&self.body), to_hex(&self.log));
        let (time, index) = (self.time, self.index);
        format!(r#"{{"body":"{body}","integratedTime":{time},"logID":"{log}","logIndex":{index}}}"#)
    }
}

impl Proof {
    /// The checkpoint is the log's, and the entry is below its root.
    fn check(&self, body: &[u8], log: &Log) -> Result<(), String> {
        let (size, root) = checkpoint(&self.checkpoint, log)?;
        if size != self.size || root != self.root {
            return Err(
                "the log's checkpoint is of another tree than the proof of inclusion".to_owned(),
            );
        }
        let leaf = hash(0, &[body]);
        match root_of(leaf, self.index, self.size, &self.hashes) {
            Some(root) if root[..] == self.root => Ok(()),
            _ => Err("the proof of inclusion does not lead to the log's root".to_owned()),
        }
    }
}

/// Size and root that a checkpoint of `log` says (the signed note of transparency-dev, `tlog-checkpoint`).
fn checkpoint(note: &str, log: &Log) -> Result<(u64, Vec<u8>), String> {
    let wrong = || "the log's checkpoint is damaged".to_owned();
    let end = note.find("\n\n").ok_or_else(wrong)? + 1;
    let (text, signatures) = note.split_at(end);
    let is_signed = signatures[1..].lines().any(|line| {
        let signature = line
            .strip_prefix("\u{2014} ")
            .and_then(|rest| rest.split_once(' '));
        let signature = signature.and_then(|(_, text)| base64(text, "").ok());
        let parts = signature
            .as_ref()
            .and_then(|bytes| bytes.split_at_checked(4));
        parts.is_some_and(|(hint, signature)| {
            log.id.starts_with(hint) && log.key.has_signed(text.as_bytes(), signature)
        })
    });
    if !is_signed {
        return Err("the log did not sign its checkpoint".to_owned());
    }
    let mut lines = text.lines();
    let origin = lines.next().filter(|origin| !origin.is_empty());
    let size = lines.next().and_then(|size| size.parse().ok());
    let root = lines.next().and_then(|root| base64(root, "").ok());
    match (origin, size, root) {
        (Some(_), Some(size), Some(root)) => Ok((size, root)),
        _ => Err(wrong()),
    }
}

/// RFC 6962 section 2.1: leaves begin with 0, inner nodes with 1.
fn hash(kind: u8, parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update([kind]);
    parts.iter().for_each(|part| hasher.update(part));
    hasher.finalize().into()
}

/// The root that an inclusion proof leads to (RFC 9162 section 2.1.3.2).
fn root_of(leaf: [u8; 32], index: u64, size: u64, path: &[Vec<u8>]) -> Option<[u8; 32]> {
    if index >= size {
        return None;
    }
    let (mut node, mut last, mut root) = (index, size - 1, leaf);
    for sibling in path {
        if last == 0 || sibling.len() != 32 {
            return None;
        }
        if node & 1 == 1 || node == last {
            root = hash(1, &[sibling, &root]);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            root = hash(1, &[&root, sibling]);
        }
        node >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(root)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The root of all leaves by its definition (RFC 6962 section 2.1), and the proof for one of them.
    fn tree(leaves: &[[u8; 32]], index: usize) -> ([u8; 32], Vec<Vec<u8>>) {
        if leaves.len() == 1 {
            return (leaves[0], Vec::new());
        }
        let half = leaves.len().next_power_of_two() / 2;
        let (left, right) = leaves.split_at(half);
        let is_left = index < half;
        let (near, far) = if is_left {
            (left, right)
        } else {
            (right, left)
        };
        let (own, mut path) = tree(near, if is_left { index } else { index - half });
        let other = tree(far, 0).0;
        path.push(other.to_vec());
        let root = if is_left {
            hash(1, &[&own, &other])
        } else {
            hash(1, &[&other, &own])
        };
        (root, path)
    }

    #[test]
    fn a_proof_leads_to_the_root_for_its_leaf_and_place_alone() {
        for size in 1..=17_u8 {
            let leaves: Vec<_> = (0..size).map(|i| hash(0, &[&[i]])).collect();
            for index in 0..size {
                let (root, path) = tree(&leaves, index.into());
                let found =
                    |leaf: u8, at: u64| root_of(hash(0, &[&[leaf]]), at, size.into(), &path);
                assert_eq!(found(index, index.into()), Some(root));
                assert_ne!(found(index + 1, index.into()), Some(root));
                for other in (0..u64::from(size) + 2).filter(|other| *other != u64::from(index)) {
                    assert_ne!(found(index, other), Some(root), "{size} {index} {other}");
                }
            }
        }
    }
}
