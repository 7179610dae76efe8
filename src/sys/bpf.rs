//! bpf(2) for programs attached to a cgroup: load, attach, list and detach device programs.
//! What a program says is not here; there is no safe wrapper of bpf(2) in nix or rustix.
#![allow(unsafe_code, reason = "raw system calls")]

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::{Errno, SysResult, last_errno};

const PROG_LOAD: libc::c_int = 5;
const PROG_ATTACH: libc::c_int = 8;
const PROG_DETACH: libc::c_int = 9;
const PROG_GET_FD_BY_ID: libc::c_int = 13;
const PROG_QUERY: libc::c_int = 16;
const PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const ATTACH_TYPE_CGROUP_DEVICE: u32 = 6;
const ALLOW_MULTI: u32 = 1 << 1;
const REPLACE: u32 = 1 << 2;

/// One eBPF instruction (`struct bpf_insn` of linux/bpf.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    /// Class, operation and source.
    pub code: u8,
    /// Destination register in the low four bits, source register in the high four.
    pub registers: u8,
    /// Jump distance, in instructions from the next one, or memory offset in bytes.
    pub offset: i16,
    /// The constant operand.
    pub immediate: i32,
}

/// The head of `union bpf_attr` that BPF_PROG_LOAD reads (linux/bpf.h); shorter unions are filled with zeros.
#[repr(C)]
#[derive(Default)]
struct Load {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
}

/// What BPF_PROG_ATTACH and BPF_PROG_DETACH read.
#[repr(C)]
#[derive(Default)]
struct Attach {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
    replace_bpf_fd: u32,
}

/// What BPF_PROG_QUERY reads and fills in.
#[repr(C)]
#[derive(Default)]
struct Query {
    target_fd: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    prog_cnt: u32,
    padding: u32,
}

/// What BPF_PROG_GET_FD_BY_ID reads.
#[repr(C)]
#[derive(Default)]
struct ById {
    prog_id: u32,
    next_id: u32,
    open_flags: u32,
}

/// Loads a device program; the kernel's verifier must accept it.
///
/// # Errors
/// The errno of bpf(2): `EPERM` without CAP_BPF, `EINVAL` or `EACCES` from the verifier.
pub fn load_device_program(program: &[Instruction]) -> SysResult<OwnedFd> {
    let mut attributes = Load {
        prog_type: PROG_TYPE_CGROUP_DEVICE,
        insn_cnt: u32::try_from(program.len()).map_err(|_| Errno::TOOBIG)?,
        insns: program.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        expected_attach_type: ATTACH_TYPE_CGROUP_DEVICE,
        ..Load::default()
    };
    attributes.prog_name[..8].copy_from_slice(b"stockade");
    let fd = bpf(PROG_LOAD, &mut attributes)?;
    // SAFETY: the kernel has just made this descriptor, close-on-exec, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Attaches a device program to a cgroup v2 directory beside those that are there, or in place of `replaced`.
///
/// # Errors
/// The errno of bpf(2): `EPERM` where another program forbids more (attached without BPF_F_ALLOW_MULTI).
pub fn attach_device_program(
    cgroup: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
    replaced: Option<BorrowedFd<'_>>,
) -> SysResult<()> {
    let mut attributes = Attach {
        target_fd: number(cgroup),
        attach_bpf_fd: number(program),
        attach_type: ATTACH_TYPE_CGROUP_DEVICE,
        attach_flags: ALLOW_MULTI | if replaced.is_some() { REPLACE } else { 0 },
        replace_bpf_fd: replaced.map_or(0, number),
    };
    bpf(PROG_ATTACH, &mut attributes).map(drop)
}

/// Detaches one device program from a cgroup v2 directory.
///
/// # Errors
/// The errno of bpf(2).
pub fn detach_device_program(cgroup: BorrowedFd<'_>, program: BorrowedFd<'_>) -> SysResult<()> {
    let mut attributes = Attach {
        target_fd: number(cgroup),
        attach_bpf_fd: number(program),
        attach_type: ATTACH_TYPE_CGROUP_DEVICE,
        ..Attach::default()
    };
    bpf(PROG_DETACH, &mut attributes).map(drop)
}

/// The device programs attached to a cgroup v2 directory itself, not to its ancestors.
///
/// # Errors
/// The errno of bpf(2).
pub fn device_programs(cgroup: BorrowedFd<'_>) -> SysResult<Vec<OwnedFd>> {
    // The kernel attaches at most 64 programs of a kind to a cgroup (BPF_CGROUP_MAX_PROGS).
    let mut ids = [0u32; 64];
    let mut attributes = Query {
        target_fd: number(cgroup),
        attach_type: ATTACH_TYPE_CGROUP_DEVICE,
        prog_ids: ids.as_mut_ptr() as u64,
        prog_cnt: 64,
        ..Query::default()
    };
    bpf(PROG_QUERY, &mut attributes)?;
    let attached = ids.iter().take(attributes.prog_cnt as usize);
    attached.map(|id| program_by_id(*id)).collect()
}

fn program_by_id(id: u32) -> SysResult<OwnedFd> {
    let mut attributes = ById {
        prog_id: id,
        ..ById::default()
    };
    let fd = bpf(PROG_GET_FD_BY_ID, &mut attributes)?;
    // SAFETY: the kernel has just made this descriptor, close-on-exec, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn number(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

fn bpf<A>(command: libc::c_int, attributes: &mut A) -> SysResult<RawFd> {
    // SAFETY: `attributes` is a head of `union bpf_attr` of the size given, and the addresses in it are of memory that
    // the callers above borrow until the call is over.
    let value = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_mut(attributes),
            size_of::<A>(),
        )
    };
    match RawFd::try_from(value) {
        Ok(fd) if fd >= 0 => Ok(fd),
        _ => Err(last_errno()),
    }
}
