//! The forms of the files that count: one number, `key value` lines, lines of a device. And what v1 and v2 share.

use std::collections::BTreeMap;

use super::{BlkioEntry, Pids};
use crate::cgroup::Cgroup;
use crate::error::{Error, Result, quote};

/// The files of one cgroup, by controller.
pub(super) struct Files<'a>(pub(super) &'a Cgroup);

impl Files<'_> {
    /// Whether a controller's numbers are in the v2 hierarchy: where no v1 hierarchy has the controller.
    pub(super) fn are_v2(&self, controller: &str) -> bool {
        self.0.of(controller).is_none_or(|(group, _)| group.v2)
    }

    /// The text of a file; `None` where there is no such file.
    pub(super) fn text(&self, controller: &str, file: &str) -> Result<Option<String>> {
        self.0.text(controller, file)
    }

    /// The number in a file; `max` is the largest one.
    pub(super) fn number(&self, controller: &str, file: &str) -> Result<Option<u64>> {
        let text = self.text(controller, file)?;
        text.map(|text| number(file, text.trim())).transpose()
    }

    /// The number in a file, or 0.
    pub(super) fn count(&self, controller: &str, file: &str) -> Result<u64> {
        Ok(self.number(controller, file)?.unwrap_or(0))
    }

    /// `key value` lines.
    pub(super) fn keys(&self, controller: &str, file: &str) -> Result<BTreeMap<String, u64>> {
        keys(file, &self.text(controller, file)?.unwrap_or_default())
    }
}

/// A number, or `max`.
pub(super) fn number(file: &str, text: &str) -> Result<u64> {
    match text {
        "max" => Ok(u64::MAX),
        digits => digits.parse().map_err(|_| odd(file, text)),
    }
}

pub(super) fn odd(file: &str, text: &str) -> Error {
    let cause = format!("{} is not what the kernel documents", quote(text));
    Error::new(format!("read {file}"), cause)
}

/// `key value` lines.
pub(super) fn keys(file: &str, text: &str) -> Result<BTreeMap<String, u64>> {
    text.lines()
        .map(|line| {
            let (key, value) = line.split_once(' ').ok_or_else(|| odd(file, line))?;
            Ok((key.to_owned(), number(file, value.trim())?))
        })
        .collect()
}

/// The lines of a v1 blkio file: `8:0 Read 4096`, `8:0 4096`, and a sum over all devices, which is left out.
pub(super) fn devices(file: &str, text: &str) -> Result<Vec<BlkioEntry>> {
    let mut entries = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (device, op, value) = match words.as_slice() {
            ["Total", _] => continue,
            [device, value] => (*device, "", *value),
            [device, op, value] => (*device, *op, *value),
            _ => return Err(odd(file, line)),
        };
        let (major, minor) = device_number(device).ok_or_else(|| odd(file, line))?;
        entries.push(BlkioEntry {
            major,
            minor,
            op: op.to_owned(),
            value: number(file, value)?,
        });
    }
    Ok(entries)
}

/// `8:0`.
pub(super) fn device_number(text: &str) -> Option<(u64, u64)> {
    let (major, minor) = text.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// A list such as `0-3,7`, number by number; 1024 of them at most.
pub(super) fn list(file: &str, text: &str) -> Result<Vec<u16>> {
    let mut numbers = Vec::new();
    for part in text.trim().split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let end = |digits: &str| digits.parse::<u16>().map_err(|_| odd(file, text));
        numbers.extend((end(first)?..=end(last)?).take(1024));
    }
    Ok(numbers)
}

/// Sizes of huge pages as the controller's files have them: `2MB` for `hugepages-2048kB`.
pub(super) fn page_sizes() -> Vec<String> {
    let Ok(entries) = std::fs::read_dir("/sys/kernel/mm/hugepages") else {
        return Vec::new();
    };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter_map(|name| page_size(&name)).collect()
}

pub(super) fn page_size(name: &str) -> Option<String> {
    let kibibytes: u64 = name
        .strip_prefix("hugepages-")?
        .strip_suffix("kB")?
        .parse()
        .ok()?;
    Some(match kibibytes {
        size if size >= 1 << 20 => format!("{}GB", size >> 20),
        size if size >= 1 << 10 => format!("{}MB", size >> 10),
        size => format!("{size}KB"),
    })
}

/// The same files on v1 and v2; without the controller, v2 still lists the processes.
pub(super) fn pids(files: &Files<'_>) -> Result<Pids> {
    let Some(current) = files.number("pids", "pids.current")? else {
        let current = files.0.processes()?.len() as u64;
        return Ok(Pids { current, limit: 0 });
    };
    let limit = files.number("pids", "pids.max")?;
    Ok(Pids {
        current,
        limit: limit.filter(|limit| *limit != u64::MAX).unwrap_or(0),
    })
}
