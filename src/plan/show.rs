//! The words of a plan: what `stockade plan` prints. `subject` is a step's act and object, `detail` the rest of its line.
//! What an error says about a step that failed is in `explain`, which begins with the subject.

use std::ffi::CStr;

use serde_json::{Value, json};

use super::namespaces::flag_of;
use super::{
    Attributes, Cgroup, Console, Filesystem, Filter, Join, MapWriter, MountIds, NetDevice, Plan,
    Source, Step, Terminal,
};
use crate::error::{escape, quote};
use crate::names::{self, mount};
use crate::profile::Ruleset;
use crate::seccomp;
use crate::spec::NamespaceType;
use crate::sys::attributes::Capabilities;

/// How the subject of a filter's step ends under which no program starts: a failed execve(2) is told by it.
pub(super) const DENIES_EXECVE: &str = ", which denies execve";
/// The subject of the step that puts the process under Landlock rules.
pub(super) const LANDLOCK: &str = "apply the Landlock rules of the profile";

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
        lines.extend(self.cgroup.iter().flat_map(cgroup_lines));
        for tree in &self.trees {
            let maps = match &tree.id_maps {
                None => String::new(),
                Some((MountIds::Mapped(maps), _)) => format!("ids mapped {}", one_line(&maps.uid)),
                Some((MountIds::Joined, _)) => {
                    "ids mapped as the joined user namespace does".into()
                }
            };
            lines.push(Line::parent(format!("open {}", quoted(&tree.path)), maps));
        }
        lines.push(Line::parent("clone", namespace_words(self.new_namespaces)));
        if let Some(maps) = &self.id_maps {
            lines.push(Line::parent(
                "map ids",
                format!(
                    "users {}{}, groups {}{}",
                    one_line(&maps.uid),
                    by_program(maps.uid_by, "newuidmap"),
                    one_line(&maps.gid),
                    by_program(maps.gid_by, "newgidmap")
                ),
            ));
        }
        if let Some(score) = self.oom_score {
            lines.push(Line::parent(format!("set oom_score_adj {score}"), ""));
        }
        lines.extend(self.net_devices.iter().map(moved_device));
        for (resource, _, hard) in &self.raised_limits {
            lines.push(Line::parent(
                format!("raise the hard limit {}", limit_name(*resource)),
                number(*hard),
            ));
        }
        lines
    }

    /// The act and its object; a field of the config by its name where the act is that field's alone.
    pub(super) fn subject(&self, step: &Step) -> String {
        match step {
            Step::Join(join) => join.subject(),
            Step::JoinContainer { .. } => "join the container's namespaces".into(),
            Step::FindRoot | Step::TakeRoot => "find the container's root".into(),
            Step::OomScore(score) => format!("set oom_score_adj {}", score.to_string_lossy()),
            Step::Undumpable => "become undumpable".into(),
            Step::Affinity { field, .. } => format!("set process.execCPUAffinity.{field}"),
            Step::EveryCpu => "use every CPU of the cgroup".into(),
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
            Step::WorkdirFirst(path) => format!("enter process.cwd {}", quoted(path)),
            Step::Workdir(path) => format!("enter process.cwd {} as the user", quoted(path)),
            Step::FindProgram => format!("find the program {}", self.program()),
            Step::Capabilities { .. } => "set capabilities".into(),
            Step::Limit { resource, .. } => {
                format!("set {} of process.rlimits", limit_name(*resource))
            }
            Step::Label { field, value, .. } => format!("process.{field}: set {}", quoted(value)),
            Step::NoNewPrivileges => "set no_new_privs".into(),
            Step::DenyWriteExecute => "deny memory that is writable and executable".into(),
            Step::Landlock => LANDLOCK.into(),
            Step::Verify(_) => "verify what the kernel says".into(),
            Step::CloseFrom { first } => format!("close descriptors from {first}"),
            Step::Seccomp { filter } => {
                let Filter {
                    origin, program, ..
                } = &self.filters[*filter];
                let denies = if seccomp::denies(program, "execve") {
                    DENIES_EXECVE
                } else {
                    ""
                };
                format!("install the seccomp filter of {origin}{denies}")
            }
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
            Step::SharedPlace { path, .. } => format!("find the place {}", quoted(path)),
            Step::Share { tree, path, .. } => format!(
                "share {} with the host on {}",
                quoted(&self.trees[*tree].path),
                quoted(path)
            ),
            Step::Node(node) => format!("make device {}", quoted(&node.path)),
            Step::BindNode { path, .. } => format!("bind device {}", quoted(path)),
            Step::Terminal(_) => "make process.terminal".into(),
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
            Step::Unmount(path) => format!("unmount {} of the host", quoted(path)),
            Step::MoveRoot => "move the root filesystem over /".into(),
            Step::RootPropagation {
                propagation,
                recursive,
            } => {
                format!(
                    "set linux.rootfsPropagation {}",
                    propagation_word(*propagation, *recursive)
                )
            }
            _ => "change the root".into(),
        }
    }

    fn detail(&self, step: &Step) -> String {
        match step {
            Step::TimeNamespace { offsets } => one_line(offsets),
            Step::JoinContainer { namespaces } => joined_words(*namespaces),
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
            Step::Terminal(terminal) => terminal_words(*terminal),
            Step::Bound { keep, last } => format!("keep {}", set_words(*keep, *last)),
            Step::Groups(groups) => {
                if groups.is_empty() {
                    "none".into()
                } else {
                    format!("{groups:?}")
                }
            }
            Step::Capabilities {
                sets,
                ambient,
                lock_securebits,
            } => {
                let locked = if *lock_securebits {
                    ", securebits locked"
                } else {
                    ""
                };
                format!("{}{locked}", all_sets(sets, *ambient))
            }
            Step::Limit { soft, hard, .. } => format!("{} to {}", number(*soft), number(*hard)),
            Step::Landlock => self
                .landlock
                .as_ref()
                .map_or_else(String::new, Ruleset::to_string),
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
            Source::Inside { path, .. } => format!("{} of the root", quoted(path)),
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
        let (index, kind) = (self.index, self.kind.word());
        format!(
            "join linux.namespaces[{index}].path {} ({kind})",
            quoted(&self.path)
        )
    }
}

fn terminal_words(terminal: Terminal) -> String {
    let mut words = format!("owner {}", terminal.uid);
    if let Some((rows, columns)) = terminal.size {
        words.push_str(&format!(", {rows} rows and {columns} columns"));
    }
    if terminal.console == Console::Bound {
        words.push_str(", also on \"/dev/console\"");
    }
    words
}

fn quoted(text: &CStr) -> String {
    quote(text.to_bytes())
}

fn by_program(by: MapWriter, program: &str) -> String {
    match by {
        MapWriter::Program => format!(" by {program}"),
        MapWriter::Privileged | MapWriter::Owner => String::new(),
    }
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

fn all_sets(sets: &Capabilities, ambient: u64) -> String {
    format!(
        "effective {}, permitted {}, inheritable {}, ambient {}",
        set_words(sets.effective, 63),
        set_words(sets.permitted, 63),
        set_words(sets.inheritable, 63),
        set_words(ambient, 63)
    )
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

/// In the order of the kernel: the user namespace owns the others.
const NAMESPACES: [NamespaceType; 8] = [
    NamespaceType::User,
    NamespaceType::Mount,
    NamespaceType::Pid,
    NamespaceType::Network,
    NamespaceType::Ipc,
    NamespaceType::Uts,
    NamespaceType::Cgroup,
    NamespaceType::Time,
];

fn namespace_words(flags: u64) -> String {
    let words = joined_words(flags as i32);
    if words.is_empty() {
        "no new namespaces".into()
    } else {
        format!("new {words}")
    }
}

fn joined_words(flags: i32) -> String {
    let words: Vec<&str> = NAMESPACES
        .iter()
        .filter(|kind| flags & flag_of(**kind) != 0)
        .map(|kind| kind.word())
        .collect();
    words.join(" ")
}

fn propagation_word(propagation: u64, recursive: bool) -> String {
    let word = mount::propagation_word(propagation).unwrap_or("unknown");
    format!("{}{word}", if recursive { "r" } else { "" })
}

fn attribute_words(attributes: &Attributes) -> Vec<String> {
    let with = |prefix: &str, set: u64| {
        mount::attribute_words(set)
            .into_iter()
            .map(|word| format!("{prefix}{word}"))
            .collect()
    };
    let mut all: Vec<String> = with("", attributes.mount.set);
    all.extend::<Vec<String>>(with("r", attributes.tree.set));
    all.extend(
        attributes
            .propagation
            .iter()
            .map(|(propagation, recursive)| propagation_word(*propagation, *recursive)),
    );
    all
}

pub(super) fn parameter_words(filesystem: &Filesystem) -> Vec<String> {
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
    words.into_iter().map(escape).collect()
}

/// What is done for the cgroup, in its order.
fn cgroup_lines(cgroup: &Cgroup) -> Vec<Line> {
    let mut lines = vec![match &cgroup.location.unit {
        Some(unit) => {
            let properties = cgroup.properties.iter().map(ToString::to_string);
            Line::parent(
                format!("start unit {}", quote(&unit.name)),
                properties.collect::<Vec<_>>().join(", "),
            )
        }
        None => Line::parent(format!("make cgroup {}", quote(&cgroup.name)), ""),
    }];
    let limit = |write| Line::parent(format!("limit {write}"), "");
    lines.extend(cgroup.writes.iter().map(limit));
    if !cgroup.devices.is_empty() {
        let rules: Vec<String> = cgroup.devices.iter().map(device_rule).collect();
        lines.push(Line::parent("allow devices", rules.join(", ")));
    }
    let give = |uid| Line::parent(format!("give the cgroup to user {uid}"), "");
    lines.extend(cgroup.owner.map(give));
    lines
}

fn moved_device(device: &NetDevice) -> Line {
    Line::parent(
        format!("move network device {}", quote(&device.name)),
        format!("as {}", quote(&device.new_name)),
    )
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
