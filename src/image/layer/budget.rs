//! What unpacking may cost: bytes, entries, depth, lengths, ratio; by name, as flags and configuration give them.
//! Not the window of a zstd frame, which the decoder holds to.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::cause::{Cause, Step};
use crate::error::{Error, Result, quote};

/// The limits of one image. An error calls each by its name in [`Limits::NAMES`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Uncompressed bytes of all layers together, the holes of sparse files included.
    pub bytes: u64,
    /// Entries of all layers together, whiteouts and hard links included.
    pub entries: u64,
    /// Bytes of one file, holes included.
    pub file_size: u64,
    /// Components of one path.
    pub depth: u64,
    /// Bytes of one path or link target.
    pub path: u64,
    /// Uncompressed bytes for each compressed one, in one layer. gzip cannot exceed 1032.
    pub ratio: u64,
    /// Uncompressed bytes of a layer up to which the ratio does not count: an empty archive compresses well too.
    pub ratio_from: u64,
    /// Bytes of one extension header: pax records, GNU long names, the map of a sparse file.
    pub extension: u64,
    /// Bytes of memory for the directories whose times are set last.
    pub remembered: u64,
    /// Bytes that a zstd frame may look back, a power of two. The decoder takes as much memory.
    pub window: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 64 << 30,
            entries: 2_000_000,
            file_size: 16 << 30,
            depth: 256,
            path: 4095,
            ratio: 200,
            ratio_from: 64 << 20,
            extension: 1 << 20,
            remembered: 32 << 20,
            window: super::decompress::WINDOW,
        }
    }
}

impl Limits {
    /// What the limits are called in errors, flags and configuration.
    pub const NAMES: [&str; 10] = [
        "bytes",
        "entries",
        "file-size",
        "depth",
        "path",
        "ratio",
        "ratio-from",
        "extension",
        "remembered",
        "window",
    ];

    /// Sets the limit called `name` to `value`, a number of at least 1 with an optional KiB, MiB, GiB or TiB.
    ///
    /// # Errors
    /// There is no such limit, and the error lists those that there are; or no such value.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let doing = || format!("set the limit {}", quote(name));
        let field = match name {
            "bytes" => &mut self.bytes,
            "entries" => &mut self.entries,
            "file-size" => &mut self.file_size,
            "depth" => &mut self.depth,
            "path" => &mut self.path,
            "ratio" => &mut self.ratio,
            "ratio-from" => &mut self.ratio_from,
            "extension" => &mut self.extension,
            "remembered" => &mut self.remembered,
            "window" => &mut self.window,
            _ => {
                let names = Self::NAMES.join(", ");
                return Err(Error::new(
                    doing(),
                    format!("the limits of images are {names}"),
                ));
            }
        };
        *field = number(value).ok_or_else(|| {
            let cause = "is no number of at least 1, with KiB, MiB, GiB or TiB after it or nothing";
            Error::new(doing(), format!("{} {cause}", quote(value)))
        })?;
        Ok(())
    }
}

/// Decimal digits and a unit, which is a power of 1024.
fn number(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit());
    let (digits, unit) = text.split_at(end.unwrap_or(text.len()));
    let power = match unit {
        "" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        "TiB" => 40,
        _ => return None,
    };
    let number: u64 = digits.parse().ok()?;
    number.checked_mul(1 << power).filter(|number| *number > 0)
}

/// The limits of an image and what its layers have used of them. Threads share it.
#[derive(Debug, Default)]
pub struct Budget {
    limits: Limits,
    bytes: AtomicU64,
    entries: AtomicU64,
    is_closed: AtomicBool,
}

impl Budget {
    /// Nothing used yet.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// The limits.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Uncompressed bytes used so far, holes included.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Entries used so far.
    pub fn entries(&self) -> u64 {
        self.entries.load(Ordering::Relaxed)
    }

    /// Nothing can be taken from now on: whoever unpacks with this budget stops at the next entry or chunk.
    pub fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
    }

    /// Charges a layer that was unpacked before.
    ///
    /// # Errors
    /// A limit is reached.
    pub fn take_unpacked(&self, layer: &str, bytes: u64, entries: u64) -> Result<()> {
        let doing = || format!("take layer {layer} from the store");
        self.take_bytes(bytes)
            .and_then(|()| self.take_entries(entries))
            .map_err(|cause| cause.while_doing(doing()))
    }

    /// Gives back what a layer has taken that is not kept.
    pub fn give_back(&self, bytes: u64, entries: u64) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.entries.fetch_sub(entries, Ordering::Relaxed);
    }

    pub(super) fn take_entry(&self) -> Step<()> {
        self.take_entries(1)
    }

    fn take_entries(&self, count: u64) -> Step<()> {
        let limit = self.limits.entries;
        self.take(&self.entries, count, limit)?
            .ok_or_else(|| over("entries", "entries", limit))
    }

    pub(super) fn take_bytes(&self, bytes: u64) -> Step<()> {
        let limit = self.limits.bytes;
        self.take(&self.bytes, bytes, limit)?
            .ok_or_else(|| over("bytes", "uncompressed bytes", limit))
    }

    /// None if there is not as much left.
    fn take(&self, used: &AtomicU64, amount: u64, limit: u64) -> Step<Option<()>> {
        if self.is_closed.load(Ordering::Relaxed) {
            return Err(Cause::new("another layer has failed"));
        }
        let add = |used: u64| used.checked_add(amount).filter(|used| *used <= limit);
        let taken = used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        Ok(taken.ok().map(drop))
    }

    pub(super) fn check_file(&self, size: u64) -> Step<()> {
        if size > self.limits.file_size {
            let what = format!("bytes a file, and this one has {size}");
            return Err(over("file-size", &what, self.limits.file_size));
        }
        Ok(())
    }
}

/// `name` is one of [`Limits::NAMES`], `what` its unit.
pub(super) fn over(name: &str, what: &str, limit: u64) -> Cause {
    Cause::new(format!("more than {limit} {what} (limit `{name}`)"))
        .hint(format!("raise `{name}` if the image is to be trusted"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_is_set_by_its_name() {
        let mut limits = Limits::default();
        for (name, value) in Limits::NAMES.iter().zip(1..) {
            limits.set(name, &format!("{value}KiB")).unwrap();
        }
        let expected = Limits {
            bytes: 1 << 10,
            entries: 2 << 10,
            file_size: 3 << 10,
            depth: 4 << 10,
            path: 5 << 10,
            ratio: 6 << 10,
            ratio_from: 7 << 10,
            extension: 8 << 10,
            remembered: 9 << 10,
            window: 10 << 10,
        };
        assert_eq!(limits, expected);
    }

    #[test]
    fn wrong_limits_are_refused_and_the_right_ones_listed() {
        let error = |name, value| Limits::default().set(name, value).unwrap_err().to_string();
        assert_eq!(
            error("file_size", "1"),
            "set the limit \"file_size\": the limits of images are bytes, entries, file-size, depth, path, ratio, \
             ratio-from, extension, remembered, window"
        );
        for value in [
            "",
            "0",
            "-1",
            "+1",
            "1.5GiB",
            "1 GiB",
            "1GB",
            "KiB",
            "0KiB",
            "99999999999TiB",
        ] {
            assert_eq!(
                error("bytes", value),
                format!(
                    "set the limit \"bytes\": \"{value}\" is no number of at least 1, with KiB, MiB, GiB or TiB after \
                     it or nothing"
                )
            );
        }
    }

    #[test]
    fn closed_budget_gives_nothing() {
        let budget = Budget::default();
        budget.take_bytes(5).unwrap();
        budget.close();
        for taken in [budget.take_bytes(1), budget.take_entry()] {
            assert_eq!(taken.unwrap_err().to_string(), "another layer has failed");
        }
        assert_eq!((budget.bytes(), budget.entries()), (5, 0));
    }
}
