//! Secrets by content, and what others have taken for secrets.

use super::*;

const ED25519: &str = "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g";

fn told(path: &str, text: &str) -> Vec<String> {
    let secrets = of_file(path.as_bytes(), text.as_bytes());
    secrets
        .into_iter()
        .map(|secret| secret.found(Spot::Image, "").message)
        .collect()
}

fn pem(label: &str, body: &str) -> String {
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
}

#[test]
fn private_keys_are_told_wherever_they_are_and_by_kind() {
    let openssh =
        "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW\nQyNTUxOQ==";
    let one = |label: &str, body: &str| told("srv/settings.py", &pem(label, body));
    assert_eq!(one("PRIVATE KEY", ED25519), ["a private key"]);
    assert_eq!(one("RSA PRIVATE KEY", ED25519), ["a private key (RSA)"]);
    assert_eq!(
        one("OPENSSH PRIVATE KEY", openssh),
        ["a private key (OPENSSH)"]
    );
    assert_eq!(
        one("PGP PRIVATE KEY BLOCK", &format!("\n{ED25519}")),
        ["a private key (PGP)"]
    );
    let encrypted = "a private key, encrypted by a passphrase";
    assert_eq!(one("ENCRYPTED PRIVATE KEY", ED25519), [encrypted]);
    let headers = format!("Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nx{ED25519}");
    assert_eq!(
        one("RSA PRIVATE KEY", &headers),
        ["a private key (RSA), encrypted by a passphrase"]
    );
    let indented = format!(
        "key: |\n  {}",
        pem("PRIVATE KEY", ED25519).replace('\n', "\n  ")
    );
    assert_eq!(told("a.yaml", &indented), ["a private key"]);
    let cut_off = format!("-----BEGIN PRIVATE KEY-----\n{ED25519}\n{ED25519}");
    assert_eq!(told("x", &cut_off), ["a private key"]);
}

#[test]
fn certificates_words_of_programs_and_examples_are_no_keys() {
    for text in [
        pem("CERTIFICATE", ED25519),
        pem("PUBLIC KEY", ED25519),
        pem("PRIVATE KEY", "..."),
        pem("PRIVATE KEY", "your key here"),
        pem("PRIVATE KEY", &"x".repeat(64)),
        // As programs hold the header that they look for.
        "-----BEGIN OPENSSH PRIVATE KEY-----\n\0-----END OPENSSH PRIVATE KEY-----\n".to_owned(),
        "-----BEGIN RSA PRIVATE KEY-----\0".to_owned(),
        format!("it begins with {}", pem("PRIVATE KEY", ED25519)),
    ] {
        assert_eq!(told("settings.py", &text), [] as [&str; 0], "{text}");
    }
}

#[test]
fn secret_is_known_by_its_digest_wherever_it_is() {
    let first = of_file(b"a", pem("PRIVATE KEY", ED25519).as_bytes());
    let second = of_file(
        b"b",
        pem("PRIVATE KEY", ED25519).replace('\n', "\r\n").as_bytes(),
    );
    assert_eq!(first, second);
    let found = first[0].found(Spot::Image, "");
    assert_eq!(found.about, "sha256:264d6dd92426f381");
    assert!(!found.message.contains(ED25519));
}

#[test]
fn ids_of_aws_are_told_from_examples_and_other_words() {
    let id = "the id of an AWS access key";
    assert_eq!(
        told("x", "aws_access_key_id = AKIAQ3EGRTKX7WZ5NB2M\n"),
        [id]
    );
    for text in [
        "AKIAIOSFODNN7EXAMPLE",
        "AKIAAAAAAAAAAAAAAAAA",
        "AKIAQ3EGRTKX7WZ5NB2MX",
        "xAKIAQ3EGRTKX7WZ5NB2M",
        "AKIAQ3EGRTKX7WZ5NB2",
        "AKIAq3EGRTKX7WZ5NB2M",
    ] {
        assert_eq!(told("x", text), [] as [&str; 0], "{text}");
    }
}

#[test]
fn credentials_of_programs_are_told_by_their_form() {
    let kubeconfig = "apiVersion: v1\nkind: Config\nusers:\n- name: a\n  user:\n    token: eyJhbGciOiJSUzI1NiIs\n";
    let docker = r#"{"auths": {"registry.example": {"auth": "dXNlcjpwYXNzd29yZA=="}}}"#;
    let key = pem("PRIVATE KEY", ED25519).replace('\n', "\\n");
    let account = format!(r#"{{"type": "service_account", "private_key": "{key}"}}"#);
    for (path, text, what) in [
        (
            "root/.netrc",
            "machine a login b password s3cret\n",
            "a password in a netrc file",
        ),
        (
            "root/.npmrc",
            "//r.example/:_authToken=0a1b2c3d4e\n",
            "a token of a registry in an npmrc file",
        ),
        (
            "any.json",
            docker,
            "a password of a registry in Docker's form",
        ),
        ("any.json", &account, "the key of a service account"),
        (
            "any",
            kubeconfig,
            "credentials of a cluster in a kubeconfig file",
        ),
    ] {
        assert_eq!(told(path, text), [what]);
    }
}

#[test]
fn what_stands_for_a_credential_is_none() {
    for (path, text) in [
        (
            "root/.netrc",
            "# machine a login b password s3cret\nmachine a login b\n",
        ),
        ("doc/manual", "machine a login b password s3cret\n"),
        (
            "root/.npmrc",
            "//r.example/:_authToken=${NPM_TOKEN}\nregistry=https://r.example\n",
        ),
        (
            "any.json",
            r#"{"auths": {"registry.example": {}}, "credsStore": "pass"}"#,
        ),
        (
            "any.json",
            r#"{"type": "service_account", "private_key": "<yours>"}"#,
        ),
        (
            "any",
            "kind: Config\nusers:\n- user:\n    token: ${TOKEN_OF_THE_CLUSTER}\n",
        ),
        (
            "any",
            "kind: ConfigMap\nusers:\n  token: eyJhbGciOiJSUzI1NiIs\n",
        ),
        ("settings.py", "SECRET_KEY = os.environ['SECRET_KEY']\n"),
    ] {
        assert_eq!(told(path, text), [] as [&str; 0], "{text}");
    }
}
