//! Resource limits (getrlimit(2)): `RLIMIT_NOFILE` and its number.

use super::{number_of, word_of};

/// Every resource limit of Linux.
pub const RLIMITS: &[(&str, u32)] = &[
    ("RLIMIT_CPU", libc::RLIMIT_CPU),
    ("RLIMIT_FSIZE", libc::RLIMIT_FSIZE),
    ("RLIMIT_DATA", libc::RLIMIT_DATA),
    ("RLIMIT_STACK", libc::RLIMIT_STACK),
    ("RLIMIT_CORE", libc::RLIMIT_CORE),
    ("RLIMIT_RSS", libc::RLIMIT_RSS),
    ("RLIMIT_NPROC", libc::RLIMIT_NPROC),
    ("RLIMIT_NOFILE", libc::RLIMIT_NOFILE),
    ("RLIMIT_MEMLOCK", libc::RLIMIT_MEMLOCK),
    ("RLIMIT_AS", libc::RLIMIT_AS),
    ("RLIMIT_LOCKS", libc::RLIMIT_LOCKS),
    ("RLIMIT_SIGPENDING", libc::RLIMIT_SIGPENDING),
    ("RLIMIT_MSGQUEUE", libc::RLIMIT_MSGQUEUE),
    ("RLIMIT_NICE", libc::RLIMIT_NICE),
    ("RLIMIT_RTPRIO", libc::RLIMIT_RTPRIO),
    ("RLIMIT_RTTIME", libc::RLIMIT_RTTIME),
];

/// The number of a resource limit spelled as in getrlimit(2).
pub fn rlimit(name: &str) -> Option<u32> {
    number_of(RLIMITS, name)
}

/// The name of a resource limit's number.
pub fn rlimit_name(number: u32) -> Option<&'static str> {
    word_of(RLIMITS, number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rlimits_cover_the_numbers_0_to_15_once() {
        for number in 0..16 {
            assert_eq!(rlimit_name(number).and_then(rlimit), Some(number));
        }
        assert_eq!(rlimit_name(16), None);
        assert_eq!(rlimit("NOFILE"), None);
    }
}
