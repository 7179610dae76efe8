//! Credentials in the files of well-known programs.

use memchr::memmem;
use serde_json::Value;

use super::Secret;

/// Occurrences in one file that are looked at.
const MOST: usize = 64;

/// Ids of access keys of AWS: `AKIA` and sixteen letters and digits of base32.
pub(super) fn aws(head: &[u8]) -> Vec<Secret> {
    let mut all: Vec<Secret> = Vec::new();
    for at in memmem::find_iter(head, b"AKIA").take(MOST) {
        let end = at + 20;
        let is_part = |byte: Option<&u8>| {
            byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
        };
        let before = at.checked_sub(1).and_then(|at| head.get(at));
        let Some(id) = head
            .get(at..end)
            .filter(|_| !is_part(before) && !is_part(head.get(end)))
        else {
            continue;
        };
        if is_key_id(id) {
            all.push(Secret::new("the id of an AWS access key", id));
        }
    }
    all.dedup();
    all
}

/// Not those of manuals, which end in EXAMPLE or repeat a few letters.
fn is_key_id(id: &[u8]) -> bool {
    let rest = &id[4..];
    let mut letters = rest.to_vec();
    letters.sort_unstable();
    letters.dedup();
    rest.iter()
        .all(|byte| byte.is_ascii_uppercase() || (b'2'..=b'7').contains(byte))
        && !id.ends_with(b"EXAMPLE")
        && letters.len() >= 6
}

/// What the formats have that are known by the file's name, or by words that they must have.
pub(super) fn of_format(name: &[u8], head: &[u8]) -> Option<Secret> {
    let is_json = || head.trim_ascii_start().starts_with(b"{");
    let has = |word: &str| memmem::find(head, word.as_bytes()).is_some();
    match name {
        b".netrc" | b"_netrc" | b"netrc" => netrc(head),
        b".npmrc" | b"npmrc" => npmrc(head),
        _ if is_json() && has("\"auths\"") => docker(head),
        _ if is_json() && has("\"service_account\"") => service_account(head),
        _ if has("kind: Config") && has("users:") => kubeconfig(head),
        _ => None,
    }
}

/// A password, not what stands for one: a variable, or a word of a manual.
fn is_value(text: &str, shortest: usize) -> bool {
    let is_stand_in = text.starts_with(['$', '<', '%', '{', '*'])
        || text.starts_with("your")
        || text.starts_with("xxx");
    text.len() >= shortest && !is_stand_in
}

/// netrc(5): `machine NAME login NAME password WORD`.
fn netrc(head: &[u8]) -> Option<Secret> {
    let text = String::from_utf8_lossy(head);
    let lines = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'));
    let mut words = lines.flat_map(str::split_ascii_whitespace);
    words
        .by_ref()
        .find(|word| matches!(*word, "machine" | "default"))?;
    while let Some(word) = words.next() {
        if word == "password" {
            let password = words.next().filter(|password| is_value(password, 4));
            return password
                .map(|password| Secret::new("a password in a netrc file", password.as_bytes()));
        }
    }
    None
}

/// npmrc(5): `//registry/:_authToken=WORD`.
fn npmrc(head: &[u8]) -> Option<Secret> {
    let text = String::from_utf8_lossy(head);
    let value = text.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        let key = key.trim();
        let key = key.rsplit(':').next().unwrap_or(key);
        let value = value.trim().trim_matches('"');
        (matches!(key, "_authToken" | "_auth" | "_password") && is_value(value, 8))
            .then(|| value.to_owned())
    })?;
    Some(Secret::new(
        "a token of a registry in an npmrc file",
        value.as_bytes(),
    ))
}

/// `{"auths": {"registry": {"auth": "base64 of NAME:PASSWORD"}}}`.
fn docker(head: &[u8]) -> Option<Secret> {
    let document: Value = serde_json::from_slice(head).ok()?;
    let registries = document.get("auths")?.as_object()?;
    let secret = registries.values().find_map(|registry| {
        let fields = ["auth", "identitytoken", "registrytoken", "password"];
        let mut values = fields
            .iter()
            .filter_map(|field| registry.get(field)?.as_str());
        values.find(|value| is_value(value, 8))
    })?;
    Some(Secret::new(
        "a password of a registry in Docker's form",
        secret.as_bytes(),
    ))
}

/// `{"type": "service_account", "private_key": "-----BEGIN PRIVATE KEY-----\n…"}`.
fn service_account(head: &[u8]) -> Option<Secret> {
    let document: Value = serde_json::from_slice(head).ok()?;
    if document.get("type")?.as_str()? != "service_account" {
        return None;
    }
    let key = document.get("private_key")?.as_str()?;
    let is_key = !super::pem::private_keys(key.as_bytes()).is_empty();
    is_key.then(|| Secret::new("the key of a service account", key.as_bytes()))
}

/// A kubeconfig file: `users` with a token, a key or a password.
fn kubeconfig(head: &[u8]) -> Option<Secret> {
    let text = String::from_utf8_lossy(head);
    if !text.lines().any(|line| line.trim_end() == "kind: Config") {
        return None;
    }
    let value = text.lines().find_map(|line| {
        let (key, value) = line.trim().trim_start_matches("- ").split_once(':')?;
        let value = value.trim().trim_matches(['"', '\'']);
        let shortest = match key {
            "token" => 16,
            "client-key-data" => 64,
            "password" => 6,
            _ => return None,
        };
        is_value(value, shortest).then(|| value.to_owned())
    })?;
    Some(Secret::new(
        "credentials of a cluster in a kubeconfig file",
        value.as_bytes(),
    ))
}
