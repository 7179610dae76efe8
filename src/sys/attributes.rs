//! Attributes of the calling process that have no safe wrapper: ids, capability sets, priorities, keyring, limits.
//! Raw calls throughout: the C library's versions of the id calls signal every thread, and a clone has just one.
#![allow(unsafe_code, reason = "raw system calls")]

use super::{SysResult, check};

/// setgroups(2).
///
/// # Errors
/// The errno of the call.
pub fn set_groups(groups: &[u32]) -> SysResult<()> {
    // SAFETY: the pointer and the length are the slice's.
    check(unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) }).map(drop)
}

/// setresgid(2), all three ids.
///
/// # Errors
/// The errno of the call.
pub fn set_gid(gid: u32) -> SysResult<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) }).map(drop)
}

/// setresuid(2), all three ids.
///
/// # Errors
/// The errno of the call.
pub fn set_uid(uid: u32) -> SysResult<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) }).map(drop)
}

/// getgroups(2) into `into`; returns how many there are.
///
/// # Errors
/// The errno of the call; `EINVAL` when `into` is too small.
pub fn groups(into: &mut [u32]) -> SysResult<usize> {
    // SAFETY: the pointer and the length are the slice's.
    check(unsafe { libc::syscall(libc::SYS_getgroups, into.len(), into.as_mut_ptr()) })
        .map(|count| count as usize)
}

/// The three capability sets of capset(2) as masks, bit n for capability n.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Checked by the kernel.
    pub effective: u64,
    /// The most that effective can become.
    pub permitted: u64,
    /// Kept across execve(2) where the file agrees.
    pub inheritable: u64,
}

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

/// `_LINUX_CAPABILITY_VERSION_3`.
const VERSION_3: u32 = 0x2008_0522;

/// capset(2).
///
/// # Errors
/// The errno of the call.
pub fn set_capabilities(sets: Capabilities) -> SysResult<()> {
    let header = Header {
        version: VERSION_3,
        pid: 0,
    };
    let half = |shift: u32| {
        [sets.effective, sets.permitted, sets.inheritable].map(|set| (set >> shift) as u32)
    };
    let data: [[u32; 3]; 2] = [half(0), half(32)];
    // SAFETY: both structures have the layout of capget(2) version 3 and outlive the call.
    check(unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) }).map(drop)
}

/// capget(2).
///
/// # Errors
/// The errno of the call.
pub fn capabilities() -> SysResult<Capabilities> {
    let mut header = Header {
        version: VERSION_3,
        pid: 0,
    };
    let mut data = [[0u32; 3]; 2];
    // SAFETY: both structures have the layout of capget(2) version 3 and outlive the call.
    check(unsafe { libc::syscall(libc::SYS_capget, &raw mut header, data.as_mut_ptr()) })?;
    let whole = |index: usize| u64::from(data[0][index]) | u64::from(data[1][index]) << 32;
    Ok(Capabilities {
        effective: whole(0),
        permitted: whole(1),
        inheritable: whole(2),
    })
}

/// ioprio_set(2) for the calling process; `class` 1 to 3, `level` 0 to 7.
///
/// # Errors
/// The errno of the call.
pub fn set_io_priority(class: u16, level: u8) -> SysResult<()> {
    const IOPRIO_WHO_PROCESS: libc::c_int = 1;
    let value = libc::c_int::from(class) << 13 | libc::c_int::from(level);
    // SAFETY: no pointers.
    check(unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, value) }).map(drop)
}

/// `struct sched_attr` of sched_setattr(2), without utilisation clamps; times in nanoseconds.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scheduling {
    size: u32,
    /// `SCHED_*`.
    pub policy: u32,
    /// `SCHED_FLAG_*`.
    pub flags: u64,
    /// For `SCHED_OTHER` and `SCHED_BATCH`.
    pub nice: i32,
    /// For `SCHED_FIFO` and `SCHED_RR`.
    pub priority: u32,
    /// For `SCHED_DEADLINE`.
    pub runtime: u64,
    /// For `SCHED_DEADLINE`.
    pub deadline: u64,
    /// For `SCHED_DEADLINE`.
    pub period: u64,
}

/// sched_setattr(2) for the calling thread.
///
/// # Errors
/// The errno of the call.
pub fn set_scheduling(scheduling: Scheduling) -> SysResult<()> {
    let attributes = Scheduling {
        size: size_of::<Scheduling>() as u32,
        ..scheduling
    };
    // SAFETY: the structure says its own size and outlives the call.
    check(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) }).map(drop)
}

/// set_mempolicy(2); bit n of `nodes` is node n.
///
/// # Errors
/// The errno of the call.
pub fn set_memory_policy(mode: i32, nodes: u64) -> SysResult<()> {
    let (mask, bits) = if nodes == 0 {
        (std::ptr::null(), 0)
    } else {
        (std::ptr::from_ref(&nodes), u64::BITS + 1)
    };
    // SAFETY: the mask holds 64 bits (the kernel reads one fewer than it is told) and outlives the call.
    check(unsafe {
        libc::syscall(
            libc::SYS_set_mempolicy,
            mode,
            mask,
            libc::c_ulong::from(bits),
        )
    })
    .map(drop)
}

/// Joins a new, anonymous session keyring (keyctl(2), `KEYCTL_JOIN_SESSION_KEYRING`).
///
/// # Errors
/// The errno of the call.
pub fn new_session_keyring() -> SysResult<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_int = 1;
    let anonymous: *const libc::c_char = std::ptr::null();
    // SAFETY: a null name asks for an anonymous keyring.
    check(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, anonymous) })
        .map(drop)
}

/// personality(2).
///
/// # Errors
/// The errno of the call.
pub fn set_personality(persona: u32) -> SysResult<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::syscall(libc::SYS_personality, libc::c_ulong::from(persona)) }).map(drop)
}

/// prlimit(2) on the calling process: sets `(soft, hard)` of `resource`.
///
/// # Errors
/// The errno of the call.
pub fn set_limit(resource: u32, soft: u64, hard: u64) -> SysResult<()> {
    set_limit_of(0, resource, soft, hard)
}

/// prlimit(2) on the calling process: `(soft, hard)` of `resource`.
///
/// # Errors
/// The errno of the call.
pub fn limit(resource: u32) -> SysResult<(u64, u64)> {
    let mut limit = libc::rlimit64 {
        rlim_cur: 0,
        rlim_max: 0,
    };
    let new: *const libc::rlimit64 = std::ptr::null();
    // SAFETY: the limit outlives the call; no new limit is given.
    check(unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource, new, &raw mut limit) })?;
    Ok((limit.rlim_cur, limit.rlim_max))
}

/// Marks all descriptors from `first` on close-on-exec (close_range(2), Linux 5.11).
///
/// # Errors
/// The errno of the call.
pub fn close_on_exec_from(first: u32) -> SysResult<()> {
    // SAFETY: no pointers; descriptors stay open until execve(2).
    check(unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    })
    .map(drop)
}

/// Gives SIGPIPE its default disposition (Rust ignores it, and ignored signals survive execve(2)) and empties the mask.
/// Handlers are gone already: the clone asks for `CLONE_CLEAR_SIGHAND`.
pub fn reset_signals() {
    // SAFETY: SIG_DFL installs no code.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    nix::sys::signal::SigSet::empty()
        .thread_set_mask()
        .expect("an empty mask is valid");
}

/// Brings the loopback interface of the current network namespace up (netdevice(7), `SIOCSIFFLAGS`).
///
/// # Errors
/// The errno of the ioctl.
pub fn loopback_up(socket: std::os::fd::BorrowedFd<'_>) -> SysResult<()> {
    use std::os::fd::AsRawFd;
    let mut request = libc::ifreq {
        ifr_name: [0; libc::IFNAMSIZ],
        ifr_ifru: libc::__c_anonymous_ifr_ifru {
            ifru_flags: (libc::IFF_UP | libc::IFF_RUNNING) as i16,
        },
    };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    // SAFETY: the request is a whole `ifreq` with a terminated name and outlives the call.
    check(libc::c_long::from(unsafe {
        libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request)
    }))
    .map(drop)
}

/// getcwd(2) into `into`; the length without the final NUL.
///
/// # Errors
/// The errno of the call.
pub fn working_directory(into: &mut [u8]) -> SysResult<usize> {
    // SAFETY: the pointer and the length are the slice's.
    check(unsafe { libc::syscall(libc::SYS_getcwd, into.as_mut_ptr(), into.len()) })
        .map(|length| (length as usize).saturating_sub(1))
}

/// prlimit(2) on another process: sets `(soft, hard)` of `resource`.
///
/// # Errors
/// The errno of the call.
pub fn set_limit_of(pid: i32, resource: u32, soft: u64, hard: u64) -> SysResult<()> {
    let limit = libc::rlimit64 {
        rlim_cur: soft,
        rlim_max: hard,
    };
    let old: *mut libc::rlimit64 = std::ptr::null_mut();
    // SAFETY: the limit outlives the call; no old limit is asked for.
    check(unsafe { libc::syscall(libc::SYS_prlimit64, pid, resource, &raw const limit, old) })
        .map(drop)
}

/// sched_setaffinity(2) of the calling process to as many CPUs as any kernel has (`NR_CPUS` is 8192 at most); those that
/// do not exist, or that the cgroup does not have, do not count.
///
/// # Errors
/// The errno of the call.
pub fn use_every_cpu() -> SysResult<()> {
    let all = [0xff_u8; 8192 / 8];
    // SAFETY: the length and the pointer are the array's.
    check(unsafe { libc::syscall(libc::SYS_sched_setaffinity, 0, all.len(), all.as_ptr()) })
        .map(drop)
}

/// Closes every descriptor from 3 on that is not in `keep`, which must be sorted.
///
/// # Errors
/// The errno of close_range(2).
pub fn close_others(keep: &[i32]) -> SysResult<()> {
    close_others_from(3, keep)
}

/// Closes every descriptor from `first` on that is not in `keep`, which must be sorted.
///
/// # Errors
/// The errno of close_range(2).
pub fn close_others_from(mut first: u32, keep: &[i32]) -> SysResult<()> {
    for fd in keep.iter().map(|fd| *fd as u32) {
        if fd < first {
            continue;
        }
        if fd > first {
            close_range(first, fd - 1)?;
        }
        first = fd + 1;
    }
    close_range(first, libc::c_uint::MAX)
}

fn close_range(first: u32, last: u32) -> SysResult<()> {
    // SAFETY: no pointers. The owners of the closed descriptors never drop them: this process executes or exits.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) }).map(drop)
}

/// Puts open files in the place of the standard streams, by the numbers of their descriptors, which are above 2.
///
/// # Errors
/// The errno of dup2(2).
pub fn take_streams(files: [i32; 3]) -> SysResult<()> {
    for (stream, file) in (0..).zip(files) {
        // SAFETY: no pointers. Nobody owns the standard streams, whose numbers stay open.
        check(unsafe { libc::dup2(file, stream) }.into())?;
    }
    Ok(())
}

/// Points the standard streams at /dev/null.
pub fn silence() {
    let Ok(null) = rustix::fs::open(
        c"/dev/null",
        rustix::fs::OFlags::RDWR,
        rustix::fs::Mode::empty(),
    ) else {
        return;
    };
    // Nobody reads what a stream that stays open would get.
    let _ = rustix::stdio::dup2_stdin(&null);
    let _ = rustix::stdio::dup2_stdout(&null);
    let _ = rustix::stdio::dup2_stderr(&null);
}
