//! Names of users and groups by the files of a root filesystem (passwd(5), group(5)). Nothing of the host is asked, and a
//! file that is not a regular one inside the root is not read.

use std::ffi::CStr;
use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, openat};

use super::inside;
use crate::error::{Error, Result, quote};

/// Largest file that is read, in bytes.
const LARGEST: u64 = 1 << 20;

/// Who the process of an image is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ids {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Groups that the user is a member of, beside that one.
    pub groups: Vec<u32>,
}

impl Ids {
    /// Leaves out the further groups: where one id is mapped there is no setgroups(2) (user_namespaces(7)).
    pub fn leave_out_groups(&mut self) {
        if !self.groups.is_empty() {
            log::info!("groups {:?} are left out: one id is mapped", self.groups);
            self.groups.clear();
        }
    }
}

/// The texts of a root filesystem's passwd and group files; empty where there is none.
#[derive(Debug, Clone, Default)]
pub struct Users {
    passwd: String,
    group: String,
}

impl Users {
    /// Reads the files below `root`.
    pub fn read(root: &Path) -> Self {
        Self {
            passwd: text(root, c"etc/passwd"),
            group: text(root, c"etc/group"),
        }
    }

    /// The ids of `USER` or `USER:GROUP`, by number or by name; a number is a number even where a name looks like it
    /// (CVE-2016-3697). A user without a group has the one of its line, or what `group_of` says where there is
    /// none. A user by name is in the groups that it is a member of too; by number, in no others (conversion.md).
    ///
    /// # Errors
    /// A name that is not there, a number that is no id.
    pub fn ids(&self, words: &str, group_of: impl Fn(u32) -> u32) -> Result<Ids> {
        let (user, group) = words
            .split_once(':')
            .map_or((words, None), |(user, group)| (user, Some(group)));
        let fail = |cause: String| Error::new(format!("user {}", quote(words)), cause);
        let by_id = |uid: u32| {
            self.passwd
                .lines()
                .find(|line| field(line, 2).and_then(id) == Some(uid))
        };
        let (uid, line) = match (user, number(user)) {
            ("", _) => (0, by_id(0)),
            (_, Some(Some(uid))) => (uid, by_id(uid)),
            (_, Some(None)) => return Err(fail("is no id: ids are below 4294967295".into())),
            (name, None) => {
                let line = named(&self.passwd, name);
                let uid = line.and_then(|line| field(line, 2)).and_then(id);
                let missing = || fail(format!("the root filesystem has no user {}", quote(name)));
                (uid.ok_or_else(missing)?, line)
            }
        };
        let own = line.and_then(|line| field(line, 3)).and_then(id);
        let own = own.unwrap_or_else(|| group_of(uid));
        let name = line.and_then(|line| field(line, 0)).unwrap_or(user);
        let Some(group) = group else {
            // image-spec conversion.md: a number says all there is.
            let is_number = number(user).is_some();
            return Ok(Ids {
                uid,
                gid: own,
                groups: if is_number {
                    Vec::new()
                } else {
                    self.groups_of(name, own)
                },
            });
        };
        let gid = match number(group) {
            Some(Some(gid)) => gid,
            Some(None) => return Err(fail("is no id: ids are below 4294967295".into())),
            None => named(&self.group, group)
                .and_then(|line| field(line, 2))
                .and_then(id)
                .ok_or_else(|| {
                    fail(format!("the root filesystem has no group {}", quote(group)))
                })?,
        };
        Ok(Ids {
            uid,
            gid,
            groups: Vec::new(),
        })
    }

    fn groups_of(&self, name: &str, own: u32) -> Vec<u32> {
        let is_member = |line: &&str| {
            field(line, 3).is_some_and(|members| members.split(',').any(|member| member == name))
        };
        let mut groups: Vec<u32> = self
            .group
            .lines()
            .filter(is_member)
            .filter_map(|line| field(line, 2).and_then(id))
            .filter(|gid| *gid != own)
            .collect();
        groups.sort_unstable();
        groups.dedup();
        groups
    }
}

fn field(line: &str, index: usize) -> Option<&str> {
    line.split(':').nth(index)
}

fn named<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines()
        .find(|line| !name.is_empty() && field(line, 0) == Some(name))
}

/// All digits: a number, which may still be no id.
fn number(word: &str) -> Option<Option<u32>> {
    (!word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit())).then(|| id(word))
}

fn id(word: &str) -> Option<u32> {
    word.parse().ok().filter(|id| *id != u32::MAX)
}

fn text(root: &Path, path: &CStr) -> String {
    // A file that cannot be read has no names; asking for one then fails by that name.
    let mut bytes = read_inside(root, path).unwrap_or_default();
    if bytes.len() as u64 == LARGEST {
        // The rest of a line that is cut off might still be a line, of another number.
        let whole = bytes.iter().rposition(|byte| *byte == b'\n');
        bytes.truncate(whole.unwrap_or(0));
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The beginning of a regular file of a root filesystem, a mebibyte at most; none where there is none to read.
pub fn read_inside(root: &Path, path: &CStr) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = open_inside(root, path)?;
    file.take(LARGEST).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// Opens a regular file of a root filesystem: inside it, and without waiting for the other end of a FIFO.
pub fn open_inside(root: &Path, path: &CStr) -> Option<File> {
    let root = openat(CWD, root, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let (named, stat) = inside::named(root.as_fd(), path).ok()?;
    if !inside::is_file(&stat) {
        log::warn!(
            "{} of the root filesystem is not a regular file and is not read",
            quote(path.to_bytes())
        );
        return None;
    }
    inside::reopen(named.as_fd()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users() -> Users {
        Users {
            passwd:
                "root:x:0:0::/root:/bin/sh\n1000:x:0:0::/:/bin/sh\napp:x:500:501::/app:/bin/sh\n"
                    .into(),
            group: "root:x:0:\napp:x:501:\nextra:x:600:app,other\nmore:x:70:app\n".into(),
        }
    }

    #[test]
    fn users_are_found_by_name_and_by_number() {
        let ids = |uid, gid, groups: &[u32]| Ids {
            uid,
            gid,
            groups: groups.to_vec(),
        };
        for (words, expected) in [
            ("", ids(0, 0, &[])),
            ("app", ids(500, 501, &[70, 600])),
            ("500", ids(500, 501, &[])),
            ("app:extra", ids(500, 600, &[])),
            ("7", ids(7, 0, &[])),
            ("7:8", ids(7, 8, &[])),
            // Not the user who is called so.
            ("1000", ids(1000, 0, &[])),
        ] {
            assert_eq!(users().ids(words, |_| 0).unwrap(), expected, "{words:?}");
        }
    }

    /// The user `app` by the passwd file that `make` puts into a root filesystem.
    fn app_of(make: impl FnOnce(&Path)) -> Result<Ids> {
        let dir = tempfile::tempdir().unwrap();
        let line = "app:x:500:501::/:/bin/sh\n";
        std::fs::write(dir.path().join("passwd"), line).unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir_all(root.join("etc")).unwrap();
        make(&root.join("etc/passwd"));
        Users::read(&root).ids("app", |_| 0)
    }

    #[test]
    fn passwd_is_a_regular_file_inside_the_root_or_nothing() {
        use std::os::unix::fs::symlink;
        let missing = "user \"app\": the root filesystem has no user \"app\"";
        let outside: [fn(&Path); 6] = [
            |path| symlink(path.parent().unwrap().join("../../passwd"), path).unwrap(),
            |path| symlink("../../passwd", path).unwrap(),
            |path| symlink("/proc/self/fd/0", path).unwrap(),
            |path| symlink("passwd", path).unwrap(),
            |path| std::fs::create_dir(path).unwrap(),
            |path| {
                let fifo = rustix::fs::FileType::Fifo;
                rustix::fs::mknodat(CWD, path, fifo, Mode::RWXU, 0).unwrap();
            },
        ];
        for make in outside {
            assert_eq!(app_of(make).unwrap_err().to_string(), missing);
        }
        let inside = app_of(|path| {
            std::fs::write(path.with_file_name("other"), "app:x:7:8::/:/bin/sh\n").unwrap();
            symlink("/etc/other", path).unwrap();
        });
        assert_eq!(inside.unwrap().uid, 7);
    }

    #[test]
    fn passwd_of_any_size_is_read_in_part_and_by_whole_lines() {
        let huge = app_of(|path| {
            std::fs::write(path, "app:x:7:8::/:/bin/sh\n").unwrap();
            let file = File::options().write(true).open(path).unwrap();
            file.set_len(1 << 30).unwrap();
        });
        assert_eq!(huge.unwrap().uid, 7);
        // The number 15 of a line that goes on as 1500.
        let line = "app:x:15";
        let cut = app_of(|path| {
            let before = "#".repeat(LARGEST as usize - line.len() - 1);
            std::fs::write(path, format!("{before}\n{line}00:16::/:/bin/sh\n")).unwrap();
        });
        assert!(cut.is_err(), "{cut:?}");
    }

    #[test]
    fn groups_without_end_are_read_in_part() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        std::fs::write(dir.path().join("etc/passwd"), "app:x:5:5::/:\n").unwrap();
        let groups: String = (0..200_000).map(|n| format!("g{n}:x:{n}:app\n")).collect();
        std::fs::write(dir.path().join("etc/group"), groups).unwrap();
        let ids = Users::read(dir.path()).ids("app", |_| 0).unwrap();
        assert!((40_000..100_000).contains(&ids.groups.len()));
    }

    #[test]
    fn what_is_no_user_is_refused() {
        for words in [
            "nobody",
            "4294967295",
            "4294967296",
            "-1",
            "0x0",
            "1 ",
            "app:none",
            "app:",
            "x\ny",
        ] {
            assert!(users().ids(words, |_| 0).is_err(), "{words:?}");
        }
    }
}
