//! The store against a real file system.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;
use crate::container::state::tests::sample;
use crate::container::{Phase, Status};

fn store() -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&directory.path().join("state")).unwrap();
    (directory, store)
}

#[test]
fn a_new_root_is_for_its_owner_alone() {
    let (directory, _store) = store();
    let mode = fs::metadata(directory.path().join("state"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn a_root_that_others_can_write_to_or_that_is_a_link_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("open");
    fs::create_dir(&root).unwrap();
    fs::set_permissions(&root, fs::Permissions::from_mode(0o777)).unwrap();
    let error = Store::open(&root).unwrap_err();
    assert!(
        error.to_string().ends_with("others may write to it"),
        "{error}"
    );
    symlink("/tmp", directory.path().join("link")).unwrap();
    let error = Store::open(&directory.path().join("link")).unwrap_err();
    assert!(error.to_string().ends_with("a link to one"), "{error}");
}

#[test]
fn a_reserved_entry_vanishes_unless_it_is_kept() {
    let (_directory, store) = store();
    drop(store.reserve("a").unwrap());
    assert!(!store.holds("a"));
    let mut entry = store.reserve("a").unwrap();
    entry.write(&sample("a")).unwrap();
    entry.keep().unwrap();
    drop(entry);
    assert_eq!(store.load("a").unwrap().state().unwrap(), sample("a"));
}

#[test]
fn a_taken_id_is_refused_and_left_alone() {
    let (_directory, store) = store();
    let entry = store.reserve("a").unwrap();
    let error = store.reserve("a").unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"create container "a": container with id "a" exists"#
    );
    entry.write(&sample("a")).unwrap();
    assert!(store.reserve("a").is_err());
    assert!(store.holds("a"));
}

#[test]
fn what_a_killed_create_left_is_taken_over() {
    let (directory, store) = store();
    fs::create_dir(directory.path().join("state/a")).unwrap();
    fs::write(directory.path().join("state/a/state.json.new"), "{").unwrap();
    let error = store.load("a").unwrap().state().unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"read state of container "a": its create was killed"#
    );
    let entry = store.reserve("a").unwrap();
    assert!(!entry.holds("state.json.new"));
}

#[test]
fn state_files_are_private_and_replaced_as_a_whole() {
    let (directory, store) = store();
    let entry = store.reserve("a").unwrap();
    let decoy = directory.path().join("decoy");
    fs::write(&decoy, "untouched").unwrap();
    entry.write(&sample("a")).unwrap();
    fs::remove_file(entry.path().join("state.json")).unwrap();
    symlink(&decoy, entry.path().join("state.json")).unwrap();
    assert!(entry.state().is_err());
    entry.write(&sample("a")).unwrap();
    assert_eq!(fs::read_to_string(&decoy).unwrap(), "untouched");
    let found = fs::symlink_metadata(entry.path().join("state.json")).unwrap();
    assert_eq!(found.permissions().mode(), 0o100_600);
}

#[test]
fn a_damaged_state_still_says_what_remains() {
    let (_directory, store) = store();
    let entry = store.reserve("a").unwrap();
    let mut state = sample("a");
    state.pid = 7;
    entry.write(&state).unwrap();
    fs::write(entry.path().join("state.json"), "{").unwrap();
    let error = entry.state().unwrap_err();
    assert!(
        error.to_string().contains("state.json is damaged"),
        "{error}"
    );
    assert_eq!(entry.remains().unwrap().pid, 7);
}

#[test]
fn list_passes_over_what_is_no_container() {
    let (directory, store) = store();
    fs::write(directory.path().join("state/file"), "").unwrap();
    fs::create_dir(directory.path().join("state/a b")).unwrap();
    let (_b, _a) = (store.reserve("b").unwrap(), store.reserve("a").unwrap());
    let ids: Vec<_> = store
        .list()
        .unwrap()
        .iter()
        .map(|entry| entry.id().to_owned())
        .collect();
    assert_eq!(ids, ["a", "b"]);
}

#[test]
fn remove_takes_everything_and_follows_no_link() {
    let (directory, store) = store();
    let entry = store.reserve("a").unwrap();
    let outside = directory.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), "").unwrap();
    symlink(&outside, entry.path().join("link")).unwrap();
    fs::create_dir_all(entry.path().join("deep/er")).unwrap();
    entry.remove().unwrap();
    assert!(!store.holds("a"));
    assert!(outside.join("file").exists());
    assert!(entry.lock().is_err());
}

#[test]
fn creating_lasts_as_long_as_the_creator_holds_the_lock() {
    let (_directory, store) = store();
    let mut entry = store.reserve("a").unwrap();
    let mut state = sample("a");
    state.phase = Phase::Creating;
    entry.write(&state).unwrap();
    let other = store.load("a").unwrap();
    assert_eq!(state.status(&other), Status::Creating);
    entry.keep().unwrap();
    assert_eq!(state.status(&other), Status::Stopped);
}

#[test]
fn status_follows_the_process_and_the_start_socket() {
    let (_directory, store) = store();
    let entry = store.reserve("a").unwrap();
    let mut state = sample("a");
    assert_eq!(state.status(&entry), Status::Stopped);
    state.pid = i32::try_from(std::process::id()).unwrap();
    state.start_time = crate::container::process::start_time(state.pid).unwrap();
    assert_eq!(state.status(&entry), Status::Running);
    fs::write(entry.path().join("start.sock"), "").unwrap();
    assert_eq!(state.status(&entry), Status::Created);
    state.start_time += 1;
    assert_eq!(state.status(&entry), Status::Stopped);
}
