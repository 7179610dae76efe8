//! The documentation: every command in README.md and docs/*.md does what is shown, on a machine of its own; links lead
//! somewhere. How a page says what is run: docs/page.rs.

mod links;
mod machine;
mod page;
mod shown;

use std::fmt::Write as _;
use std::fs;

use crate::harness::{installed, is_foreign, say, skip, skip_part};
use machine::Machine;
use page::{Block, Command, DATA, Order, Page};

/// Where the commands of a page are run.
struct Stage {
    page: &'static str,
    /// Without these it cannot be tried.
    needs: &'static [&'static str],
    /// What the page takes for granted: a script in tests/docs.
    before: &'static str,
}

const STAGES: [Stage; 9] = [
    Stage {
        page: "README.md",
        needs: &["skopeo"],
        before: "readme.sh",
    },
    Stage {
        page: "docs/clients.md",
        needs: &["containerd"],
        before: "nothing.sh",
    },
    Stage {
        page: "docs/containerd.md",
        needs: &["containerd", "containerd-shim-runc-v2", "ctr"],
        before: "containerd.sh",
    },
    Stage {
        page: "docs/docker.md",
        needs: &["dockerd", "docker", "containerd", "containerd-shim-runc-v2"],
        before: "docker.sh",
    },
    Stage {
        page: "docs/exit-codes.md",
        needs: &["skopeo"],
        before: "images.sh",
    },
    Stage {
        page: "docs/images.md",
        needs: &["skopeo", "openssl"],
        before: "images.sh",
    },
    Stage {
        page: "docs/migration.md",
        needs: &["runc", "crun", "jq"],
        before: "migration.sh",
    },
    Stage {
        page: "docs/podman.md",
        needs: &["podman", "conmon", "newuidmap", "slirp4netns"],
        before: "podman.sh",
    },
    Stage {
        page: "docs/profiles.md",
        needs: &["skopeo"],
        before: "images.sh",
    },
];

#[test]
fn commands_of_readme_do_what_is_shown() {
    holds("README.md");
}

#[test]
fn commands_of_clients_do_what_is_shown() {
    holds("docs/clients.md");
}

#[test]
fn commands_of_containerd_do_what_is_shown() {
    holds("docs/containerd.md");
}

#[test]
fn commands_of_docker_do_what_is_shown() {
    holds("docs/docker.md");
}

#[test]
fn commands_of_exit_codes_do_what_is_shown() {
    holds("docs/exit-codes.md");
}

#[test]
fn commands_of_images_do_what_is_shown() {
    holds("docs/images.md");
}

#[test]
fn commands_of_migration_do_what_is_shown() {
    holds("docs/migration.md");
}

#[test]
fn commands_of_podman_do_what_is_shown() {
    holds("docs/podman.md");
}

#[test]
fn commands_of_profiles_do_what_is_shown() {
    holds("docs/profiles.md");
}

#[test]
fn every_page_with_commands_has_a_stage_and_every_block_a_language() {
    let mut wrong = Vec::new();
    for name in page::names() {
        let page = Page::read(&name);
        for block in &page.blocks {
            let language = block.language.as_str();
            if !["console", "sh"].contains(&language) && !DATA.contains(&language) {
                wrong.push(format!("{name}:{}: language {language:?}", block.line));
            }
        }
        let is_run = |block: &Block| !matches!(block.order, Order::Not { .. });
        let has_commands = |block: &Block| is_run(block) && !block.commands().is_empty();
        let has_stage = STAGES.iter().any(|stage| stage.page == name);
        if page.blocks.iter().any(has_commands) && !has_stage {
            wrong.push(format!("{name}: no stage"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Runs the commands of a page and compares.
fn holds(name: &str) {
    if is_foreign() {
        return skip("the documentation is of stockade");
    }
    let stage = STAGES.iter().find(|stage| stage.page == name).unwrap();
    let needs = stage
        .needs
        .iter()
        .chain(&["unshare", "ip", "bash", "busybox"]);
    for program in needs {
        if installed(program).is_none() {
            return skip(&format!("{program} is not installed"));
        }
    }
    let script = Script::of(&Page::read(name), stage);
    let mut wrong = script.tried(name);
    // ctr(8) loses the output of a short program now and then, with every runtime (clients/score.rs).
    if name == "docs/containerd.md" && !wrong.is_empty() {
        say(&format!("again: {name}: {}", wrong.join("\n")));
        wrong = script.tried(name);
    }
    let run = script.commands.len();
    say(&format!(
        "{name}: {run} commands were run, {} blocks were not",
        script.left_out
    ));
    assert!(wrong.is_empty(), "{name}:\n{}", wrong.join("\n"));
}

/// The script for a page: between its commands it tells their exit codes.
struct Script {
    text: String,
    commands: Vec<Command>,
    left_out: usize,
}

/// Before the number and the exit code of a command that has ended.
const MARK: char = '\u{1e}';

/// Tells the exit code of the command before it, and is no command itself to `$?`.
const TELL: &str =
    r#"tell() { local code=$?; printf '\036%s %s\n' "$1" "$code"; return "$code"; }"#;

impl Script {
    fn of(page: &Page, stage: &Stage) -> Self {
        let before = fs::read_to_string(page::crate_dir().join("tests/docs").join(stage.before));
        let before = before.unwrap();
        let mut script = Self {
            text: format!("exec 2>&1\n{TELL}\nset -e\n{before}\nset +e\ntell -\n"),
            commands: Vec::new(),
            left_out: 0,
        };
        for block in &page.blocks {
            script.add(page, block);
        }
        script
    }

    /// What is wrong when it runs.
    fn tried(&self, page: &str) -> Vec<String> {
        let word = page.trim_start_matches("docs/").trim_end_matches(".md");
        let output = Machine::new(&word.to_lowercase()).run(&self.text);
        self.compare(&output)
    }

    fn add(&mut self, page: &Page, block: &Block) {
        match &block.order {
            Order::Run => {
                let lines = self.told(block);
                self.text += &lines;
            }
            Order::As(user) => {
                let lines = self.told(block);
                writeln!(
                    self.text,
                    "cat >/tmp/.lines <<'THE END'\n{TELL}\n{lines}THE END"
                )
                .unwrap();
                writeln!(self.text, "as {user} bash /tmp/.lines").unwrap();
            }
            Order::Not { .. } if block.commands().is_empty() => {}
            Order::Not { reason, instead } => {
                self.left_out += 1;
                skip_part(&format!("{}:{}", page.name, block.line), reason);
                if let Some(instead) = instead {
                    writeln!(self.text, "{instead}").unwrap();
                }
            }
        }
    }

    fn told(&mut self, block: &Block) -> String {
        let mut lines = String::new();
        for command in block.commands() {
            writeln!(lines, "{}\ntell {}", command.text, self.commands.len()).unwrap();
            self.commands.push(command);
        }
        lines
    }

    /// What is wrong, by line.
    fn compare(&self, output: &str) -> Vec<String> {
        let mut parts = output.split(MARK);
        let mut said = parts.next().unwrap_or_default();
        let mut wrong = Vec::new();
        let mut ended = 0;
        for part in parts {
            let (end, rest) = part.split_once('\n').unwrap_or((part, ""));
            let (number, code) = end.split_once(' ').unwrap_or((end, ""));
            if let Ok(number) = number.parse::<usize>() {
                ended += 1;
                let next = self.commands.get(number + 1);
                wrong.extend(self.commands[number].problem(said, code, next));
            }
            said = rest;
        }
        if ended < self.commands.len() {
            let Command { line, text, .. } = &self.commands[ended];
            wrong.push(format!("line {line}: $ {text}\nhas not ended:\n{said}"));
        }
        wrong
    }
}

impl Command {
    /// What is wrong with its end. One that fails shows an error, or the next one shows its exit code.
    fn problem(&self, said: &str, code: &str, next: Option<&Self>) -> Option<String> {
        let shown = self.shown.as_deref();
        let shows = |word: &str| shown.is_some_and(|s| s.iter().any(|line| line.contains(word)));
        let is_told = shows("rror") || next.is_some_and(|next| next.text == "echo $?");
        let is_right = shown.is_none_or(|shown| {
            let shown: Vec<&str> = shown.iter().map(String::as_str).collect();
            shown::is_shown(&said.lines().collect::<Vec<_>>(), &shown)
        });
        if is_right && (code == "0" || is_told) {
            return None;
        }
        let Self { line, text, .. } = self;
        Some(format!(
            "line {line}: $ {text}\nexit code {code}, wrote:\n{said}"
        ))
    }
}
