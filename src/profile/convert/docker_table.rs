//! Every flag of `docker run` and `docker create` (version 28), and what becomes of it in a profile.
//! How they are read is in `docker_read`.

use crate::profile::compare::Direction::{Different, Looser, Stricter};

use super::Fate;
use super::docker_flags::Seen;
use super::docker_read::*;

/// Whether a flag is followed by a value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    Nothing,
    Value,
}

pub(super) struct Flag(
    pub(super) &'static str,
    pub(super) Option<char>,
    pub(super) Takes,
    pub(super) Fate<Seen>,
);

use Fate::{Apart, Lost, Reads};
use Takes::{Nothing, Value};

const NO_WEIGHTS: &str = "a profile does not weigh containers against each other";
const NO_RATES: &str = "a profile has no rates of devices";

/// Every flag.
pub(super) const TABLE: &[Flag] = &[
    Flag("add-host", None, Value, Apart),
    Flag("annotation", None, Value, Apart),
    Flag("attach", Some('a'), Value, Apart),
    Flag("blkio-weight", None, Value, Lost(Looser, NO_WEIGHTS)),
    Flag("blkio-weight-device", None, Value, Lost(Looser, NO_WEIGHTS)),
    Flag("cap-add", None, Value, Reads(cap_add)),
    Flag("cap-drop", None, Value, Reads(cap_drop)),
    Flag(
        "cgroup-parent",
        None,
        Value,
        Lost(Looser, "a profile does not choose the cgroup"),
    ),
    Flag("cgroupns", None, Value, Reads(cgroup_namespace)),
    Flag("cidfile", None, Value, Apart),
    Flag("cpu-count", None, Value, Apart),
    Flag("cpu-percent", None, Value, Apart),
    Flag("cpu-period", None, Value, Reads(cpu_period)),
    Flag("cpu-quota", None, Value, Reads(cpu_quota)),
    Flag(
        "cpu-rt-period",
        None,
        Value,
        Lost(Different, "a profile does not limit real time"),
    ),
    Flag(
        "cpu-rt-runtime",
        None,
        Value,
        Lost(Different, "a profile does not limit real time"),
    ),
    Flag("cpu-shares", Some('c'), Value, Lost(Looser, NO_WEIGHTS)),
    Flag("cpus", None, Value, Reads(cpus)),
    Flag(
        "cpuset-cpus",
        None,
        Value,
        Lost(Looser, "a profile does not choose CPUs"),
    ),
    Flag(
        "cpuset-mems",
        None,
        Value,
        Lost(Looser, "a profile does not choose nodes of memory"),
    ),
    Flag("detach", Some('d'), Nothing, Apart),
    Flag("detach-keys", None, Value, Apart),
    Flag("device", None, Value, Reads(device)),
    Flag("device-cgroup-rule", None, Value, Reads(device_rule)),
    Flag("device-read-bps", None, Value, Lost(Looser, NO_RATES)),
    Flag("device-read-iops", None, Value, Lost(Looser, NO_RATES)),
    Flag("device-write-bps", None, Value, Lost(Looser, NO_RATES)),
    Flag("device-write-iops", None, Value, Lost(Looser, NO_RATES)),
    Flag("disable-content-trust", None, Nothing, Apart),
    Flag("dns", None, Value, Apart),
    Flag("dns-option", None, Value, Apart),
    Flag("dns-search", None, Value, Apart),
    Flag("domainname", None, Value, Apart),
    Flag("entrypoint", None, Value, Apart),
    Flag("env", Some('e'), Value, Apart),
    Flag("env-file", None, Value, Apart),
    Flag("expose", None, Value, Apart),
    Flag(
        "gpus",
        None,
        Value,
        Lost(
            Stricter,
            "devices of a GPU are not known here, and not allowed",
        ),
    ),
    Flag("group-add", None, Value, Apart),
    Flag("health-cmd", None, Value, Apart),
    Flag("health-interval", None, Value, Apart),
    Flag("health-retries", None, Value, Apart),
    Flag("health-start-interval", None, Value, Apart),
    Flag("health-start-period", None, Value, Apart),
    Flag("health-timeout", None, Value, Apart),
    Flag("hostname", Some('h'), Value, Apart),
    Flag("init", None, Nothing, Apart),
    Flag("interactive", Some('i'), Nothing, Apart),
    Flag("io-maxbandwidth", None, Value, Apart),
    Flag("io-maxiops", None, Value, Apart),
    Flag("ip", None, Value, Apart),
    Flag("ip6", None, Value, Apart),
    Flag("ipc", None, Value, Reads(ipc_namespace)),
    Flag("isolation", None, Value, Apart),
    Flag(
        "kernel-memory",
        None,
        Value,
        Lost(Looser, "a profile counts memory of the kernel as memory"),
    ),
    Flag("label", Some('l'), Value, Apart),
    Flag("label-file", None, Value, Apart),
    Flag("link", None, Value, Apart),
    Flag("link-local-ip", None, Value, Apart),
    Flag("log-driver", None, Value, Apart),
    Flag("log-opt", None, Value, Apart),
    Flag("mac-address", None, Value, Apart),
    Flag("memory", Some('m'), Value, Reads(memory)),
    Flag(
        "memory-reservation",
        None,
        Value,
        Lost(Looser, "a profile has no soft limit of memory"),
    ),
    Flag("memory-swap", None, Value, Reads(memory_swap)),
    Flag(
        "memory-swappiness",
        None,
        Value,
        Lost(Different, "a profile does not choose when to swap"),
    ),
    Flag("mount", None, Value, Reads(mount)),
    Flag("name", None, Value, Apart),
    Flag("net", None, Value, Reads(network)),
    Flag("net-alias", None, Value, Apart),
    Flag("network", None, Value, Reads(network)),
    Flag("network-alias", None, Value, Apart),
    Flag("no-healthcheck", None, Nothing, Apart),
    Flag("oom-kill-disable", None, Nothing, Apart),
    Flag(
        "oom-score-adj",
        None,
        Value,
        Lost(
            Different,
            "a profile does not choose whom the kernel kills first",
        ),
    ),
    Flag("pid", None, Value, Reads(pid_namespace)),
    Flag("pids-limit", None, Value, Reads(pids_limit)),
    Flag("platform", None, Value, Apart),
    Flag("privileged", None, Nothing, Reads(privileged)),
    Flag("publish", Some('p'), Value, Apart),
    Flag("publish-all", Some('P'), Nothing, Apart),
    Flag("pull", None, Value, Apart),
    Flag("quiet", Some('q'), Nothing, Apart),
    Flag("read-only", None, Nothing, Reads(read_only)),
    Flag("restart", None, Value, Apart),
    Flag("rm", None, Nothing, Apart),
    Flag("runtime", None, Value, Apart),
    Flag("security-opt", None, Value, Reads(security_opt)),
    Flag(
        "shm-size",
        None,
        Value,
        Lost(Looser, "a profile has one size for every tmpfs"),
    ),
    Flag("sig-proxy", None, Nothing, Apart),
    Flag("stop-signal", None, Value, Apart),
    Flag("stop-timeout", None, Value, Apart),
    Flag(
        "storage-opt",
        None,
        Value,
        Lost(Looser, "a profile does not limit the root filesystem"),
    ),
    Flag(
        "sysctl",
        None,
        Value,
        Lost(Different, "a profile sets no sysctls"),
    ),
    Flag("tmpfs", None, Value, Reads(tmpfs)),
    Flag("tty", Some('t'), Nothing, Apart),
    Flag("ulimit", None, Value, Reads(ulimit)),
    Flag("use-api-socket", None, Nothing, Apart),
    Flag("user", Some('u'), Value, Reads(user)),
    Flag("userns", None, Value, Apart),
    Flag("uts", None, Value, Reads(uts_namespace)),
    Flag("volume", Some('v'), Value, Reads(volume)),
    Flag("volume-driver", None, Value, Apart),
    Flag("volumes-from", None, Value, Apart),
    Flag("workdir", Some('w'), Value, Apart),
];
