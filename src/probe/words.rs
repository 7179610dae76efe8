//! Names of kernel numbers as the report shows them.
//!
//! The tables are in `names`; a number that has no name there is shown as itself, for the kernel may be newer.

use crate::names;

/// `EPERM`, or `errno 4000`.
pub(super) fn errno(number: i32) -> String {
    match nix::errno::Errno::from_raw(number) {
        nix::errno::Errno::UnknownErrno => format!("errno {number}"),
        known => format!("{known:?}"),
    }
}

/// `CAP_CHOWN`, or `capability 60`.
pub(super) fn capability(number: u8) -> String {
    names::capability_name(number).map_or_else(|| format!("capability {number}"), str::to_owned)
}

/// `nofile` for RLIMIT_NOFILE, or `limit 20`.
pub(super) fn limit(number: u32) -> String {
    let name = names::rlimit_name(number).and_then(|name| name.strip_prefix("RLIMIT_"));
    name.map_or_else(|| format!("limit {number}"), str::to_ascii_lowercase)
}

/// `SIGSYS`, or `signal 99`.
pub(super) fn signal(number: i32) -> String {
    names::signal_name(number).unwrap_or_else(|| format!("signal {number}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_names_and_unknown_ones_stay_numbers() {
        assert_eq!(errno(libc::EPERM), "EPERM");
        assert_eq!(errno(4000), "errno 4000");
        assert_eq!(capability(0), "CAP_CHOWN");
        assert_eq!(capability(63), "capability 63");
        assert_eq!(limit(libc::RLIMIT_NOFILE), "nofile");
        assert_eq!(limit(20), "limit 20");
        assert_eq!(signal(libc::SIGSYS), "SIGSYS");
    }
}
