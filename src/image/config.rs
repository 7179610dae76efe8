//! The image configuration (image-spec config.md): what an image says of the process to run, and its layers' content.
//! What becomes of it in a config.json is not here. Nothing in it is trusted: labels and annotations steer nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::digest::Digest;
use super::platform::Platform;
use crate::error::{Error, Result, quote};

/// The most layers that an image may have: more than overlayfs can stack or a build makes.
pub const MOST_LAYERS: usize = 500;

/// A checked configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImageConfig {
    /// Go's word for the processor: `amd64`; empty where the image does not say.
    pub architecture: String,
    /// `linux`; empty where the image does not say.
    pub os: String,
    /// `v8`.
    pub variant: Option<String>,
    /// Which release of the system; words without effect, as are the next three.
    pub os_version: Option<String>,
    /// What it needs of the system.
    pub os_features: Vec<String>,
    /// Who made the image.
    pub author: Option<String>,
    /// When; a date and time by RFC 3339 if the image is right, not checked.
    pub created: Option<String>,
    /// The process to run.
    pub config: Execution,
    /// The digests of the uncompressed layers, lowest first.
    pub diff_ids: Vec<Digest>,
    /// The commands that made it, oldest first, as its history has them: words without effect.
    pub history: Vec<String>,
}

/// Defaults for the process (config.md "config"). No value holds NUL.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Execution {
    /// `user`, `uid`, `user:group`, `uid:gid`, or empty; without control characters, not resolved.
    pub user: String,
    /// `NAME=value`, each with a name; a value may span lines, except HOME's.
    pub env: Vec<String>,
    /// Comes before `cmd` or the user's words.
    pub entrypoint: Vec<String>,
    /// Replaced by the user's words.
    pub cmd: Vec<String>,
    /// As the image spells it: may be empty or relative and hold `..`; without control characters.
    pub working_dir: String,
    /// Words without effect.
    pub labels: BTreeMap<String, String>,
    /// Paths inside the root as the image spells them; without control characters.
    pub volumes: Vec<String>,
    /// `SIGTERM`, `RTMIN+3` or a number; not resolved.
    pub stop_signal: Option<String>,
    /// `80/tcp`; words without effect.
    pub exposed_ports: Vec<String>,
}

/// The document as it is written: every field may be absent or null.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Written {
    architecture: Option<String>,
    os: Option<String>,
    variant: Option<String>,
    #[serde(rename = "os.version")]
    os_version: Option<String>,
    #[serde(rename = "os.features")]
    os_features: Option<Vec<String>>,
    author: Option<String>,
    created: Option<String>,
    config: Option<WrittenExecution>,
    rootfs: Option<WrittenRoot>,
    // Of any form: nothing depends on it, so that no image is refused for it.
    history: Option<Value>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WrittenExecution {
    user: Option<String>,
    env: Option<Vec<String>>,
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    working_dir: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    volumes: Option<BTreeMap<String, Value>>,
    stop_signal: Option<String>,
    exposed_ports: Option<BTreeMap<String, Value>>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct WrittenRoot {
    #[serde(rename = "type")]
    kind: Option<String>,
    diff_ids: Option<Vec<Digest>>,
}

const TOP: [&str; 10] = [
    "architecture",
    "os",
    "variant",
    "os.version",
    "os.features",
    "author",
    "created",
    "config",
    "rootfs",
    "history",
];
const EXECUTION: [&str; 9] = [
    "User",
    "Env",
    "Entrypoint",
    "Cmd",
    "WorkingDir",
    "Labels",
    "Volumes",
    "StopSignal",
    "ExposedPorts",
];

impl ImageConfig {
    /// Reads and checks a configuration that has `layers` layers; `file` is its name for messages.
    ///
    /// # Errors
    /// `"FILE": FIELD: cause`: not strict JSON, a field of a wrong kind, an entry of `Env` without `=` or a name,
    /// control characters, or another number of `rootfs.diff_ids` than of layers.
    pub fn parse(text: &[u8], file: &str, layers: usize) -> Result<Self> {
        let (tree, written) = crate::spec::typed::<Written>(text, file)?;
        exact_case(&tree, &TOP, file)?;
        exact_case(&tree["config"], &EXECUTION, file)?;
        exact_case(&tree["rootfs"], &["type", "diff_ids"], file)?;
        let root = written.rootfs.unwrap_or_default();
        let refuse = |field: &str, cause: String| Err(field_error(file, field, cause));
        if root.kind.as_deref().unwrap_or("layers") != "layers" {
            return refuse("rootfs.type", "is not \"layers\"".to_owned());
        }
        let diff_ids = root.diff_ids.unwrap_or_default();
        if diff_ids.len() != layers {
            let cause = format!("{} for {layers} layers", diff_ids.len());
            return refuse("rootfs.diff_ids", cause);
        }
        let variant = written.variant.filter(|variant| !variant.is_empty());
        let image = Self {
            architecture: written.architecture.unwrap_or_default(),
            os: written.os.unwrap_or_default(),
            variant,
            os_version: written.os_version,
            os_features: written.os_features.unwrap_or_default(),
            author: written.author,
            created: written.created,
            config: execution(written.config.unwrap_or_default()),
            diff_ids,
            history: history(written.history),
        };
        image.config.check(file)?;
        Ok(image)
    }

    /// What it is made for; `None` where it does not say.
    pub fn platform(&self) -> Option<Platform> {
        let is_said = !self.os.is_empty() && !self.architecture.is_empty();
        is_said.then(|| Platform::new(&self.os, &self.architecture, self.variant.as_deref()))
    }
}

fn history(written: Option<Value>) -> Vec<String> {
    let Some(Value::Array(entries)) = written else {
        return Vec::new();
    };
    let command = |entry: &Value| entry["created_by"].as_str().unwrap_or_default().to_owned();
    entries.iter().map(command).collect()
}

fn execution(written: WrittenExecution) -> Execution {
    let keys = |map: Option<BTreeMap<String, Value>>| {
        let map = map.unwrap_or_default();
        map.into_keys().collect::<Vec<_>>()
    };
    Execution {
        user: written.user.unwrap_or_default(),
        env: written.env.unwrap_or_default(),
        entrypoint: written.entrypoint.unwrap_or_default(),
        cmd: written.cmd.unwrap_or_default(),
        working_dir: written.working_dir.unwrap_or_default(),
        labels: written.labels.unwrap_or_default(),
        volumes: keys(written.volumes),
        stop_signal: written.stop_signal.filter(|signal| !signal.is_empty()),
        exposed_ports: keys(written.exposed_ports),
    }
}

impl Execution {
    fn check(&self, file: &str) -> Result<()> {
        for (i, entry) in self.env.iter().enumerate() {
            let refuse = |cause: &str| {
                let cause = format!("{} {cause}", quote(entry));
                Err(field_error(file, &format!("config.Env[{i}]"), cause))
            };
            match entry.split_once('=') {
                None => return refuse("has no \"=\""),
                Some(("", _)) => return refuse("has no name"),
                Some((name, _)) if name.contains(char::is_control) => {
                    return refuse("has a control character in its name");
                }
                // It ends in files that are read line by line, such as passwd (CVE-2021-3602 and its like).
                Some(("HOME", value)) if value.contains(char::is_control) => {
                    return refuse("has a control character");
                }
                Some(_) => {}
            }
        }
        self.check_lines(file)
    }

    fn check_lines(&self, file: &str) -> Result<()> {
        let signal = self.stop_signal.as_deref().unwrap_or_default();
        let single = [
            ("config.User", &*self.user),
            ("config.WorkingDir", &*self.working_dir),
            ("config.StopSignal", signal),
        ];
        let volumes = self.volumes.iter().map(|path| ("config.Volumes", &**path));
        for (field, text) in single.into_iter().chain(volumes) {
            if text.contains(char::is_control) {
                let cause = format!("{} has a control character", quote(text));
                return Err(field_error(file, field, cause));
            }
        }
        Ok(())
    }
}

/// Other readers of these documents take keys in any case (Go's encoding/json), so that `Config` beside `config` would
/// be read differently there.
pub(super) fn exact_case(object: &Value, known: &[&str], file: &str) -> Result<()> {
    let Some(object) = object.as_object() else {
        return Ok(());
    };
    for key in object.keys() {
        let is_other = |name: &&&str| key.eq_ignore_ascii_case(name) && key != **name;
        if let Some(name) = known.iter().find(is_other) {
            let cause = format!("key {} where {} is meant", quote(key), quote(name));
            return Err(Error::new(quote(file), cause));
        }
    }
    Ok(())
}

pub(super) fn field_error(file: &str, field: &str, cause: impl std::fmt::Display) -> Error {
    Error::new(format!("{}: {field}", quote(file)), cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ImageConfig> {
        ImageConfig::parse(text.as_bytes(), "config", 0)
    }

    fn cause(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn absent_and_null_are_empty() {
        assert_eq!(parse("{}").unwrap(), ImageConfig::default());
        let nulls = r#"{"config": {"Env": null, "Cmd": null, "Labels": null, "Volumes": null,
            "ExposedPorts": null, "StopSignal": ""}, "rootfs": {"type": "layers", "diff_ids": null}}"#;
        assert_eq!(parse(nulls).unwrap(), ImageConfig::default());
        assert_eq!(
            parse(r#"{"config": null}"#).unwrap(),
            ImageConfig::default()
        );
    }

    #[test]
    fn every_field_is_read() {
        let text = r#"{"architecture": "arm64", "os": "linux", "variant": "v8", "created": "x", "history": [],
            "config": {"User": "1000:1000", "Env": ["PATH=/bin", "A=b\nc", "E="], "Entrypoint": ["/e"],
            "Cmd": ["c", ""], "WorkingDir": "/w", "Labels": {"a": "b"}, "Volumes": {"/v": {}},
            "StopSignal": "SIGINT", "ExposedPorts": {"80/tcp": {}}, "Healthcheck": {"Test": []}}}"#;
        let image = parse(text).unwrap();
        assert_eq!(image.platform().unwrap().to_string(), "linux/arm64");
        assert_eq!(image.config.env, ["PATH=/bin", "A=b\nc", "E="]);
        assert_eq!(image.config.cmd, ["c", ""]);
        assert_eq!(image.config.volumes, ["/v"]);
        assert_eq!(image.config.exposed_ports, ["80/tcp"]);
        assert_eq!(image.config.stop_signal.as_deref(), Some("SIGINT"));
    }

    #[test]
    fn environment_that_is_no_environment_is_refused() {
        let env = |entry: &str| cause(&format!(r#"{{"config": {{"Env": ["A=b", "{entry}"]}}}}"#));
        assert_eq!(
            env("FOO"),
            "\"config\": config.Env[1]: \"FOO\" has no \"=\""
        );
        assert_eq!(env("*"), "\"config\": config.Env[1]: \"*\" has no \"=\"");
        assert_eq!(env("=x"), "\"config\": config.Env[1]: \"=x\" has no name");
        assert_eq!(
            env(r"A\nB=x"),
            r#""config": config.Env[1]: "A\nB=x" has a control character in its name"#
        );
        assert_eq!(
            env(r"HOME=/\nroot::0"),
            r#""config": config.Env[1]: "HOME=/\nroot::0" has a control character"#
        );
        assert!(env(r"A=\u0000").contains("contains NUL"));
    }

    #[test]
    fn control_characters_are_refused_where_a_line_is_expected() {
        for (field, value) in [
            ("User", r#""x\ny""#),
            ("WorkingDir", r#""/a\u001b""#),
            ("StopSignal", r#""TERM\n""#),
            ("Volumes", r#"{"/a\nb": {}}"#),
        ] {
            let text = format!(r#"{{"config": {{"{field}": {value}}}}}"#);
            let start = format!("\"config\": config.{field}: ");
            assert!(cause(&text).starts_with(&start), "{}", cause(&text));
        }
    }

    #[test]
    fn documents_that_two_readers_understand_differently_are_refused() {
        assert_eq!(
            cause(r#"{"config": {"user": "root"}}"#),
            "\"config\": key \"user\" where \"User\" is meant"
        );
        assert!(cause(r#"{"os": "a", "os": "b"}"#).contains("there twice"));
        assert!(cause(r#"{"config": []}"#).contains("config"));
        assert!(cause(r#"{"config": {"Cmd": "sh"}}"#).contains("config.Cmd"));
    }

    #[test]
    fn diff_ids_are_as_many_as_layers() {
        let id = Digest::sha256(b"");
        let text = format!(r#"{{"rootfs": {{"diff_ids": ["{id}"]}}}}"#);
        assert_eq!(cause(&text), "\"config\": rootfs.diff_ids: 1 for 0 layers");
        assert!(ImageConfig::parse(text.as_bytes(), "config", 1).is_ok());
        let upper = text.replace("sha256:e3", "sha256:E3");
        assert!(ImageConfig::parse(upper.as_bytes(), "config", 1).is_err());
        let typed = r#"{"rootfs": {"type": "foreign"}}"#;
        assert_eq!(cause(typed), "\"config\": rootfs.type: is not \"layers\"");
    }
}
