//! The records of a pax extended header, POSIX.1-2017 pax "pax Extended Header".
//! Not the tar crate's reader of them: it splits at newlines, which values of extended attributes contain, and then
//! misses a size that follows (the same record read differently by two programs is CVE-2025-62518).

use super::cause::{Cause, Step};
use super::sparse::SparseRecords;
use crate::error::quote;

/// Seconds and nanoseconds since 1970; the nanoseconds count forward also before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Time {
    pub(super) seconds: i64,
    pub(super) nanoseconds: u32,
}

/// What the records say about the next entry; a later record replaces an earlier one of the same key.
#[derive(Debug, Default)]
pub(super) struct Extensions {
    pub(super) path: Option<Vec<u8>>,
    pub(super) linkpath: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) mtime: Option<Time>,
    pub(super) atime: Option<Time>,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) sparse: SparseRecords,
}

impl Extensions {
    /// All records of one header.
    pub(super) fn read(data: &[u8]) -> Step<Self> {
        let mut extensions = Self::default();
        let mut rest = data;
        while !rest.is_empty() {
            let (key, value, after) = record(rest)?;
            extensions.take(key, value)?;
            rest = after;
        }
        Ok(extensions)
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> Step<()> {
        if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
            self.xattrs.retain(|(other, _)| other != name);
            self.xattrs.push((name.to_owned(), value.to_owned()));
            return Ok(());
        }
        // An empty value takes a global record back, and those are not heeded.
        if value.is_empty() {
            return Ok(());
        }
        match key {
            b"path" => self.path = Some(text(key, value)?),
            b"linkpath" => self.linkpath = Some(text(key, value)?),
            b"size" => self.size = Some(number(key, value)?),
            b"uid" => self.uid = Some(number(key, value)?),
            b"gid" => self.gid = Some(number(key, value)?),
            b"mtime" => self.mtime = Some(time(key, value)?),
            b"atime" => self.atime = Some(time(key, value)?),
            _ => {
                if let Some(name) = key.strip_prefix(b"GNU.sparse.") {
                    self.sparse.take(name, value)?;
                }
            }
        }
        Ok(())
    }
}

/// Refuses global records that some readers apply to every entry and others, those of image tools among them, ignore.
pub(super) fn check_global(data: &[u8]) -> Step<()> {
    let mut rest = data;
    while !rest.is_empty() {
        let (key, _, after) = record(rest)?;
        if matches!(key, b"path" | b"linkpath" | b"size" | b"uid" | b"gid")
            || key.starts_with(b"GNU.sparse.")
        {
            return Err(Cause::new(format!(
                "a global pax header sets {}, which readers understand differently",
                quote(key)
            )));
        }
        rest = after;
    }
    Ok(())
}

type Record<'a> = (&'a [u8], &'a [u8], &'a [u8]);

/// The key and the value of the first record, `LENGTH KEY=VALUE\n`, and what follows it.
fn record(data: &[u8]) -> Step<Record<'_>> {
    parse(data).ok_or_else(|| {
        let start = &data[..data.len().min(32)];
        Cause::new(format!("malformed pax record {}", quote(start)))
    })
}

fn parse(data: &[u8]) -> Option<Record<'_>> {
    let digits = data.iter().take(20).position(|byte| *byte == b' ')?;
    let length = usize::try_from(decimal(&data[..digits])?).ok()?;
    let (record, after) = data.split_at_checked(length)?;
    let line = record.get(digits + 1..)?.strip_suffix(b"\n")?;
    let equals = line.iter().position(|byte| *byte == b'=')?;
    let (key, value) = (&line[..equals], &line[equals + 1..]);
    let is_valid = !key.is_empty() && !key.contains(&0);
    is_valid.then_some((key, value, after))
}

/// Digits only: no sign, no blank.
pub(super) fn decimal(digits: &[u8]) -> Option<u64> {
    let all = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    all.then(|| std::str::from_utf8(digits).ok()?.parse().ok())?
}

pub(super) fn number(key: &[u8], value: &[u8]) -> Step<u64> {
    decimal(value).ok_or_else(|| bad(key, value))
}

pub(super) fn text(key: &[u8], value: &[u8]) -> Step<Vec<u8>> {
    if value.contains(&0) {
        return Err(bad(key, value));
    }
    Ok(value.to_owned())
}

/// `-?[0-9]+(\.[0-9]*)?`; digits after the ninth are cut off.
fn time(key: &[u8], value: &[u8]) -> Step<Time> {
    parse_time(value).ok_or_else(|| bad(key, value))
}

fn parse_time(value: &[u8]) -> Option<Time> {
    let (is_negative, rest) = match value.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, value),
    };
    let dot = rest.iter().position(|byte| *byte == b'.');
    let (whole, fraction) = rest.split_at(dot.unwrap_or(rest.len()));
    let seconds = i64::try_from(decimal(whole)?).ok()?;
    let mut nanoseconds = 0;
    for place in 0..9 {
        let digit = fraction.get(place + 1).copied().unwrap_or(b'0');
        nanoseconds = nanoseconds * 10 + u32::from(digit.checked_sub(b'0').filter(|d| *d < 10)?);
    }
    Some(match (is_negative, nanoseconds) {
        (false, _) => Time {
            seconds,
            nanoseconds,
        },
        (true, 0) => Time {
            seconds: -seconds,
            nanoseconds,
        },
        (true, _) => Time {
            seconds: -seconds - 1,
            nanoseconds: 1_000_000_000 - nanoseconds,
        },
    })
}

fn bad(key: &[u8], value: &[u8]) -> Cause {
    let start = &value[..value.len().min(64)];
    Cause::new(format!(
        "the pax record {} has a bad value {}",
        quote(key),
        quote(start)
    ))
}
