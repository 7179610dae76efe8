//! An image layout that is made and signed by code, and calls of the program about it.

use std::fs;
use std::path::{Path, PathBuf};

use base64ct::{Base64, Encoding};
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::harness::{Call, Output, runtime};

pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(super) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(super) const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
pub(super) const PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
pub(super) const NAME: &str = "org.opencontainers.image.ref.name";

pub(super) fn digest(bytes: &[u8]) -> String {
    let hex = Sha256::digest(bytes);
    let hex: String = hex.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// An image layout with an index, a manifest, a configuration and a layer.
pub(super) struct Layout {
    pub(super) scratch: tempfile::TempDir,
    pub(super) index: String,
    pub(super) manifest: String,
    pub(super) config: String,
    pub(super) layer: String,
    pub(super) roots: Vec<Value>,
}

impl Layout {
    pub(super) fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        fs::create_dir_all(scratch.path().join("layout/blobs/sha256")).unwrap();
        let mut layout = Self {
            scratch,
            index: String::new(),
            manifest: String::new(),
            config: String::new(),
            layer: String::new(),
            roots: Vec::new(),
        };
        layout.fill();
        layout
    }

    fn fill(&mut self) {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(2);
        header.set_mode(0o755);
        tar.append_data(&mut header, "bin/sh", &b"#!"[..]).unwrap();
        let tar = tar.into_inner().unwrap();
        let architecture = if cfg!(target_arch = "aarch64") {
            "arm64"
        } else {
            "amd64"
        };
        let config = json!({
            "architecture": architecture, "os": "linux", "config": {"Cmd": ["/bin/sh"]},
            "rootfs": {"type": "layers", "diff_ids": [digest(&tar)]},
        });
        let layer = self.blob(LAYER, &tar);
        let config = self.document(CONFIG, &config);
        let manifest =
            json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]});
        let mut manifest = self.document(MANIFEST, &manifest);
        manifest["platform"] = json!({"os": "linux", "architecture": architecture});
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [manifest]});
        let mut index = self.document(INDEX, &index);
        index["annotations"] = json!({NAME: "example.org/app:1"});
        let name = |descriptor: &Value| descriptor["digest"].as_str().unwrap().to_owned();
        self.layer = name(&layer);
        self.config = name(&config);
        self.manifest = name(&manifest);
        self.index = name(&index);
        self.add_root(index);
        fs::write(
            self.path().join("oci-layout"),
            r#"{"imageLayoutVersion":"1.0.0"}"#,
        )
        .unwrap();
    }

    pub(super) fn path(&self) -> PathBuf {
        self.scratch.path().join("layout")
    }

    pub(super) fn blob_path(&self, digest: &str) -> PathBuf {
        self.path().join("blobs").join(digest.replace(':', "/"))
    }

    pub(super) fn blob(&self, media_type: &str, content: &[u8]) -> Value {
        let digest = digest(content);
        fs::write(self.blob_path(&digest), content).unwrap();
        json!({"mediaType": media_type, "digest": digest, "size": content.len()})
    }

    pub(super) fn document(&self, media_type: &str, document: &Value) -> Value {
        self.blob(media_type, document.to_string().as_bytes())
    }

    pub(super) fn add_root(&mut self, descriptor: Value) {
        self.roots.push(descriptor);
        let index = json!({"schemaVersion": 2, "manifests": self.roots});
        fs::write(self.path().join("index.json"), index.to_string()).unwrap();
    }

    /// A manifest of one signature of `subject`, as cosign makes it; the payload's digest.
    pub(super) fn signature(
        &self,
        key: u8,
        subject: &str,
        attached: Option<&str>,
    ) -> (Value, String) {
        let payload = json!({
            "critical": {
                "identity": {"docker-reference": "example.org/app"},
                "image": {"docker-manifest-digest": subject},
                "type": "cosign container image signature",
            },
            "optional": null,
        })
        .to_string();
        let signature: Signature = signer(key).sign(payload.as_bytes());
        let text = Base64::encode_string(signature.to_der().as_bytes());
        let mut layer = self.blob(PAYLOAD, payload.as_bytes());
        layer["annotations"] = json!({"dev.cosignproject.cosign/signature": text});
        let mut manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "layers": [layer],
            "config": self.document(CONFIG, &json!({"architecture": "", "os": ""})),
        });
        if let Some(digest) = attached {
            manifest["subject"] = json!({"mediaType": MANIFEST, "digest": digest, "size": 1});
        }
        (
            self.document(MANIFEST, &manifest),
            digest(payload.as_bytes()),
        )
    }

    /// Signed by `key` under the tag that cosign uses, of `subject` for `tagged`.
    pub(super) fn sign(&mut self, key: u8, subject: &str, tagged: &str) -> String {
        let (mut manifest, payload) = self.signature(key, subject, None);
        let tag = format!("{}.sig", tagged.replace(':', "-"));
        manifest["annotations"] = json!({NAME: tag});
        self.add_root(manifest);
        payload
    }

    pub(super) fn signed() -> Self {
        let mut layout = Self::new();
        let manifest = layout.manifest.clone();
        layout.sign(1, &manifest, &manifest);
        layout
    }

    pub(super) fn key(&self, key: u8) -> String {
        let path = self.scratch.path().join(format!("{key}.pub"));
        let point = signer(key).verifying_key().to_sec1_point(false);
        // id-ecPublicKey, prime256v1, the point.
        let mut info = vec![
            0x30, 0x59, 0x30, 0x13, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1,
        ];
        info.extend([6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7, 3, 0x42, 0]);
        info.extend(point.as_bytes());
        let pem = der::pem::encode_string("PUBLIC KEY", der::pem::LineEnding::LF, &info).unwrap();
        fs::write(&path, pem).unwrap();
        path.to_str().unwrap().to_owned()
    }

    pub(super) fn flip(&self, digest: &str) {
        let path = self.blob_path(digest);
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).unwrap();
    }

    pub(super) fn call(&self, verb: &str, flags: &[&str]) -> Output {
        let image = self.path();
        let words = [&[verb, image.to_str().unwrap()], flags].concat();
        self.run(&words)
    }

    pub(super) fn run(&self, words: &[&str]) -> Output {
        let root = self.scratch.path().join("state");
        let call = Call::new(runtime(), self.scratch.path());
        call.arg("--root").arg(root).args(words).output()
    }

    pub(super) fn verify(&self, flags: &[&str]) -> Output {
        self.call("verify", flags)
    }

    /// The only error line, with the layout as `IMAGE` and the scratch directory as `DIR`.
    #[track_caller]
    pub(super) fn refused(&self, output: &Output) -> String {
        output.exits(1);
        self.short(output.error().lines().next().unwrap())
    }

    pub(super) fn short(&self, text: &str) -> String {
        let text = text.replace(self.path().to_str().unwrap(), "IMAGE");
        text.replace(self.scratch.path().to_str().unwrap(), "DIR")
    }

    pub(super) fn configure(&self, text: &str) -> String {
        let path = self.scratch.path().join("config.toml");
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// What `unpack` says with this configuration; nothing may be left if it failed.
    #[track_caller]
    pub(super) fn unpack(&self, configuration: &str) -> Output {
        let config = self.configure(configuration);
        let image = self.path();
        self.unpack_from(&image, &["--config", &config])
    }

    #[track_caller]
    pub(super) fn unpack_from(&self, image: &Path, flags: &[&str]) -> Output {
        let bundle = self.scratch.path().join("bundle");
        let _ = fs::remove_dir_all(&bundle);
        let words = [image.to_str().unwrap(), bundle.to_str().unwrap()];
        let output = self.run(&[&["unpack"], &words[..], flags].concat());
        let entries = fs::read_dir(self.scratch.path()).unwrap().flatten();
        let left = entries.filter(|entry| entry.file_name().to_string_lossy().contains("bundle"));
        assert_eq!(left.count(), usize::from(output.code == 0), "{output:#?}");
        output
    }
}

pub(super) fn signer(key: u8) -> SigningKey {
    SigningKey::from_slice(&[key; 32]).unwrap()
}
