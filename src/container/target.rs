//! A running container as `exec` finds it: its first process, by descriptors that never become another process's.
//! What is done with them is in `exec` and in the child.

use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat, statat};
use rustix::io::Errno;

use super::{State, process};
use crate::error::{Doing, Error, Result, quote};
use crate::init;
use crate::spec::{Config, NamespaceType};
use crate::sys::{clone, signal};

/// The kinds of namespace by their file in /proc/PID/ns.
const NAMESPACES: [(&str, i32, NamespaceType); 8] = [
    ("user", libc::CLONE_NEWUSER, NamespaceType::User),
    ("mnt", libc::CLONE_NEWNS, NamespaceType::Mount),
    ("pid", libc::CLONE_NEWPID, NamespaceType::Pid),
    ("net", libc::CLONE_NEWNET, NamespaceType::Network),
    ("ipc", libc::CLONE_NEWIPC, NamespaceType::Ipc),
    ("uts", libc::CLONE_NEWUTS, NamespaceType::Uts),
    ("cgroup", libc::CLONE_NEWCGROUP, NamespaceType::Cgroup),
    ("time", clone::NEWTIME as i32, NamespaceType::Time),
];

/// A container's first process.
#[derive(Debug)]
pub(super) struct Target {
    pidfd: OwnedFd,
    /// Its directory in /proc: whatever is read through it is this process's, or fails.
    directory: OwnedFd,
    root: OwnedFd,
}

impl Target {
    /// Opens the process that the state names by pid and start time.
    pub(super) fn open(state: &State) -> Result<Self> {
        let gone = || gone(&state.id);
        let pidfd = process::open(state.pid, state.start_time)?.ok_or_else(gone)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = openat(CWD, format!("/proc/{}", state.pid), flags, Mode::empty());
        let directory = directory.map_err(|_| gone())?;
        // Until its end the number is its own, so that the directory just opened is, too.
        signal::send(pidfd.as_fd(), 0).map_err(|_| gone())?;
        // The link is a magic one, which leads there whatever its text says.
        let root = match openat(&directory, c"root", flags, Mode::empty()) {
            Err(Errno::NOENT | Errno::SRCH) => return Err(gone()),
            other => other.map_err(|errno| refused(&state.id, "open its root", errno))?,
        };
        Ok(Self {
            pidfd,
            directory,
            root,
        })
    }

    /// A path to its root for as long as this lives.
    pub(super) fn root(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.root.as_raw_fd()).into()
    }

    /// `CLONE_NEW*` of the namespaces that it does not share with this process. Each one that the config asked a new one of
    /// must be among them.
    pub(super) fn namespaces(&self, id: &str, config: &Config) -> Result<i32> {
        let mut flags = 0;
        for (name, flag, kind) in NAMESPACES {
            let own = match statat(CWD, format!("/proc/self/ns/{name}"), AtFlags::empty()) {
                // This kernel does not have them.
                Err(Errno::NOENT) => continue,
                other => other.doing(|| format!("look at the {} namespace", kind.word()))?,
            };
            let its = match statat(&self.directory, format!("ns/{name}"), AtFlags::empty()) {
                Err(Errno::NOENT | Errno::SRCH) => return Err(gone(id)),
                other => other.map_err(|errno| {
                    refused(id, &format!("look at its {} namespace", kind.word()), errno)
                })?,
            };
            if (own.st_dev, own.st_ino) != (its.st_dev, its.st_ino) {
                flags |= flag;
            } else if is_new(config, kind) {
                let cause = format!("its {} namespace is the runtime's own", kind.word());
                return Err(Error::new(doing(id), cause));
            }
        }
        Ok(flags)
    }

    /// Whether setgroups(2) is given up in its user namespace.
    pub(super) fn denies_setgroups(&self) -> Result<bool> {
        Ok(self.read("setgroups")?.trim() == "deny")
    }

    /// Its cgroups, as /proc/PID/cgroup has them.
    pub(super) fn cgroups(&self) -> Result<String> {
        self.read("cgroup")
    }

    pub(super) fn is_alive(&self) -> Result<bool> {
        Ok(!process::wait(&self.pidfd, 0)?)
    }

    /// The descriptors for the child.
    pub(super) fn for_child(&self) -> Result<init::Container> {
        let copy =
            |fd: &OwnedFd| rustix::io::fcntl_dupfd_cloexec(fd, 3).doing(|| "copy a descriptor");
        Ok(init::Container {
            process: copy(&self.pidfd)?,
            root: copy(&self.root)?,
        })
    }

    fn read(&self, name: &str) -> Result<String> {
        let doing = || format!("read {} of the container's process", quote(name));
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = openat(&self.directory, name, flags, Mode::empty()).doing(doing)?;
        let mut text = String::new();
        std::fs::File::from(file)
            .read_to_string(&mut text)
            .doing(doing)?;
        Ok(text)
    }
}

fn is_new(config: &Config, kind: NamespaceType) -> bool {
    let mut namespaces = config.linux.iter().flat_map(|linux| &linux.namespaces);
    namespaces.any(|namespace| namespace.kind == kind && namespace.path.is_none())
}

pub(super) fn doing(id: &str) -> String {
    format!("exec in container {}", quote(id))
}

/// The container ended while it was looked at.
pub(super) fn gone(id: &str) -> Error {
    Error::new(
        doing(id),
        "cannot exec in a stopped container: it has just ended",
    )
}

fn refused(id: &str, what: &str, errno: Errno) -> Error {
    let error = Error::new(doing(id), format!("{what}: {errno}"));
    match errno {
        Errno::ACCESS | Errno::PERM => error.hint(
            "only its own user and root may enter a container, and the user only after its start",
        ),
        _ => error,
    }
}
