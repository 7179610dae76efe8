//! Images made by code for the checks: layers of entries, a configuration, a layout of them.

use std::path::Path;

use base64ct::{Base64, Encoding};
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use serde_json::{Value, json};
use tar::EntryType;

use crate::image::signature::{Authority, By, PublicKey, SIGN};
use crate::image::{Digest, Image, Platform};

/// A key that nobody uses.
pub(super) const KEY: &[u8] = b"-----BEGIN PRIVATE KEY-----\n\
    MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";

/// An image that is being made.
pub(super) struct Made {
    /// Archives, lowest first.
    pub layers: Vec<tar::Builder<Vec<u8>>>,
    /// The configuration without its diffIDs.
    pub config: Value,
    /// What the index calls it.
    pub name: &'static str,
    /// Whether [`signer`] has signed it.
    pub is_signed: bool,
    /// Done to the layout once it is written.
    pub damage: fn(&Path),
}

impl Made {
    /// Nothing is wrong with it: one layer with a program, and users.
    pub(super) fn clean() -> Self {
        let host = Platform::host();
        let mut made = Self {
            layers: vec![tar::Builder::new(Vec::new())],
            config: json!({
                "os": host.os, "architecture": host.architecture,
                "config": {"Entrypoint": ["/bin/app"], "Env": ["PATH=/bin"], "User": "app"},
            }),
            name: "1.0",
            is_signed: false,
            damage: |_| {},
        };
        made.directory("bin", 0o755);
        made.file("bin/app", 0o755, &elf(None));
        made.file(
            "etc/passwd",
            0o644,
            b"root:x:0:0::/:\napp:x:1000:1000::/:\n",
        );
        made.file("etc/group", 0o644, b"root:x:0:\napp:x:1000:\n");
        made
    }

    /// Begins another layer.
    pub(super) fn layer(&mut self) {
        self.layers.push(tar::Builder::new(Vec::new()));
    }

    pub(super) fn file(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.entry(path, EntryType::Regular, mode, content);
    }

    pub(super) fn directory(&mut self, path: &str, mode: u32) {
        self.entry(path, EntryType::Directory, mode, b"");
    }

    pub(super) fn fifo(&mut self, path: &str) {
        self.entry(path, EntryType::Fifo, 0o644, b"");
    }

    /// A program with CAP_SYS_ADMIN.
    pub(super) fn capable(&mut self, path: &str) {
        let value = [0x0200_0001u32, 1 << 21, 0, 0, 0];
        let value: Vec<u8> = value.iter().flat_map(|word| word.to_le_bytes()).collect();
        let records = [("SCHILY.xattr.security.capability", &value[..])];
        self.top().append_pax_extensions(records).unwrap();
        self.file(path, 0o755, b"x");
    }

    /// An entry whose path is as it is given, whatever it is.
    pub(super) fn entry(&mut self, path: &str, kind: EntryType, mode: u32, content: &[u8]) {
        let mut header = tar::Header::new_gnu();
        header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(content.len() as u64);
        header.set_mtime(1);
        header.set_uid(0);
        header.set_gid(0);
        header.set_cksum();
        self.top().append(&header, content).unwrap();
    }

    fn top(&mut self) -> &mut tar::Builder<Vec<u8>> {
        self.layers.last_mut().unwrap()
    }

    /// Writes the layout and opens it.
    pub(super) fn write(self, place: &Path) -> Image {
        let blob = |media: &str, content: &[u8]| {
            let digest = Digest::sha256(content);
            let path = place.join(digest.blob_path());
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
            json!({"mediaType": format!("application/vnd.{media}"), "digest": digest, "size": content.len()})
        };
        let layers = self.layers.into_iter().map(|tar| tar.into_inner().unwrap());
        let layers: Vec<Value> = layers
            .map(|layer| blob("oci.image.layer.v1.tar", &layer))
            .collect();
        let mut config = self.config;
        let diff_ids: Vec<&Value> = layers.iter().map(|layer| &layer["digest"]).collect();
        config["rootfs"] = json!({"type": "layers", "diff_ids": diff_ids});
        let config = blob(CONFIG, config.to_string().as_bytes());
        let manifest = json!({"schemaVersion": 2, "config": config, "layers": layers});
        let mut manifest = blob(MANIFEST, manifest.to_string().as_bytes());
        manifest["annotations"] = json!({"org.opencontainers.image.ref.name": self.name});
        let mut manifests = vec![manifest];
        if self.is_signed {
            manifests.push(signature(&manifests[0], blob));
        }
        let index = json!({"schemaVersion": 2, "manifests": manifests});
        std::fs::write(place.join("index.json"), index.to_string()).unwrap();
        let version = json!({"imageLayoutVersion": "1.0.0"});
        std::fs::write(place.join("oci-layout"), version.to_string()).unwrap();
        (self.damage)(place);
        let platform: Platform = "linux/arm64".parse().unwrap();
        Image::open(place, &Platform::host())
            .or_else(|_| Image::open(place, &platform))
            .unwrap()
    }
}

const CONFIG: &str = "oci.image.config.v1+json";
const MANIFEST: &str = "oci.image.manifest.v1+json";

fn secret_key() -> SigningKey {
    SigningKey::from_slice(&[7; 32]).unwrap()
}

/// Whose signature [`Made::is_signed`] is.
pub(super) fn signer() -> Authority {
    let point = secret_key().verifying_key().to_sec1_point(false);
    // id-ecPublicKey, prime256v1, the point.
    let mut info = vec![
        0x30, 0x59, 0x30, 0x13, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1,
    ];
    info.extend([6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7, 3, 0x42, 0]);
    info.extend(point.as_bytes());
    let pem = der::pem::encode_string("PUBLIC KEY", der::pem::LineEnding::LF, &info).unwrap();
    Authority {
        name: "signer".to_owned(),
        by: By::Key(PublicKey::from_pem(pem.as_bytes()).unwrap()),
        predicates: vec![SIGN.to_owned()],
    }
}

/// A signature as cosign attaches it.
fn signature(manifest: &Value, blob: impl Fn(&str, &[u8]) -> Value) -> Value {
    let digest = &manifest["digest"];
    let payload = json!({
        "critical": {
            "identity": {"docker-reference": "example.org/app"},
            "image": {"docker-manifest-digest": digest},
            "type": "cosign container image signature",
        },
        "optional": null,
    });
    let payload = payload.to_string();
    let signature: Signature = secret_key().sign(payload.as_bytes());
    let text = Base64::encode_string(signature.to_der().as_bytes());
    let mut layer = blob("dev.cosign.simplesigning.v1+json", payload.as_bytes());
    layer["annotations"] = json!({"dev.cosignproject.cosign/signature": text});
    let config = blob(
        CONFIG,
        json!({"architecture": "", "os": ""}).to_string().as_bytes(),
    );
    let document = json!({"schemaVersion": 2, "config": config, "layers": [layer]});
    let mut attached = blob(MANIFEST, document.to_string().as_bytes());
    let tag = digest.as_str().unwrap().replace(':', "-");
    attached["annotations"] = json!({"org.opencontainers.image.ref.name": format!("{tag}.sig")});
    attached
}

/// The headers of a program for this host, of one piece or with this loader.
pub(super) fn elf(loader: Option<&str>) -> Vec<u8> {
    let machine: u16 = if cfg!(target_arch = "aarch64") {
        183
    } else {
        62
    };
    let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
    bytes.resize(16, 0);
    bytes.extend(3u16.to_le_bytes());
    bytes.extend(machine.to_le_bytes());
    bytes.resize(32, 0);
    bytes.extend(64u64.to_le_bytes());
    bytes.resize(54, 0);
    bytes.extend(56u16.to_le_bytes());
    bytes.extend(2u16.to_le_bytes());
    bytes.resize(64, 0);
    let loader = loader
        .map(|loader| [loader.as_bytes(), b"\0"].concat())
        .unwrap_or_default();
    let mut header = |kind: u32, flags: u32, size: u64| {
        let start = bytes.len();
        bytes.extend(kind.to_le_bytes());
        bytes.extend(flags.to_le_bytes());
        bytes.extend(176u64.to_le_bytes());
        bytes.resize(start + 32, 0);
        bytes.extend(size.to_le_bytes());
        bytes.resize(start + 56, 0);
    };
    // PT_GNU_STACK for reading and writing, then PT_INTERP or PT_NULL.
    header(0x6474_e551, 6, 0);
    header(
        if loader.is_empty() { 0 } else { 3 },
        4,
        loader.len() as u64,
    );
    bytes.extend(loader);
    bytes
}
