//! What stockade itself needs around it: its state directory, its binary, the clients that call it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, MemfdFlags};

use super::{Finding, Host};
use crate::cgroup::systemd;
use crate::cmd::install::client::Client;
use crate::error::quote_path;

/// Can state be kept?
pub(super) fn state_directory(host: &Host) -> Finding {
    const ID: &str = "state-directory";
    let shown = quote_path(&host.root);
    let root = std::path::absolute(&host.root).unwrap_or_default();
    let can_write = |path: &Path| {
        path.is_dir() && rustix::fs::access(path, Access::WRITE_OK | Access::EXEC_OK).is_ok()
    };
    if root
        .ancestors()
        .find(|path| path.exists())
        .is_some_and(can_write)
    {
        return Finding::ok(ID, shown);
    }
    let mend = "set XDG_RUNTIME_DIR, or give a directory by --root";
    Finding::fail(ID, format!("{shown} cannot be written to"), mend)
}

/// Is the binary one that needs no other file, and that nobody else changes?
pub(super) fn binary(host: &Host) -> Finding {
    const ID: &str = "binary";
    let Ok(path) = std::env::current_exe() else {
        return Finding::fail(ID, "cannot be found", "mount /proc");
    };
    let shown = quote_path(&path);
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    if maps.lines().any(|line| line.contains(".so")) {
        let found = format!("{shown} needs shared libraries, which init loads no more");
        return Finding::warn(ID, found, "build it by scripts/package");
    }
    let Ok(meta) = fs::metadata(&path) else {
        return Finding::warn(ID, format!("{shown} is gone"), "install it again");
    };
    let is_others = meta.uid() != 0 && meta.uid() != host.facts.uid;
    if is_others || meta.mode() & 0o022 != 0 {
        let found = format!("{shown} can be changed by others");
        let mend = format!("chown root:root {0} && chmod 755 {0}", path.display());
        return Finding::warn(ID, found, mend);
    }
    Finding::ok(ID, format!("{shown}, static"))
}

/// Can the binary execute a copy of itself that no container can write to?
pub(super) fn sealing(host: &Host) -> Finding {
    const ID: &str = "sealing";
    if host.facts.has_capability("CAP_SYS_ADMIN") {
        return Finding::ok(ID, "by a read-only mount of the binary");
    }
    // MFD_EXEC is new in Linux 6.3, where vm.memfd_noexec may forbid it.
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let made = rustix::fs::memfd_create(c"stockade", flags | MemfdFlags::EXEC)
        .or_else(|_| rustix::fs::memfd_create(c"stockade", flags));
    match made {
        Ok(_) => Finding::ok(ID, "by a sealed copy in memory"),
        Err(errno) => {
            let words = crate::error::errno_words(errno.raw_os_error());
            Finding::fail(ID, words, "sysctl -w vm.memfd_noexec=0")
        }
    }
}

/// Can systemd make cgroups for containers, with limits of every kind?
pub(super) fn systemd(host: &Host) -> Finding {
    const ID: &str = "systemd";
    if !systemd::is_running() {
        return Finding::ok(ID, "does not run here: cgroups are made by files");
    }
    let delegation = match systemd::delegation(&host.layout, &host.facts) {
        Ok(delegation) => delegation,
        Err(error) => {
            let mend = error.try_this().unwrap_or("systemctl status");
            return Finding::warn(ID, error.to_string(), mend);
        }
    };
    let (words, version) = (delegation.whose.words(), delegation.version);
    let missing = delegation.missing();
    if missing.is_empty() {
        return Finding::ok(
            ID,
            format!("{words} ({version}) makes cgroups with every limit"),
        );
    }
    let found = format!(
        "{words} ({version}) has not been given {}: limits that need it are refused with --systemd-cgroup",
        missing.join(", ")
    );
    Finding::warn(ID, found, delegation.mend())
}

/// A program of this name in $PATH or where administrators' programs are.
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|directory| directory.join(name))
        .find(|file| file.is_file())
}

pub(super) fn containerd(_: &Host) -> Finding {
    known("containerd", Client::Containerd)
}

pub(super) fn docker(_: &Host) -> Finding {
    known("docker", Client::Docker)
}

pub(super) fn podman(_: &Host) -> Finding {
    known("podman", Client::Podman)
}

pub(super) fn crio(_: &Host) -> Finding {
    known("crio", Client::Crio)
}

/// Is the client there, and does it know stockade?
fn known(id: &'static str, client: Client) -> Finding {
    let Some(program) = program(client.program()) else {
        return Finding::ok(id, "not installed");
    };
    let shown = quote_path(&program);
    let file = client.file().expect("every client but kubernetes has one");
    let configuration = fs::read_to_string(file).unwrap_or_default();
    if client.knows_stockade(&configuration) {
        return Finding::ok(id, format!("{shown} knows stockade by \"{file}\""));
    }
    let found = format!("{shown} does not know stockade by \"{file}\"");
    Finding::warn(id, found, format!("stockade install {id} --write"))
}
