//! The order that tightening must keep: is a config at most as permissive as another?
//! Written over all fields by destructuring, so that a new field of the config does not compile until it has a place here.
//! What a config has no place for, Landlock rules, is compared of two profiles.

use std::collections::BTreeMap;
use std::ffi::CStr;

use super::hardening::{MEMFD_NOEXEC, is_confining};
use super::limits::OOM_GROUP;
use super::mounts::{data, size};
use super::{Hierarchy, Landlock, OnOldKernel};
use crate::error::quote;
use crate::names::mount::{MountOptions, parse};
use crate::spec::{
    Capabilities, Config, Cpu, DeviceRule, Linux, Memory, Mount, Namespace, Pids, Process,
    Resources, Rlimit, Root, User,
};
use crate::sys::landlock::{NEWEST, REFER};

type Checked = Result<(), String>;

/// Whether `a` is at most as permissive as `b`; fields that no profile touches must be equal.
///
/// # Errors
/// The first field in which `a` permits more, or something else.
pub fn at_most(a: &Config, b: &Config) -> Checked {
    let Config {
        oci_version,
        process,
        root,
        hostname,
        domainname,
        mounts,
        hooks,
        annotations,
        linux,
    } = a;
    same("ociVersion", oci_version, &b.oci_version)?;
    same("hostname", hostname, &b.hostname)?;
    same("domainname", domainname, &b.domainname)?;
    same("hooks", hooks, &b.hooks)?;
    same("annotations", annotations, &b.annotations)?;
    both(
        "process",
        process.as_ref(),
        b.process.as_ref(),
        at_most_process,
    )?;
    both("root", root.as_ref(), b.root.as_ref(), at_most_root)?;
    at_most_mounts(mounts, &b.mounts)?;
    let none = Linux::default();
    at_most_linux(
        linux.as_ref().unwrap_or(&none),
        b.linux.as_ref().unwrap_or(&none),
    )
}

/// Whether the Landlock rules of one profile are at most as permissive as those of another; an absent section is the same
/// as an empty one.
///
/// # Errors
/// What the first permits more.
pub fn landlock_at_most(a: &Landlock, b: &Landlock) -> Checked {
    let (new, old) = (a.ruleset(NEWEST), b.ruleset(NEWEST));
    let gives_in = |rules: &Landlock| rules.on_old_kernel == OnOldKernel::BestEffort;
    if b.minimum_abi() > 0 && gives_in(a) && !gives_in(b) {
        return Err("landlock.on-old-kernel: was refuse".into());
    }
    // Every ruleset about files refuses REFER.
    if old.files & !REFER & !new.files != 0 {
        return Err("landlock: a restriction of files is gone".into());
    }
    for Hierarchy { path, rights } in &new.trees {
        let above = old.trees.iter().filter(|tree| is_below(path, &tree.path));
        let allowed = above.fold(0, |all, tree| all | tree.rights);
        if rights & old.files & !allowed != 0 {
            return Err(format!(
                "landlock: allows more in {}",
                quote(path.to_bytes())
            ));
        }
    }
    if old.ports & !new.ports != 0 {
        return Err("landlock: a restriction of ports is gone".into());
    }
    for (port, rights) in &new.allowed_ports {
        let same = old.allowed_ports.iter().find(|(other, _)| other == port);
        if rights & old.ports & !same.map_or(0, |(_, rights)| *rights) != 0 {
            return Err(format!("landlock: allows more with port {port}"));
        }
    }
    if old.scopes & !new.scopes != 0 {
        return Err("landlock.scope: has less".into());
    }
    Ok(())
}

fn is_below(path: &CStr, tree: &CStr) -> bool {
    let rest = path.to_bytes().strip_prefix(tree.to_bytes());
    tree == c"/" || rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
}

fn same<T: PartialEq>(field: &str, a: &T, b: &T) -> Checked {
    if a == b {
        Ok(())
    } else {
        Err(format!("{field}: differs"))
    }
}

fn both<T>(
    field: &str,
    a: Option<&T>,
    b: Option<&T>,
    order: impl Fn(&T, &T) -> Checked,
) -> Checked {
    match (a, b) {
        (Some(a), Some(b)) => order(a, b),
        (None, None) => Ok(()),
        _ => Err(format!("{field}: only one has it")),
    }
}

fn subset<T: PartialEq>(field: &str, a: &[T], b: &[T]) -> Checked {
    if a.iter().all(|item| b.contains(item)) {
        Ok(())
    } else {
        Err(format!("{field}: has more"))
    }
}

fn at_most_process(a: &Process, b: &Process) -> Checked {
    let Process {
        terminal,
        console_size,
        user,
        args,
        env,
        cwd,
        capabilities,
        rlimits,
        no_new_privileges,
        apparmor_profile,
        oom_score_adj,
        scheduler,
        selinux_label,
        io_priority,
        exec_cpu_affinity,
    } = a;
    same("process.terminal", terminal, &b.terminal)?;
    same("process.consoleSize", console_size, &b.console_size)?;
    same("process.args", args, &b.args)?;
    subset("process.env", env, &b.env)?;
    same("process.cwd", cwd, &b.cwd)?;
    // A name where there was none confines more.
    if is_confining(b.apparmor_profile.as_deref()) || !is_confining(apparmor_profile.as_deref()) {
        same(
            "process.apparmorProfile",
            apparmor_profile,
            &b.apparmor_profile,
        )?;
    }
    same("process.oomScoreAdj", oom_score_adj, &b.oom_score_adj)?;
    same("process.scheduler", scheduler, &b.scheduler)?;
    same("process.selinuxLabel", selinux_label, &b.selinux_label)?;
    same("process.ioPriority", io_priority, &b.io_priority)?;
    same(
        "process.execCPUAffinity",
        exec_cpu_affinity,
        &b.exec_cpu_affinity,
    )?;
    at_most_user(user, &b.user)?;
    if b.no_new_privileges && !no_new_privileges {
        return Err("process.noNewPrivileges: was true".into());
    }
    at_most_rlimits(rlimits, &b.rlimits)?;
    both(
        "process.capabilities",
        capabilities.as_ref(),
        b.capabilities.as_ref(),
        at_most_capabilities,
    )
}

fn at_most_user(a: &User, b: &User) -> Checked {
    let User {
        uid,
        gid,
        umask,
        additional_gids,
        username,
    } = a;
    same("process.user.uid", uid, &b.uid)?;
    same("process.user.gid", gid, &b.gid)?;
    same("process.user.umask", umask, &b.umask)?;
    same("process.user.username", username, &b.username)?;
    subset(
        "process.user.additionalGids",
        additional_gids,
        &b.additional_gids,
    )
}

fn at_most_capabilities(a: &Capabilities, b: &Capabilities) -> Checked {
    let Capabilities {
        bounding,
        effective,
        inheritable,
        permitted,
        ambient,
    } = a;
    subset("process.capabilities.bounding", bounding, &b.bounding)?;
    subset("process.capabilities.effective", effective, &b.effective)?;
    subset(
        "process.capabilities.inheritable",
        inheritable,
        &b.inheritable,
    )?;
    subset("process.capabilities.permitted", permitted, &b.permitted)?;
    subset("process.capabilities.ambient", ambient, &b.ambient)
}

/// A limit that `b` lacks is the runtime's own, which only lower ones are set over.
fn at_most_rlimits(a: &[Rlimit], b: &[Rlimit]) -> Checked {
    for old in b {
        let new = a.iter().find(|limit| limit.kind == old.kind);
        if !new.is_some_and(|new| new.hard <= old.hard && new.soft <= old.soft) {
            return Err(format!("process.rlimits: {} is higher or gone", old.kind));
        }
    }
    Ok(())
}

fn at_most_root(a: &Root, b: &Root) -> Checked {
    let Root { path, readonly } = a;
    same("root.path", path, &b.path)?;
    if b.readonly && !readonly {
        Err("root.readonly: was true".into())
    } else {
        Ok(())
    }
}

/// The same mounts in the same order, some perhaps left out, each with the same restrictions or more.
fn at_most_mounts(a: &[Mount], b: &[Mount]) -> Checked {
    let mut rest = b.iter();
    for (index, new) in a.iter().enumerate() {
        let mut failed = "is new".to_owned();
        // One that was left out may be at the same place.
        let is_found = rest.by_ref().any(|old| {
            is_same_mount(new, old)
                && at_most_options(&new.options, &old.options)
                    .map_err(|cause| failed = format!("options: {cause}"))
                    .is_ok()
        });
        if !is_found {
            return Err(format!("mounts[{index}]: {failed}"));
        }
    }
    Ok(())
}

/// Its options aside.
fn is_same_mount(new: &Mount, old: &Mount) -> bool {
    let Mount {
        destination,
        kind,
        source,
        options: _,
        uid_mappings,
        gid_mappings,
    } = new;
    (destination, kind, source) == (&old.destination, &old.kind, &old.source)
        && (uid_mappings, gid_mappings) == (&old.uid_mappings, &old.gid_mappings)
}

/// Options may only be appended, and what is appended must not clear a restriction.
fn at_most_options(a: &[String], b: &[String]) -> Checked {
    if !a.starts_with(b) {
        return Err("something other than appended to".into());
    }
    let (new, old) = (parse(a), parse(b));
    let restrictions = libc::MOUNT_ATTR_RDONLY
        | libc::MOUNT_ATTR_NOSUID
        | libc::MOUNT_ATTR_NODEV
        | libc::MOUNT_ATTR_NOEXEC
        | libc::MOUNT_ATTR_NOSYMFOLLOW;
    let lost = (old.set & !new.set | old.tree_set & !new.tree_set) & restrictions;
    let cleared = (new.clear & !old.clear | new.tree_clear & !old.tree_clear) & restrictions;
    if lost | cleared != 0 {
        return Err("a restriction is gone".into());
    }
    same("bind", &new.bind, &old.bind)?;
    same("idmap", &new.id_map, &old.id_map)?;
    for key in ["size", "nr_inodes"] {
        let (new, old) = (data(&new, key), data(&old, key));
        let number =
            |text: &Option<String>| text.as_deref().and_then(size).filter(|number| *number > 0);
        if new != old && number(&new).is_none_or(|new| number(&old).is_some_and(|old| new > old)) {
            return Err(format!("{key} is higher"));
        }
    }
    let strictness = |options: &MountOptions| match options.propagation.last() {
        None | Some((libc::MS_SHARED, _)) => 0,
        Some((libc::MS_SLAVE, _)) => 1,
        Some(_) => 2,
    };
    if strictness(&new) < strictness(&old) {
        Err("propagation is wider".into())
    } else {
        Ok(())
    }
}

fn at_most_linux(a: &Linux, b: &Linux) -> Checked {
    let Linux {
        uid_mappings,
        gid_mappings,
        sysctl,
        resources,
        cgroups_path,
        namespaces,
        devices,
        net_devices,
        seccomp,
        rootfs_propagation,
        masked_paths,
        readonly_paths,
        mount_label,
        intel_rdt,
        memory_policy,
        personality,
        time_offsets,
    } = a;
    same("linux.uidMappings", uid_mappings, &b.uid_mappings)?;
    same("linux.gidMappings", gid_mappings, &b.gid_mappings)?;
    let without = |sysctl: &BTreeMap<String, String>| {
        let mut sysctl = sysctl.clone();
        sysctl.remove(MEMFD_NOEXEC);
        sysctl
    };
    same("linux.sysctl", &without(sysctl), &without(&b.sysctl))?;
    // The higher the stricter, by one digit.
    let memfd = |sysctl: &BTreeMap<String, String>| sysctl.get(MEMFD_NOEXEC).cloned();
    if memfd(sysctl) < memfd(&b.sysctl) {
        return Err(format!("linux.sysctl[\"{MEMFD_NOEXEC}\"]: is lower"));
    }
    same("linux.cgroupsPath", cgroups_path, &b.cgroups_path)?;
    same("linux.netDevices", net_devices, &b.net_devices)?;
    // The profile's filter is stacked on this one, which stays.
    same("linux.seccomp", seccomp, &b.seccomp)?;
    same(
        "linux.rootfsPropagation",
        rootfs_propagation,
        &b.rootfs_propagation,
    )?;
    same("linux.mountLabel", mount_label, &b.mount_label)?;
    same("linux.intelRdt", intel_rdt, &b.intel_rdt)?;
    same("linux.memoryPolicy", memory_policy, &b.memory_policy)?;
    same("linux.personality", personality, &b.personality)?;
    same("linux.timeOffsets", time_offsets, &b.time_offsets)?;
    subset("linux.devices", devices, &b.devices)?;
    subset("linux.maskedPaths", &b.masked_paths, masked_paths)?;
    subset("linux.readonlyPaths", &b.readonly_paths, readonly_paths)?;
    at_most_namespaces(namespaces, &b.namespaces)?;
    let none = Resources::default();
    at_most_resources(
        resources.as_ref().unwrap_or(&none),
        b.resources.as_ref().unwrap_or(&none),
    )
}

/// The same ones, and new ones after them; one that was joined may be new instead.
fn at_most_namespaces(a: &[Namespace], b: &[Namespace]) -> Checked {
    let is_kept = |(new, old): (&Namespace, &Namespace)| {
        new.kind == old.kind && (new.path == old.path || new.path.is_none())
    };
    if a.len() < b.len()
        || !a.iter().zip(b).all(is_kept)
        || a[b.len()..].iter().any(|new| new.path.is_some())
    {
        return Err("linux.namespaces: not the same ones and new ones".into());
    }
    Ok(())
}

fn at_most_resources(a: &Resources, b: &Resources) -> Checked {
    let Resources {
        devices,
        memory,
        cpu,
        pids,
        block_io,
        hugepage_limits,
        network,
        rdma,
        unified,
    } = a;
    same("linux.resources.blockIO", block_io, &b.block_io)?;
    same(
        "linux.resources.hugepageLimits",
        hugepage_limits,
        &b.hugepage_limits,
    )?;
    same("linux.resources.network", network, &b.network)?;
    same("linux.resources.rdma", rdma, &b.rdma)?;
    // A value of no limit may go; the bounds of the other fields then apply, and that of swap may stand in its place. Of the
    // whole group is killed no less.
    let all = "1";
    let is_kept = |(key, value): (&String, &String)| match unified.get(key) {
        Some(new) if key == "memory.swap.max" => new == value || value.starts_with("max"),
        Some(new) => new == value || key == OOM_GROUP && new == all,
        None => value.starts_with("max"),
    };
    let is_known = |(key, value): (&String, &String)| {
        // Swap is limited there where the memory is.
        b.unified.contains_key(key) || key == OOM_GROUP && value == all || key == "memory.swap.max"
    };
    if !b.unified.iter().all(is_kept) || !unified.iter().all(is_known) {
        return Err("linux.resources.unified: differs".into());
    }
    at_most_devices(devices, &b.devices)?;
    let none = Memory::default();
    at_most_memory(
        memory.as_ref().unwrap_or(&none),
        b.memory.as_ref().unwrap_or(&none),
    )?;
    // 0 is treated as 1.
    let limit = |pids: &Option<Pids>| {
        pids.as_ref()
            .and_then(|pids| pids.limit)
            .map(|limit| if limit == 0 { 1 } else { limit })
    };
    lower("linux.resources.pids.limit", limit(pids), limit(&b.pids))?;
    let none = Cpu::default();
    at_most_cpu(
        cpu.as_ref().unwrap_or(&none),
        b.cpu.as_ref().unwrap_or(&none),
    )
}

/// A default deny comes first, so taking away a rule that allows is tightening; those that deny must stay.
fn at_most_devices(a: &[DeviceRule], b: &[DeviceRule]) -> Checked {
    let mut rest = a.iter().peekable();
    for rule in b {
        if rest.peek() == Some(&rule) {
            rest.next();
        } else if !rule.allow {
            return Err("linux.resources.devices: a denial is gone".into());
        }
    }
    if rest.next().is_some() {
        Err("linux.resources.devices: has a new rule".into())
    } else {
        Ok(())
    }
}

fn at_most_memory(a: &Memory, b: &Memory) -> Checked {
    let Memory {
        limit,
        reservation,
        swap,
        kernel,
        kernel_tcp,
        swappiness,
        disable_oom_killer,
        use_hierarchy,
        check_before_update,
    } = a;
    same(
        "linux.resources.memory.reservation",
        reservation,
        &b.reservation,
    )?;
    same("linux.resources.memory.kernel", kernel, &b.kernel)?;
    same(
        "linux.resources.memory.kernelTCP",
        kernel_tcp,
        &b.kernel_tcp,
    )?;
    same(
        "linux.resources.memory.swappiness",
        swappiness,
        &b.swappiness,
    )?;
    same(
        "linux.resources.memory.disableOOMKiller",
        disable_oom_killer,
        &b.disable_oom_killer,
    )?;
    same(
        "linux.resources.memory.useHierarchy",
        use_hierarchy,
        &b.use_hierarchy,
    )?;
    same(
        "linux.resources.memory.checkBeforeUpdate",
        check_before_update,
        &b.check_before_update,
    )?;
    lower("linux.resources.memory.limit", *limit, b.limit)?;
    lower("linux.resources.memory.swap", *swap, b.swap)
}

fn at_most_cpu(new: &Cpu, old: &Cpu) -> Checked {
    let without = |cpu: &Cpu| Cpu {
        quota: None,
        period: None,
        ..cpu.clone()
    };
    same("linux.resources.cpu", &without(new), &without(old))?;
    let share = |cpu: &Cpu| {
        let quota = cpu.quota.filter(|quota| *quota > 0)?;
        Some(quota as f64 / cpu.period.filter(|period| *period > 0).unwrap_or(100_000) as f64)
    };
    match (share(new), share(old)) {
        (Some(new), Some(old)) if new > old => Err("linux.resources.cpu.quota: is higher".into()),
        (None, Some(_)) => Err("linux.resources.cpu.quota: is gone".into()),
        _ => Ok(()),
    }
}

/// Limits of which none, and what is not above 0, is unlimited.
fn lower(field: &str, a: Option<i64>, b: Option<i64>) -> Checked {
    let limit = |limit: Option<i64>| limit.filter(|limit| *limit > 0);
    match (limit(a), limit(b)) {
        (Some(new), Some(old)) if new > old => Err(format!("{field}: is higher")),
        (None, Some(_)) => Err(format!("{field}: is gone")),
        _ => Ok(()),
    }
}
