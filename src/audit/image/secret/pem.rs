//! Private keys in PEM (RFC 7468), of OpenSSH and of OpenPGP. Programs that read keys hold the words of their headers, and
//! manuals show keys that are none: a key has a body that can be one.

use memchr::memmem;

use super::Secret;

/// Bytes of base64 that every private key has: an Ed25519 key has as many.
const SHORTEST: usize = 60;

/// Headers in one file that are looked at.
const MOST: usize = 64;

pub(super) fn private_keys(head: &[u8]) -> Vec<Secret> {
    let begins = memmem::find_iter(head, b"-----BEGIN ").take(MOST);
    begins.filter_map(|at| private_key(head, at)).collect()
}

fn private_key(head: &[u8], at: usize) -> Option<Secret> {
    let before = head[..at].iter().rev().take_while(|byte| **byte != b'\n');
    if !before.take(80).all(u8::is_ascii_whitespace) {
        return None;
    }
    let rest = &head[at + b"-----BEGIN ".len()..];
    let end = memmem::find(&rest[..rest.len().min(80)], b"-----")?;
    let label = std::str::from_utf8(&rest[..end]).ok()?;
    let kind = label
        .strip_suffix(" BLOCK")
        .unwrap_or(label)
        .strip_suffix("PRIVATE KEY")?;
    let body = &rest[end + b"-----".len()..];
    if !matches!(body.first(), Some(b'\n' | b'\r')) {
        return None;
    }
    let closes = memmem::find(body, b"-----END ");
    let (text, is_encrypted) = base64(&body[..closes.unwrap_or(body.len())], closes.is_some())?;
    let is_encrypted = is_encrypted || kind == "ENCRYPTED ";
    // DER begins with a SEQUENCE; what a passphrase encrypts as a whole begins with anything.
    let is_right = match kind.trim_end() {
        "OPENSSH" => text.starts_with(b"b3BlbnNzaC1rZXk"),
        "PGP" => true,
        _ => text.starts_with(b"M") || is_encrypted,
    };
    if text.len() < SHORTEST || !is_right {
        return None;
    }
    let what = match kind.trim_end() {
        "" | "ENCRYPTED" => "a private key".to_owned(),
        "RSA" | "EC" | "DSA" | "OPENSSH" | "PGP" => format!("a private key ({})", kind.trim_end()),
        _ => "a private key of another kind".to_owned(),
    };
    Some(Secret {
        is_encrypted,
        ..Secret::new(what, &text)
    })
}

/// The base64 of a body without its headers and line ends, and whether a header says that it is encrypted. Of a body that
/// was cut off the last line may be anything.
fn base64(body: &[u8], is_whole: bool) -> Option<(Vec<u8>, bool)> {
    let mut text = Vec::new();
    let mut is_encrypted = false;
    let is_base64 = |line: &[u8]| {
        line.iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(byte))
    };
    let mut lines = body
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .peekable();
    while let Some(line) = lines.next() {
        if text.is_empty() && line.contains(&b':') {
            is_encrypted |= line.starts_with(b"Proc-Type:") && line.ends_with(b"ENCRYPTED");
        } else if is_base64(line) {
            text.extend_from_slice(line);
        } else if is_whole || lines.peek().is_some() {
            return None;
        }
    }
    Some((text, is_encrypted))
}
