//! Signatures of images, checked without a network: cosign's, with a key or a certificate, and sigstore bundles. An
//! authority is what whoever runs this host trusts; everything else here comes with the image and is believed only where
//! an authority's signature covers it.
//! Not here: which authorities an image needs (`policy`). Not supported, and refused: RSA, timestamps by RFC 3161, and so
//! entries of Rekor version 2.
//!
//! ```text
//! mod          Authority, Signatures: who has signed this image
//! find         where signatures are in an image layout
//! cosign       the payload of "simple signing", annotations
//! bundle       sigstore bundles
//! statement    in-toto statements in DSSE envelopes
//! log, entry   transparency log: the log's word; whether an entry is of the signature
//! certificate  chain, identity, issuer
//! sct          the certificate log's word
//! trust        trusted_root.json
//! key          public keys
//! bytes        base64, hexadecimal, counted bytes
//! ```

mod bundle;
mod bytes;
mod certificate;
mod cosign;
mod entry;
mod find;
mod key;
mod log;
mod sct;
mod statement;
#[cfg(test)]
mod tests;
mod trust;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use sha2::{Digest as _, Sha256};

pub use key::PublicKey;
pub use trust::TrustedRoot;

use super::{Digest, Image};
use crate::error::{Error, Result, escape, quote, quote_path};
use certificate::Certificate;
use log::Entry;

/// What cosign calls the statement that an image is signed; others are attestations.
pub const SIGN: &str = "https://sigstore.dev/cosign/sign/v1";

/// Who can sign images, as whoever runs this host says.
#[derive(Debug, Clone)]
pub struct Authority {
    /// What the configuration calls it.
    pub name: String,
    /// How it is recognised.
    pub by: By,
    /// Predicate types of in-toto statements that count as its signature.
    pub predicates: Vec<String>,
}

/// How an authority is recognised.
#[derive(Debug, Clone)]
pub enum By {
    /// By its key.
    Key(PublicKey),
    /// By a certificate for an identity, and a transparency log.
    Identity {
        /// Whose certificates and logs count.
        root: Box<TrustedRoot>,
        /// The certificate's subject name, exactly.
        identity: String,
        /// Who vouched for the identity, exactly: an OpenID Connect issuer.
        issuer: String,
    },
}

/// What may have been signed: the manifest, and each index that led to it.
#[derive(Debug, Clone)]
pub struct Subject {
    /// As it is named.
    pub digest: Digest,
    /// Of the bytes; signatures know no other.
    pub sha256: [u8; 32],
    /// The document; signatures of it share it.
    pub bytes: Arc<[u8]>,
}

impl Subject {
    /// Of a document.
    pub fn new(digest: Digest, bytes: Vec<u8>) -> Self {
        let sha256 = Sha256::digest(&bytes).into();
        Self {
            digest,
            sha256,
            bytes: bytes.into(),
        }
    }
}

/// A signature that is for one of the subjects, if its signer is to be believed.
#[derive(Debug)]
struct Signature {
    signed: Signed,
    bytes: Vec<u8>,
    /// Of a statement.
    predicate: Option<String>,
    material: Material,
    entries: Vec<Entry>,
    /// How many timestamps by RFC 3161 there are.
    timestamps: usize,
}

/// What a signature is over.
#[derive(Debug)]
enum Signed {
    Bytes(Arc<[u8]>),
    /// The payload, and its pre-authentication encoding, which is what is signed.
    Envelope {
        payload: Vec<u8>,
        pae: Vec<u8>,
    },
}

/// What a signature can be checked with.
#[derive(Debug)]
enum Material {
    Key,
    Certificate {
        leaf: Box<Certificate>,
        der: Vec<u8>,
    },
}

/// The signatures of an image that were found, each with its name for messages.
#[derive(Debug)]
pub struct Signatures {
    image: String,
    all: Vec<(String, std::result::Result<Signature, String>)>,
}

impl Signatures {
    /// Finds those in the image's layout and those in `bundles`, sigstore bundles from elsewhere, each with its name.
    ///
    /// # Errors
    /// The image has no digest, so that nothing can be signed; the layout cannot be read or holds too many signatures.
    pub fn find(image: &Image, bundles: &[(String, Vec<u8>)]) -> Result<Self> {
        let subjects = subjects(image)?;
        let mut all = Vec::new();
        if let Some(blobs) = image.blobs() {
            for found in find::find(blobs, &subjects)? {
                let read = match found.content {
                    Err(error) => Err(error.to_string()),
                    Ok(content) if found.layer.media_type == cosign::MEDIA_TYPE => {
                        cosign::read(&found.layer, content, &subjects)
                    }
                    Ok(content) => bundle::read(&content, &subjects),
                };
                all.push((found.name, read));
            }
        }
        for (name, text) in bundles {
            all.push((name.clone(), bundle::read(text, &subjects)));
        }
        let image = format!("image {}", quote_path(&image.path));
        Ok(Self { image, all })
    }

    /// How many there are, good or not.
    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// Says which signature is the authority's.
    ///
    /// # Errors
    /// None is, with the reason of each: the first four.
    pub fn by(&self, authority: &Authority) -> Result<String> {
        const MOST: usize = 4;
        const LONGEST_REASON: usize = 400;
        let mut reasons = Vec::new();
        for (name, signature) in &self.all {
            let checked = signature.as_ref().map_err(Clone::clone);
            match checked.and_then(|signature| authority.check(signature)) {
                Ok(detail) => return Ok(format!("signed by {}: {detail}", quote(&authority.name))),
                Err(cause) => {
                    // What it repeats of the signature may be as long as that.
                    let cause: String = cause.chars().take(LONGEST_REASON).collect();
                    reasons.push(format!("{}: {cause}", quote(name)));
                }
            }
        }
        let more = reasons.len().saturating_sub(MOST);
        reasons.truncate(MOST);
        if more > 0 {
            reasons.push(format!("and {more} more"));
        }
        let cause = match reasons.is_empty() {
            true => "has no signature".to_owned(),
            false => reasons.join("; "),
        };
        let doing = format!("{}: signature by {}", self.image, quote(&authority.name));
        Err(Error::new(doing, cause))
    }
}

/// The documents that a signature may be of.
fn subjects(image: &Image) -> Result<Vec<Subject>> {
    let (Some(digest), Some(blobs)) = (&image.digest, image.blobs()) else {
        let cause = format!(
            "a {} without a manifest has no digest, so that nobody can have signed it",
            image.form.name()
        );
        return Err(
            Error::new(format!("image {}", quote_path(&image.path)), cause)
                .hint("use an image layout, or an archive of one"),
        );
    };
    let mut subjects = Vec::new();
    for digest in [digest].into_iter().chain(&image.through) {
        subjects.push(Subject::new(digest.clone(), blobs.named_by(digest)?));
    }
    Ok(subjects)
}

impl Authority {
    /// Whether a bundle is its signature of one of the subjects: what it says of the signature.
    ///
    /// # Errors
    /// Why it is not.
    pub fn check_bundle(
        &self,
        text: &[u8],
        subjects: &[Subject],
    ) -> std::result::Result<String, String> {
        self.check(&bundle::read(text, subjects)?)
    }

    fn check(&self, signature: &Signature) -> std::result::Result<String, String> {
        if let Some(predicate) = &signature.predicate
            && !self.predicates.contains(predicate)
        {
            return Err(format!(
                "is an attestation, {}, not a signature",
                quote(predicate)
            ));
        }
        match &self.by {
            By::Key(key) => {
                let key_name = key.fingerprint();
                match key.has_signed(signature.signed.bytes(), &signature.bytes) {
                    true => Ok(format!("key {key_name}")),
                    false => Err(format!("the key {key_name} did not sign it")),
                }
            }
            By::Identity {
                root,
                identity,
                issuer,
            } => {
                let time = signature.check_certificate(root, identity, issuer)?;
                Ok(format!(
                    "{} of {}, logged at {time}",
                    escape(identity),
                    escape(issuer)
                ))
            }
        }
    }
}

impl Signature {
    /// All of what a certificate needs to count; the time at which the log saw the signature.
    fn check_certificate(
        &self,
        root: &TrustedRoot,
        identity: &str,
        issuer: &str,
    ) -> std::result::Result<u64, String> {
        let Material::Certificate { leaf, der } = &self.material else {
            return Err("was made with a key, not with a certificate".to_owned());
        };
        leaf.check_leaf()?;
        if self.timestamps > 0 {
            return Err("has timestamps by RFC 3161, which are not supported".to_owned());
        }
        let [entry] = self.entries.as_slice() else {
            let count = self.entries.len();
            return Err(format!("has {count} log entries, not one"));
        };
        let time = entry.time(root)?;
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |now| now.as_secs());
        if time > now {
            return Err("the log entry is of the future".to_owned());
        }
        if !leaf.is_valid_at(time) {
            return Err("the certificate was not valid when the log saw the signature".to_owned());
        }
        let above = root.issuer_of(leaf, time)?;
        sct::check(leaf, above, root)?;
        let (found, by) = (leaf.identity()?, leaf.issuer()?);
        if found != identity {
            return Err(format!(
                "is by {}, not by {}",
                quote(found),
                quote(identity)
            ));
        }
        if by != issuer {
            let (by, issuer) = (quote(by), quote(issuer));
            return Err(format!(
                "its signer was vouched for by {by}, not by {issuer}"
            ));
        }
        entry::check(&entry.body, self, der)?;
        if !leaf.key()?.has_signed(self.signed.bytes(), &self.bytes) {
            return Err("the certificate's key did not sign it".to_owned());
        }
        Ok(time)
    }
}

impl Signed {
    /// What the signature is over.
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Envelope { pae, .. } => pae,
        }
    }
}
