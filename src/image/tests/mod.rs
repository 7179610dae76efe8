//! Whole images, right and hostile, built by code: the files of an image layout as a map, written as a directory or a tar.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::*;

mod archives;
mod attacks;
mod forms;
mod unpack;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// The files of an image layout.
#[derive(Clone, Default)]
struct Files(BTreeMap<String, Vec<u8>>);

impl Files {
    fn new() -> Self {
        let mut files = Self::default();
        files.set("oci-layout", &json!({"imageLayoutVersion": "1.0.0"}));
        files
    }

    fn set(&mut self, name: &str, document: &Value) {
        self.0
            .insert(name.to_owned(), document.to_string().into_bytes());
    }

    /// A blob and its descriptor.
    fn blob(&mut self, media_type: &str, content: &[u8]) -> Value {
        let digest = Digest::sha256(content);
        self.0.insert(digest.blob_path(), content.to_vec());
        json!({"mediaType": media_type, "digest": digest, "size": content.len()})
    }

    fn document(&mut self, media_type: &str, document: &Value) -> Value {
        self.blob(media_type, document.to_string().as_bytes())
    }

    /// A manifest for linux on `architecture`, of these layers, each with its media type.
    fn image(&mut self, architecture: &str, layers: &[(&str, &[u8])]) -> Value {
        let diff_ids: Vec<Digest> = layers
            .iter()
            .map(|(_, content)| Digest::sha256(content))
            .collect();
        let config = json!({
            "architecture": architecture, "os": "linux",
            "config": {"Cmd": ["/sh"], "Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let config = self.document(CONFIG, &config);
        let layers: Vec<Value> = layers
            .iter()
            .map(|(media, content)| self.blob(media, content))
            .collect();
        let manifest =
            json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers});
        self.document(MANIFEST, &manifest)
    }

    fn index(&mut self, manifests: &[Value]) {
        self.set(
            "index.json",
            &json!({"schemaVersion": 2, "manifests": manifests}),
        );
    }

    fn write_directory(&self, dir: &Path) -> PathBuf {
        for (name, content) in &self.0 {
            let path = dir.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        dir.to_owned()
    }

    fn tar(&self) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for (name, content) in &self.0 {
            append(&mut tar, name, content);
        }
        tar.into_inner().unwrap()
    }

    fn write_archive(&self, dir: &Path) -> PathBuf {
        let path = dir.join("image.tar");
        fs::write(&path, self.tar()).unwrap();
        path
    }
}

/// An image of one layer, and the layer.
fn one_layer() -> (Files, Vec<u8>) {
    let mut files = Files::new();
    let layer = root_tar();
    let manifest = files.image("amd64", &[(LAYER, &layer)]);
    files.index(&[manifest]);
    (files, layer)
}

fn append(tar: &mut tar::Builder<Vec<u8>>, name: &str, content: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, name, content).unwrap();
}

fn root_tar() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    append(&mut tar, "bin/sh", b"#!");
    append(&mut tar, "etc/passwd", b"root:x:0:0::/:/bin/sh\n");
    tar.into_inner().unwrap()
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn zstd(content: &[u8]) -> Vec<u8> {
    zstd::encode_all(content, 1).unwrap()
}

fn amd64() -> Platform {
    "linux/amd64".parse().unwrap()
}

fn open(path: &Path) -> Result<Image> {
    Image::open(path, &amd64())
}

/// The error of opening the image and of reading all its layers, with the path as `IMAGE`.
fn error_of(path: &Path) -> String {
    let text = match open(path) {
        Err(error) => error.to_string(),
        Ok(image) => (0..image.layers.len())
            .find_map(|i| read(&image, i).err())
            .expect("the image is wrong somewhere"),
    };
    text.replace(path.to_str().unwrap(), "IMAGE")
}

/// The same error of a layout and of its archive.
fn error_of_both(files: &Files) -> String {
    let scratch = tempfile::tempdir().unwrap();
    let directory = error_of(&files.write_directory(&scratch.path().join("layout")));
    let archive = error_of(&files.write_archive(scratch.path()));
    assert_eq!(directory, archive);
    directory
}

fn read(image: &Image, layer: usize) -> std::result::Result<Vec<u8>, String> {
    let mut all = Vec::new();
    let mut stream = image.read_layer(layer).map_err(|e| e.to_string())?;
    stream.read_to_end(&mut all).map_err(|e| e.to_string())?;
    Ok(all)
}
