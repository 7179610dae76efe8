//! A Debian with the programs in it, made once from its packages: a directory that nothing writes to.
//! Not here: what is run in it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::harness::installed;

/// What the tests run, and what they look at the outcome with.
const PACKAGES: &[&str] = &[
    "busybox-static",
    "curl",
    "default-jre-headless",
    "git",
    "nginx-light",
    "nodejs",
    "openssl",
    "perl",
    "postgresql",
    "python3",
    "redis-server",
    "sqlite3",
];

/// A user of one's own, as an image has one: postgres and others want to know their name.
const USER: &str = "app:x:1000:1000::/tmp:/bin/sh\n";

/// The root's directory, or why there is none.
pub(crate) fn root() -> Result<&'static Path, String> {
    static MADE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    MADE.get_or_init(make).as_deref().map_err(Clone::clone)
}

fn make() -> Result<PathBuf, String> {
    let tree = Path::new(env!("CARGO_MANIFEST_DIR"));
    let dir = tree.join("target/test-images");
    let root = dir.join("programs");
    if root.exists() {
        return Ok(root);
    }
    installed("mmdebstrap").ok_or("mmdebstrap is not installed")?;
    if installed("apt-get").is_none() {
        return Err("the host is no Debian".to_owned());
    }
    fs::create_dir_all(&dir).unwrap();
    let work = tempfile::tempdir_in(&dir).unwrap();
    let part = work.path().join("root");
    let log = File::create(dir.join("programs.log")).unwrap();
    let mut command = Command::new("timeout");
    command
        .args(["500", "unshare", "--mount"])
        .arg(tree.join("scripts/machine/debian"))
        .arg(&part)
        .args(PACKAGES)
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    if !command.status().is_ok_and(|status| status.success()) {
        return Err("mmdebstrap fails, see target/test-images/programs.log".to_owned());
    }
    let users = part.join("etc/passwd");
    let known = fs::read_to_string(&users).unwrap();
    fs::write(users, known + USER).unwrap();
    fs::rename(part, &root).unwrap();
    Ok(root)
}
