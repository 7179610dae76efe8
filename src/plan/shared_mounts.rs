//! Bind mounts that are shared with the host: what the container mounts on one appears on the host, which drivers of
//! storage live on. A config asks by `linux.rootfsPropagation` and by the mount's own options, both `shared`.
//! Other propagation is in `mounts`.

use std::ffi::CString;

use super::create::{Inputs, add_tree, field};
use super::mounts::{All, Mounts, attributes, clean, destination};
use super::{Step, Tree};
use crate::error::{Error, Result, quote};
use crate::names::mount::MountOptions;

impl All<'_> {
    /// In a user namespace every mount of the host is a slave (mount_namespaces(7)).
    pub(super) fn is_shared(&self, options: &MountOptions) -> bool {
        let linux = self.inputs.config.linux.as_ref();
        let root = linux.and_then(|linux| linux.rootfs_propagation.as_deref());
        let last = options.propagation.last();
        matches!(root, Some("shared" | "rshared"))
            && last.is_some_and(|(propagation, _)| *propagation == libc::MS_SHARED)
            && self.spaces.is_new(libc::CLONE_NEWNS)
            && !self.spaces.has_user
    }

    /// All places are found before the first such mount is attached.
    pub(super) fn share(&mut self, source: CString, path: CString, options: &MountOptions) {
        let tree = Tree {
            path: source,
            recursive: options.bind == Some(true),
            propagation: libc::MS_SHARED,
            id_maps: None,
        };
        let tree = add_tree(&mut self.mounts.trees, tree);
        let slot = self.slot();
        let place = Step::SharedPlace {
            slot,
            tree,
            path: path.clone(),
        };
        let share = Step::Share {
            slot,
            tree,
            path,
            attributes: attributes(options),
        };
        let shared = &mut self.mounts.shared;
        shared.insert(shared.len() / 2, place);
        shared.push(share);
    }
}

impl Mounts {
    /// What comes after a shared mount and is inside it would be made on the host too, and stay there.
    pub(super) fn refuse_inside_shared(&self, inputs: &Inputs<'_>) -> Result<()> {
        let shared = self.shared.iter().filter_map(|step| match step {
            Step::Share { path, .. } => path.to_str().ok(),
            _ => None,
        });
        let inside = insides(inputs);
        for place in shared {
            let position = inside.iter().position(|(_, path)| path == place);
            let later = inside.iter().skip(position.map_or(0, |index| index + 1));
            let found = later
                .filter(|(_, path)| is_inside(path, place))
                .map(|(name, path)| {
                    let cause = format!(
                        "{} is inside {}, which is shared with the host, where it would be mounted too",
                        quote(path),
                        quote(place)
                    );
                    Error::new(field(inputs, name), cause)
                });
            if let Some(error) = found.into_iter().next() {
                return Err(error);
            }
        }
        Ok(())
    }
}

/// Everything of the config that is mounted somewhere, by its name, in order.
fn insides(inputs: &Inputs<'_>) -> Vec<(String, String)> {
    let config = inputs.config;
    let mounts = config.mounts.iter();
    let mounts = mounts.map(|mount| destination(inputs, &mount.destination));
    let mut all = named("mounts", ".destination", mounts);
    if let Some(linux) = &config.linux {
        let cleaned = |paths: &[String]| paths.iter().map(|path| clean(path)).collect::<Vec<_>>();
        let readonly = cleaned(&linux.readonly_paths);
        all.extend(named("linux.readonlyPaths", "", readonly));
        all.extend(named("linux.maskedPaths", "", cleaned(&linux.masked_paths)));
    }
    all
}

fn named(
    list: &str,
    member: &str,
    paths: impl IntoIterator<Item = String>,
) -> Vec<(String, String)> {
    let numbered = paths.into_iter().enumerate();
    numbered
        .map(|(index, path)| (format!("{list}[{index}]{member}"), path))
        .collect()
}

fn is_inside(path: &str, place: &str) -> bool {
    path.strip_prefix(place)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
