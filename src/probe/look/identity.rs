//! Who the process is: its ids, capabilities, flags and descriptors.
//!
//! credentials(7), capabilities(7) and seccomp(2) rule.

use super::errno;
use crate::probe::answer::Answer;
use crate::probe::identity::capability_names;
use crate::probe::scene::Scene;

pub(in crate::probe) fn root(_: &Scene) -> Answer {
    let user = match nix::unistd::getresuid() {
        Ok(user) => user,
        Err(errno) => return Answer::denied(format!("getresuid: {errno}")),
    };
    let ids = [user.real, user.effective, user.saved];
    if ids.iter().any(|id| id.is_root()) {
        return Answer::open("one of its user ids is 0");
    }
    Answer::denied(format!("user {}", user.effective))
}

pub(in crate::probe) fn no_new_privs(_: &Scene) -> Answer {
    match rustix::thread::no_new_privs() {
        Ok(true) => Answer::denied("no_new_privs is on"),
        Ok(false) => Answer::open("no_new_privs is off"),
        Err(errno) => Answer::skipped(format!("prctl: {errno}")),
    }
}

pub(in crate::probe) fn capabilities(scene: &Scene) -> Answer {
    match capability_names(scene.status.as_deref().ok()) {
        Some(names) => Answer::of_found(names, "no capability in any set"),
        None => Answer::skipped("the sets cannot be read"),
    }
}

pub(in crate::probe) fn no_filter(scene: &Scene) -> Answer {
    match scene.status("Seccomp") {
        Some("0") => Answer::open("no filter"),
        Some("1") => Answer::denied("strict mode"),
        Some(_) => Answer::denied(match scene.status("Seccomp_filters") {
            Some("1") => "1 filter".to_owned(),
            Some(count) => format!("{count} filters"),
            None => "filtered".to_owned(),
        }),
        None => Answer::skipped("/proc/self/status does not tell"),
    }
}

pub(in crate::probe) fn descriptors(scene: &Scene) -> Answer {
    match &scene.descriptors {
        Ok(open) => {
            let more = open.iter().filter(|(number, _)| *number > 2);
            let shown = more.map(|(number, what)| format!("{number}: {what}"));
            Answer::of_found(shown.collect(), "the standard streams alone")
        }
        Err(reason) => Answer::skipped(reason.clone()),
    }
}

/// Only this process's own score, and this process ends after it.
pub(in crate::probe) fn oom_score(_: &Scene) -> Answer {
    match std::fs::write("/proc/self/oom_score_adj", "-1000") {
        Ok(()) => Answer::open("the kernel would kill others in its place"),
        Err(error) => Answer::denied(errno(&error)),
    }
}

/// Signal 0 to everybody but the first process and this one: it is delivered to nobody (kill(2)).
pub(in crate::probe) fn processes(_: &Scene) -> Answer {
    match crate::sys::attempt::KILL_ALL.make() {
        Ok(_) => Answer::open("other processes can be signalled"),
        Err(libc::ESRCH) => Answer::denied("nobody else is there (ESRCH)"),
        Err(number) => Answer::denied(crate::probe::words::errno(number)),
    }
}
