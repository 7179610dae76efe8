//! Files by which the kernel can be made to act, and those that tell what is nobody's business: opened, and left alone.
//!
//! proc(5), sysfs(5) and cgroups(7) rule. Opening asks everybody who has a say, unlike access(2), which Landlock lets pass.

use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use super::{can_open, can_read, can_write, which};
use crate::probe::answer::Answer;
use crate::probe::scene::Scene;

pub(in crate::probe) const SETTINGS: &[&str] = &[
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/vm/panic_on_oom",
    "/proc/sys/kernel/modprobe",
    "/proc/sys/fs/binfmt_misc/register",
    "/sys/kernel/uevent_helper",
    "/sys/power/state",
];
pub(in crate::probe) const SYSRQ: &str = "/proc/sysrq-trigger";
pub(in crate::probe) const MEMORY: &[&str] = &["/proc/kcore", "/dev/mem", "/dev/kmem", "/dev/port"];
const DEVICES: &[&str] = &[
    "/dev/kmsg",
    "/dev/kvm",
    "/dev/fuse",
    "/dev/vhost-net",
    "/dev/net/tun",
];
pub(in crate::probe) const KERNEL: &[&str] = &[
    "/proc/kallsyms",
    "/proc/config.gz",
    "/proc/cmdline",
    "/proc/modules",
    "/sys/kernel/vmcoreinfo",
    "/sys/kernel/debug",
    "/sys/kernel/notes",
];
pub(in crate::probe) const ACTIVITY: &[&str] = &[
    "/proc/keys",
    "/proc/timer_list",
    "/proc/interrupts",
    "/proc/slabinfo",
    "/proc/sched_debug",
    "/sys/devices/system/cpu/cpu0/thermal_throttle",
];

pub(in crate::probe) fn settings(_: &Scene) -> Answer {
    Answer::of_found(which(SETTINGS, can_write), "none can be opened for writing")
}

pub(in crate::probe) fn sysrq(_: &Scene) -> Answer {
    Answer::of_found(
        which(&[SYSRQ], can_write),
        "it cannot be opened for writing",
    )
}

pub(in crate::probe) fn cgroups(scene: &Scene) -> Answer {
    let mounts = scene.mounts.iter().flatten();
    let groups = mounts.filter(|mount| mount.kind.starts_with("cgroup"));
    let names = ["release_agent", "cgroup.procs", "devices.allow"];
    let files = groups.flat_map(|mount| names.map(|name| format!("{}/{name}", mount.path)));
    let found = files.filter(|file| can_write(Path::new(file))).collect();
    Answer::of_found(found, "none can be opened for writing")
}

pub(in crate::probe) fn devices(_: &Scene) -> Answer {
    let mut found = which(MEMORY, can_open);
    found.extend(which(DEVICES, can_open));
    found.extend(
        block_devices()
            .into_iter()
            .filter(|path| can_open(Path::new(path))),
    );
    Answer::of_found(found, "none can be opened")
}

fn block_devices() -> Vec<String> {
    let entries = std::fs::read_dir("/dev").into_iter().flatten().flatten();
    let blocks = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_block_device()));
    let paths = blocks.map(|entry| entry.path().to_string_lossy().into_owned());
    paths.collect()
}

pub(in crate::probe) fn kernel(_: &Scene) -> Answer {
    Answer::of_found(which(KERNEL, can_read), "none has anything to read")
}

pub(in crate::probe) fn activity(_: &Scene) -> Answer {
    Answer::of_found(which(ACTIVITY, can_read), "none has anything to read")
}
