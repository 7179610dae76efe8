//! Writing a cgroup's limits and reading them back.
//! Which files and values is `settings`; how a file prints its value is `readback`.

use super::filesystem::{self, error};
use super::group::Cgroup;
use super::settings::Write;
use super::{readback, systemd};
use crate::error::{Error, Result, quote, quote_path};
use crate::sys::Errno;

impl Cgroup {
    /// Writes limits, also later ones. Some depend on each other (memory and swap, quota and period), and what the
    /// order must be depends on what was there: whatever the kernel calls invalid is tried again after the rest.
    ///
    /// # Errors
    /// For the first limit that cannot be applied, naming its field.
    pub fn apply(&self, writes: &[Write]) -> Result<()> {
        let mut again = Vec::new();
        for write in writes {
            match self.write(write) {
                Err((_, Errno::INVAL)) => again.push(write),
                result => result.map_err(|(file, errno)| self.unapplied(write, &file, errno))?,
            }
        }
        for write in again {
            self.write(write)
                .map_err(|(file, errno)| self.unapplied(write, &file, errno))?;
        }
        Ok(())
    }

    /// The same in a cgroup in use, of which systemd may know limits as well.
    fn apply_anew(&self, writes: &[Write]) -> Result<()> {
        if let Some(unit) = &self.location.unit {
            systemd::change(unit, writes)?;
        }
        self.apply(writes)
    }

    /// Writes limits of a cgroup in use, reads them back, and returns what brings the old ones back.
    ///
    /// # Errors
    /// For the first limit that cannot be applied, naming its field. The old limits hold again then, or the error says so.
    pub fn change(&self, writes: &[Write]) -> Result<Vec<Write>> {
        let before = self.before(writes)?;
        match self.apply_anew(writes).and_then(|()| self.verify(writes)) {
            Ok(()) => Ok(before),
            Err(cause) => Err(self.put_back(&before, cause)),
        }
    }

    /// Writes what [`Self::change`] returned, after a failure that this returns.
    #[must_use]
    pub fn put_back(&self, before: &[Write], cause: Error) -> Error {
        match self.apply_anew(before) {
            Ok(()) => cause,
            Err(error) => {
                let cause =
                    format!("{cause}; then the limits from before could not be put back: {error}");
                Error::new("change limits", cause)
            }
        }
    }

    /// The writes that lead from what these writes lead to back to what is now.
    fn before(&self, writes: &[Write]) -> Result<Vec<Write>> {
        // The weight of an idle group is the kernel's, and cannot be written (`cpu.idle`, since Linux 5.15).
        let idle = self.text("cpu", "cpu.idle")?.unwrap_or_default();
        let is_fixed =
            |file: &str| idle.trim() == "1" && matches!(file, "cpu.shares" | "cpu.weight");
        let mut before = Vec::new();
        for write in writes.iter().filter(|write| !is_fixed(&write.file)) {
            for (file, value) in write.candidates() {
                let Some(text) = self.text(&write.controller, file)? else {
                    continue;
                };
                before.push(Write {
                    file: file.to_owned(),
                    value: readback::undo(file, value, &text),
                    otherwise: Vec::new(),
                    ..write.clone()
                });
                break;
            }
        }
        Ok(before)
    }

    /// Refuses a memory limit below what is in use (`memory.checkBeforeUpdate`).
    ///
    /// # Errors
    /// When more is in use, or that cannot be read.
    pub fn check_memory_use(&self, limit: i64) -> Result<()> {
        let file = match self.of("memory") {
            Some((group, _)) if group.v2 => "memory.current",
            _ => "memory.usage_in_bytes",
        };
        let text = self.text("memory", file)?.unwrap_or_default();
        let used: i64 = text.trim().parse().unwrap_or(0);
        if limit <= 0 || used <= limit {
            return Ok(());
        }
        let cause = format!("{limit} is below what is in use, {used}");
        Err(Error::new("linux.resources.memory.limit", cause))
    }

    /// Writes to the first of the files that this kernel has; the error has the last file tried.
    fn write(&self, write: &Write) -> std::result::Result<(), (String, Errno)> {
        let Some((_, directory)) = self.of(&write.controller) else {
            return Err((write.file.clone(), Errno::NOENT));
        };
        let mut last = (write.file.clone(), Errno::NOENT);
        for (file, value) in write.candidates() {
            match filesystem::write(directory, file, value) {
                Ok(()) => return Ok(()),
                // EOPNOTSUPP: `io.bfq.weight` of a device that BFQ does not schedule.
                Err(errno @ (Errno::NOENT | Errno::OPNOTSUPP)) => last = (file.to_owned(), errno),
                Err(errno) => return Err((file.to_owned(), errno)),
            }
        }
        if last.1 == Errno::NOENT && write.is_absent_by_nature() {
            Ok(())
        } else {
            Err(last)
        }
    }

    fn unapplied(&self, write: &Write, file: &str, errno: Errno) -> Error {
        let path = self
            .of(&write.controller)
            .map(|(group, _)| group.directory().join(file));
        let path = path.map_or_else(|| quote(file), |path| quote_path(&path));
        if errno == Errno::NOENT {
            return Error::new(&write.field, format!("this kernel has no {path}"))
                .hint("leave the field out, or enable the feature in the kernel");
        }
        error(
            format!("{}: write {} to {path}", write.field, quote(&write.value)),
            errno,
        )
    }

    /// Reads every limit back and compares, knowing how the kernel rounds and prints.
    ///
    /// # Errors
    /// For the first that differs, naming its field.
    pub fn verify(&self, writes: &[Write]) -> Result<()> {
        for (at, write) in writes.iter().enumerate() {
            // A later write to the same line has replaced this one.
            let replaced = |later: &Write| readback::replaces(later, write);
            if writes[at + 1..].iter().any(replaced) {
                continue;
            }
            self.verify_one(write)?;
        }
        Ok(())
    }

    fn verify_one(&self, write: &Write) -> Result<()> {
        let Some((_, directory)) = self.of(&write.controller) else {
            return Err(self.unapplied(write, &write.file, Errno::NOENT));
        };
        let mut found = None;
        for (file, value) in write.candidates() {
            match filesystem::read(directory, file) {
                Ok(text) if readback::holds(file, value, &text) => return Ok(()),
                Ok(text) => {
                    found.get_or_insert((file, text));
                }
                Err(Errno::NOENT) => {}
                // Files that can only be written have nothing to compare.
                Err(Errno::INVAL | Errno::ACCESS) if !readback::is_known(file) => return Ok(()),
                Err(errno) => return Err(self.unapplied(write, file, errno)),
            }
        }
        match found {
            Some((file, text)) => Err(Error::new(
                &write.field,
                format!(
                    "{file} reads {} after {}",
                    quote(text.trim_end()),
                    quote(&write.value)
                ),
            )),
            None if write.is_absent_by_nature() => Ok(()),
            None => Err(self.unapplied(write, &write.file, Errno::NOENT)),
        }
    }
}
