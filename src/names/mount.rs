//! Mount options (config.md, "Linux mount options"): words and the attributes of mount_setattr(2) that they mean.

/// What the options of a mount ask for. Attributes are masks of `MOUNT_ATTR_*`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MountOptions {
    /// To set on the mount.
    pub set: u64,
    /// To clear on the mount; the access-time modes are one field, cleared as a whole by any of them.
    pub clear: u64,
    /// To clear on a new bind mount as well, as far as the kernel allows it; none but by [`MountOptions::alone`].
    pub implied: u64,
    /// Whether the access-time mode is that of a word that sets one, not only of one that reverses another.
    pub sets_mode: bool,
    /// To set on the mount and everything below it.
    pub tree_set: u64,
    /// To clear on the mount and everything below it.
    pub tree_clear: u64,
    /// Propagation types (`MS_SHARED` and its kin), each with whether it is recursive.
    pub propagation: Vec<(u64, bool)>,
    /// A bind mount, and whether it is recursive.
    pub bind: Option<bool>,
    /// Not a new mount: other attributes for the one that is there.
    pub remount: bool,
    /// `tmpcopyup`.
    pub copy_up: bool,
    /// An idmapped mount, and whether it is recursive.
    pub id_map: Option<bool>,
    /// Words for the superblock, without a value.
    pub flags: Vec<String>,
    /// Everything else, for the filesystem.
    pub data: Vec<(String, Option<String>)>,
}

const RDONLY: u64 = libc::MOUNT_ATTR_RDONLY;
const NOSUID: u64 = libc::MOUNT_ATTR_NOSUID;
const NODEV: u64 = libc::MOUNT_ATTR_NODEV;
const NOEXEC: u64 = libc::MOUNT_ATTR_NOEXEC;
const NODIRATIME: u64 = libc::MOUNT_ATTR_NODIRATIME;
const NOSYMFOLLOW: u64 = libc::MOUNT_ATTR_NOSYMFOLLOW;
/// The field of the access-time modes.
const ATIME: u64 = libc::MOUNT_ATTR__ATIME;
const NOATIME: u64 = libc::MOUNT_ATTR_NOATIME;
const STRICTATIME: u64 = libc::MOUNT_ATTR_STRICTATIME;
/// What the kernel locks on a mount that a user namespace inherits, but for access times (mount_namespaces(7)).
pub const LOCKABLE: u64 = RDONLY | NOSUID | NODEV | NOEXEC;
/// The words that set an access-time mode.
const MODES: [&str; 3] = ["noatime", "relatime", "strictatime"];

/// Word, what it sets, what it clears. With an `r` in front it reaches the whole tree.
const ATTRIBUTES: [(&str, u64, u64); 18] = [
    ("ro", RDONLY, 0),
    ("rw", 0, RDONLY),
    ("nosuid", NOSUID, 0),
    ("suid", 0, NOSUID),
    ("nodev", NODEV, 0),
    ("dev", 0, NODEV),
    ("noexec", NOEXEC, 0),
    ("exec", 0, NOEXEC),
    ("nodiratime", NODIRATIME, 0),
    ("diratime", 0, NODIRATIME),
    ("nosymfollow", NOSYMFOLLOW, 0),
    ("symfollow", 0, NOSYMFOLLOW),
    ("noatime", NOATIME, ATIME),
    ("atime", 0, ATIME),
    ("relatime", 0, ATIME),
    ("norelatime", 0, ATIME),
    ("strictatime", STRICTATIME, ATIME),
    ("nostrictatime", 0, ATIME),
];

const PROPAGATION: [(&str, u64); 4] = [
    ("shared", libc::MS_SHARED),
    ("slave", libc::MS_SLAVE),
    ("private", libc::MS_PRIVATE),
    ("unbindable", libc::MS_UNBINDABLE),
];

/// Words for the superblock, each with the one that takes it back. As fsconfig(2) spells them.
const SUPERBLOCK: [(&str, &str); 4] = [
    ("sync", "async"),
    ("dirsync", "async"),
    ("mand", "nomand"),
    ("lazytime", "nolazytime"),
];

/// All words that have a meaning of their own, for the features document.
pub fn known() -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for (word, ..) in ATTRIBUTES {
        words.extend([word.to_owned(), format!("r{word}")]);
    }
    for (word, _) in PROPAGATION {
        words.extend([word.to_owned(), format!("r{word}")]);
    }
    for (word, reverse) in SUPERBLOCK {
        words.extend([word.to_owned(), reverse.to_owned()]);
    }
    words.extend(
        [
            "defaults",
            "bind",
            "rbind",
            "idmap",
            "ridmap",
            "tmpcopyup",
            "remount",
            "silent",
            "loud",
            "iversion",
            "noiversion",
        ]
        .map(str::to_owned),
    );
    words.sort();
    words.dedup();
    words
}

/// The words of the attributes that a mask sets.
pub fn attribute_words(mask: u64) -> Vec<&'static str> {
    ATTRIBUTES
        .iter()
        .filter(|(_, set, _)| mask & set != 0)
        .map(|(word, ..)| *word)
        .collect()
}

/// The word of a propagation type, one of `MS_SHARED` and its kin.
pub fn propagation_word(flag: u64) -> Option<&'static str> {
    super::word_of(&PROPAGATION, flag)
}

/// Reads options in order; a later one overrides an earlier one.
pub fn parse<S: AsRef<str>>(options: &[S]) -> MountOptions {
    let mut parsed = MountOptions::default();
    for option in options {
        // One element may hold several, as mount(8) takes them.
        for word in option.as_ref().split(',').filter(|word| !word.is_empty()) {
            parsed.add(word);
        }
    }
    parsed
}

impl MountOptions {
    /// The same in the way of runc, for a new bind mount: once an option names an attribute, those that none names are
    /// taken off, but access times stay as they are unless a word sets something of them.
    #[must_use]
    pub fn alone(mut self) -> Self {
        if self.set | self.clear == 0 {
            return self;
        }
        self.clear &= !(ATIME | NODIRATIME);
        if self.sets_mode || self.set & NODIRATIME != 0 {
            self.clear |= ATIME | NODIRATIME & !self.set;
        }
        self.implied = (LOCKABLE | NOSYMFOLLOW) & !(self.set | self.clear);
        self
    }

    fn add(&mut self, word: &str) {
        match word {
            "bind" => self.bind = Some(false),
            "rbind" => self.bind = Some(true),
            "idmap" => self.id_map = Some(false),
            "ridmap" => self.id_map = Some(true),
            "tmpcopyup" => self.copy_up = true,
            "remount" => self.remount = true,
            // Nothing to do: the calls used here write nothing to the kernel's log, and the kernel has kept the version
            // number of inodes without being asked since 4.16.
            "defaults" | "silent" | "loud" | "iversion" | "noiversion" => {}
            word => {
                if !(self.attribute(word) || self.propagate(word) || self.superblock(word)) {
                    let (key, value) = word
                        .split_once('=')
                        .map_or((word, None), |(key, value)| (key, Some(value)));
                    self.data.push((key.to_owned(), value.map(str::to_owned)));
                }
            }
        }
    }

    fn attribute(&mut self, word: &str) -> bool {
        let found = |word: &str| ATTRIBUTES.iter().find(|(name, ..)| *name == word);
        let (set, clear, (_, add, remove)) =
            match (found(word), word.strip_prefix('r').and_then(found)) {
                (Some(attribute), _) => {
                    if attribute.2 == ATIME {
                        self.sets_mode = MODES.contains(&word);
                    }
                    (&mut self.set, &mut self.clear, attribute)
                }
                (None, Some(attribute)) => (&mut self.tree_set, &mut self.tree_clear, attribute),
                (None, None) => return false,
            };
        *set = *set & !remove | add;
        // What is set is not cleared as well, except that a mode of the access-time field replaces the whole field.
        *clear = *clear & !(add & !ATIME) | remove;
        true
    }

    fn propagate(&mut self, word: &str) -> bool {
        let found = |word: &str| super::number_of(&PROPAGATION, word);
        match (found(word), word.strip_prefix('r').and_then(found)) {
            (Some(flag), _) => self.propagation.push((flag, false)),
            (None, Some(flag)) => self.propagation.push((flag, true)),
            (None, None) => return false,
        }
        true
    }

    fn superblock(&mut self, word: &str) -> bool {
        let mut is_known = false;
        for (flag, reverse) in SUPERBLOCK {
            if word == flag {
                self.flags.push(word.to_owned());
                return true;
            }
            if word == reverse {
                self.flags.retain(|set| set != flag);
                is_known = true;
            }
        }
        is_known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_options_override_earlier_ones() {
        let options = parse(&["ro", "rw", "nosuid"]);
        assert_eq!((options.set, options.clear), (NOSUID, RDONLY));
        let options = parse(&["rw", "ro"]);
        assert_eq!((options.set, options.clear), (RDONLY, 0));
    }

    #[test]
    fn an_access_time_mode_replaces_the_whole_field() {
        let options = parse(&["noatime", "strictatime"]);
        assert_eq!((options.set, options.clear), (STRICTATIME, ATIME));
        let options = parse(&["rnoatime"]);
        assert_eq!((options.tree_set, options.tree_clear), (NOATIME, ATIME));
    }

    #[test]
    fn alone_an_option_takes_off_what_none_names_but_access_times() {
        let alone = |words: &[&str]| {
            let options = parse(words).alone();
            (options.set, options.clear, options.implied)
        };
        assert_eq!(alone(&[]), (0, 0, 0));
        assert_eq!(alone(&["rro"]), (0, 0, 0));
        let others = NODEV | NOEXEC | NOSYMFOLLOW;
        assert_eq!(alone(&["ro", "nosuid"]), (RDONLY | NOSUID, 0, others));
        let others = NOSUID | others;
        assert_eq!(alone(&["rw"]), (0, RDONLY, others));
        let all = RDONLY | others;
        for kept in ["atime", "norelatime", "nostrictatime", "diratime"] {
            assert_eq!(alone(&[kept]), (0, 0, all), "{kept}");
        }
        let field = ATIME | NODIRATIME;
        assert_eq!(alone(&["relatime"]), (0, field, all));
        assert_eq!(alone(&["nodiratime"]), (NODIRATIME, ATIME, all));
        let words = ["nodiratime", "strictatime"];
        assert_eq!(alone(&words), (NODIRATIME | STRICTATIME, ATIME, all));
    }

    #[test]
    fn recursive_words_are_told_from_words_that_begin_with_r() {
        let options = parse(&["rro", "rw", "relatime", "rrelatime", "rslave", "private"]);
        assert_eq!(options.tree_set, RDONLY);
        assert_eq!(options.clear, RDONLY | ATIME);
        assert_eq!(options.tree_clear, ATIME);
        assert_eq!(
            options.propagation,
            [(libc::MS_SLAVE, true), (libc::MS_PRIVATE, false)]
        );
    }

    #[test]
    fn what_has_no_meaning_of_its_own_goes_to_the_filesystem() {
        let options = parse(&["mode=755,size=1k", "acl", "sync", "async"]);
        let data = |key: &str, value: Option<&str>| (key.to_owned(), value.map(str::to_owned));
        assert_eq!(
            options.data,
            [
                data("mode", Some("755")),
                data("size", Some("1k")),
                data("acl", None)
            ]
        );
        assert_eq!(options.flags, Vec::<String>::new());
        assert!(parse(&["remount", "ro"]).remount);
    }
}
