//! kill and delete of real processes, with states written by hand.

use std::fs;
use std::process::{Child, Command};

use super::*;
use crate::container::state::tests::sample;
use crate::container::{Phase, Whom, kill};
use crate::spec::{Hook, Hooks};

/// A process that sleeps, and a container whose process it is.
struct Sleeping {
    directory: tempfile::TempDir,
    store: Store,
    child: Child,
}

impl Sleeping {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("state")).unwrap();
        let child = Command::new("sleep").arg("100").spawn().unwrap();
        let sleeping = Self {
            directory,
            store,
            child,
        };
        let mut entry = sleeping.store.reserve("a").unwrap();
        entry.write(&sleeping.state()).unwrap();
        entry.keep().unwrap();
        sleeping
    }

    fn state(&self) -> State {
        let mut state = sample("a");
        state.pid = i32::try_from(self.child.id()).unwrap();
        state.start_time = process::start_time(state.pid).unwrap();
        state
    }

    fn entry(&self) -> Entry {
        self.store.load("a").unwrap()
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }
}

impl Drop for Sleeping {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
fn kill_reaches_the_process_and_then_says_that_it_is_not_running() {
    let mut sleeping = Sleeping::new();
    kill(&sleeping.entry(), 0, Whom::Init).unwrap();
    kill(&sleeping.entry(), libc::SIGRTMIN() + 3, Whom::Init).unwrap();
    sleeping.child.wait().unwrap();
    let error = kill(&sleeping.entry(), libc::SIGTERM, Whom::Init).unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"kill container "a": container not running"#
    );
}

#[test]
fn another_process_with_the_same_pid_is_never_killed() {
    let mut sleeping = Sleeping::new();
    let mut state = sleeping.state();
    state.start_time -= 1;
    sleeping.entry().write(&state).unwrap();
    assert!(kill(&sleeping.entry(), libc::SIGKILL, Whom::Init).is_err());
    delete(&sleeping.store, "a", Unless::Forced).unwrap();
    assert!(sleeping.child.try_wait().unwrap().is_none());
    assert!(!sleeping.store.holds("a"));
}

#[test]
fn delete_refuses_a_running_container_and_kills_it_only_by_force() {
    let mut sleeping = Sleeping::new();
    let error = delete(&sleeping.store, "a", Unless::Stopped).unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"delete container "a": container is not stopped: running"#
    );
    assert!(sleeping.child.try_wait().unwrap().is_none());
    delete(&sleeping.store, "a", Unless::Forced).unwrap();
    assert!(sleeping.child.try_wait().unwrap().is_some());
    assert!(!sleeping.store.holds("a"));
}

#[test]
fn delete_by_force_of_nothing_is_fine_and_of_no_id_is_not() {
    let sleeping = Sleeping::new();
    delete(&sleeping.store, "b", Unless::Forced).unwrap();
    let error = delete(&sleeping.store, "b", Unless::Stopped).unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"find container "b": container does not exist"#
    );
    assert!(delete(&sleeping.store, "../b", Unless::Forced).is_err());
}

#[test]
fn a_container_with_a_damaged_state_is_killed_and_removed_by_force() {
    let mut sleeping = Sleeping::new();
    fs::write(sleeping.file("state/a/state.json"), "{").unwrap();
    assert!(delete(&sleeping.store, "a", Unless::Stopped).is_err());
    delete(&sleeping.store, "a", Unless::Forced).unwrap();
    assert!(sleeping.child.try_wait().unwrap().is_some());
    assert!(!sleeping.store.holds("a"));
}

#[test]
fn what_a_killed_create_left_is_deleted_without_force() {
    let mut sleeping = Sleeping::new();
    let mut state = sleeping.state();
    state.phase = Phase::Creating;
    sleeping.entry().write(&state).unwrap();
    delete(&sleeping.store, "a", Unless::Stopped).unwrap();
    assert!(sleeping.child.try_wait().unwrap().is_some());
    fs::create_dir(sleeping.file("state/b")).unwrap();
    delete(&sleeping.store, "b", Unless::Stopped).unwrap();
    assert!(!sleeping.store.holds("b"));
}

#[test]
fn delete_by_force_ends_a_process_that_a_create_clones_while_it_waits() {
    let mut sleeping = Sleeping::new();
    let mut state = sleeping.state();
    let pid = state.pid;
    state.phase = Phase::Creating;
    state.pid = 0;
    let creating = sleeping.entry();
    creating.write(&state).unwrap();
    let lock = creating.lock().unwrap();
    let store = sleeping.store.path().to_owned();
    thread::scope(|scope| {
        let deleting = scope.spawn(|| delete(&Store::open(&store).unwrap(), "a", Unless::Forced));
        // The delete is asleep for the lock, or about to be.
        thread::sleep(Duration::from_millis(50));
        state.pid = pid;
        creating.write(&state).unwrap();
        // As a create does: it gives up when its child has ended.
        sleeping.child.wait().unwrap();
        drop(lock);
        deleting.join().unwrap().unwrap();
    });
    assert!(!sleeping.store.holds("a"));
}

#[test]
fn delete_by_force_does_not_wait_for_ever_for_another_stockade() {
    let sleeping = Sleeping::new();
    let (working, deleting) = (sleeping.entry(), sleeping.entry());
    let _lock = working.lock().unwrap();
    let error = take_away(&deleting, Duration::from_secs(1)).unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"delete container "a": another stockade is still at work on it after 1 s"#
    );
    assert!(sleeping.store.holds("a"));
}

#[test]
fn every_poststop_hook_runs_once_the_container_is_gone() {
    let sleeping = Sleeping::new();
    let hook = |script: String| Hook {
        path: "/bin/sh".into(),
        args: vec!["sh".into(), "-c".into(), script],
        env: Some(vec!["PATH=/bin:/usr/bin".into()]),
        timeout: None,
    };
    let (state, seen) = (sleeping.file("state/a"), sleeping.file("seen"));
    let mut with_hooks = sleeping.state();
    with_hooks.config.hooks = Some(Hooks {
        poststop: vec![
            hook("exit 3".into()),
            hook(format!(
                "test ! -e {} && cat >{}",
                state.display(),
                seen.display()
            )),
        ],
        ..Hooks::default()
    });
    sleeping.entry().write(&with_hooks).unwrap();
    let opened_before = sleeping.entry();
    delete(&sleeping.store, "a", Unless::Forced).unwrap();
    let document = fs::read_to_string(&seen).unwrap();
    assert!(
        document.contains(r#""pid":0,"status":"stopped""#),
        "{document}"
    );
    fs::remove_file(&seen).unwrap();
    destroy(&opened_before, &with_hooks).unwrap();
    assert!(!seen.exists(), "the hooks ran a second time");
}
