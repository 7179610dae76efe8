//! The packages that a root filesystem says are installed, by the databases of dpkg (deb-control(5), dpkg(1) "package
//! states") and of apk. What is in the image without a package is not known here, and neither is what is wrong with one.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{Dir, FileType, Mode, OFlags, openat2};
use rustix::io::Errno;
use serde::Serialize;

use crate::error::{Error, Result, quote};
use crate::image::inside::{self, INSIDE};

/// Bytes of one database.
const LARGEST: u64 = 128 << 20;

/// Bytes of one line that is read; what is longer is none of the fields that are wanted.
const LONGEST_LINE: u64 = 64 << 10;

/// Packages, and files in `status.d`.
const MOST: usize = 100_000;

/// The database of dpkg, and the directory that images without dpkg have in its place, with a file for each package.
const STATUS: &str = "var/lib/dpkg/status";
const STATUS_D: &str = "var/lib/dpkg/status.d";

/// The database of apk: its old place, and that of version 3.
const APK: [&str; 2] = ["lib/apk/db/installed", "usr/lib/apk/db/installed"];

/// One installed package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Package {
    /// Which manager's: `deb` or `apk`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// Its version, as the manager compares it.
    pub version: String,
    /// What it is for: `amd64`; empty where it does not say.
    pub architecture: String,
    /// The source that it was built of, which advisories name.
    pub source: String,
    /// The version of the source.
    pub source_version: String,
}

/// The packages of the root filesystem at `root`, in order. None, if it has no database.
///
/// # Errors
/// A database is no regular file, is too large, or cannot be read.
pub(super) fn of_root(root: BorrowedFd<'_>) -> Result<Option<Vec<Package>>> {
    let mut all = Vec::new();
    let mut databases = 0;
    let mut left = LARGEST;
    let mut take = |(file, size): (File, u64), path: &str, format| {
        left = left.checked_sub(size).ok_or_else(|| {
            let cause = format!("the databases have more than {LARGEST} bytes together");
            failed(path, cause)
        })?;
        read(file, path, format, &mut all)
    };
    if let Some(found) = open(root, STATUS)? {
        databases += 1;
        take(found, STATUS, Format::Deb)?;
    }
    for path in status_d(root)? {
        databases += 1;
        if let Some(found) = open(root, &path)? {
            take(found, &path, Format::Deb)?;
        }
    }
    for path in APK {
        if let Some(found) = open(root, path)? {
            databases += 1;
            take(found, path, Format::Apk)?;
        }
    }
    all.sort();
    all.dedup();
    Ok((databases > 0).then_some(all))
}

fn failed(path: &str, cause: impl std::fmt::Display) -> Error {
    let path = quote(format!("/{path}"));
    Error::new(format!("read {path} of the root filesystem"), cause)
}

/// A database and its size in bytes, as the container resolves its path; none where there is none.
fn open(root: BorrowedFd<'_>, path: &str) -> Result<Option<(File, u64)>> {
    let (named, stat) = match inside::named(root, path) {
        Ok(found) => found,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        Err(errno) => return Err(failed(path, errno)),
    };
    if !inside::is_file(&stat) {
        return Err(failed(path, "not a regular file"));
    }
    let size = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
    if size > LARGEST {
        let cause = format!("has {} bytes, {LARGEST} are allowed", stat.st_size);
        return Err(failed(path, cause));
    }
    let file = inside::reopen(named.as_fd()).map_err(|errno| failed(path, errno))?;
    Ok(Some((file, size)))
}

/// The files of `status.d`, without the sums beside them.
fn status_d(root: BorrowedFd<'_>) -> Result<Vec<String>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = match openat2(root, STATUS_D, flags, Mode::empty(), INSIDE) {
        Ok(directory) => directory,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(Vec::new()),
        Err(errno) => return Err(failed(STATUS_D, errno)),
    };
    let mut all = Vec::new();
    for entry in Dir::new(directory).map_err(|errno| failed(STATUS_D, errno))? {
        let entry = entry.map_err(|errno| failed(STATUS_D, errno))?;
        let is_package = entry.file_type() == FileType::RegularFile;
        if let Ok(name) = entry.file_name().to_str()
            && is_package
            && !name.ends_with(".md5sums")
        {
            all.push(format!("{STATUS_D}/{name}"));
        }
        if all.len() > MOST {
            return Err(failed(STATUS_D, format!("more than {MOST} files")));
        }
    }
    all.sort();
    Ok(all)
}

#[derive(Clone, Copy)]
enum Format {
    Deb,
    Apk,
}

/// Reads paragraphs, which empty lines end.
fn read(file: File, path: &str, format: Format, all: &mut Vec<Package>) -> Result<()> {
    let mut lines = BufReader::new(file.take(LARGEST));
    let mut paragraph = Paragraph::default();
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = lines
            .by_ref()
            .take(LONGEST_LINE)
            .read_until(b'\n', &mut line);
        let is_end = read.map_err(|error| failed(path, error))? == 0;
        if line.len() as u64 == LONGEST_LINE && !line.ends_with(b"\n") {
            lines
                .skip_until(b'\n')
                .map_err(|error| failed(path, error))?;
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        if is_end || text.is_empty() {
            all.extend(std::mem::take(&mut paragraph).package(format));
            if all.len() > MOST {
                return Err(failed(path, format!("more than {MOST} packages")));
            }
        } else if !text.starts_with([' ', '\t']) {
            paragraph.field(text);
        }
        if is_end {
            return Ok(());
        }
    }
}

/// The fields of one paragraph that are wanted; of one that comes twice the first.
#[derive(Default)]
struct Paragraph {
    name: String,
    version: String,
    architecture: String,
    source: String,
    status: Option<String>,
}

impl Paragraph {
    fn field(&mut self, line: &str) {
        let Some((key, value)) = line.split_once(':') else {
            return;
        };
        let value = value.trim();
        let slot = match key {
            "Package" | "P" => &mut self.name,
            "Version" | "V" => &mut self.version,
            "Architecture" | "A" => &mut self.architecture,
            "Source" | "o" => &mut self.source,
            "Status" => self.status.get_or_insert_default(),
            _ => return,
        };
        if slot.is_empty() {
            value.clone_into(slot);
        }
    }

    fn package(self, format: Format) -> Option<Package> {
        let state = self
            .status
            .as_deref()
            .map(|status| status.rsplit(' ').next());
        // Only its settings are left, or nothing.
        if matches!(state, Some(Some("config-files" | "not-installed"))) || self.name.is_empty() {
            return None;
        }
        // `Source: glibc (2.36-9)`, where its version is another.
        let (source, version) = match self.source.split_once(" (") {
            Some((name, version)) => (name.to_owned(), version.trim_end_matches(')').to_owned()),
            None => (self.source, self.version.clone()),
        };
        Some(Package {
            kind: match format {
                Format::Deb => "deb",
                Format::Apk => "apk",
            },
            source: if source.is_empty() {
                self.name.clone()
            } else {
                source
            },
            source_version: version,
            name: self.name,
            version: self.version,
            architecture: self.architecture,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn read_all(root: &Path) -> Result<Vec<String>> {
        let all = of_root(File::open(root).unwrap().as_fd())?;
        let line = |one: Package| {
            let Package {
                kind,
                name,
                version,
                architecture,
                source,
                source_version,
            } = one;
            format!("{kind} {name} {version} {architecture} {source} {source_version}")
        };
        Ok(all.into_iter().flatten().map(line).collect())
    }

    #[test]
    fn packages_of_every_database_are_told_with_their_sources() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path();
        assert_eq!(read_all(root).unwrap(), [] as [&str; 0]);
        let status = "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nSource: glibc\nVersion: 2.36-9\n\
            Description: x\n Package: no\n\n\
            Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n\n\
            Package: half\nStatus: install ok half-configured\nVersion: 3\nSource: other (2)";
        write(root, STATUS, status);
        write(
            root,
            "var/lib/dpkg/status.d/base-files",
            "Package: base-files\nVersion: 12.4\n",
        );
        write(
            root,
            "var/lib/dpkg/status.d/base-files.md5sums",
            "Package: no\n",
        );
        write(
            root,
            APK[0],
            "C:Q1x\nP:musl\nV:1.2.4-r2\nA:x86_64\no:musl\nF:lib\n\nP:musl-utils\nV:1.2.4-r2\no:musl\n",
        );
        let expected = [
            "apk musl 1.2.4-r2 x86_64 musl 1.2.4-r2",
            "apk musl-utils 1.2.4-r2  musl 1.2.4-r2",
            "deb base-files 12.4  base-files 12.4",
            "deb half 3  other 2",
            "deb libc6 2.36-9 amd64 glibc 2.36-9",
        ];
        assert_eq!(read_all(root).unwrap(), expected);
    }

    #[test]
    fn long_lines_are_passed_over_and_what_is_no_file_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path();
        let long = "x".repeat(200_000);
        write(
            root,
            STATUS,
            &format!("Package: a\nDescription: {long}\nVersion: 1\n"),
        );
        assert_eq!(read_all(root).unwrap(), ["deb a 1  a 1"]);
        std::fs::remove_file(root.join(STATUS)).unwrap();
        std::os::unix::fs::symlink("/dev/zero", root.join(STATUS)).unwrap();
        // Resolved inside the root, where there is none.
        assert_eq!(read_all(root).unwrap(), [] as [&str; 0]);
        write(root, "dev/zero/x", "");
        let error = read_all(root).unwrap_err().to_string();
        assert_eq!(
            error,
            "read \"/var/lib/dpkg/status\" of the root filesystem: not a regular file"
        );
    }

    #[test]
    fn databases_are_bounded_together() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path();
        write(root, "var/lib/dpkg/status.d/a", "");
        let file = File::create(root.join("var/lib/dpkg/status.d/a")).unwrap();
        file.set_len(1 << 20).unwrap();
        let at = |number: u32| root.join(format!("var/lib/dpkg/status.d/b{number}"));
        for number in 0..LARGEST as u32 >> 20 {
            std::fs::hard_link(root.join("var/lib/dpkg/status.d/a"), at(number)).unwrap();
        }
        let error = read_all(root).unwrap_err().to_string();
        assert!(
            error.ends_with("the databases have more than 134217728 bytes together"),
            "{error}"
        );
    }
}
