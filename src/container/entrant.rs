//! The process that enters a container: put together from the container's own and flags, or from a document of its own.
//! What neither says is as for the container's first process; what the profile makes of it comes after this.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::image::Users;
use crate::spec::{self, Process, Rlimit};

use super::State;

/// Where the process is described.
#[derive(Debug, Clone)]
pub enum Wanted {
    /// In a document of its own (config.md, "Process").
    Document(PathBuf),
    /// By the container's process, with these changes.
    Command(Box<Overrides>),
}

/// What flags change of the container's process.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// The program and its arguments.
    pub args: Vec<String>,
    /// Working directory.
    pub cwd: Option<String>,
    /// Variables, after those of the container's process.
    pub env: Vec<String>,
    /// `USER` or `USER:GROUP`, by number or by name.
    pub user: Option<String>,
    /// Groups beside those that the user has.
    pub additional_gids: Vec<u32>,
    /// Whether there is a terminal.
    pub terminal: bool,
    /// SELinux label.
    pub process_label: Option<String>,
    /// AppArmor profile.
    pub apparmor: Option<String>,
    /// `no_new_privs`, where it is told.
    pub no_new_privileges: Option<bool>,
    /// Capabilities beside those of the container's process.
    pub capabilities: Vec<String>,
}

/// A process and where its fields stand.
pub(super) struct Entrant {
    pub(super) process: Process,
    pub(super) file: String,
    pub(super) warnings: Vec<String>,
}

impl Entrant {
    /// `root` is the container's root, for the names of users.
    pub(super) fn read(wanted: &Wanted, state: &State, root: &Path) -> Result<Self> {
        let file = state.bundle.join("config.json");
        let file = file.to_string_lossy().into_owned();
        let own = state.config.process.as_ref();
        let own = own.ok_or_else(|| Error::new("exec", "the container has no process to go by"))?;
        match wanted {
            Wanted::Document(path) => {
                let (given, mut process, warnings) = spec::load_process(path)?;
                inherit(&mut process, own);
                if given.get("noNewPrivileges").is_none() {
                    process.no_new_privileges = own.no_new_privileges;
                }
                Ok(Self {
                    process,
                    file: path.to_string_lossy().into_owned(),
                    warnings,
                })
            }
            Wanted::Command(overrides) => {
                let mut process = own.clone();
                process.console_size = None;
                change(&mut process, overrides, root)?;
                let warnings = spec::check_process(&mut process, &file)?;
                Ok(Self {
                    process,
                    file,
                    warnings,
                })
            }
        }
    }
}

/// What a document leaves out. A confinement that it does not mention is the container's.
fn inherit(process: &mut Process, own: &Process) {
    fn or<T: Clone>(field: &mut Option<T>, own: Option<&T>) {
        if field.is_none() {
            *field = own.cloned();
        }
    }
    let is_missing = |limit: &&Rlimit| process.rlimits.iter().all(|given| given.kind != limit.kind);
    let missing: Vec<Rlimit> = own.rlimits.iter().filter(is_missing).cloned().collect();
    process.rlimits.extend(missing);
    for label in [&mut process.apparmor_profile, &mut process.selinux_label] {
        label.take_if(|label| label.is_empty());
    }
    or(&mut process.capabilities, own.capabilities.as_ref());
    or(&mut process.apparmor_profile, own.apparmor_profile.as_ref());
    or(&mut process.selinux_label, own.selinux_label.as_ref());
    or(&mut process.oom_score_adj, own.oom_score_adj.as_ref());
    or(&mut process.scheduler, own.scheduler.as_ref());
    or(&mut process.io_priority, own.io_priority.as_ref());
    or(
        &mut process.exec_cpu_affinity,
        own.exec_cpu_affinity.as_ref(),
    );
    or(&mut process.user.umask, own.user.umask.as_ref());
}

fn change(process: &mut Process, overrides: &Overrides, root: &Path) -> Result<()> {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    process.args.clone_from(&overrides.args);
    process.terminal = overrides.terminal;
    if let Some(cwd) = given(&overrides.cwd) {
        process.cwd = cwd;
    }
    process.env.extend(overrides.env.iter().cloned());
    if let Some(profile) = given(&overrides.apparmor) {
        process.apparmor_profile = Some(profile);
    }
    if let Some(label) = given(&overrides.process_label) {
        process.selinux_label = Some(label);
    }
    if let Some(wanted) = overrides.no_new_privileges {
        process.no_new_privileges = wanted;
    }
    if let Some(user) = &overrides.user {
        become_user(process, user, root)?;
    }
    let groups = &mut process.user.additional_gids;
    groups.extend(&overrides.additional_gids);
    add_capabilities(process, &overrides.capabilities);
    Ok(())
}

/// Numbers are taken as they are, with the container's groups, as other runtimes do; a name has the groups of its user.
fn become_user(process: &mut Process, words: &str, root: &Path) -> Result<()> {
    let (user, group) = match words.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (words, None),
    };
    let number = |word: &str| word.parse::<u32>().ok();
    let own = process.user.gid;
    if let (Some(uid), Some(gid)) = (number(user), group.map_or(Some(own), number)) {
        (process.user.uid, process.user.gid) = (uid, gid);
        return Ok(());
    }
    let ids = Users::read(root).ids(words, |_| own)?;
    (process.user.uid, process.user.gid) = (ids.uid, ids.gid);
    process.user.additional_gids = ids.groups;
    Ok(())
}

/// Never to the inheritable set (CVE-2022-29162); to the ambient one only where the container uses such sets.
fn add_capabilities(process: &mut Process, names: &[String]) {
    if names.is_empty() {
        return;
    }
    let sets = process.capabilities.get_or_insert_default();
    for name in names {
        for set in [&mut sets.bounding, &mut sets.effective, &mut sets.permitted] {
            if !set.contains(name) {
                set.push(name.clone());
            }
        }
        if sets.inheritable.contains(name) && !sets.ambient.contains(name) {
            sets.ambient.push(name.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(text: &str) -> Process {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn document_inherits_the_confinement_that_it_does_not_mention() {
        let own = process(
            r#"{"cwd":"/","user":{"uid":5,"gid":6,"umask":63},"args":["a"],"oomScoreAdj":7,"apparmorProfile":"p",
            "capabilities":{"bounding":["CAP_KILL"]},
            "rlimits":[{"type":"RLIMIT_CORE","hard":0,"soft":0},{"type":"RLIMIT_NOFILE","hard":9,"soft":9}]}"#,
        );
        let mut given = process(
            r#"{"cwd":"/x","args":["b"],"apparmorProfile":"","rlimits":[{"type":"RLIMIT_NOFILE","hard":3,"soft":3}]}"#,
        );
        inherit(&mut given, &own);
        let limits: Vec<u64> = given.rlimits.iter().map(|limit| limit.hard).collect();
        assert_eq!((limits, given.oom_score_adj), (vec![3, 0], Some(7)));
        assert_eq!(given.apparmor_profile.as_deref(), Some("p"));
        assert_eq!(given.capabilities, own.capabilities);
        assert_eq!((given.user.uid, given.user.umask), (0, Some(63)));
    }

    #[test]
    fn added_capabilities_do_not_become_inheritable() {
        let mut process = process(r#"{"cwd":"/","capabilities":{"inheritable":["CAP_CHOWN"]}}"#);
        add_capabilities(&mut process, &["CAP_KILL".into(), "CAP_CHOWN".into()]);
        let sets = process.capabilities.unwrap();
        assert_eq!(sets.bounding, ["CAP_KILL", "CAP_CHOWN"]);
        assert_eq!(sets.inheritable, ["CAP_CHOWN"]);
        assert_eq!(sets.ambient, ["CAP_CHOWN"]);
    }
}
