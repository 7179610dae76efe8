//! Filters in the running kernel: each is loaded into a thread of its own, which ends with the claim checked.
//! What a filter answers to any call is tested without a kernel in `src/seccomp/tests.rs`.
#![allow(
    unsafe_code,
    reason = "the calls under test are made raw, with arguments that no wrapper passes"
)]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::io::Error;

use serde_json::{Value, json};
use stockade::seccomp::{Compiled, check_kernel, compile};
use stockade::sys::seccomp::install;

fn filter(profile: Value) -> Compiled {
    let profile = serde_json::from_value(profile).unwrap();
    check_kernel(&profile).unwrap();
    compile(&profile).unwrap()
}

/// The errno of a raw call, 0 if it succeeded.
fn errno(number: libc::c_long, args: [u64; 3]) -> i32 {
    // SAFETY: every call made here takes integers, or a null pointer.
    let value = unsafe { libc::syscall(number, args[0], args[1], args[2]) };
    if value >= 0 {
        0
    } else {
        Error::last_os_error().raw_os_error().unwrap()
    }
}

/// Runs `test` in a thread under the filter.
fn confined(filter: &Compiled, test: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            rustix::thread::set_no_new_privs(true).unwrap();
            let listener = install(&filter.program, filter.flags).unwrap();
            assert_eq!(listener.is_some(), filter.listener);
            test();
        });
        thread.join().unwrap();
    });
}

#[test]
fn docker_profile_denies_in_the_kernel_what_it_denies_on_paper() {
    let profile = serde_json::from_str(include_str!("golden/docker-seccomp.json")).unwrap();
    confined(&filter(profile), || {
        assert_eq!(errno(libc::SYS_getpid, [0; 3]), 0);
        assert_eq!(errno(libc::SYS_unshare, [0; 3]), libc::EPERM);
        assert_eq!(errno(libc::SYS_clone, [0x1000_0011, 0, 0]), libc::EPERM);
        assert_eq!(errno(libc::SYS_clone3, [0; 3]), libc::ENOSYS);
        assert_eq!(errno(libc::SYS_socket, [40, 1, 0]), libc::EPERM);
        assert_eq!(errno(libc::SYS_socket, [(1 << 32) | 40, 1, 0]), libc::EPERM);
        assert_eq!(errno(500, [0; 3]), libc::ENOSYS);
    });
}

#[test]
fn af_alg_with_high_bits_is_refused_by_the_kernel() {
    let profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_LOG"], "syscalls": [
        {"names": ["socket"], "action": "SCMP_ACT_ERRNO", "errnoRet": 97,
         "args": [{"index": 0, "value": libc::AF_ALG, "op": "SCMP_CMP_EQ"}]}]});
    confined(&filter(profile), || {
        assert_eq!(errno(libc::SYS_socket, [libc::AF_ALG as u64, 5, 0]), 97);
        assert_eq!(
            errno(libc::SYS_socket, [(1 << 32) | libc::AF_ALG as u64, 5, 0]),
            97
        );
        assert_eq!(errno(libc::SYS_socket, [libc::AF_UNIX as u64, 1, 0]), 0);
    });
}

#[test]
fn notify_rule_yields_a_listener() {
    let profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/agent.sock",
        "flags": ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"],
        "syscalls": [{"names": ["acct"], "action": "SCMP_ACT_NOTIFY"}]});
    let filter = filter(profile);
    assert!(filter.listener);
    confined(&filter, || {
        assert_eq!(errno(libc::SYS_read, [u64::MAX, 0, 0]), libc::EBADF);
    });
}

#[test]
fn too_new_a_flag_for_the_kernel_is_an_error_of_the_kernel() {
    let filter = filter(json!({"defaultAction": "SCMP_ACT_ALLOW"}));
    let refused = std::thread::spawn(move || install(&filter.program, 1 << 30).unwrap_err());
    assert_eq!(refused.join().unwrap(), rustix::io::Errno::INVAL);
}
