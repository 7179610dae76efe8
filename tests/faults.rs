//! Each system call of the runtime fails in turn, and the runtime dies at each: it says so in one line, the verbs after it
//! work, and nothing is left behind. `STOCKADE_TEST_FAULTS=all` tries every call; without it some of each verb.
//! Not here: wrong input (bad_input.rs), a full disk (bad_input.rs), hooks and programs that fail (hooks.rs, lifecycle.rs).

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::json;
use stockade::names::syscalls::{self, Abi};

use crate::harness::{Bundle, Call, Output, compiled, is_foreign, runtime, say, skip};

/// Calls that the kernel never fails for want of memory, as these tests have others do.
const SURE: [&str; 15] = [
    "brk",
    "close",
    "exit",
    "exit_group",
    "getegid",
    "geteuid",
    "getgid",
    "getpid",
    "getppid",
    "getrandom",
    "gettid",
    "getuid",
    "rt_sigreturn",
    "sched_yield",
    "umask",
];

/// Calls without which there is no memory to say anything with.
const MEMORY: [&str; 3] = ["mmap", "mremap", "mprotect"];

/// How many calls of each verb fail, and at how many it dies, where not all do.
const SOME: usize = 24;

/// A system call of one process of the runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Point {
    process: String,
    call: String,
    name: String,
}

/// What happens there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Fails,
    Dies,
}

/// One verb, with what has to be there before it.
struct Verb {
    arguments: &'static [&'static str],
    before: fn(&Bundle),
    /// Whether nothing may be left where it fails.
    makes: bool,
}

fn nothing(_: &Bundle) {}

fn created(bundle: &Bundle) {
    bundle.launch("create", &[]).output().ok();
}

fn running(bundle: &Bundle) {
    created(bundle);
    bundle.start().ok();
}

fn stopped(bundle: &Bundle) {
    running(bundle);
    bundle.kill("KILL").ok();
    bundle.becomes("stopped");
}

fn bundle() -> Bundle {
    let bundle = Bundle::new()
        .args(&["/bin/sleep", "1000"])
        .set("/linux/resources/pids/limit", 100)
        .set("/linux/resources/memory/limit", 100 << 20)
        .set("/linux/seccomp", json!({"defaultAction": "SCMP_ACT_ALLOW"}));
    bundle.write();
    bundle
}

/// The verb with its calls counted, or with a fault at one.
fn call(bundle: &Bundle, verb: &Verb, log: &Path, words: &[&str]) -> Call {
    static TRACER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let tracer = TRACER.get_or_init(|| compiled("fault"));
    let path = bundle.path();
    let known = |word: &&'static str| match *word {
        "ID" => bundle.id().to_owned(),
        "BUNDLE" => path.to_str().unwrap().to_owned(),
        word => word.to_owned(),
    };
    Call::new(tracer.as_ref().unwrap(), &bundle.temp().join("calls"))
        .arg(log)
        .args(words)
        .arg(runtime())
        .arg("--root")
        .arg(bundle.state_dir())
        .args(["--profile", "none"])
        .args(verb.arguments.iter().map(known))
}

/// What the tracer has written.
fn logged(log: &Path) -> Vec<Point> {
    let text = fs::read_to_string(log).unwrap();
    let point = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let number = words[2].parse().unwrap();
        Point {
            process: words[0].to_owned(),
            call: words[1].to_owned(),
            name: syscalls::name(Abi::X8664, number).unwrap_or("?").to_owned(),
        }
    };
    text.lines().map(point).collect()
}

/// All calls but those of the start of a program, before the runtime's first function.
fn of_runtime(all: Vec<Point>) -> Vec<Point> {
    // Rust's own start ends with a stack for signals, which it asks for first.
    let mut begun = 0;
    let mut is_of_runtime = |point: &Point| {
        match &*point.name {
            "sigaltstack" if point.process == "0" => begun += 1,
            "execve" | "execveat" if point.process == "0" => begun = 0,
            _ => {}
        }
        begun >= 2 && point.name != "sigaltstack" && !SURE.contains(&&*point.name)
    };
    all.into_iter()
        .filter(|point| is_of_runtime(point))
        .collect()
}

/// What is wrong after the fault, if anything is.
fn tried(bundle: &Bundle, verb: &Verb, point: &Point, fault: Fault) -> Vec<String> {
    let log = bundle.temp().join("log");
    (verb.before)(bundle);
    let at = [&*point.process, &*point.call];
    let enomem = libc::ENOMEM.to_string();
    let words = match fault {
        Fault::Fails => [&["fail"][..], &at, &[&enomem]].concat(),
        Fault::Dies => [&["kill"][..], &at].concat(),
    };
    let output = call(bundle, verb, &log, &words).output();
    // No two runs make all calls in the same order.
    let hit = logged(&log).pop().map_or(String::new(), |hit| hit.name);
    let is_silent = SURE.contains(&&*hit) || MEMORY.contains(&&*hit);
    let mut wrong = Vec::new();
    if fault == Fault::Fails && !is_silent {
        if !is_told(&output) {
            wrong.push("not one error".to_owned());
        }
        if verb.makes && output.code != 0 {
            wrong.extend(left(bundle));
        }
    }
    wrong.extend(wrong_later(bundle));
    let name = verb.arguments[0];
    let told = |wrong| format!("{name} {fault:?} at {point:?}, {hit}: {wrong}; {output:?}");
    wrong.into_iter().map(told).collect()
}

fn left(bundle: &Bundle) -> Option<String> {
    let left = bundle.left();
    (!left.is_empty()).then(|| format!("left {left:?}"))
}

/// What is wrong with the verbs afterwards, the last of which takes everything away.
fn wrong_later(bundle: &Bundle) -> Vec<String> {
    let id = bundle.id();
    let verbs = [
        (&["list"][..], 0),
        (&["state", id], 1),
        (&["delete", "--force", id], 0),
    ];
    let mut wrong = Vec::new();
    for (verb, worst) in verbs {
        let output = bundle.call(verb).output();
        if !(0..=worst).contains(&output.code) {
            wrong.push(format!("{verb:?}: {output:?}"));
        }
    }
    wrong.extend(left(bundle));
    wrong
}

/// Whatever fails, there is an end and one line for it.
fn is_told(output: &Output) -> bool {
    let errors = output.stderr.lines();
    let errors = errors.filter(|line| line.starts_with("error: ")).count();
    output.code == 0 || (matches!(output.code, 1..128 | 255) && errors == 1)
}

fn holds(verb: &Verb) {
    if is_foreign() {
        return skip("other runtimes are not held to this");
    }
    if !cfg!(target_arch = "x86_64") {
        return skip("names of calls are those of x86-64");
    }
    let bundle = bundle();
    let log = bundle.temp().join("log");
    (verb.before)(&bundle);
    call(&bundle, verb, &log, &["count"]).output();
    bundle.delete_by_force().ok();
    let points = of_runtime(logged(&log));
    let is_all = std::env::var_os("STOCKADE_TEST_FAULTS").is_some();
    let step = if is_all {
        1
    } else {
        (points.len() / SOME).max(1)
    };
    let mut wrong = Vec::new();
    let mut tries = 0;
    for (fault, first) in [(Fault::Fails, 0), (Fault::Dies, step / 2)] {
        for point in points.iter().skip(first).step_by(step) {
            let found = tried(&bundle, verb, point, fault);
            found.iter().for_each(|found| say(found));
            wrong.extend(found);
            for stream in fs::read_dir(bundle.temp().join("calls")).unwrap() {
                fs::remove_file(stream.unwrap().path()).unwrap();
            }
            tries += 1;
        }
    }
    say(&format!(
        "faults: {}: {} calls, {tries} faults, {} wrong",
        verb.arguments.join(" "),
        points.len(),
        wrong.len()
    ));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn run_that_fails_or_dies_anywhere_leaves_nothing() {
    holds(&Verb {
        arguments: &["run", "--detach", "--bundle", "BUNDLE", "ID"],
        before: nothing,
        makes: true,
    });
}

#[test]
fn create_that_fails_or_dies_anywhere_leaves_nothing() {
    holds(&Verb {
        arguments: &["create", "--bundle", "BUNDLE", "ID"],
        before: nothing,
        makes: true,
    });
}

#[test]
fn start_that_fails_or_dies_anywhere_leaves_what_can_be_deleted() {
    holds(&Verb {
        arguments: &["start", "ID"],
        before: created,
        makes: false,
    });
}

#[test]
fn exec_that_fails_or_dies_anywhere_leaves_what_can_be_deleted() {
    holds(&Verb {
        arguments: &["exec", "ID", "true"],
        before: running,
        makes: false,
    });
}

#[test]
fn update_that_fails_or_dies_anywhere_leaves_what_can_be_deleted() {
    holds(&Verb {
        arguments: &["update", "--pids-limit", "50", "--memory", "50M", "ID"],
        before: running,
        makes: false,
    });
}

#[test]
fn delete_that_fails_or_dies_anywhere_can_be_repeated() {
    holds(&Verb {
        arguments: &["delete", "ID"],
        before: stopped,
        makes: false,
    });
}

#[test]
fn forced_delete_that_fails_or_dies_anywhere_can_be_repeated() {
    holds(&Verb {
        arguments: &["delete", "--force", "ID"],
        before: running,
        makes: false,
    });
}
