//! The help of the whole program: verbs in groups, which clap does not have.

use std::fmt::Write;

use clap::Command;

/// Every verb, by what a reader comes for.
const GROUPS: &[(&str, &[&str])] = &[
    ("Sandboxes", &["launch", "probe", "record", "test"]),
    (
        "Containers (OCI)",
        &[
            "create", "start", "run", "exec", "state", "list", "ps", "events", "kill", "pause",
            "resume", "update", "delete", "explain",
        ],
    ),
    ("Images", &["unpack", "verify", "audit", "image"]),
    ("Configuration", &["spec", "plan", "profile", "features"]),
    ("This host", &["doctor", "install"]),
];

/// The template of the help, with each verb's own summary.
pub(super) fn grouped(command: &Command) -> String {
    let mut text = String::from("{about}\n\n{usage-heading} {usage}\n");
    for (title, verbs) in GROUPS {
        let _ = write!(text, "\n{title}:\n");
        for verb in *verbs {
            let about = command.find_subcommand(verb).and_then(Command::get_about);
            let about = about.map(ToString::to_string).unwrap_or_default();
            let _ = writeln!(text, "  {verb:<10}{about}");
        }
    }
    text.push_str("\nstockade help VERB says more.\n\n{options}");
    text
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_verb_is_in_one_group() {
        let command = crate::cli::CommandLine::command();
        let shown = command.get_subcommands().filter(|verb| !verb.is_hide_set());
        let mut verbs: Vec<_> = shown.map(Command::get_name).collect();
        let mut grouped: Vec<_> = GROUPS
            .iter()
            .flat_map(|(_, verbs)| verbs.iter().copied())
            .collect();
        verbs.sort_unstable();
        grouped.sort_unstable();
        assert_eq!(grouped, verbs);
    }
}
