//! Signals (signal(7)): `SIGTERM`, `term`, `15`, `SIGRTMIN+3` and their numbers.
//! Real-time signals count from 34, as the C libraries do, not from the kernel's 32.

use super::word_of;

const RTMIN: i32 = 34;
const RTMAX: i32 = 64;

/// The number of a signal by name (any case, with or without `SIG`) or by number from 0 to 64; 0 only asks whether a
/// process exists (kill(2)).
pub fn signal(word: &str) -> Option<i32> {
    if word.bytes().all(|b| b.is_ascii_digit()) {
        return word.parse().ok().filter(|n| (0..=RTMAX).contains(n));
    }
    let upper = word.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let fixed = SIGNALS.iter().find(|(known, _)| &known[3..] == name);
    fixed.map(|(_, number)| *number).or_else(|| realtime(name))
}

/// The name of a signal's number: `SIGTERM`, `SIGRTMIN+3`.
pub fn signal_name(number: i32) -> Option<String> {
    if (RTMIN..=RTMAX).contains(&number) {
        return Some(match number - RTMIN {
            0 => "SIGRTMIN".to_owned(),
            30 => "SIGRTMAX".to_owned(),
            above => format!("SIGRTMIN+{above}"),
        });
    }
    word_of(SIGNALS, number).map(str::to_owned)
}

/// A signal that has ended a process, for an error: `signal 9 (SIGKILL)`. What SIGSYS means is said in the words that
/// shells have for it.
pub fn signal_words(number: i32) -> String {
    match signal_name(number) {
        Some(name) if number == libc::SIGSYS => {
            format!("signal {number} ({name}, bad system call)")
        }
        Some(name) => format!("signal {number} ({name})"),
        None => format!("signal {number}"),
    }
}

fn realtime(name: &str) -> Option<i32> {
    let distance = |digits: &str| {
        let decimal = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        decimal.then(|| digits.parse::<i32>().ok()).flatten()
    };
    let number = if let Some(above) = name.strip_prefix("RTMIN") {
        RTMIN.checked_add(
            above
                .strip_prefix('+')
                .map_or_else(|| above.is_empty().then_some(0), distance)?,
        )?
    } else {
        let below = name.strip_prefix("RTMAX")?;
        RTMAX.checked_sub(
            below
                .strip_prefix('-')
                .map_or_else(|| below.is_empty().then_some(0), distance)?,
        )?
    };
    (RTMIN..=RTMAX).contains(&number).then_some(number)
}

/// Where two names share a number, the first is the one to print.
const SIGNALS: &[(&str, i32)] = &[
    ("SIGHUP", libc::SIGHUP),
    ("SIGINT", libc::SIGINT),
    ("SIGQUIT", libc::SIGQUIT),
    ("SIGILL", libc::SIGILL),
    ("SIGTRAP", libc::SIGTRAP),
    ("SIGABRT", libc::SIGABRT),
    ("SIGIOT", libc::SIGIOT),
    ("SIGBUS", libc::SIGBUS),
    ("SIGFPE", libc::SIGFPE),
    ("SIGKILL", libc::SIGKILL),
    ("SIGUSR1", libc::SIGUSR1),
    ("SIGSEGV", libc::SIGSEGV),
    ("SIGUSR2", libc::SIGUSR2),
    ("SIGPIPE", libc::SIGPIPE),
    ("SIGALRM", libc::SIGALRM),
    ("SIGTERM", libc::SIGTERM),
    ("SIGSTKFLT", libc::SIGSTKFLT),
    ("SIGCHLD", libc::SIGCHLD),
    ("SIGCLD", libc::SIGCHLD),
    ("SIGCONT", libc::SIGCONT),
    ("SIGSTOP", libc::SIGSTOP),
    ("SIGTSTP", libc::SIGTSTP),
    ("SIGTTIN", libc::SIGTTIN),
    ("SIGTTOU", libc::SIGTTOU),
    ("SIGURG", libc::SIGURG),
    ("SIGXCPU", libc::SIGXCPU),
    ("SIGXFSZ", libc::SIGXFSZ),
    ("SIGVTALRM", libc::SIGVTALRM),
    ("SIGPROF", libc::SIGPROF),
    ("SIGWINCH", libc::SIGWINCH),
    ("SIGIO", libc::SIGIO),
    ("SIGPOLL", libc::SIGPOLL),
    ("SIGPWR", libc::SIGPWR),
    ("SIGSYS", libc::SIGSYS),
    ("SIGUNUSED", libc::SIGSYS),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signal_words_are_read_in_every_spelling() {
        let table = [
            ("SIGTERM", Some(15)),
            ("TERM", Some(15)),
            ("sigterm", Some(15)),
            ("15", Some(15)),
            ("WINCH", Some(28)),
            ("SIGRTMIN+3", Some(37)),
            ("RTMIN+3", Some(37)),
            ("rtmin+3", Some(37)),
            ("SIGRTMIN", Some(34)),
            ("SIGRTMAX", Some(64)),
            ("SIGRTMAX-1", Some(63)),
            ("37", Some(37)),
            ("0", Some(0)),
            ("65", None),
            ("-1", None),
            ("+9", None),
            ("", None),
            ("SIG", None),
            ("BOGUS", None),
            ("SIGRTMIN+31", None),
            ("SIGRTMIN-1", None),
            ("SIGRTMIN+", None),
            ("SIGRTMIN++1", None),
            ("SIGRTMIN+99999999999", None),
            ("99999999999", None),
        ];
        for (word, number) in table {
            assert_eq!(signal(word), number, "{word}");
        }
    }

    #[test]
    fn signal_names_read_back_as_their_number() {
        for number in (1..=31).chain(34..=64) {
            let name = signal_name(number).unwrap();
            assert_eq!(signal(&name), Some(number), "{name}");
        }
        assert_eq!(signal_name(6).as_deref(), Some("SIGABRT"));
        assert_eq!(signal_name(0), None);
        assert_eq!(signal_name(33), None);
    }
}
