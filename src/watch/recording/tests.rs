//! Profiles of recordings against what they were made under.

use super::*;
use crate::profile::{beyond, compare, is_at_most, permits, to_toml};

fn asked(arguments: [u64; 6]) -> Notification {
    Notification {
        id: 1,
        thread: 0,
        number: 0,
        arch: 0,
        instruction_pointer: 0,
        arguments,
    }
}

fn recorded() -> Recording {
    let mut recording = Recording {
        peaks: Peaks {
            memory: Some(40 << 20),
            pids: Some(3),
        },
        ..Recording::default()
    };
    recording.passed(
        "openat",
        &asked([0; 6]),
        vec![(Use::Read, "/etc/hosts".into())],
    );
    recording.passed("execve", &asked([0; 6]), Vec::new());
    for family in [1, 2] {
        recording.passed("socket", &asked([family, 0x80001, 0, 0, 0, 0]), Vec::new());
    }
    recording.passed("ioctl", &asked([1, 0x5413, 7, 0, 0, 0]), Vec::new());
    recording.passed("ioctl", &asked([1, 0x5401, 7, 0, 0, 0]), Vec::new());
    recording.passed("clone", &asked([0x0120_0011, 0, 0, 0, 0, 0]), Vec::new());
    recording.denied(
        "io_uring_setup",
        &asked([0; 6]),
        libc::SECCOMP_RET_ERRNO | 1,
    );
    recording.denied("clone3", &asked([0; 6]), libc::SECCOMP_RET_ERRNO | 38);
    recording
}

#[test]
fn the_profile_allows_what_was_recorded_and_no_more_than_the_base() {
    let base = Profile::builtin("restricted").unwrap();
    let profile = recorded().profile(&base, "mine", None).unwrap();
    let rules = to_toml(&profile).unwrap();
    let rules = rules
        .split("recorded\"")
        .skip(1)
        .collect::<Vec<_>>()
        .join("");
    for words in [
        "names = [\"ioctl\"]\naction = \"allow\"\nargs = [{ index = 1, one-of = [0x5401, 0x5413] }]",
        "names = [\"io_uring_setup\"]\naction = \"errno\"\nerrno = \"EPERM\"\nreason = \"refused while",
        "names = [\"socket\"]\naction = \"allow\"\nargs = [{ index = 0, one-of = [1] }, \
         { index = 1, mask = 0xf, one-of = [1] }, { index = 2, one-of = [0] }]",
    ] {
        assert!(rules.contains(words), "{words} is not in {rules}");
    }
    let changes = compare(&base, &profile).unwrap();
    assert!(is_at_most(&changes), "{changes:?}");
    assert!(!beyond(&base, &profile).unwrap().is_empty());
    assert_eq!(beyond(&profile, &base).unwrap(), []);
}

#[test]
fn a_merged_recording_has_both_and_keeps_the_higher_limit() {
    let base = Profile::builtin("restricted").unwrap();
    let old = recorded().profile(&base, "old", None).unwrap();
    let mut new = Recording {
        peaks: Peaks {
            memory: Some(1),
            pids: Some(100),
        },
        ..Recording::default()
    };
    new.passed("socket", &asked([10, 2, 0, 0, 0, 0]), Vec::new());
    new.merge(&old).unwrap();
    let merged = new.profile(&base, "new", Some(&old)).unwrap();
    assert_eq!(beyond(&old, &merged).unwrap(), []);
    let number = |bound: &Bound| bound.default;
    let limits = &merged.limits;
    assert_eq!(number(&limits.memory), Some(Quantity::Number(60 << 20)));
    assert_eq!(number(&limits.pids), Some(Quantity::Number(200)));
    assert_eq!(
        new.merge(&base).unwrap_err().to_string(),
        "merge the recording \"restricted\": seccomp.rules[0] is not as a recording writes them"
    );
}

fn custom(rules: &str) -> Profile {
    let text = format!("name = \"own\"\nextends = \"paranoid\"\n{rules}");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("own.toml");
    std::fs::write(&path, text).unwrap();
    Profile::load(path.to_str().unwrap()).unwrap()
}

fn killing(profile: &Profile) -> Vec<String> {
    let rules = profile.seccomp.iter().flat_map(|seccomp| &seccomp.rules);
    let kills = rules.filter(|rule| rule.action == Action::KillProcess);
    kills.flat_map(|rule| rule.names.clone()).collect()
}

#[test]
fn what_kills_under_the_profile_kills_under_the_recorded_one() {
    let base = Profile::builtin("paranoid").unwrap();
    let profile = recorded().profile(&base, "mine", None).unwrap();
    assert_eq!(killing(&profile), killing(&base));
    let changes = compare(&base, &profile).unwrap();
    assert!(is_at_most(&changes), "{changes:?}");
}

const TESTED: &str = "[[seccomp.rules.add]]\nnames = [\"prlimit64\", \"madvise\"]\naction = \"allow\"\nreason = \"\"\n\
                      args = [{ index = 1, one-of = [7] }]\n\
                      [[seccomp.rules.add]]\nnames = [\"prlimit64\"]\naction = \"kill-process\"\nreason = \"\"\n\
                      args = [{ index = 1, one-of = [6] }]\n\
                      [seccomp]\ndeny = [\"access\"]\n";

#[test]
fn what_the_profile_tests_and_the_recording_does_not_stays_tested() {
    let base = custom(TESTED);
    let mut recording = recorded();
    recording.passed("prlimit64", &asked([0, 7, 0, 0, 0, 0]), Vec::new());
    let profile = recording.profile(&base, "mine", None).unwrap();
    let changes = compare(&base, &profile).unwrap();
    assert!(is_at_most(&changes), "{changes:?}");
    let rules = to_toml(&profile).unwrap();
    assert!(rules.contains("names = [\"prlimit64\", \"madvise\"]\naction = \"allow\"\nargs = [{ index = 1, one-of = [7] }]"), "{rules}");
    assert!(permits(
        profile.seccomp.as_ref().unwrap(),
        "prlimit64",
        &[0, 7, 0, 0, 0, 0]
    ));

    let mut new = Recording::default();
    new.merge(&profile).unwrap();
    let merged = new.profile(&base, "new", Some(&profile)).unwrap();
    let changes = compare(&profile, &merged).unwrap();
    let calls = changes
        .iter()
        .filter(|change| change.field.starts_with("seccomp"));
    assert_eq!(calls.count(), 0, "{changes:?}");
    let elsewhere = new
        .profile(&Profile::builtin("paranoid").unwrap(), "new", None)
        .unwrap();
    let rules = elsewhere.seccomp.unwrap();
    assert!(!permits(&rules, "prlimit64", &[0, 5, 0, 0, 0, 0]));
    assert!(permits(&rules, "prlimit64", &[0, 7, 0, 0, 0, 0]));
}

#[test]
fn what_was_let_pass_beyond_the_profile_is_let_pass_again() {
    let base = custom(TESTED);
    let mut recording = Recording {
        is_permissive: true,
        ..Recording::default()
    };
    for name in ["ptrace", "prlimit64"] {
        recording.passed(name, &asked([0, 6, 0, 0, 0, 0]), Vec::new());
        recording.passed_beyond(name);
    }
    let profile = recording.profile(&base, "mine", None).unwrap();
    let rules = profile.seccomp.as_ref().unwrap();
    for name in ["ptrace", "prlimit64", "access", "madvise"] {
        assert!(permits(rules, name, &[0, 6, 0, 0, 0, 0]), "{name}");
    }
    assert!(!killing(&profile).contains(&"ptrace".to_owned()));
    assert!(killing(&profile).contains(&"bpf".to_owned()));
}

#[test]
fn a_default_that_kills_kills_what_was_not_recorded() {
    let base = custom("seccomp.default-action = \"kill-process\"\n");
    let profile = recorded().profile(&base, "mine", None).unwrap();
    assert_eq!(
        profile.seccomp.as_ref().unwrap().default_action,
        Action::KillProcess
    );
    let changes = compare(&base, &profile).unwrap();
    let more = changes.iter().filter(|change| change.permits_more);
    let more: Vec<&str> = more.flat_map(|change| change.calls.clone()).collect();
    assert_eq!(more, ["clone3"], "which was refused, and not killed");
}

#[test]
fn the_opening_of_files_is_allowed_where_it_was_not_asked_about_and_the_base_does() {
    let unasked = || Recording {
        openings: Openings::Passed,
        ..Recording::default()
    };
    let allows = |recording: &Recording, base: &Profile| {
        let rules = recording.profile(base, "mine", None).unwrap().seccomp;
        permits(&rules.unwrap(), "openat", &[0; 6])
    };
    let base = Profile::builtin("restricted").unwrap();
    assert!(allows(&unasked(), &base));
    assert!(!allows(&Recording::default(), &base));
    let denying = custom("[seccomp]\ndeny = [\"openat\"]\n");
    assert!(!allows(&unasked(), &denying));

    // Merged into one that asks, and the other way round, it is in one rule.
    let without = unasked().profile(&base, "old", None).unwrap();
    let with = recorded().profile(&base, "old", None).unwrap();
    for (mut new, old) in [(Recording::default(), without), (unasked(), with)] {
        new.merge(&old).unwrap();
        let merged = new.profile(&base, "new", None).unwrap().seccomp.unwrap();
        let names = merged.rules.iter().flat_map(|rule| &rule.names);
        assert_eq!(names.filter(|name| *name == "openat").count(), 1);
    }
}
