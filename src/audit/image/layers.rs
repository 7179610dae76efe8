//! The entries of layers while they are unpacked: secrets, also those that a later layer hides (IMG-015, IMG-016), what
//! gives privileges (IMG-010 to IMG-012), and how the archives are made (IMG-022).
//! The layers are hostile: what is remembered of them has a bound, and what is left out is counted.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::ops::Bound;

use rustix::fs::FileType;

use super::found::{Found, Gathered, Spot, counted};
use super::permissions::{self, NewPrivileges};
use super::secret::{self, Secret};
use crate::image::layer::{Seen, What};
use crate::report::Severity;

/// The most paths that are remembered because of what is at them: 16 MiB of the longest ones.
const MOST: usize = 4096;

/// What was seen of the layers so far.
#[derive(Default)]
pub(super) struct Layers {
    new_privileges: NewPrivileges,
    /// What is of note, by path, as far as no later entry hides it.
    live: BTreeMap<Vec<u8>, Vec<Note>>,
    /// Keyed hashes of paths, and the last layer that has an object there: 16 bytes an entry instead of a path.
    placed: HashMap<u64, u16>,
    keys: RandomState,
    /// Entries that come twice in a layer, and those with a slash at their start.
    twice: Option<Tally>,
    absolute: Option<Tally>,
}

/// What is of note at a path.
struct Note {
    layer: usize,
    kind: Kind,
}

enum Kind {
    Secret(Secret),
    Found(&'static str, Found),
}

/// How something is hidden.
#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    /// By a whiteout.
    Removed,
    /// By another object.
    Replaced,
}

impl How {
    fn word(self) -> &'static str {
        match self {
            Self::Removed => "removed",
            Self::Replaced => "replaced",
        }
    }
}

struct Tally {
    layer: usize,
    first: Vec<u8>,
    count: u64,
}

impl Layers {
    pub(super) fn new(new_privileges: NewPrivileges) -> Self {
        Self {
            new_privileges,
            ..Self::default()
        }
    }

    /// Takes note of an entry.
    pub(super) fn see(&mut self, layer: usize, seen: &Seen<'_>, gathered: &mut Gathered) {
        match seen.what {
            What::Whiteout => self.hide(seen.path, layer, How::Removed, gathered),
            What::Opaque => return self.hide_below(seen.path, layer, How::Removed, gathered),
            What::Directory => self.hide_at(seen.path, layer, How::Replaced, gathered),
            _ => self.hide(seen.path, layer, How::Replaced, gathered),
        }
        if seen.what == What::Whiteout {
            return;
        }
        self.well_formed(layer, seen);
        self.take(layer, seen, gathered);
    }

    /// The layer that brought what is at a path of the merged root filesystem.
    pub(super) fn layer_of(&self, path: &[u8]) -> Option<usize> {
        self.placed
            .get(&self.keys.hash_one(path))
            .map(|layer| usize::from(*layer))
    }

    fn take(&mut self, layer: usize, seen: &Seen<'_>, gathered: &mut Gathered) {
        let path = seen.path;
        let spot = || Spot::Layer(layer, path.to_vec());
        let mut notes = Vec::new();
        // Others give what is another name of a file the bits and attributes that stand by that name.
        if matches!(seen.what, What::File | What::HardLink) {
            let secrets = secret::of_file(path, seen.head);
            notes.extend(secrets.into_iter().map(Kind::Secret));
            let new = self.new_privileges;
            let owner = (seen.uid, seen.gid);
            let found = permissions::set_id(spot(), path, seen.mode, owner, new);
            notes.extend(found.map(|found| Kind::Found("IMG-010", found)));
            let capability = seen
                .attributes
                .iter()
                .find(|(name, _)| name == b"security.capability");
            let found = capability
                .and_then(|(_, value)| permissions::capabilities(spot(), path, value, new));
            notes.extend(found.map(|found| Kind::Found("IMG-011", found)));
        }
        let kind = match seen.what {
            What::Character => FileType::CharacterDevice,
            What::Block => FileType::BlockDevice,
            What::Fifo => FileType::Fifo,
            _ => FileType::Unknown,
        };
        let found = permissions::node(spot(), path, kind, seen.device);
        notes.extend(found.map(|found| Kind::Found("IMG-012", found)));
        if notes.is_empty() {
            return;
        }
        if self.live.len() >= MOST {
            for note in notes {
                gathered.omit(note.check(), 1);
            }
            return;
        }
        let notes = notes.into_iter().map(|kind| Note { layer, kind });
        self.live.entry(path.to_vec()).or_default().extend(notes);
    }

    fn well_formed(&mut self, layer: usize, seen: &Seen<'_>) {
        let key = self.keys.hash_one(seen.path);
        let before = self
            .placed
            .insert(key, u16::try_from(layer).unwrap_or(u16::MAX));
        if before.map(usize::from) == Some(layer) && seen.what != What::Directory {
            tally(&mut self.twice, layer, seen.path);
        }
        if seen.written.starts_with(b"/") {
            tally(&mut self.absolute, layer, seen.path);
        }
    }

    /// What is at `path` and below it is hidden by `layer`.
    fn hide(&mut self, path: &[u8], layer: usize, how: How, gathered: &mut Gathered) {
        self.hide_at(path, layer, how, gathered);
        self.hide_below(path, layer, how, gathered);
    }

    fn hide_at(&mut self, path: &[u8], layer: usize, how: How, gathered: &mut Gathered) {
        if let Some(notes) = self.live.remove(path) {
            self.hidden(path, notes, (layer, how), gathered);
        }
    }

    fn hide_below(&mut self, path: &[u8], layer: usize, how: How, gathered: &mut Gathered) {
        if self.live.is_empty() {
            return;
        }
        let start = if path.is_empty() {
            Vec::new()
        } else {
            [path, b"/"].concat()
        };
        let from = (Bound::Included(start.clone()), Bound::Unbounded);
        let below = self
            .live
            .range(from)
            .map(|(path, _)| path)
            .take_while(|path| path.starts_with(&start));
        for path in below.cloned().collect::<Vec<_>>() {
            self.hide_at(&path, layer, how, gathered);
        }
    }

    /// A whiteout spares what its own layer has; so does an entry of another kind, except what comes twice.
    fn hidden(&mut self, path: &[u8], notes: Vec<Note>, by: (usize, How), gathered: &mut Gathered) {
        let (layer, how) = by;
        for note in notes {
            if note.layer == layer && how == How::Removed {
                self.live.entry(path.to_vec()).or_default().push(note);
            } else if let Kind::Secret(secret) = note.kind {
                let how = how.word();
                let more = format!(", {how} by layer {layer} and still in this one");
                let spot = Spot::Layer(note.layer, path.to_vec());
                gathered.add("IMG-016", secret.found(spot, &more));
            }
        }
    }

    /// Adds what is left when all layers were seen.
    pub(super) fn finish(&mut self, gathered: &mut Gathered) {
        for (path, notes) in std::mem::take(&mut self.live) {
            for note in notes {
                match note.kind {
                    Kind::Secret(secret) => {
                        let spot = Spot::Layer(note.layer, path.clone());
                        gathered.add("IMG-015", secret.found(spot, ""));
                    }
                    Kind::Found(check, found) => gathered.add(check, found),
                }
            }
        }
        let mut untidy = |tally: Option<Tally>, about: &str, what: &str, severity: Severity| {
            if let Some(tally) = tally {
                let message = format!("{}: {}", what, counted(tally.count, "entry", "entries"));
                let found = Found::new(Spot::Layer(tally.layer, tally.first), message);
                gathered.add("IMG-022", found.about(about).severity(severity));
            }
        };
        let twice = "entries that come twice in one layer, of which readers take either";
        untidy(self.twice.take(), "twice", twice, Severity::Low);
        let absolute =
            "names with a slash at their start, which some readers take for the host's root";
        untidy(self.absolute.take(), "absolute", absolute, Severity::Medium);
    }
}

impl Kind {
    fn check(&self) -> &'static str {
        match self {
            Self::Secret(_) => "IMG-015",
            Self::Found(check, _) => check,
        }
    }
}

fn tally(slot: &mut Option<Tally>, layer: usize, path: &[u8]) {
    let tally = slot.get_or_insert_with(|| Tally {
        layer,
        first: path.to_vec(),
        count: 0,
    });
    tally.count += 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = b"-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";

    fn seen(path: &str, what: What, mode: u32) -> Seen<'_> {
        Seen {
            written: path.as_bytes(),
            path: path.as_bytes(),
            what,
            mode,
            uid: 0,
            gid: 0,
            device: (0, 0),
            attributes: &[],
            size: 0,
            head: if path.ends_with("key") { KEY } else { b"" },
        }
    }

    fn found(entries: &[(usize, &str, What, u32)]) -> Vec<(&'static str, Spot, String)> {
        let mut gathered = Gathered::default();
        let mut layers = Layers::new(NewPrivileges::Unknown);
        for (layer, path, what, mode) in entries {
            layers.see(*layer, &seen(path, *what, *mode), &mut gathered);
        }
        layers.finish(&mut gathered);
        gathered
            .into_found()
            .map(|(check, found)| (check, found.place, found.message))
            .collect()
    }

    fn at(layer: usize, path: &str) -> Spot {
        Spot::Layer(layer, path.as_bytes().to_vec())
    }

    #[test]
    fn secret_that_a_later_layer_hides_is_still_in_the_lower_one() {
        use What::{Directory, File, Opaque, Whiteout};
        let all = found(&[
            (0, "a/key", File, 0o644),
            (0, "b/key", File, 0o644),
            (0, "c/key", File, 0o644),
            (0, "d/key", File, 0o644),
            (0, "e/key", File, 0o644),
            (0, "ee/key", File, 0o644),
            (1, "a/key", Whiteout, 0),
            (1, "b", Opaque, 0),
            (1, "b/key", File, 0o644),
            (2, "c", Directory, 0o755),
            (2, "d/key", Directory, 0o755),
            (2, "e", Whiteout, 0),
        ]);
        let key = "a private key";
        let hidden =
            |layer: usize, how| format!("{key}, {how} by layer {layer} and still in this one");
        let expected = [
            ("IMG-015", at(0, "c/key"), key.to_owned()),
            ("IMG-015", at(0, "ee/key"), key.to_owned()),
            ("IMG-015", at(1, "b/key"), key.to_owned()),
            ("IMG-016", at(0, "a/key"), hidden(1, "removed")),
            ("IMG-016", at(0, "b/key"), hidden(1, "removed")),
            ("IMG-016", at(0, "d/key"), hidden(2, "replaced")),
            ("IMG-016", at(0, "e/key"), hidden(2, "removed")),
        ];
        assert_eq!(all, expected);
    }

    #[test]
    fn whiteout_spares_what_its_own_layer_has() {
        use What::{File, Opaque, Whiteout};
        let all = found(&[
            (0, "d/key", File, 0o644),
            (0, "d", Opaque, 0),
            (0, "d/key", Whiteout, 0),
        ]);
        assert_eq!(
            all,
            [("IMG-015", at(0, "d/key"), "a private key".to_owned())]
        );
    }

    #[test]
    fn privileges_that_a_later_layer_takes_away_are_none() {
        let all = found(&[
            (0, "srv/a", What::File, 0o4755),
            (0, "srv/b", What::File, 0o4755),
            (0, "srv/f", What::Fifo, 0o644),
            (1, "srv/a", What::File, 0o755),
        ]);
        let expected = [
            (
                "IMG-010",
                at(0, "srv/b"),
                "whoever executes it becomes user 0".to_owned(),
            ),
            ("IMG-012", at(0, "srv/f"), "FIFO".to_owned()),
        ];
        assert_eq!(all, expected);
    }

    #[test]
    fn what_is_remembered_has_a_bound_and_the_rest_is_counted() {
        let paths: Vec<String> = (0..MOST + 7).map(|i| format!("{i:05}")).collect();
        let entries: Vec<_> = paths
            .iter()
            .map(|path| (0, path.as_str(), What::Fifo, 0))
            .collect();
        let all = found(&entries);
        let most_listed = crate::audit::image::found::MOST;
        assert_eq!(all.len(), most_listed + 1);
        let omitted = MOST + 7 - most_listed;
        assert_eq!(
            all.last().unwrap().2,
            format!("{omitted} more of this check are not listed")
        );
    }
}
