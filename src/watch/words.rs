//! The arguments of a call in words: names of families, commands and flags; paths and addresses from the caller's memory.
//! For reading only: what memory says may have been another thing when the filter asked.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::memory::Memory;
use crate::error::quote;
use crate::sys::notify::Notification;

/// How an argument is shown.
#[derive(Clone, Copy)]
enum As {
    /// A signed number of 32 bits.
    Int,
    /// A register.
    Hex,
    /// Text behind a pointer.
    Text,
    /// A directory's descriptor.
    Directory,
    /// One of several words.
    One(&'static [(&'static str, u64)]),
    /// Bits, each with a word.
    Bits(&'static [(&'static str, u64)]),
    /// One of some words in the low four bits, and flags above.
    Type,
    /// An address of a socket behind a pointer.
    Address,
    /// Flags behind a pointer.
    BitsAt(&'static [(&'static str, u64)]),
}

use As::{Address, Bits, BitsAt, Directory, Hex, Int, One, Text, Type};

const FAMILIES: &[(&str, u64)] = &[
    ("AF_UNIX", 1),
    ("AF_INET", 2),
    ("AF_AX25", 3),
    ("AF_IPX", 4),
    ("AF_APPLETALK", 5),
    ("AF_INET6", 10),
    ("AF_KEY", 15),
    ("AF_NETLINK", 16),
    ("AF_PACKET", 17),
    ("AF_RDS", 21),
    ("AF_CAN", 29),
    ("AF_TIPC", 30),
    ("AF_BLUETOOTH", 31),
    ("AF_RXRPC", 33),
    ("AF_ALG", 38),
    ("AF_NFC", 39),
    ("AF_VSOCK", 40),
    ("AF_KCM", 41),
    ("AF_QIPCRTR", 42),
    ("AF_SMC", 43),
    ("AF_XDP", 44),
    ("AF_MCTP", 45),
];
const TYPES: &[(&str, u64)] = &[
    ("SOCK_STREAM", 1),
    ("SOCK_DGRAM", 2),
    ("SOCK_RAW", 3),
    ("SOCK_RDM", 4),
    ("SOCK_SEQPACKET", 5),
    ("SOCK_PACKET", 10),
];
const TYPE_FLAGS: &[(&str, u64)] = &[("SOCK_NONBLOCK", 0x800), ("SOCK_CLOEXEC", 0x80000)];
const CLONE: &[(&str, u64)] = &[
    ("CLONE_VM", 0x100),
    ("CLONE_FS", 0x200),
    ("CLONE_FILES", 0x400),
    ("CLONE_SIGHAND", 0x800),
    ("CLONE_PIDFD", 0x1000),
    ("CLONE_PTRACE", 0x2000),
    ("CLONE_VFORK", 0x4000),
    ("CLONE_PARENT", 0x8000),
    ("CLONE_THREAD", 0x10000),
    ("CLONE_NEWNS", 0x20000),
    ("CLONE_SYSVSEM", 0x40000),
    ("CLONE_SETTLS", 0x80000),
    ("CLONE_PARENT_SETTID", 0x100000),
    ("CLONE_CHILD_CLEARTID", 0x200000),
    ("CLONE_UNTRACED", 0x800000),
    ("CLONE_CHILD_SETTID", 0x1000000),
    ("CLONE_NEWCGROUP", 0x2000000),
    ("CLONE_NEWUTS", 0x4000000),
    ("CLONE_NEWIPC", 0x8000000),
    ("CLONE_NEWUSER", 0x10000000),
    ("CLONE_NEWPID", 0x20000000),
    ("CLONE_NEWNET", 0x40000000),
    ("CLONE_IO", 0x80000000),
    ("CLONE_NEWTIME", 0x80),
];
const OPEN: &[(&str, u64)] = &[
    ("O_WRONLY", 1),
    ("O_RDWR", 2),
    ("O_CREAT", 0o100),
    ("O_EXCL", 0o200),
    ("O_NOCTTY", 0o400),
    ("O_TRUNC", 0o1000),
    ("O_APPEND", 0o2000),
    ("O_NONBLOCK", 0o4000),
    ("O_DIRECTORY", 0o200000),
    ("O_NOFOLLOW", 0o400000),
    ("O_CLOEXEC", 0o2000000),
    ("O_PATH", 0o10000000),
];
const MOUNT: &[(&str, u64)] = &[
    ("MS_RDONLY", 1),
    ("MS_NOSUID", 2),
    ("MS_NODEV", 4),
    ("MS_NOEXEC", 8),
    ("MS_REMOUNT", 32),
    ("MS_BIND", 4096),
    ("MS_MOVE", 8192),
    ("MS_REC", 16384),
    ("MS_SILENT", 32768),
    ("MS_UNBINDABLE", 1 << 17),
    ("MS_PRIVATE", 1 << 18),
    ("MS_SLAVE", 1 << 19),
    ("MS_SHARED", 1 << 20),
    ("MS_RELATIME", 1 << 21),
];
const UMOUNT: &[(&str, u64)] = &[
    ("MNT_FORCE", 1),
    ("MNT_DETACH", 2),
    ("MNT_EXPIRE", 4),
    ("UMOUNT_NOFOLLOW", 8),
];
const IOCTL: &[(&str, u64)] = &[
    ("TCGETS", 0x5401),
    ("TCSETS", 0x5402),
    ("TCSETSW", 0x5403),
    ("TIOCSCTTY", 0x540e),
    ("TIOCGPGRP", 0x540f),
    ("TIOCSPGRP", 0x5410),
    ("TIOCSTI", 0x5412),
    ("TIOCGWINSZ", 0x5413),
    ("TIOCSWINSZ", 0x5414),
    ("FIONREAD", 0x541b),
    ("TIOCLINUX", 0x541c),
    ("FIONBIO", 0x5421),
    ("TIOCNOTTY", 0x5422),
    ("TIOCSETD", 0x5423),
    ("TIOCGPTN", 0x80045430),
    ("TIOCSPTLCK", 0x40045431),
    ("FICLONE", 0x40049409),
    ("SIOCGIFCONF", 0x8912),
    ("SIOCGIFFLAGS", 0x8913),
];
const PRCTL: &[(&str, u64)] = &[
    ("PR_SET_PDEATHSIG", 1),
    ("PR_GET_DUMPABLE", 3),
    ("PR_SET_DUMPABLE", 4),
    ("PR_SET_KEEPCAPS", 8),
    ("PR_SET_NAME", 15),
    ("PR_GET_NAME", 16),
    ("PR_GET_SECCOMP", 21),
    ("PR_SET_SECCOMP", 22),
    ("PR_CAPBSET_READ", 23),
    ("PR_CAPBSET_DROP", 24),
    ("PR_SET_SECUREBITS", 28),
    ("PR_SET_MM", 35),
    ("PR_SET_CHILD_SUBREAPER", 36),
    ("PR_SET_NO_NEW_PRIVS", 38),
    ("PR_GET_NO_NEW_PRIVS", 39),
    ("PR_CAP_AMBIENT", 47),
    ("PR_SET_PTRACER", 0x59616d61),
    ("PR_SET_VMA", 0x53564d41),
];
const BPF: &[(&str, u64)] = &[
    ("BPF_MAP_CREATE", 0),
    ("BPF_MAP_LOOKUP_ELEM", 1),
    ("BPF_MAP_UPDATE_ELEM", 2),
    ("BPF_PROG_LOAD", 5),
    ("BPF_OBJ_PIN", 6),
    ("BPF_OBJ_GET", 7),
    ("BPF_PROG_ATTACH", 8),
    ("BPF_BTF_LOAD", 18),
    ("BPF_LINK_CREATE", 28),
];
const PTRACE: &[(&str, u64)] = &[
    ("PTRACE_TRACEME", 0),
    ("PTRACE_PEEKTEXT", 1),
    ("PTRACE_POKETEXT", 4),
    ("PTRACE_CONT", 7),
    ("PTRACE_ATTACH", 16),
    ("PTRACE_DETACH", 17),
    ("PTRACE_SEIZE", 0x4206),
];
const KEYCTL: &[(&str, u64)] = &[
    ("KEYCTL_GET_KEYRING_ID", 0),
    ("KEYCTL_JOIN_SESSION_KEYRING", 1),
    ("KEYCTL_UPDATE", 2),
    ("KEYCTL_REVOKE", 3),
    ("KEYCTL_DESCRIBE", 6),
    ("KEYCTL_SEARCH", 10),
    ("KEYCTL_READ", 11),
];

/// The arguments of calls, as far as they say anything.
const SHAPES: &[(&str, &[As])] = &[
    ("access", &[Text, Hex]),
    ("acct", &[Text]),
    ("add_key", &[Text, Text, Hex, Int, Int]),
    ("bind", &[Int, Address]),
    ("bpf", &[One(BPF), Hex, Int]),
    ("chmod", &[Text, Hex]),
    ("chown", &[Text, Int, Int]),
    ("chroot", &[Text]),
    ("clone", &[Bits(CLONE)]),
    ("clone3", &[BitsAt(CLONE), Int]),
    ("connect", &[Int, Address]),
    ("creat", &[Text, Hex]),
    ("delete_module", &[Text, Hex]),
    ("execve", &[Text]),
    ("execveat", &[Directory, Text]),
    ("fchmodat", &[Directory, Text, Hex]),
    ("fchownat", &[Directory, Text, Int, Int]),
    ("finit_module", &[Int, Text, Hex]),
    ("fsopen", &[Text, Hex]),
    ("io_uring_setup", &[Int, Hex]),
    ("ioctl", &[Int, One(IOCTL), Hex]),
    ("keyctl", &[One(KEYCTL), Hex, Hex]),
    ("link", &[Text, Text]),
    ("memfd_secret", &[Hex]),
    ("mkdir", &[Text, Hex]),
    ("mkdirat", &[Directory, Text, Hex]),
    ("mknod", &[Text, Hex, Hex]),
    ("mknodat", &[Directory, Text, Hex, Hex]),
    ("mount", &[Text, Text, Text, Bits(MOUNT)]),
    ("move_mount", &[Directory, Text, Directory, Text, Hex]),
    ("name_to_handle_at", &[Directory, Text]),
    ("open", &[Text, Bits(OPEN)]),
    ("openat", &[Directory, Text, Bits(OPEN)]),
    ("openat2", &[Directory, Text, BitsAt(OPEN)]),
    ("open_tree", &[Directory, Text, Hex]),
    ("perf_event_open", &[Hex, Int, Int, Int, Hex]),
    ("personality", &[Hex]),
    ("pidfd_getfd", &[Int, Int, Hex]),
    ("pivot_root", &[Text, Text]),
    ("prctl", &[One(PRCTL), Hex]),
    ("process_vm_readv", &[Int]),
    ("process_vm_writev", &[Int]),
    ("ptrace", &[One(PTRACE), Int]),
    ("reboot", &[Hex, Hex, Hex]),
    ("rename", &[Text, Text]),
    ("renameat2", &[Directory, Text, Directory, Text, Hex]),
    ("request_key", &[Text, Text]),
    ("rmdir", &[Text]),
    ("sethostname", &[Text, Int]),
    ("setns", &[Int, Bits(CLONE)]),
    ("socket", &[One(FAMILIES), Type, Int]),
    ("socketpair", &[One(FAMILIES), Type, Int]),
    ("swapoff", &[Text]),
    ("swapon", &[Text, Hex]),
    ("symlink", &[Text, Text]),
    ("syslog", &[Int]),
    ("truncate", &[Text, Int]),
    ("umount2", &[Text, Bits(UMOUNT)]),
    ("unlink", &[Text]),
    ("unlinkat", &[Directory, Text, Hex]),
    ("unshare", &[Bits(CLONE)]),
    ("userfaultfd", &[Hex]),
];

/// `AF_ALG, SOCK_SEQPACKET, 0`; `…` for a call whose arguments say nothing.
pub(super) fn arguments(name: &str, asked: &Notification, memory: &mut Memory) -> String {
    let shape = SHAPES.iter().find(|(call, _)| *call == name);
    let Some((_, shape)) = shape else {
        return "…".to_owned();
    };
    let words = shape
        .iter()
        .zip(asked.arguments)
        .map(|(shown, value)| one(*shown, value, asked.thread, memory));
    words.collect::<Vec<_>>().join(", ")
}

fn one(shown: As, value: u64, thread: i32, memory: &mut Memory) -> String {
    let int = value as u32;
    match shown {
        Hex => format!("{value:#x}"),
        Directory if int.cast_signed() == libc::AT_FDCWD => "AT_FDCWD".to_owned(),
        Int | Directory => int.cast_signed().to_string(),
        Text if value == 0 => "NULL".to_owned(),
        Text => memory
            .text(thread, value)
            .map_or_else(|| format!("{value:#x}"), quote),
        One(words) => word(words, u64::from(int)),
        Bits(words) => bits(words, u64::from(int)),
        BitsAt(words) => match memory.bytes::<8>(thread, value) {
            Some(flags) => format!("{{{}}}", bits(words, u64::from_ne_bytes(flags))),
            None => format!("{value:#x}"),
        },
        Type => {
            let flags = bits(TYPE_FLAGS, u64::from(int & !0xf));
            let kind = word(TYPES, u64::from(int & 0xf));
            if int & !0xf == 0 {
                kind
            } else {
                format!("{kind}|{flags}")
            }
        }
        Address => address(thread, value, memory).unwrap_or_else(|| format!("{value:#x}")),
    }
}

fn word(words: &[(&str, u64)], value: u64) -> String {
    let known = words.iter().find(|(_, number)| *number == value);
    known.map_or_else(|| format!("{value:#x}"), |(word, _)| (*word).to_owned())
}

fn bits(words: &[(&str, u64)], value: u64) -> String {
    let known = words.iter().filter(|(_, bit)| value & bit != 0);
    let mut shown: Vec<String> = known.clone().map(|(word, _)| (*word).to_owned()).collect();
    let rest = known.fold(value, |rest, (_, bit)| rest & !bit);
    if rest != 0 || shown.is_empty() {
        shown.push(format!("{rest:#x}"));
    }
    shown.join("|")
}

/// `AF_INET 127.0.0.1:80` (ip(7), ipv6(7)); of other families the name alone.
fn address(thread: i32, at: u64, memory: &mut Memory) -> Option<String> {
    let family = u64::from(u16::from_ne_bytes(memory.bytes::<2>(thread, at)?));
    let name = word(FAMILIES, family);
    let port = |bytes: [u8; 8]| u16::from_be_bytes([bytes[2], bytes[3]]);
    let (ip, port) = match family {
        2 => {
            let short: [u8; 8] = memory.bytes(thread, at)?;
            let ip = Ipv4Addr::new(short[4], short[5], short[6], short[7]);
            (IpAddr::V4(ip), port(short))
        }
        10 => {
            let ip = Ipv6Addr::from(memory.bytes::<16>(thread, at.checked_add(8)?)?);
            (IpAddr::V6(ip), port(memory.bytes(thread, at)?))
        }
        _ => return Some(name),
    };
    Some(format!("{name} {}", std::net::SocketAddr::new(ip, port)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(arguments: [u64; 6]) -> Notification {
        Notification {
            id: 1,
            thread: i32::try_from(std::process::id()).unwrap(),
            number: 0,
            arch: 0,
            instruction_pointer: 0,
            arguments,
        }
    }

    #[test]
    fn arguments_are_in_words_and_text_is_quoted() {
        let path = b"/a\n\x1b[31m\"\0";
        let address = [2u8, 0, 0, 80, 127, 0, 0, 1];
        let cases = [
            ("socket", [38, 5, 0, 0, 0, 0], "AF_ALG, SOCK_SEQPACKET, 0"),
            (
                "socket",
                [16, 0x80003, 12, 0, 0, 0],
                "AF_NETLINK, SOCK_RAW|SOCK_CLOEXEC, 12",
            ),
            ("socket", [99, 0xf, 1 << 40, 0, 0, 0], "0x63, 0xf, 0"),
            (
                "unshare",
                [0x1002_0001, 0, 0, 0, 0, 0],
                "CLONE_NEWNS|CLONE_NEWUSER|0x1",
            ),
            ("unshare", [0, 0, 0, 0, 0, 0], "0x0"),
            (
                "chroot",
                [path.as_ptr() as u64, 0, 0, 0, 0, 0],
                r#""/a\n\u{1b}[31m\"""#,
            ),
            ("chroot", [0, 0, 0, 0, 0, 0], "NULL"),
            ("chroot", [8, 0, 0, 0, 0, 0], "0x8"),
            (
                "connect",
                [3, address.as_ptr() as u64, 16, 0, 0, 0],
                "3, AF_INET 127.0.0.1:80",
            ),
            (
                "openat",
                [0xffff_ff9c, 8, 0x80042, 0, 0, 0],
                "AT_FDCWD, 0x8, O_RDWR|O_CREAT|O_CLOEXEC",
            ),
            ("vhangup", [0; 6], "…"),
        ];
        for (name, registers, expected) in cases {
            let shown = arguments(name, &asked(registers), &mut Memory::default());
            assert_eq!(shown, expected, "{name}");
        }
    }

    #[test]
    fn shapes_are_of_known_calls_in_their_order() {
        assert!(
            SHAPES
                .iter()
                .all(|(name, _)| crate::names::syscalls::named(name).is_some())
        );
    }
}
