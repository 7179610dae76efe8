//! Words of the specification and the kernel's numbers for them, both ways.
//! System calls are in `syscalls`, mount options in `mount`.

mod errno;
pub mod mount;
mod process;
mod signal;
mod syscall_table;
pub mod syscalls;

pub use errno::{errno_name, errno_number};
pub use process::{
    capability, capability_name, io_class, memory_policy, memory_policy_flag, personality, rlimit, rlimit_name,
    scheduler_flag, scheduler_policy,
};
pub use signal::{signal, signal_name};

/// The number that a table has for a word.
fn number_of<T: Copy>(table: &[(&str, T)], word: &str) -> Option<T> {
    table.iter().find(|(name, _)| *name == word).map(|(_, number)| *number)
}

/// The word that a table has for a number.
fn word_of<T: Copy + PartialEq>(table: &[(&'static str, T)], number: T) -> Option<&'static str> {
    table.iter().find(|(_, known)| *known == number).map(|(name, _)| *name)
}
