//! Images end to end: `unpack` to a bundle that runs, `launch` of an image, and refusals that leave nothing.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::harness::Bundle;

pub(crate) fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("sha256:{hex}")
}

/// An image layout below `directory` with one layer, the root filesystem of `bundle`.
pub(crate) struct Layout {
    path: PathBuf,
    layer: PathBuf,
}

impl Layout {
    pub(crate) fn new(bundle: &Bundle, execution: &Value) -> Self {
        let mut archive = tar::Builder::new(Vec::new());
        archive.follow_symlinks(false);
        archive.append_dir_all(".", bundle.rootfs()).unwrap();
        let archive = archive.into_inner().unwrap();
        Self::stored(bundle, execution, &digest(&archive), "", &archive)
    }

    /// One layer as it is stored, with the rest of its media type and the digest of what it unpacks to.
    pub(crate) fn stored(
        bundle: &Bundle,
        execution: &Value,
        diff_id: &str,
        compression: &str,
        layer: &[u8],
    ) -> Self {
        let path = bundle.path().join("layout");
        fs::create_dir_all(path.join("blobs/sha256")).unwrap();
        let layer = blob(&path, layer);
        let config = json!({
            "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
            "os": "linux",
            "config": execution,
            "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        });
        let config = blob(&path, config.to_string().as_bytes());
        let describe = |kind: &str, path: &Path| {
            let bytes = fs::read(path).unwrap();
            json!({"mediaType": kind, "digest": digest(&bytes), "size": bytes.len()})
        };
        let layer_type = format!("application/vnd.oci.image.layer.v1.tar{compression}");
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": describe("application/vnd.oci.image.config.v1+json", &config),
            "layers": [describe(&layer_type, &layer)],
        });
        let manifest = blob(&path, manifest.to_string().as_bytes());
        let index = json!({
            "schemaVersion": 2,
            "manifests": [describe("application/vnd.oci.image.manifest.v1+json", &manifest)],
        });
        fs::write(path.join("index.json"), index.to_string()).unwrap();
        fs::write(path.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        Self { path, layer }
    }

    pub(crate) fn text(&self) -> &str {
        self.path.to_str().unwrap()
    }
}

fn blob(layout: &Path, bytes: &[u8]) -> PathBuf {
    let path = layout
        .join("blobs/sha256")
        .join(&digest(bytes)["sha256:".len()..]);
    fs::write(&path, bytes).unwrap();
    path
}

pub(crate) fn image(user: &str, command: &str) -> (Bundle, Layout) {
    let bundle = Bundle::new().profile(None);
    fs::create_dir_all(bundle.rootfs().join("etc")).unwrap();
    fs::write(
        bundle.rootfs().join("etc/passwd"),
        "root:x:0:0::/:/bin/sh\napp:x:1500:1600::/home:/bin/sh\n",
    )
    .unwrap();
    let layout = Layout::new(
        &bundle,
        &json!({"User": user, "Entrypoint": ["/bin/sh", "-c"], "Cmd": [command], "Env": ["FOO=bar"], "WorkingDir": "/tmp"}),
    );
    (bundle, layout)
}

#[test]
fn launch_of_an_image_runs_its_command_as_its_user() {
    let (bundle, layout) = image(
        "app",
        "id -u; id -g; echo $FOO; pwd; grep CapEff /proc/self/status",
    );
    let out = bundle.call(&["launch", layout.text()]).output();
    assert_eq!(
        out.ok(),
        "1500\n1600\nbar\n/tmp\nCapEff:\t0000000000000000\n"
    );
    bundle.assert_clean();
}

#[test]
fn launch_of_an_image_takes_another_command_user_and_environment() {
    let (bundle, layout) = image("0", "echo not this");
    let words = [
        "launch",
        "--user",
        "1234:5678",
        "--env",
        "FOO=baz",
        layout.text(),
        "--",
        "/bin/sh",
        "-c",
        "id -u; id -g; echo $FOO",
    ];
    assert_eq!(bundle.call(&words).output().ok(), "1234\n5678\nbaz\n");
    bundle.assert_clean();
}

#[test]
fn launch_of_an_image_that_wants_root_is_refused_with_what_to_do() {
    let (bundle, layout) = image("", "id");
    let out = bundle.call(&["launch", layout.text()]).output();
    out.exits(125);
    assert!(
        out.stderr.contains("process.user.uid") && out.stderr.contains("--user"),
        "{out:#?}"
    );
    bundle.assert_clean();
}

#[test]
fn unpack_makes_a_bundle_that_runs() {
    let (bundle, layout) = image("app", "id -u; pwd");
    let target = bundle.path().join("unpacked");
    bundle
        .call(&["unpack", layout.text(), target.to_str().unwrap()])
        .output()
        .ok();
    let config: Value =
        serde_json::from_slice(&fs::read(target.join("config.json")).unwrap()).unwrap();
    assert_eq!(
        config["process"]["args"],
        json!(["/bin/sh", "-c", "id -u; pwd"])
    );
    let out = bundle
        .call(&["run", "--bundle", target.to_str().unwrap(), bundle.id()])
        .output();
    assert_eq!(out.ok(), "1500\n/tmp\n");
    bundle.assert_clean();
}

#[test]
fn unpack_of_a_damaged_layer_is_refused_and_leaves_nothing() {
    let (bundle, layout) = image("app", "id");
    let mut bytes = fs::read(&layout.layer).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&layout.layer, bytes).unwrap();
    let target = bundle.path().join("unpacked");
    let out = bundle
        .call(&["unpack", layout.text(), target.to_str().unwrap()])
        .output();
    out.exits(1);
    let name = layout.layer.file_name().unwrap().to_str().unwrap();
    assert!(out.stderr.contains(name), "{out:#?}");
    let left = fs::read_dir(bundle.path())
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name());
    let left: Vec<_> = left
        .filter(|name| name.to_string_lossy().contains("unpacked"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(bundle.call(&["launch", layout.text()]).output().code, 125);
    bundle.assert_clean();
}

#[test]
fn unpack_does_not_touch_a_bundle_that_exists() {
    let (bundle, layout) = image("app", "id");
    let out = bundle
        .call(&["unpack", layout.text(), bundle.path().to_str().unwrap()])
        .output();
    out.refused(&["exists"]);
}
