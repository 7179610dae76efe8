//! The words of a plan: what `stockade plan` prints, and what an error says about the step that failed.
//! `subject` is the step's act and object, `detail` the rest of its line.

use std::ffi::CStr;

use serde_json::{Value, json};

use super::{Attributes, Call, Difference, Failure, Filesystem, Join, Plan, Source, Step};
use crate::error::{Error, Kind, quote};
use crate::names;
use crate::spec::NamespaceType;

/// One line of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Who does it and when: `parent`, `join`, `setup`, `enter` or `start`.
    pub phase: &'static str,
    /// The step's number, for the child's steps.
    pub number: Option<usize>,
    /// The act and its object.
    pub subject: String,
    /// What else there is to it; may be empty.
    pub detail: String,
}

impl Line {
    fn parent(subject: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            phase: "parent",
            number: None,
            subject: subject.into(),
            detail: detail.into(),
        }
    }

    /// As JSON.
    pub fn to_json(&self) -> Value {
        json!({ "phase": self.phase, "step": self.number, "act": self.subject, "detail": self.detail })
    }
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.number {
            Some(number) => write!(f, "{:<6} {number:>3}  {}", self.phase, self.subject)?,
            None => write!(f, "{:<6}      {}", self.phase, self.subject)?,
        }
        if self.detail.is_empty() {
            Ok(())
        } else {
            write!(f, ": {}", self.detail)
        }
    }
}

impl Plan {
    /// Everything that will be done, in order, one line each.
    pub fn lines(&self) -> Vec<Line> {
        let mut lines = self.parent_lines();
        let [setup, enter, start] = self.offsets();
        let phases = [
            ("join", 0, &self.joins),
            ("setup", setup, &self.setup),
            ("enter", enter, &self.enter),
            ("start", start, &self.start),
        ];
        for (phase, first, steps) in phases {
            lines.extend(steps.iter().enumerate().map(|(index, step)| Line {
                phase,
                number: Some(first + index),
                subject: self.subject(step),
                detail: self.detail(step),
            }));
        }
        lines
    }

    /// The subjects of the child's steps, by number: what an error needs.
    pub fn subjects(&self) -> Vec<String> {
        self.steps().map(|step| self.subject(step)).collect()
    }

    fn parent_lines(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        if let Some(cgroup) = &self.cgroup {
            lines.push(Line::parent(
                format!("make cgroup {}", quote(&cgroup.name)),
                "",
            ));
            lines.extend(
                cgroup
                    .writes
                    .iter()
                    .map(|write| Line::parent(format!("limit {write}"), "")),
            );
            if !cgroup.devices.is_empty() {
                let rules: Vec<String> = cgroup.devices.iter().map(device_rule).collect();
                lines.push(Line::parent("allow devices", rules.join(", ")));
            }
            lines.extend(
                cgroup
                    .owner
                    .map(|uid| Line::parent(format!("give the cgroup to user {uid}"), "")),
            );
        }
        for tree in &self.trees {
            let maps = tree.id_maps.as_ref().map_or_else(String::new, |(maps, _)| {
                format!("ids mapped {}", one_line(&maps.uid))
            });
            lines.push(Line::parent(format!("open {}", quoted(&tree.path)), maps));
        }
        lines.push(Line::parent("clone", namespace_words(self.new_namespaces)));
        if let Some(maps) = &self.id_maps {
            lines.push(Line::parent(
                "map ids",
                format!(
                    "users {}, groups {}",
                    one_line(&maps.uid),
                    one_line(&maps.gid)
                ),
            ));
        }
        if let Some(score) = self.oom_score {
            lines.push(Line::parent(format!("set oom_score_adj {score}"), ""));
        }
        for (resource, _, hard) in &self.raised_limits {
            lines.push(Line::parent(
                format!("raise the hard limit {}", limit_name(*resource)),
                number(*hard),
            ));
        }
        lines
    }

    /// The act and its object; a field of the config by its name where the act is that field's alone.
    fn subject(&self, step: &Step) -> String {
        match step {
            Step::Join(join) => join.subject(),
            Step::TimeNamespace { .. } => "make a time namespace by linux.timeOffsets".into(),
            Step::EnterCgroups => "enter the cgroups".into(),
            Step::NewCgroupNamespace => "make a cgroup namespace".into(),
            Step::TakeMappedIds { uid, gid } => format!("become {uid}:{gid} of the user namespace"),
            Step::NewSession => "make a session".into(),
            Step::NewKeyring => "make a session keyring".into(),
            Step::LoopbackUp => "bring the loopback interface up".into(),
            Step::Hook(hook) => format!("run {} {}", hook.name, quoted(&hook.path)),
            Step::Umask(mask) => format!("set umask {mask:04o}"),
            Step::Personality(persona) => format!("set linux.personality {persona:#x}"),
            Step::Scheduler(_) => "set process.scheduler".into(),
            Step::IoPriority { class, level } => {
                format!("set process.ioPriority class {class} level {level}")
            }
            Step::MemoryPolicy { .. } => "set linux.memoryPolicy".into(),
            Step::OwnStdio { uid, gid } => format!("give the standard streams to {uid}:{gid}"),
            Step::Bound { .. } => "drop from the bounding set".into(),
            Step::Groups(_) => "set groups".into(),
            Step::Ids { uid, gid } => format!("become user {uid} and group {gid}"),
            Step::Workdir(path) => format!("enter process.cwd {}", quoted(path)),
            Step::FindProgram => format!("find the program {}", self.program()),
            Step::Capabilities { .. } => "set capabilities".into(),
            Step::Limit { resource, .. } => {
                format!("set {} of process.rlimits", limit_name(*resource))
            }
            Step::Label { field, value, .. } => format!("process.{field}: set {}", quoted(value)),
            Step::NoNewPrivileges => "set no_new_privs".into(),
            Step::Verify(_) => "verify what the kernel says".into(),
            Step::CloseFrom { first } => format!("close descriptors from {first}"),
            Step::Seccomp { filter } => format!(
                "install the seccomp filter of {}",
                self.filters[*filter].origin
            ),
            Step::Execute => format!("execute {}", self.program()),
            other => self.root_subject(other),
        }
    }

    /// The same for steps that work on the root filesystem and its namespace.
    fn root_subject(&self, step: &Step) -> String {
        match step {
            Step::Isolate { .. } => "cut mount propagation to the host".into(),
            Step::Root { path, .. } => format!("attach root.path {}", quoted(path)),
            Step::Mount(mount) => {
                format!(
                    "mount {} on {}",
                    self.source_word(&mount.source),
                    quoted(&mount.destination)
                )
            }
            Step::Node(node) => format!("make device {}", quoted(&node.path)),
            Step::BindNode { path, .. } => format!("bind device {}", quoted(path)),
            Step::Link { path, target } => format!("link {} to {}", quoted(path), quoted(target)),
            Step::Sysctl { file, value } => {
                let key = file.to_string_lossy();
                let key = key.strip_prefix("sys/").unwrap_or(&key);
                format!("set linux.sysctl[{}] to {}", quote(key), quoted(value))
            }
            Step::Hostname(name) => format!("set hostname {}", quoted(name)),
            Step::Domainname(name) => format!("set domainname {}", quoted(name)),
            Step::ReadonlyPath(path) | Step::Seal { path, .. } => {
                format!("make {} read-only", quoted(path))
            }
            Step::MaskedPath(path) => format!("mask {}", quoted(path)),
            Step::Directory(path) => format!("make process.cwd {}", quoted(path)),
            Step::ReadonlyRoot => "make the root filesystem read-only".into(),
            Step::PivotRoot => "pivot into the root filesystem".into(),
            Step::MoveRoot => "move the root filesystem over /".into(),
            Step::RootPropagation {
                propagation,
                recursive,
            } => {
                let depth = if *recursive { "r" } else { "" };
                format!(
                    "set linux.rootfsPropagation {depth}{}",
                    propagation_word(*propagation)
                )
            }
            _ => "change the root".into(),
        }
    }

    fn detail(&self, step: &Step) -> String {
        match step {
            Step::TimeNamespace { offsets } => one_line(offsets),
            Step::Mount(mount) => {
                let mut words = attribute_words(&mount.attributes);
                if let Source::Filesystem(filesystem) = &mount.source {
                    words.extend(parameter_words(filesystem));
                }
                words.join(" ")
            }
            Step::Node(node) => format!(
                "{}:{} mode {:04o} owner {}:{}",
                rustix::fs::major(node.number),
                rustix::fs::minor(node.number),
                node.mode,
                node.uid,
                node.gid
            ),
            Step::Bound { keep, last } => format!("keep {}", set_words(*keep, *last)),
            Step::Groups(groups) => {
                if groups.is_empty() {
                    "none".into()
                } else {
                    format!("{groups:?}")
                }
            }
            Step::Capabilities { sets, ambient } => format!(
                "effective {}, permitted {}, inheritable {}, ambient {}",
                set_words(sets.effective, 63),
                set_words(sets.permitted, 63),
                set_words(sets.inheritable, 63),
                set_words(*ambient, 63)
            ),
            Step::Limit { soft, hard, .. } => format!("{} to {}", number(*soft), number(*hard)),
            Step::Seccomp { filter } => {
                format!("{} instructions", self.filters[*filter].program.len())
            }
            Step::Execute => {
                let words: Vec<String> = self
                    .arguments
                    .strings()
                    .iter()
                    .map(|word| quoted(word))
                    .collect();
                words.join(" ")
            }
            _ => String::new(),
        }
    }

    fn source_word(&self, source: &Source) -> String {
        match source {
            Source::Filesystem(filesystem) => quoted(&filesystem.kind),
            Source::Bind { path, .. } => quoted(path),
            Source::Tree(number) => quoted(&self.trees[*number].path),
            Source::Existing => "other options".into(),
        }
    }

    fn program(&self) -> String {
        self.arguments
            .strings()
            .first()
            .map_or_else(String::new, |name| quoted(name))
    }
}

impl Join {
    /// What joining it is called, in the child and in the parent that opens it.
    pub fn subject(&self) -> String {
        let (index, kind) = (self.index, kind_word(self.kind));
        format!(
            "join linux.namespaces[{index}].path {} ({kind})",
            quoted(&self.path)
        )
    }
}

impl Plan {
    /// The error that a failure of the child means, with what only the plan knows: which option of a mount it was.
    pub fn explain(&self, failure: &Failure, said: Option<&str>) -> Error {
        let error = explain(failure, &self.subjects(), &self.program_name(), said);
        let step = self.steps().nth(failure.step as usize);
        match (step, Call::from_number(failure.call)) {
            (Some(Step::Mount(mount)), Some(Call::Fsconfig)) => match &mount.source {
                Source::Filesystem(filesystem) => {
                    let option = parameter_words(filesystem)
                        .into_iter()
                        .nth(failure.detail as usize);
                    let subject = format!(
                        "mount {} on {}",
                        self.source_word(&mount.source),
                        quoted(&mount.destination)
                    );
                    let cause = errno_words(failure.errno);
                    Error::new(
                        subject,
                        format!("option {}: {cause}", quote(option.unwrap_or_default())),
                    )
                }
                _ => error,
            },
            (Some(Step::Mount(mount)), Some(Call::MountSetattr))
                if failure.errno == libc::EPERM =>
            {
                let cleared =
                    attribute_words_of(mount.attributes.mount.clear | mount.attributes.tree.clear);
                if cleared.is_empty() {
                    return error;
                }
                error.hint(format!(
                    "in a user namespace the flags that a mount came with are locked: {} cannot be taken off",
                    cleared.join(", ")
                ))
            }
            (Some(Step::Label { field, .. }), _) if failure.errno == libc::ENOENT => {
                error.hint(format!("load the profile, or change process.{field}"))
            }
            _ => error,
        }
    }
}

/// The error that a failure of the child means. `subjects` are the steps' words, `said` what a hook wrote, or the
/// interpreter that a script names.
pub fn explain(failure: &Failure, subjects: &[String], program: &str, said: Option<&str>) -> Error {
    let subject = subjects
        .get(failure.step as usize)
        .map_or("init", String::as_str);
    let cause =
        Difference::words(failure.errno).map_or_else(|| errno_words(failure.errno), str::to_owned);
    match Call::from_number(failure.call) {
        Some(Call::Access) => cannot_execute(program, failure.errno),
        Some(Call::Execve) if failure.errno == libc::ENOENT => no_interpreter(program, said),
        Some(Call::Execve) => cannot_execute(program, failure.errno).during_exec(failure.errno),
        _ if failure.errno == Difference::HookFailed as i32 => {
            let how = if failure.detail < 256 {
                format!("exited with {}", failure.detail)
            } else {
                format!("was killed by signal {}", failure.detail - 256)
            };
            let said = said.map_or_else(String::new, |said| format!(": {}", quote(said)));
            Error::new(subject, format!("{how}{said}"))
        }
        Some(call) if failure.errno > 0 => Error::new(subject, format!("{}: {cause}", call.name())),
        _ => Error::new(subject, cause),
    }
}

impl Error {
    /// What a failed execve(2) of a program that was found adds.
    fn during_exec(self, errno: i32) -> Self {
        match errno {
            libc::ENOEXEC => {
                self.hint("neither a program for this machine nor a script with a #! line")
            }
            libc::EPERM | libc::ENOSYS => {
                self.hint("if a seccomp profile denies execve, no program can start")
            }
            _ => self,
        }
    }
}

/// The program was found before, so what does not exist is what it names to run it.
fn no_interpreter(program: &str, interpreter: Option<&str>) -> Error {
    let missing = interpreter.map_or_else(
        || "the interpreter that it names is missing".to_owned(),
        |interpreter| format!("its interpreter {} is missing", quote(interpreter)),
    );
    let words = errno_words(libc::ENOENT);
    Error::new(
        format!("execute {}", quote(program)),
        format!("{missing}: {words}"),
    )
    .kind(Kind::NotFound)
}

/// The texts in which clients look for the reason: `executable file not found`, `permission denied`.
fn cannot_execute(program: &str, errno: i32) -> Error {
    let program = quote(program);
    let words = errno_words(errno);
    match errno {
        libc::ENOENT => Error::new(
            format!("execute {program}"),
            format!("executable file not found in the container: {words}"),
        )
        .kind(Kind::NotFound),
        libc::EISDIR => Error::new(
            format!("execute {program}"),
            format!("permission denied: {words}"),
        )
        .kind(Kind::NotExecutable),
        _ => Error::new(format!("execute {program}"), words).kind(Kind::NotExecutable),
    }
}

/// `no such file or directory (ENOENT)`.
pub fn errno_words(errno: i32) -> String {
    let text = std::io::Error::from_raw_os_error(errno).to_string();
    let text = text.split(" (os error").next().unwrap_or(&text).to_owned();
    let mut characters = text.chars();
    let lower = characters.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(characters).collect()
    });
    match names::errno_name(errno) {
        Some(name) => format!("{lower} ({name})"),
        None => format!("{lower} ({errno})"),
    }
}

fn quoted(text: &CStr) -> String {
    quote(text.to_bytes())
}

fn one_line(lines: &str) -> String {
    lines.trim_end().replace('\n', ", ")
}

fn number(value: u64) -> String {
    if value == u64::MAX {
        "unlimited".into()
    } else {
        value.to_string()
    }
}

fn limit_name(resource: u32) -> String {
    names::rlimit_name(resource).map_or_else(|| resource.to_string(), str::to_owned)
}

fn set_words(set: u64, last: u8) -> String {
    let words: Vec<String> = (0..=last)
        .filter(|capability| set >> capability & 1 == 1)
        .map(|capability| {
            names::capability_name(capability).map_or_else(|| capability.to_string(), str::to_owned)
        })
        .collect();
    if words.is_empty() {
        "none".into()
    } else {
        words.join(" ")
    }
}

const NAMESPACES: [(u64, NamespaceType); 7] = [
    (libc::CLONE_NEWUSER as u64, NamespaceType::User),
    (libc::CLONE_NEWNS as u64, NamespaceType::Mount),
    (libc::CLONE_NEWPID as u64, NamespaceType::Pid),
    (libc::CLONE_NEWNET as u64, NamespaceType::Network),
    (libc::CLONE_NEWIPC as u64, NamespaceType::Ipc),
    (libc::CLONE_NEWUTS as u64, NamespaceType::Uts),
    (crate::sys::clone::NEWTIME, NamespaceType::Time),
];

fn namespace_words(flags: u64) -> String {
    let words: Vec<&str> = NAMESPACES
        .iter()
        .filter(|(flag, _)| flags & flag != 0)
        .map(|(_, kind)| kind_word(*kind))
        .collect();
    if words.is_empty() {
        "no new namespaces".into()
    } else {
        format!("new {}", words.join(" "))
    }
}

fn kind_word(kind: NamespaceType) -> &'static str {
    match kind {
        NamespaceType::Pid => "pid",
        NamespaceType::Network => "network",
        NamespaceType::Mount => "mount",
        NamespaceType::Ipc => "ipc",
        NamespaceType::Uts => "uts",
        NamespaceType::User => "user",
        NamespaceType::Cgroup => "cgroup",
        NamespaceType::Time => "time",
    }
}

fn propagation_word(propagation: u64) -> &'static str {
    match propagation {
        libc::MS_SHARED => "shared",
        libc::MS_SLAVE => "slave",
        libc::MS_UNBINDABLE => "unbindable",
        _ => "private",
    }
}

const ATTRIBUTES: [(u64, &str); 7] = [
    (libc::MOUNT_ATTR_RDONLY, "ro"),
    (libc::MOUNT_ATTR_NOSUID, "nosuid"),
    (libc::MOUNT_ATTR_NODEV, "nodev"),
    (libc::MOUNT_ATTR_NOEXEC, "noexec"),
    (libc::MOUNT_ATTR_NOATIME, "noatime"),
    (libc::MOUNT_ATTR_STRICTATIME, "strictatime"),
    (libc::MOUNT_ATTR_NODIRATIME, "nodiratime"),
];

fn attribute_words_of(set: u64) -> Vec<&'static str> {
    ATTRIBUTES
        .iter()
        .filter(|(bit, _)| set & bit != 0)
        .map(|(_, word)| *word)
        .collect()
}

fn attribute_words(attributes: &Attributes) -> Vec<String> {
    let words = |set: u64, prefix: &str| -> Vec<String> {
        ATTRIBUTES
            .iter()
            .filter(|(bit, _)| set & bit != 0)
            .map(|(_, word)| format!("{prefix}{word}"))
            .collect()
    };
    let mut all = words(attributes.mount.set, "");
    all.extend(words(attributes.tree.set, "r"));
    all.extend(
        attributes
            .propagation
            .iter()
            .map(|(propagation, recursive)| {
                format!(
                    "{}{}",
                    if *recursive { "r" } else { "" },
                    propagation_word(*propagation)
                )
            }),
    );
    all
}

fn parameter_words(filesystem: &Filesystem) -> Vec<String> {
    let mut words: Vec<String> = filesystem
        .flags
        .iter()
        .map(|flag| flag.to_string_lossy().into_owned())
        .collect();
    words.extend(
        filesystem
            .values
            .iter()
            .map(|(key, value)| format!("{}={}", key.to_string_lossy(), value.to_string_lossy())),
    );
    if filesystem.copy_up {
        words.push("tmpcopyup".into());
    }
    // Free text of a config on its way to a terminal.
    words
        .into_iter()
        .map(|word| quote(&word)[1..].trim_end_matches('"').to_owned())
        .collect()
}

fn device_rule(rule: &crate::spec::DeviceRule) -> String {
    let number = |value: Option<i64>| match value {
        Some(value) if value >= 0 => value.to_string(),
        _ => "*".into(),
    };
    format!(
        "{} {} {}:{} {}",
        if rule.allow { "allow" } else { "deny" },
        rule.kind.as_deref().unwrap_or("a"),
        number(rule.major),
        number(rule.minor),
        rule.access.as_deref().unwrap_or("rwm")
    )
}
