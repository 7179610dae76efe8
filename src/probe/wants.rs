//! The promises that do not follow from the filters, one function for each kind of probe.
//!
//! What a config says is asked of `promise`.

use super::look::{paths, surroundings};
use super::promise::{Asked, Want};
use crate::spec::NamespaceType;

fn open_if(may_be: bool) -> Want {
    if may_be { Want::Open } else { Want::Closed }
}

fn only(list: Vec<String>) -> Want {
    if list.is_empty() {
        Want::Closed
    } else {
        Want::Only(list)
    }
}

fn those(paths: &[&str], passes: impl Fn(&str) -> bool) -> Want {
    let paths = paths.iter().filter(|path| passes(path));
    only(paths.map(|&path| path.to_owned()).collect())
}

pub(super) fn closed(_: &Asked<'_>) -> Want {
    Want::Closed
}

pub(super) fn root(asked: &Asked<'_>) -> Want {
    open_if(asked.is_root())
}

pub(super) fn no_new_privs(asked: &Asked<'_>) -> Want {
    open_if(!asked.has_no_new_privs())
}

pub(super) fn capabilities(asked: &Asked<'_>) -> Want {
    only(asked.capabilities())
}

pub(super) fn filter(asked: &Asked<'_>) -> Want {
    open_if(!asked.has_filter())
}

pub(super) fn memory_file(asked: &Asked<'_>) -> Want {
    let calls = [
        crate::sys::attempt::MEMFD_CREATE,
        crate::sys::attempt::EXECVEAT,
    ];
    let is_filtered = calls.iter().any(|call| asked.filters_out(call));
    open_if(!is_filtered && !asked.has_sysctl("vm.memfd_noexec", "2"))
}

pub(super) fn written_memory(asked: &Asked<'_>) -> Want {
    open_if(!asked.denies_write_execute())
}

pub(super) fn tmp(asked: &Asked<'_>) -> Want {
    open_if(!asked.is_noexec("/tmp"))
}

pub(super) fn shm(asked: &Asked<'_>) -> Want {
    open_if(!asked.is_noexec("/dev/shm"))
}

pub(super) fn root_filesystem(asked: &Asked<'_>) -> Want {
    open_if(!asked.is_readonly_root())
}

pub(super) fn own_binary(asked: &Asked<'_>) -> Want {
    open_if(asked.is_root() && !asked.is_readonly_root())
}

pub(super) fn settings(asked: &Asked<'_>) -> Want {
    those(paths::SETTINGS, |path| asked.is_writable(path))
}

pub(super) fn sysrq(asked: &Asked<'_>) -> Want {
    open_if(asked.is_writable(paths::SYSRQ))
}

pub(super) fn cgroups(asked: &Asked<'_>) -> Want {
    open_if(asked.is_writable("/sys/fs/cgroup/x"))
}

pub(super) fn devices(asked: &Asked<'_>) -> Want {
    let mut list = asked.devices();
    let kcore = "/proc/kcore";
    if asked.is_host_root() && asked.is_readable(kcore) {
        list.push(kcore.to_owned());
    }
    list.extend(asked.binds());
    only(list)
}

pub(super) fn kernel(asked: &Asked<'_>) -> Want {
    those(paths::KERNEL, |path| asked.is_readable(path))
}

pub(super) fn activity(asked: &Asked<'_>) -> Want {
    those(paths::ACTIVITY, |path| asked.is_readable(path))
}

pub(super) fn oom_score(asked: &Asked<'_>) -> Want {
    open_if(asked.has_capability("CAP_SYS_RESOURCE"))
}

pub(super) fn change_of_user(asked: &Asked<'_>) -> Want {
    let may = ["CAP_SETUID", "CAP_SETGID"]
        .iter()
        .any(|name| asked.has_capability(name));
    open_if(asked.is_root() || may)
}

pub(super) fn processes(asked: &Asked<'_>) -> Want {
    open_if(!asked.is_new(NamespaceType::Pid))
}

pub(super) fn core_files(asked: &Asked<'_>) -> Want {
    if asked.has_no_core_files() {
        return Want::Closed;
    }
    only(vec!["RLIMIT_CORE".to_owned()])
}

pub(super) fn sockets(asked: &Asked<'_>) -> Want {
    if asked.has_no_network() {
        return only(asked.binds());
    }
    Want::Open
}

pub(super) fn clouds(asked: &Asked<'_>) -> Want {
    if asked.has_no_network() {
        return those(&[surroundings::TOKEN], |path| {
            asked.mount_of(path).is_some()
        });
    }
    Want::Open
}

pub(super) fn mounts(asked: &Asked<'_>) -> Want {
    if asked.is_new(NamespaceType::Mount) {
        return only(asked.binds());
    }
    Want::Open
}

pub(super) fn limits(asked: &Asked<'_>) -> Want {
    only(asked.unlimited())
}

pub(super) fn set_user_id(asked: &Asked<'_>) -> Want {
    open_if(!asked.has_no_new_privs())
}
