//! Certificates (RFC 5280) as Fulcio issues them: who they name, whether an authority's chain has issued them, when they
//! are valid. The log that must have seen them is in `sct`. Names, revocation and constraints on names are not looked at:
//! the certificates above come from the trusted root, and a leaf lives for minutes.

use der::asn1::{
    Any, BitString, GeneralizedTime, Ia5StringRef, Int, ObjectIdentifier, OctetString, UtcTime,
    Utf8StringRef,
};
use der::{Choice, Decode, Encode, Header, Reader, Sequence, SliceReader, Tag, TagNumber, Tagged};

use super::key::{Algorithm, Info, PublicKey};
use crate::error::quote;

const KEY_USAGE: &str = "2.5.29.15";
const SUBJECT_NAMES: &str = "2.5.29.17";
const CONSTRAINTS: &str = "2.5.29.19";
const EXTENDED_USAGE: &str = "2.5.29.37";
const CODE_SIGNING: &str = "1.3.6.1.5.5.7.3.3";
/// Fulcio's own extensions: the issuer of the identity token, as text and as a UTF8String.
const ISSUER_RAW: &str = "1.3.6.1.4.1.57264.1.1";
const ISSUER: &str = "1.3.6.1.4.1.57264.1.8";
/// A user name as the subject's `otherName`.
const OTHER_NAME: &str = "1.3.6.1.4.1.57264.1.7";

/// A certificate.
#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
pub(super) struct Certificate {
    pub(super) body: Body,
    algorithm: Algorithm,
    signature: BitString,
}

/// `TBSCertificate` of version 3; what is only compared stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
pub(super) struct Body {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    version: u8,
    serial: Int,
    algorithm: Algorithm,
    issuer: Any,
    validity: Validity,
    subject: Any,
    pub(super) key: Info,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT")]
    pub(super) extensions: Vec<Extension>,
}

#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
struct Validity {
    not_before: Time,
    not_after: Time,
}

#[derive(Debug, Clone, PartialEq, Eq, Choice)]
enum Time {
    #[asn1(type = "UTCTime")]
    Utc(UtcTime),
    #[asn1(type = "GeneralizedTime")]
    General(GeneralizedTime),
}

/// An extension; its value is DER of its own.
#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
pub(super) struct Extension {
    pub(super) id: ObjectIdentifier,
    #[asn1(default = "Default::default")]
    critical: bool,
    pub(super) value: OctetString,
}

#[derive(Sequence)]
struct Constraints {
    #[asn1(default = "Default::default")]
    is_authority: bool,
    #[asn1(optional = "true")]
    path_length: Option<u8>,
}

impl Time {
    /// Seconds since 1970.
    fn seconds(&self) -> u64 {
        match self {
            Self::Utc(time) => time.to_unix_duration().as_secs(),
            Self::General(time) => time.to_unix_duration().as_secs(),
        }
    }
}

impl Certificate {
    pub(super) fn parse(der: &[u8]) -> Result<Self, String> {
        let certificate =
            Self::from_der(der).map_err(|cause| format!("the certificate is damaged: {cause}"))?;
        if certificate.body.version != 2 {
            return Err("the certificate is not of version 3".to_owned());
        }
        if certificate.body.algorithm != certificate.algorithm {
            return Err("the certificate names two signature algorithms".to_owned());
        }
        let mut ids: Vec<_> = certificate.body.extensions.iter().map(|e| e.id).collect();
        ids.sort();
        ids.dedup();
        if ids.len() != certificate.body.extensions.len() {
            return Err("the certificate has an extension twice".to_owned());
        }
        Ok(certificate)
    }

    /// Of a PEM document with the label `CERTIFICATE`, and its DER.
    pub(super) fn parse_pem(pem: &[u8]) -> Result<(Self, Vec<u8>), String> {
        let (label, der) = der::pem::decode_vec(pem)
            .map_err(|cause| format!("the certificate is not PEM: {cause}"))?;
        if label != "CERTIFICATE" {
            return Err(format!("{} where a certificate is needed", quote(label)));
        }
        Ok((Self::parse(&der)?, der))
    }

    pub(super) fn key(&self) -> Result<PublicKey, String> {
        PublicKey::from_info(&self.body.key.der()?)
            .map_err(|cause| format!("the certificate {cause}"))
    }

    pub(super) fn is_self_issued(&self) -> bool {
        self.body.issuer == self.body.subject
    }

    pub(super) fn is_valid_at(&self, time: u64) -> bool {
        let validity = &self.body.validity;
        (validity.not_before.seconds()..=validity.not_after.seconds()).contains(&time)
    }

    /// Whether `issuer` has issued it; the signature is over the body as it is read here.
    pub(super) fn is_issued_by(&self, issuer: &Self) -> bool {
        let checked = || {
            let key = issuer.key().ok()?;
            let hash = key.hash_for(&self.algorithm)?;
            let body = self.body.to_der().ok()?;
            Some(key.has_signed_by(hash, &body, self.signature.as_bytes()?))
        };
        self.body.issuer == issuer.body.subject && checked() == Some(true)
    }

    pub(super) fn is_authority(&self) -> bool {
        let constraints = self.extension(CONSTRAINTS).map(Constraints::from_der);
        matches!(constraints, Some(Ok(constraints)) if constraints.is_authority)
    }

    /// How many authorities may stand between it and the leaf.
    pub(super) fn path_length(&self) -> Option<u8> {
        let constraints = self.extension(CONSTRAINTS)?;
        Constraints::from_der(constraints).ok()?.path_length
    }

    /// Whether it is one to sign with: no authority, for code signing, and with no critical extension unknown here.
    pub(super) fn check_leaf(&self) -> Result<(), String> {
        if self.is_authority() {
            return Err("the certificate is an authority's".to_owned());
        }
        let usages = self
            .extension(EXTENDED_USAGE)
            .map(Vec::<ObjectIdentifier>::from_der);
        let is_for_signing = |usages: &[ObjectIdentifier]| {
            usages.iter().any(|usage| usage.to_string() == CODE_SIGNING)
        };
        if !matches!(usages, Some(Ok(usages)) if is_for_signing(&usages)) {
            return Err("the certificate is not for code signing".to_owned());
        }
        let usage = self.extension(KEY_USAGE).map(BitString::from_der);
        // digitalSignature is the first bit (RFC 5280 section 4.2.1.3).
        if !matches!(usage, Some(Ok(bits)) if bits.raw_bytes().first().is_some_and(|b| b & 0x80 != 0))
        {
            return Err("the certificate's key is not for signatures".to_owned());
        }
        let known = [KEY_USAGE, SUBJECT_NAMES, CONSTRAINTS, EXTENDED_USAGE];
        for extension in self.body.extensions.iter().filter(|e| e.critical) {
            let id = extension.id.to_string();
            if !known.contains(&id.as_str()) {
                return Err(format!(
                    "the certificate has the unknown critical extension {id}"
                ));
            }
        }
        Ok(())
    }

    /// Whom the certificate names: its one subject name, an address, a URI or a user name.
    pub(super) fn identity(&self) -> Result<String, String> {
        let value = self
            .extension(SUBJECT_NAMES)
            .ok_or("the certificate names nobody")?;
        identity(value).ok_or_else(|| {
            "the certificate does not have one name that is an address, a URI or a user name"
                .to_owned()
        })
    }

    /// Who vouched to the authority for the identity.
    pub(super) fn issuer(&self) -> Result<String, String> {
        if let Some(value) = self.extension(ISSUER) {
            let text = Utf8StringRef::from_der(value);
            return text
                .map(|text| text.as_str().to_owned())
                .map_err(|cause| format!("the certificate's issuer is damaged: {cause}"));
        }
        let value = self
            .extension(ISSUER_RAW)
            .ok_or("the certificate does not say who vouched for its name")?;
        String::from_utf8(value.to_vec())
            .map_err(|_| "the certificate's issuer is not UTF-8".to_owned())
    }

    pub(super) fn extension(&self, id: &str) -> Option<&[u8]> {
        let mut extensions = self.body.extensions.iter();
        let found = extensions.find(|extension| extension.id.to_string() == id)?;
        Some(found.value.as_bytes())
    }
}

/// The one name of a `GeneralNames` (RFC 5280 section 4.2.1.6).
fn identity(names: &[u8]) -> Option<String> {
    let mut reader = SliceReader::new(names).ok()?;
    let sequence = Header::decode(&mut reader).ok()?;
    if sequence.tag() != Tag::Sequence {
        return None;
    }
    let name = Any::decode(&mut reader).ok()?;
    reader.finish().ok()?;
    let Tag::ContextSpecific { number, .. } = name.tag() else {
        return None;
    };
    match number {
        TagNumber(1 | 6) => Some(Ia5StringRef::new(name.value()).ok()?.as_str().to_owned()),
        TagNumber(0) => other_name(name.value()),
        _ => None,
    }
}

/// `otherName`: an identifier and `[0] EXPLICIT UTF8String`.
fn other_name(value: &[u8]) -> Option<String> {
    let mut reader = SliceReader::new(value).ok()?;
    let id: ObjectIdentifier = ObjectIdentifier::decode(&mut reader).ok()?;
    let outer = Any::decode(&mut reader).ok()?;
    reader.finish().ok()?;
    let is_first = matches!(
        outer.tag(),
        Tag::ContextSpecific {
            number: TagNumber(0),
            ..
        }
    );
    if id.to_string() != OTHER_NAME || !is_first {
        return None;
    }
    let text = Utf8StringRef::from_der(outer.value()).ok()?;
    Some(text.as_str().to_owned())
}
