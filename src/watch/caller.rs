//! Who made a call, as /proc tells it (proc_pid_status(5)). All of it is the container's own word: to be quoted.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// A process of the container.
#[derive(Debug)]
pub(super) struct Caller {
    /// It, whatever becomes of its number.
    pub(super) process: Option<OwnedFd>,
    /// Its number as it sees it itself; 0 where that is unknown.
    pub(super) pid: i32,
    /// Its program, by the path inside; its name where the path cannot be seen.
    pub(super) program: Vec<u8>,
}

impl Caller {
    pub(super) fn of(thread: i32) -> Self {
        let status = fs::read(format!("/proc/{thread}/status")).unwrap_or_default();
        let last = |key: &str| {
            // The name comes first and has its line ends escaped.
            let lines = status.split(|byte| *byte == b'\n');
            let line = lines
                .filter_map(|line| std::str::from_utf8(line).ok())
                .find_map(|line| line.strip_prefix(key));
            line.and_then(|line| line.split_whitespace().last()?.parse().ok())
                .unwrap_or(0)
        };
        let process =
            Pid::from_raw(last("Tgid:")).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        let path = fs::read_link(format!("/proc/{thread}/exe"));
        let program = match path {
            Ok(path) => path.as_os_str().as_bytes().to_vec(),
            Err(_) => {
                let name = fs::read(format!("/proc/{thread}/comm")).unwrap_or_default();
                name.trim_ascii_end().to_vec()
            }
        };
        Self {
            process,
            pid: last("NStgid:"),
            program,
        }
    }
}
