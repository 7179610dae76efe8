//! The table as a whole, and what is promised by the built-in profiles.

use super::*;
use crate::profile::{Facts, Profile, tighten};
use crate::report::Severity;
use crate::report::checks::Outcome as Checked;
use crate::spec::hardened_default;

fn promise(profile: &str) -> Promise {
    let profile = Profile::builtin(profile).expect("it is built in");
    let tightened = tighten(&hardened_default(None), &profile, &Facts::default());
    Promise::of(&tightened.expect("the profile takes its own default")).expect("filters compile")
}

fn ids(passes: impl Fn(&Probe) -> bool) -> Vec<&'static str> {
    let rows = ROWS.iter().filter(|probe| passes(probe));
    rows.map(|probe| probe.id).collect()
}

#[test]
fn rows_are_numbered_without_gaps_and_have_ids_of_their_own() {
    let numbers: Vec<u8> = ROWS.iter().map(|probe| probe.number).collect();
    assert_eq!(numbers, (1..=72).collect::<Vec<u8>>());
    let mut ids = ids(|_| true);
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), ROWS.len());
}

#[test]
fn restricted_promises_every_grave_row_closed() {
    let promise = promise("restricted");
    let open =
        ids(|probe| probe.severity == Severity::High && *promise.want(probe.id) != Want::Closed);
    assert_eq!(open, Vec::<&str>::new());
}

#[test]
fn promises_grow_with_the_strictness_of_the_profile() {
    let count = |name: &str| {
        let promise = promise(name);
        ids(|probe| *promise.want(probe.id) == Want::Closed).len()
    };
    let (none, baseline, restricted) = (count("none"), count("baseline"), count("restricted"));
    assert!(
        none < baseline && baseline < restricted,
        "{none} {baseline} {restricted}"
    );
}

#[test]
fn a_promise_crosses_processes_as_json() {
    let promise = promise("none");
    let text = serde_json::to_string(&promise).unwrap();
    assert_eq!(serde_json::from_str::<Promise>(&text).unwrap(), promise);
}

fn judged(id: &str, answer: Answer, want: &Want) -> (Checked, String) {
    let wants = serde_json::json!({ id: want });
    let promise: Promise = serde_json::from_value(wants).unwrap();
    let answered = Answered {
        id: id.to_owned(),
        answer,
    };
    let checks = checks("here", &[answered], &promise);
    let check = &checks.checks[0];
    let standing = serde_json::to_value(&check.facts[2].value).unwrap();
    (
        check.outcome.clone(),
        standing.as_str().unwrap_or_default().to_owned(),
    )
}

#[test]
fn answers_stand_to_promises() {
    let open = || Answer::open("succeeded");
    let found = || Answer::of_found(vec!["CAP_CHOWN".to_owned()], "none");
    let denied = || Answer::denied("EPERM");
    let only = |name: &str| Want::Only(vec![name.to_owned()]);
    let cases = [
        ("mount", open(), Want::Closed, Checked::Fail, "weak"),
        ("mount", denied(), Want::Closed, Checked::Pass, "ok"),
        ("mount", denied(), Want::Open, Checked::Pass, "strict"),
        ("mount", open(), Want::Open, Checked::Pass, "ok"),
        (
            "capabilities",
            found(),
            only("CAP_CHOWN"),
            Checked::Pass,
            "ok",
        ),
        (
            "capabilities",
            found(),
            only("CAP_KILL"),
            Checked::Fail,
            "weak",
        ),
        (
            "sockets-work",
            denied(),
            Want::Open,
            Checked::Fail,
            "broken",
        ),
        ("sockets-work", denied(), Want::Closed, Checked::Pass, "ok"),
        ("sockets-work", open(), Want::Open, Checked::Pass, "ok"),
    ];
    for (id, answer, want, outcome, standing) in cases {
        assert_eq!(
            judged(id, answer, &want),
            (outcome, standing.to_owned()),
            "{id}"
        );
    }
}

#[test]
fn exposure_is_0_where_all_is_closed_and_10_where_all_is_open() {
    let all = |answer: &Answer| {
        let answers: Vec<Answered> = ROWS
            .iter()
            .map(|probe| Answered {
                id: probe.id.to_owned(),
                answer: answer.clone(),
            })
            .collect();
        let checks = checks("here", &answers, &Promise::default());
        serde_json::to_value([&checks.facts[0].value, &checks.facts[1].value]).unwrap()
    };
    assert_eq!(all(&Answer::denied("x")), serde_json::json!(["0.0", "OK"]));
    assert_eq!(
        all(&Answer::open("x")),
        serde_json::json!(["10.0", "UNSAFE"])
    );
    assert_eq!(all(&Answer::skipped("x")), serde_json::json!(["0.0", "OK"]));
}
