//! Values of flags that are more than a word or a number; an error says what is accepted.

use std::time::Duration;

use crate::container::Bind;
use crate::names;

/// Bytes: a number with an optional K, M, G or T (powers of 1024).
pub fn bytes(text: &str) -> Result<i64, String> {
    let wrong = || "a size is a number and K, M, G or T, such as 256M".to_owned();
    let (digits, power) = match text.char_indices().last() {
        Some((at, unit)) if unit.is_ascii_alphabetic() => {
            let power = "KMGT".find(unit.to_ascii_uppercase()).ok_or_else(wrong)? + 1;
            (&text[..at], power)
        }
        _ => (text, 0),
    };
    let number = number(digits).ok_or_else(wrong)?;
    let factor = 1024_u64.pow(u32::try_from(power).map_err(|_| wrong())?);
    let bytes = number
        .checked_mul(factor)
        .and_then(|bytes| i64::try_from(bytes).ok());
    bytes.filter(|&bytes| bytes > 0).ok_or_else(wrong)
}

/// Thousandths of a CPU: a number with at most three decimals, at least 0.01, which is the kernel's smallest quota.
pub fn cpus(text: &str) -> Result<u32, String> {
    let wrong = || "a number of CPUs is at least 0.01 and has three decimals at most".to_owned();
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    if part.is_empty() || part.len() > 3 {
        return Err(wrong());
    }
    let part = number(&format!("{part:0<3}")).ok_or_else(wrong)?;
    let thousandths = number(whole).and_then(|whole| whole.checked_mul(1000)?.checked_add(part));
    let thousandths = thousandths.and_then(|thousandths| u32::try_from(thousandths).ok());
    thousandths
        .filter(|&thousandths| thousandths >= 10)
        .ok_or_else(wrong)
}

/// A time as Go's flags have it: numbers with units from h to ns, such as 1m30s or 0.5s; more than none.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "a time is a number above 0 with h, m, s or ms, such as 5s or 1m30s".to_owned();
    let mut rest = text;
    let mut nanoseconds = 0.0;
    while !rest.is_empty() {
        let is_number = |c: char| c.is_ascii_digit() || c == '.';
        let end = rest.find(|c| !is_number(c)).ok_or_else(wrong)?;
        let (digits, after) = rest.split_at(end);
        let end = after.find(is_number).unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let factor = match unit {
            "h" => 3600e9,
            "m" => 60e9,
            "s" => 1e9,
            "ms" => 1e6,
            "us" | "µs" | "μs" => 1e3,
            "ns" => 1.0,
            _ => return Err(wrong()),
        };
        nanoseconds += digits.parse::<f64>().map_err(|_| wrong())? * factor;
        rest = after;
    }
    // Up to a century, so that a sum with the present cannot overflow.
    if (1.0..3.2e18).contains(&nanoseconds) {
        Ok(Duration::from_nanos(nanoseconds as u64))
    } else {
        Err(wrong())
    }
}

/// Bytes as other runtimes' flags have them, with k, m, g, t or p and perhaps b or ib after it; -1 is no limit.
pub fn limit(text: &str) -> Result<i64, String> {
    let wrong = || "a limit is bytes, a size such as 64M, or -1 for none".to_owned();
    if text == "-1" {
        return Ok(-1);
    }
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = lower[digits.len()..].trim_end_matches('b');
    let unit = unit.strip_suffix('i').unwrap_or(unit);
    let power = match unit {
        "" => 0,
        letter => {
            "kmgtp"
                .find(letter)
                .filter(|_| letter.len() == 1)
                .ok_or_else(wrong)?
                + 1
        }
    };
    let factor = 1024_i64.pow(u32::try_from(power).map_err(|_| wrong())?);
    let digits = digits.trim_end();
    if let Some(number) = number(digits) {
        let bytes = i64::try_from(number)
            .ok()
            .and_then(|number| number.checked_mul(factor));
        return bytes.ok_or_else(wrong);
    }
    let is_plain = digits
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let bytes = digits
        .parse::<f64>()
        .ok()
        .filter(|_| is_plain)
        .ok_or_else(wrong)?
        * factor as f64;
    if bytes < 9e18 {
        Ok(bytes as i64)
    } else {
        Err(wrong())
    }
}

/// `NAME=VALUE`, with a name.
pub fn variable(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((name, _)) if !name.is_empty() => Ok(text.to_owned()),
        _ => Err("a variable is NAME=VALUE".to_owned()),
    }
}

/// `SOURCE:DESTINATION`, with `:ro` or `:rw` after it; writable unless it says `ro`.
pub fn bind(text: &str) -> Result<Bind, String> {
    let mut parts = text.split(':');
    let (Some(source), Some(destination)) = (parts.next(), parts.next()) else {
        return Err("a bind mount is SOURCE:DESTINATION[:ro]".to_owned());
    };
    let is_readonly = match (parts.next(), parts.next()) {
        (None | Some("rw"), None) => false,
        (Some("ro"), None) => true,
        _ => return Err("after SOURCE:DESTINATION comes \"ro\", \"rw\" or nothing".to_owned()),
    };
    if !destination.starts_with('/') {
        return Err("the destination of a bind mount is absolute".to_owned());
    }
    let source = std::path::absolute(source)
        .map_err(|_| "the source of a bind mount is a path".to_owned())?;
    Ok(Bind {
        source,
        destination: destination.to_owned(),
        is_readonly,
    })
}

/// `USER` or `USER:GROUP`, each a number or a name; numbers without leading zeros. What a name means, the root filesystem
/// says.
pub fn user(text: &str) -> Result<String, String> {
    match text.split_once(':') {
        Some((user, group)) => Ok(format!("{}:{}", who(user)?, who(group)?)),
        None => who(text),
    }
}

/// A user or group id.
pub fn id(text: &str) -> Result<u32, String> {
    let id = number(text).and_then(|id| u32::try_from(id).ok());
    id.filter(|&id| id != u32::MAX)
        .ok_or_else(|| "an id is a number below 4294967295".to_owned())
}

/// The name of a capability, such as `CAP_CHOWN`.
pub fn capability(text: &str) -> Result<String, String> {
    match names::capability(text) {
        Some(_) => Ok(text.to_owned()),
        None => Err("a capability is a name of capabilities(7) such as CAP_CHOWN".to_owned()),
    }
}

fn who(text: &str) -> Result<String, String> {
    let wrong = || {
        "a user or group is a number below 4294967295 or a name, as in 1000:100 or www".to_owned()
    };
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        let id = number(text).and_then(|id| u32::try_from(id).ok());
        return id
            .filter(|&id| id != u32::MAX)
            .map(|id| id.to_string())
            .ok_or_else(wrong);
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    if text.is_empty() || text.starts_with('-') || !text.chars().all(fits) {
        return Err(wrong());
    }
    Ok(text.to_owned())
}

/// Decimal digits alone: `parse` would take a plus sign too.
fn number(text: &str) -> Option<u64> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_1024() {
        assert_eq!(bytes("256M"), Ok(256 << 20));
        assert_eq!(bytes("1k"), Ok(1024));
        assert_eq!(bytes("7"), Ok(7));
        for text in [
            "",
            "M",
            "0",
            "-1",
            "+1",
            "1.5G",
            "1MB",
            "1é",
            "9999999999T",
            "1 M",
        ] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_those_of_go() {
        assert_eq!(duration("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("0.5s"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1h2ms"), Ok(Duration::from_millis(3_600_002)));
        for text in [
            "",
            "0s",
            "5",
            "s",
            "-5s",
            "5x",
            "1.2.3s",
            "5 s",
            "99999999h",
            "infs",
            "1e9s",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn limits_are_spelled_as_for_other_runtimes() {
        assert_eq!(limit("-1"), Ok(-1));
        assert_eq!(limit("0"), Ok(0));
        assert_eq!(limit("4096"), Ok(4096));
        assert_eq!(limit("64M"), Ok(64 << 20));
        assert_eq!(limit("64mb"), Ok(64 << 20));
        assert_eq!(limit("2GiB"), Ok(2 << 30));
        assert_eq!(limit("1.5k"), Ok(1536));
        assert_eq!(limit("10b"), Ok(10));
        for text in [
            "",
            "-2",
            "+1",
            "M",
            "1x",
            "1kk",
            "1 2",
            "1e3",
            "99999p",
            "9223372036854775808",
            "nan",
        ] {
            assert!(limit(text).is_err(), "{text}");
        }
    }

    #[test]
    fn cpus_have_three_decimals() {
        assert_eq!(cpus("1"), Ok(1000));
        assert_eq!(cpus("0.5"), Ok(500));
        assert_eq!(cpus("2.125"), Ok(2125));
        for text in [
            "",
            "0",
            "0.001",
            "1.",
            "1.1234",
            "-1",
            "1e3",
            ".5.5",
            "99999999999",
        ] {
            assert!(cpus(text).is_err(), "{text}");
        }
    }

    #[test]
    fn users_never_wrap_around() {
        assert_eq!(user("1"), Ok("1".into()));
        assert_eq!(user("1:2"), Ok("1:2".into()));
        assert_eq!(user("nobody"), Ok("nobody".into()));
        let wrong = "4294967296 1000:4294967296 99999999999 4294967295 1000: :5 0x0 -1 +1 1x";
        for text in wrong.split(' ').chain(["", "1 ", "a\nb"]) {
            assert!(user(text).is_err(), "{text}");
        }
    }

    #[test]
    fn binds_say_how_they_are_used() {
        let bound = bind("/a:/b:ro").unwrap();
        assert_eq!(
            (bound.source, bound.destination, bound.is_readonly),
            ("/a".into(), "/b".into(), true)
        );
        assert!(!bind("a:/b").unwrap().is_readonly);
        for text in ["", "/a", "/a:b", "/a:/b:rx", "/a:/b:ro:x", ":/b"] {
            assert!(bind(text).is_err(), "{text}");
        }
    }

    #[test]
    fn variable_needs_a_name_and_an_equals_sign() {
        assert!(variable("A=").is_ok() && variable("A=b=c").is_ok());
        assert!(variable("=x").is_err() && variable("A").is_err());
    }
}
