//! Options of mounts. An option is only ever added at the end of a list, where it overrides what stands before it.

use super::change::{Rules, short};
use super::{Bound, Flag, Mounts, Propagation};
use crate::error::Result;
use crate::names::mount::{MountOptions, parse};
use crate::spec::{Config, Mount};

/// What kind of mount it is, as the format has sections.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Bind,
    Tmpfs,
    Kernel,
}

/// The kernel's own interfaces.
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

impl Rules<'_> {
    pub(super) fn mounts(&mut self, config: &mut Config) -> Result<()> {
        let wanted = self.profile.mounts.clone();
        self.drop_types(&wanted, config)?;
        for (index, mount) in config.mounts.iter_mut().enumerate() {
            let before = mount.options.clone();
            self.options(&wanted, index, mount)?;
            if mount.options != before {
                let pointer = format!("/mounts/{index}/options");
                self.conflict(
                    "mounts",
                    wanted.on_conflict,
                    &pointer,
                    Some(&before),
                    Some(&mount.options),
                )?;
            }
        }
        Ok(())
    }

    fn drop_types(&mut self, wanted: &Mounts, config: &mut Config) -> Result<()> {
        let is_dropped = |mount: &Mount| {
            class(mount) == Class::Kernel
                && mount
                    .kind
                    .as_ref()
                    .is_some_and(|kind| wanted.drop.contains(kind))
        };
        for mount in config.mounts.iter().filter(|mount| is_dropped(mount)) {
            self.conflict(
                "mounts.drop",
                wanted.on_conflict,
                "/mounts",
                Some(mount),
                None,
            )?;
        }
        config.mounts.retain(|mount| !is_dropped(mount));
        Ok(())
    }

    fn options(&self, wanted: &Mounts, index: usize, mount: &mut Mount) -> Result<()> {
        let class = class(mount);
        let flags = match class {
            Class::Bind => &wanted.bind.add,
            Class::Tmpfs => &wanted.tmpfs.add,
            Class::Kernel => &wanted.kernel.add,
        };
        let holds_devices = holds_devices(mount, class, wanted);
        for flag in flags
            .iter()
            .filter(|flag| !(**flag == Flag::Nodev && holds_devices))
        {
            add_flag(mount, *flag);
        }
        let kind = mount.kind.clone().unwrap_or_default();
        match class {
            Class::Bind => {
                let options = parse(&mount.options);
                let is_readonly = (options.set | options.tree_set) & libc::MOUNT_ATTR_RDONLY != 0;
                if wanted.bind.readonly_recursive && is_readonly && options.bind == Some(true) {
                    add_flag(mount, Flag::Ro);
                }
                add_propagation(mount, wanted.propagation);
            }
            Class::Tmpfs => {
                self.add_number(mount, (index, "size"), &wanted.tmpfs.size)?;
                self.add_number(mount, (index, "nr_inodes"), &wanted.tmpfs.inodes)?;
            }
            Class::Kernel => {
                if wanted.kernel.readonly.contains(&kind) {
                    add_flag(mount, Flag::Ro);
                }
                if kind == "proc" && wanted.kernel.proc_invisible {
                    add_data(
                        mount,
                        "hidepid",
                        &["invisible", "2", "ptraceable", "4"],
                        "invisible",
                    );
                }
                if kind == "proc" && wanted.kernel.proc_only_pids {
                    add_data(mount, "subset", &["pid"], "pid");
                }
            }
        }
        Ok(())
    }

    /// A size that this does not understand cannot be held against the bound, and appending another one could enlarge it.
    fn add_number(
        &self,
        mount: &mut Mount,
        (index, key): (usize, &str),
        bound: &Bound,
    ) -> Result<()> {
        let (Some(value), maximum) = self.quantities(bound) else {
            return Ok(());
        };
        let options = parse(&mount.options);
        let other = if key == "size" { "nr_blocks" } else { key };
        let refusal = |text: &str| {
            let pointer = format!("/mounts/{index}/options");
            self.refusal(
                "mounts.tmpfs",
                &pointer,
                &format!("{key} {}", short(Some(&text))),
            )
            .hint(format!("write {key} as a number, for bytes with k, m or g"))
        };
        if other != key && data(&options, other).is_some() {
            return Err(refusal(other));
        }
        let value = match data(&options, key) {
            None => value,
            Some(text) => {
                let asked = size(&text).ok_or_else(|| refusal(&text))?;
                match maximum {
                    // 0 means no limit.
                    _ if asked == 0 => value,
                    Some(maximum) if asked > maximum => maximum,
                    _ => return Ok(()),
                }
            }
        };
        mount.options.push(format!("{key}={value}"));
        Ok(())
    }
}

fn class(mount: &Mount) -> Class {
    let kind = mount.kind.as_deref().unwrap_or_default();
    match kind {
        _ if parse(&mount.options).bind.is_some() => Class::Bind,
        "tmpfs" => Class::Tmpfs,
        kind if KERNEL.contains(&kind) => Class::Kernel,
        _ => Class::Bind,
    }
}

/// Whether taking the devices away would take away what the mount is for.
fn holds_devices(mount: &Mount, class: Class, wanted: &Mounts) -> bool {
    let in_dev = |path: &str| path.starts_with("/dev/") && !path.contains("/..");
    match class {
        Class::Bind => {
            wanted.bind.device_nodes
                && in_dev(&mount.destination)
                && mount.source.as_deref().is_some_and(in_dev)
        }
        Class::Tmpfs => mount.destination.trim_end_matches('/') == "/dev",
        Class::Kernel => mount.kind.as_deref() == Some("devpts"),
    }
}

fn add_flag(mount: &mut Mount, flag: Flag) {
    let (bit, word) = match flag {
        Flag::Ro => (libc::MOUNT_ATTR_RDONLY, "ro"),
        Flag::Nosuid => (libc::MOUNT_ATTR_NOSUID, "nosuid"),
        Flag::Nodev => (libc::MOUNT_ATTR_NODEV, "nodev"),
        Flag::Noexec => (libc::MOUNT_ATTR_NOEXEC, "noexec"),
    };
    let options = parse(&mount.options);
    if options.bind == Some(true) {
        if options.tree_set & bit == 0 {
            mount.options.push(format!("r{word}"));
        }
        return;
    }
    // Options of the tree are applied after those of the mount, which has no tree here: `rdev` undoes `nodev`.
    if options.tree_clear & bit != 0 {
        mount.options.push(format!("r{word}"));
    } else if (options.set | options.tree_set) & bit == 0 {
        mount.options.push(word.to_owned());
    }
}

/// The last propagation of a list is the one that stays; none is what the source has, which may be shared.
fn add_propagation(mount: &mut Mount, most: Option<Propagation>) {
    let options = parse(&mount.options);
    let (Some(most), Some(recursive)) = (most, options.bind) else {
        return;
    };
    let is_within = options
        .propagation
        .last()
        .is_some_and(|(flag, is_recursive)| {
            let asked = match *flag {
                libc::MS_SHARED => Propagation::Shared,
                libc::MS_SLAVE => Propagation::Slave,
                _ => Propagation::Private,
            };
            asked <= most && (*is_recursive || !recursive)
        });
    if !is_within {
        let word = match most {
            Propagation::Private => "private",
            Propagation::Slave => "slave",
            Propagation::Shared => return,
        };
        mount.options.push(if recursive {
            format!("r{word}")
        } else {
            word.to_owned()
        });
    }
}

fn add_data(mount: &mut Mount, key: &str, enough: &[&str], value: &str) {
    let asked = data(&parse(&mount.options), key);
    if !asked.is_some_and(|asked| enough.contains(&asked.as_str())) {
        mount.options.push(format!("{key}={value}"));
    }
}

/// The value that the filesystem will see last.
pub(super) fn data(options: &MountOptions, key: &str) -> Option<String> {
    options
        .data
        .iter()
        .rev()
        .find(|(name, _)| name == key)
        .and_then(|(_, value)| value.clone())
}

/// As the kernel reads sizes (tmpfs(5)); a percentage is not a number of bytes.
pub(super) fn size(text: &str) -> Option<i64> {
    let (digits, shift) = match text.char_indices().last()? {
        (at, 'k' | 'K') => (&text[..at], 10),
        (at, 'm' | 'M') => (&text[..at], 20),
        (at, 'g' | 'G') => (&text[..at], 30),
        _ => (text, 0),
    };
    // The kernel takes a leading 0 for octal or hexadecimal.
    let is_decimal = digits.bytes().all(|byte| byte.is_ascii_digit())
        && !(digits.len() > 1 && digits.starts_with('0'));
    let number: i64 = digits.parse().ok().filter(|_| is_decimal)?;
    number.checked_mul(1 << shift)
}
