//! What a profile holds a process to beside files and system calls, tried with real calls inside: memory that is executed,
//! securebits, variables, the time it runs.
//! Not here: what becomes of it on another kernel, which is pure and tested beside it, and AppArmor (`apparmor`).

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Bundle, FOREVER, Inside, eventually, is_foreign, raw_calls, skip};

/// The bundle under a profile with these sections and nothing else; `None` where it cannot be tried.
fn under(bundle: Bundle, sections: &str) -> Option<Bundle> {
    if is_foreign() {
        skip("other runtimes have no profiles");
        return None;
    }
    let file = bundle.temp().join("hard.toml");
    let text = format!("name = \"hard\"\ndescription = \"x\"\n{sections}\n");
    fs::write(&file, text).unwrap();
    Some(bundle.profile(Some(file.to_str().unwrap())))
}

/// Whether this kernel has both rules (PR_SET_MDWE, vm.memfd_noexec); says so where not. The unit tests of `profile::hardening`
/// have what becomes of them then.
fn lacks_memory_rules() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map(str::parse::<u32>);
    let mut number = || numbers.next().unwrap().unwrap();
    let is_old = (number(), number()) < (6, 3);
    if is_old {
        skip("a kernel with rules for memory (Linux 6.3)");
    }
    is_old
}

const DENIED: &str = "[memory]\ndeny-write-execute = true\nmemfd-noexec = true";

/// mmap(2) with PROT_READ, PROT_WRITE and PROT_EXEC; mprotect(2) of written memory to PROT_EXEC; prctl(PR_GET_MDWE);
/// memfd_create(2) with MFD_EXEC and without.
const MEMORY: &str = "9 268435456 4096 7 50 -1 0 , 9 536870912 4096 3 50 -1 0 , 10 536870912 4096 5 , 157 66 , 319 =x 16 , 319 =x 1";

#[test]
fn memory_that_was_written_is_not_executed() {
    if lacks_memory_rules() {
        return;
    }
    for (sections, expected) in [
        (DENIED, ["-13", "536870912", "-13", "1", "-13", "3"]),
        ("", ["268435456", "536870912", "0", "0", "3", "4"]),
    ] {
        let Some(bundle) = under(raw_calls(Bundle::new(), MEMORY), sections) else {
            return;
        };
        assert_eq!(bundle.run().lines(), expected, "{sections}");
    }
}

#[test]
fn memory_that_was_written_is_not_executed_in_a_user_namespace_either() {
    if lacks_memory_rules() {
        return;
    }
    let bundle = raw_calls(Bundle::new().user_namespace(), MEMORY);
    let Some(bundle) = under(bundle, DENIED) else {
        return;
    };
    assert_eq!(
        bundle.run().lines(),
        ["-13", "536870912", "-13", "1", "-13", "3"]
    );
}

#[test]
fn memory_rules_hold_a_process_that_enters() {
    if lacks_memory_rules() {
        return;
    }
    let bundle = raw_calls(Bundle::new(), MEMORY).args(FOREVER);
    let Some(bundle) = under(bundle, DENIED) else {
        return;
    };
    let inside = Inside::of(bundle);
    let words: Vec<&str> = ["/call"].into_iter().chain(MEMORY.split(' ')).collect();
    let out = inside.exec(&[], &words);
    assert_eq!(out.lines(), ["-13", "536870912", "-13", "1", "-13", "3"]);
}

#[test]
fn memory_rules_bind_a_hook_that_is_a_program_of_the_image() {
    if lacks_memory_rules() {
        return;
    }
    let bundle = raw_calls(Bundle::new(), "157 66");
    let script = "/call 157 66 > /home/hook";
    let hook = json!([{"path": "/bin/sh", "args": ["sh", "-c", script]}]);
    let bundle = bundle.set("/hooks/startContainer", hook);
    let Some(bundle) = under(bundle, DENIED) else {
        return;
    };
    bundle.run().ok();
    let said = fs::read_to_string(bundle.rootfs().join("home/hook")).unwrap();
    assert_eq!(said, "1\n");
}

#[test]
fn restricted_executes_no_file_in_memory_and_takes_written_memory_for_programs() {
    if lacks_memory_rules() {
        return;
    }
    if is_foreign() {
        return skip("other runtimes have no profiles");
    }
    let bundle = raw_calls(Bundle::new().profile(Some("restricted")), MEMORY)
        .set("/process/user", json!({"uid": 1000, "gid": 1000}));
    let expected = ["268435456", "536870912", "0", "0", "-13", "3"];
    assert_eq!(bundle.run().lines(), expected);
}

const LOCKED: &str = "[process]\nlock-securebits = true";
/// Securebits, and the sets of capabilities.
const STATUS: &str = "/call 157 27; grep -E 'Cap(Prm|Eff|Amb)' /proc/self/status";

#[test]
fn root_has_no_capabilities_by_its_id_where_securebits_are_locked() {
    let held = ["CAP_CHOWN", "CAP_KILL", "CAP_SETPCAP"];
    let Some(bundle) = under(
        raw_calls(Bundle::new().capabilities(&held), "39").shell(STATUS),
        LOCKED,
    ) else {
        return;
    };
    let none = ["Prm", "Eff", "Amb"].map(|set| format!("Cap{set}:\t0000000000000000\n"));
    assert_eq!(bundle.run().ok(), format!("235\n{}", none.concat()));
}

#[test]
fn ambient_capabilities_stay_where_securebits_are_locked() {
    let kill = json!(["CAP_KILL"]);
    let bundle = raw_calls(Bundle::new().capabilities(&["CAP_KILL"]), "39")
        .set("/process/capabilities/inheritable", kill.clone())
        .set("/process/capabilities/ambient", kill)
        .set("/process/user", json!({"uid": 1000, "gid": 1000}))
        .shell(STATUS);
    let Some(bundle) = under(bundle, LOCKED) else {
        return;
    };
    let kill = ["Prm", "Eff", "Amb"].map(|set| format!("Cap{set}:\t0000000000000020\n"));
    assert_eq!(bundle.run().ok(), format!("235\n{}", kill.concat()));
}

/// setuid(65534) and pause(2), and what that process has then.
const GIVES_UP: &str = "/call 105 65534 , 34 > /dev/null & \
     until grep -q '^Uid:.*65534' /proc/$!/status; do sleep 0.05; done; grep -E 'Cap(Prm|Eff|Amb)' /proc/$!/status";

#[test]
fn who_gives_up_user_id_0_has_no_capabilities_left_where_securebits_are_locked() {
    let held = ["CAP_SETUID", "CAP_NET_BIND_SERVICE"];
    let bundle = raw_calls(Bundle::new().capabilities(&held), "39")
        .set("/process/capabilities/inheritable", json!(held))
        .set("/process/capabilities/ambient", json!(held))
        .shell(GIVES_UP);
    let Some(bundle) = under(bundle, LOCKED) else {
        return;
    };
    let none = ["Prm", "Eff", "Amb"].map(|set| format!("Cap{set}:\t0000000000000000\n"));
    assert_eq!(bundle.run().ok(), none.concat());
}

#[test]
fn a_process_that_enters_has_locked_securebits_too() {
    let bundle = raw_calls(Bundle::new(), "39").args(FOREVER);
    let Some(bundle) = under(bundle, LOCKED) else {
        return;
    };
    let out = Inside::of(bundle).exec(&[], &["/call", "157", "27"]);
    assert_eq!(out.ok(), "235\n");
}

const LISTED: &str = "[environment]\nallow = [\"PATH\", \"HOME\", \"LC_*\"]";

fn with_variables() -> Bundle {
    let variables = json!(["PATH=/bin", "LC_ALL=C", "SECRET=hunter2", "TERM=x"]);
    Bundle::new().set("/process/env", variables)
}

#[test]
fn only_listed_variables_reach_the_program_and_those_that_enter() {
    let Some(bundle) = under(with_variables().args(FOREVER), LISTED) else {
        return;
    };
    let inside = Inside::of(bundle);
    let environ = format!("/proc/{}/environ", inside.0.pid());
    let environ = fs::read_to_string(environ).unwrap();
    let variables: Vec<&str> = environ.split_terminator('\0').collect();
    assert_eq!(variables, ["PATH=/bin", "LC_ALL=C", "HOME=/root"]);
    let out = inside.exec(&["--env", "MORE=1", "--env", "LC_X=2"], &["env"]);
    let mut lines = out.lines();
    lines.sort_unstable();
    assert_eq!(lines, ["HOME=/root", "LC_ALL=C", "LC_X=2", "PATH=/bin"]);
    assert_eq!(
        out.stderr,
        "warning: process.env: without [\"MORE\"]: environment.allow of profile \"hard\"\n"
    );
}

#[test]
fn variables_that_go_are_told_by_name_in_the_log_and_the_state() {
    let Some(bundle) = under(with_variables().args(FOREVER), LISTED) else {
        return;
    };
    let log = bundle.temp().join("log");
    let call = bundle
        .call(&["--log", log.to_str().unwrap(), "--log-format", "json"])
        .args(["run", "--detach", "--bundle"])
        .arg(bundle.path())
        .arg(bundle.id());
    bundle.write();
    call.output().ok();
    let state = bundle.state().json();
    let changes = state["annotations"]["org.stockade.tightened"].as_str();
    let changes: Value = serde_json::from_str(changes.unwrap()).unwrap();
    let expected = json!([
        {"pointer": "/process/env", "rule": "environment.allow", "removed": ["SECRET", "TERM"]}
    ]);
    assert_eq!(changes, expected);
    let log = fs::read_to_string(log).unwrap();
    assert!(
        log.contains("environment.allow") && !log.contains("hunter2"),
        "{log}"
    );
    bundle.delete_by_force().ok();
    bundle.assert_clean();
}

#[test]
fn a_container_whose_time_is_over_is_killed_with_all_that_it_has_started() {
    let script = "trap '' TERM INT; sleep 1000 & sleep 1000";
    let Some(bundle) = under(Bundle::new().shell(script), "[limits]\ntime = \"1s\"") else {
        return;
    };
    let begin = Instant::now();
    let out = bundle.run();
    assert_eq!(out.exits(124), "");
    assert_eq!(
        out.stderr,
        "warning: the time limit (1s) was reached: the container was killed\n"
    );
    let took = begin.elapsed();
    assert!(took >= Duration::from_secs(1), "{took:?}");
    bundle.assert_clean();
}

#[test]
fn a_paused_container_whose_time_is_over_is_killed_all_the_same() {
    let Some(bundle) = under(Bundle::new().args(FOREVER), "[limits]\ntime = \"5s\"") else {
        return;
    };
    let running = bundle.launch("run", &[]).spawn();
    // At first there is no container by that name.
    eventually("it runs", || {
        bundle.state().code == 0 && bundle.status() == "running"
    });
    bundle.call(&["pause"]).arg(bundle.id()).output().ok();
    running.wait().exits(124);
    bundle.assert_clean();
}

#[test]
fn a_program_that_ends_in_time_has_its_own_exit_code() {
    let Some(bundle) = under(Bundle::new().shell("exit 7"), "[limits]\ntime = \"1h\"") else {
        return;
    };
    bundle.run().exits(7);
}

#[test]
fn a_limit_of_time_is_refused_where_nobody_waits() {
    let Some(bundle) = under(Bundle::new(), "[limits]\ntime = \"10m\"") else {
        return;
    };
    let words = [
        "error: limits.time of profile \"hard\": nothing of stockade waits for a detached container to end it after 10m",
        "try: run it in the foreground, by launch or run, or under a profile without limits.time",
    ];
    bundle.create().refused(&words);
    bundle.launch("run", &["--detach"]).output().refused(&words);
    bundle.assert_clean();
}

#[test]
fn an_apparmor_profile_that_must_be_there_is_refused_where_it_is_not() {
    let section = "[apparmor]\nprofile = \"no-such\"";
    let Some(bundle) = under(Bundle::new(), section) else {
        return;
    };
    bundle.create().refused(&[
        "error: apparmor.profile of profile \"hard\": \"no-such\" is not loaded on this host",
    ]);
    let section = format!("{section}\nwhen-missing = \"ignore\"");
    let bundle = under(bundle, &section).unwrap();
    bundle.run().ok();
}
