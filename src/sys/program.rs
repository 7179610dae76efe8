//! execve(2) and the argument vectors it takes, built before the clone.
#![allow(unsafe_code, reason = "raw system calls")]

use std::ffi::{CStr, CString};

use super::{Errno, SysResult, check};

/// Strings and the null-terminated pointer array that execve(2) wants of them.
#[derive(Debug)]
pub struct Vector {
    strings: Vec<CString>,
    pointers: Vec<*const libc::c_char>,
}

impl Vector {
    /// Takes the strings over; they do not move in memory while this lives.
    pub fn new(strings: Vec<CString>) -> Self {
        let mut pointers: Vec<_> = strings.iter().map(|string| string.as_ptr()).collect();
        pointers.push(std::ptr::null());
        Self { strings, pointers }
    }

    /// The strings.
    pub fn strings(&self) -> &[CString] {
        &self.strings
    }
}

/// execve(2): returns only on failure.
pub fn execute(path: &CStr, arguments: &Vector, environment: &Vector) -> Errno {
    // SAFETY: path and vectors are null-terminated and outlive the call.
    let result = check(libc::c_long::from(unsafe {
        libc::execve(
            path.as_ptr(),
            arguments.pointers.as_ptr(),
            environment.pointers.as_ptr(),
        )
    }));
    match result {
        Err(errno) => errno,
        Ok(_) => Errno::NOEXEC,
    }
}

/// exit_group(2): ends the process without running anything of the library.
pub fn exit_now(status: i32) -> ! {
    // SAFETY: ends the process; nothing of it runs on.
    unsafe { libc::_exit(status) }
}

/// Duplicates the process within its namespaces, for a hook: 0 in the child, else its process id.
///
/// # Errors
/// The errno of fork(2).
pub fn fork() -> SysResult<i32> {
    // SAFETY: no CLONE_VM: as fork(2), without the library's handlers; the process is single-threaded.
    check(unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) })
        .map(|pid| pid as i32)
}

/// execveat(2) of an open file: returns only on failure.
pub fn execute_file(
    file: std::os::fd::BorrowedFd<'_>,
    arguments: &Vector,
    environment: &Vector,
) -> Errno {
    use std::os::fd::AsRawFd;
    execute_number(file.as_raw_fd(), arguments, environment)
}

/// The same by the number of a descriptor that was inherited; EBADF where there is none.
pub fn execute_number(file: i32, arguments: &Vector, environment: &Vector) -> Errno {
    let empty: &CStr = c"";
    // SAFETY: the vectors are null-terminated and outlive the call.
    let result = check(unsafe {
        libc::syscall(
            libc::SYS_execveat,
            file,
            empty.as_ptr(),
            arguments.pointers.as_ptr(),
            environment.pointers.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    });
    match result {
        Err(errno) => errno,
        Ok(_) => Errno::NOEXEC,
    }
}

/// pause(2) until a signal ends the process.
pub fn pause() -> ! {
    loop {
        // SAFETY: no arguments; no handler runs, since the clone cleared them.
        unsafe { libc::pause() };
    }
}
