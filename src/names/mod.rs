//! Words of configurations and command lines, to and from the kernel's numbers.
//! Pure tables: nothing here asks the kernel, and a word that is not known is `None`, never an error.

mod capability;
pub mod mount;
mod rlimit;
mod schedule;
mod signal;
mod syscall_groups;
mod syscall_table;
pub mod syscalls;
mod sysctl;

pub use capability::{CAPABILITIES, capability, capability_name};
pub use rlimit::{RLIMITS, rlimit, rlimit_name};
pub use schedule::{
    IO_CLASSES, MEMORY_POLICY_FLAGS, MEMORY_POLICY_MODES, PERSONALITIES, SCHEDULER_FLAGS,
    SCHEDULER_POLICIES, io_class, memory_policy_flag, memory_policy_mode, personality,
    scheduler_flag, scheduler_policy,
};
pub use signal::{signal, signal_name, signal_words};
pub use syscall_groups::{Group, MARK, group, groups};
pub use sysctl::sysctl_file;

/// The number of `word` in a table.
fn number_of<N: Copy>(table: &[(&'static str, N)], word: &str) -> Option<N> {
    table
        .iter()
        .find(|(name, _)| *name == word)
        .map(|(_, number)| *number)
}

/// The first word of a table that means `number`.
fn word_of<N: Copy + PartialEq>(table: &[(&'static str, N)], number: N) -> Option<&'static str> {
    table
        .iter()
        .find(|(_, n)| *n == number)
        .map(|(name, _)| *name)
}
