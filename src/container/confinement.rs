//! What bounds a container beside its config, kept for those who enter it later: its profile as it was then, and the
//! caller's choices. A file of its own, since the other verbs never ask for it.

use serde::{Deserialize, Serialize};

use super::Entry;
use crate::error::{Doing, Result, quote};
use crate::plan::Keyring;
use crate::profile::Profile;

/// The file in the container's state directory.
const FILE: &str = "confinement.json";

/// The bounds of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confinement {
    /// The profile that the container was made under.
    pub profile: Profile,
    /// Which session keyring it has.
    pub keyring: Keyring,
}

impl Confinement {
    pub(super) fn write(&self, entry: &Entry) -> Result<()> {
        let text = serde_json::to_vec(self).doing(|| "write the container's confinement")?;
        entry.replace(FILE, &text)
    }

    /// Without it nobody enters: nothing would hold the new process to what the container is held to.
    pub(super) fn read(entry: &Entry) -> Result<Self> {
        let doing = || format!("read the confinement of container {}", quote(entry.id()));
        let text = entry.read(FILE).doing(doing)?;
        serde_json::from_slice(&text).doing(doing)
    }
}
