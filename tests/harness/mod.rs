//! What every integration test stands on: a bundle, calls of the runtime with a time limit, a check for leftovers.
//! Not here: claims. The runtime under test is this crate's binary, or `STOCKADE_TEST_RUNTIME` (an oracle).

mod bundle;
mod call;
mod inside;
pub(crate) mod leftovers;
mod output;
mod program;
mod pty;
pub(crate) mod rootfs;
mod tree;

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

pub(crate) use bundle::Bundle;
pub(crate) use call::{Call, Running, ends, wait_for_exit};
pub(crate) use inside::{FOREVER, Inside, document};
pub(crate) use leftovers::cgroups_named;
pub(crate) use output::Output;
pub(crate) use program::{calls, compiled, pause, raw_calls};
pub(crate) use pty::Pty;
pub(crate) use tree::{Facts, Tree, differences, tree};

/// Says on the real standard error why a test did not run, and adds a line to `STOCKADE_SKIPS` if that is set.
pub(crate) fn skip(reason: &str) {
    let thread = std::thread::current();
    skip_part(thread.name().unwrap_or("a thread"), reason);
}

/// The same of a part of a test, by a name of its own.
pub(crate) fn skip_part(name: &str, reason: &str) {
    let line = format!("skipped: {name}: {reason}");
    say(&line);
    if let Some(path) = std::env::var_os("STOCKADE_SKIPS") {
        let file = std::fs::File::options()
            .append(true)
            .create(true)
            .open(path);
        let line = format!("{line}\n");
        file.unwrap().write_all(line.as_bytes()).unwrap();
    }
}

/// Writes a line to the real standard error: `eprint!` would be captured and shown for failed tests only.
pub(crate) fn say(line: &str) {
    let line = format!("{line}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

/// The program under test.
pub(crate) fn runtime() -> PathBuf {
    std::env::var_os("STOCKADE_TEST_RUNTIME")
        .map_or_else(|| env!("CARGO_BIN_EXE_stockade").into(), PathBuf::from)
}

/// Is the runtime under test an oracle, whose error texts and profiles are its own?
pub(crate) fn is_foreign() -> bool {
    std::env::var_os("STOCKADE_TEST_RUNTIME").is_some()
}

/// An installed program, as a path, if there is one.
pub(crate) fn installed(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}

/// A limit of time on a usual machine, as long as it has to be on this one: `STOCKADE_TEST_PATIENCE` times.
pub(crate) fn patience(usual: Duration) -> Duration {
    let times = std::env::var("STOCKADE_TEST_PATIENCE").map_or(1, |times| times.parse().unwrap());
    usual * times
}

/// How long it may take until what must happen has happened: on a busy machine other things come first.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// Waits until something is so that the kernel has no event for; fails where it does not become so.
#[track_caller]
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    assert!(
        becomes(patience(SOON), &mut is_so),
        "never happened: {what}"
    );
}

/// Does it become so within the limit?
pub(crate) fn becomes(limit: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    loop {
        if is_so() {
            return true;
        }
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
