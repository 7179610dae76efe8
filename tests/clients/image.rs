//! The images of the client tests, as archives of the `docker save` form, built of busybox or of one program.
//! All clients read this form: `ctr images import`, `podman load`, `docker load`.

use std::fmt::Write as _;
use std::fs::File;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

use super::{CONFIGURED, IMAGE, PAUSE};
use crate::harness::{pause, rootfs};

/// Writes an archive of the images of busybox.
pub(crate) fn write(archive: &Path, scratch: &Path) {
    write_as(archive, scratch, [IMAGE, CONFIGURED]);
}

/// Writes an archive of the images of busybox under other names.
pub(crate) fn write_as(archive: &Path, scratch: &Path, names: [&str; 2]) {
    let root = scratch.join("image-root");
    rootfs::make(&root);
    let plain = json!({"Env": ["PATH=/bin"], "Cmd": ["/bin/sh"]});
    let mut configured = plain.clone();
    configured["User"] = json!("65534:65534");
    configured["WorkingDir"] = json!("/tmp");
    let [first, second] = names;
    save(archive, &root, &[(first, plain), (second, configured)]);
}

/// Writes an archive of the image of pods' sandboxes, which is one program and no more.
pub(crate) fn write_pause(archive: &Path, scratch: &Path) {
    let root = scratch.join("image-root");
    rootfs::make_directory(&root, 0o755);
    std::fs::copy(pause(), root.join("pause")).unwrap();
    let config = json!({"Env": ["PATH=/"], "Entrypoint": ["/pause"], "User": "65535:65535"});
    save(archive, &root, &[(PAUSE, config)]);
}

/// One layer of the tree, which is removed, and these names with their configurations.
fn save(archive: &Path, root: &Path, images: &[(&str, Value)]) {
    let layer = layer(root);
    std::fs::remove_dir_all(root).unwrap();
    let mut archive = Builder::new(File::create(archive).unwrap());
    let name = format!("{}.tar", hex(&layer));
    add(&mut archive, &name, &layer);
    let mut manifest = Vec::new();
    for (tag, config) in images {
        let config = image_config(config, &hex(&layer)).to_string().into_bytes();
        let file = format!("{}.json", hex(&config));
        add(&mut archive, &file, &config);
        manifest.push(json!({"Config": file, "RepoTags": [tag], "Layers": [name]}));
    }
    let manifest = Value::from(manifest).to_string();
    add(&mut archive, "manifest.json", manifest.as_bytes());
    archive.finish().unwrap();
}

fn image_config(config: &Value, layer: &str) -> Value {
    json!({
        "architecture": if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" },
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer}")]},
        "history": [{"created_by": "busybox"}],
    })
}

fn layer(root: &Path) -> Vec<u8> {
    let mut layer = Builder::new(Vec::new());
    layer.follow_symlinks(false);
    layer.append_dir_all("", root).unwrap();
    layer.into_inner().unwrap()
}

fn add(archive: &mut Builder<File>, name: &str, content: &[u8]) {
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::Regular);
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    archive.append_data(&mut header, name, content).unwrap();
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in Sha256::digest(bytes) {
        write!(text, "{byte:02x}").unwrap();
    }
    text
}
