//! The signed certificate timestamp inside a certificate: a log's promise that it has seen it (RFC 6962 section 3.2, 3.3).
//! Proofs that the log kept the promise are not here: they need the log.

use der::asn1::OctetStringRef;
use der::{Decode, Encode};
use sha2::{Digest as _, Sha256};

use super::bytes::Bytes;
use super::certificate::Certificate;
use super::trust::TrustedRoot;

const LIST: &str = "1.3.6.1.4.1.11129.2.4.2";

/// One promise.
struct Timestamp<'a> {
    log: &'a [u8],
    milliseconds: u64,
    extensions: &'a [u8],
    signature: &'a [u8],
}

/// At least one log of the trusted root has promised to have seen `leaf`, which `issuer` has issued.
pub(super) fn check(
    leaf: &Certificate,
    issuer: &Certificate,
    root: &TrustedRoot,
) -> Result<(), String> {
    let value = leaf
        .extension(LIST)
        .ok_or("the certificate has no timestamp of a certificate log")?;
    let list = <&OctetStringRef>::from_der(value).ok();
    let timestamps = list.and_then(|list| parse(list.as_bytes()));
    let timestamps =
        timestamps.ok_or("the certificate's timestamp of a certificate log is damaged")?;
    let issuer_key = Sha256::digest(issuer.body.key.der()?);
    let body = logged(leaf)?;
    let mut is_known = false;
    for timestamp in timestamps {
        let seconds = timestamp.milliseconds / 1000;
        let logs = root.certificate_logs.iter();
        for log in logs.filter(|log| log.id == timestamp.log && log.valid.contains(seconds)) {
            is_known = true;
            let signed = signed(&timestamp, &issuer_key, &body)?;
            if log.key.has_signed(&signed, timestamp.signature) {
                return Ok(());
            }
        }
    }
    Err(match is_known {
        true => "the certificate log did not sign the certificate's timestamp",
        false => "the certificate's timestamp is of no certificate log in the trusted root",
    }
    .to_owned())
}

/// The body that was logged: the certificate's without the timestamps.
fn logged(leaf: &Certificate) -> Result<Vec<u8>, String> {
    let mut body = leaf.body.clone();
    body.extensions
        .retain(|extension| extension.id.to_string() != LIST);
    body.to_der().map_err(|cause| cause.to_string())
}

/// `digitally-signed struct` of a precertificate.
fn signed(timestamp: &Timestamp<'_>, issuer_key: &[u8], body: &[u8]) -> Result<Vec<u8>, String> {
    let length = u32::try_from(body.len())
        .ok()
        .filter(|length| *length < 1 << 24);
    let length = length.ok_or("the certificate is too long")?;
    let extensions = u16::try_from(timestamp.extensions.len()).map_err(|e| e.to_string())?;
    // Version 1, certificate_timestamp; then precert_entry.
    let mut signed = vec![0, 0];
    signed.extend(timestamp.milliseconds.to_be_bytes());
    signed.extend([0, 1]);
    signed.extend(issuer_key);
    signed.extend(&length.to_be_bytes()[1..]);
    signed.extend(body);
    signed.extend(extensions.to_be_bytes());
    signed.extend(timestamp.extensions);
    Ok(signed)
}

fn parse(list: &[u8]) -> Option<Vec<Timestamp<'_>>> {
    let mut all = Bytes(list);
    let mut rest = Bytes(all.counted()?);
    all.end()?;
    let mut timestamps = Vec::new();
    while !rest.0.is_empty() {
        let mut one = Bytes(rest.counted()?);
        if one.take(1)? != [0] {
            continue;
        }
        let log = one.take(32)?;
        let milliseconds = u64::from_be_bytes(one.take(8)?.try_into().ok()?);
        let extensions = one.counted()?;
        // SHA-256 and ECDSA, which every log of these uses.
        if one.take(2)? != [4, 3] {
            continue;
        }
        let signature = one.counted()?;
        one.end()?;
        timestamps.push(Timestamp {
            log,
            milliseconds,
            extensions,
            signature,
        });
    }
    Some(timestamps)
}
