//! The paths of entries, taken apart: where below the root, and what the last component means.
//! Not their resolution, which needs the tree: see `tree`. Whiteouts: image-spec, layer.md.

use super::budget::{Limits, over};
use super::cause::{Cause, Step};

/// A path without `.`, `..` and empty components.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Name {
    /// The directories above, separated by single slashes; empty below the root.
    pub(super) parent: Vec<u8>,
    pub(super) last: Vec<u8>,
}

/// What an entry's last component says about it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// An object of that name.
    Object,
    /// `.wh.NAME`: this name of the layers below goes.
    Whiteout(Vec<u8>),
    /// `.wh..wh..opq`: everything that the layers below have in the directory goes.
    Opaque,
    /// `.wh..wh.*`: what aufs kept for itself, in images of that time.
    Bookkeeping,
}

const PREFIX: &[u8] = b".wh.";

impl Name {
    /// The parts of `path`, or none if it is the root itself. A leading slash is taken for the root's; `..` is refused:
    /// no writer of layers needs it, and readers differ in what they make of it.
    pub(super) fn of(path: &[u8], limits: &Limits) -> Step<Option<Self>> {
        if path.len() as u64 > limits.path {
            return Err(over("path", "bytes in a path", limits.path));
        }
        if path.contains(&0) {
            return Err(Cause::new("a NUL byte in the path"));
        }
        let mut components: Vec<&[u8]> = components(path).collect();
        if components.contains(&&b".."[..]) {
            return Err(Cause::new("a path with \"..\""));
        }
        if components.len() as u64 > limits.depth {
            return Err(over("depth", "components in a path", limits.depth));
        }
        if components.iter().any(|component| component.len() > 255) {
            return Err(Cause::new("a component of more than 255 bytes in the path"));
        }
        Ok(components.pop().map(|last| Self {
            parent: components.join(&b'/'),
            last: last.to_owned(),
        }))
    }

    /// Refuses whiteouts of nothing, of the directory itself and of its parent, and objects below a whiteout.
    pub(super) fn role(&self) -> Step<Role> {
        let mut above = components(&self.parent);
        if let Some(component) = above.find(|component| component.starts_with(PREFIX)) {
            if component.starts_with(b".wh..wh.") {
                return Ok(Role::Bookkeeping);
            }
            return Err(Cause::new("an entry below a whiteout"));
        }
        let Some(name) = self.last.strip_prefix(PREFIX) else {
            return Ok(Role::Object);
        };
        match name {
            b".wh..opq" => Ok(Role::Opaque),
            b"" | b"." | b".." => Err(Cause::new("a whiteout without a name")),
            _ if name.starts_with(PREFIX) => Ok(Role::Bookkeeping),
            _ => Ok(Role::Whiteout(name.to_owned())),
        }
    }
}

/// The components of a path but for `.` and empty ones.
pub(super) fn components(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/')
        .filter(|component| !component.is_empty() && *component != b".")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(path: &str) -> Step<Option<Name>> {
        Name::of(path.as_bytes(), &Limits::default())
    }

    #[test]
    fn paths_lose_dots_and_doubled_slashes() {
        let name = name("/./a//b/./c/").unwrap().unwrap();
        assert_eq!(name.parent, b"a/b");
        assert_eq!(name.last, b"c");
    }

    #[test]
    fn root_has_no_name() {
        for path in ["", ".", "/", "./", "//."] {
            assert_eq!(name(path).unwrap(), None, "{path}");
        }
    }

    #[test]
    fn whiteouts_of_no_name_are_refused() {
        for path in ["d/.wh.", "d/.wh..", "d/.wh...", "d/.wh.x/y"] {
            name(path).unwrap().unwrap().role().unwrap_err();
        }
        let role = |path| name(path).unwrap().unwrap().role().unwrap();
        assert_eq!(role(".wh.x"), Role::Whiteout(b"x".to_vec()));
        assert_eq!(role("d/.wh....."), Role::Whiteout(b"....".to_vec()));
        assert_eq!(role(".wh..wh..opq"), Role::Opaque);
        assert_eq!(role(".wh..wh.plnk/1.2"), Role::Bookkeeping);
    }
}
