//! The image store: the second launch of an image unpacks nothing, shows the same, and nothing untrue gets in.
//! Not here: what unpacking makes of a layer (src/image/layer/tests), and images as such (image.rs).

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::mount::umount;
use rustix::process::Signal;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::EntryType;

use crate::harness::{Bundle, Call, Output, Running, eventually, installed, skip};

fn hex(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A layer under construction.
struct Layer(tar::Builder<Vec<u8>>);

impl Layer {
    fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    fn entry(mut self, kind: EntryType, path: &str, mode: u32, target: &str, body: &[u8]) -> Self {
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

    fn dir(self, path: &str) -> Self {
        self.dir_mode(path, 0o755)
    }

    fn dir_mode(self, path: &str, mode: u32) -> Self {
        self.entry(EntryType::Directory, path, mode, "", b"")
    }

    fn file(self, path: &str, body: &str) -> Self {
        self.entry(EntryType::Regular, path, 0o644, "", body.as_bytes())
    }

    fn symlink(self, path: &str, target: &str) -> Self {
        self.entry(EntryType::Symlink, path, 0o777, target, b"")
    }

    fn hard_link(self, path: &str, target: &str) -> Self {
        self.entry(EntryType::Link, path, 0o644, target, b"")
    }

    /// The next entry's extended attributes.
    fn xattrs(mut self, all: &[(&str, &[u8])]) -> Self {
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

    fn end(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

/// The lowest layer of every image here: busybox with its applets.
fn base() -> Layer {
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
struct Image {
    path: PathBuf,
    blobs: Vec<PathBuf>,
}

impl Image {
    fn new(bundle: &Bundle, name: &str, layers: &[Vec<u8>]) -> Self {
        let diff_ids: Vec<String> = layers.iter().map(|layer| hex(layer)).collect();
        Self::with_diff_ids(bundle, name, layers, &diff_ids)
    }

    fn with_diff_ids(bundle: &Bundle, name: &str, layers: &[Vec<u8>], diff_ids: &[String]) -> Self {
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
    fn spoil(&self) {
        for blob in &self.blobs {
            let length = fs::metadata(blob).unwrap().len() as usize;
            fs::write(blob, vec![0; length]).unwrap();
        }
    }
}

fn ready() -> Bundle {
    Bundle::new().profile(None)
}

fn launch(bundle: &Bundle, image: &Image, flags: &[&str], script: &str) -> Call {
    bundle
        .call(&["launch"])
        .args(flags)
        .arg(&image.path)
        .args(["--", "/bin/sh", "-c", script])
}

#[track_caller]
fn sh(bundle: &Bundle, image: &Image, script: &str) -> Output {
    launch(bundle, image, &[], script).output()
}

/// A sandbox of the image that runs.
fn sleeping(bundle: &Bundle, image: &Image) -> Running {
    let script = "trap 'exit 3' TERM; echo ready; while :; do sleep 0.02; done";
    let run = launch(bundle, image, &[], script).spawn();
    run.says("ready");
    run
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// The diffIDs of the layers in the store.
fn stored(bundle: &Bundle) -> Vec<String> {
    names(&bundle.image_store().join("layers/sha256"))
}

fn sorted(mut all: Vec<String>) -> Vec<String> {
    all.sort();
    all.dedup();
    all
}

/// Nothing is on its way in, and no sandbox has left anything.
#[track_caller]
fn assert_idle(bundle: &Bundle) {
    for place in ["incoming", "scratch"] {
        assert_eq!(names(&bundle.image_store().join(place)), [""; 0], "{place}");
    }
}

#[test]
fn second_launch_reads_no_layer() {
    let bundle = ready();
    let layers = vec![
        base().end(),
        Layer::new().file("hello", "from the layer\n").end(),
    ];
    let diff_ids = layers.iter().map(|layer| hex(layer)).collect();
    let image = Image::new(&bundle, "image", &layers);
    assert_eq!(sh(&bundle, &image, "cat /hello").ok(), "from the layer\n");
    assert_eq!(stored(&bundle), sorted(diff_ids));
    image.spoil();
    assert_eq!(sh(&bundle, &image, "cat /hello").ok(), "from the layer\n");
    let out = launch(&bundle, &image, &["--no-store"], "cat /hello").output();
    out.fails(125, &["layer"]);
    assert_idle(&bundle);
    bundle.assert_clean();
}

/// Every object with type, mode, owner, times and target, and what is in the files.
const WALK: &str = "find / -path /proc -prune -o -path /sys -prune -o -path /dev -prune -o -path /tmp -prune \
    -o ! -path / -exec stat -c '%N %f %u %g %Y' {} \\; ; stat -c '%n %f %u %g' /; \
    find / -path /proc -prune -o -path /sys -prune -o -path /dev -prune -o -path /tmp -prune \
    -o -type f -exec sha256sum {} \\;";

#[track_caller]
fn shows_what_unpacking_makes(layers: &[Vec<u8>]) {
    let bundle = Bundle::new();
    let image = Image::new(&bundle, "image", layers);
    let walk = |flags: &[&str]| {
        let out = launch(&bundle, &image, &[&["--user", "0:0"], flags].concat(), WALK).output();
        let lines = out.lines();
        let mut lines: Vec<String> = lines.into_iter().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let flat = walk(&["--no-store"]);
    assert!(flat.len() > 12, "{flat:#?}");
    for time in ["first", "second"] {
        assert_eq!(walk(&[]), flat, "{time}");
    }
    assert_idle(&bundle);
}

#[test]
fn whiteouts_hide_in_the_overlay_what_they_remove_from_a_tree() {
    shows_what_unpacking_makes(&[
        base()
            .file("gone", "x")
            .dir("emptied")
            .file("emptied/a", "a")
            .dir("emptied/below")
            .file("emptied/below/b", "b")
            .dir("replaced")
            .file("replaced/old", "old")
            .file("becomes-dir", "x")
            .dir("becomes-file")
            .file("becomes-file/x", "x")
            .symlink("link", "emptied")
            .end(),
        Layer::new()
            .file(".wh.gone", "")
            .dir("emptied")
            .file("emptied/.wh..wh..opq", "")
            .file("emptied/new", "new")
            .file(".wh.replaced", "")
            .dir("replaced")
            .file("replaced/new", "new")
            .file(".wh.becomes-dir", "")
            .dir("becomes-dir")
            .file("becomes-dir/y", "y")
            .file("becomes-file", "z")
            .dir("link")
            .file("link/z", "z")
            .file(".wh.never-was", "")
            .end(),
        Layer::new()
            .dir_mode("./", 0o711)
            .file("gone", "again")
            .dir_mode("emptied", 0o700)
            .file("emptied/.wh.new", "")
            .hard_link("twice", "gone")
            .end(),
    ]);
}

#[test]
fn a_layer_that_leaves_out_parents_shows_those_below_as_they_are() {
    shows_what_unpacking_makes(&[
        base()
            .dir_mode("mode", 0o710)
            .dir("usr")
            .dir("usr/lib")
            .symlink("lib", "usr/lib")
            .file("target", "x")
            .end(),
        Layer::new()
            .file("mode/inside", "a")
            .file("lib/follows-the-link", "b")
            .hard_link("hard", "target")
            .end(),
        Layer::new().dir("mode2").file("mode2/x", "c").end(),
    ]);
}

#[test]
fn equal_layers_are_mounted_once() {
    let twice = Layer::new().file(".wh.x", "").file("y", "y").end();
    shows_what_unpacking_makes(&[
        base().file("x", "x").end(),
        twice.clone(),
        Layer::new().file("x", "again").file(".wh.y", "").end(),
        twice,
    ]);
}

#[test]
fn more_layers_than_fit_the_options_of_a_mount_are_shown_all_the_same() {
    let mut layers = vec![base().end()];
    layers.extend((0..150).map(|i| {
        Layer::new()
            .file(&format!("f{i}"), "x")
            .file("last", &i.to_string())
            .end()
    }));
    shows_what_unpacking_makes(&layers);
}

#[test]
fn images_share_the_layers_that_they_have_in_common() {
    let bundle = ready();
    let (base, own) = (base().end(), Layer::new().file("own", "x").end());
    let one = Image::new(&bundle, "one", std::slice::from_ref(&base));
    sh(&bundle, &one, "true").ok();
    let two = Image::new(&bundle, "two", &[base.clone(), own.clone()]);
    fs::write(&two.blobs[0], vec![0; base.len()]).unwrap();
    sh(&bundle, &two, "cat /own").ok();
    assert_eq!(stored(&bundle), sorted(vec![hex(&base), hex(&own)]));
    let removed = bundle.call(&["image", "rm", "one"]).output();
    assert!(!removed.ok().contains(&hex(&base)), "{removed:?}");
    sh(&bundle, &two, "true").ok();
    bundle.call(&["image", "rm", "two"]).output().ok();
    assert_eq!(stored(&bundle), [""; 0]);
}

#[test]
fn list_shows_digest_names_and_layers() {
    let bundle = ready();
    let layer = base().end();
    let image = Image::new(&bundle, "name", std::slice::from_ref(&layer));
    sh(&bundle, &image, "true").ok();
    let list = bundle
        .call(&["image", "list", "--format", "json"])
        .output()
        .json();
    let image = &list[0];
    assert_eq!(list.as_array().unwrap().len(), 1);
    assert_eq!(image["names"], json!(["name"]));
    assert_eq!(image["layers"], json!([format!("sha256:{}", hex(&layer))]));
    assert_eq!(image["bytes"], json!(layer.len()));
    assert_eq!(image["inUse"], json!(false));
    let quiet = bundle.call(&["image", "list", "--quiet"]).output();
    assert_eq!(quiet.ok().trim(), image["digest"].as_str().unwrap());
    let table = bundle.call(&["image", "list"]).output();
    let lines = table.lines();
    assert!(
        lines[0].starts_with("DIGEST") && lines[1].contains("name"),
        "{lines:?}"
    );
}

#[test]
fn an_image_in_use_is_neither_removed_nor_pruned() {
    let bundle = ready();
    let image = Image::new(&bundle, "name", &[base().end()]);
    let other = Image::new(
        &bundle,
        "other",
        &[base().end(), Layer::new().file("o", "").end()],
    );
    sh(&bundle, &other, "true").ok();
    let run = sleeping(&bundle, &image);
    let rm = bundle.call(&["image", "rm", "name"]).output();
    rm.refused(&["remove image", "image is being used by a running sandbox"]);
    let pruned = bundle.call(&["image", "prune", "--all"]).output();
    assert_eq!(
        pruned
            .lines()
            .iter()
            .filter(|line| line.starts_with("removed image"))
            .count(),
        1
    );
    assert_eq!(stored(&bundle), [hex(&base().end())]);
    assert_eq!(
        names(&bundle.image_store().join("scratch")).len(),
        1,
        "it is in use too"
    );
    run.signal(Signal::TERM);
    assert_eq!(run.wait().code, 3);
    bundle.call(&["image", "rm", "name"]).output().ok();
    assert_eq!(stored(&bundle), [""; 0]);
    let rm = bundle.call(&["image", "rm", "name"]).output();
    rm.refused(&["find image \"name\"", "there is no such image in the store"]);
}

#[test]
fn first_launches_at_once_unpack_each_layer_once() {
    let bundle = ready();
    let image = Image::new(
        &bundle,
        "image",
        &[base().end(), Layer::new().file("x", "x").end()],
    );
    let calls: Vec<Running> = (0..4)
        .map(|_| {
            launch(&bundle, &image, &[], "cat /x")
                .limit(Duration::from_secs(60))
                .spawn()
        })
        .collect();
    for call in calls {
        assert_eq!(call.wait().ok(), "x");
    }
    assert_eq!(stored(&bundle).len(), 2);
    assert_idle(&bundle);
    bundle.assert_clean();
}

#[test]
fn a_killed_launch_leaves_no_mount_and_no_scratch() {
    let bundle = ready();
    let image = Image::new(&bundle, "name", &[base().end()]);
    let run = sleeping(&bundle, &image);
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let store = bundle.image_store();
    assert!(
        !mounts.contains(store.to_str().unwrap()),
        "the host never has the mount"
    );
    run.signal(Signal::KILL);
    run.wait();
    eventually("the scratch directory is gone", || {
        names(&store.join("scratch")).is_empty()
    });
    eventually("the image can be removed", || {
        bundle.call(&["image", "rm", "name"]).output().code == 0
    });
    bundle.assert_clean();
}

#[test]
fn what_a_killed_process_left_half_unpacked_goes() {
    let bundle = ready();
    let (base, other) = (base().end(), Layer::new().file("x", "right").end());
    let image = Image::new(&bundle, "image", &[base.clone(), other.clone()]);
    let one = Image::new(&bundle, "one", &[base]);
    sh(&bundle, &one, "true").ok();
    let incoming = bundle.image_store().join("incoming");
    let left = [
        format!("layers-sha256-{}", hex(&other)),
        "layers-sha256-other".to_owned(),
    ];
    for left in &left {
        fs::create_dir_all(incoming.join(left).join("fs/deep")).unwrap();
        fs::write(incoming.join(left).join("fs/x"), "wrong").unwrap();
    }
    assert_eq!(sh(&bundle, &image, "cat /x").ok(), "right");
    assert_idle(&bundle);
    fs::create_dir_all(incoming.join(&left[0]).join("fs")).unwrap();
    let pruned = bundle.call(&["image", "prune"]).output();
    assert_eq!(pruned.ok(), "removed 1 unfinished directories\nfreed 0 B\n");
    sh(&bundle, &image, "true").ok();
}

#[test]
fn a_layer_that_is_not_what_the_image_says_never_gets_in() {
    let bundle = ready();
    let (good, bad) = (base().end(), Layer::new().file("x", "bad").end());
    let claimed = hex(b"something else");
    let diff_ids = [hex(&good), claimed.clone()];
    let image = Image::with_diff_ids(&bundle, "image", &[good.clone(), bad], &diff_ids);
    let out = sh(&bundle, &image, "true");
    out.fails(125, &["unpacks to sha256:", &claimed]);
    assert!(!stored(&bundle).contains(&claimed));
    assert_idle(&bundle);
    // Right by its digest when it was opened, and damaged within.
    let image = Image::new(&bundle, "damaged", &[good]);
    let mut bytes = fs::read(&image.blobs[0]).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&image.blobs[0], bytes).unwrap();
    sh(&bundle, &image, "true").fails(125, &["digest"]);
    assert_eq!(stored(&bundle), [""; 0]);
    let list = bundle.call(&["image", "list", "--quiet"]).output();
    assert_eq!(list.ok(), "");
    assert_idle(&bundle);
    bundle.assert_clean();
}

#[test]
fn nobody_else_may_enter_the_store() {
    let bundle = ready();
    let image = Image::new(&bundle, "image", &[base().end()]);
    sh(&bundle, &image, "true").ok();
    let store = bundle.image_store();
    for place in [
        "",
        "layers",
        "layers/sha256",
        "images/sha256",
        "stacks",
        "incoming",
        "scratch",
    ] {
        let mode = fs::metadata(store.join(place))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o7777, 0o700, "{place}");
    }
    fs::set_permissions(&store, fs::Permissions::from_mode(0o711)).unwrap();
    let out = sh(&bundle, &image, "true");
    out.fails(125, &["open image store", "others may enter it"]);
    fs::set_permissions(&store, fs::Permissions::from_mode(0o700)).unwrap();
    chown(&store, Some(1234), None).unwrap();
    let out = sh(&bundle, &image, "true");
    out.fails(125, &["it belongs to user 1234"]);
    chown(&store, Some(0), None).unwrap();
}

#[test]
fn a_full_disk_leaves_nothing() {
    let bundle = ready();
    let big = "x".repeat(4 << 20);
    let image = Image::new(
        &bundle,
        "image",
        &[base().end(), Layer::new().file("big", &big).end()],
    );
    let store = bundle.outside("small");
    let script = "mount -t tmpfs -o size=4m,mode=700 small \"$1\" && \"$0\" --root \"$3\" launch --store \"$1\" \"$2\"; \
        echo $?; cd \"$1\" && ls -A layers/sha256 stacks/sha256 images/sha256 incoming scratch";
    let call = Call::new("unshare", &bundle.temp().join("calls"))
        .args(["-m", "sh", "-c", script])
        .arg(crate::harness::runtime())
        .arg(&store)
        .arg(&image.path)
        .arg(bundle.state_dir());
    let out = call.output();
    let expected =
        "125\nimages/sha256:\n\nincoming:\n\nlayers/sha256:\n\nscratch:\n\nstacks/sha256:\n";
    assert_eq!(out.stdout, expected, "{out:#?}");
    assert!(
        out.stderr
            .contains("no space left on device (ENOSPC)\ntry: make room"),
        "{out:#?}"
    );
    bundle.assert_clean();
}

#[test]
fn an_image_forges_neither_whiteouts_nor_redirects() {
    let bundle = ready();
    let forged: &[(&str, &[u8])] = &[
        ("trusted.overlay.opaque", b"y"),
        ("user.overlay.opaque", b"y"),
        ("trusted.overlay.redirect", b"/secret"),
        ("user.overlay.redirect", b"/secret"),
        ("trusted.overlay.metacopy", b""),
        ("trusted.overlay.whiteout", b"y"),
    ];
    let image = Image::new(
        &bundle,
        "image",
        &[
            base()
                .dir("dir")
                .file("dir/kept", "kept\n")
                .dir("secret")
                .file("secret/s", "s")
                .end(),
            Layer::new()
                .xattrs(forged)
                .dir("dir")
                .xattrs(forged)
                .file("dir/file", "file\n")
                .end(),
        ],
    );
    assert_eq!(
        sh(&bundle, &image, "cat /dir/kept /dir/file; echo /dir/*").ok(),
        "kept\nfile\n/dir/file /dir/kept\n"
    );
    let forged = Layer::new()
        .dir("dir")
        .entry(EntryType::Char, "dir/kept", 0o644, "", b"")
        .end();
    let image = Image::new(
        &bundle,
        "device",
        &[base().dir("dir").file("dir/kept", "").end(), forged.clone()],
    );
    let out = sh(&bundle, &image, "true");
    out.fails(
        125,
        &["the device c 0:0, which overlay file systems take for a whiteout"],
    );
    assert!(!stored(&bundle).contains(&hex(&forged)));
    assert_idle(&bundle);
}

#[test]
fn what_a_sandbox_writes_is_not_in_the_next_one() {
    let bundle = Bundle::new();
    let image = Image::new(&bundle, "image", &[base().file("f", "layer\n").end()]);
    let config = ["--user", "0:0"];
    for _ in 0..2 {
        let out = launch(&bundle, &image, &config, "cat /f; echo x > /f; true").output();
        assert_eq!(out.ok(), "layer\n");
    }
    let layer = bundle
        .image_store()
        .join("layers/sha256")
        .join(&stored(&bundle)[0]);
    assert_eq!(fs::read_to_string(layer.join("fs/f")).unwrap(), "layer\n");
}

#[test]
fn second_launch_without_root_reads_no_layer() {
    let bundle = ready();
    let image = Image::new(
        &bundle,
        "image",
        &[
            base().file("gone", "").dir("d").file("d/lower", "").end(),
            Layer::new()
                .file(".wh.gone", "")
                .dir("d")
                .file("d/.wh..wh..opq", "")
                .file("d/x", "x")
                .end(),
        ],
    );
    let home = bundle.outside("home");
    chown(&home, Some(65534), Some(65534)).unwrap();
    let as_user = |call: Call| {
        call.user(65534, 65534)
            .env("XDG_RUNTIME_DIR", home.to_str().unwrap())
            .env("XDG_DATA_HOME", home.to_str().unwrap())
            .env("STOCKADE_STORE", "")
            .directory(Path::new("/"))
    };
    if as_user(bundle.bare_call().arg("--version")).spawn_fails() {
        return skip("the runtime under test is in a directory that other users may not enter");
    }
    let unshare = Call::new("unshare", &bundle.temp().join("calls"));
    if as_user(unshare.args(["-Ur", "true"])).output().code != 0 {
        return skip("this host allows no user namespace without root");
    }
    let run = || {
        let call = bundle.bare_call().arg("launch").arg(&image.path);
        let script = "id -u; echo /d/* /gone*";
        as_user(call.args(["--", "/bin/sh", "-c", script])).output()
    };
    assert_eq!(run().ok(), "1500\n/d/x /gone*\n");
    image.spoil();
    assert_eq!(run().ok(), "1500\n/d/x /gone*\n");
    let store = home.join("stockade");
    assert_eq!(names(&store.join("layers/sha256")).len(), 2);
    assert_eq!(names(&store.join("scratch")), [""; 0]);
    let prune = as_user(bundle.bare_call().args(["image", "prune", "--all"])).output();
    assert!(prune.ok().contains("removed image"), "{prune:?}");
    assert_eq!(names(&store.join("layers/sha256")), [""; 0]);
    bundle.assert_clean();
}

#[test]
fn a_bundle_of_mounted_layers_runs_and_holds_its_image() {
    let bundle = ready();
    let image = Image::new(&bundle, "image", &[base().file("f", "layer\n").end()]);
    let target = bundle.temp().join("mounted");
    let unpack = || {
        let call = bundle.call(&["unpack", "--overlay"]).arg(&image.path);
        call.arg(&target).output()
    };
    unpack().ok();
    let out = bundle
        .call(&["run", "--bundle"])
        .arg(&target)
        .arg(bundle.id());
    assert_eq!(out.output().ok(), "1500\n");
    fs::write(target.join("rootfs/f"), "bundle\n").unwrap();
    assert_eq!(
        fs::read_to_string(target.join("upper/f")).unwrap(),
        "bundle\n"
    );
    let rm = bundle.call(&["image", "rm", "image"]).output();
    rm.refused(&["image is being used by a bundle", "umount"]);
    bundle.call(&["image", "prune", "--all"]).output().ok();
    assert_eq!(
        fs::metadata(target.join("rootfs/bin/busybox"))
            .unwrap()
            .len(),
        fs::metadata(installed("busybox").unwrap()).unwrap().len()
    );
    unpack().refused(&["it exists"]);
    umount(&target.join("rootfs")).unwrap();
    fs::remove_dir_all(&target).unwrap();
    bundle.call(&["image", "rm", "image"]).output().ok();
    image.spoil();
    unpack().refused(&["layer"]);
    assert!(
        !names(bundle.temp())
            .iter()
            .any(|name| name.contains("mounted"))
    );
    assert_idle(&bundle);
    bundle.assert_clean();
}

#[test]
fn a_store_that_cannot_hold_an_overlay_is_not_used_and_the_image_is_launched() {
    let bundle = ready();
    let image = Image::new(&bundle, "image", &[base().end()]);
    let dirs = ["lower", "upper", "work", "stacked"].map(|name| bundle.outside(name));
    // overlayfs writes to no overlay.
    let script = "mount -t overlay -o lowerdir=$3,upperdir=$4,workdir=$5 stacked $6 && \
        exec \"$0\" --root \"$2\" launch --store $6/store \"$1\"";
    let call = Call::new("unshare", &bundle.temp().join("calls"))
        .args(["-m", "sh", "-c", script])
        .arg(crate::harness::runtime())
        .arg(&image.path)
        .arg(bundle.state_dir())
        .args(dirs);
    let out = call.output();
    assert_eq!(out.ok(), "1500\n");
    assert!(
        out.stderr
            .starts_with("warning: the image is unpacked each time: mount"),
        "{out:#?}"
    );
    bundle.assert_clean();
}
