//! containerd's config.toml with more runtimes: new tables go to its end, so that what is there, comments too, stays
//! byte for byte. What comes out is read again before it is used.

use std::path::Path;

use toml::{Table, Value};

use super::client::{Handler, path};
use crate::error::{Doing, Error, Result};

/// The version of the configuration's format, which decides where runtimes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// containerd 1.3 to 1.7; 2.x reads it, too.
    Two,
    /// containerd 2.x.
    Three,
}

impl Version {
    fn plugin(self) -> &'static str {
        match self {
            Self::Two => "io.containerd.grpc.v1.cri",
            Self::Three => "io.containerd.cri.v1.runtime",
        }
    }

    fn of(configuration: &Table) -> Result<Self> {
        match configuration.get("version").and_then(Value::as_integer) {
            Some(2) => Ok(Self::Two),
            Some(3) => Ok(Self::Three),
            _ => {
                let error = Error::new("version", "only the formats 2 and 3 have runtimes by name");
                Err(error)
            }
        }
    }
}

/// The tables of the handlers. Of a pod's annotations containerd passes only those named here.
pub(super) fn containerd(version: Version, handlers: &[Handler], directory: &Path) -> String {
    let plugin = version.plugin();
    let table = |handler: &Handler| {
        let (name, path) = (handler.name, path(directory, handler));
        let head = format!("plugins.\"{plugin}\".containerd.runtimes.{name}");
        format!(
            "[{head}]\n  \
            runtime_type = \"io.containerd.runc.v2\"\n  \
            pod_annotations = [\"org.stockade.profile\"]\n  \
            [{head}.options]\n    \
            BinaryName = {path}\n"
        )
    };
    let all: Vec<String> = handlers.iter().map(table).collect();
    all.join("\n")
}

/// The configuration with the tables of those handlers that it lacks.
///
/// # Errors
/// It is no TOML, of another version, or has a handler of this name that calls something else.
pub(super) fn merged(old: Option<&str>, handlers: &[Handler], directory: &Path) -> Result<String> {
    let text = old
        .filter(|text| !text.trim().is_empty())
        .unwrap_or("version = 2\n");
    let before = read(text)?;
    let version = Version::of(&before)?;
    let mut missing = Vec::new();
    for handler in handlers {
        match runtime(&before, version, handler.name) {
            None => missing.push(*handler),
            Some(there) if calls(there, &directory.join(handler.name)) => {}
            Some(_) => {
                return Err(Error::new(
                    format!("runtimes.{}", handler.name),
                    "it is there and calls something else",
                ));
            }
        }
    }
    if missing.is_empty() {
        return Ok(text.to_owned());
    }
    let end = if text.ends_with('\n') { "\n" } else { "\n\n" };
    let tables = containerd(version, &missing, directory);
    let new = format!("{text}{end}{tables}");
    // Fails where a table on the way is written in one line, which nothing can be added to.
    read(&new)?;
    Ok(new)
}

fn read(text: &str) -> Result<Table> {
    text.parse::<Table>()
        .map_err(|cause| cause.message().to_owned())
        .doing(|| "read TOML")
}

fn runtime<'a>(configuration: &'a Table, version: Version, name: &str) -> Option<&'a Value> {
    let path = ["plugins", version.plugin(), "containerd", "runtimes"];
    let mut at = configuration;
    for key in path {
        at = at.get(key)?.as_table()?;
    }
    at.get(name)
}

fn calls(runtime: &Value, path: &Path) -> bool {
    let binary = runtime.get("options").and_then(|o| o.get("BinaryName"));
    let binary = binary.and_then(Value::as_str);
    binary.is_some() && binary == path.to_str()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cmd::install::client::HANDLERS;

    const ADDED: &str = r#"[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.stockade]
  runtime_type = "io.containerd.runc.v2"
  pod_annotations = ["org.stockade.profile"]
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.stockade.options]
    BinaryName = "/usr/local/bin/stockade"
"#;

    fn merge(old: &str) -> Result<String> {
        merged(Some(old), &HANDLERS[..1], Path::new("/usr/local/bin"))
    }

    #[test]
    fn what_is_there_stays_byte_for_byte() {
        let old = "# ours\nversion = 2\n\n[plugins]\n  [plugins.\"io.containerd.grpc.v1.cri\"]\n    sandbox_image = 'a' # b";
        let new = merge(old).unwrap();
        assert_eq!(new, format!("{old}\n\n{ADDED}"));
        assert_eq!(merge(&new).unwrap(), new);
    }

    #[test]
    fn newer_formats_have_runtimes_elsewhere() {
        let new = merge("version = 3\n").unwrap();
        assert!(
            new.contains("\"io.containerd.cri.v1.runtime\".containerd"),
            "{new}"
        );
        assert_eq!(merge("").unwrap(), format!("version = 2\n\n{ADDED}"));
    }

    #[test]
    fn what_cannot_be_merged_is_an_error() {
        let text = |old: &str| merge(old).unwrap_err().to_string();
        assert_eq!(
            text("root = '/x'\n"),
            "version: only the formats 2 and 3 have runtimes by name"
        );
        assert!(text("version = 2\nplugins = {}\n").starts_with("read TOML: "));
        assert!(text("version = ").starts_with("read TOML: "));
        let other = ADDED.replace("/usr/local/bin", "/opt");
        assert_eq!(
            text(&format!("version = 2\n{other}")),
            "runtimes.stockade: it is there and calls something else"
        );
    }
}
