//! Where a process enters a container's cgroup, or one that the container made below it.
//! How it enters is `init`'s: by the task files of v1, by the clone on v2.

use std::os::fd::{AsFd, OwnedFd};

use super::filesystem::{self, error};
use super::group::Cgroup;
use super::location::Group;
use crate::error::{Error, Result, quote, quote_path};
use crate::sys::Errno;

/// The descriptors by which a process enters.
#[derive(Debug, Default)]
pub struct Entrance {
    /// `tasks` of every v1 hierarchy, open for writing.
    pub tasks: Vec<OwnedFd>,
    /// The v2 directory, for CLONE_INTO_CGROUP.
    pub directory: Option<OwnedFd>,
}

/// A cgroup below a container's: in the hierarchies of these controllers, or in all of them where none is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sub {
    /// Names of v1 controllers.
    pub controllers: Vec<String>,
    /// Names joined by slashes, as seen from the container's cgroup; empty for that itself.
    pub path: String,
}

impl Sub {
    /// Reads `[CONTROLLER[,CONTROLLER]:]PATH`. The path stays below the container's cgroup, whatever slash it begins with.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> std::result::Result<Self, String> {
        let (controllers, path) = match text.split_once(':') {
            Some((list, path)) => (list.split(',').map(str::to_owned).collect(), path),
            None => (Vec::new(), text),
        };
        if controllers.iter().any(String::is_empty) {
            return Err(format!("no controller in front of {}", quote(path)));
        }
        let names: Vec<&str> = path
            .split('/')
            .filter(|name| !matches!(*name, "" | "."))
            .collect();
        if names.contains(&"..") || path.contains('\0') {
            return Err(format!(
                "bad sub cgroup path: {} leads out of the container's cgroup",
                quote(path)
            ));
        }
        Ok(Self {
            controllers,
            path: names.join("/"),
        })
    }

    fn is_for(&self, group: &Group) -> bool {
        self.controllers.is_empty()
            || self
                .controllers
                .iter()
                .any(|name| group.controllers.contains(name))
    }
}

impl Cgroup {
    /// The way into the cgroup, or into those of `subs` where they name another.
    ///
    /// # Errors
    /// A cgroup that does not exist, a controller that no hierarchy has, or a file that cannot be opened.
    pub fn entrance(&self, subs: &[Sub]) -> Result<Entrance> {
        let groups = &self.location.groups;
        let named = subs.iter().flat_map(|sub| &sub.controllers);
        let is_known = |name: &&String| groups.iter().any(|group| group.controllers.contains(name));
        if let Some(unknown) = named.into_iter().find(|name| !is_known(name)) {
            let cause = format!("unknown controller {}: no hierarchy has it", quote(unknown));
            return Err(Error::new("enter the cgroup", cause));
        }
        let mut entrance = Entrance::default();
        for (group, directory) in groups.iter().zip(&self.directories) {
            let sub = subs.iter().find(|sub| sub.is_for(group));
            let path = sub.map_or("", |sub| sub.path.as_str());
            let shown = quote_path(&group.directory().join(path));
            let failed = |errno| error(format!("enter the cgroup, adding pid to {shown}"), errno);
            let top = directory.as_ref().ok_or_else(|| failed(Errno::NOENT))?;
            let found = (!path.is_empty()).then(|| filesystem::below(top.as_fd(), path));
            let below = match found {
                // A path for all hierarchies is for those that hold the controllers.
                Some(Err(Errno::NOENT)) if group.v2 && groups.len() > 1 => None,
                found => found.transpose().map_err(failed)?,
            };
            if group.v2 {
                let directory = below.map_or_else(|| top.try_clone(), Ok);
                entrance.directory =
                    Some(directory.map_err(|cause| Error::new(format!("open {shown}"), cause))?);
            } else {
                let directory = below.as_ref().unwrap_or(top).as_fd();
                let tasks = filesystem::to_write(directory, "tasks");
                entrance.tasks.push(tasks.map_err(failed)?);
            }
        }
        Ok(entrance)
    }

    /// The v2 cgroup below this one that a process is in by its /proc/PID/cgroup. The container's own cannot hold
    /// processes once the container has enabled controllers below it (cgroups(7), "no internal processes").
    ///
    /// # Errors
    /// The process is not below this cgroup.
    pub fn directory_of(&self, text: &str) -> Result<Option<OwnedFd>> {
        let Some((group, directory)) = self.of("cgroup") else {
            return Ok(None);
        };
        let own = text.lines().find_map(|line| line.strip_prefix("0::"));
        let below = own.and_then(|own| own.split_once(&format!("/{}/", group.path)));
        let path = below.map_or(".", |(_, path)| path);
        filesystem::below(directory, path)
            .map(Some)
            .map_err(|errno| {
                error(
                    format!("open {}", quote_path(&group.directory().join(path))),
                    errno,
                )
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sub_cgroups_stay_below_the_container() {
        let sub = |controllers: &[&str], path: &str| Sub {
            controllers: controllers.iter().map(|&name| name.into()).collect(),
            path: path.into(),
        };
        assert_eq!(Sub::parse("a//b/"), Ok(sub(&[], "a/b")));
        assert_eq!(Sub::parse("/"), Ok(sub(&[], "")));
        assert_eq!(
            Sub::parse("cpu,cpuacct:x"),
            Ok(sub(&["cpu", "cpuacct"], "x"))
        );
        assert_eq!(
            Sub::parse("a/../.."),
            Err("bad sub cgroup path: \"a/../..\" leads out of the container's cgroup".into())
        );
        assert_eq!(
            Sub::parse(":x"),
            Err("no controller in front of \"x\"".into())
        );
    }
}
