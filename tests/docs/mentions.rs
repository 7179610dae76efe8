//! What the documentation says of the command line in passing: the verbs and flags exist, and every verb is in README.md.

use std::fs;

use clap::{Command, CommandFactory};
use stockade::cli::CommandLine;

use super::page::{crate_dir, names};

#[test]
fn verbs_and_flags_that_the_documentation_mentions_exist() {
    let command = CommandLine::command();
    let mut wrong = Vec::new();
    for name in names() {
        let text = fs::read_to_string(crate_dir().join(&name)).unwrap();
        for line in text.lines().filter(|line| !line.starts_with("```")) {
            let calls = line.split('`').skip(1).step_by(2);
            for call in calls.filter_map(|code| code.strip_prefix("stockade ")) {
                if let Err(word) = exists(&command, call) {
                    wrong.push(format!("{name}: `stockade {call}`: {word}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_verb_is_in_the_readme() {
    let text = fs::read_to_string(crate_dir().join("README.md")).unwrap();
    let command = CommandLine::command();
    let verbs = command.get_subcommands().filter(|verb| !verb.is_hide_set());
    let missing: Vec<&str> = verbs
        .map(Command::get_name)
        .filter(|verb| *verb != "help" && !text.contains(&format!("`{verb}")))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// Are the verb and the flags of a call there? The word that is not, otherwise. Words in capitals stand for others.
fn exists<'a>(command: &Command, call: &'a str) -> Result<(), &'a str> {
    let mut verb = None;
    for word in call
        .split_whitespace()
        .take_while(|word| !word.contains('|'))
    {
        if let Some(flag) = word.strip_prefix("--") {
            let own = verb.into_iter().flat_map(Command::get_arguments);
            let mut flags = command.get_arguments().chain(own);
            if flag != "help" && !flags.any(|known| known.get_long() == Some(flag)) {
                return Err(word);
            }
        } else if verb.is_none() && word.chars().all(|c| c.is_ascii_lowercase()) {
            verb = Some(command.find_subcommand(word).ok_or(word)?);
        }
    }
    Ok(())
}
