//! A range of ids for a user without root: which ones subuid(5) and subgid(5) give, and a user namespace that has them, for
//! files that keep their owners and for a container in it. The first id inside is the user's own.
//! Not here: the programs that write the map (`map_program`), and the maps of the OCI verbs, which a config names.

use std::fs;
use std::os::fd::AsFd;

use super::map_program::{MapProgram, NEWGIDMAP, NEWUIDMAP};
use super::{id_map, overlay};
use crate::error::{Doing, Error, Result};
use crate::plan::{IdMapText, MapWriter};
use crate::spec::IdMapping;
use crate::sys::clone::join;
use crate::sys::prctl;

/// The most lines of a file that are taken; a map may have 340 (user_namespaces(7)).
const MOST_LINES: usize = 64;

/// Which ids a user without root has inside.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Map {
    /// A range for an image where the user has one, else one.
    #[default]
    Auto,
    /// Its own alone: whatever runs is the caller, and all files are its.
    Single,
    /// Its own as 0, and above it those that the host gives it.
    Range,
}

impl Map {
    /// The range to enter; none for root, and where one id is to do. `Auto` asks for one for files that are unpacked: only
    /// those can belong to the ids of a range.
    ///
    /// # Errors
    /// A range is asked for that cannot be had, or either by root.
    pub fn ranges(self, files: Files) -> Result<Option<Ranges>> {
        if rustix::process::geteuid().is_root() {
            return match self {
                Self::Auto => Ok(None),
                _ => Err(Error::new("--map", "root has every id already")
                    .hint("leave it out, or call as another user")),
            };
        }
        match (self, files) {
            (Self::Single, _) | (Self::Auto, Files::Found) => Ok(None),
            (Self::Range, _) => Ranges::of_caller()
                .map(Some)
                .map_err(|error| error.hint_too("or give every file to this user by --map single")),
            (Self::Auto, Files::Unpacked) => Ok(Ranges::of_caller()
                .inspect_err(|error| {
                    log::info!("one id is there inside, and all files belong to it: {error}");
                })
                .ok()),
        }
    }
}

/// Where the files of a container come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Files {
    /// They are unpacked, and can be given to anybody.
    Unpacked,
    /// They are there, whoever has them.
    Found,
}

/// The ids of a user without root, and of its groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ranges {
    uids: Vec<IdMapping>,
    gids: Vec<IdMapping>,
}

impl Ranges {
    /// Those of the user of this process.
    ///
    /// # Errors
    /// What is missing: a program, a range, the right to use them.
    pub fn of_caller() -> Result<Self> {
        const DOING: &str = "map a range of ids";
        let missing = |program: &&MapProgram| program.path().is_none();
        if let Some(program) = [NEWUIDMAP, NEWGIDMAP].iter().find(missing) {
            return Err(Error::new(DOING, format!("there is no {}", program.name))
                .hint("install uidmap (elsewhere shadow-utils or shadow)"));
        }
        if prctl::no_new_privileges().is_ok_and(|is_set| is_set) {
            let cause = "no_new_privs is set, which keeps newuidmap from its privileges";
            return Err(
                Error::new(DOING, cause).hint("start it outside of that service or sandbox")
            );
        }
        let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
        let map = |own: u32, program: MapProgram| {
            let map = map(own, &subordinate(program, uid.as_raw()));
            if map.len() > 1 {
                return Ok(map);
            }
            let cause = format!("{} gives this user no range", program.grants());
            Err(Error::new(DOING, cause).hint("stockade doctor says how to add one"))
        };
        Ok(Self {
            uids: map(uid.as_raw(), NEWUIDMAP)?,
            gids: map(gid.as_raw(), NEWGIDMAP)?,
        })
    }

    /// Moves this process, which must have one thread, into a user namespace that maps them, and a mount namespace of its
    /// own. It is root in there, and still its user to everybody outside.
    ///
    /// # Errors
    /// No namespace can be made; newuidmap(1) or newgidmap(1) refuses.
    pub fn enter(&self) -> Result<()> {
        let by = MapWriter::Program;
        let maps = IdMapText {
            uid: lines(&self.uids),
            gid: lines(&self.gids),
            uid_by: by,
            gid_by: by,
        };
        let namespace = id_map::user_namespace(&maps)?;
        join(namespace.as_fd(), libc::CLONE_NEWUSER).doing(|| "enter a user namespace")?;
        overlay::leave_host()
    }

    /// As the maps of a config.json for who is outside.
    pub fn outside(&self) -> (Vec<IdMapping>, Vec<IdMapping>) {
        (self.uids.clone(), self.gids.clone())
    }

    /// As the maps of a config.json for who has entered: all ids as themselves. Line by line, since the kernel takes no line
    /// that crosses one of the map around it.
    pub(super) fn inside(&self) -> (Vec<IdMapping>, Vec<IdMapping>) {
        let same = |line: &IdMapping| IdMapping {
            host_id: line.container_id,
            ..*line
        };
        let all = |map: &[IdMapping]| map.iter().map(same).collect();
        (all(&self.uids), all(&self.gids))
    }
}

/// The ranges that a file gives a user, as its first id and how many, in the order of the file.
pub fn subordinate(program: MapProgram, uid: u32) -> Vec<(u32, u32)> {
    let text = fs::read_to_string(program.grants()).unwrap_or_default();
    granted(&text, uid, user_name(uid).as_deref())
}

/// The name of a user by passwd(5).
pub fn user_name(uid: u32) -> Option<String> {
    let passwd = fs::read_to_string("/etc/passwd").ok()?;
    let uid = uid.to_string();
    let mut users = passwd
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>());
    let own = users.find(|fields| fields.get(2) == Some(&uid.as_str()))?;
    own.first().map(|name| (*name).to_owned())
}

fn granted(text: &str, uid: u32, name: Option<&str>) -> Vec<(u32, u32)> {
    let uid = uid.to_string();
    let range = |line: &str| {
        let (owner, numbers) = line.split_once(':')?;
        let (first, count) = numbers.split_once(':')?;
        let (first, count): (u32, u32) = (first.trim().parse().ok()?, count.trim().parse().ok()?);
        // 2^32-1 is no id.
        let is_whole = count > 0 && first.checked_add(count).is_some();
        ((owner == uid || Some(owner) == name) && is_whole).then_some((first, count))
    };
    text.lines().filter_map(range).collect()
}

/// One's own id, and the ranges after it; of those that overlap, the first, since the kernel takes no map with others.
fn map(own: u32, ranges: &[(u32, u32)]) -> Vec<IdMapping> {
    let mut map = vec![IdMapping {
        container_id: 0,
        host_id: own,
        size: 1,
    }];
    for (first, count) in ranges.iter().copied().take(MOST_LINES) {
        let last = map.last().expect("it begins with one");
        let next = last.container_id + last.size;
        let is_apart =
            |line: &IdMapping| first >= line.host_id + line.size || line.host_id >= first + count;
        if map.iter().all(is_apart) && next.checked_add(count).is_some() {
            map.push(IdMapping {
                container_id: next,
                host_id: first,
                size: count,
            });
        }
    }
    map
}

fn lines(map: &[IdMapping]) -> String {
    map.iter()
        .map(|line| format!("{} {} {}\n", line.container_id, line.host_id, line.size))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_by_name_or_number() {
        let text = "alice:100000:65536\nbob:1:1\n1000:300000:10\nalice:x:1\nalice:5:0\nalice:4294967295:1\n\n#alice:1:1\n";
        let found = granted(text, 1000, Some("alice"));
        assert_eq!(found, [(100_000, 65536), (300_000, 10)]);
        assert_eq!(granted(text, 1000, None), [(300_000, 10)]);
    }

    #[test]
    fn the_users_own_id_is_first_and_no_id_is_twice() {
        let line = |container_id, host_id, size| IdMapping {
            container_id,
            host_id,
            size,
        };
        let found = map(
            1000,
            &[(100_000, 10), (100_005, 10), (990, 20), (200_000, 5)],
        );
        let expected = [line(0, 1000, 1), line(1, 100_000, 10), line(11, 200_000, 5)];
        assert_eq!(found, expected);
        assert_eq!(lines(&found), "0 1000 1\n1 100000 10\n11 200000 5\n");
    }
}
