//! Sigstore bundles, versions 0.1 to 0.3, in JSON (sigstore_bundle.proto): a signature of a message, or a DSSE envelope with
//! an in-toto statement, and what vouches for it. Whether it does is not here.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::bytes::base64;
use super::certificate::Certificate;
use super::log::{self, Entry};
use super::trust::{Chain, Raw};
use super::{Material, Signature, Signed, Subject, statement};
use crate::error::quote;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    media_type: String,
    verification_material: WrittenMaterial,
    message_signature: Option<Message>,
    dsse_envelope: Option<Envelope>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenMaterial {
    x509_certificate_chain: Option<Chain>,
    certificate: Option<Raw>,
    public_key: Option<Value>,
    tlog_entries: Option<Vec<log::Written>>,
    timestamp_verification_data: Option<Timestamps>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Timestamps {
    rfc3161_timestamps: Option<Vec<Value>>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    message_digest: Option<MessageDigest>,
    signature: String,
}

#[derive(Serialize, Deserialize)]
struct MessageDigest {
    algorithm: String,
    digest: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    payload: String,
    payload_type: String,
    signatures: Vec<EnvelopeSignature>,
}

#[derive(Serialize, Deserialize)]
struct EnvelopeSignature {
    sig: String,
}

/// Whether a media type is a bundle's, of whatever version.
pub(super) fn is_media_type(text: &str) -> bool {
    text.starts_with("application/vnd.dev.sigstore.bundle")
}

/// The signature in a bundle, of one of the subjects.
pub(super) fn read(text: &[u8], subjects: &[Subject]) -> Result<Signature, String> {
    let (_, written) = crate::spec::typed::<Written>(text, "bundle").map_err(|e| e.to_string())?;
    let version = match &*written.media_type {
        "application/vnd.dev.sigstore.bundle+json;version=0.1" => 1,
        "application/vnd.dev.sigstore.bundle+json;version=0.2" => 2,
        "application/vnd.dev.sigstore.bundle+json;version=0.3"
        | "application/vnd.dev.sigstore.bundle.v0.3+json" => 3,
        other => {
            return Err(format!(
                "mediaType: {} is no bundle that is known here",
                quote(other)
            ));
        }
    };
    let mut material = written.verification_material;
    let entries = material.tlog_entries.take().unwrap_or_default();
    let entries: Vec<Entry> = entries
        .into_iter()
        .map(log::Written::read)
        .collect::<Result<_, _>>()?;
    if version > 1 && entries.iter().any(|entry| entry.proof.is_none()) {
        return Err("a log entry has no proof of inclusion with a checkpoint".to_owned());
    }
    let timestamps = material.timestamp_verification_data.take();
    let timestamps = timestamps
        .and_then(|data| data.rfc3161_timestamps)
        .unwrap_or_default();
    let (signed, predicate, bytes) = match (written.message_signature, written.dsse_envelope) {
        (Some(message), None) => message.read(subjects)?,
        (None, Some(envelope)) => envelope.read(subjects)?,
        _ => return Err("has not one of messageSignature and dsseEnvelope".to_owned()),
    };
    Ok(Signature {
        signed,
        bytes,
        predicate,
        material: material.read(version)?,
        entries,
        timestamps: timestamps.len(),
    })
}

impl WrittenMaterial {
    fn read(self, version: u32) -> Result<Material, String> {
        let chain = match (
            self.x509_certificate_chain,
            self.certificate,
            self.public_key,
        ) {
            (None, None, Some(_)) => return Ok(Material::Key),
            (None, Some(certificate), None) => vec![certificate],
            (Some(chain), None, None) if version < 3 => chain.certificates,
            (Some(_), None, None) => {
                return Err("a bundle of version 0.3 has one certificate and no chain".to_owned());
            }
            _ => return Err("has not one of a certificate and a public key".to_owned()),
        };
        let mut leaf = None;
        for raw in chain {
            let der = base64(&raw.raw_bytes, "the certificate")?;
            let certificate = Certificate::parse(&der)?;
            // Whom to trust is not for what is checked to say.
            if certificate.is_self_issued() {
                return Err("brings its own root certificate".to_owned());
            }
            leaf.get_or_insert((Box::new(certificate), der));
        }
        let (leaf, der) = leaf.ok_or("has an empty certificate chain")?;
        Ok(Material::Certificate { leaf, der })
    }
}

type Read = (Signed, Option<String>, Vec<u8>);

impl Message {
    fn read(self, subjects: &[Subject]) -> Result<Read, String> {
        let digest = self.message_digest.ok_or("does not say what was signed")?;
        if digest.algorithm != "SHA2_256" {
            let algorithm = quote(digest.algorithm);
            return Err(format!("the message digest is {algorithm}, not SHA2_256"));
        }
        let digest = base64(&digest.digest, "the message digest")?;
        let subject = subjects.iter().find(|subject| subject.sha256 == digest[..]);
        let subject = subject.ok_or("is for something else")?;
        let signature = base64(&self.signature, "the signature")?;
        Ok((Signed::Bytes(Arc::clone(&subject.bytes)), None, signature))
    }
}

impl Envelope {
    fn read(self, subjects: &[Subject]) -> Result<Read, String> {
        let payload = base64(&self.payload, "the payload")?;
        let [signature] = self.signatures.as_slice() else {
            return Err("the envelope does not have one signature".to_owned());
        };
        let signature = base64(&signature.sig, "the signature")?;
        let predicate = statement::check(&payload, &self.payload_type, subjects)?;
        let pae = statement::encoded(&self.payload_type, &payload);
        Ok((
            Signed::Envelope { payload, pae },
            Some(predicate),
            signature,
        ))
    }
}
