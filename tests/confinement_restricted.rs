//! What the profile `restricted` refuses inside, with real calls.
//! Not here: what the profile changes in a configuration, which is pure and tested beside it.

use crate::cell::{Cell, has_helper};
use crate::harness::{Bundle, is_foreign, skip};

/// A cell under the profile, with what the profile wants of a configuration; `None` for an oracle without profiles.
fn restricted() -> Option<Cell> {
    if is_foreign() {
        skip("an oracle has no profiles");
        return None;
    }
    let bundle = Bundle::new()
        .no_mount("/sys")
        .no_mount("/sys/fs/cgroup")
        .profile(Some("restricted"));
    let cell = Cell::of(bundle).user(1000, 1000);
    has_helper(&cell).then_some(cell)
}

fn claim(call: &str, expected: &str) {
    let Some(mut cell) = restricted() else { return };
    let out = cell.run(&["/helper", call]);
    assert_eq!(out.ok(), format!("{call}: {expected}\n"));
}

#[test]
fn restricted_refuses_unshare_of_a_user_namespace() {
    claim("unshare-user", "EPERM");
}

#[test]
fn restricted_refuses_clone_of_a_user_namespace() {
    claim("clone-user", "EPERM");
}

#[test]
fn restricted_refuses_clone_of_a_user_namespace_with_a_high_bit() {
    claim("clone-user-high", "EPERM");
}

#[test]
fn restricted_has_no_clone3() {
    claim("clone3-user", "ENOSYS");
}

#[test]
fn restricted_refuses_af_alg() {
    claim("socket-alg", "EPERM");
}

#[test]
fn restricted_refuses_af_alg_with_a_high_bit() {
    claim("socket-alg-high", "EPERM");
}

#[test]
fn restricted_kills_int_0x80() {
    claim("int80", "SIGSYS");
}

#[test]
fn restricted_kills_x32_calls() {
    claim("x32", "SIGSYS");
}

#[test]
fn restricted_allows_unix_sockets() {
    claim("socket-unix", "ok");
}

#[test]
fn restricted_leaves_no_capability_and_no_way_to_gain_one() {
    let Some(mut cell) = restricted() else { return };
    let out = cell.sh("grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status | tr '\\t' ' '");
    let zero = "0000000000000000";
    assert_eq!(
        out.lines(),
        [
            format!("CapInh: {zero}"),
            format!("CapPrm: {zero}"),
            format!("CapEff: {zero}"),
            // NET_BIND_SERVICE, the one capability that the profile lets a configuration ask for.
            "CapBnd: 0000000000000400".into(),
            format!("CapAmb: {zero}"),
            "NoNewPrivs: 1".into(),
            "Seccomp: 2".into(),
        ]
    );
}

#[test]
fn restricted_refuses_root() {
    let Some(cell) = restricted() else { return };
    let mut cell = cell.user(0, 0);
    let out = cell.sh("id -u");
    if out.code == 0 {
        assert_ne!(out.ok(), "0\n", "root under the profile");
    } else {
        out.refused(&["process.user"]);
    }
}
