//! The table against what is made of it: each check has texts, a fixture in which it fires and one in which it is quiet.

mod fixtures;
mod found_in_config;
mod made;
mod of_config;
mod of_filters;
mod of_image;

use super::*;
use fixtures::{Fixture, fixtures};

#[test]
fn ids_are_unique_and_in_order() {
    let ids: Vec<&str> = table::checks().map(|check| check.id).collect();
    let mut sorted = ids.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(ids, sorted);
}

#[test]
fn each_check_says_what_why_and_what_to_do() {
    for check in table::checks() {
        let (kind, number) = check.id.split_once('-').unwrap();
        assert!(["CFG", "IMG"].contains(&kind), "{}", check.id);
        assert!(
            number.len() == 3 && number.bytes().all(|byte| byte.is_ascii_digit()),
            "{}",
            check.id
        );
        assert!(!check.stages.is_empty(), "{}", check.id);
        for text in [check.title, check.why, check.fix] {
            assert!(
                !text.is_empty() && !text.contains('\n'),
                "{}: {text}",
                check.id
            );
        }
        for sentence in [check.why, check.fix] {
            assert!(sentence.ends_with('.'), "{}: {sentence}", check.id);
        }
        assert!(!check.title.ends_with('.'), "{}: {}", check.id, check.title);
    }
}

#[test]
fn each_check_has_a_fixture_in_which_it_fires_and_one_in_which_it_is_quiet() {
    for check in table::checks() {
        let of_check: Vec<Fixture> = fixtures()
            .filter(|fixture| fixture.id == check.id)
            .collect();
        let [fixture] = of_check.as_slice() else {
            panic!("{} has {} fixtures", check.id, of_check.len());
        };
        let found = |findings: Findings| {
            assert!(
                findings.unanswered.is_empty(),
                "{}: {:?}",
                check.id,
                findings.unanswered
            );
            assert!(
                findings.wanted(check.id).is_some(),
                "{} was not looked for",
                check.id
            );
            findings
                .found
                .into_iter()
                .filter(|finding| finding.check.id == check.id)
                .collect::<Vec<_>>()
        };
        assert!(
            !found((fixture.fires)()).is_empty(),
            "{} does not fire",
            check.id
        );
        assert_eq!(found((fixture.quiet)()), [], "{} is not quiet", check.id);
    }
    let all: Vec<&str> = fixtures().map(|fixture| fixture.id).collect();
    let unknown: Vec<&&str> = all.iter().filter(|id| table::check(id).is_none()).collect();
    assert!(unknown.is_empty(), "fixtures of no check: {unknown:?}");
}
