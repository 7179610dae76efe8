//! Cosign's own signatures: a payload of "simple signing" as a layer, the signature in its annotations (cosign,
//! specs/SIGNATURE_SPEC.md), with a certificate and a log entry there if it was made without a key.

use serde::{Deserialize, Serialize};

use super::bytes::{base64, to_hex};
use super::certificate::Certificate;
use super::log::Entry;
use super::{Material, Signature, Signed, Subject};
use crate::error::quote;
use crate::image::Descriptor;

/// The payload's media type.
pub(super) const MEDIA_TYPE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";
const BUNDLE: &str = "dev.sigstore.cosign/bundle";
const TIMESTAMP: &str = "dev.sigstore.cosign/rfc3161timestamp";

#[derive(Serialize, Deserialize)]
struct Payload {
    critical: Critical,
}

#[derive(Serialize, Deserialize)]
struct Critical {
    image: Named,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Serialize, Deserialize)]
struct Named {
    #[serde(rename = "docker-manifest-digest")]
    digest: String,
}

/// Rekor's answer, as cosign keeps it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Logged {
    signed_entry_timestamp: String,
    payload: LoggedPayload,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LoggedPayload {
    body: String,
    integrated_time: u64,
    log_index: u64,
    #[serde(rename = "logID")]
    log: String,
}

/// The signature of a layer with this content, of one of the subjects.
pub(super) fn read(
    layer: &Descriptor,
    content: Vec<u8>,
    subjects: &[Subject],
) -> Result<Signature, String> {
    let (_, payload) =
        crate::spec::typed::<Payload>(&content, "payload").map_err(|error| error.to_string())?;
    let critical = payload.critical;
    if critical.kind != "cosign container image signature" {
        return Err(format!(
            "critical.type: {} is no signature",
            quote(critical.kind)
        ));
    }
    let is_of = |subject: &Subject| {
        let sha256 = format!("sha256:{}", to_hex(&subject.sha256));
        critical.image.digest == sha256 || critical.image.digest == subject.digest.to_string()
    };
    if !subjects.iter().any(is_of) {
        return Err(format!("is for {}", quote(critical.image.digest)));
    }
    let text = layer
        .annotation(SIGNATURE)
        .ok_or("has no signature in its annotations")?;
    let certificate = layer
        .annotation(CERTIFICATE)
        .filter(|text| !text.is_empty());
    let material = match certificate {
        None => Material::Key,
        Some(pem) => {
            let (leaf, der) = Certificate::parse_pem(pem.as_bytes())?;
            Material::Certificate {
                leaf: Box::new(leaf),
                der,
            }
        }
    };
    Ok(Signature {
        signed: Signed::Bytes(content.into()),
        bytes: base64(text, "the signature")?,
        predicate: None,
        material,
        entries: layer
            .annotation(BUNDLE)
            .map(entry)
            .transpose()?
            .into_iter()
            .collect(),
        timestamps: usize::from(layer.annotation(TIMESTAMP).is_some()),
    })
}

fn entry(text: &str) -> Result<Entry, String> {
    let logged = crate::spec::typed::<Logged>(text.as_bytes(), BUNDLE);
    let (_, logged) = logged.map_err(|error| error.to_string())?;
    let payload = logged.payload;
    Ok(Entry {
        index: payload.log_index,
        log: from_hex(&payload.log).ok_or("the log's id is not hexadecimal")?,
        time: payload.integrated_time,
        promise: Some(base64(&logged.signed_entry_timestamp, "the log's promise")?),
        proof: None,
        body: base64(&payload.body, "the log entry")?,
    })
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|c| u8::try_from(c.to_digit(16)?).ok())
        .collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(
        digits
            .chunks(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect(),
    )
}
