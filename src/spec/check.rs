//! Rules of config.md that types cannot say: `ociVersion`, `process`, `root`, `mounts`, `hooks`.
//! Each refusal is the field and what is wrong with it.

use std::collections::BTreeSet;

use super::check_linux;
use super::config::{Capabilities, Config, Hook, Hooks, Mount, Process};
use super::linux::NamespaceType;
use crate::error::{Error, Result, quote};
use crate::names;

/// A field and a sentence about it.
pub(super) type Finding = (String, String);
pub(super) type Checked = std::result::Result<(), Finding>;

/// The kernel's "no change" value, which is no id.
const NO_ID: u32 = u32::MAX;

/// Checks a document and returns its warnings, or the first refusal.
pub(super) fn check(config: &Config) -> std::result::Result<Vec<Finding>, Finding> {
    let mut warnings = Vec::new();
    version(&config.oci_version, &mut warnings)?;
    if let Some(process) = &config.process {
        check_process(process, &mut warnings)?;
    }
    if let Some(root) = &config.root {
        not_empty("root.path", &root.path)?;
    }
    for (index, mount) in config.mounts.iter().enumerate() {
        check_mount(&format!("mounts[{index}]"), mount, &mut warnings)?;
    }
    if let Some(hooks) = &config.hooks {
        check_hooks(hooks)?;
    }
    if let Some(linux) = &config.linux {
        check_linux::check(linux)?;
    }
    Ok(warnings)
}

/// What a document may leave out and a container needs, and what fields need of each other.
///
/// # Errors
/// The missing field.
pub fn check_runnable(config: &Config, file: &str) -> Result<()> {
    let missing = |field: &str| Err(Error::new(format!("{}: {field}", quote(file)), "a container needs it"));
    let Some(process) = &config.process else { return missing("process") };
    if process.args.is_empty() {
        return missing("process.args");
    }
    if config.root.is_none() {
        return missing("root");
    }
    let Some(linux) = &config.linux else { return missing("linux") };
    let has = |kind| linux.namespaces.iter().any(|namespace| namespace.kind == kind);
    if !has(NamespaceType::Mount) {
        return Err(Error::new(format!("{}: linux.namespaces", quote(file)), "no mount namespace")
            .hint("a container without one would mount on the host: add {\"type\": \"mount\"}"));
    }
    let needs = [
        (config.hostname.is_some(), "hostname", NamespaceType::Uts, "uts"),
        (config.domainname.is_some(), "domainname", NamespaceType::Uts, "uts"),
        (!linux.uid_mappings.is_empty(), "linux.uidMappings", NamespaceType::User, "user"),
        (!linux.gid_mappings.is_empty(), "linux.gidMappings", NamespaceType::User, "user"),
    ];
    for (is_set, field, kind, word) in needs {
        if is_set && !has(kind) {
            return Err(Error::new(format!("{}: {field}", quote(file)), format!("needs a {word} namespace in linux.namespaces")));
        }
    }
    check_linux::runnable(linux).map_err(|(field, cause)| Error::new(format!("{}: {field}", quote(file)), cause))
}

pub(super) fn refuse(field: impl Into<String>, cause: impl Into<String>) -> Checked {
    Err((field.into(), cause.into()))
}

pub(super) fn not_empty(field: &str, text: &str) -> Checked {
    if text.is_empty() { refuse(field, "must not be empty") } else { Ok(()) }
}

pub(super) fn absolute(field: &str, path: &str) -> Checked {
    if path.starts_with('/') { Ok(()) } else { refuse(field, format!("{} is not an absolute path", quote(path))) }
}

/// Semantic Versioning 2.0 with major version 1.
fn version(version: &str, warnings: &mut Vec<Finding>) -> Checked {
    let core = version.split(['-', '+']).next().unwrap_or_default();
    let numbers: Vec<Option<u32>> = core
        .split('.')
        .map(|part| part.parse().ok().filter(|_| part.bytes().all(|byte| byte.is_ascii_digit())))
        .collect();
    match numbers[..] {
        [Some(1), Some(minor), Some(_)] => {
            if minor > 3 {
                let follows = super::VERSION;
                warnings.push((
                    "ociVersion".into(),
                    format!("{} is newer than {follows}, which is what stockade follows", quote(version)),
                ));
            }
            Ok(())
        }
        _ => refuse("ociVersion", format!("{} is not a version 1.x.y", quote(version))),
    }
}

fn check_process(process: &Process, warnings: &mut Vec<Finding>) -> Checked {
    absolute("process.cwd", &process.cwd)?;
    if let Some(program) = process.args.first() {
        not_empty("process.args[0]", program)?;
    }
    variables("process.env", &process.env)?;
    let user = &process.user;
    id("process.user.uid", user.uid)?;
    id("process.user.gid", user.gid)?;
    for (index, group) in user.additional_gids.iter().enumerate() {
        id(&format!("process.user.additionalGids[{index}]"), *group)?;
    }
    if let Some(mask) = user.umask.filter(|mask| *mask > 0o777) {
        return refuse("process.user.umask", format!("{mask} is above 511, which is 0777"));
    }
    if let Some(score) = process.oom_score_adj.filter(|score| !(-1000..=1000).contains(score)) {
        return refuse("process.oomScoreAdj", format!("{score} is not from -1000 to 1000"));
    }
    limits(process)?;
    if let Some(capabilities) = &process.capabilities {
        unknown_capabilities(capabilities, warnings);
    }
    priorities(process)
}

fn id(field: &str, id: u32) -> Checked {
    if id == NO_ID { refuse(field, format!("{id} is not an id: the kernel reads it as \"no change\"")) } else { Ok(()) }
}

fn variables(field: &str, variables: &[String]) -> Checked {
    for (index, variable) in variables.iter().enumerate() {
        if variable.find('=').is_none_or(|at| at == 0) {
            return refuse(format!("{field}[{index}]"), format!("{} is not NAME=VALUE", quote(variable)));
        }
    }
    Ok(())
}

fn limits(process: &Process) -> Checked {
    let mut seen = BTreeSet::new();
    for (index, limit) in process.rlimits.iter().enumerate() {
        let field = format!("process.rlimits[{index}]");
        if names::rlimit(&limit.kind).is_none() {
            return refuse(format!("{field}.type"), format!("unknown limit {}", quote(&limit.kind)));
        }
        if !seen.insert(&limit.kind) {
            return refuse(format!("{field}.type"), format!("{} is given twice", quote(&limit.kind)));
        }
        if limit.soft > limit.hard {
            return refuse(format!("{field}.soft"), format!("{} is above the hard limit {}", limit.soft, limit.hard));
        }
    }
    Ok(())
}

fn unknown_capabilities(capabilities: &Capabilities, warnings: &mut Vec<Finding>) {
    let sets = [
        ("bounding", &capabilities.bounding),
        ("effective", &capabilities.effective),
        ("inheritable", &capabilities.inheritable),
        ("permitted", &capabilities.permitted),
        ("ambient", &capabilities.ambient),
    ];
    for (set, names) in sets {
        for (index, name) in names.iter().enumerate() {
            if names::capability(name).is_none() {
                let field = format!("process.capabilities.{set}[{index}]");
                warnings.push((field, format!("unknown capability {} is left out", quote(name))));
            }
        }
    }
}

fn priorities(process: &Process) -> Checked {
    if let Some(scheduler) = &process.scheduler {
        if names::scheduler_policy(&scheduler.policy).is_none() {
            return refuse("process.scheduler.policy", format!("unknown policy {}", quote(&scheduler.policy)));
        }
        for (index, flag) in scheduler.flags.iter().enumerate() {
            if names::scheduler_flag(flag).is_none() {
                return refuse(format!("process.scheduler.flags[{index}]"), format!("unknown flag {}", quote(flag)));
            }
        }
        if let Some(nice) = scheduler.nice.filter(|nice| !(-20..=19).contains(nice)) {
            return refuse("process.scheduler.nice", format!("{nice} is not from -20 to 19"));
        }
        if let Some(priority) = scheduler.priority.filter(|priority| !(0..=99).contains(priority)) {
            return refuse("process.scheduler.priority", format!("{priority} is not from 0 to 99"));
        }
    }
    let Some(io) = &process.io_priority else { return Ok(()) };
    if names::io_class(&io.class).is_none() {
        return refuse("process.ioPriority.class", format!("unknown class {}", quote(&io.class)));
    }
    if !(0..=7).contains(&io.priority) {
        return refuse("process.ioPriority.priority", format!("{} is not from 0 to 7", io.priority));
    }
    Ok(())
}

fn check_mount(field: &str, mount: &Mount, warnings: &mut Vec<Finding>) -> Checked {
    let destination = format!("{field}.destination");
    not_empty(&destination, &mount.destination)?;
    if !mount.destination.starts_with('/') {
        let shown = quote(&mount.destination);
        warnings.push((destination, format!("{shown} is relative, which is deprecated; it is taken below /")));
    }
    if let Err(cause) = names::mount::parse(&mount.options) {
        return refuse(format!("{field}.options"), cause);
    }
    check_linux::maps(&format!("{field}.uidMappings"), &mount.uid_mappings)?;
    check_linux::maps(&format!("{field}.gidMappings"), &mount.gid_mappings)
}

fn check_hooks(hooks: &Hooks) -> Checked {
    let lists = [
        ("prestart", &hooks.prestart),
        ("createRuntime", &hooks.create_runtime),
        ("createContainer", &hooks.create_container),
        ("startContainer", &hooks.start_container),
        ("poststart", &hooks.poststart),
        ("poststop", &hooks.poststop),
    ];
    for (name, hooks) in lists {
        for (index, hook) in hooks.iter().enumerate() {
            check_hook(&format!("hooks.{name}[{index}]"), hook)?;
        }
    }
    Ok(())
}

fn check_hook(field: &str, hook: &Hook) -> Checked {
    absolute(&format!("{field}.path"), &hook.path)?;
    variables(&format!("{field}.env"), &hook.env)?;
    match hook.timeout {
        Some(seconds) if seconds <= 0 => refuse(format!("{field}.timeout"), format!("{seconds} is not above 0")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first_finding(process: &str) -> String {
        let text = format!(r#"{{"ociVersion":"1.0.0","process":{process}}}"#);
        let config: Config = serde_json::from_str(&text).unwrap();
        let (field, cause) = check(&config).unwrap_err();
        format!("{field}: {cause}")
    }

    #[test]
    fn process_rules_name_the_field_and_the_value() {
        for (rest, expected) in [
            (r#""cwd":"x""#, r#"process.cwd: "x" is not an absolute path"#),
            (r#""cwd":"/","args":[""]"#, "process.args[0]: must not be empty"),
            (r#""cwd":"/","env":["A=1","B"]"#, r#"process.env[1]: "B" is not NAME=VALUE"#),
            (r#""cwd":"/","env":["=x"]"#, r#"process.env[0]: "=x" is not NAME=VALUE"#),
            (r#""cwd":"/","oomScoreAdj":1001"#, "process.oomScoreAdj: 1001 is not from -1000 to 1000"),
            (
                r#""cwd":"/","rlimits":[{"type":"RLIMIT_NOFILE","soft":2,"hard":1}]"#,
                "process.rlimits[0].soft: 2 is above the hard limit 1",
            ),
            (
                r#""cwd":"/","rlimits":[{"type":"NOFILE","soft":1,"hard":1}]"#,
                r#"process.rlimits[0].type: unknown limit "NOFILE""#,
            ),
        ] {
            let process = format!(r#"{{"user":{{"uid":0,"gid":0}},{rest}}}"#);
            assert_eq!(first_finding(&process), expected);
        }
        assert_eq!(
            first_finding(r#"{"user":{"uid":4294967295,"gid":0},"cwd":"/"}"#),
            "process.user.uid: 4294967295 is not an id: the kernel reads it as \"no change\""
        );
    }

    #[test]
    fn any_1_x_version_is_accepted() {
        for (text, is_accepted) in
            [("1.0.0", true), ("1.0.2-dev", true), ("1.3.0", true), ("v1.0", false), ("", false), ("9.9.9", false), ("1.0", false)]
        {
            assert_eq!(version(text, &mut Vec::new()).is_ok(), is_accepted, "{text}");
        }
    }
}
