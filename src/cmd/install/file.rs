//! A configuration file replaced as a whole: a copy of the old one stays, and a crash leaves either the old or the new.

use std::fs::{self, File, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use crate::error::{Doing, Result, quote_path};

/// Replaces the content of a file, or makes it and the directories above it. The copy of the old one, if there was one,
/// is beside it.
///
/// # Errors
/// The directory cannot be written to; the file is as it was then.
pub(super) fn replace(path: &Path, content: &str) -> Result<Option<PathBuf>> {
    let doing = || format!("write {}", quote_path(path));
    // A link stays a link.
    let real = match path.canonicalize() {
        Ok(real) => real,
        Err(cause) if cause.kind() == ErrorKind::NotFound => path.to_owned(),
        Err(cause) => return Err(cause).doing(doing),
    };
    let directory = real.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(directory).doing(doing)?;
    let old = fs::metadata(&real).ok();
    let backup = match &old {
        Some(_) => Some(copy(&real).doing(doing)?),
        None => None,
    };
    let new = beside(&real, &format!("new-{}", std::process::id()));
    let result = fill(&new, content, old.as_ref()).and_then(|()| fs::rename(&new, &real));
    if result.is_err() {
        // Best effort: the failure itself is what is told.
        let _ = fs::remove_file(&new);
    }
    result.doing(doing)?;
    Ok(backup)
}

fn fill(new: &Path, content: &str, old: Option<&fs::Metadata>) -> std::io::Result<()> {
    // Nobody else reads it until it has the owner and the mode of the old one, which may be secret.
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(new)?;
    file.write_all(content.as_bytes())?;
    if let Some(old) = old {
        fchown(&file, Some(old.uid()), Some(old.gid()))?;
    }
    let mode = old.map_or(0o644, |old| old.mode() & 0o777);
    file.set_permissions(Permissions::from_mode(mode))?;
    file.sync_all()
}

/// Copies a file to the first free of `NAME.before-stockade`, `NAME.before-stockade-2`, and so on.
fn copy(path: &Path) -> std::io::Result<PathBuf> {
    let mut number = 1;
    loop {
        let end = if number == 1 {
            "before-stockade".to_owned()
        } else {
            format!("before-stockade-{number}")
        };
        let backup = beside(path, &end);
        match File::create_new(&backup) {
            Err(cause) if cause.kind() == ErrorKind::AlreadyExists => number += 1,
            Err(cause) => return Err(cause),
            Ok(_) => {
                // With the mode of the original.
                fs::copy(path, &backup)?;
                return Ok(backup);
            }
        }
    }
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{name}.{end}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_content_stays_beside_the_new() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("a/config");
        assert_eq!(replace(&path, "one").unwrap(), None);
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let first = replace(&path, "two").unwrap().unwrap();
        let second = replace(&path, "three").unwrap().unwrap();
        assert_eq!(first, temp.path().join("a/config.before-stockade"));
        assert_eq!(second, temp.path().join("a/config.before-stockade-2"));
        let text = |path: &Path| fs::read_to_string(path).unwrap();
        assert_eq!((text(&first), text(&second)), ("one".into(), "two".into()));
        assert_eq!(text(&path), "three");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&first).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(temp.path().join("a")).unwrap().count(), 3);
    }

    #[test]
    fn a_link_to_the_file_stays_a_link() {
        let temp = tempfile::tempdir().unwrap();
        let (file, link) = (temp.path().join("file"), temp.path().join("link"));
        fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        replace(&link, "new").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
    }
}
