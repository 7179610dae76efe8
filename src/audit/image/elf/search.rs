//! Where programs and libraries of a root filesystem are found: by PATH (execvp(3)), and as ld.so(8) and the loader of musl
//! look for libraries. Everything is resolved inside the root, as the container would.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::fs::{Dir, FileType, Mode, OFlags, fstat, openat2};

use super::Elf;
use crate::image::inside::{self, INSIDE};

/// Bytes of a configuration of the loader that are read.
const LONGEST: u64 = 64 << 10;

/// Files that ld.so.conf may include.
const MOST_INCLUDED: usize = 64;

/// Directories that libraries are looked for in.
const MOST_DIRECTORIES: usize = 256;

/// A regular file, by its path in the root.
pub(super) fn open(root: BorrowedFd<'_>, path: &[u8]) -> Option<File> {
    let (named, stat) = inside::named(root, path).ok()?;
    let file = inside::is_file(&stat).then(|| inside::reopen(named.as_fd()));
    file?.ok()
}

/// Whether everybody may put files into a directory of the root.
pub(super) fn is_writable(root: BorrowedFd<'_>, path: &[u8]) -> bool {
    let found = inside::named(root, path);
    found.is_ok_and(|(_, stat)| {
        let kind = FileType::from_raw_mode(stat.st_mode);
        kind == FileType::Directory && stat.st_mode & 0o002 != 0
    })
}

/// The program that `word` names, and its path without symlinks: `$ORIGIN` is where the file is, not the link to it.
pub(super) fn program(
    root: BorrowedFd<'_>,
    word: &str,
    env: &[String],
    directory: &str,
) -> Option<(Vec<u8>, File)> {
    let at = |path: String| {
        let file = open(root, path.as_bytes())?;
        let is_executable = fstat(&file).is_ok_and(|stat| stat.st_mode & 0o111 != 0);
        let path = || path.trim_start_matches('/').as_bytes().to_vec();
        is_executable.then(|| (resolved(root, &file).unwrap_or_else(path), file))
    };
    let from_here = |path: &str| match path.starts_with('/') {
        true => path.to_owned(),
        false => format!("/{}/{path}", directory.trim_matches('/')),
    };
    if word.contains('/') {
        return at(from_here(word));
    }
    let path = value(env, "PATH")
        .unwrap_or("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    path.split(':')
        .find_map(|place| at(format!("{}/{word}", from_here(place).trim_end_matches('/'))))
}

/// Where a file of the root is, as the kernel has it; none where it is not below the root any more.
fn resolved(root: BorrowedFd<'_>, file: &File) -> Option<Vec<u8>> {
    let path = |fd: BorrowedFd<'_>| {
        let link = format!("/proc/self/fd/{}", fd.as_raw_fd());
        rustix::fs::readlinkat(rustix::fs::CWD, link, Vec::new()).map(std::ffi::CString::into_bytes)
    };
    let (mut top, path) = (path(root).ok()?, path(file.as_fd()).ok()?);
    if top != b"/" {
        top.push(b'/');
    }
    path.strip_prefix(&top[..]).map(<[u8]>::to_vec)
}

/// The last value of a variable.
fn value<'a>(env: &'a [String], name: &str) -> Option<&'a str> {
    let of = |entry: &'a String| entry.strip_prefix(name)?.strip_prefix('=');
    env.iter().rev().find_map(of)
}

/// The directories that the loader knows without those of the file itself: of the environment, its configuration, and its
/// own. More than one loader is served, so that no library is taken for missing that one of them would find.
pub(super) fn directories(
    root: BorrowedFd<'_>,
    env: &[String],
    interpreter: Option<&[u8]>,
) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = Vec::new();
    let mut add = |place: &[u8]| {
        if place.starts_with(b"/") && all.len() < MOST_DIRECTORIES {
            all.push(place.to_vec());
        }
    };
    let of_environment = value(env, "LD_LIBRARY_PATH").unwrap_or_default();
    of_environment
        .split([':', ';'])
        .for_each(|place| add(place.as_bytes()));
    for place in configured(root) {
        add(&place);
    }
    if let Some(interpreter) = interpreter {
        let end = interpreter
            .iter()
            .rposition(|byte| *byte == b'/')
            .unwrap_or(0);
        add(&interpreter[..end]);
        for place in of_musl(root, interpreter) {
            add(&place);
        }
    }
    for top in [
        "/lib",
        "/usr/lib",
        "/lib64",
        "/usr/lib64",
        "/lib32",
        "/usr/lib32",
        "/usr/local/lib",
        "/usr/local/lib64",
    ] {
        add(top.as_bytes());
        for triplet in triplets(root, top) {
            add(&triplet);
        }
    }
    all
}

/// `/lib/x86_64-linux-gnu`.
fn triplets(root: BorrowedFd<'_>, top: &str) -> Vec<Vec<u8>> {
    let is_triplet = |name: &[u8]| name.windows(7).any(|part| part == b"-linux-");
    names(root, top, is_triplet)
}

/// The names in a directory that `wanted` takes, as paths, in order.
fn names(root: BorrowedFd<'_>, directory: &str, wanted: impl Fn(&[u8]) -> bool) -> Vec<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(fd) = openat2(root, directory, flags, Mode::empty(), INSIDE) else {
        return Vec::new();
    };
    let Ok(entries) = Dir::new(fd) else {
        return Vec::new();
    };
    let names = entries.filter_map(|entry| Some(entry.ok()?.file_name().to_bytes().to_vec()));
    let paths = names
        .filter(|name| wanted(name))
        .map(|name| [directory.as_bytes(), b"/", &name].concat());
    let mut paths: Vec<_> = paths.take(MOST_INCLUDED).collect();
    paths.sort();
    paths
}

/// ldconfig(8): directories a line, and files to include, of which only `DIRECTORY/*.conf` is in use.
fn configured(root: BorrowedFd<'_>) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for line in lines(root, b"/etc/ld.so.conf") {
        let Some(pattern) = line.strip_prefix("include") else {
            all.push(line.into_bytes());
            continue;
        };
        let pattern = pattern.trim();
        let pattern = if pattern.starts_with('/') {
            pattern.to_owned()
        } else {
            format!("/etc/{pattern}")
        };
        if let Some(directory) = pattern.strip_suffix("/*.conf") {
            for file in names(root, directory, |name| name.ends_with(b".conf")) {
                all.extend(lines(root, &file).into_iter().map(String::into_bytes));
            }
        }
    }
    all
}

/// `/lib/ld-musl-x86_64.so.1` reads `/etc/ld-musl-x86_64.path`.
fn of_musl(root: BorrowedFd<'_>, interpreter: &[u8]) -> Vec<Vec<u8>> {
    let name = crate::audit::image::walk::name(interpreter);
    let Some(name) = name
        .strip_suffix(b".so.1")
        .filter(|name| name.starts_with(b"ld-musl-"))
    else {
        return Vec::new();
    };
    let lines = lines(root, &[b"/etc/", name, b".path"].concat());
    lines
        .iter()
        .flat_map(|line| line.split(':'))
        .map(|place| place.as_bytes().to_vec())
        .collect()
}

/// The lines of a small file without comments.
fn lines(root: BorrowedFd<'_>, path: &[u8]) -> Vec<String> {
    let mut bytes = Vec::new();
    let read = open(root, path).map(|file| file.take(LONGEST).read_to_end(&mut bytes));
    if !matches!(read, Some(Ok(_))) {
        return Vec::new();
    }
    let text = String::from_utf8_lossy(&bytes);
    let lines = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim());
    lines
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect()
}

/// A library that `elf` at `path` may load, of its own kind. Each file that is looked for is one of the `tries` less, and
/// there is none after the last.
pub(super) fn library(
    root: BorrowedFd<'_>,
    name: &[u8],
    of: (&[u8], &Elf),
    known: &[Vec<u8>],
    tries: &mut u32,
) -> Option<(Vec<u8>, Elf)> {
    let (path, elf) = of;
    let mut at = |path: Vec<u8>| {
        *tries = tries.checked_sub(1)?;
        let found = Elf::read(&open(root, &path)?)?;
        let fits = found.machine == elf.machine && found.bits == elf.bits;
        fits.then(|| (path.strip_prefix(b"/").unwrap_or(&path).to_vec(), found))
    };
    if name.contains(&b'/') {
        return at(name.to_vec());
    }
    let own = elf
        .run_path
        .iter()
        .flat_map(|places| run_path(places, path));
    let mut places = own.chain(known.iter().cloned());
    places.find_map(|place| at([&place, &b"/"[..], name].concat()))
}

/// The directories of a `DT_RUNPATH`, `$ORIGIN` put in; relative ones and those of the processor are left out.
pub(super) fn run_path<'a>(places: &'a [u8], path: &'a [u8]) -> impl Iterator<Item = Vec<u8>> + 'a {
    let origin = crate::audit::image::walk::parent(path);
    places.split(|byte| *byte == b':').filter_map(move |place| {
        let rest = place
            .strip_prefix(b"$ORIGIN")
            .or_else(|| place.strip_prefix(b"${ORIGIN}"));
        match rest {
            Some(rest) => Some([b"/", origin, rest].concat()),
            None => place.starts_with(b"/").then(|| place.to_vec()),
        }
    })
}
