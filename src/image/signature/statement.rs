//! In-toto statements (in-toto attestation framework, statement.md) in DSSE envelopes (secure-systems-lab/dsse,
//! protocol.md): what was signed, and whether it is of the image. What the predicate says is not read.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use super::Subject;
use super::bytes::to_hex;
use crate::error::quote;

const PAYLOAD: &str = "application/vnd.in-toto+json";

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Named>,
    predicate_type: String,
}

#[derive(Serialize, Deserialize)]
struct Named {
    digest: BTreeMap<String, String>,
}

/// The bytes that a DSSE signature is over, the pre-authentication encoding.
pub(super) fn encoded(kind: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
    bytes.extend(payload);
    bytes
}

/// The predicate's type of a statement about one of the subjects.
pub(super) fn check(payload: &[u8], kind: &str, subjects: &[Subject]) -> Result<String, String> {
    if kind != PAYLOAD {
        return Err(format!("the payload is {}, not {PAYLOAD}", quote(kind)));
    }
    let statement = crate::spec::typed::<Statement>(payload, "payload");
    let (_, statement) = statement.map_err(|error| error.to_string())?;
    let is_known = matches!(
        &*statement.kind,
        "https://in-toto.io/Statement/v1" | "https://in-toto.io/Statement/v0.1"
    );
    if !is_known {
        return Err(format!("{} is no in-toto statement", quote(statement.kind)));
    }
    let is_of = |named: &Named| {
        let digest = named.digest.get("sha256");
        digest.is_some_and(|hex| subjects.iter().any(|s| to_hex(&s.sha256) == *hex))
    };
    match statement.subject.iter().any(is_of) {
        true => Ok(statement.predicate_type),
        false => Err("is for something else".to_owned()),
    }
}
