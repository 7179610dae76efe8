//! newuidmap(1) and newgidmap(1): privileged programs of the host that write the id maps of a user without privileges, as
//! far as subuid(5) and subgid(5) give it the ids. Not here: which maps take them (`plan`).

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::hooks::{ended, run_within};
use crate::error::{Doing, Error, Result, quote, quote_path};

/// Where they are looked for. Not in PATH: what is found decides who the users of the container are on the host, and PATH
/// comes from whoever calls, down to the shell of a project's directory; the last place is that of NixOS.
const PLACES: [&str; 6] = [
    "/usr/bin",
    "/bin",
    "/usr/sbin",
    "/sbin",
    "/usr/local/bin",
    "/run/wrappers/bin",
];

/// How long one may take, in seconds. It may ask a directory service of the network for the user.
const PATIENCE: i64 = 30;

/// One of the two programs.
#[derive(Debug, Clone, Copy)]
pub struct MapProgram {
    /// Its file's name.
    pub name: &'static str,
    /// What it writes, in /proc/PID.
    file: &'static str,
    /// The file that says what it may write.
    grants: &'static str,
    /// Whose map it is, in config.json.
    field: &'static str,
}

/// For users.
pub const NEWUIDMAP: MapProgram = MapProgram {
    name: "newuidmap",
    file: "uid_map",
    grants: "/etc/subuid",
    field: "linux.uidMappings",
};

/// For groups; where it grants a range, it leaves setgroups(2) allowed.
pub const NEWGIDMAP: MapProgram = MapProgram {
    name: "newgidmap",
    file: "gid_map",
    grants: "/etc/subgid",
    field: "linux.gidMappings",
};

impl MapProgram {
    /// The program's path, if it is installed.
    pub fn path(self) -> Option<PathBuf> {
        let paths = PLACES.iter().map(|place| Path::new(place).join(self.name));
        paths.into_iter().find(|path| path.is_file())
    }

    /// The file that says which ids it maps for whom.
    pub fn grants(self) -> &'static str {
        self.grants
    }

    /// Has `lines` of `inside outside size` written for `pid`, and looks whether they were. `pid` is a child of ours that
    /// nobody has waited for: its number cannot be that of another process meanwhile.
    pub(super) fn map(self, pid: i32, lines: &str) -> Result<()> {
        let path = self.path().ok_or_else(|| {
            let cause = format!("no {} in {}", self.name, PLACES.join(", "));
            Error::new(self.field, cause).hint(
                "install uidmap (elsewhere shadow-utils or shadow), or map one's own id alone, in one line of size 1",
            )
        })?;
        let doing = || format!("{}: run {}", self.field, quote_path(&path));
        let mut command = Command::new(&path);
        command.arg(pid.to_string()).args(lines.split_whitespace());
        // A privileged program gets nothing of ours that it does not need.
        command.env_clear().current_dir("/");
        command.stdin(Stdio::null());
        match run_within(&mut command, PATIENCE).doing(doing)? {
            (Some(status), _) if status.success() => self.check(pid, lines),
            (Some(status), said) => {
                Err(Error::new(doing(), ended(status) + &said).hint(self.what_helps()))
            }
            (None, said) => {
                let cause = format!("still running after {PATIENCE} s, killed{said}");
                Err(Error::new(doing(), cause)
                    .hint("it asks for users by nsswitch.conf(5): look for a service there that does not answer"))
            }
        }
    }

    fn what_helps(self) -> String {
        if crate::sys::prctl::no_new_privileges().is_ok_and(|is_set| is_set) {
            return format!(
                "no_new_privs is set here, which keeps {} from its privileges",
                self.name
            );
        }
        format!(
            "{} says which ids this user may map; stockade doctor says how to add some",
            self.grants
        )
    }

    /// The kernel's own account of the map.
    fn check(self, pid: i32, lines: &str) -> Result<()> {
        let path = format!("/proc/{pid}/{}", self.file);
        let found = std::fs::read_to_string(&path).doing(|| format!("read {}", quote(&path)))?;
        if found.split_whitespace().eq(lines.split_whitespace()) {
            return Ok(());
        }
        let found: Vec<&str> = found.split_whitespace().collect();
        let cause = format!("{} has left {}", self.name, quote(found.join(" ")));
        Err(Error::new(self.field, cause))
    }
}
