//! `start`: the socket that init waits on, and messages 5 and 6 over it.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen as listen_on,
    socket_with,
};

use super::child::{Listening, interpreter, wait_for_program};
use super::create::{after_start, deliver};
use super::{Entry, START_SOCKET, Status, process};
use crate::error::{Doing, Error, Result, quote};
use crate::plan::{self, Failure};
use crate::sys::{Errno, signal};

/// Starts a created container.
///
/// # Errors
/// The container is not created, or the step that failed. A container that fails to start is stopped.
pub fn start(entry: &Entry) -> Result<()> {
    let _lock = entry.lock()?;
    let state = entry.state()?;
    let status = state.status(entry);
    if status != Status::Created {
        let doing = format!("start container {}", quote(&state.id));
        return Err(Error::new(
            doing,
            format!("its status is {}, it must be created", status.word()),
        ));
    }
    let connection = reach(entry)?;
    // Without the socket's file the container is no longer created, whatever becomes of it.
    rustix::fs::unlinkat(
        entry.directory(),
        START_SOCKET,
        rustix::fs::AtFlags::empty(),
    )
    .doing(|| "start the container")?;
    let program = state
        .config
        .process
        .as_ref()
        .and_then(|process| process.args.first());
    let program = program.map_or("", String::as_str);
    let explain = |failure: &Failure, said: Option<&str>| {
        let path = CString::new(program).unwrap_or_default();
        let interpreter = interpreter(failure, &state.root, &path);
        plan::explain(
            failure,
            &state.plan,
            program,
            said.or(interpreter.as_deref()),
        )
    };
    let deliver = |listener: BorrowedFd<'_>| deliver(&state, state.pid, listener);
    let started = wait_for_program(connection.as_fd(), explain, Listening::Agent(&deliver));
    started.and_then(|()| after_start(&state)).inspect_err(|_| {
        // What belongs to a start has failed, so the program must not go on (runtime.md, "Lifecycle", step 9).
        let process = process::open(state.pid, state.start_time);
        if let Ok(Some(pidfd)) = process {
            let _ = signal::send(pidfd.as_fd(), libc::SIGKILL);
        }
    })
}

/// Binds the socket. A path to it would be too long for `sun_path` with a long root, so it goes by a descriptor.
pub(super) fn listen(entry: &Entry) -> Result<OwnedFd> {
    let doing = || "listen for start";
    let socket = socket()?;
    bind(&socket, &address(entry)?).doing(doing)?;
    listen_on(&socket, 1).doing(doing)?;
    Ok(socket)
}

fn reach(entry: &Entry) -> Result<OwnedFd> {
    let socket = socket()?;
    match connect(&socket, &address(entry)?) {
        Ok(()) => Ok(socket),
        Err(Errno::CONNREFUSED) => Err(Error::new("start the container", "init is gone")),
        Err(errno) => Err(Error::new("reach init", errno)),
    }
}

fn socket() -> Result<OwnedFd> {
    socket_with(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .doing(|| "make a socket")
}

fn address(entry: &Entry) -> Result<SocketAddrUnix> {
    use std::os::fd::AsRawFd;
    let path = format!(
        "/proc/self/fd/{}/{START_SOCKET}",
        entry.directory().as_raw_fd()
    );
    SocketAddrUnix::new(path).doing(|| "name a socket")
}
