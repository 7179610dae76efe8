//! The rules of config.md and config-linux.md that types cannot say; each error names its field and the value.
//! Only the document is looked at: whether the host has what it asks for is found out when it is applied.

mod linux;
mod mounts;
mod process;
mod resources;
mod seccomp;

use std::fmt::Display;

use serde_json::Value;

use super::{Config, Hook, Hooks, NamespaceType};
use crate::error::{Error, Result, quote};

pub(super) use process::process;
pub(super) use resources::resources;

/// Where in which file a check is, so that it can name fields relative to its own object.
pub(super) struct At<'a> {
    file: &'a str,
    object: String,
}

impl<'a> At<'a> {
    pub(super) fn top(file: &'a str) -> Self {
        Self {
            file,
            object: String::new(),
        }
    }

    /// The object in `field` of this one.
    pub(super) fn within(&self, field: impl Display) -> Self {
        Self {
            file: self.file,
            object: self.name(field),
        }
    }

    pub(super) fn refuse(&self, field: impl Display, cause: impl Display) -> Error {
        let name = self.name(field);
        if name.is_empty() {
            return Error::new(quote(self.file), cause);
        }
        Error::new(format!("{}: {name}", quote(self.file)), cause)
    }

    fn warn(&self, warnings: &mut Vec<String>, field: impl Display, cause: impl Display) {
        warnings.push(self.refuse(field, cause).to_string());
    }

    fn name(&self, field: impl Display) -> String {
        let field = field.to_string();
        let dot = self.object.is_empty() || field.is_empty() || field.starts_with('[');
        format!("{}{}{field}", self.object, if dot { "" } else { "." })
    }

    fn absolute(&self, field: impl Display, path: &str) -> Result<()> {
        if path.starts_with('/') {
            return Ok(());
        }
        Err(self.refuse(field, format!("{} is not an absolute path", quote(path))))
    }

    fn id(&self, field: impl Display, id: u32) -> Result<()> {
        if id == u32::MAX {
            let cause = "4294967295 is no id, the kernel takes it for \"leave unchanged\"";
            return Err(self.refuse(field, cause));
        }
        Ok(())
    }

    /// `NAME=VALUE` with a name (environ(7)).
    fn environment(&self, field: &str, variables: &[String]) -> Result<()> {
        for (i, variable) in variables.iter().enumerate() {
            if variable.find('=').is_none_or(|at| at == 0) {
                let cause = format!("{} is not NAME=VALUE", quote(variable));
                return Err(self.refuse(format!("{field}[{i}]"), cause));
            }
        }
        Ok(())
    }

    /// As [`count`].
    fn number_list(&self, field: &str, list: &str) -> Result<()> {
        count(list)
            .map(drop)
            .map_err(|cause| self.refuse(field, cause))
    }
}

/// How many there are in a list of CPUs or memory nodes such as `0-3,7` (cpuset(7), "List format"); one that overlaps
/// itself counts twice.
fn count(list: &str) -> std::result::Result<u32, String> {
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse::<u16>().ok()).flatten()
    };
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first)?, number(last)?);
        (first <= last).then(|| u32::from(last - first) + 1)
    };
    let sizes: Option<Vec<u32>> = list.split(',').map(range).collect();
    let sizes = sizes.ok_or_else(|| format!("{} is not a list such as 0-3,7", quote(list)))?;
    Ok(sizes.iter().sum())
}

/// A word that is not one of `known`, with all that are.
fn not_one_of<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    format!("{} is not one of {}", quote(word), known.join(", "))
}

/// Checks the document; capabilities that do not exist are taken out of it, with a warning.
pub(super) fn config(config: &mut Config, at: &At, warnings: &mut Vec<String>) -> Result<()> {
    version(&config.oci_version, at, warnings)?;
    if let Some(process) = &mut config.process {
        self::process(process, &at.within("process"), warnings)?;
    }
    if config.root.as_ref().is_some_and(|r| r.path.is_empty()) {
        return Err(at.refuse("root.path", "is empty"));
    }
    mounts::mounts(config, at, warnings)?;
    if let Some(hooks) = &config.hooks {
        self::hooks(hooks, &at.within("hooks"))?;
    }
    if config.annotations.contains_key("") {
        return Err(at.refuse("annotations", "has an empty key"));
    }
    if let Some(linux) = &config.linux {
        linux::linux(linux, &at.within("linux"))?;
        names_of_host(config, at)?;
    }
    Ok(())
}

pub(super) fn runnable(config: &Config, at: &At) -> Result<()> {
    if !config.oci_version.starts_with("1.") {
        let version = quote(&config.oci_version);
        return Err(at.refuse("ociVersion", format!("{version} is not a 1.x version")));
    }
    let missing = |field: &str| Err(at.refuse(field, "is missing"));
    if config.process.is_none() {
        return missing("process");
    }
    if config.root.is_none() {
        return missing("root");
    }
    let Some(linux) = &config.linux else {
        return missing("linux");
    };
    let has = |kind| linux.namespaces.iter().any(|n| n.kind == kind);
    if !has(NamespaceType::Mount) {
        let cause = "has no \"mount\", without which the container would change the host's mounts";
        return Err(at.refuse("linux.namespaces", cause));
    }
    Ok(())
}

/// What the types fill in and only the text can tell, and the one platform section that the schema's fixtures try.
pub(super) fn raw(document: &Value, at: &At, warnings: &mut Vec<String>) -> Result<()> {
    if document
        .get("process")
        .is_some_and(|p| p.get("user").is_none())
    {
        at.warn(
            warnings,
            "process.user",
            "is missing, which means uid 0 and gid 0",
        );
    }
    let devices = document.pointer("/linux/devices").and_then(Value::as_array);
    for (i, device) in devices.into_iter().flatten().enumerate() {
        if device["type"] == "p" {
            continue;
        }
        for field in ["major", "minor"] {
            if device.get(field).is_none() {
                return Err(at.refuse(format!("linux.devices[{i}].{field}"), "is missing"));
            }
        }
    }
    if document.pointer("/freebsd/jail/vnet") == Some(&Value::from("disable")) {
        let cause = not_one_of("disable", ["new", "inherit"]);
        return Err(at.refuse("freebsd.jail.vnet", cause));
    }
    Ok(())
}

/// Any version by <https://semver.org> 2.0.0 is a document's; that it is 1.x is asked before it is run.
fn version(version: &str, at: &At, warnings: &mut Vec<String>) -> Result<()> {
    let (core, build) = version.split_once('+').unwrap_or((version, "0"));
    let (core, pre) = core.split_once('-').unwrap_or((core, "0"));
    let number = |text: &str| {
        let decimal = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let canonical = decimal && (text == "0" || !text.starts_with('0'));
        canonical.then(|| text.parse::<u32>().ok()).flatten()
    };
    let label = |text: &str| {
        text.split('.').all(|part| {
            let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
            !part.is_empty() && part.bytes().all(allowed)
        })
    };
    let numbers: Option<Vec<u32>> = core.split('.').map(number).collect();
    let Some([major, minor, _]) = numbers.as_deref().filter(|_| label(pre) && label(build)) else {
        let cause = format!("{} is not a version such as 1.3.0", quote(version));
        return Err(at.refuse("ociVersion", cause));
    };
    if *major == 1 && *minor > 3 {
        let cause = format!("{version} is newer than 1.3, fields it adds are ignored");
        at.warn(warnings, "ociVersion", cause);
    }
    Ok(())
}

fn hooks(hooks: &Hooks, at: &At) -> Result<()> {
    let kinds = [
        ("prestart", &hooks.prestart),
        ("createRuntime", &hooks.create_runtime),
        ("createContainer", &hooks.create_container),
        ("startContainer", &hooks.start_container),
        ("poststart", &hooks.poststart),
        ("poststop", &hooks.poststop),
    ];
    for (kind, hooks) in kinds {
        for (i, hook) in hooks.iter().enumerate() {
            self::hook(hook, &at.within(format!("{kind}[{i}]")))?;
        }
    }
    Ok(())
}

fn hook(hook: &Hook, at: &At) -> Result<()> {
    at.absolute("path", &hook.path)?;
    at.environment("env", hook.env.as_deref().unwrap_or_default())?;
    if let Some(timeout) = hook.timeout.filter(|t| *t <= 0) {
        return Err(at.refuse("timeout", format!("{timeout} is not above 0")));
    }
    Ok(())
}

/// hostname and domainname (config.md) belong to a uts namespace; the kernel keeps 64 bytes of each (uname(2)).
fn names_of_host(config: &Config, at: &At) -> Result<()> {
    let linux = config.linux.iter();
    let mut namespaces = linux.flat_map(|l| &l.namespaces);
    let uts = namespaces.any(|n| n.kind == NamespaceType::Uts);
    let names = [
        ("hostname", &config.hostname),
        ("domainname", &config.domainname),
    ];
    for (field, name) in names {
        let Some(name) = name.as_deref().filter(|n| !n.is_empty()) else {
            continue;
        };
        if !uts {
            return Err(at.refuse(field, "needs a \"uts\" namespace in linux.namespaces"));
        }
        if name.len() > 64 {
            let cause = format!("{} is longer than 64 bytes", quote(name));
            return Err(at.refuse(field, cause));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
