//! Whose ids and whiteouts the layers of a store have: a mark in it, so that it is opened only by who can use them.
//! Not who may enter it at all, which its owner and mode say.

use std::fs;

use crate::error::{Error, Result, quote_path};
use crate::image::Digest;
use crate::image::layer::Caller;

use super::{ImageStore, names};

/// What the names of all marks begin with.
const MARK: &str = "of-";
/// In the mark of a user namespace, before what tells one map of ids from another.
const MAPPED: &str = "of-map-";
/// Digits that tell maps apart.
const DIGITS: usize = 16;

impl ImageStore {
    /// Marks the store for this caller. Root in a user namespace and the user who made that are the same owner to the
    /// kernel, but have other whiteouts, which the other's mounts would not heed, so that what a layer hides would be
    /// there; and with another map of ids, the files would be somebody else's.
    pub(super) fn check_form(&self) -> Result<()> {
        let doing = || format!("open image store {}", quote_path(&self.path));
        let own = mark(Caller::find());
        let found = names(&self.directory).map_err(|errno| Error::new(doing(), errno))?;
        match found.iter().find(|name| name.starts_with(MARK)) {
            Some(name) if *name == own => Ok(()),
            Some(name) => Err(other(doing(), name, &own)),
            None => self
                .make_below(&own)
                .map_err(|errno| Error::new(doing(), errno)),
        }
    }
}

fn mark(caller: Caller) -> String {
    match caller {
        Caller::Root => "of-root".to_owned(),
        Caller::User => "of-user".to_owned(),
        Caller::Mapped => {
            let maps = ["/proc/self/uid_map", "/proc/self/gid_map"];
            let maps = maps.map(|path| fs::read_to_string(path).unwrap_or_default());
            let digest = Digest::sha256(maps.join("and").as_bytes());
            format!("{MAPPED}{}", &digest.encoded()[..DIGITS])
        }
    }
}

fn other(doing: String, found: &str, own: &str) -> Error {
    if found.starts_with(MAPPED) && own.starts_with(MAPPED) {
        return Error::new(doing, "its layers were unpacked with another map of ids").hint(
            "give the former ranges back in /etc/subuid and /etc/subgid, or have root remove it",
        );
    }
    let words = match found {
        "of-root" => "root's",
        "of-user" => "of a user's one id",
        _ => "of a user namespace with several ids",
    };
    Error::new(doing, format!("it is {words}")).hint("choose another place by --store DIR")
}
