//! Where proc and sysfs are mounted whole in the runtime namespace: what a container must not find below its root when
//! that is only moved over the old one.

use std::path::{Path, PathBuf};

use crate::cgroup::unescape;
use crate::error::{Doing, Result};
use crate::spec::{Bundle, Config};

/// The mount points, in the order of mounting. Those inside the container's root are not meant.
///
/// # Errors
/// /proc/self/mountinfo cannot be read.
pub(super) fn read(bundle: &Bundle, config: &Config) -> Result<Vec<String>> {
    let file = "/proc/self/mountinfo";
    let text = std::fs::read_to_string(file).doing(|| format!("read \"{file}\""))?;
    let root = config.root.as_ref().map_or("", |root| root.path.as_str());
    let root = bundle.path.join(root);
    let root: PathBuf = root.canonicalize().unwrap_or(root);
    Ok(of(&text, &root))
}

/// proc_pid_mountinfo(5).
fn of(mountinfo: &str, root: &Path) -> Vec<String> {
    let whole = |line: &str| {
        let (before, after) = line.split_once(" - ")?;
        let kind = after.split(' ').next()?;
        let mut fields = before.split(' ').skip(3);
        let (top, path) = (fields.next()?, unescape(fields.next()?));
        let is_whole = top == "/" && matches!(kind, "proc" | "sysfs");
        (is_whole && !Path::new(&path).starts_with(root)).then_some(path)
    };
    mountinfo.lines().filter_map(whole).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_mounts_outside_the_root_are_found_in_order() {
        let mountinfo = "\
22 1 0:20 / /proc rw - proc proc rw
23 1 0:21 / /sys rw shared:2 - sysfs sysfs rw
24 22 0:20 /sys /proc/sys ro - proc proc rw
25 23 0:25 / /sys/fs/cgroup rw - tmpfs tmpfs rw
26 1 0:26 / /a\\040b rw - proc proc rw
27 1 0:27 / /b/rootfs/proc rw - proc proc rw
";
        let found = of(mountinfo, Path::new("/b/rootfs"));
        assert_eq!(found, ["/proc", "/sys", "/a b"]);
    }
}
