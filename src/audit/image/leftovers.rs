//! What a build or a developer left behind: repositories, histories, backups, dumps (IMG-018), caches (IMG-021).
//! Whether there is a secret in it is asked elsewhere, by content.

use std::collections::BTreeMap;

use rustix::fs::{AtFlags, FileType, statat};

use super::found::{Found, Gathered, counted};
use super::walk::{Content, Object, name, parent};
use crate::error::quote;

/// Directories whose content can be made again, and what they are.
const CACHES: &[(&[u8], &str)] = &[
    (b"var/lib/apt/lists", "lists of packages"),
    (b"var/cache/apt", "a cache of packages"),
    (b"var/cache/apk", "a cache of packages"),
    (b"var/cache/dnf", "a cache of packages"),
    (b"var/cache/yum", "a cache of packages"),
    (b"var/cache/libdnf5", "a cache of packages"),
    (b"var/cache/pacman/pkg", "a cache of packages"),
    (b"var/cache/zypp", "a cache of packages"),
    (b"root/.cache/pip", "a cache of pip"),
    (b"root/.npm/_cacache", "a cache of npm"),
    (b"root/.cache/yarn", "a cache of yarn"),
    (b"root/.cache/go-build", "a cache of go"),
    (b"root/.cargo/registry", "a cache of cargo"),
];

const HISTORIES: &[&[u8]] = &[
    b".ash_history",
    b".bash_history",
    b".history",
    b".mysql_history",
    b".node_repl_history",
    b".psql_history",
    b".python_history",
    b".rediscli_history",
    b".sh_history",
    b".sqlite_history",
    b".zsh_history",
];

/// What is counted until the walk is over.
#[derive(Debug, Default)]
pub(super) struct Leftovers {
    caches: BTreeMap<&'static [u8], Sum>,
    stale: Sum,
    first_stale: Option<Vec<u8>>,
}

#[derive(Debug, Default)]
struct Sum {
    files: u64,
    bytes: u64,
}

impl Sum {
    fn add(&mut self, object: &Object<'_>) {
        self.files += 1;
        self.bytes += object.size();
    }

    fn words(&self) -> String {
        let files = counted(self.files, "file", "files");
        format!("{files}, {}", counted(self.bytes, "byte", "bytes"))
    }
}

impl Leftovers {
    pub(super) fn look(
        &mut self,
        object: &Object<'_>,
        content: &mut Content<'_>,
        gathered: &mut Gathered,
    ) {
        if let Some(found) = left_behind(object, content) {
            gathered.add("IMG-018", found);
        }
        if !object.is_file() || object.size() == 0 {
            return;
        }
        let of_cache = |place: &[u8]| {
            let rest = object.path.strip_prefix(place);
            rest.is_some_and(|rest| rest.starts_with(b"/"))
        };
        if let Some((place, _)) = CACHES.iter().find(|(place, _)| of_cache(place)) {
            self.caches.entry(place).or_default().add(object);
        }
        if is_stale(object, content) {
            self.stale.add(object);
            let first = self.first_stale.get_or_insert_with(|| object.path.to_vec());
            if object.path < &first[..] {
                object.path.clone_into(first);
            }
        }
    }

    pub(super) fn finish(self, gathered: &mut Gathered) {
        for (place, sum) in self.caches {
            let what = CACHES
                .iter()
                .find(|(one, _)| *one == place)
                .map_or("a cache", |(_, what)| what);
            gathered.add(
                "IMG-021",
                Found::at(place, format!("{what}: {}", sum.words())),
            );
        }
        if let Some(first) = self.first_stale {
            let words = self.stale.words();
            let message = format!("compiled from another state of the source: {words} in all");
            gathered.add(
                "IMG-021",
                Found::at(&first, message).about("stale bytecode"),
            );
        }
    }
}

/// IMG-018.
fn left_behind(object: &Object<'_>, content: &mut Content<'_>) -> Option<Found> {
    let name = object.name();
    let found = |what: &str| Some(Found::at(object.path, what));
    if object.kind == FileType::Directory {
        // An empty one, or one of that name for another purpose, has no HEAD.
        let has_head = || {
            statat(
                object.directory,
                [name, b"/HEAD"].concat(),
                AtFlags::SYMLINK_NOFOLLOW,
            )
            .is_ok()
        };
        return match name {
            b".git" if has_head() => found("a git repository with its history"),
            b".svn" | b".hg" | b".bzr" => found("a repository with its history"),
            _ => None,
        };
    }
    if !object.is_file() || object.size() == 0 {
        return None;
    }
    if is_in_ssh(object.path) && !matches!(name, b"known_hosts" | b"known_hosts.old") {
        let what = format!("{} in somebody's .ssh", quote(name));
        return Some(Found::at(object.path, what));
    }
    let is_backup = name.len() > 1 && name.ends_with(b"~");
    let is_swap = name.starts_with(b".")
        && [&b".swp"[..], b".swo"]
            .iter()
            .any(|end| name.ends_with(end));
    let is_autosave = name.len() > 2 && name.starts_with(b"#") && name.ends_with(b"#");
    match name {
        b".env" => found("settings of an environment, which often hold secrets"),
        _ if is_environment(name) => found("settings of an environment, which often hold secrets"),
        _ if HISTORIES.contains(&name) => found("what somebody typed"),
        _ if is_backup || is_swap || is_autosave => found("a copy that an editor made"),
        _ if is_core(name, content) => found("the memory of a program that was killed"),
        _ => None,
    }
}

/// `.env.production` and its like, not the examples.
fn is_environment(name: &[u8]) -> bool {
    let Some(of) = name.strip_prefix(b".env.") else {
        return false;
    };
    [
        &b"local"[..],
        b"prod",
        b"production",
        b"staging",
        b"development",
        b"dev",
    ]
    .contains(&of)
}

fn is_in_ssh(path: &[u8]) -> bool {
    name(parent(path)) == b".ssh"
}

/// By the type in the header (elf(5)): `core` is a usual name for other things.
fn is_core(name: &[u8], content: &mut Content<'_>) -> bool {
    let is_named = name == b"core" || name.starts_with(b"core.") || name.ends_with(b".core");
    is_named
        && matches!(
            content.head(18),
            [0x7f, b'E', b'L', b'F', .., 4, 0] | [0x7f, b'E', b'L', b'F', .., 0, 4]
        )
}

/// Whether compiled Python was made from a source that is another now (PEP 552: flags 0, then time and size).
fn is_stale(object: &Object<'_>, content: &mut Content<'_>) -> bool {
    let Some(source) = source(object) else {
        return false;
    };
    let &[_, _, _, _, 0, 0, 0, 0, t0, t1, t2, t3, s0, s1, s2, s3] = content.head(16) else {
        return false;
    };
    let Ok(stat) = statat(object.directory, source, AtFlags::SYMLINK_NOFOLLOW) else {
        return false;
    };
    let is_same =
        |field: u32, of_source: i64| u64::from(field) == of_source.cast_unsigned() & 0xffff_ffff;
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
        && !(is_same(u32::from_le_bytes([t0, t1, t2, t3]), stat.st_mtime)
            && is_same(u32::from_le_bytes([s0, s1, s2, s3]), stat.st_size))
}

/// `__pycache__/x.cpython-311.pyc` is of `../x.py`.
fn source(object: &Object<'_>) -> Option<Vec<u8>> {
    let name_of = object.name().strip_suffix(b".pyc")?;
    if name(parent(object.path)) != b"__pycache__" {
        return None;
    }
    let end = name_of.iter().position(|byte| *byte == b'.')?;
    Some([b"../", &name_of[..end], b".py"].concat())
}
