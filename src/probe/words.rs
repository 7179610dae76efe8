//! Names of kernel numbers as the report shows them.
//!
//! A number that has no name is shown as itself: the kernel may be newer than this program.

/// `EPERM`, or `errno 4000`.
pub(super) fn errno(number: i32) -> String {
    match nix::errno::Errno::from_raw(number) {
        nix::errno::Errno::UnknownErrno => format!("errno {number}"),
        known => format!("{known:?}"),
    }
}

/// `CAP_CHOWN`, or `capability 60`.
pub(super) fn capability(number: u8) -> String {
    let known = caps::all()
        .into_iter()
        .find(|capability| capability.index() == number);
    known.map_or_else(
        || format!("capability {number}"),
        |capability| capability.to_string(),
    )
}

/// `nofile` for RLIMIT_NOFILE, or `limit 20`.
pub(super) fn limit(number: u32) -> String {
    const NAMES: [&str; 16] = [
        "cpu",
        "fsize",
        "data",
        "stack",
        "core",
        "rss",
        "nproc",
        "nofile",
        "memlock",
        "as",
        "locks",
        "sigpending",
        "msgqueue",
        "nice",
        "rtprio",
        "rttime",
    ];
    let name = NAMES.get(number as usize);
    name.map_or_else(|| format!("limit {number}"), |name| (*name).to_owned())
}

/// `SIGSYS`, or `signal 99`.
pub(super) fn signal(number: i32) -> String {
    nix::sys::signal::Signal::try_from(number).map_or_else(
        |_| format!("signal {number}"),
        |signal| signal.as_str().to_owned(),
    )
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
