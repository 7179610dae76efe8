//! From `mounts` of the config to mount steps; the mounts of cgroup hierarchies are in `cgroup_mounts`.
//! How a mount is made safely is in `init::mounts`.

use std::ffi::CString;
use std::path::Path;

use super::create::{Inputs, add_tree, c_string, field};
use super::namespaces::{Namespaces, map_text};
use super::{Attributes, Filesystem, MapWriter, Mount, MountIds, Source, Step, Tree};
use crate::error::{Error, Result, quote};
use crate::names::mount::{self, MountOptions};
use crate::profile::Habits;
use crate::spec::{self, Linux};
use crate::sys::mount::{Change, RDONLY};

/// The root filesystem as a mount of its own, cut off from the host's mount events.
fn root(inputs: &Inputs<'_>, spaces: &Namespaces, trees: &mut Vec<Tree>) -> Result<Vec<Step>> {
    let root = inputs.config.root.as_ref();
    let root = root.ok_or_else(|| Error::new(field(inputs, "root"), "a container needs it"))?;
    let path = path_in(inputs, &root.path);
    let mut steps = Vec::new();
    if spaces.is_new(libc::CLONE_NEWNS) {
        steps.push(Step::Isolate {
            propagation: isolation(inputs),
        });
    }
    let is_prepared = prepares_trees(inputs, spaces) && spaces.is_new(libc::CLONE_NEWNS);
    let tree = is_prepared.then(|| {
        add_tree(
            trees,
            Tree {
                path: path.clone(),
                recursive: true,
                propagation: isolation(inputs),
                id_maps: None,
            },
        )
    });
    steps.push(Step::Root { path, tree });
    Ok(steps)
}

/// What every mount of the host becomes for the container: none hands events on to the host but those of `shared_mounts`.
fn isolation(inputs: &Inputs<'_>) -> u64 {
    let linux = inputs.config.linux.as_ref();
    match linux.and_then(|linux| linux.rootfs_propagation.as_deref()) {
        Some("private" | "rprivate") => libc::MS_PRIVATE,
        _ => libc::MS_SLAVE,
    }
}

/// Inside a user namespace the sources of binds may be out of reach; the parent opens them, if it has the right to.
fn prepares_trees(inputs: &Inputs<'_>, spaces: &Namespaces) -> bool {
    spaces.has_user && inputs.host.has_capability("CAP_SYS_ADMIN")
}

/// The propagation of the container's root after the change of root.
pub(super) fn root_propagation(inputs: &Inputs<'_>, linux: &Linux) -> Result<Option<Step>> {
    let Some(word) = linux
        .rootfs_propagation
        .as_deref()
        .filter(|word| !word.is_empty())
    else {
        return Ok(None);
    };
    match mount::parse(&[word]).propagation.first() {
        Some((propagation, recursive)) => Ok(Some(Step::RootPropagation {
            propagation: *propagation,
            recursive: *recursive,
        })),
        None => Err(Error::new(
            field(inputs, "linux.rootfsPropagation"),
            format!("unknown propagation {}", quote(word)),
        )),
    }
}

/// Everything about mounts in a plan.
#[derive(Debug)]
pub(super) struct Mounts {
    /// The root and the mounts, in order.
    pub(super) steps: Vec<Step>,
    /// The sealing of those that are read-only but still get something made in them.
    pub(super) seals: Vec<Step>,
    /// Those that are shared with the host: their places, then they themselves.
    pub(super) shared: Vec<Step>,
    /// Trees that the parent opens.
    pub(super) trees: Vec<Tree>,
    /// How many descriptors are kept from one step to another.
    pub(super) kept: usize,
}

impl Mounts {
    pub(super) fn of(inputs: &Inputs<'_>, linux: &Linux, spaces: &Namespaces) -> Result<Self> {
        let mounts = Self {
            steps: Vec::new(),
            seals: Vec::new(),
            shared: Vec::new(),
            trees: Vec::new(),
            kept: 0,
        };
        let mut all = All {
            inputs,
            linux,
            spaces,
            mounts,
        };
        let root = root(inputs, spaces, &mut all.mounts.trees)?;
        all.mounts.steps.extend(root);
        for (index, mount) in inputs.config.mounts.iter().enumerate() {
            all.add(index, mount)?;
        }
        all.mounts.refuse_inside_shared(inputs)?;
        Ok(all.mounts)
    }
}

/// The mounts as they are gathered, and what each depends on.
pub(super) struct All<'a> {
    pub(super) inputs: &'a Inputs<'a>,
    linux: &'a Linux,
    pub(super) spaces: &'a Namespaces,
    pub(super) mounts: Mounts,
}

impl All<'_> {
    pub(super) fn push(&mut self, mount: Mount) {
        self.mounts.steps.push(Step::Mount(Box::new(mount)));
    }

    fn add(&mut self, index: usize, mount: &spec::Mount) -> Result<()> {
        let name = |part: &str| field(self.inputs, &format!("mounts[{index}]{part}"));
        let options = mount::parse(&mount.options);
        let destination = destination(self.inputs, &mount.destination);
        if is_guarded(&destination) {
            return Err(Error::new(
                name(".destination"),
                format!("{} is inside /proc", quote(&destination)),
            )
            .hint("a mount there would hide what the kernel says: mask the path instead"));
        }
        if destination == "/" && !options.remount {
            let cause = "a mount over the root would be left behind by the change of root";
            return Err(Error::new(name(".destination"), cause)
                .hint("name what is to be the root in root.path"));
        }
        let destination = c_string(&destination);
        if options.remount {
            let source = Source::Existing;
            let attributes = attributes(&options);
            self.push(Mount {
                destination,
                source,
                attributes,
                seal: None,
            });
            return Ok(());
        }
        if options.bind.is_some() {
            return self.bind(index, mount, &options, destination);
        }
        let kind = mount
            .kind
            .as_deref()
            .filter(|kind| !kind.is_empty() && *kind != "none");
        let Some(kind) = kind else {
            return Err(Error::new(
                name(".type"),
                "a mount that is not a bind mount needs a type",
            )
            .hint("add \"bind\" or \"rbind\" to its options, or give it a type"));
        };
        match kind {
            "bind" => Err(
                Error::new(name(".options"), "type \"bind\" without the option").hint(
                    "add \"bind\" or \"rbind\" to the options: they decide (config.md, \"Mounts\")",
                ),
            ),
            "cgroup" | "cgroup2" => {
                self.cgroup(&options, destination);
                Ok(())
            }
            _ => self.filesystem(index, kind, mount, &options, destination),
        }
    }

    fn bind(
        &mut self,
        index: usize,
        mount: &spec::Mount,
        options: &MountOptions,
        destination: CString,
    ) -> Result<()> {
        let name = |part: &str| field(self.inputs, &format!("mounts[{index}]{part}"));
        if let Some((option, _)) = options.data.first() {
            return Err(Error::new(
                name(".options"),
                format!("a bind mount takes no option {}", quote(option)),
            ));
        }
        let source = mount.source.as_deref().filter(|source| !source.is_empty());
        let source =
            source.ok_or_else(|| Error::new(name(".source"), "a bind mount needs a source"))?;
        let path = path_in(self.inputs, source);
        let recursive = options.bind == Some(true);
        let id_maps = self
            .id_maps(mount, options)
            .map_err(|cause| Error::new(name(".uidMappings"), cause))?;
        let inside = below_root(self.inputs, &path.to_string_lossy());
        if inside.is_some() && (id_maps.is_some() || self.is_shared(options)) {
            // The runtime would open it outside, where a link of the image leads anywhere.
            let cause = "a source inside the root filesystem can be neither shared nor idmapped";
            return Err(Error::new(name(".source"), cause));
        }
        if id_maps.is_none() && self.is_shared(options) {
            self.share(path, destination, options);
            return Ok(());
        }
        let source = if let (Some(inside), None) = (inside, &id_maps) {
            let path = c_string(&inside);
            Source::Inside { path, recursive }
        } else if id_maps.is_some() || prepares_trees(self.inputs, self.spaces) {
            Source::Tree(add_tree(
                &mut self.mounts.trees,
                Tree {
                    path,
                    recursive,
                    propagation: isolation(self.inputs),
                    id_maps,
                },
            ))
        } else {
            Source::Bind { path, recursive }
        };
        let attributes = attributes(&self.bind_options(options));
        self.push(Mount {
            destination,
            source,
            attributes,
            seal: None,
        });
        Ok(())
    }

    /// What the options of a bind mount take off. In a user namespace the flags that the host gave to its mounts are
    /// locked; those of a tree that the parent opened would not be.
    fn bind_options(&self, options: &MountOptions) -> MountOptions {
        let mut options = options.clone();
        if self.inputs.habits == Habits::Runc {
            options = options.alone();
        }
        if self.spaces.has_user {
            options.implied &= !mount::LOCKABLE;
        }
        options
    }

    /// The maps of an idmapped mount: its own, or else those of the container's user namespace.
    fn id_maps(
        &self,
        mount: &spec::Mount,
        options: &MountOptions,
    ) -> std::result::Result<Option<(MountIds, bool)>, &'static str> {
        let has_own = !mount.uid_mappings.is_empty() || !mount.gid_mappings.is_empty();
        let recursive = match (options.id_map, has_own) {
            (None, false) => return Ok(None),
            (recursive, _) => recursive.unwrap_or(false),
        };
        let (uids, gids) = if has_own {
            (&mount.uid_mappings, &mount.gid_mappings)
        } else {
            (&self.linux.uid_mappings, &self.linux.gid_mappings)
        };
        if uids.is_empty() && gids.is_empty() && self.spaces.joins_user() {
            return Ok(Some((MountIds::Joined, recursive)));
        }
        if uids.is_empty() || gids.is_empty() {
            return Err(
                "an idmapped mount needs uidMappings and gidMappings, its own or those of linux",
            );
        }
        let ids = MountIds::Mapped(map_text(uids, gids, [MapWriter::Privileged; 2]));
        Ok(Some((ids, recursive)))
    }

    fn filesystem(
        &mut self,
        index: usize,
        kind: &str,
        mount: &spec::Mount,
        options: &MountOptions,
        destination: CString,
    ) -> Result<()> {
        let name = |part: &str| field(self.inputs, &format!("mounts[{index}]{part}"));
        if options.id_map.is_some()
            || !mount.uid_mappings.is_empty()
            || !mount.gid_mappings.is_empty()
        {
            return Err(Error::new(
                name(".uidMappings"),
                "only bind mounts can be idmapped",
            ));
        }
        if options.copy_up && kind != "tmpfs" {
            return Err(Error::new(
                name(".options"),
                "\"tmpcopyup\" is for tmpfs alone",
            ));
        }
        let has_mode = options.data.iter().any(|(key, _)| key == "mode");
        let mut attributes = attributes(options);
        let is_readonly = attributes.mount.set & RDONLY != 0;
        let mut filesystem = Filesystem {
            kind: c_string(kind),
            source: Some(c_string(mount.source.as_deref().unwrap_or(kind))),
            flags: options.flags.iter().map(|flag| c_string(flag)).collect(),
            values: Vec::new(),
            inherit_mode: kind == "tmpfs" && !has_mode,
            copy_up: options.copy_up,
        };
        for (key, value) in &options.data {
            match value {
                Some(value) => filesystem.values.push((c_string(key), c_string(value))),
                None => filesystem.flags.push(c_string(key)),
            }
        }
        self.label(kind, &mut filesystem)?;
        // What is made in a tmpfs later would fail on a read-only one.
        let seal = (kind == "tmpfs" && is_readonly).then(|| self.seal(&destination));
        if seal.is_some() {
            attributes.mount.set &= !RDONLY;
        }
        let source = Source::Filesystem(filesystem);
        self.push(Mount {
            destination,
            source,
            attributes,
            seal,
        });
        Ok(())
    }

    /// `linux.mountLabel` on the filesystems whose files have no label of their own.
    fn label(&self, kind: &str, filesystem: &mut Filesystem) -> Result<()> {
        let label = self
            .linux
            .mount_label
            .as_deref()
            .filter(|label| !label.is_empty());
        let Some(label) = label else { return Ok(()) };
        if !self.inputs.host.selinux {
            let field = field(self.inputs, "linux.mountLabel");
            return Err(Error::new(field, "this kernel has no SELinux enabled"));
        }
        if matches!(kind, "tmpfs" | "devpts" | "mqueue") {
            filesystem
                .values
                .push((c"context".to_owned(), c_string(label)));
        }
        Ok(())
    }

    pub(super) fn slot(&mut self) -> usize {
        self.mounts.kept += 1;
        self.mounts.kept - 1
    }

    pub(super) fn seal(&mut self, path: &CString) -> usize {
        let slot = self.slot();
        self.mounts.seals.push(Step::Seal {
            slot,
            path: path.clone(),
        });
        slot
    }
}

pub(super) fn attributes(options: &MountOptions) -> Attributes {
    Attributes {
        mount: Change {
            set: options.set,
            clear: options.clear,
            propagation: 0,
        },
        implied: options.implied,
        tree: Change {
            set: options.tree_set,
            clear: options.tree_clear,
            propagation: 0,
        },
        propagation: options.propagation.clone(),
    }
}

/// What may be mounted inside /proc: files that userspace filesystems such as lxcfs show a container's own numbers in.
fn is_guarded(destination: &str) -> bool {
    const REPLACED: [&str; 9] = [
        "cpuinfo",
        "diskstats",
        "loadavg",
        "meminfo",
        "slabinfo",
        "stat",
        "swaps",
        "uptime",
        "net/dev",
    ];
    destination
        .strip_prefix("/proc/")
        .is_some_and(|below| !REPLACED.contains(&below))
}

/// Whether the options make it a bind mount; they decide, whatever the type says.
pub(super) fn is_bind(mount: &spec::Mount) -> bool {
    mount
        .options
        .iter()
        .any(|option| option == "bind" || option == "rbind")
}

/// A path of the runtime namespace; relative ones are below the bundle.
fn path_in(inputs: &Inputs<'_>, path: &str) -> CString {
    c_string(&inputs.bundle.path.join(Path::new(path)).to_string_lossy())
}

/// Where a mount goes in the container. runc takes the path of the root filesystem off, for callers of old.
pub(super) fn destination(inputs: &Inputs<'_>, path: &str) -> String {
    let inside = match inputs.habits {
        Habits::Own => None,
        Habits::Runc => below_root(inputs, path),
    };
    inside.unwrap_or_else(|| clean(path))
}

/// A path of the runtime namespace that is in the root filesystem by its words, as a path of that; none where all of the
/// runtime namespace is the root filesystem.
fn below_root(inputs: &Inputs<'_>, path: &str) -> Option<String> {
    let root = inputs.config.root.as_ref()?;
    let root = clean(&path_in(inputs, &root.path).to_string_lossy());
    let path = clean(path);
    let rest = path.strip_prefix(&root).filter(|_| root != "/")?;
    match rest {
        "" => Some("/".to_owned()),
        rest if rest.starts_with('/') => Some(rest.to_owned()),
        _ => None,
    }
}

/// Lexically clean and absolute: no `.`, no empty component, and `..` stops at the root.
pub(super) fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_cleaned_lexically_and_stay_below_the_root() {
        for (path, cleaned) in [
            ("/dev/", "/dev"),
            ("/a/../../../escape", "/escape"),
            ("rel/dst", "/rel/dst"),
            ("//a//./b/", "/a/b"),
            ("/", "/"),
        ] {
            assert_eq!(clean(path), cleaned);
        }
    }
}
