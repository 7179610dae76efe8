//! How a container claims its cgroup: by the device and inode number of its state directory, and that directory's path. The
//! path alone may be that of another directory in another mount namespace.
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
    let found = fstat(entry.directory()).doing(|| {
        format!(
            "look at the state directory of container {}",
            quote(entry.id())
        )
    })?;
    let path = entry.path().to_string_lossy();
    Ok(format!("{}:{} {path}", found.st_dev, found.st_ino))
}

/// Finds who a claim is of; `own` is the path of the state directory that is being made. A directory that is not where the
/// claim says was deleted, if its file system is the one that is there now. An unknown text is a claim of nobody that can be
/// seen.
pub(super) fn look(claim: &str, own: &Path) -> Claimant {
    let Some((number, path)) = parse(claim) else {
        return Claimant::Elsewhere(PathBuf::from(claim));
    };
    let path = PathBuf::from(path);
    let found = std::fs::symlink_metadata(&path).ok();
    let found = found.filter(std::fs::Metadata::is_dir);
    match (number, found) {
        // Of a version that wrote no numbers.
        (None, Some(_)) if path != own => Claimant::Here(path),
        (None, _) => Claimant::Gone,
        (Some(number), Some(found)) if number == (found.dev(), found.ino()) => {
            // A file system may give a number again: what has claimed nothing yet had a namesake.
            if path == own {
                Claimant::Gone
            } else {
                Claimant::Here(path)
            }
        }
        (Some((device, _)), _) if device_at(&path) == Some(device) => Claimant::Gone,
        (Some(_), _) => Claimant::Elsewhere(path),
    }
}

type Number = (u64, u64);

fn parse(claim: &str) -> Option<(Option<Number>, &str)> {
    if claim.starts_with('/') {
        return Some((None, claim));
    }
    let (number, path) = claim.split_once(' ')?;
    let (device, inode) = number.split_once(':')?;
    let number = (device.parse().ok()?, inode.parse().ok()?);
    path.starts_with('/').then_some((Some(number), path))
}

/// The file system that a path would be on.
fn device_at(path: &Path) -> Option<u64> {
    let mut above = path.ancestors().skip(1);
    above.find_map(|path| Some(std::fs::metadata(path).ok()?.dev()))
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
        let elsewhere = format!("0:7 {}", path.display());
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
}
