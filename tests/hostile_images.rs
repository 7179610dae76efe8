//! Images that want out, or more than they may have, by the verbs; and unpacking that is disturbed. Nothing is left after a
//! failure. Not here: archives entry by entry, which the unit tests of `image` have.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{Bundle, Call, Output, differences, eventually, runtime, tree};
use crate::image::{Layout, digest};

/// A tar archive being written.
struct Archive(tar::Builder<Vec<u8>>);

impl Archive {
    fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    fn entry(mut self, kind: tar::EntryType, path: &str, link: &str, content: &[u8]) -> Self {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o755);
        header.set_size(content.len() as u64);
        if link.is_empty() {
            self.0.append_data(&mut header, path, content).unwrap();
        } else {
            self.0.append_link(&mut header, path, link).unwrap();
        }
        self
    }

    fn file(self, path: &str, content: &[u8]) -> Self {
        self.entry(tar::EntryType::Regular, path, "", content)
    }

    fn dir(self, path: &str) -> Self {
        self.entry(tar::EntryType::Directory, path, "", b"")
    }

    fn symlink(self, path: &str, target: &str) -> Self {
        self.entry(tar::EntryType::Symlink, path, target, b"")
    }

    /// The root filesystem of the bundle.
    fn busybox(mut self, bundle: &Bundle) -> Self {
        self.0.follow_symlinks(false);
        self.0.append_dir_all(".", bundle.rootfs()).unwrap();
        self
    }

    fn layout(self, bundle: &Bundle, execution: &Value) -> Layout {
        let bytes = self.0.into_inner().unwrap();
        Layout::stored(bundle, execution, &digest(&bytes), "", &bytes)
    }
}

/// So many files that unpacking them takes a while.
fn many_files() -> Archive {
    let all = 0..30_000;
    all.fold(Archive::new(), |archive, n| {
        archive.file(&format!("d{}/f{n}", n % 100), b"x")
    })
}

fn command() -> Value {
    json!({"Cmd": ["/bin/true"]})
}

/// A directory of its own to unpack into, and the bundle to be made there.
fn target(bundle: &Bundle) -> (PathBuf, PathBuf) {
    let dir = bundle.temp().join("target");
    fs::create_dir(&dir).unwrap();
    let bundle = dir.join("bundle");
    (dir, bundle)
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
    let mut all: Vec<_> = entries
        .map(name)
        .map(|name| name.into_string().unwrap())
        .collect();
    all.sort();
    all
}

/// `unpack` by a shell that prepares something, as `$@`.
fn unpack_in(bundle: &Bundle, script: &str, layout: &Layout, target: &Path) -> Output {
    let call = Call::new("unshare", &bundle.temp().join("calls"));
    let call = call
        .args(["--mount", "sh", "-c", script, "sh"])
        .arg(runtime());
    let call = call.args(["unpack", layout.text()]).arg(target);
    call.limit(Duration::from_secs(60)).output()
}

#[test]
fn unpack_that_is_ended_by_a_signal_leaves_nothing() {
    let bundle = Bundle::new();
    let layout = many_files().layout(&bundle, &command());
    let (dir, made) = target(&bundle);
    for signal in [Signal::INT, Signal::TERM, Signal::KILL] {
        let running = bundle.call(&["unpack", layout.text()]).arg(&made).spawn();
        let is_at_work = || {
            let partial = names(&dir)
                .into_iter()
                .find(|name| name.contains("partial"));
            partial.is_some_and(|name| dir.join(name).join("rootfs/d7").exists())
        };
        eventually("unpacking is under way", is_at_work);
        running.signal(signal);
        assert_eq!(running.wait().code, -signal.as_raw());
        eventually("all of it is removed", || names(&dir).is_empty());
    }
    bundle.assert_clean();
}

#[test]
fn launch_that_is_killed_while_it_unpacks_leaves_nothing() {
    let bundle = Bundle::new().profile(None);
    let mark = format!("mark-{}", bundle.id());
    let archive = Archive::new().file(&mark, b"");
    let archive = (0..30_000).fold(archive, |archive, n| archive.file(&format!("f{n}"), b"x"));
    let layout = archive.layout(&bundle, &command());
    let is_there = || {
        let all = fs::read_dir("/var/tmp").unwrap().flatten();
        all.map(|entry| entry.path().join("rootfs").join(&mark))
            .any(|path| path.exists())
    };
    for signal in [Signal::INT, Signal::KILL] {
        let running = bundle
            .call(&["launch", "--no-store", layout.text()])
            .spawn();
        eventually("unpacking is under way", is_there);
        running.signal(signal);
        running.wait();
        eventually("all of it is removed", || !is_there());
    }
    bundle.assert_clean();
}

#[test]
fn unpack_on_a_full_disk_says_so_and_leaves_nothing() {
    let bundle = Bundle::new();
    let archive = Archive::new().file("large", &[7; 3 << 20]);
    let archive = (0..100).fold(archive, |archive, n| archive.dir(&format!("d{n}")));
    let layout = archive.layout(&bundle, &command());
    let (dir, made) = target(&bundle);
    for options in ["size=1m", "size=64m,nr_inodes=40"] {
        let script = format!(
            "mount -t tmpfs -o {options} small {dir} || exit 99; \"$@\"; code=$?; ls -A {dir}; exit $code",
            dir = dir.display()
        );
        let out = unpack_in(&bundle, &script, &layout, &made);
        out.refused(&["no space left on device (ENOSPC)"]);
        assert_eq!(out.stdout, "", "{options}");
    }
}

#[test]
fn unpack_ignores_the_umask() {
    let bundle = Bundle::new();
    // Neither the root nor the parent is an entry.
    let archive = Archive::new().file("implied/f", b"").dir("d");
    let layout = archive.layout(&bundle, &command());
    let (dir, _) = target(&bundle);
    let trees = ["000", "022", "077", "777"].map(|umask| {
        let made = dir.join(umask);
        unpack_in(
            &bundle,
            &format!("umask {umask}; exec \"$@\""),
            &layout,
            &made,
        )
        .ok();
        let mode =
            |name: &str| fs::metadata(made.join(name)).unwrap().permissions().mode() & 0o7777;
        assert_eq!(
            (mode(""), mode("rootfs"), mode("config.json")),
            (0o700, 0o755, 0o644),
            "{umask}"
        );
        let mut tree = tree(&made.join("rootfs"));
        tree.values_mut().for_each(|facts| facts.mtime = (0, 0));
        tree
    });
    for other in &trees {
        assert_eq!(differences(other, &trees[0]), Vec::<String>::new());
    }
}

#[test]
fn root_filesystem_of_a_launched_image_is_for_its_owner_alone() {
    let bundle = Bundle::new().profile(None);
    let mark = format!("mark-{}", bundle.id());
    let archive = Archive::new().busybox(&bundle).file(&mark, b"");
    let command = json!({"Cmd": ["/bin/sh", "-c", "echo here; sleep 20"], "User": "1234"});
    let layout = archive.layout(&bundle, &command);
    let running = bundle
        .call(&["launch", "--no-store", layout.text()])
        .spawn();
    running.says("here");
    let all = fs::read_dir("/var/tmp")
        .unwrap()
        .flatten()
        .map(|entry| entry.path());
    let ours: Vec<_> = all
        .filter(|path| path.join("rootfs").join(&mark).exists())
        .collect();
    assert_eq!(ours.len(), 1, "{ours:?}");
    let modes = [ours[0].clone(), bundle.state_dir()].map(|dir| {
        let metadata = fs::metadata(dir).unwrap();
        metadata.permissions().mode() & 0o7777
    });
    assert_eq!(modes, [0o700, 0o700]);
    running.signal(Signal::INT);
    running.signal(Signal::TERM);
    running.wait();
    bundle.assert_clean();
}

#[test]
fn no_program_is_called_to_decompress() {
    let bundle = Bundle::new();
    let fakes = bundle.outside("fakes");
    let script = format!(
        "#!/bin/sh\ntouch {}\n",
        bundle.temp().join("called").display()
    );
    let mut archive = Archive::new();
    for name in [
        "unpigz",
        "pigz",
        "gzip",
        "zstd",
        "xz",
        "tar",
        "ld-linux-x86-64.so.2",
        "libnss_files.so.2",
    ] {
        fs::write(fakes.join(name), &script).unwrap();
        fs::set_permissions(fakes.join(name), fs::Permissions::from_mode(0o755)).unwrap();
        archive = archive.file(&format!("bin/{name}"), script.as_bytes());
        archive = archive.file(&format!("lib/{name}"), script.as_bytes());
    }
    let bytes = archive.0.into_inner().unwrap();
    let (dir, _) = target(&bundle);
    for (compression, stored) in [
        ("+gzip", gzip(&bytes, 0)),
        ("+zstd", zstd::encode_all(&bytes[..], 1).unwrap()),
    ] {
        let execution = json!({"Cmd": ["/bin/gzip"], "User": "5:6"});
        let layout = Layout::stored(&bundle, &execution, &digest(&bytes), compression, &stored);
        let call = bundle
            .call(&["unpack", layout.text()])
            .arg(dir.join(compression));
        call.env("PATH", fakes.to_str().unwrap()).output().ok();
    }
    assert!(!bundle.temp().join("called").exists());
}

/// `bytes`, and as many zeros.
fn gzip(bytes: &[u8], zeros: usize) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    writer.write_all(bytes).unwrap();
    let chunk = vec![0; 1 << 20];
    for _ in 0..zeros >> 20 {
        writer.write_all(&chunk).unwrap();
    }
    writer.finish().unwrap()
}

#[test]
fn decompression_bomb_stops_early_within_little_memory() {
    let bundle = Bundle::new();
    let mut header = tar::Header::new_gnu();
    header.set_path("bomb").unwrap();
    header.set_size(10 << 30);
    header.set_mode(0o644);
    header.set_cksum();
    let stored = gzip(header.as_bytes(), 256 << 20);
    let layout = Layout::stored(&bundle, &command(), &digest(b""), "+gzip", &stored);
    let (dir, made) = target(&bundle);
    let script = "exec prlimit --data=67108864 -- \"$@\"";
    let out = unpack_in(&bundle, script, &layout, &made);
    out.refused(&[
        "bomb",
        "more than 200 times as large as compressed (limit `ratio`)",
    ]);
    assert!(names(&dir).is_empty());
}

#[test]
fn layer_that_is_not_what_the_configuration_says_is_refused() {
    let bundle = Bundle::new();
    let bytes = Archive::new().file("f", b"").0.into_inner().unwrap();
    let other = digest(b"another layer");
    let layout = Layout::stored(&bundle, &command(), &other, "", &bytes);
    let (dir, made) = target(&bundle);
    let out = bundle.call(&["unpack", layout.text()]).arg(made).output();
    let found = digest(&bytes);
    out.refused(&[&format!(
        "unpacks to {found}, the image's configuration says {other}"
    )]);
    assert!(names(&dir).is_empty());
}

#[test]
fn tree_deeper_than_there_are_descriptors_is_removed() {
    let bundle = Bundle::new();
    // Each symlink begins where the last tree ended; so few that the kernel may count them twice.
    let mut archive = Archive::new();
    let mut start = String::new();
    for number in 0..15 {
        for depth in 1..=60 {
            archive = archive.dir(&format!("{start}{}", "x/".repeat(depth)));
        }
        let end = format!("{start}{}", "x/".repeat(60));
        archive = archive.symlink(&format!("s{number}"), &end);
        start = format!("s{number}/");
    }
    let mut bytes = archive.0.into_inner().unwrap();
    bytes.truncate(bytes.len() - 1024);
    bytes.extend([b'?'; 512]);
    let layout = Layout::stored(&bundle, &command(), &digest(&bytes), "", &bytes);
    let (dir, made) = target(&bundle);
    let script = "exec prlimit --nofile=256 -- \"$@\"";
    unpack_in(&bundle, script, &layout, &made).refused(&["the entry after \"s14\""]);
    assert!(names(&dir).is_empty());
}

#[test]
fn working_directory_of_an_image_leads_nowhere_outside() {
    let outside_of = |bundle: &Bundle| {
        let outside = bundle.outside("canary");
        fs::write(outside.join("file"), "").unwrap();
        outside
    };
    for directory in [
        "/w",
        "/w/new/deeper",
        "/up/new",
        "/proc/self/fd/7",
        "/fd",
        "../../new",
        "/proc/1/root/new",
    ] {
        let bundle = Bundle::new().profile(None);
        let outside = outside_of(&bundle);
        let archive = Archive::new().busybox(&bundle);
        let archive = archive.symlink("w", outside.to_str().unwrap());
        let archive = archive.symlink("up", &format!("../../../../..{}", outside.display()));
        let archive = archive.symlink("fd", "/proc/self/fd/7");
        let execution = json!({"User": "1234", "WorkingDir": directory, "Cmd": ["/bin/sh", "-c", "ls /; cat file"]});
        let layout = archive.layout(&bundle, &execution);
        let out = bundle
            .call(&["launch", "--no-store", layout.text()])
            .output();
        assert_ne!(out.code, 0, "{directory}: {out:#?}");
        assert_eq!(names(&outside), ["file"], "{directory}");
        assert!(!bundle.temp().join("new").exists() && !Path::new("/new").exists());
        bundle.assert_clean();
    }
}

#[test]
fn labels_and_volumes_of_an_image_are_never_control_input() {
    let labels = json!({
        "org.stockade.profile": "none",
        "run.oci.seccomp_bpf_data": "AAAA",
        "run.oci.hooks.stdout": "/w/stdout",
        "io.kubernetes.cri-o.Devices": "/dev/kmsg",
        "module.wasm.image/variant": "compat",
    });
    for volume in ["/../x", "/w/v", "/data", "../../x"] {
        let bundle = Bundle::new().profile(None);
        let outside = bundle.outside("canary");
        let archive = Archive::new()
            .busybox(&bundle)
            .symlink("w", outside.to_str().unwrap());
        let script = "grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/self/status; ls /dev/kmsg";
        let execution = json!({"User": "1234", "Cmd": ["/bin/sh", "-c", script], "Labels": labels, "Volumes": {volume: {}}});
        let layout = archive.layout(&bundle, &execution);
        let out = bundle
            .call(&["launch", "--no-store", layout.text()])
            .output();
        let expected = "CapEff:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n";
        assert_eq!(out.stdout, expected, "{volume}: {out:#?}");
        assert!(names(&outside).is_empty(), "{volume}");
        bundle.assert_clean();
    }
}

#[test]
fn image_without_a_command_unpacks_to_a_bundle_with_a_shell() {
    let bundle = Bundle::new();
    let layout = Archive::new().file("f", b"").layout(&bundle, &json!({}));
    let (_, made) = target(&bundle);
    bundle
        .call(&["unpack", layout.text()])
        .arg(&made)
        .output()
        .ok();
    let config: Value =
        serde_json::from_slice(&fs::read(made.join("config.json")).unwrap()).unwrap();
    assert_eq!(config["process"]["args"], json!(["sh"]));
}

#[test]
fn bundle_that_is_a_dangling_link_is_not_written_through() {
    let bundle = Bundle::new();
    let layout = Archive::new().file("f", b"").layout(&bundle, &command());
    let (dir, made) = target(&bundle);
    symlink(bundle.temp().join("elsewhere"), &made).unwrap();
    let out = bundle.call(&["unpack", layout.text()]).arg(&made).output();
    out.refused(&["it exists"]);
    assert_eq!(names(&dir), ["bundle"]);
    assert!(!bundle.temp().join("elsewhere").exists());
}
