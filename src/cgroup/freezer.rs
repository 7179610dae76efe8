//! Freezing and thawing a container's cgroup: `cgroup.freeze` of v2 where there is a v2 hierarchy, else the v1 freezer
//! (kernel documentation, admin-guide/cgroup-v2 and cgroup-v1/freezer-subsystem).

use std::os::fd::BorrowedFd;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;

use super::filesystem::{self, error, value_of};
use super::group::Cgroup;
use super::life::{PATIENCE, wait};
use crate::error::{Error, Result, quote_path};
use crate::sys::{Errno, SysResult};

/// Controller, file, and what the file reads while nothing is frozen.
const FREEZERS: [(&str, &str, &str); 2] = [
    ("cgroup", "cgroup.freeze", "0"),
    ("freezer", "freezer.state", "THAWED"),
];

/// After this many looks at a v1 group that does not get there, it is let go for a moment.
const LOOKS_UNTIL_A_NEW_START: u32 = 25;

impl Cgroup {
    /// Stops every process in it until [`Self::thaw`], and waits until all have stopped.
    ///
    /// # Errors
    /// When there is no freezer, or when processes do not stop in ten seconds; they then run again.
    pub fn freeze(&self) -> Result<()> {
        let result = match self.of("cgroup") {
            Some((_, directory)) => {
                freeze_v2(directory).map_err(|errno| error("freeze the cgroup", errno))
            }
            None => self.freeze_v1(),
        };
        result.map_err(|cause| match self.thaw() {
            Ok(()) => cause,
            Err(thaw) => Error::new("freeze the cgroup", format!("{cause}; then {thaw}")),
        })
    }

    pub(super) fn freeze_v1(&self) -> Result<()> {
        let (_, directory) = self.of("freezer").ok_or_else(|| {
            Error::new("freeze the cgroup", "this host has no freezer")
                .hint("mount the freezer hierarchy or cgroup v2 (cgroups(7))")
        })?;
        freeze_v1(directory).map_err(|errno| error("freeze the cgroup", errno))
    }

    /// Lets frozen processes run again, unless a cgroup above is frozen too.
    ///
    /// # Errors
    /// When the freezer cannot be written.
    pub fn thaw(&self) -> Result<()> {
        for (controller, file, value) in FREEZERS {
            let Some((group, directory)) = self.of(controller) else {
                continue;
            };
            match filesystem::write(directory, file, value) {
                Ok(()) | Err(Errno::NOENT | Errno::NODEV) => {}
                Err(errno) => {
                    let path = quote_path(&group.directory().join(file));
                    return Err(error(format!("write {path}"), errno));
                }
            }
        }
        Ok(())
    }

    /// Whether it is frozen or on the way there, by whoever; a frozen cgroup above counts.
    ///
    /// # Errors
    /// When the freezer's state cannot be read.
    pub fn is_frozen(&self) -> Result<bool> {
        for (controller, file, running) in FREEZERS {
            if let Some(state) = self.text(controller, file)?
                && state.trim() != running
            {
                return Ok(true);
            }
        }
        // `cgroup.freeze` is the group's own wish, `cgroup.events` what came of all wishes.
        let events = self.text("cgroup", "cgroup.events")?.unwrap_or_default();
        Ok(value_of(&events, "frozen") == Some(1))
    }
}

fn freeze_v2(directory: BorrowedFd<'_>) -> SysResult<()> {
    filesystem::write(directory, "cgroup.freeze", "1")?;
    let deadline = Instant::now() + PATIENCE;
    let events = filesystem::to_read(directory, "cgroup.events")?;
    loop {
        let mut text = [0u8; 256];
        let length = rustix::io::pread(&events, &mut text, 0)?;
        if value_of(&String::from_utf8_lossy(&text[..length]), "frozen") == Some(1) {
            return Ok(());
        }
        if !wait(&events, PollFlags::PRI, deadline)? {
            return Err(Errno::TIMEDOUT);
        }
    }
}

fn freeze_v1(directory: BorrowedFd<'_>) -> SysResult<()> {
    let deadline = Instant::now() + PATIENCE;
    let mut pause = Duration::from_micros(100);
    let mut looks = 0;
    loop {
        // Written again: a process that forks while it freezes can leave the group half frozen.
        filesystem::write(directory, "freezer.state", "FROZEN")?;
        if filesystem::read(directory, "freezer.state")?.trim() == "FROZEN" {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(Errno::TIMEDOUT);
        }
        looks += 1;
        // A process that waits, unfreezable, for one that is frozen already (vfork(2)) needs that one to go on.
        if looks % LOOKS_UNTIL_A_NEW_START == 0 {
            filesystem::write(directory, "freezer.state", "THAWED")?;
        }
        // The v1 freezer reports nothing that could be awaited.
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    }
}
