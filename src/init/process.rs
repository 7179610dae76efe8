//! The process itself: the change of root, standard streams, capabilities, working directory, the program.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{Access, AtFlags, CWD, FileType, Gid, Mode, OFlags, ResolveFlags, Uid};
use rustix::mount::{MountFlags, MoveMountFlags, UnmountFlags, mount, move_mount, unmount};
use rustix::process::{chdir, chroot, fchdir, pivot_root};

use super::{Call, Child, Difference, Fault, In, Outcome, root};
use crate::sys::mount::{Change, Reach, change};
use crate::sys::{Errno, attributes, prctl, program};

impl Child<'_> {
    /// pivot_root(2) onto the directory itself: the old root ends up on top of the new one and is detached from there,
    /// so that no directory for it is needed.
    pub(super) fn pivot_root(&self) -> Outcome {
        let old = rustix::fs::open(
            c"/",
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .in_call(Call::Open)?;
        fchdir(self.root()).in_call(Call::Chdir)?;
        pivot_root(c".", c".").in_call(Call::PivotRoot)?;
        fchdir(&old).in_call(Call::Chdir)?;
        // What is unmounted here must stay mounted in the runtime's namespace.
        let slave = Change::propagation(libc::MS_SLAVE);
        change(old.as_fd(), slave, Reach::Tree).in_call(Call::MountSetattr)?;
        unmount(c".", UnmountFlags::DETACH).in_call(Call::Umount)?;
        chdir(c"/").in_call(Call::Chdir)
    }

    /// The old root stays in the mount namespace when the new one is moved over it. A proc or sysfs there that nothing
    /// masks would let the container mount another in a user namespace (mount_too_revealing() in the kernel's
    /// fs/namespace.c).
    pub(super) fn unmount(path: &CStr) -> Outcome {
        match unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            // Gone with what it was mounted on.
            Err(Errno::NOENT) => Ok(()),
            // Locked by a user namespace.
            Err(Errno::INVAL | Errno::PERM) => {
                let flags = MountFlags::RDONLY
                    | MountFlags::NOSUID
                    | MountFlags::NODEV
                    | MountFlags::NOEXEC;
                mount(c"none", path, c"tmpfs", flags, c"size=4k").in_call(Call::Mount)
            }
            other => other.in_call(Call::Umount),
        }
    }

    /// For a host whose root is a ramfs, which cannot be pivoted away from.
    pub(super) fn move_root(&self) -> Outcome {
        fchdir(self.root()).in_call(Call::Chdir)?;
        move_mount(
            self.root(),
            c"",
            CWD,
            c"/",
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
        )
        .in_call(Call::MoveMount)?;
        self.change_root()
    }

    pub(super) fn change_root(&self) -> Outcome {
        fchdir(self.root()).in_call(Call::Chdir)?;
        chroot(c".").in_call(Call::Chroot)?;
        chdir(c"/").in_call(Call::Chdir)
    }

    /// Gives pipes, and files that are ours and open for writing, to the user. Never a device: that would be the host's;
    /// nor a file that is open for reading only: its owner could write to it.
    pub(super) fn own_stdio(uid: u32, gid: u32) -> Outcome {
        let own = rustix::process::geteuid().as_raw();
        for stream in [
            rustix::stdio::stdin(),
            rustix::stdio::stdout(),
            rustix::stdio::stderr(),
        ] {
            let stat = match rustix::fs::fstat(stream) {
                Err(Errno::BADF) => continue,
                other => other.in_call(Call::Fstat)?,
            };
            let is_ours = match FileType::from_raw_mode(stat.st_mode) {
                FileType::Fifo => true,
                FileType::RegularFile => stat.st_uid == own && is_writable(stream)?,
                _ => false,
            };
            if is_ours && (stat.st_uid, stat.st_gid) != (uid, gid) {
                let owner = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
                match rustix::fs::fchown(stream, owner.0, owner.1) {
                    // Not mapped in this user namespace, or on a read-only filesystem: the stream works all the same.
                    Err(Errno::PERM | Errno::INVAL | Errno::ROFS) => {}
                    other => other.in_call(Call::Chown)?,
                }
            }
        }
        Ok(())
    }

    pub(super) fn bound(keep: u64, last: u8) -> Outcome {
        for capability in (0..=last).filter(|capability| keep >> capability & 1 == 0) {
            prctl::drop_from_bounding(capability).in_call(Call::Prctl)?;
        }
        Ok(())
    }

    pub(super) fn capabilities(sets: attributes::Capabilities, ambient: u64) -> Outcome {
        prctl::clear_ambient().in_call(Call::Prctl)?;
        attributes::set_capabilities(sets).in_call(Call::Capset)?;
        for capability in (0..64).filter(|capability| ambient >> capability & 1 == 1) {
            prctl::raise_ambient(capability).in_call(Call::Prctl)?;
        }
        Ok(())
    }

    /// Locking takes CAP_SETPCAP, and ambient ones cannot be raised afterwards: the sets are last, with no more than is
    /// held by then.
    pub(super) fn capabilities_for_good(sets: attributes::Capabilities, ambient: u64) -> Outcome {
        let held = attributes::capabilities().in_call(Call::Capget)?;
        let all = attributes::Capabilities {
            effective: held.permitted,
            permitted: held.permitted,
            inheritable: sets.inheritable,
        };
        Self::capabilities(all, ambient)?;
        prctl::lock_securebits().in_call(Call::Prctl)?;
        // Takes away what is ambient and not in them.
        attributes::set_capabilities(sets).in_call(Call::Capset)
    }

    /// As root, to whom a network filesystem may grant less than to the user. Where a link is in the way the user's own
    /// rights decide: it may be the image's, and lead where the config does not.
    pub(super) fn workdir_first(&mut self, path: &CStr) -> Outcome {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        match root::open_by(self.root(), path, flags, ResolveFlags::NO_SYMLINKS) {
            Err(Errno::ACCESS | Errno::PERM | Errno::LOOP) => Ok(()),
            opened => {
                enter(opened.in_call(Call::Openat2)?.as_fd())?;
                self.is_in_workdir = true;
                Ok(())
            }
        }
    }

    /// No magic link: `/proc/self/fd/7` would lead to whatever is open there (CVE-2024-21626).
    pub(super) fn workdir(&self, path: &CStr) -> Outcome {
        if self.is_in_workdir {
            return Ok(());
        }
        let directory = root::open(self.root(), path, OFlags::PATH | OFlags::DIRECTORY)
            .in_call(Call::Openat2)?;
        enter(directory.as_fd())
    }

    /// Settles on the first candidate that can be executed; what is found but cannot be is the better answer than
    /// nothing found.
    pub(super) fn find_program(&mut self) -> Outcome {
        if self.plan.program.is_some() {
            return Ok(());
        }
        let mut answer = Fault {
            call: Call::Access,
            errno: libc::ENOENT,
            detail: 0,
        };
        for (number, path) in self.plan.candidates.iter().enumerate() {
            match executable(path) {
                Ok(()) => {
                    self.candidate = number;
                    return Ok(());
                }
                Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(errno) if answer.errno == libc::ENOENT => {
                    answer = Fault {
                        call: Call::Access,
                        errno: errno.raw_os_error(),
                        detail: number as u64,
                    };
                }
                Err(_) => {}
            }
        }
        Err(answer)
    }

    pub(super) fn execute(&self) -> Outcome {
        let path = &self.plan.candidates[self.candidate];
        if let Some(number) = self.plan.program {
            // Returns only where a filter refuses execveat(2); the candidate is the same file by way of /proc.
            program::execute_number(number, &self.plan.arguments, &self.plan.environment);
        }
        let errno = program::execute(path, &self.plan.arguments, &self.plan.environment);
        Err(Fault {
            call: Call::Execve,
            errno: errno.raw_os_error(),
            detail: self.candidate as u64,
        })
    }
}

/// Makes it the working directory, if it is in the root.
fn enter(directory: BorrowedFd<'_>) -> Outcome {
    fchdir(directory).in_call(Call::Chdir)?;
    let mut buffer = [0u8; 4096];
    let length = attributes::working_directory(&mut buffer).in_call(Call::Getcwd)?;
    // getcwd(2) answers "(unreachable)…" for what is not below the root.
    if length == 0 || buffer[0] != b'/' {
        return Err(Fault::differs(Difference::OutsideRoot, 0));
    }
    Ok(())
}

fn is_writable(stream: BorrowedFd<'_>) -> Outcome<bool> {
    let flags = rustix::fs::fcntl_getfl(stream).in_call(Call::Fstat)?;
    Ok(flags.intersects(OFlags::WRONLY | OFlags::RDWR))
}

fn executable(path: &CStr) -> Result<(), Errno> {
    let stat = rustix::fs::stat(path)?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        return Err(Errno::ISDIR);
    }
    rustix::fs::accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS)
}

/// The root, to look at what it is mounted as.
pub(super) fn is_readonly(root: BorrowedFd<'_>) -> Outcome<bool> {
    let flags = rustix::fs::fstatvfs(root).in_call(Call::Fstatvfs)?.f_flag;
    Ok(flags.contains(rustix::fs::StatVfsMountFlags::RDONLY))
}
