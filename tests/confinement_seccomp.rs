//! `linux.seccomp`: every action, operator, architecture and flag, tried with real calls inside.
//! Not here: the filters of the profiles (`confinement_restricted`).

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde_json::{Value, json};

use crate::harness::{Bundle, Output, calls, is_foreign, raw_calls, skip};

/// getppid, a call that nothing on the way to the program makes; the kernel ignores its arguments, a filter sees them.
const PROBED: i64 = libc::SYS_getppid;

fn filter(rule: &Value) -> Value {
    json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": [rule]})
}

fn rule(action: &str) -> Value {
    json!({"names": ["getppid"], "action": action})
}

#[track_caller]
fn probe(seccomp: Value, call: &[&[i64]]) -> Output {
    calls(Bundle::new().set("/linux/seccomp", seccomp), call).run()
}

#[test]
fn seccomp_errno_is_the_rules_or_eperm() {
    let mut with = rule("SCMP_ACT_ERRNO");
    assert_eq!(probe(filter(&with), &[&[PROBED]]).ok(), "-1\n");
    with["errnoRet"] = json!(42);
    assert_eq!(probe(filter(&with), &[&[PROBED]]).ok(), "-42\n");
}

#[test]
fn seccomp_default_errno_is_the_configured_one() {
    let names = [
        "execve",
        "write",
        "exit",
        "exit_group",
        "read",
        "close",
        "brk",
        "mmap",
        "mprotect",
        "munmap",
        "futex",
        "rt_sigaction",
        "rt_sigprocmask",
        "rt_sigreturn",
        "sigaltstack",
        "openat",
        "fcntl",
        "fstat",
        "newfstatat",
        "getpid",
        "gettid",
        "tgkill",
        "nanosleep",
        "sched_yield",
        "epoll_pwait",
        "epoll_ctl",
        "madvise",
        "prctl",
        "getdents64",
        "arch_prctl",
        "clone",
        "clone3",
        "faccessat2",
        "statx",
        "lseek",
        "capget",
        "capset",
        "setuid",
        "setgid",
        "setgroups",
        "chdir",
        "getcwd",
        "seccomp",
        "readlinkat",
        "fstatfs",
        "getuid",
        "prlimit64",
        "close_range",
    ];
    let seccomp = json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 55,
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{"names": names.as_slice(), "action": "SCMP_ACT_ALLOW"}]});
    assert_eq!(probe(seccomp, &[&[PROBED]]).ok(), "-55\n");
}

#[test]
fn seccomp_kill_and_trap_end_the_program_by_sigsys() {
    for action in [
        "SCMP_ACT_KILL",
        "SCMP_ACT_KILL_THREAD",
        "SCMP_ACT_KILL_PROCESS",
        "SCMP_ACT_TRAP",
    ] {
        let out = probe(filter(&rule(action)), &[&[PROBED]]);
        assert_eq!(out.exits(128 + 31), "", "{action}");
    }
}

#[test]
fn seccomp_log_lets_the_call_through() {
    assert_eq!(
        probe(filter(&rule("SCMP_ACT_LOG")), &[&[PROBED]]).ok(),
        "0\n"
    );
}

#[test]
fn seccomp_trace_without_a_tracer_is_enosys() {
    assert_eq!(
        probe(filter(&rule("SCMP_ACT_TRACE")), &[&[PROBED]]).ok(),
        "-38\n"
    );
}

/// An operator, its two values, and the arguments that it hits and misses.
type Comparison<'a> = (&'a str, u64, u64, &'a [i64], &'a [i64]);

#[test]
fn seccomp_operators_compare_as_the_specification_says() {
    let big = i64::from(u32::MAX) + 6;
    let cases: [Comparison; 7] = [
        ("SCMP_CMP_EQ", 5, 0, &[5], &[4, 6, big]),
        ("SCMP_CMP_NE", 5, 0, &[4, 6, big], &[5]),
        ("SCMP_CMP_LT", 5, 0, &[0, 4], &[5, 6, big]),
        ("SCMP_CMP_LE", 5, 0, &[0, 5], &[6, big]),
        ("SCMP_CMP_GE", 5, 0, &[5, 6, big], &[4]),
        ("SCMP_CMP_GT", 5, 0, &[6, big], &[4, 5]),
        (
            "SCMP_CMP_MASKED_EQ",
            0xf0,
            0x50,
            &[0x50, 0x5f, 0x1050],
            &[0x60, 0],
        ),
    ];
    for (op, value, two, hits, misses) in cases {
        let mut with = rule("SCMP_ACT_ERRNO");
        with["args"] = json!([{"index": 1, "value": value, "valueTwo": two, "op": op}]);
        let all: Vec<Vec<i64>> = hits
            .iter()
            .chain(misses)
            .map(|value| vec![PROBED, 0, *value])
            .collect();
        let all: Vec<&[i64]> = all.iter().map(Vec::as_slice).collect();
        let out = probe(filter(&with), &all);
        let expected: String = hits
            .iter()
            .map(|_| "-1\n")
            .chain(misses.iter().map(|_| "0\n"))
            .collect();
        assert_eq!(out.ok(), expected, "{op}");
    }
}

#[test]
fn seccomp_arguments_of_one_rule_must_all_match_and_rules_are_alternatives() {
    let arg = |index: u32, value: u64| json!({"index": index, "value": value, "op": "SCMP_CMP_EQ"});
    let mut seccomp = filter(
        &json!({"names": ["getppid"], "action": "SCMP_ACT_ERRNO", "args": [arg(0, 1), arg(1, 2)]}),
    );
    seccomp["syscalls"]
        .as_array_mut()
        .unwrap()
        .push(json!({"names": ["getppid"], "action": "SCMP_ACT_ERRNO", "args": [arg(0, 7)]}));
    let out = probe(
        seccomp,
        &[
            &[PROBED, 1, 2],
            &[PROBED, 1, 3],
            &[PROBED, 2, 2],
            &[PROBED, 7],
        ],
    );
    assert_eq!(out.ok(), "-1\n0\n0\n-1\n");
}

#[test]
fn seccomp_rules_reach_every_listed_architecture() {
    let mut seccomp = filter(&rule("SCMP_ACT_ERRNO"));
    seccomp["architectures"] = json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]);
    let out = raw_calls(
        Bundle::new().set("/linux/seccomp", seccomp),
        "110 , int80 64 , int80 20",
    )
    .run();
    assert_eq!(out.ok(), "-1\n-1\n1\n");
}

#[test]
fn seccomp_architecture_that_is_not_listed_is_killed() {
    let seccomp = filter(&rule("SCMP_ACT_ERRNO"));
    let out = raw_calls(Bundle::new().set("/linux/seccomp", seccomp), "int80 20").run();
    assert_eq!(out.exits(128 + 31), "");
}

#[test]
fn seccomp_flags_are_accepted() {
    for flag in [
        "SECCOMP_FILTER_FLAG_TSYNC",
        "SECCOMP_FILTER_FLAG_LOG",
        "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    ] {
        let mut seccomp = filter(&rule("SCMP_ACT_ERRNO"));
        seccomp["flags"] = json!([flag]);
        assert_eq!(probe(seccomp, &[&[PROBED]]).ok(), "-1\n", "{flag}");
    }
}

#[test]
fn seccomp_words_that_the_specification_lacks_are_refused() {
    for (pointer, value) in [
        ("/defaultAction", json!("SCMP_ACT_MAYBE")),
        ("/architectures", json!(["SCMP_ARCH_PDP11"])),
        ("/flags", json!(["SECCOMP_FILTER_FLAG_NONE"])),
        ("/syscalls/0/action", json!("SCMP_ACT_MAYBE")),
        (
            "/syscalls/0/args",
            json!([{"index": 0, "value": 1, "op": "SCMP_CMP_ROUGHLY"}]),
        ),
        (
            "/syscalls/0/args",
            json!([{"index": 6, "value": 1, "op": "SCMP_CMP_EQ"}]),
        ),
    ] {
        let bundle = Bundle::new()
            .set("/linux/seccomp", filter(&rule("SCMP_ACT_ERRNO")))
            .set(&format!("/linux/seccomp{pointer}"), value);
        bundle.run().refused(&["linux.seccomp"]);
    }
}

#[test]
fn seccomp_names_that_this_architecture_lacks_are_ignored() {
    let mut with = rule("SCMP_ACT_ERRNO");
    with["names"] = json!(["getppid", "no_such_call", "socketcall"]);
    assert_eq!(probe(filter(&with), &[&[PROBED]]).ok(), "-1\n");
}

/// What a listener got: the message and the descriptor.
fn receive(listener: &UnixListener) -> (Value, OwnedFd) {
    let (stream, _) = listener.accept().unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let mut bytes = vec![0; 65536];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let message = recvmsg(
        &stream,
        &mut [IoSliceMut::new(&mut bytes)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )
    .unwrap();
    let mut found = None;
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(list) = part {
            found = list.into_iter().next();
        }
    }
    let state = serde_json::from_slice(&bytes[..message.bytes]).unwrap();
    (state, found.expect("a descriptor came with the message"))
}

#[test]
fn seccomp_notify_gives_the_descriptor_to_the_listener() {
    let bundle = Bundle::new();
    let socket = bundle.temp().join("listener");
    let listener = UnixListener::bind(&socket).unwrap();
    let mut seccomp = filter(&rule("SCMP_ACT_NOTIFY"));
    seccomp["listenerPath"] = json!(socket);
    seccomp["listenerMetadata"] = json!("opaque");
    let bundle = calls(bundle.set("/linux/seccomp", seccomp), &[&[PROBED]]);
    let thread = std::thread::spawn(move || {
        let (message, fd) = receive(&listener);
        let link = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).unwrap();
        // Closing it answers every waiting call with ENOSYS (seccomp_unotify(2)).
        drop(fd);
        (message, link)
    });
    let out = bundle.run();
    let (message, link) = thread.join().unwrap();
    assert_eq!(out.ok(), "-38\n");
    assert_eq!(link.to_str().unwrap(), "anon_inode:seccomp notify");
    assert_eq!(message["metadata"], "opaque");
    assert_eq!(message["fds"], json!(["seccompFd"]));
    assert_eq!(message["state"]["id"], bundle.id());
    assert!(message["pid"].is_u64(), "{message}");
}

#[test]
fn seccomp_notify_on_execve_waits_for_the_listener_not_for_ever() {
    let bundle = Bundle::new();
    let socket = bundle.temp().join("listener");
    let listener = UnixListener::bind(&socket).unwrap();
    let mut seccomp = filter(&json!({"names": ["execve"], "action": "SCMP_ACT_NOTIFY"}));
    seccomp["listenerPath"] = json!(socket);
    let bundle = bundle.set("/linux/seccomp", seccomp);
    let thread = std::thread::spawn(move || drop(receive(&listener)));
    let out = bundle.run();
    assert!(out.code != 0 && out.stderr.contains("ENOSYS"), "{out:?}");
    thread.join().unwrap();
}

#[test]
fn seccomp_filter_that_kills_at_execve_is_no_successful_start() {
    let rule = json!({"names": ["execve"], "action": "SCMP_ACT_KILL_PROCESS"});
    let bundle = Bundle::new().set("/linux/seccomp", filter(&rule));
    bundle.run().refused(&["start the container"]);
}

#[test]
fn seccomp_notify_may_wait_killably() {
    let bundle = Bundle::new();
    let socket = bundle.temp().join("listener");
    let listener = UnixListener::bind(&socket).unwrap();
    let mut seccomp = filter(&rule("SCMP_ACT_NOTIFY"));
    seccomp["listenerPath"] = json!(socket);
    seccomp["flags"] = json!(["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]);
    if is_foreign() {
        return skip("an oracle may not know the flag");
    }
    let bundle = calls(bundle.set("/linux/seccomp", seccomp), &[&[PROBED]]);
    let thread = std::thread::spawn(move || drop(receive(&listener)));
    assert_eq!(bundle.run().ok(), "-38\n");
    thread.join().unwrap();
}

#[test]
fn seccomp_notify_without_a_listener_is_refused() {
    let bundle = Bundle::new().set("/linux/seccomp", filter(&rule("SCMP_ACT_NOTIFY")));
    bundle.run().refused(&["linux.seccomp"]);
    let mut seccomp = filter(&rule("SCMP_ACT_NOTIFY"));
    seccomp["listenerPath"] = json!("/nowhere/listener");
    let bundle = Bundle::new().set("/linux/seccomp", seccomp);
    bundle.run().refused(&["linux.seccomp.listenerPath"]);
}
