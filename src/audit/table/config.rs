//! The checks of config.json.

use super::{Check, Look, Practice, Stage};
use crate::audit::config::{process, resources, root};
use crate::report::Severity::{High, Medium};

pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "CFG-004",
        title: "The program gains no privileges by execve",
        why: "A setuid file or one with capabilities gives whoever executes it more than the config does.",
        practice: Practice::LimitedPrivileges,
        severity: High,
        closest: &["5.26", "privilege-escalation-container"],
        fix: "Set process.noNewPrivileges to true.",
        stages: &[Stage::Config],
        look: Look::Config(process::no_new_privileges),
    },
    Check {
        id: "CFG-011",
        title: "The root filesystem is read-only",
        why: "What can be written can be replaced: a program that was taken over stays taken over, and tools can be brought along.",
        practice: Practice::LimitedPrivileges,
        severity: Medium,
        closest: &["5.13", "no-read-only-root-fs"],
        fix: "Set root.readonly to true, and mount a tmpfs or a volume where the program writes.",
        stages: &[Stage::Config],
        look: Look::Config(root::readonly),
    },
    Check {
        id: "CFG-017",
        title: "The number of processes is limited",
        why: "A program that forks without end stops the whole host, not only itself.",
        practice: Practice::ResourceLimits,
        severity: High,
        closest: &["5.29"],
        fix: "Set linux.resources.pids.limit, to about twice what the program is seen to use.",
        stages: &[Stage::Config],
        look: Look::Config(resources::pids),
    },
];
