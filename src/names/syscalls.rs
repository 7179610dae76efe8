//! System calls by name: their number on each ABI and how much of each argument the kernel reads.
//! The facts are in `syscall_table`, which `scripts/syscalls` writes; what a filter does with them is in `seccomp`.

use super::syscall_table::{N, Row, TABLE};

/// A calling convention that this program can filter (syscall(2), "Architecture calling conventions").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Abi {
    /// 64-bit x86.
    X8664,
    /// 32-bit x86, also reached from 64-bit code by `int 0x80`.
    X86,
    /// x86-64 with 32-bit pointers; its numbers carry [`X32_BIT`].
    X32,
    /// 64-bit Arm.
    Aarch64,
    /// 32-bit Arm, EABI.
    Arm,
}

/// Set in the number of every x32 call (`__X32_SYSCALL_BIT`); the architecture is that of x86-64.
pub const X32_BIT: u32 = 0x4000_0000;

/// The first of 32-bit Arm's private calls (`__ARM_NR_BASE`), which say nothing about a kernel's age.
const ARM_PRIVATE: u32 = 0x000f_0000;

impl Abi {
    /// Every ABI, in the order of the table's columns.
    pub const ALL: [Self; 5] = [Self::X8664, Self::X86, Self::X32, Self::Aarch64, Self::Arm];

    /// `seccomp_data.arch` of a call on this ABI (`AUDIT_ARCH_*`, linux/audit.h).
    pub fn audit_arch(self) -> u32 {
        match self {
            Self::X8664 | Self::X32 => 0xc000_003e,
            Self::X86 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
            Self::Arm => 0x4000_0028,
        }
    }

    /// Registers are 32 bits wide, or, on x32, compared as if they were.
    pub fn is_32_bit(self) -> bool {
        matches!(self, Self::X86 | Self::X32 | Self::Arm)
    }

    /// Whether this number tells how new a kernel is: not Arm's private calls, nor x32's compatibility block at 512.
    pub fn is_dated(self, number: u32) -> bool {
        match self {
            Self::Arm => number < ARM_PRIVATE,
            Self::X32 => !(512..=547).contains(&(number & !X32_BIT)),
            Self::X8664 | Self::X86 | Self::Aarch64 => true,
        }
    }
}

/// One system call, by name.
#[derive(Debug, Clone, Copy)]
pub struct Syscall(&'static Row);

/// The system call of that name on any of the five ABIs.
pub fn named(name: &str) -> Option<Syscall> {
    let at = TABLE.binary_search_by(|row| row.0.cmp(name)).ok()?;
    Some(Syscall(&TABLE[at]))
}

/// The name of a number on one ABI; for messages only, it reads the whole table.
pub fn name(abi: Abi, number: u32) -> Option<&'static str> {
    let row = TABLE
        .iter()
        .find(|row| row.1[abi as usize] == number && number != N)?;
    Some(row.0)
}

/// Every system call, in the order of the names.
pub fn all() -> impl Iterator<Item = Syscall> {
    TABLE.iter().map(Syscall)
}

impl Syscall {
    /// Its name, as in unistd.h without `__NR_`.
    pub fn name(self) -> &'static str {
        self.0.0
    }

    /// Its number on one ABI, [`X32_BIT`] included.
    pub fn number(self, abi: Abi) -> Option<u32> {
        Some(self.0.1[abi as usize]).filter(|&number| number != N)
    }

    /// The bits of argument `index` (0 to 5) that a 64-bit kernel reads: an `int`'s high half never reaches it.
    pub fn argument_bits(self, index: usize) -> u64 {
        match self.0.2.as_bytes().get(index) {
            Some(b'i') => 0xffff_ffff,
            Some(b'h') => 0xffff,
            _ => u64::MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_sorted_and_numbers_are_unique() {
        assert!(TABLE.windows(2).all(|pair| pair[0].0 < pair[1].0));
        for abi in Abi::ALL {
            let mut numbers: Vec<u32> = all().filter_map(|call| call.number(abi)).collect();
            numbers.sort_unstable();
            let names = numbers.len();
            numbers.dedup();
            // arm has two names for one number: arm_sync_file_range and sync_file_range2.
            assert_eq!(names - numbers.len(), usize::from(abi == Abi::Arm));
        }
    }

    #[test]
    fn numbers_are_those_of_libc() {
        let known = [
            ("read", libc::SYS_read),
            ("socket", libc::SYS_socket),
            ("clone3", libc::SYS_clone3),
            ("mseal", libc::SYS_mseal),
        ];
        let abi = if cfg!(target_arch = "aarch64") {
            Abi::Aarch64
        } else {
            Abi::X8664
        };
        for (name, number) in known {
            let found = named(name).and_then(|call| call.number(abi));
            assert_eq!(found.map(i64::from), Some(number), "{name}");
        }
    }

    #[test]
    fn same_name_has_each_architecture_s_own_number() {
        let socket = named("socket").unwrap();
        let numbers = Abi::ALL.map(|abi| socket.number(abi));
        let expected = [41, 359, X32_BIT + 41, 198, 281].map(Some);
        assert_eq!(numbers, expected);
        assert_eq!(named("open").unwrap().number(Abi::Aarch64), None);
        assert_eq!(name(Abi::X86, 102), Some("socketcall"));
        assert!(named("no_such_call").is_none());
    }

    #[test]
    fn int_arguments_are_read_by_their_low_half() {
        let socket = named("socket").unwrap();
        assert_eq!(
            [0, 1, 2, 3].map(|i| socket.argument_bits(i)),
            [0xffff_ffff, 0xffff_ffff, 0xffff_ffff, u64::MAX]
        );
        assert_eq!(named("clone").unwrap().argument_bits(0), 0xffff_ffff);
        assert_eq!(named("unshare").unwrap().argument_bits(0), u64::MAX);
        assert_eq!(named("personality").unwrap().argument_bits(0), 0xffff_ffff);
        assert_eq!(named("chmod").unwrap().argument_bits(1), 0xffff);
        assert_eq!(named("prctl").unwrap().argument_bits(1), u64::MAX);
    }
}
