//! A mount of type `cgroup`: what of the hierarchies a container sees (config-linux.md, "Default Filesystems"; cgroups(7)).
//! Which cgroup the container is in is `cgroup`'s.

use std::ffi::CString;

use super::create::c_string;
use super::mounts::{All, attributes};
use super::{Filesystem, Mount, Source, Step};
use crate::cgroup::{Group, Hierarchy};
use crate::names::mount::MountOptions;
use crate::sys::mount::RDONLY;

impl All<'_> {
    /// On cgroup v2 one filesystem, or a bind of the container's own directory outside a cgroup namespace: mounting it
    /// there would show every cgroup of the host. On v1 a tmpfs with a mount for each hierarchy.
    pub(super) fn cgroup(&mut self, options: &MountOptions, destination: CString) {
        let layout = self.inputs.layout;
        let attributes = attributes(options);
        let v1: Vec<&Hierarchy> = layout
            .hierarchies()
            .iter()
            .filter(|hierarchy| !hierarchy.v2)
            .collect();
        if v1.is_empty() {
            let source = match layout.hierarchies().first() {
                Some(hierarchy) if !self.spaces.new_cgroup => self.own_directory(hierarchy),
                _ => Source::Filesystem(plain("cgroup2", "cgroup")),
            };
            self.push(Mount {
                destination,
                source,
                attributes,
                seal: None,
            });
            return;
        }
        let mut tmpfs = plain("tmpfs", "tmpfs");
        tmpfs.values.push((c"mode".to_owned(), c"755".to_owned()));
        let is_readonly = attributes.mount.set & RDONLY != 0;
        let seal = is_readonly.then(|| self.seal(&destination));
        let mut below = attributes.clone();
        below.mount.set &= !RDONLY;
        let base = destination.to_string_lossy().into_owned();
        let source = Source::Filesystem(tmpfs);
        self.push(Mount {
            destination,
            source,
            attributes: below,
            seal,
        });
        for hierarchy in v1 {
            let name = name_of(hierarchy);
            let source = if self.spaces.new_cgroup {
                Source::Filesystem(v1_filesystem(hierarchy))
            } else {
                self.own_directory(hierarchy)
            };
            self.push(Mount {
                destination: c_string(&format!("{base}/{name}")),
                source,
                attributes: attributes.clone(),
                seal: None,
            });
            for link in &hierarchy.links {
                let path = c_string(&format!("{base}/{link}"));
                self.mounts.steps.push(Step::Link {
                    path,
                    target: c_string(&name),
                });
            }
        }
    }

    fn own_directory(&self, hierarchy: &Hierarchy) -> Source {
        let groups = self
            .inputs
            .location
            .as_ref()
            .map_or(&[][..], |location| &location.groups);
        let group = groups
            .iter()
            .find(|group| group.mountpoint == hierarchy.mountpoint);
        let path = group.map_or_else(|| hierarchy.mountpoint.clone(), Group::directory);
        Source::Bind {
            path: c_string(&path.to_string_lossy()),
            recursive: false,
        }
    }
}

fn plain(kind: &str, source: &str) -> Filesystem {
    Filesystem {
        kind: c_string(kind),
        source: Some(c_string(source)),
        flags: Vec::new(),
        values: Vec::new(),
        inherit_mode: false,
        copy_up: false,
    }
}

/// The name of a hierarchy's mount point.
fn name_of(hierarchy: &Hierarchy) -> String {
    hierarchy
        .mountpoint
        .file_name()
        .map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

/// A hierarchy is chosen by its controllers, or by its name where it has none (cgroups(7)).
fn v1_filesystem(hierarchy: &Hierarchy) -> Filesystem {
    let mut filesystem = plain("cgroup", "cgroup");
    for controller in &hierarchy.controllers {
        match controller.strip_prefix("name=") {
            Some(name) => {
                filesystem.flags.push(c"none".to_owned());
                filesystem.values.push((c"name".to_owned(), c_string(name)));
            }
            None => filesystem.flags.push(c_string(controller)),
        }
    }
    filesystem
}
