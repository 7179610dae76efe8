//! Digests (image-spec descriptor.md) and streams that are checked against one.
//! Which blob has which digest is not here.

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use crate::error::{Error, quote};

/// The algorithms that the image specification registers and that are safe to rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl Algorithm {
    /// As it stands before the colon.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// The length of the encoded part, in characters.
    pub fn encoded_length(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }
}

/// `algorithm:encoded`. A value of this type is always well-formed, so that it may be part of a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest {
    algorithm: Algorithm,
    encoded: String,
}

impl Digest {
    /// The SHA-256 of `bytes`.
    pub fn sha256(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(bytes);
        hasher.finish()
    }

    /// Whether `text` can stand behind the colon.
    pub fn is_encoded(algorithm: Algorithm, text: &str) -> bool {
        let is_hex = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
        text.len() == algorithm.encoded_length() && text.bytes().all(is_hex)
    }

    /// What made it.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The part behind the colon: lower-case hexadecimal digits.
    pub fn encoded(&self) -> &str {
        &self.encoded
    }

    /// Where an image layout keeps the blob (image-layout.md): `blobs/sha256/…`.
    pub fn blob_path(&self) -> String {
        format!("blobs/{}/{}", self.algorithm.name(), self.encoded)
    }
}

impl FromStr for Digest {
    type Err = Error;

    /// Strict: `sha256:` or `sha512:` and exactly as many lower-case hexadecimal digits as the algorithm gives.
    fn from_str(text: &str) -> Result<Self, Error> {
        let refuse = |cause: String| {
            let start: String = text.chars().take(140).collect();
            Err(Error::new(format!("digest {}", quote(start)), cause))
        };
        let Some((name, encoded)) = text.split_once(':') else {
            return refuse("is not algorithm:encoded".to_owned());
        };
        let algorithm = match name {
            "sha256" => Algorithm::Sha256,
            "sha512" => Algorithm::Sha512,
            _ => return refuse("the algorithm is neither sha256 nor sha512".to_owned()),
        };
        if !Self::is_encoded(algorithm, encoded) {
            let length = algorithm.encoded_length();
            return refuse(format!("not {length} lower-case hexadecimal digits"));
        }
        Ok(Self {
            algorithm,
            encoded: encoded.to_owned(),
        })
    }
}

impl TryFrom<String> for Digest {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), self.encoded)
    }
}

/// Makes a digest of what it is fed.
#[derive(Debug, Clone)]
pub struct Hasher(State);

#[derive(Debug, Clone)]
enum State {
    Sha256(sha2::Sha256),
    Sha512(sha2::Sha512),
}

impl Hasher {
    /// Nothing fed yet.
    pub fn new(algorithm: Algorithm) -> Self {
        Self(match algorithm {
            Algorithm::Sha256 => State::Sha256(sha2::Sha256::new()),
            Algorithm::Sha512 => State::Sha512(sha2::Sha512::new()),
        })
    }

    /// Feeds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Sha256(state) => state.update(bytes),
            State::Sha512(state) => state.update(bytes),
        }
    }

    /// The digest of everything fed.
    pub fn finish(self) -> Digest {
        let (algorithm, raw) = match self.0 {
            State::Sha256(state) => (Algorithm::Sha256, state.finalize().to_vec()),
            State::Sha512(state) => (Algorithm::Sha512, state.finalize().to_vec()),
        };
        let encoded = raw.iter().map(|byte| format!("{byte:02x}")).collect();
        Digest { algorithm, encoded }
    }
}

/// A stream that must be exactly `size` bytes with one digest. The last bytes are handed out only after both were
/// checked, so that no reader gets to the end of wrong content; everything before is unverified until then.
#[derive(Debug)]
pub struct Verified<R> {
    inner: R,
    what: String,
    digest: Digest,
    size: u64,
    left: u64,
    hasher: Hasher,
    state: Progress,
}

#[derive(Debug)]
enum Progress {
    Reading,
    Right,
    Wrong(String),
}

impl<R: Read> Verified<R> {
    /// `what` names the stream in errors: `read "app.tar": blob sha256:…`.
    pub fn new(inner: R, what: String, digest: Digest, size: u64) -> Self {
        Self {
            inner,
            what,
            hasher: Hasher::new(digest.algorithm()),
            digest,
            size,
            left: size,
            state: Progress::Reading,
        }
    }

    fn wrong(&mut self, cause: String) -> io::Error {
        let error = io::Error::other(Error::new(self.what.clone(), &cause));
        self.state = Progress::Wrong(cause);
        error
    }

    /// Everything that should be there was read: whether it is right, and whether there is more.
    fn check(&mut self) -> io::Result<()> {
        let more = read_some(&mut self.inner, &mut [0])?;
        if more > 0 {
            return Err(self.wrong(format!("is longer than its {} bytes", self.size)));
        }
        let empty = Hasher::new(self.digest.algorithm());
        let found = std::mem::replace(&mut self.hasher, empty).finish();
        if found != self.digest {
            return Err(self.wrong(format!("its digest is {found}")));
        }
        self.state = Progress::Right;
        Ok(())
    }
}

impl<R: Read> Read for Verified<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &self.state {
            Progress::Right => return Ok(0),
            Progress::Wrong(cause) => {
                return Err(io::Error::other(Error::new(self.what.clone(), cause)));
            }
            Progress::Reading => {}
        }
        if self.left == 0 {
            self.check()?;
            return Ok(0);
        }
        let most = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        if most == 0 {
            return Ok(0);
        }
        let length = read_some(&mut self.inner, &mut buffer[..most])?;
        if length == 0 {
            let (size, is) = (self.size, self.size - self.left);
            return Err(self.wrong(format!("ends after {is} of {size} bytes")));
        }
        self.hasher.update(&buffer[..length]);
        self.left -= length as u64;
        if self.left == 0 {
            self.check()?;
        }
        Ok(length)
    }
}

fn read_some(inner: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match inner.read(buffer) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &[u8], digest: &str, size: u64) -> Result<Vec<u8>, String> {
        let mut verified = Verified::new(content, "read it".into(), digest.parse().unwrap(), size);
        let mut all = Vec::new();
        match verified.read_to_end(&mut all) {
            Ok(_) => Ok(all),
            Err(e) => {
                let again = verified.read(&mut [0; 8]).unwrap_err();
                assert_eq!(
                    again.to_string(),
                    e.to_string(),
                    "an error does not go away"
                );
                Err(e.to_string())
            }
        }
    }

    #[test]
    fn digest_is_algorithm_and_lower_case_hex_or_refused() {
        let right = format!("sha256:{}", "0a".repeat(32));
        assert_eq!(right.parse::<Digest>().unwrap().to_string(), right);
        let long = format!("sha512:{}", "0a".repeat(64));
        let path = format!("blobs/sha512/{}", "0a".repeat(64));
        assert_eq!(long.parse::<Digest>().unwrap().blob_path(), path);
        for wrong in [
            "",
            "sha256",
            "sha256:",
            "sha256:../x",
            &format!("sha256:{}", "0A".repeat(32)),
            &format!("sha256:{}", "0a".repeat(31)),
            &format!("sha256:{}", "0a".repeat(64)),
            &format!("sha512:{}", "0a".repeat(32)),
            &format!("SHA256:{}", "0a".repeat(32)),
            &format!("sha256:{}/", "0a".repeat(32)),
            &format!("sha256: {}", "0a".repeat(32)),
            &format!("md5:{}", "0a".repeat(16)),
            &format!("sha256+b64:{}", "0a".repeat(32)),
        ] {
            assert!(wrong.parse::<Digest>().is_err(), "{wrong}");
        }
        let error = "sha256:../x".parse::<Digest>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "digest \"sha256:../x\": not 64 lower-case hexadecimal digits"
        );
    }

    #[test]
    fn stream_is_exactly_the_promised_bytes_or_fails_before_its_end() {
        let digest = Digest::sha256(b"hello").to_string();
        assert_eq!(read(b"hello", &digest, 5), Ok(b"hello".to_vec()));
        let of = |content: &[u8], size| read(content, &digest, size).unwrap_err();
        assert_eq!(of(b"hell", 5), "read it: ends after 4 of 5 bytes");
        assert_eq!(of(b"hello!", 5), "read it: is longer than its 5 bytes");
        let found = Digest::sha256(b"hellO");
        assert_eq!(of(b"hellO", 5), format!("read it: its digest is {found}"));
        assert_eq!(of(b"hello", 4), "read it: is longer than its 4 bytes");
        let empty = Digest::sha256(b"");
        assert_eq!(read(b"", &empty.to_string(), 0), Ok(Vec::new()));
        assert!(read(b"", &digest, 0).is_err());
        assert!(read(b"x", &empty.to_string(), 0).is_err());
    }

    #[test]
    fn last_byte_of_wrong_content_is_not_handed_out() {
        let digest = Digest::sha256(b"hello");
        let mut verified = Verified::new(&b"hellO"[..], "read it".into(), digest, 5);
        assert_eq!(verified.read(&mut [0; 4]).unwrap(), 4);
        assert!(verified.read(&mut [0; 4]).is_err());
    }

    #[test]
    fn both_algorithms_give_the_published_values() {
        let mut hasher = Hasher::new(Algorithm::Sha512);
        hasher.update(b"abc");
        let start = "sha512:ddaf35a193617abacc417349ae204131";
        assert!(hasher.finish().to_string().starts_with(start));
        assert_eq!(
            Digest::sha256(b"abc").to_string(),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
