//! The calls themselves: constants whose arguments leave nothing behind.
//!
//! Each says what it answers when no filter stops it; syscalls(2) and the kernel's order of checks rule that.

use super::Attempt;

/// A NULL pointer.
const NULL: u64 = 0;
/// An address on page zero, which no process can map (vm.mmap_min_addr), for calls to which NULL means something.
const UNMAPPED: u64 = 1;
/// The descriptor or number -1, as an `int` argument.
const MINUS_1: u64 = 0xffff_ffff;
/// Not seen by a kernel that reads an `int`; seen by a filter that compares 64 bits.
const HIGH_BIT: u64 = 1 << 32;

macro_rules! attempts {
    ($($(#[$doc:meta])* $name:ident = $attempt:expr;)*) => {
        $($(#[$doc])* pub const $name: Attempt = $attempt;)*
    };
}

#[cfg(target_arch = "x86_64")]
macro_rules! x86 {
    ($make:ident, $number:expr, $given:expr) => {
        Attempt::$make($number, $given)
    };
}

#[cfg(not(target_arch = "x86_64"))]
macro_rules! x86 {
    ($make:ident, $number:expr, $given:expr) => {
        Attempt::absent()
    };
}

const NEWUSER: u64 = libc::CLONE_NEWUSER as u64;
/// CLONE_FS excludes CLONE_NEWUSER: the kernel answers EINVAL before it makes a process (clone(2)).
const NEWUSER_AND_FS: u64 = NEWUSER | libc::CLONE_FS as u64;

attempts! {
    /// A new user namespace for this process.
    UNSHARE_USER = Attempt::new(libc::SYS_unshare, &[NEWUSER]);
    /// The same, hidden from a filter that compares 64 bits.
    UNSHARE_USER_HIGH = Attempt::new(libc::SYS_unshare, &[NEWUSER | HIGH_BIT]);
    /// A new mount namespace.
    UNSHARE_MOUNT = Attempt::new(libc::SYS_unshare, &[libc::CLONE_NEWNS as u64]);
    /// A new network namespace.
    UNSHARE_NET = Attempt::new(libc::SYS_unshare, &[libc::CLONE_NEWNET as u64]);
    /// A new cgroup namespace.
    UNSHARE_CGROUP = Attempt::new(libc::SYS_unshare, &[libc::CLONE_NEWCGROUP as u64]);
    /// EINVAL where clone(2) with CLONE_NEWUSER is let through.
    CLONE_USER = Attempt::new(libc::SYS_clone, &[NEWUSER_AND_FS]);
    /// The same with a bit that the kernel drops.
    CLONE_USER_HIGH = Attempt::new(libc::SYS_clone, &[NEWUSER_AND_FS | HIGH_BIT]);
    /// EINVAL where clone3(2), whose flags no filter can see, is let through.
    CLONE3 = Attempt::new(libc::SYS_clone3, &[NULL, 0]);
    /// EBADF where let through.
    SETNS = Attempt::new(libc::SYS_setns, &[MINUS_1, 0]);
    /// EFAULT where let through.
    MOUNT = Attempt::new(libc::SYS_mount, &[NULL; 5]);
    /// EFAULT where let through.
    UMOUNT = Attempt::new(libc::SYS_umount2, &[NULL, libc::MNT_DETACH as u64]);
    /// EFAULT where let through.
    FSOPEN = Attempt::new(libc::SYS_fsopen, &[NULL, 0]);
    /// EBADF where let through.
    FSCONFIG = Attempt::new(libc::SYS_fsconfig, &[MINUS_1, 0, NULL, NULL, 0]);
    /// OPEN_TREE_CLONE of nothing: EFAULT where let through.
    OPEN_TREE = Attempt::new(libc::SYS_open_tree, &[MINUS_1, NULL, 1]);
    /// EFAULT or EBADF where let through.
    MOVE_MOUNT = Attempt::new(libc::SYS_move_mount, &[MINUS_1, NULL, MINUS_1, NULL, 0]);
    /// A structure of size 0: EINVAL where let through.
    MOUNT_SETATTR = Attempt::new(libc::SYS_mount_setattr, &[MINUS_1, NULL, 0, NULL, 0]);
    /// EFAULT where let through.
    PIVOT_ROOT = Attempt::new(libc::SYS_pivot_root, &[NULL, NULL]);
    /// EFAULT where let through.
    CHROOT = Attempt::new(libc::SYS_chroot, &[NULL]);
    /// EFAULT where let through.
    IO_URING = Attempt::new(libc::SYS_io_uring_setup, &[1, NULL]);
    /// BPF_MAP_CREATE with eight bytes at NULL: EFAULT where let through.
    BPF = Attempt::new(libc::SYS_bpf, &[0, NULL, 8]);
    /// EFAULT where let through.
    PERF_EVENT = Attempt::new(libc::SYS_perf_event_open, &[NULL, 0, MINUS_1, MINUS_1, 0]);
    /// UFFD_USER_MODE_ONLY, the kind that needs no capability: a descriptor where let through.
    USERFAULTFD = Attempt::new(libc::SYS_userfaultfd, &[1]);
    /// KEYCTL_GET_KEYRING_ID of the session keyring, without creating it.
    KEYCTL = Attempt::new(libc::SYS_keyctl, &[0, 0xffff_fffd, 0]);
    /// EFAULT where let through.
    ADD_KEY = Attempt::new(libc::SYS_add_key, &[NULL; 5]);
    /// EFAULT where let through.
    REQUEST_KEY = Attempt::new(libc::SYS_request_key, &[NULL; 4]);
    /// PTRACE_ATTACH to pid 0, which nobody has: ESRCH where let through.
    PTRACE = Attempt::new(libc::SYS_ptrace, &[16, 0, NULL, NULL]);
    /// Flags that do not exist: EINVAL where let through.
    PROCESS_VM_READV = Attempt::new(libc::SYS_process_vm_readv, &[0, NULL, 0, NULL, 0, 1]);
    /// Flags that do not exist: EINVAL where let through.
    PROCESS_VM_WRITEV = Attempt::new(libc::SYS_process_vm_writev, &[0, NULL, 0, NULL, 0, 1]);
    /// EBADF where let through.
    PIDFD_GETFD = Attempt::new(libc::SYS_pidfd_getfd, &[MINUS_1, 0, 0]);
    /// Two processes that nobody has: ESRCH where let through.
    KCMP = Attempt::new(libc::SYS_kcmp, &[0, 0, 0, 0, 0]);
    /// EFAULT where let through.
    OPEN_BY_HANDLE = Attempt::new(libc::SYS_open_by_handle_at, &[MINUS_1, NULL, 0]);
    /// EFAULT where let through.
    NAME_TO_HANDLE = Attempt::new(libc::SYS_name_to_handle_at, &[MINUS_1, NULL, NULL, NULL, 0]);
    /// An image of no bytes: ENOEXEC where let through.
    INIT_MODULE = Attempt::new(libc::SYS_init_module, &[NULL, 0, NULL]);
    /// EBADF where let through.
    FINIT_MODULE = Attempt::new(libc::SYS_finit_module, &[MINUS_1, NULL, 0]);
    /// EFAULT where let through.
    DELETE_MODULE = Attempt::new(libc::SYS_delete_module, &[NULL, 0]);
    /// A flag that does not exist; with flags 0 and no segments it would unload the loaded kernel.
    KEXEC = Attempt::new(libc::SYS_kexec_load, &[0, 0, NULL, 0x8000]);
    /// A wrong magic number: EINVAL where let through.
    REBOOT = Attempt::new(libc::SYS_reboot, &[0, 0, 0, NULL]);
    /// SYSLOG_ACTION_READ_ALL to NULL: EINVAL where let through.
    SYSLOG = Attempt::new(libc::SYS_syslog, &[3, NULL, 0]);
    /// A negative length: EINVAL where let through.
    SETHOSTNAME = Attempt::new(libc::SYS_sethostname, &[NULL, MINUS_1]);
    /// A negative length: EINVAL where let through.
    SETDOMAINNAME = Attempt::new(libc::SYS_setdomainname, &[NULL, MINUS_1]);
    /// EFAULT where let through.
    SETTIMEOFDAY = Attempt::new(libc::SYS_settimeofday, &[UNMAPPED, NULL]);
    /// CLOCK_REALTIME from NULL: EFAULT where let through.
    CLOCK_SETTIME = Attempt::new(libc::SYS_clock_settime, &[0, NULL]);
    /// EFAULT where let through; NULL would switch accounting off.
    ACCT = Attempt::new(libc::SYS_acct, &[UNMAPPED]);
    /// EFAULT where let through.
    SWAPON = Attempt::new(libc::SYS_swapon, &[NULL, 0]);
    /// A quota type that does not exist: EINVAL where let through.
    QUOTACTL = Attempt::new(libc::SYS_quotactl, &[0xff, NULL, 0, NULL]);
    /// Level 4 does not exist: EINVAL where let through.
    IOPL = x86!(x86, libc::SYS_iopl, &[4]);
    /// No ports: EINVAL where let through.
    IOPERM = x86!(x86, libc::SYS_ioperm, &[0, 0, 1]);
    /// Addresses without randomness, for this process.
    PERSONALITY = Attempt::new(libc::SYS_personality, &[libc::ADDR_NO_RANDOMIZE as u64]);
    /// The same with a bit that the kernel drops.
    PERSONALITY_HIGH =
        Attempt::new(libc::SYS_personality, &[libc::ADDR_NO_RANDOMIZE as u64 | HIGH_BIT]);
    /// Reads no bytes of the table.
    MODIFY_LDT = x86!(x86, libc::SYS_modify_ldt, &[0, NULL, 0]);
    /// A mode that does not exist: EINVAL where let through.
    MBIND = Attempt::new(libc::SYS_mbind, &[NULL, 0, 0xfff, NULL, 0, 0]);
    /// A flag that does not exist: EINVAL where let through.
    MOVE_PAGES = Attempt::new(libc::SYS_move_pages, &[0, 0, NULL, NULL, NULL, 1]);
    /// EBADF where let through.
    VMSPLICE = Attempt::new(libc::SYS_vmsplice, &[MINUS_1, NULL, 0, 0]);
    /// A flag that does not exist: EINVAL where let through.
    MEMFD_SECRET = Attempt::new(libc::SYS_memfd_secret, &[0x1000]);
    /// The kernel's crypto interface.
    SOCKET_ALG = Attempt::new(libc::SYS_socket, &[38, libc::SOCK_SEQPACKET as u64, 0]);
    /// The same with a bit that the kernel drops.
    SOCKET_ALG_HIGH =
        Attempt::new(libc::SYS_socket, &[38 | HIGH_BIT, libc::SOCK_SEQPACKET as u64, 0]);
    /// The sockets of hypervisors.
    SOCKET_VSOCK = Attempt::new(libc::SYS_socket, &[40, libc::SOCK_STREAM as u64, 0]);
    /// The same with a bit that the kernel drops.
    SOCKET_VSOCK_HIGH =
        Attempt::new(libc::SYS_socket, &[40 | HIGH_BIT, libc::SOCK_STREAM as u64, 0]);
    /// Raw frames.
    SOCKET_PACKET = Attempt::new(libc::SYS_socket, &[17, libc::SOCK_RAW as u64, 0]);
    /// Raw ICMP.
    SOCKET_RAW = Attempt::new(libc::SYS_socket, &[2, libc::SOCK_RAW as u64, 1]);
    /// The configuration of IPsec.
    SOCKET_XFRM = Attempt::new(libc::SYS_socket, &[16, libc::SOCK_RAW as u64, 6]);
    /// The configuration of packet filters.
    SOCKET_NETFILTER = Attempt::new(libc::SYS_socket, &[16, libc::SOCK_RAW as u64, 12]);
    /// AF_RXRPC.
    SOCKET_RXRPC = Attempt::new(libc::SYS_socket, &[33, libc::SOCK_DGRAM as u64, 2]);
    /// AF_KEY.
    SOCKET_KEY = Attempt::new(libc::SYS_socket, &[15, libc::SOCK_RAW as u64, 2]);
    /// AF_TIPC.
    SOCKET_TIPC = Attempt::new(libc::SYS_socket, &[30, libc::SOCK_STREAM as u64, 0]);
    /// AF_BLUETOOTH, HCI.
    SOCKET_BLUETOOTH = Attempt::new(libc::SYS_socket, &[31, libc::SOCK_RAW as u64, 1]);
    /// AF_XDP.
    SOCKET_XDP = Attempt::new(libc::SYS_socket, &[44, libc::SOCK_RAW as u64, 0]);
    /// A Unix socket, which programs need.
    SOCKET_UNIX = Attempt::new(libc::SYS_socket, &[1, libc::SOCK_STREAM as u64, 0]);
    /// A TCP socket, which programs need.
    SOCKET_INET = Attempt::new(libc::SYS_socket, &[2, libc::SOCK_STREAM as u64, 0]);
    /// NETLINK_ROUTE, which getaddrinfo(3) needs.
    SOCKET_ROUTE = Attempt::new(libc::SYS_socket, &[16, libc::SOCK_RAW as u64, 0]);
    /// getpid(2) by `int 0x80`.
    INT80_GETPID = x86!(int80, 20, &[]);
    /// socketcall(2) SYS_SOCKET by `int 0x80` with its arguments at NULL: EFAULT where let through.
    INT80_SOCKETCALL = x86!(int80, 102, &[1, NULL]);
    /// getpid(2) by the x32 table.
    X32_GETPID = x86!(x86, 0x4000_0000 | libc::SYS_getpid, &[]);
    /// A character device without a path: EFAULT where let through.
    MKNOD_CHAR = x86!(x86, libc::SYS_mknod, &[NULL, libc::S_IFCHR as u64, 0x101]);
    /// A block device without a path: EFAULT where let through.
    MKNODAT_BLOCK =
        Attempt::new(libc::SYS_mknodat, &[MINUS_1, NULL, libc::S_IFBLK as u64, 0x800]);
    /// EBADF where let through.
    TIOCSTI = Attempt::new(libc::SYS_ioctl, &[MINUS_1, libc::TIOCSTI, NULL]);
    /// The same with a bit that the kernel drops.
    TIOCSTI_HIGH = Attempt::new(libc::SYS_ioctl, &[MINUS_1, libc::TIOCSTI | HIGH_BIT, NULL]);
    /// EBADF where let through.
    TIOCLINUX = Attempt::new(libc::SYS_ioctl, &[MINUS_1, 0x541c, NULL]);
    /// User 0, for this process.
    SETUID = Attempt::new(libc::SYS_setuid, &[0]);
    /// Group 0, for this process.
    SETGID = Attempt::new(libc::SYS_setgid, &[0]);
    /// One group at NULL: EFAULT where let through.
    SETGROUPS = Attempt::new(libc::SYS_setgroups, &[1, NULL]);
    /// EFAULT where let through.
    MEMFD_CREATE = Attempt::new(libc::SYS_memfd_create, &[NULL, 0]);
    /// EBADF or EFAULT where let through.
    EXECVEAT = Attempt::new(
        libc::SYS_execveat,
        &[MINUS_1, NULL, NULL, NULL, libc::AT_EMPTY_PATH as u64],
    );
    /// Signal 0 to everybody but pid 1 and this process: ESRCH where nobody is there.
    KILL_ALL = Attempt::new(libc::SYS_kill, &[MINUS_1, 0]);
    /// A new page that is writable and executable, for this process.
    MMAP_WRITE_EXEC = Attempt::new(
        libc::SYS_mmap,
        &[
            NULL,
            4096,
            (libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC) as u64,
            (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as u64,
            u64::MAX,
            0,
        ],
    );
}
