//! Whether a log entry is of one signature: the kinds `hashedrekord` 0.0.1, `dsse` 0.0.1 and `intoto` 0.0.2 of Rekor.
//! Whether a log vouches for the entry is `log`'s.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::bytes::{base64, to_hex};
use super::certificate::Certificate;
use super::{Signature, Signed};
use crate::error::quote;

/// The entry's body is of this very signature, by this very certificate, over this very content.
pub(super) fn check(body: &[u8], signature: &Signature, certificate: &[u8]) -> Result<(), String> {
    let (_, body) =
        crate::spec::typed::<Value>(body, "the log entry").map_err(|e| e.to_string())?;
    let word = |key: &str| body[key].as_str().unwrap_or_default();
    let spec = &body["spec"];
    let (hash, content, signatures) = match (word("kind"), word("apiVersion"), &signature.signed) {
        ("hashedrekord", "0.0.1", Signed::Bytes(bytes)) => {
            let inner = &spec["signature"];
            let key = &inner["publicKey"]["content"];
            (
                &spec["data"]["hash"],
                &bytes[..],
                vec![(&inner["content"], key)],
            )
        }
        ("dsse", "0.0.1", Signed::Envelope { payload, .. }) => {
            let all = pairs(&spec["signatures"], "signature", "verifier");
            (&spec["payloadHash"], &payload[..], all)
        }
        ("intoto", "0.0.2", Signed::Envelope { payload, .. }) => {
            let content = &spec["content"];
            let all = pairs(&content["envelope"]["signatures"], "sig", "publicKey");
            (&content["payloadHash"], &payload[..], all)
        }
        (kind, version, _) => {
            let kind = quote(format!("{kind} {version}"));
            return Err(format!(
                "the log entry is {kind}, which is not for such a signature"
            ));
        }
    };
    let is_content =
        hash["algorithm"] == "sha256" && hash["value"] == to_hex(&Sha256::digest(content));
    if !is_content {
        return Err("the log entry is of other content".to_owned());
    }
    let is_it = |(text, key): &(&Value, &Value)| {
        is_signature(text, &signature.bytes, word("kind")) && is_certificate(key, certificate)
    };
    match signatures.as_slice() {
        [one] if is_it(one) => Ok(()),
        _ => Err("the log entry is of another signature".to_owned()),
    }
}

fn pairs<'a>(signatures: &'a Value, signature: &str, key: &str) -> Vec<(&'a Value, &'a Value)> {
    let all = signatures.as_array().into_iter().flatten();
    all.map(|one| (&one[signature], &one[key])).collect()
}

fn decoded(value: &Value) -> Option<Vec<u8>> {
    base64(value.as_str()?, "").ok()
}

/// `intoto` entries hold the base64 of a signature in base64.
fn is_signature(value: &Value, signature: &[u8], kind: &str) -> bool {
    let Some(outer) = decoded(value) else {
        return false;
    };
    if kind != "intoto" {
        return outer == signature;
    }
    let inner = String::from_utf8(outer).ok();
    inner.and_then(|text| base64(&text, "").ok()).as_deref() == Some(signature)
}

fn is_certificate(value: &Value, certificate: &[u8]) -> bool {
    let pem = decoded(value).unwrap_or_default();
    Certificate::parse_pem(&pem).is_ok_and(|(_, der)| der == certificate)
}
