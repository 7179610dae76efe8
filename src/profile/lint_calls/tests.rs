//! Each finding, with its words.

use crate::profile::lint;

const HEAD: &str = "name = \"x\"\ndescription = \"\"\n[seccomp]\ndefault-action = \"errno\"\narchitectures = [\"native\"]\n\
                    [[seccomp.rules]]\nnames = [\"execve\", \"exit_group\"]\naction = \"allow\"\nreason = \"\"\n";

fn found(rules: &[(&str, &str, &str)]) -> Vec<String> {
    let rule = |(names, action, args): &(&str, &str, &str)| {
        format!(
            "[[seccomp.rules]]\nnames = [{names}]\naction = \"{action}\"\nargs = [{args}]\nreason = \"\"\n"
        )
    };
    let text = HEAD.to_owned() + &rules.iter().map(rule).collect::<String>();
    lint("x", &text)
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn misspelt_foreign_and_runtime_s_calls_are_found() {
    assert_eq!(
        found(&[("\"raed\", \"waitpid\", \"pivot_root\"", "allow", "")]),
        [
            "medium: unknown-system-call: seccomp.rules[1].names[0]: no system call is called \"raed\"; did you mean \"read\"?",
            "medium: runtime-only: seccomp.rules[1].names[2]: pivot_root is for a runtime, which makes its calls before the filter is there; leave it out",
            "low: foreign-system-call: seccomp.rules[1].names: no listed architecture has waitpid; leave them, if the profile is for other machines too: they are passed over",
        ]
    );
}

#[test]
fn a_call_that_does_unseen_what_another_is_refused_is_found_where_it_stands() {
    let way = |key: &str| {
        format!(
            "medium: way-around: {key}: clone3 does what clone is refused, with arguments that no filter sees; \
             have clone3 fail with ENOSYS, or leave it out where that is the default: programs go on without it"
        )
    };
    let no_namespaces = "{ index = 0, mask = 0x7e020000, one-of = [0] }";
    let clone = ("\"clone\"", "allow", no_namespaces);
    let by_name = ("\"read\", \"clone3\"", "allow", "");
    let in_rules = |rules: &[(&str, &str, &str)]| {
        let mut lints = found(rules);
        lints.retain(|lint| lint.contains(": way-around: "));
        lints
    };
    assert_eq!(
        in_rules(&[clone, by_name]),
        [way("seccomp.rules[2].names[1]")]
    );
    let group = ("\"@process\"", "allow", "");
    assert_eq!(
        in_rules(&[("\"clone\"", "kill-process", ""), group]),
        [way("seccomp.rules[2].names[0]")]
    );
    assert_eq!(in_rules(&[clone, group]), [""; 0]);
    let on_top = |rest: &str| {
        let text = format!("name = \"x\"\nextends = \"restricted\"\n[seccomp]\n{rest}\n");
        let lints = lint("x", &text).unwrap();
        let lints = lints.iter().filter(|lint| lint.id == "way-around");
        lints.map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        on_top("allow = [\"@aio\", \"clone3\"]"),
        [way("seccomp.allow[1]")]
    );
    assert_eq!(on_top("allow = [\"@process\"]"), [""; 0]);
    assert_eq!(
        on_top("deny = [\"clone\"]\nallow = [\"@process\"]"),
        [""; 0]
    );
    assert_eq!(
        on_top("deny = [\"clone\"]\nallow = [\"clone3\"]"),
        [way("seccomp.allow[0]")]
    );
}

#[test]
fn rules_that_never_decide_are_found() {
    let clone = |one_of: &str| format!("{{ index = 0, mask = 3, one-of = [{one_of}] }}");
    assert_eq!(
        found(&[
            ("\"read\"", "allow", ""),
            ("\"read\"", "kill-process", &clone("1"))
        ]),
        [
            "medium: dead-rule: seccomp.rules[2]: other rules decide first for read; leave these names out, or the other rules",
        ]
    );
    assert_eq!(
        found(&[
            ("\"clone\"", "kill-process", &clone("0, 1, 2")),
            ("\"clone\"", "allow", &clone("1"))
        ]),
        [
            "medium: dead-rule: seccomp.rules[2]: other rules decide first for clone; leave these names out, or the other rules",
        ]
    );
    assert_eq!(
        found(&[
            ("\"clone\"", "kill-process", &clone("0, 1")),
            ("\"clone\"", "allow", &clone("1, 2"))
        ]),
        [
            "medium: contradicting-rules: seccomp.rules[2]: another rule has another answer to the same calls: clone; make the tests exclude each other",
        ]
    );
    assert_eq!(
        found(&[
            ("\"clone\"", "allow", &clone("0, 1")),
            ("\"clone\"", "kill-process", &clone("2"))
        ]),
        Vec::<String>::new()
    );
    assert_eq!(
        found(&[("\"clone\"", "errno", &clone("0"))]),
        [
            "low: repeats-default: seccomp.rules[1]: the rule does what the default does; leave it, if it is there for the reader",
        ]
    );
}

#[test]
fn comparisons_of_the_wrong_width_are_found() {
    let one = |args: &str, name: &str| found(&[(name, "allow", args)]);
    assert_eq!(
        one(
            "{ index = 0, mask = 0xffffffffffffffff, one-of = [1] }",
            "\"socket\""
        ),
        [
            "medium: wide-compare: seccomp.rules[1].args[0].mask: the kernel reads the low 32 bits of argument 0 of socket, and the mask has others; leave them out of the mask: a comparison of them is slipped past elsewhere",
        ]
    );
    assert_eq!(
        one("{ index = 1, one-of = [1] }", "\"prctl\""),
        [
            "medium: narrow-compare: seccomp.rules[1].args[0]: the kernel reads all 64 bits of argument 1 of prctl, and the low 32 are compared; set mask = 0xffffffffffffffff",
        ]
    );
    assert_eq!(
        one("{ index = 1, none-of = [0o4755] }", "\"chmod\""),
        [
            "high: narrow-argument: seccomp.rules[1].args[0]: the kernel reads 16 bits of argument 1 of chmod, so none-of matches every value; write one-of with a mask",
        ]
    );
}

#[test]
fn filters_that_refuse_nothing_or_the_program_are_found() {
    let text = HEAD.replace("default-action = \"errno\"", "default-action = \"allow\"");
    let ids = |text: &str| {
        lint("x", text)
            .unwrap()
            .iter()
            .map(|lint| lint.id)
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(&text), ["refuses-nothing", "repeats-default"]);
    assert_eq!(ids(&HEAD.replace("\"execve\", ", "")), ["nothing-runs"]);
    assert_eq!(
        ids(&HEAD.replace(
            "[\"native\"]",
            "[\"native\", \"SCMP_ARCH_X32\", \"SCMP_ARCH_S390X\"]"
        )),
        ["second-abi", "foreign-architecture"]
    );
}
