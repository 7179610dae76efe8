//! Sparse files: the old GNU header and the pax versions 0.0, 0.1 and 1.0, gnu.org/software/tar/manual "Sparse Formats".
//! Not the writing of them: see `place`.

use tar::GnuSparseHeader;

use super::cause::{Cause, Step};
use super::header;
use super::pax::{decimal, number, text};

/// Where the stored bytes of a file belong.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sparse {
    /// Bytes of the file with its holes.
    pub(super) size: u64,
    /// Offset and length of each span, ascending.
    pub(super) spans: Vec<(u64, u64)>,
}

impl Sparse {
    /// Refuses a map that is not ascending, reaches past the end or does not use up the `stored` bytes.
    pub(super) fn check(self, stored: u64) -> Step<Self> {
        let mut end = 0;
        let mut sum = 0u64;
        for (offset, length) in &self.spans {
            let after = offset.checked_add(*length).ok_or_else(malformed)?;
            if *offset < end || after > self.size {
                return Err(malformed());
            }
            end = after;
            sum += length;
        }
        if sum != stored {
            return Err(malformed());
        }
        Ok(self)
    }
}

/// `GNU.sparse.*` records.
#[derive(Debug, Default)]
pub(super) struct SparseRecords {
    pub(super) name: Option<Vec<u8>>,
    size: Option<u64>,
    major: Option<u64>,
    minor: Option<u64>,
    /// Offsets and lengths in turn, versions 0.0 and 0.1.
    map: Vec<u64>,
}

impl SparseRecords {
    /// `name` is the key after `GNU.sparse.`.
    pub(super) fn take(&mut self, name: &[u8], value: &[u8]) -> Step<()> {
        match name {
            b"name" => self.name = Some(text(name, value)?),
            b"size" | b"realsize" => self.size = Some(number(name, value)?),
            b"major" => self.major = Some(number(name, value)?),
            b"minor" => self.minor = Some(number(name, value)?),
            b"offset" | b"numbytes" => self.map.push(number(name, value)?),
            b"map" => {
                let numbers = value.split(|byte| *byte == b',').map(decimal);
                self.map = numbers.collect::<Option<_>>().ok_or_else(malformed)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether the map stands before the data, version 1.0.
    pub(super) fn is_map_in_data(&self) -> Step<bool> {
        match (self.major, self.minor) {
            (Some(1), Some(0)) => Ok(true),
            (None | Some(0), _) => Ok(false),
            _ => Err(Cause::new("sparse file of an unknown version")),
        }
    }

    /// The map of version 0.0 or 0.1, if this is one.
    pub(super) fn in_records(&self) -> Step<Option<Sparse>> {
        match self.size {
            Some(size) => Ok(Some(Sparse {
                size,
                spans: pairs(&self.map)?,
            })),
            None if self.map.is_empty() => Ok(None),
            None => Err(malformed()),
        }
    }

    /// The map of version 1.0: the count, then offsets and lengths, a decimal number a line.
    pub(super) fn in_data(&self, numbers: &[u64]) -> Step<Sparse> {
        Ok(Sparse {
            size: self.size.ok_or_else(malformed)?,
            spans: pairs(numbers)?,
        })
    }
}

/// The spans of one old GNU header or of its continuation.
pub(super) fn gnu_spans(headers: &[GnuSparseHeader], spans: &mut Vec<(u64, u64)>) -> Step<()> {
    for span in headers {
        if span.offset[0] != 0 && span.numbytes[0] != 0 {
            let offset = header::number(&span.offset, "sparse offset")?;
            let length = header::number(&span.numbytes, "sparse length")?;
            spans.push((offset, length));
        }
    }
    Ok(())
}

fn pairs(numbers: &[u64]) -> Step<Vec<(u64, u64)>> {
    let (pairs, rest) = numbers.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(malformed());
    }
    Ok(pairs
        .iter()
        .map(|[offset, length]| (*offset, *length))
        .collect())
}

pub(super) fn malformed() -> Cause {
    Cause::new("malformed map of a sparse file")
}
