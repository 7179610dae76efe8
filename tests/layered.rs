//! Images of several layers, written by code. Not here: claims.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::EntryType;

use crate::harness::{Bundle, installed};

pub(crate) fn hex(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A layer under construction.
pub(crate) struct Layer(tar::Builder<Vec<u8>>);

impl Layer {
    pub(crate) fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    pub(crate) fn entry(
        mut self,
        kind: EntryType,
        path: &str,
        mode: u32,
        target: &str,
        body: &[u8],
    ) -> Self {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        header.as_mut_bytes()[157..157 + target.len()].copy_from_slice(target.as_bytes());
        header.set_mode(mode);
        header.set_mtime(1_000_000_000);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(body.len() as u64);
        header.set_device_major(0).unwrap();
        header.set_device_minor(0).unwrap();
        header.set_cksum();
        self.0.append(&header, body).unwrap();
        self
    }

    pub(crate) fn dir(self, path: &str) -> Self {
        self.dir_mode(path, 0o755)
    }

    pub(crate) fn dir_mode(self, path: &str, mode: u32) -> Self {
        self.entry(EntryType::Directory, path, mode, "", b"")
    }

    /// An empty file of this user and of the group of the same number, which nobody else may read.
    pub(crate) fn file_of(mut self, path: &str, id: u64) -> Self {
        let mut header = tar::Header::new_ustar();
        header.set_path(path).unwrap();
        header.set_mode(0o600);
        header.set_mtime(1_000_000_000);
        header.set_uid(id);
        header.set_gid(id);
        header.set_size(0);
        header.set_cksum();
        self.0.append(&header, &b""[..]).unwrap();
        self
    }

    pub(crate) fn file(self, path: &str, body: &str) -> Self {
        self.entry(EntryType::Regular, path, 0o644, "", body.as_bytes())
    }

    pub(crate) fn symlink(self, path: &str, target: &str) -> Self {
        self.entry(EntryType::Symlink, path, 0o777, target, b"")
    }

    pub(crate) fn hard_link(self, path: &str, target: &str) -> Self {
        self.entry(EntryType::Link, path, 0o644, target, b"")
    }

    /// The next entry's extended attributes.
    pub(crate) fn xattrs(mut self, all: &[(&str, &[u8])]) -> Self {
        let mut body = Vec::new();
        for (name, value) in all {
            let record = [b" SCHILY.xattr.", name.as_bytes(), b"=", value, b"\n"].concat();
            let mut length = record.len() + 1;
            while length != record.len() + length.to_string().len() {
                length = record.len() + length.to_string().len();
            }
            body.extend_from_slice(length.to_string().as_bytes());
            body.extend_from_slice(&record);
        }
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(EntryType::XHeader);
        header.set_path("pax").unwrap();
        header.set_size(body.len() as u64);
        header.set_cksum();
        self.0.append(&header, &body[..]).unwrap();
        self
    }

    pub(crate) fn end(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

/// The lowest layer of every image here: busybox with its applets.
pub(crate) fn base() -> Layer {
    let busybox = fs::read(installed("busybox").unwrap()).unwrap();
    let mut layer = Layer::new().dir("./").dir("bin").entry(
        EntryType::Regular,
        "bin/busybox",
        0o755,
        "",
        &busybox,
    );
    for applet in [
        "sh",
        "cat",
        "echo",
        "find",
        "id",
        "sha256sum",
        "sleep",
        "stat",
        "true",
    ] {
        layer = layer.symlink(&format!("bin/{applet}"), "busybox");
    }
    layer.dir_mode("tmp", 0o1777)
}

/// An image layout.
pub(crate) struct Image {
    /// The layout.
    pub(crate) path: PathBuf,
    /// Of the layers, lowest first.
    pub(crate) blobs: Vec<PathBuf>,
}

impl Image {
    pub(crate) fn new(bundle: &Bundle, name: &str, layers: &[Vec<u8>]) -> Self {
        let diff_ids: Vec<String> = layers.iter().map(|layer| hex(layer)).collect();
        Self::with_diff_ids(bundle, name, layers, &diff_ids)
    }

    pub(crate) fn with_diff_ids(
        bundle: &Bundle,
        name: &str,
        layers: &[Vec<u8>],
        diff_ids: &[String],
    ) -> Self {
        let path = bundle.temp().join(name);
        fs::create_dir_all(path.join("blobs/sha256")).unwrap();
        let write = |bytes: &[u8], kind: &str| {
            let digest = hex(bytes);
            fs::write(path.join("blobs/sha256").join(&digest), bytes).unwrap();
            json!({"mediaType": format!("application/vnd.oci.image.{kind}"),
                "digest": format!("sha256:{digest}"), "size": bytes.len()})
        };
        let diff_ids: Vec<String> = diff_ids.iter().map(|hex| format!("sha256:{hex}")).collect();
        let config = json!({
            "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
            "os": "linux",
            "config": {"User": "1500:1600", "Cmd": ["/bin/sh", "-c", "id -u"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let described: Vec<Value> = layers
            .iter()
            .map(|layer| write(layer, "layer.v1.tar"))
            .collect();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": write(config.to_string().as_bytes(), "config.v1+json"),
            "layers": described,
        });
        let mut manifest = write(manifest.to_string().as_bytes(), "manifest.v1+json");
        manifest["annotations"] = json!({"org.opencontainers.image.ref.name": name});
        let index = json!({"schemaVersion": 2, "manifests": [manifest]});
        fs::write(path.join("index.json"), index.to_string()).unwrap();
        fs::write(path.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        let blobs = layers
            .iter()
            .map(|layer| path.join("blobs/sha256").join(hex(layer)))
            .collect();
        Self { path, blobs }
    }

    /// The layers' blobs become zeros of the same length.
    pub(crate) fn spoil(&self) {
        for blob in &self.blobs {
            let length = fs::metadata(blob).unwrap().len() as usize;
            fs::write(blob, vec![0; length]).unwrap();
        }
    }
}
