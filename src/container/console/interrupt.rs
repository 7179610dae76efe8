//! Keys that ask a program to end and that the kernel does not tell it: the first process of a pid namespace gets no signal
//! that it has no handler for (pid_namespaces(7)).

use std::os::fd::BorrowedFd;

use rustix::termios::{LocalModes, SpecialCodeIndex, tcgetattr, tcgetpgrp};

/// Whether such a key is among `keys`, typed at the terminal with these ends.
pub(super) fn is_lost(master: BorrowedFd<'_>, end: BorrowedFd<'_>, keys: &[u8]) -> bool {
    let Ok(modes) = tcgetattr(end) else {
        return false;
    };
    if !modes.local_modes.contains(LocalModes::ISIG) {
        return false;
    }
    let is_typed = |index| keys.contains(&modes.special_codes[index]);
    let signal = match (
        is_typed(SpecialCodeIndex::VINTR),
        is_typed(SpecialCodeIndex::VQUIT),
    ) {
        (true, _) => libc::SIGINT,
        (false, true) => libc::SIGQUIT,
        (false, false) => return false,
    };
    // Whom the terminal tells: the first process alone only where no job is in the foreground.
    let Ok(group) = tcgetpgrp(master) else {
        return false;
    };
    std::fs::read_to_string(format!("/proc/{}/status", group.as_raw_pid()))
        .is_ok_and(|status| is_first_without_handler(&status, signal))
}

/// By its status (proc_pid_status(5)): the last of its process ids is 1, and the signal is neither caught nor ignored.
fn is_first_without_handler(status: &str, signal: i32) -> bool {
    let value = |key| {
        status
            .lines()
            .find_map(|line: &str| line.strip_prefix(key))
            .unwrap_or_default()
    };
    let mask = |key| u64::from_str_radix(value(key).trim(), 16).unwrap_or(u64::MAX);
    let handled = mask("SigCgt:") | mask("SigIgn:");
    value("NSpid:").split_whitespace().next_back() == Some("1") && handled >> (signal - 1) & 1 == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_first_process_without_a_handler_is_not_told() {
        let status = |ids: &str, ignored: &str, caught: &str| {
            let text = format!("Name:\tx\nNSpid:\t{ids}\nSigIgn:\t{ignored}\nSigCgt:\t{caught}\n");
            is_first_without_handler(&text, libc::SIGINT)
        };
        assert!(status("4711\t1", "0000000000000000", "0000000000000001"));
        assert!(!status("4711\t1", "0000000000000002", "0000000000000000"));
        assert!(!status("4711\t1", "0000000000000000", "0000000000000002"));
        assert!(!status("4711\t12", "0000000000000000", "0000000000000000"));
        assert!(!is_first_without_handler("", libc::SIGINT));
    }
}
