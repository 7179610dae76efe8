//! System calls that a sandbox ought to refuse, with arguments that leave nothing behind where it does not.
//!
//! What an answer means is not here but in `probe`. syscalls(2), seccomp(2) and the kernel's own order of checks rule
//! the arguments: pointers are NULL or unmapped, descriptors are -1, so that a call that gets past a filter answers
//! EFAULT, EBADF or EINVAL instead of acting.
#![allow(
    unsafe_code,
    reason = "no safe wrapper makes a call that is meant to fail"
)]

use std::io;

use libc::c_long;

mod alone;
mod calls;

pub use alone::{BROKEN, Ending, alone, end_after};
pub use calls::*;

/// One call with fixed arguments. Only this module can make one, which is what keeps [`Attempt::make`] safe.
#[derive(Debug, Clone, Copy)]
pub struct Attempt {
    entry: Entry,
    number: Option<c_long>,
    arguments: [u64; 6],
}

/// The way into the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    Native,
    /// `int 0x80`, the 32-bit calls of i386.
    Int80,
}

impl Attempt {
    const fn new(number: c_long, given: &[u64]) -> Self {
        let mut arguments = [0; 6];
        let mut i = 0;
        while i < given.len() {
            arguments[i] = given[i];
            i += 1;
        }
        Self {
            entry: Entry::Native,
            number: Some(number),
            arguments,
        }
    }

    #[cfg(target_arch = "x86_64")]
    const fn x86(number: c_long, given: &[u64]) -> Self {
        Self::new(number, given)
    }

    #[cfg(not(target_arch = "x86_64"))]
    const fn absent() -> Self {
        Self {
            entry: Entry::Native,
            number: None,
            arguments: [0; 6],
        }
    }

    #[cfg(target_arch = "x86_64")]
    const fn int80(number: c_long, given: &[u64]) -> Self {
        let mut attempt = Self::new(number, given);
        attempt.entry = Entry::Int80;
        attempt
    }

    /// Whether this processor architecture has the call at all.
    pub fn exists(&self) -> bool {
        self.number.is_some()
    }

    /// The number, the architecture (`AUDIT_ARCH_*`) and the arguments as a filter sees them (seccomp(2)); none where the
    /// architecture has no such call.
    pub fn as_filtered(&self) -> Option<(u32, u32, [u64; 6])> {
        let arch = match self.entry {
            Entry::Native => NATIVE_ARCH,
            Entry::Int80 => I386_ARCH,
        };
        Some((self.number? as u32, arch, self.arguments))
    }

    /// Makes the call and says what came back.
    ///
    /// # Errors
    /// The errno of the kernel or of the filter; ENOSYS where the architecture has no such call.
    pub fn make(&self) -> Result<i64, i32> {
        let number = self.number.ok_or(libc::ENOSYS)?;
        match self.entry {
            Entry::Native => native(number, self.arguments),
            Entry::Int80 => int80(number, self.arguments),
        }
    }

    /// Adds a filter to this process that catches just this call after the filters already there have let it pass, so
    /// that [`Attempt::make`] then tells who refuses it. Of several filters the most severe action wins, and ERRNO is
    /// more severe than TRACE and USER_NOTIF (seccomp(2)). With [`Catch::Fail`] a call that the older filters allow
    /// answers ENOSYS, as nobody traces; with [`Catch::Wait`] it waits until a signal ends the process.
    ///
    /// # Errors
    /// The errno of prctl(2) or seccomp(2): EBUSY where a filter already has a listener.
    pub fn catch(&self, catch: Catch) -> Result<(), i32> {
        let number = self.number.ok_or(libc::ENOSYS)?;
        no_new_privs()?;
        let (action, flags) = match catch {
            Catch::Fail => (libc::SECCOMP_RET_TRACE, 0),
            Catch::Wait => (
                libc::SECCOMP_RET_USER_NOTIF,
                libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
            ),
        };
        install(&mut one_call(self.entry, number, action), flags)
    }
}

/// What happens to a call that the filters before ours allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Catch {
    /// It answers ENOSYS.
    Fail,
    /// It never answers.
    Wait,
}

fn native(number: c_long, [a, b, c, d, e, f]: [u64; 6]) -> Result<i64, i32> {
    // SAFETY: an Attempt is a constant of `calls`; none passes a pointer that can be read or written through, none
    // makes a process or thread, and none touches a mapping or descriptor that exists.
    let answer = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if answer == -1 {
        Err(last_errno())
    } else {
        Ok(answer)
    }
}

#[cfg(target_arch = "x86_64")]
fn int80(number: c_long, arguments: [u64; 6]) -> Result<i64, i32> {
    let mut eax = number as u64;
    // SAFETY: LLVM reserves rbx, so it is swapped in and back; the kernel preserves the other registers or zeroes r8 to
    // r11, which are declared. The arguments are those of an Attempt, as above.
    unsafe {
        std::arch::asm!(
            "xchg rbx, {first}",
            "int 0x80",
            "xchg rbx, {first}",
            first = inout(reg) arguments[0] => _,
            inout("rax") eax,
            in("rcx") arguments[1],
            in("rdx") arguments[2],
            in("rsi") arguments[3],
            in("rdi") arguments[4],
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    let answer = eax as u32 as i32;
    if (-4095..0).contains(&answer) {
        Err(-answer)
    } else {
        Ok(i64::from(answer))
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn int80(_: c_long, _: [u64; 6]) -> Result<i64, i32> {
    Err(libc::ENOSYS)
}

fn last_errno() -> i32 {
    io::Error::last_os_error()
        .raw_os_error()
        .unwrap_or(libc::EIO)
}

// The audit architecture numbers of linux/audit.h: ELF machine, 64 bits, little endian.
#[cfg(target_arch = "x86_64")]
const NATIVE_ARCH: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const NATIVE_ARCH: u32 = 0xc000_00b7;
const I386_ARCH: u32 = 0x4000_0003;

/// `action` for one call by one entry, ALLOW for the rest.
fn one_call(entry: Entry, number: c_long, action: u32) -> [libc::sock_filter; 6] {
    let arch = match entry {
        Entry::Native => NATIVE_ARCH,
        Entry::Int80 => I386_ARCH,
    };
    let load = |offset| instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, offset);
    let unless =
        |value, skip| instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, skip, value);
    let answer = |action| instruction(libc::BPF_RET | libc::BPF_K, 0, action);
    [
        load(4),
        unless(arch, 3),
        load(0),
        unless(number as u32, 1),
        answer(action),
        answer(libc::SECCOMP_RET_ALLOW),
    ]
}

fn instruction(code: u32, skip_unless: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf: skip_unless,
        k,
    }
}

fn install(program: &mut [libc::sock_filter; 6], flags: u64) -> Result<(), i32> {
    let program = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: the program lives until the call returns, and its length is right.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            &raw const program,
        )
    };
    if answer < 0 {
        Err(last_errno())
    } else {
        Ok(())
    }
}

fn no_new_privs() -> Result<(), i32> {
    // SAFETY: takes no pointers; prctl(2) wants the unused arguments to be 0.
    match unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1u64, 0u64, 0u64, 0u64) } {
        0 => Ok(()),
        _ => Err(last_errno()),
    }
}
