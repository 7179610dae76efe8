//! Signatures, right and wrong, each wrong one with its own words. Signatures in image layouts are in tests/verify.rs.

use serde_json::{Value, json};

use super::*;

mod instance;

use instance::{IDENTITY, ISSUER, Signing, key_info, sign, trusted_root};

const IMAGE: &[u8] = b"{\"schemaVersion\": 2}";

/// A change of what is right, and the words for it.
type Case<T> = (fn(&mut T), &'static str);

fn subjects() -> Vec<Subject> {
    vec![Subject::new(Digest::sha256(IMAGE), IMAGE.to_vec())]
}

fn authority_of(root: &Value) -> Authority {
    let root = TrustedRoot::parse(root.to_string().as_bytes(), "root").unwrap();
    Authority {
        name: "builds".to_owned(),
        by: By::Identity {
            root: Box::new(root),
            identity: IDENTITY.to_owned(),
            issuer: ISSUER.to_owned(),
        },
        predicates: vec![SIGN.to_owned()],
    }
}

fn outcome(bundle: &[u8]) -> std::result::Result<String, String> {
    authority_of(&trusted_root()).check_bundle(bundle, &subjects())
}

fn error_with(change: fn(&mut Signing)) -> String {
    let mut signing = Signing::right();
    change(&mut signing);
    outcome(&signing.message(IMAGE)).unwrap_err()
}

#[test]
fn a_right_bundle_is_the_identitys() {
    let line = format!("{IDENTITY} of {ISSUER}, logged at 1700000000");
    assert_eq!(outcome(&Signing::right().message(IMAGE)), Ok(line.clone()));
    assert_eq!(outcome(&Signing::right().statement(IMAGE, SIGN)), Ok(line));
}

#[test]
fn whatever_is_wrong_with_the_certificate_has_its_own_words() {
    let cases: &[Case<Signing>] = &[
        (
            |s| s.identity = "https://example.org/other",
            "is by \"https://example.org/other\", not by \"https://example.org/build@refs/heads/main\"",
        ),
        (
            |s| s.issuer = "https://evil.example.org",
            "its signer was vouched for by \"https://evil.example.org\", not by \"https://tokens.example.org\"",
        ),
        (
            |s| s.until = "231114221100Z",
            "the certificate was not valid when the log saw the signature",
        ),
        (
            |s| s.authority_key = 9,
            "the certificate is of no authority in the trusted root",
        ),
        (
            |s| s.certificate_log_key = None,
            "the certificate has no timestamp of a certificate log",
        ),
        (
            |s| s.certificate_log_key = Some(9),
            "the certificate log did not sign the certificate's timestamp",
        ),
        (
            // serverAuth
            |s| s.usage = &[0x2b, 6, 1, 5, 5, 7, 3, 1],
            "the certificate is not for code signing",
        ),
        (|s| s.signer = 9, "the certificate's key did not sign it"),
    ];
    for (change, cause) in cases {
        assert_eq!(error_with(*change), *cause);
    }
}

#[test]
fn whatever_is_wrong_with_the_log_entry_has_its_own_words() {
    let cases: &[Case<Signing>] = &[
        (
            |s| s.promise_key = 9,
            "the log did not sign its promise for the log entry",
        ),
        (
            |s| s.checkpoint_key = 9,
            "the log did not sign its checkpoint",
        ),
        (
            |s| s.entry = |body| body["spec"]["data"]["hash"]["value"] = json!("00"),
            "the log entry is of other content",
        ),
        (
            |s| s.entry = |body| body["spec"]["signature"]["content"] = json!("AAAA"),
            "the log entry is of another signature",
        ),
        (
            |s| s.entry = |body| body["kind"] = json!("rekord"),
            "the log entry is \"rekord 0.0.1\", which is not for such a signature",
        ),
    ];
    for (change, cause) in cases {
        assert_eq!(error_with(*change), *cause);
    }
}

#[test]
fn whatever_a_bundle_lacks_or_has_too_much_of_has_its_own_words() {
    let cases: &[Case<Signing>] = &[
        (
            |s| {
                s.bundle = |bundle| {
                    bundle["verificationMaterial"]["tlogEntries"][0]["canonicalizedBody"] =
                        json!("AAAA");
                };
            },
            "the log did not sign its promise for the log entry",
        ),
        (
            |s| s.bundle = |bundle| bundle["verificationMaterial"]["tlogEntries"] = json!([]),
            "has 0 log entries, not one",
        ),
        (
            |s| {
                s.bundle = |bundle| {
                    let entry = &mut bundle["verificationMaterial"]["tlogEntries"][0];
                    entry["inclusionPromise"] = Value::Null;
                };
            },
            "the log entry has no time that the log has signed: entries without one, as Rekor version 2 makes them, are not supported",
        ),
        (
            |s| {
                s.bundle = |bundle| {
                    let entry = &mut bundle["verificationMaterial"]["tlogEntries"][0];
                    entry["inclusionProof"] = Value::Null;
                };
            },
            "a log entry has no proof of inclusion with a checkpoint",
        ),
        (
            |s| {
                s.bundle = |bundle| {
                    let times = json!({"rfc3161Timestamps": [{"signedTimestamp": "AAAA"}]});
                    bundle["verificationMaterial"]["timestampVerificationData"] = times;
                };
            },
            "has timestamps by RFC 3161, which are not supported",
        ),
    ];
    for (change, cause) in cases {
        assert_eq!(error_with(*change), *cause);
    }
}

#[test]
fn a_log_entry_of_the_future_is_refused() {
    let cause = error_with(|signing| {
        signing.time = 2_500_000_000;
        signing.until = "491231235959Z";
    });
    assert_eq!(cause, "the log entry is of the future");
}

#[test]
fn a_bundle_for_something_else_is_refused() {
    for bundle in [
        Signing::right().message(b"other"),
        Signing::right().statement(b"other", SIGN),
    ] {
        assert_eq!(outcome(&bundle).unwrap_err(), "is for something else");
    }
}

#[test]
fn an_attestation_is_no_signature_unless_its_predicate_is_asked_for() {
    const PROVENANCE: &str = "https://slsa.dev/provenance/v1";
    let bundle = Signing::right().statement(IMAGE, PROVENANCE);
    let cause = "is an attestation, \"https://slsa.dev/provenance/v1\", not a signature";
    assert_eq!(outcome(&bundle).unwrap_err(), cause);
    let mut authority = authority_of(&trusted_root());
    authority.predicates = vec![PROVENANCE.to_owned()];
    assert!(authority.check_bundle(&bundle, &subjects()).is_ok());
}

#[test]
fn no_byte_of_a_bundle_can_be_changed_in_what_counts() {
    let bundle = Signing::right().message(IMAGE);
    let line = outcome(&bundle).unwrap();
    for i in (0..bundle.len()).step_by(7) {
        let mut changed = bundle.clone();
        changed[i] ^= 1;
        // Bytes without meaning, such as a key that is not read, may change; nobody else is named then.
        if let Ok(other) = outcome(&changed) {
            assert_eq!(other, line, "byte {i}");
        }
    }
}

#[test]
fn a_trusted_root_says_what_it_lacks() {
    let cases: &[Case<Value>] = &[
        (
            |root| root["tlogs"][0]["publicKey"]["validFor"] = json!({}),
            "tlogs[0]: validFor.start is missing",
        ),
        (
            |root| root["ctlogs"] = json!([]),
            "has not all of a certificate authority, a log and a certificate log with keys that are known here",
        ),
        (
            |root| root["mediaType"] = json!("text/plain"),
            "mediaType: \"text/plain\" is no trusted root",
        ),
        (
            |root| root["certificateAuthorities"][0]["validFor"]["start"] = json!("yesterday"),
            "certificateAuthorities[0]: \"yesterday\" is no time in UTC",
        ),
    ];
    for (change, cause) in cases {
        let mut root = trusted_root();
        change(&mut root);
        let error = TrustedRoot::parse(root.to_string().as_bytes(), "root").unwrap_err();
        assert_eq!(error.to_string(), format!("\"root\": {cause}"));
    }
}

#[test]
fn an_authority_or_a_log_counts_only_in_its_time() {
    let outcome = |change: fn(&mut Value)| {
        let mut root = trusted_root();
        change(&mut root);
        let bundle = Signing::right().message(IMAGE);
        authority_of(&root)
            .check_bundle(&bundle, &subjects())
            .unwrap_err()
    };
    let log = outcome(|root| {
        root["tlogs"][0]["publicKey"]["validFor"]["end"] = json!("2023-01-01T00:00:00Z");
    });
    assert_eq!(
        log,
        "the log entry is of no log that the trusted root has for its time"
    );
    let authority = outcome(|root| {
        root["certificateAuthorities"][0]["validFor"]["end"] = json!("2023-01-01T00:00:00Z");
    });
    assert_eq!(
        authority,
        "the certificate's authority was not valid at that time"
    );
    let certificate_log = outcome(|root| {
        root["ctlogs"][0]["publicKey"]["validFor"]["end"] = json!("2023-01-01T00:00:00Z");
    });
    assert_eq!(
        certificate_log,
        "the certificate's timestamp is of no certificate log in the trusted root"
    );
}

#[test]
fn keys_of_the_three_kinds_check_and_others_are_refused_by_name() {
    let key = PublicKey::from_info(&key_info(5)).unwrap();
    assert!(key.has_signed(b"x", &sign(5, b"x")));
    assert!(!key.has_signed(b"y", &sign(5, b"x")));
    assert!(!key.has_signed(b"x", &sign(6, b"x")));
    assert!(!key.has_signed(b"x", b""));

    use p384::ecdsa::signature::Signer;
    let signing = p384::ecdsa::SigningKey::from_slice(&[5; 48]).unwrap();
    let point = signing.verifying_key().to_sec1_point(false);
    // id-ecPublicKey, secp384r1, the point.
    let mut info = vec![
        0x30, 0x76, 0x30, 0x10, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1,
    ];
    info.extend([6, 5, 0x2b, 0x81, 4, 0, 0x22, 3, 0x62, 0]);
    info.extend(point.as_bytes());
    let signature: p384::ecdsa::Signature = signing.sign(b"x");
    let key = PublicKey::from_info(&info).unwrap();
    assert!(key.has_signed(b"x", signature.to_der().as_bytes()));
    assert!(!key.has_signed(b"y", signature.to_der().as_bytes()));

    let signing = ed25519_dalek::SigningKey::from_bytes(&[5; 32]);
    let mut info = vec![0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];
    info.extend(signing.verifying_key().as_bytes());
    let key = PublicKey::from_info(&info).unwrap();
    assert!(key.has_signed(b"x", &signing.sign(b"x").to_bytes()));
    assert!(!key.has_signed(b"y", &signing.sign(b"x").to_bytes()));

    // rsaEncryption with an empty key.
    let rsa = [
        0x30, 0x10, 0x30, 0x0b, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 3, 1, 0,
    ];
    let cause = "RSA keys are not supported, only ECDSA on P-256 or P-384, or Ed25519";
    assert_eq!(PublicKey::from_info(&rsa).unwrap_err(), cause);
    let private = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let cause = "is a private key; the public one is needed here";
    assert_eq!(PublicKey::from_pem(private.as_bytes()).unwrap_err(), cause);
}
