//! Fields and filters against each other, as lines.

use super::*;
use crate::profile::parse;

fn lines(a: &str, b: &str) -> Vec<String> {
    let of = |text: &str| parse("x", &format!("name = \"x\"\ndescription = \"\"\n{text}")).unwrap();
    compare(&of(a), &of(b))
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn built_in_profiles_are_in_their_order() {
    let names = Profile::names();
    for pair in names.windows(2) {
        let of = |name| Profile::builtin(name).unwrap();
        let changes = compare(&of(pair[0]), &of(pair[1])).unwrap();
        let more = changes.iter().filter(|change| change.permits_more);
        let more: Vec<String> = more.map(ToString::to_string).collect();
        assert!(more.is_empty(), "{pair:?}: {more:#?}");
        assert!(compare(&of(pair[0]), &of(pair[0])).unwrap().is_empty());
        assert!(!is_at_most(&compare(&of(pair[1]), &of(pair[0])).unwrap()));
    }
}

#[test]
fn each_kind_of_field_has_its_order() {
    let a = "identity = { non-root = \"warn\", minimum-uid = 5 }\nroot.readonly = true\n\
             devices.allow = [\"c 1:* rw\"]\nlimits.pids = { maximum = 10 }\nmounts.bind = { add = [\"ro\"], device-nodes = true }";
    let b = "identity = { non-root = \"refuse\", minimum-uid = 4 }\ndevices.allow = [\"c 1:3 r\"]\n\
             limits.pids = { default = 10, maximum = 20 }\nmounts.bind = { add = [\"nodev\"] }\nlimits.memory.default = \"host\"";
    let expected = [
        "devices.allow: stricter: -c 1:* rw +c 1:3 r",
        "identity.minimum-uid: looser: 5 -> 4",
        "identity.non-root: stricter: warn -> refuse",
        "limits.memory.default: stricter: anything -> host",
        "limits.pids.maximum: looser: 10 -> 20",
        "mounts.bind.add: different: -ro +nodev",
        "mounts.bind.device-nodes: stricter: true -> false",
        "root.readonly: looser: true -> false",
    ];
    assert_eq!(lines(a, b), expected);
}

#[test]
fn landlock_rules_are_compared_as_what_they_permit() {
    let a = "[landlock]\nread = [\"/\", \"/a\"]\nbind-tcp = [80]\nscope = [\"signal\"]\n";
    let b = "[landlock]\nread = [\"/\"]\nexecute = [\"/bin\"]\non-old-kernel = \"best-effort\"\n";
    let expected = [
        "landlock.bind-tcp: looser: 80 -> anything",
        "landlock.execute: stricter: anything -> /bin",
        "landlock.on-old-kernel: looser: refuse -> best-effort",
        "landlock.read: stricter: -/a",
        "landlock.scope: looser: -signal",
    ];
    assert_eq!(lines(a, b), expected);
    assert_eq!(
        lines("", "[landlock]\nscope = []\n"),
        ["landlock.on-old-kernel: stricter: anything -> refuse"]
    );
}

#[test]
fn filters_are_compared_by_what_they_answer() {
    let with = |rules: &str| {
        format!("[seccomp]\ndefault-action = \"errno\"\narchitectures = [\"native\"]\n{rules}")
    };
    let rule = |name: &str, args: &str| {
        format!(
            "[[seccomp.rules]]\nnames = [\"{name}\"]\naction = \"allow\"\nargs = [{args}]\nreason = \"\"\n"
        )
    };
    let a = with(
        &[
            rule("clone", "{ index = 0, mask = 6, one-of = [0] }"),
            rule("read", ""),
        ]
        .concat(),
    );
    let same = with(
        &[
            rule("clone", "{ index = 0, mask = 7, one-of = [1] }"),
            rule("clone", "{ index = 0, mask = 15, one-of = [0, 8] }"),
            rule("read", ""),
        ]
        .concat(),
    );
    let fewer = with(&rule("clone", "{ index = 0, mask = 7, one-of = [0] }"));
    let others = with(
        &[
            rule("clone", "{ index = 0, mask = 3, one-of = [0] }"),
            rule("read", ""),
        ]
        .concat(),
    );
    assert_eq!(lines(&a, &same), Vec::<String>::new());
    assert_eq!(
        lines(&a, &fewer),
        [
            "seccomp.rules: stricter: allow -> EPERM: read",
            "seccomp.rules: stricter: by arguments -> by arguments: clone",
        ]
    );
    assert_eq!(
        lines(&fewer, &a)[0],
        "seccomp.rules: looser: EPERM -> allow: read"
    );
    assert_eq!(
        lines(&a, &others),
        ["seccomp.rules: different: by arguments -> by arguments: clone"]
    );
}
