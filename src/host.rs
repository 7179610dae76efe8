//! Facts about the host, read once: kernel, capabilities, security modules, who we are.
//! Not here: the cgroup hierarchies (`cgroup`) and what seccomp knows (`seccomp`).

use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::error::{Doing, Error, Result, quote};
use crate::names;

/// The oldest kernel with every call that the design needs (cgroup.kill is the newest of them).
const FLOOR: (u32, u32) = (5, 14);
/// The inode of the initial user namespace (`PROC_USER_INIT_INO`, include/linux/proc_ns.h).
const INITIAL_USER_NAMESPACE: u64 = 0xEFFF_FFFD;
const USER_NAMESPACE: &str = "/proc/self/ns/user";
/// The file system magic of selinuxfs (include/uapi/linux/magic.h).
const SELINUX_MAGIC: i64 = 0xF97C_FF8C;

/// What the host is, as far as it decides what a plan may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Version and patch level of the kernel, at least 5.14.
    pub kernel: (u32, u32),
    /// Number of the last capability that the kernel knows.
    pub last_capability: u8,
    /// Our own effective capabilities, one bit each; not CAP_SETGID where our user namespace denies setgroups(2), which
    /// those below it inherit (user_namespaces(7)).
    pub capabilities: u64,
    /// Whether AppArmor is in force.
    pub apparmor: bool,
    /// Whether SELinux is in force.
    pub selinux: bool,
    /// Our effective user id.
    pub uid: u32,
    /// Our effective group id.
    pub gid: u32,
    /// Whether we are in a user namespace other than the initial one.
    pub user_namespace: bool,
    /// Whether our user namespace has given up setgroups(2), as one that was made without privileges has.
    pub denies_setgroups: bool,
}

impl Facts {
    /// Reads the facts from proc(5) and sysfs(5).
    ///
    /// # Errors
    /// A kernel older than 5.14, or a /proc that cannot be read.
    pub fn read() -> Result<Self> {
        let last_capability = read("/proc/sys/kernel/cap_last_cap")?;
        let denies_setgroups = read("/proc/self/setgroups")?.trim() == "deny";
        let denied = match names::capability("CAP_SETGID") {
            Some(number) if denies_setgroups => 1 << number,
            _ => 0,
        };
        Ok(Self {
            kernel: new_enough(&read("/proc/sys/kernel/osrelease")?)?,
            last_capability: last_capability
                .trim()
                .parse()
                .doing(|| "read \"/proc/sys/kernel/cap_last_cap\"")?,
            capabilities: effective_capabilities(&read("/proc/self/status")?)? & !denied,
            apparmor: fs::read("/sys/module/apparmor/parameters/enabled")
                .is_ok_and(|text| text.first() == Some(&b'Y')),
            selinux: rustix::fs::statfs("/sys/fs/selinux")
                .is_ok_and(|found| found.f_type == SELINUX_MAGIC),
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            user_namespace: fs::metadata(USER_NAMESPACE)
                .doing(|| format!("read {}", quote(USER_NAMESPACE)))?
                .ino()
                != INITIAL_USER_NAMESPACE,
            denies_setgroups,
        })
    }

    /// Whether we have a capability in effect, by its name such as `CAP_SYS_ADMIN`.
    pub fn has_capability(&self, name: &str) -> bool {
        names::capability(name).is_some_and(|number| self.capabilities >> number & 1 == 1)
    }
}

/// Whether we are in a user namespace other than the initial one; without /proc nothing says so.
pub fn is_in_user_namespace() -> bool {
    fs::metadata(USER_NAMESPACE).is_ok_and(|found| found.ino() != INITIAL_USER_NAMESPACE)
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(path)
        .map_err(|cause| Error::new(format!("read {}", quote(path)), cause).hint("mount /proc"))
}

/// Parses a kernel release such as `5.14.0-427.el9.x86_64` and refuses what is below the floor.
fn new_enough(release: &str) -> Result<(u32, u32)> {
    let release = release.trim();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    let mut next = || numbers.next().and_then(|digits| digits.parse().ok());
    let (Some(version), Some(patch_level)) = (next(), next()) else {
        let cause = format!("cannot read {}", quote(release));
        return Err(Error::new("find the kernel's version", cause));
    };
    if (version, patch_level) < FLOOR {
        let cause = format!(
            "Linux {version}.{patch_level} is older than {}.{}",
            FLOOR.0, FLOOR.1
        );
        return Err(Error::new("check the kernel", cause));
    }
    Ok((version, patch_level))
}

/// The `CapEff` line of /proc/self/status.
fn effective_capabilities(status: &str) -> Result<u64> {
    status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok())
        .ok_or_else(|| Error::new("read \"/proc/self/status\"", "no CapEff line"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_releases_of_distributions_are_read() {
        assert_eq!(new_enough("5.14.0-427.el9.x86_64\n"), Ok((5, 14)));
        assert_eq!(new_enough("6.18-rc1"), Ok((6, 18)));
        assert_eq!(new_enough("10.0"), Ok((10, 0)));
    }

    #[test]
    fn an_old_kernel_is_refused_in_one_line() {
        let error = new_enough("5.13.19").unwrap_err();
        assert_eq!(
            error.to_string(),
            "check the kernel: Linux 5.13 is older than 5.14"
        );
        assert!(new_enough("").is_err());
    }

    #[test]
    fn this_host_can_be_read() {
        let facts = Facts::read().unwrap();
        assert!(facts.last_capability >= 40);
    }
}
