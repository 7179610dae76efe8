//! Random profiles, as files: all sections of the format, alone or on top of a profile of the binary. Rules of system calls
//! are not here: `seccomp` has them against its own reading.

use proptest::prelude::*;
use proptest::sample::select;

use super::configs::some;
use crate::profile::{Profile, parse};

type Line = BoxedStrategy<Option<String>>;

fn line(key: &'static str, values: &[&'static str]) -> Line {
    let value = select(values.to_vec()).prop_map(move |value| format!("{key} = {value}\n"));
    proptest::option::weighted(0.4, value).boxed()
}

/// A list of some of the words.
fn list(key: &'static str, words: &'static [&'static str]) -> Line {
    let text = some(words).prop_map(move |words| format!("{key} = {words:?}\n"));
    proptest::option::weighted(0.4, text).boxed()
}

const TIGHTEN: &[&str] = &["\"tighten\"", "\"tighten\"", "\"tighten\"", "\"refuse\""];
const VERDICTS: &[&str] = &["\"allow\"", "\"warn\"", "\"refuse\""];
const BOOL: &[&str] = &["true", "false"];
const FLAGS: &[&str] = &["ro", "nosuid", "nodev", "noexec"];
const TREES: &[&str] = &["/", "/a", "/a/b"];

fn lines() -> Vec<Line> {
    [of_process(), of_mounts(), of_limits(), of_landlock()]
        .into_iter()
        .flatten()
        .collect()
}

fn of_process() -> Vec<Line> {
    vec![
        line("identity.non-root", VERDICTS),
        line("identity.minimum-uid", &["0", "1000"]),
        line(
            "identity.additional-groups",
            &["\"keep\"", "\"drop\"", "\"refuse\""],
        ),
        list("capabilities.allow", &["CAP_CHOWN", "CAP_KILL"]),
        line("process.no-new-privileges", BOOL),
        line("process.lock-securebits", BOOL),
        line("process.terminal", VERDICTS),
        line("process.on-conflict", TIGHTEN),
        list(
            "namespaces.require",
            &["pid", "network", "mount", "ipc", "uts", "cgroup"],
        ),
        line("namespaces.on-conflict", TIGHTEN),
        line("namespaces.net-devices", VERDICTS),
        line("root.readonly", BOOL),
        line("root.on-conflict", TIGHTEN),
    ]
}

fn of_mounts() -> Vec<Line> {
    vec![
        line(
            "mounts.propagation",
            &["\"private\"", "\"slave\"", "\"shared\""],
        ),
        list("mounts.drop", &["sysfs", "mqueue", "cgroup"]),
        line("mounts.on-conflict", TIGHTEN),
        list("mounts.bind.add", FLAGS),
        line("mounts.bind.readonly-recursive", BOOL),
        line("mounts.bind.device-nodes", BOOL),
        list("mounts.tmpfs.add", FLAGS),
        line(
            "mounts.tmpfs.size",
            &[
                "{ default = \"1MiB\" }",
                "{ default = \"1MiB\", maximum = \"2MiB\" }",
                "{ maximum = 5000 }",
            ],
        ),
        line(
            "mounts.tmpfs.inodes",
            &["{ default = 7 }", "{ maximum = 8 }"],
        ),
        list("mounts.kernel.add", FLAGS),
        list("mounts.kernel.readonly", &["proc", "sysfs"]),
        line("mounts.kernel.proc-invisible", BOOL),
        line("mounts.kernel.proc-only-pids", BOOL),
    ]
}

fn of_limits() -> Vec<Line> {
    vec![
        list(
            "paths.mask",
            &["/proc/kcore", "/proc/acpi", "/sys/firmware"],
        ),
        list("paths.readonly", &["/proc/sys", "/proc/bus"]),
        line("paths.mask-thermal-throttle", BOOL),
        line("devices.deny-all", BOOL),
        list("devices.allow", &["c 1:3 rwm", "c *:* m", "b 8:* r"]),
        list("devices.nodes", &["/dev/fuse", "/dev/null"]),
        line("devices.on-conflict", TIGHTEN),
        line(
            "limits.memory",
            &[
                "{ default = \"256MiB\" }",
                "{ default = \"host\" }",
                "{ maximum = \"350MiB\" }",
                "{ maximum = \"350MiB\", on-conflict = \"refuse\" }",
            ],
        ),
        line(
            "limits.swap",
            &[
                "{ default = 0 }",
                "{ maximum = 0 }",
                "{ default = 0, maximum = \"64MiB\" }",
            ],
        ),
        line(
            "limits.pids",
            &[
                "{ default = 64 }",
                "{ maximum = 64 }",
                "{ default = 8, maximum = 64 }",
            ],
        ),
        line(
            "limits.cpu-percent",
            &["{ default = 100 }", "{ maximum = 100 }", "{ maximum = 33 }"],
        ),
        line(
            "rlimits.RLIMIT_CORE",
            &["{ maximum = 0 }", "{ maximum = 1 }"],
        ),
        line(
            "rlimits.RLIMIT_NOFILE",
            &[
                "{ maximum = 256 }",
                "{ maximum = 100000 }",
                "{ maximum = 256, on-conflict = \"refuse\" }",
            ],
        ),
        line("rlimits.RLIMIT_DATA", &["{ maximum = 4096 }"]),
    ]
}

fn of_landlock() -> Vec<Line> {
    vec![
        line("limits.oom-group", BOOL),
        line("limits.time", &["30", "\"1m\""]),
        list("environment.allow", &["A", "L*", "B"]),
        line("environment.on-conflict", TIGHTEN),
        line("memory.deny-write-execute", BOOL),
        line("memory.memfd-noexec", BOOL),
        line("memory.on-old-kernel", &["\"refuse\"", "\"best-effort\""]),
        line("apparmor.profile", &["\"stockade\"", "\"other\""]),
        line("apparmor.when-missing", &["\"refuse\"", "\"ignore\""]),
        list("landlock.read", TREES),
        list("landlock.write", TREES),
        list("landlock.execute", TREES),
        list("landlock.ioctl", TREES),
        line("landlock.bind-tcp", &["[]", "[80]", "[80, 443]"]),
        line("landlock.connect-tcp", &["[]", "[80]"]),
        list("landlock.scope", &["signal", "abstract-unix-socket"]),
        line("landlock.on-old-kernel", &["\"refuse\"", "\"best-effort\""]),
    ]
}

/// A profile with its file. A third have nothing below them.
pub(super) fn profile() -> impl Strategy<Value = (String, Profile)> {
    let base = select(vec!["", "", "none", "baseline", "restricted", "paranoid"]);
    (base, lines()).prop_filter_map("a default above its maximum", |(base, lines)| {
        let head = match base {
            "" => "name = \"own\"\ndescription = \"\"\n".to_owned(),
            base => format!("name = \"own\"\nextends = \"{base}\"\n"),
        };
        let text = head + &lines.into_iter().flatten().collect::<String>();
        parse("own.toml", &text).ok().map(|profile| (text, profile))
    })
}
