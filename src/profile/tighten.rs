//! From a config to one that is at most as permissive, with the record of what was changed.
//! Process, namespaces, root and paths are here; mounts and limits have files of their own.

use super::change::{Rules, Tightened, short};
use super::facts::Facts;
use super::filter;
use super::format::{Groups, Profile, Verdict};
use crate::error::{Result, quote};
use crate::spec::{Config, Linux, Namespace, NamespaceType, Process, Rlimit};

/// Tightens `config` by `profile`. What the config asks for within the profile's bounds stays as it is.
///
/// # Errors
/// What the profile refuses: the field, the value, the rule.
pub fn tighten(config: &Config, profile: &Profile, host: &Facts) -> Result<Tightened> {
    by(config, profile, host, |rules, config| {
        rules.surroundings(config)
    })
}

/// The same for a config of nothing but a process that enters a container: what is around it was held to the profile
/// when the container was made.
///
/// # Errors
/// As for a whole config.
pub fn tighten_process(config: &Config, profile: &Profile, host: &Facts) -> Result<Tightened> {
    by(config, profile, host, |_, _| Ok(()))
}

fn by(
    config: &Config,
    profile: &Profile,
    host: &Facts,
    surroundings: fn(&mut Rules<'_>, &mut Config) -> Result<()>,
) -> Result<Tightened> {
    let mut rules = Rules {
        profile,
        host,
        changes: Vec::new(),
        warnings: Vec::new(),
    };
    let mut config = config.clone();
    if let Some(process) = &mut config.process {
        rules.identity(process)?;
        rules.capabilities(process)?;
        rules.flags(process)?;
        rules.environment(process)?;
        rules.rlimits(process)?;
        rules.apparmor(process)?;
    }
    surroundings(&mut rules, &mut config)?;
    let hardening = rules.hardening(&mut config)?;
    let landlock = rules.landlock()?;
    Ok(Tightened {
        config,
        changes: rules.changes,
        warnings: rules.warnings,
        filter: profile.seccomp.as_ref().map(filter::filter),
        landlock,
        hardening,
    })
}

/// A program in an empty network fails in words of its own, far from the reason: whoever asked for the host's must find it.
fn no_host_network(profile: &str) -> String {
    format!(
        "linux.namespaces has no \"network\", which is the host's network; by namespaces.require of profile {} the container \
         has one of its own instead, with nothing but loopback; for the host's, use profile \"none\" \
         (--profile none, or the client's handler stockade-none)",
        quote(profile)
    )
}

impl Rules<'_> {
    fn surroundings(&mut self, config: &mut Config) -> Result<()> {
        self.root(config)?;
        self.mounts(config)?;
        // Without this section a config has no namespaces and no limits, which is the most that there is.
        let mut linux = config.linux.clone().unwrap_or_default();
        self.namespaces(&mut linux)?;
        self.net_devices(&linux)?;
        self.paths(&mut linux)?;
        self.devices(&mut linux)?;
        self.limits(&mut linux)?;
        if config.linux.is_some() || linux != Linux::default() {
            config.linux = Some(linux);
        }
        Ok(())
    }

    fn judge(&mut self, verdict: Verdict, rule: &str, pointer: &str, value: &str) -> Result<()> {
        match verdict {
            Verdict::Allow => Ok(()),
            Verdict::Warn => {
                self.warn(rule, pointer, value);
                Ok(())
            }
            Verdict::Refuse => Err(self.refusal(rule, pointer, value)),
        }
    }

    fn identity(&mut self, process: &mut Process) -> Result<()> {
        let identity = &self.profile.identity;
        let (pointer, uid) = ("/process/user/uid", process.user.uid);
        if uid == 0 {
            self.judge(identity.non_root, "identity.non-root", pointer, "0")?;
        } else if uid < identity.minimum_uid {
            return Err(self.refusal("identity.minimum-uid", pointer, &uid.to_string()));
        }
        let groups = &mut process.user.additional_gids;
        let (rule, pointer) = ("identity.additional-groups", "/process/user/additionalGids");
        match identity.additional_groups {
            _ if groups.is_empty() => Ok(()),
            Groups::Keep => Ok(()),
            Groups::Refuse => Err(self.refusal(rule, pointer, &short(Some(groups)))),
            Groups::Drop => {
                let before = std::mem::take(groups);
                self.conflict(
                    rule,
                    super::OnConflict::Tighten,
                    pointer,
                    Some(&before),
                    None,
                )
            }
        }
    }

    fn capabilities(&mut self, process: &mut Process) -> Result<()> {
        let (Some(bound), Some(held)) = (&self.profile.capabilities, &mut process.capabilities)
        else {
            return Ok(());
        };
        let sets = [
            ("bounding", &mut held.bounding),
            ("effective", &mut held.effective),
            ("inheritable", &mut held.inheritable),
            ("permitted", &mut held.permitted),
            ("ambient", &mut held.ambient),
        ];
        for (set, names) in sets {
            if names.iter().all(|name| bound.allow.contains(name)) {
                continue;
            }
            let before = names.clone();
            names.retain(|name| bound.allow.contains(name));
            let pointer = format!("/process/capabilities/{set}");
            self.conflict(
                "capabilities.allow",
                bound.on_conflict,
                &pointer,
                Some(&before),
                Some(&*names),
            )?;
        }
        Ok(())
    }

    fn flags(&mut self, process: &mut Process) -> Result<()> {
        let wanted = &self.profile.process;
        if wanted.no_new_privileges && !process.no_new_privileges {
            process.no_new_privileges = true;
            let pointer = "/process/noNewPrivileges";
            self.conflict(
                "process.no-new-privileges",
                wanted.on_conflict,
                pointer,
                Some(&false),
                Some(&true),
            )?;
        }
        if process.terminal {
            self.judge(
                wanted.terminal,
                "process.terminal",
                "/process/terminal",
                "true",
            )?;
        }
        Ok(())
    }

    /// A limit that the config leaves out is the runtime's own, so that is what the bound is held against.
    fn rlimits(&mut self, process: &mut Process) -> Result<()> {
        for (kind, bound) in &self.profile.rlimits {
            let rule = format!("rlimits.{kind}");
            let place = process.rlimits.iter().position(|limit| limit.kind == *kind);
            let before = match place {
                Some(place) => Some(process.rlimits[place].clone()),
                None => self
                    .host
                    .rlimits
                    .iter()
                    .find(|limit| limit.kind == *kind)
                    .cloned(),
            };
            let within = |limit: &Rlimit| limit.hard <= bound.maximum;
            if before.as_ref().is_some_and(within) {
                continue;
            }
            let soft = before
                .as_ref()
                .map_or(bound.maximum, |limit| limit.soft.min(bound.maximum));
            let after = Rlimit {
                kind: kind.clone(),
                hard: bound.maximum,
                soft,
            };
            let (pointer, before) = match place {
                Some(place) => {
                    process.rlimits[place] = after.clone();
                    (format!("/process/rlimits/{place}"), before)
                }
                None => {
                    process.rlimits.push(after.clone());
                    ("/process/rlimits/-".to_owned(), None)
                }
            };
            let on_conflict = if before.is_some() {
                bound.on_conflict
            } else {
                super::OnConflict::Tighten
            };
            self.conflict(&rule, on_conflict, &pointer, before.as_ref(), Some(&after))?;
        }
        Ok(())
    }

    fn root(&mut self, config: &mut Config) -> Result<()> {
        let wanted = &self.profile.root;
        match &mut config.root {
            Some(root) if wanted.readonly && !root.readonly => {
                root.readonly = true;
                self.conflict(
                    "root.readonly",
                    wanted.on_conflict,
                    "/root/readonly",
                    Some(&false),
                    Some(&true),
                )
            }
            _ => Ok(()),
        }
    }

    fn net_devices(&mut self, linux: &Linux) -> Result<()> {
        if linux.net_devices.is_empty() {
            return Ok(());
        }
        let names: Vec<&String> = linux.net_devices.keys().collect();
        let (rule, pointer) = ("namespaces.net-devices", "/linux/netDevices");
        let verdict = self.profile.namespaces.net_devices;
        self.judge(verdict, rule, pointer, &short(Some(&names)))
    }

    fn namespaces(&mut self, linux: &mut Linux) -> Result<()> {
        let wanted = &self.profile.namespaces;
        for kind in &wanted.require {
            let Some(index) = linux
                .namespaces
                .iter()
                .position(|space| space.kind == *kind)
            else {
                let added = Namespace {
                    kind: *kind,
                    path: None,
                };
                let pointer = "/linux/namespaces/-";
                self.conflict(
                    "namespaces.require",
                    wanted.on_conflict,
                    pointer,
                    None,
                    Some(&added),
                )?;
                linux.namespaces.push(added);
                if *kind == NamespaceType::Network {
                    self.warnings.push(no_host_network(&self.profile.name));
                }
                continue;
            };
            // The host's own namespace by its path is the host's namespace all the same.
            let path = &mut linux.namespaces[index].path;
            if path
                .as_ref()
                .is_some_and(|path| self.host.own_namespaces.contains(path))
            {
                let before = path.take();
                let pointer = format!("/linux/namespaces/{index}/path");
                self.conflict(
                    "namespaces.require",
                    wanted.on_conflict,
                    &pointer,
                    before.as_ref(),
                    None,
                )?;
            }
        }
        Ok(())
    }

    fn paths(&mut self, linux: &mut Linux) -> Result<()> {
        let paths = &self.profile.paths;
        let throttle: &[String] = if paths.mask_thermal_throttle {
            &self.host.thermal_throttle
        } else {
            &[]
        };
        let masks: Vec<&String> = paths.mask.iter().chain(throttle).collect();
        self.add_paths(
            "paths.mask",
            "/linux/maskedPaths",
            &mut linux.masked_paths,
            &masks,
        )?;
        let readonly: Vec<&String> = paths.readonly.iter().collect();
        self.add_paths(
            "paths.readonly",
            "/linux/readonlyPaths",
            &mut linux.readonly_paths,
            &readonly,
        )
    }

    fn add_paths(
        &mut self,
        rule: &str,
        pointer: &str,
        list: &mut Vec<String>,
        wanted: &[&String],
    ) -> Result<()> {
        let before = list.clone();
        for path in wanted {
            if !list.contains(path) {
                list.push((*path).clone());
            }
        }
        if *list == before {
            return Ok(());
        }
        self.conflict(
            rule,
            super::OnConflict::Tighten,
            pointer,
            Some(&before),
            Some(&*list),
        )
    }
}
