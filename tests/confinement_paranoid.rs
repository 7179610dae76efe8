//! What the profile `paranoid` leaves to a program and what it takes away beyond `restricted`, with real calls.
//! Not here: what `restricted` refuses (confinement_restricted.rs), and the rows that `probe` looks at.

use stockade::sys::landlock;

use crate::cell::{Cell, has_helper};
use crate::harness::{Bundle, is_foreign, skip};

/// A cell under the profile; `None` for an oracle without profiles.
fn paranoid() -> Option<Cell> {
    if is_foreign() {
        skip("an oracle has no profiles");
        return None;
    }
    let cell = Cell::of(Bundle::new().profile(Some("paranoid"))).user(1000, 1000);
    has_helper(&cell).then_some(cell)
}

fn claim(call: &str, expected: &str) {
    let Some(mut cell) = paranoid() else { return };
    let out = cell.run(&["/helper", call]);
    assert_eq!(out.ok(), format!("{call}: {expected}\n"));
}

#[test]
fn paranoid_runs_programs_that_start_others_and_write_to_tmp() {
    let Some(cell) = paranoid() else { return };
    let mut cell = cell.mount(serde_json::json!({
        "destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["mode=1777"],
    }));
    let out = cell.sh("echo one | cat >/tmp/a; cat /tmp/a; echo >/dev/null && ls -d /proc/[a-z]*");
    assert_eq!(out.ok(), "one\n/proc/self\n/proc/thread-self\n");
}

#[test]
fn paranoid_has_no_sysfs_and_no_terminals() {
    let Some(mut cell) = paranoid() else { return };
    let out = cell.sh("grep -E ' (sysfs|cgroup2?|devpts|mqueue) ' /proc/self/mounts || ls /sys");
    assert_eq!(out.ok(), "");
}

#[test]
fn paranoid_refuses_a_terminal() {
    let Some(cell) = paranoid() else { return };
    let cell = cell.set("/process/terminal", true.into());
    let out = cell.bundle.create();
    out.refused(&[
        "process.terminal: true is refused by profile \"paranoid\" (process.terminal)",
        "try: use --profile restricted, which accepts this",
    ]);
    cell.bundle.assert_clean();
}

#[test]
fn paranoid_keeps_what_is_open_to_restricted() {
    claim("socket-unix", "ok");
    claim("clone3-user", "ENOSYS");
}

#[test]
fn paranoid_lets_nobody_bind_a_port_or_raise_a_limit() {
    let Some(mut cell) = paranoid() else { return };
    let out = cell.sh("(ulimit -Hn; ulimit -Hc; ulimit -n 257) 2>&1; true");
    let expected = [
        "256",
        "0",
        "sh: error setting limit: Operation not permitted",
    ];
    assert_eq!(out.lines(), expected);
    if landlock::abi() < 4 {
        return skip("a kernel with Landlock's rules of the network (Linux 6.7)");
    }
    let out = cell.sh("nc -l -p 8080 2>&1; true");
    assert_eq!(out.lines(), ["nc: bind: Permission denied"]);
}
