//! What the images hold: busybox and everything that a root filesystem can have, changed from layer to layer; a Debian.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags};

use super::installed;
use crate::harness::Tree;

/// `VFS_CAP_REVISION_2` with `cap_net_raw` permitted and effective.
const CAPABILITY: [u8; 20] = [
    1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];

/// Fills an empty root filesystem.
pub(super) fn first_layer(root: &Path) {
    let at = |name: &str| root.join(name);
    for name in [
        "bin",
        "etc",
        "dev",
        "hidden/below",
        "gone/deep/deeper",
        "var/empty",
        "replaced",
        "sticky",
        "odd",
    ] {
        fs::create_dir_all(at(name)).unwrap();
    }
    fs::copy(installed("busybox").unwrap(), at("bin/busybox")).unwrap();
    for name in ["sh", "cat", "id", "grep"] {
        symlink("busybox", at("bin").join(name)).unwrap();
    }
    fs::write(at("etc/passwd"), "root:x:0:0::/:/bin/sh\n").unwrap();
    for name in [
        "hidden/old",
        "hidden/below/old",
        "gone/deep/deeper/f",
        "gone-by-name",
        "changed",
        "replaced/f",
    ] {
        fs::write(at(name), name).unwrap();
    }
    fs::write(at("etc/one"), "linked").unwrap();
    fs::hard_link(at("etc/one"), at("etc/two")).unwrap();
    fs::hard_link(at("etc/one"), at("var/three")).unwrap();
    symlink("/nowhere/at all", at("dangling")).unwrap();
    symlink("../../../../etc/passwd", at("odd/up")).unwrap();
    symlink("hidden", at("through")).unwrap();
    fs::write(at("odd/a name with spaces, ü and\ttab"), "odd").unwrap();
    fs::write(at("odd").join("n".repeat(255)), "long").unwrap();
    fs::create_dir_all(at(&"deep/".repeat(60))).unwrap();
    let mut sparse = File::create(at("odd/sparse")).unwrap();
    sparse.set_len(3 << 20).unwrap();
    std::io::Write::write_all(&mut sparse, b"begins").unwrap();
    nodes(root);
    owners_and_modes(root);
    attributes(root);
    times(root);
}

fn nodes(root: &Path) {
    let make = |name: &str, kind, mode, device| {
        let mode = Mode::from_raw_mode(mode);
        rustix::fs::mknodat(CWD, root.join(name), kind, mode, device).unwrap();
    };
    make(
        "dev/null",
        FileType::CharacterDevice,
        0o666,
        rustix::fs::makedev(1, 3),
    );
    make(
        "dev/large",
        FileType::CharacterDevice,
        0o600,
        rustix::fs::makedev(300, 70_000),
    );
    make(
        "dev/disk",
        FileType::BlockDevice,
        0o640,
        rustix::fs::makedev(7, 99),
    );
    make("dev/pipe", FileType::Fifo, 0o620, 0);
}

fn owners_and_modes(root: &Path) {
    for (name, uid, gid, mode) in [
        ("etc/passwd", 0, 0, 0o644),
        ("changed", 1234, 5678, 0o4755),
        ("etc/one", 2_147_483_646, 4_294_967_294, 0o2711),
        ("odd", 3_000_000, 0, 0o2770),
        ("sticky", 0, 50, 0o1777),
        ("var/empty", 65_534, 65_534, 0o000),
        ("dev/disk", 0, 6, 0o640),
    ] {
        chown(root.join(name), Some(uid), Some(gid)).unwrap();
        fs::set_permissions(root.join(name), Permissions::from_mode(mode)).unwrap();
    }
    lchown(root.join("dangling"), Some(77), Some(88)).unwrap();
}

fn attributes(root: &Path) {
    for (path, name, value) in [
        ("odd", "user.directory", &b"of a directory"[..]),
        ("changed", "user.binary", b"\0\xff=\n"),
        ("changed", "security.capability", &CAPABILITY),
        ("etc/one", "user.empty", b""),
    ] {
        rustix::fs::setxattr(root.join(path), name, value, XattrFlags::empty()).unwrap();
    }
}

/// Files, links and directories, from before 1970, with parts of a second, and far ahead.
fn times(root: &Path) {
    for (path, seconds, nanoseconds) in [
        ("etc/passwd", 1_000_000_000, 0),
        ("etc/one", 1_234_567_890, 123_456_789),
        ("bin/sh", 1_500_000_000, 5),
        ("dangling", -86_400, 0),
        ("gone-by-name", -5, 0),
        ("odd/sparse", -1, 750_000_000),
        ("changed", 4_102_444_800, 0),
        ("dev/pipe", 1_600_000_000, 0),
        ("dev/null", 1_600_000_001, 500_000_000),
        ("odd", 1_700_000_000, 999_999_999),
        ("var/empty", 0, 0),
        ("hidden/below", 1, 1),
        ("etc", 1_111_111_111, 0),
    ] {
        let time = Timespec {
            tv_sec: seconds,
            tv_nsec: nanoseconds,
        };
        let times = Timestamps {
            last_access: time,
            last_modification: time,
        };
        rustix::fs::utimensat(CWD, root.join(path), &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    }
}

/// Changes what the first layer has: removed, replaced by another type, rewritten, one of several links, attributes.
pub(super) fn second_layer(root: &Path) {
    let at = |name: &str| root.join(name);
    fs::remove_dir_all(at("gone")).unwrap();
    fs::remove_file(at("dev/pipe")).unwrap();
    fs::remove_dir_all(at("replaced")).unwrap();
    symlink("hidden/old", at("replaced")).unwrap();
    fs::remove_file(at("odd/up")).unwrap();
    fs::create_dir_all(at("odd/up/now a directory")).unwrap();
    fs::remove_file(at("changed")).unwrap();
    fs::write(at("changed"), "by the second layer").unwrap();
    fs::remove_file(at("var/three")).unwrap();
    fs::write(at("var/three"), "no longer a link").unwrap();
    fs::write(at("etc/new"), "new").unwrap();
    fs::hard_link(at("etc/new"), at("var/new")).unwrap();
    fs::set_permissions(at("sticky"), Permissions::from_mode(0o3755)).unwrap();
    rustix::fs::removexattr(at("odd"), "user.directory").unwrap();
    rustix::fs::setxattr(at("odd"), "user.other", b"1", XattrFlags::empty()).unwrap();
}

/// What an opaque directory has instead of what was there.
pub(super) fn opaque_layer(dir: &Path) {
    fs::create_dir_all(dir.join("only")).unwrap();
    fs::write(dir.join("only/new"), "new").unwrap();
}

/// Asserts what must be so at the end whoever unpacks: otherwise two programs could agree on nothing at all.
pub(super) fn assert_final(tree: &Tree) {
    let names = |dir: &str| -> Vec<&str> {
        let below = tree
            .keys()
            .filter(|path| path.parent() == Some(Path::new(dir)));
        below
            .map(|path| path.file_name().unwrap().to_str().unwrap())
            .collect()
    };
    assert_eq!(names("hidden"), ["only"]);
    assert_eq!(names("hidden/only"), ["new"]);
    assert_eq!(names("dev"), ["disk", "large", "null"]);
    assert_eq!(names("etc"), ["new", "one", "passwd", "two"]);
    for gone in ["gone", "gone-by-name", "replaced/f"] {
        assert!(!tree.contains_key(Path::new(gone)), "{gone}");
    }
    let of = |path: &str| &tree[Path::new(path)];
    let links = |path: &str| {
        of(path)
            .names
            .iter()
            .map(|name| name.to_str().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(links("etc/one"), ["etc/one", "etc/two"]);
    assert_eq!(links("etc/new"), ["etc/new", "var/new"]);
    assert_eq!(of("replaced").content, "hidden/old");
    assert_eq!(of("etc/one").owner, (2_147_483_646, 4_294_967_294));
    assert_eq!(of("dev/large").content, "300:70000");
    assert_eq!(
        of("odd").attributes.keys().collect::<Vec<_>>(),
        ["user.other"]
    );
    assert_eq!(of("dangling").mtime, (-86_400, 0));
    assert_eq!(of("sticky").mode, 0o3755);
}

/// A tar archive of a minimal Debian or Ubuntu, of the same release as the host; made once, since it comes from the network.
pub(crate) fn debian() -> Result<PathBuf, String> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-images");
    let release = release().ok_or("the host is no Debian whose release is known")?;
    let file = dir.join(format!("{release}.tar"));
    if file.exists() {
        return Ok(file);
    }
    let program = installed("debootstrap").ok_or("debootstrap is not installed")?;
    fs::create_dir_all(&dir).unwrap();
    let work = tempfile::tempdir_in(&dir).unwrap();
    let log = File::create(dir.join("debootstrap.log")).unwrap();
    // What it mounts goes with its mount namespace, also if it is killed.
    let mut command = Command::new("timeout");
    let limit = Duration::from_secs(400).as_secs().to_string();
    command.args([&limit, "unshare", "--mount"]).arg(program);
    command
        .args(["--variant=minbase", &release])
        .arg(work.path().join("root"));
    command.stdout(log.try_clone().unwrap()).stderr(log);
    if !command.status().is_ok_and(|status| status.success()) {
        return Err("debootstrap fails, see target/test-images/debootstrap.log".to_owned());
    }
    let part = work.path().join("tar");
    let mut command = Command::new("tar");
    command.args([
        "--format=pax",
        "--xattrs",
        "--xattrs-include=*",
        "--numeric-owner",
        "-cf",
    ]);
    command
        .arg(&part)
        .arg("-C")
        .arg(work.path().join("root"))
        .arg(".");
    assert!(command.status().unwrap().success());
    fs::rename(part, &file).unwrap();
    Ok(file)
}

fn release() -> Option<String> {
    let text = fs::read_to_string("/etc/os-release").ok()?;
    let name = text
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))?;
    Some(name.trim_matches('"').to_owned())
}
