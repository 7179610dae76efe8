//! A whole sigstore instance: certificate authority, certificate log, transparency log. Each has a key made of one byte, so
//! that a test can put another one in its place. Its DER is written by hand, not by what reads it.

use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use serde_json::{Value, json};

use super::*;
use crate::image::signature::bytes::{to_base64, to_hex};

pub(super) const IDENTITY: &str = "https://example.org/build@refs/heads/main";
pub(super) const ISSUER: &str = "https://tokens.example.org";

const AUTHORITY_KEY: u8 = 1;
const LOG_KEY: u8 = 2;
const CERTIFICATE_LOG_KEY: u8 = 3;
const LEAF_KEY: u8 = 4;

const CODE_SIGNING: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 3];
const ECDSA_SHA256: &[u8] = &[
    0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02,
];
const TIMESTAMPS: &[u8] = &[0x2b, 6, 1, 4, 1, 0xd6, 0x79, 2, 4, 2];

/// What is signed, and everything that can be wrong about it.
#[derive(Clone)]
pub(super) struct Signing {
    pub(super) identity: &'static str,
    pub(super) issuer: &'static str,
    /// Who signs the certificate; the trusted root has the right one.
    pub(super) authority_key: u8,
    /// Who signs the log's promise.
    pub(super) promise_key: u8,
    /// Who signs the log's checkpoint.
    pub(super) checkpoint_key: u8,
    /// Who signs the certificate log's promise, if anybody.
    pub(super) certificate_log_key: Option<u8>,
    /// Who signs the image.
    pub(super) signer: u8,
    pub(super) usage: &'static [u8],
    pub(super) time: u64,
    pub(super) until: &'static str,
    /// Of the log entry, before the log signs it.
    pub(super) entry: fn(&mut Value),
    /// Of the finished bundle.
    pub(super) bundle: fn(&mut Value),
}

impl Signing {
    pub(super) fn right() -> Self {
        Self {
            identity: IDENTITY,
            issuer: ISSUER,
            authority_key: AUTHORITY_KEY,
            promise_key: LOG_KEY,
            checkpoint_key: LOG_KEY,
            certificate_log_key: Some(CERTIFICATE_LOG_KEY),
            signer: LEAF_KEY,
            usage: CODE_SIGNING,
            // 2023-11-14T22:13:20Z
            time: 1_700_000_000,
            until: "231114222000Z",
            entry: |_| {},
            bundle: |_| {},
        }
    }

    /// A bundle with the signature of `bytes`.
    pub(super) fn message(&self, bytes: &[u8]) -> Vec<u8> {
        let signature = to_base64(&sign(self.signer, bytes));
        let digest = Sha256::digest(bytes);
        let body = json!({"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": {
            "data": {"hash": {"algorithm": "sha256", "value": to_hex(&digest)}},
            "signature": {"content": signature, "publicKey": {"content": self.certificate_pem()}},
        }});
        self.bundle(
            body,
            "messageSignature",
            &json!({
                "messageDigest": {"algorithm": "SHA2_256", "digest": to_base64(&digest)},
                "signature": signature,
            }),
        )
    }

    /// A bundle with an in-toto statement about `bytes`.
    pub(super) fn statement(&self, bytes: &[u8], predicate: &str) -> Vec<u8> {
        let payload = json!({
            "_type": "https://in-toto.io/Statement/v1", "predicateType": predicate, "predicate": {},
            "subject": [{"name": "x", "digest": {"sha256": to_hex(&Sha256::digest(bytes))}}],
        })
        .to_string();
        let kind = "application/vnd.in-toto+json";
        let signed = format!("DSSEv1 {} {kind} {} {payload}", kind.len(), payload.len());
        let signature = to_base64(&sign(self.signer, signed.as_bytes()));
        let body = json!({"apiVersion": "0.0.1", "kind": "dsse", "spec": {
            "payloadHash": {"algorithm": "sha256", "value": to_hex(&Sha256::digest(&payload))},
            "signatures": [{"signature": signature, "verifier": self.certificate_pem()}],
        }});
        self.bundle(
            body,
            "dsseEnvelope",
            &json!({
                "payload": to_base64(payload.as_bytes()), "payloadType": kind,
                "signatures": [{"sig": signature}],
            }),
        )
    }

    fn bundle(&self, mut body: Value, field: &str, content: &Value) -> Vec<u8> {
        (self.entry)(&mut body);
        let body = body.to_string().into_bytes();
        let mut bundle = json!({
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {
                "certificate": {"rawBytes": to_base64(&self.certificate())},
                "tlogEntries": [self.log_entry(&body)],
            },
            field: content,
        });
        (self.bundle)(&mut bundle);
        bundle.to_string().into_bytes()
    }

    /// The only entry of a log of one.
    fn log_entry(&self, body: &[u8]) -> Value {
        let log = Sha256::digest(key_info(LOG_KEY));
        let (time, text) = (self.time, to_base64(body));
        let promised = format!(
            r#"{{"body":"{text}","integratedTime":{time},"logID":"{}","logIndex":7}}"#,
            to_hex(&log)
        );
        let root = to_base64(&Sha256::digest([&[0], body].concat()));
        let note = format!("log.example.org\n1\n{root}\n");
        let mut signature = log[..4].to_vec();
        signature.extend(sign(self.checkpoint_key, note.as_bytes()));
        let envelope = format!(
            "{note}\n\u{2014} log.example.org {}\n",
            to_base64(&signature)
        );
        json!({
            "logIndex": "7", "logId": {"keyId": to_base64(&log)}, "integratedTime": time.to_string(),
            "inclusionPromise": {
                "signedEntryTimestamp": to_base64(&sign(self.promise_key, promised.as_bytes())),
            },
            "inclusionProof": {
                "logIndex": "0", "treeSize": "1", "rootHash": root, "hashes": [],
                "checkpoint": {"envelope": envelope},
            },
            "canonicalizedBody": text,
        })
    }

    fn certificate_pem(&self) -> String {
        let ending = der::pem::LineEnding::LF;
        let pem = der::pem::encode_string("CERTIFICATE", ending, &self.certificate()).unwrap();
        to_base64(pem.as_bytes())
    }

    fn certificate(&self) -> Vec<u8> {
        let usage = tlv(0x30, &[&tlv(6, &[self.usage])]);
        let name = tlv(0x30, &[&tlv(0x86, &[self.identity.as_bytes()])]);
        let issuer = tlv(0x0c, &[self.issuer.as_bytes()]);
        let mut extensions = vec![
            extension(&[0x55, 0x1d, 0x0f], &[3, 2, 7, 0x80]),
            extension(&[0x55, 0x1d, 0x25], &usage),
            extension(&[0x55, 0x1d, 0x11], &name),
            extension(&[0x2b, 6, 1, 4, 1, 0x83, 0xbf, 0x30, 1, 8], &issuer),
        ];
        let body = |extensions: &[Vec<u8>]| {
            let subject = tlv(0x30, &[]);
            body(
                "authority",
                &subject,
                LEAF_KEY,
                ["231114221000Z", self.until],
                extensions,
            )
        };
        if let Some(key) = self.certificate_log_key {
            extensions.push(timestamp(key, &body(&extensions)));
        }
        signed(self.authority_key, &body(&extensions))
    }
}

/// What the host trusts.
pub(super) fn trusted_root() -> Value {
    let constraints = extension(&[0x55, 0x1d, 0x13], &tlv(0x30, &[&[1, 1, 0xff]]));
    let window = ["200101000000Z", "300101000000Z"];
    let body = body(
        "authority",
        &name("authority"),
        AUTHORITY_KEY,
        window,
        &[constraints],
    );
    let valid = json!({"start": "2020-01-01T00:00:00.000Z"});
    let log = |key| {
        let info = key_info(key);
        json!({"logId": {"keyId": to_base64(&Sha256::digest(&info))},
            "publicKey": {"rawBytes": to_base64(&info), "validFor": valid}})
    };
    json!({
        "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
        "tlogs": [log(LOG_KEY)],
        "ctlogs": [log(CERTIFICATE_LOG_KEY)],
        "certificateAuthorities": [{
            "certChain": {"certificates": [{"rawBytes": to_base64(&signed(AUTHORITY_KEY, &body))}]},
            "validFor": valid,
        }],
    })
}

pub(super) fn sign(key: u8, message: &[u8]) -> Vec<u8> {
    let signature: Signature = SigningKey::from_slice(&[key; 32]).unwrap().sign(message);
    signature.to_der().as_bytes().to_vec()
}

/// The `SubjectPublicKeyInfo`.
pub(super) fn key_info(key: u8) -> Vec<u8> {
    let key = SigningKey::from_slice(&[key; 32]).unwrap();
    let point = key.verifying_key().to_sec1_point(false);
    let curve = [
        &tlv(6, &[&[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1]])[..],
        &tlv(6, &[&[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7]]),
    ];
    tlv(
        0x30,
        &[&tlv(0x30, &curve), &tlv(3, &[&[0], point.as_bytes()])],
    )
}

fn body(
    issuer: &str,
    subject: &[u8],
    key: u8,
    window: [&str; 2],
    extensions: &[Vec<u8>],
) -> Vec<u8> {
    let [from, until] = window.map(|time| tlv(0x17, &[time.as_bytes()]));
    let extensions: Vec<&[u8]> = extensions.iter().map(Vec::as_slice).collect();
    tlv(
        0x30,
        &[
            &[0xa0, 3, 2, 1, 2],
            &[2, 1, 5],
            ECDSA_SHA256,
            &name(issuer),
            &tlv(0x30, &[&from, &until]),
            subject,
            &key_info(key),
            &tlv(0xa3, &[&tlv(0x30, &extensions)]),
        ],
    )
}

fn signed(key: u8, body: &[u8]) -> Vec<u8> {
    tlv(
        0x30,
        &[body, ECDSA_SHA256, &tlv(3, &[&[0], &sign(key, body)])],
    )
}

/// RFC 6962 section 3.3, of a body without it.
fn timestamp(key: u8, body: &[u8]) -> Vec<u8> {
    let milliseconds = 1_700_000_000_000_u64.to_be_bytes();
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    let issuer = Sha256::digest(key_info(AUTHORITY_KEY));
    let parts: [&[u8]; 7] = [
        &[0, 0],
        &milliseconds,
        &[0, 1],
        &issuer,
        &length[1..],
        body,
        &[0, 0],
    ];
    let signature = sign(key, &parts.concat());
    let log = Sha256::digest(key_info(CERTIFICATE_LOG_KEY));
    let one = [
        &[0][..],
        &log,
        &milliseconds,
        &[0, 0, 4, 3],
        &counted(&signature),
    ]
    .concat();
    extension(TIMESTAMPS, &tlv(4, &[&counted(&counted(&one))]))
}

fn counted(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
    [&length[..], bytes].concat()
}

fn name(text: &str) -> Vec<u8> {
    let pair = [&[6, 3, 0x55, 4, 3][..], &tlv(0x0c, &[text.as_bytes()])].concat();
    tlv(0x30, &[&tlv(0x31, &[&tlv(0x30, &[&pair])])])
}

fn extension(id: &[u8], value: &[u8]) -> Vec<u8> {
    tlv(0x30, &[&tlv(6, &[id]), &tlv(4, &[value])])
}

fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = u16::try_from(content.len()).unwrap();
    let [high, low] = length.to_be_bytes();
    let mut all = match length {
        0..=0x7f => vec![tag, low],
        0x80..=0xff => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    all.extend(content);
    all
}
