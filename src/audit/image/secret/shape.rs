//! Secrets in variables, labels and commands: a name that says so together with a value that can be one, or a value that
//! says it itself. A name alone is not enough (`SSH_KEY_PATH`, `MONKEY`), and neither is a random value (a digest).

/// Words that end the name of a secret.
const SECRET: &[&str] = &[
    "apikey",
    "apitoken",
    "authtoken",
    "credential",
    "credentials",
    "pass",
    "passphrase",
    "passwd",
    "password",
    "pat",
    "privatekey",
    "pwd",
    "secret",
    "secretkey",
    "token",
];

/// Words that make `key` a secret when they stand before it.
const OF_KEY: &[&str] = &[
    "access",
    "account",
    "api",
    "auth",
    "encryption",
    "private",
    "secret",
    "signing",
];

/// Words whose name is of something public, whatever else is in it.
const PUBLIC: &[&str] = &[
    "checksum",
    "digest",
    "fingerprint",
    "gpg",
    "pgp",
    "public",
    "pubkey",
    "sha",
    "sha1",
    "sha256",
    "sha512",
    "version",
];

/// Values that say themselves what they are: their start, how long the rest is at least, and whose they are.
const KNOWN: &[(&str, usize, &str)] = &[
    ("ghp_", 36, "a token of GitHub"),
    ("gho_", 36, "a token of GitHub"),
    ("ghs_", 36, "a token of GitHub"),
    ("github_pat_", 60, "a token of GitHub"),
    ("glpat-", 20, "a token of GitLab"),
    ("xoxb-", 20, "a token of Slack"),
    ("xoxp-", 20, "a token of Slack"),
    ("sk_live_", 24, "a key of Stripe"),
    ("rk_live_", 24, "a key of Stripe"),
    ("npm_", 36, "a token of npm"),
    ("pypi-AgEIcHlwaS5vcmc", 40, "a token of PyPI"),
    ("AIza", 35, "a key of Google"),
    ("hvs.", 24, "a token of Vault"),
    ("dckr_pat_", 27, "a token of Docker"),
];

/// The fewest characters of a secret that its name alone does not show.
const SHORTEST: usize = 8;

/// What kind of secret the value of a variable is, if it is one.
pub fn secret(name: &str, value: &str) -> Option<&'static str> {
    let value = value.trim().trim_matches(['"', '\'']);
    known(value).or_else(|| {
        (is_secret_name(name) && is_random(value))
            .then_some("a value like a secret's, of a name that says so")
    })
}

/// What kind of secret a word is by itself.
pub fn known(value: &str) -> Option<&'static str> {
    let is_word = |text: &str| {
        text.chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    for (start, length, what) in KNOWN {
        if let Some(rest) = value.strip_prefix(start)
            && rest.len() >= *length
            && is_word(rest)
        {
            return Some(what);
        }
    }
    if !super::credentials::aws(value.as_bytes()).is_empty() {
        return Some("the id of an AWS access key");
    }
    if !super::pem::private_keys(value.as_bytes()).is_empty() {
        return Some("a private key");
    }
    password_in_url(value).then_some("a password in a URL")
}

/// `scheme://user:password@host`.
fn password_in_url(value: &str) -> bool {
    let Some((scheme, rest)) = value.split_once("://") else {
        return false;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let Some((user, _)) = authority.rsplit_once('@') else {
        return false;
    };
    let password = user.split_once(':').map_or("", |(_, password)| password);
    let is_scheme = !scheme.is_empty()
        && scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    is_scheme && is_random(password)
}

/// Whether the last word of a name says that the value is secret.
pub fn is_secret_name(name: &str) -> bool {
    let words = words(name);
    let is_public = words.iter().any(|word| PUBLIC.contains(&word.as_str()));
    let mut last = words.iter().rev();
    let Some(word) = last.next().filter(|_| !is_public) else {
        return false;
    };
    match (last.next(), word.as_str()) {
        (Some(before), "key") => OF_KEY.contains(&before.as_str()),
        // The working directory of a shell, and the one before.
        (None, "pwd") => false,
        (Some(before), "pwd") => before != "old",
        (_, word) => SECRET.contains(&word),
    }
}

/// `awsSecretKey2` is `aws`, `secret`, `key`.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for c in name.chars().take(256) {
        let starts = was_lower && c.is_ascii_uppercase();
        if starts || !c.is_ascii_alphanumeric() {
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
    words.retain(|word| word.chars().any(|c| !c.is_ascii_digit()));
    words
}

/// Whether a value can be a secret: long enough, of more than one kind of character, and none that repeats itself, names a
/// place, or stands for another value.
fn is_random(value: &str) -> bool {
    let is_stand_in = value.starts_with(['$', '<', '{', '%', '/', '.'])
        || value.contains("://")
        || value.contains("${");
    if value.len() < SHORTEST || is_stand_in || value.contains(char::is_whitespace) {
        return false;
    }
    let lower = value.to_ascii_lowercase();
    let is_example = [
        "example",
        "changeme",
        "change-me",
        "change_me",
        "placeholder",
        "password",
        "dummy",
        "redacted",
    ]
    .iter()
    .any(|word| lower.contains(word));
    let kinds: [fn(char) -> bool; 3] = [
        |c| c.is_ascii_lowercase(),
        |c| c.is_ascii_uppercase(),
        |c| c.is_ascii_digit(),
    ];
    let kinds = kinds
        .into_iter()
        .filter(|kind| value.chars().any(kind))
        .count();
    kinds >= 2 && !is_example && entropy(value) >= 2.75
}

/// Shannon's entropy, in bits for each byte.
fn entropy(value: &str) -> f64 {
    let mut counts = [0u32; 256];
    for byte in value.bytes() {
        counts[usize::from(byte)] += 1;
    }
    let length = value.len() as f64;
    let parts = counts
        .into_iter()
        .filter(|count| *count > 0)
        .map(|count| f64::from(count) / length);
    parts.map(|part| -part * part.log2()).sum()
}
