//! Words of scheduling: policies and flags (sched_setattr(2)), I/O classes (ioprio_set(2)), memory policies
//! (set_mempolicy(2)) and execution domains (personality(2)).

use super::number_of;

/// Scheduling policies (config.md, "Linux Process"); Linux reserves `SCHED_ISO` and does not have it.
pub const SCHEDULER_POLICIES: &[(&str, u32)] = &[
    ("SCHED_OTHER", 0),
    ("SCHED_FIFO", 1),
    ("SCHED_RR", 2),
    ("SCHED_BATCH", 3),
    ("SCHED_ISO", 4),
    ("SCHED_IDLE", 5),
    ("SCHED_DEADLINE", 6),
];

/// Flags of `struct sched_attr`.
pub const SCHEDULER_FLAGS: &[(&str, u64)] = &[
    ("SCHED_FLAG_RESET_ON_FORK", 0x01),
    ("SCHED_FLAG_RECLAIM", 0x02),
    ("SCHED_FLAG_DL_OVERRUN", 0x04),
    ("SCHED_FLAG_KEEP_POLICY", 0x08),
    ("SCHED_FLAG_KEEP_PARAMS", 0x10),
    ("SCHED_FLAG_UTIL_CLAMP_MIN", 0x20),
    ("SCHED_FLAG_UTIL_CLAMP_MAX", 0x40),
];

/// I/O scheduling classes.
pub const IO_CLASSES: &[(&str, u16)] = &[
    ("IOPRIO_CLASS_RT", 1),
    ("IOPRIO_CLASS_BE", 2),
    ("IOPRIO_CLASS_IDLE", 3),
];

/// Modes of a NUMA memory policy.
pub const MEMORY_POLICY_MODES: &[(&str, u32)] = &[
    ("MPOL_DEFAULT", 0),
    ("MPOL_PREFERRED", 1),
    ("MPOL_BIND", 2),
    ("MPOL_INTERLEAVE", 3),
    ("MPOL_LOCAL", 4),
    ("MPOL_PREFERRED_MANY", 5),
    ("MPOL_WEIGHTED_INTERLEAVE", 6),
];

/// Flags of a NUMA memory policy, to be or-ed into the mode.
pub const MEMORY_POLICY_FLAGS: &[(&str, u32)] = &[
    ("MPOL_F_NUMA_BALANCING", 1 << 13),
    ("MPOL_F_RELATIVE_NODES", 1 << 14),
    ("MPOL_F_STATIC_NODES", 1 << 15),
];

/// Execution domains of the specification: `PER_LINUX` and `PER_LINUX32`.
pub const PERSONALITIES: &[(&str, u32)] = &[("LINUX", 0), ("LINUX32", 8)];

/// The number of a scheduling policy such as `SCHED_FIFO`.
pub fn scheduler_policy(word: &str) -> Option<u32> {
    number_of(SCHEDULER_POLICIES, word)
}

/// The bit of a scheduling flag such as `SCHED_FLAG_RESET_ON_FORK`.
pub fn scheduler_flag(word: &str) -> Option<u64> {
    number_of(SCHEDULER_FLAGS, word)
}

/// The number of an I/O class such as `IOPRIO_CLASS_BE`.
pub fn io_class(word: &str) -> Option<u16> {
    number_of(IO_CLASSES, word)
}

/// The number of a memory policy's mode such as `MPOL_BIND`.
pub fn memory_policy_mode(word: &str) -> Option<u32> {
    number_of(MEMORY_POLICY_MODES, word)
}

/// The bit of a memory policy's flag such as `MPOL_F_STATIC_NODES`.
pub fn memory_policy_flag(word: &str) -> Option<u32> {
    number_of(MEMORY_POLICY_FLAGS, word)
}

/// The number of an execution domain: `LINUX` or `LINUX32`.
pub fn personality(word: &str) -> Option<u32> {
    number_of(PERSONALITIES, word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedule_words_have_the_kernels_numbers() {
        assert_eq!(scheduler_policy("SCHED_DEADLINE"), Some(6));
        assert_eq!(scheduler_flag("SCHED_FLAG_UTIL_CLAMP_MAX"), Some(0x40));
        assert_eq!(io_class("IOPRIO_CLASS_IDLE"), Some(3));
        assert_eq!(
            memory_policy_mode("MPOL_BIND"),
            u32::try_from(libc::MPOL_BIND).ok()
        );
        assert_eq!(
            memory_policy_flag("MPOL_F_STATIC_NODES"),
            u32::try_from(libc::MPOL_F_STATIC_NODES).ok()
        );
        assert_eq!(personality("LINUX32"), Some(8));
        assert_eq!(personality("linux"), None);
    }
}
