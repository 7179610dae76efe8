//! The documentation: every command in README.md and docs/*.md does what is shown, on a machine of its own; links lead
//! somewhere, and what is mentioned exists. How a page says what is run: docs/page.rs.

mod links;
mod machine;
mod mentions;
mod page;
mod script;
mod shown;

use std::process::Command;

use crate::harness::{is_foreign, say, skip};
use machine::Machine;
use page::{Block, DATA, Order, Page};
use script::Script;

/// Where the commands of a page are run.
struct Stage {
    page: &'static str,
    /// The program that the page is about and the beginning of its version: others say some things in other words.
    about: Option<(&'static str, &'static str)>,
    /// Without these it cannot be tried.
    needs: &'static [&'static str],
    /// What the page takes for granted: a script in tests/docs.
    before: &'static str,
}

const STAGES: [Stage; 14] = [
    Stage {
        page: "README.md",
        about: None,
        needs: &["skopeo"],
        before: "readme.sh",
    },
    Stage {
        page: "docs/audit.md",
        about: None,
        needs: &["skopeo"],
        before: "images.sh",
    },
    Stage {
        page: "docs/clients.md",
        about: None,
        needs: &["containerd"],
        before: "nothing.sh",
    },
    Stage {
        page: "docs/containerd.md",
        about: Some(("containerd", " 1.6.")),
        needs: &["ctr", "containerd-shim-runc-v2"],
        before: "containerd.sh",
    },
    Stage {
        page: "docs/docker.md",
        about: Some(("docker", " 20.10.")),
        needs: &["dockerd", "containerd", "containerd-shim-runc-v2", "jq"],
        before: "docker.sh",
    },
    Stage {
        page: "docs/exit-codes.md",
        about: None,
        needs: &["skopeo"],
        before: "images.sh",
    },
    Stage {
        page: "docs/explain.md",
        about: None,
        needs: &["skopeo"],
        before: "record.sh",
    },
    Stage {
        page: "docs/images.md",
        about: None,
        needs: &["skopeo", "openssl"],
        before: "images.sh",
    },
    Stage {
        page: "docs/migration.md",
        about: Some(("runc", " 1.1.")),
        needs: &["crun", "jq"],
        before: "migration.sh",
    },
    Stage {
        page: "docs/podman.md",
        about: Some(("podman", " 4.3.")),
        needs: &["conmon", "newuidmap", "slirp4netns"],
        before: "podman.sh",
    },
    Stage {
        page: "docs/probe.md",
        about: None,
        needs: &["skopeo"],
        before: "images.sh",
    },
    Stage {
        page: "docs/profiles.md",
        about: None,
        needs: &["skopeo"],
        before: "images.sh",
    },
    Stage {
        page: "docs/record.md",
        about: None,
        needs: &["skopeo"],
        before: "record.sh",
    },
    Stage {
        page: "docs/test.md",
        about: None,
        needs: &["skopeo"],
        before: "record.sh",
    },
];

#[test]
fn commands_of_readme_do_what_is_shown() {
    holds("README.md");
}

#[test]
fn commands_of_audit_do_what_is_shown() {
    holds("docs/audit.md");
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
fn commands_of_explain_do_what_is_shown() {
    holds("docs/explain.md");
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
fn commands_of_probe_do_what_is_shown() {
    holds("docs/probe.md");
}

#[test]
fn commands_of_profiles_do_what_is_shown() {
    holds("docs/profiles.md");
}

#[test]
fn commands_of_record_do_what_is_shown() {
    holds("docs/record.md");
}

#[test]
fn commands_of_test_do_what_is_shown() {
    holds("docs/test.md");
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
    if let Some(reason) = stage.lacks() {
        return skip(&reason);
    }
    let script = Script::of(&Page::read(name), stage.before);
    let word = name.trim_start_matches("docs/").trim_end_matches(".md");
    let tried = || Some(script.compare(&Machine::new(&word.to_lowercase()).run(&script.text)?));
    let Some(mut wrong) = tried() else {
        return skip("overlayfs cannot be mounted in the temporary directory");
    };
    // ctr(8) loses the output of a short program now and then, with every runtime (clients/score.rs).
    if name == "docs/containerd.md" && !wrong.is_empty() {
        say(&format!("again: {name}: {}", wrong.join("\n")));
        wrong = tried().unwrap();
    }
    let (run, left_out) = (script.commands.len(), script.left_out);
    say(&format!(
        "{name}: {run} commands were run, {left_out} blocks were not"
    ));
    assert!(wrong.is_empty(), "{name}:\n{}", wrong.join("\n"));
}

impl Stage {
    /// What is missing here.
    fn lacks(&self) -> Option<String> {
        let programs = self.about.iter().map(|(program, _)| program);
        let programs = programs.chain(self.needs);
        let mut all = programs.chain(&["unshare", "ip", "bash", "busybox"]);
        if let Some(missing) = all.find(|program| machine::path_of(program).is_none()) {
            return Some(format!("{missing} is not installed"));
        }
        let (program, version) = self.about?;
        let call = Command::new(machine::path_of(program)?)
            .arg("--version")
            .output();
        let said = String::from_utf8_lossy(&call.unwrap().stdout).into_owned();
        let is_it = said.contains(version);
        (!is_it).then(|| format!("the page is about {program}{version}x"))
    }
}
