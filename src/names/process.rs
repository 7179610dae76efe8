//! Words of the `process` section: capabilities, resource limits, scheduling, priorities, execution domains.

use std::str::FromStr;

use super::{number_of, word_of};

/// The number of a capability such as `CAP_CHOWN` (capabilities(7)).
pub fn capability(name: &str) -> Option<u8> {
    caps::Capability::from_str(name).ok().map(|capability| capability.index())
}

/// The name of a capability.
pub fn capability_name(number: u8) -> Option<&'static str> {
    CAPABILITIES.get(usize::from(number)).copied()
}

/// At the place of their numbers (include/uapi/linux/capability.h).
const CAPABILITIES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

const RLIMITS: [(&str, u32); 16] = [
    ("RLIMIT_CPU", libc::RLIMIT_CPU),
    ("RLIMIT_FSIZE", libc::RLIMIT_FSIZE),
    ("RLIMIT_DATA", libc::RLIMIT_DATA),
    ("RLIMIT_STACK", libc::RLIMIT_STACK),
    ("RLIMIT_CORE", libc::RLIMIT_CORE),
    ("RLIMIT_RSS", libc::RLIMIT_RSS),
    ("RLIMIT_NPROC", libc::RLIMIT_NPROC),
    ("RLIMIT_NOFILE", libc::RLIMIT_NOFILE),
    ("RLIMIT_MEMLOCK", libc::RLIMIT_MEMLOCK),
    ("RLIMIT_AS", libc::RLIMIT_AS),
    ("RLIMIT_LOCKS", libc::RLIMIT_LOCKS),
    ("RLIMIT_SIGPENDING", libc::RLIMIT_SIGPENDING),
    ("RLIMIT_MSGQUEUE", libc::RLIMIT_MSGQUEUE),
    ("RLIMIT_NICE", libc::RLIMIT_NICE),
    ("RLIMIT_RTPRIO", libc::RLIMIT_RTPRIO),
    ("RLIMIT_RTTIME", libc::RLIMIT_RTTIME),
];

/// The number of a limit such as `RLIMIT_NOFILE` (getrlimit(2)).
pub fn rlimit(name: &str) -> Option<u32> {
    number_of(&RLIMITS, name)
}

/// The name of a limit.
pub fn rlimit_name(number: u32) -> Option<&'static str> {
    word_of(&RLIMITS, number)
}

/// `SCHED_*` (sched(7)).
pub fn scheduler_policy(name: &str) -> Option<u32> {
    const POLICIES: [(&str, u32); 7] = [
        ("SCHED_OTHER", 0),
        ("SCHED_FIFO", 1),
        ("SCHED_RR", 2),
        ("SCHED_BATCH", 3),
        ("SCHED_ISO", 4),
        ("SCHED_IDLE", 5),
        ("SCHED_DEADLINE", 6),
    ];
    number_of(&POLICIES, name)
}

/// `SCHED_FLAG_*` (sched_setattr(2)).
pub fn scheduler_flag(name: &str) -> Option<u64> {
    const FLAGS: [(&str, u64); 7] = [
        ("SCHED_FLAG_RESET_ON_FORK", 0x01),
        ("SCHED_FLAG_RECLAIM", 0x02),
        ("SCHED_FLAG_DL_OVERRUN", 0x04),
        ("SCHED_FLAG_KEEP_POLICY", 0x08),
        ("SCHED_FLAG_KEEP_PARAMS", 0x10),
        ("SCHED_FLAG_UTIL_CLAMP_MIN", 0x20),
        ("SCHED_FLAG_UTIL_CLAMP_MAX", 0x40),
    ];
    number_of(&FLAGS, name)
}

/// `IOPRIO_CLASS_*` (ioprio_set(2)).
pub fn io_class(name: &str) -> Option<u8> {
    number_of(&[("IOPRIO_CLASS_RT", 1), ("IOPRIO_CLASS_BE", 2), ("IOPRIO_CLASS_IDLE", 3)], name)
}

/// `MPOL_*` (set_mempolicy(2)).
pub fn memory_policy(name: &str) -> Option<i32> {
    const MODES: [(&str, i32); 7] = [
        ("MPOL_DEFAULT", 0),
        ("MPOL_PREFERRED", 1),
        ("MPOL_BIND", 2),
        ("MPOL_INTERLEAVE", 3),
        ("MPOL_LOCAL", 4),
        ("MPOL_PREFERRED_MANY", 5),
        ("MPOL_WEIGHTED_INTERLEAVE", 6),
    ];
    number_of(&MODES, name)
}

/// `MPOL_F_*` (set_mempolicy(2)).
pub fn memory_policy_flag(name: &str) -> Option<i32> {
    const FLAGS: [(&str, i32); 3] = [
        ("MPOL_F_STATIC_NODES", 1 << 15),
        ("MPOL_F_RELATIVE_NODES", 1 << 14),
        ("MPOL_F_NUMA_BALANCING", 1 << 13),
    ];
    number_of(&FLAGS, name)
}

/// The execution domains of the specification (personality(2)).
pub fn personality(name: &str) -> Option<u32> {
    number_of(&[("LINUX", 0), ("LINUX32", 8)], name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_capabilities_agree_with_their_numbers() {
        for (number, name) in (0u8..).zip(CAPABILITIES) {
            assert_eq!(capability(name), Some(number));
            assert_eq!(capability_name(number), Some(name));
        }
        assert_eq!(capability("cap_chown"), None);
        assert_eq!(capability_name(41), None);
    }

    #[test]
    fn limits_go_both_ways() {
        assert_eq!(rlimit("RLIMIT_NOFILE").and_then(rlimit_name), Some("RLIMIT_NOFILE"));
        assert_eq!(rlimit("NOFILE"), None);
    }
}
