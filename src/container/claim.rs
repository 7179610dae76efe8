//! How a container claims its cgroup: by the device and inode number of its state directory, the inode number of the directory
//! that is in, and its path. The path alone may be that of another directory in another mount namespace, on the same file system
//! even.
//! What a claim is written to is `cgroup::mark`'s.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::fstat;

use super::Entry;
use crate::error::{Doing, Result, quote};

/// Whose a claim is, as far as can be seen from here.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Claimant {
    /// That of a container with this state directory.
    Here(PathBuf),
    /// That of a container whose state directory had this path in another mount namespace.
    Elsewhere(PathBuf),
    /// Nobody's any more.
    Gone,
}

/// What a container claims its cgroup with.
///
/// # Errors
/// fstat(2) fails.
pub(super) fn of(entry: &Entry) -> Result<String> {
    let doing = || {
        let id = quote(entry.id());
        format!("look at the state directory of container {id}")
    };
    let found = fstat(entry.directory()).doing(doing)?;
    let root = fstat(entry.root()).doing(doing)?;
    let path = entry.path().to_string_lossy();
    let (device, inode) = (found.st_dev, found.st_ino);
    Ok(format!("{device}:{inode}:{} {path}", root.st_ino))
}

/// Finds who a claim is of; `own` is the path of the state directory that is being made. A directory that is not where the
/// claim says was deleted, if the one that it was in is there. An unknown text is a claim of nobody that can be
/// seen.
pub(super) fn look(claim: &str, own: &Path) -> Claimant {
    let Some((numbers, path)) = parse(claim) else {
        return Claimant::Elsewhere(PathBuf::from(claim));
    };
    let path = PathBuf::from(path);
    let found = directory_at(&path);
    match numbers {
        // Of a version that wrote no numbers.
        None if found.is_some() && path != own => Claimant::Here(path),
        None => Claimant::Gone,
        Some(numbers) if found == Some(numbers.own()) => {
            // A file system may give a number again: what has claimed nothing yet had a namesake.
            if path == own {
                Claimant::Gone
            } else {
                Claimant::Here(path)
            }
        }
        Some(numbers) if path.parent().and_then(directory_at) == Some(numbers.root()) => {
            Claimant::Gone
        }
        Some(_) => Claimant::Elsewhere(path),
    }
}

/// The device of a state directory, its inode number, and that of the directory that it is in.
struct Numbers([u64; 3]);

impl Numbers {
    fn own(&self) -> (u64, u64) {
        (self.0[0], self.0[1])
    }

    fn root(&self) -> (u64, u64) {
        (self.0[0], self.0[2])
    }
}

fn parse(claim: &str) -> Option<(Option<Numbers>, &str)> {
    if claim.starts_with('/') {
        return Some((None, claim));
    }
    let (numbers, path) = claim.split_once(' ')?;
    let numbers: Vec<u64> = numbers
        .split(':')
        .map(|number| number.parse().ok())
        .collect::<Option<_>>()?;
    let numbers = Numbers(numbers.try_into().ok()?);
    path.starts_with('/').then_some((Some(numbers), path))
}

/// Device and inode number.
fn directory_at(path: &Path) -> Option<(u64, u64)> {
    let found = std::fs::symlink_metadata(path).ok()?;
    found.is_dir().then(|| (found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::Store;

    #[test]
    fn a_claim_is_of_the_directory_and_not_of_its_path() {
        let place = tempfile::tempdir().unwrap();
        let store = Store::open(&place.path().join("state")).unwrap();
        let (entry, own) = (store.reserve("a").unwrap(), store.reserve("b").unwrap());
        let path = entry.path().to_owned();
        let claim = of(&entry).unwrap();
        let whose = |claim: &str| look(claim, own.path());
        assert_eq!(whose(&claim), Claimant::Here(path.clone()));
        // Another directory at this path, in another mount namespace.
        let elsewhere = format!("0:7:8 {}", path.display());
        assert_eq!(whose(&elsewhere), Claimant::Elsewhere(path.clone()));
        assert_eq!(look(&elsewhere, &path), Claimant::Elsewhere(path.clone()));
        // Versions before had the path alone.
        let old = path.to_str().unwrap();
        assert_eq!(whose(old), Claimant::Here(path.clone()));
        assert_eq!(look(old, &path), Claimant::Gone);
        drop(entry);
        assert_eq!(whose(&claim), Claimant::Gone);
        let again = store.reserve("a").unwrap();
        assert_eq!(look(&claim, again.path()), Claimant::Gone);
        assert_eq!(look(&of(&again).unwrap(), again.path()), Claimant::Gone);
        assert_eq!(whose("nonsense"), Claimant::Elsewhere("nonsense".into()));
    }

    #[test]
    fn another_directory_of_the_same_file_system_at_the_path_says_nothing_of_the_claimant() {
        let place = tempfile::tempdir().unwrap();
        let (root, aside) = (place.path().join("state"), place.path().join("aside"));
        let entry = Store::open(&root).unwrap().reserve("a").unwrap();
        let (claim, path) = (of(&entry).unwrap(), entry.path().to_owned());
        // As another mount namespace has it, where the same path leads to another directory.
        std::fs::rename(&root, &aside).unwrap();
        let store = Store::open(&root).unwrap();
        let own = store.reserve("b").unwrap();
        assert_eq!(look(&claim, own.path()), Claimant::Elsewhere(path.clone()));
        let namesake = store.reserve("a").unwrap();
        assert_eq!(namesake.path(), path);
        assert_eq!(look(&claim, &path), Claimant::Elsewhere(path.clone()));
        assert_eq!(look(&claim, own.path()), Claimant::Elsewhere(path));
    }
}
