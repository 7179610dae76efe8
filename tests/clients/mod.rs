//! What the tests of the clients share: the runtimes that take part, a private place for a client, the count of checks.
//! Not here: the clients themselves and their checks (clients_containerd.rs, clients_docker.rs, clients_podman.rs,
//! clients_cri.rs).

mod cri;
mod engine;
pub(crate) mod image;
mod place;
mod pod;
mod said;
mod score;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::harness::{SOON, becomes, cgroups_named, installed, is_foreign, patience, skip};

pub(crate) use cri::{Cri, has_grpc};
pub(crate) use engine::{CHECKS as ENGINE_CHECKS, Engine};
pub(crate) use place::Place;
pub(crate) use pod::{Container, Node, Pod, has_left_nothing, text};
pub(crate) use said::{Said, Verdict};
pub(crate) use score::{Check, Excuse, hold};

/// The name of the image that every client gets: busybox, with `sh` as its command.
pub(crate) const IMAGE: &str = "docker.io/library/box:1";
/// The same with the user 65534, the directory /tmp and a health check in its configuration.
pub(crate) const CONFIGURED: &str = "docker.io/library/configured:1";

/// The image of pods' sandboxes: one static program.
pub(crate) const PAUSE: &str = "docker.io/library/pause:1";

/// One runtime that a client is tried with.
#[derive(Debug, Clone)]
pub(crate) struct Lane {
    /// How the client knows it, and how it is shown.
    pub(crate) name: &'static str,
    /// The program.
    pub(crate) runtime: PathBuf,
}

/// The runtime that always fails, which no check may pass with.
pub(crate) const REFUSES: &str = "refuses";

/// The runtimes: the reference, stockade by these names, which choose a profile, and one that always fails.
pub(crate) fn lanes(place: &Place, names: &[&'static str]) -> Vec<Lane> {
    let bin = place.directory("bin");
    let mut lanes = vec![Lane {
        name: "runc",
        runtime: installed("runc").expect("was looked for"),
    }];
    for &name in names {
        let runtime = bin.join(name);
        if !runtime.exists() {
            symlink(crate::harness::runtime(), &runtime).unwrap();
        }
        lanes.push(Lane { name, runtime });
    }
    lanes.push(refusing(&bin));
    lanes
}

fn refusing(bin: &Path) -> Lane {
    let runtime = bin.join(REFUSES);
    fs::write(&runtime, "#!/bin/sh\nexit 1\n").unwrap();
    fs::set_permissions(&runtime, fs::Permissions::from_mode(0o755)).unwrap();
    Lane {
        name: REFUSES,
        runtime,
    }
}

/// Are these programs and the reference runtime there? If not, says so.
pub(crate) fn are_installed(programs: &[&str]) -> bool {
    if is_foreign() {
        skip("the clients are tried with stockade and with runc side by side");
        return false;
    }
    for program in programs.iter().chain(&["runc", "busybox"]) {
        if installed(program).is_none() {
            skip(&format!("{program} is not installed"));
            return false;
        }
    }
    true
}

/// The first of these files in a cgroup whose path has this word, as one line.
pub(crate) fn limit(cgroup: &str, files: &[&str]) -> Result<String, String> {
    let groups = cgroups_named(cgroup);
    let texts = files
        .iter()
        .flat_map(|file| groups.iter().map(move |group| group.join(file)))
        .filter_map(|path| fs::read_to_string(path).ok());
    let first = texts.map(|text| text.trim().to_owned()).next();
    first.ok_or_else(|| format!("none of {files:?} in {groups:?}"))
}

/// Fails with what was found instead.
#[expect(
    clippy::needless_pass_by_value,
    reason = "a claim reads better without references"
)]
pub(crate) fn same<T: PartialEq + std::fmt::Debug>(found: T, expected: T) -> Verdict {
    if found == expected {
        Ok(())
    } else {
        Err(format!("{expected:?} was expected, {found:?} was found"))
    }
}

/// Fails unless it becomes so.
pub(crate) fn soon(what: &str, is_so: impl FnMut() -> bool) -> Verdict {
    if becomes(patience(SOON), is_so) {
        Ok(())
    } else {
        Err(format!("never happened: {what}"))
    }
}

/// The arguments of script(1) that give a command a terminal, with the command's own exit code. The words are quoted
/// for a shell.
pub(crate) fn in_terminal(words: &[String]) -> Vec<String> {
    let quoted: Vec<String> = words
        .iter()
        .map(|word| format!("'{}'", word.replace('\'', r"'\''")))
        .collect();
    ["-qefc", &quoted.join(" "), "/dev/null"]
        .map(str::to_owned)
        .to_vec()
}
