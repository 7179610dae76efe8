//! The fixed fields of a tar header block: numbers and the checksum, POSIX.1-2017 "ustar Interchange Format" and GNU's
//! base-256 numbers.
//! The layout is the tar crate's. Its numbers are not used: it refuses blank fields, which Go's writer leaves, and cuts
//! large device numbers off.

use tar::Header;

use super::cause::{Cause, Step};

/// Bytes of a block.
pub(super) const BLOCK: usize = 512;

/// A number that cannot be negative.
pub(super) fn number(field: &[u8], what: &str) -> Step<u64> {
    let value = signed(field, what)?;
    u64::try_from(value).map_err(|_| Cause::new(format!("the {what} {value} is negative")))
}

/// Octal digits among blanks and NULs, nothing for 0, or base-256 in two's complement after a set first bit.
pub(super) fn signed(field: &[u8], what: &str) -> Step<i64> {
    let value = match field.first() {
        Some(first) if first & 0x80 != 0 => base_256(field),
        _ => octal(field),
    };
    value.ok_or_else(|| {
        Cause::new(format!(
            "the {what} in the header is no number: {}",
            crate::error::quote(field)
        ))
    })
}

fn octal(field: &[u8]) -> Option<i64> {
    let is_blank = |byte: &u8| *byte == b' ' || *byte == 0;
    let start = field.iter().position(|byte| !is_blank(byte));
    let Some(start) = start else {
        return Some(0);
    };
    let digits = field[start..].split(is_blank).next()?;
    let rest = &field[start + digits.len()..];
    // Go and GNU tar stop at the first NUL; what is behind it is no part of the number.
    let until_nul = rest.split(|byte| *byte == 0).next()?;
    if !until_nul.iter().all(|byte| *byte == b' ') {
        return None;
    }
    digits.iter().try_fold(0i64, |value, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 8)?;
        value.checked_mul(8)?.checked_add(i64::from(digit))
    })
}

fn base_256(field: &[u8]) -> Option<i64> {
    let (first, rest) = field.split_first()?;
    // The marker takes the place of the sign's copy: bit 6 is the sign.
    let is_negative = first & 0x40 != 0;
    let top = if is_negative { *first } else { first & 0x7f };
    let start = if is_negative { -1i128 } else { 0 };
    let mut value = (start << 8) | i128::from(top);
    for byte in rest {
        value = value.checked_mul(256)? | i128::from(*byte);
    }
    i64::try_from(value).ok()
}

/// Whether the checksum is right, summed as unsigned bytes, or as signed ones as some old writers did.
pub(super) fn is_sum_right(header: &Header) -> Step<bool> {
    let wanted = signed(&header.as_old().cksum, "checksum")?;
    let bytes = header.as_bytes();
    let around = || bytes[..148].iter().chain(&bytes[156..]);
    let blanks = 8 * i64::from(b' ');
    let unsigned = || blanks + around().map(|byte| i64::from(*byte)).sum::<i64>();
    let signed = || {
        blanks
            + around()
                .map(|byte| i64::from(byte.cast_signed()))
                .sum::<i64>()
    };
    Ok(wanted == unsigned() || wanted == signed())
}
