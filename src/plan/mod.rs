//! The plan: everything that will be done for one container, as data, in order.
//! `create` computes it from a config, `init` carries the child's part out, `stockade plan` prints it.

mod call;
mod cgroup;
mod cgroup_mounts;
mod create;
mod debug;
mod devices;
mod environment;
mod exec;
mod explain;
mod mounts;
mod namespaces;
mod process;
mod shared_mounts;
mod show;
mod step;

pub use call::{Call, Difference, Failure};
pub use create::{ChangeOfRoot, Cpus, Inputs, Keyring, Options, create};
pub use environment::{has_home, home_of};
pub use exec::{Joining, RootOf, exec};
pub use explain::explain;
pub use show::Line;
pub use step::{
    Attributes, Console, Expectation, Filesystem, HookCall, HookConfinement, IdMapText, Join, Kind,
    MapWriter, Mount, Node, Source, Step, Terminal,
};

use std::ffi::CString;

use libc::sock_filter;

use crate::cgroup::systemd::Property;
use crate::cgroup::{Location, Write};
use crate::error::quote;
use crate::profile::Ruleset;
use crate::spec::DeviceRule;
use crate::sys::program::Vector;

/// The whole plan of one container. Steps are numbered over `joins`, `setup`, `enter` and `start`, in this order.
#[derive(Debug)]
pub struct Plan {
    /// Where in the cgroup hierarchies the container lives, and what is written there.
    pub cgroup: Option<Cgroup>,
    /// `CLONE_NEW*` of the namespaces that the clone makes.
    pub new_namespaces: u64,
    /// The id maps of a new user namespace.
    pub id_maps: Option<IdMapText>,
    /// oom_score_adj, written by the parent before the child does anything.
    pub oom_score: Option<i32>,
    /// Resource, soft, hard: limits that only the parent may raise, before the child sets what the config says.
    pub raised_limits: Vec<(u32, u64, u64)>,
    /// Whether the child waits before its first step until systemd has moved it into its cgroup.
    pub is_moved: bool,
    /// Network devices of the host that the parent moves into the container's network namespace.
    pub net_devices: Vec<NetDevice>,
    /// Whether a process in between joins namespaces first, since only the children of a process enter a pid or
    /// time namespace (setns(2)), and since a new user namespace takes away the right to join the others.
    pub joins_first: bool,
    /// Namespaces joined by path: by the process in between, or else first thing in `setup`.
    pub joins: Vec<Step>,
    /// Before the createRuntime hooks: cgroup and mounts.
    pub setup: Vec<Step>,
    /// After the createRuntime hooks: the point of no return into the root, ids and capabilities.
    pub enter: Vec<Step>,
    /// After `start`: what comes right before the program, and the program.
    pub start: Vec<Step>,
    /// The seccomp filters, in the order of installation.
    pub filters: Vec<Filter>,
    /// Where the runtime is asked about system calls, the filters whose answers it gives; none of them is installed.
    pub watched: Vec<Filter>,
    /// The profile's Landlock rules.
    pub landlock: Option<Ruleset>,
    /// Paths to try for the program, in the order of `PATH`.
    pub candidates: Vec<CString>,
    /// The descriptor of the program, where that is an open file and not one of the root filesystem.
    pub program: Option<i32>,
    /// Descriptors of what becomes its standard streams, where those are not the caller's.
    pub streams: Option<[i32; 3]>,
    /// Arguments of the program.
    pub arguments: Vector,
    /// Environment of the program.
    pub environment: Vector,
    /// Bind sources that the parent opens, since inside the user namespace they may be out of reach, since mapping ids
    /// needs the parent's rights, or since only the parent's clone is a peer of the host's mount.
    pub trees: Vec<Tree>,
    /// How many descriptors the child keeps from one step to a later one.
    pub kept: usize,
    /// What was asked for and is left out, one line each.
    pub warnings: Vec<String>,
}

/// The cgroup part of a plan.
#[derive(Debug)]
pub struct Cgroup {
    /// As the config names it.
    pub name: String,
    /// Where, below each hierarchy.
    pub location: Location,
    /// What systemd is asked for, where it makes the cgroup.
    pub properties: Vec<Property>,
    /// Limits.
    pub writes: Vec<Write>,
    /// Device rules, applied after a default deny.
    pub devices: Vec<DeviceRule>,
    /// The user on the host that may divide the container's resources further (config-linux.md, "Cgroup ownership").
    pub owner: Option<u32>,
}

/// A network device to move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetDevice {
    /// In the runtime's network namespace.
    pub name: String,
    /// In the container's; a `%d` at its end stands for the first number that is free there.
    pub new_name: String,
}

impl NetDevice {
    /// The field of the config that asks for it.
    pub fn field(&self) -> String {
        format!("linux.netDevices[{}]", quote(&self.name))
    }
}

/// A compiled seccomp filter.
#[derive(Debug)]
pub struct Filter {
    /// Whose filter it is, for the plan's text.
    pub origin: &'static str,
    /// The program.
    pub program: Vec<sock_filter>,
    /// `SECCOMP_FILTER_FLAG_*`.
    pub flags: u32,
}

/// A mount tree that the parent prepares and the child attaches.
#[derive(Debug)]
pub struct Tree {
    /// Path in the runtime namespace.
    pub path: CString,
    /// Whether submounts come along.
    pub recursive: bool,
    /// Propagation type of all of it: `MS_SLAVE` or `MS_PRIVATE`, as of the rest of the mount namespace, or `MS_SHARED`.
    pub propagation: u64,
    /// Id maps for an idmapped mount, and whether they reach submounts.
    pub id_maps: Option<(MountIds, bool)>,
}

/// Whose ids the files of a mount get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountIds {
    /// By these maps.
    Mapped(IdMapText),
    /// By those of the user namespace that the container joins.
    Joined,
}

impl Plan {
    /// All steps of the child with their numbers' order.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.joins
            .iter()
            .chain(&self.setup)
            .chain(&self.enter)
            .chain(&self.start)
    }

    /// Whether the process gets a terminal, whose other end goes to the parent.
    pub fn has_terminal(&self) -> bool {
        self.steps().any(|step| matches!(step, Step::Terminal(_)))
    }

    /// The program as the config names it.
    pub fn program_name(&self) -> String {
        self.arguments
            .strings()
            .first()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    }

    /// Number of the first step of `setup`, `enter` and `start`.
    pub fn offsets(&self) -> [usize; 3] {
        let setup = self.joins.len();
        let enter = setup + self.setup.len();
        [setup, enter, enter + self.enter.len()]
    }
}
