//! `linux.resources` as a list of files to write: pure, so that a plan can print it.
//! The controllers' own files are in `v1` and `v2`; devices are in `devices`. Like every other runtime's clients, Docker
//! among them, a 0 where 0 makes no sense (limits in bytes, shares, quota, period, weights) means that the field is unset.

use std::fmt;

use super::layout::{Hierarchy, Layout, Mode};
use super::{v1, v2};
use crate::error::{Error, Result, quote};
use crate::spec::Resources;

/// One value to write into one file of the container's cgroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The controller, by which the hierarchy is found: `memory`, `cpu`; `cgroup` is the v2 core.
    pub controller: String,
    /// The file's name in the cgroup's directory.
    pub file: String,
    /// What is written.
    pub value: String,
    /// The config's field, as in `linux.resources.memory.limit`.
    pub field: String,
    /// File and value to use where the kernel has no `file`, in order.
    pub otherwise: Vec<(String, String)>,
}

impl Write {
    pub(super) fn new(controller: &str, file: &str, value: impl fmt::Display, field: &str) -> Self {
        Self {
            controller: controller.to_owned(),
            file: file.to_owned(),
            value: value.to_string(),
            field: format!("linux.resources.{field}"),
            otherwise: Vec::new(),
        }
    }

    pub(super) fn or(mut self, file: &str, value: impl fmt::Display) -> Self {
        self.otherwise.push((file.to_owned(), value.to_string()));
        self
    }

    /// Whether a kernel without the file does what is asked anyway: no limit, or a feature that stays off.
    pub(super) fn is_absent_by_nature(&self) -> bool {
        let is_off = self.value == "0"
            && matches!(
                self.file.as_str(),
                "cpu.idle" | "cpu.cfs_burst_us" | "cpu.max.burst"
            );
        // A file that the config names itself must be there.
        let is_named = self.field.starts_with("linux.resources.unified");
        !is_named && (is_off || matches!(self.value.as_str(), "-1" | "max"))
    }

    /// The file and value to try, in order.
    pub(super) fn candidates(&self) -> impl Iterator<Item = (&str, &str)> {
        let otherwise = self
            .otherwise
            .iter()
            .map(|(file, value)| (file.as_str(), value.as_str()));
        std::iter::once((self.file.as_str(), self.value.as_str())).chain(otherwise)
    }
}

impl fmt::Display for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.value.chars().any(char::is_control) {
            return write!(f, "{} = {}", self.file, quote(&self.value));
        }
        write!(f, "{} = {}", self.file, self.value)
    }
}

/// The files and values that `resources` asks for, without `devices`, in the order to write them.
///
/// # Errors
/// For everything that this host cannot be asked: a controller that is not mounted, a setting that the mounted version
/// of cgroups does not have, a value out of range. The error names the field.
pub fn settings(layout: &Layout, resources: &Resources) -> Result<Vec<Write>> {
    let mut writes = Vec::new();
    for (controller, wanted) in wanted(resources) {
        let Some(field) = wanted else { continue };
        let (of_v1, of_v2) = files(controller);
        let section = if is_v2(layout, controller) {
            of_v2
        } else {
            of_v1
        };
        let new = section(resources)?;
        if !new.iter().all(Write::is_absent_by_nature) {
            layout.require(controller, &format!("linux.resources.{field}"))?;
        } else if layout.holds(controller).is_none() {
            continue;
        }
        writes.extend(new);
    }
    unified(layout, resources, &mut writes)?;
    Ok(writes)
}

type Section = fn(&Resources) -> Result<Vec<Write>>;

/// Which controllers `resources` has something for, each with the field to name where the controller is missing.
fn wanted(resources: &Resources) -> [(&'static str, Option<&'static str>); 9] {
    let cpuset = resources
        .cpu
        .as_ref()
        .and_then(|cpu| match (&cpu.cpus, &cpu.mems) {
            (Some(_), _) => Some("cpu.cpus"),
            (None, Some(_)) => Some("cpu.mems"),
            (None, None) => None,
        });
    let network = resources.network.as_ref();
    [
        // cpuset first: on v1 a task cannot enter before it is set.
        ("cpuset", cpuset),
        ("cpu", resources.cpu.as_ref().map(|_| "cpu")),
        ("memory", resources.memory.as_ref().map(|_| "memory")),
        ("pids", resources.pids.as_ref().map(|_| "pids.limit")),
        ("blkio", resources.block_io.as_ref().map(|_| "blockIO")),
        (
            "hugetlb",
            (!resources.hugepage_limits.is_empty()).then_some("hugepageLimits"),
        ),
        ("rdma", (!resources.rdma.is_empty()).then_some("rdma")),
        (
            "net_cls",
            network.and_then(|n| n.class_id).map(|_| "network.classID"),
        ),
        (
            "net_prio",
            network.and_then(|n| (!n.priorities.is_empty()).then_some("network.priorities")),
        ),
    ]
}

/// The files of one controller on v1 and on v2.
fn files(controller: &str) -> (Section, Section) {
    match controller {
        "cpuset" => (v1::cpuset, v1::cpuset),
        "cpu" => (v1::cpu, v2::cpu),
        "memory" => (v1::memory, v2::memory),
        "pids" => (v1::pids, v1::pids),
        "blkio" => (v1::blkio, v2::io),
        "hugetlb" => (v1::hugetlb, v2::hugetlb),
        "rdma" => (v1::rdma, v1::rdma),
        "net_cls" => (v1::net_cls, v2::net_cls),
        _ => (v1::net_prio, v2::net_prio),
    }
}

/// Whether a controller's v2 files apply: where it is, and if it is nowhere, the host's mode decides.
fn is_v2(layout: &Layout, controller: &str) -> bool {
    layout
        .holds(controller)
        .map_or(layout.mode() == Mode::V2, |hierarchy| hierarchy.v2)
}

/// `linux.resources.unified`: v2 files by name. They win over what the other fields say of the same file.
fn unified(layout: &Layout, resources: &Resources, writes: &mut Vec<Write>) -> Result<()> {
    for (file, value) in &resources.unified {
        let field = format!("linux.resources.unified[{}]", quote(file));
        let controller =
            unified_controller(file).map_err(|cause| Error::new(field.as_str(), cause))?;
        let hierarchy = layout.unified().ok_or_else(|| {
            Error::new(field.as_str(), "this host has no cgroup v2 hierarchy")
                .hint("use the fields of linux.resources instead, which work on v1 and v2")
        })?;
        check_enabled(layout, hierarchy, controller, &field)?;
        if value.trim().is_empty() {
            return Err(Error::new(field, "has no value"));
        }
        writes.retain(|write| write.file != *file);
        // Files with a line for each device take one line a write.
        writes.extend(value.lines().map(|line| Write {
            controller: controller.to_owned(),
            file: file.clone(),
            value: line.to_owned(),
            field: field.clone(),
            otherwise: Vec::new(),
        }));
    }
    Ok(())
}

/// The controller that a v2 file belongs to, by the part before the first dot.
fn unified_controller(file: &str) -> std::result::Result<&str, &'static str> {
    if file.contains('/') || file.contains("..") || file.chars().any(char::is_control) {
        return Err("is not a plain file name");
    }
    // Everything else of the core moves processes, changes the hierarchy or belongs to pause and kill.
    let limits = [
        "cgroup.max.depth",
        "cgroup.max.descendants",
        "cgroup.pressure",
    ];
    match file.split_once('.') {
        None | Some((_, "") | ("", _)) => Err("is not a file of a controller"),
        Some(("cgroup", _)) if !limits.contains(&file) => Err("is not a limit"),
        Some((controller, _)) => Ok(controller),
    }
}

fn check_enabled(
    layout: &Layout,
    unified: &Hierarchy,
    controller: &str,
    field: &str,
) -> Result<()> {
    let core = ["cgroup", "irq"];
    if core.contains(&controller) || unified.controllers.iter().any(|name| name == controller) {
        return Ok(());
    }
    let cause = format!(
        "invalid configuration: the cgroup v2 hierarchy has no {} controller",
        quote(controller)
    );
    let error = Error::new(field, cause);
    Err(match layout.holds(controller) {
        Some(_) => {
            error.hint("the controller is on cgroup v1 here: use the fields of linux.resources")
        }
        None => error,
    })
}

/// Refuses a field; the kernel or the mounted version of cgroups has no such setting.
pub(super) fn refuse(field: &str, cause: impl fmt::Display) -> Error {
    Error::new(format!("linux.resources.{field}"), cause)
}

/// A number that is set: 0 stands for unset in what clients send.
pub(super) fn set<N: PartialEq + From<u8> + Copy>(number: Option<N>) -> Option<N> {
    number.filter(|number| *number != N::from(0))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn v1_layout() -> Layout {
        let mut mountinfo = String::new();
        let mut cgroup = String::new();
        let names = "cpuset cpu memory pids blkio hugetlb rdma net_cls net_prio devices freezer";
        for name in names.split(' ') {
            mountinfo +=
                &format!("33 30 0:31 / /sys/fs/cgroup/{name} rw - cgroup cgroup rw,{name}\n");
            cgroup += &format!("4:{name}:/\n");
        }
        Layout::parse(&mountinfo, &cgroup)
    }

    pub(crate) fn v2_layout() -> Layout {
        let mountinfo = "30 24 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        let layout = Layout::parse(mountinfo, "0::/\n");
        layout.with_v2_controllers("cpuset cpu io memory hugetlb pids rdma")
    }

    pub(crate) fn lines(layout: &Layout, resources: &str) -> Vec<String> {
        let resources = serde_json::from_str(resources).unwrap();
        let writes = settings(layout, &resources).unwrap();
        writes.iter().map(ToString::to_string).collect()
    }

    pub(crate) fn refusal(layout: &Layout, resources: &str) -> String {
        let resources = serde_json::from_str(resources).unwrap();
        settings(layout, &resources).unwrap_err().to_string()
    }

    #[test]
    fn unified_is_refused_without_a_v2_hierarchy() {
        assert_eq!(
            refusal(&v1_layout(), r#"{"unified":{"memory.max":"100"}}"#),
            "linux.resources.unified[\"memory.max\"]: this host has no cgroup v2 hierarchy"
        );
    }

    #[test]
    fn unified_is_refused_where_the_controller_is_on_v1() {
        let hybrid = Layout::parse(
            "33 30 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
             40 30 0:40 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
            "4:memory:/\n0::/\n",
        )
        .with_v2_controllers("hugetlb");
        assert_eq!(
            refusal(&hybrid, r#"{"unified":{"memory.max":"100"}}"#),
            "linux.resources.unified[\"memory.max\"]: invalid configuration: the cgroup v2 hierarchy has no \"memory\" controller"
        );
        let hugetlb = r#"{"hugepageLimits":[{"pageSize":"2MB","limit":2097152}]}"#;
        assert_eq!(
            lines(&hybrid, hugetlb),
            [
                "hugetlb.2MB.max = 2097152",
                "hugetlb.2MB.rsvd.max = 2097152"
            ]
        );
    }

    #[test]
    fn unified_takes_file_names_of_limits_only() {
        for (key, cause) in [
            ("../memory.max", "is not a plain file name"),
            ("a/b.c", "is not a plain file name"),
            ("memory", "is not a file of a controller"),
            ("memory.", "is not a file of a controller"),
            (".max", "is not a file of a controller"),
            ("cgroup.procs", "is not a limit"),
            ("cgroup.subtree_control", "is not a limit"),
        ] {
            let resources = format!(
                "{{\"unified\":{{{}:\"1\"}}}}",
                serde_json::to_string(key).unwrap()
            );
            assert!(refusal(&v2_layout(), &resources).ends_with(cause), "{key}");
        }
    }

    #[test]
    fn unified_wins_and_is_written_line_by_line() {
        assert_eq!(
            lines(
                &v2_layout(),
                r#"{"memory":{"limit":4096},"unified":{"memory.max":"8192","io.max":"8:0 rbps=1\n8:16 rbps=2"}}"#
            ),
            [
                "io.max = 8:0 rbps=1",
                "io.max = 8:16 rbps=2",
                "memory.max = 8192"
            ]
        );
    }

    #[test]
    fn unified_without_a_value_is_refused() {
        assert_eq!(
            refusal(&v2_layout(), r#"{"unified":{"memory.max":"\n"}}"#),
            "linux.resources.unified[\"memory.max\"]: has no value"
        );
    }

    #[test]
    fn no_resources_write_nothing() {
        assert!(lines(&v1_layout(), "{}").is_empty());
        assert!(lines(&v2_layout(), r#"{"cpu":{},"memory":{},"pids":{}}"#).is_empty());
    }

    #[test]
    fn no_limit_needs_no_controller() {
        let bare = Layout::parse("", "");
        assert!(lines(&bare, r#"{"pids":{"limit":-1}}"#).is_empty());
        assert_eq!(
            refusal(&bare, r#"{"pids":{"limit":5}}"#),
            "linux.resources.pids.limit: this host has no \"pids\" cgroup controller"
        );
    }
}
