//! The trusted root of a sigstore instance (sigstore_trustroot.proto, as JSON): authorities and logs, and when each counts.
//! It comes from whoever runs this host, never from an image. Timestamp authorities are not read.

use serde::{Deserialize, Serialize};

use super::bytes::base64;
use super::certificate::Certificate;
use super::key::PublicKey;
use crate::error::{Error, Result, quote};

/// Authorities and logs.
#[derive(Debug, Clone)]
pub struct TrustedRoot {
    pub(super) authorities: Vec<Authority>,
    /// Rekor's.
    pub(super) logs: Vec<Log>,
    pub(super) certificate_logs: Vec<Log>,
}

/// A certificate authority's chain, from what issues leaves up to its root.
#[derive(Debug, Clone)]
pub(super) struct Authority {
    pub(super) chain: Vec<Certificate>,
    pub(super) valid: Window,
}

/// A log.
#[derive(Debug, Clone)]
pub(super) struct Log {
    pub(super) id: Vec<u8>,
    pub(super) key: PublicKey,
    pub(super) valid: Window,
}

/// Seconds since 1970, both ends included.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    start: u64,
    end: Option<u64>,
}

impl Window {
    pub(super) fn contains(self, time: u64) -> bool {
        self.start <= time && self.end.is_none_or(|end| time <= end)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    media_type: String,
    #[serde(default)]
    tlogs: Vec<WrittenLog>,
    #[serde(default)]
    certificate_authorities: Vec<WrittenAuthority>,
    #[serde(default)]
    ctlogs: Vec<WrittenLog>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenLog {
    public_key: WrittenKey,
    log_id: LogId,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenKey {
    raw_bytes: String,
    valid_for: Option<WrittenWindow>,
}

/// How a log is called.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LogId {
    pub(super) key_id: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenAuthority {
    cert_chain: Chain,
    valid_for: Option<WrittenWindow>,
}

/// Certificates in DER, in base64.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Chain {
    pub(super) certificates: Vec<Raw>,
}

/// Base64.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Raw {
    pub(super) raw_bytes: String,
}

#[derive(Serialize, Deserialize)]
struct WrittenWindow {
    start: Option<String>,
    end: Option<String>,
}

impl TrustedRoot {
    /// Reads a trusted_root.json; `file` is its name for messages.
    ///
    /// # Errors
    /// `"FILE": cause`: not the document, a certificate or a time that cannot be read, no authority or no log. A log
    /// with a key of another kind than is known here is left out, so that it can vouch for nothing.
    pub fn parse(text: &[u8], file: &str) -> Result<Self> {
        let (_, written) = crate::spec::typed::<Written>(text, file)?;
        written
            .read()
            .map_err(|cause| Error::new(quote(file), cause))
    }
}

impl Written {
    fn read(self) -> std::result::Result<TrustedRoot, String> {
        if !self
            .media_type
            .starts_with("application/vnd.dev.sigstore.trustedroot")
        {
            let media_type = quote(self.media_type);
            return Err(format!("mediaType: {media_type} is no trusted root"));
        }
        let mut authorities = Vec::new();
        for (i, authority) in self.certificate_authorities.into_iter().enumerate() {
            let read = authority.read();
            authorities.push(read.map_err(|e| format!("certificateAuthorities[{i}]: {e}"))?);
        }
        let root = TrustedRoot {
            authorities,
            logs: logs(self.tlogs, "tlogs")?,
            certificate_logs: logs(self.ctlogs, "ctlogs")?,
        };
        if root.authorities.is_empty() || root.logs.is_empty() || root.certificate_logs.is_empty() {
            return Err("has not all of a certificate authority, a log and a certificate log with keys that are known here".to_owned());
        }
        Ok(root)
    }
}

fn logs(written: Vec<WrittenLog>, field: &str) -> std::result::Result<Vec<Log>, String> {
    let mut logs = Vec::new();
    for (i, log) in written.into_iter().enumerate() {
        let read = || {
            let key = base64(&log.public_key.raw_bytes, "publicKey.rawBytes")?;
            let id = base64(&log.log_id.key_id, "logId.keyId")?;
            let valid = window(log.public_key.valid_for.as_ref())?;
            Ok::<_, String>((id, PublicKey::from_info(&key), valid))
        };
        let (id, key, valid) = read().map_err(|cause| format!("{field}[{i}]: {cause}"))?;
        match key {
            Ok(key) => logs.push(Log { id, key, valid }),
            Err(cause) => log::debug!("trusted root: {field}[{i}] is left out: its key {cause}"),
        }
    }
    Ok(logs)
}

impl WrittenAuthority {
    fn read(self) -> std::result::Result<Authority, String> {
        let mut chain = Vec::new();
        for raw in &self.cert_chain.certificates {
            chain.push(Certificate::parse(&base64(&raw.raw_bytes, "rawBytes")?)?);
        }
        if chain.is_empty() {
            return Err("has no certificate".to_owned());
        }
        let valid = window(self.valid_for.as_ref())?;
        Ok(Authority { chain, valid })
    }
}

fn window(written: Option<&WrittenWindow>) -> std::result::Result<Window, String> {
    let start = written.and_then(|window| window.start.as_deref());
    let end = written.and_then(|window| window.end.as_deref());
    Ok(Window {
        start: seconds(start.ok_or("validFor.start is missing")?)?,
        end: end.map(seconds).transpose()?,
    })
}

/// RFC 3339 in UTC; parts of seconds count for nothing.
fn seconds(text: &str) -> std::result::Result<u64, String> {
    let whole = text
        .split_once('.')
        .map_or_else(|| text.to_owned(), |(whole, _)| format!("{whole}Z"));
    let is_utc = text.ends_with('Z');
    let time = whole.parse::<der::DateTime>().ok().filter(|_| is_utc);
    let time = time.ok_or_else(|| format!("{} is no time in UTC", quote(text)))?;
    Ok(time.unix_duration().as_secs())
}

impl TrustedRoot {
    /// The certificate of an authority that has issued `leaf`, all of its chain valid at `time`.
    pub(super) fn issuer_of(
        &self,
        leaf: &Certificate,
        time: u64,
    ) -> std::result::Result<&Certificate, String> {
        let mut is_issued = false;
        for authority in &self.authorities {
            if !leaf.is_issued_by(&authority.chain[0]) {
                continue;
            }
            is_issued = true;
            if authority.is_valid_at(time) {
                return Ok(&authority.chain[0]);
            }
        }
        Err(match is_issued {
            true => "the certificate's authority was not valid at that time",
            false => "the certificate is of no authority in the trusted root",
        }
        .to_owned())
    }
}

impl Authority {
    /// Each certificate of the chain is an authority's, valid, and issued by the next; the last one is trusted by itself.
    fn is_valid_at(&self, time: u64) -> bool {
        let is_link = |pair: &[Certificate]| pair[0].is_issued_by(&pair[1]);
        let is_fit = |(below, certificate): (usize, &Certificate)| {
            let length = certificate.path_length().map_or(usize::MAX, usize::from);
            certificate.is_authority() && certificate.is_valid_at(time) && below <= length
        };
        self.valid.contains(time)
            && self.chain.windows(2).all(is_link)
            && self.chain.iter().enumerate().all(is_fit)
    }
}
