//! One step of the child, and what it holds: C strings, integers, flags; nothing that is still to be parsed.
//! How a step is carried out is in `init`; how it is worded in `show`.

use std::ffi::{CStr, CString};

use crate::profile::Hardening;
use crate::spec::NamespaceType;
use crate::sys::attributes::{Capabilities, Scheduling};
use crate::sys::mount::Change;
use crate::sys::program::Vector;

/// The verbs of the child, roughly in the order in which a plan uses them.
#[derive(Debug)]
#[allow(
    missing_docs,
    reason = "fields carry the names that the calls' manual pages give them"
)]
pub enum Step {
    /// setns(2) into a namespace.
    Join(Join),
    /// setns(2) into namespaces of a running container, those of the types in `CLONE_NEW*`.
    JoinContainer { namespaces: i32 },
    /// The root of the mount namespace that was joined.
    FindRoot,
    /// The root of the container's first process, in a mount namespace that has another.
    TakeRoot,
    /// oom_score_adj, as text.
    OomScore(CString),
    /// Nobody without the right to trace looks into this process any more.
    Undumpable,
    /// sched_setaffinity(2) to ranges of CPUs, by a field of process.execCPUAffinity.
    Affinity {
        field: &'static str,
        cpus: Vec<(usize, usize)>,
    },
    /// sched_setaffinity(2) to every CPU, which the kernel cuts to those of the cgroup: not what the runtime was left.
    EveryCpu,
    /// A new time namespace for what follows the next fork, with its offsets (time_namespaces(7)).
    TimeNamespace { offsets: String },
    /// Write 0 to the task file of each cgroup: the child moves itself, since moving another process waits for an RCU
    /// grace period.
    EnterCgroups,
    /// A cgroup namespace, rooted where the child is by now.
    NewCgroupNamespace,
    /// Become ids that the new user namespace maps, so that what is made has an owner.
    TakeMappedIds { uid: u32, gid: u32 },
    /// setsid(2).
    NewSession,
    /// A session keyring of the container's own.
    NewKeyring,
    /// Cut mount propagation towards the host; `MS_SLAVE` or `MS_PRIVATE`, always recursive.
    Isolate { propagation: u64 },
    /// Attach the root filesystem and keep a descriptor of it: everything below is resolved from there.
    /// With a tree that the parent opened it goes over `/`, since the path may be out of reach.
    Root { path: CString, tree: Option<usize> },
    /// Mount something in the root.
    Mount(Box<Mount>),
    /// Make a device node, FIFO or socket in the root.
    Node(Node),
    /// Bind the host's device of the same name, where mknod(2) is not allowed.
    BindNode { path: CString, number: u64 },
    /// A symbolic link in the root; one that exists stays.
    Link { path: CString, target: CString },
    /// Make the process's terminal in the root's devpts and take its other end as the standard streams.
    Terminal(Terminal),
    /// Bring the loopback interface up.
    LoopbackUp,
    /// Make the mount kept in `slot` read-only.
    Seal { slot: usize, path: CString },
    /// Run a hook in the container's namespaces.
    Hook(Box<HookCall>),
    /// Write a value below /proc/sys.
    Sysctl { file: CString, value: CString },
    /// sethostname(2).
    Hostname(CString),
    /// setdomainname(2).
    Domainname(CString),
    /// Make a tree in the root read-only, if it is there.
    ReadonlyPath(CString),
    /// Hide a file or directory in the root, if it is there.
    MaskedPath(CString),
    /// Make a directory in the root, with its parents.
    Directory(CString),
    /// Make the root mount itself read-only.
    ReadonlyRoot,
    /// pivot_root(2) into the root, and detach the old one.
    PivotRoot,
    /// Move the root over `/` and chroot(2): for a host whose own root is a ramfs.
    MoveRoot,
    /// Take a mount of the old root away, or cover it where that is not allowed.
    Unmount(CString),
    /// chroot(2): in a mount namespace that was joined, whose root is not ours to move.
    ChangeRoot,
    /// Find the place of a mount that is to be shared with the host, and keep it in a slot: before any such mount is there,
    /// because what is mounted on one appears on the host.
    SharedPlace {
        slot: usize,
        tree: usize,
        path: CString,
    },
    /// Attach a mount that is shared with the host at its place, after everything else that is mounted.
    Share {
        slot: usize,
        tree: usize,
        path: CString,
        attributes: Attributes,
    },
    /// The propagation of the container's root, as the config wants it.
    RootPropagation { propagation: u64, recursive: bool },
    /// umask(2).
    Umask(u32),
    /// personality(2).
    Personality(u32),
    /// sched_setattr(2).
    Scheduler(Scheduling),
    /// ioprio_set(2).
    IoPriority { class: u16, level: u8 },
    /// set_mempolicy(2).
    MemoryPolicy { mode: i32, nodes: u64 },
    /// Give stdin, stdout and stderr to this user, who may have to open /dev/stdout again.
    OwnStdio { uid: u32, gid: u32 },
    /// Drop everything outside the mask from the bounding set.
    Bound { keep: u64, last: u8 },
    /// Supplementary groups.
    Groups(Vec<u32>),
    /// Group and user id; capabilities are kept until `Capabilities`.
    Ids { uid: u32, gid: u32 },
    /// Enter the working directory, which must be inside the root, with the runtime's rights; `Workdir` does it where
    /// these do not reach.
    WorkdirFirst(CString),
    /// Enter it as the user, unless the process is there.
    Workdir(CString),
    /// Find the program among the candidates.
    FindProgram,
    /// The capability sets, and the ambient one as a mask; and that nothing adds to them later (securebits(7)).
    Capabilities {
        sets: Capabilities,
        ambient: u64,
        lock_securebits: bool,
    },
    /// prlimit(2).
    Limit { resource: u32, soft: u64, hard: u64 },
    /// The security label that execve(2) will apply, written to a file of /proc/thread-self.
    Label {
        field: &'static str,
        file: &'static CStr,
        value: CString,
    },
    /// PR_SET_NO_NEW_PRIVS.
    NoNewPrivileges,
    /// PR_SET_MDWE.
    DenyWriteExecute,
    /// The Landlock rules of the plan: from here on only what they allow can be opened.
    Landlock,
    /// Read back what the kernel says of this process and compare.
    Verify(Box<Expectation>),
    /// Close every descriptor from here on but the sockets that report.
    CloseFrom { first: u32 },
    /// Install a seccomp filter, by its number in the plan.
    Seccomp { filter: usize },
    /// execve(2).
    Execute,
}

/// A namespace to join.
#[derive(Debug)]
pub struct Join {
    /// Its type.
    pub kind: NamespaceType,
    /// The type as `CLONE_NEW*`.
    pub flag: i32,
    /// Path in the runtime's mount namespace; the parent opens it.
    pub path: CString,
    /// Its place in `linux.namespaces`.
    pub index: usize,
    /// Which of the opened descriptors it is.
    pub slot: usize,
}

/// What `uid_map` and `gid_map` will hold, and by whom they get it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdMapText {
    /// `inside outside size` lines.
    pub uid: String,
    /// `inside outside size` lines.
    pub gid: String,
    /// Who writes `uid_map`.
    pub uid_by: MapWriter,
    /// Who writes `gid_map`.
    pub gid_by: MapWriter,
}

impl IdMapText {
    /// Whether setgroups(2) is given up, which is the price of a group map that its owner writes (user_namespaces(7)).
    pub fn denies_setgroups(&self) -> bool {
        self.gid_by == MapWriter::Owner
    }

    /// Whether the process has to be dumpable until its maps are written: if not, its files in /proc belong to root.
    pub fn needs_dumpable(&self) -> bool {
        self.gid_by != MapWriter::Privileged || self.uid_by == MapWriter::Program
    }
}

/// Who may write an id map (user_namespaces(7), "Defining user and group ID mappings").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapWriter {
    /// The runtime, by CAP_SETUID or CAP_SETGID in its user namespace.
    Privileged,
    /// The runtime, as the user that its own id belongs to; setgroups(2) has to be given up before.
    Owner,
    /// newuidmap(1) or newgidmap(1), which know what else /etc/subuid and /etc/subgid give this user.
    Program,
}

/// A mount to make.
#[derive(Debug)]
pub struct Mount {
    /// Where, absolute inside the root, lexically clean.
    pub destination: CString,
    /// What.
    pub source: Source,
    /// Attributes of the mount.
    pub attributes: Attributes,
    /// Slot to keep the mount in until it is sealed read-only.
    pub seal: Option<usize>,
}

/// What is mounted.
#[derive(Debug)]
#[allow(
    missing_docs,
    reason = "fields carry the names that the calls' manual pages give them"
)]
pub enum Source {
    /// A new filesystem.
    Filesystem(Filesystem),
    /// A tree of the runtime namespace, opened by the child.
    Bind { path: CString, recursive: bool },
    /// A tree inside the root filesystem, where it is looked up: what an earlier mount has put there.
    Inside { path: CString, recursive: bool },
    /// A tree of the runtime namespace, opened by the parent: number in `Plan::trees`.
    Tree(usize),
    /// The mount that is there already gets other attributes.
    Existing,
}

/// A filesystem to create (fsopen(2)).
#[derive(Debug)]
pub struct Filesystem {
    /// Type.
    pub kind: CString,
    /// The `source` parameter.
    pub source: Option<CString>,
    /// Parameters without a value.
    pub flags: Vec<CString>,
    /// Parameters with a value.
    pub values: Vec<(CString, CString)>,
    /// Take the mode of the directory below, since none is given (tmpfs).
    pub inherit_mode: bool,
    /// Copy what the directory below holds (`tmpcopyup`).
    pub copy_up: bool,
}

impl Filesystem {
    /// Whether the kernel shows and takes things about itself there.
    pub fn is_system(&self) -> bool {
        matches!(self.kind.as_bytes(), b"proc" | b"sysfs")
    }
}

/// Attributes of a mount, for the mount alone and for the tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes {
    /// For the mount itself.
    pub mount: Change,
    /// To clear as well, as far as the kernel allows it: flags that the host gave to the source of a bind mount and that
    /// no option names.
    pub implied: u64,
    /// For the mount and everything below it.
    pub tree: Change,
    /// Propagation types, in order, each with whether it is recursive.
    pub propagation: Vec<(u64, bool)>,
}

/// A node to make.
#[derive(Debug)]
pub struct Node {
    /// Where, absolute inside the root.
    pub path: CString,
    /// What kind.
    pub kind: Kind,
    /// Device number (makedev(3)).
    pub number: u64,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// The terminal of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terminal {
    /// Who owns it; its group and mode are what the devpts gives (`gid=`, `mode=`).
    pub uid: u32,
    /// Rows and columns.
    pub size: Option<(u16, u16)>,
    /// Whether it becomes the container's /dev/console, or only this process's.
    pub console: Console,
}

/// What /dev/console becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Console {
    /// The terminal is mounted there: the container's first process.
    Bound,
    /// It stays as it is: a process that joins.
    Untouched,
}

/// Kinds of node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Character device.
    Character,
    /// Block device.
    Block,
    /// FIFO.
    Fifo,
}

/// A hook that the child runs.
#[derive(Debug)]
pub struct HookCall {
    /// The hook as a field of the config.
    pub name: String,
    /// The program.
    pub path: CString,
    /// Its arguments.
    pub arguments: Vector,
    /// Where it starts: the bundle, or the root of the container.
    pub directory: CString,
    /// Its environment: exactly the configured one.
    pub environment: Vector,
    /// Seconds after which it is killed.
    pub timeout: Option<u64>,
    /// What binds the program binds it too, no_new_privs, Landlock rules and seccomp filters: it is a program of the image.
    pub confinement: Option<HookConfinement>,
    /// The state document up to the process id, and after it; only the child knows its id in its own namespace.
    pub state: (String, String),
}

/// How a hook of the image is confined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HookConfinement {
    /// no_new_privs.
    pub no_new_privileges: bool,
    /// PR_SET_MDWE.
    pub deny_write_execute: bool,
}

/// What init must find when it asks the kernel about itself, just before the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectation {
    /// Real, effective and saved user id.
    pub uid: u32,
    /// Real, effective and saved group id.
    pub gid: u32,
    /// Supplementary groups, sorted; none where setgroups(2) is given up.
    pub groups: Option<Vec<u32>>,
    /// Effective, permitted and inheritable sets.
    pub capabilities: Capabilities,
    /// Ambient set.
    pub ambient: u64,
    /// Bounding set.
    pub bounding: u64,
    /// Highest capability the kernel knows.
    pub last_capability: u8,
    /// no_new_privs.
    pub no_new_privileges: bool,
    /// PR_SET_MDWE, and locked securebits.
    pub hardening: Hardening,
    /// Whether the root must be mounted read-only.
    pub readonly_root: bool,
    /// Resource, soft, hard.
    pub limits: Vec<(u32, u64, u64)>,
}
