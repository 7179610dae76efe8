//! The calls that a step can fail in, by the name that their manual page has.
//! The child sends the number; the parent looks the word up.

/// Declares the calls once: variant and name.
macro_rules! calls {
    ($($variant:ident $name:literal,)*) => {
        /// A call of the child.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u32)]
        pub enum Call {
            $(#[doc = $name] $variant,)*
        }

        impl Call {
            /// All calls, at the place of their number.
            const ALL: &[(Self, &'static str)] = &[$((Self::$variant, $name),)*];
        }
    };
}

calls! {
    Setns "setns",
    Unshare "unshare",
    Open "open",
    Openat2 "openat2",
    Write "write",
    Read "read",
    Setgroups "setgroups",
    Setresuid "setresuid",
    Setresgid "setresgid",
    Setsid "setsid",
    Keyctl "keyctl",
    Mount "mount",
    OpenTree "open_tree",
    MoveMount "move_mount",
    MountSetattr "mount_setattr",
    Fsopen "fsopen",
    FsconfigSource "fsconfig source",
    Fsconfig "fsconfig",
    FsconfigCreate "fsconfig create",
    Fsmount "fsmount",
    Fstatvfs "fstatvfs",
    Fstat "fstat",
    Fstatfs "fstatfs",
    Mkdir "mkdir",
    Mknod "mknod",
    Chown "chown",
    Chmod "chmod",
    Symlink "symlink",
    Readlink "readlink",
    Getdents "getdents",
    Copy "copy",
    Socket "socket",
    Ioctl "ioctl",
    Dup "dup3",
    Sethostname "sethostname",
    Setdomainname "setdomainname",
    PivotRoot "pivot_root",
    Umount "umount",
    Chroot "chroot",
    Chdir "chdir",
    Getcwd "getcwd",
    Personality "personality",
    SchedSetattr "sched_setattr",
    SchedSetaffinity "sched_setaffinity",
    IoprioSet "ioprio_set",
    SetMempolicy "set_mempolicy",
    Prctl "prctl",
    Capset "capset",
    Capget "capget",
    Access "access",
    Prlimit "prlimit",
    CloseRange "close_range",
    Getgroups "getgroups",
    Seccomp "seccomp",
    Execve "execve",
    Clone "clone",
    Pipe "pipe",
    Wait "wait",
    Pidfd "pidfd_open",
    Compare "read-back",
    Receive "recvmsg",
    Send "sendmsg",
    Accept "accept",
    Hook "hook",
    LandlockCreateRuleset "landlock_create_ruleset",
    LandlockAddRule "landlock_add_rule",
    LandlockRestrictSelf "landlock_restrict_self",
}

impl Call {
    /// The call with this number.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.get(number as usize).map(|(call, _)| *call)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

/// Why the child gave up: everything the parent needs to find the words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Failure {
    /// Number of the step in the plan, counted over all phases.
    pub step: u32,
    /// Which of the step's calls failed; see [`Call`].
    pub call: u32,
    /// The errno, or 0 where the step found a difference instead.
    pub errno: i32,
    /// What the call itself can add: the number of a candidate, of a descriptor, the value found.
    pub detail: u64,
}

/// What a read-back can find different; sent in place of an errno.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum Difference {
    /// Flags of a mount that was just made.
    MountFlags = -1,
    /// Type or number of a device.
    Device = -2,
    /// User ids.
    Uid = -3,
    /// Group ids.
    Gid = -4,
    /// Supplementary groups.
    Groups = -5,
    /// Effective, permitted or inheritable set.
    Capabilities = -6,
    /// Ambient set.
    Ambient = -7,
    /// Bounding set.
    Bounding = -8,
    /// no_new_privs.
    NoNewPrivileges = -9,
    /// Read-only root.
    ReadonlyRoot = -10,
    /// A resource limit.
    Limit = -11,
    /// The working directory is not inside the root.
    OutsideRoot = -12,
    /// Something else is there already.
    Exists = -13,
    /// A mount target that must be an ordinary directory is something else.
    NotDirectory = -14,
    /// A hook ended with a failure.
    HookFailed = -15,
    /// A hook ran out of time.
    HookTimeout = -16,
    /// The parent is gone.
    ParentGone = -17,
    /// There is no devpts where terminals are made.
    NoDevpts = -18,
    /// A link or directory where a terminal is to be mounted.
    NotFile = -19,
    /// Two mounts that are shared with the host in one place.
    SharedTwice = -20,
    /// Securebits.
    Securebits = -21,
    /// PR_SET_MDWE.
    WriteExecute = -22,
}

impl Difference {
    const ALL: &[(Self, &'static str)] = &[
        (
            Self::MountFlags,
            "the kernel applied other mount flags than asked for",
        ),
        (Self::Device, "not the device that it should be"),
        (Self::Uid, "the user ids are not the configured ones"),
        (Self::Gid, "the group ids are not the configured ones"),
        (
            Self::Groups,
            "the supplementary groups are not the configured ones",
        ),
        (
            Self::Capabilities,
            "the capability sets are not the configured ones",
        ),
        (
            Self::Ambient,
            "the ambient capabilities are not the configured ones",
        ),
        (Self::Bounding, "the bounding set is not the configured one"),
        (Self::NoNewPrivileges, "no_new_privs is not as configured"),
        (
            Self::Securebits,
            "the securebits are not locked as the profile demands",
        ),
        (
            Self::WriteExecute,
            "memory may be writable and executable, against the profile",
        ),
        (Self::ReadonlyRoot, "the root filesystem is not read-only"),
        (Self::Limit, "a resource limit is not as configured"),
        (
            Self::OutsideRoot,
            "the directory is not inside the root filesystem",
        ),
        (Self::Exists, "something else exists there"),
        (Self::NotDirectory, "must be mounted on ordinary directory"),
        (Self::HookFailed, "the hook failed"),
        (Self::HookTimeout, "the hook took longer than its timeout"),
        (Self::ParentGone, "the runtime went away"),
        (Self::NoDevpts, "there is no devpts on \"/dev/pts\""),
        (
            Self::NotFile,
            "\"/dev/console\" is neither a file nor a device",
        ),
        (
            Self::SharedTwice,
            "another mount that is shared with the host is there, and the host would see this one on it",
        ),
    ];

    /// What was found, for a code that came in place of an errno.
    pub fn words(code: i32) -> Option<&'static str> {
        Self::ALL
            .iter()
            .find(|(difference, _)| *difference as i32 == code)
            .map(|(_, words)| *words)
    }
}
