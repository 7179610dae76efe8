//! What a container must not leave: state, cgroups, mounts and processes; finding it, and removing it after a failure.
//! A container is found by its id, which is in its cgroup's path, and by its bundle's directory.

use std::fs;
use std::io::Write as _;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Everything that is left of the container `id` and of the directory `dir`, in words.
pub(crate) fn found(id: &str, dir: &Path, state: &Path) -> Vec<String> {
    let mut found = Vec::new();
    found.extend(entries(state).iter().map(|path| shown("state", path)));
    found.extend(cgroups_named(id).iter().map(|path| shown("cgroup", path)));
    found.extend(mounts_below(dir).iter().map(|path| shown("mount", path)));
    for pid in processes(id, dir) {
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        found.push(format!(
            "process {pid} {:?}",
            String::from_utf8_lossy(&command)
        ));
    }
    found
}

/// Removes it all, so that one failed test does not disturb the next.
pub(crate) fn remove(id: &str, dir: &Path) {
    let mut remover = remover();
    let mut input = remover.stdin.take().unwrap();
    writeln!(input, "{id} {}", dir.display()).unwrap();
    drop(input);
    remover.wait().unwrap();
}

/// Has it all removed, too, if this process is killed before the test can do so.
pub(crate) fn keep(id: &str, dir: &Path) {
    static KEEPER: OnceLock<Mutex<ChildStdin>> = OnceLock::new();
    let input = KEEPER.get_or_init(|| Mutex::new(remover().stdin.take().unwrap()));
    let mut input = input.lock().unwrap_or_else(PoisonError::into_inner);
    writeln!(input, "{id} {}", dir.display()).unwrap();
}

/// Waits for the end of its input, in a process group of its own: what ends the tests is not for it.
fn remover() -> Child {
    Command::new("sh")
        .args(["-c", include_str!("remove.sh")])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap()
}

/// The cgroup directories of every hierarchy whose name has this text, and all below them, parents first.
pub(crate) fn cgroups_named(text: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for line in mountinfo() {
        let (Some(point), Some((_, kind))) = (line.split(' ').nth(4), line.split_once(" - "))
        else {
            continue;
        };
        if kind.starts_with("cgroup") {
            collect(Path::new(point), text, false, &mut found);
        }
    }
    found
}

fn collect(dir: &Path, text: &str, inside: bool, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            let named = inside || entry.file_name().to_string_lossy().contains(text);
            if named {
                found.push(entry.path());
            }
            collect(&entry.path(), text, named, found);
        }
    }
}

/// Mount points below `dir`, in mount order.
fn mounts_below(dir: &Path) -> Vec<PathBuf> {
    mountinfo()
        .iter()
        .filter_map(|line| line.split(' ').nth(4))
        .map(PathBuf::from)
        .filter(|point| point.starts_with(dir))
        .collect()
}

/// Processes whose cgroup or command line names the container; zombies are their parents' business.
fn processes(id: &str, dir: &Path) -> Vec<i32> {
    let dir = dir.to_str().unwrap();
    let me = std::process::id().to_string();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Ok(pid) = name.parse() else { continue };
        let file = |file: &str| fs::read(entry.path().join(file)).unwrap_or_default();
        let text =
            String::from_utf8_lossy(&[file("cgroup"), file("cmdline")].concat()).into_owned();
        let is_zombie = String::from_utf8_lossy(&file("status")).contains("State:\tZ");
        if name != me && !is_zombie && (text.contains(id) || text.contains(dir)) {
            found.push(pid);
        }
    }
    found
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    entries.flatten().map(|entry| entry.path()).collect()
}

fn mountinfo() -> Vec<String> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap();
    text.lines().map(str::to_owned).collect()
}

fn shown(what: &str, path: &Path) -> String {
    format!("{what} {}", path.display())
}
