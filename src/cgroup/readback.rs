//! Whether a cgroup file says what was written: the kernel rounds, reorders and prints in its own way.
//! Pure; the files are those of `v1`, `v2` and the better known of `linux.resources.unified`.

use super::settings::Write;

/// How a file prints what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// As written.
    Same,
    /// A size, rounded down to whole pages of the size.
    Bytes(u64),
    /// A list of numbers and ranges.
    List,
    /// A line for each device, interface or `default`: its name, then words.
    Lines,
    /// The words that were written, and perhaps more after them.
    Words,
    /// `memory.oom_control`: `oom_kill_disable 1` and more.
    OomControl,
    /// Not known.
    Unknown,
}

const PAGE: u64 = 4096;

fn form(file: &str) -> Form {
    match file {
        "cpu.max" => Form::Words,
        "cpuset.cpus" | "cpuset.mems" => Form::List,
        "memory.oom_control" => Form::OomControl,
        "io.max"
        | "io.weight"
        | "io.bfq.weight"
        | "io.latency"
        | "rdma.max"
        | "net_prio.ifpriomap"
        | "blkio.weight_device"
        | "blkio.bfq.weight_device" => Form::Lines,
        "memory.max" | "memory.high" | "memory.low" | "memory.min" | "memory.swap.max"
        | "memory.swap.high" | "memory.zswap.max" => Form::Bytes(page_size()),
        "cpu.shares"
        | "cpu.weight"
        | "cpu.idle"
        | "cpu.max.burst"
        | "cpu.cfs_burst_us"
        | "cpu.cfs_period_us"
        | "cpu.cfs_quota_us"
        | "cpu.rt_period_us"
        | "cpu.rt_runtime_us"
        | "pids.max"
        | "memory.swappiness"
        | "net_cls.classid"
        | "blkio.weight"
        | "blkio.bfq.weight"
        | "memory.oom.group"
        | "cgroup.max.depth"
        | "cgroup.max.descendants" => Form::Same,
        file if file.starts_with("blkio.throttle.") => Form::Lines,
        file if file.starts_with("memory.") && file.ends_with("limit_in_bytes") => {
            Form::Bytes(page_size())
        }
        file => huge_page_size(file).map_or(Form::Unknown, Form::Bytes),
    }
}

fn page_size() -> u64 {
    u64::try_from(rustix::param::page_size()).unwrap_or(PAGE)
}

/// Of `hugetlb.2MB.max` and its like.
fn huge_page_size(file: &str) -> Option<u64> {
    let (size, what) = file.strip_prefix("hugetlb.")?.split_once('.')?;
    let limits = ["max", "rsvd.max", "limit_in_bytes", "rsvd.limit_in_bytes"];
    limits
        .contains(&what)
        .then(|| bytes(size.strip_suffix('B')?))
        .flatten()
        .filter(|size| *size > 0)
}

/// Whether the form of the file is known, so that it can be compared.
pub(super) fn is_known(file: &str) -> bool {
    form(file) != Form::Unknown
}

/// Whether `later` sets the same value as `earlier`, so that the earlier one no longer shows.
pub(super) fn replaces(later: &Write, earlier: &Write) -> bool {
    let first = |write: &Write| write.value.split_whitespace().next().map(str::to_owned);
    later.file == earlier.file
        && match form(&later.file) {
            Form::Lines => {
                // `name=value` words after the device are settings of their own.
                first(later) == first(earlier)
                    && keys(&earlier.value)
                        .iter()
                        .all(|key| keys(&later.value).contains(key))
            }
            _ => true,
        }
}

/// `rbps` and `wbps` of `8:0 rbps=1 wbps=2`.
fn keys(line: &str) -> Vec<&str> {
    line.split_whitespace()
        .skip(1)
        .filter_map(|word| Some(word.split_once('=')?.0))
        .collect()
}

/// Whether the file's `text` says what was written.
pub(super) fn holds(file: &str, written: &str, text: &str) -> bool {
    let (written, text) = (written.trim(), text.trim());
    written == text
        || match form(file) {
            Form::Same => false,
            Form::Bytes(page) => holds_bytes(written, text, page),
            Form::List => ranges(written).is_some_and(|list| Some(list) == ranges(text)),
            Form::Lines => holds_line(written, text),
            Form::Words => {
                let mut read = text.split_whitespace();
                written
                    .split_whitespace()
                    .all(|word| read.next() == Some(word))
            }
            Form::OomControl => text
                .lines()
                .any(|line| line == format!("oom_kill_disable {written}")),
            Form::Unknown => true,
        }
}

/// What to write to a file that reads `text` so that it reads so again after `written` was written.
pub(super) fn undo(file: &str, written: &str, text: &str) -> String {
    let text = text.trim();
    match form(file) {
        // Nothing at all would not be a write; the end of a line empties a list.
        _ if text.is_empty() && form(file) != Form::Lines => "\n".to_owned(),
        Form::Lines => undo_line(file, written, text),
        Form::OomControl => {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix("oom_kill_disable "));
            line.unwrap_or("0").to_owned()
        }
        _ => text.to_owned(),
    }
}

/// The line of the same name, or one that says nothing.
fn undo_line(file: &str, written: &str, text: &str) -> String {
    let (name, words) = named(written);
    if let Some(line) = line_of(name, text) {
        return line.to_owned();
    }
    let nothing = |word: &str| match word.split_once('=') {
        Some((key, _)) => format!("{key}=max"),
        None if file.starts_with("io.") => "default".to_owned(),
        None => "0".to_owned(),
    };
    let words: Vec<String> = words.into_iter().map(nothing).collect();
    format!("{name} {}", words.join(" "))
}

/// The name that a written line is about, and the other words. A lone number is the default of all devices.
fn named(written: &str) -> (&str, Vec<&str>) {
    let mut words = written.split_whitespace();
    let (first, rest) = (words.next().unwrap_or_default(), words.collect::<Vec<_>>());
    if rest.is_empty() {
        ("default", vec![first])
    } else {
        (first, rest)
    }
}

fn line_of<'a>(name: &str, text: &'a str) -> Option<&'a str> {
    text.lines()
        .find(|line| line.split_whitespace().next() == Some(name))
}

fn holds_bytes(written: &str, text: &str, page: u64) -> bool {
    // v1 prints no limit as the largest number of pages, in bytes.
    let unlimited = |text: &str| {
        text == "max" || bytes(text).is_some_and(|n| n > i64::MAX as u64 - page_size())
    };
    if matches!(written, "-1" | "max") {
        return unlimited(text);
    }
    match (bytes(written), bytes(text)) {
        (Some(written), Some(read)) => {
            written / page * page == read
                || unlimited(written.to_string().as_str()) && unlimited(text)
        }
        (Some(_), None) => unlimited(written) && unlimited(text),
        (None, _) => false,
    }
}

/// A size with the kernel's suffixes.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let (digits, shift) = match text.as_bytes().last()?.to_ascii_uppercase() {
        b'K' => (&text[..text.len() - 1], 10),
        b'M' => (&text[..text.len() - 1], 20),
        b'G' => (&text[..text.len() - 1], 30),
        b'T' => (&text[..text.len() - 1], 40),
        _ => (text, 0),
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// A list such as `0-3,7` as sorted ranges that do not touch.
pub(super) fn ranges(list: &str) -> Option<Vec<(u32, u32)>> {
    let mut ranges = Vec::new();
    for part in list.split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        ranges.push((first.parse::<u32>().ok()?, last.parse::<u32>().ok()?));
    }
    ranges.sort_unstable();
    let mut merged: Vec<(u32, u32)> = Vec::new();
    for (first, last) in ranges {
        match merged.last_mut() {
            Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
            _ => merged.push((first, last)),
        }
    }
    Some(merged)
}

/// Whether the line with the written name has the written words; one with nothing but `max` or 0 may be missing.
fn holds_line(written: &str, text: &str) -> bool {
    let (name, rest) = named(written);
    match line_of(name, text) {
        Some(line) => {
            let read: Vec<&str> = line.split_whitespace().skip(1).collect();
            rest.iter().all(|word| read.contains(word))
        }
        None => rest
            .iter()
            .all(|word| *word == "0" || word.ends_with("=max")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_down_to_pages() {
        assert!(holds("memory.max", "4097", "4096\n"));
        assert!(!holds("memory.max", "8192", "4096\n"));
        assert!(holds(
            "memory.limit_in_bytes",
            "-1",
            "9223372036854771712\n"
        ));
        assert!(holds(
            "memory.memsw.limit_in_bytes",
            "9223372036854775807",
            "9223372036854771712\n"
        ));
        assert!(!holds(
            "memory.limit_in_bytes",
            "4096",
            "9223372036854771712\n"
        ));
        assert!(holds("memory.max", "max", "max\n"));
        assert!(holds("memory.high", "1M", "1048576\n"));
        assert!(holds("memory.max", "9223372036854775807", "max\n"));
        assert!(holds("hugetlb.2MB.max", "3000000", "2097152\n"));
        assert!(!holds("memory.max", "nonsense", "max\n"));
    }

    #[test]
    fn lists_compare_as_sets() {
        assert!(holds("cpuset.cpus", "0,1,3", "0-1,3\n"));
        assert!(holds("cpuset.cpus", "1,0-1", "0-1\n"));
        assert!(!holds("cpuset.cpus", "0-1", "0\n"));
    }

    #[test]
    fn lines_are_found_by_device() {
        let io_max =
            "8:16 rbps=2 wbps=max riops=max wiops=max\n8:0 rbps=600 wbps=1 riops=max wiops=max\n";
        assert!(holds("io.max", "8:0 rbps=600", io_max));
        assert!(!holds("io.max", "8:16 rbps=600", io_max));
        assert!(holds("io.max", "8:32 rbps=max", io_max));
        assert!(!holds("io.max", "8:32 rbps=1", io_max));
        assert!(holds("io.weight", "50", "default 50\n8:0 100\n"));
        assert!(holds("blkio.throttle.read_bps_device", "8:0 0", ""));
        assert!(holds("net_prio.ifpriomap", "lo 5", "lo 5\neth0 0\n"));
    }

    #[test]
    fn values_that_the_kernel_prints_in_another_form_still_hold() {
        assert!(holds("cpu.max", "50000", "50000 100000\n"));
        assert!(!holds("cpu.max", "50000 200000", "50000 100000\n"));
        assert!(holds(
            "memory.oom_control",
            "1",
            "oom_kill_disable 1\nunder_oom 0\n"
        ));
        assert!(!holds("pids.max", "64", "max\n"));
        assert!(holds("misc.max", "anything", ""));
    }

    #[test]
    fn undoing_writes_what_was_there() {
        assert_eq!(undo("pids.max", "64", "max\n"), "max");
        assert_eq!(
            undo("memory.limit_in_bytes", "1", "9223372036854771712\n"),
            "9223372036854771712"
        );
        assert_eq!(undo("cpu.max", "1000", "max 100000\n"), "max 100000");
        assert_eq!(undo("cpuset.cpus", "0", "\n"), "\n");
        assert_eq!(
            undo(
                "memory.oom_control",
                "1",
                "oom_kill_disable 0\nunder_oom 0\n"
            ),
            "0"
        );
        let io_max = "8:0 rbps=5 wbps=max riops=max wiops=max\n";
        assert_eq!(undo("io.max", "8:0 rbps=9", io_max), io_max.trim());
        assert_eq!(undo("io.max", "8:16 rbps=9", io_max), "8:16 rbps=max");
        assert_eq!(undo("io.weight", "50", "default 100\n"), "default 100");
        assert_eq!(undo("io.weight", "8:0 50", "default 100\n"), "8:0 default");
        assert_eq!(undo("blkio.throttle.read_bps_device", "8:0 5", ""), "8:0 0");
        assert_eq!(
            undo("blkio.throttle.read_bps_device", "8:0 5", "8:0 7\n"),
            "8:0 7"
        );
    }

    #[test]
    fn later_writes_replace_earlier_ones_of_the_same_setting_only() {
        let write = |file: &str, value: &str| Write::new("x", file, value, "x");
        assert!(replaces(&write("pids.max", "2"), &write("pids.max", "1")));
        assert!(!replaces(&write("pids.max", "2"), &write("cpu.max", "1")));
        assert!(replaces(
            &write("io.max", "8:0 rbps=2"),
            &write("io.max", "8:0 rbps=1")
        ));
        assert!(!replaces(
            &write("io.max", "8:0 wbps=2"),
            &write("io.max", "8:0 rbps=1")
        ));
        assert!(!replaces(
            &write("io.max", "8:16 rbps=2"),
            &write("io.max", "8:0 rbps=1")
        ));
    }
}
