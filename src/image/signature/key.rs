//! Public keys and what they have signed: ECDSA on P-256 and P-384 (FIPS 186-5), Ed25519 (RFC 8032).
//! Whose a key is, is not here. RSA is refused by name.

use der::asn1::{AnyRef, BitString, ObjectIdentifier};
use der::{Decode, Encode, Sequence};
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use sha2::Digest as _;

use crate::error::quote;
use crate::image::Digest;

const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// What keys there are.
const KINDS: &str = "ECDSA on P-256 or P-384, or Ed25519";

/// `AlgorithmIdentifier` (RFC 5280 section 4.1.1.2).
#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
pub(super) struct Algorithm {
    pub(super) oid: ObjectIdentifier,
    #[asn1(optional = "true")]
    pub(super) parameters: Option<der::Any>,
}

/// `SubjectPublicKeyInfo` (RFC 5280 section 4.1.2.7).
#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
pub(super) struct Info {
    pub(super) algorithm: Algorithm,
    pub(super) key: BitString,
}

/// How a message becomes what ECDSA signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    fn of(self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => sha2::Sha256::digest(message).to_vec(),
            Self::Sha384 => sha2::Sha384::digest(message).to_vec(),
            Self::Sha512 => sha2::Sha512::digest(message).to_vec(),
        }
    }
}

/// A public key.
#[derive(Debug, Clone)]
pub struct PublicKey {
    fingerprint: Digest,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    P256(p256::ecdsa::VerifyingKey),
    P384(p384::ecdsa::VerifyingKey),
    Ed25519(ed25519_dalek::VerifyingKey),
}

impl PublicKey {
    /// Of a PEM file with the label `PUBLIC KEY` (RFC 7468 section 13).
    ///
    /// # Errors
    /// What is wrong with it, as the cause of an error.
    pub fn from_pem(pem: &[u8]) -> Result<Self, String> {
        let (label, info) = der::pem::decode_vec(pem)
            .map_err(|cause| format!("is no public key in PEM: {cause}"))?;
        match label {
            "PUBLIC KEY" => Self::from_info(&info),
            "RSA PUBLIC KEY" => Err(format!("RSA keys are not supported, only {KINDS}")),
            label if label.contains("PRIVATE") => {
                Err("is a private key; the public one is needed here".to_owned())
            }
            label => Err(format!("holds a {}, not a PUBLIC KEY", quote(label))),
        }
    }

    /// Of a `SubjectPublicKeyInfo` in DER.
    pub(super) fn from_info(der: &[u8]) -> Result<Self, String> {
        let info = Info::from_der(der).map_err(|cause| format!("is no public key: {cause}"))?;
        let bytes = info.key.as_bytes().ok_or("has a key of odd bits")?;
        let wrong = |_| "has a key that is no point on its curve".to_owned();
        let kind = match (info.algorithm.oid, info.curve()) {
            (EC, Some(P256)) => {
                Kind::P256(p256::ecdsa::VerifyingKey::from_sec1_bytes(bytes).map_err(wrong)?)
            }
            (EC, Some(P384)) => {
                Kind::P384(p384::ecdsa::VerifyingKey::from_sec1_bytes(bytes).map_err(wrong)?)
            }
            (ED25519, _) => {
                Kind::Ed25519(ed25519_dalek::VerifyingKey::try_from(bytes).map_err(wrong)?)
            }
            (RSA, _) => return Err(format!("RSA keys are not supported, only {KINDS}")),
            (other, _) => {
                return Err(format!(
                    "the algorithm {other} is not supported, only {KINDS}"
                ));
            }
        };
        Ok(Self {
            fingerprint: Digest::sha256(der),
            kind,
        })
    }

    /// The SHA-256 of the key's `SubjectPublicKeyInfo`, by which logs and certificates name it.
    pub fn fingerprint(&self) -> &Digest {
        &self.fingerprint
    }

    /// Whether the key has signed `message`, hashed as is usual for its curve.
    pub(super) fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let hashes: &[Hash] = match self.kind {
            // Which of the two is the signer's choice: cosign has made both.
            Kind::P384(_) => &[Hash::Sha384, Hash::Sha256],
            _ => &[Hash::Sha256],
        };
        hashes
            .iter()
            .any(|hash| self.has_signed_by(*hash, message, signature))
    }

    /// The same with a given hash, which Ed25519 does not use.
    pub(super) fn has_signed_by(&self, hash: Hash, message: &[u8], signature: &[u8]) -> bool {
        match &self.kind {
            Kind::P256(key) => p256::ecdsa::Signature::from_der(signature)
                .and_then(|signature| key.verify_prehash(&hash.of(message), &signature))
                .is_ok(),
            Kind::P384(key) => p384::ecdsa::Signature::from_der(signature)
                .and_then(|signature| key.verify_prehash(&hash.of(message), &signature))
                .is_ok(),
            Kind::Ed25519(key) => ed25519_dalek::Signature::from_slice(signature)
                .and_then(|signature| key.verify_strict(message, &signature))
                .is_ok(),
        }
    }

    /// Whether signatures by it are of this algorithm of RFC 5758 or RFC 8410, and by which hash.
    pub(super) fn hash_for(&self, algorithm: &Algorithm) -> Option<Hash> {
        let oid = algorithm.oid.to_string();
        match (&self.kind, oid.as_str()) {
            (Kind::P256(_) | Kind::P384(_), "1.2.840.10045.4.3.2") => Some(Hash::Sha256),
            (Kind::P256(_) | Kind::P384(_), "1.2.840.10045.4.3.3") => Some(Hash::Sha384),
            (Kind::P256(_) | Kind::P384(_), "1.2.840.10045.4.3.4")
            | (Kind::Ed25519(_), "1.3.101.112") => Some(Hash::Sha512),
            _ => None,
        }
    }
}

impl Info {
    fn curve(&self) -> Option<ObjectIdentifier> {
        let parameters = self.algorithm.parameters.as_ref()?;
        AnyRef::from(parameters).decode_as().ok()
    }

    pub(super) fn der(&self) -> Result<Vec<u8>, String> {
        self.to_der().map_err(|cause| cause.to_string())
    }
}
