//! The programs that make images: umoci, skopeo, buildah, tar, each with everything it keeps in the test's own directory.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::{installed, skip};
use crate::harness::{Bundle, Call, Output};

/// A directory of image layouts, and the programs that work on them.
pub(crate) struct Tools {
    dir: PathBuf,
}

impl Tools {
    /// None, and the reason said, where one of the programs is missing.
    pub(crate) fn new(bundle: &Bundle, programs: &[&str]) -> Option<Self> {
        for program in programs {
            if installed(program).is_none() {
                skip(&format!("{program} is not installed"));
                return None;
            }
        }
        let dir = bundle.temp().join("images");
        for name in ["", "tmp", "streams", "storage", "run"] {
            fs::create_dir(dir.join(name)).unwrap();
        }
        fs::write(
            dir.join("policy.json"),
            r#"{"default": [{"type": "insecureAcceptAnything"}]}"#,
        )
        .unwrap();
        Some(Self { dir })
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub(crate) fn layout(&self, image: &str) -> PathBuf {
        self.path(&format!("{image}-layout"))
    }

    /// As umoci and skopeo name it.
    pub(crate) fn name(&self, image: &str) -> String {
        format!("{}:{image}", self.layout(image).display())
    }

    fn call(&self, program: &str) -> Call {
        Call::new(program, &self.path("streams"))
            .env("TMPDIR", self.path("tmp").to_str().unwrap())
            .env("HOME", self.path("tmp").to_str().unwrap())
            .env("XDG_RUNTIME_DIR", self.path("run").to_str().unwrap())
            .limit(Duration::from_secs(240))
    }

    #[track_caller]
    fn run(&self, program: &str, words: &[&str]) -> Output {
        let output = self.call(program).args(words).output();
        output.ok();
        output
    }

    #[track_caller]
    pub(crate) fn umoci(&self, words: &[&str]) {
        self.run("umoci", words);
    }

    /// An empty image, unpacked: the root filesystem to fill before [`Tools::commit`].
    pub(crate) fn begin(&self, image: &str) -> PathBuf {
        let name = self.name(image);
        self.umoci(&["init", "--layout", self.layout(image).to_str().unwrap()]);
        self.umoci(&["new", "--image", &name]);
        let bundle = self.path("bundle");
        self.umoci(&["unpack", "--image", &name, bundle.to_str().unwrap()]);
        bundle.join("rootfs")
    }

    /// What has changed in the root filesystem becomes one more layer.
    pub(crate) fn commit(&self, image: &str) {
        let bundle = self.path("bundle");
        let name = self.name(image);
        self.umoci(&[
            "repack",
            "--refresh-bundle",
            "--image",
            &name,
            bundle.to_str().unwrap(),
        ]);
    }

    pub(super) fn unpacked_by_umoci(&self, image: &str) -> PathBuf {
        let bundle = self.path("reference");
        self.umoci(&[
            "unpack",
            "--image",
            &self.name(image),
            bundle.to_str().unwrap(),
        ]);
        bundle.join("rootfs")
    }

    /// An image of one layer for each of `changes`, by buildah.
    pub(super) fn build(&self, image: &str, changes: &[fn(&Path)]) {
        let mut from = "scratch".to_owned();
        for (number, change) in changes.iter().enumerate() {
            let container = self.buildah(&["from", "--pull-never", &from]);
            let root = self.buildah(&["mount", &container]);
            change(Path::new(&root));
            from = format!("localhost/{image}-{number}");
            self.buildah(&["commit", "--quiet", &container, &from]);
        }
        let policy = self.path("policy.json");
        let to = format!("oci:{}", self.name(image));
        self.buildah(&[
            "push",
            "--quiet",
            "--signature-policy",
            policy.to_str().unwrap(),
            &from,
            &to,
        ]);
    }

    fn buildah(&self, words: &[&str]) -> String {
        let call = self.call("buildah").arg("--root").arg(self.path("storage"));
        let call = call.arg("--runroot").arg(self.path("run"));
        let output = call.args(["--storage-driver", "vfs"]).args(words).output();
        output.ok().trim().to_owned()
    }

    #[track_caller]
    fn skopeo(&self, from: &str, to: &str) {
        let policy = self.path("policy.json");
        let tmp = self.path("tmp");
        let own = [
            "--policy",
            policy.to_str().unwrap(),
            "--tmpdir",
            tmp.to_str().unwrap(),
        ];
        self.run(
            "skopeo",
            &[&own[..], &["copy", "--quiet", from, to]].concat(),
        );
    }

    /// Writes `dir` as a tar archive, compressed by its name.
    fn archive(&self, dir: &Path, file: &Path) {
        let words = [
            "--format=pax",
            "--xattrs",
            "--xattrs-include=*",
            "--numeric-owner",
            "--auto-compress",
            "-cf",
        ];
        let call = self.call("tar").args(words).arg(file).arg("-C").arg(dir);
        call.arg(".").output().ok();
    }
}

/// The image in each of the forms, by its name; `root` is its root filesystem.
pub(super) fn forms(tools: &Tools, image: &str, root: &Path) -> Vec<(&'static str, PathBuf)> {
    let layout = format!("oci:{}", tools.name(image));
    let mut all = vec![("image layout", tools.layout(image))];
    let file = tools.path("oci.tar");
    tools.skopeo(&layout, &format!("oci-archive:{}:{image}", file.display()));
    all.push(("image archive", file));
    let file = tools.path("docker.tar");
    let tag = format!("docker-archive:{}:example/{image}:1", file.display());
    tools.skopeo(&layout, &tag);
    all.push(("docker archive", file));
    all.push(("new docker archive", new_docker_archive(tools, image)));
    for (form, name) in [
        ("root filesystem", "root.tar"),
        ("root filesystem, gzip", "root.tar.gz"),
        ("root filesystem, zstd", "root.tar.zst"),
    ] {
        let file = tools.path(name);
        tools.archive(root, &file);
        all.push((form, file));
    }
    all
}

/// What docker save writes since version 25: an image layout, and its layers in manifest.json as well.
fn new_docker_archive(tools: &Tools, image: &str) -> PathBuf {
    let layout = tools.layout(image);
    let read =
        |path: &Path| -> Value { serde_json::from_reader(File::open(path).unwrap()).unwrap() };
    let blob = |digest: &Value| {
        format!(
            "blobs/sha256/{}",
            &digest.as_str().unwrap()["sha256:".len()..]
        )
    };
    let index = read(&layout.join("index.json"));
    let manifest = read(&layout.join(blob(&index["manifests"][0]["digest"])));
    let layers = manifest["layers"].as_array().unwrap().iter();
    let layers: Vec<String> = layers.map(|layer| blob(&layer["digest"])).collect();
    let tags = format!("example/{image}:1");
    let list = json!([{"Config": blob(&manifest["config"]["digest"]), "RepoTags": [tags], "Layers": layers}]);
    fs::write(layout.join("manifest.json"), list.to_string()).unwrap();
    let file = tools.path("new-docker.tar");
    tools.archive(&layout, &file);
    fs::remove_file(layout.join("manifest.json")).unwrap();
    file
}
