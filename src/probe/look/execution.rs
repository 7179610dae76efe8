//! Running what was just written: from a file in memory, from directories that anybody may write to.
//!
//! What is executed is no program, so that a kernel that would run it answers ENOEXEC (execve(2)): it checks first
//! whether it may.

use std::ffi::CString;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::MemfdFlags;

use super::errno;
use crate::probe::answer::Answer;
use crate::probe::scene::Scene;
use crate::probe::words;
use crate::sys::Errno;
use crate::sys::program::{self, Vector};

const NO_PROGRAM: &[u8] = b"\x7fELF is not enough";

pub(in crate::probe) fn from_memory(_: &Scene) -> Answer {
    let flags = MemfdFlags::CLOEXEC;
    let made = rustix::fs::memfd_create(c"probe", flags | MemfdFlags::EXEC)
        .or_else(|_| rustix::fs::memfd_create(c"probe", flags));
    let file = match made {
        Ok(file) => file,
        Err(errno) => return Answer::denied(format!("memfd_create: {}", name(errno))),
    };
    // It is still open for writing and so is busy (ETXTBSY), which comes after the question whether it may be executed.
    let file = std::fs::File::from(file);
    if let Err(error) = (&file).write_all(NO_PROGRAM) {
        return Answer::denied(errno(&error));
    }
    judged(program::execute_file(
        file.as_fd(),
        &Vector::new(vec![c"probe".to_owned()]),
        &Vector::new(Vec::new()),
    ))
}

pub(in crate::probe) fn from_tmp(_: &Scene) -> Answer {
    from_directory("/tmp")
}

pub(in crate::probe) fn from_shm(_: &Scene) -> Answer {
    from_directory("/dev/shm")
}

fn from_directory(directory: &str) -> Answer {
    let path = format!("{directory}/.stockade-probe-{}", std::process::id());
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o700)
        .open(&path)
        .and_then(|mut file| file.write_all(NO_PROGRAM));
    if let Err(error) = made {
        drop(std::fs::remove_file(&path));
        return Answer::denied(format!("nothing can be written there: {}", errno(&error)));
    }
    let name = CString::new(path.as_str()).expect("a path without NUL");
    let answer = judged(program::execute(
        &name,
        &Vector::new(vec![name.clone()]),
        &Vector::new(Vec::new()),
    ));
    drop(std::fs::remove_file(Path::new(&path)));
    answer
}

fn judged(errno: Errno) -> Answer {
    match errno {
        Errno::NOEXEC | Errno::TXTBSY => Answer::open("would have been executed"),
        errno => Answer::denied(name(errno)),
    }
}

fn name(errno: Errno) -> String {
    words::errno(errno.raw_os_error())
}

/// A file without a name, which is gone with its descriptor (open(2), O_TMPFILE).
pub(in crate::probe) fn root_writable(_: &Scene) -> Answer {
    let file = OpenOptions::new()
        .write(true)
        .custom_flags(libc::O_TMPFILE)
        .mode(0o600)
        .open("/");
    let Err(refused) = file else {
        return Answer::open("a file can be made in /");
    };
    let cannot_tell = [Some(libc::EOPNOTSUPP), Some(libc::EISDIR)];
    if !cannot_tell.contains(&refused.raw_os_error()) {
        return Answer::denied(errno(&refused));
    }
    let access = rustix::fs::Access::WRITE_OK;
    match rustix::fs::accessat(rustix::fs::CWD, "/", access, rustix::fs::AtFlags::EACCESS) {
        Ok(()) => Answer::open("/ may be written"),
        Err(errno) => Answer::denied(name(errno)),
    }
}

/// ETXTBSY comes after the permissions have been found good: once nobody runs the file any more it can be written.
pub(in crate::probe) fn own_binary(_: &Scene) -> Answer {
    let path = "/proc/self/exe";
    let seals = std::fs::File::open(path).map(|file| rustix::fs::fcntl_get_seals(&file));
    let sealed = matches!(seals, Ok(Ok(seals)) if seals.contains(rustix::fs::SealFlags::WRITE));
    if sealed {
        return Answer::denied("a file in memory, sealed against writing");
    }
    let mount = std::fs::File::open(path).map(|file| rustix::fs::fstatvfs(&file));
    let readonly = rustix::fs::StatVfsMountFlags::RDONLY;
    // The kernel looks whether it runs before it looks at the mount.
    if matches!(mount, Ok(Ok(mount)) if mount.f_flag.contains(readonly)) {
        return Answer::denied("on a read-only mount");
    }
    match OpenOptions::new().write(true).open(path) {
        Ok(_) => Answer::open("opened for writing"),
        Err(error) if error.raw_os_error() == Some(libc::ETXTBSY) => {
            Answer::open("may be written as soon as it does not run (ETXTBSY)")
        }
        Err(error) => Answer::denied(errno(&error)),
    }
}
