//! A root filesystem of one static busybox and its applet links.
//! The binary is copied, never linked: tests change owners and modes inside.

use std::fs;
use std::os::unix::fs::{PermissionsExt, lchown, symlink};
use std::path::Path;
use std::process::Command;

use super::installed;

const DIRECTORIES: [&str; 10] = [
    "bin", "dev", "etc", "home", "mnt", "proc", "root", "sys", "tmp", "usr",
];

const APPLETS: [&str; 62] = [
    "[",
    "awk",
    "basename",
    "cat",
    "chgrp",
    "chmod",
    "chown",
    "cp",
    "cut",
    "date",
    "dd",
    "df",
    "dirname",
    "echo",
    "egrep",
    "env",
    "expr",
    "false",
    "find",
    "grep",
    "head",
    "hostname",
    "id",
    "kill",
    "ln",
    "ls",
    "mkdir",
    "mkfifo",
    "mknod",
    "mount",
    "mountpoint",
    "mv",
    "nice",
    "ping",
    "printenv",
    "printf",
    "ps",
    "pwd",
    "readlink",
    "rm",
    "rmdir",
    "sed",
    "seq",
    "setsid",
    "sh",
    "sha256sum",
    "sleep",
    "sort",
    "stat",
    "tail",
    "tee",
    "test",
    "touch",
    "tr",
    "true",
    "tty",
    "umount",
    "uname",
    "uniq",
    "wc",
    "whoami",
    "yes",
];

/// Makes the tree at `root`, whatever the umask is.
pub(crate) fn make(root: &Path) {
    make_directory(root, 0o755);
    for name in DIRECTORIES {
        make_directory(&root.join(name), 0o755);
    }
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
    let busybox = installed("busybox").expect("busybox-static is installed");
    copy_program(&busybox, &root.join("bin/busybox"));
    for applet in APPLETS {
        symlink("busybox", root.join("bin").join(applet)).unwrap();
    }
    write(
        &root.join("etc/passwd"),
        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
    );
    write(&root.join("etc/group"), "root:x:0:\nnogroup:x:65534:\n");
}

/// Copies a program by a process that does nothing else. Whoever is forked meanwhile by another test has the descriptors of
/// this process until it executes something, and a program that is open for writing anywhere cannot be executed (ETXTBSY).
pub(crate) fn copy_program(from: &Path, to: &Path) {
    let copied = Command::new("install")
        .args(["-m", "755"])
        .args([from, to])
        .status();
    assert!(copied.unwrap().success(), "{} is copied", from.display());
}

/// Makes a directory of this mode, whatever the umask is.
pub(crate) fn make_directory(path: &Path, mode: u32) {
    fs::create_dir_all(path).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Writes a file that everybody can read.
pub(crate) fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
}

/// Gives a tree to one owner, links themselves included.
pub(crate) fn give(path: &Path, uid: u32, gid: u32) {
    lchown(path, Some(uid), Some(gid)).unwrap();
    if path.symlink_metadata().unwrap().is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            give(&entry.unwrap().path(), uid, gid);
        }
    }
}
