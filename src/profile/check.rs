//! The rules of a profile's file that types cannot say; each failure names the key and the value.

use super::filter;
use super::format::*;
use super::landlock::Landlock;
use super::values::{Bound, Quantity};
use crate::error::quote;
use crate::spec::NamespaceType;

impl Profile {
    /// What types cannot say.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.name.is_empty()
            || !self
                .name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        {
            return Err(format!(
                "name: {} is not a word of letters, digits, -, _ and .",
                quote(&self.name)
            ));
        }
        let capabilities = self.capabilities.iter().flat_map(|section| &section.allow);
        if let Some(name) = capabilities
            .into_iter()
            .find(|name| !is_constant(name, "CAP_"))
        {
            return Err(format!(
                "capabilities.allow: {} is not a name such as \"CAP_CHOWN\"",
                quote(name)
            ));
        }
        if let Some(name) = self
            .rlimits
            .keys()
            .find(|name| !is_constant(name, "RLIMIT_"))
        {
            return Err(format!(
                "rlimits: {} is not a name such as \"RLIMIT_CORE\"",
                quote(name)
            ));
        }
        self.check_process()?;
        self.check_paths()?;
        self.check_namespaces()?;
        for (key, bound) in self.bounds() {
            if let (Some(Quantity::Number(default)), Some(Quantity::Number(maximum))) =
                (bound.default, bound.maximum)
                && default > maximum
            {
                return Err(format!(
                    "{key}.default: {default} is above {key}.maximum, {maximum}"
                ));
            }
        }
        self.landlock.as_ref().map_or(Ok(()), Landlock::check)?;
        self.seccomp.as_ref().map_or(Ok(()), filter::check)
    }

    fn check_process(&self) -> Result<(), String> {
        let variables = self.environment.iter().flat_map(|section| &section.allow);
        let is_pattern = |name: &str| {
            let name = name.strip_suffix('*').unwrap_or(name);
            !name.is_empty() && !name.contains(['=', '*', '\0'])
        };
        if let Some(name) = variables.into_iter().find(|name| !is_pattern(name)) {
            return Err(format!(
                "environment.allow: {} is not a name such as \"LANG\" or \"LC_*\"",
                quote(name)
            ));
        }
        let profile = self.apparmor.as_ref().map(|section| &section.profile);
        let is_word = |name: &str| !name.is_empty() && !name.contains(char::is_control);
        match profile.filter(|name| !is_word(name)) {
            None => Ok(()),
            Some(name) => Err(format!(
                "apparmor.profile: {} is not the name of a profile",
                quote(name)
            )),
        }
    }

    fn check_paths(&self) -> Result<(), String> {
        let lists = [
            ("paths.mask", &self.paths.mask),
            ("paths.readonly", &self.paths.readonly),
        ];
        for (key, list) in lists {
            if let Some(path) = list
                .iter()
                .find(|path| !path.starts_with('/') || path.contains(['*', '\0']))
            {
                return Err(format!(
                    "{key}: {} is not an absolute path without wildcards",
                    quote(path)
                ));
            }
        }
        Ok(())
    }

    /// A new user or time namespace needs more than its name (id mappings, offsets), so it cannot be added.
    fn check_namespaces(&self) -> Result<(), String> {
        let added = [NamespaceType::User, NamespaceType::Time];
        if self.namespaces.on_conflict == OnConflict::Tighten
            && self
                .namespaces
                .require
                .iter()
                .any(|kind| added.contains(kind))
        {
            return Err("namespaces.require: user and time can only be required with on-conflict = \"refuse\"".into());
        }
        Ok(())
    }

    fn bounds(&self) -> [(&'static str, &Bound); 6] {
        [
            ("limits.memory", &self.limits.memory),
            ("limits.swap", &self.limits.swap),
            ("limits.pids", &self.limits.pids),
            ("limits.cpu-percent", &self.limits.cpu_percent),
            ("mounts.tmpfs.size", &self.mounts.tmpfs.size),
            ("mounts.tmpfs.inodes", &self.mounts.tmpfs.inodes),
        ]
    }
}

fn is_constant(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix).is_some_and(|rest| {
        !rest.is_empty()
            && rest
                .chars()
                .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
    })
}
