//! `verify`, and the policy that gates `unpack` and `launch`: an image that is signed by a key, and every way in which it is
//! not. Certificates and logs are in the unit tests of signatures.

use std::fs;

use base64ct::{Base64, Encoding};
use p256::ecdsa::Signature;
use p256::ecdsa::signature::Signer;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

mod layout;

use crate::clients::image;
use crate::harness::{Call, is_foreign, runtime, skip};
use layout::{CONFIG, INDEX, LAYER, Layout, MANIFEST, NAME, PAYLOAD, digest, signer};

/// The SHA-256 of a public key, by which errors name it.
fn fingerprint(layout: &Layout, key: u8) -> String {
    let pem = fs::read(layout.key(key)).unwrap();
    digest(&der::pem::decode_vec(&pem).unwrap().1)
}

#[test]
fn verify_says_line_by_line_what_was_checked() {
    let layout = Layout::signed();
    let size = |digest: &str| fs::metadata(layout.blob_path(digest)).unwrap().len();
    let (index, manifest) = (&layout.index, &layout.manifest);
    let (config, layer) = (&layout.config, &layout.layer);
    let key = layout.key(1);
    let out = layout.verify(&["--key", &key]);
    let expected = format!(
        "index: {index}, {} bytes\n\
         manifest: {manifest}, {} bytes\n\
         config: {config}, {} bytes, \"{CONFIG}\"\n\
         layer 0: {layer}, {} bytes, \"{LAYER}\", unpacks to {layer}, {} bytes\n\
         signed by \"{key}\": key {}\n",
        size(index),
        size(manifest),
        size(config),
        size(layer),
        size(layer),
        fingerprint(&layout, 1),
    );
    assert_eq!(out.ok(), expected);
    let out = layout.verify(&[]);
    assert!(
        out.ok()
            .ends_with("\nsignatures: none demanded, none checked\n"),
        "{out:#?}"
    );
}

#[test]
fn verify_of_an_old_docker_archive_says_how_long_its_configuration_is() {
    if is_foreign() {
        return skip("other runtimes have no verify");
    }
    let temp = tempfile::tempdir().unwrap();
    let archive = temp.path().join("images.tar");
    image::write_as(&archive, temp.path(), ["a:1", "b:1"]);
    let call = Call::new(runtime(), temp.path()).args(["verify", "--format", "json", "--name"]);
    let report = call.arg("a:1").arg(&archive).output().json();
    let digest = report["checked"][0]["digest"].as_str().unwrap();
    let name = digest.replace("sha256:", "") + ".json";
    let mut entries = tar::Archive::new(fs::File::open(&archive).unwrap());
    let entries = entries.entries().unwrap().map(Result::unwrap);
    let mut sizes = entries.filter(|entry| entry.path().unwrap().to_str() == Some(&name));
    let size = sizes.next().unwrap().size();
    assert_eq!(report["checked"][0]["size"], json!(size));
}

#[test]
fn verify_as_json_has_what_was_right_and_the_fault() {
    let layout = Layout::signed();
    let report = layout
        .verify(&["--format", "json", "--key", &layout.key(1)])
        .json();
    assert_eq!(report["checked"][3]["diffId"], json!(layout.layer));
    assert_eq!(report["admitted"].as_array().unwrap().len(), 1);
    assert_eq!(report.get("fault"), None);
    layout.flip(&layout.layer);
    let out = layout.verify(&["--format", "json"]);
    let report: Value = serde_json::from_str(out.exits(1)).unwrap();
    assert_eq!(report["checked"].as_array().unwrap().len(), 3);
    assert!(
        report["fault"]
            .as_str()
            .unwrap()
            .contains(&layout.layer["sha256:".len()..]),
        "{report}"
    );
}

#[test]
fn a_flipped_bit_is_refused_wherever_it_is() {
    let parts: [fn(&Layout) -> &str; 4] =
        [|l| &l.index, |l| &l.manifest, |l| &l.config, |l| &l.layer];
    for part in parts {
        let layout = Layout::signed();
        let name = part(&layout).to_owned();
        layout.flip(&name);
        let changed = digest(&fs::read(layout.blob_path(&name)).unwrap());
        let error = layout.refused(&layout.verify(&["--key", &layout.key(1)]));
        assert!(
            error.contains(&name["sha256:".len()..])
                && error.ends_with(&format!("its digest is {changed}")),
            "{error}"
        );
    }
}

#[test]
fn a_layer_that_is_longer_than_it_says_is_refused() {
    let layout = Layout::signed();
    let path = layout.blob_path(&layout.layer);
    let mut bytes = fs::read(&path).unwrap();
    let said = bytes.len();
    bytes.push(0);
    fs::write(path, bytes).unwrap();
    let error = layout.refused(&layout.verify(&[]));
    let expected = format!(
        "error: \"IMAGE: blob {}\": has {} bytes, its descriptor says {said}",
        layout.layer,
        said + 1
    );
    assert_eq!(error, expected);
}

#[test]
fn a_flipped_bit_in_payload_or_signature_is_refused() {
    let mut layout = Layout::new();
    let manifest = layout.manifest.clone();
    let payload = layout.sign(1, &manifest, &manifest);
    layout.flip(&payload);
    let changed = digest(&fs::read(layout.blob_path(&payload)).unwrap());
    let blob = format!("\"IMAGE: blob {payload}\"");
    let error = layout.refused(&layout.verify(&["--key", &layout.key(1)]));
    let error = error.replace("\\\"", "\"");
    let start = "error: image \"IMAGE\": signature by \"DIR/1.pub\": ";
    assert_eq!(
        error,
        format!("{start}{blob}: {blob}: its digest is {changed}")
    );

    // The signature of another payload, which differs in one bit.
    let mut layout = Layout::new();
    layout.sign(1, &manifest, &manifest);
    let attached = layout.roots.pop().unwrap();
    let digest = attached["digest"].as_str().unwrap();
    let mut document: Value =
        serde_json::from_slice(&fs::read(layout.blob_path(digest)).unwrap()).unwrap();
    let signature: Signature = signer(1).sign(b"another payload");
    let text = Base64::encode_string(signature.to_der().as_bytes());
    document["layers"][0]["annotations"]["dev.cosignproject.cosign/signature"] = json!(text);
    let mut changed = layout.document(MANIFEST, &document);
    changed["annotations"] = attached["annotations"].clone();
    layout.add_root(changed);
    let error = layout.refused(&layout.verify(&["--key", &layout.key(1)]));
    let key = fingerprint(&layout, 1);
    assert_eq!(
        error,
        format!("{start}{blob}: the key {key} did not sign it")
    );
}

#[test]
fn keys_that_are_missing_wrong_or_not_all_there_are_refused() {
    let layout = Layout::signed();
    let error = layout.refused(&layout.verify(&["--key", "/nonexistent"]));
    let expected = "error: read \"/nonexistent\": no such file or directory (ENOENT)";
    assert_eq!(error, expected);
    let wrong = format!("the key {} did not sign it", fingerprint(&layout, 2));
    let (right, other) = (layout.key(1), layout.key(2));
    for flags in [&["--key", &other][..], &["--key", &right, "--key", &other]] {
        let error = layout.refused(&layout.verify(flags));
        assert!(
            error.ends_with(&wrong) && error.contains("\"DIR/2.pub\""),
            "{error}"
        );
    }
    let unsigned = Layout::new();
    let error = unsigned.refused(&unsigned.verify(&["--key", &unsigned.key(1)]));
    let expected = "error: image \"IMAGE\": signature by \"DIR/1.pub\": has no signature";
    assert_eq!(error, expected);
}

#[test]
fn a_signature_for_another_image_is_refused() {
    let mut layout = Layout::new();
    let manifest = layout.manifest.clone();
    let other = digest(b"other");
    layout.sign(1, &other, &manifest);
    let error = layout.refused(&layout.verify(&["--key", &layout.key(1)]));
    assert!(error.ends_with(&format!(": is for \"{other}\"")), "{error}");
    // Under another image's tag it is not even looked at.
    let mut layout = Layout::new();
    layout.sign(1, &other, &other);
    let error = layout.refused(&layout.verify(&["--key", &layout.key(1)]));
    assert!(error.ends_with(": has no signature"), "{error}");
}

#[test]
fn the_index_may_be_signed_and_signatures_may_be_referrers() {
    let mut layout = Layout::new();
    let index = layout.index.clone();
    layout.sign(1, &index, &index);
    layout.verify(&["--key", &layout.key(1)]).ok();

    let mut layout = Layout::new();
    let manifest = layout.manifest.clone();
    let (mut signature, _) = layout.signature(1, &manifest, Some(&manifest));
    signature["artifactType"] = json!(PAYLOAD);
    let referrers = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [signature]});
    let mut referrers = layout.document(INDEX, &referrers);
    referrers["annotations"] = json!({NAME: manifest.replace(':', "-")});
    layout.add_root(referrers);
    layout.verify(&["--key", &layout.key(1)]).ok();
}

#[test]
fn one_good_signature_among_bad_ones_is_enough() {
    let mut layout = Layout::new();
    let manifest = layout.manifest.clone();
    layout.sign(2, &manifest, &manifest);
    layout.sign(1, &manifest, &manifest);
    layout.verify(&["--key", &layout.key(1)]).ok();
    layout
        .verify(&["--key", &layout.key(1), "--key", &layout.key(2)])
        .ok();
}

#[test]
fn a_sigstore_bundle_counts_as_a_referrer_and_as_a_file() {
    let mut layout = Layout::new();
    let manifest = fs::read(layout.blob_path(&layout.manifest)).unwrap();
    let signature: Signature = signer(1).sign(&manifest);
    let bundle = json!({
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {"publicKey": {"hint": "1"}},
        "messageSignature": {
            "messageDigest": {
                "algorithm": "SHA2_256",
                "digest": Base64::encode_string(&Sha256::digest(&manifest)),
            },
            "signature": Base64::encode_string(signature.to_der().as_bytes()),
        },
    })
    .to_string();
    let (right, wrong) = (layout.key(1), layout.key(2));
    let file = layout.configure(&bundle);
    layout.verify(&["--bundle", &file, "--key", &right]).ok();
    let cause = format!(
        "\"DIR/config.toml\": the key {} did not",
        fingerprint(&layout, 2)
    );
    let out = layout.verify(&["--bundle", &file, "--key", &wrong]);
    let error = layout.refused(&out);
    assert!(error.contains(&cause), "{error}");

    let kind = "application/vnd.dev.sigstore.bundle.v0.3+json";
    let layer = layout.blob(kind, bundle.as_bytes());
    let referrer = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": kind, "layers": [layer],
        "config": layout.blob("application/vnd.oci.empty.v1+json", b"{}"),
        "subject": {"mediaType": MANIFEST, "digest": layout.manifest, "size": manifest.len()},
    });
    let mut referrer = layout.document(MANIFEST, &referrer);
    referrer["artifactType"] = json!(kind);
    layout.add_root(referrer);
    layout.verify(&["--key", &right]).ok();
    layout
        .verify(&["--key", &wrong])
        .refused(&["did not sign it"]);
}

#[test]
fn more_signatures_than_are_tried_are_refused() {
    let mut layout = Layout::new();
    let manifest = layout.manifest.clone();
    let (signature, _) = layout.signature(1, &manifest, None);
    let path = layout.blob_path(signature["digest"].as_str().unwrap());
    let mut document: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    document["layers"] = json!(vec![document["layers"][0].clone(); 257]);
    let mut many = layout.document(MANIFEST, &document);
    many["annotations"] = json!({NAME: format!("{}.sig", manifest.replace(':', "-"))});
    layout.add_root(many);
    let error = layout.refused(&layout.verify(&["--key", &layout.key(1)]));
    assert_eq!(error, "error: \"IMAGE\": more than 256 signatures");
}

#[test]
fn more_bytes_of_signatures_than_are_held_are_refused() {
    let mut layout = Layout::new();
    let manifest = layout.manifest.clone();
    let (signature, _) = layout.signature(1, &manifest, None);
    let path = layout.blob_path(signature["digest"].as_str().unwrap());
    let mut document: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    document["layers"][0]["size"] = json!(4 << 20);
    document["layers"] = json!(vec![document["layers"][0].clone(); 9]);
    let mut large = layout.document(MANIFEST, &document);
    large["annotations"] = json!({NAME: format!("{}.sig", manifest.replace(':', "-"))});
    layout.add_root(large);
    let error = layout.refused(&layout.verify(&["--key", &layout.key(1)]));
    assert_eq!(
        error,
        "error: \"IMAGE\": more than 33554432 bytes of signatures"
    );
}

#[test]
fn what_has_no_digest_cannot_be_signed_or_verified() {
    let layout = Layout::signed();
    let tar = layout.scratch.path().join("root.tar");
    fs::copy(layout.blob_path(&layout.layer), &tar).unwrap();
    let key = layout.key(1);
    let error = layout.refused(&layout.run(&["verify", tar.to_str().unwrap()]));
    let expected = "error: image \"DIR/root.tar\": a root filesystem archive has no digests, so that nothing can be checked";
    assert_eq!(error, expected);
    let error = layout.refused(&layout.unpack_from(&tar, &["--key", &key]));
    let expected = "error: image \"DIR/root.tar\": a root filesystem archive without a manifest has no digest, so that nobody can have signed it";
    assert_eq!(error, expected);
    let directory = layout.scratch.path().join("root");
    fs::create_dir(&directory).unwrap();
    let words = [
        "launch",
        directory.to_str().unwrap(),
        "--key",
        &key,
        "--",
        "/bin/sh",
    ];
    let out = layout.run(&words);
    out.exits(125);
    assert!(
        out.error()
            .contains("a root filesystem without a manifest has no digest"),
        "{out:#?}"
    );
}

#[test]
fn the_policy_lets_in_what_is_signed_pinned_or_on_an_approved_base() {
    let layout = Layout::signed();
    let authorities = format!(
        "[images.authorities.release]\nkey = \"{}\"\n",
        layout.key(1)
    );
    let (index, manifest) = (&layout.index, &layout.manifest);
    let (config, layer) = (&layout.config, &layout.layer);
    for rule in [
        "signed-by = [\"release\"]".to_owned(),
        format!("digests = [\"{manifest}\"]"),
        format!("digests = [\"{config}\", \"{index}\"]"),
        format!("digests = [\"{config}\"]"),
        format!("base-layers = [[\"{layer}\"]]"),
        format!(
            "signed-by = [\"release\"]\nnames = [\"example.org/*\"]\ndigests = [\"{manifest}\"]"
        ),
    ] {
        layout
            .unpack(&format!("[[images.rule]]\n{rule}\n{authorities}"))
            .ok();
    }
}

#[test]
fn the_policy_refuses_by_name_what_it_does_not_let_in() {
    let layout = Layout::signed();
    let authorities = format!("[images.authorities.other]\nkey = \"{}\"\n", layout.key(2));
    let other = digest(b"other");
    let cases = [
        (
            format!("digests = [\"{other}\"]"),
            format!("its digest {} is not pinned", layout.manifest),
        ),
        (
            format!(
                "base-layers = [[\"{other}\"], [\"{}\", \"{other}\"]]",
                layout.layer
            ),
            "it stands on none of the base layers that are let in".to_owned(),
        ),
        (
            format!(
                "names = [\"example.org/app\"]\ndigests = [\"{}\"]",
                layout.manifest
            ),
            "it has none of the names that are let in".to_owned(),
        ),
        (
            "signed-by = [\"other\"]".to_owned(),
            format!("the key {} did not sign it", fingerprint(&layout, 2)),
        ),
    ];
    for (rule, cause) in &cases {
        let out = layout.unpack(&format!("[[images.rule]]\n{rule}\n{authorities}"));
        let error = layout.refused(&out);
        assert!(error.ends_with(cause), "{error}");
    }
    let both = format!(
        "[[images.rule]]\n{}\n[[images.rule]]\n{}\n",
        cases[0].0, cases[1].0
    );
    let error = layout.refused(&layout.unpack(&both));
    let let_in = "let in image \"IMAGE\": ";
    let expected = format!(
        "error: {let_in}no rule lets it in: rule[0]: {let_in}{}; rule[1]: {let_in}{}",
        cases[0].1, cases[1].1
    );
    assert_eq!(error, expected);
}

#[test]
fn launch_and_verify_hold_to_the_policy_too() {
    let layout = Layout::signed();
    let other = digest(b"other");
    let config = layout.configure(&format!("[[images.rule]]\ndigests = [\"{other}\"]"));
    let cause = format!("its digest {} is not pinned", layout.manifest);
    let out = layout.call("launch", &["--config", &config]);
    out.fails(125, &[&cause]);
    layout.verify(&["--config", &config]).refused(&[&cause]);
}

#[test]
fn limits_of_the_configuration_apply() {
    let layout = Layout::new();
    let out = layout.unpack("[images.limits]\nbytes = 100\n");
    assert!(layout.refused(&out).contains("`bytes`"), "{out:#?}");
    let config = layout.configure("[images.limits]\nbytes = 100\n");
    let error = layout.refused(&layout.verify(&["--config", &config]));
    let expected = format!(
        "error: layer {} of image \"IMAGE\": more than 100 uncompressed bytes (limit `bytes`)",
        layout.layer
    );
    assert_eq!(error, expected);
}

#[test]
fn a_configuration_that_is_named_must_exist() {
    let layout = Layout::new();
    let error = layout.refused(&layout.verify(&["--config", "/nonexistent.toml"]));
    let expected = "error: read \"/nonexistent.toml\": no such file or directory (ENOENT)";
    assert_eq!(error, expected);
    let config = layout.configure("profile = \"none\"\n");
    layout.verify(&["--config", &config]).ok();
}

#[test]
fn a_bundle_and_an_identity_need_each_other() {
    let layout = Layout::new();
    let bundle = layout.configure("{}");
    let error = layout.refused(&layout.verify(&["--bundle", &bundle]));
    let expected = "error: image \"IMAGE\": a bundle needs somebody who must have signed it";
    assert_eq!(error, expected);
    let out = layout.verify(&["--trusted-root", "x", "--identity", "y"]);
    assert!(out.code != 0 && out.stderr.contains("--issuer"), "{out:#?}");
}
