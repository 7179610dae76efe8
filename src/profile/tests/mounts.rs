//! Options of mounts as they work in the end: those of the mount are applied in their order, then those of its tree.

use std::collections::BTreeMap;

use super::bounds::{Checked, ensure};
use crate::profile::{Flag, Mounts, Propagation, Quantity};
use crate::spec::Mount;

/// What a mount ends up with.
struct Effect {
    /// Restrictions by their words, on the mount and on what is below: set, cleared, or as it was.
    here: BTreeMap<&'static str, bool>,
    below: BTreeMap<&'static str, bool>,
    /// Whether it is a bind mount, and whether that is recursive.
    bind: Option<bool>,
    /// Of the mount and of what is below.
    propagation: [Propagation; 2],
    data: BTreeMap<String, String>,
    /// Everything else, in its order.
    rest: Vec<String>,
}

const RESTRICTIONS: [(&str, &str); 5] = [
    ("ro", "rw"),
    ("nosuid", "suid"),
    ("nodev", "dev"),
    ("noexec", "exec"),
    ("nosymfollow", "symfollow"),
];

const PROPAGATIONS: [(&str, Propagation); 3] = [
    ("shared", Propagation::Shared),
    ("slave", Propagation::Slave),
    ("private", Propagation::Private),
];

fn restriction(word: &str) -> Option<(&'static str, bool)> {
    let pair = RESTRICTIONS
        .iter()
        .find(|(set, clear)| word == *set || word == *clear)?;
    Some((pair.0, word == pair.0))
}

impl Effect {
    fn of(mount: &Mount) -> Self {
        let mut effect = Self {
            here: BTreeMap::new(),
            below: BTreeMap::new(),
            bind: None,
            // What is below a source may be shared with the host.
            propagation: [Propagation::Shared; 2],
            data: BTreeMap::new(),
            rest: Vec::new(),
        };
        for word in &mount.options {
            effect.add(word);
        }
        for (word, value) in &effect.below {
            effect.here.insert(word, *value);
        }
        effect
    }

    fn add(&mut self, word: &str) {
        let of_tree = word.strip_prefix('r').unwrap_or("");
        let propagation = |word: &str| PROPAGATIONS.iter().find(|(own, _)| *own == word);
        if word == "bind" || word == "rbind" {
            self.bind = Some(word == "rbind");
        } else if let Some((word, value)) = restriction(word) {
            self.here.insert(word, value);
        } else if let Some((word, value)) = restriction(of_tree) {
            self.below.insert(word, value);
        } else if let Some((_, kind)) = propagation(word) {
            self.propagation[0] = after(self.propagation[0], *kind);
        } else if let Some((_, kind)) = propagation(of_tree) {
            self.propagation = self.propagation.map(|old| after(old, *kind));
        } else if let Some((key, value)) = word.split_once('=') {
            self.data.insert(key.to_owned(), value.to_owned());
        } else {
            self.rest.push(word.to_owned());
        }
    }

    fn has(&self, word: &str) -> bool {
        let below = self.bind != Some(true) || self.below.get(word) == Some(&true);
        self.here.get(word) == Some(&true) && below
    }

    fn number(&self, key: &str) -> Option<u64> {
        let text = self.data.get(key)?;
        let digits = text.trim_end_matches(['k', 'm', 'g']);
        let unit = match text.chars().last()? {
            'k' => 1 << 10,
            'm' => 1 << 20,
            'g' => 1 << 30,
            _ => 1,
        };
        digits
            .parse::<u64>()
            .ok()
            .map(|number| number * unit)
            .filter(|number| *number > 0)
    }
}

/// What is private has nobody to be a slave of.
fn after(old: Propagation, new: Propagation) -> Propagation {
    match (old, new) {
        (Propagation::Private, Propagation::Slave) => Propagation::Private,
        (_, new) => new,
    }
}

/// The same mount, with the same restrictions or more.
pub(super) fn at_most_options(new: &Mount, old: &Mount) -> Checked {
    let (new, old) = (Effect::of(new), Effect::of(old));
    ensure(
        (new.bind, &new.rest) == (old.bind, &old.rest),
        "other options",
    )?;
    let places = [("", &new.here, &old.here), ("r", &new.below, &old.below)];
    for (prefix, new, old) in places {
        for (word, _) in RESTRICTIONS {
            let holds = match old.get(word) {
                Some(true) => new.get(word) == Some(&true),
                Some(false) => true,
                None => new.get(word) != Some(&false),
            };
            ensure(holds, format!("{prefix}{word} is gone"))?;
        }
    }
    ensure(new.propagation <= old.propagation, "propagation")?;
    for key in ["size", "nr_inodes"] {
        let holds = new.data.get(key) == old.data.get(key)
            || new.number(key).is_some()
                && old
                    .number(key)
                    .is_none_or(|old| new.number(key) <= Some(old));
        ensure(holds, key)?;
    }
    let others = |effect: &Effect| {
        let mut data = effect.data.clone();
        data.retain(|key, _| !["size", "nr_inodes", "hidepid", "subset"].contains(&key.as_str()));
        data
    };
    ensure(others(&new) == others(&old), "other data")?;
    let hides = |effect: &Effect| effect.data.get("hidepid").is_some_and(|value| value != "0");
    ensure(hides(&new) || !hides(&old), "hidepid")?;
    let only_pids = |effect: &Effect| {
        effect
            .data
            .get("subset")
            .is_some_and(|value| value == "pid")
    };
    ensure(only_pids(&new) || !only_pids(&old), "subset")
}

const KERNEL: [&str; 13] = [
    "proc",
    "sysfs",
    "cgroup",
    "cgroup2",
    "devpts",
    "mqueue",
    "securityfs",
    "debugfs",
    "tracefs",
    "bpf",
    "pstore",
    "configfs",
    "binfmt_misc",
];

/// What the profile demands of mounts of its class.
pub(super) fn within_class(mount: &Mount, profile: &Mounts) -> Checked {
    let effect = Effect::of(mount);
    let kind = mount.kind.as_deref().unwrap_or_default();
    let is_bind = effect.bind.is_some();
    let is_kernel = !is_bind && KERNEL.contains(&kind);
    let is_tmpfs = !is_bind && kind == "tmpfs";
    let in_dev = |path: &str| path.starts_with("/dev/") && !path.contains("..");
    let of_devices = in_dev(&mount.destination) && mount.source.as_deref().is_some_and(in_dev);
    let (flags, spared) = match (is_kernel, is_tmpfs) {
        (true, _) => (&profile.kernel.add, kind == "devpts"),
        (_, true) => (
            &profile.tmpfs.add,
            ["/dev", "/dev/"].contains(&&*mount.destination),
        ),
        _ => (&profile.bind.add, profile.bind.device_nodes && of_devices),
    };
    for flag in flags {
        let word = match flag {
            Flag::Ro => "ro",
            Flag::Nosuid => "nosuid",
            Flag::Nodev => "nodev",
            Flag::Noexec => "noexec",
        };
        let is_spared = spared && word == "nodev";
        ensure(is_spared || effect.has(word), format!("{word} is not set"))?;
    }
    match (is_kernel, is_tmpfs) {
        (true, _) => within_kernel(&effect, kind, profile),
        (_, true) => within_tmpfs(&effect, profile),
        _ => within_bind(&effect, profile),
    }
}

fn within_kernel(effect: &Effect, kind: &str, profile: &Mounts) -> Checked {
    let listed = |list: &[String]| list.iter().any(|other| other == kind);
    ensure(!listed(&profile.drop), "mounts.drop")?;
    ensure(
        !listed(&profile.kernel.readonly) || effect.has("ro"),
        "mounts.kernel.readonly",
    )?;
    let data = |key: &str| effect.data.get(key).map_or("", String::as_str);
    let invisible = ["invisible", "ptraceable", "2", "4"].contains(&data("hidepid"));
    ensure(
        kind != "proc" || !profile.kernel.proc_invisible || invisible,
        "proc-invisible",
    )?;
    ensure(
        kind != "proc" || !profile.kernel.proc_only_pids || data("subset") == "pid",
        "proc-only-pids",
    )?;
    Ok(())
}

fn within_tmpfs(effect: &Effect, profile: &Mounts) -> Checked {
    let bounds = [
        ("size", &profile.tmpfs.size),
        ("nr_inodes", &profile.tmpfs.inodes),
    ];
    for (key, bound) in bounds {
        let Some(most) = bound.maximum.or(bound.default) else {
            continue;
        };
        let Quantity::Number(most) = most else {
            continue;
        };
        let is_bounded = effect
            .number(key)
            .is_some_and(|own| own <= most || bound.maximum.is_none());
        ensure(is_bounded, format!("mounts.tmpfs: {key}"))?;
    }
    Ok(())
}

fn within_bind(effect: &Effect, profile: &Mounts) -> Checked {
    let is_readonly = effect.here.get("ro") == Some(&true);
    let all_down = effect.bind != Some(true) || effect.below.get("ro") == Some(&true);
    ensure(
        !(profile.bind.readonly_recursive && is_readonly) || all_down,
        "readonly-recursive",
    )?;
    let most = profile
        .propagation
        .filter(|_| effect.bind.is_some())
        .unwrap_or(Propagation::Shared);
    let reach = if effect.bind == Some(true) { 2 } else { 1 };
    ensure(
        effect.propagation[..reach].iter().all(|own| *own <= most),
        "mounts.propagation",
    )?;
    Ok(())
}
