//! What looks like a secret in a short text: a variable, an argument, a label. By the shape of the value, and where that says
//! too little by the name as well: a name alone (`KEY`, `PASSWORD_FILE`) is never enough.

/// Beginnings that nothing but a credential has, how long the rest is at least, and what it is.
const KNOWN: [(&str, usize, &str); 16] = [
    ("AKIA", 16, "an access key of AWS"),
    ("ASIA", 16, "an access key of AWS"),
    ("ghp_", 36, "a token of GitHub"),
    ("gho_", 36, "a token of GitHub"),
    ("ghs_", 36, "a token of GitHub"),
    ("github_pat_", 40, "a token of GitHub"),
    ("glpat-", 20, "a token of GitLab"),
    ("xoxb-", 20, "a token of Slack"),
    ("xoxp-", 20, "a token of Slack"),
    ("sk_live_", 20, "a key of Stripe"),
    ("rk_live_", 20, "a key of Stripe"),
    ("AIza", 35, "a key of Google"),
    ("npm_", 36, "a token of npm"),
    ("dckr_pat_", 20, "a token of Docker Hub"),
    ("hvs.", 24, "a token of Vault"),
    ("pypi-AgE", 50, "a token of PyPI"),
];

/// Last words of a name whose value is a secret.
const WORDS: [&str; 11] = [
    "apikey",
    "credential",
    "credentials",
    "passphrase",
    "passwd",
    "password",
    "pgpassword",
    "pwd",
    "secret",
    "secretkey",
    "token",
];

/// Two last words of such a name.
const PAIRS: [(&str, &str); 6] = [
    ("access", "key"),
    ("api", "key"),
    ("encryption", "key"),
    ("private", "key"),
    ("secret", "key"),
    ("signing", "key"),
];

/// Values that are there to be replaced, or switch something.
const PLACEHOLDERS: [&str; 12] = [
    "changeme",
    "disabled",
    "dummy",
    "enabled",
    "example",
    "false",
    "none",
    "null",
    "placeholder",
    "redacted",
    "required",
    "true",
];

/// Bytes that a secret has at least, to be one by its name.
const SHORTEST: usize = 8;

/// Bits that each letter of such a secret says at least; words of a language say less when they are short.
const LEAST_ENTROPY: f64 = 2.5;

/// What a text is by its shape alone.
pub(super) fn by_shape(text: &str) -> Option<&'static str> {
    if text.contains("-----BEGIN ") && text.contains("PRIVATE KEY-----") {
        return Some("a private key");
    }
    let is_part = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    text.split(|c| !is_part(c))
        .find_map(known)
        .or_else(|| has_userinfo(text))
}

/// What the value of a name is: by its own shape, or by the name's last words and a value that is no switch, no path and no
/// place for another value.
pub(super) fn by_name(name: &str, value: &str) -> Option<&'static str> {
    by_shape(value)
        .or_else(|| (is_secret_name(name) && is_opaque(value)).then_some("a secret by its name"))
}

fn known(word: &str) -> Option<&'static str> {
    let fits = |(prefix, least, _): &&(&str, usize, &str)| {
        let rest = word.strip_prefix(prefix);
        rest.is_some_and(|rest| rest.len() >= *least && entropy(rest) >= LEAST_ENTROPY)
    };
    if let Some((_, _, what)) = KNOWN.iter().find(fits) {
        return Some(what);
    }
    // RFC 7519: three parts in base64, of which two are JSON.
    let parts: Vec<&str> = word.split('.').collect();
    let is_token = parts.len() == 3
        && parts[0].starts_with("eyJ")
        && parts[1].starts_with("eyJ")
        && parts[2].len() >= 20;
    is_token.then_some("a JSON web token")
}

/// `scheme://user:password@host`.
fn has_userinfo(text: &str) -> Option<&'static str> {
    let (_, rest) = text.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (userinfo, _) = authority.rsplit_once('@')?;
    let (_, password) = userinfo.split_once(':')?;
    (password.len() >= 4 && !is_place_holder(password)).then_some("a URL with a password")
}

fn is_secret_name(name: &str) -> bool {
    let words = words(name);
    let Some(last) = words.last() else {
        return false;
    };
    let is_pair = |before: &String| PAIRS.contains(&(before.as_str(), last.as_str()));
    WORDS.contains(&last.as_str())
        || words.len() > 1 && words.get(words.len() - 2).is_some_and(is_pair)
}

/// `DB_PASSWORD`, `db.password`, `dbPassword`: words in lower case.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for c in name.chars() {
        if !c.is_ascii_alphanumeric() || c.is_ascii_uppercase() && was_lower {
            words.push(String::new());
        }
        if c.is_ascii_alphanumeric() {
            words
                .last_mut()
                .expect("there is always a word")
                .push(c.to_ascii_lowercase());
        }
        was_lower = c.is_ascii_lowercase();
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Whether a value can be a secret: long and varied enough, and neither a path, a URL, a number nor a place for another.
fn is_opaque(value: &str) -> bool {
    let is_name_of_other = value.starts_with(['/', '.', '~'])
        || value.contains("://")
        || value.contains(char::is_whitespace);
    let is_number = value.bytes().all(|byte| byte.is_ascii_digit());
    value.len() >= SHORTEST
        && !is_name_of_other
        && !is_number
        && !is_place_holder(value)
        && entropy(value) >= LEAST_ENTROPY
}

fn is_place_holder(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    let is_marked = value.starts_with(['$', '<', '{', '%', '*']) || value.contains("${");
    is_marked || PLACEHOLDERS.iter().any(|word| lower == *word) || lower.starts_with("your")
}

/// Bits a byte (Shannon).
fn entropy(text: &str) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in text.bytes() {
        counts[usize::from(byte)] += 1;
    }
    let length = text.len() as f64;
    let shares = counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| f64::from(*count) / length);
    shares.map(|share| -share * share.log2()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_the_shape_of_its_value_make_a_secret() {
        for (name, value) in [
            ("DB_PASSWORD", "Tr0ub4dor&3"),
            ("dbPassword", "kJ8s-2hdQ1"),
            (
                "AWS_SECRET_ACCESS_KEY",
                "wJalrXUtnFEMI/K7MDENG/bPxRfiCYzzzzzzzzzz",
            ),
            ("API_KEY", "9f8e7d6c5b4a39281706"),
            ("github.token", "0123456789abcdef"),
        ] {
            assert_eq!(by_name(name, value), Some("a secret by its name"), "{name}");
        }
    }

    #[test]
    fn names_and_values_that_only_sound_like_one_are_none() {
        for (name, value) in [
            ("POSTGRES_PASSWORD_FILE", "/run/secrets/db-password"),
            ("DB_PASSWORD", "/run/secrets/db-password"),
            ("DB_PASSWORD", "${DB_PASSWORD}"),
            ("DB_PASSWORD", "changeme"),
            ("DB_PASSWORD", ""),
            ("TOKEN_TTL", "86400seconds"),
            ("TOKEN", "1234567890"),
            ("GPG_KEY", "E3FF2839C048B25C084DEBE9B26995E310250568"),
            ("KEYBOARD", "abcdefghijklmn"),
            ("MONKEY", "abcdefghijklmn"),
            ("PASS", "abcdefghijklmn"),
            ("ACCESS_LOG", "abcdefghijklmn"),
            ("SETTINGS", "settings.py.production"),
            ("PATH", "/usr/local/sbin:/usr/local/bin"),
            ("SECRET", "aaaaaaaaaaaa"),
            ("", "abcdefghijklmn"),
        ] {
            assert_eq!(by_name(name, value), None, "{name}={value}");
        }
    }

    #[test]
    fn what_is_issued_is_known_by_its_beginning() {
        // Put together here, so that nobody takes this file for a leak.
        let text = |parts: &[&str]| parts.concat();
        for (value, what) in [
            (
                text(&["AK", "IA", "IOSFODNN7EXAMPLE"]),
                "an access key of AWS",
            ),
            (
                text(&["gh", "p_", "0123456789abcdefghijABCDEFGHIJ012345"]),
                "a token of GitHub",
            ),
            (
                text(&["-----BEGIN RSA ", "PRIVATE KEY-----\nMIIE"]),
                "a private key",
            ),
            (
                text(&[
                    "eyJhbGciOiJIUzI1NiJ9",
                    ".eyJzdWIiOiJhIn0",
                    ".dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P",
                ]),
                "a JSON web token",
            ),
            (
                text(&["postgres://app:", "hunter22", "@db/app"]),
                "a URL with a password",
            ),
            (
                text(&["--token=gl", "pat-0123456789abcdefghij"]),
                "a token of GitLab",
            ),
        ] {
            assert_eq!(by_shape(&value), Some(what), "{value}");
        }
        for value in [
            "AKIAxxxx",
            "postgres://app@db/app",
            "http://a:$PW@b/",
            "ghp_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "-----BEGIN CERTIFICATE-----",
            "a://b:c",
        ] {
            assert_eq!(by_shape(value), None, "{value}");
        }
    }
}
