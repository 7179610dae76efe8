//! The binary protects its own file: what runs in a container may reach it as /proc/self/exe and must not be able to
//! write to it (CVE-2019-5736). It executes itself once more from a read-only clone of its mount, or from a sealed copy
//! in memory where cloning a mount is not allowed.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;

use rustix::fs::{CWD, MemfdFlags, Mode, OFlags, SealFlags, StatVfsMountFlags};
use rustix::mount::{OpenTreeFlags, open_tree};

use crate::error::{Error, Result};
use crate::sys::mount::{Change, RDONLY, Reach, change};
use crate::sys::program::{self, Vector};
use crate::sys::{Errno, SysResult};

const OWN_FILE: &std::ffi::CStr = c"/proc/self/exe";

/// Returns when the file that this process executes cannot be written through any descriptor of it.
///
/// # Errors
/// No /proc, no memory for the copy, or the kernel refuses the execution.
pub fn ensure() -> Result<()> {
    if is_sealed().map_err(failed)? {
        // Executing a descriptor names the process after its number (before Linux 6.14).
        return rustix::thread::set_name(c"stockade").map_err(failed);
    }
    let sealed = readonly_clone()
        .or_else(|_| copy_in_memory())
        .map_err(failed)?;
    let strings = |words: Vec<Vec<u8>>| -> Vec<CString> {
        words
            .into_iter()
            .map(|word| CString::new(word).expect("came from a C string"))
            .collect()
    };
    let arguments = Vector::new(strings(
        std::env::args_os().map(OsStringExt::into_vec).collect(),
    ));
    let environment = Vector::new(strings(
        std::env::vars_os()
            .map(|(name, value)| [name.into_vec(), b"=".to_vec(), value.into_vec()].concat())
            .collect(),
    ));
    Err(failed(program::execute_file(
        sealed.as_fd(),
        &arguments,
        &environment,
    )))
}

fn failed(errno: Errno) -> Error {
    Error::new("seal the runtime's own binary", errno)
}

/// On a read-only mount, or a file in memory that is sealed against writing.
fn is_sealed() -> SysResult<bool> {
    let own = rustix::fs::openat(
        CWD,
        OWN_FILE,
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    if rustix::fs::fstatvfs(&own)?
        .f_flag
        .contains(StatVfsMountFlags::RDONLY)
    {
        return Ok(true);
    }
    Ok(rustix::fs::fcntl_get_seals(&own).is_ok_and(|seals| seals.contains(SealFlags::WRITE)))
}

fn readonly_clone() -> SysResult<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = open_tree(CWD, OWN_FILE, flags)?;
    change(tree.as_fd(), Change::set(RDONLY), Reach::Mount)?;
    Ok(tree)
}

/// This program as a file in memory, sealed: one that can be executed inside of a container by its descriptor.
///
/// # Errors
/// The errno of memfd_create(2) or of the copying.
pub fn copy() -> SysResult<OwnedFd> {
    copy_in_memory()
}

fn copy_in_memory() -> SysResult<OwnedFd> {
    let own = File::from(rustix::fs::openat(
        CWD,
        OWN_FILE,
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )?);
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // MFD_EXEC (Linux 6.3) says what older kernels assume.
    let copy = rustix::fs::memfd_create(c"stockade", flags | MemfdFlags::EXEC)
        .or_else(|_| rustix::fs::memfd_create(c"stockade", flags))?;
    while rustix::fs::sendfile(&copy, &own, None, 1 << 30)? > 0 {}
    rustix::fs::fcntl_add_seals(
        &copy,
        SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL,
    )?;
    Ok(copy)
}
