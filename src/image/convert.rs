//! From an image's configuration to a config.json, by the conversion rules of the image specification (conversion.md), on
//! top of the hardened config. What a profile makes of it is not here.

use std::collections::BTreeMap;

use super::users::Ids;
use super::{Execution, ImageConfig};
use crate::error::{Error, Result};
use crate::spec::{Config, Mount, User};

/// What the caller sets over the image's own.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// The command; the image's entrypoint and command where it is empty.
    pub command: Vec<String>,
    /// `K=V`, over those of the image.
    pub environment: Vec<String>,
    /// Working directory.
    pub workdir: Option<String>,
}

/// Fills `config` from an image.
///
/// # Errors
/// Neither the image nor the caller says what to run.
pub fn convert(
    mut config: Config,
    image: &ImageConfig,
    ids: &Ids,
    overrides: &Overrides,
) -> Result<Config> {
    let execution = &image.config;
    let process = config
        .process
        .as_mut()
        .expect("the hardened config has a process");
    process.args = command(execution, overrides)?;
    process.env = environment(execution, overrides);
    process.cwd = overrides
        .workdir
        .clone()
        .or_else(|| Some(execution.working_dir.clone()).filter(|directory| !directory.is_empty()))
        .unwrap_or_else(|| "/".into());
    process.user = User {
        uid: ids.uid,
        gid: ids.gid,
        additional_gids: ids.groups.clone(),
        ..User::default()
    };
    config
        .mounts
        .extend(execution.volumes.iter().map(|volume| volume_mount(volume)));
    config.annotations.extend(annotations(image));
    Ok(config)
}

fn command(execution: &Execution, overrides: &Overrides) -> Result<Vec<String>> {
    let own = || {
        execution
            .entrypoint
            .iter()
            .chain(&execution.cmd)
            .cloned()
            .collect()
    };
    let command: Vec<String> = if overrides.command.is_empty() {
        own()
    } else {
        overrides.command.clone()
    };
    if command.is_empty() {
        return Err(Error::new(
            "find the command of the image",
            "it has neither an entrypoint nor a command",
        )
        .hint("say what to run after --"));
    }
    Ok(command)
}

/// The image's variables, those of the caller over them; a PATH where neither has one.
fn environment(execution: &Execution, overrides: &Overrides) -> Vec<String> {
    let name = |variable: &str| variable.split('=').next().unwrap_or_default().to_owned();
    let mut all: Vec<String> = Vec::new();
    for variable in execution.env.iter().chain(&overrides.environment) {
        let known = all.iter().position(|other| name(other) == name(variable));
        match known {
            Some(index) => all[index].clone_from(variable),
            None => all.push(variable.clone()),
        }
    }
    if !all.iter().any(|variable| variable.starts_with("PATH=")) {
        all.insert(
            0,
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into(),
        );
    }
    all
}

/// A volume is a place to write to that does not outlive the container; it starts with what the image has there.
fn volume_mount(volume: &str) -> Mount {
    Mount {
        destination: volume.to_owned(),
        kind: Some("tmpfs".into()),
        source: Some("tmpfs".into()),
        options: ["nosuid", "nodev", "tmpcopyup"].map(str::to_owned).to_vec(),
        ..Mount::default()
    }
}

/// The image's labels, and what conversion.md derives, which a label of the same name overrides.
fn annotations(image: &ImageConfig) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut derived = |name: &str, value: &str| {
        if !value.is_empty() {
            all.insert(format!("org.opencontainers.image.{name}"), value.to_owned());
        }
    };
    derived("os", &image.os);
    derived("architecture", &image.architecture);
    derived("os.features", &image.os_features.join(","));
    for (name, value) in [
        ("variant", &image.variant),
        ("os.version", &image.os_version),
        ("author", &image.author),
        ("created", &image.created),
        ("stopSignal", &image.config.stop_signal),
    ] {
        derived(name, value.as_deref().unwrap_or_default());
    }
    derived("exposedPorts", &image.config.exposed_ports.join(","));
    // An image must not choose how it is confined.
    let labels = image
        .config
        .labels
        .iter()
        .filter(|(name, _)| !name.starts_with("org.stockade."));
    all.extend(labels.map(|(name, value)| (name.clone(), value.clone())));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::hardened_default;

    fn image() -> ImageConfig {
        ImageConfig {
            architecture: "amd64".into(),
            os: "linux".into(),
            config: Execution {
                env: vec!["A=1".into(), "B=2".into()],
                entrypoint: vec!["/bin/app".into()],
                cmd: vec!["serve".into()],
                working_dir: "/srv".into(),
                labels: [
                    ("team".to_owned(), "x".to_owned()),
                    ("org.stockade.profile".to_owned(), "none".to_owned()),
                ]
                .into(),
                volumes: vec!["/data".into()],
                ..Execution::default()
            },
            ..ImageConfig::default()
        }
    }

    #[test]
    fn image_becomes_a_config() {
        let ids = Ids {
            uid: 5,
            gid: 6,
            groups: vec![7],
        };
        let config = convert(
            hardened_default(None),
            &image(),
            &ids,
            &Overrides::default(),
        )
        .unwrap();
        let process = config.process.unwrap();
        assert_eq!(process.args, ["/bin/app", "serve"]);
        assert_eq!(process.env[1..], ["A=1", "B=2"]);
        assert_eq!(
            (process.cwd.as_str(), process.user.uid, process.user.gid),
            ("/srv", 5, 6)
        );
        assert_eq!(process.user.additional_gids, [7]);
        assert!(
            config
                .mounts
                .iter()
                .any(|mount| mount.destination == "/data")
        );
        assert_eq!(config.annotations["team"], "x");
        assert_eq!(
            config.annotations["org.opencontainers.image.architecture"],
            "amd64"
        );
        assert!(!config.annotations.contains_key("org.stockade.profile"));
    }

    #[test]
    fn what_an_image_says_of_itself_becomes_annotations_and_a_label_of_that_name_wins() {
        let text = r#"{
            "architecture": "arm64", "os": "linux", "variant": "v8", "os.version": "6.1",
            "os.features": ["a", "b"], "author": "A <a@example.org>", "created": "2020-01-01T00:00:00Z",
            "config": {
                "Cmd": ["x"], "StopSignal": "SIGRTMIN+3", "ExposedPorts": {"80/tcp": {}, "53": {}},
                "Labels": {"own": "1", "org.opencontainers.image.os": "plan9", "org.stockade.profile": "none"}
            },
            "rootfs": {"type": "layers", "diff_ids": []}
        }"#;
        let image = ImageConfig::parse(text.as_bytes(), "config", 0).unwrap();
        let config = convert(
            hardened_default(None),
            &image,
            &Ids::default(),
            &Overrides::default(),
        );
        let before = hardened_default(None).annotations;
        let mut annotations = config.unwrap().annotations;
        annotations.retain(|name, _| !before.contains_key(name));
        let image = "org.opencontainers.image";
        let expected = [
            (format!("{image}.architecture"), "arm64"),
            (format!("{image}.author"), "A <a@example.org>"),
            (format!("{image}.created"), "2020-01-01T00:00:00Z"),
            (format!("{image}.exposedPorts"), "53,80/tcp"),
            (format!("{image}.os"), "plan9"),
            (format!("{image}.os.features"), "a,b"),
            (format!("{image}.os.version"), "6.1"),
            (format!("{image}.stopSignal"), "SIGRTMIN+3"),
            (format!("{image}.variant"), "v8"),
            ("own".to_owned(), "1"),
        ];
        assert_eq!(
            annotations,
            expected
                .map(|(name, value)| (name, value.to_owned()))
                .into()
        );
    }

    #[test]
    fn the_caller_has_the_last_word() {
        let overrides = Overrides {
            command: vec!["sh".into()],
            environment: vec!["A=9".into(), "PATH=/x".into()],
            workdir: Some("/w".into()),
        };
        let process = convert(
            hardened_default(None),
            &image(),
            &Ids::default(),
            &overrides,
        )
        .unwrap()
        .process
        .unwrap();
        assert_eq!(process.args, ["sh"]);
        assert_eq!(process.env, ["A=9", "B=2", "PATH=/x"]);
        assert_eq!(process.cwd, "/w");
    }
}
