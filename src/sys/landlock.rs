//! landlock(7): making a ruleset, adding to it, and putting this process under it.
//! Which of a profile's words means what is in `profile`. Nothing here allocates, so the child may call it.
#![allow(
    unsafe_code,
    reason = "Landlock has no safe wrapper that fits the child"
)]

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::{Errno, SysResult, check};

/// Declares rights once: name, value and what they let a process do.
macro_rules! rights {
    ($($name:ident = $bit:literal: $doc:literal,)*) => {
        $(#[doc = $doc] pub const $name: u64 = 1 << $bit;)*
    };
}

// LANDLOCK_ACCESS_FS_*
rights! {
    EXECUTE = 0: "Execute a file.",
    WRITE_FILE = 1: "Open a file for writing.",
    READ_FILE = 2: "Open a file for reading.",
    READ_DIR = 3: "Open a directory, or list it.",
    REMOVE_DIR = 4: "Remove an empty directory, or rename one.",
    REMOVE_FILE = 5: "Unlink a file, or rename one.",
    MAKE_CHAR = 6: "Make a character device, or put one there.",
    MAKE_DIR = 7: "Make a directory, or put one there.",
    MAKE_REG = 8: "Make a regular file, or put one there.",
    MAKE_SOCK = 9: "Make a UNIX socket, or put one there.",
    MAKE_FIFO = 10: "Make a FIFO, or put one there.",
    MAKE_BLOCK = 11: "Make a block device, or put one there.",
    MAKE_SYM = 12: "Make a symbolic link, or put one there.",
    REFER = 13: "Link or rename a file from or to another directory; refused by every ruleset about files that does not allow it.",
    TRUNCATE = 14: "Cut a file off.",
    IOCTL_DEV = 15: "Make requests by ioctl(2) to a device that was opened since.",
}

/// Those that a rule for anything but a directory may have.
pub const OF_FILES: u64 = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV;

// LANDLOCK_ACCESS_NET_*
rights! {
    BIND_TCP = 0: "Bind a TCP socket to a local port.",
    CONNECT_TCP = 1: "Connect a TCP socket to a remote port.",
}

// LANDLOCK_SCOPE_*
rights! {
    ABSTRACT_UNIX_SOCKET = 0: "No connection to an abstract UNIX socket of a process outside of the domain.",
    SIGNAL = 1: "No signal to a process outside of the domain.",
}

/// The version of Landlock with the newest of the rights and scopes above.
pub const NEWEST: u32 = 6;

const RULE_PATH_BENEATH: libc::c_int = 1;
const RULE_NET_PORT: libc::c_int = 2;
const CREATE_RULESET_VERSION: libc::c_uint = 1;

/// `struct landlock_ruleset_attr`; an older kernel takes a longer one whose end is zero.
#[repr(C)]
struct RulesetAttr {
    files: u64,
    ports: u64,
    scopes: u64,
}

/// `struct landlock_path_beneath_attr`.
#[repr(C, packed)]
struct PathBeneathAttr {
    rights: u64,
    parent: i32,
}

/// `struct landlock_net_port_attr`.
#[repr(C)]
struct NetPortAttr {
    rights: u64,
    port: u64,
}

/// The version of Landlock that the kernel has; 0 where it has none, be it not built or not started, or where a filter
/// keeps it from us.
pub fn abi() -> u32 {
    let none = std::ptr::null::<RulesetAttr>();
    // SAFETY: with this flag the kernel takes no attributes, and makes no descriptor.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            none,
            0usize,
            CREATE_RULESET_VERSION,
        )
    };
    u32::try_from(answer).unwrap_or(0)
}

/// A ruleset that refuses these rights to files and ports where no rule allows them, and has these scopes.
///
/// # Errors
/// `EOPNOTSUPP` where Landlock was not started, `EINVAL` for a right that the kernel does not know, `ENOMSG` for none.
pub fn create(files: u64, ports: u64, scopes: u64) -> SysResult<OwnedFd> {
    let attr = RulesetAttr {
        files,
        ports,
        scopes,
    };
    // SAFETY: the attributes are of the size that is told, and the kernel only reads them.
    let fd = check(unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            &raw const attr,
            size_of::<RulesetAttr>(),
            0u32,
        )
    })?;
    let fd = RawFd::try_from(fd).map_err(|_| Errno::BADF)?;
    // SAFETY: the kernel just made this descriptor for us, close-on-exec, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Allows rights to `place` and everything below it.
///
/// # Errors
/// `EINVAL` for rights that the ruleset does not handle, or others than [`OF_FILES`] where it is no directory.
pub fn allow_below(ruleset: BorrowedFd<'_>, place: BorrowedFd<'_>, rights: u64) -> SysResult<()> {
    let attr = PathBeneathAttr {
        rights,
        parent: place.as_raw_fd(),
    };
    add_rule(ruleset, RULE_PATH_BENEATH, &raw const attr)
}

/// Allows rights to a TCP port; 0 is what the kernel chooses of its range.
///
/// # Errors
/// `EINVAL` for rights that the ruleset does not handle.
pub fn allow_port(ruleset: BorrowedFd<'_>, port: u16, rights: u64) -> SysResult<()> {
    let attr = NetPortAttr {
        rights,
        port: port.into(),
    };
    add_rule(ruleset, RULE_NET_PORT, &raw const attr)
}

fn add_rule<T>(ruleset: BorrowedFd<'_>, kind: libc::c_int, attr: *const T) -> SysResult<()> {
    // SAFETY: both callers pass a live value of the type that the kind of rule has; the kernel only reads it.
    check(unsafe {
        libc::syscall(
            libc::SYS_landlock_add_rule,
            ruleset.as_raw_fd(),
            kind,
            attr,
            0u32,
        )
    })
    .map(drop)
}

/// Puts the calling thread, and what it becomes, under the ruleset for good.
///
/// # Errors
/// `EPERM` without no_new_privs and CAP_SYS_ADMIN, `E2BIG` for the 17th ruleset on top of each other.
pub fn restrict(ruleset: BorrowedFd<'_>) -> SysResult<()> {
    // SAFETY: takes no pointers.
    check(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0u32) })
        .map(drop)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn the_kernel_reads_attributes_as_they_are_laid_out_here() {
        if abi() < 6 {
            return;
        }
        let ruleset = create(READ_DIR | WRITE_FILE, BIND_TCP, SIGNAL).unwrap();
        let root = std::fs::File::open("/").unwrap();
        assert_eq!(
            allow_below(ruleset.as_fd(), root.as_fd(), READ_DIR | WRITE_FILE),
            Ok(())
        );
        let others = allow_below(ruleset.as_fd(), root.as_fd(), READ_FILE);
        assert_eq!(others, Err(Errno::INVAL));
        assert_eq!(allow_port(ruleset.as_fd(), 80, BIND_TCP), Ok(()));
        let others = allow_port(ruleset.as_fd(), 80, CONNECT_TCP);
        assert_eq!(others, Err(Errno::INVAL));
    }

    #[test]
    fn a_ruleset_of_nothing_is_none() {
        if abi() > 0 {
            assert_eq!(create(0, 0, 0).unwrap_err(), Errno::NOMSG);
        }
    }
}
