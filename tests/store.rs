//! The image store: the second launch of an image unpacks nothing, shows the same, and nothing untrue gets in.
//! Not here: what unpacking makes of a layer (src/image/layer/tests), and images as such (image.rs).

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::time::Duration;

use nix::mount::umount;
use rustix::process::Signal;
use serde_json::{Value, json};
use tar::EntryType;

use crate::harness::{Bundle, Call, Output, Running, eventually, installed};
use crate::layered::{Image, Layer, base, hex};

fn ready() -> Bundle {
    Bundle::new().profile(None)
}

pub(crate) fn launch(bundle: &Bundle, image: &Image, flags: &[&str], script: &str) -> Call {
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
pub(crate) fn assert_idle(bundle: &Bundle) {
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
fn names_too_long_to_be_kept_spoil_no_record() {
    let bundle = ready();
    let image = Image::new(&bundle, "image", &[base().end()]);
    let index = image.path.join("index.json");
    let mut text: Value = serde_json::from_slice(&fs::read(&index).unwrap()).unwrap();
    let name = &mut text["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"];
    *name = json!("\u{1}".repeat(300_000));
    fs::write(&index, text.to_string()).unwrap();
    sh(&bundle, &image, "true").ok();
    sh(&bundle, &image, "true").ok();
    let list = bundle.call(&["image", "list", "--format", "json"]).output();
    let list = list.json();
    assert_eq!(list[0]["names"], json!([]));
    let digest = list[0]["digest"].as_str().unwrap();
    bundle.call(&["image", "rm", digest]).output().ok();
    assert_eq!(stored(&bundle), [""; 0]);
    bundle.assert_clean();
}

/// Their whiteouts differ, and to the kernel the owner is the same.
#[test]
fn root_of_a_user_namespace_does_not_use_the_store_of_its_user() {
    let bundle = ready();
    let image = Image::new(&bundle, "image", &[base().end()]);
    let store = bundle.image_store();
    fs::create_dir_all(store.join("of-user")).unwrap();
    fs::set_permissions(&store, fs::Permissions::from_mode(0o700)).unwrap();
    let out = sh(&bundle, &image, "true");
    let expected = "it is of a user's one id";
    out.fails(125, &["open image store", expected]);
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
    if !bundle.runs_without_root(as_user) {
        return;
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
