//! Signals by name and number (signal(7)).

use std::str::FromStr;

use nix::sys::signal::Signal;

/// The first and the last real-time signal that programs may use; the C library keeps 32 and 33 for itself.
const REAL_TIME: (i32, i32) = (34, 64);

/// The number of a signal given as `SIGTERM`, `TERM`, `term`, `15`, `SIGRTMIN+3` or `RTMAX-1`; 0 to 64.
pub fn signal(word: &str) -> Option<i32> {
    if !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit()) {
        return word.parse().ok().filter(|number| (0..=REAL_TIME.1).contains(number));
    }
    let upper = word.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(rest) = name.strip_prefix("RTMIN") {
        return real_time(REAL_TIME.0, rest, '+');
    }
    if let Some(rest) = name.strip_prefix("RTMAX") {
        return real_time(REAL_TIME.1, rest, '-');
    }
    match name {
        "IOT" => Some(libc::SIGIOT),
        "CLD" => Some(libc::SIGCHLD),
        "POLL" => Some(libc::SIGPOLL),
        _ => Signal::from_str(&format!("SIG{name}")).ok().map(|signal| signal as i32),
    }
}

fn real_time(base: i32, rest: &str, sign: char) -> Option<i32> {
    if rest.is_empty() {
        return Some(base);
    }
    let digits = rest.strip_prefix(sign).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    let offset: i32 = digits.parse().ok()?;
    let number = if sign == '+' { base.checked_add(offset)? } else { base.checked_sub(offset)? };
    (REAL_TIME.0..=REAL_TIME.1).contains(&number).then_some(number)
}

/// The name of a signal below the real-time ones.
pub fn signal_name(number: i32) -> Option<&'static str> {
    Signal::try_from(number).ok().map(Signal::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_by_every_spelling() {
        for (word, number) in [
            ("SIGTERM", 15),
            ("TERM", 15),
            ("term", 15),
            ("15", 15),
            ("0", 0),
            ("64", 64),
            ("SIGRTMIN+3", 37),
            ("rtmin+3", 37),
            ("RTMAX-1", 63),
            ("SIGRTMIN", 34),
            ("WINCH", 28),
        ] {
            assert_eq!(signal(word), Some(number), "{word}");
        }
        for word in ["", "65", "BOGUS", "-9", "RTMIN+31", "RTMIN-1", "RTMIN+", "99999999999"] {
            assert_eq!(signal(word), None, "{word}");
        }
    }
}
