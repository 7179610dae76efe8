//! What a container's annotations say of its profile: what the profile is, and what it changed. They are the runtime's own:
//! whatever a config says under these names is replaced. Which profile an annotation asks for is `choose`'s.

use std::collections::BTreeMap;

use serde::Serialize;

use super::change::{Change, Difference};
use super::{ANNOTATION, Profile};

/// The annotation with what the profile changed: a JSON array, an object for each change.
pub const TIGHTENED: &str = "org.stockade.tightened";

/// How many changes [`TIGHTENED`] has no room for.
const OMITTED: &str = "org.stockade.tightened.omitted";

/// Bytes of [`TIGHTENED`]: hooks get the annotations, too, and a config may hold any number of mounts.
const ROOM: usize = 4096;

/// Bytes of one change; a longer one is told without its values.
const ROOM_OF_ONE: usize = 1000;

#[derive(Serialize)]
struct Told<'a> {
    pointer: &'a str,
    rule: &'a str,
    #[serde(flatten)]
    difference: Option<Difference>,
}

/// Sets our annotations, and takes away those by the same names. The profile that changes nothing adds none either: what
/// hooks get of it is the config's.
pub fn annotate(annotations: &mut BTreeMap<String, String>, profile: &str, changes: &[Change]) {
    for name in [TIGHTENED, OMITTED] {
        annotations.remove(name);
    }
    let [none, ..] = Profile::names();
    if profile != none || annotations.contains_key(ANNOTATION) {
        annotations.insert(ANNOTATION.to_owned(), profile.to_owned());
    }
    if changes.is_empty() {
        return;
    }
    let mut list = String::from("[");
    let mut told = 0;
    for text in changes.iter().map(tell) {
        if list.len() + text.len() > ROOM {
            break;
        }
        if told > 0 {
            list.push(',');
        }
        list.push_str(&text);
        told += 1;
    }
    list.push(']');
    annotations.insert(TIGHTENED.to_owned(), list);
    if told < changes.len() {
        let omitted = changes.len() - told;
        annotations.insert(OMITTED.to_owned(), omitted.to_string());
    }
}

fn tell(change: &Change) -> String {
    let text = |difference| {
        let told = Told {
            pointer: &change.pointer,
            rule: &change.rule,
            difference,
        };
        serde_json::to_string(&told).expect("its keys are strings")
    };
    let whole = text(Some(change.difference()));
    if whole.len() > ROOM_OF_ONE {
        text(None)
    } else {
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(pointer: &str, before: serde_json::Value, after: serde_json::Value) -> Change {
        Change {
            pointer: pointer.into(),
            before: Some(before),
            after: Some(after),
            rule: "a.rule".into(),
            profile: "p".into(),
        }
    }

    fn annotated(changes: &[Change], of_config: &[(&str, &str)]) -> BTreeMap<String, String> {
        let own = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
        let mut annotations = of_config.iter().map(own).collect();
        annotate(&mut annotations, "p", changes);
        annotations
    }

    #[test]
    fn the_annotations_say_the_profile_and_each_change() {
        let changes = [
            change("/process/noNewPrivileges", false.into(), true.into()),
            change(
                "/mounts/0/options",
                vec!["ro"].into(),
                vec!["ro", "nodev"].into(),
            ),
        ];
        let annotations = annotated(&changes, &[("org.example", "kept")]);
        let tightened = concat!(
            r#"[{"pointer":"/process/noNewPrivileges","rule":"a.rule","before":false,"after":true},"#,
            r#"{"pointer":"/mounts/0/options","rule":"a.rule","added":["nodev"]}]"#
        );
        let expected = [
            ("org.example", "kept"),
            ("org.stockade.profile", "p"),
            ("org.stockade.tightened", tightened),
        ];
        let expected = expected.map(|(name, text)| (name.to_owned(), text.to_owned()));
        assert_eq!(annotations, BTreeMap::from(expected));
    }

    #[test]
    fn what_a_config_says_in_our_name_is_not_believed() {
        let lies = [
            ("org.stockade.profile", "paranoid"),
            ("org.stockade.tightened", "[]"),
            ("org.stockade.tightened.omitted", "1"),
        ];
        let expected = [("org.stockade.profile".to_owned(), "p".to_owned())];
        assert_eq!(annotated(&[], &lies), BTreeMap::from(expected));
    }

    #[test]
    fn the_profile_that_changes_nothing_is_named_only_where_the_config_names_one() {
        let mut annotations = BTreeMap::new();
        annotate(&mut annotations, "none", &[]);
        assert_eq!(annotations, BTreeMap::new());
        annotations.insert(ANNOTATION.to_owned(), "paranoid".to_owned());
        annotate(&mut annotations, "none", &[]);
        assert_eq!(annotations[ANNOTATION], "none");
    }

    #[test]
    fn the_annotations_are_bounded_whatever_was_changed() {
        let long = |number: usize| {
            let pointer = format!("/mounts/{number}/options");
            change(&pointer, vec!["x".repeat(10_000)].into(), vec!["y"].into())
        };
        let changes: Vec<Change> = (0..1000).map(long).collect();
        let annotations = annotated(&changes, &[]);
        let tightened = &annotations[TIGHTENED];
        assert!(tightened.len() <= ROOM + 2, "{}", tightened.len());
        let told: Vec<serde_json::Value> = serde_json::from_str(tightened).unwrap();
        let expected = serde_json::json!({"pointer": "/mounts/0/options", "rule": "a.rule"});
        assert_eq!(told[0], expected);
        assert_eq!(annotations[OMITTED], (1000 - told.len()).to_string());
    }
}
