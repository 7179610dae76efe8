//! What a process is held to beside ids, capabilities and files: variables, an AppArmor profile, memory that it executes,
//! locked securebits. The last two have no place in a config, so that they come from the profile alone.

use serde_json::Value;

use super::change::{Rules, short};
use super::facts::Kernel;
use super::format::WhenMissing;
use super::landlock::OnOldKernel;
use super::{MemoryRules, OnConflict};
use crate::error::{Error, Result, quote};
use crate::spec::{Config, Linux, NamespaceType, Process};

/// Which key of a config's `linux.sysctl` is the parameter of the pid namespace.
pub(super) const MEMFD_NOEXEC: &str = "vm.memfd_noexec";
/// Its value that refuses all but files without a right to be executed (kernel documentation, userspace-api/mfd_noexec).
const NONE_EXECUTABLE: &str = "2";

/// What a profile demands of the process that a config has no place for, as far as this kernel can do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hardening {
    /// No memory is writable and executable, or becomes executable later.
    pub deny_write_execute: bool,
    /// User id 0 alone gives no capabilities; securebits(7), all of them locked.
    pub lock_securebits: bool,
}

impl Rules<'_> {
    pub(super) fn environment(&mut self, process: &mut Process) -> Result<()> {
        let Some(wanted) = &self.profile.environment else {
            return Ok(());
        };
        let is_allowed = |variable: &String| {
            let name = name(variable);
            wanted.allow.iter().any(|pattern| matches(pattern, name))
        };
        if process.env.iter().all(is_allowed) {
            return Ok(());
        }
        // Values may be secrets, and a change is told to many.
        let names = |list: &[String]| -> Vec<String> {
            list.iter()
                .map(|variable| name(variable).to_owned())
                .collect()
        };
        let before = names(&process.env);
        process.env.retain(is_allowed);
        let after = names(&process.env);
        self.conflict(
            "environment.allow",
            wanted.on_conflict,
            "/process/env",
            Some(&before),
            Some(&after),
        )
    }

    /// A config that names a profile, of whatever kind, is taken at its word.
    pub(super) fn apparmor(&mut self, process: &mut Process) -> Result<()> {
        let Some(wanted) = &self.profile.apparmor else {
            return Ok(());
        };
        // One security label is all that execve(2) applies.
        let has_other = process
            .selinux_label
            .as_deref()
            .is_some_and(|label| !label.is_empty());
        if is_confining(process.apparmor_profile.as_deref()) || has_other {
            return Ok(());
        }
        if !self.host.kernel.apparmor_profiles.contains(&wanted.profile) {
            return match wanted.when_missing {
                WhenMissing::Ignore => Ok(()),
                WhenMissing::Refuse => Err(not_loaded(&wanted.profile, self.profile, self.host)),
            };
        }
        let before = process.apparmor_profile.replace(wanted.profile.clone());
        self.conflict(
            "apparmor.profile",
            OnConflict::Tighten,
            "/process/apparmorProfile",
            before.as_ref(),
            Some(&wanted.profile),
        )
    }

    /// What of the program's memory is executed, and what no config says.
    pub(super) fn hardening(&mut self, config: &mut Config) -> Result<Hardening> {
        let mut hardening = Hardening::default();
        if config.process.is_none() {
            return Ok(hardening);
        }
        if self.profile.process.lock_securebits {
            hardening.lock_securebits = true;
            self.beside("process.lock-securebits")?;
        }
        let Some(wanted) = self.profile.memory.clone() else {
            return Ok(hardening);
        };
        if wanted.deny_write_execute {
            let has = self.host.kernel.denies_write_execute;
            if self.is_had(&wanted, "deny-write-execute", has, "Linux 6.3")? {
                hardening.deny_write_execute = true;
                self.beside("memory.deny-write-execute")?;
            }
        }
        if let (true, Some(linux)) = (wanted.memfd_noexec, &mut config.linux) {
            self.memfd_noexec(&wanted, linux)?;
        }
        Ok(hardening)
    }

    /// The parameter belongs to a pid namespace: another's is not ours to change.
    fn memfd_noexec(&mut self, wanted: &MemoryRules, linux: &mut Linux) -> Result<()> {
        let (key, value) = (MEMFD_NOEXEC, NONE_EXECUTABLE);
        let before = linux.sysctl.get(key).cloned();
        if before.as_deref() == Some(value) {
            return Ok(());
        }
        let mut namespaces = linux.namespaces.iter();
        let is_own = namespaces
            .any(|namespace| namespace.kind == NamespaceType::Pid && namespace.path.is_none());
        let Kernel {
            memfd_noexec: has, ..
        } = self.host.kernel;
        let needs = "Linux 6.6, root, and a pid namespace of the container's own";
        if !self.is_had(wanted, "memfd-noexec", has && is_own, needs)? {
            return Ok(());
        }
        linux.sysctl.insert(key.to_owned(), value.to_owned());
        let pointer = format!("/linux/sysctl/{key}");
        self.conflict(
            "memory.memfd-noexec",
            OnConflict::Tighten,
            &pointer,
            before.as_ref(),
            Some(&value.to_owned()),
        )
    }

    /// Whether it can be had; where not, that is an error, or told in the log.
    fn is_had(&self, wanted: &MemoryRules, key: &str, has: bool, needs: &str) -> Result<bool> {
        let doing = format!("memory.{key} of profile {}", quote(&self.profile.name));
        match (has, wanted.on_old_kernel) {
            (true, _) => Ok(true),
            (false, OnOldKernel::BestEffort) => {
                log::info!("{doing} needs {needs}: it is left out");
                Ok(false)
            }
            (false, OnOldKernel::Refuse) => Err(Error::new(doing, format!("needs {needs}")).hint(
                "memory.on-old-kernel = \"best-effort\" in the profile leaves out what cannot be had",
            )),
        }
    }

    /// Records what is done beside the config.
    fn beside(&mut self, rule: &str) -> Result<()> {
        let done = Value::Bool(true);
        self.conflict(rule, OnConflict::Tighten, "", None, Some(&done))
    }
}

/// Whether what a config names is an AppArmor profile that confines.
pub(super) fn is_confining(named: Option<&str>) -> bool {
    named.is_some_and(|name| !matches!(name, "" | "unconfined"))
}

fn name(variable: &str) -> &str {
    variable.split_once('=').map_or(variable, |(name, _)| name)
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == pattern,
    }
}

fn not_loaded(wanted: &str, profile: &super::Profile, host: &super::Facts) -> Error {
    let doing = format!("apparmor.profile of profile {}", quote(&profile.name));
    let mut loaded = host.kernel.apparmor_unenforced.iter();
    let mode = loaded.find(|(name, _)| name == wanted);
    let wanted = short(Some(&wanted));
    match mode {
        Some((_, mode)) => {
            let cause = format!("{wanted} is loaded in mode {} on this host and does not confine", quote(mode));
            Error::new(doing, cause)
                .hint("enforce it by aa-enforce FILE; apparmor.when-missing = \"ignore\" in the profile does without")
        }
        None => Error::new(doing, format!("{wanted} is not loaded on this host"))
            .hint("load it by apparmor_parser --replace FILE; apparmor.when-missing = \"ignore\" in the profile does without"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{Facts, Profile, Tightened, compare, parse, tighten};
    use crate::spec::hardened_default;

    fn profile(sections: &str) -> Profile {
        parse(
            "p",
            &format!("name = \"p\"\ndescription = \"\"\n{sections}"),
        )
        .unwrap()
    }

    fn able() -> Facts {
        Facts {
            kernel: Kernel {
                denies_write_execute: true,
                memfd_noexec: true,
                apparmor_profiles: vec!["a".to_owned()],
                ..Kernel::default()
            },
            ..Facts::default()
        }
    }

    fn on(host: &Facts, sections: &str, change: impl Fn(&mut Config)) -> Result<Tightened> {
        let mut config = hardened_default(None);
        change(&mut config);
        tighten(&config, &profile(sections), host)
    }

    fn told(tightened: &Tightened) -> Vec<String> {
        tightened.changes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn variables_that_are_not_listed_go_and_are_told_by_name_alone() {
        let with = |config: &mut Config| {
            let env = ["PATH=/bin", "LC_ALL=C", "SECRET=hunter2", "LC_X=1", "X"];
            config.process.as_mut().unwrap().env = env.map(str::to_owned).to_vec();
        };
        let section = "[environment]\nallow = [\"PATH\", \"LC_*\"]\n";
        let tightened = on(&able(), section, with).unwrap();
        let process = tightened.config.process.as_ref().unwrap();
        assert_eq!(process.env, ["PATH=/bin", "LC_ALL=C", "LC_X=1"]);
        let expected = r#"process.env: without ["SECRET","X"]: environment.allow of profile "p""#;
        assert_eq!(told(&tightened), [expected]);
        let refuse = format!("{section}on-conflict = \"refuse\"\n");
        let error = on(&able(), &refuse, with).unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
        assert!(
            error.ends_with("is refused by profile \"p\" (environment.allow)"),
            "{error}"
        );
    }

    #[test]
    fn an_apparmor_profile_is_for_a_config_that_names_none() {
        let section = "[apparmor]\nprofile = \"a\"\n";
        let of = |named: Option<&'static str>, label: Option<&'static str>| {
            let tightened = on(&able(), section, |config| {
                let process = config.process.as_mut().unwrap();
                process.apparmor_profile = named.map(str::to_owned);
                process.selinux_label = label.map(str::to_owned);
            });
            tightened.unwrap().config.process.unwrap().apparmor_profile
        };
        for none in [None, Some(""), Some("unconfined")] {
            assert_eq!(of(none, None).as_deref(), Some("a"));
        }
        assert_eq!(of(Some("b"), None).as_deref(), Some("b"));
        assert_eq!(of(None, Some("a_t")), None);
    }

    #[test]
    fn an_apparmor_profile_that_is_not_loaded_is_refused_or_left_out_as_the_profile_says() {
        let host = Facts::default();
        let section = "[apparmor]\nprofile = \"a\"\n";
        let error = on(&host, section, |_| {}).unwrap_err();
        assert_eq!(
            error.to_string(),
            "apparmor.profile of profile \"p\": \"a\" is not loaded on this host"
        );
        let mut complaining = Facts::default();
        complaining.kernel.apparmor_unenforced = vec![("a".to_owned(), "complain".to_owned())];
        let error = on(&complaining, section, |_| {}).unwrap_err();
        assert_eq!(
            error.to_string(),
            "apparmor.profile of profile \"p\": \"a\" is loaded in mode \"complain\" on this host and does not confine"
        );
        let section = format!("{section}when-missing = \"ignore\"\n");
        assert_eq!(told(&on(&host, &section, |_| {}).unwrap()), [""; 0]);
    }

    #[test]
    fn memory_that_is_executed_is_told_beside_the_config_and_in_it() {
        let section = "[memory]\ndeny-write-execute = true\nmemfd-noexec = true\n[process]\nlock-securebits = true\n";
        let tightened = on(&able(), section, |_| {}).unwrap();
        let expected = Hardening {
            deny_write_execute: true,
            lock_securebits: true,
        };
        assert_eq!(tightened.hardening, expected);
        assert_eq!(
            told(&tightened),
            [
                r#"beside the config: with true: process.lock-securebits of profile "p""#,
                r#"beside the config: with true: memory.deny-write-execute of profile "p""#,
                r#"linux.sysctl.vm.memfd_noexec: absent -> "2": memory.memfd-noexec of profile "p""#,
            ]
        );
    }

    #[test]
    fn what_the_kernel_cannot_do_is_refused_by_key_or_left_out() {
        let section = "[memory]\ndeny-write-execute = true\n";
        let error = on(&Facts::default(), section, |_| {}).unwrap_err();
        assert_eq!(
            error.to_string(),
            "memory.deny-write-execute of profile \"p\": needs Linux 6.3"
        );
        let section = "[memory]\nmemfd-noexec = true\n";
        let joined = |config: &mut Config| {
            let namespaces = &mut config.linux.as_mut().unwrap().namespaces;
            let pid = namespaces
                .iter_mut()
                .find(|one| one.kind == NamespaceType::Pid);
            pid.unwrap().path = Some("/x".to_owned());
        };
        let error = on(&able(), section, joined).unwrap_err();
        assert_eq!(
            error.to_string(),
            "memory.memfd-noexec of profile \"p\": needs Linux 6.6, root, and a pid namespace of the container's own"
        );
        let section = format!("{section}on-old-kernel = \"best-effort\"\n");
        assert_eq!(told(&on(&able(), &section, joined).unwrap()), [""; 0]);
    }

    fn lines(a: &str, b: &str) -> Vec<String> {
        let changes = compare(&profile(a), &profile(b)).unwrap();
        changes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn variables_names_and_times_are_compared_as_what_they_permit() {
        let a = "[environment]\nallow = [\"LC_*\", \"X\"]\n[limits]\ntime = \"1m\"\n";
        let b = "[environment]\nallow = [\"LC_ALL\", \"Y\"]\n[limits]\ntime = 30\n[apparmor]\nprofile = \"p\"\n";
        assert_eq!(
            lines(a, b),
            [
                "apparmor.profile: stricter: anything -> p",
                "apparmor.when-missing: stricter: anything -> refuse",
                "environment.allow: different: -LC_* -X +LC_ALL +Y",
                "limits.time: stricter: 60 -> 30",
            ]
        );
        let (narrow, wide) = (
            "[environment]\nallow = [\"LC_ALL\"]\n",
            "[environment]\nallow = [\"LC_*\"]\n",
        );
        assert_eq!(
            lines(narrow, wide),
            ["environment.allow: looser: -LC_ALL +LC_*"]
        );
        let other = "[apparmor]\nprofile = \"q\"\n";
        assert_eq!(
            lines("[apparmor]\nprofile = \"p\"\n", other),
            ["apparmor.profile: different: p -> q"]
        );
    }
}
