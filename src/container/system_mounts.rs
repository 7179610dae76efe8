//! Where proc and sysfs are mounted whole in the runtime namespace: what a container must not find below its root when
//! that is only moved over the old one.

use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};

use crate::cgroup::unescape;
use crate::error::{Doing, Error, Result, quote};
use crate::spec::{Bundle, Config};

/// The mount points, in the order of mounting. Those inside the container's root are not meant.
///
/// # Errors
/// /proc/self/mountinfo cannot be read, or another mount hides one of them, so that no path leads to it.
pub(super) fn read(bundle: &Bundle, config: &Config) -> Result<Vec<String>> {
    let file = "/proc/self/mountinfo";
    let text = std::fs::read_to_string(file).doing(|| format!("read \"{file}\""))?;
    let root = config.root.as_ref().map_or("", |root| root.path.as_str());
    let root = bundle.path.join(root);
    let root: PathBuf = root.canonicalize().unwrap_or(root);
    let mounts = of(&text, &root);
    for (_, path) in &mounts {
        // One of them on another is taken away before it.
        let is_seen = top(path).is_some_and(|top| mounts.iter().any(|(id, _)| *id == top));
        if !is_seen {
            let doing = format!("take {} out of the container's reach", quote(path));
            return Err(Error::new(doing, "another mount hides it")
                .hint("unmount it, or leave out --no-pivot"));
        }
    }
    Ok(mounts.into_iter().map(|(_, path)| path).collect())
}

/// The id of the mount that the path leads to.
fn top(path: &str) -> Option<u64> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    let found = statx(CWD, path, flags, StatxFlags::MNT_ID).ok()?;
    Some(found.stx_mnt_id)
}

/// Ids and paths by proc_pid_mountinfo(5).
fn of(mountinfo: &str, root: &Path) -> Vec<(u64, String)> {
    let whole = |line: &str| {
        let (before, after) = line.split_once(" - ")?;
        let kind = after.split(' ').next()?;
        let mut fields = before.split(' ');
        let id = fields.next()?.parse().ok()?;
        let mut fields = fields.skip(2);
        let (top, path) = (fields.next()?, unescape(fields.next()?));
        let is_whole = top == "/" && matches!(kind, "proc" | "sysfs");
        (is_whole && !Path::new(&path).starts_with(root)).then_some((id, path))
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
        let expected = [(22, "/proc"), (23, "/sys"), (26, "/a b")];
        assert_eq!(found, expected.map(|(id, path)| (id, path.to_owned())));
    }
}
